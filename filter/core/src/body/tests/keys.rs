//! The keys of guarded objects, and of the others.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::super::*;
use super::scan;

#[test]
fn keys_of_guarded_objects() {
    let long = "k".repeat(MAX_KEY_BYTES);
    #[rustfmt::skip]
    let rows = [
        (r#"{"model":"a","model":"b"}"#, Err((BodyFault::DuplicateKey, 13)), "first or last wins?"),
        (r#"{"model":"a","model":"a"}"#, Err((BodyFault::DuplicateKey, 13)), "the same value is no excuse"),
        (r#"{"x":1,"x":2}"#, Err((BodyFault::DuplicateKey, 7)), "any key of the body"),
        (r#"{"x":1,"\u0078":2}"#, Err((BodyFault::DuplicateKey, 7)), "compared decoded"),
        (r#"{"":1,"":2}"#, Err((BodyFault::DuplicateKey, 6)), "the empty key"),
        (r#"{"n":null,"n":1}"#, Err((BodyFault::DuplicateKey, 10)), "null is there too"),
        (r#"{"stream_options":{"a":1,"a":2}}"#, Err((BodyFault::DuplicateKey, 25)), "any key of the inner object"),
        (r#"{"stream_options":{"a":{},"include_usage":true,"include_usage":false}}"#, Err((BodyFault::DuplicateKey, 47)), "behind an object within"),
        (r#"{"stream_options":{},"stream_options":{}}"#, Err((BodyFault::DuplicateKey, 21)), "the inner object twice"),
        (r#"{"a":1,"stream_options":{"a":1}}"#, Ok(()), "one key in two objects"),
        (r#"{"x":{"a":1,"a":2}}"#, Ok(()), "not in other objects"),
        (r#"{"model":"a","Model":"b"}"#, Err((BodyFault::LookalikeKey, 13)), "Go: last wins"),
        (r#"{"mod\u0065l":"a"}"#, Err((BodyFault::LookalikeKey, 1)), "written with an escape"),
        (r#"{"\u006dodel":"a"}"#, Err((BodyFault::LookalikeKey, 1)), "written with an escape"),
        (r#"{"Mod\u0065l":"a"}"#, Err((BodyFault::LookalikeKey, 1)), "both"),
        (r#"{"temp\u0065rature":1}"#, Ok(()), "escapes are fine in other keys"),
        (r#"{"a\/b\"c\\d":1}"#, Ok(()), "punctuation needs escapes"),
        (r#"{"a\/b":1,"model":"m"}"#, Ok(()), "an escape in the key before is forgotten"),
        (r#"{"stream_options":{"includeUsage":true}}"#, Err((BodyFault::LookalikeKey, 19)), "in the inner object"),
        ("{\"\u{17f}tream\":true}", Err((BodyFault::KeyCharset, 1)), "long s folds to s"),
        (r#"{"\u017ftream":true}"#, Err((BodyFault::KeyCharset, 1)), "long s, escaped"),
        ("{\"max_to\u{212a}ens\":1}", Err((BodyFault::KeyCharset, 1)), "the Kelvin sign folds to k"),
        ("{\"\u{ff4d}odel\":1}", Err((BodyFault::KeyCharset, 1)), "fullwidth m normalises to m"),
        ("{\"mod\u{435}l\":1}", Err((BodyFault::KeyCharset, 1)), "Cyrillic e looks like e"),
        ("{\"mo\u{200b}del\":1}", Err((BodyFault::KeyCharset, 1)), "a zero-width space"),
        ("{\"\u{feff}model\":1}", Err((BodyFault::KeyCharset, 1)), "a byte order mark"),
        (r#"{"\ud835\udc26odel":1}"#, Err((BodyFault::KeyCharset, 1)), "a mathematical m, escaped as a pair"),
        (r#"{"model\u0000x":1}"#, Err((BodyFault::KeyCharset, 1)), "C stops at NUL"),
        (r#"{"x\u0000":1}"#, Err((BodyFault::KeyCharset, 1)), "in any key"),
        (r#"{"model\t":1}"#, Err((BodyFault::KeyCharset, 1)), "a control character"),
        ("{\"model\u{7f}\":1}", Err((BodyFault::KeyCharset, 1)), "DEL"),
        (r#"{"x":{"mo\u0000":1,"é":2,"\u017f":3}}"#, Ok(()), "other objects may have any key"),
        (&format!("{{\"{long}\":1}}"), Ok(()), "as long as allowed"),
        (&format!("{{\"{long}k\":1}}"), Err((BodyFault::KeyTooLong, 1)), "one more"),
        (&format!("{{\"x\":{{\"{long}k\":1}}}}"), Ok(()), "other objects may have longer keys"),
        ("{\"k\u{80}\":1}", Err((BodyFault::KeyCharset, 1)), "a C1 control character"),
    ];
    for (body, expected, why) in rows {
        let seen = scan(body).map(|_| ());
        assert_eq!(seen, expected, "{why}: {body}");
    }
}
