//! Whom we believe, and how far: an issuer of the policy, checked when the policy is loaded.
//!
//! Decided here: that an issuer has a name, an `iss`, at least one audience, algorithms that its keys fit, a bounded
//! lifetime and a small leeway; and that no two issuers of one policy can be mistaken for each other.
//! Not decided here: anything about a token.
//! Against: `iss` and `aud` checked only when present, algorithm confusion, tokens that never end (THREATS 13, 14, 15, 17).

mod fault;
mod paths;
mod spec;

pub use fault::{IssuerFault, IssuersFault};
pub(super) use paths::{CheckedPaths, CheckedTold, CheckedValue};
pub use spec::{ClaimPaths, Forward, IssuerSpec, Keys, Revoked, Told, ToldValue};

use super::algorithm::Alg;
use super::dpop::DpopPolicy;
use super::fault::TokenFault;
use super::key::KeySet;
use super::possession::Possession;
use super::revocation::Revocation;
use crate::facts::{Place, is_credential};
use crate::library::{Library, Missing, Shelf};
use paths::check_told;
use std::sync::Arc;

/// The largest leeway, in seconds.
pub const MAX_LEEWAY_SECONDS: u64 = 300;

/// The longest name, and the longest `iss` or audience, in bytes.
const MAX_NAME_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1024;

/// An issuer that is consistent in itself.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub(super) name: Arc<str>,
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Alg>,
    keys: Keys,
    pub(super) leeway: u64,
    pub(super) max_lifetime: u64,
    pub(super) claims: CheckedPaths,
    from: Vec<Place>,
    possession: Possession,
    dpop: DpopPolicy,
    keep_token: bool,
    told: Vec<CheckedTold>,
    revoked: Revoked,
}

/// The issuers of one policy: names and `iss` values are unique. There may be none; then no token is good.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Vec<Issuer>);

impl Issuer {
    /// Checks an issuer.
    ///
    /// # Errors
    /// Every fault, in the order of the fields.
    pub fn new(spec: IssuerSpec) -> Result<Issuer, Vec<IssuerFault>> {
        let IssuerSpec {
            name,
            issuer,
            audiences,
            algorithms,
            keys,
            leeway,
            max_lifetime,
            claims,
            from,
            possession,
            dpop,
            forward,
            revoked,
        } = spec;
        let mut faults = Vec::new();
        if !is_name(&name) {
            faults.push(IssuerFault::NameInvalid);
        }
        if !is_value(&issuer) {
            faults.push(IssuerFault::IssuerInvalid);
        }
        check_audiences(&audiences, &mut faults);
        check_algorithms(&algorithms, &keys, &mut faults);
        if leeway > MAX_LEEWAY_SECONDS {
            faults.push(IssuerFault::LeewayTooLong);
        }
        if max_lifetime == 0 {
            faults.push(IssuerFault::MaxLifetimeZero);
        }
        check_places(&from, &mut faults);
        let told = check_told(&forward.headers, &claims, &mut faults);
        match (
            CheckedPaths::new(&claims, &mut faults),
            told,
            faults.is_empty(),
        ) {
            (Some(claims), Some(told), true) => Ok(Issuer {
                name: name.into(),
                issuer,
                audiences,
                algorithms,
                keys,
                leeway,
                max_lifetime,
                claims,
                from,
                possession,
                dpop,
                keep_token: forward.keep_token,
                told,
                revoked,
            }),
            (_, _, _) => Err(faults),
        }
    }

    /// The name that rules, logs and metrics use.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its tokens name a tenant.
    pub fn has_tenants(&self) -> bool {
        self.claims.tenant.is_some()
    }

    /// Where in a request its tokens stand.
    pub fn from(&self) -> &[Place] {
        &self.from
    }

    /// To what its tokens must be bound.
    pub fn possession(&self) -> Possession {
        self.possession
    }

    /// How proofs of possession are checked.
    pub fn dpop(&self) -> &DpopPolicy {
        &self.dpop
    }

    /// Whether its tokens go on to the upstream.
    pub fn keeps_token(&self) -> bool {
        self.keep_token
    }

    /// The names of the headers that tell of its tokens.
    pub fn told_headers(&self) -> impl Iterator<Item = &str> {
        self.told.iter().map(|told| &*told.header)
    }

    pub(super) fn told(&self) -> &[CheckedTold] {
        &self.told
    }

    /// The shelf on which its keys are, where they are fetched.
    pub(super) fn source(&self) -> Option<Shelf> {
        match &self.keys {
            Keys::Inline(_) => None,
            Keys::Fetched(shelf) => Some(*shelf),
        }
    }

    /// Its keys, as they are now.
    pub(super) fn keys<'a>(
        &'a self,
        library: &'a Library,
        now: u64,
    ) -> Result<&'a KeySet, TokenFault> {
        match &self.keys {
            Keys::Inline(keys) => Ok(keys),
            Keys::Fetched(shelf) => library.keys(*shelf, now).map_err(|missing| match missing {
                Missing::Never => TokenFault::KeysAwaited,
                Missing::Expired => TokenFault::KeysExpired,
            }),
        }
    }

    /// A number that changes whenever its keys do.
    pub(super) fn generation(&self, library: &Library) -> u64 {
        match &self.keys {
            Keys::Inline(_) => 0,
            Keys::Fetched(shelf) => library.generation(*shelf),
        }
    }

    /// Which of its tokens are revoked now.
    pub(super) fn revoked<'a>(
        &'a self,
        library: &'a Library,
        now: u64,
    ) -> Result<Option<&'a Revocation>, TokenFault> {
        match &self.revoked {
            Revoked::Never => Ok(None),
            Revoked::Inline(list) => Ok(Some(list)),
            Revoked::Fetched(shelf) => match library.revocation(*shelf, now) {
                Ok(list) => Ok(Some(list)),
                Err(Missing::Never) => Err(TokenFault::KeysAwaited),
                Err(Missing::Expired) => Err(TokenFault::KeysExpired),
            },
        }
    }
}

impl Issuers {
    /// Checks that no two issuers can be mistaken for each other.
    ///
    /// # Errors
    /// Every issuer whose name or `iss` an earlier one has, every place of which a value could be read in two ways, and every
    /// issuer that tells of its tokens where credentials stand.
    pub fn new(issuers: Vec<Issuer>) -> Result<Issuers, Vec<IssuersFault>> {
        let mut faults = Vec::new();
        for (index, issuer) in issuers.iter().enumerate() {
            let earlier = || issuers.iter().take(index);
            if earlier().any(|other| other.name == issuer.name) {
                faults.push(IssuersFault::NameTwice(index));
            }
            if earlier().any(|other| other.issuer == issuer.issuer) {
                faults.push(IssuersFault::IssuerTwice(index));
            }
        }
        check_readings(&issuers, &mut faults);
        if faults.is_empty() {
            Ok(Issuers(issuers))
        } else {
            Err(faults)
        }
    }

    /// The issuers, in the order of the policy.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter()
    }

    /// Whether there is no issuer at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The issuer of this name.
    pub fn named(&self, name: &str) -> Option<&Issuer> {
        self.0.iter().find(|issuer| &*issuer.name == name)
    }

    /// The issuer of exactly this `iss`, and its place in the policy.
    pub(super) fn of(&self, iss: &str) -> Option<(usize, &Issuer)> {
        self.0
            .iter()
            .enumerate()
            .find(|(_, issuer)| issuer.issuer == iss)
    }

    /// The issuer at a place.
    pub(super) fn at(&self, place: usize) -> Option<&Issuer> {
        self.0.get(place)
    }
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(plain)
}

/// Whether every value has one reading: a header has a scheme for all tokens or for none, and carries a credential or tells of
/// one.
fn check_readings(issuers: &[Issuer], faults: &mut Vec<IssuersFault>) {
    let places: Vec<Place> = issuers.iter().flat_map(Issuer::from).cloned().collect();
    let mut earlier: Vec<&Place> = Vec::new();
    for (index, issuer) in issuers.iter().enumerate() {
        for (at, place) in issuer.from().iter().enumerate() {
            if earlier.iter().any(|other| other.is_read_otherwise(place)) {
                faults.push(IssuersFault::PlaceAmbiguous {
                    issuer: index,
                    place: at,
                });
            }
            earlier.push(place);
        }
        if issuer
            .told_headers()
            .any(|name| is_credential(name.as_bytes(), &places))
        {
            faults.push(IssuersFault::ToldOverCredential(index));
        }
    }
}

/// What can be an `iss` or an audience: StringOrURI (RFC 7519 section 2), without what a person cannot see.
fn is_value(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= MAX_VALUE_BYTES
        && !value.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn check_audiences(audiences: &[String], faults: &mut Vec<IssuerFault>) {
    if audiences.is_empty() {
        faults.push(IssuerFault::AudiencesEmpty);
    }
    for (index, audience) in audiences.iter().enumerate() {
        if !is_value(audience) || audiences.iter().take(index).any(|other| other == audience) {
            faults.push(IssuerFault::AudienceInvalid(index));
        }
    }
}

fn check_algorithms(algorithms: &[Alg], keys: &Keys, faults: &mut Vec<IssuerFault>) {
    if algorithms.is_empty() {
        faults.push(IssuerFault::AlgorithmsEmpty);
    }
    for (index, alg) in algorithms.iter().enumerate() {
        if algorithms.iter().take(index).any(|other| other == alg) {
            faults.push(IssuerFault::AlgorithmTwice(*alg));
        } else if !keys.can_hold(*alg) {
            faults.push(IssuerFault::AlgorithmWithoutKey(*alg));
        }
    }
}

fn check_places(places: &[Place], faults: &mut Vec<IssuerFault>) {
    if places.is_empty() {
        faults.push(IssuerFault::PlacesEmpty);
    }
    for (index, place) in places.iter().enumerate() {
        if places.iter().take(index).any(|other| other == place) {
            faults.push(IssuerFault::PlaceTwice(index));
        }
    }
}

#[cfg(test)]
mod tests;
