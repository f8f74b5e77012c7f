//! How the gateway starts with a policy, and that it does not with a broken one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic here is a failed test and reaches no traffic"
)]

use postern_envoy_test::bootstrap::{Deployment, Filter};
use postern_envoy_test::envoy::{self, NotStarted};
use postern_envoy_test::given;
use postern_envoy_test::stage::Stage;
use postern_tests::scenario::Mode;
use serde_json::json;
use sha2::{Digest as _, Sha256};

fn start(name: &str, policy: &str) -> Result<Stage, NotStarted> {
    let filter = Filter::Inline {
        module: envoy::module(),
        policy: policy.to_owned(),
    };
    Stage::set(name, &Deployment::new(Mode::None, filter))
}

#[test]
fn a_broken_policy_does_not_load_and_says_every_problem_with_its_path() {
    let broken = given::changed(
        given::policy(Mode::None),
        &[
            ("/version", json!(2)),
            ("/issuers/0/audiences", json!([])),
            ("/issuers/1/leeway", json!("-1s")),
            ("/rules/0/callers", json!(["nobody"])),
            ("/rules/1/whenn", json!("true")),
            ("/routes/1/body/maxBytes", json!(0)),
        ],
    );
    let fault = start("broken", &broken.to_string()).expect_err("a broken policy must not load");
    assert!(fault.code.is_some_and(|code| code != 0), "{fault}");
    for path in [
        "version",
        "issuers[0].audiences",
        "issuers[1].leeway",
        "rules[0].callers",
        "rules[1].whenn",
        "routes[1].body.maxBytes",
    ] {
        let said = format!("postern policy: {path}");
        assert!(fault.log.contains(&said), "nothing says `{said}`: {fault}");
    }
}

#[test]
fn what_is_no_policy_at_all_does_not_load() {
    for (name, text, why) in [
        ("empty", "", "no configuration: a mesh hands over size 0"),
        ("text", "version: 1", "YAML is not JSON"),
        ("list", "[]", "a policy is an object"),
        (
            "twice",
            r#"{"version":1,"version":1}"#,
            "which of the two would count?",
        ),
        ("cut", r#"{"version":1"#, "cut short"),
    ] {
        let fault = start(&format!("broken-{name}"), text).map(|_| ());
        let fault = fault.expect_err(why);
        assert!(fault.code.is_some_and(|code| code != 0), "{why}: {fault}");
        assert!(fault.log.contains("postern policy: "), "{why}: {fault}");
    }
}

#[test]
fn the_start_says_version_build_and_policy() {
    let policy = given::policy(Mode::None).to_string();
    let stage = start("starting", &policy).unwrap_or_else(|fault| panic!("{fault}"));
    let log = stage.envoy.log();
    let line = log
        .lines()
        .find(|line| line.contains(" git "))
        .unwrap_or_else(|| panic!("no start-up line: {log}"));
    let words: Vec<&str> = line
        .split([' ', ','])
        .skip_while(|word| *word != "postern")
        .collect();
    // postern <version> git <hash> policy <sha256> started
    let [_, version, "git", hash, "policy", digest, "started", ..] = words.as_slice() else {
        panic!("{line}")
    };
    assert_eq!(*version, env!("CARGO_PKG_VERSION"), "{line}");
    assert!(!hash.is_empty(), "{line}");
    let expected: String = Sha256::digest(&policy)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        *digest, expected,
        "the digest is of the policy as it was handed over: {line}"
    );
}
