//! Who holds the other end of the connection: the mTLS peer, as far as the gateway has proved it.
//!
//! Decided here: whether a connection proves a peer, and which. [`Peers::prove`] is the only place that makes a [`Peer`]:
//!
//! ```compile_fail,E0451
//! # fn f(id: postern_core::peer::SpiffeId) {
//! let peer = postern_core::peer::Peer { id, certificate_digest: [0; 32], forwarded_by: None };
//! # }
//! ```
//!
//! Not decided here: what a peer may. Against THREATS 24: a certificate that was presented is not one that was validated
//! (a self-signed one with a forged name is presented too); the certificate itself is read, whole, and must be the one of
//! which the host gives the digest; a header names nobody unless the connection proves a trusted proxy.

mod certificate;
mod fault;
mod forwarded;
mod pattern;
mod spiffe;
mod tls;

pub use certificate::{CertificateFault, IdentityFault, MAX_CERTIFICATE_BYTES};
pub use fault::{PeerFault, PeerFaultKind};
pub use forwarded::{ForwardedFault, MAX_ELEMENTS, MAX_FORWARDED_BYTES};
pub use pattern::{PatternFault, PeerPattern};
pub use spiffe::{MAX_SPIFFE_ID_BYTES, MAX_TRUST_DOMAIN_BYTES, SpiffeFault, SpiffeId, TrustDomain};
pub use tls::TlsVersion;

use crate::audit::read_digest;
use certificate::Leaf;
use forwarded::Immediate;
use std::fmt;

/// The most trust domains, and the most trusted proxies, of a policy.
pub const MAX_PEER_ENTRIES: usize = 64;

/// What the host says of the downstream connection, unchecked. The default is a connection without a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whether the peer presented a certificate (`connection.mtls`).
    pub presented: bool,
    /// Whether that certificate was validated in this very handshake (`connection.peer_certificate_valid`).
    pub validated: bool,
    /// The leaf certificate as PEM (`connection.peer_certificate`).
    pub certificate: Option<Vec<u8>>,
    /// The SHA-256 of its DER in lower-case hex (`connection.sha256_peer_certificate_digest`).
    pub digest: Option<String>,
    /// The version of TLS (`connection.tls_version`).
    pub tls_version: Option<String>,
}

impl Connection {
    /// The SHA-256 of the certificate that the peer presented, to which a token can be bound (`x5t#S256`, RFC 8705
    /// section 3.1); none without a certificate or without a well-formed digest.
    ///
    /// It need not be validated: the handshake proved that the peer holds its key, and the binding asks for no more (RFC
    /// 8705 section 6.2). It names nobody. A thumbprint is safe to compare as long as nobody finds a second certificate
    /// with the same SHA-256 (section 7.2).
    ///
    /// Behind a trusted proxy this is the proxy's own certificate. There the caller's is what the proxy tells
    /// ([`Peer::certificate_digest`]; section 6.5): who has a [`Peer`] asks it, and not the connection.
    pub fn bound_certificate(&self) -> Option<[u8; 32]> {
        self.digest
            .as_deref()
            .filter(|_| self.presented)
            .and_then(read_digest)
    }
}

/// A proved peer: the workload at the other end, or the one that a proved, trusted proxy speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    id: SpiffeId,
    certificate_digest: [u8; 32],
    forwarded_by: Option<SpiffeId>,
}

impl Peer {
    /// Who it is.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The SHA-256 of the DER of its certificate: of the connection, or as the trusted proxy tells.
    pub fn certificate_digest(&self) -> &[u8; 32] {
        &self.certificate_digest
    }

    /// The trusted proxy that the connection proves and that told of this peer; none when the connection proves the peer
    /// itself.
    pub fn forwarded_by(&self) -> Option<&SpiffeId> {
        self.forwarded_by.as_ref()
    }
}

/// What a policy asks of peers. Its default takes any trust domain, TLS 1.2 and no proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    trust_domains: Vec<TrustDomain>,
    min_tls: TlsVersion,
    trusted_proxies: Vec<PeerPattern>,
}

/// Why this cannot be asked of peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeersFault {
    /// More than [`MAX_PEER_ENTRIES`] trust domains or trusted proxies.
    TooMany,
    /// A TLS version older than 1.2 (RFC 8996).
    TlsTooOld,
    /// A trust domain stands twice.
    TrustDomainRepeated(TrustDomain),
    /// A trusted proxy stands twice.
    ProxyRepeated(PeerPattern),
    /// A trusted proxy of a trust domain that is not accepted: it could never be one.
    ProxyForeign(PeerPattern),
}

impl fmt::Display for PeersFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {MAX_PEER_ENTRIES} entries"),
            Self::TlsTooOld => f.write_str("TLS older than 1.2 cannot be asked for"),
            Self::TrustDomainRepeated(domain) => write!(f, "{domain}: stands twice"),
            Self::ProxyRepeated(proxy) => write!(f, "{proxy}: stands twice"),
            Self::ProxyForeign(proxy) => {
                write!(
                    f,
                    "{proxy}: its trust domain is not among the accepted ones"
                )
            }
        }
    }
}

impl std::error::Error for PeersFault {}

impl Default for Peers {
    fn default() -> Self {
        Self {
            trust_domains: Vec::new(),
            min_tls: TlsVersion::V1_2,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Peers {
    /// What a policy asks of peers: of one of these trust domains (none named: of any that the gateway validates), with at
    /// least this TLS, and these proxies may tell of others.
    ///
    /// # Errors
    /// The first thing that cannot be meant.
    pub fn new(
        trust_domains: Vec<TrustDomain>,
        min_tls: TlsVersion,
        trusted_proxies: Vec<PeerPattern>,
    ) -> Result<Self, PeersFault> {
        if trust_domains.len() > MAX_PEER_ENTRIES || trusted_proxies.len() > MAX_PEER_ENTRIES {
            return Err(PeersFault::TooMany);
        }
        if min_tls < TlsVersion::V1_2 {
            return Err(PeersFault::TlsTooOld);
        }
        if let Some(domain) = repeated(&trust_domains) {
            return Err(PeersFault::TrustDomainRepeated(domain.clone()));
        }
        if let Some(proxy) = repeated(&trusted_proxies) {
            return Err(PeersFault::ProxyRepeated(proxy.clone()));
        }
        let peers = Self {
            trust_domains,
            min_tls,
            trusted_proxies,
        };
        match peers
            .trusted_proxies
            .iter()
            .find(|proxy| !peers.accepts(proxy.trust_domain()))
        {
            Some(proxy) => Err(PeersFault::ProxyForeign(proxy.clone())),
            None => Ok(peers),
        }
    }

    /// The peer that a connection proves, or the one that a trusted proxy at its other end tells of. `forwarded` are the
    /// values of `x-forwarded-client-cert` in their order; they are not read unless the connection proves a trusted proxy.
    ///
    /// None: the peer presented no certificate. That is no fault here; whether a peer is needed, the policy says.
    ///
    /// # Errors
    /// A certificate was presented and proves nobody, or a trusted proxy tells what cannot be accepted. This is never to
    /// be taken for "no peer": the caller tried to be one.
    pub fn prove(
        &self,
        connection: &Connection,
        forwarded: &[&[u8]],
    ) -> Result<Option<Peer>, PeerFault> {
        let Some(leaf) = self.leaf(connection)? else {
            return Ok(None);
        };
        let id = leaf.id().map_err(PeerFault::Identity)?;
        self.check_trust_domain(&id)?;
        let told = if self.is_trusted_proxy(&id) {
            let immediate = Immediate {
                id: &id,
                digest: leaf.digest(),
            };
            forwarded::walk(forwarded, immediate, |id| self.is_trusted_proxy(id))
                .map_err(PeerFault::Forwarded)?
        } else {
            None
        };
        let peer = match told {
            Some((caller, certificate_digest)) => {
                self.check_trust_domain(&caller)?;
                Peer {
                    id: caller,
                    certificate_digest,
                    forwarded_by: Some(id),
                }
            }
            None => Peer {
                certificate_digest: *leaf.digest(),
                id,
                forwarded_by: None,
            },
        };
        Ok(Some(peer))
    }

    /// The certificate that the connection proves the peer to hold; none when none was presented.
    fn leaf(&self, connection: &Connection) -> Result<Option<Leaf>, PeerFault> {
        let Connection {
            presented,
            validated,
            certificate,
            digest,
            tls_version,
        } = connection;
        if !presented {
            // What nobody presented has no digest and is not valid.
            let nothing = !validated && certificate.is_none() && digest.is_none();
            return if nothing {
                Ok(None)
            } else {
                Err(PeerFault::Incomplete)
            };
        }
        if !validated {
            return Err(PeerFault::NotValidated);
        }
        let version = tls_version.as_deref().and_then(TlsVersion::of_connection);
        if version.is_none_or(|version| version < self.min_tls) {
            return Err(PeerFault::TlsVersion);
        }
        let pem = certificate.as_deref().ok_or(PeerFault::Incomplete)?;
        let digest = digest.as_deref().ok_or(PeerFault::Incomplete)?;
        let leaf = Leaf::read(pem).map_err(PeerFault::Certificate)?;
        if read_digest(digest) != Some(*leaf.digest()) {
            return Err(PeerFault::DigestDisagrees);
        }
        Ok(Some(leaf))
    }

    fn check_trust_domain(&self, id: &SpiffeId) -> Result<(), PeerFault> {
        if self.accepts(id.trust_domain()) {
            Ok(())
        } else {
            Err(PeerFault::TrustDomain)
        }
    }

    /// Whether workloads of this trust domain are known.
    pub fn accepts(&self, domain: &TrustDomain) -> bool {
        self.trust_domains.is_empty() || self.trust_domains.contains(domain)
    }

    fn is_trusted_proxy(&self, id: &SpiffeId) -> bool {
        self.trusted_proxies.iter().any(|proxy| proxy.matches(id))
    }
}

/// The first entry that stands again further on.
fn repeated<T: PartialEq>(entries: &[T]) -> Option<&T> {
    let same = |entry: &T| entries.iter().filter(|other| *other == entry).count();
    entries.iter().find(|entry| same(entry) > 1)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
