//! Reads who there is from one JSON file, for hosts that have no directory service.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::{Delegation, Digest, Identity, IdentitySnapshot};
use release_core::port::{Clock, EffectCertainty};
use release_core::time::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::files::blocking;
use super::platform::version;
use crate::spi::{IdentitySource, ReadIdentities};
use crate::{Context, Description, EffectClass, ErrorKind, ProviderError};

const READ: &str = "identities.read";

/// An [`IdentitySource`] that is one JSON file. Every read reads it anew.
///
/// ```json
/// {
///   "version": 7,
///   "identities": [
///     { "id": "ann", "kind": "human", "grants": [
///       { "role": "developer", "from": "2026-01-05T00:00:00Z", "by": "hr", "reason": "her job" }
///     ] },
///     { "id": "bob", "kind": "human", "active": false }
///   ],
///   "delegations": []
/// }
/// ```
///
/// Fields are those of [`IdentitySnapshot`], without `taken_at`: that is the instant of the read. Fields that are
/// not known are refused. What it answers is sorted by account.
///
/// # For whoever writes the file
/// - **Replace it by a rename**: write another file beside it, and rename that over it. One that is written in
///   place can be read half-way, and is then refused as cut off at best.
/// - **Raise `version` with every change of the content.** A smaller one, or other content under the same one, is
///   refused, as long as this instance remembers: what an earlier process read is not kept anywhere.
/// - Keep the accounts of people who left, with `"active": false`.
///
/// # Limits
/// Files larger than [`IdentityFile::MAX_BYTES`] are refused, and so is what is no regular file. A symbolic link to
/// one will do. Reads of one instance take turns.
#[derive(Debug)]
pub struct IdentityFile {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// What was answered last, and whose turn it is.
    last: Arc<Mutex<Option<Answered>>>,
}

/// What must not be contradicted later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answered {
    version: u64,
    content: Digest,
    taken_at: Timestamp,
}

/// What stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u64,
    identities: Vec<Identity>,
    #[serde(default)]
    delegations: Vec<Delegation>,
}

impl IdentityFile {
    /// The largest file that is read, in bytes: 16 MiB.
    pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

    /// Identities from the file at `path`, which need not be there yet. `clock` is the host's: it dates what
    /// is read.
    pub fn new(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { path: path.into(), clock, last: Arc::default() }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn read_in_turn(&self) -> Result<IdentitySnapshot, ProviderError> {
        let (path, clock) = (self.path.clone(), Arc::clone(&self.clock));
        // A read that nobody waits for any more keeps its turn to its end.
        let mut last = Arc::clone(&self.last).lock_owned().await;
        blocking(READ, move || {
            // Before the file is opened: whatever changes from here on is not claimed to be known.
            let now = clock.now();
            let snapshot = read(&path, now.max(last.map_or(now, |last| last.taken_at)))?;
            *last = Some(follows(&path, *last, &snapshot)?);
            Ok(snapshot)
        })
        .await
    }
}

#[async_trait]
impl IdentitySource for IdentityFile {
    fn describe(&self) -> Description {
        Description::new("identity-file", version(), EffectClass::Idempotent)
    }

    async fn read(
        &self,
        cx: &Context,
        _: ReadIdentities,
    ) -> Result<IdentitySnapshot, ProviderError> {
        let work = self.read_in_turn();
        cx.within(&*self.clock, READ, EffectCertainty::NotApplied, work).await
    }
}

fn fail(kind: ErrorKind, path: &Path, text: impl Into<String>) -> ProviderError {
    ProviderError::new(kind, READ, text).with_context("path", path.display())
}

fn read(path: &Path, taken_at: Timestamp) -> Result<IdentitySnapshot, ProviderError> {
    let bytes = read_bytes(path)?;
    let mut written: Written =
        serde_json::from_slice(&bytes).map_err(|error| malformed(path, error))?;
    written.identities.sort_by(|one, two| one.id.cmp(&two.id));
    written.delegations.sort_by(|a, b| {
        (&a.from, &a.role, a.starts, &a.to).cmp(&(&b.from, &b.role, b.starts, &b.to))
    });
    let Written { version, identities, delegations } = written;
    Ok(IdentitySnapshot::new(version, taken_at, identities, delegations))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ProviderError> {
    let file = open(path).map_err(|error| unreachable(path, error))?;
    if !file.metadata().map_err(|error| unreachable(path, error))?.is_file() {
        let text = "this is no regular file; name a file with identities";
        return Err(fail(ErrorKind::Invalid, path, text));
    }
    let mut bytes = Vec::new();
    let limit = IdentityFile::MAX_BYTES;
    // What the file says of its size is not believed.
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| unreachable(path, error))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > limit {
        let text = format!(
            "the file has more than {limit} bytes; take out what is not needed, or write a source for your directory"
        );
        return Err(fail(ErrorKind::Invalid, path, text));
    }
    Ok(bytes)
}

/// Opens it without waiting for anybody, should it be a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

fn unreachable(path: &Path, error: io::Error) -> ProviderError {
    let (kind, text) = match error.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::Unavailable,
            "there is no file with identities; write one, or mend the path",
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Denied,
            "this process may not read the file with identities; let its user read it",
        ),
        io::ErrorKind::IsADirectory => {
            (ErrorKind::Invalid, "this is a directory; name a file with identities")
        }
        _ => (ErrorKind::Unavailable, "the file with identities cannot be read"),
    };
    fail(kind, path, text).with_source(error)
}

fn malformed(path: &Path, error: serde_json::Error) -> ProviderError {
    let (kind, text) = if error.is_data() {
        let text = "this is no file with identities; mend what the cause names";
        (ErrorKind::Invalid, text)
    } else {
        let text = "the file is no whole JSON; mend it, and replace it by a rename, so that nobody reads a part";
        (ErrorKind::Corrupt, text)
    };
    fail(kind, path, text)
        .with_context("line", error.line())
        .with_context("column", error.column())
        .with_source(error)
}

/// What is answered next, unless it contradicts what was answered last.
fn follows(
    path: &Path,
    last: Option<Answered>,
    snapshot: &IdentitySnapshot,
) -> Result<Answered, ProviderError> {
    let IdentitySnapshot { version, taken_at, identities, delegations, .. } = snapshot;
    let (version, taken_at) = (*version, *taken_at);
    let content = serde_json::to_vec(&(identities, delegations)).map_err(|error| {
        fail(ErrorKind::Internal, path, "identities cannot be written again").with_source(error)
    })?;
    let content = Digest::of(&content);
    if let Some(last) = last {
        let wrong = |text: String| {
            fail(ErrorKind::Invalid, path, text)
                .with_context("version", version)
                .with_context("version_before", last.version)
        };
        if version < last.version {
            let before = last.version;
            return Err(wrong(format!(
                "version {version} comes after version {before}; give what the file has now a version greater than {before}"
            )));
        }
        if version == last.version && content != last.content {
            return Err(wrong(format!(
                "version {version} had other content before; give what the file has now a greater version"
            ))
            .with_context("content", content)
            .with_context("content_before", last.content));
        }
    }
    Ok(Answered { version, content, taken_at })
}
