//! The suite of [`MetricsSource`].

use std::fmt;
use std::sync::Arc;

use release_core::model::{Digest, Finite, Metric, Selector, Target};
use release_core::port::{Bucket, Measurement};
use release_core::time::{Span, Timestamp};
use release_providers::spi::{MeasureRequest, MetricsSource};
use release_providers::{ErrorKind, MetricsAbilities};
use semver::Version;

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{
    Broken, Check, Hook, HookError, Provided as _, broken, case, hook, refused, unanswered,
};

/// A source of metrics, and what of it the suite may use.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type MetricsSourceSandbox = ProviderSandbox<dyn MetricsSource, Counters>;

/// Two counters of one version, and whoever lets them count.
#[derive(Clone)]
#[must_use]
pub struct Counters {
    target: Target,
    digest: Digest,
    version: Version,
    metric: Metric,
    count: Option<Hook<(u32, u32), ()>>,
    histogram: Option<Observed>,
    query: Option<Asked>,
    listed: bool,
}

/// A histogram, and whoever lets it observe.
#[derive(Clone)]
struct Observed {
    name: String,
    observe: Hook<Vec<f64>, ()>,
}

/// A query, and whoever sets the number that it asks for.
#[derive(Clone)]
struct Asked {
    query: String,
    set: Hook<f64, ()>,
}

/// The bounds of the buckets of the histogram that a sandbox [lets observe](Counters::observing), beside `+Inf`.
pub const BOUNDS: [f64; 2] = [0.25, 1.0];

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, digest, .. } = self;
        write!(f, "Counters({digest} in {target})")
    }
}

impl Counters {
    /// The counters that `metric` is a ratio of, of a version that runs in `target`.
    pub const fn new(target: Target, digest: Digest, version: Version, metric: Metric) -> Self {
        let (count, histogram, query) = (None, None, None);
        Self { target, digest, version, metric, count, histogram, query, listed: false }
    }

    /// Lets the numerator grow by the first number and the denominator by the second, so that a window that began before
    /// sees it, and one that begins after does not. Without it what needs samples is skipped, and said to be.
    pub fn count<F>(mut self, count: impl Fn(u32, u32) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.count = Some(hook(move |(part, whole)| count(part, whole)));
        self
    }

    /// The source has a list of its targets: of one that it does not know it says so also while nobody can be reached.
    pub const fn of_a_list(mut self) -> Self {
        self.listed = true;
        self
    }

    /// Lets a histogram of the version, with [these](BOUNDS) buckets, observe values, so that a window that began before sees
    /// them, and one that begins after does not. Beside `…_bucket` there are `…_sum` and `…_count`. Without it what needs
    /// observations is skipped, and said to be.
    pub fn observing<F>(
        mut self,
        histogram: impl Into<String>,
        observe: impl Fn(Vec<f64>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.histogram = Some(Observed { name: histogram.into(), observe: hook(observe) });
        self
    }

    /// Sets the number that `query` asks for of the version. Without it what needs queries is skipped, and said to be.
    pub fn asking<F>(
        mut self,
        query: impl Into<String>,
        set: impl Fn(f64) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.query = Some(Asked { query: query.into(), set: hook(set) });
        self
    }

    fn since(&self, since: Timestamp) -> MeasureRequest {
        self.asked(self.metric.clone(), since)
    }

    fn asked(&self, metric: Metric, since: Timestamp) -> MeasureRequest {
        let Self { target, digest, version, .. } = self;
        MeasureRequest::new(target.clone(), *digest, version.clone(), metric, since)
    }
}

const UNCOUNTED: fn(&MetricsSourceSandbox) -> Option<&'static str> =
    |sandbox| sandbox.at.count.is_none().then_some("counters that can be made to count");

suite!(
    MetricsSource,
    "metrics_source",
    MetricsSourceSandbox,
    looking,
    [
        case!(
            growth_is_measured,
            "what counters grew by in the window is told, of the version that was asked for",
            UNCOUNTED
        ),
        case!(
            only_the_window_counts,
            "what was counted before the window is not told, and a window without growth is no data",
            UNCOUNTED
        ),
        case!(
            missing_samples_are_no_data,
            "without samples of that version there is no data, whatever others count, and never a zero"
        ),
    ],
    new in V2: [
        case!(
            undeclared_metrics_are_refused,
            "metrics of a kind that is not declared are refused (`Unsupported`); declared ones are not"
        ),
        case!(
            means_are_measured,
            "a mean is what its sum and its count grew by in the window",
            |sandbox| lacks_observations(sandbox, able(sandbox).means)
        ),
        case!(
            histograms_are_measured,
            "a quantile is answered with what all buckets grew by in the window, each with those below it",
            |sandbox| lacks_observations(sandbox, able(sandbox).quantiles)
        ),
        case!(
            queries_are_answered,
            "a query is answered with the number of the moment, of the version, and of when it is",
            |sandbox| {
                let unasked = sandbox.at.query.is_none().then_some("query whose number can be set");
                (!able(sandbox).queries).then_some(UNDECLARED).or(unasked)
            }
        ),
    ]
);

const UNDECLARED: &str = "such metrics, which are not declared";

fn able(sandbox: &MetricsSourceSandbox) -> MetricsAbilities {
    sandbox.describe().abilities.metrics_source
}

fn lacks_observations(sandbox: &MetricsSourceSandbox, declared: bool) -> Option<&'static str> {
    let unobserved =
        sandbox.at.histogram.is_none().then_some("histogram that can be made to observe");
    (!declared).then_some(UNDECLARED).or(unobserved)
}

/// The source, and counters that it may measure.
pub fn sandbox(provider: Arc<dyn MetricsSource>, counters: Counters) -> MetricsSourceSandbox {
    let listed = counters.listed;
    ProviderSandbox::of(provider, counters)
        .look("measure", true, |provider, cx, at| async move {
            text(provider.measure(&cx, at.since(Timestamp::default())).await)
        })
        .refusal("an unknown target", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = at.since(Timestamp::default());
            request.target.service = crate::fixtures::literal("a-service-that-nobody-has");
            text(provider.measure(&cx, request).await)
        })
        .known_beforehand(listed)
}

async fn growth_is_measured(sandbox: &MetricsSourceSandbox) -> Check {
    grows(sandbox, [(1, 40), (3, 60)]).await?;
    // From what they counted by now, and at first the part does not grow, which is no lack of data.
    counted(sandbox, 5, 50).await?;
    grows(sandbox, [(0, 40), (1, 10)]).await
}

/// Lets the counters count, and demands that just this is told of a window that begins now.
async fn grows(sandbox: &MetricsSourceSandbox, steps: [(u32, u32); 2]) -> Check {
    let since = sandbox.now();
    let (mut part, mut whole) = (0, 0);
    for (more_part, more_whole) in steps {
        counted(sandbox, more_part, more_whole).await?;
        part += more_part;
        whole += more_whole;
        let [numerator, denominator] = [part, whole].map(|count| number(f64::from(count)));
        let wanted = Measurement::Ratio { digest: sandbox.at.digest, numerator, denominator };
        let found = measured(sandbox, sandbox.at.since(since)).await?;
        if found != wanted {
            return Err(broken(format!("{wanted:?}"), format!("{found:?}")));
        }
    }
    Ok(())
}

async fn only_the_window_counts(sandbox: &MetricsSourceSandbox) -> Check {
    counted(sandbox, 2, 50).await?;
    let found = measured(sandbox, sandbox.at.since(sandbox.now())).await?;
    no_data("a window in which nothing was counted", &found)
}

async fn missing_samples_are_no_data(sandbox: &MetricsSourceSandbox) -> Check {
    // Only what is of the version that was asked for counts.
    counted(sandbox, 1, 20).await?;
    let mut request = sandbox.at.since(Timestamp::default());
    request.digest = Digest::of(b"a version that nobody runs");
    request.version = Version::new(9_999, 0, 0);
    let found = measured(sandbox, request).await?;
    no_data("a version that nobody runs", &found)
}

/// A metric of each kind that need not be declared, and whether it is.
fn kinds(sandbox: &MetricsSourceSandbox) -> [(Metric, bool); 4] {
    let declared = able(sandbox);
    let [sum, count] = match &sandbox.at.metric {
        Metric::Ratio { numerator, denominator } => [numerator, denominator].map(Selector::clone),
        _ => ["sum", "count"].map(Selector::series),
    };
    let histogram = Selector::series("duration_seconds");
    let quantile = number(0.5);
    let query = "1".to_owned();
    let (step, over) = (Span::secs(1), Span::secs(10));
    let range = Metric::Range { query: query.clone(), step, over };
    [
        (Metric::Mean { sum, count }, declared.means),
        (Metric::Quantile { histogram, quantile }, declared.quantiles),
        (Metric::Query { query }, declared.queries),
        (range, declared.ranges),
    ]
}

async fn undeclared_metrics_are_refused(sandbox: &MetricsSourceSandbox) -> Check {
    for (metric, declared) in kinds(sandbox) {
        let what = format!("a {}", metric.kind());
        let request = sandbox.at.asked(metric, Timestamp::default());
        let answer = sandbox.provider.measure(&sandbox.context(), request).await;
        match answer {
            Err(error) if declared && error.kind() == ErrorKind::Unsupported => {
                return Err(broken(format!("{what}, which is declared"), error));
            }
            _ if declared => {}
            answer => {
                let what = format!("{what}, which is not declared");
                refused(&what, answer, ErrorKind::Unsupported)?;
            }
        }
    }
    Ok(())
}

/// What is observed in turn, all of it exact in binary, and some on a bound; and how many of it lie in each bucket.
const OBSERVED: [(&[f64], [f64; 3]); 3] = [
    (&[0.125, 0.25, 0.5, 1.0, 4.0], [2.0, 4.0, 5.0]),
    (&[8.0], [2.0, 4.0, 6.0]),
    (&[0.0, 0.75], [3.0, 6.0, 8.0]),
];

/// Lets the histogram observe, and demands of each look that just this is told of a window that begins now; nothing in one
/// that begins after it, and of a version that nobody runs.
async fn observes(
    sandbox: &MetricsSourceSandbox,
    metric: impl Fn(&str) -> Metric,
    wanted: impl Fn(f64, [f64; 3]) -> Measurement,
) -> Check {
    let Some(Observed { name, observe }) = &sandbox.at.histogram else { return Ok(()) };
    let observed = async |values: &[f64]| {
        let done = observe(values.to_vec()).await;
        done.map_err(|error| broken("a histogram that observes", error))
    };
    observed(&[2.0, 0.125]).await?;
    let (since, mut sum) = (sandbox.now(), 0.0);
    for (values, counts) in OBSERVED {
        observed(values).await?;
        sum += values.iter().sum::<f64>();
        let (wanted, asked) = (wanted(sum, counts), sandbox.at.asked(metric(name), since));
        let found = measured(sandbox, asked).await?;
        if found != wanted {
            return Err(broken(format!("{wanted:?}"), format!("{found:?}")));
        }
    }
    let found = measured(sandbox, sandbox.at.asked(metric(name), sandbox.now())).await?;
    no_data("a window in which nothing was observed", &found)?;
    nobody_runs(sandbox, metric(name)).await
}

async fn nobody_runs(sandbox: &MetricsSourceSandbox, metric: Metric) -> Check {
    let mut request = sandbox.at.asked(metric, Timestamp::default());
    request.digest = Digest::of(b"a version that nobody runs");
    request.version = Version::new(9_999, 0, 0);
    let found = measured(sandbox, request).await?;
    no_data("a version that nobody runs", &found)
}

async fn means_are_measured(sandbox: &MetricsSourceSandbox) -> Check {
    let digest = sandbox.at.digest;
    let of = |name: &str, part: &str| Selector::series(format!("{name}_{part}"));
    let mean = |name: &str| Metric::Mean { sum: of(name, "sum"), count: of(name, "count") };
    let wanted = |sum, [_, _, all]: [f64; 3]| {
        let [numerator, denominator] = [sum, all].map(number);
        Measurement::Ratio { digest, numerator, denominator }
    };
    observes(sandbox, mean, wanted).await
}

async fn histograms_are_measured(sandbox: &MetricsSourceSandbox) -> Check {
    let digest = sandbox.at.digest;
    let quantile = |name: &str| {
        let (histogram, quantile) = (Selector::series(name), number(0.9));
        Metric::Quantile { histogram, quantile }
    };
    let wanted = |_, counts: [f64; 3]| {
        let bounds = BOUNDS.map(|bound| Some(number(bound))).into_iter().chain([None]);
        let bucket = |(at_most, count)| Bucket { at_most, count: number(count) };
        Measurement::Histogram { digest, buckets: bounds.zip(counts).map(bucket).collect() }
    };
    observes(sandbox, quantile, wanted).await
}

async fn queries_are_answered(sandbox: &MetricsSourceSandbox) -> Check {
    let Some(Asked { query, set }) = &sandbox.at.query else { return Ok(()) };
    let metric = || Metric::Query { query: query.clone() };
    let mut before = None;
    for wanted in [2.5, -0.125, 0.0] {
        set(wanted).await.map_err(|error| broken("a number that can be set", error))?;
        let found = measured(sandbox, sandbox.at.asked(metric(), sandbox.now())).await?;
        let now = sandbox.now();
        let expected =
            format!("{wanted} of {}, of a moment between the last one and now", sandbox.at.digest);
        match found {
            Measurement::Value { digest, value, at }
                if digest == sandbox.at.digest
                    && value == number(wanted)
                    && at <= now
                    && before.is_none_or(|before| at >= before) =>
            {
                before = Some(at);
            }
            other => return Err(broken(expected, format!("{other:?} at {now}"))),
        }
    }
    nobody_runs(sandbox, metric()).await
}

fn number(number: f64) -> Finite {
    Finite::new(number).unwrap_or(Finite::ZERO)
}

fn no_data(what: &str, found: &Measurement) -> Check {
    match found {
        Measurement::NoData { reason } if !reason.is_empty() => Ok(()),
        other => Err(broken(format!("no data of {what}, with the reason"), format!("{other:?}"))),
    }
}

async fn counted(sandbox: &MetricsSourceSandbox, part: u32, whole: u32) -> Check {
    let Some(count) = &sandbox.at.count else { return Ok(()) };
    count((part, whole)).await.map_err(|error| broken("counters that count", error))
}

async fn measured(
    sandbox: &MetricsSourceSandbox,
    request: MeasureRequest,
) -> Result<Measurement, Broken> {
    let answer = sandbox.provider.measure(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a measurement", &error))
}
