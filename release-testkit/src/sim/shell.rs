//! One run as one engine drives it: the state of the shell, without a runtime. It decides by the same
//! functions as the engine of `release-core`, in the same order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use release_core::engine::desk::{self, Verdict};
use release_core::engine::rules::{self, Doubt};
use release_core::journal::{AppendError, Batch, History, Sealer};
use release_core::limits::{Limits, Unit};
use release_core::model::{RunId, Timestamp};
use release_core::plan::FrozenPlan;
use release_core::port::Policy;
use release_core::run::{
    Event, IllegalTransition, Input, Mode, Permits, Phase, Rejected, RunState, Turn, Wait, advance,
    decide,
};

use super::provider::Capability;

/// About as many events go into one batch at most.
const EVENTS_A_TURN: usize = 4096;

/// What a driver is waiting for before it can decide anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Busy {
    No,
    /// The journal's answer, which will be this.
    Appending(Result<(), AppendError>),
    /// The time to read the journal again.
    Resting,
    /// What the ledger of permits says that the run has.
    Adopting,
}

/// A step, its attempt, and whether that acts or only looks.
pub(super) type Effect = (u32, u32, Mode);

/// A run that an engine drives.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "they are as independent as in the engine")]
pub(super) struct Driver {
    /// Tells this driver from others of the same run.
    pub(super) life: u64,
    pub(super) state: RunState,
    pub(super) sealer: Sealer,
    pub(super) base: FrozenPlan,
    pub(super) pending: Vec<Event>,
    /// What led to `pending`.
    pub(super) asked: Vec<Input>,
    pub(super) now: Timestamp,
    pub(super) failures: u32,
    pub(super) in_doubt: bool,
    /// The batches of unknown outcome that may still be stored.
    pub(super) doubts: Vec<Doubt<()>>,
    pub(super) forward: bool,
    /// Effects under way: for each step its attempt and its call.
    pub(super) effects: BTreeMap<u32, (u32, usize)>,
    pub(super) inbox: VecDeque<Input>,
    pub(super) ask_again: Timestamp,
    pub(super) busy: Busy,
    /// Whether the first batch, which makes or takes the run, is not durable yet.
    pub(super) beginning: bool,
    /// Whether there was nothing more to decide when the present batch was made.
    pub(super) quiet: bool,
    /// When it is woken.
    pub(super) wake: Option<Timestamp>,
    /// How many batches it has asked to store.
    pub(super) appends: u64,
    draws: u64,
    /// None where there are no limits.
    pub(super) permits: Option<Permits>,
    names_providers: bool,
    pub(super) adopted: bool,
    pub(super) verdicts: VecDeque<Verdict>,
}

impl Driver {
    pub(super) fn new(
        state: RunState,
        sealer: Sealer,
        base: FrozenPlan,
        (life, limits): (u64, Option<&Arc<Limits>>),
    ) -> Self {
        let mut driver = Self {
            life,
            now: state.now(),
            forward: *state.phase() == Phase::Forward,
            state,
            sealer,
            base,
            pending: Vec::new(),
            asked: Vec::new(),
            failures: 0,
            in_doubt: false,
            doubts: Vec::new(),
            effects: BTreeMap::new(),
            inbox: VecDeque::new(),
            ask_again: Timestamp::default(),
            busy: Busy::No,
            beginning: true,
            quiet: false,
            wake: None,
            appends: 0,
            draws: super::chance::mixed(life),
            permits: limits.map(|limits| Permits::new(Arc::clone(limits))),
            names_providers: limits.is_some_and(|limits| limits.asks_for_providers()),
            adopted: false,
            verdicts: VecDeque::new(),
        };
        driver.name_providers(0);
        driver
    }

    /// Who performs the steps from `first` on, where a limit asks for it: the capability.
    pub(super) fn name_providers(&mut self, first: usize) {
        let Some(permits) = self.permits.as_mut().filter(|_| self.names_providers) else { return };
        let first = u32::try_from(first).unwrap_or(u32::MAX);
        for step in (first..).map_while(|index| self.state.plan().get(index)) {
            let provider = Capability::of(&step.action).name();
            permits.provided(step.id.clone(), provider.to_owned());
        }
    }

    /// The ledger says what the run had before this driver.
    pub(super) fn adopts(&mut self, units: Vec<Unit>) {
        if let Some(permits) = &mut self.permits {
            desk::adopted(permits, &self.state, units);
        }
    }

    /// What the ledger said of the run's steps: decides what follows.
    pub(super) fn hear(&mut self, policy: &dyn Policy) -> Result<(), IllegalTransition> {
        while let Some(verdict) = self.verdicts.pop_front() {
            let Some(permits) = &mut self.permits else { return Ok(()) };
            let step = verdict.step;
            if desk::hears(permits, &self.state, verdict) {
                self.decide(Input::Permit { step }, policy)?;
            }
        }
        Ok(())
    }

    /// The epoch in which it has the run; 0 as long as it does not.
    pub(super) const fn epoch_held(&self) -> u64 {
        if self.beginning { 0 } else { self.sealer.epoch() }
    }

    pub(super) fn read_clock(&mut self, clock: Timestamp) {
        self.now = rules::decision_time(clock, self.now, self.state.now());
    }

    /// Decides what follows from the state and the time, up to a batch. Returns whether there is nothing
    /// more to decide now.
    pub(super) fn settle(&mut self, policy: &dyn Policy) -> Result<bool, IllegalTransition> {
        let mut fresh = Vec::new();
        let mut quiet = false;
        while !quiet && self.pending.len() < EVENTS_A_TURN {
            let mut turn = Turn::new(self.now, self.draws, policy);
            turn.permits = self.permits.as_ref();
            advance(&self.state, &turn, EVENTS_A_TURN - self.pending.len(), &mut fresh);
            quiet = fresh.is_empty();
            self.fold(&mut fresh)?;
        }
        Ok(quiet)
    }

    /// Decides an input.
    pub(super) fn decide(
        &mut self,
        input: Input,
        policy: &dyn Policy,
    ) -> Result<Option<Rejected>, IllegalTransition> {
        self.draws = super::chance::mixed(self.draws);
        let mut turn = Turn::new(self.now, self.draws, policy);
        turn.permits = self.permits.as_ref();
        let mut fresh = Vec::new();
        let mut refused = decide(&self.state, &input, &turn, &mut fresh).err();
        if let Some(Event::CommandDenied { reasons, .. }) = fresh.first() {
            refused = Some(Rejected::Denied { reasons: reasons.clone() });
        }
        self.fold(&mut fresh)?;
        self.asked.push(input);
        Ok(refused)
    }

    fn fold(&mut self, fresh: &mut Vec<Event>) -> Result<(), IllegalTransition> {
        for event in fresh.iter() {
            self.state.evolve(self.now, event)?;
        }
        self.pending.append(fresh);
        Ok(())
    }

    /// What is pending, sealed.
    pub(super) fn batch(&mut self, run: &RunId) -> Batch {
        #[cfg(planted_bugs)]
        if self.pending.len() > 2
            && release_core::planted::is(release_core::planted::Bug::LoseRecord)
        {
            self.pending.pop();
        }
        let expected = self.sealer.seq();
        let records = self.sealer.batch(self.now, &self.pending, self.state.digest());
        let finishes = self.state.outcome().is_some();
        let epoch = self.sealer.epoch();
        Batch { run: run.clone(), expected, epoch, records, blobs: Vec::new(), finishes }
    }

    /// Forgets all decisions that are not durable. Returns the inputs to decide anew, and the effects that
    /// a late append announced after all.
    pub(super) fn go_back(
        &mut self,
        history: &History,
    ) -> Result<(Vec<Input>, Vec<Effect>), String> {
        self.state = history.state(self.base.clone(), None).map_err(|damage| damage.to_string())?;
        if let Some(permits) = &mut self.permits {
            permits.restart(&self.state);
        }
        let seq = u64::try_from(history.facts().len()).unwrap_or(u64::MAX);
        self.sealer = Sealer::after(self.state.run(), seq, history.epoch(), history.head());
        self.pending.clear();
        let stored = rules::stored_late(&mut self.doubts, history).len();
        let asked = std::mem::take(&mut self.asked).split_off(stored);
        let runs =
            |index, attempt| self.runs(index, attempt) || self.waits_in_inbox(index, attempt);
        let missing = rules::unheard_of(&self.state, &asked, runs);
        Ok((asked, missing))
    }

    /// Whether an attempt's outcome waits to be taken.
    fn waits_in_inbox(&self, index: u32, of: u32) -> bool {
        self.inbox.iter().any(
            |input| matches!(input, Input::Outcome { step, attempt, .. } if *step == index && *attempt == of),
        )
    }

    /// Whether an attempt is under way.
    fn runs(&self, step: u32, attempt: u32) -> bool {
        self.effects.get(&step).is_some_and(|(running, _)| *running == attempt)
    }

    /// Whether the state still waits for an attempt's outcome.
    pub(super) fn wants(&self, step: u32, attempt: u32) -> bool {
        self.state.active(step).is_some_and(|active| {
            active.attempt == attempt && matches!(active.wait, Wait::Outcome { .. })
        })
    }
}
