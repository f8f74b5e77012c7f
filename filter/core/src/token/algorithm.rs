//! The signature algorithms that we know, one row each.
//!
//! Decided here: which names exist, and which kind of key each asks for. A later algorithm is a row here, a verifier in
//! `crypto`, and where it needs a new kind of key, a reader in `key`.
//! Not decided here: which of them an issuer may use.
//! Against: `none`, case variants, HMAC with a public key (THREATS 13): a name that is not in the table does not exist.

use std::fmt;

use jsonwebtoken::Algorithm;

/// A JWS algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alg {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// EdDSA; here always Ed25519.
    EdDsa,
}

/// The kind of key that an algorithm asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    Ed25519,
}

impl Alg {
    /// Every algorithm, in the order in which they are listed to people.
    pub const ALL: &'static [Alg] = &[Alg::Rs256, Alg::Es256, Alg::EdDsa];

    /// The algorithm of exactly this name; names are case-sensitive (RFC 7515 section 4.1.1).
    #[must_use]
    pub fn parse(name: &str) -> Option<Alg> {
        Alg::ALL.iter().copied().find(|alg| alg.name() == name)
    }

    /// The name in JOSE headers and keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Alg::Rs256 => "RS256",
            Alg::Es256 => "ES256",
            Alg::EdDsa => "EdDSA",
        }
    }

    /// The same algorithm as jsonwebtoken calls it.
    #[must_use]
    pub fn jose(self) -> Algorithm {
        match self {
            Alg::Rs256 => Algorithm::RS256,
            Alg::Es256 => Algorithm::ES256,
            Alg::EdDsa => Algorithm::EdDSA,
        }
    }

    /// Ours for one of jsonwebtoken's, where we know it.
    #[must_use]
    pub fn from_jose(algorithm: Algorithm) -> Option<Alg> {
        Alg::ALL.iter().copied().find(|alg| alg.jose() == algorithm)
    }

    pub(super) fn key_kind(self) -> KeyKind {
        match self {
            Alg::Rs256 => KeyKind::Rsa,
            Alg::Es256 => KeyKind::P256,
            Alg::EdDsa => KeyKind::Ed25519,
        }
    }
}

impl fmt::Display for Alg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_name_is_known_exactly_or_not_at_all() {
        for alg in Alg::ALL {
            assert_eq!(Alg::parse(alg.name()), Some(*alg));
            assert_eq!(Alg::from_jose(alg.jose()), Some(*alg));
        }
        for (why, name) in [
            ("no signature at all", "none"),
            ("case variant of it", "None"),
            ("case variant of it", "nOnE"),
            ("empty", ""),
            ("case", "rs256"),
            ("case of EdDSA", "EDDSA"),
            ("white space", "RS256 "),
            ("NUL", "RS256\0"),
            ("HMAC: no shared keys", "HS256"),
            ("a JWE algorithm", "RSA-OAEP"),
            ("a curve is not an algorithm", "P-256"),
        ] {
            assert_eq!(Alg::parse(name), None, "{why}");
        }
    }
}
