//! What happened: exactly one record per request, whatever ends it.
//!
//! Decided here: what a record carries and its one encoding. Not decided here: when it is written (stream) and where it
//! goes (the shell, by the policy's sinks).
//!
//! Against THREATS 20, 33, 34, 35, 37: a record has no place for a token, a header or body text; one encoder escapes
//! everything; the digest says that it is of the whole body as forwarded, or is absent.

mod id;
mod text;

pub use id::{AuditId, Ids};
pub(crate) use text::timestamp;
pub use text::{digest_text, hex, read_digest};

use crate::refusal::{Code, Fault};
use serde::Serialize;
use std::sync::Arc;

/// The version of the record's form.
pub const RECORD_VERSION: u8 = 1;

/// Room for the JSON of nearly every record.
const USUAL_BYTES: usize = 1024;

/// A record. Field order is the order in its JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`RECORD_VERSION`].
    pub v: u8,
    /// When the request's head came, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// The audit id that the caller and the upstream saw too.
    pub id: String,
    /// The gateway instance, where the policy names one.
    pub instance: Option<String>,
    /// The policy that decided: `sha-256=` and the digest of its text.
    pub policy: String,
    /// The gateway's `x-request-id`.
    pub request_id: Option<String>,
    /// The trace context (W3C), to join with traces.
    pub traceparent: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The operation.
    pub operation: Option<&'static str>,
    /// The model.
    pub model: Option<String>,
    /// The request's method.
    pub method: Option<String>,
    /// The request's path, never its query.
    pub path: Option<String>,
    /// Who called.
    pub caller: Option<CallerPart>,
    /// The proved peer of the connection.
    pub peer: Option<PeerPart>,
    /// What was decided.
    pub decision: Outcome,
    /// The rule that decided.
    pub rule: Option<Arc<str>>,
    /// The refusal's code.
    pub refusal: Option<Code>,
    /// Whose fault the refusal is.
    pub fault: Option<Fault>,
    /// The request's payload.
    pub request: RequestPart,
    /// The answer, as far as it came.
    pub response: ResponsePart,
    /// From the head to the end, in milliseconds.
    pub duration_ms: u64,
}

impl Record {
    /// The record's one encoding: JSON on one line, control characters escaped.
    pub fn to_json(&self) -> String {
        let mut json = Vec::with_capacity(USUAL_BYTES);
        let whole = serde_json::to_writer(&mut json, self).is_ok();
        // WHY: strings, numbers and options always serialize, as UTF-8; were it not so, a record that says so is still a record.
        match String::from_utf8(json) {
            Ok(json) if whole => json,
            Ok(_) | Err(_) => format!("{{\"v\":{RECORD_VERSION},\"id\":\"{}\"}}", self.id),
        }
    }
}

/// What was decided of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was permitted.
    Allow,
    /// It was refused, perhaps after a permit, when the rest of its body was bad.
    Refuse,
    /// It ended before a decision: the client left, or the gateway itself answered.
    None,
}

/// By what a caller was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CredentialPart {
    /// A token.
    Token,
    /// An API key.
    ApiKey,
    /// The peer of the connection alone.
    Peer,
}

/// Who called.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerPart {
    /// The name in the policy by which the deciding rule applied.
    pub name: Option<Arc<str>>,
    /// By what it was proved.
    pub credential: CredentialPart,
    /// The issuer's name, for a token.
    pub issuer: Option<String>,
    /// The id of the API key.
    pub api_key: Option<Arc<str>>,
    /// The subject of the token or API key.
    pub subject: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
}

/// The proved peer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerPart {
    /// Its SPIFFE ID.
    pub uri: String,
    /// The trusted proxy that forwarded it, where it is not the peer of the connection itself.
    pub forwarded_by: Option<String>,
}

/// The request's payload.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RequestPart {
    /// How many bytes of body were seen.
    pub bytes: u64,
    /// Whether the whole body was found good and forwarded.
    pub complete: bool,
    /// The digest of exactly the bytes forwarded; absent unless complete.
    pub digest: Option<String>,
}

/// The answer, as far as it came.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ResponsePart {
    /// The HTTP status, from the gateway.
    pub status: Option<u16>,
    /// How many bytes of body came by.
    pub bytes: u64,
    /// The gateway's response code details.
    pub details: Option<String>,
    /// The gateway's response flags, as bits.
    pub flags: Option<u64>,
}
