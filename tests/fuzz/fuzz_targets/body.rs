//! The body scanner against every chunking and against `serde_json`. The input is the body itself, so that the files of the corpus are
//! inputs as they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_core::body::{BodyFacts, BodyFault, BodyScan, Digested, Limits};

type Outcome = Result<(BodyFacts, Digested), (BodyFault, u64)>;

const MAX_BYTES: u64 = 1 << 16;

fn scan<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let limits = Limits::new(MAX_BYTES);
    let scan = parts
        .into_iter()
        .try_fold(BodyScan::new(limits), BodyScan::feed);
    scan.and_then(BodyScan::finish)
        .map(|scanned| (scanned.facts().clone(), scanned.digested()))
        .map_err(|faulted| (faulted.fault(), faulted.offset()))
}

/// Chunks whose sizes follow from the bytes themselves.
fn uneven(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(byte) = rest.first() {
        let (part, others) = rest.split_at(usize::from(byte % 11).min(rest.len()).max(1));
        parts.extend([part, &[]]);
        rest = others;
    }
    parts
}

/// Whether every reader of JSON finds this fault, so that `serde_json` must.
fn is_grammar(fault: BodyFault) -> bool {
    matches!(
        fault,
        BodyFault::Empty
            | BodyFault::Unfinished
            | BodyFault::ByteOrderMark
            | BodyFault::NotUtf8
            | BodyFault::NotJson
            | BodyFault::LoneSurrogate
            | BodyFault::TrailingData
    )
}

fuzz_target!(|body: &[u8]| {
    let whole = scan([body]);
    assert_eq!(scan(body.chunks(1)), whole, "byte by byte");
    assert_eq!(scan(uneven(body)), whole, "in uneven chunks");

    let parsed = serde_json::from_slice::<serde_json::Value>(body);
    match whole {
        Ok((facts, _)) => {
            let value = parsed.expect("what is accepted is JSON");
            assert!(value.is_object(), "what is accepted is an object");
            assert_eq!(facts.model(), value["model"].as_str());
            assert_eq!(facts.stream(), value["stream"].as_bool());
            assert_eq!(
                facts.include_usage(),
                value["stream_options"]["include_usage"].as_bool()
            );
            assert_eq!(facts.max_tokens(), value["max_tokens"].as_u64());
            assert_eq!(
                facts.max_completion_tokens(),
                value["max_completion_tokens"].as_u64()
            );
            assert_eq!(
                facts.max_output_tokens(),
                value["max_output_tokens"].as_u64()
            );
            assert_eq!(facts.n(), value["n"].as_u64());
        }
        Err((fault, offset)) => {
            assert!(offset <= body.len() as u64, "the fault is in the body");
            assert!(
                parsed.is_err() || !is_grammar(fault),
                "{fault:?} at {offset} is JSON to others"
            );
        }
    }
});
