//! The judge of burn rates: what pairs of windows say of one version, at any look.

use std::collections::VecDeque;

use super::finding::{Conclusion, Finding, Harm, Method, Part, Scale, Seen, finite, number};
use super::memory::{Case, Judged};
use super::reading::{self, Reading, Terms};
use super::stream::{digest_of, word_of};
use crate::model::{BurnRate, BurnWindows, Digest, Finite};
use crate::port::{Evidence, Measurement};
use crate::stats::burn::burn_rate;
use crate::stats::counts::{CountTest, Side};
use crate::time::{Span, Timestamp};

/// How likely the interval that is told misses the rate.
const ALPHA: f64 = 0.05;

/// What was counted at each look, as far back as the longest window reaches.
#[derive(Debug, Clone, Default)]
pub struct Burned {
    looks: u32,
    /// The oldest first; the first is the last one that is at least as old as the longest window.
    marks: VecDeque<Mark>,
    /// What stood where measurements began, if that is not 0: as marks do, it moves with counts that began anew.
    began: Option<Mark>,
    samples: Option<Digest>,
}

// By all that it is made of, to the last bit.
impl PartialEq for Burned {
    fn eq(&self, other: &Self) -> bool {
        self.samples == other.samples && self.words().eq(other.words())
    }
}

impl Eq for Burned {}

/// What was counted until a look, since measurements began.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    at: Timestamp,
    bad: f64,
    all: f64,
}

/// One look of such a judge.
pub(super) struct BurnCase<'a> {
    pub(super) case: Case<'a>,
    pub(super) rule: &'a BurnRate,
}

/// What a pair of windows says.
struct Pair {
    windows: BurnWindows,
    /// Burn rate and counts of the long window and the short one; without counts there is no rate.
    long: (Option<f64>, Mark),
    short: (Option<f64>, Mark),
}

impl Burned {
    pub(super) fn judge(&mut self, look: &BurnCase<'_>, evidence: &Evidence) -> Judged {
        let taken = self.take(look, evidence);
        let mut finding =
            Finding::without_numbers(Method::BurnRate, self.looks, finite(ALPHA), self.samples);
        if let Err(because) = taken {
            return Judged::new(finding, because, false);
        }
        let pairs: Vec<Pair> =
            look.rule.windows.iter().map(|windows| self.pair(look, *windows)).collect();
        let least = u32::try_from(look.case.analysis.min_samples).map_or(f64::MAX, f64::from);
        finding.parts = pairs.iter().map(|pair| pair.part(least)).collect();
        let fires = pairs.iter().find(|pair| pair.fires(least));
        let little = pairs.iter().find(|pair| pair.samples() < least);
        // The pair that is nearest to firing speaks for the others.
        let nearest = pairs.iter().max_by(|a, b| a.nearness().total_cmp(&b.nearness()));
        let Some(told) = fires.or(little).or(nearest) else {
            return Judged::new(finding, "there are no windows".into(), false);
        };
        finding.harm = told.harm(look.rule);
        finding.canary = told.seen();
        let (conclusion, because) = match (fires, little) {
            (Some(pair), _) => (Conclusion::Regressed, pair.sentence("more than")),
            (None, Some(pair)) => {
                let (long, short) = (pair.windows.long, pair.windows.short);
                let samples = pair.samples();
                let text = format!("{samples} samples in {short} of {long}, {least} are needed");
                (Conclusion::NoData, text)
            }
            (None, None) => (Conclusion::Healthy, told.sentence("not more in both than")),
        };
        finding.conclusion = conclusion;
        Judged::new(finding, because, false)
    }

    /// Takes a look's counts in. Those that have fallen began anew: what fell since the last look is not known, and the next look
    /// goes on from them.
    ///
    /// # Errors
    /// Why they say nothing; the looks before count as they did.
    pub(super) fn take(&mut self, look: &BurnCase<'_>, evidence: &Evidence) -> Result<(), String> {
        let (measurement, _) = look.case.one(evidence)?;
        self.samples = Some(digest_of(self.samples, [measurement]));
        let mark = look.read(measurement)?;
        let fallen = |last: &Mark| mark.all < last.all || mark.bad < last.bad;
        let anew = self.marks.back().copied().filter(fallen);
        if let Some(last) = anew {
            self.move_by(mark.bad - last.bad, mark.all - last.all);
        } else {
            self.looks = self.looks.saturating_add(1);
        }
        self.marks.push_back(mark);
        let longest = look.rule.windows.iter().map(|windows| windows.long).max();
        let longest = longest.unwrap_or(Span::ZERO);
        let old =
            |mark: Option<&Mark>| mark.is_some_and(|mark| look.case.at.since(mark.at) >= longest);
        while old(self.marks.get(1)) {
            self.marks.pop_front();
        }
        if anew.is_some() {
            return Err("counts have fallen since the last look: the window began anew".into());
        }
        Ok(())
    }

    /// Lets all marks stand by so much higher, so that between them there is as much as before.
    fn move_by(&mut self, bad: f64, all: f64) {
        let moved = |mark: Mark| Mark { at: mark.at, bad: mark.bad + bad, all: mark.all + all };
        self.began = Some(moved(self.began.unwrap_or_default()));
        self.marks.iter_mut().for_each(|mark| *mark = moved(*mark));
    }

    fn pair(&self, look: &BurnCase<'_>, windows: BurnWindows) -> Pair {
        let objective = look.rule.objective.get();
        let of = |window: Span| {
            let counts = self.within(window);
            let rate = (counts.all > 0.0).then(|| counts.bad / counts.all);
            (rate.and_then(|rate| burn_rate(rate, objective).ok()), counts)
        };
        Pair { windows, long: of(windows.long), short: of(windows.short) }
    }

    /// What was counted since the last look that is so long ago; since measurements began, where there is none.
    fn within(&self, window: Span) -> Mark {
        let Some(now) = self.marks.back() else { return Mark::default() };
        let old = |mark: &&Mark| now.at.since(mark.at) >= window;
        let from = self.marks.iter().rev().skip(1).find(old).copied().or(self.began);
        let from = from.unwrap_or_default();
        Mark { at: from.at, bad: now.bad - from.bad, all: now.all - from.all }
    }

    /// All that it is made of, for the digest of a state.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        let mark = |mark: &Mark| {
            [mark.at.as_micros().cast_unsigned(), mark.bad.to_bits(), mark.all.to_bits()]
        };
        let marks = self.marks.iter().chain(&self.began).flat_map(mark);
        [u64::from(self.looks), self.samples.map_or(0, word_of)].into_iter().chain(marks)
    }
}

impl BurnCase<'_> {
    fn read(&self, measurement: &Measurement) -> Result<Mark, String> {
        let terms = Terms { direction: self.rule.direction, above: None };
        let case = &self.case;
        let read = reading::read(&case.analysis.metric, case.wanted(), measurement, terms)?;
        let Reading::Part { part: bad, whole: all } = read else {
            return Err("a number of the moment counts no events".into());
        };
        if bad > all {
            return Err(format!("{bad} of {all} is more than the whole"));
        }
        Ok(Mark { at: case.at, bad, all })
    }
}

impl Pair {
    /// Samples in the window that has the fewer.
    fn samples(&self) -> f64 {
        self.long.1.all.min(self.short.1.all)
    }

    fn fires(&self, least: f64) -> bool {
        let above = |burn: Option<f64>| burn.is_some_and(|burn| burn > self.windows.factor.get());
        self.samples() >= least && above(self.long.0) && above(self.short.0)
    }

    /// The lesser burn rate of the two, which decides.
    fn burn(&self) -> Option<f64> {
        Some(self.long.0?.min(self.short.0?))
    }

    fn nearness(&self) -> f64 {
        self.burn().map_or(-1.0, |burn| burn / self.windows.factor.get())
    }

    /// The counts that decide: those of the window that burns less.
    fn counts(&self) -> Mark {
        match (self.long.0, self.short.0) {
            (Some(long), Some(short)) if short < long => self.short.1,
            _ => self.long.1,
        }
    }

    /// Between which burn rates the truth lies, by the counts of the deciding window.
    fn interval(&self, rule: &BurnRate) -> Option<[f64; 2]> {
        let counts = self.counts();
        let test = CountTest::new(0.5, 1.0, 1.0, Side::Both).ok()?;
        let share = test.share_interval(counts.bad, counts.all, ALPHA).ok()?;
        let burn = |rate: f64| burn_rate(rate, rule.objective.get()).ok();
        Some([burn(share.lower)?, burn(share.upper)?])
    }

    fn harm(&self, rule: &BurnRate) -> Option<Harm> {
        let estimate = Finite::new(self.burn()?).ok();
        let [low, high] = self.interval(rule)?.map(|end| Finite::new(end).ok());
        Some(Harm { scale: Scale::Burn, estimate, low, high, tolerated: self.windows.factor })
    }

    fn seen(&self) -> Option<Seen> {
        let counts = self.counts();
        let value = Finite::new(counts.bad / counts.all).ok()?;
        Some(Seen { value, samples: Finite::new(counts.all).ok()? })
    }

    fn part(&self, least: f64) -> Part {
        let says = if self.samples() < least {
            "too few samples"
        } else if self.fires(least) {
            "fires"
        } else {
            "quiet"
        };
        let burn = |burn: Option<f64>| burn.and_then(|burn| Finite::new(burn).ok());
        // Not an interval of the truth: what the two windows say.
        let ends = [self.long.0, self.short.0];
        let low = ends.into_iter().flatten().reduce(f64::min);
        let high = ends.into_iter().flatten().reduce(f64::max);
        Part {
            name: format!("{} and {}", self.windows.long, self.windows.short),
            says: says.to_owned(),
            estimate: burn(self.burn()),
            low: burn(low),
            high: burn(high),
            samples: finite(self.samples()),
            baseline_samples: None,
        }
    }

    fn sentence(&self, how: &str) -> String {
        let BurnWindows { long, short, factor } = self.windows;
        let burn = |burn: Option<f64>| burn.map_or_else(|| "nothing".to_owned(), number);
        let (in_long, in_short) = (burn(self.long.0), burn(self.short.0));
        let Mark { bad, all, .. } = self.long.1;
        format!(
            "the error budget burns {in_long} times as fast as allowed in {long} ({bad} of {all}), {in_short} times in {short}: {how} {factor}"
        )
    }
}
