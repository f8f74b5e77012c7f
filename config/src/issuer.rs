//! `issuers`: who signs tokens, with which keys and algorithms, and what their claims are called.

use crate::read::{At, Named, Object, Problems, owned, text};
use crate::units::duration;
use postern_core::token::{
    Alg, ClaimPaths, Issuer, IssuerSpec, Issuers, IssuersFault, KeyFault, KeySet,
};

/// Parts of an issuer that a later version reads.
const LATER: &[&str] = &["from", "proofOfPossession", "forward", "revocation"];

/// `leeway` and `maxLifetime` where an issuer names none, in milliseconds: 30 s and 24 h.
const DEFAULT_LEEWAY: u64 = 30_000;
const DEFAULT_MAX_LIFETIME: u64 = 86_400_000;

pub(crate) fn issuers<'a>(object: &mut Object<'a>, problems: &mut Problems) -> Named<'a, Issuer> {
    Named::read("issuer", object.field("issuers"), "name", problems, issuer)
}

/// All issuers together: no two can be mistaken for each other.
pub(crate) fn together(issuers: &[Issuer], problems: &mut Problems) -> Option<Issuers> {
    match Issuers::new(issuers.to_vec()) {
        Ok(issuers) => Some(issuers),
        Err(faults) => {
            for fault in faults {
                match fault {
                    // Names were compared as the list was read.
                    IssuersFault::NameTwice(_) => {}
                    IssuersFault::IssuerTwice(index) => {
                        problems.add(
                            &format!("issuers[{index}].issuer"),
                            "an earlier issuer has this `iss`",
                        );
                    }
                }
            }
            None
        }
    }
}

fn issuer(at: &At<'_>, problems: &mut Problems) -> Option<Issuer> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let name = object.required("name", problems, owned);
    let issuer = object.required("issuer", problems, owned);
    let audiences = object.required("audiences", problems, |at, problems| {
        at.some(problems, owned)
    });
    let algorithms = object.optional("algorithms", problems, Some(None), |at, problems| {
        at.some(problems, algorithm).map(Some)
    });
    let keys = object.required("jwks", problems, jwks);
    let leeway = object.optional("leeway", problems, Some(DEFAULT_LEEWAY), duration);
    let max_lifetime = object.optional(
        "maxLifetime",
        problems,
        Some(DEFAULT_MAX_LIFETIME),
        duration,
    );
    let claims = object.optional("claims", problems, Some(default_claims()), claims);
    object.refuse_later(LATER, problems);
    object.finish(problems);

    let keys = keys?;
    let spec = IssuerSpec {
        name: name?,
        issuer: issuer?,
        audiences: audiences?,
        algorithms: algorithms?.unwrap_or_else(|| keys.algorithms()),
        keys,
        leeway: whole_seconds(leeway?),
        max_lifetime: whole_seconds(max_lifetime?),
        claims: claims?,
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

/// Milliseconds as seconds, rounded down: the strict side for a leeway and for a lifetime.
fn whole_seconds(millis: u64) -> u64 {
    millis.checked_div(1000).unwrap_or_default()
}

fn algorithm(at: &At<'_>, problems: &mut Problems) -> Option<Alg> {
    let named = text(at, problems)?;
    match Alg::parse(named) {
        Some(alg) => Some(alg),
        None => {
            let known: Vec<&str> = Alg::ALL.iter().map(|alg| alg.name()).collect();
            at.refuse(
                problems,
                format!(
                    "`{named}` is not supported by this version; known are {}",
                    known.join(", ")
                ),
            )
        }
    }
}

fn jwks(at: &At<'_>, problems: &mut Problems) -> Option<KeySet> {
    let mut object = at.object(problems)?;
    let keys = object.required("inline", problems, |at, problems| {
        match KeySet::parse(at.json()) {
            Ok(keys) => Some(keys),
            Err(faults) => {
                for fault in faults {
                    problems.add(&key_path(at.path(), &fault), fault.to_string());
                }
                None
            }
        }
    });
    object.refuse_later(&["remote", "discovery"], problems);
    object.finish(problems);
    keys
}

fn key_path(set: &str, fault: &KeyFault) -> String {
    match fault.index {
        Some(index) => format!("{set}.keys[{index}]"),
        None => set.to_owned(),
    }
}

fn default_claims() -> ClaimPaths {
    ClaimPaths {
        subject: "sub".to_owned(),
        tenant: None,
        scopes: vec!["scope".to_owned(), "scp".to_owned()],
        roles: vec!["roles".to_owned()],
        groups: vec!["groups".to_owned()],
    }
}

fn claims(at: &At<'_>, problems: &mut Problems) -> Option<ClaimPaths> {
    let default = default_claims();
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
