//! What was seen of one case. Both levels fill this, each from its own senses.

/// Header fields in order, names in lower case.
pub type Headers = Vec<(String, Vec<u8>)>;

/// What was seen of one case.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What the client was answered; `None` when no head of an answer reached it.
    pub answer: Option<Answer>,
    /// Every request of which upstream saw at least one byte.
    pub forwarded: Vec<Forwarded>,
    /// Response code details as the access log tells them; `None` when it tells none.
    pub details: Option<String>,
    /// The record as the access log read it from filter state, one entry per access log line of this request.
    pub state_records: Vec<String>,
    /// The record as the log line of the module told it, one entry per line of this request.
    pub log_records: Vec<String>,
    /// All log text of the gateway and the module while the case ran.
    pub log: String,
    /// Why the gateway is not healthy after the case; empty when it is.
    pub unhealthy: Vec<String>,
}

/// What the client was answered.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers without pseudo headers.
    pub headers: Headers,
    /// Body as far as it came.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: Headers,
    /// The answer came to its proper end.
    pub complete: bool,
}

/// What upstream saw of one request.
#[derive(Clone, Debug, Default)]
pub struct Forwarded {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Headers, pseudo headers and host included where they came.
    pub headers: Headers,
    /// Body as far as it came.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: Headers,
    /// The request came to its proper end.
    pub complete: bool,
}
