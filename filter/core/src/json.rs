//! Strict JSON, read whole: the one reader for small documents that we act on (policy, key sets, token parts).
//!
//! Decided here: what counts as one well-formed document. RFC 8259 grammar and UTF-8, nothing after the value,
//! no member name twice in one object (at any depth), and a bound on nesting that the caller names.
//! Not decided here: what the document means. Bodies of requests are not read here; they are scanned as they pass.
//! Against: "first wins, last wins" (two readers of the same bytes that see different documents), and stacks
//! exhausted by nesting (THREATS 1, 3, 21).

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// The deepest nesting that any caller can ask for; a larger wish is cut to this.
pub const MAX_DEPTH: u8 = 120;

/// One JSON value; objects keep the order of their members, and no name stands twice in one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer that fits `u64` or `i64`, otherwise a finite double.
    Number(Number),
    /// A string, its escapes decoded.
    String(String),
    /// An array.
    List(Vec<Json>),
    /// An object: its members in the order of the text.
    Object(Vec<(String, Json)>),
}

/// Why a text is not one strict JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// Not JSON (RFC 8259), not UTF-8, a number out of range, or something after the value.
    Syntax {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault in bytes, from 1; 0 when the line is empty.
        column: usize,
        /// What the grammar misses, in words; never a piece of the text.
        reason: String,
    },
    /// A member stands twice in one object.
    Duplicate {
        /// Path of the second member, as `issuers[0].name`.
        path: String,
    },
    /// More lists and objects inside each other than the caller allows.
    TooDeep {
        /// Path of the value that is one level too deep.
        path: String,
        /// The levels allowed.
        limit: u8,
    },
}

impl Json {
    /// Reads one document. `max_depth` counts lists and objects that are open at once (0: only a scalar).
    ///
    /// # Errors
    /// The first fault found. A duplicate is reported when its object closes, so a fault inside the object comes first.
    pub fn parse(bytes: &[u8], max_depth: u8) -> Result<Json, JsonFault> {
        let limit = max_depth.min(MAX_DEPTH);
        let mut found = None;
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let node = Node {
            found: &mut found,
            room: limit,
            limit,
        };
        let outcome = node
            .deserialize(&mut reader)
            .and_then(|json| reader.end().map(|()| json));
        match (found, outcome) {
            (Some(found), _) => Err(found.into_fault()),
            (None, Ok(json)) => Ok(json),
            (None, Err(error)) => Err(JsonFault::from_syntax(&error)),
        }
    }

    /// The member `name` of an object; `None` when there is none, or when this is not an object.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Json> {
        self.as_object()?
            .iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The members, in the order of the text, when this is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(String, Json)]> {
        match self {
            Json::Object(members) => Some(members),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::List(_) => None,
        }
    }

    /// The elements, when this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Json]> {
        match self {
            Json::List(elements) => Some(elements),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => {
                None
            }
        }
    }

    /// The text, when this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Object(_) => None,
        }
    }

    /// The number, when it is written as an integer from 0 to 2^64-1. `1.0`, `1e0` and `-0` are not.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Json::Number(number) => number.as_u64(),
            Json::Null | Json::Bool(_) | Json::String(_) | Json::List(_) | Json::Object(_) => None,
        }
    }

    /// What this is, for a message: `a string`, `an object`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::List(_) => "a list",
            Json::Object(_) => "an object",
        }
    }
}

impl JsonFault {
    fn from_syntax(error: &serde_json::Error) -> JsonFault {
        let text = error.to_string();
        // WHY: serde_json ends its message with the place, which stands in fields of its own here.
        let reason = text
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_string();
        JsonFault::Syntax {
            line: error.line(),
            column: error.column(),
            reason,
        }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonFault::Syntax {
                line,
                column,
                reason,
            } => write!(
                f,
                "not strict JSON: {reason} (line {line}, column {column})"
            ),
            JsonFault::Duplicate { path } => {
                write!(f, "{path}: this member stands twice in its object")
            }
            JsonFault::TooDeep { path, limit } => write!(
                f,
                "{path}: more than {limit} lists and objects inside each other"
            ),
        }
    }
}

impl std::error::Error for JsonFault {}

/// A fault of ours on its way out; every level that it leaves adds its step.
struct Found {
    kind: FoundKind,
    /// From the inside out.
    steps: Vec<Step>,
}

enum FoundKind {
    Duplicate,
    TooDeep { limit: u8 },
}

enum Step {
    Member(String),
    Index(usize),
}

impl Found {
    fn into_fault(self) -> JsonFault {
        let path = path_of(&self.steps);
        match self.kind {
            FoundKind::Duplicate => JsonFault::Duplicate { path },
            FoundKind::TooDeep { limit } => JsonFault::TooDeep { path, limit },
        }
    }
}

/// `issuers[0].name`; a name that is not plain is quoted and escaped, so that a path is one printable line.
fn path_of(from_inside: &[Step]) -> String {
    let mut path = String::new();
    for step in from_inside.iter().rev() {
        match step {
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Member(name) if is_plain(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Step::Member(name) => {
                let shown: String = name
                    .chars()
                    .take(64)
                    .flat_map(char::escape_default)
                    .collect();
                path.push_str(&format!("[\"{shown}\"]"));
            }
        }
    }
    if path.is_empty() {
        path.push_str("(top level)");
    }
    path
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$' | b'#'))
}

/// Reads one value, with `room` levels left below it.
struct Node<'f> {
    found: &'f mut Option<Found>,
    room: u8,
    limit: u8,
}

impl Node<'_> {
    /// The room for what stands inside this list or object.
    fn deeper<E: serde::de::Error>(&mut self) -> Result<u8, E> {
        match self.room.checked_sub(1) {
            Some(room) => Ok(room),
            None => {
                let kind = FoundKind::TooDeep { limit: self.limit };
                *self.found = Some(Found {
                    kind,
                    steps: Vec::new(),
                });
                Err(E::custom("too deep"))
            }
        }
    }
}

/// Adds `step` to a fault of ours that is passing; a fault of the grammar has its line and column.
fn leave<E>(found: &mut Option<Found>, step: impl FnOnce() -> Step, error: E) -> E {
    if let Some(found) = found {
        found.steps.push(step());
    }
    error
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value)
            .map(Json::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_string()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Json, A::Error> {
        let room = self.deeper()?;
        let limit = self.limit;
        let mut elements = Vec::new();
        loop {
            let node = Node {
                found: &mut *self.found,
                room,
                limit,
            };
            match access.next_element_seed(node) {
                Ok(Some(element)) => elements.push(element),
                Ok(None) => return Ok(Json::List(elements)),
                Err(error) => {
                    return Err(leave(self.found, || Step::Index(elements.len()), error));
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Json, A::Error> {
        let room = self.deeper()?;
        let limit = self.limit;
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some(name) = access.next_key::<String>()? {
            let node = Node {
                found: &mut *self.found,
                room,
                limit,
            };
            match access.next_value_seed(node) {
                Ok(value) => members.push((name, value)),
                Err(error) => return Err(leave(self.found, || Step::Member(name), error)),
            }
        }
        // INVARIANT (unique members): no object leaves this function with a name in it twice.
        if let Some(name) = first_duplicate(&members) {
            *self.found = Some(Found {
                kind: FoundKind::Duplicate,
                steps: vec![Step::Member(name.to_string())],
            });
            return Err(A::Error::custom("duplicate member"));
        }
        Ok(Json::Object(members))
    }
}

fn first_duplicate(members: &[(String, Json)]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    members
        .iter()
        .map(|(name, _)| name.as_str())
        .find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn parse(text: &str) -> Result<Json, JsonFault> {
        Json::parse(text.as_bytes(), 8)
    }

    #[test]
    fn reads_every_kind_and_keeps_the_order() {
        let json = parse(r#"{"z":[null,true,1,-2,1.5,"\u0041"],"a":{}}"#).unwrap();
        let members = json.as_object().unwrap();
        assert_eq!(members[0].0, "z", "order of the text, not of the alphabet");
        assert_eq!(
            members[0].1,
            Json::List(vec![
                Json::Null,
                Json::Bool(true),
                Json::Number(1u64.into()),
                Json::Number((-2i64).into()),
                Json::Number(Number::from_f64(1.5).unwrap()),
                Json::String("A".into()),
            ])
        );
        assert_eq!(json.member("a"), Some(&Json::Object(vec![])));
        assert_eq!(json.member("b"), None);
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_with_its_path() {
        for (why, text, path) in [
            ("at the top", r#"{"a":1,"a":2}"#, "a"),
            ("even with equal values", r#"{"a":1,"a":1}"#, "a"),
            (
                "compared after decoding",
                r#"{"model":1,"mod\u0065l":2}"#,
                "model",
            ),
            (
                "deep inside",
                r#"{"x":[0,{"y":{"k":1,"l":2,"k":3}}]}"#,
                "x[1].y.k",
            ),
            ("the empty name is a name", r#"{"":1,"":2}"#, r#"[""]"#),
            (
                "control characters are escaped in the path",
                r#"{"a\n":{"b":1,"b":1}}"#,
                r#"["a\n"].b"#,
            ),
            ("not neighbours", r#"{"a":1,"b":2,"c":3,"b":4}"#, "b"),
        ] {
            let expected = JsonFault::Duplicate { path: path.into() };
            assert_eq!(parse(text), Err(expected), "{why}");
        }
    }

    #[test]
    fn the_same_name_in_different_objects_is_fine() {
        assert!(parse(r#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
        assert!(parse(r#"{"a":1,"A":2}"#).is_ok(), "names differ by case");
    }

    #[test]
    fn nesting_is_bounded_exactly() {
        assert!(Json::parse(b"7", 0).is_ok(), "a scalar has no depth");
        assert!(Json::parse(b"[[[]]]", 3).is_ok());
        assert_eq!(
            Json::parse(b"[0,[[]]]", 2),
            Err(JsonFault::TooDeep {
                path: "[1][0]".into(),
                limit: 2
            })
        );
        let deep = "[".repeat(100_000);
        let fault = Json::parse(deep.as_bytes(), u8::MAX).unwrap_err();
        assert!(
            matches!(
                fault,
                JsonFault::TooDeep {
                    limit: MAX_DEPTH,
                    ..
                }
            ),
            "our bound stands before the one of serde_json"
        );
    }

    #[test]
    fn what_is_not_strict_json_is_refused() {
        let cases: &[(&str, &[u8])] = &[
            ("empty", b""),
            ("only white space", b"  \n"),
            ("trailing data", b"{} x"),
            ("second document", b"{}{}"),
            ("byte order mark", b"\xef\xbb\xbf{}"),
            ("invalid UTF-8 in a string", b"\"\xff\""),
            ("overlong UTF-8", b"\"\xc0\x80\""),
            ("lone surrogate", br#""\ud800""#),
            ("surrogate in UTF-8", b"\"\xed\xa0\x80\""),
            ("control character in a string", b"\"\x01\""),
            ("number too large for a double", b"1e400"),
            ("NaN", b"NaN"),
            ("leading zero", b"01"),
            ("plus sign", b"+1"),
            ("hexadecimal", b"0x1"),
            ("single quotes", b"{'a':1}"),
            ("trailing comma", b"{\"a\":1,}"),
            ("comment", b"{} // x"),
            ("name without quotes", b"{a:1}"),
            ("unfinished", b"{\"a\":"),
        ];
        for (why, text) in cases {
            let fault = Json::parse(text, 8).unwrap_err();
            assert!(
                matches!(fault, JsonFault::Syntax { .. }),
                "{why}: {fault:?}"
            );
        }
    }

    #[test]
    fn a_fault_of_the_grammar_says_where() {
        let fault = parse("{\n  \"a\": tru }").unwrap_err();
        let JsonFault::Syntax { line, reason, .. } = &fault else {
            panic!("{fault:?}");
        };
        assert_eq!(*line, 2);
        assert!(!reason.contains("line"), "{reason}");
    }

    #[test]
    fn integers_are_told_from_other_numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("1.0", None),
            ("1e0", None),
            ("-0", None),
            ("-1", None),
            ("\"1\"", None),
        ] {
            assert_eq!(parse(text).unwrap().as_u64(), expected, "{text}");
        }
    }
}
