//! Every layer is what Kubernetes and its operators accept.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::layer::{Layer, TOOLS, file, run};

/// The built-in types are those of this version, the newest that kubectl-validate contains.
const KUBERNETES: &str = "1.30";

fn validate(manifests: &Path) -> Output {
    run(Command::new(&TOOLS.kubectl_validate)
        .arg(manifests)
        .args(["--version", KUBERNETES, "--local-crds"])
        .arg(file("k8s/tests/crds"))
        // No cluster that someone is logged in to has a say.
        .env("KUBECONFIG", "/dev/null"))
}

/// What is wrong with manifests; nothing if they are valid.
fn complaints(manifests: &str) -> String {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("no temporary folder: {error}"),
    };
    let file = folder.path().join("manifests.yaml");
    if let Err(error) = fs::write(&file, manifests) {
        panic!("cannot write {}: {error}", file.display());
    }
    let output = validate(&file);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() == said.is_empty(),
        "{}: {said}",
        output.status
    );
    said
}

#[test]
fn every_layer_renders_and_is_valid() {
    let mut names = Vec::new();
    for layer in Layer::all() {
        let said = complaints(&layer.text);
        assert!(said.is_empty(), "k8s/overlays/{}: {said}", layer.name);
        names.push(layer.name.as_str());
    }
    assert_eq!(
        names,
        [
            "dev/app",
            "dev/kafka",
            "dev/monitoring",
            "dev/postgres",
            "prod/app",
            "prod/kafka",
            "prod/monitoring",
            "prod/postgres",
            "prod/scaling",
            "shim/app",
        ]
    );
}

/// A mistake in a layer: what is written, what is put in its place, and what must be said about it.
struct Mistake(&'static str, &'static str, &'static str, &'static str);

const MISTAKES: [Mistake; 8] = [
    Mistake(
        "prod/app",
        "  executor: spintainer\n",
        "  executor: spintainer\n  replica: 3\n",
        "spec.replica: Invalid value: value provided for unknown field",
    ),
    Mistake(
        "prod/app",
        "  enableAutoscaling: true\n",
        "  enableAutoscaling: always\n",
        "spec.enableAutoscaling in body must be of type boolean",
    ),
    Mistake(
        "prod/app",
        "  executor: spintainer\n",
        "",
        "spec.executor: Required value",
    ),
    // A built-in type.
    Mistake(
        "prod/app",
        "  policyTypes:\n  - Ingress\n  - Egress\n",
        "  policyTypes: Ingress\n",
        "spec.policyTypes in body must be of type array",
    ),
    // A version that Strimzi has retired.
    Mistake(
        "prod/kafka",
        "kafka.strimzi.io/v1\nkind: KafkaUser",
        "kafka.strimzi.io/v1beta2\nkind: KafkaUser",
        "failed to locate OpenAPI spec for GV: kafka.strimzi.io/v1beta2",
    ),
    Mistake(
        "prod/postgres",
        "  instances: 3\n",
        "  instances: 0\n",
        "spec.instances in body should be greater than or equal to 1",
    ),
    Mistake(
        "prod/monitoring",
        "  podMetricsEndpoints:",
        "  podMetricsEndpoint:",
        "spec.podMetricsEndpoint: Invalid value: value provided for unknown field",
    ),
    Mistake(
        "dev/app",
        "dapr.io/v1alpha1\nkind: Resiliency",
        "dapr.io/v1alpha1\nkind: Resilience",
        "kind Resilience not found in dapr.io/v1alpha1",
    ),
];

#[test]
fn mistakes_are_found() {
    for Mistake(layer, right, wrong, complaint) in MISTAKES {
        let text = &Layer::get(layer).text;
        assert!(text.contains(right), "{layer} has no {right:?}");
        let said = complaints(&text.replacen(right, wrong, 1));
        assert!(said.contains(complaint), "{layer}, {wrong:?}: {said:?}");
    }
}

/// The Spin operator refuses an app whose executor it does not know yet, and `kubectl apply` keeps the order.
#[test]
fn the_executor_comes_before_the_app() {
    for layer in Layer::named("app") {
        let kinds: Vec<&str> = layer
            .objects()
            .filter_map(|object| object.value["kind"].as_str())
            .collect();
        let position = |kind| kinds.iter().position(|each| *each == kind);
        let (executor, app) = (position("SpinAppExecutor"), position("SpinApp"));
        assert!(
            executor.is_some() && executor < app,
            "{}: {kinds:?}",
            layer.name
        );
        let app = layer.find("SpinApp", "todo-events");
        let executor = app.text_at("/spec/executor");
        assert_eq!(layer.kind("SpinAppExecutor")[0].name(), executor);
    }
}

/// `kubectl apply` keeps what it applied in an annotation, and an object's annotations may be this large.
#[test]
fn no_object_is_too_large_to_be_applied() {
    for layer in Layer::all() {
        for object in layer.objects() {
            let size = object.value.to_string().len();
            assert!(size < 200 * 1024, "{}: {size} bytes", object.place());
        }
    }
}

/// Which of the two numbers there must be is said by the operator's webhook, not by the definition.
#[test]
fn the_replicas_are_fixed_or_scaled() {
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        let scaled = app.value.pointer("/spec/enableAutoscaling").is_some();
        let fixed = app.value.pointer("/spec/replicas").is_some();
        assert!(scaled != fixed, "{}", app.place());
        assert_eq!(scaled, layer.scaling().is_some(), "{}", layer.name);
        // KEDA's webhook wants the Deployment, which is not there yet when this layer is applied.
        assert!(layer.kind("ScaledObject").is_empty(), "{}", layer.name);
        assert_eq!(scaled, !layer.name.starts_with("dev/"));
    }
}
