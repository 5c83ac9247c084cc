//! Bodies that create and change a task: examples and properties.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::violation::Location;

fn pointers<T: std::fmt::Debug>(parsed: Result<T, Vec<Violation>>) -> Vec<String> {
    parsed
        .unwrap_err()
        .into_iter()
        .map(|violation| match violation.location {
            Location::Pointer(pointer) => pointer,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_task_needs_only_a_title_and_has_defaults() {
    let task = parse_new_task(json!({"title": " Water plants "})).unwrap();
    assert_eq!(
        serde_json::to_value(task).unwrap(),
        json!({
            "title": "Water plants", "description": null, "priority": "medium", "tags": [], "due_date": null,
            "timezone": "UTC", "is_recurring": false, "recurring_interval": null,
        })
    );
}

#[test]
fn a_new_task_has_the_fields_that_a_client_may_set() {
    let all = json!({
        "title": "t", "due_date": "2030-01-01T09:00:00Z", "recurrence": {"rule": "FREQ=DAILY"},
        "reminders": [{"before": "PT1H"}],
    });
    let task = serde_json::to_value(parse_new_task(all).unwrap()).unwrap();
    let mut fields = WRITABLE.to_vec();
    fields.sort_unstable();
    let mut members: Vec<&String> = task.as_object().unwrap().keys().collect();
    members.sort_unstable();
    assert_eq!(members, fields);
}

#[test]
fn every_mistake_is_named_at_its_place() {
    let body = json!({
        "title": 7, "description": "x".repeat(1001), "priority": "urgent", "tags": ["ok", "", 3],
        "due_date": "tomorrow", "timezone": "Mars/Olympus", "is_recurring": "yes", "completed": true, "a/b": 1,
    });
    assert_eq!(
        pointers(parse_new_task(body)),
        [
            "/title",
            "/description",
            "/priority",
            "/tags/1",
            "/tags/2",
            "/due_date",
            "/timezone",
            "/is_recurring",
            "/a~1b",
            "/completed",
        ]
    );
}

#[test]
fn no_message_repeats_the_value() {
    let secret = "hunter2";
    for field in WRITABLE {
        let body = json!({"title": "t", field: {"nested": secret}});
        for violation in parse_new_task(body).unwrap_err() {
            assert!(!violation.to_string().contains(secret), "{violation}");
        }
        let body = json!({"priority": secret, "due_date": secret, "recurring_interval": secret});
        for violation in parse_new_task(body).unwrap_err() {
            assert!(!violation.to_string().contains(secret), "{violation}");
        }
    }
}

#[test]
fn an_interval_is_required_exactly_when_the_task_recurs() {
    for body in [
        json!({"title": "t", "is_recurring": true}),
        json!({"title": "t", "recurring_interval": "daily"}),
        json!({"title": "t", "is_recurring": false, "recurring_interval": "daily"}),
    ] {
        assert_eq!(pointers(parse_new_task(body)), ["/recurring_interval"]);
    }
    let body = json!({"title": "t", "is_recurring": true, "recurring_interval": "weekly"});
    assert!(parse_new_task(body).is_ok());
}

#[test]
fn an_interval_and_a_rule_say_the_same() {
    let simple = json!({"title": "t", "is_recurring": true, "recurring_interval": "weekly"});
    let rule = json!({"title": "t", "recurrence": {"rule": "freq=weekly"}});
    let task = parse_new_task(simple).unwrap();
    assert_eq!(parse_new_task(rule), Ok(task.clone()));
    let recurrence = json!({"rule": "FREQ=WEEKLY", "from": "schedule", "missed": "skip"});
    assert_eq!(json!(task.recurrence), recurrence);

    let rule = json!({
        "rule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH", "from": "completion", "missed": "keep",
    });
    let task = parse_new_task(json!({"title": "t", "recurrence": rule})).unwrap();
    assert_eq!(json!(task.recurrence), rule);
    assert_eq!((task.is_recurring, task.recurring_interval), (true, None));
}

#[test]
fn null_in_a_new_task_means_the_default() {
    for body in [
        json!({"title": "t", "is_recurring": true, "recurring_interval": "daily", "recurrence": null}),
        json!({"title": "t", "is_recurring": null, "recurring_interval": null, "recurrence": {"rule": "FREQ=DAILY"}}),
    ] {
        let task = parse_new_task(body.clone());
        assert!(task.is_ok_and(|task| task.is_recurring), "{body}");
    }
    let nothing =
        json!({"title": "t", "is_recurring": null, "recurring_interval": null, "recurrence": null});
    assert!(parse_new_task(nothing).is_ok_and(|task| !task.is_recurring));
}

#[test]
fn each_mistake_in_a_recurrence_is_named_at_its_place() {
    for (recurrence, expected) in [
        (json!("FREQ=DAILY"), vec!["/recurrence"]),
        (json!({"rule": null}), vec!["/recurrence/rule"]),
        (json!({"rule": "FREQ=HOURLY"}), vec!["/recurrence/rule"]),
        (
            json!({"rule": 1, "from": "now", "missed": true, "until": "2027-01-01"}),
            vec![
                "/recurrence/rule",
                "/recurrence/from",
                "/recurrence/missed",
                "/recurrence/until",
            ],
        ),
    ] {
        let body = json!({"title": "t", "recurrence": recurrence});
        assert_eq!(pointers(parse_new_task(body.clone())), expected, "{body}");
        let body = json!({"recurrence": recurrence});
        assert_eq!(pointers(parse_task_patch(body.clone())), expected, "{body}");
    }
}

#[test]
fn a_recurrence_is_merged_member_by_member() {
    let patch = parse_task_patch(json!({"recurrence": {"missed": "keep", "from": null}}));
    assert_eq!(
        Value::Object(patch.unwrap().0),
        json!({"recurrence": {"missed": "keep", "from": "schedule"}})
    );
    // A new task has nothing to merge with, but for an interval.
    let mut body = json!({"title": "t", "recurrence": {"missed": "keep"}});
    assert_eq!(pointers(parse_new_task(body.clone())), ["/recurrence/rule"]);
    body["recurring_interval"] = json!("daily");
    let task = parse_new_task(body).unwrap();
    assert_eq!(
        json!(task.recurrence),
        json!({"rule": "FREQ=DAILY", "from": "schedule", "missed": "keep"})
    );
}

#[test]
fn an_interval_and_a_rule_must_agree() {
    let daily = json!({"rule": "FREQ=DAILY"});
    for (fields, expected) in [
        (
            json!({"recurrence": daily, "is_recurring": false}),
            "/is_recurring",
        ),
        (
            json!({"recurrence": daily, "recurring_interval": "weekly"}),
            "/recurring_interval",
        ),
        (
            json!({"recurrence": daily, "recurring_interval": null}),
            "/recurring_interval",
        ),
        (
            json!({"recurrence": null, "is_recurring": true}),
            "/is_recurring",
        ),
        (
            json!({"recurrence": null, "recurring_interval": "daily"}),
            "/recurring_interval",
        ),
    ] {
        assert_eq!(
            pointers(parse_task_patch(fields.clone())),
            [expected],
            "{fields}"
        );
    }
    for fields in [
        json!({"recurrence": daily, "is_recurring": true, "recurring_interval": "daily"}),
        json!({"recurrence": {"rule": "FREQ=YEARLY"}, "recurring_interval": null}),
        json!({"recurrence": null, "is_recurring": false, "recurring_interval": null}),
    ] {
        assert!(parse_task_patch(fields.clone()).is_ok(), "{fields}");
    }
}

#[test]
fn absent_null_and_value_are_three_things_in_a_patch() {
    let patch = parse_task_patch(
        json!({"description": null, "priority": null, "tags": null, "due_date": "2026-01-31T09:00:00+01:00"}),
    );
    assert_eq!(
        Value::Object(patch.unwrap().0),
        json!({"description": null, "priority": "medium", "tags": [], "due_date": "2026-01-31T08:00:00.000000Z"})
    );
    assert_eq!(
        pointers(parse_task_patch(json!({"title": null}))),
        ["/title"]
    );
    for field in READ_ONLY {
        assert_eq!(
            pointers(parse_task_patch(json!({field: null}))),
            [format!("/{field}")]
        );
    }
    for body in [json!([]), json!(null), json!("x")] {
        assert_eq!(pointers(parse_task_patch(body)), [""]);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["high", "daily", "UTC", "2026-01-31T09:00:00Z"])
            .prop_map(Value::from),
        prop::sample::select(vec!["FREQ=DAILY", "FREQ=YEARLY;COUNT=3", "FREQ=NEVER"])
            .prop_map(|rule| json!({"rule": rule})),
    ];
    leaf.prop_recursive(2, 12, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(WRITABLE.to_vec()), inner, 0..8)
                .prop_map(|members| Value::Object(
                    members
                        .into_iter()
                        .map(|(k, v)| (k.to_owned(), v))
                        .collect()
                )),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_panics(body in any_json()) {
        let _ = parse_new_task(body.clone());
        let _ = parse_task_patch(body);
    }

    /// RFC 7396: a member absent from the patch is left alone, so exactly the members given are set.
    #[test]
    fn a_patch_sets_exactly_what_it_names(body in any_json()) {
        if let Ok(patch) = parse_task_patch(body.clone()) {
            let named: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
            let set: Vec<_> = patch.values().keys().cloned().collect();
            prop_assert_eq!(named, set);
        }
    }

    /// Applying what was parsed again changes nothing: parsing is idempotent on its own output.
    #[test]
    fn a_new_task_parses_to_itself(body in any_json()) {
        if let Ok(task) = parse_new_task(body) {
            let again = parse_new_task(serde_json::to_value(&task).unwrap());
            prop_assert_eq!(again, Ok(task));
        }
    }
}

#[test]
fn of_many_unknown_members_only_some_are_listed() {
    let members: Map<String, Value> = (0..9000).map(|n| (format!("m{n}"), json!(1))).collect();
    let violations = parse_task_patch(Value::Object(members)).unwrap_err();
    assert_eq!(violations.len(), MOST_VIOLATIONS);
}

#[test]
fn reminders_are_kept_as_they_were_written() {
    let reminders = json!([{"before": "PT60M"}, {"at": "2030-01-01T08:00:00+01:00"}]);
    let task = parse_new_task(
        json!({"title": "t", "due_date": "2030-01-01T09:00:00Z", "reminders": reminders}),
    );
    let expected = json!([{"before": "PT60M"}, {"at": "2030-01-01T07:00:00.000000Z"}]);
    assert_eq!(json!(task.unwrap())["reminders"], expected);
    // As earlier versions wrote it: an idempotency key knows a request by this.
    for said in [
        json!({"title": "t"}),
        json!({"title": "t", "reminders": null}),
    ] {
        let task = json!(parse_new_task(said).unwrap());
        for later in ["recurrence", "reminders"] {
            assert!(task.get(later).is_none(), "{task}");
        }
    }
    let patch = parse_task_patch(json!({"reminders": null})).unwrap();
    assert_eq!(patch.values()["reminders"], Value::Null);
    let patch = parse_task_patch(json!({"reminders": []})).unwrap();
    assert_eq!(patch.values()["reminders"], json!([]));
}

#[test]
fn each_mistake_in_reminders_is_named_at_its_place() {
    let hours = |n: usize| -> Vec<Value> {
        (1..=n)
            .map(|n| json!({"before": format!("PT{n}H")}))
            .collect()
    };
    for (reminders, expected) in [
        (json!("PT30M"), vec!["/reminders"]),
        (json!(["PT30M"]), vec!["/reminders/0"]),
        (json!([{}]), vec!["/reminders/0"]),
        (json!([{"before": null}]), vec!["/reminders/0"]),
        (
            json!([{"before": "PT1H", "at": "2030-01-01T00:00:00Z"}]),
            vec!["/reminders/0"],
        ),
        (
            json!([{"before": "PT1H", "by": "mail"}]),
            vec!["/reminders/0"],
        ),
        (
            json!([{"before": "1h"}, {"before": "PT1H"}, {"at": "tomorrow"}, {"before": 5}]),
            vec![
                "/reminders/0/before",
                "/reminders/2/at",
                "/reminders/3/before",
            ],
        ),
        (json!(hours(6)), vec!["/reminders"]),
        (json!(hours(10_000)), vec!["/reminders"]),
    ] {
        let body =
            json!({"title": "t", "due_date": "2030-01-01T00:00:00Z", "reminders": reminders});
        assert_eq!(pointers(parse_new_task(body)), expected, "{reminders}");
        let body = json!({"reminders": reminders});
        assert_eq!(pointers(parse_task_patch(body)), expected, "{reminders}");
    }
}

#[test]
fn reminders_of_a_new_task_need_a_due_date() {
    let body = json!({"title": "t", "reminders": [{"at": "2030-01-01T00:00:00Z"}]});
    assert_eq!(pointers(parse_new_task(body)), ["/reminders"]);
    let body = json!({"title": "t", "due_date": "soon", "reminders": [{"before": "PT1H"}]});
    assert_eq!(pointers(parse_new_task(body)), ["/due_date"]);
    assert!(parse_new_task(json!({"title": "t", "reminders": []})).is_ok());
}
