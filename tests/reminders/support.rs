//! What the stories of reminders share.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::timestamp::Timestamp;
use e2e::answer::Answer;
use e2e::asyncapi::CheckedStack;
use e2e::database::Database;
use e2e::shared_stack;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::StackOptions;

/// The lead of the stacks on which reminders come due while a test looks on, in seconds.
pub const LEAD: i64 = 3;

/// An alarm rings at its moment, a few seconds from now; where nothing rings, the sweep follows within a minute.
pub const RING: Limit = Limit::new("an alarm", 30);

/// A minute for the sweep, from a moment that is a few seconds ahead.
pub const SWEEP: Limit = Limit::new("the sweep", 75);

/// A stack whose lead is [`LEAD`], shared by the tests that run at the same time.
pub fn short_lead_stack() -> Arc<CheckedStack> {
    static SHARED: Mutex<Weak<CheckedStack>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let stack = Arc::new(started(short_lead_options()));
        *shared = Arc::downgrade(&stack);
        stack
    })
}

/// A stack of a test's own with the lead [`LEAD`].
pub fn short_lead_options() -> StackOptions {
    StackOptions::beside(shared_stack()).variable("reminder_lead_seconds", &LEAD.to_string())
}

/// Starts a stack, whose events are checked when it stops.
pub fn started(options: StackOptions) -> CheckedStack {
    match options.start() {
        Ok(stack) => CheckedStack::new(stack),
        Err(error) => panic!("{error:#}"),
    }
}

/// So many seconds from now, in RFC 3339.
pub fn in_seconds(seconds: i64) -> String {
    moment(now() + seconds * 1_000_000)
}

/// So many days from now.
pub fn in_days(days: i64) -> String {
    in_seconds(days * 24 * 3600)
}

/// Microseconds since 1970.
pub fn now() -> i64 {
    let since: Duration = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or_default()
}

/// An instant in RFC 3339, from microseconds since 1970.
pub fn moment(micros: i64) -> String {
    match Timestamp::from_unix_micros(micros) {
        Ok(moment) => moment.to_string(),
        Err(_) => panic!("no instant: {micros}"),
    }
}

/// Microseconds since 1970 of an instant in RFC 3339.
pub fn micros(moment: &str) -> i64 {
    match Timestamp::parse(moment) {
        Ok(moment) => moment.unix_micros(),
        Err(_) => panic!("no instant: {moment}"),
    }
}

/// An instant moved by seconds.
pub fn after(moment_: &str, seconds: i64) -> String {
    moment(micros(moment_) + seconds * 1_000_000)
}

/// Due so soon that the alarm of its reminder, half an hour from now, is set, with the lead of a day.
pub fn in_a_day() -> String {
    in_seconds(24 * 3600 + 1800)
}

/// Creates a task that is due then.
pub fn due(todo: &TestUser, due_date: &str) -> Value {
    todo.created_with(json!({"title": "Water the plants", "due_date": due_date}))
}

/// The id of a task.
pub fn id(task: &Value) -> &str {
    string_member(task, "id")
}

/// The row of a task's reminder, instants in RFC 3339; null where there is none.
pub fn row(todo: &TestUser, task: &Value) -> Value {
    row_in(&mut todo.database(), task)
}

fn row_in(database: &mut Database, task: &Value) -> Value {
    database.json(
        "SELECT jsonb_build_object(
            'status', status, 'sequence', sequence, 'remind_at', rfc3339(remind_at), 'due_date', rfc3339(due_date),
            'wanted', rfc3339(alarm_wanted), 'set', rfc3339(alarm_set)
        ) FROM reminders WHERE task_id::text = $1",
        &[id(task)],
    )
}

/// A reminder that has come, without a task and without a history.
pub fn triggered_row(todo: &TestUser, task: uuid::Uuid, remind_at: &str, due_date: &str) {
    let inserted = todo.database().client().execute(
        "INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date)
        VALUES ($1::text::uuid, $2, 1, 'triggered', $3::text::timestamptz, $4::text::timestamptz)",
        &[&task.to_string(), &todo.user(), &remind_at, &due_date],
    );
    assert!(matches!(inserted, Ok(1)), "{inserted:?}");
}

/// Waits until a task's reminder has this status and its alarm clock is set as wanted. Returns the row.
pub fn settled(todo: &TestUser, task: &Value, status: &str, limit: Limit) -> Value {
    let mut database = todo.database();
    until("the reminder's row", limit, || {
        let row = row_in(&mut database, task);
        // What rings later than within the hour is not set yet.
        let is_near = |moment: &str| micros(moment) < now() + 3600 * 1_000_000;
        let target = row["wanted"].as_str().filter(|moment| is_near(moment));
        if row["status"] == status && row["set"].as_str() == target {
            Ok(row)
        } else {
            Err(row)
        }
    })
}

/// The user's notifications, newest first, at most 200.
pub fn notifications(todo: &TestUser) -> Vec<Value> {
    let answer = list(todo, "limit=200").expect(200).json();
    answer.as_array().cloned().unwrap_or_default()
}

/// Lists notifications.
pub fn list(todo: &TestUser, query: &str) -> Answer {
    let path = todo.tasks_path().replace("/tasks", "/notifications");
    todo.call("GET", format!("{path}?{query}")).send()
}

/// The notifications of a task.
pub fn notifications_of(todo: &TestUser, task: &Value) -> Vec<Value> {
    let mut all = notifications(todo);
    all.retain(|notification| notification["task_id"] == task["id"]);
    all
}

/// Waits for the notification of a task; there may be no second one.
pub fn notified(todo: &TestUser, task: &Value, limit: Limit) -> Value {
    let mut database = todo.database();
    until("a notification", limit, || {
        let mut found = notifications_of(todo, task);
        match found.len() {
            0 => Err(row_in(&mut database, task)),
            1 => Ok(found.remove(0)),
            _ => panic!("more than one: {found:#?}"),
        }
    })
}

/// The events about a task, in order.
pub fn about(events: &[Value], task: &Value) -> Vec<Value> {
    let about = events.iter().filter(|event| event["subject"] == task["id"]);
    about.cloned().collect()
}

/// Calls the handler as the sidecar does when the alarm of a task rings.
pub fn fire_job(todo: &TestUser, task_id: &str) -> Answer {
    todo.call("POST", format!("/job/reminder-{task_id}"))
        .authorization(None)
        .header("dapr-api-token", &todo.stack().secrets.app_token)
        .json(&json!({"task_id": task_id}))
        .send()
}

/// When a task's alarm will ring, in microseconds since 1970; `None` if the scheduler has no job.
pub fn alarm(todo: &TestUser, task: &Value) -> Option<i64> {
    let mut answer = call_jobs(todo, "GET", task, &Value::Null);
    let job: Value = answer.body_mut().read_json().unwrap_or_default();
    job["dueTime"].as_str().map(micros)
}

/// Removes the alarm of a task from the scheduler, as if the scheduler had lost it.
pub fn lose_alarm(todo: &TestUser, task: &Value) {
    let answer = call_jobs(todo, "DELETE", task, &Value::Null);
    assert!(answer.status().is_success(), "{answer:?}");
    assert_eq!(alarm(todo, task), None);
}

/// Sets an alarm that nobody wants.
pub fn set_alarm(todo: &TestUser, task: &Value, moment: &str) {
    let job = json!({"dueTime": moment, "data": {}, "overwrite": true});
    let answer = call_jobs(todo, "POST", task, &job);
    assert!(answer.status().is_success(), "{answer:?}");
}

fn call_jobs(
    todo: &TestUser,
    method: &str,
    task: &Value,
    body: &Value,
) -> ureq::http::Response<ureq::Body> {
    let stack = todo.stack();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!(
            "{}/v1.0/jobs/reminder-{}",
            stack.dapr_url,
            id(task)
        ))
        .header("content-type", "application/json")
        .header("dapr-api-token", &stack.secrets.dapr_token)
        .body(body);
    let agent = stack::net::client(Duration::from_secs(20));
    let agent = ureq::Agent::config_builder()
        .allow_non_standard_methods(true)
        .http_status_as_error(false)
        .timeout_global(agent.config().timeouts().global)
        .build()
        .new_agent();
    match request
        .map_err(ureq::Error::from)
        .and_then(|request| agent.run(request))
    {
        Ok(answer) => answer,
        Err(error) => panic!("the Jobs API does not answer: {error}"),
    }
}

/// Requires that a step of a stack succeeds.
pub fn done(result: anyhow::Result<()>) {
    if let Err(error) = result {
        panic!("{error:#}");
    }
}
