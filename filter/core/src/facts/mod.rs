//! What came in: the request head, read once and strictly. Everything later works on these facts and never on the
//! head again.
//!
//! Decided here: that the head is well-formed where we read, that what must be single is single, that the path has one
//! reading, that nothing asks for another protocol or method, and which headers of ours the client sent itself.
//! Not decided here: which route it is, who calls, what is called.
//!
//! Against THREATS 4, 5, 8, 12, 20, 22, 25: parser differentials, repeated and smuggled headers.

mod address;
mod credential;
mod shown;

pub use address::is_canonical_path;
pub use credential::{Credential, Found, Place, Presented};
pub(crate) use credential::{is_credential, without_cookie, without_parameter};
pub(crate) use shown::{header_value, shown_method, shown_request_id, shown_traceparent};

use crate::refusal::{Code, Refusal};
use address::canonical_host;

/// A header as the host gave it: name in lower case and value, both bytes.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

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
    scheme: &'a str,
    authority: &'a str,
    host: String,
    target: &'a str,
    path: &'a str,
    credential: Credential,
    proofs: Vec<&'a [u8]>,
    forwarded: Vec<&'a [u8]>,
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
    /// Reads a head. `places` are where the policy takes credentials besides the known places.
    ///
    /// # Errors
    /// A refusal that names the first thing wrong.
    pub fn read(pairs: &[Pair<'a>], places: &[Place]) -> Result<Self, Refusal> {
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
            scheme: text(pairs, b":scheme")?.unwrap_or("https"),
            authority,
            host: canonical_host(authority)?,
            target,
            path,
            credential: Credential::read(pairs, query, places)?,
            proofs: values(pairs, b"dpop"),
            // Only in the spelling that gateways set and strip: any other is the client's own.
            forwarded: values(pairs, b"x-forwarded-client-cert"),
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

    /// The scheme under which the gateway serves the request.
    pub fn scheme(&self) -> &'a str {
        self.scheme
    }

    /// Host and port, as sent.
    pub fn authority(&self) -> &'a str {
        self.authority
    }

    /// Path and query, as sent.
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Proofs of possession: every `DPoP` header (RFC 9449 section 4.1).
    pub fn proofs(&self) -> &[&'a [u8]] {
        &self.proofs
    }

    /// What proxies say of the client's certificate: every `x-forwarded-client-cert` header.
    pub fn forwarded(&self) -> &[&'a [u8]] {
        &self.forwarded
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

/// Whether a client's header must not reach the upstream: those that only we set (`x-postern-…` and `told`, those that the
/// policy has us set; also spelled with `_`, as some servers fold them), and the gateway's own note of another path.
pub(crate) fn is_stripped(name: &[u8], told: &[String]) -> bool {
    const PREFIX: &[u8] = b"x-postern-";
    name.get(..PREFIX.len())
        .is_some_and(|start| folded_eq(start, PREFIX))
        || folded_eq(name, b"x-envoy-original-path")
        || told.iter().any(|ours| folded_eq(name, ours.as_bytes()))
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

/// Whether a header asks an upstream for another path or method than the one we see.
pub(crate) fn is_detour(name: &[u8]) -> bool {
    let mut detours = PATH_OVERRIDES.iter().chain(METHOD_OVERRIDES);
    detours.any(|detour| folded_eq(name, detour))
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

/// Every value under a name.
fn values<'a>(pairs: &[Pair<'a>], name: &[u8]) -> Vec<&'a [u8]> {
    pairs
        .iter()
        .filter(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
        .collect()
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
