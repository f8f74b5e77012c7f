//! The two ends of the bench: an upstream that answers at once, and a load that keeps connections busy.
//!
//! Decided here: how a request is sent, when its answer is whole, what counts as an error, how long it took.
//! Not decided here: what is sent, to whom, for how long, and what the figures mean (main.py).
//! One thread per connection and blocking reads: nothing to tune, and far cheaper than the gateway between the two.
//!
//! `postern-bench-load upstream` prints its port and serves HTTP/1.1 until its standard input ends.
//! `postern-bench-load load PORT CONNECTIONS SECONDS FILE FIRST` sends the requests of FILE (each: 4 bytes of length,
//! big-endian, then the bytes of a whole request) round and round from the request FIRST (counted from 0), and prints one
//! JSON object. All connections together walk one round: no request is sent again before every other one was.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a load generator: it reads the clock, counts and prints; nothing of it is in the product"
)]

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// No head or body that the bench sends is larger.
const MESSAGE_MAX: usize = 1 << 20;
/// A connection that is silent for so long counts as an error.
const SILENCE_MAX: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["upstream"] => upstream(),
        ["load", port, connections, seconds, file, first] => {
            load(port, connections, seconds, file, first)
        }
        _ => Err(invalid(
            "usage: upstream | load PORT CONNECTIONS SECONDS FILE FIRST",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postern-bench-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}

/// Answers every request with the same chat completion of 1 KiB. Ends when standard input does.
fn upstream() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    let answer: Arc<[u8]> = answer().into_bytes().into();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || serve(stream, &answer));
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn answer() -> String {
    let start = r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let end = r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":200,"total_tokens":400}}"#;
    let fill = "a".repeat(1024_usize.saturating_sub(start.len() + end.len()));
    let body = format!("{start}{fill}{end}");
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One connection of the upstream: request, answer, request, answer.
fn serve(stream: TcpStream, answer: &[u8]) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut messages = Messages::new(stream);
    while messages.next()?.is_some() {
        messages.stream.write_all(answer)?;
    }
    Ok(())
}

/// What one connection of the load saw.
#[derive(Default)]
struct Tally {
    requests: u64,
    errors: u64,
    /// Latency in microseconds, and how many requests took it.
    micros: BTreeMap<u128, u64>,
}

/// The requests of a load, and which of them is the next.
struct Round {
    requests: Vec<Vec<u8>>,
    next: AtomicUsize,
}

impl Round {
    fn next(&self) -> Option<&[u8]> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let number = number.checked_rem(self.requests.len())?;
        self.requests.get(number).map(Vec::as_slice)
    }
}

fn load(port: &str, connections: &str, seconds: &str, file: &str, first: &str) -> Result<()> {
    let port: u16 = port.parse().map_err(|_| invalid("PORT is a number"))?;
    let connections: usize = connections
        .parse()
        .map_err(|_| invalid("CONNECTIONS is a number"))?;
    let seconds: f64 = seconds
        .parse()
        .map_err(|_| invalid("SECONDS is a number"))?;
    let until = Instant::now()
        + Duration::try_from_secs_f64(seconds).map_err(|_| invalid("SECONDS is a duration"))?;
    let round = Arc::new(Round {
        requests: split(&std::fs::read(file)?)?,
        next: AtomicUsize::new(first.parse().map_err(|_| invalid("FIRST is a number"))?),
    });
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let round = Arc::clone(&round);
            thread::spawn(move || drive(port, &round, until))
        })
        .collect();
    let mut whole = Tally::default();
    for thread in threads {
        let part = thread
            .join()
            .map_err(|_| Error::other("a connection's thread panicked"))?;
        whole.requests += part.requests;
        whole.errors += part.errors;
        for (micros, count) in part.micros {
            *whole.micros.entry(micros).or_default() += count;
        }
    }
    let micros: Vec<String> = whole
        .micros
        .iter()
        .map(|(micros, count)| format!("[{micros},{count}]"))
        .collect();
    println!(
        "{{\"requests\":{},\"errors\":{},\"micros\":[{}]}}",
        whole.requests,
        whole.errors,
        micros.join(",")
    );
    Ok(())
}

/// The requests of a file: each is 4 bytes of length, big-endian, and so many bytes.
fn split(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(Error::other)?;
        let (request, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| invalid("the file ends within a request"))?;
        requests.push(request.to_vec());
        bytes = rest;
    }
    if requests.is_empty() {
        Err(invalid("the file holds no request"))
    } else {
        Ok(requests)
    }
}

/// One connection of the load, until the time is over. A broken connection is one error and its end.
fn drive(port: u16, round: &Round, until: Instant) -> Tally {
    let mut tally = Tally::default();
    if exchange(port, round, until, &mut tally).is_err() {
        tally.errors += 1;
    }
    tally
}

fn exchange(port: u16, round: &Round, until: Instant, tally: &mut Tally) -> Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut messages = Messages::new(stream);
    while let Some(request) = round.next() {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        messages.stream.write_all(request)?;
        let first_line = messages
            .next()?
            .ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
        tally.requests += 1;
        tally.errors += u64::from(!first_line.starts_with(b"HTTP/1.1 200"));
        *tally.micros.entry(sent.elapsed().as_micros()).or_default() += 1;
    }
    Ok(())
}

/// A reader of HTTP/1.1 messages with a content-length (or without a body) from one connection.
struct Messages {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Messages {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            read: Vec::with_capacity(8192),
        }
    }

    /// The first line of the next whole message, its body read and dropped; `None` at the connection's orderly end.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let head = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more()? {
                return if self.read.is_empty() {
                    Ok(None)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let rest = self.read.split_off(head);
        let head = std::mem::replace(&mut self.read, rest);
        let body = content_length(&head)?;
        while self.read.len() < body {
            if !self.more()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        self.read.drain(..body);
        Ok(head.split(|byte| *byte == b'\r').next().map(<[u8]>::to_vec))
    }

    fn more(&mut self) -> Result<bool> {
        let mut chunk = [0; 16384];
        let count = self.stream.read(&mut chunk)?;
        self.read
            .extend_from_slice(chunk.get(..count).unwrap_or_default());
        if self.read.len() > MESSAGE_MAX {
            Err(invalid("the message is too large"))
        } else {
            Ok(count > 0)
        }
    }
}

/// The body's length by the head. A chunked message is an error: nothing that the bench sends is chunked.
fn content_length(head: &[u8]) -> Result<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding:") {
        return Err(invalid("a chunked message"));
    }
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    line.map_or(Ok(0), |value| {
        value
            .trim()
            .parse()
            .map_err(|_| invalid("content-length is no number"))
    })
}
