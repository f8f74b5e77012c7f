//! Who calls: every kind of proof that a route asks for, against what a request brings.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]

mod host;

use base64::Engine;
use host::{Gateway, NOW, bound_to, encode, holder, inline, key, policy, proof, token};
use postern_core::api_key::{ApiKey, ApiKeys};
use postern_core::facts::{Place, RequestFacts};
use postern_core::identity::{Evidence, Identity, Proving};
use postern_core::peer::{Connection, PeerPattern, Peers, TlsVersion, TrustDomain};
use postern_core::policy::{CredentialKind, HeadHold, Needs};
use postern_core::refusal::Code;
use postern_core::token::{IssuerSpec, Possession};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const WORKLOAD: &str = include_str!("../../../tests/vectors/peer/workload.pem");
const PROXY: &str = include_str!("../../../tests/vectors/peer/proxy.pem");
const PROXY_ID: &str = "spiffe://example.org/ns/istio-system/sa/gateway";

fn digest(pem: &str) -> [u8; 32] {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    Sha256::digest(der).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A connection on which this certificate was presented and validated.
fn connection(pem: &str) -> Connection {
    Connection {
        presented: true,
        validated: true,
        certificate: Some(pem.as_bytes().to_vec()),
        digest: Some(hex(&digest(pem))),
        tls_version: Some("TLSv1.3".to_owned()),
    }
}

fn unvalidated() -> Connection {
    Connection {
        validated: false,
        ..connection(WORKLOAD)
    }
}

const fn needs(credential: Option<CredentialKind>, peer: bool) -> Needs {
    Needs {
        credential,
        peer,
        peer_in_rules: false,
    }
}

const TOKEN: Needs = needs(Some(CredentialKind::Token), false);
const API_KEY: Needs = needs(Some(CredentialKind::ApiKey), false);
const PEER: Needs = needs(None, true);
const TOKEN_AND_PEER: Needs = needs(Some(CredentialKind::Token), true);
const API_KEY_AND_PEER: Needs = needs(Some(CredentialKind::ApiKey), true);
const TOKEN_OR_RULE_OF_PEER: Needs = Needs {
    peer_in_rules: true,
    ..TOKEN
};

const KEY: &str = "sk-secret-1";
const OLD_KEY: &str = "sk-secret-2";

fn gateway(possession: Possession) -> Gateway {
    let issuer = IssuerSpec {
        possession,
        from: vec![
            Place::bearer(),
            Place::Header {
                name: "x-token".into(),
                scheme: None,
            },
        ],
        ..inline()
    };
    let mut policy = policy(HeadHold::None, issuer);
    let api_key = |id: &str, key: &str, not_after| ApiKey {
        id: id.into(),
        sha256: Sha256::digest(key).into(),
        subject: format!("{id}-subject"),
        tenant: Some("platform".into()),
        scopes: vec!["model:*:chat".into()],
        not_after,
    };
    policy.api_keys = ApiKeys::new(vec![
        api_key("ci", KEY, None),
        api_key("old", OLD_KEY, Some(NOW / 1000 - 1)),
    ])
    .unwrap();
    policy.peers = Peers::new(
        vec![TrustDomain::parse("example.org").unwrap()],
        TlsVersion::V1_2,
        vec![PeerPattern::parse(PROXY_ID).unwrap()],
    )
    .unwrap();
    Gateway::new(policy)
}

fn prove(
    needs: Needs,
    connection: &Connection,
    headers: &[(&str, &str)],
    host: &mut Gateway,
) -> Result<Proving, Code> {
    let mut pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":path", b"/v1/chat/completions"),
        (b":authority", b"api"),
        (b":scheme", b"https"),
    ];
    pairs.extend(
        headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    );
    let facts = RequestFacts::read(&pairs, &host.policy.places.tokens).map_err(|r| r.code())?;
    let evidence = Evidence::new(&facts, connection, &host.policy);
    evidence
        .prove(needs, NOW, &mut host.ground())
        .map_err(|refusal| refusal.code())
}

/// What is known of a caller: credential and subject, and the peer.
fn shown(proving: Result<Proving, Code>) -> Result<String, Code> {
    let one = |identity: &Identity| {
        let kind = match (identity.issuer(), identity.api_key()) {
            (Some(issuer), None) => issuer.to_owned(),
            (None, Some(id)) => id.to_string(),
            (None, None) => "-".to_owned(),
            (Some(_), Some(_)) => panic!("two vouch"),
        };
        let peer = identity.peer().map_or("-", |peer| peer.id().as_str());
        format!("{kind} {} {peer}", identity.subject().unwrap_or("-"))
    };
    proving.map(|proving| match proving {
        Proving::Proved(identity) => one(&identity),
        Proving::Fresh(identity, _) => format!("{}, if new", one(&identity)),
        Proving::KeysAwaited(_) | Proving::KeyNotFetched(..) => panic!("its keys are here"),
    })
}

fn certificate_bound(pem: &str) -> String {
    format!(r#","cnf":{{"x5t#S256":"{}"}}"#, encode(digest(pem)))
}

fn auth(value: &str) -> Vec<(&str, &str)> {
    vec![("authorization", value)]
}

/// One row per combination: why, what the route asks for, the connection, the headers, and what comes of it.
#[test]
fn what_a_route_asks_for_and_what_a_request_brings() {
    let none = Connection::default();
    let mesh = connection(WORKLOAD);
    let bad = unvalidated();
    let foreign = Connection {
        tls_version: Some("TLSv1.1".to_owned()),
        ..connection(WORKLOAD)
    };
    let bearer = format!("Bearer {}", token(7, ""));
    let unknown = format!("Bearer {}", token(8, ""));
    let api_key = format!("Bearer {KEY}");
    let old_key = format!("Bearer {OLD_KEY}");
    let peer = workload_id();
    let with_peer = |of: &str| Ok(format!("{of} {peer}"));
    let ok = |of: &str| Ok(of.to_owned());
    type Row<'a> = (
        &'a str,
        Needs,
        &'a Connection,
        Vec<(&'a str, &'a str)>,
        Result<String, Code>,
    );
    let rows: Vec<Row<'_>> = vec![
        ("a token", TOKEN, &none, auth(&bearer), ok("corp alice -")),
        ("none", TOKEN, &none, vec![], Err(Code::CredentialMissing)),
        (
            "a token of a key that its issuer does not have",
            TOKEN,
            &none,
            auth(&unknown),
            Err(Code::TokenKey),
        ),
        (
            "two credentials",
            TOKEN,
            &none,
            vec![("authorization", &bearer), ("x-api-key", KEY)],
            Err(Code::CredentialRepeated),
        ),
        (
            "two credentials, where none is asked for",
            PEER,
            &mesh,
            vec![("authorization", &bearer), ("x-api-key", KEY)],
            Err(Code::CredentialRepeated),
        ),
        (
            "an API key where a token is asked for",
            TOKEN,
            &none,
            auth(&api_key),
            Err(Code::TokenMalformed),
        ),
        (
            "an API key in a place of no token",
            TOKEN,
            &none,
            vec![("x-api-key", KEY)],
            Err(Code::CredentialMissing),
        ),
        (
            "another scheme",
            TOKEN,
            &none,
            auth("Basic YTpi"),
            Err(Code::CredentialMissing),
        ),
        (
            "a token with a peer beside it",
            TOKEN,
            &mesh,
            auth(&bearer),
            with_peer("corp alice"),
        ),
        (
            "a peer that cannot be told is none, where nobody asks",
            TOKEN,
            &bad,
            auth(&bearer),
            ok("corp alice -"),
        ),
        (
            "and refused, where a rule asks: a denial would be escaped",
            TOKEN_OR_RULE_OF_PEER,
            &bad,
            auth(&bearer),
            Err(Code::PeerNotValidated),
        ),
        (
            "no peer at all is no fault for a rule",
            TOKEN_OR_RULE_OF_PEER,
            &none,
            auth(&bearer),
            ok("corp alice -"),
        ),
        (
            "token and peer",
            TOKEN_AND_PEER,
            &mesh,
            auth(&bearer),
            with_peer("corp alice"),
        ),
        (
            "the peer is missing",
            TOKEN_AND_PEER,
            &none,
            auth(&bearer),
            Err(Code::PeerMissing),
        ),
        (
            "the token is missing",
            TOKEN_AND_PEER,
            &mesh,
            vec![],
            Err(Code::CredentialMissing),
        ),
        (
            "an old TLS",
            TOKEN_AND_PEER,
            &foreign,
            auth(&bearer),
            Err(Code::PeerTlsVersion),
        ),
        ("a peer", PEER, &mesh, vec![], with_peer("- -")),
        (
            "a peer with a credential for the upstream",
            PEER,
            &mesh,
            auth(&bearer),
            with_peer("- -"),
        ),
        ("no peer", PEER, &none, vec![], Err(Code::PeerMissing)),
        (
            "a certificate that nobody validated",
            PEER,
            &bad,
            vec![],
            Err(Code::PeerNotValidated),
        ),
        (
            "a token where a peer is asked for",
            PEER,
            &none,
            auth(&bearer),
            Err(Code::PeerMissing),
        ),
        (
            "an API key",
            API_KEY,
            &none,
            auth(&api_key),
            ok("ci ci-subject -"),
        ),
        (
            "in another place of the SDKs",
            API_KEY,
            &none,
            vec![("x-goog-api-key", KEY)],
            ok("ci ci-subject -"),
        ),
        (
            "an unknown one",
            API_KEY,
            &none,
            vec![("x-api-key", "sk-secret-3")],
            Err(Code::ApiKeyUnknown),
        ),
        (
            "one that is over",
            API_KEY,
            &none,
            auth(&old_key),
            Err(Code::ApiKeyExpired),
        ),
        (
            "a token where an API key is asked for",
            API_KEY,
            &none,
            auth(&bearer),
            Err(Code::ApiKeyUnknown),
        ),
        ("none", API_KEY, &none, vec![], Err(Code::CredentialMissing)),
        (
            "an API key by another scheme",
            API_KEY,
            &none,
            auth("Basic c2s6"),
            Err(Code::CredentialMissing),
        ),
        (
            "API key and peer",
            API_KEY_AND_PEER,
            &mesh,
            auth(&api_key),
            with_peer("ci ci-subject"),
        ),
        (
            "API key without peer",
            API_KEY_AND_PEER,
            &none,
            auth(&api_key),
            Err(Code::PeerMissing),
        ),
    ];
    for (why, needs, connection, headers, expected) in rows {
        let host = &mut gateway(Possession::None);
        let found = shown(prove(needs, connection, &headers, host));
        assert_eq!(found, expected, "{why}");
    }
}

fn workload_id() -> String {
    let host = &mut gateway(Possession::None);
    match prove(PEER, &connection(WORKLOAD), &[], host) {
        Ok(Proving::Proved(identity)) => identity.peer().unwrap().id().as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// A token is held to what it is bound to, whatever its issuer demands; and to what its issuer demands.
#[test]
fn bindings() {
    let none = Connection::default();
    let mesh = connection(WORKLOAD);
    let other = connection(PROXY);
    let self_signed = unvalidated();
    let plain = token(7, "");
    let mtls = token(7, &certificate_bound(WORKLOAD));
    let dpop = token(7, &bound_to(&holder()));
    let bearer = |token: &str| format!("Bearer {token}");
    let by_dpop = |token: &str| format!("DPoP {token}");
    let proof_of = |token: &str, id: &str| proof(&holder(), token, id, "");
    let good = proof_of(&dpop, "a");
    let of_another = proof(&key(1), &dpop, "a", "");
    let of_another_token = proof_of(&plain, "a");
    type Row<'a> = (
        &'a str,
        Possession,
        &'a Connection,
        String,
        Vec<&'a str>,
        Result<&'a str, Code>,
    );
    let fresh = Ok("if new");
    let unbound = Err(Code::TokenBinding);
    use Possession::{Any, Dpop, Mtls, None as Nothing};
    let rows: Vec<Row<'_>> = vec![
        (
            "a bearer token",
            Nothing,
            &none,
            bearer(&plain),
            vec![],
            Ok(""),
        ),
        (
            "where a certificate is demanded",
            Mtls,
            &mesh,
            bearer(&plain),
            vec![],
            unbound,
        ),
        (
            "where a proof is demanded",
            Dpop,
            &none,
            bearer(&plain),
            vec![&of_another_token],
            unbound,
        ),
        (
            "where one of both is",
            Any,
            &mesh,
            bearer(&plain),
            vec![],
            unbound,
        ),
        (
            "sent as if a proof counted",
            Nothing,
            &none,
            by_dpop(&plain),
            vec![&of_another_token],
            unbound,
        ),
        (
            "with a proof that nobody asked for",
            Nothing,
            &none,
            bearer(&plain),
            vec![&good],
            Ok(""),
        ),
        (
            "bound to the certificate of the connection",
            Mtls,
            &mesh,
            bearer(&mtls),
            vec![],
            Ok(""),
        ),
        (
            "though nobody demands it",
            Nothing,
            &mesh,
            bearer(&mtls),
            vec![],
            Ok(""),
        ),
        ("one of both", Any, &mesh, bearer(&mtls), vec![], Ok("")),
        (
            "to another certificate",
            Mtls,
            &other,
            bearer(&mtls),
            vec![],
            unbound,
        ),
        (
            "to another, though nobody demands it",
            Nothing,
            &other,
            bearer(&mtls),
            vec![],
            unbound,
        ),
        (
            "to a certificate, and there is none",
            Nothing,
            &none,
            bearer(&mtls),
            vec![],
            unbound,
        ),
        (
            "to a certificate, where a proof is demanded",
            Dpop,
            &mesh,
            bearer(&mtls),
            vec![],
            unbound,
        ),
        (
            "to a certificate that names nobody: the handshake proved its key (RFC 8705 section 6.2)",
            Mtls,
            &self_signed,
            bearer(&mtls),
            vec![],
            Ok(""),
        ),
        (
            "bound to a certificate and sent as DPoP",
            Nothing,
            &mesh,
            by_dpop(&mtls),
            vec![&good],
            unbound,
        ),
        (
            "bound to a key, with its proof",
            Dpop,
            &none,
            by_dpop(&dpop),
            vec![&good],
            fresh,
        ),
        (
            "though nobody demands it",
            Nothing,
            &none,
            by_dpop(&dpop),
            vec![&good],
            fresh,
        ),
        (
            "one of both",
            Any,
            &none,
            by_dpop(&dpop),
            vec![&good],
            fresh,
        ),
        (
            "to a key, where a certificate is demanded",
            Mtls,
            &mesh,
            by_dpop(&dpop),
            vec![&good],
            unbound,
        ),
        (
            "to a key, and sent as Bearer: a downgrade",
            Nothing,
            &none,
            bearer(&dpop),
            vec![&good],
            unbound,
        ),
        (
            "without a proof",
            Dpop,
            &none,
            by_dpop(&dpop),
            vec![],
            Err(Code::DpopInvalid),
        ),
        (
            "with two",
            Dpop,
            &none,
            by_dpop(&dpop),
            vec![&good, &good],
            Err(Code::DpopInvalid),
        ),
        (
            "with another key's",
            Dpop,
            &none,
            by_dpop(&dpop),
            vec![&of_another],
            Err(Code::DpopInvalid),
        ),
        (
            "with one for another token",
            Dpop,
            &none,
            by_dpop(&dpop),
            vec![&of_another_token],
            Err(Code::DpopInvalid),
        ),
        (
            "with the token for a proof",
            Dpop,
            &none,
            by_dpop(&dpop),
            vec![&dpop],
            Err(Code::DpopInvalid),
        ),
    ];
    for (why, possession, connection, authorization, proofs, expected) in rows {
        let host = &mut gateway(possession);
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(proofs.iter().map(|proof| ("dpop", *proof)));
        let found = shown(prove(TOKEN, connection, &headers, host));
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(
                found.ends_with("if new"),
                expected == "if new",
                "{why}: {found}"
            ),
            (found, expected) => {
                assert_eq!(found.as_ref().err(), expected.as_ref().err(), "{why}");
            }
        }
    }
    // In a place of its own a token has no scheme, and the proof counts all the same.
    let host = &mut gateway(Possession::None);
    let headers = [("x-token", dpop.as_str())];
    let missing = shown(prove(TOKEN, &none, &headers, host));
    assert_eq!(missing, Err(Code::DpopInvalid), "bound, and no proof");
    let headers = [("x-token", dpop.as_str()), ("dpop", good.as_str())];
    assert!(
        shown(prove(TOKEN, &none, &headers, host)).is_ok_and(|found| found.ends_with("if new"))
    );
    // Nobody can tell whether a proof is new without what the workers share.
    host.memory.shared_secret = None;
    let found = shown(prove(TOKEN, &none, &headers, host));
    assert_eq!(found, Err(Code::DpopUnavailable));
}

/// Behind a trusted proxy the certificate is the one that it tells of, and never its own (RFC 8705 section 6.5).
#[test]
fn a_binding_behind_a_proxy() {
    let via_proxy = connection(PROXY);
    let told = format!(
        "By={PROXY_ID};Hash={};URI={}",
        hex(&digest(WORKLOAD)),
        workload_id()
    );
    let of_caller = format!("Bearer {}", token(7, &certificate_bound(WORKLOAD)));
    let of_proxy = format!("Bearer {}", token(7, &certificate_bound(PROXY)));
    let broken = "By=;;;=";
    for (why, forwarded, bearer, expected) in [
        ("the caller's", Some(told.as_str()), &of_caller, Ok(())),
        (
            "the proxy's own, with a caller behind it",
            Some(told.as_str()),
            &of_proxy,
            Err(Code::TokenBinding),
        ),
        ("the proxy itself calls", None, &of_proxy, Ok(())),
        (
            "what the proxy tells cannot be read: whose certificate is it?",
            Some(broken),
            &of_proxy,
            Err(Code::TokenBinding),
        ),
    ] {
        let host = &mut gateway(Possession::Mtls);
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(forwarded.map(|value| ("x-forwarded-client-cert", value)));
        let found = prove(TOKEN, &via_proxy, &headers, host).map(drop);
        assert_eq!(found, expected, "{why}");
    }
}

proptest! {
    /// Whatever stands in the header, nobody is proved by it but by the whole of a good credential.
    #[test]
    fn no_text_proves_anybody(value in "[ -~]{0,60}", scheme in prop_oneof![Just("Bearer "), Just("DPoP "), Just("")]) {
        let host = &mut gateway(Possession::None);
        let value = format!("{scheme}{value}");
        prop_assume!(!value.contains(KEY));
        for needs in [TOKEN, API_KEY, TOKEN_AND_PEER, API_KEY_AND_PEER] {
            let found = prove(needs, &connection(WORKLOAD), &[("authorization", &value)], host);
            prop_assert!(found.is_err());
        }
    }
}
