//! What always holds of the body scanner: the same outcome for every chunking, agreement with `serde_json` about what is JSON, and facts
//! that are those of the one possible reading. And the corpus in `tests/corpora/json`, whose folders say what becomes of each file.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is a failure, which is what it should be"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use postern_core::body::{BodyFacts, BodyFault, BodyScan, Digested, Faulted, Limits, Scanned};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use sha2::{Digest, Sha256};

const LIMITS: Limits = Limits::new(1 << 20);

fn scan_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Scanned, Faulted> {
    parts
        .into_iter()
        .try_fold(BodyScan::new(LIMITS), BodyScan::feed)?
        .finish()
}

fn scan(body: &[u8]) -> Result<Scanned, Faulted> {
    scan_parts([body])
}

/// What must not depend on the chunks: of a fault, not the number of bytes that came with it.
fn lasting(outcome: Result<Scanned, Faulted>) -> Result<(BodyFacts, Digested), (BodyFault, u64)> {
    outcome
        .map(|scanned| (scanned.facts().clone(), scanned.digested()))
        .map_err(|faulted| (faulted.fault(), faulted.offset()))
}

/// Whose word it is that the body is bad.
#[derive(Debug, PartialEq, Eq)]
enum Ground {
    /// Every reader of JSON's.
    Grammar,
    /// Ours: a limit or a guarded object.
    Ours,
}

fn ground(fault: BodyFault) -> Ground {
    match fault {
        BodyFault::Empty
        | BodyFault::Unfinished
        | BodyFault::ByteOrderMark
        | BodyFault::NotUtf8
        | BodyFault::NotJson
        | BodyFault::LoneSurrogate
        | BodyFault::TrailingData => Ground::Grammar,
        BodyFault::Unexpected
        | BodyFault::TooLarge
        | BodyFault::NumberTooLong
        | BodyFault::NumberTooLarge
        | BodyFault::NotAnObject
        | BodyFault::TooDeep
        | BodyFault::TooManyKeys
        | BodyFault::KeyTooLong
        | BodyFault::KeyCharset
        | BodyFault::DuplicateKey
        | BodyFault::LookalikeKey
        | BodyFault::FurtherModels
        | BodyFault::ModelNotString
        | BodyFault::ModelEmpty
        | BodyFault::ModelTooLong
        | BodyFault::ModelCharset
        | BodyFault::FieldInvalid(_) => Ground::Ours,
    }
}

/// Whether the facts are those of the parsed body.
fn assert_facts(facts: &BodyFacts, body: &Value) {
    let whole = |key: &str| body[key].as_u64();
    assert_eq!(facts.model(), body["model"].as_str(), "model");
    assert_eq!(facts.stream(), body["stream"].as_bool(), "stream");
    assert_eq!(
        facts.include_usage(),
        body["stream_options"]["include_usage"].as_bool(),
        "include_usage"
    );
    assert_eq!(facts.max_tokens(), whole("max_tokens"));
    assert_eq!(
        facts.max_completion_tokens(),
        whole("max_completion_tokens")
    );
    assert_eq!(facts.max_output_tokens(), whole("max_output_tokens"));
    assert_eq!(facts.n(), whole("n"));
}

/// Scans and parses the body, and finds both of one mind.
fn assert_agrees(body: &[u8]) {
    let parsed = serde_json::from_slice::<Value>(body);
    match (scan(body), parsed) {
        (Ok(scanned), Ok(value)) => {
            assert!(value.is_object(), "accepted what is not an object");
            assert_facts(scanned.facts(), &value);
            let sha256 = <[u8; 32]>::from(Sha256::digest(body));
            assert_eq!(scanned.digested().sha256(), &sha256);
            assert_eq!(scanned.digested().bytes(), body.len() as u64);
        }
        (Ok(_), Err(error)) => panic!("accepted what serde_json refuses: {error}"),
        (Err(faulted), Ok(_)) => {
            assert_eq!(
                ground(faulted.fault()),
                Ground::Ours,
                "refused what serde_json accepts: {faulted}"
            );
        }
        (Err(_), Err(_)) => {}
    }
}

// --- Generators ---

/// A string literal as some encoder would write it: plain, escaped where it need not be, or far from ASCII.
fn text() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    let pieces = vec![
        "a", "model", "longer plain text, of more than one word", " ", "é", "漢字", "😀", "\u{7f}", "\u{feff}", "\u{10ffff}",
        r"\n", r#"\""#, r"\\", r"\/", r"\u0000", r"\u00e9", r"\ud83d\ude00", r"\uD83D\uDE00", r"\uffff", r"\t\b\f\r",
    ];
    vec(select(pieces), 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has finite numbers only", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?",
        // Around the largest double, in every spelling.
        (
            17_976_931_348_623_100_u64..17_976_931_348_623_200,
            1_usize..17,
            "[0-9]{0,4}",
            285_i32..312
        )
            .prop_map(|(digits, point, more, exponent)| {
                let digits = digits.to_string() + &more;
                let (whole, fraction) = digits.split_at(point);
                format!("{whole}.{fraction}e{exponent}")
            }),
    ]
}

/// Any value but those that the guarded fields refuse in general: those have generators of their own.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        text(),
        number(),
        select(vec!["true", "false", "null"]).prop_map(str::to_owned)
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" ,"))),
            vec((text(), inner), 0..5).prop_map(|pairs| {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| format!("{key} :{value}"))
                    .collect();
                format!("{{ {}}}", pairs.join(", "))
            }),
        ]
    })
}

fn count() -> impl Strategy<Value = String> {
    prop_oneof![
        16 => (1_u64..=2_147_483_647).prop_map(|count| count.to_string()),
        2 => Just("null".to_owned()),
        1 => number(),
        1 => value(),
    ]
}

fn switch() -> impl Strategy<Value = String> {
    prop_oneof![20 => select(vec!["true", "false", "null"]).prop_map(str::to_owned), 1 => value()]
}

/// One pair of the top-level object: mostly good, sometimes a look-alike or a value of the wrong kind.
fn pair() -> impl Strategy<Value = String> {
    let named = |name: &'static str, value: BoxedStrategy<String>| {
        let spelled = prop_oneof![
            30 => Just(name.to_owned()),
            1 => Just(name.to_uppercase()),
            1 => Just(name.replace('e', r"\u0065")),
            1 => Just(name.replace('_', "-")),
        ];
        (spelled, value)
            .prop_map(|(key, value)| format!("\"{key}\": {value}"))
            .boxed()
    };
    let model = prop_oneof![8 => r#""[a-zA-Z0-9._:/@+~=-]{1,30}""#, 1 => select(vec![r#""a\/b\u002dc""#, r#""""#, r#""a b""#]).prop_map(str::to_owned), 1 => value()];
    let options = prop_oneof![
        4 => vec(prop_oneof![
            3 => switch().prop_map(|value| format!("\"include_usage\":{value}")),
            1 => switch().prop_map(|value| format!("\"includeUsage\":{value}")),
            3 => ("\"[a-z]{1,3}\"", value()).prop_map(|(key, value)| format!("{key}:{value}")),
        ], 0..3).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        1 => value(),
    ];
    prop_oneof![
        4 => named("model", model.boxed()),
        4 => named("stream", switch().boxed()),
        4 => named("stream_options", options.boxed()),
        4 => named("max_tokens", count().boxed()),
        4 => named("max_completion_tokens", count().boxed()),
        4 => named("max_output_tokens", count().boxed()),
        4 => named("n", count().boxed()),
        4 => named("messages", value().boxed()),
        4 => ("\"[a-z]{2,8}\"", value()).prop_map(|(key, value)| format!("{key}:{value}")),
        1 => (text(), value()).prop_map(|(key, value)| format!("{key}:{value}")),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    (
        select(vec!["", " ", "\r\n\t"]),
        vec(pair(), 0..7),
        select(vec![",", " ,\n"]),
    )
        .prop_map(|(space, pairs, comma)| {
            format!("{space}{{{space}{}{space}}}{space}", pairs.join(comma)).into_bytes()
        })
}

/// A change of one byte or of a few, of the kind that grammars trip over.
#[derive(Debug, Clone)]
enum Edit {
    Put(usize, Vec<u8>),
    Insert(usize, Vec<u8>),
    Remove(usize),
    Cut(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    #[rustfmt::skip]
    let pieces: Vec<&[u8]> = vec![
        b"\"", b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\0", b"\x1f", b"\x0c", b"0", b"-", b"+", b".", b"e", b"1",
        b"n", b"null", b"true", b"NaN", b"\\u", b"\\ud800", b"\\udc00", b"\\x", b"\x7f", b"\x80", b"\xc0\x80", b"\xc3", b"\xa9",
        b"\xe2\x82", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf0\x9f", b"\xf4\x90\x80\x80", b"\xff", b"\"model\":", b"\"n\":1,",
    ];
    let piece = || select(pieces.clone()).prop_map(<[u8]>::to_vec);
    prop_oneof![
        (any::<usize>(), piece()).prop_map(|(place, piece)| Edit::Put(place, piece)),
        (any::<usize>(), piece()).prop_map(|(place, piece)| Edit::Insert(place, piece)),
        any::<usize>().prop_map(Edit::Remove),
        any::<usize>().prop_map(Edit::Cut),
    ]
}

fn apply(mut body: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let place = |place: usize| place % (body.len() + 1);
        match edit {
            Edit::Put(at, piece) => {
                let at = place(*at);
                let end = (at + piece.len()).min(body.len());
                body.splice(at..end, piece.iter().copied());
            }
            Edit::Insert(at, piece) => {
                let at = place(*at);
                body.splice(at..at, piece.iter().copied());
            }
            Edit::Remove(at) => {
                let at = place(*at);
                body.drain(at..(at + 1).min(body.len()));
            }
            Edit::Cut(at) => body.truncate(place(*at)),
        }
    }
    body
}

/// Bodies that are good, bodies that are nearly good, and bytes.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => body(),
        4 => (body(), vec(edit(), 1..4)).prop_map(|(body, edits)| apply(body, &edits)),
        1 => vec(any::<u8>(), 0..64),
        1 => "[\\[\\]{}\",:\\\\ a-f0-9eE.+-]{0,40}".prop_map(String::into_bytes),
    ]
}

// --- Properties ---

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_has_the_same_outcome(body in anything(), cuts in vec(any::<usize>(), 0..12)) {
        let whole = lasting(scan(&body));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|ends| &body[ends[0]..ends[1]]);
        prop_assert_eq!(lasting(scan_parts(parts)), whole.clone());
        prop_assert_eq!(lasting(scan_parts(body.chunks(1))), whole);
    }

    #[test]
    fn a_limit_in_the_middle_is_found_whatever_the_chunks(body in anything(), limit in 0_u64..200, size in 1_usize..20) {
        let limited = |parts: Vec<&[u8]>| {
            let scan = parts.into_iter().try_fold(BodyScan::new(Limits::new(limit).with_max_depth(4)), BodyScan::feed);
            lasting(scan.and_then(BodyScan::finish))
        };
        let whole = limited(vec![&body]);
        prop_assert_eq!(limited(body.chunks(size).collect()), whole.clone());
        if whole.is_ok() {
            prop_assert!(body.len() as u64 <= limit);
        }
    }

    #[test]
    fn agrees_with_serde_json(body in anything()) {
        assert_agrees(&body);
    }

    #[test]
    fn good_json_is_not_refused_for_its_grammar(body in body()) {
        if let Err(faulted) = scan(&body) {
            prop_assert_eq!(ground(faulted.fault()), Ground::Ours, "{}", faulted);
        }
    }

    #[test]
    fn values_nobody_reads_are_only_json(value in value()) {
        let outcome = scan(format!("{{\"x\":{value}}}").as_bytes());
        let parsed = serde_json::from_str::<Value>(&value).is_ok();
        match outcome {
            Ok(_) => prop_assert!(parsed),
            Err(faulted) => prop_assert!(matches!(faulted.fault(), BodyFault::NumberTooLong | BodyFault::NumberTooLarge), "{}", faulted),
        }
    }

    /// Facts by construction: fields in any order, spelled with or without white space, among others.
    #[test]
    fn facts_are_what_was_written(
        model in "[a-zA-Z0-9._:/@+~=-]{1,256}",
        stream in any::<Option<bool>>(),
        usage in any::<Option<bool>>(),
        counts in proptest::array::uniform4(proptest::option::of(1_u64..=2_147_483_647)),
        others in vec(value(), 0..4),
        order in any::<prop::sample::Index>(),
        escaped in any::<bool>(),
    ) {
        fn shown<T: ToString>(value: Option<T>) -> String { value.map_or_else(|| "null".to_owned(), |value| value.to_string()) }
        let written: String = model.chars().map(|letter| if escaped { format!("\\u{:04x}", u32::from(letter)) } else { letter.to_string() }).collect();
        let mut pairs = vec![
            format!("\"model\":\"{written}\""),
            format!("\"stream\": {}", shown(stream)),
            format!("\"stream_options\":{{\"include_usage\":{}}}", shown(usage)),
            format!("\"max_tokens\":{}", shown(counts[0])),
            format!("\"max_completion_tokens\" :{}", shown(counts[1])),
            format!("\"max_output_tokens\":{}", shown(counts[2])),
            format!("\"n\":{}", shown(counts[3])),
        ];
        pairs.extend(others.iter().enumerate().map(|(index, value)| format!("\"x{index}\":{value}")));
        let middle = order.index(pairs.len());
        pairs.rotate_left(middle);
        let body = format!("{{{}}}", pairs.join(","));
        match scan(body.as_bytes()) {
            Ok(scanned) => {
                let facts = scanned.facts();
                prop_assert_eq!(facts.model(), Some(&*model));
                prop_assert_eq!((facts.stream(), facts.include_usage()), (stream, usage));
                prop_assert_eq!([facts.max_tokens(), facts.max_completion_tokens(), facts.max_output_tokens(), facts.n()], counts);
            }
            Err(faulted) => prop_assert!(matches!(faulted.fault(), BodyFault::NumberTooLong | BodyFault::NumberTooLarge), "{}", faulted),
        }
    }

    /// Whoever reads keys without regard to case, or takes the first or the last of two, reads what we read.
    #[test]
    fn an_accepted_body_has_one_reading(body in anything()) {
        let Ok(scanned) = scan(&body) else { return Ok(()) };
        let value: Value = serde_json::from_slice(&body).unwrap();
        let folded = |value: &Value, name: &str| -> Vec<Value> {
            let fold = |key: &str| key.to_lowercase().replace(['_', '-', ' '], "");
            let pairs = value.as_object().into_iter().flatten();
            pairs.filter(|(key, _)| fold(key) == fold(name)).map(|(_, value)| value.clone()).collect()
        };
        for name in ["model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n"] {
            prop_assert!(folded(&value, name).len() <= 1, "{}", name);
        }
        let models = folded(&value, "model");
        prop_assert_eq!(models.first().and_then(Value::as_str), scanned.facts().model());
        let first = first_wins(&body);
        for (key, value) in value.as_object().unwrap() {
            // As text: of a key that is repeated further down, the readers differ.
            prop_assert!(first.contains_key(key));
            if ["model", "stream", "max_tokens", "max_completion_tokens", "max_output_tokens", "n"].contains(&key.as_str()) {
                prop_assert_eq!(&first[key], value);
            }
        }
    }
}

/// The generator of the properties above is of use: it comes to good bodies, and to every fault that is not a matter of size.
#[test]
fn the_generator_reaches_good_bodies_and_faults() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..20_000 {
        let body = anything().new_tree(&mut runner).unwrap().current();
        let end = scan(&body).map_or_else(|faulted| faulted.fault().name(), |_| "accepted");
        *seen.entry(end).or_default() += 1;
    }
    #[rustfmt::skip]
    let expected = [
        "accepted", "body_empty", "body_unfinished", "body_byte_order_mark", "body_not_utf8", "body_not_json", "body_lone_surrogate",
        "body_number_too_large", "body_number_too_long", "body_not_an_object", "body_trailing_data", "body_key_charset", "body_duplicate_key", "body_lookalike_key",
        "model_not_string", "model_empty", "model_charset", "field_invalid",
    ];
    for end in expected {
        assert!(seen.contains_key(end), "{end} among {seen:?}");
    }
    assert!(seen["accepted"] >= 2000, "{seen:?}");
    println!("{seen:?}");
}

/// The top-level object as a reader sees it for whom the first of two equal keys wins.
fn first_wins(body: &[u8]) -> BTreeMap<String, Value> {
    struct First;
    impl<'de> serde::de::Visitor<'de> for First {
        type Value = BTreeMap<String, Value>;
        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut pairs: A,
        ) -> Result<Self::Value, A::Error> {
            let mut seen = BTreeMap::new();
            while let Some((key, value)) = pairs.next_entry()? {
                seen.entry(key).or_insert(value);
            }
            Ok(seen)
        }
    }
    serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_slice(body), First)
        .unwrap()
}

// --- The corpus ---

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/json")
}

/// Each file below `folder`, with the name of its own folder.
fn files(folder: &Path) -> Vec<(String, PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            let body = std::fs::read(&path).unwrap();
            found.push((name, path, body));
        }
    }
    found
}

#[test]
fn corpus_files_end_as_their_folder_says() {
    let files = files(&corpus());
    assert!(
        files.len() >= 200,
        "the corpus is there: {} files",
        files.len()
    );
    for (folder, path, body) in &files {
        let outcome = scan(body);
        let seen = match &outcome {
            Ok(_) => "accepted",
            Err(faulted) => faulted.fault().name(),
        };
        assert_eq!(seen, folder, "{}", path.display());
        let whole = lasting(outcome);
        for place in 0..=body.len().min(1024) {
            let (left, right) = body.split_at(place);
            assert_eq!(
                lasting(scan_parts([left, right])),
                whole,
                "{} cut at {place}",
                path.display()
            );
        }
        assert_eq!(
            lasting(scan_parts(body.chunks(1))),
            whole,
            "{} byte by byte",
            path.display()
        );
    }
}

/// `serde_json` has the same opinion of every file, but where the fault is a limit or a guard of ours.
#[test]
fn corpus_files_agree_with_serde_json() {
    for (folder, path, body) in files(&corpus()) {
        let parsed = serde_json::from_slice::<Value>(&body);
        match scan(&body) {
            Ok(scanned) => {
                let value = parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert_facts(scanned.facts(), &value);
            }
            Err(faulted) => match ground(faulted.fault()) {
                Ground::Grammar => assert!(parsed.is_err(), "{}", path.display()),
                // A number beyond every double is our limit and serde_json's; and a fault of ours hides what comes behind.
                Ground::Ours if folder == "body_number_too_large" => {
                    assert!(parsed.is_err(), "{}", path.display());
                }
                Ground::Ours => {}
            },
        }
    }
}

/// All small bodies over a small alphabet: whatever the grammar is, both know it.
#[test]
fn every_body_of_up_to_six_tokens_agrees_with_serde_json() {
    const TOKENS: [&str; 9] = ["{", "}", "[", "]", ",", ":", "\"n\"", "1", "null"];
    let mut bodies = vec![String::new()];
    for _ in 0..6 {
        for body in &bodies {
            assert_agrees(body.as_bytes());
        }
        bodies = bodies
            .iter()
            .flat_map(|body| TOKENS.map(|token| format!("{body}{token}")))
            // Only what starts as an object is scanned any further.
            .filter(|body| body.starts_with('{'))
            .collect();
    }
    for body in &bodies {
        assert_agrees(body.as_bytes());
        let framed = format!("{{\"x\":{body}}}");
        assert_agrees(framed.as_bytes());
    }
}

/// All strings of up to four bytes that are in some way special, as a value, a key that nobody reads, and the model.
#[test]
fn every_short_string_agrees_with_serde_json() {
    const BYTES: [u8; 20] = [
        b'"', b'\\', b'u', b'd', b'8', b'0', b'n', b'/', b'a', 0x1f, 0x20, 0x7f, 0x80, 0xa0, 0xc3,
        0xe0, 0xed, 0xef, 0xf4, 0xff,
    ];
    let mut strings: Vec<Vec<u8>> = vec![vec![]];
    for _ in 0..4 {
        strings = strings
            .iter()
            .flat_map(|string| BYTES.map(|byte| [&string[..], &[byte]].concat()))
            .collect();
        for string in &strings {
            for (before, after) in [
                ("{\"x\":\"", "\"}"),
                ("{\"x\":{\"", "\":1}}"),
                ("{\"model\":\"", "\"}"),
            ] {
                let body = [before.as_bytes(), string, after.as_bytes()].concat();
                assert_agrees(&body);
            }
        }
    }
}
