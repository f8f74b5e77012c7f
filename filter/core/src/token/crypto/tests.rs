#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]
use super::*;
use crate::json::Json;
use crate::token::key::KeySet;
use crate::token::signing;
use serde_json::Value;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MESSAGE: &[u8] = b"e30.e30";

/// n, the order of P-256, big-endian.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The order of Ed25519, little-endian.
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn material(jwk: &Value) -> DecodingKey {
    let set = serde_json::json!({ "keys": [jwk] }).to_string();
    let set = KeySet::parse(&Json::parse(set.as_bytes(), 8).unwrap()).unwrap();
    let alg = set.algorithms()[0];
    set.select(jwk["kid"].as_str(), alg)
        .unwrap()
        .material()
        .clone()
}

fn verifies(alg: Alg, key: &DecodingKey, message: &[u8], signature: &[u8]) -> bool {
    let verifier = rust_crypto_verifier(&alg.jose(), key).unwrap();
    assert_eq!(verifier.algorithm(), alg.jose());
    verifier.verify(message, &signature.to_vec()).is_ok()
}

/// The same through jsonwebtoken, as the product asks.
fn verifies_as_installed(alg: Alg, key: &DecodingKey, message: &[u8], signature: &[u8]) -> bool {
    let _installed: Crypto = Crypto::rust_crypto().unwrap();
    jsonwebtoken::crypto::verify(&signing::base64url(signature), message, key, alg.jose()).unwrap()
}

#[test]
fn the_known_answers_of_the_rfcs() {
    let file = include_str!("../../../../../tests/vectors/jose/rfc-signatures.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let source = &vector["source"];
        let alg = Alg::parse(vector["alg"].as_str().unwrap()).unwrap();
        let key = material(&vector["key"]);
        let (signed, signature) = vector["jws"].as_str().unwrap().rsplit_once('.').unwrap();
        let signature = signing::from_base64url(signature);
        assert!(
            verifies(alg, &key, signed.as_bytes(), &signature),
            "{source}"
        );
        assert!(
            verifies_as_installed(alg, &key, signed.as_bytes(), &signature),
            "{source}, installed"
        );
        assert!(
            !verifies(alg, &key, &signed.as_bytes()[1..], &signature),
            "{source}, another message"
        );
        let other = material(&signing::public_jwk(match alg {
            Alg::Rs256 => "rsa-1",
            Alg::Es256 => "ec-1",
            Alg::EdDsa => "ed-1",
        }));
        assert!(
            !verifies(alg, &other, signed.as_bytes(), &signature),
            "{source}, another key"
        );
    }
}

#[test]
fn rs256_has_the_length_of_the_modulus_and_the_hash_it_names() {
    let key = material(&signing::public_jwk("rsa-1"));
    let good = signing::sign("rsa-1", MESSAGE);
    let modulus = signing::from_base64url(signing::public_jwk("rsa-1")["n"].as_str().unwrap());
    let check = |signature: &[u8]| verifies(Alg::Rs256, &key, MESSAGE, signature);
    assert!(check(&good));
    for (why, signature) in [
        ("empty", vec![]),
        (
            "a zero in front: the same number",
            [&[0][..], &good].concat(),
        ),
        ("a zero behind", [&good[..], &[0]].concat()),
        ("one byte short", good[1..].to_vec()),
        ("zero", vec![0; 256]),
        ("one", [&[0; 255][..], &[1]].concat()),
        ("the modulus itself", modulus),
        ("all ones", vec![0xff; 256]),
        ("over SHA-512", signing::sign_rs512("rsa-1", MESSAGE)),
        ("of another key", signing::sign("rsa-2", MESSAGE)),
    ] {
        assert!(!check(&signature), "{why}");
    }
}

#[test]
fn es256_is_64_raw_bytes_with_r_and_s_in_range() {
    let key = material(&signing::public_jwk("ec-1"));
    let good = signing::sign("ec-1", MESSAGE);
    let (r, s) = good.split_at(32);
    let check = |signature: &[u8]| verifies(Alg::Es256, &key, MESSAGE, signature);
    assert!(check(&good));
    let der = P256Signature::from_slice(&good).unwrap().to_der();
    let zero = [0u8; 32];
    for (why, signature) in [
        ("empty", vec![]),
        ("DER", der.as_bytes().to_vec()),
        ("r zero", [&zero, s].concat()),
        ("s zero", [r, &zero].concat()),
        (
            "both zero: valid for every message in broken checks",
            vec![0; 64],
        ),
        ("r the order", [&P256_ORDER, s].concat()),
        ("s the order", [r, &P256_ORDER].concat()),
        ("both the order", [P256_ORDER, P256_ORDER].concat()),
        ("r and s one", [&zero[1..], &[1], &zero[1..], &[1]].concat()),
        ("one byte short", good[..63].to_vec()),
        ("one byte more", [&good[..], &[0]].concat()),
        ("zeros in front of both", [&[0], r, &[0], s].concat()),
        ("r and s changed places", [s, r].concat()),
        ("of another key", signing::sign("ec-2", MESSAGE)),
    ] {
        assert!(!check(&signature), "{why}");
    }
}

/// WHY this is a row of its own: with every ECDSA signature (r, s) the pair (r, n-s) is one too, and RFC 7518 allows both.
/// So two texts can be one token, and nothing in the product may take a signature as the name of a token.
#[test]
fn es256_signatures_come_in_pairs() {
    let key = material(&signing::public_jwk("ec-1"));
    let good = P256Signature::from_slice(&signing::sign("ec-1", MESSAGE)).unwrap();
    let (r, s) = good.split_scalars();
    let other = P256Signature::from_scalars(r, -s).unwrap();
    assert_ne!(good, other);
    assert!(verifies(Alg::Es256, &key, MESSAGE, &other.to_bytes()));
}

#[test]
fn eddsa_is_strict() {
    let key = material(&signing::public_jwk("ed-1"));
    let good = signing::sign("ed-1", MESSAGE);
    let (r, s) = good.split_at(32);
    let check = |signature: &[u8]| verifies(Alg::EdDsa, &key, MESSAGE, signature);
    assert!(check(&good));
    for (why, signature) in [
        ("empty", vec![]),
        (
            "s plus the order: the same number",
            [r, &plus_order(s)].concat(),
        ),
        ("s the order", [r, &ED25519_ORDER].concat()),
        ("s zero", [r, &[0; 32]].concat()),
        ("r the neutral element", [&[1], &[0; 31][..], s].concat()),
        ("all zero", vec![0; 64]),
        ("one byte short", good[..63].to_vec()),
        ("one byte more", [&good[..], &[0]].concat()),
        ("of another key", signing::sign("ed-2", MESSAGE)),
    ] {
        assert!(!check(&signature), "{why}");
    }
}

/// The signature R = neutral, s = 0 is one of the neutral key over every message, for a check that is not strict.
#[test]
fn eddsa_of_a_key_of_small_order_is_refused_even_if_the_key_gets_this_far() {
    let neutral = [&[1][..], &[0; 31]].concat();
    let signature = [&neutral[..], &[0; 32]].concat();
    let lax = Ed25519Key::try_from(&neutral[..]).unwrap();
    let parsed = ed25519_dalek::Signature::from_slice(&signature).unwrap();
    assert!(
        lax.verify(MESSAGE, &parsed).is_ok(),
        "without this the test shows nothing"
    );
    assert!(!verifies(
        Alg::EdDsa,
        &DecodingKey::from_ed_der(&neutral),
        MESSAGE,
        &signature
    ));
}

fn plus_order(s: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    let mut carry = 0;
    for i in 0..32 {
        let digit = u16::from(s[i]) + u16::from(ED25519_ORDER[i]) + carry;
        sum[i] = (digit & 0xff) as u8;
        carry = digit >> 8;
    }
    assert_eq!(carry, 0);
    sum
}

#[test]
fn a_key_makes_a_verifier_only_of_its_own_algorithm() {
    let rsa = material(&signing::public_jwk("rsa-1"));
    let ec = material(&signing::public_jwk("ec-1"));
    let ed = material(&signing::public_jwk("ed-1"));
    let secret = DecodingKey::from_secret(&[7; 65]);
    let small = DecodingKey::from_rsa_raw_components(&[0xff; 255], &[1, 0, 1]);
    let der = DecodingKey::from_rsa_der(&[0x30, 0x00]);
    for (why, alg, key, good) in [
        ("RSA", Algorithm::RS256, &rsa, true),
        ("P-256", Algorithm::ES256, &ec, true),
        ("Ed25519", Algorithm::EdDSA, &ed, true),
        ("RSA key for ES256", Algorithm::ES256, &rsa, false),
        ("RSA key for EdDSA", Algorithm::EdDSA, &rsa, false),
        ("P-256 key for RS256", Algorithm::RS256, &ec, false),
        ("P-256 key for EdDSA", Algorithm::EdDSA, &ec, false),
        ("Ed25519 key for ES256", Algorithm::ES256, &ed, false),
        (
            "RSA key as the secret of HS256",
            Algorithm::HS256,
            &rsa,
            false,
        ),
        ("a secret for HS256", Algorithm::HS256, &secret, false),
        (
            "a secret as a key of P-256",
            Algorithm::ES256,
            &secret,
            false,
        ),
        (
            "a secret as a key of Ed25519",
            Algorithm::EdDSA,
            &secret,
            false,
        ),
        (
            "a small modulus that came another way",
            Algorithm::RS256,
            &small,
            false,
        ),
        (
            "RSA in DER: nothing of ours makes one",
            Algorithm::RS256,
            &der,
            false,
        ),
        ("an algorithm of a later day", Algorithm::PS256, &rsa, false),
        ("and one for a larger curve", Algorithm::ES384, &ec, false),
    ] {
        assert_eq!(rust_crypto_verifier(&alg, key).is_ok(), good, "{why}");
    }
}

#[test]
fn one_provider_for_the_process_and_no_other_after_it() {
    static OTHER: CryptoProvider = CryptoProvider {
        signer_factory: no_signer,
        verifier_factory: |_, _| Err(unsupported()),
        key_utils: NO_KEY_UTILS,
    };
    assert!(Crypto::rust_crypto().is_ok());
    assert!(Crypto::rust_crypto().is_ok(), "the same once more");
    assert!(Crypto::install(&OTHER).is_err());
    assert!(Crypto::rust_crypto().is_ok(), "and the first one stays");
}

#[test]
fn nothing_here_signs_and_key_utilities_refuse_instead_of_panicking() {
    assert!(no_signer(&Algorithm::RS256, &EncodingKey::from_secret(b"x")).is_err());
    let utils = RUST_CRYPTO.key_utils.clone();
    assert!((utils.rsa_pub_components_from_private_key)(&[]).is_err());
    assert!((utils.rsa_pub_components_from_public_key)(&[]).is_err());
    assert!((utils.ec_pub_components_from_private_key)(&[], Algorithm::ES256).is_err());
    assert!(
        (utils.ed_pub_components_from_private_key)(&[], &jsonwebtoken::jwk::EllipticCurve::Ed25519)
            .is_err()
    );
    assert!((utils.compute_digest)(&[], jsonwebtoken::jwk::ThumbprintHash::SHA256).is_err());
}
