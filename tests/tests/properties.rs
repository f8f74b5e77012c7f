//! What always holds of the built module, whatever comes in whatever order.
//!
//! Several streams live in one VM at the same time; each is fed pieces of a request, ticks, trailers, early answers and
//! departures in random order. Then: no trap, exactly one record each, nothing complete towards upstream without an
//! allow and a good body, no body byte of what is not permitted, and no hold that never ends (THREATS 9, 10, 35, 38, 40).
#![allow(missing_docs, reason = "a test has no reader of documentation")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "test code: a panic is a failed test"
)]

use postern_tests::host::{Finished, Settings, StreamId, Vm};
use postern_tests::issuer::{Tamper, TokenSpec, token};
use postern_tests::scenario::{Mode, Protocol, load_all};
use proptest::prelude::*;
use serde_json::Value;

mod built;

/// What a client has in mind.
#[derive(Clone, Debug)]
struct Plan {
    credential: Credential,
    body: Body,
    declared: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential {
    Good,
    Tampered,
    None,
    Bytes,
}

#[derive(Clone, Debug)]
enum Body {
    /// Permitted and well formed, with so much after the model.
    Permitted(usize),
    /// The model at the end.
    Late(usize),
    /// Permitted, then broken.
    BrokenLater(usize),
    /// Permitted, and at its end before its JSON is.
    Truncated(usize),
    /// A model that no rule allows.
    Refused(usize),
    /// Any bytes at all.
    Any(Vec<u8>),
    /// None: the head is all.
    Absent,
}

impl Body {
    fn bytes(&self) -> Option<Vec<u8>> {
        let fill = |count: &usize| "x".repeat(*count);
        Some(match self {
            Body::Permitted(count) => {
                format!(r#"{{"model":"gpt-4o","a":"{}"}}"#, fill(count)).into_bytes()
            }
            Body::Late(count) => {
                format!(r#"{{"a":"{}","model":"gpt-4o"}}"#, fill(count)).into_bytes()
            }
            Body::BrokenLater(count) => {
                format!(r#"{{"model":"gpt-4o","a":"{}"]"#, fill(count)).into_bytes()
            }
            Body::Truncated(count) => {
                format!(r#"{{"model":"gpt-4o","a":"{}""#, fill(count)).into_bytes()
            }
            Body::Refused(count) => {
                format!(r#"{{"a":"{}","model":"gpt-9"}}"#, fill(count)).into_bytes()
            }
            Body::Any(bytes) => bytes.clone(),
            Body::Absent => return None,
        })
    }

    /// Whether the whole of it may be forwarded.
    fn is_good(&self) -> bool {
        matches!(self, Body::Permitted(_) | Body::Late(_))
    }

    /// Whether any byte of it may.
    fn may_begin(&self) -> bool {
        self.is_good()
            || matches!(
                self,
                Body::BrokenLater(_) | Body::Truncated(_) | Body::Any(_)
            )
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Data(usize),
    Empty,
    Rest,
    Trailers,
    Wait(u64),
    Answer,
    AnswerMore,
    UpstreamLeaves,
    ClientLeaves,
}

fn bodies() -> impl Strategy<Value = Body> {
    let size = prop_oneof![0usize..40, 1000usize..40_000, 100_000usize..600_000];
    prop_oneof![
        4 => size.clone().prop_map(Body::Permitted),
        3 => size.clone().prop_map(Body::Late),
        2 => size.clone().prop_map(Body::BrokenLater),
        2 => size.clone().prop_map(Body::Truncated),
        2 => size.prop_map(Body::Refused),
        2 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Body::Any),
        1 => Just(Body::Absent),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop_oneof![1usize..4, 4usize..300, 300usize..100_000].prop_map(Step::Data),
        1 => Just(Step::Empty),
        4 => Just(Step::Rest),
        1 => Just(Step::Trailers),
        3 => prop_oneof![1u64..300, 300u64..12_000].prop_map(Step::Wait),
        2 => Just(Step::Answer),
        2 => Just(Step::AnswerMore),
        1 => Just(Step::UpstreamLeaves),
        1 => Just(Step::ClientLeaves),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let credential = prop_oneof![
        10 => Just(Credential::Good),
        1 => Just(Credential::Tampered),
        1 => Just(Credential::None),
        1 => Just(Credential::Bytes),
    ];
    (
        credential,
        bodies(),
        any::<bool>(),
        proptest::collection::vec(steps(), 1..14),
    )
        .prop_map(|(credential, body, declared, steps)| Plan {
            credential,
            body,
            declared,
            steps,
        })
}

/// A stream on its way.
struct Running {
    plan: Plan,
    id: StreamId,
    body: Vec<u8>,
    sent: usize,
    ended: bool,
    answering: bool,
}

impl Running {
    fn begin(vm: &mut Vm, plan: &Plan, mode: Mode, protocol: Protocol) -> Running {
        let body = plan.body.bytes();
        let mut head: Vec<(Vec<u8>, Vec<u8>)> = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            (":authority", "api.example.com"),
            (":scheme", "http"),
            ("content-type", "application/json"),
        ]
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .to_vec();
        let mut put = |name: &str, value: Vec<u8>| head.push((name.as_bytes().to_vec(), value));
        let spec = TokenSpec {
            key: "corp-ec".to_owned(),
            alg: "ES256".to_owned(),
            ..TokenSpec::default()
        };
        match plan.credential {
            Credential::Good => put(
                "authorization",
                format!("Bearer {}", token(&spec, built::NOW).unwrap()).into_bytes(),
            ),
            Credential::Tampered => {
                let spec = TokenSpec {
                    tamper: Tamper::Signature,
                    ..spec
                };
                put(
                    "authorization",
                    format!("Bearer {}", token(&spec, built::NOW).unwrap()).into_bytes(),
                );
            }
            Credential::None => {}
            Credential::Bytes => put("authorization", vec![b'B', 0xff, 0xfe]),
        }
        if let (Some(body), true) = (&body, plan.declared) {
            put("content-length", body.len().to_string().into_bytes());
        }
        let ends = body
            .as_ref()
            .is_none_or(|body| body.is_empty() && plan.declared);
        let id = vm.open(Settings::new(mode, protocol), head, ends);
        Running {
            plan: plan.clone(),
            id,
            body: body.unwrap_or_default(),
            sent: 0,
            ended: ends,
            answering: false,
        }
    }

    fn step(&mut self, vm: &mut Vm, step: Step, protocol: Protocol) {
        match step {
            Step::Data(size) => self.data(vm, size, protocol),
            Step::Rest => self.data(vm, self.body.len(), protocol),
            Step::Empty if !self.ended => vm.decode_data(self.id, b"", false),
            Step::Trailers if !self.ended && self.sent == self.body.len() => {
                self.ended = true;
                vm.decode_trailers(self.id, vec![(b"x-t".to_vec(), b"1".to_vec())]);
            }
            Step::Empty | Step::Trailers => {}
            Step::Wait(milliseconds) => vm.advance(milliseconds),
            Step::Answer if vm.request_begun(self.id) && !self.answering => {
                self.answering = true;
                vm.respond(self.id, vec![(b":status".to_vec(), b"200".to_vec())], false);
            }
            Step::AnswerMore if self.answering => vm.encode_data(self.id, b"piece", false),
            Step::Answer | Step::AnswerMore => {}
            Step::UpstreamLeaves if vm.request_begun(self.id) => vm.upstream_leaves(self.id),
            Step::UpstreamLeaves => {}
            Step::ClientLeaves => {
                self.ended = true;
                vm.leave(self.id);
            }
        }
    }

    fn data(&mut self, vm: &mut Vm, size: usize, protocol: Protocol) {
        if self.ended {
            return;
        }
        let to = self.body.len().min(self.sent + size);
        let piece = self.body[self.sent..to].to_vec();
        self.sent = to;
        let last = to == self.body.len();
        // HTTP/1.1 tells the end apart; HTTP/2 with the last bytes, or in an empty frame when there are none.
        let apart = protocol == Protocol::H1;
        if !piece.is_empty() {
            vm.decode_data(self.id, &piece, last && !apart);
        }
        if last && (apart || piece.is_empty()) {
            vm.decode_data(self.id, b"", true);
        }
        self.ended = last;
    }

    /// Brings the stream to its end and gives what was seen.
    fn end(mut self, vm: &mut Vm, protocol: Protocol) -> (Plan, Vec<u8>, Finished, bool) {
        // A hold that nobody feeds ends by itself.
        vm.advance(30_000);
        // Once an answer has begun it is upstream that decides when the stream ends.
        let waits = vm.is_open(self.id) && !self.answering;
        self.data(vm, self.body.len(), protocol);
        if vm.request_complete(self.id) {
            if !self.answering {
                vm.respond(self.id, vec![(b":status".to_vec(), b"200".to_vec())], false);
            }
            vm.encode_data(self.id, b"", true);
        }
        if vm.is_open(self.id) {
            vm.leave(self.id);
        }
        let finished = vm.take(self.id).unwrap();
        (self.plan, self.body, finished, waits)
    }
}

fn record_of(finished: &Finished, id: StreamId) -> Value {
    let state = finished
        .filter_state
        .get("wasm.postern.record")
        .unwrap_or_else(|| panic!("stream {id}: no record"));
    serde_json::from_slice(state).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes(
        plans in proptest::collection::vec(plans(), 1..4),
        mode in prop_oneof![Just(Mode::Flag), Just(Mode::Buffer), Just(Mode::None)],
        protocol in prop_oneof![Just(Protocol::H1), Just(Protocol::H2)],
    ) {
        let policy = {
            let cases = load_all().unwrap();
            cases.iter().find(|case| case.policy_name() == "basic").unwrap().policy_json(mode)
        };
        let mut vm = Vm::start(&built::module().unwrap(), &policy, built::NOW).unwrap();
        let mut running: Vec<Running> = plans.iter().map(|plan| Running::begin(&mut vm, plan, mode, protocol)).collect();
        let most = plans.iter().map(|plan| plan.steps.len()).max().unwrap_or(0);
        for round in 0..most {
            for stream in &mut running {
                if let Some(step) = stream.plan.steps.get(round).copied() {
                    stream.step(&mut vm, step, protocol);
                }
            }
        }
        let mut ids = Vec::new();
        let ended: Vec<_> = running
            .into_iter()
            .map(|stream| {
                ids.push(stream.id);
                stream.end(&mut vm, protocol)
            })
            .collect();
        prop_assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
        prop_assert_eq!(vm.open_streams(), 0);
        let lines: Vec<Value> = vm
            .log()
            .iter()
            .filter_map(|line| line.text.strip_prefix("postern audit "))
            .map(|json| serde_json::from_str(json).unwrap())
            .collect();
        prop_assert_eq!(lines.len(), plans.len(), "one line for each stream");
        for ((plan, body, finished, waits), id) in ended.into_iter().zip(ids) {
            let record = record_of(&finished, id);
            prop_assert_eq!(lines.iter().filter(|line| **line == record).count(), 1, "the same record in both places");
            let allowed = record["decision"] == "allow";
            prop_assert!(!waits || allowed || record["refusal"].is_string(), "a hold that never ends: {record}");
            if let Some(sent) = &finished.forwarded {
                prop_assert!(plan.credential == Credential::Good, "a head without an identity");
                prop_assert!(body.starts_with(&sent.body));
                prop_assert!(sent.body.is_empty() || plan.body.may_begin());
                if sent.complete {
                    prop_assert!(plan.body.is_good() && sent.body == body && allowed, "{record}");
                    prop_assert_eq!(&record["request"]["complete"], &Value::Bool(true));
                }
            }
            if let Some(answer) = &finished.answer {
                let ids: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "x-postern-audit-id").collect();
                prop_assert_eq!(ids.len(), 1);
                prop_assert_eq!(record["id"].as_str().map(str::as_bytes), Some(ids[0].1.as_slice()));
            }
        }
    }
}
