//! The file that is run: opened once, checked, and run by that very opening.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use release_core::model::Digest;
use sha2::Digest as _;

use super::PluginError;

/// A file whose content was checked.
#[derive(Debug)]
pub(super) struct Binary(File);

impl Binary {
    /// Opens and hashes the file. Blocks.
    ///
    /// The digest is that of the opened file, and that is what is run: a path that points elsewhere afterwards
    /// changes nothing. Who may write to the file itself is its owner alone.
    pub(super) fn open(path: &Path, pinned: Digest) -> Result<Self, PluginError> {
        let at = |source| PluginError::Open { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(at)?;
        let metadata = file.metadata().map_err(at)?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o022 != 0 {
            return Err(PluginError::Writable { path: path.to_owned() });
        }
        let mut hash = sha2::Sha256::new();
        let mut chunk = vec![0; 128 * 1024];
        loop {
            let read = file.read(&mut chunk).map_err(at)?;
            if read == 0 {
                break;
            }
            hash.update(chunk.split_at(read).0);
        }
        let found = Digest::from_bytes(hash.finalize().into());
        if found != pinned {
            return Err(PluginError::Digest { path: path.to_owned(), pinned, found });
        }
        Ok(Self(file))
    }

    /// The path by which a child of this process runs the opened file. It names this process, since the child does
    /// not inherit the opening.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}
