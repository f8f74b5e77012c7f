//! The signing keys of an issuer, read from a JWK Set (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).
//!
//! Decided here: which keys may exist at all, and which key answers for a token. A key is named by (key id, algorithm)
//! within its issuer; there is no "first key", and no way from one key id to the key of another.
//! Not decided here: which algorithms the issuer may use, and the check of the signature itself.
//! Against: weak and odd keys, private or shared keys in a public set, key id tricks (THREATS 13, 14, 21).

mod read;

use std::fmt;

use jsonwebtoken::DecodingKey;

use super::algorithm::{Alg, KeyKind};
use super::fault::TokenFault;
use super::header::is_key_id;
use crate::json::Json;

/// The most keys in one set.
pub const MAX_KEYS: usize = 64;

/// The signing keys of one issuer: at least one, each checked, no two for the same (key id, algorithm).
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// One public key.
#[derive(Clone)]
pub(super) struct Key {
    kind: KeyKind,
    key_id: Option<String>,
    /// The one algorithm that the key itself is bound to; otherwise all of its kind.
    only: Option<Alg>,
    material: DecodingKey,
}

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
    /// A shared secret (`oct`) in a set for asymmetric algorithms.
    SharedSecret,
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
    /// `kid` is not a string of 1 to 256 bytes without control characters.
    KeyIdInvalid,
    /// No `kid`, and not the only key.
    KeyIdMissing,
    /// The same key id and algorithm as an earlier key.
    Twice,
    /// `x5u` points elsewhere for the key; nothing is ever fetched from a key.
    PointsElsewhere,
}

impl KeySet {
    /// Reads a JWK Set (RFC 7517 section 5). Members that only describe (`x5c`, `x5t`, private ones) are passed over.
    ///
    /// The set is one that a person has written into a policy, so one bad key refuses the whole set.
    ///
    /// # Errors
    /// Every fault of every key, at most one for each key.
    pub fn parse(jwks: &Json) -> Result<KeySet, Vec<KeyFault>> {
        let entries = match jwks.member("keys") {
            Some(Json::List(entries)) => entries,
            Some(_) | None => return Err(vec![KeyFault::of_set(KeyWhy::NotASet)]),
        };
        if entries.is_empty() {
            return Err(vec![KeyFault::of_set(KeyWhy::Empty)]);
        }
        if entries.len() > MAX_KEYS {
            return Err(vec![KeyFault::of_set(KeyWhy::TooMany)]);
        }
        let alone = entries.len() == 1;
        let mut keys: Vec<Key> = Vec::with_capacity(entries.len());
        let mut faults = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match Key::parse(entry).and_then(|key| key.beside(&keys, alone)) {
                Ok(key) => keys.push(key),
                Err(why) => faults.push(KeyFault::of_key(index, entry, why)),
            }
        }
        if faults.is_empty() {
            Ok(KeySet { keys })
        } else {
            Err(faults)
        }
    }

    /// How many keys; never zero.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a set without a key cannot be made"
    )]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The algorithms that some key of the set fits, in the order of [`Alg::ALL`]: what an issuer uses that names none.
    #[must_use]
    pub fn algorithms(&self) -> Vec<Alg> {
        let fits = |alg: &Alg| self.keys.iter().any(|key| key.fits(*alg));
        Alg::ALL.iter().copied().filter(fits).collect()
    }

    /// The key that answers for a header.
    ///
    /// INVARIANT (no fallback): a key id that is named is the one that is used; without one, exactly one key fits.
    pub(super) fn select(&self, key_id: Option<&str>, alg: Alg) -> Result<&Key, TokenFault> {
        match key_id {
            Some(key_id) => {
                let mut known = false;
                for key in self
                    .keys
                    .iter()
                    .filter(|key| key.key_id.as_deref() == Some(key_id))
                {
                    if key.fits(alg) {
                        return Ok(key);
                    }
                    known = true;
                }
                Err(if known {
                    TokenFault::AlgorithmRefused
                } else {
                    TokenFault::KeyUnknown
                })
            }
            None => {
                let mut fitting = self.keys.iter().filter(|key| key.fits(alg));
                match (fitting.next(), fitting.next()) {
                    (Some(key), None) => Ok(key),
                    (Some(_), Some(_)) => Err(TokenFault::KeyAmbiguous),
                    (None, _) => Err(TokenFault::KeyUnknown),
                }
            }
        }
    }
}

impl Key {
    /// Reads one JWK by itself.
    fn parse(entry: &Json) -> Result<Key, KeyWhy> {
        entry.as_object().ok_or(KeyWhy::NotAnObject)?;
        let key_id = read_key_id(entry)?;
        let (kind, material) = read::material(entry)?;
        read::check_purpose(entry)?;
        let only = read_algorithm(entry, kind)?;
        Ok(Key {
            kind,
            key_id,
            only,
            material,
        })
    }

    /// The same key, where it can stand beside `earlier` ones.
    fn beside(self, earlier: &[Key], alone: bool) -> Result<Key, KeyWhy> {
        if self.key_id.is_none() && !alone {
            return Err(KeyWhy::KeyIdMissing);
        }
        let twice = earlier.iter().any(|key| {
            key.key_id == self.key_id
                && Alg::ALL.iter().any(|alg| key.fits(*alg) && self.fits(*alg))
        });
        if twice { Err(KeyWhy::Twice) } else { Ok(self) }
    }

    /// Whether the key may check signatures of this algorithm.
    fn fits(&self, alg: Alg) -> bool {
        self.kind == alg.key_kind() && self.only.is_none_or(|only| only == alg)
    }

    /// The key as jsonwebtoken takes it.
    pub(super) fn material(&self) -> &DecodingKey {
        &self.material
    }
}

fn read_key_id(entry: &Json) -> Result<Option<String>, KeyWhy> {
    match entry.member("kid") {
        None => Ok(None),
        Some(Json::String(kid)) if is_key_id(kid) => Ok(Some(kid.clone())),
        Some(_) => Err(KeyWhy::KeyIdInvalid),
    }
}

fn read_algorithm(entry: &Json, kind: KeyKind) -> Result<Option<Alg>, KeyWhy> {
    let Some(alg) = entry.member("alg") else {
        return Ok(None);
    };
    let alg = alg.as_str().ok_or(KeyWhy::Member("alg"))?;
    let alg = Alg::parse(alg).ok_or(KeyWhy::AlgorithmUnknown)?;
    if alg.key_kind() == kind {
        Ok(Some(alg))
    } else {
        Err(KeyWhy::AlgorithmDisagrees)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Key({:?}, {:?}, {:?})",
            self.kind, self.key_id, self.only
        )
    }
}

impl KeyFault {
    fn of_set(why: KeyWhy) -> KeyFault {
        KeyFault {
            index: None,
            key_id: None,
            why,
        }
    }

    fn of_key(index: usize, entry: &Json, why: KeyWhy) -> KeyFault {
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
            KeyWhy::TypeUnknown => f.write_str("unknown `kty` (known: RSA, EC, OKP)"),
            KeyWhy::CurveRefused => f.write_str("`crv` is not P-256 (EC) or Ed25519 (OKP)"),
            KeyWhy::LengthWrong(name) => {
                write!(f, "`{name}` does not have the length of its curve")
            }
            KeyWhy::NotOnCurve => f.write_str("the point is not on the curve"),
            KeyWhy::SmallOrder => f.write_str("the point has small order"),
            KeyWhy::TooSmall => f.write_str("RSA modulus below 2048 bits"),
            KeyWhy::TooLarge => f.write_str("RSA modulus above 8192 bits"),
            KeyWhy::ModulusInvalid => f.write_str("RSA modulus is even or has zero bytes in front"),
            KeyWhy::ExponentInvalid => {
                f.write_str("RSA exponent is below 3, even, above 2^32 or has zero bytes in front")
            }
            KeyWhy::NotForSignatures => f.write_str("`use` is not `sig`"),
            KeyWhy::NotForVerifying => f.write_str("`key_ops` does not hold `verify`"),
            KeyWhy::AlgorithmUnknown => f.write_str("unknown `alg`"),
            KeyWhy::AlgorithmDisagrees => f.write_str("`alg` is for another kind of key"),
            KeyWhy::KeyIdInvalid => {
                f.write_str("`kid` is not a string of 1 to 256 bytes without control characters")
            }
            KeyWhy::KeyIdMissing => f.write_str("no `kid`, and not the only key"),
            KeyWhy::Twice => f.write_str("same `kid` and algorithm as an earlier key"),
            KeyWhy::PointsElsewhere => f.write_str("`x5u` points elsewhere for the key"),
        }
    }
}

#[cfg(test)]
mod tests;
