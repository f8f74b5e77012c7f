//! The certificates of the tests: one authority of the trust domain example.org, a server, and clients.
//!
//! Decided here: which certificate a scenario may name. They are files, made once (`tests/keys/peers/make.py`), so that a
//! token can be bound to one of them and both levels present the same bytes.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// A certificate with its private key.
#[derive(Debug)]
pub struct Certificate {
    /// How scenarios name it.
    pub name: &'static str,
    /// The chain as PEM: the leaf alone, since the authority signs it directly.
    pub chain_pem: &'static str,
    /// The private key as PEM (PKCS #8).
    pub key_pem: &'static str,
    /// The leaf as DER.
    pub der: Vec<u8>,
    /// URI names of the leaf (RFC 5280 §4.2.1.6), in order.
    pub uris: &'static [&'static str],
    /// Whether the authority vouches for it today.
    pub valid: bool,
}

/// What a file of `tests/keys/peers` holds, and what is known of it.
struct File {
    name: &'static str,
    pem: &'static str,
    key: &'static str,
    uris: &'static [&'static str],
    valid: bool,
}

macro_rules! file {
    ($name:literal, $valid:literal, $uris:expr) => {
        File {
            name: $name,
            pem: include_str!(concat!("../keys/peers/", $name, ".pem")),
            key: include_str!(concat!("../keys/peers/", $name, ".key.pem")),
            uris: $uris,
            valid: $valid,
        }
    };
}

const RESEARCH: &str = "spiffe://example.org/ns/research/sa/notebook";
const BATCH: &str = "spiffe://example.org/ns/batch/sa/runner";

const SERVER: File = file!("server", true, &[]);

const CLIENTS: &[File] = &[
    file!("research", true, &[RESEARCH]),
    file!("batch", true, &[BATCH]),
    file!(
        "ingress",
        true,
        &["spiffe://example.org/ns/istio-system/sa/ingress"]
    ),
    // Another trust domain, under the same authority.
    file!(
        "foreign",
        true,
        &["spiffe://other.org/ns/research/sa/notebook"]
    ),
    // Not legal for an X.509-SVID: exactly one URI name is.
    file!("two-uris", true, &[RESEARCH, BATCH]),
    file!("no-uri", true, &[]),
    file!("expired", false, &[RESEARCH]),
    // Signed by itself, with the name of `research`.
    file!("forged", false, &[RESEARCH]),
];

/// Every client certificate.
#[must_use]
pub fn all() -> &'static [Certificate] {
    static MADE: OnceLock<Vec<Certificate>> = OnceLock::new();
    MADE.get_or_init(|| CLIENTS.iter().map(certificate).collect())
}

/// The client certificate of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Certificate> {
    all().iter().find(|certificate| certificate.name == name)
}

/// The certificate of the gateway: api.example.com and every other host of the scenarios.
#[must_use]
pub fn server() -> &'static Certificate {
    static MADE: OnceLock<Certificate> = OnceLock::new();
    MADE.get_or_init(|| certificate(&SERVER))
}

/// The authority's certificate as PEM.
#[must_use]
pub fn authority_pem() -> &'static str {
    include_str!("../keys/peers/authority.pem")
}

impl Certificate {
    /// SHA-256 of the leaf's DER.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }
}

fn certificate(file: &File) -> Certificate {
    Certificate {
        name: file.name,
        chain_pem: file.pem,
        key_pem: file.key,
        der: der(file.pem).unwrap_or_default(),
        uris: file.uris,
        valid: file.valid,
    }
}

/// The bytes of the first PEM block.
fn der(pem: &str) -> Option<Vec<u8>> {
    let text: String = pem
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .collect();
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_certificate_is_read_and_carries_the_names_that_are_said_of_it() {
        for certificate in all().iter().chain([server()]) {
            let name = certificate.name;
            assert_eq!(certificate.der.first(), Some(&0x30), "{name}: a SEQUENCE");
            assert!(certificate.key_pem.contains("BEGIN PRIVATE KEY"), "{name}");
            let text = String::from_utf8_lossy(&certificate.der).into_owned();
            assert_eq!(
                text.matches("spiffe://").count(),
                certificate.uris.len(),
                "{name}"
            );
            for uri in certificate.uris {
                assert!(text.contains(uri), "{name}: {uri}");
            }
        }
        assert!(der(authority_pem()).is_some());
    }

    #[test]
    fn each_has_its_own_name_and_its_own_bytes() {
        let mut digests: Vec<_> = all()
            .iter()
            .map(|certificate| (certificate.name, certificate.sha256()))
            .collect();
        digests.sort_by_key(|(_, digest)| *digest);
        digests.dedup_by_key(|(_, digest)| *digest);
        assert_eq!(digests.len(), CLIENTS.len());
        for certificate in all() {
            let found = by_name(certificate.name).unwrap();
            assert_eq!(found.sha256(), certificate.sha256());
        }
        assert!(by_name("server").is_none(), "no client");
    }
}
