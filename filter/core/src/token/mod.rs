//! Tokens: from the bytes of a bearer token to a caller that an issuer of the policy vouches for.
//!
//! Decided here: the order of the questions. Shape, header, claimed issuer, algorithm, key, signature; only then dates,
//! audience and identity. Whatever is not understood is a refusal.
//! Not decided here: where in the request the token stands (`identity`), and what its holder may do (`policy`).
//! Follows RFC 7515, 7517, 7518, 7519, 8037, 8725 and 9068. Against THREATS 13 to 17, 20 and 21.
//!
//! ```text
//! bytes -> Compact -> JoseHeader -> Issuer -> Key -> signature good -> dates, audience -> Verified
//! ```

mod algorithm;
mod claims;
mod compact;
mod crypto;
mod fault;
mod header;
pub mod host;
mod issuer;
mod key;
mod secret;

pub use algorithm::Alg;
pub use compact::MAX_TOKEN_BYTES;
pub use crypto::{Crypto, CryptoTaken, NO_KEY_UTILS, RUST_CRYPTO, no_signer, rust_crypto_verifier};
pub use fault::{Claim, TokenFault};
pub use issuer::{
    ClaimPaths, Issuer, IssuerFault, IssuerSpec, Issuers, IssuersFault, MAX_LEEWAY_SECONDS,
};
pub use key::{KeyFault, KeySet, KeyWhy, MAX_KEYS};
pub use secret::Secret;

use claims::{Claims, Said};
use compact::Compact;
use header::JoseHeader;
use key::Key;

/// A caller that a token proves. Only [`verify`] makes one:
///
/// ```compile_fail,E0451
/// let forged = postern_core::token::Verified { issuer: "corp".to_string() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    issuer: String,
    subject: String,
    tenant: Option<String>,
    scopes: Vec<String>,
    roles: Vec<String>,
    groups: Vec<String>,
    expires_at: u64,
}

/// Checks a token in JWS compact form (RFC 7519 section 7.2). `now` in seconds since 1970, UTC.
///
/// # Errors
/// The first thing that is wrong with it. The order is fixed, and nothing that only the true issuer could know is told
/// before the signature is known to be good.
pub fn verify(
    token: &Secret<'_>,
    issuers: &Issuers,
    now: u64,
    crypto: Crypto,
) -> Result<Verified, TokenFault> {
    let parts = Compact::parse(*token)?;
    let header = JoseHeader::parse(&parts.header)?;
    let claims = Claims::parse(&parts.payload)?;
    let issuer = issuers
        .of(claims.claimed_issuer()?)
        .ok_or(TokenFault::IssuerUnknown)?;
    if !issuer.algorithms.contains(&header.alg) {
        return Err(TokenFault::AlgorithmRefused);
    }
    let key = issuer.keys.select(header.key_id.as_deref(), header.alg)?;
    check_signature(&parts, key, header.alg, crypto)?;
    let said = claims.read(issuer, now)?;
    Ok(Verified::new(issuer, said))
}

/// The signature over the first two parts (RFC 7515 section 5.2). `Crypto` proves that jsonwebtoken has its provider.
fn check_signature(parts: &Compact<'_>, key: &Key, alg: Alg, _: Crypto) -> Result<(), TokenFault> {
    match jsonwebtoken::crypto::verify(parts.signature, parts.signed, key.material(), alg.jose()) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(TokenFault::SignatureInvalid),
    }
}

impl Verified {
    fn new(issuer: &Issuer, said: Said) -> Verified {
        let Said {
            subject,
            tenant,
            scopes,
            roles,
            groups,
            expires_at,
        } = said;
        Verified {
            issuer: issuer.name().to_string(),
            subject,
            tenant,
            scopes,
            roles,
            groups,
            expires_at,
        }
    }

    /// The name of the issuer in the policy.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who the caller is, for this issuer. 1 to 512 bytes, no control characters, not trimmable.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// For whom the caller acts; there whenever the issuer's `claims.tenant` names a claim.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The scopes held, each once.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The roles held, each once.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The groups the caller is in, each once.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// `exp`, in seconds since 1970; the issuer's leeway comes on top.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }
}

#[cfg(test)]
mod signing;
#[cfg(test)]
mod tests;
