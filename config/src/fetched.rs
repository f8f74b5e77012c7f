//! What is fetched while the gateway runs: `remote` and `discovery`, each over a named cluster of the gateway.

use crate::read::{At, Object, Problems, owned, text};
use crate::units::duration;
use postern_core::fetch::{DISCOVERY_PATH, Kind, Source, SourceSpec};
use postern_core::library::Shelf;

/// `refresh`, `timeout` and `maxStale` of keys where a source names none, in milliseconds: 5 m, 2 s, 24 h.
const KEYS: Times = Times {
    refresh: 300_000,
    timeout: 2_000,
    max_stale: 86_400_000,
};

/// The same of a list of revoked tokens: 30 s, 2 s, 1 h. What was revoked since is not known while it is stale.
const LIST: Times = Times {
    refresh: 30_000,
    timeout: 2_000,
    max_stale: 3_600_000,
};

#[derive(Debug, Clone, Copy)]
struct Times {
    refresh: u64,
    timeout: u64,
    max_stale: u64,
}

/// The sources of a policy, in the order in which they were read. Two places that say the same are one source.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// All of them.
    pub(crate) fn into_list(self) -> Vec<Source> {
        self.0
    }

    fn add(
        &mut self,
        path: &str,
        spec: Option<SourceSpec>,
        problems: &mut Problems,
    ) -> Option<Shelf> {
        match Source::new(spec?) {
            Ok(source) => {
                let place = self.0.iter().position(|other| *other == source);
                let place = place.unwrap_or_else(|| {
                    self.0.push(source);
                    self.0.len().saturating_sub(1)
                });
                Some(Shelf(place))
            }
            Err(faults) => {
                for fault in faults {
                    problems.add(&format!("{path}.{}", fault.field()), fault.to_string());
                }
                None
            }
        }
    }
}

/// Keys: of a set, or with an `iss` of what its discovery document points to.
pub(crate) fn keys_source(
    at: &At<'_>,
    discovery_of: Option<&str>,
    sources: &mut Sources,
    problems: &mut Problems,
) -> Option<Shelf> {
    let mut object = at.object(problems)?;
    let path = match discovery_of {
        None => object.required("path", problems, owned),
        Some(_) => object.optional("path", problems, Some(DISCOVERY_PATH.to_owned()), owned),
    };
    let kind = match discovery_of {
        None => Some(Kind::Keys),
        Some(issuer) => optional_text(&mut object, "keysCluster", problems).and_then(|cluster| {
            Some(Kind::Discovery {
                issuer: issuer.to_owned(),
                keys_cluster: cluster,
                keys_authority: optional_text(&mut object, "keysAuthority", problems)?,
            })
        }),
    };
    let spec = read(&mut object, path, kind, KEYS, problems);
    object.finish(problems);
    sources.add(at.path(), spec, problems)
}

/// A list of revoked tokens.
pub(crate) fn list_source(
    at: &At<'_>,
    sources: &mut Sources,
    problems: &mut Problems,
) -> Option<Shelf> {
    let mut object = at.object(problems)?;
    let path = object.required("path", problems, owned);
    let spec = read(&mut object, path, Some(Kind::Revocation), LIST, problems);
    object.finish(problems);
    sources.add(at.path(), spec, problems)
}

fn optional_text(
    object: &mut Object<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<Option<String>> {
    object.optional(name, problems, Some(None), |at, problems| {
        owned(at, problems).map(Some)
    })
}

fn read(
    object: &mut Object<'_>,
    path: Option<String>,
    kind: Option<Kind>,
    times: Times,
    problems: &mut Problems,
) -> Option<SourceSpec> {
    let cluster = object.required("cluster", problems, |at, problems| {
        text(at, problems).map(str::to_owned)
    });
    let authority = optional_text(object, "authority", problems);
    let refresh = object.optional("refresh", problems, Some(times.refresh), duration);
    let timeout = object.optional("timeout", problems, Some(times.timeout), duration);
    let max_stale = object.optional("maxStale", problems, Some(times.max_stale), duration);
    let cluster = cluster?;
    Some(SourceSpec {
        // A call names a host in any case; a cluster is called by its own name where the policy says nothing else.
        authority: authority?.unwrap_or_else(|| cluster.clone()),
        cluster,
        path: path?,
        refresh_ms: refresh?,
        timeout_ms: timeout?,
        max_stale_ms: max_stale?,
        kind: kind?,
    })
}
