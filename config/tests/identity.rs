//! Who calls, as a policy says it: issuers, API keys, peers, callers and what routes ask for. One policy has every field of them;
//! for each way of writing one badly there is a row with the path and the words of its problem.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]

use postern_config::load;
use postern_core::facts::Place;
use postern_core::fetch::Kind;
use postern_core::policy::{Access, CredentialKind, Needs, Policy, RuleEffect, StepUp};
use postern_core::token::dpop::NoncePolicy;
use postern_core::token::{Alg, Possession};
use std::collections::BTreeMap;

const WHOLE: &str = r#"{
  "version": 1,
  "issuers": [
    { "name": "corp", "issuer": "https://idp.example.com", "audiences": ["inference"],
      "algorithms": ["RS256", "ES256"],
      "jwks": { "discovery": { "cluster": "idp", "authority": "idp.example.com", "path": "/.well-known/oauth-authorization-server",
                               "keysCluster": "keys", "keysAuthority": "keys.example.com", "refresh": "10m", "timeout": "3s", "maxStale": "12h" } },
      "from": [ { "header": "authorization", "scheme": "Bearer" }, { "header": "x-token" }, { "query": "token" }, { "cookie": "session" } ],
      "leeway": "10s", "maxLifetime": "1h",
      "claims": { "subject": "sub", "tenant": "org_id", "scopes": ["scope"], "roles": ["realm_access.roles"], "groups": ["groups"] },
      "proofOfPossession": "any",
      "dpop": { "maxAge": "45s", "leeway": "5s", "algorithms": ["ES256"], "nonce": "required" },
      "forward": { "token": "keep", "headers": { "x-caller-tenant": "tenant", "x-caller-department": "claim:department" } },
      "revocation": { "remote": { "cluster": "idp", "path": "/revoked.json", "refresh": "20s", "timeout": "1s", "maxStale": "30m" } } },
    { "name": "partner", "issuer": "https://partner.example", "audiences": ["inference"],
      "jwks": { "inline": { "keys": [ {"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"} ] } },
      "forward": { "headers": { "x-caller-tenant": "issuer" } },
      "revocation": { "inline": { "jti": ["a"], "issuedBefore": 1795320263 } } },
    { "name": "other", "issuer": "https://other.example", "audiences": ["inference"],
      "jwks": { "remote": { "cluster": "other", "path": "/jwks.json" } } }
  ],
  "apiKeys": [
    { "id": "ci-bot", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "subject": "ci", "tenant": "platform",
      "scopes": ["model:gpt-4o:chat"], "notAfter": "2027-01-01T00:00:00Z" },
    { "id": "nightly", "sha256": "AAAAd081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "subject": "night" }
  ],
  "peers": { "trustDomains": ["example.org"], "minTls": "1.3", "forwardedClientCert": { "trustedProxies": ["spiffe://example.org/ns/istio-system/sa/ingress"] } },
  "callers": [
    { "name": "research", "any": [ { "issuer": "corp", "roles": ["researcher"], "tenants": ["acme"] }, { "issuer": "partner" }, { "apiKey": "ci-bot" } ] },
    { "name": "mesh", "all": [ { "issuer": "corp" }, { "peer": "spiffe://example.org/ns/research/sa/*" } ] },
    { "name": "jobs", "any": [ { "peer": "spiffe://example.org/ns/jobs/sa/*" } ] }
  ],
  "rules": [
    { "id": "chat", "effect": "allow", "callers": ["research"], "models": ["*"], "operations": ["chat"] },
    { "id": "sure", "effect": "allow", "callers": ["mesh"], "models": ["*"], "operations": ["models"],
      "stepUp": { "acr": ["urn:mfa"], "amr": ["pwd", "otp"], "maxAge": "15m" } },
    { "id": "jobs", "effect": "allow", "callers": ["jobs"], "scopes": [], "models": ["*"], "operations": ["chat"] },
    { "id": "never", "effect": "deny", "callers": ["research", "jobs"], "models": ["secret*"], "operations": ["chat"] }
  ],
  "routes": [
    { "name": "tokens", "match": { "pathPrefix": "/t/" }, "api": "openai", "identity": ["token"] },
    { "name": "keys", "match": { "pathPrefix": "/k/" }, "api": "openai", "identity": ["apiKey"], "rules": ["chat", "never"] },
    { "name": "mesh", "match": { "pathPrefix": "/m/" }, "api": "openai", "identity": ["token", "peer"], "rules": ["sure"] },
    { "name": "jobs", "match": { "pathPrefix": "/j/" }, "api": "openai", "identity": ["peer"], "rules": ["jobs", "never"] },
    { "name": "both", "match": { "pathPrefix": "/b/" }, "api": "openai", "identity": ["apiKey", "peer"], "rules": ["chat"] }
  ]
}"#;

fn problems(policy: &str) -> Vec<String> {
    load(policy.as_bytes(), &BTreeMap::new())
        .err()
        .map(|problems| problems.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

fn whole() -> Policy {
    load(WHOLE.as_bytes(), &BTreeMap::new())
        .unwrap_or_else(|problems| panic!("{:#?}", problems.iter().collect::<Vec<_>>()))
}

#[test]
fn a_policy_with_everything_says_what_it_says() {
    let policy = whole();
    let corp = policy.issuers.named("corp").unwrap();
    assert_eq!(corp.from().len(), 4);
    assert_eq!(corp.from()[0], Place::bearer());
    assert_eq!(corp.possession(), Possession::Any);
    assert!(corp.keeps_token());
    let dpop = corp.dpop();
    assert_eq!((dpop.max_age(), dpop.leeway()), (45, 5));
    assert_eq!(dpop.algorithms(), [Alg::Es256]);
    assert_eq!(dpop.nonce(), NoncePolicy::Required);
    assert_eq!(
        policy.told,
        ["x-caller-department", "x-caller-tenant"],
        "two issuers tell one header: a request has one token, so it has one value, and it is stripped once"
    );
    assert_eq!(policy.places.tokens.len(), 4, "each place once");
    let fetched: Vec<_> = policy
        .sources
        .iter()
        .map(|source| {
            let times = [
                source.refresh_ms(),
                source.timeout_ms(),
                source.max_stale_ms(),
            ];
            (source.cluster(), source.authority(), source.path(), times)
        })
        .collect();
    assert_eq!(
        fetched,
        [
            (
                "idp",
                "idp.example.com",
                "/.well-known/oauth-authorization-server",
                [600_000, 3_000, 43_200_000]
            ),
            ("idp", "idp", "/revoked.json", [20_000, 1_000, 1_800_000]),
            ("other", "other", "/jwks.json", [300_000, 2_000, 86_400_000]),
        ]
    );
    let Kind::Discovery {
        issuer,
        keys_cluster,
        keys_authority,
    } = policy.sources[0].kind()
    else {
        panic!("it is a discovery")
    };
    assert_eq!(issuer, "https://idp.example.com");
    assert_eq!(keys_cluster.as_deref(), Some("keys"));
    assert_eq!(keys_authority.as_deref(), Some("keys.example.com"));
    let needs: Vec<Needs> = policy
        .routes
        .iter()
        .map(|route| match &route.access {
            Access::Guarded { needs, .. } => *needs,
            Access::Open => panic!("none is open"),
        })
        .collect();
    let need = |credential, peer, peer_in_rules| Needs {
        credential,
        peer,
        peer_in_rules,
    };
    assert_eq!(
        needs,
        [
            need(Some(CredentialKind::Token), false, true),
            need(Some(CredentialKind::ApiKey), false, true),
            need(Some(CredentialKind::Token), true, true),
            need(None, true, true),
            need(Some(CredentialKind::ApiKey), true, false),
        ],
        "a rule that asks for a peer is noted, so that one that cannot be told is refused"
    );
    let Access::Guarded { rules, .. } = &policy.routes[2].access else {
        panic!("it is guarded")
    };
    let RuleEffect::Allow {
        step_up: Some(step_up),
        ..
    } = &rules[0].effect
    else {
        panic!("it asks for a sign-in")
    };
    assert_eq!(
        *step_up,
        StepUp {
            classes: vec!["urn:mfa".into()],
            methods: vec!["pwd".into(), "otp".into()],
            max_age: Some(900),
        }
    );
}

#[test]
fn what_an_issuer_does_not_say_is_strict() {
    let policy = whole();
    let partner = policy.issuers.named("partner").unwrap();
    assert_eq!(partner.from(), [Place::bearer()]);
    assert_eq!(partner.possession(), Possession::None);
    assert!(!partner.keeps_token(), "the token stays here");
    let dpop = partner.dpop();
    assert_eq!((dpop.max_age(), dpop.leeway()), (60, 30));
    assert!(dpop.algorithms().iter().all(|alg| !alg.is_symmetric()));
    assert_eq!(dpop.nonce(), NoncePolicy::Never);
}

/// What to replace (the first of it), with what, and what must then be said.
type Row = (&'static str, &'static str, &'static str);

fn hold(rows: &[Row]) {
    for (from, to, expected) in rows {
        assert!(WHOLE.contains(from), "{from:?} is not there: {expected:?}");
        let seen = problems(&WHOLE.replacen(from, to, 1));
        assert!(
            seen.iter().any(|problem| problem.starts_with(expected)),
            "{from:?} as {to:?}: expected {expected:?}, seen {seen:#?}"
        );
    }
}

#[test]
fn where_keys_come_from() {
    hold(&[
        (
            r#""jwks": { "discovery": {"#,
            r#""jwks": { "remote": { "cluster": "a", "path": "/k" }, "discovery": {"#,
            "issuers[0].jwks: needs exactly one of `inline`, `remote` and `discovery`",
        ),
        (
            r#""jwks": { "remote": { "cluster": "other", "path": "/jwks.json" } }"#,
            r#""jwks": {}"#,
            "issuers[2].jwks: needs exactly one of",
        ),
        (
            r#""jwks": { "remote": { "cluster": "other", "path": "/jwks.json" } }"#,
            r#""jwks": []"#,
            "issuers[2].jwks: must be an object, not a list",
        ),
        (
            r#"{ "cluster": "other", "path": "/jwks.json" }"#,
            r#"{ "path": "/jwks.json" }"#,
            "issuers[2].jwks.remote.cluster: is required",
        ),
        (
            r#"{ "cluster": "other", "path": "/jwks.json" }"#,
            r#"{ "cluster": "other" }"#,
            "issuers[2].jwks.remote.path: is required",
        ),
        (
            r#""/jwks.json""#,
            r#""jwks.json""#,
            "issuers[2].jwks.remote.path: must begin with `/`",
        ),
        (
            r#""/jwks.json""#,
            r#""/a/../jwks.json""#,
            "issuers[2].jwks.remote.path: must begin with `/`",
        ),
        (
            r#""/jwks.json""#,
            r#""/jwks.json", "keysCluster": "k""#,
            "issuers[2].jwks.remote.keysCluster: is unknown",
        ),
        (
            r#""/jwks.json""#,
            r#""/jwks.json", "url": "https://x""#,
            "issuers[2].jwks.remote.url: is unknown",
        ),
        (
            r#""/jwks.json""#,
            r#""/jwks.json", "authority": "https://idp""#,
            "issuers[2].jwks.remote.authority: must be a host",
        ),
        (
            r#""cluster": "other""#,
            r#""cluster": "an other""#,
            "issuers[2].jwks.remote.cluster: must be 1 to 255 visible",
        ),
        (
            r#""cluster": "other""#,
            r#""cluster": 7"#,
            "issuers[2].jwks.remote.cluster: must be a text, not a number",
        ),
        (
            r#""refresh": "10m""#,
            r#""refresh": "0m""#,
            "issuers[0].jwks.discovery.refresh: must not be zero",
        ),
        (
            r#""refresh": "10m""#,
            r#""refresh": "999ms""#,
            "issuers[0].jwks.discovery.refresh: must be 1s to 24h",
        ),
        (
            r#""refresh": "10m""#,
            r#""refresh": "25h""#,
            "issuers[0].jwks.discovery.refresh: must be 1s to 24h",
        ),
        (
            r#""timeout": "3s""#,
            r#""timeout": "99ms""#,
            "issuers[0].jwks.discovery.timeout: must be 100ms to 30s",
        ),
        (
            r#""refresh": "10m", "timeout": "3s""#,
            r#""refresh": "10s", "timeout": "5s""#,
            "issuers[0].jwks.discovery.timeout: all calls of one attempt",
        ),
        (
            r#""maxStale": "12h""#,
            r#""maxStale": "9m""#,
            "issuers[0].jwks.discovery.maxStale: must be at least the refresh",
        ),
        (
            r#""maxStale": "12h""#,
            r#""maxStale": "31d""#,
            "issuers[0].jwks.discovery.maxStale: must be at least the refresh and at most 30d",
        ),
        (
            r#""keysAuthority": "keys.example.com""#,
            r#""keysAuthority": "user@keys""#,
            "issuers[0].jwks.discovery.keysAuthority: must be a host",
        ),
        (
            r#""keysCluster": "keys""#,
            r#""keysCluster": """#,
            "issuers[0].jwks.discovery.keysCluster: must not be empty",
        ),
        (
            r#""algorithms": ["RS256", "ES256"]"#,
            r#""algorithms": ["RS256", "HS256"]"#,
            "issuers[0].algorithms: HS256 is named, and no key of the issuer fits it",
        ),
        (
            r#""algorithms": ["RS256", "ES256"]"#,
            r#""algorithms": ["RS256", "RS256"]"#,
            "issuers[0].algorithms: RS256 stands twice",
        ),
        (
            r#""algorithms": ["RS256", "ES256"]"#,
            r#""algorithms": ["none"]"#,
            "issuers[0].algorithms[0]: `none` is not supported",
        ),
        (
            r#""algorithms": ["RS256", "ES256"]"#,
            r#""algorithms": []"#,
            "issuers[0].algorithms: must have at least one entry",
        ),
    ]);
}

#[test]
fn what_is_revoked_and_for_how_long_tokens_are_good() {
    hold(&[
        (
            r#""revocation": { "remote": {"#,
            r#""revocation": { "inline": {}, "remote": {"#,
            "issuers[0].revocation: needs exactly one of `inline` and `remote`",
        ),
        (
            r#""inline": { "jti": ["a"], "issuedBefore": 1795320263 }"#,
            "",
            "issuers[1].revocation: needs exactly one of",
        ),
        (
            r#""jti": ["a"]"#,
            r#""jti": "a""#,
            "issuers[1].revocation.inline: ",
        ),
        (
            r#""jti": ["a"]"#,
            r#""jtis": ["a"]"#,
            "issuers[1].revocation.inline: ",
        ),
        (
            r#""jti": ["a"]"#,
            r#""jti": [""]"#,
            "issuers[1].revocation.inline: ",
        ),
        ("1795320263", "0", "issuers[1].revocation.inline: "),
        (
            r#""path": "/revoked.json", "#,
            "",
            "issuers[0].revocation.remote.path: is required",
        ),
        (
            r#""refresh": "20s""#,
            r#""refresh": "999ms""#,
            "issuers[0].revocation.remote.refresh: must be 1s to 24h",
        ),
        (
            r#""maxStale": "30m""#,
            r#""maxStale": "10s""#,
            "issuers[0].revocation.remote.maxStale: must be at least the refresh",
        ),
        (
            r#""leeway": "10s", "maxLifetime""#,
            r#""leeway": "301s", "maxLifetime""#,
            "issuers[0].leeway: must be at most 300 seconds",
        ),
        (
            r#""maxLifetime": "1h""#,
            r#""maxLifetime": "0h""#,
            "issuers[0].maxLifetime: must not be zero",
        ),
        (
            r#""maxLifetime": "1h""#,
            r#""maxLifetime": "999ms""#,
            "issuers[0].maxLifetime: must not be zero",
        ),
        (
            r#""maxLifetime": "1h""#,
            r#""maxLifetime": 3600"#,
            "issuers[0].maxLifetime: must be a text, not a number",
        ),
    ]);
}

#[test]
fn where_tokens_stand() {
    hold(&[
        (
            r#"{ "header": "x-token" }"#,
            "{}",
            "issuers[0].from[1]: needs exactly one of `header`, `query` and `cookie`",
        ),
        (
            r#"{ "header": "x-token" }"#,
            r#"{ "header": "x-token", "query": "t" }"#,
            "issuers[0].from[1]: needs exactly one of",
        ),
        (
            r#"{ "query": "token" }"#,
            r#"{ "query": "token", "scheme": "Bearer" }"#,
            "issuers[0].from[2]: needs exactly one of `header`, `query` and `cookie`; only a header has a scheme",
        ),
        (
            r#"{ "header": "x-token" }"#,
            r#"{ "header": "X-Token" }"#,
            "issuers[0].from[1].header: must be a header in lower case",
        ),
        (
            r#"{ "header": "x-token" }"#,
            r#"{ "header": "x-postern-subject" }"#,
            "issuers[0].from[1].header: must be a header in lower case, and none that the gateway acts on",
        ),
        (
            r#"{ "header": "x-token" }"#,
            r#"{ "header": "dpop" }"#,
            "issuers[0].from[1].header: must be a header in lower case, and none",
        ),
        (
            r#"{ "header": "x-token" }"#,
            r#"{ "header": "proxy-authorization" }"#,
            "issuers[0].from[1]: this header has a scheme",
        ),
        (
            r#"{ "header": "x-token" }"#,
            r#"{ "header": "x-token", "scheme": "To ken" }"#,
            "issuers[0].from[1].scheme: a scheme is",
        ),
        (
            r#"{ "header": "x-token" }"#,
            r#"{ "header": "authorization", "scheme": "Bearer" }"#,
            "issuers[0].from[1]: stands twice",
        ),
        (
            r#"{ "cookie": "session" }"#,
            r#"{ "cookie": "session;x" }"#,
            "issuers[0].from[3].cookie: a cookie is",
        ),
        (
            r#"{ "query": "token" }"#,
            r#"{ "query": "a%62" }"#,
            "issuers[0].from[2].query: a parameter is",
        ),
        (
            r#"{ "cookie": "session" }"#,
            r#"{ "header": "x-token", "scheme": "Token" }"#,
            "issuers[0].from[3]: another place reads this header otherwise: give both a scheme, or neither",
        ),
        (
            r#""jwks": { "remote""#,
            r#""from": [ { "header": "x-token", "scheme": "Token" } ], "jwks": { "remote""#,
            "issuers[2].from[0]: another place reads this header otherwise",
        ),
        (
            r#""from": [ { "header": "authorization", "scheme": "Bearer" }, { "header": "x-token" }, { "query": "token" }, { "cookie": "session" } ]"#,
            r#""from": []"#,
            "issuers[0].from: must have at least one entry",
        ),
    ]);
    let another =
        r#""from": [ { "header": "x-token" }, { "cookie": "other" } ], "jwks": { "remote""#;
    let policy = WHOLE.replacen(r#""jwks": { "remote""#, another, 1);
    assert_eq!(problems(&policy), [""; 0], "one place of two issuers");
    let schemes =
        r#""from": [ { "header": "authorization", "scheme": "Token" } ], "jwks": { "remote""#;
    let policy = WHOLE.replacen(r#""jwks": { "remote""#, schemes, 1);
    assert_eq!(
        problems(&policy),
        [""; 0],
        "two schemes of one header are two readings of no value"
    );
}

#[test]
fn what_the_upstream_learns() {
    const SAYS: &str = "issuers[0].forward.headers: ";
    hold(&[
        (
            r#""token": "keep""#,
            r#""token": "drop""#,
            "issuers[0].forward.token: `drop` is unknown; known are strip, keep",
        ),
        (
            r#""x-caller-department": "claim:department""#,
            r#""x-caller-department": """#,
            "issuers[0].forward.headers.x-caller-department: must not be empty",
        ),
        (
            r#""x-caller-department": "claim:department""#,
            r#""x-caller-department": "a..b""#,
            SAYS,
        ),
        (
            r#""x-caller-department": "claim:department""#,
            r#""x-caller-department": ["a"]"#,
            "issuers[0].forward.headers.x-caller-department: must be a text",
        ),
        (r#""x-caller-department""#, r#""X-Caller-Department""#, SAYS),
        (r#""x-caller-department""#, r#""caller-department""#, SAYS),
        (r#""x-caller-department""#, r#""authorization""#, SAYS),
        (r#""x-caller-department""#, r#""x-postern-subject""#, SAYS),
        (
            r#""x-caller-department""#,
            r#""x-envoy-original-path""#,
            SAYS,
        ),
        (
            r#""x-caller-department""#,
            r#""x-forwarded-client-cert""#,
            SAYS,
        ),
        (r#""x-caller-department""#, r#""x-request-id""#, SAYS),
        (r#""x-caller-department""#, r#""x-original-url""#, SAYS),
        (
            r#""x-caller-department""#,
            r#""x-http-method-override""#,
            SAYS,
        ),
        (
            r#""x-caller-department""#,
            r#""x-token""#,
            "issuers[0].forward.headers: a header that carries credentials cannot tell of them",
        ),
        (
            r#""headers": { "x-caller-tenant": "issuer" }"#,
            r#""headers": { "x-token": "issuer" }"#,
            "issuers[1].forward.headers: a header that carries credentials cannot tell of them",
        ),
        (
            r#""headers": { "x-caller-tenant": "issuer" }"#,
            r#""headers": { "x-api-key": "issuer" }"#,
            "issuers[1].forward.headers: a header that carries credentials cannot tell of them",
        ),
        (
            r#""headers": { "x-caller-tenant": "issuer" }"#,
            r#""headers": { "x-caller-tenant": "tenant" }"#,
            "issuers[1].forward.headers: a header tells the tenant, and `claims.tenant` names no claim",
        ),
        (
            r#""headers": { "x-caller-tenant": "issuer" }"#,
            r#""headers": ["x-caller-tenant"]"#,
            "issuers[1].forward.headers: must be an object, not a list",
        ),
        (
            r#""subject": "sub""#,
            r#""subject": """#,
            "issuers[0].claims.subject: must not be empty",
        ),
        (
            r#""subject": "sub""#,
            r#""subject": "a..b""#,
            "issuers[0].claims.subject: must be a claim",
        ),
        (
            r#""scopes": ["scope"]"#,
            r#""scopes": "scope""#,
            "issuers[0].claims.scopes: must be a list",
        ),
        (
            r#""scopes": ["scope"]"#,
            r#""scopes": []"#,
            "issuers[0].claims.scopes: must have at least one entry",
        ),
    ]);
}

#[test]
fn to_what_tokens_are_bound() {
    hold(&[
        (
            r#""proofOfPossession": "any""#,
            r#""proofOfPossession": "tls""#,
            "issuers[0].proofOfPossession: `tls` is unknown; known are none, mtls, dpop, any",
        ),
        (
            r#""maxAge": "45s""#,
            r#""maxAge": "0s""#,
            "issuers[0].dpop.maxAge: must not be zero",
        ),
        (
            r#""maxAge": "45s""#,
            r#""maxAge": "500ms""#,
            "issuers[0].dpop: a maximal age of zero",
        ),
        (
            r#""maxAge": "45s""#,
            r#""maxAge": "301s""#,
            "issuers[0].dpop: the maximal age is above 300 seconds",
        ),
        (
            r#""leeway": "5s""#,
            r#""leeway": "301s""#,
            "issuers[0].dpop: the leeway is above 300 seconds",
        ),
        (
            r#""leeway": "5s""#,
            r#""leewey": "5s""#,
            "issuers[0].dpop.leewey: is unknown; did you mean `leeway`?",
        ),
        (
            r#""algorithms": ["ES256"]"#,
            r#""algorithms": ["HS256"]"#,
            "issuers[0].dpop: HS256 has a shared secret",
        ),
        (
            r#""algorithms": ["ES256"]"#,
            r#""algorithms": ["ES256", "ES256"]"#,
            "issuers[0].dpop: ES256 stands twice",
        ),
        (
            r#""algorithms": ["ES256"]"#,
            r#""algorithms": []"#,
            "issuers[0].dpop.algorithms: must have at least one entry",
        ),
        (
            r#""nonce": "required""#,
            r#""nonce": true"#,
            "issuers[0].dpop.nonce: must be a text",
        ),
        (
            r#""nonce": "required""#,
            r#""nonce": "optional""#,
            "issuers[0].dpop.nonce: `optional` is unknown; known are never, required",
        ),
    ]);
}

#[test]
fn api_keys_and_peers() {
    const DIGEST: &str = "apiKeys[0].sha256: must be the SHA-256 of the key: 64 hexadecimal digits";
    hold(&[
        (r#""sha256": "9f86"#, r#""sha256": "9f8"#, DIGEST),
        (r#""sha256": "9f86"#, r#""sha256": "9f860"#, DIGEST),
        (r#""sha256": "9f86"#, r#""sha256": "9g86"#, DIGEST),
        (
            r#""sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08""#,
            r#""sha256": "E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855""#,
            "apiKeys[0].sha256: is the SHA-256 of an empty text",
        ),
        (
            r#""sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "#,
            "",
            "apiKeys[0].sha256: is required",
        ),
        (
            r#""sha256": "9f86"#,
            r#""key": "sk-1", "sha256": "9f86"#,
            "apiKeys[0].key: is unknown",
        ),
        (
            r#""sha256": "AAAA"#,
            r#""sha256": "9F86"#,
            "apiKeys[1].sha256: an earlier entry has this very key",
        ),
        (
            r#""id": "nightly""#,
            r#""id": "ci-bot""#,
            "apiKeys[1].id: `ci-bot` stands twice",
        ),
        (
            r#""id": "nightly""#,
            r#""id": "a b""#,
            "apiKeys[1].id: must be a name",
        ),
        (
            r#""subject": "night""#,
            r#""subject": " night""#,
            "apiKeys[1].subject: must be at most 512 bytes",
        ),
        (
            r#""subject": "night""#,
            r#""subject": """#,
            "apiKeys[1].subject: must not be empty",
        ),
        (
            r#", "subject": "night""#,
            "",
            "apiKeys[1].subject: is required",
        ),
        (
            r#""scopes": ["model:gpt-4o:chat"]"#,
            r#""scopes": ["model:{model}:chat"]"#,
            "apiKeys[0].scopes[0]: must be a scope as a token holds it",
        ),
        (
            r#""scopes": ["model:gpt-4o:chat"]"#,
            r#""scopes": ["a b"]"#,
            "apiKeys[0].scopes[0]: must be a scope",
        ),
        (
            "2027-01-01T00:00:00Z",
            "2027-01-01",
            "apiKeys[0].notAfter: must be a moment in UTC",
        ),
        (
            "2027-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "apiKeys[0].notAfter: must be a moment in UTC",
        ),
        (
            r#""2027-01-01T00:00:00Z""#,
            "1",
            "apiKeys[0].notAfter: must be a text, not a number",
        ),
        (
            r#""trustDomains": ["example.org"], "#,
            "",
            "peers.trustDomains: is required",
        ),
        (
            r#""trustDomains": ["example.org"]"#,
            r#""trustDomains": []"#,
            "peers.trustDomains: must have at least one entry",
        ),
        (
            r#""trustDomains": ["example.org"]"#,
            r#""trustDomains": ["Example.org"]"#,
            "peers.trustDomains[0]: ",
        ),
        (
            r#""trustDomains": ["example.org"]"#,
            r#""trustDomains": ["spiffe://example.org"]"#,
            "peers.trustDomains[0]: ",
        ),
        (
            r#""trustDomains": ["example.org"]"#,
            r#""trustDomains": ["example.org", "example.org"]"#,
            "peers: example.org: stands twice",
        ),
        (
            r#""minTls": "1.3""#,
            r#""minTls": "1.1""#,
            r#"peers.minTls: must be "1.2" or "1.3""#,
        ),
        (
            r#""minTls": "1.3""#,
            r#""minTls": 1.3"#,
            "peers.minTls: must be a text, not a number",
        ),
        (
            r#"["spiffe://example.org/ns/istio-system/sa/ingress"]"#,
            "[]",
            "peers.forwardedClientCert.trustedProxies: must have at least one entry",
        ),
        (
            r#"{ "trustedProxies": ["spiffe://example.org/ns/istio-system/sa/ingress"] }"#,
            "{}",
            "peers.forwardedClientCert.trustedProxies: is required",
        ),
        (
            "spiffe://example.org/ns/istio-system",
            "spiffe://elsewhere/ns/istio-system",
            "peers: spiffe://elsewhere/ns/istio-system/sa/ingress: its trust domain is not among",
        ),
        (
            "spiffe://example.org/ns/istio-system",
            "https://example.org/ns/istio-system",
            "peers.forwardedClientCert.trustedProxies[0]: ",
        ),
    ]);
}

/// A caller that nobody can be matters most in a denial: it never applies.
#[test]
fn callers_that_nobody_can_be() {
    hold(&[
        (
            r#"{ "issuer": "partner" }"#,
            r#"{ "issuer": "partner", "apiKey": "ci-bot" }"#,
            "callers[0].any[1]: can never hold: a request has one credential",
        ),
        (
            r#"{ "apiKey": "ci-bot" }"#,
            r#"{ "apiKey": "ci-bot", "roles": ["r"] }"#,
            "callers[0].any[2]: can never hold: only a token has roles and groups",
        ),
        (
            r#"{ "apiKey": "ci-bot" }"#,
            r#"{ "apiKey": "ci-bt" }"#,
            "callers[0].any[2].apiKey: no API key is named `ci-bt`; did you mean `ci-bot`?",
        ),
        (
            r#"{ "issuer": "partner" }"#,
            r#"{ "issuer": "partner", "tenants": ["acme"] }"#,
            "callers[0].any[1]: can never hold: the issuer's `claims.tenant` names no claim",
        ),
        (
            r#"{ "issuer": "partner" }"#,
            r#"{ "tenants": ["acme"] }"#,
            "callers[0]: must name the issuer or the API key",
        ),
        (
            r#""all": [ { "issuer": "corp" }, "#,
            r#""all": [ { "issuer": "corp" }, { "issuer": "partner" }, "#,
            "callers[1]: can never hold: a request has one credential",
        ),
        (
            r#""all": [ { "issuer": "corp" }, "#,
            r#""all": [ { "issuer": "corp" }, { "apiKey": "ci-bot" }, "#,
            "callers[1]: can never hold: a request has one credential",
        ),
        (
            r#""all": [ { "issuer": "corp" }, "#,
            r#""all": [ { "apiKey": "ci-bot" }, { "groups": ["g"] }, "#,
            "callers[1]: can never hold: only a token has roles and groups",
        ),
        (
            "spiffe://example.org/ns/research/sa/*",
            "spiffe://elsewhere/ns/research/sa/*",
            "callers[1].all[1].peer: can never hold: its trust domain is not in `peers.trustDomains`",
        ),
        (
            "spiffe://example.org/ns/research/sa/*",
            "spiffe://example.org/ns/rese*",
            "callers[1].all[1].peer: ",
        ),
        (
            r#""effect": "deny""#,
            r#""effect": "deny", "stepUp": { "amr": ["mfa"] }"#,
            "rules[3].stepUp: a denying rule takes no step-up",
        ),
        (
            r#""stepUp": { "acr": ["urn:mfa"], "amr": ["pwd", "otp"], "maxAge": "15m" }"#,
            r#""stepUp": {}"#,
            "rules[1].stepUp: needs at least one of acr, amr and maxAge",
        ),
        (
            r#""maxAge": "15m""#,
            r#""maxAge": "999ms""#,
            "rules[1].stepUp.maxAge: must be at least 1s",
        ),
        (
            r#""maxAge": "15m""#,
            r#""maxAge": "0s""#,
            "rules[1].stepUp.maxAge: must not be zero",
        ),
        (
            r#""acr": ["urn:mfa"]"#,
            r#""acr": ["a b"]"#,
            "rules[1].stepUp.acr[0]: must be at most 256 visible ASCII",
        ),
        (
            r#""acr": ["urn:mfa"]"#,
            r#""acr": []"#,
            "rules[1].stepUp.acr: must have at least one entry",
        ),
        (
            r#""acr": ["urn:mfa"]"#,
            r#""acr": ["a\"b"]"#,
            "rules[1].stepUp.acr[0]: must be at most 256 visible ASCII",
        ),
    ]);
}

/// A route on which nobody can be allowed anything, and a rule that concerns nobody on its routes.
#[test]
fn what_a_route_asks_for_and_what_its_rules_need() {
    const NONE_FITS: &str = "no rule that allows fits the identity of this route";
    let none_fits = |route: usize| format!("routes[{route}].rules: {NONE_FITS}");
    let rows: Vec<(&str, &str, String, &str)> = vec![
        (
            r#""identity": ["peer"], "rules": ["jobs", "never"]"#,
            r#""identity": ["peer"], "rules": ["chat", "never"]"#,
            none_fits(3),
            "a peer is of no issuer",
        ),
        (
            r#""callers": ["jobs"], "scopes": [], "#,
            r#""callers": ["jobs"], "#,
            none_fits(3),
            "a peer alone holds no scopes",
        ),
        (
            r#""identity": ["apiKey"], "rules": ["chat", "never"]"#,
            r#""identity": ["apiKey"], "rules": ["sure"]"#,
            none_fits(1),
            "a key is of no issuer",
        ),
        (
            r#""callers": ["jobs"], "scopes": [], "#,
            r#""callers": ["jobs"], "scopes": [], "stepUp": { "amr": ["mfa"] }, "#,
            none_fits(3),
            "nobody signed in who is only a peer",
        ),
        (
            r#""identity": ["apiKey", "peer"], "rules": ["chat"]"#,
            r#""identity": ["apiKey", "peer"], "rules": ["never"]"#,
            "routes[4].rules: no rule of this route allows anything".into(),
            "only a denial",
        ),
        (
            r#"{ "id": "never", "effect": "deny", "callers": ["research", "jobs"]"#,
            r#"{ "id": "never", "effect": "deny", "callers": ["mesh"]"#,
            "none".into(),
            "a denial may concern nobody on one of its routes",
        ),
        (
            r#""identity": ["token"] }"#,
            r#""identity": ["token"], "rules": ["chat", "sure"] }"#,
            "none".into(),
            "all rules are still asked somewhere",
        ),
        (
            r#""identity": ["apiKey", "peer"]"#,
            r#""identity": ["apiKey", "token"]"#,
            "routes[4].identity: a request has one credential".into(),
            "two credentials",
        ),
        (
            r#""identity": ["apiKey", "peer"]"#,
            r#""identity": []"#,
            "routes[4].identity: must have at least one entry".into(),
            "nobody at all would be asked",
        ),
        (
            r#""identity": ["apiKey", "peer"]"#,
            r#""identity": ["apikey"]"#,
            "routes[4].identity[0]: `apikey` is unknown; known are token, apiKey, peer".into(),
            "names have case",
        ),
    ];
    for (from, to, expected, why) in rows {
        assert!(WHOLE.contains(from), "{from:?}: {why}");
        let seen = problems(&WHOLE.replacen(from, to, 1));
        if expected == "none" {
            assert_eq!(seen, [""; 0], "{why}");
        } else {
            let told = seen.iter().any(|problem| problem.starts_with(&expected));
            assert!(told, "{why}: expected {expected:?}, seen {seen:#?}");
        }
    }
    // A denial of a caller with a token, on routes where nobody has one.
    let apart = WHOLE
        .replacen(
            r#""identity": ["token"] }"#,
            r#""identity": ["token"], "rules": ["chat", "sure"] }"#,
            1,
        )
        .replacen(
            r#""callers": ["research", "jobs"]"#,
            r#""callers": ["mesh"]"#,
            1,
        );
    assert_eq!(
        problems(&apart),
        [
            "rules[3]: `never` is unreachable: no caller proves what it asks for on the routes that use it"
        ]
    );
}

#[test]
fn what_is_asked_for_must_be_there() {
    let without = |field: &str| {
        let start = WHOLE.find(&format!("\"{field}\":")).unwrap();
        let end = start + WHOLE[start..].find("\n  \"").unwrap() + 3;
        format!("{}{}", &WHOLE[..start], &WHOLE[end..])
    };
    for (field, expected) in [
        (
            "issuers",
            "routes[0].identity[0]: needs `issuers`: nobody signs tokens",
        ),
        (
            "issuers",
            "callers[0].any[0].issuer: no issuer is named `corp`; there is none",
        ),
        (
            "apiKeys",
            "routes[1].identity[0]: needs `apiKeys`: there is none",
        ),
        ("peers", "routes[2].identity[1]: needs `peers.trustDomains`"),
        (
            "peers",
            "callers[2].any[0].peer: needs `peers.trustDomains`",
        ),
    ] {
        let seen = problems(&without(field));
        let told = seen.iter().any(|problem| problem.starts_with(expected));
        assert!(
            told,
            "without {field}: expected {expected:?}, seen {seen:#?}"
        );
    }
}
