//! Pods end under load, in every way in which an operator ends them.

use std::time::Duration;

use anyhow::{Context, Result};
use stack::report::Report;

use super::load::Load;
use crate::kubectl::Kubectl;
use crate::service::Service;

/// How often each way is tried.
const TIMES: usize = 10;
const CLIENTS: usize = 4;

pub fn pods_deleted_under_load_lose_nothing(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    with_two_replicas(kubectl, || {
        under_load(service, kubectl, report, || {
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
            let pod = pods.lines().next().context("a pod is running")?;
            kubectl.run(&["delete", "-n", "todo-app", pod, "--wait=true"])?;
            available(kubectl)
        })
    })
}

pub fn rollouts_under_load_lose_nothing(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    with_two_replicas(kubectl, || {
        under_load(service, kubectl, report, || {
            kubectl.run(&[
                "rollout",
                "restart",
                "-n",
                "todo-app",
                "deployment/todo-events",
            ])?;
            available(kubectl)
        })
    })
}

const SELECTOR: &str = "core.spinkube.dev/app-name=todo-events";

fn under_load(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
    mut disrupt: impl FnMut() -> Result<()>,
) -> Result<()> {
    let load = Load::start(service, CLIENTS)?;
    std::thread::sleep(Duration::from_secs(2));
    let mut disrupted = Ok(());
    for _ in 0..TIMES {
        disrupted = disrupted.and_then(|()| disrupt());
    }
    let told = load.finish(service, kubectl)?;
    disrupted?;
    report.say(format!("  {TIMES} times: {told}"));
    Ok(())
}

fn with_two_replicas(kubectl: &Kubectl, story: impl FnOnce() -> Result<()>) -> Result<()> {
    scale(kubectl, 2)?;
    let result = story();
    scale(kubectl, 1)?;
    result
}

fn scale(kubectl: &Kubectl, replicas: usize) -> Result<()> {
    let patch = format!("{{\"spec\":{{\"replicas\":{replicas}}}}}");
    kubectl.run(&[
        "patch",
        "spinapp",
        "todo-events",
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
    available(kubectl)
}

fn available(kubectl: &Kubectl) -> Result<()> {
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
