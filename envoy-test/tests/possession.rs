//! Tokens that are bound to who sends them, on two workers: a proof counts once in the whole gateway, a nonce counts on
//! every worker, and a certificate counts on its own connection.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock"
)]

use std::time::Duration;

use postern_envoy_test::client::{self, Call};
use postern_envoy_test::given::{self, ALLOWED, CHAT, refused};
use postern_envoy_test::lanes::Lanes;
use postern_envoy_test::stage::{Stage, fresh_case, now, runtime};
use postern_tests::issuer::{self, TokenSpec};
use postern_tests::proof::{ProofSpec, Proven, proof};
use postern_tests::scenario::{Answer, ClientTls, Mode, Protocol, TlsVersion, Upstream};
use serde_json::{Value, json};

/// Within this the workers have agreed on their secret: some ticks, on a busy machine.
const AGREED: Duration = Duration::from_secs(5);
/// So many calls bring the same proof at once.
const COPIES: usize = 20;
const REPLAYED: (u16, &str) = (401, "dpop_replayed");
const BINDING: (u16, &str) = (401, "token_binding");

fn set(name: &str, possession: &str, dpop: Value) -> Stage {
    let policy = given::changed(
        given::policy(Mode::None),
        &[
            ("/issuers/0/proofOfPossession", json!(possession)),
            ("/issuers/0/dpop", dpop),
        ],
    );
    given::two_workers(
        &format!("possession-{name}"),
        Mode::None,
        &policy,
        &given::provider(),
    )
}

/// A token that is bound as its `cnf` says.
fn bound(cnf: Value) -> String {
    let mut spec = TokenSpec::default();
    spec.claims.insert("cnf".into(), cnf);
    issuer::token(&spec, now()).unwrap()
}

/// A chat with a token of the key `client-ec` and a proof of its own.
fn proved(token: &str, label: &str, nonce: Option<&str>) -> Call {
    let spec = ProofSpec {
        nonce: json!(nonce),
        ..ProofSpec::default()
    };
    let about = Proven {
        method: "POST",
        uri: "http://api.example.com/v1/chat/completions",
        token: Some(token),
        label,
    };
    let mut call = Call::chat("", CHAT);
    call.headers[0].1 = format!("DPoP {token}").into_bytes();
    let proof = proof(&spec, &about, now()).unwrap();
    call.headers.push(("dpop".into(), proof.into_bytes()));
    call
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut headers = answer.headers.iter();
    let (_, value) = headers.find(|(header, _)| header == name)?;
    std::str::from_utf8(value).ok()
}

#[test]
fn a_proof_counts_once_however_many_workers_get_it_at_once() {
    let stage = set("once", "dpop", json!({}));
    let lanes = Lanes::open(&stage, &Call::chat("", CHAT)).unwrap();
    let token = bound(json!({ "jkt": "${jkt:client-ec}" }));
    let agreed = (
        proved(&token, "first", None),
        REPLAYED,
        "seen by now by one worker or the other",
    );
    lanes.come_to_say(AGREED, &[agreed]);
    for round in 0..6 {
        let call = proved(&token, &format!("round {round}"), None);
        let answers: Vec<Answer> = if round % 2 == 0 {
            let each = lanes.each(&vec![vec![call; COPIES / 2]; 2]).unwrap();
            each.into_iter().flatten().collect()
        } else {
            on_connections_of_their_own(&stage, &call)
        };
        let mut codes: Vec<_> = answers.iter().map(refused).collect();
        codes.sort();
        let mut expected = vec![(401, "dpop_replayed".to_owned()); COPIES];
        expected[0] = (200, "no code".to_owned());
        expected.sort();
        assert_eq!(codes, expected, "round {round}");
    }
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

fn on_connections_of_their_own(stage: &Stage, call: &Call) -> Vec<Answer> {
    let to = stage.envoy.listener("to_h1");
    runtime().block_on(async {
        let running: Vec<_> = (0..COPIES)
            .map(|copy| {
                let (case, call) = (fresh_case(), call.clone());
                stage.recorder.plan(case, &Upstream::default());
                let protocol = Protocol::ALL[copy % Protocol::ALL.len()];
                tokio::spawn(async move { client::call(protocol, case, to, &call).await })
            })
            .collect();
        let mut answers = Vec::new();
        for call in running {
            answers.push(call.await.unwrap().unwrap().expect("an answer"));
        }
        answers
    })
}

#[test]
fn a_nonce_of_one_worker_is_good_on_the_other() {
    let stage = set("nonce", "dpop", json!({ "nonce": "required" }));
    let lanes = Lanes::open(&stage, &Call::chat("", CHAT)).unwrap();
    let token = bound(json!({ "jkt": "${jkt:client-ec}" }));
    let asked = proved(&token, "without", None);
    lanes.come_to_say(
        AGREED,
        &[(
            asked.clone(),
            (401, "dpop_nonce"),
            "a proof without a nonce",
        )],
    );
    let answers = lanes.all(&[asked]).unwrap().remove(0);
    let nonces: Vec<&str> = answers
        .iter()
        .map(|answer| {
            let challenge = header(answer, "www-authenticate").expect("a challenge");
            assert!(
                challenge.contains("error=\"use_dpop_nonce\""),
                "{challenge}"
            );
            header(answer, "dpop-nonce").expect("a nonce")
        })
        .collect();
    let [first, second] = nonces.as_slice() else {
        panic!("{nonces:?}")
    };
    let crossed = [
        vec![proved(&token, "to the first", Some(second))],
        vec![proved(&token, "to the second", Some(first))],
    ];
    for (worker, answers) in lanes.each(&crossed).unwrap().iter().enumerate() {
        assert_eq!(
            refused(&answers[0]),
            (200, "no code".into()),
            "worker {worker}"
        );
    }
    for (worker, answers) in lanes.each(&crossed).unwrap().iter().enumerate() {
        assert_eq!(
            refused(&answers[0]),
            (401, "dpop_replayed".into()),
            "worker {worker}: the same again"
        );
    }
    let invented = proved(&token, "invented", Some("AAAAAAAAAAAAAAAAAAAAAA"));
    lanes.say(&[(invented, (401, "dpop_nonce"), "a nonce that nobody gave")]);
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

#[test]
fn a_token_of_a_certificate_counts_on_its_connection_alone() {
    let stage = set("certificate", "mtls", json!({}));
    let bare = ClientTls {
        certificate: None,
        version: TlsVersion::V1_3,
    };
    let of = |name: &str| bound(json!({ "x5t#S256": format!("${{x5t:{name}}}") }));
    for (connection, token, expected, why) in [
        (
            Some(given::peer("research")),
            of("research"),
            ALLOWED,
            "its own certificate",
        ),
        (
            Some(ClientTls {
                version: TlsVersion::V1_2,
                ..given::peer("research")
            }),
            of("research"),
            ALLOWED,
            "its own certificate, over TLS 1.2",
        ),
        (
            Some(given::peer("batch")),
            of("research"),
            BINDING,
            "another certificate of the same authority",
        ),
        (
            Some(given::peer("forged")),
            of("forged"),
            ALLOWED,
            "its own certificate, for which nobody vouches: the key is enough (RFC 8705 section 6.2)",
        ),
        (Some(bare), of("research"), BINDING, "no certificate"),
        (None, of("research"), BINDING, "no TLS"),
        (
            Some(given::peer("research")),
            given::token(),
            BINDING,
            "a token that is bound to nothing",
        ),
    ] {
        let mut call = Call::chat(&token, CHAT);
        call.connection = connection;
        let lanes = Lanes::open(&stage, &call).unwrap();
        lanes.say(&[(call, expected, why)]);
    }
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}
