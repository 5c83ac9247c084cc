//! Publishing a record as it was.

use percent_encoding::utf8_percent_encode;
use spin_sdk::http::Method;

use super::{ESCAPED, Sidecar, SidecarError};

impl Sidecar {
    /// The topics of the service, as this deployment calls them.
    pub fn topics(&self) -> [&str; 2] {
        [&self.tasks_topic, &self.reminders_topic]
    }

    /// Publishes bytes as they are, with a key. It may be at the broker even if this fails.
    ///
    /// # Errors
    ///
    /// When the broker is not known to have it.
    pub async fn publish_record(
        &self,
        topic: &str,
        key: Option<&str>,
        record: &[u8],
    ) -> Result<(), SidecarError> {
        let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let key = key.map_or_else(String::new, |key| {
            format!("&metadata.partitionKey={}", escaped(key))
        });
        let path = format!(
            "/v1.0/publish/{}/{}?metadata.rawPayload=true{key}",
            escaped(&self.pubsub),
            escaped(topic)
        );
        let headers = [("content-type", "application/octet-stream")];
        self.call(Method::Post, &path, &headers, record).await
    }
}
