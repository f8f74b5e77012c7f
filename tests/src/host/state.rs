//! What the host knows: of the VM, and of each stream in it.

use std::collections::{BTreeMap, VecDeque};

use wasmtime::{Memory, TypedFunc};

use super::calls::{Answered, Clusters, Pending};
use super::shared::SharedData;
use super::wire::{BufferKind, MapKind, Pair};
use crate::scenario::{Answer, ClientTls, Forwarded, Mode, Protocol, Upstream};

/// A stream, by the number of its context in the VM.
pub type StreamId = u32;

/// The root context.
pub(super) const ROOT: u32 = 1;

/// One line of log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 critical.
    pub level: i32,
    /// The text, bytes that are not UTF-8 replaced.
    pub text: String,
}

/// What the store of a VM carries.
pub(super) struct Host {
    pub(super) memory: Option<Memory>,
    pub(super) allocate: Option<TypedFunc<i32, i32>>,
    pub(super) shared: SharedData,
    pub(super) clusters: Clusters,
    /// Calls under way; they belong to the root context.
    pub(super) pending: Vec<Pending>,
    /// The token of the last call.
    pub(super) next_token: u32,
    /// The answer whose callback runs now.
    pub(super) answered: Option<Answered>,
    pub(super) environment: Vec<String>,
    pub(super) configuration: Vec<u8>,
    pub(super) now_ns: u64,
    pub(super) random: u64,
    pub(super) tick_ms: u32,
    /// The context that host calls act on.
    pub(super) current: u32,
    /// Nothing further runs in this event: a local reply was asked for.
    pub(super) stop: bool,
    pub(super) later: VecDeque<Later>,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) finished: BTreeMap<StreamId, Finished>,
    pub(super) log: Vec<LogLine>,
    pub(super) trouble: Vec<String>,
    /// How often each host function was called.
    pub(super) calls: BTreeMap<&'static str, u64>,
    /// The counters that the module defined, by their number: name and value.
    pub(super) counters: Vec<(String, u64)>,
    /// Whether `verify_signature` answers, as on a host that has it.
    pub(super) host_crypto: bool,
}

/// What a host call asks for and what happens after the VM call is over.
#[derive(Debug)]
pub(super) enum Later {
    /// A local reply.
    Reply(StreamId, Reply),
    /// The request goes on.
    ResumeRequest(StreamId),
    /// The answer goes on.
    ResumeResponse(StreamId),
    /// The stream is reset.
    Close(StreamId),
}

/// An answer made by the gateway.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) details: String,
    pub(super) headers: Vec<Pair>,
    pub(super) body: Vec<u8>,
}

/// A header map and whether the module may see it now.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    pub(super) pairs: Vec<Pair>,
    pub(super) visible: bool,
}

impl Map {
    pub(super) fn first(&self, name: &str) -> Option<&[u8]> {
        self.pairs
            .iter()
            .find(|(seen, _)| seen == name.as_bytes())
            .map(|(_, value)| value.as_slice())
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        self.pairs.retain(|(seen, _)| seen != name);
    }

    pub(super) fn replace(&mut self, name: &[u8], value: &[u8]) {
        match self.pairs.iter().position(|(seen, _)| seen == name) {
            Some(at) => {
                self.pairs[at].1 = value.to_vec();
                let mut place = 0;
                self.pairs.retain(|(seen, _)| {
                    let keep = place <= at || seen != name;
                    place += 1;
                    keep
                });
            }
            None => self.pairs.push((name.to_vec(), value.to_vec())),
        }
    }
}

/// How far one direction of a stream has come past the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Iteration {
    /// Everything passes the module and goes on.
    Flowing,
    /// The module stopped; what comes is shown to it and buffered.
    Stopped,
    /// The module stopped everything: what comes is buffered and not shown.
    StoppedAll,
}

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) headers: Map,
    pub(super) trailers: Option<Map>,
    pub(super) iteration: Iteration,
    pub(super) head_passed: bool,
    /// The end of the message was seen, trailers or not.
    pub(super) ended: bool,
    /// What is buffered in front of the module's successor.
    pub(super) held: Option<Vec<u8>>,
    /// The last body callback said Pause: callbacks see everything held.
    pub(super) cumulative: bool,
    /// The chunk of the callback that runs now.
    pub(super) chunk: Option<Vec<u8>>,
}

impl Default for Way {
    fn default() -> Self {
        Way {
            headers: Map::default(),
            trailers: None,
            iteration: Iteration::Flowing,
            head_passed: false,
            ended: false,
            held: None,
            cumulative: false,
            chunk: None,
        }
    }
}

impl Way {
    /// The buffer that a body callback sees.
    pub(super) fn body(&mut self) -> Option<&mut Vec<u8>> {
        if self.cumulative {
            self.held.as_mut()
        } else {
            self.chunk.as_mut()
        }
    }

    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.get_or_insert_default().extend_from_slice(bytes);
    }
}

/// What stands between the module and upstream.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// In mode `buffer`: the head has come and is held.
    pub(super) buffering: Option<Vec<u8>>,
    /// What upstream saw.
    pub(super) sent: Option<Forwarded>,
}

/// Facts of the stream that the gateway tells in properties and access logs.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) protocol: Option<Protocol>,
    pub(super) started_ns: u64,
    pub(super) ended_ns: Option<u64>,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) status: Option<u16>,
    pub(super) details: Option<String>,
    pub(super) flags: u64,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) mode: Mode,
    pub(super) upstream: Upstream,
    pub(super) buffer_limit: usize,
    pub(super) connection: Option<ClientTls>,
    pub(super) request: Way,
    pub(super) response: Way,
    pub(super) behind: Behind,
    pub(super) facts: Facts,
    pub(super) filter_state: BTreeMap<String, Vec<u8>>,
    /// The access log phase: every map is visible, read only.
    pub(super) logging: bool,
    /// A local reply was asked for; a second one is refused.
    pub(super) reply_asked: bool,
    /// The head of an answer left towards the client.
    pub(super) answer: Option<Answer>,
    /// Nothing of the request is shown to the module any more.
    pub(super) aborted: bool,
    /// Where the log stood when the stream began.
    pub(super) log_from: usize,
}

impl Stream {
    /// Whether more is buffered than the gateway takes, in front of the module's successor or behind it.
    pub(super) fn over_limit(&self) -> bool {
        let held = self.request.held.as_ref().map_or(0, Vec::len);
        let behind = self.behind.buffering.as_ref().map_or(0, Vec::len);
        held > self.buffer_limit || behind > self.buffer_limit
    }
}

/// A stream that is over: everything there is to judge.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// What the client was answered.
    pub answer: Option<Answer>,
    /// What upstream saw.
    pub forwarded: Option<Forwarded>,
    /// Response code details.
    pub details: Option<String>,
    /// Filter state as an access log reads it.
    pub filter_state: BTreeMap<String, Vec<u8>>,
    /// Log lines of the VM while the stream lived.
    pub log: Vec<LogLine>,
}

impl Host {
    pub(super) fn trouble(&mut self, text: impl Into<String>) {
        self.trouble.push(text.into());
    }

    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        let current = self.current;
        self.streams.get_mut(&current)
    }

    /// The map that the current context may see now.
    pub(super) fn map(&mut self, kind: MapKind) -> Option<&mut Map> {
        // Of a call's answer every context sees everything, while its callback runs.
        if let MapKind::CallHeaders | MapKind::CallTrailers = kind {
            let answered = self.answered.as_mut()?;
            return match kind {
                MapKind::CallTrailers => answered.trailers.as_mut(),
                _ => Some(&mut answered.headers),
            };
        }
        let stream = self.stream()?;
        let logging = stream.logging;
        let map = match kind {
            MapKind::RequestHeaders => Some(&mut stream.request.headers),
            MapKind::RequestTrailers => stream.request.trailers.as_mut(),
            MapKind::ResponseHeaders => Some(&mut stream.response.headers),
            MapKind::ResponseTrailers => stream.response.trailers.as_mut(),
            MapKind::CallHeaders | MapKind::CallTrailers => None,
        }?;
        (map.visible || (logging && !map.pairs.is_empty())).then_some(map)
    }

    /// The buffer that the current context may see now.
    pub(super) fn buffer(&mut self, kind: BufferKind) -> Option<&mut Vec<u8>> {
        match kind {
            BufferKind::RequestBody => self.stream()?.request.body(),
            BufferKind::ResponseBody => self.stream()?.response.body(),
            BufferKind::CallBody => Some(&mut self.answered.as_mut()?.body),
            BufferKind::PluginConfiguration => Some(&mut self.configuration),
            BufferKind::VmConfiguration => None,
        }
    }
}
