//! Broken glass, and what is owed.

use std::collections::BTreeSet;

use release_core::model::{ChangeScope, Identity, Span};
use release_core::port::Decision;
use release_policy::change::ChangeType;
use release_policy::directory::{Directory, DirectoryState};
use release_policy::emergency::{
    Blocked, BreakGlass, Bypass, Capability, Duty, GlassAnswer, GlassError, GlassFact, GlassFacts,
    GlassRequest, Obligation, ObligationError, ObligationFact, Obligations, Refusal, Review,
    Reviewless, Word, blocked, owed, usable,
};

use crate::support::{NOW, at, directory, grant, id, lend, person, role, scope};

fn team() -> Directory {
    let mut root = person("ann.root", &["commander"]);
    root.linked.insert(id("ann"));
    directory(
        [
            person("ann", &["on-call", "commander", "auditor"]),
            root,
            person("bob", &["commander", "auditor"]),
            person("cat", &["auditor"]),
            person("dan", &[]),
            Identity::service(id("bot")).with(grant("commander")).with(grant("auditor")),
        ],
        [lend("ann", "dan", "commander")],
    )
}

fn policy() -> BreakGlass {
    let capability = Capability {
        lifts: [Bypass::Windows, Bypass::Approvals].into(),
        requester: role("on-call"),
        confirmer: role("commander"),
        at_most: Span::secs(600),
        review_within: Span::secs(3_600),
        reviewer: role("auditor"),
    };
    let capabilities = [("hotfix".to_owned(), capability)].into();
    BreakGlass { capabilities, directory_max_age: Span::secs(10_000) }
}

fn word(team: &Directory, seq: u64, by: &str, second: i64) -> Word {
    let roles = team.roles(&id(by), &scope(), at(second));
    Word { seq, by: id(by), linked: BTreeSet::new(), roles, at: at(second) }
}

fn request(team: &Directory, by: &str) -> GlassRequest {
    GlassRequest {
        word: word(team, 1, by, NOW),
        capability: "hotfix".into(),
        run: "r".parse().unwrap(),
        plan: crate::support::subject(1).plan,
        scope: scope(),
        reason: "the shop is down".into(),
        incident: "INC-7".into(),
    }
}

fn broken(team: &Directory, by: &str, confirmers: &[&str]) -> GlassFacts {
    let confirmed = (2_u64..)
        .zip(confirmers)
        .map(|(seq, who)| GlassFact::Confirmed { word: word(team, seq, who, NOW + 1), of: 1 });
    let requested = GlassFact::Requested(request(team, by));
    GlassFacts::fold(std::iter::once(requested).chain(confirmed)).unwrap()
}

fn ask(facts: &GlassFacts, team: &Directory, second: i64) -> GlassAnswer {
    usable(&policy(), facts, 1, &scope(), DirectoryState::Snapshot(team), at(second))
}

#[track_caller]
fn refused(answer: GlassAnswer) -> Refusal {
    match answer {
        GlassAnswer::Refused { because } => because,
        usable @ GlassAnswer::Usable { .. } => panic!("it is usable: {usable:?}"),
    }
}

#[test]
fn glass_is_broken_by_two_people_for_a_short_time() {
    let team = team();
    let usable = |second| ask(&broken(&team, "ann", &["bob"]), &team, second);
    let want = GlassAnswer::Usable {
        lifts: [Bypass::Windows, Bypass::Approvals].into(),
        until: at(NOW + 600),
        confirmed_by: id("bob"),
    };
    assert_eq!(usable(NOW + 1), want);
    assert_eq!(usable(NOW + 599), want);
    let time = Refusal::Time { from: at(NOW), until: at(NOW + 600) };
    assert_eq!(refused(usable(NOW + 600)), time);
    assert_eq!(refused(usable(NOW - 1)), time);

    let alone = Refusal::NotConfirmed { role: role("commander") };
    assert_eq!(refused(usable(NOW)), alone, "bob confirms a second later");
    // Nobody, oneself, one's other account, a machine, whoever speaks with one's own lent role, and
    // somebody without the role.
    for confirmers in [&[][..], &["ann"], &["ann.root"], &["bot"], &["dan"], &["cat"]] {
        let answer = ask(&broken(&team, "ann", confirmers), &team, NOW + 2);
        assert_eq!(refused(answer), alone, "{confirmers:?}");
    }
    for requester in ["bob", "bot"] {
        let answer = ask(&broken(&team, requester, &["bob"]), &team, NOW + 2);
        assert_eq!(refused(answer), Refusal::Requester { role: role("on-call") });
    }
    // The directory of now decides.
    let without = directory([person("ann", &["on-call"]), person("bob", &[])], []);
    assert_eq!(refused(ask(&broken(&team, "ann", &["bob"]), &without, NOW + 2)), alone);
    let elsewhere = ChangeScope::new("production".parse().unwrap());
    let facts = broken(&team, "ann", &["bob"]);
    let known = DirectoryState::Snapshot(&team);
    let answer =
        release_policy::emergency::usable(&policy(), &facts, 1, &elsewhere, known, at(NOW));
    assert_eq!(refused(answer), Refusal::Elsewhere);
    let down = DirectoryState::Down { since: at(1) };
    let answer = release_policy::emergency::usable(&policy(), &facts, 1, &scope(), down, at(NOW));
    assert!(matches!(refused(answer), Refusal::Directory { .. }));
}

#[test]
fn glass_needs_a_reason_and_an_incident_and_breaks_once() {
    let team = team();
    let fold = |change: &dyn Fn(&mut GlassRequest)| {
        let mut request = request(&team, "ann");
        change(&mut request);
        GlassFacts::fold([GlassFact::Requested(request)]).map(|_| ())
    };
    assert_eq!(fold(&|request| request.reason = " ".into()), Err(GlassError::NoReason { seq: 1 }));
    let no_incident = Err(GlassError::NoIncident { seq: 1 });
    assert_eq!(fold(&|request| request.incident.clear()), no_incident);
    let mut facts = broken(&team, "ann", &["bob"]);
    let used = |seq, of| GlassFact::Used { word: word(&team, seq, "ann", NOW + 5), of };
    assert_eq!(facts.apply(used(9, 8)), Err(GlassError::Unknown { of: 8 }));
    facts.apply(used(9, 1)).unwrap();
    assert_eq!(refused(ask(&facts, &team, NOW + 6)), Refusal::Used { at: at(NOW + 5) });
    let again = GlassError::AlreadyUsed { of: 1, at: at(NOW + 5) };
    assert_eq!(facts.apply(used(10, 1)), Err(again));
    assert_eq!(facts.apply(used(9, 1)), Err(GlassError::Order { seq: 9, last: 9 }));
}

#[test]
fn there_is_no_word_for_lifting_audit_identity_or_verification() {
    for word in ["audit", "identity", "artifact_verification", "verification", "all", "*"] {
        let text = format!("[\"{word}\"]");
        assert!(serde_json::from_str::<BTreeSet<Bypass>>(&text).is_err(), "{word}");
    }
    assert!(serde_json::from_str::<BTreeSet<Bypass>>("[\"windows\"]").is_ok());
}

fn obligation(team: &Directory) -> Obligation {
    let mut facts = broken(team, "ann", &["bob"]);
    assert_eq!(owed(&policy(), &facts, 1, 20), None);
    let word = word(team, 9, "ann", NOW + 5);
    facts.apply(GlassFact::Used { word, of: 1 }).unwrap();
    owed(&policy(), &facts, 1, 20).unwrap()
}

fn review(team: &Directory, seq: u64, by: &str, second: i64) -> ObligationFact {
    let (word, finding) = (word(team, seq, by, second), "it was needed".to_owned());
    ObligationFact::Reviewed(Review { word, of: 20, finding })
}

fn is_blocked(facts: &Obligations, team: &Directory, kind: ChangeType, second: i64) -> Blocked {
    let (known, age) = (DirectoryState::Snapshot(team), Span::secs(100_000));
    blocked(facts, kind, &scope(), known, age, at(second))
}

#[test]
fn what_is_overdue_blocks_releases_there_until_somebody_else_reviews_it() {
    let team = team();
    let owed = obligation(&team);
    let due = NOW + 5 + 3_600;
    assert_eq!((owed.duty, owed.due), (Duty::BreakGlassReviewed, at(due)));
    assert_eq!(owed.involved, [id("ann"), id("bob")].into());
    let mut facts = Obligations::fold([ObligationFact::Opened(owed)]).unwrap();
    let ask = |facts: &Obligations, kind, second| is_blocked(facts, &team, kind, second);
    let free = |until: Option<i64>| Blocked::Free { until: until.map(at) };
    assert_eq!(ask(&facts, ChangeType::Normal, due - 1), free(Some(due)));
    for kind in [ChangeType::Normal, ChangeType::Standard] {
        let Decision::Deny { reasons, .. } = ask(&facts, kind, due).decision() else {
            panic!("a {kind} change must be blocked")
        };
        assert_eq!(reasons[0].rule, "obligation/overdue");
    }
    assert_eq!(ask(&facts, ChangeType::Emergency, due), free(None));
    let (known, age) = (DirectoryState::Snapshot(&team), Span::secs(100_000));
    let web = ChangeScope::new("production".parse().unwrap()).of_service("web".parse().unwrap());
    let other = blocked(&facts, ChangeType::Normal, &web, known, age, at(due));
    assert_eq!(other, free(None));
    // Not by who was involved, under whatever account, nor by a machine, without the role, or before.
    for (seq, by, second) in [
        (21, "bob", NOW + 10),
        (22, "ann.root", NOW + 10),
        (23, "bot", NOW + 10),
        (24, "dan", NOW + 10),
        (25, "cat", NOW),
    ] {
        facts.apply(review(&team, seq, by, second)).unwrap();
    }
    let Blocked::Overdue { all } = ask(&facts, ChangeType::Normal, due) else {
        panic!("it must be blocked")
    };
    let why: Vec<_> = all[0].not_counted.iter().map(|(_, why)| *why).collect();
    let (involved, nobody) = (Reviewless::Involved, Reviewless::Nobody);
    assert_eq!(why, [involved, involved, nobody, Reviewless::NoRole, Reviewless::Time]);
    facts.apply(review(&team, 26, "cat", due)).unwrap();
    assert_eq!(ask(&facts, ChangeType::Normal, due), free(None));
    // Without a directory nobody knows who cat is.
    let down = DirectoryState::Down { since: at(1) };
    let denied = blocked(&facts, ChangeType::Normal, &scope(), down, age, at(due));
    assert!(matches!(denied.decision(), Decision::Deny { .. }));
}

#[test]
fn obligations_that_bind_nobody_are_refused_by_name() {
    let team = team();
    let fold = |change: &dyn Fn(&mut Obligation)| {
        let mut owed = obligation(&team);
        change(&mut owed);
        Obligations::fold([ObligationFact::Opened(owed)]).map(|_| ())
    };
    assert_eq!(fold(&|_| ()), Ok(()));
    let due = ObligationError::Due { seq: 20, due: at(NOW + 5) };
    assert_eq!(fold(&|owed| owed.due = owed.opened_at), Err(due));
    let nobody = ObligationError::NobodyInvolved { seq: 20 };
    assert_eq!(fold(&|owed| owed.involved.clear()), Err(nobody));
    let mut facts = Obligations::fold([ObligationFact::Opened(obligation(&team))]).unwrap();
    let word = word(&team, 21, "cat", NOW + 10);
    let empty = Review { word, of: 20, finding: "  ".into() };
    let unknown = Review { of: 19, ..empty.clone() };
    let apply = |facts: &mut Obligations, review| facts.apply(ObligationFact::Reviewed(review));
    assert_eq!(apply(&mut facts, empty), Err(ObligationError::NoFinding { seq: 21 }));
    assert_eq!(apply(&mut facts, unknown), Err(ObligationError::Unknown { of: 19 }));
}
