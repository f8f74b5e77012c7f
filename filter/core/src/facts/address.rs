//! Path and host in their one spelling, on which every parser behind us agrees (THREATS 5, 8).

use crate::refusal::{Code, Refusal};

/// The longest path that we read, in bytes.
const MAX_PATH_BYTES: usize = 2048;

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
pub(super) fn canonical_host(authority: &str) -> Result<String, Refusal> {
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
