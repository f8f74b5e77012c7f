//! Tokens: from the bytes of a bearer token to a caller that an issuer of the policy vouches for.
//!
//! Decided here: the order of the questions. Shape, header, claimed issuer, algorithm, key, signature; only then dates,
//! audience and identity, and whether it was revoked. A token that was verified before is asked only what time can change:
//! keys, dates, revocation. Whatever is not understood is a refusal.
//! Not decided here: where in the request the token stands and whether its sender proves what it is bound to (`identity`),
//! and what its holder may do (`decide`).
//! Follows RFC 7515, 7517, 7518, 7519, 8037, 8725 and 9068. Against THREATS 13 to 17, 20 and 21.
//!
//! ```text
//! bytes -> Compact -> JoseHeader -> Issuer -> Key -> signature good -> dates, audience -> not revoked -> Verified
//!   |                                                                                        ^              |
//!   '--> known: keys still the same and usable, dates ---------------------------------------'   kept <-----'
//! ```

mod algorithm;
mod cache;
mod claims;
mod compact;
mod crypto;
pub mod dpop;
mod fault;
mod header;
mod host;
mod issuer;
mod key;
mod possession;
mod revocation;
mod secret;
mod verified;

pub use algorithm::Alg;
pub use cache::{Counts, VerifiedTokens};
pub use compact::MAX_TOKEN_BYTES;
pub use crypto::{Crypto, CryptoTaken};
pub use fault::{Claim, TokenFault};
pub use host::{Ask, Gateway};
pub use issuer::{
    ClaimPaths, Forward, Issuer, IssuerFault, IssuerSpec, Issuers, IssuersFault, Keys,
    MAX_LEEWAY_SECONDS, Revoked, Told, ToldValue,
};
pub use key::{KeyFault, KeySet, KeyWhy, MAX_KEYS, MAX_SECRET_BYTES};
pub use possession::{Binding, Possession};
pub use revocation::{MAX_REVOKED, MAX_REVOKED_BYTES, Revocation, RevocationFault, RevokedBy};
pub use secret::{Secret, SecretText};
pub use verified::{Authentication, Verified};

use crate::library::Library;
use cache::{Entry, digest};
use claims::Claims;
use compact::Compact;
use dpop::SharedSecret;
use header::JoseHeader;
use key::Key;
use std::sync::Arc;

/// What a worker keeps between requests to check tokens by.
#[derive(Debug, Default)]
pub struct Memory {
    /// Keys and revocations that were fetched.
    pub library: Library,
    /// Tokens that were verified already.
    pub tokens: VerifiedTokens,
    /// The secret that all workers share for proofs of possession, once they have agreed on it.
    pub shared_secret: Option<SharedSecret>,
}

/// Checks a token in JWS compact form (RFC 7519 section 7.2). `now` in milliseconds since 1970, UTC.
///
/// # Errors
/// The first thing that is wrong with it. The order is fixed, and nothing that only the true issuer could know is told
/// before the signature is known to be good.
pub fn verify(
    token: Secret<'_>,
    issuers: &Issuers,
    memory: &mut Memory,
    now: u64,
    crypto: Crypto,
) -> Result<Arc<Verified>, TokenFault> {
    let Memory {
        library, tokens, ..
    } = memory;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenFault::TooLong);
    }
    let digest = digest(token);
    let known = tokens.find(&digest, |entry| {
        let issuer = issuers.at(entry.issuer);
        issuer.is_some_and(|issuer| {
            issuer.name() == entry.verified.issuer()
                && issuer.generation(library) == entry.generation
        })
    });
    let seconds = seconds(now);
    if let Some(Entry {
        verified, issuer, ..
    }) = known
    {
        let issuer = issuers.at(issuer).ok_or(TokenFault::IssuerUnknown)?;
        issuer.keys(library, now)?;
        verified.check_dates(issuer, seconds)?;
        check_revocation(&verified, issuer, library, now)?;
        return Ok(verified);
    }
    let parts = Compact::parse(token)?;
    let header = JoseHeader::parse(&parts.header)?;
    let claims = Claims::parse(&parts.payload)?;
    let (place, issuer) = issuers
        .of(claims.claimed_issuer()?)
        .ok_or(TokenFault::IssuerUnknown)?;
    if !issuer.algorithms.contains(&header.alg) {
        return Err(TokenFault::AlgorithmRefused);
    }
    let keys = issuer.keys(library, now)?;
    let key = keys
        .select(header.key_id.as_deref(), header.alg)
        .map_err(|fault| match (fault, issuer.source()) {
            (TokenFault::KeyUnknown, Some(source)) => TokenFault::KeyNotFetched(source),
            (fault, _) => fault,
        })?;
    check_signature(&parts, key, header.alg, crypto)?;
    // WHY not the header's: who holds a key that was taken back would leave its name out.
    let verified = claims.read(issuer, seconds, key.id().map(str::to_owned))?;
    check_revocation(&verified, issuer, library, now)?;
    let verified = Arc::new(verified);
    tokens.keep(
        digest,
        Entry {
            verified: Arc::clone(&verified),
            issuer: place,
            generation: issuer.generation(library),
        },
    );
    Ok(verified)
}

/// The signature over the first two parts (RFC 7515 section 5.2).
fn check_signature(
    parts: &Compact<'_>,
    key: &Key,
    alg: Alg,
    crypto: Crypto,
) -> Result<(), TokenFault> {
    if crypto.verifies(alg, key.material(), parts.signed, parts.signature) {
        Ok(())
    } else {
        Err(TokenFault::SignatureInvalid)
    }
}

/// Whether the issuer has taken the token back since. Without a list that can be relied on nothing is decided.
fn check_revocation(
    verified: &Verified,
    issuer: &Issuer,
    library: &Library,
    now: u64,
) -> Result<(), TokenFault> {
    match issuer.revoked(library, now)? {
        Some(list) if verified.is_revoked_by(list) => Err(TokenFault::Revoked),
        Some(_) | None => Ok(()),
    }
}

/// Milliseconds as whole seconds, rounded down.
pub(crate) fn seconds(millis: u64) -> u64 {
    millis.checked_div(1000).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod signing;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "vectors"))]
pub mod vectors;
