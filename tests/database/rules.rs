//! The subscriptions' rules deliver exactly the events that the database expects to be delivered. The database needs to
//! know this to find events that do not reach their handlers.

use std::fs;
use std::process::Command;
use std::time::Duration;

use e2e::database::Database;
use e2e::shared_stack;
use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};
use stack::endpoints::{REMINDERS_TOPIC, TASKS_TOPIC};
use stack::{process, workspace};

/// How long compiling the evaluation may take, the first time.
const LIMIT: Duration = Duration::from_secs(500);

/// A subscription by its component and topic, and the stream that it is.
const STREAMS: [(&str, &str, &str); 3] = [
    ("kafka-pubsub", TASKS_TOPIC, "recurrence"),
    ("kafka-pubsub-reminders", TASKS_TOPIC, "reminder"),
    ("kafka-pubsub-reminders", REMINDERS_TOPIC, "notification"),
];

/// Events in all the forms that matter, and in some that do not come yet.
fn events() -> Vec<Value> {
    let fields = [
        "due_date",
        "completed",
        "completed_at",
        "skipped_at",
        "reminders",
        "title",
        "anchor_day",
    ];
    let subsets = (0..1 << fields.len()).map(|bits: u32| -> Vec<&str> {
        let is_in = |place: &usize| bits & (1 << place) != 0;
        (0..fields.len())
            .filter(is_in)
            .map(|place| fields[place])
            .collect()
    });
    let mut events = Vec::new();
    let mut add = |event_type: &str, data: Value| {
        events
            .push(json!({"id": "1", "source": "/todo/users/u", "type": event_type, "data": data}));
    };
    for due_date in [Value::Null, json!("2030-01-01T00:00:00.000000Z")] {
        for is_recurring in [true, false] {
            for completed in [true, false] {
                let task = |more: Value| {
                    let mut task = json!({
                        "task_id": "1", "user_id": "u", "title": "due_date completed", "tags": ["due_date"],
                        "due_date": due_date, "is_recurring": is_recurring, "completed": completed,
                    });
                    if let (Some(task), Some(more)) = (task.as_object_mut(), more.as_object()) {
                        task.extend(more.clone());
                    }
                    task
                };
                for event_type in [
                    "task.created",
                    "task.completed",
                    "task.skipped",
                    "task.archived",
                ] {
                    add(event_type, task(json!({})));
                }
                for changed_fields in subsets.clone() {
                    add(
                        "task.updated",
                        task(json!({"changed_fields": changed_fields})),
                    );
                }
            }
        }
        add(
            "task.deleted",
            json!({"task_id": "1", "user_id": "u", "due_date": due_date, "was_completed": false}),
        );
        for event_type in [
            "reminder.scheduled",
            "reminder.cancelled",
            "reminder.triggered",
        ] {
            add(
                event_type,
                json!({"task_id": "1", "user_id": "u", "due_date": due_date, "reason": "completed"}),
            );
        }
    }
    events
}

/// What the database believes of each event.
fn believed(stream: &str, events: &[Value]) -> Vec<bool> {
    let believed = Database::of(shared_stack()).json(
        "SELECT jsonb_agg(coalesce(is_delivered($1, event ->> 'type', event -> 'data'), false) ORDER BY place)
        FROM jsonb_array_elements($2::text::jsonb) WITH ORDINALITY AS numbered (event, place)",
        &[stream, &Value::from(events).to_string()],
    );
    let believed = believed.as_array().into_iter().flatten();
    believed.map(|believed| believed == true).collect()
}

#[test]
fn the_subscription_rules_deliver_what_the_database_expects() {
    let todo = TestUser::random();
    let subscriptions = todo.call("GET", "/dapr/subscribe").authorization(None);
    let subscriptions = subscriptions.send().expect(200).json();
    let events = events();
    assert!(events.len() > 250, "{}", events.len());
    let mut cases = Vec::new();
    for (component, topic, stream) in STREAMS {
        let subscription = subscriptions
            .as_array()
            .into_iter()
            .flatten()
            .find(|each| each["pubsubname"] == component && each["topic"] == topic);
        let Some(subscription) = subscription else {
            panic!("no subscription of {topic} by {component}: {subscriptions}");
        };
        let believed = believed(stream, &events);
        assert_eq!(believed.len(), events.len());
        for (event, claimed) in events.iter().zip(believed) {
            let event_type = string_member(event, "type");
            let of_topic = event_type.starts_with(if topic == TASKS_TOPIC {
                "task."
            } else {
                "reminder."
            });
            if !of_topic {
                continue;
            }
            cases.push(json!({
                "Subscription": format!("{component} {topic}"),
                "Rules": subscription["routes"]["rules"],
                "Event": event,
                "Delivered": claimed,
            }));
        }
    }
    let delivered = cases
        .iter()
        .filter(|case| case["Delivered"] == true)
        .count();
    assert!(
        delivered > 50 && delivered < cases.len() - 50,
        "{delivered}"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cases.json");
    fs::write(&file, Value::from(cases).to_string()).expect("a file can be written");
    let mut command = Command::new("go");
    command
        .args(["test", "-count=1", "./rules"])
        .env("TODO_EVENTS_RULES", &file)
        .current_dir(workspace::root().join("tools/dapr"));
    match process::capture(command, LIMIT) {
        Ok(output) => assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("{error:#}"),
    }
}
