//! A proof is taken once: what the workers of one gateway remember of the proofs that they took (RFC 9449 section 11.1).
//!
//! Decided here: what stands under a bucket's key, and whether a proof may pass. The map counts for all workers at once, so the
//! answer is exact: the one whose swap succeeds takes the proof, the others read again and see it. "Cannot decide" (no room, not
//! readable, a proof from before what was forgotten) refuses.
//! Not decided here: when the map is asked, and how often after a lost race.
//! Against: a proof sent again, to the same or another worker, at the same time or later; keys without end (THREATS 31).
//!
//! INVARIANT (taken once): a mark that was ever taken stands in its bucket, or its `issued_at` is at or before the horizon of the
//! bucket; a mark is taken only if neither holds. This needs no clock that all agree on: a worker whose clock is slow, a clock
//! that is set back, a policy that lengthens the life of proofs and policies of several lives beside each other can refuse a proof
//! late in its life, and never take one twice.
//!
//! Bounds. 4096 buckets of at most 64 live marks: 2057 bytes each, 8.04 MiB in all, in the gateway and not in the module. A mark
//! lives L = maximal age + leeway after it was made (60 + 30 seconds: 90). At R proofs in a second a bucket holds R·L/4096 on
//! average, and a proof is refused as [`ReplayFault::Full`] with the chance that a Poisson variable of that mean is 64 or more:
//!
//! | mean | R at L = 60 | R at L = 90 | R at L = 360 | chance of `Full` |
//! |---|---|---|---|---|
//! | 16 | 1092 | 728 | 182 | 1.4e-19 |
//! | 24 | 1638 | 1092 | 273 | 1.0e-11 |
//! | 32 | 2184 | 1456 | 364 | 4.1e-7 |
//! | 40 | 2730 | 1820 | 455 | 2.9e-4 |
//! | 48 | 3276 | 2184 | 546 | 1.6e-2 |
//!
//! Which bucket a proof falls into hangs on the secret of the gateway: a caller who makes up many `jti` cannot fill one bucket, only
//! all of them, with as many good calls.

use std::fmt;

use hmac::Mac;

use super::Proof;
use super::fault::DpopFault;
use super::secret::SharedSecret;

/// How many buckets there are.
pub const BUCKETS: u16 = 4096;

/// The most live marks in a bucket.
pub const BUCKET_MARKS: usize = 64;

/// The longest value of a bucket, in bytes: version, horizon, and for each mark its digest and two dates.
pub const MAX_BUCKET_BYTES: usize = 1 + 8 + BUCKET_MARKS * (DIGEST_BYTES + 8 + 8);

const DIGEST_BYTES: usize = 16;

/// The first byte of a value.
const VERSION: u8 = 1;

const PURPOSE: &[u8] = b"postern dpop mark v1\0";

/// What is remembered of one proof. Only [`Proof::mark`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a proof that is not remembered can be sent again"]
pub struct Mark {
    bucket: u16,
    digest: [u8; DIGEST_BYTES],
    issued_at: u64,
    expires_at: u64,
}

/// Why a proof is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFault {
    /// It was taken before.
    Seen,
    /// It is over, or from before what the bucket has forgotten: whether it was taken cannot be told.
    Late,
    /// The bucket has no room: it could not be remembered.
    Full,
    /// The value is not one of ours: nothing can be told from it.
    Corrupt,
}

/// The marks of one bucket.
#[derive(Default)]
struct Bucket {
    /// The latest `issued_at` that was forgotten.
    horizon: u64,
    /// Sorted by digest, no digest twice.
    marks: Vec<Remembered>,
}

struct Remembered {
    digest: [u8; DIGEST_BYTES],
    issued_at: u64,
    expires_at: u64,
}

/// Adds `mark` to the value of its bucket (`stored` under [`Mark::key`], if there is one), and forgets what is over at
/// `now_seconds`. The proof is taken when the value given back was swapped in for exactly the one read; after a conflict, read
/// and ask again.
///
/// # Errors
/// The proof was taken before, or whether it was cannot be told.
pub fn remember(
    stored: Option<&[u8]>,
    mark: &Mark,
    now_seconds: u64,
) -> Result<Vec<u8>, ReplayFault> {
    let mut bucket = match stored {
        None => Bucket::default(),
        Some(stored) => Bucket::decode(stored).ok_or(ReplayFault::Corrupt)?,
    };
    bucket.forget(now_seconds);
    bucket.add(mark, now_seconds)?;
    Ok(bucket.encode())
}

impl Mark {
    pub(super) fn new(secret: &SharedSecret, proof: &Proof) -> Mark {
        let mut mac = secret.mac(PURPOSE);
        mac.update(&proof.thumbprint);
        // The length in front: no two pairs of id and target are the same bytes.
        mac.update(&(proof.id.len() as u64).to_be_bytes());
        mac.update(proof.id.as_bytes());
        mac.update(proof.target.as_bytes());
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let mut digest = [0; DIGEST_BYTES];
        for (to, from) in digest.iter_mut().zip(tag) {
            *to = from;
        }
        let [.., high, low] = tag;
        Mark {
            bucket: u16::from_be_bytes([high, low]) % BUCKETS,
            digest,
            issued_at: proof.issued_at,
            expires_at: proof.expires_at,
        }
    }

    /// Where its bucket stands in the map of the workers.
    #[must_use]
    pub fn key(&self) -> String {
        format!("postern.v1.dpop.{}", self.bucket)
    }
}

impl Bucket {
    /// Drops what is over. A proof of the second `expires_at` itself is still good.
    fn forget(&mut self, now: u64) {
        let horizon = &mut self.horizon;
        self.marks.retain(|mark| {
            let lives = mark.expires_at >= now;
            if !lives {
                *horizon = (*horizon).max(mark.issued_at);
            }
            lives
        });
    }

    fn add(&mut self, mark: &Mark, now: u64) -> Result<(), ReplayFault> {
        let at = match self
            .marks
            .binary_search_by(|known| known.digest.cmp(&mark.digest))
        {
            Ok(_) => return Err(ReplayFault::Seen),
            Err(at) => at,
        };
        if mark.issued_at <= self.horizon || mark.expires_at < now {
            return Err(ReplayFault::Late);
        }
        if self.marks.len() >= BUCKET_MARKS {
            return Err(ReplayFault::Full);
        }
        let remembered = Remembered {
            digest: mark.digest,
            issued_at: mark.issued_at,
            expires_at: mark.expires_at,
        };
        self.marks.insert(at, remembered);
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(MAX_BUCKET_BYTES);
        value.push(VERSION);
        value.extend(self.horizon.to_be_bytes());
        for mark in &self.marks {
            value.extend(mark.digest);
            value.extend(mark.issued_at.to_be_bytes());
            value.extend(mark.expires_at.to_be_bytes());
        }
        value
    }

    /// Reads what [`Bucket::encode`] wrote, and nothing else.
    fn decode(value: &[u8]) -> Option<Bucket> {
        let (&version, rest) = value.split_first()?;
        if version != VERSION {
            return None;
        }
        let (horizon, mut rest) = take_u64(rest)?;
        let mut marks: Vec<Remembered> = Vec::with_capacity(BUCKET_MARKS);
        while !rest.is_empty() {
            let (digest, after) = rest.split_first_chunk::<DIGEST_BYTES>()?;
            let (issued_at, after) = take_u64(after)?;
            let (expires_at, after) = take_u64(after)?;
            let sorted = marks.last().is_none_or(|last| last.digest < *digest);
            if !sorted || marks.len() >= BUCKET_MARKS || expires_at < issued_at {
                return None;
            }
            marks.push(Remembered {
                digest: *digest,
                issued_at,
                expires_at,
            });
            rest = after;
        }
        // Nobody writes a bucket without a mark.
        (!marks.is_empty()).then_some(Bucket { horizon, marks })
    }
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

impl From<ReplayFault> for DpopFault {
    fn from(fault: ReplayFault) -> DpopFault {
        match fault {
            ReplayFault::Seen => DpopFault::Seen,
            ReplayFault::Late => DpopFault::Stale,
            ReplayFault::Full => DpopFault::Full,
            ReplayFault::Corrupt => DpopFault::Corrupt,
        }
    }
}

impl fmt::Display for ReplayFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DpopFault::from(*self).fmt(f)
    }
}

impl std::error::Error for ReplayFault {}

#[cfg(all(test, not(target_family = "wasm")))]
mod properties;
#[cfg(test)]
mod tests;
