//! Bearer tokens for the local stack.

use anyhow::{Context, Result};
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{AlgorithmExt, Claims, Header, TimeOptions};
use serde::Serialize;

/// How long a token is valid.
const DAYS: i64 = 1;

#[derive(Serialize)]
struct Subject<'a> {
    sub: &'a str,
}

/// A token (HS256) for a user, valid for a day.
///
/// # Errors
/// When the token cannot be made.
pub fn mint(secret: &str, user: &str) -> Result<String> {
    let claims = Claims::new(Subject { sub: user })
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
    fn a_token_names_algorithm_user_and_expiry() {
        let token = mint("0123456789abcdef0123456789abcdef", "demo").expect("a token");
        let untrusted = jwt_compact::UntrustedToken::new(&token).expect("a token");
        assert_eq!(untrusted.algorithm(), "HS256");
        let claims = untrusted
            .deserialize_claims_unchecked::<serde_json::Value>()
            .expect("claims");
        assert_eq!(claims.custom["sub"], "demo");
        assert!(claims.expiration.is_some());
    }
}
