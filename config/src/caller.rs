//! `callers`: who calls, by name, and by what they are told apart.
//!
//! Decided here: what a condition may name and that it can hold; that where several vouch, each caller says whose word
//! counts. Not decided here: whether a request fulfils it (`postern-core`).

use crate::access::{Known, NO_PEERS};
use crate::peer;
use crate::read::{At, Problems, name, owned};
use postern_core::peer::PeerPattern;
use postern_core::policy::{Caller, Condition, Quantifier};
use std::sync::Arc;

pub(crate) fn caller(
    at: &At<'_>,
    known: &Known<'_, '_>,
    problems: &mut Problems,
) -> Option<Arc<Caller>> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let name = object.required("name", problems, name);
    let any = object
        .field("any")
        .map(|at| (Quantifier::Any, conditions(&at, known, problems)));
    let all = object
        .field("all")
        .map(|at| (Quantifier::All, conditions(&at, known, problems)));
    object.refuse_later(&["not"], problems);
    object.finish(problems);
    let (quantifier, conditions) = match (any, all) {
        (Some(one), None) | (None, Some(one)) => one,
        (_, _) => {
            problems.add(&path, "needs exactly one of `any` and `all`");
            return None;
        }
    };
    let conditions = conditions?;
    if matches!(quantifier, Quantifier::All) {
        let together: Vec<&Condition> = conditions.iter().collect();
        if let Some(why) = never_holds(&together, known) {
            problems.add(&path, why);
            return None;
        }
    }
    let names_voucher =
        |condition: &Condition| condition.issuer.is_some() || condition.api_key.is_some();
    let clear = match quantifier {
        Quantifier::Any => conditions
            .iter()
            .all(|condition| names_voucher(condition) || !asks_voucher(condition)),
        Quantifier::All => {
            conditions.iter().any(names_voucher) || !conditions.iter().any(asks_voucher)
        }
    };
    if known.are_several() && !clear {
        problems.add(&path, "must name the issuer or the API key: each of several could give its callers this subject, tenant, role or group");
        return None;
    }
    Some(Arc::new(Caller {
        name: name?.into(),
        quantifier,
        conditions,
    }))
}

/// Whether a condition asks for something that a token or an API key says.
fn asks_voucher(condition: &Condition) -> bool {
    let Condition {
        issuer: _,
        api_key: _,
        peer: _,
        subjects,
        tenants,
        roles,
        groups,
    } = condition;
    [subjects, tenants, roles, groups]
        .iter()
        .any(|list| !list.is_empty())
}

fn conditions(
    at: &At<'_>,
    known: &Known<'_, '_>,
    problems: &mut Problems,
) -> Option<Vec<Condition>> {
    at.some(problems, |at, problems| condition(at, known, problems))
}

fn condition(at: &At<'_>, known: &Known<'_, '_>, problems: &mut Problems) -> Option<Condition> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let names = |at: &At<'_>, problems: &mut Problems| at.some(problems, owned);
    let issuer = object.optional("issuer", problems, Some(None), |at, problems| {
        Some(Some(known.issuers.refer(at, problems)?.to_owned()))
    });
    let api_key = object.optional("apiKey", problems, Some(None), |at, problems| {
        Some(Some(known.api_keys.refer(at, problems)?.to_owned()))
    });
    let peer = object.optional("peer", problems, Some(None), |at, problems| {
        peer_pattern(at, known, problems).map(Some)
    });
    let subjects = object.optional("subjects", problems, Some(Vec::new()), names);
    let tenants = object.optional("tenants", problems, Some(Vec::new()), names);
    let roles = object.optional("roles", problems, Some(Vec::new()), names);
    let groups = object.optional("groups", problems, Some(Vec::new()), names);
    object.refuse_later(&["claims"], problems);
    object.finish(problems);
    let condition = Condition {
        issuer: issuer?,
        api_key: api_key?,
        peer: peer?,
        subjects: subjects?,
        tenants: tenants?,
        roles: roles?,
        groups: groups?,
    };
    let names_nothing =
        condition.issuer.is_none() && condition.api_key.is_none() && condition.peer.is_none();
    if names_nothing && !asks_voucher(&condition) {
        problems.add(
            &path,
            "needs at least one of issuer, apiKey, peer, subjects, tenants, roles, groups",
        );
        return None;
    }
    if let Some(why) = never_holds(&[&condition], known) {
        problems.add(&path, why);
        return None;
    }
    Some(condition)
}

/// Why conditions can never hold together. It matters most of a denial: one that never applies is a hole.
fn never_holds(together: &[&Condition], known: &Known<'_, '_>) -> Option<&'static str> {
    let mut issuers: Vec<&str> = together
        .iter()
        .filter_map(|c| c.issuer.as_deref())
        .collect();
    let mut keys: Vec<&str> = together
        .iter()
        .filter_map(|c| c.api_key.as_deref())
        .collect();
    issuers.dedup();
    keys.dedup();
    if issuers.len().saturating_add(keys.len()) > 1 {
        return Some(
            "can never hold: a request has one credential, one issuer's token or one API key",
        );
    }
    let asks_roles = together
        .iter()
        .any(|c| !c.roles.is_empty() || !c.groups.is_empty());
    if asks_roles && (!keys.is_empty() || known.issuers.is_empty()) {
        return Some("can never hold: only a token has roles and groups");
    }
    let asks_tenant = together.iter().any(|c| !c.tenants.is_empty());
    let mut vouchers = known.issuers.entries().unwrap_or_default().iter();
    let nameless = issuers
        .first()
        .is_some_and(|name| vouchers.any(|issuer| issuer.name() == *name && !issuer.has_tenants()));
    if asks_tenant && nameless {
        return Some("can never hold: the issuer's `claims.tenant` names no claim");
    }
    None
}

/// A pattern of peers that the policy knows.
fn peer_pattern(
    at: &At<'_>,
    known: &Known<'_, '_>,
    problems: &mut Problems,
) -> Option<PeerPattern> {
    let pattern = peer::pattern(at, problems)?;
    match known.peers? {
        Some(peers) if peers.accepts(pattern.trust_domain()) => Some(pattern),
        Some(_) => at.refuse(
            problems,
            "can never hold: its trust domain is not in `peers.trustDomains`",
        ),
        None => at.refuse(problems, NO_PEERS),
    }
}
