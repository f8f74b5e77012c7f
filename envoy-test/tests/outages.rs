//! What a provider may do to its gateway: answer late, wrong, or not at all, from the beginning or later, with keys, with
//! discovery documents and with lists of revoked tokens. What was good stays until it is too old; then, and before it ever
//! came, the answer is no; and nothing has to be restarted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock, and tells what it measured"
)]

use std::time::{Duration, Instant};

use postern_envoy_test::client::Call;
use postern_envoy_test::given::{
    self, ALLOWED, CHAT, UNAVAILABLE, chat, chat_by, issuer_of, keys, signed_by,
};
use postern_envoy_test::lanes::{Expected, Lanes};
use postern_envoy_test::provider::{Behaviour, Page, Provider};
use postern_envoy_test::stage::{Stage, now};
use postern_tests::issuer::TokenSpec;
use postern_tests::scenario::Mode;
use serde_json::{Value, json};

/// A refresh of one or two seconds with its call, and a tick of every worker, on a busy machine.
const REFRESHED: Duration = Duration::from_secs(12);
/// How long the sources below are used without an answer, a back-off, and a tick of every worker.
const TOO_OLD: Duration = Duration::from_secs(20);
const UNKNOWN_KEY: (u16, &str) = (401, "token_key");
const REVOKED: (u16, &str) = (401, "token_revoked");

fn source(path: &str, cluster: &str) -> Value {
    json!({
        "cluster": cluster, "authority": "idp.example.com", "path": path,
        "refresh": "1s", "timeout": "500ms", "maxStale": "8s",
    })
}

fn set(name: &str, issuers: &[(&str, Value)], provider: &Provider) -> (Stage, Lanes) {
    let policy = given::policy(Mode::None);
    let policy = given::changed(policy, &[("/host/holdTimeout", json!("1s"))]);
    let policy = given::with_issuers(policy, issuers);
    let stage = given::two_workers(&format!("outages-{name}"), Mode::None, &policy, provider);
    let lanes = Lanes::open(&stage, &Call::chat("", CHAT)).unwrap();
    (stage, lanes)
}

/// Every issuer's calls are answered so.
fn each<'a>(
    names: &[(&'a str, &'a str)],
    spec: &TokenSpec,
    expected: (u16, &'a str),
) -> Vec<Expected<'a>> {
    let row = |(name, why): &(&'a str, &'a str)| (chat_by(name, spec), expected, *why);
    names.iter().map(row).collect()
}

/// Waits until each path was asked twice more: all at the same time, for what was good must not be too old by then.
fn asked_again(provider: &Provider, paths: &[String]) {
    let before: Vec<usize> = paths
        .iter()
        .map(|path| provider.calls(path).len())
        .collect();
    for (path, before) in paths.iter().zip(before) {
        let calls = provider.await_calls(path, before + 2, REFRESHED);
        assert!(calls.len() >= before + 2, "{path}: asked again");
    }
}

/// An RSA key of 1024 bits: nobody may take it.
fn weak() -> Page {
    let modulus = format!("{}{}", "x".repeat(170), "0");
    let key = json!({ "kty": "RSA", "kid": "corp-rsa", "alg": "RS256", "n": modulus, "e": "AQAB" });
    Page::json(json!({ "keys": [key] }))
}

#[test]
fn keys_that_were_good_outlive_whatever_comes_after_them() {
    let good = keys(&["corp-ec"]);
    let broken: Vec<(&str, Behaviour, &str)> = vec![
        (
            "garbage",
            Behaviour::Garbage(b"no HTTP\r\n\r\n".to_vec()),
            "no HTTP",
        ),
        ("silent", Behaviour::Hang, "no answer"),
        ("error", Behaviour::Answer(Page::status(500)), "500"),
        ("reset", Behaviour::Reset, "reset"),
        ("cut", Behaviour::Cut(20, good.clone()), "cut short"),
        (
            "late",
            Behaviour::Slow(Duration::from_millis(1500), good.clone()),
            "later than the time-out",
        ),
        (
            "text",
            Behaviour::Answer(Page {
                body: b"<html>log in</html>".to_vec(),
                ..good.clone()
            }),
            "HTML",
        ),
        (
            "nothing",
            Behaviour::Answer(Page::json(json!({ "keys": [] }))),
            "no keys",
        ),
        ("weak", Behaviour::Answer(weak()), "weak keys alone"),
        (
            "huge",
            Behaviour::Answer(Page::json(
                json!({ "keys": [], "pad": "x".repeat(600 * 1024) }),
            )),
            "too large",
        ),
        (
            "odd",
            Behaviour::Answer(Page {
                status: 203,
                ..good.clone()
            }),
            "not 200",
        ),
        (
            "moved",
            Behaviour::Answer(Page {
                status: 302,
                ..good.clone()
            }),
            "a redirect",
        ),
        (
            "twice",
            Behaviour::Answer(Page {
                body: br#"{"keys":[],"keys":[]}"#.to_vec(),
                ..good.clone()
            }),
            "a member twice",
        ),
    ];
    let path = |name: &str| format!("/{name}/jwks.json");
    let names: Vec<(&str, &str)> = broken.iter().map(|(name, _, why)| (*name, *why)).collect();
    let provider = given::provider();
    let breaks = || {
        for (name, behaviour, _) in &broken {
            provider.set(&path(name), behaviour.clone());
        }
    };
    let mends = || {
        for (name, _) in &names {
            provider.set(&path(name), Behaviour::Answer(good.clone()));
        }
    };
    let paths: Vec<String> = names.iter().map(|(name, _)| path(name)).collect();
    breaks();
    let issuers: Vec<(&str, Value)> = names
        .iter()
        .map(|(name, _)| {
            (
                *name,
                json!({ "jwks": { "remote": source(&path(name), "idp") } }),
            )
        })
        .collect();
    let (stage, lanes) = set("keys", &issuers, &provider);
    let spec = signed_by("corp-ec", "ES256");

    lanes.say(&each(&names, &spec, UNAVAILABLE));
    mends();
    lanes.come_to_say(REFRESHED, &each(&names, &spec, ALLOWED));

    breaks();
    asked_again(&provider, &paths);
    lanes.say(&each(&names, &spec, ALLOWED));
    lanes.come_to_say(TOO_OLD, &each(&names, &spec, UNAVAILABLE));
    lanes.say(&[(chat(&spec), ALLOWED, "another issuer's keys are there")]);
    mends();
    lanes.come_to_say(REFRESHED, &each(&names, &spec, ALLOWED));

    provider.down();
    std::thread::sleep(Duration::from_secs(3));
    lanes.say(&each(&names, &spec, ALLOWED));
    lanes.come_to_say(TOO_OLD, &each(&names, &spec, UNAVAILABLE));
    provider.up();
    lanes.come_to_say(REFRESHED, &each(&names, &spec, ALLOWED));
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn a_slow_provider_is_waited_for_up_to_the_time_out() {
    let provider = given::provider();
    let late = Behaviour::Slow(Duration::from_millis(1500), keys(&["corp-rsa"]));
    let remote = |path: &str, timeout: &str| {
        provider.set(path, late.clone());
        let mut source = source(path, "idp");
        source["refresh"] = json!("5m");
        source["maxStale"] = json!("24h");
        source["timeout"] = json!(timeout);
        json!({ "jwks": { "remote": source } })
    };
    let issuers = [
        ("patient", remote("/patient", "20s")),
        ("hasty", remote("/hasty", "500ms")),
    ];
    let policy = given::policy(Mode::None);
    let policy = given::changed(policy, &[("/host/holdTimeout", json!("10s"))]);
    let policy = given::with_issuers(policy, &issuers);
    let stage = given::two_workers("outages-slow", Mode::None, &policy, &provider);
    let lanes = Lanes::open(&stage, &Call::chat("", CHAT)).unwrap();
    let spec = TokenSpec::default();
    lanes.say(&[
        (
            chat_by("patient", &spec),
            ALLOWED,
            "an answer within the time-out",
        ),
        (
            chat_by("hasty", &spec),
            UNAVAILABLE,
            "an answer after the time-out never counts",
        ),
    ]);
    assert_eq!(provider.calls("/patient").len(), 1, "one fetch for all VMs");
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn a_cluster_that_cannot_answer_kills_no_vm() {
    let names = [
        ("nowhere", "nobody listens"),
        ("silent", "accepted and never answered"),
        ("empty", "no endpoint: the call is not even taken"),
        ("unknown", "no such cluster: the call is not even taken"),
    ];
    let issuers = names.map(|(cluster, _)| {
        (
            cluster,
            json!({ "jwks": { "remote": source("/jwks.json", cluster) } }),
        )
    });
    let provider = given::provider();
    let (stage, lanes) = set("clusters", &issuers, &provider);
    let vms = stage.envoy.active_vms().unwrap();
    let spec = TokenSpec::default();
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        lanes.say(&each(&names, &spec, UNAVAILABLE));
        lanes.say(&[(
            chat(&spec),
            ALLOWED,
            "an issuer whose keys are in the policy",
        )]);
    }
    assert_eq!(stage.envoy.active_vms().unwrap(), vms, "the same VMs");
    assert_eq!(
        provider.calls("/jwks.json").len(),
        0,
        "no other cluster is tried"
    );
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn keys_are_discovered_only_where_the_policy_looks() {
    let provider = given::provider();
    let good = "https://idp.example.com";
    let rows = [
        (
            "here",
            None,
            format!("{good}/here/jwks.json"),
            ALLOWED,
            "the issuer's own document",
        ),
        (
            "other",
            Some("https://partner.example.net"),
            format!("{good}/other/jwks.json"),
            UNAVAILABLE,
            "another issuer's document",
        ),
        (
            "slash",
            Some("https://slash.example.com/"),
            format!("{good}/slash/jwks.json"),
            UNAVAILABLE,
            "an issuer that is nearly this one",
        ),
        (
            "away",
            None,
            "https://169.254.169.254/away/jwks.json".into(),
            UNAVAILABLE,
            "keys of another host",
        ),
        (
            "plain",
            None,
            "http://idp.example.com/plain/jwks.json".into(),
            UNAVAILABLE,
            "keys without TLS",
        ),
        (
            "user",
            None,
            "https://idp.example.com@evil.example/user/jwks.json".into(),
            UNAVAILABLE,
            "a host behind user information",
        ),
        (
            "port",
            None,
            "https://idp.example.com:8443/port/jwks.json".into(),
            UNAVAILABLE,
            "another port of the host",
        ),
    ];
    let document = |name: &str| format!("/{name}/.well-known/openid-configuration");
    let publish = |name: &str, issuer: &str, keys: &str| {
        let page = Page::json(json!({ "issuer": issuer, "jwks_uri": keys }));
        provider.set(&document(name), Behaviour::Answer(page));
    };
    let issuers: Vec<(&str, Value)> = rows
        .iter()
        .map(|(name, issuer, uri, ..)| {
            let own = issuer_of(name);
            publish(name, issuer.unwrap_or(&own), uri);
            provider.set(
                &format!("/{name}/jwks.json"),
                Behaviour::Answer(keys(&["corp-rsa"])),
            );
            let mut discovery = source(&document(name), "idp");
            discovery["refresh"] = json!("2s");
            (*name, json!({ "jwks": { "discovery": discovery } }))
        })
        .collect();
    let (stage, lanes) = set("discovery", &issuers, &provider);
    for (name, ..) in &rows {
        provider.await_calls(&document(name), 2, REFRESHED);
    }
    let (old, new) = (TokenSpec::default(), signed_by("corp-ec", "ES256"));
    let expected: Vec<_> = rows
        .iter()
        .map(|(name, .., expected, why)| (chat_by(name, &old), *expected, *why))
        .collect();
    lanes.say(&expected);

    provider.set("/here/jwks.json", Behaviour::Answer(keys(&["corp-ec"])));
    lanes.come_to_say(
        REFRESHED,
        &[
            (chat_by("here", &new), ALLOWED, "the key that is new"),
            (chat_by("here", &old), UNKNOWN_KEY, "the key that is gone"),
        ],
    );
    provider.set("/here/moved.json", Behaviour::Answer(keys(&["corp-rsa"])));
    publish(
        "here",
        &issuer_of("here"),
        &format!("{good}/here/moved.json"),
    );
    lanes.come_to_say(
        REFRESHED,
        &[
            (chat_by("here", &old), ALLOWED, "the set has moved"),
            (chat_by("here", &new), UNKNOWN_KEY, "away from this key"),
        ],
    );
    publish(
        "here",
        &issuer_of("here"),
        "https://evil.example/here/away.json",
    );
    let before = provider.calls(&document("here")).len();
    provider.await_calls(&document("here"), before + 2, REFRESHED);
    lanes.say(&[(
        chat_by("here", &old),
        ALLOWED,
        "it moved to where nobody looks: what was good stays",
    )]);
    for (name, .., expected, why) in &rows {
        let fetched = !provider.calls(&format!("/{name}/jwks.json")).is_empty();
        assert_eq!(fetched, *expected == ALLOWED, "{why}");
    }
    assert!(provider.calls("/here/away.json").is_empty(), "never called");
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn what_is_revoked_is_refused_on_every_worker_within_a_refresh() {
    // For each list: what it revokes, a token that it revokes, and one that it does not.
    let token = |claims: Value, (key, alg): (&str, &str)| {
        let mut spec = signed_by(key, alg);
        spec.claims = claims.as_object().unwrap().clone();
        spec
    };
    let (rsa, ec) = (("corp-rsa", "RS256"), ("corp-ec", "ES256"));
    let rows = [
        (
            "jti",
            json!({ "jti": ["one"] }),
            token(json!({ "jti": "one" }), rsa),
            token(json!({ "jti": "two" }), rsa),
        ),
        (
            "subject",
            json!({ "subject": ["bob"] }),
            token(json!({ "sub": "bob" }), rsa),
            token(json!({ "sub": "alice" }), rsa),
        ),
        (
            "kid",
            json!({ "kid": ["corp-rsa"] }),
            token(json!({}), rsa),
            token(json!({}), ec),
        ),
        (
            "before",
            json!({ "issuedBefore": now() - 60 }),
            token(json!({ "iat": "now-90" }), rsa),
            token(json!({ "iat": "now-1" }), rsa),
        ),
    ];
    let path = |name: &str| format!("/{name}/revoked.json");
    let provider = given::provider();
    let publish = |page: &dyn Fn(&Value) -> Page| {
        for (name, list, ..) in &rows {
            provider.set(&path(name), Behaviour::Answer(page(list)));
        }
    };
    publish(&|_| Page::status(500));
    let issuers: Vec<(&str, Value)> = rows
        .iter()
        .map(|(name, ..)| {
            (
                *name,
                json!({ "revocation": { "remote": source(&path(name), "idp") } }),
            )
        })
        .collect();
    let (stage, lanes) = set("revoked", &issuers, &provider);
    // INVARIANT (cached): the tokens are the same at every look, so each worker has them in its cache once they are good.
    let calls: Vec<_> = rows
        .iter()
        .map(|(name, _, one, two)| (*name, chat_by(name, one), chat_by(name, two)))
        .collect();
    let expected =
        |revoked: (u16, &'static str), other: (u16, &'static str)| -> Vec<Expected<'_>> {
            let pairs = calls.iter();
            pairs
                .flat_map(|(name, one, two)| {
                    [(one.clone(), revoked, *name), (two.clone(), other, *name)]
                })
                .collect()
        };
    lanes.say(&expected(UNAVAILABLE, UNAVAILABLE));
    publish(&|_| Page::json(json!({})));
    lanes.come_to_say(REFRESHED, &expected(ALLOWED, ALLOWED));
    publish(&|list| Page::json(list));
    let took = lanes.come_to_say(REFRESHED, &expected(REVOKED, ALLOWED));
    eprintln!("measured: a refresh of 1 s: revoked on both workers after {took:?}");
    publish(&|_| Page::status(500));
    let paths: Vec<String> = rows.iter().map(|(name, ..)| path(name)).collect();
    asked_again(&provider, &paths);
    lanes.say(&expected(REVOKED, ALLOWED));
    lanes.come_to_say(TOO_OLD, &expected(UNAVAILABLE, UNAVAILABLE));
    lanes.say(&[(
        chat(&TokenSpec::default()),
        ALLOWED,
        "an issuer without a list",
    )]);
    publish(&|_| Page::json(json!({})));
    lanes.come_to_say(REFRESHED, &expected(ALLOWED, ALLOWED));
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}
