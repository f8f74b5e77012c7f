//! A real Envoy process, and what can be seen of it from outside.
//!
//! Decided here: how Envoy is started, found ready, asked for its state and read by its logs. Not here: its
//! configuration (`bootstrap`), and what a good answer is (the tests).

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bootstrap::{Deployment, Upstreams};
use crate::logs::{AccessLine, Lines, record_in};
use crate::supervised::Supervised;

/// How long a start may take: compiling the module needs seconds on a busy machine.
const START: Duration = Duration::from_secs(90);
/// How long an answer of the admin interface may take.
const ADMIN: Duration = Duration::from_secs(10);
/// The environment of the process, as a mesh gives it to its gateways.
pub const ENVIRONMENT: [(&str, &str); 1] = [("POD_NAME", "gateway-7")];
const STEP: Duration = Duration::from_millis(20);

/// The checkout's root.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The Envoy under test: `ENVOY_BIN`, or the one that the set-up installs.
#[must_use]
pub fn program() -> PathBuf {
    std::env::var_os("ENVOY_BIN").map_or_else(
        || root().join("target/venv/bin/envoy"),
        |path| absolute(&path.into()),
    )
}

/// The module under test: `POSTERN_WASM`, or the one that `make wasm` leaves.
#[must_use]
pub fn module() -> PathBuf {
    std::env::var_os("POSTERN_WASM").map_or_else(
        || root().join("target/postern.wasm"),
        |path| absolute(&path.into()),
    )
}

/// A path from the environment is relative to the checkout, not to this crate.
fn absolute(path: &PathBuf) -> PathBuf {
    root().join(path)
}

/// Envoy ended while it should have started.
#[derive(Debug)]
pub struct NotStarted {
    /// Its exit code; absent when it had to be ended.
    pub code: Option<i32>,
    /// Everything it wrote.
    pub log: String,
}

impl std::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = self.log.len().saturating_sub(4000);
        let tail = self.log.get(from..).unwrap_or(&self.log);
        write!(
            f,
            "envoy did not start (exit code {:?}): …{tail}",
            self.code
        )
    }
}

/// A running Envoy. Dropping it ends the process.
#[derive(Debug)]
pub struct Envoy {
    process: Mutex<Supervised>,
    log: PathBuf,
    admin: SocketAddr,
    listeners: BTreeMap<String, SocketAddr>,
    access: Lines,
    wasm: Lines,
}

impl Envoy {
    /// Starts Envoy in the fresh folder `target/envoy-test/<name>` and waits until it serves.
    ///
    /// # Errors
    /// When Envoy ends instead, or does not come up in time: its whole log.
    pub fn start(
        name: &str,
        deployment: &Deployment,
        upstreams: Upstreams,
    ) -> Result<Self, NotStarted> {
        let folder = root().join("target/envoy-test").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder under target/");
        let [config, log, access, admin] =
            ["envoy.json", "envoy.log", "access.log", "admin.addr"].map(|file| folder.join(file));
        fs::write(&access, b"").expect("the access log");
        fs::write(
            &config,
            format!("{:#}", deployment.bootstrap(upstreams, &access)),
        )
        .expect("the configuration");
        let arguments = arguments(&config, &admin, deployment.workers);
        let mut process = Supervised::start(&program(), &arguments, &ENVIRONMENT, &log)
            .expect("the supervising shell");
        let admin = match wait_for_admin(&mut process, &admin) {
            Ok(admin) => admin,
            Err(code) => {
                drop(process);
                return Err(NotStarted {
                    code,
                    log: text(&log),
                });
            }
        };
        let listeners = listeners(admin);
        Ok(Self {
            process: Mutex::new(process),
            admin,
            listeners,
            access: Lines::of(&access),
            wasm: Lines::of(&log),
            log,
        })
    }

    /// Where the listener `name` accepts.
    #[must_use]
    pub fn listener(&self, name: &str) -> SocketAddr {
        *self
            .listeners
            .get(name)
            .expect("a listener of the bootstrap")
    }

    /// The body of `GET path` on the admin interface.
    ///
    /// # Errors
    /// When the admin interface does not answer: a sign that Envoy died.
    pub fn admin(&self, path: &str) -> std::io::Result<String> {
        admin_call(self.admin, "GET", path)
    }

    /// The value of one counter or gauge; absent when Envoy has none of that name.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub fn stat(&self, name: &str) -> std::io::Result<Option<u64>> {
        let stats = self.admin("/stats")?;
        Ok(stats.lines().find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(": ")?
                .trim()
                .parse()
                .ok()
        }))
    }

    /// How many connections each worker has taken from the listener `name`.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub fn taken(&self, name: &str) -> std::io::Result<Vec<u64>> {
        let stats = self.admin(&format!(
            "/stats?filter=^listener.{name}.worker_.*.downstream_cx_total"
        ))?;
        Ok(stats
            .lines()
            .filter_map(|line| line.rsplit_once(": ")?.1.trim().parse().ok())
            .collect())
    }

    /// Everything that Envoy wrote, module included.
    #[must_use]
    pub fn log(&self) -> String {
        text(&self.log)
    }

    /// The access-log lines of one client address, waiting until there are `at_least`.
    #[must_use]
    pub fn access_of(&self, client: &str, at_least: usize, patience: Duration) -> Vec<AccessLine> {
        let until = Instant::now() + patience;
        loop {
            let lines: Vec<AccessLine> = self
                .access
                .all()
                .iter()
                .map(|line| AccessLine::parse(line))
                .filter(|line| line.client == client)
                .collect();
            if lines.len() >= at_least || Instant::now() >= until {
                return lines;
            }
            std::thread::sleep(STEP);
        }
    }

    /// Every access-log line so far.
    #[must_use]
    pub fn access(&self) -> Vec<AccessLine> {
        self.access
            .all()
            .iter()
            .map(|line| AccessLine::parse(line))
            .collect()
    }

    /// Every audit record in Envoy's log so far, as JSON text.
    #[must_use]
    pub fn records(&self) -> Vec<String> {
        self.wasm
            .all()
            .iter()
            .filter_map(|line| record_in(line))
            .map(str::to_owned)
            .collect()
    }

    /// Every line of both logs so far.
    #[must_use]
    pub fn all_lines(&self) -> Vec<String> {
        let mut lines = self.wasm.all();
        lines.extend(self.access.all());
        lines
    }

    /// How many lines Envoy's log has so far.
    #[must_use]
    pub fn log_lines(&self) -> usize {
        self.wasm.count()
    }

    /// Envoy's log but its first `from` lines.
    #[must_use]
    pub fn log_from(&self, from: usize) -> Vec<String> {
        self.wasm.from(from)
    }

    /// What is wrong with this Envoy now; nothing when it is healthy.
    #[must_use]
    pub fn ailments(&self) -> Vec<String> {
        let mut found = Vec::new();
        match self
            .process
            .lock()
            .expect("no test panics while it holds this")
            .ended()
        {
            Ok(None) => {}
            Ok(Some(status)) => found.push(format!("envoy ended: {status}")),
            Err(error) => found.push(format!("envoy's state cannot be read: {error}")),
        }
        match self
            .admin("/server_info")
            .map(|text| serde_json::from_str::<Value>(&text))
        {
            Ok(Ok(info)) if info["state"] == "LIVE" => {}
            other => found.push(format!("/server_info does not say LIVE: {other:?}")),
        }
        for line in self.wasm.all() {
            if TRAP_SIGNS.iter().any(|sign| line.contains(sign)) {
                found.push(format!("a sign of a dead VM: {line}"));
            }
        }
        found
    }

    /// How many wasm VMs live in the process.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub fn active_vms(&self) -> std::io::Result<u64> {
        Ok(self.stat("wasm.envoy.wasm.runtime.v8.active")?.unwrap_or(0))
    }
}

/// What Envoy writes when a plugin traps, fails or is left out.
const TRAP_SIGNS: [&str; 9] = [
    "Function: proxy_",
    "Uncaught RuntimeError",
    "wasm trap",
    "RuntimeError:",
    "Plugin configured to fail closed",
    "failed to create Wasm",
    "panicked at",
    "Caught Segmentation fault",
    "assert failure",
];

fn arguments(config: &Path, admin: &Path, workers: u32) -> Vec<String> {
    [
        "--config-path",
        &config.display().to_string(),
        "--admin-address-path",
        &admin.display().to_string(),
        "--concurrency",
        &workers.to_string(),
        "--disable-hot-restart",
        "--log-level",
        "warning",
        "--component-log-level",
        "wasm:info",
        "--file-flush-interval-msec",
        "20",
        "--file-flush-min-size-kb",
        "1",
        "--drain-time-s",
        "1",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Waits for LIVE; `Err` is the exit code when Envoy ended, and nothing when it took too long.
fn wait_for_admin(process: &mut Supervised, file: &Path) -> Result<SocketAddr, Option<i32>> {
    let until = Instant::now() + START;
    while Instant::now() < until {
        if let Some(status) = process.ended().expect("the supervising shell") {
            return Err(Some(status.code().unwrap_or(-1)));
        }
        if let Some(admin) = fs::read_to_string(file)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            && admin_call(admin, "GET", "/ready").is_ok_and(|body| body.trim() == "LIVE")
        {
            return Ok(admin);
        }
        std::thread::sleep(STEP);
    }
    Err(None)
}

fn listeners(admin: SocketAddr) -> BTreeMap<String, SocketAddr> {
    let text = admin_call(admin, "GET", "/listeners?format=json").expect("a live admin interface");
    let list: Value = serde_json::from_str(&text).expect("JSON from the admin interface");
    list["listener_statuses"]
        .as_array()
        .expect("a list of listeners")
        .iter()
        .map(|listener| {
            let socket = &listener["local_address"]["socket_address"];
            let port = socket["port_value"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok())
                .expect("a port");
            let name = listener["name"].as_str().expect("a name").to_owned();
            (name, SocketAddr::from(([127, 0, 0, 1], port)))
        })
        .collect()
}

/// One call to the admin interface, answered until close.
fn admin_call(admin: SocketAddr, method: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, ADMIN)?;
    stream.set_read_timeout(Some(ADMIN))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = crate::h1::whole_answer(&answer)
        .ok_or_else(|| std::io::Error::other("an admin answer that is not HTTP/1.1"))?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
