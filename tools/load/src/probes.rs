//! How long one thing takes on a service that has nothing else to do.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use serde_json::{Value, json};

use crate::http::Connection;
use crate::requests::{DUE, Requests};
use crate::tally::Tally;
use load::plan::Plan;

/// Between two looks at the list.
const POLL: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(60);
/// Between two samples, so that what the first one left does not delay the second.
const PAUSE: Duration = Duration::from_millis(20);
const FETCH_BYTES: std::ops::Range<i32> = 1..1_000_000;
const FETCH_WAIT_MS: i32 = 500;

struct Api {
    requests: Requests,
    connection: Connection,
    request: Vec<u8>,
}

impl Api {
    fn new(plan: &Plan) -> Self {
        Self {
            requests: Requests::new(plan.address, &plan.users),
            connection: Connection::to(plan.address),
            request: Vec::new(),
        }
    }

    fn call(&mut self, method: &str, user: usize, rest: &str, body: &str) -> Result<Value> {
        self.requests
            .write(&mut self.request, method, user, rest, body);
        let (status, answer) = self.connection.exchange(&self.request)?;
        if !(200..300).contains(&status) {
            bail!(
                "{method} {rest} answered {status}: {}",
                String::from_utf8_lossy(answer)
            );
        }
        Ok(serde_json::from_slice(answer)?)
    }
}

fn string_member<'a>(value: &'a Value, member: &str) -> Result<&'a str> {
    value
        .get(member)
        .and_then(Value::as_str)
        .with_context(|| format!("no {member} in {value}"))
}

/// The tasks of a list: an array, or an object that holds one.
fn tasks(list: &Value) -> &[Value] {
    let inner = list
        .as_object()
        .and_then(|object| object.values().find_map(Value::as_array));
    list.as_array().or(inner).map_or(&[], Vec::as_slice)
}

/// For each user: from sending the completion of a daily task until a list shows the next one.
pub(crate) fn next_instance(plan: &Plan) -> Result<Value> {
    let mut api = Api::new(plan);
    let mut completed = Tally::new()?;
    let mut visible = Tally::new()?;
    for user in 0..plan.users.len() {
        let body = format!(
            r#"{{"title":"Every day","due_date":"{DUE}","is_recurring":true,"recurring_interval":"daily"}}"#
        );
        let first = api.call("POST", user, "", &body)?;
        let first = string_member(&first, "id")?.to_owned();
        thread::sleep(PAUSE);
        let sent = Instant::now();
        api.call("POST", user, &format!("/{first}/complete"), "")?;
        completed.answered(200, sent.elapsed());
        loop {
            let list = api.call("GET", user, "?limit=20", "")?;
            let next = tasks(&list)
                .iter()
                .find(|task| task.get("id").is_some_and(|id| *id != first.as_str()));
            if let Some(next) = next {
                visible.answered(200, sent.elapsed());
                if !string_member(next, "due_date")?.starts_with("2030-01-16T09:00:00") {
                    bail!("a wrong next instance: {next}");
                }
                break;
            }
            if sent.elapsed() > LIMIT {
                bail!("no next instance of {first} within {} s", LIMIT.as_secs());
            }
            thread::sleep(POLL);
        }
    }
    Ok(json!({"completed": completed.json(), "visible": visible.json()}))
}

/// For each user: from sending a create until its event is read from the topic.
pub(crate) fn event(plan: &Plan, kafka: &str, topic: &str) -> Result<Value> {
    let (arrivals, arrived) = mpsc::channel();
    let (ready, when_ready) = mpsc::channel();
    let (kafka, topic) = (kafka.to_owned(), topic.to_owned());
    thread::spawn(move || {
        if let Err(error) = follow(&kafka, &topic, &ready, &arrivals) {
            // Whoever waits for it finds the sender gone.
            let _ = ready.send(Err(error));
        }
    });
    when_ready.recv().context("the topic was not read")??;

    let mut api = Api::new(plan);
    let mut answered = Tally::new()?;
    let mut received = Tally::new()?;
    let mut early = HashMap::new();
    for user in 0..plan.users.len() {
        let body = format!(r#"{{"title":"An event, please","due_date":"{DUE}"}}"#);
        let sent = Instant::now();
        let task = api.call("POST", user, "", &body)?;
        answered.answered(201, sent.elapsed());
        let id = string_member(&task, "id")?;
        let came = loop {
            if let Some(came) = early.remove(id) {
                break came;
            }
            let left = LIMIT.saturating_sub(sent.elapsed());
            let (id, came) = arrived
                .recv_timeout(left)
                .with_context(|| format!("no event of task {id} came"))?;
            early.insert(id, came);
        };
        received.answered(201, came.duration_since(sent));
        thread::sleep(PAUSE);
    }
    Ok(json!({"created": answered.json(), "received": received.json()}))
}

/// Reads a topic from its end on, and sends the ids of the tasks whose creation it finds.
fn follow(
    kafka: &str,
    topic: &str,
    ready: &mpsc::Sender<Result<()>>,
    arrivals: &mpsc::Sender<(String, Instant)>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let topics = connect(kafka).await?.list_topics().await?;
        let found = topics.into_iter().find(|found| found.name == topic);
        let partitions = found.context("the broker has no such topic")?.partitions;
        let mut readers = Vec::new();
        for partition in partitions {
            // A connection each: a broker answers the requests of one connection in turn, and each may wait long.
            let reader = connect(kafka)
                .await?
                .partition_client(topic, partition, UnknownTopicHandling::Error)
                .await?;
            let end = reader.get_offset(OffsetAt::Latest).await?;
            readers.push((reader, end));
        }
        // Nobody listens only once the probe is over.
        let _ = ready.send(Ok(()));
        let tasks: Vec<_> = readers
            .into_iter()
            .map(|(reader, end)| tokio::spawn(follow_partition(reader, end, arrivals.clone())))
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

async fn connect(kafka: &str) -> Result<Client> {
    ClientBuilder::new(vec![kafka.to_owned()])
        .build()
        .await
        .with_context(|| format!("no Kafka broker answers on {kafka}"))
}

async fn follow_partition(
    reader: PartitionClient,
    mut next: i64,
    arrivals: mpsc::Sender<(String, Instant)>,
) -> Result<()> {
    loop {
        let (records, _) = reader
            .fetch_records(next, FETCH_BYTES, FETCH_WAIT_MS)
            .await?;
        let now = Instant::now();
        for record in records {
            next = next.max(record.offset + 1);
            let value = record.record.value.unwrap_or_default();
            let event: Value = serde_json::from_slice(&value)?;
            if let Some(id) = created_task(&event)
                && arrivals.send((id.to_owned(), now)).is_err()
            {
                return Ok(());
            }
        }
    }
}

/// The task that an event says was created: the event's data is the task, or an object with the task in it.
fn created_task(event: &Value) -> Option<&str> {
    let is_creation = event.get("type")?.as_str()?.ends_with("created");
    let data = event.get("data")?;
    let id = ["/task_id", "/id", "/task/id"]
        .iter()
        .find_map(|path| data.pointer(path)?.as_str());
    id.filter(|_| is_creation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_of_an_event_is_found_in_either_form() {
        let created = |data: Value| json!({"type": "task.created", "data": data});
        assert_eq!(created_task(&created(json!({"id": "1"}))), Some("1"));
        assert_eq!(
            created_task(&created(json!({"task": {"id": "2"}}))),
            Some("2")
        );
        let updated = json!({"type": "task.updated", "data": {"id": "1"}});
        assert_eq!(created_task(&updated), None);
    }

    #[test]
    fn a_list_is_an_array_or_holds_one() {
        for list in [json!([1, 2]), json!({"next": null, "tasks": [1, 2]})] {
            assert_eq!(tasks(&list).len(), 2);
        }
    }
}
