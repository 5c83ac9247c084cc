//! KEDA's admission webhook, by KEDA's own manifests. Its operator, which would scale, is left out: it needs the metrics server.

use anyhow::{Result, ensure};

use crate::certificates::Certificates;
use crate::images::KEDA_WEBHOOK;
use crate::kubectl::Kubectl;
use crate::operators::{apply_certificate, trust};
use crate::programs::Programs;

const NAMESPACE: &str = "keda";

pub fn install(programs: &Programs, certificates: &Certificates, kubectl: &Kubectl) -> Result<()> {
    for part in ["general", "service_account", "rbac", "webhooks"] {
        let folder = programs.keda_manifests.join(part).display().to_string();
        let manifests = kubectl
            .read(&["kustomize", &folder])?
            // From the version that is under development to the one that is built, and is on the node already.
            .replace(
                "ghcr.io/kedacore/keda-admission-webhooks:main",
                KEDA_WEBHOOK,
            )
            .replace("imagePullPolicy: Always", "imagePullPolicy: IfNotPresent");
        ensure!(
            part != "webhooks" || manifests.contains(KEDA_WEBHOOK),
            "KEDA's manifests name another image:\n{manifests}"
        );
        kubectl.apply_text(&manifests)?;
    }
    // KEDA's operator issues it.
    let host = format!("keda-admission-webhooks.{NAMESPACE}.svc");
    apply_certificate(
        kubectl,
        NAMESPACE,
        "kedaorg-certs",
        &certificates.issue("keda", None, &[&host])?,
        &certificates.authority_pem,
    )?;
    trust(certificates, kubectl, "keda-admission")
}

pub fn wait(kubectl: &Kubectl) -> Result<()> {
    kubectl.wait(
        NAMESPACE,
        &[
            "deployment",
            "--all",
            "--for=condition=Available",
            "--timeout=180s",
        ],
    )
}
