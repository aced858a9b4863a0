//! What Envoy says of a target's traffic.

use std::collections::BTreeMap;

use release_core::model::{Digest, Target};
use release_core::port::Served;

use super::admin::Stats;
use super::router::Inner;
use super::settings::EnvoyTarget;
use super::table::stat;
use crate::routing::{IN_FLIGHT, OBSERVE, answering};
use crate::shares::Pool;
use crate::spi::{Flights, TrafficStatus};
use crate::{ErrorKind, ProviderError};

impl Inner {
    pub(super) async fn observe(
        &self,
        place: &EnvoyTarget,
    ) -> Result<TrafficStatus, ProviderError> {
        let shares = self.admin.shares(OBSERVE, place).await?;
        let stats = self.admin.stats(OBSERVE).await?;
        let mut served = BTreeMap::<Digest, u64>::new();
        for pool in answering(&shares.weights, shares.rules.as_ref()) {
            let route = format!("{}{}", routes(place), stat(shares.generation, &pool));
            let count = |name| {
                stats.get(&format!("{route}.upstream_rq_{name}")).copied().unwrap_or_default()
            };
            // Answers of Envoy's own are completed too, without an instance that was asked.
            let requests = count("completed").min(count("total"));
            let sum = served.entry(pool.digest).or_default();
            *sum = sum.saturating_add(requests);
        }
        let served = served.into_iter().map(|(digest, requests)| Served::new(digest, requests));
        let served = served.collect();
        let clusters = self.admin.clusters(OBSERVE).await?;
        let mut flights = BTreeMap::<Pool, u64>::new();
        for cluster in clusters.keys() {
            if let Some(pool) = place.pool(cluster) {
                let sum = flights.entry(pool).or_default();
                *sum = sum.saturating_add(under_way(&stats, cluster));
            }
        }
        let in_flight = flights.values().copied().fold(0, u64::saturating_add);
        let target: Target = place.target.clone();
        let traffic = TrafficStatus::new(target, shares.weights, served, in_flight);
        let flights = flights.into_iter();
        let flights = flights.map(|(pool, sum)| Flights::new(pool.digest, pool.track, sum));
        Ok(traffic.by(shares.rules).flying(flights))
    }

    pub(super) async fn in_flight(
        &self,
        place: &EnvoyTarget,
        pool: &Pool,
    ) -> Result<u64, ProviderError> {
        let stats = self.admin.stats(IN_FLIGHT).await?;
        let copies = pool.track.is_none().then(|| under_way(&stats, &place.copies(pool.digest)));
        Ok(under_way(&stats, &place.cluster(pool)).saturating_add(copies.unwrap_or_default()))
    }

    pub(super) fn place(
        &self,
        operation: &'static str,
        target: &Target,
    ) -> Result<EnvoyTarget, ProviderError> {
        let found = self.settings.targets.iter().find(|one| one.target == *target).cloned();
        found.ok_or_else(|| {
            let text = "the router has no such target; add it to its settings, and to its Envoy";
            ProviderError::new(ErrorKind::NotFound, operation, text).with_context("target", target)
        })
    }
}

/// The requests of a cluster that are at an instance, or wait for a connection to one. Without such a cluster, none.
pub(super) fn under_way(stats: &Stats, cluster: &str) -> u64 {
    let gauge = |name: &str| {
        stats.get(&format!("cluster.{cluster}.upstream_rq_{name}")).copied().unwrap_or_default()
    };
    gauge("active").saturating_add(gauge("pending_active"))
}

/// How the names of counters begin that belong to a target's routes.
fn routes(place: &EnvoyTarget) -> String {
    format!("vhost.{}.route.", place.name())
}

/// The last generation of shares that anything was counted of.
pub(super) fn last_counted(stats: &Stats, place: &EnvoyTarget) -> u64 {
    let prefix = routes(place);
    let generation = |name: &String| name.strip_prefix(&prefix)?.split('-').next()?.parse().ok();
    stats.keys().filter_map(generation).max().unwrap_or_default()
}
