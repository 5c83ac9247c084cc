//! A Postgres server of the stack's own, and databases in any server.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use postgres::NoTls;
use rustix::process::Signal;

use crate::programs::postgres::{NOBODY, PostgresPrograms, check_reachable, runs_as_root};
use crate::service::{Launch, Service};
use crate::{ports, process};

const SUPERUSER: &str = "postgres";
/// A host keeps up to five pools of 64 connections each, and tests run several stacks on one server.
const MAX_CONNECTIONS: u16 = 800;

/// What the service's database has, so that no statement holds a connection for long and no user's list takes several
/// processors. On Kubernetes the role has the same: `k8s/postgres/cluster.yaml`.
pub const DATABASE_SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "5s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("max_parallel_workers_per_gather", "0"),
];

/// The address of the server to use, where `DATABASE_URL` names one, instead of starting one.
#[must_use]
pub fn given() -> Option<String> {
    env::var("DATABASE_URL").ok().filter(|url| !url.is_empty())
}

/// A server that a stack starts for itself.
#[derive(Debug)]
pub struct Server {
    /// The server, not started yet.
    pub service: Service,
    /// The address of its maintenance database.
    pub url: String,
}

/// Describes a server on [initialised](initialise) data. `durable` keeps what was committed even
/// when the machine goes down.
///
/// # Errors
/// When there is no free port.
pub fn server(
    programs: &PostgresPrograms,
    data: &Path,
    password: &str,
    durable: bool,
    log: PathBuf,
) -> Result<Server> {
    let port = ports::free()?;
    let mut settings = vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        // Its path would have to be short, and reachable.
        "unix_socket_directories=".to_owned(),
        format!("max_connections={MAX_CONNECTIONS}"),
        "log_line_prefix=%m [%p] ".to_owned(),
    ];
    if !durable {
        settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
    }
    let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
    for setting in settings {
        arguments.extend(["-c".to_owned(), setting]);
    }
    let url =
        format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres?sslmode=disable");
    let launch = Launch {
        name: "postgres",
        program: programs.bin.join("postgres"),
        arguments,
        environment: Vec::new(),
        folder: data.to_owned(),
        user: other_user(),
        // Ends sessions, then the server.
        stop: Signal::INT,
        death: Signal::QUIT,
        log,
        limit: Duration::from_secs(60),
    };
    let address = url.clone();
    let service = Service::new(launch, move || connect(&address).map(drop));
    Ok(Server { service, url })
}

/// The user to run as, where this process' own may not.
fn other_user() -> Option<u32> {
    runs_as_root().then_some(NOBODY)
}

/// Makes a server's folder unless it exists; the password becomes its superuser's.
///
/// # Errors
/// When the folder cannot be made, or Postgres not work in it.
pub fn initialise(programs: &PostgresPrograms, data: &Path, password: &str) -> Result<()> {
    if let Ok(version) = fs::read_to_string(data.join("PG_VERSION")) {
        if version.trim() != programs.major_version.to_string() {
            bail!(
                "{} holds data of Postgres {}, and the server is version {}; move it away to start anew",
                data.display(),
                version.trim(),
                programs.major_version
            );
        }
        return Ok(());
    }
    fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o700))?;
    let mut password_file = tempfile::NamedTempFile::new()?;
    password_file.write_all(password.as_bytes())?;
    if let Some(parent) = data.parent() {
        check_reachable(parent)?;
    }
    let mut initdb = Command::new(programs.bin.join("initdb"));
    initdb
        .arg("--pgdata")
        .arg(data)
        .arg("--pwfile")
        .arg(password_file.path())
        .args(["--username", SUPERUSER, "--auth", "scram-sha-256"])
        .args(["--encoding", "UTF8", "--no-sync", "--no-instructions"])
        .current_dir(data);
    // Letter case of all of Unicode, the same on every system.
    if programs.major_version >= 17 {
        initdb.args([
            "--locale",
            "C",
            "--locale-provider",
            "builtin",
            "--builtin-locale",
            "C.UTF-8",
        ]);
    } else {
        initdb.args(["--locale", "C.UTF-8"]);
    }
    if let Some(user) = other_user() {
        use std::os::unix::process::CommandExt;
        chown(data, Some(user), Some(user)).context("cannot give Postgres its folder")?;
        chown(password_file.path(), Some(user), Some(user))?;
        initdb.uid(user).gid(user);
    }
    process::read(initdb, Duration::from_secs(120))
        .map(drop)
        .context("Postgres could not be initialised")
}

/// Opens a connection.
///
/// # Errors
/// When the server does not accept it. The address is not in the message: it holds a password.
pub fn connect(url: &str) -> Result<postgres::Client> {
    let mut config: postgres::Config = url
        .parse()
        .context("the database's address is not like postgres://user:password@host:port/name")?;
    config.connect_timeout(Duration::from_secs(5));
    config
        .connect(NoTls)
        .context("Postgres does not accept a connection (TLS is not supported here)")
}

/// Creates a database in a server unless it exists.
///
/// # Errors
/// When the server does not answer or its user may not create databases.
pub fn create_database(server_url: &str, name: &str) -> Result<()> {
    let mut client = connect(server_url)?;
    let exists = client
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .context("cannot list databases")?;
    if exists.is_none() {
        client
            .batch_execute(&format!("CREATE DATABASE \"{name}\""))
            .with_context(|| format!("cannot create database {name}"))?;
    }
    for (setting, value) in DATABASE_SETTINGS {
        client
            .batch_execute(&format!(
                "ALTER DATABASE \"{name}\" SET {setting} = '{value}'"
            ))
            .with_context(|| format!("cannot set {setting} of database {name}"))?;
    }
    Ok(())
}

/// Removes a database and whatever is connected to it.
///
/// # Errors
/// When the server does not answer.
pub fn drop_database(server_url: &str, name: &str) -> Result<()> {
    connect(server_url)?
        .batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
        .with_context(|| format!("cannot drop database {name}"))
}

/// The same address with another database, and without TLS unless it says otherwise.
///
/// # Errors
/// When the address is none.
pub fn with_database(url: &str, name: &str) -> Result<String> {
    let (scheme, rest) = url
        .split_once("://")
        .context("DATABASE_URL must be like postgres://user:password@host:port/name")?;
    let (address, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = address.split('/').next().unwrap_or_default();
    let mut parameters: Vec<&str> = parameters
        .split('&')
        .filter(|one| !one.is_empty())
        .collect();
    if !parameters.iter().any(|one| one.starts_with("sslmode=")) {
        parameters.push("sslmode=disable");
    }
    Ok(format!(
        "{scheme}://{authority}/{name}?{}",
        parameters.join("&")
    ))
}

/// `host:port` of an address.
pub(crate) fn authority(url: &str) -> Result<String> {
    let rest = url.split_once("://").map(|(_, rest)| rest);
    let address = rest.and_then(|rest| rest.split(['/', '?']).next());
    let host = address
        .and_then(|address| address.rsplit('@').next())
        .filter(|host| !host.is_empty())
        .context("the database's address names no host")?;
    Ok(if host.rsplit(']').next().unwrap_or(host).contains(':') {
        host.to_owned()
    } else {
        format!("{host}:5432")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_put_into_an_address() {
        for (url, expected) in [
            (
                "postgres://u:p@localhost:5433/postgres",
                "postgres://u:p@localhost:5433/todo?sslmode=disable",
            ),
            (
                "postgres://u:p@h?sslmode=prefer&application_name=x",
                "postgres://u:p@h/todo?sslmode=prefer&application_name=x",
            ),
        ] {
            assert_eq!(with_database(url, "todo").expect("an address"), expected);
        }
        assert!(with_database("localhost", "todo").is_err());
    }

    #[test]
    fn the_authority_always_has_a_port() {
        for (url, expected) in [
            ("postgres://u:p%40@localhost:5433/x", "localhost:5433"),
            ("postgres://u:p@db.example/x?a=b", "db.example:5432"),
            ("postgres://[::1]/x", "[::1]:5432"),
            ("postgres://[::1]:6000/x", "[::1]:6000"),
        ] {
            assert_eq!(authority(url).expect("an address"), expected);
        }
        assert!(authority("postgres:///x").is_err());
    }
}
