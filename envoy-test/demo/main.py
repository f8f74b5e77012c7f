"""The demo: the official openai client, a real Envoy with Postern in it, a real provider and an upstream, end to end.

    main.py [--module target/postern.wasm] [--keep]

Runs every call of calls.py and callers.py, shows what was expected and what was seen, then the audit records, and checks the
evidence.
Leaves policy.yaml, policy.json, envoy.yaml, envoy.log, audit.jsonl, access.jsonl and upstream.jsonl in target/demo.
Ends by itself, non-zero when anything differs. KEEP=1 (or --keep) leaves everything running afterwards to try by hand.
"""

import argparse
import hashlib
import json
import os
import secrets
import select
import sys
import time
from pathlib import Path

import callers
import calls
import evidence
import gateway
import openai
import table
import yaml
from callers import BATCH, NOTEBOOK, World
from certificates import Authority
from children import Children, Failed, end_after, end_on_signal
from clients import Clients
from issuer import Issuer
from provider import DISCOVERY, HOST, REVOKED, Provider
from wallet import Wallet

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIMIT_SECONDS = 170
ACCESS_FIELDS = {
    "method": "%REQ(:METHOD)%", "path": "%PATH(NQ)%", "status": "%RESPONSE_CODE%", "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%", "sent": "%BYTES_SENT%", "received": "%BYTES_RECEIVED%",
}


MOUNTS = ("/keys", "/mesh", "/jobs")  # in front of the upstream's own paths


class Swept:
    """Files of a folder with a secret in them, removed when the run is over, however it ends."""

    def __init__(self, folder, *patterns):
        self._folder, self._patterns = folder, patterns

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pattern in self._patterns:
            for path in self._folder.glob(pattern):
                path.unlink()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def peopled(children, folder, authority, mesh):
    """Issuers, provider, clients and workloads of the run, with their keys."""
    known = evidence.Secrets()
    wallet = Wallet(children, ROOT / "target" / "tools", folder / "wallet.log")
    issuer = Issuer(secrets=known, wallet=wallet)
    partner = Issuer("https://login.partner.example", ["ES256"], secrets=known, wallet=wallet)
    workloads = {
        "notebook": mesh.workload(folder, "notebook", NOTEBOOK),
        "batch": mesh.workload(folder, "batch", BATCH),
        "stranger": mesh.workload(folder, "stranger", "spiffe://example.net/ns/research/sa/notebook"),
        "forged": Authority("Postern demo mesh", spiffe="spiffe://example.org").workload(folder, "forged", NOTEBOOK),
    }
    keys = {name: known.keep("an API key", f"sk-{name}-{secrets.token_urlsafe(32)}") for name in ("ci-bot", "old-bot", "nobody")}
    provider = Provider(issuer, authority.server(folder, "idp", [HOST]))
    return World(known, issuer, partner, provider, wallet, workloads, keys)


def written_policy(folder, world):
    """The policy of the run: policy.yaml with this run's keys, and policy.json, the form in which the module gets it."""
    policy = yaml.safe_load((HERE / "policy.yaml").read_text())
    policy["issuers"][1]["jwks"]["inline"]["keys"] = world.partner.jwks()
    for key in policy["apiKeys"]:
        key["sha256"] = digest(world.keys[key["id"]].encode())
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False, width=140))
    (folder / "policy.json").write_text(json.dumps(policy, indent=1) + "\n")
    return policy


def started(children, folder, module, world, authority, mesh):
    """Upstream and gateway, up; and the clients that talk to them."""
    answers = (HERE / "upstream.yaml").read_text().replace("@LONG@", "and then " * 400)
    (folder / "upstream.yaml").write_text(answers)
    upstream = children.start("upstream", [sys.executable, HERE / "upstream.py", folder / "upstream.jsonl", folder / "upstream.yaml"],
                              log=folder / "upstream.log", first_line=True)
    ca, workloads_ca = authority.write(folder / "ca.pem"), mesh.write(folder / "mesh-ca.pem")
    own = authority.server(folder, "gateway", ["localhost"], ["127.0.0.1"])
    filters = [gateway.postern(module, written_policy(folder, world), environment={"POD_NAME": "demo-gateway"}), gateway.router()]
    alike = {"mounts": MOUNTS, "access_logs": [
        gateway.file_log(folder / "audit.jsonl", text="%FILTER_STATE(wasm.postern.record:PLAIN)%\n"),
        gateway.file_log(folder / "access.jsonl", fields=ACCESS_FIELDS)]}
    envoy = gateway.Gateway(children, folder, gateway.configuration(
        filters, int(upstream.first_line()), transport=gateway.tls(own.certificate, own.key), **alike,
        listeners=[gateway.listener("mesh", filters, transport=gateway.tls(own.certificate, own.key, workloads=workloads_ca), **alike)],
        clusters=[gateway.cluster("idp", world.provider.port, transport=gateway.tls_to(HOST, ca))]))
    return envoy, Clients(envoy, ca, world.workloads)


def made(rows, clients, folder):
    """Makes the calls one after another; gives for each its record and what upstream wrote meanwhile."""
    found = []
    for number, call in enumerate(rows, 1):
        clients.number = number
        records = len(evidence.read_lines(folder / "audit.jsonl"))
        received = len(evidence.read_lines(folder / "upstream.jsonl"))
        call.seen = call.run(clients)
        lines = evidence.wait_for_lines(folder / "audit.jsonl", records + 1)[records:]
        found.append((lines[0] if lines else None, evidence.read_lines(folder / "upstream.jsonl")[received:]))
    return found


def outcome(raised, status, code):
    return " ".join(str(part) for part in (status or "left", code, raised) if part)


def judged(groups, found):
    """The lines of the main table, and every fault as a text."""
    lines, faults, number = [], [], 0
    for title, rows in groups:
        lines.append(title)
        for call in rows:
            record, received = found[number]
            number += 1
            expected, seen = outcome(*call.expect), outcome(call.seen.raised, call.seen.status, call.seen.code)
            wrong = [*call.seen.faults] + ([] if expected == seen else [f"expected {expected}, seen {seen}"])
            wrong += evidence.against_call(call, record, received) if record else ["no audit record"]
            faults += [f"call {number} ({call.shows}): {text}" for text in wrong]
            rule = (record.get("rule") if isinstance(record, dict) else None) or "-"
            lines.append([number, call.shows, expected, seen, rule, "yes" if received else "no", "FAIL" if wrong else "ok"])
    return lines, faults


def record_rows(records):
    for number, r in enumerate(records, 1):
        caller, request, response = r.get("caller") or {}, r.get("request") or {}, r.get("response") or {}
        who = caller.get("subject") or ((r.get("peer") or {}).get("uri") or "-").removeprefix("spiffe://")
        body = (request.get("digest") or "-").removeprefix("sha-256=")[:12]
        yield [number, r.get("time", "")[11:23], r.get("decision"), r.get("refusal") or r.get("rule") or "-", caller.get("credential") or "-", who,
               r.get("operation") or "-", r.get("model") or "-", request.get("bytes"), body, response.get("status"),
               response.get("details") or "-"]


def checks(rows, world, envoy, folder):
    """The checks over the whole run: each a sentence and the faults against it."""
    audit, upstream = evidence.read_lines(folder / "audit.jsonl"), evidence.read_lines(folder / "upstream.jsonl")
    logged = evidence.logged_records(folder / "envoy.log")
    places = evidence.public_places(folder, rows)
    heads_upstream = {f"what upstream received, {n}": json.dumps(line["headers"]) for n, line in enumerate(upstream, 1)}
    forwarded = sum(call.upstream for call in rows)
    ids = [r.get("id") for r in audit if isinstance(r, dict)]
    prompts = evidence.prompts_received(upstream)
    yield (f"exactly one audit record for each of the {len(rows)} calls, each with an id of its own",
           [] if len(audit) == len(rows) == len(set(ids)) else [f"{len(audit)} records, {len(set(ids))} ids"])
    yield ("the same records in Envoy's log",
           [] if evidence.same_records(audit, logged) else [f"{len(logged)} in the log, {len(audit)} in the access log, or they differ"])
    yield (f"upstream received the {forwarded} calls that were let through and no other",
           [] if len(upstream) == forwarded else [f"upstream received {len(upstream)}"])
    yield (f"none of {len(world.secrets)} tokens, signatures, keys, proofs, cookies and prompts in {len(places)} policies, logs, "
           f"records and refusals (upstream itself holds {prompts} prompts)",
           world.secrets.leaks(places) + ([] if prompts else ["the search found no prompt even upstream"]))
    yield "none of them in a head that upstream received", world.secrets.leaks(heads_upstream)
    counted, asked = envoy.counters(), world.provider.asked
    hits = counted.get("token_cache_hits", 0)
    yield (f"the provider was asked {asked[DISCOVERY]} times for keys and {asked[REVOKED]} times for its list; the gateway counts "
           f"{counted.get('fetches')} answers with something new, {counted.get('fetch_failures', 0)} failures; {hits} tokens were known already",
           [] if counted.get("fetches") and hits else [f"the counters are {counted}"])
    wrong = envoy.healthy()
    yield "Envoy is healthy, no VM has died", [wrong] if wrong else []


def kept(envoy, folder, world):
    """Leaves all running until Enter (on a terminal) or SIGTERM."""
    for name, text in (("token", world.issuer.token(seconds=7200)), ("api.key", world.keys["ci-bot"])):
        secret = folder / name
        secret.touch(mode=0o600)
        secret.write_text(text)
    folder = folder.relative_to(ROOT)
    curl = f'curl --cacert {folder}/ca.pem -H "authorization: Bearer $(cat {folder}/token)"'
    post, base, mesh = "-H 'content-type: application/json' -d", *(f"https://localhost:{envoy.ports[name]}" for name in ("ingress", "mesh"))
    print(f"""
Left running. The token is good for two hours. To try, from the root of the checkout:

  {curl} {base}/v1/models
  {curl} {base}/v1/chat/completions {post} '{{"model":"gpt-4o","messages":[{{"role":"user","content":"hello"}}]}}'
  {curl} -N {base}/v1/chat/completions {post} '{{"model":"gpt-4o","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}'
  {curl} {base}/v1/chat/completions {post} '{{"model":"gpt-3.5-turbo","messages":[]}}'
  {curl} {base}/v1/chat/completions {post} '{{"model":"gpt-4o","model":"gpt-3.5-turbo"}}'
  curl --cacert {folder}/ca.pem {base}/v1/models
  {curl.replace("token", "api.key")} {base}/keys/v1/chat/completions {post} '{{"model":"gpt-4o-mini","messages":[]}}'
  {curl} --cert {folder}/notebook.pem --key {folder}/notebook-key.pem {mesh}/mesh/v1/chat/completions {post} '{{"model":"llama-3.1-8b","messages":[]}}'
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
    authority, mesh = Authority("Postern demo CA"), Authority("Postern demo mesh", spiffe="spiffe://example.org")
    with Swept(folder, "token", "*.key", "*-key.pem"), Children() as children:
        world = peopled(children, folder, authority, mesh)
        with world.provider:
            envoy, clients = started(children, folder, module, world, authority, mesh)
            print(f"Postern {len(code)} bytes, sha256 {digest(code)}; Envoy {envoy.version()}; openai {openai.__version__}; "
                  f"listening on {clients.base}, with client certificates on {clients.mesh}", flush=True)
            faults = shown([*calls.groups(world.issuer), *callers.groups(world)], world, envoy, clients, folder, began)
            if keep:
                end_after(0, "the demo")
                kept(envoy, folder, world)
    return faults


def shown(groups, world, envoy, clients, folder, began):
    """Makes the calls and prints the two tables and the evidence; gives the number of faults."""
    rows = [call for _, some in groups for call in some]
    found = made(rows, clients, folder)
    lines, faults = judged(groups, found)
    table.show("The calls", ["#", "what is shown", "expected", "seen", "rule", "upstream", ""], lines)
    time.sleep(0.3)  # a record too many would come now
    records = [record for record, _ in found if isinstance(record, dict)]
    table.show("Their audit records (short; whole in target/demo/audit.jsonl)",
               ["#", "time", "decision", "why", "by", "who", "operation", "model", "bytes", "digest", "status", "details"],
               record_rows(records), limits=(0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 40))
    print("\nThe evidence\n")
    for sentence, wrong in checks(rows, world, envoy, folder):
        print(f'{"FAIL" if wrong else "ok  "}  {sentence}')
        faults += wrong
    for text in faults:
        print(f"  - {text}")
    passed = sum(line[-1] == "ok" for line in lines)
    print(f"\n{passed} of {len(rows)} calls as expected, {len(faults)} faults, {time.monotonic() - began:.1f} s. All of it: target/demo/", flush=True)
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
