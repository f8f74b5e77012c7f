//! The JSON form: one array of objects, one for each hop.
//!
//! Decided here: what is one well-formed value. Strict JSON (no name twice), the members that the gateway writes, in its
//! order and of its types; a list that holds nothing is not written, so it is refused. Nothing here is ambiguous: a name
//! of a certificate is a string of its own.

use super::{Draft, Element, ForwardedFault, Key, MAX_ELEMENTS};
use crate::audit::read_digest;
use crate::json::Json;

/// A list, an object in it, a list in that.
const MAX_DEPTH: u8 = 3;

/// Reads a value in the JSON form.
pub(super) fn parse(value: &[u8]) -> Result<Vec<Element>, ForwardedFault> {
    let document = Json::parse(value, MAX_DEPTH).map_err(|_| ForwardedFault::Malformed)?;
    let Json::List(hops) = document else {
        return Err(ForwardedFault::Malformed);
    };
    if hops.is_empty() {
        return Err(ForwardedFault::Malformed);
    }
    if hops.len() > MAX_ELEMENTS {
        return Err(ForwardedFault::TooManyElements);
    }
    hops.into_iter().map(element).collect()
}

fn element(hop: Json) -> Result<Element, ForwardedFault> {
    let Json::Object(members) = hop else {
        return Err(ForwardedFault::Malformed);
    };
    let mut draft = Draft::default();
    for (name, value) in members {
        let key = match name.as_str() {
            "by" => Key::By,
            "hash" => Key::Hash,
            "cert" => Key::Cert,
            "chain" => Key::Chain,
            "subject" => Key::Subject,
            "uri" => Key::Uri,
            "dns" => Key::Dns,
            "issuer" => Key::Issuer,
            _ => return Err(ForwardedFault::KeyUnknown),
        };
        draft.enter(key)?;
        match key {
            Key::By => draft.by = Some(only(value, ForwardedFault::KeyRepeated)?),
            Key::Hash => {
                draft.hash = Some(read_digest(&string(value)?).ok_or(ForwardedFault::HashInvalid)?);
            }
            Key::Cert => draft.certificate = Some(string(value)?.into_bytes()),
            Key::Uri => draft.uri = Some(only(value, ForwardedFault::UriRepeated)?),
            Key::Chain | Key::Dns => {
                strings(value)?;
            }
            Key::Subject | Key::Issuer => {
                string(value)?;
            }
        }
    }
    draft.finish()
}

fn string(value: Json) -> Result<String, ForwardedFault> {
    match value {
        Json::String(text) => Ok(text),
        _ => Err(ForwardedFault::Malformed),
    }
}

/// The strings of a list of at least one.
fn strings(value: Json) -> Result<Vec<String>, ForwardedFault> {
    match value {
        Json::List(items) if !items.is_empty() => items.into_iter().map(string).collect(),
        _ => Err(ForwardedFault::Malformed),
    }
}

/// The string of a list of exactly one.
fn only(value: Json, several: ForwardedFault) -> Result<String, ForwardedFault> {
    match <[String; 1]>::try_from(strings(value)?) {
        Ok([text]) => Ok(text),
        Err(_) => Err(several),
    }
}
