//! The load of `cargo xtask bench`: `load PLAN` reads a plan, carries it out and prints what it saw.

mod closed_loop;
mod http;
mod probes;
mod requests;
mod tally;

use std::env;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use closed_loop::Until;
use load::plan::{Plan, Work};

fn main() -> Result<()> {
    let path = env::args_os()
        .nth(1)
        .context("`cargo xtask bench` runs this program, with the file of a plan")?;
    let plan = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let plan: Plan =
        serde_json::from_slice(&plan).with_context(|| format!("{} is no plan", path.display()))?;
    if !plan.address.ip().is_loopback() {
        bail!("{} is not on this machine", plan.address);
    }
    if plan.users.is_empty() {
        bail!("a plan needs users");
    }
    let began = cpu_seconds();
    let mut result = match &plan.work {
        Work::Create {
            clients,
            seconds,
            due,
        } => closed_loop::creates(&plan, *clients, elapsed(*seconds)?, *due, false)?,
        Work::Fill {
            clients,
            count,
            due,
            tell_ids,
        } => closed_loop::creates(&plan, *clients, Until::Count(*count), *due, *tell_ids)?,
        Work::Mixed {
            clients,
            seconds,
            seed,
            preloaded,
        } => closed_loop::mixed(&plan, *clients, elapsed(*seconds)?, *seed, preloaded)?,
        Work::NextInstance => probes::next_instance(&plan)?,
        Work::Event { kafka, topic } => probes::event(&plan, kafka, topic)?,
    };
    result["cpu_seconds"] = json!(cpu_seconds() - began);
    println!("{result}");
    Ok(())
}

fn elapsed(seconds: f64) -> Result<Until> {
    Ok(Until::Elapsed(Duration::try_from_secs_f64(seconds)?))
}

/// What this process has used so far.
fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds and fractions of them")]
    let seconds = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
    seconds
}
