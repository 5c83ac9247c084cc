//! Clients of the change feed: one that reads its stream, and one that keeps a copy of a user's tasks by it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::openapi;
use crate::test_user::{TestUser, string_member};

/// How long a stream may be silent: heartbeats come every 5 s, and an outage of the database can delay one.
const SILENCE: Duration = Duration::from_secs(30);

/// The path of a user's feed, with its query.
pub fn feed_path(todo: &TestUser, query: &str) -> String {
    let path = todo.tasks_path().replace("/tasks", "/changes");
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{path}{separator}{query}")
}

/// Asks for a page of changes.
pub fn page(todo: &TestUser, query: &str) -> Answer {
    todo.call("GET", feed_path(todo, query)).send()
}

/// The number of an event.
pub fn number_of(event: &Value) -> i64 {
    match string_member(event, "sequence").parse() {
        Ok(number) => number,
        Err(error) => panic!("{error}: {event}"),
    }
}

/// What a stream says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A number without an event.
    Number(i64),
    /// An event with its number.
    Event(i64, Value),
    /// A comment.
    Heartbeat,
    /// It has ended as it should.
    End,
    /// It broke off.
    Broken(String),
}

/// A stream, read by the rules of server-sent events.
pub struct ChangeStream {
    stream: TcpStream,
    /// Not decoded yet.
    raw: Vec<u8>,
    /// Not read yet.
    text: String,
    ended: Option<Said>,
}

/// Why there is no stream.
#[derive(Debug)]
pub enum NoStream {
    /// Another answer.
    Answer(Answer),
    /// No answer.
    Error(io::Error),
}

impl From<io::Error> for NoStream {
    fn from(error: io::Error) -> Self {
        Self::Error(error)
    }
}

impl ChangeStream {
    /// Opens one; `last` is the number to resume after.
    ///
    /// # Errors
    ///
    /// When the answer is another one, or there is none.
    pub fn try_open(todo: &TestUser, query: &str, last: Option<&str>) -> Result<Self, NoStream> {
        let target = feed_path(todo, query);
        let authority = todo.stack().api_url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        let last = last.map_or_else(String::new, |last| format!("last-event-id: {last}\r\n"));
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {}\r\naccept: text/event-stream\r\n\
            {last}connection: close\r\n\r\n",
            todo.token()
        );
        stream.write_all(request.as_bytes())?;
        let mut raw = Vec::new();
        let end = loop {
            if let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            read_some(&mut stream, &mut raw)?;
        };
        let mut answer = head(&raw[..end])?;
        raw.drain(..end + 4);
        if answer.status != 200 {
            while read_some(&mut stream, &mut raw).is_ok() {
                let length = answer.header("content-length").map(str::parse::<usize>);
                if matches!(length, Some(Ok(length)) if raw.len() >= length) {
                    break;
                }
            }
            answer.body = raw;
            // An answer of the host itself is not an answer of the API.
            if answer.status != 500 {
                openapi::require("GET", &target, &answer);
            }
            return Err(NoStream::Answer(answer));
        }
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("transfer-encoding", "chunked"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        Ok(Self {
            stream,
            raw,
            text: String::new(),
            ended: None,
        })
    }

    /// Opens one that must be there.
    pub fn open(todo: &TestUser, query: &str, last: Option<&str>) -> Self {
        match Self::try_open(todo, query, last) {
            Ok(stream) => stream,
            Err(error) => panic!("no stream: {error:?}"),
        }
    }

    /// What it says next.
    pub fn says(&mut self) -> Said {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                return said(&block);
            }
            if let Some(ended) = &self.ended {
                return ended.clone();
            }
            let before = self.text.len();
            self.ended = self.decode();
            if self.ended.is_none() && self.text.len() == before {
                let read = read_some(&mut self.stream, &mut self.raw);
                self.ended = read.err().map(|error| Said::Broken(error.to_string()));
            }
        }
    }

    /// The next event; heartbeats do not count.
    pub fn event(&mut self) -> (i64, Value) {
        loop {
            match self.says() {
                Said::Event(number, event) => return (number, event),
                Said::Heartbeat => {}
                said => panic!("no event: {said:?}"),
            }
        }
    }

    /// The number that it begins with.
    pub fn beginning(&mut self) -> i64 {
        match self.says() {
            Said::Number(number) => number,
            said => panic!("no number: {said:?}"),
        }
    }

    /// Takes the whole chunks of what was received (RFC 9112, section 7.1); the end, if it is there.
    fn decode(&mut self) -> Option<Said> {
        loop {
            let line = self.raw.windows(2).position(|two| two == b"\r\n")?;
            let digits = String::from_utf8_lossy(&self.raw[..line]).into_owned();
            let Ok(length) = usize::from_str_radix(digits.trim(), 16) else {
                return Some(Said::Broken(format!("no chunk: {digits:?}")));
            };
            if length == 0 {
                return Some(Said::End);
            }
            let (start, end) = (line + 2, line + 2 + length);
            if self.raw.len() < end + 2 {
                return None;
            }
            self.text
                .push_str(&String::from_utf8_lossy(&self.raw[start..end]));
            self.raw.drain(..end + 2);
        }
    }
}

fn read_some(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    match stream.read(&mut buffer)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        count => {
            into.extend(&buffer[..count]);
            Ok(())
        }
    }
}

fn head(bytes: &[u8]) -> io::Result<Answer> {
    let head = String::from_utf8_lossy(bytes).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Ok(Answer {
        status: status.ok_or(ErrorKind::InvalidData)?,
        headers: headers.collect(),
        body: Vec::new(),
        trace: String::new(),
    })
}

/// Reads a block of a stream.
fn said(block: &str) -> Said {
    let (mut number, mut data) = (None, None);
    for line in block.lines().filter(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some(("id", value)) => number = value.parse().ok(),
            Some(("data", value)) => data = serde_json::from_str(value).ok(),
            Some(("retry", "1000")) => {}
            None if line == ":" => {}
            _ => panic!("a stream says {line:?}"),
        }
    }
    match (number, data) {
        (Some(number), Some(event)) => Said::Event(number, event),
        (Some(number), None) => Said::Number(number),
        (None, None) => Said::Heartbeat,
        (None, Some(_)) => panic!("an event without a number: {block:?}"),
    }
}

/// A client that has all of a user's tasks, and keeps them as they are by the user's changes, as docs/changes.md says.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    tasks: BTreeMap<String, Value>,
    last: i64,
    /// How often it had to start again.
    pub starts: usize,
    /// The numbers of the events that it got, in the order in which it did.
    pub seen: Vec<i64>,
}

impl Follower {
    /// Takes the newest number, then all tasks. None where a request gets no answer for now.
    pub fn start(todo: &TestUser) -> Option<Self> {
        let mut follower = Self::default();
        follower.restart(todo).then_some(follower)
    }

    fn restart(&mut self, todo: &TestUser) -> bool {
        let Some(newest) = answered(todo, &feed_path(todo, "after=latest")) else {
            return false;
        };
        let mut tasks = BTreeMap::new();
        let mut target = Some(format!("{}?limit=200", todo.tasks_path()));
        while let Some(page) = target {
            let Some(answer) = answered(todo, &page) else {
                return false;
            };
            for task in answer.json().as_array().into_iter().flatten() {
                tasks.insert(string_member(task, "id").to_owned(), task.clone());
            }
            let link = answer
                .header("link")
                .and_then(|link| link.strip_prefix('<'));
            target = link.and_then(|link| Some(link.split_once('>')?.0.to_owned()));
        }
        self.last = newest.json()["last"].as_i64().unwrap_or_default();
        self.tasks = tasks;
        self.starts += 1;
        true
    }

    /// The number that it has come to.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// The tasks that it knows, by their ids.
    pub fn tasks(&self) -> Vec<&Value> {
        self.tasks.values().collect()
    }

    /// Reads pages until there is no more for now, or no answer.
    pub fn read_pages(&mut self, todo: &TestUser) {
        loop {
            let target = feed_path(todo, &format!("after={}", self.last));
            match todo.call("GET", target).try_send() {
                Ok(answer) if answer.status == 410 => {
                    self.restart(todo);
                    return;
                }
                Ok(answer) if answer.status == 200 => {
                    let page = answer.json();
                    for event in page["events"].as_array().into_iter().flatten() {
                        self.apply(number_of(event), event);
                    }
                    if page["more"] != true {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Reads a stream until it ends or breaks, or `until` says so. Does nothing if no stream can be opened now.
    pub fn read_stream(&mut self, todo: &TestUser, until: &dyn Fn(&Self) -> bool) {
        let last = self.last.to_string();
        let mut stream = match ChangeStream::try_open(todo, "", Some(&last)) {
            Ok(stream) => stream,
            Err(NoStream::Answer(answer)) if answer.status == 410 => {
                self.restart(todo);
                return;
            }
            Err(_) => return,
        };
        while !until(self) {
            match stream.says() {
                Said::Event(number, event) => self.apply(number, &event),
                Said::Number(number) => assert_eq!(number, self.last),
                Said::Heartbeat => {}
                Said::End | Said::Broken(_) => return,
            }
        }
    }

    fn apply(&mut self, number: i64, event: &Value) {
        assert_eq!(number, self.last + 1, "after {}: {event}", self.last);
        assert_eq!(number, number_of(event));
        self.last = number;
        self.seen.push(number);
        let id = string_member(event, "subject");
        match string_member(event, "type") {
            "task.deleted" => {
                self.tasks.remove(id);
            }
            kind if kind.starts_with("task.") => {
                let task = task_of(event);
                let known = self.tasks.get(id).map_or(0, version);
                if version(&task) > known {
                    self.tasks.insert(id.to_owned(), task);
                }
            }
            _ => {}
        }
    }
}

fn version(task: &Value) -> i64 {
    task["version"].as_i64().unwrap_or_default()
}

/// The task in an event, as the REST API shows it.
fn task_of(event: &Value) -> Value {
    let mut task = event["data"].clone();
    if let Some(members) = task.as_object_mut() {
        members.remove("timestamp");
        members.remove("changed_fields");
        let id = members.remove("task_id");
        members.insert("id".to_owned(), json!(id));
    }
    task
}

/// A successful answer, if there is one before long.
fn answered(todo: &TestUser, target: &str) -> Option<Answer> {
    let began = Instant::now();
    while began.elapsed() < SILENCE {
        match todo.call("GET", target).try_send() {
            Ok(answer) if answer.status == 200 => return Some(answer),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    None
}
