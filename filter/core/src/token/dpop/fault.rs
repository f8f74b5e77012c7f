//! Why a proof is not accepted: a closed list, each with a sentence for the caller.
//!
//! Decided here: how much a fault tells. Nothing of the proof is in it, so it can go into logs, records and
//! `error_description` (RFC 6750 section 3: no quotes, no backslashes, ASCII).
//! Not decided here: the code, status and form of the refusal.

use std::fmt;

use crate::token::KeyWhy;

/// Why a proof is not accepted. Holds no piece of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpopFault {
    /// No `DPoP` header.
    Missing,
    /// More than one `DPoP` header.
    Repeated,
    /// Longer than [`super::MAX_PROOF_BYTES`].
    TooLong,
    /// Not a JWS in compact form with strict JSON in it; says which part.
    Malformed(&'static str),
    /// The JOSE header says something that we refuse; says what.
    HeaderRefused(&'static str),
    /// An algorithm that does not exist here, or that the policy does not take.
    AlgorithmRefused,
    /// The key is not one that may sign proofs.
    KeyRefused(KeyWhy),
    /// The signature is not one of the key in the header over these bytes.
    SignatureInvalid,
    /// A claim that must be there is not.
    ClaimMissing(DpopClaim),
    /// A claim is there, and is not what it must be.
    ClaimInvalid(DpopClaim),
    /// `htm` is another method than the request's.
    MethodMismatch,
    /// `htu` is another target than the request's.
    TargetMismatch,
    /// `iat` is too long ago, or `exp` is over.
    Stale,
    /// `iat` or `nbf` lies in the future.
    InFuture,
    /// `ath` is the hash of another token.
    TokenMismatch,
    /// The policy asks for a nonce and there is none.
    NonceRequired,
    /// The nonce is none of ours, or an old one.
    NonceWrong,
    /// The policy asks for a nonce and the gateway has none to compare with; the gateway's fault.
    NonceUnavailable,
    /// The proof was used before.
    Seen,
    /// The gateway has no room to remember the proof; the gateway's fault.
    Full,
    /// What the gateway remembers cannot be read; the gateway's fault.
    Corrupt,
    /// The token is bound to another key.
    ThumbprintMismatch,
}

/// A claim of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpopClaim {
    /// `jti`
    Id,
    /// `htm`
    Method,
    /// `htu`
    Target,
    /// `iat`
    IssuedAt,
    /// `exp`
    Expiry,
    /// `nbf`
    NotBefore,
    /// `ath`
    TokenHash,
    /// `nonce`
    Nonce,
}

impl DpopFault {
    /// Whether the answer is `use_dpop_nonce` with a new `DPoP-Nonce` (RFC 9449 section 9), and not `invalid_dpop_proof`.
    #[must_use]
    pub fn asks_for_nonce(self) -> bool {
        matches!(self, DpopFault::NonceRequired | DpopFault::NonceWrong)
    }

    /// Whether the fault is the gateway's and not the caller's.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(
            self,
            DpopFault::NonceUnavailable | DpopFault::Full | DpopFault::Corrupt
        )
    }
}

impl fmt::Display for DpopFault {
    /// One sentence, fit for `error_description`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DpopFault::Missing => f.write_str("The request has no DPoP proof."),
            DpopFault::Repeated => f.write_str("The request has more than one DPoP proof."),
            DpopFault::TooLong => f.write_str("The DPoP proof is too long."),
            DpopFault::Malformed(what) => write!(f, "The DPoP proof is malformed: {what}."),
            DpopFault::HeaderRefused(what) => {
                write!(f, "The header of the DPoP proof is refused: {what}.")
            }
            DpopFault::AlgorithmRefused => {
                f.write_str("The signature algorithm of the DPoP proof is not allowed.")
            }
            DpopFault::KeyRefused(why) => write!(f, "The key of the DPoP proof is refused: {why}."),
            DpopFault::SignatureInvalid => {
                f.write_str("The signature of the DPoP proof is not valid.")
            }
            DpopFault::ClaimMissing(claim) => {
                write!(f, "The DPoP proof has no {} claim.", claim.name())
            }
            DpopFault::ClaimInvalid(claim) => {
                let name = claim.name();
                write!(f, "The {name} claim of the DPoP proof is not valid.")
            }
            DpopFault::MethodMismatch => f.write_str("The DPoP proof is for another method."),
            DpopFault::TargetMismatch => f.write_str("The DPoP proof is for another URI."),
            DpopFault::Stale => {
                f.write_str("The DPoP proof is too old; make one for each request.")
            }
            DpopFault::InFuture => f.write_str("The DPoP proof was made in the future."),
            DpopFault::TokenMismatch => f.write_str("The DPoP proof is for another access token."),
            DpopFault::NonceRequired => {
                f.write_str("The DPoP proof needs the nonce of the DPoP-Nonce header.")
            }
            DpopFault::NonceWrong => {
                f.write_str("The nonce of the DPoP proof is not current; take the new one.")
            }
            DpopFault::NonceUnavailable => {
                f.write_str("The nonce of the DPoP proof cannot be checked now.")
            }
            DpopFault::Seen => f.write_str("The DPoP proof was used before."),
            DpopFault::Full => f.write_str("Too many DPoP proofs at this time."),
            DpopFault::Corrupt => {
                f.write_str("Whether the DPoP proof was used before cannot be told.")
            }
            DpopFault::ThumbprintMismatch => {
                f.write_str("The token is bound to another key than that of the DPoP proof.")
            }
        }
    }
}

impl std::error::Error for DpopFault {}

impl DpopClaim {
    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DpopClaim::Id => "jti",
            DpopClaim::Method => "htm",
            DpopClaim::Target => "htu",
            DpopClaim::IssuedAt => "iat",
            DpopClaim::Expiry => "exp",
            DpopClaim::NotBefore => "nbf",
            DpopClaim::TokenHash => "ath",
            DpopClaim::Nonce => "nonce",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const ALL: &[DpopFault] = &[
        DpopFault::Missing,
        DpopFault::Repeated,
        DpopFault::TooLong,
        DpopFault::Malformed("it does not have three parts"),
        DpopFault::HeaderRefused("jku brings its own keys"),
        DpopFault::AlgorithmRefused,
        DpopFault::KeyRefused(KeyWhy::Private("d")),
        DpopFault::KeyRefused(KeyWhy::ExponentInvalid),
        DpopFault::KeyRefused(KeyWhy::CurveRefused),
        DpopFault::SignatureInvalid,
        DpopFault::ClaimMissing(DpopClaim::TokenHash),
        DpopFault::ClaimInvalid(DpopClaim::Target),
        DpopFault::MethodMismatch,
        DpopFault::TargetMismatch,
        DpopFault::Stale,
        DpopFault::InFuture,
        DpopFault::TokenMismatch,
        DpopFault::NonceRequired,
        DpopFault::NonceWrong,
        DpopFault::NonceUnavailable,
        DpopFault::Seen,
        DpopFault::Full,
        DpopFault::Corrupt,
        DpopFault::ThumbprintMismatch,
    ];

    #[test]
    fn every_sentence_fits_into_error_description() {
        for fault in ALL {
            let sentence = fault.to_string();
            let allowed = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(
                sentence.bytes().all(allowed),
                "RFC 6750 section 3: {sentence}"
            );
            assert!(
                sentence.ends_with('.') && !sentence.ends_with(".."),
                "{sentence}"
            );
        }
    }

    #[test]
    fn a_new_nonce_and_our_own_faults_are_told_apart() {
        let asks: Vec<_> = ALL.iter().filter(|fault| fault.asks_for_nonce()).collect();
        assert_eq!(asks, [&DpopFault::NonceRequired, &DpopFault::NonceWrong]);
        let ours: Vec<_> = ALL.iter().filter(|fault| fault.is_ours()).collect();
        let expected = [
            &DpopFault::NonceUnavailable,
            &DpopFault::Full,
            &DpopFault::Corrupt,
        ];
        assert_eq!(ours, expected);
    }
}
