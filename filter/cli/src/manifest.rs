//! What an Istio WasmPlugin hands to the module: the policy, and the environment in which it is read.
//!
//! Decided here: which parts of the resource reach the module, and which of them would open or block the gate however good
//! the policy is. Not decided here: whether the API server takes the resource.

use crate::Environment;
use crate::input::{Finding, Form, Given};
use serde_json::Value;

/// Where the policy stands.
const PLACE: &str = "spec.pluginConfig";

/// Reads a WasmPlugin. `host` says what variables of the proxy's own environment hold.
pub(crate) fn wasm_plugin(resource: &Value, host: &Environment) -> Given {
    let mut around = Vec::new();
    let part = |path: &[&str]| {
        path.iter()
            .try_fold(resource, |value, name| value.get(name))
    };
    let policy = part(&["spec", "pluginConfig"]);
    if part(&["spec", "failStrategy"]).is_some_and(|strategy| strategy == "FAIL_OPEN") {
        around.push(Finding::new(
            "spec.failStrategy",
            "FAIL_OPEN lets every request pass unchecked once the module fails; use FAIL_RELOAD, or FAIL_CLOSE",
        ));
    }
    let head_hold = policy.and_then(|policy| policy.get("host")?.get("headHold"));
    if head_hold.is_some_and(|named| named == "flag") {
        around.push(Finding::new(
            format!("{PLACE}.host.headHold"),
            "a WasmPlugin cannot set the flag that `flag` needs, so every request with a body would wait in vain; \
             use `none`, or an EnvoyFilter that adds the filter with the flag",
        ));
    }
    let environment = match part(&["spec", "vmConfig", "env"]) {
        Some(listed) => environment(listed, host, &mut around),
        None => Environment::new(),
    };
    Given {
        json: policy
            .map(|policy| policy.to_string().into_bytes())
            .unwrap_or_default(),
        form: Form::MadeJson,
        place: PLACE,
        environment,
        around,
    }
}

/// `vmConfig.env`. These variables and no others reach the module.
fn environment(listed: &Value, host: &Environment, around: &mut Vec<Finding>) -> Environment {
    const PATH: &str = "spec.vmConfig.env";
    let Some(entries) = listed.as_array() else {
        around.push(Finding::new(PATH, "must be a list"));
        return Environment::new();
    };
    let mut environment = Environment::new();
    for (index, entry) in entries.iter().enumerate() {
        match variable(entry, host) {
            Ok((name, _)) if environment.contains_key(&name) => around.push(Finding::new(
                format!("{PATH}[{index}].name"),
                format!("`{name}` stands twice"),
            )),
            Ok((name, value)) => {
                environment.insert(name, value);
            }
            Err((field, message)) => {
                around.push(Finding::new(format!("{PATH}[{index}].{field}"), message));
            }
        }
    }
    environment
}

/// Name and value of one variable, or which of its fields is wrong and why.
fn variable(
    entry: &Value,
    host: &Environment,
) -> Result<(String, String), (&'static str, &'static str)> {
    let field = |name: &'static str| match entry.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err((name, "must be a text")),
    };
    let name = match field("name")? {
        Some("") | None => return Err(("name", "is required")),
        Some(name) => name,
    };
    let value = field("value")?;
    let value = match (field("valueFrom")?, value) {
        (Some("INLINE") | None, value) => value.unwrap_or_default().to_owned(),
        (Some("HOST"), None) => match host.get(name) {
            Some(value) => value.clone(),
            // It is known to be there once the proxy runs, and not what it is.
            None => format!("<{name} of the proxy>"),
        },
        (Some("HOST"), Some(_)) => return Err(("value", "a variable from HOST takes no value")),
        (Some(_), _) => return Err(("valueFrom", "must be INLINE or HOST")),
    };
    Ok((name.to_owned(), value))
}
