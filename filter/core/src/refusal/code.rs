//! The closed list of refusals: for each its stable name, its status, its kind and whose fault it is.

use serde::Serialize;

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
    /// An identity provider does not give what it must.
    Issuer,
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
    /// The issuer has taken the token back.
    TokenRevoked = "token_revoked", 401, Authentication, Caller;
    /// The token is not bound as it must be, or to somebody else (RFC 8705, RFC 9449).
    TokenBinding = "token_binding", 401, Authentication, Caller;
    /// The proof of possession is missing or wrong (RFC 9449 section 4.3).
    DpopInvalid = "dpop_invalid", 401, Authentication, Caller;
    /// The proof of possession must carry the nonce that comes with the answer (RFC 9449 section 9).
    DpopNonce = "dpop_nonce", 401, Authentication, Caller;
    /// The proof of possession was used before (RFC 9449 section 11.1).
    DpopReplayed = "dpop_replayed", 401, Authentication, Caller;
    /// More proofs than can be remembered: no further one can be told from a replay.
    DpopUnavailable = "dpop_unavailable", 503, Internal, Gateway;
    /// The issuer's keys or revocations were not fetched yet, or are too old.
    KeysUnavailable = "keys_unavailable", 503, Internal, Issuer;
    /// No API key of the policy.
    ApiKeyUnknown = "api_key_unknown", 401, Authentication, Caller;
    /// The API key's `notAfter` has passed.
    ApiKeyExpired = "api_key_expired", 401, Authentication, Caller;
    /// The route asks for a client certificate, and none came.
    PeerMissing = "peer_missing", 403, Permission, Caller;
    /// The client's certificate was not validated in this handshake.
    PeerNotValidated = "peer_not_validated", 403, Permission, Caller;
    /// The client's certificate cannot be read, or is not that of a workload.
    PeerCertificate = "peer_certificate", 403, Permission, Caller;
    /// The client's certificate names no SPIFFE ID, or several.
    PeerIdentity = "peer_identity", 403, Permission, Caller;
    /// The peer is of a trust domain that the policy does not name.
    PeerTrustDomain = "peer_trust_domain", 403, Permission, Caller;
    /// The connection's TLS is older than the policy's `peers.minTls`.
    PeerTlsVersion = "peer_tls_version", 403, Permission, Caller;
    /// What a trusted proxy forwards of the client's certificate cannot be relied on.
    PeerForwarded = "peer_forwarded", 403, Permission, Caller;
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
    /// A rule would allow it if the caller's user signed in again (RFC 9470).
    StepUpRequired = "step_up_required", 401, Authentication, Caller;
    /// No decision within `host.holdTimeout`: a slow body, or a gateway that holds otherwise than `host.headHold` says.
    HoldExpired = "hold_expired", 408, Invalid, Gateway;
    /// An event that does not belong where it came: we cannot decide, so we refuse.
    Undecided = "undecided", 500, Internal, Gateway;
}
