//! The judges of `analysis::netflix`, beside an implementation of its own and what is known to be wrong.

use std::collections::BTreeMap;

use release_core::analysis::netflix::{
    CanaryConfig, Classification, ConfigError, Judgement, Metric, MetricConfig, NetflixAca,
    Samples, Strict, Verdict,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    canary: MetricConfig,
    experiment: Vec<Option<f64>>,
    control: Vec<Option<f64>>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    classification: Classification,
    critical: Option<bool>,
    estimate: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    effect: Option<f64>,
}

fn metric(name: &str, group: &str, canary: MetricConfig) -> Metric {
    Metric { name: name.into(), groups: vec![group.into()], canary }
}

fn canary(json: &str) -> MetricConfig {
    serde_json::from_str(json).unwrap()
}

/// One metric.
fn one(canary: MetricConfig) -> CanaryConfig {
    CanaryConfig { metrics: vec![metric("m", "g", canary)], ..CanaryConfig::default() }
}

fn samples(experiment: &[f64], control: &[f64]) -> BTreeMap<String, Samples> {
    let samples = Samples { experiment: experiment.to_vec(), control: control.to_vec() };
    BTreeMap::from([("m".to_owned(), samples)])
}

fn aca(canary: MetricConfig, experiment: &[f64], control: &[f64]) -> Judgement {
    NetflixAca::new(1).judge(&one(canary), &samples(experiment, control))
}

fn strict(canary: MetricConfig, experiment: &[f64], control: &[f64]) -> Judgement {
    Strict::default().judge(&one(canary), &samples(experiment, control)).unwrap()
}

/// See `tests/golden/netflix/generate.py`.
#[test]
fn kayenta_is_met_number_by_number() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../golden/netflix/cases.json")).unwrap();
    assert!(cases.len() > 70);
    for Case { name, canary, experiment, control, expected } in cases {
        let or_nan = |values: Vec<Option<f64>>| -> Vec<f64> {
            values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect()
        };
        let judgement = aca(canary, &or_nan(experiment), &or_nan(control));
        let got = &judgement.metrics[0];
        assert_eq!(got.classification, expected.classification, "{name}: {got:?}");
        assert_eq!(got.critical, expected.critical.unwrap_or(false), "{name}: {got:?}");
        for (got, want) in [
            (got.estimate, expected.estimate),
            (got.lower, expected.lower),
            (got.upper, expected.upper),
            (got.effect, expected.effect),
        ] {
            let near = match (got, want) {
                (Some(got), Some(want)) => (got - want).abs() <= 1e-9 * want.abs().max(1e-3),
                (got, want) => got == want,
            };
            assert!(near, "{name}: {got:?} for {want:?}");
        }
    }
}

/// Numbers that look like response times: `SplitMix64`, and the sum of some uniform ones as an exponent.
fn times(seed: u64, count: usize, factor: f64) -> Vec<f64> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / 4_294_967_296.0
    };
    let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
    (0..count).map(|_| factor * (0.2 * normal()).exp()).collect()
}

fn scaled(values: &[f64], scale: f64) -> Vec<f64> {
    values.iter().map(|value| value * scale).collect()
}

#[test]
fn kayenta_loses_a_threefold_regression_in_small_units_and_strict_does_not() {
    let increase = canary(r#"{"direction": "increase"}"#);
    let (slow, usual) = (times(1, 60, 3.0), times(2, 60, 1.0));
    let of_kayenta = |scale: f64| {
        let (x, y) = (scaled(&slow, scale), scaled(&usual, scale));
        aca(increase, &x, &y).verdict
    };
    for scale in [1e3, 1.0, 1e-3] {
        assert_eq!(of_kayenta(scale), Verdict::Fail, "{scale}");
    }
    // Below the tolerance of its roots the verdict is that of chance.
    let small: Vec<_> = (0..20).map(|power| of_kayenta(5e-5 * 0.7_f64.powi(power))).collect();
    assert!(small.contains(&Verdict::Pass), "{small:?}");
    let twice_the_same = [aca(increase, &slow, &usual), aca(increase, &slow, &usual)];
    assert_eq!(twice_the_same[0], twice_the_same[1]);
    for power in -9..=9 {
        let scale = 10_f64.powi(power);
        let judge = |x: &[f64], y: &[f64]| {
            let judgement = strict(increase, &scaled(x, scale), &scaled(y, scale));
            (judgement.verdict, judgement.metrics[0].classification)
        };
        assert_eq!(judge(&slow, &usual), (Verdict::Fail, Classification::High), "{scale}");
        assert_eq!(judge(&times(3, 60, 1.0), &usual).0, Verdict::Pass, "{scale}");
        let counts: Vec<f64> = (0..60).map(|i| f64::from(i * i % 7)).collect();
        let fewer: Vec<f64> = (0..60).map(|i| f64::from(i * i % 3)).collect();
        assert_eq!(judge(&counts, &fewer).0, judge_at_one(increase, &counts, &fewer), "{scale}");
    }
}

fn judge_at_one(config: MetricConfig, x: &[f64], y: &[f64]) -> Verdict {
    strict(config, x, y).verdict
}

#[test]
fn errors_against_none_pass_kayenta_and_not_strict() {
    let config = canary(r#"{"direction": "increase", "critical": true}"#);
    let (few, none) = ([0.0, 1.0, 2.0, 1.0, 0.0, 0.0], [0.0; 6]);
    assert_eq!(aca(config, &few, &none).verdict, Verdict::Pass);
    let judged = strict(config, &few, &none);
    assert_eq!(judged.verdict, Verdict::Inconclusive, "{judged:?}");
    // With enough values the rank test tells, although most values are tied.
    let many: Vec<f64> = few.iter().cycle().take(60).copied().collect();
    assert_eq!(aca(config, &many, &[0.0; 60]).verdict, Verdict::Pass);
    let judged = strict(config, &many, &[0.0; 60]);
    assert_eq!(judged.verdict, Verdict::Fail, "{judged:?}");
    assert!(judged.metrics[0].effect.unwrap().is_infinite() && judged.metrics[0].critical);
    // One error in sixty is no pass either.
    let mut single = vec![0.0; 60];
    single[7] = 1.0;
    assert_eq!(strict(config, &single, &[0.0; 60]).verdict, Verdict::Inconclusive);
    // And fewer errors than before are one.
    assert_eq!(strict(config, &[0.0; 60], &many).verdict, Verdict::Pass);
}

#[test]
fn kayenta_checks_no_effect_where_a_mean_is_zero() {
    // An increase of a million is allowed, and yet fails, since the ratio is none.
    let config = canary(r#"{"direction": "increase", "effectSize": {"allowedIncrease": 1e6}}"#);
    let around: Vec<f64> = (0..60).map(|i| f64::from(i % 2) * 2.0 - 1.0).collect();
    let above: Vec<f64> = (0..60).map(|i| 5.0 + f64::from(i % 3)).collect();
    let judged = aca(config, &above, &around);
    assert_eq!((judged.verdict, judged.metrics[0].effect), (Verdict::Fail, None));
    // Nothing against something is a decrease to nothing, which may be allowed.
    let config = canary(r#"{"direction": "either", "effectSize": {"allowedDecrease": -0.5}}"#);
    let (none, some) = (vec![0.0; 60], above);
    assert_eq!(aca(config, &none, &some).verdict, Verdict::Fail);
    let judged = strict(config, &none, &some);
    assert_eq!((judged.verdict, judged.metrics[0].effect), (Verdict::Pass, Some(0.0)));
}

#[test]
fn nothing_is_a_pass_for_kayenta_at_times_and_never_for_strict() {
    let some = times(5, 60, 1.0);
    let replace = canary(r#"{"nanStrategy": "replace"}"#);
    let missing = canary(r#"{"mustHaveData": true}"#);
    assert_eq!(aca(replace, &[], &some).verdict, Verdict::Pass);
    assert_eq!(strict(replace, &[], &some).verdict, Verdict::Inconclusive);
    for (config, found) in
        [(missing, Verdict::Fail), (MetricConfig::default(), Verdict::Inconclusive)]
    {
        assert_eq!(strict(config, &[], &some).verdict, found);
    }
    for (x, y) in [(&[3.0; 60], &[3.0; 60]), (&[0.0; 60], &[0.0; 60])] {
        assert_eq!(aca(MetricConfig::default(), x, y).verdict, Verdict::Pass);
        assert_eq!(strict(MetricConfig::default(), x, y).verdict, Verdict::Inconclusive);
    }
    // Without anything measured at all.
    let config = one(MetricConfig::default());
    let judged = Strict::default().judge(&config, &BTreeMap::new()).unwrap();
    assert_eq!((judged.verdict, judged.score), (Verdict::Inconclusive, 0.0));
}

/// Zeros that stand for what was not measured are no values, however many there are.
#[test]
fn what_stands_for_missing_values_is_never_a_pass_for_strict() {
    let some = times(5, 60, 1.0);
    let none = vec![f64::NAN; 60];
    // Ten of sixty were measured, of at least twenty that are needed.
    let few = |seed| -> Vec<f64> {
        let measured = times(seed, 10, 1.0);
        (0..60).map(|at| measured.get(at).copied().unwrap_or(f64::NAN)).collect()
    };
    for direction in ["increase", "decrease", "either"] {
        let json = format!(r#"{{"direction": "{direction}", "nanStrategy": "replace"}}"#);
        let replace = canary(&json);
        for (x, y) in [
            (&none, &some),
            (&some, &none),
            (&none, &none),
            (&few(5), &some),
            (&some, &few(5)),
            (&few(5), &few(6)),
        ] {
            let judged = strict(replace, x, y);
            assert_ne!(judged.verdict, Verdict::Pass, "{direction}: {judged:?}");
        }
        // Twenty of sixty are enough.
        let enough = |seed| [times(seed, 20, 1.0), vec![f64::NAN; 40]].concat();
        assert_eq!(strict(replace, &enough(5), &enough(6)).verdict, Verdict::Pass, "{direction}");
    }
}

#[test]
fn noise_is_seeded_and_told() {
    let (x, y) = ([5.0; 30], [3.0; 30]);
    let config = one(MetricConfig::default());
    let judge = |seed| NetflixAca::new(seed).judge(&config, &samples(&x, &y));
    assert_eq!((judge(7), judge(7).seed), (judge(7), Some(7)));
    assert_ne!(judge(7).metrics[0].estimate, judge(8).metrics[0].estimate);
    assert_eq!(judge(7).metrics[0].classification, Classification::High);
    assert_eq!(aca(MetricConfig::default(), &[1.0, 2.0], &[2.0, 3.0]).seed, None);
    let judged = strict(MetricConfig::default(), &x, &y);
    assert_eq!((judged.seed, judged.metrics[0].estimate), (None, Some(2.0)));
    assert_eq!(judged.verdict, Verdict::Fail);
}

/// Two metrics in `a`, one in `b`; the second one of `a` is high.
fn weighted(weights: &[(&str, f64)]) -> (CanaryConfig, BTreeMap<String, Samples>) {
    let default = MetricConfig::default();
    let metrics =
        vec![metric("a1", "a", default), metric("a2", "a", default), metric("b1", "b", default)];
    let group_weights =
        weights.iter().map(|(group, weight)| ((*group).to_owned(), *weight)).collect();
    let same = Samples { experiment: times(3, 60, 1.0), control: times(2, 60, 1.0) };
    let worse = Samples { experiment: times(3, 60, 3.0), control: times(2, 60, 1.0) };
    let samples = [("a1", &same), ("a2", &worse), ("b1", &same)];
    let samples = samples.map(|(name, samples)| (name.to_owned(), samples.clone()));
    (CanaryConfig { metrics, group_weights, ..CanaryConfig::default() }, samples.into())
}

#[test]
fn groups_are_weighted() {
    for (weights, score) in [
        (&[("a", 80.0), ("b", 20.0)][..], 60.0),
        (&[], 75.0),
        (&[("a", 30.0)], 85.0),
        // More than everything leaves less than nothing for the others.
        (&[("a", 150.0)], 25.0),
    ] {
        let (config, samples) = weighted(weights);
        let judged = NetflixAca::new(0).judge(&config, &samples);
        assert!((judged.score - score).abs() < 1e-9, "{weights:?}: {judged:?}");
    }
    let judge = |weights: &[(&str, f64)]| {
        let (config, samples) = weighted(weights);
        Strict::default().judge(&config, &samples)
    };
    assert!((judge(&[("a", 80.0), ("b", 20.0)]).unwrap().score - 60.0).abs() < 1e-9);
    assert!((judge(&[]).unwrap().score - 75.0).abs() < 1e-9);
    assert_eq!(judge(&[("a", 80.0), ("b", 21.0)]), Err(ConfigError::Weights { sum: 101.0 }));
    assert!(matches!(judge(&[("a", 100.0)]), Err(ConfigError::Group { .. })));
    assert!(matches!(
        judge(&[("a", 80.0), ("b", 10.0), ("c", 10.0)]),
        Err(ConfigError::Group { .. })
    ));
    assert!(matches!(judge(&[("a", 150.0), ("b", -50.0)]), Err(ConfigError::Group { .. })));
}

#[test]
fn scores_follow_the_metrics() {
    let (mut config, mut data) = weighted(&[]);
    // Half of the metrics without data: nothing.
    config.metrics[1].canary.muted = true;
    data.remove("a1");
    let judged = NetflixAca::new(0).judge(&config, &data);
    assert_eq!((judged.verdict, judged.metrics.len()), (Verdict::Fail, 2));
    // What is muted does not count; what has no data leaves it open.
    let judged = Strict::default().judge(&config, &data).unwrap();
    assert_eq!(judged.verdict, Verdict::Inconclusive);
    assert!((judged.score - 50.0).abs() < 1e-9 && (judged.score_at_most - 100.0).abs() < 1e-9);
    // A critical metric fails all.
    let (mut config, data) = weighted(&[("a", 1.0), ("b", 99.0)]);
    assert_eq!(NetflixAca::new(0).judge(&config, &data).verdict, Verdict::Pass);
    config.metrics[1].canary.critical = true;
    for judged in
        [NetflixAca::new(0).judge(&config, &data), Strict::default().judge(&config, &data).unwrap()]
    {
        assert_eq!((judged.verdict, judged.score), (Verdict::Fail, 0.0), "{judged:?}");
        assert!(judged.reason.contains("a2"), "{}", judged.reason);
    }
    config.score_thresholds.marginal = 99.0;
    assert!(matches!(Strict::default().judge(&config, &data), Err(ConfigError::Thresholds { .. })));
}

#[test]
fn the_part_of_kayentas_configurations_that_decides_is_read_and_written() {
    let text = r#"{
        "metrics": [{
            "name": "latency", "groups": ["fast"], "scopeName": "default",
            "canary": {
                "direction": "increase", "nanStrategy": "replace", "critical": true, "mustHaveData": true,
                "effectSize": {"measure": "cles", "allowedIncrease": 0.6, "criticalIncrease": 0.9},
                "outliers": {"strategy": "remove", "outlierFactor": 2.5}
            }
        }],
        "groupWeights": {"fast": 100},
        "scoreThresholds": {"pass": 90, "marginal": 50}
    }"#;
    let config: CanaryConfig = serde_json::from_str(text).unwrap();
    let again: CanaryConfig =
        serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(config, again);
    assert_eq!(config.metrics[0].canary.effect_size.critical_increase, Some(0.9));
    let empty = Strict::default().judge(&CanaryConfig::default(), &BTreeMap::new());
    assert_eq!(empty, Err(ConfigError::Nothing));
}
