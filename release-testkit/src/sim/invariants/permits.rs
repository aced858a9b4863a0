//! Invariants of permits, computed from the records of the ledger, and from the calls beside them. The
//! ledger's own fold is not asked.

use std::collections::{BTreeMap, BTreeSet};

use release_core::limits::{Claim, Class, LedgerEvent, Limit, Limits, Request, Subject, Unit};
use release_core::model::{LimitId, RunId, Timestamp};
use release_core::run::{Event, Mode};

use crate::sim::course::{Call, Course, Entry, RunCourse, What};
use crate::sim::provider::Capability;

/// What a run has permits for.
type Owner = (RunId, Unit);

/// Who waits and who has what behind some of the ledger's records.
#[derive(Debug, Default)]
pub(crate) struct Account<'a> {
    pub(crate) waiting: BTreeMap<&'a Claim, (Timestamp, &'a Request)>,
    pub(crate) held: BTreeMap<Owner, &'a [LimitId]>,
    /// What was begun of each quota, and when.
    pub(crate) begun: BTreeMap<&'a LimitId, Vec<(Timestamp, Owner)>>,
}

impl<'a> Account<'a> {
    /// What a request needs and its run does not have.
    fn missing(
        &self,
        request: &'a Request,
    ) -> impl Iterator<Item = &'a release_core::limits::Want> {
        let lacks = |want: &&release_core::limits::Want| {
            !self.held.contains_key(&(request.claim.run.clone(), want.unit.clone()))
        };
        request.wants.iter().filter(lacks)
    }

    pub(crate) fn holds(&self, limit: &LimitId) -> usize {
        self.held.values().filter(|limits| limits.contains(limit)).count()
    }

    fn give_back(&mut self, over: impl Fn(&Owner) -> bool) {
        self.held.retain(|owner, _| !over(owner));
    }

    pub(crate) fn fold(&mut self, entry: &'a Entry, limits: &Limits) {
        match &entry.event {
            LedgerEvent::Requested { request } => {
                self.waiting.entry(&request.claim).or_insert((entry.at, request)).1 = request;
            }
            LedgerEvent::Granted { claim, .. } => {
                let Some((_, request)) = self.waiting.remove(claim) else { return };
                let missing: Vec<_> = self.missing(request).collect();
                for want in missing {
                    let owner = (claim.run.clone(), want.unit.clone());
                    for id in &want.quotas {
                        let Some(quota) = limits.quota(id) else { continue };
                        let start = quota.window.start(entry.at);
                        let begun = self.begun.entry(id).or_default();
                        begun.retain(|(at, _)| *at >= start);
                        if !begun.iter().any(|(_, other)| *other == owner) {
                            begun.push((entry.at, owner.clone()));
                        }
                    }
                    self.held.insert(owner, &want.limits);
                }
            }
            LedgerEvent::Withdrawn { claim, .. } => drop(self.waiting.remove(claim)),
            LedgerEvent::Released { run, units, .. } => {
                self.give_back(|(of, unit)| of == run && units.contains(unit));
            }
            LedgerEvent::Adopted { run, epoch, .. } => {
                self.waiting.retain(|claim, (_, r)| claim.run != *run || r.epoch >= *epoch);
            }
            LedgerEvent::ForceReleased { run, .. } => self.give_back(|(of, _)| of == run),
            _ => {}
        }
    }
}

/// Folds all records of the ledger, and shows what is known behind each; with it whether that is the last
/// of an append.
pub(crate) fn walk<'a>(
    course: &'a Course,
    mut look: impl FnMut(&Account<'a>, &'a Entry, bool),
) -> Account<'a> {
    let mut account = Account::default();
    for (nth, entry) in course.permits.iter().enumerate() {
        account.fold(entry, &course.limits);
        let last = course.permits.get(nth + 1).is_none_or(|next| next.tick != entry.tick);
        look(&account, entry, last);
    }
    account
}

/// I4: no limit and no quota is exceeded, no call is made without its permits, and nothing that is over
/// has any.
pub(super) fn room(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut classes: BTreeMap<&Claim, Class> = BTreeMap::new();
    let end = walk(course, |account, entry, _| {
        if let LedgerEvent::Requested { request } = &entry.event {
            classes.insert(&request.claim, request.class);
        }
        let LedgerEvent::Granted { claim, .. } = &entry.event else { return };
        for limit in course.limits.limits() {
            let back = classes.get(claim) == Some(&Class::Rollback);
            let most = if back { limit.most() } else { limit.capacity };
            let held = account.holds(&limit.id);
            let gets = account
                .held
                .iter()
                .any(|((run, _), limits)| *run == claim.run && limits.contains(&limit.id));
            if gets && held > most as usize {
                wrong.push(format!("{claim} gets permit {held} of {most} of {}", limit.id));
            }
        }
        for quota in course.limits.quotas() {
            let begun = account.begun.get(&quota.id).map_or(0, Vec::len);
            if begun > quota.amount as usize {
                wrong
                    .push(format!("{claim} is number {begun} of {} in {}", quota.amount, quota.id));
            }
        }
    });
    let over: BTreeSet<&RunId> = course.runs.iter().filter(|r| is_over(r)).map(|r| &r.id).collect();
    let leaked = end.held.keys().filter(|(run, _)| over.contains(run) && !course.cut_short);
    wrong.extend(leaked.map(|(run, unit)| format!("{run} is over and has a permit for {unit}")));
    wrong.extend(calls(course));
    wrong
}

fn is_over(run: &RunCourse) -> bool {
    matches!(run.facts.last().map(|fact| &fact.event), Some(Event::RunFinished { .. }))
}

/// For each owner, from when to when it had its permits.
fn tenures(course: &Course) -> BTreeMap<Owner, Vec<(u64, u64)>> {
    let mut tenures: BTreeMap<Owner, Vec<(u64, u64)>> = BTreeMap::new();
    let mut before: BTreeSet<Owner> = BTreeSet::new();
    walk(course, |account, entry, _| {
        if !matches!(
            entry.event,
            LedgerEvent::Granted { .. }
                | LedgerEvent::Released { .. }
                | LedgerEvent::ForceReleased { .. }
        ) {
            return;
        }
        let now: BTreeSet<Owner> = account.held.keys().cloned().collect();
        for gone in before.difference(&now) {
            if let Some(last) = tenures.get_mut(gone).and_then(|all| all.last_mut()) {
                last.1 = entry.tick;
            }
        }
        for new in now.difference(&before) {
            tenures.entry(new.clone()).or_default().push((entry.tick, u64::MAX));
        }
        before = now;
    });
    tenures
}

/// Whoever drives a run makes no call without its permits, and keeps them while the call is under way.
/// What an engine does that was taken over and does not know it is not counted: its permits are its
/// successor's.
fn calls(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    if course.limits == Limits::default() {
        return wrong;
    }
    let tenures = tenures(course);
    let mut taken: BTreeMap<(usize, u64), u64> = BTreeMap::new();
    for note in &course.notes {
        if let What::Stored { run, epoch, .. } = &note.what {
            taken.entry((*run, *epoch)).or_insert(note.tick);
        }
    }
    // When nobody needs any more what was under way.
    let drops = |event: &Event| {
        matches!(
            event,
            Event::RollbackStarted { .. } | Event::RunFinished { .. } | Event::AbandonForced { .. }
        )
    };
    let dropped = course.runs.iter().map(|run| {
        let facts = run.facts.iter().zip(&run.stored).filter(|(fact, _)| drops(&fact.event));
        facts.map(|(_, (tick, _))| *tick).collect::<Vec<_>>()
    });
    let dropped: Vec<_> = dropped.collect();
    for call in &course.calls {
        let Some(run) = course.runs.get(call.run) else { continue };
        let Some(step) = run.step(&call.id) else { continue };
        let later = (call.run, call.epoch + 1)..(call.run, u64::MAX);
        let fenced = taken.range(later).map(|(_, tick)| *tick).min().unwrap_or(u64::MAX);
        if fenced <= call.tick {
            continue;
        }
        let given_up =
            dropped.get(call.run).and_then(|ticks| ticks.iter().find(|t| **t > call.tick));
        let over = call.over.unwrap_or(u64::MAX).min(fenced);
        let over = given_up.map_or(over, |tick| over.min(*tick));
        let generation = call.key.rsplit('/').next().and_then(|g| g.parse().ok()).unwrap_or(0);
        let provider = Some(Capability::of(&step.action).name());
        let rollback = run.rollback().iter().any(|step| step.id == call.id);
        let subject = Subject { step, provider, generation, rollback };
        for want in course.limits.wants(&subject) {
            let owner = (run.id.clone(), want.unit);
            let has = |(from, to): &(u64, u64)| *from < call.tick && over.min(*to) == over;
            let covered = tenures.get(&owner).is_some_and(|all| all.iter().any(has));
            if !covered && over < u64::MAX {
                wrong.push(format!("{}: {} has no permit for {}", run.id, name(call), owner.1));
            }
        }
    }
    wrong
}

fn name(call: &Call) -> String {
    let mode = if call.mode == Mode::Look { "a look at " } else { "" };
    format!("{mode}{} at tick {}", call.key, call.tick)
}

/// I9: no rollback waits for permits while enough are free, the reserve included.
pub(super) fn rollbacks(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    walk(course, |account, entry, last| {
        let back = |(_, request): &&(Timestamp, &Request)| request.class == Class::Rollback;
        let waiting: Vec<_> = account.waiting.values().filter(back).collect();
        for (_, request) in waiting.iter().filter(|_| last) {
            let free = |id: &LimitId| {
                let most = course.limits.limit(id).map_or(u32::MAX, Limit::most);
                (most as usize).saturating_sub(account.holds(id)) >= waiting.len()
            };
            if account.missing(request).flat_map(|want| &want.limits).all(free) {
                wrong.push(format!("{} waits at {} for what is free", request.claim, entry.at));
            }
        }
    });
    wrong
}

/// I18: where somebody waits for permits, somebody has some, or a quota is to be renewed: whatever is
/// given back goes to who waits.
pub(super) fn wakes(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    walk(course, |account, entry, last| {
        let quotas = |(_, request): &(Timestamp, &Request)| {
            request.wants.iter().any(|want| !want.quotas.is_empty())
        };
        if last && account.held.is_empty() && !account.waiting.values().any(quotas) {
            let waits = account.waiting.keys();
            wrong.extend(waits.map(|claim| format!("{claim} waits at {} for nobody", entry.at)));
        }
    });
    wrong
}
