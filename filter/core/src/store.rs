//! What the workers of one gateway share: one map of bytes, and the words in which it is asked.
//!
//! Decided here: the vocabulary only. Whoever needs the map says so by an [`Ask`] among its effects and hears the answer as a
//! [`Told`] among its events, so that a value that is not there, a lost race and a map that fails are ordinary steps that a
//! test can make. Not decided here: what stands under a key, which each user's own module encodes.
//!
//! Promises of the host on which this stands: reading and swapping are atomic; nothing is ever deleted, so keys come from a
//! fixed number; what was written outlives a configuration and a VM, and ends with the process.

use std::fmt;

/// A mark of one state of one value: a swap succeeds only while the value still carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cas(u32);

impl Cas {
    /// The mark that the host gave with a value; never 0, which would overwrite whatever stands there.
    pub fn of(mark: u32) -> Option<Self> {
        (mark != 0).then_some(Self(mark))
    }

    /// For a key that has no value yet. WHY this number: a missing key takes any mark, so the first write would race; the
    /// host counts marks up from 1 and so has never given this one, and a swap with it fails once there is a value.
    pub const ABSENT: Self = Self(u32::MAX);

    /// As the host takes it.
    pub fn mark(self) -> u32 {
        self.0
    }
}

/// A question to the map.
#[derive(Clone, PartialEq, Eq)]
pub enum Ask {
    /// What stands under a key.
    Read {
        /// The key.
        key: String,
    },
    /// Put a value in place of the one that carries this mark.
    Swap {
        /// The key.
        key: String,
        /// The new value.
        value: Vec<u8>,
        /// The mark of the value that was read, or [`Cas::ABSENT`].
        cas: Cas,
    },
}

impl fmt::Debug for Ask {
    /// Shows only how long a value is: it can be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { key } => write!(f, "Read({key})"),
            Self::Swap { key, value, cas } => {
                write!(f, "Swap({key}, {} bytes, {cas:?})", value.len())
            }
        }
    }
}

/// The answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Told {
    /// To a read: the value and its mark, or that there is none.
    Value(Option<(Vec<u8>, Cas)>),
    /// To a swap: done.
    Swapped,
    /// To a swap: somebody else was first; read again.
    Conflict,
    /// The map does not answer: what stands on it cannot be decided.
    Unavailable,
}

impl fmt::Debug for Told {
    /// As [`Ask`]: no value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(None) => f.write_str("Value(none)"),
            Self::Value(Some((value, cas))) => {
                write!(f, "Value({} bytes, {cas:?})", value.len())
            }
            Self::Swapped => f.write_str("Swapped"),
            Self::Conflict => f.write_str("Conflict"),
            Self::Unavailable => f.write_str("Unavailable"),
        }
    }
}
