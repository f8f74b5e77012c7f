//! `postern check`, as built, over good and bad files: what it prints and how it exits.
//!
//! What is wrong with a policy is tested where it is decided (`config/tests/load.rs`); here it is how a policy gets there from
//! JSON, YAML and a WasmPlugin, that every problem is told with its path, and that the project's own policies load.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod plugin;
mod tool;

use serde_json::{Value, json};
use tool::{Row, hold, minimal, postern, root, sha256, text_of};

#[test]
fn the_projects_own_policies() {
    let rows: &[(&str, &[&str], i32, &str)] = &[
        (
            "config/examples/minimal.yaml",
            &[],
            0,
            "ok (1 route, 1 rule, ",
        ),
        (
            "config/examples/two-tenants.yaml",
            &["--env", "POD_NAME=a"],
            0,
            "ok (2 routes, 3 rules, ",
        ),
        (
            "config/examples/deny-and-open.yaml",
            &[],
            0,
            "ok (3 routes, 5 rules, ",
        ),
        (
            "config/examples/federation.yaml",
            &["--env", "POD_NAME=a"],
            0,
            "ok (2 routes, 2 rules, ",
        ),
        (
            "config/examples/mesh.yaml",
            &["--env", "POD_NAME=a"],
            0,
            "ok (2 routes, 5 rules, ",
        ),
        // POD_NAME is its own, from the proxy's environment.
        ("istio/wasmplugin.yaml", &[], 0, "ok (2 routes, 4 rules, "),
        // The demo puts keys and digests in as it starts: without them nobody could be proved.
        (
            "envoy-test/demo/policy.yaml",
            &["--env", "POD_NAME=a"],
            1,
            "issuers[1].jwks.inline: ",
        ),
    ];
    for (file, more, status, expected) in rows {
        let run = postern(&[&["check", file], *more].concat(), b"");
        assert_eq!(run.status, Some(*status), "{file}: {run:?}");
        // One line that says ok, or one for each of the three values that the demo puts in.
        let lines = if *status == 0 { 1 } else { 3 };
        assert_eq!(run.out.lines().count(), lines, "{file}: {run:?}");
        assert!(
            run.out.starts_with(&format!("{file}: {expected}")),
            "{file}: {run:?}"
        );
        assert_eq!(run.errors, "", "{file}");
    }
    for entry in std::fs::read_dir(root().join("config/examples")).expect("it is there") {
        let name = entry
            .expect("it is read")
            .file_name()
            .into_string()
            .expect("it is UTF-8");
        let file = format!("config/examples/{name}");
        assert!(
            rows.iter().any(|(known, ..)| *known == file),
            "{file} has no row here: an example that nobody loads is not to be trusted"
        );
    }
}

#[test]
fn what_is_read_and_what_is_said() {
    let json = minimal().to_string();
    let yaml = text_of("config/examples/minimal.yaml");
    let twice = json.replacen('{', r#"{"version":1,"#, 1);
    let rows: Vec<Row> = vec![
        (
            "JSON",
            json.clone(),
            &[],
            0,
            vec!["-: ok (1 route, 1 rule, policy sha-256="],
        ),
        (
            "YAML",
            yaml.clone(),
            &[],
            0,
            vec!["-: ok (1 route, 1 rule, policy sha-256="],
        ),
        (
            "each problem is a line with its path",
            yaml.replace("any: [", "every: [")
                .replace("pathPrefix: /v1/", "pathPrefix: /v1"),
            &[],
            1,
            vec![
                "-: callers[0].every: is unknown; known are ",
                "-: callers[0]: needs exactly one of `any` and `all`",
                "-: routes[0].match.pathPrefix: must end in `/`",
            ],
        ),
        (
            "nothing",
            String::new(),
            &[],
            1,
            vec!["-: policy: there is none here"],
        ),
        (
            "only a comment",
            "# later\n---\n".to_owned(),
            &[],
            1,
            vec!["-: policy: there is none here"],
        ),
        (
            "no object",
            "a policy".to_owned(),
            &[],
            1,
            vec!["-: policy: must be an object, not "],
        ),
        (
            "neither YAML",
            "version: [1".to_owned(),
            &[],
            1,
            vec!["-: policy: is not YAML: "],
        ),
        (
            "nor JSON",
            "{\"version\": 1".to_owned(),
            &[],
            1,
            vec!["-: policy: is not strict JSON: "],
        ),
        (
            "a key twice in JSON: readers differ on which one counts",
            twice,
            &[],
            1,
            vec!["-: policy: is not strict JSON: "],
        ),
        (
            "a key twice in YAML",
            format!("{yaml}\nversion: 1\n"),
            &[],
            1,
            vec!["-: policy: is not YAML: duplicate mapping key"],
        ),
        (
            "a number that JSON does not have",
            "version: .nan".to_owned(),
            &[],
            1,
            vec!["-: policy: is not YAML: "],
        ),
        (
            "a tag that nobody knows",
            "version: !one 1".to_owned(),
            &[],
            1,
            vec!["-: policy: is not YAML: "],
        ),
        (
            "`off` is false, as for the tools of Kubernetes, and not a text",
            yaml.replace("name: openai", "name: off"),
            &[],
            1,
            vec!["-: routes[0].name: must be a text, not "],
        ),
        (
            "a name in the file cannot write to the terminal, or begin a line of its own",
            "{\"version\": 1, \"a\\u001b[2Jb\\nFILE: ok\": 1}".to_owned(),
            &[],
            1,
            vec!["-: routes: ", "-: a\\u{1b}[2Jb\\nFILE: ok: is unknown"],
        ),
        (
            "the environment is the arguments'",
            format!("{yaml}\naudit: {{ instance: \"${{POD}}\" }}\n"),
            &["--env", "POD=a=b"],
            0,
            vec!["-: ok "],
        ),
        (
            "and nothing but the arguments': PATH is set for the tool",
            format!("{yaml}\naudit: {{ instance: \"${{PATH}}\" }}\n"),
            &["--env", "POD=a"],
            1,
            vec!["-: audit.instance: the environment of the plugin has no `PATH`"],
        ),
        (
            "several documents: each is named by its number, empty ones do not count",
            format!("---\nkind: ConfigMap\n---\n{yaml}\n---\n---\nversion: 2\n"),
            &[],
            1,
            vec![
                "- (document 1): not checked, a ConfigMap",
                "- (document 2): ok (1 route, 1 rule, ",
                "- (document 3): version: must be 1",
                "- (document 3): routes: needs at least one route",
            ],
        ),
        (
            "only other things: a gate without a policy is not good",
            "kind: ConfigMap\n---\nkind: Gateway\n".to_owned(),
            &[],
            1,
            vec![
                "- (document 1): not checked, a ConfigMap",
                "- (document 2): not checked, a Gateway",
                "-: policy: there is none here",
            ],
        ),
    ];
    hold(rows);
}

#[test]
fn the_digest_is_of_the_json_that_the_module_gets() {
    let json = format!("\n{}\n", minimal());
    let run = postern(&["check", "-"], json.as_bytes());
    let expected = format!(
        "-: ok (1 route, 1 rule, policy sha-256={})\n",
        sha256(&json)
    );
    assert_eq!(run.out, expected, "JSON is taken as it is, byte by byte");

    let made = format!(
        "-: ok (1 route, 1 rule, policy sha-256={} of the JSON made from it)\n",
        sha256(&minimal().to_string())
    );
    let yaml = text_of("config/examples/minimal.yaml");
    assert_eq!(
        postern(&["check", "-"], yaml.as_bytes()).out,
        made,
        "YAML becomes JSON"
    );
    let plugin = plugin::wasm_plugin(|_| {});
    assert_eq!(
        postern(&["check", "-"], plugin.as_bytes()).out,
        made,
        "so does pluginConfig"
    );
}

#[test]
fn verdicts_as_json() {
    let run = postern(
        &[
            "check",
            "--format",
            "json",
            "config/examples/minimal.yaml",
            "-",
            "no/such/file.yaml",
        ],
        b"---\nversion: 2\nroutes: []\n---\nkind: Gateway\n",
    );
    assert_eq!(run.status, Some(2), "the worst of all: {run:?}");
    assert_eq!(run.errors, "", "a program reads one place");
    let seen: Value = serde_json::from_str(&run.out).expect("it is JSON");
    let expected = json!([
        {
            "file": "config/examples/minimal.yaml", "document": null, "outcome": "good", "routes": 1, "rules": 1,
            "policy": format!("sha-256={}", sha256(&minimal().to_string())), "digestOf": "madeJson",
        },
        {
            "file": "-", "document": 1, "outcome": "bad", "problems": [
                { "path": "version", "message": "must be 1, the version of the policy language" },
                { "path": "routes", "message": "needs at least one route: what no route matches is refused" },
            ],
        },
        { "file": "-", "document": 2, "outcome": "notChecked", "kind": "Gateway" },
        { "file": "no/such/file.yaml", "document": null, "outcome": "unread", "reason": seen[3]["reason"] },
    ]);
    assert_eq!(seen, expected);
    assert!(
        seen[3]["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty())
    );
}

#[test]
fn what_cannot_be_read_and_what_is_no_question() {
    let too_long = " ".repeat((16 << 20) + 1);
    let rows: &[(&str, &[&str], &str, &str)] = &[
        (
            "no such file",
            &["check", "no/such/file.yaml"],
            "",
            "no/such/file.yaml: cannot be read: ",
        ),
        (
            "a folder",
            &["check", "config"],
            "",
            "config: cannot be read: ",
        ),
        (
            "without an end",
            &["check", "-"],
            &too_long,
            "-: cannot be read: it is longer than ",
        ),
        ("no file", &["check"], "", "error: "),
        ("no question", &[], "", "Tools for Postern"),
        (
            "an unknown question",
            &["chekc"],
            "",
            "error: unrecognized subcommand 'chekc'",
        ),
        (
            "no variable",
            &["check", "-", "--env", "POD"],
            "",
            "error: invalid value 'POD'",
        ),
        (
            "a variable without a name",
            &["check", "-", "--env", "=a"],
            "",
            "error: invalid value '=a'",
        ),
        (
            "a variable twice: which one counts?",
            &["check", "-", "--env", "A=1", "--env", "A=2"],
            "",
            "error: --env names `A` twice",
        ),
        (
            "an unknown format",
            &["check", "-", "--format", "xml"],
            "",
            "error: invalid value 'xml'",
        ),
    ];
    for (why, arguments, input, expected) in rows {
        let run = postern(arguments, input.as_bytes());
        assert_eq!(run.status, Some(2), "{why}: {run:?}");
        assert_eq!(run.out, "", "{why}");
        assert!(run.errors.starts_with(expected), "{why}: {}", run.errors);
    }
    let run = postern(
        &["check", "no/such/file.yaml", "config/examples/minimal.yaml"],
        b"",
    );
    assert_eq!(
        run.status,
        Some(2),
        "one unread file does not hide the others: {run:?}"
    );
    assert!(
        run.out.starts_with("config/examples/minimal.yaml: ok "),
        "{run:?}"
    );
}

#[test]
fn help_and_version() {
    let help = postern(&["check", "--help"], b"");
    assert_eq!(help.status, Some(0));
    for said in [
        "postern check istio/wasmplugin.yaml",
        "Exit status: ",
        "--env <NAME=VALUE>",
    ] {
        assert!(
            help.out.contains(said),
            "{said:?} is missing in {}",
            help.out
        );
    }
    let git = option_env!("POSTERN_GIT_HASH").unwrap_or("unknown");
    let version = postern(&["--version"], b"");
    assert_eq!(
        version.out,
        format!("postern {} git {git}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(version.status, Some(0));
}
