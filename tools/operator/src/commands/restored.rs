//! `restored`

use anyhow::Result;
use operator::deployment::Deployment;
use operator::lanes;

use super::ME;

pub fn run(by: i64) -> Result<()> {
    let raised = lanes::raise(&Deployment::from_env()?, by)?;
    println!(
        "raised the numbers of {} lanes and {} unpublished events by {by}; new lanes begin after {}",
        raised.lanes, raised.events, raised.start
    );
    println!(
        "No number is given again that a consumer may have seen. Next: start the service; then `{ME} reconcile` \
         finds what did not reach its handlers."
    );
    Ok(())
}
