//! Who holds the other end of the connection: the mTLS peer, as far as the gateway has proved it.
//!
//! Against THREATS 24: a certificate that was presented is not a certificate that was validated. A self-signed
//! certificate with a forged SAN is presented too; only a validated one gives a peer.

/// What the host says of the downstream connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whether the peer's certificate was validated in this very handshake.
    pub certificate_valid: bool,
    /// The first URI SAN of the peer's certificate.
    pub uri_san: Option<String>,
}

/// A proved peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    uri: String,
}

impl Peer {
    /// The peer of a connection: none without a validated certificate that names a URI of at most 2048 visible ASCII
    /// characters (the bound of a SPIFFE ID).
    pub fn of(connection: Connection) -> Option<Self> {
        let Connection {
            certificate_valid,
            uri_san,
        } = connection;
        let uri = uri_san.filter(|_| certificate_valid)?;
        let plain = !uri.is_empty()
            && uri.len() <= 2048
            && uri.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        plain.then_some(Self { uri })
    }

    /// Its URI SAN.
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn only_validated_certificates_name_a_peer() {
        let spiffe = "spiffe://example.org/ns/a/sa/b";
        let rows = [
            (true, Some(spiffe), Some(spiffe), "validated"),
            (false, Some(spiffe), None, "presented only: a forged SAN"),
            (true, None, None, "no URI SAN"),
            (true, Some("spiffe://x\0y"), None, "NUL in a SAN"),
            (true, Some(""), None, "empty"),
        ];
        for (certificate_valid, uri, expected, why) in rows {
            let peer = Peer::of(Connection {
                certificate_valid,
                uri_san: uri.map(str::to_owned),
            });
            assert_eq!(peer.as_ref().map(Peer::uri), expected, "{why}");
        }
    }
}
