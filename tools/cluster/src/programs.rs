//! What the cluster is made of: built with Go and kept in the cache, or found on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use stack::programs::{Host, build_cache};
use stack::report::Report;
use stack::{process, workspace};

use crate::before::Before;

/// What Debian and others call the packages of the programs needed.
const NEEDED: [(&str, &str); 7] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
];

/// Paths of everything.
#[derive(Serialize, Deserialize)]
pub struct Programs {
    /// The control plane, the node's programs and `kubectl`.
    pub kubernetes: PathBuf,
    pub helm: PathBuf,
    pub spin_operator: PathBuf,
    pub keda_webhook: PathBuf,
    /// KEDA's manifests, as they come with its sources.
    pub keda_manifests: PathBuf,
    pub coredns: PathBuf,
    /// Says of each connection whether the NetworkPolicies let it through.
    pub network_policies: PathBuf,
    /// The folder of Dapr's control plane.
    pub dapr: PathBuf,
    /// Helm charts, as they come with the operators' sources.
    pub dapr_chart: PathBuf,
    pub spin_operator_chart: PathBuf,
    /// The components of the version before this one.
    pub before: Before,
    /// The service's own programs, and those it needs everywhere.
    pub service: stack::programs::Programs,
}

/// Fails at once where the cluster cannot be: the message says what is missing.
pub fn check() -> Result<()> {
    if cfg!(not(target_os = "linux")) {
        bail!("a node of Kubernetes needs Linux");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("a node of Kubernetes needs root: it makes namespaces, mounts and control groups");
    }
    let mut missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| workspace::find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !Path::new("/usr/lib/cni/ptp").exists() {
        missing.push("containernetworking-plugins");
    }
    missing.dedup();
    if !missing.is_empty() {
        bail!(
            "these packages are missing: apt-get install {}",
            missing.join(" ")
        );
    }
    Ok(())
}

impl Programs {
    /// Builds what is not in the cache.
    pub fn prepare(host: Option<Host>, with_before: bool, report: &Report) -> Result<Self> {
        let service = stack::programs::Programs::prepare(host, true, report)?.with_kafka(report)?;
        let spin_operator = Self::tool("spin-operator", "the Spin operator", report)?;
        let dapr = Self::tool("dapr", "Dapr's control plane", report)?;
        let before = if with_before {
            Before::build(report)?
        } else {
            Before::NotWanted
        };
        Ok(Self {
            before,
            kubernetes: Self::tool("kubernetes", "Kubernetes", report)?.join("kubernetes"),
            helm: Self::tool("helm", "Helm", report)?.join("helm"),
            coredns: Self::tool("coredns", "CoreDNS", report)?.join("coredns"),
            network_policies: Self::tool("network-policies", "kube-network-policies", report)?
                .join("cmd"),
            spin_operator: spin_operator.join("cmd"),
            keda_webhook: Self::tool("keda", "KEDA's webhook", report)?.join("webhooks"),
            keda_manifests: module("keda", "github.com/kedacore/keda/v2")?.join("config"),
            dapr_chart: module("dapr", "github.com/dapr/dapr")?.join("charts/dapr"),
            spin_operator_chart: module("spin-operator", "github.com/spinkube/spin-operator")?
                .join("charts/spin-operator"),
            dapr,
            service,
        })
    }

    fn tool(name: &str, what: &str, report: &Report) -> Result<PathBuf> {
        let built = build_cache::get(
            &format!("cluster/programs/{name}"),
            &format!("{what} with Go"),
            report,
            |sources, into| {
                build_cache::go_build_static(
                    sources,
                    into,
                    &[if sources.join("main.go").exists() {
                        "."
                    } else {
                        "tool"
                    }],
                )
            },
        )?;
        Ok(built.join("bin"))
    }
}

/// Where Go keeps the sources of a module that one of the programs is built of.
fn module(program: &str, module: &str) -> Result<PathBuf> {
    let mut list = Command::new("go");
    list.args(["list", "-m", "-f", "{{.Dir}}", module])
        .current_dir(
            workspace::root()
                .join("tools/cluster/programs")
                .join(program),
        );
    process::read(list, Duration::from_secs(120))
        .map(PathBuf::from)
        .with_context(|| format!("the sources of {module} are needed for its manifests"))
}
