//! Rules that users write in [Cedar](https://docs.cedarpolicy.com), decided by the `cedar-policy` crate.
//!
//! [`CedarRules`] is a policy as all others here: put it beside windows and rights with
//! [`AllOf`](crate::AllOf), or into a [`PolicySet`](crate::decision::PolicySet), whose facts it then knows.
//!
//! # What is checked before
//! Every rule has an `@id` of its own and an `@owner`, and all are validated strictly against the schema of
//! [`CedarRules::schema`]: a misspelt attribute, a comparison of a number with text, or a fact that is read
//! without asking whether it is there, is refused as the rules are read.
//!
//! # What a request touches
//! A step is in its environment, region, service and team, and in its train. A command about a gate or a step
//! is about a run in the place of that step, leaving a member behind about one service, and every other
//! command about the whole run. What a request leaves open (a step without a service, a pause, a run whose
//! plan the host does not show) concerns all of that kind: a `forbid` forbids it as soon as it applies to one
//! of the places that the rule names, or to none of them, and a `permit` permits it only if it applies to all
//! of these. So `forbid (…, resource in Release::Service::"payments")` holds a step that concerns all
//! services. Attributes (`resource.service`) say what is written and touch nothing: name places with `in`.
//!
//! Actions are those of [`rbac::Action`](crate::rbac::Action): the class of a step, or the command. A step of
//! the class `migrate` changes a schema; to go on with another plan is `change_plan`.
//!
//! # What differs from Cedar
//! Cedar leaves out a rule that fails while it is evaluated (for example by an overflow), so that a `forbid`
//! that fails forbids nothing
//! ([Cedar's authorization](https://docs.cedarpolicy.com/auth/authorization.html)). Here a `forbid` that fails
//! denies, and a `permit` that fails does not permit.
//!
//! ```
//! use release_core::model::{Principal, RunId, Timestamp};
//! use release_core::plan::{Action, Place, Step, StepScope};
//! use release_core::port::{Admission, Policy};
//! use release_policy::cedar::{CedarRules, FactType};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rules = CedarRules::new(
//!     r#"
//!     @id("people-release") @owner("platform")
//!     permit (principal is Release::Person, action == Release::Action::"deploy", resource);
//!
//!     @id("too-risky") @owner("sre") @because("the risk is 70 or more, or not known")
//!     forbid (principal, action, resource in Release::Environment::"production")
//!     unless { context.facts has risk && context.facts.risk < 70 };
//!     "#,
//!     [("risk", FactType::Number)],
//! )?;
//! let (run, ann): (RunId, _) = ("r-1".parse()?, Principal::human("ann".parse()?));
//! let mut step = Step::new("deploy".parse()?, Action::Sync);
//! step.scope = StepScope::of(Place::new("staging".parse()?));
//! let asked = |step: &Step| rules.admit(&Admission::new(&run, &ann, step, Timestamp::default()));
//! assert!(asked(&step).is_permit());
//!
//! step.scope = StepScope::of(Place::new("production".parse()?));
//! let denied = asked(&step);
//! assert_eq!(denied.reasons()[0].to_string(),
//!     "forbid/too-risky: the risk is 70 or more, or not known (lifted by sre)");
//! # Ok(())
//! # }
//! ```

mod ask;
mod load;
mod places;

pub use load::{CedarError, CedarRules, FactType};
