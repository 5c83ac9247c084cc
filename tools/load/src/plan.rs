//! What the program is asked to do. `tools/bench/src/bench/generator.rs` writes it.

use std::net::SocketAddr;

use serde::Deserialize;

/// The whole input.
#[derive(Debug, Deserialize)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    /// Who sends. In the load their turns come round robin or by chance; in the probes each is one sample.
    pub(crate) users: Vec<User>,
    pub(crate) work: Work,
}

#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) token: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// Creates, for some seconds.
    Create {
        clients: usize,
        seconds: f64,
        due: bool,
    },
    /// A number of creates; `tell_ids` gives the ids, as [`Work::Mixed`] takes them.
    Fill {
        clients: usize,
        count: u64,
        due: bool,
        tell_ids: bool,
    },
    /// Half lists, 20 % creates, 15 % patches, 10 % completions, 5 % deletes.
    Mixed {
        clients: usize,
        seconds: f64,
        seed: u64,
        preloaded: Vec<TaskOf>,
    },
    /// From sending a completion until a list shows the next instance.
    NextInstance,
    /// From sending a create until its event can be read from the topic.
    Event { kafka: String, topic: String },
}

/// A user's place in the plan, and the id of a task of theirs.
pub(crate) type TaskOf = (usize, String);
