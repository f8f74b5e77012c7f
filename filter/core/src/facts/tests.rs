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
    RequestFacts::read(&pairs)
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
            "Bearer(Secret(3 bytes))",
            "and its text is not shown",
        ),
        (
            &[(b"authorization", b"bearer abc")],
            "Bearer(Secret(3 bytes))",
            "schemes fold case (RFC 9110 section 11.1)",
        ),
        (
            &[(b"authorization", b"Basic abc")],
            "Other",
            "another scheme",
        ),
        (
            &[(b"authorization", b"Bearer abc,bearer def")],
            "Repeated",
            "two headers as the gateway joins them",
        ),
        (&[(b"authorization", b"Bearer")], "Other", "no token"),
        (&[(b"x-api-key", b"abc")], "Other", "another place"),
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
        let facts = RequestFacts::read(&pairs).unwrap();
        assert_eq!(format!("{:?}", facts.credential()), *expected, "{why}");
    }
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
        let facts = RequestFacts::read(&pairs).unwrap();
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
        assert_eq!(is_stripped(name), ours, "{}", String::from_utf8_lossy(name));
    }
}
