//! A test runner that runs nothing.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::Digest;
use release_core::time::Span;
use release_providers::ProviderError;
use release_providers::spi::{JobPhase, JobRef, StartTests, TestCase, TestOutcome, TestStatus};

use super::jobs::Jobs;
use super::{Asked, Fake, TestRunnerCall, model};

/// A [`TestRunner`](release_providers::spi::TestRunner) that runs nothing: each test of a known suite comes to what it
/// was told.
pub type FakeTestRunner = Fake<TestRunnerCall, Suites>;

/// What a [`FakeTestRunner`] knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Suites {
    /// Its runs.
    pub jobs: Jobs<StartTests>,
    tests: BTreeMap<String, Vec<(String, TestOutcome)>>,
    /// The artifacts that there are; `None`: any.
    artifacts: Option<BTreeSet<Digest>>,
}

impl Fake<TestRunnerCall, Suites> {
    /// A runner that knows no suite.
    pub fn new() -> Self {
        Self::of("fake-test-runner", Suites::default())
    }

    /// The same, which knows a suite and what its tests come to.
    #[must_use]
    pub fn suite(self, suite: &str, tests: &[(&str, TestOutcome)]) -> Self {
        let tests = tests.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect();
        self.with(|suites| suites.tests.insert(suite.to_owned(), tests));
        self
    }
}

impl Suites {
    /// From now on only these artifacts exist.
    pub fn only_artifacts(&mut self, artifacts: impl IntoIterator<Item = Digest>) {
        self.artifacts = Some(artifacts.into_iter().collect());
    }
}

impl Default for Fake<TestRunnerCall, Suites> {
    fn default() -> Self {
        Self::new()
    }
}

impl model::TestRunner for Suites {
    fn start(&mut self, asked: &Asked<'_>, request: StartTests) -> Result<(), ProviderError> {
        asked.found("suite", &request.suite, self.tests.get(&request.suite))?;
        let digest = request.artifact.digest();
        if let Some(artifacts) = &self.artifacts {
            asked.found("artifact", &digest.to_string(), artifacts.get(&digest))?;
        }
        self.jobs.start(asked, request);
        Ok(())
    }

    fn observe(&mut self, asked: &Asked<'_>, request: JobRef) -> Result<TestStatus, ProviderError> {
        let (phase, job) = self.jobs.look(&request);
        let mut status = TestStatus::new(request.operation, phase);
        let Some(job) = job.filter(|_| status.phase == JobPhase::Succeeded) else {
            return Ok(status);
        };
        let StartTests { suite, only, .. } = &job.request;
        let tests = self.tests.get(suite).into_iter().flatten();
        let wanted = tests.filter(|(name, _)| only.is_empty() || only.contains(name));
        status.cases.extend(
            wanted.map(|(name, outcome)| TestCase::new(name.clone(), *outcome, Span::ZERO)),
        );
        let count = |is| status.cases.iter().filter(|case| case.outcome == is).count();
        let (failed, passed) = (count(TestOutcome::Failed), count(TestOutcome::Passed));
        let bad = failed > 0 || passed == 0;
        if bad && !asked.lie {
            let all = status.cases.len();
            let reason = format!("{failed} of {all} tests failed, and {passed} passed");
            status.phase = JobPhase::Failed { reason };
        }
        Ok(status)
    }

    fn cancel(&mut self, asked: &Asked<'_>, request: JobRef) -> Result<(), ProviderError> {
        self.jobs.cancel(asked, &request)
    }
}
