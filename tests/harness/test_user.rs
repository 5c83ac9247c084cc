//! A user of the service.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use stack::endpoints::{Endpoints, TASKS_TOPIC};
use ureq::http::{HeaderValue, Request};
use uuid::Uuid;

use crate::answer::Answer;
use crate::database::Database;
use crate::wait::{Limit, until};
use crate::{events, openapi, shared_stack};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user of a stack, with a valid token.
#[derive(Clone)]
pub struct TestUser {
    stack: Endpoints,
    user: String,
    token: String,
    agent: ureq::Agent,
}

/// A request that is being written.
pub struct Call<'a> {
    todo: &'a TestUser,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    authorization: Option<String>,
    trace: String,
}

impl TestUser {
    /// A new user of the shared stack.
    pub fn random() -> Self {
        Self::random_on(shared_stack())
    }

    /// A new user of a stack.
    pub fn random_on(stack: &Endpoints) -> Self {
        Self::named(&format!("user-{}", Uuid::now_v7().simple()), stack)
    }

    /// The user of that name.
    pub fn named(user: &str, stack: &Endpoints) -> Self {
        Self::with_token(user, stack, stack.token(user))
    }

    /// A new operator of a stack.
    pub fn operator_on(stack: &Endpoints) -> Self {
        let user = format!("operator-{}", Uuid::now_v7().simple());
        let token = stack.operator_token(&user);
        Self::with_token(&user, stack, token)
    }

    fn with_token(user: &str, stack: &Endpoints, token: anyhow::Result<String>) -> Self {
        let token = match token {
            Ok(token) => token,
            Err(error) => panic!("no token for {user}: {error:#}"),
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            // A connection kept from before the app was restarted would fail the first request after.
            .max_idle_connections(0)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        Self {
            stack: stack.clone(),
            user: user.to_owned(),
            token,
            agent,
        }
    }

    /// The user's id.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The user's bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The stack that the user is on.
    pub fn stack(&self) -> &Endpoints {
        &self.stack
    }

    /// The path of the user's tasks.
    pub fn tasks_path(&self) -> String {
        let user = utf8_percent_encode(&self.user, NON_ALPHANUMERIC);
        format!("/api/{user}/tasks")
    }

    /// The path of a task.
    pub fn task_path(&self, id: &str) -> String {
        format!("{}/{id}", self.tasks_path())
    }

    /// A request with the user's token; `target` is a path with its query.
    pub fn call(&self, method: &str, target: impl Into<String>) -> Call<'_> {
        Call {
            todo: self,
            method: method.to_owned(),
            target: target.into(),
            headers: Vec::new(),
            body: None,
            authorization: Some(format!("Bearer {}", self.token)),
            trace: Uuid::now_v7().simple().to_string(),
        }
    }

    /// Asks for a task to be created.
    pub fn create(&self, body: Value) -> Answer {
        self.call("POST", self.tasks_path()).json(&body).send()
    }

    /// Asks for a task to be created, once for this key.
    pub fn create_once(&self, key: &str, body: Value) -> Answer {
        let call = self.call("POST", self.tasks_path());
        call.header("idempotency-key", key).json(&body).send()
    }

    /// Creates a task that has only a title.
    pub fn created(&self, title: &str) -> Value {
        self.created_with(json!({"title": title}))
    }

    /// Creates a task.
    pub fn created_with(&self, body: Value) -> Value {
        self.create(body).task(201)
    }

    /// Reads a task.
    pub fn get(&self, id: &str) -> Answer {
        self.call("GET", self.task_path(id)).send()
    }

    /// Lists tasks; `query` without the question mark.
    pub fn list(&self, query: &str) -> Answer {
        let separator = if query.is_empty() { "" } else { "?" };
        let target = format!("{}{separator}{query}", self.tasks_path());
        self.call("GET", target).send()
    }

    /// The tasks of a list that must succeed.
    pub fn listed(&self, query: &str) -> Vec<Value> {
        let tasks = self.list(query).expect(200).json();
        tasks.as_array().cloned().unwrap_or_default()
    }

    /// Changes a task.
    pub fn patch(&self, id: &str, patch: Value) -> Answer {
        let call = self.call("PATCH", self.task_path(id));
        call.json(&patch).send()
    }

    /// Completes a task.
    pub fn complete(&self, id: &str) -> Answer {
        let target = format!("{}/complete", self.task_path(id));
        self.call("POST", target).send()
    }

    /// Reopens a task.
    pub fn reopen(&self, id: &str) -> Answer {
        self.call("POST", format!("{}/reopen", self.task_path(id)))
            .send()
    }

    /// Skips to the next instance of a task.
    pub fn skip(&self, id: &str) -> Answer {
        self.call("POST", format!("{}/skip", self.task_path(id)))
            .send()
    }

    /// Deletes a task.
    pub fn delete(&self, id: &str) -> Answer {
        self.call("DELETE", self.task_path(id)).send()
    }

    /// A connection to the stack's database.
    pub fn database(&self) -> Database {
        Database::of(&self.stack)
    }

    /// Everything that is stored of the user; see [`Database::rows_of`].
    pub fn rows(&self) -> Value {
        self.database().rows_of(&self.user)
    }

    /// The user's task events as appended in the database, in the order of their numbers.
    pub fn stored_events(&self) -> Vec<Value> {
        self.database().events_of(&self.user)
    }

    /// Waits until all the user's events are at the broker.
    pub fn settle(&self, limit: Limit) {
        let mut database = self.database();
        until("every event is published", limit, || {
            match database.lane_of(&self.user) {
                (head, published) if head == published => Ok(()),
                (head, published) => Err(format!("{published} of {head} events published")),
            }
        });
    }

    /// The user's task events at the broker, in order of their first appearance; waits until all that are stored are
    /// there.
    pub fn published_events(&self) -> Vec<Value> {
        self.settle(Limit::DELIVERY);
        events::first_appearances(&events::records_of(&self.stack, TASKS_TOPIC, &self.user))
    }
}

impl Call<'_> {
    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With another value of the `Authorization` header, or none.
    #[must_use]
    pub fn authorization(mut self, value: Option<&str>) -> Self {
        self.authorization = value.map(str::to_owned);
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// With a body of any bytes.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the request and requires an answer, of whatever described status.
    pub fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.target);
        match self.try_send() {
            Ok(answer) => answer,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Sends the request.
    ///
    /// # Errors
    ///
    /// When there is no answer: no connection, or none within 30 s.
    ///
    /// # Panics
    ///
    /// When the answer is not as the API is described.
    pub fn try_send(self) -> Result<Answer, ureq::Error> {
        let agent = &self.todo.agent;
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(format!("{}{}", self.todo.stack.api_url, self.target))
            .header(
                "traceparent",
                format!("00-{}-00f067aa0ba902b7-01", self.trace),
            );
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in &self.headers {
            // Any bytes but control characters, as a client might send them.
            request = request.header(
                name,
                HeaderValue::from_bytes(value.as_bytes()).map_err(ureq::http::Error::from)?,
            );
        }
        let has_body = !matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE" | "OPTIONS");
        let mut response = match self.body {
            Some(body) => agent.run(request.body(body)?)?,
            None if has_body => agent.run(request.body(Vec::new())?)?,
            None => agent.run(request.body(())?)?,
        };
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        let answer = Answer {
            status: response.status().as_u16(),
            headers,
            body: response.body_mut().read_to_vec()?,
            trace: self.trace,
        };
        openapi::require(&self.method, &self.target, &answer);
        Ok(answer)
    }
}

/// A string member of a task or event.
pub fn string_member<'a>(value: &'a Value, member: &str) -> &'a str {
    match value[member].as_str() {
        Some(text) => text,
        None => panic!("no text {member} in {value}"),
    }
}
