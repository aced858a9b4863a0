//! The simulator: whole release processes on virtual time, with faults, people and policies, checked by
//! invariants. It drives the same `decide` as production, without a runtime.
//!
//! ```
//! use release_testkit::fixtures::Shop;
//! use release_testkit::sim::{FaultPlan, Humans, Sim, days, invariants};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let report = Sim::new(7)
//!     .definition(&Shop::new().approvals(1).definition())?
//!     .faults(FaultPlan::parse("crash engine 2%; provider.deploy: apply-then-timeout 5%")?)
//!     .humans(Humans::office())
//!     .run_for(days(3))
//!     .check(invariants::all())
//!     .report();
//! assert!(report.is_green(), "{report}");
//! # Ok(())
//! # }
//! ```

mod append;
mod calls;
mod chance;
mod course;
mod coverage;
mod explore;
mod fakes;
pub mod faults;
mod host;
mod humans;
pub mod invariants;
mod machine;
mod mixed;
mod pct;
mod people;
mod permits;
mod provider;
mod report;
pub mod script;
mod setup;
mod shell;
mod shrink;
mod store;
mod trace;
mod turn;
mod typed;
mod upkeep;
mod usage;
mod world;

use std::sync::Arc;

use release_core::journal::History;
use release_core::limits::Limits;
use release_core::model::{Definition, Digest, Principal, RunId, Span, Timestamp};
use release_core::plan::{FrozenPlan, PlanErrors, plan};
use release_core::port::Policy;
use release_core::run::{Command, Directive};
use release_policy::{AllOf, Windows};

use crate::fakes::FakeFleet;

pub use course::{Call, Course, Entry, Note, RunCourse, What, Write};
pub use coverage::Coverage;
pub use explore::Exploration;
pub use fakes::{Fakes, Landed};
pub use faults::{FaultError, FaultPlan};
pub use humans::Humans;
pub use invariants::{Invariant, Violation};
pub use mixed::mixed;
pub use pct::{Pct, Scheduler};
pub use provider::{Capability, Nature, ProviderFault, Providers};
pub use report::{RunReport, SimReport};
pub use script::{Script, ScriptError};
pub use shrink::Shrunk;
pub use trace::{Difference, Trace};
pub use typed::typed;
pub use usage::{LimitUse, QuotaUse};
pub use world::{Badness, Place};

use chance::Chance;
use machine::Machine;
use setup::{Departure, Setup};

/// When simulations begin, unless they say otherwise: a Monday, 9 o'clock UTC.
pub const START: &str = "2026-01-05T09:00:00Z";

/// The credential with which simulated providers act.
const CANARY: &str = "canary-7c0ffee7";

/// So many days.
pub const fn days(days: u64) -> Span {
    Span::secs(days * 24 * 60 * 60)
}

/// A simulation: what is to run, under which rules, and what goes wrong. One seed is one course of
/// things; the same seed always gives the same.
#[derive(Debug, Clone)]
#[must_use]
pub struct Sim {
    seed: u64,
    setup: Setup,
    invariants: Vec<Invariant>,
}

impl Sim {
    /// A simulation of nothing yet, with everything that is left to chance drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        let setup = Setup::new(crate::fixtures::literal(START));
        Self { seed, setup, invariants: Vec::new() }
    }

    /// The same simulation with another seed.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds a run of `definition`, which starts at once.
    ///
    /// # Errors
    /// [`PlanErrors`] when the definition is not sound.
    pub fn definition(self, definition: &Definition) -> Result<Self, PlanErrors> {
        let plan = plan(definition)?.freeze();
        Ok(self.departs(Span::ZERO, plan))
    }

    /// Adds a release train: `count` runs, one every `every`, whose definitions `nth` gives by their
    /// number, from 0.
    ///
    /// # Errors
    /// [`PlanErrors`] when one of the definitions is not sound.
    pub fn train(
        mut self,
        count: u32,
        every: Span,
        nth: impl Fn(u32) -> Definition,
    ) -> Result<Self, PlanErrors> {
        for number in 0..count {
            let plan = plan(&nth(number))?.freeze();
            let after = every.as_duration().saturating_mul(number);
            self = self.departs(after.into(), plan);
        }
        Ok(self)
    }

    /// Adds a run of `plan` that starts `after` the begin.
    pub fn departs(mut self, after: Span, plan: FrozenPlan) -> Self {
        let number = self.setup.departures.len() + 1;
        let run: RunId = crate::fixtures::literal(&format!("run-{number}"));
        let requester = crate::fixtures::requester();
        self.setup.place_old(&plan);
        self.setup.departures.push(Departure { run, plan, requester, after });
        self
    }

    /// Sets the policy under test. What windows it has the invariants cannot know: name them by
    /// [`Sim::freezes`].
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.setup.policy = Arc::new(policy);
        self
    }

    /// Adds freeze windows to the policy, and to what the invariants hold the runs to.
    pub fn freezes(mut self, windows: Windows) -> Self {
        self.setup.windows.push(windows.clone());
        let policy = AllOf::new().and_shared(Arc::clone(&self.setup.policy)).and(windows);
        self.setup.policy = Arc::new(policy);
        self
    }

    /// Tightens the policy `after` the begin by more freezes, which deny from then on.
    pub fn tightens(mut self, after: Span, windows: Windows) -> Self {
        let at = self.setup.start.plus(after);
        self.setup.tightened.push((at, windows));
        self
    }

    /// Lets custom steps that name an operation of a capability, for example `flag_store.set`, act on what the
    /// fakes of this fleet know now: flags, migrations, builds, suites of tests and changes. The fleet itself stays
    /// as it is, and what it was scripted to do does not count: [`Sim::faults`] says what goes wrong.
    ///
    /// Where no fleet is set, and for all other operations, a custom step only counts how often it was done.
    pub fn fleet(mut self, fleet: &FakeFleet) -> Self {
        self.setup.fakes = Some(Fakes::of(fleet));
        self
    }

    /// Sets what goes wrong.
    pub fn faults(mut self, faults: FaultPlan) -> Self {
        self.setup.faults = faults;
        self
    }

    /// Sets how people behave.
    pub fn humans(mut self, humans: Humans) -> Self {
        self.setup.humans = humans;
        self
    }

    /// Sets how providers behave.
    pub fn providers(mut self, providers: Providers) -> Self {
        self.setup.providers = providers;
        self
    }

    /// Sets how many engines share the journal; by default one.
    pub const fn engines(mut self, engines: usize) -> Self {
        self.setup.engines = engines;
        self
    }

    /// Cuts it short when more than so much has happened, which I19 tells; by default five million. What goes round in
    /// circles comes to that sooner or later.
    pub const fn at_most(mut self, happenings: u64) -> Self {
        self.setup.most_happenings = happenings;
        self
    }

    /// Lets the runs share limits of concurrency and quotas, by the ledger of permits that production has.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.setup.limits = Some(Arc::new(limits));
        self
    }

    /// Sets after how many records a stream of the ledger of permits is full, so that a short simulation has
    /// many; by default as in production.
    pub const fn ledger_page(mut self, records: u64) -> Self {
        self.setup.ledger_page = Some(records);
        self
    }

    /// Sets who chooses what happens first; by default chance alone.
    pub const fn scheduler(mut self, scheduler: Scheduler) -> Self {
        self.setup.scheduler = scheduler;
        self
    }

    /// Makes a version bad, until the faults stop.
    pub fn bad(mut self, digest: Digest, how: Badness) -> Self {
        self.setup.bad.push((digest, how));
        self
    }

    /// Lets somebody give a command to a run (from 0, in the order in which they were added) `after` the
    /// begin.
    pub fn command(mut self, after: Span, run: usize, by: Principal, command: Command) -> Self {
        let directive = Directive::new(command, by, "as the scenario says");
        self.setup.commands.push((after, run, directive));
        self
    }

    /// Sets for how long faults strike; by default a day. Behind that everything heals and people answer
    /// at once, until all runs are over.
    pub const fn run_for(mut self, span: Span) -> Self {
        self.setup.span = span;
        self
    }

    /// Sets when it begins; by default [`START`].
    pub const fn begins(mut self, at: Timestamp) -> Self {
        self.setup.start = at;
        self
    }

    /// Adds invariants to check.
    pub fn check(mut self, invariants: impl IntoIterator<Item = Invariant>) -> Self {
        self.invariants.extend(invariants);
        self
    }

    /// Leaves a run alone, once it was taken over so often in a row without getting anywhere, until somebody
    /// releases it; at least 1.
    pub fn max_recoveries(mut self, most: u32) -> Self {
        self.setup.max_recoveries = most.max(1);
        self
    }

    /// Makes a run (from 0) bring its engine down with each call, until somebody releases it from its
    /// quarantine, or the faults stop.
    pub fn poison(mut self, run: usize) -> Self {
        self.setup.poison.insert(run);
        self
    }

    /// Lets an engine of a newer version take a run (from 0, added before) over `after` the begin, and go on
    /// with `plan`. Where the run cannot, that is tried again some minutes later.
    pub fn migrates(mut self, after: Span, run: usize, plan: FrozenPlan) -> Self {
        if let Some(departure) = self.setup.departures.get_mut(run) {
            departure.plan = departure.plan.with_later(vec![plan.clone()]);
            self.setup.migrations.push((after, run, plan));
        }
        self
    }

    fn later_plans(&self, run: usize) -> Vec<FrozenPlan> {
        let of_it = self.setup.migrations.iter().filter(|(_, of, _)| *of == run);
        of_it.map(|(_, _, plan)| plan.clone()).collect()
    }

    /// Runs the simulation, and says what happened, unchecked.
    pub fn course(&self) -> Course {
        self.course_by(Chance::Seeded(self.seed)).0
    }

    fn course_by(&self, chance: Chance) -> (Course, Vec<(u32, u32)>) {
        let mut machine = Machine::new(&self.setup, chance);
        let cut_short = machine.run();
        let trail = machine.chance.trail().to_vec();
        (self.told(machine, cut_short), trail)
    }

    /// Runs the simulation and checks all invariants.
    pub fn report(&self) -> SimReport {
        let course = self.course();
        let violations = self.invariants.iter().flat_map(|invariant| invariant.check(&course));
        let violations = violations.collect();
        SimReport::new(self.seed, &course, violations)
    }

    /// What a machine leaves behind.
    fn told(&self, mut machine: Machine<'_>, cut_short: bool) -> Course {
        let leaks = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|t| t.contains(CANARY));
        let mut runs = Vec::with_capacity(self.setup.departures.len());
        for (run, departure) in self.setup.departures.iter().enumerate() {
            let records = machine.logs.get(run).map(|log| &log.records[..]).unwrap_or_default();
            let history = History::verify(&departure.run, records);
            let (facts, damage) = match history {
                _ if records.is_empty() => (Vec::new(), None),
                Ok(history) => (history.facts().to_vec(), None),
                Err(damage) => (Vec::new(), Some(damage.to_string())),
            };
            let ticks = machine.logs.get(run).map(|log| &log.ticks[..]).unwrap_or_default();
            runs.push(RunCourse {
                id: departure.run.clone(),
                plan: departure.plan.clone(),
                later: self.later_plans(run),
                requester: departure.requester.clone(),
                facts,
                damage,
                stored: ticks.iter().copied().zip(records.iter().map(|r| r.epoch)).collect(),
                seen: machine.seen.get(run).cloned().unwrap_or_default(),
                hashes: records.iter().map(|record| record.hash).collect(),
                diverged: machine.diverged.get(run).cloned().unwrap_or_default(),
                leaks: records.iter().filter(|r| leaks(&r.bytes)).map(|r| r.seq).collect(),
            });
        }
        let (permits, ledger_damage) = machine.entries();
        let undone = machine.undone();
        Course {
            limits: self.setup.limits.as_deref().cloned().unwrap_or_default(),
            permits,
            ledger_damage,
            writes: machine.writes,
            max_recoveries: self.setup.max_recoveries,
            undone,
            coverage: machine.coverage,
            start: self.setup.start,
            end: machine.now,
            runs,
            calls: machine.calls,
            notes: machine.notes,
            windows: self.setup.windows.clone(),
            tightened: machine.tightened.to_vec(),
            places: machine.world.places,
            done: machine.world.done,
            fakes: machine.world.fakes,
            canary: CANARY.to_owned(),
            cut_short,
        }
    }
}
