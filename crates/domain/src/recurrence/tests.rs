//! What follows a task that ended.

use serde_json::{Value, json};

use super::*;

/// A calendar that answers with what it was asked: the due date is one second later than `after`.
struct Echo;

impl Calendar for Echo {
    fn next(&self, series: &Series<'_>) -> Result<Option<Occurrence>, String> {
        if series.time_zone != "UTC" {
            return Err("unknown time zone".to_owned());
        }
        let start = series.counted_from.unwrap_or(series.due);
        let after = start.max(series.after).unix_micros() + 1_000_000;
        let occurrence = |due| Occurrence {
            due,
            wall_clock: series.wall_clock,
            anchor_day: series.anchor_day.unwrap_or(17),
        };
        Ok(Timestamp::from_unix_micros(after).ok().map(occurrence))
    }
}

fn ended(changes: Value) -> EndedTask {
    let mut task = json!({
        "task_id": Uuid::nil(), "user_id": "alice", "title": "Water plants", "description": null,
        "priority": "high", "tags": ["home"], "due_date": "2026-01-31T08:00:00Z", "timezone": "UTC",
        "is_recurring": true, "recurring_interval": "daily", "series_id": Uuid::nil(), "occurrence": 3,
        "recurrence": {"rule": "FREQ=DAILY", "from": "schedule", "missed": "skip"},
        "anchor_day": 31, "completed_at": "2026-02-05T12:00:00Z", "unknown_member": 1,
    });
    for (name, value) in changes.as_object().unwrap() {
        task[name] = value.clone();
    }
    serde_json::from_value(task).unwrap()
}

fn successor(task: EndedTask) -> Successor {
    match task.successor(&Echo) {
        Ok(Next::Successor(successor)) => *successor,
        other => panic!("{other:?}"),
    }
}

fn due(changes: Value) -> String {
    successor(ended(changes)).due_date.to_string()
}

#[test]
fn the_next_instance_copies_the_task_and_moves_its_due_date() {
    let next = successor(ended(json!({})));
    assert_eq!(
        serde_json::to_value(next).unwrap(),
        json!({
            "title": "Water plants", "description": null, "priority": "high", "tags": ["home"],
            "due_date": "2026-02-05T12:00:01.000000Z", "wall_clock_due": null, "timezone": "UTC",
            "is_recurring": true, "recurring_interval": "daily",
            "recurrence": {"rule": "FREQ=DAILY", "from": "schedule", "missed": "skip"}, "reminders": null,
            "series_id": Uuid::nil(), "occurrence": 4, "anchor_day": 31,
        })
    );
}

#[test]
fn missed_due_dates_are_skipped_or_kept() {
    let recurrence = |missed: &str| json!({"recurrence": {"rule": "FREQ=DAILY", "missed": missed}});
    assert_eq!(due(recurrence("skip")), "2026-02-05T12:00:01.000000Z");
    assert_eq!(due(recurrence("keep")), "2026-01-31T08:00:01.000000Z");
    // Completed early: the next instance is due after the due date anyway.
    let mut early = recurrence("skip");
    early["completed_at"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(due(early), "2026-01-31T08:00:01.000000Z");
}

#[test]
fn an_event_of_an_earlier_version_keeps_missed_due_dates() {
    let next = successor(ended(
        json!({"recurrence": null, "recurring_interval": "weekly"}),
    ));
    assert_eq!(next.due_date.to_string(), "2026-01-31T08:00:01.000000Z");
    assert_eq!(next.recurrence.rule.to_string(), "FREQ=WEEKLY");
    assert_eq!(next.recurrence.missed, Missed::Keep);
}

#[test]
fn from_completion_the_day_of_the_completion_counts() {
    let recurrence = json!({"rule": "FREQ=DAILY", "from": "completion", "missed": "keep"});
    assert_eq!(
        due(json!({"recurrence": recurrence, "completed_at": "2026-01-01T00:00:00Z"})),
        "2026-01-01T00:00:01.000000Z"
    );
    assert_eq!(
        due(json!({"recurrence": recurrence})),
        "2026-02-05T12:00:01.000000Z"
    );
}

#[test]
fn a_skipped_task_has_a_next_instance_like_a_completed_one() {
    let changes = json!({"completed_at": null, "skipped_at": "2026-02-05T12:00:00Z"});
    assert_eq!(successor(ended(changes)), successor(ended(json!({}))));
}

#[test]
fn without_a_due_date_the_completion_counts() {
    let next = successor(ended(
        json!({"due_date": null, "anchor_day": null, "wall_clock_due": "2026-01-01T00:00:00.000000"}),
    ));
    assert_eq!(next.due_date.to_string(), "2026-02-05T12:00:01.000000Z");
    assert_eq!((next.anchor_day, next.wall_clock_due), (17, None));
}

#[test]
fn a_task_with_a_rule_that_no_interval_can_say_has_no_interval() {
    let next = successor(ended(
        json!({"recurrence": {"rule": "FREQ=DAILY;INTERVAL=2"}}),
    ));
    assert_eq!(next.recurring_interval, None);
}

#[test]
fn a_task_that_does_not_recur_has_no_successor() {
    let task =
        ended(json!({"is_recurring": false, "recurring_interval": null, "recurrence": null}));
    assert_eq!(task.successor(&Echo), Ok(Next::Nothing));
}

#[test]
fn a_count_ends_the_series_with_the_task_of_that_number() {
    let next = |count: u32| {
        let rule = format!("FREQ=DAILY;COUNT={count}");
        ended(json!({"recurrence": {"rule": rule}})).successor(&Echo)
    };
    assert!(matches!(next(4), Ok(Next::Successor(_))));
    assert_eq!(next(3), Ok(Next::End));
    assert_eq!(next(1), Ok(Next::End));
}

#[test]
fn a_series_ends_with_the_calendar() {
    let task = ended(json!({"due_date": "9998-12-31T23:59:59Z"}));
    assert_eq!(task.successor(&Echo), Ok(Next::End));
}

#[test]
fn an_event_that_contradicts_itself_is_malformed() {
    for changes in [
        json!({"recurring_interval": null, "recurrence": null}),
        json!({"occurrence": i32::MAX}),
        json!({"completed_at": null}),
        // A name that this calendar does not know.
        json!({"timezone": "Europe/Berlin"}),
    ] {
        assert!(
            ended(changes.clone()).successor(&Echo).is_err(),
            "{changes}"
        );
    }
}

#[test]
fn reminders_are_as_far_from_the_due_date_as_before() {
    let reminders = json!([{"before": "PT30M"}, {"at": "2026-01-30T18:00:00Z"}]);
    // Due 5 days, 4 hours and a second later.
    let expected = json!([{"before": "PT30M"}, {"at": "2026-02-04T22:00:01.000000Z"}]);
    let next = successor(ended(json!({"reminders": reminders})));
    assert_eq!(json!(next.reminders), expected);
    let none = successor(ended(json!({"reminders": []})));
    assert_eq!(json!(none.reminders), json!([]));
}
