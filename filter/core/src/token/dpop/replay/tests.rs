//! One bucket: what passes, what is refused, and when what is forgotten.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]

use super::*;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u64 = 1_800_000_000;
const LIFE: u64 = 90;

fn mark(name: u8, issued_at: u64) -> Mark {
    Mark {
        bucket: 0,
        digest: [name; DIGEST_BYTES],
        issued_at,
        expires_at: issued_at.saturating_add(LIFE),
    }
}

/// The value after all of these were taken at their time.
fn taken(marks: &[Mark]) -> Vec<u8> {
    marks.iter().fold(Vec::new(), |value, mark| {
        let stored = (!value.is_empty()).then_some(value.as_slice());
        remember(stored, mark, mark.issued_at).unwrap()
    })
}

fn fault(stored: &[u8], mark: &Mark, now: u64) -> Option<ReplayFault> {
    remember(Some(stored), mark, now).err()
}

#[test]
fn a_mark_is_taken_once_while_it_lives_and_never_after() {
    let stored = taken(&[mark(1, NOW)]);
    for (why, mark, now, expected) in [
        ("at once", mark(1, NOW), NOW, Some(ReplayFault::Seen)),
        (
            "in the last second of its life",
            mark(1, NOW),
            NOW + LIFE,
            Some(ReplayFault::Seen),
        ),
        (
            "after it was forgotten",
            mark(1, NOW),
            NOW + LIFE + 1,
            Some(ReplayFault::Late),
        ),
        (
            "by a slow clock",
            mark(1, NOW),
            NOW - 20,
            Some(ReplayFault::Seen),
        ),
        (
            "the same id, made anew while it lives",
            mark(1, NOW + 50),
            NOW + 50,
            Some(ReplayFault::Seen),
        ),
        (
            "the same id, made anew after",
            mark(1, NOW + 91),
            NOW + 91,
            None,
        ),
        ("another", mark(2, NOW), NOW, None),
        ("another, made before", mark(2, NOW - 50), NOW, None),
        (
            "another that is over",
            mark(2, NOW),
            NOW + LIFE + 1,
            Some(ReplayFault::Late),
        ),
    ] {
        assert_eq!(fault(&stored, &mark, now), expected, "{why}");
    }
}

#[test]
fn what_is_over_is_not_remembered() {
    let first = mark(1, NOW);
    assert!(remember(None, &first, NOW + LIFE).is_ok());
    let late = remember(None, &first, NOW + LIFE + 1);
    assert_eq!(
        late,
        Err(ReplayFault::Late),
        "the answer of the map came too late"
    );
}

#[test]
fn what_is_from_before_the_horizon_is_refused() {
    let stored = taken(&[mark(1, NOW), mark(2, NOW + LIFE + 1)]);
    let slow = NOW + LIFE;
    for (why, mark, expected) in [
        (
            "the forgotten one, by a worker whose clock is slow",
            mark(1, NOW),
            Some(ReplayFault::Late),
        ),
        (
            "one of the same second: nobody can tell",
            mark(3, NOW),
            Some(ReplayFault::Late),
        ),
        (
            "one second later it would still stand there",
            mark(3, NOW + 1),
            None,
        ),
    ] {
        assert_eq!(fault(&stored, &mark, slow), expected, "{why}");
    }
    let longer = Mark {
        expires_at: NOW + 360,
        ..mark(1, NOW)
    };
    let late = fault(&stored, &longer, NOW + LIFE + 2);
    assert_eq!(
        late,
        Some(ReplayFault::Late),
        "the forgotten one, under a policy that lets it live longer"
    );
}

#[test]
fn a_full_bucket_refuses_until_something_is_over() {
    let marks: Vec<Mark> = (0..64)
        .map(|name| mark(name, NOW + u64::from(name) / 32))
        .collect();
    let full = taken(&marks);
    assert_eq!(full.len(), MAX_BUCKET_BYTES);
    assert_eq!(MAX_BUCKET_BYTES, 2057);
    let new = |now| mark(200, now);
    assert_eq!(
        fault(&full, &new(NOW + 2), NOW + 2),
        Some(ReplayFault::Full)
    );
    assert_eq!(
        fault(&full, &mark(7, NOW), NOW + 2),
        Some(ReplayFault::Seen),
        "told apart from no room"
    );
    assert_eq!(
        fault(&full, &new(NOW + LIFE), NOW + LIFE),
        Some(ReplayFault::Full),
        "the last second"
    );
    let after = remember(Some(&full), &new(NOW + LIFE + 1), NOW + LIFE + 1).unwrap();
    assert_eq!(
        after.len(),
        MAX_BUCKET_BYTES - 31 * 32,
        "half of them are over"
    );
}

#[test]
fn a_value_that_is_not_ours_is_refused() {
    let good = taken(&[mark(1, NOW), mark(2, NOW)]);
    let (first, second) = (&good[9..41], &good[41..]);
    let with = |parts: &[&[u8]]| [&good[..9], &parts.concat()].concat();
    let changed = |at: usize, byte: u8| {
        let mut value = good.clone();
        value[at] = byte;
        value
    };
    let backwards = Mark {
        expires_at: NOW - 1,
        ..mark(9, NOW)
    };
    let backwards = Bucket {
        horizon: 0,
        marks: vec![Remembered {
            digest: backwards.digest,
            issued_at: backwards.issued_at,
            expires_at: backwards.expires_at,
        }],
    };
    let many: Vec<u8> = (0..65u8)
        .flat_map(|name| [&[name; 16][..], &second[16..]].concat())
        .collect();
    for (why, value) in [
        ("empty", vec![]),
        ("another version", changed(0, 0)),
        ("a later version", changed(0, 2)),
        ("cut in the horizon", good[..8].to_vec()),
        ("no mark", good[..9].to_vec()),
        ("cut in a digest", good[..20].to_vec()),
        ("cut in a date", good[..40].to_vec()),
        ("a byte more", with(&[first, second, b"x"])),
        ("a mark twice", with(&[first, first])),
        ("not sorted", with(&[second, first])),
        ("over before it was made", backwards.encode()),
        ("65 marks", with(&[&many])),
    ] {
        assert_eq!(
            fault(&value, &mark(9, NOW), NOW),
            Some(ReplayFault::Corrupt),
            "{why}"
        );
    }
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    let last = Mark {
        expires_at: u64::MAX,
        ..mark(1, u64::MAX)
    };
    assert!(remember(None, &last, u64::MAX).is_ok());
    let first = Mark {
        expires_at: 0,
        ..mark(1, 0)
    };
    assert_eq!(remember(None, &first, 0), Err(ReplayFault::Late));
}

#[test]
fn the_table_of_chances_is_right() {
    // The Poisson tail, by its own sum: mean, and the chance that is told, in two digits.
    for (mean, told) in [
        (16.0f64, 1.4e-19),
        (24.0, 1.0e-11),
        (32.0, 4.1e-7),
        (40.0, 2.9e-4),
        (48.0, 1.6e-2),
    ] {
        let mut term = (-mean).exp();
        let mut tail = 0.0;
        for n in 1..400 {
            term *= mean / f64::from(n);
            if n >= BUCKET_MARKS as i32 {
                tail += term;
            }
        }
        assert!(
            (tail / told - 1.0).abs() < 0.05,
            "{mean}: {tail} and not {told}"
        );
    }
}

#[test]
fn keys_are_of_a_fixed_number() {
    let secret = SharedSecret::new([7; 32]).unwrap();
    let mut proof = Proof {
        thumbprint: [0; 32],
        id: String::new(),
        target: "https://h:443/".into(),
        issued_at: NOW,
        expires_at: NOW + LIFE,
    };
    let keys: std::collections::BTreeSet<String> = (0..20_000)
        .map(|n| {
            proof.id = n.to_string();
            proof.mark(&secret).key()
        })
        .collect();
    assert!(
        keys.len() > 4000 && keys.len() <= usize::from(BUCKETS),
        "{}",
        keys.len()
    );
    for key in &keys {
        let bucket = key.strip_prefix("postern.v1.dpop.").unwrap();
        assert!(bucket.parse::<u16>().unwrap() < BUCKETS, "{key}");
    }
}
