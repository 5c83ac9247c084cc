//! `demo --reminders`: a reminder is scheduled, comes due and becomes a notification.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use stack::StackOptions;
use stack::programs::Programs;
use stack::report::Report;
use stack::{interrupt, postgres_server, running};

use crate::DemoArguments;
use crate::demo::{Api, Topics, text};

/// The lead of the service that the demo starts, in seconds; 24 hours where nobody waits for it.
const LEAD: u64 = 20;
/// How long after its start the demo's reminder comes due, in seconds.
const AHEAD: u64 = 10;
/// How long the notification may take: the sweep comes within a minute if the alarm does not ring.
const LIMIT: Duration = Duration::from_secs(AHEAD + 60);

/// Tells the story on a service of its own: a running one reminds a day ahead.
pub fn run(arguments: &DemoArguments, report: Report) -> Result<()> {
    report.step(format!(
        "starting a service that reminds {LEAD} s before a task is due, not 24 hours"
    ));
    let host = arguments.host;
    let running = running::find()?;
    let mut options = match (&running, postgres_server::given()) {
        // Beside the running one, on its Postgres server.
        (Some(running), _) if host.is_none_or(|host| host == running.programs.host) => {
            StackOptions::beside(running)
        }
        (_, Some(url)) => {
            StackOptions::new(Programs::prepare(host, false, &report)?).postgres(&url)
        }
        (_, None) => StackOptions::new(Programs::prepare(host, true, &report)?),
    };
    options = options
        .variable("reminder_lead_seconds", &LEAD.to_string())
        .report(report);
    let stack = options.start()?;
    let api = Api::new(stack.endpoints())?;
    let topics = Topics::at_end(&stack.endpoints().kafka)?;
    tell(&api, &topics, report)?;
    stack.stop()?;
    report.say("Done, and everything is stopped. `cargo xtask up` starts the service to stay.");
    Ok(())
}

fn tell(api: &Api, topics: &Topics, report: Report) -> Result<()> {
    report.say("");
    let due = SystemTime::now() + Duration::from_secs(LEAD + AHEAD);
    let due = chrono::DateTime::<chrono::Utc>::from(due).format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let task = api.post(
        "",
        &json!({"title": "Water the plants", "due_date": due.to_string()}),
    )?;
    let id = text(&task, "id")?;
    report.step(format!(
        "created the task {id}, due {}",
        text(&task, "due_date")?
    ));

    let scheduled = topics.wait_for_events(&[(id, "task.created"), (id, "reminder.scheduled")])?;
    report.step("its reminder is scheduled:");
    for event in &scheduled {
        report.say(format!("             {event}"));
    }
    report.step(format!("waiting for its moment, {AHEAD} s ahead"));

    let notification = wait_for_notification(api, id)?;
    let (remind_at, created_at) = (
        text(&notification, "remind_at")?,
        text(&notification, "created_at")?,
    );
    report.step(format!(
        "the notification is there: \"{}\" is due {}",
        text(&notification, "task_title")?,
        text(&notification, "due_date")?,
    ));
    let late = chrono::DateTime::parse_from_rfc3339(created_at)?
        - chrono::DateTime::parse_from_rfc3339(remind_at)?;
    report.say(format!(
        "\n  wanted at {remind_at}\n  created   {created_at}: {} ms later\n\nThe events as they passed on Kafka:\n",
        late.num_milliseconds()
    ));
    for event in topics.wait_for_events(&[(id, "reminder.triggered")])? {
        report.say(format!("  {event}"));
    }
    report.say("");
    Ok(())
}

fn wait_for_notification(api: &Api, task: &str) -> Result<Value> {
    let began = Instant::now();
    loop {
        let list = api.notifications()?;
        let found = list
            .as_array()
            .into_iter()
            .flatten()
            .find(|notification| notification.get("task_id").is_some_and(|id| id == task));
        if let Some(notification) = found {
            return Ok(notification.clone());
        }
        interrupt::check()?;
        if began.elapsed() > LIMIT {
            bail!(
                "no notification within {} s; see the logs of reminder-handler, event-relay and scheduler",
                LIMIT.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
}
