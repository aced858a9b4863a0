//! Where the record has no set to go back to, only what is half done goes on: by what is remembered of a run, and by looking at all of it.

use release_core::model::{Principal, Target};
use release_core::plan::{Action, Step};
use release_core::port::{Admission, PermitAll, Policy as _};
use release_core::run::{Command, RunState, Status};
use release_policy::compat::{CoVerified, VerifiedRecord};

use super::super::support::id;
use super::co_verified::in_turn;
use super::runs::{Fault, Run, Shape};

/// Where a step starts instances or sends users.
fn brings(step: &Step) -> Option<&Target> {
    match &step.action {
        Action::Scale { deployment, replicas, .. } if *replicas > 0 => Some(&deployment.target),
        Action::Route { target, weights, .. } => {
            weights.iter().any(|weight| weight.percent > 0).then_some(target)
        }
        _ => None,
    }
}

/// Whether any step of the whole plan that brings something to that region did so, or tried to.
fn has_begun(state: &RunState, target: &Target) -> bool {
    (0_u32..).zip(state.plan().plan().steps()).any(|(index, step)| {
        let did = matches!(
            state.status(index),
            Some(Status::Running | Status::Succeeded | Status::Failed | Status::Compensated)
        );
        let tried = state.active(index).is_some_and(|active| active.attempt > 0);
        let here = |other: &Target| {
            (&other.environment, &other.region) == (&target.environment, &target.region)
        };
        (did || tried) && brings(step).is_some_and(here)
    })
}

/// How many steps of a run go on as it stands, and how many are held.
fn asked(policy: &CoVerified, run: &Run) -> [usize; 2] {
    let (state, ann) = (&run.state, Principal::human(id("ann")));
    let mut counts = [0; 2];
    for (index, step) in (0_u32..).zip(state.plan().plan().steps()) {
        let Some(target) = brings(step) else { continue };
        let mut asked = Admission::new(state.run(), &ann, step, state.now());
        asked.at = Some((state, index));
        let begun = has_begun(state, target);
        for _ in 0..2 {
            let decision = policy.admit(&asked);
            assert_eq!(decision.is_permit(), begun, "{}: {decision:?}", step.id);
        }
        counts[usize::from(!begun)] += 1;
    }
    counts
}

/// Runs of one plan and one name, each of which goes another way: what is remembered of one is never said of another.
#[test]
fn what_is_remembered_of_a_run_holds_just_what_has_not_begun() {
    let (definition, record) = (in_turn(&Shape::canary()), VerifiedRecord::default());
    record.announce(&definition);
    let policy = CoVerified::new(record);
    let fails: Fault = (id("production/us-east/web/weight-50"), true);
    for (fault, cancels) in [(None, None), (Some(fails), None), (None, Some(40)), (None, Some(3))] {
        let before = Shape::canary().before();
        let mut run = Run::start(&definition, &before, PermitAll).failing(fault);
        let mut counts = [0; 2];
        for nth in 0..5_000 {
            let [go_on, held] = asked(&policy, &run);
            counts = [counts[0] + go_on, counts[1] + held];
            if cancels == Some(nth) {
                run.tell(Command::Cancel).unwrap();
            }
            if !run.go() {
                break;
            }
        }
        assert!(run.outcome().is_some(), "{:?}", run.facts.last());
        assert!(counts[1] > 0 && (cancels == Some(3) || counts[0] > 0), "{counts:?}");
    }
}
