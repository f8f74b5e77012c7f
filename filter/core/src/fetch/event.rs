//! What a source hears and what it asks for: the words between the machine and its host.

use std::fmt;

use crate::store::{Ask, Told};

/// A kind of document: its one reader.
///
/// The fault is a fixed sentence of ours, so that no log line can carry what a source sent.
pub trait Document: Sized {
    /// Reads a document.
    ///
    /// # Errors
    /// Why it is not one that can be used: `it is not strict JSON`. A document that is well-formed and useless (a key set
    /// without a key) is refused here too: it must not take the place of a good one.
    fn read(bytes: &[u8]) -> Result<Self, &'static str>;

    /// What the operator should know of a document that is good, in our own words.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed. The first one comes with the first tick and not with the configuration: a VM that is configured only to
    /// try the policy would take the lease with it when it ends.
    Tick,
    /// Something is missing that the source may have by now, as the key that a token names.
    Wanted,
    /// The map answered the last [`Ask`]; it does so at once, within the callback in which it was asked.
    Told(Told),
    /// The gateway does not make the call of this number: it has no such cluster, or none of its endpoints can be called.
    NotCalled {
        /// [`Call::number`].
        number: u64,
    },
    /// The call of this number was answered.
    Answered {
        /// [`Call::number`].
        number: u64,
        /// The answer.
        answer: Answer,
    },
}

/// An answer, as the gateway gave it.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status (RFC 9110 section 15): of the source, or 503 and 504 of the gateway itself.
    pub status: u16,
    /// All values of `Cache-Control`, joined by commas.
    pub cache_control: Option<Vec<u8>>,
    /// The value of `Age`.
    pub age: Option<Vec<u8>>,
    /// The body; of one longer than [`super::MAX_DOCUMENT_BYTES`], any longer part.
    pub body: Vec<u8>,
}

/// A call to a cluster of the gateway: `GET`, scheme https.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Names the call in its answer; no two calls of one worker for one source have the same.
    pub number: u64,
    /// The cluster.
    pub cluster: String,
    /// `:authority`
    pub authority: String,
    /// `:path`
    pub path: String,
    /// The time-out, in milliseconds.
    pub timeout_ms: u64,
}

/// What the machine wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<D> {
    /// Ask the map.
    Ask(Ask),
    /// Make a call.
    Call(Call),
    /// From now on this document is the one; it replaces whatever this worker had.
    Adopt {
        /// Its number; higher than that of any document that this worker had.
        generation: u64,
        /// The document.
        document: D,
    },
    /// Tell the operator.
    Note(Note),
}

/// Whether a source has something to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No document came yet: what needs one cannot be decided.
    Never,
    /// The document that was adopted last may be used.
    Good,
    /// It is too old: what needs it cannot be decided.
    Expired,
}

/// Something for the operator's log. Holds no piece of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Another document than before was fetched and published, under this generation.
    Renewed(u64),
    /// The document was fetched again, and is the one of this generation.
    Unchanged(u64),
    /// An attempt failed; the last good document stays.
    Failed(Failure),
    /// The attempt took longer than its lease; what it brought was dropped, as another worker has the source.
    Superseded,
    /// What stands in the map under this generation is not a document that this worker can use; a new one is fetched.
    Unusable(u64),
    /// The map that the workers share does not answer.
    MapSilent,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The status was not 200: redirects too.
    Status(u16),
    /// The body was empty.
    Empty,
    /// The body was longer than [`super::MAX_DOCUMENT_BYTES`].
    TooLarge,
    /// The discovery document was not usable.
    Discovery(&'static str),
    /// The document was not usable.
    Document(&'static str),
    /// No answer came within the lease.
    Unanswered,
    /// The gateway did not make the call.
    NotCalled,
}

impl fmt::Debug for Answer {
    /// Shows only the size of what the source sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

impl fmt::Display for Note {
    /// To stand behind the name of the source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Renewed(generation) => write!(f, "a new document is in use, generation {generation}"),
            Note::Unchanged(generation) => {
                write!(f, "the document is still that of generation {generation}")
            }
            Note::Failed(failure) => write!(
                f,
                "not fetched: {failure}; a document from before stays"
            ),
            Note::Superseded => f.write_str(
                "the answer came after the lease of its attempt; it is dropped, another worker fetches",
            ),
            Note::Unusable(generation) => write!(
                f,
                "the shared document of generation {generation} cannot be used; it is fetched anew"
            ),
            Note::MapSilent => f.write_str("shared data does not answer: nothing is fetched"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Status(status) => write!(f, "status {status}, and only 200 is an answer"),
            Failure::Empty => f.write_str("the answer is empty"),
            Failure::TooLarge => write!(
                f,
                "the answer is larger than {} bytes",
                super::MAX_DOCUMENT_BYTES
            ),
            Failure::Discovery(why) => write!(f, "discovery: {why}"),
            Failure::Document(why) => f.write_str(why),
            Failure::Unanswered => f.write_str("no answer came in time"),
            Failure::NotCalled => {
                f.write_str("the gateway has no cluster of this name, or it has no endpoint")
            }
        }
    }
}
