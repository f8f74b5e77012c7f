//! The claims of a proof, read strictly and held against the request (RFC 9449 sections 4.2 and 4.3).
//!
//! Decided here: that the proof was made for this method, this target and this token, just now, and where the policy asks
//! for it after our nonce. A claim of the wrong form refuses the proof.
//! Not decided here: whether the proof was used before, and whether the token is bound to its key.
//! Against: proofs for another call, another token or another time (THREATS 15).

use sha2::{Digest, Sha256};

use super::fault::{DpopClaim, DpopFault};
use super::policy::{DpopPolicy, NoncePolicy};
use super::{ProofQuestion, base64url, target};
use crate::json::Json;

/// The longest `jti`, in bytes.
const MAX_ID_BYTES: usize = 256;

/// Dates are below this: 2^53, where a double still holds every integer (RFC 7519 section 2, NumericDate).
const DATE_END: u64 = 1 << 53;

const MAX_DEPTH: u8 = 8;

/// The claims of a proof, as an object without duplicates.
pub(super) struct Claims(Json);

/// What is kept of them.
pub(super) struct Said {
    pub(super) id: String,
    /// `htu` in canonical form.
    pub(super) target: String,
    pub(super) issued_at: u64,
}

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Claims, DpopFault> {
        let json = Json::parse(payload, MAX_DEPTH)
            .map_err(|_| DpopFault::Malformed("its claims are not strict JSON"))?;
        match json {
            Json::Object(_) => Ok(Claims(json)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::List(_) => {
                Err(DpopFault::Malformed("its claims are not an object"))
            }
        }
    }

    /// Reads the claims of a proof whose signature is good.
    pub(super) fn read(
        &self,
        ask: &ProofQuestion<'_>,
        policy: &DpopPolicy,
    ) -> Result<Said, DpopFault> {
        let id = self.required(DpopClaim::Id)?;
        if id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
            return Err(DpopFault::ClaimInvalid(DpopClaim::Id));
        }
        if self.required(DpopClaim::Method)? != ask.method {
            return Err(DpopFault::MethodMismatch);
        }
        let target = target::check(self.required(DpopClaim::Target)?, ask)?;
        let issued_at = self.check_dates(ask.now_seconds, policy)?;
        let hash = base64url(&Sha256::digest(ask.token.expose_secret()));
        if self.required(DpopClaim::TokenHash)? != hash {
            return Err(DpopFault::TokenMismatch);
        }
        self.check_nonce(ask, policy)?;
        Ok(Said {
            id: id.to_string(),
            target,
            issued_at,
        })
    }

    /// `iat` (required) from now - maximal age - leeway to now + leeway, both included; `exp` and `nbf` where they are there.
    /// Gives `iat`.
    fn check_dates(&self, now: u64, policy: &DpopPolicy) -> Result<u64, DpopFault> {
        let issued_at = self
            .date(DpopClaim::IssuedAt)?
            .ok_or(DpopFault::ClaimMissing(DpopClaim::IssuedAt))?;
        let expires_at = self.date(DpopClaim::Expiry)?;
        let not_before = self.date(DpopClaim::NotBefore)?;
        let latest_now = now.saturating_add(policy.leeway());
        if issued_at > latest_now || not_before.is_some_and(|date| date > latest_now) {
            return Err(DpopFault::InFuture);
        }
        let is_over = |date: u64| date.saturating_add(policy.leeway()) <= now;
        if policy.last_second(issued_at) < now || expires_at.is_some_and(is_over) {
            return Err(DpopFault::Stale);
        }
        Ok(issued_at)
    }

    /// `nonce`: a string wherever it is there, and one of ours where the policy asks for one (RFC 9449 section 4.3, check 10).
    fn check_nonce(&self, ask: &ProofQuestion<'_>, policy: &DpopPolicy) -> Result<(), DpopFault> {
        let nonce = self.text(DpopClaim::Nonce)?;
        match policy.nonce() {
            NoncePolicy::Never => Ok(()),
            NoncePolicy::Required => {
                let nonces = ask.nonces.ok_or(DpopFault::NonceUnavailable)?;
                let nonce = nonce.ok_or(DpopFault::NonceRequired)?;
                if nonces.accepts(nonce, ask.now_seconds) {
                    Ok(())
                } else {
                    Err(DpopFault::NonceWrong)
                }
            }
        }
    }

    fn required(&self, claim: DpopClaim) -> Result<&str, DpopFault> {
        self.text(claim)?.ok_or(DpopFault::ClaimMissing(claim))
    }

    fn text(&self, claim: DpopClaim) -> Result<Option<&str>, DpopFault> {
        match self.0.member(claim.name()).map(Json::as_str) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => Err(DpopFault::ClaimInvalid(claim)),
        }
    }

    /// A NumericDate, strictly: an integer from 0 to 2^53-1, written as one.
    fn date(&self, claim: DpopClaim) -> Result<Option<u64>, DpopFault> {
        match self.0.member(claim.name()) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .filter(|date| *date < DATE_END)
                .map(Some)
                .ok_or(DpopFault::ClaimInvalid(claim)),
        }
    }
}
