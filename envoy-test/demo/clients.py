"""The clients of the demo: the official `openai` client, and what sends the wrong things that it cannot send.

Decided here: how a call is made and what its user sees of it. Not decided here: which calls, and what must come of them.
"""

import json
import socket
import ssl
from dataclasses import dataclass, field

import httpx2
import openai


@dataclass
class Seen:
    """What the client saw. `status` is None when it left before an answer; `faults` is what the call itself found wrong."""

    status: int | None = None
    raised: str = ""
    code: str = ""
    audit_id: str = ""
    answer: str = ""
    www_authenticate: str = ""
    faults: list = field(default_factory=list)


class Clients:
    """The clients of one run. They trust the run's authority and nothing else.

    `workloads`: the certificates (certificates.Pair) by name; a call with `workload=` goes to the listener `mesh` and shows
    that one, any other goes to `ingress`.
    """

    def __init__(self, envoy, ca, workloads):
        self.base, self.mesh = (f"https://localhost:{envoy.ports[name]}" for name in ("ingress", "mesh"))
        self.envoy, self.port, self._ca, self._last = envoy, envoy.port, str(ca), []
        self._http = {None: self._client()} | {name: self._client(pair) for name, pair in workloads.items()}
        self.number, self.nonce = 0, None

    def prompt(self):
        """The prompt of the present call: recognisable, so that a leak is found."""
        return f"PROMPT-{self.number}-confidential"

    def messages(self):
        return [{"role": "user", "content": self.prompt()}]

    def url(self, path, workload=None):
        """The address of a path on the listener to which the workload's calls go."""
        return (self.mesh if workload else self.base) + path

    def openai(self, credential, *, mount="", workload=None):
        """The official client with this token or key as its API key."""
        base = self.url(f"{mount}/v1", workload)
        return openai.OpenAI(base_url=base, api_key=credential, http_client=self._http[workload], max_retries=0)

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

    def chat(self, credential, model="gpt-4o", *, mount="", workload=None, **more):
        """One question to a model, by the official client."""
        client = self.openai(credential, mount=mount, workload=workload)
        return self.sdk(lambda: client.chat.completions.create(model=model, messages=self.messages(), **more).choices[0].message.content)

    def raw(self, method, path, *, body=None, headers=()):
        """One plain request; `headers` is a list of pairs, sent as they stand."""
        self._last.clear()
        response = self._http[None].request(method, self.base + path, content=body, headers=list(headers))
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
            with self._context().wrap_socket(plain, server_hostname="localhost") as secure:
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

    def _context(self, pair=None):
        context = ssl.create_default_context(cafile=self._ca)
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    def _client(self, pair=None):
        return httpx2.Client(verify=self._context(pair), timeout=20, event_hooks={"response": [self._last.append]})

    def _heard(self, seen):
        if self._last:
            answer = self._last[-1]
            seen.status = answer.status_code
            seen.audit_id = answer.headers.get("x-postern-audit-id", "")
            seen.www_authenticate = answer.headers.get("www-authenticate", "")
            self.nonce = answer.headers.get("dpop-nonce", self.nonce)  # RFC 9449 section 8.2: the newest counts
        return seen
