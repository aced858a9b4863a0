//! The judge of Kayenta, as it is.

use std::collections::BTreeMap;

use super::config::{CanaryConfig, Direction, Metric, MetricConfig, NanStrategy, Samples};
use super::prepare::{effect, prepare};
use super::result::{Classification, Judgement, MetricResult, Verdict};
use super::score::{groups, names, rounded, total, verdict, weights};
use crate::stats::rank::{Sorted, merge};
use crate::stats::real;
use crate::stats::root::zeroin;
use crate::stats::special::normal_quantile;

/// `NetflixACAJudge-v1.0` of Kayenta.
///
/// Mann and Whitney's test by the normal approximation, with ties and a continuity correction; shift and
/// interval as R's `wilcox.test(x, y, conf.int = TRUE, exact = FALSE, correct = TRUE)` finds them, by a root
/// finder that is content with an absolute error of 1e-4: what is measured in units much smaller than
/// ones gets an interval that means nothing. Confidence 0.98 and a tolerance of a quarter of the shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetflixAca {
    seed: u64,
}

/// How far a root may be from the truth, in units of the metric.
const ROOT_TOLERANCE: f64 = 1e-4;
/// Which part of the shift its interval has to be beyond.
const TOLERANCE: f64 = 0.25;
const CONFIDENCE: f64 = 0.98;

impl NetflixAca {
    /// A judge whose noise, for arms that both do not vary, comes from `seed`. Kayenta's has no seed, so that
    /// it may judge the same twice and differently.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Judges the canary. A metric without samples has no data.
    pub fn judge(&self, config: &CanaryConfig, samples: &BTreeMap<String, Samples>) -> Judgement {
        let none = Samples::default();
        let judged = config.metrics.iter().filter(|metric| !metric.canary.muted);
        let mut noise = Noise { state: self.seed, used: false };
        let metrics: Vec<_> = judged
            .map(|metric| classify(metric, samples.get(&metric.name).unwrap_or(&none), &mut noise))
            .collect();
        let counts = |classification| classification != Classification::Nodata;
        let passes = |classification| classification == Classification::Pass;
        let mut groups = groups(&weights(config, &metrics), &metrics, counts, passes);
        let fails = |m: &&MetricResult| m.critical && m.classification != Classification::Pass;
        let without = metrics.iter().filter(|m| m.classification == Classification::Nodata);
        let (score, reason) = if metrics.iter().any(|metric| fails(&metric)) {
            let critical = names(metrics.iter().filter(fails));
            (0.0, format!("critical metrics failed: {critical}"))
        } else if !metrics.is_empty() && 2 * without.clone().count() >= metrics.len() {
            (0.0, format!("half of the metrics or more have no data: {}", names(without)))
        } else {
            let failed = metrics.iter().filter(|m| m.classification != Classification::Pass);
            let failed = names(failed);
            let failed = if failed.is_empty() { "none".to_owned() } else { failed };
            (total(&groups), format!("metrics that did not pass: {failed}"))
        };
        for group in &mut groups {
            group.score = rounded(group.score);
        }
        let verdict = verdict(score, config.score_thresholds);
        debug_assert_ne!(verdict, Verdict::Inconclusive);
        let seed = noise.used.then_some(self.seed);
        let judge = "NetflixACAJudge-v1.0";
        Judgement { judge, verdict, score, score_at_most: score, reason, groups, metrics, seed }
    }
}

fn classify(metric: &Metric, samples: &Samples, noise: &mut Noise) -> MetricResult {
    let config = &metric.canary;
    let (x, y) = (prepare(&samples.experiment, config), prepare(&samples.control, config));
    let mut result = MetricResult {
        name: metric.name.clone(),
        groups: metric.groups.clone(),
        classification: Classification::Pass,
        critical: false,
        estimate: None,
        lower: None,
        upper: None,
        effect: None,
        experiment: x.len(),
        control: y.len(),
        reason: String::new(),
    };
    let (Ok(x), Ok(y)) = (Sorted::new("experiment", &x), Sorted::new("control", &y)) else {
        return without_data(result, config);
    };
    if x == y {
        "experiment and control are the same".clone_into(&mut result.reason);
        return result;
    }
    if let (Some(value), Some(other)) = (constant(&x), constant(&y)) {
        if value.total_cmp(&other).is_eq() {
            "there is only one value".clone_into(&mut result.reason);
            return result;
        }
        let effect = effect(config.effect_size.measure, &x, &y);
        let (x, y) = (noise.add(&x), noise.add(&y));
        compare(&mut result, config, &x, &y, effect);
    } else {
        let effect = effect(config.effect_size.measure, &x, &y);
        compare(&mut result, config, x.values(), y.values(), effect);
    }
    result
}

fn without_data(mut result: MetricResult, config: &MetricConfig) -> MetricResult {
    let (classification, reason) = if config.nan_strategy == NanStrategy::Replace {
        (Classification::Pass, "no data, and what is missing is replaced")
    } else if config.must_have_data && !config.critical {
        (Classification::NodataFailMetric, "no data, and there must be some")
    } else {
        (Classification::Nodata, "no data")
    };
    result.critical = config.critical && classification == Classification::Nodata;
    result.classification = classification;
    reason.clone_into(&mut result.reason);
    result
}

fn constant(sample: &Sorted) -> Option<f64> {
    let (first, last) = (sample.values().first()?, sample.values().last()?);
    first.total_cmp(last).is_eq().then_some(*first)
}

fn compare(result: &mut MetricResult, config: &MetricConfig, x: &[f64], y: &[f64], effect: f64) {
    let Located { estimate, lower, upper } = locate(x, y, CONFIDENCE);
    (result.estimate, result.lower, result.upper) = (Some(estimate), Some(lower), Some(upper));
    result.effect = (!effect.is_nan()).then_some(effect);
    let size = &config.effect_size;
    let limit = |given: Option<f64>| given.unwrap_or(size.none());
    // A comparison with NaN counts as true: Kayenta does not check an effect that it has not.
    let at_least = |given| effect.is_nan() || effect >= limit(given);
    let at_most = |given| effect.is_nan() || effect <= limit(given);
    let bound = TOLERANCE * estimate.abs();
    let high = config.direction != Direction::Decrease && lower > bound;
    let low = config.direction != Direction::Increase && upper < -bound;
    if high && at_least(size.allowed_increase) {
        result.classification = Classification::High;
        result.critical = config.critical && at_least(size.critical_increase);
    } else if low && at_most(size.allowed_decrease) {
        result.classification = Classification::Low;
        result.critical = config.critical && at_most(size.critical_decrease);
    }
    let found = result.classification;
    result.reason = format!("{found}: shift {estimate} from {lower} to {upper}, effect {effect}");
}

struct Located {
    estimate: f64,
    lower: f64,
    upper: f64,
}

/// Shift and interval of sorted samples, as roots of how far the statistic of the shifted samples is from
/// what it should be. An end of the search stands for a root that is not there.
fn locate(x: &[f64], y: &[f64], confidence: f64) -> Located {
    let end = |values: &[f64], least: bool| {
        let end = if least { values.first() } else { values.last() };
        end.copied().unwrap_or(f64::NAN)
    };
    let (low, high) = (end(x, true) - end(y, false), end(x, false) - end(y, true));
    let (total, pairs) = (real(x.len() + y.len()), real(x.len()) * real(y.len()));
    let mut shifted = x.to_vec();
    let mut away = |shift: f64, quantile: f64| {
        for (slot, value) in shifted.iter_mut().zip(x) {
            *slot = value - shift;
        }
        let (twice_u, ties) = merge(&shifted, y);
        let above = 0.5 * twice_u - 0.5 * pairs;
        let corrected = if above == 0.0 { 0.0 } else { above - 0.5 * above.signum() };
        let spread = (total + 1.0) - ties / (total * (total - 1.0));
        corrected / (pairs / 12.0 * spread).sqrt() - quantile
    };
    let mut root = |quantile: f64| {
        if away(low, quantile) <= 0.0 {
            low
        } else if away(high, quantile) >= 0.0 {
            high
        } else {
            let found = zeroin(|shift| away(shift, quantile), low, high, ROOT_TOLERANCE, 1000);
            found.unwrap_or(f64::NAN)
        }
    };
    let z = normal_quantile(0.5 * (1.0 + confidence)).unwrap_or(f64::NAN);
    Located { estimate: root(0.0), lower: root(z), upper: root(-z) }
}

/// Noise from a seed: `SplitMix64` (Steele, Lea and Flood, 2014) and the polar form of Box and Muller.
struct Noise {
    state: u64,
    used: bool,
}

impl Noise {
    /// The values with a hundred-thousandth of them as the standard deviation, sorted.
    fn add(&mut self, sample: &Sorted) -> Vec<f64> {
        self.used = true;
        let values = sample.values().iter();
        let mut noisy: Vec<_> =
            values.map(|value| value + value.abs() * 1e-5 * self.normal()).collect();
        noisy.sort_unstable_by(f64::total_cmp);
        noisy
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.uniform(), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (core::f64::consts::TAU * angle).cos()
    }

    /// Between 0 and 1, both excluded.
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let high = u32::try_from(z >> 32).unwrap_or(0);
        (f64::from(high) + 0.5) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Percentages of which most are none, from Kayenta's own suite (`MannWhitneySuite`, Apache 2.0), above zero.
    const EXPERIMENT: [f64; 64] = [
        1.234_567_901_234_584,
        1.333_333_333_333_328_6,
        1.351_351_351_351_354_4,
        1.369_863_013_698_619_6,
        1.388_888_888_888_885_7,
        1.428_571_428_571_416_4,
        1.428_571_428_571_416_4,
        1.428_571_428_571_444_8,
        1.449_275_362_318_829_3,
        1.470_588_235_294_116,
        1.515_151_515_151_515_6,
        1.515_151_515_151_515_6,
        1.562_5,
        1.562_5,
        1.562_500_000_000_014_2,
        1.587_301_587_301_581_7,
        1.612_903_225_806_448_4,
        1.639_344_262_295_068_7,
        1.639_344_262_295_068_7,
        1.666_666_666_666_657_2,
        1.666_666_666_666_657_2,
        1.666_666_666_666_671_4,
        1.694_915_254_237_287_2,
        1.724_137_931_034_476_9,
        1.724_137_931_034_476_9,
        1.754_385_964_912_273_7,
        1.754_385_964_912_288,
        1.785_714_285_714_277_6,
        1.818_181_818_181_813,
        1.818_181_818_181_813,
        1.818_181_818_181_813,
        1.818_181_818_181_813,
        1.851_851_851_851_847_6,
        1.851_851_851_851_847_6,
        1.851_851_851_851_847_6,
        1.851_851_851_851_861_9,
        1.851_851_851_851_861_9,
        1.886_792_452_830_178_5,
        1.886_792_452_830_192_7,
        1.886_792_452_830_192_7,
        1.923_076_923_076_919_8,
        1.960_784_313_725_511_7,
        1.960_784_313_725_511_7,
        2.000_000_000_000_028_4,
        2.040_816_326_530_603,
        2.040_816_326_530_603,
        2.439_024_390_243_887,
        2.564_102_564_102_555,
        2.702_702_702_702_709,
        2.816_901_408_450_718_2,
        2.985_074_626_865_682,
        3.030_303_030_303_045_4,
        3.125_000_000_000_014,
        3.174_603_174_603_163_3,
        3.225_806_451_612_911,
        3.333_333_333_333_343,
        3.333_333_333_333_343,
        3.389_830_508_474_574_3,
        3.448_275_862_068_953_8,
        3.571_428_571_428_583_6,
        3.703_703_703_703_681,
        4.081_632_653_061_206,
        4.109_589_041_095_901_5,
        5.555_555_555_555_557,
    ];
    const CONTROL: [f64; 17] = [
        1.388_888_888_888_885_7,
        1.470_588_235_294_116,
        1.492_537_313_432_834,
        1.492_537_313_432_834,
        1.492_537_313_432_834,
        1.538_461_538_461_561_4,
        1.562_500_000_000_014_2,
        1.587_301_587_301_581_7,
        1.639_344_262_295_068_7,
        1.694_915_254_237_301_4,
        1.724_137_931_034_476_9,
        1.754_385_964_912_288,
        1.785_714_285_714_277_6,
        1.851_851_851_851_861_9,
        2.500_000_000_000_028_4,
        2.985_074_626_865_653_6,
        3.124_999_999_999_986,
    ];

    /// What R 3 gives there with `conf.level = 0.95`, digit by digit. That the lower end is above the upper one, and the true
    /// shift 0, is what comes of roots that are good to 1e-4.
    #[test]
    fn r_is_met_to_the_last_digit_where_its_interval_is_none() {
        let with_none = |values: &[f64]| -> Vec<f64> {
            std::iter::repeat_n(0.0, 210 - values.len()).chain(values.iter().copied()).collect()
        };
        let Located { estimate, lower, upper } =
            locate(&with_none(&EXPERIMENT), &with_none(&CONTROL), 0.95);
        for (got, want) in [
            (estimate, 2.627_924_304_515_565_3e-5),
            (lower, 3.521_755_377_702_165e-5),
            (upper, 2.024_564_616_623_34e-5),
        ] {
            assert!((got - want).abs() <= 1e-16, "{got:e} for {want:e}");
        }
    }
}
