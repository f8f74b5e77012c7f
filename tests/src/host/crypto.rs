//! The foreign function `verify_signature`, as the gateway's crypto library answers it.
//!
//! Arguments and result are protobuf: {1 hash, 2 public key as SPKI DER, 3 signature, 4 text} in, {1 bool, 2 error} out.
//! A failed check is status Ok with `result` absent; only arguments that do not parse are BadArgument. As BoringSSL, it lets the key
//! choose the algorithm, takes any hash with any key, and has no smallest key size that would matter. The core's own tests share this file.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::pkcs8::DecodePublicKey as _;
use rsa::pkcs8::der::Decode as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// The largest modulus of BoringSSL, in bits.
const MAX_RSA_BITS: usize = 8192;

/// The answer's bytes, or `None` when the arguments do not parse.
pub(super) fn verify_signature(arguments: &[u8]) -> Option<Vec<u8>> {
    let fields = fields(arguments)?;
    let field = |number: u64| {
        fields
            .iter()
            .rev()
            .find(|(n, _)| *n == number)
            .map_or(&[][..], |(_, bytes)| *bytes)
    };
    Some(match check(field(1), field(2), field(3), field(4)) {
        Ok(()) => vec![0x08, 0x01],
        Err(why) => {
            let mut out = vec![0x12, u8::try_from(why.len()).ok()?];
            out.extend_from_slice(why.as_bytes());
            out
        }
    })
}

fn check(hash: &[u8], key: &[u8], signature: &[u8], text: &[u8]) -> Result<(), &'static str> {
    const KEY: &str = "Failed to initialize digest verify.";
    const NO: &str = "Failed to verify digest.";
    let (digest, padding) = match hash {
        b"sha256" => (
            Sha256::digest(text).to_vec(),
            rsa::Pkcs1v15Sign::new::<Sha256>(),
        ),
        b"sha384" => (
            Sha384::digest(text).to_vec(),
            rsa::Pkcs1v15Sign::new::<Sha384>(),
        ),
        b"sha512" => (
            Sha512::digest(text).to_vec(),
            rsa::Pkcs1v15Sign::new::<Sha512>(),
        ),
        _ => return Err("hash is not supported."),
    };
    if let Some(key) = rsa_key(key) {
        return key.verify(padding, &digest, signature).map_err(|_| NO);
    }
    if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(key) {
        let signature = p256::ecdsa::Signature::from_der(signature).map_err(|_| NO)?;
        return key.verify_prehash(&digest, &signature).map_err(|_| NO);
    }
    if let Ok(key) = p384::ecdsa::VerifyingKey::from_public_key_der(key) {
        let signature = p384::ecdsa::Signature::from_der(signature).map_err(|_| NO)?;
        return key.verify_prehash(&digest, &signature).map_err(|_| NO);
    }
    let key = p521::PublicKey::from_public_key_der(key).map_err(|_| KEY)?;
    let key = p521::ecdsa::VerifyingKey::from_affine(*key.as_affine()).map_err(|_| KEY)?;
    let signature = p521::ecdsa::Signature::from_der(signature).map_err(|_| NO)?;
    key.verify_prehash(&digest, &signature).map_err(|_| NO)
}

fn rsa_key(spki: &[u8]) -> Option<rsa::RsaPublicKey> {
    let spki = rsa::pkcs8::SubjectPublicKeyInfoRef::try_from(spki).ok()?;
    if spki.algorithm != rsa::pkcs1::ALGORITHM_ID {
        return None;
    }
    let key = rsa::pkcs1::RsaPublicKey::from_der(spki.subject_public_key.as_bytes()?).ok()?;
    let number = rsa::BigUint::from_bytes_be;
    let (n, e) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    rsa::RsaPublicKey::new_with_max_size(number(n), number(e), MAX_RSA_BITS).ok()
}

/// The length-delimited fields of a protobuf message; any other kind of field does not parse here.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        if tag & 7 != 2 {
            return None;
        }
        let length = usize::try_from(varint(&mut bytes)?).ok()?;
        fields.push((tag >> 3, bytes.get(..length)?));
        bytes = bytes.get(length..)?;
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
