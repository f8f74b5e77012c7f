//! `audit`: the instance's name and where records go.

use crate::read::{At, Problems, one_of, text};
use postern_core::policy::{Audit, Sink};
use std::collections::BTreeMap;

/// Parts of `audit` that a later version reads.
const LATER: &[&str] = &["digest", "of", "pseudonymize", "chain"];

/// What holds when the policy says nothing: records go to the log. They cannot be switched off.
pub(crate) fn default() -> Audit {
    Audit {
        instance: None,
        sinks: vec![Sink::Log],
    }
}

pub(crate) fn audit(
    at: &At<'_>,
    environment: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Option<Audit> {
    let mut object = at.object(problems)?;
    let instance = object.optional("instance", problems, Some(None), |at, problems| {
        expand(at, environment, problems).map(Some)
    });
    let sinks = object.optional("sinks", problems, Some(default().sinks), |at, problems| {
        at.some(problems, |at, problems| {
            one_of(
                at,
                problems,
                &[("log", Sink::Log), ("accessLog", Sink::AccessLog)],
            )
        })
    });
    object.refuse_later(LATER, problems);
    object.finish(problems);
    Some(Audit {
        instance: instance?,
        sinks: sinks?,
    })
}

/// A text in which `${NAME}` stands for a variable of the plugin's environment.
fn expand(
    at: &At<'_>,
    environment: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Option<String> {
    let written = text(at, problems)?;
    let mut expanded = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            return at.refuse(problems, "has `${` without `}`");
        };
        let Some(value) = environment.get(name) else {
            return at.refuse(
                problems,
                format!("the environment of the plugin has no `{name}`"),
            );
        };
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(rest);
    if expanded.is_empty() {
        return at.refuse(problems, "is empty once expanded");
    }
    Some(expanded)
}
