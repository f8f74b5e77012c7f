//! Why a peer is not proved: a closed list, each with a sentence for the caller.
//!
//! Decided here: how much a fault tells. Nothing of a certificate or a header is in it, so it can go into answers, logs
//! and records (RFC 6750 section 3: no quotes, no backslashes, ASCII).
//! Not decided here: the code and the status of the refusal; [`PeerFault::kind`] says which it is.

use super::certificate::{CertificateFault, IdentityFault};
use super::forwarded::ForwardedFault;
use std::fmt;

/// Why a peer is not proved. Holds no piece of what the peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerFault {
    /// A certificate was presented and not validated in this handshake; so also on every resumed session.
    NotValidated,
    /// The host says things of the connection that cannot be true together, or not all that is needed.
    Incomplete,
    /// The certificate cannot speak for one workload.
    Certificate(CertificateFault),
    /// The host's digest of the certificate is another than that of the certificate that it gives.
    DigestDisagrees,
    /// The certificate names no workload.
    Identity(IdentityFault),
    /// The peer, or the caller that a trusted proxy tells of, is of a trust domain that the policy does not name.
    TrustDomain,
    /// Older than the policy asks for, or unknown.
    TlsVersion,
    /// What a trusted proxy tells cannot be accepted.
    Forwarded(ForwardedFault),
}

/// The kind of a fault, from which the refusal takes its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerFaultKind {
    /// Presented is not validated.
    NotValidated,
    /// An odd certificate.
    Certificate,
    /// No workload, or several.
    Identity,
    /// A foreign trust domain.
    TrustDomain,
    /// Too old a TLS.
    TlsVersion,
    /// `x-forwarded-client-cert`.
    Forwarded,
}

impl PeerFault {
    /// Its kind.
    pub fn kind(self) -> PeerFaultKind {
        match self {
            Self::NotValidated => PeerFaultKind::NotValidated,
            Self::Incomplete | Self::Certificate(_) | Self::DigestDisagrees => {
                PeerFaultKind::Certificate
            }
            Self::Identity(_) => PeerFaultKind::Identity,
            Self::TrustDomain => PeerFaultKind::TrustDomain,
            Self::TlsVersion => PeerFaultKind::TlsVersion,
            Self::Forwarded(_) => PeerFaultKind::Forwarded,
        }
    }
}

impl fmt::Display for PeerFault {
    /// One sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotValidated => f.write_str(
                "The client certificate was not validated on this connection: the gateway has to validate it, and to set \
                 disable_stateless_session_resumption and disable_stateful_session_resumption, since a resumed session \
                 counts as not validated.",
            ),
            Self::Incomplete => {
                f.write_str("The gateway does not tell all of the client certificate that is needed.")
            }
            Self::Certificate(fault) => write!(f, "The client certificate {}.", fault.what()),
            Self::DigestDisagrees => f.write_str(
                "The gateway tells of a client certificate and of the digest of another one.",
            ),
            Self::Identity(fault) => write!(f, "The client certificate {}.", fault.what()),
            Self::TrustDomain => {
                f.write_str("The trust domain of the client is not one that is accepted here.")
            }
            Self::TlsVersion => f.write_str("The TLS version of the connection is too old."),
            Self::Forwarded(fault) => {
                write!(f, "The x-forwarded-client-cert header {}.", fault.what())
            }
        }
    }
}

impl std::error::Error for PeerFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::SpiffeFault;
    use std::collections::BTreeSet;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_sentence_is_its_own_and_fits_into_an_answer() {
        let mut all = vec![
            PeerFault::NotValidated,
            PeerFault::Incomplete,
            PeerFault::DigestDisagrees,
            PeerFault::Identity(IdentityFault::UriMissing),
            PeerFault::Identity(IdentityFault::UriRepeated),
            PeerFault::TrustDomain,
            PeerFault::TlsVersion,
        ];
        all.extend(
            [
                CertificateFault::TooLong,
                CertificateFault::NotPem,
                CertificateFault::NotDer,
                CertificateFault::ExtensionRepeated,
                CertificateFault::ExtensionMalformed,
                CertificateFault::NameCharacter,
                CertificateFault::Authority,
            ]
            .map(PeerFault::Certificate),
        );
        all.extend(
            [
                SpiffeFault::TooLong,
                SpiffeFault::Scheme,
                SpiffeFault::TrustDomain,
                SpiffeFault::PathMissing,
                SpiffeFault::SegmentEmpty,
                SpiffeFault::SegmentDots,
                SpiffeFault::SegmentCharacter,
            ]
            .map(|fault| PeerFault::Identity(IdentityFault::NotSpiffe(fault))),
        );
        all.extend(
            [
                ForwardedFault::HeaderRepeated,
                ForwardedFault::TooLong,
                ForwardedFault::TooManyElements,
                ForwardedFault::Malformed,
                ForwardedFault::KeyUnknown,
                ForwardedFault::KeyRepeated,
                ForwardedFault::HashInvalid,
                ForwardedFault::UriMissing,
                ForwardedFault::UriRepeated,
                ForwardedFault::NotSpiffe,
                ForwardedFault::CertificateInvalid,
                ForwardedFault::Disagrees,
                ForwardedFault::Untrusted,
                ForwardedFault::Loop,
            ]
            .map(PeerFault::Forwarded),
        );
        let sentences: BTreeSet<String> = all.iter().map(PeerFault::to_string).collect();
        assert_eq!(
            sentences.len(),
            all.len(),
            "each fault has a sentence of its own"
        );
        for sentence in sentences {
            let allowed = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(
                sentence.bytes().all(allowed),
                "RFC 6750 section 3: {sentence}"
            );
            assert!(
                sentence.ends_with('.') && !sentence.ends_with(".."),
                "{sentence}"
            );
        }
    }
}
