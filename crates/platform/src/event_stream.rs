//! A response whose body is written bit by bit: server-sent events.

use std::time::Instant;

use domain::change_feed::EVENT_STREAM;
use futures::{Sink, SinkExt};
use spin_sdk::http::{Fields, OutgoingResponse, ResponseOutparam};

use crate::http::{SEND_TIME, within};

/// The header fields of a stream. They tell proxies not to store it, and to pass on each part at once.
pub const HEADERS: [(&str, &str); 3] = [
    ("content-type", EVENT_STREAM),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),
];

/// The body of a stream. Its end is the end of the response.
pub struct EventStream<S> {
    body: S,
}

/// Begins the response.
pub fn begin(out: ResponseOutparam) -> EventStream<impl Sink<Vec<u8>> + Unpin> {
    let headers = HEADERS.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let fields = Fields::from_list(&headers).unwrap_or_else(|_| Fields::new());
    let response = OutgoingResponse::new(fields);
    let body = Box::pin(response.take_body());
    out.set(response);
    EventStream { body }
}

impl<S: Sink<Vec<u8>> + Unpin> EventStream<S> {
    /// Sends text. Returns false if the client is gone or has not read the text before this one within 10 s: a client
    /// that does not read must not occupy the host.
    pub async fn send(&mut self, text: String) -> bool {
        let sending = self.body.send(text.into_bytes());
        matches!(
            within(Instant::now() + SEND_TIME, sending).await,
            Some(Ok(()))
        )
    }
}
