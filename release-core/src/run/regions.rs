//! Regions that fail: they are taken back alone while others go on, until too many have failed.

use std::collections::{BTreeMap, BTreeSet};

use super::advance::touched;
use super::digest::entered_hash;
use super::event::{Cause, StepRef};
use super::state::{Phase, RunState, Status};
use crate::ids::{EnvironmentId, RegionId, ServiceId};
use crate::model::RollbackScope;
use crate::plan::{Line, Part, Step, Undo};
use crate::time::Timestamp;

/// What was changed in each environment.
pub(super) type Entered = BTreeMap<EnvironmentId, Changed>;

/// When something of each service was first changed in each region; and of no service in particular.
#[derive(Debug, Clone, Default)]
pub(super) struct Changed {
    regions: BTreeMap<RegionId, BTreeMap<Option<ServiceId>, Timestamp>>,
    /// The same, in the order in which it came to be. Nothing of it is ever taken out.
    order: Vec<First>,
}

/// Something was changed for the first time.
#[derive(Debug, Clone)]
struct First {
    region: RegionId,
    service: Option<ServiceId>,
    at: Timestamp,
    /// What tells all up to this one from others.
    mark: u64,
}

impl RunState {
    /// The regions of `environment` in which the run began to change something, on its way forward, of which service, and when it first
    /// did; no service is that of steps that concern the whole set. What only reads changes nothing; what was put back since is among them.
    pub fn entered(
        &self,
        environment: &EnvironmentId,
    ) -> impl Iterator<Item = (&RegionId, Option<&ServiceId>, Timestamp)> {
        let regions = self.entered.get(environment).into_iter().flat_map(|here| &here.regions);
        regions.flat_map(|(region, all)| {
            all.iter().map(move |(service, at)| (region, service.as_ref(), *at))
        })
    }

    /// What [`entered`](Self::entered) has, in the order in which it came to be, without the first `from` of it: whoever has seen these looks
    /// only at what is new. Costs time in proportion to that.
    pub fn entered_since(
        &self,
        environment: &EnvironmentId,
        from: usize,
    ) -> impl Iterator<Item = (&RegionId, Option<&ServiceId>, Timestamp)> {
        let order = self.entered.get(environment).and_then(|here| here.order.get(from..));
        let order = order.unwrap_or_default();
        order.iter().map(|first| (&first.region, first.service.as_ref(), first.at))
    }

    /// A number that says of two states whether the first `count` of what [`entered_since`](Self::entered_since) has are the same in both:
    /// where it is the same, so are they. 0 for none of them, and `None` where there are fewer. Costs the same whatever their number. It is
    /// stored nowhere, and may be another in a later release.
    pub fn entered_mark(&self, environment: &EnvironmentId, count: usize) -> Option<u64> {
        let Some(last) = count.checked_sub(1) else { return Some(0) };
        self.entered.get(environment)?.order.get(last).map(|first| first.mark)
    }

    /// A step begins to act.
    pub(super) fn enter(&mut self, at: Timestamp, index: u32) {
        let step = self.plan.step(index);
        if self.plan.in_rollback(index) || !step.action.mutates() {
            return;
        }
        let Some((environment, region)) = step.scope.environment().zip(step.scope.region()) else {
            return;
        };
        let none = None;
        let service = step.scope.place().map_or(&none, |place| &place.service);
        let known = self.entered.get(environment).and_then(|here| here.regions.get(region));
        if known.is_some_and(|services| services.contains_key(service)) {
            return;
        }
        let (environment, region, service) = (environment.clone(), region.clone(), service.clone());
        let here = self.entered.entry(environment).or_default();
        let before = here.order.last().map_or(0, |last| last.mark);
        let mark = entered_hash(before, (&region, service.as_ref()), at);
        here.regions.entry(region.clone()).or_default().insert(service.clone(), at);
        here.order.push(First { region, service, at, mark });
    }

    /// A step failed so that its region is to be rolled back. Whether that is dealt with: the region is
    /// left behind, and others go on, or at least those that have begun. Otherwise the run stops.
    pub(super) fn region_failed(
        &mut self,
        step: &StepRef,
        scope: RollbackScope,
        message: &str,
    ) -> bool {
        let failed = self.plan.step(step.index);
        let Some((part, most)) = self.region_of(failed) else { return false };
        let Part::Region { environment, .. } = &part else { return false };
        let environment = environment.clone();
        let before = self.left_behind().filter(
            |left| matches!(left, Part::Region { environment: other, .. } if *other == environment),
        );
        let is_last = before.count() + 1 >= most as usize;
        if self.phase != Phase::Forward || (is_last && scope != RollbackScope::Region) {
            return false;
        }
        self.leave(part, format!("step `{}` failed: {message}", step.id));
        self.complete(step.index);
        if is_last {
            let (step, message) = (step.clone(), message.to_owned());
            let cause = Cause::StepFailed { step, scope: Some(scope), message };
            self.halted.get_or_insert(cause);
            self.begin_no_more(&environment);
        }
        true
    }

    /// The region of a step that can be left behind, and how many may not fail in its environment.
    fn region_of(&self, step: &Step) -> Option<(Part, u32)> {
        let line = self.line(step)?;
        let most = line.stop_after?.get();
        let (environment, region) = (line.environment.clone(), step.scope.region()?.clone());
        let part = Part::Region { environment, region };
        let mut steps = self.plan.plan().steps().iter().filter(|step| part.covers(step));
        let one_way = |step: &Step| matches!(step.undo, Undo::PointOfNoReturn { .. });
        (!steps.any(one_way)).then_some((part, most))
    }

    fn line(&self, step: &Step) -> Option<&Line> {
        self.plan.plan().lines().iter().find(|line| line.wave_of(step).is_some())
    }

    /// Whether two steps lie in regions that go together.
    pub(super) fn in_one_wave(&self, one: u32, other: u32) -> bool {
        let (one, other) = (self.plan.step(one), self.plan.step(other));
        let wave = self.line(one).and_then(|line| line.wave_of(one).map(|wave| (line, wave)));
        wave.is_some_and(|(line, wave)| line.wave_of(other) == Some(wave))
    }

    /// Gives up all that no region under way in `environment` needs. Nobody goes on behind it.
    fn begin_no_more(&mut self, environment: &EnvironmentId) {
        let steps = || (0_u32..).zip(self.plan.plan().steps());
        let here = |step: &Step| step.scope.environment() == Some(environment);
        let begun: BTreeSet<RegionId> = steps()
            .filter(|(index, step)| here(step) && touched(self, *index).is_begun())
            .filter_map(|(_, step)| step.scope.region().cloned())
            .collect();
        let goes_on = |step: &Step| {
            let region = step.scope.region();
            here(step) && !step.finale && region.is_some_and(|region| begun.contains(region))
        };
        let given_up: Vec<u32> = steps()
            .filter(|(index, step)| !goes_on(step) && self.can_be_given_up(*index))
            .filter(|(index, _)| self.status(*index) != Some(Status::Failed))
            .map(|(index, _)| index)
            .collect();
        for index in given_up {
            self.give_up(index);
            self.remaining = self.remaining.saturating_sub(1);
        }
    }
}
