//! `from`: where in a request an issuer's tokens stand.

use crate::read::{At, Problems, text};
use postern_core::facts::Place;

/// `{ header, scheme }`, `{ query }` or `{ cookie }`.
pub(crate) fn place(at: &At<'_>, problems: &mut Problems) -> Option<Place> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let header = object.field("header").map(|at| header_name(&at, problems));
    let scheme = object
        .field("scheme")
        .map(|at| token_text(&at, problems, "a scheme is letters, digits and `-`"));
    let query = object.field("query").map(|at| {
        token_text(
            &at,
            problems,
            "a parameter is letters, digits, `-`, `_` and `.`",
        )
    });
    let cookie = object.field("cookie").map(|at| {
        token_text(
            &at,
            problems,
            "a cookie is letters, digits, `-`, `_` and `.`",
        )
    });
    object.finish(problems);
    match (header, query, cookie) {
        (Some(name), None, None) => {
            let (name, scheme) = (name?, scheme.map_or(Some(None), |scheme| scheme.map(Some))?);
            let needs_scheme = matches!(name.as_str(), "authorization" | "proxy-authorization");
            if needs_scheme && scheme.is_none() {
                problems.add(&path, "this header has a scheme: write `scheme: Bearer`");
                return None;
            }
            Some(Place::Header { name, scheme })
        }
        (None, Some(name), None) if scheme.is_none() => Some(Place::Query { name: name? }),
        (None, None, Some(name)) if scheme.is_none() => Some(Place::Cookie { name: name? }),
        (_, _, _) => {
            problems.add(
                &path,
                "needs exactly one of `header`, `query` and `cookie`; only a header has a scheme",
            );
            None
        }
    }
}

/// A header in which a token can stand: none that the gateway or we act on.
fn header_name(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    const TAKEN: &[&str] = &[
        "cookie",
        "host",
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "te",
        "upgrade",
        "dpop",
        "x-forwarded-client-cert",
        "x-request-id",
    ];
    let name = text(at, problems)?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !name.bytes().all(plain) || name.starts_with("x-postern-") || TAKEN.contains(&name) {
        return at.refuse(
            problems,
            "must be a header in lower case, and none that the gateway acts on",
        );
    }
    Some(name.to_owned())
}

fn token_text(at: &At<'_>, problems: &mut Problems, what: &'static str) -> Option<String> {
    let written = text(at, problems)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if written.len() > 64 || !written.bytes().all(plain) {
        return at.refuse(problems, what);
    }
    Some(written.to_owned())
}
