//! The module under test: where it is, compiled once per test program.

use std::path::PathBuf;
use std::sync::OnceLock;

use postern_tests::host::Compiled;

/// When every VM of these tests starts, in seconds since 1970; nothing here reads a clock.
pub(crate) const NOW: u64 = 1_800_000_000;

/// The file of the module: `POSTERN_WASM`, or `target/postern.wasm` of the workspace.
#[expect(
    clippy::disallowed_methods,
    reason = "the test program is told by the environment which module to take"
)]
pub(crate) fn file() -> PathBuf {
    match std::env::var("POSTERN_WASM") {
        Ok(path) => PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(path),
        Err(_) => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/postern.wasm"),
    }
}

/// The module, compiled once.
pub(crate) fn module() -> Result<Compiled, String> {
    static MODULE: OnceLock<Result<Compiled, String>> = OnceLock::new();
    MODULE
        .get_or_init(|| {
            Compiled::from_file(&file())
                .map_err(|fault| format!("{fault}\nthe module is built by `make wasm`"))
        })
        .clone()
}
