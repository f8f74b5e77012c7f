//! The issuers of the tests: fixed keys, the key sets they publish, and the tokens they sign.
//!
//! Decided here: how a token of a scenario is made, valid or broken in one named way. Nothing here is random: the
//! same request at the same second is the same bytes. Signatures are made with the RustCrypto crates directly, so
//! that what the product verifies was not made by the product's own code.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::BigUint;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use signature::{SignatureEncoding as _, Signer as _};

/// A key pair of the tests: its name and the text of its private JWK.
struct Pair {
    name: &'static str,
    jwk: &'static str,
}

const PAIRS: &[Pair] = &[
    Pair {
        name: "corp-rsa",
        jwk: include_str!("../keys/corp-rsa.json"),
    },
    Pair {
        name: "corp-ec",
        jwk: include_str!("../keys/corp-ec.json"),
    },
    Pair {
        name: "corp-ed",
        jwk: include_str!("../keys/corp-ed.json"),
    },
    Pair {
        name: "partner-rsa",
        jwk: include_str!("../keys/partner-rsa.json"),
    },
    Pair {
        name: "partner-ec",
        jwk: include_str!("../keys/partner-ec.json"),
    },
    Pair {
        name: "stranger-rsa",
        jwk: include_str!("../keys/stranger-rsa.json"),
    },
    Pair {
        name: "stranger-ec",
        jwk: include_str!("../keys/stranger-ec.json"),
    },
];

/// What an issuer publishes: (`kid`, key, algorithm).
type Published = &'static [(&'static str, &'static str, &'static str)];

/// The key sets. `partner` publishes one of its keys under a `kid` of `corp`: a key is (issuer, kid, algorithm).
const SETS: &[(&str, Published)] = &[
    (
        "corp",
        &[
            ("corp-rsa", "corp-rsa", "RS256"),
            ("corp-ec", "corp-ec", "ES256"),
            ("corp-ed", "corp-ed", "EdDSA"),
        ],
    ),
    (
        "partner",
        &[
            ("partner-rsa", "partner-rsa", "RS256"),
            ("corp-ec", "partner-ec", "ES256"),
        ],
    ),
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
        }
    }
}

impl std::error::Error for IssuerFault {}

/// A token that a scenario asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenSpec {
    /// `alg` of the header, as written; what signs is the kind of `key`.
    pub alg: String,
    /// The key that signs.
    pub key: String,
    /// `kid` of the header; default the key's name, `null` leaves it out.
    pub kid: Value,
    /// `typ` of the header; `null` leaves it out.
    pub typ: Value,
    /// More header members; they replace the others.
    pub header: Map<String, Value>,
    /// Claims over the defaults; `null` takes a default away, `now-60` is computed.
    pub claims: Map<String, Value>,
    /// The payload as this text instead of claims, for payloads that no JSON writer makes.
    pub payload: Option<String>,
    /// Adds a claim of so many letters.
    pub pad: usize,
    /// The authentication scheme in front of the token.
    pub scheme: String,
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
            scheme: "Bearer".to_owned(),
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
        .map(|(kid, key, alg)| public(kid, key, alg))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "keys": keys }))
}

/// The token in compact form (RFC 7515 §7.1) at `now`, in seconds since 1970.
pub fn token(spec: &TokenSpec, now: u64) -> Result<String, IssuerFault> {
    let header = b64(Value::Object(header(spec)).to_string().as_bytes());
    let claims = claims(spec, now)?;
    let payload = match &spec.payload {
        Some(text) => b64(text.as_bytes()),
        None => b64(Value::Object(claims.clone()).to_string().as_bytes()),
    };
    let signed = format!("{header}.{payload}");
    let signature = sign(&spec.key, signed.as_bytes(), spec.tamper == Tamper::Der)?;
    Ok(match spec.tamper {
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
        Tamper::Payload => {
            let mut other = claims;
            other.insert("sub".to_owned(), json!("mallory"));
            format!(
                "{header}.{}.{}",
                b64(Value::Object(other).to_string().as_bytes()),
                b64(&signature)
            )
        }
        Tamper::Noncanonical => format!("{signed}.{}", loosened(&b64(&signature))),
        Tamper::Padded => format!(
            "{}.{}.{}",
            padded(&header),
            padded(&payload),
            padded(&b64(&signature))
        ),
    })
}

fn header(spec: &TokenSpec) -> Map<String, Value> {
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
    merge(&mut header, &spec.header);
    header
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
    let mut over = Map::new();
    for (name, value) in &spec.claims {
        over.insert(name.clone(), computed(value, now)?);
    }
    merge(&mut claims, &over);
    if spec.pad > 0 {
        claims.insert("pad".to_owned(), json!("p".repeat(spec.pad)));
    }
    Ok(claims)
}

/// `over` on top of `under`; `null` takes away.
fn merge(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (name, value) in over {
        if value.is_null() {
            under.remove(name);
        } else {
            under.insert(name.clone(), value.clone());
        }
    }
}

/// `now`, `now-60` and `now+60` become seconds since 1970; everything else stays.
fn computed(value: &Value, now: u64) -> Result<Value, IssuerFault> {
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

/// A private key, ready to sign.
enum Signer {
    Rsa(Box<rsa::pkcs1v15::SigningKey<Sha256>>),
    P256(p256::ecdsa::SigningKey),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

fn sign(key: &str, text: &[u8], der: bool) -> Result<Vec<u8>, IssuerFault> {
    // Making an RSA key costs more than signing with it.
    static SIGNERS: OnceLock<BTreeMap<&str, Signer>> = OnceLock::new();
    let signers = SIGNERS.get_or_init(|| {
        PAIRS
            .iter()
            .filter_map(|pair| signer(pair.name).ok().map(|signer| (pair.name, signer)))
            .collect()
    });
    match signers
        .get(key)
        .ok_or_else(|| IssuerFault::UnknownKey(key.to_owned()))?
    {
        Signer::Rsa(pair) => Ok(pair.sign(text).to_vec()),
        Signer::P256(pair) => {
            let signature: p256::ecdsa::Signature = pair.sign(text);
            Ok(if der {
                signature.to_der().as_bytes().to_vec()
            } else {
                signature.to_vec()
            })
        }
        Signer::Ed25519(pair) => Ok(pair.sign(text).to_vec()),
    }
}

fn signer(key: &str) -> Result<Signer, IssuerFault> {
    let jwk = private(key)?;
    match jwk["kty"].as_str() {
        Some("RSA") => {
            let pair = rsa::RsaPrivateKey::from_p_q(
                number(&jwk, "p")?,
                number(&jwk, "q")?,
                number(&jwk, "e")?,
            )
            .map_err(|_| IssuerFault::BadKey("RSA primes"))?;
            Ok(Signer::Rsa(Box::new(rsa::pkcs1v15::SigningKey::new(pair))))
        }
        Some("EC") => p256::ecdsa::SigningKey::from_slice(&bytes(&jwk, "d")?)
            .map(Signer::P256)
            .map_err(|_| IssuerFault::BadKey("P-256 scalar")),
        Some("OKP") => {
            let seed: [u8; 32] = bytes(&jwk, "d")?
                .try_into()
                .map_err(|_| IssuerFault::BadKey("Ed25519 seed length"))?;
            Ok(Signer::Ed25519(Box::new(
                ed25519_dalek::SigningKey::from_bytes(&seed),
            )))
        }
        _ => Err(IssuerFault::BadKey("kty")),
    }
}

/// The public half of a key under a `kid`, private members left behind.
fn public(kid: &str, key: &str, alg: &str) -> Result<Value, IssuerFault> {
    let jwk = private(key)?;
    let mut out = Map::new();
    for name in ["kty", "crv", "x", "y", "n", "e"] {
        if let Some(value) = jwk.get(name) {
            out.insert(name.to_owned(), value.clone());
        }
    }
    for (name, value) in [("kid", kid), ("alg", alg), ("use", "sig")] {
        out.insert(name.to_owned(), json!(value));
    }
    Ok(Value::Object(out))
}

fn private(key: &str) -> Result<Value, IssuerFault> {
    let pair = PAIRS
        .iter()
        .find(|pair| pair.name == key)
        .ok_or_else(|| IssuerFault::UnknownKey(key.to_owned()))?;
    serde_json::from_str(pair.jwk).map_err(|_| IssuerFault::BadKey("not JSON"))
}

fn bytes(jwk: &Value, member: &'static str) -> Result<Vec<u8>, IssuerFault> {
    let text = jwk[member].as_str().ok_or(IssuerFault::BadKey(member))?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| IssuerFault::BadKey(member))
}

fn number(jwk: &Value, member: &'static str) -> Result<BigUint, IssuerFault> {
    Ok(BigUint::from_bytes_be(&bytes(jwk, member)?))
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
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
    fn every_published_key_is_public_and_every_key_signs() {
        for pair in PAIRS {
            assert!(signer(pair.name).is_ok(), "{}", pair.name);
        }
        for (issuer, published) in SETS {
            let set = jwks(issuer).unwrap().to_string();
            for member in ["\"d\"", "\"p\"", "\"q\""] {
                assert!(!set.contains(member), "{issuer} publishes {member}");
            }
            for (_, key, _) in *published {
                assert!(!sign(key, b"text", false).unwrap().is_empty());
            }
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
