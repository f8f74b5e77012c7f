//! Documents that are fetched while the gateway runs (key sets, discovery, revocation lists): one machine for each source, run
//! alike by every worker.
//!
//! ```text
//!            Tick, Wanted            newer document
//!    Idle ----------------> Looking ----------------> Taking --> Idle, Adopt or Unusable
//!     ^                      |   ^
//!     |     due and free     v   | conflict
//!     |                    Claiming
//!     |                      | swapped: Call
//!     |                      v
//!     |     .--- bad ---- Calling --. next Call of a discovery, in the same lease
//!     |     |                |  ^---'
//!     |     v                | good answer
//!     |  Failing             v
//!     |     | ours (*)    Comparing <-- conflict --.
//!     |     v                v                     |
//!     |  Settling         Confirming -- ours --> Writing
//!     |     |                | not ours            | swapped: the document is there
//!     |     |                |                     v
//!     +-----'----------------'------- Adopt --- Publishing
//!
//!   (*) not ours: as in Looking
//!   a map that does not answer, and a race that is lost to the end: Idle
//! ```
//!
//! Decided here: who fetches and when; that a document is in the map before its generation is; what replaces what; how long a
//! document may be used. Not decided here: what a document means ([`Document`]), and what is refused for want of one. Time and
//! luck are arguments; the map is asked and answers ([`crate::store`]).
//!
//! Against THREATS 19: fetch storms (one lease and one cool-down over all workers), slow, huge, empty and poisoned answers (they
//! never replace a good document), answers from elsewhere (only the named clusters are called), documents that are good for ever.
//!
//! Promises, each a property in `tests/fetch.rs`:
//! - INVARIANT (single flight): no call begins while the lease of another attempt runs.
//! - INVARIANT (no way back): the generations that a worker adopts only rise, and one generation is one document.
//! - INVARIANT (all follow): what is published is adopted by every worker with its next tick.

mod discovery;
mod event;
mod freshness;
mod ledger;
mod source;
mod state;

pub use event::{Answer, Call, Document, Effect, Event, Failure, Note, Standing};
pub use freshness::MIN_FRESH_MS;
pub use source::{
    DISCOVERY_PATH, Kind, MAX_REFRESH_MS, MAX_STALE_MS, MAX_TIMEOUT_MS, MIN_REFRESH_MS,
    MIN_TIMEOUT_MS, Source, SourceFault, SourceSpec,
};
pub use state::{COOL_DOWN_MS, MAX_BACK_OFF_MS, MIN_BACK_OFF_MS};

use crate::store::{Cas, Told};
use ledger::{Ledger, superseded};
use state::{State, Wish};

/// The largest document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 512 * 1024;

/// How often a lost race is run again before the next tick.
const TRIES: u8 = 3;

/// One source as one worker knows it.
#[derive(Debug)]
pub struct Fetch<D> {
    phase: Phase<D>,
    ledger: Ledger,
}

#[derive(Debug)]
enum Phase<D> {
    /// Nothing is asked.
    Idle,
    /// The state is read, to see what there is to do.
    Looking { wish: Wish, tries: u8 },
    /// The document is read that this state tells of.
    Taking { state: State },
    /// The lease is swapped in.
    Claiming { wish: Wish, tries: u8, state: State },
    /// A call is under way.
    Calling {
        lease: Lease,
        number: u64,
        what: What,
    },
    /// A good document came; the one in the map is read.
    Comparing { fetched: Fetched<D>, tries: u8 },
    /// The state is read, to see whether the source is still ours.
    Confirming {
        fetched: Fetched<D>,
        tries: u8,
        slot: Slot,
    },
    /// The document is swapped in.
    Writing {
        fetched: Fetched<D>,
        tries: u8,
        slot: Slot,
        state: State,
        cas: Cas,
    },
    /// The state that tells of the document is swapped in.
    Publishing {
        fetched: Fetched<D>,
        slot: Slot,
        state: State,
    },
    /// The attempt failed; the state is read.
    Failing { attempt: u64 },
    /// The state that tells of the failure is swapped in.
    Settling { state: State },
}

/// An attempt of this worker.
#[derive(Debug, Clone, Copy)]
struct Lease {
    attempt: u64,
    until: u64,
}

/// What a call is for.
#[derive(Debug, Clone, Copy)]
enum What {
    Discovery,
    Document,
}

/// A good document on its way into the map.
#[derive(Debug)]
struct Fetched<D> {
    attempt: u64,
    document: D,
    bytes: Vec<u8>,
    fresh_ms: u64,
}

/// Where in the map a fetched document goes.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// In place of what carries this mark.
    cas: Cas,
    generation: u64,
    change: Change,
}

/// Whether the document is the one that is there already.
#[derive(Debug, Clone, Copy)]
enum Change {
    Same,
    Renewed,
}

type Next<D> = (Phase<D>, Vec<Effect<D>>);

impl<D: Document> Fetch<D> {
    /// A source of which this worker knows nothing yet.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            phase: Phase::Idle,
            ledger: Ledger::new(source),
        }
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &Source {
        self.ledger.source()
    }

    /// Whether there is a document to decide by, at `now` milliseconds since 1970.
    #[must_use]
    pub fn standing(&self, now: u64) -> Standing {
        self.ledger.standing(now)
    }

    /// When the last attempt of any worker ended that this worker knows of, well or not, in milliseconds since 1970. What it
    /// brought has been adopted by then.
    #[must_use]
    pub fn tried_at(&self) -> Option<u64> {
        let at = self.ledger.seen().tried_at;
        (at != 0).then_some(at)
    }

    /// Whether it is worth waiting for a newer document: [`Event::Wanted`] would begin an attempt, or one is under way. As far
    /// as this worker knows since its last event.
    #[must_use]
    pub fn may_ask(&self, now: u64) -> bool {
        let seen = self.ledger.seen().as_of(now, self.ledger.source());
        seen.is_leased(now) || seen.may_begin(Wish::Early, now)
    }

    /// Takes one event at `now` milliseconds since 1970. `luck` is any random number; only the length of a back-off hangs on it.
    #[must_use]
    pub fn on(self, event: Event, now: u64, luck: u32) -> (Self, Vec<Effect<D>>) {
        let Self { phase, mut ledger } = self;
        let (phase, effects) = match (phase, event) {
            (Phase::Idle, Event::Tick) => ledger.look(Wish::OnTime, TRIES),
            (Phase::Idle, Event::Wanted) => ledger.look(Wish::Early, TRIES),
            (Phase::Calling { lease, .. }, Event::Tick) if ledger.is_over(lease, now) => {
                ledger.fail(lease.attempt, Failure::Unanswered)
            }
            (
                Phase::Calling {
                    lease,
                    number: called,
                    what,
                },
                Event::Answered { number, answer },
            ) if called == number => ledger.answered(lease, what, answer, now),
            (
                Phase::Calling {
                    lease,
                    number: called,
                    ..
                },
                Event::NotCalled { number },
            ) if called == number => ledger.fail(lease.attempt, Failure::NotCalled),
            (phase, Event::Told(told)) => ledger.told(phase, told, now, luck),
            // An attempt of this worker is under way, which serves every wish; or the map was asked, and answers before
            // anything else can happen.
            (phase, Event::Tick | Event::Wanted) => (phase, Vec::new()),
            // Late: the attempt was given up when its lease ended, and others may have begun since.
            (phase, Event::Answered { .. } | Event::NotCalled { .. }) => (phase, Vec::new()),
        };
        (Self { phase, ledger }, effects)
    }
}

impl Ledger {
    /// The map answers.
    fn told<D: Document>(&mut self, phase: Phase<D>, told: Told, now: u64, luck: u32) -> Next<D> {
        match (phase, told) {
            // Nothing was asked in these, so nothing hangs on the answer.
            (phase @ (Phase::Idle | Phase::Calling { .. }), _) => (phase, Vec::new()),
            (Phase::Looking { wish, tries }, Told::Value(value)) => {
                self.looked(wish, tries, self.state_of(value, now), now, luck)
            }
            (Phase::Taking { state }, Told::Value(value)) => self.take(state, value),
            (Phase::Claiming { state, .. }, Told::Swapped) => self.claimed(state, now),
            (Phase::Claiming { wish, tries, .. }, Told::Conflict) => match tries.checked_sub(1) {
                Some(tries) => self.look(wish, tries),
                None => (Phase::Idle, Vec::new()),
            },
            (Phase::Comparing { fetched, tries }, Told::Value(value)) => {
                let slot = self.compare(&fetched, value);
                self.confirm(fetched, tries, slot)
            }
            (
                Phase::Confirming {
                    fetched,
                    tries,
                    slot,
                },
                Told::Value(value),
            ) => self.confirmed(fetched, tries, slot, self.state_of(value, now)),
            (
                Phase::Writing {
                    fetched,
                    slot,
                    state,
                    cas,
                    ..
                },
                Told::Swapped,
            ) => self.publish(fetched, slot, state, cas, now),
            (Phase::Writing { fetched, tries, .. }, Told::Conflict) => match tries.checked_sub(1) {
                Some(tries) => self.compare_first(fetched, tries),
                None => superseded(),
            },
            (
                Phase::Publishing {
                    fetched,
                    slot,
                    state,
                },
                Told::Swapped,
            ) => self.published(fetched, slot, state),
            // While the lease is ours nobody else swaps the state.
            (Phase::Publishing { .. }, Told::Conflict) => superseded(),
            (Phase::Failing { attempt }, Told::Value(value)) => {
                self.settle(attempt, self.state_of(value, now), now, luck)
            }
            (Phase::Settling { state }, Told::Swapped) => {
                self.see(state);
                (Phase::Idle, Vec::new())
            }
            (Phase::Settling { .. }, Told::Conflict) => (Phase::Idle, Vec::new()),
            // The map does not answer, or answers something else than was asked: nothing is decided, and what is held stays as
            // long as it may. An attempt that ends here was counted as failed when it began.
            (_, Told::Unavailable | Told::Value(_) | Told::Swapped | Told::Conflict) => {
                (Phase::Idle, self.silence(now))
            }
        }
    }
}

#[cfg(test)]
mod tests;
