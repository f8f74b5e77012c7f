//! Tokens, key sets and the strict JSON reader. The first byte of the input says which; the rest is fed as it is.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use libfuzzer_sys::fuzz_target;
use postern_core::json::{Json, JsonFault};
use postern_core::token::{
    Alg, ClaimPaths, Crypto, Issuer, IssuerSpec, Issuers, KeySet, Secret, verify,
};

const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 30;
const MAX_LIFETIME: u64 = 3600;

/// A key of this target alone; it signs whatever the fuzzer makes up, so that the claims behind the signature are reached.
static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[7; 32]));

static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    let x = URL_SAFE_NO_PAD.encode(KEY.verifying_key().as_bytes());
    let jwks = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#);
    let jwks = Json::parse(jwks.as_bytes(), 8).expect("JSON of our own");
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let issuer = Issuer::new(IssuerSpec {
        name: "corp".into(),
        issuer: "i".into(),
        audiences: texts(&["a"]),
        algorithms: vec![Alg::EdDsa],
        keys: KeySet::parse(&jwks).expect("a key of our own"),
        leeway: LEEWAY,
        max_lifetime: MAX_LIFETIME,
        claims: ClaimPaths {
            subject: "sub".into(),
            tenant: Some("org.id".into()),
            scopes: texts(&["scope", "scp"]),
            roles: texts(&["roles", "realm_access.roles"]),
            groups: texts(&["groups"]),
        },
    });
    Issuers::new(vec![issuer.expect("an issuer of our own")]).expect("one issuer")
});

static CRYPTO: LazyLock<Crypto> = LazyLock::new(|| Crypto::rust_crypto().expect("the only one"));

/// A token that nobody signed is never good.
fn raw(bytes: &[u8]) {
    assert!(verify(&Secret::new(bytes), &ISSUERS, NOW, *CRYPTO).is_err());
}

/// Header and claims, separated by a line feed, signed: what is accepted keeps the promises of `Verified`.
fn signed(bytes: &[u8]) {
    let at = bytes.iter().position(|b| *b == b'\n').unwrap_or(0);
    let (header, claims) = bytes.split_at(at);
    let claims = claims.strip_prefix(b"\n").unwrap_or(claims);
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = URL_SAFE_NO_PAD.encode(KEY.sign(signed.as_bytes()).to_bytes());
    let token = format!("{signed}.{signature}");
    let Ok(caller) = verify(&Secret::new(token.as_bytes()), &ISSUERS, NOW, *CRYPTO) else {
        return;
    };
    let said: serde_json::Value = serde_json::from_slice(claims).expect("accepted, so JSON");
    let header: serde_json::Value = serde_json::from_slice(header).expect("accepted, so JSON");
    assert_eq!(header["alg"], "EdDSA");
    assert!(header.get("crit").is_none() && header.get("jwk").is_none());
    assert_eq!(said["iss"], "i");
    assert_eq!(said["exp"].as_u64(), Some(caller.expires_at()));
    assert!(caller.expires_at() + LEEWAY > NOW);
    assert!(caller.expires_at() <= NOW + LEEWAY + MAX_LIFETIME);
    for name in [Some(caller.subject()), caller.tenant()] {
        let name = name.expect("both are required");
        assert!(!name.is_empty() && name.trim() == name && !name.chars().any(char::is_control));
    }
    for scope in caller.scopes() {
        assert!(!scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic()));
    }
}

/// A key set is refused with reasons, or each of its algorithms has a key.
fn key_set(bytes: &[u8]) {
    let Ok(json) = Json::parse(bytes, 16) else {
        return;
    };
    match KeySet::parse(&json) {
        Ok(keys) => assert!(keys.len() > 0 && !keys.algorithms().is_empty()),
        Err(faults) => assert!(!faults.is_empty()),
    }
}

/// Ours accepts what serde_json accepts, save for duplicates and depth; and nothing else.
fn json(bytes: &[u8]) {
    let lax = serde_json::from_slice::<serde_json::Value>(bytes);
    match Json::parse(bytes, 64) {
        Ok(_) => assert!(lax.is_ok()),
        Err(JsonFault::Syntax { .. }) => assert!(lax.is_err()),
        Err(fault @ (JsonFault::Duplicate { .. } | JsonFault::TooDeep { .. })) => {
            assert!(fault.to_string().chars().all(|c| !c.is_control()));
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((which, rest)) = input.split_first() else {
        return;
    };
    match which {
        b'r' => raw(rest),
        b's' => signed(rest),
        b'k' => key_set(rest),
        _ => json(rest),
    }
});
