//! `GET /api/{user_id}/analytics`.

use e2e::answer::Answer;
use e2e::flow::wait_until_settled;
use e2e::test_user::TestUser;
use e2e::wait::Limit;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{id, in_days, moment, now};

fn analytics(todo: &TestUser, query: &str) -> Answer {
    let path = todo.tasks_path().replace("/tasks", "/analytics");
    todo.call("GET", format!("{path}?{query}")).send()
}

/// Today in UTC.
fn today() -> String {
    moment(now())[..10].to_owned()
}

/// What the user's stored events count up to, by type and day.
fn recount(todo: &TestUser) -> Value {
    todo.database().json(
        "SELECT jsonb_build_object(
            'totals', (SELECT coalesce(jsonb_object_agg(type, count), '{}') FROM (
                SELECT type, count(*) FROM events WHERE user_id = $1 GROUP BY type
            ) AS by_type),
            'days', (SELECT coalesce(jsonb_agg(jsonb_build_object('day', day, 'counts', counts) ORDER BY day), '[]') FROM (
                SELECT day, jsonb_object_agg(type, count) AS counts FROM (
                    SELECT (time AT TIME ZONE 'UTC')::date AS day, type, count(*)
                    FROM events WHERE user_id = $1 GROUP BY 1, 2
                ) AS each GROUP BY day
            ) AS by_day)
        )",
        &[todo.user()],
    )
}

#[test]
fn a_user_without_events_has_no_counts() {
    let answer = analytics(&TestUser::random(), "from=2026-01-02&to=2026-01-31").expect(200);
    assert_eq!(
        answer.json(),
        json!({"from": "2026-01-02", "to": "2026-01-31", "totals": {}, "completion_rate": null, "days": []})
    );
}

#[test]
fn the_counts_of_a_random_history_are_those_of_its_events() {
    let mut runner = TestRunner::default();
    let steps = proptest::collection::vec((0..7_u8, 0..8_usize), 40);
    let steps = match steps.new_tree(&mut runner) {
        Ok(tree) => tree.current(),
        Err(reason) => panic!("{reason}"),
    };
    let todo = TestUser::random();
    let mut tasks: Vec<Value> = Vec::new();
    for (step, which) in &steps {
        let task = tasks.get(*which).cloned();
        match (step, task) {
            (2, Some(task)) => drop(todo.patch(id(&task), json!({"title": "another"}))),
            (3, Some(task)) => drop(todo.patch(id(&task), json!({"due_date": in_days(9)}))),
            (4, Some(task)) => drop(todo.complete(id(&task))),
            (5, Some(task)) => drop(todo.reopen(id(&task))),
            (6, Some(task)) => drop(todo.delete(id(&task))),
            (0, _) => tasks.push(todo.created_with(json!({
                "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": in_days(4),
            }))),
            _ => tasks.push(todo.created("t")),
        }
    }
    let events = wait_until_settled(&todo, Limit::RECOVERY);
    // Yesterday too, in case it was before midnight.
    let counted = analytics(&todo, "").expect(200).json();
    let expected = recount(&todo);
    assert_eq!(counted["totals"], expected["totals"], "{steps:?}");
    assert_eq!(counted["days"], expected["days"], "{steps:?}");
    let count = |event_type: &str| {
        let of_type = events.iter().filter(|event| event["type"] == event_type);
        of_type.count() as f64
    };
    let rate = count("task.completed") / count("task.created");
    let told = counted["completion_rate"].as_f64().unwrap_or(-1.0);
    assert!((told - rate).abs() <= 0.000_05, "{told} is not {rate}");
}

#[test]
fn a_range_includes_both_its_ends() {
    let todo = TestUser::random();
    let inserted = todo.database().client().execute(
        "INSERT INTO analytics_daily (user_id, day, type, count)
        SELECT $1, day::date, type, count
        FROM (VALUES
            ('2025-01-01', 'task.created', 1::bigint),
            ('2025-01-02', 'task.created', 10),
            ('2025-01-02', 'task.completed', 5),
            ('2025-01-03', 'task.created', 100),
            ('2025-01-04', 'task.completed', 1000)
        ) AS days (day, type, count)",
        &[&todo.user()],
    );
    assert!(matches!(inserted, Ok(5)), "{inserted:?}");
    let totals = |query: &str| analytics(&todo, query).expect(200).json();
    let counted = totals("from=2025-01-02&to=2025-01-03");
    assert_eq!(
        counted,
        json!({
            "from": "2025-01-02", "to": "2025-01-03",
            "totals": {"task.created": 110, "task.completed": 5},
            "completion_rate": 0.0455,
            "days": [
                {"day": "2025-01-02", "counts": {"task.created": 10, "task.completed": 5}},
                {"day": "2025-01-03", "counts": {"task.created": 100}},
            ],
        })
    );
    assert_eq!(
        totals("from=2025-01-01&to=2025-01-01")["totals"],
        json!({"task.created": 1})
    );
    // None created: no rate.
    assert_eq!(
        totals("from=2025-01-04&to=2025-01-04")["completion_rate"],
        Value::Null
    );
    // 30 days that end today, or with the day given.
    let default = totals("");
    assert_eq!(default["to"], today());
    assert_eq!(default["totals"], json!({}));
    assert_eq!(totals("to=2025-01-31")["from"], "2025-01-02");
    // A leap year.
    totals("from=2024-01-01&to=2024-12-31");
}

#[test]
fn each_mistake_in_a_range_of_days_is_named() {
    let todo = TestUser::random();
    for (query, places) in [
        ("from=yesterday", vec!["from"]),
        ("to=2026-02-30", vec!["to"]),
        ("from=x&to=y", vec!["from", "to"]),
        ("from=2026-02-02&to=2026-02-01", vec!["from"]),
        ("from=2024-01-01&to=2025-01-01", vec!["from"]),
        ("day=2026-01-01", vec!["day"]),
    ] {
        assert_eq!(analytics(&todo, query).violations(), places, "{query}");
    }
    let other = TestUser::random();
    let path = todo.tasks_path().replace("/tasks", "/analytics");
    other.call("GET", &path).send().problem(403, "forbidden");
    let call = todo.call("GET", &path).authorization(None);
    call.send().problem(401, "unauthenticated");
    let answer = todo.call("POST", &path).send();
    assert_eq!(answer.header("allow"), Some("GET"));
    answer.problem(405, "method-not-allowed");
}
