//! Why is it blocked, and when will it unblock? Answers about runs that are, were or could be. Pure.
//!
//! - [`explain`] gives *every* reason why a step has not started or not finished: what would lift
//!   each, who can, and the earliest instant at which it can change.
//! - [`state_at`] is the state of a run at any point of its past.
//! - [`why`] gives the inputs of any decision: who asked, what was observed, which instant had come.
//! - [`what_if`] simulates a plan, or a run as it stands, under [`Assumptions`], and tells its [`Course`].
//!
//! All of it reads the [`RunState`] or the verified
//! [`History`](crate::journal::History) of a run, and asks a [`Policy`] as admission does; no clock, no I/O.
//! With an engine at hand each is one line: [`Engine::explain`](crate::engine::Engine::explain),
//! [`RunHandle::explain`](crate::engine::RunHandle::explain), [`Engine::why`](crate::engine::Engine::why),
//! [`Engine::forecast`](crate::engine::Engine::forecast).
//!
//! ```
//! use release_core::explain::{Assumptions, explain, what_if};
//! use release_core::model::{Approval, Gate, Principal, Span};
//! use release_core::plan::{Action, EdgeKind, Plan, Step};
//! use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
//! use release_core::time::Timestamp;
//!
//! /// Nothing on Friday 27 November 2026. Yours would be `Windows` of `release-policy`.
//! #[derive(Debug)]
//! struct Fridays;
//!
//! impl Policy for Fridays {
//!     fn admit(&self, request: &Admission<'_>) -> Decision {
//!         let (from, until) = ("2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z");
//!         let (from, until) = (from.parse().unwrap(), until.parse().unwrap());
//!         if !(from..until).contains(&request.now) {
//!             return Decision::permit();
//!         }
//!         let reasons = vec![Reason::new("freeze/friday", "nothing on Fridays", "team web")];
//!         Decision::wait(Some(until), reasons)
//!     }
//!     fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
//!         Decision::permit()
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let notify = |text: &str| Action::Notify { channel: "ops".parse().unwrap(), message: text.into() };
//! let mut plan = Plan::builder("shop".parse()?, "shop-2".parse()?);
//! let bake = plan.step(Step::new("bake".parse()?, Action::Bake { duration: Span::secs(7200) }));
//! let gate = Gate::Approval(Approval::new("go".parse()?));
//! let live = plan.step(Step::new("live".parse()?, notify("live")).gate(gate));
//! plan.edge(bake, live, EdgeKind::Order);
//! let plan = plan.build()?.freeze();
//!
//! // It is Thursday, 23:00. Would the freeze hold it, if approvals took an hour?
//! let thursday: Timestamp = "2026-11-26T23:00:00Z".parse()?;
//! let ann = Principal::human("ann".parse()?);
//! let assumed = Assumptions::new("run-1".parse()?, ann, thursday).approvals_take(Span::secs(3600));
//! let course = what_if(&plan, &assumed, &Fridays)?;
//! let (step, held) = course.held_by("freeze/").last().expect("it would");
//! assert_eq!(step.id.as_str(), "live");
//! assert_eq!(held.until, Some("2026-11-28T00:00:00Z".parse()?));
//!
//! // And why would it not be live at 23:30? For every one of these reasons.
//! let began = release_core::run::RunState::create("run-1".parse()?, plan, &course.facts[0])?;
//! let found = explain(&began, live, thursday.plus(Span::secs(1800)), &Fridays)?;
//! let kinds: Vec<_> = found.obstacles.iter().map(|obstacle| obstacle.kind.name()).collect();
//! assert_eq!(kinds, ["dependency", "approval"]);
//! # Ok(())
//! # }
//! ```

mod find;
mod grounds;
mod obstacle;
mod roots;
mod travel;
mod view;
mod what_if;
mod why;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use obstacle::{Lifter, Obstacle, ObstacleKind};
pub use travel::{Position, TravelError, state_at};
pub use view::View;
pub use what_if::{
    Assumptions, Course, CourseStep, Held, Refused, WhatIfError, what_if, what_if_from,
};
pub use why::{Before, Ground, Why, why};

use crate::ids::{RunId, StepId};
use crate::port::Policy;
use crate::run::{RunState, Status, StepRef};
use crate::time::Timestamp;

/// A step that the plan does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan of run `{run}` has no step {step}; mend the name, and mind that a rollback's steps are there only once it began"
)]
pub struct NoSuchStep {
    /// The run.
    pub run: RunId,
    /// What was named: an id in backticks, or a place in the plan.
    pub step: String,
}

/// Why a step has not started or not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "an explanation that nobody reads explains nothing"]
pub struct Explanation {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepRef,
    /// How it stands.
    pub status: Status,
    /// The instant that this is about.
    pub at: Timestamp,
    /// Everything that has to be lifted: all of it, not the first alone. None if the step is done, or
    /// goes on at once.
    pub obstacles: Vec<Obstacle>,
    /// The steps at the root of its dependencies: those that wait for no other step.
    pub roots: Vec<Root>,
    /// Whether `roots` are all there are. Behind one step at most 4,096 are walked through, and 64
    /// explained.
    pub complete: bool,
}

/// An unfinished step that waits for no other, and by which others are held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The step.
    pub step: StepRef,
    /// How it stands.
    pub status: Status,
    /// What holds it.
    pub obstacles: Vec<Obstacle>,
}

/// Explains how the step at `index` stands at `at`, or now if that is later, as things stand: no input
/// but time is expected to come in between. `policy` is asked as at admission. Of the clock and of the
/// platform's limits it knows only what the run was told; [`explain_in`] is told more.
///
/// Lifting all of the obstacles makes the step go on; lifting all but one does not. Costs time in
/// proportion to what it reports: the unfinished steps behind the step, and those before it in the
/// queue.
///
/// # Errors
/// [`NoSuchStep`] when the plan has no step at `index`.
pub fn explain(
    state: &RunState,
    index: u32,
    at: Timestamp,
    policy: &dyn Policy,
) -> Result<Explanation, NoSuchStep> {
    explain_in(state, index, View::new(at, policy))
}

/// As [`explain`], with all that is known of the clock and the platform's limits.
///
/// # Errors
/// As [`explain`].
pub fn explain_in(state: &RunState, index: u32, view: View<'_>) -> Result<Explanation, NoSuchStep> {
    let run = state.run().clone();
    let Some(status) = state.status(index) else {
        return Err(NoSuchStep { run, step: format!("at {index}") });
    };
    let view = view.not_before(state.now());
    let at = view.at;
    let mut obstacles = find::obstacles(state, index, &view);
    let ancestry = roots::ancestry(state, index, &view);
    for obstacle in &mut obstacles {
        if let ObstacleKind::Dependency { step, .. } = &obstacle.kind {
            let end = ancestry.done.get(&step.index).copied();
            obstacle.earliest = end.filter(|end| *end > at);
        }
    }
    let root = |(index, obstacles)| Root {
        step: StepRef::of(state.plan(), index),
        status: state.status(index).unwrap_or(Status::Pending),
        obstacles,
    };
    let step = StepRef::of(state.plan(), index);
    let (roots, complete) = (ancestry.roots.into_iter().map(root).collect(), ancestry.complete);
    Ok(Explanation { run, step, status, at, obstacles, roots, complete })
}

/// As [`explain`], for the step called `id`. Finding it walks the plan once.
///
/// # Errors
/// [`NoSuchStep`] when there is none.
pub fn explain_step(
    state: &RunState,
    id: &StepId,
    at: Timestamp,
    policy: &dyn Policy,
) -> Result<Explanation, NoSuchStep> {
    explain_step_in(state, id, View::new(at, policy))
}

/// As [`explain_in`], for the step called `id`.
///
/// # Errors
/// As [`explain_step`].
pub fn explain_step_in(
    state: &RunState,
    id: &StepId,
    view: View<'_>,
) -> Result<Explanation, NoSuchStep> {
    let none = || NoSuchStep { run: state.run().clone(), step: format!("`{id}`") };
    explain_in(state, state.plan().find(id).ok_or_else(none)?, view)
}

impl Explanation {
    /// The earliest instant at which it can go on, as far as instants bind it. `None`: as soon as what
    /// else holds it is lifted.
    pub fn earliest(&self) -> Option<Timestamp> {
        self.obstacles.iter().filter_map(|obstacle| obstacle.earliest).max()
    }

    /// Whether it cannot go on in this run, whatever anybody does.
    pub fn is_final(&self) -> bool {
        self.obstacles.iter().any(Obstacle::is_final)
    }

    /// Whether nothing holds it: it is done, or goes on at once.
    pub fn is_free(&self) -> bool {
        self.obstacles.is_empty()
    }
}

/// A line for the step and for each obstacle, and the same for each root.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, status, at, obstacles, roots, complete, .. } = self;
        let free = if obstacles.is_empty() { "; nothing holds it" } else { "" };
        write!(f, "`{}` is {} at {at}{free}", step.id, status.name())?;
        obstacles.iter().try_for_each(|obstacle| write!(f, "\n- {obstacle}"))?;
        for Root { step, status, obstacles } in roots {
            write!(f, "\n`{}` is {}", step.id, status.name())?;
            obstacles.iter().try_for_each(|obstacle| write!(f, "\n- {obstacle}"))?;
        }
        if *complete { Ok(()) } else { f.write_str("\nand there are more steps before it") }
    }
}
