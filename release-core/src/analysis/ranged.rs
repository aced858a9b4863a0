//! The points of ranges: which of an answer are new, and how many there should have been between them.

use super::increment::Last;
use super::memory::Case;
use crate::model::{Digest, Finite};
use crate::port::{MAX_HEALTH_AGE, MAX_POINTS, Measurement, Point};
use crate::time::{Span, Timestamp};

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

/// The values of points that no look before had, in the order of time, and what to remember of the newest. What is no number, and
/// each step that lacks a point between two, is one without a value (NaN).
///
/// Two looks may see the same instants, so that only what is newer than the newest before counts: what comes late, after that, does
/// not, and a duplicate counts once.
///
/// # Errors
/// Why there are none: no data, another version's, nothing new, or points that are dated ahead.
pub(super) fn new_points(
    case: &Case<'_>,
    step: Span,
    (wanted, measurement): (Digest, &Measurement),
    last: Last,
) -> Result<(Vec<f64>, Last), String> {
    let facts = facts(wanted, measurement)?;
    let (mut values, mut newest) = (Vec::new(), last.moment());
    for fact in facts {
        let Some(at) = fact.at().filter(|at| newest.is_none_or(|newest| *at > newest)) else {
            continue;
        };
        let ahead = at.since(case.at);
        if ahead > MAX_HEALTH_AGE {
            return Err(format!("a point is dated {ahead} ahead; set the clocks right"));
        }
        let lacking = newest.map_or(0, |newest| lacking(newest, at, step));
        values.extend(std::iter::repeat_n(f64::NAN, lacking));
        values.push(fact.number().map_or(f64::NAN, Finite::get));
        newest = Some(at);
    }
    if values.is_empty() {
        let stale = facts.iter().find_map(|fact| match fact {
            Point::Stale { newest } => Some(format!("nothing was told since {newest}")),
            _ => None,
        });
        return Err(stale.unwrap_or_else(|| "no point since the last look".into()));
    }
    Ok((values, last.at_moment(newest)))
}

/// How many points are missing between two: none, where they are no more than one and a half steps apart.
fn lacking(before: Timestamp, at: Timestamp, step: Span) -> usize {
    let (apart, step) = (at.since(before).as_duration(), step.as_duration());
    // Rounded: half a step more or less is none.
    let steps = apart.as_nanos().saturating_add(step.as_nanos() / 2).checked_div(step.as_nanos());
    let steps = usize::try_from(steps.unwrap_or(1)).unwrap_or(usize::MAX);
    steps.saturating_sub(1).min(MAX_POINTS)
}
