//! SPIFFE IDs: what names a workload, read exactly.
//!
//! Decided here: which text is the ID of a workload (SPIFFE-ID sections 2.1 to 2.3, X509-SVID section 3.1). One ID has
//! one spelling: `spiffe` and the trust domain in lower case, no percent-encoding, no empty or dot segment, so that two
//! IDs are the same when their bytes are. A trust domain alone names an authority that signs, never a workload.
//! Not decided here: whether the holder was proved, or may anything.
//! Against: two readers that see different names in the same text (THREATS 24).

use std::fmt;

/// The longest SPIFFE ID, in bytes (SPIFFE-ID section 2.3).
pub const MAX_SPIFFE_ID_BYTES: usize = 2048;

/// The longest trust domain, in bytes (SPIFFE-ID section 2.3).
pub const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// Why a text is no SPIFFE ID of a workload. Holds no piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpiffeFault {
    /// Longer than [`MAX_SPIFFE_ID_BYTES`].
    TooLong,
    /// Does not begin with `spiffe://`, in lower case.
    Scheme,
    /// The trust domain is empty, too long, or has another character than `a-z`, `0-9`, `.`, `-` and `_`: also a port, a
    /// user or an upper-case letter.
    TrustDomain,
    /// A trust domain alone: an authority, no workload.
    PathMissing,
    /// A segment of the path is empty, also behind a last `/`.
    SegmentEmpty,
    /// A segment is `.` or `..`.
    SegmentDots,
    /// A segment has another character than letters, digits, `.`, `-` and `_`: also `%`, `?`, `#` and `*`.
    SegmentCharacter,
}

impl SpiffeFault {
    /// What is wrong, to follow "it".
    pub fn what(self) -> &'static str {
        match self {
            Self::TooLong => "is longer than 2048 bytes",
            Self::Scheme => "does not begin with spiffe://",
            Self::TrustDomain => "has no valid trust domain",
            Self::PathMissing => "names a trust domain and no workload",
            Self::SegmentEmpty => "has an empty path segment",
            Self::SegmentDots => "has a path segment of dots",
            Self::SegmentCharacter => "has a character that no path segment has",
        }
    }
}

impl fmt::Display for SpiffeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a SPIFFE ID of a workload: it {}", self.what())
    }
}

impl std::error::Error for SpiffeFault {}

/// A trust domain: who vouches for an ID (SPIFFE-ID section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Reads a trust domain by its name alone, without a scheme.
    ///
    /// # Errors
    /// [`SpiffeFault::TrustDomain`].
    pub fn parse(name: &str) -> Result<Self, SpiffeFault> {
        let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        let sized = (1..=MAX_TRUST_DOMAIN_BYTES).contains(&name.len());
        if sized && name.bytes().all(letter) {
            Ok(Self(name.to_owned()))
        } else {
            Err(SpiffeFault::TrustDomain)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SPIFFE ID of a workload. Two IDs are equal when their texts are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: String,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Reads the ID of a workload.
    ///
    /// # Errors
    /// The first thing that makes it none, from the left.
    pub fn parse(text: &str) -> Result<Self, SpiffeFault> {
        let (trust_domain, path) = split(text)?;
        for segment in path {
            check_segment(segment)?;
        }
        Ok(Self {
            text: text.to_owned(),
            trust_domain,
        })
    }

    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Who vouches for it.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The segments of its path, at least one, none of them empty.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        // The scheme, the nothing between the slashes, and the trust domain come first.
        self.text.split('/').skip(3)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The trust domain and the segments, not yet checked, of an ID or of a pattern.
pub(super) fn split(text: &str) -> Result<(TrustDomain, std::str::Split<'_, char>), SpiffeFault> {
    if text.len() > MAX_SPIFFE_ID_BYTES {
        return Err(SpiffeFault::TooLong);
    }
    let rest = text.strip_prefix("spiffe://").ok_or(SpiffeFault::Scheme)?;
    match rest.split_once('/') {
        Some((name, path)) => Ok((TrustDomain::parse(name)?, path.split('/'))),
        None => Err(TrustDomain::parse(rest)
            .err()
            .unwrap_or(SpiffeFault::PathMissing)),
    }
}

/// Whether a segment is one (SPIFFE-ID section 2.2).
pub(super) fn check_segment(segment: &str) -> Result<(), SpiffeFault> {
    let letter =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    match segment {
        "" => Err(SpiffeFault::SegmentEmpty),
        "." | ".." => Err(SpiffeFault::SegmentDots),
        _ if segment.bytes().all(letter) => Ok(()),
        _ => Err(SpiffeFault::SegmentCharacter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn ids() {
        use SpiffeFault::*;
        for (text, expected, why) in [
            (
                "spiffe://example.org/ns/a/sa/b",
                Ok("example.org"),
                "as Istio writes them",
            ),
            ("spiffe://td/w", Ok("td"), "one segment"),
            (
                "spiffe://a_b-c.1/A.b_c-9/...",
                Ok("a_b-c.1"),
                "the whole alphabet; three dots are a name",
            ),
            ("", Err(Scheme), "empty"),
            ("example.org/ns/a", Err(Scheme), "no scheme"),
            ("https://example.org/a", Err(Scheme), "another scheme"),
            (
                "SPIFFE://example.org/a",
                Err(Scheme),
                "one ID, one spelling",
            ),
            ("spiffe:/example.org/a", Err(Scheme), "one slash"),
            (" spiffe://example.org/a", Err(Scheme), "a space in front"),
            ("spiffe://", Err(TrustDomain), "no trust domain"),
            (
                "spiffe:///a",
                Err(TrustDomain),
                "no trust domain, with a path",
            ),
            ("spiffe://Example.org/a", Err(TrustDomain), "upper case"),
            ("spiffe://example.org:443/a", Err(TrustDomain), "a port"),
            ("spiffe://user@example.org/a", Err(TrustDomain), "a user"),
            (
                "spiffe://ex%61mple.org/a",
                Err(TrustDomain),
                "percent-encoding",
            ),
            ("spiffe://exämple.org/a", Err(TrustDomain), "not ASCII"),
            (
                "spiffe://example.org",
                Err(PathMissing),
                "an authority, no workload",
            ),
            ("spiffe://example.org/", Err(SegmentEmpty), "an empty path"),
            (
                "spiffe://example.org/a/",
                Err(SegmentEmpty),
                "a slash at the end",
            ),
            ("spiffe://example.org//a", Err(SegmentEmpty), "two slashes"),
            ("spiffe://example.org/a/../b", Err(SegmentDots), "up"),
            ("spiffe://example.org/./b", Err(SegmentDots), "here"),
            (
                "spiffe://example.org/a%2Fb",
                Err(SegmentCharacter),
                "percent-encoding",
            ),
            ("spiffe://example.org/a?b", Err(SegmentCharacter), "a query"),
            (
                "spiffe://example.org?b",
                Err(TrustDomain),
                "a query in place of a path",
            ),
            (
                "spiffe://example.org/a#b",
                Err(SegmentCharacter),
                "a fragment",
            ),
            (
                "spiffe://example.org/*",
                Err(SegmentCharacter),
                "a pattern is no ID",
            ),
            (
                "spiffe://example.org/a\0b",
                Err(SegmentCharacter),
                "NUL (CVE-2026-47778)",
            ),
            (
                "spiffe://example.org/a;Hash=0",
                Err(SegmentCharacter),
                "a separator of the forwarded header",
            ),
            ("spiffe://example.org/ä", Err(SegmentCharacter), "not ASCII"),
        ] {
            let id = SpiffeId::parse(text);
            let domain = id.as_ref().map(|id| id.trust_domain().as_str());
            assert_eq!(domain, expected.as_ref().copied(), "{text:?}: {why}");
            if let Ok(id) = &id {
                assert_eq!(id.as_str(), text, "{why}");
            }
        }
    }

    #[test]
    fn lengths() {
        let id = |domain: usize, path: usize| {
            let text = format!("spiffe://{}/{}", "d".repeat(domain), "p".repeat(path));
            SpiffeId::parse(&text).err()
        };
        assert_eq!(id(255, 1), None, "the longest trust domain");
        assert_eq!(id(256, 1), Some(SpiffeFault::TrustDomain));
        assert_eq!(id(1, 2037), None, "2048 bytes in all");
        assert_eq!(id(1, 2038), Some(SpiffeFault::TooLong));
    }

    #[test]
    fn segments_are_what_stands_between_slashes() {
        let id = SpiffeId::parse("spiffe://example.org/ns/a/sa/b").unwrap();
        assert_eq!(id.segments().collect::<Vec<_>>(), ["ns", "a", "sa", "b"]);
    }
}
