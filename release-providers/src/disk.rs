//! Files that are written whole or not at all, places that one at a time has, and blocking work in general.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{ErrorKind, ProviderError};

/// What begins the names of files that are being written.
const TEMPORARY: &str = ".tmp-";

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

/// Writes `bytes` to `path` so that readers, and whoever comes after a crash, find either all of
/// them or what was there before.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    static UNIQUE: AtomicU64 = AtomicU64::new(0);
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
    let temporary = parent.join(format!("{TEMPORARY}{}-{unique}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(parent)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // what is left of it is removed at the next open
    }
    written
}

/// The entries of a directory in the order of their names.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Whether a write that was broken off left it behind.
#[cfg(any(feature = "local", feature = "haproxy", feature = "envoy"))]
pub(crate) fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()))
}

/// A place that nobody else has meanwhile: an advisory lock, held by an open file.
///
/// The kernel gives it back when this program ends, however it ends. A process that is being started shares the open file until it
/// executes: so whoever gets the lock after a crash can be sure to see all processes by their marks, and so it is given back here in so
/// many words instead of by closing the file, which an unrelated process might be sharing at that moment.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock(); // if not now, then when it is closed
    }
}

impl Lock {
    /// Takes the lock of a file, which is made if it is not there; `None` while another has it.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A problem with a file, as the caller needs to know it.
#[cfg(any(feature = "git", feature = "haproxy", feature = "envoy"))]
pub(crate) fn io_error(
    operation: &'static str,
    text: &'static str,
    path: &Path,
    error: io::Error,
) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    ProviderError::new(kind, operation, text)
        .with_context("path", path.display())
        .with_source(error)
}
