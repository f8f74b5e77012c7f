//! One string literal, from behind its opening quote to its closing quote (RFC 8259 §7): escapes, surrogate pairs, UTF-8 and control
//! characters, whatever the chunking. A string that Postern reads is captured decoded; any other is only checked. Which strings are read
//! is decided in `scan`. Against THREATS 3 and 10.

use super::fault::Fault;
use super::run::run;
use super::{BodyFault, MAX_KEY_BYTES, MAX_MODEL_BYTES, length};

/// ```text
///          +-----------------------------------------------+
///          v                                               |
///  ---> Plain --\--> Escape --u--> Hex --4th digit---------+
///        | |  ^         |           | high surrogate       |
///        | |  +---------+           v                      |
///        | |                    LowEscape --\--> LowU --u--+--> Hex (low)
///        | +-lead byte-> Sequence -last byte-> Plain
///        +-"-> closed
/// ```
#[derive(Debug, Clone, Copy)]
pub(super) enum Inside {
    Plain,
    Escape,
    Hex(Hex),
    LowEscape,
    LowU,
    Sequence(Sequence),
}

/// What a part of a chunk did to a string.
#[derive(Debug, Clone, Copy)]
pub(super) enum Progress {
    Within(Inside),
    Closed,
}

/// Takes the bytes of `rest` that belong to the string, and gives their number. `offset` is that of `rest` in the body; `capture` is there
/// for a string that is read.
pub(super) fn take(
    inside: Inside,
    rest: &[u8],
    offset: u64,
    mut capture: Option<&mut Capture>,
) -> Result<(Progress, usize), Fault> {
    let mut inside = inside;
    let mut taken: usize = 0;
    while let Some((&byte, _)) = rest.get(taken..).and_then(<[u8]>::split_first) {
        let at = offset.saturating_add(length(taken));
        match (inside, byte) {
            (Inside::Plain, b'"') => return Ok((Progress::Closed, taken.saturating_add(1))),
            (Inside::Plain, b'\\') => inside = Inside::Escape,
            (Inside::Plain, 0x00..=0x1f) => return Err(BodyFault::NotJson.at(at)),
            (Inside::Plain, _) => {
                let rest = rest.get(taken..).unwrap_or_default();
                let passed = match &mut capture {
                    Some(capture) => capture.take(rest, at)?,
                    None => {
                        let (next, passed) = pass(rest, at)?;
                        inside = next;
                        passed
                    }
                };
                taken = taken.saturating_add(passed);
                continue;
            }
            (Inside::Hex(hex), _) => {
                let rest = rest.get(taken..).unwrap_or_default();
                let (next, passed) = escape(hex, rest, at, capture.as_deref_mut())?;
                inside = next;
                taken = taken.saturating_add(passed);
                continue;
            }
            (Inside::Escape | Inside::LowEscape | Inside::LowU | Inside::Sequence(_), _) => {
                inside = step(inside, byte, at, capture.as_deref_mut())?;
            }
        }
        taken = taken.saturating_add(1);
    }
    Ok((Progress::Within(inside), taken))
}

/// What one byte does inside an escape or a sequence.
fn step(inside: Inside, byte: u8, at: u64, capture: Option<&mut Capture>) -> Result<Inside, Fault> {
    let unit = match inside {
        Inside::Plain | Inside::Hex(_) => return Ok(inside),
        Inside::Escape => match byte {
            b'u' => return Ok(Inside::Hex(Hex::first())),
            b'"' | b'\\' | b'/' => u16::from(byte),
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => 0x0a,
            b'r' => 0x0d,
            b't' => 0x09,
            _ => return Err(BodyFault::of_byte(byte).at(at)),
        },
        Inside::LowEscape if byte == b'\\' => return Ok(Inside::LowU),
        Inside::LowU if byte == b'u' => return Ok(Inside::Hex(Hex::low())),
        Inside::LowEscape | Inside::LowU => return Err(BodyFault::LoneSurrogate.at(at)),
        Inside::Sequence(sequence) => {
            return match sequence.push(byte) {
                Some(Some(sequence)) => Ok(Inside::Sequence(sequence)),
                Some(None) => Ok(Inside::Plain),
                None => Err(BodyFault::NotUtf8.at(at.saturating_sub(u64::from(sequence.seen)))),
            };
        }
    };
    if let Some(capture) = capture {
        capture.push_escaped(unit)?;
    }
    Ok(Inside::Plain)
}

/// Takes the digits of a `\u` escape, and gives their number.
fn escape(
    hex: Hex,
    rest: &[u8],
    at: u64,
    capture: Option<&mut Capture>,
) -> Result<(Inside, usize), Fault> {
    let mut hex = hex;
    for (index, &byte) in rest.iter().enumerate() {
        let found = hex.push(byte);
        let taken = index.saturating_add(1);
        match found.map_err(|fault| fault.at(at.saturating_add(length(index))))? {
            HexStep::Within => {}
            HexStep::HighSurrogate => return Ok((Inside::LowEscape, taken)),
            HexStep::Unit => {
                if let Some(capture) = capture {
                    capture.push_escaped(hex.unit)?;
                }
                return Ok((Inside::Plain, taken));
            }
        }
    }
    Ok((Inside::Hex(hex), rest.len()))
}

/// Passes over a run that is only checked, and gives its length. `rest` does not start with a byte that ends a run.
fn pass(rest: &[u8], at: u64) -> Result<(Inside, usize), Fault> {
    let run = run(rest);
    if run.ascii {
        return Ok((Inside::Plain, run.length));
    }
    let bytes = rest.get(..run.length).unwrap_or(rest);
    let Err(error) = std::str::from_utf8(bytes) else {
        return Ok((Inside::Plain, run.length));
    };
    let valid = error.valid_up_to();
    let tail = bytes.get(valid..).unwrap_or_default();
    // What is the start of a sequence goes on behind the run; a quote there is no part of one.
    match Sequence::start(tail) {
        Some(sequence) => Ok((Inside::Sequence(sequence), run.length)),
        None => Err(BodyFault::NotUtf8.at(at.saturating_add(length(valid)))),
    }
}

/// The four digits of a `\u` escape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hex {
    unit: u16,
    digits: u8,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    First,
    /// Behind a high surrogate.
    Low,
}

#[derive(Debug, Clone, Copy)]
enum HexStep {
    Within,
    HighSurrogate,
    /// A code unit that stands for itself; or the low half of a pair, which like every pair is far from ASCII.
    Unit,
}

impl Hex {
    const fn first() -> Self {
        Self {
            unit: 0,
            digits: 0,
            place: Place::First,
        }
    }

    const fn low() -> Self {
        Self {
            unit: 0,
            digits: 0,
            place: Place::Low,
        }
    }

    fn push(&mut self, byte: u8) -> Result<HexStep, BodyFault> {
        let digit = match byte {
            b'0'..=b'9' => byte.saturating_sub(b'0'),
            b'a'..=b'f' => byte.saturating_sub(b'a').saturating_add(10),
            b'A'..=b'F' => byte.saturating_sub(b'A').saturating_add(10),
            _ => return Err(BodyFault::of_byte(byte)),
        };
        self.unit = self.unit << 4 | u16::from(digit);
        self.digits = self.digits.saturating_add(1);
        if self.digits < 4 {
            return Ok(HexStep::Within);
        }
        match (self.place, self.unit) {
            (Place::First, 0xd800..=0xdbff) => Ok(HexStep::HighSurrogate),
            (Place::First, 0xdc00..=0xdfff) => Err(BodyFault::LoneSurrogate),
            (Place::First, 0x0000..=0xd7ff | 0xe000..=0xffff) | (Place::Low, 0xdc00..=0xdfff) => {
                Ok(HexStep::Unit)
            }
            (Place::Low, 0x0000..=0xdbff | 0xe000..=0xffff) => Err(BodyFault::LoneSurrogate),
        }
    }
}

/// A UTF-8 sequence that a chunk cut (RFC 3629 §4).
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    /// Bytes taken so far.
    seen: u8,
    /// Bytes still to come, at least one.
    missing: u8,
    /// The range of the next byte.
    next: (u8, u8),
}

impl Sequence {
    /// The sequence that starts with all of `bytes`, if they are the start of one.
    fn start(bytes: &[u8]) -> Option<Self> {
        let (lead, others) = bytes.split_first()?;
        others
            .iter()
            .try_fold(Self::lead(*lead)?, |sequence, byte| sequence.push(*byte)?)
    }

    const fn lead(byte: u8) -> Option<Self> {
        let (missing, next) = match byte {
            0xc2..=0xdf => (1, (0x80, 0xbf)),
            0xe0 => (2, (0xa0, 0xbf)),
            0xe1..=0xec | 0xee..=0xef => (2, (0x80, 0xbf)),
            0xed => (2, (0x80, 0x9f)),
            0xf0 => (3, (0x90, 0xbf)),
            0xf1..=0xf3 => (3, (0x80, 0xbf)),
            0xf4 => (3, (0x80, 0x8f)),
            0x00..=0xc1 | 0xf5..=0xff => return None,
        };
        Some(Self {
            seen: 1,
            missing,
            next,
        })
    }

    /// `None`: the byte cannot stand there. `Some(None)`: it was the last.
    const fn push(self, byte: u8) -> Option<Option<Self>> {
        if byte < self.next.0 || byte > self.next.1 {
            return None;
        }
        Some(match self.missing {
            0 | 1 => None,
            2..=u8::MAX => Some(Self {
                seen: self.seen.saturating_add(1),
                missing: self.missing.saturating_sub(1),
                next: (0x80, 0xbf),
            }),
        })
    }
}

/// What a string is captured for: its alphabet, its longest length and the faults that name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A key of a guarded object.
    Key,
    /// The model.
    Model,
}

impl Purpose {
    const fn limit(self) -> usize {
        match self {
            Self::Key => MAX_KEY_BYTES,
            Self::Model => MAX_MODEL_BYTES,
        }
    }

    const fn too_long(self) -> BodyFault {
        match self {
            Self::Key => BodyFault::KeyTooLong,
            Self::Model => BodyFault::ModelTooLong,
        }
    }

    const fn charset(self) -> BodyFault {
        match self {
            Self::Key => BodyFault::KeyCharset,
            Self::Model => BodyFault::ModelCharset,
        }
    }

    const fn allows(self, byte: u8) -> bool {
        match self {
            Self::Key => matches!(byte, 0x20..=0x7e),
            // The model goes into scopes, headers and records.
            Self::Model => {
                byte.is_ascii_alphanumeric()
                    || matches!(
                        byte,
                        b'.' | b'_' | b':' | b'/' | b'@' | b'+' | b'~' | b'=' | b'-'
                    )
            }
        }
    }
}

/// The decoded string that is read at the moment.
#[derive(Clone)]
pub(super) struct Capture {
    buffer: [u8; Self::SIZE],
    length: usize,
    escaped: bool,
    purpose: Purpose,
    /// The offset of the opening quote, in bytes of the body.
    began: u64,
}

impl Capture {
    const SIZE: usize = if MAX_MODEL_BYTES > MAX_KEY_BYTES {
        MAX_MODEL_BYTES
    } else {
        MAX_KEY_BYTES
    };

    pub(super) const fn new() -> Self {
        Self {
            buffer: [0; Self::SIZE],
            length: 0,
            escaped: false,
            purpose: Purpose::Key,
            began: 0,
        }
    }

    /// Forgets the string before, and starts one whose opening quote is at `began`.
    pub(super) const fn begin(&mut self, purpose: Purpose, began: u64) {
        self.length = 0;
        self.escaped = false;
        self.purpose = purpose;
        self.began = began;
    }

    /// The decoded bytes; ASCII.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// Whether the string was written with an escape.
    pub(super) const fn escaped(&self) -> bool {
        self.escaped
    }

    pub(super) const fn began(&self) -> u64 {
        self.began
    }

    /// Takes the bytes up to the next one that has a meaning of its own, and gives their number.
    fn take(&mut self, rest: &[u8], at: u64) -> Result<usize, Fault> {
        let mut taken: usize = 0;
        for &byte in rest {
            match byte {
                0x00..=0x1f | b'"' | b'\\' => break,
                0x20..=0x7f => self.push(byte)?,
                0x80..=0xff => {
                    let fault = BodyFault::of_foreign_byte(byte, self.purpose.charset());
                    let stray = fault == BodyFault::NotUtf8;
                    return Err(fault.at(if stray {
                        at.saturating_add(length(taken))
                    } else {
                        self.began
                    }));
                }
            }
            taken = taken.saturating_add(1);
        }
        Ok(taken)
    }

    fn push_escaped(&mut self, unit: u16) -> Result<(), Fault> {
        self.escaped = true;
        match u8::try_from(unit) {
            Ok(byte) => self.push(byte),
            Err(_) => Err(self.purpose.charset().at(self.began)),
        }
    }

    fn push(&mut self, byte: u8) -> Result<(), Fault> {
        if !self.purpose.allows(byte) {
            return Err(self.purpose.charset().at(self.began));
        }
        if self.length >= self.purpose.limit() {
            return Err(self.purpose.too_long().at(self.began));
        }
        if let Some(place) = self.buffer.get_mut(self.length) {
            *place = byte;
        }
        self.length = self.length.saturating_add(1);
        Ok(())
    }
}
