//! `GET /api/{user_id}/analytics`: a user's events, counted by type and day.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::date_range::DateRange;
use domain::user_id::UserId;
use platform::database::Database;
use platform::http::{Request, Response};
use platform::parameter::param;
use platform::problem::Problem;
use serde_json::value::RawValue;

use crate::Answer;

/// Counts of a user's events: `$1` user, `$2` first and `$3` last day. The completion rate is completed over created
/// tasks in the range, null where none was created.
const READ: &str = "
WITH counts AS (
    SELECT day, type, count
    FROM analytics_daily
    WHERE user_id = $1 AND day BETWEEN $2::text::date AND $3::text::date
), totals AS (
    SELECT coalesce(jsonb_object_agg(type, count), '{}') AS counts
    FROM (SELECT type, sum(count) AS count FROM counts GROUP BY type) AS by_type
)
SELECT jsonb_build_object(
    'from', $2,
    'to', $3,
    'totals', totals.counts,
    'completion_rate', round(
        coalesce((totals.counts ->> 'task.completed')::numeric, 0)
            / nullif((totals.counts ->> 'task.created')::numeric, 0),
        4
    )::float8,
    'days', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('day', day, 'counts', by_type) ORDER BY day), '[]')
        FROM (SELECT day, jsonb_object_agg(type, count) AS by_type FROM counts GROUP BY day) AS by_day
    )
)::text
FROM totals";

/// Counts the events of `user` over the range in the query.
pub(crate) fn answer(request: &Request, user: &UserId) -> Result<Answer, Problem> {
    let range = DateRange::parse(request.query(), today())?;
    let parameters = [param(user.as_str()), param(range.from()), param(range.to())];
    let counts: Box<RawValue> = Database::from_configuration()?.query(READ, &parameters)?;
    Ok(Response::json(200, counts.get()).into())
}

/// Today (UTC) in days since the Unix epoch.
fn today() -> i32 {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i32::try_from(seconds / 86_400).unwrap_or(i32::MAX)
}
