//! How a template of standard changes earns its status, and loses it.

use release_core::model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

/// What became of a change that was made from a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The digest of the template. Another text is another template, without a past.
    pub template: Digest,
    /// When the change was over.
    pub at: Timestamp,
    /// Whether it failed: it was rolled back, or needed to be mended at once.
    pub failed: bool,
}

/// When a template may be used without further authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct StandingRule(Written);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    successes: u32,
    window: u32,
    failures_below: u32,
}

/// A rule that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StandingRuleError {
    /// It asks for no success at all.
    #[error("standing/successes: a template must succeed at least once to earn its status")]
    NoSuccesses,
    /// Its window is smaller than the successes that it asks for.
    #[error(
        "standing/window: {window} changes cannot hold {successes} successes; widen the window"
    )]
    Window {
        /// The window.
        window: u32,
        /// The successes.
        successes: u32,
    },
    /// Its rate is zero, which nothing is below, or more than all.
    #[error("standing/rate: {0} is no rate; give hundredths of a percent from 1 to 10000")]
    Rate(u32),
}

impl StandingRule {
    /// So many successes in a row since the last failure; and of the last `window` changes, fewer than
    /// `failures_below` failed, in hundredths of a percent.
    ///
    /// # Errors
    /// [`StandingRuleError`] names the rule that is broken.
    pub fn new(
        successes: u32,
        window: u32,
        failures_below: u32,
    ) -> Result<Self, StandingRuleError> {
        Written { successes, window, failures_below }.try_into()
    }
}

impl TryFrom<Written> for StandingRule {
    type Error = StandingRuleError;
    fn try_from(written: Written) -> Result<Self, StandingRuleError> {
        let Written { successes, window, failures_below } = written;
        match (successes, failures_below) {
            (0, _) => Err(StandingRuleError::NoSuccesses),
            (_, 1..=10_000) if window >= successes => Ok(Self(written)),
            (_, 1..=10_000) => Err(StandingRuleError::Window { window, successes }),
            (_, rate) => Err(StandingRuleError::Rate(rate)),
        }
    }
}

impl From<StandingRule> for Written {
    fn from(rule: StandingRule) -> Self {
        rule.0
    }
}

/// How a template stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Standing {
    /// Its changes may be standard.
    Earned {
        /// Successes since the last failure.
        in_a_row: u32,
        /// Of the last changes, those that failed, in hundredths of a percent.
        failed: u32,
    },
    /// It has not proven itself.
    NotYet {
        /// Successes since the last failure.
        in_a_row: u32,
        /// How many it needs.
        of: u32,
        /// When it failed last, if it did: then it lost its status.
        lost: Option<Timestamp>,
    },
    /// It fails too often, whatever its last successes.
    TooOften {
        /// Of the last changes, those that failed, in hundredths of a percent.
        failed: u32,
        /// It must be below this.
        below: u32,
    },
}

/// How a template stands after these outcomes, in the order of their end. One failure takes its status, until
/// it has proven itself again. Outcomes of other templates do not matter.
pub fn standing(rule: &StandingRule, template: Digest, outcomes: &[Outcome]) -> Standing {
    let Written { successes, window, failures_below } = rule.0;
    let ours: Vec<_> = outcomes.iter().filter(|outcome| outcome.template == template).collect();
    let streak = ours.iter().rev().take_while(|outcome| !outcome.failed).count();
    let in_a_row = u32::try_from(streak).unwrap_or(u32::MAX);
    if in_a_row < successes {
        let lost = ours.iter().rev().find(|outcome| outcome.failed).map(|outcome| outcome.at);
        return Standing::NotYet { in_a_row, of: successes, lost };
    }
    let last = ours.iter().rev().take(usize::try_from(window).unwrap_or(usize::MAX));
    let (mut all, mut bad) = (0_u64, 0_u64);
    for outcome in last {
        all += 1;
        bad += u64::from(outcome.failed);
    }
    // Rounded up, so that rounding never earns anything.
    let failed = u32::try_from((bad * 10_000).div_ceil(all.max(1))).unwrap_or(10_000);
    if failed < failures_below {
        Standing::Earned { in_a_row, failed }
    } else {
        Standing::TooOften { failed, below: failures_below }
    }
}
