//! Manifest, routes, headers, bodies, the life of an instance, dependencies, variables, logs.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use conformance::{Host, Kind, eventually, manifest, refusal};

#[test]
#[ignore = "needs components: cargo xtask test"]
fn a_manifest_is_refused_for_what_spin_refuses() {
    for (more, reason) in [
        ("sources = 'x'", "unknown field `sources`"),
        ("allowed_outbound_hosts = ['127.0.0.1:80']", "scheme"),
        ("variables = { Upper = '' }", "Upper"),
        ("[component.snake_case]\nsource = 'x'", "snake_case"),
        (
            "[[trigger.http]]\nroute = '/x'\ncomponent = 'nobody'",
            "no component \"nobody\"",
        ),
        ("[[trigger.http]]\nroute = '/x'", "exactly one of"),
        (
            "[[trigger.http]]\nroute = '/x'\ncomponent = 'front'\nstatic_response = {}",
            "exactly one of",
        ),
        (
            "[[trigger.http]]\nroute = '/x'\ncomponent = 'front'\nmethod = 'GET'",
            "unknown field `method`",
        ),
        ("[application.trigger.http]\nbase = '/api'", "base"),
    ] {
        let said = refusal(&manifest(more), &[]);
        // Each host has words of its own.
        if Kind::of_host() == Kind::Devhost {
            assert!(said.contains(reason), "{more}: {said}");
        }
    }
    // Whatever value is given: the defaults must be valid.
    let said = refusal(
        &manifest("allowed_outbound_hosts = ['http://{{ database_url }}']"),
        &["--variable", "database_url=127.0.0.1:80"],
    );
    assert!(said.contains("default"), "{said}");
    if Kind::of_host() != Kind::Devhost {
        return;
    }
    // What Spin serves, or says in other words.
    for (more, reason) in [
        (
            "allowed_outbound_hosts = ['{{ nobody }}']",
            "unknown variable \"nobody\"",
        ),
        ("key_value_stores = ['default']", "key_value_stores"),
    ] {
        let said = refusal(&manifest(more), &[]);
        assert!(said.contains(reason), "{more}: {said}");
    }
    let said = refusal(
        &manifest("").replace("devhost:greeter\"", "devhost:other\""),
        &[],
    );
    assert!(said.contains("matches no import"), "{said}");
    let said = refusal(
        &manifest("").replace("default = \"\"", "required = true"),
        &[],
    );
    assert!(said.contains("required variable(s) database_url"), "{said}");
    let said = refusal(
        &manifest("").replace("spin_manifest_version = 2", "spin_manifest_version = 3"),
        &[],
    );
    assert!(said.contains("must be 2"), "{said}");
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn routes_lead_where_they_should() {
    let host = Host::start("", &[]);
    for (path, status) in [
        ("/front/print", 200),
        ("/api/someone/print", 200),
        ("/api/events/headers", 200),
        ("/front", 404),
        ("/", 404),
        ("/private", 404),
        ("/.well-known/spin/health", 200),
        ("/.well-known/spin/other", 404),
    ] {
        assert_eq!(host.get(path).status, status, "{path}");
    }
    assert!(
        host.get("/api/events/headers")
            .body
            .contains(r#"["spin-matched-route","/api/events/headers"]"#)
    );
    assert!(
        host.get("/.well-known/spin/info")
            .body
            .contains("conformance")
    );
    let answer = host.raw_answer("DELETE /static HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 201") && answer.ends_with("fixed"),
        "{answer}"
    );
    assert!(answer.contains("x-kind: static\r\n"), "{answer}");
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn a_component_is_told_about_the_match_after_what_the_client_says() {
    let host = Host::start("", &[]);
    let answer = host.raw_answer(
        "GET /api/a%2Fb/headers?q=%20 HTTP/1.1\r\nHost: example.com:1\r\nConnection: close\r\n\
         Spin-Path-Match-User-Id: forged\r\nX-Own: 1\r\nX-Own: 2\r\n\r\n",
    );
    for pair in [
        r#"["spin-path-match-user-id","forged"],["spin-path-match-user-id","a%2Fb"]"#,
        r#"["x-own","1"],["x-own","2"]"#,
        r#"["spin-path-info","/headers"]"#,
        r#"["spin-full-url","http://example.com:1/api/a%2Fb/headers?q=%20"]"#,
        r#"["spin-matched-route","/api/:user_id/..."]"#,
        r#"["spin-component-route","/api/:user_id"]"#,
        r#"["spin-client-addr","127.0.0.1:"#,
        r#""authority":"example.com:1""#,
    ] {
        assert!(answer.contains(pair), "{pair} in {answer}");
    }
    // Neither the Host header nor what belongs to the connection reaches a component.
    assert!(
        !answer.contains(r#"["host""#) && !answer.contains(r#"["connection""#),
        "{answer}"
    );
    let answer = host.raw_answer("GET /front/headers HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(answer, "", "a request without Host gets no answer");
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn bodies_are_streams() {
    let host = Host::start("", &[]);
    let mut stream = host.raw(
        "POST /front/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
    );
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    // The first piece comes back before the second is sent.
    while !seen.contains("first") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{seen}");
        seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").unwrap();
    while !seen.ends_with("0\r\n\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{seen}");
        seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(seen.contains("second"), "{seen}");
    // The connection is kept, and no body is too large.
    let large = "x".repeat(3 << 20);
    write!(
        stream,
        "POST /front/echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        large.len()
    )
    .unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sent = std::thread::spawn(move || writer.write_all(large.as_bytes()));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    sent.join().unwrap().unwrap();
    assert!(answer.len() > 3 << 20, "{}", answer.len());
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn what_ends_badly_is_500() {
    let host = Host::start("", &[]);
    assert_eq!(host.get("/front/trap").status, 500);
    assert_eq!(host.get("/front/silent").status, 500);
    assert!(host.log("front_stderr.txt").contains("asked to trap"));
    // Too late for another status.
    assert_eq!(host.get("/front/trap-late").body, "begun");
    let head = b"GET /front/headers HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
    let utf8 = host.raw_answer([head, "X-Name: \u{e9}\r\n\r\n".as_bytes()].concat());
    assert!(utf8.starts_with("HTTP/1.1 200"), "{utf8}");
    let latin1 = host.raw_answer([head, &b"X-Name: \xe9\r\n\r\n"[..]].concat());
    assert!(latin1.starts_with("HTTP/1.1 500"), "{latin1}");
    assert_eq!(host.get("/front/print").status, 200, "it goes on serving");
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn an_instance_goes_on_after_its_answer() {
    let host = Host::start("", &[]);
    let start = Instant::now();
    assert_eq!(host.get("/front/after?kept").body, "answered");
    assert!(
        start.elapsed() < Duration::from_millis(290),
        "the answer waited for what comes after it"
    );
    let log = || host.log("front_stdout.txt");
    eventually("the instance goes on", || {
        log().contains("after the answer: kept")
    });
    let client = host.raw("GET /front/late?gone HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the instance begins", || log().contains("begun: gone"));
    drop(client);
    eventually("and ends without its client", || {
        log().contains("ended: gone")
    });
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn a_resource_dropped_before_its_child_traps() {
    let host = Host::start("", &[]);
    assert_eq!(host.get("/front/drop-child-first").status, 200);
    let status = host.get("/front/drop-parent-first").status;
    match Kind::of_host() {
        Kind::Devhost | Kind::Spin3 => assert_eq!(status, 500),
        Kind::Spin4 => assert_eq!(status, 200),
    }
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn sigterm_ends_the_host_at_once_and_cuts_off_what_runs() {
    let host = Host::start("", &[]);
    let log = host.log_path("front_stdout.txt");
    let mut client = host.raw("GET /front/late?cut HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the instance begins", || {
        std::fs::read_to_string(&log).is_ok_and(|printed| printed.contains("begun: cut"))
    });
    let folder = host.stop();
    let mut answer = Vec::new();
    // Closed or reset, but not answered.
    let _ = client.read_to_end(&mut answer);
    assert_eq!(answer, b"", "{}", String::from_utf8_lossy(&answer));
    let printed = std::fs::read_to_string(log).unwrap();
    assert!(!printed.contains("ended: cut"), "{printed}");
    drop(folder);
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn there_is_a_limit_to_instances() {
    let host = Host::start("", &[]);
    // 1000 for a plain component; one with a dependency takes the place of two.
    let request = "GET /front/hold?4000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let streams: Vec<_> = (0..520).map(|_| host.raw(request)).collect();
    let answers: Vec<String> = streams
        .into_iter()
        .map(|mut stream| {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
        .collect();
    let count = |status: &str| {
        answers
            .iter()
            .filter(|answer| answer.starts_with(status))
            .count()
    };
    let (served, refused) = (count("HTTP/1.1 200"), count("HTTP/1.1 500"));
    assert_eq!(served + refused, 520);
    // What is refused has tried, and held part of a place meanwhile, so that the last one may be nobody's.
    assert!((495..=500).contains(&served), "{served} served");
    assert_eq!(
        host.get("/front/print").status,
        200,
        "places are given back"
    );
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn a_component_sees_its_variables_and_environment() {
    let more = "variables = { both = 'a-{{ database_authority }}', literal = '{x}' }\nenvironment = { KEY = 'value' }";
    let host = Host::start(more, &["--variable", "database_authority=given:1"]);
    assert_eq!(host.get("/front/variable?both").body, "a-given:1");
    assert_eq!(host.get("/front/variable?literal").body, "{x}");
    assert!(
        host.get("/front/variable?database_authority")
            .body
            .contains("Undefined")
    );
    assert!(
        host.get("/front/variable?Not-A-Name")
            .body
            .contains("InvalidName")
    );
    assert_eq!(host.get("/front/environment").body, r#"[["KEY","value"]]"#);
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn a_dependency_is_joined_and_has_no_permissions() {
    let host = Host::start("environment = { KEY = 'value' }", &[]);
    assert_eq!(host.get("/front/greet?Ada").body, "Hello, Ada!");
    assert_eq!(host.log("front_stdout.txt"), "greeting Ada\n");
    // Spin 3 denies a dependency nothing of this; Spin 4 traps.
    let reached = match Kind::of_host() {
        Kind::Spin3 => 200,
        Kind::Devhost | Kind::Spin4 => 500,
    };
    assert_eq!(host.get("/front/greet-environment").status, reached);
    let called = host.get("/front/greet-call-out?127.0.0.1:1");
    assert_eq!(called.status, reached);
    let inheriting = "environment = { KEY = 'value' }\ndependencies_inherit_configuration = true";
    let host = Host::start(inheriting, &[]);
    assert_eq!(
        host.get("/front/greet-environment").body,
        r#"[("KEY", "value")]"#
    );
    assert_eq!(host.get("/front/greet-call-out?127.0.0.1:1").body, "true");
}

#[test]
#[ignore = "needs components: cargo xtask test"]
fn output_goes_to_files_per_component() {
    let host = Host::start("", &[]);
    host.get("/front/print?x");
    assert_eq!(host.log("front_stdout.txt"), "to stdout: x\n");
    assert_eq!(host.log("front_stderr.txt"), "to stderr: x\n");
    assert_eq!(host.log("private_stdout.txt"), "");
}
