//! Whether `htu` is the URI of the request (RFC 9449 section 4.3, check 9; RFC 3986 sections 6.2.2 and 6.2.3).
//!
//! Decided here: which spellings are one target. Scheme and host without case, the default port of the scheme named or not, an
//! empty path for `/`. The path itself has one spelling: the one in which requests are read, byte for byte.
//! Not decided here: which paths exist.
//! Against: proofs for another gateway, port or path, and spellings that two readers take for different targets (THREATS 8).

use super::ProofQuestion;
use super::fault::{DpopClaim, DpopFault};

/// The longest host, in bytes.
const MAX_HOST_BYTES: usize = 255;

/// A scheme that a target can have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// The host in lower case, and the port.
#[derive(PartialEq, Eq)]
struct Authority {
    host: String,
    port: u16,
}

/// Holds `htu` against the request; gives its canonical form, the port always named.
pub(super) fn check(htu: &str, ask: &ProofQuestion<'_>) -> Result<String, DpopFault> {
    let (scheme, authority, path) = split(htu).ok_or(DpopFault::ClaimInvalid(DpopClaim::Target))?;
    // WHY: TLS often ends before the gateway, which then sees `http` where the client rightly says `https`.
    let same_scheme = scheme == Scheme::Https || ask.scheme.eq_ignore_ascii_case("http");
    // WHY under the scheme of the proof: a port that nobody names is the one that the client went to.
    let asked = Authority::parse(ask.authority, scheme).ok_or(DpopFault::TargetMismatch)?;
    if !same_scheme || authority != asked || path != ask.path {
        return Err(DpopFault::TargetMismatch);
    }
    let Authority { host, port } = authority;
    Ok(format!("{}://{host}:{port}{path}", scheme.name()))
}

/// The parts of an absolute http URI without user information, query and fragment; `None` for anything else.
fn split(htu: &str) -> Option<(Scheme, Authority, &str)> {
    let (scheme, rest) = htu.split_once("://")?;
    let scheme = Scheme::parse(scheme)?;
    if rest.contains(['?', '#']) {
        return None;
    }
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let path = if path.is_empty() { "/" } else { path };
    Some((scheme, Authority::parse(authority, scheme)?, path))
}

impl Scheme {
    fn parse(text: &str) -> Option<Scheme> {
        [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|scheme| scheme.name().eq_ignore_ascii_case(text))
    }

    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Authority {
    /// A plain name, an IPv4 or a bracketed IPv6 address, and perhaps a port (RFC 3986 section 3.2).
    fn parse(text: &str, scheme: Scheme) -> Option<Authority> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let plain = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
                if address.is_empty() || !address.bytes().all(plain) {
                    return None;
                }
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return None,
                };
                (format!("[{address}]"), port)
            }
            None => {
                let (host, port) = text
                    .split_once(':')
                    .map_or((text, None), |(host, port)| (host, Some(port)));
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
                if host.is_empty() || !host.bytes().all(plain) {
                    return None;
                }
                (host.to_string(), port)
            }
        };
        if host.len() > MAX_HOST_BYTES {
            return None;
        }
        let port = match port {
            None | Some("") => scheme.default_port(),
            Some(port) => read_port(port)?,
        };
        Some(Authority {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

/// A port from 1 to 65535 in its one spelling.
fn read_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Secret;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const INVALID: DpopFault = DpopFault::ClaimInvalid(DpopClaim::Target);
    const OTHER: DpopFault = DpopFault::TargetMismatch;

    fn against(scheme: &str, authority: &str, path: &str, htu: &str) -> Result<String, DpopFault> {
        let ask = ProofQuestion {
            method: "POST",
            scheme,
            authority,
            path,
            token: Secret::new(b"token"),
            now_seconds: 0,
            nonces: None,
        };
        check(htu, &ask)
    }

    #[test]
    fn spellings_of_one_target_are_one() {
        let https = "https://api.example.com:443/v1/chat";
        for (why, scheme, authority, htu, expected) in [
            (
                "as it is",
                "https",
                "api.example.com",
                "https://api.example.com/v1/chat",
                https,
            ),
            (
                "case of scheme and host",
                "https",
                "api.example.com",
                "HTTPS://API.example.COM/v1/chat",
                https,
            ),
            (
                "case in the request",
                "https",
                "API.Example.com",
                "https://api.example.com/v1/chat",
                https,
            ),
            (
                "the default port in the proof",
                "https",
                "api.example.com",
                "https://api.example.com:443/v1/chat",
                https,
            ),
            (
                "the default port in the request",
                "https",
                "api.example.com:443",
                "https://api.example.com/v1/chat",
                https,
            ),
            (
                "an empty port",
                "https",
                "api.example.com",
                "https://api.example.com:/v1/chat",
                https,
            ),
            (
                "TLS ended before us",
                "http",
                "api.example.com",
                "https://api.example.com/v1/chat",
                https,
            ),
            (
                "plain",
                "http",
                "api.example.com",
                "http://api.example.com:80/v1/chat",
                "http://api.example.com:80/v1/chat",
            ),
            (
                "another port",
                "https",
                "api.example.com:8443",
                "https://api.example.com:8443/v1/chat",
                "https://api.example.com:8443/v1/chat",
            ),
            (
                "IPv4",
                "http",
                "127.0.0.1:10000",
                "http://127.0.0.1:10000/v1/chat",
                "http://127.0.0.1:10000/v1/chat",
            ),
            (
                "IPv6",
                "https",
                "[2001:DB8::1]",
                "https://[2001:db8::1]:443/v1/chat",
                "https://[2001:db8::1]:443/v1/chat",
            ),
        ] {
            assert_eq!(
                against(scheme, authority, "/v1/chat", htu).as_deref(),
                Ok(expected),
                "{why}"
            );
        }
        let root = Ok("https://h:443/".to_string());
        assert_eq!(
            against("https", "h", "/", "https://h"),
            root,
            "an empty path"
        );
        assert_eq!(against("https", "h", "/", "https://h/"), root);
        let at = Ok("https://h:443/v1/a@b:c".to_string());
        assert_eq!(
            against("https", "h", "/v1/a@b:c", "https://h/v1/a@b:c"),
            at,
            "an @ in the path"
        );
    }

    #[test]
    fn anything_else_is_another_target_or_none() {
        for (why, htu, expected) in [
            ("another host", "https://evil.example.com/v1/chat", OTHER),
            (
                "our host as a prefix",
                "https://api.example.com.evil.net/v1/chat",
                OTHER,
            ),
            (
                "a trailing dot is another name",
                "https://api.example.com./v1/chat",
                OTHER,
            ),
            (
                "another port",
                "https://api.example.com:8443/v1/chat",
                OTHER,
            ),
            (
                "the port of the other scheme",
                "https://api.example.com:80/v1/chat",
                OTHER,
            ),
            (
                "a weaker scheme than the request's",
                "http://api.example.com/v1/chat",
                OTHER,
            ),
            ("another path", "https://api.example.com/v1/models", OTHER),
            ("no path", "https://api.example.com", OTHER),
            (
                "the beginning of the path",
                "https://api.example.com/v1",
                OTHER,
            ),
            ("case of the path", "https://api.example.com/V1/chat", OTHER),
            (
                "a slash more at the end",
                "https://api.example.com/v1/chat/",
                OTHER,
            ),
            (
                "a slash more inside",
                "https://api.example.com//v1/chat",
                OTHER,
            ),
            ("a dot segment", "https://api.example.com/v1/./chat", OTHER),
            ("a way back", "https://api.example.com/v1/x/../chat", OTHER),
            (
                "a letter encoded",
                "https://api.example.com/v1/%63hat",
                OTHER,
            ),
            (
                "a slash encoded",
                "https://api.example.com/v1%2fchat",
                OTHER,
            ),
            ("parameters", "https://api.example.com/v1/chat;a=b", OTHER),
            (
                "a space at the end",
                "https://api.example.com/v1/chat ",
                OTHER,
            ),
            ("NUL at the end", "https://api.example.com/v1/chat\0", OTHER),
            ("a query", "https://api.example.com/v1/chat?a=b", INVALID),
            (
                "an empty query",
                "https://api.example.com/v1/chat?",
                INVALID,
            ),
            (
                "a query after the host",
                "https://api.example.com?/v1/chat",
                INVALID,
            ),
            ("a fragment", "https://api.example.com/v1/chat#a", INVALID),
            (
                "an empty fragment",
                "https://api.example.com/v1/chat#",
                INVALID,
            ),
            (
                "user information",
                "https://a@api.example.com/v1/chat",
                INVALID,
            ),
            (
                "empty user information",
                "https://@api.example.com/v1/chat",
                INVALID,
            ),
            (
                "user and password",
                "https://api.example.com:x@evil.net/v1/chat",
                INVALID,
            ),
            ("a backslash", "https://api.example.com\\/v1/chat", INVALID),
            (
                "an encoded host",
                "https://api%2eexample.com/v1/chat",
                INVALID,
            ),
            (
                "a host beyond ASCII",
                "https://api.ex\u{430}mple.com/v1/chat",
                INVALID,
            ),
            ("no host", "https:///v1/chat", INVALID),
            ("only a port", "https://:443/v1/chat", INVALID),
            ("port zero", "https://api.example.com:0/v1/chat", INVALID),
            (
                "a port with zeros in front",
                "https://api.example.com:0443/v1/chat",
                INVALID,
            ),
            (
                "a port over 65535",
                "https://api.example.com:65536/v1/chat",
                INVALID,
            ),
            (
                "443 and 65536 more",
                "https://api.example.com:65979/v1/chat",
                INVALID,
            ),
            (
                "a port with a sign",
                "https://api.example.com:+443/v1/chat",
                INVALID,
            ),
            (
                "two ports",
                "https://api.example.com:443:443/v1/chat",
                INVALID,
            ),
            ("an open bracket", "https://[::1/v1/chat", INVALID),
            ("a zone", "https://[fe80::1%25eth0]/v1/chat", INVALID),
            (
                "letters after the bracket",
                "https://[::1]x/v1/chat",
                INVALID,
            ),
            ("another scheme", "wss://api.example.com/v1/chat", INVALID),
            ("no scheme", "//api.example.com/v1/chat", INVALID),
            ("only a path", "/v1/chat", INVALID),
            ("one slash", "https:/api.example.com/v1/chat", INVALID),
            (
                "a space in front",
                " https://api.example.com/v1/chat",
                INVALID,
            ),
            ("empty", "", INVALID),
        ] {
            assert_eq!(
                against("https", "api.example.com", "/v1/chat", htu),
                Err(expected),
                "{why}"
            );
        }
    }

    #[test]
    fn a_request_that_cannot_be_read_is_no_target() {
        let htu = "https://h/v1";
        for (why, scheme, authority, path) in [
            ("no authority", "https", "", "/v1"),
            ("user information", "https", "a@h", "/v1"),
            ("a port that is none", "https", "h:x", "/v1"),
            ("the path with its query", "https", "h", "/v1?a"),
            ("no path", "https", "h", ""),
        ] {
            assert_eq!(against(scheme, authority, path, htu), Err(OTHER), "{why}");
        }
        let plain = against("", "h", "/v1", "http://h/v1");
        assert_eq!(
            plain,
            Err(OTHER),
            "a scheme that we do not know is not http"
        );
    }
}
