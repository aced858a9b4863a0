//! Events of two versions: of all bad ones, those of the canary, beside its part of the requests.

use super::dispersion::{self, Counted, Events};
use super::finding::{self as told_of, Conclusion, Finding, Harm, Scale, Seen};
use super::reading;
use super::sequential::{LEAST_INDEPENDENT, concluded, finite, guards, number, told};
use super::stream::{Look, Part, Stream};
use crate::model::{Direction, Finite, Metric};
use crate::port::{Evidence, Measurement};
use crate::stats::StatsError;
use crate::stats::counts::{CountTest, Interval, Side};

/// What the events of both versions come to.
pub(super) fn counts(
    stream: &Stream,
    look: &Look<'_>,
    evidence: &Evidence,
) -> Result<(Finding, String), StatsError> {
    let both @ [canary, baseline] = stream.counted();
    let mut finding = stream.finding(look, Conclusion::Undetermined);
    (finding.canary, finding.baseline) = (seen(canary), seen(baseline));
    let (Some(new), Some(old)) = (finding.canary, finding.baseline) else {
        finding.conclusion = Conclusion::NoData;
        let silent = if canary.whole > 0.0 { "old" } else { "new" };
        return Ok((finding, format!("nothing was observed of the {silent} version")));
    };
    let (bad, all) = (canary.part + baseline.part, canary.whole + baseline.whole);
    let events = Events { canary: canary.part, bad, all, share: canary.whole / all };
    let counted = dispersion::of_counts(stream, events, look.rule);
    finding.dispersion = finite(counted.dispersion).unwrap_or(finding.dispersion);
    if let Some((conclusion, why)) = guards(look, stream, both, of_old(old, look, evidence))? {
        finding.conclusion = conclusion;
        return Ok((finding, why));
    }
    let case = Case { stream, look, both, events, counted };
    let Found { harmed, healthy, interval, apart, tolerated, because } = case.found()?;
    let times = new.value.get() / old.value.get();
    finding.harm = Some(harm(Scale::Ratio, times, interval, tolerated));
    finding.conclusion = concluded(harmed, healthy);
    let amount = case.absolute();
    if amount > 0.0 {
        // Either may decide.
        let margin = look.rule.margin.relative.get();
        let worse = case.worse();
        finding.parts = vec![
            part("ratio", (times, interval), 1.0 + margin, [new, old]),
            part("difference", (worse, apart), amount, [new, old]),
        ];
        if margin <= 0.0 && !look.rule.critical {
            finding.harm = Some(harm(Scale::Difference, worse, apart, amount));
        }
    }
    let because = format!(
        "{} beside {}: {because}",
        told(new, stream.above, look),
        told(old, stream.above, look),
    );
    Ok((finding, because))
}

/// Harm that lies in an interval.
pub(super) fn harm(scale: Scale, estimate: f64, interval: Interval, tolerated: f64) -> Harm {
    Harm {
        scale,
        estimate: finite(estimate),
        low: finite(interval.lower),
        high: finite(interval.upper),
        tolerated: finite(tolerated).unwrap_or(Finite::ZERO),
    }
}

/// One of two margins, either of which may show that there is no harm.
pub(super) fn part(
    name: &str,
    (estimate, interval): (f64, Interval),
    tolerated: f64,
    [new, old]: [Seen; 2],
) -> told_of::Part {
    let says = if interval.upper < tolerated {
        "within the margin"
    } else if interval.lower > tolerated {
        "beyond the margin"
    } else {
        "undetermined"
    };
    told_of::Part {
        name: name.to_owned(),
        says: says.to_owned(),
        estimate: finite(estimate),
        low: finite(interval.lower),
        high: finite(interval.upper),
        samples: new.samples,
        baseline_samples: Some(old.samples),
    }
}

/// The old version's value in the metric's unit, and how it is told: of a quantile, that of all that its window holds.
fn of_old(old: Seen, look: &Look<'_>, evidence: &Evidence) -> (f64, String) {
    if let (Metric::Quantile { quantile, .. }, Evidence::Comparison { baseline, .. }, Some(bound)) =
        (&look.analysis.metric, evidence, look.rule.baseline)
        && let Measurement::Histogram { buckets, .. } = &**baseline
        && let Ok(all) = reading::total(buckets)
    {
        let value = reading::place(buckets, quantile.get() * all, bound);
        let (percent, unit) = (quantile.get() * 100.0, look.rule.unit);
        return (value, format!("a {percent:.1} % quantile at {} {unit}", number(value)));
    }
    (old.value.get(), told(old, None, look))
}

/// What is to be judged.
struct Case<'a> {
    stream: &'a Stream,
    look: &'a Look<'a>,
    both: [Part; 2],
    events: Events,
    counted: Counted,
}

/// What it comes to.
struct Found {
    harmed: bool,
    healthy: bool,
    /// Of the ratio of the versions' rates of bad events.
    interval: Interval,
    /// Of their difference.
    apart: Interval,
    /// The ratio that is.
    tolerated: f64,
    because: String,
}

impl Case<'_> {
    fn found(&self) -> Result<Found, StatsError> {
        let (alpha, share) = (self.look.alpha(), self.events.share);
        let Counted { dispersion, mostly_waves } = self.counted;
        let margin = self.look.rule.margin;
        let margins = (1.0 + margin.relative.get(), self.absolute());
        let tolerated = if self.look.rule.critical { 1.0 } else { margins.0 };
        if let Some((interval, apart)) = self.outright(tolerated)? {
            let because = format!(
                "at least {} times as much, which is more than waves make of no harm",
                times(interval.lower)
            );
            let (harmed, healthy) = (true, false);
            return Ok(Found { harmed, healthy, interval, apart, tolerated, because });
        }
        let test = test_at(share, Side::More)?;
        let counts = [self.events.canary / dispersion, self.events.bad / dispersion];
        let interval = ratio(&test, share, counts, alpha)?;
        let rates = Rates::of(self.both, dispersion, alpha)?;
        let apart = rates.apart();
        let harmed =
            interval.lower > tolerated && (self.look.rule.critical || apart.lower > margins.1);
        // What comes in waves has to stand out of the waves as well.
        let harmed = harmed && (!mostly_waves || stands_out(self.stream, alpha));
        let healthy = interval.upper < margins.0 || apart.upper < margins.1;
        let because = format!(
            "between {} and {} times as much",
            times(interval.lower),
            times(interval.upper)
        );
        let because = if margins.1 > 0.0 {
            format!("{because}, and worse by {} to {}", number(apart.lower), number(apart.upper))
        } else {
            because
        };
        let found = Found { harmed, healthy, interval, apart, tolerated, because };
        Ok(self.unless_in_one_bucket(found, &rates))
    }

    /// The amount that is tolerated, in the metric's unit: of a quantile, whose unit is none of shares, there is none.
    fn absolute(&self) -> f64 {
        let shares = matches!(self.look.analysis.metric, Metric::Ratio { .. });
        if shares { self.look.rule.margin.absolute.get() } else { 0.0 }
    }

    /// By how much more of its requests end badly in the new version.
    fn worse(&self) -> f64 {
        let [new, old] = self.both;
        new.part / new.whole - old.part / old.whole
    }

    /// Harm that is more than any waves make of none, so that it needs no looks that tell of waves: the interval of the ratio
    /// by counting alone.
    fn outright(&self, tolerated: f64) -> Result<Option<(Interval, Interval)>, StatsError> {
        let alpha = self.look.alpha();
        let least = tolerated * dispersion::surge(alpha);
        let [new, old] = self.both;
        if new.part * old.whole <= least * old.part * new.whole {
            return Ok(None);
        }
        let rates = Rates::of(self.both, 1.0, alpha)?;
        let interval = Interval {
            lower: rates.new.lower / rates.old.upper,
            upper: rates.new.upper / rates.old.lower,
        };
        let critical = self.look.rule.critical;
        let leaves = self.in_bucket().is_none_or(|most| rates.new.lower > most);
        let beyond =
            interval.lower > least && leaves && (critical || rates.apart().lower > self.absolute());
        Ok(beyond.then(|| (interval, rates.apart())))
    }

    /// Up to which share beyond the bound a quantile stays in its bucket, where there is no bound near it.
    fn in_bucket(&self) -> Option<f64> {
        let Metric::Quantile { quantile, .. } = &self.look.analysis.metric else { return None };
        let most = match self.look.rule.direction {
            Direction::LowerIsBetter => 1.0 - quantile.get(),
            Direction::HigherIsBetter => quantile.get(),
        };
        (!self.stream.near).then_some(most)
    }

    /// Where the buckets are so coarse that hardly any observation lies beyond the bound above a quantile, the ratio of these few
    /// says nothing of it. What can be said is whether the quantile has left its bucket: then more lie beyond the bound than
    /// lie beyond the quantile.
    fn unless_in_one_bucket(&self, found: Found, rates: &Rates) -> Found {
        let Some(most) = self.in_bucket() else { return found };
        let Interval { lower, upper } = rates.new;
        let because = format!(
            "at most {} of all, and its quantile leaves the bucket that the old version's is in at {}; the histogram tells no more",
            number(upper),
            number(most)
        );
        Found {
            harmed: found.harmed && lower > most,
            healthy: upper < most,
            interval: Interval { lower: lower / most, upper: upper / most },
            apart: found.apart,
            tolerated: 1.0,
            because,
        }
    }
}

/// Whether the canary has more of the bad events of a look than its share, as levels are judged.
fn stands_out(stream: &Stream, alpha: f64) -> bool {
    stream.differences.spread().is_some_and(|spread| {
        let effective = dispersion::of_levels(&spread, alpha, 0.0);
        effective.independent >= LEAST_INDEPENDENT && spread.mean - effective.radius(alpha) > 0.0
    })
}

/// Both versions' rates of bad events, each alone in an interval that holds at all looks.
struct Rates {
    new: Interval,
    old: Interval,
}

impl Rates {
    fn of([canary, baseline]: [Part; 2], dispersion: f64, alpha: f64) -> Result<Self, StatsError> {
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
        Ok(Self { new: rate(canary)?, old: rate(baseline)? })
    }

    /// The interval of the new one's rate minus the old one's.
    fn apart(&self) -> Interval {
        Interval { lower: self.new.lower - self.old.upper, upper: self.new.upper - self.old.lower }
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

fn seen(part: Part) -> Option<Seen> {
    let value = (part.whole > 0.0).then(|| part.part / part.whole)?;
    Some(Seen { value: finite(value)?, samples: finite(part.whole)? })
}

fn times(value: f64) -> String {
    if value.is_infinite() {
        return "any number of".into();
    }
    if value < 0.001 { "0".into() } else { number(value) }
}
