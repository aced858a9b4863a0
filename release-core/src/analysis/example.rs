//! Measurements as they come when all is well, or when it is not: for simulations.

use crate::model::{
    Analysis, Bound, Change, Criterion, Cusum, Digest, Direction, Finite, Judge, Metric, Objective,
    Scored, Sequential,
};
use crate::plan::{Action, Beside, Deployment};
use crate::port::{Bucket, Evidence, MAX_POINTS, Measurement, Pair, Point};
use crate::time::{Span, Timestamp};

/// Samples of one look at each of two versions with half of the requests: so many that what they say is clear.
const SAMPLES: f64 = 1_000_000.0;

/// What an analysis would measure at its look after `looks` earlier ones, of a version that is `well` or is not: within its
/// limits or beyond them; as bad as the old version or as bad as the analysis has to find.
///
/// Of other actions, and of limits that nothing keeps, it is no data.
pub fn example(action: &Action, looks: u32, now: Timestamp, well: bool) -> Evidence {
    let nothing = |reason: &str| Measurement::NoData { reason: reason.to_owned() };
    let Action::Analyze { deployment, analysis, beside, .. } = action else {
        return Evidence::Measurement(nothing("this is no analysis"));
    };
    match (&analysis.judge, beside) {
        (Judge::Sequential(rule), Some(beside)) => {
            // Each as many as its share of the requests is.
            let of = |deployment: &Deployment, share: u8, well| {
                let digest = deployment.artifact.digest();
                let each = SAMPLES / 50.0 * f64::from(share);
                let samples = each * f64::from(looks.saturating_add(1));
                beside_another(analysis, rule, digest, (samples, now, well))
            };
            let rest = 100_u8.saturating_sub(beside.share);
            let (canary, baseline) =
                (of(deployment, beside.share, well), of(&beside.baseline, rest, true));
            Evidence::Comparison { canary: Box::new(canary), baseline: Box::new(baseline) }
        }
        (Judge::Threshold(limits), None) => {
            let digest = deployment.artifact.digest();
            let found = against(analysis, limits.success, digest, (looks, now, well));
            let nothing = || nothing("no value is within the limit");
            Evidence::Measurement(found.unwrap_or_else(nothing))
        }
        (Judge::BurnRate(rule), None) => {
            let failed = match (rule.direction, well) {
                (Direction::LowerIsBetter, true) | (Direction::HigherIsBetter, false) => 0.0,
                (Direction::LowerIsBetter, false) | (Direction::HigherIsBetter, true) => 1.0,
            };
            let samples = SAMPLES * f64::from(looks.saturating_add(1));
            let digest = deployment.artifact.digest();
            Evidence::Measurement(measured(&analysis.metric, digest, (failed, samples), now))
        }
        (Judge::Cusum(rule), beside) => {
            drifting(analysis, rule, (deployment, beside.as_deref()), (looks, now, well))
        }
        (Judge::Scorecard(card), Some(beside)) => {
            let both = (deployment.artifact.digest(), beside.baseline.artifact.digest());
            let of = card.metrics.iter().map(|scored| points(scored, both, (looks, now, well)));
            Evidence::Comparisons { of: of.collect() }
        }
        (Judge::Objectives(rule), None) => {
            let digest = deployment.artifact.digest();
            let of = rule.of.iter().map(|one| objective(one, digest, (looks, now, well)));
            Evidence::Measurements { of: of.collect() }
        }
        _ => Evidence::Measurement(nothing("what it is compared with is not known")),
    }
}

/// A value that fails an objective, or neither fails it nor warns.
fn objective(
    objective: &Objective,
    digest: Digest,
    (looks, now, well): (u32, Timestamp, bool),
) -> Measurement {
    let shares = matches!(objective.metric, Metric::Ratio { .. });
    let near = |limit: &Finite| {
        let (limit, step) = (limit.get(), limit.get().abs() / 2.0 + 0.001);
        [limit, limit - step, limit + step]
    };
    let ends =
        objective.failure.iter().chain(&objective.warning).flat_map(|criterion| match criterion {
            Criterion::AtMost(limit)
            | Criterion::AtLeast(limit)
            | Criterion::Below(limit)
            | Criterion::Above(limit) => vec![*limit],
            Criterion::Within { from, to } | Criterion::Outside { from, to } => vec![*from, *to],
        });
    let ends: Vec<Finite> = ends.collect();
    let middle = match ends.as_slice() {
        [a, b, ..] => Some(a.get().midpoint(b.get())),
        _ => None,
    };
    let fits = |value: &f64| {
        let (fails, warns) = (objective.fails(*value), objective.warns(*value));
        let fine = if well { !fails && !warns } else { fails };
        fine && !(shares && *value < 0.0)
    };
    let mut values = ends.iter().flat_map(near).chain(middle).chain([0.0, 1.0]);
    let Some(value) = values.find(fits) else {
        return Measurement::NoData { reason: "no value is within the criteria".into() };
    };
    let samples = SAMPLES * f64::from(looks.saturating_add(1));
    measured(&objective.metric, digest, (value, samples), now)
}

/// Levels that are as usual, or worse by what has to be found.
fn drifting(
    analysis: &Analysis,
    rule: &Cusum,
    (deployment, beside): (&Deployment, Option<&Beside>),
    (looks, now, well): (u32, Timestamp, bool),
) -> Evidence {
    let worse = if well { 0.0 } else { rule.detect.get() * rule.spread.get() };
    let usual = rule.usual.map_or_else(|| 2.0 * worse + rule.spread.get(), Finite::get);
    let new = match rule.direction {
        Direction::LowerIsBetter => usual + worse,
        Direction::HigherIsBetter => usual - worse,
    };
    let samples = SAMPLES * f64::from(looks.saturating_add(1));
    let of = |deployment: &Deployment, value: f64| {
        measured(&analysis.metric, deployment.artifact.digest(), (value, samples), now)
    };
    let canary = of(deployment, new);
    match beside {
        None => Evidence::Measurement(canary),
        Some(beside) => Evidence::Comparison {
            canary: Box::new(canary),
            baseline: Box::new(of(&beside.baseline, usual)),
        },
    }
}

/// A point of one metric of a scorecard: they vary a little, and the new version's are a third, or three times as much, where
/// that is bad.
fn points(
    scored: &Scored,
    (new, old): (Digest, Digest),
    (looks, now, well): (u32, Timestamp, bool),
) -> Pair {
    let vary = |look: u32| 0.1 + f64::from(look.wrapping_mul(37) % 17) / 1_000.0;
    let (value, samples) = if scored.metric.asks() {
        (vary(looks), 1.0)
    } else {
        // Counts since the beginning, which grow by a point's at each look.
        let looks = looks.saturating_add(1);
        ((0..looks).map(vary).sum::<f64>() / f64::from(looks), SAMPLES * f64::from(looks))
    };
    let factor = match (well, scored.direction) {
        (true, _) => 1.0,
        (false, Change::Decrease) => 1.0 / 3.0,
        (false, Change::Increase | Change::Either) => 3.0,
    };
    if let Metric::Range { step, over, .. } = &scored.metric {
        let curve = |digest, factor| curve(digest, (*step, *over), now, |n| factor * vary(n));
        return Pair { canary: curve(new, factor), baseline: curve(old, 1.0) };
    }
    let of = |digest, value| measured(&scored.metric, digest, (value, samples), now);
    Pair { canary: of(new, factor * value), baseline: of(old, value) }
}

/// The points of a range until `now`, at whole steps since 1970, each by its number.
fn curve(
    digest: Digest,
    (step, over): (Span, Span),
    now: Timestamp,
    value: impl Fn(u32) -> f64,
) -> Measurement {
    let micros = |span: Span| i64::try_from(span.as_duration().as_micros()).unwrap_or(i64::MAX);
    let step = micros(step).max(1);
    let newest = now.as_micros().div_euclid(step);
    let long = micros(over).div_euclid(step);
    let most = i64::try_from(MAX_POINTS).unwrap_or(i64::MAX);
    let oldest = newest.saturating_sub(long.min(most)).saturating_add(1);
    let point = |number: i64| {
        let at = Timestamp::from_micros(number.saturating_mul(step));
        let number = u32::try_from(number.rem_euclid(i64::from(u32::MAX))).unwrap_or_default();
        Some(Point::Number { at, value: Finite::new(value(number)).ok()?, late: false })
    };
    Measurement::Points { digest, points: (oldest..=newest).filter_map(point).collect() }
}

/// A measurement that keeps a bound, or does not.
fn against(
    analysis: &Analysis,
    bound: Bound,
    digest: Digest,
    (looks, now, well): (u32, Timestamp, bool),
) -> Option<Measurement> {
    let (Bound::AtMost(limit) | Bound::AtLeast(limit)) = bound;
    let limit = limit.get();
    let shares = matches!(analysis.metric, Metric::Ratio { .. });
    // Beyond the limit by more than what rounding takes away.
    let value = match (bound, well) {
        (Bound::AtMost(_), true) if shares => 0.0,
        (Bound::AtLeast(_), true) if shares && limit <= 1.0 => 1.0,
        (Bound::AtMost(_), true) | (Bound::AtLeast(_), false) => limit - limit.abs() / 2.0,
        (Bound::AtLeast(_), true) | (Bound::AtMost(_), false) => {
            limit.abs().mul_add(2.0, limit) + 0.1
        }
    };
    let finite = Finite::new(value).ok()?;
    if bound.holds(finite) != well || shares && value < 0.0 {
        return None;
    }
    let samples = SAMPLES * f64::from(looks.saturating_add(1));
    Some(measured(&analysis.metric, digest, (value, samples), now))
}

/// A measurement of one of two versions.
fn beside_another(
    analysis: &Analysis,
    rule: &Sequential,
    digest: Digest,
    (samples, now, well): (f64, Timestamp, bool),
) -> Measurement {
    let (value, worse) = (rule.expected.value.get(), rule.expected.detect.get());
    if let Metric::Quantile { quantile, .. } = &analysis.metric {
        let times = if well { 1.0 } else { worse };
        let below = match rule.direction {
            Direction::LowerIsBetter => samples * (1.0 - (1.0 - quantile.get()) * times),
            Direction::HigherIsBetter => samples * quantile.get() * times,
        };
        return histogram(digest, below.clamp(0.0, samples).ceil(), samples);
    }
    let shares = matches!(analysis.metric, Metric::Ratio { .. });
    let value = match (rule.direction, well) {
        (_, true) => value,
        (Direction::LowerIsBetter, false) => value * worse,
        (Direction::HigherIsBetter, false) if shares => 1.0 - (1.0 - value) * worse,
        (Direction::HigherIsBetter, false) => value / worse,
    };
    let value = if shares { value.clamp(0.0, 1.0) } else { value };
    measured(&analysis.metric, digest, (value, samples), now)
}

fn measured(
    metric: &Metric,
    digest: Digest,
    (value, samples): (f64, f64),
    now: Timestamp,
) -> Measurement {
    let number = |value: f64| Finite::new(value).unwrap_or(Finite::ZERO);
    match metric {
        Metric::Ratio { .. } | Metric::Mean { .. } => Measurement::Ratio {
            digest,
            numerator: number(value * samples),
            denominator: number(samples),
        },
        Metric::Quantile { .. } => Measurement::Histogram {
            digest,
            buckets: vec![
                Bucket { at_most: Some(number(value)), count: number(samples) },
                Bucket { at_most: None, count: number(samples) },
            ],
        },
        Metric::Query { .. } => Measurement::Value { digest, value: number(value), at: now },
        Metric::Range { step, .. } => curve(digest, (*step, *step), now, |_| value),
    }
}

fn histogram(digest: Digest, below: f64, all: f64) -> Measurement {
    let number = |value: f64| Finite::new(value).unwrap_or(Finite::ZERO);
    let one = Bucket { at_most: Some(number(1.0)), count: number(below) };
    let buckets = vec![one, Bucket { at_most: None, count: number(all) }];
    Measurement::Histogram { digest, buckets }
}
