//! The instruments themselves, on a gateway without the module: what they report must be what happened, or no
//! scenario could fail for the right reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic here is a failed test and reaches no traffic"
)]

use std::sync::OnceLock;

use postern_envoy_test::bootstrap::{Deployment, Filter};
use postern_envoy_test::client::Call;
use postern_envoy_test::given;
use postern_envoy_test::stage::{Seen, Stage};
use postern_tests::scenario::{
    ClientTls, End, Framing, Leave, Mode, Protocol, Upstream, UpstreamLeave,
};

fn bare() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        Stage::set("instruments", &Deployment::new(Mode::None, Filter::Absent))
            .unwrap_or_else(|fault| panic!("{fault}"))
    })
}

/// Each protocol, plain and over TLS.
fn every_way() -> impl Iterator<Item = (Protocol, Option<ClientTls>)> {
    Protocol::ALL.into_iter().flat_map(|protocol| {
        [None, Some(given::peer("research"))].map(|connection| (protocol, connection))
    })
}

fn seen(way: (Protocol, Option<ClientTls>), mut call: Call, plan: &Upstream) -> Seen {
    let (protocol, connection) = way;
    call.connection = connection;
    bare()
        .call(protocol, &call, plan)
        .unwrap_or_else(|fault| panic!("{way:?} {call:?}: {fault}"))
}

#[test]
fn a_request_arrives_with_its_bytes_however_it_is_cut_and_framed() {
    let body = b"{\"model\":\"gpt-4o\",\"x\":\"\xff\"}";
    for way in every_way() {
        let (protocol, connection) = way;
        let protocol = format!("{protocol} {connection:?}");
        for (framing, end, trailers) in [
            (Framing::Length, End::WithLast, vec![]),
            (Framing::Length, End::Apart, vec![]),
            (Framing::Chunked, End::WithLast, vec![]),
            (Framing::Chunked, End::Apart, vec![]),
            (
                Framing::Chunked,
                End::Apart,
                vec![("x-t".to_owned(), b"1".to_vec())],
            ),
        ] {
            let mut call = Call::chat("t", body);
            call.body = Some(body.iter().map(|byte| vec![*byte]).collect());
            call.headers.push(("x-odd".into(), b"\xff".to_vec()));
            (call.framing, call.end, call.trailers) = (framing, end, trailers);
            let seen = seen(way, call.clone(), &Upstream::default());
            let [forwarded] = seen.forwarded.as_slice() else {
                panic!("{protocol}: {:?}", seen.forwarded)
            };
            assert!(forwarded.complete, "{protocol}: {forwarded:?}");
            assert_eq!(
                (&*forwarded.method, &*forwarded.path),
                ("POST", "/v1/chat/completions")
            );
            assert_eq!(forwarded.body, body, "{protocol}");
            assert_eq!(forwarded.trailers, call.trailers, "{protocol}");
            assert!(
                forwarded
                    .headers
                    .contains(&("x-odd".into(), b"\xff".to_vec())),
                "{protocol}: {forwarded:?}"
            );
            let answer = seen.answer.expect("an answer");
            assert_eq!(
                (answer.status, &answer.body[..], answer.complete),
                (200, &b"{\"ok\":true}"[..], true)
            );
            assert_eq!(seen.access.len(), 1);
        }
    }
}

#[test]
fn what_a_client_leaves_unfinished_arrives_unfinished() {
    for way in every_way() {
        let (protocol, connection) = way;
        let protocol = format!("{protocol} {connection:?}");
        for framing in [Framing::Length, Framing::Chunked] {
            for (leave, sent) in [(Leave::AfterHead, 0), (Leave::AfterBytes(5), 5)] {
                let mut call = Call::chat("t", b"0123456789");
                call.framing = framing;
                call.leave = Some(leave);
                let seen = seen(way, call.clone(), &Upstream::default());
                let [forwarded] = seen.forwarded.as_slice() else {
                    panic!("{protocol}: {:?}", seen.forwarded)
                };
                assert!(!forwarded.complete, "{protocol} {leave:?}: {forwarded:?}");
                assert_eq!(
                    forwarded.body.len(),
                    sent,
                    "{protocol} {leave:?}: {forwarded:?}"
                );
                assert!(
                    seen.answer.is_none(),
                    "{protocol} {leave:?}: {:?}",
                    seen.answer
                );
            }
        }
    }
}

#[test]
fn what_upstream_leaves_unfinished_is_seen_so_by_the_client() {
    for way in every_way() {
        let (protocol, connection) = way;
        let protocol = format!("{protocol} {connection:?}");
        for (leave, status, complete, body) in [
            (UpstreamLeave::BeforeHead, 503, true, None),
            (UpstreamLeave::AfterHead, 200, false, Some("")),
            (UpstreamLeave::AfterChunks(1), 200, false, Some("one")),
        ] {
            let plan = Upstream {
                chunks: Some(vec!["one".into(), "two".into()]),
                leave: Some(leave),
                ..Upstream::default()
            };
            let seen = seen(way, Call::chat("t", b"{}"), &plan);
            let answer = seen
                .answer
                .unwrap_or_else(|| panic!("{protocol} {leave:?}: no answer"));
            assert_eq!(
                (answer.status, answer.complete),
                (status, complete),
                "{protocol} {leave:?}: {answer:?}"
            );
            if let Some(body) = body {
                assert_eq!(answer.body, body.as_bytes(), "{protocol} {leave:?}");
            }
        }
    }
}

#[test]
fn answers_keep_their_pieces_and_trailers() {
    for way in every_way() {
        let (protocol, connection) = way;
        let protocol = format!("{protocol} {connection:?}");
        let plan = Upstream {
            chunks: Some(vec!["one".into(), "two".into()]),
            trailers: vec![("x-end".into(), "1".into())],
            ..Upstream::default()
        };
        let answer = seen(way, Call::chat("t", b"{}"), &plan)
            .answer
            .expect("an answer");
        assert_eq!(
            (&answer.body[..], answer.complete),
            (&b"onetwo"[..], true),
            "{protocol}"
        );
        assert_eq!(
            answer.trailers,
            [("x-end".to_owned(), b"1".to_vec())],
            "{protocol}"
        );
    }
}

#[test]
fn an_envoy_that_cannot_start_says_why() {
    let filter = Filter::Inline {
        module: "/nonexistent.wasm".into(),
        policy: "{}".into(),
    };
    let fault = Stage::set("instruments-broken", &Deployment::new(Mode::None, filter))
        .expect_err("no such module");
    assert!(fault.code.is_some_and(|code| code != 0), "{fault}");
    assert!(fault.log.contains("nonexistent.wasm"), "{fault}");
}
