//! Who a client is: JSON Web Tokens in the `Authorization` header (RFC 6750, RFC 7519).

use domain::user_id::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

/// Why a client is not known. Carries nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthenticated {
    /// There is no bearer token.
    Missing,
    /// The token is malformed, unsigned, signed by somebody else, expired or names nobody.
    Invalid,
    /// The configured key is shorter than 32 bytes, so no token can be trusted.
    WeakKey,
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    user_id: Option<String>,
}

/// The user named by the value of an `Authorization` header: the claim `sub`, or else `user_id`.
///
/// Accepts HS256 only and requires `exp`, without leeway.
///
/// # Errors
///
/// When there is no token that `key` vouches for.
pub fn authenticate(authorization: Option<&str>, key: &[u8]) -> Result<UserId, Unauthenticated> {
    if key.len() < 32 {
        return Err(Unauthenticated::WeakKey);
    }
    let (scheme, token) = authorization
        .and_then(|value| value.split_once(' '))
        .ok_or(Unauthenticated::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unauthenticated::Missing);
    }
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    let token = decode::<Claims>(token.trim(), &DecodingKey::from_secret(key), &validation)
        .map_err(|_| Unauthenticated::Invalid)?;
    let user = token
        .claims
        .sub
        .or(token.claims.user_id)
        .ok_or(Unauthenticated::Invalid)?;
    UserId::try_from(user).map_err(|_| Unauthenticated::Invalid)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::{Value, json};

    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn signed(algorithm: Algorithm, claims: &Value, key: &[u8]) -> String {
        encode(
            &Header::new(algorithm),
            claims,
            &EncodingKey::from_secret(key),
        )
        .unwrap()
    }

    fn bearer(claims: Value) -> String {
        format!("Bearer {}", signed(Algorithm::HS256, &claims, KEY))
    }

    fn user(authorization: &str) -> Result<String, Unauthenticated> {
        authenticate(Some(authorization), KEY).map(|user| user.to_string())
    }

    #[test]
    fn the_subject_is_the_user() {
        let exp = get_current_timestamp() + 60;
        assert_eq!(
            user(&bearer(
                json!({"sub": "alice", "user_id": "bob", "exp": exp})
            )),
            Ok("alice".into())
        );
        assert_eq!(
            user(&bearer(json!({"user_id": "bob", "exp": exp}))),
            Ok("bob".into())
        );
    }

    #[test]
    fn a_token_that_proves_nothing_is_refused() {
        let exp = get_current_timestamp() + 60;
        let good = json!({"sub": "alice", "exp": exp});
        let unsigned = format!(
            "Bearer {}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(good.to_string())
        );
        for authorization in [
            unsigned,
            format!(
                "Bearer {}",
                signed(Algorithm::HS256, &good, b"another key of thirty-two bytes!")
            ),
            format!("Bearer {}", signed(Algorithm::HS384, &good, KEY)),
            bearer(json!({"sub": "alice"})),
            bearer(json!({"sub": "alice", "exp": get_current_timestamp() - 1})),
            bearer(json!({"sub": "alice", "exp": exp, "nbf": exp})),
            bearer(json!({"sub": "a b", "exp": exp})),
            bearer(json!({"exp": exp})),
            bearer(json!({"sub": 7, "exp": exp})),
            "Bearer x.y.z".to_owned(),
            "Bearer ".to_owned(),
        ] {
            assert_eq!(
                user(&authorization),
                Err(Unauthenticated::Invalid),
                "{authorization}"
            );
        }
    }

    #[test]
    fn other_schemes_and_weak_keys_are_told_apart() {
        assert_eq!(authenticate(None, KEY), Err(Unauthenticated::Missing));
        assert_eq!(
            authenticate(Some("Basic YTpi"), KEY),
            Err(Unauthenticated::Missing)
        );
        assert_eq!(
            authenticate(Some("Bearer x"), b"short"),
            Err(Unauthenticated::WeakKey)
        );
    }
}
