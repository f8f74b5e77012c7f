//! Signatures: the gateway's BoringSSL first, which is some 40 times faster than code inside of the module; ours otherwise.
//!
//! The gateway is asked only after it has answered known questions rightly, yes and no. Its word is taken as it stands:
//! success is exactly the bytes of a true `VerifySignatureResult`.

use crate::host;
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier};
use jsonwebtoken::errors::Result;
use jsonwebtoken::{Algorithm, DecodingKey};
use postern_core::token::host::{answers_rightly, public_key_info, signature};
use postern_core::token::{
    Alg, Crypto, NO_KEY_UTILS, RUST_CRYPTO, no_signer, rust_crypto_verifier,
};
use signature::{Error, Verifier};

/// Asks the host, and checks itself what the host does not answer.
static HOST_FIRST: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: host_first,
    key_utils: NO_KEY_UTILS,
};

/// Who checks signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The gateway, for RS256 and ES256.
    Gateway,
    /// This module.
    Module,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gateway => "the gateway",
            Self::Module => "the module",
        })
    }
}

/// Makes a provider the one of this VM: the host's if it can be trusted to.
pub(crate) fn install() -> std::result::Result<(Crypto, By), String> {
    let by = if answers_rightly(ask) {
        By::Gateway
    } else {
        By::Module
    };
    let provider = match by {
        By::Gateway => &HOST_FIRST,
        By::Module => &RUST_CRYPTO,
    };
    match Crypto::install(provider) {
        Ok(crypto) => Ok((crypto, by)),
        Err(taken) => Err(taken.to_string()),
    }
}

fn host_first(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    match Alg::from_jose(*algorithm).and_then(|alg| Some((alg, public_key_info(alg, key)?))) {
        Some((alg, info)) => Ok(Box::new(HostFirst {
            alg,
            key: key.clone(),
            info,
        })),
        None => rust_crypto_verifier(algorithm, key),
    }
}

struct HostFirst {
    alg: Alg,
    key: DecodingKey,
    info: Vec<u8>,
}

impl Verifier<Vec<u8>> for HostFirst {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> std::result::Result<(), Error> {
        let form = signature(self.alg, &self.key, given).ok_or_else(Error::new)?;
        match ask(&self.info, &form, message) {
            Some(true) => Ok(()),
            Some(false) => Err(Error::new()),
            None => rust_crypto_verifier(&self.alg.jose(), &self.key)
                .map_err(|_| Error::new())?
                .verify(message, given),
        }
    }
}

impl JwtVerifier for HostFirst {
    fn algorithm(&self) -> Algorithm {
        self.alg.jose()
    }
}

/// The host's `verify_signature`: protobuf in and out.
fn ask(key: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
    // VerifySignatureResult { result: true }; on a mismatch it carries an error text instead.
    const TRUE: &[u8] = &[0x08, 0x01];
    let mut argument = Vec::new();
    for (tag, field) in [(1, &b"sha256"[..]), (2, key), (3, signature), (4, message)] {
        put_bytes(&mut argument, tag, field);
    }
    host::foreign("verify_signature", &argument)
        .ok()
        .map(|answer| answer == TRUE)
}

/// A length-delimited field (protobuf encoding, wire type 2).
fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push((field << 3) | 2);
    let mut length = bytes.len();
    while length > 0x7f {
        message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or_default());
    message.extend_from_slice(bytes);
}
