//! TLS versions: which is older, and what the host and the policy call them.
//!
//! A version without a name here has no place in the order: it is refused, and never taken for a newer one.

use std::fmt;

/// A version of TLS, the older the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.0
    V1_0,
    /// TLS 1.1
    V1_1,
    /// TLS 1.2
    V1_2,
    /// TLS 1.3
    V1_3,
}

impl TlsVersion {
    /// As the host reports it (`connection.tls_version`): `TLSv1`, `TLSv1.1`, `TLSv1.2` or `TLSv1.3`.
    pub fn of_connection(text: &str) -> Option<Self> {
        match text {
            "TLSv1" => Some(Self::V1_0),
            "TLSv1.1" => Some(Self::V1_1),
            "TLSv1.2" => Some(Self::V1_2),
            "TLSv1.3" => Some(Self::V1_3),
            _ => None,
        }
    }

    /// As a policy asks for it: `1.2` or `1.3`. Older ones cannot be asked for (RFC 8996).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "1.2" => Some(Self::V1_2),
            "1.3" => Some(Self::V1_3),
            _ => None,
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn names_and_order() {
        let names = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
        let versions: Vec<_> = names
            .iter()
            .map(|name| TlsVersion::of_connection(name).unwrap())
            .collect();
        assert!(versions.is_sorted() && versions.first() < versions.last());
        for (text, why) in [
            ("", "nothing"),
            ("TLSv1.0", "no name of the host's"),
            ("TLSv1.4", "not yet a version"),
            ("tlsv1.3", "names have case"),
            ("SSLv3", "older than all"),
            ("1.3", "the policy's form"),
            ("TLSv1.3 ", "a space"),
        ] {
            assert_eq!(TlsVersion::of_connection(text), None, "{text:?}: {why}");
        }
        for (text, expected, why) in [
            ("1.2", Some(TlsVersion::V1_2), "the least"),
            ("1.3", Some(TlsVersion::V1_3), "the newest"),
            ("1.1", None, "too old to ask for"),
            ("1.0", None, "too old to ask for"),
            ("1.4", None, "unknown"),
            ("TLSv1.2", None, "the host's form"),
            ("", None, "nothing"),
        ] {
            assert_eq!(TlsVersion::parse(text), expected, "{text:?}: {why}");
            if let Some(version) = expected {
                assert_eq!(version.to_string(), text);
            }
        }
    }
}
