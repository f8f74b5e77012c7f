//! The body as it passes: read until the model is known, then decided on, then let through, but for its end.
//!
//! Decided here: what of a body may pass when. The last byte waits until the whole was found good: by declared length, by the
//! host's word, or by trailers. Not decided here: what a body says (`body`), and who calls (`admission`).

use super::story::Story;
use super::{Phase, misplaced};
use crate::audit::RequestPart;
use crate::body::{BodyScan, Faulted};
use crate::decide::{self, Permit, Question};
use crate::identity::Identity;
use crate::model::{Model, ModelFault};
use crate::operation::Operation;
use crate::policy::{Access, Policy, Route, Rule};
use crate::refusal::{Code, Refusal};
use crate::stream::event::{Pass, Step};
use crate::token;
use std::sync::Arc;

/// The caller is proved, and the model is still to come.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) scan: BodyScan,
    pub(super) length: Option<u64>,
    pub(super) identity: Identity,
    pub(super) operation: Operation,
    pub(super) route: Arc<Route>,
    pub(super) deadline: u64,
}

/// Permitted.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) permit: Permit,
    pub(super) length: Option<u64>,
    pub(super) rest: Rest,
    /// Until when a part that is held back waits for its next one, in milliseconds since 1970; none while nothing is.
    pub(super) held_until: Option<u64>,
}

/// What came of reading on.
#[derive(Debug)]
pub(super) enum Read {
    /// The model is still to come.
    On(Box<Reading>),
    /// The model came and is permitted.
    Permitted(Box<Sending>),
}

/// What is still to come of a permitted body.
#[derive(Debug)]
pub(super) enum Rest {
    /// Body, scanned as it passes.
    Body(BodyScan),
    /// Its end: the whole was found good and is held, since the host has not said yet that it is the end. What the record
    /// will say once it passes.
    End(RequestPart),
    /// Nothing: the whole was found good and has passed.
    Nothing,
}

impl Story {
    /// A part of the body, or its end by trailers.
    pub(super) fn body(
        &mut self,
        phase: Phase,
        chunk: &[u8],
        end: bool,
        now: u64,
        policy: &Policy,
    ) -> (Phase, Step) {
        match phase {
            Phase::Identifying(identifying) => {
                let identifying = identifying.hold(chunk, end);
                (Phase::Identifying(Box::new(identifying)), Step::hold())
            }
            Phase::Reading(reading) => match self.read(*reading, chunk, end, now, policy) {
                Ok((Read::On(reading), step)) => (Phase::Reading(reading), step),
                Ok((Read::Permitted(sending), step)) => (Phase::Sending(sending), step),
                Err(refusal) => self.refuse(refusal),
            },
            Phase::ReadingAnswered(reading) => match self.read(*reading, chunk, end, now, policy) {
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

    /// Reads on until the model is known, then decides.
    pub(super) fn read(
        &mut self,
        reading: Reading,
        chunk: &[u8],
        end: bool,
        now: u64,
        policy: &Policy,
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
                return Err(self.spoil(&faulted, &identity, operation, &route, now));
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
        let permit = self.decide_in_body(model, &identity, operation, &route, now)?;
        let sending = self.send(
            Sending {
                permit,
                length,
                rest: Rest::Body(scan),
                held_until: None,
            },
            &[],
            end,
        )?;
        let effects = self.tell_late(&sending.permit, &identity, operation, policy);
        let step = Step::pass(Pass::permitted(&sending.permit)).after(effects);
        Ok((Read::Permitted(Box::new(sending)), step))
    }

    /// What to say of a bad body before its model was decided on. The model may stand before the fault in the very chunk that
    /// is bad: then it is decided on first, as it would have been with a chunk of its own.
    pub(super) fn spoil(
        &mut self,
        faulted: &Faulted,
        identity: &Identity,
        operation: Operation,
        route: &Route,
        now: u64,
    ) -> Refusal {
        let refusal = self.fault(faulted);
        let Some(model) = faulted.model() else {
            return refusal;
        };
        match self.decide_in_body(model, identity, operation, route, now) {
            Ok(_permit) => refusal,
            Err(denied) => denied,
        }
    }

    /// Takes a part of a permitted body; when it is the last one, the whole must be good.
    pub(super) fn send(
        &mut self,
        sending: Sending,
        chunk: &[u8],
        end: bool,
    ) -> Result<Sending, Refusal> {
        let Sending {
            permit,
            length,
            rest,
            held_until: _,
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
            Rest::End(whole) if chunk.is_empty() => {
                self.request = whole;
                Rest::Nothing
            }
            Rest::Nothing if chunk.is_empty() => Rest::Nothing,
            Rest::End(_) | Rest::Nothing => return Err(misplaced()),
        };
        Ok(Sending {
            permit,
            length,
            rest,
            held_until: None,
        })
    }

    /// Takes back what was noted of a whole body that stays held: it is noted when it passes.
    pub(super) fn hold_back(&mut self, sending: Sending, until: u64) -> Sending {
        let rest = match sending.rest {
            Rest::Nothing => {
                let bytes = self.request.bytes;
                let part = RequestPart {
                    bytes,
                    ..RequestPart::default()
                };
                Rest::End(std::mem::replace(&mut self.request, part))
            }
            rest @ (Rest::Body(_) | Rest::End(_)) => rest,
        };
        Sending {
            rest,
            held_until: Some(until),
            ..sending
        }
    }

    fn decide_in_body(
        &mut self,
        model: &str,
        identity: &Identity,
        operation: Operation,
        route: &Route,
        now: u64,
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
                now: token::seconds(now),
            },
        )
    }

    pub(super) fn decide(
        &mut self,
        rules: &[Arc<Rule>],
        question: Question<'_>,
    ) -> Result<Permit, Refusal> {
        self.model = question.model.map(|model| model.name().to_owned());
        let permit = decide::decide(rules, question)
            .outcome
            .map_err(|denial| self.deny(denial))?;
        self.allow(&permit);
        Ok(permit)
    }
}

/// Whether a body is at its end: the host says so, or the declared length is reached. The latter matters because then no
/// more may pass although the host may not have said yet that it is the end.
fn is_whole(bytes: u64, length: Option<u64>, end: bool) -> bool {
    end || length.is_some_and(|length| bytes >= length)
}
