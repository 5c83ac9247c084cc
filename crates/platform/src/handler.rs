//! How a component handles what the sidecar delivers.
//!
//! Only the sidecar may call. The body is an event, the answer is one of Dapr's words, one line of the log says how it went.
//! What is left to do, publishing and setting an alarm, is done after the answer: the sidecar waits for no broker and no
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

/// A request of the sidecar that is to be answered.
pub struct Accepted {
    /// The request.
    pub request: Request,
    /// Where the answer goes.
    pub out: ResponseOutparam,
    /// When the request came.
    pub start: Instant,
    component: &'static str,
    /// Written when all is done.
    lines: Lines,
}

/// What a handler knows beside the event.
pub struct Context {
    /// The trace that the delivery belongs to.
    traceparent: Option<String>,
    /// What the line of the log says of the delivery.
    pub fields: Value,
}

/// What is to be done after the answer.
#[derive(Debug, Default)]
pub struct FollowUp {
    publishing: Option<Publishing>,
    alarm: Option<Alarm>,
}

/// Handles an event of the sidecar: the entry of a component that does nothing else.
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
    /// Takes a request, if it comes from the sidecar; answers it otherwise.
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

    /// Reads the event, lets it be handled, answers, and does what is left to do.
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

    /// Lets the call of a job be handled, whose body does not matter, answers, and does what is left to do.
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

    /// Calls a function of the database that changes something and emits what it did: `call` has its own arguments, all but
    /// `outbox`. `cause` is the event that is handled, if one is.
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
