//! What was seen of suites, and whether they are flaky.

use std::collections::BTreeMap;

use release_core::model::{Digest, Finite, SuiteId, Timestamp};
use release_core::stats::StatsError;
use release_core::stats::counts::{CountTest, Side};
use serde::{Deserialize, Deserializer, Serialize};

/// So many contents are remembered of a suite, at the most; with one more, those that were tried longest ago are forgotten until a tenth
/// is free again. Of those that were tried last at the same instant, the ones with the smaller digests go first.
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

/// What was seen of suites. A value: it is kept where the host keeps such things, and grows by [`add`](Self::add). Where more than
/// [`MAX_CONTENTS`] were kept of a suite, reading it forgets the oldest of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempts {
    #[serde(deserialize_with = "remembered")]
    suites: BTreeMap<SuiteId, BTreeMap<Digest, Tried>>,
}

fn remembered<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<SuiteId, BTreeMap<Digest, Tried>>, D::Error> {
    let mut suites: BTreeMap<SuiteId, BTreeMap<Digest, Tried>> = Deserialize::deserialize(from)?;
    for of in suites.values_mut() {
        keep_last(of, MAX_CONTENTS);
    }
    Ok(suites)
}

/// Forgets all but the `most` that were tried last. `most` is not 0.
fn keep_last(of: &mut BTreeMap<Digest, Tried>, most: usize) {
    let too_many = of.len().saturating_sub(most);
    if too_many == 0 {
        return;
    }
    let mut all: Vec<(Timestamp, Digest)> =
        of.iter().map(|(content, tried)| (tried.last, *content)).collect();
    let (_, first, _) = all.select_nth_unstable(too_many);
    let first = *first;
    of.retain(|content, tried| (tried.last, *content) >= first);
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
    /// Counts an attempt. In which order attempts are told makes a difference only to which failures are in a row; and, of a suite with
    /// more than [`MAX_CONTENTS`] contents, to which of these are remembered: those 9,000 always that were tried last of what was told so far.
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
        if of.len() > MAX_CONTENTS {
            keep_last(of, MAX_CONTENTS - MAX_CONTENTS / 10); // many at once, so that few additions look at all
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

#[cfg(test)]
mod tests {
    use release_core::model::Span;

    use super::*;

    fn suite() -> SuiteId {
        "it".parse().unwrap()
    }

    fn content(nth: u64) -> Digest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&nth.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        Digest::from_bytes(bytes)
    }

    fn second(second: u64) -> Timestamp {
        Timestamp::default().plus(Span::secs(second))
    }

    fn passed(attempts: &mut Attempts, nth: u64, at: u64) {
        attempts.add(&Attempt::new(suite(), content(nth), second(at), true)).unwrap();
    }

    fn has(attempts: &Attempts, nth: u64) -> bool {
        attempts.suites[&suite()].contains_key(&content(nth))
    }

    #[test]
    fn what_was_tried_last_is_kept_and_what_was_tried_longest_ago_goes() {
        let (mut attempts, many) = (Attempts::default(), MAX_CONTENTS as u64);
        for nth in 0..many {
            passed(&mut attempts, nth, nth);
        }
        passed(&mut attempts, 0, many); // the oldest is tried again
        assert_eq!(attempts.suites[&suite()].len(), MAX_CONTENTS);
        assert!(has(&attempts, 1));
        passed(&mut attempts, many, many + 1);
        // A tenth is free again, and 1,001 were forgotten.
        assert_eq!(attempts.suites[&suite()].len(), MAX_CONTENTS / 10 * 9);
        assert!(has(&attempts, 0) && has(&attempts, many));
        assert!((1..=1_001).all(|nth| !has(&attempts, nth)));
        assert!((1_002..=many).all(|nth| has(&attempts, nth)));
        assert_eq!(attempts.in_a_row(&suite(), content(1)), 0);
    }

    #[test]
    fn half_a_million_contents_are_added_and_never_too_many_are_kept() {
        let (mut attempts, mut most) = (Attempts::default(), 0);
        for nth in 0..500_000 {
            passed(&mut attempts, nth, nth);
            most = most.max(attempts.suites[&suite()].len());
            assert!(has(&attempts, nth));
        }
        assert_eq!(most, MAX_CONTENTS);
        assert!(has(&attempts, 499_999 - 8_999) && !has(&attempts, 499_999 - 10_000));
    }

    #[test]
    fn which_of_one_instant_are_forgotten_does_not_depend_on_the_order() {
        let (mut up, mut down) = (Attempts::default(), Attempts::default());
        let many = MAX_CONTENTS as u64;
        for nth in 0..=many {
            passed(&mut up, nth, 7);
            passed(&mut down, many - nth, 7);
        }
        assert_eq!(up, down);
        assert_eq!(up.suites[&suite()].len(), MAX_CONTENTS / 10 * 9);
    }

    #[test]
    fn what_was_kept_too_long_shrinks_when_it_is_read() {
        let tried =
            |nth| (content(nth), Tried { passed: 1, last: second(nth), ..Tried::default() });
        let all = (0..MAX_CONTENTS as u64 + 50).map(tried).collect();
        let long = Attempts { suites: BTreeMap::from([(suite(), all)]) };
        let json = serde_json::to_string(&long).unwrap();
        let read: Attempts = serde_json::from_str(&json).unwrap();
        assert_eq!(read.suites[&suite()].len(), MAX_CONTENTS);
        assert!(!has(&read, 49) && has(&read, 50));
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Attempts>(&again).unwrap(), read);
    }
}
