//! The public REST API of tasks, and the routes for Dapr and Kubernetes: subscriptions and health.

mod analytics;
mod asyncapi;
mod batch;
mod calendar;
#[cfg(test)]
mod committed;
mod health;
mod link;
mod notifications;
mod openapi;
mod route;
mod subscriptions;
mod tasks;

use domain::user_id::UserId;
use platform::authorization::authorize;
use platform::http::{Request, Response};
use platform::log::RequestLog;
use platform::outbox::Publishing;
use platform::problem::Problem;
use platform::publisher::publish;
use serde_json::json;
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;

use crate::route::{Place, ServiceOperation, Target, UserOperation};

/// The component's name in logs.
const COMPONENT: &str = "task-api";

/// A response, and what to do after it is sent.
struct Answer {
    response: Response,
    /// What to publish, if this instance became its sidecar's publisher.
    publishing: Option<Publishing>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self {
            response,
            publishing: None,
        }
    }
}

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let request = Request::new(incoming);
    let mut log = RequestLog::begin(COMPONENT, &request);
    let (answer, cause) = match answer(request, &mut log.fields).await {
        Ok(answer) => (answer, None),
        Err(problem) => (
            Answer::from(problem.response()),
            problem.cause().map(str::to_owned),
        ),
    };
    let status = answer.response.status();
    answer.response.send(out).await;

    // Probes come every second; only a failed one is worth a line.
    let probes = ["/healthz", "/readyz", "/readyz/deliveries"];
    let is_healthy_probe =
        status == 200 && probes.iter().any(|probe| log.fields["route"] == *probe);
    if !is_healthy_probe {
        log.answered(status, cause);
    }

    publish(COMPONENT, answer.publishing).await;
}

async fn answer(request: Request, fields: &mut serde_json::Value) -> Result<Answer, Problem> {
    let path = request.path_segments()?;
    let Some(target) = Target::find(&path) else {
        fields["route"] = json!("unknown");
        return Err(Problem::not_found("There is no such route."));
    };
    fields["route"] = json!(target.template());
    match target {
        Target::User { user, place } => {
            let user = authorize(&request, user).await?;
            fields["user_id"] = json!(user.as_str());
            fields["task_id"] = json!(place.task());
            answer_user(request, &user, &place).await
        }
        Target::Service(place) => answer_anybody(&request, &place),
    }
}

async fn answer_user(
    request: Request,
    user: &UserId,
    place: &Place<'_, UserOperation>,
) -> Result<Answer, Problem> {
    match place.operation(request.method())? {
        UserOperation::ListTasks => tasks::list(&request, user),
        UserOperation::CreateTask => tasks::create(request, user).await,
        UserOperation::ChangeTasks => batch::change(request, user).await,
        UserOperation::ReadTask => tasks::read(user, place.task()),
        UserOperation::UpdateTask => tasks::update(request, user, place.task()).await,
        UserOperation::DeleteTask => tasks::delete(&request, user, place.task()),
        UserOperation::CompleteTask => tasks::complete(&request, user, place.task()),
        UserOperation::ReopenTask => tasks::reopen(&request, user, place.task()),
        UserOperation::SkipTask => tasks::skip(&request, user, place.task()),
        UserOperation::ListNotifications => notifications::list(&request, user),
        UserOperation::ReadNotification => notifications::mark_read(user, place.notification()),
        UserOperation::SnoozeNotification => {
            notifications::snooze(request, user, place.notification()).await
        }
        UserOperation::ReadNotifications => notifications::mark_all_read(user),
        UserOperation::ReadAnalytics => analytics::answer(&request, user),
        UserOperation::CreateCalendar => calendar::create(user),
        UserOperation::RevokeCalendar => calendar::revoke(user),
        // The component `change-feed` answers this one; it stands here for the API's description.
        UserOperation::ReadChanges => Err(Problem::not_found("There is no such route.")),
    }
}

fn answer_anybody(
    request: &Request,
    place: &Place<'_, ServiceOperation>,
) -> Result<Answer, Problem> {
    match place.operation(request.method())? {
        ServiceOperation::ReadCalendar => calendar::read(request, place.secret()),
        ServiceOperation::Subscriptions => subscriptions::answer(),
        ServiceOperation::Description => Ok(openapi::answer()),
        ServiceOperation::EventsDescription => Ok(asyncapi::answer()),
        ServiceOperation::DataSchema => asyncapi::data_schema(place.data_schema()),
        ServiceOperation::Liveness => Ok(health::live()),
        ServiceOperation::Readiness => health::ready(),
        ServiceOperation::DeliveryReadiness => health::ready_for_deliveries(),
    }
}
