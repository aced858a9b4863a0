//! What a campaign of tests is to go through, and what has to come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use release_core::build::{Learned, Suite, Suites};
use release_core::model::{EnvironmentId, SuiteId, Target};
use release_core::time::{Span, Timestamp};
use release_providers::build::{
    CancellationToken, StageVerdict, StagedSuites, TestCampaign, TestReport,
};
use release_testkit::VirtualClock;
use release_testkit::fixtures::{self, literal};

use super::told::{Gate, Told};

/// So many stages there are.
pub(crate) const STAGES: usize = 4;

/// Suites, in the order of their stages.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(crate) suites: Vec<Planned>,
    /// Whether a stage opens only once those before it have passed.
    pub(crate) ordered: bool,
    /// Stages that cannot be opened.
    pub(crate) closed: BTreeSet<usize>,
    pub(crate) at_once: usize,
    /// How many looks find a run going on.
    pub(crate) looks: u32,
}

/// A suite of the course.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) stage: usize,
    /// Those before it that it comes after.
    pub(crate) after: BTreeSet<usize>,
    pub(crate) advisory: bool,
    pub(crate) excused: bool,
    pub(crate) comes: Comes,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comes {
    Passes,
    Fails,
    /// The runner does not know it.
    Unknown,
    /// A test of it fails, and the runner says that it succeeded.
    Lies,
}

/// What has to come of each suite and stage.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) begins: Vec<bool>,
    pub(crate) stages: BTreeMap<EnvironmentId, StageVerdict>,
}

/// Names are in another order than the suites.
pub(crate) fn name(number: usize) -> SuiteId {
    literal(&format!("s{:02}", (number * 7 + 3) % 16))
}

pub(crate) fn stage(number: usize) -> EnvironmentId {
    literal(&format!("e{number}"))
}

impl Planned {
    pub(crate) const fn holds(&self) -> bool {
        !self.advisory && !self.excused
    }

    pub(crate) fn passes(&self) -> bool {
        self.comes == Comes::Passes
    }
}

impl Course {
    pub(crate) fn staged(&self) -> StagedSuites {
        let suite = |(number, one): (usize, &Planned)| {
            let takes = Span::secs(1 + number as u64 % 3);
            let suite = Suite::new(name(number), stage(one.stage), takes);
            let suite = if one.advisory { suite.advisory() } else { suite };
            one.after.iter().fold(suite, |suite, after| suite.after(name(*after)))
        };
        let suites = Suites::new(self.suites.iter().enumerate().map(suite)).unwrap();
        if self.ordered {
            StagedSuites::in_order(suites, (0..STAGES).map(stage)).unwrap()
        } else {
            suites.into()
        }
    }

    /// What has to come of it, told by who waits for whom alone.
    pub(crate) fn expected(&self) -> Expected {
        let mut begins = Vec::new();
        let (mut stages, mut first) = (BTreeMap::new(), None);
        for at in 0..STAGES {
            let of = self.suites.iter().enumerate().filter(|(_, one)| one.stage == at);
            let there = first.is_none() && !self.closed.contains(&at);
            let mut fallen = BTreeSet::new();
            for (number, one) in of.clone() {
                let may = |after: &usize| {
                    let before = &self.suites[*after];
                    begins[*after] && (before.passes() || !before.holds())
                };
                begins.push(there && one.after.iter().all(may));
                if one.holds() && !(begins[number] && one.passes()) {
                    fallen.insert(name(number));
                }
            }
            let verdict = match &first {
                Some(because) => StageVerdict::Held { because: stage(*because) },
                None if self.closed.contains(&at) => {
                    StageVerdict::Closed { reason: format!("stage.open: {}", stage(at)) }
                }
                None if fallen.is_empty() => StageVerdict::Passed,
                None => StageVerdict::Failed { because: fallen },
            };
            if self.ordered && verdict != StageVerdict::Passed {
                first = first.or(Some(at));
            }
            if self.ordered || of.count() > 0 {
                stages.insert(stage(at), verdict);
            }
        }
        Expected { begins, stages }
    }

    /// Runs it: crashes after so many polls each time, and then to its end. `seed` says which calls are lost, if any.
    pub(crate) fn run(&self, crashes: &[usize], seed: Option<u64>) -> Ran {
        let clock = Arc::new(VirtualClock::new());
        let told = Arc::new(Told::new(self, seed));
        let (staged, stop) = (self.staged(), CancellationToken::new());
        let excused = self.suites.iter().enumerate().filter(|(_, one)| one.excused);
        let excused: Vec<_> = excused.map(|(number, _)| name(number)).collect();
        let campaign = || {
            let artifact = fixtures::artifact("shop", "1.1.0");
            let by = fixtures::robot();
            TestCampaign::new("c", Arc::clone(&told) as _, clock.clone(), by, artifact)
                .at_once(NonZeroUsize::new(self.at_once).unwrap())
                .excusing(excused.clone())
                .with_targets((0..STAGES).map(|at| (stage(at), target(at))).collect())
                .opened_by(Arc::new(Gate { told: Arc::clone(&told), clock: clock.clone() }))
        };
        let mut cut = 0;
        for polls in crashes {
            let one = campaign();
            let crash = crashed_after(*polls, one.run(&staged, &stop));
            if clock.run(crash).unwrap().is_some() {
                break; // it was done before
            }
            cut += 1;
            told.crashed();
        }
        let report = clock.run(campaign().run(&staged, &stop)).unwrap();
        Ran { report, told, cut }
    }
}

/// What came of a course.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) report: TestReport,
    pub(crate) told: Arc<Told>,
    /// How many crashes came before its end.
    pub(crate) cut: usize,
}

impl Ran {
    /// The report but for what depends on when it was seen.
    pub(crate) fn lasting(&self) -> TestReport {
        let mut report = self.report.clone();
        for attempt in &mut report.attempts {
            attempt.at = Timestamp::default();
        }
        report.took.clear();
        report.learned = Learned::default();
        report
    }
}

pub(crate) fn target(at: usize) -> Target {
    fixtures::target_in(&format!("e{at}"), "eu", "shop")
}

/// Does work up to its end, or drops it after so many polls.
async fn crashed_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), polls);
    poll_fn(|cx| {
        if left > 0
            && let Poll::Ready(done) = work.as_mut().poll(cx)
        {
            return Poll::Ready(Some(done));
        }
        left = left.saturating_sub(1);
        if left == 0 { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}
