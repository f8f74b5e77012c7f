//! An issuer as the policy says it, before anything of it is checked.

use crate::facts::Place;
use crate::library::Shelf;
use crate::token::algorithm::Alg;
use crate::token::dpop::DpopPolicy;
use crate::token::key::KeySet;
use crate::token::possession::Possession;
use crate::token::revocation::Revocation;
use std::sync::Arc;

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
    pub keys: Keys,
    /// How far its clock may differ from ours, in seconds; at most [`super::MAX_LEEWAY_SECONDS`].
    pub leeway: u64,
    /// The longest time between `iat` and `exp`, in seconds; not zero.
    pub max_lifetime: u64,
    /// Where its tokens say who the caller is.
    pub claims: ClaimPaths,
    /// Where in a request its tokens stand; at least one place.
    pub from: Vec<Place>,
    /// To what its tokens must be bound.
    pub possession: Possession,
    /// How proofs of possession are checked.
    pub dpop: DpopPolicy,
    /// What the upstream gets of a token.
    pub forward: Forward,
    /// Which of its tokens are no longer good.
    pub revoked: Revoked,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// They stand in the policy.
    Inline(KeySet),
    /// They are fetched.
    Fetched(Shelf),
}

impl Keys {
    /// Whether a key for this algorithm can be among them. A shared secret is never fetched.
    pub(super) fn can_hold(&self, alg: Alg) -> bool {
        match self {
            Self::Inline(keys) => keys.has_key_for(alg),
            Self::Fetched(_) => !alg.is_symmetric(),
        }
    }
}

/// Where the list of revoked tokens comes from.
#[derive(Clone, Debug)]
pub enum Revoked {
    /// There is no list.
    Never,
    /// It stands in the policy.
    Inline(Arc<Revocation>),
    /// It is fetched.
    Fetched(Shelf),
}

/// What the upstream gets of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Whether the token itself goes on; by default it stays here.
    pub keep_token: bool,
    /// Headers that tell of it.
    pub headers: Vec<Told>,
}

/// A header for the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name, in lower case.
    pub header: String,
    /// What it says.
    pub value: ToldValue,
}

/// What a header tells of a token: a part of the identity, or a claim by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToldValue {
    /// The issuer's name in the policy.
    Issuer,
    /// The subject.
    Subject,
    /// The tenant.
    Tenant,
    /// The scopes.
    Scopes,
    /// The roles.
    Roles,
    /// The groups.
    Groups,
    /// The claim at a path: a text, a number, a truth value, or a list of texts.
    Claim(String),
}

impl IssuerSpec {
    /// An issuer about which nothing else is said: the defaults of the policy language. The algorithms are those of keys
    /// that stand in the policy; for fetched ones the asymmetric ones of them all.
    pub fn new(name: &str, issuer: &str, audiences: Vec<String>, keys: Keys) -> Self {
        Self {
            name: name.to_owned(),
            issuer: issuer.to_owned(),
            audiences,
            algorithms: match &keys {
                Keys::Inline(keys) => keys.algorithms(),
                Keys::Fetched(_) => Alg::asymmetric(),
            },
            keys,
            leeway: 30,
            max_lifetime: 86_400,
            claims: ClaimPaths::default(),
            from: vec![Place::bearer()],
            possession: Possession::None,
            dpop: DpopPolicy::default(),
            forward: Forward::default(),
            revoked: Revoked::Never,
        }
    }
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

impl Default for ClaimPaths {
    /// The registered names (RFC 7519, 8693, 9068) and those that are in wide use.
    fn default() -> Self {
        Self {
            subject: "sub".to_owned(),
            tenant: None,
            scopes: vec!["scope".to_owned(), "scp".to_owned()],
            roles: vec!["roles".to_owned()],
            groups: vec!["groups".to_owned()],
        }
    }
}
