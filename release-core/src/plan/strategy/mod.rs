//! Strategies: functions that return steps. The engine knows nothing of them.
//!
//! A strategy sees a `Site` (one service in one target) and returns a `Rollout`: the steps that
//! bring the new version in, and the finale that removes the old one once the whole set is verified.

mod blue_green;
mod canary;
mod recreate;
mod rolling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Action, Beside, Compensation, Deployment, OnFailure, RetryPolicy, Step, StepScope, Undo,
    UndoPhase, Weight,
};
use crate::ids::{AnalysisId, IdError, StepId};
use crate::model::{Analysis, Gate, RollbackCriteria, RollbackTrigger, Strategy};
use crate::time::Span;

/// One service in one target, with what is there now and what shall be.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) new: Deployment,
    pub(super) old: Option<Deployment>,
    pub(super) replicas: u32,
    pub(super) scope: StepScope,
    pub(super) group: u32,
    pub(super) rollback: Option<&'a RollbackCriteria>,
    pub(super) timeout: Span,
    pub(super) attempts: u32,
    pub(super) analyses: &'a BTreeMap<&'a AnalysisId, Arc<Analysis>>,
    /// The analyses of the release's rollback criteria.
    pub(super) criteria: &'a [AnalysisId],
    /// Whether the target serves users.
    pub(super) production: bool,
}

/// The steps of one rollout, each waiting for the one before.
#[derive(Debug, Default)]
pub(super) struct Rollout {
    /// Bring the new version in.
    pub(super) steps: Vec<Step>,
    /// Remove the old version, once the whole set is verified.
    pub(super) finale: Vec<Step>,
}

/// Expands `strategy` at `site`. Where nothing ran before, there is nothing to shift traffic from,
/// and every strategy comes to the same: start, check, serve. No analysis is evaluated then: there is
/// nothing to compare with or to return to, and often no load yet, so that a verdict would be
/// inconclusive for want of data.
pub(super) fn expand(strategy: &Strategy, site: &Site<'_>) -> Result<Rollout, IdError> {
    match (strategy, &site.old) {
        (_, None) => {
            let mut serve = site.route("serve", 100)?;
            if let Strategy::BlueGreen(spec) = strategy {
                serve.gates = site.own_gates(&spec.gates)?;
            }
            let steps = vec![
                site.scale_new("start", site.replicas)?,
                site.probe("ready", site.replicas)?,
                serve,
                site.still_ready("")?,
            ];
            Ok(Rollout { steps, finale: Vec::new() })
        }
        (Strategy::Recreate, _) => recreate::steps(site),
        (Strategy::Rolling(spec), _) => rolling::steps(spec, site),
        (Strategy::BlueGreen(spec), _) => blue_green::steps(spec, site),
        (Strategy::Canary(spec), _) => canary::steps(spec, site),
    }
}

/// The names that steps of `strategy` have beside its analyses; an analysis cannot have them too.
pub(super) const fn names_beside_analyses(strategy: &Strategy) -> &'static [&'static str] {
    match strategy {
        Strategy::Recreate => &["stop-old", "start", "ready", "serve", "still-ready"],
        Strategy::Rolling(_) => {
            &["drain", "make-room", "start", "ready", "serve", "stop-old", "bake", "still-ready"]
        }
        Strategy::BlueGreen(_) => {
            &["preview", "ready", "switch", "bake", "still-ready", "keep-old", "remove-old"]
        }
        Strategy::Canary(_) => &["bake", "still-ready"],
    }
}

impl Site<'_> {
    fn step(&self, name: &str, action: Action) -> Result<Step, IdError> {
        let id = StepId::new(format!("{}/{name}", self.new.target))?;
        Ok(Step {
            id,
            action,
            scope: self.scope.clone(),
            gates: Vec::new(),
            retry: RetryPolicy::attempts(self.attempts),
            timeout: self.timeout,
            undo: Undo::Undeclared,
            on_failure: self.on_failure(None),
            group: Some(self.group),
            finale: false,
        })
    }

    /// What the release's criteria say of a failure of a step, or of an analysis. A failure that is
    /// not among them is for people to decide; without criteria the run just ends.
    fn on_failure(&self, analysis: Option<&AnalysisId>) -> OnFailure {
        let Some(criteria) = self.rollback else { return OnFailure::Fail };
        let named = |trigger: &RollbackTrigger| match trigger {
            RollbackTrigger::StepFailed => true,
            RollbackTrigger::Analysis(id) => Some(id) == analysis,
        };
        if criteria.triggers.iter().any(named) {
            OnFailure::RollBack(criteria.scope)
        } else {
            OnFailure::Hold
        }
    }

    /// Runs `replicas` of the new version; undone by removing all of it.
    fn scale_new(&self, name: &str, replicas: u32) -> Result<Step, IdError> {
        let scale = |replicas| Action::Scale { deployment: self.new.clone(), replicas };
        let undo = Compensation { action: scale(0), phase: UndoPhase::Remove };
        Ok(self.step(name, scale(replicas))?.undo(Undo::Compensate(vec![undo])))
    }

    /// Runs `replicas` of the old version; undone by running all of it again, and checking that.
    fn scale_old(&self, name: &str, replicas: u32) -> Result<Option<Step>, IdError> {
        let Some(old) = &self.old else { return Ok(None) };
        let scale = |replicas| Action::Scale { deployment: old.clone(), replicas };
        let probe = Action::Probe { deployment: old.clone(), min_ready: self.replicas };
        let undo = vec![
            Compensation { action: scale(self.replicas), phase: UndoPhase::RestoreCapacity },
            Compensation { action: probe, phase: UndoPhase::CheckHealth },
        ];
        Ok(Some(self.step(name, scale(replicas))?.undo(Undo::Compensate(undo))))
    }

    /// Waits until `min_ready` instances of the new version are ready.
    fn probe(&self, name: &str, min_ready: u32) -> Result<Step, IdError> {
        self.step(name, Action::Probe { deployment: self.new.clone(), min_ready })
    }

    /// Looks once more, after the exposure that went before. A platform may report a success and go back
    /// on it: only what is still so after its bake goes on.
    fn still_ready(&self, prefix: &str) -> Result<Step, IdError> {
        self.probe(&format!("{prefix}still-ready"), self.replicas)
    }

    /// Gives the new version `percent` of the traffic; undone by giving the old version all of it.
    fn route(&self, name: &str, percent: u8) -> Result<Step, IdError> {
        let target = self.new.target.clone();
        let weights = |percent: u8| {
            let share = |version: &Deployment, percent| {
                Weight::new(version.artifact.digest(), version.version.clone(), percent)
            };
            let old = self.old.iter().map(|old| share(old, 100_u8.saturating_sub(percent)));
            let new = (self.old.is_some() || percent > 0).then(|| share(&self.new, percent));
            old.chain(new).filter(|weight| weight.percent > 0).collect()
        };
        let route = |percent| Action::Route { target: target.clone(), weights: weights(percent) };
        let undo = Compensation { action: route(0), phase: UndoPhase::RestoreTraffic };
        Ok(self.step(name, route(percent))?.undo(Undo::Compensate(vec![undo])))
    }

    fn bake(&self, name: &str, duration: Span) -> Result<Option<Step>, IdError> {
        if duration == Span::ZERO {
            return Ok(None);
        }
        self.step(name, Action::Bake { duration }).map(Some)
    }

    /// Judges the new version by the analyses named and by the release's criteria, each once: naming
    /// more is no way past the criteria. All of them measure from the start of the last of the steps
    /// `before` that begins a window: the bake or, without one, the change of shares. Those that compare
    /// versions have nothing to say where one gets all of the traffic.
    fn judge(
        &self,
        prefix: &str,
        named: &[AnalysisId],
        before: &[Step],
    ) -> Result<Vec<Step>, IdError> {
        let window = before.iter().rfind(|step| step.action.begins_a_window());
        let from = window.map(|step| step.id.clone());
        let mut seen = BTreeSet::new();
        let chosen = named.iter().chain(self.criteria).filter(|id| seen.insert(*id));
        let known = chosen.filter_map(|id| self.analyses.get(id));
        let beside = self.beside(before);
        known
            .filter(|analysis| !analysis.compares() || beside.is_some())
            .map(|analysis| {
                let action = Action::Analyze {
                    deployment: self.new.clone(),
                    analysis: Arc::clone(analysis),
                    from: from.clone(),
                    beside: beside.clone().filter(|_| analysis.compares()),
                };
                let step = self.step(&format!("{prefix}{}", analysis.id), action)?;
                Ok(step.on_failure(self.on_failure(Some(&analysis.id))))
            })
            .collect()
    }

    /// The version from before, with the new one's share, where both are served after the steps `before`.
    fn beside(&self, before: &[Step]) -> Option<Box<Beside>> {
        let baseline = self.old.clone()?;
        let routed = before.iter().rev().find_map(|step| match &step.action {
            Action::Route { weights, .. } => Some(weights),
            _ => None,
        })?;
        let new = self.new.artifact.digest();
        let share = routed.iter().find(|weight| weight.digest == new)?.percent;
        (1..100).contains(&share).then(|| Box::new(Beside { baseline, share }))
    }

    /// Removes the old version after having kept it for `keep`. By then the release is verified and
    /// live: a failure here is for people to mend, and takes nothing back.
    fn retire(&self, keep: Span) -> Result<Vec<Step>, IdError> {
        let bake = self.bake("keep-old", keep)?;
        // It is the last look while there is an old version to return to.
        let look = bake.is_some().then(|| self.still_ready("keep-old/")).transpose()?;
        let steps = [bake, look, self.scale_old("remove-old", 0)?];
        let finale = |step: Step| Step { finale: true, ..step.on_failure(OnFailure::Hold) };
        Ok(steps.into_iter().flatten().map(finale).collect())
    }

    /// The same gates with ids that are unique in the plan.
    fn own_gates(&self, gates: &[Gate]) -> Result<Vec<Gate>, IdError> {
        super::expand::prefixed(&self.new.target.to_string(), gates)
    }
}
