//! What a run is told from outside of incidents and alerts, and what it does about them: what its release planned, and
//! nothing that it did not plan. Every signal is journaled, with what became of it.

use serde::{Deserialize, Serialize};

use super::command::{Directive, Rejected};
use super::digest::{Mix, scope};
use super::event::{Cause, Event};
use super::note::Note;
use super::state::{Phase, RunState};
use crate::bounds::MAX_TEXT;
use crate::model::{Principal, RollbackScope, Signal, SignalKind, SignalResponse};
use crate::plan::{Plan, Reach, Step};
use crate::time::Timestamp;

/// The most signals of one run.
pub const MAX_SIGNALS: usize = 1_000;

/// What a run does about a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SignalAnswer {
    /// It stops, and puts back what it changed.
    RollBack {
        /// How much, seen from where the signal is about.
        scope: RollbackScope,
    },
    /// It starts nothing new until somebody resumes it.
    Hold,
    /// It goes on as before.
    Recorded {
        /// Why.
        why: String,
    },
}

impl std::fmt::Display for SignalAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RollBack { .. } => f.write_str("the run goes back"),
            Self::Hold => f.write_str("the run is held"),
            Self::Recorded { why } => write!(f, "recorded only: {why}"),
        }
    }
}

/// A signal that a run was told, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// What.
    pub signal: Signal,
    /// What it did.
    pub answer: SignalAnswer,
    /// Who told it.
    pub by: Principal,
    /// When it was journaled.
    pub at: Timestamp,
}

/// The signals of a run in order, with a sum over them for the digest of its state.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals {
    all: Vec<Received>,
    pub(super) sum: u64,
}

impl Signals {
    fn add(&mut self, received: Received) {
        self.sum = add(self.sum, &received);
        self.all.push(received);
    }

    pub(super) fn recount(&self) -> u64 {
        self.all.iter().fold(0, add)
    }
}

fn add(sum: u64, received: &Received) -> u64 {
    let Received { signal, answer, by, at } = received;
    let mix = words(Mix::new(sum), signal);
    let mix = match answer {
        SignalAnswer::RollBack { scope: wanted } => mix.word(1).word(scope(Some(*wanted))),
        SignalAnswer::Hold => mix.word(2),
        SignalAnswer::Recorded { why } => mix.word(3).text(why),
    };
    mix.principal(by).at(*at).end()
}

/// A signal in the digest of a state.
pub(super) fn words(mix: Mix, signal: &Signal) -> Mix {
    let Signal { kind, source, reference, environment, region, service } = signal;
    let kind = match kind {
        SignalKind::Incident => 1,
        SignalKind::Alert => 2,
        SignalKind::Health => 3,
    };
    mix.word(kind)
        .text(source)
        .text(reference)
        .text(environment.as_ref().map_or("", |id| id.as_str()))
        .text(region.as_ref().map_or("", |id| id.as_str()))
        .text(service.as_ref().map_or("", |id| id.as_str()))
}

impl RunState {
    /// What it was told of incidents and alerts, in order, and what it did.
    pub fn signals(&self) -> &[Received] {
        &self.signals.all
    }

    /// Folds what a run was told: a note, or a signal.
    pub(super) fn told(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::Noted { topic, content, by, .. } => {
                let (topic, content, by) = (topic.clone(), content.clone(), by.clone());
                self.notes.add(Note { topic, content, by, at });
            }
            Event::Signalled { signal, answer, by, reason } => {
                self.signalled(at, signal, answer, (by, reason));
            }
            _ => {}
        }
    }

    /// Folds a signal.
    fn signalled(
        &mut self,
        at: Timestamp,
        signal: &Signal,
        answer: &SignalAnswer,
        (by, reason): (&Principal, &str),
    ) {
        if let SignalAnswer::RollBack { scope } = answer {
            let (by, reason) = (by.clone(), reason.to_owned());
            let signal = Box::new(signal.clone());
            let cause = Cause::Signalled { signal, scope: *scope, by, reason };
            self.phase = Phase::Stopping(cause);
        }
        let (signal, answer, by) = (signal.clone(), answer.clone(), by.clone());
        self.signals.add(Received { signal, answer, by, at });
    }

    /// Makes a stop that a signal began reach as far as a step needs that failed meanwhile.
    pub(super) fn widen(&mut self, index: u32, scope: Option<RollbackScope>) {
        let plan = self.plan.plan();
        let (Phase::Stopping(Cause::Signalled { signal, scope: before, .. }), Some(scope)) =
            (&self.phase, scope)
        else {
            return;
        };
        let wanted = Reach::of(plan, self.plan.step(index), scope);
        let wider = wider(&reach(plan, signal, *before), &wanted, signal);
        if let (Phase::Stopping(Cause::Signalled { scope, .. }), Some(wider)) =
            (&mut self.phase, wider)
        {
            *scope = wider;
        }
    }
}

/// Takes a signal: what is known already is no event.
pub(super) fn signal(
    state: &RunState,
    signal: &Signal,
    directive: &Directive,
    out: &mut Vec<Event>,
) -> Result<(), Rejected> {
    if let Some(problem) = problem(signal) {
        return Err(Rejected::BadSignal { problem });
    }
    if state.signals().iter().any(|known| known.signal == *signal) {
        return Ok(());
    }
    if state.signals().len() >= MAX_SIGNALS {
        return Err(Rejected::TooManySignals { limit: MAX_SIGNALS });
    }
    let answer = answer(state, signal);
    let holds = answer == SignalAnswer::Hold && !state.paused;
    let Directive { by, reason, .. } = directive;
    let (signal, by, reason) = (Box::new(signal.clone()), by.clone(), reason.clone());
    let paused = Event::Paused { by: by.clone(), reason: format!("{signal}: {reason}") };
    out.push(Event::Signalled { signal, answer, by, reason });
    out.extend(holds.then_some(paused));
    Ok(())
}

fn problem(signal: &Signal) -> Option<String> {
    let Signal { source, reference, environment, region, .. } = signal;
    for (name, text) in [("source", source), ("reference", reference)] {
        if text.trim().is_empty() {
            return Some(format!("has no `{name}`; say where it can be looked up"));
        }
        if text.len() > MAX_TEXT {
            return Some(format!("has a `{name}` of {} bytes, {MAX_TEXT} are kept", text.len()));
        }
    }
    let lost = region.is_some() && environment.is_none();
    lost.then(|| "names a region without its `environment`; name both".to_owned())
}

fn answer(state: &RunState, signal: &Signal) -> SignalAnswer {
    let plan = state.plan.plan();
    let recorded = |why: &str| SignalAnswer::Recorded { why: why.to_owned() };
    let mut rules = plan.signals().iter().filter(|rule| rule.on.fits(signal)).peekable();
    if rules.peek().is_none() {
        return recorded("the release planned nothing for it");
    }
    if !plan.steps().iter().any(|step| step.action.mutates() && lies(step, signal)) {
        return recorded("the run changes nothing there");
    }
    let Some(rule) = rules.find(|rule| rule.on.then == SignalResponse::RollBack) else {
        return match state.phase {
            Phase::Forward => SignalAnswer::Hold,
            _ => recorded("the run does not go forward anyway"),
        };
    };
    match &state.phase {
        Phase::Forward => SignalAnswer::RollBack { scope: rule.scope },
        Phase::Stopping(cause) => match beyond(state, cause, signal, rule.scope) {
            Some(scope) => SignalAnswer::RollBack { scope },
            None => recorded("the run goes back that far anyway"),
        },
        Phase::RollingBack(cause) => match beyond(state, cause, signal, rule.scope) {
            None => recorded("the run goes back that far already"),
            Some(_) => recorded(
                "the run is going back already, and not that far; take back the rest by a release of what was there before",
            ),
        },
        Phase::Abandoning { .. } | Phase::Finished(_) => recorded("the run was given up"),
    }
}

/// Whether a step is where a signal is about.
fn lies(step: &Step, signal: &Signal) -> bool {
    let service = step.scope.place().and_then(|place| place.service.as_ref());
    let fits = |named: bool, is: bool| !named || is;
    fits(signal.environment.is_some(), step.scope.environment() == signal.environment.as_ref())
        && fits(signal.region.is_some(), step.scope.region() == signal.region.as_ref())
        && fits(signal.service.is_some(), service == signal.service.as_ref())
}

/// How far `scope` reaches from where a signal is about: without an environment everywhere, without a region through all of
/// its environment.
pub(super) fn reach(plan: &Plan, signal: &Signal, scope: RollbackScope) -> Reach {
    let Some(environment) = &signal.environment else { return Reach::Release };
    let here = |step: &&Step| {
        step.scope.environment() == Some(environment)
            && step.scope.region() == signal.region.as_ref()
    };
    match (scope, &signal.region) {
        (RollbackScope::Release, _) => Reach::Release,
        (_, Some(_)) => plan.steps().iter().find(here).map_or_else(
            || Reach::Environment(Some(environment.clone())),
            |step| Reach::of(plan, step, scope),
        ),
        _ => Reach::Environment(Some(environment.clone())),
    }
}

/// How far a run that is stopping has to go back besides; `None`: it goes that far anyway.
fn beyond(
    state: &RunState,
    cause: &Cause,
    signal: &Signal,
    scope: RollbackScope,
) -> Option<RollbackScope> {
    let plan = state.plan.plan();
    let goes = match cause {
        Cause::StepFailed { scope: None, .. } => return Some(scope),
        Cause::Cancelled { .. } if plan.on_cancel() == crate::model::OnCancel::Leave => {
            return Some(scope);
        }
        Cause::Cancelled { .. } | Cause::Superseded { .. } => Reach::Release,
        Cause::StepFailed { step, scope: Some(scope), .. } => {
            Reach::of(plan, state.plan.step(step.index), *scope)
        }
        Cause::Signalled { signal, scope, .. } => reach(plan, signal, *scope),
    };
    let wanted = reach(plan, signal, scope);
    wider(&goes, &wanted, signal)
}

/// The scope that, seen from where `signal` is about, covers what a run goes back already and what is wanted besides;
/// `None`: it goes that far anyway.
fn wider(goes: &Reach, wanted: &Reach, signal: &Signal) -> Option<RollbackScope> {
    let of = |reach: &Reach| match reach {
        Reach::Release => None,
        Reach::Environment(environment) | Reach::Region(environment, _) => environment.clone(),
        Reach::Wave(environment, _) => Some(environment.clone()),
    };
    let covered = *goes == Reach::Release
        || goes == wanted
        || (matches!(goes, Reach::Environment(_))
            && of(goes) == of(wanted)
            && of(wanted).is_some());
    if covered {
        return None;
    }
    let together = of(goes).is_some() && of(goes) == of(wanted) && of(goes) == signal.environment;
    Some(if together { RollbackScope::Environment } else { RollbackScope::Release })
}
