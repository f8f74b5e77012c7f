//! Properties of tokens: what always holds, whatever the bytes. Native only; the tables beside the code also run as wasm.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    unused_crate_dependencies,
    reason = "a test that panics has failed, as it should"
)]

#[path = "../src/token/signing.rs"]
mod signing;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use postern_core::json::{Json, JsonFault};
use postern_core::token::{
    Alg, ClaimPaths, Crypto, Issuer, IssuerSpec, Issuers, KeySet, Keys, Memory, Secret, TokenFault,
    Verified, verify,
};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

const NOW: u64 = 1_800_000_000;
const CLAIMS: &str = r#"{"iss":"https://idp.example.com","aud":"inference","sub":"alice","exp":1800000600,"iat":1799999990}"#;

static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    let jwks = Json::parse(
        signing::jwks(&["rsa-1", "ec-1", "ec384-1", "ec521-1", "ed-1"]).as_bytes(),
        8,
    );
    let keys = KeySet::parse(&jwks.unwrap()).unwrap();
    let corp = IssuerSpec {
        leeway: 30,
        max_lifetime: 3600,
        claims: ClaimPaths {
            subject: "sub".into(),
            tenant: None,
            scopes: vec!["scope".into(), "scp".into()],
            roles: vec!["realm_access.roles".into()],
            groups: vec!["groups".into()],
        },
        ..IssuerSpec::new(
            "corp",
            "https://idp.example.com",
            vec!["inference".into()],
            Keys::Inline(keys),
        )
    };
    Issuers::new(vec![Issuer::new(corp).unwrap()]).unwrap()
});

/// One good token of each algorithm.
static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    [
        ("rsa-1", "RS256"),
        ("rsa-1", "PS384"),
        ("ec-1", "ES256"),
        ("ec384-1", "ES384"),
        ("ec521-1", "ES512"),
        ("ed-1", "EdDSA"),
    ]
    .map(|(kid, alg)| {
        let header = format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#);
        signing::token_as(alg, kid, &header, CLAIMS).into_bytes()
    })
    .to_vec()
});

/// A key, a member that it gets, and whether it is one for RS256 or ES256.
type Published = (&'static str, (&'static str, &'static str), bool);

const PUBLISHED: [Published; 10] = [
    ("rsa-1", ("use", "sig"), true),
    ("rsa-2", ("alg", "RS256"), true),
    ("ec-1", ("alg", "ES256"), true),
    ("rsa-1", ("use", "enc"), false),
    ("rsa-2", ("alg", "RSA-OAEP"), false),
    ("rsa-2", ("alg", "PS256"), false),
    ("ec-1", ("d", "AA"), false),
    ("ec384-1", ("use", "sig"), false),
    ("ec521-1", ("crv", "P-256"), false),
    ("oct-1", ("use", "sig"), false),
];

fn check(token: &[u8]) -> Result<Arc<Verified>, TokenFault> {
    check_at(token, NOW)
}

fn check_at(token: &[u8], now: u64) -> Result<Arc<Verified>, TokenFault> {
    let crypto = Crypto::rust_crypto().unwrap();
    let memory = &mut Memory::default();
    verify(
        Secret::new(token),
        &ISSUERS,
        memory,
        now.saturating_mul(1000),
        crypto,
    )
}

/// What a fault may say: sentences of ours, and nothing that came in.
fn is_told_safely(fault: TokenFault) -> bool {
    let sentence = fault.to_string();
    sentence
        .bytes()
        .all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\')
}

#[test]
fn the_good_ones_are_good() {
    for token in GOOD.iter() {
        assert_eq!(check(token).unwrap().subject(), "alice");
    }
}

/// JSON that is often near to what a header or a claim set is.
fn near_json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_string()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        (NOW - 4000..NOW + 4000).prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:?}")),
        Just("1e400".to_string()),
        "[ -~]{0,12}".prop_map(|s| serde_json::to_string(&s).unwrap()),
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        proptest::sample::select(vec![
            "RS256",
            "ES256",
            "EdDSA",
            "none",
            "HS256",
            "JWT",
            "at+jwt",
            "rsa-1",
            "ec-1",
            "ed-1",
            "https://idp.example.com",
            "inference",
            "alice",
            "a b",
            ""
        ])
        .prop_map(|s| format!("\"{s}\"")),
    ];
    let name = prop_oneof![
        8 => proptest::sample::select(vec![
            "alg", "kid", "typ", "crit", "jwk", "iss", "aud", "sub", "exp", "nbf", "iat", "scope", "scp",
            "realm_access", "roles", "groups"
        ]).prop_map(|s| format!("\"{s}\"")),
        1 => any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
    ];
    let value = scalar.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|v| format!("[{}]", v.join(","))),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(n, v)| format!("{n}:{v}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    });
    value.boxed()
}

const CHANGED: &[&str] = &[
    "aud",
    "sub",
    "exp",
    "nbf",
    "iat",
    "scope",
    "scp",
    "realm_access",
    "groups",
];

/// A claim with a value that is often good for it, at the edges of what is.
fn likely_claim() -> impl Strategy<Value = (&'static str, String)> {
    let date = prop_oneof![
        3 => NOW - 40..NOW + 40,
        1 => NOW - 4000..NOW + 4000,
    ];
    let texts = |texts: &'static [&'static str]| proptest::sample::select(texts);
    prop_oneof![
        (texts(&["exp", "nbf", "iat"]), date).prop_map(|(name, at)| (name, at.to_string())),
        texts(&[
            r#""inference""#,
            r#"["b","inference"]"#,
            r#"["b"]"#,
            "[]",
            r#"["inference",1]"#
        ])
        .prop_map(|aud| ("aud", aud.to_string())),
        "[ a-c\u{80}-\u{a1}]{0,4}".prop_map(|sub| ("sub", serde_json::to_string(&sub).unwrap())),
        (texts(&["scope", "scp"]), "[a-c \"*:]{0,5}")
            .prop_map(|(name, scope)| (name, serde_json::to_string(&scope).unwrap())),
        texts(&[
            "{}",
            r#"{"roles":["r"]}"#,
            r#"{"roles":"r"}"#,
            r#"{"roles":[0]}"#
        ])
        .prop_map(|roles| ("realm_access", roles.to_string())),
    ]
}

/// A claim set with some members of `near_json` in place of, or beside, the good ones.
fn near_claims() -> impl Strategy<Value = String> {
    let good = [
        ("iss", "\"https://idp.example.com\""),
        ("aud", "\"inference\""),
        ("sub", "\"alice\""),
        ("exp", "1800000600"),
        ("iat", "1799999990"),
    ];
    let changes = prop_oneof![
        6 => likely_claim(),
        1 => (proptest::sample::select(CHANGED), near_json()),
    ];
    prop::collection::vec(changes, 0..5).prop_map(move |changes| {
        let mut members: BTreeMap<&str, String> =
            good.map(|(name, value)| (name, value.to_string())).into();
        members.extend(changes);
        let members: Vec<String> = members
            .into_iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_changed_byte_is_never_accepted(which in 0..GOOD.len(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut token = GOOD[which].clone();
        let at = at.index(token.len());
        prop_assume!(token[at] != to);
        token[at] = to;
        prop_assert!(check(&token).is_err());
    }

    #[test]
    fn one_byte_more_is_never_accepted(which in 0..GOOD.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut token = GOOD[which].clone();
        token.insert(at.index(token.len() + 1), byte);
        prop_assert!(check(&token).is_err());
    }

    #[test]
    fn one_byte_less_is_never_accepted(which in 0..GOOD.len(), at in any::<prop::sample::Index>()) {
        let mut token = GOOD[which].clone();
        token.remove(at.index(token.len()));
        prop_assert!(check(&token).is_err());
    }

    /// Whatever stands beside them and in whatever order: of a published set exactly the keys that are wanted are used.
    #[test]
    fn of_a_published_set_the_wanted_keys_are_used_and_no_other(
        kinds in prop::collection::vec(0..PUBLISHED.len(), 1..12)
    ) {
        let keys: Vec<serde_json::Value> = kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| {
                let (kid, member, _) = PUBLISHED[*kind];
                let mut key = signing::public_jwk(kid);
                key["kid"] = format!("key-{index}").into();
                key[member.0] = member.1.into();
                key
            })
            .collect();
        let set = serde_json::json!({ "keys": keys }).to_string();
        let set = Json::parse(set.as_bytes(), 8).unwrap();
        let used = kinds.iter().filter(|kind| PUBLISHED[**kind].2).count();
        match KeySet::published(&set, &[Alg::Rs256, Alg::Es256, Alg::Hs256]) {
            Ok((set, passed_over)) => {
                prop_assert_eq!(set.len(), used);
                prop_assert_eq!(passed_over.len(), kinds.len() - used);
                prop_assert!(set.algorithms().iter().all(|alg| matches!(alg, Alg::Rs256 | Alg::Es256)));
            }
            Err(faults) => {
                prop_assert_eq!(used, 0);
                prop_assert_eq!(faults.len(), kinds.len() + 1);
            }
        }
    }

    #[test]
    fn parts_of_different_tokens_never_fit(parts in prop::array::uniform3(0..GOOD.len())) {
        let part = |i: usize| {
            let text = std::str::from_utf8(&GOOD[parts[i]]).unwrap();
            text.split('.').nth(i).unwrap().to_string()
        };
        let token = format!("{}.{}.{}", part(0), part(1), part(2));
        // The payload is the same in all three, so header and signature decide.
        prop_assert_eq!(check(token.as_bytes()).is_ok(), parts[0] == parts[2]);
    }

    #[test]
    fn any_bytes_are_refused_in_safe_words(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let fault = check(&bytes).unwrap_err();
        prop_assert!(is_told_safely(fault));
    }

    #[test]
    fn any_three_parts_are_refused_in_safe_words(
        header in near_json(), claims in near_json(), signature in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let token = [header.as_bytes(), claims.as_bytes(), &signature].map(signing::base64url).join(".");
        let fault = check(token.as_bytes()).unwrap_err();
        prop_assert!(is_told_safely(fault));
    }

    /// The two readers of JSON differ only where ours is stricter, and agree on what a text says.
    #[test]
    fn strict_json_agrees_with_serde_json(text in near_json(), cut in any::<prop::sample::Index>(), whole in any::<bool>()) {
        let bytes = if whole { text.as_bytes() } else { &text.as_bytes()[..cut.index(text.len())] };
        let lax = serde_json::from_slice::<serde_json::Value>(bytes);
        match Json::parse(bytes, 64) {
            Ok(json) => prop_assert_eq!(to_value(&json), lax.unwrap()),
            Err(JsonFault::Syntax { .. }) => prop_assert!(lax.is_err()),
            // Told when its object closes, whatever stands behind it.
            Err(JsonFault::Duplicate { .. }) => (),
            Err(JsonFault::TooDeep { .. }) => prop_assert!(false, "{text}"),
        }
    }
}

/// The signer signs anything: what is accepted then, is what the rules say by themselves.
#[test]
fn what_is_accepted_keeps_every_promise() {
    let accepted = Cell::new(0);
    let config = ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let now = prop_oneof![4 => NOW - 60..NOW + 60, 1 => NOW - 5000..NOW + 5000];
    let cases = (near_claims(), now);
    let outcome = TestRunner::new(config).run(&cases, |(claims, now)| {
        let token = signing::token("ed-1", r#"{"alg":"EdDSA","kid":"ed-1"}"#, &claims);
        match check_at(token.as_bytes(), now) {
            Ok(caller) => {
                accepted.set(accepted.get() + 1);
                promises(&caller, &claims, now)
            }
            Err(fault) => {
                prop_assert!(is_told_safely(fault));
                Ok(())
            }
        }
    });
    outcome.unwrap();
    let accepted = accepted.get();
    assert!(
        accepted > 100,
        "the generator reaches acceptance: {accepted}"
    );
}

fn promises(caller: &Verified, claims: &str, now: u64) -> Result<(), TestCaseError> {
    let claims: serde_json::Value = serde_json::from_str(claims).unwrap();
    let exp = claims["exp"].as_u64().unwrap();
    prop_assert!(exp + 30 > now && caller.expires_at() == exp);
    if !claims["nbf"].is_null() {
        prop_assert!(claims["nbf"].as_u64().unwrap() <= now + 30);
    }
    match claims["iat"].as_u64() {
        Some(iat) => prop_assert!(iat <= now + 30 && exp - iat <= 3600),
        None => prop_assert!(claims["iat"].is_null() && exp.saturating_sub(now) <= 3600),
    }
    let ours = |aud: &serde_json::Value| aud == "inference";
    let aud = &claims["aud"];
    prop_assert!(ours(aud) || aud.as_array().is_some_and(|list| list.iter().any(ours)));
    prop_assert_eq!(claims["sub"].as_str(), Some(caller.subject()));
    prop_assert_eq!(caller.subject().trim(), caller.subject());
    prop_assert!(!caller.subject().is_empty());
    prop_assert!(!caller.subject().chars().any(char::is_control));
    for scope in caller.scopes() {
        prop_assert!(!scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic()));
    }
    Ok(())
}

fn to_value(json: &Json) -> serde_json::Value {
    match json {
        Json::Null => serde_json::Value::Null,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => serde_json::Value::Number(number.clone()),
        Json::String(text) => text.clone().into(),
        Json::List(elements) => elements.iter().map(to_value).collect(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), to_value(value)))
            .collect(),
    }
}
