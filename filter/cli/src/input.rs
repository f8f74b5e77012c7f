//! From a file to the documents in it: a policy, a resource that carries one, or something else.
//!
//! Decided here: what is JSON and what is YAML, and what a document is. JSON is kept byte by byte, because the module gets
//! it so; YAML becomes JSON. Not decided here: whether a policy is good.
//!
//! YAML is read on the strict side: keys that stand twice, unknown tags and numbers that JSON does not have are errors, and
//! `yes`, `no`, `on` and `off` are true and false, as the tools of Kubernetes read them.

use crate::Environment;
use crate::manifest;
use postern_core::json::{Json, MAX_DEPTH};
use serde::Serialize;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most that is read of one file, in bytes: several policies of the greatest length.
const MAX_BYTES: u64 = 16 << 20;

/// Something that is wrong, and where.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    /// The path in the document, as `spec.pluginConfig.rules[3].models`.
    pub(crate) path: String,
    /// What, and what was expected.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// A policy as the module would get it.
#[derive(Debug)]
pub(crate) struct Given {
    /// The JSON text.
    pub(crate) json: Vec<u8>,
    /// Where that text comes from.
    pub(crate) form: Form,
    /// The path of the policy in its document; empty when it is the document.
    pub(crate) place: &'static str,
    /// The plugin's environment.
    pub(crate) environment: Environment,
    /// What is wrong around the policy.
    pub(crate) around: Vec<Finding>,
}

/// Where the JSON text of a policy comes from, and so what its digest is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Form {
    /// The input is the text.
    Input,
    /// The text was made from the input.
    MadeJson,
}

/// What a document turned out to be.
#[derive(Debug)]
pub(crate) enum Content {
    /// A policy.
    Policy(Given),
    /// A resource of this kind, which carries none.
    Other(String),
    /// Nothing that could be understood.
    Faulty(Finding),
}

/// Reads a file; `-` is standard input.
///
/// # Errors
/// What cannot be read, and what is longer than [`MAX_BYTES`].
pub(crate) fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES.saturating_add(1);
    if file.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_BYTES) {
        Ok(bytes)
    } else {
        Err(io::Error::other(format!(
            "it is longer than {MAX_BYTES} bytes"
        )))
    }
}

/// The documents of a file, in order. Empty ones do not count.
pub(crate) fn documents(file: &Path, bytes: Vec<u8>, environment: &Environment) -> Vec<Content> {
    if is_json(file, &bytes) {
        return vec![json(bytes, environment)];
    }
    match yaml(&bytes) {
        Ok(values) => values
            .into_iter()
            .map(|value| yaml_document(value, environment))
            .collect(),
        Err(finding) => vec![Content::Faulty(finding)],
    }
}

/// By the name, and where that says nothing by the first character.
fn is_json(file: &Path, bytes: &[u8]) -> bool {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => true,
        Some("yaml" | "yml") => false,
        Some(_) | None => bytes.trim_ascii_start().starts_with(b"{"),
    }
}

fn json(bytes: Vec<u8>, environment: &Environment) -> Content {
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) if kind(&value).is_some() => match Json::parse(&bytes, MAX_DEPTH) {
            Ok(_) => resource(&value, environment),
            Err(fault) => Content::Faulty(Finding::new(
                "policy",
                format!("is not strict JSON: {fault}"),
            )),
        },
        // What is no JSON at all is for the reader of policies to explain.
        Ok(_) | Err(_) => Content::Policy(policy(bytes, Form::Input, environment)),
    }
}

fn yaml_document(value: Value, environment: &Environment) -> Content {
    if kind(&value).is_some() {
        return resource(&value, environment);
    }
    let json = value.to_string().into_bytes();
    Content::Policy(policy(json, Form::MadeJson, environment))
}

fn policy(json: Vec<u8>, form: Form, environment: &Environment) -> Given {
    Given {
        json,
        form,
        place: "",
        environment: environment.clone(),
        around: Vec::new(),
    }
}

/// The kind of a Kubernetes resource. A policy has no such field.
fn kind(value: &Value) -> Option<&str> {
    value.get("kind")?.as_str()
}

fn resource(value: &Value, environment: &Environment) -> Content {
    match kind(value) {
        Some("WasmPlugin") => Content::Policy(manifest::wasm_plugin(value, environment)),
        other => Content::Other(other.unwrap_or_default().to_owned()),
    }
}

fn yaml(bytes: &[u8]) -> Result<Vec<Value>, Finding> {
    let not = |why: String| Finding::new("policy", format!("is not YAML: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|fault| not(fault.to_string()))?;
    let strict = serde_saphyr::options! { reject_unsupported_tags: true, with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, strict)
        .map_err(|fault| not(fault.render_with_formatter(&serde_saphyr::UserMessageFormatter)))
}
