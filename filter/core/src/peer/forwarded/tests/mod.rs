mod json;
mod text;

use super::*;
use crate::peer::PeerPattern;
use crate::peer::vectors::{self, hex, pem};
use serde_json::{Value, json};
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const GATEWAY: &str = "spiffe://example.org/ns/istio-system/sa/gateway";
const EDGE: &str = "spiffe://example.org/ns/edge/sa/a";
const CALLER: &str = "spiffe://example.org/ns/a/sa/b";
const NOTEBOOK: &str = "spiffe://example.org/ns/research/sa/notebook";

/// The hash that stands for this number.
fn hash(number: u8) -> String {
    hex(&[number; 32])
}

/// Who is told of, when the gateway is the immediate peer, with certificate 9, and it and the edges are trusted.
fn told(values: &[&str]) -> Result<Option<(String, [u8; 32])>, ForwardedFault> {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let id = SpiffeId::parse(GATEWAY).unwrap();
    let edges = PeerPattern::parse("spiffe://example.org/ns/edge/*").unwrap();
    let immediate = Immediate {
        id: &id,
        digest: &[9; 32],
    };
    let told = walk(&values, immediate, |id| {
        id.as_str() == GATEWAY || edges.matches(id)
    })?;
    Ok(told.map(|(id, hash)| (id.to_string(), hash)))
}

fn fault(value: &str) -> Option<ForwardedFault> {
    told(&[value]).err()
}

/// One element of the text form.
fn hop(by: &str, number: u8, uri: &str) -> String {
    format!("By={by};Hash={};URI={uri}", hash(number))
}

#[test]
fn chains() {
    let by_us = |number, uri| hop("spiffe://example.org/us", number, uri);
    let caller = hop(GATEWAY, 1, CALLER);
    let edge = hop(GATEWAY, 2, EDGE);
    let behind_edge = hop(EDGE, 1, CALLER);
    let other_edge = "spiffe://example.org/ns/edge/sa/b";
    let by = |id: &str, number: u8| Ok(Some((id.to_owned(), [number; 32])));
    let rows = [
        (caller.clone(), by(CALLER, 1), "one hop"),
        (
            format!("{caller},{}", by_us(9, GATEWAY)),
            by(CALLER, 1),
            "and our gateway's element",
        ),
        (
            format!("{caller},Hash={}", hash(9)),
            by(CALLER, 1),
            "which need not name the URI",
        ),
        (
            by_us(9, GATEWAY),
            Ok(None),
            "our gateway's alone: nobody is told of",
        ),
        (
            by_us(9, CALLER),
            Err(ForwardedFault::Disagrees),
            "the peer's certificate with another URI",
        ),
        (format!("{behind_edge},{edge}"), by(CALLER, 1), "two hops"),
        (
            format!("{behind_edge},{edge},{}", by_us(9, GATEWAY)),
            by(CALLER, 1),
            "two hops and ours",
        ),
        (
            format!(
                "{},{},{edge}",
                hop(other_edge, 1, CALLER),
                hop(EDGE, 3, other_edge)
            ),
            by(CALLER, 1),
            "three hops",
        ),
        (edge.clone(), by(EDGE, 2), "a proxy that calls for itself"),
        (
            format!("{caller},{caller}"),
            Err(ForwardedFault::Untrusted),
            "a client's own element on the left",
        ),
        (
            format!("{caller},{}", hop(GATEWAY, 1, NOTEBOOK)),
            Err(ForwardedFault::Untrusted),
            "whatever it says",
        ),
        (
            format!("{behind_edge},{caller},{edge}"),
            Err(ForwardedFault::Disagrees),
            "not written by whom the next names",
        ),
        (
            format!("{caller},{edge}"),
            Err(ForwardedFault::Disagrees),
            "not written by the edge",
        ),
        (
            format!("Hash={};URI={CALLER},{edge}", hash(1)),
            Err(ForwardedFault::Disagrees),
            "written by nobody",
        ),
        (
            format!(
                "By=https://edge.example.org;Hash={};URI={CALLER},{edge}",
                hash(1)
            ),
            Err(ForwardedFault::Disagrees),
            "written by no SPIFFE ID",
        ),
        (
            format!("{caller},{}", hop(GATEWAY, 2, GATEWAY)),
            Err(ForwardedFault::Loop),
            "a proxy behind itself",
        ),
        (
            format!("{},{},{edge}", hop(EDGE, 1, CALLER), hop(EDGE, 2, EDGE)),
            Err(ForwardedFault::Loop),
            "an edge behind itself",
        ),
        (
            hop(EDGE, 1, CALLER),
            Err(ForwardedFault::Disagrees),
            "the immediate peer did not write it",
        ),
        (
            format!("Hash={};URI={CALLER}", hash(1)),
            by(CALLER, 1),
            "a proxy whose own certificate has no URI",
        ),
        (
            format!("By=https://x.example.org;Hash={};URI={CALLER}", hash(1)),
            by(CALLER, 1),
            "or another kind of URI",
        ),
        (
            format!("By={GATEWAY};Hash={}", hash(1)),
            Err(ForwardedFault::UriMissing),
            "nobody named",
        ),
        (
            format!("By={GATEWAY};Hash={};URI=", hash(1)),
            Err(ForwardedFault::UriMissing),
            "a certificate without a URI",
        ),
        (
            hop(GATEWAY, 1, "https://example.org/x"),
            Err(ForwardedFault::NotSpiffe),
            "another scheme",
        ),
        (
            hop(GATEWAY, 1, "spiffe://example.org"),
            Err(ForwardedFault::NotSpiffe),
            "no workload",
        ),
        (
            [caller.as_str(); 9].join(","),
            Err(ForwardedFault::TooManyElements),
            "nine elements",
        ),
        (
            [caller.as_str(); 8].join(","),
            Err(ForwardedFault::Untrusted),
            "eight are read",
        ),
    ];
    for (value, expected, why) in rows {
        assert_eq!(told(&[&value]), expected, "{value}: {why}");
    }
    assert_eq!(told(&[]), Ok(None), "no header");
    assert_eq!(
        told(&[&caller, &caller]),
        Err(ForwardedFault::HeaderRepeated)
    );
    let long = format!("{caller};DNS={}", "d".repeat(MAX_FORWARDED_BYTES));
    assert_eq!(fault(&long), Some(ForwardedFault::TooLong));
}

#[test]
fn a_certificate_in_an_element_must_agree() {
    use ForwardedFault::*;
    let digest = hex(&vectors::digest("workload"));
    let separators = hex(&vectors::digest("separators"));
    let escaped = |name: &str| {
        pem(name)
            .replace('\n', "%0A")
            .replace(' ', "%20")
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D")
    };
    let rows = [
        (
            "workload",
            digest.as_str(),
            NOTEBOOK,
            None,
            "all of one certificate",
        ),
        (
            "workload",
            &hash(1),
            NOTEBOOK,
            Some(Disagrees),
            "another hash",
        ),
        ("workload", &digest, CALLER, Some(Disagrees), "another URI"),
        (
            "other",
            &digest,
            NOTEBOOK,
            Some(Disagrees),
            "another certificate",
        ),
        (
            "two-uris",
            &digest,
            NOTEBOOK,
            Some(Disagrees),
            "a certificate that names several",
        ),
        (
            "separators",
            &separators,
            "spiffe://example.org/a",
            Some(Disagrees),
            "the name goes on behind a semicolon, which the text form alone cannot show",
        ),
        (
            "authority",
            &digest,
            NOTEBOOK,
            Some(CertificateInvalid),
            "an authority",
        ),
        (
            "nul",
            &digest,
            NOTEBOOK,
            Some(CertificateInvalid),
            "NUL (CVE-2026-47778)",
        ),
    ];
    for (certificate, hash, uri, expected, why) in rows {
        let text = format!(
            "By={GATEWAY};Hash={hash};Cert=\"{}\";URI={uri}",
            escaped(certificate)
        );
        assert_eq!(fault(&text), expected, "text: {why}");
        let json = json!([{"by": [GATEWAY], "hash": hash, "cert": pem(certificate), "uri": [uri]}]);
        // In the order of the letters, as serde_json writes it, `cert` would stand before `hash`.
        let json = json.to_string().replacen(
            &format!("\"cert\":{},", Value::from(pem(certificate))),
            "",
            1,
        );
        let json = json.replacen(
            "\"uri\":",
            &format!("\"cert\":{},\"uri\":", Value::from(pem(certificate))),
            1,
        );
        assert_eq!(fault(&json), expected, "json: {why}");
    }
}

/// What the real gateway wrote when it was the immediate peer, for each of its own clients.
#[test]
fn as_the_gateway_writes() {
    use ForwardedFault::*;
    let gateway: Value = serde_json::from_str(vectors::GATEWAY).unwrap();
    let values = gateway["values"].as_array().unwrap();
    assert_eq!(values.len(), 60);
    for entry in values {
        let value = entry["value"].as_str().unwrap();
        let certificate = entry["certificate"].as_str().unwrap();
        let listener = entry["listener"].as_str().unwrap();
        let sent = entry["sent"].as_array().unwrap();
        let json = value.starts_with('[');
        let outcome = told(&[value]).map(|told| told.map(|(id, _)| id));
        let expected = match certificate {
            // What a client sent along is refused, in whichever form it comes out; an empty header is none.
            _ if !sent.is_empty() && value.starts_with("By=spiffe://example.org/ns/a") => {
                Err(HashInvalid)
            }
            _ if !sent.is_empty() && value.starts_with("[{\"uri\":\"spiffe://x\"},{") => {
                Err(Malformed)
            }
            _ if sent
                .iter()
                .any(|sent| sent == "garbage" || sent == "{\"uri\":\"x\"}") =>
            {
                Err(KeyUnknown)
            }
            _ if !sent.is_empty() && sent.iter().any(|sent| sent != "") => Err(Malformed),
            _ if listener.ends_with("_none") => Err(UriMissing),
            // The gateway tells of a certificate that it did not validate like of any other: trust proxies that validate.
            "research" | "full" | "forged" | "expired" => Ok(Some(NOTEBOOK.to_owned())),
            "empty-subject" => Ok(Some("spiffe://example.org/e".to_owned())),
            "two-uris" => Err(UriRepeated),
            "no-uri" | "no-san" => Err(UriMissing),
            "odd" if json => Err(NotSpiffe),
            "odd" => Err(KeyUnknown),
            "nul" if json => Err(NotSpiffe),
            "nul" => Err(Malformed),
            _ => panic!("{certificate} has no row"),
        };
        assert_eq!(outcome, expected, "{listener} {certificate} {sent:?}");
    }
}
