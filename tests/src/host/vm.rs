//! One VM: the compiled module, its start, its callbacks, its end.
//!
//! A trap is the end of the VM, as in the gateway: no further callback runs in it, and whoever asks finds the trouble.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use wasmtime::{
    Config, Engine, InstancePre, Linker, Module, Store, TypedFunc, WasmParams, WasmResults,
};

use super::calls::{Answered, Behaviour, Clusters, Pending};
use super::imports;
use super::shared::SharedData;
use super::state::{Host, Later, LogLine, ROOT, StreamId};
use crate::scenario::gateway;

/// Fuel of one callback: about a hundred times what the largest scenario needs.
const FUEL: u64 = 200_000_000_000;

/// Why a VM does not come up.
#[derive(Debug)]
pub enum HostFault {
    /// The file cannot be read.
    Unreadable(String),
    /// The module does not compile, link or start.
    Module(String),
    /// `on_configure` said no.
    Refused {
        /// What the module logged, most important lines included.
        log: Vec<LogLine>,
    },
}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostFault::Unreadable(why) | HostFault::Module(why) => f.write_str(why),
            HostFault::Refused { log } => {
                f.write_str("the module refused its configuration:")?;
                log.iter()
                    .try_for_each(|line| write!(f, "\n  [{}] {}", line.level, line.text))
            }
        }
    }
}

impl std::error::Error for HostFault {}

/// A module, compiled once and linked with the host functions.
#[derive(Clone)]
pub struct Compiled {
    engine: Engine,
    module: Module,
    ready: Arc<InstancePre<Host>>,
}

impl Compiled {
    /// Compiles the module of a file.
    ///
    /// # Errors
    /// When the file is missing, is no module, or imports what no host function stands for.
    pub fn from_file(path: &Path) -> Result<Self, HostFault> {
        let bytes = std::fs::read(path)
            .map_err(|e| HostFault::Unreadable(format!("{}: {e}", path.display())))?;
        Self::from_bytes(&bytes)
    }

    /// Compiles a module.
    ///
    /// # Errors
    /// As [`Compiled::from_file`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HostFault> {
        let fault = |e: wasmtime::Error| HostFault::Module(format!("{e:?}"));
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config).map_err(fault)?;
        let module = Module::new(&engine, bytes).map_err(fault)?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker).map_err(fault)?;
        imports::link_carried(&mut linker, &module).map_err(fault)?;
        let ready = linker.instantiate_pre(&module).map_err(fault)?;
        Ok(Compiled {
            engine,
            module,
            ready: Arc::new(ready),
        })
    }

    /// What the module imports, as `module.name`, sorted.
    #[must_use]
    pub fn imports(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .module
            .imports()
            .map(|import| format!("{}.{}", import.module(), import.name()))
            .collect();
        names.sort();
        names
    }
}

macro_rules! callbacks {
    ($($field:ident: $params:ty => $result:ty;)*) => {
        /// The callbacks of the module; one that it does not export is answered as the gateway does, with Continue.
        pub(super) struct Callbacks { $(pub(super) $field: Option<TypedFunc<$params, $result>>,)* }

        impl Callbacks {
            fn find(instance: &wasmtime::Instance, store: &mut Store<Host>) -> Self {
                Callbacks { $($field: instance.get_typed_func(&mut *store, stringify!($field)).ok(),)* }
            }
        }
    };
}

callbacks! {
    proxy_on_context_create: (i32, i32) => ();
    proxy_on_vm_start: (i32, i32) => i32;
    proxy_on_configure: (i32, i32) => i32;
    proxy_on_tick: i32 => ();
    proxy_on_http_call_response: (i32, i32, i32, i32, i32) => ();
    proxy_on_request_headers: (i32, i32, i32) => i32;
    proxy_on_request_body: (i32, i32, i32) => i32;
    proxy_on_request_trailers: (i32, i32) => i32;
    proxy_on_response_headers: (i32, i32, i32) => i32;
    proxy_on_response_body: (i32, i32, i32) => i32;
    proxy_on_response_trailers: (i32, i32) => i32;
    proxy_on_done: i32 => i32;
    proxy_on_log: i32 => ();
    proxy_on_delete: i32 => ();
}

/// One worker's VM with the configured module in it.
pub struct Vm {
    pub(super) store: Store<Host>,
    pub(super) callbacks: Arc<Callbacks>,
    dead: bool,
    next: StreamId,
    ticked_ns: u64,
    fuel_spent: u64,
}

/// How a VM is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The plugin's configuration.
    pub configuration: String,
    /// What the workers share.
    pub shared: SharedData,
    /// What the workers can call.
    pub clusters: Clusters,
    /// Seconds since 1970 at the start.
    pub now: u64,
    /// Whether the host offers `verify_signature`.
    pub host_crypto: bool,
}

impl Vm {
    /// Starts the module with a policy, `now` being seconds since 1970.
    ///
    /// # Errors
    /// When it traps or refuses.
    pub fn start(compiled: &Compiled, policy: &str, now: u64) -> Result<Self, HostFault> {
        let setup = Setup {
            configuration: policy.to_owned(),
            shared: SharedData::default(),
            clusters: Clusters::default(),
            now,
            host_crypto: true,
        };
        Self::start_with(compiled, setup)
    }

    /// Starts the module as `setup` says.
    ///
    /// # Errors
    /// When it traps or refuses.
    pub fn start_with(compiled: &Compiled, setup: Setup) -> Result<Self, HostFault> {
        let fault = |e: wasmtime::Error| HostFault::Module(format!("{e:?}"));
        let size = i32::try_from(setup.configuration.len())
            .map_err(|e| HostFault::Module(e.to_string()))?;
        let host = Host {
            memory: None,
            allocate: None,
            shared: setup.shared,
            clusters: setup.clusters,
            pending: Vec::new(),
            next_token: 0,
            answered: None,
            environment: gateway::ENVIRONMENT
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            configuration: setup.configuration.into_bytes(),
            now_ns: setup.now * 1_000_000_000,
            random: setup.now,
            tick_ms: 0,
            current: ROOT,
            stop: false,
            later: VecDeque::new(),
            streams: BTreeMap::new(),
            finished: BTreeMap::new(),
            log: Vec::new(),
            trouble: Vec::new(),
            calls: BTreeMap::new(),
            counters: Vec::new(),
            host_crypto: setup.host_crypto,
        };
        let now_ns = host.now_ns;
        let mut store = Store::new(&compiled.engine, host);
        store.set_fuel(FUEL).map_err(fault)?;
        let instance = compiled.ready.instantiate(&mut store).map_err(fault)?;
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        for name in ["proxy_on_memory_allocate", "malloc"] {
            if store.data().allocate.is_none() {
                store.data_mut().allocate = instance.get_typed_func(&mut store, name).ok();
            }
        }
        let callbacks = Arc::new(Callbacks::find(&instance, &mut store));
        let mut vm = Vm {
            store,
            callbacks,
            dead: false,
            next: ROOT + 1,
            ticked_ns: now_ns,
            fuel_spent: 0,
        };
        for name in ["_initialize", "_start"] {
            if let Ok(begin) = instance.get_typed_func::<(), ()>(&mut vm.store, name) {
                begin.call(&mut vm.store, ()).map_err(fault)?;
                break;
            }
        }
        vm.configure(size)?;
        Ok(vm)
    }

    fn configure(&mut self, size: i32) -> Result<(), HostFault> {
        let root = ROOT.cast_signed();
        let calls = Arc::clone(&self.callbacks);
        self.call(ROOT, calls.proxy_on_context_create.as_ref(), (root, 0));
        let started = self
            .call(ROOT, calls.proxy_on_vm_start.as_ref(), (root, 0))
            .unwrap_or(1);
        let configured = started != 0
            && self
                .call(ROOT, calls.proxy_on_configure.as_ref(), (root, size))
                .is_none_or(|said| said != 0);
        if let Some(trouble) = self.store.data().trouble.first() {
            return Err(HostFault::Module(trouble.clone()));
        }
        if configured {
            Ok(())
        } else {
            Err(HostFault::Refused {
                log: self.store.data().log.clone(),
            })
        }
    }

    /// Calls into the module for a context and does afterwards what the call asked for. `None` when the VM is dead, the
    /// call traps, or the module has no such callback.
    pub(super) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        function: Option<&TypedFunc<P, R>>,
        arguments: P,
    ) -> Option<R> {
        self.call_stopped(context, function, arguments)
            .map(|(result, _)| result)
    }

    /// As `call`, and whether the call asked for a local reply: then its own result counts for nothing.
    pub(super) fn call_stopped<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        function: Option<&TypedFunc<P, R>>,
        arguments: P,
    ) -> Option<(R, bool)> {
        let function = function?;
        if self.dead {
            return None;
        }
        self.store.data_mut().current = context;
        self.store.data_mut().stop = false;
        if self.store.set_fuel(FUEL).is_err() {
            return None;
        }
        let result = function.call(&mut self.store, arguments);
        self.fuel_spent += FUEL - self.store.get_fuel().unwrap_or(0);
        match result {
            Ok(result) => {
                let stopped = self.store.data().stop;
                self.settle();
                Some((result, stopped))
            }
            Err(e) => {
                self.dead = true;
                self.store
                    .data_mut()
                    .trouble(format!("the VM trapped: {e:?}"));
                None
            }
        }
    }

    /// Does what was put off until after the VM call.
    fn settle(&mut self) {
        while let Some(later) = self.store.data_mut().later.pop_front() {
            match later {
                Later::Reply(id, reply) => self.local_reply(id, &reply),
                Later::ResumeRequest(id) => self.resume_request(id),
                Later::ResumeResponse(id) => self.resume_response(id),
                Later::Close(id) => self.reset(id),
            }
        }
    }

    /// The number of the next stream.
    pub(super) fn number(&mut self) -> StreamId {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Lets time pass and runs the ticks and the answers to calls that fall into it, in their order.
    pub fn advance(&mut self, milliseconds: u64) {
        let until = self.store.data().now_ns + milliseconds * 1_000_000;
        while !self.dead {
            let period = u64::from(self.store.data().tick_ms) * 1_000_000;
            let tick = (period > 0).then_some(self.ticked_ns + period);
            let answer = self
                .store
                .data()
                .pending
                .iter()
                .map(|call| call.due_ns)
                .min();
            let Some(next) = tick
                .into_iter()
                .chain(answer)
                .min()
                .filter(|at| *at <= until)
            else {
                break;
            };
            let now = self.store.data().now_ns.max(next);
            self.store.data_mut().now_ns = now;
            if answer == Some(next) {
                self.answer_call(next);
            } else {
                self.ticked_ns = next;
                let calls = Arc::clone(&self.callbacks);
                self.call(ROOT, calls.proxy_on_tick.as_ref(), ROOT.cast_signed());
            }
        }
        self.store.data_mut().now_ns = until;
    }

    /// Hands the module the answer that is due, in the root context.
    fn answer_call(&mut self, due_ns: u64) {
        let host = self.store.data_mut();
        let Some(at) = host.pending.iter().position(|call| call.due_ns == due_ns) else {
            return;
        };
        let Pending { token, answer, .. } = host.pending.remove(at);
        host.answered = answer.as_ref().map(Answered::of);
        let size = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let (headers, body, trailers) = host.answered.as_ref().map_or((0, 0, 0), |answered| {
            let trailers = answered.trailers.as_ref();
            (
                size(answered.headers.pairs.len()),
                size(answered.body.len()),
                size(trailers.map_or(0, |trailers| trailers.pairs.len())),
            )
        });
        let calls = Arc::clone(&self.callbacks);
        self.call(
            ROOT,
            calls.proxy_on_http_call_response.as_ref(),
            (
                ROOT.cast_signed(),
                token.cast_signed(),
                headers,
                body,
                trailers,
            ),
        );
        self.store.data_mut().answered = None;
    }

    /// Lets a cluster exist, or behave otherwise from now on, for every VM that shares it.
    pub fn cluster(&self, name: &str, behaviour: Behaviour) {
        self.store.data().clusters.set(name, behaviour);
    }

    /// What this VM can call, and what was called.
    #[must_use]
    pub fn clusters(&self) -> Clusters {
        self.store.data().clusters.clone()
    }

    /// Calls that were made and have no answer yet.
    #[must_use]
    pub fn calls_under_way(&self) -> usize {
        self.store.data().pending.len()
    }

    /// What went wrong so far; empty when nothing did.
    #[must_use]
    pub fn trouble(&self) -> &[String] {
        &self.store.data().trouble
    }

    /// Writes down what a driver of this VM found.
    pub fn complain(&mut self, text: &str) {
        self.store.data_mut().trouble(text);
    }

    /// Throws the log away, for tests that run long.
    pub fn forget_log(&mut self) {
        if self.open_streams() == 0 {
            self.store.data_mut().log.clear();
        }
    }

    /// Every line logged so far.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.store.data().log
    }

    /// Bytes of the module's memory; it never shrinks.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.store
            .data()
            .memory
            .map_or(0, |memory| memory.data_size(&self.store))
    }

    /// Fuel that all callbacks took so far, host functions not counted.
    #[must_use]
    pub fn fuel_spent(&self) -> u64 {
        self.fuel_spent
    }

    /// Streams that are not over.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.store.data().streams.len()
    }

    /// The value of a counter of the module; 0 for one that it did not define.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let mut counters = self.store.data().counters.iter();
        counters
            .find(|(known, _)| known == name)
            .map_or(0, |(_, value)| *value)
    }

    /// How often a host function was called.
    #[must_use]
    pub fn calls(&self, function: &str) -> u64 {
        self.store
            .data()
            .calls
            .get(function)
            .copied()
            .unwrap_or_default()
    }
}
