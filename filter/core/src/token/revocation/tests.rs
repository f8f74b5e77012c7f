use super::*;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Both ways read alike, but for what only the text can hold.
fn read(text: &str) -> Result<Revocation, &'static str> {
    let streamed = <Revocation as Document>::read(text.as_bytes());
    if let Ok(json) = Json::parse(text.as_bytes(), 8) {
        let inline = Revocation::parse(&json).map_err(RevocationFault::as_str);
        assert_eq!(streamed, inline, "{text}");
    }
    streamed
}

#[test]
fn a_token_is_revoked_by_each_of_four() {
    let list =
        r#"{"jti":["t1","t2","t1"],"subject":["mallory"],"kid":["leaked"],"issuedBefore":1000}"#;
    let list = read(list).unwrap();
    assert_eq!(list.entries(), 4, "each once");
    for (why, jti, subject, kid, iat, expected) in [
        (
            "nothing of it",
            Some("t3"),
            "alice",
            Some("k"),
            Some(1000),
            None,
        ),
        (
            "its id",
            Some("t1"),
            "alice",
            Some("k"),
            Some(1000),
            Some(RevokedBy::TokenId),
        ),
        (
            "its subject",
            Some("t3"),
            "mallory",
            Some("k"),
            Some(1000),
            Some(RevokedBy::Subject),
        ),
        (
            "its key",
            Some("t3"),
            "alice",
            Some("leaked"),
            Some(1000),
            Some(RevokedBy::KeyId),
        ),
        (
            "its age",
            Some("t3"),
            "alice",
            Some("k"),
            Some(999),
            Some(RevokedBy::IssuedBefore),
        ),
        (
            "no age is any age",
            Some("t3"),
            "alice",
            Some("k"),
            None,
            Some(RevokedBy::IssuedBefore),
        ),
        (
            "no id and no key id are not named",
            None,
            "alice",
            None,
            Some(1000),
            None,
        ),
        (
            "an id is no subject",
            Some("mallory"),
            "t1",
            Some("t1"),
            Some(1000),
            None,
        ),
        ("case counts", Some("T1"), "Mallory", None, Some(1000), None),
    ] {
        assert_eq!(list.revokes(jti, subject, kid, iat), expected, "{why}");
    }
}

#[test]
fn an_empty_list_is_good_and_revokes_nothing() {
    for text in ["{}", r#"{"jti":[],"subject":[],"kid":[]}"#] {
        let list = read(text).unwrap();
        assert_eq!(list, Revocation::default(), "{text}");
        assert_eq!(
            list.revokes(Some("t"), "s", Some("k"), None),
            None,
            "{text}"
        );
    }
    let date = read(r#"{"issuedBefore":1}"#).unwrap();
    assert_eq!(date.entries(), 0);
    assert_ne!(date, Revocation::default(), "a date alone revokes");
}

#[test]
fn what_is_not_a_list_is_refused_whole() {
    let long = format!(r#"{{"jti":["{}"]}}"#, "x".repeat(MAX_REVOKED_BYTES + 1));
    for (why, text, fault) in [
        (
            "unknown member",
            r#"{"jti":[],"issuer":["x"]}"#,
            RevocationFault::MemberUnknown,
        ),
        (
            "a name in another case",
            r#"{"JTI":["x"]}"#,
            RevocationFault::MemberUnknown,
        ),
        (
            "a list twice",
            r#"{"jti":["a"],"jti":["b"]}"#,
            RevocationFault::MemberTwice,
        ),
        (
            "twice after decoding",
            r#"{"jti":[],"jt\u0069":[]}"#,
            RevocationFault::MemberTwice,
        ),
        (
            "a date twice",
            r#"{"issuedBefore":1,"issuedBefore":2}"#,
            RevocationFault::MemberTwice,
        ),
        (
            "empty entry",
            r#"{"kid":[""]}"#,
            RevocationFault::EntryInvalid,
        ),
        ("long entry", &long, RevocationFault::EntryInvalid),
        (
            "a number as entry",
            r#"{"subject":[1]}"#,
            RevocationFault::FormWrong,
        ),
        (
            "a list inside",
            r#"{"subject":[["x"]]}"#,
            RevocationFault::FormWrong,
        ),
        ("one string", r#"{"jti":"x"}"#, RevocationFault::FormWrong),
        ("null", r#"{"jti":null}"#, RevocationFault::FormWrong),
        ("not an object", r#"["x"]"#, RevocationFault::FormWrong),
        (
            "a date of zero",
            r#"{"issuedBefore":0}"#,
            RevocationFault::DateInvalid,
        ),
        (
            "a negative date",
            r#"{"issuedBefore":-1}"#,
            RevocationFault::DateInvalid,
        ),
        (
            "a fraction",
            r#"{"issuedBefore":1.0}"#,
            RevocationFault::DateInvalid,
        ),
        (
            "a date too large",
            r#"{"issuedBefore":9007199254740992}"#,
            RevocationFault::DateInvalid,
        ),
        ("empty", "", RevocationFault::NotJson),
        ("cut off", r#"{"jti":["a""#, RevocationFault::NotJson),
        ("something behind it", "{} {}", RevocationFault::NotJson),
        (
            "a lone surrogate",
            r#"{"jti":["\ud800"]}"#,
            RevocationFault::NotJson,
        ),
    ] {
        assert_eq!(read(text), Err(fault.as_str()), "{why}");
    }
    // A date that is no number is refused by either way, in other words.
    assert!(<Revocation as Document>::read(br#"{"issuedBefore":"1"}"#).is_err());
    assert!(<Revocation as Document>::read(b"{\"jti\":[\"\xff\"]}").is_err());
}

#[test]
fn the_count_is_bounded_over_all_members() {
    let entries = |from: usize, to: usize| {
        let texts: Vec<String> = (from..to).map(|n| format!("\"{n}\"")).collect();
        texts.join(",")
    };
    let list = |last: usize| {
        format!(
            r#"{{"jti":[{}],"subject":[{}]}}"#,
            entries(0, 30_000),
            entries(30_000, last)
        )
    };
    let most = read(&list(MAX_REVOKED)).unwrap();
    assert_eq!(most.entries(), MAX_REVOKED);
    for n in [0, 1, 29_999] {
        let jti = n.to_string();
        assert_eq!(
            most.revokes(Some(&jti), "s", None, None),
            Some(RevokedBy::TokenId)
        );
    }
    assert_eq!(
        read(&list(MAX_REVOKED + 1)),
        Err(RevocationFault::TooMany.as_str())
    );
}

#[test]
fn nothing_of_a_list_is_shown() {
    let list = read(r#"{"jti":["planted-id"]}"#).unwrap();
    assert_eq!(format!("{list:?}"), "Revocation(1 entries)");
}
