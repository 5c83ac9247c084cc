//! Who reaches whom: selectors match pods that there are, and let in whom they must and nobody else.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::layer::{Layer, Object, file_text, scalar};

/// The labels of every kind of pod there is in a namespace, as whoever makes them sets them.
fn pods(app: &Layer, namespace: &str) -> Vec<Value> {
    if namespace == "kafka" {
        return vec![
            json!({"strimzi.io/cluster": "todo-events", "strimzi.io/kind": "Kafka", "strimzi.io/pool-name": "brokers"}),
            json!({"strimzi.io/cluster": "todo-events", "strimzi.io/kind": "Kafka", "strimzi.io/pool-name": "controllers"}),
        ];
    }
    let postgres = app.beside("postgres");
    let mut pods = Vec::new();
    for each in app.kind("SpinApp") {
        // Spin's operator: constructDeployment in internal/controller/spinapp_controller.go.
        let mut labels = each
            .at("/spec/podLabels")
            .as_object()
            .cloned()
            .unwrap_or_default();
        labels.insert("core.spinkube.dev/app-name".to_owned(), each.name().into());
        labels.insert(
            format!("core.spinkube.dev/app.{}.status", each.name()),
            "ready".into(),
        );
        inject(&mut labels, each.value.pointer("/spec/podAnnotations"));
        pods.push(labels.into());
    }
    for each in app
        .kind("Deployment")
        .into_iter()
        .chain(postgres.kind("Job"))
    {
        let labels = each
            .at("/spec/template/metadata/labels")
            .as_object()
            .cloned();
        let mut labels = labels.unwrap_or_default();
        inject(
            &mut labels,
            each.value.pointer("/spec/template/metadata/annotations"),
        );
        pods.push(labels.into());
    }
    for each in postgres.kind("Cluster") {
        // CloudNativePG: pkg/specs/pods.go and jobs.go.
        pods.push(json!({"cnpg.io/cluster": each.name(), "cnpg.io/podRole": "instance"}));
        pods.push(json!({"cnpg.io/cluster": each.name(), "cnpg.io/jobRole": "initdb"}));
    }
    for each in postgres.kind("Pooler") {
        // pkg/specs/pgbouncer/deployments.go
        let cluster = each.text_at("/spec/cluster/name");
        pods.push(json!({
            "cnpg.io/cluster": cluster, "cnpg.io/podRole": "pooler", "cnpg.io/poolerName": each.name(),
        }));
    }
    for each in app.beside("monitoring").kind("OpenTelemetryCollector") {
        // OpenTelemetry's operator: internal/manifests/manifestutils/labels.go
        let instance = format!("{}.{}", each.text_at("/metadata/namespace"), each.name());
        pods.push(json!({
            "app.kubernetes.io/component": "opentelemetry-collector", "app.kubernetes.io/instance": instance,
        }));
    }
    pods
}

/// Dapr's injector: pkg/injector/patcher/sidecar_patcher.go.
fn inject(labels: &mut Map<String, Value>, annotations: Option<&Value>) {
    if let Some(id) = annotations.and_then(|each| each.get("dapr.io/app-id")) {
        labels.insert("dapr.io/app-id".to_owned(), id.clone());
    }
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    equal
        .into_iter()
        .flatten()
        .all(|(name, value)| labels.get(name) == Some(value))
        && expressions.into_iter().flatten().all(|each| {
            let label = labels.get(scalar(&each["key"]));
            let listed = label.is_some_and(|label| {
                each["values"]
                    .as_array()
                    .is_some_and(|all| all.contains(label))
            });
            match each["operator"].as_str() {
                Some("In") => listed,
                Some("NotIn") => !listed,
                operator => panic!("operator {operator:?}"),
            }
        })
}

/// The namespaces that peers are in: this project's, those of the operators and the system's.
const NAMESPACES: [&str; 7] = [
    "kafka",
    "todo-app",
    "cnpg-system",
    "dapr-system",
    "keda",
    "kube-system",
    "monitoring",
];

fn check_peer(app: &Layer, policy: &Object, peer: &Value) {
    let place = policy.place();
    let mut namespace = policy.text_at("/metadata/namespace");
    if let Some(labels) = peer.pointer("/namespaceSelector/matchLabels") {
        if labels.get("todo-events/gateway").is_some() {
            assert!(
                file_text("k8s/README.md").contains("todo-events/gateway=true"),
                "{place}: nobody labels the gateway"
            );
            return;
        }
        namespace = scalar(&labels["kubernetes.io/metadata.name"]);
        assert!(
            NAMESPACES.contains(&namespace.as_str()),
            "{place}: namespace {namespace}"
        );
    }
    let ours = ["kafka", "todo-app"].contains(&namespace.as_str());
    if let Some(selector) = peer.get("podSelector").filter(|_| ours) {
        let pods = pods(app, &namespace);
        assert!(
            pods.iter().any(|pod| selects(selector, pod)),
            "{place}: {selector} is none of {pods:#?}"
        );
    }
}

#[test]
fn selectors_match_the_labels_that_the_operators_set() {
    let mut checked = BTreeSet::new();
    for app in Layer::named("app") {
        let layers = [app, app.beside("postgres"), app.beside("monitoring")];
        for object in layers.iter().flat_map(|layer| layer.objects()) {
            let kind = scalar(&object.value["kind"]);
            let selector = match kind.as_str() {
                "NetworkPolicy" => object.at("/spec/podSelector"),
                "PodDisruptionBudget" | "PodMonitor" => object.at("/spec/selector"),
                _ => continue,
            };
            let pods = pods(app, &object.text_at("/metadata/namespace"));
            assert!(
                pods.iter().any(|pod| selects(selector, pod)),
                "{}: {selector} is none of {pods:#?}",
                object.place()
            );
            for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
                let rules = object.value["spec"][direction].as_array();
                for rule in rules.into_iter().flatten() {
                    let peers = rule[peers].as_array();
                    peers
                        .into_iter()
                        .flatten()
                        .for_each(|peer| check_peer(app, &object, peer));
                }
            }
            checked.insert(kind);
        }
    }
    assert_eq!(checked.len(), 3, "{checked:?}");
}

/// The ports of the app's pods and the labels that callers of each must have, pod or namespace.
fn admitted(app: &Layer, labels: &Value) -> BTreeSet<(String, String)> {
    let mut admitted = BTreeSet::new();
    for policy in app.kind("NetworkPolicy") {
        if !selects(policy.at("/spec/podSelector"), labels) {
            continue;
        }
        for rule in policy.value["spec"]["ingress"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let ports = rule["ports"]
                .as_array()
                .cloned()
                .unwrap_or_else(|| vec![json!({"port": "all"})]);
            let peers = rule["from"]
                .as_array()
                .cloned()
                .unwrap_or_else(|| vec![json!("anyone")]);
            for port in &ports {
                for peer in &peers {
                    let selector = peer.get("namespaceSelector").or(peer.get("podSelector"));
                    let label =
                        selector.and_then(|each| each["matchLabels"].as_object()?.iter().next());
                    let label = label.map(|(name, value)| format!("{name}={}", scalar(value)));
                    admitted.insert((
                        scalar(&port["port"]),
                        label.unwrap_or_else(|| peer.to_string()),
                    ));
                }
            }
        }
    }
    admitted
}

#[test]
fn only_the_gateway_and_prometheus_get_in_and_on_the_shim_the_sidecar() {
    for app in Layer::named("app") {
        let labels = json!({"core.spinkube.dev/app-name": "todo-events"});
        let gateway = ("80".to_owned(), "todo-events/gateway=true".to_owned());
        let metrics = (
            "9090".to_owned(),
            "kubernetes.io/metadata.name=monitoring".to_owned(),
        );
        let sidecar = "app.kubernetes.io/name=todo-events-sidecar".to_owned();
        if app.name.starts_with("shim/") {
            let expected = [gateway, ("80".to_owned(), sidecar)];
            assert_eq!(admitted(app, &labels), expected.into(), "{}", app.name);
            let labels = json!({"app.kubernetes.io/name": "todo-events-sidecar"});
            let the_app = (
                "3500".to_owned(),
                "core.spinkube.dev/app-name=todo-events".to_owned(),
            );
            assert_eq!(
                admitted(app, &labels),
                [the_app, metrics].into(),
                "{}",
                app.name
            );
        } else {
            assert_eq!(
                admitted(app, &labels),
                [gateway, metrics].into(),
                "{}",
                app.name
            );
        }
        let everyone = app.find("NetworkPolicy", "default-deny");
        assert_eq!(
            everyone.at("/spec"),
            &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
        );
    }
}

/// The ports that pods with these labels may call at a peer whose selector has this label.
fn callable(app: &Layer, labels: &Value, name: &str, value: &str) -> BTreeSet<String> {
    let policies = app.kind("NetworkPolicy").into_iter();
    let policies = policies.filter(|policy| selects(policy.at("/spec/podSelector"), labels));
    let mut ports = BTreeSet::new();
    for rule in policies
        .filter_map(|policy| policy.value["spec"]["egress"].as_array())
        .flatten()
    {
        let has_label = |peer: &Value| {
            ["podSelector", "namespaceSelector"]
                .iter()
                .any(|selector| peer[selector]["matchLabels"][name] == value)
        };
        let peers = rule["to"].as_array();
        if peers.is_some_and(|peers| peers.iter().any(has_label)) {
            let listed = rule["ports"].as_array().into_iter().flatten();
            ports.extend(listed.map(|port| scalar(&port["port"])));
        }
    }
    ports
}

#[test]
fn the_sidecar_and_the_app_may_call_what_they_must() {
    let set = |ports: &[&str]| {
        ports
            .iter()
            .map(|port| (*port).to_owned())
            .collect::<BTreeSet<_>>()
    };
    for app in Layer::named("app") {
        let service = json!({"core.spinkube.dev/app-name": "todo-events"});
        let shim = app.name.starts_with("shim/");
        let sidecar = if shim {
            json!({"app.kubernetes.io/name": "todo-events-sidecar"})
        } else {
            service.clone()
        };
        let namespace = "kubernetes.io/metadata.name";
        let place = &app.name;
        let kafka = app.beside("kafka").find("Kafka", "todo-events");
        let listener = kafka.text_at("/spec/kafka/listeners/0/port");
        assert_eq!(
            callable(app, &sidecar, namespace, "kafka"),
            set(&[&listener]),
            "{place}"
        );
        let peers = kafka.list("/spec/kafka/listeners/0/networkPolicyPeers");
        for caller in ["todo-app", "keda"] {
            let admits =
                |peer: &Value| peer["namespaceSelector"]["matchLabels"][namespace] == caller;
            assert!(
                peers.iter().any(admits),
                "{}: {caller} is not let in",
                kafka.place()
            );
        }
        // Operator, sentry, placement and scheduler: the ports of their pods in Dapr's chart.
        let control_plane = set(&["6500", "50001", "50005", "50006"]);
        assert_eq!(
            callable(app, &sidecar, namespace, "dapr-system"),
            control_plane,
            "{place}"
        );
        assert_eq!(
            callable(app, &service, "cnpg.io/poolerName", "todo-events-db-pooler"),
            set(&["5432"]),
            "{place}"
        );
        let collector = ("app.kubernetes.io/component", "opentelemetry-collector");
        for (pod, port) in [(&service, "4318"), (&sidecar, "4317")] {
            assert!(
                callable(app, pod, collector.0, collector.1).contains(port),
                "{place}: {port}"
            );
        }
        assert_eq!(
            callable(app, &service, namespace, "kube-system"),
            set(&["53"]),
            "{place}"
        );
        if shim {
            let sidecars = ("app.kubernetes.io/name", "todo-events-sidecar");
            assert_eq!(
                callable(app, &service, sidecars.0, sidecars.1),
                set(&["3500"]),
                "{place}"
            );
            assert_eq!(
                callable(app, &sidecar, "core.spinkube.dev/app-name", "todo-events"),
                set(&["80"]),
                "{place}"
            );
        }
    }
}

/// What the API server would fill in is written: then a second apply changes nothing, and a difference is a difference.
#[test]
fn no_default_is_left_to_the_api_server() {
    let mut ports = 0;
    for layer in Layer::all() {
        for policy in layer.kind("NetworkPolicy") {
            for direction in ["ingress", "egress"] {
                let rules = policy.value["spec"][direction].as_array();
                let rules = rules.into_iter().flatten();
                for port in rules.filter_map(|rule| rule["ports"].as_array()).flatten() {
                    assert!(port["protocol"].is_string(), "{}: {port}", policy.place());
                    ports += 1;
                }
            }
        }
        for route in layer.kind("HTTPRoute") {
            let gateway = route.at("/spec/parentRefs/0");
            let rules = route.list("/spec/rules").iter();
            let backends = rules.filter_map(|rule| rule["backendRefs"].as_array());
            for reference in backends.flatten().chain([gateway]) {
                assert!(reference["group"].is_string(), "{}", route.place());
                assert!(reference["kind"].is_string(), "{}", route.place());
                assert!(
                    reference == gateway || reference["weight"] == 1,
                    "{}: {reference}",
                    route.place()
                );
            }
        }
    }
    assert!(ports > 50, "{ports}");
}
