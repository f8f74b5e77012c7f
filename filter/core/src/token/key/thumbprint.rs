//! The thumbprint of a public key (RFC 7638, RFC 8037 section 2): its name in `cnf.jkt` and in proofs (RFC 9449).
//!
//! Decided here: that only a key that we would take has one, so that no member of it can hold what would need escaping, and one
//! key has one thumbprint. A shared secret has none: its hash would help to guess it.

use sha2::{Digest, Sha256};

use super::KeyWhy;
use super::read::{public, text};
use crate::json::Json;
use crate::token::algorithm::KeyKind;

/// SHA-256 over the members that make the key, in the order of their names and without white space (RFC 7638 section 3).
///
/// # Errors
/// As for a public key in a set.
pub(in crate::token) fn thumbprint(jwk: &Json) -> Result<[u8; 32], KeyWhy> {
    let (kind, _) = public(jwk)?;
    let members: &[&'static str] = match kind {
        KeyKind::Rsa => &["e", "kty", "n"],
        KeyKind::Ec(_) => &["crv", "kty", "x", "y"],
        KeyKind::Ed25519 => &["crv", "kty", "x"],
        KeyKind::Oct => return Err(KeyWhy::SharedSecret),
    };
    let mut hash = Sha256::new();
    let mut before = "{";
    for name in members {
        hash.update(format!("{before}\"{name}\":\"{}\"", text(jwk, name)?));
        before = ",";
    }
    hash.update("}");
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::signing;
    use serde_json::{Value, json};

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn printed(jwk: &Value) -> Result<String, KeyWhy> {
        let json = Json::parse(jwk.to_string().as_bytes(), 8).unwrap();
        thumbprint(&json).map(signing::base64url)
    }

    #[test]
    fn the_examples_of_the_rfcs() {
        let file = include_str!("../../../../../tests/vectors/jose/thumbprints.json");
        let file: Value = serde_json::from_str(file).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 5);
        for vector in vectors {
            let expected = vector["thumbprint"].as_str().unwrap();
            let mut key = vector["key"].clone();
            assert_eq!(
                printed(&key).as_deref(),
                Ok(expected),
                "{}",
                vector["source"]
            );
            key["kid"] = json!("another name");
            key["use"] = json!("sig");
            assert_eq!(
                printed(&key).as_deref(),
                Ok(expected),
                "{}: members that only describe do not count",
                vector["source"]
            );
        }
    }

    #[test]
    fn what_is_no_public_key_of_ours_has_none() {
        let key = signing::public_jwk("ec-1");
        let with = |name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        for (why, jwk, expected) in [
            (
                "a secret",
                json!({"kty": "oct", "k": "AAAA"}),
                KeyWhy::SharedSecret,
            ),
            (
                "a private key",
                with("d", json!("AA")),
                KeyWhy::Private("d"),
            ),
            (
                "a member that breaks out of its string",
                with("x", json!("\",\"y\":\"")),
                KeyWhy::NotBase64Url("x"),
            ),
            (
                "a curve that is none",
                with("crv", json!("P-256\",\"x\":\"")),
                KeyWhy::CurveRefused,
            ),
            ("no key", json!([]), KeyWhy::Member("kty")),
        ] {
            assert_eq!(printed(&jwk), Err(expected), "{why}");
        }
    }
}
