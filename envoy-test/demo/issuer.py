"""The issuers of a run: fresh keys, real tokens, and the public key set that the provider or the policy publishes.

Decided here: what an honest token says, by which library it is signed, and how the dishonest ones of the demo differ from it.
The private keys stay in this process and, for tokens signed by `jose`, in the wallet.
"""

import base64
import hmac
import json
import time

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from evidence import Secrets
from jwcrypto.jwk import JWK
from jwcrypto.jwt import JWT

ISSUER = "https://idp.example.com"
AUDIENCE = "inference"
_MAKERS = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "PS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def _part(data):
    """Bytes as base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _jwk(key, kid, alg, *, private):
    """The key as a JWK (RFC 7517), as jwcrypto writes it."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {**JWK.from_pem(pem).export(private_key=private, as_dict=True), "kid": kid, "use": "sig", "alg": alg}


class Issuer:
    """Keys for these algorithms, made for this run. `wallet` signs where a row asks for `jose`."""

    def __init__(self, name=ISSUER, algorithms=tuple(_MAKERS), *, secrets=None, wallet=None):
        self.name, self._wallet = name, wallet
        self._secrets = Secrets() if secrets is None else secrets
        self._keys, self._generation = {}, 0
        for alg in algorithms:
            self._keys[alg] = (f"demo-{alg.lower()}", _MAKERS[alg]())

    def jwks(self):
        """The public keys, as they stand in a key set."""
        return [_jwk(key, kid, alg, private=False) for alg, (kid, key) in self._keys.items()]

    def rotate(self, alg):
        """A new key takes the place of the old one, which is gone from the set; gives the id of the new one."""
        self._generation += 1
        kid = f"demo-{alg.lower()}-{self._generation}"
        self._keys[alg] = (kid, _MAKERS[alg]())
        return kid

    def policy(self, path):
        """The policy of a file, with these keys as the inline ones of its first issuer, as a dict."""
        policy = yaml.safe_load(path.read_text())
        policy["issuers"][0]["jwks"]["inline"]["keys"] = self.jwks()
        return policy

    def token(self, alg="RS256", *, by="PyJWT", kid=None, seconds=300, drop=(), **claims):
        """A signed token, good for `seconds`; `claims` override the honest ones, `drop` leaves some out.

        `by`: the library that signs it, PyJWT, jwcrypto or jose.
        """
        own_kid, key = self._keys[alg]
        header, said = {"alg": alg, "typ": "JWT", "kid": kid or own_kid}, self._claims(seconds, drop, claims)
        if by == "jose":
            return self._kept(self._wallet.sign(_jwk(key, own_kid, alg, private=True), header, said))
        if by == "jwcrypto":
            token = JWT(header=header, claims=said)
            token.make_signed_token(JWK(**_jwk(key, own_kid, alg, private=True)))
            return self._kept(token.serialize())
        return self._kept(jwt.encode(said, key, algorithm=alg, headers=header))

    def unsigned(self):
        """A token that says `alg: none` and has no signature (RFC 7519 section 6)."""
        return self._kept(jwt.encode(self._claims(300, (), {}), None, algorithm="none", headers={"kid": self._keys["RS256"][0]}))

    def keyed_with_public_key(self):
        """A token that says HS256 and is signed with the RSA public key's text as if that were a shared secret."""
        kid, key = self._keys["RS256"]
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        header = {"alg": "HS256", "typ": "JWT", "kid": kid}
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
            "iss": self.name, "aud": AUDIENCE, "sub": "alice", "org_id": "acme", "roles": ["researcher"],
            "scope": "model:*:chat model:*:completions model:*:embeddings model:*:responses",
            "iat": now, "exp": now + seconds, **claims,
        }
        return {name: value for name, value in whole.items() if name not in drop}

    def _kept(self, token):
        return self._secrets.keep("a token", token)
