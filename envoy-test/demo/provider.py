"""The OpenID provider of a run: discovery document, keys and list of revoked tokens, over TLS on a loopback port.

Decided here: what it publishes and when it can be reached. The issuer (issuer.py) has the keys; what stands in the list is
what the demo revokes. It runs in threads of this process.
"""

import json
import ssl
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "idp.example.com"
DISCOVERY, KEYS, REVOKED = "/.well-known/openid-configuration", "/jwks.json", "/revoked.json"


class Provider:
    """`asked` counts the requests by path, `asked_at` has the time of the last (time.monotonic)."""

    def __init__(self, issuer, pair):
        self._issuer, self._revoked, self._server = issuer, [], None
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(pair.certificate, pair.key)
        self.port, self.asked, self.asked_at = 0, Counter(), {}

    def document(self, path):
        """What it publishes under this path; None where there is nothing."""
        if path == DISCOVERY:  # OpenID Connect Discovery 1.0 section 3
            return {"issuer": self._issuer.name, "jwks_uri": f"https://{HOST}{KEYS}", "response_types_supported": ["code"],
                    "authorization_endpoint": f"https://{HOST}/authorize", "token_endpoint": f"https://{HOST}/token",
                    "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"]}
        return {KEYS: {"keys": self._issuer.jwks()}, REVOKED: {"jti": self._revoked}}.get(path)

    def revoke(self, jti):
        """Takes the token with this `jti` back, and gives the moment (time.monotonic)."""
        self._revoked = [*self._revoked, jti]
        return time.monotonic()

    def start(self):
        """Serves, on the port it had before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        # A handshake is the business of its own thread: one that is never finished holds up nobody.
        self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Is gone: connections are refused from now on. Safe to call twice."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _handler(provider):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.asked[self.path] += 1
                provider.asked_at[self.path] = time.monotonic()
                document = provider.document(self.path)
                text = json.dumps(document).encode()
                self.send_response(404 if document is None else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        return Handler
