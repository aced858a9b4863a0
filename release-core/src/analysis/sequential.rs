//! The sequential judge: what a stream of looks comes to, at any look.

use super::dispersion;
use super::events::{counts, harm, part, test_at};
use super::finding::{Conclusion, Finding, Method, Scale, Seen};
use super::lagged::Spread;
use super::memory::Judged;
use super::reading;
use super::stream::{Look, Part, Stream, Taken};
use crate::model::{Bound, Direction, Edition, Finite, Metric};
use crate::port::Evidence;
use crate::stats::StatsError;
use crate::stats::counts::{Interval, Side};

/// Looks before which levels are not judged: fewer say nothing of how one goes with the next.
pub(crate) const LEAST_LOOKS: u32 = 8;
/// Looks of levels that have to be worth as many independent ones.
pub(super) const LEAST_INDEPENDENT: f64 = 4.0;
/// By which part of them levels vary where they vary by rounding alone.
const ROUNDING: f64 = 1e-12;
/// How surely the shares have to be others than planned.
const SHARES: f64 = 1e-4;
/// How far off shares may be, of all traffic, whatever is sure of it: versions are never looked at in quite the same moment.
const SHARES_OFF: f64 = 0.02;
/// The same as a part of the smaller of the planned shares.
const PART_OFF: f64 = 0.25;

/// Takes a look in, and says what all looks come to.
pub(crate) fn judge(stream: &mut Stream, look: &Look<'_>, evidence: &Evidence) -> Judged {
    let taken = stream.take(look, evidence);
    let conclude = || match taken {
        Err(reason) => Ok((stream.finding(look, Conclusion::NoData), reason)),
        Ok(Taken::Before) => {
            Ok((stream.finding(look, Conclusion::Undetermined), "not counted yet".to_owned()))
        }
        Ok(Taken::Waits(why)) => Ok((stream.finding(look, Conclusion::Undetermined), why)),
        Ok(Taken::Counted) if look.analysis.metric.counts() => counts(stream, look, evidence),
        Ok(Taken::Counted) => levels(stream, look),
    };
    let (finding, because) = conclude().unwrap_or_else(|error: StatsError| {
        (stream.finding(look, Conclusion::NoData), error.to_string())
    });
    Judged::new(finding, because, false)
}

impl Look<'_> {
    /// How likely one end of the interval may be wrong.
    pub(crate) fn alpha(&self) -> f64 {
        self.rule.alpha_of_an_end()
    }
}

impl Stream {
    /// A finding without numbers.
    pub(super) fn finding(&self, look: &Look<'_>, conclusion: Conclusion) -> Finding {
        let method = if look.analysis.metric.counts() {
            match look.rule.edition {
                Edition::First => Method::FirstSequentialCounts,
                _ => Method::SequentialCounts,
            }
        } else {
            Method::SequentialMeans
        };
        let alpha = finite(look.alpha()).unwrap_or(Finite::ZERO);
        let samples = Some(self.samples());
        Finding { conclusion, ..Finding::without_numbers(method, self.looks, alpha, samples) }
    }
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
    let (differences, beyond) = unless_the_same(differences, beyond, old);
    let sign = match look.rule.direction {
        Direction::LowerIsBetter => 1.0,
        Direction::HigherIsBetter => -1.0,
    };
    // Of numbers of the moment, each look is one sample.
    let sampled = |Part { part, whole }: Part| {
        let looks = f64::from(stream.looks);
        Part { part, whole: if whole > 0.0 { whole } else { looks } }
    };
    let (canary, baseline) = (sampled(canary), sampled(baseline));
    let level =
        |value: f64, part: Part| Some(Seen { value: finite(value)?, samples: finite(part.whole)? });
    finding.canary = level(old.mean + sign * differences.mean, canary);
    finding.baseline = level(old.mean, baseline);
    if let Some(seen) = finding.baseline
        && let Some((conclusion, why)) =
            guards(look, stream, [canary, baseline], (seen.value.get(), told(seen, None, look)))?
    {
        finding.conclusion = conclusion;
        return Ok((finding, why));
    }
    let alpha = look.alpha();
    // Both versions' levels vary, each by as much.
    let usual = look.rule.expected.spread.get() * core::f64::consts::SQRT_2;
    let reach = |spread: &Spread| {
        let worth = dispersion::of_levels(spread, alpha, usual);
        let enough = stream.looks >= LEAST_LOOKS && worth.independent >= LEAST_INDEPENDENT;
        (worth.dispersion, if enough { worth.radius(alpha) } else { f64::INFINITY })
    };
    let ((dispersion, radius), (_, over_radius)) = (reach(&differences), reach(&beyond));
    finding.dispersion = finite(dispersion).unwrap_or(finding.dispersion);
    let (low, high) = (differences.mean - radius, differences.mean + radius);
    let amount = look.rule.margin.absolute.get();
    let harmed = if look.rule.critical {
        low > 0.0
    } else {
        beyond.mean - over_radius > 0.0 && low > amount
    };
    let healthy = beyond.mean + over_radius < 0.0 || high < amount;
    let relative = look.rule.margin.relative.get() * old.mean.abs();
    let tolerated = if look.rule.critical { 0.0 } else { relative.max(amount) };
    let interval = Interval { lower: low, upper: high };
    finding.harm = Some(harm(Scale::Difference, differences.mean, interval, tolerated));
    if look.rule.margin.relative > Finite::ZERO
        && let (Some(new), Some(old)) = (finding.canary, finding.baseline)
    {
        // A part of the old version's level is another amount at each look: this is what is judged by it.
        let interval =
            Interval { lower: beyond.mean - over_radius, upper: beyond.mean + over_radius };
        let name = "beyond the relative margin";
        finding.parts = vec![part(name, (beyond.mean, interval), 0.0, [new, old])];
    }
    finding.conclusion = concluded(harmed, healthy);
    let because = both_told(&finding, look, [low, high]);
    Ok((finding, because))
}

/// Both versions' levels, and by how much the new one's is worse.
fn both_told(finding: &Finding, look: &Look<'_>, [low, high]: [f64; 2]) -> String {
    let shown =
        |seen: Option<Seen>| seen.map_or_else(|| "nothing".to_owned(), |s| told(s, None, look));
    let (new, old) = (shown(finding.canary), shown(finding.baseline));
    format!("{new} beside {old}: worse by {} to {}", number(low), number(high))
}

/// Differences that vary by rounding alone do not vary at all; what is beyond a part of the level then varies with the level
/// only, which says as little.
fn unless_the_same(differences: Spread, beyond: Spread, old: Spread) -> (Spread, Spread) {
    let rounded = ROUNDING * (old.mean.abs() + differences.mean.abs());
    if differences.variance > rounded * rounded {
        return (differences, beyond);
    }
    (Spread { variance: 0.0, ..differences }, Spread { variance: 0.0, ..beyond })
}

/// What forbids any conclusion; `old` is the old version's value in the metric's unit, and how it is told.
pub(super) fn guards(
    look: &Look<'_>,
    stream: &Stream,
    [canary, baseline]: [Part; 2],
    (value, told): (f64, String),
) -> Result<Option<(Conclusion, String)>, StatsError> {
    let side_by_side = stream.counted_side_by_side();
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
        let off = (share - planned).abs() > SHARES_OFF.min(PART_OFF * planned.min(1.0 - planned));
        if off && test.log_e(new.whole, all)? >= -SHARES.ln() {
            let why = format!(
                "the new version got {:.1} % of {all} requests, {} % were planned",
                share * 100.0,
                look.beside.share
            );
            return Ok(Some((Conclusion::ShareMismatch, why)));
        }
    }
    let Some(bound) = look.rule.baseline.filter(|bound| !healthy(*bound, value, look)) else {
        return Ok(None);
    };
    let why = format!("the old version has {told} itself, which is not {bound}");
    Ok(Some((Conclusion::BaselineUnhealthy, why)))
}

/// Whether the old version's value keeps a bound. What counts of shares are bad events, whichever the metric counts.
fn healthy(bound: Bound, value: f64, look: &Look<'_>) -> bool {
    let shares = matches!(look.analysis.metric, Metric::Ratio { .. });
    let good = shares && look.rule.direction == Direction::HigherIsBetter;
    reading::holds(bound, if good { 1.0 - value } else { value })
}

pub(super) const fn concluded(harmed: bool, healthy: bool) -> Conclusion {
    if harmed {
        Conclusion::Regressed
    } else if healthy {
        Conclusion::Healthy
    } else {
        Conclusion::Undetermined
    }
}

pub(super) fn finite(value: f64) -> Option<Finite> {
    Finite::new(value).ok()
}

pub(super) fn told(seen: Seen, above: Option<Finite>, look: &Look<'_>) -> String {
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

pub(super) fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "anything".into() } else { "less than anything".into() };
    }
    // Four digits, whatever the size.
    let digits = format!("{value:.3e}").parse::<f64>().unwrap_or(value);
    format!("{digits}")
}
