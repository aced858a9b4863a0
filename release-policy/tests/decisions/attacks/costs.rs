//! What a policy costs, by runs that were recorded.

use release_core::journal::{History, Sealer};
use release_core::model::RunId;
use release_core::port::{Evidence, PermitAll};
use release_core::run::EffectOutcome;
use release_policy::decision::{Recorded, compare};

use super::gates::approve;
use super::*;

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
