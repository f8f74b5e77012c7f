//! The policy as it is asked: checked, with every reference resolved. Names are those that rules, records and metrics
//! use.
//!
//! Not decided here: how a policy is written and what is wrong with it (`postern-config`). What stands here can be
//! asked without failing: a rule holds its callers, a route its rules.

use crate::identity::Identity;
use crate::model::{Model, ModelPattern};
use crate::operation::{Api, Operation};
use crate::scope::ScopeTemplate;
use crate::token::Issuers;
use std::sync::Arc;

/// A whole policy.
#[derive(Debug)]
pub struct Policy {
    /// SHA-256 of the text that it was read from.
    pub digest: [u8; 32],
    /// How the gateway holds request heads.
    pub head_hold: HeadHold,
    /// How long a request may wait for its decision, in milliseconds.
    pub hold_timeout: u64,
    /// Who signs tokens; names and `iss` values are unique.
    pub issuers: Issuers,
    /// The routes, in the order in which they are tried.
    pub routes: Vec<Arc<Route>>,
    /// What records carry and where they go.
    pub audit: Audit,
}

impl Policy {
    /// The first route that matches; none means refused.
    pub fn route(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.matches(host, path))
    }
}

/// How the gateway holds the request head while the body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadHold {
    /// `allow_on_headers_stop_iteration`: the head is ours until the decision.
    Flag,
    /// `envoy.filters.http.buffer` after us holds the head.
    Buffer,
    /// Nobody holds it: the upstream may see the head of a request that is then refused, never a byte of its body.
    None,
}

/// Records: the instance's name and the sinks.
#[derive(Debug)]
pub struct Audit {
    /// The name of this gateway instance in records.
    pub instance: Option<String>,
    /// Where records go; never empty.
    pub sinks: Vec<Sink>,
}

/// Where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// The gateway's log.
    Log,
    /// Filter state, for the gateway's access logs.
    AccessLog,
}

/// A route: which requests it takes and what holds for them.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The hosts it takes; empty means every host.
    pub hosts: Vec<HostPattern>,
    /// The paths it takes.
    pub paths: Paths,
    /// What holds for them.
    pub access: Access,
}

impl Route {
    fn matches(&self, host: &str, path: &str) -> bool {
        let host_fits =
            self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host));
        host_fits && self.paths.rest(path).is_some()
    }
}

/// A host, or with a leading `*.` all its subdomains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host that ends in this, with the leading dot.
    Below(String),
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host == name,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

/// Which paths a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paths {
    /// Every path below this prefix, which ends in `/`. It is the base of the API.
    Prefix(String),
    /// Exactly these.
    Exact(Vec<String>),
}

impl Paths {
    /// The path after the prefix, or the empty text for an exact path; none when it does not match.
    pub fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        match self {
            Self::Prefix(prefix) => path.strip_prefix(prefix.as_str()),
            Self::Exact(paths) => paths.iter().any(|exact| exact == path).then_some(""),
        }
    }
}

/// What holds on a route.
#[derive(Debug)]
pub enum Access {
    /// Everybody may, nothing is read; it is recorded all the same.
    Open,
    /// Only what a rule allows.
    Guarded {
        /// The API that the route speaks.
        api: Api,
        /// Its rules.
        rules: Vec<Arc<Rule>>,
        /// The longest body, in bytes.
        max_body: u64,
    },
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its id.
    pub id: Arc<str>,
    /// What it does when it applies.
    pub effect: RuleEffect,
    /// Whom it concerns: any of these.
    pub callers: Vec<Arc<Caller>>,
    /// The models it concerns: any of these.
    pub models: Vec<ModelPattern>,
    /// The operations it concerns: any of these.
    pub operations: Vec<Operation>,
}

impl Rule {
    /// The first of its callers that this identity is.
    pub fn caller(&self, identity: &Identity) -> Option<&Arc<Caller>> {
        self.callers.iter().find(|caller| caller.is(identity))
    }

    /// Whether it concerns this operation.
    pub fn concerns_operation(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }

    /// Whether it concerns this model. An operation without a model is concerned only by the pattern `*`. Denying rules
    /// read names without case (see [`ModelPattern::matches_folded`]).
    pub fn concerns_model(&self, model: Option<&Model>) -> bool {
        self.models
            .iter()
            .any(|pattern| match (model, &self.effect) {
                (None, _) => pattern.is_any(),
                (Some(model), RuleEffect::Allow { .. }) => pattern.matches_exactly(model),
                (Some(model), RuleEffect::Deny) => pattern.matches_folded(model),
            })
    }
}

/// What a rule does. Only permission has scopes: a denial that asked for one would be escaped by who lacks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleEffect {
    /// Allows, unless another rule denies.
    Allow {
        /// What the token must hold: all of these.
        scopes: Vec<ScopeTemplate>,
    },
    /// Denies, whatever others allow.
    Deny,
}

/// Callers by name.
#[derive(Debug)]
pub struct Caller {
    /// The name.
    pub name: Arc<str>,
    /// How its conditions count together.
    pub quantifier: Quantifier,
    /// The conditions; never empty.
    pub conditions: Vec<Condition>,
}

impl Caller {
    /// Whether this identity is one of these callers.
    pub fn is(&self, identity: &Identity) -> bool {
        match self.quantifier {
            Quantifier::Any => self
                .conditions
                .iter()
                .any(|condition| condition.holds(identity)),
            Quantifier::All => self
                .conditions
                .iter()
                .all(|condition| condition.holds(identity)),
        }
    }
}

/// How conditions count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// One is enough.
    Any,
    /// All must hold.
    All,
}

/// A condition on an identity: everything that is named must hold; of a list, one entry is enough.
#[derive(Debug, Default)]
pub struct Condition {
    /// The issuer's name.
    pub issuer: Option<String>,
    /// The subject is one of these.
    pub subjects: Vec<String>,
    /// The tenant is one of these.
    pub tenants: Vec<String>,
    /// One of these roles is held.
    pub roles: Vec<String>,
    /// One of these groups is held.
    pub groups: Vec<String>,
}

impl Condition {
    fn holds(&self, identity: &Identity) -> bool {
        let Self {
            issuer,
            subjects,
            tenants,
            roles,
            groups,
        } = self;
        let unnamed_or = |wanted: &[String], held: &[String]| {
            wanted.is_empty() || wanted.iter().any(|name| held.contains(name))
        };
        issuer
            .as_deref()
            .is_none_or(|name| name == identity.issuer())
            && (subjects.is_empty() || subjects.iter().any(|name| name == identity.subject()))
            && (tenants.is_empty()
                || identity
                    .tenant()
                    .is_some_and(|held| tenants.iter().any(|name| name == held)))
            && unnamed_or(roles, identity.roles())
            && unnamed_or(groups, identity.groups())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn hosts_and_paths() {
        let below = HostPattern::Below(".example.com".into());
        assert!(below.matches("api.example.com"));
        assert!(
            !below.matches("example.com"),
            "the domain itself is not below"
        );
        assert!(
            !below.matches(".example.com"),
            "an empty label is no subdomain"
        );
        assert!(!below.matches("api.example.com.evil.org"));
        let prefix = Paths::Prefix("/v1/".into());
        assert_eq!(prefix.rest("/v1/models"), Some("models"));
        assert_eq!(prefix.rest("/v1"), None, "the prefix is whole segments");
        assert_eq!(prefix.rest("/v10/models"), None);
        assert_eq!(
            Paths::Exact(vec!["/healthz".into()]).rest("/healthz/x"),
            None
        );
    }
}
