//! Which peers a policy means.
//!
//! Decided here: whether a pattern covers an ID. A pattern is a SPIFFE ID in which `*` may stand for a whole segment:
//! for exactly one in the middle, for one or more at the end. The trust domain is always named, and a `*` inside of a
//! segment is refused: `sa/prod-*` would also cover what somebody else may register.

use super::spiffe::{self, SpiffeFault, SpiffeId, TrustDomain};
use std::fmt;

/// A SPIFFE ID, or a pattern of IDs of one trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPattern {
    text: String,
    trust_domain: TrustDomain,
    /// `None` covers any one segment.
    segments: Vec<Option<String>>,
    /// Whether the last segment covers all that follow.
    open: bool,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternFault {
    /// Without its stars it is no SPIFFE ID.
    NoId(SpiffeFault),
    /// A `*` in the trust domain.
    StarInTrustDomain,
    /// A `*` beside other characters of a segment.
    StarInsideSegment,
}

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoId(fault) => fault.fmt(f),
            Self::StarInTrustDomain => f.write_str("a trust domain is named, never a pattern"),
            Self::StarInsideSegment => f.write_str("a star stands for a whole path segment"),
        }
    }
}

impl std::error::Error for PatternFault {}

impl PeerPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The first thing that makes it none, from the left.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        let mut parts = text.split('/').skip(2);
        if parts.next().is_some_and(|domain| domain.contains('*')) {
            return Err(PatternFault::StarInTrustDomain);
        }
        let (trust_domain, path) = spiffe::split(text).map_err(PatternFault::NoId)?;
        let segment = |part: &str| match part {
            "*" => Ok(None),
            _ if part.contains('*') => Err(PatternFault::StarInsideSegment),
            _ => spiffe::check_segment(part)
                .map(|()| Some(part.to_owned()))
                .map_err(PatternFault::NoId),
        };
        let segments = path.map(segment).collect::<Result<Vec<_>, _>>()?;
        let open = segments.last().is_some_and(Option::is_none);
        Ok(Self {
            text: text.to_owned(),
            trust_domain,
            segments,
            open,
        })
    }

    /// Whether it covers this ID.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        if self.trust_domain != *id.trust_domain() {
            return false;
        }
        let mut held = id.segments();
        let covered = self.segments.iter().all(|wanted| {
            held.next()
                .is_some_and(|segment| wanted.as_deref().is_none_or(|wanted| wanted == segment))
        });
        covered && (self.open || held.next().is_none())
    }

    /// The trust domain of all that it covers.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// As the policy writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PeerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn coverage() {
        for (pattern, id, covered, why) in [
            ("ns/a/sa/b", "ns/a/sa/b", true, "exact"),
            ("ns/a/sa/b", "ns/a/sa/B", false, "paths have case"),
            ("ns/a/sa/b", "ns/a/sa", false, "shorter"),
            (
                "ns/a/sa/b",
                "ns/a/sa/b/c",
                false,
                "longer: nothing is open without a star",
            ),
            ("ns/*/sa/b", "ns/a/sa/b", true, "one segment"),
            (
                "ns/*/sa/b",
                "ns/a/x/sa/b",
                false,
                "exactly one in the middle",
            ),
            ("ns/*/sa/b", "ns/sa/b", false, "never none"),
            ("*/a", "ns/a", true, "the first"),
            ("ns/a/*", "ns/a/x", true, "the last: one"),
            ("ns/a/*", "ns/a/sa/x", true, "the last: more"),
            ("ns/a/*", "ns/a", false, "the last: never none"),
            ("ns/a/*", "ns/ab/x", false, "whole segments"),
            ("*", "ns/a/sa/b", true, "the whole trust domain"),
            ("*/*", "ns", false, "each star is one at least"),
            ("*/*", "ns/a/sa", true, "and the last is open"),
        ] {
            let pattern = PeerPattern::parse(&format!("spiffe://example.org/{pattern}")).unwrap();
            let id = |domain: &str| SpiffeId::parse(&format!("spiffe://{domain}/{id}")).unwrap();
            assert_eq!(
                pattern.matches(&id("example.org")),
                covered,
                "{pattern} {}: {why}",
                id("example.org")
            );
            for foreign in ["example.com", "sub.example.org", "example.org.evil"] {
                assert!(
                    !pattern.matches(&id(foreign)),
                    "{pattern} {foreign}: another trust domain"
                );
            }
        }
    }

    #[test]
    fn faults() {
        use PatternFault::*;
        for (text, fault, why) in [
            (
                "spiffe://example.org",
                NoId(SpiffeFault::PathMissing),
                "a trust domain covers no workload; write /*",
            ),
            ("spiffe://*/a", StarInTrustDomain, "any trust domain"),
            (
                "spiffe://*.org/a",
                StarInTrustDomain,
                "part of a trust domain",
            ),
            ("spiffe://*", StarInTrustDomain, "anybody"),
            ("*", NoId(SpiffeFault::Scheme), "anybody"),
            (
                "spiffe://example.org/a-*",
                StarInsideSegment,
                "part of a segment",
            ),
            ("spiffe://example.org/**", StarInsideSegment, "two stars"),
            (
                "spiffe://example.org/*/",
                NoId(SpiffeFault::SegmentEmpty),
                "a slash at the end",
            ),
            (
                "spiffe://example.org/../a",
                NoId(SpiffeFault::SegmentDots),
                "dots",
            ),
            (
                "https://example.org/*",
                NoId(SpiffeFault::Scheme),
                "another scheme",
            ),
            ("", NoId(SpiffeFault::Scheme), "empty"),
        ] {
            assert_eq!(
                PeerPattern::parse(text).err(),
                Some(fault),
                "{text:?}: {why}"
            );
        }
    }
}
