//! What a stack is started with.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Stack;
use crate::endpoints::Endpoints;
use crate::programs::Programs;
use crate::report::Report;

/// Partitions of each topic of events.
const PARTITIONS: i32 = 3;

/// What to start, and with what.
#[derive(Debug)]
pub struct StackOptions {
    pub(super) programs: Programs,
    pub(super) postgres_url: Option<String>,
    pub(super) kafka: Option<String>,
    pub(super) apache_kafka: bool,
    pub(super) persist: Option<PathBuf>,
    pub(super) listen: Option<SocketAddrV4>,
    pub(super) broker_on_disk: bool,
    pub(super) partitions: i32,
    pub(super) variables: Vec<(String, String)>,
    pub(super) spans: Option<String>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) report: Report,
}

impl StackOptions {
    /// A throw-away stack with its own Postgres server and broker, serving on a free port.
    #[must_use]
    pub fn new(programs: Programs) -> Self {
        Self {
            programs,
            postgres_url: None,
            kafka: None,
            apache_kafka: false,
            persist: None,
            listen: None,
            broker_on_disk: false,
            partitions: PARTITIONS,
            variables: Vec::new(),
            spans: None,
            state_dir: None,
            report: Report::silent(),
        }
    }

    /// A further stack beside a running one, for a test: the same programs, Postgres server and kind
    /// of broker, but a database, broker and everything else of its own. It logs each request.
    #[must_use]
    pub fn beside(endpoints: &Endpoints) -> Self {
        let mut options = Self::new(endpoints.programs.clone()).postgres(&endpoints.postgres_url);
        options.apache_kafka = endpoints.kafka_secrets.is_some();
        options.variable("log_level", "debug")
    }

    /// Uses a server by the address of one of its databases; one more is created in it for the
    /// stack, and dropped with it unless it is to [persist](Self::persist).
    #[must_use]
    pub fn postgres(mut self, url: &str) -> Self {
        self.postgres_url = Some(url.to_owned());
        self
    }

    /// Starts a Postgres server of the stack's own, so that it can be stopped and killed.
    #[must_use]
    pub fn own_postgres(mut self) -> Self {
        self.postgres_url = None;
        self
    }

    /// Uses a broker by its `host:port`; topics that it lacks are created.
    #[must_use]
    pub fn kafka(mut self, address: &str) -> Self {
        self.kafka = Some(address.to_owned());
        self
    }

    /// Runs Apache Kafka, with access control and the topics and users of `k8s/kafka/strimzi`, and
    /// gives the sidecar the components of `k8s/dapr-components`. The programs must have been
    /// prepared [`with_kafka`](Programs::with_kafka).
    #[must_use]
    pub fn apache_kafka(mut self) -> Self {
        self.apache_kafka = true;
        self
    }

    /// Runs the small broker, whichever the shared stack has: it can be told to [refuse writes](Stack::refuse_writes).
    #[must_use]
    pub fn small_broker(mut self) -> Self {
        self.apache_kafka = false;
        self
    }

    /// Keeps data and secrets in a folder, for the next stack started with it.
    #[must_use]
    pub fn persist(mut self, folder: &Path) -> Self {
        self.persist = Some(folder.to_owned());
        self
    }

    /// Serves the app on this address; whatever it is, 127.0.0.1 has to reach it.
    #[must_use]
    pub fn listen(mut self, address: SocketAddrV4) -> Self {
        self.listen = Some(address);
        self
    }

    /// Lets the small broker of a throw-away stack survive being killed; in memory it loses
    /// everything. Apache Kafka always survives.
    #[must_use]
    pub fn broker_on_disk(mut self) -> Self {
        self.broker_on_disk = true;
        self
    }

    /// Partitions of the small broker's topics `tasks` and `reminders`.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets a variable of `spin.toml`, over what the stack sets.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has the sidecar send its spans to an address, as Zipkin takes them. By default it has none.
    #[must_use]
    pub fn spans(mut self, address: &str) -> Self {
        self.spans = Some(address.to_owned());
        self
    }

    /// Where logs go. By default a temporary folder, which stays when a test panics.
    #[must_use]
    pub fn state_dir(mut self, folder: &Path) -> Self {
        self.state_dir = Some(folder.to_owned());
        self
    }

    /// Prints each step.
    #[must_use]
    pub fn report(mut self, report: Report) -> Self {
        self.report = report;
        self
    }

    /// Starts everything and waits until events flow. When something fails, what was started is
    /// stopped and the error holds the end of that service's log.
    ///
    /// # Errors
    /// When a service does not start.
    pub fn start(self) -> Result<Stack> {
        Stack::start(self)
    }
}
