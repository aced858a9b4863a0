//! Where things lie under the root, and what is written down.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use release_core::model::{ArtifactRef, Digest, Principal};
use release_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::config::Recipe;
use crate::disk::{self, Lock, write_whole};
use crate::procfs::{ProcessId, parse_stat};
use crate::spi::StartBuild;
use crate::{ErrorKind, ProviderError};

pub(super) const OPEN: &str = "builds.open";

/// The version of all records. A reader refuses others.
const FORMAT: u16 = 1;

/// `request.json`: a build that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accepted {
    #[serde(deserialize_with = "known_format")]
    format: u16,
    pub(super) key: String,
    pub(super) request: StartBuild,
    /// Where the repository was then.
    pub(super) place: String,
    /// The recipe as it was then.
    pub(super) recipe: Recipe,
    pub(super) by: Principal,
    pub(super) at: Timestamp,
    /// Which it is of all that were accepted.
    pub(super) number: u64,
}

impl Accepted {
    pub(super) fn new(
        (key, by): (String, Principal),
        request: StartBuild,
        (place, recipe): (String, Recipe),
        (at, number): (Timestamp, u64),
    ) -> Self {
        Self { format: FORMAT, key, request, place, recipe, by, at, number }
    }
}

/// `launch.json`: the command is about to begin, or has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Launch {
    pub(super) at: Timestamp,
}

/// `outcome.json`: how a build ended, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    #[serde(deserialize_with = "known_format")]
    format: u16,
    pub(super) end: End,
    pub(super) at: Timestamp,
}

impl Outcome {
    pub(super) const fn new(end: End, at: Timestamp) -> Self {
        Self { format: FORMAT, end, at }
    }
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    Succeeded { artifacts: Vec<ArtifactRef> },
    Failed { reason: String },
    Cancelled,
}

fn known_format<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        FORMAT => Ok(FORMAT),
        other => Err(serde::de::Error::custom(format_args!(
            "format {other} is not known to this version, which reads {FORMAT}"
        ))),
    }
}

/// The layout of a root directory.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) root: PathBuf,
}

impl Paths {
    pub(super) fn mirrors(&self) -> PathBuf {
        self.root.join("mirrors")
    }
    /// Of a repository at `place`, whose ids have so many digits: git keeps one kind in a repository.
    pub(super) fn mirror(&self, place: &str, digits: usize) -> PathBuf {
        let name = Digest::of(place.as_bytes()).hex();
        self.mirrors().join(format!("{name}-{digits}.git"))
    }
    pub(super) fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }
    pub(super) fn git_home(&self) -> PathBuf {
        self.root.join("home")
    }
    /// The place of the build under `key`.
    pub(super) fn place(&self, key: &str) -> Place {
        let id = Digest::of(key.as_bytes()).hex();
        Place { folder: self.builds().join(&id), id }
    }
}

/// The folder of one build.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) id: String,
    pub(super) folder: PathBuf,
}

impl Place {
    pub(super) fn request(&self) -> PathBuf {
        self.folder.join("request.json")
    }
    pub(super) fn launch(&self) -> PathBuf {
        self.folder.join("launch.json")
    }
    pub(super) fn outcome(&self) -> PathBuf {
        self.folder.join("outcome.json")
    }
    /// There once somebody cancelled it.
    pub(super) fn cancelled(&self) -> PathBuf {
        self.folder.join("cancelled")
    }
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }
    /// A tree that is not whole yet.
    pub(super) fn new_tree(&self) -> PathBuf {
        self.folder.join("tree.new")
    }
    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }
    pub(super) fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }
    /// There once the command has begun, whoever lived to see it.
    pub(super) fn begun(&self) -> PathBuf {
        self.folder.join("begun")
    }

    /// Whether the command has begun, or had.
    pub(super) fn has_begun(&self) -> bool {
        self.begun().exists()
    }

    /// The exit code of the command, once it is over.
    pub(super) fn status(&self) -> Option<i32> {
        fs::read_to_string(self.begun().join("status")).ok()?.trim().parse().ok()
    }

    /// The process that began, as it wrote itself down.
    pub(super) fn process(&self) -> Option<ProcessId> {
        let text = fs::read_to_string(self.begun().join("process")).ok()?;
        let (boot, line) = text.split_once('\n')?;
        let pid = line.split(' ').next()?.parse().ok()?;
        let started = parse_stat(line)?.started;
        Some(ProcessId { pid, started, boot: boot.to_owned() })
    }

    /// Removes what nobody needs once the build is over.
    pub(super) fn clear(&self) -> io::Result<()> {
        [self.tree(), self.new_tree(), self.home(), self.tmp()].iter().try_for_each(|p| remove(p))
    }
}

/// Removes a directory and all in it, also what builds made read-only. One that is not there is removed already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        done => done,
    }
}

/// Lets the owner change all directories below, and `path` itself.
fn open_up(path: &Path) -> io::Result<()> {
    let mut left = vec![path.to_owned()];
    while let Some(directory) = left.pop() {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Ok(())
}

/// A problem with a file, as the caller needs to know it.
pub(super) fn io_error(operation: &'static str, path: &Path, error: io::Error) -> ProviderError {
    disk::io_error(operation, "cannot read or write a file under the runner's root", path, error)
}

/// Writes a record as JSON, so that after a crash it is there as a whole or not at all.
pub(super) fn write_record(
    operation: &'static str,
    path: &Path,
    record: &impl Serialize,
) -> Result<(), ProviderError> {
    let bytes =
        serde_json::to_vec_pretty(record).map_err(|e| io_error(operation, path, e.into()))?;
    write_whole(path, &bytes, 0o600).map_err(|e| io_error(operation, path, e))
}

/// Reads a record; `None` where there is none.
pub(super) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ProviderError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(OPEN, path, e)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        let help = "a record is unreadable; restore it, or remove its folder if nobody asks for that build any more";
        ProviderError::new(ErrorKind::Corrupt, OPEN, help)
            .with_context("path", path.display())
            .with_source(e)
    })
}

/// Makes a directory for its owner alone: who can write there decides what is executed.
pub(super) fn make(path: &Path) -> Result<(), ProviderError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| io_error(OPEN, path, e))
}

/// One runner a root.
pub(super) fn take(root: &Path) -> Result<Lock, ProviderError> {
    let path = root.join("lock");
    let lock = Lock::take(&path).map_err(|e| io_error(OPEN, &path, e))?;
    lock.ok_or_else(|| {
        let text = "another runner has this root open; close it, or use another root";
        ProviderError::new(ErrorKind::Conflict, OPEN, text).with_context("root", root.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_made_read_only_is_removed_too() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("tree/pkg/mod");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "x").unwrap();
        for path in [&deep, deep.parent().unwrap()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o500)).unwrap();
        }
        let tree = folder.path().join("tree");
        remove(&tree).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn a_root_is_one_runner_s() {
        let folder = tempfile::tempdir().unwrap();
        let held = take(folder.path()).unwrap();
        assert_eq!(take(folder.path()).unwrap_err().kind(), ErrorKind::Conflict);
        drop(held);
        take(folder.path()).unwrap();
    }
}
