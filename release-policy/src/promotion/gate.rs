//! Entry and exit gates: criteria and sources, evaluated together, from evidence that was handed in.

use std::collections::BTreeMap;

use release_core::model::{AnalysisId, Digest, EnvironmentId, Finite, GateId, Timestamp};
use serde::{Deserialize, Serialize};

use super::eligible::{Eligibility, eligibility};
use super::history::History;
use super::pipeline::{Condition, Criterion, Pipeline, Value};
use super::sampling::{Found, Sample};
use super::verdict::Verdict;
use crate::approval::{Answer, ApprovalOutcome, Subject};

/// A measured value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// When it was measured.
    pub at: Timestamp,
    /// The digest of the subject that it was measured of.
    pub of: Digest,
    /// The value; `None` when there was no data.
    pub value: Option<Finite>,
}

/// All that is known when a gate is evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// What wants to move, as it is now. Evidence of anything else does not count.
    pub subject: Subject,
    /// Since when it waits at this gate.
    pub began: Timestamp,
    /// Samples of checks, in any order.
    pub samples: Vec<Sample>,
    /// The last value of each analysis.
    pub readings: BTreeMap<AnalysisId, Reading>,
    /// What became of each question for approval.
    pub approvals: BTreeMap<GateId, ApprovalOutcome>,
}

impl Evidence {
    /// Nothing is known yet of `subject`, which waits since `began`.
    pub const fn new(subject: Subject, began: Timestamp) -> Self {
        Self {
            subject,
            began,
            samples: Vec::new(),
            readings: BTreeMap::new(),
            approvals: BTreeMap::new(),
        }
    }

    /// Adds a sample.
    #[must_use]
    pub fn sample(mut self, sample: Sample) -> Self {
        self.samples.push(sample);
        self
    }
}

/// What a gate says, with all that it consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a verdict that nobody reads holds nothing"]
pub struct GateAnswer {
    /// The worst of all its parts.
    pub verdict: Verdict,
    /// Of an entry gate: what the sources say.
    pub eligibility: Option<Eligibility>,
    /// What each criterion says, in the order in which they are written.
    pub criteria: Vec<(GateId, Verdict)>,
}

impl GateAnswer {
    /// The criteria that do not hold.
    pub fn unmet(&self) -> impl Iterator<Item = &(GateId, Verdict)> {
        self.criteria.iter().filter(|(_, verdict)| !verdict.is_pass())
    }
}

/// Whether what `evidence` is about may enter `stage` at `now`: its sources and all entry criteria, together. `None`
/// when there is no such stage.
pub fn may_enter(
    pipeline: &Pipeline,
    history: &History,
    stage: &EnvironmentId,
    evidence: &Evidence,
    now: Timestamp,
) -> Option<GateAnswer> {
    let eligible = eligibility(pipeline, history, stage, &evidence.subject, now)?;
    let entry = &pipeline.stage(stage)?.entry;
    Some(answer(pipeline, Some(eligible), entry, evidence, now))
}

/// Whether what `evidence` is about counts as verified in `stage` at `now`: all exit criteria, together. A stage
/// without any passes at once; [`analyse`](super::analyse) tells of those. `None` when there is no such stage.
pub fn may_leave(
    pipeline: &Pipeline,
    stage: &EnvironmentId,
    evidence: &Evidence,
    now: Timestamp,
) -> Option<GateAnswer> {
    let exit = &pipeline.stage(stage)?.exit;
    Some(answer(pipeline, None, exit, evidence, now))
}

fn answer(
    pipeline: &Pipeline,
    eligibility: Option<Eligibility>,
    criteria: &[Criterion],
    evidence: &Evidence,
    now: Timestamp,
) -> GateAnswer {
    let lease = pipeline.lease_from(now);
    let one = |criterion: &Criterion| {
        (criterion.id.clone(), criterion_verdict(criterion, evidence, lease, now))
    };
    let criteria: Vec<_> = criteria.iter().map(one).collect();
    let first = eligibility.as_ref().map(|eligible| eligible.verdict.clone());
    let verdict = first
        .into_iter()
        .chain(criteria.iter().map(|(_, verdict)| verdict.clone()))
        .fold(Verdict::pass(&evidence.subject, lease), Verdict::and);
    GateAnswer { verdict, eligibility, criteria }
}

/// What one criterion says. What is not met in its time fails, whatever else is missing of it.
fn criterion_verdict(
    criterion: &Criterion,
    evidence: &Evidence,
    lease: Timestamp,
    now: Timestamp,
) -> Verdict {
    let subject = &evidence.subject;
    let verdict = match &criterion.condition {
        Condition::Sampling(sampling) => {
            sampling.verdict(subject, evidence.began, &evidence.samples, now)
        }
        Condition::Fresh(max_age) => {
            let of = subject.digest();
            let ours = |sample: &&Sample| {
                sample.check == criterion.id && sample.of == of && sample.at <= now
            };
            // Of several at one instant the worst counts.
            let key = |sample: &&Sample| (sample.at, sample.found != Found::Good, sample.found);
            match evidence.samples.iter().filter(ours).max_by_key(key) {
                None => Verdict::Inconclusive,
                Some(sample) => {
                    let good = match sample.found {
                        Found::Good => Some(true),
                        Found::Bad => Some(false),
                        Found::Unknown => None,
                    };
                    aged(good, subject, sample.at.plus(*max_age), now)
                }
            }
        }
        Condition::Value(value) => measured(value, evidence, now),
        Condition::Approval(_) => {
            approved(evidence.approvals.get(&criterion.id), subject, lease, now)
        }
        Condition::NotBefore(at) if now < *at => Verdict::Pending { recheck_at: Some(*at) },
        Condition::NotBefore(_) => Verdict::pass(subject, lease),
        Condition::NotAfter(at) if now < *at => Verdict::pass(subject, lease.min(*at)),
        Condition::NotAfter(_) => Verdict::Fail,
    };
    let Some(deadline) = criterion.within.map(|within| evidence.began.plus(within)) else {
        return verdict;
    };
    match verdict {
        Verdict::Pass { .. } => verdict,
        _ if now >= deadline => Verdict::Fail,
        Verdict::Pending { recheck_at } => {
            let recheck_at = Some(recheck_at.map_or(deadline, |at| at.min(deadline)));
            Verdict::Pending { recheck_at }
        }
        Verdict::Fail | Verdict::Inconclusive => verdict,
    }
}

/// Evidence until just before it is too old.
fn aged(good: Option<bool>, subject: &Subject, until: Timestamp, now: Timestamp) -> Verdict {
    match good {
        _ if now >= until => Verdict::Inconclusive,
        Some(true) => Verdict::pass(subject, until),
        Some(false) => Verdict::Fail,
        None => Verdict::Inconclusive,
    }
}

fn measured(value: &Value, evidence: &Evidence, now: Timestamp) -> Verdict {
    let of = evidence.subject.digest();
    let reading = evidence.readings.get(&value.analysis);
    match reading.filter(|reading| reading.of == of && reading.at <= now) {
        None => Verdict::Inconclusive,
        Some(reading) => {
            let good = reading.value.map(|measured| value.bound.holds(measured));
            aged(good, &evidence.subject, reading.at.plus(value.max_age), now)
        }
    }
}

/// What an answer to a question for approval is worth at `now`: nothing before it was given, after it may have
/// changed, or for another subject.
fn approved(
    outcome: Option<&ApprovalOutcome>,
    subject: &Subject,
    lease: Timestamp,
    now: Timestamp,
) -> Verdict {
    let Some(outcome) = outcome else { return Verdict::Pending { recheck_at: None } };
    let over = outcome.next_change.is_some_and(|change| now >= change);
    if outcome.subject != *subject || outcome.at > now || over {
        return Verdict::Inconclusive;
    }
    match outcome.answer {
        Answer::Met => {
            let until = outcome.next_change.map_or(lease, |change| change.min(lease));
            Verdict::pass(subject, until)
        }
        Answer::Open => Verdict::Pending { recheck_at: outcome.next_change },
        Answer::Vetoed => Verdict::Fail,
        Answer::Denied { .. } => Verdict::Inconclusive,
    }
}
