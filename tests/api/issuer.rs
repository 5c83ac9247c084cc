//! Tokens of an issuer that publishes its keys (JWKS), beside those made with the service's own secret.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::answer::Answer;
use e2e::replica::Replica;
use e2e::shared_stack;
use e2e::test_user::TestUser;
use e2e::tokens::seconds_from_now;
use e2e::wait::{Limit, until};
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::rand_core::OsRng;
use rsa::RsaPrivateKey;
use rsa::pkcs1v15;
use rsa::signature::{SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};
use sha2::Sha256;

/// A server of public keys.
struct Issuer {
    origin: String,
    /// What it answers; `None` means an error.
    keys: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn with(keys: Value) -> Self {
        let server = match tiny_http::Server::http("127.0.0.1:0") {
            Ok(server) => server,
            Err(error) => panic!("no server: {error}"),
        };
        let origin = format!("http://{}", server.server_addr());
        let issuer = Self {
            origin,
            keys: Arc::new(Mutex::new(Some(keys))),
            asked: Arc::default(),
        };
        let (keys, asked) = (issuer.keys.clone(), issuer.asked.clone());
        // Ends with the process.
        thread::spawn(move || {
            for request in server.incoming_requests() {
                asked.fetch_add(1, Ordering::Relaxed);
                let keys = keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let is_known = request.url() == "/keys";
                let _ = match keys.filter(|_| is_known) {
                    Some(keys) => request.respond(tiny_http::Response::from_string(
                        json!({"keys": keys}).to_string(),
                    )),
                    None => request.respond(tiny_http::Response::empty(500)),
                };
            }
        });
        issuer
    }

    fn publish(&self, keys: Option<Value>) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// How often its keys were fetched.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// An app that trusts this issuer.
    fn trusted(&self) -> Replica {
        Replica::with(
            shared_stack(),
            &[
                ("jwks_origin", &self.origin),
                ("jwks_path", "/keys"),
                ("jwt_issuer", "https://issuer.example"),
                ("jwt_audience", "todo"),
            ],
        )
    }

    /// Makes the keys in the database this many seconds older.
    fn age(&self, todo: &TestUser, seconds: u32) {
        let statement = format!(
            "UPDATE signing_keys SET
                fetched_at = fetched_at - interval '{seconds} seconds', asked_at = asked_at - interval '{seconds} seconds'
            WHERE address = $1"
        );
        let address = format!("{}/keys", self.origin);
        let aged = todo.database().client().execute(&statement, &[&address]);
        assert!(matches!(aged, Ok(1)), "{aged:?}");
    }
}

fn rsa_key() -> &'static RsaPrivateKey {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| match RsaPrivateKey::new(&mut OsRng, 2048) {
        Ok(key) => key,
        Err(error) => panic!("no key: {error}"),
    })
}

fn ec_key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::random(&mut OsRng))
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa_jwk(kid: &str) -> Value {
    let key = rsa_key();
    json!({
        "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": encoded(key.n().to_bytes_be()),
        "e": encoded(key.e().to_bytes_be()),
    })
}

fn ec_jwk(kid: &str) -> Value {
    let point = ec_key().verifying_key().to_encoded_point(false);
    json!({"kty": "EC", "kid": kid, "crv": "P-256", "x": point.x().map(encoded), "y": point.y().map(encoded)})
}

/// A request of the user with a token of the issuer's.
fn list(todo: &TestUser, algorithm: &str, kid: &str, change: impl FnOnce(&mut Value)) -> Answer {
    let mut claims = json!({
        "sub": todo.user(), "iss": "https://issuer.example", "aud": "todo", "exp": seconds_from_now(60),
    });
    change(&mut claims);
    let header = json!({"alg": algorithm, "typ": "JWT", "kid": kid});
    let message = format!(
        "{}.{}",
        encoded(header.to_string()),
        encoded(claims.to_string())
    );
    let signature = if algorithm == "ES256" {
        let signature: p256::ecdsa::Signature = ec_key().sign(message.as_bytes());
        signature.to_vec()
    } else {
        let key = pkcs1v15::SigningKey::<Sha256>::new(rsa_key().clone());
        key.sign(message.as_bytes()).to_vec()
    };
    let token = format!("Bearer {message}.{}", encoded(signature));
    todo.call("GET", todo.tasks_path())
        .authorization(Some(&token))
        .send()
}

#[test]
fn an_issuers_tokens_are_taken_beside_those_of_the_secret() {
    let issuer = Issuer::with(json!([rsa_jwk("r"), ec_jwk("e")]));
    let replica = issuer.trusted();
    let todo = TestUser::random_on(replica.endpoints());
    todo.list("").expect(200);
    assert_eq!(issuer.asked(), 0, "nobody needed its keys");
    for _ in 0..3 {
        list(&todo, "RS256", "r", |_| {}).expect(200);
        list(&todo, "ES256", "e", |_| {}).expect(200);
    }
    list(&todo, "RS256", "r", |claims| {
        claims["exp"] = json!(seconds_from_now(-20))
    })
    .expect(200);
    let changes: [fn(&mut Value); 5] = [
        |claims| claims["exp"] = json!(seconds_from_now(-40)),
        |claims| claims["nbf"] = json!(seconds_from_now(40)),
        |claims| claims["iss"] = json!("https://other.example"),
        |claims| claims["aud"] = json!("other"),
        |claims| {
            drop(
                claims
                    .as_object_mut()
                    .and_then(|claims| claims.remove("aud")),
            )
        },
    ];
    for change in changes {
        list(&todo, "RS256", "r", change).problem(401, "unauthenticated");
    }
    list(&todo, "RS256", "r", |claims| {
        claims["sub"] = json!("another")
    })
    .problem(403, "forbidden");
    list(&todo, "RS512", "r", |_| {}).problem(401, "unauthenticated");
    list(&todo, "RS256", "unknown", |_| {}).problem(401, "unauthenticated");
    assert_eq!(issuer.asked(), 1, "its keys are kept");

    // Another app, without an issuer, accepts none of these tokens.
    let other = TestUser::named(todo.user(), shared_stack());
    list(&other, "RS256", "r", |_| {}).problem(401, "unauthenticated");
    other.list("").expect(200);
}

#[test]
fn a_new_key_is_taken_and_an_old_one_ends() {
    let issuer = Issuer::with(json!([rsa_jwk("r")]));
    let replica = issuer.trusted();
    let todo = TestUser::random_on(replica.endpoints());
    list(&todo, "RS256", "r", |_| {}).expect(200);
    issuer.publish(Some(json!([ec_jwk("e")])));
    until("the new key is taken", Limit::RECOVERY, || {
        let answer = list(&todo, "ES256", "e", |_| {});
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.status)
        }
    });
    list(&todo, "RS256", "r", |_| {}).problem(401, "unauthenticated");
    assert!(issuer.asked() <= 4, "{}", issuer.asked());

    // No token names a new key, but the keys are old.
    issuer.publish(Some(json!([rsa_jwk("r")])));
    list(&todo, "ES256", "e", |_| {}).expect(200);
    issuer.age(&todo, 301);
    list(&todo, "ES256", "e", |_| {}).problem(401, "unauthenticated");
    list(&todo, "RS256", "r", |_| {}).expect(200);
}

#[test]
fn while_the_issuer_does_not_answer_its_keys_are_good_for_a_day() {
    let issuer = Issuer::with(json!([rsa_jwk("r")]));
    let replica = issuer.trusted();
    let todo = TestUser::random_on(replica.endpoints());
    issuer.publish(None);
    for _ in 0..3 {
        list(&todo, "RS256", "r", |_| {}).problem(503, "unavailable");
    }
    assert_eq!(issuer.asked(), 1, "it is not asked again at once");
    todo.list("").expect(200);
    issuer.publish(Some(json!([rsa_jwk("r")])));
    until("it is asked again", Limit::RECOVERY, || {
        let answer = list(&todo, "RS256", "r", |_| {});
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.status)
        }
    });
    issuer.publish(None);
    issuer.age(&todo, 80_000);
    list(&todo, "RS256", "r", |_| {}).expect(200);
    issuer.age(&todo, 10_000);
    list(&todo, "RS256", "r", |_| {}).problem(503, "unavailable");
    todo.list("").expect(200);
}
