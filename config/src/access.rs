//! `callers`, `rules` and `routes` together: each refers to the one before it by name.

use crate::caller::caller;
use crate::reach::{refuse_unreachable_routes, refuse_unused_rules};
use crate::read::{Named, Object, Problems};
use crate::route::route;
use crate::rule::rule;
use postern_core::api_key::ApiKey;
use postern_core::peer::Peers;
use postern_core::policy::{Caller, Route, Rule};
use postern_core::token::Issuer;
use std::sync::Arc;

pub(crate) type Callers<'a> = Named<'a, Arc<Caller>>;
pub(crate) type Rules<'a> = Named<'a, Arc<Rule>>;

/// Who can vouch for a caller: what conditions refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'k, 'a> {
    pub(crate) issuers: &'k Named<'a, Issuer>,
    pub(crate) api_keys: &'k Named<'a, ApiKey>,
    /// None when they could not be read; within, none when the policy names none.
    pub(crate) peers: Option<Option<&'k Peers>>,
}

impl Known<'_, '_> {
    /// Whether one voucher could give its callers the subject, tenant, role or group of another's.
    pub(crate) fn are_several(self) -> bool {
        let issuers = self.issuers.entries().map_or(0, <[_]>::len);
        let keys = self.api_keys.entries().is_some_and(|keys| !keys.is_empty());
        issuers.saturating_add(usize::from(keys)) > 1
    }
}

/// What a policy without `peers` is told where one is asked for.
pub(crate) const NO_PEERS: &str = "needs `peers.trustDomains`, which say whose certificates count";

/// Reads the three parts and gives the routes, which hold the rest.
pub(crate) fn read(
    object: &mut Object<'_>,
    known: &Known<'_, '_>,
    problems: &mut Problems,
) -> Option<Vec<Arc<Route>>> {
    let callers = Named::read(
        "caller",
        object.field("callers"),
        "name",
        problems,
        |at, problems| caller(at, known, problems),
    );
    let rules = Named::read(
        "rule",
        object.field("rules"),
        "id",
        problems,
        |at, problems| rule(at, &callers, problems),
    );
    let path = object.path_of("routes");
    let routes = object.field("routes");
    if routes
        .as_ref()
        .is_none_or(|at| at.json().as_list().is_some_and(<[_]>::is_empty))
    {
        problems.add(
            &path,
            "needs at least one route: what no route matches is refused",
        );
    }
    let routes = Named::read("route", routes, "name", problems, |at, problems| {
        route(at, known, &rules, problems)
    });
    let (routes, rules) = (routes.entries()?, rules.entries()?);
    refuse_unreachable_routes(&path, routes, problems);
    refuse_unused_rules(rules, routes, problems);
    callers.entries()?;
    Some(routes.to_vec())
}
