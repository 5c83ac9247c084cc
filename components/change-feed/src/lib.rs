//! `GET /api/{user_id}/changes`: a user's events in the order of their numbers, in pages or as a stream.
//!
//! A component of its own, which may reach only the database. It has its own connections, so streams and clients never
//! wait for each other. An operator can also run it in processes of its own.

mod pages;
mod stream;

use domain::change_feed::{ChangesQuery, LAST_EVENT_ID, accepts_stream};
use domain::user_id::UserId;
use domain::violation::{Location, Violation};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use platform::authorization::authorize;
use platform::http::{Request, Response};
use platform::log::RequestLog;
use platform::problem::Problem;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, Method, ResponseOutparam};
use spin_sdk::http_component;

use crate::stream::Stream;

/// The component's name in logs.
const COMPONENT: &str = "change-feed";

/// The route as documented.
const ROUTE: &str = "/api/{user_id}/changes";

/// The answer to a client.
enum Answer {
    Page(Response),
    Stream(Stream),
}

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let request = Request::new(incoming);
    let mut log = RequestLog::begin(COMPONENT, &request);
    let answer = answer(&request, &mut log.fields).await;
    // A stream does not need the request, and a request that is kept holds resources of the host.
    drop(request);
    let (status, cause) = match answer {
        Ok(Answer::Stream(stream)) => {
            let ended = stream.send(out).await;
            log.fields["events"] = json!(ended.events);
            (200, ended.cause)
        }
        Ok(Answer::Page(response)) => {
            let status = response.status();
            response.send(out).await;
            (status, None)
        }
        Err(problem) => {
            let (status, cause) = (problem.status(), problem.cause().map(str::to_owned));
            problem.response().send(out).await;
            (status, cause)
        }
    };
    log.answered(status, cause);
}

async fn answer(request: &Request, fields: &mut Value) -> Result<Answer, Problem> {
    let path = request.path_segments()?;
    let [api, user, changes] = path.as_slice() else {
        fields["route"] = json!("unknown");
        return Err(Problem::not_found("There is no such route."));
    };
    if api != "api" || changes != "changes" {
        fields["route"] = json!("unknown");
        return Err(Problem::not_found("There is no such route."));
    }
    fields["route"] = json!(ROUTE);
    let user = authorize(request, user).await?;
    fields["user_id"] = json!(user.as_str());
    if *request.method() != Method::Get {
        return Err(Problem::method_not_allowed("GET"));
    }
    let query = ChangesQuery::parse(request.query(), last_event_id(request)?.as_deref())?;
    let is_stream = request
        .header("accept")
        .is_some_and(|accept| accepts_stream(&accept));
    if is_stream {
        Stream::open(&user, query).map(Answer::Stream)
    } else {
        pages::answer(request, &user, query).map(Answer::Page)
    }
}

/// The header with which a client resumes.
///
/// # Errors
///
/// 422 if it was sent more than once or is not ASCII.
fn last_event_id(request: &Request) -> Result<Option<String>, Problem> {
    let sent = request.header(LAST_EVENT_ID);
    if sent.is_none() && request.has_header(LAST_EVENT_ID) {
        return Err(Problem::invalid(vec![Violation {
            location: Location::Header(LAST_EVENT_ID),
            detail: "must be sent once".to_owned(),
        }]));
    }
    Ok(sent)
}

/// The path of a user's feed.
fn path(user: &UserId) -> String {
    format!(
        "/api/{}/changes",
        utf8_percent_encode(user.as_str(), NON_ALPHANUMERIC)
    )
}

/// The answer if the changes after a number are gone.
fn gone(user: &UserId) -> Problem {
    Problem::changes_gone(&format!("{}?after=latest", path(user)))
}
