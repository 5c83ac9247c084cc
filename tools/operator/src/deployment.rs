//! The service that an operator's command works on: its database and its sidecar.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use postgres::{Client, NoTls};
use ureq::Agent;

/// The Dapr component that publishes.
const PUBSUB: &str = "kafka-pubsub";
/// How long the sidecar may take until the broker has acknowledged an event.
const PUBLISH_LIMIT: Duration = Duration::from_secs(10);
/// The unreserved characters of RFC 3986 stay as they are in a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A deployed service.
pub struct Deployment {
    database_url: String,
    dapr_url: String,
    dapr_token: String,
    agent: Agent,
}

/// The form of what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A CloudEvent in structured JSON.
    CloudEvent,
    /// Bytes that are to stay as they are.
    Raw,
}

impl Deployment {
    /// The service of the variables `DATABASE_URL`, `DAPR_HTTP_ENDPOINT` (default `http://127.0.0.1:3500`) and
    /// `DAPR_API_TOKEN`.
    ///
    /// # Errors
    /// When `DATABASE_URL` is not set.
    pub fn from_env() -> Result<Self> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let database_url = variable("DATABASE_URL").context(
            "no service is named, and in a clone none is running; give its DATABASE_URL, DAPR_HTTP_ENDPOINT and \
             DAPR_API_TOKEN, or start one with `cargo xtask up`",
        )?;
        let dapr_url =
            variable("DAPR_HTTP_ENDPOINT").unwrap_or_else(|| "http://127.0.0.1:3500".to_owned());
        let dapr_token = variable("DAPR_API_TOKEN").unwrap_or_default();
        Ok(Self::new(&database_url, &dapr_url, &dapr_token))
    }

    /// The service with this database and this sidecar.
    #[must_use]
    pub fn new(database_url: &str, dapr_url: &str, dapr_token: &str) -> Self {
        Self {
            database_url: database_url.to_owned(),
            dapr_url: dapr_url.trim_end_matches('/').to_owned(),
            dapr_token: dapr_token.to_owned(),
            agent: Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(PUBLISH_LIMIT))
                .build()
                .into(),
        }
    }

    /// Connects to the service's database.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn connect(&self) -> Result<Client> {
        // Not the address: it holds a password.
        let mut client = Client::connect(&self.database_url, NoTls)
            .context("the service's database does not answer")?;
        // An operator can wait longer than a client of the service.
        client.batch_execute("SET statement_timeout = 0")?;
        Ok(client)
    }

    /// Publishes to a topic through the sidecar and waits until the broker has acknowledged it.
    ///
    /// # Errors
    /// When it is not known to be at the broker; it may be there all the same.
    pub fn publish(
        &self,
        topic: &str,
        key: Option<&str>,
        form: Form,
        traceparent: Option<&str>,
        content: &[u8],
    ) -> Result<()> {
        let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let mut metadata = Vec::new();
        if let Some(key) = key {
            metadata.push(format!("metadata.partitionKey={}", escaped(key)));
        }
        let content_type = match form {
            Form::CloudEvent => "application/cloudevents+json",
            Form::Raw => {
                metadata.push("metadata.rawPayload=true".to_owned());
                "application/octet-stream"
            }
        };
        let url = format!(
            "{}/v1.0/publish/{PUBSUB}/{}?{}",
            self.dapr_url,
            escaped(topic),
            metadata.join("&")
        );
        let mut request = self.agent.post(&url).header("content-type", content_type);
        if !self.dapr_token.is_empty() {
            request = request.header("dapr-api-token", &self.dapr_token);
        }
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        let mut answer = request
            .send(content)
            .with_context(|| format!("the sidecar at {} does not answer", self.dapr_url))?;
        if !answer.status().is_success() {
            let body = answer.body_mut().read_to_string().unwrap_or_default();
            bail!("the sidecar answered {}: {body}", answer.status());
        }
        Ok(())
    }
}
