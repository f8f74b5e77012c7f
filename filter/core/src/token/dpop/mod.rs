//! DPoP: the proof that whoever sends a token holds the key to which it was issued (RFC 9449).
//!
//! Decided here: the order of the questions to a proof, and what a good one is. Shape, header, key, signature; only then the
//! claims: this method, this target, this minute, this token, and where the policy asks for one, a nonce of ours.
//! A good proof still has to be of the token's key ([`Proof::thumbprint`]) and new ([`remember`]); these are steps of
//! `identity` and of the stream.
//! Not decided here: whether the token is good, whether it must be bound, and the form of the refusal.
//! Against: a token that was stolen (alone, or with a proof for another call), proofs made ahead and proofs sent again.
//!
//! ```text
//! Proof::check -> thumbprint is cnf.jkt -> mark -> Ask::Read -> remember -> Ask::Swap
//!                                                      ^                       |
//!                                                      +------- Conflict ------+
//! ```

mod claims;
mod fault;
mod header;
mod nonce;
mod policy;
mod replay;
mod secret;
mod target;

pub use fault::{DpopClaim, DpopFault};
pub use nonce::{NONCE_SLOT_SECONDS, Nonces};
pub use policy::{
    DEFAULT_MAX_AGE_SECONDS, DpopPolicy, DpopPolicyFault, DpopSpec, MAX_MAX_AGE_SECONDS,
    NoncePolicy,
};
pub use replay::{BUCKET_MARKS, BUCKETS, MAX_BUCKET_BYTES, Mark, ReplayFault, remember};
pub use secret::{SECRET_KEY, SecretFault, SecretStep, SharedSecret, first_secret};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::compact::Compact;
use super::crypto::Crypto;
use super::secret::Secret;
use super::{TokenFault, check_signature};
use claims::Claims;
use header::ProofHeader;

/// The longest proof that is looked at, in bytes. One with the largest RSA key takes less than half.
pub const MAX_PROOF_BYTES: usize = 8 * 1024;

/// What the request says that the proof has to say as well.
#[derive(Clone, Copy, Debug)]
pub struct ProofQuestion<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The scheme of the request: `http` or `https`.
    pub scheme: &'a str,
    /// The authority as the client sent it, with its port if it named one.
    pub authority: &'a str,
    /// The path without query, in the one spelling in which requests are read.
    pub path: &'a str,
    /// The access token that came with the proof.
    pub token: Secret<'a>,
    /// Now, in seconds since 1970, UTC.
    pub now_seconds: u64,
    /// Our nonces; needed where the policy asks for one.
    pub nonces: Option<&'a Nonces>,
}

/// A proof that is good for one request and one token. Only [`Proof::check`] makes one:
///
/// ```compile_fail,E0451
/// let forged = postern_core::token::dpop::Proof { thumbprint: [0; 32] };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a proof that was not remembered can be sent again, and one that binds nothing proves nothing"]
pub struct Proof {
    thumbprint: [u8; 32],
    id: String,
    target: String,
    issued_at: u64,
    expires_at: u64,
}

impl Proof {
    /// Checks a proof against its request (RFC 9449 section 4.3, checks 2 to 12 without the binding to `cnf.jkt`).
    ///
    /// # Errors
    /// The first thing that is wrong with it, in a fixed order.
    pub fn check(
        value: &[u8],
        ask: &ProofQuestion<'_>,
        policy: &DpopPolicy,
        crypto: Crypto,
    ) -> Result<Proof, DpopFault> {
        if value.len() > MAX_PROOF_BYTES {
            return Err(DpopFault::TooLong);
        }
        let parts = Compact::parse(Secret::new(value)).map_err(|fault| match fault {
            TokenFault::Malformed(what) => DpopFault::Malformed(what),
            // The only other fault of a shape.
            _ => DpopFault::TooLong,
        })?;
        let header = ProofHeader::parse(&parts.header)?;
        if !policy.allows(header.alg) {
            return Err(DpopFault::AlgorithmRefused);
        }
        check_signature(&parts, &header.key, header.alg, crypto)
            .map_err(|_| DpopFault::SignatureInvalid)?;
        let said = Claims::parse(&parts.payload)?.read(ask, policy)?;
        Ok(Proof {
            thumbprint: header.thumbprint,
            id: said.id,
            target: said.target,
            issued_at: said.issued_at,
            expires_at: policy.last_second(said.issued_at),
        })
    }

    /// The SHA-256 thumbprint of the key that signed the proof (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> [u8; 32] {
        self.thumbprint
    }

    /// What the gateway remembers of this proof, so that it is taken once.
    ///
    /// The mark is over (thumbprint, `jti`, target). RFC 9449 section 11.1 keeps `jti` "in the context of the target URI":
    /// it is unique for its client and target only. The target is there so that one `jti` for two targets is two proofs. The
    /// thumbprint is there so that nobody can use up the `jti` of another. The time is not: a client that signs
    /// one `jti` for one target again while it lives is refused, as the RFC has it.
    pub fn mark(&self, secret: &SharedSecret) -> Mark {
        Mark::new(secret, self)
    }
}

/// base64url without padding.
fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests;
