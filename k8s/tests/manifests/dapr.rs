//! The sidecar on Kubernetes is told what the local one is told.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::layer::{Layer, file, file_text, objects_of, scalar};

/// The pods with a sidecar: their annotations, and where they are.
pub fn annotated(layer: &Layer) -> (String, BTreeMap<String, String>) {
    let (object, pointer) = if layer.name.starts_with("shim/") {
        let sidecar = layer.find("Deployment", "todo-events-sidecar");
        (sidecar, "/spec/template/metadata/annotations")
    } else {
        (layer.find("SpinApp", "todo-events"), "/spec/podAnnotations")
    };
    let annotations = object.at(pointer).as_object().into_iter().flatten();
    let annotations = annotations.map(|(name, value)| (name.clone(), scalar(value)));
    (object.place(), annotations.collect())
}

#[test]
fn annotations_are_the_flags_of_the_local_sidecar() {
    // The annotation, the flag.
    let same = [
        ("app-id", "--app-id"),
        ("app-protocol", "--app-protocol"),
        ("app-health-check-path", "--app-health-check-path"),
        ("app-health-probe-interval", "--app-health-probe-interval"),
        ("app-health-probe-timeout", "--app-health-probe-timeout"),
        ("app-health-threshold", "--app-health-threshold"),
        ("block-shutdown-duration", "--dapr-block-shutdown-duration"),
    ];
    let code = file_text("tools/stack/src/services.rs");
    let by_hand = file_text("docs/quickstart.md");
    let compose = file_text("docker-compose.kafka.yml");
    for layer in Layer::named("app") {
        let (place, annotations) = annotated(layer);
        for (annotation, flag) in same {
            let value = &annotations[&format!("dapr.io/{annotation}")];
            assert!(
                code.contains(&format!("(\"{flag}\", \"{value}\")")),
                "{place}: dapr.io/{annotation} is {value}; not so in tools/stack/src/services.rs"
            );
            assert!(
                by_hand.contains(&format!("{flag} {value}")),
                "{place}: dapr.io/{annotation} is {value}; not so in docs/quickstart.md"
            );
            assert!(
                compose.contains(&format!("{flag}={value}\n")),
                "{place}: dapr.io/{annotation} is {value}; not so in docker-compose.kafka.yml"
            );
        }
        for on in ["enabled", "enable-app-health-check"] {
            assert_eq!(annotations[&format!("dapr.io/{on}")], "true", "{place}");
        }
        assert!(code.contains("\"--enable-app-health-check\""));
        // The Spin operator's port.
        assert_eq!(annotations["dapr.io/app-port"], "80", "{place}");
        let configuration = &annotations["dapr.io/config"];
        layer.find("Configuration", configuration);
    }
}

#[test]
fn only_the_shims_app_is_without_a_sidecar() {
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        let annotations = app.value.pointer("/spec/podAnnotations");
        let variables = app.list("/spec/variables");
        let value = |name: &str| variables.iter().find(|each| each["name"] == name);
        let url = value("dapr_url").map(|each| scalar(&each["value"]));
        if layer.name.starts_with("shim/") {
            assert!(annotations.is_none(), "{}", app.place());
            let service = layer.find("Service", "todo-events-sidecar");
            let port = service.text_at("/spec/ports/0/port");
            let namespace = service.text_at("/metadata/namespace");
            let expected = format!("http://{}.{namespace}.svc:{port}", service.name());
            assert_eq!(url, Some(expected), "{}", app.place());
            let (place, annotations) = annotated(layer);
            let back = &annotations["dapr.io/app-channel-address"];
            assert_eq!(back, &format!("{}.{namespace}.svc", app.name()), "{place}");
            let sidecar = layer.find("Deployment", "todo-events-sidecar");
            assert_eq!(
                service.at("/spec/selector"),
                sidecar.at("/spec/selector/matchLabels")
            );
        } else {
            assert_eq!(url.as_deref(), Some("http://127.0.0.1:3500"));
            let name = value("sidecar_name").map(|each| &each["valueFrom"]["fieldRef"]);
            assert_eq!(
                name.map(|field| &field["fieldPath"]),
                Some(&Value::from("metadata.name")),
                "{}",
                app.place()
            );
        }
    }
}

/// The same file, not a copy.
#[test]
fn resiliency_and_relay_are_those_of_the_local_sidecar() {
    for name in ["resiliency.yaml", "relay.yaml"] {
        let path = |folder: &str| match fs::canonicalize(file(folder).join(name)) {
            Ok(path) => path,
            Err(error) => panic!("{folder}/{name}: {error}"),
        };
        assert_eq!(path("dapr/local"), path("k8s/dapr-components"));
    }
}

/// What a component may be told otherwise on Kubernetes: where the brokers are, and how to log in.
const ELSEWHERE: [&str; 6] = [
    "brokers",
    "authType",
    "saslMechanism",
    "saslUsername",
    "saslPassword",
    "caCert",
];

#[test]
fn kafka_components_differ_from_the_local_ones_in_the_brokers_only() {
    for name in ["kafka-pubsub", "kafka-pubsub-reminders"] {
        let settings = |path: String| {
            let component = objects_of(&path).remove(0);
            let settings = component["spec"]["metadata"].as_array().cloned();
            let settings = settings.into_iter().flatten();
            let settings: BTreeMap<String, String> = settings
                .map(|each| (scalar(&each["name"]), scalar(&each["value"])))
                .filter(|(name, _)| !ELSEWHERE.contains(&name.as_str()))
                .collect();
            assert_eq!(component["metadata"]["name"], name, "{path}");
            assert!(settings.len() >= 8, "{path}: {settings:?}");
            (component["scopes"].clone(), settings)
        };
        assert_eq!(
            settings(format!("k8s/dapr-components/{name}.yaml")),
            settings(format!("dapr/local/{name}.yaml")),
            "{name}"
        );
    }
}

#[test]
fn components_are_for_the_app_alone() {
    for layer in Layer::named("app") {
        let (place, annotations) = annotated(layer);
        for kind in ["Component", "Resiliency"] {
            for object in layer.kind(kind) {
                let scopes: Vec<String> = object.list("/scopes").iter().map(scalar).collect();
                assert_eq!(
                    scopes,
                    [annotations["dapr.io/app-id"].clone()],
                    "{}, {place}",
                    object.place()
                );
            }
        }
    }
}
