//! What is wrong with issuers as the policy says them, and where.

use super::{MAX_LEEWAY_SECONDS, MAX_NAME_BYTES, MAX_VALUE_BYTES};
use crate::token::algorithm::Alg;
use std::fmt;

/// Why an issuer does not load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerFault {
    /// The name is not 1 to 64 ASCII letters, digits, `-`, `_`, `.`.
    NameInvalid,
    /// `issuer` is empty, too long, or has white space or control characters.
    IssuerInvalid,
    /// No audience.
    AudiencesEmpty,
    /// This audience (from 0) is empty, too long, has white space or control characters, or stands twice.
    AudienceInvalid(usize),
    /// No algorithm.
    AlgorithmsEmpty,
    /// This algorithm stands twice.
    AlgorithmTwice(Alg),
    /// No key of the issuer fits this algorithm.
    AlgorithmWithoutKey(Alg),
    /// The leeway is above [`MAX_LEEWAY_SECONDS`].
    LeewayTooLong,
    /// A maximal lifetime of zero would refuse every token.
    MaxLifetimeZero,
    /// A claim path is empty, too long, too deep, or has an empty name in it.
    ClaimPathInvalid(&'static str),
    /// No place for tokens.
    PlacesEmpty,
    /// This place (from 0) stands twice.
    PlaceTwice(usize),
    /// The header (from 0) that tells of tokens has a name that cannot be set, or stands twice.
    ToldInvalid(usize),
    /// The header (from 0) tells the tenant, and no claim is named for it.
    ToldWithoutTenant(usize),
}

/// Why issuers do not stand together; the index is that of the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuersFault {
    /// The name of an earlier issuer.
    NameTwice(usize),
    /// The `iss` of an earlier issuer.
    IssuerTwice(usize),
    /// This place (from 0) of the issuer is a header that another place reads otherwise: with a scheme here, without there.
    PlaceAmbiguous {
        /// The issuer.
        issuer: usize,
        /// Its place.
        place: usize,
    },
    /// The issuer tells of its tokens in a header in which credentials stand.
    ToldOverCredential(usize),
}

impl IssuerFault {
    /// The field of the policy that is at fault, below the issuer.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            IssuerFault::NameInvalid => "name".to_string(),
            IssuerFault::IssuerInvalid => "issuer".to_string(),
            IssuerFault::AudiencesEmpty => "audiences".to_string(),
            IssuerFault::AudienceInvalid(index) => format!("audiences[{index}]"),
            IssuerFault::AlgorithmsEmpty
            | IssuerFault::AlgorithmTwice(_)
            | IssuerFault::AlgorithmWithoutKey(_) => "algorithms".to_string(),
            IssuerFault::LeewayTooLong => "leeway".to_string(),
            IssuerFault::MaxLifetimeZero => "maxLifetime".to_string(),
            IssuerFault::ClaimPathInvalid(of) => (*of).to_string(),
            IssuerFault::PlacesEmpty => "from".to_string(),
            IssuerFault::PlaceTwice(index) => format!("from[{index}]"),
            IssuerFault::ToldInvalid(_) | IssuerFault::ToldWithoutTenant(_) => {
                "forward.headers".to_string()
            }
        }
    }
}

impl fmt::Display for IssuerFault {
    /// What is wrong, to stand behind the path of the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IssuerFault::NameInvalid => write!(
                f,
                "must be 1 to {MAX_NAME_BYTES} ASCII letters, digits, `-`, `_` or `.`"
            ),
            IssuerFault::IssuerInvalid => write!(
                f,
                "must be 1 to {MAX_VALUE_BYTES} bytes without white space or control characters"
            ),
            IssuerFault::AudiencesEmpty => f.write_str("at least one audience is required"),
            IssuerFault::AudienceInvalid(_) => write!(
                f,
                "must be 1 to {MAX_VALUE_BYTES} bytes without white space or control characters, and stand once"
            ),
            IssuerFault::AlgorithmsEmpty => f.write_str("at least one algorithm is required"),
            IssuerFault::AlgorithmTwice(alg) => write!(f, "{alg} stands twice"),
            IssuerFault::AlgorithmWithoutKey(alg) => {
                write!(f, "{alg} is named, and no key of the issuer fits it")
            }
            IssuerFault::LeewayTooLong => {
                write!(f, "must be at most {MAX_LEEWAY_SECONDS} seconds")
            }
            IssuerFault::MaxLifetimeZero => f.write_str("must not be zero"),
            IssuerFault::ClaimPathInvalid(_) => {
                f.write_str("must be a claim, or the names of claims joined by dots")
            }
            IssuerFault::PlacesEmpty => f.write_str("at least one place is required"),
            IssuerFault::PlaceTwice(_) => f.write_str("stands twice"),
            IssuerFault::ToldInvalid(_) => f.write_str(
                "must be `x-` and lower-case letters, digits or `-`, stand once, and not be one by which gateways or upstreams are steered",
            ),
            IssuerFault::ToldWithoutTenant(_) => {
                f.write_str("a header tells the tenant, and `claims.tenant` names no claim")
            }
        }
    }
}

impl std::error::Error for IssuerFault {}

impl fmt::Display for IssuersFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IssuersFault::NameTwice(_) => f.write_str("another issuer has this name"),
            IssuersFault::IssuerTwice(_) => f.write_str("another issuer has this `issuer`"),
            IssuersFault::PlaceAmbiguous { .. } => f.write_str(
                "another place reads this header otherwise: give both a scheme, or neither",
            ),
            IssuersFault::ToldOverCredential(_) => f.write_str(
                "a header that carries credentials cannot tell of them; choose another name",
            ),
        }
    }
}

impl std::error::Error for IssuersFault {}
