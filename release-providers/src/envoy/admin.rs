//! The admin interface: what is asked, and how answers are read, strictly.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use release_core::port::Clock;
use release_core::time::Span;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::documents::Shares;
use super::settings::EnvoyTarget;
use super::table;
use crate::{ErrorKind, ProviderError};

/// More than all that is ever asked for.
const MOST: usize = 64 * 1024 * 1024;
const ROUTES: &str = "/config_dump?resource=dynamic_route_configs";
const CLUSTERS: &str = "/clusters?format=json";
const STATS: &str =
    "/stats?format=json&filter=upstream_rq_%28active%7Cpending_active%7Ccompleted%7Ctotal%29%24";
/// How often tables of routes were refused, by their names.
const REFUSALS: &str = "/stats?format=json&filter=%5C.rds%5C..*%5C.update_rejected%24";

/// Clusters that are in use, with the addresses of their instances.
pub(super) type Clusters = BTreeMap<String, BTreeSet<SocketAddr>>;
/// Counters and gauges by name.
pub(super) type Stats = BTreeMap<String, u64>;

/// Where the admin interface is.
#[derive(Debug)]
pub(super) struct Admin {
    address: SocketAddr,
    clock: Arc<dyn Clock>,
    patience: Span,
}

impl Admin {
    pub(super) fn new(address: SocketAddr, clock: Arc<dyn Clock>, patience: Span) -> Self {
        Self { address, clock, patience }
    }

    /// The shares in effect; none before Envoy has a table of routes. `Corrupt` when somebody else made them.
    pub(super) async fn shares(
        &self,
        operation: &'static str,
        target: &EnvoyTarget,
    ) -> Result<Shares, ProviderError> {
        let dump = self.get(operation, ROUTES).await?;
        let dump = parse(&dump).map_err(|why| garbage(operation, ROUTES, why))?;
        shares_of(dump, target).map_err(|why| {
            let text = "the routes in Envoy are not those that this router wrote; set shares again";
            ProviderError::new(ErrorKind::Corrupt, operation, text)
                .with_context("target", &target.target)
                .with_context("because", why)
        })
    }

    pub(super) async fn clusters(
        &self,
        operation: &'static str,
    ) -> Result<Clusters, ProviderError> {
        let list = self.get(operation, CLUSTERS).await?;
        clusters_of(&list).map_err(|why| garbage(operation, CLUSTERS, why))
    }

    pub(super) async fn stats(&self, operation: &'static str) -> Result<Stats, ProviderError> {
        let list = self.get(operation, STATS).await?;
        stats_of(&list).map_err(|why| garbage(operation, STATS, why))
    }

    /// How often Envoy refused a table of this target.
    pub(super) async fn refusals(
        &self,
        operation: &'static str,
        target: &EnvoyTarget,
    ) -> Result<u64, ProviderError> {
        let list = self.get(operation, REFUSALS).await?;
        let all = stats_of(&list).map_err(|why| garbage(operation, REFUSALS, why))?;
        // Before it, the listener's own prefix.
        let end = format!(".rds.{}.update_rejected", target.name());
        let own = all.iter().filter(|(name, _)| name.ends_with(&end)).map(|(_, count)| *count);
        Ok(own.fold(0, u64::saturating_add))
    }

    async fn get(&self, operation: &'static str, path: &str) -> Result<Vec<u8>, ProviderError> {
        let unavailable = |text: &str| {
            ProviderError::new(ErrorKind::Unavailable, operation, text)
                .with_context("admin", self.address)
        };
        let deadline = self.clock.now().plus(self.patience);
        let answer = crate::http::get(self.address, path, MOST, &self.clock, deadline).await;
        let answer = answer.map_err(|why| {
            unavailable("Envoy's admin interface does not answer; is it running?")
                .with_context("because", why)
        })?;
        if answer.status.is_success() {
            return Ok(answer.body.to_vec());
        }
        Err(unavailable("Envoy's admin interface refused to answer")
            .with_context("path", path)
            .with_context("status", answer.status))
    }
}

fn garbage(operation: &'static str, path: &str, why: String) -> ProviderError {
    let text = "Envoy's admin interface answered something else than expected";
    ProviderError::new(ErrorKind::Unavailable, operation, text)
        .with_context("path", path)
        .with_context("because", why)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

#[derive(Deserialize)]
struct Dump {
    #[serde(default)]
    configs: Vec<Config>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    version_info: String,
    route_config: Option<Table>,
}

#[derive(Deserialize)]
struct Table {
    name: String,
    #[serde(default)]
    virtual_hosts: Vec<serde_json::Value>,
}

fn shares_of(dump: Dump, target: &EnvoyTarget) -> Result<Shares, String> {
    let name = target.name();
    let mut found = None;
    for config in dump.configs {
        let Some(table) = config.route_config.filter(|table| table.name == name) else { continue };
        if found.replace((config.version_info, table)).is_some() {
            return Err(format!("two tables of routes are called `{name}`"));
        }
    }
    let Some((version, table)) = found else { return Ok(Shares::default()) };
    let generation = version.parse().map_err(|e| format!("its version is `{version}`: {e}"))?;
    let [host] = <[serde_json::Value; 1]>::try_from(table.virtual_hosts)
        .map_err(|hosts| format!("a table with {} virtual hosts is none of ours", hosts.len()))?;
    table::read(generation, &host, target)
}

#[derive(Deserialize)]
struct ClusterList {
    #[serde(default)]
    cluster_statuses: Vec<ClusterStatus>,
}

#[derive(Deserialize)]
struct ClusterStatus {
    name: String,
    #[serde(default)]
    host_statuses: Vec<HostStatus>,
}

#[derive(Deserialize)]
struct HostStatus {
    address: Address,
}

#[derive(Deserialize)]
struct Address {
    socket_address: Option<Socket>,
}

#[derive(Deserialize)]
struct Socket {
    address: IpAddr,
    port_value: u16,
}

fn clusters_of(list: &[u8]) -> Result<Clusters, String> {
    let list: ClusterList = parse(list)?;
    let mut clusters = Clusters::new();
    for status in list.cluster_statuses {
        // Clusters of others may be reached by pipes.
        let sockets =
            status.host_statuses.into_iter().filter_map(|host| host.address.socket_address);
        let addresses = sockets.map(|at| SocketAddr::new(at.address, at.port_value)).collect();
        clusters.insert(status.name, addresses);
    }
    Ok(clusters)
}

#[derive(Deserialize)]
struct StatList {
    stats: Vec<Stat>,
}

#[derive(Deserialize)]
struct Stat {
    name: String,
    value: u64,
}

fn stats_of(list: &[u8]) -> Result<Stats, String> {
    let list: StatList = parse(list)?;
    Ok(list.stats.into_iter().map(|stat| (stat.name, stat.value)).collect())
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
