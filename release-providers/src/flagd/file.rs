//! The file of one environment: locked, read, replaced as a whole, and the count of changes of each flag beside it. Blocks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::{ErrorKind, ProviderError};

/// A file that only its holder changes, among those that ask for it.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    operation: &'static str,
    lock: File,
    /// What it said when it was taken.
    pub(super) text: String,
}

/// What was last known of a flag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    revision: u64,
    mark: String,
}

/// Said aloud: closing the file would not do while a process that is just being started somewhere still shares it.
impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.lock.unlock(); // the file is closed right after
    }
}

impl Held {
    /// Takes the file, and reads it. A link is followed: what it leads to is replaced, not the link.
    pub(super) fn take(path: &Path, operation: &'static str) -> Result<Self, ProviderError> {
        let fail = |e: io::Error| failure(operation, path, e);
        let path = fs::canonicalize(path).map_err(fail)?;
        let lock = File::create(beside(&path, ".release.lock")).map_err(fail)?;
        lock.lock().map_err(fail)?;
        let text = fs::read_to_string(&path).map_err(fail)?;
        Ok(Self { path, operation, lock, text })
    }

    /// The revision of a flag that stands as `mark` says: another one than before, if it stood otherwise then.
    pub(super) fn revision(&self, flag: &str, mark: &str) -> Result<u64, ProviderError> {
        let mut known = self.known();
        let next = match known.get(flag) {
            Some(known) if known.mark == mark => return Ok(known.revision),
            Some(known) => known.revision.saturating_add(1),
            // Greater than any of before, should that be lost: no flag changes every microsecond.
            None => self.modified()?,
        };
        known.insert(flag.to_owned(), Known { revision: next, mark: mark.to_owned() });
        let bytes = serde_json::to_vec(&known).map_err(|e| self.fail(e.into()))?;
        replace(&beside(&self.path, ".release.json"), &bytes, None, || Ok(true))
            .map_err(|e| self.fail(e))?;
        Ok(next)
    }

    /// What cannot be read counts as lost.
    fn known(&self) -> BTreeMap<String, Known> {
        let bytes = fs::read(beside(&self.path, ".release.json"));
        bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn modified(&self) -> Result<u64, ProviderError> {
        let modified = fs::metadata(&self.path).and_then(|about| about.modified());
        let since = modified.map_err(|e| self.fail(e))?.duration_since(UNIX_EPOCH);
        Ok(since.map_or(1, |since| u64::try_from(since.as_micros()).unwrap_or(1)))
    }

    /// Replaces the file, unless somebody else has changed it since it was taken.
    pub(super) fn write(&self, text: &str) -> Result<(), ProviderError> {
        let same = || fs::read_to_string(&self.path).map(|now| now == self.text);
        let mode = fs::metadata(&self.path).map(|about| about.permissions());
        let mode = mode.map_err(|e| self.fail(e))?;
        let done = replace(&self.path, text.as_bytes(), Some(mode), same);
        if done.map_err(|e| self.fail(e))? {
            return Ok(());
        }
        let text = "somebody changed the file meanwhile; look at it again";
        Err(ProviderError::new(ErrorKind::Conflict, self.operation, text)
            .with_context("path", self.path.display()))
    }

    fn fail(&self, error: io::Error) -> ProviderError {
        failure(self.operation, &self.path, error)
    }
}

/// The name of a file that belongs to this one.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{ending}"))
}

/// Writes all of a file or nothing; returns whether it was `still_good` to at the last moment.
fn replace(
    path: &Path,
    bytes: &[u8],
    mode: Option<fs::Permissions>,
    still_good: impl Fn() -> io::Result<bool>,
) -> io::Result<bool> {
    // One at a time, by the lock; what is left of a broken-off one is written over.
    let temporary = beside(path, ".release.tmp");
    let written = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        if let Some(mode) = mode {
            file.set_permissions(mode)?;
        }
        file.sync_all()?;
        if !still_good()? {
            return Ok(false);
        }
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
        Ok(true)
    };
    let done = written();
    if !matches!(done, Ok(true)) {
        let _ = fs::remove_file(&temporary); // it is in nobody's way
    }
    done
}

fn failure(operation: &'static str, path: &Path, error: io::Error) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::InvalidData => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    ProviderError::new(kind, operation, "cannot read or write a file of flags")
        .with_context("path", path.display())
        .with_source(error)
}
