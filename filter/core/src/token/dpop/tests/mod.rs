//! Whole proofs against one request: the examples of RFC 9449, and a table for each part of a proof.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]

mod claims;
mod header;

use super::*;
use crate::token::signing;
use crate::token::{Alg, KeyWhy};
use serde_json::{Value, json};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u64 = 1_800_000_000;
const ALGORITHMS: &[Alg] = &[Alg::Rs256, Alg::Es256, Alg::EdDsa];
const TOKEN: &[u8] = b"an.access.token";

/// RFC 9449 figure 12: the proof of a request to a resource, and its token.
const RFC_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const RFC_TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const RFC_NOW: u64 = 1_562_262_618;
const RFC_JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
/// RFC 9449 figure 2: the proof of a request for a token, which has no `ath`.
const RFC_TOKEN_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

fn policy(algorithms: &[Alg], nonce: NoncePolicy) -> DpopPolicy {
    DpopPolicy::new(DpopSpec {
        max_age_seconds: 60,
        leeway_seconds: 5,
        algorithms: algorithms.to_vec(),
        nonce,
    })
    .unwrap()
}

fn ask() -> ProofQuestion<'static> {
    ProofQuestion {
        method: "POST",
        scheme: "https",
        authority: "api.example.com",
        path: "/v1/chat/completions",
        token: Secret::new(TOKEN),
        now_seconds: NOW,
        nonces: None,
    }
}

fn rfc_ask() -> ProofQuestion<'static> {
    ProofQuestion {
        method: "GET",
        scheme: "https",
        authority: "resource.example.org",
        path: "/protectedresource",
        token: Secret::new(RFC_TOKEN),
        now_seconds: RFC_NOW,
        nonces: None,
    }
}

fn check_as(
    proof: impl AsRef<[u8]>,
    ask: &ProofQuestion<'_>,
    policy: &DpopPolicy,
) -> Result<Proof, DpopFault> {
    Proof::check(proof.as_ref(), ask, policy, Crypto::rust_crypto().unwrap())
}

fn check(proof: impl AsRef<[u8]>) -> Result<Proof, DpopFault> {
    check_as(proof, &ask(), &policy(ALGORITHMS, NoncePolicy::Never))
}

fn header(kid: &str, alg: &str) -> Value {
    let mut jwk = signing::public_jwk(kid);
    let members = jwk.as_object_mut().unwrap();
    for name in ["kid", "alg", "use", "key_ops"] {
        members.remove(name);
    }
    json!({ "typ": "dpop+jwt", "alg": alg, "jwk": jwk })
}

fn claims() -> Value {
    json!({
        "jti": "e1j3V_bKic8-LAEB",
        "htm": "POST",
        "htu": "https://api.example.com/v1/chat/completions",
        "iat": NOW,
        "ath": base64url(&signing_hash(TOKEN)),
    })
}

fn signing_hash(token: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(token).to_vec()
}

/// A proof signed by `ec-1` with one claim replaced, or taken away where the value is null.
fn with_claim(name: &str, value: Value) -> String {
    signing::token(
        "ec-1",
        &header("ec-1", "ES256").to_string(),
        &changed(claims(), name, value).to_string(),
    )
}

/// The same for a member of the header.
fn with_member(name: &str, value: Value) -> String {
    let header = changed(header("ec-1", "ES256"), name, value);
    signing::token("ec-1", &header.to_string(), &claims().to_string())
}

fn changed(mut object: Value, name: &str, value: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.to_string(), value),
    };
    object
}

#[test]
fn the_example_of_the_rfc_is_good_at_its_time() {
    let all = policy(ALGORITHMS, NoncePolicy::Never);
    let proof = check_as(RFC_PROOF, &rfc_ask(), &all).unwrap();
    assert_eq!(
        base64url(&proof.thumbprint()),
        RFC_JKT,
        "RFC 9449 section 6.1"
    );
    assert_eq!(base64url(&proof.thumbprint()), RFC_JKT);
    let with = |change: fn(&mut ProofQuestion<'static>)| {
        let mut ask = rfc_ask();
        change(&mut ask);
        check_as(RFC_PROOF, &ask, &all).err()
    };
    for (why, found, expected) in [
        (
            "another method",
            with(|ask| ask.method = "POST"),
            Some(DpopFault::MethodMismatch),
        ),
        (
            "case of the method",
            with(|ask| ask.method = "get"),
            Some(DpopFault::MethodMismatch),
        ),
        (
            "another host",
            with(|ask| ask.authority = "other.example.org"),
            Some(DpopFault::TargetMismatch),
        ),
        (
            "another path",
            with(|ask| ask.path = "/other"),
            Some(DpopFault::TargetMismatch),
        ),
        (
            "another token",
            with(|ask| ask.token = Secret::new(b"other")),
            Some(DpopFault::TokenMismatch),
        ),
        (
            "no token",
            with(|ask| ask.token = Secret::new(b"")),
            Some(DpopFault::TokenMismatch),
        ),
        ("the last second", with(|ask| ask.now_seconds += 65), None),
        (
            "one second more",
            with(|ask| ask.now_seconds += 66),
            Some(DpopFault::Stale),
        ),
        (
            "a clock of ours that is as slow as it may be",
            with(|ask| ask.now_seconds -= 5),
            None,
        ),
        (
            "one second more",
            with(|ask| ask.now_seconds -= 6),
            Some(DpopFault::InFuture),
        ),
        ("TLS ended before us", with(|ask| ask.scheme = "http"), None),
    ] {
        assert_eq!(found, expected, "{why}");
    }
    let mut ask = rfc_ask();
    (ask.method, ask.authority, ask.path) = ("POST", "server.example.com", "/token");
    let fault = check_as(RFC_TOKEN_PROOF, &ask, &all).err();
    let expected = Some(DpopFault::ClaimMissing(DpopClaim::TokenHash));
    assert_eq!(
        fault, expected,
        "figure 2 is for no token: everything else of it is good"
    );
    let without = policy(&[Alg::Rs256], NoncePolicy::Never);
    let fault = check_as(RFC_PROOF, &rfc_ask(), &without).err();
    assert_eq!(
        fault,
        Some(DpopFault::AlgorithmRefused),
        "not in the policy"
    );
}

#[test]
fn every_kind_of_key_proves_itself_and_no_other() {
    let jkt =
        |kid| base64url(&crate::token::key::thumbprint(&parse(&signing::public_jwk(kid))).unwrap());
    let kids = [("rsa-1", "RS256"), ("ec-1", "ES256"), ("ed-1", "EdDSA")];
    for (kid, alg) in kids {
        let proof = signing::token(kid, &header(kid, alg).to_string(), &claims().to_string());
        let proof = check(proof).unwrap();
        for (other, _) in kids {
            let same = base64url(&proof.thumbprint()) == jkt(other);
            assert_eq!(same, kid == other, "{kid} {other}");
        }
    }
}

fn parse(value: &Value) -> crate::json::Json {
    crate::json::Json::parse(value.to_string().as_bytes(), 8).unwrap()
}

fn parse_rfc_jwk() -> Value {
    json!({
        "kty": "EC",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        "crv": "P-256",
    })
}

#[test]
fn the_shape_of_a_proof() {
    use DpopFault::{Malformed, TooLong};
    let good = with_claim("own", json!(1));
    assert!(check(&good).is_ok());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let three = Some(Malformed("it does not have three parts"));
    for (why, proof, expected) in [
        ("empty", String::new(), three),
        (
            "no signature",
            format!("{signed}."),
            Some(Malformed("its signature is not base64url")),
        ),
        ("a part less", signed.to_string(), three),
        ("a part more", format!("{good}.AA"), three),
        ("two joined by a proxy", format!("{good}, {good}"), three),
        (
            "a comma behind it",
            format!("{good},"),
            Some(Malformed("its signature is not base64url")),
        ),
        (
            "a scheme in front",
            format!("DPoP {good}"),
            Some(Malformed("its header is not base64url")),
        ),
        (
            "padded",
            format!("{good}=="),
            Some(Malformed("its signature is not base64url")),
        ),
        ("the largest", "A".repeat(MAX_PROOF_BYTES), three),
        ("larger", "A".repeat(MAX_PROOF_BYTES + 1), Some(TooLong)),
    ] {
        assert_eq!(check(proof).err(), expected, "{why}");
    }
    let large = signing::token("ec-1", &" ".repeat(4097), "{}");
    assert_eq!(
        check(large).err(),
        Some(TooLong),
        "a header larger than any"
    );
    assert_eq!(check(b"\xff").err(), Some(Malformed("it is not text")));
}

#[test]
fn a_mark_is_of_key_id_and_target_and_of_this_gateway() {
    let secret = SharedSecret::new([7; 32]).unwrap();
    let of = |proof: &str, ask: &ProofQuestion<'_>| {
        let policy = policy(ALGORITHMS, NoncePolicy::Never);
        check_as(proof, ask, &policy).unwrap().mark(&secret)
    };
    let first = of(&with_claim("own", json!(1)), &ask());
    let same =
        |other: Mark| remember(Some(&remember(None, &first, NOW).unwrap()), &other, NOW).err();
    let seen = Some(ReplayFault::Seen);
    let get = ProofQuestion {
        method: "GET",
        ..ask()
    };
    let models = ProofQuestion {
        path: "/v1/models",
        ..ask()
    };
    for (why, mark, expected) in [
        ("itself", first, seen),
        (
            "signed anew",
            of(&with_claim("own", json!(2)), &ask()),
            seen,
        ),
        (
            "another time",
            of(&with_claim("iat", json!(NOW - 9)), &ask()),
            seen,
        ),
        (
            "another method",
            of(&with_claim("htm", json!("GET")), &get),
            seen,
        ),
        (
            "another spelling of the target",
            of(
                &with_claim(
                    "htu",
                    json!("HTTPS://API.example.com:443/v1/chat/completions"),
                ),
                &ask(),
            ),
            seen,
        ),
        (
            "another id",
            of(&with_claim("jti", json!("other")), &ask()),
            None,
        ),
        (
            "another target",
            of(
                &with_claim("htu", json!("https://api.example.com/v1/models")),
                &models,
            ),
            None,
        ),
        (
            "another key",
            of(
                &signing::token(
                    "ed-1",
                    &header("ed-1", "EdDSA").to_string(),
                    &claims().to_string(),
                ),
                &ask(),
            ),
            None,
        ),
    ] {
        assert_eq!(same(mark), expected, "{why}");
    }
    let other = SharedSecret::new([8; 32]).unwrap();
    let proof = check(with_claim("own", json!(1))).unwrap();
    assert_ne!(
        proof.mark(&other).key(),
        first.key(),
        "which bucket cannot be told from outside"
    );
}
