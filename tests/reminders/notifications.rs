//! `GET /api/{user_id}/notifications` and what marks them as read.

use e2e::answer::Answer;
use e2e::flow::deliver;
use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{in_days, list, moment, notifications, now, triggered_row};

/// Makes a notification by an event that says that a reminder came due. Returns its id.
fn notification(todo: &TestUser, title: &str) -> String {
    let (task, remind_at) = (Uuid::now_v7(), moment(now()));
    triggered_row(todo, task, &remind_at, &in_days(1));
    let event = json!({
        "specversion": "1.0", "id": Uuid::now_v7(), "source": "/todo/test", "type": "reminder.triggered",
        "time": moment(now()), "datacontenttype": "application/json", "sequence": "00000000000000000002",
        "data": {
            "task_id": task, "user_id": todo.user(), "task_title": title, "remind_at": remind_at,
            "due_date": in_days(1), "timestamp": moment(now()),
        },
    });
    deliver(todo, "/api/events/reminders", &event).expect(200);
    let found = notifications(todo)
        .into_iter()
        .find(|notification| notification["task_id"] == task.to_string());
    match found {
        Some(notification) => string_member(&notification, "id").to_owned(),
        None => panic!("no notification of {task}"),
    }
}

fn mark(todo: &TestUser, what: &str) -> Answer {
    let path = todo.tasks_path().replace("/tasks", "/notifications");
    todo.call("POST", format!("{path}/{what}")).send()
}

fn unread(answer: &Answer) -> &str {
    answer.header("unread-count").unwrap_or_default()
}

fn ids(answer: &Answer) -> Vec<String> {
    let list = answer.json();
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|notification| string_member(notification, "id").to_owned())
        .collect()
}

/// All pages of a list, each as long as the one before but for the last.
fn pages(todo: &TestUser, query: &str) -> Vec<Vec<String>> {
    let mut answer = list(todo, query).expect(200);
    let mut pages = vec![ids(&answer)];
    while let Some(link) = answer.header("link") {
        let target = link
            .strip_prefix('<')
            .and_then(|link| link.strip_suffix(">; rel=\"next\""));
        let Some(target) = target else {
            panic!("no link: {link}");
        };
        answer = todo.call("GET", target).send().expect(200);
        pages.push(ids(&answer));
        assert!(pages.len() < 20, "{pages:?}");
    }
    pages
}

#[test]
fn a_user_without_notifications_has_an_empty_list() {
    let todo = TestUser::random();
    let answer = list(&todo, "").expect(200);
    assert_eq!(answer.json(), json!([]));
    assert_eq!(unread(&answer), "0");
    assert_eq!(answer.header("link"), None);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn notifications_have_the_promised_form() {
    let todo = TestUser::random();
    let title = "\"<Gärtner> & \u{1f331}";
    let id = notification(&todo, title);
    let listed = notifications(&todo).remove(0);
    let mut members: Vec<&String> = listed
        .as_object()
        .into_iter()
        .flat_map(|all| all.keys())
        .collect();
    members.sort();
    assert_eq!(
        members,
        [
            "created_at",
            "due_date",
            "id",
            "read",
            "read_at",
            "remind_at",
            "snoozed_until",
            "task_id",
            "task_title",
            "user_id"
        ]
    );
    assert_eq!(listed["id"], id.as_str());
    assert_eq!(listed["task_title"], title);
    assert_eq!(listed["user_id"], todo.user());
    assert_eq!(
        (&listed["read"], &listed["read_at"]),
        (&json!(false), &Value::Null)
    );
}

#[test]
fn pages_hold_each_notification_once_newest_first() {
    let todo = TestUser::random();
    let mut all: Vec<String> = (0..7)
        .map(|number| notification(&todo, &number.to_string()))
        .collect();
    all.reverse();
    assert_eq!(pages(&todo, ""), std::slice::from_ref(&all));
    for limit in [1, 2, 3, 6, 7, 8] {
        let pages = pages(&todo, &format!("limit={limit}"));
        assert_eq!(pages.concat(), all, "limit {limit}");
        let chunks: Vec<Vec<String>> = all.chunks(limit).map(<[String]>::to_vec).collect();
        assert_eq!(pages, chunks, "limit {limit}");
    }
    // A page goes on from where the one before ended, whatever came meanwhile.
    let first = list(&todo, "limit=3").expect(200);
    notification(&todo, "newer");
    let link = first.header("link").unwrap_or_default();
    let target = link
        .trim_start_matches('<')
        .trim_end_matches(">; rel=\"next\"");
    assert_eq!(ids(&todo.call("GET", target).send().expect(200)), all[3..6]);
}

#[test]
fn notifications_of_one_instant_are_each_on_one_page() {
    let todo = TestUser::random();
    for number in 0..5 {
        notification(&todo, &number.to_string());
    }
    let same = todo.database().client().execute(
        "UPDATE notifications SET created_at = '2026-01-31T08:00:00.123456Z' WHERE user_id = $1",
        &[&todo.user()],
    );
    assert!(matches!(same, Ok(5)), "{same:?}");
    let mut found = pages(&todo, "limit=2").concat();
    assert_eq!(found.len(), 5);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 5);
}

#[test]
fn read_notifications_can_be_left_out_and_the_header_counts_the_others() {
    let todo = TestUser::random();
    let all: Vec<String> = (0..5)
        .map(|number| notification(&todo, &number.to_string()))
        .collect();
    for (id, left) in [(&all[1], "4"), (&all[3], "3"), (&all[1], "3")] {
        let read = mark(&todo, &format!("{id}/read")).expect(200).json();
        assert_eq!(read["id"], id.as_str());
        assert_eq!(read["read"], true);
        assert!(read["read_at"].is_string(), "{read}");
        assert_eq!(unread(&list(&todo, "limit=1").expect(200)), left);
    }
    let unread_ids = [&all[4], &all[2], &all[0]].map(String::clone).to_vec();
    assert_eq!(pages(&todo, "unread=true").concat(), unread_ids);
    assert_eq!(pages(&todo, "unread=true&limit=1").concat(), unread_ids);
    assert_eq!(pages(&todo, "unread=false").concat().len(), 5);
    // When it was read stays, however often that is said.
    let before = notifications(&todo);
    mark(&todo, &format!("{}/read", all[1])).expect(200);
    assert_eq!(notifications(&todo), before);

    assert_eq!(
        mark(&todo, "read-all").expect(200).json(),
        json!({"marked": 3})
    );
    assert_eq!(
        mark(&todo, "read-all").expect(200).json(),
        json!({"marked": 0})
    );
    let answer = list(&todo, "unread=true").expect(200);
    assert_eq!((answer.json(), unread(&answer)), (json!([]), "0"));
    let read = notifications(&todo);
    assert_eq!(read.len(), 5);
    let kept = read.iter().find(|read| read["id"] == all[1].as_str());
    let earlier = before.iter().find(|read| read["id"] == all[1].as_str());
    assert_eq!(kept, earlier);
}

#[test]
fn notifications_of_others_are_neither_seen_nor_changed() {
    let todo = TestUser::random();
    let id = notification(&todo, "private");
    let other = TestUser::random();
    notification(&other, "mine");
    let before = notifications(&todo);
    let path = todo.tasks_path().replace("/tasks", "/notifications");
    for (method, target) in [
        ("GET", path.clone()),
        ("POST", format!("{path}/{id}/read")),
        ("POST", format!("{path}/read-all")),
    ] {
        other.call(method, &target).send().problem(403, "forbidden");
        todo.call(method, &target)
            .authorization(None)
            .send()
            .problem(401, "unauthenticated");
    }
    mark(&other, &format!("{id}/read")).problem(404, "not-found");
    mark(&other, &format!("{}/read", Uuid::now_v7())).problem(404, "not-found");
    mark(&other, "x/read").problem(404, "not-found");
    mark(&other, "read-all").expect(200);
    assert_eq!(notifications(&other).len(), 1);
    assert_eq!(notifications(&todo), before);
}

#[test]
fn each_mistake_in_a_notification_request_is_named() {
    let todo = TestUser::random();
    for (query, place) in [
        ("unread=1", "unread"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=x", "cursor"),
        ("status=all", "status"),
    ] {
        assert_eq!(list(&todo, query).violations(), [place], "{query}");
    }
    let path = todo.tasks_path().replace("/tasks", "/notifications");
    for (method, target, allowed) in [
        ("POST", path.clone(), "GET"),
        ("GET", format!("{path}/read-all"), "POST"),
        ("DELETE", format!("{path}/{}/read", Uuid::now_v7()), "POST"),
    ] {
        let answer = todo.call(method, target).send();
        assert_eq!(answer.header("allow"), Some(allowed));
        answer.problem(405, "method-not-allowed");
    }
}

#[test]
fn unread_notifications_are_counted_up_to_a_thousand() {
    let todo = TestUser::random();
    let count = |more: i32, expected: &str| {
        let inserted = todo.database().client().execute(
            "INSERT INTO notifications (id, user_id, task_id, task_title, remind_at)
            SELECT gen_random_uuid(), $1, gen_random_uuid(), 't', now() FROM generate_series(1, $2)",
            &[&todo.user(), &more],
        );
        assert!(inserted.is_ok(), "{inserted:?}");
        assert_eq!(unread(&list(&todo, "limit=1").expect(200)), expected);
    };
    count(999, "999");
    count(1, "1000");
    count(1, "1000");
}
