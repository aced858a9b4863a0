//! Pure release policy: rules that say whether a step may start and who may give which command,
//! each answer with its reasons.
//!
//! Everything here implements [`Policy`](release_core::port::Policy): data in, decision out, no
//! clock, no I/O. So every answer can be explained, replayed and simulated.
//!
//! ```
//! use release_core::model::{Principal, RunId, Timestamp};
//! use release_core::plan::{Action, Place, Step, StepScope};
//! use release_core::port::{Admission, Decision, Policy};
//! use release_policy::rbac::{Action as May, Rbac, Role, Rules};
//! use release_policy::window::When;
//! use release_policy::{AllOf, WindowSpec, Windows};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (from, until): (Timestamp, Timestamp) =
//!     ("2026-11-23T14:00:00Z".parse()?, "2026-11-30T08:00:00Z".parse()?);
//! let when = When::Between { from, until };
//! let peak = WindowSpec::freeze("peak".parse()?, when, "sre".parse()?, "the busiest week")
//!     .in_environment("production".parse()?);
//! let manager = Role::new("release-manager".parse()?).may([May::Cancel]);
//! let rights = Rbac::vouched(Rules::new([manager], [])?).commands_only();
//! let policy = AllOf::new().and(Windows::new([peak.build()?])?).and(rights);
//!
//! let mut step = Step::new("production/eu/api/weight-10".parse()?, Action::Sync);
//! let environment = "production".parse()?;
//! step.scope = StepScope::of(Place::new(environment));
//! let (run, somebody): (RunId, _) = ("r-1".parse()?, Principal::human("ann".parse()?));
//!
//! let asked = |now| policy.admit(&Admission::new(&run, &somebody, &step, now));
//! assert!(matches!(asked(from), Decision::Wait { until: Some(at), .. } if at == until));
//! assert!(asked(until).is_permit()); // windows are half-open
//! # Ok(())
//! # }
//! ```
//!
//! | rule | says |
//! |---|---|
//! | [`Windows`] | when what may be changed, where and by whom |
//! | [`Rbac`](rbac::Rbac) | who may start which steps and give which commands |
//! | [`PolicySet`](decision::PolicySet) | rules as data, with windows and rights: what allows, what denies |
//! | [`ErrorBudgets`](budget::ErrorBudgets) | that nothing new begins where an error budget is nearly used up |
//! | `cedar::CedarRules` | rules in Cedar (feature `cedar`) |
//! | [`Conductor`](train::departure::Conductor) | which stop of a train may begin or go on |
//! | [`recommend`](recommend::recommend) | which strategy fits a change, and what each costs |
//! | [`train`] | scopes and sign-offs of trains, their calendar, departures, and waves of regions |
//! | [`compat`] | which versions can be deployed together, and in which order; and what was verified together, to go back to |
//! | [`quarantine`] | which suites of tests are flaky, and for how long one does without them |
//! | [`AllOf`] | several policies of any kind at once: deny beats wait beats permit |
//!
//! What this crate does not do: it asks nobody and remembers nothing. What people said and what is known of
//! a run, its host hands in; see [`decision`] for how, and `examples/governed_release` for all of it together.

pub mod approval;
pub mod budget;
pub mod cab;
#[cfg(feature = "cedar")]
pub mod cedar;
pub mod change;
pub mod compat;
pub mod decision;
pub mod directory;
pub mod emergency;
pub mod promotion;
pub mod quarantine;
pub mod rbac;
pub mod recommend;
pub mod train;

mod all_of;
mod canonical;
mod order;
mod per_plan;
pub mod window;

pub use all_of::AllOf;
pub use window::{Window, WindowSpec, Windows};
