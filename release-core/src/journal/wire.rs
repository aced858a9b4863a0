//! The stored form of events: sealing, and verifying what was sealed.

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::quick::Quick;
use super::{Damage, DamageKind, Record};
use crate::ids::RunId;
use crate::model::Digest;
use crate::plan::FrozenPlan;
use crate::port::Evidence;
use crate::run::{Event, Fact, IllegalTransition, Mode, RunState, StateDigest};
use crate::time::Timestamp;

/// The version of the record format. Readers refuse others; a new one gets a reader of its own.
pub const JOURNAL_VERSION: u16 = 1;

/// Records are cut from blocks of this size, so that not each one has to be allocated.
const BLOCK: usize = 4096;
/// Separates these hashes from any other use of SHA-256.
const DOMAIN: &[u8] = b"release.journal.v1\n";

/// Turns events into chained records.
#[derive(Debug, Clone)]
pub struct Sealer {
    /// What every record begins with, up to its sequence.
    prefix: String,
    scratch: Vec<u8>,
    block: BytesMut,
    seq: u64,
    epoch: u64,
    prev: Digest,
    at: InstantText,
}

impl Sealer {
    /// Begins a new run's chain.
    pub fn new(run: &RunId) -> Self {
        Self::after(run, 0, 1, origin())
    }

    /// Continues a chain behind record `seq` with hash `prev`, as the writer of `epoch`.
    pub fn after(run: &RunId, seq: u64, epoch: u64, prev: Digest) -> Self {
        let prefix = prefix(run);
        let at = InstantText::default();
        Self { prefix, scratch: Vec::new(), block: BytesMut::new(), seq, epoch, prev, at }
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

    /// Counts events that are not recorded.
    #[cfg(feature = "driver")]
    pub(crate) const fn skip(&mut self, events: usize) {
        self.seq += events as u64;
    }

    /// Seals one event that happened at `at`.
    pub fn seal(&mut self, at: Timestamp, event: &Event) -> Record {
        self.seal_with(at, event, None)
    }

    /// Seals one event, and the digest of the state that it led to. A writer gives it with the last event
    /// of each batch.
    pub fn seal_with(
        &mut self,
        at: Timestamp,
        event: &Event,
        state: Option<StateDigest>,
    ) -> Record {
        self.seal_json(at, state, |bytes| push_event(bytes, event))
    }

    /// Seals what `push` writes, which is JSON.
    pub(super) fn seal_json(
        &mut self,
        at: Timestamp,
        state: Option<StateDigest>,
        push: impl FnOnce(&mut Vec<u8>),
    ) -> Record {
        self.seq += 1;
        // None of the values needs escaping: ids are of a safe alphabet, the rest are digits.
        let bytes = &mut self.scratch;
        bytes.clear();
        bytes.extend_from_slice(self.prefix.as_bytes());
        push_decimal(bytes, self.seq);
        bytes.extend_from_slice(br#","epoch":"#);
        push_decimal(bytes, self.epoch);
        bytes.extend_from_slice(br#","at":""#);
        self.at.write(at, bytes);
        bytes.push(b'"');
        if let Some(state) = state {
            bytes.extend_from_slice(br#","state":""#);
            push_digest(bytes, state);
            bytes.push(b'"');
        }
        bytes.extend_from_slice(br#","event":"#);
        push(bytes);
        bytes.push(b'}');
        self.prev = hash(self.prev, bytes);
        if self.block.capacity() < bytes.len() {
            self.block.reserve(BLOCK.max(bytes.len())); // takes the old block again if it is free
        }
        self.block.extend_from_slice(bytes);
        let bytes = self.block.split().freeze();
        Record { seq: self.seq, epoch: self.epoch, hash: self.prev, bytes }
    }

    /// Seals the events of a batch that happened at `at`, with the digest of the state that they led to.
    pub fn batch(&mut self, at: Timestamp, events: &[Event], state: StateDigest) -> Vec<Record> {
        let last = events.len().saturating_sub(1);
        let digest = |place| (place == last).then_some(state);
        let events = events.iter().enumerate();
        events.map(|(place, event)| self.seal_with(at, event, digest(place))).collect()
    }
}

/// What every record of a run begins with, up to its sequence.
pub(super) fn prefix(run: &RunId) -> String {
    format!(r#"{{"v":{JOURNAL_VERSION},"run":"{run}","seq":"#)
}

/// Writes instants, and keeps the text of the last one's second: the next is mostly in the same.
#[derive(Debug, Clone, Default)]
struct InstantText {
    second: Option<i64>,
    text: String,
}

impl InstantText {
    fn write(&mut self, at: Timestamp, out: &mut Vec<u8>) {
        let (second, micros) =
            (at.as_micros().div_euclid(1_000_000), at.as_micros().rem_euclid(1_000_000));
        if self.second != Some(second) {
            self.text = at.to_string();
            self.second = Some(second);
            // Beyond the calendar the text has another form and cannot be reused.
            if let Some((whole, _)) = self.text.split_once('.') {
                self.text.truncate(whole.len() + 1);
            } else {
                self.second = None;
            }
        }
        out.extend_from_slice(self.text.as_bytes());
        if self.second.is_some() {
            // Six digits: a leading 1 keeps the zeros in front, and is then left out.
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(1_000_000 + micros).as_bytes();
            out.extend_from_slice(digits.get(1..).unwrap_or_default());
            out.push(b'Z');
        }
    }
}

/// Writes an event as serde does. The two that a step without trouble leads to are most of any journal,
/// and need no escaping: they are put together by hand, which is several times as fast.
fn push_event(out: &mut Vec<u8>, event: &Event) {
    let (kind, step) = match event {
        Event::StepStarted { step, attempt: 1, mode: Mode::Perform, basis: None } => {
            ("step_started", step)
        }
        Event::StepSucceeded {
            step,
            evidence: Evidence::Done,
            because: None,
            basis: None,
            finding: None,
        } => ("step_succeeded", step),
        other => {
            // INVARIANT: events serialise without fail: string keys, finite numbers, no custom errors.
            let written = serde_json::to_writer(out, other);
            debug_assert!(written.is_ok(), "{written:?}");
            return;
        }
    };
    for part in [r#"{"type":""#, kind, r#"","step":{"n":"#] {
        out.extend_from_slice(part.as_bytes());
    }
    push_decimal(out, step.index.into());
    for part in [r#","id":""#, step.id.as_str(), r#""}}"#] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn push_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_digest(out: &mut Vec<u8>, state: StateDigest) {
    let nibbles = state.bits().to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    out.extend(nibbles.map(|nibble| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }));
}

/// The digest as it is written, and no other way: a record is one text.
pub(super) fn parse_digest(text: &str) -> Option<StateDigest> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let well = text.len() == 16 && text.bytes().all(digit);
    well.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(StateDigest::from_bits)
}

/// What the first record of every run is chained to.
pub(super) fn origin() -> Digest {
    Digest::of(DOMAIN)
}

/// The hash of a record behind one with the hash `prev`.
fn hash(prev: Digest, bytes: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(prev.as_bytes());
    hasher.update(bytes);
    Digest::from_bytes(hasher.finalize().into())
}

/// The stored form, decoded in two stages: first the envelope, then the event. What it does not know it
/// refuses: to leave it out would be to read another record than was written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<'a> {
    v: u16,
    run: RunId,
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) at: Timestamp,
    #[serde(default)]
    pub(super) state: Option<&'a str>,
    #[serde(borrow)]
    pub(super) event: &'a RawValue,
}

/// Opens record `seq` of `run` behind one with the hash `prev`.
pub(super) fn open<'a>(
    run: &RunId,
    record: &'a Record,
    seq: u64,
    prev: Digest,
) -> Result<Envelope<'a>, DamageKind> {
    chained(record, seq, prev)?;
    envelope(run, record, seq)
}

/// Whether it is what was written behind that record.
fn chained(record: &Record, seq: u64, prev: Digest) -> Result<(), DamageKind> {
    let found = hash(prev, &record.bytes);
    if found == record.hash {
        return Ok(());
    }
    Err(if record.seq == seq {
        DamageKind::Changed { stored: record.hash, found }
    } else {
        DamageKind::Unchained
    })
}

fn envelope<'a>(run: &RunId, record: &'a Record, seq: u64) -> Result<Envelope<'a>, DamageKind> {
    let envelope: Envelope<'_> = serde_json::from_slice(&record.bytes).map_err(unreadable)?;
    if envelope.v != JOURNAL_VERSION {
        return Err(DamageKind::UnsupportedVersion(envelope.v));
    }
    if envelope.run != *run
        || envelope.seq != seq
        || record.seq != seq
        || envelope.epoch != record.epoch
    {
        let found =
            format!("record {} of `{}`, epoch {}", envelope.seq, envelope.run, envelope.epoch);
        return Err(DamageKind::Misplaced { found });
    }
    Ok(envelope)
}

#[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
pub(super) fn unreadable(error: serde_json::Error) -> DamageKind {
    DamageKind::Unreadable { problem: error.to_string() }
}

/// The verified records of a run, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    run: RunId,
    facts: Vec<Fact>,
    hashes: Vec<Digest>,
    /// The digests of states that were stored, by the sequence of their record.
    states: Vec<(u64, StateDigest)>,
    epoch: u64,
}

impl History {
    /// Verifies the chain of `records` and decodes them.
    ///
    /// # Errors
    /// [`Damage`] names the first record that is not what was written.
    pub fn verify(run: &RunId, records: &[Record]) -> Result<Self, Damage> {
        let (facts, hashes) =
            (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
        let mut history = Self { run: run.clone(), facts, hashes, states: Vec::new(), epoch: 0 };
        let mut quick = Quick::new(run);
        for (record, seq) in records.iter().zip(1_u64..) {
            let damaged = |kind| Damage { run: run.clone(), seq, kind };
            let (fact, state) = history.check(&mut quick, record, seq).map_err(damaged)?;
            history.facts.push(fact);
            history.states.extend(state.map(|state| (seq, state)));
            history.hashes.push(record.hash);
            history.epoch = record.epoch;
        }
        if history.facts.is_empty() {
            return Err(Damage { run: run.clone(), seq: 1, kind: DamageKind::Empty });
        }
        Ok(history)
    }

    fn check(
        &self,
        quick: &mut Quick,
        record: &Record,
        seq: u64,
    ) -> Result<(Fact, Option<StateDigest>), DamageKind> {
        chained(record, seq, self.head())?;
        if let Some(read) = quick.read(&record.bytes)
            && [read.seq, record.seq] == [seq; 2]
            && [read.epoch, record.epoch] == [self.epoch; 2]
        {
            return Ok((read.fact, read.state));
        }
        let envelope = envelope(&self.run, record, seq)?;
        if envelope.epoch < self.epoch {
            return Err(DamageKind::Misplaced {
                found: format!("of the fenced epoch {}", envelope.epoch),
            });
        }
        let event = serde_json::from_str(envelope.event.get()).map_err(unreadable)?;
        // An epoch begins with the record that says who took the run over.
        let same = envelope.epoch == self.epoch || self.facts.is_empty();
        if !same && !matches!(event, Event::TakenOver { .. }) {
            return Err(DamageKind::Misplaced {
                found: format!("of epoch {}, in which nobody took the run over", envelope.epoch),
            });
        }
        let state = envelope.state.map(|text| {
            let problem = || format!("`state` is `{text}`, not 16 hexadecimal digits");
            parse_digest(text).ok_or_else(|| DamageKind::Unreadable { problem: problem() })
        });
        Ok((Fact { at: envelope.at, event }, state.transpose()?))
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
    pub fn head(&self) -> Digest {
        self.hashes.last().copied().unwrap_or_else(origin)
    }

    /// The hashes of the records, in order.
    pub fn hashes(&self) -> &[Digest] {
        &self.hashes
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

    /// The digests of states that were stored, with the sequence of their record: of the last record of
    /// every batch, but for journals of before there were any.
    pub fn digests(&self) -> &[(u64, StateDigest)] {
        &self.states
    }

    /// The state after all records, or after the first `until` of them (time travel). Wherever the digest
    /// of a state was stored, the state has it.
    ///
    /// # Errors
    /// [`Damage`] names the first record that cannot be, or that leads to another state than it led its
    /// writer to.
    pub fn state(&self, plan: FrozenPlan, until: Option<usize>) -> Result<RunState, Damage> {
        let count = until.unwrap_or(self.facts.len()).min(self.facts.len());
        let mut facts = self.facts.iter().take(count).zip(1_u64..);
        let Some((first, _)) = facts.next() else {
            return Err(self.damage(1, IllegalTransition::NotCreated));
        };
        let mut state = RunState::create(self.run.clone(), plan, first)
            .map_err(|illegal| self.damage(1, illegal))?;
        let mut digests = self.states.iter().copied().peekable();
        self.compare(&state, digests.next_if(|(seq, _)| *seq == 1))?;
        for (fact, seq) in facts {
            state.evolve(fact.at, &fact.event).map_err(|illegal| self.damage(seq, illegal))?;
            self.compare(&state, digests.next_if(|(known, _)| *known == seq))?;
        }
        Ok(state)
    }

    fn compare(&self, state: &RunState, stored: Option<(u64, StateDigest)>) -> Result<(), Damage> {
        match stored.map(|(seq, stored)| (seq, stored, state.digest())) {
            Some((seq, stored, found)) if stored != found => {
                let kind = DamageKind::Diverged { stored, found };
                Err(Damage { run: self.run.clone(), seq, kind })
            }
            _ => Ok(()),
        }
    }

    fn damage(&self, seq: u64, illegal: IllegalTransition) -> Damage {
        Damage { run: self.run.clone(), seq, kind: DamageKind::Illegal(illegal) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Basis, Grant};
    use crate::run::StepRef;

    #[test]
    fn events_are_written_as_serde_does() {
        for (index, id) in [(0, "a"), (u32::MAX, "eu/prod/pay.ments_1/weight-20")] {
            let step = StepRef { index, id: id.parse().unwrap() };
            let mut events = vec![];
            for (attempt, mode) in [(1, Mode::Perform), (u32::MAX, Mode::Perform), (7, Mode::Look)]
            {
                for basis in [None, Basis::of(vec![Grant::of("a")], None)] {
                    let step = step.clone();
                    events.push(Event::StepStarted { step, attempt, mode, basis });
                }
            }
            let done = |evidence, because| {
                let (step, basis, finding) = (step.clone(), None, None);
                Event::StepSucceeded { step, evidence, because, basis, finding }
            };
            events.push(done(Evidence::Done, None));
            events.push(done(Evidence::Done, Some("\"quoted\"\n".to_owned())));
            events.push(done(Evidence::Artifact { digest: Digest::of(b"x"), bytes: 1 }, None));
            for event in events {
                let mut out = Vec::new();
                push_event(&mut out, &event);
                assert_eq!(out, serde_json::to_vec(&event).unwrap());
            }
        }
    }

    #[test]
    fn instants_are_written_as_they_display() {
        let mut texts = InstantText::default();
        let micros = [
            0,
            1,
            999_999,
            1_000_000,
            -1,
            1_795_000_000_123_456,
            1_795_000_000_123_457,
            i64::MAX,
            i64::MIN,
            5,
        ];
        for at in micros.map(Timestamp::from_micros) {
            let mut out = Vec::new();
            texts.write(at, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), at.to_string());
        }
    }
}
