//! The scenario files: what a client sends, what upstream does, and what must be seen.
//!
//! A file names a policy and lists scenarios; each becomes one [`Case`] per head-hold mode and protocol. The format is
//! described in `tests/scenarios/README.md`.

mod judge;
mod load;
mod model;
mod observed;
mod request;
#[cfg(test)]
mod tests;

pub use judge::Failure;
pub use load::{LoadFault, load_all};
pub use model::{
    Chunks, End, Framing, Leave, Mode, Policy, Protocol, Scenario, Splits, TlsVersion, Upstream,
    UpstreamLeave,
};
pub use observed::{Answer, Forwarded, Headers, Observed};
pub use request::{ClientTls, Request};

use std::sync::Arc;

use crate::issuer::IssuerFault;

/// What the gateways of both levels are set to; facts of the set-up, not of the product.
pub mod gateway {
    /// Bytes a connection buffers before the gateway answers 413 itself; the gateway's own default.
    pub const BUFFER_LIMIT: usize = 1 << 20;
    /// `max_request_bytes` of the buffer filter behind us in mode `buffer`.
    pub const BUFFER_FILTER_MAX: usize = 8 << 20;
    /// In mode `buffer`: headers that the gateway adds from filter state when the head leaves, as (header, state).
    pub const ADDED: &[(&str, &str)] = &[
        ("x-postern-model", "wasm.postern.model"),
        ("x-postern-rule", "wasm.postern.rule"),
    ];
    /// The environment that the module's VM is given.
    pub const ENVIRONMENT: &[(&str, &str)] = &[("POD_NAME", "pod-1")];
}

/// One scenario in one mode over one protocol.
#[derive(Clone, Debug)]
pub struct Case {
    file: Arc<str>,
    scenario: Arc<Scenario>,
    policy: Arc<Policy>,
    mode: Mode,
    protocol: Protocol,
}

impl Case {
    /// `identity: expired token is refused [flag h1]`; unique.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "{}: {} [{} {}]",
            self.file, self.scenario.name, self.mode, self.protocol
        )
    }

    /// The scenario as written.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How the gateway holds the head.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the client speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Name of the policy; cases with the same name and mode can share one gateway.
    #[must_use]
    pub fn policy_name(&self) -> &str {
        &self.policy.name
    }

    /// The policy as JSON text for `mode`: key sets in place, `host.headHold` stated.
    #[must_use]
    pub fn policy_json(&self, mode: Mode) -> String {
        self.policy.json(mode)
    }

    /// What the client sends, its token minted at `now` (seconds since 1970).
    ///
    /// # Errors
    /// When the scenario names a key or a claim that does not exist; [`load_all`] has tried it once already.
    pub fn request(&self, now: u64) -> Result<Request, IssuerFault> {
        Request::make(&self.scenario, &self.name(), now)
    }

    /// What upstream does with a request that reaches it.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.scenario.upstream
    }

    /// Holds what was seen against what the scenario expects and against what always holds.
    ///
    /// # Errors
    /// Every difference, with file, scenario, mode and protocol.
    pub fn judge(&self, request: &Request, observed: &Observed) -> Result<(), Failure> {
        judge::judge(self, request, observed)
    }
}
