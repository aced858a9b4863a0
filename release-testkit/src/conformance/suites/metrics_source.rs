//! The suite of [`MetricsSource`].

use std::fmt;
use std::sync::Arc;

use release_core::model::{Digest, Finite, Metric, Target};
use release_core::port::Measurement;
use release_core::time::Timestamp;
use release_providers::ErrorKind;
use release_providers::spi::{MeasureRequest, MetricsSource};
use semver::Version;

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, Hook, HookError, broken, case, hook, unanswered};

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
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, digest, .. } = self;
        write!(f, "Counters({digest} in {target})")
    }
}

impl Counters {
    /// The counters that `metric` is a ratio of, of a version that runs in `target`.
    pub const fn new(target: Target, digest: Digest, version: Version, metric: Metric) -> Self {
        Self { target, digest, version, metric, count: None }
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

    fn since(&self, since: Timestamp) -> MeasureRequest {
        let Self { target, digest, version, metric, .. } = self;
        MeasureRequest::new(target.clone(), *digest, version.clone(), metric.clone(), since)
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
    ]
);

/// The source, and counters that it may measure.
pub fn sandbox(provider: Arc<dyn MetricsSource>, counters: Counters) -> MetricsSourceSandbox {
    ProviderSandbox::of(provider, counters)
        .look("measure", true, |provider, cx, at| async move {
            text(provider.measure(&cx, at.since(Timestamp::default())).await)
        })
        .refusal("an unknown target", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = at.since(Timestamp::default());
            request.target.service = crate::fixtures::literal("a-service-that-nobody-has");
            text(provider.measure(&cx, request).await)
        })
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
        let number = |number: u32| Finite::new(f64::from(number)).unwrap_or(Finite::ZERO);
        let wanted = Measurement::Ratio {
            digest: sandbox.at.digest,
            numerator: number(part),
            denominator: number(whole),
        };
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
