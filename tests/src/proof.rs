//! DPoP proofs of the tests (RFC 9449 §4.2), valid or wrong in one named way.
//!
//! Decided here: how a proof of a scenario is made. Its number (`jti`) is fresh for each case and second and the same when the
//! case is made twice, so that nothing is random and a gateway that many cases share sees no proof again.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::issuer::{IssuerFault, Signing, Tamper, compact, computed, filled, merge};
use crate::keys::{b64, public};

/// A proof that a scenario asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProofSpec {
    /// The key that signs, and whose public half the header carries.
    pub key: String,
    /// `alg` of the header; `null`: the first of the key's kind.
    pub alg: Option<String>,
    /// `typ` of the header; `null` leaves it out.
    pub typ: Value,
    /// `htm`; default the method of the request, `null` leaves it out.
    pub htm: Value,
    /// `htu`; default scheme, host and path of the request without its query, `null` leaves it out.
    pub htu: Value,
    /// `ath`; default of the token that is made for the request, `null` leaves it out.
    pub ath: Value,
    /// `iat`; `now-60` is computed, `null` leaves it out.
    pub iat: Value,
    /// `jti`; default a fresh one, `null` leaves it out.
    pub jti: Value,
    /// `nonce`; default none.
    pub nonce: Value,
    /// More header members; they replace the others, `null` takes one away.
    pub header: Map<String, Value>,
    /// More claims; they replace the others, `null` takes one away.
    pub claims: Map<String, Value>,
    /// What is broken after signing; `payload` gives it another `jti`.
    pub tamper: Tamper,
}

impl Default for ProofSpec {
    fn default() -> Self {
        ProofSpec {
            key: "client-ec".to_owned(),
            alg: None,
            typ: json!("dpop+jwt"),
            htm: json!("auto"),
            htu: json!("auto"),
            ath: json!("auto"),
            iat: json!("now"),
            jti: json!("auto"),
            nonce: Value::Null,
            header: Map::new(),
            claims: Map::new(),
            tamper: Tamper::None,
        }
    }
}

/// What a proof is about.
#[derive(Clone, Copy, Debug)]
pub struct Proven<'a> {
    /// Method of the request.
    pub method: &'a str,
    /// URI of the request, query and all.
    pub uri: &'a str,
    /// The access token that the request carries.
    pub token: Option<&'a str>,
    /// What makes the proof this one and no other.
    pub label: &'a str,
}

/// The proof in compact form at `now`, in seconds since 1970.
///
/// # Errors
/// When the spec names what does not exist.
pub fn proof(spec: &ProofSpec, about: &Proven<'_>, now: u64) -> Result<String, IssuerFault> {
    let alg = match &spec.alg {
        Some(alg) => alg.clone(),
        None => first_algorithm(&spec.key)?.to_owned(),
    };
    let mut header = Map::new();
    for (name, value) in [
        ("typ", spec.typ.clone()),
        ("alg", json!(alg)),
        ("jwk", Value::Object(public(&spec.key)?)),
    ] {
        if !value.is_null() {
            header.insert(name.to_owned(), value);
        }
    }
    merge(&mut header, &filled(&spec.header)?);
    let claims = claims(spec, about, now)?;
    let mut other = claims.clone();
    other.insert("jti".to_owned(), json!("another"));
    compact(&Signing {
        header: Value::Object(header).to_string(),
        payload: Value::Object(claims).to_string(),
        other: Value::Object(other).to_string(),
        key: &spec.key,
        alg: &alg,
        tamper: spec.tamper,
    })
}

fn claims(
    spec: &ProofSpec,
    about: &Proven<'_>,
    now: u64,
) -> Result<Map<String, Value>, IssuerFault> {
    let target = about.uri.split(['?', '#']).next().unwrap_or_default();
    let token = about.token.map(|token| b64(&Sha256::digest(token)));
    let fresh = Sha256::digest(format!("{} {now}", about.label));
    let mut claims = Map::new();
    for (name, asked, made) in [
        ("htm", &spec.htm, json!(about.method)),
        ("htu", &spec.htu, json!(target)),
        ("ath", &spec.ath, json!(token)),
        (
            "jti",
            &spec.jti,
            json!(b64(fresh.get(..16).unwrap_or_default())),
        ),
        ("iat", &spec.iat, Value::Null),
        ("nonce", &spec.nonce, Value::Null),
    ] {
        let value = if asked == "auto" {
            made
        } else {
            computed(asked, now)?
        };
        if !value.is_null() {
            claims.insert(name.to_owned(), value);
        }
    }
    let mut over = filled(&spec.claims)?;
    for value in over.values_mut() {
        *value = computed(value, now)?;
    }
    merge(&mut claims, &over);
    Ok(claims)
}

/// The first algorithm of a key's kind.
fn first_algorithm(key: &str) -> Result<&'static str, IssuerFault> {
    let jwk = public(key)?;
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    match (text("kty"), text("crv")) {
        (Some("RSA"), _) => Ok("RS256"),
        (Some("EC"), Some("P-256")) => Ok("ES256"),
        (Some("EC"), Some("P-384")) => Ok("ES384"),
        (Some("EC"), Some("P-521")) => Ok("ES512"),
        (Some("OKP"), _) => Ok("EdDSA"),
        (Some("oct"), _) => Ok("HS256"),
        _ => Err(IssuerFault::BadKey("kty")),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const ABOUT: Proven<'_> = Proven {
        method: "POST",
        uri: "https://api.example.com/v1/chat/completions?x=1",
        token: Some("token"),
        label: "case",
    };

    fn part(jws: &str, at: usize) -> Value {
        let bytes = URL_SAFE_NO_PAD
            .decode(jws.split('.').nth(at).unwrap())
            .unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_proof_says_what_rfc_9449_section_4_2_asks_for() {
        let made = proof(&ProofSpec::default(), &ABOUT, 1000).unwrap();
        assert_eq!(
            part(&made, 0),
            json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": public("client-ec").unwrap() })
        );
        let claims = part(&made, 1);
        assert_eq!(claims["htm"], "POST");
        assert_eq!(claims["htu"], "https://api.example.com/v1/chat/completions");
        assert_eq!(claims["iat"], 1000);
        assert_eq!(claims["ath"], b64(&Sha256::digest("token")));
        assert_eq!(claims.as_object().unwrap().len(), 5, "{claims}");
    }

    #[test]
    fn every_member_is_taken_away_or_replaced_by_its_name() {
        for name in ["htm", "htu", "ath", "iat", "jti"] {
            for (wanted, seen) in [(Value::Null, None), (json!("other"), Some(json!("other")))] {
                let spec: ProofSpec = serde_json::from_value(json!({ name: wanted })).unwrap();
                let made = proof(&spec, &ABOUT, 1000).unwrap();
                assert_eq!(part(&made, 1).get(name), seen.as_ref(), "{name}");
            }
        }
        let spec: ProofSpec = serde_json::from_value(
            json!({ "typ": null, "header": { "jwk": "${private:client-ec}", "b64": false } }),
        )
        .unwrap();
        let header = part(&proof(&spec, &ABOUT, 1000).unwrap(), 0);
        assert!(header["jwk"]["d"].is_string() && header["b64"] == false);
        assert!(header.get("typ").is_none());
        assert!(serde_json::from_value::<ProofSpec>(json!({ "jwk": {} })).is_err());
    }

    #[test]
    fn the_number_is_fresh_for_each_case_and_second_and_stays_for_the_same() {
        let number = |label, now| {
            let about = Proven { label, ..ABOUT };
            part(&proof(&ProofSpec::default(), &about, now).unwrap(), 1)["jti"].clone()
        };
        assert_eq!(number("a", 1), number("a", 1));
        assert_ne!(number("a", 1), number("a", 2));
        assert_ne!(number("a", 1), number("b", 1));
    }
}
