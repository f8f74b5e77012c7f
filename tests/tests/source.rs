//! What the sources themselves must not say: rules that no compiler and no lint checks for us.
//!
//! Against THREATS 38: `unsafe` in one file only, and no call of the SDK that panics on what a client sends. And for the
//! core: no host, no clock, no environment.
#![allow(missing_docs, reason = "a test has no reader of documentation")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "test code: a panic is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Methods and functions of the SDK that call the host: they unwrap UTF-8, or panic on a status that they do not expect.
const SDK_CALLS: &[&str] = &[
    "hostcalls",
    "get_current_time(",
    "get_property(",
    "set_property(",
    "get_shared_data(",
    "set_shared_data(",
    "register_shared_queue(",
    "resolve_shared_queue(",
    "dequeue_shared_queue(",
    "enqueue_shared_queue(",
    "dispatch_http_call(",
    "get_http_",
    "set_http_",
    "add_http_",
    "remove_http_",
    "send_http_response(",
    "resume_http_request(",
    "resume_http_response(",
    "reset_http_request(",
    "reset_http_response(",
    "dispatch_grpc_call(",
    "open_grpc_stream(",
    "send_grpc_stream_message(",
    "cancel_grpc_call(",
    "call_foreign_function(",
    "get_plugin_configuration(",
    "get_vm_configuration(",
    "set_tick_period(",
    "get_grpc_",
    "proxy_wasm::set_log_level",
    "log::",
];

/// The one call of the SDK that is made: the SDK's dispatcher panics on the answer to a call that it did not make itself. The call
/// gives an error for each status that the gateway has for it (a cluster that is not there, one that has no endpoint), which
/// level 4 tries.
const SDK_CALL: &str = "proxy_wasm::hostcalls::dispatch_http_call(&call.cluster,";

#[test]
fn unsafe_code_and_foreign_functions_stand_in_one_file() {
    for (path, text) in sources("filter/wasm/src") {
        if path.ends_with("host.rs") {
            continue;
        }
        for word in ["unsafe", "extern"] {
            assert!(!names(&text, word), "{} names `{word}`", path.display());
        }
    }
}

#[test]
fn no_call_of_the_sdk_can_panic() {
    for (path, text) in sources("filter/wasm/src") {
        for call in SDK_CALLS {
            let text = text.replacen(SDK_CALL, "", usize::from(path.ends_with("host.rs")));
            // Our own bindings bear names of the ABI; they are checked calls, and stand in `host`.
            let ours = format!("host::{call}");
            let seen = text.matches(call).count() - text.matches(&ours).count();
            let declared = if path.ends_with("host.rs") {
                declarations(&text, call)
            } else {
                0
            };
            assert!(
                seen <= declared,
                "{} calls `{call}` of the SDK",
                path.display()
            );
        }
    }
}

#[test]
fn the_core_knows_no_host_no_clock_and_no_environment() {
    const BANNED: &[&str] = &[
        "proxy_wasm",
        "SystemTime",
        "Instant",
        "std::env",
        "std::fs",
        "std::net",
        "std::thread",
        "std::process",
        "static mut",
        "thread_local",
    ];
    for (path, text) in sources("filter/core/src") {
        for word in BANNED {
            assert!(!names(&text, word), "{} names `{word}`", path.display());
        }
        assert!(!names(&text, "unsafe"), "{} names `unsafe`", path.display());
    }
}

#[test]
fn only_the_shell_depends_on_the_sdk() {
    for manifest in [
        "filter/core/Cargo.toml",
        "filter/cli/Cargo.toml",
        "config/Cargo.toml",
    ] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        assert!(
            !text.contains("proxy-wasm"),
            "{manifest} depends on the SDK"
        );
    }
    assert!(
        fs::read_to_string(root().join("filter/wasm/Cargo.toml"))
            .unwrap()
            .contains("proxy-wasm")
    );
}

#[test]
fn the_search_finds_what_it_looks_for() {
    assert!(names("let x = unsafe { 1 };", "unsafe"));
    assert!(!names("#![deny(unsafe_code)]", "unsafe"));
    assert!(names("use std::time::SystemTime;", "SystemTime"));
    assert_eq!(code("a // unsafe\nb /// extern\n//! x\nc"), "a \nb \n\nc");
    assert!(sources("filter/core/src").len() > 5 && sources("filter/wasm/src").len() > 2);
    assert_eq!(
        declarations("pub(crate) fn set_property(path: &str)", "set_property("),
        1
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every source file below a folder, comments taken out.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = code(&fs::read_to_string(&path).unwrap());
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// The text without line comments.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether the text has this as a whole word.
fn names(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// How often a function of this name is declared, foreign ones with `proxy_` in front and their calls included.
fn declarations(text: &str, call: &str) -> usize {
    text.matches(&format!("fn {call}")).count() + text.matches(&format!("proxy_{call}")).count()
}
