//! The sidecar that Dapr's injector adds.

use std::fs;

use anyhow::{Context, Result, bail};
use stack::report::Report;
use stack::workspace;

use crate::kubectl::Kubectl;
use crate::service::Service;

/// Flags of the quick start whose values are a machine's own: ports, addresses, files.
const OF_A_MACHINE: [&str; 11] = [
    "--log-level",
    "--app-port",
    "--dapr-listen-addresses",
    "--dapr-http-port",
    "--dapr-grpc-port",
    "--dapr-internal-grpc-listen-address",
    "--dapr-internal-grpc-port",
    "--metrics-listen-address",
    "--metrics-port",
    "--resources-path",
    "--scheduler-host-address",
];

/// The flags of `docs/quickstart.md`, "By hand".
pub fn the_injector_gives_what_the_quick_start_gives(
    _: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    let pods = kubectl.json(&[
        "get",
        "pods",
        "-n",
        "todo-app",
        "-l",
        "core.spinkube.dev/app-name=todo-events",
    ])?;
    let containers = pods["items"][0]["spec"]["containers"]
        .as_array()
        .context("there is no pod")?;
    let sidecar = containers
        .iter()
        .find(|container| container["name"] == "daprd")
        .context("the pod has no sidecar")?;
    let given: Vec<&str> = sidecar["args"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|word| word.as_str())
        .collect();
    let quickstart = fs::read_to_string(workspace::root().join("docs/quickstart.md"))?;
    let (_, command) = quickstart
        .split_once(" daprd \\\n")
        .context("the quick start has no sidecar")?;
    let (command, _) = command
        .split_once(" &\n")
        .context("the sidecar's command has an end")?;
    let words: Vec<&str> = command
        .split_whitespace()
        .filter(|word| *word != "\\")
        .collect();
    let mut compared = 0;
    for (number, flag) in words
        .iter()
        .enumerate()
        .filter(|(_, word)| word.starts_with("--"))
    {
        if OF_A_MACHINE.contains(flag) {
            continue;
        }
        let wanted = words.get(number + 1).filter(|word| !word.starts_with("--"));
        let found = given
            .iter()
            .position(|word| word == flag)
            .with_context(|| format!("{flag} is missing: {given:?}"))?;
        // The name of the resource on Kubernetes, the file elsewhere.
        if let Some(wanted) = wanted
            && *flag != "--config"
            && given.get(found + 1) != Some(wanted)
        {
            bail!("{flag} is {:?}, not {wanted}", given.get(found + 1));
        }
        compared += 1;
    }
    report.say(format!("  {compared} flags are the same"));
    Ok(())
}
