//! From civil time to instants: what a local date and time means where the clock jumps.
//!
//! | the clock | a freeze | a deployment window |
//! |---|---|---|
//! | skips its begin (gap) | begins as the gap ends, and keeps its civil length | begins as the gap ends, and closes as written |
//! | skips its end (gap) | ends as the gap ends | the same |
//! | shows its begin twice (fold) | begins the first time | the same |
//! | shows its end twice (fold) | ends the second time | ends the first time |
//! | repeats time in its midst | holds both times | is open the first time only |
//!
//! So where the clock jumps, a freeze is rather longer and a deployment window rather shorter. Lengths
//! are civil: from 22:00 to 06:00 is eight hours on the clock, whatever passes meanwhile.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{GapInfo, Tz};

use super::Kind;

/// A stretch of time in microseconds since 1970: from its begin until just before its end.
pub(super) type Interval = (i64, i64);

/// The step in which a zone is searched for folds; no zone changes its offset twice in it.
const SEARCH: i64 = 6 * 3_600;

/// The civil time in `zone` at an instant, if it can be told.
pub(crate) fn local(zone: Tz, micros: i64) -> Option<NaiveDateTime> {
    DateTime::<Utc>::from_timestamp_micros(micros).map(|at| at.with_timezone(&zone).naive_local())
}

/// Seconds that the clocks of `zone` are ahead of UTC at an instant in seconds.
fn offset(zone: Tz, second: i64) -> i64 {
    DateTime::<Utc>::from_timestamp(second, 0).map_or(0, |at| {
        i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
    })
}

/// An instant at which the clock shows a civil time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    First,
    Last,
}

/// When the clock shows `civil` in `zone`, and what it shows then: in a gap, the end of it.
fn instant(zone: Tz, civil: NaiveDateTime, which: Which) -> Option<(i64, NaiveDateTime)> {
    let found = zone.from_local_datetime(&civil);
    let at = match which {
        Which::First => found.earliest(),
        Which::Last => found.latest(),
    };
    let at = match at {
        Some(at) => at,
        None => GapInfo::new(&civil, &zone)?.end?,
    };
    Some((at.timestamp_micros(), at.naive_local()))
}

/// The first instant, in microseconds, at which the clock shows `civil` in `zone`; in a gap, the end of it.
pub(crate) fn earliest(zone: Tz, civil: NaiveDateTime) -> Option<i64> {
    instant(zone, civil, Which::First).map(|(at, _)| at)
}

/// The instants of a window that begins at `start` and lasts `length` on the clock, in their order.
/// Adds them to `to`.
pub(super) fn resolve(
    zone: Tz,
    kind: Kind,
    start: NaiveDateTime,
    length: TimeDelta,
    to: &mut Vec<Interval>,
) {
    let Some((from, shown)) = instant(zone, start, Which::First) else { return };
    let begin = match kind {
        Kind::Freeze => shown,
        Kind::Deployment => start,
    };
    let Some(end) = begin.checked_add_signed(length) else { return };
    // What the clock shows twice before the end belongs to a freeze both times. The end itself does not:
    // where it is the first time that is shown twice, nothing before it is.
    let twice = |civil| matches!(zone.from_local_datetime(&civil), LocalResult::Ambiguous(..));
    let which = match kind {
        Kind::Freeze if twice(end - TimeDelta::seconds(1)) => Which::Last,
        Kind::Freeze | Kind::Deployment => Which::First,
    };
    let Some((until, _)) = instant(zone, end, which) else { return };
    match kind {
        Kind::Freeze if from < until => to.push((from, until)),
        Kind::Freeze => {}
        Kind::Deployment => without_repeats(zone, (from, until), to),
    }
}

/// Adds `whole` without the times that the clock shows for the second time.
fn without_repeats(zone: Tz, whole: Interval, to: &mut Vec<Interval>) {
    let (mut from, end) = whole;
    // A fold that began before the window may still go on, so the search begins before it, too.
    let mut step = from.div_euclid(1_000_000) - SEARCH * 4;
    while step < end.div_euclid(1_000_000) && from < end {
        let next = step + SEARCH;
        let lost = offset(zone, step) - offset(zone, next);
        if lost > 0 {
            let back = transition(zone, step, next);
            let (again, over) = (back * 1_000_000, (back + lost) * 1_000_000);
            if from < again {
                to.push((from, again.min(end)));
            }
            from = from.max(over);
        }
        step = next;
    }
    if from < end {
        to.push((from, end));
    }
}

/// The first second at which the offset is that of `high`, which differs from that of `low`.
fn transition(zone: Tz, mut low: i64, mut high: i64) -> i64 {
    let after = offset(zone, high);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if offset(zone, middle) == after {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// Sorts intervals and makes one of those that overlap or touch; cuts what is outside of `bounds`.
pub(super) fn merge(mut all: Vec<Interval>, bounds: Interval) -> Box<[Interval]> {
    all.sort_unstable();
    let mut merged: Vec<Interval> = Vec::with_capacity(all.len());
    for (from, until) in all {
        let (from, until) = (from.max(bounds.0), until.min(bounds.1));
        if from >= until {
            continue;
        }
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(until),
            _ => merged.push((from, until)),
        }
    }
    merged.into()
}
