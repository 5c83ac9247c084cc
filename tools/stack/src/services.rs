//! How each service of a stack is started, and when it counts as ready.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::dapr_resources::DaprResources;
use crate::endpoints::Secrets;
use crate::folders::Folders;
use crate::programs::{Host, Programs};
use crate::service::{Launch, Service, accepts};
use crate::{net, ports, postgres_server, process, workspace};

/// Every port a stack listens on.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    /// The app's, with the address it listens on.
    pub(crate) app: SocketAddrV4,
    pub(crate) broker: u16,
    /// Where a test lets the small broker refuse writes.
    pub(crate) broker_faults: u16,
    pub(crate) kafka_clients: u16,
    pub(crate) kafka_controller: u16,
    pub(crate) dapr_http: u16,
    pub(crate) dapr_grpc: u16,
    pub(crate) dapr_internal_grpc: u16,
    pub(crate) dapr_metrics: u16,
    pub(crate) scheduler: u16,
    pub(crate) scheduler_health: u16,
    pub(crate) scheduler_metrics: u16,
    pub(crate) etcd_client: u16,
    pub(crate) etcd_peer: u16,
}

impl Ports {
    pub(crate) fn choose(app: Option<SocketAddrV4>) -> Result<Self> {
        let app = match app {
            Some(address) if address.ip().is_loopback() || address.ip().is_unspecified() => address,
            Some(address) => {
                bail!("{address} is not reached by the sidecar; listen on 127.0.0.1 or 0.0.0.0")
            }
            None => SocketAddrV4::new(Ipv4Addr::LOCALHOST, ports::free()?),
        };
        Ok(Self {
            app,
            broker: ports::free()?,
            broker_faults: ports::free()?,
            kafka_clients: ports::free()?,
            kafka_controller: ports::free()?,
            dapr_http: ports::free()?,
            dapr_grpc: ports::free()?,
            dapr_internal_grpc: ports::free()?,
            dapr_metrics: ports::free()?,
            scheduler: ports::free()?,
            scheduler_health: ports::free()?,
            scheduler_metrics: ports::free()?,
            etcd_client: ports::free()?,
            etcd_peer: ports::free()?,
        })
    }

    /// Those of a further app and sidecar beside these.
    pub(crate) fn of_replica(&self) -> Result<Self> {
        Ok(Self {
            app: SocketAddrV4::new(Ipv4Addr::LOCALHOST, ports::free()?),
            dapr_http: ports::free()?,
            dapr_grpc: ports::free()?,
            dapr_internal_grpc: ports::free()?,
            dapr_metrics: ports::free()?,
            ..self.clone()
        })
    }
}

pub(crate) fn broker(
    programs: &Programs,
    ports: &Ports,
    topics: &[(&str, i32)],
    folders: &Folders,
    on_disk: bool,
) -> Result<Service> {
    let mut arguments = flags(&[
        ("--listen", &local(ports.broker)),
        ("--faults", &local(ports.broker_faults)),
    ]);
    if on_disk {
        let data = folders.data.join("broker");
        std::fs::create_dir_all(&data)
            .with_context(|| format!("cannot make {}", data.display()))?;
        arguments.extend(["--data-dir".to_owned(), data.display().to_string()]);
    }
    for (topic, partitions) in topics {
        arguments.extend(["--topic".to_owned(), format!("{topic}:{partitions}")]);
    }
    let launch = Launch {
        name: "broker",
        program: programs.broker.clone(),
        arguments,
        environment: Vec::new(),
        folder: folders.data.clone(),
        user: None,
        stop: Signal::TERM,
        death: Signal::KILL,
        log: folders.log("broker"),
        limit: Duration::from_secs(20),
    };
    Ok(Service::new(launch, accepts(ports.broker)))
}

/// Apache Kafka, as the manifests describe it.
pub(crate) fn kafka(programs: &Programs, ports: &Ports, folders: &Folders) -> Result<Service> {
    let kafka = programs
        .kafka
        .as_ref()
        .context("Apache Kafka was not prepared")?;
    let data = folders.kafka();
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let k8s = workspace::root().join("k8s");
    let path = |path: &Path| path.display().to_string();
    let secrets = folders.kafka_secrets();
    let launch = Launch {
        name: "broker",
        program: kafka.program.clone(),
        arguments: flags(&[
            ("--java", &path(&kafka.java)),
            ("--jars", &path(&kafka.jars)),
            ("--data-dir", &path(&data)),
            ("--secrets", &path(&secrets)),
            ("--manifests", &path(&k8s.join("kafka/strimzi"))),
            ("--manifests", &path(&k8s.join("dapr-components"))),
            ("--listen", &local(ports.broker)),
            ("--listen-tls", &local(ports.kafka_clients)),
            ("--listen-controller", &local(ports.kafka_controller)),
        ]),
        environment: Vec::new(),
        folder: folders.data.clone(),
        user: None,
        stop: Signal::TERM,
        // It has a child that serves, and stops it.
        death: Signal::TERM,
        log: folders.log("broker"),
        limit: Duration::from_secs(90),
    };
    let accepts = accepts(ports.broker);
    Ok(Service::new(launch, move || {
        accepts()?;
        if !secrets.exists() {
            bail!("its users are not created yet");
        }
        Ok(())
    }))
}

pub(crate) fn scheduler(programs: &Programs, ports: &Ports, folders: &Folders) -> Result<Service> {
    const ID: &str = "scheduler-0";
    let data = folders.data.join("scheduler");
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let launch = Launch {
        name: "scheduler",
        program: programs.scheduler.clone(),
        arguments: flags(&[
            ("--id", ID),
            ("--port", &ports.scheduler.to_string()),
            ("--listen-address", "127.0.0.1"),
            ("--override-broadcast-host-port", &local(ports.scheduler)),
            ("--healthz-port", &ports.scheduler_health.to_string()),
            ("--healthz-listen-address", "127.0.0.1"),
            ("--metrics-port", &ports.scheduler_metrics.to_string()),
            ("--metrics-listen-address", "127.0.0.1"),
            ("--etcd-data-dir", &data.display().to_string()),
            ("--etcd-client-port", &ports.etcd_client.to_string()),
            ("--etcd-client-listen-address", "127.0.0.1"),
            (
                "--etcd-initial-cluster",
                &format!("{ID}=http://{}", local(ports.etcd_peer)),
            ),
        ]),
        environment: Vec::new(),
        folder: folders.data.clone(),
        user: None,
        stop: Signal::TERM,
        death: Signal::KILL,
        log: folders.log("scheduler"),
        limit: Duration::from_secs(60),
    };
    let health = format!("http://{}/healthz", local(ports.scheduler_health));
    Ok(Service::new(launch, move || {
        net::get(&health, &[]).map(drop)
    }))
}

/// Brings the database to the newest migration.
pub(crate) fn migrate(programs: &Programs, database_url: &str) -> Result<()> {
    let (_, address) = database_url
        .split_once("://")
        .context("the database's address has no scheme")?;
    let mut command = Command::new(&programs.migrate);
    command
        .arg("-path")
        .arg(workspace::root().join("migrations"))
        .args(["-database", &format!("pgx5://{address}"), "up"]);
    let output = process::capture(command, Duration::from_secs(120))?;
    if !output.status.success() {
        // Not the command itself: it holds the database's password.
        bail!(
            "migrations failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// What the app is started with.
pub(crate) struct App<'a> {
    /// The name of its log and of the folder of its state.
    pub(crate) name: &'a str,
    pub(crate) programs: &'a Programs,
    pub(crate) ports: &'a Ports,
    pub(crate) folders: &'a Folders,
    pub(crate) secrets: &'a Secrets,
    pub(crate) database_url: &'a str,
    pub(crate) variables: &'a [(String, String)],
}

pub(crate) fn app(app: &App<'_>) -> Result<Service> {
    let root = workspace::root();
    let authority = postgres_server::authority(app.database_url)?;
    let dapr_url = format!("http://{}", local(app.ports.dapr_http));
    // The defaults too: for each variable that it is not given, Spin looks into the environment, in each instance that
    // connects to anything, and that costs as much as a small request.
    let mut variables = defaults(&root.join("spin.toml"))?;
    let given = [
        ("database_url", app.database_url),
        ("database_authority", &authority),
        ("dapr_url", &dapr_url),
        ("dapr_api_token", &app.secrets.dapr_token),
        ("app_api_token", &app.secrets.app_token),
        ("jwt_secret", &app.secrets.jwt_secret),
    ];
    let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
    variables.extend(given.into_iter().chain(app.variables.iter().cloned()));
    let state = app.folders.state.join(app.name);
    let mut arguments = vec!["up".to_owned()];
    arguments.extend(flags(&[
        ("--from", &root.join("spin.toml").display().to_string()),
        ("--listen", &app.ports.app.to_string()),
        ("--state-dir", &state.display().to_string()),
    ]));
    arguments.push("--quiet".to_owned());
    for (name, value) in variables {
        arguments.extend(["--variable".to_owned(), format!("{name}={value}")]);
    }
    std::fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    let launch = Launch {
        name: "app",
        program: app.programs.host_program.clone(),
        arguments,
        // With backtraces Spin makes one for each error that it meets, which are many where all is well.
        environment: vec![("RUST_BACKTRACE", "0".to_owned())],
        folder: root,
        user: None,
        stop: Signal::TERM,
        death: match app.programs.host {
            // It has a child that serves, and passes this on to it.
            Host::Spin => Signal::TERM,
            Host::Devhost => Signal::KILL,
        },
        log: app.folders.log(app.name),
        limit: Duration::from_secs(60),
    };
    Ok(Service::new(launch, accepts(app.ports.app.port())))
}

/// The variables of a manifest that have a default.
fn defaults(manifest: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let manifest: toml::Table = text.parse().context("spin.toml is no TOML")?;
    let variables = manifest.get("variables").and_then(toml::Value::as_table);
    Ok(variables
        .into_iter()
        .flatten()
        .filter_map(|(name, variable)| {
            let default = variable.get("default")?.as_str()?;
            Some((name.clone(), default.to_owned()))
        })
        .collect())
}

/// What a sidecar is started with.
pub(crate) struct Sidecar<'a> {
    /// The name of its log.
    pub(crate) name: &'a str,
    pub(crate) programs: &'a Programs,
    pub(crate) ports: &'a Ports,
    pub(crate) folders: &'a Folders,
    pub(crate) secrets: &'a Secrets,
    pub(crate) kafka: &'a str,
    pub(crate) resources: &'a DaprResources,
}

pub(crate) fn daprd(sidecar: &Sidecar<'_>) -> Service {
    let Sidecar { ports, secrets, .. } = *sidecar;
    let mut arguments = flags(&[
        ("--app-id", "todo-events"),
        ("--app-protocol", "http"),
        ("--app-port", &ports.app.port().to_string()),
        ("--app-health-check-path", "/readyz/deliveries"),
        ("--app-health-probe-interval", "1"),
        // A dead app must be noticed before the retries of a delivery run out, after 1.2 s at the least.
        ("--app-health-probe-timeout", "900"),
        ("--app-health-threshold", "1"),
        // Told to end, it ends its subscriptions at once, and goes on publishing as long as there is an app.
        ("--dapr-block-shutdown-duration", "10s"),
        ("--dapr-listen-addresses", "127.0.0.1"),
        ("--dapr-http-port", &ports.dapr_http.to_string()),
        ("--dapr-grpc-port", &ports.dapr_grpc.to_string()),
        (
            "--dapr-internal-grpc-port",
            &ports.dapr_internal_grpc.to_string(),
        ),
        ("--dapr-internal-grpc-listen-address", "127.0.0.1"),
        ("--metrics-port", &ports.dapr_metrics.to_string()),
        ("--metrics-listen-address", "127.0.0.1"),
        ("--scheduler-host-address", &local(ports.scheduler)),
    ]);
    arguments.push("--enable-app-health-check".to_owned());
    arguments.extend(sidecar.resources.flags());
    let launch = Launch {
        name: "daprd",
        program: sidecar.programs.daprd.clone(),
        arguments,
        environment: vec![
            ("TODO_EVENTS_KAFKA_BROKERS", sidecar.kafka.to_owned()),
            ("APP_API_TOKEN", secrets.app_token.clone()),
            ("DAPR_API_TOKEN", secrets.dapr_token.clone()),
        ],
        folder: sidecar.folders.data.clone(),
        user: None,
        stop: Signal::TERM,
        death: Signal::KILL,
        log: sidecar.folders.log(sidecar.name),
        limit: Duration::from_secs(60),
    };
    let url = format!("http://{}/v1.0", local(ports.dapr_http));
    let token = secrets.dapr_token.clone();
    Service::new(launch, move || {
        let headers = [("dapr-api-token", token.as_str())];
        net::get(&format!("{url}/healthz"), &headers)?;
        let metadata = net::get(&format!("{url}/metadata"), &headers)?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
        let subscriptions = metadata.get("subscriptions").and_then(|all| all.as_array());
        if subscriptions.is_none_or(Vec::is_empty) {
            bail!("it has not subscribed to any topic");
        }
        Ok(())
    })
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn flags(flags: &[(&str, &str)]) -> Vec<String> {
    flags
        .iter()
        .flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()])
        .collect()
}
