//! `callers`, `rules` and `routes`: who may call what, and where. References are resolved here, by name.

use crate::read::{At, Named, Object, Problems, name, one_of, owned, text, unknown};
use crate::units::size;
use postern_core::model::ModelPattern;
use postern_core::operation::{Api, Operation};
use postern_core::policy::{
    Access, Caller, Condition, HostPattern, Paths, Quantifier, Route, Rule, RuleEffect,
};
use postern_core::scope::{ScopeTemplate, TemplateFault};
use postern_core::token::Issuer;
use std::sync::Arc;

/// The longest body where a route names no limit: 32 MiB.
const DEFAULT_MAX_BODY: u64 = 32 << 20;

type Issuers<'a> = Named<'a, Issuer>;
type Callers<'a> = Named<'a, Arc<Caller>>;
type Rules<'a> = Named<'a, Arc<Rule>>;

/// Reads the three parts and gives the routes, which hold the rest.
pub(crate) fn read(
    object: &mut Object<'_>,
    issuers: &Issuers<'_>,
    problems: &mut Problems,
) -> Option<Vec<Arc<Route>>> {
    let callers = Named::read(
        "caller",
        object.field("callers"),
        "name",
        problems,
        |at, problems| caller(at, issuers, problems),
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
        route(at, &rules, problems)
    });
    let (routes, rules) = (routes.entries()?, rules.entries()?);
    refuse_unreachable_routes(&path, routes, problems);
    refuse_unused_rules(rules, routes, problems);
    callers.entries()?;
    Some(routes.to_vec())
}

fn caller(at: &At<'_>, issuers: &Issuers<'_>, problems: &mut Problems) -> Option<Arc<Caller>> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let name = object.required("name", problems, name);
    let any = object
        .field("any")
        .map(|at| (Quantifier::Any, conditions(&at, issuers, problems)));
    let all = object
        .field("all")
        .map(|at| (Quantifier::All, conditions(&at, issuers, problems)));
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
    let named = |condition: &Condition| condition.issuer.is_some();
    let one_issuer = match quantifier {
        Quantifier::Any => conditions.iter().all(named),
        Quantifier::All => conditions.iter().any(named),
    };
    if issuers.entries().is_some_and(|issuers| issuers.len() > 1) && !one_issuer {
        problems.add(&path, "must name the issuer: each of several could give its callers this subject, tenant, role or group");
        return None;
    }
    Some(Arc::new(Caller {
        name: name?.into(),
        quantifier,
        conditions,
    }))
}

fn conditions(
    at: &At<'_>,
    issuers: &Issuers<'_>,
    problems: &mut Problems,
) -> Option<Vec<Condition>> {
    at.some(problems, |at, problems| condition(at, issuers, problems))
}

fn condition(at: &At<'_>, issuers: &Issuers<'_>, problems: &mut Problems) -> Option<Condition> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let names = |at: &At<'_>, problems: &mut Problems| at.some(problems, owned);
    let issuer = object.optional("issuer", problems, Some(None), |at, problems| {
        Some(Some(issuers.refer(at, problems)?.to_owned()))
    });
    let subjects = object.optional("subjects", problems, Some(Vec::new()), names);
    let tenants = object.optional("tenants", problems, Some(Vec::new()), names);
    let roles = object.optional("roles", problems, Some(Vec::new()), names);
    let groups = object.optional("groups", problems, Some(Vec::new()), names);
    object.refuse_later(&["peer", "apiKey", "claims"], problems);
    object.finish(problems);
    let condition = Condition {
        issuer: issuer?,
        subjects: subjects?,
        tenants: tenants?,
        roles: roles?,
        groups: groups?,
    };
    let Condition {
        issuer,
        subjects,
        tenants,
        roles,
        groups,
    } = &condition;
    if issuer.is_none()
        && [subjects, tenants, roles, groups]
            .iter()
            .all(|list| list.is_empty())
    {
        problems.add(
            &path,
            "needs at least one of issuer, subjects, tenants, roles, groups",
        );
        return None;
    }
    Some(condition)
}

fn rule(at: &At<'_>, callers: &Callers<'_>, problems: &mut Problems) -> Option<Arc<Rule>> {
    let mut object = at.object(problems)?;
    let id = object.required("id", problems, name);
    let effect = object.required("effect", problems, |at, problems| {
        one_of(
            at,
            problems,
            &[("allow", Effect::Allow), ("deny", Effect::Deny)],
        )
    });
    let mode = object.optional("mode", problems, Some(()), |at, problems| {
        match text(at, problems)? {
            "enforce" => Some(()),
            _ => at.refuse(problems, "only `enforce` is supported by this version"),
        }
    });
    let callers = object.required("callers", problems, |at, problems| {
        at.some(problems, |at, problems| {
            let named = callers.refer(at, problems)?;
            callers
                .entries()?
                .iter()
                .find(|caller| &*caller.name == named)
                .map(Arc::clone)
        })
    });
    let scopes_path = object.path_of("scopes");
    let scopes = object.optional("scopes", problems, Some(None), |at, problems| {
        at.list(problems, scope).map(Some)
    });
    let models = object.required("models", problems, |at, problems| {
        at.some(problems, model_pattern)
    });
    let operations = object.required("operations", problems, |at, problems| {
        at.some(problems, operation)
    });
    object.refuse_later(&["when", "stepUp"], problems);
    object.finish(problems);
    let () = mode?;
    let effect = match (effect?, scopes?) {
        (Effect::Allow, Some(scopes)) => RuleEffect::Allow { scopes },
        (Effect::Allow, None) => RuleEffect::Allow {
            scopes: vec![ScopeTemplate::default()],
        },
        (Effect::Deny, None) => RuleEffect::Deny,
        (Effect::Deny, Some(scopes)) if scopes.is_empty() => RuleEffect::Deny,
        (Effect::Deny, Some(_)) => {
            problems.add(
                &scopes_path,
                "a denying rule takes no scopes: who lacks one would escape it",
            );
            return None;
        }
    };
    Some(Arc::new(Rule {
        id: id?.into(),
        effect,
        callers: callers?,
        models: models?,
        operations: operations?,
    }))
}

/// `effect` as it is written.
#[derive(Debug, Clone, Copy)]
enum Effect {
    Allow,
    Deny,
}

fn scope(at: &At<'_>, problems: &mut Problems) -> Option<ScopeTemplate> {
    match ScopeTemplate::parse(text(at, problems)?) {
        Ok(template) => Some(template),
        Err(TemplateFault::Empty) => at.refuse(problems, "a segment of a scope must not be empty"),
        Err(TemplateFault::Placeholder) => {
            at.refuse(problems, "known placeholders are {model} and {operation}")
        }
        Err(TemplateFault::Character) => at.refuse(
            problems,
            "has a character that no scope has; a placeholder is a whole segment between colons",
        ),
    }
}

fn model_pattern(at: &At<'_>, problems: &mut Problems) -> Option<ModelPattern> {
    let written = text(at, problems)?;
    if written.starts_with("label:") {
        return at.refuse(problems, "labels are not supported by this version");
    }
    match ModelPattern::parse(written) {
        Ok(pattern) => Some(pattern),
        Err(_) => at.refuse(
            problems,
            format!("`{written}` is no model or pattern: at most 256 ASCII letters, digits, . _ : / @ + ~ = - and *"),
        ),
    }
}

fn operation(at: &At<'_>, problems: &mut Problems) -> Option<Operation> {
    let named = text(at, problems)?;
    match Operation::parse(named) {
        Some(operation) => Some(operation),
        None => {
            let known: Vec<&str> = Operation::ALL
                .iter()
                .map(|operation| operation.name())
                .collect();
            at.refuse(problems, unknown("operation", named, &known))
        }
    }
}

fn route(at: &At<'_>, rules: &Rules<'_>, problems: &mut Problems) -> Option<Arc<Route>> {
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
    let identity = object.field("identity").map(|at| identity(&at, problems));
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
                "is required, unless the route is `open: true`; write [token]",
            );
            return None;
        };
        let () = identity?;
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
        Access::Guarded {
            api: api?,
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

fn identity(at: &At<'_>, problems: &mut Problems) -> Option<()> {
    at.some(problems, |at, problems| match text(at, problems)? {
        "token" => Some(()),
        "peer" | "apiKey" => at.refuse(problems, "only `token` is supported by this version"),
        _ => at.refuse(problems, "must be `token`"),
    })
    .map(|_| ())
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

fn refuse_unreachable_routes(path: &str, routes: &[Arc<Route>], problems: &mut Problems) {
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

fn refuse_unused_rules(rules: &[Arc<Rule>], routes: &[Arc<Route>], problems: &mut Problems) {
    for (index, rule) in rules.iter().enumerate() {
        let used = routes.iter().any(|route| match &route.access {
            Access::Open => false,
            Access::Guarded { rules, .. } => rules.iter().any(|other| Arc::ptr_eq(rule, other)),
        });
        if !used {
            problems.add(
                &format!("rules[{index}]"),
                format!("`{}` is unreachable: no route uses it", rule.id),
            );
        }
    }
}
