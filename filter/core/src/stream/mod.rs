//! One HTTP stream as one state machine: an event in, the next phase and the effects out.
//!
//! ```text
//!   Start --head--> Reading --model, permit--> Sending --answer begins--> Metering
//!     |  \ no body, or open    |                  |                          |
//!     |   '------ permit ------|----------------> |                          |
//!     | bad                    | bad, denied,     | the rest is bad          | the rest is bad
//!     v                        v deadline         v                          v
//!   Closed <-------------------+------------------+-------------------- Closed (cut)
//!
//!   Reading --answer begins--> ReadingAnswered --model, permit--> Metering; bad, denied, deadline: Closed (cut)
//!   every phase --log--> Over, with exactly one record
//! ```
//!
//! Decided here: the order of the questions, what is held and when it passes. The answers are given by the modules that
//! each arrow calls. Time, keys and policy are arguments; there is no clock and no host here.
//!
//! Promises, each a property in `tests/stream.rs`:
//! - INVARIANT (permit): nothing passes toward the upstream but by a [`Pass`], and a pass of body bytes is made only
//!   from a [`Permit`].
//! - INVARIANT (last byte): the end of a body passes only when the whole was found good.
//! - INVARIANT (one record): [`Effect::Record`] comes exactly once, in the step that enters `Over`, and nothing after it.
//! - INVARIANT (no hang): a request that is held has a deadline, or its end is still to come.

mod event;
mod headers;
mod story;

pub use event::{Effect, Ended, Event, Flow, Pass, Step};

use crate::audit::AuditId;
use crate::body::{BodyScan, Limits};
use crate::decide::{self, Permit, Question};
use crate::facts::{Pair, RequestFacts};
use crate::identity::Identity;
use crate::model::{Model, ModelFault};
use crate::operation::{Call, ModelSource, Operation};
use crate::peer::Connection;
use crate::policy::{Access, HeadHold, Policy, Route, Rule};
use crate::refusal::{Code, Refusal};
use crate::token::Crypto;
use headers::{strip_headers, strip_trailers};
use std::sync::Arc;
use story::Story;

/// What the decisions stand on: the same for every event of a worker until the policy changes.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Proof that signatures can be checked.
    pub crypto: Crypto,
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    phase: Phase,
    story: Story,
}

#[derive(Debug)]
enum Phase {
    /// Nothing came yet.
    Start,
    /// The caller is proved, the model not known; nothing of the body has passed.
    Reading(Box<Reading>),
    /// The same, and the answer has begun: an upstream that saw the head did not wait for the body.
    ReadingAnswered(Box<Reading>),
    /// Permitted; the body passes as it comes.
    Sending(Box<Sending>),
    /// Permitted, and the answer has begun; the rest of the body may still pass.
    Metering(Box<Sending>),
    /// Nothing of the request passes any more.
    Closed,
    /// Recorded.
    Over,
}

#[derive(Debug)]
struct Reading {
    scan: BodyScan,
    length: Option<u64>,
    identity: Identity,
    operation: Operation,
    route: Arc<Route>,
    deadline: u64,
}

#[derive(Debug)]
struct Sending {
    permit: Permit,
    length: Option<u64>,
    rest: Rest,
}

/// What came of reading on.
#[derive(Debug)]
enum Read {
    /// The model is still to come.
    On(Box<Reading>),
    /// The model came and is permitted.
    Permitted(Box<Sending>),
}

/// What is still to come of a permitted body.
#[derive(Debug)]
enum Rest {
    /// Body, scanned as it passes.
    Body(BodyScan),
    /// Nothing: the whole was found good and has passed.
    Nothing,
}

impl Stream {
    /// A stream that the host just announced, at `now` milliseconds since 1970.
    pub fn new(id: AuditId, now: u64) -> Self {
        Self {
            phase: Phase::Start,
            story: Story::new(id, now),
        }
    }

    /// Until when the stream may wait for its decision, in milliseconds since 1970; none when it does not wait.
    pub fn deadline(&self) -> Option<u64> {
        match &self.phase {
            Phase::Reading(reading) | Phase::ReadingAnswered(reading) => Some(reading.deadline),
            Phase::Start | Phase::Sending(_) | Phase::Metering(_) | Phase::Closed | Phase::Over => {
                None
            }
        }
    }

    /// Whether the request's head never came: then the host alone knows the method (see [`Ended`]).
    pub fn is_headless(&self) -> bool {
        self.story.headless
    }

    /// Takes one event at `now` milliseconds since 1970.
    pub fn on(self, event: Event<'_>, now: u64, ground: Ground<'_>) -> (Self, Step) {
        let Self { phase, mut story } = self;
        let (phase, step) = match (phase, event) {
            (Phase::Over, _) => (Phase::Over, Step::hold()),
            (
                phase,
                Event::RequestHead {
                    pairs,
                    connection,
                    end,
                },
            ) => {
                let (phase, step) = story.head(phase, pairs, connection, end, now, ground);
                (phase, step.after(strip_headers(pairs)))
            }
            (phase, Event::RequestBody { chunk, end }) => story.body(phase, chunk, end, ground),
            (phase, Event::RequestTrailers { pairs }) => {
                let (phase, step) = story.body(phase, &[], true, ground);
                (phase, step.after(strip_trailers(pairs)))
            }
            (phase, Event::ResponseHead) => story.answer_begins(phase),
            (phase, Event::ResponseBody { bytes }) => {
                story.response_bytes = story.response_bytes.saturating_add(bytes);
                (phase, Step::pass(Pass::answer()))
            }
            (phase, Event::Lost) => story.lost(phase),
            (Phase::Reading(reading), Event::Tick) if now >= reading.deadline => {
                story.refuse(expired())
            }
            (Phase::ReadingAnswered(reading), Event::Tick) if now >= reading.deadline => {
                story.cut(&expired())
            }
            (phase, Event::Tick) => (phase, Step::hold()),
            (_, Event::Log(ended)) => {
                let record = Effect::Record(Box::new(story.record(ended, now, ground.policy)));
                (Phase::Over, Step::pass(Pass::answer()).after(vec![record]))
            }
        };
        (Self { phase, story }, step)
    }
}

impl Story {
    /// The head: everything that it alone can decide.
    fn head(
        &mut self,
        phase: Phase,
        pairs: &[Pair<'_>],
        connection: Connection,
        end: bool,
        now: u64,
        ground: Ground<'_>,
    ) -> (Phase, Step) {
        if !matches!(phase, Phase::Start) {
            return self.lost(phase);
        }
        self.note(pairs, connection);
        match self.admit(pairs, end, now, ground) {
            Ok(admitted) => admitted,
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn admit(
        &mut self,
        pairs: &[Pair<'_>],
        end: bool,
        now: u64,
        ground: Ground<'_>,
    ) -> Result<(Phase, Step), Refusal> {
        let facts = RequestFacts::read(pairs)?;
        let policy = ground.policy;
        let route = policy.route(facts.host(), facts.path()).ok_or_else(|| {
            Refusal::new(
                Code::RouteUnknown,
                "no route of this gateway takes this host and path",
            )
        })?;
        self.route = Some(route.name.clone());
        let (api, rules, max_body) = match &route.access {
            Access::Open => {
                let permit = decide::open(route).ok_or_else(misplaced)?;
                self.recognised(&facts);
                self.allow(&permit);
                let sending = Sending {
                    permit,
                    length: facts.length(),
                    rest: Rest::Body(BodyScan::anything()),
                };
                return self.send_head(sending, end, self.tell_id());
            }
            Access::Guarded {
                api,
                rules,
                max_body,
            } => (*api, rules, *max_body),
        };

        let rest = route.paths.rest(facts.path()).ok_or_else(misplaced)?;
        let call = Call::read(api, facts.method(), rest)?;
        let operation = call.operation();
        self.operation = Some(operation);
        self.recognised(&facts);
        let seconds = now.checked_div(1000).unwrap_or_default();
        let identity = Identity::prove(&facts, &policy.issuers, seconds, ground.crypto)?;
        self.proved(&identity);
        decide::foresee(rules, &identity, operation).map_err(|denial| self.deny(denial))?;

        let model = match call.model() {
            ModelSource::Body => {
                facts.require_json()?;
                if end || facts.length() == Some(0) {
                    return Err(Refusal::new(Code::BodyEmpty, "this operation needs a body"));
                }
                if facts.length().is_some_and(|length| length > max_body) {
                    return Err(Refusal::new(
                        Code::BodyTooLarge,
                        format!("the body is larger than {max_body} bytes"),
                    ));
                }
                let step = match policy.head_hold {
                    HeadHold::Flag => Step::hold(),
                    HeadHold::Buffer | HeadHold::None => Step::pass(Pass::head_ahead(&identity))
                        .after(self.tell_caller(&identity, operation)),
                };
                let reading = Reading {
                    scan: BodyScan::new(Limits::new(max_body)),
                    length: facts.length(),
                    identity,
                    operation,
                    route: Arc::clone(route),
                    deadline: now.saturating_add(policy.hold_timeout),
                };
                return Ok((Phase::Reading(Box::new(reading)), step));
            }
            ModelSource::Path(model) => Some(model),
            ModelSource::None => None,
        };
        // WHY in the head: an upstream acts on a request without a body as soon as it has its head.
        if !end && facts.length() != Some(0) {
            return Err(Refusal::new(
                Code::BodyUnexpected,
                "this operation takes no body",
            ));
        }
        let question = Question {
            identity: &identity,
            operation,
            model,
        };
        let permit = self.decide(rules, question)?;
        let mut headers = self.tell_caller(&identity, operation);
        headers.extend(self.tell_permit(&permit));
        let sending = Sending {
            permit,
            length: facts.length(),
            rest: Rest::Body(BodyScan::nothing()),
        };
        self.send_head(sending, end, headers)
    }

    /// Lets the head of a permitted request pass.
    fn send_head(
        &mut self,
        sending: Sending,
        end: bool,
        headers: Vec<Effect>,
    ) -> Result<(Phase, Step), Refusal> {
        let sending = if end {
            self.send(sending, &[], true)?
        } else {
            sending
        };
        let pass = Pass::permitted(&sending.permit);
        Ok((
            Phase::Sending(Box::new(sending)),
            Step::pass(pass).after(headers),
        ))
    }

    /// A part of the body, or its end by trailers.
    fn body(&mut self, phase: Phase, chunk: &[u8], end: bool, ground: Ground<'_>) -> (Phase, Step) {
        match phase {
            Phase::Reading(reading) => match self.read(*reading, chunk, end, ground) {
                Ok((Read::On(reading), step)) => (Phase::Reading(reading), step),
                Ok((Read::Permitted(sending), step)) => (Phase::Sending(sending), step),
                Err(refusal) => self.refuse(refusal),
            },
            Phase::ReadingAnswered(reading) => match self.read(*reading, chunk, end, ground) {
                Ok((Read::On(reading), step)) => (Phase::ReadingAnswered(reading), step),
                Ok((Read::Permitted(sending), step)) => (Phase::Metering(sending), step),
                Err(refusal) => self.cut(&refusal),
            },
            Phase::Sending(sending) => match self.send(*sending, chunk, end) {
                Ok(sending) => {
                    let step = Step::pass(Pass::permitted(&sending.permit));
                    (Phase::Sending(Box::new(sending)), step)
                }
                Err(refusal) => self.refuse(refusal),
            },
            Phase::Metering(sending) => match self.send(*sending, chunk, end) {
                Ok(sending) => {
                    let step = Step::pass(Pass::permitted(&sending.permit));
                    (Phase::Metering(Box::new(sending)), step)
                }
                Err(refusal) => self.cut(&refusal),
            },
            Phase::Start | Phase::Closed | Phase::Over => self.lost(phase),
        }
    }

    /// What cannot be: refused as far as it still can be.
    fn lost(&mut self, phase: Phase) -> (Phase, Step) {
        match phase {
            Phase::Start | Phase::Reading(_) | Phase::Sending(_) => self.refuse(misplaced()),
            Phase::ReadingAnswered(_) | Phase::Metering(_) => self.cut(&misplaced()),
            Phase::Closed => (Phase::Closed, Step::hold()),
            Phase::Over => (Phase::Over, Step::hold()),
        }
    }

    /// Reads on until the model is known, then decides.
    fn read(
        &mut self,
        reading: Reading,
        chunk: &[u8],
        end: bool,
        ground: Ground<'_>,
    ) -> Result<(Read, Step), Refusal> {
        let Reading {
            scan,
            length,
            identity,
            operation,
            route,
            deadline,
        } = reading;
        let scan = match scan.feed(chunk) {
            Ok(scan) => scan,
            Err(faulted) => {
                let refusal = self.fault(&faulted);
                // The model may stand before the fault in this very chunk: then it is decided on first, as it would have
                // been with a chunk of its own.
                if let Some(model) = faulted.model() {
                    let _permit = self.decide_in_body(model, &identity, operation, &route)?;
                }
                return Err(refusal);
            }
        };
        self.request.bytes = scan.bytes();
        let Some(model) = scan.model() else {
            if is_whole(scan.bytes(), length, end) {
                let scanned = scan.finish().map_err(|faulted| self.fault(&faulted))?;
                self.request.bytes = scanned.digested().bytes();
                return Err(Refusal::new(
                    Code::ModelMissing,
                    "name the model in the body: \"model\"",
                )
                .param("model"));
            }
            let reading = Reading {
                scan,
                length,
                identity,
                operation,
                route,
                deadline,
            };
            return Ok((Read::On(Box::new(reading)), Step::hold()));
        };
        let permit = self.decide_in_body(model, &identity, operation, &route)?;
        let sending = self.send(
            Sending {
                permit,
                length,
                rest: Rest::Body(scan),
            },
            &[],
            end,
        )?;
        let effects = self.tell_late(
            &sending.permit,
            &identity,
            operation,
            ground.policy.head_hold,
        );
        let step = Step::pass(Pass::permitted(&sending.permit)).after(effects);
        Ok((Read::Permitted(Box::new(sending)), step))
    }

    /// Takes a part of a permitted body; when it is the last one, the whole must be good.
    fn send(&mut self, sending: Sending, chunk: &[u8], end: bool) -> Result<Sending, Refusal> {
        let Sending {
            permit,
            length,
            rest,
        } = sending;
        let rest = match rest {
            Rest::Body(scan) => {
                let scan = scan.feed(chunk).map_err(|faulted| self.fault(&faulted))?;
                self.request.bytes = scan.bytes();
                if is_whole(scan.bytes(), length, end) {
                    let scanned = scan.finish().map_err(|faulted| self.fault(&faulted))?;
                    self.whole(scanned.digested());
                    Rest::Nothing
                } else {
                    Rest::Body(scan)
                }
            }
            Rest::Nothing if chunk.is_empty() => Rest::Nothing,
            Rest::Nothing => return Err(misplaced()),
        };
        Ok(Sending {
            permit,
            length,
            rest,
        })
    }

    fn decide_in_body(
        &mut self,
        model: &str,
        identity: &Identity,
        operation: Operation,
        route: &Route,
    ) -> Result<Permit, Refusal> {
        let model = Model::parse(model).map_err(ModelFault::refusal)?;
        let Access::Guarded { rules, .. } = &route.access else {
            return Err(misplaced());
        };
        self.decide(
            rules,
            Question {
                identity,
                operation,
                model: Some(&model),
            },
        )
    }

    fn decide(&mut self, rules: &[Arc<Rule>], question: Question<'_>) -> Result<Permit, Refusal> {
        self.model = question.model.map(|model| model.name().to_owned());
        let permit = decide::decide(rules, question)
            .outcome
            .map_err(|denial| self.deny(denial))?;
        self.allow(&permit);
        Ok(permit)
    }

    /// Answers in place of the upstream. Only before an answer has begun.
    fn refuse(&mut self, refusal: Refusal) -> (Phase, Step) {
        self.close(&refusal);
        let answer = refusal.answer(self.route.as_deref(), self.id.as_str());
        (
            Phase::Closed,
            Step::hold().after(vec![Effect::Answer(answer)]),
        )
    }

    /// Ends a stream whose answer has begun.
    fn cut(&mut self, refusal: &Refusal) -> (Phase, Step) {
        self.close(refusal);
        (Phase::Closed, Step::hold().after(vec![Effect::Cut]))
    }

    /// The answer begins. What is not decided yet can still be, but no longer be answered by us.
    fn answer_begins(&mut self, phase: Phase) -> (Phase, Step) {
        let phase = match phase {
            Phase::Sending(sending) | Phase::Metering(sending) => Phase::Metering(sending),
            Phase::Reading(reading) | Phase::ReadingAnswered(reading) => {
                Phase::ReadingAnswered(reading)
            }
            Phase::Start | Phase::Closed => Phase::Closed,
            Phase::Over => Phase::Over,
        };
        let id = Effect::SetResponseHeader("x-postern-audit-id", self.id.as_str().to_owned());
        (phase, Step::pass(Pass::answer()).after(vec![id]))
    }
}

/// Whether a body is at its end: the host says so, or the declared length is reached. The latter matters because then no
/// more may pass although the host may not have said yet that it is the end.
fn is_whole(bytes: u64, length: Option<u64>, end: bool) -> bool {
    end || length.is_some_and(|length| bytes >= length)
}

fn expired() -> Refusal {
    Refusal::new(
        Code::HoldExpired,
        "no decision in time: the body is slow, or the gateway holds heads otherwise than host.headHold says",
    )
}

fn misplaced() -> Refusal {
    Refusal::new(
        Code::Undecided,
        "the gateway reported something that does not belong here; nothing was forwarded",
    )
}
