//! A discovery document (OpenID Connect Discovery 1.0): the way from an issuer to the path of its keys.
//!
//! Decided here: that the document is the configured issuer's own, and that its keys are where the policy says they may be.
//! Only the path is taken from it: the cluster and the host are the policy's.
//! Against: mixed-up issuers, and a document that sends us elsewhere (SSRF, THREATS 19).

use super::source::{Authority, Place, is_target};
use crate::json::Json;

const MAX_DEPTH: u8 = 16;

/// The path, with its query, of the keys that the document of `issuer` names.
///
/// # Errors
/// What is wrong, in our own words.
pub(super) fn keys_path(bytes: &[u8], issuer: &str, keys: &Place) -> Result<String, &'static str> {
    let document = Json::parse(bytes, MAX_DEPTH).map_err(|_| "it is not strict JSON")?;
    // Section 4.3: the value must be exactly the issuer by which the document was found; a trailing slash counts.
    match document.member("issuer").and_then(Json::as_str) {
        Some(named) if named == issuer => {}
        Some(_) => return Err("`issuer` is not the issuer of the policy"),
        None => return Err("`issuer` is missing or not a string"),
    }
    let uri = document
        .member("jwks_uri")
        .and_then(Json::as_str)
        .ok_or("`jwks_uri` is missing or not a string")?;
    let rest = uri
        .strip_prefix("https://")
        .ok_or("`jwks_uri` is not an https URL")?;
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => return Err("`jwks_uri` has no path"),
    };
    let authority = Authority::parse(authority).ok_or("`jwks_uri` names no plain host")?;
    if authority != keys.authority {
        return Err("`jwks_uri` names another host than the policy");
    }
    if !is_target(&path) {
        return Err("`jwks_uri` has a path or query that can be read in more than one way");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const ISSUER: &str = "https://idp.example.com";

    fn place(authority: &str) -> Place {
        Place {
            cluster: "keys".into(),
            authority: Authority::parse(authority).unwrap(),
        }
    }

    fn path_of(uri: &str) -> Result<String, &'static str> {
        let document = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"{uri}"}}"#);
        keys_path(document.as_bytes(), ISSUER, &place("idp.example.com"))
    }

    #[test]
    fn only_the_path_is_taken() {
        for (why, uri, path) in [
            ("plain", "https://idp.example.com/jwks.json", "/jwks.json"),
            ("the root", "https://idp.example.com/", "/"),
            (
                "the port that https has anyway",
                "https://idp.example.com:443/k",
                "/k",
            ),
            ("a host in any case", "https://IDP.Example.COM/k", "/k"),
            (
                "with a query",
                "https://idp.example.com/keys?p=b2c_1&v=2.0",
                "/keys?p=b2c_1&v=2.0",
            ),
        ] {
            assert_eq!(path_of(uri).as_deref(), Ok(path), "{why}");
        }
    }

    #[test]
    fn a_document_does_not_send_us_elsewhere() {
        for (why, uri, word) in [
            ("another host", "https://evil.example.com/k", "another host"),
            (
                "a host that begins alike",
                "https://idp.example.com.evil.example/k",
                "another host",
            ),
            (
                "another port",
                "https://idp.example.com:8443/k",
                "another host",
            ),
            (
                "the host as user information",
                "https://idp.example.com@evil.example/k",
                "no plain host",
            ),
            (
                "user information before the host",
                "https://u:p@idp.example.com/k",
                "no plain host",
            ),
            (
                "a trailing dot is another spelling",
                "https://idp.example.com./k",
                "another host",
            ),
            (
                "an address of the cloud",
                "https://169.254.169.254/latest",
                "another host",
            ),
            ("in clear", "http://idp.example.com/k", "not an https URL"),
            ("another scheme", "file:///etc/passwd", "not an https URL"),
            ("relative", "/k", "not an https URL"),
            ("without scheme", "//idp.example.com/k", "not an https URL"),
            (
                "scheme in upper case: not ours to fold",
                "HTTPS://idp.example.com/k",
                "not an https URL",
            ),
            ("no path", "https://idp.example.com", "no path"),
            (
                "query without path",
                "https://idp.example.com?x=/y",
                "no plain host",
            ),
            (
                "fragment",
                "https://idp.example.com/k#f",
                "more than one way",
            ),
            (
                "fragment before the path",
                "https://idp.example.com#/k",
                "no plain host",
            ),
            (
                "backslash",
                "https://idp.example.com\\\\@evil.example/k",
                "no plain host",
            ),
            (
                "dot segments",
                "https://idp.example.com/a/../k",
                "more than one way",
            ),
            (
                "percent-encoded",
                "https://idp.example.com/%6b",
                "more than one way",
            ),
            (
                "percent-encoded query",
                "https://idp.example.com/k?a=%0d",
                "more than one way",
            ),
            (
                "line break",
                "https://idp.example.com/k\\r\\nx: y",
                "more than one way",
            ),
            (
                "empty query",
                "https://idp.example.com/k?",
                "more than one way",
            ),
            ("no host", "https:///k", "no plain host"),
            ("port zero", "https://idp.example.com:0/k", "no plain host"),
            (
                "port with a zero in front",
                "https://idp.example.com:0443/k",
                "no plain host",
            ),
            (
                "port too large",
                "https://idp.example.com:65979/k",
                "no plain host",
            ),
            ("empty port", "https://idp.example.com:/k", "no plain host"),
        ] {
            let fault = path_of(uri).unwrap_err();
            assert!(fault.contains(word), "{why}: {fault}");
        }
    }

    #[test]
    fn the_issuer_is_exactly_the_one_of_the_policy() {
        for (why, document) in [
            (
                "a trailing slash",
                r#"{"issuer":"https://idp.example.com/","jwks_uri":"https://idp.example.com/k"}"#,
            ),
            (
                "another case",
                r#"{"issuer":"https://IDP.example.com","jwks_uri":"https://idp.example.com/k"}"#,
            ),
            ("missing", r#"{"jwks_uri":"https://idp.example.com/k"}"#),
            (
                "not a string",
                r#"{"issuer":["https://idp.example.com"],"jwks_uri":"https://idp.example.com/k"}"#,
            ),
            (
                "twice",
                r#"{"issuer":"https://idp.example.com","issuer":"x","jwks_uri":"https://idp.example.com/k"}"#,
            ),
            ("no keys", r#"{"issuer":"https://idp.example.com"}"#),
            (
                "keys not a string",
                r#"{"issuer":"https://idp.example.com","jwks_uri":{}}"#,
            ),
            ("not an object", r#"["issuer"]"#),
            ("not JSON", "<html>"),
        ] {
            let found = keys_path(document.as_bytes(), ISSUER, &place("idp.example.com"));
            assert!(found.is_err(), "{why}");
        }
    }

    #[test]
    fn the_keys_may_be_on_a_host_that_the_policy_names() {
        let document = r#"{"issuer":"https://idp.example.com","jwks_uri":"https://keys.example.net:8443/k","x":{"y":[]}}"#;
        let found = keys_path(document.as_bytes(), ISSUER, &place("Keys.Example.Net:8443"));
        assert_eq!(found.as_deref(), Ok("/k"));
    }
}
