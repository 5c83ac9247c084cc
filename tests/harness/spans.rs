//! The spans that a sidecar sends.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value;
use tiny_http::{Response, Server};

/// Takes spans as Zipkin does, for as long as the test runs.
pub struct Spans {
    address: String,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Spans {
    /// Listens on a free port.
    pub fn listen() -> Self {
        let server = match Server::http("127.0.0.1:0") {
            Ok(server) => server,
            Err(error) => panic!("cannot listen for spans: {error}"),
        };
        let spans = Self {
            address: format!("http://{}/api/v2/spans", server.server_addr()),
            received: Arc::default(),
        };
        let received = Arc::clone(&spans.received);
        thread::spawn(move || {
            for mut request in server.incoming_requests() {
                let batch: Vec<Value> =
                    serde_json::from_reader(request.as_reader()).unwrap_or_default();
                received
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(batch);
                // A sidecar that is killed does not wait for the answer.
                let _ = request.respond(Response::empty(202));
            }
        });
        spans
    }

    /// Where spans are to be sent.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The names of a trace's spans that were received so far, sorted.
    pub fn of(&self, trace: &str) -> Vec<String> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<String> = received
            .iter()
            .filter(|span| span["traceId"] == trace)
            .map(|span| span["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        names.sort_unstable();
        names
    }
}
