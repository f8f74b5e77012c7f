//! The mark of a broken generator of RSA keys (ROCA, CVE-2017-15361): smart cards and TPMs made millions of keys of 2048
//! bits that can be factored.
//!
//! Decided here: whether a modulus has the mark. Modulo each small prime, every such modulus is a power of 65537; a
//! modulus of another make is that for all of them by chance about once in 2^27 times.

/// The odd primes below 168, whose product the broken generator computes with.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether the modulus, big-endian, has the mark.
pub(super) fn has_mark(modulus: &[u8]) -> bool {
    PRIMES
        .iter()
        .all(|prime| is_power(remainder(modulus, *prime), *prime))
}

/// Whether `value` is a power of 65537 modulo `prime`.
fn is_power(value: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == value {
            return true;
        }
        power = remainder(
            &u32::to_be_bytes(remainder(&[1, 0, 1], prime).saturating_mul(power)),
            prime,
        );
    }
    false
}

/// A big-endian number modulo a prime below 168; nothing here comes near an overflow.
fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |rest: u32, byte| {
        (rest << 8 | u32::from(*byte))
            .checked_rem(prime)
            .unwrap_or_default()
    })
}
