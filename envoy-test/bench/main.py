"""The bench: what a request costs in whole-process CPU, beside a bare Envoy and beside Envoy's own filters.

    main.py [--turns 12] [--seconds 1] [--only verify-RS256] [--module target/postern.wasm]

Every contender is a real Envoy of its own with one worker, all in front of one real upstream process. They take short turns
in random order; a ratio compares two turns of the same group. What is sent stands in workloads.py: chat with a body of 1 KiB,
and GET without a body for what verifying a token costs, by algorithm, fresh and cached.
Writes target/bench/report.json, report.md and one SVG for each workload. It judges no time; it fails when a request fails,
when a bad token passes, and when a cache held what it must not, or did not hold what it should.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "demo"))  # the gateway, the issuer and the children of the demo serve here too

import figures  # noqa: E402
import gateway  # noqa: E402
from children import Children, Failed, end_after, end_on_signal  # noqa: E402
from contenders import GATEWAYS  # noqa: E402
from workloads import ROUNDS, BenchIssuer  # noqa: E402

CONNECTIONS = 16
# Where the caches count, by gateway: hits, misses.
CACHES = {
    "jwt_authn-with-cache": ("http.ingress.jwt_authn.jwt_cache_hit", "http.ingress.jwt_authn.jwt_cache_miss"),
    "postern": ("wasmcustom.postern.token_cache_hits", "wasmcustom.postern.token_cache_misses"),
}
# The module tells its counts at its ticks, four times in a second.
TOLD_WITHIN = 0.3


@dataclass
class Run:
    """What the contenders are made of."""

    folder: Path
    module: Path
    issuer: BenchIssuer
    policy: dict


def load_program():
    """The built program for upstream and load."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    build = ["cargo", "build", "--release", "--locked", "-p", "postern-bench-load"]
    done = subprocess.run([ROOT / "envoy-test/setup/rust", *build], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(build)} failed:\n{done.stderr}")
    return target / "release" / "postern-bench-load"


def cpu_us(pid):
    """User and system time that the whole process has used so far, in microseconds, by its CPU clock (clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1000


class Lane:
    """One load of a round on its Envoy, and its turns so far."""

    def __init__(self, program, envoy, load, file):
        self.load, self.turns = load, []
        self._program, self._envoy, self._file, self._next = program, envoy, file, 0
        file.write_bytes(b"".join(struct.pack(">I", len(r)) + r for r in load.requests))

    def does_its_work(self):
        """Fails unless a good request passes and a bad one is refused, if the contender is one that refuses."""
        for request, status in ((self.load.requests[-1], 200), (self.load.bad, 401 if self.load.contender.refuses else 200)):
            if (got := self._status(request)) != status:
                raise Failed(f"{self.load.contender.name}: answered {got} where {status} is right, to "
                             f"{request.split(b' HTTP', 1)[0].decode()}")

    def turn(self, seconds):
        """Load for so many seconds, and what Envoy used for it. It goes on where the last turn ended."""
        before, began = cpu_us(self._envoy.pid), time.monotonic()
        done = subprocess.run([self._program, "load", str(self._envoy.port), str(CONNECTIONS), str(seconds), self._file, str(self._next)],
                              capture_output=True, text=True, timeout=seconds + 30)
        took, used = time.monotonic() - began, cpu_us(self._envoy.pid) - before
        if done.returncode:
            raise Failed(f"the load failed: {done.stderr.strip()}")
        told = json.loads(done.stdout)
        if not told["requests"]:
            raise Failed("a turn without a single request")
        self._next = (self._next + told["requests"]) % len(self.load.requests)
        return figures.Turn(told["requests"], told["errors"], used, took, told["micros"])

    def checked_turn(self, seconds):
        """A turn whose cache hits are as the load says."""
        if self.load.hits is None:
            return self.turn(seconds)
        before = self._counted()
        turn = self.turn(seconds)
        hits, misses = (now - then for now, then in zip(self._counted(), before, strict=True))
        # A cached token may have been forgotten since the last turn, and each connection is early once.
        if abs(hits + misses - turn.requests) > CONNECTIONS or abs(hits - self.load.hits * turn.requests) > CONNECTIONS:
            raise Failed(f"{self.load.contender.name}: {hits} hits and {misses} misses of its cache in {turn.requests} requests")
        return turn

    def close(self):
        self._file.unlink()  # it holds tokens

    def _counted(self):
        time.sleep(TOLD_WITHIN)
        stats = json.loads(self._envoy.admin("/stats?format=json&filter=cache"))["stats"]
        counts = {stat["name"]: stat["value"] for stat in stats if "name" in stat}
        return [counts.get(name, 0) for name in CACHES[self.load.gateway]]

    def _status(self, request):
        with socket.create_connection(("127.0.0.1", self._envoy.port), timeout=10) as connection:
            connection.sendall(request)
            return int(connection.recv(65536).split(b" ", 2)[1])


def measured(run, program, children, options):
    """What was measured: workload -> its rows' lanes, each with its turns by group. And Envoy's version."""
    upstream = children.start("upstream", [program, "upstream"], first_line=True, keep_stdin=True)
    port = int(upstream.first_line())
    envoys = {}
    for name, filters in GATEWAYS.items():
        config = gateway.configuration([*filters(run), gateway.router()], port)
        envoys[name] = gateway.Gateway(children, run.folder, config, name=name, concurrency=1)
    version = envoys["bare"].version()
    tables = {}
    for name, make in ROUNDS.items():
        if not name.startswith(options.only):
            continue
        this = make(run.issuer)
        lanes = {key: Lane(program, envoys[load.gateway], load, run.folder / f"{name}-{key}.requests")
                 for key, load in this.loads.items()}
        for lane in lanes.values():
            lane.does_its_work()
            lane.turn(1)  # warm: connections, caches, compiled code
        for group in range(options.turns):
            for lane in random.sample(list(lanes.values()), len(lanes)):
                lane.turns.append(lane.checked_turn(options.seconds))
            print(f"{name}: group {group + 1} of {options.turns}", flush=True)
        for lane in lanes.values():
            lane.close()
        for workload, keys in this.tables.items():
            tables[workload] = {lanes[key].load.contender.name: lanes[key] for key in keys}
        for gateway_name, envoy in envoys.items():
            if wrong := envoy.healthy():
                raise Failed(f"{gateway_name}: {wrong}")
            os.truncate(envoy.log, 0)  # a record for each request: hundreds of megabytes
    for envoy in envoys.values():
        envoy.stop(children)
        envoy.log.unlink()
    return tables, version


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
    issuer = BenchIssuer()
    run = Run(folder, options.module, issuer, issuer.policy())
    with Children() as children:
        tables, version = measured(run, load_program(), children, options)
    about = {"envoy": version, "module_sha256": hashlib.sha256(code).hexdigest(), "module_bytes": len(code),
             "connections": CONNECTIONS, "turn_seconds": options.seconds, "machine": machine()}
    rows = [figures.row(lane.load.contender, workload, {name: other.turns for name, other in lanes.items()}, about)
            for workload, lanes in tables.items() for lane in lanes.values()]
    notes = [f'Envoy {version}, one worker each; module {about["module_bytes"]} bytes, sha256 {about["module_sha256"][:16]}…; '
             f'{CONNECTIONS} connections, closed loop; {options.turns} turns of {options.seconds:g} s each, interleaved in random order.',
             f'{about["machine"]["cpu"]}, {about["machine"]["cores"]} cores, load average at the end {about["machine"]["load_average"]:.1f}. '
             "CPU is user + system time of the whole Envoy process; latency is under full load. No figure here passes or fails anything."]
    (folder / "report.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "report.md").write_text(figures.markdown(rows, notes))
    for workload in tables:
        (folder / f"{workload}.svg").write_text(figures.picture(rows, workload))
    print((folder / "report.md").read_text())
    print(f"{time.monotonic() - began:.0f} s; target/bench/report.json, report.md and plots", flush=True)
    errors = sum(turn.errors for turn in {id(t): t for lanes in tables.values() for lane in lanes.values() for t in lane.turns}.values())
    if errors:
        print(f"bench: {errors} requests failed", file=sys.stderr)
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=12, help="groups of turns for each round of loads")
    parser.add_argument("--seconds", type=float, default=1, help="length of a turn")
    parser.add_argument("--only", default="", help="only the rounds whose name begins so: " + ", ".join(ROUNDS))
    parser.add_argument("--module", type=Path, default=ROOT / "target" / "postern.wasm", help="the built module")
    options = parser.parse_args()
    if options.turns < 2 or options.seconds <= 0:
        parser.error("at least two turns, each of more than zero seconds")
    if not any(name.startswith(options.only) for name in ROUNDS):
        parser.error(f"no round begins with {options.only}")
    end_on_signal()
    end_after(int(300 + len(ROUNDS) * 8 * (options.turns + 1) * (options.seconds + 2)), "the bench")
    try:
        return 1 if bench(options) else 0
    except (Failed, subprocess.TimeoutExpired) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
