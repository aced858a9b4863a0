//! Scale decides nothing: of means that come as sums and counts, and of levels that hardly vary or not at all.

use release_core::analysis::Conclusion;
use release_core::model::{Metric, Selector};

use super::judging::{both, finite, noise, ratio, second, trial};

#[test]
fn sums_and_steady_levels_are_compared_whatever_their_scale() {
    let metric =
        || Metric::Mean { sum: Selector::series("seconds"), count: Selector::series("all") };
    let sums = |scale: f64, canary: f64, noisy: f64| {
        let mut so_far = [0.0; 2];
        let mut trial = trial(metric(), |rule| rule.expected.spread = finite(0.01 * scale));
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
        all.map(|finding| finding.conclusion).collect::<Vec<_>>()
    };
    for (canary, noisy, wanted) in [
        (16.0, 1.0, Conclusion::Regressed),
        (10.0, 0.01, Conclusion::Healthy),
        (16.0, 0.0, Conclusion::Regressed),
        (10.0, 0.0, Conclusion::Healthy),
    ] {
        let plain = sums(1.0, canary, noisy);
        assert!(plain.contains(&wanted), "{canary}, {noisy}: {plain:?}");
        for scale in [1e-9, 1e-6, 0.001, 7.0, 1e3, 1e9] {
            assert_eq!(sums(scale, canary, noisy), plain, "{canary}, {noisy} by {scale}");
        }
    }
}
