//! What the tests that are no scenario start from: the scenarios' own policy, changed in named places, and a token.

use postern_tests::issuer::{self, TokenSpec};
use postern_tests::scenario::{Mode, load_all};
use serde_json::Value;

use crate::stage::now;

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
