//! What the service answered.

use std::fmt;

use serde_json::Value;

/// A response of any status.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// Header fields in the order sent, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// The id of the trace that the request belonged to, by which [`crate::logs`] finds its line; empty for requests
    /// that were sent without one.
    pub trace: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {:?} {}",
            self.status,
            self.headers,
            String::from_utf8_lossy(&self.body)
        )
    }
}

impl Answer {
    /// The value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("not JSON ({error}): {self:?}"),
        }
    }

    /// Requires a status.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Requires a task with this status, its entity tag included; returns the task.
    pub fn task(self, status: u16) -> Value {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let task = answer.json();
        let tag = format!("\"{}\"", task["version"]);
        assert_eq!(answer.header("etag"), Some(tag.as_str()), "{answer:?}");
        task
    }

    /// Requires problem details (RFC 9457) of this status and type; returns them.
    pub fn problem(self, status: u16, code: &str) -> Value {
        let answer = self.expect(status);
        let content_type = answer.header("content-type");
        assert_eq!(content_type, Some("application/problem+json"), "{answer:?}");
        let problem = answer.json();
        let expected = format!("urn:todo-events:problem:{code}");
        assert_eq!(problem["type"], expected.as_str(), "{answer:?}");
        assert_eq!(problem["status"], status, "{answer:?}");
        for member in ["title", "detail"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "no {member}: {answer:?}");
        }
        assert_eq!(
            problem.get("errors").is_some(),
            code == "invalid",
            "{answer:?}"
        );
        problem
    }

    /// Requires a 422 and returns the place of each mistake: JSON pointers, parameters or header names.
    pub fn violations(self) -> Vec<String> {
        let problem = self.problem(422, "invalid");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let place = |error: &Value| {
            let detail = error["detail"].as_str().unwrap_or_default();
            assert!(!detail.is_empty(), "{problem}");
            let place = ["pointer", "parameter", "header"]
                .iter()
                .find_map(|kind| error[*kind].as_str());
            match place {
                Some(place) => place.to_owned(),
                None => panic!("a mistake without a place: {problem}"),
            }
        };
        errors.iter().map(place).collect()
    }
}
