//! Drives a run without a runtime: whoever calls decides what happens next, and after every event
//! the laws of runs are checked.

use std::collections::{BTreeMap, BTreeSet};

use release_core::analysis::example;
use release_core::model::{GateId, Judge, StepId};
use release_core::plan::{Action, FrozenPlan, OnFailure};
use release_core::port::{EffectError, Evidence, Observed, Policy};
use release_core::run::{
    Awaiting, Cause, Command, Directive, EffectOutcome, Event, Fact, Input, Mode, NotMigrated,
    Outcome, Phase, Rejected, RunState, Status, Turn, Wait, advance, decide, migrate,
};
use release_core::time::{Span, Timestamp};

use super::samples::{id, person};
use super::world::{START, faithful, ratio};

/// How an effect ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    Transient,
    Permanent,
    Unknown,
    /// For a look: not in effect. For a performance: good.
    Absent,
    /// Evidence that does not fit the step.
    Garbage,
    /// A measurement beyond its limit, or none at all; elsewhere as good.
    Bad,
}

pub(crate) struct Run {
    pub(crate) state: RunState,
    pub(crate) facts: Vec<Fact>,
    pub(crate) now: Timestamp,
    /// Effects under way: step to attempt and mode.
    pub(crate) effects: BTreeMap<u32, (u32, Mode)>,
    /// Effects that ended or were dropped, and whose outcome may still come in (late, doubled).
    pub(crate) stale: Vec<(u32, u32, Mode)>,
    draw: u64,
    limit: usize,
    policy: Box<dyn Policy>,
    /// Folded from decoded JSON, beside the state of the run itself.
    replica: RunState,
    laws: Laws,
}

/// What the laws have to remember.
#[derive(Default)]
struct Laws {
    cancelled: bool,
    attempts: BTreeMap<u32, u32>,
    unknown: BTreeSet<u32>,
}

impl Run {
    pub(crate) fn start(plan: &FrozenPlan) -> Self {
        Self::start_with(plan, Box::new(release_core::port::PermitAll), 1_000)
    }

    /// `limit` is how many events are decided at once, `policy` who may do what.
    pub(crate) fn start_with(plan: &FrozenPlan, policy: Box<dyn Policy>, limit: usize) -> Self {
        let event = Event::RunCreated {
            plan: plan.digest(),
            definition: None,
            supersedes: None,
            policy: None,
            requester: person("ann"),
        };
        let fact = Fact { at: START, event };
        let state = RunState::create(id("run-1"), plan.clone(), &fact).unwrap();
        let mut run = Self {
            replica: state.clone(),
            state,
            facts: vec![fact],
            now: START,
            effects: BTreeMap::new(),
            stale: Vec::new(),
            draw: 0,
            limit,
            policy,
            laws: Laws::default(),
        };
        run.settle();
        run
    }

    /// Decides `input`, and all that follows from it.
    pub(crate) fn input(&mut self, input: &Input) -> Result<Vec<Event>, Rejected> {
        self.draw = self.draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let before = snapshot(&self.state);
        let turn = Turn::new(self.now, self.draw, &*self.policy);
        let mut fresh = Vec::new();
        let answer = decide(&self.state, input, &turn, &mut fresh);
        if let Err(rejected) = answer {
            assert!(fresh.is_empty(), "{rejected} wrote {fresh:?}");
            assert_eq!(snapshot(&self.state), before);
            return Err(rejected);
        }
        let from = self.facts.len();
        self.fold(fresh);
        self.settle();
        Ok(self.facts[from..].iter().map(|fact| fact.event.clone()).collect())
    }

    pub(crate) fn command(&mut self, command: Command, by: &str) -> Result<Vec<Event>, Rejected> {
        self.input(&Input::Directive(Directive::new(command, person(by), "because")))
    }

    pub(crate) fn outcome(&mut self, step: u32, end: End) -> Vec<Event> {
        let (attempt, mode) = self.effects.remove(&step).expect("an effect under way");
        self.stale.push((step, attempt, mode));
        let outcome = self.ending(step, mode, end);
        self.input(&Input::Outcome { step, attempt, outcome }).unwrap()
    }

    /// The effect of a step ends well, with just this evidence.
    pub(crate) fn answer(&mut self, step: u32, evidence: Evidence) -> Vec<Event> {
        let (attempt, mode) = self.effects.remove(&step).expect("an effect under way");
        self.stale.push((step, attempt, mode));
        let outcome = EffectOutcome::Performed(Ok(evidence));
        self.input(&Input::Outcome { step, attempt, outcome }).unwrap()
    }

    /// The effect of the step called `name` ends.
    #[track_caller]
    pub(crate) fn end(&mut self, name: &str, end: End) -> Vec<Event> {
        let step = self.state.plan().find(&id(name)).expect("a step");
        self.outcome(step, end)
    }

    /// An outcome that nobody waits for any more.
    pub(crate) fn late(&mut self, nth: usize, end: End) -> Vec<Event> {
        let (step, attempt, mode) = self.stale[nth];
        let outcome = self.ending(step, mode, end);
        self.input(&Input::Outcome { step, attempt, outcome }).unwrap()
    }

    pub(crate) fn take_over(&mut self) {
        self.stale
            .extend(self.effects.iter().map(|(step, (attempt, mode))| (*step, *attempt, *mode)));
        self.effects.clear();
        self.input(&Input::TakeOver { engine: "other".into() }).unwrap();
    }

    /// Takes the run over, and lets it go on with another plan. Who drove it before hears of nothing more.
    pub(crate) fn migrate(&mut self, plan: &FrozenPlan) -> Result<(), NotMigrated> {
        self.effects.clear();
        self.stale.clear();
        let mut fresh = Vec::new();
        let turn = Turn::new(self.now, self.draw, &*self.policy);
        decide(&self.state, &Input::TakeOver { engine: "other".into() }, &turn, &mut fresh)
            .unwrap();
        self.fold(fresh);
        let turn = Turn::new(self.now, self.draw, &*self.policy);
        let decided = migrate(&self.state, plan, &person("bob"), "because", &turn);
        if let Ok(event) = &decided {
            self.laws.moved(self.state.plan(), plan);
            self.state.offer(plan.clone());
            self.replica.offer(plan.clone());
            self.fold(event.iter().cloned().collect());
        }
        self.settle();
        decided.map(|_| ())
    }

    pub(crate) fn pass(&mut self, span: Span) {
        self.now = self.now.plus(span);
        self.settle();
    }

    /// Lets time pass to the next instant that the run waits for.
    pub(crate) fn pass_to_next(&mut self) -> bool {
        let Some(at) = self.state.next_wakeup() else { return false };
        self.now = self.now.max(at);
        self.settle();
        true
    }

    /// Lets time pass until an effect is under way.
    pub(crate) fn next_effect(&mut self) {
        while self.effects.is_empty() && self.pass_to_next() {}
    }

    fn ending(&self, step: u32, mode: Mode, end: End) -> EffectOutcome {
        let action = &self.state.plan().get(step).expect("a step").action;
        let looks = self.state.active(step).map_or(0, |active| active.measured.looks());
        let evidence = match (end, action) {
            (End::Garbage, Action::Analyze { beside: Some(_), .. }) => Evidence::Done,
            (_, Action::Analyze { analysis, .. })
                if end != End::Garbage && !matches!(analysis.judge, Judge::Threshold(_)) =>
            {
                example(action, looks, self.now, end != End::Bad)
            }
            (End::Garbage, _) => Evidence::Artifact { digest: id(NOBODY), bytes: 0 },
            (End::Bad | End::Good, Action::Analyze { deployment, .. }) => {
                // Counts go on from the beginning of the window.
                let (bad, looks) =
                    (if end == End::Bad { 99.0 } else { 1.0 }, f64::from(looks) + 1.0);
                ratio(deployment.artifact.digest(), bad * looks, 100.0 * looks)
            }
            _ => faithful(action, self.now),
        };
        let error = match end {
            End::Absent if mode == Mode::Look => {
                return EffectOutcome::Looked(Ok(Observed::NotApplied));
            }
            End::Good | End::Garbage | End::Bad | End::Absent => None,
            End::Transient => Some(EffectError::transient("busy", "try later")),
            End::Permanent => Some(EffectError::permanent("no", "never")),
            End::Unknown => Some(EffectError::unknown("lost", "no answer")),
        };
        let result = error.map_or(Ok(evidence), Err);
        match mode {
            Mode::Perform => EffectOutcome::Performed(result),
            Mode::Look => EffectOutcome::Looked(result.map(Observed::Applied)),
        }
    }

    fn settle(&mut self) {
        loop {
            let turn = Turn::new(self.now, self.draw, &*self.policy);
            let mut fresh = Vec::new();
            advance(&self.state, &turn, self.limit, &mut fresh);
            if fresh.is_empty() {
                break;
            }
            self.fold(fresh);
        }
        let waits = !self.state.awaiting().is_empty();
        assert_eq!(waits, self.state.outcome().is_none(), "stuck: {:#?}", self.state);
    }

    fn fold(&mut self, events: Vec<Event>) {
        for event in events {
            self.laws.before(&self.state, &event);
            self.state.evolve(self.now, &event).unwrap();
            self.replay(&event);
            self.watch(&event);
            self.laws.after(&self.state, &event);
            self.facts.push(Fact { at: self.now, event });
        }
    }

    /// Every event survives its stored form, and folding stored events gives the same state.
    fn replay(&mut self, event: &Event) {
        let json = serde_json::to_string(event).unwrap();
        let decoded: Event = serde_json::from_str(&json).unwrap();
        assert_eq!(decoded, *event);
        self.replica.evolve(self.now, &decoded).unwrap();
        assert_eq!(snapshot(&self.replica), snapshot(&self.state), "after {event:?}");
        assert_eq!(self.state.digest(), self.state.digest_recounted(), "after {event:?}");
    }

    fn watch(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step, attempt, mode, .. }
                if self.state.plan().get(step.index).is_some_and(|s| !s.action.is_pure()) =>
            {
                self.effects.insert(step.index, (*attempt, *mode));
            }
            Event::OutcomeUnknown { step, .. } | Event::NeedsReconcile { step, .. } => {
                if let Some((attempt, mode)) = self.effects.remove(&step.index) {
                    self.stale.push((step.index, attempt, mode));
                }
            }
            Event::AbandonForced { .. } => {
                let dropped = std::mem::take(&mut self.effects).into_iter();
                self.stale.extend(dropped.map(|(step, (attempt, mode))| (step, attempt, mode)));
            }
            _ => {}
        }
    }

    /// The event that came last and fits.
    pub(crate) fn last(&self, fits: impl Fn(&Event) -> bool) -> Option<&Event> {
        self.facts.iter().rev().map(|fact| &fact.event).find(|event| fits(event))
    }

    pub(crate) fn status(&self, name: &str) -> Status {
        let index = self.state.plan().find(&id(name)).expect("a step");
        self.state.status(index).unwrap()
    }

    /// Nothing fails any more, time passes and people answer: the run ends within `turns`.
    pub(crate) fn heal(&mut self, turns: usize) -> Outcome {
        for _ in 0..turns {
            if let Some(outcome) = self.state.outcome() {
                return outcome.clone();
            }
            self.help();
        }
        panic!("still {:?} after {turns} turns: {:#?}", self.state.awaiting(), self.state);
    }

    pub(crate) fn help(&mut self) {
        if let Some(step) = self.effects.keys().next().copied() {
            self.outcome(step, End::Good);
            return;
        }
        if self.pass_to_next() {
            return;
        }
        let before = self.facts.len();
        for waiting in self.state.awaiting() {
            match waiting {
                Awaiting::Resume => drop(self.command(Command::Resume, "bob")),
                Awaiting::Approval(gate) => {
                    for by in ["bob", "eve"] {
                        let _ = self.command(Command::Approve { gate: gate.clone() }, by);
                    }
                }
                Awaiting::Operator(step) => self.operate(step),
                Awaiting::Instant(_) | Awaiting::Outcome(_) => {}
                _ => panic!("a new way to wait: {waiting:?}"),
            }
        }
        assert!(self.facts.len() > before, "people did all they could: {:#?}", self.state);
    }

    /// A person says that an unknown effect took place, retries what failed, or gives up where a
    /// gate was rejected.
    fn operate(&mut self, step: StepId) {
        let index = self.state.plan().find(&step).unwrap();
        let unknown = self.state.active(index).map(|active| active.wait.clone());
        let command = match unknown {
            Some(Wait::Operator { unknown: true }) => Command::Reconcile { step, applied: true },
            _ if self.was_rejected(index) => Command::Abandon,
            _ => Command::Retry { step },
        };
        let _ = self.command(command, "bob");
    }

    fn was_rejected(&self, index: u32) -> bool {
        self.facts.iter().any(|fact| {
            matches!(&fact.event, Event::StepFailed { step, error, .. }
            if step.index == index && error.kind == "rejected")
        })
    }

    pub(crate) fn gates(&self) -> Vec<GateId> {
        let gates = self.state.plan().plan().steps().iter().flat_map(|step| &step.gates);
        gates
            .filter_map(|gate| match gate {
                release_core::model::Gate::Approval(approval) => Some(approval.id.clone()),
                _ => None,
            })
            .collect()
    }
}

const NOBODY: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// All of the state but the plan, as text.
pub(crate) fn snapshot(state: &RunState) -> String {
    format!("{state:?}")
}

impl Laws {
    /// Steps stand elsewhere now.
    fn moved(&mut self, from: &FrozenPlan, to: &FrozenPlan) {
        let place = |index: u32| to.find(&from.get(index).unwrap().id);
        let attempts = std::mem::take(&mut self.attempts).into_iter();
        self.attempts = attempts.filter_map(|(index, last)| Some((place(index)?, last))).collect();
        let unknown = std::mem::take(&mut self.unknown).into_iter();
        self.unknown = unknown.filter_map(place).collect();
    }

    /// What must hold of an event before it is folded.
    fn before(&mut self, state: &RunState, event: &Event) {
        if let Event::StepStarted { step, attempt, mode, .. } = event {
            let (index, look) = (step.index, *mode == Mode::Look);
            let forward = !state.plan().in_rollback(index);
            predecessors_are_done(state, index);
            let watches = *attempt > 1
                && matches!(state.plan().get(index).unwrap().action, Action::Analyze { .. });
            assert!(look || !forward || watches || !state.is_paused(), "{event:?} while paused");
            assert!(look || !matches!(state.phase(), Phase::Stopping(_)), "{event:?} in a stop");
            assert!(look || !forward || !self.cancelled, "{event:?} after a cancel");
            let last = self.attempts.insert(index, *attempt);
            assert!(last.is_none_or(|last| last < *attempt), "{event:?} again");
            assert!(look || !self.unknown.contains(&index), "{event:?}, and nobody looked");
        }
        if let Event::StepSucceeded { step, .. } = event {
            predecessors_are_done(state, step.index);
        }
        match event {
            Event::CancelRequested { .. } => self.cancelled = true,
            Event::OutcomeUnknown { step, .. } | Event::NeedsReconcile { step, .. } => {
                self.unknown.insert(step.index);
            }
            Event::StepRetried { step, .. }
            | Event::Reconciled { step, .. }
            | Event::StepFailed { step, .. }
            | Event::AlternateChosen { step, .. }
            | Event::StepMeasured { step, .. } => {
                self.unknown.remove(&step.index);
            }
            Event::TakenOver { .. } => {
                let count = u32::try_from(state.plan().len()).unwrap();
                let running = (0..count).filter(|i| state.status(*i) == Some(Status::Running));
                self.unknown.extend(running);
            }
            _ => {}
        }
    }

    /// What must hold of every state.
    fn after(&self, state: &RunState, event: &Event) {
        let free = state.plan().plan().max_parallel();
        assert!(state.in_flight() <= free, "{} under way, {event:?}", state.in_flight());
        let count = u32::try_from(state.plan().len()).unwrap();
        let running = (0..count).filter(|i| state.status(*i) == Some(Status::Running)).count();
        assert_eq!(running, state.in_flight() as usize, "{event:?}");
        if let Event::RunFinished { outcome } = event {
            finished(state, outcome);
        }
        if let Event::RunFinished { outcome: Outcome::Succeeded } = event {
            assert!(!self.cancelled, "a cancelled run succeeded");
        }
    }
}

fn predecessors_are_done(state: &RunState, index: u32) {
    let plan = state.plan();
    let appended = plan.extensions().filter(|(base, _)| *base <= index).last();
    let (shift, edges) =
        appended.map_or((0, plan.plan().edges()), |(base, extension)| (base, &extension.edges[..]));
    for edge in edges.iter().filter(|edge| edge.to + shift == index) {
        let from = edge.from + shift;
        let status = state.status(from).unwrap();
        let goes_on = plan.get(from).unwrap().on_failure == OnFailure::Continue;
        let done = status == Status::Succeeded
            || (goes_on && status == Status::Failed)
            || (is_left(state, from) && state.active(from).is_none());
        assert!(done, "step {index} goes before step {from}, which is {}", status.name());
    }
}

/// Whether a step belongs to a part that is left behind.
fn is_left(state: &RunState, index: u32) -> bool {
    let step = state.plan().get(index).unwrap();
    !state.plan().in_rollback(index) && state.left_behind().any(|part| part.covers(step))
}

fn finished(state: &RunState, outcome: &Outcome) {
    let statuses: Vec<_> = (0..).map_while(|index| state.status(index)).collect();
    let over = |s: &Status| {
        !matches!(s, Status::Pending | Status::Ready | Status::Waiting | Status::Running)
    };
    assert!(statuses.iter().all(over), "{statuses:?}");
    assert!(state.awaiting().is_empty() && state.next_wakeup().is_none());
    let goes_on = |index: usize| {
        let index = u32::try_from(index).unwrap();
        state.plan().get(index).unwrap().on_failure == OnFailure::Continue
    };
    match outcome {
        Outcome::Succeeded => {
            let good = |(index, status): (usize, &Status)| {
                *status == Status::Succeeded || (*status == Status::Failed && goes_on(index))
            };
            assert!(statuses.iter().enumerate().all(good), "{statuses:?}");
        }
        Outcome::SucceededWithout { left } => {
            assert!(!left.is_empty() && state.left_behind().eq(left));
            for (index, status) in statuses.iter().enumerate() {
                let left = is_left(state, u32::try_from(index).unwrap());
                let step = state.plan().get(u32::try_from(index).unwrap()).unwrap();
                let good = match status {
                    Status::Succeeded => !left,
                    Status::Failed => left || goes_on(index),
                    _ => left,
                };
                assert!(good, "{} is {status:?}", step.id);
            }
        }
        Outcome::RolledBack { cause } => {
            let Some((_, extension)) = state.plan().rollback() else {
                assert!(state.halted().is_some(), "rolled back, without a rollback");
                return;
            };
            let undone = |index: &u32| state.status(*index) == Some(Status::Compensated);
            assert!(extension.undoes.iter().all(undone), "{statuses:?}");
            let all = matches!(cause, Cause::Cancelled { .. });
            let left = statuses.iter().take(state.plan().base_len()).enumerate();
            let left: Vec<_> = left.filter(|(_, s)| **s == Status::Succeeded).collect();
            assert!(!all || left.is_empty(), "a cancel left {left:?} in place");
        }
        _ => {}
    }
}
