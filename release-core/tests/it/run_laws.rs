//! Laws of runs, over random plans and random courses of events. `support::drive` checks them after
//! every event; here the courses are made.

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::ids::StepId;
use release_core::plan::{FrozenPlan, plan};
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use release_core::run::{Command, Event, Outcome, Phase, Rejected};
use release_core::time::Span;

use super::support::drive::{End, Run, snapshot};
use super::support::random;
use super::support::samples::id;
use super::support::world::START;

/// One thing that happens to a run.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    Ends(usize, End),
    Late(usize, End),
    Passes(u64),
    PassesToNext,
    TakeOver,
    Pause,
    Resume,
    Cancel,
    Approve(usize, &'static str),
    Reject(usize),
    Retry(usize),
    EndBake(usize),
    Reconcile(usize, bool),
    Abandon,
    ForceAbandon,
    Supersede,
    Descope(usize),
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        8 => Just(End::Good),
        2 => Just(End::Transient),
        1 => Just(End::Permanent),
        2 => Just(End::Unknown),
        2 => Just(End::Absent),
        1 => Just(End::Garbage),
        1 => Just(End::Bad),
    ]
}

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    let n = || 0_usize..16;
    let who = prop_oneof![Just("ann"), Just("bob"), Just("eve")]; // ann requested the run
    prop_oneof![
        20 => (n(), end()).prop_map(|(n, end)| Happening::Ends(n, end)),
        2 => (n(), end()).prop_map(|(n, end)| Happening::Late(n, end)),
        3 => (0_u64..2_000).prop_map(Happening::Passes),
        8 => Just(Happening::PassesToNext),
        1 => Just(Happening::TakeOver),
        1 => Just(Happening::Pause),
        2 => Just(Happening::Resume),
        1 => Just(Happening::Cancel),
        4 => (n(), who).prop_map(|(n, who)| Happening::Approve(n, who)),
        1 => n().prop_map(Happening::Reject),
        3 => n().prop_map(Happening::Retry),
        2 => n().prop_map(Happening::EndBake),
        3 => (n(), proptest::bool::ANY).prop_map(|(n, applied)| Happening::Reconcile(n, applied)),
        1 => Just(Happening::Abandon),
        1 => Just(Happening::ForceAbandon),
        2 => Just(Happening::Supersede),
        2 => n().prop_map(Happening::Descope),
    ]
}

pub(super) fn happen(run: &mut Run, happening: &Happening) {
    let step = |run: &Run, nth: usize| -> StepId {
        let index = u32::try_from(nth % run.state.plan().len()).unwrap();
        run.state.plan().get(index).unwrap().id.clone()
    };
    let gate = |run: &Run, nth: usize| Some(run.gates().get(nth)?.clone());
    let answer = match happening {
        Happening::Ends(nth, end) => {
            let Some(index) = run.effects.keys().nth(nth % run.effects.len().max(1)).copied()
            else {
                return;
            };
            run.outcome(index, *end);
            return;
        }
        Happening::Late(nth, end) => {
            if *nth < run.stale.len() {
                let before = snapshot(&run.state);
                assert_eq!(run.late(*nth, *end), [], "a late outcome led to something");
                assert_eq!(snapshot(&run.state), before);
            }
            return;
        }
        Happening::Passes(millis) => return run.pass(Span::millis(*millis)),
        Happening::PassesToNext => {
            run.pass_to_next();
            return;
        }
        Happening::TakeOver => return run.take_over(),
        Happening::Pause => run.command(Command::Pause, "bob"),
        Happening::Resume => run.command(Command::Resume, "bob"),
        Happening::Cancel => return cancel(run),
        Happening::Approve(nth, by) => {
            let Some(gate) = gate(run, *nth) else { return };
            run.command(Command::Approve { gate }, by)
        }
        Happening::Reject(nth) => {
            let Some(gate) = gate(run, *nth) else { return };
            run.command(Command::Reject { gate }, "bob")
        }
        Happening::Retry(nth) => {
            let step = step(run, *nth);
            run.command(Command::Retry { step }, "bob")
        }
        Happening::EndBake(nth) => {
            let step = step(run, *nth);
            run.command(Command::EndBake { step }, "bob")
        }
        Happening::Reconcile(nth, applied) => {
            let step = step(run, *nth);
            run.command(Command::Reconcile { step, applied: *applied }, "bob")
        }
        Happening::Abandon => run.command(Command::Abandon, "bob"),
        Happening::ForceAbandon => run.command(Command::ForceAbandon, "bob"),
        Happening::Descope(nth) => {
            let service = id(random::SERVICES[nth % random::SERVICES.len()]);
            run.command(Command::Descope { service }, "bob")
        }
        Happening::Supersede => run.command(Command::Supersede { run: id("run-2") }, "bob"),
    };
    if let Err(rejected) = answer {
        assert!(
            !matches!(rejected, Rejected::UnknownGate { .. } | Rejected::UnknownStep { .. }),
            "{rejected}"
        );
    }
}

/// A cancel stops a run that goes forward, and is denied and recorded in one that rolls back.
fn cancel(run: &mut Run) {
    let phase = run.state.phase().clone();
    let answer = run.command(Command::Cancel, "bob");
    match phase {
        Phase::Forward => {
            assert!(matches!(answer.unwrap()[0], Event::CancelRequested { .. }));
            assert_ne!(*run.state.phase(), Phase::Forward);
        }
        Phase::Stopping(_) | Phase::RollingBack(_) | Phase::Abandoning { .. } => {
            let denied = answer.unwrap();
            assert!(
                matches!(&denied[..], [Event::CommandDenied { command, .. }] if command == "cancel")
            );
            assert_eq!(run.state.phase().name(), phase.name());
        }
        Phase::Finished(_) => {
            assert!(matches!(answer, Err(Rejected::Finished { .. })));
        }
    }
}

fn course(plan: &FrozenPlan, limit: usize, happenings: &[Happening]) -> Run {
    let mut run = Run::start_with(plan, Box::new(release_core::port::PermitAll), limit);
    for happening in happenings {
        happen(&mut run, happening);
    }
    run.heal(600);
    run
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn any_dag_keeps_the_laws_and_ends(
        plan in random::dag(), limit in 1_usize..20, happenings in vec(happening(), 0..60),
    ) {
        course(&plan, limit, &happenings);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_definition_keeps_the_laws_and_ends(
        definition in random::definition(), happenings in vec(happening(), 0..60),
    ) {
        course(&plan(&definition).unwrap().freeze(), 1_000, &happenings);
    }

    #[test]
    fn a_run_without_faults_succeeds(definition in random::definition()) {
        let mut run = Run::start(&plan(&definition).unwrap().freeze());
        prop_assert_eq!(run.heal(2_000), Outcome::Succeeded);
    }

    /// The order in which outcomes come in and how many events are decided at once change nothing
    /// but the order of records.
    #[test]
    fn the_course_does_not_depend_on_batch_size(
        plan in random::dag(), happenings in vec(happening(), 0..30),
    ) {
        let (few, many) = (course(&plan, 1, &happenings), course(&plan, 1_000, &happenings));
        prop_assert_eq!(few.state.outcome(), many.state.outcome());
    }
}

/// Freezes everything for some time, but never a rollback.
#[derive(Debug)]
struct Freeze(Span);

impl Policy for Freeze {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let until = START.plus(self.0);
        if request.rollback || request.now >= until {
            return Decision::permit();
        }
        let reasons = vec![Reason::new("freeze/test", "frozen", "time")];
        Decision::wait(Some(until), reasons)
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let allowed = request.by.id.as_str() != "eve";
        let reasons = vec![Reason::new("rbac", "eve may do nothing", "whoever grants roles")];
        if allowed { Decision::permit() } else { Decision::deny(reasons) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_starts_in_a_freeze_and_what_is_denied_changes_nothing(
        plan in random::dag(), happenings in vec(happening(), 0..30),
    ) {
        let freeze = Span::secs(5);
        let mut run = Run::start_with(&plan, Box::new(Freeze(freeze)), 100);
        for happening in &happenings {
            happen(&mut run, happening);
        }
        run.pass(Span::ZERO);
        let before = (run.state.phase().clone(), run.state.awaiting());
        if run.state.outcome().is_none() {
            let events = run.command(Command::Pause, "eve").unwrap();
            assert!(matches!(&events[..], [Event::CommandDenied { .. }]));
            prop_assert_eq!(before, (run.state.phase().clone(), run.state.awaiting()));
        }
        for fact in &run.facts {
            if let Event::StepStarted { step, .. } = &fact.event
                && !run.state.plan().in_rollback(step.index)
                && !run.state.plan().get(step.index).unwrap().action.is_pure()
            {
                assert!(fact.at >= START.plus(freeze));
            }
        }
    }
}
