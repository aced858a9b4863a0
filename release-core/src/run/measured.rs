//! What was measured for an analysis so far, and in which row.

use super::event::Verdict;
use crate::analysis::Memory;
use crate::model::Analysis;

/// What was measured for an analysis so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Measurements within the limit.
    pub good: u32,
    /// Beyond it.
    pub bad: u32,
    /// That said nothing.
    pub inconclusive: u32,
    /// Looks after which neither harm nor health was shown, and looks before the next sample.
    pub undetermined: u32,
    /// How many of the last came one after the other, where the analysis counts that.
    pub rows: Option<Rows>,
    /// What the looks have seen, where a judge goes by all of them.
    pub memory: Option<Box<Memory>>,
}

impl Measured {
    /// Nothing yet.
    pub const NONE: Self =
        Self { good: 0, bad: 0, inconclusive: 0, undetermined: 0, rows: None, memory: None };

    /// How many measurements there were.
    pub fn looks(&self) -> u32 {
        let Self { good, bad, inconclusive, undetermined, rows, .. } = self;
        let told = || good.saturating_add(*bad).saturating_add(*inconclusive);
        // Those without data that are counted in a row alone are among all.
        rows.map_or_else(told, |rows| rows.all).saturating_add(*undetermined)
    }

    /// Counts one more measurement that said this, and returns how many there are. Of an analysis in the background, which
    /// goes on for long, those without data are counted in a row.
    pub(super) fn count(
        &mut self,
        analysis: &Analysis,
        (verdict, no_data): (Verdict, bool),
        goes_on: bool,
    ) -> u32 {
        if goes_on && verdict == Verdict::Pass {
            (self.inconclusive, self.undetermined) = (0, 0);
        }
        if analysis.consecutive_good.is_some() || analysis.consecutive_no_data.is_some() {
            self.rows.get_or_insert_default().count(verdict, no_data);
        }
        if no_data && analysis.consecutive_no_data.is_some() {
            return self.rows.map_or(0, |rows| rows.no_data);
        }
        let count = match verdict {
            Verdict::Pass => &mut self.good,
            Verdict::Fail => &mut self.bad,
            Verdict::Inconclusive => &mut self.inconclusive,
            Verdict::Undetermined => &mut self.undetermined,
        };
        *count = count.saturating_add(1);
        *count
    }
}

/// How many of the last measurements came one after the other. Looks before the next sample come between none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rows {
    /// Good ones.
    pub good: u32,
    /// Ones without data.
    pub no_data: u32,
    /// All of the analysis, but for looks before the next sample.
    pub all: u32,
}

impl Rows {
    const fn count(&mut self, verdict: Verdict, no_data: bool) {
        if matches!(verdict, Verdict::Undetermined) {
            return;
        }
        self.all = self.all.saturating_add(1);
        self.good = if matches!(verdict, Verdict::Pass) { self.good.saturating_add(1) } else { 0 };
        self.no_data = if no_data { self.no_data.saturating_add(1) } else { 0 };
    }
}
