//! Directories, rights and rules that change under way.

use super::*;

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

/// What comes with rights is the directory of the day, if none is newer, and judges all that a directory judges.
#[test]
fn a_directory_that_comes_with_rights_is_the_books_own() {
    let dev = |second| directory(second, [Identity::human(id("req")).with(grant("dev"))]);
    let head = |of: Directory| set(&[anything()]).rights(rights(rbac::Action::Deploy, of));
    let book = PolicyBook::new(head(dev(80)));
    assert!(ask_of(&book, &deploy("production"), 100).is_permit());
    let error = book.publish_directory(directory(70, [])).unwrap_err();
    assert_eq!((error.version, error.known), (70, 80), "what came with rights sets the bound");
    book.publish_directory(directory(85, [])).unwrap();
    assert!(ask_of(&book, &deploy("production"), 100).is_deny());
    book.publish(head(dev(90)));
    assert!(ask_of(&book, &deploy("production"), 100).is_permit(), "newer than what was known");
    book.publish(head(dev(60)).define("other", quorum(&["sre"])));
    assert!(ask_of(&book, &deploy("production"), 100).is_permit(), "older: that of 90 stays");
    book.lose_directory(at(95));
    book.publish(head(dev(90)));
    assert!(ask_of(&book, &deploy("production"), 100).is_deny(), "it is still out of reach");
}

/// A source whose clock was wrong once does not shut out what is true.
#[test]
fn a_directory_of_the_future_gives_way_to_the_next_version_and_to_itself() {
    let of = |version, second, role: &str| {
        let req = Identity::human(id("req")).with(grant(role));
        Directory::new(version, at(second), [req], []).unwrap()
    };
    let rules = set(&[anything()]).rights(rights(rbac::Action::Deploy, of(1, 90, "dev")));
    let book = PolicyBook::new(rules);
    book.publish_directory(of(2, 9_000, "dev")).unwrap();
    assert!(ask_of(&book, &deploy("production"), 100).is_deny(), "it has not been taken yet");
    assert!(book.publish_directory(of(2, 95, "ops")).is_err(), "one version, two contents");
    book.publish_directory(of(2, 95, "dev")).unwrap();
    assert!(ask_of(&book, &deploy("production"), 100).is_permit(), "the same, with a right clock");
    book.publish_directory(of(2, 9_000, "dev")).unwrap();
    book.publish_directory(of(3, 96, "ops")).unwrap();
    assert!(ask_of(&book, &deploy("production"), 100).is_deny());
}

/// A run that pins nothing goes by the rules of the day, and so do approvals for it.
#[test]
fn approvals_under_other_rules_allow_nothing_to_a_run_that_pins_none() {
    let rules = set(&[needs_case()]).define("any", quorum(&["sre"]));
    let plan = plan([deploy("production")]);
    for (policy, permits) in [(rules.digest(), true), (Digest::of(b"others"), false)] {
        let about = Subject { plan: plan.digest(), policy, ..subject() };
        let question = Question { subject: about, ..question("production") };
        let case = ApprovalCase { question, facts: approvals(&["ann"], about) };
        let facts = Facts::new().case("any", case);
        let book = PolicyBook::new(rules.clone()).with_facts(id("r"), facts);
        book.publish_directory(people(50, &TEAM)).unwrap();
        let mut state = run(&plan, None);
        assert_eq!(starts(&happens(&mut state, None, 100, &book)) == 1, permits);
    }
}

/// Nobody is told to wait for a role that will not help then.
#[test]
fn only_a_right_that_will_allow_it_is_waited_for() {
    let later = |environment: &str| {
        let mut grant = grant("dev");
        (grant.from, grant.reach.environment) = (at(500), Some(id(environment)));
        directory(90, [Identity::human(id("req")).with(grant)])
    };
    let ask = |action, environment| {
        ask_of(&rights(action, later(environment)), &deploy("production"), 100)
    };
    let decision = ask(rbac::Action::Deploy, "production");
    assert!(matches!(decision, Decision::Wait { until, .. } if until == Some(at(500))));
    assert!(ask(rbac::Action::Deploy, "qa").is_deny(), "it never reaches here");
    assert!(ask(rbac::Action::Approve, "production").is_deny(), "it never allows this");
}
