//! What an issuer has taken back: a list of token ids, subjects and key ids, and a date before which nothing counts.
//!
//! Decided here: the form of the list, and which tokens it revokes. A list that holds anything else is refused whole: a member
//! that is not understood could be one that revokes.
//! Not decided here: where the list comes from ([`crate::fetch`], or inline in the policy), and how old it may be.
//! Against: tokens that stay good after their caller or key is gone (THREATS 16), and lists that eat the worker's memory.
//!
//! ```json
//! {"jti": ["…"], "subject": ["…"], "kid": ["…"], "issuedBefore": 1795320263}
//! ```
//! Every member may be missing; `{}` is a good list that revokes nothing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use crate::fetch::Document;
use crate::json::Json;

/// The most entries of one list, all its members together.
pub const MAX_REVOKED: usize = 50_000;

/// The longest entry, in bytes.
pub const MAX_REVOKED_BYTES: usize = 512;

/// Dates are below this: 2^53, where a double still holds every integer (RFC 7519 section 2, NumericDate).
const DATE_END: u64 = 1 << 53;

/// What an issuer has taken back.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Revocation {
    token_ids: Marks,
    subjects: Marks,
    key_ids: Marks,
    issued_before: Option<u64>,
}

/// Why a token is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedBy {
    /// Its `jti` is listed.
    TokenId,
    /// Its subject is listed.
    Subject,
    /// The `kid` of its key is listed.
    KeyId,
    /// It was issued before the date, or does not say when.
    IssuedBefore,
}

/// Why a list is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationFault {
    /// Not strict JSON.
    NotJson,
    /// Not an object of lists of strings and a date.
    FormWrong,
    /// A member that is none of the four.
    MemberUnknown,
    /// A member stands twice.
    MemberTwice,
    /// An entry is empty or longer than [`MAX_REVOKED_BYTES`].
    EntryInvalid,
    /// More than [`MAX_REVOKED`] entries.
    TooMany,
    /// `issuedBefore` is not an integer from 1 to 2^53-1.
    DateInvalid,
}

impl Revocation {
    /// Reads a list that stands in the policy.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(list: &Json) -> Result<Revocation, RevocationFault> {
        let members = list.as_object().ok_or(RevocationFault::FormWrong)?;
        let mut builder = Builder::default();
        for (name, value) in members {
            match Member::named(name).ok_or(RevocationFault::MemberUnknown)? {
                Member::IssuedBefore => builder.date(value.as_u64())?,
                Member::List(list) => {
                    builder.open(list)?;
                    for entry in value.as_list().ok_or(RevocationFault::FormWrong)? {
                        builder.add(list, entry.as_str().ok_or(RevocationFault::FormWrong)?)?;
                    }
                }
            }
        }
        Ok(builder.finish())
    }

    /// Whether a token is revoked: by its `jti` (RFC 7519 section 4.1.7), its subject, the id of the key that signed it, or its
    /// `iat` in seconds since 1970. A token without `jti` is not named by one; a token without `iat` may be of any time, so
    /// any date revokes it.
    #[must_use]
    pub fn revokes(
        &self,
        jti: Option<&str>,
        subject: &str,
        kid: Option<&str>,
        iat: Option<u64>,
    ) -> Option<RevokedBy> {
        let too_early = self
            .issued_before
            .is_some_and(|date| iat.is_none_or(|iat| iat < date));
        if jti.is_some_and(|jti| self.token_ids.has(jti)) {
            Some(RevokedBy::TokenId)
        } else if self.subjects.has(subject) {
            Some(RevokedBy::Subject)
        } else if kid.is_some_and(|kid| self.key_ids.has(kid)) {
            Some(RevokedBy::KeyId)
        } else if too_early {
            Some(RevokedBy::IssuedBefore)
        } else {
            None
        }
    }

    /// How many entries it has, each once.
    #[must_use]
    pub fn entries(&self) -> usize {
        [&self.token_ids, &self.subjects, &self.key_ids]
            .iter()
            .fold(0, |sum: usize, marks| sum.saturating_add(marks.0.len()))
    }
}

impl Document for Revocation {
    /// WHY not by way of [`Json`]: a tree of the largest list takes many times the memory of the list, and the memory of a
    /// worker never shrinks. Here each entry is hashed as it is read.
    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut builder = Builder::default();
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let outcome = Top(&mut builder)
            .deserialize(&mut reader)
            .and_then(|()| reader.end());
        match (builder.fault, outcome) {
            (Some(fault), _) => Err(fault.as_str()),
            (None, Ok(())) => Ok(builder.finish()),
            (None, Err(error)) if error.is_data() => Err(RevocationFault::FormWrong.as_str()),
            (None, Err(_)) => Err(RevocationFault::NotJson.as_str()),
        }
    }
}

impl RevocationFault {
    /// What is wrong, in a sentence that holds nothing of the list.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RevocationFault::NotJson => "it is not strict JSON",
            RevocationFault::FormWrong => {
                "it is not an object of lists of strings (`jti`, `subject`, `kid`) and a number (`issuedBefore`)"
            }
            RevocationFault::MemberUnknown => {
                "it has a member other than `jti`, `subject`, `kid` and `issuedBefore`"
            }
            RevocationFault::MemberTwice => "a member stands twice in it",
            RevocationFault::EntryInvalid => "an entry of it is empty or longer than 512 bytes",
            RevocationFault::TooMany => "it has more than 50000 entries",
            RevocationFault::DateInvalid => {
                "`issuedBefore` is not a whole number of seconds above zero"
            }
        }
    }
}

impl fmt::Display for RevocationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for RevocationFault {}

impl fmt::Debug for Revocation {
    /// Shows only how much it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revocation({} entries)", self.entries())
    }
}

/// Texts by the first half of their SHA-256, sorted: 16 bytes each, however long they are. Who would find two texts with one
/// mark would only be refused.
#[derive(Clone, PartialEq, Eq, Default)]
struct Marks(Vec<[u8; 16]>);

impl Marks {
    fn has(&self, text: &str) -> bool {
        !self.0.is_empty() && self.0.binary_search(&mark_of(text)).is_ok()
    }

    fn sort(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
    }
}

fn mark_of(text: &str) -> [u8; 16] {
    let mut digest = Sha256::digest(text.as_bytes()).into_iter();
    std::array::from_fn(|_| digest.next().unwrap_or_default())
}

#[derive(Clone, Copy)]
enum Member {
    List(List),
    IssuedBefore,
}

#[derive(Clone, Copy)]
enum List {
    TokenIds,
    Subjects,
    KeyIds,
}

impl Member {
    fn named(name: &str) -> Option<Member> {
        match name {
            "jti" => Some(Member::List(List::TokenIds)),
            "subject" => Some(Member::List(List::Subjects)),
            "kid" => Some(Member::List(List::KeyIds)),
            "issuedBefore" => Some(Member::IssuedBefore),
            _ => None,
        }
    }
}

/// A list that is being read, by either way.
#[derive(Default)]
struct Builder {
    token_ids: Option<Marks>,
    subjects: Option<Marks>,
    key_ids: Option<Marks>,
    issued_before: Option<u64>,
    entries: usize,
    fault: Option<RevocationFault>,
}

impl Builder {
    fn list(&mut self, list: List) -> &mut Option<Marks> {
        match list {
            List::TokenIds => &mut self.token_ids,
            List::Subjects => &mut self.subjects,
            List::KeyIds => &mut self.key_ids,
        }
    }

    fn open(&mut self, list: List) -> Result<(), RevocationFault> {
        match self.list(list).replace(Marks::default()) {
            None => Ok(()),
            Some(_) => Err(RevocationFault::MemberTwice),
        }
    }

    fn add(&mut self, list: List, text: &str) -> Result<(), RevocationFault> {
        if text.is_empty() || text.len() > MAX_REVOKED_BYTES {
            return Err(RevocationFault::EntryInvalid);
        }
        self.entries = self.entries.saturating_add(1);
        if self.entries > MAX_REVOKED {
            return Err(RevocationFault::TooMany);
        }
        self.list(list)
            .get_or_insert_default()
            .0
            .push(mark_of(text));
        Ok(())
    }

    /// Zero is no date: it would look like one and revoke nothing.
    fn date(&mut self, date: Option<u64>) -> Result<(), RevocationFault> {
        let date = date
            .filter(|date| (1..DATE_END).contains(date))
            .ok_or(RevocationFault::DateInvalid)?;
        match self.issued_before.replace(date) {
            None => Ok(()),
            Some(_) => Err(RevocationFault::MemberTwice),
        }
    }

    fn finish(self) -> Revocation {
        let sorted = |marks: Option<Marks>| {
            let mut marks = marks.unwrap_or_default();
            marks.sort();
            marks
        };
        Revocation {
            token_ids: sorted(self.token_ids),
            subjects: sorted(self.subjects),
            key_ids: sorted(self.key_ids),
            issued_before: self.issued_before,
        }
    }

    /// A fault of ours on its way out through the reader of the grammar.
    fn refuse<E: serde::de::Error>(&mut self, fault: RevocationFault) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }
}

/// Reads the object.
struct Top<'b>(&'b mut Builder);

/// Reads one list of it.
struct Entries<'b>(&'b mut Builder, List);

/// Reads one entry of a list.
struct Entry<'b>(&'b mut Builder, List);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a revocation list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(name) = access.next_key::<String>()? {
            match Member::named(&name) {
                Some(Member::IssuedBefore) => {
                    let date = access.next_value::<serde_json::Number>()?;
                    if let Err(fault) = self.0.date(date.as_u64()) {
                        return Err(self.0.refuse(fault));
                    }
                }
                Some(Member::List(list)) => {
                    if let Err(fault) = self.0.open(list) {
                        return Err(self.0.refuse(fault));
                    }
                    access.next_value_seed(Entries(&mut *self.0, list))?;
                }
                None => return Err(self.0.refuse(RevocationFault::MemberUnknown)),
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while access
            .next_element_seed(Entry(&mut *self.0, self.1))?
            .is_some()
        {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Entry<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.0.add(self.1, text) {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.0.refuse(fault)),
        }
    }
}

#[cfg(test)]
mod tests;
