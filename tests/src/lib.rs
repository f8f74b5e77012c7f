//! What the levels of the tests share: the scenario files, the tokens they ask for, and the judge of what was seen.
//!
//! Decided here: what a scenario means and whether an outcome is the expected one. Not decided here: how a request
//! is carried; level 3 brings the in-process host (`host`), level 4 the real gateway. Both fill one [`scenario::Observed`],
//! so a difference between the levels is a difference in what was seen and never in how it was judged.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "test code: a panic here is a failed test and reaches no traffic"
)]

pub mod certificates;
#[cfg(feature = "host")]
pub mod host;
pub mod issuer;
pub mod keys;
pub mod proof;
pub mod scenario;
