//! The file that is run: opened once, checked, and run by that very opening.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use release_core::model::Digest;
use sha2::Digest as _;

use super::PluginProblem;

/// A file whose content was checked.
#[derive(Debug)]
pub(super) struct Binary(File);

impl Binary {
    /// Opens and hashes the file. Blocks.
    ///
    /// The digest is that of the opened file, and that is what is run: a path that points elsewhere afterwards
    /// changes nothing. Who may write to the file itself is its owner alone.
    pub(super) fn open(path: &Path, pinned: Digest) -> Result<Self, PluginProblem> {
        // As seen from here: what a relative path means is not told by itself.
        let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let at = |source| PluginProblem::Open { path: path.clone(), source };
        let mut file = File::open(path).map_err(at)?;
        let metadata = file.metadata().map_err(at)?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o022 != 0 {
            return Err(PluginProblem::Writable { path: path.clone() });
        }
        if metadata.permissions().mode() & 0o111 == 0 {
            return Err(PluginProblem::NotExecutable { path: path.clone() });
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
            return Err(PluginProblem::Digest { path: path.clone(), pinned, found });
        }
        Ok(Self(file))
    }

    /// The path by which a child of this process runs the opened file. It names this process, since the child does
    /// not inherit the opening.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}
