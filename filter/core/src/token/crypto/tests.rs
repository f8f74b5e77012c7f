#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]
use super::*;
use crate::json::Json;
use crate::token::host::tests::right;
use crate::token::key::KeySet;
use crate::token::key::info;
use crate::token::{signing, vectors};
use serde_json::{Value, json};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MESSAGE: &[u8] = b"e30.e30";

/// The order n of each curve, big-endian, in hexadecimal digits.
const ORDERS: [(Alg, &str); 3] = [
    (
        Alg::Es256,
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    ),
    (
        Alg::Es384,
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    ),
    (
        Alg::Es512,
        "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
    ),
];

/// The order of Ed25519, little-endian.
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn material(jwk: &Value, alg: Alg) -> DecodingKey {
    let set = json!({ "keys": [jwk] }).to_string();
    let set = Json::parse(set.as_bytes(), 8).unwrap();
    let set = match jwk["kty"].as_str() {
        Some("oct") => KeySet::parse_secrets(&set),
        _ => KeySet::parse(&set),
    };
    let set = set.unwrap();
    let key = set.select(jwk["kid"].as_str(), alg).unwrap();
    key.material().clone()
}

fn key(kid: &str, alg: Alg) -> DecodingKey {
    material(&signing::public_jwk(kid), alg)
}

/// RustCrypto helped by a gateway that answers rightly, and our provider installed, with RustCrypto alone.
pub(in crate::token) fn helped() -> Crypto {
    static GATEWAY: OnceLock<Option<Gateway>> = OnceLock::new();
    let gateway = *GATEWAY.get_or_init(|| Gateway::tried(right));
    assert!(gateway.is_some_and(Gateway::checks_all));
    assert!(Crypto::rust_crypto().is_ok());
    Crypto { gateway }
}

/// The verdict of RustCrypto, after seeing that a gateway gives the same.
fn verifies(alg: Alg, key: &DecodingKey, message: &[u8], signature: &[u8]) -> bool {
    let alone = Crypto { gateway: None };
    let verdict = alone.check(alg, key, message, signature);
    let helped = helped().check(alg, key, message, signature);
    assert_eq!(verdict, helped, "{alg}: the gateway disagrees");
    verdict.is_ok()
}

/// The same through jsonwebtoken, as the product asks.
fn verifies_as_installed(alg: Alg, key: &DecodingKey, message: &[u8], signature: &[u8]) -> bool {
    let crypto = Crypto::rust_crypto().unwrap();
    crypto.verifies(alg, key, message, &signing::base64url(signature))
}

/// Two test keys for an algorithm.
fn two_keys(alg: Alg) -> [&'static str; 2] {
    use crate::token::algorithm::{Curve, KeyKind};
    match alg.key_kind() {
        KeyKind::Rsa => ["rsa-1", "rsa-2"],
        KeyKind::Ec(Curve::P256) => ["ec-1", "ec-2"],
        KeyKind::Ec(Curve::P384) => ["ec384-1", "ec384-2"],
        KeyKind::Ec(Curve::P521) => ["ec521-1", "ec521-2"],
        KeyKind::Ed25519 => ["ed-1", "ed-2"],
        KeyKind::Oct => ["oct-1", "oct-2"],
    }
}

#[test]
fn the_known_answers_of_the_rfcs() {
    let file = include_str!("../../../../../tests/vectors/jose/rfc-signatures.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 9);
    for vector in vectors {
        let source = &vector["source"];
        let alg = Alg::parse(vector["alg"].as_str().unwrap()).unwrap();
        let known = material(&vector["key"], alg);
        let (signed, signature) = vector["jws"].as_str().unwrap().rsplit_once('.').unwrap();
        let signed = signed.as_bytes();
        let signature = signing::from_base64url(signature);
        assert!(verifies(alg, &known, signed, &signature), "{source}");
        assert!(
            verifies_as_installed(alg, &known, signed, &signature),
            "{source}, installed"
        );
        for at in [0, signature.len() / 2, signature.len() - 1] {
            let mut other = signature.clone();
            other[at] ^= 1;
            assert!(
                !verifies(alg, &known, signed, &other),
                "{source}, byte {at}"
            );
        }
        assert!(
            !verifies(alg, &known, &signed[1..], &signature),
            "{source}, another message"
        );
        let other = key(two_keys(alg)[0], alg);
        assert!(
            !verifies(alg, &other, signed, &signature),
            "{source}, another key"
        );
    }
}

/// Each algorithm and each key of ours, against what all algorithms of the same kind of key sign: only the same pair holds.
#[test]
fn a_signature_holds_for_its_algorithm_and_its_key_alone() {
    let all: Vec<(Alg, &str)> = Alg::ALL
        .iter()
        .flat_map(|alg| two_keys(*alg).map(|kid| (*alg, kid)))
        .collect();
    let signed: Vec<Vec<u8>> = all
        .iter()
        .map(|(alg, kid)| signing::sign_as(alg.name(), kid, MESSAGE))
        .collect();
    let (mut held, mut refused) = (0, 0);
    for (alg, kid) in &all {
        let key = key(kid, *alg);
        for (by, signature) in all.iter().zip(&signed) {
            if by.0.key_kind() != alg.key_kind() {
                continue;
            }
            let holds = verifies(*alg, &key, MESSAGE, signature);
            assert_eq!(holds, by == &(*alg, *kid), "{alg} {kid} for {by:?}");
            let installed = verifies_as_installed(*alg, &key, MESSAGE, signature);
            assert_eq!(installed, holds, "{alg} {kid} for {by:?}, installed");
            if holds { held += 1 } else { refused += 1 }
        }
    }
    assert_eq!((held, refused), (26, 12 * 11 + 4 * 2 + 6 * 5));
}

#[test]
fn rs256_has_the_length_of_the_modulus_and_the_hash_it_names() {
    let key = key("rsa-1", Alg::Rs256);
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
        ("over SHA-512", signing::sign_as("RS512", "rsa-1", MESSAGE)),
        ("PSS", signing::sign_as("PS256", "rsa-1", MESSAGE)),
        ("of another key", signing::sign("rsa-2", MESSAGE)),
    ] {
        assert!(!check(&signature), "{why}");
    }
}

#[test]
fn the_salt_of_pss_is_as_long_as_the_hash() {
    let key = key("rsa-1", Alg::Ps256);
    for (why, salt, holds) in [
        ("as long", 32, true),
        ("none", 0, false),
        ("one byte short", 31, false),
        ("one byte more", 33, false),
        ("that of SHA-1, an old default", 20, false),
        ("the most there can be, OpenSSL's default", 222, false),
    ] {
        let signature = signing::ps256_with_salt("rsa-1", MESSAGE, salt);
        assert_eq!(
            verifies(Alg::Ps256, &key, MESSAGE, &signature),
            holds,
            "{why}"
        );
    }
}

#[test]
fn ecdsa_signatures_are_raw_with_r_and_s_in_range() {
    for (alg, order) in ORDERS {
        let [kid, other] = two_keys(alg);
        let key = key(kid, alg);
        let order = vectors::from_hex(order);
        let size = order.len();
        let good = signing::sign(kid, MESSAGE);
        let (r, s) = good.split_at(size);
        let check = |signature: &[u8]| verifies(alg, &key, MESSAGE, signature);
        assert!(check(&good));
        let zero = vec![0u8; size];
        let one = [&zero[1..], &[1]].concat();
        for (why, signature) in [
            ("empty", vec![]),
            ("DER", der(alg, &good)),
            ("r zero", [&zero[..], s].concat()),
            ("s zero", [r, &zero].concat()),
            (
                "both zero: valid for every message in broken checks",
                vec![0; 2 * size],
            ),
            ("r the order", [&order[..], s].concat()),
            ("s the order", [r, &order].concat()),
            ("both the order", [&order[..], &order].concat()),
            ("all ones", vec![0xff; 2 * size]),
            ("r and s one", [&one[..], &one].concat()),
            ("one byte short", good[..2 * size - 1].to_vec()),
            ("one byte more", [&good[..], &[0]].concat()),
            ("zeros in front of both", [&[0], r, &[0], s].concat()),
            ("r and s changed places", [s, r].concat()),
            ("of another key", signing::sign(other, MESSAGE)),
        ] {
            assert!(!check(&signature), "{alg}: {why}");
        }
    }
}

/// The DER form of a raw signature.
fn der(alg: Alg, raw: &[u8]) -> Vec<u8> {
    match alg {
        Alg::Es256 => {
            let signature = p256::ecdsa::Signature::from_slice(raw).unwrap();
            signature.to_der().as_bytes().to_vec()
        }
        Alg::Es384 => {
            let signature = p384::ecdsa::Signature::from_slice(raw).unwrap();
            signature.to_der().as_bytes().to_vec()
        }
        _ => {
            let signature = p521::ecdsa::Signature::from_slice(raw).unwrap();
            signature.to_der().as_bytes().to_vec()
        }
    }
}

/// WHY this is a row of its own: with every ECDSA signature (r, s) the pair (r, n-s) is one too, and RFC 7518 allows both.
/// So two texts can be one token, and nothing in the product may take a signature as the name of a token.
#[test]
fn ecdsa_signatures_come_in_pairs() {
    let key = key("ec-1", Alg::Es256);
    let good = p256::ecdsa::Signature::from_slice(&signing::sign("ec-1", MESSAGE)).unwrap();
    let (r, s) = good.split_scalars();
    let other = p256::ecdsa::Signature::from_scalars(r, -s).unwrap();
    assert_ne!(good, other);
    assert!(verifies(Alg::Es256, &key, MESSAGE, &other.to_bytes()));
}

#[test]
fn a_mac_is_compared_whole() {
    for alg in [Alg::Hs256, Alg::Hs384, Alg::Hs512] {
        let key = key("oct-1", alg);
        let good = signing::sign_as(alg.name(), "oct-1", MESSAGE);
        assert!(verifies(alg, &key, MESSAGE, &good));
        for (why, tag) in [
            ("empty: nothing differs", vec![]),
            ("the first byte alone", good[..1].to_vec()),
            (
                "the first half: truncated HMAC",
                good[..good.len() / 2].to_vec(),
            ),
            ("one byte short", good[..good.len() - 1].to_vec()),
            ("one byte more", [&good[..], &[0]].concat()),
        ] {
            assert!(!verifies(alg, &key, MESSAGE, &tag), "{alg}: {why}");
        }
    }
}

#[test]
fn eddsa_is_strict() {
    let key = key("ed-1", Alg::EdDsa);
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
    let lax = ed25519_dalek::VerifyingKey::try_from(&neutral[..]).unwrap();
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

/// What a key of the wrong kind is refused for is the kind, and not the signature: each row has one that would hold.
#[test]
fn a_key_checks_only_algorithms_of_its_own_kind() {
    let rsa = key("rsa-1", Alg::Rs256);
    let n = signing::from_base64url(signing::public_jwk("rsa-1")["n"].as_str().unwrap());
    let info = rsa.try_get_as_bytes().unwrap().to_vec();
    let as_ec = DecodingKey::from_ec_der(&info);
    let as_secret = DecodingKey::from_secret(&info);
    let bare = DecodingKey::from_rsa_raw_components(&n, &[1, 0, 1]);
    let p256 = key("ec-1", Alg::Es256);
    let small = DecodingKey::from_rsa_der(&info::of_rsa(&[0xff; 255], &[1, 0, 1]).unwrap());
    let short = DecodingKey::from_secret(b"secret");
    let rs256 = signing::sign("rsa-1", MESSAGE);
    for (why, alg, key, signature) in [
        (
            "a public RSA key as the secret of a MAC",
            Alg::Hs256,
            &rsa,
            signing::hs256(&info, MESSAGE),
        ),
        (
            "a public EC key as the secret of a MAC",
            Alg::Hs256,
            &p256,
            signing::hs256(p256.try_get_as_bytes().unwrap(), MESSAGE),
        ),
        (
            "an RSA key in the clothes of EC",
            Alg::Rs256,
            &as_ec,
            rs256.clone(),
        ),
        (
            "an RSA key in the clothes of a secret",
            Alg::Rs256,
            &as_secret,
            rs256.clone(),
        ),
        (
            "numbers without their frame: nothing of ours makes them",
            Alg::Rs256,
            &bare,
            rs256.clone(),
        ),
        (
            "a key of P-256 for ES384",
            Alg::Es384,
            &p256,
            signing::sign("ec-1", MESSAGE),
        ),
        (
            "a small modulus that came another way",
            Alg::Rs256,
            &small,
            vec![0; 255],
        ),
        (
            "a secret that is too short for its algorithm",
            Alg::Hs256,
            &short,
            signing::hs256(b"secret", MESSAGE),
        ),
    ] {
        assert!(!verifies(alg, key, MESSAGE, &signature), "{why}");
        assert!(
            !verifies_as_installed(alg, key, MESSAGE, &signature),
            "{why}"
        );
    }
    let secret = DecodingKey::from_secret(&info);
    assert!(
        verifies(
            Alg::Hs256,
            &secret,
            MESSAGE,
            &signing::hs256(&info, MESSAGE)
        ),
        "without this the rows of the MAC show nothing"
    );
}

/// A gateway that earned its place and falls silent later is replaced, one that then says no is believed.
#[test]
fn a_gateway_that_does_not_answer_is_not_waited_for() {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    static ANSWERS: AtomicBool = AtomicBool::new(true);
    fn fickle(argument: &[u8]) -> Option<Vec<u8>> {
        ANSWERS.load(Relaxed).then(|| right(argument)).flatten()
    }
    let gateway = Gateway::tried(fickle);
    assert!(gateway.is_some());
    ANSWERS.store(false, Relaxed);
    for alg in Alg::ALL {
        let kid = two_keys(*alg)[0];
        let signature = signing::sign_as(alg.name(), kid, MESSAGE);
        let verdict = Crypto { gateway }.check(*alg, &key(kid, *alg), MESSAGE, &signature);
        assert_eq!(verdict, Ok(()), "{alg}");
    }
}

/// What the runner of the vectors would find in a gateway that changes once it has earned its place.
#[test]
fn a_gateway_of_another_opinion_is_seen() {
    use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
    static MOOD: AtomicU8 = AtomicU8::new(0);
    fn moody(argument: &[u8]) -> Option<Vec<u8>> {
        match MOOD.load(Relaxed) {
            0 => right(argument),
            1 => Some(vec![0x08, 0x01]),
            2 => Some(vec![0x12, 0x00]),
            _ => None,
        }
    }
    let gateway = Gateway::tried(moody);
    assert!(Crypto::rust_crypto().is_ok());
    let good = signing::sign("rsa-1", MESSAGE);
    let forged = signing::sign("rsa-2", MESSAGE);
    let key = key("rsa-1", Alg::Rs256);
    for (mood, signature, agree, why) in [
        (0, &good, true, "right"),
        (0, &forged, true, "right"),
        (1, &forged, false, "yes to everything"),
        (2, &good, false, "no to everything"),
        (3, &good, false, "silent"),
    ] {
        MOOD.store(mood, Relaxed);
        let opinions = Crypto { gateway }.opinions(Alg::Rs256, &key, MESSAGE, signature);
        assert!(opinions.asked, "{why}");
        assert_eq!(opinions.agree(), agree, "{why}: {opinions:?}");
    }
    let without = Crypto { gateway: None };
    let opinions = without.opinions(Alg::Rs256, &key, MESSAGE, &good);
    assert!(opinions.agree() && !opinions.asked, "{opinions:?}");
}

#[test]
fn the_gateway_is_asked_for_what_it_earned_and_for_nothing_else() {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static ASKED: AtomicU32 = AtomicU32::new(0);
    fn counting(argument: &[u8]) -> Option<Vec<u8>> {
        ASKED.fetch_add(1, Relaxed);
        right(argument)
    }
    let gateway = Gateway::tried(counting);
    for alg in Alg::ALL {
        let kid = two_keys(*alg)[0];
        let signature = signing::sign_as(alg.name(), kid, MESSAGE);
        ASKED.store(0, Relaxed);
        let verdict = Crypto { gateway }.check(*alg, &key(kid, *alg), MESSAGE, &signature);
        assert_eq!(verdict, Ok(()), "{alg}");
        let expected = u32::from(alg.name().starts_with("RS") || alg.name().starts_with("ES"));
        assert_eq!(ASKED.load(Relaxed), expected, "{alg}");
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
    assert!(OTHER.install_default().is_err());
    assert_eq!(
        Crypto::install(Gateway::tried(right)).unwrap_err(),
        CryptoTaken,
        "nor may a gateway come in later"
    );
    assert!(Crypto::rust_crypto().is_ok(), "and the first one stays");
}

#[test]
fn nothing_here_signs_and_key_utilities_refuse_instead_of_panicking() {
    assert!(no_signer(&Algorithm::RS256, &EncodingKey::from_secret(b"x")).is_err());
    let utils = PROVIDER.key_utils.clone();
    assert!((utils.rsa_pub_components_from_private_key)(&[]).is_err());
    assert!((utils.rsa_pub_components_from_public_key)(&[]).is_err());
    assert!((utils.ec_pub_components_from_private_key)(&[], Algorithm::ES256).is_err());
    assert!(
        (utils.ed_pub_components_from_private_key)(&[], &jsonwebtoken::jwk::EllipticCurve::Ed25519)
            .is_err()
    );
    assert!((utils.compute_digest)(&[], jsonwebtoken::jwk::ThumbprintHash::SHA256).is_err());
}
