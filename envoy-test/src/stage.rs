//! One gateway with its upstream, and the way of one call through both.
//!
//! Decided here: what was seen of a call, put together from the client, the upstream, the access log and Envoy's
//! log. Not here: whether that is right: `Case::judge` and the tests say so.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use postern_tests::scenario::{Answer, Case, Forwarded, Observed, Protocol, Upstream};
use serde_json::Value;
use tokio::runtime::{Handle, Runtime};

use crate::bootstrap::Deployment;
use crate::client::{self, Call};
use crate::envoy::{Envoy, NotStarted};
use crate::logs::{AccessLine, record_in};
use crate::upstream::Recorder;

/// How long one call may take: above every deadline that a policy of the tests sets.
const CALL: Duration = Duration::from_secs(40);
/// How long the log of a finished call may take.
const LOGGED: Duration = Duration::from_secs(20);
/// How long upstream may take to see that a request is over.
const SETTLED: Duration = Duration::from_secs(5);

/// So many calls in a row never all fall to one of two workers.
const MANY: usize = 64;

/// Between two looks at a log.
const STEP: Duration = Duration::from_millis(10);
/// What stands in every secret that the tests plant: a marker, and the beginning of each token's parts.
const SECRETS: [&str; 2] = ["SECRET-", "eyJ"];

/// The loopback addresses of the cases: one each, in the whole process.
static NEXT_CASE: AtomicU32 = AtomicU32::new(0x7f40_0001);

/// An address that no other call has.
#[must_use]
pub fn fresh_case() -> Ipv4Addr {
    let mut number = NEXT_CASE.fetch_add(1, Ordering::Relaxed);
    while matches!(number & 0xff, 0 | 0xff) {
        number = NEXT_CASE.fetch_add(1, Ordering::Relaxed);
    }
    Ipv4Addr::from(number)
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The runtime of clients and upstreams; it lives as long as the test process.
#[must_use]
pub fn runtime() -> &'static Runtime {
    static RUNTIME: std::sync::OnceLock<Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}

/// A gateway and its upstream.
#[derive(Debug)]
pub struct Stage {
    /// The gateway.
    pub envoy: Envoy,
    /// The upstream.
    pub recorder: Recorder,
}

/// What was seen of one call.
#[derive(Debug)]
pub struct Seen {
    /// The call's own client address.
    pub case: Ipv4Addr,
    /// What the client was answered.
    pub answer: Option<Answer>,
    /// What upstream saw.
    pub forwarded: Vec<Forwarded>,
    /// The access-log lines of the call.
    pub access: Vec<AccessLine>,
    /// The records in Envoy's log that carry the id of a record of this call.
    pub log_records: Vec<String>,
    /// Envoy's log while the call went on; other calls of the same time are in it too.
    pub log: Vec<String>,
}

impl Seen {
    /// The one record of the call.
    ///
    /// # Errors
    /// When the access log or Envoy's log have none or more than one, or they differ.
    pub fn record(&self) -> Result<Value, String> {
        let [line] = self.access.as_slice() else {
            return Err(format!(
                "{} access-log lines instead of one: {:?}",
                self.access.len(),
                self.access
            ));
        };
        let state = line
            .record
            .as_ref()
            .ok_or_else(|| format!("no record in filter state: {line:?}"))?;
        if self.log_records != [state.clone()] {
            return Err(format!(
                "the log has {:?}, filter state has {state}",
                self.log_records
            ));
        }
        serde_json::from_str(state)
            .map_err(|error| format!("the record is not JSON: {error}: {state}"))
    }
}

impl Stage {
    /// Starts a gateway in front of a new upstream.
    ///
    /// # Errors
    /// When Envoy does not start.
    pub fn set(name: &str, deployment: &Deployment) -> Result<Self, NotStarted> {
        let recorder = Recorder::start(runtime().handle());
        let envoy = Envoy::start(name, deployment, recorder.upstreams)?;
        Ok(Self { envoy, recorder })
    }

    /// Makes a call and gathers all that is seen of it.
    ///
    /// # Errors
    /// When the call hangs, is answered with something that is not HTTP, or no access-log line tells of it.
    pub fn call(&self, protocol: Protocol, call: &Call, plan: &Upstream) -> Result<Seen, String> {
        self.call_between(protocol, protocol, call, plan)
    }

    /// As [`Stage::call`], with a client and an upstream that may speak different protocols.
    ///
    /// # Errors
    /// As there.
    pub fn call_between(
        &self,
        protocol: Protocol,
        upstream: Protocol,
        call: &Call,
        plan: &Upstream,
    ) -> Result<Seen, String> {
        let case = fresh_case();
        self.recorder.plan(case, plan);
        let from = self.envoy.log_lines();
        let to = self.envoy.listener(listener(call, upstream));
        let handle: &Handle = runtime().handle();
        let answer = handle.block_on(async {
            tokio::time::timeout(CALL, client::call(protocol, case, to, call))
                .await
                .map_err(|_| format!("no end after {} s", CALL.as_secs()))?
        })?;
        self.gather(case, from, answer)
    }

    /// As [`Stage::call`], again and again until every worker has served one; the kernel chooses the worker.
    ///
    /// # Errors
    /// As there, and when a worker has served none in many calls.
    pub fn call_every_worker(
        &self,
        protocol: Protocol,
        call: &Call,
        plan: &Upstream,
    ) -> Result<Vec<Seen>, String> {
        let taken = || {
            let taken = self.envoy.taken(listener(call, protocol));
            taken.map_err(|error| error.to_string())
        };
        let before = taken()?;
        let mut seen = Vec::new();
        while seen.len() < MANY {
            seen.push(self.call(protocol, call, plan)?);
            let now = taken()?;
            if now.iter().zip(&before).all(|(now, before)| now > before) {
                return Ok(seen);
            }
        }
        Err(format!("{MANY} calls, and a worker took none of them"))
    }

    /// Gathers what is seen of a call made by hand from the address `case`; `from`: Envoy's log lines before it.
    ///
    /// # Errors
    /// When no access-log line tells of the call, or upstream got something that is not HTTP.
    pub fn gather(
        &self,
        case: Ipv4Addr,
        from: usize,
        answer: Option<Answer>,
    ) -> Result<Seen, String> {
        let access = self.envoy.access_of(&case.to_string(), 1, LOGGED);
        if access.is_empty() {
            return Err(format!(
                "no access-log line after {} s; the answer: {answer:?}",
                LOGGED.as_secs()
            ));
        }
        let forwarded = self.recorder.arrived(case, SETTLED)?;
        let ids: Vec<String> = access
            .iter()
            .filter_map(|line| record_id(line.record.as_ref()?))
            .collect();
        let (log, log_records) = self.log_of(&ids, from);
        Ok(Seen {
            case,
            answer,
            forwarded,
            access,
            log_records,
            log,
        })
    }

    /// Envoy's log but its first `from` lines, and the records in it with one of the `ids`, once each has one.
    fn log_of(&self, ids: &[String], from: usize) -> (Vec<String>, Vec<String>) {
        let until = Instant::now() + SETTLED;
        loop {
            let log = self.envoy.log_from(from);
            let records: Vec<String> = log
                .iter()
                .filter_map(|line| record_in(line))
                .filter(|record| record_id(record).is_some_and(|id| ids.contains(&id)))
                .map(str::to_owned)
                .collect();
            if records.len() >= ids.len() || Instant::now() >= until {
                return (log, records);
            }
            std::thread::sleep(STEP);
        }
    }

    /// Plays a case and judges it.
    ///
    /// # Errors
    /// Everything that differs from what the scenario expects.
    pub fn play(&self, case: &Case) -> Result<Ipv4Addr, String> {
        let request = case.request(now()).map_err(|fault| fault.to_string())?;
        let seen = self.call(case.protocol(), &Call::from(&request), case.upstream())?;
        let observed = Observed {
            answer: seen.answer,
            forwarded: seen.forwarded,
            details: seen.access.first().and_then(|line| line.details.clone()),
            state_records: seen
                .access
                .iter()
                .filter_map(|line| line.record.clone())
                .collect(),
            log_records: seen.log_records,
            log: seen.log.join("\n"),
            unhealthy: self.envoy.ailments(),
        };
        case.judge(&request, &observed)
            .map_err(|failure| failure.to_string())?;
        Ok(seen.case)
    }

    /// What is wrong with the whole run: health, a record for each request, no more and no fewer, and no secret in
    /// any log.
    #[must_use]
    pub fn reckoning(&self) -> Vec<String> {
        let until = Instant::now() + SETTLED;
        loop {
            let wrong = self.reckoning_now();
            // A log may lag behind; what is wrong for good stays wrong.
            if wrong.is_empty() || Instant::now() >= until {
                return wrong;
            }
            std::thread::sleep(STEP);
        }
    }

    fn reckoning_now(&self) -> Vec<String> {
        let mut wrong = self.envoy.ailments();
        let mut in_log: Vec<String> = self.envoy.records();
        let mut in_state: Vec<String> = Vec::new();
        for line in self.envoy.access() {
            match line.record {
                Some(record) => in_state.push(record),
                None => wrong.push(format!("a request without a record: {line:?}")),
            }
        }
        in_log.sort();
        in_state.sort();
        if in_log != in_state {
            let lacks = |these: &[String], those: &[String]| -> Vec<String> {
                let missing = these.iter().filter(|record| !those.contains(record));
                missing.take(3).cloned().collect()
            };
            wrong.push(format!(
                "{} records in the log and {} in filter state; only in the log: {:?}; only in filter state: {:?}",
                in_log.len(),
                in_state.len(),
                lacks(&in_log, &in_state),
                lacks(&in_state, &in_log),
            ));
        }
        let ids: BTreeSet<String> = in_log
            .iter()
            .filter_map(|record| record_id(record))
            .collect();
        if ids.len() != in_log.len() {
            wrong.push(format!(
                "{} records with {} different ids",
                in_log.len(),
                ids.len()
            ));
        }
        for line in self.envoy.all_lines() {
            if SECRETS.iter().any(|secret| line.contains(secret)) {
                wrong.push(format!("a secret in a log: {line}"));
            }
        }
        wrong
    }
}

/// The listener that takes the connection of `call` and leads to the upstream that speaks `upstream`.
pub(crate) fn listener(call: &Call, upstream: Protocol) -> &'static str {
    match (call.connection, upstream) {
        (None, Protocol::H1) => "to_h1",
        (None, Protocol::H2) => "to_h2",
        (Some(_), Protocol::H1) => "tls_h1",
        (Some(_), Protocol::H2) => "tls_h2",
    }
}

fn record_id(record: &str) -> Option<String> {
    let record: Value = serde_json::from_str(record).ok()?;
    Some(record.get("id")?.as_str()?.to_owned())
}
