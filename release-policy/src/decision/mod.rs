//! Rules as data: what allows and what denies, decided together, each answer with its reasons and with the
//! digests of what it was made from.
//!
//! A [`PolicySet`] is compiled once. It denies unless a rule allows; whatever denies comes before whatever
//! waits, and that before whatever permits; the order of rules never matters. A rule that denies and cannot
//! be applied, because a fact is not known, denies; one that allows and cannot be applied does not allow.
//!
//! A [`PolicyBook`] holds the rules of the day and those that runs still pin. What allows a run's steps are
//! the rules that it pinned as it began; what denies are always those of the day, and so are windows and
//! rights. So a rule that is added to deny holds at once for everything under way, and one that is added to
//! allow holds for what begins afterwards. To take back a leave from runs that are under way, add a rule
//! that denies.
//!
//! ```
//! use release_core::model::{Principal, RunId, Timestamp};
//! use release_core::plan::{Action, Step};
//! use release_core::port::{Admission, Policy};
//! use release_policy::decision::{Condition, Facts, PolicyBook, PolicySet, Rule, Test};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let risk = Condition::Fact { name: "risk".into(), is: Test::AtLeast(70) };
//! let rules = [
//!     Rule::allow("normal", Condition::Always, "platform"),
//!     Rule::deny("too-risky", risk, "sre").because("the risk is 70 or more"),
//! ];
//! let (run, ann): (RunId, _) = ("r-1".parse()?, Principal::human("ann".parse()?));
//! let step = Step::new("deploy".parse()?, Action::Sync);
//! let asked = Admission::new(&run, &ann, &step, Timestamp::default());
//!
//! let book = PolicyBook::new(PolicySet::new(rules)?);
//! assert!(book.admit(&asked).is_deny(), "nobody knows the risk");
//! let book = book.with_facts(run.clone(), Facts::new().number("risk", 12));
//! assert!(book.admit(&asked).is_permit());
//! # Ok(())
//! # }
//! ```

mod admit;
mod answer;
mod book;
mod case;
mod change;
mod compare;
mod facts;
mod gates;
mod index;
mod needs;
mod rule;
mod set;

pub use book::PolicyBook;
pub use case::{
    ApprovalCase, BoardCase, Case, Definition, EntryCase, GlassCase, OwnerCase, ReviewsCase,
};
pub use change::NotPublished;
pub use compare::{Change, CompareError, Comparison, LeadTimes, Recorded, compare};
pub use facts::{Fact, Facts};
pub(crate) use gates::{Judges, at_gates};
pub use rule::{
    Condition, Effect, MAX_CONDITIONS, MAX_DEPTH, MAX_RULES, Need, PolicyError, Rule, RuleProblem,
    Test,
};
pub use set::PolicySet;
