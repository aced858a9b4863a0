//! What is waited for in vain, and ways round windows and places.

use release_core::explain::explain;
use release_policy::window::{Scope, WaiverSpec};

use super::gates::approve;
use super::*;

/// Nobody is told to wait for a loan that will never hold, or that will not count then.
#[test]
fn no_wait_names_an_instant_at_which_a_loan_does_not_help() {
    let lend = |starts, ends| Delegation {
        from: id("ann"),
        to: id("req"),
        role: id("dev"),
        starts: at(starts),
        ends: at(ends),
        reason: "holidays".into(),
    };
    let (mut first, mut second) = (grant("dev"), grant("dev"));
    (first.until, second.from) = (Some(at(80)), at(500));
    let ann = Identity::human(id("ann")).with(first).with(second);
    let all = [ann, Identity::human(id("req"))];
    let known = Directory::new(1, at(90), all, [lend(10, 300)]).unwrap();
    let decision = ask_of(&rights(rbac::Action::Deploy, known), &deploy("production"), 100);
    let Decision::Wait { until: Some(until), .. } = &decision else { return };
    panic!("until {until}, when the loan is over since 300: {decision:?}");
}

/// The same where what was lent is the lender's own request.
#[test]
fn no_wait_names_an_instant_at_which_the_lender_has_asked_themselves() {
    let lent = Delegation {
        from: id("req"),
        to: id("dan"),
        role: id("dev"),
        starts: at(500),
        ends: at(900),
        reason: "approve it for me".into(),
    };
    let all = [Identity::human(id("req")).with(grant("dev")), Identity::human(id("dan"))];
    let known = |second| Directory::new(1, at(second), all.clone(), [lent.clone()]).unwrap();
    let ask = |second: i64| {
        let rights = rights(rbac::Action::Approve, known(second - 10));
        let (req, dan) = (Principal::human(id("req")), Principal::human(id("dan")));
        let command = Command::Approve { gate: id("production/go") };
        let run = id("r");
        rights.authorize(&CommandRequest::new(&run, &req, &dan, &command, at(second)))
    };
    assert!(ask(500).is_deny(), "what the requester lent counts for nothing in their own change");
    let decision = ask(100);
    assert!(decision.is_deny(), "and yet it is waited for: {decision:?}");
}

/// Time alone lifts nothing that waits for people, and who breaks glass does not wait for the freeze to end.
#[test]
fn no_wait_names_an_instant_while_only_people_can_lift_it() {
    let set = set(&[needs_case()]).define("any", glasses(&[Bypass::Windows])).windows(frozen(
        50,
        5_000,
        Vec::new(),
    ));
    let plan = plan([deploy("production")]);
    let book = PolicyBook::new(set);
    book.publish_directory(people(50, &TEAM)).unwrap();
    let none = GlassCase { facts: GlassFacts::default() };
    book.know(id("r"), Facts::new().case("any", none));
    let mut state = run(&plan, None);
    happens(&mut state, None, 100, &book);
    let told = explain(&state, 0, at(100), &book).unwrap();
    let (asked, text) = (state.asks_policy(), told.to_string());
    // Somebody breaks the glass: it starts at once when the policy is asked again.
    book.know(id("r"), Facts::new().case("any", glass("r", plan.digest(), "production")));
    let started = starts(&happens(&mut state.clone(), Some(&Input::Reconsider), 110, &book));
    assert_eq!(started, 1, "long before the freeze ends");
    let found = (text.contains("by time alone"), asked, state.next_wakeup());
    assert_eq!(found, (false, true, None), "told: {text}");
}

/// What a confirmation would lift stays so, whoever else asks.
#[test]
fn a_request_of_somebody_who_may_not_hides_no_request_that_lacks_a_confirmation() {
    let ask = |other: bool| {
        let request = |seq, by: &str, second| {
            GlassFact::Requested(GlassRequest {
                word: word(seq, by, second),
                capability: "hotfix".into(),
                run: id("r"),
                plan: subject().plan,
                scope: ChangeScope::new(id("production")),
                reason: "the shop is down".into(),
                incident: "INC-7".into(),
            })
        };
        let all = std::iter::once(request(1, "ann", 60));
        let facts = GlassFacts::fold(all.chain(other.then(|| request(2, "dan", 70)))).unwrap();
        ask_of(&book(GlassCase { facts }), &deploy("production"), 100)
    };
    let alone = ask(false);
    assert!(format!("{alone:?}").contains("security"), "who can confirm it: {alone:?}");
    let spammed = ask(true);
    assert!(
        format!("{spammed:?}").contains("security") && !spammed.is_deny(),
        "bob could still confirm what ann asked for: {spammed:?}"
    );
}

/// A freeze is waived by somebody else, and a machine that acts for somebody is nobody else.
#[test]
fn nobody_waives_a_freeze_for_their_own_machine_or_by_it() {
    let waiver = |of: &str, by: &str| WaiverSpec {
        id: id("hotfix"),
        window: id("frozen"),
        principals: [id(of)].into(),
        scope: Scope::default(),
        actions: [].into(),
        run: None,
        from: at(0),
        until: at(1_000),
        granted_by: id(by),
        reason: "INC-7".into(),
    };
    let mut bot = Identity::service(id("bot"));
    bot.acts_for.insert(id("req"));
    let known = directory(50, [Identity::human(id("req")), bot, Identity::human(id("ann"))]);
    let ask = |of: &str, by: &str| {
        let waivers = vec![Waiver::try_from(waiver(of, by)).unwrap()];
        let book = PolicyBook::new(set(&[anything()]).windows(frozen(50, 5_000, waivers)));
        book.publish_directory(known.clone()).unwrap();
        let who = if of == "bot" { Principal::service(id(of)) } else { Principal::human(id(of)) };
        book.admit(&Admission::new(&id("r"), &who, &deploy("production"), at(100))).is_permit()
    };
    assert!(ask("bot", "ann") && ask("req", "ann"), "somebody else may");
    let own = (ask("req", "bot"), ask("bot", "req"));
    assert_eq!(own, (false, false), "by their own machine, for their own machine");
}

/// Glass that lifts windows lifts them for who has to approve, too.
#[test]
fn glass_lifts_a_window_that_holds_approvals() {
    let when = When::Between { from: at(50), until: at(5_000) };
    let mut freeze = WindowSpec::freeze(id("frozen"), when, id("sre"), "sale");
    freeze.actions = [release_policy::window::ActionClass::Approve].into();
    let windows = Windows::new([freeze.build().unwrap()]).unwrap();
    let plan = gated_by(go(&["sre"]));
    let set = set(&[anything()]).define("any", glasses(&[Bypass::Windows])).windows(windows);
    let facts = Facts::new().case("any", glass("r", plan.digest(), "production"));
    let book = PolicyBook::new(set).with_facts(id("r"), facts);
    book.publish_directory(people(50, &TEAM)).unwrap();
    let mut state = run(&plan, None);
    let events = happens(&mut state, Some(&approve("ann")), 100, &book);
    assert!(events.iter().any(|event| matches!(event, Event::Approved { .. })), "{events:?}");
}

/// Whoever writes a plan and leaves out where a step acts, has not left the freeze or the rights.
#[test]
fn a_step_that_changes_something_and_does_not_say_where_is_no_way_round_a_freeze_or_rights() {
    let mut step = deploy("production");
    step.scope = StepScope::default();
    assert!(step.action.mutates());
    let nobody = || rights(rbac::Action::Deploy, directory(50, [Identity::human(id("req"))]));
    let frozen = set(&[anything()]).windows(frozen(50, 5_000, Vec::new()));
    let found = [frozen, set(&[anything()]).rights(nobody())].map(|rules| {
        let book = PolicyBook::new(rules);
        let mut state = run(&plan([step.clone()]), None);
        starts(&happens(&mut state, None, 100, &book))
    });
    assert_eq!(found, [0, 0], "a freeze of everything, and rights that nobody has");
}

/// An approval is about what its gate stands before: for rules as for windows, rights and Cedar.
#[test]
fn a_rule_for_one_environment_judges_the_approvals_of_that_one() {
    let place =
        |name: &str| Condition::In(Scope { environments: [id(name)].into(), ..Scope::default() });
    let approves = || Condition::Command(["approve".to_owned()].into());
    let both = |name: &str| Condition::All(vec![approves(), place(name)]);
    let mut step = deploy("qa");
    step.gates.push(Gate::Approval(model::Approval::new(id("qa/go"))));
    let state = run(&plan([step]), None);
    let ask = |rules: &[Rule]| {
        let (ann, approve) = (Principal::human(id("ann")), Command::Approve { gate: id("qa/go") });
        let mut asked =
            CommandRequest::new(state.run(), state.requester(), &ann, &approve, at(100));
        asked.state = Some(&state);
        set(rules).authorize(&asked).is_permit()
    };
    let frozen = Rule::deny("not-now", both("production"), "sre");
    let found = (ask(&[anything(), frozen]), ask(&[Rule::allow("qa", both("qa"), "sre")]));
    assert_eq!(found, (true, true), "what is denied in production, what is allowed in qa");
}
