//! One HTTP stream: the host's callbacks become events, and what comes of them becomes host calls.

use crate::host::{self, Headers, Refused};
use crate::root::Worker;
use postern_core::peer::Connection;
use postern_core::policy::Sink;
use postern_core::refusal::{Answer, Code, Refusal};
use postern_core::stream::{Effect, Ended, Event, Flow, Step, Stream, Waits};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, LogLevel, MapType, StreamType};
use std::cell::RefCell;
use std::rc::Rc;

/// The stream's machine, shared with the list of those that wait. Empty only while a step runs.
type Machine = Rc<RefCell<Option<Stream>>>;

/// A stream as the host's callbacks see it.
#[derive(Debug)]
pub(crate) struct Call {
    context: u32,
    worker: Option<Rc<Worker>>,
    machine: Machine,
    /// How much of the host's request buffer was reported already: it keeps what we hold, and reports all of it again.
    reported: usize,
}

/// A stream that waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    machine: Machine,
    waits: Waits,
}

impl Waiting {
    /// Whether a tick at `now` is due: `filled` when documents were fetched that the stream may wait for.
    pub(crate) fn is_due(&self, now: u64, filled: bool) -> bool {
        match self.waits {
            Waits::Body(until) => until <= now,
            Waits::Keys(until) => filled || until <= now,
        }
    }

    /// Tells the stream what time it is, and lets go what it holds when it may. The caller has made the stream's context the
    /// effective one.
    pub(crate) fn wake(&self, context: u32, worker: &Worker, now: u64) {
        if step(context, worker, &self.machine, Event::Tick, now) == Action::Continue {
            // WHY nothing on an error: a stream that the gateway no longer knows has ended, and is recorded by then.
            let _ = host::resume_request();
        }
    }
}

impl Call {
    pub(crate) fn new(context: u32, worker: Option<Rc<Worker>>) -> Self {
        let stream = worker.as_ref().map(|worker| {
            let id = worker.ids.borrow_mut().draw();
            // WHY 1970 without a clock: only the record's time hangs on it; every event needs the clock of its own.
            Stream::new(id, host::now().unwrap_or_default())
        });
        Self {
            context,
            worker,
            machine: Rc::new(RefCell::new(stream)),
            reported: 0,
        }
    }

    fn on(&self, event: Event<'_>) -> Action {
        let Some(worker) = &self.worker else {
            // Without a policy there is nothing to decide by, and nobody to write a record for.
            return refuse("this gateway has no policy");
        };
        let Ok(now) = host::now() else {
            return refuse("this gateway has no clock");
        };
        step(self.context, worker, &self.machine, event, now)
    }
}

/// Refuses what cannot be decided at all.
fn refuse(why: &'static str) -> Action {
    // WHY: nothing is left to try when the refusal is not carried out; it stays held.
    let _ = send(&Refusal::new(Code::Undecided, why).answer(None, ""));
    Action::Pause
}

/// One step of the machine, and its effects; what it asks is answered by further steps at once. What the host does not carry
/// out is told to the machine, which refuses.
fn step(context: u32, worker: &Worker, machine: &Machine, event: Event<'_>, now: u64) -> Action {
    let Some(stream) = machine.borrow_mut().take() else {
        return Action::Pause;
    };
    let (mut stream, Step { effects, mut flow }) = worker.advance(stream, event, now);
    let mut carried = carry_out_all(effects, worker);
    while let Ok(Some(answer)) = carried {
        let (next, step) = worker.advance(stream, answer, now);
        stream = next;
        flow = step.flow;
        carried = carry_out_all(step.effects, worker);
    }
    let action = match (carried, flow) {
        (Ok(_), Flow::Hold) => Action::Pause,
        (Ok(_), Flow::Pass(_)) => Action::Continue,
        (Err(_), _) => {
            let (next, step) = worker.advance(stream, Event::Lost, now);
            stream = next;
            // WHY: nothing is left to try when the refusal itself is not carried out; it stays held.
            let _ = carry_out_all(step.effects, worker);
            Action::Pause
        }
    };
    match stream.waits() {
        Some(waits) => {
            let waiting = Waiting {
                machine: Rc::clone(machine),
                waits,
            };
            worker.waiting.borrow_mut().insert(context, waiting);
        }
        None => {
            worker.waiting.borrow_mut().remove(&context);
        }
    }
    *machine.borrow_mut() = Some(stream);
    action
}

/// Carries effects out in their order. Gives the answer to what was asked, for the machine.
fn carry_out_all(effects: Vec<Effect>, worker: &Worker) -> Result<Option<Event<'static>>, Refused> {
    let mut answer = None;
    for effect in effects {
        answer = carry_out(effect, worker)?.or(answer);
    }
    Ok(answer)
}

fn carry_out(effect: Effect, worker: &Worker) -> Result<Option<Event<'static>>, Refused> {
    match effect {
        Effect::RemoveRequestHeader(name) => {
            host::remove_header(MapType::HttpRequestHeaders, &name)?;
        }
        Effect::RemoveRequestTrailer(name) => {
            host::remove_header(MapType::HttpRequestTrailers, &name)?;
        }
        Effect::SetRequestHeader(name, value) => {
            host::set_header(MapType::HttpRequestHeaders, &name, &value)?;
        }
        Effect::SetResponseHeader(name, value) => {
            host::set_header(MapType::HttpResponseHeaders, name, &value)?;
        }
        Effect::Publish(name, value) => {
            host::set_property(&format!("postern.{}", name.replace('-', "_")), &value)?;
        }
        Effect::Ask(ask) => return Ok(Some(Event::Told(host::ask(ask)))),
        Effect::Refill(shelf) => {
            worker.wanted.borrow_mut().insert(shelf);
        }
        Effect::Answer(answer) => send(&answer)?,
        Effect::Cut => host::close_stream(StreamType::HttpRequest)?,
        Effect::Record(record) => {
            let json = record.to_json();
            // One sink that fails takes no record from the others.
            let mut outcome = Ok(());
            for sink in &worker.policy().audit.sinks {
                match sink {
                    Sink::Log => host::log(LogLevel::Warn, &format!("postern audit {json}")),
                    Sink::AccessLog => outcome = host::set_property("postern.record", &json),
                }
            }
            outcome?;
        }
    }
    Ok(None)
}

fn send(answer: &Answer) -> Result<(), Refused> {
    let headers: Vec<(&str, &str)> = answer
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    host::answer(answer.status, answer.details, &headers, &answer.body)
}

impl Context for Call {}

impl HttpContext for Call {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        let head = Headers::read(MapType::HttpRequestHeaders);
        match head.as_ref().ok().and_then(Headers::pairs) {
            Some(pairs) => self.on(Event::RequestHead {
                pairs: &pairs,
                connection: &connection(),
                end,
            }),
            None => self.on(Event::Lost),
        }
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        let action = match size.checked_sub(self.reported) {
            Some(fresh) => match host::buffer(BufferType::HttpRequestBody, self.reported, fresh) {
                Ok(chunk) => self.on(Event::RequestBody { chunk: &chunk, end }),
                Err(_) => self.on(Event::Lost),
            },
            None => self.on(Event::Lost),
        };
        self.reported = if action == Action::Pause { size } else { 0 };
        action
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        let trailers = Headers::read(MapType::HttpRequestTrailers);
        match trailers.as_ref().ok().and_then(Headers::pairs) {
            Some(pairs) => self.on(Event::RequestTrailers { pairs: &pairs }),
            None => self.on(Event::Lost),
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        let _ = self.on(Event::ResponseHead);
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _end: bool) -> Action {
        let _ = self.on(Event::ResponseBody {
            bytes: u64::try_from(size).unwrap_or(u64::MAX),
        });
        Action::Continue
    }

    fn on_log(&mut self) {
        let headless = self
            .machine
            .borrow()
            .as_ref()
            .is_some_and(Stream::is_headless);
        let ended = Ended {
            method: headless.then(|| text("request\0method")).flatten(),
            status: number("response\0code")
                .and_then(|status| u16::try_from(status).ok())
                .filter(|status| *status > 0),
            details: text("response\0code_details"),
            flags: number("response\0flags"),
        };
        let _ = self.on(Event::Log(ended));
    }
}

/// The downstream connection. Without a client's certificate there is one question to the host instead of five. A host that
/// does not say whether there is one has said that there is one, and that it is not valid: then it is no peer, and not nobody.
fn connection() -> Connection {
    match host::property("connection\0mtls").as_deref() {
        Ok([0]) => Connection::default(),
        Ok(_) | Err(_) => Connection {
            presented: true,
            validated: flag("connection\0peer_certificate_valid"),
            certificate: host::property("connection\0peer_certificate")
                .ok()
                .filter(|pem| !pem.is_empty()),
            digest: text("connection\0sha256_peer_certificate_digest"),
            tls_version: text("connection\0tls_version"),
        },
    }
}

fn flag(path: &str) -> bool {
    host::property(path).is_ok_and(|value| value == [1])
}

fn text(path: &str) -> Option<String> {
    let value = String::from_utf8(host::property(path).ok()?).ok()?;
    (!value.is_empty()).then_some(value)
}

fn number(path: &str) -> Option<u64> {
    let value: [u8; 8] = host::property(path).ok()?.try_into().ok()?;
    Some(u64::from_le_bytes(value))
}
