//! I21: what the fakes of the SDK hold is what the records say.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::StepId;
use release_core::plan::{Action, Undo};
use release_core::run::{Event, Mode, Outcome};

use super::ledger::{Ledger, walk};
use super::outcomes::must_go_back;
use crate::sim::course::{Course, RunCourse};
use crate::sim::fakes::{Asking, Fakes};

/// I21. Runs that change the same are kept apart by whoever starts them.
pub(super) fn agree(course: &Course) -> Vec<String> {
    let Some(fakes) = &course.fakes else { return Vec::new() };
    let mut wrong = once(fakes);
    wrong.extend(announced(course, fakes));
    for (at, run) in course.runs.iter().enumerate() {
        wrong.extend(Told::new(course, at, run).wrong(fakes));
    }
    wrong
}

/// What is done under one key is done once.
fn once(fakes: &Fakes) -> Vec<String> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for landed in fakes.landed.iter().filter(|landed| landed.changed) {
        *counts.entry(&landed.key).or_insert(0) += 1;
    }
    let often = counts.into_iter().filter(|(_, count)| *count > 1);
    often.map(|(key, count)| format!("{key} changed something {count} times")).collect()
}

/// Nothing is done that no record had announced, and all that is there was done so.
fn announced(course: &Course, fakes: &Fakes) -> Vec<String> {
    let mut started: BTreeMap<(usize, &StepId), u64> = BTreeMap::new();
    for (at, run) in course.runs.iter().enumerate() {
        for (fact, (tick, _)) in run.facts.iter().zip(&run.stored) {
            if let Event::StepStarted { step, mode: Mode::Perform, .. } = &fact.event {
                started.entry((at, &step.id)).or_insert(*tick);
            }
        }
    }
    let mut wrong = Vec::new();
    for landed in &fakes.landed {
        let call = course.calls.get(landed.call).filter(|call| call.key == landed.key);
        let begun = call.and_then(|call| started.get(&(call.run, &call.id)));
        if begun.is_none_or(|begun| *begun >= landed.tick) {
            wrong.push(format!("{} changes {}, and never started", landed.key, landed.subject));
        }
    }
    let known: BTreeSet<&str> = fakes.landed.iter().map(|landed| &*landed.key).collect();
    let unknown = fakes.keys().filter(|key| !known.contains(key));
    wrong.extend(unknown.map(|key| format!("there is {key}, which nobody asked for")));
    wrong
}

/// What the records of one run say of fakes.
struct Told<'a> {
    run: &'a RunCourse,
    /// The key under which each step was performed last.
    keys: BTreeMap<&'a str, &'a str>,
}

impl<'a> Told<'a> {
    fn new(course: &'a Course, at: usize, run: &'a RunCourse) -> Self {
        let calls = course.calls.iter().filter(|call| call.run == at && call.mode == Mode::Perform);
        Self { run, keys: calls.map(|call| (call.id.as_str(), &*call.key)).collect() }
    }

    fn key(&self, step: &StepId) -> &'a str {
        self.keys.get(step.as_str()).copied().unwrap_or_default()
    }

    fn asking(&self, action: &Action) -> Option<Asking> {
        Asking::read(action, |step| self.keys.get(step).map(|key| (*key).to_owned()))
    }

    fn asked(&self, ledger: &Ledger<'_>, index: u32, step: &StepId) -> Option<(String, Asking)> {
        let asking = self.asking(ledger.action(index)?)?;
        Some((asking.subject(self.key(step)), asking))
    }

    fn wrong(&self, fakes: &Fakes) -> Vec<String> {
        // By what it changes, the last step that succeeded, unless another was tried since.
        let mut so: BTreeMap<String, (&StepId, Asking)> = BTreeMap::new();
        let end = walk(&self.run.plan, &self.run.facts, |ledger, fact, _| match &fact.event {
            Event::StepStarted { step, mode: Mode::Perform, .. } => {
                let subject = self.asked(ledger, step.index, &step.id);
                subject.map(|(subject, _)| so.remove(&subject));
            }
            Event::StepSucceeded { step, .. } | Event::Reconciled { step, applied: true, .. } => {
                let asked = self.asked(ledger, step.index, &step.id);
                so.extend(asked.map(|(subject, asking)| (subject, (&step.id, asking))));
            }
            _ => {}
        });
        let not_so = so.iter().filter(|(_, (step, asking))| !fakes.is_so(self.key(step), asking));
        let mut wrong: Vec<_> = not_so
            .map(|(subject, (step, _))| {
                format!("{}: {step} succeeded, and {subject} is not so", self.run.id)
            })
            .collect();
        wrong.extend(self.left(&end, fakes));
        wrong
    }

    /// What a run that was rolled back changed and did not take back.
    fn left(&self, end: &Ledger<'_>, fakes: &Fakes) -> Vec<String> {
        let last = self.run.facts.last().map(|fact| &fact.event);
        if end.one_way
            || !matches!(last, Some(Event::RunFinished { outcome: Outcome::RolledBack { .. } }))
        {
            return Vec::new();
        }
        let mut wrong = Vec::new();
        for (index, step) in (0..).zip(end.plan.plan().steps()) {
            let key = self.key(&step.id);
            let landed = |one: &crate::sim::Landed| one.key == key && one.changed;
            let Undo::Compensate(undo) = &step.undo else { continue };
            if !fakes.landed.iter().any(landed) || !must_go_back(end, index, step) {
                continue;
            }
            let asked = undo.iter().filter_map(|one| self.asking(&one.action));
            let left = asked.filter(|asking| !fakes.is_so("", asking));
            wrong.extend(left.map(|asking| {
                let subject = asking.subject("");
                format!("{}: it went back, and {subject} is as {} made it", self.run.id, step.id)
            }));
        }
        wrong
    }
}
