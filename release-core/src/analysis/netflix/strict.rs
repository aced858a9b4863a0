//! The decision of Kayenta's judge, mended.

use std::collections::BTreeMap;

use super::config::{
    CanaryConfig, ConfigError, Direction, EffectMeasure, Metric, MetricConfig, Samples,
};
use super::prepare::{effect, mean, prepare};
use super::result::{Classification, Judgement, MetricResult, Verdict};
use super::score::{groups, names, rounded, total, verdict, weights};
use crate::stats::StatsError;
use crate::stats::rank::{Alternative, RankTest, Sorted};
use crate::stats::shift::Shift;

/// The judge that asks what [`NetflixAca`](super::NetflixAca) asks and answers only what the data tells.
///
/// A metric is high (or low) when the interval of the shift is beyond a quarter of the shift and the effect
/// is beyond what is allowed. Where many values are tied, so that the interval ends at exactly zero, the rank
/// test decides instead of it. It passes when neither is so, unless
///
/// - there are fewer values than [`Strict::min_points`] on a side, where what stands for a missing one is none, or only one
///   value over both sides, or
/// - something stands against nothing (the control's mean is zero, the canary's is not, in a bad
///   direction) and the test does not tell: then it is inconclusive.
///
/// The score is given twice: with all that does not tell taken for failed, and for passed. The canary
/// passes, is marginal or fails where both say so, and is inconclusive where they do not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strict {
    /// The confidence of intervals; 0.98.
    pub confidence: f64,
    /// Which part of the shift its interval has to be beyond; a quarter.
    pub tolerance: f64,
    /// How many values each side needs that were measured; 20. Kayenta's handbook asks for 50.
    pub min_points: usize,
}

impl Default for Strict {
    fn default() -> Self {
        Self { confidence: 0.98, tolerance: 0.25, min_points: 20 }
    }
}

impl Strict {
    /// Judges the canary. A metric without samples has no data, which is never a pass.
    ///
    /// # Errors
    /// [`ConfigError`] for a configuration that leaves open what it means.
    pub fn judge(
        &self,
        config: &CanaryConfig,
        samples: &BTreeMap<String, Samples>,
    ) -> Result<Judgement, ConfigError> {
        check(config)?;
        let none = Samples::default();
        let judged = config.metrics.iter().filter(|metric| !metric.canary.muted);
        let metrics = judged
            .map(|metric| self.classify(metric, samples.get(&metric.name).unwrap_or(&none)))
            .collect::<Result<Vec<_>, _>>()?;
        let weights = weights(config, &metrics);
        let passes = |classification| classification == Classification::Pass;
        let may_pass = |classification| passes(classification) || open(classification);
        let mut groups_now = groups(&weights, &metrics, |_| true, passes);
        let least = total(&groups_now);
        let most = total(&groups(&weights, &metrics, |_| true, may_pass));
        for group in &mut groups_now {
            group.score = rounded(group.score);
        }
        let failed = |m: &&MetricResult| m.critical && !may_pass(m.classification);
        let undecided = |m: &&MetricResult| open(m.classification);
        let thresholds = config.score_thresholds;
        let (verdict, score, score_at_most, reason) = if metrics.iter().any(|m| failed(&m)) {
            let critical = names(metrics.iter().filter(failed));
            (Verdict::Fail, 0.0, 0.0, format!("critical metrics failed: {critical}"))
        } else {
            let critical = metrics.iter().any(|metric| metric.critical);
            let (worst, best) = (verdict(least, thresholds), verdict(most, thresholds));
            if worst == best && (worst == Verdict::Fail || !critical) {
                let bad = names(metrics.iter().filter(|m| !passes(m.classification)));
                let bad = if bad.is_empty() { "none".to_owned() } else { bad };
                (worst, least, most, format!("metrics that did not pass: {bad}"))
            } else {
                let open = names(metrics.iter().filter(undecided));
                (
                    Verdict::Inconclusive,
                    least,
                    most,
                    format!("metrics that do not tell yet: {open}"),
                )
            }
        };
        let (judge, groups) = ("strict", groups_now);
        Ok(Judgement { judge, verdict, score, score_at_most, reason, groups, metrics, seed: None })
    }

    fn classify(&self, metric: &Metric, samples: &Samples) -> Result<MetricResult, ConfigError> {
        let config = &metric.canary;
        let (x, y) = (prepare(&samples.experiment, config), prepare(&samples.control, config));
        let mut result = MetricResult {
            name: metric.name.clone(),
            groups: metric.groups.clone(),
            classification: Classification::Inconclusive,
            critical: config.critical,
            estimate: None,
            lower: None,
            upper: None,
            effect: None,
            experiment: x.len(),
            control: y.len(),
            reason: String::new(),
        };
        // What is put in the place of missing values was not measured, however often that is done.
        let seen = [&samples.experiment, &samples.control].map(|all| numbers(all));
        let sorted = (Sorted::new("experiment", &x), Sorted::new("control", &y));
        let ((Ok(sorted_x), Ok(sorted_y)), false) = (sorted, seen.contains(&0)) else {
            let fails = config.must_have_data;
            result.classification =
                if fails { Classification::NodataFailMetric } else { Classification::Nodata };
            "no data".clone_into(&mut result.reason);
            return Ok(result);
        };
        let seen = seen.into_iter().fold(x.len().min(y.len()), usize::min);
        self.compare(&mut result, config, (&sorted_x, &sorted_y), seen).map_err(|_| {
            let problem = "has values too far apart for 64 bits; give it in another unit";
            ConfigError::Metric { metric: metric.name.clone(), problem }
        })?;
        Ok(result)
    }

    fn compare(
        &self,
        result: &mut MetricResult,
        config: &MetricConfig,
        (x, y): (&Sorted, &Sorted),
        seen: usize,
    ) -> Result<(), StatsError> {
        let shift = Shift::of_sorted(x, y, self.confidence)?;
        let effect = effect_of(config.effect_size.measure, x, y);
        (result.estimate, result.effect) = (Some(shift.estimate), Some(effect));
        (result.lower, result.upper) = (Some(shift.lower), Some(shift.upper));
        if seen < self.min_points {
            result.reason = format!("fewer than {} values on a side", self.min_points);
            return Ok(());
        }
        if extremes(x) == extremes(y) && extremes(x).0 == extremes(x).1 {
            "there is only one value".clone_into(&mut result.reason);
            return Ok(());
        }
        let test = RankTest::of_sorted(x, y);
        let tail = 0.5 * (1.0 - self.confidence);
        let bound = self.tolerance * shift.estimate.abs();
        // An end at exactly zero is a tie, behind which the interval cannot see.
        let rises = shift.lower > bound
            || (shift.lower == 0.0 && test.p_value(Alternative::Greater) <= tail);
        let falls =
            shift.upper < -bound || (shift.upper == 0.0 && test.p_value(Alternative::Less) <= tail);
        let size = &config.effect_size;
        let limit = |given: Option<f64>| given.unwrap_or(size.none());
        let (up, down) =
            (config.direction != Direction::Decrease, config.direction != Direction::Increase);
        let from_nothing = mean(y.values()) == 0.0 && mean(x.values()) != 0.0;
        let found = if up && rises && effect >= limit(size.allowed_increase) {
            result.critical = config.critical && effect >= limit(size.critical_increase);
            Classification::High
        } else if down && falls && effect <= limit(size.allowed_decrease) {
            result.critical = config.critical && effect <= limit(size.critical_decrease);
            Classification::Low
        } else if from_nothing && if mean(x.values()) > 0.0 { up } else { down } {
            Classification::Inconclusive
        } else {
            result.critical = false;
            Classification::Pass
        };
        result.classification = found;
        let Shift { estimate, lower, upper, .. } = shift;
        result.reason =
            format!("{found}: shift {estimate} from {lower} to {upper}, effect {effect}");
        Ok(())
    }
}

/// The effect, also where a mean is zero: something against nothing is an infinite one, nothing against
/// nothing none, and nothing against something a ratio of zero.
fn effect_of(measure: EffectMeasure, x: &Sorted, y: &Sorted) -> f64 {
    let ratio = effect(measure, x, y);
    if !ratio.is_nan() {
        return ratio;
    }
    let (above, below) = (mean(x.values()), mean(y.values()));
    if below != 0.0 {
        0.0
    } else if above > 0.0 {
        f64::INFINITY
    } else if above < 0.0 {
        f64::NEG_INFINITY
    } else {
        1.0
    }
}

/// How many values were measured.
fn numbers(values: &[f64]) -> usize {
    values.iter().filter(|value| value.is_finite()).count()
}

fn extremes(sample: &Sorted) -> (Option<f64>, Option<f64>) {
    (sample.values().first().copied(), sample.values().last().copied())
}

/// Whether more data may change it.
fn open(classification: Classification) -> bool {
    matches!(classification, Classification::Nodata | Classification::Inconclusive)
}

pub(crate) fn check(config: &CanaryConfig) -> Result<(), ConfigError> {
    let judged: Vec<_> = config.metrics.iter().filter(|metric| !metric.canary.muted).collect();
    if judged.is_empty() {
        return Err(ConfigError::Nothing);
    }
    let (pass, marginal) = (config.score_thresholds.pass, config.score_thresholds.marginal);
    if !(0.0 <= marginal && marginal <= pass && pass <= 100.0) {
        return Err(ConfigError::Thresholds { pass, marginal });
    }
    for (index, metric) in judged.iter().enumerate() {
        let fault = |problem| Err(ConfigError::Metric { metric: metric.name.clone(), problem });
        if metric.groups.is_empty() {
            return fault("is in no group, so that it would not count; put it in one");
        }
        if judged.iter().take(index).any(|other| other.name == metric.name) {
            return fault("is there twice; rename one");
        }
    }
    if config.group_weights.is_empty() {
        return Ok(()); // all groups weigh the same
    }
    let fault = |group: &String, problem| Err(ConfigError::Group { group: group.clone(), problem });
    for (group, weight) in &config.group_weights {
        if !(0.0..=100.0).contains(weight) {
            return fault(group, "has a weight that is not from 0 to 100; mend it");
        }
        if !judged.iter().any(|metric| metric.groups.contains(group)) {
            return fault(
                group,
                "has a weight and no metric that is judged; add one, or take it out",
            );
        }
    }
    for group in judged.iter().flat_map(|metric| &metric.groups) {
        if !config.group_weights.contains_key(group) {
            return fault(group, "has no weight while others have; give it one");
        }
    }
    let sum: f64 = config.group_weights.values().sum();
    if (sum - 100.0).abs() > 1e-9 { Err(ConfigError::Weights { sum }) } else { Ok(()) }
}
