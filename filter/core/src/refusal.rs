//! What a refusal says: a closed list of stable codes, each with its HTTP status, its kind and whose fault it is.
//!
//! Not decided here: when to refuse. Codes are public interface: they stand in answers, records, metrics and the
//! manual, are never renamed and never used again for something else.
//!
//! Against: refusals that cannot be told apart (3 a.m.), and answers that leak. A refusal's text is made of our own
//! words, names from the policy, and the model's name in its checked alphabet; never of a token or of body text.

mod code;

pub use code::{Code, Fault, Kind};

use crate::body::{BodyFault, Faulted};
use serde::Serialize;
use std::borrow::Cow;

/// A refusal: the code, what to tell the caller, and what an answer needs beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    message: Cow<'static, str>,
    param: Option<&'static str>,
    allow: Option<&'static str>,
    wanted: Option<Box<Wanted>>,
    retry_after: Option<u32>,
}

/// What would help, for the challenge; few refusals have it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// These scopes.
    Scopes(Vec<String>),
    /// A sign-in of one of these classes, at most so many seconds ago.
    SignIn(Vec<String>, Option<u64>),
    /// A proof of possession by one of these algorithms, with this nonce.
    Proof(String, Option<String>),
}

impl Refusal {
    /// A refusal with a sentence for the caller.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
            allow: None,
            wanted: None,
            retry_after: None,
        }
    }

    /// Names the field of the request body that is wrong.
    #[must_use]
    pub fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// Names the scopes that would be needed.
    #[must_use]
    pub fn scopes(mut self, scopes: Vec<String>) -> Self {
        self.wanted = Some(Box::new(Wanted::Scopes(scopes)));
        self
    }

    /// Names the sign-in that would be needed: one of these classes (`acr`), at most so many seconds ago.
    #[must_use]
    pub fn step_up(mut self, classes: &[String], max_age: Option<u64>) -> Self {
        self.wanted = Some(Box::new(Wanted::SignIn(classes.to_vec(), max_age)));
        self
    }

    /// Names the proof of possession that would be needed: one of these algorithms, and the nonce to carry.
    #[must_use]
    pub fn proof(mut self, algorithms: String, nonce: Option<String>) -> Self {
        self.wanted = Some(Box::new(Wanted::Proof(algorithms, nonce)));
        self
    }

    /// Says after how many seconds another try makes sense (RFC 9110 section 10.2.3).
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Names the methods that exist (RFC 9110 section 10.2.1).
    #[must_use]
    pub fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The answer to the caller, in the form of the OpenAI API: every API so far, and what no route claims.
    ///
    /// `realm` is the route's name (RFC 6750 section 3).
    pub fn answer(&self, realm: Option<&str>, audit_id: &str) -> Answer {
        let body = OpenAiError {
            error: OpenAiErrorBody {
                message: &self.message,
                kind: openai_type(self.code.kind()),
                param: self.param,
                code: self.code,
            },
        };
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-postern-audit-id", audit_id.to_owned()),
        ];
        if let Some(challenge) = self.challenge(realm) {
            headers.push(("www-authenticate", challenge));
        }
        if let Some(Wanted::Proof(_, Some(nonce))) = self.wanted.as_deref() {
            headers.push(("dpop-nonce", nonce.clone()));
        }
        if let Some(methods) = self.allow {
            headers.push(("allow", methods.to_owned()));
        }
        if let Some(seconds) = self.retry_after {
            headers.push(("retry-after", seconds.to_string()));
        }
        Answer {
            status: self.code.status(),
            headers,
            // WHY: a struct of strings always serializes; were it not so, the status and code still refuse.
            body: serde_json::to_vec(&body).unwrap_or_else(|_| b"{}".to_vec()),
            details: self.code.details(),
        }
    }

    /// The challenge. Of RFC 6750 section 3: no error code when no credential came, `invalid_token` when a credential is
    /// wrong, `insufficient_scope` with the scopes when they are missing. Of RFC 9449 sections 7.1 and 9 for proofs of
    /// possession, of RFC 9470 section 3 for a sign-in that is not enough.
    fn challenge(&self, realm: Option<&str>) -> Option<String> {
        let error = match (self.code, self.code.kind()) {
            (Code::CredentialMissing, _) => None,
            (Code::CredentialRepeated, _) => Some("invalid_request"),
            (Code::StepUpRequired, _) => Some("insufficient_user_authentication"),
            (Code::DpopInvalid | Code::DpopReplayed, _) => Some("invalid_dpop_proof"),
            (Code::DpopNonce, _) => Some("use_dpop_nonce"),
            (Code::ScopeMissing, _) => Some("insufficient_scope"),
            (_, Kind::Authentication) => Some("invalid_token"),
            (_, Kind::Permission | Kind::NotFound | Kind::Invalid | Kind::Internal) => return None,
        };
        let scheme = match (self.code, self.wanted.as_deref()) {
            (Code::DpopInvalid | Code::DpopNonce | Code::DpopReplayed, _)
            | (_, Some(Wanted::Proof(..))) => "DPoP",
            (_, _) => "Bearer",
        };
        let mut challenge = format!("{scheme} realm=\"{}\"", realm.unwrap_or("postern"));
        let mut put = |name: &str, value: &str| {
            challenge.push_str(&format!(", {name}=\"{}\"", quoted(value)));
        };
        if let Some(error) = error {
            put("error", error);
            if self.code != Code::ScopeMissing {
                put("error_description", &self.message);
            }
        }
        match self.wanted.as_deref() {
            None => {}
            Some(Wanted::Scopes(scopes)) => put("scope", &scopes.join(" ")),
            Some(Wanted::SignIn(classes, max_age)) => {
                if !classes.is_empty() {
                    put("acr_values", &classes.join(" "));
                }
                if let Some(seconds) = max_age {
                    put("max_age", &seconds.to_string());
                }
            }
            Some(Wanted::Proof(algorithms, _)) => put("algs", algorithms),
        }
        Some(challenge)
    }
}

impl From<&Faulted> for Refusal {
    /// The refusal of a bad body: what is wrong and at which byte, nothing of the body itself.
    fn from(faulted: &Faulted) -> Self {
        let fault = faulted.fault();
        let refusal = Self::new(code_of(fault), faulted.to_string());
        match fault.param() {
            Some(param) => refusal.param(param),
            None => refusal,
        }
    }
}

fn code_of(fault: BodyFault) -> Code {
    match fault {
        BodyFault::Unexpected => Code::BodyUnexpected,
        BodyFault::Empty => Code::BodyEmpty,
        BodyFault::TooLarge => Code::BodyTooLarge,
        BodyFault::NotUtf8 => Code::BodyNotUtf8,
        BodyFault::Unfinished
        | BodyFault::ByteOrderMark
        | BodyFault::NotJson
        | BodyFault::LoneSurrogate
        | BodyFault::NotAnObject
        | BodyFault::TrailingData => Code::BodyNotJson,
        BodyFault::TooDeep => Code::BodyTooDeep,
        BodyFault::NumberTooLong
        | BodyFault::NumberTooLarge
        | BodyFault::TooManyKeys
        | BodyFault::KeyTooLong => Code::BodyLimits,
        BodyFault::DuplicateKey => Code::BodyDuplicateKey,
        BodyFault::LookalikeKey | BodyFault::KeyCharset => Code::BodyLookalikeKey,
        BodyFault::FurtherModels
        | BodyFault::ModelNotString
        | BodyFault::ModelEmpty
        | BodyFault::ModelTooLong
        | BodyFault::ModelCharset => Code::ModelInvalid,
        BodyFault::FieldInvalid(_) => Code::FieldInvalid,
    }
}

/// An answer of ours to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body, in the form of the route's API.
    pub body: Vec<u8>,
    /// What `%RESPONSE_CODE_DETAILS%` shows.
    pub details: &'static str,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    error: OpenAiErrorBody<'a>,
}

#[derive(Serialize)]
struct OpenAiErrorBody<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: Code,
}

fn openai_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Authentication => "authentication_error",
        Kind::Permission => "permission_error",
        Kind::NotFound => "not_found_error",
        Kind::Invalid => "invalid_request_error",
        Kind::Internal => "server_error",
    }
}

/// Keeps to the characters of a quoted `error_description` or `scope` (RFC 6750 section 3): others become `'`.
fn quoted(text: &str) -> String {
    text.chars()
        .map(|c| {
            if matches!(c, ' '..='~') && c != '"' && c != '\\' {
                c
            } else {
                '\''
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.name()), "{} stands twice", code.name());
            assert!(
                code.name()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
            );
            assert_eq!(code.details(), format!("postern.{}", code.name()));
            assert!(
                (400..=503).contains(&code.status()),
                "{} has no refusing status",
                code.name()
            );
        }
    }

    #[test]
    fn challenges_follow_rfc_6750() {
        let rows = [
            (
                Refusal::new(Code::CredentialMissing, "no"),
                Some("Bearer realm=\"r\""),
                "no error code without a credential",
            ),
            (
                Refusal::new(Code::TokenExpired, "it \"expired\""),
                Some(
                    "Bearer realm=\"r\", error=\"invalid_token\", error_description=\"it 'expired'\"",
                ),
                "quotes cannot leave the quoted string",
            ),
            (
                Refusal::new(Code::ScopeMissing, "no").scopes(vec!["model:a:chat".into()]),
                Some("Bearer realm=\"r\", error=\"insufficient_scope\", scope=\"model:a:chat\""),
                "the missing scope is named",
            ),
            (
                Refusal::new(Code::StepUpRequired, "sign in again")
                    .step_up(&["urn:mfa".into(), "urn:x".into()], Some(900)),
                Some(
                    "Bearer realm=\"r\", error=\"insufficient_user_authentication\", error_description=\"sign in again\", acr_values=\"urn:mfa urn:x\", max_age=\"900\"",
                ),
                "RFC 9470 section 3",
            ),
            (
                Refusal::new(Code::DpopNonce, "use it").proof("ES256".into(), Some("n".into())),
                Some(
                    "DPoP realm=\"r\", error=\"use_dpop_nonce\", error_description=\"use it\", algs=\"ES256\"",
                ),
                "RFC 9449 section 9",
            ),
            (
                Refusal::new(Code::TokenBinding, "as DPoP").proof("ES256".into(), None),
                Some(
                    "DPoP realm=\"r\", error=\"invalid_token\", error_description=\"as DPoP\", algs=\"ES256\"",
                ),
                "RFC 9449 section 7.1: a bound token that came without its proof",
            ),
            (
                Refusal::new(Code::PeerMissing, "no"),
                None,
                "HTTP has no challenge for a certificate",
            ),
            (
                Refusal::new(Code::NotPermitted, "no"),
                None,
                "another credential of the same caller would not help",
            ),
            (
                Refusal::new(Code::BodyNotJson, "no"),
                None,
                "not about credentials",
            ),
        ];
        for (refusal, challenge, why) in rows {
            let answer = refusal.answer(Some("r"), "id");
            let seen = answer
                .headers
                .iter()
                .find(|(n, _)| *n == "www-authenticate")
                .map(|(_, v)| v.as_str());
            assert_eq!(seen, challenge, "{why}");
        }
    }

    #[test]
    fn the_body_has_the_form_of_openai() {
        let answer = Refusal::new(Code::ModelMissing, "name a \"model\"")
            .param("model")
            .answer(None, "id-1");
        assert_eq!(answer.status, 400);
        assert_eq!(
            String::from_utf8(answer.body).unwrap(),
            r#"{"error":{"message":"name a \"model\"","type":"invalid_request_error","param":"model","code":"model_missing"}}"#
        );
    }
}
