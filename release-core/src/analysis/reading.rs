//! Reads measurements: whose they are, whether they are numbers of what was asked for, and what they count.

use crate::model::{Analysis, Bound, Digest, Direction, Finite, Metric};
use crate::port::{Bucket, MAX_HEALTH_AGE, Measurement};
use crate::time::Timestamp;

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

/// Where the observations of a quantile count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    /// The bound of the bucket beyond which they do.
    pub(crate) bound: Finite,
    /// Whether about as many lie beyond it as beyond the quantile.
    pub(crate) near: bool,
}

/// A bound is near a quantile that has up to so many times more or fewer observations beyond it.
const NEAR: f64 = 10.0;

/// How many observations beyond a quantile fix where it lies.
const BEYOND: f64 = 10.0;

/// The share of observations beyond a quantile, on the side of what is worse.
fn share_beyond(quantile: Finite, direction: Direction) -> f64 {
    match direction {
        Direction::LowerIsBetter => 1.0 - quantile.get(),
        Direction::HigherIsBetter => quantile.get(),
    }
}

/// How many observations of the old version fix where its quantile lies: so many that about ten lie beyond it, and at least as many as
/// the analysis needs of any version.
pub(crate) fn needed(quantile: Finite, direction: Direction, min_samples: u64) -> f64 {
    let least = u32::try_from(min_samples).map_or(f64::MAX, f64::from);
    least.max(BEYOND / share_beyond(quantile, direction))
}

/// That it is not fixed yet where a quantile lies.
pub(crate) fn too_few(all: f64, needed: f64) -> String {
    let needed = needed.ceil();
    format!("{all} observations of the old version, {needed} fix where its quantile lies")
}

/// The bound of a histogram's bucket at which a quantile of it lies: of those at both ends of its bucket, the one beyond which
/// there are about as many observations as beyond the quantile. Where there is none, the end on the side of what is worse.
///
/// # Errors
/// Why no bound will do.
pub(crate) fn bound_of(
    measurement: &Measurement,
    quantile: Finite,
    direction: Direction,
    min_samples: u64,
) -> Result<Place, String> {
    let Measurement::Histogram { buckets, .. } = measurement else {
        return Err("the answer is no histogram".into());
    };
    let all = total(buckets)?;
    let wanted = share_beyond(quantile, direction);
    let needed = needed(quantile, direction, min_samples);
    if all < needed {
        return Err(too_few(all, needed));
    }
    let bounds = || buckets.iter().filter_map(|bucket| Some((bucket.at_most?, bucket.count.get())));
    let (inner, outer) = match direction {
        Direction::LowerIsBetter => {
            let below = |(_, count): &(Finite, f64)| *count < quantile.get() * all;
            let beyond = |(bound, count)| (bound, (all - count) / all);
            (bounds().rfind(below).map(beyond), bounds().find(|b| !below(b)).map(beyond))
        }
        Direction::HigherIsBetter => {
            let above = |(_, count): &(Finite, f64)| *count > wanted * all;
            let beyond = |(bound, count)| (bound, count / all);
            (bounds().find(above).map(beyond), bounds().rfind(|b| !above(b)).map(beyond))
        }
    };
    let distance = |share: f64| (share / wanted).ln().abs();
    let near =
        |(_, share): &(Finite, f64)| *share <= (NEAR * wanted).min(0.5) && *share >= wanted / NEAR;
    let nearest = [inner, outer].into_iter().flatten().filter(near);
    if let Some((bound, _)) = nearest.min_by(|(_, a), (_, b)| distance(*a).total_cmp(&distance(*b)))
    {
        return Ok(Place { bound, near: true });
    }
    let nothing = || "its quantile lies beyond all bounds of the histogram; give it wider buckets";
    outer.map(|(bound, _)| Place { bound, near: false }).ok_or_else(|| nothing().to_owned())
}

/// Between which bounds the observation of this rank lies: the one that is told is the worse, by what a good value keeps. It is
/// infinite beyond all bounds.
pub(crate) fn place(buckets: &[Bucket], rank: f64, good: Bound) -> f64 {
    let mut below = f64::NEG_INFINITY;
    for bucket in buckets {
        let bound = bucket.at_most.map_or(f64::INFINITY, Finite::get);
        if bucket.count.get() >= rank {
            return if matches!(good, Bound::AtMost(_)) { bound } else { below };
        }
        below = bound;
    }
    f64::INFINITY
}

/// Whether a value keeps a bound. An infinite one is that of a quantile that lies beyond all bounds.
pub(crate) fn holds(bound: Bound, value: f64) -> bool {
    match Finite::new(value) {
        Ok(value) => bound.holds(value),
        Err(_) => matches!(bound, Bound::AtLeast(_)) == (value > 0.0),
    }
}

/// A number of the moment that is too old to be of it, or dated so far ahead that it would be taken for fresh for as long: the
/// clocks of two machines differ by less.
///
/// # Errors
/// How old it is, or how far ahead.
pub(crate) fn fresh(at: Timestamp, now: Timestamp, analysis: &Analysis) -> Result<(), String> {
    let oldest = analysis.freshness();
    let (age, ahead) = (now.since(at), at.since(now));
    if age > oldest {
        return Err(format!(
            "the newest sample is {age} old, and what is older than {oldest} is not of the moment; set `fresh_for` where samples come less often"
        ));
    }
    if ahead > MAX_HEALTH_AGE {
        return Err(format!("the newest sample is dated {ahead} ahead; set the clocks right"));
    }
    Ok(())
}
