//! `issuers`: who signs tokens and for whom, what their claims are called, what the upstream learns of them, and which are
//! revoked.

use crate::fetched::{Sources, list_source};
use crate::keys::{algorithm, jwks};
use crate::place::place;
use crate::possession::{dpop, possession};
use crate::read::{At, Named, Object, Problems, one_of, owned, text};
use crate::units::{duration, whole_seconds};
use postern_core::token::dpop::DpopPolicy;
use postern_core::token::{
    ClaimPaths, Forward, Issuer, IssuerSpec, Issuers, IssuersFault, Possession, Revocation,
    Revoked, Told, ToldValue,
};
use std::sync::Arc;

/// Reads the issuers; what they fetch is added to `sources`.
pub(crate) fn issuers<'a>(
    object: &mut Object<'a>,
    sources: &mut Sources,
    problems: &mut Problems,
) -> Named<'a, Issuer> {
    Named::read(
        "issuer",
        object.field("issuers"),
        "name",
        problems,
        |at, problems| issuer(at, sources, problems),
    )
}

/// All issuers together: no two can be mistaken for each other.
pub(crate) fn together(issuers: &[Issuer], problems: &mut Problems) -> Option<Issuers> {
    match Issuers::new(issuers.to_vec()) {
        Ok(issuers) => Some(issuers),
        Err(faults) => {
            for fault in faults {
                let path = match fault {
                    // Names were compared as the list was read.
                    IssuersFault::NameTwice(_) => continue,
                    IssuersFault::IssuerTwice(index) => format!("issuers[{index}].issuer"),
                    IssuersFault::PlaceAmbiguous { issuer, place } => {
                        format!("issuers[{issuer}].from[{place}]")
                    }
                    IssuersFault::ToldOverCredential(index) => {
                        format!("issuers[{index}].forward.headers")
                    }
                };
                problems.add(&path, fault.to_string());
            }
            None
        }
    }
}

fn issuer(at: &At<'_>, sources: &mut Sources, problems: &mut Problems) -> Option<Issuer> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let name = object.required("name", problems, owned);
    let iss = object.required("issuer", problems, owned);
    let audiences = object.required("audiences", problems, |at, problems| {
        at.some(problems, owned)
    });
    let algorithms = object.optional("algorithms", problems, Some(None), |at, problems| {
        at.some(problems, algorithm).map(Some)
    });
    let secrets = algorithms
        .iter()
        .flatten()
        .flatten()
        .any(|alg| alg.is_symmetric());
    let keys = object.required("jwks", problems, |at, problems| {
        jwks(at, iss.as_deref(), secrets, sources, problems)
    });
    let leeway = object.optional("leeway", problems, Some(None), seconds);
    let max_lifetime = object.optional("maxLifetime", problems, Some(None), seconds);
    let claims = object.optional("claims", problems, Some(ClaimPaths::default()), claims);
    let from = object.optional("from", problems, Some(None), |at, problems| {
        at.some(problems, place).map(Some)
    });
    let possession = object.optional(
        "proofOfPossession",
        problems,
        Some(Possession::None),
        possession,
    );
    let dpop = object.optional("dpop", problems, Some(DpopPolicy::default()), dpop);
    let forward = object.optional("forward", problems, Some(Forward::default()), forward);
    let revoked = object.optional(
        "revocation",
        problems,
        Some(Revoked::Never),
        |at, problems| revocation(at, sources, problems),
    );
    object.finish(problems);

    let mut spec = IssuerSpec::new(&name?, &iss?, audiences?, keys?);
    if let Some(algorithms) = algorithms? {
        spec.algorithms = algorithms;
    }
    if let Some(leeway) = leeway? {
        spec.leeway = leeway;
    }
    if let Some(max_lifetime) = max_lifetime? {
        spec.max_lifetime = max_lifetime;
    }
    if let Some(from) = from? {
        spec.from = from;
    }
    let spec = IssuerSpec {
        claims: claims?,
        possession: possession?,
        dpop: dpop?,
        forward: forward?,
        revoked: revoked?,
        ..spec
    };
    match Issuer::new(spec) {
        Ok(issuer) => Some(issuer),
        Err(faults) => {
            for fault in faults {
                problems.add(&format!("{path}.{}", fault.field()), fault.to_string());
            }
            None
        }
    }
}

/// A duration in whole seconds.
fn seconds(at: &At<'_>, problems: &mut Problems) -> Option<Option<u64>> {
    duration(at, problems).map(|millis| Some(whole_seconds(millis)))
}

fn forward(at: &At<'_>, problems: &mut Problems) -> Option<Forward> {
    let mut object = at.object(problems)?;
    let keep_token = object.optional("token", problems, Some(false), |at, problems| {
        one_of(at, problems, &[("strip", false), ("keep", true)])
    });
    let headers = object.optional("headers", problems, Some(Vec::new()), |at, problems| {
        at.map(problems, |header, at, problems| {
            Some(Told {
                header: header.to_owned(),
                value: told_value(text(at, problems)?),
            })
        })
    });
    object.finish(problems);
    Some(Forward {
        keep_token: keep_token?,
        headers: headers?,
    })
}

/// A part of the identity by its name, or a claim by its path; `claim:` in front of a path makes it one whatever its name.
fn told_value(written: &str) -> ToldValue {
    match written {
        "issuer" => ToldValue::Issuer,
        "subject" => ToldValue::Subject,
        "tenant" => ToldValue::Tenant,
        "scopes" => ToldValue::Scopes,
        "roles" => ToldValue::Roles,
        "groups" => ToldValue::Groups,
        claim => ToldValue::Claim(claim.strip_prefix("claim:").unwrap_or(claim).to_owned()),
    }
}

fn revocation(at: &At<'_>, sources: &mut Sources, problems: &mut Problems) -> Option<Revoked> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let inline = object
        .field("inline")
        .map(|at| match Revocation::parse(at.json()) {
            Ok(list) => Some(Revoked::Inline(Arc::new(list))),
            Err(fault) => at.refuse(problems, fault.to_string()),
        });
    let remote = object
        .field("remote")
        .map(|at| list_source(&at, sources, problems).map(Revoked::Fetched));
    object.finish(problems);
    match (inline, remote) {
        (Some(one), None) | (None, Some(one)) => one,
        (_, _) => {
            problems.add(&path, "needs exactly one of `inline` and `remote`");
            None
        }
    }
}

fn claims(at: &At<'_>, problems: &mut Problems) -> Option<ClaimPaths> {
    let default = ClaimPaths::default();
    let mut object = at.object(problems)?;
    let names = |at: &At<'_>, problems: &mut Problems| at.some(problems, owned);
    let subject = object.optional("subject", problems, Some(default.subject), owned);
    let tenant = object.optional("tenant", problems, Some(None), |at, problems| {
        owned(at, problems).map(Some)
    });
    let scopes = object.optional("scopes", problems, Some(default.scopes), names);
    let roles = object.optional("roles", problems, Some(default.roles), names);
    let groups = object.optional("groups", problems, Some(default.groups), names);
    object.finish(problems);
    Some(ClaimPaths {
        subject: subject?,
        tenant: tenant?,
        scopes: scopes?,
        roles: roles?,
        groups: groups?,
    })
}
