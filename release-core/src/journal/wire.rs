//! The stored form of events: sealing, and verifying what was sealed.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::Record;
use crate::ids::RunId;
use crate::model::Digest;
use crate::plan::FrozenPlan;
use crate::run::{Event, Fact, IllegalTransition, RunState};
use crate::time::Timestamp;

/// The version of the record format. Readers refuse others; a new one gets a reader of its own.
pub const JOURNAL_VERSION: u16 = 1;

/// Separates these hashes from any other use of SHA-256.
const DOMAIN: &[u8] = b"release.journal.v1\n";

/// Turns events into chained records.
#[derive(Debug, Clone)]
pub struct Sealer {
    run: RunId,
    seq: u64,
    epoch: u64,
    prev: Digest,
    /// The instant of the last record and its text: the records of one turn share it.
    at: (Timestamp, String),
}

impl Sealer {
    /// Begins a new run's chain.
    pub fn new(run: RunId) -> Self {
        Self::after(run, 0, 1, Digest::from_bytes([0; 32]))
    }

    /// Continues a chain behind record `seq` with hash `prev`, as the writer of `epoch`.
    pub fn after(run: RunId, seq: u64, epoch: u64, prev: Digest) -> Self {
        let at = Timestamp::default();
        Self { run, seq, epoch, prev, at: (at, at.to_string()) }
    }

    /// The sequence of the last record.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The writer's epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The hash of the last record.
    pub const fn head(&self) -> Digest {
        self.prev
    }

    /// Seals one event that happened at `at`.
    pub fn seal(&mut self, at: Timestamp, event: &Event) -> Record {
        self.seq += 1;
        if self.at.0 != at {
            self.at = (at, at.to_string());
        }
        let mut head = String::with_capacity(384);
        // Writing to a `String` cannot fail. None of the values needs escaping: ids are of a safe
        // alphabet, the rest are digits.
        let _ = write!(
            head,
            r#"{{"v":{JOURNAL_VERSION},"run":"{}","seq":{},"epoch":{},"at":"{}","prev":""#,
            self.run, self.seq, self.epoch, self.at.1
        );
        push_hex(&mut head, self.prev);
        head.push_str(r#"","event":"#);
        let mut bytes = head.into_bytes();
        // INVARIANT: events serialise without fail: string keys, finite numbers, no custom errors.
        let written = serde_json::to_writer(&mut bytes, event);
        debug_assert!(written.is_ok(), "{written:?}");
        bytes.push(b'}');
        self.prev = hash(&bytes);
        Record { seq: self.seq, epoch: self.epoch, hash: self.prev, bytes }
    }
}

fn push_hex(out: &mut String, digest: Digest) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for byte in digest.as_bytes() {
        for nibble in [byte >> 4, byte & 15] {
            out.push(DIGITS.get(usize::from(nibble)).copied().unwrap_or('0'));
        }
    }
}

fn hash(bytes: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(bytes);
    Digest::from_bytes(hasher.finalize().into())
}

/// The stored form, decoded in two stages: first the envelope, then the event.
#[derive(Deserialize)]
struct Envelope<'a> {
    v: u16,
    run: RunId,
    seq: u64,
    epoch: u64,
    at: Timestamp,
    prev: &'a str,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// A record that is not what was written. Nothing is repaired, nothing is guessed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} of run `{run}` {kind}")]
pub struct Damage {
    /// The run.
    pub run: RunId,
    /// The first record that is wrong; one behind the last when records are missing.
    pub seq: u64,
    /// What is wrong with it.
    pub kind: DamageKind,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DamageKind {
    /// Its bytes do not give the hash that was stored with it.
    #[error("was changed: its bytes give {found}, its stored hash is {stored}")]
    Changed {
        /// The stored hash.
        stored: Digest,
        /// The hash of the bytes.
        found: Digest,
    },
    /// It does not follow the record before.
    #[error(
        "does not follow the record before it: records were removed, inserted or put in another order"
    )]
    Unchained,
    /// It belongs elsewhere.
    #[error("is not at its place: it says it is {found}")]
    Misplaced {
        /// What it says of itself.
        found: String,
    },
    /// It cannot be read.
    #[error("cannot be read: {problem}")]
    Unreadable {
        /// What the decoder said.
        problem: String,
    },
    /// It is of another version.
    #[error(
        "has format version {0}, and this release reads only {JOURNAL_VERSION}; use a newer release"
    )]
    UnsupportedVersion(u16),
    /// There are no records.
    #[error("is missing: the run has no records")]
    Empty,
    /// It cannot follow from what came before.
    #[error("cannot be: {0}")]
    Illegal(#[from] IllegalTransition),
}

/// The verified records of a run, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    run: RunId,
    facts: Vec<Fact>,
    epoch: u64,
    head: Digest,
}

impl History {
    /// Verifies the chain of `records` and decodes them.
    ///
    /// # Errors
    /// [`Damage`] names the first record that is not what was written.
    pub fn verify(run: &RunId, records: &[Record]) -> Result<Self, Damage> {
        let mut history = Self {
            run: run.clone(),
            facts: Vec::with_capacity(records.len()),
            epoch: 0,
            head: Digest::from_bytes([0; 32]),
        };
        for (record, seq) in records.iter().zip(1_u64..) {
            let fact = history.check(record, seq).map_err(|kind| Damage {
                run: run.clone(),
                seq,
                kind,
            })?;
            history.facts.push(fact);
            history.head = record.hash;
            history.epoch = record.epoch;
        }
        if history.facts.is_empty() {
            return Err(Damage { run: run.clone(), seq: 1, kind: DamageKind::Empty });
        }
        Ok(history)
    }

    fn check(&self, record: &Record, seq: u64) -> Result<Fact, DamageKind> {
        let found = hash(&record.bytes);
        if found != record.hash {
            return Err(DamageKind::Changed { stored: record.hash, found });
        }
        let unreadable = |e: serde_json::Error| DamageKind::Unreadable { problem: e.to_string() };
        let envelope: Envelope<'_> = serde_json::from_slice(&record.bytes).map_err(unreadable)?;
        if envelope.v != JOURNAL_VERSION {
            return Err(DamageKind::UnsupportedVersion(envelope.v));
        }
        if envelope.prev != self.head.hex() {
            return Err(DamageKind::Unchained);
        }
        if envelope.run != self.run
            || envelope.seq != seq
            || record.seq != seq
            || envelope.epoch != record.epoch
        {
            let found =
                format!("record {} of `{}`, epoch {}", envelope.seq, envelope.run, envelope.epoch);
            return Err(DamageKind::Misplaced { found });
        }
        if envelope.epoch < self.epoch {
            return Err(DamageKind::Misplaced {
                found: format!("of the fenced epoch {}", envelope.epoch),
            });
        }
        let event = serde_json::from_str(envelope.event.get()).map_err(unreadable)?;
        Ok(Fact { at: envelope.at, event })
    }

    /// The run.
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// What happened, in order; the record of fact `i` has the sequence `i + 1`.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The epoch of the last writer.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The hash of the last record: whoever knows it can tell whether anything was changed.
    pub const fn head(&self) -> Digest {
        self.head
    }

    /// The digest of the plan that the run pins.
    ///
    /// # Errors
    /// [`Damage`] when the first record does not create the run.
    pub fn plan(&self) -> Result<Digest, Damage> {
        match self.facts.first().map(|fact| &fact.event) {
            Some(Event::RunCreated { plan, .. }) => Ok(*plan),
            _ => Err(self.damage(1, IllegalTransition::NotCreated)),
        }
    }

    /// The state after all records, or after the first `until` of them (time travel).
    ///
    /// # Errors
    /// [`Damage`] names the first record that cannot be.
    pub fn state(&self, plan: FrozenPlan, until: Option<usize>) -> Result<RunState, Damage> {
        let count = until.unwrap_or(self.facts.len()).min(self.facts.len());
        let mut facts = self.facts.iter().take(count).zip(1_u64..);
        let Some((first, _)) = facts.next() else {
            return Err(self.damage(1, IllegalTransition::NotCreated));
        };
        let mut state = RunState::create(self.run.clone(), plan, first)
            .map_err(|illegal| self.damage(1, illegal))?;
        for (fact, seq) in facts {
            state.evolve(fact.at, &fact.event).map_err(|illegal| self.damage(seq, illegal))?;
        }
        Ok(state)
    }

    fn damage(&self, seq: u64, illegal: IllegalTransition) -> Damage {
        Damage { run: self.run.clone(), seq, kind: DamageKind::Illegal(illegal) }
    }
}
