//! What a fresh reader broke: each of these fails.

use release_core::explain::{Assumptions, what_if};
use release_core::port::PermitAll;
use release_core::run::Outcome;
use release_policy::window::{Scope, Waiver, WaiverSpec, WindowRules};

use super::gates::{approve, before_the_gate, entered};
use super::*;

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

/// The gate of a stage is passed before a step without an effect. A freeze then holds the effects behind it, and
/// meanwhile the approver goes.
#[test]
fn a_gate_of_a_stage_is_no_latch_for_the_effects_behind_it() {
    let book = PolicyBook::new(set(&[anything()]).windows(frozen(205, 5_000, Vec::new())));
    book.publish_directory(people(50, &TEAM)).unwrap();
    let mut state = before_the_gate();
    happens(&mut state, Some(&approve("ann")), 100, &book);
    let events = happens(&mut state, None, 210, &book);
    assert!(entered(&events).is_some(), "{events:?}");
    assert_eq!(starts(&events), 0, "the freeze holds what comes behind");
    // Nobody approves any more: ann is of operations, an hour before the freeze ends.
    book.publish_directory(people(4_990, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    let events = happens(&mut state, None, 5_001, &book);
    assert_eq!(starts(&events), 0, "nobody who approved may approve any more: {events:?}");
}

/// A gate that asks for no role leaves it to the rights who may approve.
#[test]
fn who_lost_the_right_to_approve_counts_no_more_at_a_gate_without_roles() {
    let who = |ann: &str| {
        directory(
            if ann == "dev" { 50 } else { 190 },
            [Identity::human(id("req")), Identity::human(id("ann")).with(grant(ann))],
        )
    };
    let by_rights = rights(rbac::Action::Approve, who("dev")).commands_only();
    let book = PolicyBook::new(set(&[anything()]).rights(by_rights));
    let mut state = run(&gated_by(go(&[])), None);
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.publish_directory(who("ops")).unwrap();
    let denied = happens(&mut state.clone(), Some(&approve("ann")), 195, &book);
    assert!(denied.iter().any(|event| matches!(event, Event::CommandDenied { .. })), "{denied:?}");
    let events = happens(&mut state, None, 210, &book);
    assert_eq!(starts(&events), 0, "ann may not approve any more: {events:?}");
}

/// Whoever lent the requester the right to ask is a party, also once the loan is over.
#[test]
fn who_lent_the_right_to_ask_does_not_count_once_the_loan_is_over() {
    let lent = Delegation {
        from: id("ann"),
        to: id("req"),
        role: id("sre"),
        starts: at(0),
        ends: at(150),
        reason: "ask for it in my name".into(),
    };
    let all = [Identity::human(id("ann")).with(grant("sre")), Identity::human(id("req"))];
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(Directory::new(1, at(50), all, [lent]).unwrap()).unwrap();
    let mut state = run(&gated_by(go(&["sre"])), None);
    happens(&mut state, Some(&approve("ann")), 100, &book);
    let events = happens(&mut state, None, 210, &book);
    assert_eq!(starts(&events), 0, "it was asked for with her right: {events:?}");
}

/// Nobody can tell who a requester is whom the directory does not know any more.
#[test]
fn a_requester_who_drops_the_account_they_asked_with_approves_by_no_other() {
    let mut other = Identity::human(id("req-2")).with(grant("sre"));
    let alone = directory(190, [other.clone()]);
    other.linked.insert(id("req"));
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(directory(50, [Identity::human(id("req")), other])).unwrap();
    let mut state = run(&gated_by(go(&["sre"])), None);
    happens(&mut state, Some(&approve("req-2")), 100, &book);
    book.publish_directory(alone).unwrap();
    let events = happens(&mut state, None, 210, &book);
    assert_eq!(starts(&events), 0, "{events:?}");
}

/// Two loans of one person are one right, whatever roles they are of.
#[test]
fn two_roles_that_one_person_lent_are_one_voice_at_a_gate() {
    let lend = |to: &str, role: &str| Delegation {
        from: id("ann"),
        to: id(to),
        role: id(role),
        starts: at(0),
        ends: at(1_000),
        reason: "holidays".into(),
    };
    let ann = Identity::human(id("ann")).with(grant("sre")).with(grant("security"));
    let all = [ann, Identity::human(id("dan")), Identity::human(id("eve"))];
    let lent = [lend("dan", "sre"), lend("eve", "security")];
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(Directory::new(1, at(50), all, lent).unwrap()).unwrap();
    let gate = model::Approval { quorum: 2, ..go(&["sre", "security"]) };
    let mut state = run(&gated_by(gate), None);
    for by in ["dan", "eve"] {
        let who = Principal::human(id(by)).with_role(id("sre"));
        let command = Command::Approve { gate: id("production/go") };
        let said = Input::Directive(Directive::new(command, who, "yes"));
        happens(&mut state, Some(&said), 100, &book);
    }
    let events = happens(&mut state, None, 210, &book);
    assert_eq!(starts(&events), 0, "both speak for ann alone: {events:?}");
}

/// What is said of gates goes by the rules (how old a directory may be), and says so.
#[test]
fn what_is_said_of_gates_names_the_rules_and_the_directory_that_it_is_made_from() {
    let known = || people(50, &TEAM);
    let ask = |age: u64, second: i64| {
        let role = Role::new(id("dev")).may([rbac::Action::Deploy]);
        let access = Access::new(Rules::new([role], []).unwrap(), known(), Span::secs(age));
        let book = PolicyBook::new(set(&[anything()]).rights(Rbac::new(access)));
        let mut state = run(&gated_by(go(&["sre"])), None);
        happens(&mut state, Some(&approve("ann")), 100, &PermitAll);
        let step = state.plan().get(0).unwrap().clone();
        let mut request = Admission::new(state.run(), state.requester(), &step, at(second));
        request.at = Some((&state, 0));
        book.opens(&request)
    };
    let (long, short) = (ask(300, 210), ask(100, 210));
    assert_ne!(long.is_permit(), short.is_permit(), "the rules decide how old is too old");
    assert!(short.inputs().is_some(), "made from nothing? {short:?}");
    assert_ne!(long.inputs(), short.inputs(), "two answers, one and the same inputs: {long:?}");
    assert!(long.inputs().is_some_and(|inputs| inputs.policy.is_some()), "{long:?}");
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
        let who =
            if of == "bot" { Principal::service(id(of)) } else { Principal::human(id(of)) };
        book.admit(&Admission::new(&id("r"), &who, &deploy("production"), at(100))).is_permit()
    };
    assert!(ask("bot", "ann") && ask("req", "ann"), "somebody else may");
    assert!(!ask("req", "bot"), "by their own machine");
    assert!(!ask("bot", "req"), "for their own machine");
}

/// Rules are for everywhere: so are those who agree to them.
#[test]
fn who_may_agree_in_qa_changes_no_rules_for_production() {
    let old = set(&[Rule::deny("never", Condition::Always, "sre")]).guarded_by(quorum(&["sre"]));
    let new = set(&[anything()]).guarded_by(quorum(&["sre"]));
    let book = PolicyBook::new(old);
    let mut in_qa = grant("sre");
    in_qa.reach.environment = Some(id("qa"));
    book.publish_directory(directory(50, [Identity::human(id("ann")).with(in_qa)])).unwrap();
    let about = book.change_to(&new);
    let of = |scope| Question { subject: about, scope, ..question("qa") };
    let case = |scope| ApprovalCase { question: of(scope), facts: approvals(&["ann"], about) };
    let wide = book.publish_approved(new.clone(), &case(ChangeScope::everywhere()), at(100));
    assert!(wide.is_err(), "ann may not agree everywhere");
    let narrow = book.publish_approved(new, &case(ChangeScope::new(id("qa"))), at(100));
    assert!(narrow.is_err(), "and yet her word sets the rules for production: {narrow:?}");
    assert!(!ask_of(&book, &deploy("production"), 100).is_permit());
}

/// Who agrees to other rules agrees to no other directory.
#[test]
fn rules_that_were_approved_bring_no_directory_that_nobody_approved() {
    let known = |second: i64, req: &str| {
        directory(
            second,
            [Identity::human(id("ann")).with(grant("sre")), Identity::human(id("req")).with(grant(req))],
        )
    };
    let with = |of: Directory, why: &str| {
        let rights = rights(rbac::Action::Deploy, of);
        set(&[anything().because(why)]).guarded_by(quorum(&["sre"])).rights(rights)
    };
    let book = PolicyBook::new(with(known(50, "ops"), "old"));
    let reviewed = with(known(50, "ops"), "new");
    let about = book.change_to(&reviewed);
    let question =
        Question { subject: about, scope: ChangeScope::everywhere(), ..question("production") };
    let case = ApprovalCase { question, facts: approvals(&["ann"], about) };
    // The same rules to the digest, with a directory in which req is a dev.
    let forged = with(known(99, "dev"), "new");
    let _ = book.publish_approved(forged, &case, at(100));
    assert!(
        !ask_of(&book, &deploy("production"), 100).is_permit(),
        "req has given themselves a role, with an approval of something else"
    );
}

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

/// A directory that was lost stays lost until one comes that was read afterwards.
#[test]
fn a_directory_that_is_out_of_reach_does_not_come_back_with_older_rights() {
    let dev = || directory(50, [Identity::human(id("req")).with(grant("dev"))]);
    let book = PolicyBook::new(set(&[anything()]));
    book.lose_directory(at(95));
    book.publish(set(&[anything()]).rights(rights(rbac::Action::Deploy, dev())));
    let decision = ask_of(&book, &deploy("production"), 100);
    assert!(decision.is_deny(), "it is still out of reach: {decision:?}");
}

/// A forecast that takes approvals for granted takes it for granted that they count.
#[test]
fn a_forecast_with_approvals_comes_to_an_end_under_a_policy_that_knows_people() {
    let course = |policy: &dyn Policy| {
        let requester = Principal::human(id("req"));
        let assumptions = Assumptions::new(id("r"), requester, at(100))
            .approvals_take(Span::secs(10))
            .horizon(Span::secs(200));
        what_if(&gated_by(go(&["sre"])), &assumptions, policy).unwrap()
    };
    assert_eq!(course(&PermitAll).outcome, Some(Outcome::Succeeded));
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(people(90, &TEAM)).unwrap();
    let known = course(&book);
    assert_eq!(known.outcome, Some(Outcome::Succeeded), "{:?}", known.waiting);
}

/// A run that only another approval moves on waits for a person.
#[test]
fn a_run_whose_approvals_count_no_more_waits_for_a_person() {
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(people(50, &TEAM)).unwrap();
    let mut state = run(&gated_by(go(&["sre"])), None);
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.publish_directory(people(190, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    happens(&mut state, None, 210, &book);
    let awaiting = state.awaiting();
    assert!(state.needs_a_person(), "only an approval by sre can lift it: {awaiting:?}");
}
