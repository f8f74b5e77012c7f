//! Whether they may: the only place that makes a [`Permit`].
//!
//! Deny wins over allow; nothing matching is refused. Whatever forwards takes the permit, and no other code can make
//! one:
//!
//! ```compile_fail,E0451
//! let permit = postern_core::decide::Permit { rule: None, caller: None };
//! ```

use crate::identity::Identity;
use crate::model::Model;
use crate::operation::Operation;
use crate::policy::{Access, Caller, Route, Rule, RuleEffect, StepUp};
use crate::refusal::{Code, Refusal};
use std::sync::Arc;

/// Proof that a request may pass.
#[derive(Debug)]
#[must_use = "a permit is what forwarding takes"]
pub struct Permit {
    rule: Option<Arc<str>>,
    caller: Option<Arc<str>>,
}

impl Permit {
    /// The id of the rule that allows; none on an open route.
    pub fn rule(&self) -> Option<&Arc<str>> {
        self.rule.as_ref()
    }

    /// The name of the caller by which the rule applies.
    pub fn caller(&self) -> Option<&Arc<str>> {
        self.caller.as_ref()
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who calls.
    pub identity: &'a Identity,
    /// What is called.
    pub operation: Operation,
    /// The model, unless the operation concerns none.
    pub model: Option<&'a Model>,
    /// The time in seconds since 1970.
    pub now: u64,
}

/// A decision, with what every rule of the route said.
#[derive(Debug)]
pub struct Decision {
    /// The permit, or why not.
    pub outcome: Result<Permit, Denial>,
    /// One reason per rule that was asked, in the order of the policy.
    pub because: Vec<Reason>,
}

/// What one rule said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The rule's id.
    pub rule: Arc<str>,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It applies, and allows.
    Allows,
    /// It applies, and denies.
    Denies,
    /// It concerns other callers.
    OtherCallers,
    /// It concerns other operations.
    OtherOperations,
    /// It concerns other models.
    OtherModels,
    /// It would apply if the token held its scopes.
    ScopesMissing,
    /// It would apply if the caller's user had signed in otherwise or later.
    StepUpNeeded,
}

/// Why not.
#[derive(Debug)]
pub struct Denial {
    refusal: Refusal,
    rule: Option<Arc<str>>,
}

impl Denial {
    /// What to tell the caller.
    pub fn into_refusal(self) -> Refusal {
        self.refusal
    }

    /// The id of the rule that denies or whose scopes are missing.
    pub fn rule(&self) -> Option<&Arc<str>> {
        self.rule.as_ref()
    }
}

/// The permit of an open route; none on a guarded one.
pub fn open(route: &Route) -> Option<Permit> {
    match route.access {
        Access::Open => Some(Permit {
            rule: None,
            caller: None,
        }),
        Access::Guarded { .. } => None,
    }
}

/// Decides as early as the head allows: refuses when no model could make the answer yes. It permits nothing.
///
/// # Errors
/// What [`decide`] would refuse for every model.
pub fn foresee(
    rules: &[Arc<Rule>],
    identity: &Identity,
    operation: Operation,
) -> Result<(), Denial> {
    let hope = rules.iter().any(|rule| {
        matches!(rule.effect, RuleEffect::Allow { .. })
            && rule.concerns_operation(operation)
            && rule.caller(identity).is_some()
    });
    if hope {
        Ok(())
    } else {
        Err(no_rule(operation, None))
    }
}

/// Decides.
pub fn decide(rules: &[Arc<Rule>], question: Question<'_>) -> Decision {
    let because: Vec<Reason> = rules
        .iter()
        .map(|rule| Reason {
            rule: Arc::clone(&rule.id),
            verdict: ask(rule, question),
        })
        .collect();
    let said = |verdict: Verdict| {
        rules
            .iter()
            .zip(&because)
            .find(|(_, reason)| reason.verdict == verdict)
            .map(|(rule, _)| rule)
    };
    let outcome = if let Some(rule) = said(Verdict::Denies) {
        Err(Denial {
            refusal: Refusal::new(
                Code::Denied,
                format!("a rule denies {}", what(question.operation, question.model)),
            ),
            rule: Some(Arc::clone(&rule.id)),
        })
    } else if let Some(rule) = said(Verdict::Allows) {
        let caller = rule
            .caller(question.identity)
            .map(|caller: &Arc<Caller>| Arc::clone(&caller.name));
        Ok(Permit {
            rule: Some(Arc::clone(&rule.id)),
            caller,
        })
    } else if let Some((rule, step_up)) =
        said(Verdict::StepUpNeeded).and_then(|rule| Some((rule, step_up(rule)?)))
    {
        Err(Denial {
            refusal: Refusal::new(
                Code::StepUpRequired,
                format!(
                    "sign in again for {}{}",
                    what(question.operation, question.model),
                    with_methods(step_up)
                ),
            )
            .step_up(&step_up.classes, step_up.max_age),
            rule: Some(Arc::clone(&rule.id)),
        })
    } else if let Some(rule) = said(Verdict::ScopesMissing) {
        Err(Denial {
            refusal: Refusal::new(
                Code::ScopeMissing,
                format!(
                    "the token lacks a scope for {}",
                    what(question.operation, question.model)
                ),
            )
            .scopes(missing(rule, question)),
            rule: Some(Arc::clone(&rule.id)),
        })
    } else {
        Err(no_rule(question.operation, question.model))
    };
    Decision { outcome, because }
}

fn ask(rule: &Rule, question: Question<'_>) -> Verdict {
    if rule.caller(question.identity).is_none() {
        Verdict::OtherCallers
    } else if !rule.concerns_operation(question.operation) {
        Verdict::OtherOperations
    } else if !rule.concerns_model(question.model) {
        Verdict::OtherModels
    } else {
        match &rule.effect {
            RuleEffect::Deny => Verdict::Denies,
            RuleEffect::Allow { .. } if !missing(rule, question).is_empty() => {
                Verdict::ScopesMissing
            }
            RuleEffect::Allow {
                step_up: Some(step_up),
                ..
            } if !step_up.is_met(question.identity.authentication(), question.now) => {
                Verdict::StepUpNeeded
            }
            RuleEffect::Allow { .. } => Verdict::Allows,
        }
    }
}

/// The scopes of the rule that the token does not hold.
fn missing(rule: &Rule, question: Question<'_>) -> Vec<String> {
    let scopes = match &rule.effect {
        RuleEffect::Allow { scopes, .. } => scopes.as_slice(),
        RuleEffect::Deny => &[],
    };
    scopes
        .iter()
        .map(|template| template.fill(question.model, question.operation))
        .filter(|needed| !needed.is_held(question.identity.scopes()))
        .map(|needed| needed.to_string())
        .collect()
}

/// What a rule asks of the sign-in.
fn step_up(rule: &Rule) -> Option<&StepUp> {
    match &rule.effect {
        RuleEffect::Allow { step_up, .. } => step_up.as_ref(),
        RuleEffect::Deny => None,
    }
}

/// The methods that are asked for, for which a challenge has no parameter.
fn with_methods(step_up: &StepUp) -> String {
    match step_up.methods.as_slice() {
        [] => String::new(),
        methods => format!(", with {}", methods.join(" and ")),
    }
}

fn no_rule(operation: Operation, model: Option<&Model>) -> Denial {
    Denial {
        refusal: Refusal::new(
            Code::NotPermitted,
            format!("no rule allows {}", what(operation, model)),
        ),
        rule: None,
    }
}

fn what(operation: Operation, model: Option<&Model>) -> String {
    match model {
        Some(model) => format!(
            "{} with the model {} for this caller",
            operation.name(),
            model.name()
        ),
        None => format!("{} for this caller", operation.name()),
    }
}
