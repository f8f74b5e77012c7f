#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]
use super::*;
use crate::token::signing;
use serde_json::{Value, json};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod others;
mod published;

fn parse(set: &Value) -> Result<KeySet, Vec<KeyFault>> {
    KeySet::parse(&Json::parse(set.to_string().as_bytes(), 8).unwrap())
}

/// What is wrong with a set of this one key.
fn why(key: Value) -> Option<KeyWhy> {
    let faults = parse(&json!({ "keys": [key] })).err()?;
    assert_eq!(faults.len(), 1, "{faults:?}");
    Some(faults[0].why)
}

/// The test key of this id with some members set, or removed where they are null.
fn changed(kid: &str, members: Value) -> Value {
    let mut key = signing::public_jwk(kid);
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            key.as_object_mut().unwrap().remove(name);
        } else {
            key[name] = value.clone();
        }
    }
    key
}

#[test]
fn keys_of_real_issuers_load() {
    for (who, key) in [
        ("RSA", changed("rsa-1", json!({}))),
        ("P-256", changed("ec-1", json!({}))),
        ("P-384", changed("ec384-1", json!({"alg": "ES384"}))),
        ("P-521", changed("ec521-1", json!({"alg": "ES512"}))),
        ("RSA for PSS", changed("rsa-1", json!({"alg": "PS512"}))),
        ("Ed25519", changed("ed-1", json!({}))),
        (
            "alone without an id",
            changed("rsa-1", json!({"kid": null})),
        ),
        (
            "with all that Keycloak and Microsoft Entra add",
            changed(
                "rsa-1",
                json!({"use": "sig", "alg": "RS256", "x5c": ["MII"], "x5t": "a", "x5t#S256": "b", "issuer": "https://login"}),
            ),
        ),
        (
            "with key_ops",
            changed(
                "ec-1",
                json!({"key_ops": ["sign", "verify"], "alg": "ES256"}),
            ),
        ),
        ("with e = 3", changed("rsa-1", json!({"e": "Aw"}))),
    ] {
        assert_eq!(why(key), None, "{who}");
    }
}

#[test]
fn a_set_is_an_object_with_a_list_that_is_not_empty_nor_endless() {
    let key = signing::public_jwk("ec-1");
    let many: Vec<Value> = (0..=MAX_KEYS)
        .map(|n| changed("ec-1", json!({"kid": n.to_string()})))
        .collect();
    for (what, set, why) in [
        ("a list", json!([key]), KeyWhy::NotASet),
        ("a bare key", key.clone(), KeyWhy::NotASet),
        (
            "keys not a list",
            json!({"keys": {"0": key}}),
            KeyWhy::NotASet,
        ),
        ("null", Value::Null, KeyWhy::NotASet),
        (
            "no key: nothing could ever be verified",
            json!({"keys": []}),
            KeyWhy::Empty,
        ),
        ("one key too many", json!({"keys": many}), KeyWhy::TooMany),
    ] {
        assert_eq!(parse(&set).unwrap_err(), [KeyFault::of_set(why)], "{what}");
    }
    let most: Vec<Value> = many.into_iter().skip(1).collect();
    assert_eq!(parse(&json!({ "keys": most })).unwrap().len(), MAX_KEYS);
}

#[test]
fn a_weak_or_odd_key_does_not_load() {
    let n = |bytes: &[u8]| signing::base64url(bytes);
    let modulus = signing::from_base64url(signing::public_jwk("rsa-1")["n"].as_str().unwrap());
    let even: Vec<u8> = modulus.iter().copied().take(255).chain([2]).collect();
    let padded: Vec<u8> = [0].into_iter().chain(modulus.iter().copied()).collect();
    let large: Vec<u8> = [1].into_iter().chain([0xff; 1024]).collect();
    let point = signing::public_jwk("ec-1");
    let beyond_p = n(&[0xff; 32]);
    for (reason, key, expected) in [
        (
            "a private RSA key in a public set",
            changed("rsa-1", json!({"d": "AQ"})),
            KeyWhy::Private("d"),
        ),
        (
            "a private EC key",
            changed("ec-1", json!({"d": "AQ"})),
            KeyWhy::Private("d"),
        ),
        (
            "a private Ed25519 key",
            changed("ed-1", json!({"d": "AQ"})),
            KeyWhy::Private("d"),
        ),
        (
            "a prime",
            changed("rsa-1", json!({"p": "AQ"})),
            KeyWhy::Private("p"),
        ),
        (
            "CRT parts",
            changed("rsa-1", json!({"qi": "AQ"})),
            KeyWhy::Private("qi"),
        ),
        (
            "a shared secret inside an asymmetric key",
            changed("rsa-1", json!({"k": "AQ"})),
            KeyWhy::Private("k"),
        ),
        (
            "a shared secret",
            json!({"kty": "oct", "kid": "h", "k": "c2VjcmV0"}),
            KeyWhy::SharedSecret,
        ),
        (
            "unknown type",
            json!({"kty": "AKP", "kid": "pq"}),
            KeyWhy::TypeUnknown,
        ),
        (
            "type in other letters",
            changed("rsa-1", json!({"kty": "rsa"})),
            KeyWhy::TypeUnknown,
        ),
        (
            "no type",
            changed("rsa-1", json!({"kty": null})),
            KeyWhy::Member("kty"),
        ),
        (
            "an address instead of a key",
            changed("rsa-1", json!({"x5u": "https://evil"})),
            KeyWhy::PointsElsewhere,
        ),
        (
            "no modulus",
            changed("rsa-1", json!({"n": null})),
            KeyWhy::Member("n"),
        ),
        (
            "modulus a number",
            changed("rsa-1", json!({"n": 5})),
            KeyWhy::Member("n"),
        ),
        (
            "modulus with padding",
            changed("rsa-1", json!({"n": "AQ=="})),
            KeyWhy::NotBase64Url("n"),
        ),
        (
            "modulus in the plain alphabet",
            changed("rsa-1", json!({"n": "A+/="})),
            KeyWhy::NotBase64Url("n"),
        ),
        (
            "exponent with trailing bits",
            changed("rsa-1", json!({"e": "Ax"})),
            KeyWhy::NotBase64Url("e"),
        ),
        (
            "modulus empty",
            changed("rsa-1", json!({"n": ""})),
            KeyWhy::ModulusInvalid,
        ),
        (
            "modulus even: it has the factor 2",
            changed("rsa-1", json!({"n": n(&even)})),
            KeyWhy::ModulusInvalid,
        ),
        (
            "modulus with a zero in front: not the fewest bytes",
            changed("rsa-1", json!({"n": n(&padded)})),
            KeyWhy::ModulusInvalid,
        ),
        (
            "modulus one bit below",
            changed(
                "rsa-1",
                json!({"n": n(&[&[0x7f][..], &[0xff; 255]].concat())}),
            ),
            KeyWhy::TooSmall,
        ),
        (
            "modulus above 8192 bits: slow on purpose",
            changed("rsa-1", json!({"n": n(&large)})),
            KeyWhy::TooLarge,
        ),
        (
            "exponent one: every message is its own signature",
            changed("rsa-1", json!({"e": "AQ"})),
            KeyWhy::ExponentInvalid,
        ),
        (
            "exponent zero",
            changed("rsa-1", json!({"e": "AA"})),
            KeyWhy::ExponentInvalid,
        ),
        (
            "exponent empty",
            changed("rsa-1", json!({"e": ""})),
            KeyWhy::ExponentInvalid,
        ),
        (
            "exponent even",
            changed("rsa-1", json!({"e": "BA"})),
            KeyWhy::ExponentInvalid,
        ),
        (
            "exponent with a zero in front",
            changed("rsa-1", json!({"e": "AAEAAQ"})),
            KeyWhy::ExponentInvalid,
        ),
        (
            "exponent above 2^32",
            changed("rsa-1", json!({"e": n(&[1, 0, 0, 0, 1])})),
            KeyWhy::ExponentInvalid,
        ),
        (
            "exponent of many bytes",
            changed("rsa-1", json!({"e": n(&[1; 64])})),
            KeyWhy::ExponentInvalid,
        ),
        (
            "curve not named",
            changed("ec-1", json!({"crv": null})),
            KeyWhy::Member("crv"),
        ),
        (
            "curve in other letters",
            changed("ec-1", json!({"crv": "p-256"})),
            KeyWhy::CurveRefused,
        ),
        (
            "curve of another type",
            changed("ec-1", json!({"crv": "Ed25519"})),
            KeyWhy::CurveRefused,
        ),
        (
            "X25519 does not sign",
            changed("ed-1", json!({"crv": "X25519"})),
            KeyWhy::CurveRefused,
        ),
        (
            "no y",
            changed("ec-1", json!({"y": null})),
            KeyWhy::Member("y"),
        ),
        (
            "x too short: zeros in front belong to it",
            changed("ec-1", json!({"x": n(&[1; 31])})),
            KeyWhy::LengthWrong("x"),
        ),
        (
            "x of P-521 without its two zeros in front",
            changed("ec521-1", json!({"x": n(&[1; 64])})),
            KeyWhy::LengthWrong("x"),
        ),
        (
            "a point off P-384",
            changed("ec384-1", json!({"y": signing::public_jwk("ec384-1")["x"]})),
            KeyWhy::NotOnCurve,
        ),
        (
            "a point off P-521",
            changed("ec521-1", json!({"y": signing::public_jwk("ec521-1")["x"]})),
            KeyWhy::NotOnCurve,
        ),
        (
            "a point of P-384 under the name of P-521",
            changed("ec384-1", json!({"crv": "P-521"})),
            KeyWhy::LengthWrong("x"),
        ),
        (
            "y too long",
            changed("ec-1", json!({"y": n(&[0; 33])})),
            KeyWhy::LengthWrong("y"),
        ),
        (
            "a point off the curve",
            changed("ec-1", json!({"y": point["x"]})),
            KeyWhy::NotOnCurve,
        ),
        (
            "zeros: the point at infinity has no such form",
            changed("ec-1", json!({"x": n(&[0; 32]), "y": n(&[0; 32])})),
            KeyWhy::NotOnCurve,
        ),
        (
            "a coordinate beyond p",
            changed("ec-1", json!({"x": beyond_p})),
            KeyWhy::NotOnCurve,
        ),
        (
            "Ed25519 key of 31 bytes",
            changed("ed-1", json!({"x": n(&[1; 31])})),
            KeyWhy::LengthWrong("x"),
        ),
        (
            "use enc",
            changed("rsa-1", json!({"use": "enc"})),
            KeyWhy::NotForSignatures,
        ),
        (
            "use not a string",
            changed("rsa-1", json!({"use": ["sig"]})),
            KeyWhy::NotForSignatures,
        ),
        (
            "key_ops without verify",
            changed("rsa-1", json!({"key_ops": ["encrypt"]})),
            KeyWhy::NotForVerifying,
        ),
        (
            "key_ops empty",
            changed("rsa-1", json!({"key_ops": []})),
            KeyWhy::NotForVerifying,
        ),
        (
            "key_ops not a list",
            changed("rsa-1", json!({"key_ops": "verify"})),
            KeyWhy::NotForVerifying,
        ),
        (
            "alg none",
            changed("rsa-1", json!({"alg": "none"})),
            KeyWhy::AlgorithmUnknown,
        ),
        (
            "alg for encryption",
            changed("rsa-1", json!({"alg": "RSA-OAEP"})),
            KeyWhy::AlgorithmUnknown,
        ),
        (
            "alg for shared secrets",
            changed("rsa-1", json!({"alg": "HS256"})),
            KeyWhy::AlgorithmDisagrees,
        ),
        (
            "alg of another curve",
            changed("ec384-1", json!({"alg": "ES256"})),
            KeyWhy::AlgorithmDisagrees,
        ),
        (
            "alg of another kind of key",
            changed("rsa-1", json!({"alg": "ES256"})),
            KeyWhy::AlgorithmDisagrees,
        ),
        (
            "alg not a string",
            changed("rsa-1", json!({"alg": 1})),
            KeyWhy::Member("alg"),
        ),
        (
            "kid empty",
            changed("rsa-1", json!({"kid": ""})),
            KeyWhy::KeyIdInvalid,
        ),
        (
            "kid a number",
            changed("rsa-1", json!({"kid": 1})),
            KeyWhy::KeyIdInvalid,
        ),
        (
            "kid too long",
            changed("rsa-1", json!({"kid": "k".repeat(257)})),
            KeyWhy::KeyIdInvalid,
        ),
        (
            "kid with a line feed",
            changed("rsa-1", json!({"kid": "a\nb"})),
            KeyWhy::KeyIdInvalid,
        ),
        ("not an object", json!("key"), KeyWhy::NotAnObject),
    ] {
        assert_eq!(why(key), Some(expected), "{reason}");
    }
}

#[test]
fn the_weak_keys_on_file_do_not_load() {
    let file: Value = serde_json::from_str(include_str!(
        "../../../../../tests/vectors/jose/weak-keys.json"
    ))
    .unwrap();
    let rows = file["keys"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for (row, expected) in rows.iter().zip([
        KeyWhy::TooSmall,
        KeyWhy::TooSmall,
        KeyWhy::CurveRefused,
        KeyWhy::LengthWrong("x"),
        KeyWhy::NotOnCurve,
        KeyWhy::Roca,
    ]) {
        assert_eq!(why(row["key"].clone()), Some(expected), "{}", row["why"]);
    }
}

/// The eight points of small order, and other spellings of them (RFC 8032 section 5.1.3; "Taming the many EdDSAs").
#[test]
fn ed25519_points_of_small_order_do_not_load() {
    for (reason, hex) in [
        (
            "the neutral element",
            "0100000000000000000000000000000000000000000000000000000000000000",
        ),
        (
            "order 2",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ),
        (
            "order 4",
            "0000000000000000000000000000000000000000000000000000000000000000",
        ),
        (
            "order 4, other sign",
            "0000000000000000000000000000000000000000000000000000000000000080",
        ),
        (
            "order 8",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        ),
        (
            "order 8, other sign",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        ),
        (
            "order 8",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        ),
        (
            "order 8, other sign",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        ),
        (
            "y = p + 1: the neutral element again",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ),
        (
            "y = p: order 4 again",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ),
        (
            "x = 0 with a sign",
            "0100000000000000000000000000000000000000000000000000000000000080",
        ),
        (
            "order 2 with a sign",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ),
    ] {
        let bytes: Vec<u8> = (0..32)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        let found = why(changed("ed-1", json!({"x": signing::base64url(bytes)})));
        assert!(
            matches!(found, Some(KeyWhy::SmallOrder | KeyWhy::NotOnCurve)),
            "{reason}: {found:?}"
        );
    }
}

#[test]
fn an_ed25519_point_has_one_spelling() {
    let mut taken_by_the_library = 0;
    for low in 0xef..=0xff_u8 {
        let spelled = [&[low][..], &[0xff; 30], &[0x7f]].concat();
        if ed25519_dalek::VerifyingKey::try_from(&spelled[..]).is_ok() {
            taken_by_the_library += 1;
        }
        let found = why(changed("ed-1", json!({"x": signing::base64url(spelled)})));
        assert_eq!(found, Some(KeyWhy::NotOnCurve), "y = p + {}", low - 0xed);
    }
    assert!(
        taken_by_the_library > 0,
        "without these the check of ours shows nothing"
    );
}

#[test]
fn keys_stand_beside_each_other_only_with_names_of_their_own() {
    for (reason, keys, expected) in [
        (
            "two of one kind with two names",
            vec![changed("rsa-1", json!({})), changed("rsa-2", json!({}))],
            vec![],
        ),
        (
            "one name, two kinds: the algorithm tells them apart",
            vec![
                changed("rsa-1", json!({"kid": "k"})),
                changed("ec-1", json!({"kid": "k"})),
            ],
            vec![],
        ),
        (
            "one name, one kind",
            vec![
                changed("rsa-1", json!({"kid": "k"})),
                changed("rsa-2", json!({"kid": "k"})),
            ],
            vec![(1, KeyWhy::Twice)],
        ),
        (
            "even when only one of them names the algorithm",
            vec![
                changed("rsa-1", json!({"kid": "k", "alg": "RS256"})),
                changed("rsa-2", json!({"kid": "k"})),
            ],
            vec![(1, KeyWhy::Twice)],
        ),
        (
            "the same key twice",
            vec![changed("ec-1", json!({})), changed("ec-1", json!({}))],
            vec![(1, KeyWhy::Twice)],
        ),
        (
            "one of two without a name",
            vec![
                changed("rsa-1", json!({})),
                changed("ec-1", json!({"kid": null})),
            ],
            vec![(1, KeyWhy::KeyIdMissing)],
        ),
        (
            "both without",
            vec![
                changed("rsa-1", json!({"kid": null})),
                changed("ec-1", json!({"kid": null})),
            ],
            vec![(0, KeyWhy::KeyIdMissing), (1, KeyWhy::KeyIdMissing)],
        ),
        (
            "every fault is told",
            vec![
                changed("rsa-1", json!({"e": "AQ"})),
                changed("ec-1", json!({})),
                changed("ed-1", json!({"use": "enc"})),
            ],
            vec![(0, KeyWhy::ExponentInvalid), (2, KeyWhy::NotForSignatures)],
        ),
    ] {
        let faults = parse(&json!({ "keys": keys })).err().unwrap_or_default();
        let found: Vec<_> = faults
            .iter()
            .map(|fault| (fault.index.unwrap(), fault.why))
            .collect();
        assert_eq!(found, expected, "{reason}");
    }
}

#[test]
fn a_fault_names_the_key_and_holds_nothing_of_it() {
    let faults = parse(&json!({"keys": [changed("rsa-1", json!({"d": "c2VjcmV0"}))]})).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "keys[0] (rsa-1): private member `d`: a key set holds public keys only; treat this key as leaked"
    );
    assert!(!format!("{faults:?}").contains("c2VjcmV0"));
}

#[test]
fn a_key_is_chosen_by_id_and_algorithm_and_never_otherwise() {
    use TokenFault::{AlgorithmRefused, KeyAmbiguous, KeyUnknown};
    let set = |keys: &[&str]| parse(&serde_json::from_str(&signing::jwks(keys)).unwrap()).unwrap();
    let two_rsa = set(&["rsa-1", "rsa-2", "ec-1"]);
    let one_name = set(&["rsa-1=k", "ec-1=k"]);
    let nameless = parse(&json!({"keys": [changed("rsa-1", json!({"kid": null}))]})).unwrap();
    for (reason, keys, key_id, alg, expected) in [
        (
            "by name",
            &two_rsa,
            Some("rsa-2"),
            Alg::Rs256,
            Ok(Some("rsa-2")),
        ),
        (
            "no name, one fits",
            &two_rsa,
            None,
            Alg::Es256,
            Ok(Some("ec-1")),
        ),
        (
            "no name, two fit",
            &two_rsa,
            None,
            Alg::Rs256,
            Err(KeyAmbiguous),
        ),
        (
            "no name, none fits",
            &two_rsa,
            None,
            Alg::EdDsa,
            Err(KeyUnknown),
        ),
        (
            "a name that is not there: no fallback to the one that fits",
            &two_rsa,
            Some("ec-9"),
            Alg::Es256,
            Err(KeyUnknown),
        ),
        (
            "names are compared exactly",
            &two_rsa,
            Some("EC-1"),
            Alg::Es256,
            Err(KeyUnknown),
        ),
        (
            "a path is a name like any other",
            &two_rsa,
            Some("../../ec-1"),
            Alg::Es256,
            Err(KeyUnknown),
        ),
        (
            "the key of that name is for another algorithm",
            &two_rsa,
            Some("ec-1"),
            Alg::Rs256,
            Err(AlgorithmRefused),
        ),
        (
            "one name for two kinds",
            &one_name,
            Some("k"),
            Alg::Es256,
            Ok(Some("k")),
        ),
        (
            "one name for two kinds",
            &one_name,
            Some("k"),
            Alg::Rs256,
            Ok(Some("k")),
        ),
        (
            "a nameless key answers no name",
            &nameless,
            Some("k"),
            Alg::Rs256,
            Err(KeyUnknown),
        ),
        (
            "a nameless key answers when none is asked",
            &nameless,
            None,
            Alg::Rs256,
            Ok(None),
        ),
    ] {
        let found = keys.select(key_id, alg);
        assert_eq!(
            found
                .as_ref()
                .map(|key| key.key_id.as_deref())
                .map_err(|fault| *fault),
            expected,
            "{reason}"
        );
        assert!(
            found.is_ok_and(|key| key.fits(alg)) || expected.is_err(),
            "{reason}: kind"
        );
    }
}

#[test]
fn the_algorithms_of_a_set_are_those_that_a_key_fits() {
    let set = |text: String| parse(&serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(
        set(signing::jwks(&["ed-1", "rsa-1"])).algorithms(),
        [
            Alg::Rs256,
            Alg::Rs384,
            Alg::Rs512,
            Alg::Ps256,
            Alg::Ps384,
            Alg::Ps512,
            Alg::EdDsa
        ]
    );
    assert_eq!(
        set(signing::jwks(&["ec384-1", "ec521-1"])).algorithms(),
        [Alg::Es384, Alg::Es512]
    );
    assert_eq!(set(signing::jwks(&["ec-1"])).algorithms(), [Alg::Es256]);
}
