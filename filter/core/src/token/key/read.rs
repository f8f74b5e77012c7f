//! The numbers inside one JWK, checked before anything computes with them (RFC 7518 section 6, RFC 8037 section 2).
//!
//! Decided here: sizes, curves, points, exponents, and that nothing private stands in a public key.

use jsonwebtoken::DecodingKey;

use super::KeyWhy;
use crate::json::Json;
use crate::token::algorithm::KeyKind;
use crate::token::compact::decode;
use crate::token::crypto::{MAX_RSA_BITS, MIN_RSA_BITS};

/// Members that only a private or shared key has (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1, RFC 8037 section 2).
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Bytes of a coordinate of P-256 and of an Ed25519 key.
const CURVE_BYTES: usize = 32;

/// The largest RSA exponent; the odd ones below it fit four bytes.
const MAX_EXPONENT: u64 = 1 << 32;

/// The kind of key, and the key itself.
pub(super) fn material(entry: &Json) -> Result<(KeyKind, DecodingKey), KeyWhy> {
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
        "EC" => Ok((KeyKind::P256, p256(entry)?)),
        "OKP" => Ok((KeyKind::Ed25519, ed25519(entry)?)),
        _ => Err(KeyWhy::TypeUnknown),
    }
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
    let bits = n
        .len()
        .saturating_mul(8)
        .saturating_sub(first.leading_zeros() as usize);
    if bits < MIN_RSA_BITS {
        return Err(KeyWhy::TooSmall);
    }
    if bits > MAX_RSA_BITS {
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
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

/// RFC 7518 section 6.2.1. The point is put on the curve here once, so that no later step meets another.
fn p256(entry: &Json) -> Result<DecodingKey, KeyWhy> {
    if text(entry, "crv")? != "P-256" {
        return Err(KeyWhy::CurveRefused);
    }
    let mut point = vec![0x04];
    point.extend(coordinate(entry, "x")?);
    point.extend(coordinate(entry, "y")?);
    p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyWhy::NotOnCurve)?;
    Ok(DecodingKey::from_ec_der(&point))
}

/// RFC 8037 section 2, RFC 8032 section 5.1.3.
fn ed25519(entry: &Json) -> Result<DecodingKey, KeyWhy> {
    if text(entry, "crv")? != "Ed25519" {
        return Err(KeyWhy::CurveRefused);
    }
    let x = coordinate(entry, "x")?;
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

fn coordinate(entry: &Json, name: &'static str) -> Result<[u8; CURVE_BYTES], KeyWhy> {
    bytes(entry, name)?
        .try_into()
        .map_err(|_| KeyWhy::LengthWrong(name))
}

fn bytes(entry: &Json, name: &'static str) -> Result<Vec<u8>, KeyWhy> {
    decode(text(entry, name)?).ok_or(KeyWhy::NotBase64Url(name))
}

fn text<'e>(entry: &'e Json, name: &'static str) -> Result<&'e str, KeyWhy> {
    entry
        .member(name)
        .and_then(Json::as_str)
        .ok_or(KeyWhy::Member(name))
}
