"""The evidence after the calls: records, upstream's own record, logs.

Decided here: does each call have exactly one audit record that tells the truth, did upstream receive exactly the bytes the
record names (or nothing), and does no token, key or prompt stand in a log, record or refusal?
"""

import base64
import json
import time
from pathlib import Path


def read_lines(path):
    """The JSON objects of a file, one per complete line. A line that is not JSON is given as its text."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(errors="replace").split("\n")[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append(line)
    return found


def wait_for_lines(path, count, timeout=8.0):
    """The file's lines as soon as there are `count` of them, or what is there when the time (seconds) is over."""
    deadline = time.monotonic() + timeout
    while len(read_lines(path)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return read_lines(path)


def logged_records(log):
    """The records in Envoy's log, as the module wrote them there."""
    marker = "postern audit "
    found = []
    for line in log.read_text(errors="replace").splitlines():
        if marker in line:
            found.append(json.loads(line.split(marker, 1)[1]))
    return found


def against_call(call, record, received):
    """What of a call's record and of upstream's record of it is not as the row says. `received` is upstream's lines."""
    if not isinstance(record, dict):
        return [f"the record is not JSON: {str(record)[:80]}"]
    faults = []

    def same(what, expected, seen):
        if expected != seen:
            faults.append(f"{what}: expected {expected}, seen {seen}")

    caller, request = record.get("caller") or {}, record.get("request") or {}
    same("record.decision", call.decision, record.get("decision"))
    same("record.refusal", call.expect[2] or None, record.get("refusal"))
    if call.rule:
        same("record.rule", call.rule, record.get("rule"))
    same("record.caller.subject", call.subject, caller.get("subject"))
    same("record.caller.credential", call.credential or (call.subject and "token"), caller.get("credential"))
    same("record.peer.uri", call.peer, (record.get("peer") or {}).get("uri"))
    for part in call.challenge:
        same("www-authenticate", part, part if part in call.seen.www_authenticate else call.seen.www_authenticate)
    if call.seen.status is not None:
        same("x-postern-audit-id", record.get("id"), call.seen.audit_id)
        same("record.response.status", call.seen.status, (record.get("response") or {}).get("status"))
    same("requests that reached upstream", 1 if call.upstream else 0, len(received))
    if not call.upstream:
        same("record.request.digest", None, request.get("digest"))
        return faults
    for line in received:
        digest = "sha-256=" + line["sha256"]
        same("upstream has the whole body", True, line["complete"])
        same("record.request.digest", digest, request.get("digest"))
        same("record.request.bytes", line["bytes"], request.get("bytes"))
        faults.extend(against_head(call, record, dict(line["headers"]), digest))
    return faults


def against_head(call, record, head, digest):
    """What of the head that upstream received is not as the product promises."""
    wanted = {
        "x-postern-subject": call.subject, "x-postern-audit-id": record.get("id"), "authorization": None,
        "dpop": None, "x-postern-peer": call.peer,
        "x-postern-model": record.get("model"), "x-postern-rule": record.get("rule"), "x_postern_tenant": None,
    }
    faults = [f"upstream header {name}: expected {value}, seen {_shown(name, head.get(name))}"
              for name, value in wanted.items() if head.get(name) != value]
    if head.get("x-postern-request-digest") not in (None, digest):
        faults.append("upstream header x-postern-request-digest is not the digest of the body")
    return faults


def _shown(name, value):
    """A header's value, unless it is a secret."""
    return "one" if value and name in ("authorization", "dpop") else value


class Secrets:
    """What must stand nowhere, kept by whoever makes it: tokens, keys, proofs, cookies. A prompt is one always."""

    def __init__(self):
        self._known = {"-confidential": "a prompt", "sk-1234567890abcdef": "a false key"}

    def keep(self, what, text):
        """Keeps the text (and the signature of a token, alone) under the name `what`, and gives it back."""
        self._known[text] = what
        if text.count(".") == 2 and len(signature := text.rsplit(".", 1)[-1]) > 16:
            self._known[signature] = f"the signature of {what}"
        return text

    def leaks(self, places):
        """Secrets in the texts of `places` (name -> text), as sentences; the secret itself is not repeated."""
        return [f"{what} stands in {name}" for name, text in places.items() for secret, what in self._known.items() if secret in text]

    def __len__(self):
        return len(self._known)


def same_records(audit, logged):
    """Whether the access log and Envoy's log hold the same records, in whatever order the two workers wrote them."""
    return bool(audit) and sorted(map(json.dumps, audit)) == sorted(map(json.dumps, logged))


def prompts_received(lines):
    """How many of upstream's bodies hold a prompt: the search above must be able to find something."""
    return sum(b"-confidential" in base64.b64decode(line["body"]) for line in lines)


def public_places(folder: Path, calls):
    """Everything that a caller or an operator can read: policy, configuration, logs, records, refusals."""
    files = [folder / name for name in ("audit.jsonl", "access.jsonl", "policy.yaml", "policy.json", "envoy.yaml")]
    places = {path.name: path.read_text(errors="replace") for path in [*files, *folder.glob("*.log")]}
    for number, call in enumerate(calls, 1):
        if call.expect[2]:
            places[f"the refusal of call {number}"] = call.seen.answer + call.seen.www_authenticate
    return places
