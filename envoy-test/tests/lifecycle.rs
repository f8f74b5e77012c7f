//! What a scenario cannot say of one request: holds that nobody ends, requests that die before the module sees them,
//! connections that are cut, one byte a packet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock"
)]

use std::time::{Duration, Instant};

use postern_envoy_test::client::{self, Call};
use postern_envoy_test::given::{self, CHAT, digest, every_way, record, refusal};
use postern_envoy_test::stage::{Stage, fresh_case, runtime};
use postern_tests::scenario::{Framing, Leave, Mode, Protocol, Upstream, UpstreamLeave};
use serde_json::{Value, json};

fn shared(mode: Mode) -> &'static Stage {
    given::shared("lifecycle", mode)
}

// --- Holds ---

#[test]
fn a_wrong_head_hold_mode_ends_in_a_refusal_and_not_in_a_hang() {
    // The policy says that the gateway lets the module hold the head; the filter lacks the flag for it.
    let policy = given::changed(
        given::policy(Mode::Flag),
        &[("/host/holdTimeout", json!("1s"))],
    );
    let stage = given::set("wrong-hold", &given::deployment(Mode::None, &policy));
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
