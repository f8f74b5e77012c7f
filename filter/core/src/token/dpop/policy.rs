//! How far a proof is believed, checked when the policy is loaded.
//!
//! Decided here: that proofs are young, that clocks may differ by a little, and which algorithms may sign:
//! asymmetric ones only (RFC 9449 section 4.3, check 5).
//! Against: proofs made ahead, proofs of a shared secret, and a policy whose zero would read as "no limit".

use std::fmt;

use crate::token::{Alg, MAX_LEEWAY_SECONDS};

/// The age that a proof may have where the policy says nothing, in seconds.
pub const DEFAULT_MAX_AGE_SECONDS: u64 = 60;

/// The largest age that a policy can allow, in seconds (RFC 9449 section 11.1: seconds or minutes).
pub const MAX_MAX_AGE_SECONDS: u64 = 300;

/// What the policy says of proofs. Every field is named by whoever makes one.
#[derive(Clone, Debug)]
pub struct DpopSpec {
    /// How old a proof may be, in seconds; from 1 to [`MAX_MAX_AGE_SECONDS`].
    pub max_age_seconds: u64,
    /// How far the client's clock may differ from ours, in seconds; at most [`MAX_LEEWAY_SECONDS`].
    pub leeway_seconds: u64,
    /// The algorithms that may sign a proof.
    pub algorithms: Vec<Alg>,
    /// Whether a proof needs a nonce of ours.
    pub nonce: NoncePolicy,
}

/// Whether a proof needs a nonce of ours (RFC 9449 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoncePolicy {
    /// No: a nonce in a proof is not looked at.
    Never,
    /// Yes: a proof without a current one is refused.
    Required,
}

/// What the policy says of proofs, consistent in itself.
#[derive(Clone, Debug)]
pub struct DpopPolicy {
    max_age: u64,
    leeway: u64,
    algorithms: Vec<Alg>,
    nonce: NoncePolicy,
}

/// Why it does not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpopPolicyFault {
    /// A maximal age of zero would refuse nearly every proof.
    MaxAgeZero,
    /// The maximal age is above [`MAX_MAX_AGE_SECONDS`].
    MaxAgeTooLong,
    /// The leeway is above [`MAX_LEEWAY_SECONDS`].
    LeewayTooLong,
    /// No algorithm.
    AlgorithmsEmpty,
    /// This algorithm has a shared secret, which proves no holder.
    AlgorithmSymmetric(Alg),
    /// This algorithm stands twice.
    AlgorithmTwice(Alg),
}

impl Default for DpopPolicy {
    /// Young proofs by any asymmetric algorithm, with the leeway of an issuer that names none, and without a nonce.
    fn default() -> Self {
        Self {
            max_age: DEFAULT_MAX_AGE_SECONDS,
            leeway: 30,
            algorithms: Alg::asymmetric(),
            nonce: NoncePolicy::Never,
        }
    }
}

impl DpopPolicy {
    /// Checks what the policy says of proofs.
    ///
    /// # Errors
    /// Every fault, in the order of the fields.
    pub fn new(spec: DpopSpec) -> Result<DpopPolicy, Vec<DpopPolicyFault>> {
        let DpopSpec {
            max_age_seconds,
            leeway_seconds,
            algorithms,
            nonce,
        } = spec;
        let mut faults = Vec::new();
        if max_age_seconds == 0 {
            faults.push(DpopPolicyFault::MaxAgeZero);
        }
        if max_age_seconds > MAX_MAX_AGE_SECONDS {
            faults.push(DpopPolicyFault::MaxAgeTooLong);
        }
        if leeway_seconds > MAX_LEEWAY_SECONDS {
            faults.push(DpopPolicyFault::LeewayTooLong);
        }
        if algorithms.is_empty() {
            faults.push(DpopPolicyFault::AlgorithmsEmpty);
        }
        for (index, alg) in algorithms.iter().enumerate() {
            if alg.is_symmetric() {
                faults.push(DpopPolicyFault::AlgorithmSymmetric(*alg));
            }
            if algorithms.iter().take(index).any(|earlier| earlier == alg) {
                faults.push(DpopPolicyFault::AlgorithmTwice(*alg));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(DpopPolicy {
            max_age: max_age_seconds,
            leeway: leeway_seconds,
            algorithms,
            nonce,
        })
    }

    /// How old a proof may be, in seconds.
    #[must_use]
    pub fn max_age(&self) -> u64 {
        self.max_age
    }

    /// How far the client's clock may differ from ours, in seconds.
    #[must_use]
    pub fn leeway(&self) -> u64 {
        self.leeway
    }

    /// The algorithms that may sign a proof, for the `algs` of a challenge (RFC 9449 section 7.1).
    #[must_use]
    pub fn algorithms(&self) -> &[Alg] {
        &self.algorithms
    }

    /// Whether a proof needs a nonce of ours.
    #[must_use]
    pub fn nonce(&self) -> NoncePolicy {
        self.nonce
    }

    pub(super) fn allows(&self, alg: Alg) -> bool {
        self.algorithms.contains(&alg)
    }

    /// The last second of our clock in which a proof of `issued_at` is taken.
    pub(super) fn last_second(&self, issued_at: u64) -> u64 {
        issued_at
            .saturating_add(self.max_age)
            .saturating_add(self.leeway)
    }
}

impl fmt::Display for DpopPolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DpopPolicyFault::MaxAgeZero => {
                f.write_str("a maximal age of zero would refuse nearly every proof")
            }
            DpopPolicyFault::MaxAgeTooLong => {
                write!(f, "the maximal age is above {MAX_MAX_AGE_SECONDS} seconds")
            }
            DpopPolicyFault::LeewayTooLong => {
                write!(f, "the leeway is above {MAX_LEEWAY_SECONDS} seconds")
            }
            DpopPolicyFault::AlgorithmsEmpty => f.write_str("no algorithm"),
            DpopPolicyFault::AlgorithmSymmetric(alg) => {
                write!(f, "{alg} has a shared secret, which proves no holder")
            }
            DpopPolicyFault::AlgorithmTwice(alg) => write!(f, "{alg} stands twice"),
        }
    }
}

impl std::error::Error for DpopPolicyFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn faults(max_age: u64, leeway: u64, algorithms: &[Alg]) -> Vec<DpopPolicyFault> {
        let spec = DpopSpec {
            max_age_seconds: max_age,
            leeway_seconds: leeway,
            algorithms: algorithms.to_vec(),
            nonce: NoncePolicy::Never,
        };
        DpopPolicy::new(spec).err().unwrap_or_default()
    }

    #[test]
    fn a_policy_is_bounded_or_does_not_load() {
        use DpopPolicyFault::*;
        let one = &[Alg::Es256][..];
        for (why, found, expected) in [
            ("the defaults", faults(60, 30, one), vec![]),
            ("the least", faults(1, 0, one), vec![]),
            (
                "the most",
                faults(300, 300, &[Alg::Rs256, Alg::Es256]),
                vec![],
            ),
            (
                "zero is no limit to nobody",
                faults(0, 0, one),
                vec![MaxAgeZero],
            ),
            (
                "one second too old",
                faults(301, 0, one),
                vec![MaxAgeTooLong],
            ),
            (
                "a clock too far off",
                faults(60, 301, one),
                vec![LeewayTooLong],
            ),
            ("nobody can sign", faults(60, 0, &[]), vec![AlgorithmsEmpty]),
            (
                "a name twice is a slip",
                faults(60, 0, &[Alg::Es256, Alg::Es256]),
                vec![AlgorithmTwice(Alg::Es256)],
            ),
            (
                "all faults at once, with the largest numbers",
                faults(u64::MAX, u64::MAX, &[]),
                vec![MaxAgeTooLong, LeewayTooLong, AlgorithmsEmpty],
            ),
        ] {
            assert_eq!(found, expected, "{why}");
        }
    }

    #[test]
    fn no_algorithm_of_a_shared_secret_can_be_named() {
        for alg in Alg::ALL {
            let symmetric = alg.name() == "none" || alg.name().starts_with("HS");
            let expected = symmetric.then_some(DpopPolicyFault::AlgorithmSymmetric(*alg));
            let found = faults(60, 0, &[*alg]);
            assert_eq!(found, Vec::from_iter(expected), "{alg}");
        }
    }
}
