//! `jwks` and `algorithms`: by which keys an issuer's tokens are checked, and from where they come.

use crate::fetched::{Sources, keys_source};
use crate::read::{At, Problems, text};
use postern_core::token::{Alg, KeyFault, KeySet, Keys};

pub(crate) fn algorithm(at: &At<'_>, problems: &mut Problems) -> Option<Alg> {
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

/// Exactly one of keys that stand here, keys that are fetched, and keys that a discovery document points to.
pub(crate) fn jwks(
    at: &At<'_>,
    iss: Option<&str>,
    secrets: bool,
    sources: &mut Sources,
    problems: &mut Problems,
) -> Option<Keys> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let inline = object
        .field("inline")
        .map(|at| inline_keys(&at, secrets, problems).map(Keys::Inline));
    let remote = object
        .field("remote")
        .map(|at| keys_source(&at, None, sources, problems).map(Keys::Fetched));
    let discovery = object
        .field("discovery")
        .map(|at| keys_source(&at, Some(iss?), sources, problems).map(Keys::Fetched));
    object.finish(problems);
    match (inline, remote, discovery) {
        (Some(one), None, None) | (None, Some(one), None) | (None, None, Some(one)) => one,
        (_, _, _) => {
            problems.add(
                &path,
                "needs exactly one of `inline`, `remote` and `discovery`",
            );
            None
        }
    }
}

fn inline_keys(at: &At<'_>, secrets: bool, problems: &mut Problems) -> Option<KeySet> {
    let read = if secrets {
        KeySet::parse_secrets(at.json())
    } else {
        KeySet::parse(at.json())
    };
    match read {
        Ok(keys) => Some(keys),
        Err(faults) => {
            for fault in faults {
                problems.add(&key_path(at.path(), &fault), fault.to_string());
            }
            None
        }
    }
}

fn key_path(set: &str, fault: &KeyFault) -> String {
    match fault.index {
        Some(index) => format!("{set}.keys[{index}]"),
        None => set.to_owned(),
    }
}
