//! What came of a simulation.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::explain::Explanation;
use crate::port::Reason;
use crate::run::{Event, Fact, Outcome, RunState, Status, StepRef};
use crate::time::Timestamp;

/// The course that a run would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a course that nobody reads forecasts nothing"]
pub struct Course {
    /// How the run would end; nothing if it would still wait.
    pub outcome: Option<Outcome>,
    /// The last instant at which something would happen.
    pub until: Timestamp,
    /// All steps, those of a rollback last.
    pub steps: Vec<CourseStep>,
    /// What the run would still wait for: up to 64 steps that wait for no other.
    pub waiting: Vec<Explanation>,
    /// Assumed commands that would make no sense when they are given.
    pub refused: Vec<Refused>,
    /// What would be journaled, in order.
    #[serde(skip)]
    pub facts: Vec<Fact>,
}

/// One step of a course.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CourseStep {
    /// The step.
    pub step: StepRef,
    /// Whether it is part of a rollback.
    pub rollback: bool,
    /// How it would stand at the end.
    pub status: Status,
    /// When it would first start.
    pub began: Option<Timestamp>,
    /// When it would be done or given up.
    pub ended: Option<Timestamp>,
    /// What gates and policies would hold it back, and for how long.
    pub holds: Vec<Held>,
}

/// A time in which gates or policies would hold a step back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// From when.
    pub from: Timestamp,
    /// Until when; nothing if it would still be held.
    pub until: Option<Timestamp>,
    /// Why: all reasons.
    pub reasons: Vec<Reason>,
}

/// An assumed command that would make no sense when it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// The command, by its name.
    pub command: String,
    /// Why.
    pub why: String,
}

impl Course {
    /// Reads the facts that led to `state`.
    pub(super) fn new(
        state: &RunState,
        facts: Vec<Fact>,
        waiting: Vec<Explanation>,
        refused: Vec<Refused>,
    ) -> Self {
        let plan = state.plan();
        let step = |(index, status): (u32, Status)| CourseStep {
            step: StepRef::of(plan, index),
            rollback: plan.in_rollback(index),
            status,
            began: None,
            ended: None,
            holds: Vec::new(),
        };
        let all = (0..).map_while(|index| Some((index, state.status(index)?)));
        let mut steps: Vec<_> = all.map(step).collect();
        for fact in &facts {
            let index = fact.event.step().map(|step| step.index as usize);
            if let Some(step) = index.and_then(|index| steps.get_mut(index)) {
                step.note(fact);
            }
        }
        let (outcome, until) = (state.outcome().cloned(), state.now());
        Self { outcome, until, steps, waiting, refused, facts }
    }

    /// The steps that a rule would hold back, for example `freeze/black-friday`, or `freeze/` for all
    /// rules that begin so.
    pub fn held_by<'a>(&'a self, rule: &'a str) -> impl Iterator<Item = (&'a StepRef, &'a Held)> {
        let holds = move |held: &&Held| held.reasons.iter().any(|r| r.rule.starts_with(rule));
        self.steps.iter().flat_map(move |step| {
            step.holds.iter().filter(holds).map(move |held| (&step.step, held))
        })
    }

    /// The step called `id`.
    pub fn step(&self, id: &str) -> Option<&CourseStep> {
        self.steps.iter().find(|step| step.step.id.as_str() == id)
    }

    /// All rules that would hold steps back, and for how many times.
    pub fn rules(&self) -> BTreeMap<&str, usize> {
        let mut rules = BTreeMap::new();
        let holds = self.steps.iter().flat_map(|step| &step.holds);
        for reason in holds.flat_map(|held| &held.reasons) {
            *rules.entry(reason.rule.as_str()).or_insert(0) += 1;
        }
        rules
    }
}

impl CourseStep {
    fn note(&mut self, Fact { at, event }: &Fact) {
        if let Some(held) = self.holds.last_mut().filter(|held| held.until.is_none()) {
            held.until = Some(*at);
        }
        match event {
            Event::StepBlocked { reasons, .. } => {
                let reasons = reasons.clone();
                match self.holds.last_mut() {
                    // Looked at again for the same reasons: still the same time.
                    Some(held) if held.until == Some(*at) && held.reasons == reasons => {
                        held.until = None;
                    }
                    _ => self.holds.push(Held { from: *at, until: None, reasons }),
                }
            }
            Event::StepStarted { .. } => drop(self.began.get_or_insert(*at)),
            Event::StepSucceeded { .. } | Event::StepFailed { .. } | Event::Reconciled { .. } => {
                self.began.get_or_insert(*at);
                self.ended = Some(*at);
            }
            _ => {}
        }
    }
}

/// A line for each step, then how it ends or what it waits for.
impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CourseStep { step, status, began, ended, holds, .. } in &self.steps {
            write!(f, "`{}` {}", step.id, status.name())?;
            began.map_or(Ok(()), |at| write!(f, ", from {at}"))?;
            ended.map_or(Ok(()), |at| write!(f, " until {at}"))?;
            f.write_str("\n")?;
            for Held { from, until, reasons } in holds {
                write!(f, "- held from {from}")?;
                until.map_or(Ok(()), |at| write!(f, " until {at}"))?;
                let all: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                writeln!(f, ": {}", all.join("; "))?;
            }
        }
        if let Some(outcome) = &self.outcome {
            return write!(f, "the run would be over at {}: {outcome}", self.until);
        }
        f.write_str("the run would wait")?;
        self.waiting.iter().try_for_each(|found| write!(f, "\n{found}"))
    }
}
