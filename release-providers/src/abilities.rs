//! What providers are able to do beyond what their traits ask of all.

use std::any::Any;
use std::num::NonZeroU32;

use release_core::model::Metric;
use serde::{Deserialize, Serialize};

use crate::spi::{
    ApplyRequest, CheckHealth, MeasureRequest, ObserveDeployment, RotateSecret, SetWeights,
};

/// Optional abilities and limits, by trait. What is declared must work, what is not must answer `Unsupported`; both are
/// tested. A plan that needs more than its provider declares is refused before it runs, and a call that does before it
/// reaches the provider.
///
/// ```
/// use release_providers::{Description, EffectClass, Fencing, Splitting, Version};
/// let description = Description::new("acme", Version::new(1, 0, 0), EffectClass::Idempotent).able(|can| {
///     can.traffic_router.splitting = Splitting::Shares;
///     can.traffic_router.fencing = Fencing::Epochs;
/// });
/// assert!(!description.abilities.traffic_router.counts_served);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Abilities {
    /// Of a [`Deployer`](crate::spi::Deployer).
    pub deployer: DeployerAbilities,
    /// Of a [`TrafficRouter`](crate::spi::TrafficRouter).
    pub traffic_router: RouterAbilities,
    /// Of a [`SecretStore`](crate::spi::SecretStore).
    pub secret_store: SecretStoreAbilities,
    /// Of a [`MetricsSource`](crate::spi::MetricsSource).
    pub metrics_source: MetricsAbilities,
    /// Whether instances on a [track](release_core::model::Target::track) are others than those without, in all that has a
    /// target: for deployers, routers, probes and sources of metrics.
    pub tracks: bool,
}

/// What a [`Deployer`](crate::spi::Deployer) is able to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DeployerAbilities {
    /// Whether it keeps writers out that were taken over.
    pub fencing: Fencing,
    /// So many instances of one artifact in one target at the most.
    pub most_replicas: Option<NonZeroU32>,
    /// Whether it starts instances [on other machines](release_core::model::AntiAffinity) than those of other artifacts, where
    /// [that is asked](ApplyRequest::apart).
    pub anti_affinity: bool,
    /// Whether its instances [carry labels and annotations](release_core::model::Metadata), and get others without being started anew,
    /// where [that is asked](ApplyRequest::metadata).
    pub metadata: bool,
}

/// What a [`TrafficRouter`](crate::spi::TrafficRouter) is able to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is an ability of its own")]
pub struct RouterAbilities {
    /// How it divides traffic.
    pub splitting: Splitting,
    /// Whether it counts what each version really served.
    pub counts_served: bool,
    /// Whether it keeps writers out that were taken over.
    pub fencing: Fencing,
    /// Whether it sends requests to one version [by what their headers say](release_core::model::HeaderRoute).
    pub header_routes: bool,
    /// Whether it [copies requests](release_core::model::Mirror).
    pub mirroring: bool,
    /// Whether it copies [some requests alone](release_core::model::Mirror::only), where that is asked: by methods and paths to the
    /// letter, and by headers in all ways. Other ways to match a method or a path may be `Unsupported`, with no effect.
    pub mirror_matching: bool,
    /// Whether clients [stay](release_core::model::Affinity) with the version that answered them, whichever it was.
    pub affinity: bool,
    /// Whether they stay with [one version alone](release_core::model::Affinity::only), where that is asked.
    pub affinity_to_one: bool,
    /// Whether it counts, by version and track, the requests that are [under way](crate::spi::TrafficStatus::flights).
    pub counts_in_flight: bool,
}

/// What a [`SecretStore`](crate::spi::SecretStore) is able to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SecretStoreAbilities {
    /// Whether it puts new values in the place of old ones by itself.
    pub rotation: bool,
}

/// What a [`MetricsSource`](crate::spi::MetricsSource) is able to measure beside ratios of counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says of one kind of metric whether it is measured"
)]
pub struct MetricsAbilities {
    /// Whether it measures [means](release_core::model::Metric::Mean).
    pub means: bool,
    /// Whether it measures what histograms counted, for [quantiles](release_core::model::Metric::Quantile).
    pub quantiles: bool,
    /// Whether it answers [queries](release_core::model::Metric::Query) in a language of its own.
    pub queries: bool,
    /// Whether it answers queries at many moments, for [ranges](release_core::model::Metric::Range).
    pub ranges: bool,
}

/// Whether a provider refuses the calls of a run's earlier writers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fencing {
    /// It takes any epoch.
    #[default]
    None,
    /// It remembers the highest [`epoch`](crate::Context::epoch) of every run for good, and answers
    /// [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) to an older one.
    Epochs,
}

/// How a traffic router divides traffic between versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Splitting {
    /// All of it goes to one version.
    #[default]
    Whole,
    /// By shares of whole percents.
    Shares,
}

/// What a provider without `tracks` cannot do.
const APART: &str = "keep instances of a version apart from its others";
/// What a deployer without `anti_affinity` cannot do.
const ELSEWHERE: &str = "start instances on other machines than those of other versions";
/// What a deployer without `metadata` cannot do.
const CARRY: &str = "change what instances carry while they run";

/// Whether a request is about instances that are kept apart.
fn on_track(request: &dyn Any) -> bool {
    let target = if let Some(ApplyRequest { target, .. }) = request.downcast_ref() {
        target
    } else if let Some(ObserveDeployment { target, .. }) = request.downcast_ref() {
        target
    } else if let Some(CheckHealth { target, .. }) = request.downcast_ref() {
        target
    } else if let Some(MeasureRequest { target, .. }) = request.downcast_ref() {
        target
    } else {
        return false;
    };
    target.track.is_some()
}

impl Abilities {
    /// What a request needs that is not declared, for people; `None` when there is nothing.
    pub(crate) fn lacks(&self, request: &dyn Any) -> Option<String> {
        if let Some(wish) = request.downcast_ref() {
            return self.lacks_for_traffic(wish);
        }
        if !self.tracks && on_track(request) {
            return Some(APART.into());
        }
        if let Some(ApplyRequest { replicas, apart, metadata, .. }) = request.downcast_ref() {
            if apart.is_some() && !self.deployer.anti_affinity {
                return Some(ELSEWHERE.into());
            }
            if metadata.is_some() && !self.deployer.metadata {
                return Some(CARRY.into());
            }
            let most = self.deployer.most_replicas.filter(|most| *replicas > most.get());
            return most.map(|most| format!("run more than {most} instances"));
        }
        if let Some(MeasureRequest { metric, .. }) = request.downcast_ref() {
            let able = match metric {
                Metric::Mean { .. } => self.metrics_source.means,
                Metric::Quantile { .. } => self.metrics_source.quantiles,
                Metric::Query { .. } => self.metrics_source.queries,
                Metric::Range { .. } => self.metrics_source.ranges,
                _ => true,
            };
            return (!able).then(|| format!("measure a {}", metric.kind()));
        }
        (request.is::<RotateSecret>() && !self.secret_store.rotation)
            .then(|| "put a new value in the place of a secret".into())
    }

    fn lacks_for_traffic(&self, wish: &SetWeights) -> Option<String> {
        let able = &self.traffic_router;
        let served = wish.weights.iter().filter(|weight| weight.percent > 0);
        if able.splitting == Splitting::Whole && served.count() > 1 {
            return Some("split traffic by weight".into());
        }
        if !self.tracks && wish.weights.iter().any(|weight| weight.track.is_some()) {
            return Some(APART.into());
        }
        let rules = wish.rules.as_ref()?;
        let only = rules.affinity.as_ref().map(|affinity| affinity.only);
        let mirror = rules.mirror.as_ref();
        let picks = mirror.is_some_and(|mirror| !mirror.only.is_empty());
        let (to_all, to_one) = (only == Some(None), only.flatten().is_some());
        let lacks = [
            (!rules.headers.is_empty() && !able.header_routes, "route by headers"),
            (mirror.is_some() && !able.mirroring, "copy requests"),
            (picks && !able.mirror_matching, "copy just the requests that match"),
            (to_all && !able.affinity, "keep clients with whichever version answered"),
            (to_one && !able.affinity_to_one, "keep clients with one version alone"),
        ];
        lacks.into_iter().find_map(|(lacks, what)| lacks.then(|| what.into()))
    }
}
