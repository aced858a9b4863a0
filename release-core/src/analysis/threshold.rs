//! One measurement of one version, held against limits.

use super::reading;
use crate::model::{Analysis, Bound, Digest, Finite, Metric, Threshold};
use crate::port::{Bucket, Measurement};
use crate::run::Verdict;
use crate::time::Timestamp;

/// What a measurement is, with how it is shown and of how many samples it is, where it is of samples.
struct Told {
    number: f64,
    shown: String,
    samples: Option<Finite>,
}

/// What one measurement of `wanted` says, held against limits; and why.
pub(crate) fn measure(
    analysis: &Analysis,
    limits: &Threshold,
    wanted: Digest,
    measurement: &Measurement,
    now: Timestamp,
) -> (Verdict, String) {
    #[cfg(planted_bugs)]
    if matches!(measurement, Measurement::NoData { .. })
        && crate::planted::is(crate::planted::Bug::NoDataPasses)
    {
        return (Verdict::Pass, "nothing bad was seen".into());
    }
    #[cfg(planted_bugs)]
    if matches!(measurement, Measurement::Ratio { denominator: Finite::ZERO, digest, .. } if *digest == wanted)
        && crate::planted::is(crate::planted::Bug::NanPasses)
    {
        return (Verdict::Pass, "nothing is not beyond the limit".into());
    }
    let Told { number, shown, samples } = match value(analysis, limits, wanted, measurement, now) {
        Ok(told) => told,
        Err(why) => return (Verdict::Inconclusive, why),
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "rounded beyond 2^53 samples, by less than one in 10^15"
    )]
    let least = analysis.min_samples as f64;
    if samples.is_some_and(|samples| samples.get() < least) {
        let why = format!("{shown}, but at least {} samples are needed", analysis.min_samples);
        return (Verdict::Inconclusive, why);
    }
    let good = holds(limits.success, number);
    let tolerable = good || limits.failure.is_some_and(|bound| holds(bound, number));
    let verdict = match (good, tolerable) {
        (true, _) => Verdict::Pass,
        (false, true) => Verdict::Inconclusive,
        (false, false) => Verdict::Fail,
    };
    (verdict, format!("{shown} is {}{}", if good { "" } else { "not " }, limits.success))
}

/// An infinite value is that of a quantile that lies beyond all bounds.
fn holds(bound: Bound, value: f64) -> bool {
    match Finite::new(value) {
        Ok(value) => bound.holds(value),
        Err(_) => matches!(bound, Bound::AtLeast(_)) == (value > 0.0),
    }
}

fn value(
    analysis: &Analysis,
    limits: &Threshold,
    wanted: Digest,
    measurement: &Measurement,
    now: Timestamp,
) -> Result<Told, String> {
    let of = |digest: Digest| {
        if digest == wanted { Ok(()) } else { Err(format!("measured {digest}, not {wanted}")) }
    };
    match (&analysis.metric, measurement) {
        (_, Measurement::NoData { reason }) => Err(format!("no data: {reason}")),
        (
            metric @ (Metric::Ratio { .. } | Metric::Mean { .. }),
            Measurement::Ratio { digest, numerator, denominator },
        ) => {
            of(*digest)?;
            // Both are finite; their quotient may still not be, for example when the whole is 0.
            let value = Finite::new(numerator.get() / denominator.get())
                .map_err(|_| format!("{numerator} of {denominator} is no ratio"))?;
            let sums = matches!(metric, Metric::Mean { .. });
            if denominator < &Finite::ZERO || !sums && numerator < &Finite::ZERO {
                return Err(format!("{numerator} of {denominator} cannot be counts"));
            }
            let shown = format!("{:.4} ({numerator} of {denominator})", value.get());
            Ok(Told { number: value.get(), shown, samples: Some(*denominator) })
        }
        (Metric::Quantile { quantile, .. }, Measurement::Histogram { digest, buckets }) => {
            of(*digest)?;
            let all = reading::total(buckets)?;
            if all <= 0.0 {
                return Err("nothing was observed".into());
            }
            let value = place(buckets, quantile.get() * all, limits.success);
            let samples = Finite::new(all).map_err(|error| error.to_string())?;
            let percent = quantile.get() * 100.0;
            let shown = match limits.success {
                Bound::AtMost(_) => format!("the {percent:.1} % quantile, up to {value} of {all}"),
                Bound::AtLeast(_) => format!("the {percent:.1} % quantile, above {value} of {all}"),
            };
            Ok(Told { number: value, shown, samples: Some(samples) })
        }
        (Metric::Query { .. }, Measurement::Value { digest, value, at }) => {
            of(*digest)?;
            reading::fresh(*at, now, analysis.interval)?;
            Ok(Told { number: value.get(), shown: value.to_string(), samples: None })
        }
        (metric, _) => Err(format!("the answer is no measurement of a {}", metric.kind())),
    }
}

/// Between which bounds the observation of this rank lies: the one that is told is the worse.
fn place(buckets: &[Bucket], rank: f64, success: Bound) -> f64 {
    let mut below = f64::NEG_INFINITY;
    for bucket in buckets {
        let bound = bucket.at_most.map_or(f64::INFINITY, Finite::get);
        if bucket.count.get() >= rank {
            return if matches!(success, Bound::AtMost(_)) { bound } else { below };
        }
        below = bound;
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Selector;
    use crate::time::Span;

    fn at(x: f64) -> Finite {
        Finite::new(x).unwrap()
    }

    fn of(metric: Metric, limits: Threshold, min_samples: u64) -> (Analysis, Threshold) {
        let id = "it".parse().unwrap();
        (Analysis { min_samples, ..Analysis::new(id, metric, limits.success) }, limits)
    }

    #[track_caller]
    fn check((analysis, limits): &(Analysis, Threshold), measurement: &Measurement, want: Verdict) {
        let now = Timestamp::default().plus(Span::secs(100));
        let (verdict, because) = measure(analysis, limits, Digest::of(b"new"), measurement, now);
        assert_eq!(verdict, want, "{because}");
    }

    fn ratio(numerator: f64, denominator: f64) -> Measurement {
        let (numerator, denominator) = (at(numerator), at(denominator));
        Measurement::Ratio { digest: Digest::of(b"new"), numerator, denominator }
    }

    fn errors() -> Metric {
        Metric::Ratio { numerator: Selector::series("bad"), denominator: Selector::series("all") }
    }

    #[test]
    fn a_measurement_passes_only_on_enough_good_data_of_the_right_version() {
        let rule = of(errors(), Threshold::new(Bound::AtMost(at(0.05))), 50);
        check(&rule, &ratio(2.0, 100.0), Verdict::Pass);
        check(&rule, &ratio(5.0, 100.0), Verdict::Pass);
        check(&rule, &ratio(6.0, 100.0), Verdict::Fail);
        check(&rule, &ratio(0.0, 49.0), Verdict::Inconclusive);
        check(&rule, &ratio(0.0, 0.0), Verdict::Inconclusive);
        check(&rule, &ratio(1.0, 0.0), Verdict::Inconclusive);
        check(&rule, &ratio(-1.0, 100.0), Verdict::Inconclusive);
        check(&rule, &ratio(-1.0, -100.0), Verdict::Inconclusive);
        check(&rule, &Measurement::NoData { reason: "silence".into() }, Verdict::Inconclusive);
        let (numerator, denominator) = (Finite::ZERO, at(100.0));
        let other = Measurement::Ratio { digest: Digest::of(b"old"), numerator, denominator };
        check(&rule, &other, Verdict::Inconclusive);
        // What is a measurement of something else.
        let value = Measurement::Value {
            digest: Digest::of(b"new"),
            value: Finite::ZERO,
            at: Timestamp::default(),
        };
        check(&rule, &value, Verdict::Inconclusive);
    }

    #[test]
    fn between_two_limits_nothing_is_concluded() {
        let failure = Some(Bound::AtMost(at(0.1)));
        let rule = of(errors(), Threshold { success: Bound::AtMost(at(0.05)), failure }, 1);
        check(&rule, &ratio(5.0, 100.0), Verdict::Pass);
        check(&rule, &ratio(7.0, 100.0), Verdict::Inconclusive);
        check(&rule, &ratio(11.0, 100.0), Verdict::Fail);
    }

    #[test]
    fn a_quantile_is_told_by_the_worse_end_of_its_bucket() {
        let bucket =
            |bound: Option<f64>, count| Bucket { at_most: bound.map(at), count: at(count) };
        let histogram = |counts: [f64; 3]| Measurement::Histogram {
            digest: Digest::of(b"new"),
            buckets: [Some(0.1), Some(0.5), None]
                .into_iter()
                .zip(counts)
                .map(|(bound, count)| bucket(bound, count))
                .collect(),
        };
        let metric = || Metric::Quantile { histogram: Selector::series("took"), quantile: at(0.9) };
        let rule = |bound| of(metric(), Threshold::new(bound), 10);
        check(&rule(Bound::AtMost(at(0.1))), &histogram([90.0, 99.0, 100.0]), Verdict::Pass);
        check(&rule(Bound::AtMost(at(0.1))), &histogram([89.0, 99.0, 100.0]), Verdict::Fail);
        check(&rule(Bound::AtMost(at(0.5))), &histogram([1.0, 1.0, 100.0]), Verdict::Fail);
        check(&rule(Bound::AtLeast(at(0.1))), &histogram([1.0, 99.0, 100.0]), Verdict::Pass);
        check(&rule(Bound::AtLeast(at(0.1))), &histogram([99.0, 99.0, 100.0]), Verdict::Fail);
        check(&rule(Bound::AtMost(at(0.5))), &histogram([1.0, 9.0, 9.0]), Verdict::Inconclusive);
        check(&rule(Bound::AtMost(at(0.5))), &histogram([9.0, 1.0, 99.0]), Verdict::Inconclusive);
        check(&rule(Bound::AtMost(at(0.5))), &histogram([0.0; 3]), Verdict::Inconclusive);
    }

    #[test]
    fn numbers_of_the_moment_are_of_the_moment() {
        let metric = Metric::Query { query: "up".into() };
        let rule = of(metric, Threshold::new(Bound::AtMost(at(1.0))), 1);
        let value = |seconds| Measurement::Value {
            digest: Digest::of(b"new"),
            value: at(1.0),
            at: Timestamp::default().plus(Span::secs(seconds)),
        };
        check(&rule, &value(98), Verdict::Pass);
        check(&rule, &value(97), Verdict::Inconclusive);
    }
}
