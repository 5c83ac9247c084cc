//! Who a client is: JSON Web Tokens in the `Authorization` header (RFC 6750, RFC 7519).

use domain::user_id::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, get_current_timestamp};
use serde::Deserialize;

use crate::client::{Client, OPERATOR, Roles};
use crate::signatures;

/// How far an issuer's clock may be ahead of ours, in seconds: `nbf` may be that much later than now.
const NOT_BEFORE_LEEWAY: u64 = 30;

/// How long after `exp` a token is still accepted, in seconds.
const EXPIRY_LEEWAY: u64 = 5;

/// The shortest key that is trusted, in bytes.
pub const SHORTEST_KEY: usize = 32;

/// Why a client is not known. Contains nothing of the token.
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
    exp: f64,
    sub: Option<String>,
    user_id: Option<String>,
    #[serde(default)]
    roles: Roles,
}

/// The token in the value of an `Authorization` header.
pub fn bearer_token(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// The client named by the value of an `Authorization` header: the claim `sub`, or else `user_id`, and its `roles`.
///
/// Accepts HS256 only and requires `exp`.
///
/// # Errors
///
/// When there is no token that `key` verifies.
pub fn authenticate(authorization: Option<&str>, key: &[u8]) -> Result<Client, Unauthenticated> {
    if key.len() < SHORTEST_KEY {
        return Err(Unauthenticated::WeakKey);
    }
    let token = bearer_token(authorization).ok_or(Unauthenticated::Missing)?;
    signatures::install();
    let mut validation = Validation::new(Algorithm::HS256);
    // The library has one leeway for both ends. The end with the shorter one is checked below.
    validation.leeway = NOT_BEFORE_LEEWAY;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    let token = decode::<Claims>(token, &DecodingKey::from_secret(key), &validation)
        .map_err(|_| Unauthenticated::Invalid)?;
    if token.claims.exp + (EXPIRY_LEEWAY as f64) < get_current_timestamp() as f64 {
        return Err(Unauthenticated::Invalid);
    }
    let is_operator = token.claims.roles.has(OPERATOR);
    let user = token
        .claims
        .sub
        .or(token.claims.user_id)
        .ok_or(Unauthenticated::Invalid)?;
    let user = UserId::try_from(user).map_err(|_| Unauthenticated::Invalid)?;
    Ok(Client { user, is_operator })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, Mac};
    use serde_json::{Value, json};
    use sha2::{Sha256, Sha384};

    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn signed(algorithm: &str, claims: &Value, key: &[u8]) -> String {
        let header = json!({"alg": algorithm, "typ": "JWT"});
        let [header, claims] =
            [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = match algorithm {
            "HS256" => Hmac::<Sha256>::new_from_slice(key)
                .unwrap()
                .chain_update(&message)
                .finalize()
                .into_bytes()
                .to_vec(),
            "HS384" => Hmac::<Sha384>::new_from_slice(key)
                .unwrap()
                .chain_update(&message)
                .finalize()
                .into_bytes()
                .to_vec(),
            _ => Vec::new(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn bearer(claims: Value) -> String {
        format!("Bearer {}", signed("HS256", &claims, KEY))
    }

    fn user(authorization: &str) -> Result<String, Unauthenticated> {
        authenticate(Some(authorization), KEY).map(|client| client.user.to_string())
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
    fn a_role_is_in_an_array_and_any_other_form_is_none() {
        let exp = get_current_timestamp() + 60;
        for (roles, expected) in [
            (json!(["operator"]), true),
            (json!([]), false),
            (json!("operator"), false),
            (json!(null), false),
        ] {
            let token = bearer(json!({"sub": "alice", "exp": exp, "roles": roles}));
            let client = authenticate(Some(&token), KEY);
            assert_eq!(
                client.map(|client| client.is_operator),
                Ok(expected),
                "{roles}"
            );
        }
    }

    #[test]
    fn an_invalid_token_is_refused() {
        let exp = get_current_timestamp() + 60;
        let good = json!({"sub": "alice", "exp": exp});
        for authorization in [
            format!("Bearer {}", signed("none", &good, KEY)),
            format!("Bearer {}", signed("RS256", &good, KEY)),
            format!(
                "Bearer {}",
                signed("HS256", &good, b"another key of thirty-two bytes!")
            ),
            format!("Bearer {}", signed("HS384", &good, KEY)),
            bearer(json!({"sub": "alice"})),
            bearer(json!({"sub": "alice", "exp": get_current_timestamp() - 8})),
            bearer(json!({"sub": "alice", "exp": "soon"})),
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
    fn clocks_may_differ_a_little() {
        let now = get_current_timestamp();
        for claims in [
            json!({"sub": "alice", "exp": now + 60, "nbf": now + 20}),
            json!({"sub": "alice", "exp": now - 2}),
            json!({"sub": "alice", "exp": now as f64 + 0.5}),
        ] {
            assert_eq!(
                user(&bearer(claims.clone())),
                Ok("alice".into()),
                "{claims}"
            );
        }
    }

    #[test]
    fn other_schemes_and_weak_keys_have_errors_of_their_own() {
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
