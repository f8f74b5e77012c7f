//! What was fetched, by its place: the keys and the lists of revoked tokens that a worker decides by.
//!
//! Decided here: which document a shelf holds now, and that none is used after its time. Not decided here: when and by whom
//! it is fetched (`fetch`), what stands in it (`token`).

use crate::fetch::{Call, Document, Effect, Event, Fetch, Kind, Note, Source, Standing};
use crate::json::Json;
use crate::store::Ask;
use crate::token::{Alg, KeyFault, KeySet, Revocation};

/// A place in the library: a source, by its place in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shelf(pub usize);

/// The documents of a worker.
#[derive(Debug, Default)]
pub struct Library(Vec<Shelved>);

/// One shelf, by what it holds.
#[derive(Debug)]
enum Shelved {
    Keys(Held<Published>),
    Revocation(Held<Revocation>),
}

/// A document and the machine that renews it. The machine is away only while it takes a step.
#[derive(Debug)]
struct Held<D> {
    fetch: Option<Fetch<D>>,
    document: Option<D>,
    generation: u64,
}

/// Why there is nothing to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing was fetched yet.
    Never,
    /// What was fetched is too old.
    Expired,
}

/// What a shelf wants done.
#[derive(Debug)]
pub enum Errand {
    /// Ask the map of the workers, and tell the shelf what it says before anything else.
    Ask(Ask),
    /// Call a cluster, and tell the shelf the answer.
    Call(Call),
    /// Tell the operator.
    Note(Note),
    /// Tell the operator of a document that was fetched anew.
    Remark(String),
}

impl Library {
    /// The empty shelves of these sources.
    pub fn new(sources: &[Source]) -> Self {
        let shelves = sources.iter().cloned().map(|source| match source.kind() {
            Kind::Keys | Kind::Discovery { .. } => Shelved::Keys(Held::new(source)),
            Kind::Revocation => Shelved::Revocation(Held::new(source)),
        });
        Self(shelves.collect())
    }

    /// Every shelf.
    pub fn shelves(&self) -> impl Iterator<Item = Shelf> + use<> {
        (0..self.0.len()).map(Shelf)
    }

    /// What a shelf is filled from.
    pub fn source(&self, shelf: Shelf) -> Option<&Source> {
        match self.0.get(shelf.0)? {
            Shelved::Keys(held) => held.fetch.as_ref().map(Fetch::source),
            Shelved::Revocation(held) => held.fetch.as_ref().map(Fetch::source),
        }
    }

    /// Tells a shelf what happened, at `now` milliseconds since 1970. `luck` is any random number.
    pub fn on(&mut self, shelf: Shelf, event: Event, now: u64, luck: u32) -> Vec<Errand> {
        match self.0.get_mut(shelf.0) {
            Some(Shelved::Keys(held)) => held.on(event, now, luck),
            Some(Shelved::Revocation(held)) => held.on(event, now, luck),
            None => Vec::new(),
        }
    }

    /// The keys on a shelf.
    ///
    /// # Errors
    /// When there are none that may be used.
    pub fn keys(&self, shelf: Shelf, now: u64) -> Result<&KeySet, Missing> {
        match self.0.get(shelf.0) {
            Some(Shelved::Keys(held)) => held.good(now).map(|published| &published.keys),
            Some(Shelved::Revocation(_)) | None => Err(Missing::Never),
        }
    }

    /// The list of revoked tokens on a shelf.
    ///
    /// # Errors
    /// When there is none that may be used.
    pub fn revocation(&self, shelf: Shelf, now: u64) -> Result<&Revocation, Missing> {
        match self.0.get(shelf.0) {
            Some(Shelved::Revocation(held)) => held.good(now),
            Some(Shelved::Keys(_)) | None => Err(Missing::Never),
        }
    }

    /// A number that changes with the document on a shelf; 0 while there is none.
    pub fn generation(&self, shelf: Shelf) -> u64 {
        match self.0.get(shelf.0) {
            Some(Shelved::Keys(held)) => held.generation,
            Some(Shelved::Revocation(held)) => held.generation,
            None => 0,
        }
    }

    /// When a shelf was last tried to be filled, well or not, in milliseconds since 1970.
    fn tried_at(&self, shelf: Shelf) -> Option<u64> {
        match self.0.get(shelf.0)? {
            Shelved::Keys(held) => held.fetch.as_ref()?.tried_at(),
            Shelved::Revocation(held) => held.fetch.as_ref()?.tried_at(),
        }
    }

    /// How far all shelves have come: a value that changes when one was filled, or tried in vain. Then what waits for one
    /// is to be asked again.
    pub fn progress(&self) -> Vec<(u64, Option<u64>)> {
        self.shelves()
            .map(|shelf| (self.generation(shelf), self.tried_at(shelf)))
            .collect()
    }

    /// Whether a shelf is being filled anew, or could be, so that waiting for it makes sense.
    pub fn is_filling(&self, shelf: Shelf, now: u64) -> bool {
        match self.0.get(shelf.0) {
            Some(Shelved::Keys(held)) => held.may_ask(now),
            Some(Shelved::Revocation(held)) => held.may_ask(now),
            None => false,
        }
    }
}

/// How deep a key set may nest.
const MAX_DEPTH: u8 = 16;

/// A key set as an identity provider publishes it.
#[derive(Debug)]
struct Published {
    keys: KeySet,
    passed_over: Vec<KeyFault>,
}

impl Document for Published {
    /// Any asymmetric key; which of their algorithms count, the issuer says.
    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let json = Json::parse(bytes, MAX_DEPTH).map_err(|_| "the key set is not strict JSON")?;
        let (keys, passed_over) = KeySet::published(&json, &Alg::asymmetric())
            .map_err(|_| "the key set has no key that can be used, or two of one name")?;
        Ok(Self { keys, passed_over })
    }

    /// Which keys are not used and why. Not by their ids, which are the provider's words.
    fn remark(&self) -> Option<String> {
        let told = |fault: &KeyFault| match fault.index {
            Some(index) => format!("keys[{index}]: {}", fault.why),
            None => fault.why.to_string(),
        };
        let passed_over: Vec<String> = self.passed_over.iter().map(told).collect();
        (!passed_over.is_empty()).then(|| format!("passed over: {}", passed_over.join("; ")))
    }
}

impl<D: Document> Held<D> {
    fn new(source: Source) -> Self {
        Self {
            fetch: Some(Fetch::new(source)),
            document: None,
            generation: 0,
        }
    }

    fn on(&mut self, event: Event, now: u64, luck: u32) -> Vec<Errand> {
        let Some(fetch) = self.fetch.take() else {
            return Vec::new();
        };
        let (fetch, effects) = fetch.on(event, now, luck);
        self.fetch = Some(fetch);
        let mut errands = Vec::new();
        for effect in effects {
            match effect {
                Effect::Ask(ask) => errands.push(Errand::Ask(ask)),
                Effect::Call(call) => errands.push(Errand::Call(call)),
                Effect::Note(note) => {
                    errands.push(Errand::Note(note));
                    // Adopted before it is told of; and by the one worker that fetched it, so that it is told once.
                    if matches!(note, Note::Renewed(_)) {
                        let remark = self.document.as_ref().and_then(Document::remark);
                        errands.extend(remark.map(Errand::Remark));
                    }
                }
                Effect::Adopt {
                    generation,
                    document,
                } => {
                    self.document = Some(document);
                    self.generation = generation;
                }
            }
        }
        errands
    }

    fn good(&self, now: u64) -> Result<&D, Missing> {
        let standing = self
            .fetch
            .as_ref()
            .map_or(Standing::Never, |fetch| fetch.standing(now));
        match (standing, &self.document) {
            (Standing::Good, Some(document)) => Ok(document),
            (Standing::Expired, _) => Err(Missing::Expired),
            (Standing::Never, _) | (Standing::Good, None) => Err(Missing::Never),
        }
    }

    fn may_ask(&self, now: u64) -> bool {
        self.fetch.as_ref().is_some_and(|fetch| fetch.may_ask(now))
    }
}

#[cfg(test)]
mod tests;
