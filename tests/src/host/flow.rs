//! The filter chain: what the gateway does with a request and its answer around the callbacks of the module.
//!
//! ```text
//!   client -> decode_* -> [module] -> pass_* -> (buffer filter) -> upstream
//!   client <- deliver_* <- [module] <- encode_* <- upstream or local reply
//! ```
//! Decided here, as in the gateway: when the module sees what, what is buffered, what a Continue releases, the 413 over
//! the buffer limit, what a local reply stops, and that every stream ends with `on_log`, `on_done`, `on_delete`.

mod response;

use std::sync::Arc;

use super::state::{Facts, Finished, Iteration, Map, Reply, Stream, StreamId, Way};
use super::vm::Vm;
use super::wire::Pair;
use crate::scenario::{Answer, ClientTls, Forwarded, Mode, Protocol, Upstream, gateway};

/// `Action::Continue`; everything else is Pause.
const CONTINUE: i32 = 0;
/// Response flags of the gateway, by their bit.
const UPSTREAM_TERMINATION: u64 = 1 << 6;
const DOWNSTREAM_TERMINATION: u64 = 1 << 14;

/// How a stream is carried.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the gateway holds the head.
    pub mode: Mode,
    /// What the client speaks.
    pub protocol: Protocol,
    /// What upstream does.
    pub upstream: Upstream,
    /// Bytes that the gateway buffers before it answers 413.
    pub buffer_limit: usize,
    /// The TLS connection of the client; `None` is a plain one.
    pub connection: Option<ClientTls>,
}

impl Settings {
    /// The gateway of the tests.
    #[must_use]
    pub fn new(mode: Mode, protocol: Protocol) -> Self {
        Settings {
            mode,
            protocol,
            upstream: Upstream::default(),
            buffer_limit: gateway::BUFFER_LIMIT,
            connection: None,
        }
    }
}

impl Vm {
    /// A stream whose head has come; `end` when nothing follows.
    pub fn open(&mut self, settings: Settings, head: Vec<Pair>, end: bool) -> StreamId {
        let id = self.enroll(settings, head);
        let calls = Arc::clone(&self.callbacks);
        self.call(
            id,
            calls.proxy_on_context_create.as_ref(),
            (id.cast_signed(), super::state::ROOT.cast_signed()),
        );
        self.decode_head(id, end);
        id
    }

    /// A stream that the gateway answered itself before the module saw it: it is only logged.
    pub fn dead_on_arrival(
        &mut self,
        settings: Settings,
        head: Vec<Pair>,
        status: u16,
        details: &str,
    ) -> Finished {
        let id = self.enroll(settings, head);
        if let Some(stream) = self.stream_mut(id) {
            stream.aborted = true;
            stream.facts.status = Some(status);
            stream.facts.details = Some(details.to_owned());
            stream.answer = Some(Answer {
                status,
                complete: true,
                ..Answer::default()
            });
        }
        let calls = Arc::clone(&self.callbacks);
        self.call(
            id,
            calls.proxy_on_context_create.as_ref(),
            (id.cast_signed(), super::state::ROOT.cast_signed()),
        );
        self.finish(id);
        self.take(id).unwrap_or_default()
    }

    fn enroll(&mut self, settings: Settings, head: Vec<Pair>) -> StreamId {
        let id = self.number();
        let host = self.store.data_mut();
        let started_ns = host.now_ns;
        let stream = Stream {
            mode: settings.mode,
            upstream: settings.upstream,
            buffer_limit: settings.buffer_limit,
            connection: settings.connection,
            request: Way {
                headers: Map {
                    pairs: head,
                    visible: false,
                },
                ..Way::default()
            },
            response: Way::default(),
            behind: super::state::Behind::default(),
            facts: Facts {
                protocol: Some(settings.protocol),
                started_ns,
                ..Facts::default()
            },
            filter_state: std::collections::BTreeMap::new(),
            logging: false,
            reply_asked: false,
            answer: None,
            aborted: false,
            log_from: host.log.len(),
        };
        host.streams.insert(id, stream);
        id
    }

    fn decode_head(&mut self, id: StreamId, end: bool) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        stream.request.headers.visible = true;
        stream.request.ended = end;
        let many = i32::try_from(stream.request.headers.pairs.len()).unwrap_or(i32::MAX);
        let calls = Arc::clone(&self.callbacks);
        let said = self.call_stopped(
            id,
            calls.proxy_on_request_headers.as_ref(),
            (id.cast_signed(), many, i32::from(end)),
        );
        let Some(stream) = self.live(id) else { return };
        match said {
            Some((CONTINUE, false)) => {
                stream.request.headers.visible = false;
                stream.request.head_passed = true;
                self.pass_head(id, end);
            }
            Some((_, false)) if stream.mode == Mode::Flag => {
                stream.request.iteration = Iteration::Stopped
            }
            Some(_) => stream.request.iteration = Iteration::StoppedAll,
            None => self.trapped(id),
        }
    }

    /// Bytes of the body; `end` when they are the last and no trailers follow.
    pub fn decode_data(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        let Some(stream) = self.live(id) else { return };
        stream.request.ended |= end;
        stream.facts.received += bytes.len() as u64;
        if stream.request.iteration == Iteration::StoppedAll {
            stream.request.hold(bytes);
            return;
        }
        self.show_data(id, bytes, end);
    }

    fn show_data(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        let Some(stream) = self.live(id) else { return };
        if stream.request.cumulative {
            stream.request.hold(bytes);
        }
        // WHY: the gateway buffers first, and over its limit it still shows the module the whole before it answers 413.
        // What the module says in that callback counts for nothing.
        let too_large = stream.request.cumulative && stream.over_limit();
        stream.request.chunk = Some(if stream.request.cumulative {
            Vec::new()
        } else {
            bytes.to_vec()
        });
        let size = stream.request.body().map_or(0, |body| body.len());
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        let calls = Arc::clone(&self.callbacks);
        let said = self.call_stopped(
            id,
            calls.proxy_on_request_body.as_ref(),
            (id.cast_signed(), size, i32::from(end)),
        );
        if too_large {
            self.refuse_too_large(id);
        }
        let Some(stream) = self.live(id) else { return };
        let chunk = stream.request.chunk.take().unwrap_or_default();
        match said {
            Some((CONTINUE, false)) => {
                stream.request.headers.visible = false;
                stream.request.cumulative = false;
                if stream.request.iteration == Iteration::Stopped {
                    stream.request.hold(&chunk);
                    self.release_request(id);
                } else {
                    self.pass_data(id, &chunk, end);
                }
            }
            Some((_, false)) => {
                stream.request.cumulative = true;
                stream.request.iteration = Iteration::Stopped;
                stream.request.hold(&chunk);
                if stream.over_limit() {
                    self.refuse_too_large(id);
                }
            }
            // After a local reply nothing is buffered.
            Some((_, true)) => {}
            None => self.trapped(id),
        }
    }

    /// Trailers: the end of a request whose body never says so.
    pub fn decode_trailers(&mut self, id: StreamId, trailers: Vec<Pair>) {
        let Some(stream) = self.live(id) else { return };
        stream.request.ended = true;
        let many = i32::try_from(trailers.len()).unwrap_or(i32::MAX);
        stream.request.trailers = Some(Map {
            pairs: trailers,
            visible: true,
        });
        if stream.request.iteration == Iteration::StoppedAll {
            return;
        }
        let calls = Arc::clone(&self.callbacks);
        let said = self.call_stopped(
            id,
            calls.proxy_on_request_trailers.as_ref(),
            (id.cast_signed(), many),
        );
        let Some(stream) = self.live(id) else { return };
        match said {
            Some((CONTINUE, false)) => {
                stream.request.headers.visible = false;
                if let Some(trailers) = &mut stream.request.trailers {
                    trailers.visible = false;
                }
                if stream.request.iteration == Iteration::Stopped {
                    self.release_request(id);
                } else {
                    self.pass_trailers(id);
                }
            }
            Some((_, false)) => stream.request.iteration = Iteration::Stopped,
            Some((_, true)) => {}
            None => self.trapped(id),
        }
    }

    /// `continue_stream(request)`, after the VM call in which it was asked for.
    pub(super) fn resume_request(&mut self, id: StreamId) {
        let Some(stream) = self.live(id) else { return };
        match stream.request.iteration {
            Iteration::Flowing => {}
            Iteration::Stopped => self.release_request(id),
            Iteration::StoppedAll => {
                // The module has not seen what came since: it is shown now.
                stream.request.iteration = Iteration::Flowing;
                stream.request.headers.visible = false;
                stream.request.head_passed = true;
                let ended = stream.request.ended;
                let held = stream.request.held.take();
                let trailers = stream.request.trailers.take();
                self.pass_head(id, ended && held.is_none() && trailers.is_none());
                if let Some(held) = held {
                    self.show_data(id, &held, ended && trailers.is_none());
                }
                if let Some(trailers) = trailers {
                    self.decode_trailers(id, trailers.pairs);
                }
            }
        }
    }

    /// Lets go of everything that the module held: head, body, trailers.
    fn release_request(&mut self, id: StreamId) {
        let Some(stream) = self.live(id) else { return };
        let way = &mut stream.request;
        way.iteration = Iteration::Flowing;
        way.headers.visible = false;
        let head = !way.head_passed;
        way.head_passed = true;
        let ended = way.ended;
        let held = way.held.take();
        let trailers = way.trailers.is_some();
        if head {
            self.pass_head(id, ended && held.is_none() && !trailers);
        }
        if let Some(held) = held {
            self.pass_data(id, &held, ended && !trailers);
        }
        if trailers {
            self.pass_trailers(id);
        }
    }

    /// Over the buffer limit the gateway answers by itself.
    fn refuse_too_large(&mut self, id: StreamId) {
        let reply = Reply {
            status: 413,
            details: "request_payload_too_large".to_owned(),
            headers: Vec::new(),
            body: b"Payload Too Large".to_vec(),
        };
        self.local_reply(id, &reply);
    }

    fn pass_head(&mut self, id: StreamId, end: bool) {
        let Some(stream) = self.live(id) else { return };
        if stream.mode == Mode::Buffer && !end {
            stream.buffer_limit = gateway::BUFFER_FILTER_MAX;
            stream.behind.buffering = Some(Vec::new());
            return;
        }
        self.send_head(id, end);
    }

    fn send_head(&mut self, id: StreamId, end: bool) {
        let Some(stream) = self.live(id) else { return };
        let mut headers = stream.request.headers.pairs.clone();
        if stream.mode == Mode::Buffer {
            for (name, state) in gateway::ADDED {
                if let Some(value) = stream.filter_state.get(*state) {
                    headers.push((name.as_bytes().to_vec(), value.clone()));
                }
            }
        }
        let text = |name: &str| {
            stream
                .request
                .headers
                .first(name)
                .map(|v| String::from_utf8_lossy(v).into_owned())
                .unwrap_or_default()
        };
        stream.behind.sent = Some(Forwarded {
            method: text(":method"),
            path: text(":path"),
            headers: named(headers),
            complete: end,
            ..Forwarded::default()
        });
    }

    fn pass_data(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        let Some(stream) = self.live(id) else { return };
        if let Some(buffering) = &mut stream.behind.buffering {
            buffering.extend_from_slice(bytes);
            if end {
                self.open_buffer(id, true);
            } else if stream.over_limit() {
                self.refuse_too_large(id);
            }
            return;
        }
        self.send_data(id, bytes, end);
    }

    /// The buffer filter has the whole request. It tells the length where the client did not.
    fn open_buffer(&mut self, id: StreamId, end: bool) {
        let Some(stream) = self.live(id) else { return };
        let Some(held) = stream.behind.buffering.take() else {
            return;
        };
        if stream.request.headers.first("content-length").is_none() {
            stream
                .request
                .headers
                .replace(b"content-length", held.len().to_string().as_bytes());
            stream.request.headers.remove(b"transfer-encoding");
        }
        self.send_head(id, false);
        self.send_data(id, &held, end);
    }

    fn send_data(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        let Some(stream) = self.live(id) else { return };
        let length = stream
            .request
            .headers
            .first("content-length")
            .and_then(|v| {
                std::str::from_utf8(v)
                    .ok()
                    .and_then(|text| text.parse::<usize>().ok())
            });
        let Some(sent) = &mut stream.behind.sent else {
            return;
        };
        sent.body.extend_from_slice(bytes);
        // To an HTTP/1.1 upstream the last byte by content-length is the end.
        sent.complete |= end || length == Some(sent.body.len());
        let smuggled = length
            .is_some_and(|length| sent.body.len() > length || (end && sent.body.len() != length));
        if smuggled {
            self.store
                .data_mut()
                .trouble("a body was forwarded that is not as long as its content-length");
        }
    }

    fn pass_trailers(&mut self, id: StreamId) {
        self.open_buffer(id, false);
        let Some(stream) = self.live(id) else { return };
        let trailers = stream
            .request
            .trailers
            .as_ref()
            .map(|map| map.pairs.clone())
            .unwrap_or_default();
        // An HTTP/1.1 request with a length has no trailers: they are lost on the way.
        let lost = stream.facts.protocol == Some(Protocol::H1)
            && stream.request.headers.first("content-length").is_some();
        if let Some(sent) = &mut stream.behind.sent {
            sent.trailers = if lost { Vec::new() } else { named(trailers) };
            sent.complete = true;
        }
    }

    /// The client goes away.
    pub fn leave(&mut self, id: StreamId) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        stream.aborted = true;
        stream.facts.flags |= DOWNSTREAM_TERMINATION;
        stream.facts.details = Some(match stream.facts.protocol {
            Some(Protocol::H2) => "http2.remote_reset".to_owned(),
            Some(Protocol::H1) | None => "downstream_remote_disconnect".to_owned(),
        });
        stream.facts.status.get_or_insert(0);
        self.finish(id);
    }

    /// An answer of the gateway itself, the module's own refusals among them.
    pub(super) fn local_reply(&mut self, id: StreamId, reply: &Reply) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let begun = stream.answer.is_some();
        stream.aborted = true;
        if begun {
            self.store
                .data_mut()
                .trouble("a local reply was asked for after the answer had begun");
            self.finish(id);
            return;
        }
        stream.facts.details = Some(reply.details.clone());
        let head = stream.request.headers.first(":method") == Some(b"HEAD");
        let mut headers = vec![(b":status".to_vec(), reply.status.to_string().into_bytes())];
        headers.extend(reply.headers.iter().cloned());
        if !reply.body.is_empty() {
            headers.push((
                b"content-length".to_vec(),
                reply.body.len().to_string().into_bytes(),
            ));
            if !headers.iter().any(|(name, _)| name == b"content-type") {
                headers.push((b"content-type".to_vec(), b"text/plain".to_vec()));
            }
        }
        let bodyless = head || reply.body.is_empty();
        self.encode_head(id, headers, bodyless);
        if !bodyless {
            self.encode_data(id, &reply.body.clone(), true);
        }
        if self.stream_mut(id).is_some() {
            self.store
                .data_mut()
                .trouble("the module held a local reply back");
        }
    }

    /// Upstream goes away: before its answer the gateway answers 503, in the middle of it the client's answer is cut.
    pub fn upstream_leaves(&mut self, id: StreamId) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        stream.facts.flags |= UPSTREAM_TERMINATION;
        if stream.response.headers.pairs.is_empty() {
            let reply = Reply {
                status: 503,
                details: "upstream_reset_before_response_started{connection_termination}".to_owned(),
                headers: Vec::new(),
                body: b"upstream connect error or disconnect/reset before headers. reset reason: connection termination"
                    .to_vec(),
            };
            self.local_reply(id, &reply);
        } else {
            stream.facts.details =
                Some("upstream_reset_after_response_started{connection_termination}".to_owned());
            stream.aborted = true;
            self.finish(id);
        }
    }

    /// The module resets the stream: the client's answer is cut, upstream's request too.
    pub(super) fn reset(&mut self, id: StreamId) {
        if let Some(stream) = self.stream_mut(id) {
            stream.aborted = true;
            self.finish(id);
        }
    }

    /// The VM is gone: the gateway answers 503 and logs without us.
    fn trapped(&mut self, id: StreamId) {
        if let Some(stream) = self.stream_mut(id) {
            stream.answer = Some(Answer {
                status: 503,
                complete: true,
                ..Answer::default()
            });
        }
        self.finish(id);
    }

    /// The end of a stream: the access log, then the end of its context.
    fn finish(&mut self, id: StreamId) {
        let now = self.store.data().now_ns;
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        stream.aborted = true;
        stream.logging = true;
        stream.facts.ended_ns = Some(now);
        for map in [&mut stream.request.headers, &mut stream.response.headers] {
            map.visible = false;
        }
        let calls = Arc::clone(&self.callbacks);
        let context = id.cast_signed();
        self.call(id, calls.proxy_on_log.as_ref(), context);
        let done = self.call(id, calls.proxy_on_done.as_ref(), context);
        if done.is_some_and(|done| done == 0) {
            self.store
                .data_mut()
                .trouble("the module is not done with a stream that is over");
        }
        self.call(id, calls.proxy_on_delete.as_ref(), context);
        let host = self.store.data_mut();
        let Some(stream) = host.streams.remove(&id) else {
            return;
        };
        let log = host.log[stream.log_from..].to_vec();
        host.finished.insert(
            id,
            Finished {
                answer: stream.answer,
                forwarded: stream.behind.sent,
                details: stream.facts.details,
                filter_state: stream.filter_state,
                log,
            },
        );
    }

    /// What there is to judge of a stream that is over.
    pub fn take(&mut self, id: StreamId) -> Option<Finished> {
        self.store.data_mut().finished.remove(&id)
    }

    /// Whether the request has arrived at upstream as a whole.
    #[must_use]
    pub fn request_complete(&self, id: StreamId) -> bool {
        self.store.data().streams.get(&id).is_some_and(|stream| {
            stream.request.ended
                && stream
                    .behind
                    .sent
                    .as_ref()
                    .is_some_and(|sent| sent.complete)
        })
    }

    /// Whether upstream has seen anything of the request.
    #[must_use]
    pub fn request_begun(&self, id: StreamId) -> bool {
        self.store
            .data()
            .streams
            .get(&id)
            .is_some_and(|stream| stream.behind.sent.is_some())
    }

    /// Whether the stream is not over.
    #[must_use]
    pub fn is_open(&self, id: StreamId) -> bool {
        self.store.data().streams.contains_key(&id)
    }

    /// What upstream does with this stream.
    #[must_use]
    pub fn upstream_of(&self, id: StreamId) -> Option<Upstream> {
        self.store
            .data()
            .streams
            .get(&id)
            .map(|stream| stream.upstream.clone())
    }

    fn stream_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.store.data_mut().streams.get_mut(&id)
    }

    /// The stream, as long as its request is still shown to the module.
    fn live(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.stream_mut(id).filter(|stream| !stream.aborted)
    }
}

fn status(value: &[u8]) -> Option<u16> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn named(pairs: Vec<Pair>) -> Vec<(String, Vec<u8>)> {
    pairs
        .into_iter()
        .map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value))
        .collect()
}
