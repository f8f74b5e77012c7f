//! The leaf certificate that a peer presented.
//!
//! Decided here: whether the certificate can speak for one workload (X509-SVID sections 2, 3.1, 4 and 5.2). It is one
//! certificate, in the very form that the host writes; no extension stands in it twice; no name in it has a byte outside
//! of visible ASCII; it is no authority; and exactly one of its names is a URI.
//! Not decided here: whether it is valid. Chain, dates and possession of the key are the host's to check, in the
//! handshake; a certificate that was only presented proves nothing (see [`super`]).
//! Against: a second URI, a NUL, a repeated extension, by which two readers see different names in one certificate
//! (CVE-2026-47778, envoy#6038), and authorities that speak for a workload (THREATS 24).

use super::spiffe::{SpiffeFault, SpiffeId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, asn1::ObjectIdentifier};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};

/// The longest certificate that is read, in bytes of PEM.
pub const MAX_CERTIFICATE_BYTES: usize = 32 * 1024;

/// The most extensions of a certificate; a workload's has about ten.
const MAX_EXTENSIONS: usize = 32;

/// The characters of base64 in a line of PEM (RFC 7468 section 3).
const PEM_LINE: usize = 64;

/// Why a certificate is odd. Holds no piece of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// Longer than [`MAX_CERTIFICATE_BYTES`].
    TooLong,
    /// Not one certificate in the strict form of PEM (RFC 7468 section 3).
    NotPem,
    /// Not a certificate in DER (RFC 5280 section 4.1), or more than 32 extensions.
    NotDer,
    /// An extension stands in it twice (RFC 5280 section 4.2).
    ExtensionRepeated,
    /// A name, constraint or usage cannot be read (RFC 5280 section 4.2.1).
    ExtensionMalformed,
    /// A name has a NUL, a space or another byte that is not visible ASCII.
    NameCharacter,
    /// It may sign certificates or revocation lists: an authority, no workload.
    Authority,
}

impl CertificateFault {
    /// What is wrong, to follow "it".
    pub fn what(self) -> &'static str {
        match self {
            Self::TooLong => "is too long",
            Self::NotPem => "is not one certificate in PEM",
            Self::NotDer => "is not a certificate in DER",
            Self::ExtensionRepeated => "has an extension twice",
            Self::ExtensionMalformed => "has an extension that cannot be read",
            Self::NameCharacter => "has a name with a character that no name has",
            Self::Authority => "is one of an authority and not of a workload",
        }
    }
}

/// Why a certificate names no workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFault {
    /// No URI among its names.
    UriMissing,
    /// More than one (X509-SVID section 2).
    UriRepeated,
    /// The URI is no SPIFFE ID of a workload.
    NotSpiffe(SpiffeFault),
}

impl IdentityFault {
    /// What is wrong, to follow "it".
    pub fn what(self) -> &'static str {
        match self {
            Self::UriMissing => "names no URI",
            Self::UriRepeated => "names several URIs",
            Self::NotSpiffe(fault) => match fault {
                SpiffeFault::TooLong => "names a URI that is too long for a SPIFFE ID",
                SpiffeFault::Scheme => "names a URI that is not a SPIFFE ID",
                SpiffeFault::TrustDomain => "names a SPIFFE ID without a valid trust domain",
                SpiffeFault::PathMissing => "names a trust domain and no workload",
                SpiffeFault::SegmentEmpty => "names a SPIFFE ID with an empty path segment",
                SpiffeFault::SegmentDots => "names a SPIFFE ID with a path segment of dots",
                SpiffeFault::SegmentCharacter => {
                    "names a SPIFFE ID with a character that no path segment has"
                }
            },
        }
    }
}

/// A leaf certificate, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    digest: [u8; 32],
    uris: Vec<String>,
}

impl Leaf {
    /// Reads the PEM of one certificate, as the host writes it.
    pub(super) fn read(pem: &[u8]) -> Result<Self, CertificateFault> {
        if pem.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateFault::TooLong);
        }
        let der = decode_pem(pem).ok_or(CertificateFault::NotPem)?;
        let certificate = Certificate::from_der(&der).map_err(|_| CertificateFault::NotDer)?;
        let extensions = Extensions::of(&certificate)?;
        extensions.refuse_authority()?;
        Ok(Self {
            digest: Sha256::digest(&der).into(),
            uris: extensions.uris()?,
        })
    }

    /// The SHA-256 of its DER.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The workload that it names.
    pub(super) fn id(&self) -> Result<SpiffeId, IdentityFault> {
        match self.uris.as_slice() {
            [] => Err(IdentityFault::UriMissing),
            [uri] => SpiffeId::parse(uri).map_err(IdentityFault::NotSpiffe),
            _ => Err(IdentityFault::UriRepeated),
        }
    }
}

/// The DER in the PEM of one certificate: full lines but for the last, a newline behind each, nothing around them.
fn decode_pem(pem: &[u8]) -> Option<Vec<u8>> {
    let body = pem
        .strip_prefix(b"-----BEGIN CERTIFICATE-----\n")?
        .strip_suffix(b"\n-----END CERTIFICATE-----\n")?;
    let mut text = Vec::with_capacity(body.len());
    let mut lines = body.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let full = line.len() == PEM_LINE;
        let last = lines.peek().is_none() && (1..PEM_LINE).contains(&line.len());
        if !full && !last {
            return None;
        }
        text.extend_from_slice(line);
    }
    // Canonical: padded, and no bit set behind the end.
    STANDARD.decode(&text).ok()
}

/// The extensions of a certificate, none of them twice.
struct Extensions<'a>(&'a [Extension]);

impl<'a> Extensions<'a> {
    fn of(certificate: &'a Certificate) -> Result<Self, CertificateFault> {
        let all = certificate
            .tbs_certificate
            .extensions
            .as_deref()
            .unwrap_or(&[]);
        if all.len() > MAX_EXTENSIONS {
            return Err(CertificateFault::NotDer);
        }
        let same = |id: &ObjectIdentifier| all.iter().filter(|other| other.extn_id == *id).count();
        if all.iter().any(|extension| same(&extension.extn_id) > 1) {
            return Err(CertificateFault::ExtensionRepeated);
        }
        Ok(Self(all))
    }

    fn find<T: AssociatedOid + Decode<'a>>(&self) -> Result<Option<T>, CertificateFault> {
        self.0
            .iter()
            .find(|extension| extension.extn_id == T::OID)
            .map(|extension| T::from_der(extension.extn_value.as_bytes()))
            .transpose()
            .map_err(|_| CertificateFault::ExtensionMalformed)
    }

    /// X509-SVID section 5.2: `cA` is false, and neither `keyCertSign` nor `cRLSign` is set.
    fn refuse_authority(&self) -> Result<(), CertificateFault> {
        let issues = self
            .find::<BasicConstraints>()?
            .is_some_and(|constraints| constraints.ca);
        let signs = self
            .find::<KeyUsage>()?
            .is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign());
        if issues || signs {
            return Err(CertificateFault::Authority);
        }
        Ok(())
    }

    /// The URIs among its names. The other names must be readable too: they are what a second reader could trip over.
    fn uris(&self) -> Result<Vec<String>, CertificateFault> {
        let Some(SubjectAltName(names)) = self.find()? else {
            return Ok(Vec::new());
        };
        let mut uris = Vec::new();
        for name in &names {
            match name {
                GeneralName::UniformResourceIdentifier(uri) => {
                    uris.push(visible(uri.as_str())?.to_owned());
                }
                GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) => {
                    visible(text.as_str())?;
                }
                GeneralName::OtherName(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::EdiPartyName(_)
                | GeneralName::IpAddress(_)
                | GeneralName::RegisteredId(_) => {}
            }
        }
        Ok(uris)
    }
}

fn visible(text: &str) -> Result<&str, CertificateFault> {
    if text.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        Ok(text)
    } else {
        Err(CertificateFault::NameCharacter)
    }
}

#[cfg(test)]
mod tests;
