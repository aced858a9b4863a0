//! The new version beside as many fresh instances of the old one.

use std::sync::Arc;

use super::shares::steered;
use super::{Site, StrategyError};
use crate::ids::TrackId;
use crate::model::{Experiment, TrafficRules};
use crate::plan::{Action, Beside, Compensation, Deployment, Step, Undo, UndoPhase};

/// What the fresh instances are called.
const BASELINE: &str = "baseline";

/// What is wrong with an experiment at a share of `weight`.
pub(super) fn problem(experiment: &Experiment, weight: u8) -> Option<String> {
    let share = experiment.share;
    if !(1..=49).contains(&share) || share < weight {
        let least = weight.max(1);
        return Some(if least > 49 {
            format!(
                "a weight of {weight} leaves no room for an experiment, whose two sides get at most 49 % each; move it to an earlier step"
            )
        } else {
            format!("`experiment.share` is {share}; write a whole number from {least} to 49")
        });
    }
    (experiment.replicas == 0).then(|| "`experiment.replicas` is 0; set 1 or more".into())
}

/// Where in its rollout an experiment stands: what its steps are called, and what traffic it returns to.
pub(super) struct Around<'a> {
    pub(super) prefix: &'a str,
    pub(super) weight: u8,
    /// How many instances of the old version run.
    pub(super) old: u32,
    pub(super) rules: TrafficRules,
}

/// Starts the baseline, gives both their shares, compares them, and ends it.
pub(super) fn steps(
    experiment: &Experiment,
    site: &Site<'_>,
    around: &Around<'_>,
) -> Result<Vec<Step>, StrategyError> {
    let Some(old) = site.old_version() else { return Ok(Vec::new()) };
    let track = TrackId::new(BASELINE)?;
    let target = old.target.clone().on(track);
    let baseline = Arc::new(Deployment { target, ..Deployment::clone(old) });
    let at = |name: &str| format!("{}experiment{name}", around.prefix);
    let scale = |replicas| Action::Scale { deployment: baseline.clone(), replicas, apart: None };
    let undo = Compensation { action: scale(0), phase: UndoPhase::Retire };
    let gone = || Undo::Compensate(vec![undo.clone()]);
    let (share, min_ready) = (experiment.share, experiment.replicas);
    let probe = Action::Probe { deployment: baseline.clone(), min_ready };
    let mut weights = vec![
        Site::share_of(old, 100 - 2 * share),
        Site::share_of(&baseline, share),
        Site::share_of(site.new_version(), share),
    ];
    weights.retain(|weight| weight.percent > 0);
    let mut steps = vec![
        site.step(&at("/start"), scale(experiment.replicas))?.undo(gone()),
        site.step(&at("/ready"), probe)?,
        site.distribute(&at(""), weights, around.rules.clone())?,
    ];
    steps.extend(site.bake(&at("/bake"), experiment.bake)?);
    let named = experiment.analyses.iter().chain(site.criteria);
    let beside =
        Beside { steered: steered(Some(&around.rules)), ..Beside::new(baseline.clone(), 50) };
    steps.extend(site.judge_by(&at("/"), named, Some(&beside), &steps)?);
    steps.extend(site.still_routed(&at("/"), &steps)?);
    // The old version gets more again, after a time in which it may have died.
    steps.extend(site.probe_old(&at("/old-ready"), around.old)?);
    steps.push(site.distribute(&at("/over"), site.shares(around.weight), around.rules.clone())?);
    steps.push(site.step(&at("/stop"), scale(0))?.undo(gone()));
    Ok(steps)
}
