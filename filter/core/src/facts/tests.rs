use super::*;
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const BASE: &[Pair<'static>] = &[
    (b":method", b"POST"),
    (b":path", b"/v1/chat/completions"),
    (b":authority", b"API.example.com:443"),
];

fn read(extra: &[Pair<'static>]) -> Result<(), Code> {
    let mut pairs: Vec<Pair<'static>> = BASE
        .iter()
        .filter(|(n, _)| !(n.starts_with(b":") && extra.iter().any(|(e, _)| e == n)))
        .copied()
        .collect();
    pairs.extend_from_slice(extra);
    RequestFacts::read(&pairs, &[])
        .map(|_| ())
        .map_err(|refusal| refusal.code())
}

#[test]
fn heads() {
    let rows: &[(&[Pair<'static>], Result<(), Code>, &str)] = &[
        (&[], Ok(()), "plain"),
        (
            &[(b"x-any", b"\xff")],
            Ok(()),
            "bytes that nobody here reads pass",
        ),
        (
            &[(b"content-type", b"application/json\xff")],
            Err(Code::HeadInvalid),
            "bytes that we read must be ASCII",
        ),
        (
            &[(b"authorization", b"Bearer \xff")],
            Err(Code::HeadInvalid),
            "also in a credential",
        ),
        (
            &[(b"content-type", b"a"), (b"content-type", b"b")],
            Err(Code::HeaderRepeated),
            "THREATS 22",
        ),
        (
            &[(b"content-type", b"a"), (b"content_type", b"b")],
            Err(Code::HeaderRepeated),
            "folded spelling",
        ),
        (
            &[(b"x-original-url", b"/x")],
            Err(Code::PathAmbiguous),
            "another path",
        ),
        (
            &[(b":path", b"/v1/chat/completions?x=1&Model=a")],
            Err(Code::ModelInvalid),
            "THREATS 7",
        ),
        (
            &[(b"upgrade", b"websocket")],
            Err(Code::UpgradeRefused),
            "THREATS 12",
        ),
        (
            &[(b":protocol", b"websocket")],
            Err(Code::UpgradeRefused),
            "extended CONNECT",
        ),
        (
            &[(b":method", b"CONNECT")],
            Err(Code::UpgradeRefused),
            "THREATS 12",
        ),
        (
            &[(b"x-http-method-override", b"GET")],
            Err(Code::MethodOverrideRefused),
            "THREATS 12",
        ),
        (
            &[(b"x_http_method_override", b"GET")],
            Err(Code::MethodOverrideRefused),
            "folded spelling",
        ),
        (
            &[(b"content-length", b"+5")],
            Err(Code::HeadInvalid),
            "not digits",
        ),
        (
            &[(b"content-length", b"99999999999999999999")],
            Err(Code::HeadInvalid),
            "over 64 bits",
        ),
        (
            &[(b":authority", b"a@b")],
            Err(Code::HeadInvalid),
            "user information",
        ),
        (&[(b":authority", b"[::1]:80")], Ok(()), "IPv6"),
        (
            &[(b":authority", b"")],
            Err(Code::HeadInvalid),
            "empty host",
        ),
    ];
    for (extra, expected, why) in rows {
        assert_eq!(read(extra), *expected, "{why}");
    }
}

#[test]
fn paths_have_one_reading() {
    let rows: &[(&'static [u8], bool, &str)] = &[
        (b"/v1/models/ft:gpt-4o:acme::x", true, "colons are plain"),
        (b"/v1/models?limit=2", true, "the query is not the path"),
        (b"/", true, "root"),
        (
            b"/v1/",
            true,
            "a trailing slash is one more, empty, last segment",
        ),
        (b"//v1/models", false, "empty segment"),
        (b"/v1//models", false, "empty segment"),
        (b"/v1/./models", false, "dot segment"),
        (b"/v1/../admin", false, "dot segment"),
        (b"/v1/%2e%2e/admin", false, "encoded dot segment"),
        (b"/v1/models%2fgpt", false, "encoded slash"),
        (b"/v1/%6dodels", false, "encoded letter"),
        (b"/v1/models;x=1", false, "path parameter"),
        (b"/v1/..;/admin", false, "path parameter on a dot segment"),
        (b"/v1\\models", false, "backslash"),
        (b"/v1/models#x", false, "fragment"),
        (b"http://x/v1/models", false, "absolute form"),
        (b"*", false, "asterisk form"),
        (b"/v1/mod\xc3\xa9ls", false, "not ASCII"),
    ];
    for (path, good, why) in rows {
        assert_eq!(
            read(&[(b":path", path)]).is_ok(),
            *good,
            "{}: {why}",
            String::from_utf8_lossy(path)
        );
    }
}

#[test]
fn one_credential() {
    let rows: &[(&[Pair<'static>], &str, &str)] = &[
        (&[], "None", "none"),
        (
            &[
                (b"authorization", b"Bearer a"),
                (b"Authorization", b"Bearer b"),
            ],
            "Repeated",
            "THREATS 22",
        ),
        (
            &[(b"authorization", b"Bearer a"), (b"x_api_key", b"b")],
            "Repeated",
            "folded spelling",
        ),
        (
            &[
                (b"authorization", b"Bearer a"),
                (b"proxy-authorization", b"b"),
            ],
            "Repeated",
            "a proxy's",
        ),
        (
            &[
                (b"authorization", b"Bearer a"),
                (b":path", b"/v1/models?a=1;token=x"),
            ],
            "Repeated",
            "after a semicolon",
        ),
        (
            &[(b"authorization", b"Bearer abc")],
            "bearer Secret(3 bytes)",
            "and its text is not shown",
        ),
        (
            &[(b"authorization", b"bearer abc")],
            "bearer Secret(3 bytes)",
            "schemes fold case (RFC 9110 section 11.1)",
        ),
        (
            &[(b"authorization", b"Basic abc")],
            "other",
            "another scheme",
        ),
        (
            &[(b"authorization", b"Bearer abc,bearer def")],
            "Repeated",
            "two headers as the gateway joins them",
        ),
        (&[(b"authorization", b"Bearer")], "other", "no token"),
        (&[(b"x-api-key", b"abc")], "other", "another place"),
        (
            &[(b"authorization", b"Bearer abc"), (b"x-api-key", b"k")],
            "Repeated",
            "two kinds",
        ),
        (
            &[
                (b"authorization", b"Bearer abc"),
                (b":path", b"/v1/models?key=1"),
            ],
            "Repeated",
            "one in the query",
        ),
        (
            &[
                (b"authorization", b"Bearer abc"),
                (b":path", b"/v1/models?%6bey=1"),
            ],
            "Repeated",
            "hidden in the query",
        ),
    ];
    for (extra, expected, why) in rows {
        let mut pairs: Vec<Pair<'static>> = BASE
            .iter()
            .filter(|(n, _)| !extra.iter().any(|(e, _)| e == n))
            .copied()
            .collect();
        pairs.extend_from_slice(extra);
        let facts = RequestFacts::read(&pairs, &[]).unwrap();
        let shown = match facts.credential() {
            Credential::None => "None".to_owned(),
            Credential::Repeated => "Repeated".to_owned(),
            Credential::One(presented) => match Place::bearer().read(presented) {
                Some(secret) => format!("bearer {secret:?}"),
                None => "other".to_owned(),
            },
        };
        assert_eq!(shown, *expected, "{why}");
    }
}

#[test]
fn a_credential_is_read_where_the_policy_says() {
    let named = |header: &str, scheme: Option<&str>| Place::Header {
        name: header.to_owned(),
        scheme: scheme.map(str::to_owned),
    };
    let query = || Place::Query {
        name: "access".to_owned(),
    };
    let cookie = || Place::Cookie {
        name: "session".to_owned(),
    };
    let rows: &[(Place, &[Pair<'static>], Option<&str>, &str)] = &[
        (
            named("x-jwt", None),
            &[(b"x-jwt", b"abc")],
            Some("abc"),
            "a header of its own",
        ),
        (
            named("x-jwt", Some("Token")),
            &[(b"X_Jwt", b"token abc")],
            Some("abc"),
            "in another spelling, with a scheme",
        ),
        (
            named("x-jwt", Some("Token")),
            &[(b"x-jwt", b"abc")],
            None,
            "the scheme is missing",
        ),
        (
            Place::bearer(),
            &[(b"authorization", b"DPoP abc")],
            Some("abc"),
            "RFC 9449 section 7.1: the same place",
        ),
        (
            named("x-jwt", Some("Token")),
            &[(b"x-jwt", b"DPoP abc")],
            None,
            "in no other header",
        ),
        (
            query(),
            &[(b":path", b"/v1/models?a=1&access=abc&b=2")],
            Some("abc"),
            "a parameter",
        ),
        (
            query(),
            &[(b":path", b"/v1/models?ACCESS=abc")],
            None,
            "a parameter in another spelling counts, and is not the one",
        ),
        (
            cookie(),
            &[(b"cookie", b"a=1; session=abc; b=2")],
            Some("abc"),
            "a cookie",
        ),
        (
            cookie(),
            &[(b"cookie", b"a=session=abc")],
            None,
            "a value that looks like one",
        ),
    ];
    for (place, extra, expected, why) in rows {
        let mut pairs: Vec<Pair<'static>> = BASE
            .iter()
            .filter(|(n, _)| !extra.iter().any(|(e, _)| e == n))
            .copied()
            .collect();
        pairs.extend_from_slice(extra);
        let facts = RequestFacts::read(&pairs, std::slice::from_ref(place)).unwrap();
        let read = match facts.credential() {
            Credential::One(presented) => place
                .read(presented)
                .map(|secret| String::from_utf8(secret.expose_secret().to_vec()).unwrap()),
            Credential::None | Credential::Repeated => None,
        };
        assert_eq!(read.as_deref(), *expected, "{why}");
    }
}

#[test]
fn a_second_credential_anywhere_is_seen() {
    let places = [
        Place::Cookie {
            name: "session".to_owned(),
        },
        Place::Query {
            name: "access".to_owned(),
        },
        Place::Header {
            name: "x-jwt".to_owned(),
            scheme: None,
        },
    ];
    let rows: &[(&[Pair<'static>], &str)] = &[
        (
            &[(b"cookie", b"session=a; session=b")],
            "a cookie twice in one header",
        ),
        (
            &[(b"cookie", b"session=a"), (b"cookie", b"SESSION=b")],
            "a cookie twice, in two headers and spellings",
        ),
        (
            &[(b"x-jwt", b"a"), (b"x_jwt", b"b")],
            "a header of the policy's twice",
        ),
        (
            &[(b":path", b"/v1/models?access=a&access=b")],
            "a parameter twice",
        ),
        (
            &[(b"cookie", b"session=a"), (b"x-goog-api-key", b"b")],
            "a cookie and a key",
        ),
    ];
    for (extra, why) in rows {
        let mut pairs: Vec<Pair<'static>> = BASE
            .iter()
            .filter(|(n, _)| !extra.iter().any(|(e, _)| e == n))
            .copied()
            .collect();
        pairs.extend_from_slice(extra);
        let facts = RequestFacts::read(&pairs, &places).unwrap();
        assert!(
            matches!(facts.credential(), Credential::Repeated),
            "{why}: {:?}",
            facts.credential()
        );
    }
    let two_readings: &[Pair<'static>] = &[
        (b":method", b"GET"),
        (b":path", b"/v1/models?a=1;access=b"),
        (b":authority", b"api"),
    ];
    assert_eq!(
        RequestFacts::read(two_readings, &places)
            .err()
            .map(|refusal| refusal.code()),
        Some(Code::PathAmbiguous),
        "nobody knows what to take out of the query"
    );
}

#[test]
fn a_credential_is_taken_out_alone() {
    for (target, expected) in [
        ("/v1/models?key=s", "/v1/models"),
        ("/v1/models?a=1&key=s&b=2", "/v1/models?a=1&b=2"),
        ("/v1/models?keys=1&key=s", "/v1/models?keys=1"),
        ("/v1/models", "/v1/models"),
    ] {
        assert_eq!(without_parameter(target, "key"), expected);
    }
    let pairs: &[Pair<'_>] = &[(b"cookie", b"a=1; session=s; b=x=y"), (b"cookie", b"c=")];
    assert_eq!(
        without_cookie(pairs, "session").as_deref(),
        Some("a=1; b=x=y; c=")
    );
    assert_eq!(
        without_cookie(&[(b"cookie", b"session=s")], "session"),
        None
    );
}

#[test]
fn json_bodies_are_declared() {
    let rows: &[(&[Pair<'static>], Option<Code>, &str)] = &[
        (&[(b"content-type", b"application/json")], None, "plain"),
        (
            &[(b"content-type", b"Application/JSON; charset=UTF-8")],
            None,
            "case and charset",
        ),
        (
            &[(b"content-type", b"application/json; charset=\"utf-8\"")],
            None,
            "quoted",
        ),
        (&[], Some(Code::ContentTypeUnsupported), "missing"),
        (
            &[(b"content-type", b"text/plain")],
            Some(Code::ContentTypeUnsupported),
            "text with JSON in it",
        ),
        (
            &[(b"content-type", b"application/json, text/plain")],
            Some(Code::ContentTypeUnsupported),
            "a list",
        ),
        (
            &[(b"content-type", b"application/json; charset=utf-16")],
            Some(Code::ContentTypeUnsupported),
            "charset",
        ),
        (
            &[(b"content-type", b"application/jsonx")],
            Some(Code::ContentTypeUnsupported),
            "prefix",
        ),
        (
            &[
                (b"content-type", b"application/json"),
                (b"content-encoding", b"gzip"),
            ],
            Some(Code::ContentEncodingUnsupported),
            "THREATS 5",
        ),
        (
            &[
                (b"content-type", b"application/json"),
                (b"content-encoding", b"identity"),
            ],
            None,
            "no coding",
        ),
    ];
    for (extra, expected, why) in rows {
        let mut pairs = BASE.to_vec();
        pairs.extend_from_slice(extra);
        let facts = RequestFacts::read(&pairs, &[]).unwrap();
        assert_eq!(
            facts.require_json().err().map(|refusal| refusal.code()),
            *expected,
            "{why}"
        );
    }
}

#[test]
fn our_headers() {
    for (name, ours) in [
        (&b"x-postern-subject"[..], true),
        (b"X-Postern-Subject", true),
        (b"x_postern_subject", true),
        (b"x-postern_audit-id", true),
        (b"x-posterns", false),
        (b"x-request-id", false),
    ] {
        assert_eq!(
            is_stripped(name, &["x-caller-tenant".to_owned()]),
            ours,
            "{}",
            String::from_utf8_lossy(name)
        );
    }
}

#[test]
fn no_value_ends_a_header_or_looks_like_another() {
    for (text, expected, why) in [
        ("alice@example.com", "alice@example.com", "plain"),
        (
            "a\r\nx-postern-rule: all",
            "a%0D%0Ax-postern-rule:%20all",
            "a line break",
        ),
        ("é", "%C3%A9", "not ASCII"),
        (
            "%C3%A9",
            "%25C3%25A9",
            "what looks encoded is not the same as what is",
        ),
    ] {
        assert_eq!(header_value(text), expected, "{why}");
    }
}

/// A gateway that sets or strips `x-forwarded-client-cert` knows this one spelling: what comes in another is the client's own,
/// also behind a trusted proxy whose client showed no certificate.
#[test]
fn no_other_spelling_tells_of_a_peer() {
    for spelling in [
        b"x_forwarded_client_cert".as_slice(),
        b"x-forwarded_client-cert",
    ] {
        let mut pairs = BASE.to_vec();
        pairs.push((spelling, b"Hash=0;URI=spiffe://example.org/a"));
        if let Ok(facts) = RequestFacts::read(&pairs, &[]) {
            assert!(
                facts.forwarded().is_empty(),
                "{}",
                String::from_utf8_lossy(spelling)
            );
        }
    }
}

/// One byte that is no text hides no cookie of the policy's: the upstream sees it beside the credential that was judged.
#[test]
fn a_cookie_beside_bytes_that_are_no_text_is_seen() {
    let places = [
        Place::bearer(),
        Place::Cookie {
            name: "session".to_owned(),
        },
    ];
    let mut pairs = BASE.to_vec();
    pairs.push((b"authorization", b"Bearer a"));
    pairs.push((b"cookie", b"session=b; x=\xff"));
    let one = RequestFacts::read(&pairs, &places)
        .is_ok_and(|facts| matches!(facts.credential(), Credential::One(_)));
    assert!(!one, "there are two credentials");
}

/// The `openai` package sends lists so (`include[]`), and `%5B` hides no name of a credential.
#[test]
fn a_list_in_the_query_is_no_credential() {
    let pairs: Vec<Pair<'static>> = vec![
        (b":method", b"GET"),
        (
            b":path",
            b"/v1/responses/resp_1?include%5B%5D=file_search_call.results",
        ),
        (b":authority", b"api"),
        (b"authorization", b"Bearer a"),
    ];
    let facts = RequestFacts::read(&pairs, &[]).unwrap();
    assert!(
        matches!(facts.credential(), Credential::One(_)),
        "{:?}",
        facts.credential()
    );
}
