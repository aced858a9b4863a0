//! Who counts at gates of plans, and who is told of what they lack.

use release_core::explain::{Assumptions, Explanation, explain, what_if};
use release_core::port::PermitAll;
use release_core::run::Outcome;

use super::gates::{approve, before_the_gate, entered};
use super::*;

/// The gate of a stage is passed before a step without an effect. A freeze then holds the effects behind it, and
/// meanwhile the approver goes.
#[test]
fn f22_a_gate_of_a_stage_is_no_latch_for_the_effects_behind_it() {
    let book = PolicyBook::new(set(&[anything()]).windows(frozen(205, 5_000, Vec::new())));
    book.publish_directory(people(50, &TEAM)).unwrap();
    let mut state = before_the_gate();
    happens(&mut state, Some(&approve("ann")), 100, &book);
    let events = happens(&mut state, None, 210, &book);
    assert!(entered(&events).is_some(), "{events:?}");
    assert_eq!(starts(&events), 0, "the freeze holds what comes behind");
    // Nobody approves any more: ann is of operations, an hour before the freeze ends.
    book.publish_directory(people(4_990, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    let events = happens(&mut state, Some(&Input::Reconsider), 5_001, &book);
    assert_eq!(starts(&events), 0, "nobody who approved may approve any more: {events:?}");
}

/// A gate that asks for no role leaves it to the rights who may approve.
#[test]
fn who_lost_the_right_to_approve_counts_no_more_at_a_gate_without_roles() {
    let who = |ann: &str| {
        directory(
            if ann == "dev" { 50 } else { 190 },
            [Identity::human(id("req")), Identity::human(id("ann")).with(grant(ann))],
        )
    };
    let by_rights = rights(rbac::Action::Approve, who("dev")).commands_only();
    let book = PolicyBook::new(set(&[anything()]).rights(by_rights));
    let mut state = run(&gated_by(go(&[])), None);
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.publish_directory(who("ops")).unwrap();
    let denied = happens(&mut state.clone(), Some(&approve("ann")), 195, &book);
    assert!(denied.iter().any(|event| matches!(event, Event::CommandDenied { .. })), "{denied:?}");
    let events = happens(&mut state, Some(&Input::Reconsider), 210, &book);
    assert_eq!(starts(&events), 0, "ann may not approve any more: {events:?}");
}

/// Whoever lent the requester the right to ask is a party, also once the loan is over.
#[test]
fn f24_who_lent_the_right_to_ask_does_not_count_once_the_loan_is_over() {
    let lent = Delegation {
        from: id("ann"),
        to: id("req"),
        role: id("sre"),
        starts: at(0),
        ends: at(150),
        reason: "ask for it in my name".into(),
    };
    let all = [Identity::human(id("ann")).with(grant("sre")), Identity::human(id("req"))];
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(Directory::new(1, at(50), all, [lent]).unwrap()).unwrap();
    let mut state = run(&gated_by(go(&["sre"])), None);
    happens(&mut state, Some(&approve("ann")), 100, &book);
    let events = happens(&mut state, Some(&Input::Reconsider), 210, &book);
    assert_eq!(starts(&events), 0, "it was asked for with her right: {events:?}");
}

/// Nobody can tell who a requester is whom the directory does not know any more.
#[test]
fn a_requester_who_drops_the_account_they_asked_with_approves_by_no_other() {
    let mut other = Identity::human(id("req-2")).with(grant("sre"));
    let alone = directory(190, [other.clone()]);
    other.linked.insert(id("req"));
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(directory(50, [Identity::human(id("req")), other])).unwrap();
    let mut state = run(&gated_by(go(&["sre"])), None);
    happens(&mut state, Some(&approve("req-2")), 100, &book);
    book.publish_directory(alone).unwrap();
    let events = happens(&mut state, Some(&Input::Reconsider), 210, &book);
    assert_eq!(starts(&events), 0, "{events:?}");
}

/// Two loans of one person are one right, whatever roles they are of.
#[test]
fn f24_two_roles_that_one_person_lent_are_one_voice_at_a_gate() {
    let lend = |to: &str, role: &str| Delegation {
        from: id("ann"),
        to: id(to),
        role: id(role),
        starts: at(0),
        ends: at(1_000),
        reason: "holidays".into(),
    };
    let ann = Identity::human(id("ann")).with(grant("sre")).with(grant("security"));
    let all = [ann, Identity::human(id("dan")), Identity::human(id("eve"))];
    let loans = [lend("dan", "sre"), lend("eve", "security")];
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(Directory::new(1, at(50), all, loans).unwrap()).unwrap();
    let gate = model::Approval { quorum: 2, ..go(&["sre", "security"]) };
    let mut state = run(&gated_by(gate), None);
    for by in ["dan", "eve"] {
        let who = Principal::human(id(by)).with_role(id("sre"));
        let command = Command::Approve { gate: id("production/go") };
        let said = Input::Directive(Directive::new(command, who, "yes"));
        happens(&mut state, Some(&said), 100, &book);
    }
    let events = happens(&mut state, Some(&Input::Reconsider), 210, &book);
    assert_eq!(starts(&events), 0, "both speak for ann alone: {events:?}");
}

/// A run that only another approval moves on waits for a person.
#[test]
fn a_run_whose_approvals_count_no_more_waits_for_a_person() {
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(people(50, &TEAM)).unwrap();
    let mut state = run(&gated_by(go(&["sre"])), None);
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.publish_directory(people(190, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    happens(&mut state, None, 210, &book);
    let awaiting = state.awaiting();
    assert!(state.needs_a_person(), "only an approval by sre can lift it: {awaiting:?}");
}

/// Approvals that do not count are for people to give anew, not for who owns the policy.
#[test]
fn what_lacks_at_a_gate_is_told_to_who_can_approve() {
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(people(50, &[("ann", "sre"), ("bob", "sre")])).unwrap();
    let mut state = run(&gated_by(go(&["sre"])), None);
    let lacking = explain(&state, 0, at(210), &book).unwrap();
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.publish_directory(people(190, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    let dropped = explain(&state, 0, at(210), &book).unwrap();
    let who = |found: &Explanation| found.obstacles[0].who.clone();
    assert_eq!(who(&dropped), who(&lacking), "{:?}", dropped.obstacles);
}

/// A forecast that takes approvals for granted takes it for granted that they count.
#[test]
fn a_forecast_with_approvals_comes_to_an_end_under_a_policy_that_knows_people() {
    let course = |policy: &dyn Policy| {
        let requester = Principal::human(id("req"));
        let assumptions = Assumptions::new(id("r"), requester, at(100))
            .approvals_take(Span::secs(10))
            .horizon(Span::secs(200));
        what_if(&gated_by(go(&["sre"])), &assumptions, policy).unwrap()
    };
    assert_eq!(course(&PermitAll).outcome, Some(Outcome::Succeeded));
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(people(90, &TEAM)).unwrap();
    let known = course(&book);
    assert_eq!(known.outcome, Some(Outcome::Succeeded), "{:?}", known.waiting);
}

/// Rules are for everywhere: so are those who agree to them.
#[test]
fn who_may_agree_in_qa_changes_no_rules_for_production() {
    let old = set(&[Rule::deny("never", Condition::Always, "sre")]).guarded_by(quorum(&["sre"]));
    let new = set(&[anything()]).guarded_by(quorum(&["sre"]));
    let book = PolicyBook::new(old);
    let mut in_qa = grant("sre");
    in_qa.reach.environment = Some(id("qa"));
    book.publish_directory(directory(50, [Identity::human(id("ann")).with(in_qa)])).unwrap();
    let about = book.change_to(&new);
    let of = |scope| Question { subject: about, scope, ..question("qa") };
    let case = |scope| ApprovalCase { question: of(scope), facts: approvals(&["ann"], about) };
    let wide = book.publish_approved(new.clone(), &case(ChangeScope::everywhere()), at(100));
    assert!(wide.is_err(), "ann may not agree everywhere");
    let narrow = book.publish_approved(new, &case(ChangeScope::new(id("qa"))), at(100));
    assert!(narrow.is_err(), "and yet her word sets the rules for production: {narrow:?}");
    assert!(!ask_of(&book, &deploy("production"), 100).is_permit());
}
