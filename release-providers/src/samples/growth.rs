//! What counters grew by in a window, from their raw samples. Pure.

use std::collections::{BTreeMap, BTreeSet};

use release_core::time::{Span, Timestamp};

/// The label of a series' name.
pub(crate) const NAME: &str = "__name__";
/// What client libraries call the instant at which their process was started.
pub(crate) const STARTED: &str = "process_start_time_seconds";
/// The label of a histogram's buckets that holds their bound.
pub(crate) const LE: &str = "le";

pub(crate) type Labels = BTreeMap<String, String>;

/// A series' samples, the oldest first, no two of one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) value: f64,
    /// What else it was told to be at the same moment, where it was told twice.
    pub(crate) other: Option<f64>,
}

/// Which samples count.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) since: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) interval: Span,
    pub(crate) staleness: Span,
    /// The labels that together tell one instance from the others.
    pub(crate) instance: Vec<String>,
}

/// Who an instance is: the values of the labels that tell it. `None` where a series lacks one.
pub(crate) type Instance = Vec<String>;

/// When the process of an instance was started, by the sample that told it.
pub(crate) type Starts = BTreeMap<Instance, BTreeMap<Timestamp, Timestamp>>;

/// What is known of instances: at which moments they were scraped.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<Instance, BTreeSet<Timestamp>>);

impl Seen {
    pub(crate) fn of<'a>(all: impl IntoIterator<Item = &'a Series>, window: &Window) -> Self {
        let mut seen: BTreeMap<Instance, BTreeSet<Timestamp>> = BTreeMap::new();
        for series in all {
            if let Some(instance) = window.instance_of(&series.labels) {
                seen.entry(instance).or_default().extend(series.samples.iter().map(|s| s.at));
            }
        }
        Self(seen)
    }

    /// Whether an instance was scraped in `from..until`.
    fn between(&self, instance: &Instance, from: Timestamp, until: Timestamp) -> bool {
        let times = self.0.get(instance);
        from < until && times.is_some_and(|times| times.range(from..until).next().is_some())
    }

    fn newest(&self, instance: &Instance) -> Option<Timestamp> {
        self.0.get(instance).and_then(|times| times.last().copied())
    }
}

/// Where a series' growth begins.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Begin {
    /// At this one of its samples.
    Sample(usize),
    /// At zero, before this one: it was born in the window.
    Zero(usize),
    /// It may have been born in the window, if its process was: at zero or at this one.
    Asked(usize),
    /// It has no sample in the window.
    Never,
}

impl Window {
    /// The earliest sample with which the window may begin.
    pub(crate) fn earliest(&self) -> Timestamp {
        let more = self.interval.as_duration() * 3 / 2;
        let micros = i64::try_from(more.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.since.as_micros().saturating_sub(micros))
    }

    pub(crate) fn instance_of(&self, labels: &Labels) -> Option<Instance> {
        self.instance.iter().map(|label| labels.get(label).cloned()).collect()
    }

    /// Whether a series has any sample that counts.
    pub(crate) fn has(&self, series: &Series) -> bool {
        series.samples.iter().any(|sample| sample.at >= self.earliest() && sample.at <= self.now)
    }

    fn begin(&self, series: &Series, seen: &Seen) -> Begin {
        let samples = &series.samples;
        if let Some(base) = samples.iter().rposition(|sample| sample.at <= self.since)
            && samples.get(base).is_some_and(|sample| sample.at >= self.earliest())
        {
            return Begin::Sample(base);
        }
        let first = samples.iter().position(|sample| sample.at > self.since);
        match (first, samples.first()) {
            (Some(0), Some(sample)) => match self.instance_of(&series.labels) {
                Some(instance) if seen.between(&instance, self.earliest(), sample.at) => {
                    Begin::Zero(0)
                }
                // Of zero nothing has to be known.
                Some(_) if sample.value > 0.0 => Begin::Asked(0),
                _ => Begin::Sample(0),
            },
            // It was there before, and for a while nobody saw it: the window begins later.
            (Some(first), _) => Begin::Sample(first),
            (None, _) => Begin::Never,
        }
    }

    /// The instances of which it has to be known when their processes were started.
    pub(crate) fn unknown_births<'a>(
        &self,
        all: impl IntoIterator<Item = &'a Series>,
        seen: &Seen,
    ) -> BTreeSet<Instance> {
        let asked = |series: &&Series| matches!(self.begin(series, seen), Begin::Asked(_));
        all.into_iter()
            .filter(asked)
            .filter_map(|series| self.instance_of(&series.labels))
            .collect()
    }

    /// What each series of a group grew by. Its series are of one thing, such as the buckets of one histogram: when one of
    /// them begins anew, all do.
    ///
    /// # Errors
    /// Why that is not known.
    pub(crate) fn growth(
        &self,
        group: &[&Series],
        seen: &Seen,
        starts: &Starts,
    ) -> Result<Vec<f64>, String> {
        let mut lives = Vec::new();
        let mut resets = BTreeSet::new();
        for series in group {
            let (base, counted) = self.life(series, seen, starts)?;
            let pairs = counted.iter().zip(counted.iter().skip(1));
            resets.extend(pairs.filter(|(a, b)| b.value < a.value).map(|(_, b)| b.at));
            lives.push((base, counted));
        }
        let grown = |(base, counted): (f64, &[Sample])| {
            let mut before = counted.first().copied();
            let mut grown = before.map_or(0.0, |first| first.value - base);
            for sample in counted.iter().skip(1) {
                let after = before.map_or(sample.at, |before| before.at);
                // Strictly after the sample before, up to this one.
                let anew = resets.range(..=sample.at).next_back().is_some_and(|at| *at > after);
                grown += match before {
                    Some(before) if !anew => sample.value - before.value,
                    _ => sample.value,
                };
                before = Some(*sample);
            }
            grown
        };
        Ok(lives.into_iter().map(grown).collect())
    }

    /// From where on a series counts: what the first of these samples is counted from, and the samples.
    fn life<'a>(
        &self,
        series: &'a Series,
        seen: &Seen,
        starts: &Starts,
    ) -> Result<(f64, &'a [Sample]), String> {
        let begin = self.begin(series, seen);
        let (first, zero) = match begin {
            Begin::Never => return Ok((0.0, &[])),
            Begin::Sample(first) => (first, false),
            Begin::Zero(first) => (first, true),
            Begin::Asked(first) => (first, self.was_born(series, first, starts)),
        };
        let counted = series.samples.get(first..).unwrap_or_default();
        let name = || self.name(series);
        if let Some((bad, other)) = counted.iter().find_map(|one| Some((one, one.other?))) {
            return Err(format!("{} is both {} and {other} at {}", name(), bad.value, bad.at));
        }
        if let Some(bad) = counted.iter().find(|sample| !sample.value.is_finite()) {
            return Err(format!("{} is {} at {}", name(), bad.value, bad.at));
        }
        if let Some(bad) = counted.iter().find(|sample| sample.value < 0.0) {
            return Err(format!("{} is negative at {}, which no count is", name(), bad.at));
        }
        if let (Some(last), Some(instance)) = (counted.last(), self.instance_of(&series.labels))
            && let Some(newest) = seen.newest(&instance)
            && newest.since(last.at) > self.staleness
        {
            let text = "is told no more since then, though its instance is scraped";
            return Err(format!("{} {text}: its last sample is of {}", name(), last.at));
        }
        let base = if zero { 0.0 } else { counted.first().map_or(0.0, |sample| sample.value) };
        Ok((base, counted))
    }

    /// Whether the process that told a sample was started in the window, by what was scraped together with the sample.
    fn was_born(&self, series: &Series, sample: usize, starts: &Starts) -> bool {
        let started = self.instance_of(&series.labels).and_then(|instance| {
            let at = series.samples.get(sample)?.at;
            starts.get(&instance)?.get(&at).copied()
        });
        started.is_some_and(|started| started >= self.since)
    }

    fn name(&self, series: &Series) -> String {
        let name = series.labels.get(NAME).map_or("a series", String::as_str);
        match self.instance_of(&series.labels) {
            Some(instance) => format!("`{name}` of instance {}", instance.join("/")),
            None => format!("`{name}`"),
        }
    }
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;
