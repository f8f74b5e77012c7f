//! The request body, scanned and hashed as it passes: what it says that we decide on, and the SHA-256 of exactly its bytes. Decided here:
//! whether the body is a JSON object that every reader reads alike. Not decided: which operation needs which field, who may use the
//! model, and the status of a refusal. Against THREATS 1–3, 10, 11, 30 and 37.
//!
//! | promise | how it is kept |
//! |---|---|
//! | constant memory | fixed buffers, one allocation of about 1.5 KiB for each scan; and the model's name, at most [`MAX_MODEL_BYTES`] |
//! | any chunking, same outcome | each byte steps one state machine; fast paths only skip bytes that do not change its state |
//! | JSON as RFC 8259 has it | UTF-8 without a byte order mark, no lone surrogate, nothing behind the object; what `serde_json` accepts, within the limits |
//! | no second reading of a guarded object | its keys are printable ASCII, each stands once, and none resembles a guarded key without being exactly that |
//!
//! Guarded objects are the body itself (`model`, `stream`, `stream_options`, `max_tokens`, `max_completion_tokens`, `max_output_tokens`,
//! `n`) and the value of `stream_options` (`include_usage`). In all other objects (messages, tools, metadata) nothing is decided on, so
//! only their grammar is checked: a key may repeat there.
//!
//! The facts of a body stand only when [`BodyScan::finish`] returns them. [`BodyScan::model`] may be used earlier to decide who may go on,
//! but a later byte can still fault the body: hence its end is not passed on before `finish`.

mod fault;
mod keys;
mod nest;
mod number;
mod run;
mod scan;
mod text;

use std::fmt;

use sha2::{Digest, Sha256};

use self::fault::Fault;
pub use self::fault::{BodyFault, Faulted, Field};
use self::scan::Scanner;

/// The longest key of a guarded object, in decoded bytes.
pub const MAX_KEY_BYTES: usize = 128;

/// The most keys that the guarded objects of one body have together.
pub const MAX_KEYS: usize = 128;

/// The longest model name, in decoded bytes.
pub const MAX_MODEL_BYTES: usize = 256;

/// The longest number literal, in bytes.
pub const MAX_NUMBER_BYTES: u8 = 64;

/// The largest token limit or number of choices that a body may ask for: the largest signed 32-bit integer, which upstreams read into.
pub const MAX_COUNT: u64 = 2_147_483_647;

/// The depth of nesting that is allowed where nothing else is said. The body itself is depth one.
pub const DEFAULT_MAX_DEPTH: u8 = 64;

/// How much of a body is read. What is bounded by a buffer is a constant of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    max_bytes: u64,
    max_depth: u8,
}

impl Limits {
    /// At most `max_bytes` bytes (zero: no byte at all), nested at most [`DEFAULT_MAX_DEPTH`] deep.
    #[must_use]
    pub const fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            max_depth: DEFAULT_MAX_DEPTH,
        }
    }

    /// The same, nested at most `max_depth` deep (zero: not even the body's own object).
    #[must_use]
    pub const fn with_max_depth(self, max_depth: u8) -> Self {
        Self { max_depth, ..self }
    }
}

/// What the body of an inference request says that we decide on. `None` is a field that is absent or null, which readers take for the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodyFacts {
    model: Option<String>,
    stream: Option<bool>,
    include_usage: Option<bool>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    n: Option<u64>,
}

impl BodyFacts {
    const NONE: Self = Self {
        model: None,
        stream: None,
        include_usage: None,
        max_tokens: None,
        max_completion_tokens: None,
        max_output_tokens: None,
        n: None,
    };

    /// The model, decoded: 1 to [`MAX_MODEL_BYTES`] ASCII letters, digits and `. _ : / @ + ~ = -`. Never null.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// `stream`: whether the answer is to come as events.
    #[must_use]
    pub const fn stream(&self) -> Option<bool> {
        self.stream
    }

    /// `stream_options.include_usage`: whether a streamed answer is to end with the tokens used.
    #[must_use]
    pub const fn include_usage(&self) -> Option<bool> {
        self.include_usage
    }

    /// `max_tokens`, 1 to [`MAX_COUNT`] tokens.
    #[must_use]
    pub const fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// `max_completion_tokens`, 1 to [`MAX_COUNT`] tokens.
    #[must_use]
    pub const fn max_completion_tokens(&self) -> Option<u64> {
        self.max_completion_tokens
    }

    /// `max_output_tokens`, 1 to [`MAX_COUNT`] tokens.
    #[must_use]
    pub const fn max_output_tokens(&self) -> Option<u64> {
        self.max_output_tokens
    }

    /// `n`, the number of answers asked for, 1 to [`MAX_COUNT`].
    #[must_use]
    pub const fn n(&self) -> Option<u64> {
        self.n
    }
}

/// How many bytes were seen, and their SHA-256 (FIPS 180-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digested {
    bytes: u64,
    sha256: [u8; 32],
}

impl Digested {
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 of exactly these bytes.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

/// A whole body that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    facts: BodyFacts,
    digested: Digested,
}

impl Scanned {
    /// What the body says.
    #[must_use]
    pub const fn facts(&self) -> &BodyFacts {
        &self.facts
    }

    /// The number of its bytes and their SHA-256.
    #[must_use]
    pub const fn digested(&self) -> Digested {
        self.digested
    }
}

/// A body as far as it was seen. Each step takes the scan and gives it back; a fault does not, so nothing can be read after one.
#[derive(Clone)]
pub struct BodyScan {
    max_bytes: u64,
    bytes: u64,
    sha256: Sha256,
    reading: Reading,
}

/// What the operation's body is.
#[derive(Clone)]
enum Reading {
    Json(Box<Scanner>),
    Nothing,
    Anything,
}

impl Reading {
    fn model(&self) -> Option<&str> {
        match self {
            Self::Json(scanner) => scanner.facts().model(),
            Self::Nothing | Self::Anything => None,
        }
    }
}

impl BodyScan {
    /// The scan of a body that is a JSON object.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            max_bytes: limits.max_bytes,
            bytes: 0,
            sha256: Sha256::new(),
            reading: Reading::Json(Box::new(Scanner::new(limits.max_depth))),
        }
    }

    /// The scan of a body that an operation does not have: any byte is the fault `Unexpected`, and its end gives no facts.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            max_bytes: 0,
            bytes: 0,
            sha256: Sha256::new(),
            reading: Reading::Nothing,
        }
    }

    /// The scan of a body that nothing is decided on: it is counted and hashed, nothing is a fault, its end gives no facts.
    #[must_use]
    pub fn anything() -> Self {
        Self {
            max_bytes: u64::MAX,
            bytes: 0,
            sha256: Sha256::new(),
            reading: Reading::Anything,
        }
    }

    /// Takes the next bytes of the body, any number of them.
    ///
    /// # Errors
    /// The first fault of the body, whatever the chunks; all but `Empty` and `Unfinished`.
    pub fn feed(self, chunk: &[u8]) -> Result<Self, Faulted> {
        let Self {
            max_bytes,
            bytes: before,
            mut sha256,
            mut reading,
        } = self;
        sha256.update(chunk);
        let bytes = before.saturating_add(length(chunk.len()));
        let found = match &mut reading {
            Reading::Json(scanner) => {
                feed_within(scanner, chunk, max_bytes.saturating_sub(before), max_bytes)
            }
            Reading::Anything => Ok(()),
            Reading::Nothing if chunk.is_empty() => Ok(()),
            Reading::Nothing => Err(BodyFault::Unexpected.at(before)),
        };
        match found {
            Ok(()) => Ok(Self {
                max_bytes,
                bytes,
                sha256,
                reading,
            }),
            Err(Fault { fault, offset }) => Err(Faulted {
                fault,
                offset,
                digested: digested(bytes, sha256),
                model: reading.model().map(str::to_owned),
            }),
        }
    }

    /// The model, as soon as its closing quote was seen.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.reading.model()
    }

    /// The number of bytes fed.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the scan at the end of the body.
    ///
    /// # Errors
    /// `Empty` when there was no body, `Unfinished` when its end is missing.
    pub fn finish(self) -> Result<Scanned, Faulted> {
        let digested = digested(self.bytes, self.sha256);
        let model = self.reading.model().map(str::to_owned);
        let found = match self.reading {
            Reading::Json(scanner) => scanner.finish(),
            Reading::Nothing | Reading::Anything => Ok(BodyFacts::NONE),
        };
        match found {
            Ok(facts) => Ok(Scanned { facts, digested }),
            Err(Fault { fault, offset }) => Err(Faulted {
                fault,
                offset,
                digested,
                model,
            }),
        }
    }
}

/// Scans what of `chunk` is within the limit first, so that an earlier fault is found whatever the chunks.
fn feed_within(
    scanner: &mut Scanner,
    chunk: &[u8],
    room: u64,
    max_bytes: u64,
) -> Result<(), Fault> {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    match chunk.split_at_checked(room) {
        Some((within, beyond)) if !beyond.is_empty() => {
            scanner.feed(within)?;
            Err(BodyFault::TooLarge.at(max_bytes))
        }
        Some(_) | None => scanner.feed(chunk),
    }
}

/// A number of bytes as a distance between offsets.
fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn digested(bytes: u64, sha256: Sha256) -> Digested {
    Digested {
        bytes,
        sha256: sha256.finalize().into(),
    }
}

/// Shows how much was seen, nothing of what.
impl fmt::Debug for BodyScan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BodyScan")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
