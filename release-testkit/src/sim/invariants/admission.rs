//! Invariants of what may start: freezes, approvals, order, room.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Approval, Gate, Principal, Timestamp};
use release_core::plan::Action;
use release_core::run::{Event, Fact, Outcome, StepRef, WakeUp};
use release_policy::window::{OnStart, Point};

use super::ledger::{Doing, Ledger, Stand, acts, walk};
use crate::sim::course::{Course, RunCourse, What};

/// Looks at every fact of every run.
pub(super) fn each<'a>(
    course: &'a Course,
    mut look: impl FnMut(&Ledger<'a>, &'a Fact, &'a RunCourse) -> Option<String>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in &course.runs {
        walk(&run.plan, &run.facts, |ledger, fact, at| {
            let found = look(ledger, fact, run);
            wrong.extend(found.map(|found| format!("{} #{}: {found}", run.id, at + 1)));
        });
    }
    wrong
}

/// A step that goes forward and acts, and has to be admitted for it: no rollback, nothing without an
/// effect, and no analysis that measures again.
fn admitted<'a>(ledger: &Ledger<'_>, event: &'a Event) -> Option<&'a StepRef> {
    let step = acts(event)?;
    let action = ledger.action(step.index)?;
    let measures_again = matches!(action, Action::Analyze { .. })
        && ledger.attempts.contains_key(&step.index)
        && !matches!(ledger.stand(step.index), Stand::Blocked(_));
    (!ledger.in_rollback(step.index) && !action.is_pure() && !measures_again).then_some(step)
}

/// I1.
pub(super) fn freezes(course: &Course) -> Vec<String> {
    each(course, |ledger, fact, _| {
        let step = admitted(ledger, &fact.event)?;
        let place = ledger.step(step.index)?.scope.place()?;
        let window = course.windows.iter().find_map(|all| all.freeze_in(place, fact.at))?;
        if goes_on(ledger, step.index, window.spec().on_start) {
            return None;
        }
        Some(format!("{} starts at {} in freeze {}", step.id, fact.at, window.id()))
    })
}

/// Whether a freeze leaves a rollout alone that had begun: all of it, or as far as traffic would stay split.
fn goes_on(ledger: &Ledger<'_>, index: u32, on_start: OnStart) -> bool {
    let group = ledger.step(index).and_then(|step| step.group);
    let begun = |at: &u32| {
        let same = ledger.step(*at).is_some_and(|step| step.group == group);
        same && group.is_some() && ledger.action(*at).is_some_and(Action::mutates)
    };
    ledger.attempts.keys().any(begun)
        && match on_start {
            OnStart::Finish => true,
            OnStart::HoldAtSafePoint => !Point::before(&ledger.plan, index).is_safe(),
            OnStart::Revert => false,
        }
}

/// I20.
pub(super) fn tightened(course: &Course) -> Vec<String> {
    each(course, |ledger, fact, _| {
        let step = admitted(ledger, &fact.event)?;
        let place = ledger.step(step.index)?.scope.place()?;
        let denies = |(since, windows): &&(Timestamp, release_policy::Windows)| {
            *since <= fact.at && windows.freeze_in(place, fact.at).is_some()
        };
        let (since, _) = course.tightened.iter().find(denies)?;
        Some(format!("{} starts at {}, which is denied since {since}", step.id, fact.at))
    })
}

/// I8.
pub(super) fn approvals(course: &Course) -> Vec<String> {
    each(course, |ledger, fact, run| {
        let step = match &fact.event {
            Event::StepSucceeded { step, .. }
                if !matches!(ledger.stand(step.index), Stand::Open | Stand::Baking) =>
            {
                step
            }
            event => acts(event)?,
        };
        for gate in &ledger.step(step.index)?.gates {
            let Gate::Approval(wanted) = gate else { continue };
            if !has_enough(ledger, wanted, &run.requester) {
                let count = distinct(ledger, wanted, &run.requester);
                return Some(format!(
                    "{} passes {} with {count} of {} approvals",
                    step.id, wanted.id, wanted.quorum
                ));
            }
        }
        None
    })
}

fn begins(event: &Event) -> Option<&StepRef> {
    match event {
        Event::StepStarted { step, .. } | Event::StepSucceeded { step, .. } => Some(step),
        _ => None,
    }
}

fn before_its_time(ledger: &Ledger<'_>, event: &Event, sync: bool) -> Option<String> {
    let step = begins(event)?;
    if (*ledger.action(step.index)? == Action::Sync) != sync {
        return None;
    }
    let before = ledger.missing(step.index).next()?;
    let name = ledger.step(before).map(|before| before.id.to_string()).unwrap_or_default();
    Some(format!("{} goes before {name} is done", step.id))
}

/// I11: nothing starts before its time, and no other plan says that something did.
pub(super) fn order(course: &Course) -> Vec<String> {
    each(course, |ledger, fact, _| match &fact.event {
        Event::PlanMigrated { to, .. } => continues(ledger, &ledger.plan.later(*to)?),
        event => before_its_time(ledger, event, false),
    })
}

/// What a run has begun that a plan changes, or puts behind what is not done.
fn continues(ledger: &Ledger<'_>, plan: &release_core::plan::FrozenPlan) -> Option<String> {
    let places: BTreeMap<u32, u32> =
        ledger.places_in(plan).into_iter().map(|(a, b)| (b, a)).collect();
    for (there, here) in &places {
        if ledger.attempts.contains_key(here)
            && plan.get(*there).map(|step| &step.action)
                != ledger.step(*here).map(|step| &step.action)
        {
            return Some(format!("{} does something else now", ledger.step(*here)?.id));
        }
    }
    let begun =
        |here: &u32| *ledger.stand(*here) == Stand::Done || ledger.attempts.contains_key(here);
    let early = plan.plan().edges().iter().find(|edge| {
        let done = places.get(&edge.from).is_some_and(|before| ledger.is_done(*before));
        !done && places.get(&edge.to).is_some_and(begun)
    })?;
    Some(format!("{} has begun before what it waits for now", plan.get(early.to)?.id))
}

/// I12.
pub(super) fn syncs(course: &Course) -> Vec<String> {
    each(course, |ledger, fact, _| before_its_time(ledger, &fact.event, true))
}

/// I4: as the records say, as the providers saw it, and as the ledger of permits has it.
pub(super) fn room(course: &Course) -> Vec<String> {
    let mut wrong = super::permits::room(course);
    wrong.extend(each(course, |ledger, fact, _| {
        let Event::StepStarted { step, .. } = &fact.event else { return None };
        if ledger.action(step.index)?.is_pure() {
            return None;
        }
        let most = ledger.plan.plan().max_parallel() as usize;
        let open = ledger.open.len() + usize::from(!ledger.open.contains(&step.index));
        (open > most).then(|| format!("{open} effects are under way, {most} may be"))
    }));
    let mut changes: Vec<(u64, i32, usize)> = Vec::new();
    for call in &course.calls {
        changes.push((call.tick, 1, call.run));
        changes.extend(call.over.map(|over| (over, -1, call.run)));
    }
    changes.sort_unstable();
    let mut under_way = vec![0_i32; course.runs.len()];
    for (tick, change, run) in changes {
        let (Some(count), Some(course)) = (under_way.get_mut(run), course.runs.get(run)) else {
            continue;
        };
        *count += change;
        let most = course.plan.plan().max_parallel();
        // An engine that was taken over and does not know it yet may have calls under way.
        let engines = i32::try_from(most).unwrap_or(i32::MAX).saturating_mul(2);
        if *count > engines {
            wrong.push(format!("{} has {count} calls under way at tick {tick}", course.id));
        }
    }
    wrong
}

/// I3: where one version is being brought up, no other begins to be before that is known to be over.
fn one_rollout_a_target(course: &Course) -> Vec<String> {
    fn brings_up(action: &Action) -> Option<&release_core::plan::Deployment> {
        match action {
            Action::Scale { deployment, replicas, .. } if *replicas > 0 => Some(deployment),
            _ => None,
        }
    }
    each(course, |ledger, fact, _| {
        let step = acts(&fact.event)?;
        let new = brings_up(ledger.action(step.index)?)?;
        for other in ledger.open.iter().chain(&ledger.unknown).filter(|at| **at != step.index) {
            let Some(there) = ledger.action(*other).and_then(brings_up) else { continue };
            if there.target == new.target && there.artifact.digest() != new.artifact.digest() {
                return Some(format!("{} begins while {} is under way", step.id, there.version));
            }
        }
        None
    })
}

/// I3: nothing is put back, and no run is over, before it is known of everything that it changes there whether
/// it took place: observed, or said by a person. Only who gives a run up need not know.
pub(super) fn known_before_back(course: &Course) -> Vec<String> {
    let mut wrong = one_rollout_a_target(course);
    wrong.extend(each(course, |ledger, fact, _| {
        let part = match &fact.event {
            Event::RollbackStarted { .. } => None,
            Event::TakeBackStarted { extension, .. } => extension.part.as_ref(),
            Event::RunFinished { outcome } if !matches!(outcome, Outcome::Abandoned { .. }) => None,
            _ => return None,
        };
        let concerns = |index: &&u32| {
            ledger.action(**index).is_some_and(Action::mutates)
                && ledger
                    .step(**index)
                    .is_some_and(|step| part.is_none_or(|part| part.covers(step)))
        };
        let index = ledger.open.iter().chain(&ledger.unknown).find(concerns)?;
        let step = ledger.step(*index)?;
        Some(format!("{} while nobody knows of {}", fact.event.name(), step.id))
    }));
    wrong
}

/// I9: nothing blocks a step of a rollback but the lack of permits while none is free, and as long as there is room and a step of it is ready, an
/// engine that has nothing to decide has started it.
pub(super) fn rollbacks_go_on(course: &Course) -> Vec<String> {
    let mut wrong = each(course, |ledger, fact, _| match &fact.event {
        Event::StepBlocked { step, wake, .. }
            if ledger.in_rollback(step.index) && *wake != WakeUp::Permit =>
        {
            Some(format!("{} of a rollback is blocked", step.id))
        }
        _ => None,
    });
    wrong.extend(super::permits::rollbacks(course));
    let waits = |ledger: &Ledger<'_>| {
        if ledger.doing != Doing::GoingBack
            || ledger.open.len() >= ledger.plan.plan().max_parallel() as usize
        {
            return None;
        }
        let (base, extension) = ledger.rollback()?;
        let mut idle = (0..).zip(&extension.steps).filter(|(at, _)| !extension.pages.contains(at));
        idle.find(|(at, _)| {
            let index = at + base;
            *ledger.stand(index) == Stand::Idle && ledger.missing(index).next().is_none()
        })
        .map(|(_, step)| format!("{} of a rollback could start and does not", step.id))
    };
    wrong.extend(when_quiet(course, waits));
    wrong
}

/// Looks at what is known of every run whenever its engine has nothing to decide.
pub(super) fn when_quiet(
    course: &Course,
    look: impl Fn(&Ledger<'_>) -> Option<String>,
) -> Vec<String> {
    let mut quiet: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); course.runs.len()];
    for note in &course.notes {
        if let What::Quiet { run, seq, .. } = &note.what
            && let Some(quiet) = quiet.get_mut(*run)
        {
            quiet.insert(*seq);
        }
    }
    let mut wrong = Vec::new();
    for (run, quiet) in course.runs.iter().zip(quiet) {
        let end = walk(&run.plan, &run.facts, |ledger, _, at| {
            if quiet.contains(&u64::try_from(at).unwrap_or(u64::MAX)) {
                wrong.extend(look(ledger).map(|found| format!("{} #{at}: {found}", run.id)));
            }
        });
        if quiet.contains(&u64::try_from(run.facts.len()).unwrap_or(u64::MAX)) {
            wrong.extend(look(&end).map(|found| format!("{}: {found}", run.id)));
        }
    }
    wrong
}

/// Whether a gate has all the approvals that it wants, of people who may give them.
pub(super) fn has_enough(ledger: &Ledger<'_>, wanted: &Approval, requester: &Principal) -> bool {
    distinct(ledger, wanted, requester) >= wanted.quorum as usize
        && !ledger.rejected.contains(&wanted.id)
}

fn distinct(ledger: &Ledger<'_>, wanted: &Approval, requester: &Principal) -> usize {
    let given = ledger.approvals.get(&wanted.id).map(|all| &all[..]).unwrap_or_default();
    let counts = given.iter().filter(|by| {
        (wanted.requester_may_approve || by.id != requester.id)
            && (wanted.roles.is_empty() || wanted.roles.iter().any(|r| by.roles.contains(r)))
    });
    counts.map(|by| &by.id).collect::<BTreeSet<_>>().len()
}
