//! The operations on notifications.

use domain::notification_list::NotificationQuery;
use domain::page::Position;
use domain::snooze::{self, Snooze, parse_snooze};
use domain::user_id::UserId;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use platform::call::Call;
use platform::configuration;
use platform::database::Database;
use platform::http::{Request, Response};
use platform::lists;
use platform::outbox::{Emitted, EventDraft};
use platform::problem::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Answer;
use crate::link::next_link;
use crate::tasks::json_body;

/// The header with the number of the user's unread notifications.
const UNREAD_COUNT: &str = "unread-count";

/// Lists notifications.
pub(crate) fn list(request: &Request, user: &UserId) -> Result<Answer, Problem> {
    #[derive(Deserialize)]
    struct Page {
        notifications: Box<RawValue>,
        unread: i64,
        last: Option<Position>,
    }
    let query = NotificationQuery::parse(request.query())?;
    let (statement, parameters) = lists::notifications::statement(user, &query);
    let page: Page = Database::from_configuration()?.query(&statement, &parameters)?;
    let response = Response::json(200, page.notifications.get())
        .with_header(UNREAD_COUNT, page.unread.to_string());
    Ok(match page.last {
        Some(last) => {
            let path = format!(
                "/api/{}/notifications",
                utf8_percent_encode(user.as_str(), NON_ALPHANUMERIC)
            );
            response.with_header(
                "link",
                next_link(&path, request.query(), &query.cursor_after(last)),
            )
        }
        None => response,
    }
    .into())
}

fn no_such_notification() -> Problem {
    Problem::not_found("There is no such notification.")
}

/// Marks a notification as read.
pub(crate) fn mark_read(user: &UserId, notification: Option<Uuid>) -> Result<Answer, Problem> {
    let notification = notification.ok_or_else(no_such_notification)?;
    let call = Call::of("read_notification")
        .text("user_id", user.as_str())
        .uuid("notification_id", notification);
    let read: Option<Box<RawValue>> = Database::from_configuration()?.call(call)?;
    Ok(Response::json(200, read.ok_or_else(no_such_notification)?.get()).into())
}

/// Marks all notifications as read.
pub(crate) fn mark_all_read(user: &UserId) -> Result<Answer, Problem> {
    let call = Call::of("read_notifications").text("user_id", user.as_str());
    let read: Box<RawValue> = Database::from_configuration()?.call(call)?;
    Ok(Response::json(200, read.get()).into())
}

/// The outcome of putting a notification off.
#[derive(Deserialize)]
#[serde(try_from = "SnoozedRow")]
enum Snoozed {
    /// The user will be reminded of the task again.
    PutOff {
        notification: Box<RawValue>,
        /// The event; none if the notification was put off to that moment before.
        emitted: Option<Emitted>,
    },
    Refused(Refusal),
}

/// Why a notification is not put off.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Refusal {
    /// The user has no such notification.
    NotFound,
    /// The moment has passed.
    Passed,
    /// The moment is too far away.
    TooFar,
    /// The task is not open.
    Ended,
    /// The task's due date is not the one in the notification any more.
    DueDateChanged,
    /// The task has as many snoozed notifications as a task may have.
    TooMany,
}

/// What `snooze_notification` returns. Serde cannot read raw JSON into an enum with a tag.
#[derive(Deserialize)]
struct SnoozedRow {
    outcome: Outcome,
    notification: Option<Box<RawValue>>,
    emitted: Option<Emitted>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    PutOff,
    #[serde(untagged)]
    Refused(Refusal),
}

impl TryFrom<SnoozedRow> for Snoozed {
    type Error = &'static str;

    fn try_from(row: SnoozedRow) -> Result<Self, Self::Error> {
        Ok(match row.outcome {
            Outcome::PutOff => Self::PutOff {
                notification: row.notification.ok_or("no notification to show")?,
                emitted: row.emitted,
            },
            Outcome::Refused(refusal) => Self::Refused(refusal),
        })
    }
}

/// Puts a notification off. The relay's sweep sets its alarm, as it does for all alarms that are not near.
pub(crate) async fn snooze(
    request: Request,
    user: &UserId,
    notification: Option<Uuid>,
) -> Result<Answer, Problem> {
    let notification = notification.ok_or_else(no_such_notification)?;
    let trace = request.traceparent();
    let snooze = parse_snooze(json_body(request).await?)?;
    let (seconds, until) = match &snooze {
        Snooze::For(length) => (Some(i64::from(length.seconds())), None),
        Snooze::Until(instant) => (None, Some(*instant)),
    };
    let sidecar = configuration::variable("sidecar_name")?;
    let draft = EventDraft::new(&sidecar).traced(trace.as_deref());
    let call = Call::of("snooze_notification")
        .text("user_id", user.as_str())
        .uuid("notification_id", notification)
        .optional_bigint("seconds", seconds)
        .instant("until", until)
        .json("outbox", draft.json());
    let (notification, emitted) = match Database::from_configuration()?.call(call)? {
        Snoozed::PutOff {
            notification,
            emitted,
        } => (notification, emitted),
        Snoozed::Refused(refusal) => {
            return Err(match refusal {
                Refusal::NotFound => no_such_notification(),
                Refusal::Passed => Problem::invalid(vec![snooze::passed(&snooze)]),
                Refusal::TooFar => Problem::invalid(vec![snooze::too_far(&snooze)]),
                Refusal::Ended => Problem::not_open(),
                Refusal::DueDateChanged => Problem::due_date_changed(),
                Refusal::TooMany => Problem::too_many_snoozed(),
            });
        }
    };
    Ok(Answer {
        response: Response::json(200, notification.get()),
        publishing: emitted.and_then(|emitted| draft.publishing(emitted)),
    })
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Snoozed};

    #[test]
    fn each_outcome_of_a_snooze_is_read() {
        let read = |json: &str| serde_json::from_str::<Snoozed>(json);
        let put_off = r#"{"outcome": "put_off", "notification": {"id": 1}}"#;
        assert!(matches!(
            read(put_off),
            Ok(Snoozed::PutOff { emitted: None, .. })
        ));
        let too_far = r#"{"outcome": "too_far"}"#;
        assert!(matches!(
            read(too_far),
            Ok(Snoozed::Refused(Refusal::TooFar))
        ));
        for wrong in [r#"{"outcome": "put_off"}"#, r#"{"outcome": "other"}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
