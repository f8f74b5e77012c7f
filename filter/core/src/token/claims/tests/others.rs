//! The claims beside identity and dates: what a token is named, how its user signed in, and what the upstream is told.

use super::*;
use crate::token::issuer::{Forward, Told, ToldValue};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A claim of the wrong form refuses the token: a list of revoked ids or a step-up could hang on it.
#[test]
fn ids_and_sign_ins_of_the_wrong_form_refuse_the_token() {
    use Claim::{Authentication, Id};
    let long = format!(r#""jti":"{}""#, "x".repeat(513));
    let many = format!(r#""amr":["{}"]"#, "a".repeat(257));
    for (members, expected, why) in [
        ("", None, "none of them is there"),
        (r#""jti":"a1""#, None, "an id"),
        (r#""jti":"""#, Some(Id), "an empty id"),
        (r#""jti":7"#, Some(Id), "a number"),
        (r#""jti":null"#, Some(Id), "null is not absent"),
        (r#""jti":["a"]"#, Some(Id), "a list"),
        (r#""jti":"a\u0000""#, Some(Id), "a control character"),
        (long.as_str(), Some(Id), "longer than any list can name"),
        (r#""acr":"urn:mfa""#, None, "a class"),
        (r#""acr":"0""#, None, "the lowest class, as text"),
        (r#""acr":2"#, Some(Authentication), "a number"),
        (r#""acr":["urn:mfa"]"#, Some(Authentication), "a list"),
        (r#""acr":"""#, Some(Authentication), "an empty class"),
        (r#""amr":["pwd","otp"]"#, None, "methods"),
        (r#""amr":[]"#, None, "no method is no method"),
        (
            r#""amr":"mfa""#,
            None,
            "one method as a text, as some issuers send it",
        ),
        (r#""amr":[1]"#, Some(Authentication), "a number among them"),
        (
            r#""amr":["pwd",null]"#,
            Some(Authentication),
            "null among them",
        ),
        (r#""amr":{"mfa":true}"#, Some(Authentication), "an object"),
        (r#""amr":[""]"#, Some(Authentication), "an empty method"),
        (many.as_str(), Some(Authentication), "a long method"),
        (r#""auth_time":1799999000"#, None, "a date"),
        (
            r#""auth_time":"1799999000""#,
            Some(Authentication),
            "a text",
        ),
        (
            r#""auth_time":1799999000.5"#,
            Some(Authentication),
            "a float",
        ),
        (r#""auth_time":-1"#, Some(Authentication), "negative"),
        (
            r#""auth_time":9007199254740992"#,
            Some(Authentication),
            "2^53",
        ),
    ] {
        let expected = expected.map(TokenFault::ClaimInvalid);
        assert_eq!(read(members).err(), expected, "{members}: {why}");
    }
}

#[test]
fn how_a_user_signed_in_is_kept() {
    let said = read(r#""jti":"a1","acr":"urn:mfa","amr":["pwd","otp"],"auth_time":1799999000"#);
    let said = said.unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(said.id.as_deref(), Some("a1"));
    let expected = crate::token::Authentication {
        class: Some("urn:mfa".into()),
        methods: vec!["pwd".into(), "otp".into()],
        at: Some(1_799_999_000),
    };
    assert_eq!(*said.authentication(), expected);
    let silent = read("").unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(
        *silent.authentication(),
        crate::token::Authentication::default()
    );
}

fn telling(value: ToldValue) -> Issuer {
    Issuer::new(IssuerSpec {
        forward: Forward {
            keep_token: false,
            headers: vec![Told {
                header: "x-told".into(),
                value,
            }],
        },
        ..spec()
    })
    .unwrap()
}

/// What a header says cannot be taken for another value, nor for two.
#[test]
fn what_the_upstream_is_told() {
    use ToldValue::{Groups, Issuer, Roles, Scopes, Subject, Tenant};
    let claim = |path: &str| ToldValue::Claim(path.into());
    let invalid = Err(TokenFault::ClaimInvalid(Claim::Forwarded));
    let told = |value: &str| Ok(Some(value.to_string()));
    for (value, members, expected, why) in [
        (
            Issuer,
            "",
            told("corp"),
            "its name in the policy, not its iss",
        ),
        (Subject, "", told("alice"), "the subject"),
        (Tenant, "", told("acme"), "the tenant"),
        (
            Subject,
            r#""sub":"ü, b%""#,
            told("%C3%BC,%20b%25"),
            "one text may have a comma in it",
        ),
        (
            Scopes,
            r#""scope":"a b""#,
            told("a,b"),
            "a list is parted by commas",
        ),
        (Scopes, "", Ok(None), "no scope, no header"),
        (
            Roles,
            r#""roles":["a,b","c"]"#,
            told("a%2Cb,c"),
            "a comma within a name is not a parting",
        ),
        (
            Roles,
            r#""roles":["a\u2028b"]"#,
            told("a%E2%80%A8b"),
            "no line is ended",
        ),
        (Groups, r#""groups":[]"#, Ok(None), "an empty list"),
        (claim("department"), "", Ok(None), "no such claim"),
        (
            claim("department"),
            r#""department":"r&d""#,
            told("r&d"),
            "a text",
        ),
        (claim("level"), r#""level":7"#, told("7"), "a number"),
        (
            claim("level"),
            r#""level":-7.5"#,
            told("-7.5"),
            "one with a fraction",
        ),
        (
            claim("staff"),
            r#""staff":true"#,
            told("true"),
            "a truth value",
        ),
        (
            claim("teams"),
            r#""teams":["a","b,c"]"#,
            told("a,b%2Cc"),
            "a list of texts",
        ),
        (
            claim("org.unit"),
            r#""org":{"id":"acme","unit":"x"}"#,
            told("x"),
            "by its path",
        ),
        (claim("org"), "", invalid.clone(), "an object"),
        (claim("x"), r#""x":null"#, invalid.clone(), "null"),
        (
            claim("x"),
            r#""x":[1]"#,
            invalid.clone(),
            "a list of numbers",
        ),
        (
            claim("x"),
            r#""x":["a",["b"]]"#,
            invalid.clone(),
            "a list in a list",
        ),
        (claim("x"), r#""x":"""#, invalid.clone(), "an empty text"),
        (
            claim("x"),
            r#""x":"a\r\nx-postern-subject: root""#,
            invalid.clone(),
            "a header of its own",
        ),
        (claim("sub.x"), "", invalid.clone(), "a path through a text"),
    ] {
        let issuer = telling(value);
        let found = read_of(&issuer, members)
            .map(|said| said.told().next().map(|(_, value)| value.to_string()));
        assert_eq!(found, expected, "{members}: {why}");
    }
}
