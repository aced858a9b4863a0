//! What goes on watching: analyses under a pause, under a freeze, and when a person tries them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use release_core::model::{Analysis, Span};
use release_core::plan::{Action, FrozenPlan, OnFailure, Step};
use release_core::port::{Admission, CommandRequest, Decision, EffectError, Policy, Reason};
use release_core::run::{Command, EffectOutcome, Event, Input, Outcome, Status, Verdict, WakeUp};
use release_core::time::Timestamp;

use super::support::drive::{End, Run};
use super::support::samples::{approval, chain, change, deployment, error_rate, id};
use super::support::words::{approve, back, failures, retry};
use super::support::world::START;

fn judge() -> Step {
    let analysis = Arc::new(Analysis { count: 3, ..error_rate() });
    let (deployment, from) = (deployment("api", "2.0.0"), Some(id("bake")));
    Step::new(
        id("judge"),
        Action::Analyze { deployment, analysis, from, beside: None, until: None },
    )
}

/// A change that is live, a bake, and an analysis of it.
fn canary(judge: Step) -> FrozenPlan {
    let bake = Step::new(id("bake"), Action::Bake { duration: Span::secs(60) });
    chain(vec![change("live"), bake, judge, change("more")])
}

/// Until the analysis has measured once.
fn measured_once(mut run: Run) -> Run {
    run.end("live", End::Good);
    run.pass(Span::secs(60));
    run.end("judge", End::Good);
    assert_eq!(run.status("judge"), Status::Waiting, "it measures again");
    run
}

/// A source that is down for a while is no reason to take anything back; one that stays down is.
#[test]
fn f33_a_source_that_is_down_is_no_data_until_that_is_too_much() {
    for (down, wanted) in [(3, None), (4, Some("inconclusive"))] {
        let analysis = Arc::new(Analysis { count: 3, inconclusive_limit: 3, ..error_rate() });
        let (deployment, from) = (deployment("api", "2.0.0"), Some(id("bake")));
        let (beside, until) = (None, None);
        let action = Action::Analyze { deployment, analysis, from, beside, until };
        let mut run = measured_once(Run::start(&canary(back(Step::new(id("judge"), action)))));
        for n in 0..down {
            run.pass(Span::secs(1));
            // Whether it was heard of or not: measuring changes nothing.
            let end = if n % 2 == 0 { End::Transient } else { End::Unknown };
            let events = run.end("judge", end);
            let told = events.iter().any(|event| {
                matches!(event, Event::StepMeasured { verdict: Verdict::Inconclusive, because, .. }
                    if because.contains("could not be asked"))
            });
            assert_eq!(told, n < 3, "{events:?}");
        }
        match wanted {
            None => {
                for _ in 0..2 {
                    run.pass(Span::secs(1));
                    run.end("judge", End::Good);
                }
                assert_eq!(run.heal(10), Outcome::Succeeded);
            }
            Some(kind) => {
                assert!(matches!(run.heal(10), Outcome::RolledBack { .. }));
                assert_eq!(failures(&run), [format!("judge {kind}")]);
            }
        }
    }
}

/// A service that asks for a pause is left alone for that long, though the analysis would look again sooner.
#[test]
fn f33_a_source_that_asks_for_a_pause_gets_it() {
    let mut run = measured_once(Run::start(&canary(judge())));
    run.pass(Span::secs(1));
    let step = run.state.plan().find(&id("judge")).unwrap();
    let (attempt, _) = run.effects.remove(&step).unwrap();
    let mut error = EffectError::transient("rate_limited", "later");
    error.retry_after = Some(Span::secs(40));
    let outcome = EffectOutcome::Performed(Err(error));
    let events = run.input(&Input::Outcome { step, attempt, outcome }).unwrap();
    let [Event::StepMeasured { next, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(next.since(run.now), Span::secs(40));
}

/// Found in review: whoever paused a canary had it no longer watched.
#[test]
fn a_pause_does_not_stop_an_analysis_under_way() {
    let mut run = measured_once(Run::start(&canary(back(judge()))));
    run.command(Command::Pause, "bob").unwrap();
    run.pass(Span::secs(1));
    assert_eq!(run.status("judge"), Status::Running);
    run.end("judge", End::Bad);
    assert!(matches!(run.heal(10), Outcome::RolledBack { .. }), "and what it finds counts");

    let mut run = measured_once(Run::start(&canary(judge())));
    run.command(Command::Pause, "bob").unwrap();
    for _ in 0..2 {
        run.pass(Span::secs(1));
        run.end("judge", End::Good);
    }
    assert_eq!((run.status("judge"), run.status("more")), (Status::Succeeded, Status::Ready));
}

#[test]
fn a_pause_keeps_an_analysis_from_beginning() {
    let mut run = Run::start(&canary(judge()));
    run.end("live", End::Good);
    run.command(Command::Pause, "bob").unwrap();
    run.pass(Span::secs(3600));
    assert_eq!((run.status("bake"), run.status("judge")), (Status::Succeeded, Status::Ready));
}

/// Forbids everything from when it is told to.
#[derive(Debug, Default, Clone)]
struct Freeze(Arc<AtomicBool>, Option<Timestamp>);

impl Policy for Freeze {
    fn admit(&self, asked: &Admission<'_>) -> Decision {
        if !self.0.load(Ordering::SeqCst) {
            return Decision::permit();
        }
        let until = self.1.filter(|until| *until > asked.now);
        Decision::wait(until, vec![Reason::new("freeze", "it is frozen", "time")])
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

#[test]
fn a_freeze_does_not_stop_an_analysis_under_way() {
    let freeze = Freeze::default();
    let run = Run::start_with(&canary(back(judge())), Box::new(freeze.clone()), 100);
    let mut run = measured_once(run);
    freeze.0.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        run.pass(Span::secs(1));
        run.end("judge", End::Good);
    }
    assert_eq!((run.status("judge"), run.status("more")), (Status::Succeeded, Status::Waiting));
}

/// Found in review: a policy that had named an instant was not asked again before.
#[test]
fn a_freeze_that_is_lifted_early_lets_a_run_go_on_when_it_is_asked_again() {
    let until = START.plus(Span::secs(3600));
    let freeze = Freeze(Arc::new(AtomicBool::new(true)), Some(until));
    let mut run = Run::start_with(&chain(vec![change("a")]), Box::new(freeze.clone()), 100);
    let blocked = |event: &Event| matches!(event, Event::StepBlocked { wake, .. } if *wake == WakeUp::Instant { at: until });
    assert!(run.last(blocked).is_some());
    assert_eq!(run.input(&Input::Reconsider).unwrap(), [], "the same answer is no event");
    freeze.0.store(false, Ordering::SeqCst);
    run.input(&Input::Reconsider).unwrap();
    assert_eq!((run.now, run.status("a")), (START, Status::Running));
}

/// Found in review: it was judged again by what it had failed by.
#[test]
fn an_analysis_that_a_person_retries_measures_from_then_on() {
    let plan = canary(judge().on_failure(OnFailure::Hold));
    let index = plan.find(&id("judge")).unwrap();
    let mut run = Run::start(&plan);
    run.end("live", End::Good);
    run.pass(Span::secs(60));
    assert_eq!(run.state.window_start(index), START, "the bake's start");
    run.end("judge", End::Bad);
    assert_eq!(failures(&run), ["judge analysis_failed"]);
    run.pass(Span::secs(40));
    run.command(retry("judge"), "bob").unwrap();
    let retried = START.plus(Span::secs(100));
    assert_eq!(run.state.window_start(index), retried);
    run.pass(Span::secs(5));
    run.take_over();
    assert_eq!(run.state.window_start(index), retried, "after a crash too");
}

/// Found in review: a rejection could never be taken back.
#[test]
fn a_rejected_step_that_a_person_retries_is_put_to_another_vote() {
    let step = change("a").gate(approval("go")).on_failure(OnFailure::Hold);
    let mut run = Run::start(&chain(vec![step]));
    run.command(Command::Reject { gate: id("go") }, "bob").unwrap();
    assert_eq!((failures(&run), run.status("a")), (vec!["a rejected".into()], Status::Failed));
    run.command(retry("a"), "bob").unwrap();
    assert_eq!(run.status("a"), Status::Waiting, "nobody approved it yet");
    run.command(approve("go"), "bob").unwrap();
    assert_eq!(run.status("a"), Status::Running);
}
