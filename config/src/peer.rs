//! `peers`: which workloads are known by their certificates, and which of them may speak for others.

use crate::read::{At, Problems, text};
use postern_core::peer::{PeerPattern, Peers, TlsVersion, TrustDomain};

pub(crate) fn peers(at: &At<'_>, problems: &mut Problems) -> Option<Peers> {
    let path = at.path().to_owned();
    let mut object = at.object(problems)?;
    let trust_domains = object.required("trustDomains", problems, |at, problems| {
        at.some(problems, |at, problems| {
            match TrustDomain::parse(text(at, problems)?) {
                Ok(domain) => Some(domain),
                Err(fault) => at.refuse(problems, fault.to_string()),
            }
        })
    });
    let min_tls = object.optional(
        "minTls",
        problems,
        Some(TlsVersion::V1_2),
        |at, problems| match TlsVersion::parse(text(at, problems)?) {
            Some(version) => Some(version),
            None => at.refuse(problems, "must be \"1.2\" or \"1.3\""),
        },
    );
    let proxies = object.optional(
        "forwardedClientCert",
        problems,
        Some(Vec::new()),
        |at, problems| {
            let mut object = at.object(problems)?;
            let proxies = object.required("trustedProxies", problems, |at, problems| {
                at.some(problems, pattern)
            });
            object.finish(problems);
            proxies
        },
    );
    object.finish(problems);
    match Peers::new(trust_domains?, min_tls?, proxies?) {
        Ok(peers) => Some(peers),
        Err(fault) => {
            problems.add(&path, fault.to_string());
            None
        }
    }
}

/// A SPIFFE ID, or a pattern of some.
pub(crate) fn pattern(at: &At<'_>, problems: &mut Problems) -> Option<PeerPattern> {
    match PeerPattern::parse(text(at, problems)?) {
        Ok(pattern) => Some(pattern),
        Err(fault) => at.refuse(problems, fault.to_string()),
    }
}
