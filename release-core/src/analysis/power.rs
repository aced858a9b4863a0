//! What an analysis can find at all, told before anything is measured.

use std::fmt;

use super::dispersion::{self, Events};
use super::events::{ratio, test_at};
use super::lagged::Spread;
use super::reading;
use super::sequential::LEAST_LOOKS;
use crate::model::{Analysis, Direction, Judge, Metric, Sequential};
use crate::stats::StatsError;
use crate::stats::counts::{CountTest, Side};
use crate::stats::special::normal_cdf;
use crate::time::Span;

/// How surely harm that has to be found is found by the last look, at the least.
pub const DETECTS: f64 = 0.95;
/// How surely a version that is no worse passes all comparisons of a plan by their last looks, at the least.
pub const PASSES: f64 = 0.9;
/// The greatest multiple of harm that is looked for.
const MOST_HARM: f64 = 1e4;

/// What a comparison can find within its looks, if the traffic is as expected and its looks are independent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// How likely harm of the size that has to be found is found.
    pub detects: f64,
    /// How likely a version that is no worse is shown to be healthy: by an approximation that takes for known how much looks vary. Of
    /// plans with the fewest looks that suffice, by which a tenth should stay undetermined, 3 % to 17 % did.
    pub passes: f64,
    /// The smallest harm that is found with [`DETECTS`], as a multiple of the value; `None`: none.
    pub detectable: Option<f64>,
}

impl Power {
    /// How surely a version that is no worse has to pass each of so many comparisons, so that it passes all with [`PASSES`].
    pub fn passes_each(comparisons: u32) -> f64 {
        1.0 - (1.0 - PASSES) / f64::from(comparisons.max(1))
    }

    /// Whether the planner takes it for one of so many comparisons: it finds what it has to find, and what is well passes.
    pub fn suffices(&self, comparisons: u32) -> bool {
        self.detects >= DETECTS && self.passes >= Self::passes_each(comparisons)
    }
}

impl fmt::Display for Power {
    /// As people read it: what is found, and how surely what is well passes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |chance: f64| format!("{:.1} %", chance * 100.0);
        match self.detectable {
            Some(harm) => write!(f, "finds {harm:.2} times as bad with {}", percent(DETECTS))?,
            None => f.write_str("finds no harm, however great")?,
        }
        let (detects, passes) = (percent(self.detects), percent(self.passes));
        write!(f, ", what it has to find with {detects}; passes what is no worse with {passes}")
    }
}

/// What `analysis` can find where the new version gets `share` percent of the traffic; `None` where it compares nothing.
///
/// By the normal approximation to what the last look sees. Looking earlier as well finds a little more; waves in the traffic,
/// which the judge allows for when it sees them, leave less. Looks before counting begins find nothing: those of the warm-up, and of a
/// quantile as many as it takes until the old version has the observations that fix where it lies, if none came before the first look.
/// A plan knows of the bake that a window begins with, and its [`power`](crate::plan::Plan::power) reckons with that.
///
/// # Errors
/// [`StatsError::OutOfRange`] for an expectation that is none, such as a share of 0 or 100 percent.
pub fn power(analysis: &Analysis, share: u8) -> Result<Option<Power>, StatsError> {
    power_after(analysis, share, Span::ZERO)
}

/// The same, where its window begins so long before the first look.
pub(crate) fn power_after(
    analysis: &Analysis,
    share: u8,
    before: Span,
) -> Result<Option<Power>, StatsError> {
    let Judge::Sequential(rule) = &analysis.judge else { return Ok(None) };
    let setting = Setting::new(analysis, rule, (share, before));
    let found = |harm: f64| setting.found(harm);
    let detects = found(rule.expected.detect.get())?;
    let detectable = if found(MOST_HARM)? < DETECTS {
        None
    } else {
        let (mut low, mut high) = (1.0_f64, MOST_HARM);
        while high / low > 1.001 {
            let middle = (low * high).sqrt();
            if found(middle)? < DETECTS { low = middle } else { high = middle }
        }
        Some(high)
    };
    Ok(Some(Power { detects, passes: setting.passes()?, detectable }))
}

/// What is expected of all looks together.
struct Setting<'a> {
    analysis: &'a Analysis,
    rule: &'a Sequential,
    alpha: f64,
    share: f64,
    looks: f64,
    /// Requests of both versions.
    requests: f64,
}

/// How many samples the version that gets fewer is expected to have at the last look: requests, or looks where each is one
/// sample.
pub(crate) fn fewest_samples(
    analysis: &Analysis,
    rule: &Sequential,
    (share, before): (u8, Span),
) -> f64 {
    let Setting { share, looks, requests, .. } = Setting::new(analysis, rule, (share, before));
    match analysis.metric {
        Metric::Query { .. } => looks,
        _ => requests * share.min(1.0 - share),
    }
}

impl<'a> Setting<'a> {
    fn new(analysis: &'a Analysis, rule: &'a Sequential, (share, before): (u8, Span)) -> Self {
        let share = f64::from(share) / 100.0;
        let interval = analysis.interval.as_duration().as_secs_f64();
        let per_second = rule.expected.per_second.get();
        let a_look = per_second * interval;
        let old =
            [before.as_duration().as_secs_f64(), interval].map(|s| s * per_second * (1.0 - share));
        let before = before_counting(analysis, rule, old);
        let looks = (f64::from(analysis.count) - before).max(0.0);
        let alpha = rule.alpha_of_an_end();
        Self { analysis, rule, alpha, share, looks, requests: a_look * looks }
    }

    /// The share of requests that end badly while all is well.
    fn rate(&self) -> f64 {
        let value = self.rule.expected.value.get();
        match (&self.analysis.metric, self.rule.direction) {
            (Metric::Quantile { quantile, .. }, Direction::LowerIsBetter) => 1.0 - quantile.get(),
            (Metric::Quantile { quantile, .. }, Direction::HigherIsBetter) => quantile.get(),
            (_, Direction::LowerIsBetter) => value,
            (_, Direction::HigherIsBetter) => 1.0 - value,
        }
    }

    fn dispersion(&self, canary: f64, bad: f64) -> f64 {
        let events = Events { canary, bad, all: self.requests, share: self.share };
        dispersion::expected_of_counts(self.looks, events, self.rule)
    }

    fn found(&self, harm: f64) -> Result<f64, StatsError> {
        if !self.analysis.metric.counts() {
            let value = self.rule.expected.value.get().abs();
            let shift = match self.rule.direction {
                Direction::LowerIsBetter => value * (harm - 1.0),
                Direction::HigherIsBetter => value * (1.0 - 1.0 / harm),
            };
            let margin = self.rule.margin;
            let tolerated = margin.absolute.get().max(margin.relative.get() * value);
            return Ok(self.level(shift - if self.rule.critical { 0.0 } else { tolerated }));
        }
        let (canary, baseline) = (self.requests * self.share, self.requests * (1.0 - self.share));
        let old = self.rate() * baseline;
        let new = (self.rate() * harm).min(1.0) * canary;
        let (bad, tolerated) = (new + old, 1.0 + self.rule.margin.relative.get());
        let dispersion = self.dispersion(new, bad);
        let nothing = if self.rule.critical { 1.0 } else { tolerated };
        let test = test_at(self.share, Side::More)?;
        let least = fewest(bad, |count| {
            let counts = [count / dispersion, bad / dispersion];
            Ok(ratio(&test, self.share, counts, self.alpha)?.lower > nothing)
        })?;
        let by_ratio = reached(new, bad, least);
        let amount = self.rule.margin.absolute.get();
        if self.rule.critical || amount <= 0.0 {
            return Ok(by_ratio);
        }
        // Harm has to be beyond both.
        Ok(by_ratio.min(self.apart(new, old, |low, _| low > amount)?))
    }

    /// How likely a version that is no worse is shown to be so.
    fn passes(&self) -> Result<f64, StatsError> {
        let margin = self.rule.margin;
        if !self.analysis.metric.counts() {
            let value = self.rule.expected.value.get().abs();
            return Ok(self.level(margin.absolute.get().max(margin.relative.get() * value)));
        }
        let (canary, baseline) = (self.requests * self.share, self.requests * (1.0 - self.share));
        let (new, old) = (self.rate() * canary, self.rate() * baseline);
        let bad = new + old;
        let dispersion = self.dispersion(new, bad);
        let tolerated = 1.0 + margin.relative.get();
        let test = test_at(self.share, Side::More)?;
        let most = fewest(bad, |count| {
            let counts = [count / dispersion, bad / dispersion];
            Ok(ratio(&test, self.share, counts, self.alpha)?.upper >= tolerated)
        })?;
        let by_ratio = 1.0 - reached(new, bad, most);
        let amount = margin.absolute.get();
        if amount <= 0.0 {
            return Ok(by_ratio);
        }
        Ok(by_ratio.max(1.0 - self.apart(new, old, |_, high| high >= amount)?))
    }

    /// How likely both rates, each in its own interval, are as far apart as is wanted, which with more bad events of the new
    /// version they are the sooner.
    fn apart(
        &self,
        new: f64,
        old: f64,
        wanted: impl Fn(f64, f64) -> bool,
    ) -> Result<f64, StatsError> {
        let (canary, baseline) = (self.requests * self.share, self.requests * (1.0 - self.share));
        let dispersion = self.dispersion(new, new + old);
        let interval = |bad: f64, all: f64| {
            let test = CountTest::new(0.5, 1.0, 1.0, Side::Both)?;
            test.share_interval(bad / dispersion, all / dispersion, self.alpha / 2.0)
        };
        let usual = interval(old.min(baseline), baseline)?;
        let least = fewest(canary, |bad| {
            let found = interval(bad, canary)?;
            Ok(wanted(found.lower - usual.upper, found.upper - usual.lower))
        })?;
        // Both counts vary.
        let times = canary / baseline;
        let deviation = (new + old * times * times).sqrt();
        Ok(more_than(new, least, deviation))
    }

    /// How likely levels that are `room` away from a limit are shown to be on their side of it.
    fn level(&self, room: f64) -> f64 {
        let deviation = self.rule.expected.spread.get() * std::f64::consts::SQRT_2;
        if self.looks < f64::from(LEAST_LOOKS) {
            return 0.0;
        }
        let variance = deviation * deviation;
        let spread = Spread { n: self.looks, mean: 0.0, variance, correlation: 0.0 };
        let radius = dispersion::of_levels(&spread, self.alpha, deviation).radius(self.alpha);
        normal_cdf((room - radius) / (deviation / self.looks.sqrt()))
    }
}

/// How many looks are over before counting begins, where so many requests of the old version come before the first, and then before each.
fn before_counting(analysis: &Analysis, rule: &Sequential, [first, each]: [f64; 2]) -> f64 {
    let warm_up = f64::from(rule.warm_up);
    let Metric::Quantile { quantile, .. } = &analysis.metric else { return warm_up };
    let needed = reading::needed(*quantile, rule.direction, analysis.min_samples);
    // The first look comes at once. That which ends the warm-up may fix it already, or else the first.
    let fixed = 1.0 + ((needed - first).max(0.0) / each).ceil();
    fixed.max(warm_up)
}

/// The fewest of `bad` events in the canary with which something holds that more of them keep.
fn fewest(bad: f64, holds: impl Fn(f64) -> Result<bool, StatsError>) -> Result<f64, StatsError> {
    let (mut low, mut high) = (0.0, bad);
    if !holds(bad)? {
        return Ok(f64::INFINITY);
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if holds(middle)? { high = middle } else { low = middle }
    }
    Ok(high)
}

/// How likely at least `least` of `bad` events are the canary's, of which `new` are expected.
fn reached(new: f64, bad: f64, least: f64) -> f64 {
    more_than(new, least, (new * (1.0 - new / bad.max(f64::MIN_POSITIVE))).max(0.0).sqrt())
}

/// How likely a count of so many in the mean is at least `least`.
fn more_than(mean: f64, least: f64, deviation: f64) -> f64 {
    if deviation <= 0.0 {
        return if mean >= least { 1.0 } else { 0.0 };
    }
    normal_cdf((mean - least) / deviation)
}
