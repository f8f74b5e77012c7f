//! A caller that a token proves: what its issuer says of it, once, and what is asked of it at every later use.

use std::sync::Arc;

use super::claims::Dates;
use super::fault::TokenFault;
use super::issuer::Issuer;
use super::possession::Binding;
use super::revocation::Revocation;

/// A caller that a token proves. Only [`verify`](super::verify) makes one:
///
/// ```compile_fail,E0451
/// let forged = postern_core::token::Verified { subject: "root".to_string() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub(super) issuer: Arc<str>,
    pub(super) subject: String,
    pub(super) tenant: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) dates: Dates,
    /// `jti` (RFC 7519 section 4.1.7).
    pub(super) id: Option<String>,
    pub(super) key_id: Option<String>,
    pub(super) binding: Binding,
    pub(super) authentication: Authentication,
    /// Headers that the issuer's `forward.headers` name, with their values.
    pub(super) told: Vec<(Arc<str>, String)>,
}

/// How and when the caller's user signed in (OpenID Connect Core section 2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authentication {
    /// `acr`: the class that was reached.
    pub class: Option<String>,
    /// `amr`: the methods that were used.
    pub methods: Vec<String>,
    /// `auth_time`: when, in seconds since 1970.
    pub at: Option<u64>,
}

impl Verified {
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
        self.dates.expires_at
    }

    /// To what the token is bound.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// How the user signed in.
    #[must_use]
    pub fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// What the upstream is told in headers that the policy names.
    pub fn told(&self) -> impl Iterator<Item = (&str, &str)> {
        self.told
            .iter()
            .map(|(name, value)| (&**name, value.as_str()))
    }

    /// The dates once more, at `now` in seconds since 1970.
    pub(super) fn check_dates(&self, issuer: &Issuer, now: u64) -> Result<(), TokenFault> {
        self.dates.check(issuer, now)
    }

    pub(super) fn is_revoked_by(&self, list: &Revocation) -> bool {
        list.revokes(
            self.id.as_deref(),
            &self.subject,
            self.key_id.as_deref(),
            self.dates.issued_at,
        )
        .is_some()
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        let lists = [
            &self.scopes,
            &self.roles,
            &self.groups,
            &self.authentication.methods,
        ];
        let texts = lists.into_iter().flatten().map(String::len);
        let single = [
            self.subject.len(),
            self.tenant.as_ref().map_or(0, String::len),
            self.id.as_ref().map_or(0, String::len),
            self.key_id.as_ref().map_or(0, String::len),
            self.authentication.class.as_ref().map_or(0, String::len),
        ];
        let told = self.told.iter().map(|(_, value)| value.len());
        texts
            .chain(single)
            .chain(told)
            .map(|length| length.saturating_add(size_of::<String>()))
            .fold(size_of::<Self>(), usize::saturating_add)
    }
}
