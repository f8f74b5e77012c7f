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

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use postern_core::audit::{Ids, Outcome, Record, digest_text};
use postern_core::json::Json;
use postern_core::model::ModelPattern;
use postern_core::operation::{Api, Operation};
use postern_core::peer::Connection;
use postern_core::policy::{
    Access, Audit, Caller, Condition, HeadHold, Paths, Policy, Quantifier, Route, Rule, RuleEffect,
    Sink,
};
use postern_core::refusal::{Answer, Code};
use postern_core::scope::ScopeTemplate;
use postern_core::stream::{Effect, Ended, Event, Flow, Ground, Step, Stream};
use postern_core::token::{ClaimPaths, Crypto, Issuer, IssuerSpec, Issuers, KeySet};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};

const NOW: u64 = 1_795_320_263_000;
const HOLD_TIMEOUT: u64 = 10_000;
const MAX_BODY: u64 = 4096;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let exp = NOW / 1000 + 300;
    let claims = format!(
        r#"{{"iss":"https://idp","aud":"inference","sub":"alice","exp":{exp},"iat":{},"scope":"model:*:chat model:*:models"}}"#,
        NOW / 1000
    );
    let signed = format!("{}.{}", part(r#"{"alg":"EdDSA"}"#), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(key().sign(signed.as_bytes()).to_bytes());
    format!("Bearer {signed}.{signature}")
});

fn policy(head_hold: HeadHold) -> Policy {
    let jwks = format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{}"}}]}}"#,
        URL_SAFE_NO_PAD.encode(key().verifying_key().to_bytes())
    );
    let keys = KeySet::parse(&Json::parse(jwks.as_bytes(), 8).unwrap()).unwrap();
    let issuer = Issuer::new(IssuerSpec {
        name: "corp".into(),
        issuer: "https://idp".into(),
        audiences: vec!["inference".into()],
        algorithms: keys.algorithms(),
        keys,
        leeway: 30,
        max_lifetime: 3600,
        claims: ClaimPaths {
            subject: "sub".into(),
            tenant: None,
            scopes: vec!["scope".into()],
            roles: Vec::new(),
            groups: Vec::new(),
        },
    })
    .unwrap();
    let everybody = Arc::new(Caller {
        name: "everybody".into(),
        quantifier: Quantifier::Any,
        conditions: vec![Condition {
            issuer: Some("corp".into()),
            ..Condition::default()
        }],
    });
    let rule = |id: &str, effect, model: &str| {
        Arc::new(Rule {
            id: id.into(),
            effect,
            callers: vec![Arc::clone(&everybody)],
            models: vec![ModelPattern::parse(model).unwrap()],
            operations: vec![Operation::Chat, Operation::Models],
        })
    };
    let rules = vec![
        rule(
            "all",
            RuleEffect::Allow {
                scopes: vec![ScopeTemplate::default()],
            },
            "*",
        ),
        rule("never", RuleEffect::Deny, "secret*"),
    ];
    let guarded = Access::Guarded {
        api: Api::OpenAi,
        rules,
        max_body: MAX_BODY,
    };
    let route = |name: &str, paths, access| {
        Arc::new(Route {
            name: name.into(),
            hosts: Vec::new(),
            paths,
            access,
        })
    };
    Policy {
        digest: [0; 32],
        head_hold,
        hold_timeout: HOLD_TIMEOUT,
        issuers: Issuers::new(vec![issuer]).unwrap(),
        routes: vec![
            route("api", Paths::Prefix("/v1/".into()), guarded),
            route(
                "health",
                Paths::Exact(vec!["/healthz".into()]),
                Access::Open,
            ),
        ],
        audit: Audit {
            instance: None,
            sinks: vec![Sink::Log],
        },
    }
}

/// The books of a host.
#[derive(Default)]
struct Books {
    held: Vec<u8>,
    passed: Vec<u8>,
    /// The head went on to the upstream.
    head_passed: bool,
    /// The end of the request went on to the upstream.
    end_passed: bool,
    answer: Option<Answer>,
    answer_began: bool,
    /// The host answered before it reported any part of the request: the stream is over for it.
    answered_alone: bool,
    reported: bool,
    cut: bool,
    records: Vec<Record>,
}

impl Books {
    /// Reports one event to the stream, and checks what holds of every step.
    fn report(&mut self, stream: Stream, event: Event<'_>, now: u64, ground: Ground<'_>) -> Stream {
        let (body, ends, head, logs) = match &event {
            Event::RequestHead { end, .. } => (None, *end, true, false),
            Event::RequestBody { chunk, end } => (Some(chunk.to_vec()), *end, false, false),
            Event::RequestTrailers { .. } => (Some(Vec::new()), true, false, false),
            Event::Log(_) => (None, false, false, true),
            Event::ResponseHead | Event::ResponseBody { .. } | Event::Tick | Event::Lost => {
                (None, false, false, false)
            }
        };
        let began = matches!(event, Event::ResponseHead);
        let over = !self.records.is_empty();
        let (stream, Step { effects, flow }) = stream.on(event, now, ground);
        for effect in effects {
            assert!(!over, "an effect after the record");
            match effect {
                Effect::Answer(answer) => {
                    assert!(!self.answer_began, "a refusal after the answer began");
                    assert!(self.answer.is_none(), "two answers");
                    self.answer = Some(answer);
                }
                Effect::Cut => {
                    assert!(self.answer_began, "a stream that could be answered is cut");
                    self.cut = true;
                }
                Effect::Record(record) => self.records.push(*record),
                Effect::RemoveRequestHeader(_)
                | Effect::RemoveRequestTrailer(_)
                | Effect::SetRequestHeader(..)
                | Effect::SetResponseHeader(..)
                | Effect::Publish(..) => {}
            }
        }
        assert_eq!(
            self.records.len(),
            usize::from(over || logs),
            "exactly one record, at the end"
        );
        let closed = over || self.answer.is_some() || self.cut;
        self.held.extend(body.iter().flatten());
        match flow {
            Flow::Pass(_) if head => {
                self.head_passed = true;
                self.end_passed |= ends;
            }
            Flow::Pass(_) if body.is_some() => {
                assert!(!closed, "something passes after a refusal");
                self.passed.append(&mut self.held);
                self.end_passed |= ends;
            }
            Flow::Pass(_) => {}
            Flow::Hold if head || body.is_some() => {
                assert!(
                    closed || ends || self.answered_alone || stream.deadline().is_some(),
                    "held with nothing that could end it"
                );
            }
            Flow::Hold => {}
        }
        self.answered_alone |= began && !self.reported;
        self.reported |= head || body.is_some();
        self.answer_began |= began;
        stream
    }
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    WithLastByte,
    Empty,
    Trailers,
    /// The host knows the length and never says that it is the end.
    LengthOnly,
}

#[derive(Debug, Clone)]
struct Ask {
    mode: HeadHold,
    body: Vec<u8>,
    length: bool,
    end: End,
}

fn run(ask: &Ask, cuts: &[usize]) -> Books {
    let policy = policy(ask.mode);
    let ground = Ground {
        policy: &policy,
        crypto: Crypto::rust_crypto().unwrap(),
    };
    let length = ask.body.len().to_string();
    let mut pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":path", b"/v1/chat/completions"),
        (b":authority", b"api"),
        (b"content-type", b"application/json"),
        (b"authorization", TOKEN.as_bytes()),
    ];
    if ask.length || ask.end == End::LengthOnly {
        pairs.push((b"content-length", length.as_bytes()));
    }
    let mut books = Books::default();
    let mut stream = Stream::new(Ids::new([1; 8]).draw(), NOW);
    let head = Event::RequestHead {
        pairs: &pairs,
        connection: Connection::default(),
        end: false,
    };
    stream = books.report(stream, head, NOW, ground);
    let mut edges: Vec<usize> = cuts.iter().map(|cut| cut % (ask.body.len() + 1)).collect();
    edges.extend([0, ask.body.len()]);
    edges.sort_unstable();
    let chunks: Vec<&[u8]> = edges
        .windows(2)
        .map(|edge| &ask.body[edge[0]..edge[1]])
        .collect();
    for (index, chunk) in chunks.iter().enumerate() {
        let last = index + 1 == chunks.len();
        let end = last && ask.end == End::WithLastByte;
        stream = books.report(stream, Event::RequestBody { chunk, end }, NOW, ground);
    }
    match ask.end {
        End::Empty => {
            stream = books.report(
                stream,
                Event::RequestBody {
                    chunk: &[],
                    end: true,
                },
                NOW,
                ground,
            )
        }
        End::Trailers => {
            stream = books.report(stream, Event::RequestTrailers { pairs: &[] }, NOW, ground)
        }
        End::WithLastByte | End::LengthOnly => {}
    }
    let _ = books.report(stream, Event::Log(Ended::default()), NOW, ground);
    books
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let good = |fill: usize, first: bool, model: &str| {
        let messages = format!(
            r#""messages":[{{"role":"user","content":"{}"}}]"#,
            "é".repeat(fill)
        );
        let model = format!(r#""model":"{model}""#);
        if first {
            format!("{{{model},{messages}}}")
        } else {
            format!("{{{messages},{model}}}")
        }
        .into_bytes()
    };
    prop_oneof![
        4 => (0..40usize, any::<bool>()).prop_map(move |(fill, first)| good(fill, first, "gpt-4o")),
        1 => (0..40usize, any::<bool>()).prop_map(move |(fill, first)| good(fill, first, "secret-1")),
        2 => (0..40usize, any::<prop::sample::Index>())
            .prop_map(move |(fill, at)| { let mut body = good(fill, true, "gpt-4o"); let at = at.index(body.len()); body.truncate(at); body }),
        2 => (0..40usize, any::<prop::sample::Index>(), any::<u8>())
            .prop_map(move |(fill, at, byte)| { let mut body = good(fill, true, "gpt-4o"); let at = at.index(body.len()); body[at] = byte; body }),
        1 => Just(br#"{"model":"gpt-4o","x":1,"model":"gpt-4o"}"#.to_vec()),
        1 => (2040..2060usize).prop_map(move |fill| good(fill, true, "gpt-4o")),
        1 => Just(Vec::new()),
    ]
}

fn modes() -> impl Strategy<Value = HeadHold> {
    prop_oneof![
        Just(HeadHold::Flag),
        Just(HeadHold::Buffer),
        Just(HeadHold::None)
    ]
}

fn asks() -> impl Strategy<Value = Ask> {
    let ends = prop_oneof![
        Just(End::WithLastByte),
        Just(End::Empty),
        Just(End::Trailers),
        Just(End::LengthOnly)
    ];
    (modes(), bodies(), any::<bool>(), ends).prop_map(|(mode, body, length, end)| Ask {
        mode,
        body,
        length,
        end,
    })
}

/// What must not depend on the chunking.
fn outcome(books: &Books) -> String {
    let record = &books.records[0];
    format!(
        "{:?} {:?} {:?} {:?} {:?} end {} answer {:?}",
        record.decision,
        record.refusal,
        record.rule,
        record.model,
        record.request.digest,
        books.end_passed,
        books.answer.as_ref().map(|answer| (
            answer.status,
            String::from_utf8_lossy(&answer.body).into_owned()
        )),
    )
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_outcome(ask in asks(), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let whole = run(&ask, &[]);
        let bytes: Vec<usize> = (0..ask.body.len()).collect();
        for cuts in [&cuts, &bytes] {
            prop_assert_eq!(outcome(&run(&ask, cuts)), outcome(&whole));
        }
    }

    #[test]
    fn what_is_forwarded_whole_is_what_the_record_says(ask in asks(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
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
        prop_assert!(ask.mode != HeadHold::Flag || !books.head_passed, "the head passes with the body");
        let denied = record.model.as_deref().is_some_and(|model| model.starts_with("secret"));
        if record.model.is_none() || denied {
            prop_assert!(books.passed.is_empty(), "a byte of body passed without a permit");
        }
    }

    #[test]
    fn no_sequence_of_events_breaks_a_promise(
        mode in modes(),
        events in prop::collection::vec((0..10u8, any::<bool>(), prop::collection::vec(any::<u8>(), 0..24)), 0..24),
        path in prop_oneof![Just("/v1/chat/completions"), Just("/v1/models"), Just("/healthz"), Just("/x")],
        token in any::<bool>(),
    ) {
        let policy = policy(mode);
        let ground = Ground { policy: &policy, crypto: Crypto::rust_crypto().unwrap() };
        let mut pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", if path == "/v1/models" { b"GET" } else { b"POST" }),
            (b":path", path.as_bytes()),
            (b":authority", b"api"),
            (b"content-type", b"application/json"),
        ];
        if token {
            pairs.push((b"authorization", TOKEN.as_bytes()));
        }
        let mut books = Books::default();
        let mut stream = Stream::new(Ids::new([1; 8]).draw(), NOW);
        let mut now = NOW;
        for (kind, end, bytes) in &events {
            let event = match kind {
                0 | 1 => Event::RequestHead { pairs: &pairs, connection: Connection::default(), end: *end },
                2 => Event::RequestBody { chunk: br#"{"model":"gpt-4o""#, end: *end },
                3 => Event::RequestBody { chunk: b"}", end: *end },
                4 => Event::RequestBody { chunk: bytes, end: *end },
                5 => Event::RequestTrailers { pairs: &pairs },
                6 => Event::ResponseHead,
                7 => Event::ResponseBody { bytes: 3 },
                8 => { now += HOLD_TIMEOUT; Event::Tick }
                _ => Event::Lost,
            };
            stream = books.report(stream, event, now, ground);
            prop_assert!(stream.deadline().is_none_or(|deadline| deadline <= now + HOLD_TIMEOUT));
        }
        stream = books.report(stream, Event::Log(Ended::default()), now, ground);
        // And whatever comes after the end changes nothing.
        let _ = books.report(stream, Event::Log(Ended::default()), now, ground);
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
        let policy = policy(mode);
        let ground = Ground {
            policy: &policy,
            crypto: Crypto::rust_crypto().unwrap(),
        };
        let pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":path", b"/v1/chat/completions"),
            (b":authority", b"api"),
            (b"content-type", b"application/json"),
            (b"authorization", TOKEN.as_bytes()),
        ];
        let mut books = Books::default();
        let mut stream = Stream::new(Ids::new([1; 8]).draw(), NOW);
        let head = Event::RequestHead {
            pairs: &pairs,
            connection: Connection::default(),
            end: false,
        };
        stream = books.report(stream, head, NOW, ground);
        let deadline = stream.deadline().expect("it waits");
        stream = books.report(stream, Event::Tick, deadline - 1, ground);
        assert!(books.answer.is_none(), "not before its time");
        stream = books.report(stream, Event::Tick, deadline, ground);
        let answer = books.answer.as_ref().expect("an answer in time");
        assert_eq!(
            (answer.status, answer.details),
            (408, Code::HoldExpired.details())
        );
        assert_eq!(stream.deadline(), None);
    }
}

/// An upstream that answers on the head alone ends nothing: the body is still decided on, and what is refused is cut.
#[test]
fn an_answer_before_the_decision_neither_decides_nor_hangs() {
    let policy = policy(HeadHold::None);
    let ground = Ground {
        policy: &policy,
        crypto: Crypto::rust_crypto().unwrap(),
    };
    let pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":path", b"/v1/chat/completions"),
        (b":authority", b"api"),
        (b"content-type", b"application/json"),
        (b"authorization", TOKEN.as_bytes()),
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
            connection: Connection::default(),
            end: false,
        };
        stream = books.report(stream, head, NOW, ground);
        stream = books.report(stream, Event::ResponseHead, NOW, ground);
        if let Some(chunk) = &body {
            stream = books.report(stream, Event::RequestBody { chunk, end: true }, NOW, ground);
        }
        stream = books.report(stream, Event::Tick, NOW + HOLD_TIMEOUT, ground);
        let _ = books.report(stream, Event::Log(Ended::default()), NOW, ground);
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
