//! SubjectPublicKeyInfo (RFC 5280 section 4.1), the form in which a public key of RSA or EC is kept and handed on.
//!
//! Decided here: how a key is written, once, when it is read; and what is taken back out of it for a check: only a key
//! of the kind, curve and size that the caller asks for.

use rsa::pkcs1::RsaPublicKey;
use rsa::pkcs1::der::asn1::{AnyRef, BitStringRef, UintRef};
use rsa::pkcs1::der::{Decode, Encode};
use rsa::pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::token::algorithm::Curve;

/// The smallest RSA modulus, in bits (RFC 7518 section 3.3).
pub(in crate::token) const MIN_RSA_BITS: usize = 2048;

/// The largest RSA modulus, in bits: a bound on the time of one check.
pub(in crate::token) const MAX_RSA_BITS: usize = 8192;

/// id-ecPublicKey (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// secp256r1, secp384r1, secp521r1 (RFC 5480 section 2.1.1.1).
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

fn object_id(curve: Curve) -> &'static ObjectIdentifier {
    match curve {
        Curve::P256 => &P256,
        Curve::P384 => &P384,
        Curve::P521 => &P521,
    }
}

/// Writes an RSA key; both numbers big-endian.
pub(in crate::token) fn of_rsa(n: &[u8], e: &[u8]) -> Option<Vec<u8>> {
    let key = RsaPublicKey {
        modulus: UintRef::new(n).ok()?,
        public_exponent: UintRef::new(e).ok()?,
    };
    write(rsa::pkcs1::ALGORITHM_ID, &key.to_der().ok()?)
}

/// Writes an EC key; the point uncompressed (SEC 1 section 2.3.3).
pub(in crate::token) fn of_ec(curve: Curve, point: &[u8]) -> Option<Vec<u8>> {
    let algorithm = AlgorithmIdentifierRef {
        oid: EC_PUBLIC_KEY,
        parameters: Some(AnyRef::from(object_id(curve))),
    };
    write(algorithm, point)
}

fn write(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let subject_public_key = BitStringRef::from_bytes(key).ok()?;
    let info = SubjectPublicKeyInfoRef {
        algorithm,
        subject_public_key,
    };
    info.to_der().ok()
}

/// The modulus and exponent of an RSA key whose size is allowed.
pub(in crate::token) fn read_rsa(info: &[u8]) -> Option<(&[u8], &[u8])> {
    let info = SubjectPublicKeyInfoRef::from_der(info).ok()?;
    if info.algorithm != rsa::pkcs1::ALGORITHM_ID {
        return None;
    }
    let key = RsaPublicKey::from_der(info.subject_public_key.as_bytes()?).ok()?;
    let (n, e) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    (MIN_RSA_BITS..=MAX_RSA_BITS)
        .contains(&bits(n))
        .then_some((n, e))
}

/// The point of an EC key on this curve.
pub(in crate::token) fn read_ec(curve: Curve, info: &[u8]) -> Option<&[u8]> {
    let info = SubjectPublicKeyInfoRef::from_der(info).ok()?;
    let (algorithm, parameters) = info.algorithm.oids().ok()?;
    let same = algorithm == EC_PUBLIC_KEY && parameters.as_ref() == Some(object_id(curve));
    same.then_some(info.subject_public_key.as_bytes()?)
}

/// The bits of a number without zero bytes in front.
pub(in crate::token) fn bits(number: &[u8]) -> usize {
    let unused = number
        .first()
        .map_or(0, |first| first.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(unused)
}
