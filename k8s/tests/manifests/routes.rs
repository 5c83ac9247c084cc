//! Nothing public leads to the sidecar's routes, and spans find their collector.

use crate::layer::{Layer, Object, scalar};
use crate::settings::manifest;

/// Whether the gateway forwards a path, by the precedence that Gateway API demands: an exact match, then the longest
/// prefix.
fn forwarded(route: &Object, path: &str) -> bool {
    let mut best = (0, false);
    for rule in route.list("/spec/rules") {
        for matched in rule["matches"].as_array().into_iter().flatten() {
            let value = scalar(&matched["path"]["value"]);
            let rank = match matched["path"]["type"].as_str() {
                Some("Exact") if value == path => usize::MAX,
                Some("PathPrefix") if path == value || path.starts_with(&format!("{value}/")) => {
                    value.len()
                }
                Some("Exact" | "PathPrefix") => 0,
                other => panic!(
                    "{}: a path of type {other:?} is not portable",
                    route.place()
                ),
            };
            if rank > best.0 {
                best = (
                    rank,
                    rule["backendRefs"]
                        .as_array()
                        .is_some_and(|all| !all.is_empty()),
                );
            }
        }
    }
    best.1
}

#[test]
fn the_gateway_forwards_only_what_is_public() {
    let manifest = manifest();
    let triggers = manifest["trigger"]["http"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let routes: Vec<String> = triggers
        .iter()
        .filter(|trigger| {
            let component = trigger.get("component").and_then(toml::Value::as_str);
            component != Some("web")
        })
        .filter_map(|trigger| trigger["route"].as_str())
        .filter(|route| *route != "/..." && *route != "/api/:user_id/changes")
        .map(|route| route.replace("...", "reminder-1"))
        .collect();
    assert!(routes.len() >= 6, "spin.toml: {routes:?}");
    for app in Layer::named("app") {
        let route = app.find("HTTPRoute", "todo-events");
        for path in &routes {
            assert!(
                !forwarded(&route, path),
                "{}: {path} is the sidecar's",
                route.place()
            );
        }
        for path in [
            "/index.html",
            "/operator",
            "/operator/page.js",
            "/operator/api/overview",
            "/dapr/subscribe",
            "/healthz",
            "/readyz",
            "/readyz/deliveries",
            "/api/events",
            "/apis",
        ] {
            assert!(!forwarded(&route, path), "{}: {path}", route.place());
        }
        for path in [
            "/",
            "/app/page.js",
            "/api/alice/tasks",
            "/api/alice/tasks/1/complete",
            "/api/alice/changes",
            "/api/events-of-bob/tasks",
            "/openapi.json",
            "/calendar/secret.ics",
            "/asyncapi.json",
            "/schemas/urn:todo-events:schema:task.created:1",
        ] {
            assert!(forwarded(&route, path), "{}: {path}", route.place());
        }
        for backend in route
            .list("/spec/rules")
            .iter()
            .filter_map(|rule| rule["backendRefs"].as_array())
            .flatten()
        {
            // The operator's Service.
            app.find("SpinApp", &scalar(&backend["name"]));
            assert_eq!(backend["port"], 80, "{}", route.place());
        }
    }
}

#[test]
fn spans_go_to_the_collector() {
    for app in Layer::named("app") {
        let collector = app
            .beside("monitoring")
            .find("OpenTelemetryCollector", "otel");
        let address = |protocol: &str| {
            let endpoint = collector.text_at(&format!(
                "/spec/config/receivers/otlp/protocols/{protocol}/endpoint"
            ));
            let port = endpoint.rsplit(':').next().unwrap_or_default().to_owned();
            let namespace = collector.text_at("/metadata/namespace");
            format!("{}-collector.{namespace}.svc:{port}", collector.name())
        };
        let executor = app.kind("SpinAppExecutor")[0];
        for signal in ["traces", "metrics"] {
            let endpoint = executor.text_at(&format!(
                "/spec/deploymentConfig/otel/exporter_otlp_{signal}_endpoint"
            ));
            assert_eq!(
                endpoint,
                format!("http://{}/v1/{signal}", address("http")),
                "{}",
                executor.place()
            );
        }
        let configuration = app.find("Configuration", "todo-events");
        assert_eq!(
            configuration.text_at("/spec/tracing/otel/endpointAddress"),
            address("grpc")
        );
        assert_eq!(configuration.text_at("/spec/tracing/otel/protocol"), "grpc");
    }
}

/// The Spin operator's webhook writes `httpHeaders: null` into a check that has none, and its definition of a SpinApp
/// refuses that.
#[test]
fn each_check_of_the_app_lists_its_headers() {
    for app in Layer::named("app") {
        let spin_app = app.find("SpinApp", "todo-events");
        for check in ["liveness", "readiness"] {
            let headers = spin_app.at(&format!("/spec/checks/{check}/httpGet/httpHeaders"));
            assert!(
                headers.is_array(),
                "{}: {check}: {headers}",
                spin_app.place()
            );
        }
    }
}
