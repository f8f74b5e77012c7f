//! The shell: callback to event, effect to host call. No decision is made here; see `postern_core::stream`.
//!
//! | file | what it does |
//! |---|---|
//! | `host` | the host's calls, checked |
//! | `root` | loads the policy, holds what a worker has, watches deadlines |
//! | `call` | one HTTP stream |
//! | `crypto` | signatures: the host's first, ours otherwise |

#![deny(unsafe_code)]
#![allow(
    missing_docs,
    reason = "the one public item is the entry point that the SDK's macro makes"
)]

mod call;
mod crypto;
mod host;
mod root;

use proxy_wasm::traits::RootContext;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|context| -> Box<dyn RootContext> { Box::new(root::Root::new(context)) });
}}
