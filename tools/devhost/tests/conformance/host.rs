//! A devhost process that serves the test components, and ways to talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

/// A running devhost. Killed when dropped.
pub struct Host {
    child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
    folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
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
    std::env::var_os("DEVHOST_TEST_GUESTS")
        .expect("DEVHOST_TEST_GUESTS is the folder of front.wasm and greeter.wasm")
        .into()
}

fn command(manifest: &str, arguments: &[&str]) -> (Command, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spin.toml"), manifest).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_devhost"));
    command
        .current_dir(folder.path())
        .args([
            "up",
            "--from",
            "spin.toml",
            "--listen",
            "127.0.0.1:0",
            "--state-dir",
            "state",
        ])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    (command, folder)
}

/// What devhost says about a manifest that it does not serve.
pub fn refusal(manifest: &str, arguments: &[&str]) -> String {
    let (mut command, _folder) = command(manifest, arguments);
    let output = command.output().unwrap();
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
            .expect("devhost serves");
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

    /// What a component has printed so far.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("state/logs").join(name)).unwrap()
    }

    /// Sends SIGTERM, and returns how it ended.
    pub fn stop(mut self) -> ExitStatus {
        let killed = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        self.child.wait().unwrap();
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
