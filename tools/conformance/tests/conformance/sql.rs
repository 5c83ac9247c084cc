//! `spin:postgres@4.0.0`.

use std::thread;

use conformance::{Host, Kind};

#[test]
#[ignore = "needs components and a database: cargo xtask test"]
fn values_of_all_kinds_go_both_ways() {
    let answer = Host::with_database("").get("/front/sql-types");
    assert!(answer.body.ends_with(" kinds"), "{}", answer.body);
}

#[test]
#[ignore = "needs components and a database: cargo xtask test"]
fn errors_tell_what_the_database_said() {
    let host = Host::with_database("");
    let sql = |statement: &str| {
        host.get(&format!("/front/sql?{}", statement.replace(' ', "+")))
            .body
    };
    assert_eq!(sql("SELECT 7"), "[[DbValue::Int32(7)]]");
    assert_eq!(sql("execute:SELECT 1"), "1");
    assert!(
        sql("SELECT 1/0").starts_with("ERROR 22012"),
        "{}",
        sql("SELECT 1/0")
    );
    assert!(sql("nonsense").starts_with("ERROR 42601"));
    let raise = "execute:DO $$ BEGIN RAISE SQLSTATE 'TD001' USING CONSTRAINT = 'rule', HINT = 'try'; END $$";
    assert!(
        sql(raise).starts_with(r#"ERROR TD001 [("constraint", "rule"), "#),
        "{}",
        sql(raise)
    );
    // What goes wrong after a statement has begun to run is told as text, without its code.
    let running = sql("SELECT 1/x FROM generate_series(0, 0) AS x");
    assert!(
        running.contains("QueryFailed(QueryError::Text") && running.contains("division by zero"),
        "{running}"
    );
    // Whatever the database refuses, the connection stays usable.
    assert_eq!(sql("SELECT 8"), "[[DbValue::Int32(8)]]");
}

#[test]
#[ignore = "needs components and a database: cargo xtask test"]
fn only_allowed_addresses_are_opened() {
    let host = Host::with_database("");
    let open = |address: &str| host.get(&format!("/front/sql?open:{address}")).body;
    assert!(open("postgres://u@127.0.0.1:1/d").contains("is not permitted"));
    assert!(open("postgres://u@localhost:5432/d").contains("is not permitted"));
    assert!(open("host=/var/run/postgresql").contains("Unix sockets are not supported"));
    assert!(open("nonsense").contains("ConnectionFailed"));
}

#[test]
#[ignore = "needs components and a database: cargo xtask test"]
fn connections_are_kept_and_at_most_64() {
    let host = Host::with_database("");
    let used: Vec<String> = (0..3).map(|_| host.get("/front/sql-hold?0").body).collect();
    assert!(
        used.iter().all(|process| *process == used[0]),
        "one after another share a connection: {used:?}"
    );
    let mut together: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..80)
            .map(|_| scope.spawn(|| host.get("/front/sql-hold?300").body))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(
        together
            .iter()
            .all(|answer| answer.starts_with("[[DbValue::Int32(")),
        "{together:?}"
    );
    together.sort();
    together.dedup();
    assert!(together.len() <= 64, "{} connections", together.len());
}

#[test]
#[ignore = "needs components and a database: cargo xtask test"]
fn what_a_statement_leaves_open_leaks_into_the_next() {
    // As in Spin: nobody rolls back. A service sends no BEGIN.
    let host = Host::with_database("");
    let sql = |statement: &str| {
        host.get(&format!("/front/sql?{}", statement.replace(' ', "+")))
            .body
    };
    assert_eq!(sql("execute:BEGIN"), "0");
    assert_eq!(
        sql("SELECT now() = statement_timestamp()"),
        "[[DbValue::Boolean(false)]]"
    );
}

#[test]
#[ignore = "needs components and a database: cargo xtask test"]
fn a_query_without_rows_is_not_to_be_relied_on() {
    let host = Host::with_database("");
    let path = "/front/sql?SELECT+7+WHERE+false";
    match Kind::of_host() {
        Kind::Devhost => {
            let answer = host.get(path).body;
            assert!(answer.contains("a query without rows"), "{answer}");
        }
        Kind::Spin3 => assert_eq!(host.get(path).body, "[]"),
        // It waits for ever.
        Kind::Spin4 => host.stays_silent(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")),
    }
}

#[test]
#[ignore = "needs components and a database: cargo xtask test"]
fn each_address_has_connections_of_its_own() {
    let host = Host::with_database("");
    let pids = host.get("/front/sql-two-pools").body;
    let (one, other) = pids.split_once(' ').unwrap();
    assert!(
        one.starts_with("[[DbValue::Int32(") && one != other,
        "{pids}"
    );
    let again = host.get("/front/sql-two-pools").body;
    assert_eq!(again, pids, "both are kept");
}
