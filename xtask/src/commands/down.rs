//! `down`

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stack::report::Report;
use stack::{process, running};

/// How long the running `up` may take to stop everything.
const LIMIT: Duration = Duration::from_secs(60);

pub fn run(report: Report) -> Result<()> {
    if !running::exists()? {
        report.say("Nothing is running. `cargo xtask up` starts the service.");
        return Ok(());
    }
    let endpoints = running::find()?
        .context("the service is still starting; stop it with Ctrl-C where it was started")?;
    report.step(format!("stopping process {}", endpoints.pid));
    process::terminate(endpoints.pid);
    while running::exists()? {
        if report.elapsed() > LIMIT {
            bail!(
                "process {} has not stopped within {} s",
                endpoints.pid,
                LIMIT.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
    report.step("stopped");
    report.say("The service is down. `cargo xtask up` starts it again.");
    Ok(())
}
