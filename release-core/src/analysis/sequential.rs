//! The sequential judge: what a stream of looks comes to, at any look.

use super::dispersion::{self, Events};
use super::finding::{Conclusion, Finding, Harm, Method, Scale, Seen};
use super::memory::Judged;
use super::stream::{Look, Part, Stream, Taken};
use crate::model::{Bound, Direction, Finite};
use crate::port::Evidence;
use crate::stats::StatsError;
use crate::stats::counts::{CountTest, Interval, Side};

/// Looks before which levels are not judged: fewer say nothing of how one goes with the next.
pub(crate) const LEAST_LOOKS: u32 = 8;
/// Looks of levels that have to be worth as many independent ones.
const LEAST_INDEPENDENT: f64 = 4.0;
/// How surely the shares have to be others than planned.
const SHARES: f64 = 1e-4;
/// How far off shares may be, of all traffic, whatever is sure of it: versions are never looked at in quite the same moment.
const SHARES_OFF: f64 = 0.02;

/// Takes a look in, and says what all looks come to.
pub(crate) fn judge(stream: &mut Stream, look: &Look<'_>, evidence: &Evidence) -> Judged {
    let taken = stream.take(look, evidence);
    let conclude = || match taken {
        Err(reason) => Ok((stream.finding(look, Conclusion::NoData), reason)),
        Ok(Taken::Before) => {
            Ok((stream.finding(look, Conclusion::Undetermined), "not counted yet".to_owned()))
        }
        Ok(Taken::Counted) if look.analysis.metric.counts() => counts(stream, look),
        Ok(Taken::Counted) => levels(stream, look),
    };
    let (finding, because) = conclude().unwrap_or_else(|error: StatsError| {
        (stream.finding(look, Conclusion::NoData), error.to_string())
    });
    Judged { finding, because, last: false }
}

impl Look<'_> {
    /// How likely one end of the interval may be wrong.
    pub(crate) fn alpha(&self) -> f64 {
        self.rule.alpha.get() / f64::from(self.rule.comparisons.max(1))
    }
}

impl Stream {
    /// A finding without numbers.
    fn finding(&self, look: &Look<'_>, conclusion: Conclusion) -> Finding {
        let method = if look.analysis.metric.counts() {
            Method::SequentialCounts
        } else {
            Method::SequentialMeans
        };
        let alpha = finite(look.alpha()).unwrap_or(Finite::ZERO);
        let samples = Some(self.samples());
        Finding { conclusion, ..Finding::without_numbers(method, self.looks, alpha, samples) }
    }
}

/// Events of both versions.
fn counts(stream: &Stream, look: &Look<'_>) -> Result<(Finding, String), StatsError> {
    let [canary, baseline] = stream.counted();
    let mut finding = stream.finding(look, Conclusion::Undetermined);
    (finding.canary, finding.baseline) = (seen(canary), seen(baseline));
    let (Some(new), Some(old)) = (finding.canary, finding.baseline) else {
        finding.conclusion = Conclusion::NoData;
        let silent = if canary.whole > 0.0 { "old" } else { "new" };
        return Ok((finding, format!("nothing was observed of the {silent} version")));
    };
    let (alpha, bad) = (look.alpha(), canary.part + baseline.part);
    let all = canary.whole + baseline.whole;
    let share = canary.whole / all;
    let dispersion::Counted { dispersion, mostly_waves } =
        dispersion::of_counts(stream, Events { canary: canary.part, bad, all, share }, alpha);
    finding.dispersion = finite(dispersion).unwrap_or(finding.dispersion);
    if let Some((conclusion, why)) = guards(look, stream, [canary, baseline], old)? {
        finding.conclusion = conclusion;
        return Ok((finding, why));
    }
    let test = test_at(share, Side::More)?;
    let ratio = ratio(&test, share, [canary.part / dispersion, bad / dispersion], alpha)?;
    let margin = look.rule.margin;
    let tolerated = 1.0 + margin.relative.get();
    let excess = Excess::of(canary, baseline, dispersion, alpha)?;
    let worse_than = |amount: f64| excess.at_least > amount;
    let harmed = if look.rule.critical {
        ratio.lower > 1.0
    } else {
        ratio.lower > tolerated && worse_than(margin.absolute.get())
    };
    // What comes in waves has to stand out of the waves as well.
    let harmed = harmed && (!mostly_waves || stands_out(stream, alpha));
    let healthy = ratio.upper < tolerated || excess.at_most < margin.absolute.get();
    finding.harm = Some(Harm {
        scale: Scale::Ratio,
        estimate: finite(new.value.get() / old.value.get()),
        low: finite(ratio.lower),
        high: finite(ratio.upper),
        tolerated: finite(if look.rule.critical { 1.0 } else { tolerated }).unwrap_or(Finite::ZERO),
    });
    finding.conclusion = concluded(harmed, healthy);
    let because = format!(
        "{} beside {}: between {} and {} times as much",
        told(new, stream.above, look),
        told(old, stream.above, look),
        times(ratio.lower),
        times(ratio.upper)
    );
    Ok((finding, because))
}

/// Whether the canary has more of the bad events of a look than its share, as levels are judged.
fn stands_out(stream: &Stream, alpha: f64) -> bool {
    stream.differences.spread().is_some_and(|spread| {
        let effective = dispersion::of_levels(&spread, alpha);
        effective.independent >= LEAST_INDEPENDENT && spread.mean - effective.radius(alpha) > 0.0
    })
}

/// Means or numbers of the moment of both versions.
fn levels(stream: &Stream, look: &Look<'_>) -> Result<(Finding, String), StatsError> {
    let mut finding = stream.finding(look, Conclusion::Undetermined);
    let [canary, baseline] = stream.counted();
    let (Some(differences), Some(beyond), Some(old)) =
        (stream.differences.spread(), stream.beyond.spread(), stream.levels.spread())
    else {
        return Ok((finding, "one look is no stream".to_owned()));
    };
    let sign = match look.rule.direction {
        Direction::LowerIsBetter => 1.0,
        Direction::HigherIsBetter => -1.0,
    };
    let level = |value: f64, part: Part| {
        let samples = if part.whole > 0.0 { part.whole } else { f64::from(stream.looks) };
        Some(Seen { value: finite(value)?, samples: finite(samples)? })
    };
    finding.canary = level(old.mean + sign * differences.mean, canary);
    finding.baseline = level(old.mean, baseline);
    if let Some(seen) = finding.baseline
        && let Some((conclusion, why)) = guards(look, stream, [canary, baseline], seen)?
    {
        finding.conclusion = conclusion;
        return Ok((finding, why));
    }
    let alpha = look.alpha();
    let effective = dispersion::of_levels(&differences, alpha);
    finding.dispersion = finite(effective.dispersion).unwrap_or(finding.dispersion);
    let enough = stream.looks >= LEAST_LOOKS && effective.independent >= LEAST_INDEPENDENT;
    let radius = if enough { effective.radius(alpha) } else { f64::INFINITY };
    let over = dispersion::of_levels(&beyond, alpha);
    let enough = stream.looks >= LEAST_LOOKS && over.independent >= LEAST_INDEPENDENT;
    let over_radius = if enough { over.radius(alpha) } else { f64::INFINITY };
    let (low, high) = (differences.mean - radius, differences.mean + radius);
    let amount = look.rule.margin.absolute.get();
    let harmed = if look.rule.critical {
        low > 0.0
    } else {
        beyond.mean - over_radius > 0.0 && low > amount
    };
    let healthy = beyond.mean + over_radius < 0.0 || high < amount;
    let relative = look.rule.margin.relative.get() * old.mean.abs();
    finding.harm = Some(Harm {
        scale: Scale::Difference,
        estimate: finite(differences.mean),
        low: finite(low),
        high: finite(high),
        tolerated: finite(if look.rule.critical { 0.0 } else { relative.max(amount) })
            .unwrap_or(Finite::ZERO),
    });
    finding.conclusion = concluded(harmed, healthy);
    let shown =
        |seen: Option<Seen>| seen.map_or_else(|| "nothing".to_owned(), |s| told(s, None, look));
    let because = format!(
        "{} beside {}: worse by {} to {}",
        shown(finding.canary),
        shown(finding.baseline),
        number(low),
        number(high)
    );
    Ok((finding, because))
}

/// What forbids any conclusion.
fn guards(
    look: &Look<'_>,
    stream: &Stream,
    [canary, baseline]: [Part; 2],
    old: Seen,
) -> Result<Option<(Conclusion, String)>, StatsError> {
    let (side_by_side, above) = (stream.counted_side_by_side(), stream.above);
    let least = u32::try_from(look.analysis.min_samples).map_or(f64::MAX, f64::from);
    for (part, whose) in [(canary, "new"), (baseline, "old")] {
        if part.whole > 0.0 && part.whole < least {
            let why = format!("{} samples of the {whose} version, {least} are needed", part.whole);
            return Ok(Some((Conclusion::Undetermined, why)));
        }
    }
    let [new, rest] = side_by_side;
    let all = new.whole + rest.whole;
    let planned = f64::from(look.beside.share) / 100.0;
    if !look.beside.steered && all > 0.0 && planned > 0.0 && planned < 1.0 {
        let test = test_at(planned, Side::Both)?;
        let share = new.whole / all;
        let off = (share - planned).abs() > SHARES_OFF;
        if off && test.log_e(new.whole, all)? >= -SHARES.ln() {
            let why = format!(
                "the new version got {:.1} % of {all} requests, {} % were planned",
                share * 100.0,
                look.beside.share
            );
            return Ok(Some((Conclusion::ShareMismatch, why)));
        }
    }
    let Some(bound) = look.rule.baseline.filter(|bound| !healthy(*bound, old.value, look)) else {
        return Ok(None);
    };
    let why =
        format!("the old version has {} itself, which is not {bound}", told(old, above, look));
    Ok(Some((Conclusion::BaselineUnhealthy, why)))
}

/// Whether the old version's value keeps a bound. What counts here are bad events, whichever the metric counts.
fn healthy(bound: Bound, value: Finite, look: &Look<'_>) -> bool {
    let counts = look.analysis.metric.counts();
    if counts && look.rule.direction == Direction::HigherIsBetter {
        return finite(1.0 - value.get()).is_some_and(|good| bound.holds(good));
    }
    bound.holds(value)
}

/// By how much the new version's rate of bad events exceeds the old one's: each alone in an interval that holds at all looks.
struct Excess {
    at_least: f64,
    at_most: f64,
}

impl Excess {
    fn of(canary: Part, baseline: Part, dispersion: f64, alpha: f64) -> Result<Self, StatsError> {
        let rate = |part: Part| -> Result<Interval, StatsError> {
            let all = part.whole / dispersion;
            // Ratios of counters that are no shares have no interval as a share.
            if part.part > part.whole {
                return Ok(Interval { lower: 0.0, upper: f64::INFINITY });
            }
            CountTest::new(0.5, 1.0, 1.0, Side::Both)?.share_interval(
                part.part / dispersion,
                all,
                alpha / 2.0,
            )
        };
        let (new, old) = (rate(canary)?, rate(baseline)?);
        Ok(Self { at_least: new.lower - old.upper, at_most: new.upper - old.lower })
    }
}

/// The interval of the ratio of rates, of which either end is wrong with a chance of `alpha` at the most.
///
/// The lower end is that of the one-sided test, whose mixture is cut to ratios above 1: it divides by the part of the mixture
/// that is left, and of the counts that reach it hardly any (a hundredth is kept for them) speak for less. That is right for
/// ends from 1 on, and others decide nothing.
pub(super) fn ratio(
    test: &CountTest,
    share: f64,
    [canary, bad]: [f64; 2],
    alpha: f64,
) -> Result<Interval, StatsError> {
    let left = above(share);
    let one_sided = test.ratio_interval(canary, bad, (0.99 * alpha / left).min(0.5))?;
    let both = test.ratio_interval(canary, bad, alpha)?;
    let lower = if one_sided.lower >= 1.0 { one_sided.lower } else { both.lower.min(1.0) };
    Ok(Interval { lower, upper: both.upper })
}

/// The part of the mixture of [`test_at`] that lies above the share.
fn above(share: f64) -> f64 {
    let odds = share / (1.0 - share);
    if odds <= 1.0 { (1.0 - share).powf(1.0 / odds) } else { 1.0 - share.powf(odds) }
}

/// The test at a share, with a mixture whose mean is that share: ratios around 1, none of them ruled out.
pub(super) fn test_at(share: f64, side: Side) -> Result<CountTest, StatsError> {
    let odds = share / (1.0 - share);
    let (a, b) = if odds <= 1.0 { (1.0, 1.0 / odds) } else { (odds, 1.0) };
    CountTest::new(share, a, b, side)
}

const fn concluded(harmed: bool, healthy: bool) -> Conclusion {
    if harmed {
        Conclusion::Regressed
    } else if healthy {
        Conclusion::Healthy
    } else {
        Conclusion::Undetermined
    }
}

fn seen(part: Part) -> Option<Seen> {
    let value = (part.whole > 0.0).then(|| part.part / part.whole)?;
    Some(Seen { value: finite(value)?, samples: finite(part.whole)? })
}

fn finite(value: f64) -> Option<Finite> {
    Finite::new(value).ok()
}

fn told(seen: Seen, above: Option<Finite>, look: &Look<'_>) -> String {
    let (value, unit) = (number(seen.value.get()), look.rule.unit);
    let value = match above {
        // Of a quantile it is told how many observations lie on the bad side of where it was.
        Some(bound) => match look.rule.direction {
            Direction::LowerIsBetter => format!("{value} of all above {bound} {unit}"),
            Direction::HigherIsBetter => format!("{value} of all up to {bound} {unit}"),
        },
        None => format!("{value} {unit}"),
    };
    format!("{value} ({} samples)", seen.samples)
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "anything".into() } else { "less than anything".into() };
    }
    // Four digits, whatever the size.
    let digits = format!("{value:.3e}").parse::<f64>().unwrap_or(value);
    format!("{digits}")
}

fn times(value: f64) -> String {
    if value.is_infinite() {
        return "any number of".into();
    }
    if value < 0.001 { "0".into() } else { number(value) }
}
