//! `rules`: what they concern, what they do and what they ask for. References to callers are resolved here, by name.

use crate::access::Callers;
use crate::read::{At, Problems, name, one_of, text, unknown};
use crate::units::duration;
use postern_core::model::ModelPattern;
use postern_core::operation::Operation;
use postern_core::policy::{Rule, RuleEffect, StepUp};
use postern_core::scope::{ScopeTemplate, TemplateFault};
use std::sync::Arc;

pub(crate) fn rule(
    at: &At<'_>,
    callers: &Callers<'_>,
    problems: &mut Problems,
) -> Option<Arc<Rule>> {
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
    let step_up_path = object.path_of("stepUp");
    let step_up = object.optional("stepUp", problems, Some(None), |at, problems| {
        step_up(at, problems).map(Some)
    });
    object.refuse_later(&["when"], problems);
    object.finish(problems);
    let () = mode?;
    let effect = match (effect?, scopes?) {
        (Effect::Allow, scopes) => RuleEffect::Allow {
            scopes: scopes.unwrap_or_else(|| vec![ScopeTemplate::default()]),
            step_up: step_up?,
        },
        (Effect::Deny, _) if step_up?.is_some() => {
            problems.add(
                &step_up_path,
                "a denying rule takes no step-up: who has not signed in well enough would escape it",
            );
            return None;
        }
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

fn step_up(at: &At<'_>, problems: &mut Problems) -> Option<StepUp> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let names = |at: &At<'_>, problems: &mut Problems| at.some(problems, sign_in_name);
    let classes = object.optional("acr", problems, Some(Vec::new()), names);
    let methods = object.optional("amr", problems, Some(Vec::new()), names);
    let max_age = object.optional("maxAge", problems, Some(None), |at, problems| {
        let millis = duration(at, problems)?;
        match millis.checked_div(1000) {
            Some(seconds) if seconds > 0 => Some(Some(seconds)),
            _ => at.refuse(problems, "must be at least 1s"),
        }
    });
    object.finish(problems);
    let step_up = StepUp {
        classes: classes?,
        methods: methods?,
        max_age: max_age?,
    };
    if step_up == StepUp::default() {
        problems.add(&path, "needs at least one of acr, amr and maxAge");
        return None;
    }
    Some(step_up)
}

/// A class or method of signing in, as a challenge can name it: no space, quote or backslash (RFC 9470 section 3).
fn sign_in_name(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let name = text(at, problems)?;
    let plain = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if name.len() > 256 || !name.bytes().all(plain) {
        return at.refuse(
            problems,
            "must be at most 256 visible ASCII characters, no quote and no backslash",
        );
    }
    Some(name.to_owned())
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
