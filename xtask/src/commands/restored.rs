//! `restored`

use anyhow::Result;
use stack::report::Report;
use xtask::deployment::Deployment;
use xtask::lanes;

pub fn run(by: i64, report: Report) -> Result<()> {
    let raised = lanes::raise(&Deployment::find()?, by)?;
    report.step(format!(
        "raised the numbers of {} lanes and {} unpublished events by {by}; new lanes begin after {}",
        raised.lanes, raised.events, raised.start
    ));
    report.say(
        "No number is given again that a consumer may have seen. Next: start the service; then `cargo xtask reconcile` \
         finds what did not reach its handlers.",
    );
    Ok(())
}
