//! `GET /api/{user_id}/changes`: pages of a user's changes, and who may read them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use e2e::answer::Answer;
use e2e::changes::{ChangeStream, Follower, NoStream, Said, feed_path, number_of, page};
use e2e::flow::wait_until_settled;
use e2e::lanes;
use e2e::logs;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};

use crate::listing::next_page;
use crate::unharmed::unchanged;

fn numbers(events: &[Value]) -> Vec<i64> {
    events.iter().map(number_of).collect()
}

pub fn events_of(page: &Value) -> Vec<Value> {
    page["events"].as_array().cloned().unwrap_or_default()
}

/// A user with changes of each kind; and all of them.
pub fn busy() -> (TestUser, Vec<Value>) {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "two\nlines, \"quoted\" and Ωμέγα", "description": "data: x\n\nid: 7", "due_date": "2100-01-01T00:00:00Z",
    }));
    let id = string_member(&task, "id");
    todo.patch(id, json!({"priority": "high"})).task(200);
    todo.complete(id).task(200);
    todo.reopen(id).task(200);
    let other = todo.created("other");
    todo.delete(string_member(&other, "id")).expect(204);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert!(events.len() > 6, "no event of a reminder: {events:#?}");
    (todo, events)
}

#[test]
fn pages_have_every_event_in_order_as_it_was_published() {
    let (todo, stored) = busy();
    for limit in [1, 2, 3, 200] {
        let mut found = Vec::new();
        let mut target = Some(feed_path(&todo, &format!("limit={limit}")));
        while let Some(page) = target {
            let answer = todo.call("GET", page).send().expect(200);
            target = next_page(&answer);
            let page = answer.json();
            let events = events_of(&page);
            assert!(events.len() <= limit, "{page:#}");
            assert_eq!(page["more"], target.is_some(), "{page:#}");
            assert_eq!(
                page["last"].as_i64(),
                events.last().map(number_of),
                "{page:#}"
            );
            found.extend(events);
        }
        assert_eq!(found, stored, "pages of {limit}");
    }
    let published = todo.published_events();
    let same: Vec<&Value> = stored
        .iter()
        .filter(|event| string_member(event, "type").starts_with("task."))
        .collect();
    assert_eq!(same.len(), published.len());
    for (event, published) in same.into_iter().zip(&published) {
        for (name, value) in event.as_object().into_iter().flatten() {
            assert_eq!(&published[name], value, "{name}");
        }
    }
}

#[test]
fn a_page_begins_after_the_number_that_is_asked_for() {
    let (todo, stored) = busy();
    let head = stored.len() as i64;
    for (query, expected) in [
        (String::new(), (1..=head).collect::<Vec<i64>>()),
        ("after=0".to_owned(), (1..=head).collect()),
        ("after=3".to_owned(), (4..=head).collect()),
        (format!("after={:020}", 3), (4..=head).collect()),
        ("after=3&limit=2".to_owned(), vec![4, 5]),
        (format!("after={head}"), vec![]),
        ("after=latest".to_owned(), vec![]),
    ] {
        let page = page(&todo, &query).expect(200).json();
        assert_eq!(numbers(&events_of(&page)), expected, "{query}");
        assert_eq!(page["last"], *expected.last().unwrap_or(&head), "{query}");
    }
    // The header takes precedence over the parameter, as in a stream.
    let resumed = todo
        .call("GET", feed_path(&todo, "after=1"))
        .header("last-event-id", "4");
    assert_eq!(
        numbers(&events_of(&resumed.send().expect(200).json()))[0],
        5
    );
    // A user without tasks has no changes.
    let nobody = TestUser::random();
    for query in ["", "after=0", "after=latest"] {
        let page = page(&nobody, query).expect(200).json();
        assert_eq!(
            page,
            json!({"events": [], "last": 0, "more": false}),
            "{query}"
        );
    }
}

/// Deletes events of a user, as retention does.
fn expire(todo: &TestUser, upto: i64) {
    let expired = todo.database().client().execute(
        "DELETE FROM events WHERE user_id = $1 AND sequence <= $2",
        &[&todo.user(), &upto],
    );
    assert!(matches!(expired, Ok(1..)), "{expired:?}");
}

/// The address for a client that has to start again.
fn start(answer: &Answer) -> String {
    let link = answer.header("link").unwrap_or_default();
    let target = link
        .strip_prefix('<')
        .and_then(|link| link.strip_suffix(">; rel=\"start\""));
    match target {
        Some(target) => target.to_owned(),
        None => panic!("{answer:?}"),
    }
}

#[test]
fn expired_changes_are_gone_and_the_client_starts_again() {
    let todo = TestUser::random();
    for title in ["a", "b", "c", "d", "e"] {
        todo.created(title);
    }
    wait_until_settled(&todo, Limit::DELIVERY);
    let mut follower = Follower::start(&todo).unwrap_or_default();
    expire(&todo, 2);
    unchanged(&todo, || {
        for query in ["after=0", "after=1"] {
            let answer = page(&todo, query);
            let start = start(&answer);
            answer.problem(410, "changes-gone");
            let newest = todo.call("GET", start).send().expect(200).json();
            assert_eq!(newest, json!({"events": [], "last": 5, "more": false}));
            assert!(matches!(
                ChangeStream::try_open(&todo, query, None),
                Err(NoStream::Answer(answer)) if answer.status == 410
            ));
        }
        // The changes after the last expired one are complete, and so is everything that is kept.
        for query in ["after=2", ""] {
            assert_eq!(
                numbers(&events_of(&page(&todo, query).expect(200).json())),
                [3, 4, 5]
            );
        }
    });
    // With all of them expired, only the newest number is still good.
    expire(&todo, 5);
    page(&todo, "after=4").problem(410, "changes-gone");
    for query in ["after=5", ""] {
        let page = page(&todo, query).expect(200).json();
        assert_eq!(page, json!({"events": [], "last": 5, "more": false}));
    }
    todo.created("f");
    assert_eq!(
        numbers(&events_of(&page(&todo, "after=5").expect(200).json())),
        [6]
    );
    follower.read_pages(&todo);
    assert_eq!((follower.starts, follower.last()), (1, 6));
    assert_eq!(follower.tasks().len(), 6);
}

/// A missing event will never come, so no client waits for it; and no page skips it silently.
#[test]
fn no_page_skips_a_number() {
    let todo = TestUser::random();
    for title in ["a", "b", "c", "d"] {
        todo.created(title);
    }
    wait_until_settled(&todo, Limit::DELIVERY);
    lanes::change(
        &todo,
        "DELETE FROM events WHERE user_id = $1 AND sequence = 3",
    );
    let before = page(&todo, "after=0").expect(200).json();
    assert_eq!(
        (numbers(&events_of(&before)), &before["more"]),
        (vec![1, 2], &json!(true))
    );
    page(&todo, "after=2").problem(410, "changes-gone");
    assert_eq!(
        numbers(&events_of(&page(&todo, "after=3").expect(200).json())),
        [4]
    );
    // A stream ends before the gap; the answer to resuming it says why.
    let mut stream = ChangeStream::open(&todo, "after=0", None);
    assert_eq!(stream.beginning(), 0);
    assert_eq!(
        (stream.event().0, stream.event().0, stream.says()),
        (1, 2, Said::End)
    );
}

/// A restored database does not know the last numbers, and goes on a million higher.
#[test]
fn after_a_restore_every_client_starts_again() {
    let todo = TestUser::random();
    todo.created("a");
    todo.created("b");
    wait_until_settled(&todo, Limit::DELIVERY);
    let mut behind = Follower::start(&todo).unwrap_or_default();
    // The client has seen a change that the restore has undone.
    page(&todo, "after=3").problem(410, "changes-gone");
    page(&todo, "after=9007199254740993").problem(410, "changes-gone");
    let raise = "UPDATE lanes SET head = head + 1000000, published = published + 1000000 WHERE user_id = $1";
    lanes::change(&todo, raise);
    for query in ["after=1", "after=2", "after=3"] {
        match page(&todo, query) {
            answer if query == "after=1" => {
                assert_eq!(numbers(&events_of(&answer.expect(200).json())), [2])
            }
            answer => drop(answer.problem(410, "changes-gone")),
        }
    }
    todo.created("c");
    behind.read_pages(&todo);
    assert_eq!((behind.starts, behind.last()), (2, 1_000_003));
    assert_eq!(behind.tasks().len(), 3);
    todo.created("d");
    behind.read_pages(&todo);
    assert_eq!((behind.last(), behind.tasks().len()), (1_000_004, 4));
}

/// Numbers are given under the lane's lock, in the order of commits: a lower one never comes after a higher one.
#[test]
fn a_client_that_reads_while_others_write_misses_nothing() {
    const WRITERS: usize = 6;
    const EACH: usize = 25;
    let todo = TestUser::random();
    let done = AtomicBool::new(false);
    let (paged, streamed) = thread::scope(|scope| {
        let paging = scope.spawn(|| {
            let mut follower = Follower::start(&todo).unwrap_or_default();
            while !done.load(Ordering::Acquire) {
                follower.read_pages(&todo);
            }
            follower.read_pages(&todo);
            follower
        });
        let streaming = scope.spawn(|| {
            let mut follower = Follower::default();
            let all = |follower: &Follower| follower.last() >= (WRITERS * EACH) as i64;
            let began = Instant::now();
            while !all(&follower) && began.elapsed() < Limit::RECOVERY.duration() {
                follower.read_stream(&todo, &all);
            }
            follower
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let todo = &todo;
                scope.spawn(move || {
                    for number in 0..EACH {
                        todo.created(&format!("{writer} {number}"));
                    }
                })
            })
            .collect();
        for writer in writers {
            assert!(writer.join().is_ok());
        }
        done.store(true, Ordering::Release);
        let joined =
            |follower: thread::ScopedJoinHandle<'_, Follower>| follower.join().unwrap_or_default();
        (joined(paging), joined(streaming))
    });
    let mut listed = Vec::new();
    let mut target = Some(format!("{}?limit=200", todo.tasks_path()));
    while let Some(page) = target {
        let answer = todo.call("GET", page).send().expect(200);
        listed.extend(answer.json().as_array().cloned().unwrap_or_default());
        target = next_page(&answer);
    }
    listed.sort_by_key(|task| string_member(task, "id").to_owned());
    for follower in [paged, streamed] {
        assert_eq!(follower.last(), (WRITERS * EACH) as i64, "{follower:?}");
        assert_eq!(follower.tasks(), listed.iter().collect::<Vec<_>>());
    }
}

#[test]
fn each_bad_parameter_or_header_of_the_feed_is_named() {
    let todo = TestUser::random();
    todo.created("t");
    unchanged(&todo, || {
        for (query, place) in [
            ("after=", "after"),
            ("after=-1", "after"),
            ("after=x", "after"),
            ("after=1.0", "after"),
            ("after=000000000000000000001", "after"),
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("since=1", "since"),
            ("after=1&after=2", "after"),
        ] {
            for accept in ["application/json", "text/event-stream"] {
                let call = todo
                    .call("GET", feed_path(&todo, query))
                    .header("accept", accept);
                assert_eq!(call.send().violations(), [place], "{query}");
            }
        }
        for number in ["x", "-1", "latest", ""] {
            let call = todo
                .call("GET", feed_path(&todo, ""))
                .header("last-event-id", number);
            assert_eq!(call.send().violations(), ["Last-Event-ID"], "{number:?}");
        }
        let twice = todo
            .call("GET", feed_path(&todo, ""))
            .header("last-event-id", "1");
        assert_eq!(
            twice.header("last-event-id", "2").send().violations(),
            ["Last-Event-ID"]
        );
        let both = todo.call("GET", feed_path(&todo, "after=x&limit=x"));
        assert_eq!(both.send().violations(), ["after", "limit"]);
    });
}

#[test]
fn only_the_user_reads_the_changes() {
    let (todo, other) = (TestUser::random(), TestUser::random());
    other.created("theirs");
    for accept in ["application/json", "text/event-stream"] {
        let call = |of: &TestUser, authorization: Option<&str>| {
            let call = todo.call("GET", feed_path(of, "")).header("accept", accept);
            call.authorization(authorization).send()
        };
        for authorization in [
            None,
            Some("Bearer x.y.z"),
            Some("Basic YTpi"),
            Some(todo.token()),
        ] {
            let answer = call(&todo, authorization);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            answer.problem(401, "unauthenticated");
        }
        let own = format!("Bearer {}", todo.token());
        call(&other, Some(&own)).problem(403, "forbidden");
        // A client can send this header itself, so it must not count.
        let forged = todo
            .call("GET", feed_path(&other, ""))
            .header("accept", accept);
        forged
            .header("spin-path-match-user-id", todo.user())
            .send()
            .problem(403, "forbidden");
    }
    // A token in the address is not accepted: addresses end up in logs.
    let query = format!("access_token={}", todo.token());
    let call = todo
        .call("GET", feed_path(&todo, &query))
        .authorization(None);
    call.send().problem(401, "unauthenticated");
    logs::assert_absent(todo.stack(), &[todo.token()]);
}

#[test]
fn the_changes_have_one_method_and_one_path() {
    let todo = TestUser::random();
    let path = feed_path(&todo, "");
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        let answer = todo.call(method, path.as_str()).send();
        assert_eq!(answer.header("allow"), Some("GET"), "{method}");
        answer.problem(405, "method-not-allowed");
    }
    for path in [format!("{path}/x"), path.replace("/changes", "/Changes")] {
        todo.call("GET", path).send().problem(404, "not-found");
    }
}
