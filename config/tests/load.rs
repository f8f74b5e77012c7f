//! What loads and what does not: a good policy, and for each way of writing a bad one the path and the words of its
//! problem.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use postern_config::load;
use postern_core::policy::{Access, HeadHold, RuleEffect, Sink};
use postern_core::scope::ScopeTemplate;
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEY: &str =
    r#"{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn good() -> String {
    format!(
        r#"{{
  "version": 1,
  "host": {{ "headHold": "flag", "holdTimeout": "10s" }},
  "issuers": [ {{ "name": "corp", "issuer": "https://idp.example.com", "audiences": ["inference"],
                "jwks": {{ "inline": {{ "keys": [{KEY}] }} }}, "claims": {{ "tenant": "org_id" }} }} ],
  "callers": [ {{ "name": "research", "any": [ {{ "issuer": "corp", "roles": ["researcher"] }} ] }} ],
  "rules": [
    {{ "id": "chat", "effect": "allow", "callers": ["research"], "models": ["gpt-*"], "operations": ["chat"] }},
    {{ "id": "legacy", "effect": "deny", "callers": ["research"], "models": ["gpt-3*"], "operations": ["chat"] }}
  ],
  "routes": [
    {{ "name": "openai", "match": {{ "hosts": ["api.example.com"], "pathPrefix": "/v1/" }}, "api": "openai", "identity": ["token"] }},
    {{ "name": "health", "match": {{ "paths": ["/healthz"] }}, "open": true }}
  ],
  "audit": {{ "instance": "gw-${{POD}}", "sinks": ["log", "accessLog"] }}
}}"#
    )
}

fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([("POD".to_owned(), "a".to_owned())])
}

fn problems(policy: &str) -> Vec<String> {
    load(policy.as_bytes(), &environment())
        .err()
        .map(|problems| problems.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

/// HMAC only when it is named, and then only with shared secrets.
#[test]
fn a_shared_secret_loads_only_for_an_algorithm_that_is_named() {
    const SECRET: &str = r#"{"kty":"oct","kid":"s","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    let keys = "issuers[0].jwks.inline.keys";
    for (why, algorithms, set, expected) in [
        ("named", r#"["HS256","HS512"]"#, SECRET.to_owned(), vec![]),
        (
            "named a signature",
            r#"["EdDSA"]"#,
            SECRET.to_owned(),
            vec![format!(
                "{keys}[0]: keys[0] (s): `kty: oct` is a shared secret"
            )],
        ),
        (
            "both named, both there",
            r#"["HS256","EdDSA"]"#,
            format!("{SECRET},{KEY}"),
            vec![format!(
                "{keys}[1]: keys[1] (k1): a public key beside shared secrets"
            )],
        ),
        (
            "both named, secrets there",
            r#"["HS256","EdDSA"]"#,
            SECRET.to_owned(),
            vec![
                "issuers[0].algorithms: EdDSA is named, and no key of the issuer fits it"
                    .to_owned(),
            ],
        ),
    ] {
        let named = format!(r#""algorithms": {algorithms}, "jwks""#);
        let policy = good().replace(KEY, &set).replace(r#""jwks""#, &named);
        assert_eq!(problems(&policy), expected, "{why}");
    }
    let unnamed = problems(&good().replace(KEY, SECRET));
    assert_eq!(
        unnamed,
        [format!(
            "{keys}[0]: keys[0] (s): `kty: oct` is a shared secret"
        )]
    );
}

#[test]
fn a_good_policy_loads_with_its_defaults() {
    let policy = load(good().as_bytes(), &environment()).expect("it loads");
    assert_eq!(policy.head_hold, HeadHold::Flag);
    assert_eq!(policy.hold_timeout, 10_000);
    assert_eq!(policy.audit.instance.as_deref(), Some("gw-a"));
    assert_eq!(policy.audit.sinks, [Sink::Log, Sink::AccessLog]);
    let route = policy
        .route("api.example.com", "/v1/models")
        .expect("it is taken");
    let Access::Guarded {
        rules, max_body, ..
    } = &route.access
    else {
        panic!("it is guarded")
    };
    assert_eq!(*max_body, 32 << 20);
    assert_eq!(rules.len(), 2, "no list of rules means all");
    let effects: Vec<&RuleEffect> = rules.iter().map(|rule| &rule.effect).collect();
    let default = RuleEffect::Allow {
        scopes: vec![ScopeTemplate::default()],
        step_up: None,
    };
    assert_eq!(
        effects,
        [&default, &RuleEffect::Deny],
        "an allowing rule asks for the default scope"
    );
    assert!(policy.route("other.example.com", "/v1/models").is_none());
}

#[test]
fn every_problem_has_its_path_and_says_what_to_do() {
    // What to replace, with what, and what must then be said.
    let rows: &[(&str, &str, &str)] = &[
        (r#""version": 1"#, r#""version": 2"#, "version: must be 1"),
        (r#""version": 1,"#, "", "version: is required"),
        (
            r#""version": 1"#,
            r#""version": 1, "version": 1"#,
            "policy: is not strict JSON",
        ),
        (
            r#""version": 1"#,
            r#""version": 1, "mode": "shadow""#,
            "mode: `shadow` is not supported by this version",
        ),
        (
            r#""version": 1"#,
            r#""version": 1, "qoutas": []"#,
            "qoutas: is unknown; did you mean `quotas`?",
        ),
        (
            r#""version": 1"#,
            r#""version": 1, "quotas": []"#,
            "quotas: is not supported by this version",
        ),
        (
            r#""version": 1"#,
            r#""version": 1, "peers": {}"#,
            "peers.trustDomains: is required",
        ),
        (
            "\"headHold\"",
            "\"headhold\"",
            "host.headhold: is unknown; did you mean `headHold`?",
        ),
        (
            "\"flag\"",
            "\"flags\"",
            "host.headHold: must be `flag`, `buffer` or `none`",
        ),
        ("\"10s\"", "\"0s\"", "host.holdTimeout: must not be zero"),
        (
            "\"10s\"",
            "10",
            "host.holdTimeout: must be a text, not a number",
        ),
        (
            "\"10s\"",
            "\"11m\"",
            "host.holdTimeout: must be at most 10m",
        ),
        (
            "[\"inference\"]",
            "[]",
            "issuers[0].audiences: must have at least one entry",
        ),
        (
            r#""audiences": ["inference"],"#,
            "",
            "issuers[0].audiences: is required",
        ),
        (
            r#""audiences""#,
            r#""audience""#,
            "issuers[0].audience: is unknown; did you mean `audiences`?",
        ),
        (
            r#""audiences": ["#,
            r#""algorithms": ["HS224"], "audiences": ["#,
            "issuers[0].algorithms[0]: `HS224` is not supported",
        ),
        (
            r#""audiences": ["#,
            r#""algorithms": ["HS256"], "audiences": ["#,
            "issuers[0].jwks.inline.keys[0]: keys[0] (k1): a public key beside shared secrets",
        ),
        (
            r#""audiences": ["#,
            r#""algorithms": ["RS256"], "audiences": ["#,
            "issuers[0].algorithms: RS256 is named, and no key of the issuer fits it",
        ),
        (
            r#""audiences": ["#,
            r#""leeway": "6m", "audiences": ["#,
            "issuers[0].leeway: must be at most 300 seconds",
        ),
        (
            r#""audiences": ["#,
            r#""revocation": {}, "audiences": ["#,
            "issuers[0].revocation: needs exactly one of `inline` and `remote`",
        ),
        (
            r#""inline""#,
            r#""remote""#,
            "issuers[0].jwks.remote.keys: is unknown",
        ),
        (
            r#""kty":"OKP""#,
            r#""kty":"OKP","d":"AAAA""#,
            "issuers[0].jwks.inline.keys[0]: ",
        ),
        (
            r#""kty":"OKP""#,
            r#""kty":"XYZ""#,
            "issuers[0].jwks.inline.keys[0]: ",
        ),
        (
            r#""tenant": "org_id""#,
            r#""tenants": "org_id""#,
            "issuers[0].claims.tenants: is unknown; did you mean `tenant`?",
        ),
        (
            r#"{ "issuer": "corp","#,
            r#"{ "issuer": "corq","#,
            "callers[0].any[0].issuer: no issuer is named `corq`; did you mean `corp`?",
        ),
        (
            r#"{ "issuer": "corp", "roles": ["researcher"] }"#,
            "{}",
            "callers[0].any[0]: needs at least one of",
        ),
        (
            r#"{ "issuer": "corp", "roles": ["researcher"] }"#,
            r#"{ "peer": "spiffe://a/b" }"#,
            "callers[0].any[0].peer: needs `peers.trustDomains`",
        ),
        (
            r#""roles": ["researcher"]"#,
            r#""roles": []"#,
            "callers[0].any[0].roles: must have at least one entry",
        ),
        (
            r#""any": ["#,
            r#""all": [], "any": ["#,
            "callers[0]: needs exactly one of `any` and `all`",
        ),
        (
            r#""callers": ["research"], "models": ["gpt-*"]"#,
            r#""callers": ["reserch"], "models": ["gpt-*"]"#,
            "rules[0].callers[0]: no caller is named `reserch`; did you mean `research`?",
        ),
        (
            r#""id": "legacy""#,
            r#""id": "chat""#,
            "rules[1].id: `chat` stands twice",
        ),
        (
            r#""effect": "deny""#,
            r#""effect": "block""#,
            "rules[1].effect: `block` is unknown; known are allow, deny",
        ),
        (
            r#""effect": "deny""#,
            r#""effect": "deny", "scopes": ["a"]"#,
            "rules[1].scopes: a denying rule takes no scopes",
        ),
        (
            r#""effect": "deny""#,
            r#""effect": "deny", "mode": "shadow""#,
            "rules[1].mode: only `enforce` is supported",
        ),
        (
            r#""effect": "allow""#,
            r#""effect": "allow", "when": "true""#,
            "rules[0].when: is not supported by this version",
        ),
        (
            r#""effect": "allow""#,
            r#""effect": "allow", "scopes": ["a:{x}"]"#,
            "rules[0].scopes[0]: known placeholders are {model} and {operation}",
        ),
        (
            r#"["gpt-*"]"#,
            r#"["gpt *"]"#,
            "rules[0].models[0]: `gpt *` is no model or pattern",
        ),
        (
            r#"["gpt-*"]"#,
            r#"["label:tier=premium"]"#,
            "rules[0].models[0]: labels are not supported by this version",
        ),
        (
            r#"["gpt-*"], "operations": ["chat"]"#,
            r#"["gpt-*"], "operations": ["chta"]"#,
            "rules[0].operations[0]: no operation is named `chta`; did you mean `chat`?",
        ),
        (
            r#""pathPrefix": "/v1/""#,
            r#""pathPrefix": "/v1""#,
            "routes[0].match.pathPrefix: must end in `/`",
        ),
        (
            r#""pathPrefix": "/v1/""#,
            r#""pathPrefix": "/v1/../""#,
            "routes[0].match.pathPrefix: must be a plain path",
        ),
        (
            r#""pathPrefix": "/v1/""#,
            r#""pathPrefix": "/v1/", "paths": ["/x"]"#,
            "routes[0].match: needs exactly one of",
        ),
        (
            r#""pathPrefix": "/v1/""#,
            r#""pathPrefix": "/v1/", "metadata": {}"#,
            "routes[0].match.metadata: is not supported",
        ),
        (
            r#""hosts": ["api.example.com"]"#,
            r#""hosts": ["API.example.com:443"]"#,
            "routes[0].match.hosts[0]: must be a host in lower case",
        ),
        (
            r#""api": "openai""#,
            r#""api": "openapi""#,
            "routes[0].api: `openapi` is unknown; known are openai",
        ),
        (
            r#""api": "openai", "identity": ["token"]"#,
            r#""api": "openai""#,
            "routes[0].identity: is required",
        ),
        (
            r#""identity": ["token"]"#,
            r#""identity": ["peer"]"#,
            "routes[0].identity[0]: needs `peers.trustDomains`",
        ),
        (
            r#""identity": ["token"]"#,
            r#""identity": ["token"], "rules": ["legacy"]"#,
            "routes[0].rules: no rule of this route allows anything",
        ),
        (
            r#""identity": ["token"]"#,
            r#""identity": ["token"], "rules": ["chat"]"#,
            "rules[1]: `legacy` is unreachable: no route uses it",
        ),
        (
            r#""identity": ["token"]"#,
            r#""identity": ["token"], "rules": ["chat", "legacyy"]"#,
            "routes[0].rules[1]: no rule is named `legacyy`; did you mean `legacy`?",
        ),
        (
            r#""identity": ["token"]"#,
            r#""identity": ["token"], "body": {"maxBytes": 0}"#,
            "routes[0].body.maxBytes: must not be zero",
        ),
        (
            r#""identity": ["token"]"#,
            r#""identity": ["token"], "body": {"contentEncoding": "inflate"}"#,
            "routes[0].body.contentEncoding: `inflate` is not supported",
        ),
        (
            r#""open": true"#,
            r#""open": true, "api": "openai""#,
            "routes[1]: an open route takes no api",
        ),
        (
            r#""paths": ["/healthz"]"#,
            r#""hosts": ["api.example.com"], "paths": ["/v1/x"]"#,
            "routes[1]: is unreachable: `openai` takes all its requests",
        ),
        (
            "${POD}",
            "${NODE}",
            "audit.instance: the environment of the plugin has no `NODE`",
        ),
        ("${POD}", "${POD", "audit.instance: has `${` without `}`"),
        (
            r#"["log", "accessLog"]"#,
            "[]",
            "audit.sinks: must have at least one entry",
        ),
        (
            r#""sinks""#,
            r#""chain": {}, "sinks""#,
            "audit.chain: is not supported by this version",
        ),
    ];
    for (from, to, expected) in rows {
        let good = good();
        assert!(
            good.contains(from),
            "the row for {expected:?} changes nothing"
        );
        let seen = problems(&good.replacen(from, to, 1));
        assert!(
            seen.iter().any(|problem| problem.starts_with(expected)),
            "expected {expected:?}, seen {seen:#?}"
        );
    }
}

#[test]
fn with_several_issuers_a_caller_names_its_issuer() {
    let issuers = |policy: &str| {
        let start = policy.find(r#"{ "name": "corp""#).unwrap();
        let end = start + policy[start..].find(" ],\n").unwrap();
        let partner = policy[start..end]
            .replace("corp", "partner")
            .replace("idp.example.com", "idp.partner.example");
        policy.replacen(
            &policy[start..end],
            &format!("{}, {partner}", &policy[start..end]),
            1,
        )
    };
    let two = issuers(&good());
    assert_eq!(problems(&two), Vec::<String>::new());
    let anyone = two.replacen(r#"{ "issuer": "corp", "roles""#, r#"{ "roles""#, 1);
    let seen = problems(&anyone);
    assert!(
        seen.iter()
            .any(|problem| problem.starts_with("callers[0]: must name the issuer")),
        "{seen:?}"
    );
    assert_eq!(
        problems(&good().replacen(r#"{ "issuer": "corp", "roles""#, r#"{ "roles""#, 1)),
        Vec::<String>::new()
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let bad = good()
        .replacen("\"flag\"", "\"flags\"", 1)
        .replacen(r#""kty":"OKP""#, r#""kty":"OKP","d":"AAAA""#, 1)
        .replacen(r#""callers": ["research"]"#, r#""callers": ["reserch"]"#, 1)
        .replacen(r#""api": "openai""#, r#""api": "openapi""#, 1)
        .replacen("${POD}", "${NODE}", 1);
    let seen = problems(&bad);
    for path in [
        "host.headHold: ",
        "issuers[0].jwks.inline.keys[0]: ",
        "rules[0].callers[0]: ",
        "routes[0].api: ",
        "audit.instance: ",
    ] {
        assert!(
            seen.iter().any(|problem| problem.starts_with(path)),
            "{path} is missing in {seen:#?}"
        );
    }
    assert_eq!(seen.len(), 5, "and nothing is told twice: {seen:#?}");
}

#[test]
fn what_is_no_policy_at_all() {
    for (text, expected) in [
        ("", "policy: is empty"),
        ("[]", "policy: must be an object, not "),
        ("{", "policy: is not strict JSON"),
        ("version: 1", "policy: is not strict JSON"),
    ] {
        let seen = problems(text);
        assert!(
            seen.iter().any(|problem| problem.starts_with(expected)),
            "{text:?}: {seen:?}"
        );
    }
    let long = format!("{}{}", good(), " ".repeat(1 << 20));
    assert!(
        problems(&long)
            .iter()
            .any(|problem| problem.starts_with("policy: is longer than"))
    );
}

proptest! {
    /// A policy with any part cut out or replaced never panics, and loads or has problems.
    #[test]
    fn anything_loads_or_has_problems(at in any::<prop::sample::Index>(), length in 0..40usize, put in "[\\[\\]{}\",:a-z0-9 ]{0,6}") {
        let good = good();
        let start = at.index(good.len());
        let end = start.saturating_add(length).min(good.len());
        let mut bytes = good.as_bytes().to_vec();
        bytes.splice(start..end, put.bytes());
        match load(&bytes, &environment()) {
            Ok(_) => {}
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
