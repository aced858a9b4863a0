//! Analyses that compare versions: whether their rules make sense, whether there is something to compare with, among how many
//! the chance of a false alarm is divided, and whether they can find what they are to find.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check::{criteria, strategic};
use super::judges;
use super::observable::Bakes;
use super::strategy::{Judged, Known};
use super::{Action, Plan, PlanError, Step};
use crate::analysis::{DETECTS, PASSES, Power, fewest_samples, power_after};
use crate::ids::{AnalysisId, StepId};
use crate::model::{
    Analysis, Bound, Definition, Edition, Finite, Judge, Metric, Sequential, Threshold, Tier,
    Undecided, Unit,
};
use crate::time::Span;

/// Finds what makes no sense in the rule of an analysis.
pub(super) fn check_rule(analysis: &Analysis, errors: &mut Vec<PlanError>) {
    errors.extend(unitless(analysis));
    let mut bad = |problem: &str| {
        let (analysis, problem) = (analysis.id.clone(), problem.to_owned());
        errors.push(PlanError::BadRule { analysis, problem });
    };
    let zero = Finite::ZERO;
    if let Metric::Quantile { quantile, .. } = &analysis.metric
        && !(quantile.get() > 0.0 && quantile.get() < 1.0)
    {
        bad("`quantile` has to lie between 0 and 1; write 0.99 for the 99th percentile");
    }
    if analysis.min_samples == 0 && !analysis.metrics().all(Metric::asks) {
        bad(
            "`min_samples` is 0, and no sample tells nothing; set how many do, such as 100 requests",
        );
    }
    check_rows(analysis, &mut bad);
    judges::check_ranges(analysis, &mut bad);
    let rule = match &analysis.judge {
        Judge::Threshold(limits) => return check_limits(limits, bad),
        Judge::Sequential(rule) => rule,
        Judge::BurnRate(rule) => return judges::check_burn(analysis, rule, bad),
        Judge::Cusum(rule) => return judges::check_cusum(analysis, rule, bad),
        Judge::Scorecard(card) => return judges::check_scorecard(analysis, card, bad),
        Judge::Objectives(rule) => return judges::check_objectives(rule, bad),
    };
    let Sequential { alpha, margin, expected, .. } = rule;
    if !(alpha.get() > 0.0 && alpha.get() < 1.0) {
        bad(
            "`alpha` has to lie between 0 and 1; 0.05 is one false alarm in twenty runs at the most",
        );
    }
    if margin.relative < zero
        || margin.absolute < zero
        || (margin.relative, margin.absolute) == (zero, zero)
    {
        bad(
            "`margin` leaves no room, and no version could be shown to be within it; set `relative` or `absolute` above 0",
        );
    }
    if expected.per_second <= zero {
        bad("`expected.per_second` has to be above 0: without traffic nothing can be found");
    }
    if expected.detect.get() <= 1.0 {
        bad("`expected.detect` has to be above 1: 3 is three times as bad");
    }
    let quantile = matches!(analysis.metric, Metric::Quantile { .. });
    if quantile && margin.absolute > zero {
        bad(
            "`margin.absolute` is an amount of the unit, and of a quantile it is compared how many observations lie beyond it; leave it out and set `margin.relative`: 0.5 lets half as many more be slow",
        );
    }
    if analysis.metric.counts() {
        if !quantile && rule.unit != Unit::Share {
            bad("a ratio of counts is a share; set `unit` to `share`");
        }
        let possible = expected.value.get() > 0.0 && expected.value.get() < 1.0;
        if !quantile && !possible {
            bad("`expected.value` has to lie between 0 and 1: the share that is usual");
        }
    } else {
        if expected.value == zero {
            bad("`expected.value` is missing; set the value that is usual");
        }
        if expected.spread <= zero {
            bad(
                "`expected.spread` is missing; set by how much values usually differ from look to look",
            );
        }
    }
}

/// Limits on numbers of which nobody knows what they are numbers of.
fn unitless(analysis: &Analysis) -> Vec<PlanError> {
    let lacking = |metric: &Metric, unit: Option<Unit>, of: String| {
        let lacks = unit.or(metric.unit()).is_none();
        lacks.then(|| PlanError::NoUnit { analysis: analysis.id.clone(), of })
    };
    match &analysis.judge {
        Judge::Threshold(limits) => {
            let of = format!("its {}", analysis.metric.kind());
            lacking(&analysis.metric, limits.unit, of).into_iter().collect()
        }
        Judge::Objectives(rule) => {
            let lacking = rule.of.iter().filter_map(|objective| {
                lacking(
                    &objective.metric,
                    objective.unit,
                    format!("objective `{}`", objective.name),
                )
            });
            lacking.collect()
        }
        // A burn rate is one of ratios, a scorecard compares ranks, and the others have a unit.
        Judge::Sequential(_) | Judge::BurnRate(_) | Judge::Cusum(_) | Judge::Scorecard(_) => {
            Vec::new()
        }
    }
}

/// Rows that could never be reached, or that say nothing.
fn check_rows(analysis: &Analysis, mut bad: impl FnMut(&str)) {
    if analysis.consecutive_good.is_some_and(|row| row == 0 || row > analysis.count) {
        bad(&format!(
            "`consecutive_good` has to be from 1 to `count`, {}, which is how often it is looked at the most then; raise `count`",
            analysis.count
        ));
    }
    if analysis.consecutive_good.is_some() && analysis.judge.sums_up() {
        bad(
            "`consecutive_good` counts looks that each say something alone; leave it out, this judge sums all looks up",
        );
    }
}

/// What is good must not be bad as well.
fn check_limits(limits: &Threshold, mut bad: impl FnMut(&str)) {
    let sound = match (limits.success, limits.failure) {
        (_, None) => true,
        (Bound::AtMost(good), Some(Bound::AtMost(bad))) => good <= bad,
        (Bound::AtLeast(good), Some(Bound::AtLeast(bad))) => good >= bad,
        (_, Some(_)) => false,
    };
    if !sound {
        bad("`failure` has to leave more room than `success`, to the same side");
    }
}

/// Finds analyses that compare versions where a stage never serves both.
pub(super) fn check_places(
    definition: &Definition,
    strategies: &[Option<Known<'_>>],
    errors: &mut Vec<PlanError>,
) {
    let compares = |id: &AnalysisId| {
        definition.analyses.iter().any(|analysis| analysis.id == *id && analysis.compares())
    };
    for (_, stage, strategy) in strategic(definition, strategies) {
        let mut nothing = |analysis: &AnalysisId, place: &str| {
            let (environment, analysis) = (stage.environment.clone(), analysis.clone());
            errors.push(PlanError::NothingBeside { environment, analysis, place: place.into() });
        };
        let judged = strategy.judged();
        for Judged { analyses, alone } in &judged {
            let Some(place) = alone else { continue };
            analyses.iter().filter(|id| compares(id)).for_each(|id| nothing(id, place));
        }
        stage.before_traffic.iter().filter(|id| compares(id)).for_each(|id| {
            nothing(id, "before traffic comes");
        });
        let production = definition
            .environments
            .iter()
            .any(|other| other.id == stage.environment && other.tier == Tier::Production);
        // Where nothing ran before, nothing is judged.
        let replaces = !definition.release.previous.members.is_empty();
        let serves_both = judged.is_empty() || judged.iter().any(|judged| judged.alone.is_none());
        if production && replaces && !serves_both {
            let named = criteria(definition).into_iter().filter(|id| compares(id));
            named.for_each(|id| nothing(id, "all the time"));
        }
    }
}

/// Finds analyses that only tell where something has to be decided by them.
pub(super) fn check_dry_runs(definition: &Definition, errors: &mut Vec<PlanError>) {
    let before = definition.stages.iter().flat_map(|stage| &stage.before_traffic);
    let deciding: BTreeSet<&AnalysisId> = criteria(definition).into_iter().chain(before).collect();
    let dry = definition.analyses.iter().filter(|analysis| analysis.dry_run);
    for Analysis { id, .. } in dry.filter(|analysis| deciding.contains(&analysis.id)) {
        let problem = "is measured in dry run and decides nothing, and the criteria of rollback or `before_traffic` go by it; take `dry_run` out, or name another there";
        errors.push(PlanError::BadRule { analysis: id.clone(), problem: problem.into() });
    }
}

/// Divides the chance of a false alarm among all steps that compare versions, which go by the latest numbers; and says what
/// follows where they end without a finding, if nobody said it.
pub(super) fn share_out(steps: &mut [Step]) {
    rewrite(steps, |rule, undecided| {
        (rule.comparisons, rule.edition) = (1, Edition::default());
        if *undecided == Undecided::Unsaid {
            *undecided = Undecided::HoldUndetermined;
        }
    });
    divide(steps);
}

/// Divides the chance of a false alarm among all steps that compare versions. Analyses that are divided among more keep that; to
/// do it twice changes nothing.
pub(super) fn divide(steps: &mut [Step]) {
    let all = u32::try_from(steps.iter().filter_map(comparison).count()).unwrap_or(u32::MAX);
    if steps.iter().filter_map(comparison).any(|rule| rule.comparisons < all) {
        rewrite(steps, |rule, _| rule.comparisons = rule.comparisons.max(all));
    }
}

/// The rule of a step that compares versions. Other judges have no such chance, or say it themselves.
fn comparison(step: &Step) -> Option<&Sequential> {
    let Action::Analyze { beside: Some(_), analysis, .. } = &step.action else { return None };
    match &analysis.judge {
        Judge::Sequential(rule) => Some(rule),
        _ => None,
    }
}

/// Changes the rules of all steps that compare versions. What was one analysis stays one; two that are called the same and differ
/// stay two.
fn rewrite(steps: &mut [Step], change: impl Fn(&mut Sequential, &mut Undecided)) {
    let mut known: BTreeMap<AnalysisId, Vec<[Arc<Analysis>; 2]>> = BTreeMap::new();
    for step in steps.iter_mut().filter(|step| comparison(step).is_some()) {
        let Action::Analyze { analysis, .. } = &mut step.action else { continue };
        let same = known.entry(analysis.id.clone()).or_default();
        let found = same.iter().find(|[before, _]| *before == *analysis);
        if let Some([_, own]) = found {
            *analysis = Arc::clone(own);
            continue;
        }
        let mut own = Analysis::clone(analysis);
        if let Judge::Sequential(rule) = &mut own.judge {
            change(rule, &mut own.undecided);
        }
        let own = Arc::new(own);
        same.push([std::mem::replace(analysis, Arc::clone(&own)), own]);
    }
}

impl Plan {
    /// What each step that compares versions by a sequential test can find within its looks, if the traffic is as expected:
    /// stated before anything runs.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let definition: release_core::model::Definition = serde_json::from_str("{}")?;
    /// let plan = release_core::plan::plan(&definition)?;
    /// for (step, power) in plan.power() {
    ///     println!("{step}: {power}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn power(&self) -> Vec<(&StepId, Power)> {
        let bakes = Bakes::of(self.steps());
        let of = |step: &'_ Step| match &step.action {
            Action::Analyze { analysis, beside: Some(beside), .. } => {
                // What cannot be told was refused when the plan was made.
                power_after(analysis, beside.share, bakes.before(step)).ok().flatten()
            }
            _ => None,
        };
        self.steps().iter().filter_map(|step| Some((&step.id, of(step)?))).collect()
    }
}

/// Finds steps that compare with nothing, and such that could not find what they are to find.
pub(super) fn check_steps(steps: &[Step], errors: &mut Vec<PlanError>) {
    let (mut seen, bakes) = (BTreeSet::new(), Bakes::of(steps));
    for step in steps {
        let Action::Analyze { analysis, beside, .. } = &step.action else { continue };
        let mut bad = |problem: String| {
            let analysis = analysis.id.clone();
            errors.push(PlanError::BadRule { analysis, problem });
        };
        let share = match (analysis.compares(), beside) {
            (false, None) => continue,
            (true, Some(beside)) if (1..100).contains(&beside.share) => beside.share,
            (true, Some(beside)) => {
                bad(format!(
                    "step `{}` gives it a share of {} %; both versions have to be served",
                    step.id, beside.share
                ));
                continue;
            }
            (true, None) => {
                bad(format!("step `{}` says not what it is compared with; set `beside`", step.id));
                continue;
            }
            (false, Some(_)) => {
                bad(format!(
                    "step `{}` has `beside`, and its rule compares nothing; leave it out",
                    step.id
                ));
                continue;
            }
        };
        let before = bakes.before(step);
        if seen.insert((&analysis.id, Arc::as_ptr(analysis), share, before)) {
            blind(analysis, (share, before), errors);
        }
    }
}

fn blind(analysis: &Analysis, (share, before): (u8, Span), errors: &mut Vec<PlanError>) {
    let known = errors.len();
    check_rule(analysis, errors);
    if errors.len() > known {
        return;
    }
    let problem = match power_after(analysis, share, before) {
        Ok(Some(found)) => {
            too_few(analysis, (share, before)).or_else(|| too_little(analysis, &found))
        }
        Ok(None) => None,
        Err(error) => Some(error.to_string()),
    };
    if let Some(problem) = problem {
        errors.push(PlanError::Blind { analysis: analysis.id.clone(), share, problem });
    }
}

/// What is missing to conclude anything.
fn too_few(analysis: &Analysis, setting: (u8, Span)) -> Option<String> {
    let Judge::Sequential(rule) = &analysis.judge else { return None };
    let found = fewest_samples(analysis, rule, setting);
    let least = u32::try_from(analysis.min_samples).map_or(f64::MAX, f64::from);
    let fixed = match analysis.metric {
        Metric::Quantile { .. } => {
            " once it is known where the quantile of the old version lies, which takes observations, too"
        }
        _ => "",
    };
    (found < least).then(|| {
        format!(
            "{found:.0} samples of one of the versions are expected by the last look{fixed}, and `min_samples` is {}: nothing could ever be concluded. Look longer, give it more traffic, or lower `min_samples`",
            analysis.min_samples
        )
    })
}

/// What is missing to find harm, or to see that there is none.
fn too_little(analysis: &Analysis, found: &Power) -> Option<String> {
    let Judge::Sequential(rule) = &analysis.judge else { return None };
    let (looks, requests) = (analysis.count, rule.expected.per_second);
    let within =
        format!("within {looks} looks of {} at {requests} requests a second", analysis.interval);
    if found.detects < DETECTS {
        let instead = found.detectable.map_or_else(
            || "no harm at all would be".to_owned(),
            |harm| format!("{harm:.2} times as bad would be"),
        );
        return Some(format!(
            "{} times as bad would be found with {:.0} % {within}, at least {:.0} % are needed; {instead}. Look longer, give it more traffic, or ask for less",
            rule.expected.detect,
            found.detects * 100.0,
            DETECTS * 100.0,
        ));
    }
    // Of all comparisons together, so many have to pass.
    let needed = Power::passes_each(rule.comparisons);
    (found.passes < needed).then(|| {
        format!(
            "a version that is no worse would be shown to be within the margin with {:.1} % {within}, at least {:.1} % are needed, so that it passes all of the plan's {} comparisons with {:.0} %. Look longer, give it more traffic, or widen `margin`",
            found.passes * 100.0,
            needed * 100.0,
            rule.comparisons.max(1),
            PASSES * 100.0,
        )
    })
}
