//! RFC 8259 and RFC 3629, and the limits.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::super::*;
use super::{scan, scan_in, scan_limited};

#[test]
fn grammar() {
    #[rustfmt::skip]
    let rows = [
        (&b""[..], Err((BodyFault::Empty, 0)), "nothing"),
        (b" \r\n\t", Err((BodyFault::Empty, 4)), "white space only"),
        (b"{", Err((BodyFault::Unfinished, 1)), "an object without end"),
        (b"{\"a", Err((BodyFault::Unfinished, 3)), "a string without end"),
        (b"{\"a\":\"\\", Err((BodyFault::Unfinished, 7)), "an escape without end"),
        (b"{\"a\":\"\xe2\x82", Err((BodyFault::Unfinished, 8)), "a character without end"),
        (b"{\"a\":1", Err((BodyFault::Unfinished, 6)), "a number may go on"),
        (b"{\"a\":nul", Err((BodyFault::Unfinished, 8)), "a literal without end"),
        (b"{\"a\":[1]", Err((BodyFault::Unfinished, 8)), "an object behind a value"),
        (b"\xef\xbb\xbf{}", Err((BodyFault::ByteOrderMark, 0)), "UTF-8 with a mark"),
        (b"\xfe\xff\0{\0}", Err((BodyFault::ByteOrderMark, 0)), "UTF-16, big end first"),
        (b"\xff\xfe{\0}\0", Err((BodyFault::ByteOrderMark, 0)), "UTF-16, small end first"),
        (b" \xef\xbb\xbf{}", Err((BodyFault::NotJson, 1)), "a mark that is none"),
        (b"{\0}\0", Err((BodyFault::NotJson, 1)), "UTF-16 without a mark"),
        (b"[]", Err((BodyFault::NotAnObject, 0)), "an array"),
        (b" \"a\"", Err((BodyFault::NotAnObject, 1)), "a string"),
        (b"1", Err((BodyFault::NotAnObject, 0)), "a number"),
        (b"null", Err((BodyFault::NotAnObject, 0)), "null"),
        (b"model=gpt-4", Err((BodyFault::NotJson, 0)), "a form"),
        (b"--boundary", Err((BodyFault::NotAnObject, 0)), "a multipart form starts like a number"),
        (b"{}{}", Err((BodyFault::TrailingData, 2)), "two objects"),
        (b"{}\n{}", Err((BodyFault::TrailingData, 3)), "JSON lines"),
        (b"{}\0", Err((BodyFault::TrailingData, 2)), "NUL behind the end"),
        (b"{}}", Err((BodyFault::TrailingData, 2)), "closed twice"),
        (b"{} \r\n\t", Ok(()), "white space behind the end"),
        (b"{,}", Err((BodyFault::NotJson, 1)), "a comma first"),
        (b"{\"a\":1,}", Err((BodyFault::NotJson, 7)), "a comma last"),
        (b"{\"a\":1,,\"b\":2}", Err((BodyFault::NotJson, 7)), "two commas"),
        (b"{\"a\":1 \"b\":2}", Err((BodyFault::NotJson, 7)), "no comma"),
        (b"{\"a\" 1}", Err((BodyFault::NotJson, 5)), "no colon"),
        (b"{\"a\"::1}", Err((BodyFault::NotJson, 5)), "two colons"),
        (b"{\"a\"}", Err((BodyFault::NotJson, 4)), "no value"),
        (b"{\"a\":}", Err((BodyFault::NotJson, 5)), "no value"),
        (b"{a:1}", Err((BodyFault::NotJson, 1)), "a bare key"),
        (b"{'a':1}", Err((BodyFault::NotJson, 1)), "a single quote"),
        (b"{1:1}", Err((BodyFault::NotJson, 1)), "a key that is a number"),
        (b"{null:1}", Err((BodyFault::NotJson, 1)), "a key that is a literal"),
        (b"{\"a\":[1,]}", Err((BodyFault::NotJson, 8)), "a comma last in an array"),
        (b"{\"a\":[,1]}", Err((BodyFault::NotJson, 6)), "a comma first in an array"),
        (b"{\"a\":[1 2]}", Err((BodyFault::NotJson, 8)), "no comma in an array"),
        (b"{\"a\":[1}", Err((BodyFault::NotJson, 7)), "an array closed as an object"),
        (b"{\"a\":[\"b\":1]}", Err((BodyFault::NotJson, 9)), "a colon in an array"),
        (b"{\"a\":{]}", Err((BodyFault::NotJson, 6)), "an object closed as an array"),
        (b"{\"a\":{\"b\":1]}", Err((BodyFault::NotJson, 11)), "an object closed as an array"),
        (b"{\"a\":[[],{},[{}],[[]]]}", Ok(()), "empty ones within one another"),
        (b"{\"a\":True}", Err((BodyFault::NotJson, 5)), "Python's literal"),
        (b"{\"a\":nulL}", Err((BodyFault::NotJson, 8)), "a literal in capitals"),
        (b"{\"a\":truex}", Err((BodyFault::NotJson, 9)), "a longer word"),
        (b"{\"a\":tru}", Err((BodyFault::NotJson, 8)), "a shorter word"),
        (b"{\"a\":NaN}", Err((BodyFault::NotJson, 5)), "not a number"),
        (b"{\"a\":-Infinity}", Err((BodyFault::NotJson, 6)), "infinity"),
        (b"{\"a\":01}", Err((BodyFault::NotJson, 6)), "a leading zero"),
        (b"{\"a\":+1}", Err((BodyFault::NotJson, 5)), "a plus"),
        (b"{\"a\":0x1}", Err((BodyFault::NotJson, 6)), "hexadecimal"),
        (b"{\"a\":1/**/}", Err((BodyFault::NotJson, 6)), "a comment"),
        (b"{//\n}", Err((BodyFault::NotJson, 1)), "a comment"),
        (b"{\"a\":1}\x0c", Err((BodyFault::TrailingData, 7)), "a form feed is not white space"),
        (b"{\x0b}", Err((BodyFault::NotJson, 1)), "nor is a vertical tab"),
        (b"{\xc2\xa0}", Err((BodyFault::NotJson, 1)), "nor a no-break space"),
        (b"{\x80}", Err((BodyFault::NotUtf8, 1)), "a stray byte outside of strings"),
        (b"{\"a\":\xff}", Err((BodyFault::NotUtf8, 5)), "a stray byte for a value"),
        (b"{\"a\":1\xc0\x80}", Err((BodyFault::NotUtf8, 6)), "an overlong NUL behind a number"),
    ];
    for (body, expected, why) in rows {
        assert_eq!(
            scan(body).map(|_| ()),
            expected,
            "{why}: {}",
            body.escape_ascii()
        );
    }
}

#[test]
fn strings() {
    #[rustfmt::skip]
    let rows = [
        (&b"plain"[..], Ok(()), "ASCII"),
        ("é ß ‰ 漢字 😀 \u{7f} \u{10ffff} \u{fffd} \u{feff} \u{2028}".as_bytes(), Ok(()), "every length of UTF-8"),
        (br#"\"\\\/\b\f\n\r\t"#, Ok(()), "every short escape"),
        (br"\u0000\u001f\ufffe\uFFFF\uD7FF\ue000", Ok(()), "every kind of unit"),
        (br"\ud800\udc00\uDBFF\uDFFF", Ok(()), "pairs"),
        (b"\t", Err((BodyFault::NotJson, 7)), "a bare tab"),
        (b"a\nb", Err((BodyFault::NotJson, 8)), "a bare line break"),
        (b"\0", Err((BodyFault::NotJson, 7)), "a bare NUL"),
        (b"12345678\x1f", Err((BodyFault::NotJson, 15)), "the last control character, behind a whole word"),
        (br"\a", Err((BodyFault::NotJson, 8)), "an unknown escape"),
        (br"\'", Err((BodyFault::NotJson, 8)), "an unknown escape"),
        (br"\U0061", Err((BodyFault::NotJson, 8)), "a capital U"),
        (br"\x61", Err((BodyFault::NotJson, 8)), "an escape of JavaScript"),
        (b"\\\xff", Err((BodyFault::NotUtf8, 8)), "a stray byte escaped"),
        (b"\\\n", Err((BodyFault::NotJson, 8)), "a line break escaped"),
        (br"\u12", Err((BodyFault::NotJson, 11)), "two digits"),
        (br"\u12G4", Err((BodyFault::NotJson, 11)), "not a digit"),
        (br"\u{61}", Err((BodyFault::NotJson, 9)), "an escape of JavaScript"),
        (br"\ud800", Err((BodyFault::LoneSurrogate, 13)), "high alone at the end"),
        (br"\ud800x", Err((BodyFault::LoneSurrogate, 13)), "high before a letter"),
        (br"\ud800\n", Err((BodyFault::LoneSurrogate, 14)), "high before another escape"),
        (br"\ud800\u0041", Err((BodyFault::LoneSurrogate, 18)), "high before another unit"),
        (br"\ud800\ud800", Err((BodyFault::LoneSurrogate, 18)), "high before high"),
        (br"\udc00", Err((BodyFault::LoneSurrogate, 12)), "low alone"),
        (br"\udc00\ud800", Err((BodyFault::LoneSurrogate, 12)), "low before high"),
        (b"\x80", Err((BodyFault::NotUtf8, 7)), "a continuation alone"),
        (b"ab\xc3", Err((BodyFault::NotUtf8, 9)), "cut off by the quote"),
        (b"\xe2\x82", Err((BodyFault::NotUtf8, 7)), "cut off by the quote"),
        (b"\xe2\x82\\n", Err((BodyFault::NotUtf8, 7)), "cut off by an escape"),
        (b"\xe2\x82\n", Err((BodyFault::NotUtf8, 7)), "cut off by a control character"),
        (b"\xe2\x82\xe2\x82\xac", Err((BodyFault::NotUtf8, 7)), "cut off by another"),
        (b"\xc0\x80", Err((BodyFault::NotUtf8, 7)), "an overlong NUL"),
        (b"\xc1\xa1", Err((BodyFault::NotUtf8, 7)), "an overlong letter"),
        (b"\xe0\x9f\xbf", Err((BodyFault::NotUtf8, 7)), "overlong with three bytes"),
        (b"\xf0\x8f\xbf\xbf", Err((BodyFault::NotUtf8, 7)), "overlong with four bytes"),
        (b"\xed\xa0\x80", Err((BodyFault::NotUtf8, 7)), "a surrogate"),
        (b"\xed\xbf\xbf", Err((BodyFault::NotUtf8, 7)), "a surrogate"),
        (b"\xf4\x90\x80\x80", Err((BodyFault::NotUtf8, 7)), "beyond U+10FFFF"),
        (b"\xf5\x80\x80\x80", Err((BodyFault::NotUtf8, 7)), "far beyond"),
        (b"\xf8\x88\x80\x80\x80", Err((BodyFault::NotUtf8, 7)), "five bytes"),
        (b"\xff", Err((BodyFault::NotUtf8, 7)), "no text has this byte"),
        (b"\xef\xbf\xbe", Ok(()), "a noncharacter is UTF-8"),
    ];
    for (text, expected, why) in rows {
        let value = [b" {\"a\":\"", text, b"\"}"].concat();
        assert_eq!(
            scan(value).map(|_| ()),
            expected,
            "{why}: {}",
            text.escape_ascii()
        );
        let key = [b"[ {\"", text, b"\":1}]"].concat();
        let nested = [b"{\"\":", &*key, b"}"].concat();
        let seen = scan(nested)
            .map(|_| ())
            .map_err(|(fault, offset)| (fault, offset - 1));
        assert_eq!(
            seen,
            expected,
            "as a key that nobody reads, {why}: {}",
            text.escape_ascii()
        );
        let guarded = [b"{\"", text, b"\":1}"].concat();
        // A key that is read has a smaller alphabet: of the good strings above only the first fits.
        let seen = scan(guarded).map(|_| ()).map_err(|_| ());
        assert_eq!(
            seen,
            (*text == *b"plain").then_some(()).ok_or(()),
            "as a key that is read, {why}: {}",
            text.escape_ascii()
        );
    }
}

#[test]
fn limits() {
    let nested = |depth: usize| {
        format!(
            "{{\"a\":{}{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    };
    let depth = |limit: u8| Limits::new(1 << 20).with_max_depth(limit);
    #[rustfmt::skip]
    let rows = [
        (Limits::new(2), "{}".to_owned(), Ok(()), "as large as allowed"),
        (Limits::new(2), "{} ".to_owned(), Err((BodyFault::TooLarge, 2)), "one more, even of white space"),
        (Limits::new(1), "{}".to_owned(), Err((BodyFault::TooLarge, 1)), "one more"),
        (Limits::new(0), String::new(), Err((BodyFault::Empty, 0)), "nothing is not too large"),
        (Limits::new(0), "{}".to_owned(), Err((BodyFault::TooLarge, 0)), "zero is no byte, not no limit"),
        (Limits::new(3), "{}x ".to_owned(), Err((BodyFault::TrailingData, 2)), "a fault before the limit comes first"),
        (Limits::new(3), "{}  x".to_owned(), Err((BodyFault::TooLarge, 3)), "a fault behind the limit is not seen"),
        (Limits::new(1 << 20), nested(64), Ok(()), "the default depth"),
        (Limits::new(1 << 20), nested(65), Err((BodyFault::TooDeep, 68)), "one more"),
        (depth(1), "{}".to_owned(), Ok(()), "the body is depth one"),
        (depth(1), nested(2), Err((BodyFault::TooDeep, 5)), "one more"),
        (depth(0), "{}".to_owned(), Err((BodyFault::TooDeep, 0)), "zero is no depth, not no limit"),
        (depth(255), nested(255), Ok(()), "the deepest that can be asked for"),
        (depth(255), nested(256), Err((BodyFault::TooDeep, 259)), "one more"),
    ];
    for (limits, body, expected, why) in rows {
        assert_eq!(
            scan_limited(limits, body.as_bytes()).map(|_| ()),
            expected,
            "{why}"
        );
    }
    let keys = |count: usize| {
        let pairs: Vec<String> = (0..count).map(|index| format!("\"{index}\":0")).collect();
        format!("{{{}}}", pairs.join(","))
    };
    assert_eq!(
        scan(keys(MAX_KEYS)).map(|_| ()),
        Ok(()),
        "as many keys as allowed"
    );
    assert_eq!(
        scan(keys(MAX_KEYS + 1)).map_err(|(fault, _)| fault),
        Err(BodyFault::TooManyKeys),
        "one more"
    );
    let other = format!("{{\"x\":{}}}", keys(4 * MAX_KEYS));
    assert_eq!(
        scan_in(Limits::new(1 << 20), &[other.as_bytes()]).map(|_| ()),
        Ok(()),
        "other objects have any number of keys"
    );
}
