//! Definition to plan: a DAG of typed steps that anyone can read, draw and diff before it moves.
//!
//! - `check` and `durations` find what is wrong with a definition, all of it at once.
//! - `compare` checks analyses that compare versions: their rules, and whether they can find anything.
//! - `planner`, `expand` and [`strategy`] turn a sound definition into steps.
//! - `traffic` checks what steps ask of routers.
//! - `build` holds the plan itself and the builder for plans made by hand.
//! - `flag` is what a plan does to feature flags.
//! - `frozen` is the form that running reads; `graph` is the only user of petgraph.
//! - `words` is what actions are called.
//! - `observable` says what is to judge a release, and whether that could be judged by what was recorded.
//! - `rollback` computes the way back; `draw` and `diff` are for people.

mod build;
mod check;
mod compare;
mod diff;
mod draw;
mod durations;
mod edge;
mod error;
mod expand;
mod extension;
mod flag;
mod frozen;
pub(crate) mod graph;
mod judges;
mod line;
mod observable;
mod place;
mod planner;
mod retry;
mod rollback;
mod step;
pub mod strategy;
mod traffic;
mod triggers;
mod undo;
mod words;

pub use build::{PLAN_FORMAT, Plan, PlanBuilder, SignalRule};
pub use edge::{Edge, EdgeKind, Group};

pub use diff::{PlanDiff, StepChange};
pub use error::{PlanError, PlanErrors};

pub use expand::{plan, plan_with};
pub use extension::{Alternate, Extension, Part};
pub use flag::{FlagDeed, FlagStep};
pub use frozen::FrozenPlan;
pub use line::Line;
pub use observable::{CriterionUnobservable, PlannedCriterion, Recorded};
pub use place::{Place, StepScope};
pub use planner::Planner;
pub use retry::RetryPolicy;

pub use rollback::{Blocked, Reach, Touched, rollback, take_back};
pub use step::{
    Action, Beside, Compensation, Deployment, OnFailure, Step, Undo, UndoPhase, Weight,
};
