//! Clients who create and complete recurring tasks, and count what happened to them.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use ureq::Agent;

use super::{count, new_user};
use crate::kubectl::Kubectl;
use crate::service::Service;

/// What a client waits between two tasks. This machine is node, control plane and clients: with more tasks than it handles in
/// the time, a backlog grows whose end says nothing of the pods that ended.
const PAUSE: Duration = Duration::from_millis(200);

/// A user's client. Each request takes a connection of its own, as a gateway's to a new endpoint.
pub struct Client {
    agent: Agent,
    tasks: String,
    authorization: String,
}

impl Client {
    pub fn new(service: &Service, user: &str) -> Result<Self> {
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .max_idle_connections(0)
            .http_status_as_error(false)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            tasks: format!("http://{}/api/{user}/tasks", service.address),
            authorization: format!("Bearer {}", service.token(user)?),
        })
    }

    /// Creates a daily task and returns its id.
    pub fn create(&self, title: &str) -> Result<String> {
        let task = json!({"title": title, "is_recurring": true, "recurring_interval": "daily", "due_date": "2030-01-01T08:00:00Z"});
        let request = self
            .agent
            .post(&self.tasks)
            .header("Authorization", &self.authorization);
        let task = answer(request.send_json(task), 201)?;
        Ok(task["id"].as_str().context("a task has an id")?.to_owned())
    }

    pub fn complete(&self, task: &str) -> Result<()> {
        let request = self
            .agent
            .post(format!("{}/{task}/complete", self.tasks))
            .header("Authorization", &self.authorization);
        answer(request.send_empty(), 200).map(drop)
    }

    /// The number of pending tasks, up to a page of them.
    pub fn pending(&self) -> Result<usize> {
        let request = self
            .agent
            .get(format!("{}?status=pending", self.tasks))
            .header("Authorization", &self.authorization);
        Ok(answer(request.call(), 200)?
            .as_array()
            .context("a list")?
            .len())
    }
}

fn answer(
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    wanted: u16,
) -> Result<Value> {
    let mut response = response?;
    let status = response.status();
    let text = response.body_mut().read_to_string()?;
    if status != wanted {
        bail!("{status}, not {wanted}: {text}");
    }
    serde_json::from_str(&text).context("the answer is no JSON")
}

/// Clients that go on until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    seen: Arc<Seen>,
    users: Vec<String>,
    dead_letters_before: i64,
}

#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Load {
    pub fn start(service: &Service, clients: usize) -> Result<Self> {
        let seen = Arc::new(Seen::default());
        let stop = Arc::new(AtomicBool::new(false));
        let users: Vec<String> = (0..clients).map(|_| new_user()).collect();
        let threads = users.iter().map(|user| {
            let client = Client::new(service, user)?;
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            Ok(thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    round(&client, &seen);
                    thread::sleep(PAUSE);
                }
            }))
        });
        Ok(Self {
            clients: threads.collect::<Result<_>>()?,
            dead_letters_before: count(service, "SELECT count(*) FROM dead_letters")?,
            seen,
            stop,
            users,
        })
    }

    /// Stops the clients, waits until all is handled, and fails unless every request was answered, every completed task has
    /// one next instance, and no event became a dead letter.
    pub fn finish(self, service: &Service, kubectl: &Kubectl) -> Result<String> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client
                .join()
                .map_err(|_| anyhow::anyhow!("a client panicked"))?;
        }
        let users = self
            .users
            .iter()
            .map(|user| format!("'{user}'"))
            .collect::<Vec<_>>()
            .join(",");
        let completed = count(
            service,
            &format!("SELECT count(*) FROM tasks WHERE completed AND user_id IN ({users})"),
        )?;
        let successors =
            format!("SELECT count(*) FROM tasks WHERE occurrence > 1 AND user_id IN ({users})");
        let all_there = kubectl.until("all next instances", Duration::from_secs(180), || {
            Ok((count(service, &successors)? >= completed).then_some(()))
        });
        let found = count(service, &successors)?;
        let dead = count(service, "SELECT count(*) FROM dead_letters")? - self.dead_letters_before;
        let failures = self
            .seen
            .failures
            .lock()
            .map_err(|_| anyhow::anyhow!("a client panicked"))?;
        let told = format!(
            "{} requests, {} of them failed; {completed} tasks completed, {found} next instances, {dead} dead letters",
            self.seen.requests.load(Ordering::Relaxed),
            failures.len(),
        );
        if all_there.is_err() || found != completed || dead != 0 || !failures.is_empty() {
            bail!(
                "{told}; the first failures: {:?}",
                failures.iter().take(5).collect::<Vec<_>>()
            );
        }
        Ok(told)
    }
}

fn round(client: &Client, seen: &Seen) {
    let note = |result: Result<()>| {
        seen.requests.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = result
            && let Ok(mut failures) = seen.failures.lock()
        {
            failures.push(format!("{error:#}"));
        }
    };
    match client.create("Under load") {
        Ok(task) => {
            note(Ok(()));
            note(client.complete(&task));
        }
        Err(error) => note(Err(error)),
    }
}
