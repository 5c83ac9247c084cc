//! The page for users, `/` and `/app/…`, and the page for operators, `/operator/…`: static files, which are part of the
//! component.
//!
//! It reaches nothing, neither the database nor a host: what the pages show, the browser asks the REST API for.

mod files;

use domain::entity_tag::listed_tags;
use platform::http::{Request, Response};
use platform::problem::Problem;
use spin_sdk::http::{IncomingRequest, Method, ResponseOutparam};
use spin_sdk::http_component;

use crate::files::File;

/// What a page may do: load what this origin has, and nothing else. No script or style stands in a page, text never
/// becomes a script, nobody frames a page, and no form is sent anywhere. The two policies of Trusted Types are those of
/// the library that renders, and of the page for the address of its service worker.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html service-worker";

/// With every file.
const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=()",
    ),
    ("vary", "accept-encoding"),
];

/// A folder of this name has a version in its name, so what is in it never changes.
const VENDORED: &str = "/app/vendor/";

/// The page that works while there is no network; it serves what is at the root too.
const SERVICE_WORKER: &str = "/app/service-worker.js";

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let request = Request::new(incoming);
    let response = answer(&request).unwrap_or_else(|problem| problem.response());
    response.send(out).await;
}

fn answer(request: &Request) -> Result<Response, Problem> {
    let file =
        File::at(request.path()).ok_or_else(|| Problem::not_found("There is no such route."))?;
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Err(Problem::method_not_allowed("GET, HEAD"));
    }
    let caching = if file.path.starts_with(VENDORED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = request.header("if-none-match").unwrap_or_default();
    let is_known = listed_tags(&known).any(|tag| tag == "*" || tag == file.tag);
    // The tag is a weak one: the same file is sent in two encodings.
    let mut response = Response::new(if is_known { 304 } else { 200 })
        .with_header("etag", format!("W/\"{}\"", file.tag))
        .with_header("cache-control", caching);
    for (name, value) in HEADERS {
        response = response.with_header(name, value);
    }
    if is_known {
        return Ok(response);
    }
    if file.path == SERVICE_WORKER {
        response = response.with_header("service-worker-allowed", "/");
    }
    response = response.with_header("content-type", file.content_type);
    let encodings = request.header("accept-encoding").unwrap_or_default();
    Ok(match file.gzip {
        Some(gzip) if files::accepts_gzip(&encodings) => response
            .with_header("content-encoding", "gzip")
            .with_body(gzip),
        _ => response.with_body(file.content),
    })
}
