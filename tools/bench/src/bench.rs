//! Measures the whole service, and another server beside it, in turns.
//!
//! Each turn starts one server with everything it needs on a new database, measures it and stops it, so that no other one
//! takes a share of the machine. Only the Postgres server stays.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::{Value, json};
use stack::StackOptions;
use stack::endpoints::{REMINDERS_TOPIC, Secrets, TASKS_TOPIC};
use stack::programs::cargo::Cargo;
use stack::programs::{Host, Programs};
use stack::report::Report;
use stack::service::Service;
use stack::{interrupt, postgres_server, workspace};

mod figures;
mod generator;
mod machine;
mod peer;
mod progress;
mod table;
mod turn;
mod usage;

use generator::Generator;
use machine::Machine;
use peer::Peer;
use progress::Progress;
use turn::{Record, Turn};

/// What this service is called in the results.
const OURS: &str = "todo-events";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// Creates, without and with due dates
    Create,
    /// Lists, creates, patches, completions and deletes, and the memory after them
    Mixed,
    /// Completion to next instance, create to event, and a while of nothing
    Probes,
    /// What piled up while the sidecar was away; of this service only
    Drain,
    /// From the app's start until it is ready
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

/// Measures, and prints the table: that of what was measured, when something fails.
///
/// # Errors When a server does not start. If something of a running server cannot be measured, it is reported and left
/// out.
pub fn run(options: &Options, report: Report) -> Result<()> {
    let mut programs = Programs::prepare(options.host, options.database_url.is_none(), &report)?;
    let cargo = Cargo::take(&report)?;
    let generator = Generator::prepare(&cargo, &report)?;
    let logs = workspace::state_dir().join("bench");
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let postgres = Postgres::start(&programs, options.database_url.as_deref(), &logs)?;
    // The stack is given the server's address.
    programs.postgres = None;

    let mut results = Results::open(options.json.as_deref())?;
    let machine = Machine::look(&programs);
    results.line(&json!({
        "machine": machine,
        "clients": options.clients,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "preload": options.preload,
    }))?;
    let bench = Bench {
        options,
        programs,
        generator,
        postgres,
        logs,
    };
    let outcome = bench.rounds(&mut results, report);
    let mut labels = vec![OURS];
    labels.extend(options.against.iter().map(|against| against.label.as_str()));
    report.say(format!(
        "\n{machine}; {} round(s), {} s each load\n\n{}",
        options.rounds,
        options.seconds,
        table::render(&results.records, &labels)
    ));
    outcome.with_context(|| format!("logs are in {}", bench.logs.display()))
}

/// What the turns need.
struct Bench<'a> {
    options: &'a Options,
    programs: Programs,
    generator: Generator,
    postgres: Postgres,
    logs: PathBuf,
}

impl Bench<'_> {
    fn rounds(&self, results: &mut Results, report: Report) -> Result<()> {
        for round in 1..=self.options.rounds {
            self.ours(&mut Sink::new(OURS, round, results, report))?;
            if let Some(against) = &self.options.against {
                self.theirs(
                    against,
                    &mut Sink::new(&against.label, round, results, report),
                )?;
            }
        }
        Ok(())
    }

    fn ours(&self, sink: &mut Sink<'_>) -> Result<()> {
        let stack = StackOptions::new(self.programs.clone())
            .postgres(&self.postgres.url)
            .state_dir(&self.logs)
            .start()?;
        let endpoints = stack.endpoints();
        let address = endpoints
            .api_url
            .strip_prefix("http://")
            .and_then(|address| address.parse().ok())
            .context("the app has no address")?;
        let mut turn = Turn {
            generator: &self.generator,
            options: self.options,
            address,
            jwt_secret: &endpoints.secrets.jwt_secret,
            kafka: &endpoints.kafka,
            ready_url: format!("{}/readyz", endpoints.api_url),
            parts: self.parts(
                stack.app(),
                &[
                    ("sidecar", stack.daprd()),
                    ("broker", stack.broker()?),
                    ("scheduler", stack.scheduler()),
                ],
            ),
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

    fn theirs(&self, against: &Against, sink: &mut Sink<'_>) -> Result<()> {
        let peer = Peer::start(against, &self.programs, &self.postgres.url, &self.logs)?;
        let mut turn = Turn {
            generator: &self.generator,
            options: self.options,
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, peer.app_port),
            jwt_secret: &peer.jwt_secret,
            kafka: &peer.kafka,
            ready_url: peer.ready_url(),
            parts: self.parts(
                &peer.app,
                &[("sidecar", &peer.daprd), ("broker", &peer.broker)],
            ),
            progress: Progress::new(&peer.metrics_url, &peer.kafka, &[TASKS_TOPIC]),
            drains: false,
        };
        turn.run(sink)
    }

    /// The parts of a service. A Postgres server that was given is none of them: it may do other work.
    fn parts<'s>(
        &'s self,
        app: &'s Service,
        others: &[(&'static str, &'s Service)],
    ) -> Vec<(&'static str, &'s Service)> {
        let postgres = self.postgres.service.as_ref();
        [("app", app)]
            .into_iter()
            .chain(postgres.map(|service| ("Postgres", service)))
            .chain(others.iter().copied())
            .collect()
    }
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

impl<'a> Sink<'a> {
    fn new(label: &'a str, round: usize, results: &'a mut Results, report: Report) -> Self {
        report.step(format!("round {round}: {label}"));
        Self {
            label,
            round,
            report,
            results,
        }
    }

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
