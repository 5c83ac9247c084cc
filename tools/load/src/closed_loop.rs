//! Load in a closed loop: each client sends its next request when it has the answer to its last.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::Connection;
use crate::requests::{Kind, Requests, new_task};
use crate::tally::Tally;
use load::plan::{Plan, TaskOf};

/// When the clients stop.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Count(u64),
}

/// What the clients share.
struct Shared<'a> {
    requests: Requests,
    until: Until,
    began: Instant,
    next: AtomicU64,
    /// Tasks that this run made, to be deleted by it.
    made: Mutex<Vec<TaskOf>>,
    preloaded: &'a [TaskOf],
}

impl Shared<'_> {
    /// The next request's number, from 1 on.
    fn take(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let go_on = match self.until {
            Until::Elapsed(limit) => self.began.elapsed() < limit,
            Until::Count(count) => number <= count,
        };
        go_on.then_some(number)
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<TaskOf>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A created task.
#[derive(Deserialize)]
struct Created {
    id: String,
}

type Tallies = BTreeMap<Kind, Tally>;

/// Creates, round robin over the users.
pub(crate) fn creates(
    plan: &Plan,
    clients: usize,
    until: Until,
    due: bool,
    tell_ids: bool,
) -> Result<Value> {
    let client = |shared: &Shared<'_>, _: u64| -> Result<Tallies> {
        let mut connection = Connection::to(plan.address);
        let mut tally = Tally::new()?;
        let mut request = Vec::new();
        while let Some(number) = shared.take() {
            let user = usize::try_from(number)? % shared.requests.users();
            shared
                .requests
                .write(&mut request, "POST", user, "", &new_task(number, due));
            let sent = Instant::now();
            match connection.exchange(&request) {
                Ok((status, body)) => {
                    tally.answered(status, sent.elapsed());
                    if tell_ids && status == 201 {
                        let created: Created = serde_json::from_slice(body)?;
                        shared.made().push((user, created.id));
                    }
                }
                Err(error) => tally.unanswered(&error),
            }
        }
        Ok(BTreeMap::from([(Kind::Create, tally)]))
    };
    run(plan, clients, until, &[], client)
}

/// The mixed load. Patches and completions pick among the preloaded tasks, deletes among those that this run made, so
/// that no request races with a delete.
pub(crate) fn mixed(
    plan: &Plan,
    clients: usize,
    until: Until,
    seed: u64,
    preloaded: &[TaskOf],
) -> Result<Value> {
    let client = |shared: &Shared<'_>, number: u64| -> Result<Tallies> {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(number << 32));
        let mut connection = Connection::to(plan.address);
        let mut tallies = Tallies::new();
        for kind in Kind::ALL {
            tallies.insert(kind, Tally::new()?);
        }
        let mut request = Vec::new();
        while let Some(number) = shared.take() {
            let mut user = random.usize(..shared.requests.users());
            let mut kind = Kind::of(random.u8(..100));
            let mut rest = String::new();
            let mut body = String::new();
            match kind {
                Kind::Create => body = new_task(number, true),
                Kind::Patch | Kind::Complete => {
                    if let Some((owner, id)) = random.choice(shared.preloaded) {
                        user = *owner;
                        rest = format!("/{id}");
                    }
                    if kind == Kind::Patch {
                        body = format!(r#"{{"title":"Patched {number}","priority":"high"}}"#);
                    } else {
                        rest.push_str("/complete");
                    }
                }
                Kind::Delete => match shared.made().pop() {
                    Some((owner, id)) => {
                        user = owner;
                        rest = format!("/{id}");
                    }
                    // Only at the very start.
                    None => kind = Kind::List,
                },
                Kind::List => {}
            }
            let method = match kind {
                Kind::List => {
                    "?limit=20".clone_into(&mut rest);
                    "GET"
                }
                Kind::Create | Kind::Complete => "POST",
                Kind::Patch => "PATCH",
                Kind::Delete => "DELETE",
            };
            shared
                .requests
                .write(&mut request, method, user, &rest, &body);
            let sent = Instant::now();
            let answer = connection.exchange(&request);
            let Some(tally) = tallies.get_mut(&kind) else {
                continue;
            };
            match answer {
                Ok((status, body)) => {
                    tally.answered(status, sent.elapsed());
                    if status == 201 {
                        let created: Created = serde_json::from_slice(body)?;
                        shared.made().push((user, created.id));
                    }
                }
                Err(error) => tally.unanswered(&error),
            }
        }
        Ok(tallies)
    };
    run(plan, clients, until, preloaded, client)
}

/// Runs the clients, each on a thread: `client` gets its number.
fn run(
    plan: &Plan,
    clients: usize,
    until: Until,
    preloaded: &[TaskOf],
    client: impl Fn(&Shared<'_>, u64) -> Result<Tallies> + Sync,
) -> Result<Value> {
    let shared = Shared {
        requests: Requests::new(plan.address, &plan.users),
        until,
        began: Instant::now(),
        next: AtomicU64::new(0),
        made: Mutex::new(Vec::new()),
        preloaded,
    };
    let mut kinds = Tallies::new();
    thread::scope(|scope| {
        let numbers = 0..u64::try_from(clients).unwrap_or_default();
        let (shared, client) = (&shared, &client);
        let threads: Vec<_> = numbers
            .map(|number| scope.spawn(move || client(shared, number)))
            .collect();
        for thread in threads {
            let tallies = thread.join().map_err(|_| anyhow!("a client panicked"))??;
            for (kind, tally) in tallies {
                match kinds.get_mut(&kind) {
                    Some(all) => all.add(&tally)?,
                    None => {
                        kinds.insert(kind, tally);
                    }
                }
            }
        }
        anyhow::Ok(())
    })?;
    let seconds = shared.began.elapsed().as_secs_f64();

    let mut all = Tally::new()?;
    let mut by_kind = serde_json::Map::new();
    for (kind, tally) in &kinds {
        all.add(tally)?;
        if !tally.is_empty() {
            by_kind.insert(kind.name().to_owned(), tally.json());
        }
    }
    let mut result = all.json();
    result["seconds"] = json!(seconds);
    result["kinds"] = by_kind.into();
    result["ids"] = json!(*shared.made());
    Ok(result)
}
