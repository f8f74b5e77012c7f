//! What always holds of a stream, whatever the host reports in whatever order (the promises of `stream`).
//!
//! A small host keeps the books: what is held, what passed, which answers and records came. The generator makes ordinary
//! requests in any chunking, and sequences of events that no host should send.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]

mod host;

use host::request::{End, Request, modes, outcome, requests};
use host::{BEARER, Books, Gateway, HOLD_TIMEOUT, NOW, inline, policy};
use postern_core::audit::{Ids, Outcome, digest_text};
use postern_core::peer::Connection;
use postern_core::policy::HeadHold;
use postern_core::refusal::Code;
use postern_core::store::{Cas, Told};
use postern_core::stream::{Ended, Event, Stream};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// Sends a request to a gateway whose keys stand in the policy.
fn run(request: &Request, cuts: &[usize]) -> Books {
    let host = &mut Gateway::new(policy(request.mode, inline()));
    request.send(
        &[("authorization", &BEARER)],
        cuts,
        host,
        |_, stream, _, _| stream,
    )
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_outcome(ask in requests(), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let whole = run(&ask, &[]);
        let bytes: Vec<usize> = (0..ask.body.len()).collect();
        for cuts in [&cuts, &bytes] {
            prop_assert_eq!(outcome(&run(&ask, cuts)), outcome(&whole));
        }
    }

    #[test]
    fn what_is_forwarded_whole_is_what_the_record_says(ask in requests(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        let books = run(&ask, &cuts);
        let record = &books.records[0];
        let whole = books.passed == ask.body && (books.end_passed || ask.end == End::LengthOnly) && !ask.body.is_empty();
        prop_assert_eq!(record.request.complete, whole);
        prop_assert_eq!(record.decision == Outcome::Allow, whole);
        if whole {
            let digest: [u8; 32] = Sha256::digest(&books.passed).into();
            prop_assert_eq!(record.request.digest.clone(), Some(digest_text(&digest)));
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&ask.body).is_ok());
        } else {
            prop_assert!(record.request.digest.is_none());
            prop_assert!(books.answer.is_some(), "what does not pass whole is answered");
            prop_assert!(books.passed.len() < ask.body.len() || ask.body.is_empty() || !books.end_passed);
        }
        prop_assert!(ask.mode != HeadHold::Flag || !books.head_ahead, "the head passes with the body");
        let denied = record.model.as_deref().is_some_and(|model| model.starts_with("secret"));
        if record.model.is_none() || denied {
            prop_assert!(books.passed.is_empty(), "a byte of body passed without a permit");
        }
    }

    #[test]
    fn no_sequence_of_events_breaks_a_promise(
        mode in modes(),
        events in prop::collection::vec((0..13u8, any::<bool>(), prop::collection::vec(any::<u8>(), 0..24)), 0..24),
        path in prop_oneof![Just("/v1/chat/completions"), Just("/v1/models"), Just("/healthz"), Just("/x")],
        token in any::<bool>(),
    ) {
        let host = &mut Gateway::new(policy(mode, inline()));
        let mut pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", if path == "/v1/models" { b"GET" } else { b"POST" }),
            (b":path", path.as_bytes()),
            (b":authority", b"api"),
            (b"content-type", b"application/json"),
        ];
        if token {
            pairs.push((b"authorization", BEARER.as_bytes()));
        }
        let mut books = Books::default();
        let mut stream = Stream::new(Ids::new([1; 8]).draw(), NOW);
        let mut now = NOW;
        for (kind, end, bytes) in &events {
            let event = match kind {
                0 | 1 => Event::RequestHead { pairs: &pairs, connection: &Connection::default(), end: *end },
                2 => Event::RequestBody { chunk: br#"{"model":"gpt-4o""#, end: *end },
                3 => Event::RequestBody { chunk: b"}", end: *end },
                4 => Event::RequestBody { chunk: bytes, end: *end },
                5 => Event::RequestTrailers { pairs: &pairs },
                6 => Event::ResponseHead,
                7 => Event::ResponseBody { bytes: 3 },
                8 => { now += HOLD_TIMEOUT; Event::Tick }
                9 => Event::Tick,
                10 => Event::Told(Told::Swapped),
                11 => Event::Told(Told::Value(Some((bytes.clone(), Cas::of(1).unwrap())))),
                _ => Event::Lost,
            };
            stream = books.report(stream, event, now, host);
            prop_assert!(stream.waits().is_none_or(|waits| waits.until() <= now + HOLD_TIMEOUT));
        }
        stream = books.report(stream, Event::Log(Ended::default()), now, host);
        // And whatever comes after the end changes nothing.
        let _ = books.report(stream, Event::Log(Ended::default()), now, host);
        let record = &books.records[0];
        if path != "/healthz" && (!token || record.rule.is_none()) {
            prop_assert!(books.passed.is_empty(), "a byte of body passed without a permit");
        }
        if record.request.complete {
            prop_assert_eq!(record.decision, Outcome::Allow);
        }
    }
}

#[test]
fn every_hold_ends_at_its_deadline() {
    for mode in [HeadHold::Flag, HeadHold::Buffer, HeadHold::None] {
        let host = &mut Gateway::new(policy(mode, inline()));
        let pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":path", b"/v1/chat/completions"),
            (b":authority", b"api"),
            (b"content-type", b"application/json"),
            (b"authorization", BEARER.as_bytes()),
        ];
        let mut books = Books::default();
        let mut stream = Stream::new(Ids::new([1; 8]).draw(), NOW);
        let head = Event::RequestHead {
            pairs: &pairs,
            connection: &Connection::default(),
            end: false,
        };
        stream = books.report(stream, head, NOW, host);
        let deadline = stream.waits().expect("it waits").until();
        stream = books.report(stream, Event::Tick, deadline - 1, host);
        assert!(books.answer.is_none(), "not before its time");
        stream = books.report(stream, Event::Tick, deadline, host);
        let answer = books.answer.as_ref().expect("an answer in time");
        assert_eq!(
            (answer.status, answer.details),
            (408, Code::HoldExpired.details())
        );
        assert_eq!(stream.waits(), None);
    }
}

/// An upstream that answers on the head alone ends nothing: the body is still decided on, and what is refused is cut.
#[test]
fn an_answer_before_the_decision_neither_decides_nor_hangs() {
    let host = &mut Gateway::new(policy(HeadHold::None, inline()));
    let pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":path", b"/v1/chat/completions"),
        (b":authority", b"api"),
        (b"content-type", b"application/json"),
        (b"authorization", BEARER.as_bytes()),
    ];
    let body = |model: &str| format!(r#"{{"model":"{model}"}}"#).into_bytes();
    let rows = [
        (Some(body("gpt-4o")), None, "a permitted body passes"),
        (
            Some(body("secret-1")),
            Some(Code::Denied),
            "a denied one does not",
        ),
        (
            Some(b"{".to_vec()),
            Some(Code::BodyNotJson),
            "nor one that is no JSON",
        ),
        (
            None,
            Some(Code::HoldExpired),
            "a body that never comes is not waited for",
        ),
    ];
    for (body, refused, why) in rows {
        let mut books = Books::default();
        let mut stream = Stream::new(Ids::new([1; 8]).draw(), NOW);
        let head = Event::RequestHead {
            pairs: &pairs,
            connection: &Connection::default(),
            end: false,
        };
        stream = books.report(stream, head, NOW, host);
        stream = books.report(stream, Event::ResponseHead, NOW, host);
        if let Some(chunk) = &body {
            stream = books.report(stream, Event::RequestBody { chunk, end: true }, NOW, host);
        }
        stream = books.report(stream, Event::Tick, NOW + HOLD_TIMEOUT, host);
        let _ = books.report(stream, Event::Log(Ended::default()), NOW, host);
        assert_eq!(books.records[0].refusal, refused, "{why}");
        assert_eq!(books.cut, refused.is_some(), "{why}");
        assert_eq!(
            books.passed,
            if refused.is_none() {
                body.unwrap()
            } else {
                Vec::new()
            },
            "{why}"
        );
    }
}
