//! The files themselves: they load, and what the loader promises holds.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_file_loads_and_every_case_has_its_own_name() {
    let cases = load_all().unwrap();
    let names: BTreeSet<String> = cases.iter().map(Case::name).collect();
    assert_eq!(names.len(), cases.len());
}

#[test]
fn a_policy_states_its_mode_and_carries_key_sets() {
    for case in load_all().unwrap() {
        let policy: serde_json::Value =
            serde_json::from_str(&case.policy_json(case.mode())).unwrap();
        assert_eq!(policy["host"]["headHold"], case.mode().to_string());
        assert!(!policy.to_string().contains("${jwks:"));
    }
}

#[test]
fn pieces_are_the_body_cut() {
    for case in load_all().unwrap() {
        let request = case.request(1_800_000_000).unwrap();
        assert_eq!(
            request.pieces().concat(),
            request.body_bytes(),
            "{}",
            case.name()
        );
    }
}

#[test]
fn a_case_that_saw_nothing_at_all_fails() {
    for case in load_all().unwrap() {
        let request = case.request(1_800_000_000).unwrap();
        assert!(
            case.judge(&request, &Observed::default()).is_err(),
            "{}",
            case.name()
        );
    }
}
