//! A run goes on with another plan: by the word of a person, on record, and only where nothing has to be
//! guessed. What was touched must stand in the new plan as it was; what was not may change.

use std::collections::{BTreeMap, VecDeque};

use super::command::{Command, Directive, Rejected};
use super::decide::Turn;
use super::digest::{Gates, Generations, Spent, Sums};
use super::directive::denial;
use super::event::Event;
use super::evolve::IllegalTransition;
use super::state::{Phase, RunState, Status};
use crate::ids::StepId;
use crate::model::{Digest, Principal};
use crate::plan::{FrozenPlan, OnFailure, Step};

/// Why a run cannot go on with another plan. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotMigrated {
    /// The command itself makes no sense now.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The run does not go forward any more, or has effects under way.
    #[error(
        "only a run that goes forward, with no effect under way, can be migrated; this one is {phase}"
    )]
    WrongPhase {
        /// What the run does.
        phase: &'static str,
    },
    /// The new plan does not have what was touched, as it was.
    #[error("the new plan does not continue what has begun:{}{}{}", list(" it lacks", .missing), list(" it changes", .changed), list(" it puts steps that are not done before", .ahead))]
    DoesNotContinue {
        /// Steps that were touched and are not in the new plan.
        missing: Vec<StepId>,
        /// Steps that were touched and do something else there, elsewhere, or fail otherwise.
        changed: Vec<StepId>,
        /// Steps that were touched and would have to wait there for steps that are not done.
        ahead: Vec<StepId>,
    },
}

fn list(what: &str, steps: &[StepId]) -> String {
    const SHOWN: usize = 5;
    if steps.is_empty() {
        return String::new();
    }
    let names: Vec<_> = steps.iter().take(SHOWN).map(|id| format!("`{id}`")).collect();
    let more = if steps.len() > SHOWN { ", …" } else { "" };
    format!("{what} {}{more};", names.join(", "))
}

/// Decides whether the run goes on with the plan `to`, as `by` asks for `reason`. With the plan that it
/// has already there is nothing to decide. A migration that the policy denies is an event.
///
/// Approvals do not survive it: they were given to another plan.
///
/// # Errors
/// [`NotMigrated`] names every step that is in the way.
pub fn migrate(
    state: &RunState,
    to: &FrozenPlan,
    by: &Principal,
    reason: &str,
    turn: &Turn<'_>,
) -> Result<Option<Event>, NotMigrated> {
    let command = Command::Migrate { to: to.digest() };
    if reason.trim().is_empty() {
        return Err(Rejected::NoReason { command: command.name() }.into());
    }
    if to.digest() == state.plan.digest() {
        return Ok(None);
    }
    if let Some(denied) = denial(state, &Directive::new(command, by.clone(), reason), turn)? {
        return Ok(Some(denied));
    }
    let kept = u32::try_from(carried(state, to)?.len()).unwrap_or(u32::MAX);
    let (from, to) = (state.plan.digest(), to.digest());
    Ok(Some(Event::PlanMigrated { from, to, kept, by: by.clone(), reason: reason.to_owned() }))
}

/// Where the steps that were touched stand in the plan `to`: their places there and here.
fn carried(state: &RunState, to: &FrozenPlan) -> Result<Vec<(u32, u32)>, NotMigrated> {
    if state.phase != Phase::Forward || !state.left.is_empty() || state.in_flight > 0 {
        let phase = if state.in_flight > 0 { "acting" } else { state.phase.name() };
        return Err(NotMigrated::WrongPhase { phase });
    }
    let places: BTreeMap<_, _> =
        to.plan().steps().iter().zip(0..).map(|(step, place)| (&step.id, (place, step))).collect();
    let (mut missing, mut changed, mut carried) = (Vec::new(), Vec::new(), Vec::new());
    let mut begun = vec![None; to.len()];
    for (here, step) in (0..).zip(state.plan.plan().steps()) {
        if !is_touched(state, here) {
            continue;
        }
        match places.get(&step.id) {
            None => missing.push(step.id.clone()),
            Some((_, new)) if !same_deed(step, new) => changed.push(step.id.clone()),
            Some((there, new)) => {
                carried.push((*there, here));
                if let Some(slot) = begun.get_mut(*there as usize) {
                    *slot = state.status(here).map(|status| is_done(status, new));
                }
            }
        }
    }
    let ahead = ahead(to, &begun);
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::MigrateBlindly) && missing.is_empty() {
        carried.sort_unstable();
        return Ok(carried);
    }
    if missing.is_empty() && changed.is_empty() && ahead.is_empty() {
        carried.sort_unstable();
        return Ok(carried);
    }
    Err(NotMigrated::DoesNotContinue { missing, changed, ahead })
}

/// The steps that have begun although one before them is not done; `begun` says which have, and of those
/// which are done.
fn ahead(plan: &FrozenPlan, begun: &[Option<bool>]) -> Vec<StepId> {
    let of = |place: u32| begun.get(place as usize).copied().flatten();
    let early = plan.plan().edges().iter().filter(|edge| {
        let waits = of(edge.from) != Some(true);
        waits && of(edge.to).is_some()
    });
    let mut early: Vec<_> = early.map(|edge| plan.step(edge.to).id.clone()).collect();
    early.sort();
    early.dedup();
    early
}

/// Whether anything was done for a step, or may have been, or a person spoke of it.
fn is_touched(state: &RunState, index: u32) -> bool {
    match state.status(index) {
        Some(Status::Pending | Status::Ready) | None => false,
        Some(Status::Waiting) => {
            state.generation(index) > 0
                || state.active(index).is_some_and(|active| active.attempt > 0)
        }
        Some(_) => true,
    }
}

fn same_deed(one: &Step, other: &Step) -> bool {
    one.action == other.action && one.scope == other.scope && one.on_failure == other.on_failure
}

fn is_done(status: Status, step: &Step) -> bool {
    status == Status::Succeeded
        || (status == Status::Failed && step.on_failure == OnFailure::Continue)
}

impl RunState {
    /// The run can go on with `plan` from now on, if a record says so.
    pub fn offer(&mut self, plan: FrozenPlan) {
        self.plan = self.plan.with_later(vec![plan]);
    }

    pub(super) fn plan_migrated(
        &mut self,
        from: Digest,
        to: Digest,
        kept: u32,
    ) -> Result<(), IllegalTransition> {
        if self.plan.digest() != from {
            let found = self.plan.digest();
            return Err(IllegalTransition::OtherPlan { expected: from, found });
        }
        let plan = self.plan.later(to).ok_or(IllegalTransition::PlanNotGiven { plan: to })?;
        let carried = carried(self, &plan)
            .map_err(|reason| IllegalTransition::BadMigration { reason: reason.to_string() })?;
        if carried.len() != kept as usize {
            let reason = format!("{} steps were touched, not {kept}", carried.len());
            return Err(IllegalTransition::BadMigration { reason });
        }
        *self = self.moved_to(plan, &carried);
        Ok(())
    }

    fn moved_to(&self, plan: FrozenPlan, carried: &[(u32, u32)]) -> Self {
        let count = plan.len();
        let steps = || (0..).take(count);
        let mut next = Self {
            status: vec![Status::Pending; count],
            waits: steps().map(|index| plan.in_degree(index)).collect(),
            active: super::active::ActiveSet::default(),
            timers: super::active::Timers::default(),
            spent: Spent::default(),
            ready_pure: VecDeque::new(),
            ready: VecDeque::new(),
            looking: 0,
            held: 0,
            remaining: count,
            generations: Generations::default(),
            gates: Gates::default(), // approvals were given to another plan
            sums: Sums::default(),
            plan,
            ..self.clone()
        };
        next.active.resize(count);
        for (there, here) in carried {
            next.take_from(self, *there, *here);
        }
        for index in steps() {
            let free = next.waits.get(index as usize) == Some(&0);
            if free && next.status(index) == Some(Status::Pending) {
                next.enqueue(index);
            }
        }
        next
    }

    /// Takes what is known of the step `here` in the state of before for the step `there`.
    fn take_from(&mut self, before: &Self, there: u32, here: u32) {
        let Some(status) = before.status(here) else { return };
        self.set_status(there, status);
        if let Some(active) = before.active(here) {
            self.insert_active(there, active.clone());
        }
        if let Some(spent) = before.spent.get(&here) {
            self.spent.change(&there, |new| *new = *spent);
        }
        if let Some(generation) = before.generations.get(&here) {
            self.generations.change(&there, |new| *new = *generation);
        }
        if is_done(status, self.plan.step(there)) {
            self.remaining = self.remaining.saturating_sub(1);
            let mut nth = 0;
            while let Some(next) = self.plan.successor(there, nth) {
                nth += 1;
                self.waits_less(next);
            }
        }
    }
}
