//! The claims of a token, read strictly (RFC 7519 section 4, RFC 9068 section 4).
//!
//! Decided here: whether the claims are good now, for us, and who they say the caller is. A claim of the wrong form
//! refuses the token: it is never dropped, since a restriction could hang on it.
//! Not decided here: whether the claims are the issuer's. Only `iss` is read before the signature is known to be
//! good, and only to find the key to check it with.
//! Against: dates that are strings, floats, negative or huge; `aud` that is not for us; subjects that read like others
//! once a header is trimmed (THREATS 15, 17, 20).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fault::{Claim, TokenFault};
use super::issuer::{CheckedTold, CheckedValue, Issuer};
use super::possession::Binding;
use super::verified::{Authentication, Verified};
use crate::facts::header_value;
use crate::json::Json;

/// The longest subject or tenant, in bytes.
const MAX_SUBJECT_BYTES: usize = 512;

/// The longest single scope, role or group, in bytes.
const MAX_GRANT_BYTES: usize = 256;

/// The most scopes, roles or groups (each for itself), and the most audiences.
const MAX_GRANTS: usize = 256;

/// Dates are below this: 2^53, where a double still holds every integer (RFC 7519 section 2, NumericDate).
const DATE_END: u64 = 1 << 53;

const MAX_DEPTH: u8 = 32;

/// The longest claim path: its names, and its bytes.
const MAX_PATH_NAMES: usize = 8;
const MAX_PATH_BYTES: usize = 256;

/// The claims of a token, as an object without duplicates. Nothing says yet that they are true.
pub(super) struct Claims(Json);

/// The dates of a token, in seconds since 1970 (RFC 7519 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dates {
    pub(super) expires_at: u64,
    pub(super) not_before: Option<u64>,
    pub(super) issued_at: Option<u64>,
}

/// The way to a claim: names, from the outside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimPath(Vec<String>);

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Claims, TokenFault> {
        let json = Json::parse(payload, MAX_DEPTH)
            .map_err(|_| TokenFault::Malformed("its claims are not strict JSON"))?;
        match json {
            Json::Object(_) => Ok(Claims(json)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::List(_) => {
                Err(TokenFault::Malformed("its claims are not an object"))
            }
        }
    }

    /// The `iss` that the token claims; required (RFC 8725 section 3.8).
    pub(super) fn claimed_issuer(&self) -> Result<&str, TokenFault> {
        self.0
            .member("iss")
            .ok_or(TokenFault::IssuerMissing)?
            .as_str()
            .ok_or(TokenFault::ClaimInvalid(Claim::Issuer))
    }

    /// A claim by its name.
    pub(super) fn member(&self, name: &str) -> Option<&Json> {
        self.0.member(name)
    }

    /// Reads the claims of a token whose signature is good. `now` in seconds since 1970.
    pub(super) fn read(
        &self,
        issuer: &Issuer,
        now: u64,
        key_id: Option<String>,
    ) -> Result<Verified, TokenFault> {
        let dates = self.dates()?;
        dates.check(issuer, now)?;
        self.check_audience(issuer)?;
        let paths = &issuer.claims;
        let tenant = match &paths.tenant {
            Some(path) => Some(self.identifier(path, Claim::Tenant)?),
            None => None,
        };
        let mut verified = Verified {
            issuer: Arc::clone(&issuer.name),
            subject: self.identifier(&paths.subject, Claim::Subject)?,
            tenant,
            scopes: self.grants(&paths.scopes, Claim::Scopes, read_scopes)?,
            roles: self.grants(&paths.roles, Claim::Roles, read_names)?,
            groups: self.grants(&paths.groups, Claim::Groups, read_names)?,
            dates,
            id: self.text("jti", Claim::Id)?,
            key_id,
            binding: Binding::read(self)?,
            authentication: Authentication {
                class: self.text("acr", Claim::Authentication)?,
                methods: match self.0.member("amr") {
                    None => Vec::new(),
                    Some(value) => owned(read_names(value), Claim::Authentication)?,
                },
                at: self.date("auth_time", Claim::Authentication)?,
            },
            told: Vec::new(),
        };
        for told in issuer.told() {
            if let Some(value) = self.told(told, &verified)? {
                verified.told.push((Arc::clone(&told.header), value));
            }
        }
        Ok(verified)
    }

    /// The value of a header that the policy names; none where the token says nothing.
    fn told(&self, told: &CheckedTold, verified: &Verified) -> Result<Option<String>, TokenFault> {
        let one = |text: &str| Some(header_value(text));
        Ok(match &told.value {
            CheckedValue::Issuer => one(&verified.issuer),
            CheckedValue::Subject => one(&verified.subject),
            CheckedValue::Tenant => verified.tenant.as_deref().and_then(one),
            CheckedValue::Scopes => list_value(&verified.scopes),
            CheckedValue::Roles => list_value(&verified.roles),
            CheckedValue::Groups => list_value(&verified.groups),
            CheckedValue::Claim(path) => match self.at(path, Claim::Forwarded)? {
                None => None,
                Some(Json::Number(number)) => one(&number.to_string()),
                Some(Json::Bool(truth)) => one(&truth.to_string()),
                Some(value) => list_value(&owned(read_names(value), Claim::Forwarded)?),
            },
        })
    }

    /// A claim that is one text, where it is there.
    fn text(&self, name: &str, claim: Claim) -> Result<Option<String>, TokenFault> {
        match self.0.member(name) {
            None => Ok(None),
            Some(Json::String(text)) if is_text(text, MAX_SUBJECT_BYTES) => Ok(Some(text.clone())),
            Some(_) => Err(TokenFault::ClaimInvalid(claim)),
        }
    }

    /// `exp` (required), `nbf`, `iat`.
    fn dates(&self) -> Result<Dates, TokenFault> {
        Ok(Dates {
            expires_at: self
                .date("exp", Claim::Expiry)?
                .ok_or(TokenFault::ClaimMissing(Claim::Expiry))?,
            not_before: self.date("nbf", Claim::NotBefore)?,
            issued_at: self.date("iat", Claim::IssuedAt)?,
        })
    }

    /// A NumericDate, strictly: an integer from 0 to 2^53-1, written as one.
    fn date(&self, name: &str, claim: Claim) -> Result<Option<u64>, TokenFault> {
        match self.0.member(name) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .filter(|date| *date < DATE_END)
                .map(Some)
                .ok_or(TokenFault::ClaimInvalid(claim)),
        }
    }

    /// `aud`: a string or a list of strings, one of them exactly one of ours (RFC 7519 section 4.1.3).
    fn check_audience(&self, issuer: &Issuer) -> Result<(), TokenFault> {
        let invalid = TokenFault::ClaimInvalid(Claim::Audience);
        let ours = |aud: &str| issuer.audiences.iter().any(|audience| audience == aud);
        let found = match self.0.member("aud") {
            None => return Err(TokenFault::ClaimMissing(Claim::Audience)),
            Some(Json::String(aud)) => ours(aud),
            Some(Json::List(list)) if list.len() <= MAX_GRANTS => {
                let mut found = false;
                for aud in list {
                    found |= ours(aud.as_str().ok_or(invalid)?);
                }
                found
            }
            Some(
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Object(_),
            ) => return Err(invalid),
        };
        if found {
            Ok(())
        } else {
            Err(TokenFault::AudienceWrong)
        }
    }

    /// The value at a path. `None` when the last object has no such member; a step through something that is not an
    /// object is a claim of the wrong form.
    fn at(&self, path: &ClaimPath, claim: Claim) -> Result<Option<&Json>, TokenFault> {
        let mut here = &self.0;
        for name in &path.0 {
            let members = here.as_object().ok_or(TokenFault::ClaimInvalid(claim))?;
            match members.iter().find(|(member, _)| member == name) {
                Some((_, value)) => here = value,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// A subject or tenant: required, and a text that means the same in a header, a log line and a record.
    fn identifier(&self, path: &ClaimPath, claim: Claim) -> Result<String, TokenFault> {
        let text = self
            .at(path, claim)?
            .ok_or(TokenFault::ClaimMissing(claim))?
            .as_str()
            .ok_or(TokenFault::ClaimInvalid(claim))?;
        // WHY trim: a header value is trimmed on its way upstream, and `alice ` would arrive as `alice`.
        let good = is_text(text, MAX_SUBJECT_BYTES) && text.trim() == text;
        if good {
            Ok(text.to_string())
        } else {
            Err(TokenFault::ClaimInvalid(claim))
        }
    }

    /// Scopes, roles or groups from all paths together, each once, in the order of the token.
    fn grants(
        &self,
        paths: &[ClaimPath],
        claim: Claim,
        read: fn(&Json) -> Option<Vec<&str>>,
    ) -> Result<Vec<String>, TokenFault> {
        let invalid = TokenFault::ClaimInvalid(claim);
        let mut seen = BTreeSet::new();
        let mut grants = Vec::new();
        for path in paths {
            let Some(value) = self.at(path, claim)? else {
                continue;
            };
            for grant in read(value).ok_or(invalid)? {
                if seen.insert(grant) {
                    grants.push(grant.to_string());
                }
            }
        }
        if grants.len() > MAX_GRANTS {
            return Err(invalid);
        }
        Ok(grants)
    }
}

impl Dates {
    /// Whether they hold at `now`, and whether the time between them is not too long.
    pub(super) fn check(&self, issuer: &Issuer, now: u64) -> Result<(), TokenFault> {
        let Dates {
            expires_at,
            not_before,
            issued_at,
        } = *self;
        let latest_now = now.saturating_add(issuer.leeway);
        if expires_at.saturating_add(issuer.leeway) <= now {
            return Err(TokenFault::Expired);
        }
        if not_before.is_some_and(|not_before| not_before > latest_now) {
            return Err(TokenFault::NotYetValid);
        }
        if issued_at.is_some_and(|issued_at| issued_at > latest_now) {
            return Err(TokenFault::IssuedInFuture);
        }
        let lifetime = match issued_at {
            Some(issued_at) => expires_at
                .checked_sub(issued_at)
                .ok_or(TokenFault::ClaimInvalid(Claim::Expiry))?,
            None => expires_at.saturating_sub(now),
        };
        if lifetime > issuer.max_lifetime {
            return Err(TokenFault::LifetimeTooLong);
        }
        Ok(())
    }
}

/// A list as one header value, its entries parted by commas; a comma within an entry is percent-encoded as well.
fn list_value(list: &[String]) -> Option<String> {
    let encoded = |entry: &String| header_value(entry).replace(',', "%2C");
    (!list.is_empty()).then(|| list.iter().map(encoded).collect::<Vec<_>>().join(","))
}

/// Texts of a claim that was there, as their own.
fn owned(texts: Option<Vec<&str>>, claim: Claim) -> Result<Vec<String>, TokenFault> {
    let texts = texts.ok_or(TokenFault::ClaimInvalid(claim))?;
    Ok(texts.into_iter().map(str::to_string).collect())
}

/// Scopes: one string with single spaces between, or a list of strings. An empty string is no scope, as some issuers send it.
fn read_scopes(value: &Json) -> Option<Vec<&str>> {
    match value {
        Json::String(text) if text.is_empty() => Some(Vec::new()),
        Json::String(text) => {
            let scopes: Vec<&str> = text.split(' ').collect();
            scopes.iter().all(|scope| is_scope(scope)).then_some(scopes)
        }
        Json::List(list) => read_list(list, is_scope),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => None,
    }
}

/// Roles and groups: a list of strings, or one string that is one name, spaces and all.
fn read_names(value: &Json) -> Option<Vec<&str>> {
    let is_name = |name: &str| is_text(name, MAX_GRANT_BYTES);
    match value {
        Json::String(name) => is_name(name).then(|| vec![name.as_str()]),
        Json::List(list) => read_list(list, is_name),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => None,
    }
}

fn read_list(list: &[Json], is_good: impl Fn(&str) -> bool) -> Option<Vec<&str>> {
    list.iter()
        .map(|element| element.as_str().filter(|text| is_good(text)))
        .collect()
}

/// A scope-token (RFC 6749 section 3.3): printable ASCII without space, quote and backslash.
fn is_scope(scope: &str) -> bool {
    let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !scope.is_empty() && scope.len() <= MAX_GRANT_BYTES && scope.bytes().all(allowed)
}

fn is_text(text: &str, max_bytes: usize) -> bool {
    !text.is_empty() && text.len() <= max_bytes && !text.chars().any(char::is_control)
}

impl ClaimPath {
    /// Cuts a path at its dots; a path with `/` or `:` is one name.
    pub(super) fn parse(text: &str) -> Option<ClaimPath> {
        if !is_text(text, MAX_PATH_BYTES) {
            return None;
        }
        if text.contains(['/', ':']) {
            return Some(ClaimPath(vec![text.to_string()]));
        }
        let names: Vec<String> = text.split('.').map(str::to_string).collect();
        let good = names.len() <= MAX_PATH_NAMES && names.iter().all(|name| !name.is_empty());
        good.then_some(ClaimPath(names))
    }
}

#[cfg(test)]
mod tests;
