//! What follows from what happened: who has which permits, who waits, what was used up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::{Limit, Limits};
use super::event::{Claim, Class, LedgerEvent, Request, Unit, Want};
use crate::ids::{LimitId, RunId, TeamId};
use crate::time::{Span, Timestamp};

/// Who has which permits and who waits: a fold of [`LedgerEvent`]s, by [`Ledger::evolve`] alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    pub(super) now: Timestamp,
    pub(super) limits: Limits,
    /// In the order in which they came.
    pub(super) waiting: Vec<Waiting>,
    /// By run and unit.
    pub(super) permits: Vec<Permit>,
    pub(super) books: BTreeMap<LimitId, Book>,
    /// What counts of each quota, in order.
    pub(super) charges: BTreeMap<LimitId, Vec<Charge>>,
    /// The newest writer of each run that was driven on, and since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    writers: BTreeMap<RunId, (u64, Timestamp)>,
}

/// A request that waits, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) since: Timestamp,
    pub(super) request: Request,
}

/// What a run has, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The run.
    pub run: RunId,
    /// For what.
    pub unit: Unit,
    /// Of these limits.
    pub limits: Vec<LimitId>,
    /// The step that asked for it.
    pub claim: Claim,
    /// The team.
    pub team: Option<TeamId>,
    /// How urgent it was.
    pub class: Class,
    /// Since when.
    pub since: Timestamp,
    /// The epoch of the run's writer.
    pub epoch: u64,
    /// The engine that drives the run.
    pub engine: String,
    /// Whether that engine knows of it. Until then nothing can be under way.
    pub taken: bool,
}

/// What is remembered of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Book {
    /// How many permits are held.
    pub(super) held: u32,
    /// Held by teams; none for those without a team.
    pub(super) teams: BTreeMap<String, u32>,
    /// The virtual time: the start tag of the last grant.
    pub(super) clock: u64,
    /// The finish tag of each team's last grant.
    pub(super) finish: BTreeMap<String, u64>,
    /// How many permits were given back, and how long they were held together, in microseconds.
    pub(super) over: u64,
    pub(super) micros: u64,
}

/// One use of a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Charge {
    pub(super) at: Timestamp,
    pub(super) run: RunId,
    pub(super) unit: Unit,
}

/// How long it is remembered at least who drives a run on.
const REMEMBERED: Span = Span::secs(7 * 86_400);

/// What one grant of weight 1 costs in virtual time.
const COST: u64 = 1 << 32;

fn flow(team: Option<&TeamId>) -> &str {
    team.map_or("", TeamId::as_str)
}

impl Book {
    /// The tag of a team's next grant: what it had so far by weight, but no credit for having been idle.
    pub(super) fn start(&self, team: Option<&TeamId>) -> u64 {
        self.finish.get(flow(team)).copied().unwrap_or(0).max(self.clock)
    }

    pub(super) fn team(&self, team: Option<&TeamId>) -> u32 {
        self.teams.get(flow(team)).copied().unwrap_or(0)
    }

    fn take(&mut self, team: Option<&TeamId>, weight: Option<u32>) {
        self.held = self.held.saturating_add(1);
        let held = self.teams.entry(flow(team).to_owned()).or_insert(0);
        *held = held.saturating_add(1);
        // What bypasses the queue costs nobody their turn.
        if let Some(weight) = weight {
            let start = self.start(team);
            self.clock = start;
            let finish = start.saturating_add(COST / u64::from(weight.max(1)));
            self.finish.insert(flow(team).to_owned(), finish);
        }
    }

    fn give_back(&mut self, team: Option<&TeamId>, held: Span) {
        self.held = self.held.saturating_sub(1);
        if let Some(count) = self.teams.get_mut(flow(team)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.teams.remove(flow(team));
            }
        }
        let micros = u64::try_from(held.as_duration().as_micros()).unwrap_or(u64::MAX);
        self.over = self.over.saturating_add(1);
        self.micros = self.micros.saturating_add(micros);
    }
}

/// How a step stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not asked, or gave back what it had.
    Unknown,
    /// It waits.
    Waiting,
    /// Another engine found that it may start, and its own has not taken that yet.
    Offered,
    /// It may start.
    Granted,
}

/// An event that cannot follow: the ledger is not what was written, or two engines wrote at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalEntry {
    /// A grant for which nobody asked.
    #[error("{0} was granted what it did not ask for")]
    NotRequested(Claim),
    /// A permit beyond what there is, rollbacks included.
    #[error("{claim} was granted a permit of `{limit}`, of which there was none left")]
    Exceeded {
        /// Who got it.
        claim: Claim,
        /// Of which limit.
        limit: LimitId,
    },
    /// An offer that there is not.
    #[error("{0} takes what it was not offered")]
    NotOffered(Claim),
    /// A stream that begins twice, or that goes on behind its end.
    #[error("the ledger has `{0}` where it cannot be")]
    Misplaced(&'static str),
}

impl Ledger {
    /// An empty ledger, which limits nothing until it is told its limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// The limits that hold.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The instant of the last event. Decision time never goes back behind it.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// All permits, in the order of runs and units.
    pub fn permits(&self) -> &[Permit] {
        &self.permits
    }

    /// How many requests wait.
    pub const fn queue_len(&self) -> usize {
        self.waiting.len()
    }

    /// The requests that wait, in the order in which they came.
    pub fn queue(&self) -> impl Iterator<Item = &Request> {
        self.waiting.iter().map(|waiting| &waiting.request)
    }

    /// How many permits of a limit are held.
    pub fn held(&self, limit: &LimitId) -> u32 {
        self.books.get(limit).map_or(0, |book| book.held)
    }

    /// What a run has for `unit`.
    pub fn permit(&self, run: &RunId, unit: &Unit) -> Option<&Permit> {
        self.place(run, unit).ok().and_then(|at| self.permits.get(at))
    }

    /// All that a run has permits for.
    pub fn units_of(&self, run: &RunId) -> Vec<Unit> {
        let permits = self.permits.iter().filter(|permit| permit.run == *run);
        permits.map(|permit| permit.unit.clone()).collect()
    }

    /// Whether a later writer than that of `epoch` drives a run on: what that asks for comes too late.
    pub fn is_fenced(&self, run: &RunId, epoch: u64) -> bool {
        self.writers.get(run).is_some_and(|(newest, _)| *newest > epoch)
    }

    /// Whether a run has something that outlasts its steps.
    pub(super) fn has_begun(&self, run: &RunId) -> bool {
        let first = self.permits.partition_point(|permit| permit.run < *run);
        let own = self.permits.iter().skip(first).take_while(|permit| permit.run == *run);
        own.map(|permit| &permit.unit).any(Unit::outlasts_steps)
    }

    /// What was given for what this step asked.
    pub fn units_for(&self, claim: &Claim) -> Vec<Unit> {
        let permits = self.permits.iter().filter(|permit| permit.claim == *claim);
        permits.map(|permit| permit.unit.clone()).collect()
    }

    /// How a step stands.
    pub fn standing(&self, claim: &Claim, wants: &[Want]) -> Standing {
        if self.waiting.iter().any(|waiting| waiting.request.claim == *claim) {
            return Standing::Waiting;
        }
        let mut all = wants.iter().map(|want| self.permit(&claim.run, &want.unit));
        // What another step of the run got, that one takes.
        let taken = |permit: &Permit| permit.taken || permit.claim != *claim;
        match all.try_fold(true, |all, permit| permit.map(|permit| all && taken(permit))) {
            None => Standing::Unknown,
            Some(true) => Standing::Granted,
            Some(false) => Standing::Offered,
        }
    }

    fn place(&self, run: &RunId, unit: &Unit) -> Result<usize, usize> {
        self.permits.binary_search_by(|permit| (&permit.run, &permit.unit).cmp(&(run, unit)))
    }

    /// What a request needs beyond what its run has.
    pub(super) fn missing<'a>(&self, request: &'a Request) -> impl Iterator<Item = &'a Want> {
        request.wants.iter().filter(|want| self.permit(&request.claim.run, &want.unit).is_none())
    }

    /// The limit of this name, if it is still one.
    pub(super) fn limit(&self, id: &LimitId) -> Option<(&Limit, Option<&Book>)> {
        self.limits.limit(id).map(|limit| (limit, self.books.get(id)))
    }

    /// What was charged to a quota and counts at `now`.
    pub(super) fn charged(&self, quota: &LimitId, now: Timestamp) -> &[Charge] {
        let all = self.charges.get(quota).map_or(&[][..], Vec::as_slice);
        let Some(quota) = self.limits.quota(quota) else { return &[] };
        let start = quota.window.start(now);
        let old = all.partition_point(|charge| charge.at < start);
        all.get(old..).unwrap_or_default()
    }

    /// Folds one event that happened at `at` into the ledger.
    ///
    /// # Errors
    /// [`IllegalEntry`] when the event cannot follow; the ledger is then as before.
    pub fn evolve(&mut self, at: Timestamp, event: &LedgerEvent) -> Result<(), IllegalEntry> {
        let at = at.max(self.now);
        match event {
            LedgerEvent::Opened { .. } if *self != Self::default() => {
                return Err(IllegalEntry::Misplaced("opened"));
            }
            LedgerEvent::Opened { carried: Some(carried) } => {
                *self = (**carried).clone();
                self.writers.retain(|_, (_, since)| since.plus(REMEMBERED) > at);
            }
            LedgerEvent::Opened { carried: None }
            | LedgerEvent::Renewed { .. }
            | LedgerEvent::Closed { .. } => {}
            LedgerEvent::Configured { limits } => self.limits = limits.clone(),
            LedgerEvent::Requested { request } => self.requested(at, request),
            LedgerEvent::Granted { claim, by } => self.granted(at, claim, by)?,
            LedgerEvent::Taken { claim } => {
                let mut offered = self.permits.iter_mut().filter(|p| p.claim == *claim).peekable();
                if offered.peek().is_none() {
                    return Err(IllegalEntry::NotOffered(claim.clone()));
                }
                offered.for_each(|permit| permit.taken = true);
            }
            LedgerEvent::Withdrawn { claim, epoch } => {
                let gone = |request: &Request| request.claim == *claim && request.epoch <= *epoch;
                self.waiting.retain(|waiting| !gone(&waiting.request));
            }
            LedgerEvent::Released { run, units, epoch, .. } => {
                for unit in units {
                    self.give_back(at, |permit| {
                        permit.run == *run && permit.unit == *unit && permit.epoch <= *epoch
                    });
                }
            }
            LedgerEvent::Adopted { run, epoch, engine } => {
                self.writes(at, run, *epoch);
                self.adopted(run, *epoch, engine);
            }
            LedgerEvent::Reclaimed { request } => {
                self.writes(at, &request.claim.run, request.epoch);
                for want in self.missing(request).cloned().collect::<Vec<_>>() {
                    self.give(at, request, want, &request.engine);
                }
            }
            LedgerEvent::ForceReleased { run, .. } => self.give_back(at, |p| p.run == *run),
        }
        self.now = at;
        Ok(())
    }

    fn writes(&mut self, at: Timestamp, run: &RunId, epoch: u64) {
        let writer = self.writers.entry(run.clone()).or_default();
        *writer = (writer.0.max(epoch), at);
    }

    /// The same claim of a later writer of the run takes the place of the earlier one.
    fn requested(&mut self, at: Timestamp, request: &Request) {
        let same = |waiting: &&mut Waiting| waiting.request.claim == request.claim;
        match self.waiting.iter_mut().find(same) {
            Some(waiting) if waiting.request.epoch <= request.epoch => {
                waiting.request = request.clone();
            }
            Some(_) => {}
            None => self.waiting.push(Waiting { since: at, request: request.clone() }),
        }
    }

    fn granted(&mut self, at: Timestamp, claim: &Claim, by: &str) -> Result<(), IllegalEntry> {
        let place = self.waiting.iter().position(|waiting| waiting.request.claim == *claim);
        let Some(place) = place else { return Err(IllegalEntry::NotRequested(claim.clone())) };
        let request = self.waiting.get(place).map(|waiting| waiting.request.clone());
        let Some(request) = request else { return Ok(()) };
        let missing: Vec<Want> = self.missing(&request).cloned().collect();
        let full = |limit: &Limit| self.held(&limit.id) >= limit.most();
        #[cfg(planted_bugs)]
        let full = |l: &Limit| full(l) && !crate::planted::is(crate::planted::Bug::GrantOneMore);
        for id in missing.iter().flat_map(|want| &want.limits) {
            if self.limits.limit(id).is_some_and(full) {
                return Err(IllegalEntry::Exceeded { claim: claim.clone(), limit: id.clone() });
            }
        }
        self.waiting.remove(place);
        for want in missing {
            self.give(at, &request, want, by);
        }
        Ok(())
    }

    fn give(&mut self, at: Timestamp, request: &Request, want: Want, by: &str) {
        let run = &request.claim.run;
        for id in &want.limits {
            let weight = self.limits.limit(id).map_or(1, |l| l.weight(request.team.as_ref()));
            let weight = (request.class != Class::Rollback).then_some(weight);
            self.books.entry(id.clone()).or_default().take(request.team.as_ref(), weight);
        }
        for id in &want.quotas {
            let Some(quota) = self.limits.quota(id) else { continue };
            #[cfg(planted_bugs)]
            if crate::planted::is(crate::planted::Bug::ForgetQuota) {
                continue;
            }
            let start = quota.window.start(at);
            let charges = self.charges.entry(id.clone()).or_default();
            charges.retain(|charge| charge.at >= start);
            // What was begun and goes on is one use.
            if !charges.iter().any(|charge| charge.run == *run && charge.unit == want.unit) {
                charges.push(Charge { at, run: run.clone(), unit: want.unit.clone() });
            }
        }
        let Err(place) = self.place(run, &want.unit) else { return };
        let permit = Permit {
            run: run.clone(),
            unit: want.unit,
            limits: want.limits,
            claim: request.claim.clone(),
            team: request.team.clone(),
            class: request.class,
            since: at,
            epoch: request.epoch,
            engine: request.engine.clone(),
            taken: request.engine == by,
        };
        self.permits.insert(place, permit);
    }

    fn give_back(&mut self, at: Timestamp, over: impl Fn(&Permit) -> bool) {
        for permit in self.permits.extract_if(.., |permit| over(permit)) {
            for id in &permit.limits {
                if let Some(book) = self.books.get_mut(id) {
                    book.give_back(permit.team.as_ref(), at.since(permit.since));
                }
            }
        }
    }

    fn adopted(&mut self, run: &RunId, epoch: u64, engine: &str) {
        self.waiting
            .retain(|waiting| waiting.request.claim.run != *run || waiting.request.epoch >= epoch);
        for permit in self.permits.iter_mut().filter(|p| p.run == *run && p.epoch < epoch) {
            (permit.epoch, permit.taken) = (epoch, true);
            engine.clone_into(&mut permit.engine);
        }
    }
}
