//! Requests that arrive and the responses to them.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use percent_encoding::percent_decode_str;
use spin_executor::{CancelOnDropToken, push_waker_and_get_token};
use spin_sdk::http::{Fields, IncomingRequest, Method, OutgoingResponse, ResponseOutparam};

use wasi::clocks::monotonic_clock;

use crate::problem::Problem;
use crate::trace_context::traceparent;

/// The largest body of a client or of an event, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;

/// How long a body may take to arrive. The host sets no limit, and a slow body holds one of its limited places for
/// requests.
pub const BODY_TIME: Duration = Duration::from_secs(10);

/// How long a client may take to receive its answer.
pub(crate) const SEND_TIME: Duration = Duration::from_secs(10);

/// A request whose body is not yet read.
pub struct Request {
    // Declared before `incoming`, which owns it: Rust drops fields in the order of their declaration, and a WASI
    // resource that is dropped before its child traps.
    headers: Fields,
    incoming: IncomingRequest,
    method: Method,
    path: String,
    query: String,
}

impl Request {
    /// Wraps the request that the host passes in.
    pub fn new(incoming: IncomingRequest) -> Self {
        let target = incoming.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        Self {
            method: incoming.method(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: incoming.headers(),
            incoming,
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path as sent, percent-encoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as sent, percent-encoded, without the `?`; empty where there is none.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The path's segments, percent-decoded. Routes come from here, never from `spin-path-match-*` headers, which a
    /// client can send too.
    ///
    /// # Errors
    ///
    /// 400 when a segment is not UTF-8 or contains NUL.
    pub fn path_segments(&self) -> Result<Vec<String>, Problem> {
        let decode = |segment: &str| {
            let decoded = percent_decode_str(segment).decode_utf8().ok()?;
            (!decoded.contains('\0')).then(|| decoded.into_owned())
        };
        let segments = self.path.trim_start_matches('/').split('/').map(decode);
        segments
            .collect::<Option<_>>()
            .ok_or_else(|| Problem::bad_request("The path must be UTF-8 without NUL."))
    }

    /// The value of a header field, if it was sent exactly once and is ASCII.
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.get(name);
        match values.as_slice() {
            [value] if value.is_ascii() => String::from_utf8(value.clone()).ok(),
            _ => None,
        }
    }

    /// Whether the header field was sent, in whatever form.
    pub fn has_header(&self, name: &str) -> bool {
        self.headers.has(name)
    }

    /// The trace that the request belongs to: its `traceparent` header, if well formed.
    pub fn traceparent(&self) -> Option<String> {
        let value = self.header("traceparent")?;
        traceparent(&value).map(str::to_owned)
    }

    /// Reads the body as a stream, up to `limit` bytes and for up to [`BODY_TIME`].
    ///
    /// # Errors
    ///
    /// 413 as soon as more arrives or is announced, 408 when the time is over, 400 when the client breaks off.
    pub async fn body(self, limit: usize) -> Result<Vec<u8>, Problem> {
        let deadline = Instant::now() + BODY_TIME;
        let too_large = || Problem::content_too_large(limit);
        let announced = self
            .header("content-length")
            .and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        drop(self.headers);
        let mut body = Vec::new();
        let mut stream = Box::pin(self.incoming.into_body_stream());
        loop {
            match within(deadline, stream.try_next()).await {
                None => return Err(Problem::request_timeout(BODY_TIME)),
                Some(Ok(Some(chunk))) => body.extend(chunk),
                Some(Ok(None)) => return Ok(body),
                Some(Err(_)) => return Err(Problem::bad_request("The body ended early.")),
            }
            if body.len() > limit {
                return Err(too_large());
            }
        }
    }
}

/// The output of a future, if it is ready before `deadline`.
pub(crate) async fn within<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer = None;
    let outcome = poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Poll::Ready(None);
        }
        let nanoseconds = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        let clock = monotonic_clock::subscribe_duration(nanoseconds);
        let token = push_waker_and_get_token(clock, context.waker().clone());
        timer = Some(CancelOnDropToken::from(token));
        Poll::Pending
    })
    .await;
    drop(timer);
    outcome
}

/// Waits. Other instances go on meanwhile.
pub async fn pause(time: Duration) {
    within(Instant::now() + time, pending::<()>()).await;
}

/// The name of a method, for logs.
pub fn method_name(method: &Method) -> String {
    method.to_string()
}

/// A response with its whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// An empty response.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A response of JSON text.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status)
            .with_header("content-type", "application/json")
            .with_body(body)
    }

    /// Adds a header field.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields, but for the body's length.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Sends the response. When this returns, the client has the response, or is gone, or has not received it within 10
    /// s. The caller may go on working.
    pub async fn send(self, out: ResponseOutparam) {
        let length = (
            "content-length".to_owned(),
            self.body.len().to_string().into_bytes(),
        );
        // RFC 9110 section 8.6: a 204 carries no length, a 304 none but that of the 200 in its place.
        let length = (![204, 304].contains(&self.status)).then_some(length);
        let headers: Vec<_> = self
            .headers
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .chain(length)
            .collect();
        // A header that the host refuses must not cost the client its answer.
        let fields = Fields::from_list(&headers).unwrap_or_else(|_| Fields::new());
        let response = OutgoingResponse::new(fields);
        let _ = response.set_status_code(self.status);
        let sending = out.set_with_body(response, self.body);
        // An error means that the client is gone.
        let _ = within(Instant::now() + SEND_TIME, sending).await;
    }
}
