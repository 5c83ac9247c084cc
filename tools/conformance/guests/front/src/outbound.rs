//! What tests ask of outbound HTTP.

use spin_sdk::http::{Method, Request, Response, send};
use wasi::http::outgoing_handler::handle;
use wasi::http::types::{Fields, OutgoingRequest, RequestOptions, Scheme};

/// `query` is `GET:URL` or `POST:URL`; the answer tells status and body, or the error.
pub async fn fetch(query: &str) -> String {
    let (method, url) = query.split_once(':').unwrap_or(("GET", query));
    let method = if method == "POST" {
        Method::Post
    } else {
        Method::Get
    };
    let request = Request::builder()
        .method(method)
        .uri(url)
        .body("sent by the guest")
        .build();
    match send::<_, Response>(request).await {
        Ok(response) => format!(
            "{} {}",
            response.status(),
            String::from_utf8_lossy(response.body())
        ),
        Err(error) => format!("error {error:?}"),
    }
}

/// `query` is `CONNECT,FIRST_BYTE,BETWEEN_BYTES,HOST:PORT`, the limits in milliseconds. The answer tells where it ended.
pub fn fetch_impatiently(query: &str) -> String {
    let parts: Vec<&str> = query.split(',').collect();
    let &[connect, first_byte, between_bytes, authority] = &parts[..] else {
        return "four parts are needed".to_owned();
    };
    let nanoseconds = |milliseconds: &str| {
        milliseconds
            .parse::<u64>()
            .ok()
            .map(|limit| limit * 1_000_000)
    };
    let options = RequestOptions::new();
    options
        .set_connect_timeout(nanoseconds(connect))
        .expect("supported");
    options
        .set_first_byte_timeout(nanoseconds(first_byte))
        .expect("supported");
    options
        .set_between_bytes_timeout(nanoseconds(between_bytes))
        .expect("supported");
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request
        .set_authority(Some(authority))
        .expect("an authority");
    request.set_path_with_query(Some("/")).expect("a path");
    let response = match handle(request, Some(options)) {
        Ok(response) => response,
        Err(error) => return format!("refused: {error:?}"),
    };
    response.subscribe().block();
    let response = match response.get().expect("ready").expect("first use") {
        Ok(response) => response,
        Err(error) => return format!("no answer: {error:?}"),
    };
    let body = response.consume().expect("first use");
    let stream = body.stream().expect("first use");
    let mut length = 0;
    loop {
        match stream.blocking_read(1024) {
            Ok(bytes) => length += bytes.len(),
            Err(wasi::io::streams::StreamError::Closed) => return format!("{length} bytes"),
            Err(error) => return format!("{length} bytes, then {error:?}"),
        }
    }
}
