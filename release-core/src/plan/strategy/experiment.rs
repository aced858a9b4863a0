//! Fresh instances that run beside the others for a while: as many of the old version as of the new one, or any sets of either.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::shares::steered;
use super::{Site, StrategyError};
use crate::ids::TrackId;
use crate::model::{CanaryScale, Experiment, ExperimentTemplate, TemplateVersion, TrafficRules};
use crate::plan::{Action, Beside, Compensation, Deployment, Step, Undo, UndoPhase, Weight};
use crate::time::Span;

/// What the fresh instances are called.
const BASELINE: &str = "baseline";

/// What is wrong with an experiment at a share of `weight`.
pub(super) fn problem(experiment: &Experiment, weight: u8) -> Option<String> {
    if !experiment.templates.is_empty() {
        return sets_problem(experiment, weight);
    }
    let share = experiment.share;
    if !(1..=49).contains(&share) || share < weight {
        let least = weight.max(1);
        return Some(if least > 49 {
            format!(
                "a weight of {weight} leaves no room for an experiment, whose two sides get at most 49 % each; move it to an earlier step"
            )
        } else {
            format!(
                "`experiment.share` is {share}; write a whole number from {least} to 49, or `templates` for instances without traffic"
            )
        });
    }
    (experiment.replicas == 0).then(|| "`experiment.replicas` is 0; set 1 or more".into())
}

/// What is wrong with an experiment of sets that run side by side.
fn sets_problem(experiment: &Experiment, weight: u8) -> Option<String> {
    let Experiment { share, replicas, bake, analyses, templates } = experiment;
    if *share > 0 || *replicas > 0 {
        return Some("`experiment.templates` say `share` and `replicas` themselves; leave these out beside them".into());
    }
    let mut names = BTreeSet::new();
    for template in templates {
        let name = &template.name;
        if !names.insert(name) {
            return Some(format!("`experiment.templates` has `{name}` twice; rename one"));
        }
        if template.replicas == 0 {
            return Some(format!("the template `{name}` has 0 `replicas`; set 1 or more"));
        }
        if let Some(problem) =
            template.metadata.problem(&format!("experiment.templates.{name}.metadata"))
        {
            return Some(problem);
        }
    }
    let shares: u32 = templates.iter().map(|template| u32::from(template.share)).sum();
    let left = u32::from(100_u8.saturating_sub(weight));
    if shares > left {
        return Some(format!(
            "`experiment.templates` get {shares} % of the traffic, and a weight of {weight} leaves {left}; lower a `share`"
        ));
    }
    (shares == 0 && *bake == Span::ZERO && analyses.is_empty()).then(|| {
        "`experiment.templates` would be started and stopped, and nobody would look; set `bake` or `analyses`".into()
    })
}

/// Where in its rollout an experiment stands: what its steps are called, and what traffic it returns to.
pub(super) struct Around<'a> {
    pub(super) prefix: &'a str,
    pub(super) weight: u8,
    /// How many instances of the old version run.
    pub(super) old: u32,
    pub(super) rules: TrafficRules,
}

/// Starts what runs beside the others, gives each its share, judges, and ends it.
pub(super) fn steps(
    experiment: &Experiment,
    site: &Site<'_>,
    around: &Around<'_>,
) -> Result<Vec<Step>, StrategyError> {
    let Some(old) = site.old_version() else { return Ok(Vec::new()) };
    let course = Course { experiment, site, around, old };
    if experiment.templates.is_empty() { course.compared() } else { course.side_by_side() }
}

/// The fresh instances of one template.
struct Set<'a> {
    of: &'a ExperimentTemplate,
    deployment: Arc<Deployment>,
}

impl Set<'_> {
    fn run(&self, replicas: u32) -> Action {
        let carried = Some(&self.of.metadata).filter(|all| replicas > 0 && !all.is_empty());
        let metadata = carried.cloned().map(Arc::new);
        Action::Scale { deployment: self.deployment.clone(), replicas, apart: None, metadata }
    }

    fn gone(&self) -> Undo {
        let undo = Compensation { action: self.run(0), phase: UndoPhase::Retire };
        Undo::Compensate(vec![undo])
    }
}

/// The steps of one experiment.
struct Course<'a> {
    experiment: &'a Experiment,
    site: &'a Site<'a>,
    around: &'a Around<'a>,
    old: &'a Arc<Deployment>,
}

impl Course<'_> {
    fn at(&self, name: &str) -> String {
        format!("{}experiment{name}", self.around.prefix)
    }

    /// `version`, on the track of that name.
    fn on(version: &Deployment, track: TrackId) -> Arc<Deployment> {
        let target = version.target.clone().on(track);
        Arc::new(Deployment { target, ..version.clone() })
    }

    /// The new version beside as many fresh instances of the old one.
    fn compared(&self) -> Result<Vec<Step>, StrategyError> {
        let Self { experiment, site, around, old } = self;
        let (share, replicas) = (experiment.share, experiment.replicas);
        let track = TrackId::new(BASELINE)?;
        let of = &ExperimentTemplate::new(track.clone(), TemplateVersion::Old, replicas);
        let set = Set { of, deployment: Self::on(old, track) };
        let mut weights = vec![
            Site::share_of(old, 100 - 2 * share),
            Site::share_of(&set.deployment, share),
            Site::share_of(site.new_version(), share),
        ];
        weights.retain(|weight| weight.percent > 0);
        let mut steps = vec![
            site.step(&self.at("/start"), set.run(replicas))?.undo(set.gone()),
            site.step(&self.at("/ready"), ready(&set))?,
            site.distribute(&self.at(""), weights, around.rules.clone())?,
        ];
        steps.extend(site.bake(&self.at("/bake"), experiment.bake)?);
        let named = experiment.analyses.iter().chain(site.criteria);
        let steered = steered(Some(&around.rules));
        let beside = Beside { steered, ..Beside::new(set.deployment.clone(), 50) };
        steps.extend(site.judge_by(&self.at("/"), named, Some(&beside), &steps)?);
        self.over(&mut steps)?;
        steps.push(site.step(&self.at("/stop"), set.run(0))?.undo(set.gone()));
        Ok(steps)
    }

    /// Sets of either version side by side, with traffic or without.
    fn side_by_side(&self) -> Result<Vec<Step>, StrategyError> {
        let Self { experiment, site, around, old } = self;
        let set = |of: &'_ ExperimentTemplate| {
            let version = match of.of {
                TemplateVersion::New => site.new_version(),
                TemplateVersion::Old => old,
            };
            Self::on(version, of.name.clone())
        };
        let sets: Vec<_> =
            experiment.templates.iter().map(|of| Set { of, deployment: set(of) }).collect();
        let mut steps = Vec::new();
        for set in &sets {
            enough(set, site)?;
            let name = self.at(&format!("/{}/start", set.of.name));
            steps.push(site.step(&name, set.run(set.of.replicas))?.undo(set.gone()));
        }
        for set in &sets {
            steps.push(site.step(&self.at(&format!("/{}/ready", set.of.name)), ready(set))?);
        }
        let served = sets.iter().any(|set| set.of.share > 0);
        if served {
            let weights = self.weights(&sets);
            steps.push(site.distribute(&self.at(""), weights, around.rules.clone())?);
        }
        steps.extend(site.bake(&self.at("/bake"), experiment.bake)?);
        steps.extend(self.judged(&sets, &steps)?);
        if served {
            self.over(&mut steps)?;
        }
        for set in &sets {
            let name = self.at(&format!("/{}/stop", set.of.name));
            steps.push(site.step(&name, set.run(0))?.undo(set.gone()));
        }
        Ok(steps)
    }

    /// What each gets: the old version's others what is left.
    fn weights(&self, sets: &[Set<'_>]) -> Vec<Weight> {
        let new = self.around.weight;
        let taken = sets.iter().fold(new, |sum, set| sum.saturating_add(set.of.share));
        let mut weights = vec![
            Site::share_of(self.old, 100_u8.saturating_sub(taken)),
            Site::share_of(self.site.new_version(), new),
        ];
        weights.extend(sets.iter().map(|set| Site::share_of(&set.deployment, set.of.share)));
        weights.retain(|weight| weight.percent > 0);
        weights
    }

    /// Each set of the new version, beside the first one of the old version if there is any. Nobody is served by what has no share,
    /// so that the release's criteria say nothing of it.
    fn judged(&self, sets: &[Set<'_>], before: &[Step]) -> Result<Vec<Step>, StrategyError> {
        let is = |set: &&Set<'_>, of| set.of.of == of;
        let baseline = sets.iter().find(|set| is(set, TemplateVersion::Old));
        let mut steps = Vec::new();
        for set in sets.iter().filter(|set| is(set, TemplateVersion::New)) {
            let beside = baseline.map(|baseline| beside(set, baseline, &self.around.rules));
            let criteria = self.site.criteria.iter().filter(|_| set.of.share > 0);
            let named = self.experiment.analyses.iter().chain(criteria);
            let prefix = self.at(&format!("/{}/", set.of.name));
            let by = (beside.as_ref(), before);
            steps.extend(self.site.judge_of(&set.deployment, &prefix, named, by)?);
        }
        Ok(steps)
    }

    /// The traffic is as before, once it was seen that it can be.
    fn over(&self, steps: &mut Vec<Step>) -> Result<(), StrategyError> {
        let Self { site, around, .. } = self;
        steps.extend(site.still_routed(&self.at("/"), steps)?);
        // The old version gets more again, after a time in which it may have died.
        steps.extend(site.probe_old(&self.at("/old-ready"), around.old)?);
        let weights = site.shares(around.weight);
        steps.push(site.distribute(&self.at("/over"), weights, around.rules.clone())?);
        Ok(())
    }
}

fn ready(set: &Set<'_>) -> Action {
    Action::Probe { deployment: set.deployment.clone(), min_ready: set.of.replicas }
}

/// Refuses a set that has fewer instances than its share needs.
fn enough(set: &Set<'_>, site: &Site<'_>) -> Result<(), StrategyError> {
    let ExperimentTemplate { name, replicas, share, .. } = set.of;
    let needed = CanaryScale::Percent(*share).of(site.replicas, 0);
    if *replicas >= needed {
        return Ok(());
    }
    Err(StrategyError::Refused(format!(
        "gives the template `{name}` {share} % of the traffic, which needs {needed} instances, and it has {replicas}; set `replicas` to {needed} or more"
    )))
}

/// The baseline of a set: by shares where both have one; else whoever brings them requests decides what each gets.
fn beside(set: &Set<'_>, baseline: &Set<'_>, rules: &TrafficRules) -> Beside {
    let (new, old) = (u64::from(set.of.share), u64::from(baseline.of.share));
    let routed = new > 0 && old > 0;
    let (new, old) =
        if routed { (new, old) } else { (set.of.replicas.into(), baseline.of.replicas.into()) };
    let share = (new * 100 / (new + old).max(1)).clamp(1, 99);
    let steered = !routed || steered(Some(rules));
    let share = u8::try_from(share).unwrap_or(50);
    Beside { steered, ..Beside::new(baseline.deployment.clone(), share) }
}
