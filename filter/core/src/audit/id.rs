//! The name of one request in records, answers and upstream headers: the worker's boot nonce and a counter, so that two
//! workers, or one before and after a restart, never name two requests alike.

/// Where a worker's audit ids come from. Randomness is an argument.
#[derive(Debug)]
pub struct Ids {
    boot: [u8; 8],
    next: u64,
}

impl Ids {
    /// Ids of a worker whose start drew these random bytes.
    pub fn new(boot: [u8; 8]) -> Self {
        Self { boot, next: 0 }
    }

    /// The next id.
    pub fn draw(&mut self) -> AuditId {
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        AuditId(format!("{}-{sequence:x}", super::hex(&self.boot)))
    }
}

/// An audit id: 16 hexadecimal digits of the boot nonce, a dash, and the request's number in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditId(String);

impl AuditId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
