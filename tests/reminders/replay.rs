//! Stored events, published again.

use e2e::events::{first_appearances, records_of};
use e2e::flow::{ordered, series, successor, wait_until_settled};
use e2e::logs;
use e2e::operations;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use operator::replay::{Replayed, Unhandled, replay, replay_unhandled, unhandled};
use serde_json::{Value, json};
use stack::endpoints::{REMINDERS_TOPIC, TASKS_TOPIC};

use crate::support::{fire_job, id, in_days, notifications, notified, settled};

/// Everything that is kept of a user and follows from events.
fn kept(todo: &TestUser) -> Value {
    let kept = "SELECT jsonb_build_object(
        'lane', (SELECT to_jsonb(lane) FROM lanes AS lane WHERE user_id = $1),
        'reminders', (SELECT jsonb_agg(to_jsonb(reminder) ORDER BY task_id) FROM reminders AS reminder WHERE user_id = $1),
        'analytics', (
            SELECT jsonb_agg(to_jsonb(daily) ORDER BY day, type) FROM analytics_daily AS daily WHERE user_id = $1
        ),
        'dead_letters', (SELECT count(*) FROM dead_letters WHERE user_id = $1)
    )";
    let kept = todo.database().json(kept, &[todo.user()]);
    json!([todo.rows(), kept, notifications(todo)])
}

fn replayed(todo: &TestUser, since: &str) -> Replayed {
    match replay(&operations::deployment(todo.stack()), todo.user(), since) {
        Ok(replayed) => replayed,
        Err(error) => panic!("{error:#}"),
    }
}

/// How often a component was delivered an event.
fn deliveries(todo: &TestUser, component: &str, event: &Value) -> usize {
    let mut lines = logs::lines_of(todo.stack(), component, string_member(event, "id"));
    lines.retain(|line| line["message"] == "delivery");
    lines.len()
}

#[test]
fn replayed_events_come_again_in_order_and_change_nothing() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": in_days(3),
    }));
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let come_due = todo.database().client().execute(
        "UPDATE reminders SET remind_at = now(), planned = ARRAY[now()] WHERE user_id = $1",
        &[&todo.user()],
    );
    assert!(matches!(come_due, Ok(1)), "{come_due:?}");
    fire_job(&todo, id(&task)).expect(200);
    notified(&todo, &task, Limit::DELIVERY);
    todo.patch(id(&task), json!({"title": "u", "due_date": in_days(4)}))
        .task(200);
    todo.complete(id(&task)).task(200);
    todo.reopen(id(&task)).task(200);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let before = kept(&todo);
    let delivered: Vec<usize> = events
        .iter()
        .map(|event| deliveries(&todo, "reminder-handler", event))
        .collect();

    let all = replayed(&todo, "2020-01-01T00:00:00Z");
    assert_eq!(all.count, events.len());
    for topic in [TASKS_TOPIC, REMINDERS_TOPIC] {
        let records = records_of(todo.stack(), topic, todo.user());
        let first = first_appearances(&records);
        assert_eq!(records.len(), 2 * first.len());
        let again = first_appearances(&records[first.len()..]);
        assert_eq!(again.len(), first.len());
        for (first, again) in first.iter().zip(&again) {
            for member in [
                "id", "type", "time", "sequence", "subject", "source", "data",
            ] {
                assert_eq!(first[member], again[member]);
            }
        }
    }
    ordered(&todo);

    until("all are delivered again", Limit::DELIVERY, || {
        let now: Vec<usize> = events
            .iter()
            .map(|event| deliveries(&todo, "reminder-handler", event))
            .collect();
        let handled = |event: &Value| {
            let event_type = string_member(event, "type");
            // Each update here touches the due date or the completion.
            event_type.starts_with("task.") || event_type == "reminder.triggered"
        };
        let again = events
            .iter()
            .zip(delivered.iter().zip(&now))
            .all(|(event, (before, now))| *now == before + usize::from(handled(event)));
        if again {
            Ok(())
        } else {
            Err(format!("{delivered:?} then {now:?}"))
        }
    });
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), events);
    assert_eq!(kept(&todo), before);
}

#[test]
fn a_replay_takes_published_events_since_the_moment_only() {
    let todo = TestUser::random();
    for title in ["a", "b", "c"] {
        todo.created(title);
    }
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let since = string_member(&events[1], "time");
    assert_eq!(replayed(&todo, since), Replayed { count: 2, last: 3 });
    assert_eq!(replayed(&todo, &in_days(1)), Replayed::default());
    assert_eq!(records_of(todo.stack(), TASKS_TOPIC, todo.user()).len(), 5);

    // As if the last were not at the broker yet; nobody publishes it meanwhile.
    let mut database = todo.database();
    let mut set = |published: i64| {
        let set = database.client().execute(
            "UPDATE lanes SET published = $2 WHERE user_id = $1",
            &[&todo.user(), &published],
        );
        assert!(matches!(set, Ok(1)), "{set:?}");
    };
    set(2);
    assert_eq!(replayed(&todo, since), Replayed { count: 1, last: 2 });
    set(3);
}

#[test]
fn a_completion_that_never_reached_its_handler_is_found_and_made_good() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "daily",
    }));
    todo.complete(id(&task)).task(200);
    successor(&todo, &task);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let deployment = operations::deployment(todo.stack());
    let missing = || -> Vec<Unhandled> {
        match unhandled(&deployment, &in_days(-2), 1_000) {
            Ok(mut found) => {
                found.retain(|event| event.user == todo.user());
                found
            }
            Err(error) => panic!("{error:#}"),
        }
    };
    let change = |statement: &str| {
        let changed = todo.database().client().execute(statement, &[&todo.user()]);
        assert!(matches!(changed, Ok(1)), "{changed:?}: {statement}");
    };
    // As if an hour had passed.
    let past = "UPDATE events SET time = time - interval '1 hour',
        data = data || jsonb_build_object('timestamp', rfc3339(time - interval '1 hour'))
        WHERE user_id = $1 AND type = 'task.completed'";
    change(past);
    assert_eq!(missing(), []);

    // As if the broker had lost the completion before its handler read it.
    change(
        "DELETE FROM processed_events WHERE handler = 'recurrence'
        AND event_id = (SELECT id FROM events WHERE user_id = $1 AND type = 'task.completed')",
    );
    change(
        "DELETE FROM task_successors WHERE task_id = (SELECT id FROM tasks WHERE user_id = $1 AND completed)",
    );
    change("DELETE FROM tasks WHERE user_id = $1 AND occurrence = 2");
    let found = missing();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].id, string_member(&events[1], "id"));
    assert_eq!(found[0].number, 2);
    assert_eq!(found[0].handler, "recurrence");
    assert_eq!(found[0].event_type, "task.completed");

    match replay_unhandled(&deployment, &found) {
        Ok(count) => assert_eq!(count, 1),
        Err(error) => panic!("{error:#}"),
    }
    successor(&todo, &task);
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(missing(), []);
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 2);
}
