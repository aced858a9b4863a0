//! Reads measurements: whose they are, whether they are numbers of what was asked for, and what they count.

use crate::model::{Digest, Direction, Finite, Metric};
use crate::port::{Bucket, Measurement};
use crate::time::{Span, Timestamp};

/// What a measurement counts or says, since the window began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reading {
    /// So much of a whole: bad events of all, or a sum over so many.
    Part { part: f64, whole: f64 },
    /// One number of the moment.
    Now { value: f64, at: Timestamp },
}

/// Which way the metric gets worse, and above which bound a quantile's observations count, once that is fixed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) direction: Direction,
    pub(crate) above: Option<Finite>,
}

/// Reads a measurement of `wanted`.
///
/// # Errors
/// Why there is nothing to judge by.
pub(crate) fn read(
    metric: &Metric,
    wanted: Digest,
    measurement: &Measurement,
    terms: Terms,
) -> Result<Reading, String> {
    let of = |digest: Digest| {
        if digest == wanted { Ok(()) } else { Err(format!("measured {digest}, not {wanted}")) }
    };
    match (metric, measurement) {
        (_, Measurement::NoData { reason }) => Err(reason.clone()),
        (
            Metric::Ratio { .. } | Metric::Mean { .. },
            Measurement::Ratio { digest, numerator, denominator },
        ) => {
            of(*digest)?;
            let (part, whole) = (numerator.get(), denominator.get());
            let counts = matches!(metric, Metric::Ratio { .. });
            if whole < 0.0 || (counts && part < 0.0) {
                return Err(format!("{numerator} of {denominator} cannot be counts"));
            }
            // Bad events are counted, whichever the metric counts; ratios above 1 are no shares of anything.
            if counts && terms.direction == Direction::HigherIsBetter {
                if part > whole {
                    return Err(format!("{numerator} of {denominator} is more than the whole"));
                }
                return Ok(Reading::Part { part: whole - part, whole });
            }
            Ok(Reading::Part { part, whole })
        }
        (Metric::Quantile { .. }, Measurement::Histogram { digest, buckets }) => {
            of(*digest)?;
            let whole = total(buckets)?;
            let above =
                terms.above.map_or(Ok(0.0), |bound| beyond(buckets, bound, terms.direction))?;
            Ok(Reading::Part { part: above, whole })
        }
        (Metric::Query { .. }, Measurement::Value { digest, value, at }) => {
            of(*digest)?;
            Ok(Reading::Now { value: value.get(), at: *at })
        }
        (metric, _) => Err(format!("the answer is no measurement of a {}", metric.kind())),
    }
}

/// All observations of a histogram that is one: bounds grow, counts do not fall, the last has no bound.
pub(crate) fn total(buckets: &[Bucket]) -> Result<f64, String> {
    let sound = buckets.windows(2).all(|pair| match pair {
        [a, b] => {
            let below = match (a.at_most, b.at_most) {
                (Some(a), Some(b)) => a < b,
                (Some(_), None) => true,
                (None, _) => false,
            };
            below && a.count <= b.count
        }
        _ => true,
    });
    let first = buckets.first().is_none_or(|first| first.count >= Finite::ZERO);
    match buckets.last() {
        Some(Bucket { at_most: None, count }) if sound && first => Ok(count.get()),
        Some(Bucket { at_most: Some(_), .. }) => Err("the histogram has no bucket for all".into()),
        None => Err("the histogram has no buckets".into()),
        _ => Err("the histogram's bounds do not grow, or its counts fall".into()),
    }
}

/// Observations on the bad side of `bound`, which has to be that of a bucket.
fn beyond(buckets: &[Bucket], bound: Finite, direction: Direction) -> Result<f64, String> {
    let all = total(buckets)?;
    let found = buckets.iter().find(|bucket| bucket.at_most == Some(bound));
    let below = found.ok_or_else(|| format!("the histogram has no bucket at {bound} any more"))?;
    Ok(match direction {
        Direction::LowerIsBetter => all - below.count.get(),
        Direction::HigherIsBetter => below.count.get(),
    })
}

/// The bound of a histogram's bucket at which a quantile of it lies: on the side of what is worse, as near as the buckets
/// allow, and with some observations on both sides.
///
/// # Errors
/// Why no bound will do.
pub(crate) fn bound_of(
    measurement: &Measurement,
    quantile: Finite,
    direction: Direction,
    least: f64,
) -> Result<Finite, String> {
    let Measurement::Histogram { buckets, .. } = measurement else {
        return Err("the answer is no histogram".into());
    };
    let all = total(buckets)?;
    let share = match direction {
        Direction::LowerIsBetter => quantile.get(),
        Direction::HigherIsBetter => 1.0 - quantile.get(),
    };
    // So many that about ten lie beyond.
    let needed = least.max(10.0 / (1.0 - share));
    if all < needed {
        return Err(format!(
            "{all} observations of the old version, {needed} fix where its quantile lies"
        ));
    }
    let bounds = || buckets.iter().filter_map(|bucket| Some((bucket.at_most?, bucket.count.get())));
    let found = match direction {
        Direction::LowerIsBetter => bounds().find(|(_, count)| *count >= share * all),
        Direction::HigherIsBetter => {
            bounds().rev().find(|(_, count)| *count <= (1.0 - share) * all)
        }
    };
    let nothing = || "its quantile lies beyond all bounds of the histogram; give it wider buckets";
    found.map(|(bound, _)| bound).ok_or_else(|| nothing().to_owned())
}

/// A number of the moment that is too old to be of it.
///
/// # Errors
/// How old it is.
pub(crate) fn fresh(at: Timestamp, now: Timestamp, interval: Span) -> Result<(), String> {
    // Twice the time between two looks: one may be missed on the way.
    let oldest = interval.as_duration().saturating_mul(2);
    let age = now.since(at);
    if age.as_duration() > oldest {
        return Err(format!("the newest sample is {age} old"));
    }
    Ok(())
}
