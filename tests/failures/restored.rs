//! After a restore to the past, new events get numbers that no consumer has seen.

use e2e::flow::wait_until_settled;
use e2e::operations;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use operator::lanes;
use serde_json::{Value, json};

use crate::own_stack::OwnStack;

#[test]
fn handlers_go_on_with_what_comes_after_a_restore() {
    let stack = OwnStack::start();
    let todo = TestUser::random_on(stack.endpoints());
    let task = todo.created_with(json!({"title": "t", "due_date": "2100-01-01T00:00:00Z"}));
    wait_until_settled(&todo, Limit::DELIVERY);
    let reminder =
        "SELECT jsonb_build_object('sequence', sequence, 'remind_at', rfc3339(remind_at))
        FROM reminders WHERE user_id = $1";
    // As if the handler had read, after the restore, an event of the time that it has undone.
    let lost = todo.database().client().execute(
        "UPDATE reminders SET sequence = 1000 WHERE user_id = $1",
        &[&todo.user()],
    );
    assert!(matches!(lost, Ok(1)), "{lost:?}");

    match lanes::raise(&operations::deployment(stack.endpoints()), 1_000_000) {
        Ok(raised) => assert_eq!((raised.events, raised.start), (0, 1_000_000)),
        Err(error) => panic!("{error:#}"),
    }
    todo.patch(
        string_member(&task, "id"),
        json!({"due_date": "2100-02-01T00:00:00Z"}),
    )
    .task(200);
    until("the reminder moves", Limit::DELIVERY, || {
        match todo.database().json(reminder, &[todo.user()]) {
            found if found["remind_at"] == "2100-01-31T00:00:00.000000Z" => Ok(()),
            found => Err(found),
        }
    });
    let numbers = |events: &[Value]| -> Vec<String> {
        let number = |event: &Value| {
            string_member(event, "sequence")
                .trim_start_matches('0')
                .to_owned()
        };
        events.iter().map(number).collect()
    };
    // Created, scheduled; changed, scheduled.
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(numbers(&events), ["1", "2", "1000003", "1000004"]);

    // A user who is new to the restored database may have existed in the lost time.
    let newcomer = TestUser::random_on(stack.endpoints());
    newcomer.created("t");
    assert_eq!(
        numbers(&wait_until_settled(&newcomer, Limit::DELIVERY)),
        ["1000001"]
    );
}
