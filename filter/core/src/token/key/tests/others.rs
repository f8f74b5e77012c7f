//! Shared secrets, and the keys in proofs.
use super::*;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn secrets(keys: &[Value]) -> Result<KeySet, Vec<KeyFault>> {
    let set = json!({ "keys": keys }).to_string();
    KeySet::parse_secrets(&Json::parse(set.as_bytes(), 8).unwrap())
}

/// A secret of this many bytes.
fn secret(bytes: usize, members: Value) -> Value {
    let mut key = json!({"kty": "oct", "kid": "s", "k": signing::base64url(vec![7; bytes])});
    for (name, value) in members.as_object().unwrap() {
        key[name] = value.clone();
    }
    key
}

#[test]
fn a_secret_is_as_long_as_the_hash_that_it_is_for() {
    use Alg::{Hs256, Hs384, Hs512};
    for (bytes, named, expected) in [
        (0, None, Err(KeyWhy::SecretTooShort)),
        (31, None, Err(KeyWhy::SecretTooShort)),
        (32, None, Ok(vec![Hs256])),
        (47, None, Ok(vec![Hs256])),
        (48, None, Ok(vec![Hs256, Hs384])),
        (64, None, Ok(vec![Hs256, Hs384, Hs512])),
        (MAX_SECRET_BYTES, None, Ok(vec![Hs256, Hs384, Hs512])),
        (MAX_SECRET_BYTES + 1, None, Err(KeyWhy::SecretTooLong)),
        (31, Some("HS256"), Err(KeyWhy::SecretTooShort)),
        (47, Some("HS384"), Err(KeyWhy::SecretTooShort)),
        (63, Some("HS512"), Err(KeyWhy::SecretTooShort)),
        (64, Some("HS512"), Ok(vec![Hs512])),
        (64, Some("HS256"), Ok(vec![Hs256])),
        (64, Some("RS256"), Err(KeyWhy::AlgorithmDisagrees)),
        (32, Some("A256GCM"), Err(KeyWhy::AlgorithmUnknown)),
    ] {
        let members = named.map_or(json!({}), |alg| json!({ "alg": alg }));
        let found = secrets(&[secret(bytes, members)]);
        let found = found
            .map(|set| set.keys[0].algorithms.clone())
            .map_err(|faults| faults[0].why);
        assert_eq!(found, expected, "{bytes} bytes, {named:?}");
    }
}

#[test]
fn a_set_holds_secrets_or_public_keys() {
    let of = |key: Value| secrets(&[key]).map(|set| set.len()).map_err(|f| f[0].why);
    assert_eq!(of(signing::public_jwk("oct-1")), Ok(1));
    for (reason, key, expected) in [
        ("RSA", signing::public_jwk("rsa-1"), KeyWhy::NotASecret),
        ("EC", signing::public_jwk("ec-1"), KeyWhy::NotASecret),
        ("OKP", signing::public_jwk("ed-1"), KeyWhy::NotASecret),
        (
            "a public key with a secret in it",
            changed("rsa-1", json!({"k": "AAAA"})),
            KeyWhy::NotASecret,
        ),
        ("no type", json!({"k": "AAAA"}), KeyWhy::Member("kty")),
        ("unknown type", json!({"kty": "OCT"}), KeyWhy::TypeUnknown),
        ("no secret", json!({"kty": "oct"}), KeyWhy::Member("k")),
        (
            "a secret in plain text",
            json!({"kty": "oct", "k": "correct horse battery staple"}),
            KeyWhy::NotBase64Url("k"),
        ),
        (
            "for encryption",
            secret(32, json!({"use": "enc"})),
            KeyWhy::NotForSignatures,
        ),
        (
            "for signing alone",
            secret(32, json!({"key_ops": ["sign"]})),
            KeyWhy::NotForVerifying,
        ),
    ] {
        assert_eq!(of(key), Err(expected), "{reason}");
    }
    let mixed = [signing::public_jwk("oct-1"), signing::public_jwk("ec-1")];
    assert_eq!(secrets(&mixed).unwrap_err()[0].why, KeyWhy::NotASecret);
    assert_eq!(
        parse(&json!({ "keys": mixed })).unwrap_err()[0].why,
        KeyWhy::SharedSecret
    );
    let twice = [secret(32, json!({})), secret(64, json!({}))];
    assert_eq!(secrets(&twice).unwrap_err()[0].why, KeyWhy::Twice);
}

#[test]
fn macs_are_never_a_default() {
    let set = secrets(&[signing::public_jwk("oct-1")]).unwrap();
    assert_eq!(set.algorithms(), []);
    assert!(set.has_key_for(Alg::Hs512));
    assert!(!set.has_key_for(Alg::Rs256));
    for kid in ["rsa-1", "ec-1", "ed-1"] {
        let set = parse(&json!({"keys": [signing::public_jwk(kid)]})).unwrap();
        for alg in [Alg::Hs256, Alg::Hs384, Alg::Hs512] {
            assert!(!set.has_key_for(alg), "{kid} {alg}");
        }
    }
}

#[test]
fn a_secret_is_shown_nowhere() {
    const PLANTED: &str = "planted-secret-of-more-than-32-bytes";
    let k = signing::base64url(PLANTED);
    let key = json!({"kty": "oct", "kid": "s", "k": k});
    let set = secrets(std::slice::from_ref(&key)).unwrap();
    let mut bad = key.clone();
    bad["alg"] = json!("HS512");
    let refused = secrets(&[bad]).unwrap_err();
    for shown in [
        format!("{set:?} {set:#?}"),
        format!("{refused:?} {}", refused[0]),
        format!("{:?}", set.select(Some("s"), Alg::Hs256)),
        format!("{:?}", set.keys[0].material()),
    ] {
        assert!(!shown.contains("planted") && !shown.contains(&k), "{shown}");
        let numbers = format!("{:?}", PLANTED.as_bytes());
        assert!(!shown.contains(&numbers), "{shown}");
    }
}

#[test]
fn the_key_of_a_proof_is_public_and_for_the_algorithm_of_the_proof() {
    let of = |jwk: &Value, alg| {
        let json = Json::parse(jwk.to_string().as_bytes(), 8).unwrap();
        Key::of_proof(&json, alg).map(|key| key.algorithms)
    };
    for (reason, jwk, alg, expected) in [
        (
            "EC",
            changed("ec-1", json!({"kid": null})),
            Alg::Es256,
            Ok(()),
        ),
        ("RSA", changed("rsa-1", json!({})), Alg::Ps256, Ok(())),
        ("Ed25519", changed("ed-1", json!({})), Alg::EdDsa, Ok(())),
        (
            "its key id says nothing, whatever it is",
            changed("ec-1", json!({"kid": 7})),
            Alg::Es256,
            Ok(()),
        ),
        (
            "another curve",
            changed("ec-1", json!({})),
            Alg::Es384,
            Err(KeyWhy::AlgorithmDisagrees),
        ),
        (
            "another kind",
            changed("rsa-1", json!({})),
            Alg::Es256,
            Err(KeyWhy::AlgorithmDisagrees),
        ),
        (
            "another algorithm than the key's own",
            changed("rsa-1", json!({"alg": "RS256"})),
            Alg::Ps256,
            Err(KeyWhy::AlgorithmDisagrees),
        ),
        (
            "a MAC with a public key",
            changed("rsa-1", json!({})),
            Alg::Hs256,
            Err(KeyWhy::AlgorithmDisagrees),
        ),
        (
            "a shared secret",
            signing::public_jwk("oct-1"),
            Alg::Hs256,
            Err(KeyWhy::SharedSecret),
        ),
        (
            "a private key: the client has leaked it",
            changed("ec-1", json!({"d": "AA"})),
            Alg::Es256,
            Err(KeyWhy::Private("d")),
        ),
        (
            "for encryption",
            changed("ec-1", json!({"use": "enc"})),
            Alg::Es256,
            Err(KeyWhy::NotForSignatures),
        ),
        (
            "an address",
            changed("ec-1", json!({"x5u": "https://evil.example"})),
            Alg::Es256,
            Err(KeyWhy::PointsElsewhere),
        ),
        (
            "weak",
            changed("rsa-1", json!({"e": "AQ"})),
            Alg::Rs256,
            Err(KeyWhy::ExponentInvalid),
        ),
        ("no object", json!([]), Alg::Es256, Err(KeyWhy::NotAnObject)),
    ] {
        assert_eq!(of(&jwk, alg), expected.map(|()| vec![alg]), "{reason}");
    }
}

/// RFC 7517 appendices A.2 and A.3: private keys, and shared secrets of which one is for MACs.
#[test]
fn the_private_and_the_shared_example_of_the_rfc() {
    let private = json!({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE", "use": "enc", "kid": "1"});
    assert_eq!(why(private), Some(KeyWhy::Private("d")));
    let wraps = json!({"kty": "oct", "alg": "A128KW", "k": "GawgguFyGrWKav7AX4VKUg", "kid": "w"});
    let macs = json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow", "kid": "HMAC key used in JWS spec Appendix A.1 example"});
    let faults = secrets(&[wraps, macs.clone()]).unwrap_err();
    let found: Vec<_> = faults.iter().map(|f| (f.index, f.why)).collect();
    assert_eq!(found, [(Some(0), KeyWhy::AlgorithmUnknown)]);
    let set = secrets(&[macs]).unwrap();
    let named = Some("HMAC key used in JWS spec Appendix A.1 example");
    assert!(set.select(named, Alg::Hs256).is_ok());
}
