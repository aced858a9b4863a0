//! Where each region has to end, said by the criteria of the release and the records of its run alone.

use std::collections::BTreeSet;

use release_core::model::{RegionId, RollbackScope};
use release_core::plan::{OnFailure, Part};
use release_core::run::{Cause, Event, Fact, Mode, Outcome, StepRef};

use crate::course::Course;
use crate::shapes::Shape;

/// The record with which a run began to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Its place among the records.
    pub(crate) at: usize,
    /// Whether those regions go on that have begun, and only others never begin.
    pub(crate) line_only: bool,
}

/// Where the regions of a release have to end.
#[derive(Debug)]
pub(crate) struct Ends {
    /// Those that have all of the new version; all others have the set from before.
    pub(crate) new: BTreeSet<RegionId>,
    pub(crate) stop: Option<Stop>,
}

/// What the criteria and the records say of one release.
struct Oracle<'a> {
    shape: &'a Shape,
    course: &'a Course,
}

pub(crate) fn ends(shape: &Shape, course: &Course) -> Result<Ends, String> {
    let oracle = Oracle { shape, course };
    let all: BTreeSet<RegionId> = shape.regions().cloned().collect();
    let cause = match &course.outcome {
        Outcome::Succeeded => return Ok(Ends { new: all, stop: None }),
        Outcome::SucceededWithout { left } => {
            let left: BTreeSet<_> = left.iter().filter_map(region_of_part).collect();
            return Ok(Ends { new: &all - &left, stop: None });
        }
        Outcome::RolledBack { cause }
        | Outcome::Failed { cause }
        | Outcome::Cancelled { cause } => cause,
        other @ Outcome::Abandoned { .. } => return Err(format!("nobody gave it up: {other}")),
    };
    let stop = oracle.stop(cause)?;
    let failed = failed(course);
    let new = if stop.line_only {
        // Who has begun comes to its end.
        &oracle.begun(stop.at) - &failed
    } else {
        let stays = &oracle.arrived() - &oracle.reach(cause);
        &stays - &failed
    };
    Ok(Ends { new, stop: Some(stop) })
}

/// The region in which a step of the plan lies.
fn region_of(course: &Course, step: &StepRef) -> Option<RegionId> {
    let step = course.plan.get(course.plan.find(&step.id)?)?;
    step.scope.region().cloned()
}

/// The step that an event says failed so that what it did is taken back, and not that people decide.
fn red<'a>(course: &Course, event: &'a Event) -> Option<&'a StepRef> {
    let Event::StepFailed { step, back, hold, .. } = event else { return None };
    let planned = course.plan.get(course.plan.find(&step.id)?)?.on_failure;
    let back = back.is_some() || matches!(planned, OnFailure::RollBack(_));
    (back && !hold).then_some(step)
}

/// The regions in which a step failed so that they are taken back.
pub(crate) fn failed(course: &Course) -> BTreeSet<RegionId> {
    let failed = course.facts.iter().filter_map(|fact| red(course, &fact.event));
    failed.filter_map(|step| region_of(course, step)).collect()
}

fn region_of_part(part: &Part) -> Option<RegionId> {
    match part {
        Part::Region { region, .. } => Some(region.clone()),
        Part::Service { .. } => None,
    }
}

impl Oracle<'_> {
    fn events(&self) -> impl Iterator<Item = (usize, &Event)> {
        self.course.facts.iter().map(|fact| &fact.event).enumerate()
    }

    /// The record of what the cause tells of.
    fn stop(&self, cause: &Cause) -> Result<Stop, String> {
        let is_it = |event: &Event| match (cause, event) {
            (Cause::StepFailed { step, .. }, failed @ Event::StepFailed { .. }) => {
                red(self.course, failed) == Some(step)
            }
            (Cause::Signalled { signal, .. }, Event::Signalled { signal: told, .. }) => {
                told == signal
            }
            (Cause::Cancelled { .. }, Event::CancelRequested { .. }) => true,
            _ => false,
        };
        let found = self.events().find(|(_, event)| is_it(event));
        let (at, _) = found.ok_or_else(|| format!("nothing is recorded of {cause}"))?;
        let alone = matches!(cause, Cause::StepFailed { scope: Some(RollbackScope::Region), .. });
        Ok(Stop { at, line_only: alone && self.shape.stop_after.is_some() })
    }

    /// The regions in which something was tried before record `end`.
    fn begun(&self, end: usize) -> BTreeSet<RegionId> {
        let begun = self.events().take(end).filter_map(|(_, event)| match event {
            Event::StepStarted { step, mode: Mode::Perform, .. } => region_of(self.course, step),
            _ => None,
        });
        begun.collect()
    }

    /// The regions in which all was done but the removal of old versions, as the way back was computed.
    fn arrived(&self) -> BTreeSet<RegionId> {
        let is_end = |event: &Event| matches!(event, Event::RollbackStarted { .. });
        let end = self.events().find(|(_, event)| is_end(event)).map(|(at, _)| at);
        let end = end.unwrap_or(self.course.facts.len());
        let done: BTreeSet<_> = self
            .events()
            .take(end)
            .filter_map(|(_, event)| match event {
                Event::StepSucceeded { step, .. } => Some(&step.id),
                _ => None,
            })
            .collect();
        let open = self.course.plan.plan().steps().iter().filter(|step| !step.finale);
        let open = open.filter(|step| !done.contains(&step.id));
        let open: BTreeSet<_> = open.filter_map(|step| step.scope.region().cloned()).collect();
        self.shape.regions().filter(|region| !open.contains(*region)).cloned().collect()
    }

    /// The regions that the criteria take back, seen from the cause.
    fn reach(&self, cause: &Cause) -> BTreeSet<RegionId> {
        let (from, scope) = match cause {
            Cause::StepFailed { step, scope: Some(scope), .. } => {
                (region_of(self.course, step), *scope)
            }
            Cause::Signalled { signal, scope, .. } => (signal.region.clone(), *scope),
            _ => (None, RollbackScope::Release),
        };
        let all = || self.shape.regions().cloned().collect();
        let Some(from) = from else { return all() };
        match scope {
            RollbackScope::Region => BTreeSet::from([from]),
            RollbackScope::Wave => {
                let wave = self.shape.waves.iter().find(|wave| wave.contains(&from));
                wave.unwrap_or_else(|| panic!("no wave has {from}")).iter().cloned().collect()
            }
            RollbackScope::Environment | RollbackScope::Release => all(),
        }
    }
}

/// What holds of every course from the record with which it stopped: what is not to begin never does, neither by the records
/// nor on the platform.
pub(crate) fn stands_still(course: &Course, ends: &Ends) -> Result<(), String> {
    let Some(stop) = ends.stop else { return Ok(()) };
    let started = |fact: &Fact| match &fact.event {
        Event::StepStarted { step, mode: Mode::Perform, .. } => region_of(course, step),
        _ => None,
    };
    let (before, after) = course.facts.split_at(stop.at);
    let begun: BTreeSet<RegionId> = before.iter().filter_map(started).collect();
    for region in after.iter().filter_map(started) {
        if !stop.line_only || !begun.contains(&region) {
            return Err(format!("something begins in {region} after the run stopped"));
        }
    }
    let stopped = course.facts[stop.at].at;
    for effect in course.witness.effects().iter().filter(|effect| !effect.back) {
        if !begun.contains(&effect.region) {
            return Err(format!("{} was asked for, in a region that had not begun", effect.step));
        }
        let late = effect.begun > stopped || effect.landed.is_some_and(|(_, at)| at > stopped);
        if late && !stop.line_only {
            return Err(format!("{} took place after the run stopped at {stopped}", effect.step));
        }
    }
    Ok(())
}
