//! `/operator/api/…`: what an operator sees of the service, and what an operator can do about dead letters and lanes.
//!
//! A component of its own, over connections of its own: whoever looks after the service must not wait behind its clients. Every
//! path asks for the role `operator` before anything else.

mod dead_letters;
mod description;
mod lanes;
mod overview;
mod record;
mod route;

use platform::authorization::authorize_operator;
use platform::http::{BODY_LIMIT, Request, Response};
use platform::log::RequestLog;
use platform::problem::Problem;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;

use crate::record::Action;
use crate::route::{Operation, Place};

/// The component's name in logs.
const COMPONENT: &str = "operator-api";

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let request = Request::new(incoming);
    let mut log = RequestLog::begin(COMPONENT, &request);
    let (response, cause) = match answer(request, &mut log.fields).await {
        Ok(response) => (response, None),
        Err(problem) => (problem.response(), problem.cause().map(str::to_owned)),
    };
    let status = response.status();
    // Nothing of it belongs into a cache.
    let response = response.with_header("cache-control", "no-store");
    response.send(out).await;
    log.answered(status, cause);
}

async fn answer(request: Request, fields: &mut Value) -> Result<Response, Problem> {
    let path = request.path_segments()?;
    let place = Place::find(&path);
    let route = place.as_ref().map_or("unknown", Place::template);
    fields["route"] = json!(route);
    let operator = authorize_operator(&request).await?;
    fields["operator"] = json!(operator.as_str());
    let place = place.ok_or_else(|| Problem::not_found("There is no such route."))?;
    let action = |name| Action::new(name, &operator);
    match place.operation(request.method())? {
        Operation::ReadOverview => overview::answer(),
        Operation::ListLanes => lanes::list(&request),
        Operation::ReadLane => lanes::read(&place.user()?),
        Operation::RetryLane => {
            let user = place.user()?;
            let body = body(request).await?;
            lanes::retry(&user, body, action("retry_lane"))
        }
        Operation::SkipEvent => {
            let user = place.user()?;
            let body = body(request).await?;
            lanes::skip(&user, body, action("skip_event"))
        }
        Operation::ListDeadLetters => dead_letters::list(&request),
        Operation::ReadDeadLetter => dead_letters::read(place.letter()?),
        Operation::ReplayDeadLetter => {
            let letter = place.letter()?;
            let body = body(request).await?;
            dead_letters::replay(letter, body, action("replay_dead_letter")).await
        }
        Operation::DiscardDeadLetter => {
            let letter = place.letter()?;
            let body = body(request).await?;
            dead_letters::discard(letter, body, action("discard_dead_letter"))
        }
        Operation::ReadDescription => Ok(Response::json(200, description::OPENAPI)),
    }
}

/// The body as JSON.
async fn body(request: Request) -> Result<Value, Problem> {
    let body = request.body(BODY_LIMIT).await?;
    serde_json::from_slice(&body).map_err(|_| Problem::bad_request("The body must be JSON."))
}
