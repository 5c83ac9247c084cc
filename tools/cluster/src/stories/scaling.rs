//! KEDA's webhook and the layer `scaling`.

use anyhow::{Context, Result, bail, ensure};
use stack::report::Report;

use crate::kubectl::Kubectl;
use crate::service::Service;

const LAYER: &str = "k8s/overlays/prod/scaling";
/// A namespace without the app's Deployment.
const EARLY: &str = "before-the-app";

/// That the layers are applied in this order is documented, because the webhook refuses the other one.
pub fn scaling_is_taken_after_the_app(
    _: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    let layer = kubectl.read(&["kustomize", LAYER])?;
    let early = layer.replace("namespace: todo-app", &format!("namespace: {EARLY}"));
    kubectl.run(&["create", "namespace", EARLY])?;
    let answer = kubectl.apply_text(&early);
    kubectl.run(&["delete", "namespace", EARLY, "--timeout=60s"])?;
    let Err(refusal) = answer else {
        bail!("{LAYER} was taken where there is no Deployment");
    };
    let refusal = format!("{refusal:#}");
    ensure!(
        refusal.contains("vscaledobject.kb.io")
            && refusal.contains(r#"Deployment.apps "todo-events" not found"#),
        "refused, but for another reason: {refusal}"
    );
    report.say(format!("  without the app: {}", refusal.trim()));

    let was_there = kubectl
        .read(&["get", "scaledobject", "todo-events", "-n", "todo-app"])
        .is_ok();
    let taken = kubectl.run(&["apply", "-k", LAYER]);
    if !was_there {
        kubectl.run(&["delete", "-k", LAYER, "--ignore-not-found"])?;
    }
    taken.context("refused, though the Deployment is there")
}
