//! The files themselves: they load, and what the loader promises holds.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_file_loads_and_every_case_has_its_own_name() {
    let cases = load_all().unwrap();
    let names: BTreeSet<String> = cases.iter().map(Case::name).collect();
    assert_eq!(names.len(), cases.len());
}

#[test]
fn a_policy_states_its_mode_and_carries_key_sets() {
    for case in load_all().unwrap() {
        let policy: serde_json::Value =
            serde_json::from_str(&case.policy_json(case.mode())).unwrap();
        assert_eq!(policy["host"]["headHold"], case.mode().to_string());
        assert!(!policy.to_string().contains("${jwks:"));
    }
}

#[test]
fn pieces_are_the_body_cut() {
    for case in load_all().unwrap() {
        let request = case.request(1_800_000_000).unwrap();
        assert_eq!(
            request.pieces().concat(),
            request.body_bytes(),
            "{}",
            case.name()
        );
    }
}

#[test]
fn a_case_that_saw_nothing_at_all_fails() {
    for case in load_all().unwrap() {
        let request = case.request(1_800_000_000).unwrap();
        assert!(
            case.judge(&request, &Observed::default()).is_err(),
            "{}",
            case.name()
        );
    }
}

impl Case {
    /// A case of a scenario with this `request` and this `expect`.
    pub(super) fn of(request: serde_json::Value, expect: serde_json::Value) -> Case {
        let scenario =
            serde_json::json!({ "name": "a", "why": "b", "request": request, "expect": expect });
        Case {
            file: "tests".into(),
            scenario: Arc::new(serde_json::from_value(scenario).unwrap()),
            policy: Arc::new(Policy {
                name: "none".to_owned(),
                value: serde_json::json!({}),
            }),
            mode: Mode::Flag,
            protocol: Protocol::H2,
        }
    }
}

/// The request of a scenario whose `request` is this JSON.
fn request(spec: serde_json::Value) -> Result<Request, crate::issuer::IssuerFault> {
    let expect = serde_json::json!({ "status": null, "upstream": "nothing" });
    Case::of(spec, expect).request(1_800_000_000)
}

fn value<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let (_, value) = request.headers.iter().find(|(seen, _)| seen == name)?;
    std::str::from_utf8(value).ok()
}

#[test]
fn a_token_goes_where_the_scenario_puts_it_and_is_a_secret_there() {
    use serde_json::json;
    // (request, where the token is, whether it is in `authorization` too)
    for (spec, name, too) in [
        (
            json!({ "token": { "scheme": null }, "headers": [["x-api-key", "${token}"]] }),
            "x-api-key",
            false,
        ),
        (
            json!({ "token": { "scheme": null }, "headers": [["cookie", "a=b; session=${token}"]] }),
            "cookie",
            false,
        ),
        (
            json!({ "token": { "scheme": null }, "path": "/v1/models?key=${token}" }),
            ":path",
            false,
        ),
        (
            json!({ "headers": [["x-api-key", "${token}"]] }),
            "x-api-key",
            true,
        ),
        (
            json!({ "authorization": "DPoP ${token}" }),
            "authorization",
            true,
        ),
        (
            json!({ "token": { "scheme": "DPoP" } }),
            "authorization",
            true,
        ),
    ] {
        let made = request(spec.clone()).unwrap();
        let token = made.token.clone().unwrap();
        let place = if name == ":path" {
            Some(made.path.as_str())
        } else {
            value(&made, name)
        };
        assert!(place.is_some_and(|text| text.contains(&token)), "{spec}");
        assert_eq!(value(&made, "authorization").is_some(), too, "{spec}");
        assert!(made.secrets.contains(&token), "{spec}");
        for part in token.split('.').skip(1) {
            assert!(made.secrets.iter().any(|secret| secret == part), "{spec}");
        }
    }
    assert!(request(json!({ "token": "none", "path": "/?key=${token}" })).is_err());
    let raw = request(json!({ "authorization": "Bearer written-out-credential" })).unwrap();
    assert_eq!((raw.token, raw.secrets.len()), (None, 1));
}

#[test]
fn a_connection_is_plain_unless_it_names_a_certificate_or_a_version() {
    use serde_json::json;
    assert!(request(json!({})).unwrap().connection.is_none());
    let bare = request(json!({ "connection": {} }))
        .unwrap()
        .connection
        .unwrap();
    assert!(bare.certificate.is_none() && bare.version == TlsVersion::V1_3);
    let named = json!({ "connection": { "certificate": "research", "tls": "1.2" } });
    let named = request(named).unwrap().connection.unwrap();
    assert_eq!(named.certificate.unwrap().name, "research");
    assert_eq!(named.version, TlsVersion::V1_2);
    assert!(request(json!({ "connection": { "certificate": "nobody" } })).is_err());
}

#[test]
fn each_proof_is_a_header_of_its_own_with_a_number_of_its_own() {
    use serde_json::json;
    let made = request(json!({ "dpop": [{}, { "key": "client-ed" }] })).unwrap();
    let proofs: Vec<_> = made
        .headers
        .iter()
        .filter(|(name, _)| name == "dpop")
        .collect();
    assert_eq!(proofs.len(), 2);
    for (_, proof) in &proofs {
        let proof = String::from_utf8(proof.clone()).unwrap();
        assert!(made.secrets.contains(&proof));
    }
    let twice = request(json!({ "dpop": [{}, {}] })).unwrap();
    let proofs: BTreeSet<_> = twice
        .headers
        .iter()
        .filter(|(name, _)| name == "dpop")
        .collect();
    assert_eq!(proofs.len(), 2, "no proof is sent twice by mistake");
}

#[test]
fn certificates_stand_in_header_values_in_each_form_of_the_gateway() {
    use serde_json::json;
    let research = crate::certificates::by_name("research").unwrap();
    let headers = json!([
        [
            "a",
            "Hash=${sha256:research};Cert=\"${cert:research}\",Hash=${sha256:batch}"
        ],
        ["b", "${pem:research}"]
    ]);
    let made = request(json!({ "headers": headers })).unwrap();
    let text = value(&made, "a").unwrap();
    let hex: String = research
        .sha256()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(
        text.starts_with(&format!(
            "Hash={hex};Cert=\"-----BEGIN%20CERTIFICATE-----%0A"
        )),
        "{text}"
    );
    assert!(
        text.contains("-----END%20CERTIFICATE-----%0A\",Hash="),
        "{text}"
    );
    assert!(!text.contains("${"), "{text}");
    let pem: String = serde_json::from_str(&format!("\"{}\"", value(&made, "b").unwrap())).unwrap();
    assert_eq!(pem, research.chain_pem);
    for wrong in ["${sha256:nobody}", "${cert:research"] {
        assert!(
            request(json!({ "headers": [["a", wrong]] })).is_err(),
            "{wrong}"
        );
    }
}
