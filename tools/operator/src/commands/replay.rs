//! `replay`

use anyhow::Result;
use operator::deployment::Deployment;
use operator::replay::{replay, replay_all};

use super::ME;
use crate::ReplayArguments;

pub fn run(arguments: &ReplayArguments) -> Result<()> {
    let deployment = Deployment::from_env()?;
    let since = &arguments.since;
    let (replayed, whose) = match &arguments.user {
        Some(user) => (replay(&deployment, user, since)?, user.as_str()),
        None => (replay_all(&deployment, since)?, "all users"),
    };
    if replayed.count == 0 {
        println!(
            "No published event of {whose} since {since} is stored. Next: try an earlier --since; events are kept for 90 \
             days unless told otherwise."
        );
    } else {
        let last = match &arguments.user {
            Some(_) => format!(", up to number {}", replayed.last),
            None => String::new(),
        };
        println!("published {} events of {whose} again{last}", replayed.count);
        println!(
            "They have the ids they had, so consumers that have seen them do nothing. Next: watch the consumer they \
             were for; `{ME} dead-letters list` shows what it could not handle."
        );
    }
    Ok(())
}
