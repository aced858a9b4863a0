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
use release_policy::window::{Waiver, When, WindowRules};
use release_policy::{WindowSpec, Windows};

mod approvers;
mod cases;
mod costs;
mod directories;
mod gates;
mod rules;
mod waits;

use super::support::{at, id, set, subject};

const TEAM: [(&str, &str); 5] =
    [("ann", "sre"), ("bob", "security"), ("cat", "chair"), ("dan", "ops"), ("eve", "auditor")];

fn deploy(environment: &str) -> Step {
    let action = Action::Custom { capability: "deploy".into(), input: serde_json::Value::Null };
    Step::new(id(&format!("{environment}/api")), action)
        .scope(StepScope::of(Place::new(id(environment))))
        .undo(Undo::point_of_no_return("it is a test", "lead".parse().unwrap()))
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

/// These, and who asks for the run.
fn people(second: i64, all: &[(&str, &str)]) -> Directory {
    let known = all.iter().map(|(who, role)| Identity::human(id(who)).with(grant(role)));
    let named = all.iter().any(|(who, _)| *who == "req");
    let asks = (!named).then(|| Identity::human(id("req")));
    directory(second, known.chain(asks))
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

fn rights(action: rbac::Action, directory: Directory) -> Rbac {
    let role = Role::new(id("dev")).may([action]);
    Rbac::new(Access::new(Rules::new([role], []).unwrap(), directory, Span::secs(300)))
}

fn anything() -> Rule {
    Rule::allow("all", Condition::Always, "x")
}

fn frozen(from: i64, until: i64, waivers: Vec<Waiver>) -> Windows {
    let when = When::Between { from: at(from), until: at(until) };
    let freeze = WindowSpec::freeze(id("frozen"), when, id("sre"), "sale").build().unwrap();
    WindowRules { windows: vec![freeze], waivers, ..WindowRules::default() }.try_into().unwrap()
}

fn gated_by(gate: model::Approval) -> FrozenPlan {
    let mut step = deploy("production");
    step.gates.extend([Gate::Approval(gate), Gate::NotBefore(at(200))]);
    plan([step])
}

fn go(roles: &[&str]) -> model::Approval {
    let roles = roles.iter().map(|role| id(role)).collect();
    model::Approval { roles, ..model::Approval::new(id("production/go")) }
}
