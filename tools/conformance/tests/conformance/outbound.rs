//! Outbound HTTP, and calls between components.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use conformance::Host;

/// A server that gives each connection `answer`, then keeps it open.
fn upstream(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            thread::spawn(move || {
                let mut stream = stream;
                let mut request = [0; 4096];
                while stream.read(&mut request).unwrap_or(0) > 0 {
                    stream.write_all(answer).unwrap();
                }
            });
        }
    });
    address
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn only_allowed_hosts_are_called() {
    let allowed = upstream(b"HTTP/1.1 203 OK\r\nContent-Length: 4\r\n\r\nbody");
    let other = upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let hosts = format!("allowed_outbound_hosts = ['http://{allowed}', 'http://127.0.0.1:1']");
    let host = Host::start(&hosts, &[]);
    let fetch = |url: &str| host.get(&format!("/front/fetch?POST:{url}")).body;
    assert_eq!(fetch(&format!("http://{allowed}/x")), "203 body");
    let by_name = allowed.replace("127.0.0.1", "localhost");
    for refused in [
        format!("http://{other}/"),
        format!("http://{by_name}/"),
        format!("https://{allowed}/"),
    ] {
        assert!(
            fetch(&refused).contains("HttpRequestDenied"),
            "{refused}: {}",
            fetch(&refused)
        );
    }
    assert!(
        fetch("http://127.0.0.1:1/").contains("ConnectionRefused"),
        "{}",
        fetch("http://127.0.0.1:1/")
    );
    assert!(fetch("http://self.alt/front/print").contains("HttpRequestDenied"));
    assert!(fetch("http://private.spin.internal/print").contains("HttpRequestDenied"));
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn an_allowed_host_may_be_a_variable() {
    let allowed = upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    // The default value of a variable must make a valid entry too: Spin checks both.
    let hosts = "allowed_outbound_hosts = ['http://{{ database_authority }}']";
    let host = Host::start(
        hosts,
        &["--variable", &format!("database_authority={allowed}")],
    );
    assert_eq!(
        host.get(&format!("/front/fetch?GET:http://{allowed}/"))
            .body,
        "200 ok"
    );
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn components_call_each_other_in_process() {
    let host = Host::start(
        "allowed_outbound_hosts = ['http://*.spin.internal', 'http://self']",
        &[],
    );
    let answer = host
        .get("/front/fetch?GET:http://private.spin.internal/x/headers")
        .body;
    for part in [
        "200 ",
        r#"["spin-path-info","/x/headers"]"#,
        r#"["spin-client-addr","0.0.0.0:0"]"#,
        r#""authority":"private.spin.internal""#,
    ] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    assert_eq!(
        host.get("/front/fetch?POST:http://private.spin.internal/echo")
            .body,
        "200 sent by the guest"
    );
    assert_eq!(
        host.get("/front/fetch?GET:http://self.alt/static").body,
        "201 fixed"
    );
    // From outside the name means nothing.
    let answer = host.raw_answer(
        "GET /headers HTTP/1.1\r\nHost: private.spin.internal\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn time_outs_are_kept() {
    let silent = upstream(b"");
    let stalling = upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst");
    let hosts = format!(
        "allowed_outbound_hosts = ['http://{silent}', 'http://{stalling}', 'http://192.0.2.1:9']"
    );
    let host = Host::start(&hosts, &[]);
    let fetch = |limits: &str, address: &str| {
        let start = std::time::Instant::now();
        let answer = host
            .get(&format!("/front/fetch-impatiently?{limits},{address}"))
            .body;
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{limits} {address}: {answer}"
        );
        answer
    };
    assert!(
        fetch("200,5000,5000", "192.0.2.1:9").starts_with("no answer"),
        "nobody is there"
    );
    assert_eq!(
        fetch("5000,200,5000", &silent),
        "no answer: ErrorCode::ConnectionReadTimeout"
    );
    let answer = fetch("5000,5000,200", &stalling);
    assert!(answer.starts_with("5 bytes, then"), "{answer}");
}
