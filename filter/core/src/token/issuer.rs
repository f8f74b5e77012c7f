//! Whom we believe, and how far: an issuer of the policy, checked when the policy is loaded.
//!
//! Decided here: that an issuer has a name, an `iss`, at least one audience, algorithms that its keys fit, a bounded
//! lifetime and a small leeway; and that no two issuers of one policy can be mistaken for each other.
//! Not decided here: anything about a token.
//! Against: `iss` and `aud` checked only when present, algorithm confusion, tokens that never end (THREATS 13, 14, 15, 17).

use std::fmt;

use super::algorithm::Alg;
use super::claims::ClaimPath;
use super::key::KeySet;

/// The largest leeway, in seconds.
pub const MAX_LEEWAY_SECONDS: u64 = 300;

/// The longest name, and the longest `iss` or audience, in bytes.
const MAX_NAME_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1024;

/// An issuer as the policy says it. Every field is named by whoever makes one.
#[derive(Clone, Debug)]
pub struct IssuerSpec {
    /// The name that rules, logs and metrics use: ASCII letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The exact `iss` (RFC 7519 section 4.1.1); a trailing slash counts.
    pub issuer: String,
    /// The audiences of which a token names at least one (RFC 7519 section 4.1.3).
    pub audiences: Vec<String>,
    /// The algorithms that this issuer uses. For a policy that names none: [`KeySet::algorithms`].
    pub algorithms: Vec<Alg>,
    /// Its signing keys.
    pub keys: KeySet,
    /// How far its clock may differ from ours, in seconds; at most [`MAX_LEEWAY_SECONDS`].
    pub leeway: u64,
    /// The longest time between `iat` and `exp`, in seconds; not zero.
    pub max_lifetime: u64,
    /// Where its tokens say who the caller is.
    pub claims: ClaimPaths,
}

/// Where the tokens of an issuer say who the caller is and what they hold.
///
/// A path is a member name, or names joined by dots (`realm_access.roles`). A path with `/` or `:` in it is one name,
/// dots and all (`https://example.com/roles`, `cognito:groups`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPaths {
    /// Who the caller is; required in every token.
    pub subject: String,
    /// For whom they act; where it is named, required in every token.
    pub tenant: Option<String>,
    /// Scopes: a string separated by spaces (RFC 6749 section 3.3) or a list of strings. All paths together.
    pub scopes: Vec<String>,
    /// Roles: a list of strings, or one string. All paths together.
    pub roles: Vec<String>,
    /// Groups, as roles.
    pub groups: Vec<String>,
}

/// An issuer that is consistent in itself.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Alg>,
    pub(super) keys: KeySet,
    pub(super) leeway: u64,
    pub(super) max_lifetime: u64,
    pub(super) claims: CheckedPaths,
}

/// [`ClaimPaths`], each path cut into its names.
#[derive(Clone, Debug)]
pub(super) struct CheckedPaths {
    pub(super) subject: ClaimPath,
    pub(super) tenant: Option<ClaimPath>,
    pub(super) scopes: Vec<ClaimPath>,
    pub(super) roles: Vec<ClaimPath>,
    pub(super) groups: Vec<ClaimPath>,
}

/// The issuers of one policy: names and `iss` values are unique. There may be none; then no token is good.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Vec<Issuer>);

/// Why an issuer does not load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerFault {
    /// The name is not 1 to 64 ASCII letters, digits, `-`, `_`, `.`.
    NameInvalid,
    /// `issuer` is empty, too long, or has white space or control characters.
    IssuerInvalid,
    /// No audience.
    AudiencesEmpty,
    /// This audience (from 0) is empty, too long, has white space or control characters, or stands twice.
    AudienceInvalid(usize),
    /// No algorithm.
    AlgorithmsEmpty,
    /// This algorithm stands twice.
    AlgorithmTwice(Alg),
    /// No key of the issuer fits this algorithm.
    AlgorithmWithoutKey(Alg),
    /// The leeway is above [`MAX_LEEWAY_SECONDS`].
    LeewayTooLong,
    /// A maximal lifetime of zero would refuse every token.
    MaxLifetimeZero,
    /// A claim path is empty, too long, too deep, or has an empty name in it.
    ClaimPathInvalid(&'static str),
}

/// Why issuers do not stand together; the index is that of the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuersFault {
    /// The name of an earlier issuer.
    NameTwice(usize),
    /// The `iss` of an earlier issuer.
    IssuerTwice(usize),
}

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
        match (CheckedPaths::new(&claims, &mut faults), faults.is_empty()) {
            (Some(claims), true) => Ok(Issuer {
                name,
                issuer,
                audiences,
                algorithms,
                keys,
                leeway,
                max_lifetime,
                claims,
            }),
            (Some(_) | None, _) => Err(faults),
        }
    }

    /// The name that rules, logs and metrics use.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Issuers {
    /// Checks that no two issuers can be mistaken for each other.
    ///
    /// # Errors
    /// Every issuer whose name or `iss` an earlier one has.
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

    /// The issuer of exactly this `iss`.
    pub(super) fn of(&self, iss: &str) -> Option<&Issuer> {
        self.0.iter().find(|issuer| issuer.issuer == iss)
    }
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(plain)
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

fn check_algorithms(algorithms: &[Alg], keys: &KeySet, faults: &mut Vec<IssuerFault>) {
    if algorithms.is_empty() {
        faults.push(IssuerFault::AlgorithmsEmpty);
    }
    let usable = keys.algorithms();
    for (index, alg) in algorithms.iter().enumerate() {
        if algorithms.iter().take(index).any(|other| other == alg) {
            faults.push(IssuerFault::AlgorithmTwice(*alg));
        } else if !usable.contains(alg) {
            faults.push(IssuerFault::AlgorithmWithoutKey(*alg));
        }
    }
}

impl CheckedPaths {
    /// `None` when a path is not one; its fault is then in `faults`.
    fn new(paths: &ClaimPaths, faults: &mut Vec<IssuerFault>) -> Option<CheckedPaths> {
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

impl IssuerFault {
    /// The field of the policy that is at fault, below the issuer.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            IssuerFault::NameInvalid => "name".to_string(),
            IssuerFault::IssuerInvalid => "issuer".to_string(),
            IssuerFault::AudiencesEmpty => "audiences".to_string(),
            IssuerFault::AudienceInvalid(index) => format!("audiences[{index}]"),
            IssuerFault::AlgorithmsEmpty
            | IssuerFault::AlgorithmTwice(_)
            | IssuerFault::AlgorithmWithoutKey(_) => "algorithms".to_string(),
            IssuerFault::LeewayTooLong => "leeway".to_string(),
            IssuerFault::MaxLifetimeZero => "maxLifetime".to_string(),
            IssuerFault::ClaimPathInvalid(of) => (*of).to_string(),
        }
    }
}

impl fmt::Display for IssuerFault {
    /// What is wrong, to stand behind the path of the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IssuerFault::NameInvalid => write!(
                f,
                "must be 1 to {MAX_NAME_BYTES} ASCII letters, digits, `-`, `_` or `.`"
            ),
            IssuerFault::IssuerInvalid => write!(
                f,
                "must be 1 to {MAX_VALUE_BYTES} bytes without white space or control characters"
            ),
            IssuerFault::AudiencesEmpty => f.write_str("at least one audience is required"),
            IssuerFault::AudienceInvalid(_) => write!(
                f,
                "must be 1 to {MAX_VALUE_BYTES} bytes without white space or control characters, and stand once"
            ),
            IssuerFault::AlgorithmsEmpty => f.write_str("at least one algorithm is required"),
            IssuerFault::AlgorithmTwice(alg) => write!(f, "{alg} stands twice"),
            IssuerFault::AlgorithmWithoutKey(alg) => {
                write!(f, "{alg} is named, and no key of the issuer fits it")
            }
            IssuerFault::LeewayTooLong => {
                write!(f, "must be at most {MAX_LEEWAY_SECONDS} seconds")
            }
            IssuerFault::MaxLifetimeZero => f.write_str("must not be zero"),
            IssuerFault::ClaimPathInvalid(_) => {
                f.write_str("must be a claim, or the names of claims joined by dots")
            }
        }
    }
}

impl std::error::Error for IssuerFault {}

impl fmt::Display for IssuersFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IssuersFault::NameTwice(_) => f.write_str("another issuer has this name"),
            IssuersFault::IssuerTwice(_) => f.write_str("another issuer has this `issuer`"),
        }
    }
}

impl std::error::Error for IssuersFault {}

#[cfg(test)]
mod tests;
