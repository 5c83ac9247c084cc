//! `build`

use anyhow::Result;
use stack::programs::cargo::Cargo;
use stack::programs::components;
use stack::report::Report;

pub fn run(report: Report) -> Result<()> {
    let cargo = Cargo::take(&report)?;
    components::build(&cargo, &report)?;
    report.say("Built. Next: `cargo xtask up` starts the service with these components.");
    Ok(())
}
