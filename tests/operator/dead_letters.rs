//! Dead letters over the API.

use std::collections::BTreeSet;

use e2e::events::records_of;
use e2e::flow::{publish, wait_until_settled};
use e2e::replica::Replica;
use e2e::shared_stack;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;
use uuid::Uuid;

use crate::support::{act, given_up, path, read, recorded, topic};

/// All open dead letters, over pages of that size.
fn open(operator: &TestUser, limit: u32) -> Vec<Value> {
    let mut letters = Vec::new();
    let mut target = path(&format!("dead-letters?limit={limit}"));
    loop {
        let answer = operator.call("GET", target).send().expect(200);
        let page = answer.json().as_array().cloned().unwrap_or_default();
        assert!(page.len() <= limit as usize, "{}", page.len());
        letters.extend(page);
        match answer.header("link") {
            Some(link) => {
                let next = link.trim_start_matches('<');
                target = next.split('>').next().unwrap_or_default().to_owned();
            }
            None => return letters,
        }
    }
}

fn with_id<'a>(letters: &'a [Value], id: &str) -> Option<&'a Value> {
    letters.iter().find(|letter| letter["id"] == id)
}

#[test]
fn a_letter_is_seen_replayed_and_discarded_when_it_comes_back() {
    let todo = TestUser::random();
    let operator = TestUser::operator_on(shared_stack());
    todo.created_with(json!({"title": "t", "due_date": "2100-01-01T09:00:00Z"}));
    let mut event = wait_until_settled(&todo, Limit::DELIVERY).remove(0);
    event["id"] = json!(Uuid::now_v7());
    event["data"]["due_date"] = json!("soon");
    publish(&todo, TASKS_TOPIC, &event);
    let mine = |status: &str, but: &str| {
        until("the dead letter", Limit::DELIVERY, || {
            let letters = match status {
                "open" => open(&operator, 200),
                _ => read(&operator, "dead-letters?status=resolved&limit=200")
                    .expect(200)
                    .json()
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
            };
            let found = letters
                .iter()
                .find(|letter| letter["event_id"] == event["id"] && letter["id"] != but);
            found
                .cloned()
                .ok_or_else(|| format!("{} letters", letters.len()))
        })
    };
    let letter = mine("open", "");
    let id = string_member(&letter, "id");
    assert_eq!(letter["user_id"], todo.user());
    assert_eq!(letter["event_type"], "task.created");
    assert_eq!(letter["topic"], TASKS_TOPIC);
    assert_eq!(letter["deliveries"], 1);
    assert_eq!(
        (&letter["encoding"], &letter["is_cut"]),
        (&json!("utf-8"), &json!(false))
    );
    let payload: Value =
        serde_json::from_str(string_member(&letter, "payload")).unwrap_or_default();
    assert_eq!(payload["data"], event["data"]);
    assert_eq!(
        read(&operator, &format!("dead-letters/{id}"))
            .expect(200)
            .json(),
        letter
    );

    // Whoever does not say what it is about, does nothing.
    let (replay, discard) = (
        format!("dead-letters/{id}/replay"),
        format!("dead-letters/{id}/discard"),
    );
    for target in [&replay, &discard] {
        for body in [
            json!({}),
            json!({"confirm": Uuid::now_v7()}),
            json!({"confirm": true}),
        ] {
            assert_eq!(act(&operator, target, &body).violations(), ["/confirm"]);
        }
    }
    let records = || records_of(todo.stack(), TASKS_TOPIC, todo.user());
    let before = records();
    let confirmed = json!({"confirm": id});
    let replayed = act(&operator, &replay, &confirmed).expect(200).json();
    assert_eq!(replayed["status"], "replayed");
    assert!(replayed["resolved_at"].is_string(), "{replayed}");
    let after = records();
    assert_eq!(after.len(), before.len() + 1);
    let (first, again) = (&before[before.len() - 1], &after[after.len() - 1]);
    assert_eq!((&first.value, &first.key), (&again.value, &again.key));
    assert_eq!(first.partition, again.partition);

    // Asked twice it is not published twice, and what was replayed is not discarded.
    let unchanged = act(&operator, &replay, &confirmed).expect(200).json();
    assert_eq!(unchanged, replayed);
    assert_eq!(records().len(), after.len());
    act(&operator, &discard, &confirmed).problem(409, "letter-resolved");

    // Nothing was mended, so it comes back as another letter.
    let back = mine("open", id);
    let back_id = string_member(&back, "id");
    let confirmed = json!({"confirm": back_id});
    let discard = format!("dead-letters/{back_id}/discard");
    let discarded = act(&operator, &discard, &confirmed).expect(200).json();
    assert_eq!(discarded["status"], "discarded");
    assert_eq!(
        act(&operator, &discard, &confirmed).expect(200).json(),
        discarded
    );
    act(
        &operator,
        &format!("dead-letters/{back_id}/replay"),
        &confirmed,
    )
    .problem(409, "letter-resolved");
    assert!(with_id(&open(&operator, 200), back_id).is_none());
    assert_eq!(mine("resolved", "")["id"], back_id, "the latest first");

    let said = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(action, outcome)| ((*action).to_owned(), (*outcome).to_owned()))
            .collect()
    };
    assert_eq!(
        recorded(&operator, id, 3),
        said(&[
            ("replay_dead_letter", "replayed"),
            ("replay_dead_letter", "unchanged"),
            ("discard_dead_letter", "refused"),
        ])
    );
    assert_eq!(
        recorded(&operator, back_id, 3),
        said(&[
            ("discard_dead_letter", "discarded"),
            ("discard_dead_letter", "unchanged"),
            ("replay_dead_letter", "refused"),
        ])
    );
}

#[test]
fn a_letter_of_another_topic_goes_only_to_a_topic_of_the_service() {
    let todo = TestUser::random();
    let operator = TestUser::operator_on(shared_stack());
    let body = format!("no json of {}", todo.user());
    let id = given_up(&todo, &topic(), 7, body.as_bytes());
    let replay = format!("dead-letters/{id}/replay");
    let problem = act(&operator, &replay, &json!({"confirm": id})).problem(409, "topic-unknown");
    assert!(
        problem["detail"].to_string().contains("tasks or reminders"),
        "{problem}"
    );
    for topic in [json!("tasks-dlq"), json!("another"), json!(7)] {
        let body = json!({"confirm": id, "topic": topic});
        assert_eq!(act(&operator, &replay, &body).violations(), ["/topic"]);
    }
    let body = json!({"confirm": id, "topic": TASKS_TOPIC});
    let replayed = act(&operator, &replay, &body).expect(200).json();
    assert_eq!(replayed["status"], "replayed");
}

#[test]
fn any_bytes_are_shown_and_no_more_than_fit() {
    let todo = TestUser::random();
    let operator = TestUser::operator_on(shared_stack());
    let topic = topic();
    let large = "ü".repeat(500_000);
    let bodies: [(&[u8], &str, usize); 4] = [
        (b"\0\xff\xfe", "base64", 4),
        (b"<script>alert(1)</script>", "utf-8", 25),
        (b"", "utf-8", 0),
        (large.as_bytes(), "utf-8", 65_536),
    ];
    for (offset, (body, encoding, length)) in (0..).zip(bodies) {
        let id = given_up(&todo, &topic, offset, body);
        let letter = read(&operator, &format!("dead-letters/{id}"))
            .expect(200)
            .json();
        assert_eq!(letter["encoding"], encoding, "{offset}");
        assert_eq!(letter["bytes"], body.len());
        assert_eq!(letter["is_cut"], body.len() > length, "{offset}");
        assert_eq!(string_member(&letter, "payload").len(), length, "{offset}");
        let listed = open(&operator, 200);
        let listed = with_id(&listed, &id).cloned().unwrap_or_default();
        assert_eq!(
            string_member(&listed, "payload").len(),
            length.min(2_000),
            "{offset}"
        );
    }
    let id = given_up(&todo, &topic, 100, b"to be discarded");
    act(
        &operator,
        &format!("dead-letters/{id}/discard"),
        &json!({"confirm": id}),
    )
    .expect(200);
}

#[test]
fn pages_are_bounded_and_hold_each_letter_once() {
    let todo = TestUser::random();
    let operator = TestUser::operator_on(shared_stack());
    let topic = topic();
    let mine: BTreeSet<String> = (0..7)
        .map(|offset| given_up(&todo, &topic, offset, offset.to_string().as_bytes()))
        .collect();
    let listed: Vec<Value> = open(&operator, 3)
        .into_iter()
        .filter(|letter| letter["topic"] == topic.as_str())
        .collect();
    let ids: Vec<String> = listed
        .iter()
        .map(|letter| string_member(letter, "id").to_owned())
        .collect();
    assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), mine);
    assert_eq!(ids.len(), 7, "{ids:?}");
    let times: Vec<&str> = listed
        .iter()
        .map(|letter| string_member(letter, "first_received_at"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    for (query, parameter) in [
        ("limit=201", "limit"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("status=x", "status"),
        ("q=x", "q"),
    ] {
        let answer = read(&operator, &format!("dead-letters?{query}"));
        assert_eq!(answer.violations(), [parameter]);
    }
    for (query, parameter) in [("limit=201", "limit"), ("state=x", "state")] {
        assert_eq!(
            read(&operator, &format!("lanes?{query}")).violations(),
            [parameter]
        );
    }
}

#[test]
fn while_the_sidecar_is_away_a_letter_stays_open() {
    let replica = Replica::with(shared_stack(), &[("dapr_url", "http://127.0.0.1:1")]);
    let todo = TestUser::random();
    let operator = TestUser::operator_on(replica.endpoints());
    let id = given_up(&todo, &topic(), 1, b"kept");
    let body = json!({"confirm": id, "topic": TASKS_TOPIC});
    let refused = act(&operator, &format!("dead-letters/{id}/replay"), &body);
    assert_eq!(refused.header("retry-after"), Some("5"));
    refused.problem(503, "not-published");
    let letter = read(&operator, &format!("dead-letters/{id}"))
        .expect(200)
        .json();
    assert_eq!(letter["status"], "open");
    let failed = ("replay_dead_letter".to_owned(), "failed".to_owned());
    assert_eq!(recorded(&operator, &id, 1), [failed]);
}
