//! What the small broker does wrong when a test asks for it.

use std::time::Duration;

use anyhow::{Result, bail};

use super::Stack;
use crate::net;

impl Stack {
    /// Lets the small broker refuse what is written to a partition, as where too few of its replicas are in sync.
    ///
    /// # Errors
    /// When there is no such partition, or the broker is another one.
    pub fn refuse_writes(&self, topic: &str, partition: i32) -> Result<()> {
        let answer = net::client(Duration::from_secs(5))
            .put(self.refusal(topic, partition))
            .send_empty()?;
        if !answer.status().is_success() {
            bail!("the broker answered {}", answer.status());
        }
        Ok(())
    }

    /// Ends what [`Stack::refuse_writes`] began.
    ///
    /// # Errors
    /// When the broker is not the small one.
    pub fn accept_writes(&self, topic: &str, partition: i32) -> Result<()> {
        let answer = net::client(Duration::from_secs(5))
            .delete(self.refusal(topic, partition))
            .call()?;
        if !answer.status().is_success() {
            bail!("the broker answered {}", answer.status());
        }
        Ok(())
    }

    fn refusal(&self, topic: &str, partition: i32) -> String {
        let port = self.ports.broker_faults;
        format!("http://127.0.0.1:{port}/refused/{topic}/{partition}")
    }
}
