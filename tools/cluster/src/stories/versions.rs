//! This version and the one before it, side by side on this version's schema.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use stack::report::Report;

use super::count;
use super::disruptions::{SELECTOR, rolled_out, with_replicas};
use super::load::Load;
use crate::before::{self, Before};
use crate::kubectl::Kubectl;
use crate::service::Service;

pub const NAME: &str = "the_version_before_serves_beside_this_one";

/// For how long both serve, each way.
const TOGETHER: Duration = Duration::from_secs(20);

/// From this version to the one before, and back, under load; half way each rollout rests for a while.
pub fn the_version_before_serves_beside_this_one(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    let commit = match &service.before {
        Before::Built { commit, .. } => commit,
        Before::NotToBeHad(why) => {
            report.say(format!("  SKIPPED: {why}"));
            return Ok(());
        }
        Before::NotWanted => {
            report.say("  SKIPPED: it is told only when FILTER names it");
            return Ok(());
        }
    };
    report.say(format!("  the version before is {commit}"));
    with_replicas(2, kubectl, || {
        let load = Load::start(service, 4)?;
        let rolled = roll(before::VERSION, "0.1.0", service, kubectl)
            .and_then(|()| roll("0.1.0", before::VERSION, service, kubectl));
        let told = load.finish(service, kubectl);
        rolled?;
        report.say(format!("  {}", told?));
        Ok(())
    })
}

fn roll(to: &str, from: &str, service: &Service, kubectl: &Kubectl) -> Result<()> {
    let image = format!("ghcr.io/todo-events/todo-events:{to}");
    let patch = json!({"spec": {"image": image}}).to_string();
    let app = ["spinapp", "todo-events", "-n", "todo-app"];
    kubectl.run(&[&["patch"][..], &app, &["--type=merge", "-p", &patch]].concat())?;
    let rollout =
        |word| kubectl.run(&["rollout", word, "-n", "todo-app", "deployment/todo-events"]);
    kubectl.until("the first new pod", Duration::from_secs(60), || {
        Ok((!pods(kubectl, to)?.is_empty()).then_some(()))
    })?;
    rollout("pause")?;
    kubectl.until(
        "a ready pod of each version",
        Duration::from_secs(120),
        || {
            let ready = ready(kubectl)?;
            let serves =
                |version| -> Result<bool> { Ok(!pods(kubectl, version)?.is_disjoint(&ready)) };
            Ok((serves(to)? && serves(from)?).then_some(()))
        },
    )?;
    thread::sleep(TOGETHER);
    for version in [to, from] {
        let sidecars = pods(kubectl, version)?;
        let names: Vec<String> = sidecars.iter().map(|name| format!("'{name}'")).collect();
        ensure!(!names.is_empty(), "no pod of {version} is left");
        let statement = format!(
            "SELECT count(*) FROM publishers WHERE sidecar IN ({})",
            names.join(",")
        );
        ensure!(
            count(service, &statement)? > 0,
            "nothing went through {version}"
        );
    }
    rollout("resume")?;
    rolled_out(kubectl)?;
    ensure!(
        pods(kubectl, from)?.is_disjoint(&ready(kubectl)?),
        "{from} still serves"
    );
    Ok(())
}

/// The pods of a version.
fn pods(kubectl: &Kubectl, version: &str) -> Result<BTreeSet<String>> {
    let pods = kubectl.json(&["get", "pods", "-n", "todo-app", "-l", SELECTOR])?;
    let pods = pods["items"].as_array().context("a list of pods")?;
    let image = format!("todo-events:{version}");
    Ok(pods
        .iter()
        .filter(|pod| pod["spec"].to_string().contains(&format!("{image}\"")))
        .filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned()))
        .collect())
}

/// The pods to which the Service leads.
fn ready(kubectl: &Kubectl) -> Result<BTreeSet<String>> {
    let label = "kubernetes.io/service-name=todo-events";
    let slices = kubectl.json(&["get", "endpointslices", "-n", "todo-app", "-l", label])?;
    let slices = slices["items"].as_array().into_iter().flatten();
    Ok(slices
        .filter_map(|slice| slice["endpoints"].as_array())
        .flatten()
        .filter(|endpoint| endpoint["conditions"]["ready"] == true)
        .filter_map(|endpoint| Some(endpoint["targetRef"]["name"].as_str()?.to_owned()))
        .collect())
}
