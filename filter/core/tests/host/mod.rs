//! A small host for properties of the stream: its books of what is held and what passed, the map of the workers, and an issuer
//! that answers when it is told to.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "each test that shares this file uses a part of it; one that panics has failed, as it should"
)]

pub(crate) mod request;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use postern_core::api_key::ApiKeys;
use postern_core::audit::{Ids, Record};
use postern_core::fetch::{self, Call, Kind, Source, SourceSpec};
use postern_core::json::Json;
use postern_core::library::{Errand, Library, Shelf};
use postern_core::model::ModelPattern;
use postern_core::operation::{Api, Operation};
use postern_core::peer::Peers;
use postern_core::policy::{
    Access, Audit, Caller, Condition, CredentialKind, HeadHold, Needs, Paths, Places, Policy,
    Quantifier, Route, Rule, RuleEffect, Sink,
};
use postern_core::refusal::Answer;
use postern_core::scope::ScopeTemplate;
use postern_core::store::{Ask, Cas, Told};
use postern_core::stream::{Effect, Event, Flow, Ground, Step, Stream};
use postern_core::token::dpop::SharedSecret;
use postern_core::token::{
    ClaimPaths, Crypto, Issuer, IssuerSpec, Issuers, KeySet, Keys, Memory, Revoked,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

pub(crate) const NOW: u64 = 1_795_320_263_000;
pub(crate) const HOLD_TIMEOUT: u64 = 10_000;
pub(crate) const MAX_BODY: u64 = 4096;

/// Where the keys of the issuer are fetched to, and its list of revoked tokens.
pub(crate) const KEYS: Shelf = Shelf(0);
pub(crate) const LIST: Shelf = Shelf(1);

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The issuer's key of this number.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn jwk(key: &SigningKey) -> String {
    let x = encode(key.verifying_key().to_bytes());
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
}

/// A set of these keys, by their numbers.
pub(crate) fn jwks(numbers: &[u8]) -> String {
    let keys: Vec<String> = numbers
        .iter()
        .map(|number| jwk(&key(*number)).replacen('{', &format!(r#"{{"kid":"k{number}","#), 1))
        .collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = encode(key.sign(signed.as_bytes()).to_bytes());
    format!("{signed}.{signature}")
}

/// A token by the issuer's key of this number, with more claims.
pub(crate) fn token(number: u8, more: &str) -> String {
    scoped(number, "model:*:chat model:*:models", more)
}

/// A token with these scopes.
pub(crate) fn scoped(number: u8, scopes: &str, more: &str) -> String {
    let header = format!(r#"{{"alg":"EdDSA","kid":"k{number}"}}"#);
    let now = NOW / 1000;
    let claims = format!(
        r#"{{"iss":"https://idp","aud":"inference","sub":"alice","exp":{},"iat":{now},"scope":"{scopes}"{more}}}"#,
        now + 300
    );
    signed(&key(number), &header, &claims)
}

pub(crate) static BEARER: LazyLock<String> = LazyLock::new(|| format!("Bearer {}", token(7, "")));

/// The caller's own key, to which a token can be bound.
pub(crate) fn holder() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

/// The `cnf` that binds a token to a key (RFC 9449 section 6.1).
pub(crate) fn bound_to(key: &SigningKey) -> String {
    let thumbprint = encode(Sha256::digest(jwk(key)));
    format!(r#","cnf":{{"jkt":"{thumbprint}"}}"#)
}

/// A proof for a call of the chat operation with this token (RFC 9449 section 4.2), with `more` claims.
pub(crate) fn proof(key: &SigningKey, token: &str, id: &str, more: &str) -> String {
    let header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{}}}"#, jwk(key));
    let ath = encode(Sha256::digest(token));
    let claims = format!(
        r#"{{"jti":"{id}","htm":"POST","htu":"https://api/v1/chat/completions","iat":{},"ath":"{ath}"{more}}}"#,
        NOW / 1000
    );
    signed(key, &header, &claims)
}

/// The issuer: its keys stand in the policy.
pub(crate) fn inline() -> IssuerSpec {
    let set = Json::parse(jwks(&[7]).as_bytes(), 8).unwrap();
    of_keys(Keys::Inline(KeySet::parse(&set).unwrap()))
}

/// The issuer: its keys are fetched, and where `listed` a list of revoked tokens too.
pub(crate) fn fetched(listed: bool) -> IssuerSpec {
    IssuerSpec {
        revoked: if listed {
            Revoked::Fetched(LIST)
        } else {
            Revoked::Never
        },
        ..of_keys(Keys::Fetched(KEYS))
    }
}

fn of_keys(keys: Keys) -> IssuerSpec {
    IssuerSpec {
        max_lifetime: 3600,
        claims: ClaimPaths {
            scopes: vec!["scope".into()],
            ..ClaimPaths::default()
        },
        ..IssuerSpec::new("corp", "https://idp", vec!["inference".into()], keys)
    }
}

fn source(kind: Kind, path: &str) -> Source {
    Source::new(SourceSpec {
        cluster: "idp".into(),
        authority: "idp".into(),
        path: path.into(),
        refresh_ms: 60_000,
        timeout_ms: 2_000,
        max_stale_ms: 600_000,
        kind,
    })
    .unwrap()
}

pub(crate) fn policy(head_hold: HeadHold, issuer: IssuerSpec) -> Policy {
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
                step_up: None,
            },
            "*",
        ),
        rule("never", RuleEffect::Deny, "secret*"),
    ];
    let guarded = Access::Guarded {
        api: Api::OpenAi,
        needs: Needs {
            credential: Some(CredentialKind::Token),
            peer: false,
            peer_in_rules: false,
        },
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
    let issuers = Issuers::new(vec![Issuer::new(issuer).unwrap()]).unwrap();
    Policy {
        digest: [0; 32],
        head_hold,
        hold_timeout: HOLD_TIMEOUT,
        places: Places::of(&issuers),
        issuers,
        sources: vec![
            source(Kind::Keys, "/jwks.json"),
            source(Kind::Revocation, "/revoked.json"),
        ],
        api_keys: ApiKeys::default(),
        peers: Peers::default(),
        told: Vec::new(),
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

/// The map of the workers, with the gateway's rules.
#[derive(Default)]
pub(crate) struct Map {
    pub(crate) values: BTreeMap<String, (Vec<u8>, u32)>,
    marks: u32,
    /// What is answered in place of the truth, one after the other.
    pub(crate) lies: VecDeque<Told>,
}

impl Map {
    pub(crate) fn answer(&mut self, ask: Ask) -> Told {
        if let Some(lie) = self.lies.pop_front() {
            return lie;
        }
        match ask {
            Ask::Read { key } => Told::Value(
                self.values
                    .get(&key)
                    .map(|(value, mark)| (value.clone(), Cas::of(*mark).unwrap())),
            ),
            Ask::Swap { key, value, cas } => {
                if let Some((_, mark)) = self.values.get(&key)
                    && *mark != cas.mark()
                {
                    return Told::Conflict;
                }
                self.marks += 1;
                self.values.insert(key, (value, self.marks));
                Told::Swapped
            }
        }
    }
}

/// One worker of a gateway, without its streams.
pub(crate) struct Gateway {
    pub(crate) policy: Policy,
    pub(crate) memory: Memory,
    pub(crate) map: Map,
    calls: Vec<(Shelf, Call)>,
    crypto: Crypto,
}

impl Gateway {
    pub(crate) fn new(policy: Policy) -> Self {
        let memory = Memory {
            library: Library::new(&policy.sources),
            shared_secret: Some(SharedSecret::new([9; 32]).unwrap()),
            ..Memory::default()
        };
        Self {
            policy,
            memory,
            map: Map::default(),
            calls: Vec::new(),
            crypto: Crypto::rust_crypto().unwrap(),
        }
    }

    /// Tells a shelf what happened, and runs its errands.
    pub(crate) fn fill(&mut self, shelf: Shelf, event: fetch::Event, now: u64) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for errand in self.memory.library.on(shelf, event, now, 7) {
                match errand {
                    Errand::Ask(ask) => {
                        events.push_back(fetch::Event::Told(self.map.answer(ask)));
                    }
                    Errand::Call(call) => self.calls.push((shelf, call)),
                    Errand::Note(_) | Errand::Remark(_) => {}
                }
            }
        }
    }

    /// Every shelf looks what there is to do.
    pub(crate) fn tick(&mut self, now: u64) {
        for shelf in [KEYS, LIST] {
            self.fill(shelf, fetch::Event::Tick, now);
        }
    }

    /// Answers the calls to a shelf that are under way; gives how many there were.
    pub(crate) fn answer(&mut self, shelf: Shelf, status: u16, body: &str, now: u64) -> usize {
        let (answered, kept) = std::mem::take(&mut self.calls)
            .into_iter()
            .partition::<Vec<_>, _>(|(of, _)| *of == shelf);
        self.calls = kept;
        let count = answered.len();
        for (shelf, call) in answered {
            let answer = fetch::Answer {
                status,
                cache_control: None,
                age: None,
                body: body.as_bytes().to_vec(),
            };
            let number = call.number;
            self.fill(shelf, fetch::Event::Answered { number, answer }, now);
        }
        count
    }

    /// Everything that can be fetched is here.
    pub(crate) fn fetch_all(&mut self, now: u64) {
        self.tick(now);
        self.answer(KEYS, 200, &jwks(&[7]), now);
        self.answer(LIST, 200, "{}", now);
    }

    pub(crate) fn ground(&mut self) -> Ground<'_> {
        Ground {
            policy: &self.policy,
            memory: &mut self.memory,
            crypto: self.crypto,
        }
    }
}

/// The books of a host.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) held: Vec<u8>,
    pub(crate) passed: Vec<u8>,
    /// The end of the request was reported, and is held or passed.
    ended: bool,
    /// The head went on to the upstream.
    pub(crate) head_passed: bool,
    /// It did so in its own callback.
    pub(crate) head_ahead: bool,
    /// The end of the request went on to the upstream.
    pub(crate) end_passed: bool,
    pub(crate) answer: Option<Answer>,
    pub(crate) answer_began: bool,
    /// The host answered before it reported any part of the request: the stream is over for it.
    answered_alone: bool,
    reported: bool,
    pub(crate) cut: bool,
    pub(crate) records: Vec<Record>,
    /// The shelves that the stream wanted filled.
    pub(crate) refills: Vec<Shelf>,
    /// How often the map was asked.
    pub(crate) asked: usize,
}

/// What an event reports of the request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Body,
    /// Nothing: what passes after it is all that is held.
    Nothing,
    /// What is of the answer, or the end of all.
    Other,
}

impl Books {
    /// A stream that begins, whose head was reported.
    pub(crate) fn begin(
        &mut self,
        pairs: &[(&[u8], &[u8])],
        end: bool,
        host: &mut Gateway,
    ) -> Stream {
        let stream = Stream::new(Ids::new([1; 8]).draw(), NOW);
        let head = Event::RequestHead {
            pairs,
            connection: &postern_core::peer::Connection::default(),
            end,
        };
        self.report(stream, head, NOW, host)
    }

    /// Reports one event to the stream, carries out what comes of it, and checks what holds of every step.
    pub(crate) fn report(
        &mut self,
        stream: Stream,
        event: Event<'_>,
        now: u64,
        host: &mut Gateway,
    ) -> Stream {
        let logs = matches!(event, Event::Log(_));
        let began = matches!(event, Event::ResponseHead);
        let (part, body, ends) = match &event {
            Event::RequestHead { end, .. } => (Part::Head, Vec::new(), *end),
            Event::RequestBody { chunk, end } => (Part::Body, chunk.to_vec(), *end),
            Event::RequestTrailers { .. } => (Part::Body, Vec::new(), true),
            Event::Tick | Event::Told(_) => (Part::Nothing, Vec::new(), false),
            Event::ResponseHead | Event::ResponseBody { .. } | Event::Lost | Event::Log(_) => {
                (Part::Other, Vec::new(), false)
            }
        };
        let over = !self.records.is_empty();
        let (mut stream, mut step) = stream.on(event, now, &mut host.ground());
        // What the map says is told before anything else, and what then passes is what was reported.
        while let Some(ask) = self.carry_out(&mut step, over) {
            let told = host.map.answer(ask);
            self.asked += 1;
            (stream, step) = stream.on(Event::Told(told), now, &mut host.ground());
        }
        assert_eq!(
            self.records.len(),
            usize::from(over || logs),
            "exactly one record, at the end"
        );
        let closed = over || self.answer.is_some() || self.cut;
        self.held.extend(&body);
        if matches!(part, Part::Head | Part::Body) {
            self.ended |= ends;
        }
        match (step.flow, part) {
            (Flow::Pass(_), Part::Head) => {
                self.head_passed = true;
                self.head_ahead = true;
                self.end_passed |= ends;
            }
            (Flow::Pass(_), Part::Body) => {
                assert!(!closed, "something passes after a refusal");
                self.let_go();
            }
            (Flow::Pass(_), Part::Nothing) => {
                assert!(!closed, "something passes after a refusal");
                assert!(
                    self.held.is_empty() || self.ended,
                    "a part of a body passes outside of a callback of the body, and more is to come"
                );
                self.let_go();
            }
            (Flow::Hold, Part::Head | Part::Body) => assert!(
                closed || ends || self.answered_alone || stream.waits().is_some(),
                "held with nothing that could end it"
            ),
            (Flow::Hold, Part::Nothing) => assert!(
                closed
                    || !self.reported
                    || self.answered_alone
                    || self.end_passed
                    || !self.ended
                    || stream.waits().is_some(),
                "all is held with nothing that could end it"
            ),
            (Flow::Pass(_) | Flow::Hold, Part::Other) => {}
        }
        self.answered_alone |= began && !self.reported;
        self.reported |= matches!(part, Part::Head | Part::Body);
        self.answer_began |= began;
        stream
    }

    /// All that is held goes on.
    fn let_go(&mut self) {
        self.head_passed = true;
        self.passed.append(&mut self.held);
        self.end_passed |= self.ended;
    }

    /// Carries the effects of a step out; gives the question to the map, if there is one.
    fn carry_out(&mut self, step: &mut Step, over: bool) -> Option<Ask> {
        let mut asked = None;
        for effect in step.effects.drain(..) {
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
                Effect::Ask(ask) => assert!(asked.replace(ask).is_none(), "two questions"),
                Effect::Refill(shelf) => self.refills.push(shelf),
                Effect::RemoveRequestHeader(_)
                | Effect::RemoveRequestTrailer(_)
                | Effect::SetRequestHeader(..)
                | Effect::SetResponseHeader(..)
                | Effect::Publish(..) => {}
            }
        }
        asked
    }
}
