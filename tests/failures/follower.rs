//! Clients that follow a user's changes while one part after another is killed: each gets every change once and in order, and
//! ends with exactly what the server has.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use e2e::answer::Answer;
use e2e::changes::Follower;
use e2e::flow::{dead_letters, wait_until_settled};
use e2e::test_user::{Call, TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::Stack;

use crate::own_stack::{OwnStack, done};

const USERS: usize = 2;

/// Between two tasks of a user.
const PACE: Duration = Duration::from_millis(30);

/// How many tasks each user works on between two kills.
const BETWEEN: usize = 15;

/// How long until a part works again: its start, back-offs, retries, and the consumers' rebalance.
const AFTERMATH: Limit = Limit::new("the aftermath of killed parts", 120);

/// Sends a request again while the answer is a 5xx or the connection fails, as a client should.
fn retrying<'a>(request: impl Fn() -> Call<'a>) -> Answer {
    until("an answer", AFTERMATH, || match request().try_send() {
        Ok(answer) if answer.status < 500 => Ok(answer),
        Ok(answer) => Err(format!("{answer:?}")),
        Err(error) => Err(error.to_string()),
    })
}

/// Creates tasks, with and without due dates, of which some are changed, some completed and some deleted.
fn work(todo: &TestUser, begun: &AtomicUsize, over: &AtomicBool) {
    for number in 0.. {
        if over.load(Ordering::Acquire) {
            break;
        }
        let recurs = number % 4 == 1;
        let body = json!({
            "title": number.to_string(),
            "due_date": (number % 2 == 1).then_some("2100-01-01T08:00:00Z"),
            "is_recurring": recurs,
            "recurring_interval": recurs.then_some("daily"),
        });
        let key = number.to_string();
        let create = || {
            let call = todo.call("POST", todo.tasks_path());
            call.header("idempotency-key", &key).json(&body)
        };
        let task = retrying(create).task(201);
        let path = todo.task_path(string_member(&task, "id"));
        match number % 4 {
            1 => drop(retrying(|| todo.call("POST", format!("{path}/complete"))).task(200)),
            2 => drop(
                retrying(|| {
                    todo.call("PATCH", path.as_str())
                        .json(&json!({"priority": "high"}))
                })
                .task(200),
            ),
            // 404 means that an earlier attempt, whose answer was lost, deleted it.
            3 => assert!(
                [204, 404].contains(&retrying(|| todo.call("DELETE", path.as_str())).status)
            ),
            _ => {}
        }
        begun.fetch_add(1, Ordering::AcqRel);
        thread::sleep(PACE);
    }
}

/// A client follows until it has reached the number `end`, which is 0 until it is known.
type Way = fn(&TestUser, &AtomicUsize) -> Follower;

fn has_all(follower: &Follower, end: &AtomicUsize) -> bool {
    let end = end.load(Ordering::Acquire) as i64;
    end > 0 && follower.last() >= end
}

fn begun(todo: &TestUser) -> Follower {
    match Follower::start(todo) {
        Some(follower) => follower,
        None => panic!("a follower cannot start"),
    }
}

fn by_pages(todo: &TestUser, end: &AtomicUsize) -> Follower {
    let mut follower = begun(todo);
    while !has_all(&follower, end) {
        follower.read_pages(todo);
        thread::sleep(PACE);
    }
    follower
}

fn by_streams(todo: &TestUser, end: &AtomicUsize) -> Follower {
    let mut follower = begun(todo);
    while !has_all(&follower, end) {
        follower.read_stream(todo, &|follower| has_all(follower, end));
        thread::sleep(PACE);
    }
    follower
}

/// Kills and restarts each part in turn, while users work before, during and after.
fn kill_every_part(stack: &Stack, begun: &AtomicUsize) {
    let more = || {
        let from = begun.load(Ordering::Acquire);
        until("work goes on", AFTERMATH, || {
            match begun.load(Ordering::Acquire) {
                now if now >= from + USERS * BETWEEN => Ok(()),
                now => Err(format!("{} of {}", now - from, USERS * BETWEEN)),
            }
        });
    };
    more();
    done(stack.app().kill());
    done(stack.app().start());
    more();
    done(stack.daprd().kill());
    more();
    done(stack.daprd().start());
    done(stack.broker().and_then(|broker| broker.kill()));
    more();
    done(stack.broker().and_then(|broker| broker.start()));
    done(stack.scheduler().kill());
    more();
    done(stack.scheduler().start());
    done(stack.postgres().and_then(|postgres| postgres.kill()));
    thread::sleep(20 * PACE);
    done(stack.postgres().and_then(|postgres| postgres.start()));
    more();
    done(stack.app().kill());
    done(stack.app().start());
    more();
}

#[test]
fn a_follower_of_changes_ends_with_exactly_what_the_server_has() {
    let stack = OwnStack::with(|options| options.own_postgres().broker_on_disk());
    let users: Vec<TestUser> = (0..USERS)
        .map(|_| TestUser::random_on(stack.endpoints()))
        .collect();
    for todo in &users {
        todo.created("from before");
    }
    let (count, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ends: Vec<AtomicUsize> = users.iter().map(|_| AtomicUsize::new(0)).collect();
    let ways: [Way; 2] = [by_pages, by_streams];
    thread::scope(|scope| {
        let (count, over) = (&count, &over);
        let following: Vec<_> = users
            .iter()
            .zip(&ends)
            .flat_map(|(todo, end)| ways.map(|way| scope.spawn(move || way(todo, end))))
            .collect();
        let working: Vec<_> = users
            .iter()
            .map(|todo| scope.spawn(move || work(todo, count, over)))
            .collect();
        kill_every_part(&stack, count);
        over.store(true, Ordering::Release);
        for user in working {
            assert!(user.join().is_ok(), "a user gave up");
        }
        for (todo, end) in users.iter().zip(&ends) {
            wait_until_settled(todo, AFTERMATH);
            let (head, _) = todo.database().lane_of(todo.user());
            end.store(usize::try_from(head).unwrap_or_default(), Ordering::Release);
        }
        let followers = following.into_iter().map(|follower| match follower.join() {
            Ok(follower) => follower,
            Err(_) => panic!("a follower gave up"),
        });
        let followers: Vec<Follower> = followers.collect();
        for (todo, followers) in users.iter().zip(followers.chunks(ways.len())) {
            let tasks = all_tasks(todo);
            let head = todo.database().lane_of(todo.user()).0;
            eprintln!("{} tasks after {head} changes", tasks.len());
            for follower in followers {
                assert_eq!(follower.starts, 1, "it had to start anew");
                assert_eq!(follower.last(), head);
                assert_eq!(follower.tasks(), tasks.iter().collect::<Vec<_>>());
            }
        }
    });
    assert_eq!(dead_letters(stack.endpoints()), json!([]));
}

/// All tasks of a user, by their ids.
fn all_tasks(todo: &TestUser) -> Vec<Value> {
    let mut tasks = Vec::new();
    let mut target = Some(format!("{}?limit=200", todo.tasks_path()));
    while let Some(page) = target {
        let answer = todo.call("GET", page).send().expect(200);
        tasks.extend(answer.json().as_array().cloned().unwrap_or_default());
        let link = answer
            .header("link")
            .and_then(|link| link.strip_prefix('<'));
        target = link.and_then(|link| Some(link.split_once('>')?.0.to_owned()));
    }
    tasks.sort_by_key(|task| string_member(task, "id").to_owned());
    tasks
}
