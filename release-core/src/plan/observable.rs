//! Whether the criteria of a release could be judged at all: by what was recorded of the versions that run before it.

use std::collections::BTreeMap;

use semver::Version;

use super::{Action, Deployment, Plan, Step};
use crate::analysis::ranged;
use crate::analysis::reading::{self, Reading, Terms};
use crate::ids::{AnalysisId, EnvironmentId, RegionId, ServiceId, StepId};
use crate::model::{Analysis, Digest, Direction, Metric, Target};
use crate::port::{Measurement, Point};
use crate::time::{Span, Timestamp};

/// What was recorded of the version that serves somewhere before a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The version's content.
    pub version: Digest,
    /// When it was measured.
    pub at: Timestamp,
    /// What came out.
    pub measurement: Measurement,
}

/// An analysis that nothing is known for: a release that relies on it would be watched by nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "analysis `{analysis}` could not be judged at {target}: of the version that serves there now, {why}; mend the metric or its source before the release"
)]
pub struct CriterionUnobservable {
    /// The analysis.
    pub analysis: AnalysisId,
    /// Where.
    pub target: Target,
    /// Which of its metrics, counted from 1 in the order in which it names them.
    pub metric: usize,
    /// What is lacking.
    pub why: String,
}

/// One metric of an analysis that may stop a release or take it back, at one place.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PlannedCriterion<'a> {
    /// The first step that goes by the analysis there.
    pub step: &'a Step,
    /// Where and what is to be judged.
    pub deployment: &'a Deployment,
    /// The analysis.
    pub analysis: &'a Analysis,
    /// Which of its metrics, counted from 1 in the order in which it names them.
    pub number: usize,
    /// The metric.
    pub metric: &'a Metric,
    /// The content and the version that serve there before the release, as the plan removes them or takes users from them; none
    /// where nothing did.
    pub before: Option<(Digest, &'a Version)>,
    /// How far back its last look may see: the bake that its window begins with, and its interval for each look that it has at
    /// the most. In the background of a rollout, all bakes of that place come in place of the one.
    pub window: Span,
}

impl PlannedCriterion<'_> {
    /// Sees whether it can be judged by what was recorded of the version before; `None` where nothing was.
    ///
    /// # Errors
    /// What is lacking: nothing recorded, no data, another version's, numbers that are none of the metric, too few samples, or a
    /// number of the moment that was not fresh when it was measured.
    pub fn observable(&self, recorded: Option<&Recorded>) -> Result<(), CriterionUnobservable> {
        let known = recorded.ok_or_else(|| "nothing was recorded".to_owned());
        let judged = known.and_then(|known| usable(self.analysis, self.metric, known));
        judged.map_err(|why| CriterionUnobservable {
            analysis: self.analysis.id.clone(),
            target: self.deployment.target.clone(),
            metric: self.number,
            why,
        })
    }
}

impl Plan {
    /// Sees whether each analysis that may stop the release or take it back can be judged where it is to be: on what was recorded of
    /// the version that serves there now. What was never measured of the old version will hardly be of the new one. To be asked
    /// before the release begins; `recorded` tells the newest window of a metric, and `None` where nothing is kept. The registry
    /// of `release-providers` asks the sources themselves.
    ///
    /// Dry runs are not asked after, nor are signals, which no source holds before they come.
    ///
    /// # Errors
    /// All analyses without usable data, each with the place and what is lacking, as [`PlannedCriterion::observable`] says it.
    ///
    /// ```no_run
    /// use release_core::plan::Recorded;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let definition: release_core::model::Definition = serde_json::from_str("{}")?;
    /// # fn last_window(_: &release_core::model::Target) -> Option<Recorded> { None }
    /// let plan = release_core::plan::plan(&definition)?;
    /// if let Err(missing) = plan.observable(|target, _metric| last_window(target)) {
    ///     missing.iter().for_each(|criterion| eprintln!("{criterion}"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn observable(
        &self,
        mut recorded: impl FnMut(&Target, &Metric) -> Option<Recorded>,
    ) -> Result<(), Vec<CriterionUnobservable>> {
        let mut missing = Vec::new();
        for criterion in self.criteria() {
            let known = recorded(&criterion.deployment.target, criterion.metric);
            missing.extend(criterion.observable(known.as_ref()).err());
        }
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }

    /// What may stop the release or take it back by what is measured: each metric of each analysis, once for each place, in the
    /// order of the steps. Dry runs are none.
    pub fn criteria(&self) -> Vec<PlannedCriterion<'_>> {
        let (bakes, served) = (Bakes::of(self.steps()), served(self.steps()));
        let mut windows: BTreeMap<(&Target, &AnalysisId), Span> = BTreeMap::new();
        for step in self.steps() {
            let Action::Analyze { deployment, analysis, .. } = &step.action else { continue };
            if !analysis.dry_run {
                let longest = windows.entry((&deployment.target, &analysis.id)).or_default();
                *longest = bakes.window(step).max(*longest);
            }
        }
        let mut criteria = Vec::new();
        for step in self.steps() {
            let Action::Analyze { deployment, analysis, beside, .. } = &step.action else {
                continue;
            };
            if analysis.dry_run {
                continue;
            }
            // The first step takes it; none is left for those after it.
            let Some(window) = windows.remove(&(&deployment.target, &analysis.id)) else {
                continue;
            };
            let new = deployment.artifact.digest();
            let compared = beside.as_deref().map(|beside| {
                let Deployment { artifact, version, .. } = &*beside.baseline;
                (artifact.digest(), version)
            });
            let known = || {
                let there = served.get(&spot(&deployment.target)).into_iter().flatten();
                there.copied().find(|(digest, _)| *digest != new)
            };
            let before = compared.or_else(known);
            criteria.extend(analysis.metrics().zip(1..).map(|(metric, number)| PlannedCriterion {
                step,
                deployment,
                analysis,
                number,
                metric,
                before,
                window,
            }));
        }
        criteria
    }
}

/// A target, on whichever track.
type Spot<'a> = (&'a EnvironmentId, &'a RegionId, &'a ServiceId);

const fn spot(target: &Target) -> Spot<'_> {
    (&target.environment, &target.region, &target.service)
}

/// What steps start, remove or send users to, by target.
fn served(steps: &[Step]) -> BTreeMap<Spot<'_>, Vec<(Digest, &Version)>> {
    let mut served: BTreeMap<_, Vec<(Digest, &Version)>> = BTreeMap::new();
    let mut note = |target, digest, version| {
        let there = served.entry(spot(target)).or_default();
        if there.iter().all(|(known, _)| *known != digest) {
            there.push((digest, version));
        }
    };
    for step in steps {
        match &step.action {
            Action::Scale { deployment, .. } => {
                let Deployment { target, artifact, version } = &**deployment;
                note(target, artifact.digest(), version);
            }
            Action::Route { target, weights, .. } => {
                for weight in weights {
                    note(target, weight.digest, &weight.version);
                }
            }
            _ => {}
        }
    }
    served
}

/// Where a step belongs.
type Scope<'a> = Option<(&'a EnvironmentId, Option<&'a RegionId>, Option<&'a ServiceId>)>;

/// How long is baked: in each step, and in all of one place.
pub(super) struct Bakes<'a> {
    steps: BTreeMap<&'a StepId, Span>,
    places: BTreeMap<Scope<'a>, Span>,
}

impl<'a> Bakes<'a> {
    pub(super) fn of(all: &'a [Step]) -> Self {
        let (mut steps, mut places) = (BTreeMap::new(), BTreeMap::<_, Span>::new());
        for step in all {
            let Action::Bake { duration } = &step.action else { continue };
            steps.insert(&step.id, *duration);
            // What keeps the old version comes after the rollout.
            if !step.finale {
                let all = places.entry(scope(step)).or_default();
                *all = all.as_duration().saturating_add(duration.as_duration()).into();
            }
        }
        Self { steps, places }
    }

    /// How far back the first look of a step sees.
    pub(super) fn before(&self, step: &Step) -> Span {
        let Action::Analyze { analysis, from, .. } = &step.action else { return Span::ZERO };
        let baked = from.as_ref().and_then(|from| self.steps.get(from)).copied();
        longer(baked.unwrap_or_default(), analysis.begin_after.unwrap_or_default())
    }

    /// How far back the last look of a step may see.
    fn window(&self, step: &'a Step) -> Span {
        let Action::Analyze { analysis, until, .. } = &step.action else { return Span::ZERO };
        let before = if until.is_some() {
            let baked = self.places.get(&scope(step)).copied().unwrap_or_default();
            longer(baked, analysis.begin_after.unwrap_or_default())
        } else {
            self.before(step)
        };
        let looks = if analysis.compares() || analysis.consecutive_good.is_some() {
            analysis.count
        } else {
            let tolerated = analysis.failure_limit.saturating_add(analysis.inconclusive_limit);
            analysis.count.saturating_add(tolerated)
        };
        let looking = analysis.interval.as_duration().saturating_mul(looks.max(1));
        longer(before, looking.into())
    }
}

fn longer(span: Span, by: Span) -> Span {
    span.as_duration().saturating_add(by.as_duration()).into()
}

fn scope(step: &Step) -> Scope<'_> {
    let place = step.scope.place()?;
    Some((&place.environment, place.region.as_ref(), place.service.as_ref()))
}

/// Why nothing could be judged by it, if so.
fn usable(analysis: &Analysis, metric: &Metric, known: &Recorded) -> Result<(), String> {
    if matches!(metric, Metric::Range { .. }) {
        let facts = ranged::facts(known.version, &known.measurement)?;
        let numbers = facts.iter().filter(|fact| fact.number().is_some());
        let newest = numbers.filter_map(Point::at).max();
        let newest = newest.ok_or_else(|| "the range has no number".to_owned())?;
        return reading::fresh(newest, known.at, analysis);
    }
    let terms = Terms { direction: Direction::LowerIsBetter, above: None };
    match reading::read(metric, known.version, &known.measurement, terms)? {
        Reading::Now { at, .. } => reading::fresh(at, known.at, analysis),
        Reading::Part { whole, .. } => {
            let (enough, least) = (whole >= 1.0, analysis.min_samples);
            let least_known = u32::try_from(least).map_or(f64::MAX, f64::from);
            if enough && whole >= least_known {
                Ok(())
            } else {
                Err(format!("there were {whole} samples of the {} that it needs", least.max(1)))
            }
        }
    }
}
