//! core
pub mod json;
