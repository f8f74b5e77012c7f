//! Call-outs: what `proxy_http_call` asks of a cluster, and when and how the answer comes back.
//!
//! Decided here, as in the gateway: a call belongs to the root context and outlives the stream that made it; an answer comes
//! in an event of its own; a cluster that nobody knows is a bad argument; one without endpoints fails at once and no answer
//! follows; silence and refusal come back as answers that the gateway made itself. What a cluster does is the test's choice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::{Caller, Linker, Result};

use super::imports::{MODULE, broken, count, read, sound, write};
use super::state::{Host, Map};
use super::wire::{Code, Pair, Status, bytes_to_pairs};

/// How long after the call a refusal or an answer without delay comes: never in the event of the call itself.
const AT_ONCE_NS: u64 = 1_000_000;

/// The clusters that the VMs of one gateway can call; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Clusters(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    behaviours: BTreeMap<String, Behaviour>,
    calls: Vec<Call>,
}

/// What a cluster does with a call.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers in the next millisecond.
    Answer(Response),
    /// Answers after so many milliseconds; past the call's timeout it is silent.
    Delay(u64, Response),
    /// Never answers: the gateway answers 504 at the call's timeout.
    Silent,
    /// A closed port: the gateway answers 503.
    Refuse,
    /// Breaks off in the middle of its answer after so many milliseconds: a callback without anything in it.
    Reset(u64),
    /// No endpoint at all: the call itself fails.
    Empty,
    /// By the path of the call without its query; another path is answered 404.
    Paths(BTreeMap<String, Behaviour>),
}

/// An answer to a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Headers besides the status.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// An answer of a status with a body and nothing else.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Response {
            status,
            body: body.into(),
            ..Response::default()
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A call that a module made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The cluster that was named.
    pub cluster: String,
    /// Headers, pseudo headers among them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body.
    pub body: Vec<u8>,
    /// After how many milliseconds the gateway gives up; 0 is never.
    pub timeout_ms: u32,
    /// When it was made, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Call {
    /// The first header of this name as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers
            .iter()
            .find(|(seen, _)| seen == name)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

impl Clusters {
    /// Lets a cluster exist, or behave otherwise from now on. Calls under way keep what they found.
    pub fn set(&self, name: &str, behaviour: Behaviour) {
        self.world().behaviours.insert(name.to_owned(), behaviour);
    }

    /// The calls to a cluster so far, of all VMs, in order.
    #[must_use]
    pub fn calls(&self, name: &str) -> Vec<Call> {
        let world = self.world();
        let of = |call: &&Call| call.cluster == name;
        world.calls.iter().filter(of).cloned().collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) token: u32,
    pub(super) due_ns: u64,
    /// `None` when it breaks off.
    pub(super) answer: Option<Response>,
}

/// An answer while its callback runs: read only, and gone after it.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) headers: Map,
    pub(super) trailers: Option<Map>,
    pub(super) body: Vec<u8>,
}

impl Answered {
    pub(super) fn of(response: &Response) -> Self {
        let mut headers = vec![(
            b":status".to_vec(),
            response.status.to_string().into_bytes(),
        )];
        headers.extend(pairs(&response.headers));
        let read_only = |pairs| Map {
            pairs,
            visible: false,
        };
        Answered {
            headers: read_only(headers),
            trailers: (!response.trailers.is_empty()).then(|| read_only(pairs(&response.trailers))),
            body: response.body.clone(),
        }
    }
}

fn pairs(fields: &[(String, String)]) -> Vec<Pair> {
    fields
        .iter()
        .map(|(name, value)| {
            (
                name.to_ascii_lowercase().into_bytes(),
                value.clone().into_bytes(),
            )
        })
        .collect()
}

/// What is called, as the module wrote it.
struct Asked {
    cluster: Vec<u8>,
    headers: Vec<u8>,
    body: Vec<u8>,
    trailers: Vec<u8>,
    timeout_ms: i32,
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_http_call",
        |mut caller: Caller<'_, Host>,
         cluster: i32,
         cluster_size: i32,
         headers: i32,
         headers_size: i32,
         body: i32,
         body_size: i32,
         trailers: i32,
         trailers_size: i32,
         timeout_ms: i32,
         token_at: i32| {
            count(&mut caller, "proxy_http_call");
            let (Some(cluster), Some(headers), Some(body), Some(trailers)) = (
                read(&mut caller, cluster, cluster_size),
                read(&mut caller, headers, headers_size),
                read(&mut caller, body, body_size),
                read(&mut caller, trailers, trailers_size),
            ) else {
                return broken(&mut caller, "proxy_http_call");
            };
            if write(&mut caller, token_at, &0u32.to_le_bytes()).is_none() {
                return broken(&mut caller, "proxy_http_call");
            }
            for (name, value) in bytes_to_pairs(&headers).unwrap_or_default() {
                sound(&mut caller, &name, &value);
            }
            let asked = Asked {
                cluster,
                headers,
                body,
                trailers,
                timeout_ms,
            };
            match begin(caller.data_mut(), asked) {
                Ok(token) if write(&mut caller, token_at, &token.to_le_bytes()).is_some() => {
                    Code::from(Status::Ok)
                }
                Ok(_) => broken(&mut caller, "proxy_http_call"),
                Err(status) => status.into(),
            }
        },
    )?;
    Ok(())
}

/// The token of the call, or why it was not made.
fn begin(host: &mut Host, asked: Asked) -> std::result::Result<u32, Status> {
    let timeout_ms = u32::try_from(asked.timeout_ms).map_err(|_| Status::BadArgument)?;
    let cluster = String::from_utf8_lossy(&asked.cluster).into_owned();
    let mut headers = bytes_to_pairs(&asked.headers).ok_or(Status::BadArgument)?;
    bytes_to_pairs(&asked.trailers).ok_or(Status::BadArgument)?;
    let mut world = host.clusters.world();
    let behaviour = world
        .behaviours
        .get(&cluster)
        .ok_or(Status::BadArgument)?
        .clone();
    let first = |name: &[u8]| {
        let field = headers.iter().find(|(seen, _)| seen == name)?;
        Some(String::from_utf8_lossy(&field.1).into_owned())
    };
    let path = first(b":path").ok_or(Status::BadArgument)?;
    if first(b":method").is_none() || first(b":authority").is_none() {
        return Err(Status::BadArgument);
    }
    if !asked.body.is_empty() {
        headers.retain(|(name, _)| name != b"content-length");
        headers.push((
            b"content-length".to_vec(),
            asked.body.len().to_string().into_bytes(),
        ));
    }
    world.calls.push(Call {
        cluster,
        headers: headers
            .into_iter()
            .map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value))
            .collect(),
        body: asked.body,
        timeout_ms,
        at_ms: host.now_ns / 1_000_000,
    });
    drop(world);
    host.next_token += 4;
    let token = host.next_token;
    let found = outcome(&behaviour, &path, u64::from(timeout_ms))?;
    if let Some((after_ns, answer)) = found {
        host.pending.push(Pending {
            token,
            due_ns: host.now_ns + after_ns,
            answer,
        });
    }
    Ok(token)
}

/// How a call ends and after how many nanoseconds; `None` never.
type Outcome = Option<(u64, Option<Response>)>;

fn outcome(
    behaviour: &Behaviour,
    path: &str,
    timeout_ms: u64,
) -> std::result::Result<Outcome, Status> {
    let milliseconds = |ms: u64| (ms * 1_000_000).max(AT_ONCE_NS);
    let gave_up = || {
        let after = milliseconds(timeout_ms);
        (timeout_ms > 0).then(|| (after, Some(own(504, "upstream request timeout"))))
    };
    let in_time = |ms: u64| timeout_ms == 0 || ms < timeout_ms;
    Ok(match behaviour {
        Behaviour::Answer(response) => Some((AT_ONCE_NS, Some(response.clone()))),
        Behaviour::Delay(ms, response) if in_time(*ms) => {
            Some((milliseconds(*ms), Some(response.clone())))
        }
        Behaviour::Reset(ms) if in_time(*ms) => Some((milliseconds(*ms), None)),
        Behaviour::Delay(..) | Behaviour::Reset(_) | Behaviour::Silent => gave_up(),
        Behaviour::Refuse => Some((AT_ONCE_NS, Some(own(503, REFUSED)))),
        Behaviour::Empty => return Err(Status::InternalFailure),
        Behaviour::Paths(paths) => {
            let path = path.split('?').next().unwrap_or_default();
            match paths.get(path) {
                Some(behaviour) => outcome(behaviour, path, timeout_ms)?,
                None => Some((AT_ONCE_NS, Some(Response::new(404, "no such path")))),
            }
        }
    })
}

const REFUSED: &str = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

/// An answer that the gateway makes itself.
fn own(status: u16, body: &str) -> Response {
    Response::new(status, body)
        .with_header("content-length", &body.len().to_string())
        .with_header("content-type", "text/plain")
}
