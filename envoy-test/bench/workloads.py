"""The workloads of the bench: who sends what through which Envoy, and which of these are shown in one table.

A round is what is measured interleaved: several loads, each one contender's. A table shows some loads of a round.

Two rounds of chat: a body of 1 KiB, with one caller or a thousand, each with an RS256 token.
One round for each algorithm: GET /v1/models, no body, so that verifying the token is what differs. `fresh`: the token was not
seen before, or so many others came since that no cache holds it any more (main.py asks the caches). `cached`: one token again
and again.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from contenders import BARE, Contender
from issuer import Issuer

HERE = Path(__file__).resolve().parent
ALGORITHMS = ("RS256", "ES256", "EdDSA", "PS256")
# Twice as many tokens as the larger of the two caches keeps (postern: two halves of 2048; jwt_authn: 4096).
FRESH_TOKENS = 8192
# Longer than any run; the policy allows two hours.
SECONDS = 7100

MODELS = "/v1/models"        # every contender that verifies, verifies here
KEYED = "/keyed/models"      # postern: the same rules, but an API key in place of a token
OPEN = "/healthz"            # nobody verifies here


@dataclass(frozen=True)
class Load:
    """One contender's part of a round. `hits`: the share of tokens that its cache must have held, if it tells."""

    contender: Contender
    gateway: str
    requests: tuple          # whole HTTP/1.1 requests
    bad: bytes               # a request that a contender that refuses must refuse
    hits: float | None = None


@dataclass(frozen=True)
class Round:
    """Loads that are measured interleaved, by a name of their own, and the tables: workload -> names of the loads in it."""

    name: str
    loads: dict
    tables: dict


class BenchIssuer(Issuer):
    """The demo's issuer with the keys that are measured, and an API key that the policy knows."""

    def __init__(self):
        super().__init__(algorithms=ALGORITHMS)
        self.api_key = secrets.token_urlsafe(32)

    def policy(self):
        policy = super().policy(HERE / "policy.yaml")
        policy["issuers"][0]["algorithms"] = list(ALGORITHMS)
        digest = hashlib.sha256(self.api_key.encode()).hexdigest()
        policy["apiKeys"] = [{"id": "bench", "sha256": digest, "subject": "bench", "tenant": "acme"}]
        policy["callers"].append({"name": "keyed", "any": [{"apiKey": "bench"}]})
        policy["rules"].append({"id": "list-models-keyed", "effect": "allow", "callers": ["keyed"], "scopes": [],
                                "models": ["*"], "operations": ["models"]})
        policy["routes"].append({"name": "keyed", "match": {"hosts": ["localhost"], "pathPrefix": "/keyed/"}, "api": "openai",
                                 "identity": ["apiKey"], "rules": ["list-models-keyed"]})
        return policy

    def spoiled(self, token):
        """The token with another token's signature."""
        other = self.token("ES256", seconds=SECONDS)
        return token.rsplit(".", 1)[0] + "." + other.rsplit(".", 1)[1]


def get(path, credential=None):
    line = f"authorization: Bearer {credential}\r\n" if credential else ""
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{line}accept: application/json\r\n\r\n".encode()


def chat(token=None):
    """A chat request with a body of exactly 1 KiB, its model after the messages as the official client sends it."""
    body = {"messages": [{"role": "user", "content": ""}], "model": "gpt-4o"}
    body["messages"][0]["content"] = "a" * (1024 - len(json.dumps(body)))
    body = json.dumps(body).encode()
    line = f"authorization: Bearer {token}\r\n" if token else ""
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n{line}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n")
    return head.encode() + body


def chat_round(issuer, name, callers):
    contenders = [
        BARE,
        Contender("native_chain", "token (cached), role, rate; not the body", True),
        Contender("postern", "token, role, scope, model in the body, body's JSON and SHA-256; one audit record", True),
    ]
    requests = tuple(chat(issuer.token(sub=f"caller-{number}", seconds=SECONDS)) for number in range(callers))
    loads = {contender.name: Load(contender, contender.name, requests, chat()) for contender in contenders}
    return Round(name, loads, {name: list(loads)})


def verify_round(issuer, algorithm):
    fresh = tuple(get(MODELS, issuer.token(algorithm, seconds=SECONDS, jti=f"{number:032d}")) for number in range(FRESH_TOKENS))
    token = issuer.token(algorithm, seconds=SECONDS, jti="again".rjust(32, "0"))
    cached, spoiled = (get(MODELS, token),), get(MODELS, issuer.spoiled(token))
    unverified, verified = (get(OPEN, token),), "token, role, operation, rules; one audit record"
    jwt = Contender("jwt_authn", "token", True, "jwt_authn_open")
    ours = Contender("postern", verified, True, "postern_open")
    jwt_open = Contender("jwt_authn_open", "nothing: the filter on a path without a requirement", False)
    ours_open = Contender("postern_open", "the head, as on every route; one audit record; an open route", False)
    ours_keyed = Contender("postern_api_key", "API key, operation, rules; one audit record", True)
    loads = {
        "bare": Load(BARE, "bare", cached, spoiled),
        "jwt_authn_open": Load(jwt_open, "jwt_authn", unverified, get(OPEN)),
        "postern_open": Load(ours_open, "postern", unverified, get(OPEN)),
        "postern_api_key": Load(ours_keyed, "postern", (get(KEYED, issuer.api_key),), get(KEYED, token)),
        "jwt_authn-fresh": Load(jwt, "jwt_authn", fresh, spoiled),
        "jwt_authn-cached": Load(jwt, "jwt_authn-with-cache", cached, spoiled, 1),
        "postern-fresh": Load(ours, "postern", fresh, spoiled, 0),
        "postern-cached": Load(ours, "postern", cached, spoiled, 1),
    }
    anyway = ["jwt_authn_open", "postern_open", "postern_api_key"]
    tables = {f"verify-{algorithm}-{age}": ["bare", f"jwt_authn-{age}", f"postern-{age}", *anyway] for age in ("fresh", "cached")}
    return Round(f"verify-{algorithm}", loads, tables)


# How each round is made, in the order in which they run; its tokens are made when its turn comes.
ROUNDS = {
    "chat-1k-one-caller": lambda issuer: chat_round(issuer, "chat-1k-one-caller", 1),
    "chat-1k-1000-callers": lambda issuer: chat_round(issuer, "chat-1k-1000-callers", 1000),
    **{f"verify-{algorithm}": lambda issuer, algorithm=algorithm: verify_round(issuer, algorithm) for algorithm in ALGORITHMS},
}
