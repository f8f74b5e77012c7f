//! The core of Postern: what a gateway decides of a call to a model, as pure functions and one state machine.
//!
//! Nothing here knows a host, a clock, randomness or the environment: time, keys, policy and bytes are arguments. The
//! modules stand in the order in which the questions are asked:
//!
//! | question | module |
//! |---|---|
//! | what came in? | [`facts`] |
//! | what is called? | [`operation`], [`model`] |
//! | who calls? | [`token`], [`api_key`], [`peer`], [`identity`] |
//! | may they? | [`policy`], [`scope`], [`decide`] |
//! | what does the body say, and what is its hash? | [`body`] |
//! | what happened? | [`audit`] |
//! | when does what pass? | [`stream`] |
//! | what do the workers share? | [`store`] |
//! | what is fetched, by whom and when? | [`fetch`] |
//! | what was fetched, and may it still be used? | [`library`] |
//! | what is the caller told? | [`refusal`] |
//!
//! [`json`] reads small JSON documents strictly: policies, tokens, and what is fetched.

#![forbid(unsafe_code)]

pub mod api_key;
pub mod audit;
pub mod body;
pub mod decide;
pub mod facts;
pub mod fetch;
pub mod identity;
pub mod json;
pub mod library;
pub mod model;
pub mod operation;
pub mod peer;
pub mod policy;
pub mod refusal;
pub mod scope;
pub mod store;
pub mod stream;
pub mod token;
