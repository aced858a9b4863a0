//! Metrics that say what a test wants.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use release_core::model::{Digest, Finite, Metric, Selector};
use release_core::port::Measurement;
use release_providers::spi::{MeasureRequest, MetricsSource};
use release_providers::{Context, Description, ProviderError};

use super::script::Stage;
use super::{Request, lock, staged};

/// A [`MetricsSource`] with the series that a test gives it. Without samples it has no data, and
/// neither has it with NaN or an infinity.
#[derive(Debug, Default)]
pub struct FakeMetrics {
    series: Mutex<BTreeMap<(Digest, String), f64>>,
    stage: Stage<MetricsCall>,
}

/// What a [`FakeMetrics`] was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsCall {
    /// [`MetricsSource::measure`].
    Measure(MeasureRequest),
}

/// The operations of a [`FakeMetrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricsOp {
    /// [`MetricsSource::measure`].
    Measure,
}

impl Request for MetricsCall {
    type Op = MetricsOp;

    fn op(&self) -> MetricsOp {
        MetricsOp::Measure
    }

    fn operation(&self) -> &'static str {
        "metrics.measure"
    }
}

staged!(FakeMetrics, MetricsCall, MetricsOp);

impl FakeMetrics {
    /// A source without samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what a series of one version says, in every target and whatever its labels.
    pub fn set(&self, digest: Digest, series: impl Into<String>, value: f64) {
        lock(&self.series).insert((digest, series.into()), value);
    }

    /// Lets `bad` of `all` requests of one version fail, in the series of
    /// [`fixtures::error_rate`](crate::fixtures::error_rate).
    pub fn set_errors(&self, digest: Digest, bad: f64, all: f64) {
        self.set(digest, crate::fixtures::FAILED_REQUESTS, bad);
        self.set(digest, crate::fixtures::ALL_REQUESTS, all);
    }

    fn sample(&self, digest: Digest, selector: &Selector) -> Result<Finite, String> {
        let name = &selector.series;
        let value = lock(&self.series).get(&(digest, name.clone())).copied();
        let value = value.ok_or_else(|| format!("no samples of `{name}`"))?;
        Finite::new(value).map_err(|_| format!("`{name}` is {value}"))
    }

    fn measure_now(&self, request: &MeasureRequest, lie: bool) -> Measurement {
        let Metric::Ratio { numerator, denominator } = &request.metric else {
            return Measurement::NoData { reason: "a metric of an unknown kind".into() };
        };
        let sample = |selector| self.sample(request.digest, selector);
        let digest = if lie { super::script::other(request.digest) } else { request.digest };
        match (sample(numerator), sample(denominator)) {
            (Ok(numerator), Ok(denominator)) => {
                Measurement::Ratio { digest, numerator, denominator }
            }
            (Err(reason), _) | (_, Err(reason)) => Measurement::NoData { reason },
        }
    }
}

#[async_trait]
impl MetricsSource for FakeMetrics {
    fn describe(&self) -> Description {
        super::describe("fake-metrics")
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        let call = MetricsCall::Measure(request.clone());
        self.stage.play(cx, call, |lie| Ok(self.measure_now(&request, lie))).await
    }
}
