//! The header of a proof: what it may hold, and what each other thing ends in.

use super::*;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn the_header_of_a_proof() {
    use DpopFault::{AlgorithmRefused, HeaderRefused as No, KeyRefused};
    let jwk = |name: &str, value: Value| {
        let header = header("ec-1", "ES256");
        with_member("jwk", changed(header["jwk"].clone(), name, value))
    };
    for (why, proof, expected) in [
        ("as it is", with_member("x-own", json!("y")), None),
        (
            "the type without case",
            with_member("typ", json!("DPoP+JWT")),
            None,
        ),
        ("a key id in the key", jwk("kid", json!("mine")), None),
        (
            "as browsers export it",
            jwk("key_ops", json!(["verify"])),
            None,
        ),
        ("as browsers export it", jwk("ext", json!(true)), None),
        (
            "the key says its algorithm",
            jwk("alg", json!("ES256")),
            None,
        ),
        (
            "no type: any token would do",
            with_member("typ", Value::Null),
            Some(No("it names no typ")),
        ),
        (
            "an ID token",
            with_member("typ", json!("JWT")),
            Some(No("typ is not dpop+jwt")),
        ),
        (
            "an access token",
            with_member("typ", json!("at+jwt")),
            Some(No("typ is not dpop+jwt")),
        ),
        (
            "the long form is not that of the RFC",
            with_member("typ", json!("application/dpop+jwt")),
            Some(No("typ is not dpop+jwt")),
        ),
        (
            "a space",
            with_member("typ", json!("dpop+jwt ")),
            Some(No("typ is not dpop+jwt")),
        ),
        (
            "a letter that folds",
            with_member("typ", json!("dpop+\u{237}wt")),
            Some(No("typ is not dpop+jwt")),
        ),
        (
            "a list",
            with_member("typ", json!(["dpop+jwt"])),
            Some(No("typ is not a string")),
        ),
        (
            "no algorithm",
            with_member("alg", Value::Null),
            Some(No("it names no alg")),
        ),
        (
            "a number",
            with_member("alg", json!(1)),
            Some(No("alg is not a string")),
        ),
        (
            "none",
            with_member("alg", json!("none")),
            Some(AlgorithmRefused),
        ),
        (
            "a shared secret",
            with_member("alg", json!("HS256")),
            Some(AlgorithmRefused),
        ),
        (
            "an algorithm of another key",
            with_member("alg", json!("RS256")),
            Some(KeyRefused(KeyWhy::AlgorithmDisagrees)),
        ),
        (
            "crit, even with nothing in it",
            with_member("crit", json!([])),
            Some(No("crit asks for an extension")),
        ),
        (
            "b64",
            with_member("b64", json!(true)),
            Some(No("b64 changes what is signed")),
        ),
        (
            "kid",
            with_member("kid", json!("ec-1")),
            Some(No("kid names a key beside the one in it")),
        ),
        (
            "jku",
            with_member("jku", json!("https://evil")),
            Some(No("jku names keys beside the one in it")),
        ),
        (
            "x5u",
            with_member("x5u", json!("https://evil")),
            Some(No("x5u names a key beside the one in it")),
        ),
        (
            "x5c",
            with_member("x5c", json!([])),
            Some(No("x5c brings a key beside the one in it")),
        ),
        (
            "x5t",
            with_member("x5t", json!("AA")),
            Some(No("x5t names a key beside the one in it")),
        ),
        (
            "x5t#S256",
            with_member("x5t#S256", json!("AA")),
            Some(No("x5t#S256 names a key beside the one in it")),
        ),
        (
            "cty",
            with_member("cty", json!("JWT")),
            Some(No("cty announces a nested token")),
        ),
        (
            "enc",
            with_member("enc", json!("A128GCM")),
            Some(No("enc makes it an encrypted token")),
        ),
        (
            "zip",
            with_member("zip", json!("DEF")),
            Some(No("zip makes it a compressed token")),
        ),
        (
            "epk",
            with_member("epk", json!({})),
            Some(No("epk makes it an encrypted token")),
        ),
        (
            "no key",
            with_member("jwk", Value::Null),
            Some(No("it has no jwk")),
        ),
        (
            "a key that is text",
            with_member("jwk", json!("ec-1")),
            Some(KeyRefused(KeyWhy::NotAnObject)),
        ),
        (
            "a list of keys",
            with_member("jwk", json!([])),
            Some(KeyRefused(KeyWhy::NotAnObject)),
        ),
        (
            "a set of keys",
            with_member("jwk", json!({"keys": []})),
            Some(KeyRefused(KeyWhy::Member("kty"))),
        ),
        (
            "a shared secret in the key",
            with_member("jwk", json!({"kty": "oct", "k": "AAAA"})),
            Some(KeyRefused(KeyWhy::SharedSecret)),
        ),
        (
            "the private key sent along",
            jwk("d", json!("AA")),
            Some(KeyRefused(KeyWhy::Private("d"))),
        ),
        (
            "a key that points elsewhere",
            jwk("x5u", json!("https://evil")),
            Some(KeyRefused(KeyWhy::PointsElsewhere)),
        ),
        (
            "a key that points elsewhere",
            jwk("jku", json!("https://evil")),
            Some(No("its key points elsewhere")),
        ),
        (
            "a key with a certificate",
            jwk("x5c", json!([])),
            Some(No("its key brings a certificate")),
        ),
        (
            "a key for encryption",
            jwk("use", json!("enc")),
            Some(KeyRefused(KeyWhy::NotForSignatures)),
        ),
        (
            "a key for signing only",
            jwk("key_ops", json!(["sign"])),
            Some(KeyRefused(KeyWhy::NotForVerifying)),
        ),
        (
            "a key of another algorithm",
            jwk("alg", json!("RS256")),
            Some(KeyRefused(KeyWhy::AlgorithmDisagrees)),
        ),
        (
            "half a point",
            jwk("y", Value::Null),
            Some(KeyRefused(KeyWhy::Member("y"))),
        ),
        (
            "a point on no curve",
            jwk("y", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
            Some(KeyRefused(KeyWhy::NotOnCurve)),
        ),
        (
            "the identity of Ed25519",
            with_member(
                "jwk",
                json!({"kty": "OKP", "crv": "Ed25519", "x": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
            ),
            Some(KeyRefused(KeyWhy::SmallOrder)),
        ),
        (
            "the key of somebody else",
            with_member("jwk", parse_rfc_jwk()),
            Some(DpopFault::SignatureInvalid),
        ),
    ] {
        assert_eq!(check(proof).err(), expected, "{why}");
    }
    for (why, text) in [
        ("not JSON", "typ".to_string()),
        (
            "a member twice",
            r#"{"typ":"JWT","typ":"dpop+jwt"}"#.to_string(),
        ),
        (
            "a member of the key twice",
            r#"{"typ":"dpop+jwt","jwk":{"kty":"EC","kty":"oct"}}"#.to_string(),
        ),
        (
            "too deep",
            format!("{{\"a\":{}{}}}", "[".repeat(9), "]".repeat(9)),
        ),
    ] {
        let proof = signing::token("ec-1", &text, &claims().to_string());
        let expected = Some(DpopFault::Malformed("its header is not strict JSON"));
        assert_eq!(check(proof).err(), expected, "{why}");
    }
    let list = signing::token("ec-1", "[]", &claims().to_string());
    let expected = Some(DpopFault::Malformed("its header is not an object"));
    assert_eq!(check(list).err(), expected);
}
