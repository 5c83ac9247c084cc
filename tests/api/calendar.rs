//! The calendar of a user's tasks: `/api/{user_id}/calendar` and `/calendar/{secret}.ics`.

use e2e::answer::Answer;
use e2e::logs;
use e2e::test_user::{TestUser, string_member};
use icalendar::{Calendar, CalendarComponent, Component, Event};
use serde_json::{Value, json};

/// Makes the user's calendar and returns its path.
fn subscribed(todo: &TestUser) -> String {
    let target = todo.tasks_path().replace("/tasks", "/calendar");
    let made = todo.call("POST", target).send().expect(201).json();
    string_member(&made, "path").to_owned()
}

/// Reads a calendar as a program does: without a token.
fn read(todo: &TestUser, path: &str, known: Option<&str>) -> Answer {
    let call = todo.call("GET", path).authorization(None);
    match known {
        Some(known) => call.header("if-none-match", known).send(),
        None => call.send(),
    }
}

/// The events of a calendar, as another implementation finds them.
fn events(answer: &Answer) -> Vec<Event> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = String::from_utf8_lossy(&answer.body);
    let calendar: Calendar = match body.parse() {
        Ok(calendar) => calendar,
        Err(error) => panic!("{error}: {body}"),
    };
    let event = |component| match component {
        CalendarComponent::Event(event) => event,
        other => panic!("{other:?}"),
    };
    calendar.components.into_iter().map(event).collect()
}

fn summaries(answer: &Answer) -> Vec<String> {
    let summary = |event: &Event| event.get_summary().unwrap_or_default().to_owned();
    events(answer).iter().map(summary).collect()
}

/// Days from now, as RFC 3339.
fn in_days(todo: &TestUser, days: i64) -> String {
    let instant = todo.database().json(
        "SELECT to_jsonb(rfc3339(date_trunc('second', now()) + $1::text::integer * interval '1 day'))",
        &[&days.to_string()],
    );
    instant.as_str().unwrap_or_default().to_owned()
}

fn due(todo: &TestUser, title: &str, days: i64) -> Value {
    todo.created_with(json!({"title": title, "due_date": in_days(todo, days)}))
}

#[test]
fn a_program_that_knows_the_path_reads_the_tasks_that_are_due() {
    let todo = TestUser::random();
    let another = TestUser::random();
    due(&another, "another's", 1);
    let later = due(&todo, "later", 3);
    let task = todo.created_with(json!({
        "title": "Pay rent, now; \\ really", "description": "Line one\nline two", "priority": "high",
        "tags": ["home", "a;b"], "due_date": "2030-01-31T09:00:00+01:00",
    }));
    todo.created("without a due date");
    due(&todo, "long ago", -32);
    due(&todo, "a while ago", -29);
    let done = due(&todo, "done", 2);
    todo.complete(string_member(&done, "id")).task(200);
    let skipped = json!({"title": "skipped", "due_date": in_days(&todo, 2), "recurrence": {"rule": "FREQ=DAILY;COUNT=1"}});
    todo.skip(string_member(&todo.created_with(skipped), "id"))
        .task(200);

    let answer = read(&todo, &subscribed(&todo), None);
    assert_eq!(
        answer.header("content-type"),
        Some("text/calendar; charset=utf-8")
    );
    assert_eq!(
        summaries(&answer),
        ["a while ago", "✓ done", "later", "Pay rent, now; \\ really"],
        "the soonest first"
    );
    let events = events(&answer);
    assert_eq!(events[2].get_uid(), Some(string_member(&later, "id")));
    assert_eq!(events[3].get_uid(), Some(string_member(&task, "id")));
    assert_eq!(events[3].get_description(), Some("Line one\nline two"));
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    for line in [
        "DTSTART:20300131T080000Z",
        "CATEGORIES:home,a\\;b",
        "PRIORITY:1",
        "SEQUENCE:0",
    ] {
        assert!(body.contains(&format!("\r\n{line}\r\n")), "{line}: {body}");
    }
    let changed = string_member(&task, "updated_at").replace(['-', ':'], "");
    let (second, _) = changed.split_once('.').unwrap_or_default();
    for property in ["DTSTAMP", "LAST-MODIFIED"] {
        assert!(
            body.contains(&format!("\r\n{property}:{second}Z\r\n")),
            "{property}: {body}"
        );
    }
}

#[test]
fn the_calendars_etag_changes_exactly_when_the_calendar_does() {
    let todo = TestUser::random();
    let path = subscribed(&todo);
    let shown = due(&todo, "shown", 1);
    let hidden = todo.created("hidden");
    let tag_of = |answer: &Answer| answer.header("etag").unwrap_or_default().to_owned();
    let mut last = read(&todo, &path, None).expect(200);
    // Whether each of these changes what is shown.
    let (id, hidden) = (string_member(&shown, "id"), string_member(&hidden, "id"));
    let changes: [(&str, bool, &dyn Fn()); 9] = [
        ("nothing", false, &|| {}),
        ("a patch of nothing", false, &|| {
            drop(todo.patch(id, json!({"title": "shown"})).task(200))
        }),
        ("a patch of what is hidden", false, &|| {
            drop(todo.patch(hidden, json!({"title": "u"})).task(200))
        }),
        ("a create of what is hidden", false, &|| {
            drop(todo.created("hidden too"))
        }),
        ("a patch", true, &|| {
            drop(todo.patch(id, json!({"title": "shown again"})).task(200))
        }),
        ("a due date", true, &|| {
            drop(
                todo.patch(hidden, json!({"due_date": in_days(&todo, 2)}))
                    .task(200),
            )
        }),
        ("a completion", true, &|| drop(todo.complete(id).task(200))),
        ("a completion again", false, &|| {
            drop(todo.complete(id).task(200))
        }),
        ("a deletion", true, &|| drop(todo.delete(id).expect(204))),
    ];
    for (what, is_shown, change) in changes {
        change();
        let tag = tag_of(&last);
        let answer = read(&todo, &path, None).expect(200);
        assert_eq!(tag_of(&answer) != tag, is_shown, "{what}");
        assert_eq!(answer.body != last.body, is_shown, "{what}");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
            let again = read(&todo, &path, Some(&known));
            assert_eq!(again.status == 200, is_shown, "{what}: {known} {again:?}");
            assert_eq!(tag_of(&again), tag_of(&answer), "{what}");
            assert!(is_shown || again.body.is_empty(), "{what}");
        }
        last = answer;
    }
    for (known, status) in [
        ("*", 304),
        ("\"x\"", 200),
        ("", 200),
        (tag_of(&last).trim_matches('"'), 200),
    ] {
        assert_eq!(read(&todo, &path, Some(known)).status, status, "{known}");
    }
}

#[test]
fn a_replaced_or_revoked_calendar_path_is_not_found() {
    let todo = TestUser::random();
    due(&todo, "t", 1);
    let target = todo.tasks_path().replace("/tasks", "/calendar");
    let first = subscribed(&todo);
    let tag = read(&todo, &first, None)
        .expect(200)
        .header("etag")
        .unwrap_or_default()
        .to_owned();
    let second = subscribed(&todo);
    assert_ne!(first, second);
    read(&todo, &first, None).problem(404, "not-found");
    read(&todo, &first, Some(&tag)).problem(404, "not-found");
    read(&todo, &second, Some(&tag)).expect(304);
    for _ in 0..2 {
        todo.call("DELETE", &target).send().expect(204);
        read(&todo, &second, None).problem(404, "not-found");
    }
    let third = subscribed(&todo);
    assert_eq!(summaries(&read(&todo, &third, None)), ["t"]);
}

#[test]
fn the_calendars_secret_is_neither_stored_nor_logged() {
    let todo = TestUser::random();
    due(&todo, "t", 1);
    let path = subscribed(&todo);
    let secret = path
        .trim_start_matches("/calendar/")
        .trim_end_matches(".ics");
    assert_eq!(secret.len(), 43, "32 bytes");
    read(&todo, &path, None).expect(200);
    let unknown = path.replace(
        &secret[..4],
        if secret.starts_with("AAAA") {
            "BBBB"
        } else {
            "AAAA"
        },
    );
    let refused = read(&todo, &unknown, None);
    let line = logs::line_of(todo.stack(), "task-api", &refused.trace);
    assert_eq!(line["route"], "/calendar/{secret}.ics", "{line}");
    refused.problem(404, "not-found");
    logs::assert_absent(todo.stack(), &[secret, &secret[4..]]);

    let stored = todo.database().json(
        "SELECT to_jsonb(own) || jsonb_build_object('bytes', length(secret_hash)) FROM calendars AS own WHERE user_id = $1",
        &[todo.user()],
    );
    assert_eq!(stored["bytes"], 32, "{stored}");
    assert!(!stored.to_string().contains(secret));
}

#[test]
fn an_unknown_calendar_secret_is_not_found() {
    let todo = TestUser::random();
    let path = subscribed(&todo);
    let target = todo.tasks_path().replace("/tasks", "/calendar");
    for other in [
        "/calendar/.ics",
        "/calendar/x.ics",
        "/calendar/%00.ics",
        &path.replace(".ics", ""),
        &path.replace(".ics", ".ICS"),
        &path.replace(".ics", "A.ics"),
        &path.replace(".ics", "%3D.ics"),
        &path.replace(".ics", ".ics/"),
        &path.replace(".ics", ".ics.ics"),
    ] {
        let answer = read(&todo, other, None);
        assert!([400, 404].contains(&answer.status), "{other}: {answer:?}");
    }
    // The token opens no calendar, and the secret nothing else.
    todo.call("GET", "/calendar/x.ics")
        .send()
        .problem(404, "not-found");
    todo.call("GET", &target)
        .send()
        .problem(405, "method-not-allowed");
    todo.call("POST", &path)
        .authorization(None)
        .send()
        .problem(405, "method-not-allowed");
    let another = TestUser::random();
    another
        .call("POST", &target)
        .send()
        .problem(403, "forbidden");
    another
        .call("DELETE", &target)
        .send()
        .problem(403, "forbidden");
    todo.call("POST", &target)
        .authorization(None)
        .send()
        .problem(401, "unauthenticated");
    assert!(summaries(&read(&todo, &path, None)).is_empty());
}

#[test]
fn a_calendar_shows_the_soonest_tasks_and_not_all() {
    let todo = TestUser::random();
    let path = subscribed(&todo);
    due(&todo, "first", 1);
    let many = "INSERT INTO tasks (
            id, user_id, title, priority, tags, due_date, timezone, is_recurring, series_id, occurrence, anchor_day,
            created_at, updated_at
        )
        SELECT
            gen_random_uuid(), $1, 'task ' || n, 'low', '{}', now() + n * interval '1 hour' + interval '2 days', 'UTC', false,
            gen_random_uuid(), 1, 1, now(), now()
        FROM generate_series(1, 600) AS n";
    let inserted = todo.database().client().execute(many, &[&todo.user()]);
    assert!(matches!(inserted, Ok(600)), "{inserted:?}");
    let shown = summaries(&read(&todo, &path, None));
    assert_eq!(shown.len(), 500);
    assert_eq!(shown[0], "first");
    assert_eq!(shown[499], "task 499");
}
