//! Signatures.

use postern_core::token::Crypto;

/// Makes our provider the process's.
pub(crate) fn install() -> Result<Crypto, String> {
    Crypto::rust_crypto().map_err(|_| "another crypto provider is installed".to_owned())
}

/// Who checks signatures, for the start-up line.
pub(crate) fn by_whom() -> &'static str {
    "the module"
}
