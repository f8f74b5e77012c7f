//! What a client sends in a case: every byte decided, nothing left to the carrier but the framing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::model::{End, Framing, Leave, RequestSpec, Scenario, Splits, Token, from_hex};
use crate::issuer::{self, IssuerFault, TokenSpec};

/// A request, ready to be carried.
#[derive(Clone, Debug)]
pub struct Request {
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
    pub(super) fn make(scenario: &Scenario, now: u64) -> Result<Request, IssuerFault> {
        let spec = &scenario.request;
        let body = body(spec)?;
        let mut headers = Vec::new();
        let mut secrets = Vec::new();
        let mut carried = None;
        if let Some(text) = &spec.authorization {
            headers.push(("authorization".to_owned(), text.clone().into_bytes()));
            secrets.extend(
                text.split_whitespace()
                    .filter(|part| part.len() >= 12)
                    .map(str::to_owned),
            );
        } else {
            let fallback = TokenSpec::default();
            let made = match &spec.token {
                Some(Token::Absent) => None,
                Some(Token::Made(spec)) => Some((minted(spec, now)?, &spec.scheme)),
                None => Some((minted(&fallback, now)?, &fallback.scheme)),
            };
            if let Some((token, scheme)) = made {
                headers.push((
                    "authorization".to_owned(),
                    format!("{scheme} {token}").into_bytes(),
                ));
                secrets.extend(
                    token
                        .split('.')
                        .skip(1)
                        .filter(|part| part.len() >= 12)
                        .map(str::to_owned),
                );
                secrets.push(token.clone());
                carried = Some(token);
            }
        }
        match &spec.headers {
            Some(given) => headers.extend(
                given
                    .iter()
                    .map(|(name, value)| (name.clone(), value.0.clone())),
            ),
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
            method: spec.method.clone(),
            host: spec.host.clone(),
            path: spec.path.clone(),
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
            token: carried,
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
