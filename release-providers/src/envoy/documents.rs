//! What stands in the files that Envoy watches, as JSON of its xDS messages.

use std::net::SocketAddr;
use std::path::Path;

use release_core::model::TrafficRules;
use release_core::plan::Weight;
use serde_json::{Value, json};

use super::settings::{COPIES, addresses_file};

/// How long an instance may take for a copy, whose answer nobody waits for.
const COPY: &str = "30s";

/// Shares in effect, or to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shares {
    /// Counts changes; 0 before the first.
    pub(super) generation: u64,
    /// In order, without those of nothing.
    pub(super) weights: Vec<Weight>,
    /// What holds beside them.
    pub(super) rules: Option<TrafficRules>,
}

/// Puts something more into an object.
pub(super) fn add(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

pub(super) fn answer(version: &str, resources: &[Value]) -> Value {
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
        let mut common = json!({ "idle_timeout": "5s" });
        if name.ends_with(COPIES) {
            add(&mut common, "max_stream_duration", json!(COPY));
        }
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
                    "common_http_protocol_options": common,
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
