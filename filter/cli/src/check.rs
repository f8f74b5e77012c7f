//! The verdict on each policy: loaded by the very code by which the module loads it.
//!
//! Decided here: what counts as good, and the exit status that follows. Not decided here: how it is printed.

use crate::Environment;
use crate::input::{self, Content, Finding, Form, Given};
use postern_core::audit::digest_text;
use postern_core::policy::{Access, Policy};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// The exit status when something could not be read.
pub(crate) const UNREAD: u8 = 2;

/// What is said of one document.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    /// The file, as it was named.
    pub(crate) file: String,
    /// Which document of the file, from 1; none when it is the only one.
    pub(crate) document: Option<usize>,
    /// What came of it.
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What came of a document.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// It loads.
    Good(Summary),
    /// It does not load.
    Bad {
        /// Why; never empty.
        problems: Vec<Finding>,
    },
    /// It is a resource that carries no policy.
    NotChecked {
        /// Its kind.
        kind: String,
    },
    /// The file could not be read.
    Unread {
        /// Why.
        reason: String,
    },
}

/// What a good policy holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// How many routes.
    pub(crate) routes: usize,
    /// How many rules.
    pub(crate) rules: usize,
    /// The digest, in the form that records have.
    pub(crate) policy: String,
    /// What the digest is of.
    pub(crate) digest_of: Form,
}

/// The verdicts on a file: one for each document, and one more when none of them is or carries a policy.
pub(crate) fn verdicts(file: &Path, environment: &Environment) -> Vec<Verdict> {
    let verdict = |document, outcome| Verdict {
        file: file.display().to_string(),
        document,
        outcome,
    };
    let contents = match input::read(file) {
        Ok(bytes) => input::documents(file, bytes, environment),
        Err(error) => {
            let reason = error.to_string();
            return vec![verdict(None, Outcome::Unread { reason })];
        }
    };
    let several = contents.len() > 1;
    let holds_none = contents
        .iter()
        .all(|content| matches!(content, Content::Other(_)));
    let none = verdict(
        None,
        Outcome::Bad {
            problems: vec![Finding::new(
                "policy",
                "there is none here: expected a policy, or a WasmPlugin that carries one",
            )],
        },
    );
    (1..)
        .zip(contents)
        .map(|(number, content)| verdict(several.then_some(number), outcome(content)))
        .chain(holds_none.then_some(none))
        .collect()
}

/// The exit status: the worst of all.
pub(crate) fn status(verdicts: &[Verdict]) -> u8 {
    let status = |verdict: &Verdict| match verdict.outcome {
        Outcome::Good(_) | Outcome::NotChecked { .. } => 0,
        Outcome::Bad { .. } => 1,
        Outcome::Unread { .. } => UNREAD,
    };
    verdicts.iter().map(status).max().unwrap_or(UNREAD)
}

fn outcome(content: Content) -> Outcome {
    match content {
        Content::Policy(given) => judge(given),
        Content::Other(kind) => Outcome::NotChecked { kind },
        Content::Faulty(problem) => Outcome::Bad {
            problems: vec![problem],
        },
    }
}

fn judge(given: Given) -> Outcome {
    let mut problems = given.around;
    let loaded = postern_config::load(&given.json, &given.environment);
    match loaded {
        Ok(policy) if problems.is_empty() => Outcome::Good(Summary {
            routes: policy.routes.len(),
            rules: count_rules(&policy),
            policy: digest_text(&policy.digest),
            digest_of: given.form,
        }),
        Ok(_) => Outcome::Bad { problems },
        Err(found) => {
            problems.extend(
                found.iter().map(|problem| {
                    Finding::new(path(given.place, problem.path()), problem.message())
                }),
            );
            Outcome::Bad { problems }
        }
    }
}

/// Where in the document a problem of the policy stands. The reader calls the policy as a whole `policy`.
fn path(place: &str, path: &str) -> String {
    match (place, path) {
        ("", path) => path.to_owned(),
        (place, "policy") => place.to_owned(),
        (place, path) => format!("{place}.{path}"),
    }
}

/// Every rule is used by a route, or the policy would not have loaded.
fn count_rules(policy: &Policy) -> usize {
    let ids: BTreeSet<&str> = policy
        .routes
        .iter()
        .flat_map(|route| match &route.access {
            Access::Open => &[][..],
            Access::Guarded { rules, .. } => rules,
        })
        .map(|rule| &*rule.id)
        .collect();
    ids.len()
}
