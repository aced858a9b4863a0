//! Looks of judges in runs: what they measure, what they find, and that they find it again.

use release_core::analysis::{Finding, Trial};
use release_core::journal::{History, Sealer};
use release_core::model::{Digest, Finite};
use release_core::port::{Evidence, Measurement};
use release_core::report::{RunReport, html};
use release_core::run::{Event, Outcome};
use release_core::time::Timestamp;

use super::drive::{End, Run};

pub(crate) fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

/// So many of so many.
pub(crate) fn part(digest: Digest, numerator: f64, denominator: f64) -> Measurement {
    let (numerator, denominator) = (finite(numerator), finite(denominator));
    Measurement::Ratio { digest, numerator, denominator }
}

/// The looks of the step whose name ends so that found something, as the journal has them.
fn looks<'a>(
    run: &'a Run,
    step: &'a str,
) -> impl Iterator<Item = (Timestamp, &'a Evidence, &'a Finding)> {
    let here = move |event: &Event| event.step().is_some_and(|of| of.id.as_str().ends_with(step));
    run.facts.iter().filter(move |fact| here(&fact.event)).filter_map(|fact| match &fact.event {
        Event::StepMeasured { evidence, finding: Some(finding), .. }
        | Event::StepSucceeded { evidence, finding: Some(finding), .. }
        | Event::StepFailed { evidence: Some(evidence), finding: Some(finding), .. } => {
            Some((fact.at, evidence, &**finding))
        }
        _ => None,
    })
}

pub(crate) fn findings(run: &Run, step: &str) -> Vec<Finding> {
    looks(run, step).map(|(_, _, finding)| finding.clone()).collect()
}

/// Takes the looks of a journal in anew, and demands the same findings to the last bit. Says how many there were.
#[track_caller]
pub(crate) fn repeat(run: &Run, step: &str) -> usize {
    let plan = run.state.plan().plan();
    let judged = plan.steps().iter().find(|other| other.id.as_str().ends_with(step)).unwrap();
    let mut trial = Trial::new(judged.action.clone()).unwrap();
    let mut repeated = 0;
    for (at, evidence, finding) in looks(run, step) {
        let (again, _) = trial.look(at, evidence).unwrap();
        let json = |finding: &Finding| serde_json::to_string(finding).unwrap();
        assert_eq!(json(&again), json(finding));
        let read: Finding = serde_json::from_str(&json(finding)).unwrap();
        assert_eq!(read, *finding);
        repeated += 1;
    }
    repeated
}

/// Lets a run go to its end: looks of the step whose name ends so are as told, by their number from 1; all else is well.
#[track_caller]
pub(crate) fn go(
    run: &mut Run,
    step: &str,
    look: impl FnMut(u32, Timestamp) -> Evidence,
) -> Outcome {
    go_on(run, step, look).unwrap()
}

/// The same, until it is over or waits for people.
pub(crate) fn go_on(
    run: &mut Run,
    step: &str,
    mut look: impl FnMut(u32, Timestamp) -> Evidence,
) -> Option<Outcome> {
    let mut number = 0;
    loop {
        run.next_effect();
        let Some(index) = run.effects.keys().next().copied() else { break };
        if run.state.plan().get(index).unwrap().id.as_str().ends_with(step) {
            number += 1;
            let evidence = look(number, run.now);
            run.answer(index, evidence);
        } else {
            run.outcome(index, End::Good);
        }
    }
    run.state.outcome().cloned()
}

/// The message of what failed first.
pub(crate) fn failure(run: &Run) -> String {
    let failed = run.facts.iter().find_map(|fact| match &fact.event {
        Event::StepFailed { error, .. } => Some(error.message.clone()),
        _ => None,
    });
    failed.unwrap()
}

/// The report of a run as people read it, from its sealed and verified journal.
pub(crate) fn page(run: &Run) -> String {
    let (mut sealer, id) = (Sealer::new(run.state.run()), run.state.run());
    let records: Vec<_> = run.facts.iter().map(|fact| sealer.seal(fact.at, &fact.event)).collect();
    let history = History::verify(id, &records).unwrap();
    // The plan as it was before a rollback was added to it.
    let plan = run.state.plan().plan().clone().freeze();
    html("a run", &[], &[RunReport::new(&history, plan).unwrap()])
}
