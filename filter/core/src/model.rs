//! Which model: its name in one closed alphabet, and the patterns by which rules name models.
//!
//! Against: names that a header, a scope or an upstream reads differently than we do (THREATS 7), and patterns that
//! blow up (THREATS 39): `*` is the only metacharacter and matching is linear in name times pattern.

use crate::refusal::{Code, Refusal};

/// The longest model name, in bytes.
pub const MAX_MODEL_BYTES: usize = 256;

/// A model's name: 1 to 256 ASCII letters, digits and `. _ : / @ + ~ = -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model(String);

/// Why a name is no model name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFault {
    /// Nothing there.
    Empty,
    /// Longer than [`MAX_MODEL_BYTES`].
    TooLong,
    /// A character outside of the alphabet.
    Alphabet,
    /// An empty or dot segment between slashes: an upstream that makes a path of the name would leave its folder.
    Segment,
}

impl ModelFault {
    /// What to tell the caller.
    pub fn refusal(self) -> Refusal {
        let message = match self {
            Self::Empty => "the model's name is empty",
            Self::TooLong => "the model's name is longer than 256 bytes",
            Self::Alphabet => "a model's name has ASCII letters, digits and . _ : / @ + ~ = - only",
            Self::Segment => "a model's name has no empty or dot segments between slashes",
        };
        Refusal::new(Code::ModelInvalid, message).param("model")
    }
}

impl Model {
    /// Checks a name.
    ///
    /// # Errors
    /// Names that are empty, too long or outside of the alphabet.
    pub fn parse(name: &str) -> Result<Self, ModelFault> {
        if name.is_empty() {
            return Err(ModelFault::Empty);
        }
        if name.len() > MAX_MODEL_BYTES {
            return Err(ModelFault::TooLong);
        }
        if !name.bytes().all(is_model_byte) {
            return Err(ModelFault::Alphabet);
        }
        if name
            .split('/')
            .any(|segment| matches!(segment, "" | "." | ".."))
        {
            return Err(ModelFault::Segment);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Whether a byte may stand in a model's name.
pub fn is_model_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'.' | b'_' | b':' | b'/' | b'@' | b'+' | b'~' | b'=' | b'-'
        )
}

/// A pattern of a rule: a name in which `*` stands for any run of characters, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPattern(String);

impl ModelPattern {
    /// Checks a pattern: the alphabet of names, and `*`.
    ///
    /// # Errors
    /// As for names.
    pub fn parse(pattern: &str) -> Result<Self, ModelFault> {
        if pattern.is_empty() {
            return Err(ModelFault::Empty);
        }
        if pattern.len() > MAX_MODEL_BYTES {
            return Err(ModelFault::TooLong);
        }
        if !pattern.bytes().all(|b| b == b'*' || is_model_byte(b)) {
            return Err(ModelFault::Alphabet);
        }
        Ok(Self(pattern.to_owned()))
    }

    /// Whether this pattern is `*` alone: every model, and operations that concern none.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether the name is meant, letter by letter: the reading of an allowing rule.
    pub fn matches_exactly(&self, model: &Model) -> bool {
        glob(self.0.as_bytes(), model.0.as_bytes(), |a, b| a == b)
    }

    /// Whether the name could be meant: the reading of a denying rule. Upper and lower case are the same here, because
    /// an upstream may fold them and a denial must not be got around by spelling.
    pub fn matches_folded(&self, model: &Model) -> bool {
        glob(self.0.as_bytes(), model.0.as_bytes(), |a, b| {
            a.eq_ignore_ascii_case(&b)
        })
    }
}

/// Whether `pattern` covers `name`. Goes back only to the last star, so it takes at most `pattern * name` steps.
fn glob(pattern: &[u8], name: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (Some((b'*', after)), _) => {
                star = Some((after, name));
                pattern = after;
            }
            (Some((p, pattern_rest)), Some((n, name_rest))) if same(*p, *n) => {
                pattern = pattern_rest;
                name = name_rest;
            }
            (None, None) => return true,
            // No way on from here: let the last star swallow one byte more.
            (_, _) => match star {
                Some((after, from)) => match from.split_first() {
                    Some((_, rest)) => {
                        star = Some((after, rest));
                        pattern = after;
                        name = rest;
                    }
                    None => return false,
                },
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn names() {
        let long = "m".repeat(257);
        let rows = [
            ("gpt-4o", None, "plain"),
            (
                "meta-llama/Llama-3.1-8B-Instruct",
                None,
                "hub names have slashes",
            ),
            (
                "ft:gpt-4o-mini:acme::abc123",
                None,
                "fine-tuned names have colons",
            ),
            ("@cf/meta/llama-3", None, "at sign"),
            ("", Some(ModelFault::Empty), "empty"),
            (long.as_str(), Some(ModelFault::TooLong), "too long"),
            ("gpt 4o", Some(ModelFault::Alphabet), "space"),
            ("gpt-4o\n", Some(ModelFault::Alphabet), "control"),
            (
                "gpt-4о",
                Some(ModelFault::Alphabet),
                "a Cyrillic letter that looks Latin",
            ),
            ("gpt*", Some(ModelFault::Alphabet), "a pattern is no name"),
            (
                "gpt-4o/../../v1/files",
                Some(ModelFault::Segment),
                "a path out of its folder",
            ),
            ("/gpt-4o", Some(ModelFault::Segment), "an empty segment"),
            ("./gpt-4o", Some(ModelFault::Segment), "a dot segment"),
            ("gpt-4o..x", None, "dots inside of a segment are letters"),
        ];
        for (name, fault, why) in rows {
            assert_eq!(Model::parse(name).err(), fault, "{name:?}: {why}");
        }
    }

    #[test]
    fn patterns() {
        let rows = [
            ("gpt-4o", "gpt-4o", true, "literal"),
            ("gpt-4o", "gpt-4o-mini", false, "no prefix match"),
            ("gpt-4o", "GPT-4o", false, "allowing is exact"),
            ("llama-3*", "llama-3", true, "star matches nothing"),
            ("llama-3*", "llama-3.1-8b", true, "star matches much"),
            ("*", "anything/at:all", true, "any"),
            ("*-mini", "gpt-4o-mini", true, "suffix"),
            ("a*b*c", "axxbyyc", true, "two stars"),
            ("a*b*c", "axxbyy", false, "the end is missing"),
            ("a*ab", "aab", true, "goes back to the star"),
            (
                "*a*a*a*a*b",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                false,
                "and does not blow up",
            ),
        ];
        for (pattern, name, expected, why) in rows {
            let pattern = ModelPattern::parse(pattern).unwrap();
            assert_eq!(
                pattern.matches_exactly(&Model::parse(name).unwrap()),
                expected,
                "{pattern:?} {name}: {why}"
            );
        }
        let denied = ModelPattern::parse("gpt-3*").unwrap();
        assert!(
            denied.matches_folded(&Model::parse("GPT-3.5").unwrap()),
            "denying folds case"
        );
    }
}
