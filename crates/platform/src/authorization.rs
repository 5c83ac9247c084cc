//! Who may use a user's routes, and who the operator's.

use crate::bearer_token::{SHORTEST_KEY, Unauthenticated, authenticate, bearer_token};
use crate::client::Client;
use crate::configuration;
use crate::http::Request;
use crate::issuer::Issuer;
use crate::problem::Problem;
use crate::signing_keys::is_signed_by_issuer;
use domain::user_id::UserId;

/// The client, if the path is theirs; `user` is the path's user.
///
/// # Errors
///
/// 401 without a valid token, 403 when the path is another user's, 503 while the issuer's keys are not available.
pub async fn authorize(request: &Request, user: &str) -> Result<UserId, Problem> {
    let client = client(request).await?;
    if client.user.as_str() == user {
        Ok(client.user)
    } else {
        Err(Problem::forbidden())
    }
}

/// The client, if it is an operator.
///
/// # Errors
///
/// 401 without a valid token, 403 without the role, 503 while the issuer's keys are not available.
pub async fn authorize_operator(request: &Request) -> Result<UserId, Problem> {
    let client = client(request).await?;
    if client.is_operator {
        Ok(client.user)
    } else {
        Err(Problem::not_an_operator())
    }
}

/// The client that the request's token names. A token is signed with `jwt_secret`, or with `jwt_secret_previous` while keys
/// are being replaced, or by the issuer whose published keys are trusted. The issuer's keys are read only if the secret does
/// not verify the token.
async fn client(request: &Request) -> Result<Client, Problem> {
    let authorization = request.header("authorization");
    let authorization = authorization.as_deref();
    let key = configuration::variable("jwt_secret")?;
    let mut client = authenticate(authorization, key.as_bytes());
    if client == Err(Unauthenticated::Invalid) {
        let previous = configuration::variable("jwt_secret_previous")?;
        // A previous key that is too short is ignored. A bad token must not turn into an error of the service.
        if previous.len() >= SHORTEST_KEY {
            client = authenticate(authorization, previous.as_bytes());
        }
    }
    if client == Err(Unauthenticated::Invalid)
        && let Some(token) = bearer_token(authorization).filter(|token| is_signed_by_issuer(token))
        && let Some(issuer) = Issuer::from_configuration()?
        && let Some(known) = issuer.authenticate(token).await?
    {
        client = Ok(known);
    }
    client.map_err(|error| match error {
        Unauthenticated::Missing => Problem::unauthenticated("A bearer token is required."),
        Unauthenticated::Invalid => Problem::unauthenticated("The bearer token is not valid."),
        Unauthenticated::WeakKey => Problem::internal("jwt_secret is shorter than 32 bytes"),
    })
}
