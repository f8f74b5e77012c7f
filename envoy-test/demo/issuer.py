"""The issuer of a run: fresh keys, real tokens, and the public key set that goes into the policy.

Decided here: what an honest token of this issuer says, and how the dishonest ones of the demo differ from it.
The private keys stay in this process.
"""

import base64
import hmac
import json
import time
from pathlib import Path

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://idp.example.com"
AUDIENCE = "inference"


def _part(data):
    """Bytes as base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


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

    def policy(self):
        """The policy of policy.yaml with these keys in it, as a dict."""
        policy = yaml.safe_load((Path(__file__).resolve().parent / "policy.yaml").read_text())
        policy["issuers"][0]["jwks"]["inline"]["keys"] = self.jwks()
        return policy

    def token(self, alg="RS256", *, kid=None, seconds=300, drop=(), **claims):
        """A signed token, good for `seconds`; `claims` override the honest ones, `drop` leaves some out."""
        own_kid, key, _ = self._keys[alg]
        return self._kept(jwt.encode(self._claims(seconds, drop, claims), key, algorithm=alg, headers={"kid": kid or own_kid}))

    def unsigned(self):
        """A token that says `alg: none` and has no signature (RFC 7519 section 6)."""
        return self._kept(jwt.encode(self._claims(300, (), {}), None, algorithm="none", headers={"kid": "demo-rsa"}))

    def keyed_with_public_key(self):
        """A token that says HS256 and is signed with the RSA public key's text as if that were a shared secret."""
        public = self._keys["RS256"][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        header = {"alg": "HS256", "typ": "JWT", "kid": "demo-rsa"}
        signed = ".".join(_part(json.dumps(text).encode()) for text in (header, self._claims(300, (), {})))
        return self._kept(f"{signed}.{_part(hmac.digest(public, signed.encode(), 'sha256'))}")

    def tampered(self):
        """An honest token in which somebody made himself another subject, the signature left as it was."""
        head, payload, signature = self.token().split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        claims["sub"] = "mallory"
        return self._kept(f"{head}.{_part(json.dumps(claims).encode())}.{signature}")

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
