//! A journal that fails when a test says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use release_core::journal::{AppendError, Batch, Head, Journal, ReadError, Record};
use release_core::model::{Digest, RunId};

/// How an append fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendFault {
    /// There is no room; nothing is stored.
    NoSpace,
    /// The journal is not there; nothing is stored.
    Unavailable,
    /// The batch is stored, and nobody is told.
    UnknownStored,
    /// The batch is not stored, and nobody is told.
    UnknownNotStored,
    /// Another writer was faster; nothing is stored.
    Conflict,
}

/// A fault that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// Which append it was, from 1, counted over all runs.
    pub append: u64,
    /// Whose batch it was.
    pub run: RunId,
    /// The sequence that the writer expected.
    pub expected: u64,
    /// How it failed.
    pub fault: AppendFault,
    /// Whether the journal has the batch all the same.
    pub stored: bool,
}

/// A journal around another one, whose appends fail as scripted.
///
/// ```
/// use std::sync::Arc;
/// use release_core::journal::{Batch, Journal, MemoryJournal};
/// use release_testkit::{AppendFault, FaultyJournal, VirtualClock};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let journal = FaultyJournal::new(Arc::new(MemoryJournal::new()));
/// journal.fail_at(2, AppendFault::NoSpace);
/// # let batch = Batch { run: "r".parse()?, expected: 0, epoch: 1, records: vec![], blobs: vec![], finishes: false };
/// # VirtualClock::new().run(async {
/// assert!(journal.append(batch.clone()).await.is_ok());
/// assert!(journal.append(batch.clone()).await.is_err());
/// assert!(journal.append(batch).await.is_ok());
/// # })?;
/// assert_eq!(journal.injected().len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultyJournal {
    inner: Arc<dyn Journal>,
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    appends: u64,
    faults: BTreeMap<u64, AppendFault>,
    injected: Vec<Injected>,
}

impl FaultyJournal {
    /// A journal around `inner`, without any fault yet.
    pub fn new(inner: Arc<dyn Journal>) -> Self {
        Self { inner, script: Mutex::default() }
    }

    /// Lets append number `append` fail, counted from 1 over all runs.
    pub fn fail_at(&self, append: u64, fault: AppendFault) {
        self.script().faults.insert(append, fault);
    }

    /// Lets the next append fail that has no fault yet.
    pub fn fail_next(&self, fault: AppendFault) {
        let mut script = self.script();
        let mut next = script.appends + 1;
        while script.faults.contains_key(&next) {
            next += 1;
        }
        script.faults.insert(next, fault);
    }

    /// How many appends there were, failed ones too.
    pub fn appends(&self) -> u64 {
        self.script().appends
    }

    /// The faults that took place, in order.
    pub fn injected(&self) -> Vec<Injected> {
        self.script().injected.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self) -> (u64, Option<AppendFault>) {
        let mut script = self.script();
        script.appends += 1;
        let append = script.appends;
        (append, script.faults.remove(&append))
    }
}

#[async_trait]
impl Journal for FaultyJournal {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let (append, fault) = self.next_fault();
        let Some(fault) = fault else { return self.inner.append(batch).await };
        let (run, expected) = (batch.run.clone(), batch.expected);
        let stored = fault == AppendFault::UnknownStored;
        if stored {
            self.inner.append(batch).await?;
        }
        let at = Injected { append, run: run.clone(), expected, fault, stored };
        self.script().injected.push(at);
        let detail = format!("scripted fault of append {append}");
        Err(match fault {
            AppendFault::NoSpace => AppendError::NoSpace { detail },
            AppendFault::Unavailable => AppendError::Unavailable { detail },
            AppendFault::UnknownStored | AppendFault::UnknownNotStored => {
                AppendError::Unknown { detail }
            }
            AppendFault::Conflict => AppendError::Conflict { run, expected, actual: expected + 1 },
        })
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        self.inner.read(run).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.inner.blob(digest).await
    }

    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        self.inner.heads().await
    }
}
