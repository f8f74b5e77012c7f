//! Claims that the policy names by their paths: those that say who the caller is, and those that the upstream is told.
//!
//! Decided here: that each path is one, and which headers may tell of a token.

use super::MAX_NAME_BYTES;
use super::fault::IssuerFault;
use super::spec::{ClaimPaths, Told, ToldValue};
use crate::facts::is_detour;
use crate::token::claims::ClaimPath;
use std::sync::Arc;

/// [`Told`], its claim path cut into its names.
#[derive(Clone, Debug)]
pub(in crate::token) struct CheckedTold {
    pub(in crate::token) header: Arc<str>,
    pub(in crate::token) value: CheckedValue,
}

/// [`ToldValue`], its claim path cut into its names.
#[derive(Clone, Debug)]
pub(in crate::token) enum CheckedValue {
    Issuer,
    Subject,
    Tenant,
    Scopes,
    Roles,
    Groups,
    Claim(ClaimPath),
}

/// [`ClaimPaths`], each path cut into its names.
#[derive(Clone, Debug)]
pub(in crate::token) struct CheckedPaths {
    pub(in crate::token) subject: ClaimPath,
    pub(in crate::token) tenant: Option<ClaimPath>,
    pub(in crate::token) scopes: Vec<ClaimPath>,
    pub(in crate::token) roles: Vec<ClaimPath>,
    pub(in crate::token) groups: Vec<ClaimPath>,
}

/// `None` when a header or a path is none; the fault is then in `faults`.
pub(super) fn check_told(
    headers: &[Told],
    claims: &ClaimPaths,
    faults: &mut Vec<IssuerFault>,
) -> Option<Vec<CheckedTold>> {
    let mut all = Some(Vec::new());
    for (index, told) in headers.iter().enumerate() {
        let mut earlier = headers.iter().take(index);
        if !can_be_told(&told.header) || earlier.any(|other| other.header == told.header) {
            faults.push(IssuerFault::ToldInvalid(index));
        }
        let value = match &told.value {
            ToldValue::Issuer => Some(CheckedValue::Issuer),
            ToldValue::Subject => Some(CheckedValue::Subject),
            ToldValue::Tenant if claims.tenant.is_none() => {
                faults.push(IssuerFault::ToldWithoutTenant(index));
                None
            }
            ToldValue::Tenant => Some(CheckedValue::Tenant),
            ToldValue::Scopes => Some(CheckedValue::Scopes),
            ToldValue::Roles => Some(CheckedValue::Roles),
            ToldValue::Groups => Some(CheckedValue::Groups),
            ToldValue::Claim(path) => {
                let path = ClaimPath::parse(path);
                if path.is_none() {
                    faults.push(IssuerFault::ClaimPathInvalid("forward.headers"));
                }
                path.map(CheckedValue::Claim)
            }
        };
        all = match (all, value) {
            (Some(mut all), Some(value)) => {
                all.push(CheckedTold {
                    header: told.header.as_str().into(),
                    value,
                });
                Some(all)
            }
            (_, _) => None,
        };
    }
    all
}

/// Whether we may set a header of this name: `x-` and a plain name, none of our own, none that proxies set, none that asks for
/// another path or method.
fn can_be_told(name: &str) -> bool {
    const KEPT: &[&str] = &["x-postern-", "x-envoy-", "x-forwarded-"];
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let rest = name.strip_prefix("x-").unwrap_or_default();
    !rest.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && rest.bytes().all(plain)
        && name != "x-request-id"
        && !is_detour(name.as_bytes())
        && !KEPT.iter().any(|kept| name.starts_with(kept))
}

impl CheckedPaths {
    /// `None` when a path is not one; its fault is then in `faults`.
    pub(super) fn new(paths: &ClaimPaths, faults: &mut Vec<IssuerFault>) -> Option<CheckedPaths> {
        let ClaimPaths {
            subject,
            tenant,
            scopes,
            roles,
            groups,
        } = paths;
        let mut checked = |texts: &[String], of: &'static str| -> Option<Vec<ClaimPath>> {
            let paths: Option<Vec<ClaimPath>> =
                texts.iter().map(|text| ClaimPath::parse(text)).collect();
            if paths.is_none() {
                faults.push(IssuerFault::ClaimPathInvalid(of));
            }
            paths
        };
        // All are looked at before the first `?`, so that every fault is told.
        let subject = checked(std::slice::from_ref(subject), "claims.subject");
        let tenant = checked(tenant.as_slice(), "claims.tenant");
        let scopes = checked(scopes, "claims.scopes");
        let roles = checked(roles, "claims.roles");
        let groups = checked(groups, "claims.groups");
        Some(CheckedPaths {
            subject: subject?.pop()?,
            tenant: tenant?.pop(),
            scopes: scopes?,
            roles: roles?,
            groups: groups?,
        })
    }
}
