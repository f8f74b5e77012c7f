"""The calls of the demo: one row for each rule of the product, with what must come of it.

The official `openai` client makes them; where it cannot send the wrong thing (a key twice in a body, a second credential,
half a request), a plain HTTP client or a raw socket does. Not decided here: the evidence afterwards (evidence.py).
"""

import json
import ssl
import socket
from dataclasses import dataclass, field
from typing import Callable

import httpx2
import openai


@dataclass
class Seen:
    """What the client saw. `status` is None when it left before an answer."""

    status: int | None = None
    raised: str = ""
    code: str = ""
    audit_id: str = ""
    answer: str = ""
    www_authenticate: str = ""


@dataclass
class Call:
    """One row. `expect` is (exception or "", status, code); the rest is what record and upstream must say."""

    shows: str
    expect: tuple
    run: Callable
    decision: str = "allow"
    rule: str | None = None
    upstream: bool = True
    subject: str | None = "alice"
    seen: Seen = field(default_factory=Seen)


class Clients:
    """The clients of one run: they trust the run's CA and nothing else."""

    def __init__(self, port, ca, issuer):
        self.base, self.port, self.issuer = f"https://localhost:{port}", port, issuer
        self.context = ssl.create_default_context(cafile=str(ca))
        self._last = []
        self._http = httpx2.Client(verify=self.context, timeout=20, event_hooks={"response": [self._last.append]})
        self.number = 0

    def prompt(self):
        """The prompt of the present call: recognisable, so that a leak is found."""
        return f"PROMPT-{self.number}-confidential"

    def messages(self):
        return [{"role": "user", "content": self.prompt()}]

    def openai(self, token):
        """The official client with this token as its API key."""
        return openai.OpenAI(base_url=self.base + "/v1", api_key=token, http_client=self._http, max_retries=0)

    def sdk(self, call):
        """Runs `call` (which uses the openai client) and says what its user saw."""
        self._last.clear()
        seen = Seen()
        try:
            seen.answer = str(call())
        except openai.APIStatusError as error:
            seen.raised, seen.code, seen.answer = type(error).__name__, str(error.code or ""), error.response.text
        except (openai.OpenAIError, httpx2.HTTPError, LookupError, AttributeError, TypeError, ValueError) as error:
            seen.raised, seen.answer = type(error).__name__, str(error)  # whatever it is, the row shows it
        return self._heard(seen)

    def raw(self, method, path, *, body=None, headers=()):
        """One plain request; `headers` is a list of pairs, sent as they stand."""
        self._last.clear()
        response = self._http.request(method, self.base + path, content=body, headers=list(headers))
        seen = Seen(answer=response.text)
        try:
            seen.code = json.loads(response.text)["error"]["code"] or ""
        except (ValueError, KeyError, TypeError):
            pass
        return self._heard(seen)

    def post(self, token, body, *, path="/v1/chat/completions", content_type="application/json", more=()):
        head = [("authorization", f"Bearer {token}"), ("content-type", content_type), *more]
        return self.raw("POST", path, body=body, headers=head)

    def leave_while_sending(self, token):
        """Sends the head and half of a body over TLS, then goes away."""
        body = json.dumps({"messages": self.messages(), "model": "gpt-4o"}).encode()
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost:{self.port}\r\nauthorization: Bearer {token}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n").encode()
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            with self.context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(head + body[: len(body) // 2])
        return Seen()

    def leave_while_reading(self, token):
        """Starts a long streamed answer with the openai client, reads a little and hangs up."""

        def call():
            messages = [{"role": "user", "content": f"tell a long story, {self.prompt()}"}]
            stream = self.openai(token).chat.completions.create(model="gpt-4o", messages=messages, stream=True)
            read = [next(stream) for _ in range(5)]
            stream.close()
            return f"{len(read)} chunks, then gone"

        return self.sdk(call)

    def _heard(self, seen):
        if self._last:
            answer = self._last[-1]
            seen.status = answer.status_code
            seen.audit_id = answer.headers.get("x-postern-audit-id", "")
            seen.www_authenticate = answer.headers.get("www-authenticate", "")
        return seen


def _chat(c, token, model="gpt-4o", **more):
    return c.sdk(lambda: c.openai(token).chat.completions.create(model=model, messages=c.messages(), **more).choices[0].message.content)


def _streamed(c, token):
    def call():
        parts = [chunk.choices[0].delta.content or "" for chunk in
                 c.openai(token).chat.completions.create(model="gpt-4o", messages=c.messages(), stream=True)]
        return f"{len(parts)} chunks"

    return c.sdk(call)


def _json(c, **members):
    return json.dumps({"model": "gpt-4o", "messages": c.messages(), **members})


UNAUTHENTICATED = ("AuthenticationError", 401)
FORBIDDEN = ("PermissionDeniedError", 403)


def allowed(issuer):
    """The calls that pass, by rule `research` unless a row says otherwise."""
    t = issuer.token
    return [
        Call("chat, RS256 token", ("", 200, ""), lambda c: _chat(c, t()), rule="research"),
        Call("chat, ES256 token", ("", 200, ""), lambda c: _chat(c, t("ES256")), rule="research"),
        Call("chat, EdDSA token", ("", 200, ""), lambda c: _chat(c, t("EdDSA")), rule="research"),
        Call("chat, streamed answer", ("", 200, ""), lambda c: _streamed(c, t()), rule="research"),
        Call("embeddings", ("", 200, ""), lambda c: c.sdk(lambda: len(c.openai(t()).embeddings.create(
            model="text-embedding-3-small", input=c.prompt()).data[0].embedding)), rule="research"),
        Call("responses", ("", 200, ""), lambda c: c.sdk(lambda: c.openai(t()).responses.create(
            model="gpt-4o", input=c.prompt()).output_text), rule="research"),
        Call("completions (legacy API)", ("", 200, ""), lambda c: c.sdk(lambda: c.openai(t()).completions.create(
            model="gpt-4o", prompt=c.prompt()).choices[0].text), rule="research"),
        Call("list of models", ("", 200, ""), lambda c: c.sdk(lambda: len(list(c.openai(t()).models.list()))), rule="list-models"),
        Call("model by pattern llama-3*", ("", 200, ""), lambda c: _chat(c, t(), "llama-3.1-8b"), rule="research"),
        Call("an intern on the small model", ("", 200, ""), lambda c: _chat(c, t(sub="ivy", roles=["intern"]), "gpt-4o-mini"),
             rule="interns-small", subject="ivy"),
        Call("client claims x-postern-subject: admin", ("", 200, ""), lambda c: c.sdk(lambda: c.openai(t()).chat.completions.create(
            model="gpt-4o", messages=c.messages(), extra_headers={"x-postern-subject": "admin", "x_postern_tenant": "root"}).model),
             rule="research"),
        Call("open route needs no token", ("", 200, ""), lambda c: c.raw("GET", "/healthz"), subject=None),
    ]


def refused_caller(issuer):
    """Nobody is let in who has not proven who he is."""
    def row(shows, code, token):
        return Call(shows, (*UNAUTHENTICATED, code), lambda c: _chat(c, token()), "refuse", upstream=False, subject=None)

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
        Call("no token", (*UNAUTHENTICATED, "credential_missing"), lambda c: _chat(
            c, "unused", extra_headers={"Authorization": openai.Omit()}), "refuse", upstream=False, subject=None),
        Call("a token and an API key", ("", 401, "credential_repeated"), lambda c: c.post(
            t(), _json(c), more=[("x-api-key", "sk-1234567890abcdef")]), "refuse", upstream=False, subject=None),
        Call("two tokens", ("", 401, "credential_repeated"), lambda c: c.post(
            t(), _json(c), more=[("authorization", f"Bearer {t(sub='bob')}")]), "refuse", upstream=False, subject=None),
    ]


def refused_call(issuer):
    """A known caller gets what the rules give, and no more."""
    t = issuer.token
    intern = {"sub": "ivy", "roles": ["intern"]}
    return [
        Call("model outside every rule", (*FORBIDDEN, "not_permitted"), lambda c: _chat(c, t(), "claude-sonnet"), "refuse", upstream=False),
        Call("intern on the large model", (*FORBIDDEN, "not_permitted"), lambda c: _chat(c, t(**intern)), "refuse",
             upstream=False, subject="ivy"),
        Call("role that no rule names", (*FORBIDDEN, "not_permitted"), lambda c: _chat(c, t(roles=["visitor"])), "refuse", upstream=False),
        Call("scope missing in the token", (*FORBIDDEN, "scope_missing"), lambda c: _chat(c, t(scope="model:*:embeddings")),
             "refuse", upstream=False, rule="research"),
        Call("deny wins over allow (gpt-3*)", (*FORBIDDEN, "denied"), lambda c: _chat(c, t(), "gpt-3.5-turbo"), "refuse",
             upstream=False, rule="no-legacy"),
        Call("operation unknown to the route", ("NotFoundError", 404, "operation_unknown"), lambda c: c.sdk(
            lambda: c.openai(t()).moderations.create(input=c.prompt())), "refuse", upstream=False, subject=None),
        Call("path outside every route", ("", 404, "route_unknown"), lambda c: c.raw("GET", "/admin"), "refuse", upstream=False, subject=None),
        Call("GET where only POST is", ("", 405, "method_not_allowed"), lambda c: c.raw(
            "GET", "/v1/chat/completions", headers=[("authorization", f"Bearer {t()}")]), "refuse", upstream=False, subject=None),
    ]


def refused_body(issuer):
    """A body that two readers could read differently is refused before upstream sees a byte."""
    def row(shows, status, code, body, **more):
        return Call(shows, ("", status, code), lambda c: c.post(issuer.token(), body(c), **more), "refuse", upstream=False)

    return [
        row('"model" twice', 400, "body_duplicate_key", lambda c: _json(c)[:-1] + ', "model": "gpt-3.5-turbo"}'),
        row('"Model" beside "model"', 400, "body_lookalike_key", lambda c: _json(c, Model="gpt-3.5-turbo")),
        row("not JSON", 400, "body_not_json", lambda c: "model=gpt-4o&prompt=" + c.prompt()),
        row("no model", 400, "model_missing", lambda c: json.dumps({"messages": c.messages()})),
        Call("model is a number", ("BadRequestError", 400, "model_invalid"), lambda c: _chat(c, issuer.token(), 4), "refuse", upstream=False),
        Call("body over the limit of 64 KiB", ("APIStatusError", 413, "body_too_large"), lambda c: c.sdk(
            lambda: c.openai(issuer.token()).embeddings.create(model="text-embedding-3-small", input=c.prompt() + "x" * 100_000)),
             "refuse", upstream=False),
        row("JSON sent as text/plain", 415, "content_type_unsupported", _json, content_type="text/plain"),
    ]


def left(issuer):
    """Whoever leaves in the middle still leaves a record."""
    return [
        Call("client leaves while sending", ("", None, ""), lambda c: c.leave_while_sending(issuer.token()), "none", upstream=False),
        Call("client leaves while reading", ("", 200, ""), lambda c: c.leave_while_reading(issuer.token()), rule="research"),
    ]


def all_calls(issuer):
    return [*allowed(issuer), *refused_caller(issuer), *refused_call(issuer), *refused_body(issuer), *left(issuer)]
