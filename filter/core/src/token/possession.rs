//! Sender-constrained tokens: to whose key a token is bound, and what its issuer demands (RFC 7800, 8705, 9449).
//!
//! Decided here: what `cnf` may say. A token that is bound is never taken without the proof, whatever the policy demands:
//! a binding that is not looked at is a stolen token that works. A confirmation that we cannot check is refused.
//! Not decided here: whether the proof is there (`identity`).

use super::claims::Claims;
use super::compact::decode;
use super::fault::{Claim, TokenFault};

/// What an issuer's tokens must be bound to: `proofOfPossession`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Possession {
    /// Nothing is demanded; what a token itself says is held to all the same.
    #[default]
    None,
    /// The certificate of the connection (RFC 8705).
    Mtls,
    /// A key of the caller, proved with each request (RFC 9449).
    Dpop,
    /// One of the two.
    Any,
}

/// To what a token is bound by its `cnf` claim (RFC 7800 section 3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// To nothing: whoever holds it may use it.
    #[default]
    Bearer,
    /// To a certificate, by the SHA-256 of its DER: `x5t#S256` (RFC 8705 section 3.1).
    Certificate([u8; 32]),
    /// To a key, by its thumbprint: `jkt` (RFC 9449 section 6.1, RFC 7638).
    Key([u8; 32]),
}

impl Binding {
    /// Reads `cnf`. Exactly one confirmation, of a kind that is known here.
    pub(super) fn read(claims: &Claims) -> Result<Binding, TokenFault> {
        let Some(confirmation) = claims.member("cnf") else {
            return Ok(Binding::Bearer);
        };
        let invalid = || TokenFault::ClaimInvalid(Claim::Confirmation);
        let [(name, value)] = confirmation.as_object().ok_or_else(invalid)? else {
            return Err(invalid());
        };
        let digest = value.as_str().and_then(decode).ok_or_else(invalid)?;
        let digest = digest.try_into().map_err(|_| invalid())?;
        match name.as_str() {
            "x5t#S256" => Ok(Binding::Certificate(digest)),
            "jkt" => Ok(Binding::Key(digest)),
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests;
