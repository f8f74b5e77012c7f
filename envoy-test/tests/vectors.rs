//! Published vectors on the real gateway: Project Wycheproof against the gateway's own check of signatures, in a module that runs them
//! all, and whole tokens, the RFCs' and Wycheproof's, against the product, which must refuse each as the core alone does.
//!
//! What was counted is left in target/envoy-test/vectors.txt and vectors-tokens.txt, and is what the vectors' README.md says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use postern_core::audit::Ids;
use postern_core::peer::Connection;
use postern_core::policy::Policy;
use postern_core::stream::{Effect, Event, Ground, Stream};
use postern_core::token::vectors::FILES;
use postern_core::token::{Crypto, Memory};
use postern_envoy_test::bootstrap::{Deployment, Filter};
use postern_envoy_test::client::{self, Call};
use postern_envoy_test::stage::{Stage, fresh_case, now, runtime};
use postern_envoy_test::{envoy, given};
use postern_tests::scenario::{Mode, Protocol, Upstream, gateway};
use serde_json::{Value, json};

/// The most that one file may take on a busy machine: 8192 bits of RSA in the module take longest.
const FILE: Duration = Duration::from_secs(240);
const README: &str = include_str!("../../tests/vectors/wycheproof/README.md");
const JWS: &str = include_str!("../../tests/vectors/wycheproof/json_web_signature_test.json");
const RFCS: &str = include_str!("../../tests/vectors/jose/rfc-signatures.json");

/// The module of the vectors, as `envoy-test/setup/vectors` leaves it.
fn module() -> PathBuf {
    envoy::root().join("target/vectors.wasm")
}

/// One gateway with that module for all tests.
fn runner() -> &'static Stage {
    static RUNNER: OnceLock<Stage> = OnceLock::new();
    RUNNER.get_or_init(|| {
        let filter = Filter::Inline {
            module: module(),
            policy: String::new(),
        };
        given::set("vectors", &Deployment::new(Mode::None, filter))
    })
}

/// What the module answers to a path.
fn told(path: &str) -> Value {
    let mut call = Call::chat("", b"");
    (call.method, call.path, call.body) = ("GET".into(), path.into(), None);
    call.headers.clear();
    let to = runner().envoy.listener("to_h1");
    let answer = runtime().block_on(async {
        let call = client::call(Protocol::H1, fresh_case(), to, &call);
        tokio::time::timeout(FILE, call).await
    });
    let answer = answer.expect("an answer in time").unwrap().unwrap();
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|fault| panic!("{path}: {fault}: {body}"))
}

/// Leaves lines in a file under target/envoy-test.
fn leave(name: &str, lines: &[String]) {
    let path = envoy::root().join("target/envoy-test").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

#[test]
fn the_real_gateway_earns_all_that_it_is_asked_for() {
    let all = json!(["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]);
    assert_eq!(told("/"), all);
    let log = runner().envoy.log();
    assert!(log.contains("vectors, signatures by the gateway"), "{log}");
}

#[test]
fn every_vector_has_the_same_verdict_inside_of_the_gateway() {
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for file in FILES {
        let told = told(&format!("/{}", file.name));
        rows.push(told["row"].as_str().unwrap().to_owned());
        let found = told["faults"].as_array().unwrap();
        faults.extend(found.iter().map(ToString::to_string));
    }
    leave("vectors.txt", &rows);
    assert_eq!(faults, [] as [String; 0]);
    // What the module was built with could be old.
    for row in &rows {
        assert!(README.contains(row), "README.md does not say: {row}");
    }
    assert_eq!(runner().envoy.ailments(), [] as [String; 0]);
}

/// The product is built without the vectors; the module of the vectors shows that this is how to see it.
#[test]
fn the_product_holds_no_vectors() {
    let [product, vectors] = [envoy::module(), module()].map(|path| std::fs::read(path).unwrap());
    for file in FILES {
        let name = file.name.as_bytes();
        let holds = |module: &[u8]| module.windows(name.len()).any(|part| part == name);
        assert!(holds(&vectors), "{}", file.name);
        assert!(!holds(&product), "{}", file.name);
    }
}

/// The core, natively, with RustCrypto alone and nothing remembered between requests.
struct Native {
    policy: Policy,
    crypto: Crypto,
    ids: Ids,
}

/// The policy as the core reads it.
fn load(policy: &Value) -> Result<Policy, String> {
    let environment: BTreeMap<String, String> = gateway::ENVIRONMENT
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    postern_config::load(policy.to_string().as_bytes(), &environment).map_err(|problems| {
        problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect()
    })
}

impl Native {
    fn new(policy: &Value) -> Self {
        Self {
            policy: load(policy).unwrap_or_else(|problems| panic!("{problems}")),
            crypto: Crypto::rust_crypto().unwrap(),
            ids: Ids::new([7; 8]),
        }
    }

    /// The status and the code of the refusal that the head alone brings; none when the head is not refused.
    fn refusal(&mut self, call: &Call) -> Option<(u16, String)> {
        let length = call.body_bytes().len().to_string();
        let mut pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", call.method.as_bytes()),
            (b":scheme", b"http"),
            (b":authority", call.host.as_bytes()),
            (b":path", call.path.as_bytes()),
            (b"content-length", length.as_bytes()),
        ];
        // RFC 9110 section 5.5: white space around a value is none of it.
        let headers = call.headers.iter();
        pairs.extend(headers.map(|(name, value)| (name.as_bytes(), value.trim_ascii())));
        let mut memory = Memory::default();
        let mut ground = Ground {
            policy: &self.policy,
            memory: &mut memory,
            crypto: self.crypto,
        };
        let now = now() * 1000;
        let head = Event::RequestHead {
            pairs: &pairs,
            connection: &Connection::default(),
            end: false,
        };
        let (_, step) = Stream::new(self.ids.draw(), now).on(head, now, &mut ground);
        step.effects.into_iter().find_map(|effect| match effect {
            Effect::Answer(answer) => {
                let code = answer.details.strip_prefix("postern.");
                Some((answer.status, code.unwrap_or_default().to_owned()))
            }
            _ => None,
        })
    }
}

/// Product and core under one policy.
struct Both {
    stage: Stage,
    native: Native,
}

impl Both {
    fn set(name: &str, policy: &Value) -> Self {
        let stage = given::set(name, &given::deployment(Mode::None, policy));
        let log = stage.envoy.log();
        assert!(log.contains("signatures by the gateway"), "{log}");
        Self {
            stage,
            native: Native::new(policy),
        }
    }

    /// How product and core refuse a bearer token: alike, before anything reaches upstream, with one record.
    fn refusal(&mut self, token: &str, what: &str) -> String {
        let call = Call::chat(token, given::CHAT);
        let seen = self
            .stage
            .call(Protocol::H1, &call, &Upstream::default())
            .unwrap_or_else(|fault| panic!("{what}: {fault}"));
        let refused = given::refusal(&seen);
        assert_eq!(refused.0, 401, "{what}: {refused:?}");
        assert_eq!(
            Some(&refused),
            self.native.refusal(&call).as_ref(),
            "{what}"
        );
        assert!(seen.forwarded.is_empty(), "{what}: it reached upstream");
        let record = seen
            .record()
            .unwrap_or_else(|fault| panic!("{what}: {fault}"));
        assert_eq!(record["decision"], "refuse", "{what}: {record}");
        refused.1
    }
}

/// The policy `basic` with more issuers.
fn with_issuers(more: &[Value]) -> Value {
    let policy = given::policy(Mode::None);
    let mut issuers = policy["issuers"].as_array().unwrap().clone();
    issuers.extend_from_slice(more);
    given::changed(policy, &[("/issuers", json!(issuers))])
}

fn issuer(name: &str, iss: &str, algorithms: &[&str], keys: &[Value]) -> Value {
    json!({
        "name": name, "issuer": iss, "audiences": ["inference"], "algorithms": algorithms,
        "jwks": { "inline": { "keys": keys } },
    })
}

/// A token of the RFCs, and its key with an id, as a set of several keys needs.
fn published(source: &str) -> (String, Value) {
    let all: Value = serde_json::from_str(RFCS).unwrap();
    let vectors = all["vectors"].as_array().unwrap();
    let found = vectors.iter().find(|vector| vector["source"] == source);
    let vector = found.unwrap_or_else(|| panic!("no vector {source}"));
    let mut key = vector["key"].clone();
    key["kid"] = source.into();
    (vector["jws"].as_str().unwrap().to_owned(), key)
}

/// The token with the first letter of its signature changed.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut letters = signature.chars();
    let other = if letters.next() == Some('A') {
        'B'
    } else {
        'A'
    };
    format!("{signed}.{other}{}", letters.as_str())
}

const A1: &str = "RFC 7515 appendix A.1, RFC 7519 section 3.1";
const A2: &str = "RFC 7515 appendix A.2";
const A3: &str = "RFC 7515 appendix A.3";
const A4: &str = "RFC 7515 appendix A.4";
const ED: &str = "RFC 8037 appendix A.4";

/// They expired in 2011, which is found only behind a good signature; a forged one is found first.
#[test]
fn the_tokens_of_the_rfcs_are_good_and_expired() {
    let keys = [A2, A3, A4, ED].map(|source| published(source).1);
    let joe = issuer("joe", "joe", &["RS256", "ES256", "ES512", "EdDSA"], &keys);
    let secret = issuer("joe", "joe", &["HS256"], &[published(A1).1]);
    let mut signed = Both::set("vectors-rfc", &with_issuers(&[joe]));
    let mut shared = Both::set("vectors-rfc-secret", &with_issuers(&[secret]));
    for (source, under_keys, under_secret, forged_under, why) in [
        (
            A2,
            "token_expired",
            "token_algorithm",
            "token_signature",
            "RS256",
        ),
        (
            A3,
            "token_expired",
            "token_algorithm",
            "token_signature",
            "ES256",
        ),
        (
            A1,
            "token_algorithm",
            "token_expired",
            "token_signature",
            "HS256",
        ),
        (
            A4,
            "token_malformed",
            "token_malformed",
            "token_malformed",
            "ES512 over no claims",
        ),
        (
            ED,
            "token_malformed",
            "token_malformed",
            "token_malformed",
            "EdDSA over no claims",
        ),
    ] {
        let (token, _) = published(source);
        let what = format!("{source}, {why}");
        assert_eq!(signed.refusal(&token, &what), under_keys, "{what}");
        assert_eq!(
            shared.refusal(&token, &what),
            under_secret,
            "{what}, secret"
        );
        let both = if source == A1 {
            &mut shared
        } else {
            &mut signed
        };
        assert_eq!(
            both.refusal(&forged(&token), &what),
            forged_under,
            "{what}, forged"
        );
    }
    for both in [&signed, &shared] {
        assert_eq!(both.stage.reckoning(), [] as [String; 0]);
    }
}

/// Wycheproof's JWS under a policy that trusts every key of theirs that may be in a policy. None has claims, so none is a token;
/// whatever is wrong with its form is found before.
#[test]
fn every_jws_of_wycheproof_is_refused_by_the_product_as_by_the_core() {
    let all: Value = serde_json::from_str(JWS).unwrap();
    let groups = all["testGroups"].as_array().unwrap();
    let mut issuers = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let key = group.get("public").unwrap_or(&group["private"]);
        let Some(alg) = key["alg"].as_str() else {
            continue;
        };
        let (name, iss) = (format!("group-{at}"), format!("https://group-{at}.example"));
        let issuer = issuer(&name, &iss, &[alg], std::slice::from_ref(key));
        if load(&with_issuers(std::slice::from_ref(&issuer))).is_ok() {
            issuers.push(issuer);
        }
    }
    // The others are for encryption, for no algorithm that exists, or without a use at all.
    assert_eq!((issuers.len(), groups.len()), (17, 23));
    let mut both = Both::set("vectors-tokens", &with_issuers(&issuers));
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    let mut sent = 0;
    for test in groups
        .iter()
        .flat_map(|group| group["tests"].as_array().unwrap())
    {
        let (id, jws) = (
            test["tcId"].as_u64().unwrap(),
            test["jws"].as_str().unwrap(),
        );
        let fits = jws.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        assert!(fits, "test {id} fits into no header");
        let code = both.refusal(jws, &format!("test {id}, {}", test["comment"]));
        *codes.entry(code).or_default() += 1;
        sent += 1;
    }
    assert_eq!(both.stage.reckoning(), [] as [String; 0]);
    assert_eq!(both.stage.envoy.access().len(), sent);
    let mut rows: Vec<String> = codes
        .iter()
        .map(|(code, tokens)| format!("| `{code}` | {tokens} |"))
        .collect();
    rows.push(format!("| all | {sent} |"));
    leave("vectors-tokens.txt", &rows);
    for row in &rows {
        assert!(
            README.contains(row.as_str()),
            "README.md does not say: {row}"
        );
    }
}
