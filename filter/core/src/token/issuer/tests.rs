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
        algorithms: vec![Alg::Es256, Alg::EdDsa],
        leeway: 30,
        max_lifetime: 86_400,
        claims: ClaimPaths {
            subject: "sub".into(),
            tenant: None,
            scopes: vec!["scope".into()],
            roles: vec![],
            groups: vec![],
        },
        ..IssuerSpec::new(
            "corp",
            "https://idp.example.com",
            vec!["inference".into()],
            Keys::Inline(
                KeySet::parse(
                    &Json::parse(signing::jwks(&["ec-1", "ed-1"]).as_bytes(), 8).unwrap(),
                )
                .unwrap(),
            ),
        )
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

/// HMAC only when it is named, and only with shared secrets.
#[test]
fn symmetric_algorithms_need_a_name_and_a_secret() {
    let set = |kids: &[&str]| Json::parse(signing::jwks(kids).as_bytes(), 8).unwrap();
    let secrets = KeySet::parse_secrets(&set(&["oct-1"])).unwrap();
    let public = KeySet::parse(&set(&["rsa-1", "ec-1"])).unwrap();
    for (why, keys, algorithms, expected) in [
        ("named, with a secret", &secrets, vec![Alg::Hs256], vec![]),
        (
            "secrets, and nothing named: there is no default for them",
            &secrets,
            secrets.algorithms(),
            vec![IssuerFault::AlgorithmsEmpty],
        ),
        (
            "named, with public keys: the key is no secret",
            &public,
            vec![Alg::Hs256, Alg::Rs256],
            vec![IssuerFault::AlgorithmWithoutKey(Alg::Hs256)],
        ),
        (
            "a signature named, with secrets",
            &secrets,
            vec![Alg::Hs512, Alg::Rs256],
            vec![IssuerFault::AlgorithmWithoutKey(Alg::Rs256)],
        ),
    ] {
        let found = faults(|spec| {
            spec.keys = Keys::Inline(keys.clone());
            spec.algorithms = algorithms;
        });
        assert_eq!(found, expected, "{why}");
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

fn header(name: &str, scheme: Option<&str>) -> Place {
    Place::Header {
        name: name.into(),
        scheme: scheme.map(str::to_owned),
    }
}

fn telling(name: &str) -> Forward {
    Forward {
        keep_token: false,
        headers: vec![Told {
            header: name.into(),
            value: ToldValue::Subject,
        }],
    }
}

#[test]
fn places_and_headers_that_do_not_load() {
    let twice = vec![Place::bearer(), header("x-token", None), Place::bearer()];
    assert_eq!(faults(|spec| spec.from.clear()), [IssuerFault::PlacesEmpty]);
    assert_eq!(
        faults(|spec| spec.from = twice),
        [IssuerFault::PlaceTwice(2)]
    );
    for (name, good, why) in [
        ("x-caller", true, "ours to give"),
        ("x-caller-2", true, "with a digit"),
        ("x-", false, "no name"),
        ("caller", false, "a name that upstreams may know"),
        ("X-Caller", false, "names are written in lower case"),
        ("x_caller", false, "folded with - by some servers"),
        ("x-postern-subject", false, "ours"),
        ("x-envoy-original-path", false, "the gateway's"),
        ("x-forwarded-for", false, "the gateway's"),
        ("x-request-id", false, "the gateway's"),
        ("x-original-url", false, "another path"),
        ("x-http-method-override", false, "another method"),
    ] {
        let expected = if good {
            vec![]
        } else {
            vec![IssuerFault::ToldInvalid(0)]
        };
        let found = faults(|spec| spec.forward = telling(name));
        assert_eq!(found, expected, "{name}: {why}");
    }
    let mut two = telling("x-a");
    two.headers.push(Told {
        header: "x-a".into(),
        value: ToldValue::Tenant,
    });
    assert_eq!(
        faults(|spec| spec.forward = two),
        [
            IssuerFault::ToldInvalid(1),
            IssuerFault::ToldWithoutTenant(1)
        ]
    );
}

/// Two readings of one value: which of them was checked?
#[test]
fn every_value_has_one_reading() {
    let issuer = |number: u8, from: Vec<Place>, told: Option<&str>| {
        Issuer::new(IssuerSpec {
            name: format!("i{number}"),
            issuer: format!("https://i{number}"),
            from,
            forward: told.map(telling).unwrap_or_default(),
            ..good()
        })
        .unwrap()
    };
    let ambiguous = |issuer, place| IssuersFault::PlaceAmbiguous { issuer, place };
    let bearer = || vec![Place::bearer()];
    let token = |scheme| header("x-token", scheme);
    for (why, issuers, expected) in [
        (
            "the same place",
            vec![
                issuer(0, bearer(), None),
                issuer(1, vec![token(None), Place::bearer()], None),
                issuer(2, vec![token(None)], None),
            ],
            vec![],
        ),
        (
            "schemes that differ",
            vec![
                issuer(0, vec![token(Some("A"))], None),
                issuer(1, vec![token(Some("B"))], None),
            ],
            vec![],
        ),
        (
            "with a scheme here, without there",
            vec![
                issuer(0, vec![token(Some("A"))], None),
                issuer(1, vec![Place::bearer(), token(None)], None),
            ],
            vec![ambiguous(1, 1)],
        ),
        (
            "within one issuer",
            vec![issuer(0, vec![token(None), token(Some("A"))], None)],
            vec![ambiguous(0, 1)],
        ),
        (
            "two issuers tell one header: one token has one value",
            vec![
                issuer(0, bearer(), Some("x-caller")),
                issuer(1, bearer(), Some("x-caller")),
            ],
            vec![],
        ),
        (
            "a header tells of tokens and carries another's",
            vec![
                issuer(0, bearer(), Some("x-token")),
                issuer(1, vec![token(None)], None),
            ],
            vec![IssuersFault::ToldOverCredential(0)],
        ),
        (
            "a header in which SDKs send API keys",
            vec![issuer(0, bearer(), Some("x-goog-api-key"))],
            vec![IssuersFault::ToldOverCredential(0)],
        ),
    ] {
        let found = Issuers::new(issuers).err().unwrap_or_default();
        assert_eq!(found, expected, "{why}");
        assert!(found.iter().all(|fault| !fault.to_string().is_empty()));
    }
}
