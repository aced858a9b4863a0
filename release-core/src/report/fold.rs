//! Turns a verified history into what people want to know of a run.

use std::collections::BTreeMap;

use super::looks::{self, Compared};
use super::routed::Routed;
use crate::ids::{EnvironmentId, ReleaseId, RunId, StepId, TrainId};
use crate::journal::{Damage, History};
use crate::model::{Digest, Finite, Principal, Unmeasured};
use crate::plan::{Edge, FrozenPlan, Weight};
use crate::port::{Evidence, Measurement, Pair, Reason};
use crate::run::{Event, Mode, Outcome, RunState, Status};
use crate::time::{Span, Timestamp};

/// What the timeline says of a step that failed for good.
pub(super) const FAILED: &str = "failed";

/// A run as people want to read it. Everything in it follows from the verified records alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an unread report explains nothing"]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// The train.
    pub train: TrainId,
    /// The release.
    pub release: ReleaseId,
    /// The plan that it pins.
    pub plan: Digest,
    /// Who asked for it.
    pub requester: Principal,
    /// When it began.
    pub began: Timestamp,
    /// When the last thing happened.
    pub last: Timestamp,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// The steps, those of a rollback last.
    pub steps: Vec<StepReport>,
    /// Which step waited for which, by place in `steps`.
    pub edges: Vec<Edge>,
    /// Where users may get a version of which nothing was measured before, and why: the stage's own words.
    pub unmeasured: BTreeMap<EnvironmentId, Unmeasured>,
    /// How it left the traffic of each target, where that was seen.
    pub routed: Vec<Routed>,
    /// What judges that compare versions saw.
    pub compared: Vec<Compared>,
    /// What happened, in order.
    pub timeline: Vec<TimelineEntry>,
    /// The hash of the last record.
    pub head: Digest,
}

/// One step as people want to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// Its id.
    pub id: String,
    /// What it does.
    pub action: String,
    /// How it stands.
    pub status: Status,
    /// Whether it puts something back: part of a rollback, or of what takes back a part left behind.
    pub rollback: bool,
    /// When it first started.
    pub began: Option<Timestamp>,
    /// When it was done or given up.
    pub ended: Option<Timestamp>,
    /// How often it acted.
    pub attempts: u32,
    /// How often it acted again under the same idempotency key while nobody knew what had come of
    /// the time before: without a failure, a look that found nothing, or a person's word in between.
    /// The engine never does that; see [`RunReport::repeated`].
    pub blind_repeats: u32,
    /// What was observed last, or what failed.
    pub finding: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// Its place in the journal, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The step, the gate or nothing.
    pub subject: String,
    /// What.
    pub what: String,
    /// Why: the reasons that were recorded with it.
    pub why: String,
    /// The record's hash.
    pub hash: Digest,
}

impl RunReport {
    /// Folds a verified history into a report.
    ///
    /// # Errors
    /// [`Damage`] names the first record that does not fit the plan.
    pub fn new(history: &History, plan: FrozenPlan) -> Result<Self, Damage> {
        let state = history.state(plan, None)?;
        let frozen = state.plan();
        let mut steps = (0..).map_while(|index| step(&state, index)).collect::<Vec<_>>();
        let mut open = Open::default();
        let mut compared = looks::steps(&state);
        for fact in history.facts() {
            looks::add(&mut compared, fact.at, &fact.event);
            note(&mut steps, fact.at, &fact.event, open.repeats(&fact.event));
        }
        let seqs = (1..).zip(history.facts()).zip(history.hashes());
        let timeline =
            seqs.map(|((seq, fact), hash)| entry(seq, fact.at, &fact.event, *hash)).collect();
        let undo = frozen.extensions().flat_map(|(base, extension)| {
            let shifted = move |edge: &Edge| {
                let (from, to) = (edge.from.saturating_add(base), edge.to.saturating_add(base));
                Edge { from, to, why: edge.why }
            };
            extension.edges.iter().map(shifted)
        });
        let times = |fact: &crate::run::Fact| fact.at;
        Ok(Self {
            run: state.run().clone(),
            train: frozen.plan().train().clone(),
            release: frozen.plan().release().clone(),
            plan: frozen.digest(),
            requester: (**state.requester()).clone(),
            began: history.facts().first().map(times).unwrap_or_default(),
            last: history.facts().last().map(times).unwrap_or_default(),
            outcome: state.outcome().cloned(),
            edges: frozen.plan().edges().iter().copied().chain(undo).collect(),
            steps,
            unmeasured: frozen.plan().unmeasured_by_word().clone(),
            routed: Routed::of(history.facts(), frozen),
            compared: looks::with_something_to_show(compared),
            timeline,
            head: history.head(),
        })
    }

    /// How long it took, so far or in all.
    pub fn took(&self) -> Span {
        self.last.since(self.began)
    }

    /// Steps that acted again under the same idempotency key before it was known what had come of
    /// the time before, for example blindly after a crash.
    ///
    /// Derived from the starts in the journal, so it witnesses what the engine announced. What the
    /// journal cannot witness is what a provider really did: for that, ask the provider for a record
    /// of its own, as the local platform's log of effects.
    pub fn repeated(&self) -> Vec<&StepReport> {
        self.steps.iter().filter(|step| step.blind_repeats > 0).collect()
    }
}

/// Which steps have acted under their present key without anybody knowing what came of it.
#[derive(Default)]
struct Open(std::collections::BTreeSet<StepId>);

impl Open {
    /// Notes an event; whether it acts again although the time before is still open.
    fn repeats(&mut self, event: &Event) -> bool {
        match event {
            Event::StepStarted { step, mode: Mode::Perform, .. } => !self.0.insert(step.id.clone()),
            // Known to have failed or to be absent, or a new key: acting again is no repetition.
            Event::StepSucceeded { step, .. }
            | Event::StepMeasured { step, .. }
            | Event::StepRetried { step, .. }
            | Event::StepFailed { step, .. }
            | Event::RetryRequested { step, .. }
            | Event::Reconciled { step, .. } => {
                self.0.remove(&step.id);
                false
            }
            // A look answers by one of the above; the rest tell nothing of what came of it.
            _ => false,
        }
    }
}

fn step(state: &RunState, index: u32) -> Option<StepReport> {
    let step = state.plan().get(index)?;
    Some(StepReport {
        id: step.id.to_string(),
        action: step.action.to_string(),
        status: state.status(index)?,
        rollback: state.plan().in_rollback(index),
        began: None,
        ended: None,
        attempts: 0,
        blind_repeats: 0,
        finding: String::new(),
    })
}

fn note(steps: &mut [StepReport], at: Timestamp, event: &Event, repeats: bool) {
    let Some(step) = event.step() else { return };
    // Before a migration steps stood elsewhere, and some are no more.
    let stands =
        |index: &usize| steps.get(*index).is_some_and(|known| known.id == step.id.as_str());
    let place = Some(step.index as usize).filter(stands);
    let moved = || steps.iter().position(|known| known.id == step.id.as_str());
    let Some(place) = place.or_else(moved) else { return };
    let Some(report) = steps.get_mut(place) else { return };
    match event {
        Event::StepStarted { mode, .. } => {
            report.began.get_or_insert(at);
            report.attempts += u32::from(*mode == Mode::Perform);
            report.blind_repeats += u32::from(repeats);
        }
        Event::StepSucceeded { .. } | Event::StepFailed { .. } | Event::Reconciled { .. } => {
            report.began.get_or_insert(at);
            report.ended = Some(at);
            report.finding = why(event);
        }
        Event::StepMeasured { .. } | Event::StepRetried { .. } | Event::OutcomeUnknown { .. } => {
            report.finding = why(event);
        }
        _ => {}
    }
}

fn entry(seq: u64, at: Timestamp, event: &Event, hash: Digest) -> TimelineEntry {
    let subject = match event {
        Event::Approved { gate, .. }
        | Event::ApprovalWithdrawn { gate, .. }
        | Event::Rejected { gate, .. } => gate.to_string(),
        Event::RollbackBlocked { step, .. } => step.to_string(),
        Event::Descoped { service, .. } => service.to_string(),
        Event::Noted { topic, .. } => topic.to_string(),
        Event::Signalled { signal, .. } => signal.to_string(),
        _ => event.step().map(|step| step.id.to_string()).unwrap_or_default(),
    };
    TimelineEntry { seq, at, subject, what: what(event), why: why(event), hash }
}

fn what(event: &Event) -> String {
    match event {
        Event::RunCreated { .. } => "run created".into(),
        Event::TakenOver { engine } => format!("taken over by {engine}"),
        Event::QuarantineReleased { .. } => "released from quarantine".into(),
        Event::PlanMigrated { to, .. } => format!("goes on with plan {to}"),
        Event::StepStarted { attempt, mode: Mode::Perform, .. } => {
            format!("started, attempt {attempt}")
        }
        Event::StepStarted { attempt, mode: Mode::Look, .. } => {
            format!("looked for, attempt {attempt}")
        }
        Event::StepSucceeded { .. } => "succeeded".into(),
        Event::StepMeasured { verdict, .. } => format!("measured: {verdict:?}").to_lowercase(),
        Event::StepRetried { at, .. } => format!("to be tried again at {at}"),
        Event::OutcomeUnknown { .. } => "outcome unknown".into(),
        Event::NeedsReconcile { .. } => "waits for a person to say whether it took effect".into(),
        Event::StepBlocked { .. } => "may not start yet".into(),
        Event::StepFailed { .. } => FAILED.into(),
        Event::Approved { .. } => "approved".into(),
        Event::ApprovalWithdrawn { .. } => "approval taken back".into(),
        Event::Rejected { .. } => "rejected".into(),
        Event::Paused { .. } => "run paused".into(),
        Event::Resumed { .. } => "run resumed".into(),
        Event::CancelRequested { .. } => "cancel requested".into(),
        Event::Superseded { run, .. } => format!("superseded by {run}"),
        Event::AbandonForced { .. } => "abandon forced".into(),
        Event::AlternateChosen { action, .. } => format!("failed; tried instead: {action}"),
        Event::RollbackStuck { .. } => "rollback stuck; people are called".into(),
        Event::RetryRequested { .. } => "retry requested".into(),
        Event::BakeEnded { .. } => "bake ended before its time".into(),
        Event::Reconciled { applied: true, .. } => "said to have taken effect".into(),
        Event::Reconciled { applied: false, .. } => "said not to have taken effect".into(),
        Event::CommandDenied { command, .. } => format!("`{command}` denied"),
        Event::Noted { .. } => "noted".into(),
        Event::Signalled { answer, .. } => answer.to_string(),
        Event::Descoped { .. } => "left behind".into(),
        Event::TakeBackStarted { extension, .. } => match &extension.part {
            Some(part) => format!("{part} is left behind: {} steps undone", extension.undoes.len()),
            None => format!("{} steps undone", extension.undoes.len()),
        },
        Event::RollbackStarted { extension, .. } => {
            format!("rollback of {} steps started", extension.undoes.len())
        }
        Event::RollbackBlocked { .. } => "rollback not possible".into(),
        Event::RunFinished { outcome } => format!("run {}", outcome.name().replace('_', " ")),
    }
}

/// The reasons that were recorded with an event, as one line.
fn why(event: &Event) -> String {
    let said = |by: &Principal, reason: &str| format!("{by}: {reason}");
    match event {
        Event::RunCreated { plan, requester, .. } => {
            format!("asked for by {requester}; plan {plan}")
        }
        Event::StepSucceeded { because: Some(because), .. }
        | Event::StepMeasured { because, .. }
        | Event::TakeBackStarted { because, .. } => because.clone(),
        Event::StepSucceeded { evidence, .. } => evidence_text(evidence),
        Event::StepRetried { error, .. }
        | Event::OutcomeUnknown { error, .. }
        | Event::NeedsReconcile { error, .. }
        | Event::AlternateChosen { error, .. }
        | Event::StepFailed { error, .. } => format!("{}: {error}", error.kind),
        Event::StepBlocked { reasons, .. } => join(reasons),
        Event::RollbackStuck { steps } => {
            let steps: Vec<_> = steps.iter().map(|step| format!("`{}`", step.id)).collect();
            format!("a person has to act on {}", steps.join(", "))
        }
        Event::Approved { by, reason, .. }
        | Event::ApprovalWithdrawn { by, reason, .. }
        | Event::Rejected { by, reason, .. }
        | Event::Paused { by, reason }
        | Event::QuarantineReleased { by, reason }
        | Event::PlanMigrated { by, reason, .. }
        | Event::Resumed { by, reason }
        | Event::CancelRequested { by, reason }
        | Event::Superseded { by, reason, .. }
        | Event::Descoped { by, reason, .. }
        | Event::Noted { by, reason, .. }
        | Event::Signalled { by, reason, .. }
        | Event::AbandonForced { by, reason }
        | Event::RetryRequested { by, reason, .. }
        | Event::BakeEnded { by, reason, .. }
        | Event::Reconciled { by, reason, .. } => said(by, reason),
        Event::CommandDenied { by, reasons, .. } => said(by, &join(reasons)),
        Event::RollbackStarted { cause, .. } => cause.to_string(),
        Event::RollbackBlocked { cause, justification, .. } => format!("{cause}; {justification}"),
        Event::RunFinished { outcome } => outcome.to_string(),
        Event::TakenOver { .. } | Event::StepStarted { .. } => String::new(),
    }
}

fn join(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn evidence_text(evidence: &Evidence) -> String {
    match evidence {
        Evidence::Done => String::new(),
        Evidence::Artifact { digest, bytes } => format!("{bytes} bytes, {digest}"),
        Evidence::Instances { digest, running, .. } => format!("{running} run {}", digest.short()),
        Evidence::Health { ready, .. } => format!("{ready} ready"),
        Evidence::Weights { weights, rules, .. } => {
            let share = |w: &Weight| format!("{}% {}", w.percent, w.label());
            let shares: Vec<_> = weights.iter().map(share).collect();
            let rules = rules.as_ref().map(ToString::to_string).unwrap_or_default();
            if shares.is_empty() {
                "nobody is served".into()
            } else {
                format!("in effect: {}{rules}", shares.join(", "))
            }
        }
        Evidence::Flag(reading) => reading.to_string(),
        Evidence::Measurement(one) => measurement(one),
        Evidence::Measurements { of } => of.iter().map(measurement).collect::<Vec<_>>().join("; "),
        Evidence::Comparisons { of } => {
            let pair = |pair: &Pair| {
                format!("{} beside {}", measurement(&pair.canary), measurement(&pair.baseline))
            };
            of.iter().map(pair).collect::<Vec<_>>().join("; ")
        }
        Evidence::Comparison { canary, baseline } => {
            format!("{} beside {}", measurement(canary), measurement(baseline))
        }
        Evidence::Custom { output } => output.to_string(),
    }
}

fn measurement(measurement: &Measurement) -> String {
    match measurement {
        Measurement::Ratio { numerator, denominator, .. } => {
            format!("{numerator} of {denominator}")
        }
        Measurement::Histogram { buckets, .. } => {
            let all = buckets.last().map_or(Finite::ZERO, |bucket| bucket.count);
            format!("{all} observations")
        }
        Measurement::Value { value, .. } => value.to_string(),
        Measurement::Points { points, .. } => {
            let numbers = points.iter().filter(|point| point.number().is_some()).count();
            format!("{numbers} points")
        }
        Measurement::NoData { reason } => format!("no data: {reason}"),
    }
}
