//! `lanes`

use anyhow::Result;
use operator::deployment::Deployment;
use operator::lanes::{self, Lane};

use super::{ME, times};
use crate::LanesTask;

/// How many are listed at most.
const LIMIT: i64 = 100;

pub fn run(task: &LanesTask) -> Result<()> {
    let deployment = Deployment::from_env()?;
    match task {
        LanesTask::List => list(&lanes::list(&deployment, LIMIT + 1)?),
        LanesTask::Show { user } => match lanes::find(&deployment, user)? {
            Some(lane) => show(&lane),
            None => println!("No event of {user} waits."),
        },
        LanesTask::Retry { user } => {
            lanes::retry(&deployment, user)?;
            println!(
                "The turn of {user} has come: the next write or run of the relay publishes, within 5 s if the sidecar is \
                 well. Next: `{ME} lanes show {user}`."
            );
        }
        LanesTask::Skip { user, number } => {
            let skipped = lanes::skip(&deployment, user, *number)?;
            let kept = match skipped.letter {
                Some(letter) => format!(
                    "It is the dead letter {letter}: `{ME} dead-letters replay {letter}` once the cause is \
                     repaired, or `discard`."
                ),
                None => "It was missing, so there is nothing to replay.".to_owned(),
            };
            println!(
                "Skipped event {number} of {user}; {} of the user's wait. {kept}",
                skipped.left
            );
        }
    }
    Ok(())
}

fn list(lanes: &[Lane]) {
    let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    for lane in lanes.iter().take(limit) {
        let since = lane
            .event
            .as_ref()
            .map_or("an unknown time", |event| event.time.as_str());
        println!(
            "{}  {} behind  {:<7}  failed {}  next turn {}  waits since {since}",
            lane.user,
            lane.behind,
            state(lane),
            times(lane.attempts),
            lane.turn_at
        );
    }
    if lanes.is_empty() {
        println!("Every event is published.");
    } else {
        if lanes.len() > limit {
            println!("… and more than these {limit}.");
        }
        println!("\nNext: `{ME} lanes show USER`, then `retry USER` or `skip USER NUMBER`.");
    }
}

fn show(lane: &Lane) {
    println!(
        "user            {}\n\
         waiting         {} events\n\
         next            number {}\n\
         state           {}, failed {}\n\
         next turn       {}",
        lane.user,
        lane.behind,
        lane.next,
        state(lane),
        times(lane.attempts),
        lane.turn_at
    );
    if let Some(event) = &lane.event {
        println!(
            "event           {}\n\
             type            {}\n\
             task            {}\n\
             waits since     {}\n\
             size            {} bytes",
            event.id, event.event_type, event.task, event.time, event.bytes
        );
    }
    println!("\n{}", reason(lane));
    if lane.blocked {
        println!(
            "\nNext: mend the cause, then `{ME} lanes retry {0}`; or give the event up: `{ME} lanes skip \
             {0} {1}`.",
            lane.user, lane.next
        );
    }
}

/// A word for what a lane does.
fn state(lane: &Lane) -> &'static str {
    if lane.blocked {
        "blocked"
    } else if lane.held {
        "held"
    } else if lane.rests {
        "rests"
    } else {
        "waits"
    }
}

/// Why a lane waits, as far as the database knows.
fn reason(lane: &Lane) -> String {
    if lane.event.is_none() {
        "The event is missing: nothing of this number is stored. The log says `event missing from lane`.".to_owned()
    } else if lane.blocked {
        "The sidecar refused the event for good. Its answer is in the log line `event` with the outcome `blocked`."
            .to_owned()
    } else if lane.held {
        "Somebody is publishing it.".to_owned()
    } else if lane.attempts > 0 {
        "It could not be published; the lane rests after each attempt, up to 60 s. The log lines `publishing failed` say \
         what the sidecar answered."
            .to_owned()
    } else {
        "Its turn has come. It waits for a publisher: is a breaker open, or does the relay not run?"
            .to_owned()
    }
}
