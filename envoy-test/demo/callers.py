"""The calls that show who calls: one row for each way to prove it, and for each way in which that fails.

Tokens and proofs come from libraries that are not ours: PyJWT, jwcrypto, and under node `jose` and `dpop`. A group is a
story that is told from top to bottom: later rows use again what earlier ones have used.
"""

import functools
import time
from dataclasses import dataclass

import openai
from calls import OK, Call, forbidden, refused
from evidence import Secrets
from issuer import Issuer
from provider import DISCOVERY, KEYS, REVOKED, Provider
from wallet import Wallet

NOTEBOOK = "spiffe://example.org/ns/research/sa/notebook"
BATCH = "spiffe://example.org/ns/batch/sa/nightly"
COOL_DOWN_SECONDS = 10  # no key that is unknown makes the gateway ask its issuer sooner after the last time
REFRESH_SECONDS = 10  # `revocation.remote.refresh` of the policy


@dataclass(frozen=True)
class World:
    """Everybody beside the gateway: the issuers, the provider of the first, clients with keys, workloads with certificates."""

    secrets: Secrets
    issuer: Issuer
    partner: Issuer
    provider: Provider
    wallet: Wallet
    workloads: dict
    keys: dict

    def ask(self, c, token, client, *, model="gpt-4o", proof=None, url=None, nonce=None):
        """A chat with a token that is bound to the client's key, and with a proof, by default a new and good one."""
        return c.chat("unused", model, extra_headers={
            "Authorization": f"DPoP {token}", "DPoP": proof or self.proof(c, token, client, url=url, nonce=nonce)})

    def proof(self, c, token, client, *, url=None, nonce=None):
        url = url or c.url("/v1/chat/completions")
        return self.secrets.keep("a proof", self.wallet.proof(client, "POST", url, token, nonce))


def libraries(w):
    """Every algorithm of the issuer, its keys found by discovery; the signatures are by libraries that know nothing of us."""
    def row(alg, by):
        return Call(f"{alg} token by {by}", OK, lambda c: c.chat(w.issuer.token(alg, by=by)), rule="research")

    def cookie(c):
        session = w.secrets.keep("a cookie", w.issuer.token(by="jose"))
        body = '{"model": "gpt-4o", "messages": [{"role": "user", "content": "%s"}]}' % c.prompt()
        return c.raw("POST", "/v1/chat/completions", body=body,
                     headers=[("cookie", f"theme=dark; session={session}"), ("content-type", "application/json")])

    made = [("RS256", "PyJWT"), ("ES256", "PyJWT"), ("EdDSA", "PyJWT"), ("PS256", "jwcrypto"), ("ES384", "jwcrypto"),
            ("RS256", "jose"), ("PS256", "jose"), ("ES256", "jose"), ("EdDSA", "jose")]
    return [*(row(*one) for one in made), Call("token in the cookie `session`", OK, cookie, rule="research")]


def api_keys(w):
    """Callers with an API key, which the openai client sends as `Authorization: Bearer`."""
    def chat(key, model="gpt-4o-mini"):
        return lambda c: c.chat(key(), model, mount="/keys")

    bot = {"subject": "ci-bot", "credential": "apiKey"}
    return [
        Call("API key", OK, chat(lambda: w.keys["ci-bot"]), rule="ci-small", **bot),
        refused("API key that nobody was given", "api_key_unknown", chat(lambda: w.keys["nobody"])),
        refused("API key past its day", "api_key_expired", chat(lambda: w.keys["old-bot"])),
        refused("token where a key is asked for", "api_key_unknown", chat(w.issuer.token)),
        forbidden("API key on the large model", "not_permitted", chat(lambda: w.keys["ci-bot"], "gpt-4o"), **bot),
    ]


def step_up(w):
    """A model for which signing in with a password long ago is not enough (RFC 9470)."""
    strong = {"acr": "urn:example:mfa", "amr": ["pwd", "mfa"]}
    wanted = ('error="insufficient_user_authentication"', 'acr_values="urn:example:mfa"', 'max_age="900"')

    def row(shows, claims):
        return refused(shows, "step_up_required", lambda c: c.chat(w.issuer.token(**claims()), "o3-mini"), subject="alice",
                       rule="reasoning", challenge=wanted)

    return [
        row("signed in, nobody says how", dict),
        row("signed in with two factors, an hour ago", lambda: {**strong, "auth_time": int(time.time()) - 3600}),
        row("signed in just now, with a password", lambda: {"acr": "urn:example:pwd", "amr": ["pwd"], "auth_time": int(time.time())}),
        Call("signed in just now, with two factors", OK, lambda c: c.chat(
            w.issuer.token(**strong, auth_time=int(time.time())), "o3-mini"), rule="reasoning"),
    ]


def segments(w):
    """Micro-segmentation: this workload with such a token may use this model, and nobody anything else."""
    t = w.issuer.token

    def chat(workload, model="llama-3.1-8b", **claims):
        return lambda c: c.chat(t(**claims), model, mount="/mesh", workload=workload)

    def embed(workload):
        return lambda c: c.sdk(lambda: len(c.openai("unused", mount="/jobs", workload=workload).embeddings.create(
            model="text-embedding-3-small", input=c.prompt(), extra_headers={"Authorization": openai.Omit()}).data[0].embedding))

    unproved = {"raised": "PermissionDeniedError", "status": 403}
    return [
        Call("the notebook, a researcher, the one model", OK, chat("notebook"), rule="notebook-llama", peer=NOTEBOOK),
        forbidden("another model", "not_permitted", chat("notebook", "gpt-4o"), peer=NOTEBOOK),
        forbidden("another workload", "not_permitted", chat("batch"), peer=BATCH),
        forbidden("somebody else's token", "not_permitted", chat("notebook", sub="ivy", roles=["intern"]), subject="ivy", peer=NOTEBOOK),
        refused("no certificate", "peer_missing", lambda c: c.chat(t(), "llama-3.1-8b", mount="/mesh"), **unproved),
        refused("forged certificate: the same name, another authority", "peer_not_validated", chat("forged"), **unproved),
        refused("workload of another trust domain", "peer_trust_domain", chat("stranger"), **unproved),
        Call("a workload alone, without a token", OK, embed("batch"), rule="batch-embeddings", subject=None, credential="peer", peer=BATCH),
        forbidden("another workload alone", "not_permitted", embed("notebook"), subject=None, credential="peer", peer=NOTEBOOK),
    ]


def bound_to_certificate(w):
    """A token that is bound to a certificate is worth nothing over another connection (RFC 8705)."""
    token = functools.cache(lambda: w.issuer.token("ES256", by="jose", cnf={"x5t#S256": w.workloads["notebook"].thumbprint}))
    return [
        Call("token bound to the notebook's certificate", OK, lambda c: c.chat(token(), workload="notebook"), rule="research", peer=NOTEBOOK),
        refused("the same token over another certificate", "token_binding", lambda c: c.chat(token(), workload="batch"), peer=BATCH),
        refused("the same token without a certificate", "token_binding", lambda c: c.chat(token())),
    ]


def bound_to_key(w):
    """A token that is bound to a key is worth nothing without a new proof of it for each request (RFC 9449)."""
    def bound(issuer, alg, client):
        return functools.cache(lambda: issuer.token(alg, by="jwcrypto", cnf={"jkt": w.wallet.thumbprint(client)}))

    token, partner = bound(w.issuer, "PS256", "laptop"), bound(w.partner, "ES256", "tablet")
    proof = functools.cache(lambda c: w.proof(c, token(), "laptop"))
    bad, small = ('error="invalid_dpop_proof"',), {"model": "gpt-4o-mini"}
    return [
        Call("DPoP: token and proof", OK, lambda c: w.ask(c, token(), "laptop", proof=proof(c)), rule="research"),
        refused("the same proof again", "dpop_replayed", lambda c: w.ask(c, token(), "laptop", proof=proof(c)), challenge=bad),
        refused("without a proof", "dpop_invalid", lambda c: c.chat(
            "unused", extra_headers={"Authorization": f"DPoP {token()}"}), challenge=bad),
        refused("as if it were not bound", "token_binding", lambda c: c.chat(token())),
        refused("proof of another key", "dpop_invalid", lambda c: w.ask(c, token(), "thief"), challenge=bad),
        refused("proof for another address", "dpop_invalid", lambda c: w.ask(
            c, token(), "laptop", url=c.url("/v1/embeddings")), challenge=bad),
        refused("partner: a token that is not bound", "token_binding", lambda c: c.chat(w.partner.token("ES256"), **small)),
        refused("partner: proof without the gateway's nonce", "dpop_nonce", lambda c: w.ask(
            c, partner(), "tablet", **small), challenge=('error="use_dpop_nonce"',)),
        Call("partner: proof with the nonce of that answer", OK, lambda c: w.ask(
            c, partner(), "tablet", nonce=c.nonce, **small), rule="partner-small"),
    ]


def _wait(until, seconds):
    """Waits until it is so, or the time (seconds) is over."""
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(0.05)


def _failures(c):
    return c.envoy.counters().get("fetch_failures", 0)


def provider_lives(w):
    """Keys change and tokens are taken back while the gateway runs; the provider goes away and comes again."""
    t = w.issuer.token
    stolen, old = functools.cache(lambda: t("EdDSA", jti="stolen")), functools.cache(lambda: t("ES256"))

    def rotated(c):
        time.sleep(max(0.0, w.provider.asked_at[DISCOVERY] + COOL_DOWN_SECONDS + 0.2 - time.monotonic()))
        old()
        w.issuer.rotate("ES256")
        before = w.provider.asked[KEYS]
        seen = c.chat(t("ES256"))
        if (fetches := w.provider.asked[KEYS] - before) != 1:
            seen.faults.append(f"the keys were fetched {fetches} times for the new one, not once")
        return seen

    def down(c):
        w.provider.stop()
        failed = _failures(c)
        _wait(lambda: _failures(c) > failed, REFRESH_SECONDS + 3)
        seen = c.chat(t("ES256"))
        if _failures(c) == failed:
            seen.faults.append("the gateway has not noticed that its provider is gone")
        return seen

    def revoked(c):
        moment = w.provider.revoke("stolen")
        w.provider.start()
        _wait(lambda: w.provider.asked_at[REVOKED] > moment, REFRESH_SECONDS + 3)
        took = w.provider.asked_at[REVOKED] - moment
        time.sleep(0.7)  # each worker looks four times a second
        seen = c.chat(stolen())
        if not 0 < took <= REFRESH_SECONDS + 1:
            seen.faults.append("the list was not fetched within its refresh")
        return seen

    return [
        Call("a token that will be taken back", OK, lambda c: c.chat(stolen()), rule="research"),
        Call("new key at the provider: fetched once, for this token", OK, rotated, rule="research"),
        refused("token by the key that it replaced", "token_key", lambda c: c.chat(old())),
        Call("provider stopped: a new token by a known key", OK, down, rule="research"),
        refused("provider stopped: a key that was never seen", "token_key", lambda c: c.chat(t("ES256", kid="demo-new"))),
        refused("provider back: a token is taken back within one refresh", "token_revoked", revoked),
        Call("another token of the same caller", OK, lambda c: c.chat(t("EdDSA")), rule="research"),
    ]


def groups(w):
    """The rows, by what they show."""
    return [
        ("Tokens: every algorithm, by libraries that are not ours", libraries(w)),
        ("API keys", api_keys(w)),
        ("Step-up (RFC 9470)", step_up(w)),
        ("Workloads and micro-segmentation (mTLS, SPIFFE)", segments(w)),
        ("Tokens bound to a certificate (RFC 8705)", bound_to_certificate(w)),
        ("Tokens bound to a key (DPoP, RFC 9449)", bound_to_key(w)),
        ("The provider at run time", provider_lives(w)),
    ]
