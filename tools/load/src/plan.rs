//! The program's input, as JSON in a file.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The whole input.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Who sends. In the load their turns come round robin or by chance; in the probes each is one sample.
    pub users: Vec<User>,
    /// What they send.
    pub work: Work,
}

/// A user of the service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct User {
    /// Their id.
    pub name: String,
    /// What they send as bearer token.
    pub token: String,
}

/// A load or a probe.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Creates, for some seconds.
    Create {
        /// How many clients send at once.
        clients: usize,
        /// For how long.
        seconds: f64,
        /// Whether the tasks have a due date, so a reminder.
        due: bool,
    },
    /// A number of creates.
    Fill {
        /// As in [`Work::Create`].
        clients: usize,
        /// How many.
        count: u64,
        /// As in [`Work::Create`].
        due: bool,
        /// Whether the result has the ids, as [`Work::Mixed`] takes them.
        tell_ids: bool,
    },
    /// Half lists, 20 % creates, 15 % patches, 10 % completions, 5 % deletes.
    Mixed {
        /// As in [`Work::Create`].
        clients: usize,
        /// As in [`Work::Create`].
        seconds: f64,
        /// What the order of requests is drawn from.
        seed: u64,
        /// Tasks that there are already.
        preloaded: Vec<TaskOf>,
    },
    /// From sending a completion until a list shows the next instance.
    NextInstance,
    /// From sending a create until its event can be read from the topic.
    Event {
        /// The broker's address.
        kafka: String,
        /// The topic.
        topic: String,
    },
}

/// A user's place in the plan, and the id of a task of theirs.
pub type TaskOf = (usize, String);
