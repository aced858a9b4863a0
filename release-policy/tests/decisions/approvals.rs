//! Approvals as rules need them: for one plan, under one set of rules, until they end.

use release_core::model::{Digest, Principal, RunId};
use release_core::plan::{FrozenPlan, Plan};
use release_core::port::{Admission, Decision, Policy, ReasonKind};
use release_core::run::{Event, Fact, RunState};
use release_policy::approval::{Answer, ApprovalOutcome, Subject};
use release_policy::decision::{Condition, Facts, Need, PolicyBook, PolicySet, Rule};
use release_policy::directory::DirectoryStamp;

use super::support::{ask, at, id, set, step};

fn plan(name: &str) -> FrozenPlan {
    let mut plan = Plan::builder(id(name), id("rel"));
    plan.step(step());
    plan.build().unwrap().freeze()
}

/// A run of `plan` that pins `policy`.
fn run(plan: &FrozenPlan, policy: Option<Digest>) -> RunState {
    let requester = Principal::human(id("ann"));
    let (definition, supersedes) = (None, None);
    let event =
        Event::RunCreated { plan: plan.digest(), definition, requester, supersedes, policy };
    RunState::create(id("r"), plan.clone(), &Fact { at: at(0), event }).unwrap()
}

fn subject(plan: &FrozenPlan, policy: Digest) -> Subject {
    let other = Digest::of(b"other");
    Subject { plan: plan.digest(), artifacts: other, environment: other, policy, evidence: other }
}

/// What an approval of `subject` came to at second 90; it may change at second 200.
fn outcome(subject: Subject, answer: Answer, directory: &str) -> ApprovalOutcome {
    let digest = Digest::of(directory.as_bytes());
    ApprovalOutcome {
        answer,
        at: at(90),
        subject,
        directory: Some(DirectoryStamp { version: 1, digest, taken_at: at(80) }),
        counted: Vec::new(),
        dropped: Vec::new(),
        objections: Vec::new(),
        missing: Vec::new(),
        other_ways: 0,
        next_change: Some(at(200)),
    }
}

fn rules() -> PolicySet {
    let rule = Rule::allow("reviewed", Condition::Always, "platform");
    set(&[rule.needs(Need::Case { name: "cab".into() })])
}

fn admit(policy: &dyn Policy, state: &RunState, second: i64) -> Decision {
    let step = state.plan().plan().steps()[0].clone();
    let mut request =
        Admission::new(state.run(), state.requester(), &step, at(second)).pinned(state.policy());
    request.at = Some((state, 0));
    policy.admit(&request)
}

/// An approval is worth something for its plan, under its rules, from its instant until its end.
#[test]
fn an_approval_of_something_else_or_of_another_time_allows_nothing() {
    let (rules, plan, other) = (rules(), plan("t"), plan("u"));
    let (mine, theirs) = (rules.digest(), Digest::of(b"theirs"));
    let table = [
        ("all fits", subject(&plan, mine), Answer::Met, 100, None),
        ("as soon as it is given", subject(&plan, mine), Answer::Met, 90, None),
        ("to its end", subject(&plan, mine), Answer::Met, 199, None),
        ("not at its end", subject(&plan, mine), Answer::Met, 200, Some("asked again")),
        ("not before it is given", subject(&plan, mine), Answer::Met, 89, Some("yet to come")),
        ("another plan", subject(&other, mine), Answer::Met, 100, Some("is for another plan")),
        ("other rules", subject(&plan, theirs), Answer::Met, 100, Some("under other rules")),
        ("a veto of another plan", subject(&other, mine), Answer::Vetoed, 100, Some("for another")),
    ];
    for (what, subject, answer, second, says) in table {
        let book = PolicyBook::new(rules.clone());
        let book = book
            .with_facts(id("r"), Facts::new().approval("cab", &outcome(subject, answer, "ldap")));
        let found = admit(&book, &run(&plan, Some(mine)), second);
        assert_eq!(found.is_permit(), says.is_none(), "{what}: {found:?}");
        if let Some(says) = says {
            assert!(found.reasons().iter().any(|why| why.text.contains(says)), "{what}: {found:?}");
            assert!(found.reasons().iter().all(|why| why.kind != ReasonKind::Rule), "{found:?}");
        }
        if let Decision::Permit { grants, .. } = found {
            let bound = &grants[0].bound_to;
            assert_eq!((bound.plan, bound.policy), (Some(plan.digest()), Some(mine)), "{what}");
            assert_eq!(grants[0].valid_until, Some(at(200)), "{what}");
        }
    }
}

/// Whoever asks without a plan gets a leave that names the plan which people approved.
#[test]
fn a_leave_names_the_plan_that_was_approved_even_if_the_request_does_not() {
    let (rules, plan) = (rules(), plan("t"));
    let approved = outcome(subject(&plan, rules.digest()), Answer::Met, "ldap");
    let book = PolicyBook::new(rules).with_facts(id("r"), Facts::new().approval("cab", &approved));
    let Decision::Permit { grants, .. } = ask(&book, None) else { panic!("it must permit") };
    assert_eq!(grants[0].bound_to.plan, Some(plan.digest()));
}

/// Two approvals of two plans cannot both be of the one that is asked for.
#[test]
fn approvals_of_two_plans_allow_nothing_together() {
    let rule = Rule::allow("both", Condition::Always, "platform");
    let rule = rule.needs(Need::Case { name: "cab".into() });
    let rules = set(&[rule.needs(Need::Case { name: "sec".into() })]);
    let digest = rules.digest();
    let facts = |other: &str| {
        let one = outcome(subject(&plan("t"), digest), Answer::Met, "ldap");
        let two = outcome(subject(&plan(other), digest), Answer::Met, "ldap");
        Facts::new().approval("cab", &one).approval("sec", &two)
    };
    let book = PolicyBook::new(rules);
    for (other, permits) in [("t", true), ("u", false)] {
        book.know(id("r"), facts(other));
        assert_eq!(ask(&book, None).is_permit(), permits, "{other}");
    }
    book.forget(&id::<RunId>("r"));
    assert!(ask(&book, None).is_deny(), "nothing is known any more");
}

/// Each directory that an approval was made from is in the decision, in whatever order they come.
#[test]
fn all_directories_are_in_the_decision() {
    let subject = subject(&plan("t"), Digest::of(b"p"));
    let [a, b] = ["a", "b"].map(|name| outcome(subject, Answer::Met, name));
    let digest = |facts: Facts| {
        let book = PolicyBook::new(rules()).with_facts(id("r"), facts);
        ask(&book, None).inputs().unwrap().directory.unwrap()
    };
    let one = digest(Facts::new().approval("cab", &a));
    let both = digest(Facts::new().approval("cab", &a).approval("sec", &b));
    assert_eq!(one, Digest::of(b"a"));
    assert!(both != one && both != Digest::of(b"b"));
    assert_eq!(both, digest(Facts::new().approval("sec", &b).approval("cab", &a)));
}
