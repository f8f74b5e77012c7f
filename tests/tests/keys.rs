//! Keys and revocations that an issuer gives while the gateway runs, and proofs that are taken once, over the workers of one
//! gateway: what no single request can show.
//!
//! Against THREATS 14, 16, 17, 19, 40.
#![allow(missing_docs, reason = "a test has no reader of documentation")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "test code: a panic is a failed test"
)]

use std::collections::BTreeMap;

use postern_tests::host::{
    Behaviour, Clusters, Finished, Response, Settings, Setup, SharedData, StreamId, Vm,
};
use postern_tests::issuer::{self, CORP, TokenSpec, token};
use postern_tests::proof::{ProofSpec, Proven, proof};
use postern_tests::scenario::{Mode, Protocol};
use serde_json::{Value, json};

mod built;

const BODY: &[u8] = br#"{"model":"gpt-4o","messages":["SECRET-prompt"]}"#;
const PATH: &str = "/v1/chat/completions";
/// The shortest refresh that a policy may ask for, a call, and a tick of every worker.
const REFRESHED: u64 = 12_000;
/// A call that is answered at once, and a tick of every worker.
const SOON: u64 = 600;

/// A policy with one issuer, of which `with` says more.
fn policy(mode: Mode, with: Value) -> Value {
    let mut issuer = json!({ "name": "corp", "issuer": CORP, "audiences": ["inference"] });
    let more = with.as_object().unwrap().clone();
    issuer.as_object_mut().unwrap().extend(more);
    json!({
        "version": 1,
        "mode": "enforce",
        "host": { "headHold": mode.to_string(), "holdTimeout": "10s" },
        "issuers": [issuer],
        "callers": [{ "name": "staff", "any": [{ "issuer": "corp" }] }],
        "rules": [{ "id": "chat", "effect": "allow", "callers": ["staff"], "models": ["*"], "operations": ["chat"] }],
        "routes": [{ "name": "openai", "match": { "pathPrefix": "/v1/" }, "api": "openai", "identity": ["token"] }],
        "audit": { "sinks": ["log", "accessLog"] }
    })
}

/// Keys that are fetched.
fn remote() -> Value {
    json!({ "jwks": { "remote": { "cluster": "idp", "authority": "idp.example.com", "path": "/jwks.json", "refresh": "10s", "timeout": "1s", "maxStale": "1m" } } })
}

/// The published keys of the issuer with these names.
fn keys(kids: &[&str]) -> Response {
    let all = issuer::jwks("corp").unwrap();
    let chosen: Vec<&Value> = all["keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| kids.iter().any(|kid| key["kid"] == *kid))
        .collect();
    Response::new(200, json!({ "keys": chosen }).to_string())
}

fn page(value: &Value) -> Behaviour {
    Behaviour::Answer(Response::new(200, value.to_string()))
}

fn rsa() -> TokenSpec {
    TokenSpec::default()
}

fn ec() -> TokenSpec {
    TokenSpec {
        key: "corp-ec".to_owned(),
        alg: "ES256".to_owned(),
        ..TokenSpec::default()
    }
}

/// The workers of one gateway: one policy, one map, the same clusters, one clock.
struct Fleet {
    mode: Mode,
    workers: Vec<Vm>,
    clusters: Clusters,
    millis: u64,
}

impl Fleet {
    fn start(workers: usize, mode: Mode, with: Value, clusters: Clusters) -> Self {
        let shared = SharedData::default();
        let setup = || Setup {
            configuration: policy(mode, with.clone()).to_string(),
            shared: shared.clone(),
            clusters: clusters.clone(),
            now: built::NOW,
            host_crypto: true,
        };
        let module = built::module().unwrap();
        Fleet {
            mode,
            workers: (0..workers)
                .map(|_| Vm::start_with(&module, setup()).unwrap())
                .collect(),
            clusters,
            millis: 0,
        }
    }

    /// Lets time pass for all workers, a little for each in turn.
    fn advance(&mut self, millis: u64) {
        for _ in 0..millis / 10 {
            for worker in &mut self.workers {
                worker.advance(10);
            }
        }
        self.millis += millis / 10 * 10;
    }

    fn now(&self) -> u64 {
        built::NOW + self.millis / 1000
    }

    fn head(&self, spec: &TokenSpec) -> Vec<(Vec<u8>, Vec<u8>)> {
        head(&token(spec, self.now()).unwrap(), "Bearer", None)
    }

    fn begin(&mut self, worker: usize, spec: &TokenSpec) -> StreamId {
        let head = self.head(spec);
        self.workers[worker].open(Settings::new(self.mode, Protocol::H2), head, false)
    }

    /// Sends head and body of one request to a worker, and gives what came of it once it has an answer.
    fn send(&mut self, worker: usize, head: Vec<(Vec<u8>, Vec<u8>)>, patience: u64) -> Finished {
        let settings = Settings::new(self.mode, Protocol::H2);
        let id = self.workers[worker].open(settings, head, false);
        self.workers[worker].decode_data(id, BODY, true);
        self.finish(worker, id, patience)
    }

    fn finish(&mut self, worker: usize, id: StreamId, patience: u64) -> Finished {
        let mut waited = 0;
        while self.workers[worker].is_open(id) && !self.workers[worker].request_complete(id) {
            assert!(waited <= patience, "it still waits after {waited} ms");
            self.advance(50);
            waited += 50;
        }
        let vm = &mut self.workers[worker];
        if vm.request_complete(id) {
            vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], true);
        }
        vm.take(id).unwrap()
    }

    /// The code of the refusal of a call to a worker; `allowed` where there is none.
    fn ask(&mut self, worker: usize, spec: &TokenSpec) -> String {
        let head = self.head(spec);
        code(&self.send(worker, head, 11_000))
    }

    /// What every worker says.
    fn ask_all(&mut self, spec: &TokenSpec) -> Vec<String> {
        (0..self.workers.len())
            .map(|worker| self.ask(worker, spec))
            .collect()
    }

    fn calls(&self) -> usize {
        self.clusters.calls("idp").len()
    }

    fn counter(&self, name: &str) -> u64 {
        self.workers.iter().map(|worker| worker.counter(name)).sum()
    }

    fn is_sound(&self) {
        for worker in &self.workers {
            assert!(worker.trouble().is_empty(), "{:?}", worker.trouble());
            assert_eq!(worker.open_streams(), 0);
        }
    }
}

fn head(token: &str, scheme: &str, proof: Option<&str>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let authorization = format!("{scheme} {token}");
    [
        (":method", "POST"),
        (":path", PATH),
        (":authority", "api.example.com"),
        (":scheme", "http"),
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ]
    .into_iter()
    .chain(proof.map(|proof| ("dpop", proof)))
    .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    .collect()
}

fn record(finished: &Finished) -> Value {
    serde_json::from_slice(&finished.filter_state["wasm.postern.record"]).unwrap()
}

fn code(finished: &Finished) -> String {
    match record(finished)["refusal"].as_str() {
        Some(code) => code.to_owned(),
        None => "allowed".to_owned(),
    }
}

fn answered(finished: &Finished, name: &str) -> Option<String> {
    let answer = finished.answer.as_ref()?;
    let (_, value) = answer.headers.iter().find(|(seen, _)| seen == name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn idp(behaviour: Behaviour) -> Clusters {
    let clusters = Clusters::default();
    clusters.set("idp", behaviour);
    clusters
}

#[test]
fn a_request_waits_for_the_first_keys_and_passes() {
    // (bytes that came before the keys, whether they were the end)
    let rows: [(usize, bool, &str); 4] = [
        (0, false, "all of the body comes after the keys"),
        (5, false, "a part of it came before"),
        (BODY.len(), false, "all of it came before, but its end"),
        (BODY.len(), true, "all of it came before"),
    ];
    for mode in Mode::ALL {
        for (before, ended, why) in rows {
            let clusters = idp(Behaviour::Delay(400, keys(&["corp-rsa"])));
            let mut fleet = Fleet::start(1, mode, remote(), clusters);
            let id = fleet.begin(0, &rsa());
            if before > 0 {
                fleet.workers[0].decode_data(id, &BODY[..before], ended);
            }
            fleet.advance(500);
            let vm = &mut fleet.workers[0];
            assert!(vm.is_open(id) && !vm.request_complete(id), "{mode}: {why}");
            assert!(!vm.request_begun(id), "{mode}: held whole: {why}");
            fleet.advance(2_000);
            if !ended {
                fleet.workers[0].decode_data(id, &BODY[before..], true);
            }
            let seen = fleet.finish(0, id, SOON);
            assert_eq!(code(&seen), "allowed", "{mode}: {why}");
            let sent = seen.forwarded.as_ref().unwrap();
            assert!(sent.complete && sent.body == BODY, "{mode}: {why}");
            let carries = |name: &str| sent.headers.iter().any(|(seen, _)| seen == name);
            assert!(carries("x-postern-subject"), "{mode}: {why}");
            assert!(!carries("authorization"), "{mode}: {why}");
            assert_eq!(fleet.calls(), 1, "{mode}: {why}");
            fleet.is_sound();
        }
    }
}

#[test]
fn a_wait_for_keys_that_never_come_ends_in_a_refusal() {
    for mode in Mode::ALL {
        for behaviour in [
            Behaviour::Silent,
            Behaviour::Refuse,
            Behaviour::Empty,
            Behaviour::Answer(Response::new(500, "")),
        ] {
            let mut fleet = Fleet::start(1, mode, remote(), idp(behaviour));
            let id = fleet.begin(0, &rsa());
            fleet.workers[0].decode_data(id, BODY, true);
            fleet.advance(9_500);
            assert!(fleet.workers[0].is_open(id), "{mode}: until its deadline");
            fleet.advance(1_000);
            assert!(!fleet.workers[0].is_open(id), "{mode}: and no longer");
            let seen = fleet.workers[0].take(id).unwrap();
            assert_eq!(seen.answer.as_ref().unwrap().status, 503, "{mode}");
            assert_eq!(code(&seen), "keys_unavailable", "{mode}");
            assert_eq!(record(&seen)["fault"], "issuer", "{mode}");
            assert!(answered(&seen, "retry-after").is_some(), "{mode}");
            assert!(seen.forwarded.is_none(), "{mode}: upstream sees nothing");
            fleet.is_sound();
        }
    }
}

#[test]
fn a_client_that_leaves_while_its_keys_are_awaited_is_recorded_once() {
    for mode in Mode::ALL {
        let mut fleet = Fleet::start(
            1,
            mode,
            remote(),
            idp(Behaviour::Delay(800, keys(&["corp-rsa"]))),
        );
        let id = fleet.begin(0, &rsa());
        fleet.workers[0].decode_data(id, &BODY[..5], false);
        fleet.advance(300);
        fleet.workers[0].leave(id);
        fleet.advance(3_000);
        let seen = fleet.workers[0].take(id).unwrap();
        let records = seen
            .log
            .iter()
            .filter(|line| line.text.starts_with("postern audit "));
        assert_eq!(records.count(), 1, "{mode}");
        assert_eq!(record(&seen)["decision"], "none", "{mode}");
        assert_eq!(record(&seen)["caller"], Value::Null, "{mode}");
        assert!(seen.forwarded.is_none(), "{mode}");
        assert_eq!(fleet.ask(0, &rsa()), "allowed", "{mode}: the keys came");
        fleet.is_sound();
    }
}

#[test]
fn a_key_that_is_new_is_asked_for_once_and_waited_for() {
    for mode in Mode::ALL {
        let clusters = idp(Behaviour::Answer(keys(&["corp-rsa"])));
        let with = json!({ "jwks": { "remote": { "cluster": "idp", "path": "/jwks.json", "refresh": "5m", "timeout": "1s" } } });
        let mut fleet = Fleet::start(2, mode, with, clusters);
        assert_eq!(fleet.ask_all(&rsa()), ["allowed"; 2]);
        fleet.advance(20_000);
        fleet
            .clusters
            .set("idp", Behaviour::Delay(300, keys(&["corp-rsa", "corp-ec"])));
        assert_eq!(fleet.ask(0, &ec()), "allowed", "{mode}: long before 5 m");
        assert_eq!(fleet.ask(1, &ec()), "allowed", "{mode}: on all workers");
        assert_eq!(fleet.calls(), 2, "{mode}: one more call for all");
        let unknown = TokenSpec {
            kid: json!("invented"),
            ..rsa()
        };
        fleet.advance(20_000);
        assert_eq!(fleet.ask(0, &unknown), "token_key", "{mode}");
        assert_eq!(fleet.calls(), 3, "{mode}: it was asked for once");
        assert_eq!(fleet.ask(1, &unknown), "token_key", "{mode}");
        assert_eq!(fleet.calls(), 3, "{mode}: and not again so soon");
        fleet.is_sound();
    }
}

#[test]
fn invented_keys_on_all_workers_make_one_call() {
    let mut fleet = Fleet::start(
        4,
        Mode::Flag,
        json!({ "jwks": { "remote": { "cluster": "idp", "path": "/jwks.json", "refresh": "5m", "timeout": "1s" } } }),
        idp(Behaviour::Answer(keys(&["corp-rsa"]))),
    );
    fleet.advance(20_000);
    assert_eq!(fleet.calls(), 1, "the first keys");
    fleet
        .clusters
        .set("idp", Behaviour::Delay(400, keys(&["corp-rsa"])));
    let mut waiting = Vec::new();
    for number in 0..25 {
        for worker in 0..4 {
            let spec = TokenSpec {
                kid: json!(format!("invented-{number}-{worker}")),
                ..rsa()
            };
            waiting.push((worker, fleet.begin(worker, &spec)));
        }
    }
    for (worker, id) in waiting {
        let seen = fleet.finish(worker, id, 2_000);
        assert_eq!(code(&seen), "token_key");
    }
    assert_eq!(fleet.calls(), 2, "one call for a hundred invented keys");
    fleet.is_sound();
}

#[test]
fn what_was_good_stays_while_the_answers_are_bad_and_no_longer_than_it_may() {
    let bad = [
        (Behaviour::Answer(Response::new(200, "<html>")), "garbage"),
        (page(&json!({ "keys": [] })), "an empty set"),
        (page(&json!({})), "no set"),
        (
            Behaviour::Answer(Response::new(500, r#"{"keys":[]}"#)),
            "an error",
        ),
        (
            Behaviour::Answer(
                Response::new(301, "").with_header("location", "https://evil.example/"),
            ),
            "a redirect",
        ),
        (
            Behaviour::Answer(Response::new(200, vec![b' '; 600 * 1024])),
            "a huge answer",
        ),
        (Behaviour::Silent, "silence"),
        (Behaviour::Refuse, "a closed port"),
        (Behaviour::Reset(50), "half an answer"),
        (Behaviour::Empty, "no endpoint"),
    ];
    for (behaviour, why) in bad {
        let mut fleet = Fleet::start(
            2,
            Mode::Flag,
            remote(),
            idp(Behaviour::Answer(keys(&["corp-rsa"]))),
        );
        assert_eq!(fleet.ask_all(&rsa()), ["allowed"; 2], "{why}");
        fleet.clusters.set("idp", behaviour);
        fleet.advance(30_000);
        assert!(fleet.counter("postern.fetch_failures") >= 2, "{why}");
        assert_eq!(fleet.ask_all(&rsa()), ["allowed"; 2], "{why}: kept");
        fleet.advance(40_000);
        assert_eq!(
            fleet.ask_all(&rsa()),
            ["keys_unavailable"; 2],
            "{why}: older than maxStale, for a token that was good before"
        );
        fleet
            .clusters
            .set("idp", Behaviour::Answer(keys(&["corp-rsa"])));
        fleet.advance(REFRESHED + 4_000);
        assert_eq!(fleet.ask_all(&rsa()), ["allowed"; 2], "{why}: back again");
        fleet.is_sound();
    }
}

#[test]
fn a_key_that_is_withdrawn_takes_its_tokens_with_it_on_all_workers() {
    let mut fleet = Fleet::start(
        4,
        Mode::Flag,
        remote(),
        idp(Behaviour::Answer(keys(&["corp-rsa", "corp-ec"]))),
    );
    let old = token(&rsa(), fleet.now()).unwrap();
    let ask_old = |fleet: &mut Fleet| -> Vec<String> {
        (0..4)
            .map(|worker| code(&fleet.send(worker, head(&old, "Bearer", None), 2_000)))
            .collect()
    };
    assert_eq!(ask_old(&mut fleet), ["allowed"; 4]);
    assert_eq!(ask_old(&mut fleet), ["allowed"; 4]);
    fleet.advance(SOON);
    assert_eq!(fleet.counter("postern.token_cache_hits"), 4, "known by now");
    // A request that waits for keys asks again when they come.
    assert!(fleet.counter("postern.token_cache_misses") >= 4);
    fleet
        .clusters
        .set("idp", Behaviour::Answer(keys(&["corp-ec"])));
    fleet.advance(REFRESHED);
    assert_eq!(ask_old(&mut fleet), ["token_key"; 4], "known is not good");
    assert_eq!(fleet.ask_all(&ec()), ["allowed"; 4], "the key that is left");
    fleet.is_sound();
}

#[test]
fn a_discovery_document_sends_us_nowhere_else() {
    let with = json!({ "jwks": { "discovery": { "cluster": "idp", "authority": "idp.example.com", "refresh": "10s", "timeout": "1s" } } });
    let rows = [
        (
            json!({ "issuer": CORP, "jwks_uri": "https://idp.example.com/keys" }),
            "allowed",
        ),
        (
            json!({ "issuer": CORP, "jwks_uri": "https://evil.example.com/keys" }),
            "keys_unavailable",
        ),
        (
            json!({ "issuer": CORP, "jwks_uri": "http://idp.example.com/keys" }),
            "keys_unavailable",
        ),
        (
            json!({ "issuer": "https://evil.example.com", "jwks_uri": "https://idp.example.com/keys" }),
            "keys_unavailable",
        ),
        (json!({ "issuer": CORP }), "keys_unavailable"),
    ];
    for (document, expected) in rows {
        let clusters = idp(Behaviour::Paths(BTreeMap::from([
            (
                "/.well-known/openid-configuration".to_owned(),
                page(&document),
            ),
            ("/keys".to_owned(), Behaviour::Answer(keys(&["corp-rsa"]))),
        ])));
        let mut fleet = Fleet::start(2, Mode::Flag, with.clone(), clusters);
        assert_eq!(fleet.ask(0, &rsa()), expected, "{document}");
        for call in fleet.clusters.calls("idp") {
            assert_eq!(call.header(":authority").unwrap(), "idp.example.com");
            let path = call.header(":path").unwrap();
            assert_eq!(
                path == "/keys",
                expected == "allowed" && path != "/.well-known/openid-configuration"
            );
        }
        fleet.is_sound();
    }
}

#[test]
fn what_is_revoked_is_refused_by_all_workers_after_one_refresh() {
    let mut with = json!({ "jwks": { "inline": issuer::jwks("corp").unwrap() } });
    with["revocation"] = json!({ "remote": { "cluster": "idp", "path": "/revoked.json", "refresh": "10s", "timeout": "1s", "maxStale": "1m" } });
    let mut fleet = Fleet::start(4, Mode::Flag, with, idp(page(&json!({}))));
    let mut spec = rsa();
    spec.claims.insert("jti".to_owned(), json!("mine"));
    let old = token(&spec, fleet.now()).unwrap();
    let ask_old = |fleet: &mut Fleet| -> Vec<String> {
        (0..4)
            .map(|worker| code(&fleet.send(worker, head(&old, "Bearer", None), 11_000)))
            .collect()
    };
    assert_eq!(ask_old(&mut fleet), ["allowed"; 4], "after the first list");
    fleet.clusters.set("idp", page(&json!({ "jti": ["mine"] })));
    fleet.advance(REFRESHED);
    assert_eq!(
        ask_old(&mut fleet),
        ["token_revoked"; 4],
        "known is not good"
    );
    assert_eq!(fleet.ask_all(&ec()), ["allowed"; 4], "others are");
    for bad in [
        Behaviour::Answer(Response::new(200, "[]")),
        page(&json!({ "jti": ["mine"], "surprise": [] })),
        Behaviour::Silent,
    ] {
        fleet.clusters.set("idp", bad);
        fleet.advance(REFRESHED);
        assert_eq!(ask_old(&mut fleet), ["token_revoked"; 4], "the list stays");
    }
    fleet.advance(60_000);
    assert_eq!(
        fleet.ask_all(&ec()),
        ["keys_unavailable"; 4],
        "without a list nobody can tell"
    );
    fleet.clusters.set("idp", page(&json!({})));
    fleet.advance(REFRESHED + 4_000);
    assert_eq!(ask_old(&mut fleet), ["allowed"; 4], "given back");
    fleet.is_sound();
}

/// An issuer whose tokens are bound to a key of the caller.
fn bound(nonce: &str) -> Value {
    json!({
        "jwks": { "inline": issuer::jwks("corp").unwrap() },
        "proofOfPossession": "dpop",
        "dpop": { "nonce": nonce }
    })
}

/// A request with a bound token and a proof that carries this nonce.
fn proved(fleet: &Fleet, label: &str, nonce: Option<&str>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut spec = ec();
    spec.claims
        .insert("cnf".to_owned(), json!({ "jkt": "${jkt:client-ec}" }));
    let token = token(&spec, fleet.now()).unwrap();
    let about = Proven {
        method: "POST",
        uri: &format!("http://api.example.com{PATH}"),
        token: Some(&token),
        label,
    };
    let spec = ProofSpec {
        nonce: json!(nonce),
        ..ProofSpec::default()
    };
    let proof = proof(&spec, &about, fleet.now()).unwrap();
    head(&token, "DPoP", Some(&proof))
}

#[test]
fn a_proof_is_taken_once_by_all_workers_together() {
    for mode in Mode::ALL {
        let mut fleet = Fleet::start(3, mode, bound("never"), Clusters::default());
        let once = proved(&fleet, "once", None);
        let codes: Vec<String> = [0, 0, 1, 2]
            .map(|worker| code(&fleet.send(worker, once.clone(), SOON)))
            .to_vec();
        let replayed = "dpop_replayed";
        assert_eq!(codes, ["allowed", replayed, replayed, replayed], "{mode}");
        let other = proved(&fleet, "other", None);
        assert_eq!(code(&fleet.send(1, other, SOON)), "allowed", "{mode}");
        fleet.advance(60_000);
        let late = code(&fleet.send(2, once.clone(), SOON));
        assert_eq!(late, replayed, "{mode}: as long as it could still be taken");
        fleet.advance(60_000);
        let late = code(&fleet.send(2, once.clone(), SOON));
        assert_eq!(late, "dpop_invalid", "{mode}: then it is too old");
        fleet.is_sound();
    }
}

#[test]
fn the_nonce_of_a_refusal_makes_the_next_proof_good_on_every_worker() {
    for mode in Mode::ALL {
        let mut fleet = Fleet::start(2, mode, bound("required"), Clusters::default());
        let without = proved(&fleet, "without", None);
        let seen = fleet.send(0, without, SOON);
        assert_eq!(code(&seen), "dpop_nonce", "{mode}");
        assert_eq!(seen.answer.as_ref().unwrap().status, 401, "{mode}");
        let challenge = answered(&seen, "www-authenticate").unwrap();
        assert!(challenge.contains(r#"error="use_dpop_nonce""#), "{mode}");
        let nonce = answered(&seen, "dpop-nonce").unwrap();
        for worker in 0..2 {
            let with = proved(&fleet, &format!("with {worker}"), Some(&nonce));
            let seen = fleet.send(worker, with, SOON);
            assert_eq!(code(&seen), "allowed", "{mode}: worker {worker}");
            assert!(
                answered(&seen, "dpop-nonce").is_some(),
                "{mode}: the answer brings the next one"
            );
        }
        fleet.advance(900_000);
        let old = proved(&fleet, "old", Some(&nonce));
        let seen = fleet.send(1, old, SOON);
        assert_eq!(code(&seen), "dpop_nonce", "{mode}: its time is over");
        assert_ne!(answered(&seen, "dpop-nonce"), Some(nonce), "{mode}");
        fleet.is_sound();
    }
}
