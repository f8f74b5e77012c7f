//! For tests: the certificates under tests/vectors/peer, and connections that present them.

use super::Connection;
use super::certificate::Leaf;

macro_rules! vectors {
    ($($name:literal),* $(,)?) => {
        /// The certificate of this name, as PEM.
        pub(super) fn pem(name: &str) -> &'static str {
            match name {
                $($name => include_str!(concat!("../../../../tests/vectors/peer/", $name, ".pem")),)*
                _ => panic!("no such vector: {name}"),
            }
        }

        /// The names of all.
        pub(super) const NAMES: &[&str] = &[$($name),*];
    };
}

vectors![
    "authority",
    "bare",
    "broken-constraints",
    "broken-san",
    "broken-usage",
    "ed25519",
    "foreign",
    "full",
    "many-extensions",
    "no-san",
    "no-uri",
    "not-ascii",
    "nul",
    "nul-dns",
    "other",
    "proxy",
    "san-twice",
    "separators",
    "signs-certificates",
    "signs-lists",
    "space",
    "trailing-san",
    "trust-domain",
    "two-uris",
    "upper-case",
    "uri-twice",
    "usage-twice",
    "web-uri",
    "workload",
];

/// What the gateway wrote into the header, and what it told of the certificates.
pub(super) const GATEWAY: &str = include_str!("../../../../tests/vectors/peer/gateway.json");

/// 64 digits of hex.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of the certificate of this name.
pub(super) fn digest(name: &str) -> [u8; 32] {
    *Leaf::read(pem(name).as_bytes()).unwrap().digest()
}

/// A connection on which this certificate was presented and validated, as the host tells of it.
pub(super) fn connection(name: &str) -> Connection {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let text: String = pem(name)
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    Connection {
        presented: true,
        validated: true,
        certificate: Some(pem(name).as_bytes().to_vec()),
        digest: Some(hex(&Sha256::digest(der))),
        tls_version: Some("TLSv1.3".to_owned()),
    }
}
