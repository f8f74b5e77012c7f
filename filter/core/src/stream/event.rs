//! What goes in and what comes out of a stream: events and effects, the whole language between core and shell.
//!
//! A shell carries effects out in their order and then follows the flow. It needs to know nothing else, and it can make
//! neither a [`Pass`] nor a step.

use crate::audit::Record;
use crate::decide::Permit;
use crate::facts::Pair;
use crate::identity::Identity;
use crate::library::Shelf;
use crate::peer::Connection;
use crate::refusal::Answer;
use crate::store::{Ask, Told};
use std::borrow::Cow;

/// What the host reports.
#[derive(Debug)]
pub enum Event<'a> {
    /// The request's head.
    RequestHead {
        /// Its headers, pseudo-headers included, in the order received.
        pairs: &'a [Pair<'a>],
        /// The downstream connection.
        connection: &'a Connection,
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
    /// A moment, so that what waits can go on or end. A pass after it concerns all that is held.
    Tick,
    /// The map of the workers answers what was asked. A pass after it concerns all that is held.
    Told(Told),
    /// The end of the stream, whatever ended it.
    Log(Ended),
}

/// What the host knows of a stream when it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The method, for streams whose head never reached us.
    pub method: Option<String>,
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
    SetRequestHeader(Cow<'static, str>, String),
    /// Set a header of the answer.
    SetResponseHeader(&'static str, String),
    /// Publish a value as filter state `wasm.postern.<name>`.
    Publish(&'static str, String),
    /// Ask the map of the workers, and tell the stream what it says before anything else.
    Ask(Ask),
    /// Fill a shelf anew as soon as that can be; the stream waits for it.
    Refill(Shelf),
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
    pub(super) fn permitted(_by: &Permit) -> Self {
        Self(())
    }

    /// The head alone of a request whose caller is proved, where the policy says that the gateway does not leave it with
    /// us. Never body.
    pub(super) fn head_ahead(_of: &Identity) -> Self {
        Self(())
    }

    /// The answer: it is never held.
    pub(super) fn answer() -> Self {
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
    pub(super) fn hold() -> Self {
        Self {
            effects: Vec::new(),
            flow: Flow::Hold,
        }
    }

    pub(super) fn pass(pass: Pass) -> Self {
        Self {
            effects: Vec::new(),
            flow: Flow::Pass(pass),
        }
    }

    /// The same step, with effects before its own.
    pub(super) fn after(mut self, mut first: Vec<Effect>) -> Self {
        first.append(&mut self.effects);
        Self {
            effects: first,
            flow: self.flow,
        }
    }
}
