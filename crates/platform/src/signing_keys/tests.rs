//! Tokens of issuers, good and bad.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::get_current_timestamp;
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::rand_core::OsRng;
use rsa::RsaPrivateKey;
use rsa::pkcs1v15;
use rsa::signature::{SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use serde_json::json;
use sha2::Sha256;

use super::*;

fn rsa_key() -> &'static RsaPrivateKey {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| RsaPrivateKey::new(&mut OsRng, 2048).unwrap())
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
        "e": encoded(key.e().to_bytes_be()), "x5c": ["ignored"],
    })
}

fn ec_jwk(kid: &str) -> Value {
    let point = ec_key().verifying_key().to_encoded_point(false);
    json!({
        "kty": "EC", "kid": kid, "crv": "P-256", "x": encoded(point.x().unwrap()), "y": encoded(point.y().unwrap()),
    })
}

fn keys(keys: Vec<Value>) -> SigningKeys {
    SigningKeys::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({
        "sub": "alice", "iss": "https://issuer.example", "aud": ["other", "todo"],
        "exp": get_current_timestamp() + 60,
    })
}

fn token(algorithm: &str, kid: Option<&str>, claims: &Value) -> String {
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
    format!("{message}.{}", encoded(signature))
}

fn user(keys: &SigningKeys, token: &str) -> Result<String, Fault> {
    let expected = Expected {
        issuer: "https://issuer.example".to_owned(),
        audience: "todo".to_owned(),
    };
    keys.authenticate(token, &expected)
        .map(|client| client.user.to_string())
}

#[test]
fn a_token_of_either_algorithm_names_its_user() {
    let keys = keys(vec![rsa_jwk("r"), ec_jwk("e")]);
    for (algorithm, kid) in [("RS256", "r"), ("ES256", "e")] {
        for kid in [Some(kid), None] {
            let token = token(algorithm, kid, &claims());
            assert!(is_signed_by_issuer(&token));
            assert_eq!(
                user(&keys, &token),
                Ok("alice".to_owned()),
                "{algorithm} {kid:?}"
            );
        }
    }
}

#[test]
fn an_unknown_key_is_not_mistaken_for_an_invalid_token() {
    let keys = keys(vec![rsa_jwk("r")]);
    for (algorithm, kid) in [
        ("RS256", Some("other")),
        ("ES256", Some("r")),
        ("ES256", None),
    ] {
        assert_eq!(
            user(&keys, &token(algorithm, kid, &claims())),
            Err(Fault::UnknownKey),
            "{algorithm} {kid:?}"
        );
    }
}

#[test]
fn an_invalid_token_is_refused() {
    let keys = keys(vec![rsa_jwk("r"), ec_jwk("e")]);
    let good = token("RS256", Some("r"), &claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let with = |member: &str, value: Value| {
        let mut claims = claims();
        claims[member] = value;
        token("RS256", Some("r"), &claims)
    };
    let without = |member: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(member);
        token("RS256", Some("r"), &claims)
    };
    let now = get_current_timestamp();
    let other_message = token("RS256", Some("r"), &json!({"sub": "bob"}));
    let (other_message, _) = other_message.rsplit_once('.').unwrap();
    for bad in [
        String::new(),
        "a.b.c".to_owned(),
        format!("{message}."),
        format!("{message}.{}", encoded([7; 256])),
        format!("{other_message}.{signature}"),
        // The public key as the secret of HS256, and other algorithms of the same keys.
        token("HS256", Some("r"), &claims()),
        token("RS512", Some("r"), &claims()),
        token("PS256", Some("r"), &claims()),
        token("none", Some("r"), &claims()),
        with("iss", json!("https://other.example")),
        with("iss", json!(["https://other.example"])),
        with("aud", json!("other")),
        with("aud", json!([])),
        with("sub", json!("a b")),
        with("sub", json!(7)),
        with("exp", json!(now - 40)),
        with("exp", json!("soon")),
        with("nbf", json!(now + 40)),
        without("iss"),
        without("aud"),
        without("exp"),
        without("sub"),
    ] {
        assert_eq!(user(&keys, &bad), Err(Fault::Invalid), "{bad}");
    }
    for good in [
        with("exp", json!(now - 20)),
        with("nbf", json!(now + 20)),
        with("aud", json!("todo")),
    ] {
        assert_eq!(user(&keys, &good), Ok("alice".to_owned()), "{good}");
    }
}

#[test]
fn keys_for_other_purposes_are_left_out() {
    let with = |mut key: Value, member: &str, value: &str| {
        key[member] = json!(value);
        key
    };
    for key in [
        json!({}),
        json!("key"),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "r"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "r"}),
        with(ec_jwk("e"), "crv", "secp256k1"),
        with(ec_jwk("e"), "use", "enc"),
        with(rsa_jwk("r"), "alg", "RS512"),
        with(rsa_jwk("r"), "use", "enc"),
        with(rsa_jwk("r"), "n", &encoded([255; 128])),
        with(rsa_jwk("r"), "n", &encoded([255; 1024])),
        with(rsa_jwk("r"), "e", &encoded([255; 256])),
    ] {
        assert_eq!(keys(vec![key.clone()]), keys(vec![]), "{key}");
        let both = keys(vec![key, rsa_jwk("r")]);
        assert_eq!(
            user(&both, &token("RS256", Some("r"), &claims())),
            Ok("alice".to_owned())
        );
    }
    for set in ["", "{}", "[]", r#"{"keys": {}}"#] {
        assert_eq!(SigningKeys::parse(set.as_bytes()), None, "{set}");
    }
    assert!(keys(vec![rsa_jwk("r"); 1000]).keys.len() <= MOST_KEYS);
}

#[test]
fn keys_with_wrong_numbers_verify_nothing() {
    let broken = |mut key: Value, member: &str| {
        key[member] = json!(encoded([0; 32]));
        key
    };
    let keys = keys(vec![broken(broken(ec_jwk("e"), "x"), "y")]);
    assert_eq!(
        user(&keys, &token("ES256", Some("e"), &claims())),
        Err(Fault::Invalid)
    );
}

#[test]
fn a_token_without_kid_needs_exactly_one_key_that_fits() {
    let keys = keys(vec![rsa_jwk("a"), rsa_jwk("b")]);
    assert_eq!(
        user(&keys, &token("RS256", None, &claims())),
        Err(Fault::Invalid)
    );
    assert_eq!(
        user(&keys, &token("RS256", Some("b"), &claims())),
        Ok("alice".to_owned())
    );
}

#[test]
fn stored_keys_are_read_back() {
    let keys = keys(vec![rsa_jwk("r"), ec_jwk("e")]);
    let kept = serde_json::to_vec(&keys).unwrap();
    assert_eq!(SigningKeys::parse(&kept), Some(keys));
}

#[test]
fn roles_come_from_the_issuer_too() {
    let keys = keys(vec![rsa_jwk("r")]);
    let expected = Expected {
        issuer: "https://issuer.example".to_owned(),
        audience: "todo".to_owned(),
    };
    for (roles, is_operator) in [
        (json!(["operator"]), true),
        (json!(["user"]), false),
        (json!("operator"), false),
    ] {
        let mut claims = claims();
        claims["roles"] = roles;
        let client = keys.authenticate(&token("RS256", Some("r"), &claims), &expected);
        assert_eq!(
            client.map(|client| client.is_operator),
            Ok(is_operator),
            "{claims}"
        );
    }
}
