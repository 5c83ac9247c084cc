//! Who may use a user's routes.

use domain::user_id::UserId;
use platform::bearer_token::{Unauthenticated, authenticate};
use platform::configuration;
use platform::http::Request;
use platform::problem::Problem;

/// The client, if the path is theirs; `user` is the path's user.
///
/// # Errors
///
/// 401 without a valid token, 403 when the path is another user's.
pub(crate) fn authorize(request: &Request, user: &str) -> Result<UserId, Problem> {
    let key = configuration::text("jwt_secret")?;
    let authorization = request.header("authorization");
    let client =
        authenticate(authorization.as_deref(), key.as_bytes()).map_err(|error| match error {
            Unauthenticated::Missing => Problem::unauthenticated("A bearer token is required."),
            Unauthenticated::Invalid => Problem::unauthenticated("The bearer token is not valid."),
            Unauthenticated::WeakKey => {
                Problem::internal("the variable jwt_secret is shorter than 32 bytes")
            }
        })?;
    if client.as_str() == user {
        Ok(client)
    } else {
        Err(Problem::forbidden())
    }
}
