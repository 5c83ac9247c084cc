//! Requests made from the API's description: Schemathesis, against a running stack.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use postgres::{Client, NoTls};
use sha2::{Digest, Sha256};

use crate::endpoints::Endpoints;
use crate::programs::build_cache;
use crate::report::Report;
use crate::{process, workspace};

/// The user whose tasks are made and broken.
const USER: &str = "fuzz";

/// What is missing when there is no Python.
const PYTHON_NEEDED: &str = "Python 3.11 or later with its module venv is needed for the API fuzz; \
    install it (on Debian: python3 and python3-venv) and put python3 on PATH";

/// How long installing Schemathesis may take.
const INSTALLING: Duration = Duration::from_secs(600);

/// How long the requests may take.
const FUZZING: Duration = Duration::from_secs(600);

/// Schemathesis, installed.
pub struct Fuzz {
    python: PathBuf,
}

impl Fuzz {
    /// Finds Schemathesis in the cache or installs it there, keyed by what it requires.
    ///
    /// # Errors
    /// When there is no suitable Python, or what is required cannot be downloaded.
    pub fn prepare(report: &Report) -> Result<Self> {
        let version = python_version()?;
        let requirements = folder().join("requirements.txt");
        let content = fs::read(&requirements)
            .with_context(|| format!("cannot read {}", requirements.display()))?;
        let digest = Sha256::new().chain_update(&version).chain_update(content);
        let name = format!("schemathesis-{}", build_cache::short(digest));
        let installed = build_cache::kept(&name, "schemathesis", |folder| {
            report.step("installing Schemathesis with pip");
            let mut venv = Command::new("python3");
            venv.args(["-m", "venv"]).arg(folder);
            process::read(venv, INSTALLING).context(PYTHON_NEEDED)?;
            let mut install = Command::new(folder.join("bin/python"));
            install
                .args(["-m", "pip", "--quiet", "--disable-pip-version-check"])
                .args(["install", "--require-hashes", "--requirement"])
                .arg(&requirements);
            process::read(install, INSTALLING).context("Schemathesis cannot be installed")?;
            report.step("Schemathesis installed");
            Ok(())
        })?;
        Ok(Self {
            python: installed.join("bin/python"),
        })
    }

    /// The Python that has Schemathesis, and what else `tests/fuzz/requirements.in` names.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Requires that the description is valid OpenAPI, and that the stack answers as described to requests made from
    /// it, valid and invalid ones. Prints what failed.
    ///
    /// # Errors
    /// When something is not as described.
    pub fn run(&self, stack: &Endpoints, report: &Report) -> Result<()> {
        let mut validator = Command::new(&self.python);
        validator
            .args(["-m", "openapi_spec_validator"])
            .arg(workspace::root().join("components/task-api/openapi.json"));
        process::read(validator, Duration::from_secs(60))
            .context("openapi.json is not valid OpenAPI 3.1")?;
        notify(stack)?;
        let mut requests = Command::new(&self.python);
        requests
            .args(["-m", "schemathesis.cli", "--config-file"])
            .arg(folder().join("schemathesis.toml"))
            .args(["run", &format!("{}/openapi.json", stack.api_url)])
            .args(["--continue-on-failure", "--no-color"])
            .env("SCHEMATHESIS_HOOKS", folder().join("hooks.py"))
            .env("FUZZ_TOKEN", stack.token(USER)?)
            .env("FUZZ_USER", USER)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_PROXY", "*")
            // It keeps what it found beside the logs, for `st replay`.
            .current_dir(&stack.state_dir);
        let output = process::capture(requests, FUZZING)?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            eprintln!("{printed}{}", String::from_utf8_lossy(&output.stderr));
            bail!(
                "the service does not answer as openapi.json says ({})",
                output.status
            );
        }
        report.step(format!("API fuzz: {}", summary(&printed)?));
        Ok(())
    }
}

/// Where the requirements and the configuration are.
fn folder() -> PathBuf {
    workspace::root().join("tests/fuzz")
}

/// The version of `python3`, such as `3.11.7`.
fn python_version() -> Result<String> {
    let mut python = Command::new("python3");
    python.args([
        "-c",
        "import sys; print('.'.join(map(str, sys.version_info[:3]))); sys.exit(sys.version_info < (3, 11))",
    ]);
    process::read(python, Duration::from_secs(60)).context(PYTHON_NEEDED)
}

/// Gives the user notifications, which nobody can make by requests.
fn notify(stack: &Endpoints) -> Result<()> {
    let mut database = Client::connect(&stack.database_url, NoTls)?;
    database.execute(
        // Half of them of a task that is open and due then, so that they can be put off.
        "WITH task AS (
            SELECT create_task(
                $1, gen_random_uuid(),
                '{\"title\": \"Water plants\", \"due_date\": \"2100-01-01T09:00:00Z\", \"priority\": \"low\", \"tags\": [],
                    \"timezone\": \"UTC\", \"is_recurring\": false}',
                NULL, NULL, jsonb_build_object('event_id', gen_random_uuid(), 'sidecar', 'nobody')
            ) -> 'task' AS task
        )
        INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, due_date)
        SELECT gen_random_uuid(), $1, CASE n % 2 WHEN 0 THEN (task ->> 'id')::uuid ELSE gen_random_uuid() END,
            'Water plants', now() - n * interval '1 second', (task ->> 'due_date')::timestamptz
        FROM task, generate_series(1, 60) AS n",
        &[&USER],
    )?;
    Ok(())
}

/// The line that counts the requests: `1243 generated, 1243 passed, …`.
fn summary(printed: &str) -> Result<&str> {
    let line = printed.lines().find(|line| line.contains(" generated, "));
    line.map(str::trim).context("Schemathesis sent no request")
}
