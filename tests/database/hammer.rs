//! Attacks on the queue: instances write and publish at once, some crash, stall or are refused, and the functions pause
//! at the most dangerous points.

mod functions;
mod instance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use self::functions::replaced;
use self::functions::{functions, hurried, nap, with_look, with_naps};
pub use self::instance::random;
use self::instance::{Instance, Landed, pause};
use crate::scratch_database::{ScratchDatabase, execute};

/// How long each attack lasts.
const TIME: Duration = Duration::from_secs(10);

/// One attack at a time: instances that wait for a processor never let go of the publisher's place.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs writers of one sidecar without a relay. Returns how often the publisher's place was taken over, and how often a
/// lane had been forgotten.
fn wake_ups(text: &str, is_broken: bool) -> (i64, i64) {
    let database = ScratchDatabase::create();
    execute(&mut database.connect(), &with_look(text));
    // With a slow disk some write is always under way, and the publisher would never let go.
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
fn no_lane_is_forgotten_when_a_publisher_lets_go() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (takeovers, forgotten) = wake_ups(&with_naps(functions()), false);
    assert!(takeovers > 5, "only {takeovers}");
    assert_eq!(forgotten, 0, "in {takeovers} takeovers");
}

/// Requires that the test above finds forgotten lanes if one step is missing.
fn assert_forgotten(text: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // A rare event may need several runs.
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
    // A longer pause between the clock and the lock makes the rare case more likely.
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
