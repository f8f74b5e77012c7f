//! API keys: long-lived shared secrets, of which the policy knows only the SHA-256.
//!
//! Decided here: whether a presented key is one of the policy's. It is hashed, and the digest is compared in constant time
//! with that of every key, whichever fits (THREATS 23): how long it takes tells nothing of any key.
//! Not decided here: where in a request a key stands (`facts`), and what its holder may do (`decide`).

use crate::token::Secret;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The most keys in one policy: each request is compared with all of them.
pub const MAX_API_KEYS: usize = 4096;

/// The longest key that is looked at, in bytes.
pub const MAX_API_KEY_BYTES: usize = 512;

/// A key of the policy, and whom it stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name in rules, records and metrics.
    pub id: Arc<str>,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// Who calls with it.
    pub subject: String,
    /// For whom.
    pub tenant: Option<String>,
    /// The scopes that it holds.
    pub scopes: Vec<String>,
    /// The last second in which it is good, since 1970; none: it does not end.
    pub not_after: Option<u64>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The digest is no secret, but it is what a guess is tried against.
        write!(f, "ApiKey({})", self.id)
    }
}

/// The keys of one policy: ids and digests are unique.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Vec<Arc<ApiKey>>);

/// Why keys do not stand together; the index is that of the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKeysFault {
    /// More than [`MAX_API_KEYS`].
    TooMany,
    /// The id of an earlier key.
    IdTwice(usize),
    /// The digest of an earlier key: one key would stand for two callers.
    KeyTwice(usize),
}

/// Why a presented key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKeyFault {
    /// It is none of the policy's.
    Unknown,
    /// Its time is over.
    Expired,
}

impl ApiKeys {
    /// Checks that no two keys can be mistaken for each other.
    ///
    /// # Errors
    /// Every key that an earlier one stands in the way of.
    pub fn new(keys: Vec<ApiKey>) -> Result<Self, Vec<ApiKeysFault>> {
        let mut faults = Vec::new();
        if keys.len() > MAX_API_KEYS {
            faults.push(ApiKeysFault::TooMany);
        }
        for (index, key) in keys.iter().enumerate() {
            let earlier = || keys.iter().take(index);
            if earlier().any(|other| other.id == key.id) {
                faults.push(ApiKeysFault::IdTwice(index));
            }
            if earlier().any(|other| other.sha256 == key.sha256) {
                faults.push(ApiKeysFault::KeyTwice(index));
            }
        }
        if faults.is_empty() {
            Ok(Self(keys.into_iter().map(Arc::new).collect()))
        } else {
            Err(faults)
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that was presented. `now` in seconds since 1970.
    ///
    /// # Errors
    /// When it is none of these, or no longer good.
    pub fn verify(&self, presented: Secret<'_>, now: u64) -> Result<&Arc<ApiKey>, ApiKeyFault> {
        if presented.is_empty() || presented.len() > MAX_API_KEY_BYTES {
            return Err(ApiKeyFault::Unknown);
        }
        let digest: [u8; 32] = Sha256::digest(presented.expose_secret()).into();
        let mut found = Choice::from(0);
        let mut place = 0u64;
        for (index, key) in (0u64..).zip(&self.0) {
            let same = key.sha256.ct_eq(&digest);
            place.conditional_assign(&index, same);
            found |= same;
        }
        let key = usize::try_from(place)
            .ok()
            .and_then(|place| self.0.get(place))
            .filter(|_| bool::from(found))
            .ok_or(ApiKeyFault::Unknown)?;
        if key.not_after.is_some_and(|last| now > last) {
            return Err(ApiKeyFault::Expired);
        }
        Ok(key)
    }
}

impl fmt::Display for ApiKeyFault {
    /// One sentence, fit for `error_description` (RFC 6750 section 3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "The API key is not known here.",
            Self::Expired => "The API key has expired.",
        })
    }
}

impl fmt::Display for ApiKeysFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "at most {MAX_API_KEYS} keys"),
            Self::IdTwice(_) => f.write_str("an earlier key has this id"),
            Self::KeyTwice(_) => f.write_str("an earlier entry has this very key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn key(id: &str, text: &[u8], not_after: Option<u64>) -> ApiKey {
        ApiKey {
            id: id.into(),
            sha256: Sha256::digest(text).into(),
            subject: id.to_owned(),
            tenant: None,
            scopes: Vec::new(),
            not_after,
        }
    }

    #[test]
    fn a_key_is_known_whole_or_not_at_all() {
        let keys = ApiKeys::new(vec![
            key("first", b"sk-first", None),
            key("second", b"sk-second", Some(100)),
        ])
        .unwrap();
        type Row<'a> = (&'a [u8], u64, Result<&'a str, ApiKeyFault>, &'a str);
        let rows: &[Row<'_>] = &[
            (b"sk-first", 1000, Ok("first"), "it does not end"),
            (b"sk-second", 100, Ok("second"), "its last second"),
            (b"sk-second", 101, Err(ApiKeyFault::Expired), "over"),
            (b"sk-firs", 0, Err(ApiKeyFault::Unknown), "a beginning"),
            (b"sk-first ", 0, Err(ApiKeyFault::Unknown), "more than it"),
            (b"SK-FIRST", 0, Err(ApiKeyFault::Unknown), "case counts"),
            (b"", 0, Err(ApiKeyFault::Unknown), "nothing"),
            (&[b'x'; 513], 0, Err(ApiKeyFault::Unknown), "too long"),
        ];
        for (presented, now, expected, why) in rows {
            let seen = keys.verify(Secret::new(presented), *now);
            assert_eq!(seen.map(|key| &*key.id), *expected, "{why}");
        }
        assert_eq!(
            ApiKeys::default().verify(Secret::new(b"x"), 0),
            Err(ApiKeyFault::Unknown),
            "no key at all"
        );
    }

    #[test]
    fn keys_stand_together_or_not() {
        let keys = vec![
            key("a", b"1", None),
            key("a", b"2", None),
            key("b", b"1", None),
        ];
        assert_eq!(
            ApiKeys::new(keys).err(),
            Some(vec![ApiKeysFault::IdTwice(1), ApiKeysFault::KeyTwice(2)])
        );
    }

    #[test]
    fn what_is_shown_of_a_key_is_its_id() {
        let shown = format!("{:?}", key("ci-bot", b"SECRET", None));
        assert_eq!(shown, "ApiKey(ci-bot)");
    }
}
