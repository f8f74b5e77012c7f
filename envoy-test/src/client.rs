//! A client that sends exactly what it is told, cut where it is told, and leaves where it is told.
//!
//! Decided here: how a call goes over HTTP/1.1 and HTTP/2. Not here: what a good answer is.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use postern_tests::scenario::{Answer, ClientTls, End, Framing, Headers, Leave, Protocol, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::h1::AnswerReader;
use crate::tls::{self, Wire};

/// Between two pieces: long enough that the gateway reads them apart.
const PAUSE: Duration = Duration::from_millis(2);
/// Between the head and leaving: long enough that the gateway has read what came.
const BEFORE_LEAVING: Duration = Duration::from_millis(30);

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The TLS connection that carries it; absent: a plain one.
    pub connection: Option<ClientTls>,
    /// Method.
    pub method: String,
    /// Host or `:authority`.
    pub host: String,
    /// Path with query.
    pub path: String,
    /// All header fields but the host and the framing.
    pub headers: Headers,
    /// The body in the pieces in which it is written; absent: the request ends with its head and says no length.
    pub body: Option<Vec<Vec<u8>>>,
    /// How the body's end is told.
    pub framing: Framing,
    /// HTTP/2: where END_STREAM stands.
    pub end: End,
    /// Trailers.
    pub trailers: Headers,
    /// Where the client goes away.
    pub leave: Option<Leave>,
    /// Instead of going away there, the client stays and says nothing more.
    pub stalls: bool,
    /// HTTP/1.1: the most bytes of one write, the head included; every write is a packet of its own.
    pub packet: Option<usize>,
}

impl Call {
    /// A chat call with a JSON body in one piece.
    #[must_use]
    pub fn chat(token: &str, body: &[u8]) -> Self {
        Self {
            connection: None,
            method: "POST".into(),
            host: "api.example.com".into(),
            path: "/v1/chat/completions".into(),
            headers: vec![
                (
                    "authorization".into(),
                    format!("Bearer {token}").into_bytes(),
                ),
                ("content-type".into(), b"application/json".to_vec()),
            ],
            body: Some(vec![body.to_vec()]),
            framing: Framing::Length,
            end: End::WithLast,
            trailers: Vec::new(),
            leave: None,
            stalls: false,
            packet: None,
        }
    }

    /// The whole body.
    #[must_use]
    pub fn body_bytes(&self) -> Vec<u8> {
        self.body.iter().flatten().flatten().copied().collect()
    }

    fn ends_with_head(&self) -> bool {
        self.trailers.is_empty()
            && match (&self.body, self.framing) {
                (None, _) => true,
                (Some(pieces), Framing::Length) => pieces.iter().all(Vec::is_empty),
                (Some(_), Framing::Chunked) => false,
            }
    }

    /// The pieces up to where the client leaves, and whether it leaves before the request's end.
    fn pieces(&self) -> (Vec<Vec<u8>>, bool) {
        let pieces = self.body.clone().unwrap_or_default();
        let mut left = match self.leave {
            None | Some(Leave::AfterAnswerBegins) => return (pieces, false),
            Some(Leave::AfterHead) => 0,
            Some(Leave::AfterBytes(bytes)) => bytes,
        };
        let mut sent = Vec::new();
        for piece in pieces {
            let taken = left.min(piece.len());
            if taken > 0 {
                sent.push(piece[..taken].to_vec());
            }
            left -= taken;
        }
        (sent, true)
    }
}

impl From<&Request> for Call {
    fn from(request: &Request) -> Self {
        Self {
            connection: request.connection,
            method: request.method.clone(),
            host: request.host.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            body: request
                .body
                .as_ref()
                .map(|_| request.pieces().into_iter().map(<[u8]>::to_vec).collect()),
            framing: request.framing,
            end: request.end,
            trailers: request.trailers.clone(),
            leave: request.leave,
            stalls: false,
            packet: None,
        }
    }
}

/// Makes the call from the loopback address `from`; the answer as far as it came.
///
/// # Errors
/// When the call cannot be made at all, or the answer is no HTTP. That the gateway cut the connection is no error.
pub async fn call(
    protocol: Protocol,
    from: Ipv4Addr,
    to: SocketAddr,
    call: &Call,
) -> Result<Option<Answer>, String> {
    let wire = tls::connect(call.connection, protocol, from, to).await?;
    over(wire, protocol, call).await
}

/// As [`call`], over a connection that is open already and goes with the call.
///
/// # Errors
/// As there.
pub async fn over(
    wire: Box<dyn Wire>,
    protocol: Protocol,
    call: &Call,
) -> Result<Option<Answer>, String> {
    match protocol {
        Protocol::H1 => h1(wire, call).await,
        Protocol::H2 => h2(wire, call).await,
    }
}

/// Makes the calls one after the other over one connection; their answers in order.
///
/// # Errors
/// When a call is not answered whole, or the answer is no HTTP.
pub async fn in_turn(
    mut wire: Box<dyn Wire>,
    protocol: Protocol,
    calls: &[Call],
) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    let cut = || "the connection ended before its last answer".to_owned();
    match protocol {
        Protocol::H1 => {
            for call in calls {
                let mut reader = AnswerReader::new(call.method == "HEAD");
                let (mut reading, mut writing) = tokio::io::split(wire);
                write_h1(&mut writing, call).await;
                read_answer(&mut reading, &mut reader, false).await?;
                wire = reading.unsplit(writing);
                answers.push(
                    reader
                        .end()
                        .filter(|answer| answer.complete)
                        .ok_or_else(cut)?,
                );
            }
        }
        Protocol::H2 => {
            let connection = open(wire).await?;
            for call in calls {
                let answer = connection.call(call.clone()).await?;
                answers.push(answer.ok_or_else(cut)?);
            }
        }
    }
    Ok(answers)
}

/// Sends `bytes` as they are over one plain connection and gives all that came back until its end.
///
/// # Errors
/// When the connection cannot be made.
pub async fn raw(from: Ipv4Addr, to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut wire = tls::connect(None, Protocol::H1, from, to).await?;
    wire.write_all(bytes)
        .await
        .map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let _ = wire.read_to_end(&mut answer).await;
    Ok(answer)
}

// --- HTTP/1.1 ---

async fn h1(wire: Box<dyn Wire>, call: &Call) -> Result<Option<Answer>, String> {
    let (mut reading, mut writing) = tokio::io::split(wire);
    let mut reader = AnswerReader::new(call.method == "HEAD");
    let until_body = call.leave == Some(Leave::AfterAnswerBegins);
    let leaves = {
        let read = read_answer(&mut reading, &mut reader, until_body);
        let write = write_h1(&mut writing, call);
        tokio::pin!(read, write);
        tokio::select! {
            // An answer before the request's end: whatever is still to be sent has lost its meaning.
            answered = &mut read => { answered?; false }
            leaves = &mut write => if leaves && !call.stalls { true } else { read.await?; false },
        }
    };
    if leaves {
        tokio::time::sleep(BEFORE_LEAVING).await;
        return Ok(None);
    }
    Ok(reader.end())
}

async fn read_answer(
    reading: &mut ReadHalf<Box<dyn Wire>>,
    reader: &mut AnswerReader,
    until_body: bool,
) -> Result<(), String> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // A reset after an early answer is how the gateway ends a request that it no longer reads.
        let Ok(read @ 1..) = reading.read(&mut buffer).await else {
            return Ok(());
        };
        let complete = reader
            .feed(&buffer[..read])
            .map_err(|malformed| format!("{malformed:?}"))?;
        if complete || (until_body && reader.body_begun()) {
            return Ok(());
        }
    }
}

/// Writes the request; true when the client is to leave now.
async fn write_h1(writing: &mut WriteHalf<Box<dyn Wire>>, call: &Call) -> bool {
    let (pieces, leaves) = call.pieces();
    let mut writes = vec![h1_head(call)];
    if !call.ends_with_head() {
        match call.framing {
            Framing::Length => writes.extend(pieces),
            Framing::Chunked => {
                for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
                    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                    chunk.extend(piece);
                    chunk.extend(b"\r\n");
                    writes.push(chunk);
                }
                if !leaves {
                    writes.push(h1_end(&call.trailers));
                }
            }
        }
    }
    for write in writes {
        for packet in write.chunks(call.packet.unwrap_or(usize::MAX)) {
            // The gateway may have answered and closed: then the answer is what counts.
            if writing.write_all(packet).await.is_err() || writing.flush().await.is_err() {
                return leaves;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    leaves
}

fn h1_head(call: &Call) -> Vec<u8> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\n",
        call.method, call.path, call.host
    )
    .into_bytes();
    for (name, value) in &call.headers {
        head.extend(name.as_bytes());
        head.extend(b": ");
        head.extend(value);
        head.extend(b"\r\n");
    }
    match (&call.body, call.framing) {
        (None, _) => {}
        (Some(pieces), Framing::Length) => {
            let length: usize = pieces.iter().map(Vec::len).sum();
            head.extend(format!("content-length: {length}\r\n").into_bytes());
        }
        (Some(_), Framing::Chunked) => head.extend(b"transfer-encoding: chunked\r\n"),
    }
    head.extend(b"\r\n");
    head
}

fn h1_end(trailers: &Headers) -> Vec<u8> {
    let mut end = b"0\r\n".to_vec();
    for (name, value) in trailers {
        end.extend(name.as_bytes());
        end.extend(b": ");
        end.extend(value);
        end.extend(b"\r\n");
    }
    end.extend(b"\r\n");
    end
}

// --- HTTP/2 ---

async fn h2(wire: Box<dyn Wire>, call: &Call) -> Result<Option<Answer>, String> {
    let (send, driven) = h2_connection(wire).await?;
    let answer = h2_stream(send, call).await;
    // The connection goes with its stream: each call has a client address, and so a connection, of its own.
    driven.abort();
    let _ = driven.await;
    answer
}

/// Makes all calls at the same time as streams of one plain HTTP/2 connection; their answers in order.
///
/// # Errors
/// When the connection or one of the calls cannot be made.
pub async fn streams(
    from: Ipv4Addr,
    to: SocketAddr,
    calls: Vec<Call>,
) -> Result<Vec<Option<Answer>>, String> {
    let wire = tls::connect(None, Protocol::H2, from, to).await?;
    let (send, driven) = h2_connection(wire).await?;
    let running: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let send = send.clone();
            tokio::spawn(async move { h2_stream(send, &call).await })
        })
        .collect();
    let mut answers = Vec::new();
    for stream in running {
        answers.push(stream.await.map_err(|error| error.to_string())??);
    }
    driven.abort();
    Ok(answers)
}

/// An open HTTP/2 connection for calls to come; it is closed when this goes.
#[derive(Debug)]
pub(crate) struct Open {
    send: h2::client::SendRequest<Bytes>,
    driven: tokio::task::JoinHandle<()>,
}

impl Open {
    /// Makes a call as a stream of its own.
    pub(crate) fn call(
        &self,
        call: Call,
    ) -> impl Future<Output = Result<Option<Answer>, String>> + Send + use<> {
        let send = self.send.clone();
        async move { h2_stream(send, &call).await }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driven.abort();
    }
}

/// Begins HTTP/2 on a connection.
pub(crate) async fn open(wire: Box<dyn Wire>) -> Result<Open, String> {
    let (send, driven) = h2_connection(wire).await?;
    Ok(Open { send, driven })
}

type H2Connection = (h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<()>);

async fn h2_connection(wire: Box<dyn Wire>) -> Result<H2Connection, String> {
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(16 << 20)
        .initial_connection_window_size(32 << 20)
        .handshake::<_, Bytes>(wire)
        .await
        .map_err(|error| format!("h2 handshake: {error}"))?;
    let driven = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok((send, driven))
}

async fn h2_stream(
    send: h2::client::SendRequest<Bytes>,
    call: &Call,
) -> Result<Option<Answer>, String> {
    let mut send = send.ready().await.map_err(|error| format!("h2: {error}"))?;
    let request = h2_head(call)?;
    let (response, mut body) = send
        .send_request(request, call.ends_with_head())
        .map_err(|error| format!("h2 head: {error}"))?;
    let until_body = call.leave == Some(Leave::AfterAnswerBegins);
    {
        let read = h2_answer(response, until_body);
        let write = write_h2(&mut body, call);
        tokio::pin!(read, write);
        let leaves = tokio::select! {
            answer = &mut read => return answer,
            leaves = &mut write => leaves?,
        };
        if !leaves || call.stalls {
            return read.await;
        }
    }
    tokio::time::sleep(BEFORE_LEAVING).await;
    body.send_reset(h2::Reason::CANCEL);
    tokio::time::sleep(BEFORE_LEAVING).await;
    Ok(None)
}

fn h2_head(call: &Call) -> Result<http::Request<()>, String> {
    let bad =
        |what: &str| format!("HTTP/2 cannot say this {what}; let the scenario run over h1 alone");
    let scheme = match call.connection {
        None => "http",
        Some(_) => "https",
    };
    let uri = http::Uri::builder()
        .scheme(scheme)
        .authority(call.host.as_str())
        .path_and_query(call.path.as_str())
        .build()
        .map_err(|_| bad("authority or path"))?;
    let mut request = http::Request::builder()
        .method(call.method.as_str())
        .uri(uri)
        .version(http::Version::HTTP_2)
        .body(())
        .map_err(|_| bad("method"))?;
    let headers = request.headers_mut();
    for (name, value) in &call.headers {
        headers.append(
            http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("header name"))?,
            http::HeaderValue::from_bytes(value).map_err(|_| bad("header value"))?,
        );
    }
    if let (Some(pieces), Framing::Length) = (&call.body, call.framing) {
        let length: usize = pieces.iter().map(Vec::len).sum();
        headers.insert(http::header::CONTENT_LENGTH, length.into());
    }
    Ok(request)
}

/// Writes the body; true when the client is to leave now.
async fn write_h2(body: &mut h2::SendStream<Bytes>, call: &Call) -> Result<bool, String> {
    let (pieces, leaves) = call.pieces();
    if call.ends_with_head() {
        return Ok(leaves);
    }
    let ends_apart = call.end == End::Apart || !call.trailers.is_empty() || leaves;
    let last = pieces.len().saturating_sub(1);
    let none = pieces.is_empty();
    for (at, piece) in pieces.into_iter().enumerate() {
        tokio::time::sleep(PAUSE).await;
        let end = at == last && !ends_apart;
        // The gateway may have answered and reset the stream: then the answer is what counts.
        if body.send_data(piece.into(), end).is_err() {
            return Ok(leaves);
        }
    }
    tokio::time::sleep(PAUSE).await;
    if leaves {
        return Ok(true);
    }
    if !call.trailers.is_empty() {
        let mut trailers = http::HeaderMap::new();
        for (name, value) in &call.trailers {
            trailers.append(
                http::HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?,
                http::HeaderValue::from_bytes(value).map_err(|error| error.to_string())?,
            );
        }
        let _ = body.send_trailers(trailers);
    } else if ends_apart || none {
        let _ = body.send_data(Bytes::new(), true);
    }
    Ok(false)
}

async fn h2_answer(
    response: h2::client::ResponseFuture,
    until_body: bool,
) -> Result<Option<Answer>, String> {
    let Ok(response) = response.await else {
        return Ok(None);
    };
    let (head, mut body) = response.into_parts();
    let mut answer = Answer {
        status: head.status.as_u16(),
        headers: fields(&head.headers),
        ..Answer::default()
    };
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else {
            return Ok(Some(answer));
        };
        let _ = body.flow_control().release_capacity(piece.len());
        answer.body.extend_from_slice(&piece);
        if until_body {
            return Ok(Some(answer));
        }
    }
    match body.trailers().await {
        Ok(trailers) => {
            answer.trailers = trailers.as_ref().map(fields).unwrap_or_default();
            answer.complete = true;
        }
        Err(_) => answer.complete = false,
    }
    Ok(Some(answer))
}

/// The fields of a map in the form of the tests.
pub(crate) fn fields(map: &http::HeaderMap) -> Headers {
    map.iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}
