//! The issuers of the tests: the key sets they publish, and the tokens they sign.
//!
//! Decided here: how a token of a scenario is made, valid or broken in one named way. Nothing here is random: the
//! same request at the same second is the same bytes. Signatures are made with the RustCrypto crates directly, so
//! that what the product verifies was not made by the product's own code.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::certificates;
use crate::keys::{self, b64, sign};

/// What an issuer publishes: (`kid`, key, algorithm); a key without an algorithm is for all of its kind.
type Published = &'static [(&'static str, &'static str, Option<&'static str>)];

/// The key sets. `partner` publishes one of its keys under a `kid` of `corp`: a key is (issuer, kid, algorithm).
/// `corp-wide` and `corp-secret` are other sets of the issuer `corp`: every asymmetric algorithm, and a shared secret.
const SETS: &[(&str, Published)] = &[
    (
        "corp",
        &[
            ("corp-rsa", "corp-rsa", Some("RS256")),
            ("corp-ec", "corp-ec", Some("ES256")),
            ("corp-ed", "corp-ed", Some("EdDSA")),
        ],
    ),
    (
        "partner",
        &[
            ("partner-rsa", "partner-rsa", Some("RS256")),
            ("corp-ec", "partner-ec", Some("ES256")),
        ],
    ),
    (
        "corp-wide",
        &[
            ("corp-rsa", "corp-rsa", None),
            ("corp-ec", "corp-ec", None),
            ("corp-p384", "corp-p384", None),
            ("corp-p521", "corp-p521", None),
            ("corp-ed", "corp-ed", None),
        ],
    ),
    ("corp-secret", &[("corp-hs", "corp-hs", None)]),
];

/// `iss` of the issuer `corp`.
pub const CORP: &str = "https://idp.example.com";
/// `iss` of the issuer `partner`.
pub const PARTNER: &str = "https://partner.example.net";

/// Why a token or a key set of a scenario cannot be made: a mistake in the scenario file.
#[derive(Debug)]
pub enum IssuerFault {
    /// No key of this name.
    UnknownKey(String),
    /// No issuer of this name.
    UnknownIssuer(String),
    /// A key file does not hold what its kind needs.
    BadKey(&'static str),
    /// A claim such as `now+60` that does not compute.
    BadClaim(String),
    /// No certificate of this name.
    UnknownCertificate(String),
    /// `${...}` that stands for nothing.
    UnknownReference(String),
    /// `${token}` stands in a request for which no token is made.
    NoToken,
}

impl fmt::Display for IssuerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IssuerFault::UnknownKey(name) => write!(f, "no test key is named `{name}`"),
            IssuerFault::UnknownIssuer(name) => write!(f, "no test issuer is named `{name}`"),
            IssuerFault::BadKey(why) => write!(f, "a test key is unusable: {why}"),
            IssuerFault::BadClaim(text) => write!(
                f,
                "`{text}` is neither `now`, `now-N` nor `now+N` with N seconds"
            ),
            IssuerFault::UnknownCertificate(name) => {
                write!(f, "no test certificate is named `{name}`")
            }
            IssuerFault::UnknownReference(text) => write!(f, "`{text}` stands for nothing"),
            IssuerFault::NoToken => f.write_str("`${token}` stands in a request without a token"),
        }
    }
}

impl std::error::Error for IssuerFault {}

/// A token that a scenario asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenSpec {
    /// `alg` of the header, as written; it signs where the kind of `key` allows it.
    pub alg: String,
    /// The key that signs.
    pub key: String,
    /// `kid` of the header; default the key's name, `null` leaves it out.
    pub kid: Value,
    /// `typ` of the header; `null` leaves it out.
    pub typ: Value,
    /// More header members; they replace the others.
    pub header: Map<String, Value>,
    /// Claims over the defaults; `null` takes a default away, `now-60` is computed, `${x5t:NAME}` and `${jkt:KEY}` are
    /// replaced at any depth.
    pub claims: Map<String, Value>,
    /// The payload as this text instead of claims, for payloads that no JSON writer makes.
    pub payload: Option<String>,
    /// Adds a claim of so many letters.
    pub pad: usize,
    /// The authentication scheme in front of the token; `null`: it is not sent but where `${token}` stands.
    pub scheme: Option<String>,
    /// What is broken after signing.
    pub tamper: Tamper,
}

impl Default for TokenSpec {
    fn default() -> Self {
        TokenSpec {
            alg: "RS256".to_owned(),
            key: "corp-rsa".to_owned(),
            kid: json!("${key}"),
            typ: json!("JWT"),
            header: Map::new(),
            claims: Map::new(),
            payload: None,
            pad: 0,
            scheme: Some("Bearer".to_owned()),
            tamper: Tamper::None,
        }
    }
}

/// What is done to a token after it was signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tamper {
    /// Nothing.
    #[default]
    None,
    /// One bit of the signature is turned.
    Signature,
    /// The subject is replaced after signing.
    Payload,
    /// The signature is empty.
    Unsigned,
    /// ECDSA only: the signature as DER instead of `r || s`.
    Der,
    /// The last character of the signature carries bits that decoding throws away.
    Noncanonical,
    /// Each part carries the padding that JWS forbids.
    Padded,
}

/// The public key set of an issuer (RFC 7517), as the policy carries it inline.
pub fn jwks(issuer: &str) -> Result<Value, IssuerFault> {
    let (_, published) = SETS
        .iter()
        .find(|(name, _)| *name == issuer)
        .ok_or_else(|| IssuerFault::UnknownIssuer(issuer.to_owned()))?;
    let keys = published
        .iter()
        .map(|(kid, key, alg)| published_key(kid, key, *alg))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "keys": keys }))
}

/// The token in compact form (RFC 7515 §7.1) at `now`, in seconds since 1970.
///
/// # Errors
/// When the spec names what does not exist.
pub fn token(spec: &TokenSpec, now: u64) -> Result<String, IssuerFault> {
    let claims = claims(spec, now)?;
    let payload = match &spec.payload {
        Some(text) => text.clone(),
        None => Value::Object(claims.clone()).to_string(),
    };
    let mut other = claims;
    other.insert("sub".to_owned(), json!("mallory"));
    compact(&Signing {
        header: Value::Object(header(spec)?).to_string(),
        payload,
        other: Value::Object(other).to_string(),
        key: &spec.key,
        alg: &spec.alg,
        tamper: spec.tamper,
    })
}

/// What becomes a JWS, and how it is broken.
pub(crate) struct Signing<'a> {
    pub(crate) header: String,
    pub(crate) payload: String,
    /// The payload that takes the place of the signed one ([`Tamper::Payload`]).
    pub(crate) other: String,
    pub(crate) key: &'a str,
    pub(crate) alg: &'a str,
    pub(crate) tamper: Tamper,
}

/// A JWS in compact form (RFC 7515 §7.1).
pub(crate) fn compact(signing: &Signing<'_>) -> Result<String, IssuerFault> {
    let Signing {
        header,
        payload,
        other,
        key,
        alg,
        tamper,
    } = signing;
    let header = b64(header.as_bytes());
    let payload = b64(payload.as_bytes());
    let signed = format!("{header}.{payload}");
    let signature = sign(key, alg, signed.as_bytes(), *tamper == Tamper::Der)?;
    Ok(match tamper {
        Tamper::None | Tamper::Der => format!("{signed}.{}", b64(&signature)),
        Tamper::Unsigned => format!("{signed}."),
        Tamper::Signature => {
            let turned: Vec<u8> = signature
                .iter()
                .enumerate()
                .map(|(at, byte)| if at == 20 { byte ^ 1 } else { *byte })
                .collect();
            format!("{signed}.{}", b64(&turned))
        }
        Tamper::Payload => format!("{header}.{}.{}", b64(other.as_bytes()), b64(&signature)),
        Tamper::Noncanonical => format!("{signed}.{}", loosened(&b64(&signature))),
        Tamper::Padded => format!(
            "{}.{}.{}",
            padded(&header),
            padded(&payload),
            padded(&b64(&signature))
        ),
    })
}

fn header(spec: &TokenSpec) -> Result<Map<String, Value>, IssuerFault> {
    let mut header = Map::new();
    header.insert("alg".to_owned(), json!(spec.alg));
    let kid = if spec.kid == json!("${key}") {
        json!(spec.key)
    } else {
        spec.kid.clone()
    };
    for (name, value) in [("kid", kid), ("typ", spec.typ.clone())] {
        if !value.is_null() {
            header.insert(name.to_owned(), value);
        }
    }
    merge(&mut header, &filled(&spec.header)?);
    Ok(header)
}

fn claims(spec: &TokenSpec, now: u64) -> Result<Map<String, Value>, IssuerFault> {
    let iss = if spec.key.starts_with("partner") {
        PARTNER
    } else {
        CORP
    };
    let mut claims = Map::new();
    for (name, value) in [
        ("iss", json!(iss)),
        ("aud", json!("inference")),
        ("sub", json!("alice")),
        ("org_id", json!("acme")),
        ("roles", json!(["researcher"])),
        (
            "scope",
            json!(
                "model:*:chat model:*:completions model:*:responses model:*:embeddings model:*:models"
            ),
        ),
        ("iat", json!(now)),
        ("exp", json!(now + 300)),
    ] {
        claims.insert(name.to_owned(), value);
    }
    let mut over = filled(&spec.claims)?;
    for value in over.values_mut() {
        *value = computed(value, now)?;
    }
    merge(&mut claims, &over);
    if spec.pad > 0 {
        claims.insert("pad".to_owned(), json!("p".repeat(spec.pad)));
    }
    Ok(claims)
}

/// `over` on top of `under`; `null` takes away.
pub(crate) fn merge(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (name, value) in over {
        if value.is_null() {
            under.remove(name);
        } else {
            under.insert(name.clone(), value.clone());
        }
    }
}

/// `now`, `now-60` and `now+60` become seconds since 1970; everything else stays.
pub(crate) fn computed(value: &Value, now: u64) -> Result<Value, IssuerFault> {
    let Some(rest) = value.as_str().and_then(|text| text.strip_prefix("now")) else {
        return Ok(value.clone());
    };
    let bad = || IssuerFault::BadClaim(format!("now{rest}"));
    let at = if rest.is_empty() {
        Some(now)
    } else if let Some(seconds) = rest.strip_prefix('-') {
        now.checked_sub(seconds.parse().map_err(|_| bad())?)
    } else if let Some(seconds) = rest.strip_prefix('+') {
        now.checked_add(seconds.parse().map_err(|_| bad())?)
    } else {
        None
    };
    at.map(|at| json!(at)).ok_or_else(bad)
}

/// The members with every text `${...}` in them replaced by what it stands for.
pub(crate) fn filled(members: &Map<String, Value>) -> Result<Map<String, Value>, IssuerFault> {
    members
        .iter()
        .map(|(name, value)| Ok((name.clone(), filled_value(value)?)))
        .collect()
}

fn filled_value(value: &Value) -> Result<Value, IssuerFault> {
    Ok(match value {
        Value::Object(members) => Value::Object(filled(members)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(filled_value).collect::<Result<_, _>>()?)
        }
        Value::String(text) if text.starts_with("${") => referred(text)?,
        other => other.clone(),
    })
}

/// `${x5t:NAME}`: the certificate's SHA-256 (RFC 8705 §3.1); `${jkt:KEY}`: the key's thumbprint (RFC 9449 §6.1);
/// `${jwk:KEY}` and `${private:KEY}`: the key itself, its public half or all of it.
fn referred(text: &str) -> Result<Value, IssuerFault> {
    let unknown = || IssuerFault::UnknownReference(text.to_owned());
    let (kind, name) = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .and_then(|rest| rest.split_once(':'))
        .ok_or_else(unknown)?;
    Ok(match kind {
        "x5t" => certificates::by_name(name)
            .map(|certificate| json!(b64(&certificate.sha256())))
            .ok_or_else(|| IssuerFault::UnknownCertificate(name.to_owned()))?,
        "jkt" => json!(keys::thumbprint(name)?),
        "jwk" => Value::Object(keys::public(name)?),
        "private" => keys::private(name)?,
        _ => return Err(unknown()),
    })
}

/// The public half of a key under a `kid`.
fn published_key(kid: &str, key: &str, alg: Option<&str>) -> Result<Value, IssuerFault> {
    let mut out = keys::public(key)?;
    for (name, value) in [("kid", Some(kid)), ("alg", alg), ("use", Some("sig"))] {
        if let Some(value) = value {
            out.insert(name.to_owned(), json!(value));
        }
    }
    Ok(Value::Object(out))
}

fn padded(part: &str) -> String {
    let missing = (4 - part.len() % 4) % 4;
    format!("{part}{}", "=".repeat(missing))
}

/// The same bytes to a loose decoder: the unused low bits of the last character are set.
fn loosened(part: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = part.as_bytes().last().copied().unwrap_or(b'A');
    let value = ALPHABET.iter().position(|at| *at == last).unwrap_or(0);
    let next = ALPHABET.get(value | 1).copied().unwrap_or(b'B');
    format!("{}{}", &part[..part.len() - 1], char::from(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_key_is_public_and_signs() {
        for (issuer, published) in SETS {
            let set = jwks(issuer).unwrap().to_string();
            for member in ["\"d\"", "\"p\"", "\"q\""] {
                assert!(!set.contains(member), "{issuer} publishes {member}");
            }
            for (_, key, _) in *published {
                assert!(!sign(key, "", b"text", false).unwrap().is_empty());
            }
        }
    }

    #[test]
    fn references_stand_for_certificates_and_keys_at_any_depth() {
        let mut spec = TokenSpec::default();
        spec.claims.insert(
            "cnf".to_owned(),
            json!({ "x5t#S256": "${x5t:research}", "jkt": "${jkt:client-ec}" }),
        );
        let confirmed = &claims(&spec, 1000).unwrap()["cnf"];
        let certificate = certificates::by_name("research").unwrap();
        assert_eq!(confirmed["x5t#S256"], b64(&certificate.sha256()));
        assert_eq!(confirmed["jkt"], keys::thumbprint("client-ec").unwrap());
        for wrong in ["${x5t:nobody}", "${jkt:nobody}", "${secret:x}", "${token"] {
            spec.claims.insert("cnf".to_owned(), json!([wrong]));
            assert!(claims(&spec, 1000).is_err(), "{wrong}");
        }
    }

    #[test]
    fn claims_are_merged_computed_and_taken_away() {
        let mut spec = TokenSpec::default();
        spec.claims.insert("exp".to_owned(), json!("now-60"));
        spec.claims.insert("aud".to_owned(), Value::Null);
        let claims = claims(&spec, 1000).unwrap();
        assert_eq!(claims.get("exp"), Some(&json!(940)));
        assert_eq!(claims.get("aud"), None);
        assert!(computed(&json!("now*2"), 1000).is_err());
    }

    #[test]
    fn the_same_spec_and_second_give_the_same_token() {
        for key in ["corp-rsa", "corp-ec", "corp-ed"] {
            let spec = TokenSpec {
                key: key.to_owned(),
                ..TokenSpec::default()
            };
            assert_eq!(token(&spec, 5).unwrap(), token(&spec, 5).unwrap(), "{key}");
        }
    }

    #[test]
    fn a_loosened_part_decodes_to_the_same_bytes_only_for_a_loose_reader() {
        let spec = TokenSpec {
            tamper: Tamper::Noncanonical,
            ..TokenSpec::default()
        };
        let loose = token(&spec, 5).unwrap();
        let strict = token(&TokenSpec::default(), 5).unwrap();
        assert_ne!(loose, strict);
        assert_eq!(loose.len(), strict.len());
    }
}
