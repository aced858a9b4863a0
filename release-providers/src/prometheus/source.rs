//! The source itself: what is asked for each metric, and what is made of the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::{Metric, Selector};
use release_core::port::{Clock, EffectCertainty, Measurement};
use release_core::time::Timestamp;

use super::MEASURE;
use super::client::{Client, Found, Row};
use super::promql::{is_label, is_series, one_of, selector};
use super::settings::{PrometheusLogin, PrometheusSettings};
use crate::samples::counts::{
    Fetched, Told, buckets_of, histogram, mean, note_starts, on_track, ratio,
};
use crate::samples::growth::{Instance, Labels, NAME, STARTED, Seen, Series, Starts, Window};
use crate::spi::{MeasureRequest, MetricsSource};
use crate::{Context, Description, EffectClass, ErrorKind, ProviderError};

/// Of so many instances at once it is asked when they were started.
const MOST_BIRTHS: usize = 100;
/// So many scrapes before the window it is looked whether a series was there.
const REACH: u32 = 4;

/// A [`MetricsSource`] that asks a Prometheus: see [the module](super). A clone is the same source.
#[derive(Debug, Clone)]
pub struct PrometheusSource {
    pub(super) inner: Arc<Inner>,
}

/// What calls share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: PrometheusSettings,
    pub(super) client: Client,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a source says of itself, and whether it has a label for tracks.
pub(super) fn description(tracks: bool) -> Description {
    let version = env!("CARGO_PKG_VERSION").parse().unwrap_or(semver::Version::new(0, 0, 0));
    Description::new("prometheus", version, EffectClass::Idempotent)
        .able(|can| {
            can.metrics_source.means = true;
            can.metrics_source.quantiles = true;
            can.metrics_source.queries = true;
            can.metrics_source.ranges = true;
            can.tracks = tracks;
        })
        .with_config_schema(schemars::schema_for!(PrometheusSettings).to_value())
}

impl PrometheusSource {
    /// A source for a Prometheus, which need not run yet. The `login` of the settings is a reference, which
    /// [`PrometheusKind`](super::PrometheusKind) resolves; here it is given itself. Windows end at `clock`'s now, so it
    /// and the server's should agree: a clock that is late leaves out the newest samples, one that is early calls them
    /// old.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense, and for a login that fits into no header.
    pub fn new(
        settings: PrometheusSettings,
        login: Option<PrometheusLogin>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        settings.check()?;
        let client = Client::new(&settings, login, Arc::clone(&clock))?;
        Ok(Self { inner: Arc::new(Inner { settings, client, clock }) })
    }
}

#[async_trait]
impl MetricsSource for PrometheusSource {
    fn describe(&self) -> Description {
        description(self.inner.settings.labels.track.is_some())
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        let inner = &self.inner;
        let look = inner.measure(&request);
        let told = cx.within(&*inner.clock, MEASURE, EffectCertainty::NotApplied, look).await?;
        Ok(told.unwrap_or_else(|reason| {
            let reason = inner.client.repeated(&reason);
            Measurement::NoData { reason }
        }))
    }
}

impl Inner {
    async fn measure(&self, request: &MeasureRequest) -> Result<Told<Measurement>, ProviderError> {
        let (digest, since) = (request.digest, request.since);
        match &request.metric {
            Metric::Ratio { numerator, denominator } => {
                let fetched = self.fetch(request, &[numerator, denominator]).await?;
                Ok(fetched.and_then(|all| ratio(&all, [numerator, denominator], digest, since)))
            }
            Metric::Mean { sum, count } => {
                let fetched = self.fetch(request, &[sum, count]).await?;
                Ok(fetched.and_then(|all| mean(&all, [sum, count], digest, since)))
            }
            Metric::Quantile { histogram: of, .. } => {
                let buckets = buckets_of(of);
                let fetched = self.fetch(request, &[&buckets]).await?;
                Ok(fetched.and_then(|all| histogram(&all, &buckets, digest, since)))
            }
            Metric::Query { query } => self.value(request, query).await,
            Metric::Range { query, step, over } => {
                self.points(request, query, (*step, *over)).await
            }
            other => {
                let text = format!("a {} cannot be measured", other.kind());
                Err(ProviderError::new(ErrorKind::Unsupported, MEASURE, text))
            }
        }
    }

    /// The labels that all series of the version have.
    pub(super) fn labels(&self, request: &MeasureRequest) -> Result<Labels, ProviderError> {
        if request.target.track.is_some() && self.settings.labels.track.is_none() {
            let text = "no label tells tracks from each other; name one in the settings, as `labels.track`";
            return Err(ProviderError::new(ErrorKind::Unsupported, MEASURE, text));
        }
        let of_target = self.settings.labels_of(&request.target);
        let mut labels = of_target.ok_or_else(|| {
            let text =
                "nothing tells the series of this target from others; list it in the settings";
            ProviderError::new(ErrorKind::NotFound, MEASURE, text)
                .with_context("target", &request.target)
        })?;
        labels.insert(self.settings.labels.version.clone(), request.version.to_string());
        if let Some(label) = &self.settings.labels.digest {
            labels.insert(label.clone(), request.digest.to_string());
        }
        Ok(labels)
    }

    /// All samples that these selectors pick, and what is needed to count by them, as of one moment: one query, so that
    /// no part is newer than its whole. What selectors have in common is left to the server, the rest is selected here.
    async fn fetch(
        &self,
        request: &MeasureRequest,
        selectors: &[&Selector],
    ) -> Result<Told<Fetched>, ProviderError> {
        let mut labels = self.labels(request)?;
        for selector in selectors {
            check(selector)?;
        }
        let now = self.clock.now();
        if request.since > now {
            return Ok(Err(format!("the window begins at {}, after now", request.since)));
        }
        let window = self.window(request.since, now);
        for (label, value) in common(selectors) {
            match labels.get(&label) {
                Some(own) if *own != value => {
                    return Ok(Err(format!(
                        "the metric wants `{label}` to be `{value}`, which is `{own}` for this version in this target"
                    )));
                }
                _ => drop(labels.insert(label, value)),
            }
        }
        let names: BTreeSet<&str> = selectors.iter().map(|one| &*one.series).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let query = format!("{}{}", selector(&names, &labels), self.range(&window));
        let series = match self.series(&query, &names, &labels, now).await? {
            Ok(series) if series.is_empty() => {
                self.known(request, &window).await?;
                let (version, of) = (&request.version, on_track(&request.target));
                return Ok(Err(format!(
                    "no sample of `{}` with version `{version}` and the wanted labels{of}",
                    names.join("` or `")
                )));
            }
            Ok(series) => series,
            Err(reason) => return Ok(Err(reason)),
        };
        if window.since != request.since {
            // Its beginning would slide, and its counts with it.
            let (since, longest) = (request.since, self.settings.longest());
            let setting = "longest_window_s";
            return Ok(Err(format!(
                "the window began at {since}, more than {longest} ago; raise `{setting}`, and keep samples for as long"
            )));
        }
        let seen = Seen::of(&series, &window);
        let births = window.unknown_births(&series, &seen);
        let starts = self.starts(&births, &window).await?;
        Ok(starts.map(|starts| Fetched { window, series, seen, starts }))
    }

    /// The window that is asked for, at its longest.
    fn window(&self, since: Timestamp, now: Timestamp) -> Window {
        let longest = i64::try_from(self.settings.longest().as_duration().as_micros());
        let earliest = now.as_micros().saturating_sub(longest.unwrap_or(i64::MAX));
        Window {
            since: since.max(Timestamp::from_micros(earliest)),
            now,
            interval: self.settings.interval(),
            staleness: self.settings.staleness(),
            instance: self.settings.labels.instance.clone(),
        }
    }

    /// The range that a window needs: it, and some scrapes before.
    fn range(&self, window: &Window) -> String {
        let before = self.settings.interval().as_duration() * REACH;
        let range = window.now.since(window.since).as_duration() + before;
        format!("[{}ms]", range.as_millis())
    }

    /// The raw samples of a query for ranges, each of which has these labels and one of these names.
    async fn series(
        &self,
        query: &str,
        names: &[&str],
        labels: &Labels,
        now: Timestamp,
    ) -> Result<Told<Vec<Series>>, ProviderError> {
        let rows = match self.client.query(query, now, self.settings.staleness()).await? {
            Ok(Found::Matrix(rows)) => rows,
            Ok(_) => return Err(self.client.garbage("raw samples were asked for, not this")),
            Err(reason) => return Ok(Err(reason)),
        };
        let series = rows.len();
        let samples: usize = rows.iter().map(|row| row.values.len()).sum();
        let limits = [self.settings.most_series, self.settings.most_samples];
        let [most_series, most_samples] =
            limits.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        if series > most_series || samples > most_samples {
            return Ok(Err(format!(
                "{series} series with {samples} samples are more than {most_series} with {most_samples}; select \
                 less, or allow more"
            )));
        }
        let mut all = BTreeMap::new();
        for Row { metric, values } in rows {
            let wanted = metric.get(NAME).is_some_and(|name| names.contains(&&**name));
            // One that is empty is none.
            let has = |label: &String| metric.get(label).map_or("", String::as_str);
            if !wanted || labels.iter().any(|(label, value)| has(label) != value) {
                return Err(self.client.garbage("the answer has series that were not asked for"));
            }
            let samples: Vec<_> = values.into_iter().map(|pair| pair.0).collect();
            if !samples.is_sorted_by(|a, b| a.at < b.at) {
                return Err(self.client.garbage("the answer has samples that are not in order"));
            }
            if all.insert(metric, samples).is_some() {
                return Err(self.client.garbage("the answer has a series twice"));
            }
        }
        Ok(Ok(all.into_iter().map(|(labels, samples)| Series { labels, samples }).collect()))
    }

    /// Refuses a target of which the server never heard, unless it is listed.
    async fn known(&self, request: &MeasureRequest, window: &Window) -> Result<(), ProviderError> {
        let target = &request.target;
        let Some(mut labels) = self.settings.labels_of(target) else { return Ok(()) };
        if self.settings.listed(target).is_some() {
            return Ok(());
        }
        // On whichever track.
        if let Some(track) = &self.settings.labels.track {
            labels.remove(track);
        }
        let query = selector(&[], &labels);
        match self.client.any(&query, window.earliest(), window.now).await? {
            Ok(false) => {
                let text = "no series of this target at all; mend its name or the labels, or list it in the settings";
                Err(ProviderError::new(ErrorKind::NotFound, MEASURE, text)
                    .with_context("target", target)
                    .with_context("series", query))
            }
            _ => Ok(()),
        }
    }

    /// When the processes of instances were started, as they themselves say.
    async fn starts(
        &self,
        births: &BTreeSet<Instance>,
        window: &Window,
    ) -> Result<Told<Starts>, ProviderError> {
        let mut starts = Starts::new();
        if births.is_empty() || births.len() > MOST_BIRTHS {
            return Ok(Ok(starts));
        }
        let labels = self.settings.labels.instance.iter().enumerate();
        let matchers = labels.map(|(n, label)| {
            let values: BTreeSet<&String> = births.iter().filter_map(|born| born.get(n)).collect();
            one_of(label, values.into_iter())
        });
        let matchers: Vec<String> = matchers.collect();
        let range = self.range(window);
        let query = format!("{{{NAME}=\"{STARTED}\",{}}}{range}", matchers.join(","));
        let series = self.series(&query, &[STARTED], &Labels::new(), window.now).await?;
        for series in series.unwrap_or_default() {
            note_starts(&mut starts, &series, window);
        }
        Ok(Ok(starts))
    }
}

fn check(selector: &Selector) -> Result<(), ProviderError> {
    let bad = selector.labels.keys().find(|label| !is_label(label));
    let bad = if is_series(&selector.series) { bad } else { Some(&selector.series) };
    let Some(bad) = bad else { return Ok(()) };
    let text =
        "the metric's series and labels must be of letters, digits and `_`, with no digit in front";
    Err(ProviderError::new(ErrorKind::Invalid, MEASURE, text)
        .with_context("name", bad.chars().take(80).collect::<String>().escape_default()))
}

/// The labels on whose values all selectors agree.
fn common(selectors: &[&Selector]) -> Labels {
    let Some((first, others)) = selectors.split_first() else { return Labels::new() };
    let shared = |(label, value): &(&String, &String)| {
        others.iter().all(|o| o.labels.get(*label) == Some(value))
    };
    // One that must not be there is none of those that an answer has.
    let pairs = first.labels.iter().filter(shared).filter(|(_, value)| !value.is_empty());
    pairs.map(|(label, value)| (label.clone(), value.clone())).collect()
}
