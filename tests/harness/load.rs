//! Load in an open loop: a request is sent when its time has come, whether or not those before it were answered. So a
//! part that hangs gets as many requests as one that works.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::answer::Answer;
use crate::raw_http::complete;
use crate::test_user::TestUser;

/// For how long a client waits for its answer: longer than any part is frozen.
const PATIENCE: Duration = Duration::from_secs(90);

/// Enough for a client, of which thousands may wait.
const STACK: usize = 128 * 1024;

/// What became of a request to create a task.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The place of its user in the list of users.
    pub user: usize,
    /// When it was sent, counted from the first.
    pub at: Duration,
    /// From sending it until its answer was there, or there was none.
    pub took: Duration,
    /// The status, or why there is none.
    pub status: Result<u16, String>,
    /// The id of the task that it created.
    pub task: Option<String>,
}

/// The requests of a load.
#[derive(Debug, Default)]
pub struct Load(pub Vec<Sent>);

impl Load {
    /// The requests that were answered so.
    pub fn with(&self, status: u16) -> impl Iterator<Item = &Sent> {
        self.0
            .iter()
            .filter(move |sent| sent.status.as_ref() == Ok(&status))
    }

    /// The ids of the tasks of a user that are known to exist.
    pub fn tasks_of(&self, user: usize) -> Vec<&str> {
        let of = self.with(201).filter(|sent| sent.user == user);
        of.flat_map(|sent| sent.task.as_deref()).collect()
    }

    /// Requires that each request was answered, with one of these statuses.
    pub fn assert_answered(&self, statuses: &[u16]) {
        let is_other = |sent: &&Sent| {
            !sent
                .status
                .as_ref()
                .is_ok_and(|status| statuses.contains(status))
        };
        let others: Vec<&Sent> = self.0.iter().filter(is_other).take(5).collect();
        assert!(others.is_empty(), "{self}; such as {others:#?}");
    }

    /// A percentile of the times of all answers.
    pub fn quantile(&self, part: f64) -> Duration {
        let mut times: Vec<Duration> = self.0.iter().map(|sent| sent.took).collect();
        times.sort_unstable();
        let index = (times.len() as f64 * part) as usize;
        let last = times.len().saturating_sub(1);
        times.get(index.min(last)).copied().unwrap_or_default()
    }

    /// Prints what the load was, even if the test passes: a bound means nothing without the load under which it was
    /// kept.
    pub fn tell(&self, what: &str) {
        // Writes to standard error directly: the test harness shows the output of failed tests only.
        let _ = writeln!(io::stderr(), "{what}: {self}");
    }
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outcomes: Vec<(String, usize)> = Vec::new();
        for sent in &self.0 {
            let outcome = match &sent.status {
                Ok(status) => status.to_string(),
                Err(_) => "unanswered".to_owned(),
            };
            match outcomes.iter_mut().find(|(known, _)| *known == outcome) {
                Some((_, count)) => *count += 1,
                None => outcomes.push((outcome, 1)),
            }
        }
        let last = self.0.iter().map(|sent| sent.at).max().unwrap_or_default();
        let rate = self.0.len() as f64 / last.as_secs_f64().max(0.001);
        write!(formatter, "{} requests, {rate:.0}/s", self.0.len())?;
        for (outcome, count) in outcomes {
            write!(formatter, ", {count} {outcome}")?;
        }
        write!(
            formatter,
            "; p50 {:?}, p99 {:?}, slowest {:?}",
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(1.0)
        )
    }
}

/// Creates tasks for the users in turn, at a fixed rate, as long as `story` runs; then waits for the missing answers.
/// `body` makes the body of the request with this number.
pub fn creates(
    users: &[TestUser],
    rate: f64,
    body: impl Fn(usize) -> Value + Sync,
    story: impl FnOnce(),
) -> Load {
    let over = AtomicBool::new(false);
    let all = Mutex::new(Vec::new());
    let began = Instant::now();
    thread::scope(|scope| {
        let (over, all, body) = (&over, &all, &body);
        scope.spawn(move || {
            for number in 0.. {
                let due = began + Duration::from_secs_f64(number as f64 / rate);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if over.load(Ordering::Acquire) {
                    break;
                }
                let client = thread::Builder::new().stack_size(STACK);
                let sending = client.spawn_scoped(scope, move || {
                    let user = number % users.len();
                    let sent = create(&users[user], user, &body(number), began);
                    all.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(sent);
                });
                if let Err(error) = sending {
                    panic!("no thread for a client: {error}");
                }
            }
        });
        // The load ends with the story, however that ends.
        let _over = OnDrop(over);
        story();
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_by_key(|sent| sent.at);
    Load(all)
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn create(todo: &TestUser, user: usize, body: &Value, began: Instant) -> Sent {
    let sent = Instant::now();
    let answer = exchange(todo, &body.to_string());
    let status = answer.as_ref().map(|answer| answer.status);
    let task = answer
        .as_ref()
        .ok()
        .filter(|answer| answer.status == 201)
        .and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok())
        .and_then(|task| task["id"].as_str().map(str::to_owned));
    Sent {
        user,
        at: sent - began,
        took: sent.elapsed(),
        status: status.map_err(ToString::to_string),
        task,
    }
}

/// A minimal HTTP client, so that the processors work for the service and not for the load.
fn exchange(todo: &TestUser, body: &str) -> io::Result<Answer> {
    let authority = todo.stack().api_url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
        connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        todo.tasks_path(),
        todo.token(),
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::new();
    let mut buffer = [0; 8 * 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend(&buffer[..count]);
        if let Some(answer) = complete(&received) {
            return Ok(answer);
        }
    }
}
