//! What can be wrong with a body: a closed list, each with the field it is about, and a sentence that shows nothing of
//! the body itself (THREATS 20). Which status a fault becomes is not decided here: that is the refusal's.

use std::fmt;

use super::Digested;

/// A field of the request that is a boolean, an object or a whole number, and that Postern decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `stream`: a boolean or null.
    Stream,
    /// `stream_options`: an object or null.
    StreamOptions,
    /// `stream_options.include_usage`: a boolean or null.
    IncludeUsage,
    /// `max_tokens`: a whole number or null.
    MaxTokens,
    /// `max_completion_tokens`: a whole number or null.
    MaxCompletionTokens,
    /// `max_output_tokens`: a whole number or null.
    MaxOutputTokens,
    /// `n`: a whole number or null.
    N,
}

impl Field {
    /// The field's path from the top of the body.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::IncludeUsage => "stream_options.include_usage",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxOutputTokens => "max_output_tokens",
            Self::N => "n",
        }
    }
}

/// Why a body is not read any further. Final: the scan that found it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyFault {
    /// A byte came where the operation carries no body.
    Unexpected,
    /// No byte but white space.
    Empty,
    /// More bytes than the limit.
    TooLarge,
    /// The body ended inside its JSON text.
    Unfinished,
    /// The body starts with a byte order mark of UTF-8 or UTF-16, or the first byte of one (RFC 8259 §8.1).
    ByteOrderMark,
    /// Bytes that are not UTF-8 (RFC 3629): overlong, surrogate, beyond U+10FFFF, cut off, or stray.
    NotUtf8,
    /// Not the grammar of RFC 8259.
    NotJson,
    /// `\uD800`–`\uDFFF` without its partner.
    LoneSurrogate,
    /// A number written with more than [`MAX_NUMBER_BYTES`](super::MAX_NUMBER_BYTES) bytes.
    NumberTooLong,
    /// A number beyond the range of an IEEE 754 double.
    NumberTooLarge,
    /// JSON, but not an object.
    NotAnObject,
    /// More objects and arrays within one another than the limit.
    TooDeep,
    /// Something other than white space after the end of the object.
    TrailingData,
    /// More than [`MAX_KEYS`](super::MAX_KEYS) keys in the guarded objects.
    TooManyKeys,
    /// A key of a guarded object is longer than [`MAX_KEY_BYTES`](super::MAX_KEY_BYTES).
    KeyTooLong,
    /// A key of a guarded object has a control character or one outside ASCII.
    KeyCharset,
    /// A key stands twice in a guarded object.
    DuplicateKey,
    /// A key that some reader takes for a field we decide on, and that is not written exactly so.
    LookalikeKey,
    /// A key that names further models, which some upstreams would use (THREATS 7).
    FurtherModels,
    /// `model` is not a string.
    ModelNotString,
    /// `model` is the empty string.
    ModelEmpty,
    /// `model` is longer than [`MAX_MODEL_BYTES`](super::MAX_MODEL_BYTES).
    ModelTooLong,
    /// `model` has a character that no model name has.
    ModelCharset,
    /// A field has a value of another kind, or a number outside its range.
    FieldInvalid(Field),
}

impl BodyFault {
    /// The fault's own name, finer than the code of the refusal that it becomes: for tests and traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unexpected => "body_unexpected",
            Self::Empty => "body_empty",
            Self::TooLarge => "body_too_large",
            Self::Unfinished => "body_unfinished",
            Self::ByteOrderMark => "body_byte_order_mark",
            Self::NotUtf8 => "body_not_utf8",
            Self::NotJson => "body_not_json",
            Self::LoneSurrogate => "body_lone_surrogate",
            Self::NumberTooLong => "body_number_too_long",
            Self::NumberTooLarge => "body_number_too_large",
            Self::NotAnObject => "body_not_an_object",
            Self::TooDeep => "body_too_deep",
            Self::TrailingData => "body_trailing_data",
            Self::TooManyKeys => "body_too_many_keys",
            Self::KeyTooLong => "body_key_too_long",
            Self::KeyCharset => "body_key_charset",
            Self::DuplicateKey => "body_duplicate_key",
            Self::LookalikeKey => "body_lookalike_key",
            Self::FurtherModels => "body_further_models",
            Self::ModelNotString => "model_not_string",
            Self::ModelEmpty => "model_empty",
            Self::ModelTooLong => "model_too_long",
            Self::ModelCharset => "model_charset",
            Self::FieldInvalid(_) => "field_invalid",
        }
    }

    /// The path of the field at fault, where the fault is about one: what the OpenAI error object calls `param`.
    #[must_use]
    pub const fn param(self) -> Option<&'static str> {
        match self {
            Self::ModelNotString | Self::ModelEmpty | Self::ModelTooLong | Self::ModelCharset => {
                Some("model")
            }
            Self::FieldInvalid(field) => Some(field.path()),
            Self::Unexpected
            | Self::Empty
            | Self::TooLarge
            | Self::Unfinished
            | Self::ByteOrderMark
            | Self::NotUtf8
            | Self::NotJson
            | Self::LoneSurrogate
            | Self::NumberTooLong
            | Self::NumberTooLarge
            | Self::NotAnObject
            | Self::TooDeep
            | Self::TrailingData
            | Self::TooManyKeys
            | Self::KeyTooLong
            | Self::KeyCharset
            | Self::DuplicateKey
            | Self::LookalikeKey
            | Self::FurtherModels => None,
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Unexpected => "this operation takes no body",
            Self::Empty => "the body is empty",
            Self::TooLarge => "the body is larger than the limit",
            Self::Unfinished => "the body ends in the middle of its JSON",
            Self::ByteOrderMark => "the body starts with a byte order mark",
            Self::NotUtf8 => "the body is not valid UTF-8",
            Self::NotJson => "the body is not valid JSON",
            Self::LoneSurrogate => "the body has an escaped surrogate without its partner",
            Self::NumberTooLong => "a number is written with too many characters",
            Self::NumberTooLarge => "a number is too large",
            Self::NotAnObject => "the body is not a JSON object",
            Self::TooDeep => "the body is nested too deeply",
            Self::TrailingData => "there is more after the end of the JSON object",
            Self::TooManyKeys => "the object has too many keys",
            Self::KeyTooLong => "a key is too long",
            Self::KeyCharset => "a key has a control character or one outside ASCII",
            Self::DuplicateKey => "a key stands twice in the same object",
            Self::LookalikeKey => {
                "a key resembles a known field but is not written exactly like it"
            }
            Self::FurtherModels => "a key names further models; one request names one model",
            Self::ModelNotString => "must be a string",
            Self::ModelEmpty => "must not be empty",
            Self::ModelTooLong => "is too long",
            Self::ModelCharset => "has a character that is not allowed in a model name",
            Self::FieldInvalid(field) => match field {
                Field::Stream | Field::IncludeUsage => "must be true, false or null",
                Field::StreamOptions => "must be an object or null",
                Field::MaxTokens
                | Field::MaxCompletionTokens
                | Field::MaxOutputTokens
                | Field::N => "must be a whole number from 1 to 2147483647, or null",
            },
        }
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.param() {
            Some(path) => write!(out, "{path} {}", self.sentence()),
            None => out.write_str(self.sentence()),
        }
    }
}

/// A scan that ended with a fault: what, where, and what had been seen of the body by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faulted {
    pub(super) fault: BodyFault,
    pub(super) offset: u64,
    pub(super) digested: Digested,
    pub(super) model: Option<String>,
}

impl Faulted {
    /// What is wrong.
    #[must_use]
    pub const fn fault(&self) -> BodyFault {
        self.fault
    }

    /// Where, in bytes from the start of the body: the first byte of the key, value or ill-formed sequence at fault, else the byte that
    /// cannot stand there. The same for every chunking.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Number and SHA-256 of all bytes that were fed, the whole of the last chunk included.
    #[must_use]
    pub const fn digested(&self) -> Digested {
        self.digested
    }

    /// The model, when its closing quote stood before the fault: so that who decides on it decides the same whether both
    /// came in one chunk or in two.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

impl fmt::Display for Faulted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (at byte {})", self.fault, self.offset)
    }
}

impl std::error::Error for Faulted {}

/// A fault and its offset, before the digest of the body is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) fault: BodyFault,
    pub(super) offset: u64,
}

impl BodyFault {
    pub(super) const fn at(self, offset: u64) -> Fault {
        Fault {
            fault: self,
            offset,
        }
    }

    /// The fault of a byte that cannot stand where it does, outside of strings.
    pub(super) const fn of_byte(byte: u8) -> Self {
        Self::of_foreign_byte(byte, Self::NotJson)
    }

    /// `otherwise`, unless no UTF-8 text has such a byte in such a place (RFC 3629 §3: continuation bytes, C0, C1, F5 and above).
    pub(super) const fn of_foreign_byte(byte: u8, otherwise: Self) -> Self {
        match byte {
            0x80..=0xc1 | 0xf5..=0xff => Self::NotUtf8,
            0x00..=0x7f | 0xc2..=0xf4 => otherwise,
        }
    }
}
