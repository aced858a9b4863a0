//! Ratios, means and histograms of what counters grew by. Pure.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, Finite, Selector, Target};
use release_core::port::{Bucket, Measurement};
use release_core::time::{Span, Timestamp};

use super::growth::{LE, Labels, NAME, Seen, Series, Starts, Window};
use crate::exposition::instant;

/// Either what was asked for, or why there is no usable data.
pub(crate) type Told<T> = Result<T, String>;

/// What is known of the window of a measurement.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) window: Window,
    pub(crate) series: Vec<Series>,
    pub(crate) seen: Seen,
    pub(crate) starts: Starts,
}

impl Fetched {
    /// The series that a selector picks and that have samples in the window.
    fn picked(&self, selector: &Selector) -> Vec<&Series> {
        let has = |series: &Series, (label, value): (&String, &String)| {
            series.labels.get(label).map_or("", String::as_str) == value
        };
        let picks = |series: &&Series| {
            series.labels.get(NAME) == Some(&selector.series)
                && selector.labels.iter().all(|pair| has(series, pair))
                && self.window.has(series)
        };
        self.series.iter().filter(picks).collect()
    }
}

/// Where a target is only a part, said behind what was not found.
pub(crate) fn on_track(target: &Target) -> String {
    target.track.as_ref().map_or_else(String::new, |track| format!(" on track `{track}`"))
}

/// The selector of a histogram's buckets.
pub(crate) fn buckets_of(histogram: &Selector) -> Selector {
    let series = format!("{}_bucket", histogram.series);
    Selector { series, labels: histogram.labels.clone() }
}

/// A number that can be measured.
pub(crate) fn finite(number: f64) -> Told<Finite> {
    Finite::new(number).map_err(|_| "the sum is not a finite number".to_owned())
}

/// Refuses data that is too old.
pub(crate) fn fresh(newest: Timestamp, now: Timestamp, staleness: Span) -> Told<()> {
    let age = now.since(newest);
    if age > staleness { Err(format!("the newest sample is {age} old")) } else { Ok(()) }
}

/// Notes when the processes of these instances were started, as the samples of [`STARTED`] tell.
pub(crate) fn note_starts(starts: &mut Starts, series: &Series, window: &Window) {
    let Some(instance) = window.instance_of(&series.labels) else { return };
    let told = starts.entry(instance).or_default();
    for sample in &series.samples {
        // No instant is one before all.
        let start = instant(sample.value).unwrap_or(Timestamp::from_micros(i64::MIN));
        let earliest = told.entry(sample.at).or_insert(start);
        *earliest = start.min(*earliest);
    }
}

/// What two counters grew by, one by one.
pub(crate) fn ratio(
    all: &Fetched,
    [part, whole]: [&Selector; 2],
    digest: Digest,
    since: Timestamp,
) -> Told<Measurement> {
    let denominator = whole_of(all, whole)?;
    there(all, part)?;
    let sum = |picked: Vec<&Series>| -> Told<Finite> {
        let mut sum = 0.0;
        for series in picked {
            sum += all.window.growth(&[series], &all.seen, &all.starts)?.iter().sum::<f64>();
        }
        finite(sum)
    };
    let denominator = grew(sum(denominator)?, whole, since)?;
    let numerator = sum(all.picked(part))?;
    Ok(Measurement::Ratio { digest, numerator, denominator })
}

/// What a sum and a number of observations grew by, pair by pair: they are told, and begin anew, together.
pub(crate) fn mean(
    all: &Fetched,
    [sum, count]: [&Selector; 2],
    digest: Digest,
    since: Timestamp,
) -> Told<Measurement> {
    let counts = whole_of(all, count)?;
    let without = |series: &Series| without(&series.labels, NAME);
    let sums = all.picked(sum);
    let mut pairs: BTreeMap<Labels, &Series> =
        sums.into_iter().map(|series| (without(series), series)).collect();
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for counted in counts {
        let summed = pairs.remove(&without(counted)).ok_or_else(|| {
            format!("a series of `{}` has none of `{}` beside it", count.series, sum.series)
        })?;
        let grown = all.window.growth(&[summed, counted], &all.seen, &all.starts)?;
        if let [sum, count] = *grown {
            (numerator, denominator) = (numerator + sum, denominator + count);
        }
    }
    if !pairs.is_empty() {
        let (sum, count) = (&sum.series, &count.series);
        return Err(format!("a series of `{sum}` has none of `{count}` beside it"));
    }
    let denominator = grew(finite(denominator)?, count, since)?;
    Ok(Measurement::Ratio { digest, numerator: finite(numerator)?, denominator })
}

/// What the buckets of histograms grew by, histogram by histogram, and all histograms together.
pub(crate) fn histogram(
    all: &Fetched,
    buckets: &Selector,
    digest: Digest,
    since: Timestamp,
) -> Told<Measurement> {
    let mut histograms: BTreeMap<Labels, Vec<(f64, &Series)>> = BTreeMap::new();
    for series in whole_of(all, buckets)? {
        let written = series.labels.get(LE).map_or("", String::as_str);
        let bound = written.parse().ok().filter(|bound: &f64| !bound.is_nan());
        let bound = bound.ok_or_else(|| format!("`{written}` is no bound of a bucket"))?;
        histograms.entry(without(&series.labels, LE)).or_default().push((bound, series));
    }
    let mut sums: Option<Vec<(f64, f64)>> = None;
    for mut own in histograms.into_values() {
        own.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let bounds: Vec<u64> = own.iter().map(|(bound, _)| bound.to_bits()).collect();
        let series: Vec<&Series> = own.iter().map(|(_, series)| *series).collect();
        if bounds.iter().collect::<BTreeSet<_>>().len() < bounds.len() {
            return Err(format!("a histogram of `{}` has a bucket twice", buckets.series));
        }
        let grown = all.window.growth(&series, &all.seen, &all.starts)?;
        let sums = sums.get_or_insert_with(|| own.iter().map(|(bound, _)| (*bound, 0.0)).collect());
        if !sums.iter().map(|(bound, _)| bound.to_bits()).eq(bounds) {
            return Err(format!("histograms of `{}` have different buckets", buckets.series));
        }
        for ((_, sum), grown) in sums.iter_mut().zip(grown) {
            *sum += grown;
        }
    }
    let mut sums = sums.unwrap_or_default();
    let Some((_, whole)) = sums.pop().filter(|(bound, _)| *bound == f64::INFINITY) else {
        return Err(format!("`{}` has no bucket `+Inf`", buckets.series));
    };
    let whole = grew(finite(whole)?, buckets, since)?;
    let bucket = |(bound, count)| -> Told<Bucket> {
        Ok(Bucket { at_most: Some(finite(bound)?), count: finite(count)? })
    };
    let mut buckets = sums.into_iter().map(bucket).collect::<Told<Vec<_>>>()?;
    buckets.push(Bucket { at_most: None, count: whole });
    Ok(Measurement::Histogram { digest, buckets })
}

fn without(labels: &Labels, label: &str) -> Labels {
    labels.iter().filter(|(name, _)| *name != label).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The series of the whole: there are some, and they are of now.
fn whole_of<'a>(all: &'a Fetched, whole: &Selector) -> Told<Vec<&'a Series>> {
    let picked = all.picked(whole);
    let newest = picked.iter().filter_map(|series| series.samples.last()).map(|last| last.at).max();
    let newest = newest.ok_or_else(|| {
        format!("no sample of `{}` with the wanted labels in the window", whole.series)
    })?;
    fresh(newest, all.window.now, all.window.staleness)?;
    Ok(picked)
}

fn grew(grown: Finite, whole: &Selector, since: Timestamp) -> Told<Finite> {
    if grown > Finite::ZERO {
        return Ok(grown);
    }
    Err(format!("`{}` has not grown since {since}", whole.series))
}

/// Refuses a part that nobody counts: no such series, or none with one of its labels. Nothing counted by this value of a
/// label yet is a zero.
fn there(all: &Fetched, part: &Selector) -> Told<()> {
    let family = all.picked(&Selector::series(&part.series));
    let name = &part.series;
    if family.is_empty() {
        return Err(format!("no sample of `{name}` with this version in the window"));
    }
    let missing = |label: &&String| !family.iter().any(|series| series.labels.contains_key(*label));
    match part
        .labels
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(label, _)| label)
        .find(missing)
    {
        Some(label) => Err(format!("no sample of `{name}` has a label `{label}`; is it mistyped?")),
        None => Ok(()),
    }
}
