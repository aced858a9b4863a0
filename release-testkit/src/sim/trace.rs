//! A course of things as it is written down: one line for each thing that happened.

use std::fmt;

use release_core::limits::LedgerEvent;
use serde::{Deserialize, Serialize};

use super::course::{Course, What};
use super::{FaultPlan, Sim};

/// What happened, line by line, and what it takes to see it again: the seed and the faults. The same
/// simulation replays it byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub faults: FaultPlan,
    /// What happened.
    pub lines: Vec<String>,
}

/// Two traces part here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The first line that differs, from 1.
    pub line: usize,
    /// What it says in the one; nothing where that is over.
    pub one: Option<String>,
    /// What it says in the other.
    pub other: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |line: &Option<String>| line.clone().unwrap_or_else(|| "(its end)".to_owned());
        write!(f, "line {}:\n- {}\n+ {}", self.line, said(&self.one), said(&self.other))
    }
}

impl Trace {
    /// The first line in which two traces differ.
    pub fn diff(&self, other: &Self) -> Option<Difference> {
        let most = self.lines.len().max(other.lines.len());
        let differs = |at: &usize| self.lines.get(*at) != other.lines.get(*at);
        (0..most).find(differs).map(|at| Difference {
            line: at + 1,
            one: self.lines.get(at).cloned(),
            other: other.lines.get(at).cloned(),
        })
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, faults: {}", self.seed, self.faults)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Sim {
    /// Runs the simulation and writes down what happened.
    pub fn trace(&self) -> Trace {
        let course = self.course();
        let mut lines: Vec<String> =
            course.notes.iter().flat_map(|note| lines(&course, note)).collect();
        lines.extend(course.runs.iter().filter_map(|run| {
            let head = run.hashes.last()?;
            Some(format!("{} has {} records, the last is {head}", run.id, run.hashes.len()))
        }));
        Trace { seed: self.seed, faults: self.setup.faults.clone(), lines }
    }

    /// Runs the simulation twice, and says where the second time differs from the first: never, unless a
    /// policy reads a clock or draws for itself, or this crate has a fault. What is compared is all that
    /// happened, and the hash of all records.
    ///
    /// ```
    /// use release_testkit::fixtures::Shop;
    /// use release_testkit::sim::Sim;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sim = Sim::new(7).definition(&Shop::new().definition())?;
    /// assert_eq!(sim.differs_from_itself(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn differs_from_itself(&self) -> Option<Difference> {
        self.trace().diff(&self.trace())
    }

    /// Runs the simulation with the seed and the faults of a trace. Returns where it differs from it:
    /// nothing, where the simulation is the one that was traced.
    pub fn replay(&self, trace: &Trace) -> Option<Difference> {
        let again = self.clone().seed(trace.seed).faults(trace.faults.clone()).trace();
        trace.diff(&again)
    }
}

fn lines(course: &Course, note: &super::Note) -> Vec<String> {
    let call = |at: &usize| {
        let call = course.calls.get(*at);
        call.map_or_else(String::new, |c| {
            format!("{} (attempt {}, {:?})", c.key, c.attempt, c.mode)
        })
    };
    let what = match &note.what {
        What::Stored { run, engine, epoch, first, count, .. } => {
            return stored(course, note, (*run, *engine, *epoch), (*first, *count));
        }
        What::Quarantined { run, recoveries } => {
            format!("run {run} is quarantined after {recoveries} recoveries")
        }
        What::NotMigrated { run, why } => format!("run {run} keeps its plan: {why}"),
        What::AppendFailed { run, engine, error } => {
            format!("engine {engine}, run {run}: {error}")
        }
        What::Called { call: at } => format!("calls {}", call(at)),
        What::Applied { call: at } => format!("takes effect: {}", call(at)),
        What::Answered { call: at, heard, said } => {
            format!("{said}{}: {}", if *heard { "" } else { " (nobody waits)" }, call(at))
        }
        What::Entered { count } => {
            let entries = course.permits.iter().skip_while(|entry| entry.tick < note.tick);
            let line =
                |entry: &super::Entry| format!("{} permits: {}", note.at, told(&entry.event));
            return entries.take(*count).filter(|e| e.tick == note.tick).map(line).collect();
        }
        What::Quiet { .. } => return Vec::new(),
        What::Left { run, engine, why, .. } => format!("engine {engine} leaves run {run}: {why}"),
        What::Commanded { run, by, command, refused } => {
            let refused =
                refused.as_ref().map_or_else(String::new, |why| format!(", refused: {why}"));
            format!("{by} to run {run}: {command}{refused}")
        }
        What::Struck { fault } => format!("fault: {fault}"),
        What::Up { engine } => format!("engine {engine} is up"),
        What::Healed => "no more faults".to_owned(),
    };
    vec![format!("{} {what}", note.at)]
}

fn told(event: &LedgerEvent) -> String {
    match event {
        LedgerEvent::Requested { request } => format!("{} asks", request.claim),
        LedgerEvent::Granted { claim, by } => format!("{claim} may start, says {by}"),
        LedgerEvent::Taken { claim } => format!("{claim} takes it"),
        LedgerEvent::Withdrawn { claim, .. } => format!("{claim} asks no more"),
        LedgerEvent::Released { run, units, why, .. } => {
            let units: Vec<_> = units.iter().map(ToString::to_string).collect();
            format!("run `{run}` gives back {} ({why})", units.join(", "))
        }
        LedgerEvent::Adopted { run, engine, .. } => format!("{engine} has run `{run}`"),
        LedgerEvent::ForceReleased { run, by, .. } => format!("{by} gives back for run `{run}`"),
        LedgerEvent::Configured { .. } => "limits are set".to_owned(),
        _ => String::new(),
    }
}

fn stored(
    course: &Course,
    note: &super::Note,
    (run, engine, epoch): (usize, usize, u64),
    (first, count): (u64, usize),
) -> Vec<String> {
    let Some(run) = course.runs.get(run) else { return Vec::new() };
    let skipped = usize::try_from(first.saturating_sub(1)).unwrap_or(usize::MAX);
    let facts = run.facts.iter().skip(skipped).take(count);
    let line = |(seq, fact): (u64, &release_core::run::Fact)| {
        let step = fact.event.step().map_or_else(String::new, |step| format!(" {}", step.id));
        let name = fact.event.name();
        format!("{} {} #{seq} {name}{step} (engine {engine}, epoch {epoch})", note.at, run.id)
    };
    (first..).zip(facts).map(line).collect()
}
