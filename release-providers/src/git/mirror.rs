//! Copies of repositories, fetched only when they lack a revision; and the work trees that are made of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use super::command::{GIT, Git, Printed, failed};
use super::config::{History, MARKER};
use super::layout::{OPEN, Paths, Place, io_error, make, remove};
use crate::disk::{blocking, list};
use crate::procfs;
use crate::sync::lock;
use crate::{ErrorKind, ProviderError};

/// A commit, by its whole id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revision(String);

impl Revision {
    /// Checks that it is the whole id of a commit: 40 or 64 hexadecimal digits in lower case, and nothing that moves.
    pub(super) fn new(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let whole = matches!(text.len(), 40 | 64) && text.bytes().all(is_digit);
        whole.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As `git init` calls repositories with such ids.
    const fn format(&self) -> &'static str {
        if self.0.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" }
    }
}

/// The mirrors of a root.
#[derive(Debug)]
pub(super) struct Mirrors {
    paths: Paths,
    git: Git,
    /// Whose turn it is to change a mirror.
    turns: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

impl Mirrors {
    pub(super) const fn new(paths: Paths, git: Git) -> Self {
        Self { paths, git, turns: Mutex::new(BTreeMap::new()) }
    }

    /// Looks whether there is a git that can be run.
    pub(super) async fn check(&self) -> Result<(), ProviderError> {
        let version = [OsStr::new("version")];
        self.git.done(OPEN, &self.paths.root, &version).await.map(drop)
    }

    /// Makes sure that a commit of the repository at `place` is there.
    ///
    /// # Errors
    /// `NotFound` where the repository has no such commit, `Invalid` where that is something else; `Unavailable` or
    /// `Denied` where the repository cannot be asked.
    pub(super) async fn bring(
        &self,
        operation: &'static str,
        place: &str,
        revision: &Revision,
    ) -> Result<(), ProviderError> {
        let mirror = self.paths.mirror(place, revision.as_str().len());
        if self.has(operation, &mirror, revision).await? {
            return Ok(());
        }
        let turn = Arc::clone(lock(&self.turns).entry(mirror.clone()).or_default());
        let _turn = turn.lock().await;
        if self.has(operation, &mirror, revision).await? {
            return Ok(()); // whoever had the turn before brought it
        }
        self.make(operation, &mirror, revision).await?;
        let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let fetched = self.fetch(operation, (&mirror, place), &all).await?;
        if !fetched.is_good() {
            // The repository has ids of another length, so none that could be this one.
            if fetched.err.contains("mismatched algorithms") {
                return Err(unknown(operation, revision));
            }
            return Err(failed(operation, &[OsStr::new("fetch")], &fetched));
        }
        if self.has(operation, &mirror, revision).await? {
            return Ok(());
        }
        // What no branch and no tag leads to, such as a proposal that was rebased.
        let kept = format!("{0}:refs/revisions/{0}", revision.as_str());
        self.fetch(operation, (&mirror, place), &[&kept]).await?;
        if self.has(operation, &mirror, revision).await? {
            return Ok(());
        }
        Err(unknown(operation, revision))
    }

    /// Whether a mirror has a commit.
    async fn has(
        &self,
        operation: &'static str,
        mirror: &Path,
        revision: &Revision,
    ) -> Result<bool, ProviderError> {
        if !mirror.exists() {
            return Ok(false);
        }
        let args = ["cat-file", "-t", revision.as_str()].map(OsStr::new);
        let printed = self.git.run(operation, mirror, &args).await?;
        match printed.out.trim() {
            "commit" => Ok(true),
            "" => Ok(false),
            other => {
                let text = format!("this is a {other}, no commit; name the commit");
                Err(ProviderError::new(ErrorKind::Invalid, operation, text)
                    .with_context("revision", revision.as_str()))
            }
        }
    }

    /// Makes an empty mirror, as a whole or not at all.
    async fn make(
        &self,
        operation: &'static str,
        mirror: &Path,
        revision: &Revision,
    ) -> Result<(), ProviderError> {
        if mirror.exists() {
            return Ok(());
        }
        let new = mirror.with_extension("new");
        remove(&new).map_err(|e| io_error(operation, &new, e))?;
        let init = ["init", "--quiet", "--bare", "--template=", revision.format(), "--"];
        let args: Vec<&OsStr> = init.iter().map(OsStr::new).chain([new.as_os_str()]).collect();
        self.git.done(operation, &self.paths.mirrors(), &args).await?;
        // Work trees ask for commits by their ids.
        let args = ["config", "uploadpack.allowAnySHA1InWant", "true"].map(OsStr::new);
        self.git.done(operation, &new, &args).await?;
        fs::rename(&new, mirror).map_err(|e| io_error(operation, mirror, e))
    }

    async fn fetch(
        &self,
        operation: &'static str,
        (mirror, place): (&Path, &str),
        what: &[&str],
    ) -> Result<Printed, ProviderError> {
        let fixed = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", place];
        let args: Vec<&OsStr> = fixed.iter().chain(what).map(OsStr::new).collect();
        let fetched = self.git.run(operation, mirror, &args).await;
        if fetched.is_err() {
            unlock(mirror)?; // it was killed, and nobody else has the turn
        }
        fetched
    }

    /// Makes the work tree of a build, as a whole or not at all: a repository of its own, which shares nothing with the
    /// mirror and with other builds. One that is there stays as it is.
    pub(super) async fn plant(
        &self,
        operation: &'static str,
        place: &Place,
        (of, revision, history): (&str, &Revision, History),
    ) -> Result<(), ProviderError> {
        let (tree, new) = (place.tree(), place.new_tree());
        if tree.exists() {
            return Ok(());
        }
        let mirror = self.paths.mirror(of, revision.as_str().len());
        let rest = new.clone();
        blocking(operation, move || remove(&rest).map_err(|e| io_error(operation, &rest, e)))
            .await?;
        let init = ["init", "--quiet", "--template=", revision.format(), "--"];
        let args: Vec<&OsStr> = init.iter().map(OsStr::new).chain([new.as_os_str()]).collect();
        self.git.done(operation, &place.folder, &args).await?;
        let mut fetch: Vec<&OsStr> =
            ["fetch", "--quiet", "--no-write-fetch-head"].map(OsStr::new).into();
        if history == History::Revision {
            fetch.extend(["--depth=1", "--no-tags"].map(OsStr::new));
        }
        fetch.extend([OsStr::new("--"), mirror.as_os_str(), OsStr::new(revision.as_str())]);
        if history == History::Whole {
            fetch.push(OsStr::new("refs/tags/*:refs/tags/*"));
        }
        self.git.done(operation, &new, &fetch).await?;
        let args = ["checkout", "--quiet", "--force", "--detach", revision.as_str(), "--"];
        self.git.done(operation, &new, &args.map(OsStr::new)).await?;
        fs::rename(&new, &tree).map_err(|e| io_error(operation, &tree, e))
    }
}

fn unknown(operation: &'static str, revision: &Revision) -> ProviderError {
    let text = "the repository has no such commit; push it, or name another";
    ProviderError::new(ErrorKind::NotFound, operation, text)
        .with_context("revision", revision.as_str())
}

/// Ends what a runner that crashed left of git, and removes the locks that it held. Blocks; for whoever has the root's lock.
pub(super) fn tidy(paths: &Paths) -> Result<(), ProviderError> {
    for path in [paths.mirrors(), paths.builds(), paths.git_home()] {
        make(&path)?;
    }
    end_strays(paths)?;
    for mirror in list(&paths.mirrors()).map_err(|e| io_error(OPEN, &paths.mirrors(), e))? {
        if mirror.extension().is_some_and(|extension| extension == "new") {
            remove(&mirror).map_err(|e| io_error(OPEN, &mirror, e))?;
        } else {
            unlock(&mirror)?;
        }
    }
    Ok(())
}

/// Kills what an earlier runner left of git, until none of it is left.
fn end_strays(paths: &Paths) -> Result<(), ProviderError> {
    const LOOKS: usize = 5_000; // each reads all of `/proc`: some seconds at least
    for _ in 0..LOOKS {
        let strays = procfs::marked(MARKER, &paths.root);
        let mut strays = strays.iter().filter(|stray| stray.instance == GIT).peekable();
        if strays.peek().is_none() {
            return Ok(());
        }
        for stray in strays {
            procfs::send(stray.pid, stray.stat.started, Signal::KILL);
        }
        std::thread::yield_now();
    }
    let text = "a git of an earlier runner does not end though it is killed; see what holds it, and open again";
    Err(ProviderError::new(ErrorKind::Unavailable, OPEN, text))
}

/// Removes the locks that a git that was killed left in a repository. Objects have none: those that are not whole have
/// names of their own.
fn unlock(repository: &Path) -> Result<(), ProviderError> {
    let locks = || -> io::Result<()> {
        let mut left = vec![repository.to_owned()];
        while let Some(directory) = left.pop() {
            for path in list(&directory)? {
                if path.is_dir() {
                    if path.file_name() != Some(OsStr::new("objects")) {
                        left.push(path);
                    }
                } else if path.extension() == Some(OsStr::new("lock")) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    };
    locks().map_err(|e| io_error(OPEN, repository, e))
}
