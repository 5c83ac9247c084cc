//! `reconcile`

use anyhow::{Result, bail};
use operator::deployment::Deployment;
use operator::replay::{replay_unhandled, unhandled};

use crate::ReconcileArguments;

/// How many are listed, or published again, at most.
const LIMIT: i64 = 1000;

pub fn run(arguments: &ReconcileArguments) -> Result<()> {
    let deployment = Deployment::from_env()?;
    let since = &arguments.since;
    let events = unhandled(&deployment, since, LIMIT)?;
    if events.is_empty() {
        println!(
            "Every published event since {since} reached its handlers, but for the last 5 minutes."
        );
        return Ok(());
    }
    for event in &events {
        println!(
            "{}  {}  {} of {}  {}  not handled by {}",
            event.time, event.id, event.number, event.user, event.event_type, event.handler
        );
    }
    if !arguments.replay {
        bail!(
            "{} deliveries are missing, at most {LIMIT} are listed; look whether a group lags behind, else publish them \
             again with --replay",
            events.len()
        );
    }
    let count = replay_unhandled(&deployment, &events)?;
    println!("published {count} events again");
    println!(
        "What a handler has dealt with meanwhile changes nothing. Next: the same command in some minutes."
    );
    Ok(())
}
