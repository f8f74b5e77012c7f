//! Every scenario in every head-hold mode over both protocols, on the real gateway.
//!
//! One Envoy for each policy and mode; the cases run beside each other on it. When all have run, each Envoy is
//! called to account as a whole: healthy, no VM lost, a record for each request and no more, and nothing came
//! upstream after a case was judged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a panic here is a failed test and reaches no traffic"
)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use postern_envoy_test::bootstrap::{Deployment, Filter, ForwardedClientCert};
use postern_envoy_test::envoy;
use postern_envoy_test::stage::Stage;
use postern_tests::scenario::{Case, Mode, load_all};

/// Cases wait for sockets and logs far more than they compute.
const THREADS: usize = 8;

/// One policy in one mode.
struct House {
    policy: String,
    mode: Mode,
    text: String,
    open: OnceLock<Result<Open, String>>,
}

struct Open {
    stage: Stage,
    vms: u64,
    /// The cases that were played: their address, and how many requests of them had come upstream when judged.
    played: Mutex<Vec<(String, Ipv4Addr, usize)>>,
}

impl House {
    fn open(&self) -> Result<&Open, Failed> {
        let start = || {
            let filter = Filter::Inline {
                module: envoy::module(),
                policy: self.text.clone(),
            };
            let name = format!("{}-{}", self.policy, self.mode);
            let mut deployment = Deployment::new(self.mode, filter);
            // What reaches the module is what the scenario says; whether to believe it is the module's to decide.
            deployment.forwarded_client_cert = ForwardedClientCert::AlwaysForwardOnly;
            let stage = Stage::set(&name, &deployment).map_err(|fault| fault.to_string())?;
            let vms = stage
                .envoy
                .active_vms()
                .map_err(|fault| fault.to_string())?;
            Ok(Open {
                stage,
                vms,
                played: Mutex::default(),
            })
        };
        self.open
            .get_or_init(start)
            .as_ref()
            .map_err(|fault| fault.clone().into())
    }

    fn play(&self, case: &Case) -> Result<(), Failed> {
        let open = self.open()?;
        let address = open.stage.play(case)?;
        let arrived = open.stage.recorder.arrivals(address);
        open.played
            .lock()
            .expect("no test panics while it holds this")
            .push((case.name(), address, arrived));
        Ok(())
    }

    fn reckon(&self) -> Result<(), Failed> {
        let open = self.open()?;
        let mut wrong = open.stage.reckoning();
        for (name, address, arrived) in open.played.lock().expect("as above").iter() {
            let now = open.stage.recorder.arrivals(*address);
            if now != *arrived {
                wrong.push(format!(
                    "{name}: {arrived} requests upstream when judged, {now} now"
                ));
            }
        }
        match open.stage.envoy.active_vms() {
            Ok(vms) if vms == open.vms => {}
            other => wrong.push(format!("{} VMs at the start, {other:?} now", open.vms)),
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n").into())
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let cases = load_all().unwrap_or_else(|fault| panic!("{fault}"));
    let mut houses: BTreeMap<(String, Mode), Arc<House>> = BTreeMap::new();
    let mut trials = Vec::new();
    for case in cases {
        let house = houses
            .entry((case.policy_name().to_owned(), case.mode()))
            .or_insert_with(|| {
                Arc::new(House {
                    policy: case.policy_name().to_owned(),
                    mode: case.mode(),
                    text: case.policy_json(case.mode()),
                    open: OnceLock::new(),
                })
            })
            .clone();
        trials.push(Trial::test(case.name(), move || house.play(&case)));
    }
    let first = libtest_mimic::run(&arguments, trials);
    // Only what was opened can be called to account: a filter may have left some out.
    let reckonings = houses
        .values()
        .filter(|house| house.open.get().is_some() || arguments.list)
        .map(|house| {
            let name = format!("reckoning: {} [{}]", house.policy, house.mode);
            let house = Arc::clone(house);
            Trial::test(name, move || house.reckon())
        })
        .collect();
    let second = libtest_mimic::run(
        &Arguments {
            filter: None,
            ..arguments
        },
        reckonings,
    );
    drop(houses);
    if ok(&first) && ok(&second) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn ok(conclusion: &Conclusion) -> bool {
    !conclusion.has_failed()
}
