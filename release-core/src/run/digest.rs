//! A digest of the state, which stands in the records: a replay that comes to another state is found at
//! the first batch at which it does.
//!
//! It is a function of the state alone, not of the way there: a later release may come to the same state
//! by other code. What there is many of (steps, gates) is kept as sums of 64-bit hashes, one for each
//! element that is not as it was in the beginning, so that an event costs what it changes, whatever the
//! size of the plan. The hash is no cryptographic one. It need not be: it guards against faults of
//! software; forgeries are the hash chain's business, which covers it.
//!
//! What is stored depends on every number in this file. It is never changed: another digest gets another
//! field in the records.

use std::collections::BTreeMap;
use std::fmt;

use super::event::{Cause, Mode, Outcome, WakeUp};
use super::gates::{GateState, Given};
use super::left::Left;
use super::measured::{Measured, Rows};
use super::signal;
use super::state::{Active, Phase, RunState, Status, Wait};
use crate::ids::{GateId, RegionId, ServiceId, StepId};
use crate::model::{Principal, PrincipalKind, RollbackScope};
use crate::plan::Part;
use crate::time::Timestamp;

/// The digest of a run's state after a record: 64 bits, written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateDigest(u64);

impl StateDigest {
    /// Wraps 64 bits that were stored.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateDigest({self})")
    }
}

/// Hashes words, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mix(u64);

impl Mix {
    pub(super) const fn new(tag: u64) -> Self {
        Self(tag.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[must_use]
    pub(super) const fn word(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self(mixed ^ (mixed >> 32))
    }

    #[must_use]
    pub(super) fn at(self, at: Timestamp) -> Self {
        self.word(at.as_micros().cast_unsigned())
    }

    #[must_use]
    pub(super) fn text(self, text: &str) -> Self {
        let word = |part: &[u8]| part.iter().rev().fold(0, |word, b| (word << 8) | u64::from(*b));
        let start = self.word(text.len() as u64);
        text.as_bytes().chunks(8).fold(start, |mix, part| mix.word(word(part)))
    }

    #[must_use]
    pub(super) fn principal(self, by: &Principal) -> Self {
        let kind = match by.kind {
            PrincipalKind::Human => 1,
            PrincipalKind::Service => 2,
        };
        let start = self.text(by.id.as_str()).word(kind).word(by.roles.len() as u64);
        by.roles.iter().fold(start, |mix, role| mix.text(role.as_str()))
    }

    /// Spreads the last words over all bits.
    pub(super) const fn end(self) -> u64 {
        spread(self.0)
    }
}

/// Spreads a word over all bits (the finaliser of `SplitMix64`, Steele et al., OOPSLA 2014).
pub(crate) const fn spread(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

// What an element is; never used for anything else.
const STATUS: u64 = 1;
const WAITS: u64 = 2;
const ACTIVE: u64 = 3;
const SPENT: u64 = 4;
const GENERATION: u64 = 5;
const GATE: u64 = 6;
const BEGAN: u64 = 7;
const STATE: u64 = 8;
pub(super) const READING: u64 = 9;
const SIGNALS: u64 = 10;
const SETTLED: u64 = 11;
const ENTERED: u64 = 12;

/// What a step that stands so adds to the sum: nothing as long as it is as in the beginning.
const fn status_hash(index: u32, status: Status) -> u64 {
    let number = match status {
        Status::Pending => return 0,
        Status::Ready => 1,
        Status::Waiting => 2,
        Status::Running => 3,
        Status::Succeeded => 4,
        Status::Failed => 5,
        Status::Cancelled => 6,
        Status::Compensated => 7,
    };
    Mix::new(STATUS).word(((index as u64) << 8) | number).end()
}

/// The same of a step that came to some end; nothing of all others.
const fn ended_hash(index: u32, status: Status) -> u64 {
    match status {
        Status::Pending | Status::Ready | Status::Waiting | Status::Running => 0,
        Status::Succeeded | Status::Failed | Status::Cancelled | Status::Compensated => {
            status_hash(index, status)
        }
    }
}

/// What was entered last, behind all that had been before: part of no digest.
pub(super) fn entered_hash(
    before: u64,
    (region, service): (&RegionId, Option<&ServiceId>),
    at: Timestamp,
) -> u64 {
    let mix = Mix::new(ENTERED).word(before).text(region.as_str()).at(at);
    service.map_or(mix, |service| mix.text(service.as_str())).end()
}

/// What each predecessor that is done adds for the step behind it.
const fn wait_hash(index: u32) -> u64 {
    Mix::new(WAITS).word(index as u64).end()
}

pub(super) fn active_hash(index: u32, active: &Active) -> u64 {
    let Active { attempt, failures, since, measured, wait, reasons, error } = active;
    let Measured { good, bad, inconclusive, undetermined, rows, memory } = measured;
    let mut mix = Mix::new(ACTIVE)
        .word(u64::from(index) << 32 | u64::from(*attempt))
        .word(u64::from(*failures))
        .at(*since)
        .word(u64::from(*good))
        .word(u64::from(*bad))
        .word(u64::from(*inconclusive));
    // Not for runs from before there was such a thing: their digests stay.
    if let Some(Rows { good, no_data, all }) = rows {
        let words = [good, no_data, all].map(|count| u64::from(*count));
        mix = words.into_iter().fold(mix, Mix::word);
    }
    if let Some(memory) = memory {
        mix = memory.words().fold(mix.word(u64::from(*undetermined)), Mix::word);
    }
    mix = match wait {
        Wait::Outcome { deadline, mode: Mode::Perform } => mix.word(1).at(*deadline),
        Wait::Outcome { deadline, mode: Mode::Look } => mix.word(2).at(*deadline),
        Wait::Bake { until } => mix.word(3).at(*until),
        Wait::Attempt { at } => mix.word(4).at(*at),
        Wait::Measurement { at } => mix.word(5).at(*at),
        Wait::Look { at } => mix.word(6).at(*at),
        Wait::Blocked(WakeUp::Instant { at }) => mix.word(7).at(*at),
        Wait::Blocked(WakeUp::Approval { gate }) => mix.word(8).text(gate.as_str()),
        Wait::Blocked(WakeUp::Policy) => mix.word(9),
        Wait::Blocked(WakeUp::Permit) => mix.word(11),
        Wait::Operator { unknown } => mix.word(10).word(u64::from(*unknown)),
    };
    if let Some(error) = error {
        mix = mix.text(&error.kind).text(&error.message);
    }
    for reason in reasons {
        mix = mix.text(&reason.rule).text(&reason.text).text(&reason.lifted_by);
    }
    mix.end()
}

pub(super) const fn scope(scope: Option<RollbackScope>) -> u64 {
    match scope {
        None => 0,
        Some(RollbackScope::Region) => 1,
        Some(RollbackScope::Environment) => 2,
        Some(RollbackScope::Release) => 3,
        Some(RollbackScope::Wave) => 4,
    }
}

fn cause(mix: Mix, cause: &Cause) -> Mix {
    match cause {
        Cause::StepFailed { step, scope: wanted, message } => {
            mix.word(1).word(step.index.into()).word(scope(*wanted)).text(message)
        }
        Cause::Cancelled { by, reason } => mix.word(2).principal(by).text(reason),
        Cause::Superseded { run, by, reason } => {
            mix.word(3).text(run.as_str()).principal(by).text(reason)
        }
        Cause::Signalled { signal, scope: wanted, by, reason } => {
            let mix = signal::words(mix.word(4), signal).word(scope(Some(*wanted)));
            mix.principal(by).text(reason)
        }
    }
}

fn part(mix: Mix, part: &Part) -> Mix {
    match part {
        Part::Service { service } => mix.word(1).text(service.as_str()),
        Part::Region { environment, region } => {
            mix.word(2).text(environment.as_str()).text(region.as_str())
        }
    }
}

fn left(mix: Mix, left: &Left) -> Mix {
    let open = left.open.map_or(0, |open| open as u64 + 1);
    part(mix, &left.part).text(&left.because).word(open)
}

fn phase(mix: Mix, phase: &Phase) -> Mix {
    match phase {
        Phase::Forward => mix.word(1),
        Phase::Stopping(why) => cause(mix.word(2), why),
        Phase::RollingBack(why) => cause(mix.word(3), why),
        Phase::Abandoning { by, reason } => mix.word(4).principal(by).text(reason),
        Phase::Finished(outcome) => match outcome {
            Outcome::Succeeded => mix.word(5),
            Outcome::SucceededWithout { left } => left.iter().fold(mix.word(10), part),
            Outcome::RolledBack { cause: why } => cause(mix.word(6), why),
            Outcome::Failed { cause: why } => cause(mix.word(7), why),
            Outcome::Cancelled { cause: why } => cause(mix.word(8), why),
            Outcome::Abandoned { by, reason } => mix.word(9).principal(by).text(reason),
        },
    }
}

/// An entry of a [`Tally`].
pub(super) trait Entry<V> {
    /// What it adds to the sum.
    fn hash(&self, tag: u64, value: &V) -> u64;
}

impl Entry<Self> for u32 {
    fn hash(&self, tag: u64, value: &Self) -> u64 {
        Mix::new(tag).word(u64::from(*self) << 32 | u64::from(*value)).end()
    }
}

impl Entry<Timestamp> for StepId {
    fn hash(&self, tag: u64, value: &Timestamp) -> u64 {
        Mix::new(tag).text(self.as_str()).at(*value).end()
    }
}

impl Entry<GateState> for GateId {
    fn hash(&self, tag: u64, gate: &GateState) -> u64 {
        let mut mix = Mix::new(tag).text(self.as_str()).word(gate.approvals.len() as u64);
        // When they were given, their records say: digests that are stored know nothing of it.
        for Given { by, .. } in &gate.approvals {
            mix = mix.principal(by);
        }
        gate.rejected.as_ref().map_or(mix, |text| mix.text(text)).end()
    }
}

/// A map that keeps the sum of its entries' hashes.
#[derive(Debug, Clone)]
pub(super) struct Tally<K, V, const TAG: u64> {
    map: BTreeMap<K, V>,
    sum: u64,
}

impl<K, V, const TAG: u64> Default for Tally<K, V, TAG> {
    fn default() -> Self {
        Self { map: BTreeMap::new(), sum: 0 }
    }
}

impl<K: Ord + Clone + Entry<V>, V: Default, const TAG: u64> Tally<K, V, TAG> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.map.keys()
    }

    pub(super) const fn map(&self) -> &BTreeMap<K, V> {
        &self.map
    }

    /// Changes the value of `key`, the default if there is none yet.
    pub(super) fn change(&mut self, key: &K, change: impl FnOnce(&mut V)) {
        let value = if let Some(value) = self.map.get_mut(key) {
            self.sum = self.sum.wrapping_sub(key.hash(TAG, value));
            value
        } else {
            self.map.entry(key.clone()).or_default()
        };
        change(value);
        self.sum = self.sum.wrapping_add(key.hash(TAG, value));
    }

    /// Takes an entry out of the sum, and of the map.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some(value) = self.map.remove(key) {
            self.sum = self.sum.wrapping_sub(key.hash(TAG, &value));
        }
    }

    fn recount(&self) -> u64 {
        self.map.iter().fold(0, |sum, (key, value)| sum.wrapping_add(key.hash(TAG, value)))
    }
}

/// Attempts of steps that failed for good.
pub(super) type Spent = Tally<u32, u32, SPENT>;
/// How often steps were asked for anew.
pub(super) type Generations = Tally<u32, u32, GENERATION>;
/// What was said of gates.
pub(super) type Gates = Tally<GateId, GateState, GATE>;
/// When measurements begin.
pub(super) type Began = Tally<StepId, Timestamp, BEGAN>;

/// The sums of what is kept in arrays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    statuses: u64,
    waits: u64,
    /// Of the statuses, those that are some end: part of no digest.
    ended: u64,
}

impl Sums {
    pub(super) const fn status(&mut self, index: u32, from: Status, to: Status) {
        let sum = self.statuses.wrapping_sub(status_hash(index, from));
        self.statuses = sum.wrapping_add(status_hash(index, to));
        let ended = self.ended.wrapping_sub(ended_hash(index, from));
        self.ended = ended.wrapping_add(ended_hash(index, to));
    }

    /// A predecessor of the step at `index` is done.
    pub(super) const fn waits_less(&mut self, index: u32) {
        self.waits = self.waits.wrapping_add(wait_hash(index));
    }
}

impl RunState {
    /// The digest of this state. Costs the same whatever the size of the plan.
    pub fn digest(&self) -> StateDigest {
        let tallies = [self.spent.sum, self.generations.sum, self.gates.sum, self.began.sum];
        let added = [self.notes.sum, self.readings.sum, self.signals.sum];
        self.digest_of(self.sums, self.active.sum(), tallies, added)
    }

    /// A number that says of two states of one plan whether [`is_settled`](RunState::is_settled) answers the same in both, for every step:
    /// where it is the same, so are the answers. It changes only as steps end, are given up or are put back, and as parts are left behind.
    /// Costs time in proportion to these parts. It is stored nowhere, and may be another in a later release.
    pub fn settled_mark(&self) -> u64 {
        let halted = self.halted.is_some() && !self.was_given_up();
        let mix = Mix::new(SETTLED).word(self.sums.ended).word(u64::from(halted));
        self.left.iter().fold(mix, left).end()
    }

    /// As [`RunState::digest`], counted anew from the whole state, which takes time in proportion to the
    /// plan. The two agree, unless there is a fault in this library.
    pub fn digest_recounted(&self) -> StateDigest {
        let mut sums = Sums::default();
        for ((index, status), waits) in (0..).zip(&self.status).zip(&self.waits) {
            sums.status(index, Status::Pending, *status);
            for _ in *waits..self.plan.in_degree(index) {
                sums.waits_less(index);
            }
        }
        let active = self.active.in_order().into_iter();
        let active = active.fold(0_u64, |sum, (index, a)| sum.wrapping_add(active_hash(index, a)));
        let (spent, generations) = (self.spent.recount(), self.generations.recount());
        let tallies = [spent, generations, self.gates.recount(), self.began.recount()];
        let added = [self.notes.recount(), self.readings.recount(), self.signals.recount()];
        self.digest_of(sums, active, tallies, added)
    }

    fn digest_of(
        &self,
        sums: Sums,
        active: u64,
        tallies: [u64; 4],
        added: [u64; 3],
    ) -> StateDigest {
        let [spent, generations, gates, began] = tallies;
        let [notes, readings, signals] = added;
        let flag = |set: bool, bit: u32| u64::from(set) << bit;
        let flags = flag(self.paused, 0) | flag(self.rollback_refused, 1) | flag(self.stuck, 2);
        let front = |queue: &std::collections::VecDeque<u32>| {
            (queue.len() as u64) << 32 | queue.front().copied().map_or(0, u64::from)
        };
        let plan = self.plan.digest().as_bytes().first_chunk().copied().unwrap_or_default();
        let mix = Mix::new(STATE)
            .word(u64::from_be_bytes(plan))
            .word(self.plan.len() as u64)
            .word(sums.statuses)
            .word(sums.waits)
            .word(active)
            .word(spent)
            .word(generations)
            .word(gates)
            .word(began)
            .word(front(&self.ready))
            .word(front(&self.ready_pure))
            .word(u64::from(self.in_flight) << 32 | u64::from(self.looking))
            .word(u64::from(self.held) << 32 | flags)
            .word(self.remaining as u64)
            .word(self.recoveries.into())
            .at(self.now);
        let mix = self.left.iter().fold(mix, left);
        let mix = self.halted.iter().fold(mix, cause);
        // Nothing of either for runs from before there was such a thing: their digests stay.
        let mix = if notes == 0 { mix } else { mix.word(notes) };
        let mix = if readings == 0 { mix } else { mix.word(READING).word(readings) };
        let mix = if signals == 0 { mix } else { mix.word(SIGNALS).word(signals) };
        StateDigest(phase(mix, &self.phase).end())
    }
}
