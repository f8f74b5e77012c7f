//! What a scenario cannot say of many requests, or of large ones: bodies far larger than any buffer, several requests on
//! a connection and on several workers, a client and an upstream of different protocols, upgrades.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock"
)]

use std::net::Ipv4Addr;
use std::time::Duration;

use postern_envoy_test::bootstrap::Deployment;
use postern_envoy_test::client::{self, Call};
use postern_envoy_test::given::{self, CHAT, digest, every_way, record, refusal};
use postern_envoy_test::stage::{Stage, fresh_case, runtime};
use postern_tests::scenario::{Framing, Mode, Protocol, Upstream};
use serde_json::Value;

fn shared(mode: Mode) -> &'static Stage {
    given::shared("traffic", mode)
}

// --- Size and number ---

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
    let stage = given::set(
        "two-workers",
        &Deployment {
            workers: 2,
            ..given::deployment(Mode::Flag, &given::policy(Mode::Flag))
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
    let taken = ["to_h1", "to_h2"].map(|listener| stage.envoy.taken(listener).unwrap());
    let busy = |worker: usize| taken.iter().any(|taken| taken[worker] > 0);
    assert!(busy(0) && busy(1), "both workers take part: {taken:?}");
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

// --- Several requests on one connection ---

/// What the requests of one connection are: the model asked for, whether it is allowed.
const MIXED: [(&str, bool); 6] = [
    ("gpt-4o", true),
    ("secret-model", false),
    ("llama-3-8b", true),
    ("gpt-3.5-turbo", false),
    ("gpt-4o-mini", true),
    ("gpt-4o", true),
];

#[test]
fn streams_of_one_connection_are_judged_apart() {
    for mode in Mode::ALL {
        let stage = shared(mode);
        let case = fresh_case();
        let calls = MIXED.map(|(model, _)| {
            let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
            let mut call = Call::chat(&given::token(), b"");
            // Cut at every byte, so that the streams' frames lie between each other.
            call.body = Some(body.bytes().map(|byte| vec![byte]).collect());
            call
        });
        let answers = runtime()
            .block_on(client::streams(
                case,
                stage.envoy.listener("to_h2"),
                calls.to_vec(),
            ))
            .unwrap_or_else(|fault| panic!("{mode}: {fault}"));
        for ((model, allowed), answer) in MIXED.iter().zip(answers) {
            let status = answer.map(|answer| answer.status);
            assert_eq!(
                status,
                Some(if *allowed { 200 } else { 403 }),
                "{mode} {model}"
            );
        }
        each_has_its_record(stage, case, mode, &MIXED);
    }
}

/// What is pipelined: Envoy ends the connection with a refusal that comes before the request's end is read, so what
/// follows one is never served.
const PIPELINED: [(&str, bool); 5] = [
    ("gpt-4o", true),
    ("llama-3-8b", true),
    ("gpt-4o-mini", true),
    ("secret-model", false),
    ("gpt-4o", true),
];

#[test]
fn pipelined_requests_are_judged_apart() {
    for mode in Mode::ALL {
        let stage = shared(mode);
        let case = fresh_case();
        let token = given::token();
        let wire: String = PIPELINED
            .iter()
            .map(|(model, _)| {
                let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
                format!(
                    "POST /v1/chat/completions HTTP/1.1\r\nhost: api.example.com\r\n\
                     authorization: Bearer {token}\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len(),
                )
            })
            .collect();
        let bytes = runtime()
            .block_on(client::raw(
                case,
                stage.envoy.listener("to_h1"),
                wire.as_bytes(),
            ))
            .unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let answers = text.split("HTTP/1.1 ").skip(1);
        let statuses: Vec<&str> = answers
            .filter_map(|answer| answer.split(' ').next())
            .collect();
        assert_eq!(statuses, ["200", "200", "200", "403"], "{mode}: {text}");
        each_has_its_record(stage, case, mode, &PIPELINED[..4]);
    }
}

fn each_has_its_record(stage: &Stage, case: Ipv4Addr, mode: Mode, requests: &[(&str, bool)]) {
    let lines = stage
        .envoy
        .access_of(&case.to_string(), requests.len(), Duration::from_secs(10));
    let mut said: Vec<(String, String)> = lines
        .iter()
        .map(|line| {
            let record = line
                .record
                .as_ref()
                .unwrap_or_else(|| panic!("{mode}: no record: {line:?}"));
            let record: Value = serde_json::from_str(record).unwrap();
            (record["model"].to_string(), record["decision"].to_string())
        })
        .collect();
    let mut expected: Vec<(String, String)> = requests
        .iter()
        .map(|(model, allowed)| {
            (
                format!("{model:?}"),
                if *allowed { "\"allow\"" } else { "\"refuse\"" }.to_owned(),
            )
        })
        .collect();
    said.sort();
    expected.sort();
    assert_eq!(said, expected, "{mode}");
    let forwarded = stage
        .recorder
        .arrived(case, Duration::from_secs(5))
        .unwrap();
    let complete = forwarded
        .iter()
        .filter(|forwarded| forwarded.complete)
        .count();
    assert_eq!(
        complete,
        requests.iter().filter(|(_, allowed)| *allowed).count(),
        "{mode}: {forwarded:?}"
    );
    assert_eq!(stage.envoy.ailments(), Vec::<String>::new(), "{mode}");
}

// --- Upgrades ---

#[test]
fn an_upgrade_that_the_gateway_would_take_is_refused_by_the_module() {
    for mode in Mode::ALL {
        let stage = given::set(
            &format!("upgrades-{mode}"),
            &Deployment {
                upgrades: true,
                ..given::deployment(mode, &given::policy(mode))
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
