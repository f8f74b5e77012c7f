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
use rsa::BigUint;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};

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

/// A signature in JWS form by the key of this id, with the algorithm of its kind.
pub(crate) fn sign(kid: &str, message: &[u8]) -> Vec<u8> {
    let key = private_jwk(kid);
    match key["kty"].as_str().unwrap() {
        "RSA" => {
            let scheme = rsa::Pkcs1v15Sign::new::<Sha256>();
            rsa_key(&key)
                .sign(scheme, &Sha256::digest(message))
                .unwrap()
        }
        "EC" => {
            use p256::ecdsa::signature::Signer;
            let key = p256::ecdsa::SigningKey::from_slice(&number(&key, "d")).unwrap();
            let signature: p256::ecdsa::Signature = key.sign(message);
            signature.to_bytes().to_vec()
        }
        "OKP" => {
            use ed25519_dalek::Signer;
            let seed = number(&key, "d").try_into().unwrap();
            let key = ed25519_dalek::SigningKey::from_bytes(&seed);
            key.sign(message).to_bytes().to_vec()
        }
        kty => panic!("no test signer for {kty}"),
    }
}

/// RSA over SHA-512, for the test that a verifier of RS256 looks at the hash that the signature names.
pub(crate) fn sign_rs512(kid: &str, message: &[u8]) -> Vec<u8> {
    let scheme = rsa::Pkcs1v15Sign::new::<Sha512>();
    let key = rsa_key(&private_jwk(kid));
    key.sign(scheme, &Sha512::digest(message)).unwrap()
}

/// HMAC-SHA256 (RFC 2104), for the attack that uses a public key as a shared secret.
pub(crate) fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    if secret.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        block[..secret.len()].copy_from_slice(secret);
    }
    let inner = Sha256::new()
        .chain_update(block.map(|b| b ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|b| b ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

/// A whole token: this header and these claims, word for word, signed by the key of this id.
pub(crate) fn token(kid: &str, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(claims));
    let signature = base64url(sign(kid, signed.as_bytes()));
    format!("{signed}.{signature}")
}
