//! What a run has of the platform's limits: what its decider is told, and what it has to ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::event::{Event, WakeUp};
use super::state::{RunState, Status, Wait};
use crate::ids::{StepId, TeamId};
use crate::limits::{Claim, Class, Limits, Subject, Unit, Want};
use crate::model::Priority;
use crate::port::Reason;

/// What a run has of the platform's limits, beside its state. Not journaled with the run: the ledger
/// has it.
#[derive(Debug, Clone)]
pub struct Permits {
    limits: Arc<Limits>,
    providers: BTreeMap<StepId, String>,
    /// What it has, and the step that it was last needed for.
    held: BTreeMap<Unit, u32>,
    /// Steps that asked, and why they wait, as far as that is known.
    asked: BTreeMap<u32, (Claim, Vec<Reason>)>,
    /// Steps that wait for permits and have not asked: there was no place for them when they had them.
    parked: BTreeSet<u32>,
    /// How many steps of what outlasts steps are not over.
    left: BTreeMap<Unit, u32>,
}

/// How something that outlasts its steps stands.
#[derive(Debug, Default)]
struct Lasting {
    /// Whether some of its steps are not over.
    goes_on: bool,
    /// The first of its steps that has begun.
    begun: Option<(u32, Want)>,
}

/// What a run has to tell the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// What it needs no more.
    pub release: Vec<Unit>,
    /// Who waits no more.
    pub withdraw: Vec<Claim>,
    /// Steps that ask.
    pub ask: Vec<u32>,
}

impl Permits {
    /// For a run that has nothing yet.
    pub fn new(limits: Arc<Limits>) -> Self {
        let (providers, held, asked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { limits, providers, held, asked, parked: BTreeSet::new(), left: BTreeMap::new() }
    }

    /// Who performs a step, where a limit asks for it.
    pub fn provided(&mut self, step: StepId, provider: String) {
        self.providers.insert(step, provider);
    }

    /// What the step at `index` needs; empty when nothing limits it.
    pub fn wants(&self, state: &RunState, index: u32) -> Vec<Want> {
        self.limits.wants(&Subject {
            step: state.plan.step(index),
            provider: self.providers.get(&state.plan.step(index).id).map(String::as_str),
            generation: state.generation(index),
            rollback: state.plan.in_rollback(index),
        })
    }

    /// Why the step at `index` may not start yet, if it lacks permits.
    pub(super) fn lacking(&self, state: &RunState, index: u32) -> Option<Vec<Reason>> {
        let wants = self.wants(state, index);
        let mut missing =
            wants.iter().filter(|want| !self.held.contains_key(&want.unit)).peekable();
        missing.peek()?;
        if let Some((_, reasons)) = self.asked.get(&index).filter(|(_, why)| !why.is_empty()) {
            return Some(reasons.clone());
        }
        let reason = |kind: &str, id: &crate::ids::LimitId| {
            let rule = format!("{kind}/{id}");
            Reason::new(rule, "it asks for a permit", "the ledger of permits, which answers")
        };
        let each = |want: &Want| {
            let limits = want.limits.iter().map(|id| reason("limit", id));
            limits.chain(want.quotas.iter().map(|id| reason("quota", id))).collect::<Vec<_>>()
        };
        Some(missing.flat_map(each).collect())
    }

    /// What the run must have as its own records say, and the step that it is for: what may be under way,
    /// and what was begun and outlasts its steps.
    pub fn in_use(&self, state: &RunState) -> Vec<(u32, Want)> {
        let mut lasting: BTreeMap<Unit, Lasting> = BTreeMap::new();
        let mut all = Vec::new();
        for index in 0..u32::try_from(state.plan.len()).unwrap_or(u32::MAX) {
            let over = state.status(index).is_none_or(is_over);
            let begun = has_begun(state, index);
            for want in self.wants(state, index) {
                if want.unit.outlasts_steps() {
                    let lasting = lasting.entry(want.unit.clone()).or_default();
                    lasting.goes_on |= !over;
                    if begun {
                        lasting.begun.get_or_insert((index, want));
                    }
                } else if acts(state, index) {
                    all.push((index, want));
                }
            }
        }
        all.extend(lasting.into_values().filter(|unit| unit.goes_on).filter_map(|unit| unit.begun));
        all
    }

    /// Who asks for the step at `index`, for which team, and how urgently.
    pub fn claim(&self, state: &RunState, index: u32) -> (Claim, Option<TeamId>, Class) {
        let step = state.plan.step(index);
        let generation = state.generation(index);
        let claim = Claim { run: state.run.clone(), step: step.id.clone(), generation };
        let class = match state.plan.plan().priority() {
            _ if state.plan.in_rollback(index) => Class::Rollback,
            Priority::Hotfix => Class::Hotfix,
            Priority::Normal => Class::Normal,
        };
        (claim, step.scope.place().and_then(|place| place.team.clone()), class)
    }

    /// The run has this already, as the ledger says.
    pub fn has(&mut self, unit: Unit) {
        self.held.insert(unit, u32::MAX);
    }

    /// The step at `index` got what `claim` asked for. What nobody waits for is told back.
    pub fn granted(&mut self, state: &RunState, index: u32, claim: &Claim) {
        let asked = self.asked.get(&index).is_some_and(|(asked, _)| asked == claim);
        for want in self.wants(state, index) {
            self.held.entry(want.unit).or_insert(index);
        }
        if asked {
            self.asked.remove(&index);
            self.parked.insert(index); // unless it starts now
        } else {
            // Of another generation: it has what that asked for as well, and gives it back.
            let (step, generation) = (claim.step.clone(), claim.generation);
            self.held.entry(Unit::Step { step, generation }).or_insert(u32::MAX);
        }
    }

    /// The step at `index` waits, for these reasons. Returns whether it is news.
    pub fn waits(&mut self, index: u32, claim: &Claim, reasons: Vec<Reason>) -> bool {
        match self.asked.get_mut(&index) {
            Some((asked, why)) if asked == claim => {
                *why = reasons;
                true
            }
            _ => false,
        }
    }

    /// Takes up how the run stands, whatever happened before.
    pub fn restart(&mut self, state: &RunState) {
        self.recount(state);
        let waiting = state.active.in_order().into_iter();
        let waiting = waiting.filter(|(_, a)| a.wait == Wait::Blocked(WakeUp::Permit));
        self.parked = waiting.map(|(index, _)| index).collect();
        self.parked.retain(|index| !self.asked.contains_key(index));
    }

    fn recount(&mut self, state: &RunState) {
        self.left.clear();
        for index in 0..u32::try_from(state.plan.len()).unwrap_or(u32::MAX) {
            let over = state.status(index).is_none_or(is_over);
            if !over {
                for want in self.wants(state, index).into_iter().filter(|w| w.unit.outlasts_steps())
                {
                    *self.left.entry(want.unit).or_insert(0) += 1;
                }
            }
        }
    }

    /// Takes up what happened.
    pub fn note(&mut self, state: &RunState, event: &Event) {
        match event {
            Event::StepBlocked { step, wake: WakeUp::Permit, .. }
                if !self.asked.contains_key(&step.index) =>
            {
                self.parked.insert(step.index);
            }
            Event::StepSucceeded { step, .. } | Event::StepFailed { step, .. } => {
                for want in self.wants(state, step.index) {
                    if let Some(left) = self.left.get_mut(&want.unit) {
                        *left = left.saturating_sub(1);
                    }
                }
            }
            Event::RollbackStarted { .. }
            | Event::TakeBackStarted { .. }
            | Event::Descoped { .. }
            | Event::Noted { .. }
            | Event::RollbackBlocked { .. }
            | Event::RetryRequested { .. }
            | Event::Reconciled { .. }
            | Event::AbandonForced { .. }
            | Event::RunFinished { .. } => self.recount(state),
            _ => {}
        }
    }

    /// What is to be told to the ledger as the run stands. From then on the steps that ask have asked.
    pub fn settle(&mut self, state: &RunState) -> Settlement {
        let mut settlement = Settlement::default();
        let waits = |index: &u32| {
            state.active(*index).is_some_and(|a| a.wait == Wait::Blocked(WakeUp::Permit))
        };
        let left = &self.left;
        self.held.retain(|unit, index| {
            let needed = match unit {
                Unit::Step { step, generation } => {
                    if *index == u32::MAX {
                        *index = state.plan.find(step).unwrap_or(u32::MAX);
                    }
                    state.generation(*index) == *generation && acts(state, *index)
                }
                Unit::Region { .. } | Unit::Run { .. } => {
                    left.get(unit).is_some_and(|left| *left > 0)
                }
            };
            if !needed {
                settlement.release.push(unit.clone());
            }
            needed
        });
        self.asked.retain(|index, (claim, _)| {
            let still = waits(index) && state.generation(*index) == claim.generation;
            if !still {
                settlement.withdraw.push(claim.clone());
            }
            still
        });
        self.parked.retain(waits);
        if state.free() > 0 {
            let parked = std::mem::take(&mut self.parked).into_iter();
            let (ask, stay) = parked.partition::<BTreeSet<_>, _>(|index| state.lets_start(*index));
            self.parked = stay;
            for index in ask {
                let (claim, ..) = self.claim(state, index);
                self.asked.insert(index, (claim, Vec::new()));
                settlement.ask.push(index);
            }
        }
        settlement
    }
}

/// Whether something of a step may be under way. What is known not to be waits without permits: for a
/// person who retries it, or for a freeze to end.
fn acts(state: &RunState, index: u32) -> bool {
    state.active(index).is_some_and(|active| {
        let idle = matches!(active.wait, Wait::Operator { unknown: false } | Wait::Blocked(_));
        #[cfg(planted_bugs)]
        let idle = idle
            || (crate::planted::is(crate::planted::Bug::ReleaseEarly)
                && matches!(active.wait, Wait::Look { .. }));
        active.attempt > 0 && !idle
    })
}

/// Whether something of a step was under way at some time.
fn has_begun(state: &RunState, index: u32) -> bool {
    let done = matches!(
        state.status(index),
        Some(Status::Succeeded | Status::Failed | Status::Compensated)
    );
    done || state.active(index).is_some_and(|active| active.attempt > 0)
}

const fn is_over(status: Status) -> bool {
    match status {
        Status::Succeeded | Status::Failed | Status::Cancelled | Status::Compensated => true,
        Status::Pending | Status::Ready | Status::Waiting | Status::Running => false,
    }
}
