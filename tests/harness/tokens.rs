//! Tokens that the service did not ask for.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::Value;

/// A token with these claims, signed with `key` by an HMAC algorithm.
pub fn signed(algorithm: Algorithm, claims: &Value, key: &str) -> String {
    let key = EncodingKey::from_secret(key.as_bytes());
    match encode(&Header::new(algorithm), claims, &key) {
        Ok(token) => token,
        Err(error) => panic!("cannot sign: {error}"),
    }
}

/// Seconds since 1970, `offset` from now, as `exp` and `nbf` count.
pub fn seconds_from_now(offset: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i64::try_from(now).unwrap_or(i64::MAX) + offset
}
