//! Parts of a release that are left behind while the rest goes on: their steps are given up, nobody waits
//! for them any more, and what they changed is put back.

use std::collections::BTreeSet;

use super::event::{Cause, Event, Outcome};
use super::evolve::IllegalTransition;

use super::state::{Phase, RunState, Status, Wait};
use crate::ids::ServiceId;
use crate::plan::{Action, Blocked, Extension, Group, OnFailure, Part, Plan, Touched, take_back};

/// A part that is left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) part: Part,
    /// Why.
    pub(super) because: String,
    /// How many steps of what takes it back are not done; none before that began.
    pub(super) open: Option<usize>,
    /// Those left behind before it, by their places, that need its new versions.
    pub(super) needed_by: Vec<usize>,
}

impl RunState {
    /// The parts of the release that are left behind, in the order in which that was decided.
    pub fn left_behind(&self) -> impl Iterator<Item = &Part> {
        self.left.iter().map(|left| &left.part)
    }

    /// Why no further region begins, once too many have failed.
    pub const fn halted(&self) -> Option<&Cause> {
        self.halted.as_ref()
    }

    /// Whether nothing more comes of the step at `index` on the way forward, and nothing of it is half done: it succeeded, or failed where
    /// nobody minds; or its part is [left behind](Self::left_behind), and all of that was put back; or it was given up since no further
    /// region begins ([`halted`](Self::halted)). False for what is not part of the plan.
    pub fn is_settled(&self, index: u32) -> bool {
        if self.is_left(index) {
            return !self.is_half_taken_back(index);
        }
        match self.status(index) {
            Some(Status::Succeeded) => true,
            Some(Status::Failed) => {
                self.plan.get(index).is_some_and(|step| step.on_failure == OnFailure::Continue)
            }
            Some(Status::Cancelled) => self.halted.is_some() && !self.was_given_up(),
            _ => false,
        }
    }

    /// Whether somebody ended it where it stood: then nothing was given up for a reason of the plan.
    pub(super) fn was_given_up(&self) -> bool {
        matches!(self.outcome(), Some(Outcome::Cancelled { .. } | Outcome::Abandoned { .. }))
    }

    /// Whether the step at `index` of the plan is part of what is left behind.
    pub(crate) fn is_left(&self, index: u32) -> bool {
        !self.left.is_empty()
            && self
                .plan
                .plan()
                .steps()
                .get(index as usize)
                .is_some_and(|step| self.left.iter().any(|left| left.part.covers(step)))
    }

    /// The part with which the step at `index` was given up, and why that is left behind.
    pub(crate) fn left_because(&self, index: u32) -> Option<String> {
        let given_up = matches!(self.status(index), Some(Status::Cancelled | Status::Failed));
        if !given_up || !self.is_given_up(index) {
            return None;
        }
        let step = self.plan.plan().steps().get(index as usize)?;
        let left = self.left.iter().find(|left| left.part.covers(step))?;
        Some(format!("{} ({})", left.part, left.because))
    }

    /// Whether what takes the part of the step at `index` back has begun and is not done.
    pub(super) fn is_half_taken_back(&self, index: u32) -> bool {
        let step = self.plan.plan().steps().get(index as usize);
        let half = |left: &Left| left.open != Some(0);
        !self.left.is_empty()
            && step.is_some_and(|s| self.left.iter().any(|l| half(l) && l.part.covers(s)))
    }

    /// What would take `part` back, as the run stands.
    pub(super) fn take_back_plan(&self, part: &Part) -> Result<Extension, Blocked> {
        // What another part takes back already is not taken back twice.
        let others = self.left.iter().filter(|left| left.part != *part && left.open > Some(0));
        let others: Vec<&Part> = others.map(|left| &left.part).collect();
        let elsewhere = |index| others.iter().any(|part| part.covers(self.plan.step(index)));
        let touched = |index| {
            if elsewhere(index) { Touched::No } else { super::advance::touched(self, index) }
        };
        take_back(&self.plan, touched, part)
            .map(|extension| extension.with_recorded(|step| self.flag_before(step)))
    }

    /// Whether only what puts something back may start: a pause holds what goes forward alone.
    pub(super) fn only_takes_back(&self) -> bool {
        self.paused && !self.left.is_empty() && self.phase == Phase::Forward
    }

    /// Whether the step at `index` may start, as far as the run as a whole is concerned.
    pub(crate) fn lets_start(&self, index: u32) -> bool {
        self.may_start() || (self.only_takes_back() && self.plan.in_rollback(index))
    }

    /// Leaves `part` behind. What of it is under way comes to an end; all else of it is given up at once.
    pub(super) fn leave(&mut self, part: Part, because: String) {
        let steps = (0_u32..).zip(self.plan.plan().steps());
        let covered = steps.filter(|(_, step)| part.covers(step)).map(|(index, _)| index);
        let given_up: Vec<u32> = covered.filter(|index| self.can_be_given_up(*index)).collect();
        let needed_by = self.earlier_that_need(&part);
        self.left.push(Left { part, because, open: None, needed_by });
        // All are given up before any is counted as done, so that none makes another ready.
        for index in &given_up {
            self.give_up(*index);
        }
        for index in given_up {
            self.complete(index);
        }
    }

    /// A step of a part that is left behind is over as soon as nothing of it is under way.
    pub(super) fn give_up_if_left(&mut self, event: &Event) {
        let Some(step) = event.step().filter(|_| !self.left.is_empty()) else { return };
        let still_active = self.active.get(step.index).is_some();
        if still_active && self.is_left(step.index) && self.can_be_given_up(step.index) {
            self.give_up(step.index);
            self.complete(step.index);
        }
    }

    /// Whether a step is not done, and nothing of it is under way.
    pub(super) fn can_be_given_up(&self, index: u32) -> bool {
        let wait = self.active.get(index).map(|active| &active.wait);
        match self.status(index) {
            Some(Status::Pending | Status::Ready) => true,
            Some(Status::Waiting) => {
                !matches!(wait, Some(Wait::Look { .. })) && !self.is_in_doubt(index)
            }
            Some(Status::Failed) => wait.is_some(),
            _ => false,
        }
    }

    pub(super) fn give_up(&mut self, index: u32) {
        if self.status(index) == Some(Status::Ready) {
            self.unqueue(index);
        }
        if let Some(attempt) = self.active.get(index).map(|active| active.attempt) {
            self.spent.change(&index, |spent| *spent = attempt);
            self.remove_active(index);
        }
        if self.status(index) != Some(Status::Failed) {
            self.set_status(index, Status::Cancelled);
        }
    }

    /// What takes the next part back, once nothing of it is under way, nor of what needs it and was left behind before.
    pub(super) fn next_to_take_back(&self) -> Option<Event> {
        let waiting = self.left.iter().filter(|left| left.open.is_none());
        let active = self.active.in_order();
        let quiet = |left: &&Left| {
            let steps = active.iter().map(|(index, _)| self.plan.step(*index));
            !steps.into_iter().any(|step| left.part.covers(step))
                && left
                    .needed_by
                    .iter()
                    .filter_map(|nth| self.left.get(*nth))
                    .all(|l| self.is_back(l))
        };
        let left = waiting.into_iter().find(quiet)?;
        // INVARIANT: a part that cannot be taken back is not left behind. If it were, nothing would be
        // taken back, and the record would say so.
        let nothing = |_| Extension { part: Some(left.part.clone()), ..Extension::default() };
        let extension = Box::new(self.take_back_plan(&left.part).unwrap_or_else(nothing));
        Some(Event::TakeBackStarted { because: left.because.clone(), extension })
    }

    /// Which of those that are left behind need the new versions of `part`.
    fn earlier_that_need(&self, part: &Part) -> Vec<usize> {
        if self.left.is_empty() {
            return Vec::new();
        }
        let plan = self.plan.plan();
        let mut of_part = BTreeSet::new();
        let mut of_earlier: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); self.left.len()];
        for (group, step) in plan.steps().iter().filter_map(|step| Some((step.group?, step))) {
            if part.covers(step) {
                of_part.insert(group);
            }
            for (groups, left) in of_earlier.iter_mut().zip(&self.left) {
                if left.part.covers(step) {
                    groups.insert(group);
                }
            }
        }
        let needs = |group: &u32| {
            plan.groups().get(*group as usize).is_some_and(|group| {
                let needed = |other: &&u32| !group.either.contains(other);
                group.after.iter().filter(needed).any(|other| of_part.contains(other))
            })
        };
        let earlier = of_earlier.iter().enumerate().filter(|(_, groups)| groups.iter().any(needs));
        earlier.map(|(nth, _)| nth).collect()
    }

    /// Whether a part is as it was before, but for what is kept for a while and whom it tells: that holds up nobody's way back.
    fn is_back(&self, left: &Left) -> bool {
        if left.open.is_none_or(|open| open == 0) {
            return left.open.is_some();
        }
        let is_its =
            |(_, extension): &(u32, &Extension)| extension.part.as_ref() == Some(&left.part);
        let Some((base, extension)) = self.plan.extensions().find(is_its) else { return false };
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); extension.steps.len()];
        for edge in &extension.edges {
            if let Some(before) = before.get_mut(edge.to as usize) {
                before.push(edge.from as usize);
            }
        }
        // Each step comes after those before it.
        let mut later = vec![false; extension.steps.len()];
        for (nth, step) in extension.steps.iter().enumerate() {
            let waits = matches!(step.action, Action::Bake { .. } | Action::Notify { .. });
            let behind = before.get(nth).into_iter().flatten();
            let behind = behind.filter_map(|from| later.get(*from)).any(|later| *later);
            if let Some(later) = later.get_mut(nth) {
                *later = waits || behind;
            }
        }
        let done = |index: u32| self.status(index) == Some(Status::Succeeded);
        (base..).zip(later).all(|(index, later)| later || done(index))
    }

    pub(super) fn take_back_started(
        &mut self,
        extension: &Extension,
    ) -> Result<(), IllegalTransition> {
        if self.phase != Phase::Forward {
            return Err(self.wrong_phase("take_back_started"));
        }
        let fits = extension.fits(self.plan.base_len()) && extension.pages.is_empty();
        let waits =
            |left: &Left| Some(&left.part) == extension.part.as_ref() && left.open.is_none();
        let Some(at) = self.left.iter().position(waits).filter(|_| fits) else {
            return Err(IllegalTransition::BadRollback);
        };
        let base = self.append(extension);
        self.remaining = self.remaining.saturating_add(extension.steps.len());
        if let Some(left) = self.left.get_mut(at) {
            left.open = Some(extension.steps.len());
        }
        self.enqueue_roots(base);
        if extension.steps.is_empty() {
            self.taken_back(&extension.undoes);
        }
        Ok(())
    }

    /// Appends steps to the plan, and returns the place of the first.
    pub(super) fn append(&mut self, extension: &Extension) -> usize {
        let base = self.plan.len();
        self.plan = self.plan.extended(extension.clone());
        self.status.resize(self.plan.len(), Status::Pending);
        self.active.resize(self.plan.len());
        base
    }

    /// A step that puts something back is done: with the last of a part, that is as it was before.
    pub(super) fn one_less_to_take_back(&mut self, index: u32) {
        let Some((_, extension)) = self.plan.extension_of(index) else { return };
        let is_of = |left: &&mut Left| Some(&left.part) == extension.part.as_ref();
        let Some(left) = self.left.iter_mut().find(is_of) else { return };
        left.open = left.open.map(|open| open.saturating_sub(1));
        if left.open == Some(0) {
            let undone = extension.undoes.clone();
            self.taken_back(&undone);
        }
    }

    fn taken_back(&mut self, undone: &[u32]) {
        for index in undone {
            self.set_status(*index, Status::Compensated);
        }
    }
}

/// The services that a plan changes.
pub(super) fn services(plan: &Plan) -> BTreeSet<&ServiceId> {
    let places = plan.steps().iter().filter_map(|step| step.scope.place());
    places.filter_map(|place| place.service.as_ref()).collect()
}

/// The members that need the new version of `service` and are not left behind themselves.
pub(super) fn dependents(state: &RunState, service: &ServiceId) -> Vec<ServiceId> {
    let plan = state.plan.plan();
    let mut of_group: Vec<Option<(u32, &ServiceId)>> = vec![None; plan.groups().len()];
    for (index, step) in (0_u32..).zip(plan.steps()) {
        let named = step.scope.place().and_then(|place| place.service.as_ref());
        let slot = step.group.and_then(|group| of_group.get_mut(group as usize));
        if let (Some(slot), Some(named)) = (slot, named) {
            slot.get_or_insert((index, named));
        }
    }
    let is_it = |group: &u32| {
        let known = of_group.get(*group as usize).copied().flatten();
        known.is_some_and(|(_, named)| named == service)
    };
    let needs = |group: &Group| {
        group.after.iter().any(|other| is_it(other) && !group.either.contains(other))
    };
    let needing = plan.groups().iter().zip(&of_group).filter(|(group, _)| needs(group));
    let others = needing
        .filter_map(|(_, known)| *known)
        .filter(|(index, named)| *named != service && !state.is_left(*index));
    let others: BTreeSet<&ServiceId> = others.map(|(_, named)| named).collect();
    others.into_iter().cloned().collect()
}

/// Whether some step that changes something neither belongs to `part` nor is left behind.
pub(super) fn is_anybody_else(state: &RunState, part: &Part) -> bool {
    let others = (0_u32..).zip(state.plan.plan().steps()).filter(|(_, step)| !part.covers(step));
    let changes = |action: &Action| action.mutates();
    others.into_iter().any(|(index, step)| changes(&step.action) && !state.is_left(index))
}
