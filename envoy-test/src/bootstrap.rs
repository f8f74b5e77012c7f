//! The gateway's configuration, as the JSON that Envoy reads.
//!
//! Decided here: what a deployment of the module looks like in each head-hold mode, and how a test reaches and
//! observes it. Not here: the policy, and how the process is run. Everything listens on loopback, on free ports.
//!
//! A case is told apart by the loopback address that its client binds, never by anything in its request, so
//! what goes through the gateway is what the scenario says and nothing else: the address stands in the access
//! log, and the cluster sends it ahead of each upstream connection (PROXY protocol).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use postern_tests::certificates;
use postern_tests::scenario::{Mode, gateway};
use serde_json::{Map, Value, json};

use crate::provider::Destinations;

/// The name of the plugin in the logs.
pub const PLUGIN: &str = "postern";

/// On the bare gateway a request with this header goes to the cluster that it names.
pub const TO_CLUSTER: &str = "x-to-cluster";

/// Where the HTTP filter's configuration comes from.
#[derive(Debug, Clone)]
pub enum Filter {
    /// No module at all: the bare gateway.
    Absent,
    /// In the listener, the module as a file.
    Inline {
        /// The module.
        module: PathBuf,
        /// The policy as JSON text.
        policy: String,
    },
    /// Through extension config discovery: the named resource in a file that may change while Envoy runs.
    Discovered {
        /// The resource's name; also the filter's.
        resource: String,
        /// A file that holds a `DiscoveryResponse`.
        file: PathBuf,
    },
}

/// One deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// How the gateway holds the head.
    pub mode: Mode,
    /// The module and its policy.
    pub filter: Filter,
    /// How many worker threads serve.
    pub workers: u32,
    /// Whether the gateway takes upgrades: by default it answers them itself, before any filter.
    pub upgrades: bool,
    /// Which TLS sessions the gateway resumes.
    pub resumption: Resumption,
    /// What the gateway does with `x-forwarded-client-cert`.
    pub forwarded_client_cert: ForwardedClientCert,
    /// Where the module's own calls may end; absent: there are no clusters for them.
    pub destinations: Option<Destinations>,
}

/// Which TLS sessions the gateway resumes. A resumed session proves nobody anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resumption {
    /// By tickets that the client keeps.
    pub stateless: bool,
    /// By session identifiers that the gateway keeps (TLS 1.2).
    pub stateful: bool,
}

/// What the gateway does with `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedClientCert {
    /// Takes it away: the gateway's own default.
    #[default]
    Sanitize,
    /// Passes what a client with a certificate sent, and appends that certificate.
    AppendForward,
    /// Passes it as it is, whoever sent it.
    AlwaysForwardOnly,
}

impl ForwardedClientCert {
    fn name(self) -> &'static str {
        match self {
            Self::Sanitize => "SANITIZE",
            Self::AppendForward => "APPEND_FORWARD",
            Self::AlwaysForwardOnly => "ALWAYS_FORWARD_ONLY",
        }
    }
}

/// Where the upstream listens.
#[derive(Debug, Clone, Copy)]
pub struct Upstreams {
    /// HTTP/1.1.
    pub h1: SocketAddr,
    /// HTTP/2, by prior knowledge.
    pub h2: SocketAddr,
}

impl Deployment {
    /// One worker, no upgrades, no session resumed, no forwarded certificate, nowhere to call.
    #[must_use]
    pub fn new(mode: Mode, filter: Filter) -> Self {
        Self {
            mode,
            filter,
            workers: 1,
            upgrades: false,
            resumption: Resumption::default(),
            forwarded_client_cert: ForwardedClientCert::default(),
            destinations: None,
        }
    }

    /// The bootstrap. The access log goes to `access_log`, one JSON object a line.
    #[must_use]
    pub fn bootstrap(&self, upstreams: Upstreams, access_log: &Path) -> Value {
        json!({
            "node": { "id": "router~127.0.0.1~gateway-7.istio-ingress~cluster.local", "cluster": "istio-ingressgateway" },
            "admin": { "address": loopback(0) },
            "static_resources": {
                "listeners": [
                    self.listener("to_h1", "to_h1", None, access_log),
                    self.listener("to_h2", "to_h2", None, access_log),
                    self.listener("tls_h1", "to_h1", Some(self.tls()), access_log),
                    self.listener("tls_h2", "to_h2", Some(self.tls()), access_log),
                ],
                "clusters": self.clusters(upstreams),
            },
        })
    }

    fn clusters(&self, upstreams: Upstreams) -> Vec<Value> {
        let mut clusters = vec![
            upstream_cluster(
                "to_h1",
                upstreams.h1,
                json!({ "http_protocol_options": { "enable_trailers": true } }),
            ),
            upstream_cluster(
                "to_h2",
                upstreams.h2,
                json!({ "http2_protocol_options": {} }),
            ),
        ];
        if let Some(Destinations {
            idp,
            nowhere,
            silent,
        }) = self.destinations
        {
            clusters.extend([
                cluster("idp", Some(idp)),
                cluster("nowhere", Some(nowhere)),
                cluster("silent", Some(silent)),
                cluster("empty", None),
            ]);
        }
        clusters
    }

    /// The gateway's side of TLS. A certificate is asked for and not required, and one that nobody vouches for is let
    /// through: so a forged one reaches the module, which has to find it so.
    fn tls(&self) -> Value {
        let server = certificates::server();
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "require_client_certificate": false,
                "disable_stateless_session_resumption": !self.resumption.stateless,
                "disable_stateful_session_resumption": !self.resumption.stateful,
                "common_tls_context": {
                    "tls_params": { "tls_minimum_protocol_version": "TLSv1_2" },
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [{
                        "certificate_chain": { "inline_string": server.chain_pem },
                        "private_key": { "inline_string": server.key_pem },
                    }],
                    "validation_context": {
                        "trusted_ca": { "inline_string": certificates::authority_pem() },
                        "trust_chain_verification": "ACCEPT_UNTRUSTED",
                    },
                },
            },
        })
    }

    fn listener(&self, name: &str, cluster: &str, tls: Option<Value>, access_log: &Path) -> Value {
        let mut chain = json!({ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": self.connection_manager(name, cluster, access_log),
        }]});
        if let (Some(chain), Some(tls)) = (chain.as_object_mut(), tls) {
            chain.insert("transport_socket".into(), tls);
        }
        json!({
            "name": name,
            "stat_prefix": name,
            "address": loopback(0),
            "filter_chains": [chain],
        })
    }

    fn connection_manager(&self, name: &str, cluster: &str, access_log: &Path) -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": "AUTO",
            "http_protocol_options": { "enable_trailers": true },
            // WHY: what a stream may buffer is the connection's limit on HTTP/1.1 (1 MiB by default), but
            // the stream's window on HTTP/2 (16 MiB by default). One limit for both, as the scenarios say.
            "http2_protocol_options": { "initial_stream_window_size": gateway::BUFFER_LIMIT },
            "upgrade_configs": if self.upgrades { json!([{ "upgrade_type": "websocket" }]) } else { json!([]) },
            "forward_client_cert_details": self.forwarded_client_cert.name(),
            "set_current_client_cert_details": { "subject": true, "uri": true, "dns": true },
            "access_log": [access_log_json(access_log)],
            "http_filters": self.http_filters(),
            "route_config": self.routes(cluster),
        })
    }

    fn http_filters(&self) -> Vec<Value> {
        let mut filters = Vec::new();
        match &self.filter {
            Filter::Absent => {}
            Filter::Inline { module, policy } => filters.push(json!({
                "name": "postern",
                "typed_config": wasm_filter(PLUGIN, PLUGIN, module, policy, self.mode),
            })),
            Filter::Discovered { resource, file } => filters.push(json!({
                "name": resource,
                "config_discovery": {
                    "config_source": {
                        "path_config_source": { "path": file },
                        "resource_api_version": "V3",
                        "initial_fetch_timeout": "0s",
                    },
                    "type_urls": [WASM_TYPE],
                },
            })),
        }
        if self.mode == Mode::Buffer {
            filters.push(json!({
                "name": "envoy.filters.http.buffer",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
                    "max_request_bytes": gateway::BUFFER_FILTER_MAX,
                },
            }));
        }
        filters.push(json!({
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }));
        filters
    }

    fn routes(&self, cluster: &str) -> Value {
        // Once the head has left the module, only the router can still add what the body said.
        let added: Vec<Value> = match self.mode {
            Mode::Flag | Mode::None => Vec::new(),
            Mode::Buffer => gateway::ADDED
                .iter()
                .map(|(header, state)| {
                    json!({
                        "header": { "key": header, "value": format!("%FILTER_STATE({state}:PLAIN)%") },
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    })
                })
                .collect(),
        };
        let mut routes = vec![
            json!({ "match": { "prefix": "/" }, "route": { "cluster": cluster, "timeout": "60s" } }),
        ];
        if matches!(self.filter, Filter::Absent) {
            // Without a module that calls them, only a client can show how the destinations behave.
            routes.insert(0, json!({
                "match": { "prefix": "/", "headers": [{ "name": TO_CLUSTER, "present_match": true }] },
                "route": { "cluster_header": TO_CLUSTER, "timeout": "1s" },
            }));
        }
        json!({
            "name": "all",
            "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "request_headers_to_add": added,
                "routes": routes,
            }],
        })
    }
}

/// The type of the wasm filter's configuration.
pub const WASM_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The configuration of the wasm filter: plugin `name`, `root_id`, the module as a file, the policy as text.
#[must_use]
pub fn wasm_filter(name: &str, root_id: &str, module: &Path, policy: &str, mode: Mode) -> Value {
    let mut config = json!({
        "name": name,
        "root_id": root_id,
        "failure_policy": "FAIL_RELOAD",
        "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy },
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": { "local": { "filename": module } },
            "environment_variables": { "key_values": environment() },
        },
    });
    if mode == Mode::Flag
        && let Some(config) = config.as_object_mut()
    {
        config.insert("allow_on_headers_stop_iteration".into(), true.into());
    }
    json!({ "@type": WASM_TYPE, "config": config })
}

fn environment() -> Map<String, Value> {
    gateway::ENVIRONMENT
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect()
}

fn access_log_json(path: &Path) -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": { "json_format": {
                "client": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
                "protocol": "%PROTOCOL%",
                "status": "%RESPONSE_CODE%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "flags": "%RESPONSE_FLAGS%",
                "received": "%BYTES_RECEIVED%",
                "sent": "%BYTES_SENT%",
                "record": "%FILTER_STATE(wasm.postern.record:PLAIN)%",
                // What the gateway itself makes of the client's certificate.
                "tls": "%DOWNSTREAM_TLS_VERSION%",
                "presented": "%CEL(connection.uri_san_peer_certificate)%",
                "digest": "%CEL(connection.sha256_peer_certificate_digest)%",
                "certificate": "%CEL(connection.peer_certificate)%",
                "mtls": "%CEL(connection.mtls)%",
                "valid": "%CEL(connection.peer_certificate_valid)%",
            } },
        },
    })
}

/// A cluster that the module may call: HTTP/1.1, at one address or at none.
fn cluster(name: &str, at: Option<SocketAddr>) -> Value {
    let endpoints: Vec<Value> = at
        .map(|at| json!({ "endpoint": { "address": address(at) } }))
        .into_iter()
        .collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

fn upstream_cluster(name: &str, upstream: SocketAddr, protocol: Value) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [
            { "endpoint": { "address": address(upstream) } },
        ] }] },
        "circuit_breakers": { "thresholds": [{
            "max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000,
        }] },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            },
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.upstream_proxy_protocol",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
                "config": { "version": "V1" },
                "transport_socket": {
                    "name": "envoy.transport_sockets.raw_buffer",
                    "typed_config": { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" },
                },
            },
        },
    })
}

fn loopback(port: u16) -> Value {
    address(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}
