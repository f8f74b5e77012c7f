//! The published vectors inside of a gateway: a request to `/<file>` runs that file with the gateway's own check of signatures and is
//! answered with what came of it; `/` is answered with the algorithms that the gateway has earned.
//!
//! Decided here: nothing. The files, their runner and the table of differences are `postern_core::token::vectors`; the calls to the
//! host and the installation of the checks are the product's own files.

#![deny(unsafe_code)]
#![allow(
    missing_docs,
    reason = "the one public item is the entry point that the SDK's macro makes"
)]

#[path = "../../../filter/wasm/src/crypto.rs"]
mod crypto;
#[path = "../../../filter/wasm/src/host.rs"]
#[allow(dead_code, reason = "the product makes more calls")]
mod host;

use host::Headers;
use postern_core::token::Crypto;
use postern_core::token::vectors::File;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType};
use serde_json::{Value, json};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root { crypto: None }) });
}}

/// One VM.
#[derive(Debug)]
struct Root {
    crypto: Option<Crypto>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        match crypto::install() {
            Ok((crypto, by)) => {
                host::log(LogLevel::Info, &format!("vectors, signatures by {by}"));
                self.crypto = Some(crypto);
                true
            }
            Err(taken) => {
                host::log(LogLevel::Critical, &taken.to_string());
                false
            }
        }
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Run {
            crypto: self.crypto?,
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
#[derive(Debug)]
struct Run {
    crypto: Crypto,
}

impl Context for Run {}

impl HttpContext for Run {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let (status, body) = match path().as_deref() {
            Some("/") => (200, earned(self.crypto)),
            Some(path) => match path.strip_prefix('/').and_then(File::named) {
                Some(file) => (200, run(file, self.crypto)),
                None => (404, Value::Null),
            },
            None => (400, Value::Null),
        };
        let headers = [("content-type", "application/json")];
        // Without an answer the client waits in vain, and the test fails.
        let _ = host::answer(status, "vectors", &headers, body.to_string().as_bytes());
        Action::Pause
    }
}

fn path() -> Option<String> {
    let head = Headers::read(MapType::HttpRequestHeaders).ok()?;
    let pairs = head.pairs()?;
    let (_, path) = pairs.iter().find(|(name, _)| name == b":path")?;
    String::from_utf8(path.to_vec()).ok()
}

fn earned(crypto: Crypto) -> Value {
    let earned = crypto.by_gateway();
    earned.iter().map(|alg| alg.name()).collect()
}

fn run(file: &File, crypto: Crypto) -> Value {
    let tally = file.run(crypto);
    json!({ "row": tally.row(), "faults": tally.faults(), "tally": tally })
}
