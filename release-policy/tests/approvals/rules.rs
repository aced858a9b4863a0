//! One rule after the other.

use release_core::model::{Identity, Span};
use release_core::port::Decision;
use release_policy::approval::{
    Answer, Anyone, ApprovalFact, ApprovalFacts, Denial, Doer, Expression, FactError, Invalid,
    Part, Party, Unfit, Verdict, VetoRule, evaluate,
};
use release_policy::directory::{Directory, DirectoryError, DirectoryFault, DirectoryState};

use crate::support::{
    NOW, approve, ask, at, could_fill, counted, directory, grant, id, is_met, lend, names, of_role,
    person, policy, question, role, says, subject, why,
};

fn team() -> Directory {
    directory(
        [
            person("req", &["sre"]),
            person("ann", &["sre", "security"]),
            person("bob", &["sre"]),
            person("cat", &["security"]),
            person("dan", &[]),
        ],
        [],
    )
}

fn sre_and_security() -> Expression {
    Expression::AllOf(vec![of_role("sre", 1), of_role("security", 1)])
}

#[test]
fn one_person_fills_one_place_and_never_the_one_that_others_cannot() {
    let (team, policy) = (team(), policy(sre_and_security()));
    let both = ask(&policy, &question(), &approve(&team, &["ann"]), &team);
    assert_eq!((both.answer, counted(&both)), (Answer::Open, vec!["ann"]));
    // Whichever place ann fills, either bob or cat could make it whole.
    assert_eq!(could_fill(&both), names(&["bob", "cat"]));
    for others in [["ann", "bob"], ["bob", "ann"], ["ann", "cat"], ["cat", "ann"]] {
        assert!(is_met(&ask(&policy, &question(), &approve(&team, &others), &team)), "{others:?}");
    }
    let two_sre = ask(&policy, &question(), &approve(&team, &["bob"]), &team);
    assert_eq!(could_fill(&two_sre), names(&["ann", "cat"]));
}

#[test]
fn whoever_has_to_do_with_the_change_is_out() {
    let team = team();
    let policy = policy(of_role("sre", 1));
    let mut question = question();
    question.parties = question.parties.written_by(id("ann"));
    question.parties.executors.insert(id("bob"));
    let outcome = ask(&policy, &question, &approve(&team, &["req", "ann", "bob", "dan"]), &team);
    assert_eq!(outcome.answer, Answer::Open);
    assert_eq!(*why(&outcome, 1), Unfit::Excluded { party: Party::Requester });
    assert_eq!(*why(&outcome, 2), Unfit::Excluded { party: Party::Author });
    assert_eq!(*why(&outcome, 3), Unfit::Excluded { party: Party::Executor });
    assert_eq!(*why(&outcome, 4), Unfit::NoRole);
    assert_eq!(could_fill(&outcome), names(&[]));
    let Decision::Wait { until: None, reasons, .. } = outcome.decision() else {
        panic!("it waits")
    };
    assert_eq!(reasons[0].lifted_by, "nobody whom the directory knows; grant the role");
    // Executors may, where the policy says so; authors never.
    let mut lax = policy;
    lax.exclude.remove(&Doer::Executor);
    let outcome = ask(&lax, &question, &approve(&team, &["ann", "bob"]), &team);
    assert_eq!((is_met(&outcome), counted(&outcome)), (true, vec!["bob"]));
}

#[test]
fn authors_who_are_not_known_could_be_anybody() {
    let (team, mut question) = (team(), question());
    question.parties.authors = None;
    let outcome = ask(&policy(of_role("sre", 1)), &question, &approve(&team, &["bob"]), &team);
    assert_eq!(outcome.answer, Answer::Denied { because: Denial::AuthorsUnknown });
}

#[test]
fn without_a_fresh_directory_nobody_approves() {
    let (team, policy) = (team(), policy(of_role("sre", 1)));
    let facts = approve(&team, &["bob"]);
    let ask = |state, now| evaluate(&policy, &question(), &facts, state, at(now)).answer;
    let denied = |fault| Answer::Denied { because: Denial::Directory { fault } };
    let (taken_at, at_most) = (at(NOW - 10), Span::secs(300));
    let known = DirectoryState::Snapshot(&team);
    assert_eq!(ask(known, NOW), Answer::Met);
    assert_eq!(ask(known, NOW + 289), Answer::Met);
    assert_eq!(ask(known, NOW + 290), denied(DirectoryFault::Stale { taken_at, at_most }));
    assert_eq!(ask(known, NOW - 11), denied(DirectoryFault::Future { taken_at }));
    let since = at(NOW - 1);
    assert_eq!(ask(DirectoryState::Down { since }, NOW), denied(DirectoryFault::Down { since }));
}

#[test]
fn a_veto_holds_until_it_is_taken_back_or_the_content_is_another() {
    let (team, policy) = (team(), policy(of_role("sre", 1)));
    let yes = says(&team, 1, "bob", 9_000, Verdict::Approve);
    let no = says(&team, 2, "ann", 9_001, Verdict::Veto);
    let mut facts = ApprovalFacts::fold([yes.clone(), no.clone()]).unwrap();
    let outcome = ask(&policy, &question(), &facts, &team);
    assert_eq!((outcome.answer, outcome.objections[0].by.as_str()), (Answer::Vetoed, "ann"));
    assert!(matches!(outcome.decision(), Decision::Deny { .. }));
    // Other evidence does not lift it, another plan does.
    for (part, want) in [(Part::Evidence, Answer::Vetoed), (Part::Plan, Answer::Open)] {
        let mut changed = question();
        match part {
            Part::Plan => changed.subject.plan = subject(2).plan,
            _ => changed.subject.evidence = subject(2).evidence,
        }
        assert_eq!(ask(&policy, &changed, &facts, &team).answer, want, "{part}");
    }
    facts.apply(ApprovalFact::Withdrawn { seq: 3, of: 2, by: id("ann"), at: at(9_002) }).unwrap();
    assert!(is_met(&ask(&policy, &question(), &facts, &team)));
    // Who objects cannot approve besides, and whoever has no say cannot object; a party can.
    let also = says(&team, 3, "ann", 9_003, Verdict::Approve);
    let both = ApprovalFacts::fold([no, also]).unwrap();
    assert_eq!(*why(&ask(&policy, &question(), &both, &team), 3), Unfit::OwnVeto { of: 2 });
    let veto =
        |by| ApprovalFacts::fold([yes.clone(), says(&team, 2, by, 9_001, Verdict::Veto)]).unwrap();
    assert_eq!(*why(&ask(&policy, &question(), &veto("dan"), &team), 2), Unfit::NoRole);
    assert_eq!(ask(&policy, &question(), &veto("req"), &team).answer, Answer::Vetoed);
}

#[test]
fn by_majority_more_must_approve_than_object() {
    let team = team();
    let mut policy = policy(Expression::Anyone(Anyone { n: 1 }));
    policy.veto = VetoRule::Majority;
    let facts = |yes: &[&str]| {
        let veto = says(&team, 1, "dan", 9_000, Verdict::Veto);
        let yes = (2_u64..).zip(yes).map(|(seq, by)| says(&team, seq, by, 9_001, Verdict::Approve));
        ApprovalFacts::fold(std::iter::once(veto).chain(yes)).unwrap()
    };
    let answer = |yes: &[&str]| ask(&policy, &question(), &facts(yes), &team).answer;
    assert_eq!(answer(&[]), Answer::Vetoed);
    assert_eq!(answer(&["ann"]), Answer::Vetoed);
    assert_eq!(answer(&["ann", "bob"]), Answer::Met);
}

#[test]
fn must_include_asks_for_that_person_besides_the_others() {
    let (team, policy) = (
        team(),
        policy(Expression::AllOf(vec![of_role("sre", 1), Expression::MustInclude(id("ann"))])),
    );
    let of = |by: &[&str]| ask(&policy, &question(), &approve(&team, by), &team);
    assert_eq!(could_fill(&of(&["bob"])), names(&["ann"]));
    assert_eq!(could_fill(&of(&["ann"])), names(&["bob"]));
    assert!(is_met(&of(&["ann", "bob"])));
}

#[test]
fn a_lent_role_is_one_voice_and_ends_with_its_owner() {
    let policy = policy(of_role("sre", 2));
    let people = |bob: Identity| {
        directory(
            [person("req", &[]), person("ann", &["sre"]), bob, person("dan", &[])],
            [lend("bob", "dan", "sre")],
        )
    };
    let team = people(person("bob", &["sre"]));
    let of = |by: &[&str]| ask(&policy, &question(), &approve(&team, by), &team);
    assert!(is_met(&of(&["ann", "dan"])));
    // Both of bob's voices are one.
    assert_eq!(counted(&of(&["bob", "dan"])), ["bob"]);
    assert!(is_met(&of(&["ann", "bob", "dan"])));
    // Who lost a role has nothing to lend.
    let facts = approve(&team, &["ann", "dan"]);
    let outcome = ask(&policy, &question(), &facts, &people(person("bob", &[])));
    let lost = [role("sre")].into();
    assert_eq!(*why(&outcome, 2), Unfit::Invalidated { reason: Invalid::RoleRevoked { lost } });
    // What the requester lends, and who lends to the requester, is out.
    let mut question = question();
    question.parties.requester = id("bob");
    question.parties.authors = Some([id("bob")].into());
    let outcome = ask(&policy, &question, &facts, &team);
    assert_eq!((counted(&outcome), is_met(&outcome)), (vec!["ann"], false));
    question.parties.requester = id("dan");
    question.parties.authors = Some([id("dan")].into());
    let outcome = ask(&policy, &question, &approve(&team, &["ann", "bob"]), &team);
    assert_eq!(*why(&outcome, 2), Unfit::Excluded { party: Party::Delegator });
}

#[test]
fn a_machine_stands_for_those_in_whose_name_it_acts() {
    let mut bot = Identity::service(id("bot")).with(grant("sre"));
    bot.acts_for = [id("ann")].into();
    let team = directory([bot, person("ann", &["sre"]), person("bob", &["sre"])], []);
    let mut question = question();
    question.parties.requester = id("bot");
    let policy = policy(of_role("sre", 1));
    let outcome = ask(&policy, &question, &approve(&team, &["bot", "ann"]), &team);
    assert_eq!(*why(&outcome, 1), Unfit::Machine);
    assert_eq!(*why(&outcome, 2), Unfit::Excluded { party: Party::Requester });
    assert_eq!(could_fill(&outcome), names(&["bob"]));
}

#[test]
fn facts_that_cannot_follow_are_refused_and_change_nothing() {
    let team = team();
    let yes = says(&team, 5, "ann", 9_000, Verdict::Approve);
    let mut facts = ApprovalFacts::fold([yes]).unwrap();
    let before = facts.clone();
    let withdraw =
        |seq, of, by, second| ApprovalFact::Withdrawn { seq, of, by: id(by), at: at(second) };
    let mut refused = |fact, want: FactError| {
        assert_eq!(facts.apply(fact), Err(want));
        assert_eq!(facts, before);
    };
    let (of, by, said_by) = (5, id("bob"), id("ann"));
    refused(withdraw(5, 5, "ann", 9_001), FactError::Order { seq: 5, last: 5 });
    refused(
        withdraw(6, 5, "ann", 8_999),
        FactError::Time { seq: 6, at: at(8_999), last: at(9_000) },
    );
    refused(withdraw(6, 4, "ann", 9_001), FactError::NothingToWithdraw { of: 4 });
    refused(withdraw(6, 5, "bob", 9_001), FactError::NotTheirs { of, by, said_by });
    let mut spent = says(&team, 6, "bob", 9_001, Verdict::Approve);
    if let ApprovalFact::Given(approval) = &mut spent {
        approval.statement.expires = at(9_001);
    }
    refused(spent, FactError::Expiry { seq: 6, expires: at(9_001) });
    // After admission nothing can be taken back, until the change is reset.
    let admitted = ApprovalFact::Admitted { seq: 6, at: at(9_002), subject: subject(1).digest() };
    facts.apply(admitted).unwrap();
    assert_eq!(
        facts.apply(withdraw(7, 5, "ann", 9_003)),
        Err(FactError::AlreadyAdmitted { at: at(9_002) })
    );
    let reset = ApprovalFact::Reset { seq: 8, at: at(9_004), reason: "found a bug".into() };
    facts.apply(reset).unwrap();
    let outcome = ask(&policy(of_role("sre", 1)), &question(), &facts, &team);
    assert_eq!(*why(&outcome, 5), Unfit::Reset { at: at(9_004) });
}

#[test]
fn a_directory_that_contradicts_itself_is_refused_by_name() {
    let check = |people: Vec<Identity>, lent: Vec<_>, want: &str| {
        let error = Directory::new(1, at(0), people, lent).unwrap_err();
        assert!(error.to_string().starts_with(want), "{error}");
    };
    let (ann, bob) = (|| person("ann", &["sre"]), || person("bob", &[]));
    let cat = || person("cat", &[]);
    let linked = |mut who: Identity, to: &str| {
        who.linked.insert(id(to));
        who
    };
    let bot = || Identity::service(id("bot"));
    check(vec![ann(), ann()], vec![], "directory/unique");
    check(vec![linked(ann(), "zoe")], vec![], "directory/links");
    check(vec![linked(ann(), "bot"), bot()], vec![], "directory/links");
    let mut acting = ann();
    acting.acts_for.insert(id("bob"));
    check(vec![acting, bob()], vec![], "directory/acts_for");
    let mut empty = grant("sre");
    empty.until = Some(empty.from);
    check(vec![bob().with(empty)], vec![], "directory/grants");
    let mut own = grant("sre");
    own.by = id("ann");
    check(vec![linked(bob(), "ann").with(own), ann()], vec![], "directory/grants");
    check(vec![ann(), bot()], vec![lend("ann", "bot", "sre")], "directory/delegations");
    check(vec![linked(ann(), "bob"), bob()], vec![lend("ann", "bob", "sre")], "directory/deleg");
    let twice = vec![lend("ann", "bob", "sre"), lend("ann", "cat", "sre")];
    let error = Directory::new(1, at(0), [ann(), bob(), cat()], twice).unwrap_err();
    assert!(matches!(error, DirectoryError::DelegatedTwice { .. }), "{error}");
}
