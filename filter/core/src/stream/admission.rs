//! The head: everything that it alone can decide, before the caller is proved and after.
//!
//! Decided here: the order of the questions: form, route, operation, identity, whether any rule could allow it, the model
//! where the path names it. What is refused here costs no body (THREATS 40).
//! Not decided here: whether a credential is good (`identity`), how long its proof may wait (`waiting`), what the body says
//! (`passage`).

use super::headers::Carried;
use super::passage::{Read, Reading, Rest, Sending};
use super::story::Story;
use super::{Ground, Phase, misplaced};
use crate::body::{BodyScan, Faulted, Limits};
use crate::decide::{self, Question};
use crate::facts::{Pair, RequestFacts};
use crate::identity::{Evidence, Identity};
use crate::operation::{Call, ModelSource};
use crate::peer::Connection;
use crate::policy::{Access, HeadHold, Needs, Policy, Route};
use crate::refusal::{Code, Refusal};
use crate::stream::event::{Effect, Flow, Pass, Step};
use crate::token;
use std::sync::Arc;

/// What the head says, as far as it is needed once the caller is proved.
#[derive(Debug)]
pub(super) struct Admission {
    route: Arc<Route>,
    pub(super) needs: Needs,
    call: Call,
    /// Whether the body's declared form is one that is read; told only to who may call.
    form: Result<(), Refusal>,
    length: Option<u64>,
    end: bool,
    max_body: u64,
    carried: Carried,
}

/// What came of the body before the caller was proved.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) scan: Result<BodyScan, Faulted>,
    pub(super) ended: bool,
}

impl Early {
    /// Whether a part of the body is held whose end is still to come: then only the callback of a later part can let it go
    /// (the gateway would lose that part otherwise).
    fn holds_a_part(&self) -> bool {
        let some = match &self.scan {
            Ok(scan) => scan.bytes() > 0,
            Err(_) => true,
        };
        some && !self.ended
    }
}

impl Story {
    /// The head.
    pub(super) fn head(
        &mut self,
        phase: Phase,
        pairs: &[Pair<'_>],
        connection: &Connection,
        end: bool,
        now: u64,
        ground: &mut Ground<'_>,
    ) -> (Phase, Step) {
        if !matches!(phase, Phase::Start) {
            return self.lost(phase);
        }
        self.note(pairs);
        self.admit(pairs, connection, end, now, ground)
            .unwrap_or_else(|refusal| self.refuse(refusal))
    }

    fn admit(
        &mut self,
        pairs: &[Pair<'_>],
        connection: &Connection,
        end: bool,
        now: u64,
        ground: &mut Ground<'_>,
    ) -> Result<(Phase, Step), Refusal> {
        let policy = ground.policy;
        let facts = RequestFacts::read(pairs, &policy.places.tokens)?;
        let evidence = Evidence::new(&facts, connection, policy);
        self.note_peer(evidence.peer());
        let route = policy.route(facts.host(), facts.path()).ok_or_else(|| {
            Refusal::new(
                Code::RouteUnknown,
                "no route of this gateway takes this host and path",
            )
        })?;
        self.route = Some(route.name.clone());
        let (api, needs, max_body) = match &route.access {
            Access::Open => {
                let permit = decide::open(route).ok_or_else(misplaced)?;
                self.recognised(&facts);
                self.allow(&permit);
                let sending = Sending {
                    permit,
                    length: facts.length(),
                    rest: Rest::Body(BodyScan::anything()),
                    held_until: None,
                };
                return self.send_head(sending, end, self.tell_id());
            }
            Access::Guarded {
                api,
                needs,
                max_body,
                ..
            } => (*api, *needs, *max_body),
        };
        let rest = route.paths.rest(facts.path()).ok_or_else(misplaced)?;
        let call = Call::read(api, facts.method(), rest)?;
        self.operation = Some(call.operation());
        self.recognised(&facts);
        let scan = match call.model() {
            ModelSource::Body => BodyScan::new(Limits::new(max_body)),
            ModelSource::Path(_) | ModelSource::None => BodyScan::nothing(),
        };
        let admission = Admission {
            route: Arc::clone(route),
            needs,
            form: facts.require_json(),
            length: facts.length(),
            end,
            max_body,
            carried: Carried::of(pairs, &facts, evidence.found()),
            call,
        };
        let early = Early {
            scan: Ok(scan),
            ended: end,
        };
        self.identify(admission, evidence, early, now, ground)
    }

    /// Goes on with a proved caller, in the head's own callback or later.
    pub(super) fn proved(
        &mut self,
        admission: Admission,
        early: Early,
        identity: Identity,
        now: u64,
        policy: &Policy,
    ) -> Result<(Phase, Step), Refusal> {
        let held = early.holds_a_part();
        let (phase, step) = self.decide_head(admission, early, identity, now, policy)?;
        if !held {
            return Ok((phase, step));
        }
        let phase = match phase {
            Phase::Sending(sending) => {
                let until = now.saturating_add(policy.hold_timeout);
                Phase::Sending(Box::new(self.hold_back(*sending, until)))
            }
            phase => phase,
        };
        let step = match step.flow {
            Flow::Pass(_) => Step::hold().after(step.effects),
            Flow::Hold => step,
        };
        Ok((phase, step))
    }

    fn decide_head(
        &mut self,
        admission: Admission,
        early: Early,
        identity: Identity,
        now: u64,
        policy: &Policy,
    ) -> Result<(Phase, Step), Refusal> {
        let Admission {
            route,
            needs: _,
            call,
            form,
            length,
            end,
            max_body,
            carried,
        } = admission;
        let operation = call.operation();
        self.proved_caller(&identity, carried, policy);
        let Access::Guarded { rules, .. } = &route.access else {
            return Err(misplaced());
        };
        decide::foresee(rules, &identity, operation).map_err(|denial| self.deny(denial))?;
        let model = match call.model() {
            ModelSource::Body => {
                form?;
                let reading = Reading {
                    scan: check_body(early.scan, end, length, max_body).map_err(
                        |why| match why {
                            Unread::Refused(refusal) => refusal,
                            Unread::Bad(faulted) => {
                                self.spoil(&faulted, &identity, operation, &route, now)
                            }
                        },
                    )?,
                    length,
                    identity,
                    operation,
                    route: Arc::clone(&route),
                    deadline: now.saturating_add(policy.hold_timeout),
                };
                return self.begin_reading(reading, early.ended, now, policy);
            }
            ModelSource::Path(model) => Some(model),
            ModelSource::None => None,
        };
        // WHY in the head: an upstream acts on a request without a body as soon as it has its head.
        let bodiless = end || length == Some(0);
        if !bodiless || early.scan.is_err() {
            return Err(Refusal::new(
                Code::BodyUnexpected,
                "this operation takes no body",
            ));
        }
        let question = Question {
            identity: &identity,
            operation,
            model,
            now: token::seconds(now),
        };
        let permit = self.decide(rules, question)?;
        let mut headers = self.tell_caller(&identity, operation);
        headers.extend(self.tell_permit(&permit));
        let sending = Sending {
            permit,
            length,
            rest: Rest::Body(BodyScan::nothing()),
            held_until: None,
        };
        self.send_head(sending, early.ended, headers)
    }

    /// Begins to read a body, of which a part may be here already.
    fn begin_reading(
        &mut self,
        reading: Reading,
        ended: bool,
        now: u64,
        policy: &Policy,
    ) -> Result<(Phase, Step), Refusal> {
        let (told, pass) = match policy.head_hold {
            HeadHold::Flag => (Vec::new(), None),
            HeadHold::Buffer | HeadHold::None => (
                self.tell_caller(&reading.identity, reading.operation),
                Some(Pass::head_ahead(&reading.identity)),
            ),
        };
        if reading.scan.bytes() == 0 && !ended {
            let step = pass.map_or_else(Step::hold, Step::pass);
            return Ok((Phase::Reading(Box::new(reading)), step.after(told)));
        }
        let (read, step) = self.read(reading, &[], ended, now, policy)?;
        let phase = match read {
            Read::On(reading) => Phase::Reading(reading),
            Read::Permitted(sending) => Phase::Sending(sending),
        };
        Ok((phase, step.after(told)))
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
}

/// Why a body is not read.
enum Unread {
    /// By what the head says of it.
    Refused(Refusal),
    /// By what came of it already.
    Bad(Faulted),
}

/// Whether a body that an operation needs can be read at all.
fn check_body(
    scan: Result<BodyScan, Faulted>,
    end: bool,
    length: Option<u64>,
    max_body: u64,
) -> Result<BodyScan, Unread> {
    if end || length == Some(0) {
        return Err(Unread::Refused(Refusal::new(
            Code::BodyEmpty,
            "this operation needs a body",
        )));
    }
    if length.is_some_and(|length| length > max_body) {
        return Err(Unread::Refused(Refusal::new(
            Code::BodyTooLarge,
            format!("the body is larger than {max_body} bytes"),
        )));
    }
    scan.map_err(Unread::Bad)
}
