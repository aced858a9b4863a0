//! What would come of a plan, or of a run as it stands: simulated by the code that drives real runs.
//!
//! - `assume` is what is taken for granted, `assumed` holds a policy to it; `simulate` lets it happen; `course` is what came of it.

mod assume;
mod assumed;
mod course;
mod simulate;

pub use assume::Assumptions;
pub use course::{Course, CourseStep, Held, Refused};

use crate::ids::{GateId, StepId};
use crate::plan::FrozenPlan;
use crate::port::Policy;
use crate::run::{Event, Fact, RunState};
use simulate::Simulation;

/// A simulation that came to no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WhatIfError {
    /// There would be more events than were allowed.
    #[error(
        "after {limit} events the run is not over; allow more with `Assumptions::limit`, or look for what repeats"
    )]
    TooManyEvents {
        /// The limit.
        limit: usize,
    },
    /// Something was assumed of a step that neither the plan nor its rollback has.
    #[error(
        "something is assumed of step `{step}`, which is neither in the plan nor in its rollback; mend the name"
    )]
    UnknownStep {
        /// The step.
        step: StepId,
    },
    /// An approval of a gate was assumed that the plan does not have.
    #[error("an approval of gate `{gate}` is assumed, which the plan does not have; mend the name")]
    UnknownGate {
        /// The gate.
        gate: GateId,
    },
    /// Our own events do not follow each other: a fault of this library.
    #[error("the simulation went wrong, which is a fault of this library: {0}")]
    Illegal(#[from] crate::run::IllegalTransition),
}

/// What would come of a run of `plan`, if `assumptions` held and `policy` decided. Pure: nothing is
/// started and nothing is written, and the same question always has the same answer.
///
/// # Errors
/// [`WhatIfError`].
pub fn what_if(
    plan: &FrozenPlan,
    assumptions: &Assumptions,
    policy: &dyn Policy,
) -> Result<Course, WhatIfError> {
    let event = Event::RunCreated {
        plan: plan.digest(),
        definition: plan.plan().definition(),
        requester: assumptions.requester.clone(),
        supersedes: None,
        policy: policy.digest(),
    };
    let first = Fact { at: assumptions.start, event };
    let state = RunState::create(assumptions.run.clone(), plan.clone(), &first)?;
    Simulation::new(state, vec![first], assumptions, policy).run()
}

/// What would come of a run that stands as `state` says: a forecast. Effects under way are taken to have
/// begun when they did.
///
/// # Errors
/// [`WhatIfError`].
pub fn what_if_from(
    state: RunState,
    assumptions: &Assumptions,
    policy: &dyn Policy,
) -> Result<Course, WhatIfError> {
    Simulation::new(state, Vec::new(), assumptions, policy).run()
}
