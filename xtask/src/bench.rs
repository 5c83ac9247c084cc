//! Measures the whole service, and another server beside it, in turns.
//!
//! Each turn starts one server with everything it needs on a new database, measures it and stops it, so that no other one
//! takes a share of the machine. Only the Postgres server stays.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cargo::Cargo;
use crate::endpoints::{REMINDERS_TOPIC, Secrets, TASKS_TOPIC};
use crate::programs::{Host, Programs};
use crate::report::Report;
use crate::service::Service;
use crate::stack::StackOptions;
use crate::{interrupt, postgres_server, process, workspace};

mod generator;
mod peer;
mod progress;
mod table;
mod turn;
mod usage;

use generator::Generator;
use peer::Peer;
use progress::Progress;
use turn::{Record, Turn};

/// What this service is called in the results.
const OURS: &str = "todo-events";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Creates, by each number of clients, without and with due dates.
    Create,
    /// Lists, creates, patches, completions and deletes; then the memory.
    Mixed,
    /// Completion to next instance, create to event, and a while of nothing.
    Probes,
    /// What piled up while the sidecar was away; of this service only.
    Drain,
    /// From the app's start until it is ready.
    Start,
}

/// What to measure, and how long.
#[derive(Debug)]
pub struct Options {
    /// What serves the app.
    pub host: Option<Host>,
    /// Numbers of clients.
    pub clients: Vec<usize>,
    /// Of each load.
    pub seconds: f64,
    /// How many turns each server has.
    pub rounds: usize,
    /// Tasks of each of the 100 users before the mixed load.
    pub preload: u64,
    /// How often the probes look.
    pub samples: usize,
    /// Creates while the sidecar is away.
    pub backlog: u64,
    /// Nothing else than these; empty: everything.
    pub only: Vec<Measure>,
    /// Another server to measure.
    pub against: Option<Against>,
    /// Where the results go, a line of JSON for each.
    pub json: Option<PathBuf>,
    /// The Postgres server to use, instead of starting one.
    pub database_url: Option<String>,
}

/// Another server.
#[derive(Debug)]
pub struct Against {
    /// Starts it, by the shell.
    pub command: String,
    /// Its name in the results.
    pub label: String,
    /// SQL that makes its tables.
    pub schema: Option<PathBuf>,
}

/// Measures, and gives the table.
///
/// # Errors
/// When a server does not start. What cannot be measured of one that runs is told and left out.
pub fn run(options: &Options, report: Report) -> Result<String> {
    let mut programs = Programs::prepare(options.host, options.database_url.is_none(), &report)?;
    let cargo = Cargo::take(&report)?;
    let generator = Generator::prepare(&cargo, &report)?;
    let logs = workspace::state_dir().join("bench");
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let postgres = Postgres::start(&programs, options.database_url.as_deref(), &logs)?;
    // The stack is given the server's address.
    programs.postgres = None;

    let mut results = Results::open(options.json.as_deref())?;
    let machine = machine(&programs, options);
    results.line(&machine)?;
    for round in 1..=options.rounds {
        let mut one = |label: &str, measure: &mut dyn FnMut(&mut Sink<'_>) -> Result<()>| {
            report.step(format!("round {round}: {label}"));
            let mut sink = Sink {
                label,
                round,
                report,
                results: &mut results,
            };
            measure(&mut sink).with_context(|| format!("logs are in {}", logs.display()))
        };
        one(OURS, &mut |sink| {
            ours(options, &programs, &generator, &postgres, &logs, sink)
        })?;
        if let Some(against) = &options.against {
            one(&against.label, &mut |sink| {
                theirs(
                    against, options, &programs, &generator, &postgres, &logs, sink,
                )
            })?;
        }
    }
    let labels: Vec<&str> = [OURS]
        .into_iter()
        .chain(
            options
                .against
                .as_ref()
                .map(|against| against.label.as_str()),
        )
        .collect();
    let table = table::render(&results.records, &labels);
    let told = |name: &str| machine.get(name).map(Value::to_string).unwrap_or_default();
    Ok(format!(
        "{}, {} processors {}, {} round(s) of {} s, {}\n\n{table}",
        told("time").trim_matches('"'),
        told("processors"),
        told("processor").trim_matches('"'),
        options.rounds,
        options.seconds,
        told("host").trim_matches('"'),
    ))
}

fn ours(
    options: &Options,
    programs: &Programs,
    generator: &Generator,
    postgres: &Postgres,
    logs: &Path,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let stack = StackOptions::new(programs.clone())
        .postgres(&postgres.url)
        .state_dir(logs)
        .start()?;
    let endpoints = stack.endpoints();
    let mut parts = vec![("app", stack.app())];
    parts.extend(postgres.service.iter().map(|service| ("Postgres", service)));
    parts.push(("sidecar", stack.daprd()));
    parts.push(("broker", stack.broker()?));
    parts.push(("scheduler", stack.scheduler()));
    let address = endpoints
        .api_url
        .strip_prefix("http://")
        .and_then(|address| address.parse().ok())
        .context("the app has no address")?;
    let mut turn = Turn {
        generator,
        options,
        address,
        jwt_secret: &endpoints.secrets.jwt_secret,
        kafka: &endpoints.kafka,
        ready_url: format!("{}/readyz", endpoints.api_url),
        parts,
        progress: Progress::new(
            &endpoints.dapr_metrics_url,
            &endpoints.kafka,
            &[TASKS_TOPIC, REMINDERS_TOPIC],
        ),
        drains: true,
    };
    turn.run(sink)?;
    stack.stop()
}

fn theirs(
    against: &Against,
    options: &Options,
    programs: &Programs,
    generator: &Generator,
    postgres: &Postgres,
    logs: &Path,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let peer = Peer::start(against, programs, &postgres.url, logs)?;
    let mut parts = vec![("app", &peer.app)];
    parts.extend(postgres.service.iter().map(|service| ("Postgres", service)));
    parts.push(("sidecar", &peer.daprd));
    parts.push(("broker", &peer.broker));
    let mut turn = Turn {
        generator,
        options,
        address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, peer.app_port),
        jwt_secret: &peer.jwt_secret,
        kafka: &peer.kafka,
        ready_url: peer.ready_url(),
        parts,
        progress: Progress::new(&peer.metrics_url, &peer.kafka, &[TASKS_TOPIC]),
        drains: false,
    };
    turn.run(sink)
}

/// The server that both use, each with a database of its own. It keeps what was committed as a server in production does:
/// what that costs belongs to what is measured.
struct Postgres {
    url: String,
    service: Option<Service>,
    _folder: Option<tempfile::TempDir>,
}

impl Postgres {
    fn start(programs: &Programs, given: Option<&str>, logs: &Path) -> Result<Self> {
        if let Some(url) = given {
            return Ok(Self {
                url: url.to_owned(),
                service: None,
                _folder: None,
            });
        }
        let programs = programs
            .postgres
            .as_ref()
            .context("no Postgres was prepared")?;
        let folder = tempfile::Builder::new().prefix("todo-events-").tempdir()?;
        // Postgres may run as another user, who passes through to a folder of its own.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
        let data = folder.path().join("postgres");
        let password = Secrets::generate()?.postgres_password;
        let durable = true;
        let log = logs.join("postgres.log");
        let server = postgres_server::server(programs, &data, &password, durable, log)?;
        postgres_server::initialise(programs, &data, &password)?;
        server.service.start()?;
        Ok(Self {
            url: server.url,
            service: Some(server.service),
            _folder: Some(folder),
        })
    }
}

/// Everything measured so far.
struct Results {
    records: Vec<(String, Record)>,
    file: Option<File>,
}

impl Results {
    fn open(path: Option<&Path>) -> Result<Self> {
        let file = path
            .map(|path| {
                File::create(path).with_context(|| format!("cannot write {}", path.display()))
            })
            .transpose()?;
        Ok(Self {
            records: Vec::new(),
            file,
        })
    }

    fn line(&mut self, line: &Value) -> Result<()> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}").context("cannot write the results")?;
        }
        Ok(())
    }
}

/// Takes what one turn measures.
struct Sink<'a> {
    label: &'a str,
    round: usize,
    report: Report,
    results: &'a mut Results,
}

impl Sink<'_> {
    fn take(&mut self, record: Record) -> Result<()> {
        let shown: Vec<String> = record
            .figures
            .iter()
            .take(5)
            .map(|(name, value)| format!("{name} {}", table::number(*value)))
            .collect();
        self.report
            .step(format!("  {}: {}", record.group, shown.join(", ")));
        let figures: serde_json::Map<_, _> = record
            .figures
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        self.results.line(&json!({
            "label": self.label,
            "round": self.round,
            "measure": record.group,
            "time": now(),
            "figures": figures,
            "detail": record.detail,
        }))?;
        self.results.records.push((self.label.to_owned(), record));
        Ok(())
    }

    /// Tells what could not be measured. A signal to stop ends everything.
    fn failed(&mut self, group: &str, error: &anyhow::Error) -> Result<()> {
        interrupt::check()?;
        self.report.step(format!("  {group} failed: {error:#}"));
        self.results.line(&json!({
            "label": self.label,
            "round": self.round,
            "measure": group,
            "time": now(),
            "error": format!("{error:#}"),
        }))
    }
}

fn now() -> String {
    chrono::DateTime::<chrono::Utc>::from(SystemTime::now())
        .format("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// What it ran on: numbers mean little without.
fn machine(programs: &Programs, options: &Options) -> Value {
    let line = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(workspace::root());
        process::read(command, Duration::from_secs(10))
            .ok()
            .and_then(|text| text.lines().next().map(str::to_owned))
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name.to_owned());
    let host = match programs.host {
        Host::Spin => line(&programs.host_program, &["--version"]),
        Host::Devhost => Some("devhost".to_owned()),
    };
    json!({
        "time": now(),
        "processors": std::thread::available_parallelism().map(usize::from).ok(),
        "processor": processor,
        "load_average": fs::read_to_string("/proc/loadavg").ok().map(|text| text.trim().to_owned()),
        "system": line(Path::new("uname"), &["-sr"]),
        "host": host,
        "commit": line(Path::new("git"), &["describe", "--always", "--dirty"]),
        "clients": options.clients,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "preload": options.preload,
    })
}
