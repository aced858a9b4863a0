//! Suites of tests, over all stages that are there, on several workers.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dag::{Dag, Needing, NeedsError, compile, position};
use super::progress::{Progress, State};
use super::schedule::Jobs;
use super::{micros, span};
use crate::ids::{EnvironmentId, SuiteId};
use crate::time::Span;

/// The most workers that are planned for.
pub const MAX_WORKERS: u32 = 10_000;

/// Tests that run together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Suite {
    /// Its name.
    pub id: SuiteId,
    /// The stage that it tests: where it runs what was deployed.
    pub stage: EnvironmentId,
    /// How long it takes, as its authors say; what was learned counts more.
    pub takes: Span,
    /// Whether its failure fails the stage.
    #[serde(default)]
    pub requirement: SuiteRequirement,
    /// Suites that have to be over before it begins. A required one among them has to have passed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<SuiteId>,
}

/// Whether a suite's failure fails its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SuiteRequirement {
    /// It does, and what comes after the suite does not begin.
    #[default]
    Required,
    /// It is told, and nothing else comes of it.
    Advisory,
}

impl Suite {
    /// A required one that comes after no other.
    pub const fn new(id: SuiteId, stage: EnvironmentId, takes: Span) -> Self {
        Self { id, stage, takes, requirement: SuiteRequirement::Required, after: BTreeSet::new() }
    }

    /// It comes after `suite`.
    #[must_use]
    pub fn after(mut self, suite: SuiteId) -> Self {
        self.after.insert(suite);
        self
    }

    /// Its failure is told, and nothing else comes of it.
    #[must_use]
    pub const fn advisory(mut self) -> Self {
        self.requirement = SuiteRequirement::Advisory;
        self
    }
}

impl Needing for Suite {
    type Id = SuiteId;
    fn id(&self) -> &SuiteId {
        &self.id
    }
    fn needs(&self) -> &BTreeSet<SuiteId> {
        &self.after
    }
}

/// Suites, none of which comes after itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Suite>", into = "Vec<Suite>")]
pub struct Suites {
    /// In the order of their ids.
    all: Arc<Vec<Suite>>,
    dag: Arc<Dag>,
}

impl TryFrom<Vec<Suite>> for Suites {
    type Error = NeedsError<SuiteId>;
    fn try_from(suites: Vec<Suite>) -> Result<Self, NeedsError<SuiteId>> {
        Self::new(suites)
    }
}

impl From<Suites> for Vec<Suite> {
    fn from(suites: Suites) -> Self {
        Arc::unwrap_or_clone(suites.all)
    }
}

/// A suite on a worker, from the beginning of the first one on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Slot {
    /// The suite.
    pub suite: SuiteId,
    /// Which worker, from zero.
    pub worker: u32,
    /// When it begins.
    pub begins: Span,
    /// When it ends, if it takes what was expected.
    pub ends: Span,
}

/// Which worker runs which suite, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Schedule {
    /// In the order in which they begin.
    pub slots: Vec<Slot>,
    /// When the last one ends.
    pub makespan: Span,
    /// Before when it cannot end: the longest way of suites that come after each other, or, if that is later, the instant at which all
    /// workers together could have done all that cannot begin before some stage opens.
    pub bound: Span,
}

impl Suites {
    /// Checks suites and what they come after.
    ///
    /// # Errors
    /// [`NeedsError`], with the shortest circle where suites come after each other (where very many do, maybe not the very shortest).
    pub fn new(suites: impl IntoIterator<Item = Suite>) -> Result<Self, NeedsError<SuiteId>> {
        let (all, dag) = compile(suites)?;
        Ok(Self { all: Arc::new(all), dag: Arc::new(dag) })
    }

    /// A suite by its name.
    pub fn get(&self, id: &SuiteId) -> Option<&Suite> {
        self.number(id).and_then(|number| self.all.get(number as usize))
    }

    /// All suites, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Suite> {
        self.all.iter()
    }

    fn number(&self, id: &SuiteId) -> Option<u32> {
        position(&self.all, id)
    }

    /// A schedule that ends early: `takes` tells how long each suite will take (see [`Learned`](super::Learned)), `opens` when each
    /// stage can be tested, from now on. The same for the same `seed`. At most [`MAX_WORKERS`] are planned for.
    ///
    /// With more workers it never ends later, as long as all that is tried for that passes no more than four million suites and what
    /// they come after, each counted as often as it is passed. Then the best that was found is taken, so that the work is bounded for
    /// as many suites as there may be; one schedule is always made.
    pub fn schedule(
        &self,
        workers: NonZeroU32,
        mut takes: impl FnMut(&Suite) -> Span,
        mut opens: impl FnMut(&EnvironmentId) -> Span,
        seed: u64,
    ) -> Schedule {
        let takes: Vec<u64> = self.all.iter().map(|suite| micros(takes(suite))).collect();
        let opens: Vec<u64> = self.all.iter().map(|suite| micros(opens(&suite.stage))).collect();
        let jobs = Jobs { dag: &self.dag, takes: &takes, opens: &opens };
        let workers = workers.get().min(MAX_WORKERS);
        let table = jobs.timetable(workers, seed);
        let slot = |((suite, take), (begin, worker)): ((&Suite, &u64), (&u64, &u32))| Slot {
            suite: suite.id.clone(),
            worker: *worker,
            begins: span(*begin),
            ends: span(begin.saturating_add(*take)),
        };
        let times = table.begins.iter().zip(&table.worker);
        let mut slots: Vec<Slot> = self.all.iter().zip(&takes).zip(times).map(slot).collect();
        slots.sort_by_key(|slot| (slot.begins, slot.worker));
        Schedule { slots, makespan: span(table.makespan), bound: span(jobs.bound(workers)) }
    }
}

/// How far a suite is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SuiteStanding {
    /// It waits for others, for its stage, or for a worker.
    Waiting,
    /// It is under way.
    Running,
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It never begins: what stands here failed, or its stage was given up; it comes after that, directly or not, or is itself that.
    Cancelled {
        /// Which suite.
        because: SuiteId,
    },
}

/// Suites under way, as a value: which is next, and what comes of what ended. It starts nothing itself.
#[derive(Debug, Clone)]
pub struct Testing {
    suites: Suites,
    progress: Progress,
    closed: BTreeMap<EnvironmentId, Vec<u32>>,
    /// How each came out that is over.
    passed: BTreeMap<u32, bool>,
}

/// Why a suite cannot end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("suite `{0}` is not under way; only what `next` gave out, and what is not over, can end")]
pub struct SuiteNotRunning(pub SuiteId);

impl Testing {
    /// Begins with the suites that a schedule begins with, and goes on in its order with whoever may begin, however long they really
    /// take. No stage is there yet.
    pub fn new(suites: &Suites, schedule: &Schedule) -> Self {
        let mut urgency = vec![0; suites.all.len()];
        for slot in &schedule.slots {
            let number = suites.number(&slot.suite).and_then(|at| urgency.get_mut(at as usize));
            if let Some(urgency) = number {
                *urgency = u64::MAX - micros(slot.begins);
            }
        }
        let mut closed: BTreeMap<EnvironmentId, Vec<u32>> = BTreeMap::new();
        for (suite, number) in suites.all.iter().zip(0..) {
            closed.entry(suite.stage.clone()).or_default().push(number);
        }
        let progress = Progress::new(&suites.dag, urgency, true);
        Self { suites: suites.clone(), progress, closed, passed: BTreeMap::new() }
    }

    /// What is tested in this stage is there from now on.
    pub fn opened(&mut self, stage: &EnvironmentId) {
        for number in self.closed.remove(stage).unwrap_or_default() {
            self.progress.release(number);
        }
    }

    /// What is tested in this stage never will be there: its suites never begin, nor do those that come after them. Tells what that is. A
    /// stage that was opened stays open.
    pub fn given_up(&mut self, stage: &EnvironmentId) -> Vec<SuiteId> {
        let numbers = self.closed.remove(stage).unwrap_or_default();
        let lost =
            numbers.iter().flat_map(|number| self.progress.cancel(&self.suites.dag, *number));
        let lost: Vec<u32> = lost.collect();
        lost.into_iter().filter_map(|number| Some(self.suite(number)?.id.clone())).collect()
    }

    fn suite(&self, number: u32) -> Option<&Suite> {
        self.suites.all.get(number as usize)
    }

    /// What is to be run next, if anything can; it is under way from now on. Ask again until there is nothing, or no worker.
    #[expect(
        clippy::should_implement_trait,
        reason = "what is next depends on what ended; this is no iteration"
    )]
    pub fn next(&mut self) -> Option<Suite> {
        let number = self.progress.begin()?;
        self.suite(number).cloned()
    }

    /// A suite is over. Where a required one failed, what comes after it never begins, and nothing else is held; tells what that is, in
    /// order. `excused` are suites whose failure counts as that of an advisory one, such as those in quarantine.
    ///
    /// # Errors
    /// [`SuiteNotRunning`].
    pub fn ended(
        &mut self,
        id: &SuiteId,
        passed: bool,
        excused: bool,
    ) -> Result<Vec<SuiteId>, SuiteNotRunning> {
        let not_running = || SuiteNotRunning(id.clone());
        let number = self.suites.number(id).ok_or_else(not_running)?;
        let suite = self.suite(number).ok_or_else(not_running)?;
        let holds = !passed && !excused && suite.requirement == SuiteRequirement::Required;
        let lost = if holds {
            self.progress.failed(&self.suites.dag, number).ok_or_else(not_running)?
        } else if self.progress.over(&self.suites.dag, number) {
            Vec::new()
        } else {
            return Err(not_running());
        };
        self.passed.insert(number, passed);
        let name = |number: u32| Some(self.suite(number)?.id.clone());
        Ok(lost.into_iter().filter_map(name).collect())
    }

    /// How far a suite is; `None` for one that is not among them.
    pub fn standing(&self, id: &SuiteId) -> Option<SuiteStanding> {
        let number = self.suites.number(id)?;
        Some(match (self.passed.get(&number), self.progress.state(number)) {
            (Some(true), _) => SuiteStanding::Passed,
            (Some(false), _) => SuiteStanding::Failed,
            (None, State::Running) => SuiteStanding::Running,
            (None, State::Cancelled(because)) => {
                let because = self.suite(because)?.id.clone();
                SuiteStanding::Cancelled { because }
            }
            (None, _) => SuiteStanding::Waiting,
        })
    }

    /// Whether nothing is under way and nothing may begin any more.
    pub const fn is_over(&self) -> bool {
        self.progress.is_over()
    }
}
