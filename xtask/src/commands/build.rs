//! `build`

use anyhow::Result;
use xtask::cargo::Cargo;
use xtask::components;
use xtask::report::Report;

pub fn run(report: Report) -> Result<()> {
    let cargo = Cargo::take(&report)?;
    components::build(&cargo, &report)?;
    report.say("Built. Next: `cargo xtask up` starts the service with these components.");
    Ok(())
}
