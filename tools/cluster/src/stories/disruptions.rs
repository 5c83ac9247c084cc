//! Pods end under load, in every way in which an operator ends them; each way is tried ten times.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use stack::report::Report;

use super::load::Load;
use crate::kubectl::Kubectl;
use crate::service::{Service, secret};

/// How often each way is tried.
const TIMES: usize = 10;
/// Clients at the same time.
const CLIENTS: usize = 4;
/// The label of the app's pods.
pub(super) const SELECTOR: &str = "core.spinkube.dev/app-name=todo-events";

pub fn pods_deleted_under_load_lose_nothing(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    with_replicas(2, kubectl, || {
        under_load(service, kubectl, report, TIMES, || {
            let pod = any_pod(kubectl)?;
            kubectl.run(&["delete", "-n", "todo-app", &pod, "--wait=true"])?;
            rolled_out(kubectl)
        })
    })
}

/// What draining a node does to each of its pods; there is only one node here.
pub fn pods_evicted_under_load_lose_nothing(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    with_replicas(2, kubectl, || {
        under_load(service, kubectl, report, TIMES, || {
            let pod = any_pod(kubectl)?;
            let name = pod.strip_prefix("pod/").unwrap_or(&pod);
            kubectl.create_raw(
                &format!("/api/v1/namespaces/todo-app/pods/{name}/eviction"),
                &json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "todo-app"}}),
            )?;
            kubectl.run(&[
                "wait",
                "-n",
                "todo-app",
                &pod,
                "--for=delete",
                "--timeout=120s",
            ])?;
            rolled_out(kubectl)
        })
    })
}

pub fn rollouts_under_load_lose_nothing(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    with_replicas(2, kubectl, || {
        under_load(service, kubectl, report, TIMES, || restart(kubectl))
    })
}

pub fn scaling_down_under_load_loses_nothing(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    with_replicas(1, kubectl, || {
        under_load(service, kubectl, report, TIMES, || {
            scale(kubectl, 2)?;
            scale(kubectl, 1)?;
            ended(kubectl, 1)
        })
    })
}

/// As `docs/operations.md`, "Rotating secrets", says; the clients go on with tokens of the first key.
pub fn the_clients_key_is_rotated_under_load(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    let first = secret(kubectl, "todo-events", "jwt-secret")?;
    let set = |current: &str, previous: &str| {
        let patch = json!({"stringData": {"jwt-secret": current, "jwt-secret-previous": previous}})
            .to_string();
        kubectl.run(&[
            "patch",
            "secret",
            "todo-events",
            "-n",
            "todo-app",
            "--type=merge",
            "-p",
            &patch,
        ])
    };
    let result = with_replicas(2, kubectl, || {
        under_load(service, kubectl, report, TIMES, || {
            set(&uuid::Uuid::new_v4().simple().to_string(), &first)?;
            restart(kubectl)
        })
    });
    set(&first, "")?;
    restart(kubectl)?;
    result
}

/// New pods are ready only when the broker is back; those that run go on meanwhile.
pub fn the_broker_is_away_during_a_rollout(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    let broker = |replicas: &str| {
        kubectl.run(&[
            "scale",
            "-n",
            "kafka",
            "statefulset/todo-events-brokers",
            &format!("--replicas={replicas}"),
        ])
    };
    with_replicas(2, kubectl, || {
        under_load(service, kubectl, report, 1, || {
            broker("0")?;
            kubectl.run(&[
                "wait",
                "-n",
                "kafka",
                "pod/todo-events-brokers-0",
                "--for=delete",
                "--timeout=60s",
            ])?;
            kubectl.run(&[
                "rollout",
                "restart",
                "-n",
                "todo-app",
                "deployment/todo-events",
            ])?;
            thread::sleep(Duration::from_secs(20));
            broker("1")?;
            rolled_out(kubectl)
        })
    })
}

fn under_load(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
    times: usize,
    mut disrupt: impl FnMut() -> Result<()>,
) -> Result<()> {
    let load = Load::start(service, CLIENTS)?;
    let mut disrupted = Ok(());
    for _ in 0..times {
        // Long enough for the load to reach all replicas.
        thread::sleep(Duration::from_secs(2));
        disrupted = disrupted.and_then(|()| disrupt());
    }
    let told = load.finish(service, kubectl);
    disrupted?;
    report.say(format!("  {times} times: {}", told?));
    Ok(())
}

fn any_pod(kubectl: &Kubectl) -> Result<String> {
    let pods = kubectl.read(&[
        "get",
        "pods",
        "-n",
        "todo-app",
        "-l",
        SELECTOR,
        "--field-selector=status.phase=Running",
        "-o",
        "name",
    ])?;
    pods.lines()
        .next()
        .map(str::to_owned)
        .context("no pod is running")
}

pub(super) fn restart(kubectl: &Kubectl) -> Result<()> {
    kubectl.run(&[
        "rollout",
        "restart",
        "-n",
        "todo-app",
        "deployment/todo-events",
    ])?;
    rolled_out(kubectl)
}

/// Tells a story with so many replicas, and goes back to as many as there were.
pub(super) fn with_replicas(
    replicas: usize,
    kubectl: &Kubectl,
    story: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let before = kubectl.read(&[
        "get",
        "deployment/todo-events",
        "-n",
        "todo-app",
        "-o",
        "jsonpath={.spec.replicas}",
    ])?;
    scale(kubectl, replicas)?;
    let result = story();
    scale(kubectl, before.parse()?)?;
    result
}

/// By the SpinApp, or by the Deployment where the SpinApp leaves the number to others.
fn scale(kubectl: &Kubectl, replicas: usize) -> Result<()> {
    let app = kubectl.json(&["get", "spinapp", "todo-events", "-n", "todo-app"])?;
    let scaled = app["spec"]["enableAutoscaling"] == true;
    let resource = if scaled {
        "deployment/todo-events"
    } else {
        "spinapp/todo-events"
    };
    let patch = json!({"spec": {"replicas": replicas}}).to_string();
    kubectl.run(&[
        "patch",
        resource,
        "-n",
        "todo-app",
        "--type=merge",
        "-p",
        &patch,
    ])?;
    kubectl.wait(
        "todo-app",
        &[
            "deployment/todo-events",
            &format!("--for=jsonpath={{.spec.replicas}}={replicas}"),
            "--timeout=60s",
        ],
    )?;
    rolled_out(kubectl)
}

/// Waits until so many pods are left, those that are ending included.
fn ended(kubectl: &Kubectl, left: usize) -> Result<()> {
    kubectl.until(
        "the end of the other pods",
        Duration::from_secs(120),
        || {
            let pods = kubectl.read(&[
                "get", "pods", "-n", "todo-app", "-l", SELECTOR, "-o", "name",
            ])?;
            Ok((pods.lines().count() == left).then_some(()))
        },
    )
}

pub(super) fn rolled_out(kubectl: &Kubectl) -> Result<()> {
    kubectl
        .run(&[
            "rollout",
            "status",
            "-n",
            "todo-app",
            "deployment/todo-events",
            "--timeout=180s",
        ])
        .with_context(|| kubectl.describe("todo-app"))
}
