//! What a WasmPlugin hands to the module, and what around it opens or blocks the gate.

use crate::tool::{Row, hold, minimal};
use serde_json::{Value, json};

/// A WasmPlugin around a policy, changed.
pub(crate) fn wasm_plugin(change: impl FnOnce(&mut Value)) -> String {
    let mut plugin = json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": { "name": "postern" },
        "spec": { "pluginConfig": minimal() },
    });
    change(&mut plugin["spec"]);
    plugin.to_string()
}

#[test]
fn what_a_wasm_plugin_hands_over() {
    let flag = |spec: &mut Value| spec["pluginConfig"]["host"] = json!({ "headHold": "flag" });
    let named = |spec: &mut Value| {
        spec["pluginConfig"]["audit"] = json!({ "instance": "${POD}" });
        spec["vmConfig"] = json!({ "env": [{ "name": "POD", "value": "a" }] });
    };
    let plugin_twice = wasm_plugin(|_| {}).replacen('{', r#"{"kind":"WasmPlugin","#, 1);
    let rows: Vec<Row> = vec![
        (
            "a WasmPlugin, as JSON",
            wasm_plugin(|_| {}),
            &[],
            0,
            vec!["-: ok (1 route, 1 rule, "],
        ),
        (
            "its environment is its own",
            wasm_plugin(named),
            &[],
            0,
            vec!["-: ok "],
        ),
        (
            "and only its own: what it does not name never reaches the module",
            wasm_plugin(|spec| spec["pluginConfig"]["audit"] = json!({ "instance": "${POD}" })),
            &["--env", "POD=a"],
            1,
            vec!["-: spec.pluginConfig.audit.instance: the environment of the plugin has no `POD`"],
        ),
        (
            "a variable of the host counts as set",
            wasm_plugin(|spec| {
                named(spec);
                spec["vmConfig"]["env"] = json!([{ "name": "POD", "valueFrom": "HOST" }]);
            }),
            &[],
            0,
            vec!["-: ok "],
        ),
        (
            "unless it is said to be empty",
            wasm_plugin(|spec| {
                named(spec);
                spec["vmConfig"]["env"] = json!([{ "name": "POD", "valueFrom": "HOST" }]);
            }),
            &["--env", "POD="],
            1,
            vec!["-: spec.pluginConfig.audit.instance: is empty once expanded"],
        ),
        (
            "each odd variable is told",
            wasm_plugin(|spec| {
                spec["vmConfig"] = json!({ "env": [
                    { "value": "a" },
                    { "name": "A", "value": 1 },
                    { "name": "B", "valueFrom": "SECRET" },
                    { "name": "C", "valueFrom": "HOST", "value": "c" },
                    { "name": "D" },
                    { "name": "D" },
                ] });
            }),
            &[],
            1,
            vec![
                "-: spec.vmConfig.env[0].name: is required",
                "-: spec.vmConfig.env[1].value: must be a text",
                "-: spec.vmConfig.env[2].valueFrom: must be INLINE or HOST",
                "-: spec.vmConfig.env[3].value: a variable from HOST takes no value",
                "-: spec.vmConfig.env[5].name: `D` stands twice",
            ],
        ),
        (
            "a WasmPlugin without a policy",
            wasm_plugin(|spec| *spec = json!({ "url": "file:///x.wasm" })),
            &[],
            1,
            vec!["-: spec.pluginConfig: is empty"],
        ),
        (
            "a good policy behind an open gate",
            wasm_plugin(|spec| spec["failStrategy"] = json!("FAIL_OPEN")),
            &[],
            1,
            vec!["-: spec.failStrategy: FAIL_OPEN lets every request pass unchecked"],
        ),
        (
            "a mode that no WasmPlugin can have",
            wasm_plugin(flag),
            &[],
            1,
            vec!["-: spec.pluginConfig.host.headHold: a WasmPlugin cannot set the flag"],
        ),
        (
            "the same policy in an Envoy that has the flag",
            {
                let mut policy = minimal();
                policy["host"] = json!({ "headHold": "flag" });
                policy.to_string()
            },
            &[],
            0,
            vec!["-: ok "],
        ),
        (
            "problems inside of a WasmPlugin have their whole path",
            wasm_plugin(|spec| spec["pluginConfig"]["version"] = json!(2)),
            &[],
            1,
            vec!["-: spec.pluginConfig.version: must be 1"],
        ),
        (
            "a key twice in the resource",
            plugin_twice,
            &[],
            1,
            vec!["-: policy: is not strict JSON: "],
        ),
    ];
    hold(rows);
}
