//! Why a key or a set of keys is not taken: a closed list. Nothing of a key is in it but its id.

use std::fmt;

use super::{MAX_KEYS, MAX_SECRET_BYTES, read_key_id};
use crate::json::Json;

/// Why a key set does not load, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFault {
    /// Which key, from 0; `None` when the fault is of the set.
    pub index: Option<usize>,
    /// The key id, where it has a good one.
    pub key_id: Option<String>,
    /// What is wrong.
    pub why: KeyWhy,
}

/// What is wrong with a key or with a set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWhy {
    /// The set is not an object with a list `keys`.
    NotASet,
    /// No key in the set.
    Empty,
    /// Not one usable key in a published set.
    NoneUsable,
    /// More than [`MAX_KEYS`] keys.
    TooMany,
    /// The key is not an object.
    NotAnObject,
    /// A member that the key needs is not there, or is not a string.
    Member(&'static str),
    /// A member is not canonical base64url.
    NotBase64Url(&'static str),
    /// A private member stands in a public key.
    Private(&'static str),
    /// A shared secret (`oct`) in a set of public keys.
    SharedSecret,
    /// A public key in a set of shared secrets.
    NotASecret,
    /// A secret with fewer bytes than the output of the hash (RFC 7518 section 3.2).
    SecretTooShort,
    /// A secret above [`MAX_SECRET_BYTES`].
    SecretTooLong,
    /// A `kty` that we do not know.
    TypeUnknown,
    /// A curve that we do not take for this `kty`.
    CurveRefused,
    /// A coordinate or key of the wrong length.
    LengthWrong(&'static str),
    /// The point is not on the curve, or is not written canonically.
    NotOnCurve,
    /// A point of small order: signatures of nobody would verify.
    SmallOrder,
    /// An RSA modulus below 2048 bits.
    TooSmall,
    /// An RSA modulus above 8192 bits.
    TooLarge,
    /// An RSA modulus with the mark of a broken generator (CVE-2017-15361).
    Roca,
    /// An even RSA modulus, or one with zero bytes in front.
    ModulusInvalid,
    /// An RSA exponent below 3, even, above 2^32, or with zero bytes in front.
    ExponentInvalid,
    /// `use` is there and is not `sig`.
    NotForSignatures,
    /// `key_ops` is there and does not hold `verify`.
    NotForVerifying,
    /// `alg` is one that we do not know.
    AlgorithmUnknown,
    /// `alg` is one for another kind of key.
    AlgorithmDisagrees,
    /// No algorithm that the issuer uses fits the key.
    AlgorithmNotWanted,
    /// `kid` is not a string of 1 to 256 bytes without control characters.
    KeyIdInvalid,
    /// No `kid`, and not the only key.
    KeyIdMissing,
    /// The same key id and algorithm as an earlier key.
    Twice,
    /// `x5u` points elsewhere for the key; nothing is ever fetched from a key.
    PointsElsewhere,
}

impl KeyFault {
    pub(super) fn of_set(why: KeyWhy) -> KeyFault {
        KeyFault {
            index: None,
            key_id: None,
            why,
        }
    }

    pub(super) fn of_key(index: usize, entry: &Json, why: KeyWhy) -> KeyFault {
        KeyFault {
            index: Some(index),
            key_id: read_key_id(entry).unwrap_or(None),
            why,
        }
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.index, &self.key_id) {
            (Some(index), Some(key_id)) => write!(f, "keys[{index}] ({key_id}): {}", self.why),
            (Some(index), None) => write!(f, "keys[{index}]: {}", self.why),
            (None, _) => write!(f, "keys: {}", self.why),
        }
    }
}

impl std::error::Error for KeyFault {}

impl fmt::Display for KeyWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyWhy::NotASet => f.write_str("not an object with a list `keys` (RFC 7517 section 5)"),
            KeyWhy::Empty => f.write_str("no key"),
            KeyWhy::NoneUsable => f.write_str("no usable key"),
            KeyWhy::TooMany => write!(f, "more than {MAX_KEYS} keys"),
            KeyWhy::NotAnObject => f.write_str("not an object"),
            KeyWhy::Member(name) => write!(f, "`{name}` is missing or not a string"),
            KeyWhy::NotBase64Url(name) => {
                write!(f, "`{name}` is not canonical base64url without padding")
            }
            KeyWhy::Private(name) => write!(
                f,
                "private member `{name}`: a key set holds public keys only; treat this key as leaked"
            ),
            KeyWhy::SharedSecret => f.write_str("`kty: oct` is a shared secret"),
            KeyWhy::NotASecret => f.write_str("a public key beside shared secrets"),
            KeyWhy::SecretTooShort => f.write_str(
                "the secret is shorter than the hash of its algorithm (RFC 7518 section 3.2)",
            ),
            KeyWhy::SecretTooLong => {
                write!(f, "the secret is longer than {MAX_SECRET_BYTES} bytes")
            }
            KeyWhy::TypeUnknown => f.write_str("unknown `kty` (known: RSA, EC, OKP)"),
            KeyWhy::CurveRefused => {
                f.write_str("`crv` is not P-256, P-384 or P-521 (EC) or Ed25519 (OKP)")
            }
            KeyWhy::LengthWrong(name) => {
                write!(f, "`{name}` does not have the length of its curve")
            }
            KeyWhy::NotOnCurve => f.write_str("the point is not on the curve"),
            KeyWhy::SmallOrder => f.write_str("the point has small order"),
            KeyWhy::TooSmall => f.write_str("RSA modulus below 2048 bits"),
            KeyWhy::TooLarge => f.write_str("RSA modulus above 8192 bits"),
            KeyWhy::Roca => f.write_str(
                "RSA modulus of a broken generator (CVE-2017-15361): it can be factored",
            ),
            KeyWhy::ModulusInvalid => f.write_str("RSA modulus is even or has zero bytes in front"),
            KeyWhy::ExponentInvalid => {
                f.write_str("RSA exponent is below 3, even, above 2^32 or has zero bytes in front")
            }
            KeyWhy::NotForSignatures => f.write_str("`use` is not `sig`"),
            KeyWhy::NotForVerifying => f.write_str("`key_ops` does not hold `verify`"),
            KeyWhy::AlgorithmUnknown => f.write_str("unknown `alg`"),
            KeyWhy::AlgorithmDisagrees => f.write_str("`alg` is for another kind of key"),
            KeyWhy::AlgorithmNotWanted => f.write_str("no algorithm of the issuer fits it"),
            KeyWhy::KeyIdInvalid => {
                f.write_str("`kid` is not a string of 1 to 256 bytes without control characters")
            }
            KeyWhy::KeyIdMissing => f.write_str("no `kid`, and not the only key"),
            KeyWhy::Twice => f.write_str("same `kid` and algorithm as an earlier key"),
            KeyWhy::PointsElsewhere => f.write_str("`x5u` points elsewhere for the key"),
        }
    }
}
