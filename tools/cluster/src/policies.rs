//! NetworkPolicies, enforced by the node: netfilter hands each new connection of a pod to a program
//! (<https://github.com/kubernetes-sigs/kube-network-policies>), which knows the policies and says what becomes of it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::certificates::Certificates;
use crate::isolation::run;
use crate::kubectl::Kubectl;
use crate::node::Node;
use crate::programs::Programs;
use crate::{API_ADDRESS, POD_ADDRESSES};

/// By this name the program reads the policies.
pub const ACCOUNT: &str = "network-policies";
/// The number of the queue between netfilter and the program.
const QUEUE: &str = "100";

/// Starts the program, and lets no pod connect past it. While it is away, pods connect to nothing.
pub fn enforce(
    node: &mut Node,
    programs: &Programs,
    certificates: &Certificates,
    kubectl: &Kubectl,
) -> Result<()> {
    kubectl.apply_text(include_str!("../resources/network-policies.yaml"))?;
    divert()?;
    // It asks for its access where a pod finds it. This folder is the node's own, and gone with it.
    let access = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
    fs::create_dir_all(access)?;
    fs::copy(certificates.path("ca.crt"), access.join("ca.crt"))?;
    let token = certificates.path(&format!("{ACCOUNT}.token"));
    fs::copy(token, access.join("token"))?;
    let (address, port) = API_ADDRESS
        .split_once(':')
        .context("an address has a port")?;
    node.spawn(
        "policies",
        Path::new("env"),
        &[
            &format!("KUBERNETES_SERVICE_HOST={address}"),
            &format!("KUBERNETES_SERVICE_PORT={port}"),
            &programs.network_policies.display().to_string(),
            "--hostname-override",
            "node",
            "--nfqueue-id",
            QUEUE,
            "--metrics-bind-address",
            "127.0.0.1:9080",
        ],
    )?;
    node.until_ready("policies", |_| is_listening())
}

/// The program has rules of its own for this, for nftables, which some kernels cannot queue with (`CONFIG_NFT_QUEUE`).
/// These are the same for iptables, and do no harm beside them.
fn divert() -> Result<()> {
    let queue = ["-j", "NFQUEUE", "--queue-num", QUEUE];
    let append = |chain: &str, rule: &[&str]| {
        let start = ["-t", "mangle", "-A", chain];
        run("iptables", &[&start[..], rule].concat())
    };
    // The kubelet's probes, and all else from the pods' own node, which policies always let in.
    append(
        "POSTROUTING",
        &["-m", "owner", "--uid-owner", "0", "-j", "ACCEPT"],
    )?;
    let known = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED"];
    append("POSTROUTING", &[&known[..], &["-j", "ACCEPT"]].concat())?;
    for end in ["-s", "-d"] {
        append("POSTROUTING", &[&[end, POD_ADDRESSES], &queue[..]].concat())?;
    }
    // Policies let pods reach their own node, too. On a larger cluster the API server is on another one, so here it counts as if
    // it were.
    let (_, port) = API_ADDRESS
        .split_once(':')
        .context("an address has a port")?;
    let to_api = ["-s", POD_ADDRESSES, "-p", "tcp", "--dport", port];
    let new = ["-m", "conntrack", "--ctstate", "NEW"];
    append("INPUT", &[&to_api[..], &new, &queue].concat())
}

/// Whether the program has taken the queue.
fn is_listening() -> bool {
    let queues = fs::read_to_string("/proc/self/net/netfilter/nfnetlink_queue").unwrap_or_default();
    queues
        .lines()
        .any(|line| line.split_whitespace().next() == Some(QUEUE))
}
