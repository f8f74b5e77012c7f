//! The JOSE header of a proof, read strictly (RFC 9449 section 4.2, RFC 7515 section 4).
//!
//! Decided here: that it is a proof and nothing else, and with which key it is checked: the one in the header, a public key of
//! the same strictness as an issuer's. Whatever would name another key, change what is signed or nest another token is
//! refused by name; members that only describe are passed over.
//! Not decided here: whether anybody's token is bound to that key.
//! Against: access tokens sent as proofs, `jku` and kin, `crit`, `b64: false`, private keys sent along (THREATS 13, 14, 21).

use super::fault::DpopFault;
use crate::json::Json;
use crate::token::algorithm::Alg;
use crate::token::key::{Key, thumbprint};

const MAX_DEPTH: u8 = 8;

/// The one type of a proof, compared without case (RFC 7515 section 4.1.9).
const TYPE: &str = "dpop+jwt";

/// Members that are refused whatever they hold, and why.
const REFUSED: &[(&str, &str)] = &[
    ("crit", "crit asks for an extension"),
    ("b64", "b64 changes what is signed"),
    ("kid", "kid names a key beside the one in it"),
    ("jku", "jku names keys beside the one in it"),
    ("x5u", "x5u names a key beside the one in it"),
    ("x5c", "x5c brings a key beside the one in it"),
    ("x5t", "x5t names a key beside the one in it"),
    ("x5t#S256", "x5t#S256 names a key beside the one in it"),
    ("cty", "cty announces a nested token"),
    ("enc", "enc makes it an encrypted token"),
    ("zip", "zip makes it a compressed token"),
    ("epk", "epk makes it an encrypted token"),
];

/// The same for the members of the key.
const REFUSED_IN_KEY: &[(&str, &str)] = &[
    ("jku", "its key points elsewhere"),
    ("x5c", "its key brings a certificate"),
];

/// What we act on in the header of a proof.
#[derive(Debug)]
pub(super) struct ProofHeader {
    pub(super) alg: Alg,
    /// The key in the header.
    pub(super) key: Key,
    /// Of that key (RFC 7638).
    pub(super) thumbprint: [u8; 32],
}

impl ProofHeader {
    pub(super) fn parse(bytes: &[u8]) -> Result<ProofHeader, DpopFault> {
        let json = Json::parse(bytes, MAX_DEPTH)
            .map_err(|_| DpopFault::Malformed("its header is not strict JSON"))?;
        json.as_object()
            .ok_or(DpopFault::Malformed("its header is not an object"))?;
        refuse_members(&json, REFUSED)?;
        match json.member("typ").map(Json::as_str) {
            Some(Some(typ)) if typ.eq_ignore_ascii_case(TYPE) => {}
            Some(Some(_)) => return Err(DpopFault::HeaderRefused("typ is not dpop+jwt")),
            Some(None) => return Err(DpopFault::HeaderRefused("typ is not a string")),
            None => return Err(DpopFault::HeaderRefused("it names no typ")),
        }
        let alg = json
            .member("alg")
            .ok_or(DpopFault::HeaderRefused("it names no alg"))?
            .as_str()
            .ok_or(DpopFault::HeaderRefused("alg is not a string"))?;
        let alg = Alg::parse(alg)
            .filter(|alg| !alg.is_symmetric())
            .ok_or(DpopFault::AlgorithmRefused)?;
        let jwk = json
            .member("jwk")
            .ok_or(DpopFault::HeaderRefused("it has no jwk"))?;
        refuse_members(jwk, REFUSED_IN_KEY)?;
        Ok(ProofHeader {
            alg,
            key: Key::of_proof(jwk, alg).map_err(DpopFault::KeyRefused)?,
            thumbprint: thumbprint(jwk).map_err(DpopFault::KeyRefused)?,
        })
    }
}

fn refuse_members(json: &Json, refused: &[(&str, &'static str)]) -> Result<(), DpopFault> {
    match refused.iter().find(|(name, _)| json.member(name).is_some()) {
        Some((_, why)) => Err(DpopFault::HeaderRefused(why)),
        None => Ok(()),
    }
}
