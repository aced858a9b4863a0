//! What was seen of suites, and whether they are flaky.

use std::collections::BTreeMap;

use release_core::model::{Digest, Finite, SuiteId, Timestamp};
use release_core::stats::StatsError;
use release_core::stats::counts::{CountTest, Side};
use serde::{Deserialize, Serialize};

/// So many contents are remembered of a suite; with more, those that were tried longest ago are forgotten.
pub const MAX_CONTENTS: usize = 10_000;

/// A suite was run on a content, and ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Attempt {
    /// Which suite.
    pub suite: SuiteId,
    /// What it tested: all of it, so that the same digest is the same content.
    pub content: Digest,
    /// When it ended.
    pub at: Timestamp,
    /// Whether it passed.
    pub passed: bool,
}

impl Attempt {
    /// An attempt.
    pub const fn new(suite: SuiteId, content: Digest, at: Timestamp, passed: bool) -> Self {
        Self { suite, content, at, passed }
    }
}

/// Attempts at one content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tried {
    passed: u32,
    failed: u32,
    /// Failures since it last passed.
    in_a_row: u32,
    last: Timestamp,
}

/// What was seen of suites. A value: it is kept where the host keeps such things, and grows by [`add`](Self::add).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempts {
    suites: BTreeMap<SuiteId, BTreeMap<Digest, Tried>>,
}

/// An attempt cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{suite}` was tried more than {most} times on one content; nobody needs so many: tell attempts once, or by what they really tested",
    most = u32::MAX
)]
pub struct TooManyAttempts {
    /// Which suite.
    pub suite: SuiteId,
}

/// How often a suite fails on contents that it also passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Flakiness {
    /// Attempts that failed, at contents on which it passed once.
    pub failed: u32,
    /// All attempts at these.
    pub attempts: u32,
    /// Contents on which it never passed: of them nobody knows who is wrong, and they are not counted.
    pub never_passed: u32,
    /// At the least so great is the share of failures, but for an error of `alpha` over all looks together.
    pub low: Finite,
    /// And at the most so great.
    pub high: Finite,
}

impl Attempts {
    /// Counts an attempt. In which order attempts are told makes a difference only to which failures are in a row.
    ///
    /// # Errors
    /// [`TooManyAttempts`], and nothing is counted.
    pub fn add(&mut self, attempt: &Attempt) -> Result<(), TooManyAttempts> {
        let of = self.suites.entry(attempt.suite.clone()).or_default();
        let tried = of.entry(attempt.content).or_default();
        let more = |count: u32| {
            count.checked_add(1).ok_or_else(|| TooManyAttempts { suite: attempt.suite.clone() })
        };
        if attempt.passed {
            (tried.passed, tried.in_a_row) = (more(tried.passed)?, 0);
        } else {
            (tried.failed, tried.in_a_row) = (more(tried.failed)?, more(tried.in_a_row)?);
        }
        tried.last = tried.last.max(attempt.at);
        if of.len() > MAX_CONTENTS
            && let Some(oldest) = of.iter().min_by_key(|(_, tried)| tried.last).map(|(id, _)| *id)
        {
            of.remove(&oldest);
        }
        Ok(())
    }

    /// How often a suite fails on contents that it also passes on, by those that were tried last after `since`. The interval holds
    /// with an error of `alpha` over all looks.
    ///
    /// # Errors
    /// [`StatsError`] unless `alpha` is between 0 and 1.
    pub fn flakiness(
        &self,
        suite: &SuiteId,
        since: Option<Timestamp>,
        alpha: f64,
    ) -> Result<Flakiness, StatsError> {
        let counted = |tried: &&Tried| since.is_none_or(|since| tried.last > since);
        let all = self.suites.get(suite).into_iter().flat_map(BTreeMap::values).filter(counted);
        let (mut failed, mut attempts, mut never_passed) = (0_u32, 0_u32, 0_u32);
        for tried in all {
            if tried.passed == 0 {
                never_passed = never_passed.saturating_add(1);
                continue;
            }
            failed = failed.saturating_add(tried.failed);
            attempts = attempts.saturating_add(tried.failed).saturating_add(tried.passed);
        }
        let test = CountTest::new(0.5, 1.0, 1.0, Side::Both)?;
        let interval = test.share_interval(f64::from(failed), f64::from(attempts), alpha)?;
        let finite = |value: f64| Finite::new(value).unwrap_or(Finite::ZERO);
        let (low, high) = (finite(interval.lower), finite(interval.upper));
        Ok(Flakiness { failed, attempts, never_passed, low, high })
    }

    /// So many failures in a row a suite had on a content, up to now.
    pub(super) fn in_a_row(&self, suite: &SuiteId, content: Digest) -> u32 {
        let tried = self.suites.get(suite).and_then(|of| of.get(&content));
        tried.map_or(0, |tried| tried.in_a_row)
    }
}
