#!/usr/bin/env python3
"""Runs what a change must pass, or the named parts of it, and counts.

Decided here: the order of the checks, what counts as passed and failed, and when to stop. Not decided here: what any check
looks for. The order is by cost: the gates (format, lints, licences) first; if one fails, the levels after them are not run.
A gate is one check. A level is as many as `test result:` lines say; a level that runs no test fails, an ignored test fails
(a test that does not run proves nothing), and so does a command that ends badly without naming a failed test.

Usage: tests/run.py [NAME...]     (no name: everything; the names are in CHECKS below)
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETUP = ROOT / "envoy-test" / "setup"
RUST = str(SETUP / "rust")
CARGO = [RUST, "cargo"]
CARGO_WASM = [str(SETUP / "cargo-wasm")]
DENY = str(ROOT / "target/tools/cargo-deny/bin/cargo-deny")
VENV_PYTHON = str(ROOT / "target/venv/bin/python")
NATIVE = ["postern-core", "postern-config", "postern"]
STEP_LIMIT_S = 30 * 60

RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored")


@dataclass
class Check:
    """One row of the table: what prepares it, what it runs, and what came of it."""

    name: str
    says: str
    commands: object  # a list of commands, or a function that makes one
    before: list = field(default_factory=list)
    gate: bool = False
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    ran: bool = False


def packages(names):
    return [word for name in names for word in ("-p", name)]


def test_files(package, of_module):
    """`--test NAME` for the package's integration tests: those that run the built module (they ask for the feature `host`), or the others."""
    told = subprocess.run([*CARGO, "metadata", "--format-version=1", "--no-deps", "--locked"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    targets = [target for found in json.loads(told.stdout)["packages"] if found["name"] == package for target in found["targets"]]
    names = sorted(target["name"] for target in targets if "test" in target["kind"] and ("host" in target.get("required-features", [])) == of_module)
    return [word for name in names for word in ("--test", name)]


def native():
    return [
        [*CARGO, "test", "--locked", "--no-fail-fast", *packages(NATIVE)],
        [*CARGO, "test", "--locked", "--no-fail-fast", "-p", "postern-tests", "--lib", *test_files("postern-tests", False)],
    ]


def module():
    files = test_files("postern-tests", True)
    return [[*CARGO, "test", "--locked", "--no-fail-fast", "-p", "postern-tests", *files]] if files else []


DENY_WARNINGS = ["--", "-D", "warnings"]
BUILD_MODULE = [str(SETUP / "module")]
BUILD_VECTORS = [str(SETUP / "vectors")]


def clippy_module(package):
    # One command each: together they would share the features of the core.
    return [*CARGO_WASM, "clippy", "--locked", "--release", "-p", package, "--target", "wasm32-wasip1", *DENY_WARNINGS]


CHECKS = [
    Check("fmt", "format", [[*CARGO, "fmt", "--all", "--check"]], gate=True),
    Check("deny", "licences, sources, duplicates", [[RUST, DENY, "--all-features", "check", "bans", "licenses", "sources"]], [[str(SETUP / "cargo-deny")]], gate=True),
    Check("clippy", "lints, native", [[*CARGO, "clippy", "--locked", "--workspace", "--all-targets", *DENY_WARNINGS]], gate=True),
    Check("clippy-module", "lints, the module and that of the vectors", [clippy_module("postern-filter"), clippy_module("postern-vectors")], gate=True),
    Check("clippy-node", "lints, the core's tests as wasm", [[*CARGO_WASM, "clippy", "--locked", "-p", "postern-core", "--target", "wasm32-unknown-unknown", "--lib", "--tests", *DENY_WARNINGS]], gate=True),
    Check("test-docs", "the manual and the manifests", [[sys.executable, "docs/check.py"], [VENV_PYTHON, "envoy-test/istio/validate.py"]], [[str(SETUP / "venv")]]),
    Check("test-native", "level 1: native", native),
    Check("test-node", "level 2: the core as wasm under node", [[*CARGO_WASM, "test", "--locked", "--no-fail-fast", "-p", "postern-core", "--target", "wasm32-unknown-unknown", "--lib"]], [[str(SETUP / "wasm-runner")]]),
    Check("test-module", "level 3: the built module in a host of ours", module, [BUILD_MODULE]),
    Check("test-envoy", "level 4: the built module in the real Envoy", [[*CARGO, "test", "--locked", "--no-fail-fast", "-p", "postern-envoy-test"]], [[str(SETUP / "venv")], BUILD_MODULE, BUILD_VECTORS]),
]


def environment():
    """What every check sees besides the caller's own: where the built module and Envoy are."""
    told = dict(os.environ, PYTHONUNBUFFERED="1")
    told.setdefault("POSTERN_WASM", str(ROOT / "target/postern.wasm"))
    told.setdefault("ENVOY_BIN", str(ROOT / "target/tools/envoy"))
    if sys.stdout.isatty():
        told.setdefault("CARGO_TERM_COLOR", "always")
    else:
        told.update(CARGO_TERM_COLOR="never", TERM="dumb")
    return told


def run(command, counts=None):
    """Runs one command, passing on what it prints; adds the counts it reports; gives its exit status, 124 past the limit."""
    print(f"\n$ {' '.join(command)}".replace(f"{ROOT}/", ""), flush=True)
    try:
        child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    except OSError as error:
        print(f"cannot run {command[0]}: {error}")
        return 127
    late = threading.Event()

    def end(note):
        if note:
            late.set()
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    limit = threading.Timer(STEP_LIMIT_S, end, [True])
    limit.start()
    try:
        for line in child.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            seen = RESULT.match(re.sub(r"\x1b\[[0-9;]*m", "", line.decode("utf-8", "replace")))
            if seen and counts is not None:
                for place, number in enumerate(seen.groups()):
                    counts[place] += int(number)
        status = child.wait()
    finally:
        limit.cancel()
        end(False)  # whatever the command left behind
    if late.is_set():
        print(f"stopped: it took longer than {STEP_LIMIT_S} s")
        return 124
    return status


def carry_out(check):
    """Prepares and runs one check and fills in its row."""
    check.ran = True
    began = time.monotonic()
    for command in check.before:
        if run(command) != 0:
            check.failed = 1
            print(f"{check.name}: its set-up failed, see above")
            check.seconds = time.monotonic() - began
            return
    commands = check.commands() if callable(check.commands) else check.commands
    counts = [0, 0, 0]
    bad = 0
    for command in commands:
        before = counts[1]
        if run(command, counts) != 0 and counts[1] == before:
            bad += 1
    check.seconds = time.monotonic() - began
    if check.gate:
        check.passed, check.failed = (0, 1) if bad else (1, 0)
        return
    check.passed, check.failed = counts[0], counts[1] + counts[2] + bad
    if counts[2]:
        print(f"{check.name}: {counts[2]} ignored tests count as failed")
    if check.passed + check.failed == 0:
        print(f"{check.name}: no test was run, which counts as a failure")
        check.failed = 1


def table(checks):
    width = max(len(check.says) for check in checks)
    print(f"\n{'check':14} {'':{width}} {'passed':>7} {'failed':>7} {'seconds':>8}")
    for check in checks:
        if check.ran:
            print(f"{check.name:14} {check.says:{width}} {check.passed:7} {check.failed:7} {check.seconds:8.1f}")
        else:
            print(f"{check.name:14} {check.says:{width}}    not run: see above")


def main(names):
    unknown = [name for name in names if name not in [check.name for check in CHECKS]]
    if unknown:
        print(f"no check is called {', '.join(unknown)}; there are: {' '.join(check.name for check in CHECKS)}", file=sys.stderr)
        return 2
    wanted = [check for check in CHECKS if not names or check.name in names]
    for check in wanted:
        if not check.gate and any(gate.gate and gate.failed for gate in wanted):
            continue
        carry_out(check)
    table(wanted)
    passed = sum(check.passed for check in wanted)
    failed = sum(check.failed for check in wanted)
    print(f"\n{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and all(check.ran for check in wanted) else 1


def ended(*_):
    """On SIGTERM: unwind once, so that `run` ends what it started."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, ended)
    sys.exit(main(sys.argv[1:]))
