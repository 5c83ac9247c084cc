//! The issuer whose published keys verify tokens, besides the service's own secret.
//!
//! An instance remembers nothing, so the keys are kept in the database. They are fetched again when they are old or
//! lack the key that a token names: by one instance, at most once in ten seconds.

use serde::Deserialize;
use serde_json::value::RawValue;
use spin_sdk::http::{Fields, Method, OutgoingRequest, Scheme};

use crate::call::Call;
use crate::client::Client;
use crate::configuration::{self, ConfigurationError};
use crate::database::{Database, DatabaseError};
use crate::outbound;
use crate::problem::Problem;
use crate::signing_keys::{Expected, Fault, SigningKeys};

/// The age, in seconds, at which keys are fetched again. A withdrawn key may still be accepted for so long.
const OLD: i64 = 300;

/// The greatest age, in seconds, of keys that are used while the issuer does not answer.
const TOO_OLD: i64 = 86_400;

/// The least time, in seconds, between two requests to the issuer.
const PATIENCE: i64 = 10;

/// The largest set of keys that is read, in bytes.
const LARGEST_SET: usize = 64 * 1024;

/// An issuer of tokens.
pub struct Issuer {
    origin: String,
    path: String,
    expected: Expected,
}

/// The issuer's keys as the database has them.
#[derive(Deserialize)]
struct Known {
    keys: Option<Box<RawValue>>,
    age: Option<i64>,
    may_ask: bool,
}

impl Issuer {
    /// The issuer of the variables `jwks_origin`, `jwks_path`, `jwt_issuer` and `jwt_audience`; `None` if there is no
    /// path.
    ///
    /// # Errors
    ///
    /// When one of them is not set.
    pub fn from_configuration() -> Result<Option<Self>, ConfigurationError> {
        let path = configuration::variable("jwks_path")?;
        if path.is_empty() {
            return Ok(None);
        }
        let expected = Expected {
            issuer: configuration::required("jwt_issuer")?,
            audience: configuration::required("jwt_audience")?,
        };
        let origin = configuration::variable("jwks_origin")?;
        Ok(Some(Self {
            origin,
            path,
            expected,
        }))
    }

    /// The client that a token names; `None` if the keys do not verify it.
    ///
    /// # Errors
    ///
    /// When the database does not answer, or the issuer does not and there are no usable keys.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Client>, Problem> {
        let database = Database::from_configuration()?;
        let known = self.known(&database)?;
        let may_ask = known.as_ref().is_none_or(|known| known.may_ask);
        let age = known.as_ref().and_then(|known| known.age);
        let keys = known
            .and_then(|known| known.keys)
            .filter(|_| age.is_some_and(|age| age < TOO_OLD))
            .and_then(|keys| SigningKeys::parse(keys.get().as_bytes()));
        let outcome = keys
            .as_ref()
            .map(|keys| keys.authenticate(token, &self.expected));
        let is_old = age.is_none_or(|age| age >= OLD);
        let lacks_key = !matches!(outcome, Some(Ok(_) | Err(Fault::Invalid)));
        let outcome = match outcome {
            outcome if may_ask && (is_old || lacks_key) => match self.ask(&database).await? {
                Some(keys) => Some(keys.authenticate(token, &self.expected)),
                None => outcome,
            },
            outcome => outcome,
        };
        match outcome {
            Some(Ok(client)) => Ok(Some(client)),
            Some(Err(_)) => Ok(None),
            None => Err(Problem::unavailable(
                "the issuer of tokens does not tell its keys",
            )),
        }
    }

    fn address(&self) -> String {
        format!("{}{}", self.origin.trim_end_matches('/'), self.path)
    }

    fn known(&self, database: &Database) -> Result<Option<Known>, DatabaseError> {
        let call = Call::of("read_signing_keys")
            .text("address", self.address())
            .integer("patience", PATIENCE);
        database.call(call)
    }

    /// Fetches the keys, unless another instance does. `None` if there is no usable answer.
    async fn ask(&self, database: &Database) -> Result<Option<SigningKeys>, Problem> {
        let call = Call::of("ask_signing_keys")
            .text("address", self.address())
            .integer("patience", PATIENCE);
        if !database.call::<bool>(call)? {
            return Ok(None);
        }
        let Some(keys) = self.fetch().await else {
            return Ok(None);
        };
        let json =
            serde_json::to_string(&keys).map_err(|error| Problem::internal(error.to_string()))?;
        let call = Call::of("keep_signing_keys")
            .text("address", self.address())
            .json("keys", json);
        let _: bool = database.call(call)?;
        Ok(Some(keys))
    }

    async fn fetch(&self) -> Option<SigningKeys> {
        let (scheme, authority) = match self.origin.split_once("://")? {
            ("https", authority) => (Scheme::Https, authority),
            ("http", authority) => (Scheme::Http, authority),
            _ => return None,
        };
        let fields = Fields::new();
        fields.append("accept", b"application/json").ok()?;
        let request = OutgoingRequest::new(fields);
        request
            .set_method(&Method::Get)
            .and_then(|()| request.set_scheme(Some(&scheme)))
            .and_then(|()| request.set_authority(Some(authority.trim_end_matches('/'))))
            .and_then(|()| request.set_path_with_query(Some(&self.path)))
            .ok()?;
        let response = outbound::send(request, &[]).await.ok()?;
        if response.status() != 200 {
            return None;
        }
        let body = outbound::body(response, LARGEST_SET).await;
        SigningKeys::parse(&body).filter(|_| body.len() <= LARGEST_SET)
    }
}
