//! `replay`

use anyhow::Result;
use stack::report::Report;
use xtask::deployment::Deployment;
use xtask::replay::{replay, replay_all};

use crate::ReplayArguments;

/// Accepts an instant in RFC 3339.
pub fn instant(text: &str) -> Result<String, String> {
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|_| text.to_owned())
        .map_err(|_| "not an instant in RFC 3339, such as 2026-01-31T08:00:00Z".to_owned())
}

pub fn run(arguments: &ReplayArguments, report: Report) -> Result<()> {
    let deployment = Deployment::find()?;
    let since = &arguments.since;
    let (replayed, whose) = match &arguments.user {
        Some(user) => (replay(&deployment, user, since)?, user.as_str()),
        None => (replay_all(&deployment, since)?, "all users"),
    };
    if replayed.count == 0 {
        report.say(format!(
            "No published event of {whose} since {since} is stored. Next: try an earlier --since; events are kept for 90 \
             days unless told otherwise."
        ));
    } else {
        let last = match &arguments.user {
            Some(_) => format!(", up to number {}", replayed.last),
            None => String::new(),
        };
        report.step(format!(
            "published {} events of {whose} again{last}",
            replayed.count
        ));
        report.say(
            "They have the ids they had, so consumers that have seen them do nothing. Next: watch the consumer they \
             were for; `cargo xtask dead-letters list` shows what it could not handle.",
        );
    }
    Ok(())
}
