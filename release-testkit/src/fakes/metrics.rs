//! Metrics that say what a test wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use release_core::model::{Digest, Finite, Metric, Selector, Target};
use release_core::port::{Bucket, Measurement, Point};
use release_core::time::{Span, Timestamp};
use release_providers::spi::{MeasureRequest, MetricsSource};
use release_providers::{Context, Description, ErrorKind, ProviderError};

use super::script::Stage;
use super::{MetricsSourceCall, MetricsSourceOp, Request, lock, staged};

/// A [`MetricsSource`] with the series that a test gives it. Without samples it has no data, and
/// neither has it with NaN or an infinity.
///
/// A series either grows by the same with every look at a window, as with traffic that goes on
/// ([`FakeMetrics::set`]), or it is a counter of which a window sees what it grew by
/// ([`FakeMetrics::count_up`]).
#[derive(Debug, Default)]
pub struct FakeMetrics {
    /// How often the windows of a version were looked at, by their beginnings.
    looks: Mutex<BTreeMap<(Digest, Timestamp), u32>>,
    series: Mutex<BTreeMap<(Digest, String), Series>>,
    /// The bounds of histograms' buckets.
    bounds: Mutex<BTreeMap<(Digest, String), Vec<f64>>>,
    /// The targets that there are; `None`: any.
    targets: Mutex<Option<BTreeSet<Target>>>,
    stage: Stage<MetricsSourceCall>,
}

#[derive(Debug, Clone)]
enum Series {
    /// With every look at a window.
    Same(f64),
    /// What the counter said, and when, the oldest first.
    Counter(Vec<(Timestamp, f64)>),
}

impl Series {
    /// What it grew by since then. A counter that falls began anew; before its first sample it was
    /// zero.
    fn growth(&self, since: Timestamp, looks: u32) -> f64 {
        let samples = match self {
            Self::Same(value) => return *value * f64::from(looks),
            Self::Counter(samples) => samples,
        };
        let (mut last, mut grown) = (0.0, 0.0);
        for (at, value) in samples {
            let more = if *value < last { *value } else { *value - last };
            grown += if *at > since { more } else { 0.0 };
            last = *value;
        }
        grown
    }
}

staged!(FakeMetrics, MetricsSourceCall, MetricsSourceOp);

impl FakeMetrics {
    /// A source without samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on only these targets exist.
    pub fn only_targets(&self, targets: impl IntoIterator<Item = Target>) {
        *lock(&self.targets) = Some(targets.into_iter().collect());
    }

    /// Sets what a series of one version grows by with every look at a window, in every target and whatever its labels; and
    /// what a query says, which does not grow: at each look at a range, of which it is the newest point.
    pub fn set(&self, digest: Digest, series: impl Into<String>, value: f64) {
        lock(&self.series).insert((digest, series.into()), Series::Same(value));
    }

    /// Lets a counter of one version say `value` from now on, on the clock that the fake was given: a
    /// window that begins later does not see what it counted until now. Less than before is a reset.
    pub fn count_up(&self, digest: Digest, series: impl Into<String>, value: f64) {
        let (now, mut all) = (self.stage.now(), lock(&self.series));
        let counter =
            all.entry((digest, series.into())).or_insert_with(|| Series::Counter(Vec::new()));
        match counter {
            Series::Counter(samples) => samples.push((now, value)),
            Series::Same(_) => *counter = Series::Counter(vec![(now, value)]),
        }
    }

    /// Lets `bad` of `all` requests of one version fail, in the series of
    /// [`fixtures::error_rate`](crate::fixtures::error_rate).
    pub fn set_errors(&self, digest: Digest, bad: f64, all: f64) {
        self.set(digest, crate::fixtures::FAILED_REQUESTS, bad);
        self.set(digest, crate::fixtures::ALL_REQUESTS, all);
    }

    fn sample(&self, request: &MeasureRequest, selector: &Selector) -> Result<Finite, String> {
        let name = &selector.series;
        let series = lock(&self.series).get(&(request.digest, name.clone())).cloned();
        let looks = lock(&self.looks).get(&(request.digest, request.since)).copied().unwrap_or(0);
        let looks = if request.metric.asks() { 1 } else { looks };
        let value = series.map(|series| series.growth(request.since, looks));
        let value = value.ok_or_else(|| format!("no samples of `{name}`"))?;
        Finite::new(value).map_err(|_| format!("`{name}` is {value}"))
    }

    /// Sets what the buckets of a histogram of one version grow by with every look at a window: of each, the bound and how many
    /// observations lay at or below it; and how many there were in all.
    pub fn set_histogram(&self, digest: Digest, name: &str, buckets: &[(f64, f64)], all: f64) {
        let mut bounds: Vec<f64> = buckets.iter().map(|(bound, _)| *bound).collect();
        bounds.sort_by(f64::total_cmp);
        for (bound, count) in buckets {
            self.set(digest, format!("{name}_bucket {bound}"), *count);
        }
        self.set(digest, format!("{name}_bucket"), all);
        lock(&self.bounds).insert((digest, name.to_owned()), bounds);
    }

    /// Lets a histogram of one version have observed so much from now on: of each bucket, the bound and how many
    /// observations lay at or below it until now; and how many there were in all, and their sum. It is there as
    /// `…_bucket`, `…_count` and `…_sum`; a window that begins later does not see what was observed until now.
    pub fn observe_up(
        &self,
        digest: Digest,
        name: &str,
        buckets: &[(f64, f64)],
        (all, sum): (f64, f64),
    ) {
        for (bound, count) in buckets {
            self.count_up(digest, format!("{name}_bucket {bound}"), *count);
        }
        self.count_up(digest, format!("{name}_bucket"), all);
        self.count_up(digest, format!("{name}_count"), all);
        self.count_up(digest, format!("{name}_sum"), sum);
        let mut bounds: Vec<f64> = buckets.iter().map(|(bound, _)| *bound).collect();
        bounds.sort_by(f64::total_cmp);
        lock(&self.bounds).insert((digest, name.to_owned()), bounds);
    }

    fn histogram(
        &self,
        request: &MeasureRequest,
        selector: &Selector,
        digest: Digest,
    ) -> Result<Measurement, String> {
        let name = &selector.series;
        let bounds = lock(&self.bounds).get(&(request.digest, name.clone())).cloned();
        let bounds = bounds.ok_or_else(|| format!("no samples of `{name}_bucket`"))?;
        let count = |series: String| self.sample(request, &Selector::series(series));
        let all = count(format!("{name}_bucket"))?;
        if all == Finite::ZERO {
            return Err(format!("`{name}_bucket` has not grown in this window"));
        }
        let bucket = |bound: f64| {
            let at_most = Finite::new(bound).map_err(|error| error.to_string())?;
            let count = count(format!("{name}_bucket {bound}"))?;
            Ok(Bucket { at_most: Some(at_most), count })
        };
        let mut buckets: Vec<Bucket> =
            bounds.into_iter().map(bucket).collect::<Result<_, String>>()?;
        buckets.push(Bucket { at_most: None, count: all });
        Ok(Measurement::Histogram { digest, buckets })
    }

    /// One point: what it is now, dated to the last whole step.
    fn point(&self, step: Span, value: Finite) -> Vec<Point> {
        let step = i64::try_from(step.as_duration().as_micros()).unwrap_or(i64::MAX).max(1);
        let now = self.stage.now().as_micros();
        let at = Timestamp::from_micros(now - now.rem_euclid(step));
        vec![Point::Number { at, value, late: false }]
    }

    fn measure_now(&self, request: &MeasureRequest, lie: bool) -> Measurement {
        *lock(&self.looks).entry((request.digest, request.since)).or_default() += 1;
        let sample = |selector| self.sample(request, selector);
        let digest = if lie { super::script::other(request.digest) } else { request.digest };
        let (numerator, denominator) = match &request.metric {
            Metric::Ratio { numerator, denominator } => (numerator, denominator),
            Metric::Mean { sum, count } => (sum, count),
            Metric::Quantile { histogram, .. } => {
                let found = self.histogram(request, histogram, digest);
                return found.unwrap_or_else(|reason| Measurement::NoData { reason });
            }
            Metric::Query { query } => {
                return match self.sample(request, &Selector::series(query)) {
                    Ok(value) => Measurement::Value { digest, value, at: self.stage.now() },
                    Err(reason) => Measurement::NoData { reason },
                };
            }
            Metric::Range { query, step, .. } => {
                return match self.sample(request, &Selector::series(query)) {
                    Ok(value) => Measurement::Points { digest, points: self.point(*step, value) },
                    Err(reason) => Measurement::NoData { reason },
                };
            }
            _ => return Measurement::NoData { reason: "a metric of an unknown kind".into() },
        };
        match (sample(numerator), sample(denominator)) {
            (Ok(_), Ok(Finite::ZERO)) => {
                let reason = format!("`{}` has not grown in this window", denominator.series);
                Measurement::NoData { reason }
            }
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
        super::describe("fake-metrics").able(|can| {
            can.metrics_source.means = true;
            can.metrics_source.quantiles = true;
            can.metrics_source.queries = true;
            can.metrics_source.ranges = true;
        })
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        let call = MetricsSourceCall::Measure(request.clone());
        let operation = call.operation();
        let measure = |lie| {
            if lock(&self.targets).as_ref().is_some_and(|known| !known.contains(&request.target)) {
                let text = "there is no such target";
                return Err(ProviderError::new(ErrorKind::NotFound, operation, text)
                    .with_context("target", &request.target));
            }
            Ok(self.measure_now(&request, lie))
        };
        self.stage.play(cx, call, measure).await
    }
}
