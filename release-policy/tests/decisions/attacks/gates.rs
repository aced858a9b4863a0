//! Commands and gates of plans.

use release_core::explain::{View, explain_in};
use release_core::model::{
    ArtifactRef, Environment, Release, RollbackCriteria, RollbackScope, RollbackTrigger, Service,
    Stage, Strategy, Tier, VersionSet,
};
use release_core::port::{Evidence, PermitAll};
use release_core::run::EffectOutcome;

use super::*;

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

pub(super) fn approve(by: &str) -> Input {
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
    let events = happens(&mut state, Some(&Input::Reconsider), 210, &book);
    assert_eq!(starts(&events), 0, "{events:?}");
    assert_eq!(starts(&happens(&mut state, Some(&approve("ann")), 220, &book)), 1, "somebody else");
}

#[test]
fn f22_a_gate_of_a_plan_counts_nobody_who_left_or_lost_their_role() {
    let (book, mut state) = gated(people(50, &TEAM));
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.publish_directory(people(190, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    assert_eq!(
        starts(&happens(&mut state, Some(&Input::Reconsider), 200, &book)),
        0,
        "ann is of operations now"
    );
    assert_eq!(starts(&happens(&mut state, Some(&approve("bob")), 210, &book)), 1);
    let (book, mut state) = gated(people(50, &TEAM));
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.lose_directory(at(190));
    assert_eq!(
        starts(&happens(&mut state, Some(&Input::Reconsider), 200, &book)),
        0,
        "nobody knows who is who"
    );
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

/// A gate for two of `sre`: what ann lent speaks for her, not besides her; and who lent the requester the role is a
/// party to the run.
#[test]
fn f24_a_right_that_was_lent_is_one_voice_and_none_for_who_asked_with_it() {
    let lend = |from: &str, to: &str| Delegation {
        from: id(from),
        to: id(to),
        role: id("sre"),
        starts: at(0),
        ends: at(1_000),
        reason: "holidays".into(),
    };
    let sre = |name: &str| Identity::human(id(name)).with(grant("sre"));
    let count = |quorum: u32, lent: Delegation, by: &[&str]| {
        let all = [sre("ann"), sre("bob"), Identity::human(id("dan")), Identity::human(id("req"))];
        let directory = Directory::new(1, at(50), all, [lent]).unwrap();
        let book = PolicyBook::new(set(&[anything()]));
        book.publish_directory(directory).unwrap();
        let mut step = deploy("production");
        let gate = model::Approval::new(id("production/go"));
        let gate = model::Approval { roles: vec![id("sre")], quorum, ..gate };
        step.gates.extend([Gate::Approval(gate), Gate::NotBefore(at(200))]);
        let mut state = run(&plan([step]), book.digest());
        for by in by {
            happens(&mut state, Some(&approve(by)), 100, &book);
        }
        starts(&happens(&mut state, Some(&Input::Reconsider), 210, &book))
    };
    assert_eq!(count(2, lend("ann", "dan"), &["ann", "dan"]), 0, "ann twice");
    assert_eq!(count(2, lend("ann", "dan"), &["bob", "dan"]), 1, "bob, and ann by dan");
    assert_eq!(count(1, lend("ann", "req"), &["ann"]), 0, "she lent the right to ask");
    assert_eq!(count(1, lend("ann", "req"), &["bob"]), 1);
}

/// A release into one stage, behind a gate for one `sre` in production.
fn staged() -> FrozenPlan {
    let artifact = ArtifactRef::new(id("api"), Digest::of(b"api 2"));
    let versions = VersionSet::new().with(id("api"), id("2.0.0"), artifact);
    let mut release = Release::new(id("rel"), versions);
    release.rollback = Some(RollbackCriteria {
        scope: RollbackScope::Environment,
        triggers: vec![RollbackTrigger::StepFailed],
    });
    let production = Environment {
        id: id("production"),
        tier: Tier::Production,
        owner: id("platform"),
        regions: vec![id("eu")],
    };
    let gate = model::Approval { roles: vec![id("sre")], ..model::Approval::new(id("go")) };
    let definition = model::Definition::builder(id("web"), release)
        .service(Service::new(id("api"), id("team-a")))
        .environment(production)
        .stage(
            Stage::new(id("production"), Strategy::Recreate)
                .gate(Gate::Approval(gate))
                .gate(Gate::NotBefore(at(200))),
        )
        .build();
    release_core::plan::plan(&definition).unwrap().freeze()
}

/// A run of it whose artifacts are found to be right, so that only the gates are before the stage.
pub(super) fn before_the_gate() -> RunState {
    let mut state = run(&staged(), None);
    let mut events = happens(&mut state, None, 50, &PermitAll);
    while let Some((step, attempt)) = events.iter().find_map(|event| match event {
        Event::StepStarted { step, attempt, .. } => Some((step.index, *attempt)),
        _ => None,
    }) {
        let Action::VerifyArtifact { artifact } = &state.plan().get(step).unwrap().action else {
            panic!("{events:?}")
        };
        let evidence = Evidence::Artifact { digest: artifact.digest(), bytes: 1 };
        let outcome = EffectOutcome::Performed(Ok(evidence));
        events =
            happens(&mut state, Some(&Input::Outcome { step, attempt, outcome }), 60, &PermitAll);
    }
    state
}

pub(super) fn entered(events: &[Event]) -> Option<&Event> {
    events.iter().find(|event| {
        matches!(event, Event::StepSucceeded { step, .. } if step.id.as_str() == "production/enter")
    })
}

/// Gates of stages stand before a step without an effect.
#[test]
fn f24_gates_of_stages_count_people_and_not_accounts() {
    let mut linked = Identity::human(id("req-2")).with(grant("sre"));
    linked.linked.insert(id("req"));
    let all = [Identity::human(id("req")), linked, Identity::human(id("ann")).with(grant("sre"))];
    let known = directory(50, all);
    let digest = known.stamp().digest;
    let role = Role::new(id("sre")).may([rbac::Action::Approve]);
    let access = Access::new(Rules::new([role], []).unwrap(), known.clone(), Span::secs(300));
    let by_rights = || Rbac::new(access.clone());
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(known).unwrap();
    let with_rights = || set(&[anything()]).rights(by_rights());
    let book_of_rights = PolicyBook::new(with_rights());
    let policies: [&dyn Policy; 2] = [&book, &book_of_rights];
    for policy in policies {
        // Whoever let req-2 approve knew no people.
        let mut state = before_the_gate();
        happens(&mut state, Some(&approve("req-2")), 100, &PermitAll);
        let unknowing = happens(&mut state.clone(), None, 210, &PermitAll);
        assert!(
            entered(&unknowing).is_some(),
            "a policy that knows nobody opens it: {unknowing:?}"
        );
        let events = happens(&mut state, None, 210, policy);
        assert!(entered(&events).is_none(), "{events:?}");
        let step = state.plan().find(&id("production/enter")).unwrap();
        let told = explain_in(&state, step, View::new(at(210), policy)).unwrap().to_string();
        assert!(told.contains("req-2 is the requester"), "{told}");

        let mut state = before_the_gate();
        happens(&mut state, Some(&approve("ann")), 100, &PermitAll);
        let events = happens(&mut state, None, 210, policy);
        let Some(Event::StepSucceeded { basis, .. }) = entered(&events) else {
            panic!("{events:?}")
        };
        let inputs = basis.as_ref().and_then(|basis| basis.inputs.as_deref());
        assert_eq!(inputs.and_then(|inputs| inputs.directory), Some(digest), "it stood on that");
    }
}
