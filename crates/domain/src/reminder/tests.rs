//! When a task is to be reminded of.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const DAY: i64 = 86_400;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn event(event_type: &str, data: Value) -> ReceivedEvent {
    let mut data = data;
    data["task_id"] = json!(Uuid::nil());
    data["user_id"] = json!("alice");
    let event = json!({
        "specversion": "1.0", "id": Uuid::nil(), "type": event_type, "time": "2026-01-01T12:00:00Z",
        "sequence": "00000000000000000001", "data": data,
    });
    ReceivedEvent::parse(event.to_string().as_bytes()).unwrap()
}

fn wanted(event_type: &str, data: Value, now: &str) -> WantedReminders {
    wanted_reminders(&event(event_type, data), at(now), DAY)
        .unwrap()
        .unwrap()
}

fn moments_of(event_type: &str, data: Value, now: &str) -> Result<Vec<Timestamp>, NoReminder> {
    wanted(event_type, data, now).moments
}

#[test]
fn a_task_due_later_than_the_lead_is_reminded_of_that_long_before() {
    let data = json!({"completed": false, "due_date": "2026-01-05T09:00:00Z"});
    for event_type in ["task.created", "task.updated"] {
        let moment = moments_of(event_type, data.clone(), "2026-01-01T12:00:01Z");
        assert_eq!(moment, Ok(vec![at("2026-01-04T09:00:00Z")]));
    }
}

#[test]
fn a_task_due_in_exactly_the_lead_has_no_reminder() {
    let due = |due: &str| json!({"completed": false, "due_date": due});
    let now = "2026-01-01T12:00:00Z";
    assert_eq!(
        moments_of("task.created", due("2026-01-02T12:00:00Z"), now),
        Err(NoReminder::DueTooSoon)
    );
    assert!(moments_of("task.created", due("2026-01-02T12:00:00.000001Z"), now).is_ok());
}

#[test]
fn an_event_handled_late_wants_its_reminder_until_the_due_date() {
    let data = json!({"completed": false, "due_date": "2026-01-05T09:00:00Z"});
    let moment = |now: &str| moments_of("task.created", data.clone(), now);
    assert_eq!(
        moment("2026-01-05T08:59:59Z"),
        Ok(vec![at("2026-01-04T09:00:00Z")])
    );
    assert_eq!(
        moment("2026-01-05T09:00:00Z"),
        Err(NoReminder::DueDatePassed)
    );
}

#[test]
fn finished_tasks_and_tasks_without_due_date_have_no_reminder() {
    let now = "2026-01-01T12:00:00Z";
    let due = "2026-01-05T09:00:00Z";
    let completed = json!({"completed": true, "due_date": due});
    assert_eq!(
        moments_of("task.completed", completed.clone(), now),
        Err(NoReminder::Completed)
    );
    assert_eq!(
        moments_of("task.updated", completed, now),
        Err(NoReminder::Completed)
    );
    let skipped = json!({"completed": false, "skipped_at": now, "due_date": due});
    assert_eq!(
        moments_of("task.skipped", skipped.clone(), now),
        Err(NoReminder::Skipped)
    );
    assert_eq!(
        moments_of("task.updated", skipped, now),
        Err(NoReminder::Skipped)
    );
    let dateless = json!({"completed": false, "due_date": null});
    assert_eq!(
        moments_of("task.updated", dateless, now),
        Err(NoReminder::NoDueDate)
    );
    assert_eq!(
        moments_of("task.deleted", json!({}), now),
        Err(NoReminder::Deleted)
    );
}

#[test]
fn other_events_say_nothing_about_reminders() {
    for event_type in ["reminder.triggered", "reminder.scheduled", "task.archived"] {
        assert_eq!(
            wanted_reminders(
                &event(event_type, json!({})),
                at("2026-01-01T12:00:00Z"),
                DAY
            ),
            Ok(None)
        );
    }
    let without_due_date = event("task.created", json!({"completed": "no"}));
    assert!(wanted_reminders(&without_due_date, at("2026-01-01T12:00:00Z"), DAY).is_err());
}

/// Reminders of an open task that is due on 5 January at 09:00.
fn own(reminders: Value) -> Value {
    json!({"completed": false, "due_date": "2026-01-05T09:00:00Z", "reminders": reminders})
}

#[test]
fn own_reminders_replace_the_lead() {
    let reminders = json!([
        {"before": "PT30M"}, {"at": "2026-01-02T08:00:00+01:00"}, {"before": "P1D"}, {"at": "2026-01-05T08:30:00Z"},
        {"at": "2026-01-06T10:00:00Z"},
    ]);
    let moments = moments_of("task.created", own(reminders), "2026-01-01T12:00:01Z");
    let expected = [
        "2026-01-02T07:00:00Z",
        "2026-01-04T09:00:00Z",
        "2026-01-05T08:30:00Z",
        "2026-01-06T10:00:00Z",
    ];
    assert_eq!(moments, Ok(expected.map(at).to_vec()));
    let moments = moments_of("task.created", own(json!([])), "2026-01-01T12:00:01Z");
    assert_eq!(moments, Err(NoReminder::NoneWanted));
    let moments = moments_of("task.created", own(Value::Null), "2026-01-01T12:00:01Z");
    assert_eq!(moments, Ok(vec![at("2026-01-04T09:00:00Z")]));
}

#[test]
fn a_reminder_with_a_moment_before_the_event_is_not_wanted() {
    let now = "2026-01-01T12:00:01Z";
    let moments = |reminders| wanted("task.updated", own(reminders), now).moments;
    let ahead =
        moments(json!([{"at": "2026-01-01T12:00:00Z"}, {"before": "P9D"}, {"before": "PT1H"}]));
    assert_eq!(ahead, Ok(vec![at("2026-01-05T08:00:00Z")]));
    assert_eq!(
        moments(json!([{"before": "P9D"}])),
        Err(NoReminder::DueTooSoon)
    );
}

#[test]
fn own_reminders_come_even_when_the_event_is_handled_after_the_due_date() {
    let reminders = json!([{"before": "PT0S"}]);
    let moments = moments_of("task.created", own(reminders), "2026-02-01T00:00:00Z");
    assert_eq!(moments, Ok(vec![at("2026-01-05T09:00:00Z")]));
}

#[test]
fn a_finished_task_has_no_reminders_of_its_own_either() {
    let mut task = own(json!([{"before": "PT30M"}]));
    task["completed"] = json!(true);
    let none = wanted("task.completed", task, "2026-01-01T12:00:01Z");
    assert_eq!(none.moments, Err(NoReminder::Completed));
}

fn reminders(value: Value) -> Reminders {
    serde_json::from_value(value).unwrap()
}

#[test]
fn each_reminder_is_kept_once_and_five_at_most() {
    let twice = json!([{"before": "PT60M"}, {"at": "2026-01-01T00:00:00Z"}, {"before": "PT1H"}]);
    let once = json!([{"before": "PT60M"}, {"at": "2026-01-01T00:00:00.000000Z"}]);
    assert_eq!(json!(reminders(twice)), once);
    let six: Vec<Value> = (1..=6)
        .map(|n| json!({"before": format!("PT{n}H")}))
        .collect();
    assert!(serde_json::from_value::<Reminders>(json!(six[..5])).is_ok());
    assert!(serde_json::from_value::<Reminders>(json!(six)).is_err());
}

#[test]
fn instants_move_with_the_due_date() {
    let moved = reminders(json!([{"before": "PT1H"}, {"at": "2026-01-01T00:00:00Z"}]))
        .moved(86_400_000_000);
    let expected = json!([{"before": "PT1H"}, {"at": "2026-01-02T00:00:00.000000Z"}]);
    assert_eq!(json!(moved), expected);
    let beyond = reminders(json!([{"at": "9998-12-31T00:00:00Z"}])).moved(i64::MAX);
    assert!(beyond.is_empty());
}

proptest! {
    #[test]
    fn a_moment_of_the_lead_lies_between_the_event_and_the_due_date(
        due in 0i64..200_000_000_000_000_000, time in 0i64..200_000_000_000_000_000,
        now in 0i64..200_000_000_000_000_000, lead in 1i64..10_000_000,
    ) {
        let [due, time, now] = [due, time, now].map(|micros| Timestamp::from_unix_micros(micros).unwrap());
        let mut event = event("task.created", json!({"completed": false, "due_date": due}));
        event.time = time;
        let wanted = wanted_reminders(&event, now, lead).unwrap().unwrap();
        match wanted.moments {
            Ok(moments) => {
                prop_assert_eq!(moments.len(), 1);
                prop_assert!(time < moments[0] && moments[0] < due && now < due);
                prop_assert_eq!(due.unix_micros() - moments[0].unix_micros(), lead * 1_000_000);
            }
            Err(reason) => prop_assert!(
                reason == NoReminder::DueTooSoon && due.unix_micros() - time.unix_micros() <= lead * 1_000_000
                    || reason == NoReminder::DueDatePassed && due <= now
            ),
        }
    }

    #[test]
    fn the_moments_are_those_of_the_reminders_ahead(
        due in 0i64..200_000_000_000_000_000, time in 0i64..200_000_000_000_000_000,
        instants in proptest::collection::vec(0i64..200_000_000_000_000_000, 0..3),
        seconds in proptest::collection::vec(0u32..999_999, 0..3),
    ) {
        let durations = seconds.iter().map(|seconds| json!({"before": format!("PT{seconds}S")}));
        let mut expected: Vec<i64> = seconds.iter().map(|seconds| due - i64::from(*seconds) * 1_000_000).collect();
        expected.extend(&instants);
        expected.retain(|moment| *moment > time);
        expected.sort_unstable();
        expected.dedup();
        let [due, time] = [due, time].map(|micros| Timestamp::from_unix_micros(micros).unwrap());
        let instants = instants.iter().map(|micros| json!({"at": Timestamp::from_unix_micros(*micros).unwrap()}));
        let own: Vec<Value> = instants.chain(durations).collect();
        let mut event = event("task.updated", json!({"completed": false, "due_date": due, "reminders": own}));
        event.time = time;
        let wanted = wanted_reminders(&event, time, DAY).unwrap().unwrap();
        let moments = wanted.moments.unwrap_or_default();
        let moments: Vec<i64> = moments.into_iter().map(Timestamp::unix_micros).collect();
        prop_assert_eq!(moments, expected);
    }
}
