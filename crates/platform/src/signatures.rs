//! HS256, and RS256 and ES256 with public keys, for the crate `jsonwebtoken`. Its own providers contain every
//! algorithm: 400 KB of WebAssembly.

use hmac::{Hmac, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use rsa::{BigUint, RsaPublicKey, pkcs1v15};
use sha2::Sha256;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // Called only for keys in the form of a JWK.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Installs these algorithms in `jsonwebtoken` for this process.
pub(crate) fn install() {
    // An error means that they are installed already.
    let _ = PROVIDER.install_default();
}

/// The service signs nothing.
fn signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    Ok(match algorithm {
        Algorithm::HS256 => {
            let hmac = Hmac::new_from_slice(key.try_get_as_bytes()?);
            Box::new(Hs256(hmac.map_err(|_| ErrorKind::InvalidKeyFormat)?))
        }
        Algorithm::RS256 => {
            let DecodingKeyKind::RsaModulusExponent { n, e } = key.kind() else {
                return Err(ErrorKind::InvalidKeyFormat.into());
            };
            let (n, e) = (BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
            let key = RsaPublicKey::new(n, e).map_err(|_| ErrorKind::InvalidKeyFormat)?;
            Box::new(Rs256(pkcs1v15::VerifyingKey::new(key)))
        }
        Algorithm::ES256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key.try_get_as_bytes()?);
            Box::new(Es256(key.map_err(|_| ErrorKind::InvalidKeyFormat)?))
        }
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    })
}

struct Rs256(pkcs1v15::VerifyingKey<Sha256>);

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let signature = pkcs1v15::Signature::try_from(signature.as_slice())?;
        self.0.verify(message, &signature)
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

struct Es256(p256::ecdsa::VerifyingKey);

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let signature = p256::ecdsa::Signature::from_slice(signature)?;
        self.0.verify(message, &signature)
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

struct Hs256(Hmac<Sha256>);

impl Verifier<Vec<u8>> for Hs256 {
    /// Takes the same time wherever the two signatures differ.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let hmac = self.0.clone().chain_update(message);
        hmac.verify_slice(signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
