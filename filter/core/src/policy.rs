//! The policy as it is asked: checked, with every reference resolved. Names are those that rules, records and metrics
//! use.
//!
//! Not decided here: how a policy is written and what is wrong with it (`postern-config`). What stands here can be
//! asked without failing: a rule holds its callers, a route its rules.

use crate::api_key::ApiKeys;
use crate::facts::Place;
use crate::fetch::Source;
use crate::identity::Identity;
use crate::model::{Model, ModelPattern};
use crate::operation::{Api, Operation};
use crate::peer::{PeerPattern, Peers};
use crate::scope::ScopeTemplate;
use crate::token::{Authentication, Issuer, Issuers};
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
    /// What is fetched; an issuer names its sources by their place here.
    pub sources: Vec<Source>,
    /// The API keys.
    pub api_keys: ApiKeys,
    /// Which mTLS peers are known, and which of them may speak for others.
    pub peers: Peers,
    /// Where credentials stand.
    pub places: Places,
    /// The names of the headers that tell the upstream of tokens, by which no client may speak.
    pub told: Vec<String>,
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

/// Where in a request credentials stand.
#[derive(Debug)]
pub struct Places {
    /// Tokens, of any issuer.
    pub tokens: Vec<Place>,
    /// API keys.
    pub api_keys: Vec<Place>,
}

impl Places {
    /// The places of these issuers, each once, and those of API keys.
    pub fn of(issuers: &Issuers) -> Self {
        let mut tokens: Vec<Place> = Vec::new();
        for place in issuers.iter().flat_map(Issuer::from) {
            if !tokens.contains(place) {
                tokens.push(place.clone());
            }
        }
        Self {
            tokens,
            api_keys: Place::of_api_keys(),
        }
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
        /// What a caller must prove.
        needs: Needs,
        /// Its rules.
        rules: Vec<Arc<Rule>>,
        /// The longest body, in bytes.
        max_body: u64,
    },
}

/// What a caller must prove on a route: a credential, a peer, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The credential.
    pub credential: Option<CredentialKind>,
    /// Whether a peer must be proved.
    pub peer: bool,
    /// Whether a rule of the route asks for the peer, so that one that cannot be told must be refused.
    pub peer_in_rules: bool,
}

/// A kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// A token of an issuer.
    Token,
    /// An API key of the policy.
    ApiKey,
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

    /// Whether one of its callers is told by the peer.
    pub fn asks_for_peer(&self) -> bool {
        let mut conditions = self.callers.iter().flat_map(|caller| &caller.conditions);
        conditions.any(|condition| condition.peer.is_some())
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
        /// How the caller's user must have signed in.
        step_up: Option<StepUp>,
    },
    /// Denies, whatever others allow.
    Deny,
}

/// How and how lately the caller's user must have signed in (RFC 9470). Everything that is named must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUp {
    /// The token's `acr` is one of these; empty: any.
    pub classes: Vec<String>,
    /// The token's `amr` has all of these.
    pub methods: Vec<String>,
    /// The most seconds since `auth_time`.
    pub max_age: Option<u64>,
}

/// How far ahead of ours an issuer's clock may be when it tells when a user signed in, in seconds.
const CLOCK_TOLERANCE: u64 = 60;

impl StepUp {
    /// Whether a sign-in is enough at `now`, in seconds since 1970. What a token does not say is not enough.
    pub fn is_met(&self, signed_in: Option<&Authentication>, now: u64) -> bool {
        let Some(Authentication { class, methods, at }) = signed_in else {
            return false;
        };
        let class_fits = self.classes.is_empty()
            || class
                .as_ref()
                .is_some_and(|class| self.classes.contains(class));
        let lately = match (self.max_age, at) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(max_age), Some(at)) => {
                *at <= now.saturating_add(CLOCK_TOLERANCE) && now.saturating_sub(*at) <= max_age
            }
        };
        class_fits && lately && self.methods.iter().all(|method| methods.contains(method))
    }
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
    /// The id of the API key.
    pub api_key: Option<String>,
    /// The peer's SPIFFE ID.
    pub peer: Option<PeerPattern>,
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
            api_key,
            peer,
            subjects,
            tenants,
            roles,
            groups,
        } = self;
        let unnamed_or = |wanted: &[String], held: &[String]| {
            wanted.is_empty() || wanted.iter().any(|name| held.contains(name))
        };
        let one_of = |wanted: &[String], held: Option<&str>| {
            wanted.is_empty() || held.is_some_and(|held| wanted.iter().any(|name| name == held))
        };
        issuer
            .as_deref()
            .is_none_or(|name| Some(name) == identity.issuer())
            && api_key
                .as_deref()
                .is_none_or(|id| Some(id) == identity.api_key().map(|held| &**held))
            && peer.as_ref().is_none_or(|pattern| {
                identity
                    .peer()
                    .is_some_and(|peer| pattern.matches(peer.id()))
            })
            && one_of(subjects, identity.subject())
            && one_of(tenants, identity.tenant())
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
    fn a_sign_in_is_enough_or_not() {
        let said = |class: Option<&str>, methods: &[&str], at| Authentication {
            class: class.map(str::to_owned),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            at,
        };
        let wanted = StepUp {
            classes: vec!["urn:mfa".into(), "urn:phrh".into()],
            methods: vec!["pwd".into(), "otp".into()],
            max_age: Some(900),
        };
        let now = 10_000;
        let good = said(Some("urn:mfa"), &["otp", "pwd", "x"], Some(now - 900));
        let rows = [
            (
                Some(good.clone()),
                true,
                "one class, all methods, just in time",
            ),
            (None, false, "no token, nobody who signed in"),
            (
                Some(said(None, &["otp", "pwd"], Some(now))),
                false,
                "no class",
            ),
            (
                Some(said(Some("urn:pwd"), &["otp", "pwd"], Some(now))),
                false,
                "another class",
            ),
            (
                Some(said(Some("urn:phrh"), &["pwd"], Some(now))),
                false,
                "one method of two",
            ),
            (
                Some(said(Some("urn:mfa"), &["otp", "pwd"], None)),
                false,
                "nobody knows when",
            ),
            (
                Some(said(Some("urn:mfa"), &["otp", "pwd"], Some(now - 901))),
                false,
                "too long ago",
            ),
            (
                Some(said(Some("urn:mfa"), &["otp", "pwd"], Some(now + 61))),
                false,
                "in the future",
            ),
        ];
        for (signed_in, expected, why) in rows {
            assert_eq!(wanted.is_met(signed_in.as_ref(), now), expected, "{why}");
        }
        assert!(
            !StepUp::default().is_met(None, now),
            "a step-up is about a user who signed in"
        );
    }

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
