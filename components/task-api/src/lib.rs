//! The public REST API of tasks, and the routes that tell Dapr and Kubernetes about the service.

mod analytics;
mod batch;
mod calendar;
mod description;
mod health;
mod link;
mod notifications;
mod route;
mod subscriptions;
mod tasks;

use std::time::Instant;

use platform::authorization::authorize;
use platform::http::{Request, Response, method_name};
use platform::log::{self, Level};
use platform::outbox::Publishing;
use platform::problem::Problem;
use platform::publisher::publish;
use serde_json::json;
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;

use crate::route::{Operation, Target};

/// The component's name in logs.
const COMPONENT: &str = "task-api";

/// A response, and what is still to be done after it is sent.
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
    let _lines = log::collect();
    let start = Instant::now();
    let request = Request::new(incoming);
    let method = method_name(request.method());
    let mut fields = json!({"method": method, "traceparent": request.traceparent()});
    let (answer, cause) = match answer(request, &mut fields).await {
        Ok(answer) => (answer, None),
        Err(problem) => (
            Answer::from(problem.response()),
            problem.cause().map(str::to_owned),
        ),
    };
    let status = answer.response.status();
    answer.response.send(out).await;

    fields["status"] = json!(status);
    fields["outcome"] = json!(if status < 400 { "done" } else { "refused" });
    fields["duration_ms"] = json!(start.elapsed().as_millis() as u64);
    let level = match (&cause, status) {
        (Some(_), 503) => Level::Warn,
        (Some(_), _) => Level::Error,
        (None, _) => Level::Debug,
    };
    if let Some(cause) = cause {
        fields["error"] = json!(cause);
    }
    // Probes come every second; only a failed one is worth a line.
    let probes = ["/healthz", "/readyz", "/readyz/deliveries"];
    let is_healthy_probe = status == 200 && probes.iter().any(|probe| fields["route"] == *probe);
    if !is_healthy_probe {
        log::line(level, COMPONENT, "request", fields);
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
    let user = match target.user() {
        Some(user) => {
            let user = authorize(&request, user).await?;
            fields["user_id"] = json!(user.as_str());
            fields["task_id"] = json!(target.task());
            Some(user)
        }
        None => None,
    };
    match (target.operation(request.method())?, &user) {
        (Operation::CreateCalendar, Some(user)) => calendar::create(user),
        (Operation::RevokeCalendar, Some(user)) => calendar::revoke(user),
        (Operation::ReadCalendar, _) => calendar::read(&request, target.secret()),
        (Operation::Subscriptions, _) => subscriptions::answer(),
        (Operation::Description, _) => Ok(description::answer()),
        (Operation::EventsDescription, _) => Ok(description::events()),
        (Operation::DataSchema, _) => description::data_schema(target.data_schema()),
        (Operation::Liveness, _) => Ok(health::live()),
        (Operation::Readiness, _) => health::ready(),
        (Operation::DeliveryReadiness, _) => health::ready_for_deliveries(),
        (Operation::ListTasks, Some(user)) => tasks::list(&request, user),
        (Operation::CreateTask, Some(user)) => tasks::create(request, user).await,
        (Operation::ChangeTasks, Some(user)) => batch::change(request, user).await,
        (Operation::ReadTask, Some(user)) => tasks::read(user, target.task()),
        (Operation::UpdateTask, Some(user)) => tasks::update(request, user, target.task()).await,
        (Operation::DeleteTask, Some(user)) => tasks::delete(&request, user, target.task()),
        (Operation::CompleteTask, Some(user)) => tasks::complete(&request, user, target.task()),
        (Operation::ReopenTask, Some(user)) => tasks::reopen(&request, user, target.task()),
        (Operation::SkipTask, Some(user)) => tasks::skip(&request, user, target.task()),
        (Operation::ListNotifications, Some(user)) => notifications::list(&request, user),
        (Operation::ReadNotification, Some(user)) => {
            notifications::mark_read(user, target.notification())
        }
        (Operation::SnoozeNotification, Some(user)) => {
            notifications::snooze(request, user, target.notification()).await
        }
        (Operation::ReadNotifications, Some(user)) => notifications::mark_all_read(user),
        (Operation::ReadAnalytics, Some(user)) => analytics::answer(&request, user),
        // Another component's; here for the API's description.
        (Operation::ReadChanges, Some(_)) => Err(Problem::not_found("There is no such route.")),
        (_, None) => Err(Problem::internal(
            "a user's operation on a route of nobody's",
        )),
    }
}
