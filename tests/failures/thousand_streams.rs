//! A thousand streams are held while creates go on, on hosts with the bounds that they have by default. It takes most of the
//! machine: `cargo xtask test --e2e --ignored thousand --host spin`.

use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::timestamp::Timestamp;
use e2e::changes::{ChangeStream, Said};
use e2e::load;
use e2e::replica::Replica;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::endpoints::Endpoints;

use crate::own_stack::OwnStack;

/// Streams, each of a user of its own.
const STREAMS: usize = 1000;

/// The app and two replicas: 334 streams each.
const HOSTS: usize = 3;

/// Creates a second, over all users.
const RATE: f64 = 40.0;

const IDLE: Duration = Duration::from_secs(20);
const LOAD: Duration = Duration::from_secs(40);

const HELD: Limit = Limit::new("all streams are open", 60);
const ARRIVED: Limit = Limit::new("every create is on its stream", 30);

/// What all clients saw together.
#[derive(Default)]
struct Seen {
    /// Streams that are open.
    open: AtomicUsize,
    /// How often a stream was refused.
    refused: AtomicUsize,
    /// Streams that ended, to be opened again.
    ended: AtomicUsize,
    /// How long each event took from its append to the client.
    ages: Mutex<Vec<Duration>>,
    over: AtomicBool,
}

/// How long ago an event was appended, by the clock of this machine.
fn age(event: &Value) -> Duration {
    let appended = Timestamp::parse(string_member(event, "time")).map(Timestamp::unix_micros);
    let appended = Duration::from_micros(appended.unwrap_or_default().unsigned_abs());
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().saturating_sub(appended)
}

/// Follows from 0 until the end. Returns the numbers that came.
fn follow(todo: &TestUser, seen: &Seen) -> i64 {
    let mut last = 0;
    while !seen.over.load(Ordering::Acquire) {
        let Ok(mut stream) = ChangeStream::try_open(todo, "", Some(&last.to_string())) else {
            seen.refused.fetch_add(1, Ordering::AcqRel);
            thread::sleep(Duration::from_secs(1));
            continue;
        };
        seen.open.fetch_add(1, Ordering::AcqRel);
        loop {
            match stream.says() {
                Said::Event(number, event) => {
                    assert_eq!(number, last + 1, "{}", todo.user());
                    last = number;
                    let mut ages = seen.ages.lock().unwrap_or_else(PoisonError::into_inner);
                    ages.push(age(&event));
                }
                Said::Number(number) => assert_eq!(number, last),
                Said::Heartbeat if seen.over.load(Ordering::Acquire) => break,
                Said::Heartbeat => {}
                Said::End => break,
                Said::Broken(error) => panic!("{}: {error}", todo.user()),
            }
        }
        seen.open.fetch_sub(1, Ordering::AcqRel);
        seen.ended.fetch_add(1, Ordering::AcqRel);
    }
    last
}

fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let index = (times.len() as f64 * part) as usize;
    times.get(index.min(last)).copied().unwrap_or_default()
}

/// Processor time and memory of all processes of a name, from Linux's `/proc`: seconds and MiB.
fn usage(name: &str) -> (f64, f64) {
    let (mut seconds, mut memory) = (0.0, 0.0);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        if read("comm").trim() != name {
            continue;
        }
        let stat = read("stat");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = fields.get(11..13).into_iter().flatten();
        let ticks = ticks.filter_map(|ticks| ticks.parse::<f64>().ok());
        seconds += ticks.sum::<f64>() / 100.0;
        let rollup = read("smaps_rollup");
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kibibytes = pss.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        memory += kibibytes.unwrap_or_default() / 1024.0;
    }
    (seconds, memory)
}

/// Says what was measured, also where the test passes.
fn tell(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// What the parts use of the processors while `story` goes on.
fn measured(what: &str, story: impl FnOnce()) {
    let names = ["spin", "devhost", "postgres"];
    let before = names.map(usage);
    let began = Instant::now();
    story();
    let seconds = began.elapsed().as_secs_f64();
    let parts: Vec<String> = names
        .iter()
        .zip(before)
        .map(|(name, (cpu, _))| {
            let (now, memory) = usage(name);
            format!(
                "{name} {:.1} % of a processor, {memory:.0} MiB",
                (now - cpu) / seconds * 100.0
            )
        })
        .collect();
    tell(&format!("{what}: {}", parts.join("; ")));
}

#[test]
#[ignore = "it takes minutes and most of the machine"]
fn a_thousand_streams_are_held_while_creates_go_on() {
    let stack = OwnStack::alone(|options| options);
    let replicas: Vec<Replica> = (1..HOSTS)
        .map(|_| Replica::with(stack.endpoints(), &[("log_level", "info")]))
        .collect();
    let hosts: Vec<&Endpoints> = [stack.endpoints()]
        .into_iter()
        .chain(replicas.iter().map(Replica::endpoints))
        .collect();
    let users: Vec<TestUser> = (0..STREAMS)
        .map(|number| TestUser::random_on(hosts[number % HOSTS]))
        .collect();
    // For the same load, with and without streams.
    let body = |number: usize| json!({"title": number.to_string()});
    measured("idle without streams", || thread::sleep(IDLE));
    let strangers: Vec<TestUser> = (0..100)
        .map(|number| TestUser::random_on(hosts[number % HOSTS]))
        .collect();
    measured("creates without streams", || {
        load::creates(&strangers, RATE, body, || thread::sleep(IDLE))
            .tell("creates without streams");
    });

    let seen = Seen::default();
    let (sent, heads) = thread::scope(|scope| {
        let seen = &seen;
        let clients: Vec<_> = users
            .iter()
            .map(|todo| {
                let client = thread::Builder::new().stack_size(256 * 1024);
                match client.spawn_scoped(scope, move || follow(todo, seen)) {
                    Ok(client) => client,
                    Err(error) => panic!("no thread for a client: {error}"),
                }
            })
            .collect();
        let began = Instant::now();
        until("a thousand streams", HELD, || {
            match seen.open.load(Ordering::Acquire) {
                STREAMS => Ok(()),
                open => Err(format!(
                    "{open} open, {} refused",
                    seen.refused.load(Ordering::Acquire)
                )),
            }
        });
        tell(&format!(
            "{STREAMS} streams were open after {:?}",
            began.elapsed()
        ));
        measured("a thousand idle streams", || thread::sleep(IDLE));
        let mut sent = load::Load::default();
        measured("a thousand streams and creates", || {
            sent = load::creates(&users, RATE, body, || thread::sleep(LOAD));
        });
        sent.tell("creates with a thousand streams");
        until("every create has arrived", ARRIVED, || {
            let arrived = seen
                .ages
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .len();
            if arrived == sent.with(201).count() {
                Ok(())
            } else {
                Err(arrived)
            }
        });
        let open = seen.open.load(Ordering::Acquire);
        seen.over.store(true, Ordering::Release);
        let heads: Vec<i64> = clients
            .into_iter()
            .map(|client| client.join().unwrap_or(-1))
            .collect();
        tell(&format!(
            "{open} open at the end, {} ended and resumed, {} refused",
            seen.ended.load(Ordering::Acquire) - STREAMS,
            seen.refused.load(Ordering::Acquire),
        ));
        (sent, heads)
    });
    let mut ages = seen.ages.into_inner().unwrap_or_default();
    tell(&format!(
        "create to stream, {} events: p50 {:?}, p99 {:?}, slowest {:?}",
        ages.len(),
        quantile(&mut ages, 0.5),
        quantile(&mut ages, 0.99),
        quantile(&mut ages, 1.0),
    ));
    sent.assert_answered(&[201]);
    for (user, head) in heads.into_iter().enumerate() {
        assert_eq!(
            head,
            sent.tasks_of(user).len() as i64,
            "{}",
            users[user].user()
        );
    }
    assert_eq!(seen.refused.load(Ordering::Acquire), 0);
}
