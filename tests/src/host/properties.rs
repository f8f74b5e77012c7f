//! Properties: what `get_property` tells of the current stream, in the gateway's encoding.
//!
//! Of TLS: what the gateway's crypto library tells of the connection, a certificate that nobody vouches for included. A
//! resumed session, whose certificate is no longer known to be valid, is seen on the real gateway only.

use super::state::{Host, Stream};
use crate::certificates::Certificate;
use crate::scenario::{ClientTls, Protocol, TlsVersion};

/// The value at a path of segments; `None` is NotFound.
pub(super) fn read(host: &mut Host, path: &[&str]) -> Option<Vec<u8>> {
    match path {
        ["plugin_name"] => return Some(b"postern".to_vec()),
        ["plugin_root_id"] => return Some(b"postern".to_vec()),
        ["plugin_vm_id"] => return Some(Vec::new()),
        _ => {}
    }
    let now = host.now_ns;
    let stream = host.stream()?;
    match path {
        ["request", rest @ ..] => request(stream, rest, now),
        ["response", rest @ ..] => response(stream, rest),
        ["connection", rest @ ..] => connection(stream.connection, rest),
        ["source", "address"] => Some(b"127.0.0.1:40000".to_vec()),
        ["source", "port"] => Some(40000u64.to_le_bytes().to_vec()),
        ["destination", "address"] => Some(b"127.0.0.1:8080".to_vec()),
        ["destination", "port"] => Some(8080u64.to_le_bytes().to_vec()),
        ["xds", "route_name"] => Some(b"default".to_vec()),
        ["cluster_name"] | ["xds", "cluster_name"] => Some(b"upstream".to_vec()),
        [name] => stream.filter_state.get(&format!("wasm.{name}")).cloned(),
        ["filter_state", name] => stream.filter_state.get(*name).cloned(),
        _ => None,
    }
}

/// Sets filter state `wasm.<path>`; `false` outside of a stream.
pub(super) fn write(host: &mut Host, path: &str, value: &[u8]) -> bool {
    let Some(stream) = host.stream() else {
        return false;
    };
    stream
        .filter_state
        .insert(format!("wasm.{path}"), value.to_vec());
    true
}

/// Booleans are one byte, on a plain connection too; what the connection does not have is NotFound.
fn connection(tls: Option<ClientTls>, path: &[&str]) -> Option<Vec<u8>> {
    let certificate: Option<&Certificate> = tls.and_then(|tls| tls.certificate);
    match path {
        ["id"] => Some(7u64.to_le_bytes().to_vec()),
        ["mtls"] => Some(vec![u8::from(certificate.is_some())]),
        ["peer_certificate_valid"] => {
            Some(vec![u8::from(certificate.is_some_and(|peer| peer.valid))])
        }
        // The leaf as plain PEM, byte for byte as the authority wrote it.
        ["peer_certificate"] => certificate.map(|peer| peer.chain_pem.as_bytes().to_vec()),
        ["sha256_peer_certificate_digest"] => certificate.map(|peer| {
            let hex: String = peer.sha256().iter().map(|b| format!("{b:02x}")).collect();
            hex.into_bytes()
        }),
        // The first one only.
        ["uri_san_peer_certificate"] => certificate
            .and_then(|peer| peer.uris.first())
            .map(|uri| uri.as_bytes().to_vec()),
        ["subject_peer_certificate"] => tls.map(|_| {
            certificate.map_or(Vec::new(), |peer| {
                format!("CN={},O=Postern TEST-ONLY", peer.name).into_bytes()
            })
        }),
        ["tls_version"] => tls.map(|tls| match tls.version {
            TlsVersion::V1_2 => b"TLSv1.2".to_vec(),
            TlsVersion::V1_3 => b"TLSv1.3".to_vec(),
        }),
        _ => None,
    }
}

fn request(stream: &Stream, path: &[&str], now: u64) -> Option<Vec<u8>> {
    let headers = &stream.request.headers;
    let logged = stream.logging && !headers.pairs.is_empty();
    if !headers.visible && !logged {
        return None;
    }
    let text = |name: &str| headers.first(name).map(<[u8]>::to_vec);
    match path {
        ["path"] => text(":path"),
        ["url_path"] => text(":path").map(|path| {
            path.split(|b| *b == b'?')
                .next()
                .unwrap_or_default()
                .to_vec()
        }),
        ["query"] => text(":path").and_then(|path| {
            path.iter()
                .position(|b| *b == b'?')
                .map(|at| path[at + 1..].to_vec())
        }),
        ["host"] => text(":authority"),
        ["scheme"] => text(":scheme"),
        ["method"] => text(":method"),
        ["id"] => text("x-request-id"),
        ["referer"] => text("referer"),
        ["useragent"] => text("user-agent"),
        ["headers", name] => text(name),
        ["time"] => Some(stream.facts.started_ns.to_le_bytes().to_vec()),
        ["size"] => Some(stream.facts.received.to_le_bytes().to_vec()),
        ["duration"] => {
            let end = stream.facts.ended_ns.unwrap_or(now);
            stream
                .facts
                .ended_ns
                .map(|_| (end - stream.facts.started_ns).to_le_bytes().to_vec())
        }
        ["protocol"] => stream.facts.protocol.map(|protocol| match protocol {
            Protocol::H1 => b"HTTP/1.1".to_vec(),
            Protocol::H2 => b"HTTP/2".to_vec(),
        }),
        _ => None,
    }
}

fn response(stream: &Stream, path: &[&str]) -> Option<Vec<u8>> {
    let facts = &stream.facts;
    match path {
        ["code"] => facts
            .status
            .map(|status| u64::from(status).to_le_bytes().to_vec()),
        ["code_details"] => facts.details.clone().map(String::into_bytes),
        ["flags"] => Some(facts.flags.to_le_bytes().to_vec()),
        ["size"] => Some(facts.sent.to_le_bytes().to_vec()),
        ["headers", name] => stream.response.headers.first(name).map(<[u8]>::to_vec),
        _ => None,
    }
}
