//! Whether a version set may come into a stage, by the stages it comes from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use release_core::model::{Digest, EnvironmentId, Span, Timestamp, WaiverId};
use serde::{Deserialize, Serialize};

use super::history::{Given, History, Waivable};
use super::pipeline::{Availability, Pipeline, StageSpec};
use super::sampling::Found;
use super::verdict::Verdict;
use crate::approval::Subject;

/// Whether a version set may come into a stage, with every source of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a verdict that nobody reads holds nothing"]
pub struct Eligibility {
    /// Whether it may.
    pub verdict: Verdict,
    /// Whether it may come straight from where it was made.
    pub direct: bool,
    /// Each stage it may come from.
    pub sources: Vec<SourceState>,
    /// The overrides that were used.
    pub overrides: Vec<WaiverId>,
}

/// What one source says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// The stage.
    pub stage: EnvironmentId,
    /// Whether the set may come from there.
    pub verdict: Verdict,
    /// How it stands there.
    pub standing: Standing,
    /// How long it soaked there at most.
    pub soaked: Span,
}

/// How a version set stands in a stage, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its last verification there failed, or it no longer has a sound way there: a stage before that one, without
    /// which it could not have come, has failed it since.
    Revoked,
    /// The last verification, there or before, could not tell.
    Unknown,
    /// It was never verified there, or in a stage before that one.
    Unverified,
    /// It is verified there, and in stages before that one as their sources ask.
    Sound,
}

/// How a set stands in every stage.
///
/// A verification counts as long as its stage's own sources are sound: so a verification that fails when it is done
/// again takes from all stages behind it what came only through there. Stages that wait for each other in a circle are
/// never sound. Soak times are conditions on moving, and do not matter here.
pub fn standings<'a>(
    pipeline: &'a Pipeline,
    history: &History,
    set: Digest,
    now: Timestamp,
) -> BTreeMap<&'a EnvironmentId, Standing> {
    let mut all: BTreeMap<_, _> =
        pipeline.stages().map(|stage| (&stage.environment, Standing::Revoked)).collect();
    let own: BTreeMap<_, _> = pipeline
        .stages()
        .map(|stage| (&stage.environment, (stage, own(pipeline, history, stage, set, now))))
        .collect();
    let mut behind = BTreeMap::<_, Vec<_>>::new();
    for stage in pipeline.stages() {
        for source in &stage.sources.stages {
            behind.entry(source).or_default().push(&stage.environment);
        }
    }
    // The least fixed point: from the worst upwards. A stage is looked at again when one that it comes from
    // has risen, which each can do three times.
    let mut waiting: BTreeSet<_> = own.keys().copied().collect();
    let mut queue: VecDeque<_> = own.keys().copied().collect();
    while let Some(id) = queue.pop_front() {
        waiting.remove(id);
        let (Some((stage, own)), Some(before)) = (own.get(id), all.get(id)) else { continue };
        let risen = match own {
            Own::Settled(standing) => *standing,
            Own::AtMost(standing) => way_in(stage, &all).min(*standing),
        };
        if risen == *before {
            continue;
        }
        all.insert(id, risen);
        for next in behind.get(id).into_iter().flatten() {
            if waiting.insert(*next) {
                queue.push_back(*next);
            }
        }
    }
    all
}

/// What a stage's own history says of a set.
#[derive(Debug, Clone, Copy)]
enum Own {
    /// So it stands, wherever it came from.
    Settled(Standing),
    /// So it stands if its sources let it in, and else as they stand.
    AtMost(Standing),
}

fn own(
    pipeline: &Pipeline,
    history: &History,
    stage: &StageSpec,
    set: Digest,
    now: Timestamp,
) -> Own {
    let (at, found) = match history.last_verified(&stage.environment, set, now) {
        None => return Own::AtMost(Standing::Unverified),
        Some((_, Found::Bad)) => return Own::Settled(Standing::Revoked),
        Some(last) => last,
    };
    let here = if found == Found::Good { Standing::Sound } else { Standing::Unknown };
    let overridden = history
        .overrides(&stage.environment, set, at)
        .filter(|given| counts(pipeline, history, given, set, now))
        .any(|given| given.over.waives.contains(&Waivable::Verification));
    if overridden { Own::Settled(here) } else { Own::AtMost(here) }
}

fn way_in(stage: &StageSpec, all: &BTreeMap<&EnvironmentId, Standing>) -> Standing {
    if stage.sources.direct {
        return Standing::Sound;
    }
    let sources = stage.sources.stages.iter();
    let standings = sources.map(|id| all.get(id).copied().unwrap_or(Standing::Revoked));
    match stage.sources.availability {
        Availability::All => standings.min(),
        Availability::OneOf => standings.max(),
    }
    .unwrap_or(Standing::Revoked)
}

/// An override counts unless a verification before its stage failed after it was given: who gave it did not know.
fn counts(
    pipeline: &Pipeline,
    history: &History,
    given: &Given,
    set: Digest,
    now: Timestamp,
) -> bool {
    let failed_since = |stage: &EnvironmentId| {
        let last = history.last_verified(stage, set, now);
        last.is_some_and(|(at, found)| found == Found::Bad && at >= given.at)
    };
    !pipeline.upstream(&given.over.stage).into_iter().any(failed_since)
}

/// Whether the version set of `subject` may come into `stage` at `now`; `None` when there is no such stage.
///
/// It may when it comes straight from where it was made, if the stage lets it; or when it is verified and soaked in
/// one of the stages before, or in all of them, as the stage asks. Overrides waive what they name.
pub fn eligibility(
    pipeline: &Pipeline,
    history: &History,
    stage: &EnvironmentId,
    subject: &Subject,
    now: Timestamp,
) -> Option<Eligibility> {
    let stage = pipeline.stage(stage)?;
    let set = subject.artifacts;
    let given: Vec<_> = history
        .overrides(&stage.environment, set, now)
        .filter(|given| counts(pipeline, history, given, set, now))
        .collect();
    let all = standings(pipeline, history, set, now);
    let asked = Asked { pipeline, history, stage, subject, now, given };
    let sources: Vec<_> = stage
        .sources
        .stages
        .iter()
        .map(|id| asked.source(id, all.get(id).copied().unwrap_or(Standing::Revoked)))
        .collect();
    let verdicts = sources.iter().map(|source| source.verdict.clone());
    let staged = match stage.sources.availability {
        Availability::All => verdicts.reduce(Verdict::and),
        Availability::OneOf => verdicts.reduce(Verdict::or),
    };
    let direct = stage.sources.direct;
    let straight = direct.then(|| Verdict::pass(subject, pipeline.lease_from(now)));
    // INVARIANT: a checked pipeline has no stage without a source.
    let verdict = staged.into_iter().chain(straight).reduce(Verdict::or).unwrap_or(Verdict::Fail);
    let overrides = asked.given.iter().map(|given| given.over.id.clone()).collect();
    Some(Eligibility { verdict, direct, sources, overrides })
}

struct Asked<'a> {
    pipeline: &'a Pipeline,
    history: &'a History,
    stage: &'a StageSpec,
    subject: &'a Subject,
    now: Timestamp,
    given: Vec<&'a Given>,
}

impl Asked<'_> {
    fn pass(&self) -> Verdict {
        Verdict::pass(self.subject, self.pipeline.lease_from(self.now))
    }

    /// Until when a condition is waived, if it is.
    fn waived(&self, what: Waivable) -> Option<Verdict> {
        let that = self.given.iter().filter(|given| given.over.waives.contains(&what));
        let until = that.map(|given| given.over.until).max()?;
        Some(Verdict::pass(self.subject, until.min(self.pipeline.lease_from(self.now))))
    }

    fn source(&self, id: &EnvironmentId, standing: Standing) -> SourceState {
        let waived = self.waived(Waivable::Verification);
        let (soaked, running) =
            self.history.soaked(id, self.subject.artifacts, waived.is_some(), self.now);
        let verified = waived.unwrap_or_else(|| match standing {
            Standing::Sound => self.pass(),
            Standing::Unverified => Verdict::Pending { recheck_at: None },
            Standing::Unknown => Verdict::Inconclusive,
            Standing::Revoked => Verdict::Fail,
        });
        let needed = self.stage.sources.soak;
        let soak = self.waived(Waivable::Soak).unwrap_or_else(|| {
            if soaked >= needed {
                self.pass()
            } else {
                Verdict::Pending { recheck_at: running.map(|since| since.plus(needed)) }
            }
        });
        SourceState { stage: id.clone(), verdict: verified.and(soak), standing, soaked }
    }
}
