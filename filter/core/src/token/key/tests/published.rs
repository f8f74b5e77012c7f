//! Sets as identity providers publish them.
use super::*;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const WANTED: &[Alg] = &[Alg::Rs256, Alg::Es256, Alg::Es384, Alg::EdDsa];

type Published = Result<(KeySet, Vec<(usize, KeyWhy)>), Vec<(Option<usize>, KeyWhy)>>;

fn published(keys: &[Value], wanted: &[Alg]) -> Published {
    let set = json!({ "keys": keys }).to_string();
    let set = Json::parse(set.as_bytes(), 8).unwrap();
    match KeySet::published(&set, wanted) {
        Ok((set, passed_over)) => Ok((
            set,
            passed_over
                .iter()
                .map(|fault| (fault.index.unwrap(), fault.why))
                .collect(),
        )),
        Err(faults) => Err(faults
            .iter()
            .map(|fault| (fault.index, fault.why))
            .collect()),
    }
}

#[test]
fn a_key_that_is_none_of_ours_is_passed_over_and_told() {
    let weak = include_str!("../../../../../../tests/vectors/jose/weak-keys.json");
    let weak: Value = serde_json::from_str(weak).unwrap();
    let small = weak["keys"][0]["key"].clone();
    let roca = weak["keys"][5]["key"].clone();
    for (reason, key, expected) in [
        (
            "Keycloak's key for encryption",
            changed("rsa-2", json!({"use": "enc", "alg": "RSA-OAEP"})),
            KeyWhy::NotForSignatures,
        ),
        (
            "one for encryption without a use",
            changed("rsa-2", json!({"alg": "RSA-OAEP-256"})),
            KeyWhy::AlgorithmUnknown,
        ),
        (
            "one for encryption by its operations",
            changed("rsa-2", json!({"key_ops": ["wrapKey"]})),
            KeyWhy::NotForVerifying,
        ),
        (
            "an algorithm that we know and the issuer does not use",
            changed("rsa-2", json!({"alg": "PS256"})),
            KeyWhy::AlgorithmNotWanted,
        ),
        (
            "a kind of which no algorithm is wanted",
            changed("ec521-1", json!({})),
            KeyWhy::AlgorithmNotWanted,
        ),
        (
            "a type of a later day",
            json!({"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44", "pub": "AAAA"}),
            KeyWhy::TypeUnknown,
        ),
        (
            "a curve that we do not take",
            changed("ec-2", json!({"crv": "secp256k1"})),
            KeyWhy::CurveRefused,
        ),
        (
            "key agreement",
            changed("ed-2", json!({"crv": "X25519"})),
            KeyWhy::CurveRefused,
        ),
        (
            "a shared secret, known to the world",
            signing::public_jwk("oct-1"),
            KeyWhy::SharedSecret,
        ),
        (
            "a private key, known to the world",
            changed("ec-2", json!({"d": "AA"})),
            KeyWhy::Private("d"),
        ),
        ("a key that can be factored", small, KeyWhy::TooSmall),
        ("another", roca, KeyWhy::Roca),
        (
            "off the curve",
            changed("ec-2", json!({"y": signing::public_jwk("ec-2")["x"]})),
            KeyWhy::NotOnCurve,
        ),
        (
            "a key id that is none",
            changed("ec-2", json!({"kid": 7})),
            KeyWhy::KeyIdInvalid,
        ),
        (
            "an address",
            changed("ec-2", json!({"x5u": "https://evil.example"})),
            KeyWhy::PointsElsewhere,
        ),
        ("no key at all", json!("key"), KeyWhy::NotAnObject),
    ] {
        let good = changed("rsa-1", json!({}));
        let (set, passed_over) = published(&[key.clone(), good], WANTED).unwrap();
        assert_eq!(passed_over, [(0, expected)], "{reason}");
        assert_eq!(set.len(), 1, "{reason}");
        assert_eq!(
            set.algorithms(),
            [Alg::Rs256],
            "{reason}: only what is wanted"
        );
        if let Some(kid) = key["kid"].as_str() {
            for alg in Alg::ALL {
                assert!(set.select(Some(kid), *alg).is_err(), "{reason}: {alg}");
            }
        }
        assert_eq!(
            published(&[key], WANTED).unwrap_err(),
            [(None, KeyWhy::NoneUsable), (Some(0), expected)],
            "{reason}: alone it is no set"
        );
    }
}

#[test]
fn an_ambiguous_set_is_refused_whole() {
    let named = |kid: &str, members: Value| {
        let mut key = changed(kid, members);
        key["kid"] = json!("k");
        key
    };
    let nameless = |kid: &str| changed(kid, json!({"kid": null}));
    let other = || changed("ed-1", json!({}));
    for (reason, keys, ambiguous) in [
        (
            "two keys of one name",
            vec![
                other(),
                named("rsa-1", json!({})),
                named("rsa-2", json!({})),
            ],
            Some(2),
        ),
        (
            "one name, two kinds",
            vec![other(), named("rsa-1", json!({})), named("ec-1", json!({}))],
            None,
        ),
        (
            "one name twice, one of them not usable",
            vec![
                other(),
                named("rsa-1", json!({})),
                named("rsa-2", json!({"use": "enc"})),
            ],
            None,
        ),
        (
            "one name for two algorithms of one kind, of which one is wanted",
            vec![
                named("rsa-1", json!({"alg": "RS256"})),
                named("rsa-2", json!({"alg": "PS256"})),
            ],
            None,
        ),
        (
            "two without a name",
            vec![other(), nameless("ec-1"), nameless("ec-2")],
            Some(2),
        ),
        (
            "two without a name, of two kinds",
            vec![other(), nameless("ec-1"), nameless("rsa-1")],
            None,
        ),
    ] {
        let found = published(&keys, WANTED);
        match ambiguous {
            Some(index) => {
                assert_eq!(
                    found.unwrap_err(),
                    [(Some(index), KeyWhy::Twice)],
                    "{reason}"
                );
            }
            None => assert!(found.is_ok(), "{reason}"),
        }
    }
}

/// THREATS 14: no fallback unless exactly one key fits.
#[test]
fn a_key_without_a_name_answers_only_where_no_other_fits() {
    let keys = [
        changed("rsa-1", json!({})),
        changed("rsa-2", json!({"kid": null})),
        changed("ec-1", json!({"kid": null})),
    ];
    let (set, _) = published(&keys, WANTED).unwrap();
    let found = |kid, alg| set.select(kid, alg).map(|key| key.key_id.clone());
    assert_eq!(found(None, Alg::Es256), Ok(None));
    assert_eq!(found(None, Alg::Rs256), Err(TokenFault::KeyAmbiguous));
    assert_eq!(found(Some("rsa-1"), Alg::Rs256), Ok(Some("rsa-1".into())));
    assert_eq!(found(Some("ec-1"), Alg::Es256), Err(TokenFault::KeyUnknown));
}

#[test]
fn a_set_that_is_none_is_refused() {
    let key = changed("ec-1", json!({}));
    let many: Vec<Value> = (0..=MAX_KEYS)
        .map(|n| changed("ec-1", json!({"kid": n.to_string()})))
        .collect();
    for (reason, keys, wanted, expected) in [
        ("no key", vec![], WANTED, KeyWhy::Empty),
        (
            "one key too many, even with unusable ones",
            [&many[1..], &[json!({})]].concat(),
            WANTED,
            KeyWhy::TooMany,
        ),
        (
            "nothing wanted",
            vec![key.clone()],
            &[][..],
            KeyWhy::NoneUsable,
        ),
        (
            "MACs wanted: never of a published key",
            vec![signing::public_jwk("oct-1")],
            &[Alg::Hs256][..],
            KeyWhy::NoneUsable,
        ),
    ] {
        let found = published(&keys, wanted).unwrap_err();
        assert_eq!(found[0], (None, expected), "{reason}");
    }
    let (set, _) = published(&many[1..], WANTED).unwrap();
    assert_eq!(set.len(), MAX_KEYS);
    let not_a_set = Json::parse(b"[]", 2).unwrap();
    let faults = KeySet::published(&not_a_set, WANTED).unwrap_err();
    assert_eq!(faults, [KeyFault::of_set(KeyWhy::NotASet)]);
}

/// RFC 7517 appendix A.1: the EC key is for encryption, the RSA key for RS256.
#[test]
fn the_example_set_of_the_rfc() {
    let file = include_str!("../../../../../../tests/vectors/jose/rfc7517-a1.json");
    let set: Value = serde_json::from_str(file).unwrap();
    let (set, passed_over) = published(set["keys"].as_array().unwrap(), WANTED).unwrap();
    assert_eq!(passed_over, [(0, KeyWhy::NotForSignatures)]);
    assert_eq!(set.algorithms(), [Alg::Rs256]);
    assert!(set.select(Some("2011-04-29"), Alg::Rs256).is_ok());
}
