//! What the tests that are no scenario start from: the scenarios' own policy, changed in named places, a token, a
//! gateway with both, and short ways to what was seen.

use std::sync::OnceLock;

use postern_tests::certificates;
use postern_tests::issuer::{self, TokenSpec};
use postern_tests::scenario::{Answer, ClientTls, Mode, Protocol, TlsVersion, load_all};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::bootstrap::{Deployment, Filter};
use crate::client::Call;
use crate::envoy;
use crate::provider::{Behaviour, Page, Provider};
use crate::stage::{Seen, Stage, now, runtime};

/// A chat that the policy `basic` allows to the caller of [`token`].
pub const CHAT: &[u8] =
    br#"{"model":"gpt-4o","messages":[{"role":"user","content":"SECRET-prompt"}]}"#;

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

/// Where a provider of [`provider`] publishes the keys of the issuer `corp`.
pub const JWKS: &str = "/jwks.json";

/// The policy with the keys of the issuer `corp` behind the cluster `idp` instead of in the policy.
///
/// # Panics
/// When the policy has no such issuer.
#[must_use]
pub fn remote_keys(policy: Value) -> Value {
    let issuers = policy["issuers"].as_array().expect("a list of issuers");
    let at = issuers
        .iter()
        .position(|issuer| issuer["name"] == "corp")
        .expect("the issuer `corp`");
    let remote = json!({
        "cluster": "idp", "authority": "idp.example.com", "path": JWKS,
        "refresh": "5m", "timeout": "2s", "maxStale": "24h",
    });
    changed(
        policy,
        &[(&format!("/issuers/{at}/jwks"), json!({ "remote": remote }))],
    )
}

/// A provider that publishes the keys of the issuer `corp` at [`JWKS`].
///
/// # Panics
/// When the test keys are broken.
#[must_use]
pub fn provider() -> Provider {
    let provider = Provider::start(runtime().handle());
    let keys = issuer::jwks("corp").unwrap_or_else(|fault| panic!("{fault}"));
    provider.set(JWKS, Behaviour::Answer(Page::json(keys)));
    provider
}

/// The policy with an issuer more for each name: it is as `corp`, but for the fields that are given, and whoever may call
/// by `corp` may by it.
///
/// # Panics
/// When the policy has no issuer `corp`, or no callers.
#[must_use]
pub fn with_issuers(mut policy: Value, more: &[(&str, Value)]) -> Value {
    for (name, fields) in more {
        let issuers = policy["issuers"].as_array_mut().expect("a list of issuers");
        let corp = issuers.iter().find(|issuer| issuer["name"] == "corp");
        let mut issuer = corp.expect("the issuer `corp`").clone();
        issuer["name"] = json!(name);
        issuer["issuer"] = json!(issuer_of(name));
        for (field, value) in fields.as_object().expect("fields") {
            issuer[field] = value.clone();
        }
        issuers.push(issuer);
        let conditions = policy["callers"][0]["any"].as_array_mut();
        conditions
            .expect("callers of which any will do")
            .push(json!({ "issuer": name, "roles": ["researcher"] }));
    }
    policy
}

/// The `iss` of an issuer of [`with_issuers`].
#[must_use]
pub fn issuer_of(name: &str) -> String {
    format!("https://{name}.example.com")
}

/// A chat with a token of an issuer of [`with_issuers`], otherwise as `spec` says.
///
/// # Panics
/// When the test keys are broken.
#[must_use]
pub fn chat_by(name: &str, spec: &TokenSpec) -> Call {
    let mut spec = spec.clone();
    spec.claims.insert("iss".into(), json!(issuer_of(name)));
    chat(&spec)
}

/// A chat with this token.
///
/// # Panics
/// When the test keys are broken.
#[must_use]
pub fn chat(spec: &TokenSpec) -> Call {
    let token = issuer::token(spec, now()).unwrap_or_else(|fault| panic!("{fault}"));
    Call::chat(&token, CHAT)
}

/// A token that `key` signs.
#[must_use]
pub fn signed_by(key: &str, alg: &str) -> TokenSpec {
    TokenSpec {
        key: key.into(),
        alg: alg.into(),
        ..TokenSpec::default()
    }
}

/// A page with those keys of the issuer `corp`.
///
/// # Panics
/// When the test keys are broken.
#[must_use]
pub fn keys(kids: &[&str]) -> Page {
    let all = issuer::jwks("corp").unwrap_or_else(|fault| panic!("{fault}"));
    let keys = all["keys"].as_array().expect("a list of keys").iter();
    let keys = keys.filter(|key| kids.iter().any(|kid| key["kid"] == *kid));
    Page::json(json!({ "keys": keys.collect::<Vec<_>>() }))
}

/// How a call is let pass, as [`refused`] says it.
pub const ALLOWED: (u16, &str) = (200, "no code");
/// How a call is refused for want of keys, or of a list of revoked tokens.
pub const UNAVAILABLE: (u16, &str) = (503, "keys_unavailable");

/// A gateway of two workers that can call `provider`, and must start.
///
/// # Panics
/// When it does not, with its log.
#[must_use]
pub fn two_workers(name: &str, mode: Mode, policy: &Value, provider: &Provider) -> Stage {
    let mut deployment = deployment(mode, policy);
    deployment.workers = 2;
    deployment.destinations = Some(provider.destinations);
    set(name, &deployment)
}

/// A TLS 1.3 connection with the certificate of this name.
///
/// # Panics
/// When there is no such certificate.
#[must_use]
pub fn peer(name: &str) -> ClientTls {
    let certificate = certificates::by_name(name).unwrap_or_else(|| panic!("no {name}"));
    ClientTls {
        certificate: Some(certificate),
        version: TlsVersion::V1_3,
    }
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

/// The module under test with a policy, in the listener's own configuration.
#[must_use]
pub fn deployment(mode: Mode, policy: &Value) -> Deployment {
    let filter = Filter::Inline {
        module: envoy::module(),
        policy: policy.to_string(),
    };
    Deployment::new(mode, filter)
}

/// A gateway that must start.
///
/// # Panics
/// When it does not, with its log.
#[must_use]
pub fn set(name: &str, deployment: &Deployment) -> Stage {
    Stage::set(name, deployment).unwrap_or_else(|fault| panic!("{fault}"))
}

/// One gateway a mode for all tests of a process that need nothing special: bodies up to 32 MiB, holds end after 1 s.
///
/// # Panics
/// When it does not start.
pub fn shared(suite: &str, mode: Mode) -> &'static Stage {
    static STAGES: [OnceLock<Stage>; 3] = [const { OnceLock::new() }; 3];
    let place = match mode {
        Mode::Flag => &STAGES[0],
        Mode::Buffer => &STAGES[1],
        Mode::None => &STAGES[2],
    };
    place.get_or_init(|| {
        let changes = [
            ("/host/holdTimeout", json!("1s")),
            ("/routes/0/body", json!({ "maxBytes": "32MiB" })),
        ];
        let policy = changed(policy(mode), &changes);
        set(&format!("{suite}-{mode}"), &deployment(mode, &policy))
    })
}

/// Each mode with each protocol.
pub fn every_way() -> impl Iterator<Item = (Mode, Protocol)> {
    Mode::ALL.into_iter().flat_map(|mode| {
        Protocol::ALL
            .into_iter()
            .map(move |protocol| (mode, protocol))
    })
}

/// The one record of a call, once the gateway is found healthy after it.
///
/// # Panics
/// When there is not exactly one record, or the gateway is not healthy.
#[must_use]
pub fn record(stage: &Stage, seen: &Seen, what: &str) -> Value {
    let record = seen
        .record()
        .unwrap_or_else(|fault| panic!("{what}: {fault}"));
    let ailments = stage.envoy.ailments();
    assert!(ailments.is_empty(), "{what}: {ailments:?}");
    record
}

/// The status and the code of a refusal.
#[must_use]
pub fn refusal(seen: &Seen) -> (u16, String) {
    match &seen.answer {
        Some(answer) => refused(answer),
        None => (0, "no answer".into()),
    }
}

/// The status and the code of an answer.
#[must_use]
pub fn refused(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (
        answer.status,
        body["error"]["code"]
            .as_str()
            .unwrap_or("no code")
            .to_owned(),
    )
}

/// The digest of a body as a record writes it.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha-256={hex}")
}
