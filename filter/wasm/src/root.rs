//! What a worker has: the policy that it loaded, its ids, and the streams that wait.

use crate::call::{Call, Waiting};
use crate::crypto::{self, By};
use crate::host;
use postern_core::audit::{Ids, hex};
use postern_core::policy::{Policy, Sink};
use postern_core::stream::Ground;
use postern_core::token::Crypto;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// How often waiting streams are looked at, in milliseconds: how much later than its deadline a hold may end.
const TICK_MILLIS: u32 = 250;

/// Everything that the streams of one policy on one worker share. A stream keeps the one it began with, so a new policy
/// concerns new streams only.
#[derive(Debug)]
pub(crate) struct Worker {
    policy: Policy,
    crypto: Crypto,
    signatures: By,
    pub(crate) ids: RefCell<Ids>,
    /// Streams that wait for their decision, by context id.
    pub(crate) waiting: RefCell<BTreeMap<u32, Waiting>>,
}

impl Worker {
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn ground(&self) -> Ground<'_> {
        Ground {
            policy: &self.policy,
            crypto: self.crypto,
        }
    }
}

/// The root context of the plugin.
#[derive(Debug)]
pub(crate) struct Root {
    context: u32,
    /// None until a policy was loaded: then there is nothing to decide by, and streams are refused.
    worker: Option<Rc<Worker>>,
    /// Whether the gateway's log hid the records when it was last looked at.
    records_hidden: bool,
}

impl Root {
    pub(crate) fn new(context: u32) -> Self {
        Self {
            context,
            worker: None,
            records_hidden: false,
        }
    }

    fn load(&self, size: usize) -> Result<Worker, Vec<String>> {
        let one = |problem: String| vec![problem];
        let text = host::buffer(BufferType::PluginConfiguration, 0, size).map_err(|refused| {
            one(format!(
                "policy: the gateway does not give it ({refused:?})"
            ))
        })?;
        let policy = postern_config::load(&text, &environment())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        if hides_records(&policy) {
            return Err(one(
                "audit.sinks: records go to the log at level warning, and the gateway's wasm log level is above it; \
                 lower it (--component-log-level wasm:warning) or use the sink accessLog"
                    .to_owned(),
            ));
        }
        let (crypto, signatures) =
            crypto::install().map_err(|problem| one(format!("policy: {problem}")))?;
        let boot = random()
            .map_err(|error| one(format!("policy: the gateway gives no randomness ({error})")))?;
        let ids = RefCell::new(Ids::new(boot));
        host::tick_every(TICK_MILLIS).map_err(|refused| {
            one(format!(
                "host: the gateway does not give ticks ({refused:?})"
            ))
        })?;
        Ok(Worker {
            policy,
            crypto,
            signatures,
            ids,
            waiting: RefCell::default(),
        })
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match self.load(size) {
            Ok(worker) => {
                host::log(
                    LogLevel::Info,
                    &format!(
                        "postern {} git {} policy {} started, signatures by {}",
                        env!("CARGO_PKG_VERSION"),
                        option_env!("POSTERN_GIT_HASH").unwrap_or("unknown"),
                        hex(&worker.policy.digest),
                        worker.signatures,
                    ),
                );
                self.worker = Some(Rc::new(worker));
                true
            }
            Err(problems) => {
                for problem in problems {
                    host::log(LogLevel::Critical, &format!("postern policy: {problem}"));
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(worker) = &self.worker else { return };
        // WHY at every tick: the level can be changed while the gateway runs, and records must not fall silent unseen.
        let hidden = hides_records(worker.policy());
        if hidden && !self.records_hidden {
            host::log(
                LogLevel::Critical,
                "postern audit.sinks: the gateway's log level hides the records from now on; set wasm to warning",
            );
        }
        self.records_hidden = hidden;
        let Ok(now) = host::now() else { return };
        // Each is taken out first: ending one changes the list.
        let due: Vec<(u32, Waiting)> = worker
            .waiting
            .borrow()
            .iter()
            .filter(|(_, waiting)| waiting.deadline() <= now)
            .map(|(context, waiting)| (*context, waiting.clone()))
            .collect();
        for (context, waiting) in due {
            if host::act_for(context).is_ok() {
                waiting.expire(context, worker, now);
            }
        }
        // What follows in this callback is ours again.
        let _ = host::act_for(self.context);
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Call::new(context, self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Whether the gateway's log would not show the records that the policy sends there.
fn hides_records(policy: &Policy) -> bool {
    policy.audit.sinks.contains(&Sink::Log)
        && host::log_level().is_ok_and(|level| level > LogLevel::Warn as u32)
}

/// The plugin's environment, which the gateway set (`vmConfig.env`).
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the environment is read and made an argument"
)]
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Eight random bytes of the host.
fn random() -> Result<[u8; 8], getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::getrandom(&mut bytes)?;
    Ok(bytes)
}
