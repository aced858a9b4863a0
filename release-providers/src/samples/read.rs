//! Measures versions by what is on a tape. Pure.

use release_core::model::{Metric, Selector, Target};
use release_core::port::Measurement;
use release_core::time::Timestamp;

use super::MEASURE;
use super::counts::{Fetched, Told, buckets_of, histogram, mean, note_starts, on_track, ratio};
use super::fact::{is_on, target_labels};
use super::growth::{Labels, NAME, STARTED, Seen, Series, Starts, Window};
use super::tape::Tape;
use crate::spi::MeasureRequest;
use crate::{ErrorKind, ProviderError};

/// The label of the version.
pub(super) const VERSION: &str = "version";
/// The label of the digest, where series have one.
const DIGEST: &str = "digest";
/// The label that tells one instance of a version from the others.
pub(super) const INSTANCE: &str = "instance";

impl Tape {
    /// Measures a version by what is on the tape `now`: ratios, means and histograms, by the rules of
    /// [the module](super).
    ///
    /// # Errors
    /// `NotFound` for a target of which nothing is on the tape; `Unsupported` for a [query](Metric::Query).
    pub fn measure(
        &self,
        request: &MeasureRequest,
        now: Timestamp,
    ) -> Result<Measurement, ProviderError> {
        let target = &request.target;
        let measured = self.told(request, now)?;
        if !self.has(|labels| is_in(labels, target)) {
            let text = "no series of this target at all; mend its name or the labels of the samples, or tell some";
            return Err(ProviderError::new(ErrorKind::NotFound, MEASURE, text)
                .with_context("target", target));
        }
        Ok(measured.unwrap_or_else(|reason| Measurement::NoData { reason }))
    }

    /// What a version's counters grew by, or why that is not known.
    ///
    /// # Errors
    /// `Unsupported`.
    pub(super) fn told(
        &self,
        request: &MeasureRequest,
        now: Timestamp,
    ) -> Result<Told<Measurement>, ProviderError> {
        let (digest, since) = (request.digest, request.since);
        Ok(match &request.metric {
            Metric::Ratio { numerator, denominator } => {
                let both = [numerator, denominator];
                self.fetch(request, now, &both).and_then(|all| ratio(&all, both, digest, since))
            }
            Metric::Mean { sum, count } => {
                let both = [sum, count];
                self.fetch(request, now, &both).and_then(|all| mean(&all, both, digest, since))
            }
            Metric::Quantile { histogram: of, .. } => {
                let buckets = buckets_of(of);
                let all = self.fetch(request, now, &[&buckets]);
                all.and_then(|all| histogram(&all, &buckets, digest, since))
            }
            other => return Err(unsupported(other)),
        })
    }

    fn fetch(
        &self,
        request: &MeasureRequest,
        now: Timestamp,
        selectors: &[&Selector],
    ) -> Told<Fetched> {
        if request.since > now {
            return Err(format!("the window begins at {}, after now", request.since));
        }
        let window = self.window(request.since, now);
        if let Some(at) = self.dropped.series_refused.filter(|at| *at >= window.earliest()) {
            let most = self.settings.most_series;
            return Err(format!(
                "at {at} there were more than {most} series, and some were refused; tell less, or allow more"
            ));
        }
        let asked_for = |labels: &Labels| {
            let name = labels.get(NAME);
            selectors.iter().any(|one| name == Some(&one.series))
        };
        let wanted = |labels: &Labels| asked_for(labels) && is_of_version(labels, request);
        let series: Vec<Series> = self
            .read(now, wanted)
            .map(|(labels, samples)| Series { labels: labels.clone(), samples })
            .collect();
        if series.is_empty() {
            let names: Vec<&str> = selectors.iter().map(|one| &*one.series).collect();
            let (names, version) = (names.join("` or `"), &request.version);
            let on = on_track(&request.target);
            return Err(format!("no sample of `{names}` with version `{version}`{on}"));
        }
        let seen = Seen::of(&series, &window);
        let births = window.unknown_births(&series, &seen);
        let born = |labels: &Labels| {
            labels.get(NAME).is_some_and(|name| name == STARTED)
                && is_of(labels, &request.target)
                && window.instance_of(labels).is_some_and(|instance| births.contains(&instance))
        };
        let mut starts = Starts::new();
        for (labels, samples) in self.read(now, born) {
            note_starts(&mut starts, &Series { labels: labels.clone(), samples }, &window);
        }
        Ok(Fetched { window, series, seen, starts })
    }

    fn window(&self, since: Timestamp, now: Timestamp) -> Window {
        let longest = i64::try_from(self.settings.retention.as_duration().as_micros());
        let earliest = now.as_micros().saturating_sub(longest.unwrap_or(i64::MAX));
        let since = since.max(Timestamp::from_micros(earliest));
        Window {
            since: self.dropped.before.map_or(since, |before| before.max(since)),
            now,
            interval: self.settings.interval,
            staleness: self.settings.staleness,
            instance: vec![INSTANCE.to_owned()],
        }
    }
}

/// Refuses metrics that samples cannot answer.
pub(super) fn supported(metric: &Metric) -> Result<(), ProviderError> {
    match metric {
        Metric::Ratio { .. } | Metric::Mean { .. } | Metric::Quantile { .. } => Ok(()),
        other => Err(unsupported(other)),
    }
}

fn unsupported(metric: &Metric) -> ProviderError {
    let text = format!("samples answer no {}; use a ratio, a mean or a quantile", metric.kind());
    ProviderError::new(ErrorKind::Unsupported, MEASURE, text)
}

/// Whether a series is of a target, on whichever track.
fn is_in(labels: &Labels, target: &Target) -> bool {
    target_labels(target).iter().all(|(label, value)| labels.get(*label) == Some(value))
}

/// Whether a series is of a target, and of no other track of it.
fn is_of(labels: &Labels, target: &Target) -> bool {
    is_in(labels, target) && is_on(labels, target)
}

/// Whether a series is of a version in a target: of its digest too, where it says one.
pub(super) fn is_of_version(labels: &Labels, request: &MeasureRequest) -> bool {
    let digest = || labels.get(DIGEST).is_none_or(|digest| *digest == request.digest.to_string());
    let version = labels.get(VERSION).is_some_and(|v| *v == request.version.to_string());
    version && is_of(labels, &request.target) && digest()
}
