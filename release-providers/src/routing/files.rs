//! Files of a router: written whole or not at all, in a directory that one router has at a time.

use std::fs;
use std::io;
use std::path::Path;

use super::OPEN;
pub(crate) use crate::disk::blocking;
use crate::disk::{self, Lock, is_temporary, list};
use crate::{ErrorKind, ProviderError};

/// A directory that nobody else opens meanwhile.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: Lock,
}

impl Held {
    /// Makes the directory if it is new, takes it, and removes what broken-off writes left there. Blocks.
    pub(crate) fn take(directory: &Path) -> Result<Self, ProviderError> {
        let fail = |path: &Path, e| io_error(OPEN, path, e);
        fs::create_dir_all(directory).map_err(|e| fail(directory, e))?;
        let path = directory.join("lock");
        let lock = Lock::take(&path).map_err(|e| fail(&path, e))?.ok_or_else(|| {
            let text = "another router has this directory open; close it, or give each its own";
            ProviderError::new(ErrorKind::Conflict, OPEN, text)
                .with_context("path", directory.display())
        })?;
        let all = list(directory).map_err(|e| fail(directory, e))?;
        for rest in all.iter().filter(|path| is_temporary(path)) {
            fs::remove_file(rest).map_err(|e| fail(rest, e))?;
        }
        Ok(Self { _lock: lock })
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
    // The server reads it too, maybe as another user. Nothing in it is secret.
    disk::write_whole(path, bytes, 0o644).map_err(|e| io_error(operation, path, e))
}

/// A problem with a file, as the caller needs to know it.
pub(crate) fn io_error(operation: &'static str, path: &Path, error: io::Error) -> ProviderError {
    disk::io_error(operation, "cannot read or write a file of the router", path, error)
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
