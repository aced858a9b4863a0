//! Samples of series, in order, as they came. Pure: it is told what time it is.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use release_core::model::Finite;
use release_core::time::{Span, Timestamp};

use super::fact::{Arrival, Came, Dropped, Fact, SeriesId};
use super::growth::{Labels, Sample};

/// What a tape keeps, and how it looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TapeSettings {
    /// The time between two samples of a series (default one minute). The sample that a window begins with is at most one and
    /// a half of it older; what is longer is a [gap](Fact::Gap).
    pub interval: Span,
    /// How old the newest sample may be (default 150 seconds): older data is no data.
    pub staleness: Span,
    /// The longest window (default seven days); one that began before is cut to it. Four intervals more are kept.
    pub retention: Span,
    /// So many series at the most (default 10 000).
    pub most_series: usize,
    /// So many samples at the most (default 1 000 000); with more the oldest go first.
    pub most_samples: usize,
}

impl Default for TapeSettings {
    fn default() -> Self {
        Self {
            interval: Span::secs(60),
            staleness: Span::secs(150),
            retention: Span::secs(7 * 86_400),
            most_series: 10_000,
            most_samples: 1_000_000,
        }
    }
}

impl TapeSettings {
    /// The defaults, for samples that come so often; stale after two and a half intervals.
    #[must_use]
    pub fn every(interval: Span) -> Self {
        let staleness = Span::from(interval.as_duration() * 5 / 2);
        Self { interval, staleness, ..Self::default() }
    }

    /// What is wrong with them, if anything is.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let Self { interval, staleness, retention, most_series, most_samples } = self;
        let spans = [interval, staleness, retention];
        if spans.iter().any(|span| span.as_duration().is_zero()) {
            return Some("an interval, the staleness or the retention is zero");
        }
        let none = *most_series == 0 || *most_samples == 0;
        none.then_some("a tape without room for a sample holds nothing")
    }
}

/// Raw samples of series, each with what is known of it. Bounded, by time and by number; [`Tape::dropped`] says what it had
/// to let go.
///
/// ```
/// use release_core::time::{Span, Timestamp};
/// use release_providers::samples::{Arrival, Fact, SeriesId, Tape, TapeSettings};
///
/// let mut tape = Tape::new(TapeSettings::every(Span::secs(10)));
/// let at = |second| Timestamp::default().plus(Span::secs(second));
/// let series = SeriesId::named("up");
/// assert_eq!(tape.put(at(20), &series, at(20), 1.0), Arrival::InOrder);
/// assert_eq!(tape.put(at(21), &series, at(10), f64::NAN), Arrival::Late { by: Span::secs(10) });
/// let facts = tape.facts(&series, at(0), at(30));
/// assert_eq!(facts.first(), Some(&Fact::NotANumber { at: at(10) }));
/// ```
#[derive(Debug, Clone)]
pub struct Tape {
    pub(super) settings: TapeSettings,
    series: BTreeMap<Labels, Vec<Kept>>,
    samples: usize,
    pub(super) dropped: Dropped,
}

/// A sample on the tape.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    at: Timestamp,
    /// The lowest value that it was told to be.
    value: f64,
    /// The highest one, where there are two.
    other: Option<f64>,
    came: Came,
}

impl Tape {
    /// An empty tape.
    pub const fn new(settings: TapeSettings) -> Self {
        let dropped = Dropped { samples: 0, refused: 0, before: None, series_refused: None };
        Self { settings, series: BTreeMap::new(), samples: 0, dropped }
    }

    /// What it had to let go until now.
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// How many samples are on it.
    pub const fn len(&self) -> usize {
        self.samples
    }

    /// Whether nothing is on it.
    pub const fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Puts a sample of `at` on it, `now`. One of a time to come is kept, and not looked at before that time.
    pub fn put(&mut self, now: Timestamp, id: &SeriesId, at: Timestamp, value: f64) -> Arrival {
        let kept_from = self.kept_from(now);
        if at < kept_from {
            self.dropped.refused += 1;
            return Arrival::TooOld { kept_from };
        }
        if !self.series.contains_key(&id.0) {
            let most_series = self.settings.most_series;
            if self.series.len() >= most_series {
                self.forget_before(kept_from);
            }
            if self.series.len() >= most_series {
                self.dropped.refused += 1;
                self.dropped.series_refused = self.dropped.series_refused.max(Some(at.max(now)));
                return Arrival::Full { most_series };
            }
            self.series.insert(id.0.clone(), Vec::new());
        }
        let most_series = self.settings.most_series;
        let Some(series) = self.series.get_mut(&id.0) else { return Arrival::Full { most_series } };
        let place = series.partition_point(|kept| kept.at < at);
        let newest = series.last().map(|newest| newest.at).filter(|newest| *newest > at);
        if let Some(same) = series.get_mut(place).filter(|kept| kept.at == at) {
            return same.told_again(value);
        }
        let (came, arrival) = match newest {
            Some(newest) => (Came::Late, Arrival::Late { by: newest.since(at) }),
            None => (Came::InOrder, Arrival::InOrder),
        };
        series.insert(place, Kept { at, value, other: None, came });
        self.samples += 1;
        if self.samples > self.settings.most_samples {
            self.make_room(now);
        }
        arrival
    }

    /// What a series says of the time from `since` to `now`: its samples in order, the gaps between them, and whether the
    /// last one is stale. Nothing, where the tape has nothing of it.
    pub fn facts(&self, id: &SeriesId, since: Timestamp, now: Timestamp) -> Vec<Fact> {
        let Some(series) = self.series.get(&id.0) else { return Vec::new() };
        let mut facts = Vec::new();
        let mut before: Option<Timestamp> = None;
        for kept in series.iter().filter(|kept| kept.at <= now) {
            if kept.at >= since {
                if let Some(after) = before.filter(|after| self.is_gap(*after, kept.at)) {
                    facts.push(Fact::Gap { after, until: kept.at });
                }
                facts.push(kept.fact());
            }
            before = Some(kept.at);
        }
        if let Some(newest) = before {
            let age = now.since(newest);
            if age > self.settings.staleness {
                facts.push(Fact::Stale { newest, age });
            }
        }
        facts
    }

    /// Lets go what is too old by now.
    pub fn prune(&mut self, now: Timestamp) {
        self.forget_before(self.kept_from(now));
    }

    /// The samples until `now` of all series that `wanted` wants.
    pub(super) fn read(
        &self,
        now: Timestamp,
        wanted: impl Fn(&Labels) -> bool,
    ) -> impl Iterator<Item = (&Labels, Vec<Sample>)> {
        let wanted = self.series.iter().filter(move |(labels, _)| wanted(labels));
        wanted.filter_map(move |(labels, series)| {
            let until = series.partition_point(|kept| kept.at <= now);
            let samples: Vec<Sample> = series.iter().take(until).map(Kept::sample).collect();
            (!samples.is_empty()).then_some((labels, samples))
        })
    }

    /// Whether any series that is wanted is on it.
    pub(super) fn has(&self, wanted: impl Fn(&Labels) -> bool) -> bool {
        self.series.keys().any(wanted)
    }

    /// The newest sample until `now` of the series that are wanted.
    pub(super) fn newest(
        &self,
        now: Timestamp,
        wanted: impl Fn(&Labels) -> bool,
    ) -> Option<Timestamp> {
        let wanted = self.series.iter().filter(|(labels, _)| wanted(labels));
        let newest = wanted.filter_map(|(_, series)| {
            series.iter().rev().map(|kept| kept.at).find(|at| *at <= now)
        });
        newest.max()
    }

    fn is_gap(&self, after: Timestamp, until: Timestamp) -> bool {
        until.since(after).as_duration() > self.settings.interval.as_duration() * 3 / 2
    }

    /// From where on samples are kept: the longest window, and some scrapes before, unless there was no room.
    fn kept_from(&self, now: Timestamp) -> Timestamp {
        /// As many intervals as Prometheus is asked for before a window.
        const REACH: u32 = 4;
        let span = self.settings.retention.as_duration()
            + self.settings.interval.as_duration().saturating_mul(REACH);
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let from = Timestamp::from_micros(now.as_micros().saturating_sub(micros));
        self.dropped.before.map_or(from, |before| before.max(from))
    }

    /// Drops the oldest eighth of what may be kept: instants of all series, so that none seems younger than another.
    fn make_room(&mut self, now: Timestamp) {
        self.prune(now);
        let most = self.settings.most_samples;
        if self.samples <= most {
            return;
        }
        let mut instants: Vec<Timestamp> =
            self.series.values().flatten().map(|kept| kept.at).collect();
        let last = (self.samples - most + most / 8).min(instants.len()).saturating_sub(1);
        let (_, newest_to_go, _) = instants.select_nth_unstable(last);
        let before = Timestamp::from_micros(newest_to_go.as_micros().saturating_add(1));
        self.dropped.before = self.dropped.before.max(Some(before));
        self.forget_before(before);
    }

    fn forget_before(&mut self, from: Timestamp) {
        let mut gone = 0;
        self.series.retain(|_, series| {
            let old = series.partition_point(|kept| kept.at < from);
            series.drain(..old);
            gone += old;
            !series.is_empty()
        });
        if gone > 0 {
            self.samples = self.samples.saturating_sub(gone);
            self.dropped.samples += u64::try_from(gone).unwrap_or(u64::MAX);
            self.dropped.before = self.dropped.before.max(Some(from));
        }
    }
}

impl Kept {
    fn told_again(&mut self, value: f64) -> Arrival {
        let same = |known: f64| {
            known.partial_cmp(&value) == Some(Ordering::Equal) || (known.is_nan() && value.is_nan())
        };
        if same(self.value) && self.other.is_none() {
            return Arrival::Duplicate;
        }
        let with = if same(self.value) { self.other.unwrap_or(self.value) } else { self.value };
        // The same two, in whichever order they and others came.
        let all = [Some(self.value), self.other, Some(value)];
        let low = all.iter().flatten().copied().min_by(f64::total_cmp);
        let high = all.iter().flatten().copied().max_by(f64::total_cmp);
        self.value = low.unwrap_or(value);
        self.other = high;
        Arrival::Conflicting { with }
    }

    fn fact(&self) -> Fact {
        let Self { at, value, other, came } = *self;
        match (other, Finite::new(value)) {
            (Some(other), _) => Fact::Conflicting { at, values: [value, other] },
            (None, Ok(value)) => Fact::Number { at, value, came },
            (None, Err(_)) if value.is_nan() => Fact::NotANumber { at },
            (None, Err(_)) => Fact::Infinite { at, negative: value < 0.0 },
        }
    }

    const fn sample(&self) -> Sample {
        Sample { at: self.at, value: self.value, other: self.other }
    }
}
