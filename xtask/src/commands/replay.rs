//! `replay`

use anyhow::Result;
use xtask::deployment::Deployment;
use xtask::replay::replay;
use xtask::report::Report;

use crate::ReplayArguments;

/// Accepts an instant in RFC 3339.
pub fn instant(text: &str) -> Result<String, String> {
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|_| text.to_owned())
        .map_err(|_| "not an instant in RFC 3339, such as 2026-01-31T08:00:00Z".to_owned())
}

pub fn run(arguments: &ReplayArguments, report: Report) -> Result<()> {
    let replayed = replay(&Deployment::find()?, &arguments.user, &arguments.since)?;
    if replayed.count == 0 {
        report.say(format!(
            "No published event of {} since {} is stored. Next: try an earlier --since; events are kept for 90 days \
             unless told otherwise.",
            arguments.user, arguments.since
        ));
    } else {
        report.step(format!(
            "published {} events of {} again, up to number {}",
            replayed.count, arguments.user, replayed.last
        ));
        report.say(
            "They have the ids they had, so consumers that have seen them do nothing. Next: watch the consumer they \
             were for; `cargo xtask dead-letters list` shows what it could not handle.",
        );
    }
    Ok(())
}
