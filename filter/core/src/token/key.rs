//! The signing keys of an issuer, read from a JWK Set (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).
//!
//! Decided here: which keys may exist at all, and which key answers for a token. A key is named by (key id, algorithm)
//! within its issuer; there is no "first key", and no way from one key id to the key of another. A set holds public keys or shared
//! secrets, never both, and secrets only where a person has written them.
//! Not decided here: which algorithms the issuer may use, and the check of the signature itself.
//! Against: weak and odd keys, private or shared keys in a public set, key id tricks, poisoned sets (THREATS 13, 14, 19, 21).

mod fault;
pub(super) mod info;
mod read;
mod roca;
mod thumbprint;

use std::fmt;

use jsonwebtoken::DecodingKey;

use super::algorithm::{Alg, KeyKind};
use super::fault::TokenFault;
use super::header::is_key_id;
use crate::json::Json;

pub use fault::{KeyFault, KeyWhy};
pub(super) use thumbprint::thumbprint;

/// The most keys in one set.
pub const MAX_KEYS: usize = 64;

/// The longest shared secret, in bytes.
pub const MAX_SECRET_BYTES: usize = 1024;

/// The keys of one issuer: at least one, each checked, no two for the same (key id, algorithm).
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// One key.
#[derive(Clone)]
pub(super) struct Key {
    key_id: Option<String>,
    /// The algorithms that the key may check, in the order of [`Alg::ALL`]; at least one, all of one kind of key.
    algorithms: Vec<Alg>,
    /// SubjectPublicKeyInfo for RSA and EC, the 32 bytes of Ed25519, the secret of a MAC.
    material: DecodingKey,
}

impl KeySet {
    /// Reads a set of public keys (RFC 7517 section 5). Members that only describe (`x5c`, `x5t`, private ones) are passed over.
    ///
    /// The set is one that a person has written into a policy, so one bad key refuses the whole set.
    ///
    /// # Errors
    /// Every fault of every key, at most one for each key.
    pub fn parse(jwks: &Json) -> Result<KeySet, Vec<KeyFault>> {
        KeySet::written(jwks, Key::public)
    }

    /// Reads a set of shared secrets (`kty: oct`, RFC 7518 section 6.4) that a person has written into a policy: for an issuer
    /// whose algorithms name one that [is symmetric](Alg::is_symmetric), and for no other.
    ///
    /// # Errors
    /// As [`KeySet::parse`]; a public key is a fault here.
    pub fn parse_secrets(jwks: &Json) -> Result<KeySet, Vec<KeyFault>> {
        KeySet::written(jwks, Key::secret)
    }

    fn written(
        jwks: &Json,
        read: fn(&Json) -> Result<Key, KeyWhy>,
    ) -> Result<KeySet, Vec<KeyFault>> {
        let entries = entries(jwks).map_err(|fault| vec![fault])?;
        let alone = entries.len() == 1;
        let mut keys: Vec<Key> = Vec::with_capacity(entries.len());
        let mut faults = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match read(entry).and_then(|key| key.beside(&keys, alone)) {
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

    /// Reads a set of public keys as an identity provider publishes it: a key that is none of ours (for encryption, of a kind or for
    /// an algorithm that is not in `wanted`, weak, secret, private) is passed over, told and never used.
    ///
    /// A key without an id answers only for tokens that name none, and only where no other key fits.
    ///
    /// # Errors
    /// No set, too many keys, not one usable key, or two usable keys for the same (key id, algorithm). Then nothing of
    /// the set is used; every fault is told.
    pub fn published(
        jwks: &Json,
        wanted: &[Alg],
    ) -> Result<(KeySet, Vec<KeyFault>), Vec<KeyFault>> {
        let entries = entries(jwks).map_err(|fault| vec![fault])?;
        let mut keys: Vec<Key> = Vec::with_capacity(entries.len());
        let mut passed_over = Vec::new();
        let mut ambiguous = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match Key::public(entry).and_then(|key| key.for_some_of(wanted)) {
                Ok(key) if keys.iter().any(|earlier| earlier.is_one_with(&key)) => {
                    ambiguous.push(KeyFault::of_key(index, entry, KeyWhy::Twice));
                }
                Ok(key) => keys.push(key),
                Err(why) => passed_over.push(KeyFault::of_key(index, entry, why)),
            }
        }
        if keys.is_empty() {
            ambiguous.push(KeyFault::of_set(KeyWhy::NoneUsable));
        }
        if ambiguous.is_empty() {
            Ok((KeySet { keys }, passed_over))
        } else {
            ambiguous.append(&mut passed_over);
            Err(ambiguous)
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

    /// The algorithms that some key of the set fits, in the order of [`Alg::ALL`]: what an issuer uses that names none. Never a
    /// symmetric one: whoever wants those names them.
    #[must_use]
    pub fn algorithms(&self) -> Vec<Alg> {
        let fits = |alg: &Alg| !alg.is_symmetric() && self.has_key_for(*alg);
        Alg::ALL.iter().copied().filter(fits).collect()
    }

    /// Whether some key of the set fits the algorithm.
    pub(super) fn has_key_for(&self, alg: Alg) -> bool {
        self.keys.iter().any(|key| key.fits(alg))
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

/// The keys of a set: some, and not too many.
fn entries(jwks: &Json) -> Result<&[Json], KeyFault> {
    let entries = match jwks.member("keys") {
        Some(Json::List(entries)) => entries,
        Some(_) | None => return Err(KeyFault::of_set(KeyWhy::NotASet)),
    };
    match entries.len() {
        0 => Err(KeyFault::of_set(KeyWhy::Empty)),
        1..=MAX_KEYS => Ok(entries),
        _ => Err(KeyFault::of_set(KeyWhy::TooMany)),
    }
}

impl Key {
    /// Reads one public key by itself.
    fn public(entry: &Json) -> Result<Key, KeyWhy> {
        Key::read(entry, read::public)
    }

    /// Reads one shared secret by itself.
    fn secret(entry: &Json) -> Result<Key, KeyWhy> {
        Key::read(entry, read::secret)
    }

    fn read(
        entry: &Json,
        material: fn(&Json) -> Result<(KeyKind, DecodingKey), KeyWhy>,
    ) -> Result<Key, KeyWhy> {
        entry.as_object().ok_or(KeyWhy::NotAnObject)?;
        let key_id = read_key_id(entry)?;
        let (kind, material) = material(entry)?;
        read::check_purpose(entry)?;
        Ok(Key {
            key_id,
            algorithms: read_algorithms(entry, kind, &material)?,
            material,
        })
    }

    /// Reads the public key in the header of a proof (RFC 9449 section 4.2), for the algorithm that the header names. Its key id says
    /// nothing: a proof names its key by being signed with it.
    pub(super) fn of_proof(jwk: &Json, alg: Alg) -> Result<Key, KeyWhy> {
        jwk.as_object().ok_or(KeyWhy::NotAnObject)?;
        let (kind, material) = read::public(jwk)?;
        read::check_purpose(jwk)?;
        if !read_algorithms(jwk, kind, &material)?.contains(&alg) {
            return Err(KeyWhy::AlgorithmDisagrees);
        }
        Ok(Key {
            key_id: None,
            algorithms: vec![alg],
            material,
        })
    }

    /// The same key, where it can stand beside `earlier` ones.
    fn beside(self, earlier: &[Key], alone: bool) -> Result<Key, KeyWhy> {
        if self.key_id.is_none() && !alone {
            return Err(KeyWhy::KeyIdMissing);
        }
        if earlier.iter().any(|key| key.is_one_with(&self)) {
            return Err(KeyWhy::Twice);
        }
        Ok(self)
    }

    /// The same key, for those of its algorithms that are wanted.
    fn for_some_of(mut self, wanted: &[Alg]) -> Result<Key, KeyWhy> {
        self.algorithms.retain(|alg| wanted.contains(alg));
        if self.algorithms.is_empty() {
            return Err(KeyWhy::AlgorithmNotWanted);
        }
        Ok(self)
    }

    /// Whether both have one name and an algorithm in common: nobody could tell which of them is meant.
    fn is_one_with(&self, other: &Key) -> bool {
        self.key_id == other.key_id && self.algorithms.iter().any(|alg| other.fits(*alg))
    }

    /// Whether the key may check signatures of this algorithm.
    fn fits(&self, alg: Alg) -> bool {
        self.algorithms.contains(&alg)
    }

    /// Its `kid`, whether a token names it or not.
    pub(super) fn id(&self) -> Option<&str> {
        self.key_id.as_deref()
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

/// The one algorithm that the key itself is bound to; otherwise all of its kind. A secret is long enough for each.
fn read_algorithms(
    entry: &Json,
    kind: KeyKind,
    material: &DecodingKey,
) -> Result<Vec<Alg>, KeyWhy> {
    let named = match entry.member("alg") {
        None => None,
        Some(alg) => {
            let alg = alg.as_str().ok_or(KeyWhy::Member("alg"))?;
            let alg = Alg::parse(alg).ok_or(KeyWhy::AlgorithmUnknown)?;
            if alg.key_kind() != kind {
                return Err(KeyWhy::AlgorithmDisagrees);
            }
            Some(alg)
        }
    };
    let bytes = material.try_get_as_bytes().map_or(0, <[u8]>::len);
    let of_kind = |alg: &Alg| alg.key_kind() == kind && named.is_none_or(|named| named == *alg);
    let algorithms = Alg::ALL.iter().copied().filter(of_kind);
    let algorithms: Vec<Alg> = algorithms
        .filter(|alg| bytes >= alg.secret_bytes())
        .collect();
    if algorithms.is_empty() {
        return Err(KeyWhy::SecretTooShort);
    }
    Ok(algorithms)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {:?})", self.key_id, self.algorithms)
    }
}

#[cfg(test)]
mod tests;
