//! Runs a test binary built for wasm32-unknown-unknown under node: cargo calls it with the binary's path and the test arguments.

fn main() {
    if let Err(error) = wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::env::args_os()) {
        eprintln!("wasm-test-runner: {error:?}");
        std::process::exit(1);
    }
}
