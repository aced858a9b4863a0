//! Who may do what, where and when: roles, grants, and rules that forbid.
//!
//! A [`Role`] is a set of permissions, a [`RoleGrant`](release_core::model::RoleGrant) gives it to an account for a
//! while, and a [`Deny`] forbids something to people whatever their roles allow. [`Access`] brings the rules
//! together with a snapshot of the directory, once, and then answers:
//!
//! | question | asks |
//! |---|---|
//! | [`Access::authorize`] | may they, and because of what? |
//! | [`Access::who_can`] | who may? |
//! | [`Access::why_not`] | what is the least that would have to change? |
//! | [`Access::separation_of_duties`] | who could do alone what takes several people? |
//!
//! # What decides
//! Forbidden beats allowed, and what nothing allows is denied. A rule that forbids and cannot be judged forbids;
//! one that allows and cannot be judged does not allow. The order of rules, grants and accounts never matters.
//! Without a directory, or with one that is too old, everything is denied.
//!
//! Rights belong to accounts: linked accounts do not share them. What is forbidden, though, is forbidden to
//! people: with all their accounts, with machines that act for them, and to whomever they lend a role.
//!
//! ```
//! use release_core::model::{ChangeScope, Identity, PrincipalId, RoleGrant, Span, Timestamp};
//! use release_policy::directory::Directory;
//! use release_policy::rbac::{Access, Action, Change, Deny, Query, Role, Rules, Whom};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now: Timestamp = "2026-11-23T14:00:00Z".parse()?;
//! let (ann, bob): (PrincipalId, PrincipalId) = ("ann".parse()?, "bob".parse()?);
//! let role = Role::new("developer".parse()?).may([Action::Request, Action::Deploy]);
//! let learning = Whom::principals([bob.clone()]);
//! let learning = Deny::new("no-deploys-yet", learning, [Action::Deploy], ann.clone(), "first week");
//! let rules = Rules::new([role], [learning])?;
//!
//! let grant = || Some(RoleGrant::new("developer".parse().ok()?, now, "hr".parse().ok()?, "job"));
//! let people = [&ann, &bob].map(|id| Identity::human(id.clone()));
//! let people = people.into_iter().zip([grant(), grant()]);
//! let people = people.filter_map(|(who, grant)| Some(who.with(grant?)));
//! let access = Access::new(rules, Directory::new(1, now, people, [])?, Span::secs(300));
//!
//! let production = ChangeScope::new("production".parse()?);
//! let ask = |who| Query::new(who, Action::Deploy, &production, now);
//! assert!(access.authorize(&ask(&ann)).is_allowed());
//! assert!(!access.authorize(&ask(&bob)).is_allowed());
//! assert_eq!(access.who_can(&ask(&bob))?, [ann.clone()]);
//! let change = Change::Lift { rule: "no-deploys-yet".to_owned() };
//! assert_eq!(access.why_not(&ask(&bob)), Some(vec![change]));
//! # Ok(())
//! # }
//! ```

mod access;
mod action;
mod answer;
mod condition;
mod decide;
mod digest;
mod error;
mod policy;
mod remedy;
mod rules;
mod separation;

pub use access::Access;
pub use action::Action;
pub use answer::{Answer, Denied, Granted, Miss, Missed};
pub use condition::{Condition, ConditionError, Fact, Facts, Test};
pub use decide::Query;
pub use error::{MAX_CONDITIONS, MAX_NAME, RuleError};
pub(crate) use policy::resource;
pub use policy::{OWN_RUN, Rbac};
pub use remedy::{Change, MAX_FORBIDDING_ROLES};
pub use rules::{Deny, Permission, Role, Rules, Whom};
pub use separation::{Conflict, ConflictPart, Duty};
