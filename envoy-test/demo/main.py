"""The demo: the official openai client, a real Envoy with Postern in it, a real issuer and an upstream, end to end.

    main.py [--module target/postern.wasm] [--keep]

Runs every call of calls.py, shows what was expected and what was seen, then the audit records, and checks the evidence.
Leaves policy.yaml, policy.json, envoy.yaml, envoy.log, audit.jsonl, access.jsonl and upstream.jsonl in target/demo.
Ends by itself, non-zero when anything differs. KEEP=1 (or --keep) leaves everything running afterwards to try by hand.
"""

import argparse
import hashlib
import json
import os
import select
import sys
import time
from pathlib import Path

import certificates
import evidence
import gateway
import openai
import table
import yaml
from calls import Clients, all_calls
from children import Children, Failed, end_after, end_on_signal
from issuer import Issuer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIMIT_SECONDS = 170
ACCESS_FIELDS = {
    "method": "%REQ(:METHOD)%", "path": "%PATH(NQ)%", "status": "%RESPONSE_CODE%", "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%", "sent": "%BYTES_SENT%", "received": "%BYTES_RECEIVED%",
}


class Swept:
    """Files with a secret in them, removed when the run is over, however it ends."""

    def __init__(self, *paths):
        self._paths = paths

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for path in self._paths:
            path.unlink(missing_ok=True)


def written_policy(folder, issuer):
    """The policy of the run: policy.yaml with this run's keys, and policy.json, the form in which the module gets it."""
    policy = issuer.policy()
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False, width=140))
    (folder / "policy.json").write_text(json.dumps(policy, indent=1) + "\n")
    return policy


def started(children, folder, module, issuer):
    """Upstream and gateway, up; and the clients that talk to them."""
    ca, certificate, key = certificates.write(folder)
    answers = (HERE / "upstream.yaml").read_text().replace("@LONG@", "and then " * 400)
    (folder / "upstream.yaml").write_text(answers)
    upstream = children.start("upstream", [sys.executable, HERE / "upstream.py", folder / "upstream.jsonl", folder / "upstream.yaml"],
                              log=folder / "upstream.log", first_line=True)
    port = int(upstream.first_line())
    config = gateway.configuration(
        [gateway.postern(module, written_policy(folder, issuer), environment={"POD_NAME": "demo-gateway"}), gateway.router()],
        port, transport=gateway.tls(certificate, key),
        access_logs=[gateway.file_log(folder / "audit.jsonl", text="%FILTER_STATE(wasm.postern.record:PLAIN)%\n"),
                     gateway.file_log(folder / "access.jsonl", fields=ACCESS_FIELDS)])
    envoy = gateway.Gateway(children, folder, config)
    return envoy, Clients(envoy.port, ca, issuer)


def made(calls, clients, folder):
    """Makes the calls one after another; gives for each its record and what upstream wrote meanwhile."""
    found = []
    for number, call in enumerate(calls, 1):
        clients.number = number
        records = len(evidence.read_lines(folder / "audit.jsonl"))
        received = len(evidence.read_lines(folder / "upstream.jsonl"))
        call.seen = call.run(clients)
        lines = evidence.wait_for_lines(folder / "audit.jsonl", records + 1)[records:]
        found.append((lines[0] if lines else None, evidence.read_lines(folder / "upstream.jsonl")[received:]))
    return found


def outcome(raised, status, code):
    return " ".join(str(part) for part in (status or "left", code, raised) if part)


def judged(calls, found):
    """The rows of the main table, and every fault as a text."""
    rows, faults = [], []
    for number, (call, (record, received)) in enumerate(zip(calls, found), 1):
        expected, seen = outcome(*call.expect), outcome(call.seen.raised, call.seen.status, call.seen.code)
        wrong = [] if expected == seen else [f"expected {expected}, seen {seen}"]
        wrong += evidence.against_call(call, record, received) if record else ["no audit record"]
        faults += [f"call {number} ({call.shows}): {text}" for text in wrong]
        rule = (record.get("rule") if isinstance(record, dict) else None) or "-"
        rows.append([number, call.shows, expected, seen, rule, "yes" if received else "no", "FAIL" if wrong else "ok"])
    return rows, faults


def record_rows(records):
    for number, r in enumerate(records, 1):
        caller, request, response = r.get("caller") or {}, r.get("request") or {}, r.get("response") or {}
        digest = (request.get("digest") or "-").removeprefix("sha-256=")[:12]
        yield [number, r.get("time", "")[11:23], r.get("decision"), r.get("refusal") or r.get("rule") or "-", caller.get("subject") or "-",
               r.get("operation") or "-", r.get("model") or "-", request.get("bytes"), digest, response.get("status"),
               response.get("details") or "-"]


def checks(calls, found, issuer, envoy, folder):
    """The checks over the whole run: each a sentence and the faults against it."""
    audit, upstream = evidence.read_lines(folder / "audit.jsonl"), evidence.read_lines(folder / "upstream.jsonl")
    logged = evidence.logged_records(folder / "envoy.log")
    places = evidence.public_places(folder, calls)
    heads_upstream = {f"what upstream received, {n}": json.dumps(line["headers"]) for n, line in enumerate(upstream, 1)}
    forwarded = sum(call.upstream for call in calls)
    ids = [r.get("id") for r in audit if isinstance(r, dict)]
    prompts = evidence.prompts_received(upstream)
    yield (f"exactly one audit record for each of the {len(calls)} calls, each with an id of its own",
           [] if len(audit) == len(calls) == len(set(ids)) else [f"{len(audit)} records, {len(set(ids))} ids"])
    yield ("the same records in Envoy's log",
           [] if evidence.same_records(audit, logged) else [f"{len(logged)} in the log, {len(audit)} in the access log, or they differ"])
    yield (f"upstream received the {forwarded} calls that were let through and no other",
           [] if len(upstream) == forwarded else [f"upstream received {len(upstream)}"])
    yield (f"no token and no prompt in {len(places)} logs, records and refusals (upstream itself holds {prompts} prompts)",
           evidence.leaks(issuer, places) + ([] if prompts else ["the search found no prompt even upstream"]))
    yield "no token in what upstream received", evidence.leaks(issuer, heads_upstream)
    wrong = envoy.healthy()
    yield "Envoy is healthy, no VM has died", [wrong] if wrong else []


def kept(envoy, folder, issuer):
    """Leaves all running until Enter (on a terminal) or SIGTERM."""
    secret = folder / "token"
    secret.touch(mode=0o600)
    secret.write_text(issuer.token(seconds=7200))
    folder = folder.relative_to(ROOT)
    curl = f'curl --cacert {folder}/ca.pem -H "authorization: Bearer $(cat {folder}/token)"'
    post, base = "-H 'content-type: application/json' -d", f"https://localhost:{envoy.port}"
    print(f"""
Left running. The token is good for two hours. To try, from the root of the checkout:

  {curl} {base}/v1/models
  {curl} {base}/v1/chat/completions {post} '{{"model":"gpt-4o","messages":[{{"role":"user","content":"hello"}}]}}'
  {curl} -N {base}/v1/chat/completions {post} '{{"model":"gpt-4o","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}'
  {curl} {base}/v1/chat/completions {post} '{{"model":"gpt-3.5-turbo","messages":[]}}'
  {curl} {base}/v1/chat/completions {post} '{{"model":"gpt-4o","model":"gpt-3.5-turbo"}}'
  curl --cacert {folder}/ca.pem {base}/v1/models
  tail -f {folder}/audit.jsonl
""")
    if sys.stdin.isatty():
        print("Enter ends it.", flush=True)
        select.select([sys.stdin], [], [])
    else:
        print(f"SIGTERM to process {os.getpid()} ends it.", flush=True)
        while envoy.healthy() == "":
            time.sleep(1)


def demonstrate(module, keep):
    """The whole run; gives the number of faults."""
    began = time.monotonic()
    folder = ROOT / "target" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    code = gateway.read_module(module)
    issuer = Issuer()
    with Children() as children, Swept(folder / "token", folder / "gateway-key.pem"):
        envoy, clients = started(children, folder, module, issuer)
        print(f"Postern {len(code)} bytes, sha256 {hashlib.sha256(code).hexdigest()}; Envoy {envoy.version()}; openai {openai.__version__}; "
              f"listening on {clients.base}", flush=True)
        calls = all_calls(issuer)
        found = made(calls, clients, folder)
        rows, faults = judged(calls, found)
        table.show("The calls", ["#", "what is shown", "expected", "seen", "rule", "upstream", ""], rows)
        time.sleep(0.3)  # a record too many would come now
        records = [record for record, _ in found if isinstance(record, dict)]
        table.show("Their audit records (short; whole in target/demo/audit.jsonl)",
                   ["#", "time", "decision", "why", "subject", "operation", "model", "bytes", "digest", "status", "details"],
                   record_rows(records), limits=(0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 40))
        print("\nThe evidence\n")
        for sentence, wrong in checks(calls, found, issuer, envoy, folder):
            print(f'{"FAIL" if wrong else "ok  "}  {sentence}')
            faults += wrong
        for text in faults:
            print(f"  - {text}")
        passed = sum(row[-1] == "ok" for row in rows)
        print(f"\n{passed} of {len(calls)} calls as expected, {len(faults)} faults, {time.monotonic() - began:.1f} s. All of it: target/demo/", flush=True)
        if keep:
            end_after(0, "the demo")
            kept(envoy, folder, issuer)
    return len(faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", type=Path, default=ROOT / "target" / "postern.wasm", help="the built module")
    parser.add_argument("--keep", action="store_true", default=os.environ.get("KEEP", "") not in ("", "0"),
                        help="leave everything running and print curl lines (also KEEP=1)")
    options = parser.parse_args()
    end_on_signal()
    end_after(LIMIT_SECONDS, "the demo")
    try:
        return 1 if demonstrate(options.module, options.keep) else 0
    except Failed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
