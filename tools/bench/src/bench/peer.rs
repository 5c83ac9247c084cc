//! Another server with the same routes, behind a broker and a sidecar of its own.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use super::Against;
use stack::endpoints::{DEAD_LETTERS_TOPIC, Secrets, TASKS_TOPIC, random_hex};
use stack::programs::Programs;
use stack::service::{Launch, Service, accepts};
use stack::{net, ports, postgres_server};

/// As many as this project's own stack has.
const PARTITIONS: i32 = 3;

/// The other server, running. Dropped, it stops, and its database goes.
pub(crate) struct Peer {
    pub(crate) daprd: Service,
    pub(crate) app: Service,
    pub(crate) broker: Service,
    pub(crate) app_port: u16,
    pub(crate) metrics_url: String,
    pub(crate) kafka: String,
    pub(crate) jwt_secret: String,
    database: String,
    postgres_url: String,
    _folder: TempDir,
}

impl Peer {
    /// Starts it on a new database of the server.
    pub(crate) fn start(
        against: &Against,
        programs: &Programs,
        postgres_url: &str,
        logs: &Path,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("todo-events-bench-")
            .tempdir()?;
        let database = format!("peer_{}", random_hex(6)?);
        let database_url = postgres_server::with_database(postgres_url, &database)?;
        let jwt_secret = Secrets::generate()?.jwt_secret;
        let (app_port, dapr_port, broker_port) = (ports::free()?, ports::free()?, ports::free()?);
        let metrics_port = ports::free()?;
        let kafka = format!("127.0.0.1:{broker_port}");

        let launch = |name, program: &Path, arguments| Launch {
            name,
            program: program.to_owned(),
            arguments,
            environment: Vec::new(),
            folder: folder.path().to_owned(),
            user: None,
            stop: Signal::TERM,
            death: Signal::KILL,
            log: logs.join(format!("{name}.log")),
            limit: Duration::from_secs(60),
        };
        let broker = words(&[
            "--listen",
            &kafka,
            "--topic",
            &format!("{TASKS_TOPIC}:{PARTITIONS}"),
            "--topic",
            &format!("{DEAD_LETTERS_TOPIC}:1"),
        ]);
        let broker = Service::new(
            launch("peer-broker", &programs.broker, broker),
            accepts(broker_port),
        );
        let mut app = launch(
            "peer",
            Path::new("/bin/sh"),
            words(&["-c", &format!("exec {}", against.command)]),
        );
        app.folder = env::current_dir().context("no working directory")?;
        app.environment = vec![
            ("DATABASE_URL", database_url.clone()),
            ("JWT_SECRET", jwt_secret.clone()),
            ("APP_PORT", app_port.to_string()),
            ("DAPR_HTTP_PORT", dapr_port.to_string()),
        ];
        let ready = ready_url(app_port);
        let app = Service::new(app, move || net::get(&ready, &[]).map(drop));
        let daprd = daprd_arguments(folder.path(), &kafka, app_port, dapr_port, metrics_port)?;
        let daprd = Service::new(
            launch("peer-daprd", &programs.daprd, daprd),
            subscribed(dapr_port),
        );

        let peer = Self {
            daprd,
            app,
            broker,
            app_port,
            metrics_url: format!("http://127.0.0.1:{metrics_port}"),
            kafka,
            jwt_secret,
            database,
            postgres_url: postgres_url.to_owned(),
            _folder: folder,
        };
        postgres_server::create_database(postgres_url, &peer.database)?;
        if let Some(schema) = &against.schema {
            let statements = fs::read_to_string(schema)
                .with_context(|| format!("cannot read {}", schema.display()))?;
            postgres_server::connect(&database_url)?
                .batch_execute(&statements)
                .with_context(|| format!("{} cannot be applied", schema.display()))?;
        }
        peer.broker.start()?;
        peer.app.start()?;
        // It asks the app for its subscriptions once, when it starts.
        peer.daprd.start()?;
        Ok(peer)
    }

    /// What answers as soon as the server is ready.
    pub(crate) fn ready_url(&self) -> String {
        ready_url(self.app_port)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for service in [&self.daprd, &self.app, &self.broker] {
            if let Err(error) = service.kill() {
                eprintln!("stopping {}: {error:#}", service.name());
            }
        }
        if let Err(error) = postgres_server::drop_database(&self.postgres_url, &self.database) {
            eprintln!("removing the peer's database: {error:#}");
        }
    }
}

fn ready_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/dapr/subscribe")
}

fn daprd_arguments(
    folder: &Path,
    kafka: &str,
    app_port: u16,
    dapr_port: u16,
    metrics_port: u16,
) -> Result<Vec<String>> {
    let components = folder.join("components");
    fs::create_dir(&components)?;
    let component = format!(
        "apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: kafka-pubsub
spec:
  type: pubsub.kafka
  version: v1
  metadata:
    - {{ name: brokers, value: \"{kafka}\" }}
    - {{ name: authType, value: none }}
    - {{ name: consumerGroup, value: peer }}
    - {{ name: initialOffset, value: oldest }}
    - {{ name: version, value: 3.0.0 }}
"
    );
    fs::write(components.join("kafka-pubsub.yaml"), component)?;
    Ok(words(&[
        "--app-id",
        "todo",
        "--app-protocol",
        "http",
        "--app-port",
        &app_port.to_string(),
        "--dapr-listen-addresses",
        "127.0.0.1",
        "--dapr-http-port",
        &dapr_port.to_string(),
        "--dapr-grpc-port",
        &ports::free()?.to_string(),
        "--dapr-internal-grpc-port",
        &ports::free()?.to_string(),
        "--dapr-internal-grpc-listen-address",
        "127.0.0.1",
        "--metrics-port",
        &metrics_port.to_string(),
        "--metrics-listen-address",
        "127.0.0.1",
        "--resources-path",
        &components.display().to_string(),
        "--log-level",
        "warn",
    ]))
}

fn subscribed(dapr_port: u16) -> impl Fn() -> Result<()> + Send + Sync + 'static {
    let url = format!("http://127.0.0.1:{dapr_port}/v1.0");
    move || {
        net::get(&format!("{url}/healthz"), &[])?;
        let metadata: serde_json::Value =
            serde_json::from_str(&net::get(&format!("{url}/metadata"), &[])?)?;
        let subscriptions = metadata.get("subscriptions").and_then(|all| all.as_array());
        if subscriptions.is_none_or(Vec::is_empty) {
            bail!("it has not subscribed to any topic");
        }
        Ok(())
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
