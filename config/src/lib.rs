//! How a policy is written: JSON text in, a checked [`Policy`] out, or every problem at once with its path.
//!
//! Decided here: names, types, units, defaults and references; that nothing is zero, empty, unknown, double or
//! unreachable. Not decided here: what a policy means for a request (`postern-core`).
//!
//! Against THREATS 41: a policy loads whole or not at all. A part of the language that this version does not know is a
//! problem like any other: a restriction that is ignored would be a hole.

#![forbid(unsafe_code)]

mod access;
mod api_key;
mod audit;
mod caller;
mod fetched;
mod issuer;
mod keys;
mod peer;
mod place;
mod possession;
mod reach;
mod read;
mod route;
mod rule;
mod units;

pub use read::{Problem, Problems};

use fetched::Sources;
use postern_core::json::{Json, JsonFault};
use postern_core::policy::{HeadHold, Places, Policy};
use postern_core::token::Issuer;
use read::{At, Object, text};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use units::duration;

/// The longest policy text, in bytes.
pub const MAX_POLICY_BYTES: usize = 1 << 20;

/// How deep a policy may nest.
const MAX_DEPTH: u8 = 32;

/// Top-level parts of the language that a later version reads.
const LATER: &[&str] = &["models", "quotas", "guard"];

/// Reads a policy. `environment` is what `${NAME}` stands for.
///
/// # Errors
/// Every problem that was found, each with its path.
pub fn load(policy: &[u8], environment: &BTreeMap<String, String>) -> Result<Policy, Problems> {
    let mut problems = Problems::default();
    let tree = match parse(policy) {
        Ok(tree) => tree,
        Err(problem) => {
            problems.add("policy", problem);
            return Err(problems);
        }
    };
    let read = read_policy(
        &At::root(&tree),
        Sha256::digest(policy).into(),
        environment,
        &mut problems,
    );
    match read {
        Some(policy) if problems.is_empty() => Ok(policy),
        Some(_) => Err(problems),
        None => {
            // INVARIANT (reasons): what cannot be read has a problem that says why.
            if problems.is_empty() {
                problems.add("policy", "cannot be read");
            }
            Err(problems)
        }
    }
}

fn parse(policy: &[u8]) -> Result<Json, String> {
    if policy.is_empty() {
        return Err("is empty; a filter without a policy would refuse everything".to_owned());
    }
    if policy.len() > MAX_POLICY_BYTES {
        return Err(format!("is longer than {MAX_POLICY_BYTES} bytes"));
    }
    Json::parse(policy, MAX_DEPTH)
        .map_err(|fault: JsonFault| format!("is not strict JSON: {fault}"))
}

fn read_policy(
    at: &At<'_>,
    digest: [u8; 32],
    environment: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Option<Policy> {
    let mut object = at.object(problems)?;
    let version = object.required("version", problems, |at, problems| {
        match at.json().as_u64() {
            Some(1) => Some(()),
            _ => at.refuse(problems, "must be 1, the version of the policy language"),
        }
    });
    let mode = object.optional("mode", problems, Some(()), |at, problems| {
        match text(at, problems)? {
            "enforce" => Some(()),
            "shadow" => at.refuse(
                problems,
                "`shadow` is not supported by this version; use `enforce`",
            ),
            _ => at.refuse(problems, "must be `enforce`"),
        }
    });
    let host = object.optional(
        "host",
        problems,
        Some((HeadHold::None, DEFAULT_HOLD_TIMEOUT)),
        host,
    );
    let mut sources = Sources::default();
    let issuers = issuer::issuers(&mut object, &mut sources, problems);
    let api_keys = api_key::api_keys(&mut object, problems);
    let peers = object.optional("peers", problems, Some(None), |at, problems| {
        peer::peers(at, problems).map(Some)
    });
    let known = access::Known {
        issuers: &issuers,
        api_keys: &api_keys,
        peers: peers.as_ref().map(Option::as_ref),
    };
    let access = access::read(&mut object, &known, problems);
    let issuers = issuers
        .entries()
        .and_then(|issuers| issuer::together(issuers, problems));
    let api_keys = api_keys
        .entries()
        .and_then(|keys| api_key::together(keys, problems));
    let audit = object.optional("audit", problems, Some(audit::default()), |at, problems| {
        audit::audit(at, environment, problems)
    });
    object.refuse_later(LATER, problems);
    object.finish(problems);

    let (head_hold, hold_timeout) = host?;
    let () = version?;
    let () = mode?;
    let issuers = issuers?;
    let told: BTreeSet<&str> = issuers.iter().flat_map(Issuer::told_headers).collect();
    Some(Policy {
        digest,
        head_hold,
        hold_timeout,
        told: told.into_iter().map(str::to_owned).collect(),
        places: Places::of(&issuers),
        issuers,
        sources: sources.into_list(),
        api_keys: api_keys?,
        peers: peers?.unwrap_or_default(),
        routes: access?,
        audit: audit?,
    })
}

/// `host.holdTimeout` where the policy names none, in milliseconds.
const DEFAULT_HOLD_TIMEOUT: u64 = 30_000;

fn host(at: &At<'_>, problems: &mut Problems) -> Option<(HeadHold, u64)> {
    let mut object: Object<'_> = at.object(problems)?;
    let head_hold = object.optional(
        "headHold",
        problems,
        Some(HeadHold::None),
        |at, problems| match text(at, problems)? {
            "flag" => Some(HeadHold::Flag),
            "buffer" => Some(HeadHold::Buffer),
            "none" => Some(HeadHold::None),
            _ => at.refuse(problems, "must be `flag`, `buffer` or `none`"),
        },
    );
    let timeout = object.optional(
        "holdTimeout",
        problems,
        Some(DEFAULT_HOLD_TIMEOUT),
        |at, problems| {
            let millis = duration(at, problems)?;
            if millis > 600_000 {
                return at.refuse(problems, "must be at most 10m");
            }
            Some(millis)
        },
    );
    object.finish(problems);
    Some((head_hold?, timeout?))
}
