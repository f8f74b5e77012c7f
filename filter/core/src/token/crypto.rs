//! The cryptography behind jsonwebtoken: which provider the process uses, and ours over the RustCrypto crates.
//!
//! Decided here: what a valid signature is. ES256 is 64 raw bytes with r and s from 1 to n-1 (RFC 7518 section 3.4; DER is refused);
//! RS256 has exactly the length of the modulus (RFC 8017 section 8.2.2); Ed25519 is checked strictly, points of small order and
//! large s refused. Verifying needs no random numbers, and nothing here signs.
//! Not decided here: which key and algorithm.
//! Against: DER for raw, r or s zero, small keys (THREATS 21), and a panic in a provider that was never installed (THREATS 38).

use std::fmt;
use std::sync::OnceLock;

use ed25519_dalek::VerifyingKey as Ed25519Key;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JoseResult, new_error};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use p256::ecdsa::{Signature as P256Signature, VerifyingKey as P256Key};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use sha2::{Digest, Sha256};

use super::algorithm::Alg;

/// The smallest RSA modulus, in bits (RFC 7518 section 3.3).
pub(super) const MIN_RSA_BITS: usize = 2048;

/// The largest RSA modulus, in bits: a bound on the time of one check.
pub(super) const MAX_RSA_BITS: usize = 8192;

/// Proof that a provider is installed, which jsonwebtoken needs or panics. Made only by [`Crypto::install`].
#[derive(Clone, Copy, Debug)]
pub struct Crypto(());

/// Another provider is already the one of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoTaken;

impl Crypto {
    /// Makes `provider` the one of this process. The same provider once more is fine.
    ///
    /// # Errors
    /// Another provider was installed before, by us or by anyone in this process.
    pub fn install(provider: &'static CryptoProvider) -> Result<Crypto, CryptoTaken> {
        // WHY a static: the choice of jsonwebtoken is one of the process and cannot be read back. It holds what was
        // installed, and nothing that a decision depends on.
        static INSTALLED: OnceLock<Option<&'static CryptoProvider>> = OnceLock::new();
        let installed =
            INSTALLED.get_or_init(|| provider.install_default().ok().map(|()| provider));
        match installed {
            Some(installed) if std::ptr::eq(*installed, provider) => Ok(Crypto(())),
            Some(_) | None => Err(CryptoTaken),
        }
    }

    /// Installs [`RUST_CRYPTO`].
    ///
    /// # Errors
    /// As [`Crypto::install`].
    pub fn rust_crypto() -> Result<Crypto, CryptoTaken> {
        Crypto::install(&RUST_CRYPTO)
    }
}

impl fmt::Display for CryptoTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another provider of cryptography is installed in this process")
    }
}

impl std::error::Error for CryptoTaken {}

/// All checks in this module's own code, over the RustCrypto crates. A shell with a faster host defines its own and
/// falls back to [`rust_crypto_verifier`].
pub static RUST_CRYPTO: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: rust_crypto_verifier,
    key_utils: NO_KEY_UTILS,
};

/// Key utilities that refuse instead of panicking; for every provider of this product. Keys come only as checked JWK.
pub const NO_KEY_UTILS: KeyUtils = KeyUtils {
    rsa_pub_components_from_private_key: |_| Err(unsupported()),
    rsa_pub_components_from_public_key: |_| Err(unsupported()),
    ec_pub_components_from_private_key: |_, _| Err(unsupported()),
    ed_pub_components_from_private_key: |_, _| Err(unsupported()),
    compute_digest: |_, _| Err(unsupported()),
};

/// The signer factory of every provider of this product: there is none.
///
/// # Errors
/// Always.
pub fn no_signer(_: &Algorithm, _: &EncodingKey) -> JoseResult<Box<dyn JwtSigner>> {
    Err(unsupported())
}

fn unsupported() -> jsonwebtoken::errors::Error {
    new_error(ErrorKind::UnsupportedAlgorithm)
}

/// The verifier of RustCrypto for an algorithm and a key.
///
/// # Errors
/// An algorithm that is not in [`Alg`], or a key that is not one for it.
pub fn rust_crypto_verifier(
    alg: &Algorithm,
    key: &DecodingKey,
) -> JoseResult<Box<dyn JwtVerifier>> {
    match Alg::from_jose(*alg).ok_or_else(unsupported)? {
        Alg::Rs256 => Ok(Box::new(Rs256::new(key)?)),
        Alg::Es256 => Ok(Box::new(Es256::new(key)?)),
        Alg::EdDsa => Ok(Box::new(EdDsa::new(key)?)),
    }
}

struct Rs256(RsaPublicKey);

impl Rs256 {
    fn new(key: &DecodingKey) -> JoseResult<Rs256> {
        let invalid = |why: &str| new_error(ErrorKind::InvalidRsaKey(why.to_string()));
        let DecodingKeyKind::RsaModulusExponent { n, e } = key.kind() else {
            return Err(invalid("not a modulus and an exponent"));
        };
        let n = BigUint::from_bytes_be(n);
        if n.bits() < MIN_RSA_BITS {
            return Err(invalid("modulus too small"));
        }
        let e = BigUint::from_bytes_be(e);
        RsaPublicKey::new_with_max_size(n, e, MAX_RSA_BITS)
            .map(Rs256)
            .map_err(|_| invalid("not an RSA key"))
    }
}

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        if signature.len() != self.0.size() {
            return Err(SignatureError::new());
        }
        let digest = Sha256::digest(message);
        self.0
            .verify(Pkcs1v15Sign::new::<Sha256>(), &digest, signature)
            .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

struct Es256(P256Key);

impl Es256 {
    fn new(key: &DecodingKey) -> JoseResult<Es256> {
        let invalid = || new_error(ErrorKind::InvalidEcdsaKey);
        if key.family() != AlgorithmFamily::Ec {
            return Err(invalid());
        }
        P256Key::from_sec1_bytes(key.try_get_as_bytes()?)
            .map(Es256)
            .map_err(|_| invalid())
    }
}

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        // Exactly 64 bytes, r and s from 1 to n-1: the type holds nothing else.
        let signature = P256Signature::from_slice(signature).map_err(|_| SignatureError::new())?;
        self.0.verify(message, &signature)
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

struct EdDsa(Ed25519Key);

impl EdDsa {
    fn new(key: &DecodingKey) -> JoseResult<EdDsa> {
        let invalid = || new_error(ErrorKind::InvalidEddsaKey);
        if key.family() != AlgorithmFamily::Ed {
            return Err(invalid());
        }
        let bytes = key.try_get_as_bytes()?.try_into().map_err(|_| invalid())?;
        Ed25519Key::from_bytes(bytes)
            .map(EdDsa)
            .map_err(|_| invalid())
    }
}

impl Verifier<Vec<u8>> for EdDsa {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_slice(signature)?;
        self.0.verify_strict(message, &signature)
    }
}

impl JwtVerifier for EdDsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests;
