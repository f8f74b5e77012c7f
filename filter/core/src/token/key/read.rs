//! The numbers inside one JWK, checked before anything computes with them (RFC 7518 section 6, RFC 8037 section 2).
//!
//! Decided here: sizes, curves, points, exponents, and that nothing private stands in a public key.

use jsonwebtoken::DecodingKey;

use super::info::{self, MAX_RSA_BITS, MIN_RSA_BITS};
use super::{KeyWhy, MAX_SECRET_BYTES, roca};
use crate::json::Json;
use crate::token::algorithm::{Curve, KeyKind};
use crate::token::compact::decode;

/// Members that only a private or shared key has (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1, RFC 8037 section 2).
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Bytes of an Ed25519 key.
const ED25519_BYTES: usize = 32;

/// The largest RSA exponent; the odd ones below it fit four bytes.
const MAX_EXPONENT: u64 = 1 << 32;

/// The kind of a public key, and the key itself.
pub(super) fn public(entry: &Json) -> Result<(KeyKind, DecodingKey), KeyWhy> {
    let kty = text(entry, "kty")?;
    if kty == "oct" {
        return Err(KeyWhy::SharedSecret);
    }
    if let Some(name) = PRIVATE.iter().find(|name| entry.member(name).is_some()) {
        return Err(KeyWhy::Private(name));
    }
    if entry.member("x5u").is_some() {
        return Err(KeyWhy::PointsElsewhere);
    }
    match kty {
        "RSA" => Ok((KeyKind::Rsa, rsa(entry)?)),
        "EC" => ec(entry),
        "OKP" => Ok((KeyKind::Ed25519, ed25519(entry)?)),
        _ => Err(KeyWhy::TypeUnknown),
    }
}

/// A shared secret (RFC 7518 section 6.4). How short it may be, its algorithm says.
pub(super) fn secret(entry: &Json) -> Result<(KeyKind, DecodingKey), KeyWhy> {
    match text(entry, "kty")? {
        "oct" => {}
        "RSA" | "EC" | "OKP" => return Err(KeyWhy::NotASecret),
        _ => return Err(KeyWhy::TypeUnknown),
    }
    if entry.member("x5u").is_some() {
        return Err(KeyWhy::PointsElsewhere);
    }
    let secret = bytes(entry, "k")?;
    if secret.len() > MAX_SECRET_BYTES {
        return Err(KeyWhy::SecretTooLong);
    }
    Ok((KeyKind::Oct, DecodingKey::from_secret(&secret)))
}

/// `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3), where they are there.
pub(super) fn check_purpose(entry: &Json) -> Result<(), KeyWhy> {
    if let Some(purpose) = entry.member("use")
        && purpose.as_str() != Some("sig")
    {
        return Err(KeyWhy::NotForSignatures);
    }
    if let Some(operations) = entry.member("key_ops") {
        let operations = operations.as_list().ok_or(KeyWhy::NotForVerifying)?;
        if !operations.iter().any(|op| op.as_str() == Some("verify")) {
            return Err(KeyWhy::NotForVerifying);
        }
    }
    Ok(())
}

/// RFC 7518 section 6.3.1. Both numbers come in the fewest bytes.
fn rsa(entry: &Json) -> Result<DecodingKey, KeyWhy> {
    let n = bytes(entry, "n")?;
    let e = bytes(entry, "e")?;
    let (Some(&first), Some(&last)) = (n.first(), n.last()) else {
        return Err(KeyWhy::ModulusInvalid);
    };
    if first == 0 || last & 1 == 0 {
        return Err(KeyWhy::ModulusInvalid);
    }
    if info::bits(&n) < MIN_RSA_BITS {
        return Err(KeyWhy::TooSmall);
    }
    if info::bits(&n) > MAX_RSA_BITS {
        return Err(KeyWhy::TooLarge);
    }
    if e.first() == Some(&0) || e.len() > 8 {
        return Err(KeyWhy::ExponentInvalid);
    }
    let exponent = e
        .iter()
        .fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    if !(3..=MAX_EXPONENT).contains(&exponent) || exponent & 1 == 0 {
        return Err(KeyWhy::ExponentInvalid);
    }
    if roca::has_mark(&n) {
        return Err(KeyWhy::Roca);
    }
    let info = info::of_rsa(&n, &e).ok_or(KeyWhy::ModulusInvalid)?;
    Ok(DecodingKey::from_rsa_der(&info))
}

/// RFC 7518 section 6.2.1. The point is put on the curve here once, so that no later step meets another.
fn ec(entry: &Json) -> Result<(KeyKind, DecodingKey), KeyWhy> {
    let crv = text(entry, "crv")?;
    let curve = Curve::ALL.into_iter().find(|curve| curve.name() == crv);
    let curve = curve.ok_or(KeyWhy::CurveRefused)?;
    let mut point = vec![0x04];
    for name in ["x", "y"] {
        let coordinate = bytes(entry, name)?;
        if coordinate.len() != curve.bytes() {
            return Err(KeyWhy::LengthWrong(name));
        }
        point.extend(coordinate);
    }
    let is_on_curve = match curve {
        Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).is_ok(),
        Curve::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(&point).is_ok(),
        Curve::P521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(&point).is_ok(),
    };
    if !is_on_curve {
        return Err(KeyWhy::NotOnCurve);
    }
    let info = info::of_ec(curve, &point).ok_or(KeyWhy::NotOnCurve)?;
    Ok((KeyKind::Ec(curve), DecodingKey::from_ec_der(&info)))
}

/// RFC 8037 section 2, RFC 8032 section 5.1.3.
fn ed25519(entry: &Json) -> Result<DecodingKey, KeyWhy> {
    if text(entry, "crv")? != "Ed25519" {
        return Err(KeyWhy::CurveRefused);
    }
    let x: [u8; ED25519_BYTES] = bytes(entry, "x")?
        .try_into()
        .map_err(|_| KeyWhy::LengthWrong("x"))?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&x).map_err(|_| KeyWhy::NotOnCurve)?;
    // WHY: the curve library also takes a y of p or more, and reduces it; one point would have two spellings.
    if key.to_edwards().compress().as_bytes() != &x {
        return Err(KeyWhy::NotOnCurve);
    }
    if key.is_weak() {
        return Err(KeyWhy::SmallOrder);
    }
    Ok(DecodingKey::from_ed_der(&x))
}

fn bytes(entry: &Json, name: &'static str) -> Result<Vec<u8>, KeyWhy> {
    decode(text(entry, name)?).ok_or(KeyWhy::NotBase64Url(name))
}

pub(super) fn text<'e>(entry: &'e Json, name: &'static str) -> Result<&'e str, KeyWhy> {
    entry
        .member(name)
        .and_then(Json::as_str)
        .ok_or(KeyWhy::Member(name))
}
