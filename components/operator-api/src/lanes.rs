//! Users' events that wait for publishing.

use domain::operator_actions::{parse_confirmation, parse_skip};
use domain::operator_lists::LaneQuery;
use domain::user_id::UserId;
use platform::call::Call;
use platform::database::Database;
use platform::http::{Request, Response};
use platform::problem::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::record::Action;

/// What became of an attempt.
#[derive(Deserialize)]
struct Answered {
    outcome: String,
    /// The number that may be skipped.
    next: Option<i64>,
    /// The dead letter that the event became.
    letter: Option<String>,
    /// How many events of the user still wait.
    left: Option<i64>,
}

pub(crate) fn list(request: &Request) -> Result<Response, Problem> {
    let query = LaneQuery::parse(request.query())?;
    let call = Call::of("list_lanes")
        .boolean("is_resting", query.is_resting)
        .integer("most", query.limit);
    let lanes: Box<RawValue> = Database::from_configuration()?.call(call)?;
    Ok(Response::json(200, lanes.get()))
}

pub(crate) fn read(user: &UserId) -> Result<Response, Problem> {
    let call = Call::of("read_lane").text("user_id", user.as_str());
    let lane: Option<Box<RawValue>> = Database::from_configuration()?.call(call)?;
    let lane = lane.ok_or_else(nothing_waits)?;
    Ok(Response::json(200, lane.get()))
}

fn nothing_waits() -> Problem {
    Problem::not_found("No event of this user waits.")
}

/// Lets the lane's turn come now. Where somebody is publishing its event just then, there is nothing to do.
pub(crate) fn retry(user: &UserId, body: Value, action: Action) -> Result<Response, Problem> {
    parse_confirmation(body, user.as_str())?;
    let action = action.about("user_id", user.as_str());
    let call = Call::of("retry_lane").text("user_id", user.as_str());
    match answered(call) {
        Ok(Answered { outcome, .. }) if outcome == "published" => {
            Err(action.failed(nothing_waits()))
        }
        Ok(Answered { outcome, .. }) => {
            action.done(&outcome);
            Ok(Response::json(200, json!({"outcome": outcome}).to_string()))
        }
        Err(problem) => Err(action.failed(problem)),
    }
}

/// Moves the lane past an event that blocks it. Done twice, it finds another number.
pub(crate) fn skip(user: &UserId, body: Value, action: Action) -> Result<Response, Problem> {
    let sequence = parse_skip(body, user.as_str())?;
    let action = action
        .about("user_id", user.as_str())
        .about("sequence", sequence);
    let call = Call::of("skip_event")
        .text("user_id", user.as_str())
        .bigint("sequence", sequence);
    let answered = match answered(call) {
        Ok(answered) => answered,
        Err(problem) => return Err(action.failed(problem)),
    };
    let refusal = match answered.outcome.as_str() {
        "skipped" => {
            let action = action.about("dead_letter_id", answered.letter.clone());
            action.done("skipped");
            let body = json!({"dead_letter_id": answered.letter, "left": answered.left});
            return Ok(Response::json(200, body.to_string()));
        }
        "not_next" => match answered.next {
            None => nothing_waits(),
            Some(next) => Problem::cannot_skip_event(format!(
                "The lane's next event is number {next}; nothing was skipped."
            )),
        },
        "not_blocked" => Problem::cannot_skip_event(
            "The event does not block the lane: it was neither refused for good nor is it missing. Nothing was skipped.",
        ),
        _ => Problem::cannot_skip_event(
            "Somebody is publishing the event just now. Nothing was skipped; try again in some seconds.",
        ),
    };
    Err(action.failed(refusal))
}

fn answered(call: Call) -> Result<Answered, Problem> {
    Ok(Database::from_configuration()?.call(call)?)
}
