//! The upstream: it writes down every byte of a request that reaches it, and answers as the case says.
//!
//! Decided here: what counts as a request that arrived, whole or in part. Not here: whether it should have.
//! The gateway names the client's address ahead of every connection (PROXY protocol, version 1); the address is the
//! case. Requests of a case that nobody announced are kept as well: something came that should not have.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use postern_tests::scenario::{Forwarded, Upstream, UpstreamLeave};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::bootstrap::Upstreams;
use crate::client::fields;
use crate::h1::{Body, RequestHead};

/// Between two pieces of an answer: long enough that the gateway reads them apart.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest line of the PROXY protocol, version 1.
const MAX_PROXY_LINE: usize = 107;

/// A running upstream: an HTTP/1.1 and an HTTP/2 port.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Where it listens.
    pub upstreams: Upstreams,
    book: Arc<Mutex<HashMap<Ipv4Addr, Page>>>,
}

/// What is known of one case.
#[derive(Debug, Default)]
struct Page {
    plan: Upstream,
    arrivals: Vec<Arrival>,
    broken: Vec<String>,
}

#[derive(Debug)]
struct Arrival {
    forwarded: Forwarded,
    /// Nothing more of this request will come.
    over: bool,
}

impl Recorder {
    /// Starts the upstream on two free loopback ports.
    ///
    /// # Panics
    /// When no loopback port can be had.
    #[must_use]
    pub fn start(runtime: &Handle) -> Self {
        let listen = || {
            runtime
                .block_on(TcpListener::bind("127.0.0.1:0"))
                .expect("a loopback port")
        };
        let (h1, h2) = (listen(), listen());
        let address = |listener: &TcpListener| listener.local_addr().expect("a bound socket");
        let upstreams = Upstreams {
            h1: address(&h1),
            h2: address(&h2),
        };
        let recorder = Self {
            upstreams,
            book: Arc::default(),
        };
        runtime.spawn(recorder.clone().accept(h1, false));
        runtime.spawn(recorder.clone().accept(h2, true));
        recorder
    }

    /// Says how the requests of `case` are answered.
    pub fn plan(&self, case: Ipv4Addr, plan: &Upstream) {
        self.page(case, |page| page.plan = plan.clone());
    }

    /// How many requests of `case` have arrived so far, in whole or in part.
    #[must_use]
    pub fn arrivals(&self, case: Ipv4Addr) -> usize {
        self.page(case, |page| page.arrivals.len())
    }

    /// Everything of `case` that arrived, once nothing more can come, or after `patience`.
    ///
    /// # Errors
    /// When bytes arrived that are no HTTP.
    pub fn arrived(&self, case: Ipv4Addr, patience: Duration) -> Result<Vec<Forwarded>, String> {
        let until = Instant::now() + patience;
        while Instant::now() < until
            && self.page(case, |page| {
                page.arrivals.iter().any(|arrival| !arrival.over)
            })
        {
            std::thread::sleep(PAUSE);
        }
        self.page(case, |page| match page.broken.first() {
            Some(broken) => Err(broken.clone()),
            None => Ok(page
                .arrivals
                .iter()
                .map(|arrival| arrival.forwarded.clone())
                .collect()),
        })
    }

    fn page<T>(&self, case: Ipv4Addr, of: impl FnOnce(&mut Page) -> T) -> T {
        let mut book: MutexGuard<'_, _> = self
            .book
            .lock()
            .expect("nobody panics while holding the book");
        of(book.entry(case).or_default())
    }

    async fn accept(self, listener: TcpListener, h2: bool) {
        while let Ok((stream, _)) = listener.accept().await {
            let recorder = self.clone();
            tokio::spawn(async move {
                let mut stream = stream;
                let _ = stream.set_nodelay(true);
                let Some(case) = proxied_client(&mut stream).await else {
                    return;
                };
                if h2 {
                    recorder.serve_h2(case, stream).await;
                } else {
                    recorder.serve_h1(case, stream).await;
                }
            });
        }
    }

    /// Opens a request on the page; gives its number.
    fn begin(&self, case: Ipv4Addr, forwarded: Forwarded) -> usize {
        self.page(case, |page| {
            page.arrivals.push(Arrival {
                forwarded,
                over: false,
            });
            page.arrivals.len() - 1
        })
    }

    fn note(&self, case: Ipv4Addr, number: usize, change: impl FnOnce(&mut Arrival)) {
        self.page(case, |page| change(&mut page.arrivals[number]));
    }

    fn broken(&self, case: Ipv4Addr, why: String) {
        self.page(case, |page| page.broken.push(why));
    }

    // --- HTTP/1.1 ---

    async fn serve_h1(self, case: Ipv4Addr, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some(method) = self.read_h1(case, &mut stream, &mut buffer).await {
            let plan = self.page(case, |page| page.plan.clone());
            if !answer_h1(&mut stream, &method, &plan).await {
                return;
            }
        }
    }

    /// Reads one request; its method when it is complete.
    async fn read_h1(
        &self,
        case: Ipv4Addr,
        stream: &mut TcpStream,
        buffer: &mut Vec<u8>,
    ) -> Option<String> {
        let mut number = None;
        let mut open: Option<(RequestHead, Body)> = None;
        loop {
            if number.is_none() && !buffer.is_empty() {
                number = Some(self.begin(case, Forwarded::default()));
            }
            if open.is_none() {
                open = match RequestHead::take(buffer).and_then(|head| {
                    head.map(|(head, _)| head.body().map(|body| (head, body)))
                        .transpose()
                }) {
                    Ok(open) => open,
                    Err(malformed) => {
                        self.broken(case, format!("upstream got {malformed:?}"));
                        return None;
                    }
                };
                if let (Some(number), Some((head, _))) = (number, &open) {
                    self.note(case, number, |arrival| {
                        arrival.forwarded.method.clone_from(&head.method);
                        arrival.forwarded.path.clone_from(&head.target);
                        arrival.forwarded.headers.clone_from(&head.headers);
                    });
                }
            }
            if let (Some(number), Some((head, body))) = (number, &mut open) {
                if let Err(malformed) = body.feed(buffer) {
                    self.broken(case, format!("upstream got {malformed:?}"));
                    return None;
                }
                let complete = body.complete;
                self.note(case, number, |arrival| {
                    arrival.forwarded.body.append(&mut body.bytes);
                    arrival.forwarded.trailers.append(&mut body.trailers);
                    arrival.forwarded.complete = complete;
                    arrival.over = complete;
                });
                if complete {
                    return Some(head.method.clone());
                }
            }
            match stream.read_buf(buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => {
                    if let Some(number) = number {
                        self.note(case, number, |arrival| arrival.over = true);
                    }
                    return None;
                }
            }
        }
    }

    // --- HTTP/2 ---

    async fn serve_h2(self, case: Ipv4Addr, stream: TcpStream) {
        let connection = h2::server::Builder::new()
            .initial_window_size(16 << 20)
            .initial_connection_window_size(32 << 20)
            .handshake::<_, Bytes>(stream)
            .await;
        let Ok(mut connection) = connection else {
            return;
        };
        while let Some(Ok((request, respond))) = connection.accept().await {
            let recorder = self.clone();
            let stream = async move { recorder.stream_h2(case, request, respond).await };
            tokio::spawn(stream);
        }
    }

    async fn stream_h2(
        self,
        case: Ipv4Addr,
        request: http::Request<h2::RecvStream>,
        mut respond: h2::server::SendResponse<Bytes>,
    ) {
        let (head, mut body) = request.into_parts();
        let mut headers = vec![(
            ":authority".to_owned(),
            head.uri
                .authority()
                .map(|authority| authority.as_str().as_bytes().to_vec())
                .unwrap_or_default(),
        )];
        headers.extend(fields(&head.headers));
        let number = self.begin(
            case,
            Forwarded {
                method: head.method.as_str().to_owned(),
                path: head
                    .uri
                    .path_and_query()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                headers,
                ..Forwarded::default()
            },
        );
        let mut whole = true;
        while let Some(piece) = body.data().await {
            let Ok(piece) = piece else {
                whole = false;
                break;
            };
            let _ = body.flow_control().release_capacity(piece.len());
            self.note(case, number, |arrival| {
                arrival.forwarded.body.extend_from_slice(&piece)
            });
        }
        let trailers = if whole {
            body.trailers().await
        } else {
            Ok(None)
        };
        whole = whole && trailers.is_ok();
        self.note(case, number, |arrival| {
            arrival.forwarded.trailers = trailers
                .ok()
                .flatten()
                .as_ref()
                .map(fields)
                .unwrap_or_default();
            arrival.forwarded.complete = whole;
            arrival.over = true;
        });
        if whole {
            let plan = self.page(case, |page| page.plan.clone());
            if answer_h2(&mut respond, head.method == http::Method::HEAD, &plan)
                .await
                .is_none()
            {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
        }
    }
}

/// The client's address out of `PROXY TCP4 <client> <gateway> <port> <port>\r\n`.
async fn proxied_client(stream: &mut TcpStream) -> Option<Ipv4Addr> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() > MAX_PROXY_LINE {
            return None;
        }
        line.push(stream.read_u8().await.ok()?);
    }
    let line = String::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    (words.next() == Some("PROXY") && words.next() == Some("TCP4"))
        .then(|| words.next()?.parse().ok())?
}

/// Answers; false when the connection is over.
async fn answer_h1(stream: &mut TcpStream, method: &str, plan: &Upstream) -> bool {
    if plan.leave == Some(UpstreamLeave::BeforeHead) {
        return false;
    }
    let pieces = plan.pieces();
    let chunked = plan.chunks.is_some() || !plan.trailers.is_empty();
    let mut head = format!("HTTP/1.1 {} Planned\r\n", plan.status);
    for (name, value) in &plan.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if chunked {
        head.push_str("transfer-encoding: chunked\r\n");
    } else {
        head.push_str(&format!(
            "content-length: {}\r\n",
            pieces.iter().map(|piece| piece.len()).sum::<usize>()
        ));
    }
    head.push_str("\r\n");
    let mut writes = vec![head];
    if method != "HEAD" {
        for piece in pieces {
            writes.push(if chunked {
                format!("{:x}\r\n{piece}\r\n", piece.len())
            } else {
                piece.to_owned()
            });
        }
        if chunked {
            let trailers: String = plan
                .trailers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            writes.push(format!("0\r\n{trailers}\r\n"));
        }
    }
    let sent = match plan.leave {
        None => writes.len(),
        Some(UpstreamLeave::BeforeHead) => 0,
        Some(UpstreamLeave::AfterHead) => 1,
        Some(UpstreamLeave::AfterChunks(chunks)) => chunks + 1,
    };
    for write in writes.into_iter().take(sent) {
        if stream.write_all(write.as_bytes()).await.is_err() {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
    plan.leave.is_none()
}

/// Answers; absent when the stream is to be reset.
async fn answer_h2(
    respond: &mut h2::server::SendResponse<Bytes>,
    to_head: bool,
    plan: &Upstream,
) -> Option<()> {
    let pieces = plan.pieces();
    let sent = match plan.leave {
        Some(UpstreamLeave::BeforeHead) => return None,
        Some(UpstreamLeave::AfterHead) => 0,
        Some(UpstreamLeave::AfterChunks(chunks)) => chunks.min(pieces.len()),
        None => pieces.len(),
    };
    let mut head = http::Response::builder().status(plan.status);
    for (name, value) in &plan.headers {
        head = head.header(name, value);
    }
    let bodyless = to_head || (pieces.is_empty() && plan.trailers.is_empty());
    let mut body = respond
        .send_response(head.body(()).ok()?, bodyless && plan.leave.is_none())
        .ok()?;
    tokio::time::sleep(PAUSE).await;
    if !bodyless {
        let last = sent.checked_sub(1);
        for (at, piece) in pieces.into_iter().take(sent).enumerate() {
            let end = Some(at) == last && plan.trailers.is_empty() && plan.leave.is_none();
            body.send_data(Bytes::copy_from_slice(piece.as_bytes()), end)
                .ok()?;
            tokio::time::sleep(PAUSE).await;
        }
        if plan.leave.is_none() && !plan.trailers.is_empty() {
            let mut trailers = http::HeaderMap::new();
            for (name, value) in &plan.trailers {
                trailers.append(
                    http::HeaderName::from_bytes(name.as_bytes()).ok()?,
                    http::HeaderValue::from_str(value).ok()?,
                );
            }
            body.send_trailers(trailers).ok()?;
        }
    }
    if plan.leave.is_some() {
        body.send_reset(h2::Reason::INTERNAL_ERROR);
    }
    Some(())
}
