//! Peers: the header of a trusted proxy, the certificate of a connection, IDs and patterns. The first byte of the input says which; the
//! rest is fed as it is.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use postern_core::peer::{Connection, PeerFault, PeerPattern, Peers, SpiffeId, TlsVersion};
use sha2::{Digest, Sha256};

const PROXY: &str = "spiffe://example.org/ns/istio-system/sa/gateway";
const PROXY_PEM: &str = include_str!("../../vectors/peer/proxy.pem");

/// Trusts the proxy and the edges in front of it.
static PEERS: LazyLock<Peers> = LazyLock::new(|| {
    let proxies = [PROXY, "spiffe://example.org/ns/edge/*"];
    let proxies = proxies.map(|text| PeerPattern::parse(text).unwrap());
    Peers::new(Vec::new(), TlsVersion::V1_2, proxies.to_vec()).unwrap()
});

static BY_PROXY: LazyLock<Connection> = LazyLock::new(|| {
    let text: String = PROXY_PEM
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    connection(PROXY_PEM.into(), &STANDARD.decode(text).unwrap())
});

fn connection(pem: Vec<u8>, der: &[u8]) -> Connection {
    let digest = Sha256::digest(der);
    Connection {
        presented: true,
        validated: true,
        certificate: Some(pem),
        digest: Some(digest.iter().map(|byte| format!("{byte:02x}")).collect()),
        tls_version: Some("TLSv1.3".to_owned()),
    }
}

fn header(value: &[u8]) {
    let outcome = PEERS.prove(&BY_PROXY, &[value]);
    match &outcome {
        Ok(peer) => {
            let peer = peer.as_ref().expect("a proved proxy is somebody");
            assert!(SpiffeId::parse(peer.id().as_str()).is_ok());
            assert!(peer.forwarded_by().is_none_or(|by| by.as_str() == PROXY));
            if value.starts_with(b"[") {
                assert!(serde_json::from_slice::<serde_json::Value>(value).is_ok());
            }
        }
        Err(fault) => assert!(matches!(fault, PeerFault::Forwarded(_)), "{fault}"),
    }
    assert!(PEERS.prove(&BY_PROXY, &[value, value]).is_err());
    assert_eq!(PEERS.prove(&Connection::default(), &[value]), Ok(None));
}

fn certificate(der: &[u8]) {
    let text = STANDARD.encode(der);
    let mut pem = b"-----BEGIN CERTIFICATE-----\n".to_vec();
    for line in text.as_bytes().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END CERTIFICATE-----\n");
    if let Ok(peer) = PEERS.prove(&connection(pem, der), &[]) {
        let peer = peer.expect("who presents a certificate is somebody");
        let id = peer.id().as_str().as_bytes();
        assert!(
            der.windows(id.len()).any(|part| part == id),
            "a name that is not in it"
        );
    }
}

fn id(text: &str) {
    if let Ok(id) = SpiffeId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(PeerPattern::parse(text).is_ok_and(|pattern| pattern.matches(&id)));
    }
    if let Ok(pattern) = PeerPattern::parse(text) {
        // Any star filled by one segment is covered.
        let filled = text.replace('*', "x");
        assert!(pattern.matches(&SpiffeId::parse(&filled).unwrap()));
    }
}

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((b'h', rest)) => header(rest),
        Some((b'c', rest)) => certificate(rest),
        Some((b'i', rest)) => {
            if let Ok(text) = str::from_utf8(rest) {
                id(text);
            }
        }
        _ => {}
    }
});
