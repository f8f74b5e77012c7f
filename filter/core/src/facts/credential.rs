//! The one credential of a request: which one it is, or that there are too many. Against THREATS 22.
//!
//! Not decided here: whether it is good.

use super::{Pair, folded_eq, text};
use crate::refusal::Refusal;
use crate::token::Secret;

/// The credential of a request; there is at most one.
#[derive(Debug)]
pub enum Credential<'a> {
    /// None came.
    None,
    /// `Authorization: Bearer` (RFC 6750 section 2.1).
    Bearer(Secret<'a>),
    /// A credential of a kind that no route takes.
    Other,
    /// More than one.
    Repeated,
}

/// Headers in which APIs and proxies take credentials.
const HEADERS: &[&[u8]] = &[
    b"authorization",
    b"proxy-authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"openai-api-key",
];

/// Query parameters in which APIs take credentials (RFC 6750 section 2.3, Google APIs).
const PARAMETERS: &[&str] = &[
    "key",
    "access_token",
    "auth_token",
    "token",
    "api_key",
    "api-key",
    "apikey",
];

impl<'a> Credential<'a> {
    /// Reads the credential. A key in the query or in a provider's own header counts as one, so that a token beside it is
    /// refused and not preferred.
    pub(super) fn read(pairs: &[Pair<'a>], query: Option<&'a str>) -> Result<Self, Refusal> {
        let headers = pairs.iter().filter(|(name, _)| is_credential(name)).count();
        let parameters = query.map_or(0, |query| {
            query
                .split(['&', ';'])
                .filter(|part| part.split('=').next().is_some_and(names_a_key))
                .count()
        });
        match (headers, parameters) {
            (0, 0) => Ok(Self::None),
            (0, 1) => Ok(Self::Other),
            (1, 0) => {
                Ok(text(pairs, b"authorization")?.map_or(Self::Other, Self::of_authorization))
            }
            (_, _) => Ok(Self::Repeated),
        }
    }

    fn of_authorization(value: &'a str) -> Self {
        // WHY: gateways join repeated headers of this name with a comma (RFC 9110 section 5.3).
        if value.split(',').skip(1).any(names_a_scheme) {
            return Self::Repeated;
        }
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => {
                Self::Bearer(Secret::new(token.as_bytes()))
            }
            _ => Self::Other,
        }
    }
}

/// Whether a header or trailer of this name carries a credential.
pub fn is_credential(name: &[u8]) -> bool {
    HEADERS.iter().any(|known| folded_eq(name, known))
}

/// Whether a text begins as credentials do: a scheme's name and a space (RFC 9110 section 11.4).
fn names_a_scheme(text: &str) -> bool {
    text.trim_start()
        .split_once(' ')
        .is_some_and(|(scheme, _)| {
            !scheme.is_empty()
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// Whether a query parameter of this name carries a credential. Percent-encoding in a name counts, since it could hide one.
fn names_a_key(name: &str) -> bool {
    name.contains('%')
        || PARAMETERS
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
}
