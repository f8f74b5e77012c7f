//! One HTTP stream as one state machine: an event in, the next phase and the effects out.
//!
//! ```text
//!            keys, fresh proof
//!                 +-----+
//!                 v     |
//!   Start --head--> Identifying --identity--> Reading --model, permit--> Sending --answer begins--> Metering
//!     |  \                |  \ no body           |                          |                          |
//!     |   '-- open -------|---'---- permit ------|------------------------> |                          |
//!     | bad               | bad, deadline        | bad, denied, deadline    | the rest is bad          | the rest is bad
//!     v                   v                      v                          v                          v
//!   Closed <--------------+----------------------+--------------------------+--------------------- Closed (cut)
//!
//!   Reading --answer begins--> ReadingAnswered --model, permit--> Metering; bad, denied, deadline: Closed (cut)
//!   Start, Identifying --answer begins--> Closed: it is the gateway's own, and there is nothing left to decide
//!   every phase --log--> Over, with exactly one record
//! ```
//!
//! Decided here: the order of the questions, what is held and when it passes. The answers are given by the modules that
//! each arrow calls. Time, keys and policy are arguments; there is no clock and no host here.
//!
//! | file | what of it |
//! |---|---|
//! | `event` | the language between the machine and its shell |
//! | `admission` | the head: what it alone can decide |
//! | `waiting` | the proof of who calls, which may have to wait |
//! | `passage` | the body as it passes |
//! | `headers` | what the upstream learns by headers, and what it must not learn |
//! | `story` | what the record will say |
//!
//! Promises, each a property in `tests/stream.rs`, and in `tests/waiting.rs` for what waits in Identifying:
//! - INVARIANT (permit): nothing passes toward the upstream but by a [`Pass`], and a pass of body bytes is made only
//!   from a [`Permit`](crate::decide::Permit).
//! - INVARIANT (last byte): the end of a body passes only when the whole was found good.
//! - INVARIANT (one record): [`Effect::Record`] comes exactly once, in the step that enters `Over`, and nothing after it.
//! - INVARIANT (no hang): a request that is held has a deadline, or its end is still to come.

mod admission;
mod event;
mod headers;
mod passage;
mod story;
mod waiting;

pub use crate::identity::Ground;
pub use event::{Effect, Ended, Event, Flow, Pass, Step};

use crate::audit::AuditId;
use crate::refusal::{Code, Refusal};
use headers::{strip_headers, strip_trailers};
use passage::{Reading, Sending};
use story::Story;
use waiting::Identifying;

/// A stream.
#[derive(Debug)]
pub struct Stream {
    phase: Phase,
    // Boxed: a stream is moved at every event.
    story: Box<Story>,
}

/// Until when a stream waits, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// For more of the request: a tick at this time, in milliseconds since 1970, ends it.
    Body(u64),
    /// For keys: a tick is due whenever some were fetched, and at this time.
    Keys(u64),
}

impl Waits {
    /// Until when, in milliseconds since 1970.
    pub fn until(self) -> u64 {
        match self {
            Self::Body(until) | Self::Keys(until) => until,
        }
    }
}

#[derive(Debug)]
enum Phase {
    /// Nothing came yet.
    Start,
    /// Who calls is not proved yet: keys or the map of the workers are asked. The head and all of the body are held.
    Identifying(Box<Identifying>),
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

impl Stream {
    /// A stream that the host just announced, at `now` milliseconds since 1970.
    pub fn new(id: AuditId, now: u64) -> Self {
        Self {
            phase: Phase::Start,
            story: Box::new(Story::new(id, now)),
        }
    }

    /// Until when the stream waits for its decision; none when it does not wait.
    pub fn waits(&self) -> Option<Waits> {
        match &self.phase {
            Phase::Identifying(identifying) => Some(Waits::Keys(identifying.deadline())),
            Phase::Reading(reading) | Phase::ReadingAnswered(reading) => {
                Some(Waits::Body(reading.deadline))
            }
            Phase::Sending(sending) => sending.held_until.map(Waits::Body),
            Phase::Start | Phase::Metering(_) | Phase::Closed | Phase::Over => None,
        }
    }

    /// Whether the request's head never came: then the host alone knows the method (see [`Ended`]).
    pub fn is_headless(&self) -> bool {
        self.story.headless
    }

    /// Takes one event at `now` milliseconds since 1970.
    pub fn on(self, event: Event<'_>, now: u64, ground: &mut Ground<'_>) -> (Self, Step) {
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
                (phase, step.after(strip_headers(pairs, &ground.policy.told)))
            }
            (phase, Event::RequestBody { chunk, end }) => {
                story.body(phase, chunk, end, now, ground.policy)
            }
            (phase, Event::RequestTrailers { pairs }) => {
                let policy = ground.policy;
                let (phase, step) = story.body(phase, &[], true, now, policy);
                let stripped = strip_trailers(pairs, &policy.told, &policy.places.tokens);
                (phase, step.after(stripped))
            }
            (phase, Event::ResponseHead) => story.answer_begins(phase, now, ground),
            (phase, Event::ResponseBody { bytes }) => {
                story.response_bytes = story.response_bytes.saturating_add(bytes);
                (phase, Step::pass(Pass::answer()))
            }
            (phase, Event::Lost) => story.lost(phase),
            (Phase::Identifying(identifying), Event::Tick) => {
                story.look_again(*identifying, now, ground)
            }
            (Phase::Identifying(identifying), Event::Told(told)) => {
                story.told(*identifying, told, now, ground)
            }
            (phase, Event::Told(_)) => story.lost(phase),
            (Phase::Sending(sending), Event::Tick)
                if sending.held_until.is_some_and(|until| now >= until) =>
            {
                story.refuse(expired())
            }
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
    /// What cannot be: refused as far as it still can be.
    fn lost(&mut self, phase: Phase) -> (Phase, Step) {
        match phase {
            Phase::Start | Phase::Identifying(_) | Phase::Reading(_) | Phase::Sending(_) => {
                self.refuse(misplaced())
            }
            Phase::ReadingAnswered(_) | Phase::Metering(_) => self.cut(&misplaced()),
            Phase::Closed => (Phase::Closed, Step::hold()),
            Phase::Over => (Phase::Over, Step::hold()),
        }
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
    fn answer_begins(&mut self, phase: Phase, now: u64, ground: &Ground<'_>) -> (Phase, Step) {
        let phase = match phase {
            Phase::Sending(sending) | Phase::Metering(sending) => Phase::Metering(sending),
            Phase::Reading(reading) | Phase::ReadingAnswered(reading) => {
                Phase::ReadingAnswered(reading)
            }
            Phase::Start | Phase::Identifying(_) | Phase::Closed => Phase::Closed,
            Phase::Over => Phase::Over,
        };
        let told = self.tell_answer(now, ground);
        (phase, Step::pass(Pass::answer()).after(told))
    }
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
