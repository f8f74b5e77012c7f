//! An identity provider that does as it is told: it answers, dawdles, lies, falls silent or goes away.
//!
//! Decided here: what comes back for each path at each moment, and which calls are written down. Not here: what an
//! honest answer says (the test gives its bytes), and what the gateway should make of it.
//! Next to it stand the other fates of a call: a port where nobody listens, and one that accepts and never answers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use postern_tests::scenario::Headers;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use crate::h1::RequestHead;

/// Between two looks at the book.
const STEP: Duration = Duration::from_millis(5);
/// How long a port that was just left may take to be free again.
const FREE: Duration = Duration::from_secs(5);

/// Where the calls of a gateway may end.
#[derive(Debug, Clone, Copy)]
pub struct Destinations {
    /// The provider itself, HTTP/1.1 (cluster `idp`).
    pub idp: SocketAddr,
    /// Nobody listens: refused at once (cluster `nowhere`).
    pub nowhere: SocketAddr,
    /// Accepts, reads, never answers (cluster `silent`).
    pub silent: SocketAddr,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Page {
    /// Status.
    pub status: u16,
    /// Header fields but the length.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Page {
    /// 200 with a JSON body.
    #[must_use]
    pub fn json(body: impl ToString) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string().into_bytes(),
        }
    }

    /// A status and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

/// What a path does with a call.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers.
    Answer(Page),
    /// Answers after a while.
    Slow(Duration, Page),
    /// Answers once the gate is open.
    Gated(Gate, Page),
    /// Sends bytes that are no HTTP, and closes.
    Garbage(Vec<u8>),
    /// Reads the call and never answers.
    Hang,
    /// Resets the connection.
    Reset,
    /// Promises the whole body, sends so many bytes of it, and closes.
    Cut(usize, Page),
    /// Sends the body so many bytes at a time, with a pause before each piece.
    Drip {
        /// The answer.
        page: Page,
        /// Bytes of a piece.
        piece: usize,
        /// Before each piece.
        pause: Duration,
    },
}

/// What holds answers back until it is opened; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    /// Lets every answer go that waits, and all that come later.
    pub fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    async fn pass(&self) {
        while !self.0.load(Ordering::Relaxed) {
            tokio::time::sleep(STEP).await;
        }
    }
}

/// A call that came.
#[derive(Debug, Clone)]
pub struct Call {
    /// When its head and body were here.
    pub at: Instant,
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Header fields, names in lower case.
    pub headers: Headers,
    /// Body.
    pub body: Vec<u8>,
}

/// A running provider; clones are the same one.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Where calls may end.
    pub destinations: Destinations,
    runtime: Handle,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug)]
struct Book {
    paths: HashMap<String, Behaviour>,
    calls: Vec<Call>,
    /// The task that accepts and owns every connection; absent while the provider is down.
    serving: Option<AbortHandle>,
    /// Bound and not listening: the port stays taken, and whoever connects is refused.
    _nowhere: TcpSocket,
}

impl Provider {
    /// Starts a provider on free loopback ports. A path that is told nothing answers 404.
    ///
    /// # Panics
    /// When no loopback port can be had.
    #[must_use]
    pub fn start(runtime: &Handle) -> Self {
        let (idp, silent, nowhere) = runtime.block_on(async {
            let listen = || TcpListener::bind("127.0.0.1:0");
            let nowhere = TcpSocket::new_v4().expect("a socket");
            nowhere
                .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
                .expect("a loopback port");
            let idp = listen().await.expect("a loopback port");
            let silent = listen().await.expect("a loopback port");
            (idp, silent, nowhere)
        });
        let provider = Self {
            destinations: Destinations {
                idp: idp.local_addr().expect("a bound socket"),
                nowhere: nowhere.local_addr().expect("a bound socket"),
                silent: silent.local_addr().expect("a bound socket"),
            },
            runtime: runtime.clone(),
            book: Arc::new(Mutex::new(Book {
                paths: HashMap::new(),
                calls: Vec::new(),
                serving: None,
                _nowhere: nowhere,
            })),
        };
        runtime.spawn(keep_silent(silent));
        provider.serve(idp);
        provider
    }

    /// Says what `path` (without its query) does from now on.
    pub fn set(&self, path: &str, behaviour: Behaviour) {
        self.book().paths.insert(path.to_owned(), behaviour);
    }

    /// The provider goes away: its connections are cut and new ones refused, until [`Provider::up`].
    pub fn down(&self) {
        if let Some(serving) = self.book().serving.take() {
            serving.abort();
        }
    }

    /// The provider is there again, on the same port and with the same behaviours.
    ///
    /// # Panics
    /// When another process took the port in the meantime.
    pub fn up(&self) {
        if self.book().serving.is_some() {
            return;
        }
        let until = Instant::now() + FREE;
        loop {
            let bound = self
                .runtime
                .block_on(TcpListener::bind(self.destinations.idp));
            match bound {
                Ok(listener) => return self.serve(listener),
                // What was aborted lets go of the port a moment later.
                Err(_) if Instant::now() < until => std::thread::sleep(STEP),
                Err(error) => panic!("the provider's port: {error}"),
            }
        }
    }

    /// Every call to `path` (without its query) so far, in order.
    #[must_use]
    pub fn calls(&self, path: &str) -> Vec<Call> {
        let book = self.book();
        let calls = book.calls.iter();
        calls
            .filter(|call| without_query(&call.path) == path)
            .cloned()
            .collect()
    }

    /// The calls to `path`, once there are `at_least` so many, or after `patience`.
    pub fn await_calls(&self, path: &str, at_least: usize, patience: Duration) -> Vec<Call> {
        let until = Instant::now() + patience;
        loop {
            let calls = self.calls(path);
            if calls.len() >= at_least || Instant::now() >= until {
                return calls;
            }
            std::thread::sleep(STEP);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book
            .lock()
            .expect("nobody panics while holding the book")
    }

    fn serve(&self, listener: TcpListener) {
        let task = self.runtime.spawn(self.clone().accept(listener));
        self.book().serving = Some(task.abort_handle());
    }

    async fn accept(self, listener: TcpListener) {
        // INVARIANT (down): the connections end with this task.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            connections.spawn(self.clone().connection(stream));
            while connections.try_join_next().is_some() {}
        }
    }

    async fn connection(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some(call) = read(&mut stream, &mut buffer).await {
            let behaviour = {
                let mut book = self.book();
                let behaviour = book.paths.get(without_query(&call.path)).cloned();
                book.calls.push(call);
                behaviour.unwrap_or(Behaviour::Answer(Page::status(404)))
            };
            if !behave(&mut stream, behaviour).await {
                return;
            }
        }
    }
}

fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

async fn keep_silent(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
        });
    }
}

/// Reads one call; absent when the connection ends first, or what came is no HTTP.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Call> {
    let head = loop {
        if let Some((head, _)) = RequestHead::take(buffer).ok()? {
            break head;
        }
        more(stream, buffer).await?;
    };
    let mut body = head.body().ok()?;
    loop {
        body.feed(buffer).ok()?;
        if body.complete {
            break;
        }
        more(stream, buffer).await?;
    }
    Some(Call {
        at: Instant::now(),
        method: head.method,
        path: head.target,
        headers: head.headers,
        body: body.bytes,
    })
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    matches!(stream.read_buf(buffer).await, Ok(1..)).then_some(())
}

/// Does it; true when the connection can go on.
async fn behave(stream: &mut TcpStream, behaviour: Behaviour) -> bool {
    match behaviour {
        Behaviour::Answer(page) => send(stream, &page, page.body.len(), None).await,
        Behaviour::Slow(delay, page) => {
            tokio::time::sleep(delay).await;
            send(stream, &page, page.body.len(), None).await
        }
        Behaviour::Gated(gate, page) => {
            gate.pass().await;
            send(stream, &page, page.body.len(), None).await
        }
        Behaviour::Garbage(bytes) => {
            let _ = stream.write_all(&bytes).await;
            false
        }
        Behaviour::Hang => {
            let mut ignored = Vec::new();
            while more(stream, &mut ignored).await.is_some() {}
            false
        }
        Behaviour::Reset => {
            // Closing without lingering sends RST.
            let _ = stream.set_zero_linger();
            false
        }
        Behaviour::Cut(sent, page) => {
            send(stream, &page, sent, None).await;
            false
        }
        Behaviour::Drip { page, piece, pause } => {
            send(stream, &page, page.body.len(), Some((piece, pause))).await
        }
    }
}

/// Sends the head with the whole length and the first `sent` bytes of the body, in pieces when it drips.
async fn send(
    stream: &mut TcpStream,
    page: &Page,
    sent: usize,
    drip: Option<(usize, Duration)>,
) -> bool {
    let mut head = format!("HTTP/1.1 {} Told\r\n", page.status);
    for (name, value) in &page.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", page.body.len()));
    let body = &page.body[..sent.min(page.body.len())];
    let (piece, pause) = drip.unwrap_or((body.len(), Duration::ZERO));
    if stream.write_all(head.as_bytes()).await.is_err() {
        return false;
    }
    for piece in body.chunks(piece.max(1)) {
        tokio::time::sleep(pause).await;
        if stream.write_all(piece).await.is_err() {
            return false;
        }
    }
    true
}
