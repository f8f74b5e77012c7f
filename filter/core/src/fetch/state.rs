//! What the workers share of one source: a small entry that elects who fetches, and the document with its generation.
//!
//! Decided here: the layout of both entries, when an attempt may begin, and what an attempt that begins, succeeds or fails
//! leaves behind. Not decided here: who asks the map, and in which order.
//!
//! An attempt is counted as failed when it begins, and as good only when it is: so a worker that dies of an answer leaves a
//! lease that runs out and a back-off after it, as any failure does.

use super::source::Source;

/// How long after the beginning of an attempt no early one begins, over all workers, in milliseconds. WHY this long: tokens
/// with invented key ids then cost the source no more than the most eager answer does ([`super::MIN_FRESH_MS`]), and a key
/// that is new is known after this time at the latest.
pub const COOL_DOWN_MS: u64 = 10_000;

/// The first back-off after a failure, in milliseconds, and the last. WHY not up to the refresh: a source that was away for an
/// hour must not leave its callers refused for a day.
pub const MIN_BACK_OFF_MS: u64 = 1_000;
/// See [`MIN_BACK_OFF_MS`].
pub const MAX_BACK_OFF_MS: u64 = 300_000;

const VERSION: u8 = 1;

/// The state of a source. Times are in milliseconds since 1970; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct State {
    /// Of the document that was last published; 0 for none.
    pub(super) generation: u64,
    /// When the attempt began that last brought a good document, the same one or another.
    pub(super) fetched_at: u64,
    /// When the next attempt is due.
    pub(super) due_at: u64,
    /// Until when the attempt that began last owns the source; 0 when it has ended.
    pub(super) lease_until: u64,
    /// Counts attempts, and so names the one that began last.
    pub(super) attempt: u64,
    /// When it began.
    pub(super) begun_at: u64,
    /// When the last attempt ended whose end was told.
    pub(super) tried_at: u64,
    /// Attempts in a row that did not succeed, one that is under way included.
    pub(super) failures: u64,
}

/// Why somebody wants an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// It may be due.
    OnTime,
    /// Something is missing now.
    Early,
}

impl State {
    /// One byte for the layout, then the numbers, big-endian.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self {
            generation,
            fetched_at,
            due_at,
            lease_until,
            attempt,
            begun_at,
            tried_at,
            failures,
        } = self;
        let numbers = [
            generation,
            fetched_at,
            due_at,
            lease_until,
            attempt,
            begun_at,
            tried_at,
            failures,
        ];
        std::iter::once(VERSION)
            .chain(numbers.iter().flat_map(|number| number.to_be_bytes()))
            .collect()
    }

    /// `None` when these are not bytes that [`State::encode`] gave.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first()?;
        let mut number = || {
            let (head, tail) = rest.split_first_chunk::<8>()?;
            rest = tail;
            Some(u64::from_be_bytes(*head))
        };
        let state = Self {
            generation: number()?,
            fetched_at: number()?,
            due_at: number()?,
            lease_until: number()?,
            attempt: number()?,
            begun_at: number()?,
            tried_at: number()?,
            failures: number()?,
        };
        (*version == VERSION && rest.is_empty()).then_some(state)
    }

    /// The state as it reads at `now`. A time that lies further ahead than anything that is written was written before the
    /// clock was set back: a lease is then free, the cool-down over, an attempt due, and a document counts as fetched now,
    /// which the attempt that is due writes down.
    pub(super) fn as_of(mut self, now: u64, source: &Source) -> Self {
        let soon = now.saturating_add(source.lease_ms());
        let due_end = soon
            .saturating_add(source.refresh_ms())
            .saturating_add(longest_back_off(source));
        if !is_running(self.lease_until, now, source) && self.lease_until > now {
            self.lease_until = 0;
        }
        if self.begun_at > now.saturating_add(COOL_DOWN_MS) {
            self.begun_at = 0;
        }
        if self.due_at > due_end || self.fetched_at > soon {
            self.due_at = 0;
        }
        self.fetched_at = self.fetched_at.min(now);
        self.tried_at = self.tried_at.min(now);
        self
    }

    /// Whether an attempt is under way, as far as anybody can know.
    pub(super) fn is_leased(&self, now: u64) -> bool {
        now < self.lease_until
    }

    /// Whether an early attempt would not come too soon after the last.
    pub(super) fn is_cool(&self, now: u64) -> bool {
        now >= self.begun_at.saturating_add(COOL_DOWN_MS)
    }

    /// Whether an attempt may begin.
    pub(super) fn may_begin(&self, wish: Wish, now: u64) -> bool {
        let wanted = match wish {
            Wish::OnTime => false,
            Wish::Early => self.is_cool(now),
        };
        !self.is_leased(now) && (wanted || now >= self.due_at)
    }

    /// An attempt begins.
    pub(super) fn begun(self, now: u64, luck: u32, source: &Source) -> Self {
        let failures = self.failures.saturating_add(1);
        let lease_until = now.saturating_add(source.lease_ms());
        Self {
            due_at: lease_until.saturating_add(back_off(failures, luck, source)),
            lease_until,
            // Names need only differ from the one before.
            attempt: self.attempt.wrapping_add(1),
            begun_at: now,
            failures,
            ..self
        }
    }

    /// The attempt that owns the source has failed.
    pub(super) fn failed(self, now: u64, luck: u32, source: &Source) -> Self {
        Self {
            due_at: now.saturating_add(back_off(self.failures, luck, source)),
            lease_until: 0,
            tried_at: now,
            ..self
        }
    }

    /// The attempt that owns the source has brought the document of this generation, fresh for `fresh_ms` from now.
    pub(super) fn published(self, generation: u64, now: u64, fresh_ms: u64) -> Self {
        Self {
            generation,
            // WHY the beginning: what the source changed later may not be in its answer.
            fetched_at: self.begun_at,
            due_at: now.saturating_add(fresh_ms),
            lease_until: 0,
            tried_at: now,
            failures: 0,
            ..self
        }
    }

    /// Whether this attempt is the one that owns the source, its lease told over or not.
    pub(super) fn is_of(&self, attempt: u64) -> bool {
        self.attempt == attempt && self.lease_until != 0
    }
}

/// A document as it stands in the map: one byte for the layout, the generation, the bytes as the source sent them.
///
/// INVARIANT (one document, one generation): a swap of this entry keeps both or raises the generation, so no generation ever
/// names two documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) generation: u64,
    pub(super) bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut entry = Vec::with_capacity(self.bytes.len().saturating_add(9));
        entry.push(VERSION);
        entry.extend_from_slice(&self.generation.to_be_bytes());
        entry.extend_from_slice(self.bytes);
        entry
    }

    /// `None` when these are not bytes that [`Entry::encode`] gave.
    pub(super) fn decode(entry: &'a [u8]) -> Option<Self> {
        let (version, rest) = entry.split_first()?;
        let (generation, bytes) = rest.split_first_chunk::<8>()?;
        (*version == VERSION).then(|| Self {
            generation: u64::from_be_bytes(*generation),
            bytes,
        })
    }
}

/// Whether a lease runs. One that ends later than twice its length from now was made before the clock was set back; a smaller
/// step, as clocks are corrected, only makes it longer.
pub(super) fn is_running(until: u64, now: u64, source: &Source) -> bool {
    let latest = now.saturating_add(source.lease_ms().saturating_mul(2));
    now < until && until <= latest
}

/// Doubles with each failure from [`MIN_BACK_OFF_MS`] up to the refresh or [`MAX_BACK_OFF_MS`]; a quarter more or less by
/// luck, so that the gateways of a fleet do not come back together.
fn back_off(failures: u64, luck: u32, source: &Source) -> u64 {
    let most = source.refresh_ms().min(MAX_BACK_OFF_MS);
    let doublings = failures.saturating_sub(1).min(20);
    let base = (0..doublings)
        .fold(MIN_BACK_OFF_MS, |base, _| base.saturating_mul(2))
        .min(most);
    let spread = (base >> 1).saturating_mul(u64::from(luck)) >> 32;
    base.saturating_sub(base >> 2).saturating_add(spread)
}

fn longest_back_off(source: &Source) -> u64 {
    back_off(u64::MAX, u32::MAX, source)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, source};
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn both_entries_read_back_and_nothing_else_reads() {
        let state = State {
            generation: 1,
            fetched_at: 2,
            due_at: 3,
            lease_until: 4,
            attempt: 5,
            begun_at: 6,
            tried_at: 7,
            failures: u64::MAX,
        };
        let bytes = state.encode();
        assert_eq!(bytes.len(), 65, "the layout is fixed");
        assert_eq!(State::decode(&bytes), Some(state));
        assert_eq!(State::decode(&bytes[..64]), None, "cut off");
        assert_eq!(
            State::decode(&[bytes.as_slice(), &[0]].concat()),
            None,
            "longer"
        );
        assert_eq!(
            State::decode(&[&[2], &bytes[1..]].concat()),
            None,
            "another layout"
        );
        assert_eq!(State::decode(b""), None, "empty");
        let entry = Entry {
            generation: 7,
            bytes: b"{}",
        };
        let bytes = entry.encode();
        assert_eq!(Entry::decode(&bytes), Some(entry));
        assert_eq!(
            Entry::decode(&bytes[..8]),
            None,
            "cut off in the generation"
        );
        assert_eq!(
            Entry::decode(&[&[2], &bytes[1..]].concat()),
            None,
            "another layout"
        );
    }

    #[test]
    fn back_off_doubles_up_to_a_bound_with_a_quarter_of_luck() {
        let source = source();
        for (failures, luck, expected) in [
            (1, 0, 750),
            (1, u32::MAX / 2, 999),
            (1, u32::MAX, 1_249),
            (2, 0, 1_500),
            (3, 0, 3_000),
            (6, 0, 24_000),
            (7, 0, 45_000),
            (7, u32::MAX, 74_999),
            (u64::MAX, 0, 45_000),
        ] {
            let found = back_off(failures, luck, &source);
            assert_eq!(found, expected, "{failures} failures, luck {luck}");
        }
    }

    #[test]
    fn times_from_before_the_clock_was_set_back_hold_nothing_up() {
        let source = source();
        let written = State::default()
            .begun(NOW, u32::MAX, &source)
            .published(1, NOW, source.refresh_ms())
            .begun(NOW, u32::MAX, &source);
        assert_eq!(
            written.as_of(NOW, &source),
            written,
            "nothing that is written is out of bounds"
        );
        let read = written.as_of(NOW - 3_600_000, &source);
        assert!(
            read.may_begin(Wish::OnTime, NOW - 3_600_000),
            "free and due"
        );
        assert_eq!(read.fetched_at, NOW - 3_600_000, "as old as it can be");
        let back = NOW - COOL_DOWN_MS - 1;
        let read = written.failed(NOW, 0, &source).as_of(back, &source);
        assert!(read.may_begin(Wish::Early, back), "the cool-down is over");
        let back = NOW - 5;
        let read = written.as_of(back, &source);
        assert!(
            read.is_leased(back) && !read.is_cool(back),
            "a clock that is corrected a little frees nothing"
        );
    }
}
