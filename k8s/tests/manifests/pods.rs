//! What a SpinApp cannot say of its pods, and what an overlay may say otherwise of their image.

use std::fs;

use serde_json::{Value, json};

use crate::dapr::annotated;
use crate::layer::{Layer, file, file_text, objects_of, render, scalar};

const POD_FIELDS: &str = "k8s/app/pod-fields.yaml";

/// A sidecar that is told to end together with its app still has deliveries in hand, which without an app become dead
/// letters.
#[test]
fn the_app_outlives_its_sidecars_subscriptions() {
    let fields = objects_of("k8s/app/pod-fields.yaml").remove(0);
    let at = |pointer: &str| match fields.pointer(pointer) {
        Some(value) => value,
        None => panic!("k8s/app/pod-fields.yaml has no {pointer}"),
    };
    let container = "/spec/template/spec/containers/0";
    let pause = at(&format!("{container}/lifecycle/preStop/sleep/seconds")).as_u64();
    let grace = at("/spec/template/spec/terminationGracePeriodSeconds").as_u64();
    let (Some(pause), Some(grace)) = (pause, grace) else {
        panic!("no seconds: {fields}");
    };
    // Longer than a delivery lasts, but for one that waits for the database.
    assert!(pause >= 5, "{pause} s");
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        let namespace = app.text_at("/metadata/namespace");
        let place = app.place();
        // The Spin operator names Deployment and container after the app.
        assert_eq!(scalar(at("/metadata/name")), app.name(), "{place}");
        assert_eq!(scalar(at("/metadata/namespace")), namespace, "{place}");
        assert_eq!(scalar(at(&format!("{container}/name"))), app.name());
        let (place, annotations) = annotated(layer);
        let block = annotations["dapr.io/block-shutdown-duration"]
            .strip_suffix('s')
            .and_then(|seconds| seconds.parse::<u64>().ok());
        let Some(block) = block else {
            panic!("{place}: {annotations:?}");
        };
        // It publishes as long as there is an app, and both end before the kubelet ends them.
        assert!(pause < block, "{place}: {pause} s, {block} s");
        assert!(block + 15 <= grace, "{place}: {block} s of {grace} s");
    }
    for document in ["docs/quickstart.md", "k8s/README.md"] {
        let command =
            "kubectl apply --server-side --field-manager=todo-events -f k8s/app/pod-fields.yaml";
        assert!(file_text(document).contains(command), "{document}");
    }
}

#[test]
fn pods_need_no_rights_and_are_spread() {
    let fields = objects_of(POD_FIELDS).remove(0);
    let pod = &fields["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let container = &pod["containers"][0];
    assert_eq!(
        container["securityContext"]["allowPrivilegeEscalation"],
        false
    );
    assert_eq!(
        container["securityContext"]["capabilities"]["drop"],
        json!(["ALL"])
    );
    // The port of the Spin operator is one for which a process of root's would need no leave.
    assert_eq!(
        pod["securityContext"]["sysctls"],
        json!([{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}])
    );
    // Spin's images and compiled modules go below the home of its user, which is / where the user has no name.
    let mounts = container["volumeMounts"].as_array();
    assert!(
        mounts
            .into_iter()
            .flatten()
            .any(|mount| mount["mountPath"] == "/.cache"),
        "{container}"
    );
    for layer in Layer::named("app") {
        let budget = layer.find("PodDisruptionBudget", "todo-events");
        let spread = pod["topologySpreadConstraints"].as_array();
        let spread: Vec<&Value> = spread.into_iter().flatten().collect();
        assert_eq!(spread.len(), 2);
        for each in spread {
            assert_eq!(&each["labelSelector"], budget.at("/spec/selector"));
        }
    }
}

/// A replica that is busy is not killed, one that starts is given time, and one that alone has lost the database gets no
/// requests.
#[test]
fn checks_have_patience() {
    let fields = objects_of(POD_FIELDS).remove(0);
    let startup = &fields["spec"]["template"]["spec"]["containers"][0]["startupProbe"];
    let number = |check: &Value, field: &str| check[field].as_u64().unwrap_or_default();
    let most = |check: &Value| number(check, "periodSeconds") * number(check, "failureThreshold");
    assert!(most(startup) >= 180, "{startup}");
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        let liveness = app.at("/spec/checks/liveness");
        assert!(most(liveness) >= 60, "{}: {liveness}", app.place());
        for check in [startup, liveness] {
            // Spin's own: it takes no instance.
            assert_eq!(check["httpGet"]["path"], "/.well-known/spin/health");
        }
        let readiness = app.at("/spec/checks/readiness");
        assert_eq!(readiness["httpGet"]["path"], "/readyz");
        // As long as a change of the database's primary may take.
        assert!(most(readiness) >= 30, "{}: {readiness}", app.place());
    }
}

/// The SpinApp of an overlay of one's own.
fn app_of(kustomization: &str) -> Value {
    let folder = match tempfile::tempdir_in(file("k8s/tests")) {
        Ok(folder) => folder,
        Err(error) => panic!("no temporary folder: {error}"),
    };
    let fields = file_text("k8s/overlays/prod/app/image-fields.yaml");
    for (name, text) in [
        ("kustomization.yaml", kustomization),
        ("image-fields.yaml", &fields),
    ] {
        if let Err(error) = fs::write(folder.path().join(name), text) {
            panic!("{name}: {error}");
        }
    }
    let output = render(folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8_lossy(&output.stdout);
    let objects: Vec<Value> = match serde_saphyr::from_multiple(&text) {
        Ok(objects) => objects,
        Err(error) => panic!("{error}"),
    };
    let mut apps = objects.into_iter().filter(|each| each["kind"] == "SpinApp");
    match apps.next() {
        Some(app) => app,
        None => panic!("no SpinApp: {text}"),
    }
}

/// As docs/operations.md says: a tag can be moved to another image, a digest cannot.
#[test]
fn an_overlay_can_name_the_image_by_its_digest() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let overlay = file_text("k8s/overlays/prod/app/kustomization.yaml");
    let overlay = overlay.replace("../../../", "../../");
    let pinned = overlay.replace("newTag: 0.1.0", &format!("digest: {digest}"));
    assert_ne!(overlay, pinned);
    let app = app_of(&pinned);
    let image = format!("ghcr.io/todo-events/todo-events@{digest}");
    assert_eq!(app["spec"]["image"], Value::from(image));
}

/// Spin reads Docker's credentials below its user's home, whether pod-fields.yaml was applied already or not.
#[test]
fn an_overlay_can_give_a_password_for_the_registry() {
    for overlay in ["dev", "prod", "shim"] {
        let app = app_of(&format!(
            "resources: [../../overlays/{overlay}/app]\n\
             components: [../../app/private-registry]\n"
        ));
        let mounts = app["spec"]["volumeMounts"].as_array();
        let mounts: Vec<&Value> = mounts.into_iter().flatten().collect();
        for home in ["/.docker", "/root/.docker"] {
            assert!(
                mounts
                    .iter()
                    .any(|mount| mount["name"] == "registry" && mount["mountPath"] == home),
                "{mounts:?}"
            );
        }
        assert!(
            mounts.iter().any(|mount| mount["name"] == "database-ca"),
            "{mounts:?}"
        );
        let secret = &app["spec"]["imagePullSecrets"][0]["name"];
        assert_eq!(secret, "todo-events-registry");
        let volumes = app["spec"]["volumes"].as_array();
        let volume = volumes
            .into_iter()
            .flatten()
            .find(|volume| volume["name"] == "registry");
        let volume = volume.map(|volume| &volume["secret"]);
        assert_eq!(volume.map(|each| &each["secretName"]), Some(secret));
        assert_eq!(
            volume.map(|each| each["items"][0]["path"].clone()),
            Some("config.json".into())
        );
    }
}
