//! Where a document comes from: a source of the policy, checked when the policy is loaded.
//!
//! Decided here: that only a named cluster is ever called, with a host and a path that have one spelling; how long a call,
//! a document and a failure may last; under which keys the workers share what they know of the source.
//! Not decided here: when it is called, and what an answer is worth.
//! Against: calls to where a document points (SSRF), fetch storms, keys that stay good for ever (THREATS 19).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::audit::hex;
use crate::facts::is_canonical_path;

/// Where OpenID Connect Discovery 1.0 section 4 puts an issuer's document, below the issuer.
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// The shortest refresh, in milliseconds: a list of revoked tokens inside of a cluster may be asked for so often. How often an
/// issuer out in the world is asked, the policy says; what an answer can make of it is bounded by [`super::MIN_FRESH_MS`].
pub const MIN_REFRESH_MS: u64 = 1_000;
/// The longest refresh, in milliseconds: a key that was withdrawn is gone within a day.
pub const MAX_REFRESH_MS: u64 = 24 * 3_600_000;
/// The shortest and the longest time-out of one call, in milliseconds.
pub const MIN_TIMEOUT_MS: u64 = 100;
/// See [`MIN_TIMEOUT_MS`].
pub const MAX_TIMEOUT_MS: u64 = 30_000;
/// The longest time, in milliseconds, that a document stays usable while its source does not answer.
pub const MAX_STALE_MS: u64 = 30 * 24 * 3_600_000;

/// How much longer than its calls an attempt is leased, in milliseconds: for an answer that waits for a busy worker, and for
/// reading and publishing it.
const LEASE_MARGIN_MS: u64 = 2_000;

const MAX_NAME_BYTES: usize = 255;
const MAX_QUERY_BYTES: usize = 1024;

/// A source as the policy says it. Every field is named by whoever makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// The cluster of the gateway that is called: 1 to 255 visible ASCII characters.
    pub cluster: String,
    /// The host, with a port where it is not 443, that the call names.
    pub authority: String,
    /// The path, with a query where there must be one, each in the one spelling on which all parsers agree.
    pub path: String,
    /// When the document is fetched anew where its answer does not say sooner, in milliseconds:
    /// [`MIN_REFRESH_MS`] to [`MAX_REFRESH_MS`].
    pub refresh_ms: u64,
    /// How long one call may take, in milliseconds: [`MIN_TIMEOUT_MS`] to [`MAX_TIMEOUT_MS`], and all calls of one attempt
    /// together shorter than the refresh.
    pub timeout_ms: u64,
    /// How long after it was fetched the last good document is used, in milliseconds: the refresh to [`MAX_STALE_MS`].
    pub max_stale_ms: u64,
    /// What the document is.
    pub kind: Kind,
}

/// What a source gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A JWK Set (RFC 7517 section 5).
    Keys,
    /// A discovery document (OpenID Connect Discovery 1.0 section 3) that names the path of the JWK Set.
    Discovery {
        /// The exact `iss` that the document must name (section 4.3).
        issuer: String,
        /// The cluster that has the keys; none: the same.
        keys_cluster: Option<String>,
        /// The host that has the keys; none: the same. `jwks_uri` must name it.
        keys_authority: Option<String>,
    },
    /// A revocation list.
    Revocation,
}

/// A source that is consistent in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    spec: SourceSpec,
    keys: Option<Place>,
    name: String,
}

/// Where a call goes: the cluster and the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) cluster: String,
    pub(super) authority: Authority,
}

/// A host and a port in their one spelling: lower case, without `:443`, without user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority(String);

/// Why a source does not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFault {
    /// The cluster is not 1 to 255 visible ASCII characters.
    ClusterInvalid,
    /// The authority is not a plain host with an optional port.
    AuthorityInvalid,
    /// The path, or its query, can be read in more than one way.
    PathInvalid,
    /// The refresh is outside of its bounds.
    RefreshOutOfBounds,
    /// The time-out is outside of its bounds.
    TimeoutOutOfBounds,
    /// The calls of one attempt can last as long as the refresh.
    TimeoutNotBelowRefresh,
    /// Staleness is below the refresh or above its bound.
    MaxStaleOutOfBounds,
    /// The issuer is empty.
    IssuerInvalid,
    /// The cluster of the keys is not 1 to 255 visible ASCII characters.
    KeysClusterInvalid,
    /// The authority of the keys is not a plain host with an optional port.
    KeysAuthorityInvalid,
}

impl Source {
    /// Checks a source.
    ///
    /// # Errors
    /// Every fault, in the order of the fields.
    pub fn new(spec: SourceSpec) -> Result<Source, Vec<SourceFault>> {
        let SourceSpec {
            cluster,
            authority,
            path,
            refresh_ms,
            timeout_ms,
            max_stale_ms,
            kind,
        } = &spec;
        let mut faults = Vec::new();
        let mut check = |good: bool, fault: SourceFault| {
            if !good {
                faults.push(fault);
            }
        };
        check(is_cluster(cluster), SourceFault::ClusterInvalid);
        let place = Authority::parse(authority);
        check(place.is_some(), SourceFault::AuthorityInvalid);
        check(is_target(path), SourceFault::PathInvalid);
        check(
            (MIN_REFRESH_MS..=MAX_REFRESH_MS).contains(refresh_ms),
            SourceFault::RefreshOutOfBounds,
        );
        check(
            (MIN_TIMEOUT_MS..=MAX_TIMEOUT_MS).contains(timeout_ms),
            SourceFault::TimeoutOutOfBounds,
        );
        check(
            kind.calls().saturating_mul(*timeout_ms) < *refresh_ms,
            SourceFault::TimeoutNotBelowRefresh,
        );
        check(
            (*refresh_ms..=MAX_STALE_MS).contains(max_stale_ms),
            SourceFault::MaxStaleOutOfBounds,
        );
        let mut keys = None;
        if let Kind::Discovery {
            issuer,
            keys_cluster,
            keys_authority,
        } = kind
        {
            check(!issuer.is_empty(), SourceFault::IssuerInvalid);
            let keys_cluster = keys_cluster.as_ref().unwrap_or(cluster);
            check(is_cluster(keys_cluster), SourceFault::KeysClusterInvalid);
            let authority = match keys_authority {
                Some(text) => {
                    let authority = Authority::parse(text);
                    check(authority.is_some(), SourceFault::KeysAuthorityInvalid);
                    authority
                }
                None => place,
            };
            keys = authority.map(|authority| Place {
                cluster: keys_cluster.clone(),
                authority,
            });
        }
        if faults.is_empty() {
            let name = name_of(&spec);
            Ok(Source { spec, keys, name })
        } else {
            Err(faults)
        }
    }

    /// The cluster that is called first.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.spec.cluster
    }

    /// The host that the first call names, as the policy writes it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.spec.authority
    }

    /// The path of the first call, with its query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.spec.path
    }

    /// How long one call may take, in milliseconds.
    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        self.spec.timeout_ms
    }

    /// The longest time between two fetches that succeed, in milliseconds.
    #[must_use]
    pub fn refresh_ms(&self) -> u64 {
        self.spec.refresh_ms
    }

    /// How long after it was fetched a document is used, in milliseconds.
    #[must_use]
    pub fn max_stale_ms(&self) -> u64 {
        self.spec.max_stale_ms
    }

    /// What it gives.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.spec.kind
    }

    /// How long one attempt owns the source, in milliseconds: all its calls and the margin.
    #[must_use]
    pub fn lease_ms(&self) -> u64 {
        let calls = self.spec.kind.calls();
        calls
            .saturating_mul(self.spec.timeout_ms)
            .saturating_add(LEASE_MARGIN_MS)
    }

    /// What tells this source from every other: 16 hexadecimal digits of the SHA-256 over all its fields. Sources that are
    /// written alike share one document, whichever policy names them.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key of the small entry that elects who fetches.
    #[must_use]
    pub fn state_key(&self) -> String {
        format!("postern.v1.fetch.{}.state", self.name)
    }

    /// The key of the document.
    #[must_use]
    pub fn document_key(&self) -> String {
        format!("postern.v1.fetch.{}.document", self.name)
    }

    /// The `iss` to find, and where the keys are, when this is a discovery.
    pub(super) fn discovery(&self) -> Option<(&str, &Place)> {
        match (&self.spec.kind, &self.keys) {
            (Kind::Discovery { issuer, .. }, Some(keys)) => Some((issuer, keys)),
            (Kind::Discovery { .. }, None) | (Kind::Keys | Kind::Revocation, _) => None,
        }
    }
}

impl Kind {
    /// How many calls one attempt makes.
    fn calls(&self) -> u64 {
        match self {
            Kind::Keys | Kind::Revocation => 1,
            Kind::Discovery { .. } => 2,
        }
    }
}

impl Authority {
    /// A host (name, IPv4 or bracketed IPv6 address) and an optional port (RFC 3986 section 3.2). No user information.
    pub(super) fn parse(text: &str) -> Option<Authority> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                let plain = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
                if address.is_empty() || !address.bytes().all(plain) {
                    return None;
                }
                let port = match after {
                    "" => None,
                    _ => Some(after.strip_prefix(':')?),
                };
                (format!("[{address}]"), port)
            }
            None => {
                let (host, port) = match text.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
                if host.is_empty() || !host.bytes().all(plain) {
                    return None;
                }
                (host.to_string(), port)
            }
        };
        if host.len() > MAX_NAME_BYTES {
            return None;
        }
        let host = host.to_ascii_lowercase();
        match port {
            None | Some("443") => Some(Authority(host)),
            // One spelling of a port: no sign, no zeros in front.
            Some(port) => {
                let number: u16 = port.parse().ok()?;
                (number != 0 && number.to_string() == port)
                    .then(|| Authority(format!("{host}:{port}")))
            }
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this is a path and, behind a `?`, a query that all parsers read alike: nothing percent-encoded, no fragment.
pub(super) fn is_target(target: &str) -> bool {
    let plain = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.' | b'_' | b'~' | b'=' | b'&' | b':' | b'/' | b','
            )
    };
    match target.split_once('?') {
        None => is_canonical_path(target),
        Some((path, query)) => {
            is_canonical_path(path)
                && !query.is_empty()
                && query.len() <= MAX_QUERY_BYTES
                && query.bytes().all(plain)
        }
    }
}

fn is_cluster(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(|b| b.is_ascii_graphic())
}

fn name_of(spec: &SourceSpec) -> String {
    let SourceSpec {
        cluster,
        authority,
        path,
        refresh_ms,
        timeout_ms,
        max_stale_ms,
        kind,
    } = spec;
    let mut hash = Sha256::new();
    // INVARIANT (one meaning): every text with its length in front, every choice with its own mark.
    let mut text = |text: Option<&str>| {
        let bytes = text.unwrap_or_default().as_bytes();
        hash.update([u8::from(text.is_some())]);
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(bytes);
    };
    text(Some(cluster));
    text(Some(authority));
    text(Some(path));
    match kind {
        Kind::Keys => text(Some("keys")),
        Kind::Revocation => text(Some("revocation")),
        Kind::Discovery {
            issuer,
            keys_cluster,
            keys_authority,
        } => {
            text(Some("discovery"));
            text(Some(issuer));
            text(keys_cluster.as_deref());
            text(keys_authority.as_deref());
        }
    }
    for number in [refresh_ms, timeout_ms, max_stale_ms] {
        hash.update(number.to_be_bytes());
    }
    let digest = hash.finalize();
    hex(digest.get(..8).unwrap_or_default())
}

impl SourceFault {
    /// The field of the policy that is at fault, below the source.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            SourceFault::ClusterInvalid => "cluster",
            SourceFault::AuthorityInvalid => "authority",
            SourceFault::PathInvalid => "path",
            SourceFault::RefreshOutOfBounds => "refresh",
            SourceFault::TimeoutOutOfBounds | SourceFault::TimeoutNotBelowRefresh => "timeout",
            SourceFault::MaxStaleOutOfBounds => "maxStale",
            SourceFault::IssuerInvalid => "issuer",
            SourceFault::KeysClusterInvalid => "keysCluster",
            SourceFault::KeysAuthorityInvalid => "keysAuthority",
        }
    }
}

impl fmt::Display for SourceFault {
    /// What is wrong, to stand behind the path of the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SourceFault::ClusterInvalid | SourceFault::KeysClusterInvalid => {
                "must be 1 to 255 visible ASCII characters"
            }
            SourceFault::AuthorityInvalid | SourceFault::KeysAuthorityInvalid => {
                "must be a host, with a port where it is not 443"
            }
            SourceFault::PathInvalid => {
                "must begin with `/` and be written in plain form: nothing percent-encoded, no `//`, no dot segments"
            }
            SourceFault::RefreshOutOfBounds => "must be 1s to 24h",
            SourceFault::TimeoutOutOfBounds => "must be 100ms to 30s",
            SourceFault::TimeoutNotBelowRefresh => {
                "all calls of one attempt (two for a discovery) must end before the next refresh"
            }
            SourceFault::MaxStaleOutOfBounds => "must be at least the refresh and at most 30d",
            SourceFault::IssuerInvalid => "must not be empty",
        })
    }
}

impl std::error::Error for SourceFault {}

#[cfg(test)]
mod tests;
