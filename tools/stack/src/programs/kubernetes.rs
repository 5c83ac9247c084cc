//! What renders and validates the manifests in `k8s/`.

use std::path::PathBuf;

use anyhow::Result;

use crate::programs::build_cache;
use crate::report::Report;

/// Where those programs are. Tests need them, a stack does not.
#[derive(Clone, Debug)]
pub struct KubernetesTools {
    /// Renders an overlay, as `kubectl apply -k` does.
    pub kustomize: PathBuf,
    /// Validates manifests as Kubernetes would, without one.
    pub kubectl_validate: PathBuf,
}

impl KubernetesTools {
    /// Finds or builds them.
    ///
    /// # Errors
    /// When they cannot be built; the message says what to install.
    pub fn prepare(report: &Report) -> Result<Self> {
        let what = "kustomize and kubectl-validate with Go";
        let built = build_cache::get("kubernetes", what, report, |sources, into| {
            build_cache::go_build(sources, into, &["tool"])?;
            build_cache::go_build(&sources.join("validate"), into, &["tool"])
        })?;
        Ok(Self {
            kustomize: built.join("bin/kustomize"),
            kubectl_validate: built.join("bin/kubectl-validate"),
        })
    }
}
