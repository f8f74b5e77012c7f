//! A case through a VM: the client's bytes in, upstream's answer back, everything that was seen out.
//!
//! Decided here: how a request becomes events, as the gateway's codecs make them. HTTP/1.1 tells the end of a body in an
//! event of its own, HTTP/2 with the last DATA frame, which is never longer than 16 KiB.

use super::flow::Settings;
use super::state::{Finished, LogLine, StreamId};
use super::vm::Vm;
use super::wire::Pair;
use crate::scenario::{
    Case, End, Framing, Leave, Mode, Observed, Protocol, Request, Upstream, UpstreamLeave,
};

/// The largest DATA frame (RFC 9113 §6.5.2).
const FRAME: usize = 16 * 1024;
/// What one read of an HTTP/1.1 connection gives at most.
const READ: usize = 256 * 1024;
/// How long a request may hang before the case gives up: far beyond every deadline of the test policies.
const PATIENCE_MS: u64 = 60_000;

/// Headers that the gateway keeps in one place: a repeated one is joined with a comma before any filter sees it. All
/// others stay repeated. `x-forwarded-client-cert` comes in as the client sent it (`ALWAYS_FORWARD_ONLY`): whether to
/// believe it is the module's to decide.
const JOINED: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-type",
    "expect",
    "te",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-client-cert",
    "x-request-id",
];

/// Carries a request through the module and upstream.
pub fn run(vm: &mut Vm, case: &Case, request: &Request) -> Observed {
    let mut settings = Settings::new(case.mode(), case.protocol());
    settings.upstream = case.upstream().clone();
    settings.connection = request.connection;
    let finished = carry(vm, settings, request);
    let mut observed = observed(finished);
    observed.unhealthy = vm.trouble().to_vec();
    if vm.open_streams() != 0 {
        observed
            .unhealthy
            .push(format!("{} streams are still open", vm.open_streams()));
    }
    if observed.unhealthy.is_empty() {
        observed.unhealthy = afterwards(vm, case.mode(), case.protocol());
    }
    observed
}

/// One more request, which the policy knows no route for: a healthy module refuses it and writes its record.
fn afterwards(vm: &mut Vm, mode: Mode, protocol: Protocol) -> Vec<String> {
    let head = vec![
        (b":method".to_vec(), b"GET".to_vec()),
        (b":path".to_vec(), b"/afterwards".to_vec()),
        (b":authority".to_vec(), b"nowhere.invalid".to_vec()),
        (b":scheme".to_vec(), b"http".to_vec()),
    ];
    let id = vm.open(Settings::new(mode, protocol), head, true);
    let seen = vm.take(id).map(observed).unwrap_or_default();
    let mut trouble = vm.trouble().to_vec();
    if seen.answer.as_ref().map(|answer| answer.status) != Some(404) || seen.log_records.len() != 1
    {
        trouble.push("the next request is not refused with 404 and recorded".to_owned());
    }
    trouble
}

fn carry(vm: &mut Vm, settings: Settings, request: &Request) -> Finished {
    let protocol = settings.protocol;
    let head = head(request, protocol);
    if let Some((status, details)) = refused_before_us(request, protocol) {
        return vm.dead_on_arrival(settings, head, status, details);
    }
    let id = vm.open(settings, head, request.ends_with_head());
    send(vm, id, request, protocol);
    if vm.is_open(id) && !vm.request_complete(id) {
        // The request hangs; a deadline of the module has to end it.
        vm.advance(PATIENCE_MS);
    }
    if vm.request_complete(id) {
        let left = request.leave == Some(Leave::AfterAnswerBegins);
        if let Some(upstream) = vm.upstream_of(id) {
            answer(vm, id, &upstream, request.method == "HEAD", left);
        }
    }
    if vm.is_open(id) {
        vm.complain("the request hung until the client gave up");
        vm.leave(id);
    }
    vm.take(id).unwrap_or_default()
}

/// What the gateway answers itself, before any filter.
fn refused_before_us(request: &Request, protocol: Protocol) -> Option<(u16, &'static str)> {
    let upgrade = request.headers.iter().any(|(name, _)| name == "upgrade");
    (protocol == Protocol::H1 && upgrade).then_some((403, "upgrade_failed"))
}

/// The head as filters see it.
fn head(request: &Request, protocol: Protocol) -> Vec<Pair> {
    let scheme: &[u8] = if request.connection.is_some() {
        b"https"
    } else {
        b"http"
    };
    let mut head: Vec<Pair> = vec![
        (b":authority".to_vec(), request.host.clone().into_bytes()),
        (b":path".to_vec(), request.path.clone().into_bytes()),
        (b":method".to_vec(), request.method.clone().into_bytes()),
        (b":scheme".to_vec(), scheme.to_vec()),
    ];
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase().into_bytes();
        match head.iter_mut().find(|(seen, _)| {
            *seen == name && JOINED.iter().any(|joined| joined.as_bytes() == name)
        }) {
            Some((_, first)) => {
                first.push(b',');
                first.extend_from_slice(value);
            }
            None => head.push((name, value.clone())),
        }
    }
    if let Some(body) = &request.body {
        match request.framing {
            Framing::Length => head.push((
                b"content-length".to_vec(),
                body.len().to_string().into_bytes(),
            )),
            Framing::Chunked if protocol == Protocol::H1 => {
                head.push((b"transfer-encoding".to_vec(), b"chunked".to_vec()));
            }
            Framing::Chunked => {}
        }
    }
    head.push((b"x-forwarded-proto".to_vec(), scheme.to_vec()));
    if !head.iter().any(|(name, _)| name == b"x-request-id") {
        head.push((
            b"x-request-id".to_vec(),
            b"6f2c2c7e-0000-4000-8000-000000000001".to_vec(),
        ));
    }
    head
}

fn send(vm: &mut Vm, id: StreamId, request: &Request, protocol: Protocol) {
    if request.leave == Some(Leave::AfterHead) {
        vm.leave(id);
        return;
    }
    if request.ends_with_head() {
        return;
    }
    let pieces: Vec<&[u8]> = match protocol {
        Protocol::H1 => request
            .pieces()
            .into_iter()
            .flat_map(|piece| piece.chunks(READ))
            .collect(),
        Protocol::H2 => request
            .pieces()
            .into_iter()
            .flat_map(|piece| piece.chunks(FRAME))
            .collect(),
    };
    let apart = protocol == Protocol::H1 || request.end == End::Apart || pieces.is_empty();
    let mut sent = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let piece = match request.leave {
            Some(Leave::AfterBytes(most)) => &piece[..piece.len().min(most - sent.min(most))],
            Some(Leave::AfterHead | Leave::AfterAnswerBegins) | None => piece,
        };
        sent += piece.len();
        let last = at + 1 == pieces.len() && !apart && request.trailers.is_empty();
        let leaves = matches!(request.leave, Some(Leave::AfterBytes(most)) if sent >= most);
        if !piece.is_empty() {
            vm.decode_data(id, piece, last && !leaves);
        }
        if leaves {
            vm.leave(id);
            return;
        }
        // A millisecond passes between two pieces, so that ticks fall between them.
        vm.advance(1);
    }
    if !request.trailers.is_empty() {
        let trailers = request
            .trailers
            .iter()
            .map(|(name, value)| (name.clone().into_bytes(), value.clone()))
            .collect();
        vm.decode_trailers(id, trailers);
    } else if apart {
        vm.decode_data(id, b"", true);
    }
}

/// Upstream's part.
fn answer(vm: &mut Vm, id: StreamId, upstream: &Upstream, head_only: bool, left: bool) {
    if upstream.leave == Some(UpstreamLeave::BeforeHead) {
        vm.upstream_leaves(id);
        return;
    }
    let pieces = upstream.pieces();
    let mut head: Vec<Pair> = vec![(
        b":status".to_vec(),
        upstream.status.to_string().into_bytes(),
    )];
    for (name, value) in &upstream.headers {
        head.push((
            name.to_ascii_lowercase().into_bytes(),
            value.clone().into_bytes(),
        ));
    }
    if upstream.chunks.is_none() && upstream.trailers.is_empty() {
        head.push((
            b"content-length".to_vec(),
            upstream.body.len().to_string().into_bytes(),
        ));
    }
    let ends = upstream.trailers.is_empty()
        && upstream.leave.is_none()
        && (pieces.is_empty() || head_only);
    vm.respond(id, head, ends);
    if ends {
        return;
    }
    if upstream.leave == Some(UpstreamLeave::AfterHead) {
        vm.upstream_leaves(id);
        return;
    }
    for (at, piece) in pieces.iter().enumerate() {
        vm.encode_data(id, piece.as_bytes(), false);
        if left {
            vm.leave(id);
            return;
        }
        if upstream.leave == Some(UpstreamLeave::AfterChunks(at + 1)) {
            vm.upstream_leaves(id);
            return;
        }
        vm.advance(1);
    }
    if upstream.trailers.is_empty() {
        vm.encode_data(id, b"", true);
    } else {
        let trailers = upstream
            .trailers
            .iter()
            .map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()));
        vm.encode_trailers(id, trailers.collect());
    }
}

fn observed(finished: Finished) -> Observed {
    let records = |line: &&LogLine| line.text.starts_with("postern audit ");
    Observed {
        answer: finished.answer,
        forwarded: finished.forwarded.into_iter().collect(),
        details: finished.details,
        state_records: finished
            .filter_state
            .get("wasm.postern.record")
            .map(|record| String::from_utf8_lossy(record).into_owned())
            .into_iter()
            .collect(),
        log_records: finished
            .log
            .iter()
            .filter(records)
            .map(|line| line.text.trim_start_matches("postern audit ").to_owned())
            .collect(),
        log: finished
            .log
            .iter()
            .map(|line| format!("[{}] {}\n", line.level, line.text))
            .collect(),
        unhealthy: Vec::new(),
    }
}
