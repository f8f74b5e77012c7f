//! The JOSE header, read strictly (RFC 7515 section 4, RFC 8725).
//!
//! Decided here: what a header may ask of us, which is nothing: an algorithm and a key are named, and whatever would
//! bring its own key, change what is signed or nest another token is refused by name. Members that only describe
//! (`x5t`, `nonce`, private ones) are passed over, as RFC 7515 section 4 asks.
//! Not decided here: whether the named algorithm and key are the issuer's.
//! Against: `jku`, `x5u`, embedded keys, `crit`, `b64: false`, JWE, tokens of another type used as access tokens (THREATS 13, 14, 21).

use super::algorithm::Alg;
use super::fault::TokenFault;
use crate::json::Json;

/// The longest key id, in bytes, in a header and in a key set.
pub(super) const MAX_KEY_ID_BYTES: usize = 256;

const MAX_DEPTH: u8 = 8;

/// Members that are refused whatever they hold, and why.
const REFUSED: &[(&str, &str)] = &[
    ("crit", "crit asks for an extension"),
    ("b64", "b64 changes what is signed"),
    ("jku", "jku brings its own keys"),
    ("jwk", "jwk brings its own key"),
    ("x5u", "x5u brings its own key"),
    ("x5c", "x5c brings its own key"),
    ("cty", "cty announces a nested token"),
    ("enc", "enc makes it an encrypted token"),
    ("zip", "zip makes it a compressed token"),
    ("epk", "epk makes it an encrypted token"),
];

/// Types that an access token has (RFC 7519 section 5.1, RFC 9068 section 2.1); compared without case (RFC 7515 section 4.1.9).
const TYPES: &[&str] = &["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

/// What we act on in a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JoseHeader {
    pub(super) alg: Alg,
    pub(super) key_id: Option<String>,
}

impl JoseHeader {
    pub(super) fn parse(bytes: &[u8]) -> Result<JoseHeader, TokenFault> {
        let json = Json::parse(bytes, MAX_DEPTH)
            .map_err(|_| TokenFault::Malformed("its header is not strict JSON"))?;
        let members = json
            .as_object()
            .ok_or(TokenFault::Malformed("its header is not an object"))?;
        for (name, _) in members {
            if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| refused == name) {
                return Err(TokenFault::HeaderRefused(why));
            }
        }
        if let Some(typ) = json.member("typ") {
            check_type(typ)?;
        }
        let key_id = json.member("kid").map(read_key_id).transpose()?;
        let alg = json
            .member("alg")
            .ok_or(TokenFault::HeaderRefused("it names no alg"))?
            .as_str()
            .ok_or(TokenFault::HeaderRefused("alg is not a string"))?;
        let alg = Alg::parse(alg).ok_or(TokenFault::AlgorithmRefused)?;
        Ok(JoseHeader { alg, key_id })
    }
}

fn check_type(typ: &Json) -> Result<(), TokenFault> {
    let typ = typ
        .as_str()
        .ok_or(TokenFault::HeaderRefused("typ is not a string"))?;
    if TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ)) {
        Ok(())
    } else {
        Err(TokenFault::HeaderRefused(
            "typ is not that of an access token",
        ))
    }
}

fn read_key_id(kid: &Json) -> Result<String, TokenFault> {
    match kid.as_str() {
        None => Err(TokenFault::HeaderRefused("kid is not a string")),
        Some(kid) if is_key_id(kid) => Ok(kid.to_string()),
        Some(_) => Err(TokenFault::HeaderRefused(
            "kid is empty, too long or has control characters",
        )),
    }
}

/// A key id that can be one: not empty, bounded, printable.
pub(super) fn is_key_id(kid: &str) -> bool {
    !kid.is_empty() && kid.len() <= MAX_KEY_ID_BYTES && !kid.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn headers_of_real_issuers_are_read() {
        for (who, text, key_id) in [
            ("the least there is", r#"{"alg":"RS256"}"#, None),
            (
                "Keycloak",
                r#"{"alg":"RS256","typ":"JWT","kid":"FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"}"#,
                Some("FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"),
            ),
            (
                "Microsoft Entra",
                r#"{"typ":"JWT","nonce":"Qm9z","alg":"RS256","x5t":"nOo3ZDrODXEK1jKWhXslHR_KXEg","kid":"nOo3ZDrODXEK1jKWhXslHR_KXEg"}"#,
                Some("nOo3ZDrODXEK1jKWhXslHR_KXEg"),
            ),
            (
                "Auth0, RFC 9068",
                r#"{"alg":"RS256","typ":"at+jwt","kid":"abc"}"#,
                Some("abc"),
            ),
            (
                "the long form of the type",
                r#"{"alg":"RS256","typ":"application/at+JWT"}"#,
                None,
            ),
            (
                "the type in small letters",
                r#"{"typ":"jwt","alg":"RS256"}"#,
                None,
            ),
            (
                "a private member",
                r#"{"alg":"RS256","pi.atm":"1","v":{"a":[1]}}"#,
                None,
            ),
        ] {
            let expected = JoseHeader {
                alg: Alg::Rs256,
                key_id: key_id.map(str::to_string),
            };
            assert_eq!(JoseHeader::parse(text.as_bytes()), Ok(expected), "{who}");
        }
    }

    #[test]
    fn headers_that_ask_for_something_are_refused() {
        use TokenFault::{AlgorithmRefused as Alg, HeaderRefused as No, Malformed as Bad};
        let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(257));
        for (why, text, expected) in [
            ("not JSON", "alg", Bad("its header is not strict JSON")),
            (
                "not an object",
                r#"["alg"]"#,
                Bad("its header is not an object"),
            ),
            (
                "alg twice: which one counts?",
                r#"{"alg":"none","alg":"RS256"}"#,
                Bad("its header is not strict JSON"),
            ),
            (
                "alg twice, one escaped",
                r#"{"\u0061lg":"none","alg":"RS256"}"#,
                Bad("its header is not strict JSON"),
            ),
            (
                "a duplicate deep inside",
                r#"{"alg":"RS256","v":{"a":1,"a":1}}"#,
                Bad("its header is not strict JSON"),
            ),
            (
                "byte order mark",
                "\u{feff}{\"alg\":\"RS256\"}",
                Bad("its header is not strict JSON"),
            ),
            (
                "nested too deep",
                r#"{"alg":"RS256","v":[[[[[[[[1]]]]]]]]}"#,
                Bad("its header is not strict JSON"),
            ),
            ("no alg", r#"{"typ":"JWT"}"#, No("it names no alg")),
            (
                "alg in other letters is no alg",
                r#"{"ALG":"RS256"}"#,
                No("it names no alg"),
            ),
            ("alg null", r#"{"alg":null}"#, No("alg is not a string")),
            (
                "alg a list",
                r#"{"alg":["RS256"]}"#,
                No("alg is not a string"),
            ),
            ("alg none", r#"{"alg":"none"}"#, Alg),
            ("alg none in other letters", r#"{"alg":"nOnE"}"#, Alg),
            ("HMAC of a hash that JWA has not", r#"{"alg":"HS224"}"#, Alg),
            (
                "crit, even with nothing in it",
                r#"{"alg":"RS256","crit":[]}"#,
                No("crit asks for an extension"),
            ),
            (
                "crit",
                r#"{"alg":"RS256","crit":["exp"],"exp":1}"#,
                No("crit asks for an extension"),
            ),
            (
                "b64 (RFC 7797)",
                r#"{"alg":"RS256","b64":false}"#,
                No("b64 changes what is signed"),
            ),
            (
                "b64 true as well: nobody needs it",
                r#"{"alg":"RS256","b64":true}"#,
                No("b64 changes what is signed"),
            ),
            (
                "jku",
                r#"{"alg":"RS256","jku":"https://evil"}"#,
                No("jku brings its own keys"),
            ),
            (
                "jwk",
                r#"{"alg":"RS256","jwk":{}}"#,
                No("jwk brings its own key"),
            ),
            (
                "x5u",
                r#"{"alg":"RS256","x5u":"https://evil"}"#,
                No("x5u brings its own key"),
            ),
            (
                "x5c",
                r#"{"alg":"RS256","x5c":[]}"#,
                No("x5c brings its own key"),
            ),
            (
                "nested JWT",
                r#"{"alg":"RS256","cty":"JWT"}"#,
                No("cty announces a nested token"),
            ),
            (
                "JWE",
                r#"{"alg":"RS256","enc":"A128GCM"}"#,
                No("enc makes it an encrypted token"),
            ),
            (
                "compressed",
                r#"{"alg":"RS256","zip":"DEF"}"#,
                No("zip makes it a compressed token"),
            ),
            (
                "key agreement",
                r#"{"alg":"RS256","epk":{}}"#,
                No("epk makes it an encrypted token"),
            ),
            (
                "a DPoP proof is not an access token",
                r#"{"alg":"RS256","typ":"dpop+jwt"}"#,
                No("typ is not that of an access token"),
            ),
            (
                "a logout token neither",
                r#"{"alg":"RS256","typ":"logout+jwt"}"#,
                No("typ is not that of an access token"),
            ),
            (
                "empty typ",
                r#"{"alg":"RS256","typ":""}"#,
                No("typ is not that of an access token"),
            ),
            (
                "typ null",
                r#"{"alg":"RS256","typ":null}"#,
                No("typ is not a string"),
            ),
            (
                "kid a number",
                r#"{"alg":"RS256","kid":1}"#,
                No("kid is not a string"),
            ),
            (
                "kid null",
                r#"{"alg":"RS256","kid":null}"#,
                No("kid is not a string"),
            ),
            (
                "kid empty",
                r#"{"alg":"RS256","kid":""}"#,
                No("kid is empty, too long or has control characters"),
            ),
            (
                "kid with NUL",
                r#"{"alg":"RS256","kid":"a\u0000"}"#,
                No("kid is empty, too long or has control characters"),
            ),
            (
                "kid too long",
                &long,
                No("kid is empty, too long or has control characters"),
            ),
        ] {
            assert_eq!(JoseHeader::parse(text.as_bytes()), Err(expected), "{why}");
        }
    }
}
