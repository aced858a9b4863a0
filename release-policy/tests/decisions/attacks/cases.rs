//! Cases that say something of another place, run or time.

use super::*;

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
    for (lifts, permits) in [(&[Bypass::Windows][..], true), (&[Bypass::Board][..], false)] {
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

#[test]
fn a_case_of_another_kind_decides_nothing_for_whom_the_rules_name() {
    let board = Board::new(id("chair"), [id("security")], 1).unwrap();
    let set = set(&[needs_case()]).define("any", board);
    let none = ReviewsCase {
        obligations: Obligations::default(),
        kind: ChangeType::Normal,
        directory_max_age: Span::secs(300),
    };
    let book = PolicyBook::new(set).with_facts(id("r"), Facts::new().case("any", none));
    book.publish_directory(people(50, &TEAM)).unwrap();
    let denied = ask_of(&book, &deploy("production"), 100);
    assert!(denied.is_deny() && denied.reasons()[0].rule == "case/undefined", "{denied:?}");
}

#[test]
fn who_may_review_elsewhere_reviews_nothing_here() {
    let mut elsewhere = grant("auditor");
    elsewhere.reach.environment = Some(id("qa"));
    let said = Review { word: word(2, "eve", 80), of: 1, finding: "fine".into() };
    let book = book(reviews("production", "ann", Some(said)));
    let eve = |grant| directory(60, [Identity::human(id("eve")).with(grant)]);
    book.publish_directory(eve(elsewhere)).unwrap();
    assert!(ask_of(&book, &deploy("production"), 100).is_deny());
    let mut there = grant("auditor");
    there.reach.environment = Some(id("production"));
    book.publish_directory(directory(70, [Identity::human(id("eve")).with(there)])).unwrap();
    assert!(ask_of(&book, &deploy("production"), 100).is_permit());
}

#[test]
fn glass_that_is_taken_away_lifts_no_window_of_the_day() {
    let when = When::Between { from: at(50), until: at(5_000) };
    let freeze = WindowSpec::freeze(id("frozen"), when, id("sre"), "sale").build().unwrap();
    let windows = Windows::new([freeze]).unwrap();
    let with = |lifts: &[Bypass]| {
        set(&[needs_case()]).define("any", glasses(lifts)).windows(windows.clone())
    };
    let plan = plan([deploy("production")]);
    let started = |today: PolicySet| {
        let first = with(&[Bypass::Windows]);
        let facts = Facts::new().case("any", glass("r", plan.digest(), "production"));
        let mut state = run(&plan, Some(first.digest()));
        let book = PolicyBook::new(first).with_head(today).with_facts(id("r"), facts);
        book.publish_directory(people(50, &TEAM)).unwrap();
        starts(&happens(&mut state, None, 100, &book))
    };
    assert_eq!(started(with(&[Bypass::Windows])), 1);
    assert_eq!(started(with(&[Bypass::Board])), 0);
}

#[test]
fn a_request_of_somebody_who_may_not_takes_nothing_from_one_that_was_confirmed() {
    let plan = plan([deploy("production")]);
    let mut case = glass("r", plan.digest(), "production");
    let ask = |case: &GlassCase| {
        let mut state = run(&plan, None);
        starts(&happens(&mut state, None, 100, &book(case.clone())))
    };
    assert_eq!(ask(&case), 1);
    let again = GlassFact::Requested(GlassRequest {
        word: word(3, "dan", 90),
        capability: "hotfix".into(),
        run: id("r"),
        plan: plan.digest(),
        scope: ChangeScope::new(id("production")),
        reason: "me too".into(),
        incident: "INC-8".into(),
    });
    let fold = |facts: Vec<GlassFact>| GlassFacts::fold(facts).unwrap();
    let GlassCase { facts } = &mut case;
    facts.apply(again.clone()).unwrap();
    assert_eq!(ask(&case), 1, "dan, who may not, asked after bob had confirmed ann's");
    assert_eq!(ask(&GlassCase { facts: fold(vec![again]) }), 0, "dan alone opens nothing");
}

/// Glass gives leave from what it names, by a leave of its own, and from nothing else.
#[test]
fn broken_glass_lifts_the_needs_that_it_names_and_no_others() {
    let plan = plan([deploy("production")]);
    let needed: [(Bypass, Definition); 2] = [
        (Bypass::Approvals, quorum(&["sre", "security"]).into()),
        (Bypass::Board, Board::new(id("chair"), [id("security")], 1).unwrap().into()),
    ];
    let ask = |by: &Definition, lifts: Bypass, of: Digest| {
        let need = Need::Case { name: "people".into() };
        let rule = Rule::allow("only", Condition::Always, "platform").needs(need);
        let set = set(&[rule]).define("people", by.clone()).define("any", glasses(&[lifts]));
        let facts = Facts::new().case("any", glass("r", of, "production"));
        let mut state = run(&plan, Some(set.digest()));
        let book = PolicyBook::new(set).with_facts(id("r"), facts);
        book.publish_directory(people(50, &TEAM)).unwrap();
        happens(&mut state, None, 100, &book)
    };
    for (kind, by) in &needed {
        for lifts in [Bypass::Windows, Bypass::Approvals, Bypass::Board] {
            let events = ask(by, lifts, plan.digest());
            assert_eq!(starts(&events) == 1, lifts == *kind, "{kind:?} by {lifts:?}: {events:?}");
            let other = ask(by, lifts, subject().plan);
            assert_eq!(starts(&other), 0, "broken for another plan");
            if lifts == *kind {
                let told = format!("{events:?}");
                assert!(told.contains("break_glass/hotfix/"), "by whose leave? {told}");
            }
        }
    }
}
