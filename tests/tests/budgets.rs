//! The budgets of `budgets.toml`, held against the built module.
#![allow(missing_docs, reason = "a test has no reader of documentation")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "test code: a panic is a failed test"
)]

use std::collections::BTreeSet;
use std::io::Write as _;

use postern_tests::host::{Clusters, Settings, Setup, SharedData, Vm};
use postern_tests::issuer::{TokenSpec, token};
use postern_tests::scenario::{Mode, Protocol, load_all};
use serde::Deserialize;
use serde_json::json;

mod built;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budgets {
    size: Size,
    memory: Memory,
    fuel: Fuel,
    imports: Imports,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    module_bytes: usize,
    module_gzip_bytes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    idle_bytes: usize,
    callers_bytes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fuel {
    body_per_kib: u64,
    small_call: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Imports {
    called: BTreeSet<String>,
    carried: BTreeSet<String>,
}

fn budgets() -> Budgets {
    toml::from_str(include_str!("../budgets.toml")).unwrap()
}

#[test]
fn the_module_is_small() {
    let module = std::fs::read(built::file()).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&module).unwrap();
    let gzipped = gzip.finish().unwrap().len();
    let Size {
        module_bytes,
        module_gzip_bytes,
    } = budgets().size;
    println!("{} bytes, {gzipped} gzipped", module.len());
    assert!(
        module.len() <= module_bytes,
        "{} bytes, the budget is {module_bytes}",
        module.len()
    );
    assert!(
        gzipped <= module_gzip_bytes,
        "{gzipped} bytes gzipped, the budget is {module_gzip_bytes}"
    );
}

#[test]
fn the_module_imports_what_it_may_and_the_list_names_nothing_else() {
    let imports: BTreeSet<String> = built::module().unwrap().imports().into_iter().collect();
    let Imports { called, carried } = budgets().imports;
    let allowed: BTreeSet<String> = called.union(&carried).cloned().collect();
    let unknown: Vec<_> = imports.difference(&allowed).collect();
    let unused: Vec<_> = allowed.difference(&imports).collect();
    assert!(unknown.is_empty(), "imported and not allowed: {unknown:?}");
    assert!(
        unused.is_empty(),
        "allowed and not imported, so take it off the list: {unused:?}"
    );
}

/// Four pages.
const SLACK_BYTES: usize = 4 * 65_536;

#[test]
fn memory_is_bounded_idle_and_by_callers() {
    let Memory {
        idle_bytes,
        callers_bytes,
    } = budgets().memory;
    let mut vm = start(true);
    let idle = vm.memory_bytes();
    assert!(
        idle <= idle_bytes,
        "{idle} bytes idle, the budget is {idle_bytes}"
    );
    // Each a caller of its own that nothing of the module has seen before; signatures by the host, for speed. Half of them are
    // more than the verified tokens that a worker keeps.
    let many = 20_000;
    let mut after_half = 0;
    for caller in 0..many {
        let mut spec = TokenSpec {
            key: "corp-ec".to_owned(),
            alg: "ES256".to_owned(),
            ..TokenSpec::default()
        };
        spec.claims
            .insert("sub".to_owned(), json!(format!("caller-{caller}")));
        call(&mut vm, &spec, br#"{"model":"gpt-4o"}"#);
        if caller == many / 2 {
            after_half = vm.memory_bytes();
        }
    }
    let after = vm.memory_bytes();
    assert!(
        after <= callers_bytes,
        "{after} bytes after {many} callers, the budget is {callers_bytes}"
    );
    // An allocator that is used goes on to fill its gaps: a few pages, and no more.
    assert!(
        after <= after_half + SLACK_BYTES,
        "memory grows with the number of callers: {after_half} after half of them, {after} after all"
    );
    assert_eq!(vm.open_streams(), 0);
    println!("{idle} bytes idle, {after} after {many} callers");
}

#[test]
fn scanning_a_body_takes_bounded_work() {
    let budget = budgets().fuel.body_per_kib;
    let spent = |kib: usize| {
        let mut vm = start(true);
        let body = format!(
            r#"{{"model":"gpt-4o","messages":[{{"content":"{}"}}]}}"#,
            "word ".repeat(kib * 1024 / 5)
        );
        let before = vm.fuel_spent();
        call(&mut vm, &TokenSpec::default(), body.as_bytes());
        vm.fuel_spent() - before
    };
    let (small, large) = (spent(64), spent(320));
    let per_kib = (large - small) / 256;
    println!("{per_kib} fuel per KiB of body");
    assert!(
        per_kib <= budget,
        "{per_kib} fuel per KiB, the budget is {budget}"
    );
}

#[test]
fn a_small_call_takes_bounded_work() {
    let budget = budgets().fuel.small_call;
    let mut vm = start(false);
    let spec = TokenSpec {
        key: "corp-ed".to_owned(),
        alg: "EdDSA".to_owned(),
        ..TokenSpec::default()
    };
    call(&mut vm, &spec, br#"{"model":"gpt-4o"}"#);
    let before = vm.fuel_spent();
    call(&mut vm, &spec, br#"{"model":"gpt-4o"}"#);
    let spent = vm.fuel_spent() - before;
    println!("{spent} fuel for a small call");
    assert!(spent <= budget, "{spent} fuel, the budget is {budget}");
}

fn start(host_crypto: bool) -> Vm {
    let cases = load_all().unwrap();
    let policy = cases
        .iter()
        .find(|case| case.policy_name() == "basic")
        .unwrap()
        .policy_json(Mode::Flag);
    let setup = Setup {
        configuration: policy,
        shared: SharedData::default(),
        clusters: Clusters::default(),
        now: built::NOW,
        host_crypto,
    };
    Vm::start_with(&built::module().unwrap(), setup).unwrap()
}

/// One allowed call; anything else fails.
fn call(vm: &mut Vm, spec: &TokenSpec, body: &[u8]) {
    let authorization = format!("Bearer {}", token(spec, built::NOW).unwrap());
    let length = body.len().to_string();
    let head = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "api.example.com"),
        (":scheme", "http"),
        ("authorization", &authorization),
        ("content-type", "application/json"),
        ("content-length", &length),
    ];
    let head = head
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .to_vec();
    let id = vm.open(Settings::new(Mode::Flag, Protocol::H2), head, false);
    vm.decode_data(id, body, true);
    vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], true);
    let seen = vm.take(id).unwrap();
    assert_eq!(
        seen.answer.map(|answer| answer.status),
        Some(200),
        "{:?} {:?}",
        seen.log,
        vm.trouble()
    );
    vm.forget_log();
}
