//! Suites of tests over stages, over one runner.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use release_core::build::{Learned, Schedule, Suite, SuiteRequirement};
use release_core::model::{ArtifactRef, Digest, EnvironmentId, Principal, SuiteId, Target};
use release_core::port::Clock;
use release_core::time::Span;
use tokio_util::sync::CancellationToken;

use super::follow::{Conduct, Followed, Pace};
use super::stages::{OpenStage, StagedSuites};
use super::tested::TestReport;
use super::under_way::UnderWay;
use crate::ProviderError;
use crate::spi::{StartTests, TestRunner, TestStatus};

/// Suites of tests on one content, under one name.
///
/// Each suite is run under the key `{campaign}/{suite}`. So the same campaign again, also after a crash, finds the runs that go on
/// or are over, and starts none twice: let it bear the same name, and test the same content with the same suites excused. Another
/// attempt, and another content, is another campaign.
#[derive(Debug, Clone)]
pub struct TestCampaign {
    conduct: Conduct,
    runner: Arc<dyn TestRunner>,
    artifact: ArtifactRef,
    content: Digest,
    targets: BTreeMap<EnvironmentId, Target>,
    excused: BTreeSet<SuiteId>,
    learned: Learned<SuiteId>,
    stages: Option<Arc<dyn OpenStage>>,
}

impl TestCampaign {
    /// One of this name that tests an artifact, four suites at once.
    pub fn new(
        name: impl Into<String>,
        runner: Arc<dyn TestRunner>,
        clock: Arc<dyn Clock>,
        by: Principal,
        artifact: ArtifactRef,
    ) -> Self {
        let content = artifact.digest();
        Self {
            conduct: Conduct::new(name.into(), clock, by),
            runner,
            artifact,
            content,
            targets: BTreeMap::new(),
            excused: BTreeSet::new(),
            learned: Learned::default(),
            stages: None,
        }
    }

    /// So many suites at once. After a crash, those that are under way from before may come on top until they are found again.
    #[must_use]
    pub const fn at_once(mut self, suites: NonZeroUsize) -> Self {
        self.conduct.at_once = suites;
        self
    }

    /// How the runner is asked, and how often.
    #[must_use]
    pub const fn paced(mut self, pace: Pace) -> Self {
        self.conduct.pace = pace;
        self
    }

    /// What attempts are told to be of: a digest of all that is tested, where that is more than the artifact.
    #[must_use]
    pub const fn of_content(mut self, content: Digest) -> Self {
        self.content = content;
        self
    }

    /// Where what each stage tests runs. Suites of stages that are not named get the artifact alone.
    #[must_use]
    pub fn with_targets(mut self, targets: BTreeMap<EnvironmentId, Target>) -> Self {
        self.targets = targets;
        self
    }

    /// Suites that count as advisory for now, whatever they are: those in quarantine, whose `Duty` on this content does not hold
    /// (`release_policy::quarantine`). They are run as all others.
    #[must_use]
    pub fn excusing(mut self, suites: impl IntoIterator<Item = SuiteId>) -> Self {
        self.excused.extend(suites);
        self
    }

    /// How long suites took before, as the [report](TestReport::learned) of then tells. Of those that were never seen, what
    /// their authors say counts.
    #[must_use]
    pub fn with_learned(mut self, learned: Learned<SuiteId>) -> Self {
        self.learned = learned;
        self
    }

    /// Who makes stages ready to be tested. Without, what each tests is there.
    #[must_use]
    pub fn opened_by(mut self, stages: Arc<dyn OpenStage>) -> Self {
        self.stages = Some(stages);
        self
    }

    /// What is planned: which suite begins when, if all take what was learned and every stage is there at once. Stages in order
    /// open no earlier than all workers together could have done what those before them require.
    pub fn schedule(&self, suites: &StagedSuites) -> Schedule {
        let workers = NonZeroU32::try_from(self.conduct.at_once).unwrap_or(NonZeroU32::MAX);
        let takes = |suite: &Suite| self.learned.takes(&suite.id).unwrap_or(suite.takes);
        let mut opens = BTreeMap::new();
        let mut sum = Duration::ZERO;
        for stage in suites.order() {
            let at = sum.checked_div(workers.get()).unwrap_or_default();
            opens.insert(stage, Span::from(at));
            let of = suites.suites().iter().filter(|suite| suite.stage == *stage);
            let required = of.filter(|suite| self.holds(suite));
            sum = required.fold(sum, |sum, suite| sum.saturating_add(takes(suite).as_duration()));
        }
        let opens = |stage: &EnvironmentId| opens.get(stage).copied().unwrap_or(Span::ZERO);
        suites.suites().schedule(workers, takes, opens, 0)
    }

    /// Runs suites: each once its stage is open and all that it comes after is over, in the order of the
    /// [schedule](Self::schedule). Where a required one does not pass, what comes after it never begins, and stages that come after
    /// its stage never open; all else goes on. Where an advisory one, or one that is [excused](Self::excusing), does not pass, that is
    /// told and nothing else comes of it.
    ///
    /// A suite that could not be run has not passed, whatever the cause.
    ///
    /// # Cancellation
    /// Once `stop` is cancelled nothing begins any more, what is under way is cancelled, and its end is waited for; a stage that is
    /// just being opened is not. Dropping the future leaves runs under way; the same campaign finds them again.
    #[must_use = "the report says what came of it"]
    pub async fn run(&self, suites: &StagedSuites, stop: &CancellationToken) -> TestReport {
        let mut way = UnderWay::new(self, suites, &self.schedule(suites));
        let (mut running, mut opening) = (FuturesUnordered::new(), FuturesUnordered::new());
        loop {
            if !stop.is_cancelled() {
                opening.extend(way.due().into_iter().map(|stage| self.open(stage)));
                while running.len() < self.conduct.at_once.get() {
                    let Some(suite) = way.next() else { break };
                    running.push(self.one(suite, stop));
                }
            }
            tokio::select! {
                biased;
                Some((suite, ended)) = running.next() => {
                    way.ended(&suite, ended, self.conduct.clock.now());
                }
                Some((stage, opened)) = opening.next() => way.opened(&stage, opened),
                () = stop.cancelled(), if !opening.is_empty() => opening.clear(),
                else => break,
            }
        }
        let (name, learned) = (self.conduct.name.clone(), self.learned.clone());
        way.report(name, learned, stop.is_cancelled())
    }

    /// Whether its failure holds anything.
    pub(super) fn holds(&self, suite: &Suite) -> bool {
        suite.requirement == SuiteRequirement::Required && !self.excused.contains(&suite.id)
    }

    pub(super) const fn content(&self) -> Digest {
        self.content
    }

    async fn one(&self, suite: Suite, stop: &CancellationToken) -> (Suite, Followed<TestStatus>) {
        let mut request = StartTests::new(suite.id.to_string(), self.artifact.clone());
        request.target = self.targets.get(&suite.stage).cloned();
        let ended = self.conduct.follow(&suite.id, &*self.runner, request, stop).await;
        (suite, ended)
    }

    async fn open(&self, stage: EnvironmentId) -> (EnvironmentId, Result<(), ProviderError>) {
        let opened = match &self.stages {
            Some(stages) => stages.open(&stage).await,
            None => Ok(()),
        };
        (stage, opened)
    }
}
