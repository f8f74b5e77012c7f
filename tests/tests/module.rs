//! Every scenario, in every mode and over every protocol, through the built module in the in-process host.
//!
//! The module is `POSTERN_WASM`, or `target/postern.wasm`; `make wasm` builds it. Without it this fails.
#![allow(missing_docs, reason = "a test has no reader of documentation")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use postern_tests::host::{Compiled, Vm, run};
use postern_tests::scenario::{Case, load_all};

mod built;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (compiled, cases) = match (built::module(), load_all()) {
        (Ok(compiled), Ok(cases)) => (compiled, cases),
        (Err(why), _) => return stop(&why),
        (_, Err(fault)) => return stop(&fault.to_string()),
    };
    let trials = cases
        .into_iter()
        .map(|case| {
            let compiled = compiled.clone();
            Trial::test(case.name(), move || judged(&compiled, &case))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn judged(compiled: &Compiled, case: &Case) -> Result<(), Failed> {
    let request = case.request(built::NOW)?;
    let mut vm = Vm::start(compiled, &case.policy_json(case.mode()), built::NOW)?;
    let observed = run(&mut vm, case, &request);
    case.judge(&request, &observed)?;
    Ok(())
}

#[allow(
    clippy::print_stderr,
    reason = "the reason for which no test ran must be seen"
)]
fn stop(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
