//! What always holds of decisions, whatever the rules: less of a caller never permits more, and what is foreseen is so.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]

mod host;

use host::{Gateway, NOW, inline, policy, scoped};
use postern_core::decide::{Question, Verdict, decide, foresee};
use postern_core::facts::RequestFacts;
use postern_core::identity::{Evidence, Identity, Proving};
use postern_core::model::{Model, ModelPattern};
use postern_core::operation::Operation;
use postern_core::peer::Connection;
use postern_core::policy::{
    Caller, Condition, CredentialKind, HeadHold, Needs, Quantifier, Rule, RuleEffect, StepUp,
};
use postern_core::refusal::Code;
use postern_core::scope::ScopeTemplate;
use proptest::prelude::*;
use proptest::sample::subsequence;
use std::sync::Arc;

const SECONDS: u64 = NOW / 1000;
const SCOPES: &[&str] = &[
    "model:gpt-4o:chat",
    "model:*:chat",
    "model:*:models",
    "model:*:*",
    "read",
];
const ROLES: &[&str] = &["researcher", "admin", "batch"];
const METHODS: &[&str] = &["pwd", "otp", "hwk"];

/// What a token says of its holder.
#[derive(Debug, Clone, Default)]
struct Held {
    scopes: Vec<&'static str>,
    roles: Vec<&'static str>,
    methods: Vec<&'static str>,
    class: Option<&'static str>,
    signed_in: Option<u64>,
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", quoted.join(","))
}

/// The only way to an identity is a proof, so each is proved.
fn identity(held: &Held) -> Identity {
    let mut more = format!(
        r#","roles":{},"amr":{}"#,
        list(&held.roles),
        list(&held.methods)
    );
    if let Some(class) = held.class {
        more.push_str(&format!(r#","acr":"{class}""#));
    }
    if let Some(at) = held.signed_in {
        more.push_str(&format!(r#","auth_time":{at}"#));
    }
    let bearer = format!("Bearer {}", scoped(7, &held.scopes.join(" "), &more));
    let host = &mut Gateway::new(policy(HeadHold::None, inline()));
    let pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":path", b"/v1/chat/completions"),
        (b":authority", b"api"),
        (b"authorization", bearer.as_bytes()),
    ];
    let facts = RequestFacts::read(&pairs, &[]).unwrap();
    let evidence = Evidence::new(&facts, &Connection::default(), &host.policy);
    let needs = Needs {
        credential: Some(CredentialKind::Token),
        peer: false,
        peer_in_rules: false,
    };
    match evidence.prove(needs, NOW, &mut host.ground()) {
        Ok(Proving::Proved(identity)) => identity,
        other => panic!("{other:?}"),
    }
}

fn caller(name: &str, roles: &[&str], quantifier: Quantifier) -> Arc<Caller> {
    let condition = |role: &&str| Condition {
        issuer: Some("corp".into()),
        roles: vec![(*role).to_owned()],
        ..Condition::default()
    };
    let mut conditions: Vec<Condition> = roles.iter().map(condition).collect();
    if conditions.is_empty() {
        conditions.push(Condition {
            issuer: Some("corp".into()),
            ..Condition::default()
        });
    }
    Arc::new(Caller {
        name: name.into(),
        quantifier,
        conditions,
    })
}

fn rule(
    id: &str,
    effect: RuleEffect,
    callers: Vec<Arc<Caller>>,
    model: &str,
    operation: Operation,
) -> Arc<Rule> {
    Arc::new(Rule {
        id: id.into(),
        effect,
        callers,
        models: vec![ModelPattern::parse(model).unwrap()],
        operations: vec![operation],
    })
}

fn allow(scopes: &[&str], step_up: Option<StepUp>) -> RuleEffect {
    RuleEffect::Allow {
        scopes: scopes
            .iter()
            .map(|scope| ScopeTemplate::parse(scope).unwrap())
            .collect(),
        step_up,
    }
}

fn some(names: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(names, 0..=names.len())
}

fn held() -> impl Strategy<Value = Held> {
    (
        some(SCOPES),
        some(ROLES),
        some(METHODS),
        prop::option::of(Just("urn:mfa")),
        prop::option::of(SECONDS - 2000..SECONDS + 100),
    )
        .prop_map(|(scopes, roles, methods, class, signed_in)| Held {
            scopes,
            roles,
            methods,
            class,
            signed_in,
        })
}

fn step_ups() -> impl Strategy<Value = StepUp> {
    (any::<bool>(), some(METHODS), prop::option::of(1u64..2000)).prop_map(
        |(class, methods, max_age)| StepUp {
            classes: class.then(|| "urn:mfa".to_owned()).into_iter().collect(),
            methods: methods.into_iter().map(str::to_owned).collect(),
            max_age,
        },
    )
}

fn operations() -> impl Strategy<Value = Operation> {
    prop_oneof![Just(Operation::Chat), Just(Operation::Models)]
}

/// Rules that allow to callers of some roles, and rules that deny: those name no roles, for who loses a role escapes them.
fn rules() -> impl Strategy<Value = Vec<Arc<Rule>>> {
    let one = (
        prop::bool::weighted(0.2),
        some(ROLES),
        any::<bool>(),
        subsequence(&["model:{model}:{operation}", "read"][..], 0..=2),
        prop::option::of(step_ups()),
        prop_oneof![Just("*"), Just("gpt-*"), Just("llama*")],
        operations(),
    );
    prop::collection::vec(one, 1..5).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(
                |(index, (denies, roles, any, scopes, step_up, model, operation))| {
                    let quantifier = if any {
                        Quantifier::Any
                    } else {
                        Quantifier::All
                    };
                    let roles = if denies { Vec::new() } else { roles };
                    let effect = if denies {
                        RuleEffect::Deny
                    } else {
                        allow(&scopes, step_up)
                    };
                    let callers = vec![caller("c", &roles, quantifier)];
                    rule(&format!("r{index}"), effect, callers, model, operation)
                },
            )
            .collect()
    })
}

fn ask<'a>(identity: &'a Identity, operation: Operation, model: Option<&'a Model>) -> Question<'a> {
    Question {
        identity,
        operation,
        model,
        now: SECONDS,
    }
}

/// The same caller with less.
fn less(held: &Held, what: u8, at: prop::sample::Index, older: u64) -> Held {
    let mut less = held.clone();
    let take = |names: &mut Vec<&'static str>| {
        if !names.is_empty() {
            names.remove(at.index(names.len()));
        }
    };
    match what {
        0 => take(&mut less.scopes),
        1 => take(&mut less.roles),
        2 => take(&mut less.methods),
        3 => less.class = None,
        4 => less.signed_in = None,
        // An earlier sign-in, not one that stops to lie in the future.
        _ => less.signed_in = less.signed_in.map(|at| at.min(SECONDS) - older),
    }
    less
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn less_of_a_caller_never_permits_more(
        rules in rules(),
        held in held(),
        what in 0..6u8,
        at in any::<prop::sample::Index>(),
        older in 0u64..2000,
        operation in operations(),
    ) {
        prop_assume!(what != 5 || held.signed_in.is_none_or(|at| at <= SECONDS));
        let less = less(&held, what, at, older);
        let (more, less) = (identity(&held), identity(&less));
        let gpt = Model::parse("gpt-4o").unwrap();
        let llama = Model::parse("llama-3").unwrap();
        for model in [None, Some(&gpt), Some(&llama)] {
            let with_less = decide(&rules, ask(&less, operation, model));
            let with_more = decide(&rules, ask(&more, operation, model));
            prop_assert!(with_less.outcome.is_err() || with_more.outcome.is_ok());
            prop_assert_eq!(with_less.because.len(), rules.len(), "every rule says something");
        }
    }

    #[test]
    fn what_is_foreseen_is_so(rules in rules(), held in held(), operation in operations()) {
        let identity = identity(&held);
        let foreseen = foresee(&rules, &identity, operation);
        let gpt = Model::parse("gpt-4o").unwrap();
        for model in [None, Some(&gpt)] {
            let decision = decide(&rules, ask(&identity, operation, model));
            if foreseen.is_err() {
                prop_assert!(decision.outcome.is_err());
            }
            let denies = decision.because.iter().any(|reason| reason.verdict == Verdict::Denies);
            let allows = decision.because.iter().any(|reason| reason.verdict == Verdict::Allows);
            prop_assert_eq!(decision.outcome.is_ok(), allows && !denies, "a denial wins, and nothing else permits");
        }
    }

    /// More rules that deny, or fewer that allow, never permit more; nor does their order decide whether.
    #[test]
    fn rules_count_together(rules in rules(), held in held(), operation in operations(), at in any::<prop::sample::Index>()) {
        let identity = identity(&held);
        let gpt = Model::parse("gpt-4o").unwrap();
        let question = ask(&identity, operation, Some(&gpt));
        let all = decide(&rules, question).outcome.is_ok();
        let mut turned = rules.clone();
        turned.reverse();
        prop_assert_eq!(decide(&turned, question).outcome.is_ok(), all);
        let mut fewer = rules.clone();
        let taken = fewer.remove(at.index(rules.len()));
        if taken.effect != RuleEffect::Deny {
            prop_assert!(all || decide(&fewer, question).outcome.is_err());
        }
        let mut more = rules.clone();
        more.push(rule("no", RuleEffect::Deny, vec![caller("c", &[], Quantifier::Any)], "*", operation));
        prop_assert!(decide(&more, question).outcome.is_err());
    }
}

/// What is told when several rules say no: what is nearest to a yes.
#[test]
fn the_order_of_refusals() {
    let everybody = || vec![caller("c", &[], Quantifier::Any)];
    let of = |id: &str, effect| rule(id, effect, everybody(), "*", Operation::Chat);
    let mfa = || StepUp {
        methods: vec!["otp".into()],
        ..StepUp::default()
    };
    let deny = of("deny", RuleEffect::Deny);
    let yes = of("yes", allow(&["read"], None));
    let step_up = of("step-up", allow(&["read"], Some(mfa())));
    let scope = of("scope", allow(&["write"], None));
    let both = of("both", allow(&["write"], Some(mfa())));
    let elsewhere = rule(
        "elsewhere",
        allow(&[], None),
        everybody(),
        "x",
        Operation::Chat,
    );
    let held = Held {
        scopes: vec!["read"],
        ..Held::default()
    };
    let identity = identity(&held);
    let model = Model::parse("gpt-4o").unwrap();
    type Row<'a> = (&'a str, Vec<&'a Arc<Rule>>, Option<(Code, Option<&'a str>)>);
    let rows: Vec<Row<'_>> = vec![
        ("a yes", vec![&scope, &step_up, &yes], None),
        (
            "a denial beside it",
            vec![&yes, &step_up, &deny],
            Some((Code::Denied, Some("deny"))),
        ),
        (
            "sign in again, before more scopes",
            vec![&scope, &step_up],
            Some((Code::StepUpRequired, Some("step-up"))),
        ),
        (
            "who lacks the scope too is told of the scope",
            vec![&elsewhere, &both],
            Some((Code::ScopeMissing, Some("both"))),
        ),
        (
            "the first that lacks a scope",
            vec![&scope, &both],
            Some((Code::ScopeMissing, Some("scope"))),
        ),
        (
            "no rule of this model",
            vec![&elsewhere],
            Some((Code::NotPermitted, None)),
        ),
        ("no rule", vec![], Some((Code::NotPermitted, None))),
    ];
    for (why, rules, expected) in rows {
        let rules: Vec<Arc<Rule>> = rules.into_iter().map(Arc::clone).collect();
        let outcome = decide(&rules, ask(&identity, Operation::Chat, Some(&model))).outcome;
        let found = outcome.err().map(|denial| {
            let rule = denial.rule().map(|rule| rule.to_string());
            (denial.into_refusal().code(), rule)
        });
        let expected = expected.map(|(code, rule)| (code, rule.map(str::to_owned)));
        assert_eq!(found, expected, "{why}");
    }
}
