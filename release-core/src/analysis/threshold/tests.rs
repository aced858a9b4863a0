use super::*;
use crate::model::Selector;
use crate::port::Bucket;
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
    let Judged { verdict, because, .. } =
        measure(analysis, limits, Digest::of(b"new"), (measurement, None), now);
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
fn more_than_the_whole_is_no_share_of_it() {
    let rule = |limit: f64| of(errors(), Threshold::new(Bound::AtLeast(at(limit))), 1);
    check(&rule(0.95), &ratio(96.0, 100.0), Verdict::Pass);
    check(&rule(0.95), &ratio(120.0, 100.0), Verdict::Inconclusive);
    // What may be more than 1 is no share, such as retries of a request.
    check(&rule(1.1), &ratio(120.0, 100.0), Verdict::Pass);
    let limit = Threshold::new(Bound::AtMost(at(0.5)));
    check(&of(errors(), limit, 1), &ratio(120.0, 100.0), Verdict::Fail);
}

#[test]
fn between_two_limits_nothing_is_concluded() {
    let failure = Some(Bound::AtMost(at(0.1)));
    let rule = of(errors(), Threshold { failure, ..Threshold::new(Bound::AtMost(at(0.05))) }, 1);
    check(&rule, &ratio(5.0, 100.0), Verdict::Pass);
    check(&rule, &ratio(7.0, 100.0), Verdict::Inconclusive);
    check(&rule, &ratio(11.0, 100.0), Verdict::Fail);
}

#[test]
fn a_quantile_is_told_by_the_worse_end_of_its_bucket() {
    let bucket = |bound: Option<f64>, count| Bucket { at_most: bound.map(at), count: at(count) };
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

fn second(n: u64) -> Timestamp {
    Timestamp::default().plus(Span::secs(n))
}

/// What looks, one a second from second 100 on, say of a metric whose samples are fresh for ten.
fn verdicts(
    metric: Metric,
    fresh_for: Option<Span>,
    looks: impl IntoIterator<Item = Measurement>,
) -> Vec<Verdict> {
    let (analysis, limits) = of(metric, Threshold::new(Bound::AtMost(at(0.05))), 1);
    let analysis = Analysis { fresh_for, ..analysis };
    let mut sampled = Sampled::of(&analysis);
    let mut verdicts = Vec::new();
    for (measurement, n) in looks.into_iter().zip(100..) {
        let found = (&measurement, sampled.as_mut());
        let judged = measure(&analysis, &limits, Digest::of(b"new"), found, second(n));
        verdicts.push(judged.verdict);
    }
    verdicts
}

#[test]
fn a_number_of_a_scraped_source_counts_once_and_is_waited_for_while_it_is_fresh() {
    use Verdict::{Fail, Inconclusive, Pass, Undetermined};
    let query = || Metric::Query { query: "up".into() };
    let of = |second, value| Measurement::Value {
        digest: Digest::of(b"new"),
        value: at(value),
        at: self::second(second),
    };
    let ten = Some(Span::secs(10));
    // Scraped at second 98, 101 (bad) and 104 and no more: at 114 that is ten seconds old, and at 115 too old.
    let scraped = (100..116).map(|now| match now {
        100 => of(98, 0.0),
        101..=103 => of(101, 1.0),
        _ => of(104, 0.0),
    });
    let mut want = vec![Pass, Fail, Undetermined, Undetermined, Pass];
    want.extend([Undetermined; 10]);
    want.push(Inconclusive);
    assert_eq!(verdicts(query(), ten, scraped), want);
    // An answer of before is no newer one.
    let back = [of(99, 0.0), of(98, 1.0), of(100, 0.0)];
    assert_eq!(verdicts(query(), ten, back), [Pass, Undetermined, Pass]);
    // As it always was where nobody says how long.
    let same = [of(99, 0.0), of(99, 0.0), of(99, 0.0)];
    assert_eq!(verdicts(query(), None, same), [Pass, Pass, Inconclusive]);
}

#[test]
fn counts_of_a_scraped_source_are_waited_for_as_long_as_their_last_growth_is_fresh() {
    use Verdict::{Inconclusive, Pass, Undetermined};
    let counts = |of: [f64; 5]| of.map(|whole| ratio(0.0, whole));
    let ten = Some(Span::secs(10));
    let every_third = counts([5.0, 5.0, 5.0, 9.0, 9.0]);
    let want = [Pass, Undetermined, Undetermined, Pass, Undetermined];
    assert_eq!(verdicts(errors(), ten, every_third.clone()), want);
    let want = [Pass, Inconclusive, Inconclusive, Pass, Inconclusive];
    assert_eq!(verdicts(errors(), None, every_third), want);
    // A window that begins anew goes on from nothing, and is waited for as well.
    let anew = counts([9.0, 3.0, 3.0, 4.0, 4.0]);
    let want = [Pass, Inconclusive, Undetermined, Pass, Undetermined];
    assert_eq!(verdicts(errors(), ten, anew), want);
    let silent = std::iter::repeat_n(ratio(0.0, 5.0), 12);
    let found = verdicts(errors(), ten, silent);
    assert_eq!(found.iter().filter(|verdict| **verdict == Undetermined).count(), 10);
    assert_eq!((found[0], found[11]), (Pass, Inconclusive));
}

#[test]
fn what_is_taken_in_again_is_what_was_left_behind() {
    let (analysis, limits) = of(errors(), Threshold::new(Bound::AtMost(at(0.05))), 1);
    for fresh_for in [None, Some(Span::secs(10))] {
        let analysis = Analysis { fresh_for, ..analysis.clone() };
        let (mut judged, mut taken) = (Sampled::default(), Sampled::default());
        for (whole, n) in [5.0, 5.0, 7.0, 3.0, 3.0].into_iter().zip(100..) {
            let (found, now) = (ratio(0.0, whole), second(n));
            let told = (&found, Some(&mut judged));
            let _ = measure(&analysis, &limits, Digest::of(b"new"), told, now);
            let Ok(Told { of, .. }) = value(
                (&analysis.metric, limits.success),
                &analysis,
                Digest::of(b"new"),
                &found,
                now,
            ) else {
                panic!("{found:?}");
            };
            taken.again(&analysis, of, now);
            assert!(judged.words().eq(taken.words()));
        }
        // Digests of runs from before there was such a field stay.
        assert_eq!(judged.words().count(), if fresh_for.is_some() { 2 } else { 1 });
    }
}
