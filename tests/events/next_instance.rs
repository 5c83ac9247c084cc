//! The next instance of a recurring task, through sidecar and broker.

use domain::timestamp::Timestamp;
use e2e::flow::{series, successor, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};

const WEEK: i64 = 7 * 24 * 3600 * 1_000_000;

/// Microseconds from an instant to that of a task's member.
fn since(instant: &str, task: &Value, member: &str) -> i64 {
    let micros = |instant: &str| match Timestamp::parse(instant) {
        Ok(instant) => instant.unix_micros(),
        Err(error) => panic!("{instant}: {error}"),
    };
    micros(string_member(task, member)) - micros(instant)
}

fn by_rule(todo: &TestUser, due_date: &str, recurrence: Value) -> Value {
    todo.created_with(json!({
        "title": "t", "due_date": due_date, "timezone": "Europe/Berlin", "recurrence": recurrence,
    }))
}

fn recurring(todo: &TestUser, interval: &str, due_date: &str, timezone: &str) -> Value {
    todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": interval, "due_date": due_date,
        "timezone": timezone,
    }))
}

/// Completes a task and returns the instance that follows.
fn next(todo: &TestUser, task: &Value) -> Value {
    todo.complete(string_member(task, "id")).task(200);
    successor(todo, task)
}

#[test]
fn the_next_instance_copies_the_completed_task() {
    let todo = TestUser::random();
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
    // After the completion, on the pattern: no second overdue one.
    let weekday_and_time = "2020-01-08T02:15:00.000000Z";
    let weeks = since(weekday_and_time, &next, "due_date") / WEEK;
    assert_eq!(since(weekday_and_time, &next, "due_date"), weeks * WEEK);
    let ended = todo.get(string_member(&task, "id")).task(200);
    let wait = since(string_member(&ended, "completed_at"), &next, "due_date");
    assert!((1..=WEEK).contains(&wait), "{wait}");
    expected["due_date"] = next["due_date"].clone();
    assert_eq!(next, expected);
    let original = todo.get(string_member(&task, "id")).task(200);
    assert_eq!(original["completed"], true);
}

/// The end of a series is no error: there is no dead letter, and the relay does not wait for the event to be handled.
#[test]
fn a_series_ends_with_the_calendar() {
    let todo = TestUser::random();
    let task = recurring(&todo, "daily", "9998-12-31T12:00:00Z", "UTC");
    todo.complete(string_member(&task, "id")).task(200);
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 1);
    let dead = "SELECT count(*) FROM dead_letters WHERE user_id = $1";
    assert_eq!(todo.database().json(dead, &[todo.user()]), json!(0));
}

/// The event counts: a change after the completion does not affect the next instance.
#[test]
fn a_task_renamed_after_its_completion_passes_its_old_name_on() {
    let todo = TestUser::random();
    let task = recurring(&todo, "daily", "2020-01-01T08:00:00Z", "UTC");
    let id = string_member(&task, "id");
    todo.complete(id).task(200);
    todo.patch(id, json!({"title": "renamed"})).task(200);
    assert_eq!(successor(&todo, &task)["title"], "t");
}

#[test]
fn a_daily_one_keeps_its_wall_clock_time_when_clocks_change() {
    let todo = TestUser::random();
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
    let todo = TestUser::random();
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
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 4);
}

#[test]
fn without_a_due_date_the_completion_counts() {
    let todo = TestUser::random();
    let task = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "weekly"}));
    let completed = todo.complete(string_member(&task, "id")).task(200);
    let next = successor(&todo, &task);
    let completed_at = string_member(&completed, "completed_at");
    assert_eq!(since(completed_at, &next, "due_date"), WEEK);
    assert!(next["anchor_day"].is_i64(), "{next}");
}

#[test]
fn the_next_instance_is_not_overdue_unless_missed_dates_are_kept() {
    let todo = TestUser::random();
    let daily = |missed: &str| json!({"rule": "FREQ=DAILY", "missed": missed});
    let overdue = by_rule(&todo, "2020-01-01T08:00:00Z", daily("skip"));
    let next_one = next(&todo, &overdue);
    let completed_at = todo.get(string_member(&overdue, "id")).task(200)["completed_at"].clone();
    let wait = since(
        completed_at.as_str().unwrap_or_default(),
        &next_one,
        "due_date",
    );
    // A day and the hour that clocks may have changed by.
    assert!(wait > 0 && wait <= WEEK / 7 + WEEK / 7 / 24, "{next_one}");

    let kept = by_rule(&todo, "2020-01-01T08:00:00Z", daily("keep"));
    assert_eq!(
        next(&todo, &kept)["due_date"],
        "2020-01-02T08:00:00.000000Z"
    );
}

#[test]
fn the_next_instance_follows_its_rule() {
    let todo = TestUser::random();
    let rule = "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH";
    let mut task = by_rule(&todo, "2040-01-02T08:00:00Z", json!({"rule": rule}));
    assert_eq!(task["is_recurring"], true);
    assert_eq!(task["recurring_interval"], Value::Null);
    for expected in ["2040-01-05", "2040-01-16", "2040-01-19"] {
        task = next(&todo, &task);
        assert_eq!(task["due_date"], format!("{expected}T08:00:00.000000Z"));
        assert_eq!(
            task["recurrence"],
            json!({"rule": rule, "from": "schedule", "missed": "skip"})
        );
    }
}

#[test]
fn from_the_completion_its_day_counts() {
    let todo = TestUser::random();
    let recurrence = json!({"rule": "FREQ=DAILY;INTERVAL=3", "from": "completion"});
    let task = by_rule(&todo, "2040-01-02T08:00:00Z", recurrence);
    let next_one = next(&todo, &task);
    let completed_at = todo.get(string_member(&task, "id")).task(200)["completed_at"].clone();
    let wait = since(
        completed_at.as_str().unwrap_or_default(),
        &next_one,
        "due_date",
    );
    let day = WEEK / 7;
    assert!(
        wait > 2 * day - day / 24 && wait < 4 * day + day / 24,
        "{next_one}"
    );
}

#[test]
fn a_time_that_clocks_skipped_comes_back_the_day_after() {
    let todo = TestUser::random();
    let mut task = by_rule(&todo, "2040-03-24T01:30:00Z", json!({"rule": "FREQ=DAILY"}));
    task = next(&todo, &task);
    // 02:30 does not exist on 25 March 2040.
    assert_eq!(task["due_date"], "2040-03-25T01:30:00.000000Z");
    assert_eq!(task["wall_clock_due"], "2040-03-25T02:30:00.000000");
    let id = string_member(&task, "id").to_owned();
    let renamed = todo.patch(&id, json!({"title": "renamed"})).task(200);
    assert_eq!(renamed["wall_clock_due"], task["wall_clock_due"]);
    task = next(&todo, &task);
    assert_eq!(task["due_date"], "2040-03-26T00:30:00.000000Z");
    assert_eq!(task["wall_clock_due"], Value::Null);
}

#[test]
fn count_and_until_end_a_series() {
    let todo = TestUser::random();
    let two = by_rule(
        &todo,
        "2040-01-02T08:00:00Z",
        json!({"rule": "FREQ=DAILY;COUNT=2"}),
    );
    let last = next(&todo, &two);
    let until = by_rule(
        &todo,
        "2040-01-02T08:00:00Z",
        json!({"rule": "FREQ=DAILY;UNTIL=20400102"}),
    );
    for task in [&last, &until] {
        todo.complete(string_member(task, "id")).task(200);
    }
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(series(&todo, string_member(&two, "series_id")).len(), 2);
    assert_eq!(series(&todo, string_member(&until, "series_id")).len(), 1);
    let dead = "SELECT count(*) FROM dead_letters WHERE user_id = $1";
    assert_eq!(todo.database().json(dead, &[todo.user()]), json!(0));
}

/// Tasks written by the previous version have only an interval.
#[test]
fn a_task_of_an_earlier_version_keeps_missed_dates() {
    let todo = TestUser::random();
    let task = recurring(&todo, "weekly", "2020-01-01T08:00:00Z", "UTC");
    let earlier = "UPDATE tasks SET recurrence = NULL WHERE id = $1::text::uuid";
    let changed = todo
        .database()
        .client()
        .execute(earlier, &[&string_member(&task, "id")]);
    assert!(matches!(changed, Ok(1)), "{changed:?}");
    let shown = todo.get(string_member(&task, "id")).task(200);
    assert_eq!(
        shown["recurrence"],
        json!({"rule": "FREQ=WEEKLY", "from": "schedule", "missed": "keep"})
    );
    let next = next(&todo, &task);
    assert_eq!(next["due_date"], "2020-01-08T08:00:00.000000Z");
    assert_eq!(next["recurrence"], shown["recurrence"]);
}
