//! What happened in a simulation: everything that a check may look at. Written by the world and the
//! store, never by the engine's own opinion of itself.

use std::collections::BTreeMap;

use release_core::limits::{LedgerEvent, Limits};
use release_core::model::{Principal, RunId, StepId, Target, Timestamp};
use release_core::plan::{FrozenPlan, Step};
use release_core::run::{Event, Fact, Mode};
use release_policy::Windows;
use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use super::fakes::Fakes;
use super::provider::Nature;
use super::world::Place;

/// What happened in a simulation.
///
/// Ticks number all that happened, in order: they tell what was before what within one instant.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Course {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// The runs, as they were to depart.
    pub runs: Vec<RunCourse>,
    /// All calls of providers, in order.
    pub calls: Vec<Call>,
    /// All else, in order.
    pub notes: Vec<Note>,
    /// The windows in which nothing may start, as the checks know them.
    pub windows: Vec<Windows>,
    /// Windows that came into being only while the simulation ran, with the instant at which they did.
    pub tightened: Vec<(Timestamp, Windows)>,
    /// What runs where at the end.
    pub places: BTreeMap<Target, Place>,
    /// Operations that were done under each key, of those that are no states to bring about.
    pub done: BTreeMap<String, u32>,
    /// The fakes at the end; none, where custom steps only count.
    pub fakes: Option<Fakes>,
    /// A text that must not be in anything that is written down.
    pub canary: String,
    /// The limits that the runs shared; none, where there were none.
    pub limits: Limits,
    /// All that the ledger of permits says, in order.
    pub permits: Vec<Entry>,
    /// What is wrong with the records of the ledger, if they cannot be read.
    pub ledger_damage: Option<String>,
    /// Each append that was asked for, of runs and of the ledger, from the first.
    pub writes: Vec<Write>,
    /// How often a run may be taken over in vain.
    pub max_recoveries: u32,
    /// What came to nothing of what a script says is done, and why.
    pub undone: Vec<String>,
    /// Which faults struck which states.
    pub coverage: Coverage,
    /// Whether the simulation was cut short because too much happened.
    pub cut_short: bool,
}

/// How an append is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Where its last record begins, in bytes.
    pub last: u32,
    /// How many bytes it has.
    pub bytes: u32,
}

/// One record of the ledger of permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was stored, in ticks.
    pub tick: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What it says.
    pub event: LedgerEvent,
}

/// What happened in one run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunCourse {
    /// The run.
    pub id: RunId,
    /// The plan with which it began, without any rollback.
    pub plan: FrozenPlan,
    /// Plans with which it may have gone on.
    pub later: Vec<FrozenPlan>,
    /// Who asked for it.
    pub requester: Principal,
    /// What its records say, decoded.
    pub facts: Vec<Fact>,
    /// What is wrong with its records, if they cannot be read.
    pub damage: Option<String>,
    /// For each record, when it was stored, and the epoch of its writer.
    pub stored: Vec<(u64, u64)>,
    /// Heads that somebody saw: a sequence, and the hash of that record then.
    pub seen: Vec<(u64, release_core::model::Digest)>,
    /// The hash of each record at the end.
    pub hashes: Vec<release_core::model::Digest>,
    /// How the state of whoever drove it differed from what its records give, whenever that was compared.
    pub diverged: Vec<String>,
    /// The records that have the canary in them.
    pub leaks: Vec<u64>,
}

impl RunCourse {
    /// The step of this name, of any of its plans or of its rollback.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        let plans = std::iter::once(&self.plan).chain(&self.later);
        let planned = plans.flat_map(|plan| plan.plan().steps());
        planned.chain(self.rollback()).find(|step| step.id == *id)
    }

    /// The steps of its rollback, once there is one.
    pub fn rollback(&self) -> &[Step] {
        let found = self.facts.iter().find_map(|fact| match &fact.event {
            Event::RollbackStarted { extension, .. } => Some(&extension.steps[..]),
            _ => None,
        });
        found.unwrap_or_default()
    }
}

/// One call of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The run, as an index into the course's.
    pub run: usize,
    /// The engine that made it.
    pub engine: usize,
    /// The engine's epoch in the run.
    pub epoch: u64,
    /// The step.
    pub id: StepId,
    /// The step's place in the plan that the run had then.
    pub step: u32,
    /// Which attempt.
    pub attempt: u32,
    /// Whether it acts or only looks.
    pub mode: Mode,
    /// Its idempotency key.
    pub key: String,
    /// When it was made.
    pub tick: u64,
    /// When it was made, in time.
    pub at: Timestamp,
    /// When nobody waited for its answer any more.
    pub over: Option<u64>,
    /// When it took effect.
    pub applied: Option<u64>,
    /// What the provider can do about unknown outcomes.
    pub nature: Nature,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When, in ticks.
    pub tick: u64,
    /// When, in time.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// Something that happened, beside calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// Records were stored.
    Stored {
        /// Whose.
        run: usize,
        /// By which engine.
        engine: usize,
        /// In which epoch.
        epoch: u64,
        /// The sequence of the first.
        first: u64,
        /// How many.
        count: usize,
        /// Whether its writer had nothing more to decide then.
        quiet: bool,
    },
    /// Records of the ledger of permits were stored.
    Entered {
        /// How many.
        count: usize,
    },
    /// A run was taken over in vain so often that it is left alone until somebody releases it.
    Quarantined {
        /// The run.
        run: usize,
        /// How often.
        recoveries: u32,
    },
    /// A run cannot go on with another plan now.
    NotMigrated {
        /// The run.
        run: usize,
        /// Why.
        why: String,
    },
    /// An append failed.
    AppendFailed {
        /// Whose.
        run: usize,
        /// By which engine.
        engine: usize,
        /// How.
        error: String,
    },
    /// A call was made.
    Called {
        /// Its place among the calls.
        call: usize,
    },
    /// A call took effect.
    Applied {
        /// Its place among the calls.
        call: usize,
    },
    /// A call was answered.
    Answered {
        /// Its place among the calls.
        call: usize,
        /// Whether anybody waited for it.
        heard: bool,
        /// What it said.
        said: String,
    },
    /// A run waits: its engine has nothing to decide now.
    Quiet {
        /// The run.
        run: usize,
        /// The engine.
        engine: usize,
        /// The sequence of its last record.
        seq: u64,
    },
    /// An engine drives a run no more.
    Left {
        /// The run.
        run: usize,
        /// The engine.
        engine: usize,
        /// The epoch in which it drove it; 0 if it never did.
        epoch: u64,
        /// Why.
        why: String,
    },
    /// Somebody gave a command.
    Commanded {
        /// The run.
        run: usize,
        /// Who.
        by: String,
        /// What.
        command: String,
        /// Why it came to nothing, if it did.
        refused: Option<String>,
    },
    /// A fault struck.
    Struck {
        /// Which.
        fault: String,
    },
    /// An engine is there again.
    Up {
        /// The engine.
        engine: usize,
    },
    /// No faults any more from here on, and people answer at once.
    Healed,
}
