//! The signature algorithms that we know, one row each.
//!
//! Decided here: which names exist, what each computes, and which kind of key it asks for.
//! Not decided here: which of them an issuer may use.
//! Against: `none`, case variants, HMAC with a public key (THREATS 13): a name that is not in the table does not exist, and
//! no kind of key serves both a MAC and a signature.

use std::fmt;

use jsonwebtoken::Algorithm;

/// A JWS algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alg {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256, also in MGF1, and 32 bytes of salt.
    Ps256,
    /// RSASSA-PSS with SHA-384, also in MGF1, and 48 bytes of salt.
    Ps384,
    /// RSASSA-PSS with SHA-512, also in MGF1, and 64 bytes of salt.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// EdDSA; here always Ed25519.
    EdDsa,
    /// HMAC with SHA-256: whoever can check a token can make one.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

/// What an algorithm computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Rsa(Padding, Hash),
    /// The curve names the hash (RFC 7518 section 3.4).
    Ecdsa(Curve),
    Ed25519,
    Hmac(Hash),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    Pkcs1,
    Pss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

/// The kind of key that an algorithm asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    Ec(Curve),
    Ed25519,
    Oct,
}

impl Alg {
    /// Every algorithm, in the order in which they are listed to people.
    pub const ALL: &'static [Alg] = &[
        Alg::Rs256,
        Alg::Rs384,
        Alg::Rs512,
        Alg::Ps256,
        Alg::Ps384,
        Alg::Ps512,
        Alg::Es256,
        Alg::Es384,
        Alg::Es512,
        Alg::EdDsa,
        Alg::Hs256,
        Alg::Hs384,
        Alg::Hs512,
    ];

    /// The name, what is computed, and the same algorithm as jsonwebtoken calls it.
    fn row(self) -> (&'static str, Scheme, Option<Algorithm>) {
        use Hash::{Sha256, Sha384, Sha512};
        use Padding::{Pkcs1, Pss};
        use Scheme::{Ecdsa, Hmac, Rsa};
        match self {
            Alg::Rs256 => ("RS256", Rsa(Pkcs1, Sha256), Some(Algorithm::RS256)),
            Alg::Rs384 => ("RS384", Rsa(Pkcs1, Sha384), Some(Algorithm::RS384)),
            Alg::Rs512 => ("RS512", Rsa(Pkcs1, Sha512), Some(Algorithm::RS512)),
            Alg::Ps256 => ("PS256", Rsa(Pss, Sha256), Some(Algorithm::PS256)),
            Alg::Ps384 => ("PS384", Rsa(Pss, Sha384), Some(Algorithm::PS384)),
            Alg::Ps512 => ("PS512", Rsa(Pss, Sha512), Some(Algorithm::PS512)),
            Alg::Es256 => ("ES256", Ecdsa(Curve::P256), Some(Algorithm::ES256)),
            Alg::Es384 => ("ES384", Ecdsa(Curve::P384), Some(Algorithm::ES384)),
            Alg::Es512 => ("ES512", Ecdsa(Curve::P521), None),
            Alg::EdDsa => ("EdDSA", Scheme::Ed25519, Some(Algorithm::EdDSA)),
            Alg::Hs256 => ("HS256", Hmac(Sha256), Some(Algorithm::HS256)),
            Alg::Hs384 => ("HS384", Hmac(Sha384), Some(Algorithm::HS384)),
            Alg::Hs512 => ("HS512", Hmac(Sha512), Some(Algorithm::HS512)),
        }
    }

    /// The algorithm of exactly this name; names are case-sensitive (RFC 7515 section 4.1.1).
    #[must_use]
    pub fn parse(name: &str) -> Option<Alg> {
        Alg::ALL.iter().copied().find(|alg| alg.name() == name)
    }

    /// The name in JOSE headers and keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Those that need no shared secret: what a policy means that names none.
    #[must_use]
    pub fn asymmetric() -> Vec<Alg> {
        let asymmetric = |alg: &Alg| !alg.is_symmetric();
        Alg::ALL.iter().copied().filter(asymmetric).collect()
    }

    /// Whether signer and verifier share one secret, so that a policy must name the algorithm to have it.
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        self.key_kind() == KeyKind::Oct
    }

    pub(super) fn scheme(self) -> Scheme {
        self.row().1
    }

    /// The same algorithm as jsonwebtoken calls it; it has no ES512.
    pub(super) fn jose(self) -> Option<Algorithm> {
        self.row().2
    }

    /// Ours for one of jsonwebtoken's, where we know it.
    pub(super) fn from_jose(algorithm: Algorithm) -> Option<Alg> {
        let same = |alg: &Alg| alg.jose() == Some(algorithm);
        Alg::ALL.iter().copied().find(same)
    }

    pub(super) fn key_kind(self) -> KeyKind {
        match self.scheme() {
            Scheme::Rsa(..) => KeyKind::Rsa,
            Scheme::Ecdsa(curve) => KeyKind::Ec(curve),
            Scheme::Ed25519 => KeyKind::Ed25519,
            Scheme::Hmac(_) => KeyKind::Oct,
        }
    }

    /// The fewest bytes of a secret for this algorithm: the output of its hash (RFC 7518 section 3.2). Zero where it has none.
    pub(super) fn secret_bytes(self) -> usize {
        match self.scheme() {
            Scheme::Hmac(hash) => hash.bytes(),
            Scheme::Rsa(..) | Scheme::Ecdsa(_) | Scheme::Ed25519 => 0,
        }
    }
}

impl Hash {
    pub(super) fn bytes(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }
}

impl Curve {
    pub(super) const ALL: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

    /// The name in keys (RFC 7518 section 6.2.1.1).
    pub(super) fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
            Curve::P521 => "P-521",
        }
    }

    /// Bytes of a coordinate (RFC 7518 section 6.2.1.2).
    pub(super) fn bytes(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    /// The hash that ECDSA on this curve signs (RFC 7518 section 3.4).
    pub(super) fn hash(self) -> Hash {
        match self {
            Curve::P256 => Hash::Sha256,
            Curve::P384 => Hash::Sha384,
            Curve::P521 => Hash::Sha512,
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
            match alg.jose() {
                Some(jose) => {
                    assert_eq!(Alg::from_jose(jose), Some(*alg));
                    assert_eq!(format!("{jose:?}"), alg.name());
                }
                None => assert_eq!(*alg, Alg::Es512, "the one that jsonwebtoken lacks"),
            }
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
            ("case of HMAC", "hs256"),
            ("truncated HMAC (draft only)", "HS256/64"),
            ("a curve that JWA has not, and nobody asks for", "ES256K"),
            ("a JWE algorithm", "RSA-OAEP"),
            ("a curve is not an algorithm", "P-256"),
            ("the hash of ES512 is not its curve", "ES521"),
            ("SHA-1", "RS1"),
        ] {
            assert_eq!(Alg::parse(name), None, "{why}");
        }
    }

    #[test]
    fn a_shared_secret_serves_macs_alone() {
        for alg in Alg::ALL {
            assert_eq!(alg.is_symmetric(), alg.name().starts_with("HS"), "{alg}");
            assert_eq!(alg.secret_bytes() > 0, alg.is_symmetric(), "{alg}");
        }
    }
}
