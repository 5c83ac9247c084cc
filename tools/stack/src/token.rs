//! Bearer tokens for the local stack.

use anyhow::{Context, Result};
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{AlgorithmExt, Claims, Header, TimeOptions};
use serde::Serialize;

/// How long a token is valid.
const DAYS: i64 = 1;

/// The role of operators.
pub const OPERATOR: &str = "operator";

#[derive(Serialize)]
struct Subject<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    roles: &'a [&'a str],
}

/// A token (HS256) for a user, valid for a day.
///
/// # Errors
/// When the token cannot be made.
pub fn mint(secret: &str, user: &str) -> Result<String> {
    mint_with_roles(secret, user, &[])
}

/// The same with roles.
///
/// # Errors
/// When the token cannot be made.
pub fn mint_with_roles(secret: &str, user: &str, roles: &[&str]) -> Result<String> {
    let claims = Claims::new(Subject { sub: user, roles })
        .set_duration_and_issuance(&TimeOptions::default(), chrono::Duration::days(DAYS));
    Hs256
        .token(
            &Header::empty().with_token_type("JWT"),
            &claims,
            &Hs256Key::new(secret),
        )
        .context("cannot make a token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_algorithm_user_roles_and_expiry() {
        let secret = "0123456789abcdef0123456789abcdef";
        let claims = claims(&mint(secret, "demo").expect("a token"));
        assert_eq!(claims.custom, serde_json::json!({"sub": "demo"}));
        assert!(claims.expiration.is_some());
        let claims = self::claims(&mint_with_roles(secret, "demo", &[OPERATOR]).expect("a token"));
        assert_eq!(claims.custom["roles"], serde_json::json!(["operator"]));
    }

    fn claims(token: &str) -> Claims<serde_json::Value> {
        let untrusted = jwt_compact::UntrustedToken::new(token).expect("a token");
        assert_eq!(untrusted.algorithm(), "HS256");
        untrusted.deserialize_claims_unchecked().expect("claims")
    }
}
