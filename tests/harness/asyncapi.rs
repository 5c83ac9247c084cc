//! Checks that events are as `/asyncapi.json` and the schema of their data say, and that the SDK of CloudEvents can
//! read them.
//!
//! It is stricter than a consumer has to be: it allows no attribute, no member of the data and no value that is not
//! described today. Every event that a test reads is checked when it is read; whatever else a stack has stored, when it
//! stops ([`CheckedStack`]).

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

use cloudevents::{AttributesReader, Event};
use jsonschema::{Draft, Validator};
use percent_encoding::percent_decode_str;
use postgres::{Client, NoTls};
use serde_json::{Map, Value, json};
use stack::Stack;
use stack::endpoints::Endpoints;
use stack::kafka::Record;
use stack::workspace;

use crate::lanes::UNREADABLE;

/// The description as committed; the service serves the same file.
pub const ASYNCAPI: &str = include_str!("../../components/task-api/asyncapi.json");

/// What the attribute `dataschema` begins with.
pub const SCHEMA_PREFIX: &str = "urn:todo-events:schema:";

/// The description.
pub static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| parsed("asyncapi.json", ASYNCAPI));

/// What an event is without its data.
static ENVELOPE: LazyLock<Validator> = LazyLock::new(|| {
    let mut schema = DESCRIPTION["components"]["schemas"]["CloudEvent"].clone();
    close(&mut schema);
    // The data has a schema of its own.
    schema["properties"]["data"] = json!({"type": "object"});
    validator(&schema)
});

/// The data of each type, by `dataschema`.
static DATA: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let schemas = schemas().into_iter().map(|(name, mut schema)| {
        close(&mut schema);
        (name, validator(&schema))
    });
    schemas.collect()
});

/// Ids of events that tests made, which may be broken on purpose.
static OF_TESTS: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Events that were found to be as described.
static CHECKED: Mutex<Option<HashSet<String>>> = Mutex::new(None);

fn parsed(place: &str, text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => panic!("{place} is not JSON: {error}"),
    }
}

/// The schemas of events' data as committed, by `dataschema`.
pub fn schemas() -> BTreeMap<String, Value> {
    let folder = workspace::root().join("components/task-api/schemas");
    let files = fs::read_dir(&folder).into_iter().flatten().flatten();
    let schemas: BTreeMap<String, Value> = files
        .map(|file| {
            let path = file.path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            let schema = parsed(&path.display().to_string(), &text);
            let name = schema["$id"].as_str().unwrap_or_default().to_owned();
            (name, schema)
        })
        .collect();
    assert!(!schemas.is_empty(), "{} is empty", folder.display());
    schemas
}

/// A validator of a JSON Schema.
pub fn validator(schema: &Value) -> Validator {
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true);
    match options.build(schema) {
        Ok(validator) => validator,
        Err(error) => panic!("no schema: {error}: {schema:#}"),
    }
}

/// Allows no other members than described, and no other values than those of today.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("unevaluatedProperties".to_owned(), json!(false));
            }
            if let Some(values) = members.remove("x-extensible-enum") {
                members.insert("enum".to_owned(), values);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Requires that an event is as described, unless a test made it.
///
/// # Panics
///
/// When it is not, with the event.
pub fn require(event: &Value) {
    if is_of_a_test(event) {
        return;
    }
    let text = event.to_string();
    let mut checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
    let checked = checked.get_or_insert_default();
    if !checked.contains(&text) {
        if let Err(misfit) = check(event) {
            panic!("an event is otherwise than asyncapi.json says: {misfit}\n{event:#}");
        }
        checked.insert(text);
    }
}

/// Requires that a record of a topic is an event as described, unless a test made it.
///
/// # Panics
///
/// When it is not, with the record.
pub fn require_record(topic: &str, record: &Record) {
    // A record that is not JSON was put there by a test.
    let Ok(event) = record.json() else { return };
    if is_of_a_test(&event) {
        return;
    }
    require(&event);
    if let Err(misfit) = check_place(topic, record.key.as_deref(), &event) {
        panic!("an event is otherwise than asyncapi.json says: {misfit}\n{record:?}");
    }
}

/// Remembers that a test makes this event, which may be broken.
pub fn made_by_a_test(event: &Value) {
    let mut made = OF_TESTS.lock().unwrap_or_else(PoisonError::into_inner);
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    made.get_or_insert_default().insert(id);
}

fn is_of_a_test(event: &Value) -> bool {
    let mut made = OF_TESTS.lock().unwrap_or_else(PoisonError::into_inner);
    let id = event["id"].as_str().unwrap_or_default();
    made.get_or_insert_default().contains(id) || !event["data"][UNREADABLE].is_null()
}

/// Whether an event is as described.
///
/// # Errors
///
/// What differs.
pub fn check(event: &Value) -> Result<(), String> {
    fits(&ENVELOPE, event, "")?;
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let name = format!("{SCHEMA_PREFIX}{}:1", text("type"));
    if text("dataschema") != name {
        return Err(format!("dataschema is not {name}"));
    }
    let schema = DATA.get(&name);
    let schema = schema.ok_or_else(|| format!("{} is not described", text("type")))?;
    fits(schema, &event["data"], "/data")?;

    let user = text("source").trim_start_matches("/todo/users/");
    let user = percent_decode_str(user).decode_utf8_lossy();
    for (attribute, value, place) in [
        ("subject", &event["data"]["task_id"], "data.task_id"),
        ("time", &event["data"]["timestamp"], "data.timestamp"),
        ("partitionkey", &event["data"]["user_id"], "data.user_id"),
        ("partitionkey", &json!(user), "source"),
    ] {
        if event[attribute] != *value {
            return Err(format!("{attribute} is not {place}"));
        }
    }
    check_by_sdk(event)
}

fn fits(validator: &Validator, value: &Value, place: &str) -> Result<(), String> {
    let misfits: Vec<String> = validator
        .iter_errors(value)
        .map(|misfit| {
            let at = misfit.instance_path().to_string();
            format!("{misfit} at \"{place}{at}\"")
        })
        .collect();
    if misfits.is_empty() {
        Ok(())
    } else {
        Err(misfits.join("; "))
    }
}

/// The SDK of CloudEvents reads it, and writes what it read.
fn check_by_sdk(event: &Value) -> Result<(), String> {
    let read: Event = serde_json::from_value(event.clone())
        .map_err(|error| format!("the SDK cannot read it: {error}"))?;
    if read.time().is_none() || read.dataschema().is_none() {
        return Err("the SDK sees no time or no dataschema".to_owned());
    }
    for (name, _) in read.iter() {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !name.bytes().all(is_name) {
            return Err(format!("{name} is no name of an attribute"));
        }
    }
    let mut written = serde_json::to_value(&read).unwrap_or_default();
    // It writes instants in a form of its own.
    written["time"] = event["time"].clone();
    if written == *event {
        Ok(())
    } else {
        Err(format!("the SDK makes of it {written}"))
    }
}

/// Whether an event belongs where it was found.
fn check_place(topic: &str, key: Option<&str>, event: &Value) -> Result<(), String> {
    let channels = DESCRIPTION["channels"].as_object();
    let mut channels = channels.into_iter().flat_map(Map::values);
    let channel = channels.find(|channel| channel["address"] == topic);
    let name = event["type"].as_str().unwrap_or_default();
    if channel.is_none_or(|channel| channel["messages"].get(name).is_none()) {
        return Err(format!("{name} is not described in the topic {topic}"));
    }
    if key != event["partitionkey"].as_str() {
        return Err("its key is not its partitionkey".to_owned());
    }
    Ok(())
}

/// A stack of one test or a few, whose events are checked when it stops.
pub struct CheckedStack {
    stack: Stack,
    has_made_up_events: AtomicBool,
}

impl CheckedStack {
    /// Checks what this stack has stored when it stops.
    pub fn new(stack: Stack) -> Self {
        Self {
            stack,
            has_made_up_events: AtomicBool::new(false),
        }
    }

    /// Does not check them: the test put some into the database.
    pub fn has_made_up_events(&self) {
        self.has_made_up_events.store(true, Ordering::Relaxed);
    }
}

impl Deref for CheckedStack {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl Drop for CheckedStack {
    fn drop(&mut self) {
        // A failing test says more.
        if !thread::panicking() && !self.has_made_up_events.load(Ordering::Relaxed) {
            match require_all_stored(self.stack.endpoints()) {
                Ok(_) => {}
                // The test may have stopped the database.
                Err(error) => eprintln!("the events of the stack were not checked: {error}"),
            }
        }
    }
}

/// How many events of a stack are checked at most, newest first: the events of a load are all alike.
const MOST: i64 = 20_000;

/// Requires that all events that a stack has stored are as described; returns the number of each type.
///
/// # Errors
///
/// Where its database cannot be read.
///
/// # Panics
///
/// When one is otherwise, with the event.
pub fn require_all_stored(stack: &Endpoints) -> Result<BTreeMap<String, usize>, postgres::Error> {
    let mut client = Client::connect(&stack.database_url, NoTls)?;
    client.batch_execute("SET statement_timeout = 0")?;
    let rows = client.query(
        "SELECT cloud_event(event)::text FROM events AS event ORDER BY time DESC LIMIT $1",
        &[&MOST],
    )?;
    let mut counts = BTreeMap::new();
    for row in rows {
        let event = parsed("an event", row.get(0));
        require(&event);
        let name = event["type"].as_str().unwrap_or_default().to_owned();
        *counts.entry(name).or_default() += 1;
    }
    Ok(counts)
}
