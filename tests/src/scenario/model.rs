//! The types of a scenario file, parsed once and strictly: an unknown field is an error.
//!
//! Not decided here: what an outcome must be (`judge`), how a request is put together (`request`).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::issuer::TokenSpec;
use crate::proof::ProofSpec;

/// How the gateway holds the request head while the body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `allow_on_headers_stop_iteration`: held by us.
    Flag,
    /// Continued by us, held by the gateway's buffer filter behind us.
    Buffer,
    /// Not held.
    None,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 3] = [Mode::Flag, Mode::Buffer, Mode::None];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Flag => "flag",
            Mode::Buffer => "buffer",
            Mode::None => "none",
        })
    }
}

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Protocol; 2] = [Protocol::H1, Protocol::H2];
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::H1 => "h1",
            Protocol::H2 => "h2",
        })
    }
}

/// A policy of the tests, key sets in place.
#[derive(Clone, Debug)]
pub struct Policy {
    /// File name without its ending.
    pub name: String,
    /// The policy as written, `${jwks:NAME}` replaced.
    pub value: Value,
}

impl Policy {
    /// The policy as JSON text with `host.headHold` set to `mode`.
    #[must_use]
    pub fn json(&self, mode: Mode) -> String {
        let mut value = self.value.clone();
        value["host"]["headHold"] = Value::String(mode.to_string());
        value.to_string()
    }
}

/// One scenario as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Unique in its file.
    pub name: String,
    /// Why it must be so.
    pub why: String,
    /// Modes it runs in.
    #[serde(default = "all_modes")]
    pub modes: Vec<Mode>,
    /// Protocols it runs over.
    #[serde(default = "all_protocols")]
    pub protocols: Vec<Protocol>,
    /// What the client sends.
    #[serde(default)]
    pub request: RequestSpec,
    /// What upstream does.
    #[serde(default)]
    pub upstream: Upstream,
    /// What must be seen.
    pub expect: Expect,
}

fn all_modes() -> Vec<Mode> {
    Mode::ALL.to_vec()
}

fn all_protocols() -> Vec<Protocol> {
    Protocol::ALL.to_vec()
}

/// What the client sends, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestSpec {
    /// Method.
    pub method: String,
    /// Host or `:authority`.
    pub host: String,
    /// Path with query.
    pub path: String,
    /// The bearer token; default a valid one.
    pub token: Option<Token>,
    /// `authorization` as these bytes, instead of a token.
    pub authorization: Option<String>,
    /// The TLS connection that carries the request; default a plain one.
    pub connection: Option<ConnectionSpec>,
    /// DPoP proofs, one header each.
    pub dpop: Proofs,
    /// All other headers; default the content type when there is a body.
    pub headers: Option<Vec<(String, HeaderValue)>>,
    /// Body as text.
    pub body: Option<String>,
    /// Body as hex.
    pub body_hex: Option<String>,
    /// Body of a given size.
    pub body_fill: Option<Fill>,
    /// How the body's end is told.
    pub framing: Framing,
    /// How the body is cut into writes or DATA frames.
    pub splits: Splits,
    /// HTTP/2 only: whether END_STREAM comes with the last DATA frame or in an empty one after it.
    pub end: End,
    /// Trailers after the body.
    pub trailers: Vec<(String, HeaderValue)>,
    /// Where the client goes away.
    pub leave: Option<Leave>,
}

impl Default for RequestSpec {
    fn default() -> Self {
        RequestSpec {
            method: "POST".to_owned(),
            host: "api.example.com".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            token: None,
            authorization: None,
            connection: None,
            dpop: Proofs::default(),
            headers: None,
            body: None,
            body_hex: None,
            body_fill: None,
            framing: Framing::Length,
            splits: Splits::Whole,
            end: End::WithLast,
            trailers: Vec::new(),
            leave: None,
        }
    }
}

/// `none`, or what the token is made of.
#[derive(Clone, Debug)]
pub enum Token {
    /// No credential.
    Absent,
    /// This one.
    Made(Box<TokenSpec>),
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value == "none" {
            return Ok(Token::Absent);
        }
        serde_json::from_value(value)
            .map(|spec| Token::Made(Box::new(spec)))
            .map_err(D::Error::custom)
    }
}

/// A TLS connection, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionSpec {
    /// Name of the client's certificate, or `none`.
    pub certificate: String,
    /// The version that is spoken.
    pub tls: TlsVersion,
}

impl Default for ConnectionSpec {
    fn default() -> Self {
        ConnectionSpec {
            certificate: "none".to_owned(),
            tls: TlsVersion::V1_3,
        }
    }
}

/// The version of TLS that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// The proofs of a request: none, one, or a list.
#[derive(Clone, Debug, Default)]
pub struct Proofs(pub Vec<ProofSpec>);

impl<'de> Deserialize<'de> for Proofs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match Value::deserialize(deserializer)? {
            Value::Array(items) => Value::Array(items),
            one => Value::Array(vec![one]),
        };
        serde_json::from_value(value)
            .map(Proofs)
            .map_err(D::Error::custom)
    }
}

/// A header value: text, or bytes as hex.
#[derive(Clone, Debug)]
pub struct HeaderValue(pub Vec<u8>);

impl<'de> Deserialize<'de> for HeaderValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Hex {
            hex: String,
        }
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(HeaderValue(text.into_bytes())),
            other => {
                let Hex { hex } = serde_json::from_value(other).map_err(D::Error::custom)?;
                from_hex(&hex)
                    .map(HeaderValue)
                    .ok_or_else(|| D::Error::custom(format!("`{hex}` is not hex")))
            }
        }
    }
}

/// Bytes of a hex text; `None` when it is not hex.
#[must_use]
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .chars()
        .map(|c| c.to_digit(16))
        .collect::<Option<Vec<_>>>()?;
    if digits.len() % 2 != 0 {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok())
        .collect()
}

/// A body made of a beginning, one text many times, and an end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// Before.
    #[serde(default)]
    pub prefix: String,
    /// What is repeated.
    pub fill: String,
    /// How often.
    pub count: usize,
    /// After.
    #[serde(default)]
    pub suffix: String,
}

/// How the end of the body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// By `content-length`.
    Length,
    /// By the last chunk (HTTP/1.1), or by END_STREAM without `content-length` (HTTP/2).
    Chunked,
}

/// HTTP/2: where END_STREAM stands. HTTP/1.1 always tells the end apart from the last bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// On the last DATA frame.
    WithLast,
    /// On an empty DATA frame after it.
    Apart,
}

/// How a body is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Splits {
    /// One piece.
    Whole,
    /// One byte a piece.
    Bytes,
    /// Cut before these offsets.
    At(Vec<usize>),
}

impl<'de> Deserialize<'de> for Splits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if text == "whole" => Ok(Splits::Whole),
            Value::String(text) if text == "bytes" => Ok(Splits::Bytes),
            other => serde_json::from_value(other)
                .map(Splits::At)
                .map_err(D::Error::custom),
        }
    }
}

/// Where the client goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// After the head, before any body.
    AfterHead,
    /// After so many bytes of the body.
    AfterBytes(usize),
    /// After the whole request and the first byte of the answer's body.
    AfterAnswerBegins,
}

/// What upstream does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// Status.
    pub status: u16,
    /// Headers; the answer's length is told by `content-length` when there is one piece, else by chunks.
    pub headers: Vec<(String, String)>,
    /// Body in one piece.
    pub body: String,
    /// Body in pieces, instead of `body`.
    pub chunks: Option<Chunks>,
    /// Trailers.
    pub trailers: Vec<(String, String)>,
    /// Where upstream goes away.
    pub leave: Option<UpstreamLeave>,
}

/// The pieces of an answer.
pub type Chunks = Vec<String>;

impl Default for Upstream {
    fn default() -> Self {
        Upstream {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: r#"{"ok":true}"#.to_owned(),
            chunks: None,
            trailers: Vec::new(),
            leave: None,
        }
    }
}

impl Upstream {
    /// The pieces in order; a body in one piece is one.
    #[must_use]
    pub fn pieces(&self) -> Vec<&str> {
        match &self.chunks {
            Some(chunks) => chunks.iter().map(String::as_str).collect(),
            None if self.body.is_empty() => Vec::new(),
            None => vec![self.body.as_str()],
        }
    }

    /// The whole body that is sent before upstream goes away or ends.
    #[must_use]
    pub fn whole_body(&self) -> String {
        let pieces = self.pieces();
        let sent = match self.leave {
            Some(UpstreamLeave::BeforeHead | UpstreamLeave::AfterHead) => 0,
            Some(UpstreamLeave::AfterChunks(count)) => count.min(pieces.len()),
            None => pieces.len(),
        };
        pieces[..sent].concat()
    }
}

/// Where upstream goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamLeave {
    /// When it has the request, before any answer.
    BeforeHead,
    /// After the head of the answer.
    AfterHead,
    /// After so many pieces of the answer.
    AfterChunks(usize),
}

/// What must be seen. A value can be one for all modes, or a map by mode.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Status that the client sees; `null` when it left or got no answer.
    pub status: Each<Option<u16>>,
    /// `error.code` of the answer's body.
    #[serde(default)]
    pub code: Option<Each<String>>,
    /// Headers of the answer.
    #[serde(default)]
    pub headers: BTreeMap<String, Each<String>>,
    /// The answer is cut short.
    #[serde(default)]
    pub cut: Option<Each<bool>>,
    /// What upstream saw of the request.
    pub upstream: Each<Reached>,
    /// A part of the body may have left before the refusal: the decision stood, and the fault came after it.
    #[serde(default)]
    pub released: bool,
    /// The path that upstream saw, where it is not the one that was sent.
    #[serde(default)]
    pub upstream_path: Option<Each<String>>,
    /// Headers that upstream saw; one that is named here may carry the token.
    #[serde(default)]
    pub upstream_headers: BTreeMap<String, Each<String>>,
    /// Trailers that upstream saw, where they are not those that were sent.
    #[serde(default)]
    pub upstream_trailers: BTreeMap<String, Each<String>>,
    /// Response code details.
    #[serde(default)]
    pub details: Option<Each<String>>,
    /// Members of the record by dotted path.
    #[serde(default)]
    pub record: BTreeMap<String, Each<Value>>,
}

/// What upstream saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reached {
    /// The complete request with exactly the body's bytes.
    Whole,
    /// Not one byte.
    Nothing,
    /// At most a part of a request, never a complete one.
    Unfinished,
}

/// One value for all modes, or one for each.
#[derive(Clone, Debug)]
pub enum Each<T> {
    /// For all.
    Same(T),
    /// By mode; only the modes in which the scenario runs.
    ByMode(BTreeMap<Mode, T>),
}

impl<T> Each<T> {
    /// The value for a mode; `None` when a map leaves the mode out.
    pub fn of(&self, mode: Mode) -> Option<&T> {
        match self {
            Each::Same(value) => Some(value),
            Each::ByMode(values) => values.get(&mode),
        }
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_object() {
            serde_json::from_value(value)
                .map(Each::ByMode)
                .map_err(D::Error::custom)
        } else {
            serde_json::from_value(value)
                .map(Each::Same)
                .map_err(D::Error::custom)
        }
    }
}
