//! Suites under way over stages that open one after another.

use std::collections::{BTreeMap, BTreeSet};

use release_core::build::{Learned, Schedule, Suite, SuiteStanding, Testing};
use release_core::model::{EnvironmentId, SuiteId};
use release_core::time::{Span, Timestamp};

use super::follow::{Followed, success};
use super::stages::StagedSuites;
use super::tested::{StageVerdict, SuiteAttempt, SuiteResult, TestReport, causes};
use super::testing::TestCampaign;
use crate::ProviderError;
use crate::spi::{JobPhase, TestCase, TestOutcome, TestStatus};

/// What is known of a campaign so far.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    campaign: &'a TestCampaign,
    suites: &'a StagedSuites,
    testing: Testing,
    /// So many stages were asked to open.
    asked: usize,
    open: BTreeSet<EnvironmentId>,
    /// Why stages could not be opened.
    closed: BTreeMap<EnvironmentId, String>,
    /// Stages that wait in vain for one before them.
    held: BTreeSet<EnvironmentId>,
    /// How many suites of each stage that hold it have not passed.
    missing: BTreeMap<EnvironmentId, usize>,
    ended: BTreeMap<SuiteId, Ended>,
}

/// A suite that is over.
#[derive(Debug)]
struct Ended {
    reason: Option<String>,
    cases: Vec<TestCase>,
    attempt: Option<SuiteAttempt>,
    took: Option<Span>,
}

impl<'a> UnderWay<'a> {
    pub(super) fn new(
        campaign: &'a TestCampaign,
        suites: &'a StagedSuites,
        schedule: &Schedule,
    ) -> Self {
        let mut missing: BTreeMap<EnvironmentId, usize> = BTreeMap::new();
        for suite in suites.suites().iter().filter(|suite| campaign.holds(suite)) {
            let count = missing.entry(suite.stage.clone()).or_default();
            *count = count.saturating_add(1);
        }
        Self {
            campaign,
            suites,
            testing: Testing::new(suites.suites(), schedule),
            asked: 0,
            open: BTreeSet::new(),
            closed: BTreeMap::new(),
            held: BTreeSet::new(),
            missing,
            ended: BTreeMap::new(),
        }
    }

    /// The stages that are to be opened now.
    pub(super) fn due(&mut self) -> Vec<EnvironmentId> {
        let mut due = Vec::new();
        while let Some(stage) = self.suites.stages().get(self.asked) {
            let mut before = self.suites.order().iter().take(self.asked);
            if !before.all(|stage| self.has_passed(stage)) {
                break;
            }
            due.push(stage.clone());
            self.asked = self.asked.saturating_add(1);
        }
        due
    }

    fn has_passed(&self, stage: &EnvironmentId) -> bool {
        let missing = self.missing.get(stage).copied().unwrap_or(0);
        self.open.contains(stage) && missing == 0
    }

    /// The suite that is to be run next.
    pub(super) fn next(&mut self) -> Option<Suite> {
        self.testing.next()
    }

    pub(super) fn opened(&mut self, stage: &EnvironmentId, opened: Result<(), ProviderError>) {
        match opened {
            Ok(()) => {
                self.testing.opened(stage);
                self.open.insert(stage.clone());
            }
            Err(error) => {
                self.closed.insert(stage.clone(), error.to_string());
                let mut lost = self.testing.given_up(stage);
                lost.extend(self.hold_after(stage));
                self.fell(lost);
            }
        }
    }

    pub(super) fn ended(&mut self, suite: &Suite, ended: Followed<TestStatus>, at: Timestamp) {
        let (verdict, mut over) = (verdict(&ended), self.over(suite, ended, at));
        let passed = verdict.is_ok();
        over.reason = verdict.err();
        self.ended.insert(suite.id.clone(), over);
        let holds = self.campaign.holds(suite);
        // INVARIANT: it was given out, and it ends once.
        let mut lost = self.testing.ended(&suite.id, passed, !holds).unwrap_or_default();
        if !passed {
            lost.push(suite.id.clone());
            self.fell(lost);
        } else if holds && let Some(missing) = self.missing.get_mut(&suite.stage) {
            *missing = missing.saturating_sub(1);
        }
    }

    fn over(&self, suite: &Suite, ended: Followed<TestStatus>, at: Timestamp) -> Ended {
        let Followed::Over { status, took } = ended else {
            return Ended { reason: None, cases: Vec::new(), attempt: None, took: None };
        };
        let passed = verdict_of(&status).is_ok();
        let failed = |case: &TestCase| case.outcome == TestOutcome::Failed;
        // One that failed without a test that did was not run to its end.
        let took = took.filter(|_| passed || status.cases.iter().any(failed));
        let (id, content) = (suite.id.clone(), self.campaign.content());
        let attempt = (status.phase != JobPhase::Cancelled).then_some(SuiteAttempt {
            suite: id,
            content,
            at,
            passed,
        });
        Ended { reason: None, cases: status.cases, attempt, took }
    }

    /// These suites do not pass: what waits for those of them that hold their stage, waits in vain.
    fn fell(&mut self, mut lost: Vec<SuiteId>) {
        while let Some(id) = lost.pop() {
            let suite = self.suites.suites().get(&id);
            if let Some(suite) = suite.filter(|suite| self.campaign.holds(suite)) {
                lost.extend(self.hold_after(&suite.stage));
            }
        }
    }

    /// Gives up what comes after a stage; tells which suites never begin for that.
    fn hold_after(&mut self, stage: &EnvironmentId) -> Vec<SuiteId> {
        let mut lost = Vec::new();
        for later in self.suites.after(stage) {
            if self.held.insert(later.clone()) {
                lost.extend(self.testing.given_up(later));
            }
        }
        lost
    }

    pub(super) fn report(
        mut self,
        campaign: String,
        mut learned: Learned<SuiteId>,
        cancelled: bool,
    ) -> TestReport {
        let mut standings = BTreeMap::new();
        for suite in self.suites.suites().iter() {
            standings.extend(self.testing.standing(&suite.id).map(|now| (suite.id.clone(), now)));
        }
        let given_up =
            |stage: &EnvironmentId| self.held.contains(stage) || self.closed.contains_key(stage);
        let holds = |suite: &Suite| self.campaign.holds(suite);
        for (id, cause) in causes(self.suites.suites(), &standings, holds, given_up) {
            let because = cause.id.clone();
            standings.insert(id.clone(), SuiteStanding::Cancelled { because });
        }
        let stages = self.verdicts(&standings);
        let (mut suites, mut attempts, mut took) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        for (id, standing) in standings {
            let holds = self.suites.suites().get(&id).is_some_and(holds);
            let mut result = SuiteResult { standing, holds, reason: None, cases: Vec::new() };
            if let Some(ended) = self.ended.remove(&id) {
                (result.reason, result.cases) = (ended.reason, ended.cases);
                attempts.extend(ended.attempt);
                if let Some(span) = ended.took {
                    learned.record(id.clone(), span);
                    took.insert(id.clone(), span);
                }
            }
            suites.insert(id, result);
        }
        TestReport { campaign, cancelled, stages, suites, attempts, took, learned }
    }

    fn verdicts(
        &self,
        standings: &BTreeMap<SuiteId, SuiteStanding>,
    ) -> BTreeMap<EnvironmentId, StageVerdict> {
        let mut fallen: BTreeMap<&EnvironmentId, BTreeSet<SuiteId>> = BTreeMap::new();
        for suite in self.suites.suites().iter().filter(|suite| self.campaign.holds(suite)) {
            let standing = standings.get(&suite.id);
            let fell = |now: &SuiteStanding| {
                matches!(now, SuiteStanding::Failed | SuiteStanding::Cancelled { .. })
            };
            if standing.is_some_and(fell) {
                fallen.entry(&suite.stage).or_default().insert(suite.id.clone());
            }
        }
        let first = self.suites.stages().iter().find(|stage| {
            !self.held.contains(*stage)
                && (self.closed.contains_key(*stage) || fallen.contains_key(*stage))
        });
        let verdict = |stage: &EnvironmentId| {
            if let (true, Some(because)) = (self.held.contains(stage), first) {
                return StageVerdict::Held { because: because.clone() };
            }
            if let Some(reason) = self.closed.get(stage) {
                return StageVerdict::Closed { reason: reason.clone() };
            }
            match fallen.get(stage) {
                Some(because) => StageVerdict::Failed { because: because.clone() },
                None if self.has_passed(stage) => StageVerdict::Passed,
                None => StageVerdict::Unfinished,
            }
        };
        self.suites.stages().iter().map(|stage| (stage.clone(), verdict(stage))).collect()
    }
}

/// Whether a suite passed, and why not.
fn verdict(ended: &Followed<TestStatus>) -> Result<(), String> {
    match ended {
        Followed::Over { status, .. } => verdict_of(status),
        Followed::Lost(reason) => Err(reason.clone()),
    }
}

/// The same of a run that is over. A runner that tells of a success what cannot be is not believed.
fn verdict_of(status: &TestStatus) -> Result<(), String> {
    success(&status.phase)?;
    let count = |is| status.cases.iter().filter(|case| case.outcome == is).count();
    let (failed, passed) = (count(TestOutcome::Failed), count(TestOutcome::Passed));
    if failed == 0 && passed > 0 {
        return Ok(());
    }
    Err(format!(
        "the runner says that it succeeded, and tells {passed} tests that passed and {failed} that failed; look at the runner"
    ))
}
