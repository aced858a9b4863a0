//! Rights and windows beside the rules of a set: always those of the day, each with its digest.

use std::sync::Arc;

use release_core::model::{Identity, Principal, RoleGrant, RunId, Span};
use release_core::port::{CommandRequest, Decision, Policy, ReasonKind};
use release_core::run::Command;
use release_policy::decision::{Condition, PolicyBook, Rule};
use release_policy::directory::Directory;
use release_policy::rbac::{Access, Action, Rbac, Role, Rules};
use release_policy::{AllOf, Windows};

use super::support::{ask, at, id, set};

fn anything() -> Rule {
    Rule::allow("anything", Condition::Always, "platform")
}

/// Max is a manager until second 500, who may cancel, or nothing, as a second version knows.
fn access(manager: bool) -> Access {
    let rules = Rules::new([Role::new(id("manager")).may([Action::Cancel])], []).unwrap();
    let max = Identity::human(id("max"));
    let mut grant = RoleGrant::new(id("manager"), at(0), id("hr"), "job");
    grant.until = Some(at(500));
    let max = if manager { max.with(grant) } else { max };
    let directory = Directory::new(if manager { 1 } else { 2 }, at(90), [max], []).unwrap();
    Access::new(rules, directory, Span::secs(100))
}

/// Max cancels at second 100.
fn cancel(policy: &dyn Policy) -> Decision {
    let run: RunId = id("r");
    let (ann, max) = (Principal::human(id("ann")), Principal::human(id("max")));
    let request = CommandRequest::new(&run, &ann, &max, &Command::Cancel, at(100));
    policy.authorize(&request.pinned(policy.digest()))
}

#[test]
fn rights_hold_whatever_rules_allow_and_those_of_the_day_count() {
    let rights = Arc::new(Rbac::new(access(true)).commands_only());
    let alone = set(&[anything()]);
    let both = alone.clone().rights(Arc::clone(&rights));
    assert_ne!(alone.digest(), both.digest(), "rights are pinned, too");
    let book = PolicyBook::new(both);
    let Decision::Permit { grants, inputs } = cancel(&book) else { panic!("he may") };
    let leaves: Vec<_> = grants.iter().map(|leave| (&*leave.rule, leave.valid_until)).collect();
    assert_eq!(leaves, [("allow/anything", None), ("rbac/manager", Some(at(500)))]);
    let inputs = inputs.unwrap();
    let stamp = access(true).directory().unwrap().stamp();
    assert_eq!(inputs.rights, Some(rights.digest()));
    assert_eq!(inputs.directory, Some(stamp.digest));

    // The role is taken from him: the next decision knows.
    let now = access(false).directory().unwrap().clone();
    book.publish_directory(now).unwrap();
    let Decision::Deny { reasons, inputs: after } = cancel(&book) else { panic!("he may not") };
    assert_eq!((&*reasons[0].rule, reasons[0].kind), ("rbac/cancel", ReasonKind::Missing));
    let after = after.unwrap();
    assert_eq!((after.policy, after.rights), (inputs.policy, inputs.rights));
    assert_ne!(after.directory, inputs.directory);

    // Nobody knows who may do what any more.
    book.lose_directory(at(95));
    let Decision::Deny { reasons, .. } = cancel(&book) else { panic!("nobody may") };
    assert_eq!((&*reasons[0].rule, reasons[0].kind), ("rbac/directory", ReasonKind::Error));
    let before = access(true).directory().unwrap().clone();
    assert!(book.publish_directory(before).is_err(), "what was taken does not come back");
    assert!(cancel(&book).is_deny());
}

#[test]
fn rights_allow_nothing_by_themselves() {
    let nothing = set(&[]).rights(Arc::new(Rbac::new(access(true))));
    let reasons = cancel(&nothing).reasons().to_vec();
    assert_eq!(reasons.iter().map(|why| &*why.rule).collect::<Vec<_>>(), ["allow"]);
}

#[test]
fn policies_side_by_side_name_all_that_they_went_by() {
    let rules = set(&[anything()]);
    let windows = Windows::default();
    let both = AllOf::new().and(rules.clone()).and(windows.clone());
    let inputs = *ask(&both, None).inputs().unwrap();
    assert_eq!((inputs.policy, inputs.calendar), (Some(rules.digest()), Some(windows.digest())));
}
