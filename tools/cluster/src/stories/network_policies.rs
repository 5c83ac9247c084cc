//! Who reaches whom, from inside of real pods. What must not pass is first seen to pass where it may, so that no check passes
//! because nobody listens.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use stack::report::Report;
use stack::workspace;

use super::disruptions::restart;
use super::task::a_completed_task_has_a_next_instance;
use crate::API_ADDRESS;
use crate::kubectl::Kubectl;
use crate::node::PAUSE;
use crate::pod_network::{Network, Outcome, Outside, PRIVATE, PUBLIC};
use crate::service::Service;

type Labels = &'static [(&'static str, &'static str)];

/// Pods that only wait, and are known to the policies by their namespaces and labels.
const VISITORS: [(&str, &str, Labels); 8] = [
    ("stranger", "strangers", &[]),
    ("neighbour", "todo-app", &[]),
    ("gateway", "visiting-gateway", &[]),
    ("prometheus", "monitoring", &[]),
    ("dapr", "dapr-system", &[]),
    ("scaler", "keda", &[("app", "keda-operator")]),
    (
        "migrations",
        "todo-app",
        &[("app.kubernetes.io/name", "todo-events-migrations")],
    ),
    (
        "collector",
        "todo-app",
        &[
            ("app.kubernetes.io/component", "opentelemetry-collector"),
            ("app.kubernetes.io/instance", "todo-app.otel"),
        ],
    ),
];

/// Pods that are there: by which name they are told of, their namespace, and a label.
const RESIDENTS: [(&str, &str, &str); 9] = [
    ("app", "todo-app", "core.spinkube.dev/app-name=todo-events"),
    ("postgres", "todo-app", "cnpg.io/cluster=todo-events-db"),
    ("broker", "kafka", "strimzi.io/cluster=todo-events"),
    ("names", "kube-system", "k8s-app=kube-dns"),
    ("operator", "dapr-system", "app=dapr-operator"),
    ("sentry", "dapr-system", "app=dapr-sentry"),
    ("placement", "dapr-system", "app=dapr-placement-server"),
    ("scheduler", "dapr-system", "app=dapr-scheduler-server"),
    ("injector", "dapr-system", "app=dapr-sidecar-injector"),
];

/// Who must reach what. The node is let in everywhere, by which a port is seen to be open that is nobody else's business.
const MUST: [(&str, &str); 35] = [
    ("gateway", "app:80"),
    ("prometheus", "app:9090"),
    ("node", "app:3501"),
    ("node", "app:50002"),
    ("app", "postgres:5432"),
    ("migrations", "postgres:5432"),
    ("app", "broker:9093"),
    ("scaler", "broker:9093"),
    ("app", "operator:6500"),
    ("app", "sentry:50001"),
    ("app", "placement:50005"),
    ("app", "scheduler:50006"),
    ("app", "collector:4317"),
    ("app", "collector:4318"),
    ("collector", "prometheus:4317"),
    ("app", "names:53"),
    ("neighbour", "names:53"),
    ("app", "public:443"),
    ("postgres", "public:443"),
    ("postgres", "api:6443"),
    ("stranger", "injector:4000"),
    ("stranger", "public:443"),
    ("stranger", "public:80"),
    ("stranger", "private:443"),
    ("stranger", "api:6443"),
    ("stranger", "prometheus:4317"),
    ("stranger", "operator:6500"),
    ("stranger", "sentry:50001"),
    ("stranger", "placement:50005"),
    ("stranger", "scheduler:50006"),
    ("dapr", "injector:4000"),
    ("node", "app:80"),
    ("node", "postgres:5432"),
    ("node", "broker:9093"),
    ("node", "neighbour:80"),
];

/// Who must not reach what.
const MUST_NOT: [(&str, &[&str]); 8] = [
    (
        "stranger",
        &[
            "app:80",
            "app:9090",
            "app:3501",
            "app:50002",
            "postgres:5432",
            "broker:9093",
            "collector:4317",
            "neighbour:80",
        ],
    ),
    // Its namespace is the app's, and that does not help it.
    (
        "neighbour",
        &[
            "app:80",
            "app:9090",
            "app:3501",
            "app:50002",
            "postgres:5432",
            "broker:9093",
            "collector:4317",
            "operator:6500",
            "public:443",
            "private:443",
            "api:6443",
        ],
    ),
    (
        "gateway",
        &[
            "app:9090",
            "app:3501",
            "app:50002",
            "postgres:5432",
            "broker:9093",
            "neighbour:80",
        ],
    ),
    (
        "prometheus",
        &[
            "app:80",
            "app:3501",
            "app:50002",
            "postgres:5432",
            "broker:9093",
        ],
    ),
    ("scaler", &["app:80", "postgres:5432"]),
    (
        "migrations",
        &["app:80", "broker:9093", "public:443", "api:6443"],
    ),
    (
        "dapr",
        &[
            "app:80",
            "app:3501",
            "app:50002",
            "postgres:5432",
            "broker:9093",
        ],
    ),
    (
        "app",
        &[
            "api:6443",
            "public:80",
            "private:443",
            "injector:4000",
            "prometheus:4317",
            "neighbour:80",
        ],
    ),
];

pub fn network_policies_let_through_what_must_and_nothing_else(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    // What has connected before the policies were there may go on. So all connect anew, the migrations too.
    migrate_again(service).context("the migrations do not get through")?;
    restart(kubectl).context("a new pod of the app does not get what it needs")?;
    let mut made = Vec::new();
    let result = invite(kubectl, &mut made)
        .and_then(|()| Stage::set(kubectl))
        .and_then(|stage| stage.tell(service, kubectl, report));
    let gone = send_away(kubectl, &made);
    result.and(gone)
}

/// As `docs/operations.md`, "Upgrading", says.
fn migrate_again(service: &Service) -> Result<()> {
    let upgrade = service
        .runner
        .blocks("docs/operations.md", "## Upgrading")?;
    let (migrate, _) = upgrade[0]
        .split_once("\n\n")
        .context("the migrations come first, then the app")?;
    service.runner.run(migrate, &workspace::root())
}

/// Makes the visitors, and notes the namespaces that were made for them.
fn invite(kubectl: &Kubectl, made: &mut Vec<&'static str>) -> Result<()> {
    for (name, namespace, labels) in VISITORS {
        if kubectl.read(&["get", "namespace", namespace]).is_err() {
            made.push(namespace);
            kubectl.run(&["create", "namespace", namespace])?;
        }
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": false,
                "containers": [{"name": "wait", "image": PAUSE}],
            },
        });
        kubectl.apply_text(&pod.to_string())?;
    }
    let label = "todo-events/gateway=true";
    kubectl.run(&["label", "namespace", "visiting-gateway", label])?;
    for (name, namespace, _) in VISITORS {
        let pod = format!("pod/{name}");
        kubectl.wait(namespace, &[&pod, "--for=condition=Ready", "--timeout=60s"])?;
    }
    Ok(())
}

fn send_away(kubectl: &Kubectl, made: &[&str]) -> Result<()> {
    for (name, namespace, _) in VISITORS {
        let pod = ["delete", "pod", "-n", namespace, name];
        kubectl.run(&[&pod[..], &["--ignore-not-found", "--wait=false"]].concat())?;
    }
    for namespace in made {
        kubectl.run(&["delete", "namespace", namespace, "--timeout=60s"])?;
    }
    Ok(())
}

/// All who connect, and what they connect to.
struct Stage {
    networks: BTreeMap<&'static str, Network>,
    addresses: BTreeMap<&'static str, IpAddr>,
    // Whoever connects to them is not answered, but is connected.
    _listeners: Vec<TcpListener>,
    _outside: Outside,
}

impl Stage {
    fn set(kubectl: &Kubectl) -> Result<Self> {
        let mut networks = BTreeMap::from([("node", Network::of_node())]);
        let mut addresses = BTreeMap::from([
            ("public", PUBLIC.parse()?),
            ("private", PRIVATE.parse()?),
            ("api", API_ADDRESS.parse::<SocketAddr>()?.ip()),
        ]);
        let visitors = VISITORS.map(|(name, namespace, _)| {
            let field = format!("--field-selector=metadata.name={name}");
            (name, namespace, field)
        });
        let residents = RESIDENTS
            .map(|(name, namespace, label)| (name, namespace, format!("--selector={label}")));
        for (who, namespace, selector) in visitors.into_iter().chain(residents) {
            let (name, address) = running_pod(kubectl, namespace, &selector)?;
            networks.insert(who, Network::of_pod(kubectl, namespace, &name)?);
            addresses.insert(who, address);
        }
        let outside = Outside::make()?;
        let mut listeners = Vec::new();
        for (network, port) in [
            (&networks["collector"], 4317),
            (&networks["collector"], 4318),
            (&networks["prometheus"], 4317),
            (&networks["neighbour"], 80),
            (&outside.network, 443),
            (&outside.network, 80),
        ] {
            listeners.push(network.within(|| Ok(TcpListener::bind(("0.0.0.0", port))?))?);
        }
        Ok(Self {
            networks,
            addresses,
            _listeners: listeners,
            _outside: outside,
        })
    }

    fn tell(&self, service: &Service, kubectl: &Kubectl, report: &Report) -> Result<()> {
        let forbidden = || {
            let all = MUST_NOT.iter();
            all.flat_map(|(who, targets)| targets.iter().map(|target| (*who, *target)))
        };
        for (who, target) in forbidden() {
            ensure!(
                MUST.iter().any(|(_, open)| *open == target),
                "nobody shows that {target} is open, which {who} must not reach"
            );
        }
        let allowed = MUST
            .iter()
            .map(|(who, target)| (*who, *target, Outcome::Connected));
        let checks: Vec<_> = allowed
            .chain(forbidden().map(|(who, target)| (who, target, Outcome::Dropped)))
            .collect();
        let wrong: Vec<String> = thread::scope(|scope| {
            let attempts: Vec<_> = checks
                .iter()
                .map(|(who, target, wanted)| scope.spawn(|| self.check(who, target, *wanted)))
                .collect();
            let results = attempts.into_iter().map(|attempt| {
                attempt
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("an attempt panicked")))
            });
            results
                .filter_map(Result::err)
                .map(|error| format!("  {error:#}"))
                .collect()
        });
        ensure!(
            wrong.is_empty(),
            "{} of {} connections:\n{}",
            wrong.len(),
            checks.len(),
            wrong.join("\n")
        );
        let broker = "todo-events-kafka-bootstrap.kafka.svc.cluster.local";
        for who in ["app", "neighbour"] {
            let found = self.networks[who].resolve(broker)?;
            ensure!(
                found == Some(self.addresses["broker"]),
                "{who} asks for {broker} and gets {found:?}"
            );
        }
        // From where clients' requests come on a larger cluster; the node's own would be let in anyway.
        self.networks["gateway"]
            .within(|| a_completed_task_has_a_next_instance(service, kubectl, report))
            .context("a task does not travel, though all may connect who must")?;
        report.say(format!(
            "  {} connections must pass and do, {} must not and do not",
            MUST.len(),
            forbidden().count()
        ));
        Ok(())
    }

    fn check(&self, who: &str, target: &str, wanted: Outcome) -> Result<()> {
        let (host, port) = target.split_once(':').context("a target has a port")?;
        let network = self.networks.get(who).context("nobody of this name")?;
        let host = self.addresses.get(host).context("no host of this name")?;
        let address = SocketAddr::new(*host, port.parse()?);
        let outcome = network
            .connect(address)
            .with_context(|| format!("{who} to {target}"))?;
        ensure!(
            outcome == wanted,
            "{who} to {target} ({address}): {outcome:?}, not {wanted:?}"
        );
        Ok(())
    }
}

/// The name and the address of the pod that is not about to end.
fn running_pod(kubectl: &Kubectl, namespace: &str, selector: &str) -> Result<(String, IpAddr)> {
    let pods = kubectl.json(&["get", "pods", "-n", namespace, selector])?;
    let pods = pods["items"].as_array().into_iter().flatten();
    let mut running = pods.filter(|pod| {
        pod["metadata"]["deletionTimestamp"] == Value::Null && pod["status"]["phase"] == "Running"
    });
    let Some(pod) = running.next() else {
        bail!("{namespace} has no running pod {selector}");
    };
    let name = pod["metadata"]["name"].as_str().context("a pod's name")?;
    let address = pod["status"]["podIP"].as_str().context("a pod's address")?;
    Ok((name.to_owned(), address.parse()?))
}
