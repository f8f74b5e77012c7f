//! What a refusal says: a closed list of stable codes, each with its HTTP status, its kind and whose fault it is.
//!
//! Not decided here: when to refuse. Codes are public interface: they stand in answers, records, metrics and the
//! manual, are never renamed and never used again for something else.
//!
//! Against: refusals that cannot be told apart (3 a.m.), and answers that leak. A refusal's text is made of our own
//! words, names from the policy, and the model's name in its checked alphabet; never of a token or of body text.

use crate::body::{BodyFault, Faulted};
use serde::Serialize;
use std::borrow::Cow;

/// Whose fault a refusal is: who has to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The caller sent something that is wrong or not allowed.
    Caller,
    /// The policy does not cover what was asked.
    Policy,
    /// The gateway is configured or behaves otherwise than the policy says.
    Gateway,
}

/// The kind of a refusal, from which each provider's form takes its own error type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The credential is missing or wrong (RFC 9110 section 15.5.2).
    Authentication,
    /// The caller is known and may not.
    Permission,
    /// Route, path or method do not exist here.
    NotFound,
    /// The request is malformed or outside of a bound.
    Invalid,
    /// We could not decide.
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $kind:ident, $fault:ident;)*) => {
        /// The stable code of a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Code {
            /// Every code, in the order in which the questions are asked.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// `%RESPONSE_CODE_DETAILS%` of the answer: `postern.` and the name.
            pub fn details(self) -> &'static str {
                match self { $(Code::$variant => concat!("postern.", $name),)* }
            }

            /// The HTTP status of the answer (RFC 9110).
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }

            /// The kind of refusal.
            pub fn kind(self) -> Kind {
                match self { $(Code::$variant => Kind::$kind,)* }
            }

            /// Whose fault it is.
            pub fn fault(self) -> Fault {
                match self { $(Code::$variant => Fault::$fault,)* }
            }
        }
    };
}

codes! {
    /// The request head breaks HTTP or carries bytes outside of ASCII where we read.
    HeadInvalid = "head_invalid", 400, Invalid, Caller;
    /// A header that must be single came more than once.
    HeaderRepeated = "header_repeated", 400, Invalid, Caller;
    /// Two parsers could read the path differently.
    PathAmbiguous = "path_ambiguous", 400, Invalid, Caller;
    /// `upgrade`, `CONNECT` and WebSocket are not served.
    UpgradeRefused = "upgrade_refused", 403, Permission, Caller;
    /// A method-override header.
    MethodOverrideRefused = "method_override_refused", 400, Invalid, Caller;
    /// No route of the policy matches host and path.
    RouteUnknown = "route_unknown", 404, NotFound, Policy;
    /// The route's API has no such path.
    OperationUnknown = "operation_unknown", 404, NotFound, Caller;
    /// The path exists, with other methods.
    MethodNotAllowed = "method_not_allowed", 405, NotFound, Caller;
    /// No credential of a kind that the route asks for.
    CredentialMissing = "credential_missing", 401, Authentication, Caller;
    /// More than one credential in a request.
    CredentialRepeated = "credential_repeated", 401, Authentication, Caller;
    /// Not three parts of canonical base64url with JSON in them (RFC 7515 section 7.1).
    TokenMalformed = "token_malformed", 401, Authentication, Caller;
    /// A JOSE header that we do not take: `crit`, `b64`, `jku`, embedded keys, encryption (RFC 8725).
    TokenHeader = "token_header", 401, Authentication, Caller;
    /// The algorithm is not one of the issuer's.
    TokenAlgorithm = "token_algorithm", 401, Authentication, Caller;
    /// `iss` is missing or names no issuer of the policy.
    TokenIssuer = "token_issuer", 401, Authentication, Caller;
    /// No key of the issuer has this `kid` and algorithm.
    TokenKey = "token_key", 401, Authentication, Caller;
    /// The signature does not verify.
    TokenSignature = "token_signature", 401, Authentication, Caller;
    /// `aud` is missing or does not name us.
    TokenAudience = "token_audience", 401, Authentication, Caller;
    /// A required claim is missing or of the wrong type.
    TokenClaims = "token_claims", 401, Authentication, Caller;
    /// `exp` has passed.
    TokenExpired = "token_expired", 401, Authentication, Caller;
    /// `nbf` or `iat` lies ahead.
    TokenNotYetValid = "token_not_yet_valid", 401, Authentication, Caller;
    /// The token lives longer than the issuer's `maxLifetime`.
    TokenLifetime = "token_lifetime", 401, Authentication, Caller;
    /// The content type is not the operation's.
    ContentTypeUnsupported = "content_type_unsupported", 415, Invalid, Caller;
    /// A content encoding; bodies are read as they are.
    ContentEncodingUnsupported = "content_encoding_unsupported", 415, Invalid, Caller;
    /// The operation needs a body.
    BodyEmpty = "body_empty", 400, Invalid, Caller;
    /// The operation takes no body.
    BodyUnexpected = "body_unexpected", 400, Invalid, Caller;
    /// Longer than the route's `body.maxBytes`.
    BodyTooLarge = "body_too_large", 413, Invalid, Caller;
    /// Not one JSON object (RFC 8259).
    BodyNotJson = "body_not_json", 400, Invalid, Caller;
    /// Not UTF-8.
    BodyNotUtf8 = "body_not_utf8", 400, Invalid, Caller;
    /// Nested deeper than the limit.
    BodyTooDeep = "body_too_deep", 400, Invalid, Caller;
    /// A key came twice in an object that we act on.
    BodyDuplicateKey = "body_duplicate_key", 400, Invalid, Caller;
    /// A key that another parser could take for one that we act on.
    BodyLookalikeKey = "body_lookalike_key", 400, Invalid, Caller;
    /// Too many keys, or a number too long or too large.
    BodyLimits = "body_limits", 400, Invalid, Caller;
    /// The body names no model.
    ModelMissing = "model_missing", 400, Invalid, Caller;
    /// The model is not a string in the alphabet of model names.
    ModelInvalid = "model_invalid", 400, Invalid, Caller;
    /// A field that we act on has the wrong type or is out of range.
    FieldInvalid = "field_invalid", 400, Invalid, Caller;
    /// No rule allows it.
    NotPermitted = "not_permitted", 403, Permission, Caller;
    /// A rule denies it.
    Denied = "denied", 403, Permission, Caller;
    /// A rule would allow it if the token held the scopes (RFC 6750 section 3.1).
    ScopeMissing = "scope_missing", 403, Permission, Caller;
    /// No decision within `host.holdTimeout`: a slow body, or a gateway that holds otherwise than `host.headHold` says.
    HoldExpired = "hold_expired", 408, Invalid, Gateway;
    /// An event that does not belong where it came: we cannot decide, so we refuse.
    Undecided = "undecided", 500, Internal, Gateway;
}

/// A refusal: the code, what to tell the caller, and what an answer needs beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    message: Cow<'static, str>,
    param: Option<&'static str>,
    scopes: Vec<String>,
    allow: Option<&'static str>,
}

impl Refusal {
    /// A refusal with a sentence for the caller.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
            scopes: Vec::new(),
            allow: None,
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
        self.scopes = scopes;
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
        if let Some(methods) = self.allow {
            headers.push(("allow", methods.to_owned()));
        }
        Answer {
            status: self.code.status(),
            headers,
            // WHY: a struct of strings always serializes; were it not so, the status and code still refuse.
            body: serde_json::to_vec(&body).unwrap_or_else(|_| b"{}".to_vec()),
            details: self.code.details(),
        }
    }

    /// The challenge of RFC 6750 section 3: no error code when no credential came, `invalid_token` when a token is
    /// wrong, `insufficient_scope` with the scopes when they are missing.
    fn challenge(&self, realm: Option<&str>) -> Option<String> {
        let realm = realm.unwrap_or("postern");
        match (self.code, self.code.kind()) {
            (Code::CredentialMissing, _) => Some(format!("Bearer realm=\"{realm}\"")),
            (Code::CredentialRepeated, _) => Some(format!(
                "Bearer realm=\"{realm}\", error=\"invalid_request\", error_description=\"{}\"",
                quoted(&self.message)
            )),
            (_, Kind::Authentication) => Some(format!(
                "Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"{}\"",
                quoted(&self.message)
            )),
            (Code::ScopeMissing, _) => Some(format!(
                "Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{}\"",
                quoted(&self.scopes.join(" "))
            )),
            (_, Kind::Permission | Kind::NotFound | Kind::Invalid | Kind::Internal) => None,
        }
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
                (400..=500).contains(&code.status()),
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
