//! What the guarded fields say, and what they may not.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::super::*;
use super::scan;

fn facts(body: &str) -> BodyFacts {
    scan(body)
        .unwrap_or_else(|fault| panic!("{body}: {fault:?}"))
        .facts
}

#[test]
fn facts_wherever_they_stand() {
    let all = BodyFacts {
        model: Some("m".into()),
        stream: Some(true),
        include_usage: Some(false),
        max_tokens: Some(1),
        max_completion_tokens: Some(2),
        max_output_tokens: Some(3),
        n: Some(4),
    };
    #[rustfmt::skip]
    let rows = [
        (r"{}", BodyFacts::NONE, "nothing said"),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false},"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3,"n":4}"#,
            all.clone(),
            "all, compact",
        ),
        (
            " {\r\n\t\"n\" : 4 , \"max_output_tokens\" : 3 , \"max_completion_tokens\" : 2 , \"max_tokens\" : 1 , \"stream_options\" : { \"x\" : {} , \"include_usage\" : false } , \"stream\" : true , \"model\" : \"m\" } \n",
            all.clone(),
            "all, backwards, with white space everywhere",
        ),
        (
            r#"{"stream":null,"stream_options":null,"max_tokens":null,"max_completion_tokens":null,"max_output_tokens":null,"n":null}"#,
            BodyFacts::NONE,
            "null is as good as absent",
        ),
        (r#"{"stream_options":{"include_usage":null}}"#, BodyFacts::NONE, "null in the inner object"),
        (r#"{"stream_options":{}}"#, BodyFacts::NONE, "an empty inner object"),
        (
            r#"{"messages":[{"model":"x","stream":1,"n":[]}],"a":{"model":{},"Model":1,"Model":2},"model":"m"}"#,
            BodyFacts { model: Some("m".into()), ..BodyFacts::NONE },
            "guarded names mean nothing in other objects",
        ),
        (
            r#"{"a":[[{"include_usage":1}],{"n":0}],"stream_options":{"a":{"include_usage":5},"b":[{"n":1}],"include_usage":true},"n":1}"#,
            BodyFacts { include_usage: Some(true), n: Some(1), ..BodyFacts::NONE },
            "the inner object is guarded again behind objects of its own",
        ),
        (r#"{"b":{"stream_options":{"include_usage":true,"include_usage":7}}}"#, BodyFacts::NONE, "stream_options of another object is another field"),
        (
            r#"{"a":{},"include_usage":3,"stream_options":null,"b":{"include_usage":3}}"#,
            BodyFacts::NONE,
            "include_usage of the body is another field; an object behind is not the inner one",
        ),
        (r#"{"stream_options":{},"b":{"include_usage":3,"include_usage":4}}"#, BodyFacts::NONE, "the object behind stream_options is not guarded"),
    ];
    for (body, expected, why) in rows {
        assert_eq!(facts(body), expected, "{why}: {body}");
    }
}

#[test]
fn models() {
    let long = "m".repeat(MAX_MODEL_BYTES);
    let too_long = "m".repeat(MAX_MODEL_BYTES + 1);
    let slashes = r"\/".repeat(MAX_MODEL_BYTES);
    #[rustfmt::skip]
    let rows = [
        (r#""gpt-4o-mini""#, Ok("gpt-4o-mini"), "plain"),
        (r#""openai/gpt_4.1:free@2025+x~y=z""#, Ok("openai/gpt_4.1:free@2025+x~y=z"), "the whole alphabet"),
        (r#""openai\/gpt-4o""#, Ok("openai/gpt-4o"), "PHP escapes slashes"),
        (r#""g\u0070t\u002D4""#, Ok("gpt-4"), "escapes are decoded before they are compared"),
        (&format!("\"{long}\""), Ok(&*long), "as long as allowed"),
        (&format!("\"{too_long}\""), Err((BodyFault::ModelTooLong, 9)), "one more"),
        (&format!("\"{slashes}\""), Ok(&*"/".repeat(MAX_MODEL_BYTES)), "the decoded length counts"),
        (r#""""#, Err((BodyFault::ModelEmpty, 9)), "empty"),
        (r#""gpt 4""#, Err((BodyFault::ModelCharset, 9)), "a space"),
        (r#""gpt\n4""#, Err((BodyFault::ModelCharset, 9)), "a line break would split a header"),
        (r#""gpt\u00004""#, Err((BodyFault::ModelCharset, 9)), "NUL cuts the name in C"),
        (r#""gpt-4*""#, Err((BodyFault::ModelCharset, 9)), "a pattern"),
        (r#""a,b""#, Err((BodyFault::ModelCharset, 9)), "a list"),
        (r#""a\"b""#, Err((BodyFault::ModelCharset, 9)), "a quote"),
        (r#""a%2fb""#, Err((BodyFault::ModelCharset, 9)), "percent-encoding"),
        ("\"gpt\u{7f}\"", Err((BodyFault::ModelCharset, 9)), "DEL"),
        ("\"gpt\u{2010}4\"", Err((BodyFault::ModelCharset, 9)), "a hyphen that is not ASCII's"),
        (r#""gpt\ud83d\ude00""#, Err((BodyFault::ModelCharset, 9)), "an escaped pair"),
        (r#""gpt\ud83d""#, Err((BodyFault::LoneSurrogate, 19)), "half an escaped pair"),
        ("null", Err((BodyFault::ModelNotString, 9)), "null"),
        ("true", Err((BodyFault::ModelNotString, 9)), "a boolean"),
        ("4", Err((BodyFault::ModelNotString, 9)), "a number"),
        (r#"["gpt-4"]"#, Err((BodyFault::ModelNotString, 9)), "an array"),
        (r#"{"id":"gpt-4"}"#, Err((BodyFault::ModelNotString, 9)), "an object"),
    ];
    for (value, expected, why) in rows {
        let seen = scan(format!("{{\"model\":{value}}}"));
        let model = seen
            .as_ref()
            .map(|scanned| scanned.facts().model().unwrap_or("(none)"))
            .map_err(|fault| *fault);
        assert_eq!(model, expected, "{why}: {value}");
    }
}

#[test]
fn switches_and_counts() {
    const STREAM: Result<(), BodyFault> = Err(BodyFault::FieldInvalid(Field::Stream));
    const OPTIONS: Result<(), BodyFault> = Err(BodyFault::FieldInvalid(Field::StreamOptions));
    const USAGE: Result<(), BodyFault> = Err(BodyFault::FieldInvalid(Field::IncludeUsage));
    const TOKENS: Result<(), BodyFault> = Err(BodyFault::FieldInvalid(Field::MaxTokens));
    const OUTPUT: Result<(), BodyFault> = Err(BodyFault::FieldInvalid(Field::MaxOutputTokens));
    const COMPLETION: Result<(), BodyFault> =
        Err(BodyFault::FieldInvalid(Field::MaxCompletionTokens));
    const N: Result<(), BodyFault> = Err(BodyFault::FieldInvalid(Field::N));
    #[rustfmt::skip]
    let rows = [
        (r#"{"stream":1}"#, STREAM, "truth is not a number"),
        (r#"{"stream":"true"}"#, STREAM, "nor a string"),
        (r#"{"stream":[]}"#, STREAM, "nor an array"),
        (r#"{"stream":{}}"#, STREAM, "nor an object"),
        (r#"{"stream_options":true}"#, OPTIONS, "not an object"),
        (r#"{"stream_options":[{}]}"#, OPTIONS, "an object in an array"),
        (r#"{"stream_options":"{}"}"#, OPTIONS, "an object in a string"),
        (r#"{"stream_options":{"include_usage":0}}"#, USAGE, "not a boolean"),
        (r#"{"stream_options":{"include_usage":{}}}"#, USAGE, "not a boolean"),
        (r#"{"max_tokens":1}"#, Ok(()), "the smallest"),
        (r#"{"max_tokens":2147483647}"#, Ok(()), "the largest"),
        (r#"{"max_tokens":2147483648}"#, TOKENS, "one more: negative in a signed 32-bit integer"),
        (r#"{"max_tokens":18446744073709551617}"#, TOKENS, "one, in an unsigned 64-bit integer"),
        (r#"{"max_tokens":100000000000000000000000000000000000001}"#, TOKENS, "beyond every integer"),
        (r#"{"max_tokens":0}"#, TOKENS, "zero is no limit for some"),
        (r#"{"max_tokens":-1}"#, TOKENS, "minus one is no limit for some"),
        (r#"{"max_tokens":-0}"#, TOKENS, "a sign"),
        (r#"{"max_tokens":1.0}"#, TOKENS, "a fraction"),
        (r#"{"max_tokens":1e3}"#, TOKENS, "an exponent"),
        (r#"{"max_tokens":"1"}"#, TOKENS, "a string"),
        (r#"{"max_tokens":true}"#, TOKENS, "a boolean"),
        (r#"{"max_tokens":[1]}"#, TOKENS, "an array"),
        (r#"{"max_output_tokens":0.5}"#, OUTPUT, "each field has the same rule"),
        (r#"{"max_completion_tokens":{}}"#, COMPLETION, "each field has the same rule"),
        (r#"{"n":0}"#, N, "each field has the same rule"),
        (r#"{"n":01}"#, Err(BodyFault::NotJson), "a leading zero, before the value is looked at"),
        (r#"{"n":1e999}"#, Err(BodyFault::NumberTooLarge), "a number that is none, in a field"),
        (r#"{"x":1e999}"#, Err(BodyFault::NumberTooLarge), "a number that is none, anywhere"),
    ];
    for (body, expected, why) in rows {
        let seen = scan(body).map(|_| ()).map_err(|(fault, _)| fault);
        assert_eq!(seen, expected, "{why}: {body}");
    }
}
