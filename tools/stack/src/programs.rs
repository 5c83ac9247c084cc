//! The programs a stack is made of: found, or built and kept.
//!
//! All that exists only for some kind of machine is in this folder: [`cargo`]'s target folder, which clones share;
//! `debian_toolchain`, where rustup cannot download; [`postgres`] and [`kafka`], downloaded or found; `devhost`, where there
//! is no Spin. What starts the service is given paths, and does not know which of these ways they came.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::{process, workspace};

pub mod build_cache;
pub mod cargo;
pub mod components;
mod debian_toolchain;
mod devhost;
pub mod kafka;
mod kubernetes;
pub mod postgres;
pub mod wasm_target;

use cargo::Cargo;
use kafka::KafkaPrograms;
pub use kubernetes::KubernetesTools;
use postgres::PostgresPrograms;

/// The line of Dapr versions whose `daprd` may be used as installed.
const DAPR_LINE: &str = "1.18.";

/// What serves `spin.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    /// The `spin` program.
    Spin,
    /// The development host in `tools/devhost`.
    Devhost,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spin => "spin",
            Self::Devhost => "devhost",
        })
    }
}

impl FromStr for Host {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "spin" => Ok(Self::Spin),
            "devhost" => Ok(Self::Devhost),
            _ => bail!("neither spin nor devhost"),
        }
    }
}

/// Paths of everything a stack starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Programs {
    /// Serves the components.
    pub host: Host,
    /// The program of `host`.
    pub host_program: PathBuf,
    /// Dapr's sidecar.
    pub daprd: PathBuf,
    /// Dapr's scheduler.
    pub scheduler: PathBuf,
    /// The local Kafka broker.
    pub broker: PathBuf,
    /// Applies database migrations.
    pub migrate: PathBuf,
    /// The database server, unless one is given by its address.
    pub postgres: Option<PostgresPrograms>,
    /// Apache Kafka, where it is wanted.
    #[serde(default)]
    pub kafka: Option<KafkaPrograms>,
}

impl Programs {
    /// Finds or builds all programs, and compiles the components.
    ///
    /// `host`: `spin` when it is on `PATH`, else the development host, unless one is asked for.
    /// `own_postgres`: whether a database server is needed.
    ///
    /// # Errors
    /// When something is missing that cannot be built; the message says what to install.
    pub fn prepare(host: Option<Host>, own_postgres: bool, report: &Report) -> Result<Self> {
        // What is missing is said at once, not after minutes of building.
        let spin = choose_spin(host)?;
        if workspace::find_program("go").is_none() {
            bail!("Go 1.26 or later is needed; install it and put it on PATH");
        }
        let cargo = Cargo::take(report)?;
        let (go_programs, postgres, rust_programs) = thread::scope(|scope| {
            let go_programs = scope.spawn(|| GoPrograms::prepare(report));
            let postgres = scope.spawn(|| {
                own_postgres
                    .then(|| postgres::prepare(&cargo, report))
                    .transpose()
            });
            let rust_programs =
                components::build(&cargo, report).and_then(|()| host_program(spin, &cargo, report));
            (go_programs.join(), postgres.join(), rust_programs)
        });
        let (host, host_program) = rust_programs?;
        let go_programs =
            go_programs.map_err(|_| anyhow!("building the Go programs panicked"))??;
        let postgres = postgres.map_err(|_| anyhow!("finding Postgres panicked"))??;
        Ok(Self {
            host,
            host_program,
            daprd: go_programs.daprd,
            scheduler: go_programs.scheduler,
            broker: go_programs.broker,
            migrate: go_programs.migrate,
            postgres,
            kafka: None,
        })
    }

    /// Adds Apache Kafka, for [`apache_kafka`](crate::StackOptions::apache_kafka).
    ///
    /// # Errors
    /// As [`kafka::check`], or when its libraries cannot be downloaded.
    pub fn with_kafka(mut self, report: &Report) -> Result<Self> {
        self.kafka = Some(kafka::prepare(report)?);
        Ok(self)
    }
}

/// The `spin` to serve with; `None` to serve with the development host.
fn choose_spin(wanted: Option<Host>) -> Result<Option<PathBuf>> {
    match (wanted, workspace::find_program("spin")) {
        (Some(Host::Devhost), _) | (None, None) => Ok(None),
        (Some(Host::Spin), None) => {
            bail!("spin is not on PATH; install it, or serve with `--host devhost`")
        }
        (Some(Host::Spin) | None, Some(spin)) => Ok(Some(spin)),
    }
}

fn host_program(spin: Option<PathBuf>, cargo: &Cargo, report: &Report) -> Result<(Host, PathBuf)> {
    match spin {
        Some(spin) => {
            report.step(format!("serving with {}", spin.display()));
            Ok((Host::Spin, spin))
        }
        None => Ok((Host::Devhost, devhost::build(cargo, report)?)),
    }
}

struct GoPrograms {
    daprd: PathBuf,
    scheduler: PathBuf,
    broker: PathBuf,
    migrate: PathBuf,
}

impl GoPrograms {
    fn prepare(report: &Report) -> Result<Self> {
        let built = build_go_programs(report)?;
        let (daprd, scheduler) = match installed_dapr() {
            Some(installed) => {
                report.step(format!(
                    "using the installed Dapr: {} and {}",
                    installed.0.display(),
                    installed.1.display()
                ));
                installed
            }
            None => (built.join("daprd"), built.join("scheduler")),
        };
        Ok(Self {
            daprd,
            scheduler,
            broker: built.join("broker"),
            migrate: built.join("migrate"),
        })
    }
}

/// `daprd` and `scheduler` of a suitable version, both on `PATH` or both where Dapr's own installer
/// puts them.
fn installed_dapr() -> Option<(PathBuf, PathBuf)> {
    let by_installer = env::var_os("HOME").map(|home| Path::new(&home).join(".dapr/bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(by_installer)
        .map(|folder| (folder.join("daprd"), folder.join("scheduler")))
        .find(|(daprd, scheduler)| is_suitable(daprd) && is_suitable(scheduler))
}

fn is_suitable(program: &Path) -> bool {
    if !workspace::is_executable(program) {
        return false;
    }
    let mut command = Command::new(program);
    command.arg("--version");
    process::read(command, Duration::from_secs(10)).is_ok_and(|version| {
        version
            .trim_start_matches("Runtime version: ")
            .trim_start_matches('v')
            .starts_with(DAPR_LINE)
    })
}

/// Builds `tools/dapr` and returns the folder of the programs.
fn build_go_programs(report: &Report) -> Result<PathBuf> {
    let what = "daprd, scheduler, broker and migrate with Go";
    let built = build_cache::get("dapr", what, report, |sources, into| {
        build_cache::go_build(sources, into, &["./cmd/..."])?;
        build_cache::go_build(&sources.join("migrate"), into, &["-tags", "pgx5", "tool"])
    })?;
    Ok(built.join("bin"))
}
