//! Finds the inputs of a decision in the records before it.

use super::why::{Ground, asked};
use crate::ids::GateId;
use crate::model::Principal;
use crate::plan::Part;
use crate::port::{Basis, EffectError, Evidence, Inputs};
use crate::run::{
    Cause, Event, Fact, Mode, Outcome, Phase, RunState, Status, StepRef, Wait, WakeUp,
};
use crate::time::Timestamp;

/// The records before an event, and what follows from them.
pub(super) struct Search<'a> {
    pub(super) past: &'a [Fact],
    pub(super) state: &'a RunState,
    /// When it was decided.
    pub(super) now: Timestamp,
}

impl<'a> Search<'a> {
    pub(super) fn grounds(&self, event: &Event) -> Vec<Ground> {
        match event {
            Event::StepStarted { step, mode: Mode::Perform, basis, .. } => {
                self.started(step, basis.clone())
            }
            Event::StepStarted { step, mode: Mode::Look, .. } => self.looked_for(step),
            Event::StepSucceeded { step, evidence, basis, .. } => {
                self.succeeded(step, evidence, basis.clone())
            }
            Event::StepMeasured { step, evidence, .. } => self.answer(step, Some(evidence), None),
            Event::StepFailed { step, error, evidence, .. } => {
                self.failed(step, error, evidence.as_ref())
            }
            Event::StepRetried { step, error, .. }
            | Event::OutcomeUnknown { step, error, .. }
            | Event::NeedsReconcile { step, error }
            | Event::AlternateChosen { step, error, .. } => self.answer(step, None, Some(error)),
            Event::StepBlocked { step, reasons, inputs, .. } => {
                let mut all = self.ready(step);
                all.extend(self.votes(step, true));
                all.push(Ground::Reasons { reasons: reasons.clone() });
                all.extend(made_from(inputs.as_deref()));
                all
            }
            Event::BakeEnded { step, by, reason } => {
                let mut all = self.woken(step);
                all.push(asked(by, Some(reason)));
                all
            }
            Event::RetryRequested { step, by, reason }
            | Event::Reconciled { step, by, reason, .. } => {
                let mut all = self.gave_up(step);
                all.push(asked(by, Some(reason)));
                all
            }
            Event::Approved { by, reason, .. }
            | Event::ApprovalWithdrawn { by, reason, .. }
            | Event::Rejected { by, reason, .. }
            | Event::Paused { by, reason }
            | Event::Resumed { by, reason }
            | Event::CancelRequested { by, reason }
            | Event::Superseded { by, reason, .. }
            | Event::Descoped { by, reason, .. }
            | Event::Noted { by, reason, .. }
            | Event::Signalled { by, reason, .. }
            | Event::QuarantineReleased { by, reason }
            | Event::PlanMigrated { by, reason, .. }
            | Event::AbandonForced { by, reason } => vec![asked(by, Some(reason))],
            Event::CommandDenied { by, reasons, inputs, .. } => {
                let mut all = vec![asked(by, None), Ground::Reasons { reasons: reasons.clone() }];
                all.extend(made_from(inputs.as_deref()));
                all
            }
            Event::TakenOver { engine } => vec![Ground::Engine { engine: engine.clone() }],
            Event::RunCreated { requester, .. } => vec![asked(requester, None)],
            Event::RollbackStuck { steps } => {
                steps.iter().flat_map(|step| self.gave_up(step)).collect()
            }
            Event::TakeBackStarted { extension, .. } => self.left(extension.part.as_ref()),
            Event::RollbackStarted { .. } | Event::RollbackBlocked { .. } => self.stopped(),
            Event::RunFinished { outcome } => self.finished(outcome),
        }
    }

    /// The last record before that fits.
    fn last(&self, fits: impl Fn(&Event) -> bool) -> Option<(u64, &'a Fact)> {
        let at = self.past.iter().rposition(|fact| fits(&fact.event))?;
        Some((at as u64 + 1, self.past.get(at)?))
    }

    fn earlier(&self, fits: impl Fn(&Event) -> bool) -> Option<Ground> {
        let (seq, fact) = self.last(fits)?;
        Some(Ground::Earlier { seq, event: fact.event.name().to_owned() })
    }

    /// What a person has to mend.
    fn gave_up(&self, step: &StepRef) -> Vec<Ground> {
        let about = |event: &Event| {
            let gave_up = matches!(event, Event::StepFailed { .. } | Event::NeedsReconcile { .. });
            gave_up && event.step() == Some(step)
        };
        self.earlier(about).into_iter().collect()
    }

    /// The steps before it are done; or people are to be called.
    fn ready(&self, step: &StepRef) -> Vec<Ground> {
        let plan = self.state.plan();
        if self.state.active(step.index).is_some() {
            return self.woken(step);
        }
        let mut waited_for: Vec<_> = plan.predecessors(step.index).collect();
        waited_for.sort_unstable();
        let done = |(seq, fact): (u64, &Fact)| match &fact.event {
            Event::StepSucceeded { step, .. }
            | Event::StepFailed { step, .. }
            | Event::Reconciled { step, applied: true, .. }
                if waited_for.binary_search(&step.index).is_ok() =>
            {
                Some(Ground::Done { seq, step: step.clone() })
            }
            _ => None,
        };
        let mut all: Vec<_> = (1_u64..).zip(self.past).filter_map(done).collect();
        if waited_for.iter().any(|index| self.state.is_given_up(*index)) {
            all.extend(self.earlier(|event| matches!(event, Event::Descoped { .. })));
        }
        if plan.in_rollback(step.index) && waited_for.is_empty() {
            let called = |event: &Event| {
                matches!(event, Event::RollbackStuck { .. } | Event::AbandonForced { .. })
            };
            let part = plan.extension_of(step.index).and_then(|(_, all)| all.part.as_ref());
            let began = |event: &Event| match (event, part) {
                (Event::RollbackStarted { .. }, None) => true,
                (Event::TakeBackStarted { extension, .. }, Some(_)) => {
                    extension.part.as_ref() == part
                }
                _ => false,
            };
            all.extend(self.earlier(called).or_else(|| self.earlier(began)));
        }
        all
    }

    /// What ended the wait of a step that had been considered before.
    fn woken(&self, step: &StepRef) -> Vec<Ground> {
        let Some((seq, fact)) = self.last(|event| event.step() == Some(step)) else {
            return Vec::new();
        };
        let set = match &fact.event {
            Event::StepRetried { at, .. }
            | Event::AlternateChosen { at, .. }
            | Event::StepMeasured { next: at, .. }
            | Event::StepBlocked { wake: WakeUp::Instant { at }, .. } => Some(*at),
            _ => None,
        };
        match set {
            Some(at) if fact.at < at && at <= self.now => vec![Ground::Time { seq, at }],
            _ => vec![Ground::Earlier { seq, event: fact.event.name().to_owned() }],
        }
    }

    fn started(&self, step: &StepRef, basis: Option<Box<Basis>>) -> Vec<Ground> {
        let mut all = self.ready(step);
        all.extend(self.votes(step, true));
        // A pause that ended later than everything else was what held it.
        if let Some((seq, fact)) = self.last(|event| matches!(event, Event::Resumed { .. }))
            && all.iter().all(|ground| ground.seq().is_none_or(|other| other < seq))
        {
            all.push(Ground::Earlier { seq, event: fact.event.name().to_owned() });
        }
        all.push(Ground::Permitted { basis });
        all
    }

    /// Votes on the step's gates.
    fn votes(&self, step: &StepRef, approving: bool) -> Vec<Ground> {
        let gates = self.state.plan().get(step.index).map(|step| &step.gates[..]);
        let has = |id: &GateId| {
            gates
                .unwrap_or_default()
                .iter()
                .any(|gate| gate.approval().is_some_and(|wanted| wanted.id == *id))
        };
        let taken_back = |seq: u64, of: &GateId, who: &Principal| {
            let later = self.past.iter().skip(usize::try_from(seq).unwrap_or(usize::MAX));
            later.into_iter().any(|fact| {
                matches!(&fact.event, Event::ApprovalWithdrawn { gate, by, .. }
                    if gate == of && by.id == who.id)
            })
        };
        let vote = |(seq, fact): (u64, &Fact)| match &fact.event {
            Event::Approved { gate, by, .. }
                if approving && has(gate) && !taken_back(seq, gate, by) =>
            {
                Some(Ground::Vote { seq, gate: gate.clone(), by: by.clone(), approves: true })
            }
            Event::Rejected { gate, by, .. } if !approving && has(gate) => {
                Some(Ground::Vote { seq, gate: gate.clone(), by: by.clone(), approves: false })
            }
            _ => None,
        };
        (1_u64..).zip(self.past).filter_map(vote).collect()
    }

    /// Its outcome is unknown: it was said so, or an engine took the run over meanwhile.
    fn looked_for(&self, step: &StepRef) -> Vec<Ground> {
        let unknown = |event: &Event| match event {
            Event::OutcomeUnknown { step: other, .. } => other == step,
            Event::TakenOver { .. } => true,
            _ => false,
        };
        match self.last(unknown) {
            Some((seq, Fact { event: Event::OutcomeUnknown { at, .. }, .. })) => {
                vec![Ground::Time { seq, at: *at }]
            }
            Some((seq, fact)) => {
                vec![Ground::Earlier { seq, event: fact.event.name().to_owned() }]
            }
            None => Vec::new(),
        }
    }

    /// The outcome of the attempt under way.
    fn answer(
        &self,
        step: &StepRef,
        evidence: Option<&Evidence>,
        error: Option<&EffectError>,
    ) -> Vec<Ground> {
        let starts =
            |event: &Event| matches!(event, Event::StepStarted { step: s, .. } if s == step);
        let Some((seq, fact)) = self.last(starts) else { return Vec::new() };
        let Event::StepStarted { mode, .. } = &fact.event else { return Vec::new() };
        let wait = self.state.active(step.index).map(|active| &active.wait);
        match (wait, error) {
            (Some(Wait::Outcome { deadline, .. }), Some(error)) if error.kind == "timeout" => {
                vec![Ground::Deadline { seq, at: *deadline }]
            }
            _ => {
                let (evidence, error) = (evidence.cloned(), error.cloned());
                vec![Ground::Answer { seq, mode: *mode, evidence, error }]
            }
        }
    }

    fn succeeded(
        &self,
        step: &StepRef,
        evidence: &Evidence,
        basis: Option<Box<Basis>>,
    ) -> Vec<Ground> {
        match self.state.active(step.index).map(|active| &active.wait) {
            Some(Wait::Bake { until }) => {
                // With the bake, or when somebody ended it.
                let sets = |event: &Event| match event {
                    Event::StepStarted { step: s, .. } | Event::BakeEnded { step: s, .. } => {
                        s == step
                    }
                    _ => false,
                };
                let set = self.last(sets).map(|(seq, _)| Ground::Time { seq, at: *until });
                set.into_iter().collect()
            }
            Some(Wait::Outcome { .. }) => self.answer(step, Some(evidence), None),
            _ => self.started(step, basis),
        }
    }

    fn failed(
        &self,
        step: &StepRef,
        error: &EffectError,
        evidence: Option<&Evidence>,
    ) -> Vec<Ground> {
        if self.state.status(step.index) == Some(Status::Running) {
            return self.answer(step, evidence, Some(error));
        }
        let mut all = self.ready(step);
        all.extend(self.votes(step, false));
        all
    }

    /// What made the run leave a part behind.
    fn left(&self, part: Option<&Part>) -> Vec<Ground> {
        let fits = |event: &Event| match (part, event) {
            (Some(Part::Service { service }), Event::Descoped { service: named, .. }) => {
                service == named
            }
            (Some(part), Event::StepFailed { step, .. }) => {
                self.state.plan().get(step.index).is_some_and(|step| part.covers(step))
            }
            _ => false,
        };
        self.earlier(fits).into_iter().collect()
    }

    /// What made the run stop.
    fn stopped(&self) -> Vec<Ground> {
        let cause = match self.state.phase() {
            Phase::Stopping(cause) | Phase::RollingBack(cause) => Some(cause),
            _ => self.state.halted(),
        };
        let Some(cause) = cause else { return Vec::new() };
        let fits = |event: &Event| match (cause, event) {
            (Cause::StepFailed { step, .. }, Event::StepFailed { step: failed, .. }) => {
                step == failed
            }
            (Cause::Cancelled { .. }, Event::CancelRequested { .. })
            | (Cause::Superseded { .. }, Event::Superseded { .. }) => true,
            (Cause::Signalled { signal, .. }, Event::Signalled { signal: told, .. }) => {
                signal == told
            }
            _ => false,
        };
        self.earlier(fits).into_iter().collect()
    }

    fn finished(&self, outcome: &Outcome) -> Vec<Ground> {
        let forced = |event: &Event| matches!(event, Event::AbandonForced { .. });
        match outcome {
            Outcome::Abandoned { by, reason } => {
                let earlier = self.earlier(forced);
                vec![earlier.unwrap_or_else(|| asked(by, Some(reason)))]
            }
            Outcome::Succeeded | Outcome::SucceededWithout { .. } => self.last_step(),
            Outcome::RolledBack { .. } => {
                let mut all = self.stopped();
                all.extend(self.last_step());
                all
            }
            Outcome::Failed { .. } | Outcome::Cancelled { .. } => self.stopped(),
        }
    }

    /// The last step that was done, with which all are.
    fn last_step(&self) -> Vec<Ground> {
        let done = |event: &Event| {
            matches!(
                event,
                Event::StepSucceeded { .. } | Event::StepFailed { .. } | Event::Reconciled { .. }
            )
        };
        let last = self.last(done).and_then(|(seq, fact)| Some((seq, fact.event.step()?)));
        last.map(|(seq, step)| Ground::Done { seq, step: step.clone() }).into_iter().collect()
    }
}

fn made_from(inputs: Option<&Inputs>) -> Option<Ground> {
    inputs.map(|inputs| Ground::MadeFrom { inputs: Box::new(*inputs) })
}
