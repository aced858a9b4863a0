//! Ways round the rules that somebody tried, each of which is closed.

use std::collections::BTreeSet;
use std::sync::Arc;

use release_core::model::{
    self, ChangeScope, Delegation, Digest, Gate, Identity, Principal, RoleGrant, Span,
};
use release_core::plan::{Action, FrozenPlan, Place, Plan, Step, StepScope, Undo};
use release_core::port::{Admission, CommandRequest, Decision, Policy};
use release_core::run::{Command, Directive, Event, Fact, Input, RunState, Turn, turn};
use release_policy::approval::{
    Approval, ApprovalFact, ApprovalFacts, ApprovalPolicy, Expression, OfRole, Parties, Question,
    Quorum, Statement, Subject, Verdict,
};
use release_policy::cab::{Ballot, Board, BoardFacts, Vote};
use release_policy::change::ChangeType;
use release_policy::decision::{
    ApprovalCase, BoardCase, Case, Condition, Definition, Facts, GlassCase, Need, OwnerCase,
    PolicyBook, PolicySet, ReviewsCase, Rule,
};
use release_policy::directory::Directory;
use release_policy::emergency::{
    BreakGlass, Bypass, Capability, Duty, GlassFact, GlassFacts, GlassRequest, Obligation,
    ObligationFact, Obligations, Review, Word,
};
use release_policy::promotion::{Claim, Owners, Taken};
use release_policy::rbac::{self, Access, Rbac, Role, Rules};
use release_policy::window::When;
use release_policy::{WindowSpec, Windows};

use super::support::{at, id, set};

const TEAM: [(&str, &str); 5] =
    [("ann", "sre"), ("bob", "security"), ("cat", "chair"), ("dan", "ops"), ("eve", "auditor")];

fn deploy(environment: &str) -> Step {
    let action = Action::Custom { capability: "deploy".into(), input: serde_json::Value::Null };
    Step::new(id(&format!("{environment}/api")), action)
        .scope(StepScope::of(Place::new(id(environment))))
        .undo(Undo::PointOfNoReturn { justification: "it is a test".into() })
}

/// A plan of these steps.
fn plan(steps: impl IntoIterator<Item = Step>) -> FrozenPlan {
    let mut plan = Plan::builder(id("web"), id("rel"));
    for step in steps {
        plan.step(step);
    }
    plan.build().unwrap().freeze()
}

fn run(plan: &FrozenPlan, policy: Option<Digest>) -> RunState {
    let requester = Principal::human(id("req"));
    let (definition, supersedes) = (None, None);
    let event =
        Event::RunCreated { plan: plan.digest(), definition, requester, supersedes, policy };
    RunState::create(id("r"), plan.clone(), &Fact { at: at(0), event }).unwrap()
}

/// What happens in a run, in one turn.
fn happens(
    state: &mut RunState,
    input: Option<&Input>,
    second: i64,
    policy: &dyn Policy,
) -> Vec<Event> {
    turn(state, input, &Turn::new(at(second), 7, policy), 100).unwrap()
}

fn starts(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::StepStarted { .. })).count()
}

fn grant(role: &str) -> RoleGrant {
    RoleGrant::new(id(role), at(0), id("hr"), "job")
}

fn directory(second: i64, all: impl IntoIterator<Item = Identity>) -> Directory {
    Directory::new(u64::try_from(second).unwrap(), at(second), all, []).unwrap()
}

fn people(second: i64, all: &[(&str, &str)]) -> Directory {
    directory(second, all.iter().map(|(who, role)| Identity::human(id(who)).with(grant(role))))
}

fn subject() -> Subject {
    let part = |name: &str| Digest::of(name.as_bytes());
    Subject {
        plan: part("plan"),
        artifacts: part("artifacts"),
        environment: part("environment"),
        policy: part("policy"),
        evidence: part("evidence"),
    }
}

fn question(environment: &str) -> Question {
    let parties = Parties::new(id("req"), at(0));
    Question { subject: subject(), parties, scope: ChangeScope::new(id(environment)) }
}

fn statement(seq: u64, by: &str, second: i64, subject: Subject) -> Statement {
    let roles = TEAM.iter().filter(|(who, _)| *who == by).map(|(_, role)| id(role)).collect();
    let (at, expires) = (at(second), at(second + 1_000));
    Statement { seq, by: id(by), linked: BTreeSet::new(), roles, at, expires, bound_to: subject }
}

fn approvals(by: &[&str], subject: Subject) -> ApprovalFacts {
    let given = (1_u64..).zip(by).map(|(seq, by)| {
        let (statement, verdict) = (statement(seq, by, 50, subject), Verdict::Approve);
        ApprovalFact::Given(Box::new(Approval { statement, verdict, comment: String::new() }))
    });
    ApprovalFacts::fold(given).unwrap()
}

fn quorum(roles: &[&str]) -> ApprovalPolicy {
    let one = |role: &&str| Expression::OfRole(OfRole { role: id(role), n: 1 });
    ApprovalPolicy::new(Quorum::new(Expression::AllOf(roles.iter().map(one).collect())).unwrap())
}

fn approval(environment: &str) -> ApprovalCase {
    let facts = approvals(&["ann", "bob"], subject());
    ApprovalCase { question: question(environment), facts }
}

fn needs_case() -> Rule {
    Rule::allow("only", Condition::Always, "platform").needs(Need::Case { name: "any".into() })
}

fn glasses(lifts: &[Bypass]) -> Definition {
    let capability = Capability {
        lifts: lifts.iter().copied().collect(),
        requester: id("sre"),
        confirmer: id("security"),
        at_most: Span::secs(600),
        review_within: Span::secs(60),
        reviewer: id("auditor"),
    };
    let capabilities = [("hotfix".to_owned(), capability)].into();
    let policy = BreakGlass { capabilities, directory_max_age: Span::secs(300) };
    Definition::Glass { capability: "hotfix".into(), policy }
}

/// A book whose one rule needs the case, which those decide who usually do.
fn book(case: impl Into<Case>) -> PolicyBook {
    let case = case.into();
    let set = set(&[needs_case()]);
    let set = match &case {
        Case::Approval(_) => set.define("any", quorum(&["sre", "security"])),
        Case::Board(_) => set.define("any", Board::new(id("chair"), [id("security")], 1).unwrap()),
        Case::Glass(_) => set.define("any", glasses(&[])),
        _ => set,
    };
    let book = PolicyBook::new(set).with_facts(id("r"), Facts::new().case("any", case));
    book.publish_directory(people(50, &TEAM)).unwrap();
    book
}

fn ask_of(policy: &dyn Policy, step: &Step, second: i64) -> Decision {
    policy.admit(&Admission::new(&id("r"), &Principal::human(id("req")), step, at(second)))
}

fn word(seq: u64, by: &str, second: i64) -> Word {
    let Statement { seq, by, linked, roles, at, .. } = statement(seq, by, second, subject());
    Word { seq, by, linked, roles, at }
}

fn glass(run: &str, plan: Digest, environment: &str) -> GlassCase {
    let request = GlassFact::Requested(GlassRequest {
        word: word(1, "ann", 60),
        capability: "hotfix".into(),
        run: id(run),
        plan,
        scope: ChangeScope::new(id(environment)),
        reason: "the shop is down".into(),
        incident: "INC-7".into(),
    });
    let confirmed = GlassFact::Confirmed { word: word(2, "bob", 70), of: 1 };
    GlassCase { facts: GlassFacts::fold([request, confirmed]).unwrap() }
}

fn reviews(environment: &str, involved: &str, review: Option<Review>) -> ReviewsCase {
    let owed = Obligation {
        seq: 1,
        duty: Duty::BreakGlassReviewed,
        scope: ChangeScope::new(id(environment)),
        opened_at: at(10),
        due: at(95),
        involved: [id(involved)].into(),
        reviewer: id("auditor"),
    };
    let facts = std::iter::once(ObligationFact::Opened(owed));
    let facts = facts.chain(review.map(ObligationFact::Reviewed));
    let (kind, directory_max_age) = (ChangeType::Normal, Span::secs(300));
    ReviewsCase { obligations: Obligations::fold(facts).unwrap(), kind, directory_max_age }
}

#[test]
fn a_case_about_one_environment_allows_nothing_in_another() {
    let mut owners = Owners::new();
    let taken = Taken { environment: id("qa"), owner: id("us"), epoch: 1, at: at(10) };
    owners.take(taken).unwrap();
    let claim = Claim { owner: id("us"), epoch: 1 };
    let cases: [(&str, Case); 3] = [
        ("approval", approval("qa").into()),
        ("glass", glass("r", subject().plan, "qa").into()),
        ("owner", OwnerCase { owners, environment: id("qa"), claim }.into()),
    ];
    for (what, case) in cases {
        let book = book(case);
        assert!(ask_of(&book, &deploy("qa"), 100).is_permit(), "{what}");
        assert!(!ask_of(&book, &deploy("production"), 100).is_permit(), "{what}");
    }
    // What is owed in production holds what is there, and nothing in qa.
    let book = book(reviews("production", "ann", None));
    assert!(ask_of(&book, &deploy("production"), 100).is_deny());
    assert!(ask_of(&book, &deploy("qa"), 100).is_permit());
}

#[test]
fn glass_is_broken_for_one_run_of_one_plan() {
    let plan = plan([deploy("production")]);
    let started = |run_of: &str, of: Digest| {
        let book = book(glass(run_of, of, "production"));
        let mut state = run(&plan, book.digest());
        starts(&happens(&mut state, None, 100, &book))
    };
    assert_eq!(started("r", plan.digest()), 1);
    assert_eq!(started("other", plan.digest()), 0, "for another run");
    assert_eq!(started("r", subject().plan), 0, "for another plan");
}

#[test]
fn glass_lifts_windows_if_that_is_what_it_does() {
    let freeze = WindowSpec::freeze(
        id("frozen"),
        When::Between { from: at(50), until: at(5_000) },
        id("sre"),
        "sale",
    );
    let windows = Windows::new([freeze.build().unwrap()]).unwrap();
    let plan = plan([deploy("production")]);
    for (lifts, permits) in [(&[Bypass::Windows][..], true), (&[Bypass::Quotas][..], false)] {
        let set = set(&[needs_case()]).define("any", glasses(lifts)).windows(windows.clone());
        let facts = Facts::new().case("any", glass("r", plan.digest(), "production"));
        let book = PolicyBook::new(set).with_facts(id("r"), facts);
        book.publish_directory(people(50, &TEAM)).unwrap();
        let mut state = run(&plan, book.digest());
        let events = happens(&mut state, None, 100, &book);
        assert_eq!(starts(&events) == 1, permits, "{events:?}");
    }
}

#[test]
fn a_vote_that_was_replaced_never_counts_again() {
    let vote = |seq, by: &str, second, lasts: i64, ballot| {
        let mut statement = statement(seq, by, second, subject());
        statement.expires = at(second + lasts);
        Vote { statement, ballot }
    };
    let votes = vec![
        vote(1, "cat", 50, 1_000, Ballot::Approve),
        vote(2, "bob", 51, 1_000, Ballot::Approve),
        vote(3, "cat", 60, 30, Ballot::Reject),
    ];
    let facts = BoardFacts { votes, interests: Vec::new(), deadline: at(500) };
    let at_gates = [].into();
    let book = book(BoardCase { question: question("production"), facts, at_gates });
    let step = deploy("production");
    assert!(ask_of(&book, &step, 80).is_deny(), "rejected by the chair");
    assert!(!ask_of(&book, &step, 90).is_permit(), "the chair's first vote is back");
}

#[test]
fn nobody_reviews_what_was_done_in_their_name_or_with_a_right_of_who_did_it() {
    let review = |by: &str, roles: &[&str]| {
        let mut said = word(2, by, 80);
        said.roles = roles.iter().map(|role| id(role)).collect();
        Some(Review { word: said, of: 1, finding: "fine".into() })
    };
    let mut bot = Identity::service(id("bot"));
    bot.acts_for.insert(id("eve"));
    let with_bot = directory(60, [Identity::human(id("eve")).with(grant("auditor")), bot]);
    let own = book(reviews("production", "bot", review("eve", &["auditor"])));
    own.publish_directory(with_bot).unwrap();
    assert!(ask_of(&own, &deploy("production"), 100).is_deny(), "by a machine in her name");

    let lent = Delegation {
        from: id("ann"),
        to: id("dan"),
        role: id("auditor"),
        starts: at(0),
        ends: at(1_000),
        reason: "look at it for me".into(),
    };
    let all = [Identity::human(id("ann")).with(grant("auditor")), Identity::human(id("dan"))];
    let lending = Directory::new(60, at(60), all, [lent]).unwrap();
    let by_loan = book(reviews("production", "ann", review("dan", &["auditor"])));
    by_loan.publish_directory(lending.clone()).unwrap();
    assert!(ask_of(&by_loan, &deploy("production"), 100).is_deny(), "with her own right");
    let others = book(reviews("production", "bob", review("dan", &["auditor"])));
    others.publish_directory(lending).unwrap();
    assert!(ask_of(&others, &deploy("production"), 100).is_permit(), "a loan is a right");
}

fn rights(action: rbac::Action, directory: Directory) -> Rbac {
    let role = Role::new(id("dev")).may([action]);
    Rbac::new(Access::new(Rules::new([role], []).unwrap(), directory, Span::secs(300)))
}

fn anything() -> Rule {
    Rule::allow("all", Condition::Always, "x")
}

#[test]
fn an_older_directory_gives_no_role_back() {
    let book = book(approval("production"));
    book.publish_directory(people(90, &[("ann", "sre"), ("bob", "ops")])).unwrap();
    assert!(!ask_of(&book, &deploy("production"), 100).is_permit());
    let error = book.publish_directory(people(80, &TEAM)).unwrap_err();
    assert!(
        error.to_string().contains("version 80") && error.to_string().contains("older than 90")
    );
    assert!(!ask_of(&book, &deploy("production"), 100).is_permit());
    book.lose_directory(at(95));
    assert!(book.publish_directory(people(80, &TEAM)).is_err(), "nor once it was out of reach");
}

#[test]
fn rules_that_are_published_have_the_directory_of_the_day() {
    let dev = || directory(50, [Identity::human(id("req")).with(grant("dev"))]);
    let head = |why: &str| {
        let rights = Arc::new(rights(rbac::Action::Deploy, dev()));
        set(&[anything().because(why)]).rights(rights)
    };
    let book = PolicyBook::new(head("first"));
    book.publish_directory(dev()).unwrap();
    assert!(ask_of(&book, &deploy("production"), 100).is_permit());
    book.publish_directory(directory(60, [Identity::human(id("req"))])).unwrap();
    book.publish(head("second"));
    assert!(ask_of(&book, &deploy("production"), 100).is_deny(), "req is no dev any more");
    book.lose_directory(at(70));
    book.publish(head("third"));
    assert!(ask_of(&book, &deploy("production"), 100).is_deny(), "nobody knows");
}

/// However a directory and rules are published side by side, both hold afterwards.
#[test]
fn rules_and_directories_that_are_published_at_once_both_hold() {
    let dev = || directory(50, [Identity::human(id("req")).with(grant("dev"))]);
    let mut all: Vec<_> = (0..2_000).map(|n| Identity::human(id(&format!("p{n}")))).collect();
    all.push(Identity::human(id("req")));
    let new = Arc::new(directory(60, all));
    for round in 0..20 {
        let head = |why: String| {
            let rights = Arc::new(rights(rbac::Action::Deploy, dev()));
            set(&[anything().because(why)]).rights(rights)
        };
        let book = PolicyBook::new(head(format!("first {round}")));
        book.publish_directory(dev()).unwrap();
        std::thread::scope(|scope| {
            let read = scope.spawn(|| book.publish_directory(Arc::clone(&new)));
            book.publish(head(format!("second {round}")));
            read.join().unwrap().unwrap();
        });
        assert!(ask_of(&book, &deploy("production"), 100).is_deny(), "round {round}");
    }
}

#[test]
fn a_leave_for_another_plan_gives_no_command() {
    let rules = set(&[needs_case()]).define("any", quorum(&["sre"]));
    let case = |plan: Digest| {
        let about = Subject { policy: rules.digest(), plan, ..subject() };
        let scope = ChangeScope::everywhere();
        let question = Question { subject: about, scope, ..question("qa") };
        ApprovalCase { question, facts: approvals(&["ann"], about) }
    };
    let plan = plan([deploy("production")]);
    for (of, denied) in [(plan.digest(), false), (subject().plan, true)] {
        let book = PolicyBook::new(rules.clone());
        book.know(id("r"), Facts::new().case("any", case(of)));
        book.publish_directory(people(50, &TEAM)).unwrap();
        let mut state = run(&plan, book.digest());
        let by = Principal::human(id("req"));
        let pause = Input::Directive(Directive::new(Command::Pause, by, "a rest"));
        let events = happens(&mut state, Some(&pause), 100, &book);
        let was = events.iter().any(|event| matches!(event, Event::CommandDenied { .. }));
        assert_eq!(was, denied, "{events:?}");
    }
}

/// A step behind a gate for one `sre`, and the book that knows these people.
fn gated(directory: Directory) -> (PolicyBook, RunState) {
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(directory).unwrap();
    let mut step = deploy("production");
    let gate = model::Approval::new(id("production/go"));
    step.gates.push(Gate::Approval(model::Approval { roles: vec![id("sre")], ..gate }));
    step.gates.push(Gate::NotBefore(at(200)));
    let state = run(&plan([step]), book.digest());
    (book, state)
}

fn approve(by: &str) -> Input {
    let by = Principal::human(id(by)).with_role(id("sre"));
    let command = Command::Approve { gate: id("production/go") };
    Input::Directive(Directive::new(command, by, "yes"))
}

#[test]
fn f24_the_second_account_of_the_requester_opens_no_gate_of_a_plan() {
    let mut linked = Identity::human(id("req-2")).with(grant("sre"));
    linked.linked.insert(id("req"));
    let ann = Identity::human(id("ann")).with(grant("sre"));
    let (book, mut state) = gated(directory(50, [Identity::human(id("req")), linked, ann]));
    happens(&mut state, Some(&approve("req-2")), 100, &book);
    let events = happens(&mut state, None, 210, &book);
    assert_eq!(starts(&events), 0, "{events:?}");
    assert_eq!(starts(&happens(&mut state, Some(&approve("ann")), 220, &book)), 1, "somebody else");
}

#[test]
fn f22_a_gate_of_a_plan_counts_nobody_who_left_or_lost_their_role() {
    let (book, mut state) = gated(people(50, &TEAM));
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.publish_directory(people(190, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    assert_eq!(starts(&happens(&mut state, None, 200, &book)), 0, "ann is of operations now");
    assert_eq!(starts(&happens(&mut state, Some(&approve("bob")), 210, &book)), 1);
    let (book, mut state) = gated(people(50, &TEAM));
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.lose_directory(at(190));
    assert_eq!(starts(&happens(&mut state, None, 200, &book)), 0, "nobody knows who is who");
}

#[test]
fn who_may_approve_in_qa_opens_no_gate_before_a_step_in_production() {
    let mut reach = grant("dev");
    reach.reach.environment = Some(id("qa"));
    let rights =
        rights(rbac::Action::Approve, directory(50, [Identity::human(id("lou")).with(reach)]));
    let ask = |environment: &str| {
        let mut step = deploy(environment);
        step.gates.push(Gate::Approval(model::Approval::new(id("qa/go"))));
        let state = run(&plan([step]), None);
        let (lou, approve) = (Principal::human(id("lou")), Command::Approve { gate: id("qa/go") });
        let mut asked =
            CommandRequest::new(state.run(), state.requester(), &lou, &approve, at(100));
        asked.state = Some(&state);
        rights.authorize(&asked).is_permit()
    };
    assert!(ask("qa"));
    assert!(!ask("production"), "whatever the gate is called");
}

#[test]
fn rights_that_differ_in_anything_are_other_rules_and_other_inputs() {
    let nobody = || people(50, &[]);
    let rules = || Rules::new([Role::new(id("dev")).may([rbac::Action::Deploy])], []).unwrap();
    let kill = release_policy::window::Classes::new()
        .with("deploy", release_policy::window::ActionClass::KillSwitch);
    let age = Access::new(rules(), nobody(), Span::secs(60));
    let all = [
        rights(rbac::Action::Deploy, nobody()),
        rights(rbac::Action::Deploy, nobody()).commands_only(),
        rights(rbac::Action::Deploy, nobody()).classes(kill),
        rights(rbac::Action::Cancel, nobody()),
        Rbac::vouched(rules()),
        Rbac::new(age),
    ];
    let digests: BTreeSet<_> = all.iter().map(Rbac::digest).collect();
    assert_eq!(digests.len(), all.len());
    let sets = all.map(|rights| set(&[anything()]).rights(Arc::new(rights)).digest());
    assert_eq!(sets.iter().collect::<BTreeSet<_>>().len(), sets.len());
}

/// Who has to approve is a part of the rules: a run keeps what it pinned.
#[test]
fn f48_a_smaller_quorum_does_not_hold_for_a_run_that_pinned_a_larger_one() {
    let with = |roles: &[&str]| -> PolicySet { set(&[needs_case()]).define("any", quorum(roles)) };
    let (large, small) = (with(&["sre", "security"]), with(&["sre"]));
    assert_ne!(large.digest(), small.digest());
    let about = |policy| Subject { policy, ..subject() };
    let case = |policy| ApprovalCase {
        question: Question { subject: about(policy), ..question("production") },
        facts: approvals(&["ann"], about(policy)),
    };
    let ask = |pinned: &PolicySet| {
        let book = PolicyBook::new(large.clone()).with_head(small.clone());
        book.know(id("r"), Facts::new().case("any", case(pinned.digest())));
        book.publish_directory(people(50, &TEAM)).unwrap();
        let (run, who, step) = (id("r"), Principal::human(id("req")), deploy("production"));
        let asked = Admission::new(&run, &who, &step, at(100)).pinned(Some(pinned.digest()));
        book.admit(&asked).is_permit()
    };
    assert!(ask(&small));
    assert!(!ask(&large));
}

/// A right that is added holds for what begins afterwards; one that is taken away is gone at once.
#[test]
fn f48_rights_are_pinned_and_those_of_the_day_hold_too() {
    let dev = || directory(50, [Identity::human(id("req")).with(grant("dev"))]);
    let head = |action| set(&[anything()]).rights(Arc::new(rights(action, dev())));
    let (may_not, may) = (head(rbac::Action::Request), head(rbac::Action::Deploy));
    let ask = |first: &PolicySet, then: &PolicySet| {
        let book = PolicyBook::new(first.clone()).with_head(then.clone());
        let (run, who, step) = (id("r"), Principal::human(id("req")), deploy("production"));
        let asked = Admission::new(&run, &who, &step, at(100)).pinned(Some(first.digest()));
        book.admit(&asked).is_permit()
    };
    assert!(ask(&may, &may));
    assert!(!ask(&may_not, &may), "loosening holds for what begins afterwards");
    assert!(!ask(&may, &may_not), "tightening holds at once");
}

#[test]
fn a_right_that_begins_later_is_waited_for_until_then() {
    let mut later = grant("dev");
    later.from = at(150);
    let rights =
        rights(rbac::Action::Deploy, directory(50, [Identity::human(id("req")).with(later)]));
    let set = set(&[anything()]).rights(Arc::new(rights));
    assert!(ask_of(&set, &deploy("production"), 150).is_permit());
    let mut state = run(&plan([deploy("production")]), Some(set.digest()));
    assert_eq!(starts(&happens(&mut state, None, 100, &set)), 0);
    assert_eq!(state.next_wakeup(), Some(at(150)));
}

#[test]
fn glass_that_nobody_could_review_is_never_broken() {
    let Definition::Glass { capability, mut policy } = glasses(&[]) else { panic!("it is glass") };
    policy.capabilities.values_mut().for_each(|glass| glass.review_within = Span::ZERO);
    let set = set(&[needs_case()]).define("any", Definition::Glass { capability, policy });
    let facts = Facts::new().case("any", glass("r", subject().plan, "production"));
    let book = PolicyBook::new(set).with_facts(id("r"), facts);
    book.publish_directory(people(50, &TEAM)).unwrap();
    let denied = ask_of(&book, &deploy("production"), 100);
    assert!(denied.is_deny() && format!("{denied:?}").contains("leaves no time"), "{denied:?}");
}

/// Whoever keeps what the digests of a decision are of can make it again years later.
#[test]
fn a_decision_can_be_made_again_from_what_its_digests_name() {
    let dev = |second| directory(second, [Identity::human(id("req")).with(grant("dev"))]);
    let rights = || Arc::new(rights(rbac::Action::Deploy, dev(50)));
    let rules = |risk: i64| {
        let is = release_policy::decision::Test::AtLeast(risk);
        let risky = Condition::Fact { name: "risk".into(), is };
        set(&[anything(), Rule::deny("risky", risky, "sre")]).rights(rights())
    };
    let freeze = |from| {
        let when = When::Between { from: at(from), until: at(5_000) };
        let spec = WindowSpec::freeze(id("frozen"), when, id("sre"), "sale");
        Windows::new([spec.build().unwrap()]).unwrap()
    };
    // What was kept, each under its digest.
    let policies = [rules(10), rules(50), rules(90)];
    let calendars = [freeze(1_000), freeze(90)];
    let directories = [dev(50), directory(55, [Identity::human(id("req"))])];
    let facts = [20, 60].map(|risk| Facts::new().number("risk", risk));
    let decide = |policy: &PolicySet, calendar: &Windows, people: &Directory, facts: &Facts| {
        let book = PolicyBook::new(policy.clone().windows(calendar.clone()));
        let book = book.with_facts(id("r"), facts.clone());
        book.publish_directory(people.clone()).unwrap();
        ask_of(&book, &deploy("production"), 100)
    };
    let (mut permits, mut inputs_seen) = (0, BTreeSet::new());
    for policy in &policies {
        for calendar in &calendars {
            for people in &directories {
                for known in &facts {
                    let first = decide(policy, calendar, people, known);
                    let inputs = *first.inputs().unwrap();
                    let policy = policies.iter().find(|kept| Some(kept.digest()) == inputs.policy);
                    let calendar =
                        calendars.iter().find(|kept| Some(kept.digest()) == inputs.calendar);
                    let people = directories
                        .iter()
                        .find(|kept| Some(kept.stamp().digest) == inputs.directory);
                    let known = facts.iter().find(|kept| Some(kept.digest()) == inputs.facts);
                    let again =
                        decide(policy.unwrap(), calendar.unwrap(), people.unwrap(), known.unwrap());
                    assert_eq!(first, again);
                    permits += usize::from(first.is_permit());
                    inputs_seen.insert(format!("{inputs}"));
                }
            }
        }
    }
    assert_eq!((permits, inputs_seen.len()), (3, 24));
}
