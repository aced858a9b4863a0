//! Notifies: appends one JSON line a message to a file, and never the same message twice.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::port::EffectCertainty;
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::LocalPlatform;
use super::files::io_error;
use super::platform::{Inner, description};
use crate::spi::{Notification, Notifier};
use crate::{Context, Description, ErrorKind, ProviderError};

const NOTIFY: &str = "notify.notify";

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    key: String,
    at: Timestamp,
    notification: Notification,
}

/// What has been sent.
#[derive(Debug)]
pub(super) struct Sent {
    keys: BTreeSet<String>,
    /// How much of the file is whole lines.
    length: u64,
}

impl Sent {
    /// Reads the file. What follows the last line end is the rest of a broken-off write.
    pub(super) fn read(path: &Path) -> Result<Self, ProviderError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(io_error(NOTIFY, path, e)),
        };
        let (mut keys, mut length) = (BTreeSet::new(), 0);
        for (n, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
            let Some(whole) = line.strip_suffix(b"\n") else { break };
            let line_read: Line = serde_json::from_slice(whole).map_err(|e| {
                ProviderError::new(ErrorKind::Corrupt, NOTIFY, "a sent notification is unreadable")
                    .with_context("path", path.display())
                    .with_context("line", n + 1)
                    .with_source(e)
            })?;
            keys.insert(line_read.key);
            length += u64::try_from(line.len()).unwrap_or(0);
        }
        Ok(Self { keys, length })
    }
}

#[async_trait]
impl Notifier for LocalPlatform {
    fn describe(&self) -> Description {
        description()
    }

    async fn notify(&self, cx: &Context, notification: Notification) -> Result<(), ProviderError> {
        let inner = Arc::clone(self.inner());
        let line = Line { key: cx.key.clone(), at: inner.config.clock.now(), notification };
        let work = self.inner().finish(NOTIFY, (), async move { append(&inner, line).await });
        self.inner().bounded(NOTIFY, cx, EffectCertainty::Unknown, work).await
    }
}

async fn append(inner: &Arc<Inner>, line: Line) -> Result<(), ProviderError> {
    let mut sent = inner.sent.lock().await;
    if sent.keys.contains(&line.key) {
        return Ok(());
    }
    let (path, length) = (inner.paths.notifications(), sent.length);
    let mut bytes = serde_json::to_vec(&line).map_err(|e| io_error(NOTIFY, &path, e.into()))?;
    bytes.push(b'\n');
    let grown = length.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
    inner
        .blocking(NOTIFY, move || {
            let write = || {
                let mut file =
                    OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
                file.set_len(length)?; // takes away what a failed write may have left
                io::Seek::seek(&mut file, io::SeekFrom::Start(length))?;
                file.write_all(&bytes)?;
                file.sync_all()
            };
            write().map_err(|e| io_error(NOTIFY, &path, e))
        })
        .await?;
    sent.keys.insert(line.key);
    sent.length = grown;
    Ok(())
}
