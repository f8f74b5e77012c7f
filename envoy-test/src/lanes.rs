//! A connection to each worker of a gateway: what is asked over all of them is asked of every worker, and as often as one
//! likes.
//!
//! Decided here: which connection a worker has taken, and that calls go out together as streams of HTTP/2. Not here: what
//! is seen of a single call (`stage`): a lane has one client address for all of its calls.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use postern_tests::scenario::{Answer, Protocol, Upstream};

use crate::client::{self, Call};
use crate::given;
use crate::stage::{Stage, fresh_case, listener, runtime};
use crate::tls;

/// So many connections in a row never all fall to one of two workers.
const MANY: usize = 64;
/// How long a worker may take to count a connection.
const COUNTED: Duration = Duration::from_secs(5);
/// Between two looks at what was counted.
const STEP: Duration = Duration::from_millis(5);
/// Between two looks at what the workers say.
const LOOK: Duration = Duration::from_millis(100);
/// How long the slowest of some calls may take.
const CALLS: Duration = Duration::from_secs(40);

/// What every worker is to say to a call: the status and the code, and why.
pub type Expected<'a> = (Call, (u16, &'a str), &'a str);

/// An open connection to each worker.
#[derive(Debug)]
pub struct Lanes(Vec<Lane>);

#[derive(Debug)]
struct Lane {
    case: Ipv4Addr,
    connection: client::Open,
}

impl Lanes {
    /// Opens connections as `call` has one, until each worker has taken one; the kernel chooses the worker. Nobody else
    /// may open one there meanwhile.
    ///
    /// # Errors
    /// When a worker takes none of many, or the handshake fails.
    pub fn open(stage: &Stage, call: &Call) -> Result<Self, String> {
        let name = listener(call, Protocol::H1);
        let taken = || stage.envoy.taken(name).map_err(|error| error.to_string());
        let mut before = taken()?;
        let mut lanes: Vec<Option<Lane>> = before.iter().map(|_| None).collect();
        for _ in 0..MANY {
            let case = fresh_case();
            stage.recorder.plan(case, &Upstream::default());
            let to = stage.envoy.listener(name);
            let connection = runtime().block_on(async {
                client::open(tls::connect(call.connection, Protocol::H2, case, to).await?).await
            })?;
            let until = Instant::now() + COUNTED;
            let worker = loop {
                let now = taken()?;
                if let Some(worker) = now.iter().zip(&before).position(|(now, old)| now > old) {
                    before = now;
                    break worker;
                }
                if Instant::now() >= until {
                    return Err("a connection that no worker counts".into());
                }
                std::thread::sleep(STEP);
            };
            lanes[worker].get_or_insert(Lane { case, connection });
            if lanes.iter().all(Option::is_some) {
                return Ok(Self(lanes.into_iter().flatten().collect()));
            }
        }
        Err(format!("{MANY} connections, and a worker took none"))
    }

    /// The client addresses, one a worker.
    #[must_use]
    pub fn cases(&self) -> Vec<Ipv4Addr> {
        self.0.iter().map(|lane| lane.case).collect()
    }

    /// Makes all calls of each list at once, list by list over the workers in order: the answers in the same form.
    ///
    /// # Errors
    /// When a call hangs, or is not answered.
    pub fn each(&self, calls: &[Vec<Call>]) -> Result<Vec<Vec<Answer>>, String> {
        let running: Vec<Vec<_>> = self
            .0
            .iter()
            .zip(calls)
            .map(|(lane, calls)| {
                let start = |call: &Call| runtime().spawn(lane.connection.call(call.clone()));
                calls.iter().map(start).collect()
            })
            .collect();
        runtime().block_on(async {
            let mut answers = Vec::new();
            for lane in running {
                let mut of_lane = Vec::new();
                for call in lane {
                    let answer = tokio::time::timeout(CALLS, call)
                        .await
                        .map_err(|_| format!("no end after {} s", CALLS.as_secs()))?
                        .map_err(|error| error.to_string())??;
                    of_lane.push(answer.ok_or("a stream that was not answered")?);
                }
                answers.push(of_lane);
            }
            Ok(answers)
        })
    }

    /// Makes all calls of every worker at once; for each call, the answers of the workers in order.
    ///
    /// # Errors
    /// As [`Lanes::each`].
    pub fn all(&self, calls: &[Call]) -> Result<Vec<Vec<Answer>>, String> {
        let each = self.each(&vec![calls.to_vec(); self.0.len()])?;
        let of = |call: usize| each.iter().map(|lane| lane[call].clone()).collect();
        Ok((0..calls.len()).map(of).collect())
    }

    /// Every worker answers each call as expected, at once.
    ///
    /// # Panics
    /// When one does not, with all that are wrong.
    pub fn say(&self, expected: &[Expected<'_>]) {
        assert_eq!(self.wrong(expected), Vec::<String>::new());
    }

    /// Every worker answers each call as expected, all at the same look, within `patience`; how long it took.
    ///
    /// # Panics
    /// When one does not, with all that are wrong at the last look.
    pub fn come_to_say(&self, patience: Duration, expected: &[Expected<'_>]) -> Duration {
        let begun = Instant::now();
        loop {
            let wrong = self.wrong(expected);
            if wrong.is_empty() {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < patience, "{patience:?}: {wrong:#?}");
            std::thread::sleep(LOOK);
        }
    }

    fn wrong(&self, expected: &[Expected<'_>]) -> Vec<String> {
        let calls: Vec<Call> = expected.iter().map(|(call, ..)| call.clone()).collect();
        let answers = self.all(&calls).unwrap_or_else(|fault| panic!("{fault}"));
        let mut wrong = Vec::new();
        for ((_, (status, code), why), answers) in expected.iter().zip(answers) {
            let found: Vec<_> = answers.iter().map(given::refused).collect();
            if found
                .iter()
                .any(|found| *found != (*status, (*code).into()))
            {
                wrong.push(format!(
                    "{why}: {status} {code} expected, the workers: {found:?}"
                ));
            }
        }
        wrong
    }
}
