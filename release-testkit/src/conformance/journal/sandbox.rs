//! What the suite of `Journal` may use.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::journal::{AppendError, Batch, Head, Journal, ReadError, Record};
use release_core::model::{Digest, RunId};

use super::writer::Writer;
use crate::conformance::{Broken, Check, Common, Hook, HookError, Sandbox, broken, closed, hook};
use crate::fakes::lock;

/// Opens the store of a sandbox.
type Open = Hook<(), Arc<dyn Journal>>;

/// An empty journal, and what its suite may do with its store.
///
/// ```
/// use std::sync::Arc;
/// use release_core::journal::Journal;
/// use release_testkit::conformance::journal::JournalSandbox;
/// # use release_core::journal::MemoryJournal;
/// # struct Acme(Arc<MemoryJournal>);
/// # impl Acme {
/// #     async fn connect(&self, _database: &str) -> Result<Arc<dyn Journal>, std::io::Error> {
/// #         Ok(self.0.clone())
/// #     }
/// # }
/// # fn main() {}
/// # async fn sandbox(acme: Acme, database: String) -> Result<JournalSandbox, std::io::Error> {
/// let journal = acme.connect(&database).await?;
/// let acme = Arc::new(acme);
/// Ok(JournalSandbox::new("acme", journal).reopen(move || {
///     let (acme, database) = (Arc::clone(&acme), database.clone());
///     async move { Ok(acme.connect(&database).await?) }
/// }))
/// # }
/// ```
#[must_use]
pub struct JournalSandbox {
    name: String,
    /// Nothing while the store is being opened again.
    journal: Mutex<Option<Arc<dyn Journal>>>,
    reopen: Option<Open>,
    another: Option<Open>,
    out_of_space: Option<Open>,
    interrupt: Option<Hook<(), ()>>,
    common: Common,
}

closed!([] JournalSandbox);

impl fmt::Debug for JournalSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, journal, .. } = self;
        let mut out = f.debug_struct("JournalSandbox");
        out.field("name", name).field("journal", journal).finish_non_exhaustive()
    }
}

impl JournalSandbox {
    /// A sandbox: what the journal is called in reports, and the journal, whose store is empty and
    /// used by nobody else.
    pub fn new(name: impl Into<String>, journal: Arc<dyn Journal>) -> Self {
        Self {
            name: name.into(),
            journal: Mutex::new(Some(journal)),
            reopen: None,
            another: None,
            out_of_space: None,
            interrupt: None,
            common: Common::default(),
        }
    }

    /// Opens the same store again. The suite has let go of the journal before: if nobody else holds
    /// it, it is closed. Without this hook the cases about durability are skipped.
    pub fn reopen<F>(mut self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Arc<dyn Journal>, HookError>> + Send + 'static,
    {
        self.reopen = Some(hook(move |()| open()));
        self
    }

    /// Opens another handle of the same store, as another process would, while the first is open.
    /// Without it the cases about writers in several processes are skipped.
    pub fn another<F>(mut self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Arc<dyn Journal>, HookError>> + Send + 'static,
    {
        self.another = Some(hook(move |()| open()));
        self
    }

    /// As [`JournalSandbox::reopen`], but the store has room for 15 megabytes more at the most, and
    /// may have none. What [`JournalSandbox::reopen`] opens afterwards has room again. Without it
    /// the case about want of room is skipped.
    pub fn out_of_space<F>(mut self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Arc<dyn Journal>, HookError>> + Send + 'static,
    {
        self.out_of_space = Some(hook(move |()| open()));
        self
    }

    /// Sees to it that the next append loses its answer, as when a connection is cut: perhaps with
    /// the batch, perhaps without it, and best now so and now so. After that append the journal
    /// works as before. Without it the case about unknown outcomes is skipped.
    pub fn interrupt<F>(mut self, interrupt: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.interrupt = Some(hook(move |()| interrupt()));
        self
    }

    pub(super) fn no_reopen(&self) -> Option<&'static str> {
        self.reopen.is_none().then_some("store that can be opened again")
    }

    pub(super) fn no_other_handle(&self) -> Option<&'static str> {
        self.another.is_none().then_some("other handle of the store")
    }

    pub(super) fn no_want_of_room(&self) -> Option<&'static str> {
        self.out_of_space.is_none().then_some("want of room")
    }

    pub(super) fn no_interrupt(&self) -> Option<&'static str> {
        self.interrupt.is_none().then_some("append that is interrupted")
    }

    pub(super) fn journal(&self) -> Result<Arc<dyn Journal>, Broken> {
        let journal = lock(&self.journal).clone();
        journal.ok_or_else(|| broken("a journal", "its store could not be opened again"))
    }

    async fn replace(&self, open: Option<&Open>) -> Check {
        let before = lock(&self.journal).take();
        drop(before); // closes it, if it is the last
        let opened = opened(open).await?;
        *lock(&self.journal) = Some(opened);
        Ok(())
    }

    pub(super) async fn close_and_reopen(&self) -> Check {
        self.replace(self.reopen.as_ref()).await
    }

    pub(super) async fn run_out_of_space(&self) -> Check {
        self.replace(self.out_of_space.as_ref()).await
    }

    pub(super) async fn other_handle(&self) -> Result<Arc<dyn Journal>, Broken> {
        opened(self.another.as_ref()).await
    }

    pub(super) async fn interrupt_next(&self) -> Check {
        let Some(interrupt) = &self.interrupt else { return Ok(()) };
        interrupt(()).await.map_err(|error| broken("a hook that interrupts the next append", error))
    }

    pub(super) async fn append(&self, batch: Batch) -> Result<Result<(), AppendError>, Broken> {
        Ok(self.journal()?.append(batch).await)
    }

    /// Demands that a batch is stored.
    pub(super) async fn store(&self, batch: Batch) -> Check {
        let what = show(&batch);
        let answer = self.append(batch).await?;
        answer.map_err(|error| broken(format!("{what} to be stored"), error))
    }

    /// Demands that a batch is refused with exactly this answer.
    pub(super) async fn refused(&self, what: &str, batch: Batch, wanted: AppendError) -> Check {
        let wanted = Err(wanted);
        let answer = self.append(batch).await?;
        if answer == wanted {
            return Ok(());
        }
        Err(broken(format!("{wanted:?} for {what}"), format!("the answer was {answer:?}")))
    }

    /// Demands that a batch is refused as malformed.
    pub(super) async fn malformed(&self, what: &str, batch: Batch) -> Check {
        match self.append(batch).await? {
            Err(AppendError::Malformed { .. }) => Ok(()),
            answer => {
                Err(broken(format!("Malformed for {what}"), format!("the answer was {answer:?}")))
            }
        }
    }

    pub(super) async fn read(&self, run: &RunId) -> Result<Vec<Record>, Broken> {
        let read = self.journal()?.read(run).await;
        read.map_err(|error| unread(&format!("the records of run `{run}`"), &error))
    }

    pub(super) async fn heads(&self) -> Result<Vec<Head>, Broken> {
        self.journal()?.heads().await.map_err(|error| unread("the heads of all runs", &error))
    }

    /// Demands that the run has all that the writer wrote, and nothing else.
    pub(super) async fn has(&self, writer: &Writer) -> Check {
        same_records(&self.read(writer.run()).await?, writer.written())
    }

    /// Demands that these are the heads.
    pub(super) async fn has_heads(&self, wanted: &[Head]) -> Check {
        let heads = self.heads().await?;
        if heads == wanted {
            return Ok(());
        }
        Err(broken(format!("the heads {wanted:?}"), format!("they are {heads:?}")))
    }

    /// Demands that content is there as it was stored, or not there.
    pub(super) async fn has_blob(&self, digest: Digest, wanted: Option<&[u8]>) -> Check {
        let blob = self.journal()?.blob(digest).await;
        let blob = blob.map_err(|error| unread(&format!("the content {digest}"), &error))?;
        match (wanted, blob.as_deref()) {
            (None, None) => Ok(()),
            (None, Some(found)) => Err(broken(
                format!("no content {digest}, which was never stored"),
                format!("{} bytes are there", found.len()),
            )),
            (Some(wanted), None) => Err(broken(
                format!("the content {digest} of {} bytes", wanted.len()),
                "it is not there",
            )),
            (Some(wanted), Some(found)) if wanted == found => Ok(()),
            (Some(wanted), Some(found)) => Err(broken(
                format!("{} bytes of content as they were stored", wanted.len()),
                format!("{} bytes with the digest {} came back", found.len(), Digest::of(found)),
            )),
        }
    }

    /// Demands that all content of a batch is there.
    pub(super) async fn has_blobs(&self, batch: &Batch) -> Check {
        for (digest, bytes) in &batch.blobs {
            self.has_blob(*digest, Some(bytes)).await?;
        }
        Ok(())
    }

    /// Demands that no content of a batch is there.
    pub(super) async fn has_no_blobs(&self, batch: &Batch) -> Check {
        for (digest, _) in &batch.blobs {
            self.has_blob(*digest, None).await?;
        }
        Ok(())
    }
}

async fn opened(open: Option<&Open>) -> Result<Arc<dyn Journal>, Broken> {
    let Some(open) = open else { return Err(broken("a hook that opens the store", "none is set")) };
    open(()).await.map_err(|error| broken("the store to open", error))
}

/// Demands that `found` is what was written, byte for byte.
pub(super) fn same_records(found: &[Record], written: &[Record]) -> Check {
    if found == written {
        return Ok(());
    }
    let place = found.iter().zip(written).position(|(found, written)| found != written);
    let place = place.unwrap_or_else(|| found.len().min(written.len()));
    Err(broken(
        format!("{} records, with {} in place {}", written.len(), at(written, place), place + 1),
        format!("{} came back, with {} there", found.len(), at(found, place)),
    ))
}

/// The record in a place, not in full where it is long.
fn at(records: &[Record], place: usize) -> String {
    let Some(record) = records.get(place) else { return "nothing".into() };
    let Record { seq, epoch, hash, bytes } = record;
    let text: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
    format!("record {seq} of epoch {epoch} ({hash}, {} bytes: {text})", bytes.len())
}

pub(super) fn show(batch: &Batch) -> String {
    let Batch { run, expected, epoch, records, blobs, .. } = batch;
    format!(
        "{} records and {} blobs of run `{run}` after {expected} in epoch {epoch}",
        records.len(),
        blobs.len()
    )
}

fn unread(what: &str, error: &ReadError) -> Broken {
    broken(what, error)
}

#[async_trait(?Send)]
impl Sandbox for JournalSandbox {
    fn common(&self) -> &Common {
        &self.common
    }

    fn title(&self) -> String {
        self.name.clone()
    }

    async fn prepare(&self) -> Check {
        match self.heads().await?.as_slice() {
            [] => Ok(()),
            [head, ..] => Err(broken("an empty journal", format!("run `{}` is there", head.run))),
        }
    }
}
