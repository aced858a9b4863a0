//! Invariants of what counts as success, and of how runs end.

use std::collections::BTreeSet;

use release_core::model::{Analysis, Digest, Finite, Gate};
use release_core::plan::Action;
use release_core::port::{Evidence, Measurement};
use release_core::run::{Event, Outcome, Verdict, WakeUp};

use super::admission::{each, has_enough, when_quiet};
use super::ledger::{Doing, Stand, walk};
use crate::sim::course::Course;

/// I10: what was observed is what was asked for, and what is brought up was verified before, where the
/// plan verifies anything.
pub(super) fn digests(course: &Course) -> Vec<String> {
    let mut wrong = each(course, |ledger, fact, _| {
        let Event::StepSucceeded { step, evidence, .. } = &fact.event else { return None };
        let wanted = match ledger.action(step.index)? {
            Action::VerifyArtifact { artifact } => artifact.digest(),
            Action::Scale { deployment, .. } | Action::Probe { deployment, .. } => {
                deployment.artifact.digest()
            }
            _ => return None,
        };
        let found = match evidence {
            Evidence::Artifact { digest, .. }
            | Evidence::Instances { digest, .. }
            | Evidence::Health { digest, .. } => *digest,
            _ => return Some(format!("{} succeeds by {evidence:?}", step.id)),
        };
        (found != wanted).then(|| format!("{} succeeds with {found}, not {wanted}", step.id))
    });
    for run in &course.runs {
        let mut verified: BTreeSet<Digest> = BTreeSet::new();
        let mut steps = run.plan.plan().steps().iter();
        let any_check = steps.any(|step| matches!(step.action, Action::VerifyArtifact { .. }));
        walk(&run.plan, &run.facts, |ledger, fact, at| match &fact.event {
            Event::StepSucceeded { evidence: Evidence::Artifact { digest, .. }, .. } => {
                verified.insert(*digest);
            }
            Event::Reconciled { step, applied: true, .. } => {
                if let Some(Action::VerifyArtifact { artifact }) = ledger.action(step.index) {
                    verified.insert(artifact.digest());
                }
            }
            Event::StepStarted { step, .. } if any_check => {
                let action = ledger.action(step.index);
                if let Some(Action::Scale { deployment, replicas: 1.. }) = action
                    && !verified.contains(&deployment.artifact.digest())
                {
                    wrong.push(format!("{} #{}: {} was not verified", run.id, at + 1, step.id));
                }
            }
            _ => {}
        });
    }
    wrong
}

/// Whether a measurement is within the limit, judged by the letter of the definition.
fn is_good(analysis: &Analysis, wanted: Digest, evidence: &Evidence) -> bool {
    let Evidence::Measurement(Measurement::Ratio { digest, numerator, denominator }) = evidence
    else {
        return false;
    };
    let enough = u32::try_from(analysis.min_samples).map_or(f64::MAX, f64::from);
    *digest == wanted
        && denominator.get() >= enough
        && numerator.get() >= 0.0
        && Finite::new(numerator.get() / denominator.get())
            .is_ok_and(|value| analysis.success.holds(value))
}

/// I15.
pub(super) fn no_data(course: &Course) -> Vec<String> {
    each(course, |ledger, fact, _| {
        let (step, evidence, passes) = match &fact.event {
            Event::StepSucceeded { step, evidence, .. } => (step, evidence, true),
            Event::StepMeasured { step, evidence, verdict: Verdict::Pass, .. } => {
                (step, evidence, false)
            }
            _ => return None,
        };
        let Action::Analyze { deployment, analysis, .. } = ledger.action(step.index)? else {
            return None;
        };
        let good = is_good(analysis, deployment.artifact.digest(), evidence);
        let before = ledger.good.get(&step.index).copied().unwrap_or(0);
        let enough = !passes || before + 1 >= analysis.count;
        (!good || !enough)
            .then(|| format!("{} passes on {evidence:?} after {before} good measurements", step.id))
    })
}

/// I7.
pub(super) fn honest_ends(course: &Course) -> Vec<String> {
    let mut wrong = each(course, |ledger, fact, _| {
        let Event::RunFinished { outcome } = &fact.event else { return None };
        let all = u32::try_from(ledger.stands.len()).unwrap_or(u32::MAX);
        let is_page = |index: u32| {
            ledger.rollback().is_some_and(|(base, extension)| {
                index.checked_sub(base).is_some_and(|page| extension.pages.contains(&page))
            })
        };
        let open = |index: &u32| !ledger.is_done(*index) && !is_page(*index);
        let mut steps = match outcome {
            Outcome::Succeeded if !ledger.left().is_empty() => {
                return Some("succeeded, although something was left behind".to_owned());
            }
            Outcome::SucceededWithout { left } if left != ledger.left() => {
                return Some(format!("{outcome}, but {:?} was left behind", ledger.left()));
            }
            Outcome::Succeeded | Outcome::SucceededWithout { .. } => 0..all,
            Outcome::RolledBack { .. }
                if ledger.doing != Doing::GoingBack && ledger.halted.is_empty() =>
            {
                return Some("rolled back, without a rollback".to_owned());
            }
            Outcome::RolledBack { .. } => ledger.rollback().map_or(all, |(base, _)| base)..all,
            _ => return None,
        };
        let index = steps.find(open)?;
        let step = ledger.step(index)?;
        Some(format!("{}, but {} is {:?}", outcome.name(), step.id, ledger.stand(index)))
    });
    for run in &course.runs {
        let end = walk(&run.plan, &run.facts, |_, _, _| ());
        let held = end.stands.iter().any(|stand| matches!(stand, Stand::Held(_)));
        if end.doing == Doing::GoingBack && !(held && end.paged) {
            wrong
                .push(format!("{} is going back at {}, and nobody was called", run.id, course.end));
        }
    }
    wrong
}

/// I17: a look and a performance for each attempt and each takeover, and a last look.
pub(super) fn bounded_attempts(course: &Course) -> Vec<String> {
    each(course, |ledger, fact, _| {
        let Event::StepStarted { step, .. } = &fact.event else { return None };
        let attempts = ledger.step(step.index)?.retry.max_attempts;
        let most = 2 * (attempts + 1) + 2 * ledger.takeovers;
        let starts = ledger.starts.get(&step.index).copied().unwrap_or(0) + 1;
        (starts > most).then(|| format!("{} is tried {starts} times, at most {most}", step.id))
    })
}

/// I18: whoever waits at the end waits for an input that is named, or an instant that is to come.
pub(super) fn wakes(course: &Course) -> Vec<String> {
    // Every requester of a simulation is the same.
    let requester = course.runs.first().map(|run| &run.requester);
    let mut wrong = when_quiet(course, |ledger| {
        if ledger.paused || ledger.doing != Doing::Forward {
            return None;
        }
        (0..).zip(&ledger.stands).find_map(|(index, stand)| {
            let Stand::Blocked(WakeUp::Approval { gate }) = stand else { return None };
            let step = ledger.step(index)?;
            let has = step.gates.iter().any(|known| {
                matches!(known, Gate::Approval(wanted)
                    if wanted.id == *gate && requester.is_some_and(|by| has_enough(ledger, wanted, by)))
            });
            has.then(|| format!("{} waits for approvals of {gate}, which it has", step.id))
        })
    });
    for run in &course.runs {
        let end = walk(&run.plan, &run.facts, |_, _, _| ());
        if matches!(end.doing, Doing::Over) || run.facts.is_empty() {
            continue;
        }
        let on_input = |stand: &Stand| {
            matches!(stand, Stand::Held(_))
                || matches!(stand, Stand::Blocked(WakeUp::Policy | WakeUp::Approval { .. }))
                || matches!(stand, Stand::Again(at) if *at > course.end)
        };
        let waits = end.stands.iter().any(on_input);
        let paused = end.paused && end.doing == Doing::Forward;
        if !waits && !paused {
            wrong.push(format!("{} waits at {} for nothing that could come", run.id, course.end));
        }
    }
    wrong
}
