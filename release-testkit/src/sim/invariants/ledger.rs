//! What the records of a run come to, folded by the checks themselves: nothing here asks the engine's own
//! fold. It knows less, and what it knows it knows on its own.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    Digest, EnvironmentId, Gate, GateId, Principal, RollbackScope, Timestamp,
};
use release_core::plan::{Action, Edge, Extension, FrozenPlan, OnFailure, Part, Step, Undo};
use release_core::run::{Event, Fact, Mode, StepRef, Verdict, WakeUp};

/// How a step stands, as its records say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stand {
    /// Nothing was said of it.
    Idle,
    /// It was announced, and how it ended is not known.
    Open,
    /// It bakes.
    Baking,
    /// It is tried, measured or looked for again at an instant.
    Again(Timestamp),
    /// It may not start.
    Blocked(WakeUp),
    /// A person has to see to it; whether its outcome is unknown.
    Held(bool),
    /// Done as asked.
    Done,
    /// Failed, and the run goes on or ends.
    Failed,
}

/// What the run does, as its records say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Forward,
    Stopping,
    GoingBack,
    GivenUp,
    Over,
}

/// What is known of a run behind some of its records.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is what one kind of record says")]
pub(super) struct Ledger<'a> {
    pub(super) plan: FrozenPlan,
    /// What was appended, in order, each with the place of its first step.
    extensions: Vec<(u32, &'a Extension)>,
    /// Parts that are left behind.
    left: Vec<Part>,
    /// Environments in which so many regions failed that no further one begins.
    pub(super) halted: BTreeSet<EnvironmentId>,
    pub(super) stands: Vec<Stand>,
    pub(super) doing: Doing,
    pub(super) paused: bool,
    /// Whether a point of no return was found in the way back.
    pub(super) one_way: bool,
    pub(super) cancelled: bool,
    /// Whether a newer run takes its place.
    pub(super) superseded: bool,
    /// Steps of the plan that failed so that something is to be put back, and how far.
    pub(super) failures: Vec<(u32, RollbackScope)>,
    pub(super) paged: bool,
    /// Effects that are announced and not ended.
    pub(super) open: BTreeSet<u32>,
    /// Effects of which nobody knows whether they took place.
    pub(super) unknown: BTreeSet<u32>,
    /// For each step, what goes before it.
    preds: Vec<Vec<u32>>,
    pub(super) approvals: BTreeMap<GateId, Vec<Principal>>,
    pub(super) rejected: BTreeSet<GateId>,
    pub(super) attempts: BTreeMap<u32, u32>,
    /// Starts of each step since it was last asked for anew, or measured.
    pub(super) starts: BTreeMap<u32, u32>,
    /// Good measurements of each analysis since it was last asked for anew.
    pub(super) good: BTreeMap<u32, u32>,
    pub(super) takeovers: u32,
    /// Alternates that were chosen, by step.
    pub(super) alternates: BTreeMap<u32, &'a Action>,
}

/// Folds all facts of a run, and shows each with what was known before it.
pub(super) fn walk<'a>(
    plan: &'a FrozenPlan,
    facts: &'a [Fact],
    mut look: impl FnMut(&Ledger<'a>, &'a Fact, usize),
) -> Ledger<'a> {
    let mut ledger = Ledger::new(plan);
    for (at, fact) in facts.iter().enumerate() {
        look(&ledger, fact, at);
        ledger.fold(fact);
    }
    ledger
}

impl<'a> Ledger<'a> {
    fn new(plan: &FrozenPlan) -> Self {
        let mut preds = vec![Vec::new(); plan.len()];
        add(&mut preds, plan.plan().edges(), 0);
        Self {
            plan: plan.clone(),
            preds,
            unknown: BTreeSet::new(),
            extensions: Vec::new(),
            left: Vec::new(),
            halted: BTreeSet::new(),
            stands: vec![Stand::Idle; plan.len()],
            doing: Doing::Forward,
            paused: false,
            one_way: false,
            cancelled: false,
            superseded: false,
            failures: Vec::new(),
            paged: false,
            open: BTreeSet::new(),
            approvals: BTreeMap::new(),
            rejected: BTreeSet::new(),
            attempts: BTreeMap::new(),
            starts: BTreeMap::new(),
            good: BTreeMap::new(),
            takeovers: 0,
            alternates: BTreeMap::new(),
        }
    }

    /// The step at a place, those of a rollback included.
    pub(super) fn step(&self, index: u32) -> Option<&Step> {
        match self.extensions.iter().rfind(|(base, _)| *base <= index) {
            None => self.plan.plan().steps().get(index as usize),
            Some((base, extension)) => extension.steps.get((index - base) as usize),
        }
    }

    /// The rollback, if there is one, with the place of its first step.
    pub(super) fn rollback(&self) -> Option<(u32, &'a Extension)> {
        self.extensions.last().filter(|(_, extension)| extension.part.is_none()).copied()
    }

    /// Whether a step is part of what is left behind.
    pub(super) fn is_left(&self, index: u32) -> bool {
        !self.in_rollback(index)
            && self.step(index).is_some_and(|step| self.left.iter().any(|part| part.covers(step)))
    }

    /// Whether what takes the step back, with the part that it belongs to, is done.
    pub(super) fn is_taken_back(&self, index: u32) -> bool {
        let takes_back = |(base, extension): &&(u32, &Extension)| {
            let steps = u32::try_from(extension.steps.len()).unwrap_or(u32::MAX);
            extension.part.is_some()
                && extension.undoes.contains(&index)
                && (*base..base.saturating_add(steps)).all(|step| self.is_done(step))
        };
        self.extensions.iter().any(|extension| takes_back(&extension))
    }

    pub(super) fn left(&self) -> &[Part] {
        &self.left
    }

    /// What a step does now.
    pub(super) fn action(&self, index: u32) -> Option<&Action> {
        self.alternates.get(&index).copied().or_else(|| Some(&self.step(index)?.action))
    }

    pub(super) fn in_rollback(&self, index: u32) -> bool {
        index as usize >= self.plan.base_len()
    }

    pub(super) fn stand(&self, index: u32) -> &Stand {
        self.stands.get(index as usize).unwrap_or(&Stand::Idle)
    }

    /// What goes before a step and is not done.
    pub(super) fn missing(&self, index: u32) -> impl Iterator<Item = u32> {
        let preds = self.preds.get(index as usize).map(|preds| &preds[..]).unwrap_or_default();
        preds.iter().copied().filter(|before| !self.is_done(*before))
    }

    /// Whether a step is behind those that wait for it.
    pub(super) fn is_done(&self, index: u32) -> bool {
        match self.stand(index) {
            Stand::Done => true,
            stand if self.is_left(index) => *stand != Stand::Open && !self.unknown.contains(&index),
            Stand::Failed => {
                self.step(index).is_some_and(|step| step.on_failure == OnFailure::Continue)
            }
            _ => false,
        }
    }

    fn set(&mut self, step: &StepRef, stand: Stand) {
        let open = stand == Stand::Open;
        if !open {
            self.unknown.remove(&step.index);
        }
        if let Some(slot) = self.stands.get_mut(step.index as usize) {
            *slot = stand;
        }
        if open {
            self.open.insert(step.index);
        } else {
            self.open.remove(&step.index);
        }
    }

    fn fold(&mut self, fact: &'a Fact) {
        self.take(fact);
        // Of a part that is left behind, what is not under way any more is over.
        if let Some(step) = fact.event.step().filter(|step| self.is_left(step.index)) {
            let index = step.index;
            self.give_up(|_, other| other == index);
        }
    }

    fn take(&mut self, fact: &'a Fact) {
        match &fact.event {
            Event::StepStarted { step, attempt, .. } => self.started(step, *attempt),
            Event::StepSucceeded { step, .. } => self.set(step, Stand::Done),
            Event::StepMeasured { step, verdict, next, .. } => {
                self.starts.remove(&step.index);
                if *verdict == Verdict::Pass {
                    *self.good.entry(step.index).or_insert(0) += 1;
                }
                self.set(step, Stand::Again(*next));
            }
            Event::StepRetried { step, at, .. } => self.set(step, Stand::Again(*at)),
            Event::OutcomeUnknown { step, at, .. } => {
                self.set(step, Stand::Again(*at));
                self.unknown.insert(step.index);
            }
            Event::NeedsReconcile { step, .. } => {
                self.set(step, Stand::Held(true));
                self.unknown.insert(step.index); // until a person has said
            }
            Event::StepBlocked { step, wake, .. } => self.set(step, Stand::Blocked(wake.clone())),
            Event::StepFailed { step, back, hold, .. } => {
                let instead = hold.then_some(OnFailure::Hold).or(back.map(OnFailure::RollBack));
                self.failed(step, instead);
            }
            Event::AlternateChosen { step, action, at, .. } => {
                self.alternates.insert(step.index, action);
                self.starts.remove(&step.index);
                self.set(step, Stand::Again(*at));
            }
            Event::RetryRequested { step, .. } => {
                self.starts.remove(&step.index);
                self.good.remove(&step.index);
                self.asked_anew(step.index);
                self.set(step, Stand::Again(fact.at));
            }
            Event::Reconciled { step, applied, .. } => {
                self.starts.remove(&step.index);
                let stand = if *applied { Stand::Done } else { Stand::Again(fact.at) };
                self.set(step, stand);
            }
            Event::TakenOver { .. } => {
                self.takeovers += 1;
                for index in std::mem::take(&mut self.open) {
                    self.unknown.insert(index);
                    if let Some(slot) = self.stands.get_mut(index as usize) {
                        *slot = Stand::Again(fact.at);
                    }
                }
            }
            other => self.of_the_run(other),
        }
    }

    fn of_the_run(&mut self, event: &'a Event) {
        match event {
            Event::Approved { gate, by, .. } => {
                self.approvals.entry(gate.clone()).or_default().push(by.clone());
            }
            Event::ApprovalWithdrawn { gate, by, .. } => {
                self.approvals.entry(gate.clone()).or_default().retain(|one| one.id != by.id);
            }
            Event::Rejected { gate, .. } => drop(self.rejected.insert(gate.clone())),
            Event::Paused { .. } => self.paused = true,
            Event::Resumed { .. } => self.paused = false,
            Event::CancelRequested { .. } | Event::Superseded { .. } => {
                self.cancelled = true;
                self.superseded |= matches!(event, Event::Superseded { .. });
                self.doing = Doing::Stopping;
            }
            Event::Descoped { service, .. } => {
                self.left.push(Part::Service { service: service.clone() });
                self.give_up(Self::is_left);
            }
            Event::TakeBackStarted { extension, .. } => self.append(extension),
            Event::RollbackStarted { extension, .. } => {
                self.unknown.append(&mut self.open);
                self.append(extension);
                self.doing = Doing::GoingBack;
            }
            Event::RollbackBlocked { .. } => {
                self.doing = Doing::Forward;
                self.one_way = true;
            }
            Event::PlanMigrated { to, .. } => self.migrated(*to),
            Event::RollbackStuck { .. } => self.paged = true,
            Event::AbandonForced { .. } => {
                self.open.clear();
                self.doing = Doing::GivenUp;
            }
            Event::RunFinished { .. } => {
                self.open.clear();
                self.doing = Doing::Over;
            }
            _ => {}
        }
    }

    fn append(&mut self, extension: &'a Extension) {
        let base = self.stands.len();
        let shift = u32::try_from(base).unwrap_or(u32::MAX);
        self.extensions.push((shift, extension));
        self.preds.resize(base + extension.steps.len(), Vec::new());
        add(&mut self.preds, &extension.edges, shift);
        self.stands.resize(base + extension.steps.len(), Stand::Idle);
    }

    /// The places of the steps in the plan `to`, with the steps that the present plan has as well.
    pub(super) fn places_in(&self, to: &FrozenPlan) -> Vec<(u32, u32)> {
        let steps = |plan: &FrozenPlan| -> BTreeMap<_, u32> {
            plan.plan().steps().iter().map(|step| step.id.clone()).zip(0..).collect()
        };
        let (here, there) = (steps(&self.plan), steps(to));
        here.into_iter().filter_map(|(id, at)| Some((at, *there.get(&id)?))).collect()
    }

    /// Steps are the same if their ids are; approvals are void.
    fn migrated(&mut self, to: Digest) {
        let Some(plan) = self.plan.later(to) else { return };
        let places = self.places_in(&plan);
        let mut next = Self::new(&plan);
        (next.takeovers, next.paused) = (self.takeovers, self.paused);
        next.one_way = self.one_way;
        for (here, there) in places {
            if let Some(slot) = next.stands.get_mut(there as usize) {
                // What was never tried is considered anew.
                if !matches!(self.stand(here), Stand::Blocked(_))
                    || self.attempts.contains_key(&here)
                {
                    *slot = self.stand(here).clone();
                }
            }
            next.open.extend(self.open.get(&here).map(|_| there));
            next.unknown.extend(self.unknown.get(&here).map(|_| there));
            next.attempts.extend(self.attempts.get(&here).map(|n| (there, *n)));
            next.starts.extend(self.starts.get(&here).map(|n| (there, *n)));
            next.alternates.extend(self.alternates.get(&here).map(|action| (there, *action)));
        }
        *self = next;
    }

    fn started(&mut self, step: &StepRef, attempt: u32) {
        self.attempts.insert(step.index, attempt);
        *self.starts.entry(step.index).or_insert(0) += 1;
        let bakes = matches!(self.step(step.index).map(|s| &s.action), Some(Action::Bake { .. }));
        self.set(step, if bakes { Stand::Baking } else { Stand::Open });
    }

    fn failed(&mut self, step: &StepRef, instead: Option<OnFailure>) {
        let planned = self.step(step.index).map(|step| step.on_failure);
        let on_failure = instead.or(planned);
        // Once people have said to stop, what follows is what the plan says of that.
        let counts = !self.is_left(step.index) && !self.cancelled;
        if let (Some(OnFailure::RollBack(scope)), true) = (on_failure, counts) {
            self.failures.push((step.index, scope));
        }
        match on_failure {
            _ if self.is_left(step.index) => self.set(step, Stand::Failed),
            Some(OnFailure::RollBack(scope)) if self.region_failed(step.index, scope) => {
                self.set(step, Stand::Failed);
            }
            Some(OnFailure::Hold) => self.set(step, Stand::Held(false)),
            Some(OnFailure::Continue) => self.set(step, Stand::Failed),
            _ => {
                self.set(step, Stand::Failed);
                if self.doing == Doing::Forward {
                    self.doing = Doing::Stopping;
                }
            }
        }
    }

    /// Nobody waits any more in the steps that `gives_up` names, but for what is under way or may be.
    fn give_up(&mut self, gives_up: impl Fn(&Self, u32) -> bool) {
        for index in (0_u32..).take(self.plan.base_len()) {
            let waits = !matches!(self.stand(index), Stand::Open | Stand::Done | Stand::Failed);
            let over = waits && !self.unknown.contains(&index) && gives_up(self, index);
            if let Some(slot) = self.stands.get_mut(index as usize).filter(|_| over) {
                *slot = Stand::Idle;
            }
        }
    }

    /// Whether something was brought about, or tried, in the region of a step.
    fn has_begun(&self, index: u32) -> bool {
        let region = |index| {
            self.step(index)
                .and_then(|step| step.scope.place())
                .and_then(|place| place.region.as_ref().map(|region| (&place.environment, region)))
        };
        let here = region(index);
        here.is_some() && self.attempts.keys().any(|other| region(*other) == here)
    }

    /// Whether a region is left behind with this failure, while others go on.
    fn region_failed(&mut self, index: u32, scope: RollbackScope) -> bool {
        let Some(place) = self.step(index).and_then(|step| step.scope.place()) else {
            return false;
        };
        let mut lines = self.plan.plan().lines().iter();
        let line = lines.find(|line| line.environment == place.environment);
        let most = line.and_then(|line| line.stop_after);
        let (Some(most), Some(region), Doing::Forward) = (most, &place.region, self.doing) else {
            return false;
        };
        let (environment, region) = (place.environment.clone(), region.clone());
        let part = Part::Region { environment, region };
        let one_way = |step: &Step| matches!(step.undo, Undo::PointOfNoReturn { .. });
        if self.plan.plan().steps().iter().any(|step| part.covers(step) && one_way(step)) {
            return false;
        }
        let here = |part: &&Part| matches!(part, Part::Region { environment, .. } if *environment == place.environment);
        let is_last = self.left.iter().filter(here).count() + 1 >= most.get() as usize;
        if is_last && scope != RollbackScope::Region {
            return false;
        }
        if is_last {
            self.halted.insert(place.environment.clone());
        }
        self.left.push(part);
        self.give_up(Self::is_left);
        if is_last {
            self.give_up(|ledger, index| !ledger.has_begun(index));
        }
        true
    }

    /// Who asks again, asks everybody again where somebody said no.
    fn asked_anew(&mut self, index: u32) {
        let gates = self.step(index).map(|step| step.gates.clone()).unwrap_or_default();
        for gate in gates {
            if let Gate::Approval(approval) = gate
                && self.rejected.remove(&approval.id)
            {
                self.approvals.remove(&approval.id);
            }
        }
    }
}

/// Adds edges, whose ends are shifted, to the lists of what goes before what.
fn add(preds: &mut [Vec<u32>], edges: &[Edge], shift: u32) {
    for edge in edges {
        if let Some(preds) = preds.get_mut((edge.to + shift) as usize) {
            preds.push(edge.from + shift);
        }
    }
}

/// Whether an event lets a step act, as opposed to looking.
pub(super) fn acts(event: &Event) -> Option<&StepRef> {
    match event {
        Event::StepStarted { step, mode: Mode::Perform, .. } => Some(step),
        _ => None,
    }
}
