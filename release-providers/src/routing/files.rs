//! Files of a router: written whole or not at all, in a directory that one router has at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::OPEN;
use crate::{ErrorKind, ProviderError};

/// What begins the names of files that are being written.
const TEMPORARY: &str = ".tmp-";

/// A directory that nobody else opens meanwhile.
#[derive(Debug)]
pub(crate) struct Held {
    lock: File,
}

/// Said aloud: closing the file would not do while a process that is just being started somewhere still shares it.
impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.lock.unlock(); // the file is closed right after
    }
}

impl Held {
    /// Makes the directory if it is new, takes it, and removes what broken-off writes left there. Blocks.
    pub(crate) fn take(directory: &Path) -> Result<Self, ProviderError> {
        let fail = |path: &Path, e| io_error(OPEN, path, e);
        fs::create_dir_all(directory).map_err(|e| fail(directory, e))?;
        let path = directory.join("lock");
        let lock = File::create(&path).map_err(|e| fail(&path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = "another router has this directory open; close it, or give each its own";
                return Err(ProviderError::new(ErrorKind::Conflict, OPEN, text)
                    .with_context("path", directory.display()));
            }
            Err(TryLockError::Error(e)) => return Err(fail(&path, e)),
        }
        for entry in fs::read_dir(directory).map_err(|e| fail(directory, e))? {
            let entry = entry.map_err(|e| fail(directory, e))?;
            if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                fs::remove_file(entry.path()).map_err(|e| fail(&entry.path(), e))?;
            }
        }
        Ok(Self { lock })
    }
}

/// Writes a file so that readers, and whoever comes after a crash, find all of it or what was there before. What was
/// there already is not written again. Blocks.
pub(crate) fn write_whole(
    operation: &'static str,
    path: &Path,
    bytes: &[u8],
) -> Result<(), ProviderError> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let written = temporary(path).and_then(|temporary| {
        let done = replace(&temporary, path, bytes);
        if done.is_err() {
            let _ = fs::remove_file(&temporary); // what is left of it goes at the next open
        }
        done
    });
    written.map_err(|e| io_error(operation, path, e))
}

fn temporary(path: &Path) -> io::Result<PathBuf> {
    static UNIQUE: AtomicU64 = AtomicU64::new(0);
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
    Ok(parent.join(format!("{TEMPORARY}{}-{unique}", std::process::id())))
}

fn replace(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    // The server reads it too, maybe as another user. Nothing in it is secret.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// A problem with a file, as the caller needs to know it.
pub(crate) fn io_error(operation: &'static str, path: &Path, error: io::Error) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    ProviderError::new(kind, operation, "cannot read or write a file of the router")
        .with_context("path", path.display())
        .with_source(error)
}

/// Does blocking work on a thread made for it.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ProviderError::new(ErrorKind::Internal, operation, "a task broke off")
            .with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_router_has_a_directory_and_finds_no_rests() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let held = Held::take(&path).unwrap();
        assert_eq!(Held::take(&path).unwrap_err().kind(), ErrorKind::Conflict);
        write_whole("x", &path.join("a"), b"one").unwrap();
        write_whole("x", &path.join("a"), b"two").unwrap();
        fs::write(path.join(".tmp-1-1"), "rest").unwrap();
        drop(held);
        let _held = Held::take(&path).unwrap();
        assert_eq!(fs::read(path.join("a")).unwrap(), b"two");
        assert!(!path.join(".tmp-1-1").exists());
    }
}
