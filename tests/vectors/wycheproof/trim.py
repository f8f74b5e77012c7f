#!/usr/bin/env python3
"""Takes from Project Wycheproof the test vectors that JWA can ask for, trimmed to what the tests read.

Usage: trim.py FOLDER     (FOLDER: testvectors_v1 of a checkout of https://github.com/C2SP/wycheproof)

Files in WHOLE are copied byte for byte. Of those in TRIMMED each group keeps its key, as a JWK, and the JWA algorithm that fits its hash;
each test keeps its id, comment, message, signature and result, one test per line. Nothing is left out and nothing is changed: a
group whose parameters JWA does not have (another salt, a truncated tag) is kept, and the tests say why it is refused.
Prints the table of README.md: name, SHA-256 of the original, tests.
"""

import base64
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
WHOLE = ["json_web_signature_test.json", "json_web_key_test.json"]
TRIMMED = {
    "ecdsa_secp256r1_sha256_p1363_test.json": "ES256",
    "ecdsa_secp384r1_sha384_p1363_test.json": "ES384",
    "ecdsa_secp521r1_sha512_p1363_test.json": "ES512",
    "ed25519_test.json": "EdDSA",
    "hmac_sha256_test.json": "HS256",
    "hmac_sha384_test.json": "HS384",
    "hmac_sha512_test.json": "HS512",
    "rsa_pss_2048_sha256_mgf1_0_test.json": "PS256",
    "rsa_pss_2048_sha256_mgf1_32_test.json": "PS256",
    "rsa_pss_2048_sha256_mgf1sha1_20_test.json": "PS256",
    "rsa_pss_2048_sha384_mgf1_48_test.json": "PS384",
    "rsa_pss_3072_sha256_mgf1_32_test.json": "PS256",
    "rsa_pss_4096_sha512_mgf1_32_test.json": "PS512",
    "rsa_pss_4096_sha512_mgf1_64_test.json": "PS512",
    "rsa_signature_2048_sha256_test.json": "RS256",
    "rsa_signature_2048_sha384_test.json": "RS384",
    "rsa_signature_2048_sha512_test.json": "RS512",
    "rsa_signature_3072_sha384_test.json": "RS384",
    "rsa_signature_4096_sha512_test.json": "RS512",
    "rsa_signature_8192_sha256_test.json": "RS256",
}


def base64url(number):
    return base64.urlsafe_b64encode(number).rstrip(b"=").decode()


def jwk(group, test):
    """The key of a group, from its numbers; that of a MAC stands in the test."""
    key = group.get("publicKey", {})
    if "key" in test:
        return {"kty": "oct", "k": base64url(bytes.fromhex(test["key"]))}
    if "modulus" in key:
        n, e = (bytes.fromhex(key[name]).lstrip(b"\0") for name in ("modulus", "publicExponent"))
        return {"kty": "RSA", "n": base64url(n), "e": base64url(e)}
    if "pk" in key:
        return {"kty": "OKP", "crv": "Ed25519", "x": base64url(bytes.fromhex(key["pk"]))}
    point = bytes.fromhex(key["uncompressed"])[1:]
    size = len(point) // 2
    curve = {32: "P-256", 48: "P-384", 66: "P-521"}[size]
    return {"kty": "EC", "crv": curve, "x": base64url(point[:size]), "y": base64url(point[size:])}


def trim(vectors, alg):
    lines, last = [], None
    for group in vectors["testGroups"]:
        for test in group["tests"]:
            key = jwk(group, test)
            if key != last:
                lines.append({"alg": alg, "key": key})
                last = key
            lines.append([test["tcId"], test["comment"], test["msg"], test.get("sig", test.get("tag")), test["result"]])
    return "[\n" + ",\n".join(json.dumps(line, separators=(",", ":")) for line in lines) + "\n]\n"


def main():
    source = pathlib.Path(sys.argv[1])
    for name in [*WHOLE, *TRIMMED]:
        original = (source / name).read_bytes()
        vectors = json.loads(original)
        if name in TRIMMED:
            (HERE / name).write_text(trim(vectors, TRIMMED[name]))
        else:
            (HERE / name).write_bytes(original)
        print(f"| `{name}` | {vectors['numberOfTests']} | `{hashlib.sha256(original).hexdigest()}` |")


main()
