//! Bodies and what becomes of them: whole, in two parts at every place, and byte by byte. They run natively and as wasm.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "in tests an overflow is a failure, which is what it should be"
)]

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

mod grammar;
mod keys;
mod values;

/// What becomes of a body, comparable: the facts, or the fault and where.
type Outcome = Result<Scanned, (BodyFault, u64)>;

fn scan_in(limits: Limits, parts: &[&[u8]]) -> Outcome {
    let scan = parts
        .iter()
        .try_fold(BodyScan::new(limits), |scan, part| scan.feed(part));
    scan.and_then(BodyScan::finish)
        .map_err(|faulted| (faulted.fault(), faulted.offset()))
}

/// The outcome, after it was found to be the same for every way to cut the body in two, and byte by byte.
fn scan_limited(limits: Limits, body: &[u8]) -> Outcome {
    let whole = scan_in(limits, &[body]);
    for place in 0..=body.len() {
        let (left, right) = body.split_at(place);
        assert_eq!(
            scan_in(limits, &[left, right]),
            whole,
            "cut at {place}: {}",
            body.escape_ascii()
        );
    }
    let single: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(
        scan_in(limits, &single),
        whole,
        "byte by byte: {}",
        body.escape_ascii()
    );
    whole
}

fn scan(body: impl AsRef<[u8]>) -> Outcome {
    scan_limited(Limits::new(1 << 20), body.as_ref())
}

#[test]
fn model_is_known_at_its_closing_quote() {
    let body = br#"{"messages":[{"model":"other"}],"model":"gpt-4","n":0}"#;
    let quote = body.iter().position(|byte| *byte == b'4').unwrap() + 1;
    let mut scan = BodyScan::new(Limits::new(1000));
    for (index, byte) in body.iter().enumerate().take(quote + 1) {
        scan = scan.feed(&[*byte]).unwrap();
        assert_eq!(
            scan.model(),
            (index == quote).then_some("gpt-4"),
            "behind byte {index}"
        );
        assert_eq!(scan.bytes(), index as u64 + 1);
    }
    let faulted = scan.feed(&body[quote + 1..]).unwrap_err();
    assert_eq!(
        faulted.fault(),
        BodyFault::FieldInvalid(Field::N),
        "a later byte still faults the body"
    );
}

#[test]
fn digest_is_of_exactly_the_bytes_fed() {
    let sha256 = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
    let body = b" {\"model\":\"m\"}\n";
    let scanned = BodyScan::new(Limits::new(1000))
        .feed(body)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(
        scanned.digested(),
        Digested {
            bytes: 15,
            sha256: sha256(body)
        },
        "white space included"
    );

    let chunks: [&[u8]; 3] = [b"{\"a\"", b":x, what ever", b"not fed"];
    let faulted = BodyScan::new(Limits::new(1000))
        .feed(chunks[0])
        .unwrap()
        .feed(chunks[1])
        .unwrap_err();
    let seen = [chunks[0], chunks[1]].concat();
    assert_eq!(faulted.offset(), 5);
    assert_eq!(
        faulted.digested(),
        Digested {
            bytes: 17,
            sha256: sha256(&seen)
        },
        "the chunk at fault is counted whole"
    );

    let cut = BodyScan::new(Limits::new(1000)).feed(chunks[0]).unwrap();
    assert_eq!(
        cut.finish().unwrap_err().digested(),
        Digested {
            bytes: 4,
            sha256: sha256(chunks[0])
        }
    );

    let large = BodyScan::new(Limits::new(3)).feed(chunks[0]).unwrap_err();
    assert_eq!(
        large.digested().bytes(),
        4,
        "what lies beyond the limit was seen too"
    );
}

#[test]
fn operations_without_a_body() {
    let none = BodyScan::nothing().feed(b"").unwrap().finish().unwrap();
    assert_eq!(
        (none.facts(), none.digested().bytes()),
        (&BodyFacts::NONE, 0)
    );
    let some = BodyScan::nothing().feed(b"{}").unwrap_err();
    assert_eq!(
        (some.fault(), some.offset()),
        (BodyFault::Unexpected, 0),
        "even JSON is too much"
    );
    let space = BodyScan::nothing()
        .feed(b"")
        .unwrap()
        .feed(b" ")
        .unwrap_err();
    assert_eq!(
        (space.fault(), space.digested().bytes()),
        (BodyFault::Unexpected, 1),
        "even white space is too much"
    );
}

#[test]
fn nothing_of_the_body_is_shown() {
    let secret = "tell-nobody";
    let scan = BodyScan::new(Limits::new(1000))
        .feed(format!("{{\"{secret}\":\"{secret}").as_bytes())
        .unwrap();
    assert_eq!(format!("{scan:?}"), "BodyScan { bytes: 27, .. }");
    let faulted = scan.feed(b"\x01").unwrap_err();
    assert_eq!(
        faulted.to_string(),
        "the body is not valid JSON (at byte 27)"
    );
    let faulted = BodyScan::new(Limits::new(1000))
        .feed(b"{\"n\":0}")
        .unwrap_err();
    assert_eq!(
        faulted.to_string(),
        "n must be a whole number from 1 to 2147483647, or null (at byte 5)"
    );
    assert_eq!(
        (faulted.fault().name(), faulted.fault().param()),
        ("field_invalid", Some("n"))
    );
}

#[test]
fn bodies_that_are_none_of_our_business() {
    let body = b"\xff{{{ not JSON";
    let scan = BodyScan::anything().feed(body).unwrap();
    assert_eq!((scan.model(), scan.bytes()), (None, 13));
    let scanned = scan.finish().unwrap();
    let sha256 = <[u8; 32]>::from(Sha256::digest(body));
    assert_eq!(
        (scanned.facts(), scanned.digested()),
        (&BodyFacts::NONE, Digested { bytes: 13, sha256 })
    );
}
