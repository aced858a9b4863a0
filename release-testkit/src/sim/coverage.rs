//! Which faults struck which states: what a scenario has tried, and what it has not.

use std::collections::BTreeMap;
use std::fmt;

use release_core::run::{Mode, Phase, Wait};
use serde::{Deserialize, Serialize};

use super::faults::Boundary;
use super::machine::Machine;
use super::shell::Driver;

/// How often each fault struck each state of a run or of one of its steps.
///
/// States of runs are `run beginning`, `run going forward`, `run paused`, `run stopping` and so on; those of
/// steps `step performing`, `step looking`, `step baking`, `step retrying`, `step measuring`, `step blocked`,
/// `step held`; calls of rollbacks are `rollback performing` and `rollback looking`. The ledger of permits is `ledger`. Faults have the words of [`FaultPlan`](super::FaultPlan).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[must_use]
pub struct Coverage(BTreeMap<String, BTreeMap<String, u64>>);

impl Coverage {
    /// How often `fault` struck `state`.
    pub fn count(&self, state: &str, fault: &str) -> u64 {
        self.0.get(state).and_then(|faults| faults.get(fault)).copied().unwrap_or(0)
    }

    /// All pairs of a state and a fault that were reached, and how often each was.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        let all = self.0.iter();
        all.flat_map(|(state, of)| of.iter().map(|(fault, n)| (state.as_str(), fault.as_str(), *n)))
    }

    /// Those of `wanted` that were not reached.
    pub fn missing<'a>(
        &self,
        wanted: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Vec<(&'a str, &'a str)> {
        wanted.into_iter().filter(|(state, fault)| self.count(state, fault) == 0).collect()
    }

    /// Adds what another simulation reached.
    pub fn add(&mut self, other: &Self) {
        for (state, fault, count) in other.pairs() {
            self.note(state, fault, count);
        }
    }

    pub(super) fn note(&mut self, state: &str, fault: &str, count: u64) {
        let faults = match self.0.get_mut(state) {
            Some(faults) => faults,
            None => self.0.entry(state.to_owned()).or_default(),
        };
        match faults.get_mut(fault) {
            Some(before) => *before += count,
            None => drop(faults.insert(fault.to_owned(), count)),
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (state, faults) in &self.0 {
            let told: Vec<_> =
                faults.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
            writeln!(f, "  {state}: {}", told.join(", "))?;
        }
        Ok(())
    }
}

/// A word for a boundary, whatever the bytes.
pub(super) const fn crash(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::Before => "crash before",
        Boundary::Torn(_) => "crash torn",
        Boundary::Written => "crash written",
        Boundary::Acked => "crash acked",
        Boundary::Effect => "crash effect",
    }
}

const fn run_state(driver: &Driver) -> &'static str {
    if driver.beginning {
        return "run beginning";
    }
    match driver.state.phase() {
        Phase::Forward => "run going forward",
        Phase::Stopping(_) => "run stopping",
        Phase::RollingBack(_) => "run rolling back",
        Phase::Abandoning { .. } => "run abandoning",
        Phase::Finished(_) => "run over",
    }
}

/// What a call is for that goes wrong.
pub(super) fn acting(driver: &Driver, mode: Mode) -> &'static str {
    match (driver.state.phase(), mode) {
        (Phase::RollingBack(_), Mode::Perform) => "rollback performing",
        (Phase::RollingBack(_), Mode::Look) => "rollback looking",
        (_, Mode::Perform) => "step performing",
        (_, Mode::Look) => "step looking",
    }
}

const fn step_state(wait: &Wait) -> &'static str {
    match wait {
        Wait::Outcome { mode: Mode::Perform, .. } => "step performing",
        Wait::Outcome { mode: Mode::Look, .. } => "step looking",
        Wait::Bake { .. } => "step baking",
        Wait::Attempt { .. } => "step retrying",
        Wait::Measurement { .. } => "step measuring",
        Wait::Look { .. } => "step unknown",
        Wait::Blocked(_) => "step blocked",
        Wait::Operator { .. } => "step held",
    }
}

impl Machine<'_> {
    /// A fault strikes whatever a driver's run and its steps do.
    pub(super) fn cover(&mut self, driver: &Driver, fault: &str) {
        self.coverage.note(run_state(driver), fault, 1);
        for (_, active) in driver.state.all_active() {
            self.coverage.note(step_state(&active.wait), fault, 1);
        }
    }

    /// A fault strikes all that an engine drives.
    pub(super) fn cover_engine(&mut self, engine: usize, fault: &str) {
        let Some(slot) = self.engines.get_mut(engine) else { return };
        let drivers = std::mem::take(&mut slot.drivers);
        for driver in drivers.values() {
            self.cover(driver, fault);
        }
        if let Some(slot) = self.engines.get_mut(engine) {
            slot.drivers = drivers;
        }
    }

    /// A fault strikes everything.
    pub(super) fn cover_all(&mut self, fault: &str) {
        (0..self.engines.len()).for_each(|engine| self.cover_engine(engine, fault));
    }
}
