//! Tokens that were verified already: what need not be computed again, and how it is forgotten.
//!
//! Decided here: the key, which is the SHA-256 of the whole token, so that no two tokens share an entry (THREATS 16,
//! CVE-2026-35030); that an entry counts only for the generation of keys by which it was checked; and the bound.
//! Not decided here: whether a token that is found is still good: dates, revocation and keys are asked at every use.
//!
//! Forgetting goes by two halves: entries come into the young one; when it is full it becomes the old one, and the old one
//! goes. What is used moves to the young half. So memory has a ceiling whatever callers send, and a sweep costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Secret, Verified};

/// The most entries in a half.
const HALF_ENTRIES: usize = 2048;

/// The most bytes that the entries of a half take, about.
const HALF_BYTES: usize = 1 << 20;

/// SHA-256 of a whole token.
pub(super) type TokenDigest = [u8; 32];

/// The tokens that a worker has verified.
#[derive(Debug, Default)]
pub struct VerifiedTokens {
    young: Half,
    old: Half,
    counts: Counts,
}

/// How often a token was found here and how often not, since the worker started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Found, by the keys that are still the issuer's.
    pub hits: u64,
    /// Not found.
    pub misses: u64,
}

/// A token that was found good once.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) verified: Arc<Verified>,
    /// The issuer, by its place in the policy.
    pub(super) issuer: usize,
    /// The generation of the issuer's keys by which it was checked.
    pub(super) generation: u64,
}

#[derive(Debug, Default)]
struct Half {
    entries: BTreeMap<TokenDigest, Entry>,
    bytes: usize,
}

impl VerifiedTokens {
    /// How often tokens were found.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many tokens are kept.
    pub fn len(&self) -> usize {
        self.young
            .entries
            .len()
            .saturating_add(self.old.entries.len())
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of a token, if `counts` says that it still counts; one that does not is forgotten.
    pub(super) fn find(
        &mut self,
        digest: &TokenDigest,
        counts: impl FnOnce(&Entry) -> bool,
    ) -> Option<Entry> {
        let found = match self.young.entries.get(digest) {
            Some(entry) => Some(entry.clone()),
            None => self.old.take(digest).inspect(|entry| {
                self.keep(*digest, entry.clone());
            }),
        };
        let found = found.filter(counts);
        match found {
            Some(_) => self.counts.hits = self.counts.hits.saturating_add(1),
            None => {
                self.counts.misses = self.counts.misses.saturating_add(1);
                self.young.take(digest);
            }
        }
        found
    }

    pub(super) fn keep(&mut self, digest: TokenDigest, entry: Entry) {
        let weight = weight(&entry);
        let full = self.young.entries.len() >= HALF_ENTRIES
            || self.young.bytes.saturating_add(weight) > HALF_BYTES;
        if full {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.take(&digest);
        self.young.bytes = self.young.bytes.saturating_add(weight);
        self.young.entries.insert(digest, entry);
    }
}

impl Half {
    fn take(&mut self, digest: &TokenDigest) -> Option<Entry> {
        let entry = self.entries.remove(digest)?;
        self.bytes = self.bytes.saturating_sub(weight(&entry));
        Some(entry)
    }
}

/// About how many bytes an entry takes.
fn weight(entry: &Entry) -> usize {
    size_of::<TokenDigest>()
        .saturating_add(size_of::<Entry>())
        .saturating_add(entry.verified.weight())
}

pub(super) fn digest(token: Secret<'_>) -> TokenDigest {
    Sha256::digest(token.expose_secret()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tests::of_subject;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn entry(padding: usize) -> Entry {
        Entry {
            verified: Arc::new(like(&"s".repeat(padding))),
            issuer: 0,
            generation: 1,
        }
    }

    /// Verifying takes its time, and these tests keep many.
    fn like(subject: &str) -> Verified {
        static ONE: std::sync::LazyLock<Verified> = std::sync::LazyLock::new(|| of_subject(""));
        let mut verified = ONE.clone();
        verified.subject = subject.to_owned();
        verified
    }

    fn number(number: u32) -> TokenDigest {
        digest(Secret::new(&number.to_le_bytes()))
    }

    #[test]
    fn what_is_kept_is_found_while_it_counts() {
        let mut tokens = VerifiedTokens::default();
        tokens.keep(number(1), entry(1));
        assert!(tokens.find(&number(1), |_| true).is_some());
        assert!(
            tokens.find(&number(2), |_| true).is_none(),
            "another token is another entry"
        );
        assert!(
            tokens
                .find(&number(1), |entry| entry.generation == 2)
                .is_none(),
            "the keys have changed"
        );
        assert!(
            tokens.find(&number(1), |_| true).is_none(),
            "what counts no more is forgotten"
        );
        assert_eq!(tokens.counts(), Counts { hits: 1, misses: 3 });
    }

    #[test]
    fn a_million_callers_have_a_ceiling_and_the_busy_ones_stay() {
        let mut tokens = VerifiedTokens::default();
        tokens.keep(number(0), entry(1));
        for caller in 1..100_000 {
            tokens.keep(number(caller), entry(1));
            assert!(
                tokens.find(&number(0), |_| true).is_some(),
                "used at every turn, forgotten at {caller}"
            );
        }
        assert!(tokens.len() <= 2 * HALF_ENTRIES, "{}", tokens.len());
    }

    #[test]
    fn large_tokens_are_bounded_by_their_bytes() {
        let mut tokens = VerifiedTokens::default();
        for caller in 0..10_000 {
            tokens.keep(number(caller), entry(10_000));
        }
        assert!(
            tokens.len().saturating_mul(10_000) <= 2 * HALF_BYTES,
            "{} entries of 10 kB",
            tokens.len()
        );
    }
}
