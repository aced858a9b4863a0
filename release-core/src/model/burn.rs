//! A service level objective, and how fast its error budget may burn.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric::Direction;
use super::number::Finite;
use crate::stats::burn;
use crate::time::Span;

/// The new version's own burn rate against a service level objective, in pairs of windows.
///
/// The burn rate is the share of bad events by the share that the objective allows: with an objective of 0.999, one bad event
/// in a hundred burns ten times as fast as allowed. A pair *fires* while it burns faster than its factor in both windows: the
/// long one keeps it from firing for little, the short one makes it stop soon after the burning has. The version has
/// *regressed* at the first look at which a pair fires. A look is *good* when none does, and each window has `min_samples`:
/// no data and too little of it are never a pass. `count` good looks pass; in the background of a rollout it goes on until that
/// is through, whatever `count` says.
///
/// # Young versions
/// Nothing is known of a version from before its measurements began, so a window that would reach further back begins there:
/// on a version that serves for ten minutes, the window of an hour is these ten minutes. So a rate that would use up the
/// budget is found as soon as `min_samples` say so, and not only once the long window is full of it, as an alert on a service
/// would ([`detection_time`](burn::BurnRule::detection_time)): whoever may still go back need not wait for the budget to be
/// gone. Windows begin at looks, at the last one that is at least so long ago; between two looks nothing is known, and a
/// window is longer than it is called by less than one `interval`. At the first look all windows are the whole time so far.
///
/// # Little traffic
/// Where a window has few events, a burn rate is luck. The planner refuses `min_samples` of which a single bad one would
/// fire; for services that do not reach that many, a [`Sequential`](super::Sequential) test is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BurnRate {
    /// The objective: the share of events that are to be good. Above 0 and below 1; 0.999 allows one bad event in a thousand.
    pub objective: Finite,
    /// Whether the ratio's numerator counts bad events (`lower_is_better`) or good ones.
    #[serde(default = "failures", skip_serializing_if = "is_failures")]
    pub direction: Direction,
    /// The pairs of windows; left out, those of the Site Reliability Workbook for which somebody is called: 14.4 times in an
    /// hour and five minutes, and 6 times in six hours and half an hour.
    #[serde(default = "pages", skip_serializing_if = "is_pages")]
    pub windows: Vec<BurnWindows>,
}

impl BurnRate {
    /// The pairs of the workbook, for an objective of bad events.
    pub fn new(objective: Finite) -> Self {
        Self { objective, direction: failures(), windows: pages() }
    }
}

/// Two windows, and how fast the budget may burn in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BurnWindows {
    /// The long window.
    pub long: Span,
    /// The short window; a twelfth of the long one, as a rule.
    pub short: Span,
    /// So many times as fast as allowed: with more than this in both windows it fires.
    pub factor: Finite,
}

const fn failures() -> Direction {
    Direction::LowerIsBetter
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_failures(direction: &Direction) -> bool {
    *direction == failures()
}

/// The rules of the workbook that call somebody.
fn pages() -> Vec<BurnWindows> {
    let pages = burn::RULES.iter().filter(|rule| rule.urgency == burn::Urgency::Page);
    let pair = |rule: &burn::BurnRule| {
        let factor = Finite::new(rule.threshold).unwrap_or(Finite::ZERO);
        BurnWindows { long: rule.long, short: rule.short, factor }
    };
    pages.map(pair).collect()
}

fn is_pages(windows: &[BurnWindows]) -> bool {
    windows == pages()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workbook_is_the_default_and_stays_unwritten() {
        let rule: BurnRate = serde_json::from_str(r#"{"objective":0.999}"#).unwrap();
        let told: Vec<_> = rule.windows.iter().map(|w| (w.long, w.short, w.factor.get())).collect();
        let (hour, minute) = (3600, 60);
        let want = [
            (Span::secs(hour), Span::secs(5 * minute), 14.4),
            (Span::secs(6 * hour), Span::secs(30 * minute), 6.0),
        ];
        assert_eq!(told, want);
        assert_eq!(serde_json::to_string(&rule).unwrap(), r#"{"objective":0.999}"#);
        assert_eq!(rule, BurnRate::new(Finite::new(0.999).unwrap()));
    }
}
