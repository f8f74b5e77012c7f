//! The structure of a JSON body, one token after the other (RFC 8259), and what the values of the guarded fields may be. Strings, numbers
//! and keys are decided in `text`, `number` and `keys`; bytes are counted against the limit in `mod`. Against THREATS 1–3, 10 and 30.
//!
//! No recursion, no tree: a place in the grammar, a bit for each open container, and one fixed buffer for the string that is being read.

use super::fault::Fault;
use super::keys::{self, KeySet, Scope, Slot};
use super::nest::{Container, Nest};
use super::number::{Number, Step};
use super::text::{self, Capture, Inside, Progress, Purpose};
use super::{BodyFacts, BodyFault, Field, MAX_COUNT, length};

/// ```text
///  Start -{-> FirstKey -key-> Colon -:-> Value -a value-> AfterValue -,-> Key (in an object), Value (in an array)
///                 |                        ^ \-[-> FirstItem            |
///                 +-}----------------------|------------+-]-------------+-}, ]-> AfterValue, or Done at depth 0
/// ```
#[derive(Debug, Clone, Copy)]
enum Place {
    Start,
    FirstKey,
    Key,
    Colon(Slot),
    Value(Slot),
    FirstItem,
    AfterValue,
    Done,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Between(Place),
    Text(Inside, Role),
    Number {
        number: Number,
        slot: Slot,
        began: u64,
    },
    Literal {
        literal: Literal,
        next: usize,
        slot: Slot,
    },
}

/// What a string is.
#[derive(Debug, Clone, Copy)]
enum Role {
    GuardedKey,
    OtherKey,
    Model,
    OtherValue,
}

#[derive(Debug, Clone, Copy)]
enum Literal {
    True,
    False,
    Null,
}

impl Literal {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::True => b"true",
            Self::False => b"false",
            Self::Null => b"null",
        }
    }
}

/// What a value is, as its first byte tells.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Number,
    Object,
    Array,
    Literal(Literal),
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'"' => Some(Self::Text),
            b'-' | b'0'..=b'9' => Some(Self::Number),
            b'{' => Some(Self::Object),
            b'[' => Some(Self::Array),
            b't' => Some(Self::Literal(Literal::True)),
            b'f' => Some(Self::Literal(Literal::False)),
            b'n' => Some(Self::Literal(Literal::Null)),
            _ => None,
        }
    }
}

/// A JSON text as far as it was seen.
#[derive(Clone)]
pub(super) struct Scanner {
    state: State,
    nest: Nest,
    /// What the container at depth two is, while one is open.
    second: Scope,
    keys: KeySet,
    capture: Capture,
    facts: BodyFacts,
    /// The offset of the next byte.
    offset: u64,
}

impl Scanner {
    pub(super) const fn new(max_depth: u8) -> Self {
        Self {
            state: State::Between(Place::Start),
            nest: Nest::new(max_depth),
            second: Scope::Elsewhere,
            keys: KeySet::new(),
            capture: Capture::new(),
            facts: BodyFacts::NONE,
            offset: 0,
        }
    }

    pub(super) const fn facts(&self) -> &BodyFacts {
        &self.facts
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let taken = match self.state {
                State::Between(place) => self.structure(place, rest)?,
                State::Text(inside, role) => self.text(inside, role, rest)?,
                State::Number {
                    number,
                    slot,
                    began,
                } => self.number(number, slot, began, rest)?,
                State::Literal {
                    literal,
                    next,
                    slot,
                } => self.literal(literal, next, slot, rest)?,
            };
            rest = rest.get(taken..).unwrap_or_default();
            self.offset = self.offset.saturating_add(length(taken));
        }
        Ok(())
    }

    /// The facts of the whole body.
    ///
    /// # Errors
    /// `Empty`, `Unfinished`.
    pub(super) fn finish(self) -> Result<BodyFacts, Fault> {
        match self.state {
            State::Between(Place::Done) => Ok(self.facts),
            State::Between(Place::Start) => Err(BodyFault::Empty.at(self.offset)),
            State::Between(
                Place::FirstKey
                | Place::Key
                | Place::Colon(_)
                | Place::Value(_)
                | Place::FirstItem
                | Place::AfterValue,
            )
            | State::Text(..)
            | State::Number { .. }
            | State::Literal { .. } => Err(BodyFault::Unfinished.at(self.offset)),
        }
    }

    /// White space, and the byte behind it.
    fn structure(&mut self, place: Place, rest: &[u8]) -> Result<usize, Fault> {
        let spaces = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
        let Some(&byte) = rest.get(spaces) else {
            return Ok(spaces);
        };
        let at = self.offset.saturating_add(length(spaces));
        self.state = self.after(place, byte, at).map_err(|fault| fault.at(at))?;
        Ok(spaces.saturating_add(1))
    }

    /// The state behind `byte`, which is not white space and stands at `at`.
    fn after(&mut self, place: Place, byte: u8, at: u64) -> Result<State, BodyFault> {
        match (place, byte) {
            (Place::Start, b'{') => self.open(Container::Object, Scope::Top),
            (Place::Start, 0xef | 0xfe | 0xff) if at == 0 => Err(BodyFault::ByteOrderMark),
            (Place::Start, _) if Kind::of(byte).is_some() => Err(BodyFault::NotAnObject),
            (Place::FirstKey | Place::Key, b'"') => Ok(self.key(at)),
            (Place::Colon(slot), b':') => Ok(State::Between(Place::Value(slot))),
            (Place::FirstKey, b'}') | (Place::FirstItem, b']') => Ok(self.close()),
            (Place::Value(slot), _) => self.value(slot, byte, at),
            (Place::FirstItem, _) => self.value(Slot::Ignored, byte, at),
            (Place::AfterValue, b',' | b'}' | b']') => match (byte, self.nest.innermost()) {
                (b',', Some(Container::Object)) => Ok(State::Between(Place::Key)),
                (b',', Some(Container::Array)) => Ok(State::Between(Place::Value(Slot::Ignored))),
                (b'}', Some(Container::Object)) | (b']', Some(Container::Array)) => {
                    Ok(self.close())
                }
                (_, Some(Container::Object | Container::Array) | None) => Err(BodyFault::NotJson),
            },
            (Place::Done, _) => Err(BodyFault::TrailingData),
            (
                Place::Start | Place::FirstKey | Place::Key | Place::Colon(_) | Place::AfterValue,
                _,
            ) => Err(BodyFault::of_byte(byte)),
        }
    }

    fn open(&mut self, container: Container, scope: Scope) -> Result<State, BodyFault> {
        self.nest.open(container)?;
        if self.nest.depth() == 2 {
            self.second = scope;
        }
        Ok(State::Between(match container {
            Container::Object => Place::FirstKey,
            Container::Array => Place::FirstItem,
        }))
    }

    fn close(&mut self) -> State {
        self.nest.close();
        State::Between(if self.nest.depth() == 0 {
            Place::Done
        } else {
            Place::AfterValue
        })
    }

    /// The object whose key starts now.
    fn scope(&self) -> Scope {
        match self.nest.depth() {
            1 => Scope::Top,
            2 => self.second,
            0 | 3..=u8::MAX => Scope::Elsewhere,
        }
    }

    fn key(&mut self, at: u64) -> State {
        let role = match self.scope() {
            Scope::Top | Scope::StreamOptions => {
                self.capture.begin(Purpose::Key, at);
                Role::GuardedKey
            }
            Scope::Elsewhere => Role::OtherKey,
        };
        State::Text(Inside::Plain, role)
    }

    /// The first byte of a value.
    fn value(&mut self, slot: Slot, byte: u8, at: u64) -> Result<State, BodyFault> {
        let Some(kind) = Kind::of(byte) else {
            return Err(BodyFault::of_byte(byte));
        };
        admit(slot, kind)?;
        match kind {
            Kind::Text if slot == Slot::Model => {
                self.capture.begin(Purpose::Model, at);
                Ok(State::Text(Inside::Plain, Role::Model))
            }
            Kind::Text => Ok(State::Text(Inside::Plain, Role::OtherValue)),
            Kind::Number => match Number::begin(byte) {
                Some(number) => Ok(State::Number {
                    number,
                    slot,
                    began: at,
                }),
                None => Err(BodyFault::of_byte(byte)),
            },
            Kind::Object if slot == Slot::Field(Field::StreamOptions) => {
                self.open(Container::Object, Scope::StreamOptions)
            }
            Kind::Object => self.open(Container::Object, Scope::Elsewhere),
            Kind::Array => self.open(Container::Array, Scope::Elsewhere),
            Kind::Literal(literal) => Ok(State::Literal {
                literal,
                next: 1,
                slot,
            }),
        }
    }

    fn text(&mut self, inside: Inside, role: Role, rest: &[u8]) -> Result<usize, Fault> {
        let capture = match role {
            Role::GuardedKey | Role::Model => Some(&mut self.capture),
            Role::OtherKey | Role::OtherValue => None,
        };
        let (progress, taken) = text::take(inside, rest, self.offset, capture)?;
        self.state = match progress {
            Progress::Within(inside) => State::Text(inside, role),
            Progress::Closed => State::Between(match role {
                Role::GuardedKey => Place::Colon(
                    self.guarded_key()
                        .map_err(|fault| fault.at(self.capture.began()))?,
                ),
                Role::OtherKey => Place::Colon(Slot::Ignored),
                Role::Model => {
                    self.model()
                        .map_err(|fault| fault.at(self.capture.began()))?;
                    Place::AfterValue
                }
                Role::OtherValue => Place::AfterValue,
            }),
        };
        Ok(taken)
    }

    fn guarded_key(&mut self) -> Result<Slot, BodyFault> {
        let scope = self.scope();
        let slot = keys::slot(scope, self.capture.bytes(), self.capture.escaped())?;
        self.keys.insert(scope, self.capture.bytes())?;
        Ok(slot)
    }

    fn model(&mut self) -> Result<(), BodyFault> {
        match std::str::from_utf8(self.capture.bytes()) {
            Ok("") => Err(BodyFault::ModelEmpty),
            Ok(model) => {
                self.facts.model = Some(model.to_owned());
                Ok(())
            }
            Err(_) => Err(BodyFault::ModelCharset),
        }
    }

    /// The bytes of a number; none of them, if the number has ended.
    fn number(
        &mut self,
        number: Number,
        slot: Slot,
        began: u64,
        rest: &[u8],
    ) -> Result<usize, Fault> {
        let mut number = number;
        let mut taken: usize = 0;
        for &byte in rest {
            match number.push(byte) {
                Ok(Step::Within) => {}
                Ok(Step::Ended) => {
                    self.count(&number, slot).map_err(|fault| fault.at(began))?;
                    self.state = State::Between(Place::AfterValue);
                    return Ok(taken);
                }
                Err(BodyFault::NumberTooLong) => return Err(BodyFault::NumberTooLong.at(began)),
                Err(fault) => return Err(fault.at(began.saturating_add(number.bytes()))),
            }
            taken = taken.saturating_add(1);
        }
        self.state = State::Number {
            number,
            slot,
            began,
        };
        Ok(taken)
    }

    /// A number that has ended.
    fn count(&mut self, number: &Number, slot: Slot) -> Result<(), BodyFault> {
        if number.overflows() {
            return Err(BodyFault::NumberTooLarge);
        }
        let Slot::Field(field) = slot else {
            return Ok(());
        };
        let Some(count @ 1..=MAX_COUNT) = number.whole_value() else {
            return Err(BodyFault::FieldInvalid(field));
        };
        match field {
            Field::MaxTokens => self.facts.max_tokens = Some(count),
            Field::MaxCompletionTokens => self.facts.max_completion_tokens = Some(count),
            Field::MaxOutputTokens => self.facts.max_output_tokens = Some(count),
            Field::N => self.facts.n = Some(count),
            Field::Stream | Field::StreamOptions | Field::IncludeUsage => {
                return Err(BodyFault::FieldInvalid(field));
            }
        }
        Ok(())
    }

    fn literal(
        &mut self,
        literal: Literal,
        next: usize,
        slot: Slot,
        rest: &[u8],
    ) -> Result<usize, Fault> {
        let Some(missing) = literal.word().get(next..) else {
            return Ok(0);
        };
        for (index, (expected, &byte)) in missing.iter().zip(rest).enumerate() {
            if *expected != byte {
                return Err(BodyFault::of_byte(byte).at(self.offset.saturating_add(length(index))));
            }
        }
        let taken = missing.len().min(rest.len());
        self.state = if taken == missing.len() {
            self.switch(literal, slot);
            State::Between(Place::AfterValue)
        } else {
            State::Literal {
                literal,
                next: next.saturating_add(taken),
                slot,
            }
        };
        Ok(taken)
    }

    /// A literal that has ended, where `admit` let it stand.
    const fn switch(&mut self, literal: Literal, slot: Slot) {
        let value = match literal {
            Literal::True => Some(true),
            Literal::False => Some(false),
            Literal::Null => None,
        };
        match slot {
            Slot::Field(Field::Stream) => self.facts.stream = value,
            Slot::Field(Field::IncludeUsage) => self.facts.include_usage = value,
            Slot::Field(
                Field::StreamOptions
                | Field::MaxTokens
                | Field::MaxCompletionTokens
                | Field::MaxOutputTokens
                | Field::N,
            )
            | Slot::Ignored
            | Slot::Model => {}
        }
    }
}

/// Whether a value of this kind may stand in the slot.
fn admit(slot: Slot, kind: Kind) -> Result<(), BodyFault> {
    let null = matches!(kind, Kind::Literal(Literal::Null));
    match slot {
        Slot::Ignored => Ok(()),
        Slot::Model => matches!(kind, Kind::Text)
            .then_some(())
            .ok_or(BodyFault::ModelNotString),
        Slot::Field(field) => {
            let fits = match field {
                Field::Stream | Field::IncludeUsage => matches!(kind, Kind::Literal(_)),
                Field::StreamOptions => null || matches!(kind, Kind::Object),
                Field::MaxTokens
                | Field::MaxCompletionTokens
                | Field::MaxOutputTokens
                | Field::N => null || matches!(kind, Kind::Number),
            };
            fits.then_some(()).ok_or(BodyFault::FieldInvalid(field))
        }
    }
}
