//! A gate that samples checks, and passes only after they have been good for a while without a break.
//!
//! Time from the first sampling on is cut into rounds of one interval. A round is good when every check passed in
//! it and none failed; it counts from the instant at which the last of them passed.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, GateId, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::verdict::Verdict;
use crate::approval::Subject;

/// The longest time that a gate may take: 30 days.
pub const LONGEST: Span = Span::secs(30 * 86_400);

/// How checks are sampled, as it is written down. In Azure Pipelines these are the evaluation options of gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingSpec {
    /// What is sampled. In each round all of these must pass.
    pub checks: BTreeSet<GateId>,
    /// How long nothing is sampled at first (`stabilizationTime`).
    #[serde(default)]
    pub delay: Span,
    /// How long a round is (`samplingInterval`).
    pub interval: Span,
    /// For how long rounds must be good without a break (`minimumSuccessDuration`). Nothing: one round.
    #[serde(default)]
    pub steady: Span,
    /// How long after it began it fails (`timeout`). The delay is part of it.
    pub timeout: Span,
}

/// Sampling that is sound: it ends, and it can pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SamplingSpec", into = "SamplingSpec")]
pub struct Sampling(SamplingSpec);

/// What is wrong with a sampling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// It samples nothing.
    #[error("it samples nothing; name a check")]
    NoChecks,
    /// Its rounds have no length.
    #[error("its interval is {0}; sample every millisecond at most")]
    Interval(Span),
    /// It could never pass.
    #[error(
        "its timeout of {timeout} is over before it can pass, {needed} after it began; set a longer one"
    )]
    Timeout {
        /// The timeout.
        timeout: Span,
        /// Delay and steady time together.
        needed: Span,
    },
    /// It takes too long.
    #[error("its timeout of {0} is longer than {LONGEST}; set a shorter one")]
    TooLong(Span),
}

impl TryFrom<SamplingSpec> for Sampling {
    type Error = SamplingError;
    fn try_from(spec: SamplingSpec) -> Result<Self, SamplingError> {
        let SamplingSpec { checks, delay, interval, steady, timeout } = &spec;
        if checks.is_empty() {
            return Err(SamplingError::NoChecks);
        }
        if *interval < Span::millis(1) {
            return Err(SamplingError::Interval(*interval));
        }
        if *timeout > LONGEST {
            return Err(SamplingError::TooLong(*timeout));
        }
        let needed = Span::from(delay.as_duration().saturating_add(steady.as_duration()));
        if needed >= *timeout {
            return Err(SamplingError::Timeout { timeout: *timeout, needed });
        }
        Ok(Self(spec))
    }
}

impl From<Sampling> for SamplingSpec {
    fn from(sampling: Sampling) -> Self {
        sampling.0
    }
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// All is well.
    Good,
    /// It is not.
    Bad,
    /// It could not be told: no data, a timeout, garbage.
    Unknown,
}

/// One sample of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The check.
    pub check: GateId,
    /// When it was taken.
    pub at: Timestamp,
    /// The digest of the subject that it was taken of; others' samples do not count.
    pub of: Digest,
    /// What was found.
    pub found: Found,
}

/// What the samples of one round come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// All passed, the last of them first at this instant.
    Good(i64),
    /// A check failed.
    Bad,
    /// A check could not tell.
    Unknown,
    /// Some checks have no sample.
    Missing,
}

impl Sampling {
    /// As it is written.
    pub const fn spec(&self) -> &SamplingSpec {
        &self.0
    }

    /// The verdict at `now` of a gate that began to wait at `began`.
    ///
    /// It passes from the round on in which checks have been good for the steady time without a break, and until
    /// the end of the round after it: then that one must be good, too. A round with a bad, an unknown or, once it is
    /// over, a missing sample begins the steady time anew. From the timeout on it fails, unless it came to pass
    /// before and was good ever since. Samples of the future and of other subjects do not count.
    pub fn verdict(
        &self,
        subject: &Subject,
        began: Timestamp,
        samples: &[Sample],
        now: Timestamp,
    ) -> Verdict {
        let SamplingSpec { checks: _, delay, interval, steady, timeout } = &self.0;
        let (first, deadline) = (began.plus(*delay), began.plus(*timeout));
        if now < first {
            return Verdict::Pending { recheck_at: Some(first) };
        }
        let length = micros(*interval).max(1);
        let current = index(first, length, now);
        let start = |round: i64| {
            Timestamp::from_micros(first.as_micros().saturating_add(round.saturating_mul(length)))
        };
        let rounds = self.rounds(subject.digest(), samples, first, now);
        let of = |round: i64| rounds.get(&round).copied().unwrap_or(Round::Missing);
        // The round that is under way counts once it is decided; until then the one before it does.
        let last = if of(current) == Round::Missing { current - 1 } else { current };
        if let Some((since, until)) = streak(&of, last) {
            let steady_at = passed_at(&of, since, until, micros(*steady));
            if steady_at.is_some_and(|at| at < deadline.as_micros()) {
                return Verdict::pass(subject, start(until.saturating_add(2)));
            }
        }
        if now >= deadline {
            return Verdict::Fail;
        }
        match of(last) {
            Round::Unknown => Verdict::Inconclusive,
            Round::Missing if last >= 0 => Verdict::Inconclusive,
            Round::Missing | Round::Good(_) | Round::Bad => {
                let next = start(current.saturating_add(1));
                Verdict::Pending { recheck_at: Some(next.min(deadline)) }
            }
        }
    }

    fn rounds(
        &self,
        subject: Digest,
        samples: &[Sample],
        first: Timestamp,
        now: Timestamp,
    ) -> BTreeMap<i64, Round> {
        let length = micros(self.0.interval).max(1);
        let mut by_round: BTreeMap<i64, Vec<&Sample>> = BTreeMap::new();
        for sample in samples {
            let counts = sample.of == subject && sample.at >= first && sample.at <= now;
            if counts && self.0.checks.contains(&sample.check) {
                by_round.entry(index(first, length, sample.at)).or_default().push(sample);
            }
        }
        by_round.into_iter().map(|(round, samples)| (round, self.round(&samples))).collect()
    }

    fn round(&self, samples: &[&Sample]) -> Round {
        let any = |found: Found| samples.iter().any(|sample| sample.found == found);
        if any(Found::Bad) {
            return Round::Bad;
        }
        if any(Found::Unknown) {
            return Round::Unknown;
        }
        let first_of = |check: &GateId| {
            let of = samples.iter().filter(|sample| sample.check == *check);
            of.map(|sample| sample.at.as_micros()).min()
        };
        let firsts: Option<Vec<_>> = self.0.checks.iter().map(first_of).collect();
        firsts.and_then(|all| all.into_iter().max()).map_or(Round::Missing, Round::Good)
    }
}

/// The unbroken good rounds that end with `last`: the first and the last of them.
fn streak(of: &impl Fn(i64) -> Round, last: i64) -> Option<(i64, i64)> {
    let mut since = None;
    let mut round = last;
    while let Round::Good(_) = of(round) {
        since = Some(round);
        round = round.saturating_sub(1);
    }
    since.map(|since| (since, last))
}

/// The first instant at which a streak had lasted for `steady`.
fn passed_at(of: &impl Fn(i64) -> Round, since: i64, until: i64, steady: i64) -> Option<i64> {
    let at = |round: i64| match of(round) {
        Round::Good(at) => Some(at),
        Round::Bad | Round::Unknown | Round::Missing => None,
    };
    let begin = at(since)?;
    (since..=until).filter_map(at).find(|at| at.saturating_sub(begin) >= steady)
}

fn index(first: Timestamp, length: i64, at: Timestamp) -> i64 {
    at.as_micros().saturating_sub(first.as_micros()).div_euclid(length)
}

fn micros(span: Span) -> i64 {
    i64::try_from(span.as_duration().as_micros()).unwrap_or(i64::MAX)
}
