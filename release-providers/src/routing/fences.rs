//! Refuses writers that were taken over: remembers the highest epoch of every run, durably.
//!
//! By the run's name alone, as the local platform does: names of runs that use one router must be unique.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use release_core::model::RunId;
use serde::{Deserialize, Serialize};

use super::files::{blocking, io_error, write_whole};
use super::{OPEN, SET};
use crate::{Context, ErrorKind, ProviderError};

const FORMAT: u16 = 1;

/// `fences/<run>.json`: the highest epoch in which a run's writer has called.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fence {
    format: u16,
    run: RunId,
    epoch: u64,
}

/// The highest epochs by run. Held while one is raised, so that memory and file agree.
#[derive(Debug)]
pub(crate) struct Fences {
    directory: PathBuf,
    epochs: tokio::sync::Mutex<BTreeMap<RunId, u64>>,
}

impl Fences {
    /// Those under `directory`. Blocks.
    pub(crate) fn open(directory: &Path) -> Result<Self, ProviderError> {
        let directory = directory.join("fences");
        let fail = |e: io::Error| io_error(OPEN, &directory, e);
        fs::create_dir_all(&directory).map_err(fail)?;
        let mut epochs = BTreeMap::new();
        for entry in fs::read_dir(&directory).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue; // the rest of a broken-off write
            }
            let bytes = fs::read(&path).map_err(|e| io_error(OPEN, &path, e))?;
            let fence = read(&bytes).map_err(|e| e.with_context("path", path.display()))?;
            epochs.insert(fence.run, fence.epoch);
        }
        Ok(Self { directory, epochs: tokio::sync::Mutex::new(epochs) })
    }

    /// Refuses a caller whose run a newer one has taken over; a newer one is remembered before anything is done for it.
    /// Only for whoever has the target's turn.
    pub(crate) async fn pass(&self, cx: &Context) -> Result<(), ProviderError> {
        let Some(run) = cx.run.clone() else { return Ok(()) };
        let epoch = cx.epoch;
        let mut epochs = self.epochs.lock().await;
        let known = epochs.get(&run).copied();
        if known == Some(epoch) {
            return Ok(());
        }
        let path = self.directory.join(format!("{run}.json"));
        if let Some(known) = known.filter(|known| epoch < *known) {
            let text = "a newer writer has taken this run over; stop, nothing was changed (if there \
                        is none, because the journal was restored: close the router, remove the \
                        fence file, open it again)";
            return Err(ProviderError::new(ErrorKind::Fenced, SET, text)
                .with_context("run", run)
                .with_context("epoch", epoch)
                .with_context("newest", known)
                .with_context("fence", path.display()));
        }
        let fence = Fence { format: FORMAT, run: run.clone(), epoch };
        let write = move || {
            let bytes = serde_json::to_vec(&fence).map_err(|e| io_error(SET, &path, e.into()))?;
            write_whole(SET, &path, &bytes)
        };
        blocking(SET, write).await?;
        epochs.insert(run, epoch);
        Ok(())
    }
}

fn read(bytes: &[u8]) -> Result<Fence, ProviderError> {
    let help =
        "a fence file is unreadable; restore it, or remove it if no older writer can come back";
    let unreadable = || ProviderError::new(ErrorKind::Corrupt, OPEN, help);
    let fence: Fence = serde_json::from_slice(bytes).map_err(|e| unreadable().with_source(e))?;
    if fence.format != FORMAT {
        return Err(unreadable().with_context("format", fence.format));
    }
    Ok(fence)
}

#[cfg(test)]
mod tests {
    use release_core::model::Principal;
    use release_core::time::Timestamp;

    use super::*;

    fn cx(run: &str, epoch: u64) -> Context {
        let who = Principal::human("ada".parse().unwrap());
        Context::new("key", Timestamp::default(), who).in_run(run.parse().unwrap(), epoch)
    }

    #[tokio::test]
    async fn an_older_writer_is_refused_also_after_a_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let fences = Fences::open(folder.path()).unwrap();
        fences.pass(&cx("one", 4)).await.unwrap();
        assert_eq!(fences.pass(&cx("one", 3)).await.unwrap_err().kind(), ErrorKind::Fenced);
        fences.pass(&cx("two", 1)).await.unwrap();
        let fences = Fences::open(folder.path()).unwrap();
        assert_eq!(fences.pass(&cx("one", 3)).await.unwrap_err().kind(), ErrorKind::Fenced);
        fences.pass(&cx("one", 4)).await.unwrap();
        fs::write(folder.path().join("fences/x.json"), "{}").unwrap();
        assert_eq!(Fences::open(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
