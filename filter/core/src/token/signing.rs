//! For tests: an issuer that signs whatever it is told, with the fixed keys under tests/vectors/jose.
//!
//! It uses nothing of the product, so that it is a second opinion on the form of a token; the integration tests and the
//! unit tests share this file.
#![allow(
    dead_code,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test that shares this file uses a part of it; one that panics has failed, as it should"
)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::DynDigest;
use rsa::BigUint;
use rsa::pkcs8::AssociatedOid;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha384, Sha512};

const KEYS: &str = include_str!("../../../../tests/vectors/jose/TEST-ONLY-private-keys.json");

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The private key of this id, as a JWK.
fn private_jwk(kid: &str) -> Value {
    let file: Value = serde_json::from_str(KEYS).unwrap();
    let keys = file["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == kid);
    key.unwrap_or_else(|| panic!("no test key {kid}")).clone()
}

fn number(key: &Value, name: &str) -> Vec<u8> {
    from_base64url(key[name].as_str().unwrap())
}

fn rsa_key(key: &Value) -> rsa::RsaPrivateKey {
    let big = |name| BigUint::from_bytes_be(&number(key, name));
    rsa::RsaPrivateKey::from_components(big("n"), big("e"), big("d"), vec![big("p"), big("q")])
        .unwrap()
}

/// The public half of a test key.
pub(crate) fn public_jwk(kid: &str) -> Value {
    let mut key = private_jwk(kid);
    for private in ["d", "p", "q"] {
        key.as_object_mut().unwrap().remove(private);
    }
    key
}

/// A key set of the public halves, as text. `a=b` takes the key `a` and publishes it under the id `b`.
pub(crate) fn jwks(kids: &[&str]) -> String {
    let keys: Vec<Value> = kids
        .iter()
        .map(|kid| match kid.split_once('=') {
            None => public_jwk(kid),
            Some((kid, published)) => {
                let mut key = public_jwk(kid);
                key["kid"] = published.into();
                key
            }
        })
        .collect();
    serde_json::json!({ "keys": keys }).to_string()
}

/// A signature in JWS form by the key of this id, with the first algorithm of its kind.
pub(crate) fn sign(kid: &str, message: &[u8]) -> Vec<u8> {
    let key = private_jwk(kid);
    let alg = match (key["kty"].as_str().unwrap(), key["crv"].as_str()) {
        ("RSA", None) => "RS256",
        ("EC", Some("P-256")) => "ES256",
        ("EC", Some("P-384")) => "ES384",
        ("EC", Some("P-521")) => "ES512",
        ("OKP", Some("Ed25519")) => "EdDSA",
        ("oct", None) => "HS256",
        kind => panic!("no test signer for {kind:?}"),
    };
    sign_as(alg, kid, message)
}

/// A signature in JWS form by the key of this id, with this algorithm.
pub(crate) fn sign_as(alg: &str, kid: &str, message: &[u8]) -> Vec<u8> {
    let key = private_jwk(kid);
    match alg {
        "RS256" => rs::<Sha256>(&key, message),
        "RS384" => rs::<Sha384>(&key, message),
        "RS512" => rs::<Sha512>(&key, message),
        "PS256" => ps::<Sha256>(&key, message, 32),
        "PS384" => ps::<Sha384>(&key, message, 48),
        "PS512" => ps::<Sha512>(&key, message, 64),
        "ES256" => {
            use p256::ecdsa::signature::Signer;
            let key = p256::ecdsa::SigningKey::from_slice(&number(&key, "d")).unwrap();
            let signature: p256::ecdsa::Signature = key.sign(message);
            signature.to_bytes().to_vec()
        }
        "ES384" => {
            use p384::ecdsa::signature::Signer;
            let key = p384::ecdsa::SigningKey::from_slice(&number(&key, "d")).unwrap();
            let signature: p384::ecdsa::Signature = key.sign(message);
            signature.to_bytes().to_vec()
        }
        "ES512" => {
            use p521::ecdsa::signature::RandomizedSigner;
            let key = p521::ecdsa::SigningKey::from_slice(&number(&key, "d")).unwrap();
            let mut source = NoRandomness(message.len() as u64);
            let signature: p521::ecdsa::Signature = key.sign_with_rng(&mut source, message);
            signature.to_bytes().to_vec()
        }
        "EdDSA" => {
            use ed25519_dalek::Signer;
            let seed = number(&key, "d").try_into().unwrap();
            let key = ed25519_dalek::SigningKey::from_bytes(&seed);
            key.sign(message).to_bytes().to_vec()
        }
        "HS256" => mac::<hmac::Hmac<Sha256>>(&number(&key, "k"), message),
        "HS384" => mac::<hmac::Hmac<Sha384>>(&number(&key, "k"), message),
        "HS512" => mac::<hmac::Hmac<Sha512>>(&number(&key, "k"), message),
        alg => panic!("no test signer for {alg}"),
    }
}

fn rs<D: Digest + AssociatedOid>(key: &Value, message: &[u8]) -> Vec<u8> {
    let scheme = rsa::Pkcs1v15Sign::new::<D>();
    rsa_key(key).sign(scheme, &D::digest(message)).unwrap()
}

/// RSASSA-PSS with a salt of this many bytes, all alike.
fn ps<D>(key: &Value, message: &[u8], salt: usize) -> Vec<u8>
where
    D: Digest + DynDigest + Send + Sync + 'static,
{
    let scheme = rsa::Pss::new_with_salt::<D>(salt);
    rsa_key(key)
        .sign_with_rng(&mut NoRandomness(0), scheme, &D::digest(message))
        .unwrap()
}

/// PS256 with a salt of another length than RFC 7518 section 3.5 asks for.
pub(crate) fn ps256_with_salt(kid: &str, message: &[u8], salt: usize) -> Vec<u8> {
    ps::<Sha256>(&private_jwk(kid), message, salt)
}

/// Salts and nonces of the tests: the same in every run, from a counter.
struct NoRandomness(u64);

impl rsa::rand_core::RngCore for NoRandomness {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(64) {
            self.0 = self.0.wrapping_add(1);
            chunk.copy_from_slice(&Sha512::digest(self.0.to_be_bytes())[..chunk.len()]);
        }
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl rsa::rand_core::CryptoRng for NoRandomness {}

fn mac<M: hmac::Mac + hmac::digest::KeyInit>(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = <M as hmac::Mac>::new_from_slice(secret).unwrap();
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

/// HMAC-SHA256, for the attack that uses a public key as a shared secret.
pub(crate) fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    mac::<hmac::Hmac<Sha256>>(secret, message)
}

/// A whole token: this header and these claims, word for word, signed by the key of this id with this algorithm.
pub(crate) fn token_as(alg: &str, kid: &str, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(claims));
    let signature = base64url(sign_as(alg, kid, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The same, with the first algorithm of the key's kind.
pub(crate) fn token(kid: &str, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(claims));
    let signature = base64url(sign(kid, signed.as_bytes()));
    format!("{signed}.{signature}")
}
