//! Tokens that an issuer signs with a private key, and the public keys that it publishes (RFC 7517, RFC 7518).

use domain::user_id::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Client, OPERATOR, Roles};
use crate::signatures;

/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 30;

/// How many keys of a set are looked at.
const MOST_KEYS: usize = 50;

/// The accepted sizes of an RSA modulus, in bytes: a smaller one is weak, a larger one costs too much to verify.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=512;

/// The keys that an issuer publishes. Only those for accepted algorithms are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeys {
    keys: Vec<Key>,
}

/// A public key, as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

/// What a token must say about its issuer and its audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The claim `iss`.
    pub issuer: String,
    /// What the claim `aud` must contain.
    pub audience: String,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its algorithm is not accepted, or no key verifies it.
    Invalid,
    /// It names a key that is not in the set. The set may be old.
    UnknownKey,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    roles: Roles,
}

/// Whether a token says that it is signed with RS256 or ES256.
pub fn is_signed_by_issuer(token: &str) -> bool {
    algorithm(token).is_some()
}

fn algorithm(token: &str) -> Option<(Algorithm, Option<String>)> {
    let header = decode_header(token).ok()?;
    match header.alg {
        Algorithm::RS256 | Algorithm::ES256 => Some((header.alg, header.kid)),
        _ => None,
    }
}

impl Key {
    /// The key's algorithm, if it is an accepted one and the key is fit for it.
    fn algorithm(&self) -> Option<Algorithm> {
        let algorithm = match self.kty.as_str() {
            "RSA" if self.is_of_good_size() => Algorithm::RS256,
            "EC" if self.crv.as_deref() == Some("P-256") => Algorithm::ES256,
            _ => return None,
        };
        let is = |member: &Option<String>, wanted: &str| {
            member.as_deref().is_none_or(|given| given == wanted)
        };
        let name = if algorithm == Algorithm::RS256 {
            "RS256"
        } else {
            "ES256"
        };
        (is(&self.purpose, "sig") && is(&self.alg, name)).then_some(algorithm)
    }

    fn is_of_good_size(&self) -> bool {
        // Four characters of Base64 are three bytes.
        let bytes = self.n.as_ref().map_or(0, |modulus| modulus.len() * 3 / 4);
        MODULUS.contains(&bytes) && self.e.as_ref().is_some_and(|exponent| exponent.len() <= 6)
    }

    fn decoding(&self) -> Option<DecodingKey> {
        match self {
            Self {
                n: Some(n),
                e: Some(e),
                ..
            } if self.kty == "RSA" => DecodingKey::from_rsa_components(n, e),
            Self {
                x: Some(x),
                y: Some(y),
                ..
            } if self.kty == "EC" => DecodingKey::from_ec_components(x, y),
            _ => return None,
        }
        .ok()
    }
}

impl SigningKeys {
    /// Reads a set of keys as it is published. Leaves out keys for other purposes, of other kinds and of unknown form.
    /// `None` if the text is not a set of keys.
    pub fn parse(set: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Published {
            keys: Vec<Value>,
        }
        let published: Published = serde_json::from_slice(set).ok()?;
        let keys = published.keys.into_iter().take(MOST_KEYS);
        let keys = keys.filter_map(|key| serde_json::from_value::<Key>(key).ok());
        Some(Self {
            keys: keys.filter(|key| key.algorithm().is_some()).collect(),
        })
    }

    /// The client that a token names, by the claims `sub` and `roles`.
    ///
    /// # Errors
    ///
    /// When none of these keys verifies it, or it has another issuer or audience, or it is not valid now.
    pub fn authenticate(&self, token: &str, expected: &Expected) -> Result<Client, Fault> {
        let (algorithm, kid) = algorithm(token).ok_or(Fault::Invalid)?;
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.algorithm() == Some(algorithm) && (kid.is_none() || key.kid == kid));
        let key = fitting.next().ok_or(Fault::UnknownKey)?;
        if kid.is_none() && fitting.next().is_some() {
            // The error does not say which of them.
            return Err(Fault::Invalid);
        }
        signatures::install();
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&expected.issuer]);
        validation.set_audience(&[&expected.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let key = key.decoding().ok_or(Fault::Invalid)?;
        let token = decode::<Claims>(token, &key, &validation).map_err(|_| Fault::Invalid)?;
        let is_operator = token.claims.roles.has(OPERATOR);
        let user = UserId::try_from(token.claims.sub).map_err(|_| Fault::Invalid)?;
        Ok(Client { user, is_operator })
    }
}

#[cfg(test)]
mod tests;
