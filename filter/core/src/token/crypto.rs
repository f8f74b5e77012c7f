//! The cryptography behind jsonwebtoken: the one provider of this process, and who checks what.
//!
//! Decided here: that the gateway is asked first for what it has earned (`host`), and that RustCrypto checks everything else
//! (`verify`). jsonwebtoken carries every algorithm that it knows; ES512, which it does not, goes to the same check beside it.
//! Nothing here signs.
//! Not decided here: which key and algorithm.
//! Against: a panic in a provider that was never installed (THREATS 38).

mod verify;

use std::fmt;
use std::sync::OnceLock;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JoseResult, new_error};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use super::algorithm::Alg;
use super::compact::decode;
use super::host::Gateway;
use verify::Invalid;

/// Proof that our provider is installed, which jsonwebtoken needs or panics; and who checks signatures. Made only by
/// [`Crypto::install`].
#[derive(Clone, Copy, Debug)]
pub struct Crypto {
    gateway: Option<Gateway>,
}

/// Signatures are already checked in another way in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoTaken;

// WHY a static: the choice of jsonwebtoken is one of the process and cannot be read back. It holds what was installed; `None`
// inside when somebody else was first.
static INSTALLED: OnceLock<Option<Crypto>> = OnceLock::new();

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: NO_KEY_UTILS,
};

/// Key utilities that refuse instead of panicking. Keys come only as checked JWK.
const NO_KEY_UTILS: KeyUtils = KeyUtils {
    rsa_pub_components_from_private_key: |_| Err(unsupported()),
    rsa_pub_components_from_public_key: |_| Err(unsupported()),
    ec_pub_components_from_private_key: |_, _| Err(unsupported()),
    ed_pub_components_from_private_key: |_, _| Err(unsupported()),
    compute_digest: |_, _| Err(unsupported()),
};

impl Crypto {
    /// Installs our provider for this process. The same once more is fine.
    ///
    /// # Errors
    /// Another provider was installed before, or ours with a gateway that had earned something else.
    pub fn install(gateway: Option<Gateway>) -> Result<Crypto, CryptoTaken> {
        let installed = INSTALLED.get_or_init(|| {
            let done = PROVIDER.install_default().is_ok();
            done.then_some(Crypto { gateway })
        });
        match installed {
            Some(crypto) if crypto.gateway == gateway => Ok(*crypto),
            Some(_) | None => Err(CryptoTaken),
        }
    }

    /// Everything checked by RustCrypto.
    ///
    /// # Errors
    /// As [`Crypto::install`].
    pub fn rust_crypto() -> Result<Crypto, CryptoTaken> {
        Crypto::install(None)
    }

    /// The algorithms that the gateway checks, in the order of [`Alg::ALL`].
    #[must_use]
    pub fn by_gateway(self) -> Vec<Alg> {
        self.gateway
            .map_or_else(Vec::new, |gateway| gateway.earned().collect())
    }

    /// Whether this is a signature of the key over `signed`; `signature` is base64url.
    pub(super) fn verifies(
        self,
        alg: Alg,
        key: &DecodingKey,
        signed: &[u8],
        signature: &str,
    ) -> bool {
        match alg.jose() {
            Some(jose) => matches!(
                jsonwebtoken::crypto::verify(signature, signed, key, jose),
                Ok(true)
            ),
            None => decode(signature)
                .is_some_and(|signature| self.check(alg, key, signed, &signature).is_ok()),
        }
    }

    /// The gateway's word where it has earned it and answers; RustCrypto's otherwise.
    fn check(
        self,
        alg: Alg,
        key: &DecodingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Invalid> {
        let told = self
            .gateway
            .and_then(|gateway| gateway.verifies(alg, key, message, signature));
        match told {
            Some(true) => Ok(()),
            Some(false) => Err(Invalid),
            None => verify::verify(alg, key, message, signature),
        }
    }

    /// What each says for itself.
    #[cfg(any(test, feature = "vectors"))]
    pub(super) fn opinions(
        self,
        alg: Alg,
        key: &DecodingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Opinions {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;

        let gateway = self.gateway;
        Opinions {
            asked: gateway.is_some_and(|gateway| gateway.is_asked(alg, key, message, signature)),
            gateway: gateway.and_then(|gateway| gateway.verifies(alg, key, message, signature)),
            rust_crypto: verify::verify(alg, key, message, signature).is_ok(),
            product: self.verifies(alg, key, message, &URL_SAFE_NO_PAD.encode(signature)),
        }
    }
}

/// Who thinks what of one signature.
#[cfg(any(test, feature = "vectors"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opinions {
    /// Whether the gateway was asked.
    pub(super) asked: bool,
    /// The gateway's check, where it has earned the algorithm and answers.
    pub(super) gateway: Option<bool>,
    /// RustCrypto.
    pub(super) rust_crypto: bool,
    /// The product, which goes to one of them through jsonwebtoken.
    pub(super) product: bool,
}

#[cfg(any(test, feature = "vectors"))]
impl Opinions {
    /// Whether they are one, and no question went without an answer.
    pub(super) fn agree(self) -> bool {
        let gateway = match self.gateway {
            Some(told) => told == self.product,
            None => !self.asked,
        };
        gateway && self.product == self.rust_crypto
    }
}

/// There is no signer.
fn no_signer(_: &Algorithm, _: &EncodingKey) -> JoseResult<Box<dyn JwtSigner>> {
    Err(unsupported())
}

/// The verifier that jsonwebtoken asks for.
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> JoseResult<Box<dyn JwtVerifier>> {
    let alg = Alg::from_jose(*algorithm).ok_or_else(unsupported)?;
    let crypto = INSTALLED.get().copied().flatten();
    Ok(Box::new(Check {
        crypto: crypto.ok_or_else(unsupported)?,
        algorithm: *algorithm,
        alg,
        key: key.clone(),
    }))
}

fn unsupported() -> jsonwebtoken::errors::Error {
    new_error(ErrorKind::UnsupportedAlgorithm)
}

/// One check, in the form that jsonwebtoken wants.
struct Check {
    crypto: Crypto,
    algorithm: Algorithm,
    alg: Alg,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.crypto
            .check(self.alg, &self.key, message, signature)
            .map_err(|Invalid| SignatureError::new())
    }
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl fmt::Display for CryptoTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another provider of cryptography is installed in this process")
    }
}

impl std::error::Error for CryptoTaken {}

#[cfg(test)]
pub(super) mod tests;
