//! The keys of the tests: fixed pairs and secrets, and what they sign.
//!
//! Decided here: which key signs how. `alg` chooses among what the kind of the key allows (RFC 7518 §3.1, RFC 8037 §3.1); an
//! `alg` of another kind leaves the kind's first one, so that a header can lie about its signature. Nothing is random.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use rsa::BigUint;
use rsa::rand_core::{CryptoRng, Error, RngCore};
use rsa::signature::RandomizedSigner as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use signature::{SignatureEncoding as _, Signer as _};

use crate::issuer::IssuerFault;

/// A key of the tests: its name and the text of its private JWK.
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    jwk: &'static str,
}

macro_rules! pair {
    ($name:literal) => {
        Pair {
            name: $name,
            jwk: include_str!(concat!("../keys/", $name, ".json")),
        }
    };
}

pub(crate) const PAIRS: &[Pair] = &[
    pair!("corp-rsa"),
    pair!("corp-ec"),
    pair!("corp-p384"),
    pair!("corp-p521"),
    pair!("corp-ed"),
    pair!("corp-hs"),
    pair!("corp-rsa-public"),
    pair!("partner-rsa"),
    pair!("partner-ec"),
    pair!("stranger-rsa"),
    pair!("stranger-ec"),
    pair!("client-rsa"),
    pair!("client-ec"),
    pair!("client-ed"),
];

/// A private key, ready to sign.
enum Signer {
    Rsa(Box<rsa::RsaPrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(Box<p521::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Secret(Vec<u8>),
}

/// The signature of a text in the form of JWS; ECDSA as DER where `der` says so.
pub(crate) fn sign(key: &str, alg: &str, text: &[u8], der: bool) -> Result<Vec<u8>, IssuerFault> {
    // Making an RSA key costs more than signing with it.
    static SIGNERS: OnceLock<BTreeMap<&str, Signer>> = OnceLock::new();
    let signers = SIGNERS.get_or_init(|| {
        PAIRS
            .iter()
            .filter_map(|pair| signer(pair.name).ok().map(|signer| (pair.name, signer)))
            .collect()
    });
    macro_rules! ecdsa {
        ($signature:expr) => {{
            let signature = $signature;
            if der {
                signature.to_der().as_bytes().to_vec()
            } else {
                signature.to_vec()
            }
        }};
    }
    Ok(
        match signers
            .get(key)
            .ok_or_else(|| IssuerFault::UnknownKey(key.to_owned()))?
        {
            Signer::Rsa(pair) => rsa_signature(pair, alg, text),
            Signer::P256(pair) => ecdsa!(signature::Signer::<p256::ecdsa::Signature>::sign(
                pair, text
            )),
            Signer::P384(pair) => ecdsa!(signature::Signer::<p384::ecdsa::Signature>::sign(
                pair, text
            )),
            Signer::P521(pair) => ecdsa!(pair.sign_with_rng(&mut Fixed::of(text), text)),
            Signer::Ed25519(pair) => pair.sign(text).to_vec(),
            Signer::Secret(secret) => mac(secret, alg, text)?,
        },
    )
}

fn rsa_signature(pair: &rsa::RsaPrivateKey, alg: &str, text: &[u8]) -> Vec<u8> {
    use rsa::{pkcs1v15, pss};
    let pair = pair.clone();
    match alg {
        "RS384" => pkcs1v15::SigningKey::<Sha384>::new(pair)
            .sign(text)
            .to_vec(),
        "RS512" => pkcs1v15::SigningKey::<Sha512>::new(pair)
            .sign(text)
            .to_vec(),
        "PS256" => pss::SigningKey::<Sha256>::new(pair)
            .sign_with_rng(&mut Fixed::of(text), text)
            .to_vec(),
        "PS384" => pss::SigningKey::<Sha384>::new(pair)
            .sign_with_rng(&mut Fixed::of(text), text)
            .to_vec(),
        "PS512" => pss::SigningKey::<Sha512>::new(pair)
            .sign_with_rng(&mut Fixed::of(text), text)
            .to_vec(),
        _ => pkcs1v15::SigningKey::<Sha256>::new(pair)
            .sign(text)
            .to_vec(),
    }
}

fn mac(secret: &[u8], alg: &str, text: &[u8]) -> Result<Vec<u8>, IssuerFault> {
    macro_rules! of {
        ($hash:ty) => {
            Hmac::<$hash>::new_from_slice(secret)
                .map_err(|_| IssuerFault::BadKey("k"))?
                .chain_update(text)
                .finalize()
                .into_bytes()
                .to_vec()
        };
    }
    Ok(match alg {
        "HS384" => of!(Sha384),
        "HS512" => of!(Sha512),
        _ => of!(Sha256),
    })
}

/// What stands in for chance (the salt of PSS, the nonce of P-521): a stream of hashes over the text that is signed.
struct Fixed {
    state: [u8; 32],
}

impl Fixed {
    fn of(text: &[u8]) -> Self {
        Fixed {
            state: Sha256::digest(text).into(),
        }
    }
}

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(32) {
            self.state = Sha256::digest(self.state).into();
            piece.copy_from_slice(&self.state[..piece.len()]);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Fixed {}

fn signer(key: &str) -> Result<Signer, IssuerFault> {
    let jwk = private(key)?;
    let scalar = || bytes(&jwk, "d");
    match (jwk["kty"].as_str(), jwk["crv"].as_str()) {
        (Some("RSA"), None) => {
            rsa::RsaPrivateKey::from_p_q(number(&jwk, "p")?, number(&jwk, "q")?, number(&jwk, "e")?)
                .map(|pair| Signer::Rsa(Box::new(pair)))
                .map_err(|_| IssuerFault::BadKey("RSA primes"))
        }
        (Some("EC"), Some("P-256")) => p256::ecdsa::SigningKey::from_slice(&scalar()?)
            .map(Signer::P256)
            .map_err(|_| IssuerFault::BadKey("P-256 scalar")),
        (Some("EC"), Some("P-384")) => p384::ecdsa::SigningKey::from_slice(&scalar()?)
            .map(Signer::P384)
            .map_err(|_| IssuerFault::BadKey("P-384 scalar")),
        (Some("EC"), Some("P-521")) => p521::ecdsa::SigningKey::from_slice(&scalar()?)
            .map(|pair| Signer::P521(Box::new(pair)))
            .map_err(|_| IssuerFault::BadKey("P-521 scalar")),
        (Some("OKP"), Some("Ed25519")) => {
            let seed: [u8; 32] = scalar()?
                .try_into()
                .map_err(|_| IssuerFault::BadKey("Ed25519 seed length"))?;
            Ok(Signer::Ed25519(Box::new(
                ed25519_dalek::SigningKey::from_bytes(&seed),
            )))
        }
        (Some("oct"), None) => Ok(Signer::Secret(bytes(&jwk, "k")?)),
        _ => Err(IssuerFault::BadKey("kty")),
    }
}

/// The public half of a key (RFC 7517): private members left behind, a shared secret as it is.
pub(crate) fn public(key: &str) -> Result<Map<String, Value>, IssuerFault> {
    let jwk = private(key)?;
    let mut out = Map::new();
    for name in ["kty", "crv", "x", "y", "n", "e", "k"] {
        if let Some(value) = jwk.get(name) {
            out.insert(name.to_owned(), value.clone());
        }
    }
    Ok(out)
}

/// The whole key as its file holds it.
pub(crate) fn private(key: &str) -> Result<Value, IssuerFault> {
    let pair = PAIRS
        .iter()
        .find(|pair| pair.name == key)
        .ok_or_else(|| IssuerFault::UnknownKey(key.to_owned()))?;
    serde_json::from_str(pair.jwk).map_err(|_| IssuerFault::BadKey("not JSON"))
}

/// The SHA-256 thumbprint of the public key (RFC 7638 §3; RFC 8037 §2 for OKP) in base64url.
///
/// # Errors
/// When no key has this name.
pub fn thumbprint(key: &str) -> Result<String, IssuerFault> {
    // Sorted by name and without white space: the form that RFC 7638 hashes.
    let required: BTreeMap<String, Value> = public(key)?.into_iter().collect();
    let form = serde_json::to_string(&required).map_err(|_| IssuerFault::BadKey("thumbprint"))?;
    Ok(b64(&Sha256::digest(form)))
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

/// Base64url without padding (RFC 7515 §2).
pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each key with each algorithm of its kind, and the signature's length.
    const KINDS: &[(&str, &[&str], usize)] = &[
        (
            "corp-rsa",
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            256,
        ),
        ("corp-ec", &["ES256"], 64),
        ("corp-p384", &["ES384"], 96),
        ("corp-p521", &["ES512"], 132),
        ("corp-ed", &["EdDSA"], 64),
    ];

    #[test]
    fn every_key_signs_and_the_same_text_gives_the_same_bytes() {
        for pair in PAIRS {
            assert!(signer(pair.name).is_ok(), "{}", pair.name);
        }
        for (key, algorithms, length) in KINDS {
            let mut seen = Vec::new();
            for alg in *algorithms {
                let signature = sign(key, alg, b"text", false).unwrap();
                assert_eq!(signature.len(), *length, "{key} {alg}");
                assert_eq!(sign(key, alg, b"text", false).unwrap(), signature);
                assert!(!seen.contains(&signature), "{key} {alg}: as another one");
                seen.push(signature);
            }
        }
        for (alg, length) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
            assert_eq!(sign("corp-hs", alg, b"text", false).unwrap().len(), length);
        }
    }

    #[test]
    fn an_algorithm_of_another_kind_leaves_the_first_of_the_key() {
        for alg in ["none", "HS256", "ES256", ""] {
            assert_eq!(
                sign("corp-rsa", alg, b"text", false).unwrap(),
                sign("corp-rsa", "RS256", b"text", false).unwrap(),
                "{alg}"
            );
        }
    }

    #[test]
    fn the_public_half_keeps_nothing_private_and_its_thumbprint_is_of_the_required_members() {
        for pair in PAIRS {
            let text = Value::Object(public(pair.name).unwrap()).to_string();
            for member in ["\"d\"", "\"p\"", "\"q\"", "use_only"] {
                assert!(!text.contains(member), "{}: {member}", pair.name);
            }
        }
        let jwk = private("client-ec").unwrap();
        let form = format!(
            "{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":{},\"y\":{}}}",
            jwk["x"], jwk["y"]
        );
        assert_eq!(
            thumbprint("client-ec").unwrap(),
            b64(&Sha256::digest(form.as_bytes()))
        );
    }
}
