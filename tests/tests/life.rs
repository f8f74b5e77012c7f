//! The life of the module besides single requests: start, refusal to start, deadlines, several workers, signatures by
//! the host or without it, and what must never be written down.
//!
//! Against THREATS 13, 20, 35, 38, 40, 41.
#![allow(missing_docs, reason = "a test has no reader of documentation")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "test code: a panic is a failed test"
)]

use std::collections::BTreeSet;

use postern_tests::host::{
    Clusters, Finished, HostFault, Settings, Setup, SharedData, StreamId, Vm,
};
use postern_tests::issuer::{self, Tamper, TokenSpec, token};
use postern_tests::scenario::{Mode, Protocol, load_all};
use serde_json::{Value, json};

mod built;

const BODY: &[u8] = br#"{"messages":[{"content":"SECRET-prompt"}],"model":"gpt-4o"}"#;

fn policy(mode: Mode) -> Value {
    let cases = load_all().unwrap();
    let case = cases
        .iter()
        .find(|case| case.policy_name() == "basic")
        .unwrap();
    serde_json::from_str(&case.policy_json(mode)).unwrap()
}

fn start(policy: &Value) -> Vm {
    Vm::start(&built::module().unwrap(), &policy.to_string(), built::NOW).unwrap()
}

fn start_with(policy: &Value, shared: SharedData, host_crypto: bool, now: u64) -> Vm {
    let setup = Setup {
        configuration: policy.to_string(),
        shared,
        clusters: Clusters::default(),
        now,
        host_crypto,
    };
    Vm::start_with(&built::module().unwrap(), setup).unwrap()
}

fn head(spec: &TokenSpec) -> Vec<(Vec<u8>, Vec<u8>)> {
    let authorization = format!("Bearer {}", token(spec, built::NOW).unwrap());
    [
        (":method", "POST"),
        (":path", "/v1/chat/completions?q=SECRET-query"),
        (":authority", "api.example.com"),
        (":scheme", "http"),
        ("authorization", &authorization),
        ("content-type", "application/json"),
        ("cookie", "session=SECRET-cookie"),
        ("x-any", "SECRET-header"),
    ]
    .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    .to_vec()
}

fn begin(vm: &mut Vm, mode: Mode, spec: &TokenSpec) -> StreamId {
    vm.open(Settings::new(mode, Protocol::H2), head(spec), false)
}

/// A whole call, answered by upstream where it gets there.
fn call(vm: &mut Vm, mode: Mode, spec: &TokenSpec, body: &[u8]) -> Finished {
    let id = begin(vm, mode, spec);
    vm.decode_data(id, body, true);
    if vm.request_complete(id) {
        vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], true);
    }
    vm.take(id).unwrap()
}

fn record(finished: &Finished) -> Value {
    serde_json::from_slice(&finished.filter_state["wasm.postern.record"]).unwrap()
}

fn status(finished: &Finished) -> Option<u16> {
    finished.answer.as_ref().map(|answer| answer.status)
}

fn es256() -> TokenSpec {
    TokenSpec {
        key: "corp-ec".to_owned(),
        alg: "ES256".to_owned(),
        ..TokenSpec::default()
    }
}

fn eddsa() -> TokenSpec {
    TokenSpec {
        key: "corp-ed".to_owned(),
        alg: "EdDSA".to_owned(),
        ..TokenSpec::default()
    }
}

#[test]
fn it_says_once_what_it_is_when_it_starts() {
    let vm = start(&policy(Mode::Flag));
    let lines: Vec<_> = vm
        .log()
        .iter()
        .map(|line| (line.level, line.text.as_str()))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let words: Vec<&str> = lines[0].1.split_whitespace().collect();
    assert_eq!(lines[0].0, 2);
    assert_eq!(
        (words[0], words[2], words[4]),
        ("postern", "git", "policy"),
        "{}",
        lines[0].1
    );
    assert_eq!(words[5].len(), 64, "the digest of the policy");
    assert!(words[6].starts_with("started"));
}

#[test]
fn a_broken_policy_does_not_load_and_every_problem_is_told_with_its_path() {
    let mut broken = policy(Mode::Flag);
    broken["version"] = json!(2);
    broken["rules"][0]["callers"] = json!(["nobody"]);
    broken["routes"][0]["body"]["maxBytes"] = json!("0");
    broken["surprise"] = json!(true);
    let Err(HostFault::Refused { log }) =
        Vm::start(&built::module().unwrap(), &broken.to_string(), built::NOW)
    else {
        panic!("it loaded");
    };
    let text: String = log.iter().map(|line| format!("{}\n", line.text)).collect();
    for path in [
        "version",
        "rules[0].callers",
        "routes[0].body.maxBytes",
        "surprise",
    ] {
        assert!(
            text.lines()
                .any(|line| line.starts_with("postern policy: ") && line.contains(path)),
            "{path}: {text}"
        );
    }
    assert!(log.iter().all(|line| line.level >= 4), "{text}");
}

#[test]
fn what_is_no_policy_at_all_does_not_load_and_does_not_trap() {
    for text in [
        "",
        "{",
        "[]",
        "null",
        "\u{feff}{}",
        "{\"version\":1}",
        "version: 1",
    ] {
        let refused = Vm::start(&built::module().unwrap(), text, built::NOW);
        assert!(
            matches!(refused, Err(HostFault::Refused { .. })),
            "{text:?}"
        );
    }
}

#[test]
fn a_hold_ends_at_its_deadline() {
    // (mode of the policy, mode of the gateway, bytes that come, what upstream may have seen): the second row is a
    // policy that believes in a flag that the gateway does not have.
    for (assumed, real, bytes, begun) in [
        (Mode::Flag, Mode::Flag, 5, false),
        (Mode::Flag, Mode::None, BODY.len(), false),
        (Mode::Buffer, Mode::Buffer, 5, false),
        (Mode::None, Mode::None, 5, true),
    ] {
        let mut vm = start(&policy(assumed));
        let id = begin(&mut vm, real, &es256());
        vm.decode_data(id, &BODY[..bytes], false);
        vm.advance(9_500);
        assert!(vm.is_open(id), "{assumed} {real}: not before the deadline");
        vm.advance(1_000);
        assert!(!vm.is_open(id), "{assumed} {real}: at the deadline");
        let seen = vm.take(id).unwrap();
        assert_eq!(status(&seen), Some(408), "{assumed} {real}");
        assert_eq!(seen.details.as_deref(), Some("postern.hold_expired"));
        assert_eq!(
            seen.forwarded
                .as_ref()
                .map(|sent| (sent.complete, sent.body.len())),
            begun.then_some((false, 0))
        );
        let record = record(&seen);
        assert_eq!(
            (record["refusal"].as_str(), record["fault"].as_str()),
            (Some("hold_expired"), Some("gateway"))
        );
        assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
    }
}

#[test]
fn a_body_that_flows_has_no_deadline() {
    let mut vm = start(&policy(Mode::Flag));
    let id = begin(&mut vm, Mode::Flag, &es256());
    vm.decode_data(id, br#"{"model":"gpt-4o","a":"#, false);
    vm.advance(60_000);
    vm.decode_data(id, b"1}", true);
    assert!(vm.request_complete(id));
    vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], true);
    assert_eq!(record(&vm.take(id).unwrap())["durationMs"], json!(60_000));
}

#[test]
fn a_fault_after_the_answer_began_cuts_the_stream() {
    // Upstream answers before it has the whole request; then the rest turns out bad. Nothing can be refused any more.
    for mode in [Mode::Flag, Mode::None] {
        let mut vm = start(&policy(mode));
        let id = begin(&mut vm, mode, &es256());
        vm.decode_data(id, br#"{"model":"gpt-4o","#, false);
        vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], false);
        vm.encode_data(id, b"early", false);
        vm.decode_data(id, br#""model":"gpt-9"}"#, true);
        assert!(!vm.is_open(id), "{mode}");
        let seen = vm.take(id).unwrap();
        let sent = seen.forwarded.as_ref().unwrap();
        assert!(!sent.complete, "{mode}");
        let answer = seen.answer.as_ref().unwrap();
        assert_eq!((answer.status, answer.complete), (200, false), "{mode}");
        let record = record(&seen);
        assert_eq!(
            (record["decision"].as_str(), record["refusal"].as_str()),
            (Some("refuse"), Some("body_duplicate_key"))
        );
        assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
    }
}

#[test]
fn an_answer_before_the_decision_changes_no_decision() {
    // Upstream answers on the head alone. What is permitted still passes; what is not never does, and the stream is cut.
    let rows: [(&[u8], bool, Option<&str>); 3] = [
        (br#""model":"gpt-4o"}"#, true, None),
        (br#""model":"gpt-3.5-turbo"}"#, false, Some("denied")),
        (br#""model":1}"#, false, Some("model_invalid")),
    ];
    for (rest, passes, refusal) in rows {
        let mut vm = start(&policy(Mode::None));
        let id = begin(&mut vm, Mode::None, &es256());
        vm.decode_data(id, br#"{"a":1,"#, false);
        vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], false);
        vm.decode_data(id, rest, true);
        assert_eq!(vm.is_open(id), passes, "{refusal:?}");
        if passes {
            vm.encode_data(id, b"late", true);
        }
        let seen = vm.take(id).unwrap();
        let sent = seen.forwarded.as_ref().unwrap();
        assert_eq!(
            (sent.complete, sent.body.is_empty()),
            (passes, !passes),
            "{refusal:?}"
        );
        let record = record(&seen);
        assert_eq!(record["refusal"].as_str(), refusal);
        assert_eq!(record["request"]["complete"], json!(passes));
        assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
    }
}

#[test]
fn an_answer_before_the_decision_does_not_end_the_deadline() {
    let mut vm = start(&policy(Mode::None));
    let id = begin(&mut vm, Mode::None, &es256());
    vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], false);
    vm.advance(60_000);
    assert!(!vm.is_open(id), "it is cut");
    let seen = vm.take(id).unwrap();
    assert_eq!(record(&seen)["refusal"], json!("hold_expired"));
    assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
}

#[test]
fn a_body_that_the_gateway_drops_has_no_digest() {
    // The read that goes over the gateway's buffer limit is still shown to us, whole and good, and then answered 413 and
    // dropped: permitted and not forwarded.
    for (mode, begun) in [(Mode::Flag, false), (Mode::None, true)] {
        let mut vm = start(&policy(mode));
        let mut small = Settings::new(mode, Protocol::H1);
        small.buffer_limit = 20;
        let id = vm.open(small, head(&es256()), false);
        vm.decode_data(id, br#"{"a":1,"#, false);
        vm.decode_data(id, br#""model":"gpt-4o"}"#, true);
        let seen = vm.take(id).unwrap();
        assert_eq!(status(&seen), Some(413), "{mode}");
        assert_eq!(
            seen.forwarded
                .as_ref()
                .map(|sent| (sent.complete, sent.body.len())),
            begun.then_some((false, 0))
        );
        let record = record(&seen);
        assert_eq!(
            (&record["request"]["complete"], &record["request"]["digest"]),
            (&json!(false), &Value::Null),
            "{mode}"
        );
        assert_eq!(
            record["response"]["details"],
            json!("request_payload_too_large"),
            "{mode}"
        );
        assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
    }
}

#[test]
fn signatures_are_the_hosts_work_where_it_can_and_ours_where_it_cannot() {
    let policy = policy(Mode::Flag);
    for host_crypto in [true, false] {
        let mut vm = start_with(&policy, SharedData::default(), host_crypto, built::NOW);
        for (spec, by_host) in [
            (TokenSpec::default(), true),
            (es256(), true),
            (eddsa(), false),
        ] {
            let before = vm.calls("proxy_call_foreign_function");
            assert_eq!(
                status(&call(&mut vm, Mode::Flag, &spec, BODY)),
                Some(200),
                "{} {host_crypto}",
                spec.alg
            );
            let asked = vm.calls("proxy_call_foreign_function") - before;
            assert_eq!(
                asked > 0,
                by_host && host_crypto,
                "{} {host_crypto}",
                spec.alg
            );
            let tampered = TokenSpec {
                tamper: Tamper::Signature,
                ..spec.clone()
            };
            let seen = call(&mut vm, Mode::Flag, &tampered, BODY);
            assert_eq!(
                record(&seen)["refusal"],
                json!("token_signature"),
                "{} {host_crypto}",
                spec.alg
            );
        }
        assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
    }
}

#[test]
fn workers_never_name_two_requests_alike() {
    let (policy, shared) = (policy(Mode::Flag), SharedData::default());
    let mut ids = BTreeSet::new();
    // The starting second differs as the randomness of real workers does.
    for worker in 0..3 {
        let mut vm = start_with(&policy, shared.clone(), true, built::NOW + worker);
        for _ in 0..20 {
            let seen = call(&mut vm, Mode::Flag, &es256(), BODY);
            ids.insert(record(&seen)["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(ids.len(), 60);
}

#[test]
fn requests_that_died_before_us_are_recorded_undecided() {
    let mut vm = start(&policy(Mode::Flag));
    for (status, details, head) in [
        (431, "request_headers_size_exceeded", head(&es256())),
        (400, "http1.codec_error", Vec::new()),
        (408, "request_header_timeout", Vec::new()),
    ] {
        let seen = vm.dead_on_arrival(
            Settings::new(Mode::Flag, Protocol::H1),
            head,
            status,
            details,
        );
        let record = record(&seen);
        assert_eq!(record["decision"], json!("none"), "{record}");
        assert_eq!(
            (
                &record["response"]["status"],
                &record["response"]["details"]
            ),
            (&json!(status), &json!(details))
        );
        assert_eq!(
            (&record["caller"], &record["request"]["digest"]),
            (&Value::Null, &Value::Null)
        );
    }
    assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
}

#[test]
fn nothing_secret_is_written_down_anywhere() {
    let mut email = es256();
    email
        .claims
        .insert("email".to_owned(), json!("SECRET-mail"));
    let tampered = TokenSpec {
        tamper: Tamper::Signature,
        ..email.clone()
    };
    let stranger = TokenSpec {
        key: "stranger-ec".to_owned(),
        kid: json!("corp-ec"),
        ..email.clone()
    };
    let bodies: [&[u8]; 5] = [
        BODY,
        br#"{"model":"SECRET-model name"}"#,
        br#"{"model":"gpt-9","user":"SECRET-user"}"#,
        br#"{"SECRET-key":1,"SECRET-key":2}"#,
        br#"{"model":"gpt-4o","a":SECRET-text}"#,
    ];
    for mode in Mode::ALL {
        let mut vm = start(&policy(mode));
        for spec in [&email, &tampered, &stranger] {
            let secret = token(spec, built::NOW).unwrap();
            for body in bodies {
                let seen = call(&mut vm, mode, spec, body);
                let mut places: Vec<String> = vec![seen.details.clone().unwrap_or_default()];
                places.extend(seen.log.iter().map(|line| line.text.clone()));
                places.extend(
                    seen.filter_state
                        .iter()
                        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))),
                );
                if let Some(answer) = &seen.answer {
                    places.push(String::from_utf8_lossy(&answer.body).into_owned());
                    places.extend(
                        answer
                            .headers
                            .iter()
                            .map(|(n, v)| format!("{n}: {}", String::from_utf8_lossy(v))),
                    );
                }
                assert!(places.len() > 3);
                for place in &places {
                    assert!(!place.contains("SECRET"), "{place}");
                    for part in secret.split('.').skip(1) {
                        assert!(!place.contains(part), "a part of the token: {place}");
                    }
                }
                let sent = seen.forwarded.iter().flat_map(|sent| &sent.headers);
                for (name, value) in sent {
                    assert!(
                        name != "authorization"
                            && !String::from_utf8_lossy(value).contains(&secret),
                        "{name}"
                    );
                }
            }
        }
        assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
    }
}

#[test]
fn the_start_and_a_refused_policy_show_no_key() {
    let mut text = policy(Mode::Flag);
    let key = issuer::jwks("corp").unwrap()["keys"][0]["n"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(text.to_string().contains(&key));
    let piece = key.get(..40).unwrap();
    assert!(
        start(&text)
            .log()
            .iter()
            .all(|line| !line.text.contains(piece))
    );
    // A private key where a public one belongs: refused, and not repeated.
    text["issuers"][0]["jwks"]["inline"]["keys"][0]["d"] =
        json!("SECRETprivateSECRETprivateSECRET");
    let Err(HostFault::Refused { log }) =
        Vm::start(&built::module().unwrap(), &text.to_string(), built::NOW)
    else {
        panic!("it loaded");
    };
    assert!(
        !log.is_empty()
            && log
                .iter()
                .all(|line| !line.text.contains("SECRET") && !line.text.contains(piece))
    );
}

#[test]
fn any_single_cut_of_a_body_gives_the_same_outcome() {
    let bodies: [&[u8]; 6] = [
        "{\"messages\":[\"ž\\u00e9\\ud83d\\ude00\"],\"model\":\"gpt-4o\",\"n\":1}".as_bytes(),
        br#"{"model":"gpt-4o","messages":[1,2,3}"#,
        br#"{"model":"gpt-4o","a":1,"model":"gpt-4o"}"#,
        br#"{"model":"gpt-9","n":-1}"#,
        br#"{"model":"gpt-3.5","a":[}"#,
        b"{\"model\":\"gpt-4o\",\"a\":\"\xff\"}",
    ];
    for mode in Mode::ALL {
        let mut vm = start(&policy(mode));
        for body in bodies {
            let outcome = |vm: &mut Vm, cut: usize| {
                let id = begin(vm, mode, &es256());
                vm.decode_data(id, &body[..cut], false);
                vm.decode_data(id, &body[cut..], true);
                let complete = vm.request_complete(id);
                if complete {
                    vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], true);
                }
                let seen = vm.take(id).unwrap();
                let mut record = record(&seen);
                for member in ["id", "time", "durationMs"] {
                    record[member] = Value::Null;
                }
                // How much was seen of a body that was refused is how much had come.
                if !complete {
                    record["request"]["bytes"] = Value::Null;
                }
                (
                    seen.answer.map(|answer| {
                        (
                            answer.status,
                            String::from_utf8_lossy(&answer.body).into_owned(),
                        )
                    }),
                    complete,
                    record.to_string(),
                )
            };
            let whole = outcome(&mut vm, 0);
            for cut in 1..=body.len() {
                assert_eq!(
                    outcome(&mut vm, cut),
                    whole,
                    "{mode}: {:?} cut at {cut}",
                    String::from_utf8_lossy(body)
                );
            }
        }
        assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
    }
}
