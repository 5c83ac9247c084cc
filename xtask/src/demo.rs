//! `demo`: the story of a daily task, told with the events that passed on Kafka.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use stack::StackOptions;
use stack::endpoints::{Endpoints, REMINDERS_TOPIC, TASKS_TOPIC};
use stack::kafka::{self, Offsets, Record};
use stack::programs::Programs;
use stack::report::Report;
use stack::{interrupt, postgres_server, running};

use crate::DemoArguments;

const USER: &str = "demo";
/// How long the next instance may take; it is a matter of milliseconds.
const NEXT_LIMIT: Duration = Duration::from_secs(60);
const EVENTS_LIMIT: Duration = Duration::from_secs(15);

pub fn run(arguments: &DemoArguments, report: Report) -> Result<()> {
    if let Some(endpoints) = running::find()? {
        report.step(format!(
            "using the running service at {}",
            endpoints.api_url
        ));
        tell(&endpoints, report)?;
        report.say("Done. The service goes on running; `cargo xtask down` stops it.");
        return Ok(());
    }
    if running::exists()? {
        bail!("the service is still starting; try again when it is up");
    }
    report.step("the service is not running; starting one for the demo");
    let database_url = postgres_server::given();
    let host = arguments.host;
    let programs = Programs::prepare(host, database_url.is_none(), &report)?;
    let mut options = StackOptions::new(programs).report(report);
    if let Some(url) = &database_url {
        options = options.postgres(url);
    }
    let stack = options.start()?;
    tell(stack.endpoints(), report)?;
    stack.stop()?;
    report.say("Done, and everything is stopped. `cargo xtask up` starts the service to stay.");
    Ok(())
}

fn tell(endpoints: &Endpoints, report: Report) -> Result<()> {
    let api = Api::new(endpoints)?;
    let topics = Topics::at_end(&endpoints.kafka)?;

    report.say("");
    let created = api.post(
        "",
        &json!({
            "title": "Water the plants",
            "is_recurring": true,
            "recurring_interval": "daily",
            "due_date": tomorrow_morning(),
            "timezone": "Europe/Berlin",
        }),
    )?;
    let id = text(&created, "id")?;
    let due = text(&created, "due_date")?;
    report.step(format!("created the daily task {id}, due {due}"));

    let completed = api.post(&format!("/{id}/complete"), &Value::Null)?;
    let answered = Instant::now();
    report.step(format!(
        "completed it at {}",
        text(&completed, "completed_at")?
    ));

    let next = api.wait_for_next(&created)?;
    let took = answered.elapsed();
    report.step(format!(
        "the next instance is there: {}, due {}",
        text(&next, "id")?,
        text(&next, "due_date")?
    ));
    report.say(format!(
        "\n  completion -> next instance: {:.0} ms\n\nThe events as they passed on Kafka:\n",
        took.as_secs_f64() * 1000.0
    ));

    let wanted = [
        (id, "task.created"),
        (id, "task.completed"),
        (text(&next, "id")?, "task.created"),
    ];
    for event in topics.wait_for_events(&wanted)? {
        report.say(format!("  {event}"));
    }
    report.say("");
    Ok(())
}

/// 08:00 UTC of the day after today, as RFC 3339.
fn tomorrow_morning() -> String {
    let tomorrow = chrono::DateTime::<chrono::Utc>::from(SystemTime::now()) + chrono::Days::new(1);
    tomorrow.format("%Y-%m-%dT08:00:00Z").to_string()
}

/// The REST API, as the demo's user.
pub struct Api {
    agent: ureq::Agent,
    user_url: String,
    tasks_url: String,
    authorization: String,
}

impl Api {
    pub fn new(endpoints: &Endpoints) -> Result<Self> {
        Ok(Self {
            agent: stack::net::client(Duration::from_secs(10)),
            user_url: format!("{}/api/{USER}", endpoints.api_url),
            tasks_url: format!("{}/api/{USER}/tasks", endpoints.api_url),
            authorization: format!("Bearer {}", endpoints.token(USER)?),
        })
    }

    /// Posts to the user's tasks; `path` is what follows.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.tasks_url);
        let request = self
            .agent
            .post(&url)
            .header("authorization", &self.authorization);
        let answer = if body.is_null() {
            request.send_empty()
        } else {
            request.send_json(body)
        };
        self.read(&url, answer)
    }

    fn get(&self, query: &str) -> Result<Value> {
        self.get_url(&format!("{}{query}", self.tasks_url))
    }

    /// The user's newest notifications.
    pub fn notifications(&self) -> Result<Value> {
        self.get_url(&format!("{}/notifications", self.user_url))
    }

    fn get_url(&self, url: &str) -> Result<Value> {
        let request = self
            .agent
            .get(url)
            .header("authorization", &self.authorization);
        self.read(url, request.call())
    }

    fn read(
        &self,
        url: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value> {
        let mut answer = answer.with_context(|| format!("{url} did not answer"))?;
        let body = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            bail!("{url} answered {}: {body}", answer.status());
        }
        serde_json::from_str(&body).with_context(|| format!("{url} did not answer with JSON"))
    }

    /// The task that follows `task` in its series.
    fn wait_for_next(&self, task: &Value) -> Result<Value> {
        let began = Instant::now();
        loop {
            let list = self.get("?status=pending&sort_by=created_at_desc&limit=10")?;
            let next = list.as_array().into_iter().flatten().find(|other| {
                other.get("series_id") == task.get("series_id") && other.get("id") != task.get("id")
            });
            if let Some(next) = next {
                return Ok(next.clone());
            }
            interrupt::check()?;
            if began.elapsed() > NEXT_LIMIT {
                bail!(
                    "no next instance within {} s; see the logs of recurrence-handler and daprd",
                    NEXT_LIMIT.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Both topics of events, from where they ended when the demo began.
pub struct Topics {
    broker: String,
    from: Vec<(&'static str, Offsets)>,
}

impl Topics {
    pub fn at_end(broker: &str) -> Result<Self> {
        let from = [TASKS_TOPIC, REMINDERS_TOPIC]
            .into_iter()
            .map(|topic| Ok((topic, kafka::end_offsets(broker, topic)?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            broker: broker.to_owned(),
            from,
        })
    }

    /// Waits for these events, each a task and a type. Returns every event of these tasks so far, in
    /// the order they were published, each as a line of text.
    pub fn wait_for_events(&self, wanted: &[(&str, &str)]) -> Result<Vec<String>> {
        let began = Instant::now();
        loop {
            let mut arrived = Vec::new();
            let mut lines = Vec::new();
            for (topic, from) in &self.from {
                for record in kafka::read_from(&self.broker, topic, from)? {
                    let event = record.json()?;
                    let Some(subject) = event.get("subject").and_then(Value::as_str) else {
                        continue;
                    };
                    if wanted.iter().any(|(task, _)| *task == subject) {
                        lines.push((
                            text(&event, "sequence")?.to_owned(),
                            describe(topic, &record, &event)?,
                        ));
                        arrived.push((subject.to_owned(), text(&event, "type")?.to_owned()));
                    }
                }
            }
            let missing = wanted.iter().find(|(task, kind)| {
                !arrived
                    .iter()
                    .any(|(subject, of)| subject == task && of == kind)
            });
            let Some((task, kind)) = missing else {
                lines.sort();
                return Ok(lines.into_iter().map(|(_, line)| line).collect());
            };
            interrupt::check()?;
            if began.elapsed() > EVENTS_LIMIT {
                bail!(
                    "no {kind} of task {task} on Kafka within {} s; there is {lines:?}",
                    EVENTS_LIMIT.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn describe(topic: &str, record: &Record, event: &Value) -> Result<String> {
    let on_kafka = chrono::DateTime::<chrono::Utc>::from(record.timestamp);
    Ok(format!(
        "{}  {:<18} task {}  sequence {}  {topic}/{} at {}, on Kafka {}",
        text(event, "time")?,
        text(event, "type")?,
        text(event, "subject")?,
        text(event, "sequence")?.trim_start_matches('0'),
        record.partition,
        record.offset,
        on_kafka.format("%H:%M:%S%.3f"),
    ))
}

/// A string member of an object.
pub fn text<'a>(object: &'a Value, field: &str) -> Result<&'a str> {
    object
        .get(field)
        .and_then(Value::as_str)
        .with_context(|| format!("no {field} in {object}"))
}
