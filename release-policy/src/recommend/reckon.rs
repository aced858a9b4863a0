//! How long it takes to find harm, and what it burns until then.

use release_core::analysis::power;
use release_core::model::{
    Analysis, AnalysisId, Bound, Direction, Edition, Expected, Finite, Judge, Margin, Metric,
    Selector, Sequential, Span, Unit,
};

use super::Slo;

/// Looks of one step, at the most and at the least.
const LOOKS: std::ops::RangeInclusive<u32> = 8..=4096;
/// How surely harm is found where only one version serves: two errors of 5 %.
const Z: f64 = 1.645;

/// How long both versions have to serve, the new one with `share` percent, until harm is found, and what is well passes; none
/// within the patience.
pub(super) fn beside(slo: &Slo, share: u8, comparisons: u32) -> Option<Span> {
    let finds = |looks: u32| {
        let analysis = analysis(slo, looks, comparisons)?;
        let found = power(&analysis, share).ok()??;
        Some(found.suffices(comparisons))
    };
    let most =
        u32::try_from(slo.patience.as_duration().as_secs() / interval(slo)).unwrap_or(u32::MAX);
    let most = most.min(*LOOKS.end());
    if most < *LOOKS.start() || !finds(most)? {
        return None;
    }
    let (mut low, mut high) = (LOOKS.start() - 1, most);
    while high - low > 1 {
        let middle = u32::midpoint(low, high);
        if finds(middle)? { high = middle } else { low = middle }
    }
    Some(Span::secs(u64::from(high) * interval(slo)))
}

/// Seconds from look to look: so long that there are new samples, and that a step has no more looks than that.
fn interval(slo: &Slo) -> u64 {
    let patience = slo.patience.as_duration().as_secs();
    let scrape = seconds_up(slo.scrape.as_duration().as_secs_f64()).as_duration().as_secs();
    (patience / u64::from(*LOOKS.end())).max(scrape)
}

/// What finds harm beside the old version, of which the new one has `share` percent less, as [`beside`] reckons with it. How
/// many comparisons share the chance of a false alarm, the planner counts.
pub(super) fn compared(slo: &Slo, share: u8, watched: Span) -> Option<Analysis> {
    let looks = u32::try_from(watched.as_duration().as_secs() / interval(slo)).ok()?;
    let id = AnalysisId::new(format!("failures-at-{share}")).ok()?;
    Some(Analysis { id, ..analysis(slo, looks, 1)? })
}

/// What finds harm of the new version alone, as [`alone`] reckons with it: a limit halfway between the usual failures and those
/// of a bad version, on the scale of roots, where both vary alike.
pub(super) fn counted(slo: &Slo) -> Option<Analysis> {
    let limit = slo.usual * (0.5 * (1.0 + slo.detect.sqrt())).powi(2);
    let limit = Bound::AtMost(Finite::new(limit.min(1.0)).ok()?);
    let metric = failures();
    let (id, interval) = (AnalysisId::new("failures").ok()?, Span::secs(interval(slo)));
    // As many as are expected, or somewhat fewer where there is less traffic than usual: half are waited for.
    let min_samples = seconds_up(0.5 * needed(slo) / slo.usual).as_duration().as_secs();
    Some(Analysis { min_samples, interval, ..Analysis::new(id, metric, limit) })
}

fn failures() -> Metric {
    Metric::Ratio { numerator: Selector::series("failed"), denominator: Selector::series("all") }
}

fn analysis(slo: &Slo, looks: u32, comparisons: u32) -> Option<Analysis> {
    let finite = |value: f64| Finite::new(value).ok();
    let expected = Expected {
        per_second: finite(slo.per_second)?,
        value: finite(slo.usual)?,
        spread: Finite::ZERO,
        detect: finite(slo.detect)?,
    };
    let rule = Sequential {
        direction: Direction::LowerIsBetter,
        unit: Unit::Share,
        // Halfway between no harm and the harm to be found, as ratios go: either takes as long to be told from it.
        margin: Margin { relative: finite(slo.detect.sqrt() - 1.0)?, absolute: Finite::ZERO },
        expected,
        alpha: finite(0.05)?,
        critical: false,
        warm_up: 0,
        baseline: None,
        comparisons,
        edition: Edition::default(),
    };
    let metric = failures();
    let id = AnalysisId::new("recommended").ok()?;
    let interval = Span::secs(interval(slo));
    Some(Analysis {
        count: looks,
        interval,
        ..Analysis::judged(id, metric, Judge::Sequential(rule))
    })
}

/// How long the new version alone has to serve `share` of the traffic, from 0 to 1, until harm is found by counting.
pub(super) fn alone(slo: &Slo, share: f64) -> Span {
    seconds_up(needed(slo) / (slo.per_second * slo.usual * share))
}

/// The fewest usual failures by which harm can be told.
fn needed(slo: &Slo) -> f64 {
    (Z / (slo.detect.sqrt() - 1.0)).powi(2).max(1.0)
}

/// Whole seconds, at least one.
pub(super) fn seconds_up(seconds: f64) -> Span {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what fits"
    )]
    let whole = seconds.ceil().clamp(1.0, 1e9) as u64;
    Span::secs(whole)
}

/// The part of the error budget that `requests` failed ones are.
pub(super) fn burn(slo: &Slo, requests: f64) -> f64 {
    let window = slo.window.as_duration().as_secs_f64();
    requests / ((1.0 - slo.objective) * slo.per_second * window)
}

/// What a bad version burns with a share of the traffic, from 0 to 1, for as long as `time`.
pub(super) fn burn_of(slo: &Slo, share: f64, time: Span) -> f64 {
    let more = slo.usual * (slo.detect - 1.0);
    burn(slo, slo.per_second * share * time.as_duration().as_secs_f64() * more)
}

/// What a version burns all of whose requests fail, with a share of the traffic, from 0 to 1, and so much time to replace it.
pub(super) fn burn_of_all(slo: &Slo, share: f64, replaced_in: Span) -> f64 {
    let seconds =
        slo.reaction.as_duration().as_secs_f64() + replaced_in.as_duration().as_secs_f64();
    burn(slo, slo.per_second * share * seconds)
}

pub(super) fn hours(instances: u32, time: Span) -> f64 {
    f64::from(instances) * time.as_duration().as_secs_f64() / 3600.0
}
