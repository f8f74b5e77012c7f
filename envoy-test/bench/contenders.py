"""The contenders of the bench: the filters that each puts into an Envoy that is otherwise the same.

`bare` only routes. `native_chain` is what one would build from Envoy's own filters: a token check (with its cache), role-based
access on the token's claims, and a local rate limit (with room for everything). `postern` is our module, head-hold `flag`.
Each row also says what that contender checks, because they do not check the same: native filters do not read the body.
"""

import json
from dataclasses import dataclass
from typing import Callable

import gateway
from issuer import AUDIENCE, ISSUER


@dataclass
class Contender:
    name: str
    checks: str
    filters: Callable  # (run) -> list of filters in front of the router
    refuses: bool      # whether a request without a token must be refused


def native_chain(run):
    jwt = {
        "@type": gateway.HTTP + "jwt_authn.v3.JwtAuthentication",
        "providers": {"corp": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "forward": False, "payload_in_metadata": "claims",
            "jwt_cache_config": {"jwt_cache_size": 4096, "jwt_max_token_size": 8192},
            "local_jwks": {"inline_string": json.dumps({"keys": run.issuer.jwks()})},
        }},
        "rules": [{"match": {"prefix": "/v1/"}, "requires": {"provider_name": "corp"}}],
    }
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
    return [{"name": "envoy.filters.http.jwt_authn", "typed_config": jwt},
            {"name": "envoy.filters.http.rbac", "typed_config": rbac},
            {"name": "envoy.filters.http.local_ratelimit", "typed_config": limit}]


CONTENDERS = [
    Contender("bare", "nothing: router only", lambda run: [], False),
    Contender("native_chain", "token (cached), role, rate; not the body", native_chain, True),
    Contender("postern", "token, role, scope, model in the body, body's JSON and SHA-256; one audit record",
              lambda run: [gateway.postern(run.module, run.policy, environment={"POD_NAME": "bench"})], True),
]
