//! What `get_property` tells of the client's connection, with each certificate and without one.

use super::*;
use crate::certificates::by_name;
use crate::host::properties::read;
use crate::scenario::{ClientTls, TlsVersion};

/// The property of a stream over this connection.
fn property(vm: &mut Vm, tls: Option<ClientTls>, name: &str) -> Option<Vec<u8>> {
    let mut settings = settings(Mode::Flag);
    settings.connection = tls;
    let id = vm.open(settings, head(), true);
    let host = vm.store.data_mut();
    host.current = id;
    read(host, &["connection", name])
}

fn tls(name: &str) -> Option<ClientTls> {
    Some(ClientTls {
        certificate: by_name(name),
        version: TlsVersion::V1_3,
    })
}

#[test]
fn a_certificate_is_told_as_it_is_and_whether_anybody_vouches_for_it_apart() {
    let mut vm = guest("PCCCCCCCC");
    // (certificate, valid, first URI)
    for (name, valid, uri) in [
        (
            "research",
            1,
            Some("spiffe://example.org/ns/research/sa/notebook"),
        ),
        (
            "foreign",
            1,
            Some("spiffe://other.org/ns/research/sa/notebook"),
        ),
        (
            "two-uris",
            1,
            Some("spiffe://example.org/ns/research/sa/notebook"),
        ),
        ("no-uri", 1, None),
        (
            "forged",
            0,
            Some("spiffe://example.org/ns/research/sa/notebook"),
        ),
        (
            "expired",
            0,
            Some("spiffe://example.org/ns/research/sa/notebook"),
        ),
    ] {
        let certificate = by_name(name).unwrap();
        let mut told = |property_name: &str| property(&mut vm, tls(name), property_name);
        assert_eq!(told("mtls"), Some(vec![1]), "{name}");
        assert_eq!(told("peer_certificate_valid"), Some(vec![valid]), "{name}");
        assert_eq!(
            told("uri_san_peer_certificate"),
            uri.map(|uri| uri.as_bytes().to_vec()),
            "{name}"
        );
        assert_eq!(
            told("peer_certificate"),
            Some(certificate.chain_pem.as_bytes().to_vec()),
            "{name}"
        );
        let digest = String::from_utf8(told("sha256_peer_certificate_digest").unwrap()).unwrap();
        assert!(digest.len() == 64 && !digest.contains(|c: char| c.is_ascii_uppercase()));
        assert_eq!(told("tls_version"), Some(b"TLSv1.3".to_vec()), "{name}");
    }
}

#[test]
fn without_a_certificate_the_two_truths_are_false_and_the_rest_is_not_there() {
    let mut vm = guest("PCCCCCCCC");
    let bare = Some(ClientTls {
        certificate: None,
        version: TlsVersion::V1_2,
    });
    for (connection, version) in [(None, None), (bare, Some(b"TLSv1.2".to_vec()))] {
        for name in ["mtls", "peer_certificate_valid"] {
            assert_eq!(property(&mut vm, connection, name), Some(vec![0]), "{name}");
        }
        for name in [
            "peer_certificate",
            "sha256_peer_certificate_digest",
            "uri_san_peer_certificate",
        ] {
            assert_eq!(property(&mut vm, connection, name), None, "{name}");
        }
        assert_eq!(property(&mut vm, connection, "tls_version"), version);
    }
}
