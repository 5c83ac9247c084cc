//! The pages for users and operators as files: how they are served. What they do is in `tests/browser`.

use std::time::Duration;

use e2e::shared_stack;
use e2e::test_user::TestUser;
use ureq::http::Response;

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Response<ureq::Body> {
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", shared_stack().api_url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .new_agent();
    match request.body(()).map_err(ureq::Error::from) {
        Ok(request) => match agent.run(request) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path}: {error}"),
        },
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

fn header<'a>(answer: &'a Response<ureq::Body>, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", "no-cache"),
    ("/operator", "text/html; charset=utf-8", "no-cache"),
    ("/app/page.css", "text/css; charset=utf-8", "no-cache"),
    (
        "/app/vendor/lit-html-3.3.3/lit-html.js",
        "text/javascript; charset=utf-8",
        "public, max-age=31536000, immutable",
    ),
];

#[test]
fn files_have_their_type_and_say_what_a_page_may_do() {
    for (path, content_type, caching) in FILES {
        for method in ["GET", "HEAD"] {
            let mut answer = request(method, path, &[]);
            assert_eq!(answer.status(), 200, "{method} {path}");
            assert_eq!(header(&answer, "content-type"), content_type, "{path}");
            assert_eq!(header(&answer, "cache-control"), caching, "{path}");
            assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
            assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
            let policy = header(&answer, "content-security-policy").to_owned();
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
            assert!(
                !policy.contains("unsafe") && !policy.contains("http"),
                "{policy}"
            );
            let length = header(&answer, "content-length").to_owned();
            let body = answer.body_mut().read_to_vec().unwrap_or_default();
            assert_eq!(body.is_empty(), method == "HEAD", "{method} {path}");
            if method == "GET" {
                assert_eq!(length, body.len().to_string(), "{path}");
            }
        }
    }
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    for (path, _, caching) in FILES {
        let first = request("GET", path, &[]);
        let tag = header(&first, "etag").to_owned();
        for known in [tag.clone(), format!("\"x\", {tag}"), "*".to_owned()] {
            let mut again = request("GET", path, &[("if-none-match", &known)]);
            assert_eq!(again.status(), 304, "{path} {known}");
            assert_eq!(header(&again, "etag"), tag);
            assert_eq!(header(&again, "cache-control"), caching);
            assert!(
                again
                    .body_mut()
                    .read_to_vec()
                    .unwrap_or_default()
                    .is_empty()
            );
        }
        assert_eq!(
            request("GET", path, &[("if-none-match", "\"x\"")]).status(),
            200
        );
    }
}

#[test]
fn files_are_compressed_for_those_who_take_it() {
    let path = "/app/vendor/lit-html-3.3.3/lit-html.js";
    let plain = request("GET", path, &[("accept-encoding", "identity")]);
    assert_eq!(header(&plain, "content-encoding"), "");
    let mut compressed = request("GET", path, &[("accept-encoding", "br, gzip")]);
    assert_eq!(header(&compressed, "content-encoding"), "gzip");
    assert_eq!(header(&compressed, "vary"), "accept-encoding");
    assert_eq!(header(&plain, "etag"), header(&compressed, "etag"));
    let body = compressed.body_mut().read_to_vec().unwrap_or_default();
    assert!(body.starts_with(&[0x1f, 0x8b]), "not gzip");
    assert!(body.len() * 3 < 2 * header(&plain, "content-length").parse().unwrap_or(0));
}

#[test]
fn files_are_only_read() {
    let todo = TestUser::random();
    for path in ["/", "/operator", "/app/page.css"] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let mut answer = request(method, path, &[("authorization", todo.token())]);
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(header(&answer, "allow"), "GET, HEAD");
            let body = answer.body_mut().read_to_string().unwrap_or_default();
            assert!(body.contains("urn:todo-events:problem:method-not-allowed"));
        }
    }
}
