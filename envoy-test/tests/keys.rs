//! Keys that a provider gives while the gateway runs, on two workers: the first ones are waited for, new ones are taken,
//! old ones go, and invented ones make no storm.
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
    self, ALLOWED, CHAT, JWKS, chat, digest, keys, refusal, signed_by,
};
use postern_envoy_test::lanes::Lanes;
use postern_envoy_test::provider::{self, Behaviour, Gate, Provider};
use postern_envoy_test::stage::{Stage, now};
use postern_tests::issuer::TokenSpec;
use postern_tests::scenario::{Framing, Mode, Protocol, Upstream};
use serde_json::{Value, json};

/// Within this a worker looks at what the others have published.
const TICK: Duration = Duration::from_millis(250);
/// Between two early fetches of one source.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// For what is over at once, on a busy machine.
const SOON: Duration = Duration::from_secs(5);
const UNKNOWN_KEY: (u16, &str) = (401, "token_key");

/// The policy with the keys of `corp` behind the provider: how long a call may wait for them, and how they are fetched.
fn remote(mode: Mode, hold: &str, refresh: &str, timeout: &str) -> Value {
    given::changed(
        given::remote_keys(given::policy(mode)),
        &[
            ("/host/holdTimeout", json!(hold)),
            ("/issuers/0/jwks/remote/refresh", json!(refresh)),
            ("/issuers/0/jwks/remote/timeout", json!(timeout)),
        ],
    )
}

fn set(name: &str, policy: &Value, provider: &Provider) -> (Stage, Lanes) {
    let stage = given::two_workers(&format!("keys-{name}"), Mode::None, policy, provider);
    let lanes = Lanes::open(&stage, &Call::chat("", CHAT)).unwrap();
    (stage, lanes)
}

/// The shortest time between two calls.
fn closest(calls: &[provider::Call]) -> Duration {
    let pairs = calls.windows(2).map(|pair| pair[1].at - pair[0].at);
    pairs.min().unwrap_or(Duration::MAX)
}

#[test]
fn requests_that_come_before_the_keys_wait_and_pass_whole() {
    std::thread::scope(|scope| {
        for mode in Mode::ALL {
            scope.spawn(move || wait_and_pass(mode));
        }
    });
}

fn wait_and_pass(mode: Mode) {
    let (provider, gate) = (given::provider(), Gate::default());
    let page = keys(&["corp-rsa"]);
    provider.set(JWKS, Behaviour::Gated(gate.clone(), page));
    let policy = remote(mode, "20s", "5m", "20s");
    let stage = given::two_workers(&format!("keys-first-{mode}"), mode, &policy, &provider);
    let long = |size: usize| {
        let pad = "x".repeat(size);
        format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{pad}"}}]}}"#)
    };
    let calls: Vec<(Protocol, Call, Vec<u8>)> = [
        (1, 64 * 1024, Framing::Length),
        (1, 1, Framing::Length),
        (300 * 1024, 16 * 1024, Framing::Chunked),
        (200 * 1024, 7_001, Framing::Length),
    ]
    .into_iter()
    .flat_map(|(size, piece, framing)| {
        let body = long(size).into_bytes();
        Protocol::ALL.map(|protocol| {
            let mut call = chat(&TokenSpec::default());
            call.body = Some(body.chunks(piece).map(<[u8]>::to_vec).collect());
            call.framing = framing;
            (protocol, call, body.clone())
        })
    })
    .collect();
    provider.await_calls(JWKS, 1, SOON);
    std::thread::scope(|scope| {
        let running: Vec<_> = calls
            .iter()
            .map(|(protocol, call, body)| {
                let stage = &stage;
                let seen = scope.spawn(move || stage.call(*protocol, call, &Upstream::default()));
                (seen, protocol, body)
            })
            .collect();
        // Long enough for every body to be there, and for two ticks.
        std::thread::sleep(TICK * 6);
        assert_eq!(stage.envoy.access().len(), 0, "{mode}: all wait");
        gate.open();
        for (seen, protocol, body) in running {
            let what = format!("{mode} {protocol} {} bytes", body.len());
            let seen = seen
                .join()
                .unwrap()
                .unwrap_or_else(|fault| panic!("{what}: {fault}"));
            assert_eq!(refusal(&seen), (200, "no code".into()), "{what}");
            let [forwarded] = seen.forwarded.as_slice() else {
                panic!("{what}: {} requests upstream", seen.forwarded.len())
            };
            assert!(forwarded.body == *body, "{what}: upstream got other bytes");
            let record = given::record(&stage, &seen, &what);
            assert_eq!(record["request"]["digest"], digest(body), "{what}");
            assert_eq!(record["request"]["bytes"], body.len(), "{what}");
        }
    });
    let fetches = provider.calls(JWKS);
    assert_eq!(fetches.len(), 1, "{mode}: one fetch for all: {fetches:?}");
    let head = &fetches[0].headers;
    assert!(
        head.contains(&("host".into(), b"idp.example.com".to_vec())),
        "{head:?}"
    );
    let secret = |value: &[u8]| String::from_utf8_lossy(value).contains("eyJ");
    assert!(
        !head.iter().any(|(_, value)| secret(value)),
        "no caller's token: {head:?}"
    );
    assert_eq!(stage.reckoning(), Vec::<String>::new(), "{mode}");
}

#[test]
fn without_keys_a_call_is_refused_at_its_deadline() {
    let provider = given::provider();
    provider.down();
    let (stage, lanes) = set("none", &remote(Mode::None, "2s", "2s", "1s"), &provider);
    for protocol in Protocol::ALL {
        let begun = Instant::now();
        let seen = stage.call(protocol, &chat(&TokenSpec::default()), &Upstream::default());
        let (seen, took) = (seen.unwrap(), begun.elapsed());
        assert_eq!(
            refusal(&seen),
            (503, "keys_unavailable".into()),
            "{protocol}"
        );
        let deadline = Duration::from_secs(2);
        assert!(
            deadline <= took && took < deadline + SOON,
            "{protocol}: {took:?}"
        );
        let answer = seen.answer.as_ref().unwrap();
        let later = |(name, value): &(String, Vec<u8>)| name == "retry-after" && value != b"0";
        assert!(answer.headers.iter().any(later), "{protocol}: {answer:?}");
        assert!(seen.forwarded.is_empty(), "{protocol}");
        assert_eq!(
            given::record(&stage, &seen, "refused")["decision"],
            "refuse"
        );
    }
    provider.up();
    let row = (
        chat(&TokenSpec::default()),
        ALLOWED,
        "the provider is there",
    );
    // A back-off, which is no longer than the refresh, and the call.
    lanes.come_to_say(SOON * 2, &[row]);
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn a_key_that_is_new_costs_one_early_fetch_and_invented_ones_no_more() {
    let provider = given::provider();
    provider.set(JWKS, Behaviour::Answer(keys(&["corp-rsa"])));
    let (stage, lanes) = set("early", &remote(Mode::None, "10s", "5m", "1s"), &provider);
    let (old, new) = (
        chat(&signed_by("corp-rsa", "RS256")),
        chat(&signed_by("corp-ec", "ES256")),
    );
    lanes.say(&[(old.clone(), ALLOWED, "the first key")]);
    let first = provider.calls(JWKS)[0].at;
    lanes.say(&[(
        new.clone(),
        UNKNOWN_KEY,
        "refused at once: it is too early to look again",
    )]);
    assert_eq!(provider.calls(JWKS).len(), 1, "and nobody looked");

    provider.set(JWKS, Behaviour::Answer(keys(&["corp-ec"])));
    std::thread::sleep((first + COOL_DOWN + TICK).saturating_duration_since(Instant::now()));
    lanes.say(&[(
        new.clone(),
        ALLOWED,
        "every worker's first call with the new key waits for one early fetch, and passes",
    )]);
    lanes.say(&[
        (new, ALLOWED, "the new key"),
        (
            old,
            UNKNOWN_KEY,
            "the old key is gone, and its cached token",
        ),
    ]);
    let calls = provider.calls(JWKS);
    assert_eq!(calls.len(), 2, "one early fetch of all VMs: {calls:?}");

    // A storm of invented keys over both workers, until the early fetch after the next one would be due.
    let invented: Vec<_> = (0..24)
        .map(|number| {
            let spec = TokenSpec {
                kid: json!(format!("invented-{number}")),
                ..signed_by("corp-ec", "ES256")
            };
            (chat(&spec), UNKNOWN_KEY, "an invented key")
        })
        .collect();
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < COOL_DOWN + TICK * 8 {
        lanes.say(&invented);
        sent += 2 * invented.len();
        std::thread::sleep(TICK / 2);
    }
    let took = begun.elapsed();
    let calls = provider.calls(JWKS);
    eprintln!(
        "measured: {sent} calls with invented keys in {took:?} on two workers made {} fetches",
        calls.len() - 2
    );
    assert!(sent >= 100, "a storm of {sent}");
    let most = took.as_secs() / COOL_DOWN.as_secs() + 1;
    let most = 2 + usize::try_from(most).unwrap();
    assert!(calls.len() <= most, "{} fetches", calls.len());
    assert!(closest(&calls) > COOL_DOWN - TICK, "{:?}", closest(&calls));
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn a_refresh_takes_what_is_new_and_drops_what_is_gone() {
    let provider = given::provider();
    provider.set(JWKS, Behaviour::Answer(keys(&["corp-rsa"])));
    let policy = remote(Mode::None, "10s", "1s", "900ms");
    let (stage, lanes) = set("refresh", &policy, &provider);
    let (old, new) = (
        chat(&signed_by("corp-rsa", "RS256")),
        chat(&signed_by("corp-ec", "ES256")),
    );
    lanes.say(&[(old.clone(), ALLOWED, "published, and cached from now on")]);
    let mut took = Vec::new();
    for (kids, of_old, of_new, why) in [
        (&["corp-rsa", "corp-ec"][..], ALLOWED, ALLOWED, "both"),
        (
            &["corp-ec"],
            UNKNOWN_KEY,
            ALLOWED,
            "the old one is withdrawn",
        ),
        (&["corp-rsa"], ALLOWED, UNKNOWN_KEY, "and comes back"),
    ] {
        provider.set(JWKS, Behaviour::Answer(keys(kids)));
        took.push(lanes.come_to_say(
            SOON,
            &[(old.clone(), of_old, why), (new.clone(), of_new, why)],
        ));
    }
    std::thread::sleep(Duration::from_secs(4));
    let calls = provider.calls(JWKS);
    let over = calls[calls.len() - 1].at - calls[0].at;
    eprintln!(
        "measured: a refresh of 1 s: taken by both workers after {took:?}; {} fetches in {over:?}, none closer than {:?}",
        calls.len(),
        closest(&calls)
    );
    // One for all workers and the main thread: three VMs of one mind would make three a second.
    assert!(closest(&calls) > Duration::from_millis(900), "{calls:?}");
    assert!(calls.len() >= 4, "{calls:?}");
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn dates_are_held_to_the_real_clock_and_its_leeway_on_every_worker() {
    let policy = given::changed(
        given::policy(Mode::None),
        &[("/issuers/0/leeway", json!("5s"))],
    );
    let provider = given::provider();
    let (stage, lanes) = set("clock", &policy, &provider);
    let with = |claims: Value| {
        let mut spec = signed_by("corp-ec", "ES256");
        spec.claims.extend(claims.as_object().unwrap().clone());
        chat(&spec)
    };
    let begun = now();
    let cached = with(json!({ "exp": "now+2" }));
    let early = with(json!({ "nbf": "now+12" }));
    lanes.say(&[
        (
            cached.clone(),
            ALLOWED,
            "good for 2 s, and cached from now on",
        ),
        (
            early.clone(),
            (401, "token_not_yet_valid"),
            "12 s early, with 5 s of leeway",
        ),
        (
            with(json!({ "exp": "now" })),
            ALLOWED,
            "over this second, within the leeway",
        ),
        (
            with(json!({ "exp": "now-6" })),
            (401, "token_expired"),
            "over, and the leeway too",
        ),
        (with(json!({ "nbf": "now+2" })), ALLOWED, "2 s early"),
        (
            with(json!({ "iat": "now+2" })),
            ALLOWED,
            "issued 2 s ahead of our clock",
        ),
        (
            with(json!({ "iat": "now+12" })),
            (401, "token_not_yet_valid"),
            "issued 12 s ahead of our clock",
        ),
    ]);
    while now() <= begun + 2 + 5 {
        std::thread::sleep(TICK);
    }
    lanes.say(&[
        (
            cached,
            (401, "token_expired"),
            "over since, though every worker has it cached as good",
        ),
        (early, ALLOWED, "its time has come"),
    ]);
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn the_gateways_statistics_count_tokens_and_fetches() {
    let provider = given::provider();
    let policy = remote(Mode::None, "2s", "1s", "500ms");
    let (stage, lanes) = set("statistics", &policy, &provider);
    let counted = |name: &str| {
        let name = format!("wasmcustom.postern.{name}");
        let value = stage.envoy.stat(&name).unwrap();
        value.unwrap_or_else(|| {
            panic!(
                "no {name}: {}",
                stage.envoy.admin("/stats?filter=wasm").unwrap()
            )
        })
    };
    let reaches = |name: &str, least: u64| {
        let until = Instant::now() + SOON;
        while counted(name) < least {
            assert!(Instant::now() < until, "{name}: {}", counted(name));
            std::thread::sleep(TICK);
        }
    };
    let other = chat(&signed_by("corp-ec", "ES256"));
    lanes.say(&[(other, ALLOWED, "the keys are there")]);
    // Two ticks: what came so far is counted. A token that waited for keys was looked up twice.
    std::thread::sleep(TICK * 3);
    let (misses, hits) = (counted("token_cache_misses"), counted("token_cache_hits"));
    let call = chat(&TokenSpec::default());
    for _ in 0..3 {
        lanes.say(&[(call.clone(), ALLOWED, "a good token")]);
    }
    // Each worker has a cache of its own: it verifies once, and remembers twice.
    reaches("token_cache_misses", misses + 2);
    reaches("token_cache_hits", hits + 4);
    reaches("fetches", 1);
    assert_eq!(counted("fetch_failures"), 0);
    // Also an answer that brings the same keys once more is a fetch.
    reaches("fetches", 3);
    let calls = provider.calls(JWKS).len();
    let fetches = usize::try_from(counted("fetches")).unwrap();
    assert!(
        calls <= fetches && fetches <= calls + 2,
        "{fetches} counted, {calls} came"
    );
    provider.down();
    reaches("fetch_failures", 1);
    // The key set was the same each time: nothing was verified anew.
    assert_eq!(
        (counted("token_cache_misses"), counted("token_cache_hits")),
        (misses + 2, hits + 4)
    );
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}
