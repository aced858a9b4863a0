//! Scale decides nothing: of means that come as sums and counts, of levels that hardly vary or not at all, and of quantiles, whose buckets
//! are scaled with what they hold. Amounts in the metric's unit, such as margins and what the old version has to keep, are scaled alike.

use release_core::analysis::Conclusion;
use release_core::model::{Bound, Metric, Selector, Unit};

use super::judging::{both, finite, histogram, noise, ratio, second, trial};

const SCALES: [f64; 6] = [1e-9, 1e-6, 0.001, 7.0, 1e3, 1e9];

/// What each look at sums finds, beside an old version whose level is ten.
fn sums(scale: f64, absolute: f64, (canary, noisy): (f64, f64)) -> Vec<Conclusion> {
    let metric = Metric::Mean { sum: Selector::series("seconds"), count: Selector::series("all") };
    let mut so_far = [0.0; 2];
    let mut trial = trial(metric, |rule| {
        rule.expected.spread = finite(0.01 * scale);
        rule.margin.absolute = finite(absolute * scale);
    });
    let all = (1..=60).map(|look| {
        for (at, (sum, level)) in so_far.iter_mut().zip([canary, 10.0]).enumerate() {
            let seed = look * 7 + 3 * u32::try_from(at).unwrap();
            *sum += scale * 100.0 * (level + noisy * noise(seed));
        }
        let [new, old] = so_far;
        let all = f64::from(look) * 100.0;
        let evidence = both(ratio("new", new, all), ratio("old", old, all));
        trial.look(second(look), &evidence).unwrap().0
    });
    all.map(|finding| finding.conclusion).collect()
}

#[test]
fn sums_and_steady_levels_are_compared_whatever_their_scale() {
    for (absolute, canary, noisy, wanted) in [
        (0.0, 16.0, 1.0, Conclusion::Regressed),
        (0.0, 10.0, 0.01, Conclusion::Healthy),
        (0.0, 16.0, 0.0, Conclusion::Regressed),
        (0.0, 10.0, 0.0, Conclusion::Healthy),
        // More than half as much again is tolerated, up to eight.
        (8.0, 16.0, 0.01, Conclusion::Healthy),
        (8.0, 20.0, 1.0, Conclusion::Regressed),
    ] {
        let plain = sums(1.0, absolute, (canary, noisy));
        assert!(plain.contains(&wanted), "{absolute}, {canary}, {noisy}: {plain:?}");
        for scale in SCALES {
            let scaled = sums(scale, absolute, (canary, noisy));
            assert_eq!(scaled, plain, "{absolute}, {canary}, {noisy} by {scale}");
        }
    }
}

/// What each look at a 99th percentile finds, beside an old version of which one in a hundred is slower than a quarter of a second.
fn quantiles(scale: f64, slow: f64, limit: Option<f64>) -> Vec<Conclusion> {
    let metric = Metric::Quantile { histogram: Selector::series("took"), quantile: finite(0.99) };
    let mut trial = trial(metric, |rule| {
        rule.unit = Unit::Seconds;
        rule.baseline = limit.map(|limit| Bound::AtMost(finite(limit * scale)));
    });
    let all = (1..=60).map(|look| {
        let n = f64::from(look) * 5_000.0;
        let of =
            |content, share: f64| histogram(content, scale, [n * 0.5, n * (1.0 - share), n], n);
        trial.look(second(look), &both(of("new", slow), of("old", 0.01))).unwrap().0
    });
    all.map(|finding| finding.conclusion).collect()
}

#[test]
fn quantiles_are_compared_whatever_the_scale_of_their_buckets() {
    for (slow, limit, wanted) in [
        (0.022, None, Conclusion::Regressed),
        (0.01, None, Conclusion::Healthy),
        (0.01, Some(0.25), Conclusion::Healthy),
        (0.01, Some(0.2), Conclusion::BaselineUnhealthy),
    ] {
        let plain = quantiles(1.0, slow, limit);
        assert!(plain.contains(&wanted), "{slow}, {limit:?}: {plain:?}");
        for scale in SCALES {
            assert_eq!(quantiles(scale, slow, limit), plain, "{slow}, {limit:?} by {scale}");
        }
    }
}
