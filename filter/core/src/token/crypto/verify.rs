//! The one place in which RustCrypto checks a signature.
//!
//! Decided here: what a valid signature is. RSA: exactly the length of the modulus, the number below it (RFC 8017 sections
//! 8.1.2 and 8.2.2), the salt of PSS exactly as long as the hash (RFC 7518 section 3.5). ECDSA: r and s raw, each as long as a
//! coordinate, from 1 to n-1; DER is refused (section 3.4). Ed25519: strict, points of small order and large s refused. HMAC: compared
//! whole and in constant time. Verifying needs no random numbers.
//! Not decided here: which key and algorithm. A key of another family than the algorithm's is a no, whatever its bytes.
//! Against: HMAC with a public key as secret (THREATS 13), DER for raw, r or s zero, small keys (21), timing (23).

use ed25519_dalek::VerifyingKey as Ed25519Key;
use hmac::digest::{Digest, DynDigest, InvalidLength, KeyInit, MacError};
use hmac::{Hmac, Mac};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{AlgorithmFamily, DecodingKey};
use rsa::pkcs8::AssociatedOid;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Sha256, Sha384, Sha512};

use crate::token::algorithm::{Alg, Curve, Hash, Padding, Scheme};
use crate::token::key::info::{self, MAX_RSA_BITS};

/// The signature is not one of this key over this message, or the key is not one for the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::token) struct Invalid;

/// Checks one signature. The key: SubjectPublicKeyInfo for RSA and EC, the 32 bytes of Ed25519, the secret of a MAC.
pub(in crate::token) fn verify(
    alg: Alg,
    key: &DecodingKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Invalid> {
    let bytes = key.try_get_as_bytes().map_err(|_| Invalid)?;
    match (alg.scheme(), key.family()) {
        (Scheme::Rsa(padding, hash), AlgorithmFamily::Rsa) => {
            let check = match hash {
                Hash::Sha256 => rsa::<Sha256>,
                Hash::Sha384 => rsa::<Sha384>,
                Hash::Sha512 => rsa::<Sha512>,
            };
            check(bytes, padding, message, signature)
        }
        (Scheme::Ecdsa(curve), AlgorithmFamily::Ec) => ecdsa(curve, bytes, message, signature),
        (Scheme::Ed25519, AlgorithmFamily::Ed) => ed25519(bytes, message, signature),
        (Scheme::Hmac(hash), AlgorithmFamily::Hmac) if bytes.len() >= hash.bytes() => {
            let check = match hash {
                Hash::Sha256 => hmac::<Hmac<Sha256>>,
                Hash::Sha384 => hmac::<Hmac<Sha384>>,
                Hash::Sha512 => hmac::<Hmac<Sha512>>,
            };
            check(bytes, message, signature)
        }
        (
            Scheme::Rsa(..) | Scheme::Ecdsa(_) | Scheme::Ed25519 | Scheme::Hmac(_),
            AlgorithmFamily::Rsa
            | AlgorithmFamily::Ec
            | AlgorithmFamily::Ed
            | AlgorithmFamily::Hmac,
        ) => Err(Invalid),
    }
}

fn rsa<D>(key: &[u8], padding: Padding, message: &[u8], signature: &[u8]) -> Result<(), Invalid>
where
    D: Digest + DynDigest + AssociatedOid + Send + Sync + 'static,
{
    let (n, e) = info::read_rsa(key).ok_or(Invalid)?;
    if signature.len() != n.len() {
        return Err(Invalid);
    }
    let (n, e) = (BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
    let key = RsaPublicKey::new_with_max_size(n, e, MAX_RSA_BITS)?;
    let digest = D::digest(message);
    match padding {
        Padding::Pkcs1 => key.verify(Pkcs1v15Sign::new::<D>(), &digest, signature)?,
        Padding::Pss => key.verify(Pss::new::<D>(), &digest, signature)?,
    }
    Ok(())
}

fn ecdsa(curve: Curve, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Invalid> {
    let point = info::read_ec(curve, key).ok_or(Invalid)?;
    // The signature types hold exactly two coordinates, each from 1 to n-1; the keys hash as their curve asks.
    match curve {
        Curve::P256 => {
            use p256::ecdsa::{Signature, VerifyingKey};
            let signature = Signature::from_slice(signature)?;
            VerifyingKey::from_sec1_bytes(point)?.verify(message, &signature)?;
        }
        Curve::P384 => {
            use p384::ecdsa::{Signature, VerifyingKey};
            let signature = Signature::from_slice(signature)?;
            VerifyingKey::from_sec1_bytes(point)?.verify(message, &signature)?;
        }
        Curve::P521 => {
            use p521::ecdsa::{Signature, VerifyingKey};
            let signature = Signature::from_slice(signature)?;
            VerifyingKey::from_sec1_bytes(point)?.verify(message, &signature)?;
        }
    }
    Ok(())
}

fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Invalid> {
    let key = Ed25519Key::from_bytes(key.try_into().map_err(|_| Invalid)?)?;
    let signature = ed25519_dalek::Signature::from_slice(signature)?;
    Ok(key.verify_strict(message, &signature)?)
}

fn hmac<M: Mac + KeyInit>(secret: &[u8], message: &[u8], tag: &[u8]) -> Result<(), Invalid> {
    let mac = <M as Mac>::new_from_slice(secret)?.chain_update(message);
    Ok(mac.verify_slice(tag)?)
}

impl From<SignatureError> for Invalid {
    fn from(_: SignatureError) -> Invalid {
        Invalid
    }
}

impl From<rsa::Error> for Invalid {
    fn from(_: rsa::Error) -> Invalid {
        Invalid
    }
}

impl From<MacError> for Invalid {
    fn from(_: MacError) -> Invalid {
        Invalid
    }
}

impl From<InvalidLength> for Invalid {
    fn from(_: InvalidLength) -> Invalid {
        Invalid
    }
}
