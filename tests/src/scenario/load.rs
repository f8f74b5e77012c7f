//! Reading the scenario files and policies, and laying them out as cases.
//!
//! A file that does not load is an error and never a file left out; so is a scenario that runs nowhere, a name used
//! twice, and a value by mode that leaves out a mode in which the scenario runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::model::{Each, Expect, Policy, Scenario};
use super::{Case, Request};
use crate::issuer;

/// Why the scenarios cannot be loaded: the file and what is wrong.
#[derive(Debug)]
pub struct LoadFault {
    place: String,
    why: String,
}

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl std::error::Error for LoadFault {}

fn fault(place: impl fmt::Display, why: impl fmt::Display) -> LoadFault {
    LoadFault {
        place: place.to_string(),
        why: why.to_string(),
    }
}

/// Every case of every file under `tests/scenarios`, in the order of the files.
///
/// # Errors
/// The first file, policy or scenario that is not well made.
pub fn load_all() -> Result<Vec<Case>, LoadFault> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let policies = policies(&folder.join("policies"))?;
    let mut cases = Vec::new();
    for path in yaml_files(&folder)? {
        cases.extend(file(&path, &policies)?);
    }
    if cases.is_empty() {
        return Err(fault(folder.display(), "no scenario at all"));
    }
    Ok(cases)
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>, LoadFault> {
    let entries = std::fs::read_dir(folder).map_err(|e| fault(folder.display(), e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| fault(folder.display(), e))?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn yaml(path: &Path) -> Result<Value, LoadFault> {
    let text = std::fs::read_to_string(path).map_err(|e| fault(path.display(), e))?;
    serde_saphyr::from_str(&text).map_err(|e| fault(path.display(), e))
}

fn policies(folder: &Path) -> Result<BTreeMap<String, Arc<Policy>>, LoadFault> {
    let mut policies = BTreeMap::new();
    for path in yaml_files(folder)? {
        let name = stem(&path);
        let value = with_key_sets(yaml(&path)?).map_err(|e| fault(path.display(), e))?;
        policies.insert(name.clone(), Arc::new(Policy { name, value }));
    }
    Ok(policies)
}

/// Replaces the text `${jwks:NAME}` by the key set of that issuer, wherever it stands.
fn with_key_sets(value: Value) -> Result<Value, issuer::IssuerFault> {
    Ok(match value {
        Value::String(text) => match text
            .strip_prefix("${jwks:")
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(name) => issuer::jwks(name)?,
            None => Value::String(text),
        },
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .map(with_key_sets)
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| Ok((name, with_key_sets(value)?)))
                .collect::<Result<_, _>>()?,
        ),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    })
}

fn file(path: &Path, policies: &BTreeMap<String, Arc<Policy>>) -> Result<Vec<Case>, LoadFault> {
    let Value::Object(mut members) = yaml(path)? else {
        return Err(fault(path.display(), "not a map"));
    };
    let policy = members.remove("policy");
    let scenarios = members.remove("scenarios");
    if let Some(name) = members.keys().next() {
        return Err(fault(path.display(), format!("unknown field `{name}`")));
    }
    let policy = policy
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|name| policies.get(name))
        .ok_or_else(|| {
            fault(
                path.display(),
                "`policy` names no file of tests/scenarios/policies",
            )
        })?;
    let Some(Value::Array(scenarios)) = scenarios else {
        return Err(fault(path.display(), "`scenarios` is not a list"));
    };
    let label: Arc<str> = stem(path).into();
    let mut names = BTreeSet::new();
    let mut cases = Vec::new();
    for value in scenarios {
        let name = value["name"].as_str().unwrap_or("(no name)").to_owned();
        let place = format!("{}: {name}", path.display());
        let scenario: Scenario = serde_json::from_value(value).map_err(|e| fault(&place, e))?;
        check(&scenario).map_err(|why| fault(&place, why))?;
        if !names.insert(name) {
            return Err(fault(&place, "this name stands twice"));
        }
        let scenario = Arc::new(scenario);
        for mode in &scenario.modes {
            for protocol in &scenario.protocols {
                cases.push(Case {
                    file: Arc::clone(&label),
                    scenario: Arc::clone(&scenario),
                    policy: Arc::clone(policy),
                    mode: *mode,
                    protocol: *protocol,
                });
            }
        }
    }
    Ok(cases)
}

/// What a type does not say about a scenario.
fn check(scenario: &Scenario) -> Result<(), String> {
    if scenario.modes.is_empty() || scenario.protocols.is_empty() {
        return Err("it runs in no mode or over no protocol".to_owned());
    }
    if scenario.why.trim().is_empty() {
        return Err("it does not say why".to_owned());
    }
    Request::make(scenario, &scenario.name, 1_800_000_000).map_err(|e| e.to_string())?;
    let Expect {
        status,
        code,
        headers,
        cut,
        upstream,
        upstream_path,
        upstream_headers,
        upstream_trailers,
        details,
        record,
        released: _,
    } = &scenario.expect;
    covers(scenario, "status", status)?;
    covers(scenario, "upstream", upstream)?;
    if let Some(path) = upstream_path {
        covers(scenario, "upstream_path", path)?;
    }
    if let Some(code) = code {
        covers(scenario, "code", code)?;
    }
    if let Some(cut) = cut {
        covers(scenario, "cut", cut)?;
    }
    if let Some(details) = details {
        covers(scenario, "details", details)?;
    }
    for (name, each) in headers
        .iter()
        .chain(upstream_headers)
        .chain(upstream_trailers)
    {
        covers(scenario, name, each)?;
    }
    for (name, each) in record {
        covers(scenario, name, each)?;
    }
    Ok(())
}

fn covers<T>(scenario: &Scenario, field: &str, each: &Each<T>) -> Result<(), String> {
    match scenario.modes.iter().find(|mode| each.of(**mode).is_none()) {
        Some(mode) => Err(format!("expect `{field}` says nothing for mode {mode}")),
        None => Ok(()),
    }
}
