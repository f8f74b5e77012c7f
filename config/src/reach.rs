//! What could never happen: a route or a rule that no request reaches is a mistake, and is told as one. A denial that never
//! applies is a hole.

use crate::read::Problems;
use postern_core::policy::{
    Access, Caller, Condition, CredentialKind, HostPattern, Needs, Paths, Quantifier, Route, Rule,
    RuleEffect,
};
use std::sync::Arc;

pub(crate) fn refuse_unreachable_routes(
    path: &str,
    routes: &[Arc<Route>],
    problems: &mut Problems,
) {
    for (index, route) in routes.iter().enumerate() {
        let before = routes
            .iter()
            .take(index)
            .find(|earlier| covers(earlier, route));
        if let Some(earlier) = before {
            problems.add(
                &format!("{path}[{index}]"),
                format!("is unreachable: `{}` takes all its requests", earlier.name),
            );
        }
    }
}

/// Whether every request that `later` would take is taken by `earlier`.
fn covers(earlier: &Route, later: &Route) -> bool {
    let host_covered = |host: &HostPattern| {
        earlier.hosts.iter().any(|pattern| match (pattern, host) {
            (HostPattern::Exact(a), HostPattern::Exact(b)) => a == b,
            (HostPattern::Below(a), HostPattern::Exact(b) | HostPattern::Below(b)) => {
                b.len() >= a.len() && b.ends_with(a)
            }
            (HostPattern::Exact(_), HostPattern::Below(_)) => false,
        })
    };
    let hosts = earlier.hosts.is_empty()
        || (!later.hosts.is_empty() && later.hosts.iter().all(host_covered));
    let paths = match (&earlier.paths, &later.paths) {
        (_, Paths::Exact(paths)) => paths.iter().all(|path| earlier.paths.rest(path).is_some()),
        (Paths::Prefix(a), Paths::Prefix(b)) => b.starts_with(a.as_str()),
        (Paths::Exact(_), Paths::Prefix(_)) => false,
    };
    hosts && paths
}

/// Refuses rules that no route asks, and those that no caller of the routes that ask them could ever be concerned by.
pub(crate) fn refuse_unused_rules(
    rules: &[Arc<Rule>],
    routes: &[Arc<Route>],
    problems: &mut Problems,
) {
    for (index, rule) in rules.iter().enumerate() {
        let mut asked = routes
            .iter()
            .filter_map(|route| match &route.access {
                Access::Open => None,
                Access::Guarded { rules, needs, .. } => rules
                    .iter()
                    .any(|other| Arc::ptr_eq(rule, other))
                    .then_some(*needs),
            })
            .peekable();
        let why = if asked.peek().is_none() {
            "no route uses it"
        } else if !asked.any(|needs| can_apply(rule, needs)) {
            "no caller proves what it asks for on the routes that use it"
        } else {
            continue;
        };
        problems.add(
            &format!("rules[{index}]"),
            format!("`{}` is unreachable: {why}", rule.id),
        );
    }
}

/// Whether a rule could apply to a caller who proves just this.
pub(crate) fn can_apply(rule: &Rule, needs: Needs) -> bool {
    let asked_for = match &rule.effect {
        RuleEffect::Deny => true,
        // A peer alone holds no scopes, and only a token says how its user signed in.
        RuleEffect::Allow { scopes, step_up } => {
            (scopes.is_empty() || needs.credential.is_some())
                && (step_up.is_none() || needs.credential == Some(CredentialKind::Token))
        }
    };
    asked_for && rule.callers.iter().any(|caller| can_be(caller, needs))
}

fn can_be(caller: &Caller, needs: Needs) -> bool {
    let mut conditions = caller.conditions.iter();
    match caller.quantifier {
        Quantifier::Any => conditions.any(|condition| can_hold(condition, needs)),
        Quantifier::All => conditions.all(|condition| can_hold(condition, needs)),
    }
}

/// A peer can be proved on any route, whether it is needed or not.
fn can_hold(condition: &Condition, needs: Needs) -> bool {
    let Condition {
        issuer,
        api_key,
        peer: _,
        subjects,
        tenants,
        roles,
        groups,
    } = condition;
    match needs.credential {
        Some(CredentialKind::Token) => api_key.is_none(),
        Some(CredentialKind::ApiKey) => issuer.is_none() && roles.is_empty() && groups.is_empty(),
        None => {
            issuer.is_none()
                && api_key.is_none()
                && [subjects, tenants, roles, groups]
                    .iter()
                    .all(|list| list.is_empty())
        }
    }
}
