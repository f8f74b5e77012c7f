//! The claims of a proof: every one of them, at the edges of what is good.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]

use super::*;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn the_claims_of_a_proof() {
    use DpopClaim::{Expiry, Id, IssuedAt, Method, Nonce, NotBefore, Target, TokenHash};
    use DpopFault::{ClaimInvalid as Bad, ClaimMissing as No};
    let hash = base64url(&signing_hash(TOKEN));
    for (why, name, value, expected) in [
        (
            "none: nothing to remember",
            "jti",
            Value::Null,
            Some(No(Id)),
        ),
        ("empty", "jti", json!(""), Some(Bad(Id))),
        ("one byte", "jti", json!("a"), None),
        ("256 bytes", "jti", json!("a".repeat(256)), None),
        ("257 bytes", "jti", json!("a".repeat(257)), Some(Bad(Id))),
        (
            "256 characters of two bytes",
            "jti",
            json!("ä".repeat(256)),
            Some(Bad(Id)),
        ),
        ("a line feed", "jti", json!("a\nb"), Some(Bad(Id))),
        ("NUL", "jti", json!("a\0"), Some(Bad(Id))),
        (
            "a control beyond ASCII",
            "jti",
            json!("a\u{85}"),
            Some(Bad(Id)),
        ),
        ("a number", "jti", json!(7), Some(Bad(Id))),
        ("none", "htm", Value::Null, Some(No(Method))),
        ("a list", "htm", json!(["POST"]), Some(Bad(Method))),
        (
            "another",
            "htm",
            json!("GET"),
            Some(DpopFault::MethodMismatch),
        ),
        (
            "case counts (RFC 9110 section 9.1)",
            "htm",
            json!("post"),
            Some(DpopFault::MethodMismatch),
        ),
        (
            "a space",
            "htm",
            json!("POST "),
            Some(DpopFault::MethodMismatch),
        ),
        ("empty", "htm", json!(""), Some(DpopFault::MethodMismatch)),
        ("none", "htu", Value::Null, Some(No(Target))),
        ("an object", "htu", json!({}), Some(Bad(Target))),
        (
            "another",
            "htu",
            json!("https://api.example.com/v1/models"),
            Some(DpopFault::TargetMismatch),
        ),
        (
            "with a query",
            "htu",
            json!("https://api.example.com/v1/chat/completions?a"),
            Some(Bad(Target)),
        ),
        ("none", "iat", Value::Null, Some(No(IssuedAt))),
        ("the oldest", "iat", json!(NOW - 65), None),
        ("older", "iat", json!(NOW - 66), Some(DpopFault::Stale)),
        ("the newest", "iat", json!(NOW + 5), None),
        ("newer", "iat", json!(NOW + 6), Some(DpopFault::InFuture)),
        ("zero", "iat", json!(0), Some(DpopFault::Stale)),
        (
            "the largest date",
            "iat",
            json!((1u64 << 53) - 1),
            Some(DpopFault::InFuture),
        ),
        (
            "larger than any date",
            "iat",
            json!(1u64 << 53),
            Some(Bad(IssuedAt)),
        ),
        (
            "the largest number",
            "iat",
            json!(u64::MAX),
            Some(Bad(IssuedAt)),
        ),
        ("negative", "iat", json!(-1), Some(Bad(IssuedAt))),
        (
            "a fraction",
            "iat",
            json!(1_800_000_000.5),
            Some(Bad(IssuedAt)),
        ),
        (
            "a whole number written as a fraction",
            "iat",
            json!(1_800_000_000.0),
            Some(Bad(IssuedAt)),
        ),
        (
            "milliseconds",
            "iat",
            json!(NOW * 1000),
            Some(DpopFault::InFuture),
        ),
        ("a string", "iat", json!("1800000000"), Some(Bad(IssuedAt))),
        ("over, within the leeway", "exp", json!(NOW - 4), None),
        ("over", "exp", json!(NOW - 5), Some(DpopFault::Stale)),
        ("far", "exp", json!(NOW + 9999), None),
        ("a string", "exp", json!("never"), Some(Bad(Expiry))),
        (
            "larger than any date",
            "exp",
            json!(1u64 << 53),
            Some(Bad(Expiry)),
        ),
        ("soon, within the leeway", "nbf", json!(NOW + 5), None),
        ("not yet", "nbf", json!(NOW + 6), Some(DpopFault::InFuture)),
        ("a boolean", "nbf", json!(true), Some(Bad(NotBefore))),
        (
            "none: a proof for every token",
            "ath",
            Value::Null,
            Some(No(TokenHash)),
        ),
        ("a number", "ath", json!(1), Some(Bad(TokenHash))),
        ("empty", "ath", json!(""), Some(DpopFault::TokenMismatch)),
        (
            "of another token",
            "ath",
            json!(base64url(&signing_hash(b"other"))),
            Some(DpopFault::TokenMismatch),
        ),
        (
            "of no token",
            "ath",
            json!(base64url(&signing_hash(b""))),
            Some(DpopFault::TokenMismatch),
        ),
        (
            "the token itself",
            "ath",
            json!("an.access.token"),
            Some(DpopFault::TokenMismatch),
        ),
        (
            "the beginning of it",
            "ath",
            json!(hash[..42]),
            Some(DpopFault::TokenMismatch),
        ),
        (
            "padded",
            "ath",
            json!(format!("{hash}=")),
            Some(DpopFault::TokenMismatch),
        ),
        ("a nonce that nobody asked for", "nonce", json!("x"), None),
        ("which is no text", "nonce", json!(1), Some(Bad(Nonce))),
        ("a claim of its own", "own", json!({"a": [1]}), None),
    ] {
        assert_eq!(
            check(with_claim(name, value)).err(),
            expected,
            "{name}: {why}"
        );
    }
    for (why, text, expected) in [
        ("not JSON", "{", "its claims are not strict JSON"),
        (
            "a claim twice",
            r#"{"htm":"GET","htm":"POST"}"#,
            "its claims are not strict JSON",
        ),
        (
            "a claim twice, one escaped",
            r#"{"htm":"GET","\u0068tm":"POST"}"#,
            "its claims are not strict JSON",
        ),
        ("a list", "[]", "its claims are not an object"),
    ] {
        let proof = signing::token("ec-1", &header("ec-1", "ES256").to_string(), text);
        assert_eq!(
            check(proof).err(),
            Some(DpopFault::Malformed(expected)),
            "{why}"
        );
    }
}

#[test]
fn a_nonce_where_the_policy_asks_for_one() {
    let nonces = Nonces::new(SharedSecret::new([7; 32]).unwrap());
    let other = Nonces::new(SharedSecret::new([8; 32]).unwrap());
    let required = policy(ALGORITHMS, NoncePolicy::Required);
    let with = |nonce: Value, nonces: Option<&Nonces>| {
        let ask = ProofQuestion { nonces, ..ask() };
        check_as(with_claim("nonce", nonce), &ask, &required).err()
    };
    for (why, found, expected) in [
        (
            "ours",
            with(json!(nonces.current(NOW)), Some(&nonces)),
            None,
        ),
        (
            "ours of before",
            with(json!(nonces.current(NOW - 300)), Some(&nonces)),
            None,
        ),
        (
            "ours of long ago",
            with(json!(nonces.current(NOW - 600)), Some(&nonces)),
            Some(DpopFault::NonceWrong),
        ),
        (
            "of another gateway",
            with(json!(other.current(NOW)), Some(&nonces)),
            Some(DpopFault::NonceWrong),
        ),
        (
            "none",
            with(Value::Null, Some(&nonces)),
            Some(DpopFault::NonceRequired),
        ),
        (
            "empty",
            with(json!(""), Some(&nonces)),
            Some(DpopFault::NonceWrong),
        ),
        (
            "no text",
            with(json!([]), Some(&nonces)),
            Some(DpopFault::ClaimInvalid(DpopClaim::Nonce)),
        ),
        (
            "we have none to compare with",
            with(json!(nonces.current(NOW)), None),
            Some(DpopFault::NonceUnavailable),
        ),
        (
            "nor has the proof",
            with(Value::Null, None),
            Some(DpopFault::NonceUnavailable),
        ),
    ] {
        assert_eq!(found, expected, "{why}");
    }
}
