//! The one credential of a request: in which place it stands, or that there are too many. Against THREATS 22.
//!
//! Decided here: which places are looked at. They are the known ones of APIs, proxies and RFC 6750, and those that the
//! policy names; a credential in any of them counts, so that a second one beside it is refused and not passed over.
//! Not decided here: whether a place is one of the issuer's, and whether the credential is good.

use super::{Pair, folded_eq, text};
use crate::refusal::{Code, Refusal};
use crate::token::{Secret, SecretText};

/// Headers in which APIs and proxies take credentials.
const HEADERS: &[&str] = &[
    AUTHORIZATION,
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "openai-api-key",
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

/// RFC 9110 section 11.6.2.
const AUTHORIZATION: &str = "authorization";

/// The scheme of a token that is bound to the caller's key (RFC 9449 section 7.1).
const DPOP: &str = "DPoP";

/// A place in a request in which a credential may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A header by its name in lower case. With a scheme, the value is the scheme, one space and the credential
    /// (RFC 9110 section 11.4).
    Header {
        /// The name.
        name: String,
        /// The scheme; compared without case.
        scheme: Option<String>,
    },
    /// A parameter of the query.
    Query {
        /// The name.
        name: String,
    },
    /// A cookie (RFC 6265 section 4.2).
    Cookie {
        /// The name.
        name: String,
    },
}

impl Place {
    /// `Authorization: Bearer` (RFC 6750 section 2.1).
    pub fn bearer() -> Self {
        Self::Header {
            name: AUTHORIZATION.to_owned(),
            scheme: Some("Bearer".to_owned()),
        }
    }

    /// Where the SDKs of the providers put an API key.
    pub fn of_api_keys() -> Vec<Self> {
        let header = |name: &str| Self::Header {
            name: name.to_owned(),
            scheme: None,
        };
        let query = Self::Query {
            name: "key".to_owned(),
        };
        vec![
            Self::bearer(),
            header("x-api-key"),
            header("api-key"),
            header("x-goog-api-key"),
            query,
        ]
    }

    /// Whether a value that both places take has two readings: one takes all of it, the other what stands behind a scheme.
    pub fn is_read_otherwise(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Header { name, scheme },
                Self::Header {
                    name: its_name,
                    scheme: its_scheme,
                },
            ) => name == its_name && scheme.is_some() != its_scheme.is_some(),
            (Self::Header { .. } | Self::Query { .. } | Self::Cookie { .. }, _) => false,
        }
    }

    /// The credential, if this is the place in which it stands. `Authorization: DPoP` is the same place as `Bearer`: how a
    /// token is bound does not change where its issuer's tokens are (RFC 9449 section 7.1).
    pub fn read<'p>(&self, presented: &'p Presented) -> Option<Secret<'p>> {
        let value = presented.value.expose();
        match (self, &presented.place) {
            (Self::Header { name, scheme }, Found::Header(found)) if name == found => {
                let Some(scheme) = scheme else {
                    return Some(Secret::new(value.as_bytes()));
                };
                let (named, rest) = value.split_once(' ')?;
                let fits = named.eq_ignore_ascii_case(scheme)
                    || (name == AUTHORIZATION && named.eq_ignore_ascii_case(DPOP));
                (fits && !rest.is_empty()).then(|| Secret::new(rest.as_bytes()))
            }
            (Self::Query { name }, Found::Query(found))
            | (Self::Cookie { name }, Found::Cookie(found))
                if name == found =>
            {
                Some(Secret::new(value.as_bytes()))
            }
            (Self::Header { .. } | Self::Query { .. } | Self::Cookie { .. }, _) => None,
        }
    }
}

/// The credential of a request.
#[derive(Debug, Clone)]
pub enum Credential {
    /// None came.
    None,
    /// One came.
    One(Presented),
    /// More than one.
    Repeated,
}

/// A credential as it came: where, and its text, which nothing shows.
#[derive(Debug, Clone)]
pub struct Presented {
    place: Found,
    value: SecretText,
}

/// Where a credential was found, names as the policy writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// In this header.
    Header(String),
    /// In this parameter of the query.
    Query(String),
    /// In this cookie.
    Cookie(String),
}

impl Presented {
    /// Where it stands.
    pub fn place(&self) -> &Found {
        &self.place
    }

    /// Whether it came as `Authorization: DPoP` (RFC 9449 section 7.1).
    pub fn is_dpop(&self) -> bool {
        self.is_authorization()
            && self
                .value
                .expose()
                .split_once(' ')
                .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(DPOP))
    }

    /// Whether it came in `Authorization`.
    pub fn is_authorization(&self) -> bool {
        self.place == Found::Header(AUTHORIZATION.to_owned())
    }
}

impl Credential {
    /// Reads the credential. `places` are those that the policy names.
    pub(super) fn read(
        pairs: &[Pair<'_>],
        query: Option<&str>,
        places: &[Place],
    ) -> Result<Self, Refusal> {
        if places
            .iter()
            .any(|place| matches!(place, Place::Cookie { .. }))
        {
            refuse_odd_cookies(pairs)?;
        }
        let mut found = Vec::new();
        for (name, _) in pairs {
            if let Some(known) = known_header(name, places) {
                found.push(Found::Header(known.to_owned()));
            }
        }
        for (name, _) in parameters(query) {
            if names_a_key(name, places) {
                found.push(Found::Query(name.to_owned()));
            }
        }
        for (name, _) in cookies(pairs) {
            if is_cookie_of(name, places) {
                found.push(Found::Cookie(name.to_owned()));
            }
        }
        let place = match (found.pop(), found.is_empty()) {
            (None, _) => return Ok(Self::None),
            (Some(_), false) => return Ok(Self::Repeated),
            (Some(place), true) => place,
        };
        if matches!(place, Found::Query(_)) && query.is_some_and(|query| query.contains(';')) {
            // Nobody knows which of the two ways of parting a query the upstream takes, so nothing can be taken out of it.
            return Err(Refusal::new(
                Code::PathAmbiguous,
                "a query that carries a credential must not have `;` in it",
            ));
        }
        let value = match &place {
            Found::Header(name) => header_value(pairs, name)?,
            Found::Query(name) => parameters(query)
                .find(|(found, _)| found == name)
                .map(|(_, value)| value),
            Found::Cookie(name) => cookies(pairs)
                .find(|(found, _)| found == name)
                .map(|(_, value)| value),
        };
        let value = value.unwrap_or_default();
        // WHY: gateways join repeated headers of this name with a comma (RFC 9110 section 5.3).
        if place == Found::Header(AUTHORIZATION.to_owned())
            && value.split(',').skip(1).any(names_a_scheme)
        {
            return Ok(Self::Repeated);
        }
        Ok(Self::One(Presented {
            place,
            value: SecretText::new(value),
        }))
    }
}

/// The target without the parameter that carried a credential: the upstream does not see it.
pub(crate) fn without_parameter(target: &str, name: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|part| part.split('=').next() != Some(name))
        .collect();
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
}

/// The cookies without the one that carried a credential; none when it was the only one.
pub(crate) fn without_cookie(pairs: &[Pair<'_>], name: &str) -> Option<String> {
    let kept: Vec<String> = cookies(pairs)
        .filter(|(found, _)| *found != name)
        .map(|(found, value)| format!("{found}={value}"))
        .collect();
    (!kept.is_empty()).then(|| kept.join("; "))
}

/// Whether a header or trailer of this name carries a credential or a proof of one's key.
pub(crate) fn is_credential(name: &[u8], places: &[Place]) -> bool {
    known_header(name, places).is_some() || folded_eq(name, b"dpop")
}

/// The name in lower case, if a header of this name carries a credential.
fn known_header<'p>(name: &[u8], places: &'p [Place]) -> Option<&'p str> {
    let named = places.iter().filter_map(|place| match place {
        Place::Header { name, .. } => Some(name.as_str()),
        Place::Query { .. } | Place::Cookie { .. } => None,
    });
    HEADERS
        .iter()
        .copied()
        .chain(named)
        .find(|known| folded_eq(name, known.as_bytes()))
}

/// The value under a name, in whichever spelling the name came.
fn header_value<'a>(pairs: &[Pair<'a>], name: &str) -> Result<Option<&'a str>, Refusal> {
    let spelled = pairs
        .iter()
        .map(|(spelled, _)| *spelled)
        .find(|spelled| folded_eq(spelled, name.as_bytes()));
    match spelled {
        Some(spelled) => text(pairs, spelled),
        None => Ok(None),
    }
}

/// The parameters of a query, as they are written. `;` parts them too, as some servers read it.
fn parameters(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    query
        .into_iter()
        .flat_map(|query| query.split(['&', ';']))
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// The cookies of all cookie headers (RFC 6265 section 4.2.1; HTTP/2 may part them, RFC 9113 section 8.2.3). What is not
/// text carries none that we know.
fn cookies<'a>(pairs: &[Pair<'a>]) -> impl Iterator<Item = (&'a str, &'a str)> {
    pairs
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"cookie"))
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(';'))
        .map(|part| part.trim_matches([' ', '\t']))
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// Refuses cookies that are no text, where one could be a credential: the upstream would see one beside that which was judged.
fn refuse_odd_cookies(pairs: &[Pair<'_>]) -> Result<(), Refusal> {
    let mut cookies = pairs.iter().filter(|(name, _)| folded_eq(name, b"cookie"));
    if cookies.all(|(_, value)| value.is_ascii()) {
        Ok(())
    } else {
        Err(Refusal::new(
            Code::HeadInvalid,
            "a cookie header has bytes outside of visible ASCII",
        ))
    }
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

/// Whether a query parameter of this name carries a credential, as the upstream decodes the name. What does not decode could be
/// any.
fn names_a_key(name: &str, places: &[Place]) -> bool {
    let Some(name) = percent_decoded(name) else {
        return true;
    };
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let named = |place: &Place| matches!(place, Place::Query { name: known } if is(known));
    PARAMETERS.iter().any(|known| is(known)) || places.iter().any(named)
}

/// A text without its percent-encoding (RFC 3986 section 2.1); none when a `%` begins no octet.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from((high << 4) | low).ok()?
            }
            _ => byte,
        });
    }
    Some(decoded)
}

fn is_cookie_of(name: &str, places: &[Place]) -> bool {
    // Names are case-sensitive (RFC 6265 section 4.1.1), but servers differ: every spelling counts.
    places.iter().any(
        |place| matches!(place, Place::Cookie { name: known } if name.eq_ignore_ascii_case(known)),
    )
}
