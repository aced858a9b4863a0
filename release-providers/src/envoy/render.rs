//! The bootstrap from which tests and users start.

use serde_json::{Value, json};

use super::documents::watched;
use super::settings::{EnvoySettings, EnvoyTarget, routes_file};
use crate::routing::OPEN;
use crate::{ErrorKind, ProviderError};

/// The runtime key by which Envoy bounds expressions; without it, 100 instructions. One that finds the digest of a version in
/// a cookie has more.
const PROGRAM_SIZE: &str = "re2.max_program_size.error_level";
/// More than any expression of ours, and than users' of a few kilobytes. RE2 bounds its memory, and its time, by itself.
const LARGEST_PROGRAM: u32 = 100_000;
const HTTP: &str = "envoy.filters.network.http_connection_manager";

impl EnvoySettings {
    /// A minimal bootstrap for these settings, in JSON. [`EnvoyRouter::open`](super::EnvoyRouter::open) makes the files that
    /// it names.
    ///
    /// For a bootstrap that is there already: the router needs the admin interface, `cds_config`, in the listener of each
    /// target the `rds` of its name, and in `layered_runtime` the key `re2.max_program_size.error_level`: without it Envoy
    /// refuses expressions that are longer than a few words, and so cookies of [affinity](release_core::model::Affinity).
    /// All else is yours.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense.
    pub fn render(&self) -> Result<String, ProviderError> {
        self.check()?;
        let clusters = self.clusters();
        let clusters = clusters.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut listeners = Vec::new();
        for target in &self.targets {
            for (n, address) in target.listen.iter().enumerate() {
                listeners.push(self.listener(target, n, address));
            }
        }
        let bootstrap = json!({
            "node": { "id": "release", "cluster": "release" },
            "admin": { "address": socket(&self.admin) },
            "layered_runtime": { "layers": [
                { "name": "release", "static_layer": { PROGRAM_SIZE: LARGEST_PROGRAM } },
                { "name": "admin", "admin_layer": {} },
            ] },
            "dynamic_resources": { "cds_config": watched(&self.directory, clusters) },
            "static_resources": { "listeners": listeners },
        });
        serde_json::to_string_pretty(&bootstrap).map_err(|error| {
            ProviderError::new(ErrorKind::Internal, OPEN, "the bootstrap is no JSON")
                .with_source(error)
        })
    }

    fn listener(&self, target: &EnvoyTarget, n: usize, address: &std::net::SocketAddr) -> Value {
        let name = target.name();
        let rds = json!({
            "route_config_name": name,
            "config_source": watched(&self.directory, &routes_file(&name)),
        });
        let router = json!({
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            },
        });
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "rds": rds,
            "http_filters": [router],
        });
        json!({
            "name": format!("{name}.{n}"),
            "address": socket(address),
            "filter_chains": [{ "filters": [{ "name": HTTP, "typed_config": manager }] }],
        })
    }
}

fn socket(address: &std::net::SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}
