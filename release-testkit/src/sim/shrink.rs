//! Makes a failing case small: fewer faults, rarer ones, a shorter time, fewer runs.

use std::collections::BTreeSet;

use super::Sim;
use super::faults::{Clause, FaultPlan, When};
use super::invariants::Violation;

/// A failing case made small.
#[derive(Debug, Clone)]
#[must_use]
#[non_exhaustive]
pub struct Shrunk {
    /// The simulation that still fails.
    pub sim: Sim,
    /// Its seed.
    pub seed: u64,
    /// What is left of its faults.
    pub faults: FaultPlan,
    /// How it fails.
    pub violations: Vec<Violation>,
    /// How many cases were tried.
    pub tried: usize,
}

impl std::fmt::Display for Shrunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "seed {}, {} runs, faults: {}",
            self.seed,
            self.sim.setup.departures.len(),
            self.faults
        )?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}

impl Sim {
    /// Makes a failing simulation small: drops clauses of its faults in halves and then one by one (delta
    /// debugging; A. Zeller, R. Hildebrandt, «Simplifying and Isolating Failure-Inducing Input», 2002), the
    /// last runs, and people's mistakes, as long as one of the same invariants breaks with one of the
    /// seeds `0..seeds` or its own. `None` when it does not fail.
    pub fn shrink(&self, seeds: u64) -> Option<Shrunk> {
        let violations = self.report().violations;
        let wanted: BTreeSet<&str> = violations.iter().map(|violation| violation.id).collect();
        if wanted.is_empty() {
            return None;
        }
        let (sim, faults) = (self.clone(), self.setup.faults.clone());
        let mut best = Shrunk { sim, seed: self.seed, faults, violations, tried: 1 };
        let mut size = best.faults.clauses.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < best.faults.clauses.len() {
                let mut fewer = best.faults.clauses.clone();
                let to = (from + size).min(fewer.len());
                fewer.drain(from..to);
                let smaller = best.sim.clone().faults(FaultPlan { clauses: fewer });
                if !best.take(&smaller, &wanted, seeds) {
                    from += size;
                }
            }
            size /= 2;
        }
        while best.sim.setup.departures.len() > 1 {
            let mut smaller = best.sim.clone();
            smaller.setup.departures.pop();
            if !best.take(&smaller, &wanted, seeds) {
                break;
            }
        }
        let mut calm = best.sim.clone();
        let humans = calm.setup.humans.clone().wrong_button(0).overeager(0).meddling(0);
        calm.setup.humans = humans;
        best.take(&calm, &wanted, seeds);
        best.rarer(&wanted, seeds);
        Some(best)
    }
}

impl Shrunk {
    /// Takes `smaller` instead, if it fails in the same way.
    fn take(&mut self, smaller: &Sim, wanted: &BTreeSet<&str>, seeds: u64) -> bool {
        for seed in std::iter::once(self.seed).chain(0..seeds) {
            let sim = smaller.clone().seed(seed);
            let violations = sim.report().violations;
            self.tried += 1;
            if violations.iter().any(|violation| wanted.contains(violation.id)) {
                let faults = sim.setup.faults.clone();
                let tried = self.tried;
                *self = Self { sim, seed, faults, violations, tried };
                return true;
            }
        }
        false
    }

    /// Halves the chances of what is left, as long as that fails.
    fn rarer(&mut self, wanted: &BTreeSet<&str>, seeds: u64) {
        for at in 0..self.faults.clauses.len() {
            loop {
                let mut clauses = self.faults.clauses.clone();
                match clauses.get_mut(at) {
                    Some(Clause { when: When::Chance(ppm), .. }) if *ppm > 10_000 => *ppm /= 2,
                    _ => break,
                }
                let smaller = self.sim.clone().faults(FaultPlan { clauses });
                if !self.take(&smaller, wanted, seeds) {
                    break;
                }
            }
        }
    }
}
