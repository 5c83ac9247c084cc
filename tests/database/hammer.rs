//! Instances that write and publish at once, some of which crash, stall or are refused, against the functions with pauses
//! at the nasty points.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;
use serde_json::{Value, json};
use stack::workspace;
use uuid::Uuid;

use crate::scratch_database::{ScratchDatabase, execute, read};

/// For how long each story goes on.
const TIME: Duration = Duration::from_secs(10);

/// One story at a time: an instance that has to wait for a processor never goes home.
static ALONE: Mutex<()> = Mutex::new(());

/// Puts `new` in the place of `old`, which must be there once.
pub fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old}");
    text.replace(old, new)
}

fn functions() -> String {
    read(&workspace::root().join("migrations/functions/publishing.sql"))
}

/// A pause of a random length, sometimes.
fn nap(milliseconds: f64) -> String {
    let seconds = milliseconds / 1000.0;
    format!("PERFORM pg_sleep(CASE WHEN random() < 0.3 THEN random() * {seconds} ELSE 0 END);")
}

/// Between every two steps whose order counts.
fn with_naps(mut text: String) -> String {
    for (before, milliseconds) in [
        ("    is_publisher := token", 2.0),
        ("    is_next := lane.head", 3.0),
        ("    UPDATE publishers SET token = new_token", 2.0),
        ("        -- Without the lock somebody", 3.0),
        ("        now := clock_timestamp();\n        IF EXISTS", 2.0),
    ] {
        text = replaced(&text, before, &format!("{}\n{before}", nap(milliseconds)));
    }
    let letting_go = "    END IF;\n    UPDATE publishers SET token = NULL";
    let nap = format!("{}\n{letting_go}", nap(3.0));
    replaced(&text, letting_go, &nap)
}

/// Everything takes a tenth of its time.
fn hurried(text: &str) -> String {
    let mut text = text.to_owned();
    for (old, new) in [
        ("interval '10 seconds'", "interval '1 second'"),
        ("interval '5 minutes'", "interval '0.3 seconds'"),
        (
            "least(60, 2 ^ least(attempts, 6)) *",
            "least(0.5, 0.02 * 2 ^ least(attempts, 6)) *",
        ),
        (
            "least(30, 2 ^ least(failures, 5)) *",
            "least(0.5, 0.05 * 2 ^ least(failures, 5)) *",
        ),
    ] {
        text = replaced(&text, old, new);
    }
    text.replace("interval '5 seconds'", "interval '0.7 seconds'")
}

/// A number from 0 to 1 that is another one each time.
pub fn random() -> f64 {
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    let mut x = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn pause(most: Duration) {
    thread::sleep(most.mul_f64(random()));
}

/// What reached the broker: when, whose, its number, its id.
type Landed = Mutex<Vec<(Instant, String, i64, String)>>;

/// An instance of the service.
struct Instance<'a> {
    client: Client,
    sidecar: String,
    users: u32,
    faults: bool,
    /// Without a lock in its place, two may also wait for each other.
    may_deadlock: bool,
    landed: &'a Landed,
}

impl Instance<'_> {
    fn ask(&mut self, statement: &str, arguments: &[&str]) -> Value {
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

    fn write(&mut self) {
        // The first users are hot.
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
            // Dropped, it is rolled back.
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

    fn relay(&mut self) {
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

/// Lets whoever takes over a free place look, in the snapshot in which it saw it free and locked it, whether a lane waits
/// that nobody holds: its writer relied on a publisher that had let go. So no later write hides it. A lane that the same
/// statement queued, as a batch does before it looks, is not forgotten.
fn with_look(text: &str) -> String {
    let taking = "    UPDATE publishers SET token = new_token";
    let end = "    RETURN FOUND;\nEND $$;";
    let Some((before, rest)) = text.split_once(taking) else {
        panic!("nobody takes over");
    };
    let Some((_, after)) = rest.split_once(end) else {
        panic!("no end");
    };
    format!(
        "CREATE SEQUENCE takeovers; CREATE SEQUENCE forgotten;
        {before}
    DECLARE
        is_forgotten boolean;
    BEGIN
        SELECT token IS NULL AND EXISTS (
            SELECT FROM publish_queue AS turn
            WHERE turn.turn_at <= clock_timestamp() AND coalesce(turn.held_until <= clock_timestamp(), true)
                AND turn.xmin <> pg_current_xact_id()::xid
        ) INTO is_forgotten
        FROM publishers
        WHERE sidecar = sidecar_name AND coalesce(publishers.held_until <= now OR relief_at <= now, true)
        FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        UPDATE publishers
        SET token = new_token, held_until = now + publisher_lease(), relief_at = now + publisher_stint()
        WHERE sidecar = sidecar_name;
        PERFORM nextval('takeovers');
        IF is_forgotten THEN
            PERFORM nextval('forgotten');
        END IF;
        RETURN true;
    END;
END $$;{after}"
    )
}

/// Writers of one sidecar without a relay: how often its place was taken over, and how often a lane was found forgotten.
fn wake_ups(text: &str, is_broken: bool) -> (i64, i64) {
    let database = ScratchDatabase::create();
    execute(&mut database.connect(), &with_look(text));
    // A slow disk would leave somebody in every statement, and the publisher would never let go.
    execute(
        &mut database.connect(),
        "DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
        END $$",
    );
    let landed = Landed::default();
    let until = Instant::now() + TIME;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut instance = Instance {
                    client: database.connect(),
                    sidecar: "sidecar".to_owned(),
                    users: 300,
                    faults: false,
                    may_deadlock: is_broken,
                    landed: &landed,
                };
                while Instant::now() < until {
                    pause(Duration::from_millis(100));
                    instance.write();
                }
            });
        }
    });
    let count = |sequence: &str| {
        database.number(&format!(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"
        ))
    };
    (count("takeovers"), count("forgotten"))
}

#[test]
fn nobody_is_forgotten_when_a_publisher_lets_go() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (takeovers, forgotten) = wake_ups(&with_naps(functions()), false);
    assert!(takeovers > 5, "only {takeovers}");
    assert_eq!(forgotten, 0, "in {takeovers} takeovers");
}

/// Requires that the test above sees what it is to see, where one step is missing.
fn assert_forgotten(text: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What is rare comes in one of some runs.
    let mut takeovers = 0;
    for _ in 0..4 {
        let (taken_over, forgotten) = wake_ups(text, true);
        takeovers += taken_over;
        if forgotten > 0 {
            return;
        }
    }
    panic!("none in {takeovers} takeovers");
}

#[test]
fn without_the_lock_lanes_are_forgotten() {
    assert_forgotten(&replaced(
        &with_naps(functions()),
        "NOT pg_try_advisory_xact_lock(sidecar_lock(sidecar_name))",
        "false",
    ));
}

#[test]
fn with_the_lock_taken_after_the_look_lanes_are_forgotten() {
    let lock = "    PERFORM pg_advisory_xact_lock_shared(sidecar_lock(sidecar_name));\n";
    let text = replaced(&with_naps(functions()), lock, "");
    let after = "    is_next := lane.head";
    let late = lock.replace("sidecar_name", "outbox ->> 'sidecar'");
    assert_forgotten(&replaced(&text, after, &format!("{late}{after}")));
}

#[test]
fn without_a_last_look_lanes_are_forgotten() {
    let text = with_naps(functions());
    let look = "        IF EXISTS (\n            SELECT FROM publish_queue";
    assert_forgotten(&replaced(
        &text,
        look,
        "        IF false AND EXISTS (\n            SELECT FROM publish_queue",
    ));
}

#[test]
fn with_a_clock_read_before_the_lock_lanes_are_forgotten() {
    let text = with_naps(functions());
    let before = "        now := clock_timestamp();\n        IF EXISTS";
    // A longer pause between the clock and the lock, for what is rare.
    let text = replaced(&text, before, "        IF EXISTS");
    let waiting = "        -- Without the lock somebody";
    assert_forgotten(&replaced(
        &text,
        waiting,
        &format!("{}\n{waiting}", nap(10.0)),
    ));
}

#[test]
fn whatever_becomes_of_publishers_every_event_appears_in_order() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let database = ScratchDatabase::create();
    execute(&mut database.connect(), &hurried(&with_naps(functions())));
    let landed = Landed::default();
    let instance = |sidecar: usize, faults| Instance {
        client: database.connect(),
        sidecar: format!("sidecar-{sidecar}"),
        users: 100,
        faults,
        may_deadlock: false,
        landed: &landed,
    };
    let until = Instant::now() + TIME;
    thread::scope(|scope| {
        for sidecar in 0..3 {
            let instance = &instance;
            for _ in 0..4 {
                scope.spawn(move || {
                    let mut instance = instance(sidecar, true);
                    while Instant::now() < until {
                        instance.write();
                        pause(Duration::from_millis(6));
                    }
                });
            }
            scope.spawn(move || {
                let mut relay = instance(sidecar, true);
                while Instant::now() < until {
                    relay.relay();
                    pause(Duration::from_millis(800));
                }
            });
        }
    });
    let mut relay = instance(0, false);
    let began = Instant::now();
    while relay.ask("SELECT count(*)::text FROM publish_queue", &[]) != 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the queue stays");
        relay.relay();
        pause(Duration::from_millis(20));
    }
    drop(relay);
    check(&database, &landed);
}

/// Every committed event appeared and no other; first appearances of a user's events are in order; each is counted once.
fn check(database: &ScratchDatabase, landed: &Landed) {
    let mut client = database.connect();
    let rows = client.query(
        "SELECT user_id, sequence, id::text FROM events ORDER BY user_id, sequence",
        &[],
    );
    let committed: BTreeSet<(String, i64, String)> = match rows {
        Ok(rows) => rows
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get(2)))
            .collect(),
        Err(error) => panic!("{error:?}"),
    };
    assert!(committed.len() > 300, "only {} events", committed.len());
    let mut landed = landed.lock().unwrap_or_else(PoisonError::into_inner);
    landed.sort();
    let mut heads: BTreeMap<&str, i64> = BTreeMap::new();
    let mut appeared = BTreeSet::new();
    for (_, user, sequence, id) in landed.iter() {
        if appeared.insert((user.clone(), *sequence, id.clone())) {
            let head = heads.entry(user).or_default();
            assert_eq!(*sequence, *head + 1, "{user}");
            *head = *sequence;
        }
    }
    assert_eq!(appeared, committed);
    assert!(landed.len() > appeared.len(), "nothing was repeated");
    for (what, expected) in [
        ("SELECT count(*) FROM lanes WHERE published <> head", 0),
        ("SELECT count(*) FROM publish_queue", 0),
        (
            "SELECT coalesce(sum(count), 0)::bigint FROM analytics_daily",
            i64::try_from(committed.len()).unwrap_or_default(),
        ),
    ] {
        assert_eq!(database.number(what), expected, "{what}");
    }
}
