//! After a long outage. It takes minutes and all of the machine: `cargo xtask test --e2e --ignored large`.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use e2e::database::Database;
use e2e::flow::{dead_letters, wait_until_settled};
use e2e::lanes;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;
use stack::kafka;

use crate::own_stack::{OwnStack, done};

const LANES: i64 = 100_000;

/// Within what time two replicas publish all of them.
const DRAINED: Duration = Duration::from_secs(60);

/// Within what time an overdue reminder is triggered meanwhile.
const TRIGGERED: Duration = Duration::from_secs(10);

/// Each lane's only event, in the form of one that the service made.
const FILL: &str = "SELECT count(append_event(
    jsonb_build_object('event_id', gen_random_uuid()), 'lane-' || n, task_id, type, topic,
    data || jsonb_build_object('user_id', 'lane-' || n)
)) FROM generate_series(1, $2::text::integer) AS n, events WHERE user_id = $1 AND sequence = 1";

const STATE: &str = "SELECT jsonb_build_object(
    'queued', (SELECT count(*) FROM publish_queue),
    'reminder', (SELECT status FROM reminders WHERE task_id::text = $1)
)";

#[test]
#[ignore = "it takes minutes"]
fn a_hundred_thousand_lanes_are_drained_by_two_replicas_and_reminders_do_not_wait() {
    let stack = OwnStack::alone(|options| options.partitions(6));
    let second = match stack.replica("second") {
        Ok(second) => second,
        Err(error) => panic!("{error:#}"),
    };
    let mut database = Database::of(stack.endpoints());
    let template = TestUser::random_on(stack.endpoints());
    template.created("Water the plants");
    let todo = TestUser::random_on(stack.endpoints());
    let due_date = database.json("rfc3339(now() + interval '30 days')", &[]);
    let task = todo.created_with(json!({"title": "t", "due_date": due_date}));
    for todo in [&template, &todo] {
        wait_until_settled(todo, Limit::DELIVERY);
    }

    done(stack.daprd().kill());
    let filled = database.json(FILL, &[template.user(), &LANES.to_string()]);
    assert_eq!(filled, LANES);
    lanes::change(
        &todo,
        "UPDATE reminders SET remind_at = now() - interval '1 minute', planned = ARRAY[now() - interval '1 minute']
        WHERE user_id = $1",
    );

    done(second.app().start());
    done(stack.daprd().start());
    done(second.daprd().start());
    let began = Instant::now();
    let mut state = Value::Null;
    let (mut triggered, mut drained) = (None, None);
    let mut steps = Vec::new();
    while began.elapsed() < 3 * DRAINED && (triggered.is_none() || drained.is_none()) {
        state = database.json(STATE, &[string_member(&task, "id")]);
        if state["reminder"] == "triggered" {
            triggered.get_or_insert(began.elapsed());
        }
        if state["queued"] == 0 {
            drained.get_or_insert(began.elapsed());
        }
        if began.elapsed() > Duration::from_secs(5) * steps.len() as u32 {
            steps.push(state["queued"].to_string());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = writeln!(
        io::stderr(),
        "{LANES} lanes behind: drained after {drained:?}, the reminder triggered after {triggered:?}; \
        left every 5 s: {}",
        steps.join(", ")
    );
    assert!(
        triggered.is_some_and(|after| after < TRIGGERED),
        "{triggered:?}: {state}"
    );
    assert!(
        drained.is_some_and(|after| after < DRAINED),
        "{drained:?}: {state}"
    );

    // Both worked, and all is at the broker.
    let publishers = database.json("SELECT count(*) FROM publishers", &[]);
    assert_eq!(publishers, 2);
    let behind = database.json("SELECT count(*) FROM lanes WHERE published < head", &[]);
    assert_eq!(behind, 0);
    let ends = match kafka::end_offsets(&stack.endpoints().kafka, TASKS_TOPIC) {
        Ok(ends) => ends.values().sum::<i64>(),
        Err(error) => panic!("{error:#}"),
    };
    assert!(ends >= LANES, "{ends} records");
    wait_until_settled(&todo, Limit::RECOVERY);
    let path = todo.tasks_path().replace("/tasks", "/notifications");
    until("the notification", Limit::RECOVERY, || {
        let list = todo.call("GET", path.as_str()).send().expect(200).json();
        match list.as_array().map(Vec::len) {
            Some(1) => Ok(()),
            _ => Err(list),
        }
    });
    assert_eq!(dead_letters(stack.endpoints()), json!([]));
}
