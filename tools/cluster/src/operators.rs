//! What an administrator installs once: names, the Spin operator, Dapr. By the operators' own charts, as `k8s/README.md`
//! says; only their images are made here.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use stack::report::Report;
use stack::{process, workspace};

use crate::certificates::{Certificates, Pair};
use crate::images::DAPR_REGISTRY;
use crate::keda;
use crate::kubectl::Kubectl;
use crate::programs::Programs;

/// Where the definitions of all resources are that the manifests use.
const DEFINITIONS: &str = "k8s/tests/crds";

pub fn install(
    programs: &Programs,
    certificates: &Certificates,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    kubectl.apply_text(include_str!("../resources/dns.yaml"))?;
    kubectl.apply_text(include_str!("../resources/cert-manager.yaml"))?;
    let mut apply = vec!["apply".to_owned(), "--server-side".to_owned()];
    for entry in fs::read_dir(workspace::root().join(DEFINITIONS))
        .context("the resources' definitions are missing")?
    {
        let path = entry?.path();
        // Dapr's come with its chart.
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".yaml") && !name.starts_with("dapr-") {
            apply.extend(["-f".to_owned(), path.display().to_string()]);
        }
    }
    kubectl.run(&apply.iter().map(String::as_str).collect::<Vec<_>>())?;
    kubectl.run(&[
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=60s",
    ])?;
    kubectl.wait(
        "kube-system",
        &[
            "deployment/coredns",
            "--for=condition=Available",
            "--timeout=120s",
        ],
    )?;
    report.step("names and the resources' definitions");

    let registry = format!("global.registry={DAPR_REGISTRY}");
    helm(
        programs,
        kubectl,
        &[
            "upgrade",
            "--install",
            "dapr",
            &programs.dapr_chart.display().to_string(),
            "--namespace",
            "dapr-system",
            "--create-namespace",
            "--set",
            &registry,
            "--set",
            "global.tag=1.18.0",
            "--set",
            "dapr_operator.watchInterval=1m",
            // There is no storage class here.
            "--set",
            "dapr_scheduler.cluster.inMemoryStorage=true",
            "--set",
            "dapr_placement.cluster.forceInMemoryLog=true",
        ],
    )?;
    spin_operator(programs, certificates, kubectl)?;
    keda::install(programs, certificates, kubectl)?;
    kubectl.wait(
        "dapr-system",
        &[
            "deployment",
            "--all",
            "--for=condition=Available",
            "--timeout=180s",
        ],
    )?;
    kubectl
        .run(&[
            "rollout",
            "status",
            "statefulset",
            "-n",
            "dapr-system",
            "--timeout=180s",
            "-l",
            "app.kubernetes.io/part-of=dapr",
        ])
        .with_context(|| kubectl.describe("dapr-system"))?;
    report.step("Dapr's control plane");
    kubectl.wait(
        "spin-operator",
        &[
            "deployment",
            "--all",
            "--for=condition=Available",
            "--timeout=180s",
        ],
    )?;
    report.step("the Spin operator with its webhooks");
    keda::wait(kubectl)?;
    report.step("KEDA's webhook");
    Ok(())
}

/// Its chart wants a certificate of cert-manager, whose part is played here: the Secret, and the authority in the webhooks.
fn spin_operator(
    programs: &Programs,
    certificates: &Certificates,
    kubectl: &Kubectl,
) -> Result<()> {
    const NAMESPACE: &str = "spin-operator";
    kubectl.apply_text(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"
    ))?;
    let host = format!("spin-operator-webhook-service.{NAMESPACE}.svc");
    apply_certificate(
        kubectl,
        NAMESPACE,
        "webhook-server-cert",
        &certificates.issue("spin-operator", None, &[&host])?,
        &certificates.authority_pem,
    )?;
    helm(
        programs,
        kubectl,
        &[
            "upgrade",
            "--install",
            "spin-operator",
            &programs.spin_operator_chart.display().to_string(),
            "--namespace",
            NAMESPACE,
            "--set",
            "controllerManager.manager.image.tag=v0.6.1",
        ],
    )?;
    trust(certificates, kubectl, "spin-operator")
}

/// Tells the API server by whose certificates it knows the webhooks whose configurations' names begin so.
pub fn trust(certificates: &Certificates, kubectl: &Kubectl, names: &str) -> Result<()> {
    for kind in [
        "mutatingwebhookconfiguration",
        "validatingwebhookconfiguration",
    ] {
        let listed = kubectl.json(&["get", kind])?;
        for item in listed["items"].as_array().into_iter().flatten() {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            if !name.starts_with(names) {
                continue;
            }
            let webhooks = item["webhooks"].as_array().map_or(0, Vec::len);
            let bundle = base64(certificates.authority_pem.as_bytes());
            let patch: Vec<_> = (0..webhooks)
                .map(|number| json!({"op": "add", "path": format!("/webhooks/{number}/clientConfig/caBundle"), "value": bundle}))
                .collect();
            kubectl.run(&[
                "patch",
                kind,
                name,
                "--type=json",
                "-p",
                &serde_json::to_string(&patch)?,
            ])?;
        }
    }
    Ok(())
}

/// A Secret as cert-manager makes it.
pub fn apply_certificate(
    kubectl: &Kubectl,
    namespace: &str,
    name: &str,
    pair: &Pair,
    authority: &str,
) -> Result<()> {
    kubectl.apply_text(&serde_json::to_string(&json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority},
    }))?)
}

fn helm(programs: &Programs, kubectl: &Kubectl, arguments: &[&str]) -> Result<()> {
    let mut helm = Command::new(&programs.helm);
    kubectl.grant(&mut helm);
    helm.args(arguments).current_dir(Path::new("/"));
    process::read(helm, Duration::from_secs(300)).map(drop)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
