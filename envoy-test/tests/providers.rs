//! The scripted provider and the destinations next to it: what they are told to do is what a gateway sees of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock"
)]

use std::time::{Duration, Instant};

use postern_envoy_test::bootstrap::{Deployment, Filter, TO_CLUSTER};
use postern_envoy_test::client::Call;
use postern_envoy_test::given::{self, CHAT, JWKS, record};
use postern_envoy_test::provider::{Behaviour, Page, Provider};
use postern_envoy_test::stage::{Seen, Stage};
use postern_tests::issuer;
use postern_tests::scenario::{Mode, Protocol, Upstream};

/// A call over the bare gateway to a cluster that a module could call.
fn fetched(stage: &Stage, cluster: &str, path: &str) -> Seen {
    let mut call = Call::chat("t", b"");
    (call.method, call.path, call.body) = ("GET".into(), path.into(), None);
    call.headers = vec![(TO_CLUSTER.into(), cluster.into())];
    stage
        .call(Protocol::H1, &call, &Upstream::default())
        .unwrap_or_else(|fault| panic!("{cluster} {path}: {fault}"))
}

fn bare(name: &str, provider: &Provider) -> Stage {
    let mut deployment = Deployment::new(Mode::None, Filter::Absent);
    deployment.destinations = Some(provider.destinations);
    given::set(name, &deployment)
}

#[test]
fn each_behaviour_is_what_the_gateway_sees() {
    let provider = given::provider();
    let stage = bare("provider", &provider);
    let page = Page::json("{\"keys\":[]}");
    let pause = Duration::from_millis(60);
    for (path, behaviour, status, whole, at_least, why) in [
        (
            "/answer",
            Behaviour::Answer(page.clone()),
            200,
            true,
            Duration::ZERO,
            "an answer",
        ),
        (
            "/status",
            Behaviour::Answer(Page::status(500)),
            500,
            true,
            Duration::ZERO,
            "an answer that is no success",
        ),
        (
            "/slow",
            Behaviour::Slow(pause, page.clone()),
            200,
            true,
            pause,
            "late, within the time-out",
        ),
        (
            "/late",
            Behaviour::Slow(Duration::from_secs(5), page.clone()),
            504,
            true,
            Duration::from_secs(1),
            "later than the time-out",
        ),
        (
            "/garbage",
            Behaviour::Garbage(b"\x16\x03\x01 no HTTP\r\n\r\n".to_vec()),
            502,
            true,
            Duration::ZERO,
            "bytes that are no HTTP",
        ),
        (
            "/hang",
            Behaviour::Hang,
            504,
            true,
            Duration::from_secs(1),
            "no answer at all",
        ),
        (
            "/reset",
            Behaviour::Reset,
            503,
            true,
            Duration::ZERO,
            "reset before an answer",
        ),
        (
            "/cut",
            Behaviour::Cut(4, page.clone()),
            200,
            false,
            Duration::ZERO,
            "less than was promised",
        ),
        (
            "/drip",
            Behaviour::Drip {
                page: page.clone(),
                piece: 4,
                pause,
            },
            200,
            true,
            pause * 3,
            "a few bytes at a time",
        ),
        (
            "/unknown",
            Behaviour::Answer(Page::status(404)),
            404,
            true,
            Duration::ZERO,
            "a path that is told nothing",
        ),
    ] {
        if path != "/unknown" {
            provider.set(path, behaviour);
        }
        let begun = Instant::now();
        let answer = fetched(&stage, "idp", path)
            .answer
            .unwrap_or_else(|| panic!("{why}: no answer"));
        let took = begun.elapsed();
        assert_eq!(
            (answer.status, answer.complete),
            (status, whole),
            "{why}: {answer:?}"
        );
        assert!(took >= at_least, "{why}: {took:?}");
        if answer.status == 200 && whole {
            assert_eq!(answer.body, page.body, "{why}");
        }
        let calls = provider.calls(path);
        assert_eq!(calls.len(), 1, "{why}: {calls:?}");
        assert_eq!((&*calls[0].method, &*calls[0].path), ("GET", path), "{why}");
        assert!(calls[0].at >= begun, "{why}");
        assert!(
            calls[0].headers.iter().any(|(name, _)| name == "host"),
            "{why}: {calls:?}"
        );
    }
}

#[test]
fn a_behaviour_changes_while_the_gateway_runs_and_a_provider_comes_back() {
    let provider = given::provider();
    let stage = bare("provider-life", &provider);
    let status = || {
        fetched(&stage, "idp", JWKS)
            .answer
            .map(|answer| answer.status)
    };
    assert_eq!(status(), Some(200));
    provider.set(JWKS, Behaviour::Answer(Page::status(503)));
    assert_eq!(status(), Some(503));
    let before = provider.calls(JWKS).len();
    provider.down();
    assert_eq!(status(), Some(503), "the gateway's own");
    assert_eq!(
        provider.calls(JWKS).len(),
        before,
        "nobody was there to take the call"
    );
    provider.up();
    let keys = issuer::jwks("corp").unwrap();
    provider.set(JWKS, Behaviour::Answer(Page::json(&keys)));
    let seen = fetched(&stage, "idp", JWKS).answer.expect("an answer");
    assert_eq!(seen.body, keys.to_string().into_bytes());
    assert_eq!(
        provider
            .await_calls(JWKS, before + 1, Duration::from_secs(1))
            .len(),
        before + 1
    );
}

#[test]
fn each_destination_without_a_provider_ends_in_its_own_way() {
    let stage = bare("destinations", &given::provider());
    for (cluster, status, flag, why) in [
        ("nowhere", 503, "UF", "nobody listens"),
        ("empty", 503, "UH", "no endpoint at all"),
        ("silent", 504, "UT", "accepted and never answered"),
        ("unknown", 503, "NC", "no such cluster"),
    ] {
        let seen = fetched(&stage, cluster, "/");
        assert_eq!(
            seen.answer.map(|answer| answer.status),
            Some(status),
            "{why}"
        );
        assert_eq!(seen.access[0].flags.as_deref(), Some(flag), "{why}");
    }
}

#[test]
fn a_call_can_be_brought_to_every_worker() {
    let provider = given::provider();
    let policy = given::policy(Mode::None);
    let stage = given::two_workers("provider-workers", Mode::None, &policy, &provider);
    for protocol in Protocol::ALL {
        for connection in [None, Some(given::peer("research"))] {
            let mut call = Call::chat(&given::token(), CHAT);
            call.connection = connection;
            let all = stage
                .call_every_worker(protocol, &call, &Upstream::default())
                .unwrap();
            assert!(all.len() >= 2, "{protocol}");
            for seen in &all {
                assert_eq!(record(&stage, seen, "a worker")["decision"], "allow");
            }
        }
    }
    for listener in ["to_h1", "to_h2", "tls_h1", "tls_h2"] {
        assert_eq!(stage.envoy.taken(listener).unwrap().len(), 2, "{listener}");
    }
    assert_eq!(
        provider.calls(JWKS).len(),
        0,
        "the keys stand in the policy"
    );
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}
