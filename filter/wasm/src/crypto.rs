//! Signatures: the gateway's own check is lent to the core, which decides when to ask it.

use crate::host;
use postern_core::token::{Crypto, CryptoTaken, Gateway};

/// Who checks signatures, for the start-up line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// The gateway, for all that it can.
    Gateway,
    /// The gateway, for a part of that.
    Both(Crypto),
    /// This module.
    Module,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gateway => f.write_str("the gateway"),
            Self::Both(crypto) => {
                let names: Vec<&str> = crypto.by_gateway().iter().map(|alg| alg.name()).collect();
                write!(f, "the gateway for {} alone", names.join(", "))
            }
            Self::Module => f.write_str("the module"),
        }
    }
}

/// Makes our provider the one of this VM, with the gateway's help where it has earned it.
pub(crate) fn install() -> Result<(Crypto, By), CryptoTaken> {
    let gateway = Gateway::tried(ask);
    let crypto = Crypto::install(gateway)?;
    let by = match gateway {
        None => By::Module,
        Some(gateway) if gateway.checks_all() => By::Gateway,
        Some(_) => By::Both(crypto),
    };
    Ok((crypto, by))
}

fn ask(argument: &[u8]) -> Option<Vec<u8>> {
    host::foreign("verify_signature", argument).ok()
}
