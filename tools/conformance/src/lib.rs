//! A host that serves the test components, and ways to talk to it.
//!
//! The host is a program with Spin's commands: the one that `CONFORMANCE_HOST` names. Three are known, and where they
//! differ a test says what each does ([`Kind`]).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);
const REFUSAL_LIMIT: Duration = Duration::from_secs(20);

/// What serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The development host, which does what is stricter where the Spins differ.
    Devhost,
    /// Spin 3.
    Spin3,
    /// Spin 4.
    Spin4,
}

impl Kind {
    /// What `CONFORMANCE_HOST` is, by what it says of its version.
    ///
    /// # Panics
    /// When it is not set or none of these.
    pub fn of_host() -> Self {
        let output = Command::new(program()).arg("--version").output().unwrap();
        let version = String::from_utf8(output.stdout).unwrap();
        match version.split_once('.').map(|(start, _)| start) {
            Some("spin 3") => Self::Spin3,
            Some("spin 4") => Self::Spin4,
            _ if version.starts_with("devhost ") => Self::Devhost,
            _ => panic!("CONFORMANCE_HOST is not known: {version}"),
        }
    }
}

/// A running host. Killed when dropped.
pub struct Host {
    child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
    folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// A manifest for the test components; `more` is appended, to `[component.front]` first of all.
pub fn manifest(more: &str) -> String {
    let guests = guests();
    let (front, greeter) = (guests.join("front.wasm"), guests.join("greeter.wasm"));
    format!(
        r#"
spin_manifest_version = 2
[application]
name = "conformance"
version = "1.2.3"
[variables]
database_url = {{ default = "" }}
database_authority = {{ default = "127.0.0.1:1" }}
[[trigger.http]]
route = "/front/..."
component = "front"
[[trigger.http]]
route = "/api/:user_id/..."
component = "front"
[[trigger.http]]
route = "/api/events/headers"
component = "front"
[[trigger.http]]
route = "/static"
static_response = {{ status_code = 201, body = "fixed", headers = {{ x-kind = "static" }} }}
[[trigger.http]]
route = {{ private = true }}
component = "private"
[component.private]
source = {front:?}
dependencies = {{ "devhost:greeter/greeter@1.2.3" = {{ path = {greeter:?} }} }}
[component.front]
source = {front:?}
dependencies = {{ "devhost:greeter" = {{ path = {greeter:?} }} }}
{more}
"#
    )
}

fn guests() -> PathBuf {
    std::env::var_os("CONFORMANCE_GUESTS")
        .expect("CONFORMANCE_GUESTS is the folder of front.wasm and greeter.wasm")
        .into()
}

fn program() -> PathBuf {
    std::env::var_os("CONFORMANCE_HOST")
        .expect("CONFORMANCE_HOST is the program that serves")
        .into()
}

fn command(manifest: &str, arguments: &[&str]) -> (Command, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    // Not 0: Spin calls itself at the address it was told. Nor a port that a connection of another test might be given.
    let address = format!("127.0.0.1:{}", stack::ports::free().unwrap());
    std::fs::write(folder.path().join("spin.toml"), manifest).unwrap();
    let mut command = Command::new(program());
    command
        .current_dir(folder.path())
        .args([
            "up",
            "--from",
            "spin.toml",
            "--listen",
            &address,
            "--state-dir",
            "state",
        ])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    (command, folder)
}

/// What the host says about a manifest that it does not serve.
pub fn refusal(manifest: &str, arguments: &[&str]) -> String {
    let (mut command, _folder) = command(manifest, arguments);
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > REFUSAL_LIMIT {
            let _already_ended = child.kill();
            panic!("it is served: {manifest}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

impl Host {
    /// Serves the test components with `more` in the manifest.
    pub fn start(more: &str, arguments: &[&str]) -> Self {
        let (mut command, folder) = command(&manifest(more), &[arguments, &["--quiet"]].concat());
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let serving = lines
            .find(|line| line.starts_with("Serving"))
            .expect("the host serves");
        // The rest is read so that it can be written.
        std::thread::spawn(move || lines.for_each(drop));
        let address = serving.strip_prefix("Serving http://").unwrap().to_owned();
        Self {
            child,
            address,
            folder,
        }
    }

    /// The same with the database of `DATABASE_URL`.
    pub fn with_database(more: &str) -> Self {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is set");
        let authority = url
            .split_once("://")
            .unwrap()
            .1
            .split(['/', '?'])
            .next()
            .unwrap();
        let authority = authority.rsplit('@').next().unwrap();
        let variables = "variables = { database_url = \"{{ database_url }}\" }\n\
            allowed_outbound_hosts = [\"postgres://{{ database_authority }}\"]\n";
        let (url, authority) = (
            format!("database_url={url}"),
            format!("database_authority={authority}"),
        );
        Self::start(
            &format!("{variables}{more}"),
            &["--variable", &url, "--variable", &authority],
        )
    }

    /// Sends a GET to a path.
    pub fn get(&self, path: &str) -> Answer {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent();
        let mut response = agent
            .get(format!("http://{}{path}", self.address))
            .call()
            .unwrap();
        Answer {
            status: response.status().as_u16(),
            body: response.body_mut().read_to_string().unwrap(),
        }
    }

    /// Opens a connection and writes `request` as it is.
    pub fn raw(&self, request: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request.as_ref()).unwrap();
        stream
    }

    /// The same, and reads until the connection is closed.
    pub fn raw_answer(&self, request: impl AsRef<[u8]>) -> String {
        let mut answer = Vec::new();
        self.raw(request).read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Sends `request`, and asserts that no answer begins within two seconds.
    pub fn stays_silent(&self, request: &str) {
        let mut stream = self.raw(request);
        stream
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        let read = stream.read(&mut [0; 1]);
        assert!(read.is_err(), "an answer has begun");
    }

    /// What a component has printed so far.
    pub fn log(&self, name: &str) -> String {
        // Spin makes the file when there is something to write.
        std::fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    /// The file for what a component prints.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.folder.path().join("state/logs").join(name)
    }

    /// Sends SIGTERM and waits for the end. The folder with the logs is there as long as what this returns.
    pub fn stop(mut self) -> TempDir {
        assert!(self.terminate());
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// Not by SIGKILL: what serves is a child of `spin up`, which could not end it then. Whether it still ran.
    fn terminate(&mut self) -> bool {
        let runs = self.child.try_wait().unwrap().is_none();
        if runs {
            let killed = Command::new("kill")
                .arg(self.child.id().to_string())
                .status()
                .unwrap();
            assert!(killed.success());
            self.child.wait().unwrap();
        }
        runs
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
