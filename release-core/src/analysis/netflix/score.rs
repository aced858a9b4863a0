//! From the metrics' classifications to one score.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{CanaryConfig, Thresholds};
use super::result::{Classification, GroupScore, MetricResult, Verdict};
use crate::stats::real;

/// The groups of the metrics, by name, with the weights that the configuration gives them. Those without one
/// share what is left of 100, even if that is less than nothing.
pub(super) fn weights(config: &CanaryConfig, metrics: &[MetricResult]) -> BTreeMap<String, f64> {
    let groups: BTreeSet<&String> = metrics.iter().flat_map(|metric| &metric.groups).collect();
    let given: f64 = config.group_weights.values().sum();
    let without = groups.iter().filter(|group| !config.group_weights.contains_key(**group)).count();
    let share = (100.0 - given) / real(without);
    let weight = |group: &String| config.group_weights.get(group).copied().unwrap_or(share);
    groups.into_iter().map(|group| (group.clone(), weight(group))).collect()
}

/// The scores of the groups: which part of the metrics that `counts` passes, in percent; 100 for a group in
/// which none counts.
pub(super) fn groups(
    weights: &BTreeMap<String, f64>,
    metrics: &[MetricResult],
    counts: impl Fn(Classification) -> bool,
    passes: impl Fn(Classification) -> bool,
) -> Vec<GroupScore> {
    let score = |group: &String| {
        let of_group = metrics.iter().filter(|metric| metric.groups.contains(group));
        let all: Vec<_> = of_group.map(|m| m.classification).filter(|c| counts(*c)).collect();
        let good = all.iter().filter(|classification| passes(**classification)).count();
        if all.is_empty() { 100.0 } else { real(good) / real(all.len()) * 100.0 }
    };
    let group = |(name, weight): (&String, &f64)| GroupScore {
        name: name.clone(),
        score: score(name),
        weight: *weight,
    };
    weights.iter().map(group).collect()
}

/// The weighted sum of the groups' scores, to two places.
pub(super) fn total(groups: &[GroupScore]) -> f64 {
    rounded(groups.iter().map(|group| group.score * group.weight / 100.0).sum())
}

pub(super) fn rounded(score: f64) -> f64 {
    (score * 100.0).round() / 100.0
}

pub(super) fn verdict(score: f64, thresholds: Thresholds) -> Verdict {
    if score >= thresholds.pass {
        Verdict::Pass
    } else if score >= thresholds.marginal {
        Verdict::Marginal
    } else {
        Verdict::Fail
    }
}

/// Names for a reason.
pub(super) fn names<'a>(metrics: impl Iterator<Item = &'a MetricResult>) -> String {
    metrics.map(|metric| metric.name.as_str()).collect::<Vec<_>>().join(", ")
}
