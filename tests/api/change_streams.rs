//! `GET /api/{user_id}/changes` with `Accept: text/event-stream`: a user's changes as they come.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use e2e::changes::{ChangeStream, Follower, NoStream, Said, number_of, page};
use e2e::flow::wait_until_settled;
use e2e::logs;
use e2e::replica::Replica;
use e2e::shared_stack;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};

use crate::changes::{busy, events_of};

/// How long it may take until a stream ends by itself and its place is free.
const ENDED: Limit = Limit::new("a stream ends by itself", 20);

#[test]
fn a_stream_sends_stored_changes_and_then_new_ones() {
    let (todo, stored) = busy();
    let mut stream = ChangeStream::open(&todo, "limit=2", None);
    assert_eq!(stream.beginning(), 0);
    for event in &stored {
        assert_eq!(stream.event(), (number_of(event), event.clone()));
    }
    // Created well after the stream has caught up, so that the stream had to look again.
    let task = todo.created("while it looks on");
    let (number, event) = stream.event();
    assert_eq!(number, stored.len() as i64 + 1);
    assert_eq!(event["subject"], task["id"]);

    let mut resumed = ChangeStream::open(&todo, "after=1", Some("3"));
    assert_eq!(
        (resumed.beginning(), resumed.event()),
        (3, (4, stored[3].clone()))
    );
    let mut newest = ChangeStream::open(&todo, "after=latest", None);
    assert_eq!(newest.beginning(), number);
    todo.complete(string_member(&task, "id")).task(200);
    for stream in [&mut stream, &mut newest] {
        let (next, event) = stream.event();
        assert_eq!(
            (next, string_member(&event, "type")),
            (number + 1, "task.completed")
        );
    }
}

/// Nothing is lost between the end of one stream and the beginning of the next.
#[test]
fn a_stream_ends_by_itself_and_is_resumed() {
    let replica = Replica::with(shared_stack(), &[("stream_seconds", "2")]);
    let todo = TestUser::random_on(replica.endpoints());
    let (done, streams) = (AtomicBool::new(false), AtomicU32::new(0));
    let (follower, created) = thread::scope(|scope| {
        let following = scope.spawn(|| {
            let mut follower = Follower::default();
            while !done.load(Ordering::Acquire) {
                let began = Instant::now();
                follower.read_stream(&todo, &|_| false);
                assert!(began.elapsed() < ENDED.duration(), "{:?}", began.elapsed());
                streams.fetch_add(1, Ordering::AcqRel);
            }
            follower.read_pages(&todo);
            follower
        });
        // Tasks are also created while one stream ends and the next begins.
        let mut created = 0;
        until("three streams have ended", Limit::DELIVERY, || {
            created += 1;
            todo.created(&created.to_string());
            match streams.load(Ordering::Acquire) {
                3.. => Ok(()),
                ended => Err(ended),
            }
        });
        done.store(true, Ordering::Release);
        (following.join().unwrap_or_default(), created)
    });
    assert_eq!(follower.seen, (1..=created).collect::<Vec<i64>>());
    assert_eq!(follower.starts, 0);
    let places = "SELECT count(*) FROM change_streams WHERE user_id = $1";
    assert_eq!(todo.database().json(places, &[todo.user()]), 0);
}

/// How many streams a user has, by the places that are taken.
fn streams(todo: &TestUser) -> Value {
    let places = "SELECT count(*) FROM change_streams WHERE user_id = $1 AND until > now()";
    todo.database().json(places, &[todo.user()])
}

/// Waits until a user has this many streams.
fn left(todo: &TestUser, count: i64) {
    until("places are free again", ENDED, || match streams(todo) {
        found if found == count => Ok(()),
        found => Err(found),
    });
}

fn refused(todo: &TestUser, status: u16, code: &str) {
    match ChangeStream::try_open(todo, "", None) {
        Err(NoStream::Answer(answer)) => {
            let seconds: Option<u64> = answer
                .header("retry-after")
                .and_then(|text| text.parse().ok());
            assert!(
                seconds.is_some_and(|seconds| (1..=60).contains(&seconds)),
                "{answer:?}"
            );
            answer.problem(status, code);
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("there is a stream"),
    }
}

#[test]
fn streams_are_bounded_for_each_user_and_for_each_host() {
    let bounds = [("streams_of_user", "2"), ("streams_of_host", "3")];
    let replica = Replica::with(shared_stack(), &bounds);
    let [todo, other, third] = [(); 3].map(|()| TestUser::random_on(replica.endpoints()));
    let of_user = [(); 2].map(|()| ChangeStream::open(&todo, "", None));
    refused(&todo, 429, "too-many-streams");
    let of_other = ChangeStream::open(&other, "", None);
    refused(&third, 503, "no-stream-free");
    refused(&other, 503, "no-stream-free");
    // Everything else goes on, on this host and on others.
    third.created("t");
    assert_eq!(events_of(&page(&third, "").expect(200).json()).len(), 1);
    let elsewhere = TestUser::named(third.user(), shared_stack());
    assert_eq!(ChangeStream::open(&elsewhere, "", None).beginning(), 0);
    // When a client is gone, its place becomes free for another one.
    drop(of_user);
    left(&todo, 0);
    assert_eq!(ChangeStream::open(&third, "", None).beginning(), 0);
    drop(of_other);
}

/// At the same moment, as after an outage.
#[test]
fn the_bound_on_streams_holds_when_all_clients_connect_at_once() {
    let replica = Replica::with(shared_stack(), &[("streams_of_user", "5")]);
    let todo = TestUser::random_on(replica.endpoints());
    let opened = thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| ChangeStream::try_open(&todo, "", None).ok()))
            .collect();
        clients
            .into_iter()
            .filter_map(|client| client.join().ok().flatten())
            .collect::<Vec<_>>()
    });
    assert_eq!(opened.len(), 5);
}

/// A client that stays connected and reads nothing: the data waiting for it is bounded, and so is the time.
#[test]
fn a_client_that_does_not_read_its_stream_loses_its_place() {
    let replica = Replica::with(shared_stack(), &[("stream_seconds", "3")]);
    let todo = TestUser::random_on(replica.endpoints());
    let description = "x".repeat(1000);
    todo.created_with(json!({"title": "t", "description": description}));
    wait_until_settled(&todo, Limit::DELIVERY);
    // Copies the event, as if it had happened 20,000 times.
    let copy = "WITH lane AS (UPDATE lanes SET head = 20000, published = 20000 WHERE user_id = $1)
        INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
        SELECT user_id, n, now(), gen_random_uuid(), type, topic, task_id, data
        FROM events, generate_series(2, 20000) AS n WHERE user_id = $1 AND sequence = 1";
    let copied = todo.database().client().execute(copy, &[&todo.user()]);
    assert!(matches!(copied, Ok(19_999)), "{copied:?}");
    let stream = ChangeStream::open(&todo, "limit=200", None);
    assert_eq!(streams(&todo), 1);
    left(&todo, 0);
    drop(stream);
    // Tests that look at all events must not find so many of this kind.
    let remove = "DELETE FROM events WHERE user_id = $1 AND sequence > 1";
    let removed = todo.database().client().execute(remove, &[&todo.user()]);
    assert!(matches!(removed, Ok(19_999)), "{removed:?}");
}

#[test]
fn a_stream_is_logged_when_it_has_ended() {
    let replica = Replica::with(shared_stack(), &[("stream_seconds", "1")]);
    let todo = TestUser::random_on(replica.endpoints());
    todo.created("t");
    let mut stream = ChangeStream::open(&todo, "", None);
    while stream.says() != Said::End {}
    let line = until("a line", Limit::SOON, || {
        let lines = logs::lines_of(todo.stack(), "change-feed", todo.user());
        lines.first().cloned().ok_or("none")
    });
    for (field, value) in [
        ("level", json!("debug")),
        ("component", json!("change-feed")),
        ("message", json!("request")),
        ("route", json!("/api/{user_id}/changes")),
        ("status", json!(200)),
        ("outcome", json!("done")),
        ("events", json!(1)),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
}
