//! Asks metric sources before a run begins whether what is to judge it was measured at all.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use release_core::model::{AnalysisId, Metric, Principal, Selector, Target};
use release_core::plan::{CriterionUnobservable, Plan, PlannedCriterion, Recorded};
use release_core::port::{BindingError, Measurement};
use release_core::time::{Span, Timestamp};
use semver::Version;

use super::{Bound, ProviderSelector, Registry, missing};
use crate::spi::MeasureRequest;
use crate::{Context, ErrorKind, ProviderError};

/// How many questions are under way at once.
const AT_ONCE: usize = 16;
/// How long the engine waits for each answer before a run.
const PATIENCE: Span = Span::secs(30);

/// A criterion of a plan that nobody has shown to be observable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotObservable {
    /// Nobody measures it.
    #[error(transparent)]
    Unbound(BindingError),
    /// Its source holds nothing by which it could be judged.
    #[error("{criterion}; asked was `{provider}` for {metric} of version {version} {window}")]
    Unobservable {
        /// The analysis, its place, and what is lacking.
        criterion: Box<CriterionUnobservable>,
        /// What the source calls itself.
        provider: String,
        /// The metric, in words.
        metric: String,
        /// The version that serves there now.
        version: Version,
        /// Of which time.
        window: String,
    },
    /// Its source could not be asked, so that nobody knows what it holds.
    #[error(
        "analysis `{analysis}` at {target}: `{provider}` could not be asked for {metric}: {error}; whether it can be judged is not known, so ask again once the source answers"
    )]
    NotAsked {
        /// The analysis.
        analysis: AnalysisId,
        /// Where.
        target: Box<Target>,
        /// What the source calls itself.
        provider: String,
        /// The metric, in words.
        metric: String,
        /// What the source said.
        error: Box<ProviderError>,
    },
}

impl Registry {
    /// Sees before a run of `plan` begins whether each analysis that may stop it or take it back can be judged: asks the source that
    /// would measure it, for the same metrics, of the version that serves there now, over a window as long as the longest
    /// that the analysis may have ([`PlannedCriterion::window`]), which ends now. What was never measured of the old version will
    /// hardly be of the new one.
    ///
    /// Of instances on a track nothing is known before they run: there the version is asked for as a whole. That a new version
    /// gets only a share of the requests is not reckoned with. Dry runs are not asked after.
    ///
    /// Nothing was measured where nothing served: of a first release nothing can be said. These targets are returned; there it is only
    /// seen that a source is registered for what is to be measured.
    ///
    /// # Errors
    /// All criteria that are not known to be observable, in the order of the plan: [`NotObservable`] says of each whether its source has
    /// nothing to judge by (no data, too little, a target or a query that it refuses), whether it could not be asked, or
    /// whether there is none.
    ///
    /// ```no_run
    /// use release_providers::{Clock, Context, Registry, Span, model::Principal};
    /// # async fn host(registry: Registry, clock: impl Clock, plan: release_core::plan::Plan) -> Result<(), Box<dyn std::error::Error>> {
    /// let deadline = clock.now().plus(Span::secs(30));
    /// let cx = Context::new("before-release-7", deadline, Principal::human("ada".parse()?));
    /// match registry.observable(&cx, &plan).await {
    ///     Ok(first) => first.iter().for_each(|target| println!("nothing serves in {target} yet")),
    ///     Err(problems) => {
    ///         problems.iter().for_each(|problem| eprintln!("{problem}"));
    ///         return Err("the release would be watched by nobody".into());
    ///     }
    /// }
    /// // and then hand the plan to `Engine::start`
    /// # Ok(()) }
    /// ```
    pub async fn observable(
        &self,
        cx: &Context,
        plan: &Plan,
    ) -> Result<BTreeSet<Target>, Vec<NotObservable>> {
        let (mut first, mut problems) = (BTreeSet::new(), Vec::new());
        for (_, answer) in self.recorded_of_all(&|| cx.clone(), plan).await {
            match answer {
                Ok(unserved) => first.extend(unserved),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(first) } else { Err(problems) }
    }

    /// Whether the engine starts no run of which something could not be judged: it has the registry ask, for whoever starts the run and
    /// within 30 s for each, what [`observable`](Self::observable) asks, and refuses with all that is missing
    /// ([`EngineError::Unobservable`](release_core::engine::EngineError::Unobservable)). What nothing serves yet is no obstacle; a source that
    /// does not answer is one, also for a release that goes back: keep a registry without this for an incident in which it is the
    /// source that fails. Migrated runs are not asked about. Off unless it is set: then a host asks where and when it wants to.
    ///
    /// ```
    /// # use release_providers::Registry;
    /// # fn f(registry: Registry) -> Registry {
    /// registry.judged(true)
    /// # }
    /// ```
    #[must_use]
    pub const fn judged(mut self, wanted: bool) -> Self {
        self.judged = wanted;
        self
    }

    /// What the engine asks before a run.
    pub(crate) async fn can_be_judged(
        &self,
        plan: &Plan,
        requester: &Principal,
    ) -> Result<(), Vec<CriterionUnobservable>> {
        if !self.judged {
            return Ok(());
        }
        let cx = || {
            let deadline = self.clock.now().plus(PATIENCE);
            Context::new("before-a-run", deadline, requester.clone())
        };
        let unobservable =
            |(criterion, answer): (PlannedCriterion<'_>, Result<_, NotObservable>)| {
                let why = match answer.err()? {
                    NotObservable::Unobservable { criterion, .. } => return Some(*criterion),
                    other => other.to_string(),
                };
                let (analysis, metric) = (criterion.analysis.id.clone(), criterion.number);
                let target = criterion.deployment.target.clone();
                Some(CriterionUnobservable { analysis, target, metric, why })
            };
        let answers = self.recorded_of_all(&cx, plan).await.into_iter();
        let missing: Vec<_> = answers.filter_map(unobservable).collect();
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }

    /// Asks for all metrics, some at once, each in a context of its own; each answer with what it is about, in the order of the plan.
    async fn recorded_of_all<'p>(
        &self,
        cx: &(impl Fn() -> Context + Sync),
        plan: &'p Plan,
    ) -> Vec<(PlannedCriterion<'p>, Result<Option<Target>, NotObservable>)> {
        let (criteria, mut all) = (plan.criteria(), Vec::new());
        for some in criteria.chunks(AT_ONCE) {
            let contexts: Vec<Context> = some.iter().map(|_| cx()).collect();
            let asked = some.iter().zip(&contexts).map(|(one, cx)| self.recorded(cx, one));
            all.extend(some.iter().copied().zip(join_all(asked).await));
        }
        all
    }

    /// Asks for one metric; the target, where nothing serves yet.
    async fn recorded(
        &self,
        cx: &Context,
        criterion: &PlannedCriterion<'_>,
    ) -> Result<Option<Target>, NotObservable> {
        let step = criterion.step;
        let Bound::Metrics(source) = self.bind(step).map_err(NotObservable::Unbound)? else {
            let problem = missing("metrics_source", &ProviderSelector::everywhere());
            return Err(NotObservable::Unbound(BindingError { step: step.id.clone(), problem }));
        };
        // What runs on a track runs as a part of the whole before.
        let target = Target { track: None, ..criterion.deployment.target.clone() };
        let Some((digest, version)) = criterion.before else { return Ok(Some(target)) };
        let since = before(self.clock.now(), criterion.window);
        let metric = criterion.metric.clone();
        let request = MeasureRequest::new(target.clone(), digest, version.clone(), metric, since);
        let answer = source.measure(cx, request).await;
        let (provider, metric) = (source.describe().name, words(criterion.metric));
        let measurement = match answer {
            Ok(measurement) => measurement,
            Err(error) if refuses(&error) => Measurement::NoData { reason: error.to_string() },
            Err(error) => {
                let (analysis, error) = (criterion.analysis.id.clone(), Box::new(error));
                let target = Box::new(target);
                return Err(NotObservable::NotAsked { analysis, target, provider, metric, error });
            }
        };
        let recorded = Recorded { version: digest, at: self.clock.now(), measurement };
        criterion.observable(Some(&recorded)).map_err(|found| {
            let window = match criterion.metric {
                Metric::Query { .. } => "of this moment".to_owned(),
                _ => format!("in the last {}", criterion.window),
            };
            let (criterion, version) = (Box::new(found), version.clone());
            NotObservable::Unobservable { criterion, provider, metric, version, window }
        })?;
        Ok(None)
    }
}

/// Whether a source that was reached says that it has no such thing: then there is none to judge by.
const fn refuses(error: &ProviderError) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unsupported)
}

fn before(now: Timestamp, window: Span) -> Timestamp {
    let long = i64::try_from(window.as_duration().as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(long))
}

/// The metric, as people know it.
fn words(metric: &Metric) -> String {
    match metric {
        Metric::Ratio { numerator, denominator } => {
            format!("the ratio of `{}` to `{}`", series(numerator), series(denominator))
        }
        Metric::Mean { sum, count } => {
            format!("the mean of `{}` by `{}`", series(sum), series(count))
        }
        Metric::Quantile { histogram, quantile } => {
            format!("the quantile {quantile} of `{}`", series(histogram))
        }
        Metric::Query { query } => format!("the query `{query}`"),
        Metric::Range { query, step, .. } => format!("the query `{query}` at every {step}"),
        other => format!("a {}", other.kind()),
    }
}

fn series(selector: &Selector) -> String {
    let Selector { series, labels } = selector;
    if labels.is_empty() {
        return series.clone();
    }
    let labels: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    format!("{series}{{{}}}", labels.join(","))
}
