//! Who holds the other end: what the gateway says of each certificate that a client presents, and whom the module
//! names in its record.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic here is a failed test and reaches no traffic"
)]

use std::sync::OnceLock;
use std::time::Duration;

use postern_envoy_test::bootstrap::{Deployment, Filter, ForwardedClientCert};
use postern_envoy_test::client::{self, Call};
use postern_envoy_test::given::{self, CHAT, every_way, record};
use postern_envoy_test::logs::PeerLine;
use postern_envoy_test::stage::{Seen, Stage, fresh_case, runtime};
use postern_envoy_test::tls;
use postern_tests::certificates;
use postern_tests::scenario::{ClientTls, Mode, Protocol, TlsVersion, Upstream};
use serde_json::{Value, json};

/// How long the lines of some finished calls may take.
const LOGGED: Duration = Duration::from_secs(10);

/// Every certificate that a client may present, and none.
fn connections() -> impl Iterator<Item = ClientTls> {
    let some = certificates::all().iter().map(Some);
    some.chain([None]).flat_map(|certificate| {
        [TlsVersion::V1_2, TlsVersion::V1_3].map(|version| ClientTls {
            certificate,
            version,
        })
    })
}

fn called(stage: &Stage, protocol: Protocol, call: &Call) -> Seen {
    stage
        .call(protocol, call, &Upstream::default())
        .unwrap_or_else(|fault| panic!("{protocol} {call:?}: {fault}"))
}

#[test]
fn the_gateway_tells_of_a_certificate_what_it_is() {
    let stage = bare(ForwardedClientCert::Sanitize);
    for protocol in Protocol::ALL {
        for connection in connections() {
            let mut call = Call::chat("t", b"{}");
            call.connection = Some(connection);
            let seen = called(stage, protocol, &call);
            assert_eq!(seen.answer.map(|answer| answer.status), Some(200));
            let certificate = connection.certificate;
            let told = PeerLine {
                tls: Some(match connection.version {
                    TlsVersion::V1_2 => "TLSv1.2".into(),
                    TlsVersion::V1_3 => "TLSv1.3".into(),
                }),
                presented: certificate.is_some(),
                valid: certificate.is_some_and(|certificate| certificate.valid),
                // The first URI name alone, also of a certificate that nobody vouches for.
                uri: certificate
                    .and_then(|certificate| certificate.uris.first().map(|uri| (*uri).to_owned())),
                digest: certificate.map(|certificate| {
                    let bytes = certificate.sha256();
                    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
                }),
                // Plain PEM, not URL-encoded.
                certificate: certificate.map(|certificate| certificate.chain_pem.to_owned()),
            };
            assert_eq!(seen.access[0].peer, told, "{protocol} {connection:?}");
        }
        let plain = called(stage, protocol, &Call::chat("t", b"{}"));
        assert_eq!(
            plain.access[0].peer,
            PeerLine::default(),
            "{protocol} plain"
        );
    }
}

#[test]
fn the_module_names_only_a_peer_whose_certificate_is_valid() {
    for (mode, protocol) in every_way() {
        let stage = given::shared("peers", mode);
        for connection in connections() {
            let what = format!("{mode} {protocol} {connection:?}");
            let mut call = Call::chat(&given::token(), CHAT);
            call.connection = Some(connection);
            let seen = called(stage, protocol, &call);
            let record = record(stage, &seen, &what);
            let valid = connection
                .certificate
                .filter(|certificate| certificate.valid);
            // Two URI names are no identity; what the module makes of them is the scenarios' to say.
            if valid.is_some_and(|certificate| certificate.uris.len() > 1) {
                continue;
            }
            let uri = valid.and_then(|certificate| certificate.uris.first());
            let uri = uri.map_or(Value::Null, |uri| json!(uri));
            assert_eq!(record["peer"]["uri"], uri, "{what}: {record}");
            assert_eq!(record["decision"], "allow", "{what}: {record}");
        }
    }
}

#[test]
fn every_request_of_a_connection_that_stays_has_its_record_and_its_peer() {
    let provider = given::provider();
    let policy = given::policy(Mode::None);
    let stage = given::two_workers("peers-kept", Mode::None, &policy, &provider);
    for protocol in Protocol::ALL {
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let what = format!("{protocol} {version:?}");
            let case = fresh_case();
            stage.recorder.plan(case, &Upstream::default());
            let tls = ClientTls {
                version,
                ..given::peer("research")
            };
            // Allowed, without a token, with a broken one, and allowed again. WHY a refused one has no body: after a refusal
            // in the middle of a request HTTP/1.1 ends with its connection.
            let calls: Vec<Call> = [
                given::token(),
                String::new(),
                "x.y.z".into(),
                given::token(),
            ]
            .iter()
            .enumerate()
            .map(|(at, token)| {
                let mut call = Call::chat(token, CHAT);
                call.connection = Some(tls);
                if at == 1 || at == 2 {
                    (call.method, call.path, call.body) = ("GET".into(), "/v1/models".into(), None);
                }
                if token.is_empty() {
                    call.headers.remove(0);
                }
                call
            })
            .collect();
            let to = stage.envoy.listener("tls_h1");
            let answers = runtime().block_on(async {
                let wire = tls::connect(Some(tls), protocol, case, to).await?;
                client::in_turn(wire, protocol, &calls).await
            });
            let answers = answers.unwrap_or_else(|fault| panic!("{what}: {fault}"));
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [200, 401, 401, 200], "{what}");
            let lines = stage.envoy.access_of(&case.to_string(), 4, LOGGED);
            assert_eq!(lines.len(), 4, "{what}: a line for each");
            let records: Vec<Value> = lines
                .iter()
                .map(|line| serde_json::from_str(line.record.as_ref().unwrap()).unwrap())
                .collect();
            for (record, answer) in records.iter().zip(&answers) {
                assert_eq!(
                    record["peer"]["uri"], "spiffe://example.org/ns/research/sa/notebook",
                    "{what}: {record}"
                );
                let id = answer
                    .headers
                    .iter()
                    .find(|(name, _)| name == "x-postern-audit-id");
                let id = id.map(|(_, id)| String::from_utf8_lossy(id).into_owned());
                assert_eq!(
                    record["id"].as_str(),
                    id.as_deref(),
                    "{what}: its own record"
                );
            }
            let seen = stage.recorder.arrived(case, LOGGED).unwrap();
            assert_eq!(seen.len(), 2, "{what}: upstream got what was allowed");
        }
    }
    assert_eq!(stage.reckoning(), Vec::<String>::new());
}

// --- The forwarded certificate ---

fn bare(forwarded: ForwardedClientCert) -> &'static Stage {
    static STAGES: [OnceLock<Stage>; 3] = [const { OnceLock::new() }; 3];
    let (place, name) = match forwarded {
        ForwardedClientCert::Sanitize => (0, "peers-sanitize"),
        ForwardedClientCert::AppendForward => (1, "peers-append"),
        ForwardedClientCert::AlwaysForwardOnly => (2, "peers-always"),
    };
    STAGES[place].get_or_init(|| {
        let mut deployment = Deployment::new(Mode::None, Filter::Absent);
        deployment.forwarded_client_cert = forwarded;
        given::set(name, &deployment)
    })
}

/// `x-forwarded-client-cert` as upstream got it.
fn forwarded(how: ForwardedClientCert, certificate: &str, sent: &str) -> Option<String> {
    let mut call = Call::chat("t", b"{}");
    call.connection = match certificate {
        "plain" => None,
        "none" => Some(ClientTls {
            certificate: None,
            version: TlsVersion::V1_3,
        }),
        name => Some(given::peer(name)),
    };
    call.headers
        .push(("x-forwarded-client-cert".into(), sent.into()));
    upstream_got(&called(bare(how), Protocol::H1, &call)).pop()
}

/// Every `x-forwarded-client-cert` that upstream got.
fn upstream_got(seen: &Seen) -> Vec<String> {
    let headers = seen.forwarded[0].headers.iter();
    headers
        .filter(|(name, _)| name == "x-forwarded-client-cert")
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

#[test]
fn what_a_client_says_of_another_certificate_goes_on_as_the_gateway_is_told() {
    use ForwardedClientCert::{AlwaysForwardOnly, AppendForward, Sanitize};
    let sent = "By=spiffe://example.org/a;URI=spiffe://example.org/b";
    for certificate in ["plain", "none", "research", "forged"] {
        assert_eq!(
            forwarded(Sanitize, certificate, sent),
            None,
            "{certificate}: the default trusts nobody"
        );
        assert_eq!(
            forwarded(AlwaysForwardOnly, certificate, sent).as_deref(),
            Some(sent),
            "{certificate}: whoever sent it"
        );
    }
    for certificate in ["plain", "none"] {
        assert_eq!(
            forwarded(AppendForward, certificate, sent),
            None,
            "{certificate}: nobody to append"
        );
    }
    // A forged certificate is enough to be believed by the gateway: the module has to look for itself.
    for certificate in ["research", "forged"] {
        let digest: String = certificates::by_name(certificate)
            .unwrap()
            .sha256()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let value = forwarded(AppendForward, certificate, sent).expect("a value");
        let own = value
            .strip_prefix(&format!("{sent},"))
            .unwrap_or_else(|| panic!("{certificate}: {value}"));
        assert!(
            own.contains(&format!("Hash={digest};Subject=\"")),
            "{certificate}: {value}"
        );
        assert!(
            own.ends_with(";URI=spiffe://example.org/ns/research/sa/notebook"),
            "{certificate}: {value}"
        );
    }
}

#[test]
fn two_lines_of_a_client_become_one_value() {
    for protocol in Protocol::ALL {
        let mut call = Call::chat("t", b"{}");
        for value in ["URI=a", "URI=b"] {
            call.headers
                .push(("x-forwarded-client-cert".into(), value.into()));
        }
        let seen = called(
            bare(ForwardedClientCert::AlwaysForwardOnly),
            protocol,
            &call,
        );
        assert_eq!(
            upstream_got(&seen),
            ["URI=a,URI=b"],
            "{protocol}: nobody behind can tell two from one"
        );
    }
}
