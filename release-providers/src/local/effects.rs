//! The log of effects: one line for each change that was really made, written where it is made.
//!
//! A journal can only witness what an engine announced and was told. This is the other side's own
//! account, by which the two can be compared.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use release_core::model::{Digest, RunId, Target};
use release_core::plan::Weight;
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::fence::Caller;
use super::files::{Paths, io_error, lock};
use super::platform::Inner;
use crate::{ErrorKind, ProviderError};

const LOG: &str = "local.effects";
/// More than the longest line can be.
const TAIL: u64 = 256 * 1024;

/// One line of `effects.jsonl`: a change that was made, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EffectRecord {
    /// When it was written down, right after the change (shares: right before it).
    pub at: Timestamp,
    /// The idempotency key of the call that asked for it, maybe some time ago: an instance that
    /// died is started again for the call that wished for it.
    pub key: String,
    /// The run of that call; `None` outside of runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The epoch of that call.
    pub epoch: u64,
    /// Where.
    pub target: Target,
    /// What was changed.
    pub change: EffectChange,
}

/// A change in the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EffectChange {
    /// A process was started. Names of instances are never used again.
    Started {
        /// The instance.
        instance: String,
        /// The content that it runs.
        digest: Digest,
    },
    /// An instance ended because it was not wished any more.
    Stopped {
        /// The instance.
        instance: String,
    },
    /// An instance ended by itself.
    Died {
        /// The instance.
        instance: String,
    },
    /// Traffic is distributed anew.
    Weights {
        /// The shares.
        weights: Vec<Weight>,
    },
}

/// The effects of the platform on `root`, the oldest first. Reads the file; the platform may be open.
///
/// # Errors
/// `Unavailable` when the file cannot be read, `Corrupt` for a line that is none of these.
pub fn effects(root: impl AsRef<Path>) -> Result<Vec<EffectRecord>, ProviderError> {
    let path = Paths { root: root.as_ref().to_path_buf() }.effects();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(io_error(LOG, &path, e)),
    };
    // What follows the last line end is the rest of a broken-off write.
    let whole = bytes.split_inclusive(|b| *b == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    let lines = whole.zip(1_usize..).map(|(line, number)| {
        serde_json::from_slice(line).map_err(|e| {
            ProviderError::new(
                ErrorKind::Corrupt,
                LOG,
                "a line of the log of effects is unreadable",
            )
            .with_context("path", path.display())
            .with_context("line", number)
            .with_source(e)
        })
    });
    lines.collect()
}

/// The log, to be written by one platform.
#[derive(Debug)]
pub(super) struct EffectLog {
    path: PathBuf,
    /// How much of the file is whole lines.
    length: Mutex<u64>,
}

impl EffectLog {
    /// Opens the log behind its last whole line.
    pub(super) fn open(path: PathBuf) -> Result<Self, ProviderError> {
        let length = whole(&path).map_err(|e| io_error(LOG, &path, e))?;
        Ok(Self { path, length: Mutex::new(length) })
    }

    /// Appends one line, and returns once it would survive a loss of power. Blocks.
    pub(super) fn append(&self, record: &EffectRecord) -> Result<(), ProviderError> {
        let mut length = lock(&self.length);
        let write = || {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            let mut file =
                OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
            file.set_len(*length)?; // takes away what a failed write may have left
            file.seek(SeekFrom::Start(*length))?;
            file.write_all(&line)?;
            file.sync_data()?;
            io::Result::Ok(length.saturating_add(u64::try_from(line.len()).unwrap_or(0)))
        };
        *length = write().map_err(|e| io_error(LOG, &self.path, e))?;
        Ok(())
    }
}

/// How much of a file is whole lines.
fn whole(path: &Path) -> io::Result<u64> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let lines = tail.iter().rposition(|b| *b == b'\n').map_or(0, |last| last.saturating_add(1));
    if lines == 0 && from > 0 {
        return Err(io::Error::other("it ends with a line that is longer than any can be"));
    }
    Ok(from.saturating_add(u64::try_from(lines).unwrap_or(0)))
}

impl Caller {
    /// The line of a change that was made for this caller.
    pub(super) fn effect(
        &self,
        at: Timestamp,
        target: Target,
        change: EffectChange,
    ) -> EffectRecord {
        let Self { key, run, epoch } = self.clone();
        EffectRecord { at, key, run, epoch, target, change }
    }
}

impl Inner {
    /// Writes down a change that was made for `caller`.
    pub(super) async fn log_effect(
        self: &Arc<Self>,
        operation: &'static str,
        caller: &Caller,
        target: &Target,
        change: EffectChange,
    ) -> Result<(), ProviderError> {
        let record = caller.effect(self.config.clock.now(), target.clone(), change);
        let inner = Arc::clone(self);
        self.blocking(operation, move || inner.effects.append(&record)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str) -> EffectRecord {
        let id = "x".parse().unwrap();
        let target = Target::new("e".parse().unwrap(), "r".parse().unwrap(), id);
        let caller = Caller { key: key.into(), run: None, epoch: 1 };
        let change = EffectChange::Stopped { instance: "x-1".into() };
        caller.effect(Timestamp::default(), target, change)
    }

    #[test]
    fn a_broken_off_line_is_neither_read_nor_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = Paths { root: folder.path().to_path_buf() }.effects();
        EffectLog::open(path.clone()).unwrap().append(&record("a")).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(br#"{"at":"20"#);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(effects(folder.path()).unwrap(), [record("a")]);
        EffectLog::open(path.clone()).unwrap().append(&record("b")).unwrap();
        assert_eq!(effects(folder.path()).unwrap(), [record("a"), record("b")]);
        fs::write(&path, "garbage\n").unwrap();
        assert_eq!(effects(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(effects(folder.path().join("nowhere")).unwrap(), []);
    }
}
