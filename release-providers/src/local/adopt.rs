//! Finds out, when a root is opened, what was wished and what of it still runs.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use release_core::time::Timestamp;

use super::effects::{EffectChange, EffectLog, effects};
use super::fence::Fence;
use super::files::{Paths, io_error, is_temporary, list, read_records};
use super::process::{MARKER, kill_stray};
use super::record::{InstanceRecord, ProcessId, TargetRecord, Wish};
use super::samples::Samples;
use crate::disk::Lock;
use crate::procfs::{self, Marked};
use crate::{ErrorKind, ProviderError};

pub(super) const OPEN: &str = "local.open";

/// What an earlier platform left under a root.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) paths: Paths,
    /// Held for as long as the platform is open.
    pub(super) lock: Lock,
    pub(super) boot: String,
    pub(super) targets: Vec<TargetRecord>,
    pub(super) wishes: Vec<Wish>,
    pub(super) fences: Vec<Fence>,
    pub(super) samples: Vec<Samples>,
    pub(super) effects: EffectLog,
    /// Instances that run.
    pub(super) living: Vec<(InstanceRecord, ProcessId)>,
    /// The number of the next instance.
    pub(super) sequence: u64,
}

/// Locks a root, reads its records, and ends what belongs to no instance.
pub(super) fn find(root: &Path, now: Timestamp) -> Result<Found, ProviderError> {
    // For its owner only: who can write here decides what is executed.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|e| io_error(OPEN, root, e))?;
    let root = root.canonicalize().map_err(|e| io_error(OPEN, root, e))?;
    let paths = Paths { root };
    for directory in [
        paths.artifacts(),
        paths.instances(),
        paths.desired(),
        paths.targets(),
        paths.fences(),
        paths.samples(),
        paths.logs(),
    ] {
        fs::create_dir_all(&directory).map_err(|e| io_error(OPEN, &directory, e))?;
    }
    let lock = lock(&paths)?;
    let boot = procfs::boot();
    let targets = read_records(OPEN, &paths.targets())?;
    let fences = read_records(OPEN, &paths.fences())?;
    let samples = read_records(OPEN, &paths.samples())?;
    let mut wishes: Vec<Wish> = Vec::new();
    let desired = paths.desired();
    for directory in list(&desired).map_err(|e| io_error(OPEN, &desired, e))? {
        wishes.extend(read_records(OPEN, &directory)?);
    }
    remove_temporaries(&paths.artifacts())?;
    let records: Vec<InstanceRecord> = read_records(OPEN, &paths.instances())?;
    let sequence = next_sequence(&paths, &records)?;
    let (living, effects) = (Vec::new(), EffectLog::open(paths.effects())?);
    let mut found =
        Found { paths, lock, boot, targets, wishes, fences, samples, effects, living, sequence };
    found.sort_out(records)?;
    found.log_unwritten(now)?;
    Ok(found)
}

/// One platform a root.
fn lock(paths: &Paths) -> Result<Lock, ProviderError> {
    let path = paths.lock();
    let lock = Lock::take(&path).map_err(|e| io_error(OPEN, &path, e))?;
    lock.ok_or_else(|| {
        let text = "another platform has this root open; close it, or use another root";
        ProviderError::new(ErrorKind::Conflict, OPEN, text)
            .with_context("root", paths.root.display())
    })
}

fn remove_temporaries(directory: &Path) -> Result<(), ProviderError> {
    for path in list(directory).map_err(|e| io_error(OPEN, directory, e))? {
        if is_temporary(&path) {
            fs::remove_file(&path).map_err(|e| io_error(OPEN, &path, e))?;
        }
    }
    Ok(())
}

/// Names of instances are never used again, so that no log is ever two instances' log.
fn next_sequence(paths: &Paths, records: &[InstanceRecord]) -> Result<u64, ProviderError> {
    let logs = list(&paths.logs()).map_err(|e| io_error(OPEN, &paths.logs(), e))?;
    let logged = logs
        .iter()
        .filter_map(|path| path.file_stem()?.to_str()?.rsplit_once('-')?.1.parse::<u64>().ok());
    let last = logged.chain(records.iter().map(|record| record.sequence)).max().unwrap_or(0);
    Ok(last.saturating_add(1))
}

impl Found {
    /// Tells the living from the dead. What lives and is nobody's is ended.
    fn sort_out(&mut self, records: Vec<InstanceRecord>) -> Result<(), ProviderError> {
        let marked = procfs::marked(MARKER, &self.paths.root);
        let mut adopted = BTreeSet::new();
        for record in records {
            let wished =
                self.wishes.iter().any(|w| w.target == record.target && w.digest == record.digest);
            let process = self.process_of(&record, &marked).filter(|_| wished);
            if let Some(process) = process {
                adopted.insert(record.id.clone());
                self.living.push((record, process));
            } else {
                let path = self.paths.instance(&record.id);
                fs::remove_file(&path).map_err(|e| io_error(OPEN, &path, e))?;
            }
        }
        marked.iter().filter(|stray| !adopted.contains(&stray.instance)).for_each(kill_stray);
        Ok(())
    }

    /// Writes down the starts of those that live, where a crash came between the start and its line.
    fn log_unwritten(&self, now: Timestamp) -> Result<(), ProviderError> {
        let mut doubtful =
            self.living.iter().map(|(record, _)| record).filter(|r| r.process.is_none()).peekable();
        if doubtful.peek().is_none() {
            return Ok(());
        }
        let log = effects(&self.paths.root)?;
        let started = |record: &InstanceRecord| EffectChange::Started {
            instance: record.id.clone(),
            digest: record.digest,
        };
        for record in doubtful {
            let change = started(record);
            if !log.iter().any(|line| line.change == change) {
                self.effects.append(&record.cause.effect(now, record.target.clone(), change))?;
            }
        }
        Ok(())
    }

    fn process_of(&self, record: &InstanceRecord, marked: &[Marked]) -> Option<ProcessId> {
        if let Some(process) = &record.process {
            let same = process.boot == self.boot && procfs::alive(process);
            return same.then(|| process.clone());
        }
        // It died between the start and the note of it: the leader of its group is the instance,
        // what carries the mark besides was started by it.
        let leader = marked.iter().find(|m| m.instance == record.id && m.stat.group == m.pid)?;
        let (pid, started, boot) = (leader.pid, leader.stat.started, self.boot.clone());
        Some(ProcessId { pid, started, boot })
    }
}
