//! What a fresh reader broke: each of these fails.

use release_core::explain::{Assumptions, Explanation, explain, what_if};
use release_core::journal::{History, Sealer};
use release_core::model::RunId;
use release_core::port::{Evidence, PermitAll};
use release_core::run::{EffectOutcome, Outcome};
use release_policy::decision::{Recorded, compare};
use release_policy::window::{Invokers, Scope, Waiver, WaiverSpec, WindowRules};

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
    let events = happens(&mut state, Some(&Input::Reconsider), 5_001, &book);
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
    let events = happens(&mut state, Some(&Input::Reconsider), 210, &book);
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
    let events = happens(&mut state, Some(&Input::Reconsider), 210, &book);
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
    let events = happens(&mut state, Some(&Input::Reconsider), 210, &book);
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
    let loans = [lend("dan", "sre"), lend("eve", "security")];
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(Directory::new(1, at(50), all, loans).unwrap()).unwrap();
    let gate = model::Approval { quorum: 2, ..go(&["sre", "security"]) };
    let mut state = run(&gated_by(gate), None);
    for by in ["dan", "eve"] {
        let who = Principal::human(id(by)).with_role(id("sre"));
        let command = Command::Approve { gate: id("production/go") };
        let said = Input::Directive(Directive::new(command, who, "yes"));
        happens(&mut state, Some(&said), 100, &book);
    }
    let events = happens(&mut state, Some(&Input::Reconsider), 210, &book);
    assert_eq!(starts(&events), 0, "both speak for ann alone: {events:?}");
}

/// What is said of gates goes by the rules (how old a directory may be), and says so.
#[test]
fn what_is_said_of_gates_names_the_rules_and_the_directory_that_it_is_made_from() {
    let known = || people(50, &TEAM);
    let ask = |age: u64, second: i64| {
        let role = Role::new(id("sre")).may([rbac::Action::Approve]);
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
        let who = if of == "bot" { Principal::service(id(of)) } else { Principal::human(id(of)) };
        book.admit(&Admission::new(&id("r"), &who, &deploy("production"), at(100))).is_permit()
    };
    assert!(ask("bot", "ann") && ask("req", "ann"), "somebody else may");
    let own = (ask("req", "bot"), ask("bot", "req"));
    assert_eq!(own, (false, false), "by their own machine, for their own machine");
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
            [
                Identity::human(id("ann")).with(grant("sre")),
                Identity::human(id("req")).with(grant(req)),
            ],
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

/// What is asked of gates and what is asked of the effect are one question at one instant: a directory that is
/// published in between makes neither of the two states permit it.
#[test]
fn no_step_starts_by_half_of_one_directory_and_half_of_another() {
    /// A host that publishes a directory while the engine asks.
    #[derive(Debug)]
    struct Between(PolicyBook, Directory);
    impl Policy for Between {
        fn admit(&self, request: &Admission<'_>) -> Decision {
            let decision = self.0.admit(request);
            self.0.publish_directory(self.1.clone()).unwrap();
            decision
        }
        fn opens(&self, request: &Admission<'_>) -> Decision {
            self.0.opens(request)
        }
        fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
            self.0.authorize(request)
        }
    }
    let known = |second: i64, req: &str, ann: &str| {
        let all = [("req", req), ("ann", ann)];
        directory(second, all.map(|(who, role)| Identity::human(id(who)).with(grant(role))))
    };
    // First req may deploy and ann is no sre; then ann is one, and req may not.
    let (first, then) = (|| known(50, "dev", "ops"), || known(60, "ops", "sre"));
    let book = || PolicyBook::new(set(&[anything()]).rights(rights(rbac::Action::Deploy, first())));
    let mut ready = run(&gated_by(go(&["sre"])), None);
    let only_admits = set(&[Rule::deny("wait", Condition::Always, "x")]);
    happens(&mut ready, None, 90, &only_admits);
    happens(&mut ready, Some(&approve("ann")), 100, &AuthorizeAll(only_admits));
    let starts_with = |policy: &dyn Policy| {
        starts(&happens(&mut ready.clone(), Some(&Input::Reconsider), 210, policy))
    };
    let later = book();
    later.publish_directory(then()).unwrap();
    assert_eq!((starts_with(&book()), starts_with(&later)), (0, 0), "neither permits it");
    assert_eq!(starts_with(&Between(book(), then())), 0, "half of each does");
}

/// Commands are nobody's business; all else as the set says.
#[derive(Debug)]
struct AuthorizeAll(PolicySet);

impl Policy for AuthorizeAll {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        self.0.admit(request)
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

fn history(name: &str, events: &[(i64, Event)]) -> History {
    let run: RunId = id(name);
    let mut sealer = Sealer::new(&run);
    let records: Vec<_> =
        events.iter().map(|(when, event)| sealer.seal(at(*when), event)).collect();
    History::verify(&run, &records).unwrap()
}

/// A run whose policy is the same before and after takes as long as it took.
#[test]
fn a_wait_for_people_at_the_gate_of_a_stage_is_counted_once() {
    let mut plan = Plan::builder(id("web"), id("rel"));
    let mut enter = Step::new(id("production/enter"), Action::Sync);
    enter.gates.push(Gate::Approval(go(&["sre"])));
    let (gate, effect) = (plan.step(enter), plan.step(deploy("production")));
    plan.edge(gate, effect, release_core::plan::EdgeKind::Order);
    let plan = plan.build().unwrap().freeze();
    // As the engine writes it: asked for at 100, approved at 160, and ten seconds of deployment.
    let mut state = run(&plan, None);
    let mut events = vec![(
        0,
        Event::RunCreated {
            plan: plan.digest(),
            definition: None,
            requester: Principal::human(id("req")),
            supersedes: None,
            policy: None,
        },
    )];
    let outcome = Input::Outcome {
        step: effect,
        attempt: 1,
        outcome: EffectOutcome::Performed(Ok(Evidence::Done)),
    };
    for (second, input) in [(0, None), (60, Some(approve("ann"))), (70, Some(outcome))] {
        let new = happens(&mut state, input.as_ref(), second, &PermitAll);
        events.extend(new.into_iter().map(|event| (second, event)));
    }
    assert!(matches!(events.last(), Some((70, Event::RunFinished { .. }))), "{events:?}");
    let history = history("r", &events);
    let journals = [Recorded { history: &history, plan: &plan }];
    let found = compare(&PermitAll, &PermitAll, &journals).unwrap();
    assert_eq!(found.before.median, Some(Span::secs(70)), "it took 70 seconds");
}

/// The rule that decides a change that is denied is one that denies, not one that would only wait.
#[test]
fn a_denied_change_names_the_rule_that_denies_it() {
    let plan = plan([deploy("production")]);
    let mut state = run(&plan, None);
    let created = Event::RunCreated {
        plan: plan.digest(),
        definition: None,
        requester: Principal::human(id("req")),
        supersedes: None,
        policy: None,
    };
    let mut events = vec![(0, created)];
    let new = happens(&mut state, None, 100, &PermitAll);
    events.extend(new.into_iter().map(|event| (100, event)));
    let history = history("r", &events);
    let journals = [Recorded { history: &history, plan: &plan }];
    let later = anything().needs(Need::NotBefore { at: at(900) });
    let denies = set(&[later, Rule::deny("never", Condition::Always, "sre")]);
    let found = compare(&PermitAll, &denies, &journals).unwrap();
    let blocked: Vec<_> = found.blocked.iter().map(|one| (&*one.rule, one.denied)).collect();
    assert_eq!(blocked, [("deny/never", true)]);
}

/// What a policy says of gates alone is a part of what it costs.
#[test]
fn a_policy_that_opens_a_gate_no_more_blocks_what_is_behind_it() {
    let plan = gated_by(go(&["sre"]));
    let mut state = run(&plan, None);
    let created = Event::RunCreated {
        plan: plan.digest(),
        definition: None,
        requester: Principal::human(id("req")),
        supersedes: None,
        policy: None,
    };
    let mut events = vec![(0, created)];
    for (second, input) in [(90, None), (100, Some(approve("ann"))), (210, None)] {
        let new = happens(&mut state, input.as_ref(), second, &PermitAll);
        events.extend(new.into_iter().map(|event| (second, event)));
    }
    assert_eq!(events.iter().filter(|(_, e)| matches!(e, Event::StepStarted { .. })).count(), 1);
    let strict = PolicyBook::new(set(&[anything()]));
    strict.publish_directory(people(50, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    assert_eq!(starts(&happens(&mut run(&plan, None), None, 210, &strict)), 0);
    let history = history("r", &events);
    let journals = [Recorded { history: &history, plan: &plan }];
    let open = PolicyBook::new(set(&[anything()]));
    open.publish_directory(people(50, &TEAM)).unwrap();
    let found = compare(&open, &strict, &journals).unwrap();
    assert_eq!(found.blocked.len(), 1, "ann is no sre: it would not have started: {found}");
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

/// Who has which role is the directory's to say, also where a rule asks for a role.
#[test]
fn a_rule_that_asks_for_a_role_goes_by_the_directory_of_the_day() {
    let roles = Invokers { roles: [id("sre")].into(), ..Invokers::default() };
    let book = PolicyBook::new(set(&[Rule::allow("sre", Condition::By(roles), "x")]));
    let req = Principal::human(id("req")).with_role(id("sre"));
    let ask = |book: &PolicyBook| {
        book.admit(&Admission::new(&id("r"), &req, &deploy("production"), at(100))).is_permit()
    };
    book.publish_directory(people(50, &[("req", "sre")])).unwrap();
    assert!(ask(&book));
    book.publish_directory(people(60, &[("req", "ops")])).unwrap();
    let lost = ask(&book);
    book.lose_directory(at(90));
    assert_eq!((lost, ask(&book)), (false, false), "req lost the role; nobody knows who has it");
}

/// A directory that is too old tells nobody who is who.
#[test]
fn a_waiver_is_none_while_the_directory_is_too_old_to_tell_who_granted_it() {
    let waiver = WaiverSpec {
        id: id("hotfix"),
        window: id("frozen"),
        principals: [id("req")].into(),
        scope: Scope::default(),
        actions: [].into(),
        run: None,
        from: at(0),
        until: at(9_000),
        granted_by: id("new"),
        reason: "INC-7".into(),
    };
    let waivers = vec![Waiver::try_from(waiver).unwrap()];
    let book = PolicyBook::new(set(&[anything()]).windows(frozen(50, 9_000, waivers)));
    book.publish_directory(people(50, &[("req", "dev")])).unwrap();
    let old = ask_of(&book, &deploy("production"), 8_000).is_permit();
    book.lose_directory(at(60));
    let down = ask_of(&book, &deploy("production"), 8_000).is_permit();
    assert_eq!((old, down), (false, false));
}

/// Rights that come with the news that the directory is out of reach do not go on with the last one.
#[test]
fn rights_that_lost_their_directory_allow_nothing_in_a_book_that_has_an_older_one() {
    let dev = directory(80, [Identity::human(id("req")).with(grant("dev"))]);
    let head = |rights: Rbac| set(&[anything()]).rights(rights);
    let book = PolicyBook::new(head(rights(rbac::Action::Deploy, dev.clone())));
    let lost = rights(rbac::Action::Deploy, dev);
    lost.lose_directory(at(95));
    book.publish(head(lost));
    let decision = ask_of(&book, &deploy("production"), 100);
    assert!(decision.is_deny(), "it is out of reach since 95: {decision:?}");
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

/// Approvals that do not count are for people to give anew, not for who owns the policy.
#[test]
fn what_lacks_at_a_gate_is_told_to_who_can_approve() {
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(people(50, &[("ann", "sre"), ("bob", "sre")])).unwrap();
    let mut state = run(&gated_by(go(&["sre"])), None);
    let lacking = explain(&state, 0, at(210), &book).unwrap();
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.publish_directory(people(190, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    let dropped = explain(&state, 0, at(210), &book).unwrap();
    let who = |found: &Explanation| found.obstacles[0].who.clone();
    assert_eq!(who(&dropped), who(&lacking), "{:?}", dropped.obstacles);
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

/// Whoever keeps what the digests of a decision are of can make it again: so two answers have two inputs.
#[test]
fn a_directory_that_is_out_of_reach_is_an_input_of_what_it_denies() {
    let waiver = WaiverSpec {
        id: id("hotfix"),
        window: id("frozen"),
        principals: [id("req")].into(),
        scope: Scope::default(),
        actions: [].into(),
        run: None,
        from: at(0),
        until: at(1_000),
        granted_by: id("ann"),
        reason: "INC-7".into(),
    };
    let waivers = vec![Waiver::try_from(waiver).unwrap()];
    let book = PolicyBook::new(set(&[anything()]).windows(frozen(50, 5_000, waivers)));
    let unread = ask_of(&book, &deploy("production"), 100);
    book.lose_directory(at(90));
    let down = ask_of(&book, &deploy("production"), 100);
    assert_ne!(unread.is_permit(), down.is_permit());
    assert_ne!(unread.inputs(), down.inputs(), "one request, one set of inputs, two answers");
}
