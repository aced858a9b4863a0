//! What a runner is set up with: repositories, recipes, limits.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use release_core::model::ArtifactName;
use release_core::port::Clock;
use release_core::time::Span;
use serde::{Deserialize, Serialize};

use super::layout::OPEN;
use crate::spi::ArtifactStore;
use crate::{ErrorKind, ProviderError};

/// Variables that every build gets, and that no recipe sets.
const RESERVED: [&str; 6] =
    ["HOME", "TMPDIR", "BUILD_REPOSITORY", "BUILD_REVISION", "BUILD_RECIPE", MARKER];

/// What begins the names of parameters in a build's environment.
pub const PARAMETER_PREFIX: &str = "PARAM_";

/// The variable by which processes of a root are found again.
pub(super) const MARKER: &str = "RELEASE_BUILD";

/// How a repository is built. Whoever sets a runner up writes recipes; requests only name them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Recipe {
    /// What is run in the work tree: a program and its arguments, without a shell in between. A program with a `/` is one of
    /// the work tree, or named by its whole path; others are looked up in `PATH`.
    pub command: Vec<String>,
    /// What it makes: each artifact's name, and the file that it is then, from the root of the work tree.
    #[serde(default)]
    pub artifacts: BTreeMap<ArtifactName, String>,
    /// Variables that the command gets besides those that all get. Never a secret: they are written down with every build.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long it may take from its beginning; then it is stopped and has failed.
    #[serde(default = "an_hour")]
    pub limit: Span,
    /// How much of the past is in the work tree's repository.
    #[serde(default)]
    pub history: History,
}

/// How much of the past a work tree's repository has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum History {
    /// The revision alone.
    #[default]
    Revision,
    /// All that led to it, with its tags: for builds that ask `git describe`.
    Whole,
}

const fn an_hour() -> Span {
    Span::secs(3_600)
}

impl Recipe {
    /// One that runs this, makes nothing, and may take an hour.
    pub fn new<S: Into<String>>(command: impl IntoIterator<Item = S>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            artifacts: BTreeMap::new(),
            env: BTreeMap::new(),
            limit: an_hour(),
            history: History::Revision,
        }
    }

    /// It makes this file.
    #[must_use]
    pub fn making(mut self, name: ArtifactName, path: impl Into<String>) -> Self {
        self.artifacts.insert(name, path.into());
        self
    }

    /// It gets this variable. Never a secret.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// It may take this long.
    #[must_use]
    pub const fn within(mut self, limit: Span) -> Self {
        self.limit = limit;
        self
    }

    /// Its work tree has so much of the past.
    #[must_use]
    pub const fn with_history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// What is wrong with it, and how to mend that.
    fn fault(&self) -> Option<String> {
        match self.command.first() {
            None => return Some("has no command; write a program and its arguments".into()),
            Some(program) if program.is_empty() || program.starts_with('-') => {
                return Some(format!("runs `{program}`, which is no program; name one"));
            }
            Some(_) => {}
        }
        if self.command.iter().any(|part| part.contains('\0')) {
            return Some("has a command with a NUL in it, which no program can be given".into());
        }
        if self.limit.as_duration().is_zero() {
            return Some("may take no time; raise its limit".into());
        }
        if let Some(path) = self.artifacts.values().find(|path| !leads_inside(path)) {
            return Some(format!(
                "makes `{path}`, which is no file in its work tree; write for example `out/api.tar`"
            ));
        }
        let bad = |name: &&String| {
            !is_variable(name)
                || RESERVED.contains(&name.as_str())
                || name.starts_with(PARAMETER_PREFIX)
        };
        if let Some(name) = self.env.keys().find(bad) {
            return Some(format!(
                "sets `{name}`, which is the runner's own, or no variable; take another name"
            ));
        }
        let nul = self.env.iter().find(|(_, value)| value.contains('\0'));
        nul.map(|(name, _)| format!("sets `{name}` to something with a NUL; take it out"))
    }
}

/// What a [`GitBuilds`](super::GitBuilds) is opened with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GitBuildsConfig {
    /// The directory that it lives in. One runner a directory.
    pub root: PathBuf,
    /// The repositories that it knows: the name by which requests name each, and where it is: a URL of `file`, `git`, `http`,
    /// `https` or `ssh`, `user@host:path`, or a path. Name and place may be the same.
    pub repositories: BTreeMap<String, String>,
    /// The recipes that it knows.
    pub recipes: BTreeMap<String, Recipe>,
    /// How many builds run at once; the others wait in the order in which they were accepted.
    pub at_once: NonZeroUsize,
    /// How long a build that is stopped has to end by itself, before it is killed; and how long what it left behind has.
    pub grace: Span,
    /// The program `git`: looked up in [`path`](Self::path), or its whole path.
    pub git: PathBuf,
    /// What `git` is told besides, for example `GIT_SSH_COMMAND` or `SSH_AUTH_SOCK`. Builds do not get it.
    pub git_env: BTreeMap<String, String>,
    /// How long one command of `git` may take.
    pub git_limit: Span,
    /// The `PATH` of `git` and of builds.
    pub path: String,
    /// How much of a build's output is kept, in bytes. What it prints beyond that is dropped.
    pub most_output: u64,
    /// How large one artifact may be, in bytes.
    pub most_artifact: u64,
    /// Where artifacts go.
    pub store: Arc<dyn ArtifactStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl GitBuildsConfig {
    /// A runner in `root` that knows no repository and no recipe yet: two builds at once, 10 s of grace, 10 minutes for a
    /// command of `git`, 16 MiB of output, 1 GiB for an artifact.
    pub fn new(
        root: impl Into<PathBuf>,
        store: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            root: root.into(),
            repositories: BTreeMap::new(),
            recipes: BTreeMap::new(),
            at_once: NonZeroUsize::MIN.saturating_add(1),
            grace: Span::secs(10),
            git: "git".into(),
            git_env: BTreeMap::new(),
            git_limit: Span::secs(600),
            path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            most_output: 16 * 1024 * 1024,
            most_artifact: 1024 * 1024 * 1024,
            store,
            clock,
        }
    }

    /// It knows a repository.
    #[must_use]
    pub fn repository(mut self, name: impl Into<String>, place: impl Into<String>) -> Self {
        self.repositories.insert(name.into(), place.into());
        self
    }

    /// It knows a recipe.
    #[must_use]
    pub fn recipe(mut self, name: impl Into<String>, recipe: Recipe) -> Self {
        self.recipes.insert(name.into(), recipe);
        self
    }

    /// So many builds run at once.
    #[must_use]
    pub const fn at_once(mut self, builds: NonZeroUsize) -> Self {
        self.at_once = builds;
        self
    }

    /// What is stopped has so long to end by itself.
    #[must_use]
    pub const fn grace(mut self, grace: Span) -> Self {
        self.grace = grace;
        self
    }

    pub(super) fn check(&self) -> Result<(), ProviderError> {
        let invalid = |text: String| Err(ProviderError::new(ErrorKind::Invalid, OPEN, text));
        for (name, place) in &self.repositories {
            if let Some(fault) = fault_of_place(place) {
                return invalid(format!("repository `{name}` {fault}"));
            }
        }
        for (name, recipe) in &self.recipes {
            if let Some(fault) = recipe.fault() {
                return invalid(format!("recipe `{name}` {fault}"));
            }
        }
        if self.git.as_os_str().is_empty() || self.path.contains('\0') {
            return invalid("`git` or `path` is no path; mend it".into());
        }
        Ok(())
    }
}

/// What is wrong with the place of a repository. The place is not repeated: it may hold a password.
fn fault_of_place(place: &str) -> Option<&'static str> {
    const SPOKEN: [&str; 5] = ["file://", "git://", "http://", "https://", "ssh://"];
    if place.is_empty() || place.starts_with('-') || place.contains(|c: char| c.is_control()) {
        return Some("is at no place that git could take; write a URL or a path");
    }
    if let Some((scheme, rest)) = place.split_once("://") {
        if !SPOKEN.iter().any(|spoken| spoken.trim_end_matches("://") == scheme) {
            return Some("is spoken to by a protocol that is not allowed; use https or ssh");
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        if user.is_some_and(|user| user.contains(':')) {
            return Some("has a password in its URL; give git a credential helper in `git_env`");
        }
        return None;
    }
    // `ext::sh -c …` and other helpers.
    let helper = place.split_once("::").is_some_and(|(name, _)| !name.contains('/'));
    if helper {
        return Some(
            "is spoken to by a helper of git, which may run anything; write a URL or a path",
        );
    }
    // Else it is a host and a path there.
    let first = place.split('/').next().unwrap_or_default();
    let nowhere = !place.starts_with('/') && !first.contains(':');
    nowhere
        .then_some("is at a relative path, and nobody says relative to what; write the whole path")
}

/// Whether it is a path to something below where it begins.
pub(super) fn leads_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty()
        && !path.contains('\0')
        && !path.ends_with('/')
        && parts.all(|part| matches!(part, Component::Normal(_)))
        && !path.split('/').any(|part| matches!(part, "" | "."))
}

/// Whether it is the name of a variable, as shells have them.
pub(super) fn is_variable(name: &str) -> bool {
    let mut signs = name.chars();
    signs.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && signs.all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
        && name.len() <= 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_run_something_or_hold_a_password_are_refused() {
        for good in [
            "/srv/git/api.git",
            "file:///srv/git/api.git",
            "ssh://git@host/shop/api",
            "git@host:shop/api.git",
            "https://host:8443/shop/api.git",
        ] {
            assert_eq!(fault_of_place(good), None, "{good}");
        }
        for bad in [
            "",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c touch% /tmp/x",
            "fd::17",
            "ext://host",
            "https://ada:pw@host/api.git",
            "/srv/\n/api",
            "relative/path",
        ] {
            let fault = fault_of_place(bad).unwrap();
            assert!(!fault.contains("pw@"), "{fault}");
        }
    }

    #[test]
    fn artifacts_lie_inside() {
        for (path, inside) in [
            ("out", true),
            ("out/api.tar", true),
            ("a..b/...", true),
            ("", false),
            ("/etc/passwd", false),
            ("../other/out", false),
            ("out/../../x", false),
            ("out/./x", false),
            ("out//x", false),
            ("out/", false),
        ] {
            assert_eq!(leads_inside(path), inside, "{path}");
        }
    }

    #[test]
    fn recipes_that_make_no_sense_say_why() {
        let good = || Recipe::new(["make", "all"]);
        assert_eq!(good().with_env("LANG", "C").fault(), None);
        for (recipe, told) in [
            (Recipe::new(Vec::<String>::new()), "no command"),
            (Recipe::new(["-x"]), "no program"),
            (Recipe::new(["a\0"]), "NUL"),
            (good().within(Span::ZERO), "no time"),
            (good().making("api".parse().unwrap(), "../x"), "no file in its work tree"),
            (good().with_env("HOME", "/root"), "runner's own"),
            (good().with_env("PARAM_X", "1"), "runner's own"),
            (good().with_env("A B", "1"), "no variable"),
            (good().with_env("A", "\0"), "NUL"),
        ] {
            let fault = recipe.fault().unwrap();
            assert!(fault.contains(told), "{fault}");
        }
    }
}
