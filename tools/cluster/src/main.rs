//! `todo-cluster`: a Kubernetes cluster of one node on this machine, the operators, the manifests of this repository as
//! their documents say, and stories on all that.

mod before;
mod certificates;
mod documents;
mod image;
mod images;
mod isolation;
mod keda;
mod kubectl;
mod node;
mod operators;
mod pod_network;
mod policies;
mod programs;
mod route;
mod service;
mod stand_ins;
mod stories;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use documents::Overlay;
use stack::programs::Host;
use stack::report::Report;
use stack::{interrupt, workspace};

use certificates::Certificates;
use kubectl::Kubectl;
use node::Node;
use programs::Programs;
use service::Service;

/// The node's address, in the cluster's own network.
const NODE_ADDRESS: &str = "10.77.0.1";
/// The pods' addresses.
const POD_ADDRESSES: &str = "10.88.0.0/16";
/// Where the API server listens.
const API_ADDRESS: &str = "10.77.0.1:6443";

/// Start a Kubernetes cluster of one node, apply the manifests as documented, and try them.
#[derive(Parser)]
#[command(name = "todo-cluster", bin_name = "cargo xtask test --cluster")]
struct Arguments {
    /// What serves the app in its container [default: spin where it is installed]
    #[arg(long, value_name = "spin|devhost")]
    host: Option<Host>,
    /// Leave the cluster running after the stories, until this command is stopped
    #[arg(long)]
    keep: bool,
    /// The manifests for production, or those for a cluster of one's own
    #[arg(long, default_value = "dev")]
    overlay: Overlay,
    /// Run only stories whose name contains this, or one of these
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

fn main() -> ExitCode {
    interrupt::exit_code(interrupt::listen().and_then(|()| run()))
}

fn run() -> Result<()> {
    let mut given: Vec<OsString> = env::args_os().skip(1).collect();
    if given
        .first()
        .is_some_and(|first| first == isolation::INSIDE)
    {
        let folder = PathBuf::from(given.get(1).context("the folder is missing")?);
        given.drain(..2);
        let program = [OsString::from("todo-cluster")];
        return inside(
            &folder,
            &Arguments::parse_from(program.into_iter().chain(given)),
        );
    }
    if given.first().is_some_and(|first| first == documents::CNPG) {
        return documents::cnpg(&given);
    }
    let arguments = Arguments::parse();
    let report = Report::new();
    programs::check()?;
    let programs = Programs::prepare(
        arguments.host,
        stories::need_the_version_before(&arguments.filters),
        &report,
    )?;
    // Short, because of the sockets in it; on a real disk, because images are unpacked in it.
    let folder = workspace::state_dir().join("cluster");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("programs.json"), serde_json::to_vec(&programs)?)?;
    report.step(format!("a cluster in {}", folder.display()));
    let all: Vec<OsString> = [folder.clone().into_os_string()]
        .into_iter()
        .chain(given)
        .collect();
    isolation::run_inside(&all)?;
    isolation::check_nothing_is_left()
}

/// In namespaces of its own, which end with this.
fn inside(folder: &Path, arguments: &Arguments) -> Result<()> {
    let report = Report::new();
    isolation::prepare()?;
    let programs: Programs = serde_json::from_slice(&fs::read(folder.join("programs.json"))?)?;
    let certificates = Certificates::make(&folder.join("pki"))?;
    let kubectl = Kubectl::new(&programs.kubernetes, folder);
    let mut node = Node::start(folder, &programs, &certificates, &kubectl)?;
    policies::enforce(&mut node, &programs, &certificates, &kubectl)?;
    report.step("the node is ready");
    let result = tell(
        &node,
        &programs,
        &certificates,
        &kubectl,
        folder,
        arguments,
        report,
    );
    if arguments.keep {
        if let Err(error) = &result {
            eprintln!("{error:?}");
        }
        println!("The cluster stays until this is stopped. In another terminal:");
        println!(
            "  nsenter -t $(pgrep -f '^[^ ]*todo-cluster {}') -n -m -p env KUBECONFIG={} {} kubectl get pods -A",
            isolation::INSIDE,
            certificates.path("admin.kubeconfig"),
            programs.kubernetes.display()
        );
        while !interrupt::requested() {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
    result
}

fn tell(
    node: &Node,
    programs: &Programs,
    certificates: &Certificates,
    kubectl: &Kubectl,
    folder: &Path,
    arguments: &Arguments,
    report: Report,
) -> Result<()> {
    images::import(programs, node, &folder.join("images"), &report)?;
    operators::install(programs, certificates, kubectl, &report)?;
    let service = Service::apply(kubectl, folder, programs, arguments.overlay, &report)?;
    for (part, mib) in node.memory() {
        report.say(format!("  {part}: {mib} MiB resident"));
    }
    stories::tell_all(&service, kubectl, &arguments.filters, &report)
}
