//! One service in one target, and the steps that strategies are made of.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Roles;
use super::hooks::takes_time;
use super::shares::{Distribution, distributed, distributes};
use crate::ids::{AnalysisId, IdError, StepId};
use crate::model::{
    Analysis, AntiAffinity, Copies, Gate, HeaderRoute, HeaderRule, KeepNew, RollbackCriteria,
    RollbackTrigger, TrafficRules,
};
use crate::plan::{
    Action, Compensation, Deployment, OnFailure, RetryPolicy, Step, StepScope, Undo, UndoPhase,
    Weight,
};
use crate::time::Span;

/// What the look whether traffic is still distributed as it was set is called, below what it looks back on or stands before.
const STILL_ROUTED: &str = "still-routed";

/// One service in one target, with what is there now and what shall be.
///
/// Its methods make steps with all that belongs to them: the scope, the group they are rolled back with, how they are undone,
/// what follows from their failure. Names of steps are paths below the target.
#[derive(Debug)]
pub struct Site<'a> {
    /// The target in words: what the names of its steps begin with.
    pub(in crate::plan) path: String,
    pub(in crate::plan) new: Arc<Deployment>,
    pub(in crate::plan) old: Option<Arc<Deployment>>,
    pub(in crate::plan) replicas: u32,
    pub(in crate::plan) scope: StepScope,
    pub(in crate::plan) group: u32,
    pub(in crate::plan) rollback: Option<&'a RollbackCriteria>,
    pub(in crate::plan) timeout: Span,
    pub(in crate::plan) attempts: u32,
    pub(in crate::plan) analyses: &'a BTreeMap<&'a AnalysisId, Arc<Analysis>>,
    /// The analyses of the release's rollback criteria.
    pub(in crate::plan) criteria: &'a [AnalysisId],
    pub(in crate::plan) production: bool,
    /// Whether it goes back to a version that was live a short while ago.
    pub(in crate::plan) returns: bool,
    /// How long the new version is kept after it was taken back.
    pub(in crate::plan) keep_new: KeepNew,
    /// Which machines the new version's instances keep away from.
    pub(in crate::plan) apart: Option<AntiAffinity>,
    /// What instances carry by the role of their version.
    pub(in crate::plan) roles: Option<Roles>,
    pub(in crate::plan) room: RefCell<Vec<Step>>,
}

impl Site<'_> {
    /// A list for the steps of its rollout, with room for so many. Large plans have hundreds of thousands of rollouts, which
    /// take the room of each other.
    pub fn steps(&self, many: usize) -> Vec<Step> {
        let mut steps = self.room.take();
        steps.reserve(many);
        steps
    }

    /// What shall serve.
    pub const fn new_version(&self) -> &Arc<Deployment> {
        &self.new
    }

    /// What serves now. There is always one where a strategy is asked: where nothing ran before, none is.
    pub const fn old_version(&self) -> Option<&Arc<Deployment>> {
        self.old.as_ref()
    }

    /// How many instances the service has.
    pub const fn replicas(&self) -> u32 {
        self.replicas
    }

    /// Whether the target serves users.
    pub const fn is_production(&self) -> bool {
        self.production
    }

    /// A step that does `action`, with nothing that undoes it yet.
    ///
    /// # Errors
    /// A name that is none.
    pub fn step(&self, name: &str, action: Action) -> Result<Step, IdError> {
        Ok(Step {
            id: StepId::below(&self.path, name)?,
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
    pub(super) fn on_failure(&self, analysis: Option<&AnalysisId>) -> OnFailure {
        let Some(criteria) = self.rollback else { return OnFailure::Fail };
        let named = |trigger: &RollbackTrigger| match trigger {
            RollbackTrigger::StepFailed => true,
            RollbackTrigger::Analysis(id) | RollbackTrigger::SloBurn(id) => Some(id) == analysis,
            RollbackTrigger::Unhealthy | RollbackTrigger::Drift | RollbackTrigger::Signal(_) => {
                false
            }
        };
        if criteria.triggers.iter().any(named) {
            OnFailure::RollBack(criteria.scope)
        } else {
            OnFailure::Hold
        }
    }

    /// Runs `replicas` of the new version; undone by removing all of it, once it was kept for as long as it is to be.
    ///
    /// # Errors
    /// A name that is none.
    pub fn scale_new(&self, name: &str, replicas: u32) -> Result<Step, IdError> {
        let KeepNew::For(duration) = self.keep_new else {
            return Ok(self.step(name, self.run_new(replicas))?.undo(Undo::Stays));
        };
        let remove = |action| Compensation { action, phase: UndoPhase::Retire };
        let kept = duration > Span::ZERO;
        let bake = kept.then_some(Action::Bake { duration });
        // Whoever gets requests again, because a router went back on its shares, is not removed.
        let routed = (kept && self.old.is_some()).then(|| {
            let (target, weights, rules) = self.all(0);
            Action::Confirm { target, weights, rules }
        });
        let undo = exactly([bake, routed, Some(self.run_new(0))].map(|one| one.map(remove)));
        Ok(self.step(name, self.run_new(replicas))?.undo(Undo::Compensate(undo)))
    }

    /// As [`Site::scale_new`], where not all instances of both versions may be there at once: undone by running `before`
    /// of the new version, when it is this step's turn in the reverse order of all. It is kept for no time then.
    ///
    /// # Errors
    /// A name that is none.
    pub fn scale_new_in_turn(
        &self,
        name: &str,
        replicas: u32,
        before: u32,
    ) -> Result<Step, IdError> {
        let undo = Compensation { action: self.run_new(before), phase: UndoPhase::Unwind };
        Ok(self.step(name, self.run_new(replicas))?.undo(Undo::Compensate(vec![undo])))
    }

    /// As [`Site::scale_old`], where not all instances of both versions may be there at once: undone by running `before`
    /// of the old version, and checking that, when it is this step's turn in the reverse order of all.
    ///
    /// # Errors
    /// A name that is none.
    pub fn scale_old_in_turn(
        &self,
        name: &str,
        replicas: u32,
        before: u32,
    ) -> Result<Option<Step>, IdError> {
        let Some(old) = &self.old else { return Ok(None) };
        let scale = |replicas| self.run_old(old, replicas);
        let back = Compensation { action: scale(before), phase: UndoPhase::Unwind };
        let undo = exactly([Some(back), self.old_is_ready(before, UndoPhase::Unwind)]);
        Ok(Some(self.step(name, scale(replicas))?.undo(Undo::Compensate(undo))))
    }

    /// Sees to it that `min_ready` instances of the old version are ready; none where there is none to look for.
    fn old_is_ready(&self, min_ready: u32, phase: UndoPhase) -> Option<Compensation> {
        let deployment = self.old.clone().filter(|_| min_ready > 0)?;
        Some(Compensation { action: Action::Probe { deployment, min_ready }, phase })
    }

    /// Runs `replicas` of the old version; undone by running all of it again, and checking that. None where there is
    /// no old version.
    ///
    /// # Errors
    /// A name that is none.
    pub fn scale_old(&self, name: &str, replicas: u32) -> Result<Option<Step>, IdError> {
        let Some(old) = &self.old else { return Ok(None) };
        let scale = |replicas| self.run_old(old, replicas);
        let back = Compensation { action: scale(self.replicas), phase: UndoPhase::RestoreCapacity };
        let ready = self.old_is_ready(self.replicas, UndoPhase::CheckHealth);
        let undo = exactly([Some(back), ready]);
        Ok(Some(self.step(name, scale(replicas))?.undo(Undo::Compensate(undo))))
    }

    /// Waits until `min_ready` instances of the new version are ready.
    ///
    /// # Errors
    /// A name that is none.
    pub fn probe(&self, name: &str, min_ready: u32) -> Result<Step, IdError> {
        self.step(name, Action::Probe { deployment: self.new.clone(), min_ready })
    }

    /// Waits until `min_ready` instances of the old version are ready. None where there is no old version.
    ///
    /// # Errors
    /// A name that is none.
    pub fn probe_old(&self, name: &str, min_ready: u32) -> Result<Option<Step>, IdError> {
        let Some(deployment) = self.old.clone() else { return Ok(None) };
        self.step(name, Action::Probe { deployment, min_ready }).map(Some)
    }

    /// Looks once more, after the exposure that went before. A platform may report a success and go back
    /// on it: only what is still so after its bake goes on.
    ///
    /// # Errors
    /// A name that is none.
    pub fn still_ready(&self, prefix: &str, min_ready: u32) -> Result<Step, IdError> {
        self.probe(&format!("{prefix}still-ready"), min_ready)
    }

    /// Looks whether the traffic is still distributed as the last of the steps `before` that changed that had set it. A router
    /// may take shares and go back on them later. None where no traffic was changed, and where no time has passed since that,
    /// or since it was last looked for.
    ///
    /// # Errors
    /// A name that is none.
    pub fn still_routed(&self, prefix: &str, before: &[Step]) -> Result<Option<Step>, IdError> {
        let mut since = before.iter().rev().take_while(|step| !distributes(step));
        let set = since.any(takes_time).then(|| distributed(before)).flatten();
        set.map(|set| self.confirm(&format!("{prefix}{STILL_ROUTED}"), set)).transpose()
    }

    pub(super) fn confirm(
        &self,
        name: &str,
        (target, weights, rules): Distribution,
    ) -> Result<Step, IdError> {
        self.step(name, Action::Confirm { target, weights, rules })
    }

    /// The shares alone where the new version has `percent` of the traffic, as they are set.
    fn all(&self, percent: u8) -> Distribution {
        (self.new.target.clone(), self.shares(percent), None)
    }

    /// The shares where the new version has `percent` of the traffic and the old one the rest.
    pub(super) fn shares(&self, percent: u8) -> Vec<Weight> {
        let rest = 100_u8.saturating_sub(percent);
        let old = self.old.as_ref().filter(|_| rest > 0).map(|old| Self::share_of(old, rest));
        exactly([old, (percent > 0).then(|| Self::share_of(&self.new, percent))])
    }

    /// A share for what is deployed.
    pub(super) fn share_of(version: &Deployment, percent: u8) -> Weight {
        let weight = Weight::new(version.artifact.digest(), version.version.clone(), percent);
        Weight { track: version.target.track.clone(), ..weight }
    }

    /// Gives the new version `percent` of the traffic; undone by giving the old version all of it, once all of its
    /// instances were seen to be ready.
    ///
    /// # Errors
    /// A name that is none.
    pub fn route(&self, name: &str, percent: u8) -> Result<Step, IdError> {
        self.route_by(name, percent, TrafficRules::default())
    }

    /// As [`Site::route`], with `rules` beside the shares, which are gone as well when it is undone.
    ///
    /// # Errors
    /// A name that is none.
    pub fn route_by(&self, name: &str, percent: u8, rules: TrafficRules) -> Result<Step, IdError> {
        self.distribute(name, self.shares(percent), rules)
    }

    /// As [`Site::route`], where not all instances of both versions may be there at once: undone by giving the new version
    /// `before` percent, when it is this step's turn in the reverse order of all, once `old_ready` instances of the old
    /// version, which are those that it has then, were seen to be ready. Without any, and where the shares stay as they
    /// are, nothing undoes it.
    ///
    /// # Errors
    /// A name that is none.
    pub fn route_in_turn(
        &self,
        name: &str,
        percent: u8,
        before: u8,
        old_ready: u32,
    ) -> Result<Step, IdError> {
        let route = |percent| Action::Route {
            target: self.new.target.clone(),
            weights: self.shares(percent),
            rules: None,
        };
        let undo = match self.old_is_ready(old_ready, UndoPhase::Unwind) {
            Some(ready) if percent != before => {
                let back = Compensation { action: route(before), phase: UndoPhase::Unwind };
                Undo::Compensate(vec![ready, back])
            }
            _ => Undo::Nothing,
        };
        Ok(self.step(name, route(percent))?.undo(undo))
    }

    pub(super) fn distribute(
        &self,
        name: &str,
        weights: Vec<Weight>,
        rules: TrafficRules,
    ) -> Result<Step, IdError> {
        let target = || self.new.target.clone();
        let rules = (!rules.is_empty()).then(|| Box::new(rules));
        let back = Action::Route { target: target(), weights: self.shares(0), rules: None };
        let back = Compensation { action: back, phase: UndoPhase::RestoreTraffic };
        // It may have died since it had all of the traffic, and nobody else looks.
        let ready = self.old_is_ready(self.replicas, UndoPhase::CheckHealth);
        let undo = exactly([ready, Some(back)]);
        let action = Action::Route { target: target(), weights, rules };
        Ok(self.step(name, action)?.undo(Undo::Compensate(undo)))
    }

    /// The header routes and copies of a rollout, all for the new version.
    pub fn rules(&self, headers: &[HeaderRule], mirror: Option<&Copies>) -> TrafficRules {
        let to = self.new.artifact.digest();
        let route = |rule: &HeaderRule| HeaderRoute { rule: rule.clone(), to };
        TrafficRules {
            headers: headers.iter().map(route).collect(),
            mirror: mirror.map(|copies| copies.rule(to)),
            affinity: None,
        }
    }

    /// Waits for `duration`; no step when it is none.
    ///
    /// # Errors
    /// A name that is none.
    pub fn bake(&self, name: &str, duration: Span) -> Result<Option<Step>, IdError> {
        if duration == Span::ZERO {
            return Ok(None);
        }
        self.step(name, Action::Bake { duration }).map(Some)
    }

    /// Removes the old version after having kept it for `keep`, once it was seen that the new version still has all of the
    /// traffic, with no rules. By then the release is verified and live: a failure here is for people to mend, and takes
    /// nothing back.
    ///
    /// # Errors
    /// A name that is none.
    pub fn retire(&self, keep: Span) -> Result<Vec<Step>, IdError> {
        self.retire_with(keep, self.replicas)
    }

    /// As [`Site::retire`], where `ready` instances of the new version are enough.
    pub(super) fn retire_with(&self, keep: Span, ready: u32) -> Result<Vec<Step>, IdError> {
        let bake = self.bake("keep-old", keep)?;
        let remove = self.scale_old("remove-old", 0)?;
        // It is the last look while there is an old version to return to: until the whole set was verified, much time may have passed.
        let before = if bake.is_some() { "keep-old/" } else { "remove-old/" };
        let look = remove.is_some().then(|| self.still_ready(before, ready)).transpose()?;
        // Whoever still gets requests, because a router went back on its shares, is not removed.
        let routed =
            remove.is_some().then(|| self.confirm("remove-old/still-routed", self.all(100)));
        let routed = routed.transpose()?;
        let steps = [bake, look, routed, remove];
        let finale = |step: Step| Step { finale: true, ..step.on_failure(OnFailure::Hold) };
        Ok(steps.into_iter().flatten().map(finale).collect())
    }

    /// The same gates with ids that are unique in the plan: below the target and `path`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn own_gates(&self, path: &str, gates: &[Gate]) -> Result<Vec<Gate>, IdError> {
        let target = &self.new.target;
        let prefix = if path.is_empty() { target.to_string() } else { format!("{target}/{path}") };
        crate::plan::expand::prefixed(&prefix, gates)
    }
}

/// Those that are there, in as much room as they need: large plans have millions of such lists.
fn exactly<T, const MOST: usize>(these: [Option<T>; MOST]) -> Vec<T> {
    let mut list = Vec::with_capacity(these.iter().flatten().count());
    list.extend(these.into_iter().flatten());
    list
}
