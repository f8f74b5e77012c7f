//! The steps of a fetch: what a worker knows of one source, and what it does with each answer.
//!
//! Decided here: which generation replaces which, who may write, and what a failure leaves. The order of the steps is that of
//! the phases in the module above.

use super::freshness::fresh_ms;
use super::state::{self, Entry, State, Wish};
use super::{
    Answer, Call, Change, Document, Effect, Failure, Fetched, Lease, MAX_DOCUMENT_BYTES, Next,
    Note, Phase, Slot, Source, Standing, TRIES, What, discovery,
};
use crate::store::{Ask, Cas};

/// How often the map's silence is told, in milliseconds.
const SILENCE_MS: u64 = 60_000;

/// What a worker knows beside the phase.
#[derive(Debug)]
pub(super) struct Ledger {
    source: Source,
    /// What this worker adopted last: its generation, and when it was fetched.
    held: Option<Held>,
    /// The generation in the map that this worker could not use.
    unusable: Option<u64>,
    /// The state of the source when this worker last looked.
    seen: State,
    /// How many calls this worker has made.
    calls: u64,
    /// When the map's silence was told last.
    silent_at: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    generation: u64,
    fetched_at: u64,
}

impl Ledger {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            held: None,
            unusable: None,
            seen: State::default(),
            calls: 0,
            silent_at: None,
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn seen(&self) -> State {
        self.seen
    }

    pub(super) fn standing(&self, now: u64) -> Standing {
        match self.held {
            None => Standing::Never,
            Some(held) if now.saturating_sub(held.fetched_at) < self.source.max_stale_ms() => {
                Standing::Good
            }
            Some(_) => Standing::Expired,
        }
    }

    pub(super) fn look<D>(&self, wish: Wish, tries: u8) -> Next<D> {
        (Phase::Looking { wish, tries }, vec![self.read_state()])
    }

    /// Takes what is newer, begins an attempt, or does nothing.
    pub(super) fn looked<D>(
        &mut self,
        wish: Wish,
        tries: u8,
        (state, cas): (State, Cas),
        now: u64,
        luck: u32,
    ) -> Next<D> {
        let held = self.held.map_or(0, |held| held.generation);
        let unusable = self.unusable == Some(state.generation);
        // A wish that finds a newer document is met with it.
        if state.generation > held && !unusable {
            let read = Effect::Ask(Ask::Read {
                key: self.source.document_key(),
            });
            return (Phase::Taking { state }, vec![read]);
        }
        self.see(state);
        let wish = if unusable { Wish::Early } else { wish };
        if !state.may_begin(wish, now) {
            return (Phase::Idle, Vec::new());
        }
        let state = state.begun(now, luck, &self.source);
        let swap = self.swap_state(state, cas);
        (Phase::Claiming { wish, tries, state }, vec![swap])
    }

    /// Adopts what another worker has published.
    pub(super) fn take<D: Document>(
        &mut self,
        state: State,
        value: Option<(Vec<u8>, Cas)>,
    ) -> Next<D> {
        let entry = value.as_ref().and_then(|(bytes, _)| Entry::decode(bytes));
        // The entry may be ahead of the state: its writer is about to publish it, or died before. It is as good, and counts
        // as no younger than the one before it.
        let read = match entry {
            Some(entry) if entry.generation >= state.generation => D::read(entry.bytes)
                .ok()
                .map(|document| (entry.generation, document)),
            Some(_) | None => None,
        };
        self.see(state);
        match read {
            Some((generation, document)) => (
                Phase::Idle,
                vec![self.adopt(generation, state.fetched_at, document)],
            ),
            None => {
                self.unusable = Some(state.generation);
                let note = Effect::Note(Note::Unusable(state.generation));
                (Phase::Idle, vec![note])
            }
        }
    }

    /// The source is ours: the first call.
    pub(super) fn claimed<D>(&mut self, state: State, now: u64) -> Next<D> {
        self.see(state);
        let lease = Lease {
            attempt: state.attempt,
            until: state.lease_until,
        };
        let (cluster, authority) = (self.source.cluster(), self.source.authority());
        let what = match self.source.discovery() {
            Some(_) => What::Discovery,
            None => What::Document,
        };
        let to = (cluster.to_owned(), authority.to_owned());
        let path = self.source.path().to_owned();
        self.call(lease, what, to, path, now)
    }

    fn call<D>(
        &mut self,
        lease: Lease,
        what: What,
        (cluster, authority): (String, String),
        path: String,
        now: u64,
    ) -> Next<D> {
        // INVARIANT (single flight): a worker that was held up calls nobody when others may have begun.
        if self.is_over(lease, now) {
            return superseded();
        }
        self.calls = self.calls.wrapping_add(1);
        let number = self.calls;
        let call = Call {
            number,
            cluster,
            authority,
            path,
            timeout_ms: self.source.timeout_ms(),
        };
        let phase = Phase::Calling {
            lease,
            number,
            what,
        };
        (phase, vec![Effect::Call(call)])
    }

    /// Whether others may have the source by now; also when the clock was set back by more than a lease.
    pub(super) fn is_over(&self, lease: Lease, now: u64) -> bool {
        !state::is_running(lease.until, now, &self.source)
    }

    /// Only a 200 with a usable document in it is a success.
    pub(super) fn answered<D: Document>(
        &mut self,
        lease: Lease,
        what: What,
        answer: Answer,
        now: u64,
    ) -> Next<D> {
        let Answer {
            status,
            cache_control,
            age,
            body,
        } = answer;
        let refused = if status != 200 {
            Some(Failure::Status(status))
        } else if body.is_empty() {
            Some(Failure::Empty)
        } else if body.len() > MAX_DOCUMENT_BYTES {
            Some(Failure::TooLarge)
        } else {
            None
        };
        if let Some(failure) = refused {
            return self.fail(lease.attempt, failure);
        }
        match (what, self.source.discovery()) {
            (What::Discovery, Some((issuer, keys))) => {
                match discovery::keys_path(&body, issuer, keys) {
                    Ok(path) => {
                        let to = (keys.cluster.clone(), keys.authority.as_str().to_owned());
                        self.call(lease, What::Document, to, path, now)
                    }
                    Err(why) => self.fail(lease.attempt, Failure::Discovery(why)),
                }
            }
            (What::Discovery, None) => {
                self.fail(lease.attempt, Failure::Discovery("it is not asked for"))
            }
            (What::Document, _) => match D::read(&body) {
                Ok(document) => {
                    let fetched = Fetched {
                        attempt: lease.attempt,
                        document,
                        bytes: body,
                        fresh_ms: fresh_ms(
                            cache_control.as_deref(),
                            age.as_deref(),
                            self.source.refresh_ms(),
                        ),
                    };
                    self.compare_first(fetched, TRIES)
                }
                Err(why) => self.fail(lease.attempt, Failure::Document(why)),
            },
        }
    }

    /// INVARIANT (order): the mark of the document is read before the state is. A worker that finds the source its own and then
    /// swaps the document in has so proved that nobody else published one in between.
    pub(super) fn compare_first<D>(&self, fetched: Fetched<D>, tries: u8) -> Next<D> {
        let read = Effect::Ask(Ask::Read {
            key: self.source.document_key(),
        });
        (Phase::Comparing { fetched, tries }, vec![read])
    }

    /// The same bytes keep their generation, so that nothing that was made of them is made again.
    pub(super) fn compare<D>(&self, fetched: &Fetched<D>, value: Option<(Vec<u8>, Cas)>) -> Slot {
        let known = self
            .held
            .map_or(0, |held| held.generation)
            .max(self.seen.generation);
        let (entry, cas) = match &value {
            Some((bytes, cas)) => (Entry::decode(bytes), *cas),
            None => (None, Cas::ABSENT),
        };
        match entry {
            Some(entry) if entry.bytes == fetched.bytes && entry.generation >= known => Slot {
                cas,
                generation: entry.generation,
                change: Change::Same,
            },
            Some(_) | None => Slot {
                cas,
                generation: entry
                    .map_or(0, |entry| entry.generation)
                    .max(known)
                    .saturating_add(1),
                change: Change::Renewed,
            },
        }
    }

    pub(super) fn confirm<D>(&self, fetched: Fetched<D>, tries: u8, slot: Slot) -> Next<D> {
        let phase = Phase::Confirming {
            fetched,
            tries,
            slot,
        };
        (phase, vec![self.read_state()])
    }

    pub(super) fn confirmed<D>(
        &self,
        fetched: Fetched<D>,
        tries: u8,
        slot: Slot,
        (state, cas): (State, Cas),
    ) -> Next<D> {
        if !state.is_of(fetched.attempt) {
            return superseded();
        }
        // WHY also when it is there: the swap is the proof that nobody who lost the lease writes an older one after this.
        let swap = Effect::Ask(Ask::Swap {
            key: self.source.document_key(),
            value: Entry {
                generation: slot.generation,
                bytes: &fetched.bytes,
            }
            .encode(),
            cas: slot.cas,
        });
        let phase = Phase::Writing {
            fetched,
            tries,
            slot,
            state,
            cas,
        };
        (phase, vec![swap])
    }

    pub(super) fn publish<D>(
        &self,
        fetched: Fetched<D>,
        slot: Slot,
        state: State,
        cas: Cas,
        now: u64,
    ) -> Next<D> {
        let state = state.published(slot.generation, now, fetched.fresh_ms);
        let swap = self.swap_state(state, cas);
        let phase = Phase::Publishing {
            fetched,
            slot,
            state,
        };
        (phase, vec![swap])
    }

    pub(super) fn published<D>(
        &mut self,
        fetched: Fetched<D>,
        slot: Slot,
        state: State,
    ) -> Next<D> {
        let Slot {
            generation, change, ..
        } = slot;
        self.see(state);
        let mut effects = Vec::new();
        if self.held.is_none_or(|held| held.generation < generation) {
            effects.push(self.adopt(generation, state.fetched_at, fetched.document));
        }
        effects.push(Effect::Note(match change {
            Change::Renewed => Note::Renewed(generation),
            Change::Same => Note::Unchanged(generation),
        }));
        (Phase::Idle, effects)
    }

    pub(super) fn fail<D>(&self, attempt: u64, failure: Failure) -> Next<D> {
        let effects = vec![self.read_state(), Effect::Note(Note::Failed(failure))];
        (Phase::Failing { attempt }, effects)
    }

    /// Tells the others of the failure, if the source is still ours; otherwise looks at what they did meanwhile.
    pub(super) fn settle<D>(
        &mut self,
        attempt: u64,
        (state, cas): (State, Cas),
        now: u64,
        luck: u32,
    ) -> Next<D> {
        if !state.is_of(attempt) {
            return self.looked(Wish::OnTime, TRIES, (state, cas), now, luck);
        }
        let state = state.failed(now, luck, &self.source);
        let swap = self.swap_state(state, cas);
        (Phase::Settling { state }, vec![swap])
    }

    /// The state that a value holds. What cannot be read is written anew: the generation stands in the document too, and in
    /// what each worker holds.
    pub(super) fn state_of(&self, value: Option<(Vec<u8>, Cas)>, now: u64) -> (State, Cas) {
        match value {
            None => (State::default(), Cas::ABSENT),
            Some((bytes, cas)) => match State::decode(&bytes) {
                Some(state) => (state.as_of(now, &self.source), cas),
                None => (State::default(), cas),
            },
        }
    }

    /// Remembers the state, and how old that makes what is held.
    pub(super) fn see(&mut self, state: State) {
        self.seen = state;
        if let Some(held) = &mut self.held
            && held.generation == state.generation
        {
            held.fetched_at = state.fetched_at;
        }
    }

    fn adopt<D>(&mut self, generation: u64, fetched_at: u64, document: D) -> Effect<D> {
        self.held = Some(Held {
            generation,
            fetched_at,
        });
        self.unusable = None;
        Effect::Adopt {
            generation,
            document,
        }
    }

    pub(super) fn silence<D>(&mut self, now: u64) -> Vec<Effect<D>> {
        let told = self
            .silent_at
            .is_some_and(|at| (at..at.saturating_add(SILENCE_MS)).contains(&now));
        if told {
            return Vec::new();
        }
        self.silent_at = Some(now);
        vec![Effect::Note(Note::MapSilent)]
    }

    fn read_state<D>(&self) -> Effect<D> {
        Effect::Ask(Ask::Read {
            key: self.source.state_key(),
        })
    }

    fn swap_state<D>(&self, state: State, cas: Cas) -> Effect<D> {
        Effect::Ask(Ask::Swap {
            key: self.source.state_key(),
            value: state.encode(),
            cas,
        })
    }
}

/// What was fetched comes too late.
pub(super) fn superseded<D>() -> Next<D> {
    (Phase::Idle, vec![Effect::Note(Note::Superseded)])
}
