//! What the tests that are no scenario start from: the scenarios' own policy, changed in named places, a token, a
//! gateway with both, and short ways to what was seen.

use std::sync::OnceLock;

use postern_tests::issuer::{self, TokenSpec};
use postern_tests::scenario::{Mode, Protocol, load_all};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::bootstrap::{Deployment, Filter};
use crate::envoy;
use crate::stage::{Seen, Stage, now};

/// A chat that the policy `basic` allows to the caller of [`token`].
pub const CHAT: &[u8] =
    br#"{"model":"gpt-4o","messages":[{"role":"user","content":"SECRET-prompt"}]}"#;

/// The policy `basic` of the scenarios for a mode.
///
/// # Panics
/// When no scenario uses it.
#[must_use]
pub fn policy(mode: Mode) -> Value {
    let cases = load_all().unwrap_or_else(|fault| panic!("{fault}"));
    let case = cases
        .iter()
        .find(|case| case.policy_name() == "basic")
        .expect("the policy `basic`");
    serde_json::from_str(&case.policy_json(mode)).expect("JSON")
}

/// The policy with the value at each JSON pointer replaced; a last segment that is not there is added.
///
/// # Panics
/// When the way to a place is not there.
#[must_use]
pub fn changed(mut policy: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').expect("a JSON pointer");
        let parent = policy
            .pointer_mut(parent)
            .unwrap_or_else(|| panic!("nothing at {pointer}"));
        match parent {
            Value::Object(members) => {
                members.insert(last.to_owned(), value.clone());
            }
            Value::Array(items) => items[last.parse::<usize>().expect("an index")] = value.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                panic!("a leaf above {pointer}")
            }
        }
    }
    policy
}

/// A token that the policy `basic` takes: alice, tenant acme, a researcher.
///
/// # Panics
/// When the test keys are broken.
#[must_use]
pub fn token() -> String {
    issuer::token(&TokenSpec::default(), now()).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The module under test with a policy, in the listener's own configuration.
#[must_use]
pub fn deployment(mode: Mode, policy: &Value) -> Deployment {
    let filter = Filter::Inline {
        module: envoy::module(),
        policy: policy.to_string(),
    };
    Deployment::new(mode, filter)
}

/// A gateway that must start.
///
/// # Panics
/// When it does not, with its log.
#[must_use]
pub fn set(name: &str, deployment: &Deployment) -> Stage {
    Stage::set(name, deployment).unwrap_or_else(|fault| panic!("{fault}"))
}

/// One gateway a mode for all tests of a process that need nothing special: bodies up to 32 MiB, holds end after 1 s.
///
/// # Panics
/// When it does not start.
pub fn shared(suite: &str, mode: Mode) -> &'static Stage {
    static STAGES: [OnceLock<Stage>; 3] = [const { OnceLock::new() }; 3];
    let place = match mode {
        Mode::Flag => &STAGES[0],
        Mode::Buffer => &STAGES[1],
        Mode::None => &STAGES[2],
    };
    place.get_or_init(|| {
        let changes = [
            ("/host/holdTimeout", json!("1s")),
            ("/routes/0/body", json!({ "maxBytes": "32MiB" })),
        ];
        let policy = changed(policy(mode), &changes);
        set(&format!("{suite}-{mode}"), &deployment(mode, &policy))
    })
}

/// Each mode with each protocol.
pub fn every_way() -> impl Iterator<Item = (Mode, Protocol)> {
    Mode::ALL.into_iter().flat_map(|mode| {
        Protocol::ALL
            .into_iter()
            .map(move |protocol| (mode, protocol))
    })
}

/// The one record of a call, once the gateway is found healthy after it.
///
/// # Panics
/// When there is not exactly one record, or the gateway is not healthy.
#[must_use]
pub fn record(stage: &Stage, seen: &Seen, what: &str) -> Value {
    let record = seen
        .record()
        .unwrap_or_else(|fault| panic!("{what}: {fault}"));
    let ailments = stage.envoy.ailments();
    assert!(ailments.is_empty(), "{what}: {ailments:?}");
    record
}

/// The status and the code of a refusal.
#[must_use]
pub fn refusal(seen: &Seen) -> (u16, String) {
    let Some(answer) = &seen.answer else {
        return (0, "no answer".into());
    };
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (
        answer.status,
        body["error"]["code"]
            .as_str()
            .unwrap_or("no code")
            .to_owned(),
    )
}

/// The digest of a body as a record writes it.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha-256={hex}")
}
