//! What came in: the request head, read once and strictly. Everything later works on these facts and never on the
//! head again.
//!
//! Decided here: that the head is well-formed where we read, that what must be single is single, that the path has one
//! reading, that nothing asks for another protocol or method, and which headers of ours the client sent itself.
//! Not decided here: which route it is, who calls, what is called.
//!
//! Against THREATS 4, 5, 8, 12, 20, 22, 25: parser differentials, repeated and smuggled headers.

mod credential;

pub use credential::{Credential, is_credential};

use crate::refusal::{Code, Refusal};

/// A header as the host gave it: name in lower case and value, both bytes.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// The longest path that we read, in bytes.
const MAX_PATH_BYTES: usize = 2048;

/// Headers that must not come twice, because two readers would choose differently.
const SINGLE: &[&[u8]] = &[
    b":method",
    b":path",
    b":authority",
    b":scheme",
    b"host",
    b"content-type",
    b"content-length",
    b"content-encoding",
    b"transfer-encoding",
    b"x-request-id",
];

/// Headers by which a client asks an upstream to take another path than the one we see.
const PATH_OVERRIDES: &[&[u8]] = &[b"x-original-url", b"x-rewrite-url"];

/// Headers by which a client asks an upstream to take another method than the one we see.
const METHOD_OVERRIDES: &[&[u8]] = &[
    b"x-http-method-override",
    b"x-http-method",
    b"x-method-override",
];

/// The facts of a request head. Borrowed from the head: what outlives it is copied by name.
#[derive(Debug)]
pub struct RequestFacts<'a> {
    method: &'a str,
    host: String,
    path: &'a str,
    credential: Credential<'a>,
    content: Content<'a>,
    length: Option<u64>,
}

/// What the head says of the body's form.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    kind: Option<&'a str>,
    encoding: Option<&'a str>,
}

impl<'a> RequestFacts<'a> {
    /// Reads a head.
    ///
    /// # Errors
    /// A refusal that names the first thing wrong.
    pub fn read(pairs: &[Pair<'a>]) -> Result<Self, Refusal> {
        refuse_repeats(pairs)?;
        refuse_detours(pairs)?;
        let method = required(pairs, b":method")?;
        let target = required(pairs, b":path")?;
        let authority = match text(pairs, b":authority")? {
            Some(authority) => authority,
            None => required(pairs, b"host")?,
        };
        if method == "CONNECT" {
            return Err(Refusal::new(
                Code::UpgradeRefused,
                "CONNECT is not served here",
            ));
        }
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        refuse_model_in_query(query)?;
        if !is_canonical_path(path) {
            return Err(Refusal::new(
                Code::PathAmbiguous,
                "the path can be read in more than one way; send it in plain form, at most 2048 bytes",
            ));
        }
        Ok(Self {
            method,
            host: canonical_host(authority)?,
            path,
            credential: Credential::read(pairs, query)?,
            content: Content {
                kind: text(pairs, b"content-type")?,
                encoding: text(pairs, b"content-encoding")?,
            },
            length: content_length(pairs)?,
        })
    }

    /// The method, as sent.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The host in lower case, without port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path without query, in its one canonical form.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The credential.
    pub fn credential(&self) -> &Credential<'a> {
        &self.credential
    }

    /// The declared length of the body in bytes (RFC 9110 section 8.6), if declared.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Refuses a body that is not plain `application/json` (RFC 8259 section 11), in UTF-8 if it names a charset.
    ///
    /// # Errors
    /// 415 for another type or any content encoding.
    pub fn require_json(&self) -> Result<(), Refusal> {
        match self.content.encoding {
            None => {}
            Some(encoding) if encoding.eq_ignore_ascii_case("identity") => {}
            Some(_) => {
                return Err(Refusal::new(
                    Code::ContentEncodingUnsupported,
                    "send the body without content-encoding; it is read and hashed as it is",
                ));
            }
        }
        let wanted = || {
            Refusal::new(
                Code::ContentTypeUnsupported,
                "send the body as content-type: application/json",
            )
        };
        let kind = self.content.kind.ok_or_else(wanted)?;
        let mut parts = kind.split(';').map(|part| part.trim_matches([' ', '\t']));
        if !parts
            .next()
            .is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        {
            return Err(wanted());
        }
        for parameter in parts {
            let utf8 = parameter.split_once('=').is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("charset")
                    && (value.eq_ignore_ascii_case("utf-8")
                        || value.eq_ignore_ascii_case("\"utf-8\""))
            });
            if !utf8 {
                return Err(wanted());
            }
        }
        Ok(())
    }
}

/// Whether a client's header must not reach the upstream: those that only we set (`x-postern-…`, also spelled with `_`, as
/// some servers fold them), and the gateway's own note of another path.
pub fn is_stripped(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-postern-";
    name.get(..PREFIX.len())
        .is_some_and(|start| folded_eq(start, PREFIX))
        || folded_eq(name, b"x-envoy-original-path")
}

/// A method for a record: at most 16 letters, or none.
pub fn shown_method(value: &[u8]) -> Option<String> {
    shown(value, 16, |byte| byte.is_ascii_alphabetic())
}

/// A request id for a record: at most 64 letters, digits and `-`, as gateways make them, or none.
pub fn shown_request_id(value: &[u8]) -> Option<String> {
    shown(value, 64, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'-'
    })
}

/// A trace context for a record: 55 hexadecimal digits and dashes (W3C Trace Context section 3.2), or none.
pub fn shown_traceparent(value: &[u8]) -> Option<String> {
    let shown = shown(value, 55, |byte| byte.is_ascii_hexdigit() || byte == b'-')?;
    let lengths: Vec<usize> = shown.split('-').map(str::len).collect();
    (lengths == [2, 32, 16, 2]).then_some(shown)
}

/// What the client wrote freely stands in no record: only a text of a known form does.
fn shown(value: &[u8], most: usize, plain: impl Fn(u8) -> bool) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    (!text.is_empty() && text.len() <= most && text.bytes().all(plain)).then(|| text.to_owned())
}

fn refuse_repeats(pairs: &[Pair<'_>]) -> Result<(), Refusal> {
    for name in SINGLE {
        if pairs
            .iter()
            .filter(|(n, _)| folded_eq(n, name))
            .nth(1)
            .is_some()
        {
            return Err(Refusal::new(
                Code::HeaderRepeated,
                "a header that must be single came more than once",
            ));
        }
    }
    Ok(())
}

fn refuse_detours(pairs: &[Pair<'_>]) -> Result<(), Refusal> {
    for (name, _) in pairs {
        if name.eq_ignore_ascii_case(b"upgrade") || name.eq_ignore_ascii_case(b":protocol") {
            return Err(Refusal::new(
                Code::UpgradeRefused,
                "protocol upgrades are not served here",
            ));
        }
        if PATH_OVERRIDES.iter().any(|banned| folded_eq(name, banned)) {
            return Err(Refusal::new(
                Code::PathAmbiguous,
                "headers that name another path are not taken",
            ));
        }
        if METHOD_OVERRIDES
            .iter()
            .any(|banned| folded_eq(name, banned))
        {
            return Err(Refusal::new(
                Code::MethodOverrideRefused,
                "method-override headers are not taken",
            ));
        }
    }
    Ok(())
}

/// The model is named in the path or in the body. A second name in the query is one that an upstream may read (THREATS 7).
fn refuse_model_in_query(query: Option<&str>) -> Result<(), Refusal> {
    let names_a_model = |part: &str| {
        part.split('=').next().is_some_and(|name| {
            ["model", "models"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        })
    };
    if query.is_some_and(|query| query.split(['&', ';']).any(names_a_model)) {
        return Err(
            Refusal::new(Code::ModelInvalid, "the model is not named in the query").param("model"),
        );
    }
    Ok(())
}

/// Equal without case, `_` for `-`: servers that hand headers on as variables (CGI, WSGI) take both for the same.
fn folded_eq(name: &[u8], wanted: &[u8]) -> bool {
    name.len() == wanted.len()
        && name
            .iter()
            .zip(wanted)
            .all(|(byte, w)| byte.eq_ignore_ascii_case(w) || (*w == b'-' && *byte == b'_'))
}

/// The value of a header as visible ASCII text.
fn text<'a>(pairs: &[Pair<'a>], name: &[u8]) -> Result<Option<&'a str>, Refusal> {
    let Some((_, value)) = pairs.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) else {
        return Ok(None);
    };
    let invalid = || {
        Refusal::new(
            Code::HeadInvalid,
            "a header that is read here has bytes outside of visible ASCII",
        )
    };
    let value = std::str::from_utf8(value).map_err(|_| invalid())?;
    if !value
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
    {
        return Err(invalid());
    }
    Ok(Some(value))
}

fn required<'a>(pairs: &[Pair<'a>], name: &[u8]) -> Result<&'a str, Refusal> {
    match text(pairs, name)? {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Refusal::new(
            Code::HeadInvalid,
            "the request has no method, path or host",
        )),
    }
}

/// Whether a path has the one spelling on which all parsers agree: at most 2048 bytes of unreserved and sub-delimiter
/// characters (RFC 3986 section 3.3), no empty or dot segments, nothing percent-encoded, no `;` parameters, no backslash.
pub fn is_canonical_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b':'
                    | b'@'
                    | b'+'
                    | b'='
                    | b','
                    | b'!'
                    | b'$'
                    | b'*'
                    | b'('
                    | b')'
            )
    };
    // An empty last segment is a trailing slash, which is one spelling; any other empty segment is `//`.
    let segments = rest.strip_suffix('/').unwrap_or(rest);
    path.len() <= MAX_PATH_BYTES
        && (rest.is_empty()
            || segments
                .split('/')
                .all(|segment| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)))
}

/// The host in lower case without port (RFC 3986 section 3.2), refusing user information and odd characters.
fn canonical_host(authority: &str) -> Result<String, Refusal> {
    let invalid = || Refusal::new(Code::HeadInvalid, "the host is not a plain name or address");
    let host = if authority.starts_with('[') {
        // An IPv6 address keeps its brackets.
        let (address, port) = authority.split_once(']').ok_or_else(invalid)?;
        if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
            return Err(invalid());
        }
        format!("{address}]")
    } else {
        match authority.split_once(':') {
            Some((host, port)) if is_port(port) => host.to_owned(),
            Some(_) => return Err(invalid()),
            None => authority.to_owned(),
        }
    };
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'[' | b']' | b':')
    };
    if host.is_empty() || host.len() > 255 || !host.bytes().all(plain) {
        return Err(invalid());
    }
    Ok(host.to_ascii_lowercase())
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn content_length(pairs: &[Pair<'_>]) -> Result<Option<u64>, Refusal> {
    let Some(value) = text(pairs, b"content-length")? else {
        return Ok(None);
    };
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(length) if digits => Ok(Some(length)),
        _ => Err(Refusal::new(
            Code::HeadInvalid,
            "content-length is not a number",
        )),
    }
}

#[cfg(test)]
mod tests;
