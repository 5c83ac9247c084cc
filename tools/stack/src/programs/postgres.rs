//! The Postgres server's programs, for stacks that are given no database.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::programs::cargo::Cargo;
use crate::report::Report;
use crate::{process, workspace};

/// The version downloaded.
pub const VERSION: &str = "18.6.0";

/// Whom the server runs as when `xtask` is root, which Postgres refuses to be: "nobody".
pub const NOBODY: u32 = 65534;

/// Where this project keeps what "nobody" must reach when `xtask` is root: root's own cache is
/// closed to others.
const SYSTEM_CACHE: &str = "/var/cache/todo-events";

/// Where `initdb` and `postgres` are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PostgresPrograms {
    /// The folder of the programs.
    pub bin: PathBuf,
    /// For example 18.
    pub major_version: u32,
}

/// Finds the server downloaded before, downloads it, or finds one installed.
///
/// # Errors
/// When there is none; the message says what to do.
pub fn prepare(cargo: &Cargo, report: &Report) -> Result<PostgresPrograms> {
    let home = if runs_as_root() && !reachable_by_others(&workspace::cache()?) {
        PathBuf::from(SYSTEM_CACHE)
    } else {
        workspace::cache()?
    };
    let folder = home.join(format!("postgres/{VERSION}"));
    let _lock = workspace::lock(&home.join("postgres/lock"))
        .context("Postgres needs a folder that user 65534 can reach")?;
    if let Some(programs) = in_folder(&folder.join("bin")) {
        return Ok(programs);
    }
    report.step(format!("downloading Postgres {VERSION}"));
    match download(&folder, cargo) {
        Ok(()) => {
            report.step(format!("Postgres {VERSION} downloaded"));
            in_folder(&folder.join("bin"))
                .with_context(|| format!("the Postgres in {} does not run", folder.display()))
        }
        Err(error) => {
            let installed = installed().with_context(|| {
                format!(
                    "no Postgres: it could not be downloaded ({error:#}) and none is installed. Install postgresql, or set DATABASE_URL to a server's address"
                )
            })?;
            report.step(format!(
                "Postgres could not be downloaded ({error:#}); using {}",
                installed.bin.display()
            ));
            Ok(installed)
        }
    }
}

/// Whether this process is root.
#[must_use]
pub fn runs_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether any user may pass through this folder and those above it.
#[must_use]
pub fn reachable_by_others(folder: &Path) -> bool {
    folder.ancestors().all(|folder| {
        folder
            .metadata()
            .is_ok_and(|metadata| metadata.mode() & 0o001 != 0)
    })
}

fn download(folder: &Path, cargo: &Cargo) -> Result<()> {
    let mut build = cargo.command([
        "build",
        "--package",
        "postgres-fetch",
        "--features",
        "download",
    ]);
    Cargo::quieten(&mut build);
    process::run(build)?;
    let mut fetch = Command::new(cargo.target_dir().join("debug/postgres-fetch"));
    fetch.arg(VERSION).arg(folder);
    process::read(fetch, Duration::from_secs(300)).map(drop)
}

/// The newest server of the distribution's packages.
fn installed() -> Option<PostgresPrograms> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = debian
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .chain(
            workspace::find_program("postgres").and_then(|path| Some(path.parent()?.to_owned())),
        );
    folders
        .filter_map(|bin| in_folder(&bin))
        .max_by_key(|programs| programs.major_version)
}

fn in_folder(bin: &Path) -> Option<PostgresPrograms> {
    let postgres = bin.join("postgres");
    if !workspace::is_executable(&postgres) || !workspace::is_executable(&bin.join("initdb")) {
        return None;
    }
    let mut command = Command::new(postgres);
    command.arg("--version");
    let version = process::read(command, Duration::from_secs(10)).ok()?;
    Some(PostgresPrograms {
        bin: bin.to_owned(),
        major_version: major_version(&version)?,
    })
}

/// 18 from `postgres (PostgreSQL) 18.6` or `postgres (PostgreSQL) 18.6 (Debian …)`.
fn major_version(version: &str) -> Option<u32> {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split('.').next()?.parse().ok()
}

/// Fails when "nobody" could not work in a folder.
pub(crate) fn check_reachable(folder: &Path) -> Result<()> {
    if runs_as_root() && !reachable_by_others(folder) {
        bail!(
            "Postgres cannot run as root and runs as user {NOBODY}, who cannot reach {}; choose a folder that others may enter, such as one in /var/lib, or set DATABASE_URL",
            folder.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_prints() {
        assert_eq!(major_version("postgres (PostgreSQL) 18.6"), Some(18));
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_version("postgres"), None);
    }
}
