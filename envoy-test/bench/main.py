"""The bench: what a request costs in whole-process CPU, beside a bare Envoy and beside Envoy's own filters.

    main.py [--turns 12] [--seconds 2] [--module target/postern.wasm]

Every contender is a real Envoy of its own with one worker, all in front of one real upstream process. They take short turns
in random order; a ratio compares two turns of the same group. Bodies have 1 KiB, every request carries a valid RS256 token.
Writes target/bench/report.json, report.md and one SVG for each workload. It judges no time; it fails when a request fails.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "demo"))  # the gateway, the issuer and the children of the demo serve here too

import figures  # noqa: E402
import gateway  # noqa: E402
from children import Children, Failed, end_after, end_on_signal  # noqa: E402
from contenders import CONTENDERS  # noqa: E402
from issuer import Issuer  # noqa: E402

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
CONNECTIONS = 16
# Workload: how many callers, each with a token of its own, take part in it.
WORKLOADS = {"chat-1k-one-caller": 1, "chat-1k-1000-callers": 1000}


@dataclass
class Run:
    """What the contenders are made of."""

    folder: Path
    module: Path
    issuer: Issuer
    policy: dict


def load_program():
    """The built program for upstream and load."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    build = ["cargo", "build", "--release", "--locked", "-p", "postern-bench-load"]
    done = subprocess.run([ROOT / "envoy-test/setup/rust", *build], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(build)} failed:\n{done.stderr}")
    return target / "release" / "postern-bench-load"


def chat_body():
    """A chat request of exactly 1 KiB, its model after the messages as the official client sends it."""
    body = {"messages": [{"role": "user", "content": ""}], "model": "gpt-4o"}
    body["messages"][0]["content"] = "a" * (1024 - len(json.dumps(body)))
    return json.dumps(body).encode()


def requests(run, callers):
    """Whole HTTP/1.1 requests, one for each caller."""
    body = chat_body()
    for number in range(callers):
        token = run.issuer.token(sub=f"caller-{number}", seconds=3600)
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n")
        yield head.encode() + body


def cpu_us(pid):
    """User and system time that the whole process has used so far, in microseconds (its resolution is one tick)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(after_name[11]) + int(after_name[12])) * TICK_US


def loaded(program, envoy, file, seconds):
    """One turn: load for so many seconds, and what Envoy used for it."""
    before, began = cpu_us(envoy.pid), time.monotonic()
    done = subprocess.run([program, "load", str(envoy.port), str(CONNECTIONS), str(seconds), file],
                          capture_output=True, text=True, timeout=seconds + 30)
    took, used = time.monotonic() - began, cpu_us(envoy.pid) - before
    if done.returncode:
        raise Failed(f"the load failed: {done.stderr.strip()}")
    told = json.loads(done.stdout)
    if not told["requests"]:
        raise Failed("a turn without a single request")
    return figures.Turn(told["requests"], told["errors"], used, took, told["micros"])


def refuses_without_token(envoy):
    """Whether a chat request without a token is refused: a contender that lets it pass would not do its work."""
    request = urllib.request.Request(f"http://127.0.0.1:{envoy.port}/v1/chat/completions", data=chat_body(),
                                     headers={"content-type": "application/json", "host": "localhost"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status == 401
    except urllib.error.HTTPError as error:
        return error.code == 401


def measured(run, program, children, options):
    """The turns of every workload: workload -> contender's name -> turns by group. And Envoy's version."""
    upstream = children.start("upstream", [program, "upstream"], first_line=True, keep_stdin=True)
    port = int(upstream.first_line())
    envoys = {}
    for contender in CONTENDERS:
        config = gateway.configuration([*contender.filters(run), gateway.router()], port)
        envoys[contender.name] = gateway.Gateway(children, run.folder, config, name=contender.name, concurrency=1)
        if refuses_without_token(envoys[contender.name]) != contender.refuses:
            raise Failed(f"{contender.name}: a request without a token was {'passed' if contender.refuses else 'refused'}")
    version = envoys["bare"].version()
    turns = {}
    for workload, callers in WORKLOADS.items():
        file = run.folder / f"{workload}.requests"
        file.write_bytes(b"".join(struct.pack(">I", len(r)) + r for r in requests(run, callers)))
        turns[workload] = {name: [] for name in envoys}
        for name, envoy in envoys.items():
            loaded(program, envoy, file, 1)  # warm: connections, caches, compiled code
        for group in range(options.turns):
            for name in random.sample(list(envoys), len(envoys)):
                turns[workload][name].append(loaded(program, envoys[name], file, options.seconds))
            print(f"{workload}: group {group + 1} of {options.turns}", flush=True)
        file.unlink()  # it holds tokens
    for name, envoy in envoys.items():
        if wrong := envoy.healthy():
            raise Failed(f"{name}: {wrong}")
        envoy.stop(children)
        envoy.log.unlink()  # a record for each request: hundreds of megabytes
    return turns, version


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "load_average": os.getloadavg()[0]}


def bench(options):
    began = time.monotonic()
    folder = ROOT / "target" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    code = gateway.read_module(options.module)
    issuer = Issuer()
    run = Run(folder, options.module, issuer, issuer.policy())
    with Children() as children:
        turns, version = measured(run, load_program(), children, options)
    about = {"envoy": version, "module_sha256": hashlib.sha256(code).hexdigest(), "module_bytes": len(code),
             "connections": CONNECTIONS, "turn_seconds": options.seconds, "machine": machine()}
    rows = [figures.row(contender, workload, by_name[contender.name], by_name["bare"], about)
            for workload, by_name in turns.items() for contender in CONTENDERS]
    notes = [f'Envoy {version}, one worker each; module {about["module_bytes"]} bytes, sha256 {about["module_sha256"][:16]}…; '
             f'{CONNECTIONS} connections, closed loop; {options.turns} turns of {options.seconds:g} s each, interleaved in random order.',
             f'{about["machine"]["cpu"]}, {about["machine"]["cores"]} cores, load average at the end {about["machine"]["load_average"]:.1f}. '
             "CPU is user + system time of the whole Envoy process; latency is under full load. No figure here passes or fails anything."]
    (folder / "report.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "report.md").write_text(figures.markdown(rows, notes))
    for workload in turns:
        (folder / f"{workload}.svg").write_text(figures.picture(rows, workload))
    print((folder / "report.md").read_text())
    print(f"{time.monotonic() - began:.0f} s; target/bench/report.json, report.md and plots", flush=True)
    errors = sum(r["errors"] for r in rows)
    if errors:
        print(f"bench: {errors} requests failed", file=sys.stderr)
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=12, help="groups of turns for each workload")
    parser.add_argument("--seconds", type=float, default=2, help="length of a turn")
    parser.add_argument("--module", type=Path, default=ROOT / "target" / "postern.wasm", help="the built module")
    options = parser.parse_args()
    if options.turns < 2 or options.seconds <= 0:
        parser.error("at least two turns, each of more than zero seconds")
    end_on_signal()
    end_after(int(300 + len(WORKLOADS) * len(CONTENDERS) * (options.turns + 1) * (options.seconds + 2)), "the bench")
    try:
        return 1 if bench(options) else 0
    except (Failed, subprocess.TimeoutExpired) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
