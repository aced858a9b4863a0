//! Builds of many repositories, and what needs what.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dag::{Dag, Needing, NeedsError, compile, position};
use super::{micros, span};
use crate::ids::BuildId;
use crate::time::Span;

/// What one recipe makes of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Build {
    /// Its name.
    pub id: BuildId,
    /// The repository, as whoever builds it knows it.
    pub repository: String,
    /// Which of the repository's builds.
    pub recipe: String,
    /// Builds whose results it is made with.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<BuildId>,
    /// The folders and files of the repository that it is made of, from its root, with `/`. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

impl Build {
    /// One that needs no other, of all of a repository.
    pub fn new(id: BuildId, repository: impl Into<String>, recipe: impl Into<String>) -> Self {
        let (repository, recipe) = (repository.into(), recipe.into());
        Self { id, repository, recipe, needs: BTreeSet::new(), paths: Vec::new() }
    }

    /// It is made with the result of `build`.
    #[must_use]
    pub fn needing(mut self, build: BuildId) -> Self {
        self.needs.insert(build);
        self
    }

    /// It is made of `path` and of what else is named so, not of all of its repository.
    #[must_use]
    pub fn of(mut self, path: impl Into<String>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Whether it is made of one of these files.
    fn has_any(&self, files: &BTreeSet<&str>) -> bool {
        let within = |path: &String| {
            let path = path.trim_end_matches('/');
            let folder = format!("{path}/");
            let first = files.range(folder.as_str()..).next();
            files.contains(path) || first.is_some_and(|file| file.starts_with(&folder))
        };
        if self.paths.is_empty() { !files.is_empty() } else { self.paths.iter().any(within) }
    }
}

/// Builds, each of which needs only others of them and never itself, in whatever way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Build>", into = "Vec<Build>")]
pub struct BuildGraph {
    /// In the order of their ids.
    builds: Arc<Vec<Build>>,
    pub(super) dag: Arc<Dag>,
}

/// Why something is no build graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildGraphError {
    /// Names and needs do not fit together.
    #[error(transparent)]
    Needs(#[from] NeedsError<BuildId>),
    /// A path leads out of its repository, or nowhere.
    #[error(
        "build `{build}` is made of `{path}`, which is no path from the root of its repository; write for example `services/api`"
    )]
    Path {
        /// Which build.
        build: BuildId,
        /// The path.
        path: String,
    },
}

impl Needing for Build {
    type Id = BuildId;
    fn id(&self) -> &BuildId {
        &self.id
    }
    fn needs(&self) -> &BTreeSet<BuildId> {
        &self.needs
    }
}

/// A build that the graph does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no build of this graph; mend the name, or add it")]
pub struct UnknownBuild(pub BuildId);

impl TryFrom<Vec<Build>> for BuildGraph {
    type Error = BuildGraphError;
    fn try_from(builds: Vec<Build>) -> Result<Self, BuildGraphError> {
        Self::new(builds)
    }
}

impl From<BuildGraph> for Vec<Build> {
    fn from(graph: BuildGraph) -> Self {
        Arc::unwrap_or_clone(graph.builds)
    }
}

/// The longest way through builds that need each other: no number of workers is done earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CriticalPath {
    /// The builds, each needed by the next.
    pub builds: Vec<BuildId>,
    /// How long they take together.
    pub length: Span,
}

impl BuildGraph {
    /// Checks builds and what they need.
    ///
    /// # Errors
    /// [`BuildGraphError`], with the shortest circle where builds need each other (where very many do, maybe not the very shortest:
    /// once one is found, the search for a shorter one looks at two million needs at most).
    pub fn new(builds: impl IntoIterator<Item = Build>) -> Result<Self, BuildGraphError> {
        let (builds, dag) = compile(builds)?;
        let wrong = |build: &Build| {
            let path = build.paths.iter().find(|path| !leads_inside(path))?.clone();
            Some(BuildGraphError::Path { build: build.id.clone(), path })
        };
        if let Some(wrong) = builds.iter().find_map(wrong) {
            return Err(wrong);
        }
        Ok(Self { builds: Arc::new(builds), dag: Arc::new(dag) })
    }

    /// How many builds there are.
    pub fn len(&self) -> usize {
        self.builds.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.builds.is_empty()
    }

    /// A build by its name.
    pub fn get(&self, id: &BuildId) -> Option<&Build> {
        self.number(id).and_then(|number| self.at(number))
    }

    /// All builds, each after those that it needs; always in the same order.
    pub fn in_order(&self) -> impl Iterator<Item = &Build> {
        self.dag.order().iter().filter_map(|number| self.at(*number))
    }

    /// These builds and all that are made with them, directly or not, each after those that it needs: what may have to be
    /// built again once these have changed. What really has to is told by [`stale`](super::stale).
    ///
    /// # Errors
    /// [`UnknownBuild`].
    pub fn affected<'a>(
        &self,
        changed: impl IntoIterator<Item = &'a BuildId>,
    ) -> Result<Vec<&Build>, UnknownBuild> {
        let number = |id: &BuildId| self.number(id).ok_or_else(|| UnknownBuild(id.clone()));
        let changed: Vec<u32> = changed.into_iter().map(number).collect::<Result<_, _>>()?;
        Ok(self.dag.reached(changed).into_iter().filter_map(|number| self.at(number)).collect())
    }

    /// The builds that are made of one of these files of a repository; files are named from its root, as `git diff --name-only`
    /// does. Those that need them are not told: see [`affected`](Self::affected).
    pub fn touched<'a>(
        &self,
        repository: &str,
        files: impl IntoIterator<Item = &'a str>,
    ) -> Vec<&Build> {
        let files: BTreeSet<&str> = files.into_iter().collect();
        let of_it = self.builds.iter().filter(|build| build.repository == repository);
        of_it.filter(|build| build.has_any(&files)).collect()
    }

    /// The longest way through the graph, where each build takes as long as is said.
    pub fn critical_path(&self, mut takes: impl FnMut(&Build) -> Span) -> CriticalPath {
        let micros: Vec<u64> = self.builds.iter().map(|build| micros(takes(build))).collect();
        let (path, length) = self.dag.heaviest(&micros);
        let builds = path.into_iter().filter_map(|number| Some(self.at(number)?.id.clone()));
        CriticalPath { builds: builds.collect(), length: span(length) }
    }

    pub(super) fn number(&self, id: &BuildId) -> Option<u32> {
        position(&self.builds, id)
    }

    pub(super) fn at(&self, number: u32) -> Option<&Build> {
        self.builds.get(number as usize)
    }
}

fn leads_inside(path: &str) -> bool {
    !path.is_empty()
        && path.trim_end_matches('/').split('/').all(|part| !matches!(part, "" | "." | ".."))
}
