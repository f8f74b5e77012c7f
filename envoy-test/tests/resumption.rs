//! A resumed TLS session proves nobody anew: the gateway does not say of its peer that the certificate is valid, so
//! the module names no peer. Both switches have to be off for a client's second connection to be proved again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a panic here is a failed test and reaches no traffic"
)]

use postern_envoy_test::bootstrap::Resumption;
use postern_envoy_test::client::{self, Call};
use postern_envoy_test::given::{self, CHAT};
use postern_envoy_test::stage::{Seen, Stage, fresh_case, runtime};
use postern_envoy_test::tls::Client;
use postern_tests::scenario::{ClientTls, Mode, Protocol, TlsVersion};
use serde_json::{Value, json};

const RESEARCH: &str = "spiffe://example.org/ns/research/sa/notebook";

/// One connection of `client`, one call over it; whether its session was resumed, and what was seen.
fn connection(stage: &Stage, client: &Client, protocol: Protocol, call: &Call) -> (bool, Seen) {
    let (case, from) = (fresh_case(), stage.envoy.log_lines());
    let to = stage.envoy.listener("tls_h1");
    let (resumed, answer) = runtime().block_on(async {
        let (wire, resumed) = client.connect(case, to).await.unwrap();
        let answer = client::over(wire, protocol, call).await.unwrap();
        (resumed, answer)
    });
    (resumed, stage.gather(case, from, answer).unwrap())
}

#[test]
fn a_resumed_session_names_no_peer() {
    let policy = given::policy(Mode::None);
    for (stateless, stateful, resumes_1_2, resumes_1_3, why) in [
        (
            false,
            false,
            false,
            false,
            "both switched off: every handshake is whole",
        ),
        (true, false, true, true, "tickets serve both versions"),
        (false, true, true, false, "identifiers serve TLS 1.2 alone"),
        (true, true, true, true, "the gateway's own default"),
    ] {
        let mut deployment = given::deployment(Mode::None, &policy);
        deployment.resumption = Resumption {
            stateless,
            stateful,
        };
        let stage = given::set(&format!("resumption-{stateless}-{stateful}"), &deployment);
        for (version, resumes) in [
            (TlsVersion::V1_2, resumes_1_2),
            (TlsVersion::V1_3, resumes_1_3),
        ] {
            for protocol in Protocol::ALL {
                let what = format!("{why} [{version:?} {protocol}]");
                let tls = ClientTls {
                    version,
                    ..given::peer("research")
                };
                let mut call = Call::chat(&given::token(), CHAT);
                call.connection = Some(tls);
                let client = Client::new(tls, protocol).unwrap();
                for (round, expected) in [("first", false), ("second", resumes)] {
                    let (resumed, seen) = connection(&stage, &client, protocol, &call);
                    assert_eq!(resumed, expected, "{what}: {round}");
                    let record = given::record(&stage, &seen, &what);
                    let peer = if resumed {
                        Value::Null
                    } else {
                        json!(RESEARCH)
                    };
                    assert_eq!(record["peer"]["uri"], peer, "{what}: {round}: {record}");
                    let [line] = seen.access.as_slice() else {
                        panic!("{what}: {:?}", seen.access)
                    };
                    assert!(line.peer.presented, "{what}: {round}: {line:?}");
                    assert_eq!(line.peer.valid, !resumed, "{what}: {round}: {line:?}");
                    assert_eq!(
                        line.peer.uri.as_deref(),
                        Some(RESEARCH),
                        "{what}: {round}: the name is told all the same"
                    );
                }
            }
        }
    }
}

#[test]
fn a_resumed_session_is_refused_where_a_peer_is_asked_for_and_told_why() {
    let policy = given::changed(
        given::policy(Mode::None),
        &[
            ("/peers", json!({ "trustDomains": ["example.org"] })),
            (
                "/callers/0",
                json!({ "name": "research", "any": [{ "peer": RESEARCH }] }),
            ),
            (
                "/rules",
                json!([{ "id": "research-chat", "effect": "allow", "callers": ["research"], "scopes": [],
                         "models": ["gpt-4o"], "operations": ["chat"] }]),
            ),
            ("/routes/0/identity", json!(["peer"])),
        ],
    );
    for (switched_off, name) in [(false, "on"), (true, "off")] {
        let mut deployment = given::deployment(Mode::None, &policy);
        deployment.resumption = Resumption {
            stateless: !switched_off,
            stateful: !switched_off,
        };
        let stage = given::set(&format!("resumption-peer-{name}"), &deployment);
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            for protocol in Protocol::ALL {
                let what = format!("switches {name} [{version:?} {protocol}]");
                let tls = ClientTls {
                    version,
                    ..given::peer("research")
                };
                let mut call = Call::chat("", CHAT);
                call.headers.remove(0);
                call.connection = Some(tls);
                let client = Client::new(tls, protocol).unwrap();
                for round in 0..3 {
                    let (resumed, seen) = connection(&stage, &client, protocol, &call);
                    assert_eq!(resumed, round > 0 && !switched_off, "{what}: {round}");
                    let record = given::record(&stage, &seen, &what);
                    if resumed {
                        assert_eq!(
                            given::refusal(&seen),
                            (403, "peer_not_validated".into()),
                            "{what}"
                        );
                        let answer = seen.answer.unwrap();
                        let text = String::from_utf8_lossy(&answer.body).into_owned();
                        for switch in [
                            "disable_stateless_session_resumption",
                            "disable_stateful_session_resumption",
                        ] {
                            assert!(text.contains(switch), "{what}: {text}");
                        }
                        assert!(seen.forwarded.is_empty(), "{what}");
                    } else {
                        assert_eq!(
                            given::refusal(&seen),
                            (200, "no code".into()),
                            "{what}: {round}"
                        );
                        assert_eq!(record["peer"]["uri"], json!(RESEARCH), "{what}: {record}");
                        assert_eq!(record["caller"]["credential"], "peer", "{what}: {record}");
                    }
                }
            }
        }
        assert_eq!(stage.reckoning(), Vec::<String>::new(), "{name}");
    }
}
