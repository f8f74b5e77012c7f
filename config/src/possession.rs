//! `proofOfPossession` and `dpop`: to what an issuer's tokens are bound, and how proofs of it are checked.

use crate::keys::algorithm;
use crate::read::{At, Problems, one_of};
use crate::units::{duration, whole_seconds};
use postern_core::token::Possession;
use postern_core::token::dpop::{DpopPolicy, DpopSpec, NoncePolicy};

pub(crate) fn possession(at: &At<'_>, problems: &mut Problems) -> Option<Possession> {
    one_of(
        at,
        problems,
        &[
            ("none", Possession::None),
            ("mtls", Possession::Mtls),
            ("dpop", Possession::Dpop),
            ("any", Possession::Any),
        ],
    )
}

pub(crate) fn dpop(at: &At<'_>, problems: &mut Problems) -> Option<DpopPolicy> {
    let path = at.path().to_owned();
    let default = DpopPolicy::default();
    let mut object = at.object(problems)?;
    let max_age = object.optional(
        "maxAge",
        problems,
        Some(default.max_age()),
        |at, problems| duration(at, problems).map(whole_seconds),
    );
    let leeway = object.optional(
        "leeway",
        problems,
        Some(default.leeway()),
        |at, problems| duration(at, problems).map(whole_seconds),
    );
    let algorithms = object.optional(
        "algorithms",
        problems,
        Some(default.algorithms().to_vec()),
        |at, problems| at.some(problems, algorithm),
    );
    let nonce = object.optional("nonce", problems, Some(default.nonce()), |at, problems| {
        one_of(
            at,
            problems,
            &[
                ("never", NoncePolicy::Never),
                ("required", NoncePolicy::Required),
            ],
        )
    });
    object.finish(problems);
    let spec = DpopSpec {
        max_age_seconds: max_age?,
        leeway_seconds: leeway?,
        algorithms: algorithms?,
        nonce: nonce?,
    };
    match DpopPolicy::new(spec) {
        Ok(policy) => Some(policy),
        Err(faults) => {
            for fault in faults {
                problems.add(&path, fault.to_string());
            }
            None
        }
    }
}
