//! `apiKeys`: whom a key stands for. The policy holds digests, never keys.

use crate::read::{At, Named, Object, Problems, name, owned, text};
use postern_core::api_key::{ApiKey, ApiKeys, ApiKeysFault};
use postern_core::audit::read_digest;
use std::time::UNIX_EPOCH;

pub(crate) fn api_keys<'a>(object: &mut Object<'a>, problems: &mut Problems) -> Named<'a, ApiKey> {
    Named::read("API key", object.field("apiKeys"), "id", problems, api_key)
}

/// All keys together: no two can be mistaken for each other.
pub(crate) fn together(keys: &[ApiKey], problems: &mut Problems) -> Option<ApiKeys> {
    match ApiKeys::new(keys.to_vec()) {
        Ok(keys) => Some(keys),
        Err(faults) => {
            for fault in faults {
                match fault {
                    // Ids were compared as the list was read.
                    ApiKeysFault::IdTwice(_) => {}
                    ApiKeysFault::TooMany => problems.add("apiKeys", fault.to_string()),
                    ApiKeysFault::KeyTwice(index) => {
                        problems.add(&format!("apiKeys[{index}].sha256"), fault.to_string());
                    }
                }
            }
            None
        }
    }
}

fn api_key(at: &At<'_>, problems: &mut Problems) -> Option<ApiKey> {
    let mut object = at.object(problems)?;
    let id = object.required("id", problems, name);
    let sha256 = object.required("sha256", problems, digest);
    let subject = object.required("subject", problems, identifier);
    let tenant = object.optional("tenant", problems, Some(None), |at, problems| {
        identifier(at, problems).map(Some)
    });
    let scopes = object.optional("scopes", problems, Some(Vec::new()), |at, problems| {
        at.list(problems, scope)
    });
    let not_after = object.optional("notAfter", problems, Some(None), |at, problems| {
        moment(at, problems).map(Some)
    });
    object.finish(problems);
    Some(ApiKey {
        id: id?.into(),
        sha256: sha256?,
        subject: subject?,
        tenant: tenant?,
        scopes: scopes?,
        not_after: not_after?,
    })
}

/// 64 hexadecimal digits.
fn digest(at: &At<'_>, problems: &mut Problems) -> Option<[u8; 32]> {
    /// SHA-256 of nothing: a variable that was empty when the digest was made.
    const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let written = text(at, problems)?;
    let Some(digest) = read_digest(&written.to_ascii_lowercase()) else {
        return at.refuse(
            problems,
            "must be the SHA-256 of the key: 64 hexadecimal digits",
        );
    };
    if written.eq_ignore_ascii_case(OF_NOTHING) {
        return at.refuse(problems, "is the SHA-256 of an empty text");
    }
    Some(digest)
}

/// A subject or tenant, in the form that those of tokens have.
fn identifier(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let written = owned(at, problems)?;
    if written.len() > 512 || written.trim() != written || written.chars().any(char::is_control) {
        return at.refuse(
            problems,
            "must be at most 512 bytes without control characters, not trimmable",
        );
    }
    Some(written)
}

/// A scope that is held (RFC 6749 section 3.3): no placeholder stands in it.
fn scope(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let written = owned(at, problems)?;
    let plain = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e) && b != b'{' && b != b'}';
    if written.len() > 256 || !written.bytes().all(plain) {
        return at.refuse(
            problems,
            "must be a scope as a token holds it, such as `model:gpt-4o:chat` or `model:*:chat`",
        );
    }
    Some(written)
}

/// A moment such as `2027-01-01T00:00:00Z` (RFC 3339), in seconds since 1970.
fn moment(at: &At<'_>, problems: &mut Problems) -> Option<u64> {
    let written = text(at, problems)?;
    let seconds = humantime::parse_rfc3339(written)
        .ok()
        .and_then(|moment| moment.duration_since(UNIX_EPOCH).ok())
        .map(|since| since.as_secs());
    match seconds {
        Some(seconds) => Some(seconds),
        None => at.refuse(
            problems,
            "must be a moment in UTC, such as 2027-01-01T00:00:00Z",
        ),
    }
}
