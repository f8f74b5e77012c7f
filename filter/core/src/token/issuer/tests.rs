#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]
use super::*;
use crate::json::Json;
use crate::token::signing;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn good() -> IssuerSpec {
    IssuerSpec {
        name: "corp".into(),
        issuer: "https://idp.example.com".into(),
        audiences: vec!["inference".into()],
        algorithms: vec![Alg::Es256, Alg::EdDsa],
        keys: KeySet::parse(&Json::parse(signing::jwks(&["ec-1", "ed-1"]).as_bytes(), 8).unwrap())
            .unwrap(),
        leeway: 30,
        max_lifetime: 86_400,
        claims: ClaimPaths {
            subject: "sub".into(),
            tenant: None,
            scopes: vec!["scope".into()],
            roles: vec![],
            groups: vec![],
        },
    }
}

fn faults(change: impl FnOnce(&mut IssuerSpec)) -> Vec<IssuerFault> {
    let mut spec = good();
    change(&mut spec);
    Issuer::new(spec).err().unwrap_or_default()
}

#[test]
fn the_edges_of_what_loads() {
    assert_eq!(faults(|_| ()), []);
    assert_eq!(faults(|spec| spec.leeway = 0), [], "a clock can be exact");
    assert_eq!(faults(|spec| spec.leeway = MAX_LEEWAY_SECONDS), []);
    assert_eq!(faults(|spec| spec.max_lifetime = 1), []);
    assert_eq!(
        faults(|spec| spec.claims.scopes.clear()),
        [],
        "an issuer without scopes"
    );
    assert_eq!(
        faults(|spec| spec.algorithms = vec![Alg::EdDsa]),
        [],
        "keys may be more than are used"
    );
}

#[test]
fn what_would_believe_too_much_or_nothing_does_not_load() {
    type Change = fn(&mut IssuerSpec);
    let rows: Vec<(&str, Change, Vec<IssuerFault>)> = vec![
        (
            "no name",
            |s| s.name.clear(),
            vec![IssuerFault::NameInvalid],
        ),
        (
            "a name that breaks a label",
            |s| s.name = "a b".into(),
            vec![IssuerFault::NameInvalid],
        ),
        (
            "a long name",
            |s| s.name = "n".repeat(65),
            vec![IssuerFault::NameInvalid],
        ),
        (
            "no issuer",
            |s| s.issuer.clear(),
            vec![IssuerFault::IssuerInvalid],
        ),
        (
            "white space that nobody sees",
            |s| s.issuer = "https://idp ".into(),
            vec![IssuerFault::IssuerInvalid],
        ),
        (
            "no audience: for everybody",
            |s| s.audiences.clear(),
            vec![IssuerFault::AudiencesEmpty],
        ),
        (
            "an empty audience",
            |s| s.audiences.push(String::new()),
            vec![IssuerFault::AudienceInvalid(1)],
        ),
        (
            "an audience twice",
            |s| s.audiences.push("inference".into()),
            vec![IssuerFault::AudienceInvalid(1)],
        ),
        (
            "no algorithm",
            |s| s.algorithms.clear(),
            vec![IssuerFault::AlgorithmsEmpty],
        ),
        (
            "an algorithm twice",
            |s| s.algorithms.push(Alg::Es256),
            vec![IssuerFault::AlgorithmTwice(Alg::Es256)],
        ),
        (
            "an algorithm without a key",
            |s| s.algorithms.push(Alg::Rs256),
            vec![IssuerFault::AlgorithmWithoutKey(Alg::Rs256)],
        ),
        (
            "a leeway that is a lifetime",
            |s| s.leeway = MAX_LEEWAY_SECONDS + 1,
            vec![IssuerFault::LeewayTooLong],
        ),
        (
            "lifetime zero",
            |s| s.max_lifetime = 0,
            vec![IssuerFault::MaxLifetimeZero],
        ),
        (
            "an empty subject path",
            |s| s.claims.subject.clear(),
            vec![IssuerFault::ClaimPathInvalid("claims.subject")],
        ),
        (
            "an empty tenant path",
            |s| s.claims.tenant = Some(".".into()),
            vec![IssuerFault::ClaimPathInvalid("claims.tenant")],
        ),
        (
            "a bad path among good ones",
            |s| s.claims.groups = vec!["groups".into(), "a..b".into()],
            vec![IssuerFault::ClaimPathInvalid("claims.groups")],
        ),
        (
            "everything at once",
            |s| {
                s.name.clear();
                s.audiences.clear();
                s.max_lifetime = 0;
                s.claims.subject.clear();
                s.claims.roles = vec![String::new()];
            },
            vec![
                IssuerFault::NameInvalid,
                IssuerFault::AudiencesEmpty,
                IssuerFault::MaxLifetimeZero,
                IssuerFault::ClaimPathInvalid("claims.subject"),
                IssuerFault::ClaimPathInvalid("claims.roles"),
            ],
        ),
    ];
    for (why, change, expected) in rows {
        let found = faults(change);
        assert_eq!(found, expected, "{why}");
        for fault in found {
            assert!(
                !fault.to_string().is_empty() && !fault.field().is_empty(),
                "{why}"
            );
        }
    }
}

#[test]
fn issuers_cannot_be_mistaken_for_each_other() {
    let issuer = |name: &str, iss: &str| {
        let mut spec = good();
        spec.name = name.into();
        spec.issuer = iss.into();
        Issuer::new(spec).unwrap()
    };
    for (why, issuers, expected) in [
        ("none", vec![], vec![]),
        (
            "two",
            vec![issuer("a", "https://a"), issuer("b", "https://b")],
            vec![],
        ),
        (
            "a slash makes another",
            vec![issuer("a", "https://a"), issuer("b", "https://a/")],
            vec![],
        ),
        (
            "one name",
            vec![issuer("a", "https://a"), issuer("a", "https://b")],
            vec![IssuersFault::NameTwice(1)],
        ),
        (
            "one iss: whose rules?",
            vec![
                issuer("a", "https://a"),
                issuer("b", "https://b"),
                issuer("c", "https://a"),
            ],
            vec![IssuersFault::IssuerTwice(2)],
        ),
        (
            "the same twice",
            vec![issuer("a", "https://a"), issuer("a", "https://a")],
            vec![IssuersFault::NameTwice(1), IssuersFault::IssuerTwice(1)],
        ),
    ] {
        assert_eq!(
            Issuers::new(issuers).err().unwrap_or_default(),
            expected,
            "{why}"
        );
    }
}
