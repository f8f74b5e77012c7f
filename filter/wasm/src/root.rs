//! What a worker has: the policy that it loaded, its ids, and the streams that wait.

use crate::call::{Call, Waiting};
use crate::crypto::{self, By};
use crate::host::{self, Counter, Headers};
use postern_core::audit::{Ids, hex};
use postern_core::fetch::{self, MAX_DOCUMENT_BYTES, Note};
use postern_core::library::{Errand, Library, Shelf};
use postern_core::policy::{Policy, Sink};
use postern_core::store::{Ask, Cas, Told};
use postern_core::stream::{Event, Ground, Step, Stream};
use postern_core::token::dpop::{SECRET_KEY, SecretStep, first_secret};
use postern_core::token::{Counts, Crypto, Memory};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel, MapType};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    memory: RefCell<Memory>,
    /// Calls to issuers that are under way, by the host's number: whose, and which.
    calls: RefCell<BTreeMap<u32, (Shelf, u64)>>,
    counters: Counters,
    pub(crate) ids: RefCell<Ids>,
    /// Streams that wait for their decision, by context id.
    pub(crate) waiting: RefCell<BTreeMap<u32, Waiting>>,
    /// Shelves that streams wait for. WHY not at once: the SDK hands an answer to the context that called, and a stream may
    /// be over by then.
    pub(crate) wanted: RefCell<BTreeSet<Shelf>>,
    /// How far the library had come when the streams that wait for it were last told.
    progress: RefCell<Vec<(u64, Option<u64>)>>,
}

impl Worker {
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// One step of a stream.
    pub(crate) fn advance(&self, stream: Stream, event: Event<'_>, now: u64) -> (Stream, Step) {
        let mut memory = self.memory.borrow_mut();
        let mut ground = Ground {
            policy: &self.policy,
            memory: &mut memory,
            crypto: self.crypto,
        };
        stream.on(event, now, &mut ground)
    }

    /// Tells a shelf what happened, and runs its errands to their end.
    fn fill(&self, shelf: Shelf, event: fetch::Event, now: u64) {
        let luck = random().map_or(0, u32::from_le_bytes);
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let errands = self.memory.borrow_mut().library.on(shelf, event, now, luck);
            for errand in errands {
                match errand {
                    Errand::Ask(ask) => events.push_back(fetch::Event::Told(host::ask(ask))),
                    Errand::Call(call) => events.extend(self.call(shelf, &call)),
                    Errand::Note(note) => self.note(shelf, note),
                    Errand::Remark(remark) => self.tell(shelf, LogLevel::Warn, &remark),
                }
            }
        }
    }

    /// Makes a call; one that the host does not make ends at once.
    fn call(&self, shelf: Shelf, call: &fetch::Call) -> Option<fetch::Event> {
        match host::call(call) {
            Ok(token) => {
                let mut calls = self.calls.borrow_mut();
                calls.insert(token, (shelf, call.number));
                None
            }
            Err(_) => Some(fetch::Event::NotCalled {
                number: call.number,
            }),
        }
    }

    fn note(&self, shelf: Shelf, note: Note) {
        let (level, counter) = match note {
            Note::Renewed(_) => (LogLevel::Info, self.counters.fetches),
            Note::Unchanged(_) => (LogLevel::Debug, self.counters.fetches),
            Note::Failed(_) => (LogLevel::Error, self.counters.failures),
            Note::Superseded | Note::Unusable(_) | Note::MapSilent => (LogLevel::Error, None),
        };
        self.tell(shelf, level, &note.to_string());
        count(counter, 1);
    }

    /// Tells the operator something of a source.
    fn tell(&self, shelf: Shelf, level: LogLevel, what: &str) {
        let memory = self.memory.borrow();
        if let Some(source) = memory.library.source(shelf) {
            let (cluster, path) = (source.cluster(), source.path());
            host::log(level, &format!("postern fetch {cluster}{path}: {what}"));
        }
    }

    /// Agrees with the other workers on the secret of proofs of possession.
    fn share_secret(&self) {
        if self.memory.borrow().shared_secret.is_some() {
            return;
        }
        for _ in 0..SECRET_TRIES {
            let key = SECRET_KEY.to_owned();
            let Told::Value(stored) = host::ask(Ask::Read { key: key.clone() }) else {
                return;
            };
            let stored = stored.map(|(bytes, _)| bytes);
            // WHY zeros are no hole: they serve only where no secret stands yet, and there they are refused.
            let fresh = random().unwrap_or_default();
            match first_secret(stored.as_deref(), fresh) {
                Ok(SecretStep::Known(secret)) => {
                    self.memory.borrow_mut().shared_secret = Some(secret);
                    return;
                }
                Ok(SecretStep::Write(value)) => {
                    let cas = Cas::ABSENT;
                    let _ = host::ask(Ask::Swap { key, value, cas });
                }
                // Proofs of possession are refused until there is one.
                Err(_) => return,
            }
        }
    }

    /// Carries what was counted since the last tick into the gateway's statistics.
    fn count_tokens(&self) {
        let counts = self.memory.borrow().tokens.counts();
        let told = self.counters.told.replace(counts);
        count(self.counters.hits, counts.hits.saturating_sub(told.hits));
        count(
            self.counters.misses,
            counts.misses.saturating_sub(told.misses),
        );
    }
}

/// How often the workers' secret is asked for in one go: it is there the second time, whoever wrote it.
const SECRET_TRIES: u8 = 3;

/// What the gateway's statistics show of a worker. A counter that the gateway does not give is not shown.
#[derive(Debug)]
struct Counters {
    hits: Option<Counter>,
    misses: Option<Counter>,
    fetches: Option<Counter>,
    failures: Option<Counter>,
    told: Cell<Counts>,
}

impl Counters {
    fn define() -> Self {
        let counter = |name: &str| Counter::define(name).ok();
        Self {
            hits: counter("postern.token_cache_hits"),
            misses: counter("postern.token_cache_misses"),
            fetches: counter("postern.fetches"),
            failures: counter("postern.fetch_failures"),
            told: Cell::default(),
        }
    }
}

fn count(counter: Option<Counter>, by: u64) {
    if let (Some(counter), 1..) = (counter, by) {
        // WHY: a counter that cannot be raised decides nothing.
        let _ = counter.add(by);
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

    /// Tells the streams that wait what time it is, as far as that is due.
    fn wake(&self, worker: &Worker, now: u64) {
        let progress = worker.memory.borrow().library.progress();
        let filled = *worker.progress.borrow() != progress;
        worker.progress.replace(progress);
        // Each is taken out first: ending one changes the list.
        let due: Vec<(u32, Waiting)> = worker
            .waiting
            .borrow()
            .iter()
            .filter(|(_, waiting)| waiting.is_due(now, filled))
            .map(|(context, waiting)| (*context, waiting.clone()))
            .collect();
        for (context, waiting) in due {
            if host::act_for(context).is_ok() {
                waiting.wake(context, worker, now);
            }
        }
        // What follows in this callback is ours again.
        let _ = host::act_for(self.context);
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
        let memory = Memory {
            library: Library::new(&policy.sources),
            ..Memory::default()
        };
        host::tick_every(TICK_MILLIS).map_err(|refused| {
            one(format!(
                "host: the gateway does not give ticks ({refused:?})"
            ))
        })?;
        Ok(Worker {
            policy,
            crypto,
            signatures,
            memory: RefCell::new(memory),
            calls: RefCell::default(),
            counters: Counters::define(),
            ids,
            waiting: RefCell::default(),
            wanted: RefCell::default(),
            progress: RefCell::default(),
        })
    }
}

impl Context for Root {
    fn on_http_call_response(
        &mut self,
        token: u32,
        _headers: usize,
        size: usize,
        _trailers: usize,
    ) {
        let Some(worker) = &self.worker else { return };
        // An answer to a call of an earlier policy concerns nobody any more.
        let call = worker.calls.borrow_mut().remove(&token);
        let (Some((shelf, number)), Ok(now)) = (call, host::now()) else {
            return;
        };
        // An answer of which the host shows nothing is one that broke off.
        let answer = answer(size).unwrap_or_else(|| fetch::Answer {
            status: 503,
            cache_control: None,
            age: None,
            body: Vec::new(),
        });
        worker.fill(shelf, fetch::Event::Answered { number, answer }, now);
        self.wake(worker, now);
    }
}

/// The answer to a call, in the callback that brings it; none when the host does not give it.
fn answer(size: usize) -> Option<fetch::Answer> {
    let head = Headers::read(MapType::HttpCallResponseHeaders).ok()?;
    let pairs = head.pairs()?;
    let value = |name: &[u8]| {
        let values = pairs.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let values: Vec<&[u8]> = values.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| values.join(&b", "[..]))
    };
    let status = value(b":status")?;
    // One byte more than the most that is read tells that there was more.
    let size = size.min(MAX_DOCUMENT_BYTES.saturating_add(1));
    Some(fetch::Answer {
        status: std::str::from_utf8(&status).ok()?.parse().ok()?,
        cache_control: value(b"cache-control"),
        age: value(b"age"),
        body: host::buffer(BufferType::HttpCallResponseBody, 0, size).ok()?,
    })
}

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
                // WHY before the first tick: until then every proof of possession would be refused.
                worker.share_secret();
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
        let wanted = worker.wanted.take();
        let shelves = worker.memory.borrow().library.shelves();
        for shelf in shelves {
            let event = if wanted.contains(&shelf) {
                fetch::Event::Wanted
            } else {
                fetch::Event::Tick
            };
            worker.fill(shelf, event, now);
        }
        worker.share_secret();
        worker.count_tokens();
        self.wake(worker, now);
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

/// Random bytes of the host.
fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::getrandom(&mut bytes)?;
    Ok(bytes)
}
