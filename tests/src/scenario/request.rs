//! What a client sends in a case: every byte decided, nothing left to the carrier but the framing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::model::{
    ConnectionSpec, End, Framing, Leave, RequestSpec, Scenario, Splits, TlsVersion, Token, from_hex,
};
use crate::certificates::{self, Certificate};
use crate::issuer::{self, IssuerFault, TokenSpec};
use crate::proof::{Proven, proof};

/// Where the token goes in a path or a header value.
const TOKEN: &str = "${token}";

/// How a header value names a certificate: its SHA-256 in hex, and its PEM as the two forms of
/// `x-forwarded-client-cert` write it.
const OF_CERTIFICATE: [(&str, Written); 3] = [
    ("${sha256:", hex_digest),
    ("${cert:", percent_encoded),
    ("${pem:", json_escaped),
];

/// How something of a certificate is written.
type Written = fn(&Certificate) -> String;

/// The TLS connection that carries a request.
#[derive(Clone, Copy, Debug)]
pub struct ClientTls {
    /// The certificate that the client presents.
    pub certificate: Option<&'static Certificate>,
    /// The one version that the client speaks.
    pub version: TlsVersion,
}

/// A request, ready to be carried.
#[derive(Clone, Debug)]
pub struct Request {
    /// The TLS connection that carries it; `None` is a plain one.
    pub connection: Option<ClientTls>,
    /// Method.
    pub method: String,
    /// Host or `:authority`.
    pub host: String,
    /// Path with query.
    pub path: String,
    /// All headers but host, pseudo headers and framing (`content-length`, `transfer-encoding`), in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; `None` ends the request with its head and sends no framing header.
    pub body: Option<Vec<u8>>,
    /// How the body's end is told. An empty body by length is `content-length: 0` and ends with the head.
    pub framing: Framing,
    /// HTTP/2: where END_STREAM stands.
    pub end: End,
    /// Trailers (HTTP/1.1: only with `chunked`).
    pub trailers: Vec<(String, Vec<u8>)>,
    /// Where the client goes away.
    pub leave: Option<Leave>,
    /// What must never be seen in a log, a record or an answer.
    pub secrets: Vec<String>,
    /// The token, which must not reach upstream.
    pub token: Option<String>,
    splits: Splits,
}

impl Request {
    /// The request of a scenario; `label` is what tells this case from every other one.
    pub(super) fn make(scenario: &Scenario, label: &str, now: u64) -> Result<Request, IssuerFault> {
        let spec = &scenario.request;
        let connection = spec.connection.as_ref().map(connection).transpose()?;
        let body = body(spec)?;
        let token = token(spec, now)?;
        let path = placed(&spec.path, token.as_deref())?;
        let mut headers = credentials(spec, token.as_deref())?;
        let mut secrets = spoken(spec);
        secrets.extend(token.as_deref().into_iter().flat_map(parts));
        let scheme = connection.map_or("http", |_| "https");
        for (at, spec) in spec.dpop.0.iter().enumerate() {
            let about = Proven {
                method: &scenario.request.method,
                uri: &format!("{scheme}://{}{path}", scenario.request.host),
                token: token.as_deref(),
                label: &format!("{label} {at}"),
            };
            let proof = proof(spec, &about, now)?;
            secrets.extend(parts(&proof));
            headers.push(("dpop".to_owned(), proof.into_bytes()));
        }
        match &spec.headers {
            Some(given) => {
                for (name, value) in given {
                    headers.push((name.clone(), placed_bytes(&value.0, token.as_deref())?));
                }
            }
            None if body.is_some() => {
                headers.push(("content-type".to_owned(), b"application/json".to_vec()))
            }
            None => {}
        }
        secrets.extend(headers.iter().flat_map(|(_, value)| markers(value)));
        secrets.extend(markers(spec.path.as_bytes()));
        secrets.extend(body.iter().flat_map(|body| markers(body)));
        secrets.sort();
        secrets.dedup();
        Ok(Request {
            connection,
            method: spec.method.clone(),
            host: spec.host.clone(),
            path,
            headers,
            body,
            framing: spec.framing,
            end: spec.end,
            trailers: spec
                .trailers
                .iter()
                .map(|(name, value)| (name.clone(), value.0.clone()))
                .collect(),
            leave: spec.leave,
            secrets,
            token,
            splits: spec.splits.clone(),
        })
    }

    /// The body's bytes; none is empty.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// The pieces in which the body is written: one write and flush, or one DATA frame, each.
    #[must_use]
    pub fn pieces(&self) -> Vec<&[u8]> {
        let body = self.body_bytes();
        let cuts: Vec<usize> = match &self.splits {
            Splits::Whole => Vec::new(),
            Splits::Bytes => (1..body.len()).collect(),
            Splits::At(cuts) => cuts
                .iter()
                .copied()
                .filter(|at| *at > 0 && *at < body.len())
                .collect(),
        };
        let mut pieces = Vec::new();
        let mut from = 0;
        for at in cuts.into_iter().chain([body.len()]) {
            if at > from {
                pieces.push(&body[from..at]);
                from = at;
            }
        }
        pieces
    }

    /// Whether the head is all there is: nothing follows it, not even an empty end.
    #[must_use]
    pub fn ends_with_head(&self) -> bool {
        self.trailers.is_empty()
            && match (&self.body, self.framing) {
                (None, _) => true,
                (Some(body), Framing::Length) => body.is_empty(),
                (Some(_), Framing::Chunked) => false,
            }
    }
}

fn connection(spec: &ConnectionSpec) -> Result<ClientTls, IssuerFault> {
    let certificate = match spec.certificate.as_str() {
        "none" => None,
        name => Some(
            certificates::by_name(name)
                .ok_or_else(|| IssuerFault::UnknownCertificate(name.to_owned()))?,
        ),
    };
    Ok(ClientTls {
        certificate,
        version: spec.tls,
    })
}

/// The token of the request; none where `authorization` is written out and no place asks for it.
fn token(spec: &RequestSpec, now: u64) -> Result<Option<String>, IssuerFault> {
    let asked = spec.path.contains(TOKEN)
        || spec
            .authorization
            .as_ref()
            .is_some_and(|text| text.contains(TOKEN))
        || spec
            .headers
            .iter()
            .flatten()
            .any(|(_, value)| String::from_utf8_lossy(&value.0).contains(TOKEN));
    match &spec.token {
        Some(Token::Absent) => Ok(None),
        _ if spec.authorization.is_some() && !asked => Ok(None),
        Some(Token::Made(spec)) => minted(spec, now).map(Some),
        None => minted(&TokenSpec::default(), now).map(Some),
    }
}

/// The header `authorization`, as written or with the token in it.
fn credentials(
    spec: &RequestSpec,
    token: Option<&str>,
) -> Result<Vec<(String, Vec<u8>)>, IssuerFault> {
    let scheme = match &spec.token {
        Some(Token::Made(spec)) => spec.scheme.clone(),
        Some(Token::Absent) => None,
        None => TokenSpec::default().scheme,
    };
    let value = match (&spec.authorization, scheme, token) {
        (Some(text), _, _) => placed(text, token)?,
        (None, Some(scheme), Some(token)) => format!("{scheme} {token}"),
        (None, _, _) => return Ok(Vec::new()),
    };
    Ok(vec![("authorization".to_owned(), value.into_bytes())])
}

/// The words of a written `authorization` that are long enough to be a secret.
fn spoken(spec: &RequestSpec) -> Vec<String> {
    spec.authorization
        .iter()
        .flat_map(|text| text.split_whitespace())
        .filter(|part| part.len() >= 12 && !part.contains(TOKEN))
        .map(str::to_owned)
        .collect()
}

/// A JWS and those of its parts that tell something: all but the header.
fn parts(jws: &str) -> Vec<String> {
    jws.split('.')
        .skip(1)
        .filter(|part| part.len() >= 12)
        .chain([jws])
        .map(str::to_owned)
        .collect()
}

/// The text with the token and what is named of certificates in their places.
fn placed(text: &str, token: Option<&str>) -> Result<String, IssuerFault> {
    let text = certified(text)?;
    match token {
        Some(token) => Ok(text.replace(TOKEN, token)),
        None if text.contains(TOKEN) => Err(IssuerFault::NoToken),
        None => Ok(text),
    }
}

/// The text with what is named of certificates in its place.
fn certified(text: &str) -> Result<String, IssuerFault> {
    let mut text = text.to_owned();
    for (begin, written) in OF_CERTIFICATE {
        while let Some((before, rest)) = text.split_once(begin) {
            let (name, after) = rest
                .split_once('}')
                .ok_or_else(|| IssuerFault::UnknownReference(rest.to_owned()))?;
            let certificate = certificates::by_name(name)
                .ok_or_else(|| IssuerFault::UnknownCertificate(name.to_owned()))?;
            text = format!("{before}{}{after}", written(certificate));
        }
    }
    Ok(text)
}

fn hex_digest(certificate: &Certificate) -> String {
    let digest = certificate.sha256();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn percent_encoded(certificate: &Certificate) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let encoded = |c: char| {
        if plain(c) {
            c.to_string()
        } else {
            format!("%{:02X}", u32::from(c))
        }
    };
    certificate.chain_pem.chars().map(encoded).collect()
}

fn json_escaped(certificate: &Certificate) -> String {
    certificate.chain_pem.replace('\n', "\\n")
}

/// The same for bytes; what is no text has no place for a token.
fn placed_bytes(value: &[u8], token: Option<&str>) -> Result<Vec<u8>, IssuerFault> {
    match std::str::from_utf8(value) {
        Ok(text) => placed(text, token).map(String::into_bytes),
        Err(_) => Ok(value.to_vec()),
    }
}

/// The token, made once for each second: most cases carry the same one, and an RSA signature takes its time.
fn minted(spec: &TokenSpec, now: u64) -> Result<String, IssuerFault> {
    static MADE: Mutex<BTreeMap<(String, u64), String>> = Mutex::new(BTreeMap::new());
    let key = (format!("{spec:?}"), now);
    if let Some(token) = MADE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&key)
    {
        return Ok(token.clone());
    }
    let token = issuer::token(spec, now)?;
    MADE.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(key, token.clone());
    Ok(token)
}

fn body(spec: &RequestSpec) -> Result<Option<Vec<u8>>, IssuerFault> {
    if let Some(text) = &spec.body {
        return Ok(Some(text.clone().into_bytes()));
    }
    if let Some(hex) = &spec.body_hex {
        return from_hex(hex)
            .map(Some)
            .ok_or_else(|| IssuerFault::BadClaim(hex.clone()));
    }
    Ok(spec.body_fill.as_ref().map(|fill| {
        format!(
            "{}{}{}",
            fill.prefix,
            fill.fill.repeat(fill.count),
            fill.suffix
        )
        .into_bytes()
    }))
}

/// Every `SECRET-word` in the bytes.
fn markers(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.match_indices("SECRET-")
        .map(|(at, _)| {
            text[at..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect::<String>()
        })
        .collect()
}
