//! The points of ranges: which of an answer count, and which steps are without one.

use super::memory::Case;
use super::reading;
use crate::model::{Digest, Finite};
use crate::port::{MAX_POINTS, Measurement, Point};
use crate::time::{Span, Timestamp};

/// So many steps of one version are kept, the newest ones: as many as the planner lets a scorecard have. Steps that nothing was told of
/// are among them, so that gaps take no more room than what was planned.
const MOST_KEPT: usize = 2_000;

/// The facts of a range, if they are of `wanted`.
///
/// # Errors
/// Why there is nothing to judge by.
pub(crate) fn facts(wanted: Digest, measurement: &Measurement) -> Result<&[Point], String> {
    match measurement {
        Measurement::Points { digest, points } if *digest == wanted => Ok(points),
        Measurement::Points { digest, .. } => Err(format!("measured {digest}, not {wanted}")),
        Measurement::NoData { reason } => Err(reason.clone()),
        Measurement::Ratio { .. } | Measurement::Histogram { .. } | Measurement::Value { .. } => {
            Err("the answer is no measurement of a range".into())
        }
    }
}

/// What all looks saw of one version's curve: its steps, in the order of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Curve {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    at: Timestamp,
    /// `None` while no look has seen a point of it; NaN where what is there is no number.
    value: Option<f64>,
}

impl Curve {
    /// The value of each step; NaN where there is none.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.steps.iter().map(|step| step.value.unwrap_or(f64::NAN))
    }

    /// Takes in what a look was told, and says what of it does not count, if anything.
    ///
    /// Two looks may see the same instants: what was seen before counts once, as it was first seen. What comes late fills its step, if
    /// nothing was told of that. Each step between two points that lacks one is without a value; so are the steps until now after a
    /// look without anything new. What is from before the window, and what is older than the first point, does not count.
    ///
    /// # Errors
    /// Why nothing is new: no data, another version's, points that are too old or dated ahead, or none.
    pub(super) fn take(
        &mut self,
        case: &Case<'_>,
        (step, over): (Span, Span),
        told: Result<&[Point], String>,
    ) -> Result<Option<String>, String> {
        let taken = told.and_then(|facts| self.add(case, step, facts));
        if taken.is_err() {
            self.lack(case, (step, over));
        }
        let surplus = self.steps.len().saturating_sub(MOST_KEPT);
        self.steps.drain(..surplus);
        taken
    }

    fn add(
        &mut self,
        case: &Case<'_>,
        step: Span,
        facts: &[Point],
    ) -> Result<Option<String>, String> {
        let told = facts
            .iter()
            .filter_map(|fact| Some((fact.at()?, fact.number().map_or(f64::NAN, Finite::get))));
        let mut told: Vec<(Timestamp, f64)> = told.collect();
        told.sort_by_key(|(at, _)| *at);
        let (newest, _) = told.last().ok_or_else(|| nothing(facts))?;
        reading::fresh(*newest, case.at, case.analysis)?;
        let all = told.len();
        told.retain(|(at, _)| case.since.is_none_or(|since| *at >= since));
        let early = match all.saturating_sub(told.len()) {
            0 => None,
            early => Some(format!("{early} points are from before the window began")),
        };
        let mut news = false;
        for (at, value) in told {
            news |= self.put(step, at, value);
        }
        if news { Ok(early) } else { Err(early.unwrap_or_else(|| nothing(facts))) }
    }

    /// Puts a point to its step. Whether it counts.
    fn put(&mut self, step: Span, at: Timestamp, value: f64) -> bool {
        let Some(last) = self.steps.last().map(|last| last.at) else {
            self.steps.push(Step { at, value: Some(value) });
            return true;
        };
        // Rounded: half a step more or less is none.
        let half = step.as_duration() / 2;
        let after = steps_of(Span::from(at.since(last).as_duration().saturating_add(half)), step);
        if let Some(between) = after.checked_sub(1) {
            self.skip(last, step, between);
            self.steps.push(Step { at, value: Some(value) });
            return true;
        }
        let next = self.steps.partition_point(|known| known.at < at);
        let near = |index: usize| {
            let known = self.steps.get(index)?.at;
            Some((known.since(at).max(at.since(known)), index))
        };
        let nearest = next.checked_sub(1).and_then(near).into_iter().chain(near(next)).min();
        let Some((away, index)) = nearest else { return false };
        match self.steps.get_mut(index) {
            Some(known) if known.value.is_none() && away.as_duration() <= half => {
                known.value = Some(value);
                true
            }
            _ => false,
        }
    }

    /// All steps until now are without a point, as far back as the look could see.
    fn lack(&mut self, case: &Case<'_>, (step, over): (Span, Span)) {
        let back = i64::try_from(over.as_duration().as_micros()).unwrap_or(i64::MAX);
        let earliest = Timestamp::from_micros(case.at.as_micros().saturating_sub(back));
        let begin = || case.since.map_or(earliest, |since| since.max(earliest));
        let last = self.steps.last().map_or_else(begin, |last| last.at);
        self.skip(last, step, steps_of(case.at.since(last), step));
    }

    /// Adds so many steps without a point after `last`; of more than an answer could have had, the newest.
    fn skip(&mut self, last: Timestamp, step: Span, steps: u32) {
        let most = u32::try_from(MAX_POINTS).unwrap_or(u32::MAX);
        let lacking = |number: u32| {
            let away = Span::from(step.as_duration().saturating_mul(number));
            Step { at: last.plus(away), value: None }
        };
        self.steps.extend((1..=steps).skip(index(steps.saturating_sub(most))).map(lacking));
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// How many whole steps a time is long.
fn steps_of(time: Span, step: Span) -> u32 {
    let (time, step) = (time.as_duration().as_nanos(), step.as_duration().as_nanos());
    u32::try_from(time.checked_div(step).unwrap_or_default()).unwrap_or(u32::MAX)
}

/// Why facts hold nothing new.
fn nothing(facts: &[Point]) -> String {
    let stale = facts.iter().find_map(|fact| match fact {
        Point::Stale { newest } => Some(format!("nothing was told since {newest}")),
        _ => None,
    });
    stale.unwrap_or_else(|| "no point since the last look".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Span = Span::secs(10);

    fn at(second: u64) -> Timestamp {
        Timestamp::default().plus(Span::secs(second))
    }

    fn seen(curve: &Curve) -> Vec<Option<f64>> {
        curve.steps.iter().map(|step| step.value).collect()
    }

    #[test]
    fn a_point_counts_once_and_a_late_one_fills_the_step_that_lacked_it() {
        let mut curve = Curve::default();
        assert!(curve.put(STEP, at(10), 1.0) && curve.put(STEP, at(40), 4.0));
        assert_eq!(seen(&curve), [Some(1.0), None, None, Some(4.0)]);
        // The same, and what is of the same step.
        assert!(!curve.put(STEP, at(10), 9.0) && !curve.put(STEP, at(43), 9.0));
        // Older than the first, and between two steps.
        assert!(!curve.put(STEP, at(0), 9.0));
        assert!(curve.put(STEP, at(22), 2.0) && !curve.put(STEP, at(20), 9.0));
        assert!(curve.put(STEP, at(30), f64::NAN) && !curve.put(STEP, at(30), 9.0));
        let values: Vec<f64> = curve.values().collect();
        assert_eq!((values.len(), values[0], values[1], values[3]), (4, 1.0, 2.0, 4.0));
        assert!(values[2].is_nan());
    }

    #[test]
    fn no_more_than_the_newest_steps_of_a_gap_are_lacking() {
        let mut curve = Curve::default();
        curve.put(STEP, at(0), 1.0);
        curve.put(STEP, at(10_000_000), 2.0);
        assert_eq!(curve.steps.len(), MAX_POINTS + 2);
        assert_eq!(curve.steps[MAX_POINTS].at, at(10_000_000 - 10));
        assert!(curve.put(STEP, at(10_000_000 - 10), 3.0));
    }
}
