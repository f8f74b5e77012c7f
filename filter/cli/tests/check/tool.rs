//! Running the built tool, and what to run it on.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

/// Runs the tool at the root of the project.
pub(crate) fn postern(arguments: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // A child that does not read its input closes it: that is no fault of this test.
    let _ = child.stdin.take().expect("it is piped").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    Run {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).expect("it prints UTF-8"),
        errors: String::from_utf8(output.stderr).expect("it prints UTF-8"),
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn text_of(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

pub(crate) fn minimal() -> Value {
    serde_saphyr::from_str(&text_of("config/examples/minimal.yaml")).expect("it is YAML")
}

pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Why, the input, more arguments, the exit status, and the beginning of each line that is printed.
pub(crate) type Row<'a> = (&'a str, String, &'a [&'a str], i32, Vec<&'a str>);

/// Holds `postern check -` against rows.
pub(crate) fn hold(rows: Vec<Row<'_>>) {
    for (why, input, more, status, expected) in rows {
        let run = postern(&[&["check", "-"], more].concat(), input.as_bytes());
        assert_eq!(run.status, Some(status), "{why}: {run:?}");
        let lines: Vec<&str> = run.out.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{why}: {lines:#?}");
        for (line, beginning) in lines.iter().zip(expected) {
            assert!(
                line.starts_with(beginning),
                "{why}: expected {beginning:?} in {lines:#?}"
            );
        }
        assert_eq!(run.errors, "", "{why}");
    }
}
