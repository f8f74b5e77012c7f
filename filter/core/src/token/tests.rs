//! Whole tokens against two issuers: what is accepted, and the table of attacks.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]

use super::*;
use crate::json::Json;
use signing::base64url;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod held;

const NOW: u64 = 1_800_000_000;
const CLAIMS: &str = r#"{"iss":"https://idp.example.com","aud":"inference","sub":"alice","exp":1800000600,"iat":1799999990,"org_id":"acme","scope":"model:*:chat","roles":["researcher"],"groups":["g1"]}"#;
const PARTNER_CLAIMS: &str =
    r#"{"iss":"https://partner.example.net","aud":["inference"],"sub":"bob","exp":1800000600}"#;
const RS256: &str = r#"{"alg":"RS256","typ":"JWT","kid":"rsa-1"}"#;
const ES256: &str = r#"{"alg":"ES256","typ":"at+jwt","kid":"ec-1"}"#;
const EDDSA: &str = r#"{"alg":"EdDSA","kid":"ed-1"}"#;

fn keys(kids: &[&str]) -> KeySet {
    KeySet::parse(&Json::parse(signing::jwks(kids).as_bytes(), 8).unwrap()).unwrap()
}

const CORP: &[&str] = &["rsa-1", "ec-1", "ec384-1", "ec521-1", "ed-1"];

/// `corp` uses all algorithms that are not symmetric. `partner` has keys of its own under the same ids, and uses ES256 only.
fn issuers() -> Issuers {
    let corp = IssuerSpec {
        algorithms: keys(CORP).algorithms(),
        leeway: 30,
        max_lifetime: 3600,
        claims: ClaimPaths {
            subject: "sub".into(),
            tenant: Some("org_id".into()),
            scopes: vec!["scope".into()],
            roles: vec!["roles".into()],
            groups: vec!["groups".into()],
        },
        ..IssuerSpec::new(
            "corp",
            "https://idp.example.com",
            vec!["inference".into()],
            Keys::Inline(keys(CORP)),
        )
    };
    let partner = IssuerSpec {
        algorithms: vec![Alg::Es256],
        leeway: 0,
        max_lifetime: 3600,
        claims: ClaimPaths {
            subject: "sub".into(),
            tenant: None,
            scopes: vec![],
            roles: vec![],
            groups: vec![],
        },
        ..IssuerSpec::new(
            "partner",
            "https://partner.example.net",
            vec!["inference".into()],
            Keys::Inline(keys(&["ec-2=ec-1", "rsa-2=rsa-1"])),
        )
    };
    Issuers::new(vec![
        Issuer::new(corp).unwrap(),
        Issuer::new(partner).unwrap(),
    ])
    .unwrap()
}

fn check(token: impl AsRef<[u8]>) -> Result<Arc<Verified>, TokenFault> {
    check_with(&issuers(), token)
}

fn check_with(issuers: &Issuers, token: impl AsRef<[u8]>) -> Result<Arc<Verified>, TokenFault> {
    verify(
        Secret::new(token.as_ref()),
        issuers,
        &mut Memory::default(),
        NOW * 1000,
        Crypto::rust_crypto().unwrap(),
    )
}

/// A verified token of this subject, for tests of what keeps some.
pub(super) fn of_subject(subject: &str) -> Verified {
    let mut verified = (*check(signing::token("ed-1", EDDSA, CLAIMS)).unwrap()).clone();
    verified.subject = subject.to_owned();
    verified
}

#[test]
fn good_tokens_of_both_issuers() {
    for (alg, kid, header) in [
        ("RS256", "rsa-1", RS256),
        ("RS384", "rsa-1", r#"{"alg":"RS384","kid":"rsa-1"}"#),
        ("RS512", "rsa-1", r#"{"alg":"RS512","kid":"rsa-1"}"#),
        ("PS256", "rsa-1", r#"{"alg":"PS256","kid":"rsa-1"}"#),
        ("PS384", "rsa-1", r#"{"alg":"PS384","kid":"rsa-1"}"#),
        ("PS512", "rsa-1", r#"{"alg":"PS512","kid":"rsa-1"}"#),
        ("ES256", "ec-1", ES256),
        ("ES384", "ec384-1", r#"{"alg":"ES384","kid":"ec384-1"}"#),
        ("ES512", "ec521-1", r#"{"alg":"ES512","kid":"ec521-1"}"#),
        ("EdDSA", "ed-1", EDDSA),
    ] {
        let verified = check(signing::token_as(alg, kid, header, CLAIMS)).unwrap();
        assert_eq!(verified.issuer(), "corp", "{kid}");
        assert_eq!(verified.subject(), "alice");
        assert_eq!(verified.tenant(), Some("acme"));
        assert_eq!(verified.scopes(), ["model:*:chat"]);
        assert_eq!(verified.roles(), ["researcher"]);
        assert_eq!(verified.groups(), ["g1"]);
        assert_eq!(verified.expires_at(), NOW + 600);
    }
    let partner = check(signing::token("ec-2", ES256, PARTNER_CLAIMS)).unwrap();
    assert_eq!(
        (partner.issuer(), partner.subject(), partner.tenant()),
        ("partner", "bob", None)
    );
    let nameless = check(signing::token("ec-1", r#"{"alg":"ES256"}"#, CLAIMS)).unwrap();
    assert_eq!(
        nameless.subject(),
        "alice",
        "no key id, and exactly one key of corp fits"
    );
}

/// An issuer whose policy names MACs: its secret is its only key, and serves nothing else.
#[test]
fn a_mac_is_taken_from_an_issuer_that_is_named_one() {
    let secrets = Json::parse(signing::jwks(&["oct-1"]).as_bytes(), 8).unwrap();
    let keys = Keys::Inline(KeySet::parse_secrets(&secrets).unwrap());
    let audiences = vec!["inference".into()];
    let mut spec = IssuerSpec {
        algorithms: vec![Alg::Hs256, Alg::Hs512],
        ..IssuerSpec::new("legacy", "https://idp.example.com", audiences, keys)
    };
    let legacy = Issuers::new(vec![Issuer::new(spec.clone()).unwrap()]).unwrap();
    spec.algorithms = vec![Alg::Hs384];
    let narrow = Issuers::new(vec![Issuer::new(spec).unwrap()]).unwrap();
    for (why, issuers, alg, kid, expected) in [
        ("HS256", &legacy, "HS256", "oct-1", None),
        ("HS512", &legacy, "HS512", "oct-1", None),
        (
            "one that is not named",
            &legacy,
            "HS384",
            "oct-1",
            Some(TokenFault::AlgorithmRefused),
        ),
        (
            "another secret under its name",
            &legacy,
            "HS256",
            "oct-2",
            Some(TokenFault::SignatureInvalid),
        ),
        (
            "one that another policy names",
            &narrow,
            "HS256",
            "oct-1",
            Some(TokenFault::AlgorithmRefused),
        ),
    ] {
        let header = format!(r#"{{"alg":"{alg}","kid":"oct-1"}}"#);
        let token = signing::token_as(alg, kid, &header, CLAIMS);
        let found = check_with(issuers, token);
        assert_eq!(found.err(), expected, "{why}");
    }
    let signed = signing::token("rsa-1", r#"{"alg":"RS256","kid":"oct-1"}"#, CLAIMS);
    assert_eq!(
        check_with(&legacy, signed).err(),
        Some(TokenFault::AlgorithmRefused)
    );
}

/// RFC 7519 section 6.1.
#[test]
fn a_key_that_is_taken_back_is_known_without_its_name() {
    let list = Json::parse(br#"{"kid":["ec-1"]}"#, 8).unwrap();
    let spec = IssuerSpec {
        revoked: Revoked::Inline(Arc::new(Revocation::parse(&list).unwrap())),
        ..IssuerSpec::new(
            "corp",
            "https://idp.example.com",
            vec!["inference".into()],
            Keys::Inline(keys(CORP)),
        )
    };
    let issuers = Issuers::new(vec![Issuer::new(spec).unwrap()]).unwrap();
    for (key, header, expected, why) in [
        ("ec-1", ES256, Some(TokenFault::Revoked), "by its name"),
        (
            "ec-1",
            r#"{"alg":"ES256"}"#,
            Some(TokenFault::Revoked),
            "the one key that fits is that key",
        ),
        ("ed-1", r#"{"alg":"EdDSA"}"#, None, "another key"),
    ] {
        let found = check_with(&issuers, signing::token(key, header, CLAIMS));
        assert_eq!(found.err(), expected, "{why}");
    }
}

#[test]
fn the_unsecured_example_of_the_rfc_is_no_token() {
    let token = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";
    assert_eq!(
        check(token),
        Err(TokenFault::Malformed("its signature is not base64url"))
    );
}

/// One row per attack: what is tried, the token, what it ends in.
fn attacks() -> Vec<(&'static str, String, TokenFault)> {
    use TokenFault::*;
    let good = signing::token("rsa-1", RS256, CLAIMS);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let with_claims = |from: &str, to: &str| {
        assert!(CLAIMS.contains(from), "{from}");
        signing::token("ed-1", EDDSA, &CLAIMS.replacen(from, to, 1))
    };
    let with_header = |header: &str| signing::token("rsa-1", header, CLAIMS);
    let modulus = signing::from_base64url(signing::public_jwk("rsa-1")["n"].as_str().unwrap());
    let hmac = |secret: &[u8]| {
        let header = base64url(r#"{"alg":"HS256","typ":"JWT","kid":"rsa-1"}"#);
        let signed = format!("{header}.{}", base64url(CLAIMS));
        format!(
            "{signed}.{}",
            base64url(signing::hs256(secret, signed.as_bytes()))
        )
    };
    let unsecured = |alg: &str, signature: &str| {
        format!(
            "{}.{}.{signature}",
            base64url(format!(r#"{{"alg":"{alg}"}}"#)),
            base64url(CLAIMS)
        )
    };
    let resigned = |kid: &str, header: &str, claims: &str| signing::token(kid, header, claims);
    let own_key = format!(r#"{{"alg":"ES256","jwk":{}}}"#, signing::public_jwk("ec-2"));
    let es = signing::token("ec-1", ES256, CLAIMS);
    let (es_signed, es_signature) = es.rsplit_once('.').unwrap();
    let raw = signing::from_base64url(es_signature);
    let der = p256::ecdsa::Signature::from_slice(&raw).unwrap().to_der();
    let es_with = |signature: &[u8]| format!("{es_signed}.{}", base64url(signature));

    vec![
        // The algorithm.
        (
            "alg none without a signature",
            unsecured("none", ""),
            Malformed("its signature is not base64url"),
        ),
        (
            "alg none with some signature",
            unsecured("none", "AAAA"),
            AlgorithmRefused,
        ),
        ("alg None", unsecured("None", "AAAA"), AlgorithmRefused),
        ("alg nOnE", unsecured("nOnE", "AAAA"), AlgorithmRefused),
        ("alg empty", unsecured("", "AAAA"), AlgorithmRefused),
        (
            "alg none over the signature of a good token",
            format!(
                "{}.{}.{signature}",
                base64url(r#"{"alg":"none"}"#),
                base64url(CLAIMS)
            ),
            AlgorithmRefused,
        ),
        (
            "HMAC with the public key as secret",
            hmac(&modulus),
            AlgorithmRefused,
        ),
        (
            "HMAC with the key set as secret",
            hmac(signing::jwks(&["rsa-1"]).as_bytes()),
            AlgorithmRefused,
        ),
        ("HMAC with an empty secret", hmac(b""), AlgorithmRefused),
        (
            "alg in other letters",
            with_header(r#"{"alg":"rs256","kid":"rsa-1"}"#),
            AlgorithmRefused,
        ),
        (
            "RSA signature under the name of ES256, key of RSA",
            with_header(r#"{"alg":"ES256","kid":"rsa-1"}"#),
            AlgorithmRefused,
        ),
        (
            "RSA signature under the name of ES256, key of P-256",
            with_header(r#"{"alg":"ES256","kid":"ec-1"}"#),
            SignatureInvalid,
        ),
        (
            "PKCS #1 under the name of PSS, same key",
            with_header(r#"{"alg":"PS256","kid":"rsa-1"}"#),
            SignatureInvalid,
        ),
        (
            "SHA-256 under the name of SHA-512, same key",
            with_header(r#"{"alg":"RS512","kid":"rsa-1"}"#),
            SignatureInvalid,
        ),
        (
            "a signature of P-521 under the name of ES384",
            resigned("ec521-1", r#"{"alg":"ES384","kid":"ec521-1"}"#, CLAIMS),
            AlgorithmRefused,
        ),
        (
            "an algorithm for which the issuer has a key, and which it does not use",
            resigned("rsa-2", RS256, PARTNER_CLAIMS),
            AlgorithmRefused,
        ),
        // The key.
        (
            "key id of nobody",
            with_header(r#"{"alg":"RS256","kid":"rsa-9"}"#),
            KeyUnknown,
        ),
        (
            "key id as a path",
            with_header(r#"{"alg":"RS256","kid":"../../dev/null"}"#),
            KeyUnknown,
        ),
        (
            "key id as SQL",
            with_header(r#"{"alg":"RS256","kid":"x' OR '1'='1"}"#),
            KeyUnknown,
        ),
        (
            "key id of the right key with NUL behind",
            with_header(r#"{"alg":"RS256","kid":"rsa-1\u0000"}"#),
            HeaderRefused("kid is empty, too long or has control characters"),
        ),
        (
            "signed by the other issuer's key of the same id",
            resigned("ec-2", ES256, CLAIMS),
            SignatureInvalid,
        ),
        (
            "and the other way round",
            resigned("ec-1", ES256, PARTNER_CLAIMS),
            SignatureInvalid,
        ),
        (
            "key id that only the other issuer has",
            resigned("ed-1", r#"{"alg":"ES256","kid":"ed-1"}"#, PARTNER_CLAIMS),
            KeyUnknown,
        ),
        (
            "another key of the same issuer than the one named",
            resigned("ed-1", r#"{"alg":"EdDSA","kid":"ec-1"}"#, CLAIMS),
            AlgorithmRefused,
        ),
        (
            "its own key in the header",
            resigned("ec-2", &own_key, CLAIMS),
            HeaderRefused("jwk brings its own key"),
        ),
        (
            "its own key set in the header",
            with_header(r#"{"alg":"RS256","jku":"https://evil.example/jwks"}"#),
            HeaderRefused("jku brings its own keys"),
        ),
        (
            "its own certificate by address",
            with_header(r#"{"alg":"RS256","x5u":"https://evil.example/c"}"#),
            HeaderRefused("x5u brings its own key"),
        ),
        (
            "its own certificate",
            with_header(r#"{"alg":"RS256","x5c":["MIIB"]}"#),
            HeaderRefused("x5c brings its own key"),
        ),
        // The header.
        (
            "an extension marked critical",
            with_header(r#"{"alg":"RS256","kid":"rsa-1","crit":["b64"],"b64":false}"#),
            HeaderRefused("crit asks for an extension"),
        ),
        (
            "payload not encoded",
            with_header(r#"{"alg":"RS256","kid":"rsa-1","b64":false}"#),
            HeaderRefused("b64 changes what is signed"),
        ),
        (
            "a nested token",
            with_header(r#"{"alg":"RS256","kid":"rsa-1","cty":"JWT"}"#),
            HeaderRefused("cty announces a nested token"),
        ),
        (
            "a DPoP proof",
            with_header(r#"{"alg":"RS256","kid":"rsa-1","typ":"dpop+jwt"}"#),
            HeaderRefused("typ is not that of an access token"),
        ),
        (
            "alg twice",
            with_header(r#"{"alg":"RS256","alg":"none","kid":"rsa-1"}"#),
            Malformed("its header is not strict JSON"),
        ),
        (
            "key id twice",
            with_header(r#"{"alg":"RS256","kid":"rsa-9","kid":"rsa-1"}"#),
            Malformed("its header is not strict JSON"),
        ),
        // The form.
        (
            "empty",
            String::new(),
            Malformed("it does not have three parts"),
        ),
        (
            "with its scheme",
            format!("Bearer {good}"),
            Malformed("its header is not base64url"),
        ),
        (
            "two tokens",
            format!("{good},{good}"),
            Malformed("it does not have three parts"),
        ),
        (
            "signature cut off",
            signed.to_string(),
            Malformed("it does not have three parts"),
        ),
        (
            "signature empty",
            format!("{signed}."),
            Malformed("its signature is not base64url"),
        ),
        (
            "a dot behind",
            format!("{good}."),
            Malformed("it does not have three parts"),
        ),
        (
            "a dot in front",
            format!(".{good}"),
            Malformed("it does not have three parts"),
        ),
        (
            "JWE",
            format!("{good}.AAAA.AAAA"),
            Malformed("it does not have three parts"),
        ),
        (
            "JSON serialisation",
            format!(
                r#"{{"payload":"{}","protected":"e30","signature":"AAAA"}}"#,
                base64url(CLAIMS)
            ),
            Malformed("it does not have three parts"),
        ),
        (
            "padding",
            format!("{good}=="),
            Malformed("its signature is not base64url"),
        ),
        (
            "a line feed",
            format!("{good}\n"),
            Malformed("its signature is not base64url"),
        ),
        (
            "the unused bits of the last character",
            trailing_bits(&good),
            Malformed("its signature is not base64url"),
        ),
        (
            "too long",
            format!("{good}{}", "A".repeat(MAX_TOKEN_BYTES)),
            TooLong,
        ),
        // The signature.
        (
            "cut short by one byte",
            good[..good.len() - 2].to_string(),
            SignatureInvalid,
        ),
        (
            "payload of another token",
            format!(
                "{}.{}.{signature}",
                base64url(RS256),
                base64url(CLAIMS.replace("alice", "admin"))
            ),
            SignatureInvalid,
        ),
        ("ECDSA in DER", es_with(der.as_bytes()), SignatureInvalid),
        (
            "ECDSA with r and s zero",
            es_with(&[0; 64]),
            SignatureInvalid,
        ),
        (
            "ECDSA with r zero",
            es_with(&[&[0; 32], &raw[32..]].concat()),
            SignatureInvalid,
        ),
        (
            "ECDSA with s zero",
            es_with(&[&raw[..32], &[0; 32]].concat()),
            SignatureInvalid,
        ),
        // The issuer.
        (
            "no issuer",
            with_claims(r#""iss":"https://idp.example.com","#, ""),
            IssuerMissing,
        ),
        (
            "issuer with a slash",
            with_claims("idp.example.com", "idp.example.com/"),
            IssuerUnknown,
        ),
        (
            "issuer in other letters",
            with_claims("idp.example.com", "IDP.example.com"),
            IssuerUnknown,
        ),
        (
            "issuer with NUL behind",
            with_claims("idp.example.com", "idp.example.com\\u0000"),
            IssuerUnknown,
        ),
        (
            "issuer by its name in the policy",
            with_claims("https://idp.example.com", "corp"),
            IssuerUnknown,
        ),
        (
            "issuers in a list",
            with_claims(
                r#""https://idp.example.com""#,
                r#"["https://idp.example.com"]"#,
            ),
            ClaimInvalid(Claim::Issuer),
        ),
        // The claims; every form of them stands beside `claims`.
        (
            "issuer twice: checked one, used the other",
            with_claims("{", r#"{"iss":"https://partner.example.net","#),
            Malformed("its claims are not strict JSON"),
        ),
        (
            "no audience",
            with_claims(r#""aud":"inference","#, ""),
            ClaimMissing(Claim::Audience),
        ),
        (
            "another audience",
            with_claims(r#""inference""#, r#""billing""#),
            AudienceWrong,
        ),
        (
            "no exp",
            with_claims(r#""exp":1800000600,"#, ""),
            ClaimMissing(Claim::Expiry),
        ),
        (
            "exp as a string",
            with_claims("1800000600", r#""1800000600""#),
            ClaimInvalid(Claim::Expiry),
        ),
        (
            "exp as a float",
            with_claims("1800000600", "1800000600.0"),
            ClaimInvalid(Claim::Expiry),
        ),
        (
            "exp negative",
            with_claims("1800000600", "-1"),
            ClaimInvalid(Claim::Expiry),
        ),
        (
            "exp huge",
            with_claims("1800000600", "1e400"),
            Malformed("its claims are not strict JSON"),
        ),
        (
            "exp over",
            with_claims(
                r#""exp":1800000600,"iat":1799999990"#,
                r#""exp":1799999970,"iat":1799999900"#,
            ),
            Expired,
        ),
        (
            "nbf in the future",
            with_claims("{", r#"{"nbf":1800000031,"#),
            NotYetValid,
        ),
        (
            "issued in the future",
            with_claims("1799999990", "1800000031"),
            IssuedInFuture,
        ),
        (
            "valid too long",
            with_claims("1800000600", "1800003591"),
            LifetimeTooLong,
        ),
        (
            "no subject",
            with_claims(r#""sub":"alice","#, ""),
            ClaimMissing(Claim::Subject),
        ),
        (
            "no tenant, which corp requires",
            with_claims(r#""org_id":"acme","#, ""),
            ClaimMissing(Claim::Tenant),
        ),
        (
            "roles of the wrong form",
            with_claims(r#"["researcher"]"#, r#"{"admin":true}"#),
            ClaimInvalid(Claim::Roles),
        ),
    ]
}

/// The good token with one of the unused bits of its last character set: other text, same bytes.
fn trailing_bits(token: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = token.as_bytes()[token.len() - 1];
    let value = ALPHABET.iter().position(|b| *b == last).unwrap();
    let changed = ALPHABET[value | 1] as char;
    assert_ne!(changed as u8, last, "256 bytes leave four bits unused");
    format!("{}{changed}", &token[..token.len() - 1])
}

#[test]
fn the_table_of_attacks() {
    for (attack, token, expected) in attacks() {
        assert_eq!(check(&token).err(), Some(expected), "{attack}");
    }
}

#[test]
fn a_fault_says_nothing_of_the_token() {
    for (attack, token, _) in attacks() {
        let Err(fault) = check(&token) else { continue };
        let told = format!("{fault} {fault:?}");
        for piece in token.as_bytes().windows(8) {
            let piece = String::from_utf8_lossy(piece);
            assert!(!told.contains(&*piece), "{attack}: {piece} in {told}");
        }
        for planted in [
            "alice",
            "acme",
            "idp.example.com",
            "evil.example",
            "researcher",
        ] {
            assert!(!told.contains(planted), "{attack}: {planted} in {told}");
        }
    }
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    let token = signing::token("ed-1", EDDSA, CLAIMS);
    let issuers = issuers();
    for end in 0..token.len() {
        let cut = &token.as_bytes()[..end];
        assert!(check_with(&issuers, cut).is_err(), "{end}");
    }
    assert!(check_with(&issuers, &token).is_ok());
}

#[test]
fn one_flipped_bit_anywhere_is_refused() {
    let token = signing::token("ed-1", EDDSA, CLAIMS).into_bytes();
    let issuers = issuers();
    for at in 0..token.len() {
        for bit in 0..8 {
            let mut flipped = token.clone();
            flipped[at] ^= 1 << bit;
            assert!(
                check_with(&issuers, &flipped).is_err(),
                "byte {at}, bit {bit}"
            );
        }
    }
}

#[test]
fn without_issuers_no_token_is_good() {
    let token = signing::token("rsa-1", RS256, CLAIMS);
    let outcome = check_with(&Issuers::default(), token);
    assert_eq!(outcome, Err(TokenFault::IssuerUnknown));
}
