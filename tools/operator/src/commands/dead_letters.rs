//! `dead-letters`

use anyhow::Result;
use operator::dead_letters::{self, DeadLetter};
use operator::deployment::Deployment;
use serde_json::Value;

use super::{ME, times};
use crate::DeadLettersTask;

/// How many are listed at most.
const LIMIT: i32 = 100;

pub fn run(task: &DeadLettersTask) -> Result<()> {
    let deployment = Deployment::from_env()?;
    match task {
        DeadLettersTask::List { all } => {
            let letters = dead_letters::list(&deployment, *all, LIMIT + 1)?;
            list(&letters);
        }
        DeadLettersTask::Show { id } => show(&dead_letters::find(&deployment, id)?),
        DeadLettersTask::Replay { id, topic } => {
            let letter = dead_letters::replay(&deployment, id, topic.as_deref())?;
            println!(
                "Published {} to {} again. If it is given up again, it becomes another dead letter: `{ME} \
                 dead-letters list`.",
                letter.id,
                topic.as_deref().unwrap_or(&letter.topic)
            );
        }
        DeadLettersTask::Discard { id } => {
            let letter = dead_letters::discard(&deployment, id)?;
            println!(
                "Discarded {}. It is kept for a while: `{ME} dead-letters list --all`.",
                letter.id
            );
        }
    }
    Ok(())
}

fn list(letters: &[DeadLetter]) {
    let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    for letter in letters.iter().take(limit) {
        println!(
            "{}  {}  {:<9} {}/{}/{}  {}  user {}  given up {}",
            letter.id,
            letter.first_received_at,
            letter.status,
            printable(&letter.topic),
            letter.partition,
            letter.offset,
            printable(letter.event_type.as_deref().unwrap_or("no event")),
            printable(letter.user_id.as_deref().unwrap_or("unknown")),
            times(letter.deliveries)
        );
    }
    if letters.is_empty() {
        println!("There are no dead letters.");
    } else {
        if letters.len() > limit {
            println!("… and more than these {limit}.");
        }
        println!("\nNext: `{ME} dead-letters show ID`, then `replay ID` or `discard ID`.");
    }
}

fn show(letter: &DeadLetter) {
    let optional = |text: &Option<String>| printable(text.as_deref().unwrap_or("–"));
    println!(
        "id              {}\n\
         status          {}{}\n\
         topic           {}, partition {}, offset {}\n\
         event           {}\n\
         type            {}\n\
         user            {}\n\
         given up        {}, first {}, last {}\n",
        letter.id,
        letter.status,
        letter
            .resolved_at
            .as_ref()
            .map_or(String::new(), |at| format!(" at {at}")),
        printable(&letter.topic),
        letter.partition,
        letter.offset,
        optional(&letter.event_id),
        optional(&letter.event_type),
        optional(&letter.user_id),
        times(letter.deliveries),
        letter.first_received_at,
        letter.last_received_at
    );
    let event: Option<Value> = serde_json::from_slice(&letter.payload).ok();
    match event.map(|event| serde_json::to_string_pretty(&event)) {
        Some(Ok(json)) => println!("{}", json),
        _ => println!(
            "{} bytes that are not JSON:\n{}",
            letter.payload.len(),
            letter.payload.escape_ascii()
        ),
    }
    if letter.status == "open" {
        println!(
            "\nNext: `{ME} dead-letters replay {0}` once the cause is repaired, or `discard {0}`.",
            letter.id
        );
    }
}

/// Text from a record, without characters that would steer a terminal.
fn printable(text: &str) -> String {
    let plain = |char: char| {
        if char.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            char
        }
    };
    text.chars().map(plain).collect()
}
