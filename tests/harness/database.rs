//! The service's database, seen from outside.

use postgres::{Client, NoTls};
use serde_json::Value;
use stack::endpoints::Endpoints;

/// A connection of the test's own.
pub struct Database {
    client: Client,
}

impl Database {
    /// Connects to the database of a stack.
    pub fn of(stack: &Endpoints) -> Self {
        // The service's time limits are not meant for tests.
        let unlimited = "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0";
        let connected = Client::connect(&stack.database_url, NoTls)
            .and_then(|mut client| client.batch_execute(unlimited).map(|()| client));
        match connected {
            Ok(client) => Self { client },
            Err(error) => panic!("cannot connect to the database: {error}"),
        }
    }

    /// The connection, for statements that have no method here.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The value of an expression, such as a query with one row and one column, as JSON; null when it has no row.
    pub fn json(&mut self, expression: &str, parameters: &[&str]) -> Value {
        let statement = format!("SELECT to_jsonb(({expression}))::text");
        let parameters: Vec<&(dyn postgres::types::ToSql + Sync)> = parameters
            .iter()
            .map(|parameter| parameter as &(dyn postgres::types::ToSql + Sync))
            .collect();
        let text: Option<String> = match self.client.query_one(&statement, &parameters) {
            Ok(row) => row.get(0),
            Err(error) => panic!("{error:?}: {statement}"),
        };
        match serde_json::from_str(text.as_deref().unwrap_or("null")) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {text:?}"),
        }
    }

    /// What is stored for a user, as far as requests change it: two snapshots are equal if nothing changed. It leaves
    /// out what changes later by itself: how far events are published, and everything that follows from reminders.
    pub fn rows_of(&mut self, user: &str) -> Value {
        self.json(
            "SELECT jsonb_build_object(
                'tasks', (SELECT jsonb_agg(to_jsonb(task) ORDER BY id) FROM tasks AS task WHERE user_id = $1),
                'events', (
                    SELECT jsonb_agg(to_jsonb(event) ORDER BY sequence)
                    FROM events AS event
                    WHERE user_id = $1 AND topic = 'tasks'
                ),
                'lost_numbers', (SELECT head FROM lanes WHERE user_id = $1)
                    - (SELECT count(*) FROM events WHERE user_id = $1),
                'notifications', (
                    SELECT jsonb_agg(to_jsonb(notification) ORDER BY id)
                    FROM notifications AS notification
                    WHERE user_id = $1
                ),
                'keys', (SELECT jsonb_agg(to_jsonb(taken) ORDER BY key) FROM idempotency_keys AS taken WHERE user_id = $1)
            )",
            &[user],
        )
    }

    /// The task events appended for a user as CloudEvents, in the order of their numbers.
    pub fn events_of(&mut self, user: &str) -> Vec<Value> {
        let events = self.json(
            "SELECT coalesce(jsonb_agg(cloud_event(event) ORDER BY sequence), '[]')
            FROM events AS event WHERE user_id = $1 AND topic = 'tasks'",
            &[user],
        );
        events.as_array().cloned().unwrap_or_default()
    }

    /// How many of a user's events are appended, and how many of them are at the broker.
    pub fn lane_of(&mut self, user: &str) -> (i64, i64) {
        let lane = self.json(
            "SELECT jsonb_build_array(head, published) FROM lanes WHERE user_id = $1",
            &[user],
        );
        let number = |index: usize| lane[index].as_i64().unwrap_or_default();
        (number(0), number(1))
    }
}
