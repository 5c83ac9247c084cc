//! `GET /api/{user_id}/tasks`: filters, orders and pages.

use std::cmp::Reverse;

use e2e::answer::Answer;
use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};

use crate::unharmed::unchanged;

fn titles(tasks: &[Value]) -> Vec<&str> {
    tasks
        .iter()
        .map(|task| string_member(task, "title"))
        .collect()
}

/// The path and query in `Link: …; rel="next"`.
pub fn next_page(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let target = link
        .strip_prefix('<')
        .and_then(|link| link.strip_suffix(">; rel=\"next\""));
    assert!(target.is_some(), "{link}");
    target.map(str::to_owned)
}

#[test]
fn without_tasks_the_list_is_empty() {
    let todo = TestUser::random();
    let answer = todo.list("").expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("link"), None);
    assert_eq!(answer.json(), json!([]));
}

#[test]
fn each_filter_selects_what_it_says() {
    let todo = TestUser::random();
    let other = TestUser::random();
    other.created("a");
    todo.created_with(json!({"title": "a", "priority": "low", "tags": ["home"], "due_date": "2030-01-01T00:00:00Z"}));
    todo.created_with(json!({"title": "b", "priority": "high", "tags": ["work", "urgent"], "description": "50% off_x"}));
    todo.created_with(
        json!({"title": "c Äpfel", "tags": ["home", "urgent"], "due_date": "2030-01-02T00:00:00Z"}),
    );
    let done =
        todo.created_with(json!({"title": "d", "priority": "high", "description": "back\\slash"}));
    todo.complete(string_member(&done, "id")).task(200);
    for (query, expected) in [
        ("", "abcd"),
        ("status=all", "abcd"),
        ("status=pending", "abc"),
        ("status=completed", "d"),
        ("priority=high", "bd"),
        ("priority=low", "a"),
        ("tags=home", "ac"),
        ("tags=home,work", "abc"),
        ("tags=%20urgent%20,nothing", "bc"),
        ("tags=hom", ""),
        ("tags=Home", ""),
        // Both ends are exclusive, and a task without a due date is neither before nor after.
        ("due_before=2030-01-02T00:00:00Z", "a"),
        ("due_after=2030-01-01T00:00:00Z", "c"),
        (
            "due_after=2030-01-01T00:00:00%2B01:00&due_before=2030-01-02T00:00:00-01:00",
            "ac",
        ),
        ("q=B", "bd"),
        ("q=%C3%A4PF", "c"),
        ("q=50%25", "b"),
        // Neither wildcards nor escapes.
        ("q=%25", "b"),
        ("q=_", "b"),
        ("q=%5C", "d"),
        ("q=f_x", "b"),
        ("q=5%25", ""),
        ("q=c+%C3%84", "c"),
        ("status=pending&priority=high&tags=urgent&q=off", "b"),
        ("status=completed&tags=home", ""),
    ] {
        let separator = if query.is_empty() { "" } else { "&" };
        let tasks = todo.listed(&format!("{query}{separator}sort_by=created_at_asc"));
        let found: String = titles(&tasks)
            .iter()
            .filter_map(|title| title.chars().next())
            .collect();
        assert_eq!(found, expected, "{query}");
    }
}

/// The tasks of a test on orders: ties in every key, and half of them without a due date.
fn many(todo: &TestUser) -> Vec<Value> {
    let tasks = (0..24).map(|n: usize| {
        let due = n
            .is_multiple_of(2)
            .then(|| format!("2030-01-{:02}T00:00:00Z", 20 - n / 4));
        let priority = ["low", "medium", "high"][n % 3];
        todo.created_with(
            json!({"title": format!("{n:02}"), "due_date": due, "priority": priority}),
        )
    });
    tasks.collect()
}

/// Sorts tasks as `sort_by` should: by key, then id, both in one direction; without a due date last.
pub fn sorted(mut tasks: Vec<Value>, sort_by: &str) -> Vec<Value> {
    let id = |task: &Value| string_member(task, "id").to_owned();
    let due = |task: &Value| task["due_date"].as_str().map(str::to_owned);
    let created = |task: &Value| string_member(task, "created_at").to_owned();
    let rank = |task: &Value| {
        ["low", "medium", "high"]
            .iter()
            .position(|name| task["priority"] == **name)
    };
    match sort_by {
        "created_at_asc" => tasks.sort_by_key(|task| (created(task), id(task))),
        "" | "created_at" | "created_at_desc" => {
            tasks.sort_by_key(|task| Reverse((created(task), id(task))))
        }
        "due_date" | "due_date_asc" => {
            tasks.sort_by_key(|task| (due(task).is_none(), due(task), id(task)))
        }
        "due_date_desc" => {
            tasks.sort_by_key(|task| (due(task).is_none(), Reverse((due(task), id(task)))))
        }
        "priority_asc" => tasks.sort_by_key(|task| (rank(task), id(task))),
        "priority" | "priority_desc" => tasks.sort_by_key(|task| Reverse((rank(task), id(task)))),
        other => panic!("{other}"),
    }
    tasks
}

const SORTS: [&str; 10] = [
    "",
    "created_at",
    "created_at_asc",
    "created_at_desc",
    "due_date",
    "due_date_asc",
    "due_date_desc",
    "priority",
    "priority_asc",
    "priority_desc",
];

#[test]
fn every_order_is_total() {
    let todo = TestUser::random();
    let tasks = many(&todo);
    for sort in SORTS {
        let query = if sort.is_empty() {
            String::new()
        } else {
            format!("sort_by={sort}")
        };
        let expected = sorted(tasks.clone(), sort);
        assert_eq!(titles(&todo.listed(&query)), titles(&expected), "{sort}");
    }
}

#[test]
fn pages_join_to_the_whole_list() {
    let todo = TestUser::random();
    let tasks = many(&todo);
    for sort in &SORTS[1..] {
        for limit in [1, 5, 23, 24, 200] {
            let mut found = Vec::new();
            let mut pages = 0;
            let mut target = Some(format!(
                "{}?sort_by={sort}&limit={limit}&status=pending",
                todo.tasks_path()
            ));
            while let Some(page) = target {
                let answer = todo.call("GET", page).send().expect(200);
                let page = answer.json().as_array().cloned().unwrap_or_default();
                assert!(page.len() <= limit, "{sort} {limit}");
                target = next_page(&answer);
                // Every page but the last is full, and the last one is not empty.
                assert!(if target.is_some() {
                    page.len() == limit
                } else {
                    !page.is_empty()
                });
                found.extend(page);
                pages += 1;
                assert!(pages <= 24, "{sort} {limit}: no end");
            }
            assert_eq!(
                titles(&found),
                titles(&sorted(tasks.clone(), sort)),
                "{sort} {limit}"
            );
            assert_eq!(pages, 24_usize.div_ceil(limit), "{sort} {limit}");
        }
    }
}

#[test]
fn a_page_has_fifty_tasks_by_default() {
    let todo = TestUser::random();
    for n in 0..51 {
        todo.created(&n.to_string());
    }
    assert_eq!(todo.listed("").len(), 50);
    assert_eq!(todo.listed("limit=200").len(), 51);
    let rest = next_page(&todo.list("")).unwrap_or_default();
    assert_eq!(
        titles(
            &todo
                .call("GET", rest)
                .send()
                .expect(200)
                .json()
                .as_array()
                .cloned()
                .unwrap_or_default()
        ),
        ["0"]
    );
}

#[test]
fn the_link_keeps_the_query() {
    let todo = TestUser::random();
    for title in ["x <1>", "x <2>", "x <3>"] {
        todo.created_with(json!({"title": title, "tags": ["a&b", "c"]}));
    }
    let first = todo
        .list("q=x+%3C&tags=a%26b,c&limit=1&sort_by=created_at_asc")
        .expect(200);
    let target = next_page(&first).unwrap_or_default();
    for kept in [
        "q=x+%3C",
        "tags=a%26b,c",
        "limit=1",
        "sort_by=created_at_asc",
        "cursor=",
    ] {
        assert!(target.contains(kept), "{target}");
    }
    let second = todo.call("GET", target).send().expect(200);
    assert_eq!(second.json()[0]["title"], "x <2>");
    let third = todo
        .call("GET", next_page(&second).unwrap_or_default())
        .send()
        .expect(200);
    assert_eq!(third.json()[0]["title"], "x <3>");
    assert_eq!(next_page(&third), None);
}

#[test]
fn each_bad_parameter_is_named() {
    let todo = TestUser::random();
    todo.created("t");
    todo.created("u");
    let link = next_page(&todo.list("limit=1&sort_by=priority_asc")).unwrap_or_default();
    let cursor = link.split("cursor=").nth(1).unwrap_or_default();
    let long = "x".repeat(201);
    unchanged(&todo, || {
        for (query, places) in [
            ("status=open", vec!["status"]),
            ("status=", vec!["status"]),
            ("priority=HIGH", vec!["priority"]),
            ("tags=", vec!["tags"]),
            ("tags=a,,b", vec!["tags"]),
            ("tags=1,2,3,4,5,6,7,8,9,10,11", vec!["tags"]),
            ("due_before=2030-01-01", vec!["due_before"]),
            ("due_after=2030-01-01T00:00:00+01:00", vec!["due_after"]),
            ("q=", vec!["q"]),
            (&format!("q={long}"), vec!["q"]),
            ("sort_by=title", vec!["sort_by"]),
            ("sort_by=created_at;drop+table+tasks", vec!["sort_by"]),
            ("limit=0", vec!["limit"]),
            ("limit=201", vec!["limit"]),
            ("limit=-1", vec!["limit"]),
            ("limit=1e2", vec!["limit"]),
            ("limit=99999999999999999999", vec!["limit"]),
            ("cursor=x", vec!["cursor"]),
            ("cursor=", vec!["cursor"]),
            (&format!("cursor={cursor}"), vec!["cursor"]),
            (
                &format!("sort_by=priority_desc&cursor={cursor}"),
                vec!["cursor"],
            ),
            (
                &format!("sort_by=priority_asc&cursor={cursor}A"),
                vec!["cursor"],
            ),
            ("page=2", vec!["page"]),
            ("limit=1&limit=2", vec!["limit"]),
            ("status=x&limit=x", vec!["status", "limit"]),
        ] {
            assert_eq!(todo.list(query).violations(), places, "{query}");
        }
    });
    assert_eq!(
        todo.listed(&format!("sort_by=priority_asc&cursor={cursor}"))
            .len(),
        1
    );
}

#[test]
fn a_cursor_of_another_user_shows_only_ones_own() {
    let (todo, other) = (TestUser::random(), TestUser::random());
    todo.created("mine");
    other.created("t");
    other.created("u");
    let link = next_page(&other.list("limit=1&sort_by=created_at_asc")).unwrap_or_default();
    let query = link.split('?').nth(1).unwrap_or_default();
    assert!(
        todo.listed(query)
            .iter()
            .all(|task| task["user_id"] == todo.user())
    );
}
