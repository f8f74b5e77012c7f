//! HTTP/1.1 messages as bytes: the little of RFC 9112 that a test needs to see exactly what went over a wire.
//!
//! Decided here: where a head and a body end. Not here: sockets, timing, and what should be in a message.
//! A library's client or server would tidy away what these tests look for: where a body was cut, a missing last
//! chunk, a byte that is not UTF-8, an answer before the request's end.

use postern_tests::scenario::{Answer, Headers};

/// More header fields than any test sends.
const MAX_FIELDS: usize = 512;

/// What came is not HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The header fields, names in lower case.
    pub headers: Headers,
}

impl RequestHead {
    /// Takes a complete head off the front of `buffer`; absent while it is not complete.
    ///
    /// # Errors
    /// When the bytes are no request head.
    pub fn take(buffer: &mut Vec<u8>) -> Result<Option<(Self, Vec<u8>)>, Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let end = match request.parse(buffer) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(Malformed(format!("request head: {error}"))),
        };
        let head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            headers: owned(request.headers),
        };
        Ok(Some((head, buffer.drain(..end).collect())))
    }

    /// How the body of this request ends (RFC 9112, section 6.3).
    ///
    /// # Errors
    /// When both framings, or two lengths, are given: that is how requests are smuggled.
    pub fn body(&self) -> Result<Body, Malformed> {
        Body::framed_by(&self.headers, Framing::Nothing)
    }
}

/// Reads one answer out of everything that came until the connection's end.
#[must_use]
pub fn whole_answer(bytes: &[u8]) -> Option<Answer> {
    let mut reader = AnswerReader::new(false);
    reader.feed(bytes).ok()?;
    reader.end()
}

/// Reads one answer from whatever pieces arrive; interim answers (1xx) are passed over.
#[derive(Debug)]
pub struct AnswerReader {
    to_head: bool,
    buffer: Vec<u8>,
    head: Option<(u16, Headers)>,
    body: Option<Body>,
}

impl AnswerReader {
    /// `to_head`: the request was HEAD, so no body follows.
    #[must_use]
    pub fn new(to_head: bool) -> Self {
        Self {
            to_head,
            buffer: Vec::new(),
            head: None,
            body: None,
        }
    }

    /// Takes the next bytes; true once the answer is complete.
    ///
    /// # Errors
    /// When the bytes are no answer.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<bool, Malformed> {
        self.buffer.extend_from_slice(bytes);
        while self.head.is_none() {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut response = httparse::Response::new(&mut fields);
            let end = match response.parse(&self.buffer) {
                Ok(httparse::Status::Complete(end)) => end,
                Ok(httparse::Status::Partial) => return Ok(false),
                Err(error) => return Err(Malformed(format!("answer head: {error}"))),
            };
            let status = response.code.unwrap_or(0);
            let fields = owned(response.headers);
            self.buffer.drain(..end);
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let bodyless = self.to_head || matches!(status, 101 | 204 | 304);
            self.body = Some(if bodyless {
                Body::new(Framing::Nothing)
            } else {
                Body::framed_by(&fields, Framing::UntilClose)?
            });
            self.head = Some((status, fields));
        }
        match &mut self.body {
            Some(body) => {
                body.feed(&mut self.buffer)?;
                Ok(body.complete)
            }
            None => Ok(false),
        }
    }

    /// Whether a byte of the body has come.
    #[must_use]
    pub fn body_begun(&self) -> bool {
        self.body
            .as_ref()
            .is_some_and(|body| !body.bytes.is_empty())
    }

    /// The answer as far as it came, at the connection's end; absent when not even its head did.
    #[must_use]
    pub fn end(self) -> Option<Answer> {
        let (status, fields) = self.head?;
        let mut body = self.body?;
        body.close();
        Some(Answer {
            status,
            headers: fields,
            body: body.bytes,
            trailers: body.trailers,
            complete: body.complete,
        })
    }
}

/// What ends a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Nothing,
    /// So many more bytes.
    Length(u64),
    /// The last chunk and its trailers.
    Chunked,
    /// The end of the connection.
    UntilClose,
}

/// A body while it arrives.
#[derive(Debug)]
pub struct Body {
    framing: Framing,
    chunk: Chunk,
    /// The bytes so far, without framing.
    pub bytes: Vec<u8>,
    /// The trailers.
    pub trailers: Headers,
    /// Whether the end came.
    pub complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size,
    Content(u64),
    ContentEnd,
    Trailers,
}

impl Body {
    fn new(framing: Framing) -> Self {
        let complete = matches!(framing, Framing::Nothing | Framing::Length(0));
        Self {
            framing,
            chunk: Chunk::Size,
            bytes: Vec::new(),
            trailers: Vec::new(),
            complete,
        }
    }

    fn framed_by(fields: &Headers, otherwise: Framing) -> Result<Self, Malformed> {
        let of = |name: &str| -> Vec<&[u8]> {
            fields
                .iter()
                .filter(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_slice())
                .collect()
        };
        let (lengths, codings) = (of("content-length"), of("transfer-encoding"));
        let framing = match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => otherwise,
            ([length], []) => Framing::Length(
                std::str::from_utf8(length)
                    .ok()
                    .and_then(|length| length.parse().ok())
                    .ok_or_else(|| Malformed(format!("content-length {length:?}")))?,
            ),
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            both => return Err(Malformed(format!("ambiguous framing: {both:?}"))),
        };
        Ok(Self::new(framing))
    }

    /// Takes what belongs to the body off the front of `buffer`.
    ///
    /// # Errors
    /// When the chunk framing is broken.
    pub fn feed(&mut self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        while !self.complete && !buffer.is_empty() {
            match self.framing {
                Framing::Nothing => return Ok(()),
                Framing::UntilClose => self.bytes.append(buffer),
                Framing::Length(left) => {
                    let left = self.take_content(buffer, left);
                    self.framing = Framing::Length(left);
                    self.complete = left == 0;
                }
                Framing::Chunked => {
                    if !self.feed_chunked(buffer)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// One step through the chunks; false when `buffer` holds too little for it.
    fn feed_chunked(&mut self, buffer: &mut Vec<u8>) -> Result<bool, Malformed> {
        match self.chunk {
            Chunk::Content(left) => {
                let left = self.take_content(buffer, left);
                self.chunk = if left == 0 {
                    Chunk::ContentEnd
                } else {
                    Chunk::Content(left)
                };
            }
            Chunk::Size | Chunk::ContentEnd | Chunk::Trailers => {
                let Some(line) = take_line(buffer)? else {
                    return Ok(false);
                };
                self.chunk = self.after_line(&line)?;
            }
        }
        Ok(true)
    }

    fn after_line(&mut self, line: &[u8]) -> Result<Chunk, Malformed> {
        match self.chunk {
            Chunk::Size => {
                let size = std::str::from_utf8(line)
                    .ok()
                    .and_then(|line| u64::from_str_radix(line.split(';').next()?.trim(), 16).ok())
                    .ok_or_else(|| Malformed(format!("chunk size {line:?}")))?;
                Ok(if size == 0 {
                    Chunk::Trailers
                } else {
                    Chunk::Content(size)
                })
            }
            Chunk::ContentEnd if line.is_empty() => Ok(Chunk::Size),
            Chunk::Trailers if line.is_empty() => {
                self.complete = true;
                Ok(Chunk::Trailers)
            }
            Chunk::Trailers => {
                let colon = line
                    .iter()
                    .position(|byte| *byte == b':')
                    .ok_or_else(|| Malformed(format!("trailer {line:?}")))?;
                let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
                self.trailers
                    .push((name, line[colon + 1..].trim_ascii().to_vec()));
                Ok(Chunk::Trailers)
            }
            Chunk::ContentEnd | Chunk::Content(_) => {
                Err(Malformed(format!("after a chunk: {line:?}")))
            }
        }
    }

    fn take_content(&mut self, buffer: &mut Vec<u8>, left: u64) -> u64 {
        let taken = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        self.bytes.extend(buffer.drain(..taken));
        left - taken as u64
    }

    /// The connection has ended: for a body without another end, that is its end.
    fn close(&mut self) {
        if self.framing == Framing::UntilClose {
            self.complete = true;
        }
    }
}

fn take_line(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    let mut line: Vec<u8> = buffer.drain(..=end).collect();
    line.pop();
    if line.pop() != Some(b'\r') {
        return Err(Malformed("a bare line feed in chunk framing".into()));
    }
    Ok(Some(line))
}

fn owned(fields: &[httparse::Header<'_>]) -> Headers {
    fields
        .iter()
        .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_same_however_it_is_cut() {
        let wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: \xff\r\ntransfer-encoding: chunked\r\n\r\n\
            3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nt: 1\r\n\r\n";
        let whole = whole_answer(wire).expect("an answer");
        assert_eq!(whole.status, 200);
        assert_eq!(whole.body, b"abcde");
        assert!(whole.headers.contains(&("x".to_owned(), b"\xff".to_vec())));
        assert_eq!(whole.trailers, [("t".to_owned(), b"1".to_vec())]);
        assert!(whole.complete);
        let mut reader = AnswerReader::new(false);
        let done = wire
            .iter()
            .map(|byte| reader.feed(&[*byte]).expect("an answer"))
            .collect::<Vec<_>>();
        assert_eq!(
            done.iter().filter(|done| **done).count(),
            1,
            "complete with its last byte, not before"
        );
        let pieces = reader.end().expect("an answer");
        assert_eq!(
            (pieces.status, pieces.headers, pieces.body),
            (whole.status, whole.headers, whole.body)
        );
        assert_eq!((pieces.trailers, pieces.complete), (whole.trailers, true));
    }

    #[test]
    fn an_unfinished_body_is_not_complete() {
        for (wire, complete, why) in [
            (
                &b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"[..],
                false,
                "one byte is missing",
            ),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab",
                true,
                "all bytes came",
            ),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
                false,
                "no last chunk",
            ),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
                false,
                "no end of trailers",
            ),
            (
                b"HTTP/1.1 200 OK\r\n\r\nab",
                true,
                "the connection's end ends it",
            ),
        ] {
            assert_eq!(
                whole_answer(wire).map(|answer| answer.complete),
                Some(complete),
                "{why}"
            );
        }
    }

    #[test]
    fn two_framings_are_malformed() {
        let mut wire =
            b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let (head, _) = RequestHead::take(&mut wire)
            .expect("a head")
            .expect("complete");
        assert!(head.body().is_err());
    }
}
