//! Builds of many repositories, over one runner.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use release_core::build::{BuildStanding, Building, Built, Order};
use release_core::model::{ArtifactRef, BuildId, Digest, Principal};
use release_core::port::Clock;
use release_core::time::Span;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::follow::{Conduct, Followed, Pace, success};
use crate::spi::{BuildRunner, BuildStatus, StartBuild};

/// What begins the names of parameters that tell a build the results that it is made with.
pub const INPUT_PREFIX: &str = "input_";

/// Builds of many repositories under one name.
///
/// Each build is started under the key `{campaign}/{build}`. So the same campaign again, also after a crash, finds what was
/// built, and builds nothing twice. Another attempt at what failed is another campaign.
#[derive(Debug, Clone)]
pub struct Campaign {
    conduct: Conduct,
    runner: Arc<dyn BuildRunner>,
    revisions: BTreeMap<BuildId, String>,
    artifacts: BTreeMap<BuildId, Vec<ArtifactRef>>,
    parameters: BTreeMap<String, String>,
}

/// What came of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BuildReport {
    /// Its name.
    pub campaign: String,
    /// Whether somebody cancelled it before its end.
    pub cancelled: bool,
    /// Each build of the graph.
    pub builds: BTreeMap<BuildId, BuildResult>,
    /// What is there now, to be kept for the next time: see [`Building::new`].
    pub built: BTreeMap<BuildId, Built>,
    /// How long those took that were made, as it was seen from here: what [`Learned`](release_core::build::Learned) records. What
    /// was found under way or over, as after a crash, is not among them: nobody here saw it begin.
    pub took: BTreeMap<BuildId, Span>,
}

/// What came of one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BuildResult {
    /// How far it is. Of several that failed and that it needs, the first by name is the cause.
    pub standing: BuildStanding,
    /// What it made, or had made before.
    pub artifacts: Vec<ArtifactRef>,
    /// Where its log can be read, as a URL.
    pub log: Option<String>,
}

impl BuildReport {
    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        let there = |standing: &BuildStanding| {
            matches!(standing, BuildStanding::Built | BuildStanding::UpToDate)
        };
        self.builds.values().all(|build| there(&build.standing))
    }

    /// What each build made, to be told to the next campaign: see [`Campaign::with_artifacts`].
    pub fn artifacts(&self) -> BTreeMap<BuildId, Vec<ArtifactRef>> {
        let made = self.builds.iter().filter(|(_, build)| !build.artifacts.is_empty());
        made.map(|(id, build)| (id.clone(), build.artifacts.clone())).collect()
    }
}

/// The result of a build that made these artifacts: the digest of the one, or of all their references in the order of their
/// names, one a line. What makes no artifact always has the same result.
pub fn output(artifacts: &[ArtifactRef]) -> Digest {
    if let [only] = artifacts {
        return only.digest();
    }
    let lines = artifacts.iter().map(|made| format!("{}@{}\n", made.name(), made.digest()));
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    Digest::of(lines.concat().as_bytes())
}

impl Campaign {
    /// One of this name, four builds at once.
    pub fn new(
        name: impl Into<String>,
        runner: Arc<dyn BuildRunner>,
        clock: Arc<dyn Clock>,
        by: Principal,
    ) -> Self {
        Self {
            conduct: Conduct::new(name.into(), clock, by),
            runner,
            revisions: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            parameters: BTreeMap::new(),
        }
    }

    /// So many builds at once. After a crash, those that are under way from before come on top until they are found again.
    #[must_use]
    pub const fn at_once(mut self, builds: NonZeroUsize) -> Self {
        self.conduct.at_once = builds;
        self
    }

    /// How the runner is asked, and how often.
    #[must_use]
    pub const fn paced(mut self, pace: Pace) -> Self {
        self.conduct.pace = pace;
        self
    }

    /// The commit of each build's repository. Those that are not named are built at their source, which then has to be a
    /// commit.
    #[must_use]
    pub fn with_revisions(mut self, revisions: BTreeMap<BuildId, String>) -> Self {
        self.revisions = revisions;
        self
    }

    /// What builds made before, as the [report](BuildReport::artifacts) of then tells: what is made with one that is up to date
    /// is told its artifacts.
    #[must_use]
    pub fn with_artifacts(mut self, artifacts: BTreeMap<BuildId, Vec<ArtifactRef>>) -> Self {
        self.artifacts = artifacts;
        self
    }

    /// What every build is told. Never a secret.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// Builds what has to be built: each once all that it needs is there, the most urgent first. Where one fails, what needs
    /// it never begins, and nothing else is held.
    ///
    /// A build is told the results that it is made with as parameters: `input_` and the name of the build that made it, with
    /// `_` for `.` and `-`; the artifacts, separated by blanks, or the digest of the [output], where nobody said
    /// [what was made](Self::with_artifacts).
    ///
    /// # Cancellation
    /// Once `stop` is cancelled nothing begins any more, what is under way is cancelled, and its end is waited for. Dropping
    /// the future leaves builds under way; the same campaign finds them again.
    #[must_use = "the report says what came of it"]
    pub async fn run(&self, mut building: Building, stop: &CancellationToken) -> BuildReport {
        let mut seen = Seen { made: self.artifacts.clone(), ..Seen::default() };
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < self.conduct.at_once.get() && !stop.is_cancelled() {
                let Some(order) = building.next() else { break };
                let request = self.request(&order, &seen.made);
                under_way.push(self.one(order, request, stop));
            }
            let Some((order, ended)) = under_way.next().await else { break };
            seen.ends(&mut building, order, ended);
        }
        self.report(&building, seen, stop.is_cancelled())
    }

    /// What is asked for an order; always the same for the same order.
    fn request(
        &self,
        order: &Order,
        made: &BTreeMap<BuildId, Vec<ArtifactRef>>,
    ) -> Result<StartBuild, String> {
        let build = &order.build;
        let revision = self.revisions.get(&build.id).or(order.source.as_ref());
        let revision = revision.ok_or("nobody said at which revision it is built; add it")?;
        let (repository, recipe) = (build.repository.clone(), build.recipe.clone());
        let mut request = StartBuild::new(repository, revision.clone(), recipe);
        request.parameters.clone_from(&self.parameters);
        for (need, result) in &order.inputs {
            let name = format!("{INPUT_PREFIX}{}", need.as_str().replace(['.', '-'], "_"));
            let known = made.get(need).filter(|made| !made.is_empty() && output(made) == *result);
            let value = known.map_or_else(
                || result.to_string(),
                |made| made.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            );
            if request.parameters.insert(name.clone(), value).is_some() {
                return Err(format!(
                    "two things would be its parameter `{name}`; rename one of them"
                ));
            }
        }
        Ok(request)
    }

    async fn one(
        &self,
        order: Order,
        request: Result<StartBuild, String>,
        stop: &CancellationToken,
    ) -> (Order, Followed<BuildStatus>) {
        let ended = match request {
            Ok(request) => self.conduct.follow(&order.build.id, &*self.runner, request, stop).await,
            Err(reason) => Followed::Lost(reason),
        };
        (order, ended)
    }

    fn report(&self, building: &Building, seen: Seen, cancelled: bool) -> BuildReport {
        let Seen { mut made, mut logs, took } = seen;
        let mut builds = BTreeMap::new();
        for build in building.graph().in_order() {
            let Some(mut standing) = building.standing(&build.id) else { continue };
            let lost = build.needs.iter().filter_map(|need| because(need, builds.get(need)?)).min();
            if let (BuildStanding::Cancelled { because }, Some(lost)) = (&mut standing, lost) {
                *because = lost; // whichever failed first: the same report every time
            }
            let there = matches!(standing, BuildStanding::Built | BuildStanding::UpToDate);
            let artifacts = made.remove(&build.id).filter(|_| there).unwrap_or_default();
            let log = logs.remove(&build.id).flatten();
            builds.insert(build.id.clone(), BuildResult { standing, artifacts, log });
        }
        let (campaign, built) = (self.conduct.name.clone(), building.built().clone());
        BuildReport { campaign, cancelled, builds, built, took }
    }
}

/// What was seen of builds so far.
#[derive(Debug, Default)]
struct Seen {
    made: BTreeMap<BuildId, Vec<ArtifactRef>>,
    logs: BTreeMap<BuildId, Option<String>>,
    took: BTreeMap<BuildId, Span>,
}

impl Seen {
    fn ends(&mut self, building: &mut Building, order: Order, ended: Followed<BuildStatus>) {
        let id = order.build.id.clone();
        let told = match ended {
            Followed::Over { status, took } => {
                self.logs.insert(id.clone(), status.log);
                success(&status.phase).map(|()| (status.artifacts, took))
            }
            Followed::Lost(reason) => Err(reason),
        };
        // INVARIANT: it was given out, and it ends once.
        let _ends = match told {
            Ok((artifacts, took)) => {
                self.took.extend(took.map(|took| (id.clone(), took)));
                let result = output(&artifacts);
                self.made.insert(id, artifacts);
                building.done(order, result)
            }
            Err(reason) => {
                self.made.remove(&id);
                building.failed(&id, reason).map(drop)
            }
        };
    }
}

/// What failed that is to blame for the loss of what needs this build.
fn because(id: &BuildId, result: &BuildResult) -> Option<BuildId> {
    match &result.standing {
        BuildStanding::Failed { .. } => Some(id.clone()),
        BuildStanding::Cancelled { because } => Some(because.clone()),
        _ => None,
    }
}
