//! The operations on notifications.

use domain::notification_list::NotificationQuery;
use domain::page::Position;
use domain::user_id::UserId;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use platform::call::Call;
use platform::database::Database;
use platform::http::{Request, Response};
use platform::problem::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Answer;
use crate::link::next_link;
use crate::notification_statements as statements;

/// The header that tells how many notifications of the user are unread.
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
    let (statement, parameters) = statements::list(user, &query);
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

/// Marks a notification as read.
pub(crate) fn mark_read(user: &UserId, notification: Option<Uuid>) -> Result<Answer, Problem> {
    let no_such = || Problem::not_found("There is no such notification.");
    let notification = notification.ok_or_else(no_such)?;
    let call = Call::of("read_notification")
        .text("user_id", user.as_str())
        .uuid("notification_id", notification);
    let read: Option<Box<RawValue>> = Database::from_configuration()?.call(call)?;
    Ok(Response::json(200, read.ok_or_else(no_such)?.get()).into())
}

/// Marks all notifications as read.
pub(crate) fn mark_all_read(user: &UserId) -> Result<Answer, Problem> {
    let call = Call::of("read_notifications").text("user_id", user.as_str());
    let read: Box<RawValue> = Database::from_configuration()?.call(call)?;
    Ok(Response::json(200, read.get()).into())
}
