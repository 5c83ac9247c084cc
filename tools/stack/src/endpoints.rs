//! What others need to know of a running stack: where it listens and its secrets.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::programs::Programs;
use crate::token;

/// Kafka topic of task events.
pub const TASKS_TOPIC: &str = "tasks";
/// Kafka topic of reminder events.
pub const REMINDERS_TOPIC: &str = "reminders";
/// Kafka topic of records that could not be handled.
pub const DEAD_LETTERS_TOPIC: &str = "tasks-dlq";

/// A running stack, as `up` writes it to `stack.json` and the end-to-end tests get it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoints {
    /// The `xtask` process that runs the stack.
    pub pid: u32,
    /// Base URL of the app, without a slash at the end.
    pub api_url: String,
    /// Base URL of the sidecar's HTTP API.
    pub dapr_url: String,
    /// Base URL of the sidecar's Prometheus metrics (`/metrics`).
    pub dapr_metrics_url: String,
    /// `host:port` of the Kafka broker, where everything is allowed.
    pub kafka: String,
    /// Where the broker is Apache Kafka, the file of the Secrets that Strimzi's operators would make
    /// of its users: a JSON object of objects, by name and key.
    #[serde(default)]
    pub kafka_secrets: Option<PathBuf>,
    /// The app's database.
    pub database_url: String,
    /// The server's maintenance database, in which further databases can be created.
    pub postgres_url: String,
    /// Keys and tokens.
    pub secrets: Secrets,
    /// Folder of logs.
    pub state_dir: PathBuf,
    /// The log file of each service: `postgres`, `broker`, `scheduler`, `app`, `daprd`.
    pub logs: BTreeMap<String, PathBuf>,
    /// Folder of the components' own output: `<component>_stdout.txt`, `<component>_stderr.txt`.
    pub component_logs: PathBuf,
    /// What it was started with, to start more like it.
    pub programs: Programs,
}

/// Generated for each stack; never printed by `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// Key of the users' tokens.
    pub jwt_secret: String,
    /// What the sidecar sends to the app in `dapr-api-token`.
    pub app_token: String,
    /// What the sidecar requires of its callers in `dapr-api-token`.
    pub dapr_token: String,
    /// The database server's superuser, where the stack has its own server.
    pub postgres_password: String,
}

impl Secrets {
    /// New random ones, 256 bits each.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self> {
        Ok(Self {
            jwt_secret: random_hex(32)?,
            app_token: random_hex(32)?,
            dapr_token: random_hex(32)?,
            postgres_password: random_hex(32)?,
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets")
    }
}

/// Random bytes in hexadecimal.
///
/// # Errors
/// When the system gives no randomness.
pub fn random_hex(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).context("no randomness from the system")?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Endpoints {
    /// The variable in which the end-to-end tests get the shared stack, as JSON.
    pub const VARIABLE: &str = "TODO_EVENTS_STACK";

    /// The stack given to the end-to-end tests.
    ///
    /// # Errors
    /// When there is none; the message says how to run the tests.
    pub fn from_env() -> Result<Self> {
        let json = env::var(Self::VARIABLE)
            .context("no stack is given; run the tests with `cargo xtask test --e2e`")?;
        serde_json::from_str(&json).with_context(|| format!("{} is no stack", Self::VARIABLE))
    }

    /// Reads what [`Endpoints::write`] wrote.
    ///
    /// # Errors
    /// When there is no such file or it holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let json =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&json).with_context(|| format!("{} is no stack", path.display()))
    }

    /// Writes it to a file that only its owner may read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_private(path, &serde_json::to_vec_pretty(self)?)
    }

    /// A bearer token for a user, valid for a day.
    ///
    /// # Errors
    /// When the stack's key is unusable.
    pub fn token(&self, user: &str) -> Result<String> {
        token::mint(&self.secrets.jwt_secret, user)
    }

    /// The same for an operator.
    ///
    /// # Errors
    /// When the stack's key is unusable.
    pub fn operator_token(&self, user: &str) -> Result<String> {
        token::mint_with_roles(&self.secrets.jwt_secret, user, &[token::OPERATOR])
    }

    /// Everything a component has printed so far, first its standard output, then its standard
    /// error; empty when it has printed nothing.
    #[must_use]
    pub fn component_log(&self, component: &str) -> String {
        ["stdout", "stderr"]
            .iter()
            .map(|stream| {
                let path = self
                    .component_logs
                    .join(format!("{component}_{stream}.txt"));
                String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
            })
            .collect()
    }
}

/// Replaces a file whole; only its owner may read it.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path
        .parent()
        .with_context(|| format!("{} has no folder", path.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Temporary files are made for their owner alone.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
