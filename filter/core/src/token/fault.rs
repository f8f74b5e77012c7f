//! Why a token is not accepted: a closed list, each with a sentence for the caller.
//!
//! Decided here: how much a fault tells. Nothing of the token is in it, so it can go into logs, records and
//! `error_description` (RFC 6750 section 3: no quotes, no backslashes, ASCII).
//! Not decided here: the code, status and form of the refusal.

use crate::library::Shelf;
use std::fmt;

/// Why a token is not accepted. Holds no piece of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Not a JWS in compact form; says which part.
    Malformed(&'static str),
    /// Longer than [`super::MAX_TOKEN_BYTES`].
    TooLong,
    /// The JOSE header says something that we refuse; says what.
    HeaderRefused(&'static str),
    /// An algorithm that does not exist here, that the issuer does not use, or that the named key is not for.
    AlgorithmRefused,
    /// No `iss`.
    IssuerMissing,
    /// No issuer of the policy has this `iss`.
    IssuerUnknown,
    /// The issuer has no key of this id.
    KeyUnknown,
    /// The same, and its keys are fetched: they may have changed since.
    KeyNotFetched(Shelf),
    /// The issuer's keys or its list of revoked tokens were never fetched yet.
    KeysAwaited,
    /// What was fetched of the issuer is too old to be relied on.
    KeysExpired,
    /// No key id in the header, and more than one key of the issuer fits.
    KeyAmbiguous,
    /// The signature is not one of this key over these bytes.
    SignatureInvalid,
    /// It stands where its issuer's tokens do not stand.
    PlaceWrong,
    /// For another audience.
    AudienceWrong,
    /// A claim that must be there is not.
    ClaimMissing(Claim),
    /// A claim is there, and is not what it must be.
    ClaimInvalid(Claim),
    /// `exp` is over.
    Expired,
    /// `nbf` is not yet.
    NotYetValid,
    /// `iat` lies in the future.
    IssuedInFuture,
    /// Valid for longer than the issuer may say.
    LifetimeTooLong,
    /// The issuer has taken it back.
    Revoked,
}

/// A claim that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `iss`
    Issuer,
    /// `aud`
    Audience,
    /// `exp`
    Expiry,
    /// `nbf`
    NotBefore,
    /// `iat`
    IssuedAt,
    /// The claim that the policy names as subject.
    Subject,
    /// The claim that the policy names as tenant.
    Tenant,
    /// A claim that the policy names for scopes.
    Scopes,
    /// A claim that the policy names for roles.
    Roles,
    /// A claim that the policy names for groups.
    Groups,
    /// `jti`
    Id,
    /// `cnf`
    Confirmation,
    /// `acr`, `amr` or `auth_time`
    Authentication,
    /// A claim that the policy names for a header to the upstream.
    Forwarded,
}

impl fmt::Display for TokenFault {
    /// One sentence, fit for `error_description`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenFault::Malformed(what) => write!(f, "The token is malformed: {what}."),
            TokenFault::TooLong => f.write_str("The token is too long."),
            TokenFault::HeaderRefused(what) => {
                write!(f, "The header of the token is refused: {what}.")
            }
            TokenFault::AlgorithmRefused => {
                f.write_str("The signature algorithm of the token is not allowed.")
            }
            TokenFault::IssuerMissing => f.write_str("The token names no issuer."),
            TokenFault::IssuerUnknown => f.write_str("The issuer of the token is not trusted."),
            TokenFault::KeyUnknown | TokenFault::KeyNotFetched(_) => {
                f.write_str("The issuer has no such signing key.")
            }
            TokenFault::KeysAwaited => {
                f.write_str("The keys or revocations of the issuer are not here yet; try again.")
            }
            TokenFault::KeysExpired => {
                f.write_str("The keys or revocations of the issuer could not be renewed in time; try again later.")
            }
            TokenFault::KeyAmbiguous => {
                f.write_str("The token names no key and the issuer has several that fit.")
            }
            TokenFault::SignatureInvalid => f.write_str("The signature of the token is not valid."),
            TokenFault::PlaceWrong => {
                f.write_str("The token is not in a place where its issuer sends tokens.")
            }
            TokenFault::AudienceWrong => f.write_str("The token is for another audience."),
            TokenFault::ClaimMissing(claim) => {
                write!(f, "The token has no {} claim.", claim.name())
            }
            TokenFault::ClaimInvalid(claim) => {
                write!(f, "The {} claim of the token is not valid.", claim.name())
            }
            TokenFault::Expired => f.write_str("The token has expired."),
            TokenFault::NotYetValid => f.write_str("The token is not valid yet."),
            TokenFault::IssuedInFuture => f.write_str("The token was issued in the future."),
            TokenFault::LifetimeTooLong => {
                f.write_str("The token is valid for longer than allowed.")
            }
            TokenFault::Revoked => f.write_str("The token has been revoked."),
        }
    }
}

impl std::error::Error for TokenFault {}

impl Claim {
    /// `exp` and kin by their registered name, what the policy places by its role.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Claim::Issuer => "iss",
            Claim::Audience => "aud",
            Claim::Expiry => "exp",
            Claim::NotBefore => "nbf",
            Claim::IssuedAt => "iat",
            Claim::Subject => "subject",
            Claim::Tenant => "tenant",
            Claim::Scopes => "scopes",
            Claim::Roles => "roles",
            Claim::Groups => "groups",
            Claim::Id => "jti",
            Claim::Confirmation => "cnf",
            Claim::Authentication => "acr, amr or auth_time",
            Claim::Forwarded => "forwarded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const ALL: &[TokenFault] = &[
        TokenFault::Malformed("it does not have three parts"),
        TokenFault::TooLong,
        TokenFault::HeaderRefused("jku brings its own keys"),
        TokenFault::AlgorithmRefused,
        TokenFault::IssuerMissing,
        TokenFault::IssuerUnknown,
        TokenFault::KeyUnknown,
        TokenFault::KeysAwaited,
        TokenFault::KeysExpired,
        TokenFault::Revoked,
        TokenFault::ClaimInvalid(Claim::Authentication),
        TokenFault::KeyAmbiguous,
        TokenFault::SignatureInvalid,
        TokenFault::PlaceWrong,
        TokenFault::AudienceWrong,
        TokenFault::ClaimMissing(Claim::Expiry),
        TokenFault::ClaimInvalid(Claim::Roles),
        TokenFault::Expired,
        TokenFault::NotYetValid,
        TokenFault::IssuedInFuture,
        TokenFault::LifetimeTooLong,
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
}
