//! The model of the gateway is the one of the in-process host.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]
use super::*;
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[path = "../../../../../tests/src/host/crypto.rs"]
mod model;

/// A gateway that answers rightly.
pub(in crate::token) fn right(argument: &[u8]) -> Option<Vec<u8>> {
    model::verify_signature(argument)
}

fn no() -> Option<Vec<u8>> {
    Some(vec![0x12, 0x00])
}

fn names(argument: &[u8], hash: &str) -> bool {
    argument
        .windows(hash.len())
        .any(|part| part == hash.as_bytes())
}

#[test]
fn only_what_a_gateway_answers_rightly_is_asked_of_it() {
    use Alg::{Es256, Es384, Es512, Rs256, Rs384, Rs512};
    let rows: Vec<(&str, Ask, Vec<Alg>)> = vec![
        (
            "our questions are read by others, and the known answers hold",
            right,
            HOSTED.to_vec(),
        ),
        ("yes to everything", |_| Some(TRUE.to_vec()), vec![]),
        ("no to everything", |_| no(), vec![]),
        ("without the function", |_| None, vec![]),
        ("an empty answer", |_| Some(vec![]), vec![]),
        (
            "true, and something behind it",
            |q| {
                let mut answer = right(q)?;
                answer.push(0);
                Some(answer)
            },
            vec![],
        ),
        (
            "one without SHA-384",
            |q| if names(q, "sha384") { no() } else { right(q) },
            vec![Rs256, Rs512, Es256, Es512],
        ),
        (
            "one that answers nothing for SHA-512",
            |q| if names(q, "sha512") { None } else { right(q) },
            vec![Rs256, Rs384, Es256, Es384],
        ),
        (
            "one that says yes to every key of P-521 on seeing SHA-512",
            |q| {
                let p521 = [0x2b, 0x81, 0x04, 0x00, 0x23];
                let is_p521 = q.windows(5).any(|part| part == p521);
                if is_p521 {
                    Some(TRUE.to_vec())
                } else {
                    right(q)
                }
            },
            vec![Rs256, Rs384, Rs512, Es256, Es384],
        ),
    ];
    for (why, ask, expected) in rows {
        let earned: Vec<Alg> = Gateway::tried(ask).map_or_else(Vec::new, |g| g.earned().collect());
        assert_eq!(earned, expected, "{why}");
    }
    assert!(Gateway::tried(right).unwrap().checks_all());
}

#[test]
fn every_algorithm_that_is_handed_over_has_a_known_answer_and_no_other() {
    for alg in Alg::ALL {
        assert_eq!(answers::of(*alg).is_some(), HOSTED.contains(alg), "{alg}");
    }
}

#[test]
fn lengths_are_written_as_protobuf_reads_them() {
    for length in [0, 1, 127, 128, 300, 16_383, 16_384] {
        let mut message = Vec::new();
        put_bytes(&mut message, 4, &vec![7; length]);
        let (head, body) = message.split_at(message.len() - length);
        let expected: &[u8] = match length {
            0 => &[0x22, 0x00],
            1 => &[0x22, 0x01],
            127 => &[0x22, 0x7f],
            128 => &[0x22, 0x80, 0x01],
            300 => &[0x22, 0xac, 0x02],
            16_383 => &[0x22, 0xff, 0x7f],
            _ => &[0x22, 0x80, 0x80, 0x01],
        };
        assert_eq!((head, body.len()), (expected, length));
    }
}
