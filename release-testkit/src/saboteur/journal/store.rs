//! A store of its own, in which one thing is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::journal::{AppendError, Batch, Head, Journal, ReadError, Record, Stored};
use release_core::model::{Digest, RunId};

use super::JournalFault;
use crate::fakes::lock;
use crate::fixtures;
use crate::saboteur::dawdle;

/// A run's head and its records.
type Run = (Head, Vec<Record>);

/// What all handles share.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) blobs: BTreeMap<Digest, Arc<[u8]>>,
    /// The runs as they began.
    born: Vec<RunId>,
    full: bool,
    interrupts: u32,
    interrupted: bool,
}

impl Disk {
    pub(super) fn stored(&self, run: &RunId) -> Stored {
        let head = self.runs.get(run).map(|(head, _)| head);
        head.map_or_else(Stored::default, |head| Stored {
            seq: head.seq,
            epoch: head.epoch,
            finished: head.finished,
        })
    }

    pub(super) fn heads(&self) -> Vec<Head> {
        self.runs.values().map(|(head, _)| head.clone()).collect()
    }
}

/// What a handle keeps for itself.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What it has checked and stored itself.
    pub(super) seen: BTreeMap<RunId, Stored>,
    /// Whose writers it has fenced.
    pub(super) fenced: Vec<RunId>,
    /// The heads before the last append.
    heads: Vec<Head>,
}

/// A journal in memory with one planted fault.
#[derive(Debug)]
pub struct SabotagedJournal {
    pub(super) fault: JournalFault,
    disk: Arc<Mutex<Disk>>,
    /// The disk before the last append.
    before: Arc<Mutex<Disk>>,
    pub(super) memory: Mutex<Memory>,
    /// Lets one append in after the other.
    turn: tokio::sync::Mutex<()>,
}

impl SabotagedJournal {
    /// An empty journal that has `fault`.
    pub fn new(fault: JournalFault) -> Self {
        Self::on(fault, Arc::default(), Arc::default())
    }

    fn on(fault: JournalFault, disk: Arc<Mutex<Disk>>, before: Arc<Mutex<Disk>>) -> Self {
        Self { fault, disk, before, memory: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Another handle of the same store.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::on(self.fault, Arc::clone(&self.disk), Arc::clone(&self.before))
    }

    /// A handle of the same store, as it is after all others were closed.
    pub(super) fn reopened(&self) -> Self {
        let mut disk = lock(&self.disk);
        disk.full = false;
        if self.fault == JournalFault::AnswersEarly {
            *disk = lock(&self.before).clone();
        }
        for (head, records) in disk.runs.values_mut() {
            match self.fault {
                JournalFault::ForgetsEpochsWhenClosed => {
                    head.epoch = records.first().map_or(0, |first| first.epoch);
                }
                JournalFault::ForgetsEndsWhenClosed => head.finished = false,
                _ => {}
            }
        }
        drop(disk);
        self.beside()
    }

    /// As after reopening, but without any room.
    pub(super) fn without_room(&self) -> Self {
        let handle = self.reopened();
        lock(&handle.disk).full = true;
        handle
    }

    /// Lets the next append lose its answer, in turns with the batch and without.
    pub(super) fn interrupt_next(&self) {
        lock(&self.disk).interrupted = true;
    }

    /// Under which name a run is kept.
    pub(super) fn key(&self, run: &RunId) -> RunId {
        if self.fault == JournalFault::MixesRuns {
            return fixtures::literal(&run.as_str().replace('_', "-"));
        }
        run.clone()
    }

    /// Checks and stores at once, as an honest journal does, but for the fault.
    fn attempt(&self, disk: &mut Disk, batch: Batch) -> Result<(), AppendError> {
        lock(&self.memory).heads = disk.heads();
        self.check(disk, &batch).inspect_err(|refused| self.keep(disk, &batch, refused))?;
        if disk.full {
            return Err(self.no_space(disk, batch));
        }
        if std::mem::take(&mut disk.interrupted) {
            return Err(self.lose_answer(disk, batch));
        }
        self.store(disk, batch);
        Ok(())
    }

    /// What is stored of a batch that is refused: nothing, but for the fault.
    fn keep(&self, disk: &mut Disk, batch: &Batch, refused: &AppendError) {
        match self.fault {
            JournalFault::KeepsRefusedBlobs => disk.blobs.extend(batch.blobs.iter().cloned()),
            JournalFault::KeepsRestOfConflicts => {
                let AppendError::Conflict { actual, .. } = refused else { return };
                let mut rest = batch.clone();
                rest.records.retain(|record| record.seq > *actual);
                if batch.expected < *actual && *actual > 0 {
                    self.store(disk, rest);
                }
            }
            _ => {}
        }
    }

    fn no_space(&self, disk: &mut Disk, batch: Batch) -> AppendError {
        let detail = "sabotaged".to_owned();
        match self.fault {
            JournalFault::CallsFullUnavailable => return AppendError::Unavailable { detail },
            JournalFault::KeepsBlobsWithoutRoom => disk.blobs.extend(batch.blobs),
            _ => {}
        }
        AppendError::NoSpace { detail }
    }

    fn lose_answer(&self, disk: &mut Disk, mut batch: Batch) -> AppendError {
        let detail = "sabotaged".to_owned();
        disk.interrupts += 1;
        if self.fault == JournalFault::StoresHalfWhenInterrupted {
            batch.records.truncate(batch.records.len() / 2);
            self.store(disk, batch);
        } else if disk.interrupts % 2 == 1 {
            self.store(disk, batch);
            if self.fault == JournalFault::DeniesWhatItStored {
                return AppendError::Unavailable { detail };
            }
        }
        AppendError::Unknown { detail }
    }

    fn store(&self, disk: &mut Disk, batch: Batch) {
        let run = self.key(&batch.run);
        let Batch { epoch, mut records, blobs, finishes, .. } = batch;
        let blobs = blobs.into_iter().take(match self.fault {
            JournalFault::DropsSecondBlob => 1,
            _ => usize::MAX,
        });
        for (digest, bytes) in blobs {
            disk.blobs.entry(digest).or_insert_with(|| self.garble_blob(bytes));
        }
        let first = records.first().cloned();
        let Some(last) = records.last().cloned() else {
            return self.store_nothing(disk, run, epoch);
        };
        self.garble(&mut records);
        let hash = match (self.fault, first) {
            (JournalFault::HeadsNameFirstRecord, Some(first)) => first.hash,
            _ => last.hash,
        };
        let finished = finishes && self.fault != JournalFault::LosesEnds;
        let epoch = match self.fault {
            JournalFault::CutsEpochs => epoch & u64::from(u32::MAX),
            _ => epoch,
        };
        let head = Head { run: run.clone(), seq: last.seq, epoch, hash, finished };
        let now = Stored { seq: head.seq, epoch, finished };
        lock(&self.memory).seen.insert(run.clone(), now);
        if let Some((there, log)) = disk.runs.get_mut(&run) {
            let forgets = self.fault == JournalFault::ForgetsTakeover;
            let epoch = if forgets { there.epoch } else { epoch };
            *there = Head { epoch, ..head };
            log.extend(records);
        } else {
            disk.born.push(run.clone());
            disk.runs.insert(run, (head, records));
        }
    }

    /// What a batch without records changes: nothing, but for the fault.
    fn store_nothing(&self, disk: &mut Disk, run: RunId, epoch: u64) {
        match (self.fault, disk.runs.get_mut(&run)) {
            (JournalFault::TakesEpochOfEmpty, Some((head, _))) => head.epoch = epoch,
            (JournalFault::MakesRunOfEmpty, None) => {
                let hash = Digest::of(b"");
                let head = Head { run: run.clone(), seq: 0, epoch, hash, finished: false };
                disk.runs.insert(run, (head, Vec::new()));
            }
            _ => {}
        }
    }

    fn garble(&self, records: &mut Vec<Record>) {
        match self.fault {
            JournalFault::DropsLastRecord if records.len() > 1 => drop(records.pop()),
            JournalFault::CutsLargeBatches => records.truncate(1000),
            _ => {}
        }
        for record in records {
            match self.fault {
                JournalFault::LosesAccents if !record.bytes.is_ascii() => {
                    let ascii = record.bytes.iter().map(|b| if b.is_ascii() { *b } else { b'?' });
                    record.bytes = ascii.collect();
                }
                JournalFault::CutsLongRecords => record.bytes.truncate(1 << 16),
                JournalFault::HashesAnew => record.hash = Digest::of(&record.bytes),
                _ => {}
            }
        }
    }

    fn garble_blob(&self, bytes: Arc<[u8]>) -> Arc<[u8]> {
        match self.fault {
            JournalFault::TakesBlobsForText => {
                String::from_utf8_lossy(&bytes).into_owned().into_bytes().into()
            }
            JournalFault::CutsLargeBlobs => bytes.iter().copied().take(1 << 16).collect(),
            _ => bytes,
        }
    }

    /// Stores records one by one, so that others come in between, and callers give up.
    async fn store_one_by_one(&self, batch: Batch) -> Result<(), AppendError> {
        self.check(&lock(&self.disk), &batch)?;
        let (mut one, mut blobs) = (batch.clone(), batch.blobs);
        for record in batch.records {
            one.blobs = std::mem::take(&mut blobs);
            one.records = vec![record];
            self.store(&mut lock(&self.disk), one.clone());
            dawdle().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for SabotagedJournal {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let in_trouble = {
            let disk = lock(&self.disk);
            disk.full || disk.interrupted
        };
        match self.fault {
            _ if in_trouble => self.attempt(&mut lock(&self.disk), batch),
            JournalFault::RacesAppends | JournalFault::LocksItsHandle => {
                let locks = self.fault == JournalFault::LocksItsHandle;
                let _turn = if locks { Some(self.turn.lock().await) } else { None };
                self.check(&lock(&self.disk), &batch)?;
                dawdle().await;
                self.store(&mut lock(&self.disk), batch);
                Ok(())
            }
            JournalFault::WritesAllBack => {
                let mut all = lock(&self.disk).clone();
                dawdle().await;
                let answer = self.attempt(&mut all, batch);
                *lock(&self.disk) = all;
                answer
            }
            JournalFault::StoresOneByOne if batch.records.len() > 1 => {
                self.store_one_by_one(batch).await
            }
            JournalFault::AnswersEarly => {
                let mut disk = lock(&self.disk);
                lock(&self.before).clone_from(&disk);
                self.attempt(&mut disk, batch)
            }
            _ => self.attempt(&mut lock(&self.disk), batch),
        }
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        let disk = lock(&self.disk);
        if self.fault == JournalFault::MakesTablesLate && disk.runs.is_empty() {
            return Err(ReadError::Unavailable { detail: "no such table: records".into() });
        }
        let mut records =
            disk.runs.get(&self.key(run)).map(|(_, records)| records.clone()).unwrap_or_default();
        if self.fault == JournalFault::OrdersAsText {
            records.sort_by_key(|record| record.seq.to_string());
        }
        Ok(records)
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        let disk = lock(&self.disk);
        match (self.fault, disk.blobs.get(&digest)) {
            (JournalFault::MakesTablesLate, _) if disk.runs.is_empty() => {
                Err(ReadError::Unavailable { detail: "no such table: blobs".into() })
            }
            (JournalFault::InventsBlobs, None) => Ok(Some(Arc::default())),
            (_, found) => Ok(found.cloned()),
        }
    }

    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        let disk = lock(&self.disk);
        let mut heads = disk.heads();
        match self.fault {
            JournalFault::HeadsLag => heads.clone_from(&lock(&self.memory).heads),
            JournalFault::HeadsInOrderOfBirth => {
                heads.sort_by_key(|head| disk.born.iter().position(|run| *run == head.run));
            }
            JournalFault::HeadsInOrderOfLanguage => {
                heads.sort_by_key(|head| head.run.as_str().replace(['-', '.', '_'], ""));
            }
            _ => {}
        }
        Ok(heads)
    }
}
