//! Properties of proofs: what always holds, whatever the bytes. Native only; the tables beside the code also run as wasm.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    unused_crate_dependencies,
    reason = "a test that panics has failed, as it should"
)]

#[path = "../src/token/signing.rs"]
mod signing;

use std::sync::LazyLock;

use postern_core::token::dpop::{
    DpopFault, DpopPolicy, DpopSpec, MAX_PROOF_BYTES, NoncePolicy, Nonces, Proof, ProofQuestion,
    SharedSecret, first_secret, remember,
};
use postern_core::token::{Alg, Crypto, Secret};
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

const NOW: u64 = 1_800_000_000;
const TOKEN: &[u8] = b"an.access.token";
const HTU: &str = "https://api.example.com/v1/chat/completions";

fn policy(max_age: u64, leeway: u64, nonce: NoncePolicy) -> DpopPolicy {
    DpopPolicy::new(DpopSpec {
        max_age_seconds: max_age,
        leeway_seconds: leeway,
        algorithms: vec![Alg::Rs256, Alg::Es256, Alg::EdDsa],
        nonce,
    })
    .unwrap()
}

fn ask(now: u64) -> ProofQuestion<'static> {
    ProofQuestion {
        method: "POST",
        scheme: "https",
        authority: "api.example.com",
        path: "/v1/chat/completions",
        token: Secret::new(TOKEN),
        now_seconds: now,
        nonces: None,
    }
}

fn check_as(
    proof: &[u8],
    ask: &ProofQuestion<'_>,
    policy: &DpopPolicy,
) -> Result<Proof, DpopFault> {
    Proof::check(proof, ask, policy, Crypto::rust_crypto().unwrap())
}

fn check(proof: &[u8]) -> Result<Proof, DpopFault> {
    check_as(proof, &ask(NOW), &policy(60, 5, NoncePolicy::Never))
}

fn header(kid: &str, alg: &str) -> String {
    json!({ "typ": "dpop+jwt", "alg": alg, "jwk": signing::public_jwk(kid) }).to_string()
}

fn claims(jti: &str, htm: &str, htu: &str, iat: u64) -> String {
    let ath = signing::base64url(Sha256::digest(TOKEN));
    json!({ "jti": jti, "htm": htm, "htu": htu, "iat": iat, "ath": ath }).to_string()
}

/// One good proof of each algorithm.
static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    [("rsa-1", "RS256"), ("ec-1", "ES256"), ("ed-1", "EdDSA")]
        .map(|(kid, alg)| {
            signing::token(kid, &header(kid, alg), &claims("a", "POST", HTU, NOW)).into_bytes()
        })
        .to_vec()
});

#[test]
fn the_good_ones_are_good() {
    for proof in GOOD.iter() {
        assert_eq!(check(proof).map(drop), Ok(()));
    }
}

/// Every byte of a proof counts: no single change is passed, at any place.
#[test]
fn no_byte_of_a_good_proof_can_be_changed() {
    for proof in GOOD.iter() {
        for at in 0..proof.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut changed = proof.clone();
                changed[at] ^= flip;
                assert!(check(&changed).is_err(), "byte {at} ^ {flip:#x}");
            }
        }
    }
}

/// What is mostly a proof in form: header and claims that are near to good ones, signed by the key of the header.
fn near_proof() -> impl Strategy<Value = String> {
    let text = |known: &'static [&'static str]| {
        prop_oneof![
            4 => proptest::sample::select(known).prop_map(|s| json!(s)),
            1 => any::<String>().prop_map(|s| json!(s)),
            1 => any::<f64>().prop_map(|n| json!(n)),
            1 => any::<u64>().prop_map(|n| json!(n)),
            1 => Just(json!(null)),
            1 => Just(json!({"kty": "OKP", "crv": "Ed25519", "x": ["AA"]})),
        ]
    };
    let member = (
        proptest::sample::select(&["typ", "alg", "jwk", "kid", "x"][..]),
        text(&["dpop+jwt", "JWT", "ES256", "EdDSA", "none", "OKP"]),
    );
    let claim = (
        proptest::sample::select(&["jti", "htm", "htu", "iat", "exp", "nbf", "ath", "nonce"][..]),
        text(&[
            "POST",
            "GET",
            HTU,
            "https://[::1",
            "https://",
            "://",
            "http://a:b/",
            "",
        ]),
    );
    let changes = (
        prop::collection::vec(member, 0..2),
        prop::collection::vec(claim, 0..3),
    );
    changes.prop_map(|(members, changed)| {
        let mut header: serde_json::Value = serde_json::from_str(&header("ed-1", "EdDSA")).unwrap();
        let mut claims: serde_json::Value =
            serde_json::from_str(&claims("a", "POST", HTU, NOW)).unwrap();
        for (name, value) in members {
            header[name] = value;
        }
        for (name, value) in changed {
            claims[name] = value;
        }
        signing::token("ed-1", &header.to_string(), &claims.to_string())
    })
}

/// What a fault may say: sentences of ours, and nothing that came in.
fn is_told_safely(fault: DpopFault) -> bool {
    let sentence = fault.to_string();
    sentence
        .bytes()
        .all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\')
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_single_byte_of_a_good_proof_counts(which in 0usize..3, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut proof = GOOD[which].clone();
        let at = at.index(proof.len());
        prop_assume!(proof[at] != byte);
        proof[at] = byte;
        prop_assert!(check(&proof).is_err(), "byte {} as {:#x}", at, byte);
    }

    #[test]
    fn any_bytes_are_decided(proof in prop::collection::vec(any::<u8>(), 0..200), long in 0usize..3) {
        let proof = proof.repeat(1 + long * MAX_PROOF_BYTES / 100);
        let fault = check(&proof).unwrap_err();
        prop_assert!(is_told_safely(fault));
    }

    #[test]
    fn any_parts_are_decided(header in ".{0,60}", claims in ".{0,60}", signature in prop::collection::vec(any::<u8>(), 0..70)) {
        let part = |bytes: &[u8]| signing::base64url(bytes);
        let proof = format!("{}.{}.{}", part(header.as_bytes()), part(claims.as_bytes()), part(&signature));
        prop_assert!(is_told_safely(check(proof.as_bytes()).unwrap_err()));
    }

    #[test]
    fn what_is_near_to_a_proof_is_decided(proof in near_proof(), now in prop_oneof![4 => Just(NOW), 1 => any::<u64>()]) {
        if let Err(fault) = check_as(proof.as_bytes(), &ask(now), &policy(60, 5, NoncePolicy::Never)) {
            prop_assert!(is_told_safely(fault));
        }
    }

    /// A proof is for exactly one method and one path.
    #[test]
    fn a_proof_for_another_call_is_refused(htm in "[A-Za-z]{0,7}", path in "(/[a-z.~%2fF;?#@:]{0,6}){0,4}") {
        let htu = format!("https://api.example.com{path}");
        let proof = signing::token("ed-1", &header("ed-1", "EdDSA"), &claims("a", &htm, &htu, NOW));
        prop_assume!(htm != "POST" || htu != HTU);
        prop_assert!(check(proof.as_bytes()).is_err());
    }

    /// The window of `iat`, to the second, for every policy and any clock.
    #[test]
    fn a_proof_is_good_in_its_window_only(max_age in 1u64..=300, leeway in 0u64..=300, off in -700i64..700) {
        let proof = signing::token("ed-1", &header("ed-1", "EdDSA"), &claims("a", "POST", HTU, NOW));
        let now = NOW.saturating_add_signed(off);
        let found = check_as(proof.as_bytes(), &ask(now), &policy(max_age, leeway, NoncePolicy::Never)).err();
        let expected = if NOW > now + leeway {
            Some(DpopFault::InFuture)
        } else if NOW + max_age + leeway < now {
            Some(DpopFault::Stale)
        } else {
            None
        };
        prop_assert_eq!(found, expected);
    }

    /// Over the whole of it: a proof that was good is taken once, at whatever second of its window it comes again.
    #[test]
    fn a_good_proof_is_taken_once(times in prop::collection::vec(0u64..70, 2..6), seed in 1u8..) {
        let secret = SharedSecret::new([seed; 32]).unwrap();
        let mut stored: Option<Vec<u8>> = None;
        let mut taken = 0;
        for after in times {
            let policy = policy(60, 5, NoncePolicy::Never);
            let Ok(proof) = check_as(&GOOD[2], &ask(NOW + after), &policy) else {
                prop_assert!(after > 65);
                continue;
            };
            if let Ok(value) = remember(stored.as_deref(), &proof.mark(&secret), NOW + after) {
                stored = Some(value);
                taken += 1;
            }
        }
        prop_assert!(taken <= 1);
    }

    /// A nonce is good from its slot to the end of the next, and no other text ever is.
    #[test]
    fn a_nonce_is_good_for_two_slots(now in 0u64..1 << 40, after in -900i64..1500, seed in 1u8.., other in "[A-Za-z0-9_-]{22}") {
        let nonces = Nonces::new(SharedSecret::new([seed; 32]).unwrap());
        let nonce = nonces.current(now);
        let then = now.saturating_add_signed(after);
        prop_assert_eq!(nonces.accepts(&nonce, then), matches!((then / 300).checked_sub(now / 300), Some(0 | 1)));
        prop_assert!(!nonces.accepts(&other, now));
    }

    /// Any bytes where the secret should stand.
    #[test]
    fn a_secret_is_read_or_refused(stored in prop::collection::vec(any::<u8>(), 0..40)) {
        if first_secret(Some(&stored), [1; 32]).is_ok() {
            prop_assert!(stored.len() == 33 && stored[0] == 1);
        }
    }
}
