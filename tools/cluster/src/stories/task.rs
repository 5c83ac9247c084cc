//! A task from the HTTPRoute's Service to its next instance.

use std::time::{Duration, Instant};

use anyhow::Result;
use stack::report::Report;

use super::load::Client;
use super::new_user;
use crate::kubectl::Kubectl;
use crate::service::Service;

/// How long the next instance may take: the design's bound.
const LIMIT: Duration = Duration::from_secs(60);

pub fn a_completed_task_has_a_next_instance(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    let client = Client::new(service, &new_user())?;
    let task = client.create("Water the plants")?;
    let began = Instant::now();
    client.complete(&task)?;
    kubectl.until("the next instance", LIMIT, || {
        Ok((client.pending()? == 1).then_some(()))
    })?;
    report.say(format!(
        "  completed to next instance: {} ms",
        began.elapsed().as_millis()
    ));
    Ok(())
}
