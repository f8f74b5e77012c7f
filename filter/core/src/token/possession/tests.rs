use super::*;
use crate::token::signing::base64url;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn read(claims: &str) -> Result<Binding, TokenFault> {
    Binding::read(&Claims::parse(claims.as_bytes()).unwrap())
}

/// A binding that is not understood is never taken for none.
#[test]
fn a_confirmation_is_one_that_we_can_check_or_refuses_the_token() {
    let digest = base64url([7; 32]);
    let of = |cnf: &str| read(&format!(r#"{{"cnf":{}}}"#, cnf.replace('D', &digest)));
    let invalid = Err(TokenFault::ClaimInvalid(Claim::Confirmation));
    for (cnf, expected, why) in [
        (
            r#"{"x5t#S256":"D"}"#,
            Ok(Binding::Certificate([7; 32])),
            "RFC 8705 section 3.1",
        ),
        (
            r#"{"jkt":"D"}"#,
            Ok(Binding::Key([7; 32])),
            "RFC 9449 section 6.1",
        ),
        (
            r#"{"jkt":"D","x5t#S256":"D"}"#,
            invalid.clone(),
            "two bindings: which would be checked?",
        ),
        (
            r#"{"jkt":"D","kid":"a"}"#,
            invalid.clone(),
            "one of two is not known here",
        ),
        (
            r#"{"jwk":{"kty":"OKP"}}"#,
            invalid.clone(),
            "a whole key (RFC 7800 section 3.2)",
        ),
        (r#"{"jku":"https://evil"}"#, invalid.clone(), "an address"),
        (r#"{"x5t":"D"}"#, invalid.clone(), "a thumbprint by SHA-1"),
        (r#"{"JKT":"D"}"#, invalid.clone(), "names have case"),
        ("{}", invalid.clone(), "bound to nothing that is named"),
        ("null", invalid.clone(), "null is not absent"),
        ("true", invalid.clone(), "no object"),
        (r#""D""#, invalid.clone(), "no object"),
        (r#"[{"jkt":"D"}]"#, invalid.clone(), "a list"),
        (r#"{"jkt":["D"]}"#, invalid.clone(), "a list of thumbprints"),
        (r#"{"jkt":7}"#, invalid.clone(), "a number"),
        (r#"{"jkt":""}"#, invalid.clone(), "empty"),
        (r#"{"jkt":"D="}"#, invalid.clone(), "padding"),
        (r#"{"jkt":"DA"}"#, invalid.clone(), "too long"),
        (r#"{"jkt":"BwcH"}"#, invalid.clone(), "three bytes"),
        (r#"{"jkt":" D"}"#, invalid.clone(), "nothing is trimmed"),
    ] {
        assert_eq!(of(cnf), expected, "{cnf}: {why}");
    }
    assert_eq!(read("{}"), Ok(Binding::Bearer), "no confirmation at all");
    let canonical = digest.strip_suffix('c').unwrap();
    assert_eq!(
        read(&format!(r#"{{"cnf":{{"jkt":"{canonical}d"}}}}"#)),
        invalid,
        "another spelling of the same bytes"
    );
}
