//! What always holds of peers, whatever a certificate, a caller or a proxy says (the promises of `peer`).
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postern_core::peer::{
    Connection, ForwardedFault, MAX_ELEMENTS, Peer, PeerFault, PeerPattern, Peers, SpiffeId,
    TlsVersion,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const PROXY: &str = "spiffe://example.org/ns/istio-system/sa/gateway";
const PROXY_PEM: &str = include_str!("../../../tests/vectors/peer/proxy.pem");
const WORKLOAD_PEM: &str = include_str!("../../../tests/vectors/peer/workload.pem");

fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(text).unwrap()
}

fn pem(der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
    .into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A connection on which this certificate was validated.
fn connection(der: &[u8]) -> Connection {
    Connection {
        presented: true,
        validated: true,
        certificate: Some(pem(der)),
        digest: Some(hex(&Sha256::digest(der))),
        tls_version: Some("TLSv1.3".to_owned()),
    }
}

static BY_PROXY: LazyLock<Connection> = LazyLock::new(|| connection(&der(PROXY_PEM)));
static BY_WORKLOAD: LazyLock<Connection> = LazyLock::new(|| connection(&der(WORKLOAD_PEM)));

/// Trusts the proxy and the edges in front of it.
static PEERS: LazyLock<Peers> = LazyLock::new(|| {
    let proxies = [PROXY, "spiffe://example.org/edge/*"];
    let proxies = proxies
        .map(|text| PeerPattern::parse(text).unwrap())
        .to_vec();
    Peers::new(Vec::new(), TlsVersion::V1_2, proxies).unwrap()
});

fn prove(value: &[u8]) -> Result<Option<Peer>, PeerFault> {
    PEERS.prove(&BY_PROXY, &[value])
}

/// Segments of paths.
fn segment() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,8}"
}

/// IDs of workloads that are no proxies.
fn workload() -> impl Strategy<Value = String> {
    ("[a-z0-9][a-z0-9._-]{0,8}", vec(segment(), 1..5))
        .prop_map(|(domain, path)| format!("spiffe://{domain}/ns/{}", path.join("/")))
}

/// One hop, as a gateway knows it.
#[derive(Debug, Clone)]
struct Hop {
    hash: [u8; 32],
    subject: Option<String>,
    dns: Vec<String>,
    issuer: Option<String>,
}

fn hop() -> impl Strategy<Value = Hop> {
    // RFC 2253: a quote, a backslash and a separator are escaped.
    let name = || proptest::option::of("CN=([a-zA-Z0-9 .=;,]|\\\\[\"\\\\,;+]){0,12}");
    let dns = vec("[a-z*][a-z0-9.-]{0,12}", 0..3);
    (any::<[u8; 32]>(), name(), dns, name()).prop_map(|(hash, subject, dns, issuer)| Hop {
        hash,
        subject,
        dns,
        issuer,
    })
}

impl Hop {
    fn text(&self, by: &str, uri: &str) -> String {
        let mut pairs = vec![format!("By={by}"), format!("Hash={}", hex(&self.hash))];
        pairs.extend(
            self.subject
                .iter()
                .map(|name| format!("Subject=\"{name}\"")),
        );
        pairs.push(format!("URI={uri}"));
        pairs.extend(self.dns.iter().map(|name| format!("DNS={name}")));
        pairs.extend(self.issuer.iter().map(|name| format!("Issuer=\"{name}\"")));
        pairs.join(";")
    }

    fn json(&self, by: &str, uri: &str) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let mut members = vec![
            format!("\"by\":[{}]", text(by)),
            format!("\"hash\":\"{}\"", hex(&self.hash)),
        ];
        members.extend(
            self.subject
                .iter()
                .map(|name| format!("\"subject\":{}", text(name))),
        );
        members.push(format!("\"uri\":[{}]", text(uri)));
        if !self.dns.is_empty() {
            members.push(format!("\"dns\":{}", Value::from(self.dns.clone())));
        }
        members.extend(
            self.issuer
                .iter()
                .map(|name| format!("\"issuer\":{}", text(name))),
        );
        format!("{{{}}}", members.join(","))
    }
}

/// A caller behind this many edges, in both forms.
fn written(caller: &str, hops: &[Hop], appended: bool) -> (String, String) {
    let mut names = vec![caller.to_owned()];
    names.extend((1..hops.len()).map(|n| format!("spiffe://example.org/edge/{n}")));
    names.push(PROXY.to_owned());
    let mut text: Vec<_> = hops
        .iter()
        .enumerate()
        .map(|(n, hop)| hop.text(&names[n + 1], &names[n]))
        .collect();
    let mut json: Vec<_> = hops
        .iter()
        .enumerate()
        .map(|(n, hop)| hop.json(&names[n + 1], &names[n]))
        .collect();
    if appended {
        let own = Hop {
            hash: Sha256::digest(der(PROXY_PEM)).into(),
            ..hops[0].clone()
        };
        text.push(own.text("spiffe://example.org/us", PROXY));
        json.push(own.json("spiffe://example.org/us", PROXY));
    }
    (text.join(","), format!("[{}]", json.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What gateways write is read back, in both forms, for every number of hops.
    #[test]
    fn what_gateways_write_is_read_back(
        caller in workload(),
        hops in vec(hop(), 1..=MAX_ELEMENTS + 1),
        appended in any::<bool>(),
    ) {
        let (text, json) = written(&caller, &hops, appended);
        let elements = hops.len() + usize::from(appended);
        for value in [&text, &json] {
            let peer = prove(value.as_bytes());
            if elements > MAX_ELEMENTS {
                prop_assert_eq!(peer, Err(PeerFault::Forwarded(ForwardedFault::TooManyElements)));
                continue;
            }
            let peer = peer.unwrap().unwrap();
            prop_assert_eq!(peer.id().as_str(), &caller);
            prop_assert_eq!(peer.certificate_digest(), &hops[0].hash);
            prop_assert_eq!(peer.forwarded_by().map(SpiffeId::as_str), Some(PROXY));
        }
    }

    /// Whatever stands to the left of what trusted proxies wrote, nobody is proved.
    #[test]
    fn what_a_client_puts_in_front_is_refused(
        caller in workload(),
        hops in vec(hop(), 1..4),
        sent in prop_oneof![".{0,40}", workload().prop_map(|id| format!("By={PROXY};Hash={};URI={id}", "0".repeat(64)))],
    ) {
        let (text, _) = written(&caller, &hops, false);
        let joined = format!("{sent},{text}");
        prop_assert!(prove(joined.as_bytes()).is_err(), "{}", joined);
    }

    /// A value changed in one place proves a workload or nobody.
    #[test]
    fn changed_values_never_panic(
        caller in workload(),
        hops in vec(hop(), 1..4),
        at in any::<Index>(),
        byte in any::<u8>(),
        json in any::<bool>(),
    ) {
        let (text, array) = written(&caller, &hops, true);
        let mut value = if json { array } else { text }.into_bytes();
        let at = at.index(value.len());
        value[at] = byte;
        if let Ok(Some(peer)) = prove(&value) {
            prop_assert!(SpiffeId::parse(peer.id().as_str()).is_ok());
        }
    }

    #[test]
    fn arbitrary_values_prove_nobody(value in vec(any::<u8>(), 0..200)) {
        prop_assert!(prove(&value).is_err());
    }

    #[test]
    fn values_of_the_grammar_s_letters_never_panic(value in "(By=|Hash=|URI=|Subject=|[\\[\\]{},;=\"\\\\a:% ]){0,40}") {
        prop_assert!(prove(value.as_bytes()).is_err());
    }

    /// A header names nobody when the immediate peer is not trusted, whatever it says.
    #[test]
    fn an_untrusted_peer_is_itself(
        caller in workload(),
        hops in vec(hop(), 1..4),
        noise in vec(any::<u8>(), 0..60),
    ) {
        let (text, json) = written(&caller, &hops, false);
        let alone = PEERS.prove(&BY_WORKLOAD, &[]);
        prop_assert!(matches!(&alone, Ok(Some(peer)) if peer.forwarded_by().is_none()));
        for value in [text.as_bytes(), json.as_bytes(), &noise] {
            prop_assert_eq!(&PEERS.prove(&BY_WORKLOAD, &[value]), &alone);
            prop_assert_eq!(PEERS.prove(&Connection::default(), &[value]), Ok(None));
        }
    }

    /// In the JSON form a name is told as it is, or refused; so in the text form, unless it holds the grammar's own separators.
    #[test]
    fn a_name_is_told_whole_or_not_at_all(
        hop in hop(),
        uri in prop_oneof![".{0,30}", "spiffe://[a-z]{1,4}/[a-z;,=\"\\\\/%.\\x00 ]{0,12}"],
    ) {
        let told = |value: String| prove(value.as_bytes()).map(|peer| peer.unwrap().id().to_string());
        let json = told(format!("[{}]", hop.json(PROXY, &uri)));
        prop_assert!(json.is_err() || json.as_ref() == Ok(&uri));
        prop_assert_eq!(json.is_ok(), SpiffeId::parse(&uri).is_ok());
        if !uri.contains([';', ',']) {
            let text = told(hop.text(PROXY, &uri));
            prop_assert!(text.is_err() || text.as_ref() == Ok(&uri));
            prop_assert_eq!(text.is_ok(), json.is_ok());
        }
    }

    /// A certificate changed anywhere is another certificate, and none of them panics.
    #[test]
    fn changed_certificates_are_refused_or_read(at in any::<Index>(), byte in any::<u8>(), cut in any::<Index>()) {
        let good = der(WORKLOAD_PEM);
        let mut changed = good.clone();
        let at = at.index(changed.len());
        changed[at] = byte;
        if changed != good {
            let stale = Connection { certificate: Some(pem(&changed)), ..BY_WORKLOAD.clone() };
            prop_assert!(PEERS.prove(&stale, &[]).is_err(), "the digest is of another");
        }
        if let Ok(peer) = PEERS.prove(&connection(&changed), &[]) {
            prop_assert!(SpiffeId::parse(peer.unwrap().id().as_str()).is_ok());
        }
        prop_assert!(PEERS.prove(&connection(&good[..cut.index(good.len())]), &[]).is_err());
    }

    #[test]
    fn arbitrary_certificates_prove_nobody(bytes in vec(any::<u8>(), 0..200)) {
        let raw = Connection { certificate: Some(bytes.clone()), ..BY_WORKLOAD.clone() };
        prop_assert!(PEERS.prove(&raw, &[]).is_err());
        prop_assert!(PEERS.prove(&connection(&bytes), &[]).is_err());
    }

    #[test]
    fn ids_are_read_as_they_are_written(text in prop_oneof![workload(), "spiffe://.{0,20}", ".{0,30}"]) {
        if let Ok(id) = SpiffeId::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert!(id.segments().count() > 0);
            let again = format!("spiffe://{}/{}", id.trust_domain(), id.segments().collect::<Vec<_>>().join("/"));
            prop_assert_eq!(&again, &text);
            prop_assert!(PeerPattern::parse(&text).unwrap().matches(&id));
        }
    }

    /// A star covers its segment, and at the end all that follows.
    #[test]
    fn stars_cover_segments(caller in workload(), other in workload(), at in any::<Index>(), more in vec(segment(), 0..3)) {
        let id = SpiffeId::parse(&caller).unwrap();
        let mut segments: Vec<_> = id.segments().collect();
        let at = at.index(segments.len());
        let last = at + 1 == segments.len();
        segments[at] = "*";
        let domain = id.trust_domain();
        let pattern = PeerPattern::parse(&format!("spiffe://{domain}/{}", segments.join("/"))).unwrap();
        prop_assert!(pattern.matches(&id));
        let longer = [vec![caller.clone()], more.clone()].concat().join("/");
        prop_assert_eq!(pattern.matches(&SpiffeId::parse(&longer).unwrap()), more.is_empty() || last);
        let exact = PeerPattern::parse(&caller).unwrap();
        prop_assert_eq!(exact.matches(&SpiffeId::parse(&other).unwrap()), caller == other);
    }
}
