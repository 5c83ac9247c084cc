//! How the service does, on one page.

use platform::call::Call;
use platform::database::Database;
use platform::http::Response;
use platform::problem::Problem;
use serde_json::value::RawValue;

/// How many of each kind are counted; where there are more, the answer says so. The page asks every few seconds.
pub(crate) const MOST_COUNTED: u16 = 5000;

pub(crate) fn answer() -> Result<Response, Problem> {
    let call = Call::of("service_overview").integer("most", MOST_COUNTED);
    let overview: Box<RawValue> = Database::from_configuration()?.call(call)?;
    Ok(Response::json(200, overview.get()))
}
