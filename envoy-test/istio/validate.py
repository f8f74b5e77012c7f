"""Checks istio/wasmplugin.yaml against the schema that a Kubernetes API server would use for it.

Decided here: is the resource one that the API server takes with strict field validation (unknown fields are errors)?
Every CEL rule of the schema has a counterpart in RULES; a rule without one is a failure, never skipped.
Not decided here: whether the policy in `pluginConfig` is a good one. The module says that when it loads it.

A check that accepts everything proves nothing, so the resource is also broken in known ways and each must be refused.
Needs the Python packages pyyaml and jsonschema. The last line has the form of cargo's `test result:` line.
"""

import argparse
import copy
import hashlib
import sys
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT / "istio" / "schema" / "wasmplugin.crd.yaml"
CRD_SHA256 = "3a8dbf828ddaf3c09215c7075cb22f163ae91bab02b4188ab7953573b4b13ee2"

# The schema's CEL rules by their message, as Python. The message is Istio's own text.
SCHEMES = ("http", "https", "file", "oci")
RULES = {
    "wildcard not allowed in label value match": lambda v: "*" not in v,
    "wildcard not allowed in label key match": lambda v: all("*" not in key for key in v),
    "key must not be empty": lambda v: all(v),
    "cross namespace referencing is not currently supported": lambda v: v == "",
    "url must have schema one of [http, https, file, oci]": lambda v: "://" not in v or v.split("://")[0] in SCHEMES,
    "value may only be set when valueFrom is INLINE": lambda v: v.get("valueFrom") != "HOST" or "value" not in v,
    "only one of targetRefs or selector can be set": lambda v: sum(k in v for k in ("selector", "targetRef", "targetRefs")) <= 1,
}

# Each row: what is broken, why it must be refused, and the change.
BROKEN = [
    ("no url", "there would be nothing to load", lambda r: r["spec"].pop("url")),
    ("url with another scheme", "a CEL rule names the schemes", lambda r: r["spec"].update(url="ftp://example.com/x.wasm")),
    ("misspelt failStrategy", "Istio says FAIL_CLOSE, Envoy says FAIL_CLOSED", lambda r: r["spec"].update(failStrategy="FAIL_CLOSED")),
    ("unknown phase", "the place in the chain would be a guess", lambda r: r["spec"].update(phase="AUTHENTICATION")),
    ("short sha256", "a digest is 64 hex digits", lambda r: r["spec"].update(sha256="abc")),
    ("sha256 with a prefix", "Istio wants bare hex", lambda r: r["spec"].update(sha256="sha256:" + "0" * 64)),
    ("unknown field in spec", "a misspelt field would be dropped in silence", lambda r: r["spec"].update(plugin_config={})),
    ("unknown field in vmConfig", "the same, one level down", lambda r: r["spec"]["vmConfig"].update(envs=[])),
    ("policy as text", "pluginConfig is an object", lambda r: r["spec"].update(pluginConfig="version: 1")),
    ("host variable with a value", "the value would never be used", lambda r: r["spec"]["vmConfig"]["env"][0].update(value="x")),
    ("selector and targetRefs", "which of the two would rule?", lambda r: r["spec"].update(targetRefs=[{"kind": "Gateway", "name": "g"}])),
    ("priority as text", "ordering is a number", lambda r: r["spec"].update(priority="100")),
    ("wildcard in a label", "labels are matched exactly", lambda r: r["spec"]["selector"]["matchLabels"].update(istio="*")),
]


def crd_schema():
    """The schema of the served version, or an error text when the copy is not the pinned one."""
    text = CRD.read_bytes()
    seen = hashlib.sha256(text).hexdigest()
    if seen != CRD_SHA256:
        sys.exit(f"{CRD}: digest {seen}, expected {CRD_SHA256}: see istio/schema/README.md")
    crd = yaml.safe_load(text)
    version = next(v for v in crd["spec"]["versions"] if v["served"])
    api_version = f'{crd["spec"]["group"]}/{version["name"]}'
    return api_version, crd["spec"]["names"]["kind"], version["schema"]["openAPIV3Schema"]


def strict(schema, at_root=True):
    """The same schema with unknown fields refused and `nullable` spelt as JSON Schema does."""
    out = {}
    for key, value in schema.items():
        if key == "properties":
            out[key] = {name: strict(child, False) for name, child in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = strict(value, False)
        else:
            out[key] = value
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in schema and not open_ended:
        out["additionalProperties"] = False
    if at_root:  # the API server's own fields, which a CRD does not list
        out["properties"].update(apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"})
    if schema.get("nullable"):
        out["type"] = [schema["type"], "null"]
    return out


def broken_rules(schema, value, path):
    """Every CEL rule of the schema that the value breaks, as texts; a rule unknown to RULES is a text too."""
    for rule in schema.get("x-kubernetes-validations", []):
        check = RULES.get(rule["message"])
        if check is None:
            yield f'{path}: the rule "{rule["message"]}" has no counterpart in validate.py'
        elif not check(value):
            yield f'{path}: {rule["message"]}'
    if isinstance(value, dict):
        for key, child in value.items():
            below = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if isinstance(below, dict):
                yield from broken_rules(below, child, f"{path}.{key}")
    if isinstance(value, list) and "items" in schema:
        for index, child in enumerate(value):
            yield from broken_rules(schema["items"], child, f"{path}[{index}]")


def faults(resource):
    """Everything that the API server would say against the resource; empty means it takes it."""
    api_version, kind, schema = crd_schema()
    found = []
    for key, wanted in (("apiVersion", api_version), ("kind", kind)):
        if resource.get(key) != wanted:
            found.append(f"{key}: expected {wanted}, seen {resource.get(key)}")
    if not resource.get("metadata", {}).get("name"):
        found.append("metadata.name: missing")
    for error in jsonschema.Draft7Validator(strict(schema)).iter_errors(resource):
        found.append(f"{error.json_path}: {error.message[:200]}")
    found.extend(broken_rules(schema, resource, "$"))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, default=[ROOT / "istio" / "wasmplugin.yaml"])
    passed = failed = 0
    for path in parser.parse_args().files:
        resources = [r for r in yaml.safe_load_all(path.read_text()) if r is not None]
        if not resources:
            failed += 1
            print(f"FAIL {path.name}: holds no resource")
        for resource in resources:
            found = faults(resource)
            print(f'{"ok  " if not found else "FAIL"} {path.name}: taken by the schema')
            for text in found:
                print(f"     {text}")
            passed, failed = passed + (not found), failed + bool(found)
            for what, why, change in BROKEN:
                twin = copy.deepcopy(resource)
                change(twin)
                found = faults(twin)
                print(f'{"ok  " if found else "FAIL"} {path.name}: refused with {what} ({why})')
                passed, failed = passed + bool(found), failed + (not found)
    print(f'test result: {"FAILED" if failed else "ok"}. {passed} passed; {failed} failed; 0 ignored')
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
