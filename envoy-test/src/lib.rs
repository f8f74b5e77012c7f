//! Level 4 of the tests: the real gateway over sockets, with the scenario files of level 3.
//!
//! Decided here: how Envoy is run and configured, what a client sends, what an upstream writes down, and how one
//! case is carried from the call to the judge. Not decided here: what must be seen (`postern-tests`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "test code: a panic here is a failed test and reaches no traffic; it lives by the real clock"
)]

pub mod bootstrap;
pub mod client;
pub mod envoy;
pub mod given;
pub mod h1;
pub mod lanes;
pub mod logs;
pub mod provider;
pub mod stage;
pub mod supervised;
pub mod tls;
pub mod upstream;
