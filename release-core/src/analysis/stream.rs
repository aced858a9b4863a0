//! What looks have seen so far, in constant memory: the fold that judges go by.

use sha2::{Digest as _, Sha256};

use super::lagged::Lagged;
use super::reading::{self, Reading, Terms};
use crate::model::{Analysis, Digest, Direction, Edition, Finite, Judge, Metric, Sequential};
use crate::plan::{Action, Beside, Deployment};
use crate::port::{Evidence, Measurement, Point};
use crate::time::Timestamp;

/// What the looks of one analysis have seen so far. It takes the same memory however many they are.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Looks that count, without those of the warm-up.
    pub(super) looks: u32,
    /// Looks of the warm-up that are over.
    warm: u32,
    /// The bound above which a quantile's observations count.
    pub(super) above: Option<Finite>,
    /// Whether that bound is near the quantile.
    pub(super) near: bool,
    /// Where counting begins: at the end of the warm-up.
    origin: Option<[Part; 2]>,
    /// As of the last look.
    last: Option<[Part; 2]>,
    /// As of the first look that counts: from there on both versions were watched for just as long, whenever their windows
    /// began.
    first: Option<[Part; 2]>,
    /// Of counts: by how much the new version got more of the bad events of each look than its part of the requests, a
    /// request, so that looks of different lengths tell the same. Of levels: by how much it was worse.
    pub(super) differences: Lagged,
    /// Of counts: how much a request counts in a look, summed over these.
    pub(super) weights: f64,
    /// Of levels: by how much it was worse than the margin allows.
    pub(super) beyond: Lagged,
    /// Levels of the old version.
    pub(super) levels: Lagged,
    /// Of when each version's last number of the moment was.
    newest: Option<[Timestamp; 2]>,
    samples: Option<Digest>,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            looks: 0,
            warm: 0,
            above: None,
            near: true,
            origin: None,
            last: None,
            first: None,
            differences: Lagged::default(),
            weights: 0.0,
            beyond: Lagged::default(),
            levels: Lagged::default(),
            newest: None,
            samples: None,
        }
    }
}

// By all that it is made of, to the last bit.
impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        self.samples == other.samples && self.words().eq(other.words())
    }
}

impl Eq for Stream {}

/// So much of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Part {
    pub(super) part: f64,
    pub(super) whole: f64,
}

impl Part {
    pub(super) const fn since(self, earlier: Self) -> Self {
        Self { part: self.part - earlier.part, whole: self.whole - earlier.whole }
    }
}

/// Whom a look looks at, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) analysis: &'a Analysis,
    pub(crate) rule: &'a Sequential,
    pub(crate) canary: &'a Deployment,
    pub(crate) beside: &'a Beside,
    pub(crate) at: Timestamp,
}

impl<'a> Look<'a> {
    /// The looks of a step, where it compares versions.
    pub(crate) fn of(action: &'a Action, at: Timestamp) -> Option<Self> {
        let Action::Analyze { deployment, analysis, beside: Some(beside), .. } = action else {
            return None;
        };
        let Judge::Sequential(rule) = &analysis.judge else { return None };
        Some(Self { analysis, rule, canary: deployment, beside, at })
    }
}

/// What became of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It counts.
    Counted,
    /// It belongs to the time before counting begins.
    Before,
    /// The same: counting waits for what comes with time, and this says for what.
    Waits(String),
}

impl Stream {
    /// Takes a look's measurements in.
    ///
    /// # Errors
    /// Why they say nothing; the looks before count as they did.
    pub(crate) fn take(&mut self, look: &Look<'_>, evidence: &Evidence) -> Result<Taken, String> {
        self.note(evidence);
        let Evidence::Comparison { canary, baseline } = evidence else {
            return Err("only one version was measured; both are needed".into());
        };
        match self.read(look, [canary, baseline])? {
            [Reading::Part { part, whole }, Reading::Part { part: other, whole: rest }] => {
                let now = [Part { part, whole }, Part { part: other, whole: rest }];
                self.parts(look, now, [canary, baseline])
            }
            [Reading::Now { value, at }, Reading::Now { value: other, at: then }] => {
                self.newer(look, [at, then])?;
                if self.warming(look) {
                    return Ok(Taken::Before);
                }
                self.level(look, [value, other]);
                Ok(Taken::Counted)
            }
            _ => Err("the versions were measured in different ways".into()),
        }
    }

    /// Numbers of the moment that are fresh, and others than those of the look before: what is told twice is one sample.
    fn newer(&mut self, look: &Look<'_>, now: [Timestamp; 2]) -> Result<(), String> {
        for at in now {
            reading::fresh(at, look.at, look.analysis)?;
        }
        let last = self.newest.iter().flatten();
        if last.zip(&now).any(|(last, at)| at <= last) {
            return Err("nothing new since the last look".into());
        }
        self.newest = Some(now);
        Ok(())
    }

    fn read(&self, look: &Look<'_>, both: [&Measurement; 2]) -> Result<[Reading; 2], String> {
        let terms = Terms { direction: look.rule.direction, above: self.above };
        let read = |measurement, wanted: &Deployment, whose| {
            let found =
                reading::read(&look.analysis.metric, wanted.artifact.digest(), measurement, terms);
            found.map_err(|why| format!("{whose} version: {why}"))
        };
        let [canary, baseline] = both;
        Ok([
            read(canary, look.canary, "of the new")?,
            read(baseline, &look.beside.baseline, "of the old")?,
        ])
    }

    /// Whether a look belongs to the warm-up.
    const fn warming(&mut self, look: &Look<'_>) -> bool {
        let warming = self.warm < look.rule.warm_up;
        if warming {
            self.warm += 1;
        }
        warming
    }

    fn parts(
        &mut self,
        look: &Look<'_>,
        now: [Part; 2],
        both: [&Measurement; 2],
    ) -> Result<Taken, String> {
        if let Some(last) = self.last
            && grown(&now, &last)
                .iter()
                .any(|part| part.whole < 0.0 || look.analysis.metric.counts() && part.part < 0.0)
        {
            self.begin_anew(last, now);
            return Err("counts have fallen since the last look: the window began anew".into());
        }
        let Some(last) = self.last.filter(|_| self.origin.is_some()) else {
            return self.begin(look, now, both);
        };
        self.last = Some(now);
        self.first.get_or_insert(now);
        let [canary, baseline] = grown(&now, &last);
        if look.analysis.metric.counts() {
            self.looks = self.looks.saturating_add(1);
            let share = ratio(canary.whole, canary.whole + baseline.whole).unwrap_or(0.0);
            let (bad, all) = (canary.part + baseline.part, canary.whole + baseline.whole);
            if all > 0.0 {
                self.differences.push(share.mul_add(-bad, canary.part) / all);
                self.weights += 1.0 / all;
            }
            return Ok(Taken::Counted);
        }
        match (ratio(canary.part, canary.whole), ratio(baseline.part, baseline.whole)) {
            (Some(canary), Some(baseline)) => {
                self.level(look, [canary, baseline]);
                Ok(Taken::Counted)
            }
            _ => Err("nothing was observed since the last look".into()),
        }
    }

    /// Counts go on from `now`: all that was counted until `last` stays, and what fell in between is not known.
    fn begin_anew(&mut self, last: [Part; 2], now: [Part; 2]) {
        let moved = |mark: [Part; 2]| grown(&now, &grown(&last, &mark));
        (self.origin, self.first) = (self.origin.map(moved), self.first.map(moved));
        self.last = Some(now);
    }

    /// Counting begins with the window; after a warm-up with its end; and of a quantile once it is fixed where that lies, by
    /// what was before, so that it cannot depend on what is counted.
    fn begin(
        &mut self,
        look: &Look<'_>,
        now: [Part; 2],
        both: [&Measurement; 2],
    ) -> Result<Taken, String> {
        let warmed = self.warming(look);
        self.last = Some(now);
        if self.warm < look.rule.warm_up {
            return Ok(Taken::Before);
        }
        if let Metric::Quantile { quantile, .. } = &look.analysis.metric {
            return self.fix(look, *quantile, now, both);
        }
        if warmed {
            self.origin = Some(now);
            return Ok(Taken::Before);
        }
        (self.last, self.origin) = (Some([Part::default(); 2]), Some([Part::default(); 2]));
        self.parts(look, now, both)
    }

    /// Fixes where a quantile lies. While both versions are observed, and the old one not often enough for that yet, nothing is
    /// amiss: more will come.
    fn fix(
        &mut self,
        look: &Look<'_>,
        quantile: Finite,
        [new, old]: [Part; 2],
        both: [&Measurement; 2],
    ) -> Result<Taken, String> {
        let (direction, min_samples) = (look.rule.direction, look.analysis.min_samples);
        let needed = reading::needed(quantile, direction, min_samples);
        let observed = new.whole > 0.0 && old.whole > 0.0;
        // To plans of the first edition, that is no data.
        if look.rule.edition != Edition::First {
            if new.whole <= 0.0 {
                return Err("there is no observation of the new version".into());
            }
            if observed && old.whole < needed {
                return Ok(Taken::Waits(reading::too_few(old.whole, needed)));
            }
        }
        let [_, baseline] = both;
        let place = reading::bound_of(baseline, quantile, direction, min_samples)?;
        (self.above, self.near) = (Some(place.bound), place.near);
        if let [Reading::Part { part, whole }, Reading::Part { part: other, whole: rest }] =
            self.read(look, both)?
        {
            let now = [Part { part, whole }, Part { part: other, whole: rest }];
            (self.last, self.origin) = (Some(now), Some(now));
        }
        Ok(Taken::Before)
    }

    fn level(&mut self, look: &Look<'_>, [canary, baseline]: [f64; 2]) {
        let worse = match look.rule.direction {
            Direction::LowerIsBetter => canary - baseline,
            Direction::HigherIsBetter => baseline - canary,
        };
        self.looks = self.looks.saturating_add(1);
        self.levels.push(baseline);
        self.differences.push(worse);
        self.beyond.push(look.rule.margin.relative.get().mul_add(-baseline.abs(), worse));
    }

    /// What each version counted since counting began.
    pub(super) fn counted(&self) -> [Part; 2] {
        match (self.last, self.origin) {
            (Some([canary, baseline]), Some([a, b])) => [canary.since(a), baseline.since(b)],
            _ => [Part::default(); 2],
        }
    }

    /// What each version counted since the first look that counts.
    pub(super) fn counted_side_by_side(&self) -> [Part; 2] {
        match (self.last, self.first) {
            (Some(last), Some(first)) => grown(&last, &first),
            _ => [Part::default(); 2],
        }
    }

    /// The digest of all measurements so far, each after those before.
    pub fn samples(&self) -> Digest {
        self.samples.unwrap_or_else(|| Digest::of(b""))
    }

    fn note(&mut self, evidence: &Evidence) {
        let both = match evidence {
            Evidence::Comparison { canary, baseline } => vec![&**canary, &**baseline],
            _ => Vec::new(),
        };
        self.samples = Some(digest_of(self.samples, both));
    }

    /// All that it is made of, for the digest of a state.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let parts = [self.origin, self.last, self.first].into_iter().flatten().flatten();
        let parts = parts.flat_map(|Part { part, whole }| [part.to_bits(), whole.to_bits()]);
        let streams = [self.differences, self.beyond, self.levels];
        let samples = self.samples.map_or(0, word_of);
        let above = self.above.map_or(u64::MAX, |bound| bound.get().to_bits());
        let newest = self.newest.into_iter().flatten().map(|at| at.as_micros().cast_unsigned());
        let (looks, warm) = (u64::from(self.looks), u64::from(self.warm));
        [looks, warm, samples, above, u64::from(self.near), self.weights.to_bits()]
            .into_iter()
            .chain(parts)
            .chain(newest)
            .chain(streams.into_iter().flat_map(|stream| stream.words()))
    }
}

/// The digest of measurements after those before.
pub(super) fn digest_of<'a>(
    before: Option<Digest>,
    measurements: impl IntoIterator<Item = &'a Measurement>,
) -> Digest {
    let mut hash = Sha256::new();
    if let Some(before) = before {
        hash.update(before.as_bytes());
    }
    measurements.into_iter().for_each(|measurement| feed(&mut hash, measurement));
    Digest::from_bytes(hash.finalize().into())
}

/// All that a measurement says, each kind under a number of its own, each number as its bits.
fn feed(hash: &mut Sha256, measurement: &Measurement) {
    let number =
        |hash: &mut Sha256, value: Finite| hash.update(value.get().to_bits().to_le_bytes());
    match measurement {
        Measurement::Ratio { digest, numerator, denominator } => {
            hash.update([1]);
            hash.update(digest.as_bytes());
            number(hash, *numerator);
            number(hash, *denominator);
        }
        Measurement::Histogram { digest, buckets } => {
            hash.update([2]);
            hash.update(digest.as_bytes());
            for bucket in buckets {
                hash.update([u8::from(bucket.at_most.is_some())]);
                number(hash, bucket.at_most.unwrap_or(Finite::ZERO));
                number(hash, bucket.count);
            }
        }
        Measurement::Value { digest, value, at } => {
            hash.update([3]);
            hash.update(digest.as_bytes());
            number(hash, *value);
            hash.update(at.as_micros().to_le_bytes());
        }
        Measurement::NoData { reason } => {
            hash.update([4]);
            hash.update(reason.as_bytes());
        }
        Measurement::Points { digest, points } => {
            hash.update([5]);
            hash.update(digest.as_bytes());
            for point in points {
                feed_point(hash, point);
            }
        }
    }
}

fn feed_point(hash: &mut Sha256, point: &Point) {
    let mut instant = |at: &Timestamp| hash.update(at.as_micros().to_le_bytes());
    let kind = match point {
        Point::Number { at, value, late } => {
            instant(at);
            hash.update(value.get().to_bits().to_le_bytes());
            1 + u8::from(*late)
        }
        Point::NotANumber { at } => {
            instant(at);
            3
        }
        Point::Conflicting { at } => {
            instant(at);
            4
        }
        Point::Gap { after, until } => {
            instant(after);
            instant(until);
            5
        }
        Point::Stale { newest } => {
            instant(newest);
            6
        }
    };
    hash.update([kind]);
}

/// The first 64 bits of a digest.
pub(super) fn word_of(digest: Digest) -> u64 {
    digest.as_bytes().iter().take(8).fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

fn grown([a, b]: &[Part; 2], [c, d]: &[Part; 2]) -> [Part; 2] {
    [a.since(*c), b.since(*d)]
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}
