//! Who calls: what was proved of the caller, as one value. There is no other way to make it than by proof.
//!
//! Not decided here: whether a token is good (token), whether a caller may (decide).
//! Against THREATS 18: identity never comes from a header that a client can send.

use crate::facts::{Credential, RequestFacts};
use crate::refusal::{Code, Refusal};
use crate::token::{self, Crypto, Issuers, TokenFault, Verified};

/// A proved identity.
#[derive(Debug, Clone)]
pub struct Identity {
    token: Verified,
}

impl Identity {
    /// Proves who calls by the request's one credential, a token. `now` is in seconds since 1970 (UTC).
    ///
    /// # Errors
    /// 401 with the reason, never with anything of the credential.
    pub fn prove(
        facts: &RequestFacts<'_>,
        issuers: &Issuers,
        now: u64,
        crypto: Crypto,
    ) -> Result<Self, Refusal> {
        let token = match facts.credential() {
            Credential::Bearer(token) => token,
            Credential::None => {
                return Err(Refusal::new(
                    Code::CredentialMissing,
                    "send a token: Authorization: Bearer <token>",
                ));
            }
            Credential::Other => {
                return Err(Refusal::new(
                    Code::CredentialMissing,
                    "this credential is not taken here; send a token: Authorization: Bearer <token>",
                ));
            }
            Credential::Repeated => {
                return Err(Refusal::new(
                    Code::CredentialRepeated,
                    "send exactly one credential",
                ));
            }
        };
        let token = token::verify(token, issuers, now, crypto)
            .map_err(|fault| Refusal::new(code_of(&fault), fault.to_string()))?;
        Ok(Self { token })
    }

    /// The name of the issuer that vouches.
    pub fn issuer(&self) -> &str {
        self.token.issuer()
    }

    /// The subject.
    pub fn subject(&self) -> &str {
        self.token.subject()
    }

    /// The tenant, where the issuer names one.
    pub fn tenant(&self) -> Option<&str> {
        self.token.tenant()
    }

    /// The scopes it holds.
    pub fn scopes(&self) -> &[String] {
        self.token.scopes()
    }

    /// The roles it holds.
    pub fn roles(&self) -> &[String] {
        self.token.roles()
    }

    /// The groups it belongs to.
    pub fn groups(&self) -> &[String] {
        self.token.groups()
    }
}

/// The refusal for each way in which a token is bad.
fn code_of(fault: &TokenFault) -> Code {
    match fault {
        TokenFault::Malformed(_) | TokenFault::TooLong => Code::TokenMalformed,
        TokenFault::HeaderRefused(_) => Code::TokenHeader,
        TokenFault::AlgorithmRefused => Code::TokenAlgorithm,
        TokenFault::IssuerMissing | TokenFault::IssuerUnknown => Code::TokenIssuer,
        TokenFault::KeyUnknown | TokenFault::KeyAmbiguous => Code::TokenKey,
        TokenFault::SignatureInvalid => Code::TokenSignature,
        TokenFault::AudienceWrong => Code::TokenAudience,
        TokenFault::ClaimMissing(_) | TokenFault::ClaimInvalid(_) => Code::TokenClaims,
        TokenFault::Expired => Code::TokenExpired,
        TokenFault::NotYetValid | TokenFault::IssuedInFuture => Code::TokenNotYetValid,
        TokenFault::LifetimeTooLong => Code::TokenLifetime,
    }
}
