//! The module as a mesh hands it over: through extension config discovery, from `istio/wasmplugin.yaml`.
//!
//! What Istio's control plane makes of that resource is made here (resource, plugin and root names, the policy as
//! JSON text in a StringValue, the environment split by `valueFrom`) and served from a file instead of a stream;
//! where the mesh's agent would put the downloaded module, the built one is named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use postern_envoy_test::bootstrap::{Deployment, Filter, WASM_TYPE};
use postern_envoy_test::client::Call;
use postern_envoy_test::envoy;
use postern_envoy_test::given;
use postern_envoy_test::lanes::Lanes;
use postern_envoy_test::provider::{Behaviour, Gate};
use postern_envoy_test::stage::{Seen, Stage};
use postern_tests::issuer;
use postern_tests::scenario::{Mode, Protocol, Upstream};
use serde_json::{Map, Value, json};

const CHAT: &[u8] = br#"{"model":"gpt-4o","messages":[]}"#;
/// How long Envoy may take to notice a changed file and to try what is in it.
const NOTICED: Duration = Duration::from_secs(60);

/// The WasmPlugin as written, with the key set of the tests' issuer in place of the example's.
fn wasm_plugin() -> Value {
    let path = envoy::root().join("istio/wasmplugin.yaml");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut plugin: Value =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let issuer = &mut plugin["spec"]["pluginConfig"]["issuers"][0];
    assert_eq!(
        issuer["issuer"],
        issuer::CORP,
        "the example's issuer is the one whose keys the tests have"
    );
    let taken: Vec<Value> = issuer["algorithms"].as_array().expect("a list").clone();
    let mut keys = issuer::jwks("corp").expect("the test issuer");
    keys["keys"]
        .as_array_mut()
        .expect("a list")
        .retain(|key| taken.contains(&key["alg"]));
    issuer["jwks"]["inline"] = keys;
    plugin
}

/// `<namespace>.<name>`: what the control plane calls the plugin.
fn plugin_name(plugin: &Value) -> String {
    let metadata = &plugin["metadata"];
    format!(
        "{}.{}",
        metadata["namespace"].as_str().unwrap(),
        metadata["name"].as_str().unwrap()
    )
}

/// The name of the discovered resource, up to Istio 1.29; from 1.30 on it begins with `…/trafficextension/`.
fn resource_name(plugin: &Value, kind: &str) -> String {
    format!("extensions.istio.io/{kind}/{}", plugin_name(plugin))
}

/// What the control plane sends for the plugin.
fn discovery_response(version: &str, resource: &str, plugin: &Value) -> Value {
    let spec = &plugin["spec"];
    let (mut values, mut from_host) = (Map::new(), Vec::new());
    for variable in spec["vmConfig"]["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().expect("a name");
        match variable["valueFrom"].as_str() {
            Some("HOST") => from_host.push(name.to_owned()),
            _ => drop(values.insert(name.to_owned(), variable["value"].clone())),
        }
    }
    let policy = match &spec["pluginConfig"] {
        // A struct crosses as JSON text.
        Value::Object(policy) => Value::Object(policy.clone()).to_string(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    json!({
        "version_info": version,
        "resources": [{
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": resource,
            "typed_config": {
                "@type": WASM_TYPE,
                "config": {
                    "name": plugin_name(plugin),
                    "root_id": spec["pluginName"],
                    "vm_config": {
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": { "local": { "filename": envoy::module() } },
                        "environment_variables": { "host_env_keys": from_host, "key_values": values },
                    },
                    "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy },
                    "failure_policy": spec["failStrategy"],
                },
            },
        }],
    })
}

/// Puts `content` at `path` in one step, as Envoy watches for: it sees the old file or the new one.
fn put(path: &Path, content: &Value) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, content.to_string()).expect("a file under target/");
    fs::rename(&fresh, path).expect("a rename within a folder");
}

struct Mesh {
    stage: Stage,
    file: PathBuf,
    resource: String,
}

impl Mesh {
    fn start(name: &str, kind: &str, plugin: &Value) -> Self {
        Self::start_with(name, kind, plugin, |_| {})
    }

    /// As [`Mesh::start`], with the deployment changed.
    fn start_with(
        name: &str,
        kind: &str,
        plugin: &Value,
        change: impl FnOnce(&mut Deployment),
    ) -> Self {
        let folder = envoy::root()
            .join("target/envoy-test")
            .join(format!("{name}-discovery"));
        fs::create_dir_all(&folder).expect("a folder under target/");
        let file = folder.join("extensions.json");
        let resource = resource_name(plugin, kind);
        put(&file, &discovery_response("1", &resource, plugin));
        let filter = Filter::Discovered {
            resource: resource.clone(),
            file: file.clone(),
        };
        let mut deployment = Deployment::new(Mode::None, filter);
        change(&mut deployment);
        let stage = Stage::set(name, &deployment).unwrap_or_else(|fault| panic!("{fault}"));
        Self {
            stage,
            file,
            resource,
        }
    }

    fn update(&self, version: &str, plugin: &Value) {
        put(
            &self.file,
            &discovery_response(version, &self.resource, plugin),
        );
    }

    fn call(&self, token: &str) -> Seen {
        self.stage
            .call(Protocol::H1, &Call::chat(token, CHAT), &Upstream::default())
            .unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn status(&self) -> u16 {
        let seen = self.call(&given::token());
        seen.record()
            .unwrap_or_else(|fault| panic!("{fault}: {seen:?}"));
        seen.answer.expect("an answer").status
    }

    /// Waits until Envoy's log says `text` after its first `from` lines.
    fn wait_for(&self, from: usize, text: &str) {
        let until = Instant::now() + NOTICED;
        while !self
            .stage
            .envoy
            .log_from(from)
            .iter()
            .any(|line| line.contains(text))
        {
            assert!(
                Instant::now() < until,
                "envoy never said `{text}`: {}",
                self.stage.envoy.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn the_plugin_of_a_mesh_loads_and_guards() {
    let _turn = one_at_a_time();
    for (name, kind) in [
        ("ecds-wasmplugin", "wasmplugin"),
        ("ecds-trafficextension", "trafficextension"),
    ] {
        let mesh = Mesh::start(name, kind, &wasm_plugin());
        let allowed = mesh.call(&given::token());
        assert_eq!(
            allowed.answer.as_ref().map(|answer| answer.status),
            Some(200),
            "{allowed:?}"
        );
        let record = allowed.record().unwrap();
        assert_eq!(
            (&record["decision"], &record["rule"]),
            (&json!("allow"), &json!("research"))
        );
        assert_eq!(
            record["instance"],
            envoy::ENVIRONMENT[0].1,
            "the gateway's own environment, by `valueFrom: HOST`"
        );
        let refused = mesh.call("not.a.token");
        assert_eq!(
            refused.answer.as_ref().map(|answer| answer.status),
            Some(401),
            "{refused:?}"
        );
        assert_eq!(refused.record().unwrap()["decision"], "refuse");
        assert_eq!(mesh.stage.reckoning(), Vec::<String>::new());
    }
}

#[test]
fn a_bad_policy_over_discovery_leaves_the_good_one_serving() {
    let _turn = one_at_a_time();
    let plugin = wasm_plugin();
    let mesh = Mesh::start("ecds-update", "wasmplugin", &plugin);
    assert_eq!(mesh.status(), 200);

    let mut broken = plugin.clone();
    broken["spec"]["pluginConfig"]["rules"][0]["callers"] = json!(["nobody"]);
    let from = mesh.stage.envoy.log_lines();
    mesh.update("2", &broken);
    mesh.wait_for(from, "postern policy: rules[0].callers");
    for _ in 0..5 {
        assert_eq!(mesh.status(), 200, "the good policy serves on");
    }
    assert_eq!(
        mesh.call("not.a.token").answer.map(|answer| answer.status),
        Some(401),
        "and guards on"
    );

    let mut stricter = plugin.clone();
    stricter["spec"]["pluginConfig"]["rules"][0]["models"] = json!(["gpt-4o-mini"]);
    let from = mesh.stage.envoy.log_lines();
    mesh.update("3", &stricter);
    mesh.wait_for(from, " started");
    let until = Instant::now() + NOTICED;
    while mesh.status() != 403 {
        assert!(
            Instant::now() < until,
            "the third policy never came into force"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_policy_that_changes_while_requests_wait_for_keys_loses_none_of_them() {
    let _turn = one_at_a_time();
    // WHY wait so long: the thread that fetches may drop the first policy with its call under way; the others, which keep it
    // as long as a request of it waits, ask again when the lease of that call is over (its time-out and 2 s).
    for (name, hold, opens) in [
        ("ecds-keys-come", "20s", true),
        ("ecds-keys-never-come", "6s", false),
    ] {
        let (provider, gate) = (given::provider(), Gate::default());
        let keys = given::keys(&["corp-rsa"]);
        provider.set("/first", Behaviour::Gated(gate.clone(), keys.clone()));
        provider.set("/second", Behaviour::Answer(keys));
        let with_keys_at = |path: &str| {
            let mut plugin = wasm_plugin();
            let policy = &mut plugin["spec"]["pluginConfig"];
            policy["host"]["holdTimeout"] = json!(hold);
            policy["issuers"][0]["jwks"] = json!({ "remote": {
                "cluster": "idp", "authority": "idp.example.com", "path": path, "timeout": "2s",
            }});
            plugin
        };
        let mesh = Mesh::start_with(name, "wasmplugin", &with_keys_at("/first"), |deployment| {
            deployment.workers = 2;
            deployment.destinations = Some(provider.destinations);
        });
        let lanes = Lanes::open(&mesh.stage, &Call::chat("", CHAT)).unwrap();
        let call = Call::chat(&given::token(), CHAT);
        let token = given::token();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..12).map(|_| scope.spawn(|| mesh.call(&token))).collect();
            let called = provider.await_calls("/first", 1, NOTICED);
            assert_eq!(called.len(), 1, "{name}: keys of the first policy");
            // Two ticks: the requests are there, and wait.
            std::thread::sleep(Duration::from_millis(500));
            assert_eq!(mesh.stage.envoy.access().len(), 0, "{name}: all wait");
            mesh.update("2", &with_keys_at("/second"));
            let called = provider.await_calls("/second", 1, NOTICED);
            assert_eq!(called.len(), 1, "{name}: keys of the second policy");
            // A call that a worker takes before it has the second policy would wait as long as the others.
            std::thread::sleep(Duration::from_millis(500));
            lanes.come_to_say(
                NOTICED,
                &[(
                    call.clone(),
                    given::ALLOWED,
                    "the second policy, with keys of its own",
                )],
            );
            if opens {
                gate.open();
            }
            let expected = if opens {
                given::ALLOWED
            } else {
                given::UNAVAILABLE
            };
            for seen in waiting {
                let seen = seen.join().unwrap();
                let found = given::refusal(&seen);
                assert_eq!(found, (expected.0, expected.1.to_owned()), "{name}");
                seen.record()
                    .unwrap_or_else(|fault| panic!("{name}: {fault}"));
            }
        });
        assert_eq!(mesh.stage.reckoning(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_mesh_that_begins_with_a_bad_policy_lets_nothing_pass() {
    let _turn = one_at_a_time();
    let mut broken = wasm_plugin();
    broken["spec"]["pluginConfig"]["version"] = json!(2);
    let mesh = Mesh::start("ecds-bad-start", "wasmplugin", &broken);
    mesh.wait_for(0, "postern policy: version");
    let seen = mesh
        .stage
        .call(
            Protocol::H1,
            &Call::chat(&given::token(), CHAT),
            &Upstream::default(),
        )
        .unwrap_or_else(|fault| panic!("{fault}"));
    assert!(seen.forwarded.is_empty(), "{seen:?}");
    assert!(
        seen.answer
            .as_ref()
            .is_none_or(|answer| answer.status >= 500),
        "{seen:?}"
    );
}
