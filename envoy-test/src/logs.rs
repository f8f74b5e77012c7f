//! Reading what Envoy writes while it writes.
//!
//! Decided here: what a line is, and what an access-log line says. Not here: which lines there should be.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

/// The complete lines of a growing file, each read once.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    offset: u64,
    rest: Vec<u8>,
    lines: Vec<String>,
}

impl Lines {
    /// Follows the file at `path`.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            seen: Mutex::default(),
        }
    }

    /// All complete lines so far. Bytes that are not UTF-8 show as U+FFFD.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.advance().lines.clone()
    }

    /// How many complete lines there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.advance().lines.len()
    }

    /// All complete lines but the first `from`.
    #[must_use]
    pub fn from(&self, from: usize) -> Vec<String> {
        self.advance().lines.iter().skip(from).cloned().collect()
    }

    fn advance(&self) -> MutexGuard<'_, Seen> {
        let mut seen = self
            .seen
            .lock()
            .expect("no test panics while it holds this");
        let mut fresh = Vec::new();
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(seen.offset))
                .expect("a regular file");
            file.read_to_end(&mut fresh).expect("a readable log");
        }
        seen.offset += fresh.len() as u64;
        seen.rest.extend_from_slice(&fresh);
        while let Some(end) = seen.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = seen.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line)
                .trim_end_matches('\n')
                .to_owned();
            seen.lines.push(line);
        }
        seen
    }
}

/// The audit record, as JSON text, in a line of Envoy's log; absent when the line is about something else.
#[must_use]
pub fn record_in(line: &str) -> Option<&str> {
    line.split_once("postern audit ").map(|(_, record)| record)
}

/// One request as Envoy's access log tells it.
#[derive(Debug, Clone)]
pub struct AccessLine {
    /// The loopback address that the client bound: the case.
    pub client: String,
    /// The status sent to the client; 0 when none was.
    pub status: u64,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: Option<String>,
    /// `%RESPONSE_FLAGS%`.
    pub flags: Option<String>,
    /// The audit record out of filter state, as text; absent when there was none.
    pub record: Option<String>,
    /// What the gateway itself knows of the client's end of the connection.
    pub peer: PeerLine,
}

/// The TLS side of an access-log line; on a plain connection nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerLine {
    /// `connection.tls_version`, such as `TLSv1.3`.
    pub tls: Option<String>,
    /// `connection.mtls`: a certificate was presented.
    pub presented: bool,
    /// `connection.peer_certificate_valid`: and it was found valid in this very handshake.
    pub valid: bool,
    /// `connection.uri_san_peer_certificate`: its first URI name.
    pub uri: Option<String>,
    /// `connection.sha256_peer_certificate_digest`, lower-case hex.
    pub digest: Option<String>,
    /// `connection.peer_certificate`: the leaf as PEM.
    pub certificate: Option<String>,
}

impl AccessLine {
    /// Reads a line of the format that `bootstrap` sets.
    ///
    /// # Panics
    /// When the line is not one JSON object: something has broken out of the log's format.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let value: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("access log: {error}: {line}"));
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Self {
            client: text("client").unwrap_or_default(),
            status: value["status"].as_u64().unwrap_or(0),
            details: text("details"),
            flags: text("flags"),
            record: text("record"),
            peer: PeerLine {
                tls: text("tls"),
                presented: value["mtls"] == "true",
                valid: value["valid"] == "true",
                uri: text("presented"),
                digest: text("digest"),
                certificate: text("certificate"),
            },
        }
    }
}
