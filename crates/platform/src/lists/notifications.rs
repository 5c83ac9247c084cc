//! The statement that lists notifications.

use domain::notification_list::{MOST_UNREAD, NotificationQuery};
use domain::user_id::UserId;
use spin_sdk::pg4::ParameterValue;

use crate::parameter::param;

/// Lists notifications, newest first, and counts the unread ones, up to [`MOST_UNREAD`]: the statement and its parameters.
pub fn statement(user: &UserId, query: &NotificationQuery) -> (String, Vec<ParameterValue>) {
    let mut parameters = vec![param(user.as_str()), param(i64::from(query.limit))];
    let mut conditions = String::new();
    if query.unread {
        conditions.push_str(" AND read_at IS NULL");
    }
    if let Some(after) = &query.after {
        conditions.push_str(" AND (created_at, id) < ($3::text::timestamptz, $4::text::uuid)");
        parameters.extend([param(after.key.clone()), param(after.id)]);
    }
    let statement = format!(
        "WITH page AS (
            SELECT notification, row_number() OVER (ORDER BY created_at DESC, id DESC) AS place
            FROM notifications AS notification
            WHERE user_id = $1{conditions}
            ORDER BY created_at DESC, id DESC
            LIMIT $2::bigint + 1
        )
        SELECT jsonb_build_object(
            'notifications', coalesce(
                (
                    SELECT jsonb_agg(notification_json(notification) ORDER BY place)
                    FROM page
                    WHERE place <= $2::bigint
                ),
                '[]'
            ),
            'unread', (
                SELECT count(*)
                FROM (
                    SELECT FROM notifications WHERE user_id = $1 AND read_at IS NULL LIMIT {MOST_UNREAD}
                ) AS unread
            ),
            'last', (
                SELECT jsonb_build_object('k', rfc3339((notification).created_at), 'i', (notification).id)
                FROM page
                WHERE place = $2::bigint AND EXISTS (SELECT FROM page WHERE place > $2::bigint)
            )
        )::text"
    );
    (statement, parameters)
}
