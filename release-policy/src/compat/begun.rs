//! Whether a run brought something to a region, which is asked before each step that is held there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use release_core::model::{EnvironmentId, RegionId, Target};
use release_core::plan::Plan;
use release_core::run::{RunState, StateDigest, Status};

use super::policy::brings;
use crate::per_plan::PerPlan;

/// What plans bring, and where.
#[derive(Debug, Default)]
pub(super) struct Begun(PerPlan<Steps>);

/// The steps of a plan that bring a version, by region.
type Steps = BTreeMap<(EnvironmentId, RegionId), AtRegion>;

/// Those of one region.
#[derive(Default)]
struct AtRegion {
    steps: Vec<u32>,
    cursor: Mutex<Cursor>,
}

/// What was found last. It only says where to look first, or repeats what was found in the same state: an answer depends on the run as it
/// stands alone.
#[derive(Default)]
struct Cursor {
    /// The place of a step that had begun.
    begun: usize,
    /// The state in which none had.
    none: Option<StateDigest>,
}

impl Begun {
    /// Whether a run brought a version to where a target is, or tries to.
    ///
    /// Looks at a step of the region that had begun when it was asked last; where none had, at those of the region, once for each state of
    /// the run. The first time that it is asked of a plan, it looks at all of its steps.
    pub(super) fn has_begun(&self, state: &RunState, target: &Target) -> bool {
        let steps = self.0.of(state.plan(), steps);
        let place = (target.environment.clone(), target.region.clone());
        steps.get(&place).is_some_and(|here| here.has_begun(state))
    }
}

fn steps(plan: &Plan) -> Steps {
    let mut all = Steps::new();
    for (index, step) in (0_u32..).zip(plan.steps()) {
        if let Some((target, _)) = brings(&step.action) {
            let place = (target.environment.clone(), target.region.clone());
            all.entry(place).or_default().steps.push(index);
        }
    }
    all
}

impl AtRegion {
    fn has_begun(&self, state: &RunState) -> bool {
        let digest = state.digest();
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        if cursor.none == Some(digest) {
            return false;
        }
        let (before, behind) = self.steps.split_at(cursor.begun.min(self.steps.len()));
        let has = |index: &u32| begun(state, *index);
        let found = behind.iter().position(has).map(|nth| nth + before.len());
        let found = found.or_else(|| before.iter().position(has));
        match found {
            Some(nth) => cursor.begun = nth,
            None => cursor.none = Some(digest),
        }
        found.is_some()
    }
}

/// Whether a step did something, or tried to.
fn begun(state: &RunState, index: u32) -> bool {
    match state.status(index) {
        Some(Status::Running | Status::Succeeded | Status::Failed | Status::Compensated) => true,
        Some(Status::Pending | Status::Ready | Status::Waiting | Status::Cancelled) | None => {
            state.active(index).is_some_and(|active| active.attempt > 0)
        }
    }
}
