//! An instance of the service that writes and publishes, with a broker that crashes it, lets it wait or refuses a part.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;
use serde_json::{Value, json};
use uuid::Uuid;

/// A random number from 0 to 1.
pub fn random() -> f64 {
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    let mut x = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

pub fn pause(most: Duration) {
    thread::sleep(most.mul_f64(random()));
}

/// The events that reached the broker: when, the user, the number, the id.
pub type Landed = Mutex<Vec<(Instant, String, i64, String)>>;

/// An instance of the service.
pub struct Instance<'a> {
    pub client: Client,
    pub sidecar: String,
    pub users: u32,
    pub faults: bool,
    /// Whether deadlocks are allowed: with a lock moved or removed, two statements may wait for each other.
    pub may_deadlock: bool,
    pub landed: &'a Landed,
}

impl Instance<'_> {
    pub fn ask(&mut self, statement: &str, arguments: &[&str]) -> Value {
        let arguments: Vec<&(dyn postgres::types::ToSql + Sync)> = arguments
            .iter()
            .map(|argument| argument as &(dyn postgres::types::ToSql + Sync))
            .collect();
        match self.client.query_one(statement, &arguments) {
            Ok(row) => serde_json::from_str(&row.get::<_, String>(0)).unwrap_or_default(),
            Err(error)
                if self.may_deadlock && error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) =>
            {
                Value::Null
            }
            Err(error) => panic!("{error:?}: {statement}"),
        }
    }

    pub fn write(&mut self) {
        // The first users change most often.
        let user = format!("u{}", (f64::from(self.users) * random().powi(3)) as u32);
        if random() < 0.1 {
            self.write_batch(&user);
            return;
        }
        let token = Uuid::now_v7().to_string();
        let outbox = json!({"event_id": Uuid::now_v7(), "sidecar": self.sidecar, "token": token});
        let append = "SELECT append_event($1::text::jsonb, $2, gen_random_uuid(), 'task.created', 'tasks', '{}')::text";
        let outbox = outbox.to_string();
        if self.faults && random() < 0.02 {
            // The transaction is dropped, so it is rolled back.
            let transaction = self.client.transaction();
            if let Ok(mut transaction) = transaction {
                let _ = transaction.query_one(append, &[&outbox, &user]);
            }
            return;
        }
        let answer = self.ask(append, &[&outbox, &user]);
        if answer["publisher"] == true {
            let first = &answer["event"];
            let first = if first.is_null() {
                vec![]
            } else {
                vec![first.clone()]
            };
            self.publish(&token, first);
        }
    }

    /// Several events of a user in one statement.
    fn write_batch(&mut self, user: &str) {
        let token = Uuid::now_v7().to_string();
        let create = || {
            json!({
                "op": "create", "task_id": Uuid::now_v7(), "event_id": Uuid::now_v7(), "fields": {
                    "title": "t", "priority": "low", "tags": [], "timezone": "UTC", "is_recurring": false,
                },
            })
        };
        let operations: Value = (0..1 + (random() * 5.0) as usize)
            .map(|_| create())
            .collect();
        let outbox = json!({"sidecar": self.sidecar, "token": token});
        let answer = self.ask(
            "SELECT change_tasks($1, $2::text::jsonb, $3::text::jsonb)::text",
            &[user, &operations.to_string(), &outbox.to_string()],
        );
        if answer["emitted"]["publisher"] == true {
            self.publish(&token, vec![]);
        }
    }

    pub fn relay(&mut self) {
        let token = Uuid::now_v7().to_string();
        let sidecar = self.sidecar.clone();
        let become_publisher = "SELECT become_publisher($1, $2::text::uuid)::text";
        if self.ask(become_publisher, &[&sidecar, &token]) == true {
            self.publish(&token, vec![]);
        }
    }

    fn publish(&mut self, token: &str, mut batch: Vec<Value>) {
        let sidecar = self.sidecar.clone();
        let most = ["1", "3", "10", "100"][(random() * 4.0) as usize];
        loop {
            let results = match self.send(&batch) {
                Sent::Crashed => return,
                Sent::Failed => {
                    let unsent = results(&batch, |_| "unsent").to_string();
                    self.ask(
                        "SELECT publishing_failed($1, $2::text::uuid, $3::text::jsonb)::text",
                        &[&sidecar, token, &unsent],
                    );
                    return;
                }
                Sent::Settled(results) => results.to_string(),
            };
            let answer = self.ask(
                "SELECT publish_turn($1, $2::text::uuid, $3::text::jsonb, $4::text::integer)::text",
                &[&sidecar, token, &results, most],
            );
            if answer["publisher"] != true {
                return;
            }
            batch = answer["events"].as_array().cloned().unwrap_or_default();
            if batch.is_empty() {
                pause(Duration::from_millis(3));
            }
        }
    }

    fn land(&self, event: &Value, later: Duration) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.landed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((
                Instant::now() + later,
                text(&event["user_id"]),
                event["sequence"].as_i64().unwrap_or_default(),
                text(&event["event"]["id"]),
            ));
    }

    /// A broker that crashes callers, lets them wait or refuses a part.
    fn send(&self, batch: &[Value]) -> Sent {
        pause(Duration::from_millis(2));
        let fate = if self.faults && !batch.is_empty() {
            random()
        } else {
            1.0
        };
        if fate < 0.02 {
            let later = Duration::from_secs(if fate < 0.01 { 0 } else { 3 });
            for event in batch {
                if random() < 0.5 {
                    self.land(event, later.mul_f64(random()));
                }
            }
            return if fate < 0.01 {
                Sent::Crashed
            } else {
                Sent::Failed
            };
        }
        if fate < 0.03 {
            // Longer than a lane is held.
            pause(Duration::from_millis(2500));
        }
        Sent::Settled(results(batch, |event| {
            let lot = if self.faults { random() } else { 1.0 };
            let outcome = match lot {
                _ if lot < 0.03 => "failed",
                _ if lot < 0.032 => "rejected",
                _ if lot < 0.04 => "unsent",
                _ => "published",
            };
            if outcome == "published" {
                self.land(event, Duration::ZERO);
            }
            outcome
        }))
    }
}

enum Sent {
    Crashed,
    Failed,
    Settled(Value),
}

fn results(batch: &[Value], outcome: impl Fn(&Value) -> &'static str) -> Value {
    let result = |event: &Value| json!({"user_id": event["user_id"], "sequence": event["sequence"], "outcome": outcome(event)});
    batch.iter().map(result).collect()
}
