"""The contenders of the bench: the filters that each puts into an Envoy that is otherwise the same.

`bare` only routes. `native_chain` is what one would build from Envoy's own filters: a token check (with its cache), role-based
access on the token's claims, and a local rate limit (with room for everything). `jwt_authn` is Envoy's token check alone, with
its cache or without. `postern` is our module, head-hold `flag`. A name with `_open` or `_api_key` is the same filter on a route
where it verifies no token: what the filter costs anyway.
Each row also says what that contender checks, because they do not check the same: native filters do not read the body.
"""

import json
from dataclasses import dataclass
from typing import Callable

import gateway
from issuer import AUDIENCE, ISSUER


@dataclass(frozen=True)
class Contender:
    """One column of the figures. `unverified` names the contender that is the same without verification."""

    name: str
    checks: str
    refuses: bool      # whether a request without a credential, or with a bad one, must be refused
    unverified: str = ""


def jwt_authn(run, **provider):
    """Envoy's token check before everything under /v1/."""
    jwt = {
        "@type": gateway.HTTP + "jwt_authn.v3.JwtAuthentication",
        "providers": {"corp": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "forward": False,
            "local_jwks": {"inline_string": json.dumps({"keys": run.issuer.jwks()})}, **provider,
        }},
        "rules": [{"match": {"prefix": "/v1/"}, "requires": {"provider_name": "corp"}}],
    }
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": jwt}


CACHE = {"jwt_cache_config": {"jwt_cache_size": 4096, "jwt_max_token_size": 8192}}


def native_chain(run):
    researcher = {"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": [{"key": "claims"}, {"key": "roles"}],
                               "value": {"list_match": {"one_of": {"string_match": {"exact": "researcher"}}}}}}
    rbac = {
        "@type": gateway.HTTP + "rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {"research": {
            "permissions": [{"url_path": {"path": {"exact": "/v1/chat/completions"}}}], "principals": [researcher]}}},
    }
    whole = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    limit = {
        "@type": gateway.HTTP + "local_ratelimit.v3.LocalRateLimit", "stat_prefix": "bench",
        "token_bucket": {"max_tokens": 10_000_000, "tokens_per_fill": 10_000_000, "fill_interval": "1s"},
        "filter_enabled": whole, "filter_enforced": whole,
    }
    return [jwt_authn(run, payload_in_metadata="claims", **CACHE),
            {"name": "envoy.filters.http.rbac", "typed_config": rbac},
            {"name": "envoy.filters.http.local_ratelimit", "typed_config": limit}]


def postern(run):
    return [gateway.postern(run.module, run.policy, environment={"POD_NAME": "bench"})]


# The Envoys, by name: what stands before the router in each.
GATEWAYS: dict[str, Callable] = {
    "bare": lambda run: [],
    "native_chain": native_chain,
    "jwt_authn": lambda run: [jwt_authn(run)],
    "jwt_authn-with-cache": lambda run: [jwt_authn(run, **CACHE)],
    "postern": postern,
}

BARE = Contender("bare", "nothing: router only", False)
