"""What other people's software signs in the demo: tokens and proofs by the npm packages `jose` and `dpop`, under node.

Why another language: what our verifier takes must come from libraries that know nothing of it.
"""

import json
from pathlib import Path

from children import Failed

HERE = Path(__file__).resolve().parent


class Wallet:
    """One node process. Clients are told apart by a name; each has a key of its own, which never leaves it."""

    def __init__(self, children, tools, log):
        node, modules = tools / "node" / "bin" / "node", tools / "npm" / "node_modules"
        for needed in (node, modules / "jose", modules / "dpop"):
            if not needed.exists():
                raise Failed(f"{needed} is missing: envoy-test/setup/wasm-opt installs it")
        self._child = children.start("wallet", [node, HERE / "wallet.mjs", modules], log=log, first_line=True, keep_stdin=True)

    def thumbprint(self, client):
        """The thumbprint of the client's key, as a token bound to it says (`jkt`, RFC 9449 section 6.1)."""
        return self._ask("thumbprint", client=client)

    def proof(self, client, method, url, token, nonce=None):
        """A new proof that the client holds its key, for this request and token (RFC 9449 section 4.2)."""
        return self._ask("proof", client=client, method=method, url=url, token=token, nonce=nonce)

    def sign(self, jwk, header, claims):
        """A token signed by the private key `jwk`."""
        return self._ask("sign", jwk=jwk, header=header, claims=claims)

    def _ask(self, ask, **question):
        return json.loads(self._child.ask(json.dumps({"ask": ask, **question})))
