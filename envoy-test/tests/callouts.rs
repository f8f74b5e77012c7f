//! What a module sees of its own calls on the real gateway, by a guest that does nothing but call. Whoever fetches
//! keys builds on this: which failures the dispatch tells, which come as an answer, and which never come at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use postern_envoy_test::bootstrap::{Deployment, Filter, TO_CLUSTER};
use postern_envoy_test::client::Call;
use postern_envoy_test::envoy;
use postern_envoy_test::given;
use postern_envoy_test::provider::{Behaviour, Page, Provider};
use postern_envoy_test::stage::Stage;
use postern_tests::scenario::{Mode, Protocol, Upstream};

/// The gateway's timers count whole milliseconds.
const CLOCK_STEP: Duration = Duration::from_millis(2);
/// What the guest gives a call.
const TIMEOUT: Duration = Duration::from_millis(400);
/// Longer than any answer may take to come.
const PATIENCE: Duration = Duration::from_secs(3);
/// A body that the gateway wrote itself, of whatever length.
const LOCAL: &str = "local";
/// The root context.
const ROOT: &str = "1";

/// The guest, deployed; a configuration makes it call by itself too.
fn caller(name: &str, configuration: &str, workers: u32, provider: &Provider) -> Stage {
    let module: PathBuf = envoy::root()
        .join("target/envoy-test")
        .join(format!("{name}.wasm"));
    std::fs::create_dir_all(module.parent().unwrap()).unwrap();
    std::fs::write(&module, wat::parse_str(include_str!("caller.wat")).unwrap()).unwrap();
    let filter = Filter::Inline {
        module,
        policy: configuration.to_owned(),
    };
    let mut deployment = Deployment::new(Mode::None, filter);
    (deployment.workers, deployment.destinations) = (workers, Some(provider.destinations));
    given::set(name, &deployment)
}

/// The words after `verb` in each line of the guest.
fn said(lines: &[String], verb: &str) -> Vec<Vec<String>> {
    let after = |line: &String| Some(line.split_once(verb)?.1.to_owned());
    let words = |said: String| said.split_ascii_whitespace().map(str::to_owned).collect();
    lines.iter().filter_map(after).map(words).collect()
}

/// What the guest said of the one call that a request makes it do: the status of the call and its token, then what
/// came back; nothing when nothing came within `patience`.
fn called(
    stage: &Stage,
    cluster: &str,
    patience: Duration,
) -> (String, String, Option<Vec<String>>) {
    let mut call = Call::chat("t", b"");
    (call.method, call.body) = ("GET".into(), None);
    call.headers = vec![(TO_CLUSTER.into(), cluster.into())];
    let from = stage.envoy.log_lines();
    let seen = stage
        .call(Protocol::H1, &call, &Upstream::default())
        .unwrap();
    assert_eq!(seen.answer.map(|answer| answer.status), Some(200));
    let until = Instant::now() + patience;
    loop {
        let lines = stage.envoy.log_from(from);
        let answered = said(&lines, "answered ");
        if !answered.is_empty() || Instant::now() >= until {
            let called = said(&lines, "called ");
            assert_eq!(called.len(), 1, "{lines:?}");
            assert!(answered.len() <= 1, "{lines:?}");
            return (
                called[0][1].clone(),
                called[0][2].clone(),
                answered.into_iter().next(),
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn only_an_answer_of_200_with_its_body_is_a_success() {
    let provider = given::provider();
    let stage = caller("callouts", "", 1, &provider);
    let page = Page::json("{\"keys\":[]}");
    let whole = page.body.len().to_string();
    let drip = |pause| Behaviour::Drip {
        page: page.clone(),
        piece: 2,
        pause: Duration::from_millis(pause),
    };
    for (cluster, behaviour, status, body, in_time, why) in [
        (
            "idp",
            Behaviour::Answer(page.clone()),
            "200",
            Some(&*whole),
            true,
            "an answer",
        ),
        (
            "idp",
            Behaviour::Answer(Page::status(500)),
            "500",
            Some("0"),
            true,
            "the provider's own failure",
        ),
        (
            "idp",
            drip(10),
            "200",
            Some(&*whole),
            true,
            "the whole body comes in one piece",
        ),
        (
            "idp",
            drip(150),
            "t",
            None,
            false,
            "the time-out counts until the last byte",
        ),
        (
            "idp",
            Behaviour::Cut(4, page.clone()),
            "t",
            None,
            true,
            "a part of a body is no answer at all",
        ),
        (
            "idp",
            Behaviour::Garbage(b"\x16\x03\x01 no HTTP\r\n\r\n".to_vec()),
            "502",
            Some(LOCAL),
            true,
            "no HTTP",
        ),
        (
            "idp",
            Behaviour::Reset,
            "503",
            Some(LOCAL),
            true,
            "reset before the head",
        ),
        (
            "idp",
            Behaviour::Hang,
            "504",
            Some(LOCAL),
            false,
            "no answer",
        ),
        (
            "silent",
            Behaviour::Hang,
            "504",
            Some(LOCAL),
            false,
            "no answer, another cluster",
        ),
        (
            "nowhere",
            Behaviour::Hang,
            "503",
            Some(LOCAL),
            true,
            "nobody listens",
        ),
    ] {
        provider.set("/call", behaviour);
        let begun = Instant::now();
        let (dispatched, token, answered) = called(&stage, cluster, PATIENCE);
        let took = begun.elapsed();
        assert_eq!(dispatched, "0", "{why}: the call was taken");
        let answered = answered.unwrap_or_else(|| panic!("{why}: no answer came"));
        let [context, of, headers, size, trailers, inside, http, read] = answered.as_slice() else {
            panic!("{why}: {answered:?}")
        };
        assert_eq!(
            (&**context, of, &**trailers),
            (ROOT, &token, "0"),
            "{why}: the stream called, the root is answered"
        );
        assert_eq!(inside, "0", "{why}: never before the call has returned");
        assert_eq!(http, status, "{why}: {answered:?}");
        match body {
            Some(LOCAL) => assert!(size == read && size != "0", "{why}: {answered:?}"),
            Some(body) => assert_eq!((&**size, &**read), (body, body), "{why}"),
            None => assert_eq!((&**headers, &**size), ("0", "0"), "{why}: {answered:?}"),
        }
        assert!(in_time || took + CLOCK_STEP >= TIMEOUT, "{why}: {took:?}");
    }
    assert_eq!(stage.envoy.ailments(), Vec::<String>::new());
}

#[test]
fn a_call_that_is_not_taken_has_no_answer() {
    let stage = caller("callouts-refused", "", 1, &given::provider());
    for (cluster, status, why) in [
        (
            "empty",
            "10",
            "a cluster without endpoints: an internal failure",
        ),
        ("unknown", "2", "no such cluster: a bad argument"),
    ] {
        let (dispatched, token, answered) = called(&stage, cluster, TIMEOUT * 2);
        assert_eq!((&*dispatched, &*token), (status, "0"), "{why}");
        assert_eq!(answered, None, "{why}: whoever waits for it waits for ever");
    }
}

#[test]
fn every_vm_can_call_while_it_is_configured_and_at_its_ticks() {
    let provider = given::provider();
    provider.set("/call", Behaviour::Answer(Page::status(200)));
    let stage = caller("callouts-ticks", "call", 2, &provider);
    // The canary, the main thread and two workers are configured; all but the canary tick.
    let calls = provider.await_calls("/call", 3 + 3, PATIENCE);
    assert!(calls.len() >= 6, "{calls:?}");
    let until = Instant::now() + PATIENCE;
    let (mut called, mut answered) = (Vec::new(), Vec::new());
    while Instant::now() < until && answered.len() < 6 {
        let lines = stage.envoy.log_from(0);
        (called, answered) = (said(&lines, "called "), said(&lines, "answered "));
        std::thread::sleep(Duration::from_millis(20));
    }
    let first = called.iter().filter(|call| call[2] == called[0][2]);
    assert_eq!(
        first.count(),
        4,
        "a first call on each of four VMs, each with the same token: {called:?}"
    );
    assert!(
        called.iter().all(|call| call[..2] == [ROOT, "0"]),
        "{called:?}"
    );
    let first = answered.iter().filter(|answer| answer[1] == called[0][2]);
    assert_eq!(
        first.count(),
        3,
        "the canary is gone before its answer: {answered:?}"
    );
    assert_eq!(stage.envoy.ailments(), Vec::<String>::new());
}
