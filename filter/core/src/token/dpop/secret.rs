//! The secret that the workers of one gateway share: behind the nonces, and behind the marks of proofs.
//!
//! Decided here: how all workers come to one secret without asking anyone. The first one draws it and writes it under
//! [`SECRET_KEY`] with [`Cas::ABSENT`](crate::store::Cas::ABSENT); whoever comes later, or loses that race, reads it. A value
//! that is not a secret is refused, never replaced: the others may still use the one before.
//! Not decided here: where the random bytes come from.
//! Against: nonces that can be made up, marks that can be aimed at one bucket, secrets in logs (THREATS 20).

use std::fmt;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Where the secret stands in the map of the workers.
pub const SECRET_KEY: &str = "postern.v1.dpop.secret";

/// The first byte of a stored secret.
const VERSION: u8 = 1;

/// 256 bits that the workers of one gateway know and nobody else. `Debug` does not show them.
///
/// It lives as long as the gateway's process. Gateways behind one balancer have one each, so that a nonce of one is not one of
/// the other, unless the policy gives all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret([u8; 32]);

/// What to do for the secret.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub enum SecretStep {
    /// Here it is.
    Known(SharedSecret),
    /// Swap this value in with [`Cas::ABSENT`](crate::store::Cas::ABSENT), then read again, whatever became of the swap.
    Write(Vec<u8>),
}

/// Why there is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretFault {
    /// What stands under the key is not a secret.
    Corrupt,
    /// The fresh bytes are all zero: nobody drew them.
    NotRandom,
}

/// The one step to the secret, to be taken until it gives [`SecretStep::Known`]. `stored` is what stands under [`SECRET_KEY`];
/// `fresh` are 32 random bytes, used only when nothing stands there.
///
/// # Errors
/// A stored value that is not a secret, or fresh bytes that are not random.
pub fn first_secret(stored: Option<&[u8]>, fresh: [u8; 32]) -> Result<SecretStep, SecretFault> {
    match stored {
        Some(stored) => decode(stored)
            .map(SecretStep::Known)
            .ok_or(SecretFault::Corrupt),
        None => {
            let SharedSecret(bytes) = SharedSecret::new(fresh)?;
            let mut value = vec![VERSION];
            value.extend(bytes);
            Ok(SecretStep::Write(value))
        }
    }
}

fn decode(stored: &[u8]) -> Option<SharedSecret> {
    match stored.split_first() {
        Some((&VERSION, bytes)) => SharedSecret::new(bytes.try_into().ok()?).ok(),
        Some(_) | None => None,
    }
}

impl SharedSecret {
    /// Takes 32 random bytes for a secret.
    ///
    /// # Errors
    /// All of them are zero.
    pub fn new(bytes: [u8; 32]) -> Result<SharedSecret, SecretFault> {
        if bytes == [0; 32] {
            Err(SecretFault::NotRandom)
        } else {
            Ok(SharedSecret(bytes))
        }
    }

    /// HMAC-SHA256 (RFC 2104) with this secret, begun with what it is for, so that no use of it is another.
    pub(super) fn mac(&self, purpose: &'static [u8]) -> Hmac<Sha256> {
        // WHY 64: the block of SHA-256; a shorter key is filled up with zeros (RFC 2104 section 2), and this length cannot fail.
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(self.0) {
            *to = from;
        }
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.update(purpose);
        mac
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(32 bytes)")
    }
}

impl fmt::Debug for SecretStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretStep::Known(secret) => write!(f, "Known({secret:?})"),
            SecretStep::Write(value) => write!(f, "Write({} bytes)", value.len()),
        }
    }
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretFault::Corrupt => f.write_str("what stands under the key is not a secret"),
            SecretFault::NotRandom => f.write_str("the fresh bytes are not random"),
        }
    }
}

impl std::error::Error for SecretFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A map with the rules of the host: a missing key takes any mark, a present one only its own.
    #[derive(Default)]
    struct Map(Option<(Vec<u8>, u32)>);

    impl Map {
        fn swap(&mut self, value: Vec<u8>, cas: u32) {
            let next = match &self.0 {
                None => 1,
                Some((_, mark)) if *mark == cas => mark.saturating_add(1),
                Some(_) => return,
            };
            self.0 = Some((value, next));
        }

        fn value(&self) -> Option<&[u8]> {
            self.0.as_ref().map(|(value, _)| value.as_slice())
        }
    }

    #[test]
    fn workers_that_all_begin_at_once_agree() {
        let mut map = Map::default();
        let writes: Vec<Vec<u8>> = (1..=4)
            .map(|worker| match first_secret(None, [worker; 32]) {
                Ok(SecretStep::Write(value)) => value,
                other => panic!("{other:?}"),
            })
            .collect();
        for value in writes {
            map.swap(value, crate::store::Cas::ABSENT.mark());
        }
        for worker in 1..=5 {
            let known = first_secret(map.value(), [worker; 32]);
            let first = SharedSecret::new([1; 32]).unwrap();
            assert_eq!(known, Ok(SecretStep::Known(first)), "worker {worker}");
        }
    }

    #[test]
    fn what_is_not_a_secret_is_refused_and_not_replaced() {
        let with = |first: u8, rest: &[u8]| [&[first][..], rest].concat();
        for (why, stored) in [
            ("empty", vec![]),
            ("another version", with(0, &[7; 32])),
            ("a later version", with(2, &[7; 32])),
            ("too short", with(VERSION, &[7; 31])),
            ("too long", with(VERSION, &[7; 33])),
            ("all zero", with(VERSION, &[0; 32])),
        ] {
            let fault = first_secret(Some(&stored), [9; 32]);
            assert_eq!(fault, Err(SecretFault::Corrupt), "{why}");
        }
        let fault = first_secret(None, [0; 32]);
        assert_eq!(fault, Err(SecretFault::NotRandom));
    }

    #[test]
    fn debug_shows_no_byte_of_it() {
        let secret = SharedSecret::new([0xa7; 32]).unwrap();
        let write = first_secret(None, [0xa7; 32]).unwrap();
        let known = SecretStep::Known(secret.clone());
        let nonces = super::super::Nonces::new(secret.clone());
        for shown in [
            format!("{secret:?}"),
            format!("{write:#?}"),
            format!("{known:?}"),
            format!("{nonces:?}"),
        ] {
            assert!(!shown.contains("167") && !shown.contains("a7"), "{shown}");
        }
    }
}
