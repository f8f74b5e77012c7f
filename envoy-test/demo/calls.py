"""The calls of the demo: one row for each rule of the product, with what must come of it.

The official `openai` client makes them; where it cannot send the wrong thing (a key twice in a body, a second credential,
half a request), a plain HTTP client or a raw socket does (clients.py). Here: what may be asked, by whoever has an ordinary
token. Who calls, by all the ways to prove it, is in callers.py. Not decided here: the evidence afterwards (evidence.py).
"""

import json
from dataclasses import dataclass, field
from typing import Callable

import openai
from clients import Seen


@dataclass
class Call:
    """One row. `expect` is (exception or "", status, code); the rest is what record, upstream and challenge must say."""

    shows: str
    expect: tuple
    run: Callable
    decision: str = "allow"
    rule: str | None = None
    upstream: bool = True
    subject: str | None = "alice"
    credential: str | None = None  # where it is silent: a token, if there is a subject
    peer: str | None = None
    challenge: tuple = ()
    seen: Seen = field(default_factory=Seen)


def refused(shows, code, run, *, raised="AuthenticationError", status=401, subject=None, **more):
    """A row that is refused before upstream sees a byte; as a rule because nobody has proven who he is."""
    return Call(shows, (raised, status, code), run, "refuse", upstream=False, subject=subject, **more)


def forbidden(shows, code, run, *, subject="alice", **more):
    """A row in which a known caller asks for what he may not have."""
    return refused(shows, code, run, raised="PermissionDeniedError", status=403, subject=subject, **more)


def _streamed(c, token):
    def call():
        parts = [chunk.choices[0].delta.content or "" for chunk in
                 c.openai(token).chat.completions.create(model="gpt-4o", messages=c.messages(), stream=True)]
        return f"{len(parts)} chunks"

    return c.sdk(call)


def _json(c, **members):
    return json.dumps({"model": "gpt-4o", "messages": c.messages(), **members})


OK = ("", 200, "")


def allowed(issuer):
    """The calls that pass, by rule `research` unless a row says otherwise."""
    t = issuer.token
    return [
        Call("chat", OK, lambda c: c.chat(t()), rule="research"),
        Call("chat, streamed answer", OK, lambda c: _streamed(c, t()), rule="research"),
        Call("embeddings", OK, lambda c: c.sdk(lambda: len(c.openai(t()).embeddings.create(
            model="text-embedding-3-small", input=c.prompt()).data[0].embedding)), rule="research"),
        Call("responses", OK, lambda c: c.sdk(lambda: c.openai(t()).responses.create(
            model="gpt-4o", input=c.prompt()).output_text), rule="research"),
        Call("completions (legacy API)", OK, lambda c: c.sdk(lambda: c.openai(t()).completions.create(
            model="gpt-4o", prompt=c.prompt()).choices[0].text), rule="research"),
        Call("list of models", OK, lambda c: c.sdk(lambda: len(list(c.openai(t()).models.list()))), rule="list-models"),
        Call("model by pattern llama-3*", OK, lambda c: c.chat(t(), "llama-3.1-8b"), rule="research"),
        Call("an intern on the small model", OK, lambda c: c.chat(t(sub="ivy", roles=["intern"]), "gpt-4o-mini"),
             rule="interns-small", subject="ivy"),
        Call("client claims x-postern-subject: admin", OK, lambda c: c.sdk(lambda: c.openai(t()).chat.completions.create(
            model="gpt-4o", messages=c.messages(), extra_headers={"x-postern-subject": "admin", "x_postern_tenant": "root"}).model),
             rule="research"),
        Call("open route needs no token", OK, lambda c: c.raw("GET", "/healthz"), subject=None),
    ]


def refused_caller(issuer):
    """Nobody is let in who has not proven who he is."""
    def row(shows, code, token):
        return refused(shows, code, lambda c: c.chat(token()))

    t = issuer.token
    return [
        row("expired token", "token_expired", lambda: t(seconds=-60, iat=1700000000)),
        row("token for another audience", "token_audience", lambda: t(aud="billing")),
        row("tampered token", "token_signature", issuer.tampered),
        row("key id that the issuer lacks", "token_key", lambda: t(kid="demo-old")),
        row("issuer that the policy lacks", "token_issuer", lambda: t(iss="https://idp.example.net")),
        row("alg: none, no signature", "token_malformed", issuer.unsigned),
        row("HS256 with the RSA public key", "token_algorithm", issuer.keyed_with_public_key),
        row("token without exp", "token_claims", lambda: t(drop=["exp"])),
        row("not a token at all", "token_malformed", lambda: "sk-1234567890abcdef"),
        refused("no token", "credential_missing", lambda c: c.chat("unused", extra_headers={"Authorization": openai.Omit()})),
        refused("a token and an API key", "credential_repeated", lambda c: c.post(
            t(), _json(c), more=[("x-api-key", "sk-1234567890abcdef")]), raised=""),
        refused("two tokens", "credential_repeated", lambda c: c.post(
            t(), _json(c), more=[("authorization", f"Bearer {t(sub='bob')}")]), raised=""),
    ]


def refused_call(issuer):
    """A known caller gets what the rules give, and no more."""
    t = issuer.token
    intern = {"sub": "ivy", "roles": ["intern"]}
    return [
        forbidden("model outside every rule", "not_permitted", lambda c: c.chat(t(), "claude-sonnet")),
        forbidden("intern on the large model", "not_permitted", lambda c: c.chat(t(**intern)), subject="ivy"),
        forbidden("role that no rule names", "not_permitted", lambda c: c.chat(t(roles=["visitor"]))),
        forbidden("scope missing in the token", "scope_missing", lambda c: c.chat(t(scope="model:*:embeddings")), rule="research"),
        forbidden("deny wins over allow (gpt-3*)", "denied", lambda c: c.chat(t(), "gpt-3.5-turbo"), rule="no-legacy"),
        refused("operation unknown to the route", "operation_unknown", lambda c: c.sdk(
            lambda: c.openai(t()).moderations.create(input=c.prompt())), raised="NotFoundError", status=404),
        refused("path outside every route", "route_unknown", lambda c: c.raw("GET", "/admin"), raised="", status=404),
        refused("GET where only POST is", "method_not_allowed", lambda c: c.raw(
            "GET", "/v1/chat/completions", headers=[("authorization", f"Bearer {t()}")]), raised="", status=405),
    ]


def refused_body(issuer):
    """A body that two readers could read differently is refused before upstream sees a byte."""
    def row(shows, status, code, body, **more):
        return refused(shows, code, lambda c: c.post(issuer.token(), body(c), **more), raised="", status=status, subject="alice")

    return [
        row('"model" twice', 400, "body_duplicate_key", lambda c: _json(c)[:-1] + ', "model": "gpt-3.5-turbo"}'),
        row('"Model" beside "model"', 400, "body_lookalike_key", lambda c: _json(c, Model="gpt-3.5-turbo")),
        row("not JSON", 400, "body_not_json", lambda c: "model=gpt-4o&prompt=" + c.prompt()),
        row("no model", 400, "model_missing", lambda c: json.dumps({"messages": c.messages()})),
        refused("model is a number", "model_invalid", lambda c: c.chat(issuer.token(), 4), raised="BadRequestError", status=400, subject="alice"),
        refused("body over the limit of 64 KiB", "body_too_large", lambda c: c.sdk(
            lambda: c.openai(issuer.token()).embeddings.create(model="text-embedding-3-small", input=c.prompt() + "x" * 100_000)),
                raised="APIStatusError", status=413, subject="alice"),
        row("JSON sent as text/plain", 415, "content_type_unsupported", _json, content_type="text/plain"),
    ]


def left(issuer):
    """Whoever leaves in the middle still leaves a record."""
    return [
        Call("client leaves while sending", ("", None, ""), lambda c: c.leave_while_sending(issuer.token()), "none", upstream=False),
        Call("client leaves while reading", OK, lambda c: c.leave_while_reading(issuer.token()), rule="research"),
    ]


def groups(issuer):
    """The rows, by what they show."""
    return [
        ("What may be called", allowed(issuer)),
        ("Bad credentials", refused_caller(issuer)),
        ("What may not be called", refused_call(issuer)),
        ("Bodies that two readers could read differently", refused_body(issuer)),
        ("Clients that leave", left(issuer)),
    ]
