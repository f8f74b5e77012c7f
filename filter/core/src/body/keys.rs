//! The keys of the guarded objects: which of them name a field, which only look like one, and whether a key came twice. Against THREATS
//! 1–3: readers differ about which of two equal keys wins, Go and Java readers match without regard to case, protobuf readers take
//! `maxTokens` for `max_tokens`, C readers stop at a NUL, and a filter that compares raw bytes misses `"mod\u0065l"`.
//!
//! A key of a guarded object is printable ASCII: no inference API has other parameter names, and so no list of letters that fold, look or
//! normalise alike (`ſ`, the Kelvin sign, fullwidth forms, zero-width characters) has to be complete. That is checked while the key is
//! captured (`text`); the rest is decided here, from the decoded key.

use super::{BodyFault, Field, MAX_KEYS};

/// The object whose keys are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The whole body.
    Top,
    /// The value of `stream_options` at the top.
    StreamOptions,
    /// Any other object: only its grammar matters, its keys may repeat.
    Elsewhere,
}

/// What the value of a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Ignored,
    Model,
    Field(Field),
}

const TOP: [(&[u8], Slot); 7] = [
    (b"model", Slot::Model),
    (b"stream", Slot::Field(Field::Stream)),
    (b"stream_options", Slot::Field(Field::StreamOptions)),
    (b"max_tokens", Slot::Field(Field::MaxTokens)),
    (
        b"max_completion_tokens",
        Slot::Field(Field::MaxCompletionTokens),
    ),
    (b"max_output_tokens", Slot::Field(Field::MaxOutputTokens)),
    (b"n", Slot::Field(Field::N)),
];

const STREAM_OPTIONS: [(&[u8], Slot); 1] = [(b"include_usage", Slot::Field(Field::IncludeUsage))];

impl Scope {
    const fn guarded(self) -> &'static [(&'static [u8], Slot)] {
        match self {
            Self::Top => &TOP,
            Self::StreamOptions => &STREAM_OPTIONS,
            Self::Elsewhere => &[],
        }
    }

    /// A byte that no key has, so that the same key in two objects is two keys.
    const fn mark(self) -> u8 {
        match self {
            Self::Top => 0,
            Self::StreamOptions => 1,
            Self::Elsewhere => 2,
        }
    }
}

/// The slot of the decoded `key` in `scope`; `escaped` says that the key was not written as it reads.
///
/// # Errors
/// `LookalikeKey`: the key is not exactly a guarded one, but its letters and digits are those of one without regard to case, or it is one
/// and was written with escapes. `FurtherModels`: it names more models than the one that is decided on.
pub(super) fn slot(scope: Scope, key: &[u8], escaped: bool) -> Result<Slot, BodyFault> {
    for (name, slot) in scope.guarded() {
        if *name == key && !escaped {
            return Ok(*slot);
        }
        if folded(name).eq(folded(key)) {
            return Err(BodyFault::LookalikeKey);
        }
    }
    if scope == Scope::Top
        && FURTHER_MODELS
            .iter()
            .any(|name| folded(name).eq(folded(key)))
    {
        return Err(BodyFault::FurtherModels);
    }
    Ok(Slot::Ignored)
}

/// Keys by which some upstreams take further models than the one in `model` (routers that fall back to others).
const FURTHER_MODELS: [&[u8]; 2] = [b"models", b"fallbacks"];

/// The letters and digits, in lower case. What lies between them (`_`, `-`, `.`, spaces, brackets) is what naming conventions differ in.
fn folded(key: &[u8]) -> impl Iterator<Item = u8> {
    key.iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_lowercase)
}

/// The keys seen in the guarded objects, as 64-bit hashes. Each guarded object stands at most once in a body, so they share one set.
///
/// INVARIANT (duplicates): two equal keys have equal hashes, so no duplicate is missed. Two different keys with one hash are refused as
/// duplicates: whoever searches for such a pair only has his own request refused, hence no secret in the hash.
#[derive(Clone)]
pub(super) struct KeySet {
    hashes: [u64; MAX_KEYS],
    count: usize,
}

impl KeySet {
    pub(super) const fn new() -> Self {
        Self {
            hashes: [0; MAX_KEYS],
            count: 0,
        }
    }

    /// Adds the decoded `key` of the object `scope`.
    ///
    /// # Errors
    /// `DuplicateKey`, `TooManyKeys`.
    pub(super) fn insert(&mut self, scope: Scope, key: &[u8]) -> Result<(), BodyFault> {
        let hash = fnv1a(scope, key);
        if self
            .hashes
            .iter()
            .take(self.count)
            .any(|seen| *seen == hash)
        {
            return Err(BodyFault::DuplicateKey);
        }
        let Some(place) = self.hashes.get_mut(self.count) else {
            return Err(BodyFault::TooManyKeys);
        };
        *place = hash;
        self.count = self.count.saturating_add(1);
        Ok(())
    }
}

/// FNV-1a with 64 bits.
fn fnv1a(scope: Scope, key: &[u8]) -> u64 {
    std::iter::once(&scope.mark())
        .chain(key)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn slots_and_lookalikes() {
        let ignored = Ok(Slot::Ignored);
        let lookalike = Err(BodyFault::LookalikeKey);
        let usage = Ok(Slot::Field(Field::IncludeUsage));
        #[rustfmt::skip]
        let rows = [
            (Scope::Top, "model", false, Ok(Slot::Model), "exact"),
            (Scope::Top, "n", false, Ok(Slot::Field(Field::N)), "exact"),
            (Scope::Top, "max_output_tokens", false, Ok(Slot::Field(Field::MaxOutputTokens)), "exact"),
            (Scope::Top, "model", true, lookalike, "escapes decode to it"),
            (Scope::Top, "temperature", true, ignored, "escapes are fine in other keys"),
            (Scope::Top, "Model", false, lookalike, "Go matches without case"),
            (Scope::Top, "MODEL", false, lookalike, "Go matches without case"),
            (Scope::Top, "N", false, lookalike, "one letter folds too"),
            (Scope::Top, "maxTokens", false, lookalike, "protobuf JSON"),
            (Scope::Top, "MaxTokens", false, lookalike, ".NET"),
            (Scope::Top, "max-tokens", false, lookalike, "kebab case"),
            (Scope::Top, "max.tokens", false, lookalike, "property paths"),
            (Scope::Top, "maxtokens", false, lookalike, "relaxed binding drops the underscore"),
            (Scope::Top, "max__tokens", false, lookalike, "a doubled underscore"),
            (Scope::Top, "_model", false, lookalike, "a leading underscore"),
            (Scope::Top, " model", false, lookalike, "readers that trim"),
            (Scope::Top, "model ", false, lookalike, "readers that trim"),
            (Scope::Top, "model[]", false, lookalike, "PHP's brackets"),
            (Scope::Top, "stream_Options", false, lookalike, "mixed case"),
            (Scope::Top, "streamOptions", false, lookalike, "camel case"),
            (Scope::Top, "", false, ignored, "an empty key folds to nothing that is guarded"),
            (Scope::Top, "__", false, ignored, "nor does one without letters"),
            (Scope::Top, "models", false, Err(BodyFault::FurtherModels), "a list that an upstream falls back to"),
            (Scope::Top, "Fallbacks", false, Err(BodyFault::FurtherModels), "the same, by another name and case"),
            (Scope::Top, "modelsx", false, ignored, "longer than a guarded key"),
            (Scope::Top, "mode", false, ignored, "shorter than a guarded key"),
            (Scope::Top, "top_n", false, ignored, "a guarded key inside another"),
            (Scope::Top, "include_usage", false, ignored, "guarded elsewhere only"),
            (Scope::StreamOptions, "include_usage", false, usage, "exact"),
            (Scope::StreamOptions, "includeUsage", false, lookalike, "camel case"),
            (Scope::StreamOptions, "include_usage", true, lookalike, "escapes decode to it"),
            (Scope::StreamOptions, "model", false, ignored, "guarded at the top only"),
        ];
        for (scope, key, escaped, expected, why) in rows {
            assert_eq!(
                slot(scope, key.as_bytes(), escaped),
                expected,
                "{key:?} in {scope:?}: {why}"
            );
        }
    }

    #[test]
    fn each_key_once_per_object() {
        let mut keys = KeySet::new();
        keys.insert(Scope::Top, b"a").unwrap();
        keys.insert(Scope::Top, b"").unwrap();
        keys.insert(Scope::StreamOptions, b"a").unwrap();
        assert_eq!(
            keys.insert(Scope::Top, b"a"),
            Err(BodyFault::DuplicateKey),
            "twice in one object"
        );
        assert_eq!(
            keys.insert(Scope::Top, b""),
            Err(BodyFault::DuplicateKey),
            "the empty key too"
        );
        assert_eq!(
            keys.insert(Scope::StreamOptions, b"a"),
            Err(BodyFault::DuplicateKey),
            "in the second object too"
        );
    }

    #[test]
    fn keys_are_counted() {
        let mut keys = KeySet::new();
        for index in 0..MAX_KEYS {
            keys.insert(Scope::Top, format!("k{index}").as_bytes())
                .unwrap();
        }
        assert_eq!(
            keys.insert(Scope::Top, b"one more"),
            Err(BodyFault::TooManyKeys),
            "the set is full"
        );
        assert_eq!(
            keys.insert(Scope::Top, b"k0"),
            Err(BodyFault::DuplicateKey),
            "a full set still knows its keys"
        );
    }
}
