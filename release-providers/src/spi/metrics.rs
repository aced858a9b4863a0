//! Measures versions.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{Digest, Metric, Target};
use release_core::port::Measurement;
use release_core::time::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{Context, Description, ProviderError};

/// Measures versions. It reports numbers; whether they are good is decided by pure code.
///
/// # Conformance
/// `conformance!(MetricsSource, sandbox)` of `release-testkit`: just the growth in the window is told; missing
/// samples, samples of others and windows without growth are no data, never a zero; a part that does not grow is one. Its level
/// V2 (`conformance!(MetricsSource at V2, sandbox)`) also has means, histograms and queries, each for sources that declare them.
#[async_trait]
pub trait MetricsSource: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Measures one version in one target, once.
    ///
    /// # Contract
    /// A [ratio](Metric::Ratio) and a [mean](Metric::Mean) are answered with a [`Measurement::Ratio`] of what their counters
    /// grew by, a [quantile](Metric::Quantile) with the [`Measurement::Histogram`] of what its buckets grew by (bounds
    /// growing, the last one none), a [query](Metric::Query) with a [`Measurement::Value`] that says of when it is, and a
    /// [range](Metric::Range) with [`Measurement::Points`] from `request.since` on, by growing instants.
    /// Sources measure ratios; what they measure besides, they declare
    /// ([`MetricsAbilities`](crate::MetricsAbilities)), and what they do not is `Unsupported`.
    ///
    /// Only samples of that version count, and only what counters grew by in the window from
    /// `request.since` to now: counters are cumulative, and what they counted before, for example for
    /// an earlier share of the traffic, is not asked for. A counter that falls began anew: its new
    /// value is what it grew by. A source that cannot look back so far begins the window later, never
    /// much earlier, and its documentation says when. Missing samples, a window in which the whole did
    /// not grow, NaN, infinities, unreadable answers and samples of another version are
    /// [`Measurement::NoData`] with the reason, never a zero. A numerator that did not grow while the whole did is zero.
    ///
    /// Of a target on a [track](Target::track) the samples of its instances alone count, and of one without those of no instance
    /// on a track; a source that cannot tell them apart does not declare [`tracks`](crate::Abilities::tracks).
    ///
    /// # Errors
    /// `NotFound` for a target that the source does not know; `Unavailable` when it cannot look; `Unsupported` for metrics
    /// of a kind that it does not declare.
    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError>;
}

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MeasureRequest {
    /// Where.
    pub target: Target,
    /// Which content.
    pub digest: Digest,
    /// The version label that its samples carry.
    pub version: Version,
    /// What.
    pub metric: Metric,
    /// When the window begins.
    pub since: Timestamp,
}

impl MeasureRequest {
    /// Asks for `metric` of one version in `target`, from `since` on.
    pub const fn new(
        target: Target,
        digest: Digest,
        version: Version,
        metric: Metric,
        since: Timestamp,
    ) -> Self {
        Self { target, digest, version, metric, since }
    }
}
