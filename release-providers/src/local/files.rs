//! Where things lie under the root, and how they are written: whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use release_core::model::{Digest, RunId, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

pub(super) use crate::disk::{blocking, is_temporary, list, write_whole};
pub(super) use crate::sync::lock;
use crate::{ErrorKind, ProviderError};

/// Longest name of a file without its extension, in bytes.
const LONGEST_NAME: usize = 230;

/// The layout of a root directory.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) root: PathBuf,
}

impl Paths {
    pub(super) fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts").join("sha256")
    }
    pub(super) fn artifact(&self, digest: Digest) -> PathBuf {
        self.artifacts().join(digest.hex())
    }
    pub(super) fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }
    pub(super) fn instance(&self, id: &str) -> PathBuf {
        self.instances().join(format!("{id}.json"))
    }
    pub(super) fn desired(&self) -> PathBuf {
        self.root.join("desired")
    }
    pub(super) fn wish(&self, target: &Target, digest: Digest) -> PathBuf {
        self.desired().join(slug(target)).join(format!("{}.json", digest.hex()))
    }
    pub(super) fn targets(&self) -> PathBuf {
        self.root.join("targets")
    }
    pub(super) fn target(&self, target: &Target) -> PathBuf {
        self.targets().join(format!("{}.json", slug(target)))
    }
    pub(super) fn samples(&self) -> PathBuf {
        self.root.join("samples")
    }
    pub(super) fn samples_of(&self, target: &Target) -> PathBuf {
        self.samples().join(format!("{}.json", slug(target)))
    }
    pub(super) fn fences(&self) -> PathBuf {
        self.root.join("fences")
    }
    pub(super) fn fence(&self, run: &RunId) -> PathBuf {
        self.fences().join(format!("{run}.json"))
    }
    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
    pub(super) fn log(&self, id: &str) -> PathBuf {
        self.logs().join(format!("{id}.log"))
    }
    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    pub(super) fn effects(&self) -> PathBuf {
        self.root.join("effects.jsonl")
    }
    pub(super) fn notifications(&self) -> PathBuf {
        self.root.join("notifications.jsonl")
    }
}

/// A target as one file name. Ids hold no `@`, so that different targets never share a name, and
/// three of the longest stay below the 255 bytes that file systems allow; a track, which may be a fourth, stands for itself
/// only where there is room.
fn slug(target: &Target) -> String {
    let Target { environment, region, service, track } = target;
    let whole = format!("{environment}@{region}@{service}");
    match track {
        None => whole,
        Some(track) if whole.len() + track.as_str().len() <= LONGEST_NAME => {
            format!("{whole}@{track}")
        }
        Some(track) => {
            let digest = Digest::of(format!("{whole}@{track}").as_bytes());
            format!("{service}@track@{}", digest.hex())
        }
    }
}

/// A problem with a file, as the caller needs to know it.
pub(super) fn io_error(operation: &'static str, path: &Path, error: io::Error) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Unavailable,
    };
    ProviderError::new(kind, operation, "cannot read or write a file under the platform's root")
        .with_context("path", path.display())
        .with_source(error)
}

/// Writes a record as JSON.
pub(super) fn write_record(
    operation: &'static str,
    path: &Path,
    record: &impl Serialize,
) -> Result<(), ProviderError> {
    let fail = |e| io_error(operation, path, e);
    let bytes = serde_json::to_vec_pretty(record).map_err(|e| fail(e.into()))?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    write_whole(path, &bytes, 0o600).map_err(fail)
}

/// Reads all records in a directory, and removes what broken-off writes left behind.
pub(super) fn read_records<T: DeserializeOwned>(
    operation: &'static str,
    directory: &Path,
) -> Result<Vec<T>, ProviderError> {
    let mut records = Vec::new();
    for path in list(directory).map_err(|e| io_error(operation, directory, e))? {
        if is_temporary(&path) {
            fs::remove_file(&path).map_err(|e| io_error(operation, &path, e))?;
        } else if path.is_file() {
            let bytes = fs::read(&path).map_err(|e| io_error(operation, &path, e))?;
            records.push(serde_json::from_slice(&bytes).map_err(|e| {
                let help = "a record is unreadable; restore it, or remove it if you know that \
                            nothing of it runs";
                ProviderError::new(ErrorKind::Corrupt, operation, help)
                    .with_context("path", path.display())
                    .with_source(e)
            })?);
        }
    }
    Ok(records)
}

/// Hashes a file from its beginning, without holding it in memory.
pub(super) fn hash(file: &mut File) -> io::Result<(Digest, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let (mut hasher, mut total) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((Digest::from_bytes(hasher.finalize().into()), total)),
            Ok(n) => {
                hasher.update(buffer.get(..n).unwrap_or_default());
                total = total.saturating_add(u64::try_from(n).unwrap_or(0));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The last lines of a log in one line, for people.
pub(super) fn tail(path: &Path) -> String {
    const BYTES: u64 = 4096;
    const LINES: usize = 8;
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> =
        text.lines().rev().filter(|l| !l.trim().is_empty()).take(LINES).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
