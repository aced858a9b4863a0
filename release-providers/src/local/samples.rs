//! What counters said over time, so that an analysis can be told how much they grew in its window.
//!
//! Counters only tell of an instance's whole life. So the platform takes a *mark*, a sample of every
//! instance of a target, when new shares take effect (that is when a bake begins), and wherever a
//! window is asked for that has none. What a counter grew by is its total now less its total where the
//! window begins: at the latest mark before it that was taken under the present shares, else at the
//! first mark in it. So a window may begin earlier than was asked, but not before the shares. Totals are corrected for resets, as Prometheus does it: where a counter
//! is lower than before, it began anew, and what it says now is what it grew by.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, Selector, Target};
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{FORMAT, known_format};
use crate::exposition::Sample;

/// Most marks of one instance; the oldest go first.
const MARKS: usize = 16;
/// The label by which samples say of which version they are.
pub(super) const VERSION_LABEL: &str = "version";

/// `samples/<target>.json`: the counters of a target's instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Samples {
    #[serde(deserialize_with = "known_format")]
    format: u16,
    pub(super) target: Target,
    /// When the present shares took effect.
    changed: Option<Timestamp>,
    /// By the name of the instance, which is never used again.
    instances: BTreeMap<String, History>,
    /// Instances that were ready and ended by themselves, under the present shares.
    #[serde(default)]
    died: BTreeMap<String, Death>,
}

/// An instance that ended by itself: what it counted after its last sample is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Death {
    pub(super) digest: Digest,
    pub(super) at: Timestamp,
}

/// What one instance's counters said over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    digest: Digest,
    /// In the order of their names and labels.
    series: Vec<Series>,
    /// When marks were taken, the oldest first.
    marks: Vec<Timestamp>,
}

/// One counter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    /// What it said last.
    raw: f64,
    /// What it grew by since it was first seen, resets included.
    total: f64,
    /// The totals at the marks, the oldest first; `None` where it was no number. A counter that there
    /// was not yet was zero.
    marked: Vec<Option<f64>>,
    /// Whether it was no number when it was sampled last.
    #[serde(default)]
    doubtful: bool,
}

/// An instance that is sampled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampled<'a> {
    pub(super) id: &'a str,
    pub(super) digest: Digest,
    /// When it was started, if that is known: its counters were zero then.
    pub(super) born: Option<Timestamp>,
}

impl Samples {
    pub(super) const fn new(target: Target) -> Self {
        Self {
            format: FORMAT,
            target,
            changed: None,
            instances: BTreeMap::new(),
            died: BTreeMap::new(),
        }
    }

    /// When the present shares took effect.
    pub(super) const fn changed(&self) -> Option<Timestamp> {
        self.changed
    }

    /// Takes note that new shares took effect, before anything is sampled under them.
    pub(super) const fn shares_changed(&mut self, at: Option<Timestamp>) {
        self.changed = at;
    }

    /// Forgets what is not among the `living` any more: no window reaches back beyond a change of
    /// shares and its marks.
    pub(super) fn keep(&mut self, living: &BTreeSet<String>) {
        self.instances.retain(|id, _| living.contains(id));
        let changed = self.changed;
        self.died.retain(|_, death| changed.is_none_or(|changed| death.at >= changed));
    }

    /// Takes note that instances ended by themselves.
    pub(super) fn note_deaths(&mut self, deaths: Vec<(String, Death)>) {
        self.died.extend(deaths);
    }

    /// An instance of `digest` that ended by itself in the window, and when.
    pub(super) fn died(&self, digest: Digest, since: Timestamp) -> Option<(&str, Timestamp)> {
        let mut deaths = self.died.iter();
        deaths
            .find(|(_, death)| death.digest == digest && death.at >= since)
            .map(|(id, death)| (id.as_str(), death.at))
    }

    /// Notes what an instance's counters said at `at`, and takes a mark of it if `mark`. Samples
    /// without a version, which no selection picks, are passed over.
    pub(super) fn note(
        &mut self,
        instance: Sampled<'_>,
        at: Timestamp,
        samples: &[Sample],
        mark: bool,
    ) {
        let history = self.history(instance);
        let mut seen = BTreeSet::new();
        for sample in samples.iter().filter(|s| s.labels.contains_key(VERSION_LABEL)) {
            let twice = !seen.insert((&sample.name, &sample.labels));
            history.count(sample, twice);
        }
        if mark {
            history.mark(at);
        }
    }

    /// Whether an instance has a mark at which the window can begin: not if nobody looked under the
    /// present shares before it, nor in it.
    pub(super) fn reaches(&mut self, instance: Sampled<'_>, since: Timestamp) -> bool {
        let changed = self.changed;
        self.history(instance).base(changed, since).is_some()
    }

    fn history(&mut self, instance: Sampled<'_>) -> &mut History {
        let Sampled { id, digest, born } = instance;
        self.instances.entry(id.to_owned()).or_insert_with(|| History {
            digest,
            series: Vec::new(),
            marks: born.into_iter().collect(), // nothing is counted yet, so every total is zero
        })
    }

    /// How much what `selector` picks grew in the window, over all instances of `digest`, also those
    /// that are gone: these up to where they were sampled last.
    ///
    /// # Errors
    /// A counter of which it is not known where it stood when the window began.
    pub(super) fn growth(
        &self,
        digest: Digest,
        version: &str,
        selector: &Selector,
        since: Timestamp,
    ) -> Result<f64, String> {
        let mut grown = 0.0;
        for (id, history) in self.instances.iter().filter(|(_, h)| h.digest == digest) {
            let Some(base) = history.base(self.changed, since) else { continue };
            for series in history.series.iter().filter(|s| s.is_picked(selector, version)) {
                let from = series.at(base, history.marks.len()).ok_or_else(|| {
                    let name = &series.name;
                    format!("instance {id}: `{name}` was no number when the window began")
                })?;
                grown += series.total - from;
            }
        }
        Ok(grown)
    }
}

/// Whether a selector picks a series of this version.
pub(super) fn picks(
    selector: &Selector,
    version: &str,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let has = |label: &str, value: &str| labels.get(label).is_some_and(|v| v == value);
    name == selector.series
        && has(VERSION_LABEL, version)
        && selector.labels.iter().all(|(label, value)| has(label, value))
}

impl History {
    fn count(&mut self, sample: &Sample, twice: bool) {
        let found = self.series.binary_search_by(|series| {
            (&series.name, &series.labels).cmp(&(&sample.name, &sample.labels))
        });
        if let Err(place) = found {
            let (name, labels) = (sample.name.clone(), sample.labels.clone());
            let (raw, total, marked, doubtful) = (0.0, 0.0, Vec::new(), false);
            self.series.insert(place, Series { name, labels, raw, total, marked, doubtful });
        }
        let (Ok(place) | Err(place)) = found;
        let Some(series) = self.series.get_mut(place) else { return };
        series.doubtful = twice || !sample.value.is_finite() || sample.value < 0.0;
        if series.doubtful {
            return;
        }
        let reset = sample.value < series.raw;
        series.total += if reset { sample.value } else { sample.value - series.raw };
        series.raw = sample.value;
    }

    fn mark(&mut self, at: Timestamp) {
        self.marks.push(at);
        for series in &mut self.series {
            series.marked.push((!series.doubtful).then_some(series.total));
        }
        if self.marks.len() > MARKS {
            self.marks.remove(0);
            let left = self.marks.len();
            for series in self.series.iter_mut().filter(|series| series.marked.len() > left) {
                series.marked.remove(0);
            }
        }
    }

    /// The mark at which a window begins: the latest one up to `since` that was taken under the
    /// present shares, else the first one after it.
    fn base(&self, changed: Option<Timestamp>, since: Timestamp) -> Option<usize> {
        let known = |at: &Timestamp| *at <= since && changed.is_some_and(|changed| *at >= changed);
        self.marks.iter().rposition(known).or_else(|| self.marks.iter().position(|at| *at >= since))
    }
}

impl Series {
    fn is_picked(&self, selector: &Selector, version: &str) -> bool {
        picks(selector, version, &self.name, &self.labels)
    }

    /// The total at a mark, of which the instance has `marks`.
    fn at(&self, mark: usize, marks: usize) -> Option<f64> {
        let missed = marks.saturating_sub(self.marked.len());
        mark.checked_sub(missed)
            .and_then(|mark| self.marked.get(mark))
            .copied()
            .unwrap_or(Some(0.0))
    }
}

#[cfg(test)]
mod tests {
    use release_core::time::Span;

    use super::*;
    use crate::exposition::parse;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().plus(Span::secs(seconds))
    }

    fn digest() -> Digest {
        Digest::of(b"x")
    }

    fn samples() -> Samples {
        let id = "x".parse().unwrap();
        Samples::new(Target::new("e".parse().unwrap(), "r".parse().unwrap(), id))
    }

    /// One instance that counts requests, and failed ones.
    fn note(samples: &mut Samples, id: &str, second: u64, counts: [u64; 2], mark: bool) {
        let [bad, good] = counts;
        let text = format!(
            "r{{version=\"1.1.0\",code=\"500\"}} {bad}\nr{{version=\"1.1.0\",code=\"200\"}} {good}\nup 1\n"
        );
        let born = (id != "adopted").then(|| at(0));
        let instance = Sampled { id, digest: digest(), born };
        samples.note(instance, at(second), &parse(text.as_bytes()).unwrap(), mark);
    }

    #[track_caller]
    fn check(samples: &Samples, since: u64, want: [f64; 2]) {
        let of = |digest, version, selector: &Selector| {
            samples.growth(digest, version, selector, at(since)).unwrap()
        };
        let grown = |selector: &Selector| of(digest(), "1.1.0", selector);
        let all = Selector::series("r");
        let got = [grown(&all.clone().label("code", "500")), grown(&all)];
        assert_eq!(got.map(f64::to_bits), want.map(f64::to_bits), "since {since}: {got:?}");
        for (digest, version) in [(digest(), "1.2.0"), (Digest::of(b"y"), "1.1.0")] {
            assert_eq!(of(digest, version, &all).to_bits(), 0);
        }
    }

    #[test]
    fn a_window_has_only_what_was_counted_in_it() {
        let mut all = samples();
        note(&mut all, "a", 10, [50, 50], true);
        note(&mut all, "a", 20, [50, 150], false);
        check(&all, 0, [50.0, 200.0]); // its whole life
        check(&all, 10, [0.0, 100.0]);
        check(&all, 11, [0.0, 0.0]); // no mark, no data
        let mut reaches =
            |id, since| all.reaches(Sampled { id, digest: digest(), born: None }, at(since));
        assert!(reaches("a", 10) && !reaches("a", 11) && !reaches("b", 0));
        note(&mut all, "a", 21, [51, 151], true);
        note(&mut all, "a", 30, [53, 160], false);
        check(&all, 11, [2.0, 11.0]);
        check(&all, 10, [3.0, 113.0]);
    }

    #[test]
    fn a_counter_that_falls_began_anew() {
        let mut all = samples();
        note(&mut all, "a", 10, [50, 50], true);
        note(&mut all, "a", 20, [60, 60], false);
        note(&mut all, "a", 30, [4, 5], false); // reset: what it says now is what it grew by
        check(&all, 10, [14.0, 29.0]);
        note(&mut all, "a", 40, [5, 5], false);
        check(&all, 10, [15.0, 30.0]);
        note(&mut all, "a", 50, [0, 0], true);
        check(&all, 10, [15.0, 30.0]);
        check(&all, 50, [0.0, 0.0]);
    }

    #[test]
    fn instances_that_came_or_went_in_the_window_count_with_what_is_known_of_them() {
        let mut all = samples();
        let living = BTreeSet::from(["a".to_owned()]);
        note(&mut all, "gone", 5, [9, 9], true);
        all.shares_changed(Some(at(10)));
        all.keep(&living);
        note(&mut all, "a", 10, [1, 9], true);
        note(&mut all, "a", 12, [2, 18], false); // and then it dies
        note(&mut all, "adopted", 13, [100, 100], false);
        check(&all, 10, [1.0, 10.0]);
        let born = Sampled { id: "b", digest: digest(), born: Some(at(11)) };
        let text = "r{version=\"1.1.0\",code=\"500\"} 3\n";
        all.note(born, at(14), &parse(text.as_bytes()).unwrap(), false);
        check(&all, 10, [4.0, 13.0]);
    }

    #[test]
    fn a_window_after_new_shares_begins_with_their_latest_mark_and_never_before_them() {
        let mut all = samples();
        note(&mut all, "a", 9, [7, 10], true);
        all.shares_changed(Some(at(10)));
        note(&mut all, "a", 10, [7, 20], true);
        note(&mut all, "a", 20, [8, 30], false);
        check(&all, 11, [1.0, 11.0]);
        check(&all, 10, [1.0, 11.0]);
        check(&all, 19, [1.0, 11.0]); // however long after: a bake that nobody looked at counts
        check(&all, 9, [1.0, 21.0]);
        note(&mut all, "a", 25, [9, 40], true);
        note(&mut all, "a", 30, [9, 50], false);
        check(&all, 24, [2.0, 32.0]);
        check(&all, 26, [0.0, 10.0]);
        all.shares_changed(Some(at(40)));
        let a = || Sampled { id: "a", digest: digest(), born: None };
        assert!(!all.reaches(a(), at(41)), "all marks are of other shares");
        note(&mut all, "a", 42, [9, 60], true);
        assert!(all.reaches(a(), at(41)));
    }

    #[test]
    fn who_ended_by_itself_is_known_for_windows_that_it_ended_in() {
        let mut all = samples();
        all.note_deaths(vec![("a".to_owned(), Death { digest: digest(), at: at(5) })]);
        assert_eq!(all.died(digest(), at(5)), Some(("a", at(5))));
        assert_eq!(all.died(digest(), at(6)), None);
        assert_eq!(all.died(Digest::of(b"y"), at(0)), None);
        all.shares_changed(Some(at(6)));
        all.keep(&BTreeSet::new());
        assert_eq!(all.died(digest(), at(0)), None);
    }

    #[test]
    fn marks_are_bounded_and_a_series_that_came_later_began_at_zero() {
        let mut all = samples();
        for second in 1..=40 {
            note(&mut all, "a", second, [0, second], true);
        }
        let text = "r{version=\"1.1.0\",code=\"404\"} 5\n";
        let instance = Sampled { id: "a", digest: digest(), born: None };
        all.note(instance, at(41), &parse(text.as_bytes()).unwrap(), false);
        check(&all, 39, [0.0, 6.0]);
        check(&all, 0, [0.0, 20.0]); // the oldest of 16 marks is that of second 25
        let stored = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Samples>(&stored).unwrap(), all);
    }

    #[test]
    fn a_counter_that_was_no_number_when_the_window_began_is_in_doubt_and_no_other() {
        for bad in ["NaN", "+Inf", "-1", "2\nr{version=\"1.1.0\"} 3"] {
            let mut all = samples();
            let mut note = |second, value: &str| {
                let text =
                    format!("r{{version=\"1.1.0\"}} {value}\nq{{version=\"1.1.0\"}} {second}\n");
                let instance = Sampled { id: "a", digest: digest(), born: None };
                all.note(instance, at(second), &parse(text.as_bytes()).unwrap(), true);
            };
            note(1, "1");
            note(2, bad);
            note(3, "8");
            note(4, "9");
            let grown =
                |series, since| all.growth(digest(), "1.1.0", &Selector::series(series), at(since));
            assert!(grown("r", 2).unwrap_err().contains("no number"), "{bad}");
            assert_eq!((grown("r", 3), grown("q", 2)), (Ok(1.0), Ok(2.0)), "{bad}");
        }
    }
}
