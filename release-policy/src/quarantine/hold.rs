//! Who is in quarantine, until when, and what a failure means.

use std::collections::BTreeMap;
use std::fmt;

use release_core::build::{Suite, SuiteRequirement};
use release_core::model::{Digest, Finite, Span, SuiteId, TeamId, Timestamp};
use release_core::stats::StatsError;
use serde::{Deserialize, Serialize};

use super::attempts::{Attempts, Flakiness};

/// When a suite may be quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct QuarantineRules {
    /// In this share of its attempts a suite may fail for no reason, and is not flaky (default 0.02).
    pub tolerated: Finite,
    /// How likely a suite that fails no more often than that is called flaky, over all looks together (default 0.01).
    pub alpha: Finite,
    /// The longest quarantine (default 14 days).
    pub longest: Span,
    /// So many suites at once (default 5): more, and the stage is hardly tested.
    pub most: u32,
}

impl Default for QuarantineRules {
    fn default() -> Self {
        let share = |value| Finite::new(value).unwrap_or(Finite::ZERO);
        Self {
            tolerated: share(0.02),
            alpha: share(0.01),
            longest: Span::secs(14 * 86_400),
            most: 5,
        }
    }
}

/// A suite in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Quarantine {
    /// Who mends it.
    pub owner: TeamId,
    /// From when on.
    pub since: Timestamp,
    /// Until when: from then on it is required again.
    pub until: Timestamp,
    /// Why: what was seen of it.
    pub because: Flakiness,
}

/// Why a suite may not be quarantined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoQuarantine {
    /// It is not shown to be flaky.
    #[error(
        "`{suite}` is not shown to be flaky: of {} attempts at contents that it passes on {} failed, which may be a share of {:.4}, and {tolerated} is tolerated; run it again on what it failed on{}",
        .seen.attempts, .seen.failed, .seen.low.get(),
        if .seen.never_passed > 0 { format!(" ({} contents it never passed on: there it may be right)", .seen.never_passed) } else { String::new() }
    )]
    NotFlaky {
        /// Which suite.
        suite: SuiteId,
        /// What was seen of it.
        seen: Flakiness,
        /// What is tolerated.
        tolerated: Finite,
    },
    /// It is in quarantine already.
    #[error("`{suite}` is in quarantine until {until} already; `{owner}` owns it")]
    Already {
        /// Which suite.
        suite: SuiteId,
        /// Until when.
        until: Timestamp,
        /// Who owns it.
        owner: TeamId,
    },
    /// Too many are.
    #[error("{most} suites are in quarantine, and no more may be; mend one of them: {}", .others.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", "))]
    TooMany {
        /// So many may be.
        most: u32,
        /// Which are.
        others: Vec<SuiteId>,
    },
    /// It would last too long, or no time at all.
    #[error("a quarantine of {asked} is none; it lasts more than nothing and at most {longest}")]
    Length {
        /// What was asked for.
        asked: Span,
        /// The longest.
        longest: Span,
    },
    /// The rules make no sense.
    #[error("the rules make no sense: {0}; `tolerated` and `alpha` lie between 0 and 1")]
    Rules(String),
}

/// What a suite's failure on some content means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Duty {
    /// It holds the content.
    Required,
    /// It is told, and holds nothing.
    Excused {
        /// The quarantine.
        quarantine: Quarantine,
    },
    /// It holds the content: the quarantine is over, and whoever owns it still owes that it be mended.
    Overdue {
        /// The quarantine that ended.
        quarantine: Quarantine,
    },
    /// It holds the content, in spite of the quarantine: it fails there again and again, and that is not how it is flaky.
    Broken {
        /// The quarantine.
        quarantine: Quarantine,
        /// So many failures in a row.
        in_a_row: u32,
    },
}

impl Duty {
    /// Whether the suite's failure holds the content.
    pub const fn holds(&self) -> bool {
        !matches!(self, Self::Excused { .. })
    }

    /// The suite as it is to be run: where its failure holds nothing, it is advisory.
    #[must_use]
    pub const fn applied_to(&self, mut suite: Suite) -> Suite {
        if !self.holds() {
            suite.requirement = SuiteRequirement::Advisory;
        }
        suite
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("required"),
            Self::Excused { quarantine: Quarantine { owner, until, because, .. } } => write!(
                f,
                "in quarantine until {until}: {} of {} attempts failed for no reason; `{owner}` mends it",
                because.failed, because.attempts
            ),
            Self::Overdue { quarantine: Quarantine { owner, until, .. } } => {
                write!(f, "required again since {until}: `{owner}` owes that it be mended")
            }
            Self::Broken { quarantine, in_a_row } => write!(
                f,
                "required in spite of its quarantine: it failed {in_a_row} times in a row on this content, and fails by chance in at most {:.0} % of attempts",
                100.0 * quarantine.because.high.get()
            ),
        }
    }
}

/// Suites in quarantine, and those that were and are not mended. A value, kept where the host keeps such things.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quarantines {
    suites: BTreeMap<SuiteId, Quarantine>,
}

impl Quarantines {
    /// Puts a suite into quarantine from `now` on. After a quarantine that ended only what was tried since it began counts: a suite that
    /// was mended meanwhile gets none by what it once was.
    ///
    /// # Errors
    /// [`NoQuarantine`] says why not, and nothing has changed.
    pub fn begin(
        &mut self,
        rules: &QuarantineRules,
        attempts: &Attempts,
        suite: SuiteId,
        owner: TeamId,
        now: Timestamp,
        lasts: Span,
    ) -> Result<&Quarantine, NoQuarantine> {
        let before = self.suites.get(&suite);
        if let Some(Quarantine { owner, until, .. }) = before.filter(|one| now < one.until) {
            let (until, owner) = (*until, owner.clone());
            return Err(NoQuarantine::Already { suite, until, owner });
        }
        if lasts.as_duration().is_zero() || lasts > rules.longest {
            return Err(NoQuarantine::Length { asked: lasts, longest: rules.longest });
        }
        let others: Vec<SuiteId> = self.at(now).map(|(id, _)| id.clone()).collect();
        if others.len() >= rules.most as usize {
            return Err(NoQuarantine::TooMany { most: rules.most, others });
        }
        let tolerated = rules.tolerated;
        if !(0.0..1.0).contains(&tolerated.get()) {
            return Err(NoQuarantine::Rules(format!("`tolerated` is {tolerated}")));
        }
        let because = attempts
            .flakiness(&suite, before.map(|one| one.since), rules.alpha.get())
            .map_err(|error: StatsError| NoQuarantine::Rules(error.to_string()))?;
        if because.low <= tolerated {
            return Err(NoQuarantine::NotFlaky { suite, seen: because, tolerated });
        }
        let quarantine = Quarantine { owner, since: now, until: now.plus(lasts), because };
        Ok(self.suites.entry(suite).insert_entry(quarantine).into_mut())
    }

    /// Somebody mended a suite: it is required from now on, and nothing is owed. Tells the quarantine that ended, if there was one.
    pub fn end(&mut self, suite: &SuiteId) -> Option<Quarantine> {
        self.suites.remove(suite)
    }

    /// The suites that are in quarantine at an instant.
    pub fn at(&self, now: Timestamp) -> impl Iterator<Item = (&SuiteId, &Quarantine)> {
        self.suites.iter().filter(move |(_, one)| one.since <= now && now < one.until)
    }

    /// What a failure of a suite on some content means now.
    ///
    /// A suite in quarantine that fails so often in a row on one content as a flaky one would with a chance of less than `alpha` is
    /// broken there: at its greatest share of failures, each attempt by itself.
    ///
    /// # Errors
    /// [`NoQuarantine::Rules`].
    pub fn duty(
        &self,
        rules: &QuarantineRules,
        attempts: &Attempts,
        suite: &SuiteId,
        content: Digest,
        now: Timestamp,
    ) -> Result<Duty, NoQuarantine> {
        let alpha = rules.alpha.get();
        if !(alpha > 0.0 && alpha < 1.0) {
            return Err(NoQuarantine::Rules(format!("`alpha` is {alpha}")));
        }
        let Some(quarantine) = self.suites.get(suite).filter(|one| one.since <= now).cloned()
        else {
            return Ok(Duty::Required);
        };
        if now >= quarantine.until {
            return Ok(Duty::Overdue { quarantine });
        }
        let in_a_row = attempts.in_a_row(suite, content);
        let by_chance = f64::from(in_a_row) * quarantine.because.high.get().ln();
        if in_a_row > 0 && by_chance < alpha.ln() {
            return Ok(Duty::Broken { quarantine, in_a_row });
        }
        Ok(Duty::Excused { quarantine })
    }
}
