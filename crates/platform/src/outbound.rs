//! Outgoing requests, with time limits.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures::{SinkExt, TryStreamExt};
use spin_executor::{CancelOnDropToken, push_waker_and_get_token};
use spin_sdk::http::{IncomingResponse, OutgoingRequest};
use spin_sdk::wit::wasi::http0_2_0::outgoing_handler;
use spin_sdk::wit::wasi::http0_2_0::types::RequestOptions;

/// How long an answer may take to begin, and how long it may pause: shorter than the leases of lanes and publishers.
const ANSWER_TIME: Duration = Duration::from_millis(1500);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends a request and waits for the answer to begin.
///
/// # Errors
///
/// When no answer begins, with the reason.
pub(crate) async fn send(
    request: OutgoingRequest,
    body: &[u8],
) -> Result<IncomingResponse, String> {
    let failed = |what: &str| what.to_owned();
    let options = RequestOptions::new();
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).ok();
    options
        .set_connect_timeout(nanoseconds(CONNECT_TIMEOUT))
        .and_then(|()| options.set_first_byte_timeout(nanoseconds(ANSWER_TIME)))
        .and_then(|()| options.set_between_bytes_timeout(nanoseconds(ANSWER_TIME)))
        .map_err(|()| failed("this host does not support time-outs"))?;
    let mut sink = request.take_body();
    let future =
        outgoing_handler::handle(request, Some(options)).map_err(|error| error.to_string())?;
    sink.send(body.to_vec())
        .await
        .map_err(|_| failed("the request could not be sent"))?;
    drop(sink);
    let mut registration = None;
    poll_fn(|context| match future.get() {
        Some(response) => Poll::Ready(response),
        None => {
            let token = push_waker_and_get_token(future.subscribe(), context.waker().clone());
            registration = Some(CancelOnDropToken::from(token));
            Poll::Pending
        }
    })
    .await
    .map_err(|()| failed("the response was taken already"))?
    .map_err(|error| error.to_string())
}

/// Reads a body up to its end or to `limit` bytes. Returns less if it breaks off.
pub(crate) async fn body(response: IncomingResponse, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let mut stream = Box::pin(response.take_body_stream());
    while let Ok(Some(chunk)) = stream.try_next().await {
        body.extend(chunk);
        if body.len() > limit {
            break;
        }
    }
    body
}
