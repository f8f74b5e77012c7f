"""The issuer of a run: fresh keys, real tokens, and the public key set that goes into the policy.

Decided here: what an honest token of this issuer says, and how the dishonest ones of the demo differ from it.
The private keys stay in this process.
"""

import base64
import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://idp.example.com"
AUDIENCE = "inference"


class Issuer:
    """Keys for RS256, ES256 and EdDSA, made for this run."""

    def __init__(self):
        self._keys = {
            "RS256": ("demo-rsa", rsa.generate_private_key(public_exponent=65537, key_size=2048), RSAAlgorithm),
            "ES256": ("demo-ec", ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
            "EdDSA": ("demo-ed", ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
        }
        self.minted = []  # every token of the run, for the search in the logs at its end

    def jwks(self):
        """The public keys as the list that stands under `jwks.inline.keys`."""
        keys = []
        for alg, (kid, key, kind) in self._keys.items():
            members = kind.to_jwk(key.public_key(), as_dict=True)
            members.pop("key_ops", None)
            keys.append({"kid": kid, "use": "sig", "alg": alg, **members})
        return keys

    def token(self, alg="RS256", *, kid=None, seconds=300, drop=(), **claims):
        """A signed token, good for `seconds`; `claims` override the honest ones, `drop` leaves some out."""
        own_kid, key, _ = self._keys[alg]
        return self._kept(jwt.encode(self._claims(seconds, drop, claims), key, algorithm=alg, headers={"kid": kid or own_kid}))

    def unsigned(self):
        """A token that says `alg: none`."""
        return self._kept(jwt.encode(self._claims(300, (), {}), None, algorithm="none", headers={"kid": "demo-rsa"}))

    def tampered(self):
        """An honest token in which somebody made himself another subject, the signature left as it was."""
        head, payload, signature = self.token().split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        claims["sub"] = "mallory"
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        return self._kept(f"{head}.{forged}.{signature}")

    def _claims(self, seconds, drop, claims):
        now = int(time.time())
        whole = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "org_id": "acme", "roles": ["researcher"],
            "scope": "model:*:chat model:*:completions model:*:embeddings model:*:responses",
            "iat": now, "exp": now + seconds, **claims,
        }
        return {name: value for name, value in whole.items() if name not in drop}

    def _kept(self, token):
        self.minted.append(token)
        return token
