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

use crate::audit::{
    self, AuditId, CallerPart, Outcome, PeerPart, Record, RequestPart, ResponsePart,
};
use crate::body::{BodyScan, Digested, Faulted, Limits};
use crate::decide::{self, Denial, Permit, Question};
use crate::facts::{self, Pair, RequestFacts};
use crate::identity::Identity;
use crate::model::{Model, ModelFault};
use crate::operation::{Call, ModelSource, Operation};
use crate::peer::{Connection, Peer};
use crate::policy::{Access, HeadHold, Policy, Route, Rule};
use crate::refusal::{Answer, Code, Refusal};
use crate::token::Crypto;
use std::sync::Arc;

/// What the decisions stand on: the same for every event of a worker until the policy changes.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Proof that signatures can be checked.
    pub crypto: Crypto,
}

/// What the host reports.
#[derive(Debug)]
pub enum Event<'a> {
    /// The request's head.
    RequestHead {
        /// Its headers, pseudo-headers included, in the order received.
        pairs: &'a [Pair<'a>],
        /// The downstream connection.
        connection: Connection,
        /// Whether the request ends with its head.
        end: bool,
    },
    /// Bytes of the request's body that were not reported before.
    RequestBody {
        /// The bytes.
        chunk: &'a [u8],
        /// Whether the request ends with them.
        end: bool,
    },
    /// The request's trailers, which end it.
    RequestTrailers {
        /// The trailers.
        pairs: &'a [Pair<'a>],
    },
    /// The answer's head, be it the upstream's, the gateway's or ours.
    ResponseHead,
    /// So many bytes of the answer's body.
    ResponseBody {
        /// How many.
        bytes: u64,
    },
    /// A part of the request that the host announced and then did not give, or an effect that it did not take.
    Lost,
    /// A moment, so that what waits too long can end.
    Tick,
    /// The end of the stream, whatever ended it.
    Log(Ended),
}

/// What the host knows of a stream when it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The method, for streams whose head never reached us.
    pub method: Option<String>,
    /// The path with query, likewise.
    pub path: Option<String>,
    /// The status of the answer, if one began.
    pub status: Option<u16>,
    /// The gateway's response code details.
    pub details: Option<String>,
    /// The gateway's response flags, as bits.
    pub flags: Option<u64>,
}

/// What the host shall do, in this order, before it follows the [`Flow`].
#[derive(Debug)]
pub enum Effect {
    /// Remove all request headers of this name.
    RemoveRequestHeader(Vec<u8>),
    /// Remove all request trailers of this name.
    RemoveRequestTrailer(Vec<u8>),
    /// Set a request header, in place of all of this name.
    SetRequestHeader(&'static str, String),
    /// Set a header of the answer.
    SetResponseHeader(&'static str, String),
    /// Publish a value as filter state `wasm.postern.<name>`.
    Publish(&'static str, String),
    /// Answer in place of the upstream.
    Answer(Answer),
    /// End the stream: its answer has begun, so it cannot be answered otherwise.
    Cut,
    /// Write the record.
    Record(Box<Record>),
}

/// What becomes of the part of the request that the event reported.
#[derive(Debug)]
pub enum Flow {
    /// It stays with us, and so does all that was held before.
    Hold,
    /// It passes, with all that was held before.
    Pass(Pass),
}

/// The right to let something pass. Only this module makes it.
#[derive(Debug)]
pub struct Pass(());

impl Pass {
    /// The head or the body of a permitted request.
    fn permitted(_by: &Permit) -> Self {
        Self(())
    }

    /// The head alone of a request whose caller is proved, where the policy says that the gateway does not leave it with
    /// us. Never body.
    fn head_ahead(_of: &Identity) -> Self {
        Self(())
    }

    /// The answer: it is never held.
    fn answer() -> Self {
        Self(())
    }
}

/// The outcome of one event.
#[derive(Debug)]
#[must_use]
pub struct Step {
    /// What to do first.
    pub effects: Vec<Effect>,
    /// What to do with the reported part then.
    pub flow: Flow,
}

impl Step {
    fn hold() -> Self {
        Self {
            effects: Vec::new(),
            flow: Flow::Hold,
        }
    }

    fn pass(pass: Pass) -> Self {
        Self {
            effects: Vec::new(),
            flow: Flow::Pass(pass),
        }
    }

    fn after(mut self, mut first: Vec<Effect>) -> Self {
        first.append(&mut self.effects);
        Self {
            effects: first,
            flow: self.flow,
        }
    }
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

/// What is still to come of a permitted body.
#[derive(Debug)]
enum Rest {
    /// Body, scanned as it passes.
    Body(BodyScan),
    /// Nothing: the whole was found good and has passed.
    Nothing,
}

/// What the record will say, as far as it is known.
#[derive(Debug)]
struct Story {
    id: AuditId,
    started: u64,
    request_id: Option<String>,
    traceparent: Option<String>,
    route: Option<String>,
    operation: Option<Operation>,
    model: Option<String>,
    method: Option<String>,
    path: Option<String>,
    caller: Option<CallerPart>,
    peer: Option<PeerPart>,
    outcome: Outcome,
    rule: Option<Arc<str>>,
    refusal: Option<Code>,
    request: RequestPart,
    response_bytes: u64,
}

impl Stream {
    /// A stream that the host just announced, at `now` milliseconds since 1970.
    pub fn new(id: AuditId, now: u64) -> Self {
        let story = Story {
            id,
            started: now,
            request_id: None,
            traceparent: None,
            route: None,
            operation: None,
            model: None,
            method: None,
            path: None,
            caller: None,
            peer: None,
            outcome: Outcome::None,
            rule: None,
            refusal: None,
            request: RequestPart::default(),
            response_bytes: 0,
        };
        Self {
            phase: Phase::Start,
            story,
        }
    }

    /// Until when the stream may wait for its decision, in milliseconds since 1970; none when it does not wait.
    pub fn deadline(&self) -> Option<u64> {
        match &self.phase {
            Phase::Reading(reading) => Some(reading.deadline),
            Phase::Start | Phase::Sending(_) | Phase::Metering(_) | Phase::Closed | Phase::Over => {
                None
            }
        }
    }

    /// Whether the request's head never came: then the host alone knows method and path (see [`Ended`]).
    pub fn is_headless(&self) -> bool {
        self.story.method.is_none() && self.story.path.is_none()
    }

    /// Takes one event at `now` milliseconds since 1970.
    pub fn on(self, event: Event<'_>, now: u64, ground: Ground<'_>) -> (Self, Step) {
        let Self { phase, mut story } = self;
        let (phase, step) = match (phase, event) {
            (Phase::Over, _) => (Phase::Over, Step::hold()),
            (phase, Event::RequestHead { pairs, connection, end }) => {
                let step = story.head(phase, pairs, connection, end, now, ground);
                strip(step, pairs, Effect::RemoveRequestHeader)
            }
            (phase, Event::RequestBody { chunk, end }) => story.body(phase, chunk, end, ground),
            (phase, Event::RequestTrailers { pairs }) => {
                let step = story.body(phase, &[], true, ground);
                strip(step, pairs, Effect::RemoveRequestTrailer)
            }
            (phase, Event::ResponseHead) => story.answer_begins(phase),
            (phase, Event::ResponseBody { bytes }) => {
                story.response_bytes = story.response_bytes.saturating_add(bytes);
                (phase, Step::pass(Pass::answer()))
            }
            (phase, Event::Lost) => story.lost(phase),
            (Phase::Reading(reading), Event::Tick) if now >= reading.deadline => story.refuse(Refusal::new(
                Code::HoldExpired,
                "no decision in time: the body is slow, or the gateway holds heads otherwise than host.headHold says",
            )),
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

    /// Notes for the record what the head says, good or bad.
    fn note(&mut self, pairs: &[Pair<'_>], connection: Connection) {
        let value = |name: &[u8]| {
            pairs
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| *value)
        };
        let shown = |name: &[u8]| value(name).map(|value| facts::shown(value, 128));
        self.method = shown(b":method");
        self.path = value(b":path").map(facts::shown_path);
        self.request_id = shown(b"x-request-id");
        self.traceparent = shown(b"traceparent");
        self.peer = Peer::of(connection).map(|peer| PeerPart {
            uri: peer.uri().to_owned(),
        });
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
                self.allow(&permit);
                let sending = Sending {
                    permit,
                    length: facts.length(),
                    rest: Rest::Body(BodyScan::anything()),
                };
                return self.send_head(sending, end, vec![self.audit_header()]);
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
        let seconds = now.checked_div(1000).unwrap_or_default();
        let identity = Identity::prove(&facts, &policy.issuers, seconds, ground.crypto)?;
        self.caller = Some(CallerPart {
            name: None,
            issuer: identity.issuer().to_owned(),
            subject: identity.subject().to_owned(),
            tenant: identity.tenant().map(str::to_owned),
        });
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
                        .after(self.caller_headers(&identity, operation)),
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
        let question = Question {
            identity: &identity,
            operation,
            model,
        };
        let permit = self.decide(rules, question)?;
        let mut headers = self.caller_headers(&identity, operation);
        headers.extend(self.permit_headers(&permit));
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
                Ok(read) => read,
                Err(refusal) => self.refuse(refusal),
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
            Phase::Metering(_) => self.cut(&misplaced()),
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
    ) -> Result<(Phase, Step), Refusal> {
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
            return Ok((Phase::Reading(Box::new(reading)), Step::hold()));
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
        let mut effects = match ground.policy.head_hold {
            HeadHold::Flag => self.caller_headers(&identity, operation),
            HeadHold::Buffer | HeadHold::None => Vec::new(),
        };
        let headers = self.permit_headers(&sending.permit);
        match ground.policy.head_hold {
            HeadHold::Flag => effects.extend(headers),
            HeadHold::Buffer => effects.extend(headers.into_iter().filter_map(publish)),
            HeadHold::None => {}
        }
        let step = Step::pass(Pass::permitted(&sending.permit)).after(effects);
        Ok((Phase::Sending(Box::new(sending)), step))
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
                    self.whole(scanned.digested())
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

    fn whole(&mut self, digested: Digested) -> Rest {
        self.request = RequestPart {
            bytes: digested.bytes(),
            complete: true,
            digest: Some(audit::digest_text(digested.sha256())),
        };
        Rest::Nothing
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

    fn allow(&mut self, permit: &Permit) {
        self.outcome = Outcome::Allow;
        self.rule = permit.rule().map(Arc::clone);
        if let Some(caller) = &mut self.caller {
            caller.name = permit.caller().map(Arc::clone);
        }
    }

    fn deny(&mut self, denial: Denial) -> Refusal {
        self.rule = denial.rule().map(Arc::clone);
        denial.into_refusal()
    }

    /// Notes how much of a bad body was seen.
    fn fault(&mut self, faulted: &Faulted) -> Refusal {
        self.request.bytes = faulted.digested().bytes();
        Refusal::from(faulted)
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

    fn close(&mut self, refusal: &Refusal) {
        self.outcome = Outcome::Refuse;
        self.refusal = Some(refusal.code());
        self.request.complete = false;
        self.request.digest = None;
    }

    /// The answer begins. If the request is still undecided, it stays so: the rest of it will not pass.
    fn answer_begins(&mut self, phase: Phase) -> (Phase, Step) {
        let phase = match phase {
            Phase::Sending(sending) | Phase::Metering(sending) => Phase::Metering(sending),
            Phase::Start | Phase::Reading(_) | Phase::Closed => Phase::Closed,
            Phase::Over => Phase::Over,
        };
        let id = Effect::SetResponseHeader("x-postern-audit-id", self.id.as_str().to_owned());
        (phase, Step::pass(Pass::answer()).after(vec![id]))
    }

    fn audit_header(&self) -> Effect {
        Effect::SetRequestHeader("x-postern-audit-id", self.id.as_str().to_owned())
    }

    /// What the upstream learns of the caller; its token stays here.
    fn caller_headers(&self, identity: &Identity, operation: Operation) -> Vec<Effect> {
        let mut effects = vec![
            Effect::RemoveRequestHeader(b"authorization".to_vec()),
            self.audit_header(),
            Effect::SetRequestHeader("x-postern-subject", header_value(identity.subject())),
            Effect::SetRequestHeader("x-postern-operation", operation.name().to_owned()),
        ];
        let optional = [
            ("x-postern-tenant", identity.tenant()),
            (
                "x-postern-peer",
                self.peer.as_ref().map(|peer| peer.uri.as_str()),
            ),
        ];
        for (name, value) in optional {
            effects.extend(value.map(|value| Effect::SetRequestHeader(name, header_value(value))));
        }
        effects
    }

    /// What the upstream learns of the decision.
    fn permit_headers(&self, permit: &Permit) -> Vec<Effect> {
        let values = [
            ("x-postern-model", self.model.as_deref()),
            ("x-postern-rule", permit.rule().map(|rule| &**rule)),
            ("x-postern-request-digest", self.request.digest.as_deref()),
        ];
        let set = |(name, value): (&'static str, Option<&str>)| {
            value.map(|value| Effect::SetRequestHeader(name, header_value(value)))
        };
        values.into_iter().filter_map(set).collect()
    }

    fn record(&mut self, ended: Ended, now: u64, policy: &Policy) -> Record {
        // The gateway takes a chunk into its buffer before it shows it to us; when that is over its limit it answers 413
        // itself and drops what we let pass in that very callback.
        if ended.details.as_deref() == Some(DROPPED) {
            self.request.complete = false;
            self.request.digest = None;
        }
        let Ended {
            method,
            path,
            status,
            details,
            flags,
        } = ended;
        Record {
            v: audit::RECORD_VERSION,
            time: audit::timestamp(self.started),
            id: self.id.as_str().to_owned(),
            instance: policy.audit.instance.clone(),
            policy: audit::digest_text(&policy.digest),
            request_id: self.request_id.take(),
            traceparent: self.traceparent.take(),
            route: self.route.take(),
            operation: self.operation.map(Operation::name),
            model: self.model.take(),
            method: self.method.take().or(method),
            path: self
                .path
                .take()
                .or_else(|| path.map(|path| facts::shown_path(path.as_bytes()))),
            caller: self.caller.take(),
            peer: self.peer.take(),
            decision: self.outcome,
            rule: self.rule.take(),
            refusal: self.refusal,
            fault: self.refusal.map(Code::fault),
            request: std::mem::take(&mut self.request),
            response: ResponsePart {
                status,
                bytes: self.response_bytes,
                details,
                flags,
            },
            duration_ms: now.saturating_sub(self.started),
        }
    }
}

/// The gateway's response code details when a request was over its own buffer limit.
const DROPPED: &str = "request_payload_too_large";

/// Whether a body is at its end: the host says so, or the declared length is reached. The latter matters because then no
/// more may pass although the host may not have said yet that it is the end.
fn is_whole(bytes: u64, length: Option<u64>, end: bool) -> bool {
    end || length.is_some_and(|length| bytes >= length)
}

/// Removes what the client sent under our names.
fn strip(
    (phase, step): (Phase, Step),
    pairs: &[Pair<'_>],
    remove: fn(Vec<u8>) -> Effect,
) -> (Phase, Step) {
    let ours = pairs
        .iter()
        .filter(|(name, _)| facts::is_ours(name))
        .map(|(name, _)| remove(name.to_vec()))
        .collect();
    (phase, step.after(ours))
}

/// The same value as filter state, for a gateway that adds headers later than we can.
fn publish(header: Effect) -> Option<Effect> {
    match header {
        Effect::SetRequestHeader(name, value) => name
            .strip_prefix("x-postern-")
            .map(|name| Effect::Publish(name, value)),
        Effect::RemoveRequestHeader(_)
        | Effect::RemoveRequestTrailer(_)
        | Effect::SetResponseHeader(..)
        | Effect::Publish(..)
        | Effect::Answer(_)
        | Effect::Cut
        | Effect::Record(_) => None,
    }
}

fn misplaced() -> Refusal {
    Refusal::new(
        Code::Undecided,
        "the gateway reported something that does not belong here; nothing was forwarded",
    )
}

/// A header value of visible ASCII: everything else, and `%`, is percent-encoded (RFC 3986 section 2.1), so that no
/// subject can end a header or be taken for another.
fn header_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b'!'..=b'~') && byte != b'%' {
            value.push(char::from(byte));
        } else {
            value.push('%');
            value.push_str(&audit::hex(&[byte]).to_ascii_uppercase());
        }
    }
    value
}
