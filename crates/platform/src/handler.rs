//! How a component handles what the sidecar delivers.
//!
//! Only the sidecar may call. The body is an event, the answer is one of Dapr's words, and one log line says how it
//! went. Publishing and setting an alarm come after the answer, so that the sidecar waits for no broker and no
//! scheduler.

use std::time::Instant;

use domain::event::ReceivedEvent;
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use uuid::Uuid;

use crate::app_token;
use crate::call::Call;
use crate::configuration;
use crate::database::Database;
use crate::delivery::{self, EventStatus};
use crate::http::Request;
use crate::log::{self, Level, Lines};
use crate::outbox::{Emitted, EventDraft, Publishing};
use crate::problem::Problem;
use crate::publisher::publish;
use crate::reminders::{self, Alarm};

/// An authenticated request of the sidecar that is not answered yet.
pub struct Accepted {
    /// The request.
    pub request: Request,
    /// Where the answer goes.
    pub out: ResponseOutparam,
    /// When the request came.
    pub start: Instant,
    component: &'static str,
    /// The log lines, which are written when all is done.
    lines: Lines,
}

/// What a handler knows besides the event.
pub struct Context {
    /// The trace that the delivery belongs to.
    traceparent: Option<String>,
    /// The fields of the log line about the delivery.
    pub fields: Value,
}

/// What to do after the answer.
#[derive(Debug, Default)]
pub struct FollowUp {
    publishing: Option<Publishing>,
    alarm: Option<Alarm>,
}

/// Handles an event from the sidecar. For components that have no other routes.
pub async fn on_event(
    component: &'static str,
    incoming: IncomingRequest,
    out: ResponseOutparam,
    handle: impl FnOnce(&ReceivedEvent, &mut Context) -> Result<FollowUp, EventStatus>,
) {
    if let Some(accepted) = Accepted::new(component, incoming, out).await {
        accepted.event(handle).await;
    }
}

impl Accepted {
    /// Accepts a request if it comes from the sidecar. Otherwise answers it and returns `None`.
    pub async fn new(
        component: &'static str,
        incoming: IncomingRequest,
        out: ResponseOutparam,
    ) -> Option<Self> {
        let accepted = Self {
            lines: log::collect(),
            start: Instant::now(),
            request: Request::new(incoming),
            out,
            component,
        };
        match app_token::authorize(&accepted.request) {
            Ok(()) => Some(accepted),
            Err(problem) => {
                accepted.refuse(&problem).await;
                None
            }
        }
    }

    /// Answers with a problem.
    pub async fn refuse(self, problem: &Problem) {
        let fields =
            json!({"status": problem.status(), "outcome": "refused", "error": problem.cause()});
        problem.response().send(self.out).await;
        log::line(Level::Warn, self.component, "request", fields);
    }

    /// Reads the event, calls `handle`, answers, then does what follows the answer.
    pub async fn event(
        self,
        handle: impl FnOnce(&ReceivedEvent, &mut Context) -> Result<FollowUp, EventStatus>,
    ) {
        let context = Context::of(&self.request);
        let body = delivery::body(self.request).await;
        let handle = |context: &mut Context| {
            let event = ReceivedEvent::parse(&body?)?;
            event.describe(&mut context.fields);
            handle(&event, context)
        };
        finish(self.component, self.out, self.start, context, handle).await;
        drop(self.lines);
    }

    /// Handles the call of a job, whose body does not matter: calls `handle`, answers, then does what follows the
    /// answer.
    pub async fn job(self, handle: impl FnOnce(&mut Context) -> Result<FollowUp, EventStatus>) {
        let context = Context::of(&self.request);
        finish(self.component, self.out, self.start, context, handle).await;
        drop(self.lines);
    }
}

async fn finish(
    component: &'static str,
    out: ResponseOutparam,
    start: Instant,
    mut context: Context,
    handle: impl FnOnce(&mut Context) -> Result<FollowUp, EventStatus>,
) {
    let (delivery, follow_up) = match handle(&mut context) {
        Ok(follow_up) => (EventStatus::Success, follow_up),
        Err(delivery) => (delivery, FollowUp::default()),
    };
    delivery.send(out, component, context.fields, start).await;
    // At the same time: neither may wait for a scheduler or a broker that hangs.
    let alarm = reminders::sync_alarm(component, follow_up.alarm);
    futures::future::join(alarm, publish(component, follow_up.publishing)).await;
}

impl Context {
    fn of(request: &Request) -> Self {
        let traceparent = request.traceparent();
        Self {
            fields: json!({"traceparent": traceparent}),
            traceparent,
        }
    }

    /// Calls a database function that changes something and emits an event. `call` has all arguments of the function
    /// except `outbox`. `cause` is the event that is being handled, if there is one.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn change(&mut self, call: Call, cause: Option<Uuid>) -> Result<FollowUp, EventStatus> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Changed {
            emitted: Option<Emitted>,
            alarm: Option<Alarm>,
        }
        let sidecar = configuration::variable("sidecar_name")?;
        let mut draft = EventDraft::new(&sidecar).traced(self.traceparent.as_deref());
        if let Some(event) = cause {
            draft = draft.caused_by(event);
        }
        let call = call.json("outbox", draft.json());
        let changed: Changed = Database::from_configuration()?.call_patiently(call)?;
        self.fields["emitted"] = json!(changed.emitted.is_some());
        Ok(FollowUp {
            publishing: changed
                .emitted
                .and_then(|emitted| draft.publishing(emitted)),
            alarm: changed.alarm,
        })
    }
}

#[cfg(test)]
mod tests {
    const GUIDE: &str = include_str!("../../../CONTRIBUTING.md");
    const EXAMPLE: &str = include_str!("../examples/streak_handler.rs");

    #[test]
    fn the_guide_shows_a_handler_that_compiles_and_fits_on_a_page() {
        let indented = |line: &str| match line {
            "" => "\n".to_owned(),
            line => format!("   {line}\n"),
        };
        let shown: String = EXAMPLE.lines().map(indented).collect();
        assert!(GUIDE.contains(&shown), "{shown}");
        assert!(EXAMPLE.lines().count() < 60);
    }
}
