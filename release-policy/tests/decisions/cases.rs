//! Cases: decided at the instant of each request, by the directory of then.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    self, ChangeScope, EnvironmentId, Gate, Identity, Principal, RoleGrant, Span, Tier, Timestamp,
};
use release_core::port::{Admission, Decision, Policy, Reason, ReasonKind};
use release_policy::approval::{
    Approval, ApprovalFact, ApprovalFacts, ApprovalPolicy, Expression, OfRole, Parties, Question,
    Quorum, Statement, Verdict,
};
use release_policy::cab::{self, Ballot, Board, BoardFacts, Vote};
use release_policy::change::ChangeType;
use release_policy::decision::{
    ApprovalCase, BoardCase, Case, Condition, Definition, EntryCase, Facts, GlassCase, Need,
    NotPublished, OwnerCase, PolicyBook, PolicySet, ReviewsCase, Rule,
};
use release_policy::directory::Directory;
use release_policy::emergency::{
    BreakGlass, Capability, Duty, GlassFact, GlassFacts, GlassRequest, Obligation, ObligationFact,
    Obligations, Review, Word,
};
use release_policy::promotion::{
    Claim, Evidence, Found, History, Owners, Pipeline, PromotionEvent, PromotionFact, Sources,
    StageSpec, Taken,
};

use super::support::{at, id, set, step, subject};

const ANY: &str = "any";

fn scope() -> ChangeScope {
    ChangeScope::new(id("production"))
}

fn question() -> Question {
    Question { subject: subject(), parties: Parties::new(id("req"), at(0)), scope: scope() }
}

/// Who is what, as it was read at `second`.
fn people(second: i64, all: &[(&str, &str)]) -> Directory {
    let mut named: BTreeMap<&str, Identity> = BTreeMap::new();
    for (who, role) in all {
        let grant = RoleGrant::new(id(role), at(0), id("hr"), "job");
        let known = named.remove(who).unwrap_or_else(|| Identity::human(id(who)));
        named.insert(who, known.with(grant));
    }
    Directory::new(u64::try_from(second).unwrap(), at(second), named.into_values(), []).unwrap()
}

const TEAM: [(&str, &str); 5] =
    [("ann", "sre"), ("bob", "security"), ("cat", "chair"), ("dan", "ops"), ("eve", "auditor")];

fn statement(seq: u64, by: &str, second: i64) -> Statement {
    let roles = TEAM.iter().filter(|(who, _)| *who == by).map(|(_, role)| id(role)).collect();
    let (at, expires) = (at(second), at(second + 1_000));
    Statement { seq, by: id(by), linked: BTreeSet::new(), roles, at, expires, bound_to: subject() }
}

fn approvals(by: &[&str], second: i64) -> ApprovalFacts {
    let given = (1_u64..).zip(by).map(|(seq, by)| {
        let (statement, verdict) = (statement(seq, by, second), Verdict::Approve);
        ApprovalFact::Given(Box::new(Approval { statement, verdict, comment: String::new() }))
    });
    ApprovalFacts::fold(given).unwrap()
}

fn quorum(roles: &[&str]) -> ApprovalPolicy {
    let one = |role: &&str| Expression::OfRole(OfRole { role: id(role), n: 1 });
    ApprovalPolicy::new(Quorum::new(Expression::AllOf(roles.iter().map(one).collect())).unwrap())
}

fn approval(by: &[&str]) -> ApprovalCase {
    ApprovalCase { question: question(), facts: approvals(by, 50) }
}

/// Rules of which one allows what the case decides, with all that can be said of who decides it.
fn rules(by: Option<Definition>) -> PolicySet {
    let rule = Rule::allow("only", Condition::Always, "platform");
    let set = set(&[rule.needs(Need::Case { name: ANY.into() })]);
    by.into_iter().fold(set, |set, by| set.define(ANY, by))
}

/// Who decides a case here.
fn decided_by(case: &Case) -> Option<Definition> {
    Some(match case {
        Case::Approval(_) => quorum(&["sre", "security"]).into(),
        Case::Board(_) => Board::new(id("chair"), [id("security")], 1).unwrap().into(),
        Case::Entry(_) => pipeline().into(),
        Case::Glass(_) => Definition::Glass { capability: "hotfix".into(), policy: glasses() },
        _ => return None,
    })
}

/// A book whose one rule needs the case.
fn book(case: impl Into<Case>) -> PolicyBook {
    let case = case.into();
    let book = PolicyBook::new(rules(decided_by(&case)));
    let book = book.with_facts(id("r"), Facts::new().case(ANY, case));
    read(&book, 50, &TEAM);
    book
}

/// The directory is read, as it is at `second`.
fn read(book: &PolicyBook, second: i64, all: &[(&str, &str)]) {
    book.publish_directory(people(second, all)).unwrap();
}

fn ask(book: &PolicyBook, second: i64) -> Decision {
    let requester = Principal::human(id("req"));
    book.admit(&Admission::new(&id("r"), &requester, &step(), at(second)))
}

/// What stands in the way, but for the fact that nothing else allows it.
fn why(decision: &Decision) -> &Reason {
    decision.reasons().iter().find(|reason| reason.rule != "allow").unwrap()
}

fn rule(decision: &Decision) -> &str {
    &why(decision).rule
}

fn until(decision: &Decision) -> Option<Timestamp> {
    match decision {
        Decision::Permit { grants, .. } => grants.first().and_then(|grant| grant.valid_until),
        Decision::Wait { until, .. } => *until,
        Decision::Deny { .. } => None,
    }
}

/// Nobody tells the policy anything between the two requests but who is who.
#[test]
fn f22_who_lost_their_role_since_they_approved_counts_no_more() {
    let book = book(approval(&["ann", "bob"]));
    let permit = ask(&book, 100);
    assert!(permit.is_permit(), "{permit:?}");
    assert_eq!(until(&permit), Some(at(350)), "until the directory is too old");
    read(&book, 101, &[("ann", "sre"), ("bob", "ops")]);
    let held = ask(&book, 102);
    assert!(matches!(held, Decision::Wait { .. }) && rule(&held) == "approval/missing", "{held:?}");
    let directories = [&permit, &held].map(|decision| decision.inputs().unwrap().directory);
    assert!(directories[0].is_some() && directories[0] != directories[1]);
    let facts = [&permit, &held].map(|decision| decision.inputs().unwrap().facts);
    assert!(facts[0].is_some() && facts[0] == facts[1]);
}

#[test]
fn an_approval_that_expires_allows_until_then() {
    let book = book(approval(&["ann", "bob"]));
    read(&book, 1_000, &TEAM);
    assert_eq!(until(&ask(&book, 1_049)), Some(at(1_050)));
    assert!(ask(&book, 1_049).is_permit());
    assert!(matches!(ask(&book, 1_050), Decision::Wait { .. }));
}

#[test]
fn without_a_directory_that_is_fresh_nothing_is_decided_in_favour() {
    let book = book(approval(&["ann", "bob"]));
    assert!(ask(&book, 349).is_permit());
    assert!(ask(&book, 350).is_deny(), "five minutes");
    assert!(ask(&book, 49).is_deny(), "it is of the future");
    book.lose_directory(at(90));
    let denied = ask(&book, 100);
    assert_eq!(rule(&denied), "approval/directory");
    assert!(why(&denied).text.contains("out of reach since"), "{denied:?}");
    let case = Case::from(approval(&["ann", "bob"]));
    let unread =
        PolicyBook::new(rules(decided_by(&case))).with_facts(id("r"), Facts::new().case(ANY, case));
    assert!(why(&ask(&unread, 100)).text.contains("nobody has read the directory yet"));
}

fn board(ballot: Ballot, at_gates: BTreeMap<model::GateId, ApprovalFacts>) -> BoardCase {
    let vote = |seq, by: &str, ballot| Vote { statement: statement(seq, by, 50), ballot };
    let votes = vec![vote(1, "cat", Ballot::Approve), vote(2, "bob", ballot)];
    let facts = BoardFacts { votes, interests: Vec::new(), deadline: at(500) };
    BoardCase { question: question(), facts, at_gates }
}

fn on(gate: Gate) -> Ballot {
    Ballot::ApproveWithConditions(vec![cab::Condition { text: "as we said".into(), gate }])
}

#[test]
fn what_a_board_asks_for_besides_are_gates() {
    let none = BTreeMap::new;
    assert!(ask(&book(board(Ballot::Approve, none())), 100).is_permit());
    let waits = book(board(on(Gate::NotBefore(at(200))), none()));
    let held = ask(&waits, 199);
    assert_eq!((rule(&held), until(&held)), ("board/condition", Some(at(200))));
    assert!(ask(&waits, 200).is_permit());

    let gate = model::Approval { roles: vec![id("ops")], ..model::Approval::new(id("runbook")) };
    let asks = |facts: &[&str]| {
        let said = BTreeMap::from([(id("runbook"), approvals(facts, 60))]);
        ask(&book(board(on(Gate::Approval(gate.clone())), said)), 100)
    };
    assert_eq!(rule(&asks(&[])), "approval/missing");
    assert_eq!(rule(&asks(&["ann"])), "approval/missing", "she is not of operations");
    assert!(asks(&["dan"]).is_permit());

    // How long the step has waited is only known with its run.
    let soaks = book(board(on(Gate::Soak(Span::secs(30))), none()));
    let held = ask(&soaks, 100);
    assert!(matches!(held, Decision::Wait { until: None, .. }), "{held:?}");
    assert_eq!(why(&held).kind, ReasonKind::Error);
}

#[test]
fn a_board_decides_by_its_deadline_and_what_it_said_ends_with_the_votes() {
    let undecided = |second| {
        let mut case = board(Ballot::Approve, BTreeMap::new());
        case.facts.votes.pop();
        let book = book(case);
        read(&book, 490, &TEAM);
        ask(&book, second)
    };
    assert_eq!(rule(&undecided(499)), "board/open");
    assert_eq!(rule(&undecided(500)), "board/deferred");
    let decided = book(board(Ballot::Approve, BTreeMap::new()));
    assert_eq!(until(&ask(&decided, 100)), Some(at(350)));
    read(&decided, 400, &TEAM);
    assert_eq!(until(&ask(&decided, 450)), Some(at(500)), "the deadline");
}

/// The set stands in qa, verified at second 60, and wants into production, where it needs a minute of soak.
fn entry(more: &[(i64, PromotionEvent)]) -> EntryCase {
    let qa: EnvironmentId = id("qa");
    let set = subject().artifacts;
    let first = [
        (50, PromotionEvent::Entered { stage: qa.clone(), set }),
        (60, PromotionEvent::Verified { stage: qa, set, found: Found::Good }),
    ];
    let facts = first
        .iter()
        .chain(more)
        .map(|(second, event)| PromotionFact { at: at(*second), event: event.clone() });
    EntryCase {
        history: History::fold(facts).unwrap(),
        stage: id("production"),
        evidence: Evidence::new(subject(), at(50)),
    }
}

fn pipeline() -> Pipeline {
    let (qa, production): (EnvironmentId, EnvironmentId) = (id("qa"), id("production"));
    let sources = Sources::one_of([qa.clone()]).soak(Span::secs(60));
    let stages = [
        StageSpec::new(qa, Tier::Staging, Sources::direct()),
        StageSpec::new(production, Tier::Production, sources),
    ];
    Pipeline::new(stages).unwrap()
}

#[test]
fn a_stage_is_entered_once_its_sources_say_so_and_no_more_when_they_fail_again() {
    let waits = book(entry(&[]));
    let held = ask(&waits, 100);
    assert_eq!((rule(&held), until(&held)), ("promotion/production/from/qa", Some(at(120))));
    assert!(ask(&waits, 120).is_permit());
    let set = subject().artifacts;
    let again = PromotionEvent::Verified { stage: id("qa"), set, found: Found::Bad };
    let revoked = ask(&book(entry(&[(110, again)])), 120);
    assert!(revoked.is_deny() && why(&revoked).text.contains("failed it"), "{revoked:?}");
    let unknown = PromotionEvent::Verified { stage: id("qa"), set, found: Found::Unknown };
    let held = ask(&book(entry(&[(110, unknown)])), 120);
    assert!(matches!(held, Decision::Wait { until: None, .. }), "{held:?}");
    let other = Pipeline::new([StageSpec::new(id("qa"), Tier::Staging, Sources::direct())]);
    let book = PolicyBook::new(rules(Some(other.unwrap().into())))
        .with_facts(id("r"), Facts::new().case(ANY, entry(&[])));
    assert_eq!(rule(&ask(&book, 120)), "promotion/stage");
}

#[test]
fn whoever_was_replaced_promotes_no_more() {
    let mut owners = Owners::new();
    for epoch in [1, 2] {
        let owner = id(if epoch == 1 { "old" } else { "new" });
        owners.take(Taken { environment: id("production"), owner, epoch, at: at(10) }).unwrap();
    }
    let ask = |owner: &str, epoch| {
        let claim = Claim { owner: id(owner), epoch };
        let case = OwnerCase { owners: owners.clone(), environment: id("production"), claim };
        ask(&book(case), 100)
    };
    assert!(ask("new", 2).is_permit());
    assert_eq!(rule(&ask("old", 1)), "owner/production");
}

fn word(seq: u64, by: &str, second: i64) -> Word {
    let Statement { seq, by, linked, roles, at, .. } = statement(seq, by, second);
    Word { seq, by, linked, roles, at }
}

#[test]
fn what_was_not_reviewed_in_time_holds_until_somebody_else_does() {
    let owed = Obligation {
        seq: 1,
        duty: Duty::BreakGlassReviewed,
        scope: scope(),
        opened_at: at(10),
        due: at(100),
        involved: [id("ann")].into(),
        reviewer: id("auditor"),
    };
    let ask = |facts: &[ObligationFact], kind, second| {
        let obligations = Obligations::fold(facts.iter().cloned()).unwrap();
        let directory_max_age = Span::secs(300);
        ask(&book(ReviewsCase { obligations, kind, directory_max_age }), second)
    };
    let opened = ObligationFact::Opened(owed);
    let begun = ask(std::slice::from_ref(&opened), ChangeType::Normal, 99);
    assert_eq!((begun.is_permit(), until(&begun)), (true, Some(at(100))));
    let late = ask(std::slice::from_ref(&opened), ChangeType::Normal, 100);
    assert_eq!((late.is_deny(), rule(&late)), (true, "obligation/overdue"));
    assert!(ask(std::slice::from_ref(&opened), ChangeType::Emergency, 100).is_permit());
    let review = Review { word: word(2, "eve", 90), of: 1, finding: "it was needed".into() };
    let all = [opened, ObligationFact::Reviewed(review)];
    assert!(ask(&all, ChangeType::Normal, 100).is_permit());
}

fn glass(facts: impl IntoIterator<Item = GlassFact>) -> GlassCase {
    GlassCase { facts: GlassFacts::fold(facts).unwrap() }
}

fn glasses() -> BreakGlass {
    let capability = Capability {
        lifts: BTreeSet::new(),
        requester: id("sre"),
        confirmer: id("security"),
        at_most: Span::secs(60),
        review_within: Span::secs(60),
        reviewer: id("auditor"),
    };
    let capabilities = [("hotfix".to_owned(), capability)].into();
    BreakGlass { capabilities, directory_max_age: Span::secs(300) }
}

#[test]
fn broken_glass_says_who_could_break_it_and_lasts_as_long_as_it_may() {
    let request = || {
        GlassFact::Requested(GlassRequest {
            word: word(1, "ann", 90),
            capability: "hotfix".into(),
            run: id("r"),
            plan: subject().plan,
            scope: scope(),
            reason: "the shop is down".into(),
            incident: "INC-7".into(),
        })
    };
    let confirmed = || GlassFact::Confirmed { word: word(2, "bob", 95), of: 1 };
    let unasked = ask(&book(glass([])), 100);
    assert_eq!(rule(&unasked), "break_glass/unasked");
    let lifted_by = &why(&unasked).lifted_by;
    assert_eq!(lifted_by, "somebody who is sre, confirmed by somebody else who is security");
    let alone = ask(&book(glass([request()])), 100);
    assert!(matches!(alone, Decision::Wait { .. }), "{alone:?}");
    let both = book(glass([request(), confirmed()]));
    assert_eq!((ask(&both, 149).is_permit(), until(&ask(&both, 149))), (true, Some(at(150))));
    assert!(ask(&both, 150).is_deny());
    let used = GlassFact::Used { word: word(3, "ann", 96), of: 1 };
    assert!(ask(&book(glass([request(), confirmed(), used])), 100).is_deny());
    let other = Definition::Glass { capability: "other".into(), policy: glasses() };
    let unknown =
        PolicyBook::new(rules(Some(other))).with_facts(id("r"), Facts::new().case(ANY, glass([])));
    assert!(ask(&unknown, 100).is_deny());
}

/// Two cases that differ in anything have two digests, and so have the decisions that are made from them.
#[test]
fn all_that_is_known_of_a_case_is_in_its_digest() {
    let cases: Vec<Case> = vec![
        approval(&["ann"]).into(),
        approval(&["ann", "bob"]).into(),
        board(Ballot::Approve, BTreeMap::new()).into(),
        board(Ballot::Reject, BTreeMap::new()).into(),
        entry(&[]).into(),
        entry(&[(70, PromotionEvent::Emptied { stage: id("qa") })]).into(),
        glass([]).into(),
    ];
    let digests: BTreeSet<_> = cases.iter().map(Case::digest).collect();
    assert_eq!(digests.len(), cases.len());
    let facts = cases.iter().map(|case| Facts::new().case(ANY, case.clone()).digest());
    assert_eq!(facts.collect::<BTreeSet<_>>().len(), cases.len());
}

/// Who guards the guards: rules that nobody can change alone.
#[test]
fn rules_are_changed_once_people_approve_of_just_these() {
    let guard = || quorum(&["sre", "security"]);
    let old = || set(&[Rule::deny("frozen", Condition::Always, "sre")]).guarded_by(guard());
    let new = |name: &str| -> PolicySet {
        set(&[Rule::allow(name, Condition::Always, "sre")]).guarded_by(guard())
    };
    let book = PolicyBook::new(old());
    read(&book, 50, &TEAM);
    let about = |rules: &PolicySet, by: &[&str]| {
        let subject = book.change_to(rules);
        let given = (1_u64..).zip(by).map(|(seq, by)| {
            let statement = Statement { bound_to: subject, ..statement(seq, by, 50) };
            let (verdict, comment) = (Verdict::Approve, String::new());
            ApprovalFact::Given(Box::new(Approval { statement, verdict, comment }))
        });
        let facts = ApprovalFacts::fold(given).unwrap();
        let scope = ChangeScope::everywhere();
        let question = Question { subject, scope, ..question() };
        ApprovalCase { question, facts }
    };
    let alone = book.publish_approved(new("a"), &about(&new("a"), &["ann"]), at(100));
    assert!(matches!(alone, Err(NotPublished::NotApproved(_))), "{alone:?}");
    let other = book.publish_approved(new("b"), &about(&new("a"), &["ann", "bob"]), at(100));
    assert!(matches!(other, Err(NotPublished::OtherSubject { .. })), "{other:?}");
    assert_eq!(book.head().digest(), old().digest(), "nothing changed");
    let windows = release_policy::Windows::new([]).unwrap();
    let more = new("a").windows(windows);
    assert_ne!(book.change_to(&more), book.change_to(&new("a")), "windows are approved, too");
    let given = about(&new("a"), &["ann", "bob"]);
    let both = book.publish_approved(new("a"), &given, at(100));
    assert!(both.is_ok_and(|outcome| outcome.is_met()));
    assert_eq!(book.head().digest(), new("a").digest());
    // Back to the old rules: what was approved once is not approved again.
    let back = book.publish_approved(old(), &about(&old(), &["ann", "bob"]), at(110));
    assert!(back.is_ok());
    let again = book.publish_approved(new("a"), &given, at(120));
    assert!(matches!(again, Err(NotPublished::OtherSubject { .. })), "{again:?}");
    let unguarded = PolicyBook::new(set(&[]));
    let subject = unguarded.change_to(&new("a"));
    let question = Question { subject, scope: ChangeScope::everywhere(), ..question() };
    let case = ApprovalCase { question, facts: ApprovalFacts::default() };
    let refused = unguarded.publish_approved(new("a"), &case, at(100));
    assert_eq!(refused, Err(NotPublished::Unguarded));
}
