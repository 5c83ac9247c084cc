//! Plays Strimzi's, CloudNativePG's and KEDA's operators, none of whose images can be made here: they read the same resources,
//! start one server each, make the Secrets that the operators would, and say that they are ready.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use postgres::{Client, NoTls};
use serde_json::{Value, json};
use stack::process;

use crate::certificates::issue_by;
use crate::documents::Overlay;
use crate::kubectl::Kubectl;
use crate::operators::apply_certificate;
use crate::service::secret;

/// How long a server may take to start.
const LIMIT: Duration = Duration::from_secs(180);

/// The operators that are played, in a thread of their own, until dropped.
pub struct StandIns {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl StandIns {
    /// Begins to watch for resources.
    pub fn start(kubectl: &Kubectl, folder: &Path, overlay: Overlay) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let player = Player {
            kubectl: kubectl.clone(),
            folder: folder.to_owned(),
            overlay,
            ended: Arc::clone(&ended),
        };
        let thread = thread::spawn(move || {
            let played = player
                .kafka()
                .and_then(|()| player.postgres())
                .and_then(|()| player.kafka_access())
                .and_then(|()| match overlay {
                    Overlay::Dev => Ok(()),
                    Overlay::Prod => player.scaling(),
                });
            // Said at once: the command that waits for what is missing waits for minutes.
            if let Err(error) = &played {
                eprintln!("an operator that is played failed: {error:#}");
            }
            played
        });
        Ok(Self {
            ended,
            thread: Some(thread),
        })
    }

    /// Fails with what an operator failed with.
    pub fn check(&mut self) -> Result<()> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(thread) = self.thread.take()
        {
            return thread
                .join()
                .unwrap_or_else(|_| bail!("an operator that is played panicked"));
        }
        Ok(())
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

struct Player {
    kubectl: Kubectl,
    folder: PathBuf,
    overlay: Overlay,
    ended: Arc<AtomicBool>,
}

impl Player {
    fn until_there(&self, namespace: &str, resource: &str) -> Result<Value> {
        self.kubectl.until(resource, Duration::from_secs(1200), || {
            if self.ended.load(Ordering::Relaxed) {
                bail!("stopped before there was a {resource}");
            }
            Ok(self.kubectl.json(&["get", "-n", namespace, resource]).ok())
        })
    }

    /// A folder for a server's data that its user may write to.
    fn data(&self, name: &str) -> Result<()> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        Ok(())
    }

    /// Applies the manifests of a server, which gets the processor time and the memory that its resource asks for: with none,
    /// pods that start would take all the processors from it.
    fn apply(&self, manifests: &str, resources: &Value) -> Result<()> {
        let mut resources = resources.clone();
        if self.overlay == Overlay::Prod {
            // There, they have nodes of their own.
            resources["requests"]["cpu"] = json!("200m");
        }
        let manifests = manifests
            .replace("@FOLDER@", &self.folder.display().to_string())
            .replace("@RESOURCES@", &resources.to_string());
        self.kubectl.apply_text(&manifests)
    }

    fn ready(&self, namespace: &str, resources: &[&str]) -> Result<()> {
        let ready = json!({"status": {"conditions": [{
            "type": "Ready", "status": "True", "reason": "Played", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}})
        .to_string();
        for resource in resources {
            let names = self
                .kubectl
                .read(&["get", resource, "-n", namespace, "-o", "name"])?;
            for name in names.lines() {
                self.kubectl.run(&[
                    "patch",
                    name,
                    "-n",
                    namespace,
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    &ready,
                ])?;
            }
        }
        Ok(())
    }

    fn kafka(&self) -> Result<()> {
        let kafka = self.until_there("kafka", "kafka/todo-events")?;
        let brokers = self.until_there("kafka", "kafkanodepool/brokers")?;
        self.data("kafka")?;
        self.data("kafka-secrets")?;
        self.apply(
            include_str!("../resources/kafka.yaml"),
            &brokers["spec"]["resources"],
        )?;
        self.kubectl
            .apply_text(&broker_policy(&kafka).to_string())?;
        self.kubectl
            .until("the broker's users", LIMIT, || {
                Ok(fs::metadata(self.secrets()).ok())
            })
            .with_context(|| {
                self.kubectl
                    .read(&[
                        "logs",
                        "-n",
                        "kafka",
                        "statefulset/todo-events-brokers",
                        "--tail=30",
                    ])
                    .unwrap_or_default()
            })?;
        self.ready("kafka", &["kafka", "kafkatopics", "kafkausers"])
    }

    fn secrets(&self) -> PathBuf {
        self.folder.join("kafka-secrets/secrets.json")
    }

    /// The Access Operator's part.
    fn kafka_access(&self) -> Result<()> {
        self.until_there("todo-app", "kafkaaccess/kafka-todo-events")?;
        let secrets: Value = serde_json::from_slice(&fs::read(self.secrets())?)?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kafka-todo-events", "namespace": "todo-app"},
            "stringData": secrets["kafka-todo-events"],
        });
        self.kubectl.apply_text(&secret.to_string())
    }

    fn postgres(&self) -> Result<()> {
        let cluster = self.until_there("todo-app", "clusters.postgresql.cnpg.io/todo-events-db")?;
        self.certify(&cluster)?;
        let made = |name: &str, data: Value| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "todo-app"}, "stringData": data,
            })
        };
        let password = uuid::Uuid::now_v7().simple().to_string();
        let admin = uuid::Uuid::now_v7().simple().to_string();
        for secret in [
            made(
                "todo-events-db-app",
                json!({"username": "todo", "password": password}),
            ),
            made(
                "todo-events-db-superuser",
                json!({"username": "postgres", "password": admin}),
            ),
        ] {
            self.kubectl.apply_text(&secret.to_string())?;
        }
        self.apply(
            include_str!("../resources/postgres.yaml"),
            &cluster["spec"]["resources"],
        )?;
        self.kubectl
            .run(&[
                "rollout",
                "status",
                "-n",
                "todo-app",
                "statefulset/todo-events-db",
                "--timeout=120s",
            ])
            .with_context(|| self.kubectl.describe("todo-app"))?;
        self.create_database(&admin, &password)?;
        self.ready("todo-app", &["clusters.postgresql.cnpg.io"])
    }

    /// KEDA's part, without load: as many replicas as there are at least.
    fn scaling(&self) -> Result<()> {
        let scaled = self.until_there("todo-app", "scaledobject/todo-events")?;
        let target = scaled["spec"]["scaleTargetRef"]["name"]
            .as_str()
            .context("the ScaledObject has a target")?;
        self.kubectl.run(&[
            "scale",
            "-n",
            "todo-app",
            &format!("deployment/{target}"),
            &format!("--replicas={}", scaled["spec"]["minReplicaCount"]),
        ])
    }

    /// The server's certificate, of the authority that the resource names.
    fn certify(&self, cluster: &Value) -> Result<()> {
        let certificates = &cluster["spec"]["certificates"];
        let authority = certificates["serverCASecret"]
            .as_str()
            .context("the Cluster names no authority")?;
        let certificate = secret(&self.kubectl, authority, "ca.crt")?;
        let key = secret(&self.kubectl, authority, "ca.key")?;
        let more = certificates["serverAltDNSNames"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let names: Vec<&str> = ["todo-events-db-rw.todo-app.svc"]
            .into_iter()
            .chain(more)
            .collect();
        let server = issue_by(&certificate, &pkcs8(&key)?, "todo-events-db", &names)?;
        apply_certificate(
            &self.kubectl,
            "todo-app",
            "todo-events-db-server",
            &server,
            &certificate,
        )
    }

    /// What CloudNativePG does at `bootstrap.initdb`.
    fn create_database(&self, admin: &str, password: &str) -> Result<()> {
        let cluster = self.kubectl.json(&[
            "get",
            "-n",
            "todo-app",
            "clusters.postgresql.cnpg.io/todo-events-db",
        ])?;
        let address = service_address(&self.kubectl, "todo-app", "todo-events-db-rw")?;
        let mut client =
            self.kubectl
                .until("the database's answer", Duration::from_secs(60), || {
                    TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
                    Ok(Some(connect(address, "postgres", admin, "postgres")?))
                })?;
        client.batch_execute(&format!("CREATE ROLE todo LOGIN PASSWORD '{password}'"))?;
        client.batch_execute("CREATE DATABASE todo OWNER todo")?;
        let mut client = connect(address, "postgres", admin, "todo")?;
        for statement in cluster["spec"]["bootstrap"]["initdb"]["postInitApplicationSQL"]
            .as_array()
            .into_iter()
            .flatten()
        {
            client.batch_execute(statement.as_str().context("a statement is text")?)?;
        }
        Ok(())
    }
}

/// Who may connect to the brokers' listeners, as Strimzi says it.
fn broker_policy(kafka: &Value) -> Value {
    let listeners = kafka["spec"]["kafka"]["listeners"].as_array();
    let ingress: Vec<Value> = listeners
        .into_iter()
        .flatten()
        .map(|listener| {
            let ports = json!([{"port": listener["port"], "protocol": "TCP"}]);
            match &listener["networkPolicyPeers"] {
                Value::Null => json!({"ports": ports}),
                peers => json!({"from": peers, "ports": ports}),
            }
        })
        .collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "todo-events-network-policy-kafka", "namespace": "kafka"},
        "spec": {
            "podSelector": {"matchLabels": {"strimzi.io/cluster": "todo-events", "strimzi.io/kind": "Kafka"}},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    })
}

/// A private key in the form that every library reads.
fn pkcs8(key: &str) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), key)?;
    let mut openssl = Command::new("openssl");
    openssl
        .args(["pkcs8", "-topk8", "-nocrypt", "-in"])
        .arg(file.path());
    process::read(openssl, Duration::from_secs(10))
}

/// The address of a Service, as a program on the node reaches it.
pub fn service_address(kubectl: &Kubectl, namespace: &str, name: &str) -> Result<SocketAddr> {
    let service = kubectl.json(&["get", "service", "-n", namespace, name])?;
    let address = service["spec"]["clusterIP"]
        .as_str()
        .context("a service has an address")?;
    let port = service["spec"]["ports"][0]["port"]
        .as_u64()
        .context("a service has a port")?;
    format!("{address}:{port}").parse().context("an address")
}

/// A connection to the database.
pub fn connect(address: SocketAddr, user: &str, password: &str, database: &str) -> Result<Client> {
    let mut config = postgres::Config::new();
    config
        .host(&address.ip().to_string())
        .port(address.port())
        .user(user)
        .password(password)
        .dbname(database);
    config.connect_timeout(Duration::from_secs(5));
    config
        .connect(NoTls)
        .context("cannot connect to the database")
}
