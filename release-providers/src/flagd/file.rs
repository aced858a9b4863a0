//! The file of one environment: locked, read, replaced as a whole, and the count of changes of each flag beside it. Blocks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::{ErrorKind, ProviderError};

/// A file that only its holder changes, among those that ask for it.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    operation: &'static str,
    lock: File,
    waits: Waits,
    /// What it said when it was taken.
    pub(super) text: String,
}

/// Whether anybody still waits for what is done. Nobody can stop a thread that waits for a lock: once it has that, it asks.
#[derive(Debug, Clone)]
pub(super) struct Waits(Arc<AtomicBool>);

impl Waits {
    /// Somebody waits as long as the second half is there.
    pub(super) fn somebody() -> (Self, Waiting) {
        let waits = Arc::new(AtomicBool::new(true));
        (Self(Arc::clone(&waits)), Waiting(waits))
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "whoever asked for it has given up"))
    }
}

/// Whoever waits.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
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
    pub(super) fn take(
        path: &Path,
        operation: &'static str,
        waits: Waits,
    ) -> Result<Self, ProviderError> {
        let fail = |e: io::Error| failure(operation, path, e);
        let path = fs::canonicalize(path).map_err(fail)?;
        let lock = File::create(beside(&path, ".release.lock")).map_err(fail)?;
        lock.lock().map_err(fail)?;
        waits.check().map_err(fail)?;
        let text = fs::read_to_string(&path).map_err(fail)?;
        Ok(Self { path, operation, lock, waits, text })
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
        let same = || {
            self.waits.check()?;
            fs::read_to_string(&self.path).map(|now| now == self.text)
        };
        let about = fs::metadata(&self.path).map_err(|e| self.fail(e))?;
        let done = replace(&self.path, text.as_bytes(), Some(&about), same);
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

/// Lets a file belong to whom another one belongs to: whoever could read that has to be able to read what takes its place.
#[cfg(unix)]
fn owned(file: &File, about: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let own = file.metadata()?;
    if (own.uid(), own.gid()) == (about.uid(), about.gid()) {
        return Ok(());
    }
    fchown(file, Some(about.uid()), Some(about.gid()))
}

#[cfg(not(unix))]
fn owned(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
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
    about: Option<&fs::Metadata>,
    still_good: impl Fn() -> io::Result<bool>,
) -> io::Result<bool> {
    // One at a time, by the lock; what is left of a broken-off one is written over.
    let temporary = beside(path, ".release.tmp");
    let written = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        if let Some(about) = about {
            owned(&file, about)?;
            file.set_permissions(about.permissions())?;
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
        io::ErrorKind::TimedOut => ErrorKind::Timeout,
        _ => ErrorKind::Unavailable,
    };
    ProviderError::new(kind, operation, "cannot read or write a file of flags")
        .with_context("path", path.display())
        .with_source(error)
}
