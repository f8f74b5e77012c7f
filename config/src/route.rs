//! `routes`: which requests a route takes, what a caller must prove on it, and by which rules it decides.

use crate::access::{Known, NO_PEERS, Rules};
use crate::reach::can_apply;
use crate::read::{At, Problems, name, one_of, text};
use crate::units::size;
use postern_core::operation::Api;
use postern_core::policy::{
    Access, CredentialKind, HostPattern, Needs, Paths, Route, Rule, RuleEffect,
};
use std::sync::Arc;

/// The longest body where a route names no limit: 32 MiB.
const DEFAULT_MAX_BODY: u64 = 32 << 20;
pub(crate) fn route(
    at: &At<'_>,
    known: &Known<'_, '_>,
    rules: &Rules<'_>,
    problems: &mut Problems,
) -> Option<Arc<Route>> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let name = object.required("name", problems, name);
    let matched = object.required("match", problems, route_match);
    let open = object.optional("open", problems, Some(false), |at, problems| {
        match at.json() {
            postern_core::json::Json::Bool(open) => Some(*open),
            _ => at.refuse(problems, "must be true or false"),
        }
    });
    let api = object
        .field("api")
        .map(|at| one_of(&at, problems, &[("openai", Api::OpenAi)]));
    let identity = object
        .field("identity")
        .map(|at| identity(&at, known, problems));
    let chosen = object
        .field("rules")
        .map(|at| route_rules(&at, rules, problems));
    let max_body = object.field("body").map(|at| body(&at, problems));
    object.refuse_later(&["quotas", "digest", "modelHeader"], problems);
    object.finish(problems);

    let access = if open? {
        if api.is_some() || identity.is_some() || chosen.is_some() || max_body.is_some() {
            problems.add(
                &path,
                "an open route takes no api, identity, rules or body: nothing is read on it",
            );
            return None;
        }
        Access::Open
    } else {
        let Some(api) = api else {
            problems.add(
                &format!("{path}.api"),
                "is required, unless the route is `open: true`",
            );
            return None;
        };
        let Some(identity) = identity else {
            problems.add(
                &format!("{path}.identity"),
                "is required, unless the route is `open: true`; write [token], [apiKey], [peer] or [token, peer]",
            );
            return None;
        };
        let needs = identity?;
        let rules = match chosen {
            Some(chosen) => chosen?,
            None => rules.entries()?.to_vec(),
        };
        if !rules
            .iter()
            .any(|rule| matches!(rule.effect, RuleEffect::Allow { .. }))
        {
            problems.add(
                &format!("{path}.rules"),
                "no rule of this route allows anything",
            );
            return None;
        }
        let allows = |rule: &Arc<Rule>| {
            matches!(rule.effect, RuleEffect::Allow { .. }) && can_apply(rule, needs)
        };
        if !rules.iter().any(allows) {
            problems.add(
                &format!("{path}.rules"),
                "no rule that allows fits the identity of this route: a peer alone holds no scopes (write `scopes: []`), \
                 and only a token has roles, groups and a sign-in",
            );
            return None;
        }
        Access::Guarded {
            api: api?,
            needs: Needs {
                peer_in_rules: rules.iter().any(|rule| rule.asks_for_peer()),
                ..needs
            },
            rules,
            max_body: max_body.unwrap_or(Some(DEFAULT_MAX_BODY))?,
        }
    };
    let (hosts, paths) = matched?;
    Some(Arc::new(Route {
        name: name?.to_owned(),
        hosts,
        paths,
        access,
    }))
}

/// What a caller must prove on a route: all that is named.
fn identity(at: &At<'_>, known: &Known<'_, '_>, problems: &mut Problems) -> Option<Needs> {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Proof {
        Of(CredentialKind),
        Peer,
    }
    let proofs = at.some(problems, |at, problems| {
        let proof = one_of(
            at,
            problems,
            &[
                ("token", Proof::Of(CredentialKind::Token)),
                ("apiKey", Proof::Of(CredentialKind::ApiKey)),
                ("peer", Proof::Peer),
            ],
        )?;
        let missing = match proof {
            Proof::Of(CredentialKind::Token) if known.issuers.is_empty() => {
                Some("needs `issuers`: nobody signs tokens")
            }
            Proof::Of(CredentialKind::ApiKey) if known.api_keys.is_empty() => {
                Some("needs `apiKeys`: there is none")
            }
            Proof::Peer if known.peers == Some(None) => Some(NO_PEERS),
            Proof::Of(_) | Proof::Peer => None,
        };
        match missing {
            Some(missing) => at.refuse(problems, missing),
            None => Some(proof),
        }
    })?;
    let has = |proof: Proof| proofs.contains(&proof);
    let credential = match (
        has(Proof::Of(CredentialKind::Token)),
        has(Proof::Of(CredentialKind::ApiKey)),
    ) {
        (true, true) => {
            return at.refuse(
                problems,
                "a request has one credential: `token` or `apiKey`, each with or without `peer`",
            );
        }
        (true, false) => Some(CredentialKind::Token),
        (false, true) => Some(CredentialKind::ApiKey),
        (false, false) => None,
    };
    Some(Needs {
        credential,
        peer: has(Proof::Peer),
        peer_in_rules: false,
    })
}

fn route_rules(at: &At<'_>, rules: &Rules<'_>, problems: &mut Problems) -> Option<Vec<Arc<Rule>>> {
    at.some(problems, |at, problems| {
        let named = rules.refer(at, problems)?;
        rules
            .entries()?
            .iter()
            .find(|rule| &*rule.id == named)
            .map(Arc::clone)
    })
}

fn body(at: &At<'_>, problems: &mut Problems) -> Option<u64> {
    let mut object = at.object(problems)?;
    let max_bytes = object.optional("maxBytes", problems, Some(DEFAULT_MAX_BODY), size);
    let encoding = object.optional(
        "contentEncoding",
        problems,
        Some(()),
        |at, problems| match text(at, problems)? {
            "refuse" => Some(()),
            "inflate" => at.refuse(
                problems,
                "`inflate` is not supported by this version; use `refuse`",
            ),
            _ => at.refuse(problems, "must be `refuse`"),
        },
    );
    object.finish(problems);
    let () = encoding?;
    max_bytes
}

fn route_match(at: &At<'_>, problems: &mut Problems) -> Option<(Vec<HostPattern>, Paths)> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let hosts = object.optional("hosts", problems, Some(Vec::new()), |at, problems| {
        at.some(problems, host_pattern)
    });
    let prefix = object.field("pathPrefix").map(|at| {
        let prefix = plain_path(&at, problems)?;
        if !prefix.ends_with('/') {
            return at.refuse(problems, "must end in `/`, so that it is whole segments");
        }
        Some(Paths::Prefix(prefix))
    });
    let exact = object
        .field("paths")
        .map(|at| at.some(problems, plain_path).map(Paths::Exact));
    object.refuse_later(&["routeNames", "metadata"], problems);
    object.finish(problems);
    let paths = match (prefix, exact) {
        (Some(paths), None) | (None, Some(paths)) => paths,
        (_, _) => {
            problems.add(&path, "needs exactly one of `pathPrefix` and `paths`");
            return None;
        }
    };
    Some((hosts?, paths?))
}

fn host_pattern(at: &At<'_>, problems: &mut Problems) -> Option<HostPattern> {
    let written = text(at, problems)?;
    let (host, below) = match written.strip_prefix("*.") {
        Some(host) => (host, true),
        None => (written, false),
    };
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
    };
    let address = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || !(address || host.bytes().all(plain)) {
        return at.refuse(
            problems,
            "must be a host in lower case without port, or `*.` and a host",
        );
    }
    Some(if below {
        HostPattern::Below(format!(".{host}"))
    } else {
        HostPattern::Exact(host.to_owned())
    })
}

fn plain_path(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let written = text(at, problems)?;
    match postern_core::facts::is_canonical_path(written) {
        true => Some(written.to_owned()),
        false => at.refuse(
            problems,
            "must be a plain path: it starts with `/`, nothing encoded, no empty or dot segments",
        ),
    }
}
