//! Any state of the past, and why what happened was decided.

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::explain::{Ground, Position, Why, state_at, why};
use release_core::journal::{History, Sealer};
use release_core::model::Span;
use release_core::plan::{Action, FrozenPlan, OnFailure, Step};
use release_core::port::PermitAll;
use release_core::run::{Command, Event, Mode, RunState};

use super::run_laws::{happen, happening};
use super::support::drive::{End, Run, snapshot};
use super::support::random;
use super::support::samples::{approval, chain, change, id};
use super::support::words::approve;
use super::support::world::START;

/// What the journal would have of it, verified.
pub(super) fn history(run: &Run) -> History {
    let name = id("run-1");
    let mut sealer = Sealer::new(&name);
    let records: Vec<_> = run.facts.iter().map(|f| sealer.seal(f.at, &f.event)).collect();
    History::verify(&name, &records).unwrap()
}

fn is_pure(state: &RunState, index: u32) -> bool {
    state.plan().get(index).unwrap().action.is_pure()
}

/// What must be among the grounds of any event, whatever the course.
fn check(run: &Run, found: &Why, before: Option<&RunState>) {
    let text = format!("{found}\n{:?}", found.event);
    assert!(
        found.grounds.iter().all(|ground| ground.seq().is_none_or(|s| s < found.seq)),
        "{text}"
    );
    let has = |fits: &dyn Fn(&Ground) -> bool| found.grounds.iter().any(fits);
    let Some(before) = before else { return };
    match &found.event {
        Event::StepStarted { step, attempt: 1, mode: Mode::Perform, .. } => {
            assert!(has(&|ground| matches!(ground, Ground::Permitted { .. })), "{text}");
            let considered = before.active(step.index).is_some();
            let waited_for: Vec<_> = before.plan().predecessors(step.index).collect();
            for other in waited_for.into_iter().filter(|_| !considered) {
                let done =
                    |g: &Ground| matches!(g, Ground::Done { step, .. } if step.index == other);
                assert!(has(&done), "nobody says that step {other} is done: {text}");
            }
        }
        Event::StepSucceeded { step, .. } if is_pure(before, step.index) => {}
        Event::StepSucceeded { .. } | Event::StepMeasured { .. } => {
            assert!(has(&|g| matches!(g, Ground::Answer { evidence: Some(_), .. })), "{text}");
        }
        Event::StepRetried { .. }
        | Event::OutcomeUnknown { .. }
        | Event::AlternateChosen { .. }
        | Event::NeedsReconcile { .. } => {
            let answer = |g: &Ground| match g {
                Ground::Answer { error, .. } => error.is_some(),
                other => matches!(other, Ground::Deadline { .. }),
            };
            assert!(has(&answer), "{text}");
            if let [Ground::Deadline { at, .. }] = found.grounds[..] {
                assert!(at <= found.at, "{text}");
            }
        }
        Event::StepBlocked { reasons, .. } => {
            assert!(
                has(&|g| matches!(g, Ground::Reasons { reasons: r } if r == reasons)),
                "{text}"
            );
        }
        Event::StepFailed { .. }
        | Event::StepStarted { .. }
        | Event::RollbackStarted { .. }
        | Event::RollbackBlocked { .. }
        | Event::RollbackStuck { .. }
        | Event::RunFinished { .. } => assert!(!found.grounds.is_empty(), "{text}"),
        Event::TakenOver { .. } => {
            assert!(has(&|g| matches!(g, Ground::Engine { engine } if engine == "other")));
        }
        _ => assert!(has(&|ground| matches!(ground, Ground::Asked { .. })), "{text}"),
    }
    for ground in &found.grounds {
        // What is named as an instant had come, and what is named as done is a record of just that.
        match ground {
            Ground::Time { at, .. } => assert!(*at <= found.at, "{text}"),
            Ground::Done { seq, step } => {
                let at = usize::try_from(*seq).unwrap() - 1;
                assert_eq!(run.facts[at].event.step(), Some(step), "{text}");
            }
            _ => {}
        }
    }
    let json = serde_json::to_string(found).unwrap();
    assert_eq!(serde_json::from_str::<Why>(&json).unwrap(), *found);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_event_of_every_course_has_its_grounds(
        plan in random::dag(), happenings in vec(happening(), 0..40),
    ) {
        let mut run = Run::start(&plan);
        for happening in &happenings {
            happen(&mut run, happening);
        }
        run.heal(600);
        let history = history(&run);
        let mut before: Option<RunState> = None;
        for (seq, fact) in (1..).zip(&run.facts) {
            let found = why(&history, plan.clone(), seq).unwrap();
            prop_assert_eq!((&found.event, found.at), (&fact.event, fact.at));
            check(&run, &found, before.as_ref());
            let state = state_at(&history, plan.clone(), Position::Seq(seq)).unwrap();
            if let Some(before) = &mut before {
                before.evolve(fact.at, &fact.event).unwrap();
                prop_assert_eq!(snapshot(before), snapshot(&state));
            }
            before = Some(state);
        }
    }
}

/// `bake` for 10 s, then `a` behind a gate, then `b`.
fn plan() -> FrozenPlan {
    let bake = Step::new(id("bake"), Action::Bake { duration: Span::secs(10) });
    let gated = change("a").gate(approval("go"));
    chain(vec![bake, gated, change("b").on_failure(OnFailure::Hold)])
}

fn told(run: &Run, fits: impl Fn(&Event) -> bool) -> String {
    let seq = run.facts.iter().rposition(|fact| fits(&fact.event)).unwrap() as u64 + 1;
    let plan = run.state.plan().clone();
    why(&history(run), plan, seq).unwrap().to_string()
}

#[test]
fn the_past_is_read_by_record_and_by_instant() {
    let mut run = Run::start(&plan());
    run.pass(Span::secs(10));
    let history = history(&run);
    let at = |position| state_at(&history, plan(), position).map(|state| snapshot(&state));
    let end = Position::Seq(history.facts().len() as u64);
    assert_eq!(at(end).unwrap(), snapshot(&run.state));
    let just_before = START.plus(Span::millis(9_999));
    assert_eq!(at(Position::At(just_before)), at(Position::Seq(2)));
    assert_eq!(at(Position::At(START.plus(Span::secs(10)))), at(end));
    assert_eq!(at(Position::At(START.plus(Span::secs(99)))), at(end));
    for seq in [0, 5, u64::MAX] {
        let error = at(Position::Seq(seq)).unwrap_err().to_string();
        assert_eq!(error, format!("run `run-1` has no record {seq}; name one from 1 to 4"));
        assert_eq!(why(&history, plan(), seq).unwrap_err().to_string(), error);
    }
    let early = at(Position::At(release_core::time::Timestamp::from_micros(7))).unwrap_err();
    assert!(early.to_string().contains("began at 2026-11-23T14:00:00.000000Z"), "{early}");
    let other = state_at(&history, chain(vec![change("x")]), Position::Seq(1)).unwrap_err();
    assert!(other.to_string().contains("use the plan it pins"), "{other}");
}

#[test]
fn the_inputs_of_decisions_are_told_for_people() {
    let mut run = Run::start(&plan());
    run.pass(Span::secs(10));
    let text = told(&run, |event| matches!(event, Event::StepSucceeded { .. }));
    let want = "record 3, 2026-11-23T14:00:10.000000Z: step succeeded `bake`; before, the run was \
        going forward with 0 effects under way, and the step waiting
- 2026-11-23T14:00:10.000000Z had come, which record 2 set";
    assert_eq!(text, want);
    run.command(approve("go"), "bob").unwrap();
    let text = told(&run, |event| matches!(event, Event::StepStarted { .. }));
    let want =
        "record 6, 2026-11-23T14:00:10.000000Z: step started `a`; before, the run was going \
        forward with 0 effects under way, and the step waiting
- step blocked in record 4
- bob approved `go` in record 5
- gates and policy let it start";
    assert_eq!(text, want);
    run.command(Command::Pause, "bob").unwrap();
    run.end("a", End::Good);
    let text = told(&run, |event| matches!(event, Event::StepSucceeded { .. }));
    assert!(text.ends_with("- the attempt of record 6 observed {\"type\":\"done\"}"), "{text}");
    run.command(Command::Resume, "bob").unwrap();
    let text = told(&run, |event| matches!(event, Event::StepStarted { .. }));
    assert!(text.contains("- `a` was done in record 8\n- resumed in record 9\n"), "{text}");
    run.pass_to_next();
    let text = told(&run, |event| matches!(event, Event::OutcomeUnknown { .. }));
    assert!(
        text.ends_with(
            "- the attempt of record 10 gave no answer until 2026-11-23T14:01:10.000000Z"
        ),
        "{text}"
    );
    run.next_effect();
    let text = told(&run, |event| matches!(event, Event::StepStarted { .. }));
    assert!(text.ends_with("had come, which record 11 set"), "{text}");
    run.take_over();
    let text = told(&run, |event| matches!(event, Event::StepStarted { .. }));
    assert!(text.ends_with("- taken over in record 13"), "{text}");
}

/// What is explained of the past is what held the step then, not what holds it now.
#[test]
fn a_past_state_is_explained_as_it_was() {
    let mut run = Run::start(&plan());
    run.pass(Span::secs(10));
    run.command(approve("go"), "bob").unwrap();
    let then = state_at(&history(&run), plan(), Position::At(START.plus(Span::secs(3)))).unwrap();
    let found = release_core::explain::explain(&then, 1, then.now(), &PermitAll).unwrap();
    let kinds: Vec<_> = found.obstacles.iter().map(|obstacle| obstacle.kind.name()).collect();
    assert_eq!(kinds, ["dependency", "approval"]);
}
