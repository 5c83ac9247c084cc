//! The next instance of a recurring task, through sidecar and broker.

use domain::timestamp::Timestamp;
use e2e::flow::{quiet, series, successor};
use e2e::todo::{Todo, text};
use e2e::wait::Limit;
use serde_json::{Value, json};

fn recurring(todo: &Todo, interval: &str, due_date: &str, timezone: &str) -> Value {
    todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": interval, "due_date": due_date,
        "timezone": timezone,
    }))
}

/// Completes a task and gives the instance that follows.
fn next(todo: &Todo, task: &Value) -> Value {
    todo.complete(text(task, "id")).task(200);
    successor(todo, task)
}

#[test]
fn it_is_what_the_completed_one_was() {
    let todo = Todo::someone();
    let task = todo.created_with(json!({
        "title": "Water the plants", "description": "All of them", "priority": "low", "tags": ["home", "garden"],
        "is_recurring": true, "recurring_interval": "weekly",
        "due_date": "2020-01-01T08:00:00+05:45", "timezone": "Asia/Kathmandu",
    }));
    let next = next(&todo, &task);
    let mut expected = task.clone();
    for member in ["id", "created_at", "updated_at"] {
        assert_ne!(next[member], task[member], "{member}");
        expected[member] = next[member].clone();
    }
    expected["occurrence"] = json!(2);
    // One interval on, even if that is past.
    expected["due_date"] = json!("2020-01-08T02:15:00.000000Z");
    assert_eq!(next, expected);
    let original = todo.get(text(&task, "id")).task(200);
    assert_eq!(original["completed"], true);
}

/// Nobody's fault: it is no dead letter, and the relay does not wait for it to be handled.
#[test]
fn a_series_ends_with_the_calendar() {
    let todo = Todo::someone();
    let task = recurring(&todo, "daily", "9998-12-31T12:00:00Z", "UTC");
    todo.complete(text(&task, "id")).task(200);
    quiet(&todo, Limit::DELIVERY);
    assert_eq!(series(&todo, text(&task, "series_id")).len(), 1);
    let dead = "SELECT count(*) FROM dead_letters WHERE user_id = $1";
    assert_eq!(todo.database().json(dead, &[todo.user()]), json!(0));
}

/// What the event says counts: a change after the completion is none of the next instance's business.
#[test]
fn a_task_renamed_after_its_completion_passes_its_old_name_on() {
    let todo = Todo::someone();
    let task = recurring(&todo, "daily", "2020-01-01T08:00:00Z", "UTC");
    let id = text(&task, "id");
    todo.complete(id).task(200);
    todo.patch(id, json!({"title": "renamed"})).task(200);
    assert_eq!(successor(&todo, &task)["title"], "t");
}

#[test]
fn a_daily_one_keeps_its_wall_clock_time_when_clocks_change() {
    let todo = Todo::someone();
    for (due_date, expected) in [
        // Spring: clocks go forward on 28 March 2027.
        ("2027-03-27T08:00:00+01:00", "2027-03-28T06:00:00.000000Z"),
        // 02:30 does not exist on that day; the time moves forward.
        ("2027-03-27T02:30:00+01:00", "2027-03-28T01:30:00.000000Z"),
        // Autumn: clocks go back on 31 October 2027.
        ("2027-10-30T08:00:00+02:00", "2027-10-31T07:00:00.000000Z"),
        // 02:30 comes twice; the first counts.
        ("2027-10-30T02:30:00+02:00", "2027-10-31T00:30:00.000000Z"),
    ] {
        let task = recurring(&todo, "daily", due_date, "Europe/Berlin");
        let next = next(&todo, &task);
        assert_eq!(next["due_date"], expected, "after {due_date}");
        assert_eq!(next["timezone"], "Europe/Berlin");
    }
}

#[test]
fn a_monthly_one_keeps_aiming_at_the_day_it_began_with() {
    let todo = Todo::someone();
    let mut task = recurring(&todo, "monthly", "2027-01-31T09:00:00Z", "UTC");
    for (occurrence, expected) in [
        (2, "2027-02-28T09:00:00.000000Z"),
        (3, "2027-03-31T09:00:00.000000Z"),
        (4, "2027-04-30T09:00:00.000000Z"),
    ] {
        task = next(&todo, &task);
        assert_eq!(task["due_date"], expected);
        assert_eq!(task["occurrence"], occurrence);
        assert_eq!(task["anchor_day"], 31);
    }
    quiet(&todo, Limit::DELIVERY);
    assert_eq!(series(&todo, text(&task, "series_id")).len(), 4);
}

#[test]
fn without_a_due_date_the_completion_counts() {
    let todo = Todo::someone();
    let task = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "weekly"}));
    let completed = todo.complete(text(&task, "id")).task(200);
    let next = successor(&todo, &task);
    let micros = |task: &Value, member: &str| {
        Timestamp::parse(text(task, member)).map(|moment| moment.unix_micros())
    };
    let week = 7 * 24 * 3600 * 1_000_000;
    assert_eq!(
        micros(&next, "due_date"),
        micros(&completed, "completed_at").map(|completed| completed + week)
    );
    assert!(next["anchor_day"].is_i64(), "{next}");
}
