//! What always holds of proofs that are sent again, over workers that take turns in any order.
//!
//! The map has the rules of the host: reading and swapping are atomic, a missing key takes any mark, a present one only its own.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::store::Cas;

const START: u64 = 1_800_000_000;

#[derive(Default)]
struct Map {
    values: BTreeMap<String, (Vec<u8>, u32)>,
    swaps: u32,
}

impl Map {
    fn read(&self, key: &str) -> Option<(Vec<u8>, Cas)> {
        let (value, mark) = self.values.get(key)?;
        Some((value.clone(), Cas::of(*mark).unwrap()))
    }

    fn swap(&mut self, key: &str, value: Vec<u8>, cas: Cas) -> bool {
        let stands = self.values.get(key).map(|(_, mark)| *mark);
        if stands.is_some_and(|mark| mark != cas.mark()) {
            return false;
        }
        self.swaps += 1;
        self.values.insert(key.into(), (value, self.swaps));
        true
    }
}

/// A worker between two of its turns.
#[derive(Clone)]
enum Worker {
    Idle,
    /// It has found the proof good at this time.
    Checked(Mark, u64),
    /// It has read the bucket.
    Read(Mark, u64, Option<(Vec<u8>, Cas)>),
}

/// What became of one turn.
enum Turn {
    Nothing,
    Taken(Mark),
    Refused(Mark, ReplayFault, u64),
}

impl Worker {
    /// One turn: check, read, or decide and swap. A worker that loses a race reads again.
    fn step(&mut self, map: &mut Map, offer: Option<Mark>, now: u64) -> Turn {
        let (next, turn) = match std::mem::replace(self, Worker::Idle) {
            Worker::Idle => {
                match offer.filter(|mark| (mark.issued_at..=mark.expires_at).contains(&now)) {
                    Some(mark) => (Worker::Checked(mark, now), Turn::Nothing),
                    None => (Worker::Idle, Turn::Nothing),
                }
            }
            Worker::Checked(mark, at) => {
                (Worker::Read(mark, at, map.read(&mark.key())), Turn::Nothing)
            }
            Worker::Read(mark, at, read) => {
                let cas = read.as_ref().map_or(Cas::ABSENT, |(_, cas)| *cas);
                let stored = read.as_ref().map(|(value, _)| value.as_slice());
                match remember(stored, &mark, at).map(|value| map.swap(&mark.key(), value, cas)) {
                    Err(fault) => (Worker::Idle, Turn::Refused(mark, fault, at)),
                    Ok(true) => (Worker::Idle, Turn::Taken(mark)),
                    Ok(false) => (Worker::Checked(mark, at), Turn::Nothing),
                }
            }
        };
        *self = next;
        turn
    }
}

/// One turn of the whole: which worker, what it is offered if it is idle, and how the clock moves before.
#[derive(Clone, Debug)]
struct Move {
    worker: usize,
    name: u8,
    made_before: u64,
    life: u64,
    clock: i64,
}

fn moves(lives: &'static [u64], back: i64) -> impl Strategy<Value = Vec<Move>> {
    let clock = prop_oneof![
        6 => Just(0i64),
        3 => 0i64..4,
        1 => back..12,
    ];
    let one = (
        0usize..4,
        0u8..10,
        0u64..12,
        proptest::sample::select(lives),
        clock,
    );
    let one = one.prop_map(|(worker, name, made_before, life, clock)| Move {
        worker,
        name,
        made_before,
        life,
        clock,
    });
    prop::collection::vec(one, 1..400)
}

/// Plays the moves; tells each end of a proof to `told` with the time of the map.
fn play(
    moves: &[Move],
    mut told: impl FnMut(Turn, u64) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut map = Map::default();
    let mut workers = vec![Worker::Idle; 4];
    let mut now = START;
    for Move {
        worker,
        name,
        made_before,
        life,
        clock,
    } in moves
    {
        now = now.saturating_add_signed(*clock);
        let issued_at = now.saturating_sub(*made_before);
        let mark = Mark {
            // Two buckets, so that proofs meet and pass each other.
            bucket: u16::from(name % 2),
            digest: [*name; DIGEST_BYTES],
            issued_at,
            expires_at: issued_at + life,
        };
        told(workers[*worker].step(&mut map, Some(mark), now), now)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Clocks that stand still between check and swap, that are set back, and policies of several lives: never twice.
    #[test]
    fn no_proof_is_taken_twice(moves in moves(&[3, 8, 20], -15)) {
        let mut taken = BTreeSet::new();
        play(&moves, |turn, _| {
            if let Turn::Taken(mark) = turn {
                // One proof is one id made at one time; its life is what a policy makes of it.
                prop_assert!(taken.insert((mark.digest, mark.issued_at)), "twice: {:?}", mark);
            }
            Ok(())
        })?;
    }

    /// One id that is made anew while it lives is refused too.
    #[test]
    fn no_id_is_taken_twice_within_its_life(moves in moves(&[8], 0)) {
        let mut until: BTreeMap<[u8; DIGEST_BYTES], u64> = BTreeMap::new();
        play(&moves, |turn, now| {
            if let Turn::Taken(mark) = turn {
                // A worker decides by the time at which it checked, so a life ends at the latest of them.
                let earlier = until.insert(mark.digest, mark.expires_at);
                prop_assert!(earlier.is_none_or(|until| until < now), "again: {:?}", mark);
            }
            Ok(())
        })?;
    }

    /// With one policy and a clock that only goes on, what is refused as seen was seen, and nothing is late that was not delayed.
    #[test]
    fn no_proof_is_refused_that_was_not_seen(moves in moves(&[8], 0)) {
        let mut taken = BTreeSet::new();
        play(&moves, |turn, now| {
            match turn {
                Turn::Nothing => {}
                Turn::Taken(mark) => {
                    taken.insert(mark.digest);
                }
                Turn::Refused(mark, ReplayFault::Seen, _) => {
                    prop_assert!(taken.contains(&mark.digest), "never seen: {:?}", mark);
                }
                Turn::Refused(mark, ReplayFault::Late, checked_at) => {
                    prop_assert!(checked_at < now && mark.expires_at < now, "not late: {:?}", mark);
                }
                Turn::Refused(mark, fault, _) => prop_assert!(false, "{:?}: {:?}", fault, mark),
            }
            Ok(())
        })?;
    }

    /// Any bytes in a bucket: refused or read, and what is read is written back in the same bytes.
    #[test]
    fn any_stored_bytes_are_decided(head in 0u8..3, rest in prop::collection::vec(any::<u8>(), 0..2100), now in any::<u64>()) {
        let value = [&[head][..], &rest].concat();
        let mark = Mark { bucket: 0, digest: [1; DIGEST_BYTES], issued_at: START, expires_at: START + 9 };
        match Bucket::decode(&value) {
            None => prop_assert_eq!(remember(Some(&value), &mark, now), Err(ReplayFault::Corrupt)),
            Some(bucket) => prop_assert_eq!(bucket.encode(), value),
        }
    }

    /// However many are sent in whatever time, a value stays within its bound and can be read again.
    #[test]
    fn a_bucket_is_bounded(marks in prop::collection::vec((any::<u64>(), 0u64..30), 1..300)) {
        let mut stored: Option<Vec<u8>> = None;
        let mut now = START;
        for (name, pause) in marks {
            now += pause / 20;
            let mut digest = [0; DIGEST_BYTES];
            digest[..8].copy_from_slice(&name.to_be_bytes());
            let mark = Mark { bucket: 0, digest, issued_at: now, expires_at: now + 90 };
            match remember(stored.as_deref(), &mark, now) {
                Ok(value) => {
                    prop_assert!(value.len() <= MAX_BUCKET_BYTES);
                    stored = Some(value);
                }
                Err(fault) => prop_assert!(matches!(fault, ReplayFault::Full | ReplayFault::Seen), "{:?}", fault),
            }
        }
    }
}
