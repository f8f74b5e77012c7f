#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]
use super::*;
use crate::token::issuer::{ClaimPaths, IssuerSpec, Keys};
use crate::token::key::KeySet;
use crate::token::signing;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod others;

const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 30;
const MAX_LIFETIME: u64 = 3600;

fn issuer() -> Issuer {
    Issuer::new(spec()).unwrap()
}

fn spec() -> IssuerSpec {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    IssuerSpec {
        algorithms: vec![crate::token::Alg::EdDsa],
        leeway: LEEWAY,
        max_lifetime: MAX_LIFETIME,
        claims: ClaimPaths {
            subject: "sub".into(),
            tenant: Some("org.id".into()),
            scopes: texts(&["scope", "scp"]),
            roles: texts(&["roles", "realm_access.roles", "https://example.com/roles"]),
            groups: texts(&["groups", "cognito:groups"]),
        },
        ..IssuerSpec::new(
            "corp",
            "https://idp.example.com",
            texts(&["inference", "https://api.example.com/"]),
            Keys::Inline(
                KeySet::parse(&Json::parse(signing::jwks(&["ed-1"]).as_bytes(), 8).unwrap())
                    .unwrap(),
            ),
        )
    }
}

/// Good claims, with `members` (JSON text) in place of those of the same name; `name:-` alone takes one away.
fn read(members: &str) -> Result<Verified, TokenFault> {
    read_of(&issuer(), members)
}

fn read_of(issuer: &Issuer, members: &str) -> Result<Verified, TokenFault> {
    let mut good: Vec<(String, String)> = [
        ("sub", "\"alice\""),
        ("org", r#"{"id":"acme"}"#),
        ("aud", "\"inference\""),
        ("exp", "1800000600"),
        ("iat", "1799999990"),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .to_vec();
    if let Some(name) = members.strip_suffix(":-") {
        good.retain(|(member, _)| member != name);
    } else {
        let Json::Object(changed) = Json::parse(format!("{{{members}}}").as_bytes(), 120).unwrap()
        else {
            panic!("{members}");
        };
        good.retain(|(member, _)| changed.iter().all(|(name, _)| name != member));
    }
    let mut all: Vec<String> = good
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    if !members.is_empty() && !members.ends_with(":-") {
        all.push(members.to_string());
    }
    let text = format!("{{{}}}", all.join(","));
    Claims::parse(text.as_bytes())?.read(issuer, NOW, None)
}

#[test]
fn good_claims_are_read() {
    let said = read(r#""scope":"model:*:chat openid","scp":["openid","extra"],"roles":"researcher","realm_access":{"roles":["admin","researcher"]},"https://example.com/roles":["dotted name"],"groups":["CN=A, OU=B"],"cognito:groups":["ü"]"#).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(said.subject, "alice");
    assert_eq!(said.tenant.as_deref(), Some("acme"));
    assert_eq!(
        said.scopes,
        ["model:*:chat", "openid", "extra"],
        "all paths together, each scope once"
    );
    assert_eq!(said.roles, ["researcher", "admin", "dotted name"]);
    assert_eq!(said.groups, ["CN=A, OU=B", "ü"]);
    assert_eq!(said.expires_at(), NOW + 600);
}

#[test]
fn dates_are_strict() {
    use Claim::{Expiry, IssuedAt, NotBefore};
    use TokenFault::{
        ClaimInvalid as Invalid, ClaimMissing as Missing, Expired, IssuedInFuture, LifetimeTooLong,
        NotYetValid,
    };
    for (why, members, expected) in [
        ("no exp: it would never end", "exp:-", Err(Missing(Expiry))),
        ("null is not a date", r#""exp":null"#, Err(Invalid(Expiry))),
        ("a string", r#""exp":"1800000600""#, Err(Invalid(Expiry))),
        ("the string NaN", r#""exp":"NaN""#, Err(Invalid(Expiry))),
        ("a float", r#""exp":1800000600.5"#, Err(Invalid(Expiry))),
        (
            "a float without a fraction",
            r#""exp":1800000600.0"#,
            Err(Invalid(Expiry)),
        ),
        ("an exponent", r#""exp":18000006e2"#, Err(Invalid(Expiry))),
        ("negative", r#""exp":-1"#, Err(Invalid(Expiry))),
        ("minus zero", r#""exp":-0"#, Err(Invalid(Expiry))),
        ("2^53", r#""exp":9007199254740992"#, Err(Invalid(Expiry))),
        (
            "2^64",
            r#""exp":18446744073709551616"#,
            Err(Invalid(Expiry)),
        ),
        (
            "2^64-1: leeway on top would wrap",
            r#""exp":18446744073709551615"#,
            Err(Invalid(Expiry)),
        ),
        ("a list", r#""exp":[1800000600]"#, Err(Invalid(Expiry))),
        ("an object", r#""exp":{}"#, Err(Invalid(Expiry))),
        ("true", r#""exp":true"#, Err(Invalid(Expiry))),
        ("zero is a date, long ago", r#""exp":0"#, Err(Expired)),
        (
            "over exactly with the leeway",
            r#""exp":1799999970"#,
            Err(Expired),
        ),
        (
            "over, within the leeway",
            r#""exp":1799999991,"iat":1799999990"#,
            Ok(()),
        ),
        (
            "the last second of the leeway",
            r#""exp":1799999971,"iat":1799999970"#,
            Ok(()),
        ),
        ("nbf as a string", r#""nbf":"0""#, Err(Invalid(NotBefore))),
        ("nbf null", r#""nbf":null"#, Err(Invalid(NotBefore))),
        ("nbf a float", r#""nbf":1.0"#, Err(Invalid(NotBefore))),
        ("nbf negative", r#""nbf":-5"#, Err(Invalid(NotBefore))),
        ("nbf in the past", r#""nbf":1799999000"#, Ok(())),
        (
            "nbf at the edge of the leeway",
            r#""nbf":1800000030"#,
            Ok(()),
        ),
        (
            "nbf one second beyond",
            r#""nbf":1800000031"#,
            Err(NotYetValid),
        ),
        (
            "iat as a string",
            r#""iat":"1799999990""#,
            Err(Invalid(IssuedAt)),
        ),
        (
            "iat a float",
            r#""iat":1799999990.123"#,
            Err(Invalid(IssuedAt)),
        ),
        ("iat null", r#""iat":null"#, Err(Invalid(IssuedAt))),
        (
            "iat at the edge of the leeway",
            r#""iat":1800000030"#,
            Ok(()),
        ),
        (
            "iat one second beyond",
            r#""iat":1800000031"#,
            Err(IssuedInFuture),
        ),
        (
            "issued after it ends",
            r#""iat":1799999995,"exp":1799999994"#,
            Err(Invalid(Expiry)),
        ),
        (
            "the longest lifetime",
            r#""iat":1799999990,"exp":1800003590"#,
            Ok(()),
        ),
        (
            "one second longer",
            r#""iat":1799999990,"exp":1800003591"#,
            Err(LifetimeTooLong),
        ),
        (
            "issued long ago counts from then",
            r#""iat":1000000000,"exp":1800000600"#,
            Err(LifetimeTooLong),
        ),
        ("no iat: what is left counts", "iat:-", Ok(())),
    ] {
        assert_eq!(read(members).map(|_| ()), expected, "{why}");
    }
    let no_iat = |exp: u64| {
        let text = format!(r#"{{"sub":"a","org":{{"id":"b"}},"aud":"inference","exp":{exp}}}"#);
        Claims::parse(text.as_bytes())
            .unwrap()
            .read(&issuer(), NOW, None)
            .map(|said| said.expires_at())
    };
    assert_eq!(no_iat(NOW + MAX_LIFETIME), Ok(NOW + MAX_LIFETIME));
    assert_eq!(no_iat(NOW + MAX_LIFETIME + 1), Err(LifetimeTooLong));
}

#[test]
fn no_time_of_the_host_breaks_the_arithmetic() {
    let claims = Claims::parse(br#"{"sub":"a","org":{"id":"b"},"aud":"inference","exp":1800000600,"nbf":0,"iat":1800000000}"#).unwrap();
    let at = |now| claims.read(&issuer(), now, None).err();
    assert_eq!(at(u64::MAX), Some(TokenFault::Expired));
    assert_eq!(
        at(0),
        Some(TokenFault::IssuedInFuture),
        "a clock that was never set"
    );
}

#[test]
fn the_audience_must_be_ours() {
    use TokenFault::{AudienceWrong, ClaimInvalid, ClaimMissing};
    let long: String = vec!["\"x\""; MAX_GRANTS + 1].join(",");
    for (why, members, expected) in [
        (
            "none: for everybody",
            "aud:-",
            Err(ClaimMissing(Claim::Audience)),
        ),
        ("another", r#""aud":"billing""#, Err(AudienceWrong)),
        (
            "a trailing slash",
            r#""aud":"inference/""#,
            Err(AudienceWrong),
        ),
        (
            "without the trailing slash of ours",
            r#""aud":"https://api.example.com""#,
            Err(AudienceWrong),
        ),
        ("a part of ours", r#""aud":"infer""#, Err(AudienceWrong)),
        ("other letters", r#""aud":"Inference""#, Err(AudienceWrong)),
        (
            "NUL behind",
            r#""aud":"inference\u0000""#,
            Err(AudienceWrong),
        ),
        ("a pattern", r#""aud":"*""#, Err(AudienceWrong)),
        ("empty", r#""aud":"""#, Err(AudienceWrong)),
        ("empty list", r#""aud":[]"#, Err(AudienceWrong)),
        (
            "a list with ours",
            r#""aud":["account","inference"]"#,
            Ok(()),
        ),
        (
            "a list with the other of ours",
            r#""aud":["https://api.example.com/"]"#,
            Ok(()),
        ),
        ("a list without", r#""aud":["account"]"#, Err(AudienceWrong)),
        (
            "a list in a list",
            r#""aud":[["inference"]]"#,
            Err(ClaimInvalid(Claim::Audience)),
        ),
        (
            "a number beside ours",
            r#""aud":["inference",1]"#,
            Err(ClaimInvalid(Claim::Audience)),
        ),
        ("null", r#""aud":null"#, Err(ClaimInvalid(Claim::Audience))),
        (
            "an object",
            r#""aud":{"inference":true}"#,
            Err(ClaimInvalid(Claim::Audience)),
        ),
        ("true", r#""aud":true"#, Err(ClaimInvalid(Claim::Audience))),
        (
            "too many",
            &format!(r#""aud":[{long}]"#),
            Err(ClaimInvalid(Claim::Audience)),
        ),
    ] {
        assert_eq!(read(members).map(|_| ()), expected, "{why}");
    }
}

#[test]
fn subject_and_tenant_are_there_and_mean_the_same_everywhere() {
    use TokenFault::{ClaimInvalid, ClaimMissing};
    let longest = format!(r#""sub":"{}""#, "s".repeat(MAX_SUBJECT_BYTES));
    let too_long = format!(r#""sub":"{}""#, "s".repeat(MAX_SUBJECT_BYTES + 1));
    for (why, members, expected) in [
        ("no subject", "sub:-", Err(ClaimMissing(Claim::Subject))),
        ("null", r#""sub":null"#, Err(ClaimInvalid(Claim::Subject))),
        ("a number", r#""sub":7"#, Err(ClaimInvalid(Claim::Subject))),
        ("empty", r#""sub":"""#, Err(ClaimInvalid(Claim::Subject))),
        (
            "a line feed: a second header or log line",
            r#""sub":"alice\r\nx-admin: 1""#,
            Err(ClaimInvalid(Claim::Subject)),
        ),
        (
            "NUL: cut off by programs in C",
            r#""sub":"alice\u0000bob""#,
            Err(ClaimInvalid(Claim::Subject)),
        ),
        (
            "an escape sequence of terminals",
            r#""sub":"\u001b[2J""#,
            Err(ClaimInvalid(Claim::Subject)),
        ),
        (
            "a C1 control character",
            r#""sub":"a\u0085b""#,
            Err(ClaimInvalid(Claim::Subject)),
        ),
        (
            "a space behind: trimmed on its way, it is alice",
            r#""sub":"alice ""#,
            Err(ClaimInvalid(Claim::Subject)),
        ),
        (
            "a space in front",
            r#""sub":" alice""#,
            Err(ClaimInvalid(Claim::Subject)),
        ),
        ("a space inside", r#""sub":"alice b""#, Ok(())),
        (
            "an address",
            r#""sub":"auth0|5f7c8ec7c33c6c004bbafe82""#,
            Ok(()),
        ),
        ("the longest", &longest, Ok(())),
        (
            "one byte longer",
            &too_long,
            Err(ClaimInvalid(Claim::Subject)),
        ),
        (
            "no tenant, though the policy names it",
            "org:-",
            Err(ClaimMissing(Claim::Tenant)),
        ),
        (
            "no tenant inside",
            r#""org":{"name":"x"}"#,
            Err(ClaimMissing(Claim::Tenant)),
        ),
        (
            "the way to it leads through a string",
            r#""org":"acme""#,
            Err(ClaimInvalid(Claim::Tenant)),
        ),
        (
            "the way to it leads through null",
            r#""org":null"#,
            Err(ClaimInvalid(Claim::Tenant)),
        ),
        (
            "tenant a list",
            r#""org":{"id":["acme"]}"#,
            Err(ClaimInvalid(Claim::Tenant)),
        ),
        (
            "tenant with a tab",
            r#""org":{"id":"ac\tme"}"#,
            Err(ClaimInvalid(Claim::Tenant)),
        ),
        (
            "a literal name with a dot is not the path",
            r#""org":{},"org.id":"acme""#,
            Err(ClaimMissing(Claim::Tenant)),
        ),
    ] {
        assert_eq!(read(members).map(|_| ()), expected, "{why}");
    }
}

#[test]
fn grants_of_the_wrong_form_refuse_the_token() {
    use Claim::{Groups, Roles, Scopes};
    let many = |n: usize| {
        (0..n)
            .map(|i| format!("\"g{i}\""))
            .collect::<Vec<_>>()
            .join(",")
    };
    let most = format!(r#""scp":[{}]"#, many(MAX_GRANTS));
    let too_many = format!(r#""scp":[{}],"scope":"one-more""#, many(MAX_GRANTS));
    let longest = format!(r#""roles":"{}""#, "r".repeat(MAX_GRANT_BYTES));
    let too_long = format!(r#""roles":"{}""#, "r".repeat(MAX_GRANT_BYTES + 1));
    for (why, members, expected) in [
        ("none at all", "", None),
        (
            "an empty string is no scope, as Keycloak sends it",
            r#""scope":"""#,
            None,
        ),
        ("an empty list", r#""scp":[]"#, None),
        ("null", r#""scope":null"#, Some(Scopes)),
        ("a number", r#""scope":1"#, Some(Scopes)),
        ("an object", r#""scope":{"admin":true}"#, Some(Scopes)),
        (
            "the second path is read as well",
            r#""scope":"a","scp":7"#,
            Some(Scopes),
        ),
        ("two spaces", r#""scope":"a  b""#, Some(Scopes)),
        ("a space in front", r#""scope":" a""#, Some(Scopes)),
        ("a space behind", r#""scope":"a ""#, Some(Scopes)),
        ("a tab between", r#""scope":"a\tb""#, Some(Scopes)),
        ("a quote", r#""scope":"a\"b""#, Some(Scopes)),
        ("a backslash", r#""scope":"a\\b""#, Some(Scopes)),
        ("beyond ASCII", r#""scope":"ä""#, Some(Scopes)),
        (
            "a space within one of a list: one scope or two?",
            r#""scp":["a b"]"#,
            Some(Scopes),
        ),
        ("an empty one in a list", r#""scp":["a",""]"#, Some(Scopes)),
        (
            "a number in a list is not dropped",
            r#""scp":["a",1]"#,
            Some(Scopes),
        ),
        ("a list in a list", r#""scp":[["a"]]"#, Some(Scopes)),
        ("the most", &most, None),
        ("one more, from another path", &too_many, Some(Scopes)),
        ("roles a number", r#""roles":1"#, Some(Roles)),
        ("roles null", r#""roles":null"#, Some(Roles)),
        ("roles true", r#""roles":true"#, Some(Roles)),
        ("roles an object", r#""roles":{"admin":{}}"#, Some(Roles)),
        (
            "roles with null in the list",
            r#""roles":["a",null]"#,
            Some(Roles),
        ),
        (
            "roles with a control character",
            r#""roles":["a\n"]"#,
            Some(Roles),
        ),
        ("an empty role", r#""roles":"""#, Some(Roles)),
        ("the longest role", &longest, None),
        ("one byte longer", &too_long, Some(Roles)),
        (
            "the way to the roles leads through a list",
            r#""realm_access":["roles"]"#,
            Some(Roles),
        ),
        ("the way ends early", r#""realm_access":{}"#, None),
        (
            "groups a number in the list",
            r#""groups":[1]"#,
            Some(Groups),
        ),
    ] {
        assert_eq!(
            read(members).err(),
            expected.map(TokenFault::ClaimInvalid),
            "{why}"
        );
    }
}

#[test]
fn one_string_is_one_role_and_never_split() {
    let said = read(r#""roles":"admin user""#).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(said.roles, ["admin user"]);
}

#[test]
fn claims_are_one_object_of_strict_json() {
    let not_json = Some(TokenFault::Malformed("its claims are not strict JSON"));
    let not_object = Some(TokenFault::Malformed("its claims are not an object"));
    let deep = format!(r#"{{"v":{}{}}}"#, "[".repeat(32), "]".repeat(32));
    let deepest = format!(r#"{{"v":{}{}}}"#, "[".repeat(31), "]".repeat(31));
    let cases: [(&str, &[u8], Option<TokenFault>); 12] = [
        (
            "sub twice: who calls?",
            br#"{"sub":"a","sub":"b"}"#,
            not_json,
        ),
        (
            "sub twice, one escaped",
            br#"{"sub":"a","s\u0075b":"b"}"#,
            not_json,
        ),
        (
            "a duplicate deep inside",
            br#"{"realm_access":{"roles":[],"roles":["admin"]}}"#,
            not_json,
        ),
        ("a date that no double holds", br#"{"exp":1e400}"#, not_json),
        ("NaN", br#"{"exp":NaN}"#, not_json),
        ("trailing data", br#"{"sub":"a"}{"sub":"b"}"#, not_json),
        ("not UTF-8", b"{\"sub\":\"\xff\"}", not_json),
        ("a list", b"[]", not_object),
        ("a string", br#""claims""#, not_object),
        ("null", b"null", not_object),
        ("33 levels", deep.as_bytes(), not_json),
        ("32 levels", deepest.as_bytes(), None),
    ];
    for (why, payload, expected) in cases {
        assert_eq!(Claims::parse(payload).err(), expected, "{why}");
    }
}

#[test]
fn the_claimed_issuer_is_a_string_or_nothing() {
    let claimed = |text: &str| {
        Claims::parse(text.as_bytes())
            .unwrap()
            .claimed_issuer()
            .map(str::to_string)
    };
    assert_eq!(claimed(r#"{"iss":"a"}"#), Ok("a".to_string()));
    assert_eq!(claimed("{}"), Err(TokenFault::IssuerMissing));
    for wrong in [r#"{"iss":null}"#, r#"{"iss":["a"]}"#, r#"{"iss":1}"#] {
        assert_eq!(
            claimed(wrong),
            Err(TokenFault::ClaimInvalid(Claim::Issuer)),
            "{wrong}"
        );
    }
}

#[test]
fn paths_are_cut_at_dots_unless_they_are_addresses() {
    let long = "a".repeat(MAX_PATH_BYTES + 1);
    for (text, expected) in [
        ("sub", Some(vec!["sub"])),
        ("realm_access.roles", Some(vec!["realm_access", "roles"])),
        (
            "https://example.com/roles",
            Some(vec!["https://example.com/roles"]),
        ),
        ("cognito:groups", Some(vec!["cognito:groups"])),
        (
            "a.b.c.d.e.f.g.h",
            Some(vec!["a", "b", "c", "d", "e", "f", "g", "h"]),
        ),
        ("a.b.c.d.e.f.g.h.i", None),
        ("", None),
        (".", None),
        ("a.", None),
        (".a", None),
        ("a..b", None),
        ("a\n", None),
        (long.as_str(), None),
    ] {
        let expected =
            expected.map(|names| ClaimPath(names.into_iter().map(str::to_string).collect()));
        assert_eq!(ClaimPath::parse(text), expected, "{text}");
    }
}
