//! What can be said of each step of a plan alone, and what kinds of them there are.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::iter;

use foldhash::fast::FixedState;

use crate::plan::{Action, PlanError, Step, Undo, durations};

/// What is among the steps of a plan: what is not, nobody has to look for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kinds {
    pub(super) analyses: bool,
    /// Also where flags only undo something.
    pub(super) flags: bool,
}

impl Kinds {
    pub(super) fn add(&mut self, step: &Step) {
        let undo = step.undo.compensations().iter().map(|undo| &undo.action);
        for action in iter::once(&step.action).chain(undo) {
            self.analyses |= matches!(action, Action::Analyze { .. });
            self.flags |= matches!(action, Action::Flag(_));
        }
    }
}

/// The steps of which an earlier one has the id as well. By their hashes: of half a million, a tree of them takes ten times as long.
pub(super) fn named_again(steps: &[Step]) -> BTreeSet<usize> {
    let state = FixedState::default();
    let hash = |step: &Step| state.hash_one(step.id.as_str());
    let mut all: Vec<(u64, usize)> =
        steps.iter().enumerate().map(|(at, step)| (hash(step), at)).collect();
    all.sort_unstable();
    let mut again = BTreeSet::new();
    for same in all.chunk_by(|(one, _), (other, _)| one == other).filter(|same| same.len() > 1) {
        let mut known = BTreeSet::new();
        let ids = same.iter().filter_map(|(_, at)| Some((at, &steps.get(*at)?.id)));
        again.extend(ids.filter(|(_, id)| !known.insert(*id)).map(|(at, _)| *at));
    }
    again
}

pub(super) fn check_step(step: &Step, groups: usize, errors: &mut Vec<PlanError>) {
    if step.action.mutates() && step.undo == Undo::Undeclared {
        errors.push(PlanError::NoUndo { step: step.id.clone() });
    }
    durations::check_step(step, errors);
    let undo = step.undo.compensations().iter().map(|undo| &undo.action);
    for action in iter::once(&step.action).chain(undo) {
        if let Action::Custom { input, .. } = action
            && let Err(problem) = crate::bounds::json(input)
        {
            errors.push(PlanError::BadInput { step: step.id.clone(), problem });
        }
    }
    if step.retry.max_attempts == 0 {
        errors.push(PlanError::NoAttempts { step: step.id.clone() });
    }
    if let Some(index) = step.group.filter(|index| *index as usize >= groups) {
        let step = step.id.to_string();
        errors.push(PlanError::BadIndex { step, what: "group", index, len: groups });
    }
}
