//! What has to be built again, and what is being built.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::graph::{Build, BuildGraph};
use super::micros;
use super::progress::{Progress, State};
use crate::ids::BuildId;
use crate::model::Digest;
use crate::time::Span;

/// What a build was made of, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Built {
    /// What its sources were: a commit, or better the hash of the tree that it is made of.
    pub source: String,
    /// The results that it was made with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<BuildId, Digest>,
    /// What was made: the digest of its artifact, or of all its artifacts.
    pub output: Digest,
}

impl Built {
    /// What was made of sources and results.
    pub const fn new(source: String, inputs: BTreeMap<BuildId, Digest>, output: Digest) -> Self {
        Self { source, inputs, output }
    }
}

/// Why something has to be built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stale {
    /// It never was.
    Never,
    /// Its sources are others.
    Source,
    /// It was made with another result of a build, or without it, or with that of a build that it no longer needs.
    Input(BuildId),
    /// A build that it needs has to be built. Should that come to the same result, this one need not.
    Behind(BuildId),
}

/// The smallest set of builds that may have to be made again, each with the reason, in the order of the graph: all others were made
/// of what is there, with the results that are there.
///
/// `sources` tells what each build would be made of now; builds that it does not tell have their sources unchanged.
pub fn stale<'a>(
    graph: &'a BuildGraph,
    sources: &BTreeMap<BuildId, String>,
    built: &BTreeMap<BuildId, Built>,
) -> Vec<(&'a Build, Stale)> {
    let mut behind: BTreeSet<&BuildId> = BTreeSet::new();
    let mut found = Vec::new();
    for build in graph.in_order() {
        let why = match built.get(&build.id) {
            None => Some(Stale::Never),
            Some(last) if is_other(sources.get(&build.id), last) => Some(Stale::Source),
            Some(last) => {
                let need = build.needs.iter().find(|need| behind.contains(need));
                let own = || other_input(build, last, built).map(Stale::Input);
                need.cloned().map(Stale::Behind).or_else(own)
            }
        };
        if let Some(why) = why {
            behind.insert(&build.id);
            found.push((build, why));
        }
    }
    found
}

/// Whether it would now be made of other sources.
fn is_other(source: Option<&String>, last: &Built) -> bool {
    source.is_some_and(|source| *source != last.source)
}

/// A build with another result of which, or without which, it was made.
fn other_input(build: &Build, last: &Built, there: &BTreeMap<BuildId, Built>) -> Option<BuildId> {
    let output = |need: &BuildId| there.get(need).map(|need| need.output);
    let other = |need: &&BuildId| last.inputs.get(*need).copied() != output(need);
    let gone = || last.inputs.keys().find(|input| !build.needs.contains(*input));
    build.needs.iter().find(other).or_else(gone).cloned()
}

/// How far a build is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BuildStanding {
    /// It waits for builds that it needs, or for a worker.
    Waiting,
    /// It is under way.
    Running,
    /// It was made.
    Built,
    /// It was there already: the same sources, and the same results of all that it needs.
    UpToDate,
    /// It failed.
    Failed {
        /// What is wrong.
        reason: String,
    },
    /// It never begins: what stands here failed, which it needs, directly or not.
    Cancelled {
        /// What failed.
        because: BuildId,
    },
}

/// Something that is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Order {
    /// The build.
    pub build: Build,
    /// What its sources are, if anybody said.
    pub source: Option<String>,
    /// The results that it is made with.
    pub inputs: BTreeMap<BuildId, Digest>,
}

/// Why a build cannot end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("build `{0}` is not under way; only what `next` gave out, and what is not over, can end")]
pub struct NotRunning(pub BuildId);

/// Builds under way, as a value: who is next, and what comes of what ended. It starts nothing itself.
#[derive(Debug, Clone)]
pub struct Building {
    graph: BuildGraph,
    sources: BTreeMap<BuildId, String>,
    built: BTreeMap<BuildId, Built>,
    ended: BTreeMap<BuildId, BuildStanding>,
    progress: Progress,
}

impl Building {
    /// Begins to build what is [`stale`]. Who begins the longest way through the graph is first; `takes` tells how long each build
    /// will.
    pub fn new(
        graph: &BuildGraph,
        sources: BTreeMap<BuildId, String>,
        built: BTreeMap<BuildId, Built>,
        mut takes: impl FnMut(&Build) -> Span,
    ) -> Self {
        let mut weights = vec![0; graph.len()];
        for (build, _) in stale(graph, &sources, &built) {
            let weight = graph.number(&build.id).and_then(|at| weights.get_mut(at as usize));
            if let Some(weight) = weight {
                *weight = micros(takes(build));
            }
        }
        let progress = Progress::new(&graph.dag, graph.dag.tails(&weights), false);
        Self { graph: graph.clone(), sources, built, ended: BTreeMap::new(), progress }
    }

    /// What is to be built next, if anything can; it is under way from now on. Ask again until there is nothing, or no worker.
    #[expect(
        clippy::should_implement_trait,
        reason = "what is next depends on what ended; this is no iteration"
    )]
    pub fn next(&mut self) -> Option<Order> {
        loop {
            let number = self.progress.begin()?;
            let build = self.graph.at(number)?;
            let result = |need: &BuildId| Some((need.clone(), self.built.get(need)?.output));
            let inputs: BTreeMap<_, _> = build.needs.iter().filter_map(result).collect();
            let source = self.sources.get(&build.id);
            let last = self.built.get(&build.id);
            if last.is_some_and(|last| !is_other(source, last) && last.inputs == inputs) {
                self.ended.insert(build.id.clone(), BuildStanding::UpToDate);
                self.progress.over(&self.graph.dag, number);
                continue;
            }
            return Some(Order { build: build.clone(), source: source.cloned(), inputs });
        }
    }

    /// A build came to a result; what needs it may begin.
    ///
    /// # Errors
    /// [`NotRunning`].
    pub fn done(&mut self, order: Order, output: Digest) -> Result<(), NotRunning> {
        let id = order.build.id;
        let number = self.graph.number(&id).ok_or_else(|| NotRunning(id.clone()))?;
        if !self.progress.over(&self.graph.dag, number) {
            return Err(NotRunning(id));
        }
        let last = || self.built.get(&id).map(|last| last.source.clone());
        let source = order.source.or_else(last).unwrap_or_default();
        self.built.insert(id.clone(), Built { source, inputs: order.inputs, output });
        self.ended.insert(id, BuildStanding::Built);
        Ok(())
    }

    /// A build failed: all that needs it, directly or not, never begins, and nothing else is held. Tells what that is, in order.
    ///
    /// # Errors
    /// [`NotRunning`].
    pub fn failed(&mut self, id: &BuildId, reason: String) -> Result<Vec<BuildId>, NotRunning> {
        let number = self.graph.number(id).ok_or_else(|| NotRunning(id.clone()))?;
        let lost = self.progress.failed(&self.graph.dag, number);
        let lost = lost.ok_or_else(|| NotRunning(id.clone()))?;
        self.ended.insert(id.clone(), BuildStanding::Failed { reason });
        let ids = lost.into_iter().filter_map(|number| Some(self.graph.at(number)?.id.clone()));
        Ok(ids.collect())
    }

    /// How far a build is; `None` for one that is not of the graph.
    pub fn standing(&self, id: &BuildId) -> Option<BuildStanding> {
        let number = self.graph.number(id)?;
        if let Some(ended) = self.ended.get(id) {
            return Some(ended.clone());
        }
        Some(match self.progress.state(number) {
            State::Running => BuildStanding::Running,
            State::Cancelled(because) => {
                let because = self.graph.at(because).map_or_else(|| id.clone(), |b| b.id.clone());
                BuildStanding::Cancelled { because }
            }
            State::Waiting | State::Ready | State::Over | State::Failed => BuildStanding::Waiting,
        })
    }

    /// Whether nothing is under way and nothing may begin any more.
    pub const fn is_over(&self) -> bool {
        self.progress.is_over()
    }

    /// What is there by now, to be kept for the next time.
    pub const fn built(&self) -> &BTreeMap<BuildId, Built> {
        &self.built
    }

    /// The graph that is built.
    pub const fn graph(&self) -> &BuildGraph {
        &self.graph
    }
}
