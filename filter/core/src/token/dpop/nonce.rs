//! The gateway's own nonces (RFC 9449 sections 8 and 9): a proof that carries one was made after it was given.
//!
//! Decided here: what a nonce is and how long it is good. It is a MAC over the number of a slot of [`NONCE_SLOT_SECONDS`], so
//! that every worker makes and knows the same one and nothing is stored. That of this slot and of the one before are good:
//! each for 5 to 10 minutes. A nonce says when, not who: all clients get the same one.
//! Against: proofs made ahead by somebody who had the key for a moment (RFC 9449 section 11.2).

use hmac::Mac;

use super::base64url;
use super::secret::SharedSecret;
use crate::token::compact::decode;

/// How long one nonce is the current one, in seconds.
pub const NONCE_SLOT_SECONDS: u64 = 300;

/// Bytes of a nonce before base64url, and characters after.
const NONCE_BYTES: usize = 16;
const NONCE_CHARS: usize = 22;

const PURPOSE: &[u8] = b"postern dpop nonce v1\0";

/// Makes and knows the nonces of one gateway.
#[derive(Clone, Debug)]
pub struct Nonces(SharedSecret);

impl Nonces {
    /// The nonces of this secret.
    #[must_use]
    pub fn new(secret: SharedSecret) -> Nonces {
        Nonces(secret)
    }

    /// The nonce to give out at `now` (seconds since 1970): 22 characters of base64url, each an NQCHAR.
    #[must_use]
    pub fn current(&self, now: u64) -> String {
        let tag = self.of_slot(now / NONCE_SLOT_SECONDS).finalize();
        let tag = tag.into_bytes();
        base64url(
            tag.split_at_checked(NONCE_BYTES)
                .map_or(&tag[..], |(nonce, _)| nonce),
        )
    }

    /// Whether `nonce` is that of this slot or of the one before. Compared in constant time.
    #[must_use]
    pub fn accepts(&self, nonce: &str, now: u64) -> bool {
        if nonce.len() != NONCE_CHARS {
            return false;
        }
        let Some(tag) = decode(nonce) else {
            return false;
        };
        let slot = now / NONCE_SLOT_SECONDS;
        let is_of = |slot| self.of_slot(slot).verify_truncated_left(&tag).is_ok();
        is_of(slot) || slot.checked_sub(1).is_some_and(is_of)
    }

    fn of_slot(&self, slot: u64) -> impl Mac<OutputSize = hmac::digest::consts::U32> {
        let mut mac = self.0.mac(PURPOSE);
        mac.update(&slot.to_be_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: u64 = 1_800_000_000;

    fn nonces(seed: u8) -> Nonces {
        Nonces::new(SharedSecret::new([seed; 32]).unwrap())
    }

    #[test]
    fn a_nonce_is_the_mac_of_its_slot() {
        let message = [PURPOSE, &(NOW / 300).to_be_bytes()].concat();
        let tag = crate::token::signing::hs256(&[7; 32], &message);
        assert_eq!(
            nonces(7).current(NOW),
            base64url(&tag[..16]),
            "a second opinion"
        );
    }

    #[test]
    fn every_worker_knows_it_for_this_slot_and_the_next() {
        assert_eq!(NOW % NONCE_SLOT_SECONDS, 0, "the first second of a slot");
        let nonce = nonces(7).current(NOW);
        assert_eq!(nonce.len(), NONCE_CHARS);
        for (why, now, expected) in [
            ("at once", NOW, true),
            ("the last second of its slot", NOW + 299, true),
            ("the first of the next", NOW + 300, true),
            ("the last of the next", NOW + 599, true),
            ("over", NOW + 600, false),
            ("before it was given", NOW - 1, false),
            ("the beginning of time", 0, false),
            ("the end of time", u64::MAX, false),
        ] {
            assert_eq!(nonces(7).accepts(&nonce, now), expected, "{why}");
        }
    }

    #[test]
    fn nothing_else_is_one() {
        let ours = nonces(7);
        let nonce = ours.current(NOW);
        let whole =
            crate::token::signing::hs256(&[7; 32], &[PURPOSE, &(NOW / 300).to_be_bytes()].concat());
        for (why, other) in [
            ("empty: no tag is the beginning of every tag", String::new()),
            ("of another gateway", nonces(8).current(NOW)),
            ("one character short", nonce.chars().take(21).collect()),
            ("one character more", format!("{nonce}A")),
            ("the whole tag", base64url(&whole)),
            ("padded", format!("{nonce}==")),
            ("a space in front", nonce.replacen(|_| true, " ", 1)),
            ("no base64url", "!".repeat(22)),
            ("22 bytes that are fewer characters", "ä".repeat(11)),
        ] {
            assert!(!ours.accepts(&other, NOW), "{why}");
        }
        for at in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(!ours.accepts(&changed, NOW), "character {at}");
        }
    }
}
