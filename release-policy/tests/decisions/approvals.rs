//! Approvals as rules need them: for one plan, under one set of rules, until they end.

use release_core::model::{ChangeScope, Digest, Identity, Principal, RunId, Span};
use release_core::plan::{FrozenPlan, Plan};
use release_core::port::{Admission, Decision, Policy, ReasonKind};
use release_core::run::{Event, Fact, RunState};
use release_policy::approval::{
    Anyone, Approval, ApprovalFact, ApprovalFacts, ApprovalPolicy, Expression, Parties, Question,
    Quorum, Statement, Subject, Verdict,
};
use release_policy::decision::{ApprovalCase, Condition, Facts, Need, PolicyBook, PolicySet, Rule};
use release_policy::directory::Directory;

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

/// What somebody said of `subject` at second 90, until second 200.
fn said(subject: Subject, verdict: Verdict) -> ApprovalCase {
    let (by, at_, expires) = (id("bob"), at(90), at(200));
    let statement = Statement {
        seq: 1,
        by,
        linked: [].into(),
        roles: [].into(),
        at: at_,
        expires,
        bound_to: subject,
    };
    let given = Approval { statement, verdict, comment: String::new() };
    let facts = ApprovalFacts::fold([ApprovalFact::Given(Box::new(given))]).unwrap();
    let (parties, scope) = (Parties::new(id("ann"), at(0)), ChangeScope::new(id("production")));
    ApprovalCase { question: Question { subject, parties, scope }, facts }
}

/// Anybody may approve but who asks.
fn anybody() -> ApprovalPolicy {
    let mut policy = ApprovalPolicy::new(Quorum::new(Expression::Anyone(Anyone { n: 1 })).unwrap());
    policy.directory_max_age = Span::secs(1_000);
    policy
}

fn rules() -> PolicySet {
    let rule = Rule::allow("reviewed", Condition::Always, "platform");
    set(&[rule.needs(Need::Case { name: "cab".into() })]).define("cab", anybody())
}

/// A book that knows ann and bob, and these facts of the run.
fn book(rules: PolicySet, facts: Facts) -> PolicyBook {
    let people = ["ann", "bob"].map(|name| Identity::human(id(name)));
    let book = PolicyBook::new(rules).with_facts(id("r"), facts);
    book.publish_directory(Directory::new(1, at(80), people, []).unwrap()).unwrap();
    book
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
        ("all fits", subject(&plan, mine), Verdict::Approve, 100, None),
        ("as soon as it is given", subject(&plan, mine), Verdict::Approve, 90, None),
        ("to its end", subject(&plan, mine), Verdict::Approve, 199, None),
        ("not at its end", subject(&plan, mine), Verdict::Approve, 200, Some("is missing")),
        ("not before it is given", subject(&plan, mine), Verdict::Approve, 89, Some("is missing")),
        ("another plan", subject(&other, mine), Verdict::Approve, 100, Some("is for another plan")),
        ("other rules", subject(&plan, theirs), Verdict::Approve, 100, Some("under other rules")),
        ("a veto of another plan", subject(&other, mine), Verdict::Veto, 100, Some("for another")),
    ];
    for (what, subject, verdict, second, says) in table {
        let book = book(rules.clone(), Facts::new().case("cab", said(subject, verdict)));
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
    let approved = said(subject(&plan, rules.digest()), Verdict::Approve);
    let book = book(rules, Facts::new().case("cab", approved));
    let Decision::Permit { grants, .. } = ask(&book, None) else { panic!("it must permit") };
    assert_eq!(grants[0].bound_to.plan, Some(plan.digest()));
}

/// Two approvals of two plans cannot both be of the one that is asked for.
#[test]
fn approvals_of_two_plans_allow_nothing_together() {
    let rule = Rule::allow("both", Condition::Always, "platform");
    let rule = rule.needs(Need::Case { name: "cab".into() });
    let rules = set(&[rule.needs(Need::Case { name: "sec".into() })]);
    let rules = rules.define("cab", anybody()).define("sec", anybody());
    let digest = rules.digest();
    let facts = |other: &str| {
        let one = said(subject(&plan("t"), digest), Verdict::Approve);
        let two = said(subject(&plan(other), digest), Verdict::Approve);
        Facts::new().case("cab", one).case("sec", two)
    };
    let book = book(rules, Facts::new());
    for (other, permits) in [("t", true), ("u", false)] {
        book.know(id("r"), facts(other));
        assert_eq!(ask(&book, None).is_permit(), permits, "{other}");
    }
    book.forget(&id::<RunId>("r"));
    assert!(ask(&book, None).is_deny(), "nothing is known any more");
}
