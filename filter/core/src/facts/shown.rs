//! Texts of the client and of tokens in a form that can be shown: in records, and in headers for the upstream.
//!
//! What the client wrote freely stands in no record; what a header says ends no header and cannot be taken for another value
//! (THREATS 20).

use crate::audit;

/// A method for a record: at most 16 letters, or none.
pub(crate) fn shown_method(value: &[u8]) -> Option<String> {
    shown(value, 16, |byte| byte.is_ascii_alphabetic())
}

/// A request id for a record: at most 64 letters, digits and `-`, as gateways make them, or none.
pub(crate) fn shown_request_id(value: &[u8]) -> Option<String> {
    shown(value, 64, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'-'
    })
}

/// A trace context for a record: 55 hexadecimal digits and dashes (W3C Trace Context section 3.2), or none.
pub(crate) fn shown_traceparent(value: &[u8]) -> Option<String> {
    let shown = shown(value, 55, |byte| byte.is_ascii_hexdigit() || byte == b'-')?;
    let lengths: Vec<usize> = shown.split('-').map(str::len).collect();
    (lengths == [2, 32, 16, 2]).then_some(shown)
}

/// What the client wrote freely stands in no record: only a text of a known form does.
fn shown(value: &[u8], most: usize, plain: impl Fn(u8) -> bool) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    (!text.is_empty() && text.len() <= most && text.bytes().all(plain)).then(|| text.to_owned())
}

/// A header value of visible ASCII: everything else, and `%`, is percent-encoded (RFC 3986 section 2.1), so that no
/// subject can end a header or be taken for another.
pub(crate) fn header_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b'!'..=b'~') && byte != b'%' {
            value.push(char::from(byte));
        } else {
            value.push('%');
            value.push_str(&audit::hex(&[byte]).to_ascii_uppercase());
        }
    }
    value
}
