//! What stands in the files that Envoy watches, as JSON of its xDS messages.

use std::net::SocketAddr;
use std::path::Path;

use release_core::plan::Weight;
use serde_json::{Value, json};

use super::settings::{EnvoyTarget, addresses_file};

/// Under which our notes stand in Envoy's metadata.
pub(super) const METADATA: &str = "release";
/// The share of a whole.
pub(super) const WHOLE: u32 = 100;

/// Shares in effect, or to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shares {
    /// Counts changes; 0 before the first.
    pub(super) generation: u64,
    /// In order, without those of nothing.
    pub(super) weights: Vec<Weight>,
}

fn answer(version: &str, resources: &[Value]) -> Value {
    json!({ "version_info": version, "resources": resources })
}

/// How Envoy is told to watch a file.
pub(super) fn watched(directory: &Path, file: &str) -> Value {
    json!({
        "path_config_source": {
            "path": directory.join(file),
            "watched_directory": { "path": directory },
        },
        "resource_api_version": "V3",
    })
}

/// The list of clusters, each of which has a file of addresses.
pub(super) fn clusters(directory: &Path, names: &[String]) -> Value {
    let cluster = |name: &String| {
        json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": name,
            "type": "EDS",
            "connect_timeout": "2s",
            "eds_cluster_config": { "eds_config": watched(directory, &addresses_file(name)) },
            // Shorter than what services grant: a request seldom meets a connection that is being closed.
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "common_http_protocol_options": { "idle_timeout": "5s" },
                    "explicit_http_config": { "http_protocol_options": {} },
                },
            },
        })
    };
    answer("", &names.iter().map(cluster).collect::<Vec<_>>())
}

/// The addresses of a cluster.
pub(super) fn addresses(cluster: &str, all: &[SocketAddr]) -> Value {
    let endpoint = |address: &SocketAddr| {
        let address = json!({ "address": address.ip(), "port_value": address.port() });
        json!({ "endpoint": { "address": { "socket_address": address } } })
    };
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": cluster,
        "endpoints": [{ "lb_endpoints": all.iter().map(endpoint).collect::<Vec<_>>() }],
    });
    answer("", &[resource])
}

/// A table of routes.
pub(super) fn routes(target: &EnvoyTarget, shares: &Shares) -> Value {
    let (mut bound, generation) = (0, shares.generation);
    let mut routes = Vec::new();
    for weight in &shares.weights {
        bound += u32::from(weight.percent);
        let fraction = json!({ "numerator": bound, "denominator": "HUNDRED" });
        let matches = if bound < WHOLE {
            json!({ "prefix": "/", "runtime_fraction": { "default_value": fraction } })
        } else {
            json!({ "prefix": "/" })
        };
        routes.push(json!({
            "name": stat(generation, weight),
            "stat_prefix": stat(generation, weight),
            "match": matches,
            "route": {
                "cluster": target.cluster(weight.digest),
                "timeout": "0s", // whoever asks decides how long to wait
                "retry_policy": {
                    // What certainly was not begun.
                    "retry_on": "connect-failure,refused-stream,reset-before-request",
                    "num_retries": 3,
                    "retry_host_predicate": [{
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                        },
                    }],
                    "host_selection_retry_max_attempts": 5,
                },
            },
            "metadata": { "filter_metadata": { METADATA: {
                "digest": weight.digest,
                "version": weight.version,
            } } },
        }));
    }
    if routes.is_empty() {
        let body = json!({ "inline_string": "no version has a share" });
        routes.push(json!({
            "name": "nobody",
            "match": { "prefix": "/" },
            "direct_response": { "status": 503, "body": body },
        }));
    }
    let name = target.name();
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": name,
        "virtual_hosts": [{ "name": name, "domains": ["*"], "routes": routes }],
    });
    answer(&generation.to_string(), &[resource])
}

/// Under which name Envoy counts what a version served of these shares.
pub(super) fn stat(generation: u64, weight: &Weight) -> String {
    format!("{generation}-{}", weight.digest.hex())
}
