//! Scopes: what a rule asks for and what a token holds, compared segment by segment.
//!
//! A template such as `model:{model}:{operation}` has segments between colons; a placeholder fills exactly one. In a
//! token `*` as a whole segment holds for every value of it. A `:` inside of a filled-in value is written `%3A` (and `%`
//! as `%25`), so that a model's name can never reach over into the next segment.

use crate::model::Model;
use crate::operation::Operation;

/// A scope with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeTemplate(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Model,
    Operation,
}

/// Why a text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateFault {
    /// Empty, or a segment of it is.
    Empty,
    /// A character that no scope has (RFC 6749 section 3.3), or a brace or star inside of a segment.
    Character,
    /// A placeholder that does not exist.
    Placeholder,
}

/// `model:{model}:{operation}`: what a rule asks for that names no scopes.
impl Default for ScopeTemplate {
    fn default() -> Self {
        Self(vec![
            Segment::Literal("model".to_owned()),
            Segment::Model,
            Segment::Operation,
        ])
    }
}

impl ScopeTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What makes it no template.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let segment = |part: &str| match part {
            "" => Err(TemplateFault::Empty),
            "{model}" => Ok(Segment::Model),
            "{operation}" => Ok(Segment::Operation),
            _ if part.starts_with('{') && part.ends_with('}') => Err(TemplateFault::Placeholder),
            _ if part.bytes().all(is_literal_byte) => Ok(Segment::Literal(part.to_owned())),
            _ => Err(TemplateFault::Character),
        };
        text.split(':')
            .map(segment)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The scope that a call needs. An operation without a model needs the scope for every model: `*`.
    pub fn fill(&self, model: Option<&Model>, operation: Operation) -> NeededScope {
        let fill = |segment: &Segment| match segment {
            Segment::Literal(text) => text.clone(),
            Segment::Operation => operation.name().to_owned(),
            Segment::Model => match model {
                Some(model) => model.name().replace('%', "%25").replace(':', "%3A"),
                None => "*".to_owned(),
            },
        };
        NeededScope(self.0.iter().map(fill).collect())
    }
}

/// Scope characters of RFC 6749 section 3.3, less those with a meaning here.
fn is_literal_byte(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\' | b'{' | b'}' | b'*' | b':')
}

/// A scope that a call needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededScope(Vec<String>);

impl NeededScope {
    /// Whether one of the held scopes is it or covers it.
    pub fn is_held(&self, held: &[String]) -> bool {
        held.iter().any(|scope| self.is_covered_by(scope))
    }

    fn is_covered_by(&self, held: &str) -> bool {
        let mut held = held.split(':');
        let covered = self.0.iter().all(|needed| {
            held.next()
                .is_some_and(|part| part == "*" || part == needed)
        });
        covered && held.next().is_none()
    }
}

impl std::fmt::Display for NeededScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(":"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn held_scopes_cover_needed_ones() {
        let rows = [
            ("gpt-4o", "model:gpt-4o:chat", true, "literal"),
            ("gpt-4o", "model:*:chat", true, "star for a whole segment"),
            ("gpt-4o", "*:*:*", true, "stars everywhere"),
            ("gpt-4o", "*", false, "a star is one segment, not many"),
            (
                "gpt-4o",
                "model:gpt-*:chat",
                false,
                "a star inside of a segment is a letter",
            ),
            ("gpt-4o", "model:gpt-4o", false, "too few segments"),
            ("gpt-4o", "model:gpt-4o:chat:x", false, "too many segments"),
            (
                "gpt-4o",
                "MODEL:gpt-4o:chat",
                false,
                "scopes are case-sensitive",
            ),
            (
                "llama3:8b",
                "model:llama3%3A8b:chat",
                true,
                "a colon in a name is escaped",
            ),
            (
                "llama3:8b",
                "model:llama3:8b:chat",
                false,
                "and does not make a segment",
            ),
            (
                "llama3:8b",
                "model:*:chat",
                true,
                "one segment, whatever is in it",
            ),
        ];
        let template = ScopeTemplate::default();
        for (model, held, expected, why) in rows {
            let needed = template.fill(Some(&Model::parse(model).unwrap()), Operation::Chat);
            assert_eq!(
                needed.is_held(&[held.to_owned()]),
                expected,
                "{model} {held}: {why}"
            );
        }
        let list = template.fill(None, Operation::Models);
        assert_eq!(list.to_string(), "model:*:models");
        assert!(
            !list.is_held(&["model:gpt-4o:models".into()]),
            "a list needs the scope for every model"
        );
    }

    #[test]
    fn templates() {
        assert_eq!(
            ScopeTemplate::parse("model:{model}:{operation}"),
            Ok(ScopeTemplate::default())
        );
        for (text, fault, why) in [
            ("model:{model}:{operation}", None, "the default"),
            ("inference", None, "no placeholder"),
            ("", Some(TemplateFault::Empty), "empty"),
            ("a::b", Some(TemplateFault::Empty), "empty segment"),
            (
                "a:{tenant}",
                Some(TemplateFault::Placeholder),
                "unknown placeholder",
            ),
            (
                "a:x{model}",
                Some(TemplateFault::Character),
                "a placeholder is a whole segment",
            ),
            (
                "a b",
                Some(TemplateFault::Character),
                "a scope has no space",
            ),
            (
                "a:*",
                Some(TemplateFault::Character),
                "stars are for tokens",
            ),
        ] {
            assert_eq!(ScopeTemplate::parse(text).err(), fault, "{text:?}: {why}");
        }
    }
}
