//! The public REST API of tasks, and the routes that tell Dapr and Kubernetes about the service.

mod analytics;
mod authorization;
mod description;
mod health;
mod link;
mod notification_statements;
mod notifications;
mod route;
mod statements;
mod subscriptions;
mod tasks;

use std::time::Instant;

use domain::user_id::UserId;
use platform::http::{Request, Response, method_name};
use platform::log::{self, Level};
use platform::outbox::{Emitted, Lease};
use platform::problem::Problem;
use platform::publisher::publish_emitted;
use serde_json::json;
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;

use crate::authorization::authorize;
use crate::route::Route;

/// The component's name, in logs and, behind `/todo/`, as the source of its events.
const COMPONENT: &str = "task-api";

/// A response, and what is still to be done after it is sent.
struct Answer {
    response: Response,
    /// The event that was emitted, with the lease that the statement asked for.
    emitted: Option<(Emitted, Lease)>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self {
            response,
            emitted: None,
        }
    }
}

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
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
        (None, _) => Level::Info,
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

    if let Some((emitted, lease)) = answer.emitted {
        publish_emitted(COMPONENT, emitted, lease).await;
    }
}

async fn answer(request: Request, fields: &mut serde_json::Value) -> Result<Answer, Problem> {
    let segments = request.path_segments()?;
    let route = Route::find(&segments);
    fields["route"] = json!(route.template());
    if let Some(user) = route.user() {
        let user = authorize(&request, user)?;
        fields["user_id"] = json!(user.as_str());
        fields["task_id"] = json!(route.task());
        return answer_user(request, &route, &user).await;
    }
    match route {
        Route::Subscriptions => subscriptions::answer(&request),
        Route::Description => description::answer(&request),
        Route::Liveness => health::live(&request),
        Route::Readiness => health::ready(&request),
        Route::DeliveryReadiness => health::ready_for_deliveries(&request),
        _ => Err(Problem::not_found("There is no such route.")),
    }
}

async fn answer_user(
    request: Request,
    route: &Route<'_>,
    user: &UserId,
) -> Result<Answer, Problem> {
    match route {
        Route::Notifications { .. }
        | Route::ReadNotification { .. }
        | Route::ReadNotifications { .. } => notifications::answer(&request, route, user),
        Route::Analytics { .. } => analytics::answer(&request, user),
        _ => tasks::answer(request, route, user).await,
    }
}
