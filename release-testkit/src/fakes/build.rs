//! A build runner that builds nothing.

use std::collections::BTreeMap;

use release_core::model::{ArtifactRef, Digest};
use release_providers::ProviderError;
use release_providers::spi::{BuildStatus, JobPhase, JobRef, StartBuild};

use super::jobs::Jobs;
use super::{Asked, BuildRunnerCall, Fake, model};
use crate::fixtures;

/// A [`BuildRunner`](release_providers::spi::BuildRunner) that builds nothing: a build of a known repository makes one
/// artifact, whose digest follows from what was built.
pub type FakeBuildRunner = Fake<BuildRunnerCall, Builds>;

/// What a [`FakeBuildRunner`] knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Builds {
    /// Its builds.
    pub jobs: Jobs<StartBuild>,
    repositories: BTreeMap<String, String>,
    /// The only revision and the only recipe; `None`: any.
    only: Option<(String, String)>,
}

impl Fake<BuildRunnerCall, Builds> {
    /// A runner that knows no repository.
    pub fn new() -> Self {
        Self::of("fake-build-runner", Builds::default())
    }

    /// The same, which knows a repository that makes artifacts of this name.
    #[must_use]
    pub fn repository(self, repository: &str, artifact: &str) -> Self {
        self.with(|builds| {
            builds.repositories.insert(repository.to_owned(), artifact.to_owned());
        });
        self
    }
}

impl Builds {
    /// From now on repositories have just this revision and this recipe.
    pub fn only(&mut self, revision: &str, recipe: &str) {
        self.only = Some((revision.to_owned(), recipe.to_owned()));
    }
}

impl Default for Fake<BuildRunnerCall, Builds> {
    fn default() -> Self {
        Self::new()
    }
}

impl model::BuildRunner for Builds {
    fn start(&mut self, asked: &Asked<'_>, request: StartBuild) -> Result<(), ProviderError> {
        let known = self.repositories.get(&request.repository);
        asked.found("repository", &request.repository, known)?;
        if let Some((revision, recipe)) = &self.only {
            let same = |one: &String, other: &String| (one == other).then_some(());
            asked.found("revision", &request.revision, same(revision, &request.revision))?;
            asked.found("recipe", &request.recipe, same(recipe, &request.recipe))?;
        }
        self.jobs.start(asked, request);
        Ok(())
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: JobRef,
    ) -> Result<BuildStatus, ProviderError> {
        let (phase, job) = self.jobs.look(&request);
        let mut status = BuildStatus::new(request.operation, phase);
        if let Some(job) = job.filter(|_| status.phase == JobPhase::Succeeded) {
            let built = &job.request;
            let revision = if asked.lie { "another revision" } else { &built.revision };
            let content = format!("{} {revision} {}", built.repository, built.recipe);
            let name = self.repositories.get(&built.repository);
            let digest = Digest::of(content.as_bytes());
            let made = name.map(|name| ArtifactRef::new(fixtures::literal(name), digest));
            status.artifacts.extend(made);
        }
        Ok(status)
    }

    fn cancel(&mut self, asked: &Asked<'_>, request: JobRef) -> Result<(), ProviderError> {
        self.jobs.cancel(asked, &request)
    }
}
