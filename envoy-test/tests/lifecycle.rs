//! What a scenario cannot say: holds that nobody ends, requests that die before the module sees them, connections that
//! are cut, bodies far larger than any buffer, upgrades, several workers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock"
)]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use postern_envoy_test::bootstrap::{Deployment, Filter};
use postern_envoy_test::client::{self, Call};
use postern_envoy_test::envoy;
use postern_envoy_test::given;
use postern_envoy_test::stage::{Seen, Stage, fresh_case, runtime};
use postern_tests::scenario::{Framing, Leave, Mode, Protocol, Upstream, UpstreamLeave};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const CHAT: &[u8] = br#"{"model":"gpt-4o","messages":[{"role":"user","content":"SECRET-prompt"}]}"#;

fn deployment(mode: Mode, policy: &Value) -> Deployment {
    let filter = Filter::Inline {
        module: envoy::module(),
        policy: policy.to_string(),
    };
    Deployment::new(mode, filter)
}

fn set(name: &str, deployment: &Deployment) -> Stage {
    Stage::set(name, deployment).unwrap_or_else(|fault| panic!("{fault}"))
}

/// One gateway a mode for all tests here that need nothing special; bodies up to 32 MiB, holds end after 1 s.
fn shared(mode: Mode) -> &'static Stage {
    static STAGES: [OnceLock<Stage>; 3] = [const { OnceLock::new() }; 3];
    let (place, name) = match mode {
        Mode::Flag => (&STAGES[0], "lifecycle-flag"),
        Mode::Buffer => (&STAGES[1], "lifecycle-buffer"),
        Mode::None => (&STAGES[2], "lifecycle-none"),
    };
    place.get_or_init(|| {
        let policy = given::changed(
            given::policy(mode),
            &[
                ("/host/holdTimeout", json!("1s")),
                ("/routes/0/body", json!({ "maxBytes": "32MiB" })),
            ],
        );
        set(name, &deployment(mode, &policy))
    })
}

/// The record of a call, once the gateway is found healthy after it.
fn record(stage: &Stage, seen: &Seen, what: &str) -> Value {
    let record = seen
        .record()
        .unwrap_or_else(|fault| panic!("{what}: {fault}"));
    let ailments = stage.envoy.ailments();
    assert!(ailments.is_empty(), "{what}: {ailments:?}");
    record
}

fn every_way() -> impl Iterator<Item = (Mode, Protocol)> {
    Mode::ALL.into_iter().flat_map(|mode| {
        Protocol::ALL
            .into_iter()
            .map(move |protocol| (mode, protocol))
    })
}

fn refusal(seen: &Seen) -> (u16, String) {
    let Some(answer) = &seen.answer else {
        return (0, "no answer".into());
    };
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (
        answer.status,
        body["error"]["code"]
            .as_str()
            .unwrap_or("no code")
            .to_owned(),
    )
}

// --- Holds ---

#[test]
fn a_wrong_head_hold_mode_ends_in_a_refusal_and_not_in_a_hang() {
    // The policy says that the gateway lets the module hold the head; the filter lacks the flag for it.
    let policy = given::changed(
        given::policy(Mode::Flag),
        &[("/host/holdTimeout", json!("1s"))],
    );
    let stage = set("wrong-hold", &deployment(Mode::None, &policy));
    for protocol in Protocol::ALL {
        let begun = Instant::now();
        let seen = stage
            .call(
                protocol,
                &Call::chat(&given::token(), CHAT),
                &Upstream::default(),
            )
            .unwrap();
        let took = begun.elapsed();
        assert_eq!(refusal(&seen), (408, "hold_expired".into()), "{protocol}");
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(10)).contains(&took),
            "{protocol}: {took:?}"
        );
        assert!(
            seen.forwarded.is_empty(),
            "{protocol}: {:?}",
            seen.forwarded
        );
        let record = record(&stage, &seen, "wrong hold");
        assert_eq!(
            (&record["decision"], &record["refusal"]),
            (&json!("refuse"), &json!("hold_expired"))
        );
        assert_eq!(
            record["fault"], "gateway",
            "the caller did nothing wrong: {record}"
        );
        // What needs no hold works all the same.
        let mut list = Call::chat(&given::token(), b"");
        (list.method, list.path, list.body) = ("GET".into(), "/v1/models".into(), None);
        let seen = stage.call(protocol, &list, &Upstream::default()).unwrap();
        assert_eq!(
            seen.answer.as_ref().map(|answer| answer.status),
            Some(200),
            "{protocol}: {seen:?}"
        );
    }
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn a_client_that_stops_sending_is_refused_when_the_hold_ends() {
    for (mode, protocol) in every_way() {
        let what = format!("{mode} {protocol}");
        let stage = shared(mode);
        let mut call = Call::chat(&given::token(), CHAT);
        (call.leave, call.stalls) = (Some(Leave::AfterBytes(5)), true);
        let begun = Instant::now();
        let seen = stage
            .call(protocol, &call, &Upstream::default())
            .unwrap_or_else(|fault| panic!("{what}: {fault}"));
        let took = begun.elapsed();
        assert_eq!(refusal(&seen), (408, "hold_expired".into()), "{what}");
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(10)).contains(&took),
            "{what}: {took:?}"
        );
        assert!(
            seen.forwarded
                .iter()
                .all(|sent| sent.body.is_empty() && !sent.complete),
            "{what}: {:?}",
            seen.forwarded
        );
        let record = record(stage, &seen, &what);
        assert_eq!(
            (&record["refusal"], &record["request"]["digest"]),
            (&json!("hold_expired"), &Value::Null),
            "{what}"
        );
    }
}

// --- Before us ---

#[test]
fn a_request_that_dies_before_the_module_is_still_recorded() {
    let large = format!(
        "GET /v1/models HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    for (wire, status, why) in [
        (large.as_bytes(), "431", "a head over the gateway's limit"),
        (b"GET /v1/models HTTP/1.1\r\n\r\n", "400", "no host"),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n", "400", "not a header field"),
        (b"POST /v1/models HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "400", "two framings"),
        (b"GET /v1/models HTTP/1.0\r\nhost: a\r\n\r\n", "426", "HTTP/1.0 is not served"),
    ] {
        for mode in Mode::ALL {
            let what = format!("{why} [{mode}]");
            let stage = shared(mode);
            let (case, from) = (fresh_case(), stage.envoy.log_lines());
            let bytes = runtime().block_on(client::raw(case, stage.envoy.listener("to_h1"), wire)).unwrap();
            let head = String::from_utf8_lossy(&bytes).into_owned();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {head}");
            let seen = stage.gather(case, from, None).unwrap_or_else(|fault| panic!("{what}: {fault}"));
            let record = record(stage, &seen, &what);
            assert_eq!(record["decision"], "none", "{what}: {record}");
            assert_eq!(record["response"]["status"].to_string(), status, "{what}: {record}");
            assert!(seen.forwarded.is_empty(), "{what}: {:?}", seen.forwarded);
        }
    }
}

// --- Cuts ---

#[test]
fn a_client_killed_in_the_middle_of_its_body_leaves_one_record() {
    for (mode, protocol) in every_way() {
        // Before the model is known, and after: the hold, and the flow.
        for sent in [5, CHAT.len() - 5] {
            let what = format!("{mode} {protocol} after {sent}");
            let stage = shared(mode);
            let mut call = Call::chat(&given::token(), CHAT);
            call.leave = Some(Leave::AfterBytes(sent));
            let seen = stage
                .call(protocol, &call, &Upstream::default())
                .unwrap_or_else(|fault| panic!("{what}: {fault}"));
            assert!(
                seen.forwarded.iter().all(|forwarded| !forwarded.complete),
                "{what}: {:?}",
                seen.forwarded
            );
            let record = record(stage, &seen, &what);
            assert_eq!(record["request"]["complete"], false, "{what}: {record}");
            assert_eq!(record["request"]["digest"], Value::Null, "{what}: {record}");
            assert_ne!(record["decision"], "refuse", "{what}: {record}");
        }
    }
}

#[test]
fn an_upstream_killed_in_the_middle_of_its_answer_leaves_one_record() {
    for (mode, protocol) in every_way() {
        for leave in [
            UpstreamLeave::BeforeHead,
            UpstreamLeave::AfterHead,
            UpstreamLeave::AfterChunks(1),
        ] {
            let what = format!("{mode} {protocol} {leave:?}");
            let stage = shared(mode);
            let plan = Upstream {
                chunks: Some(vec!["one".into(), "two".into()]),
                leave: Some(leave),
                ..Upstream::default()
            };
            let seen = stage
                .call(protocol, &Call::chat(&given::token(), CHAT), &plan)
                .unwrap_or_else(|fault| panic!("{what}: {fault}"));
            let answer = seen
                .answer
                .as_ref()
                .unwrap_or_else(|| panic!("{what}: no answer"));
            assert_eq!(
                answer.complete,
                leave == UpstreamLeave::BeforeHead,
                "{what}: {answer:?}"
            );
            let record = record(stage, &seen, &what);
            assert_eq!(record["decision"], "allow", "{what}: {record}");
            assert_eq!(
                record["response"]["status"], answer.status,
                "{what}: {record}"
            );
        }
    }
}

#[test]
fn one_byte_a_packet_is_the_same_request() {
    for mode in Mode::ALL {
        for framing in [Framing::Length, Framing::Chunked] {
            let what = format!("{mode} {framing:?}");
            let stage = shared(mode);
            // Head and framing too are cut at every byte. The whole takes longer than the hold allows the body.
            let mut call = Call::chat(&given::token(), br#"{"model":"gpt-4o"}"#);
            (call.framing, call.packet) = (framing, Some(1));
            let seen = stage
                .call(Protocol::H1, &call, &Upstream::default())
                .unwrap_or_else(|fault| panic!("{what}: {fault}"));
            let [forwarded] = seen.forwarded.as_slice() else {
                panic!("{what}: {:?}", seen.forwarded)
            };
            assert!(
                forwarded.complete && forwarded.body == call.body_bytes(),
                "{what}: {forwarded:?}"
            );
            let record = record(stage, &seen, &what);
            assert_eq!(
                record["request"]["digest"],
                digest(&forwarded.body),
                "{what}: {record}"
            );
        }
    }
}

// --- Size and number ---

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha-256={hex}")
}

#[test]
fn twenty_megabytes_pass_both_ways() {
    let mut body = br#"{"model":"gpt-4o","input":""#.to_vec();
    body.resize(20 << 20, b'x');
    body.extend(br#""}"#);
    let answer = "y".repeat(20 << 20);
    // In `buffer` mode Envoy's own filter holds the whole body: its limit, not ours, is what counts there.
    for mode in [Mode::Flag, Mode::None] {
        for protocol in Protocol::ALL {
            for framing in [Framing::Length, Framing::Chunked] {
                let what = format!("{mode} {protocol} {framing:?}");
                let stage = shared(mode);
                let mut call = Call::chat(&given::token(), &body);
                call.framing = framing;
                let plan = Upstream {
                    body: answer.clone(),
                    ..Upstream::default()
                };
                let seen = stage
                    .call(protocol, &call, &plan)
                    .unwrap_or_else(|fault| panic!("{what}: {fault}"));
                let [forwarded] = seen.forwarded.as_slice() else {
                    panic!("{what}: nothing upstream")
                };
                assert!(
                    forwarded.complete && forwarded.body == body,
                    "{what}: {} bytes",
                    forwarded.body.len()
                );
                let got = seen
                    .answer
                    .as_ref()
                    .unwrap_or_else(|| panic!("{what}: no answer"));
                assert!(
                    got.complete && got.body == answer.as_bytes(),
                    "{what}: {} bytes",
                    got.body.len()
                );
                let record = record(stage, &seen, &what);
                assert_eq!(record["request"]["digest"], digest(&body), "{what}");
                assert_eq!(record["request"]["bytes"], body.len(), "{what}");
                assert_eq!(record["response"]["bytes"], answer.len(), "{what}");
            }
        }
    }
}

#[test]
fn a_body_over_the_gateways_own_buffer_is_refused_whole_and_recorded() {
    // No model within the first mebibyte: nothing can be decided while the gateway's buffer fills.
    let mut body = br#"{"input":""#.to_vec();
    body.resize(3 << 20, b'x');
    body.extend(br#"","model":"gpt-4o"}"#);
    for protocol in Protocol::ALL {
        for mode in [Mode::Flag, Mode::None] {
            let what = format!("{mode} {protocol}");
            let stage = shared(mode);
            let seen = stage
                .call(
                    protocol,
                    &Call::chat(&given::token(), &body),
                    &Upstream::default(),
                )
                .unwrap_or_else(|fault| panic!("{what}: {fault}"));
            let answer = seen
                .answer
                .as_ref()
                .unwrap_or_else(|| panic!("{what}: no answer"));
            assert_eq!(answer.status, 413, "{what}: {answer:?}");
            assert!(
                seen.forwarded
                    .iter()
                    .all(|forwarded| forwarded.body.is_empty()),
                "{what}"
            );
            let record = record(stage, &seen, &what);
            assert_eq!(record["response"]["status"], 413, "{what}: {record}");
            assert_ne!(record["decision"], "allow", "{what}: {record}");
        }
    }
}

#[test]
fn two_workers_keep_one_record_a_request() {
    let stage = set(
        "two-workers",
        &Deployment {
            workers: 2,
            ..deployment(Mode::Flag, &given::policy(Mode::Flag))
        },
    );
    let (good, requests) = (given::token(), 120);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (stage, good) = (&stage, &good);
            scope.spawn(move || {
                for number in 0..requests / 8 {
                    let protocol = Protocol::ALL[number % 2];
                    let allowed = (thread + number) % 3 != 0;
                    let call = Call::chat(if allowed { good } else { "not.a.token" }, CHAT);
                    let seen = stage.call(protocol, &call, &Upstream::default()).unwrap();
                    let status = seen.answer.as_ref().map(|answer| answer.status);
                    assert_eq!(status, Some(if allowed { 200 } else { 401 }), "{seen:?}");
                    let record = seen.record().unwrap();
                    assert_eq!(record["decision"], if allowed { "allow" } else { "refuse" });
                }
            });
        }
    });
    assert_eq!(stage.reckoning(), Vec::<String>::new());
    assert_eq!(stage.envoy.access().len(), requests);
    let stats = stage
        .envoy
        .admin("/stats?filter=worker_._cx_total|worker_..downstream_cx_total")
        .unwrap();
    let busy = stats
        .lines()
        .filter(|line| line.starts_with("listener.127.0.0.1_") && !line.ends_with(": 0"))
        .filter_map(|line| Some(line.split_once(".worker_")?.1.split('.').next()?.to_owned()))
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(busy.len(), 2, "both workers take part: {stats}");
}

// --- Between the protocols ---

#[test]
fn what_holds_within_a_protocol_holds_between_them() {
    for (mode, client) in every_way() {
        let what = format!("{mode}, a client of {client}");
        let stage = shared(mode);
        let upstream = match client {
            Protocol::H1 => Protocol::H2,
            Protocol::H2 => Protocol::H1,
        };
        for framing in [Framing::Length, Framing::Chunked] {
            let mut call = Call::chat(&given::token(), CHAT);
            call.framing = framing;
            call.body = Some(CHAT.iter().map(|byte| vec![*byte]).collect());
            let seen = stage
                .call_between(client, upstream, &call, &Upstream::default())
                .unwrap_or_else(|fault| panic!("{what}: {fault}"));
            let [forwarded] = seen.forwarded.as_slice() else {
                panic!("{what}: {:?}", seen.forwarded)
            };
            assert!(
                forwarded.complete && forwarded.body == CHAT,
                "{what}: {forwarded:?}"
            );
            assert_eq!(
                record(stage, &seen, &what)["request"]["digest"],
                digest(CHAT),
                "{what}"
            );

            // Good up to its last byte: the decision stands, the body flows, and its end must not arrive.
            let bad = [&CHAT[..CHAT.len() - 1], b"]"].concat();
            call.body = Some(bad.iter().map(|byte| vec![*byte]).collect());
            let seen = stage
                .call_between(client, upstream, &call, &Upstream::default())
                .unwrap_or_else(|fault| panic!("{what}: {fault}"));
            assert_eq!(refusal(&seen), (400, "body_not_json".into()), "{what}");
            assert!(
                seen.forwarded.iter().all(|forwarded| !forwarded.complete),
                "{what}: {:?}",
                seen.forwarded
            );
            assert_eq!(record(stage, &seen, &what)["decision"], "refuse", "{what}");
        }
    }
}

// --- Upgrades ---

#[test]
fn an_upgrade_that_the_gateway_would_take_is_refused_by_the_module() {
    for mode in Mode::ALL {
        let stage = set(
            &format!("upgrades-{mode}"),
            &Deployment {
                upgrades: true,
                ..deployment(mode, &given::policy(mode))
            },
        );
        let mut call = Call::chat(&given::token(), b"");
        (call.method, call.path, call.body) = ("GET".into(), "/v1/models".into(), None);
        call.headers.extend(
            [("connection", "upgrade"), ("upgrade", "websocket")]
                .map(|(name, value)| (name.to_owned(), value.into())),
        );
        let seen = stage
            .call(Protocol::H1, &call, &Upstream::default())
            .unwrap();
        assert_eq!(refusal(&seen), (403, "upgrade_refused".into()), "{mode}");
        assert!(seen.forwarded.is_empty(), "{mode}: {:?}", seen.forwarded);
        let record = record(&stage, &seen, "an upgrade");
        assert_eq!(record["refusal"], "upgrade_refused", "{mode}: {record}");
    }
}
