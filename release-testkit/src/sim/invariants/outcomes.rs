//! Invariants of what counts as success, and of how runs end.

use std::collections::BTreeSet;

use release_core::analysis::{Conclusion, Finding};
use release_core::model::{Analysis, Digest, Finite, Gate, OnCancel, StepId};
use release_core::plan::{Action, Reach, Step, Undo};
use release_core::port::{Evidence, Measurement, Pair};
use release_core::run::{Event, Outcome, Verdict, WakeUp};

use super::admission::{each, has_enough, when_quiet};
use super::ledger::{Doing, Ledger, Stand, walk};
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
                if let Some(Action::Scale { deployment, replicas: 1.., .. }) = action
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

/// Whether a measurement is within the limit, judged by the letter of the definition; where versions are compared, whether
/// both were measured and the judge's finding is that of a healthy one.
fn is_good(
    analysis: &Analysis,
    wanted: Digest,
    evidence: &Evidence,
    found: Option<&Finding>,
) -> bool {
    let enough = u32::try_from(analysis.min_samples).map_or(f64::MAX, f64::from);
    let counted = |one: &Measurement| match one {
        Measurement::Ratio { digest, numerator, denominator } => {
            let fine = denominator.get() >= enough && numerator.get() >= 0.0;
            fine.then_some((*digest, *numerator, *denominator))
        }
        _ => None,
    };
    let healthy = found.is_some_and(|found| found.conclusion == Conclusion::Healthy);
    match evidence {
        Evidence::Measurement(one) if analysis.success().is_none() => {
            healthy && digest_of(one) == Some(wanted)
        }
        Evidence::Measurements { of } => {
            let measured = |one: &Measurement| digest_of(one).is_none_or(|new| new == wanted);
            healthy && !of.is_empty() && of.iter().all(measured)
        }
        Evidence::Comparisons { of } => {
            let measured = |pair: &Pair| digest_of(&pair.canary).is_none_or(|new| new == wanted);
            healthy && !of.is_empty() && of.iter().all(measured)
        }
        Evidence::Measurement(one) => counted(one).is_some_and(|(digest, part, whole)| {
            let value = Finite::new(part.get() / whole.get());
            digest == wanted
                && value
                    .is_ok_and(|value| analysis.success().is_some_and(|bound| bound.holds(value)))
        }),
        Evidence::Comparison { canary, baseline } => {
            let both = counted(canary).zip(counted(baseline));
            both.is_some_and(|((new, ..), (old, ..))| new == wanted && old != wanted) && healthy
        }
        _ => false,
    }
}

/// Whose samples a measurement is of, if it is of any.
const fn digest_of(measurement: &Measurement) -> Option<Digest> {
    match measurement {
        Measurement::Ratio { digest, .. }
        | Measurement::Histogram { digest, .. }
        | Measurement::Points { digest, .. }
        | Measurement::Value { digest, .. } => Some(*digest),
        Measurement::NoData { .. } => None,
    }
}

/// I15.
pub(super) fn no_data(course: &Course) -> Vec<String> {
    each(course, |ledger, fact, _| {
        let (step, evidence, found, passes) = match &fact.event {
            Event::StepSucceeded { step, evidence, finding, .. } => (step, evidence, finding, true),
            Event::StepMeasured { step, evidence, verdict: Verdict::Pass, finding, .. } => {
                (step, evidence, finding, false)
            }
            _ => return None,
        };
        let Action::Analyze { deployment, analysis, .. } = ledger.action(step.index)? else {
            return None;
        };
        let good = is_good(analysis, deployment.artifact.digest(), evidence, found.as_deref());
        let before = ledger.good.get(&step.index).copied().unwrap_or(0);
        let enough = !passes || analysis.judge.sums_up() || before + 1 >= analysis.count;
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
            Outcome::Failed { .. } | Outcome::Cancelled { .. } => {
                let left = left_in_place(ledger)?;
                return Some(format!("{}, but {left} was never put back", outcome.name()));
            }
            // Whoever gives a run up leaves it as it is.
            Outcome::Abandoned { .. } => return None,
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

/// What a run that stops should have put back, by the letter of its plan, and did not. Nothing, where it was
/// not to go back or could not.
fn left_in_place(ledger: &Ledger<'_>) -> Option<StepId> {
    if ledger.one_way {
        return None;
    }
    let leaves = |(index, step): &(u32, &Step)| {
        must_go_back(ledger, *index, step) && !ledger.is_taken_back(*index)
    };
    let steps = ledger.plan.plan().steps();
    (0..).zip(steps).find(leaves).map(|(_, step)| step.id.clone())
}

/// Whether a step was tried that has to be put back, by what failed or was asked for.
pub(super) fn must_go_back(ledger: &Ledger<'_>, index: u32, step: &Step) -> bool {
    let plan = ledger.plan.plan();
    let reaches = || {
        ledger.superseded
            || (ledger.cancelled && plan.on_cancel() == OnCancel::RollBack)
            || ledger.failures.iter().any(|(failed, scope)| {
                plan.steps()
                    .get(*failed as usize)
                    .is_some_and(|failed| Reach::of(plan, failed, *scope).covers(step))
            })
    };
    ledger.attempts.contains_key(&index)
        && step.action.mutates()
        && matches!(&step.undo, Undo::Compensate(undo) if !undo.is_empty())
        && reaches()
}

/// I17: runs that bring their engines down are left alone after so many takeovers that led to nothing.
fn bounded_takeovers(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in &course.runs {
        let mut vain = 0_u32;
        walk(&run.plan, &run.facts, |ledger, fact, at| match &fact.event {
            Event::TakenOver { .. } => {
                let released = run
                    .facts
                    .get(at + 1)
                    .is_some_and(|next| matches!(next.event, Event::QuarantineReleased { .. }));
                vain += u32::from(!ledger.open.is_empty());
                if vain > course.max_recoveries && !released {
                    wrong.push(format!("{} #{}: taken over {vain} times in vain", run.id, at + 1));
                }
            }
            Event::StepStarted { .. }
            | Event::StepBlocked { .. }
            | Event::StepRetried { .. }
            | Event::OutcomeUnknown { .. }
            | Event::CommandDenied { .. } => {}
            _ => vain = 0,
        });
    }
    wrong
}

/// I17: a look and a performance for each attempt and each takeover, and a last look.
pub(super) fn bounded_attempts(course: &Course) -> Vec<String> {
    let mut wrong = bounded_takeovers(course);
    wrong.extend(each(course, |ledger, fact, _| {
        let Event::StepStarted { step, .. } = &fact.event else { return None };
        let attempts = ledger.step(step.index)?.retry.max_attempts;
        let most = 2 * (attempts + 1) + 2 * ledger.takeovers;
        let starts = ledger.starts.get(&step.index).copied().unwrap_or(0) + 1;
        (starts > most).then(|| format!("{} is tried {starts} times, at most {most}", step.id))
    }));
    wrong
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
    wrong.extend(super::permits::wakes(course));
    for run in &course.runs {
        let end = walk(&run.plan, &run.facts, |_, _, _| ());
        if matches!(end.doing, Doing::Over) || run.facts.is_empty() {
            continue;
        }
        let on_input = |stand: &Stand| {
            matches!(stand, Stand::Held(_))
                || matches!(
                    stand,
                    Stand::Blocked(WakeUp::Policy | WakeUp::Permit | WakeUp::Approval { .. })
                )
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
