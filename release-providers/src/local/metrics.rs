//! Measures: scrapes every instance of a version, and sums what the metric's counters grew by in the
//! window that was asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use release_core::model::{Digest, Finite, Metric, Selector};
use release_core::port::{Bucket, EffectCertainty, Measurement};
use release_core::time::Timestamp;

use super::LocalPlatform;
use super::files::write_record;
use super::place::Place;
use super::platform::{Inner, description, sooner};
use super::samples::{Sampled, Samples, picks};
use crate::exposition::{Sample, parse};
use crate::http;
use crate::spi::{MeasureRequest, MetricsSource};
use crate::{Context, Description, ErrorKind, ProviderError};

const MEASURE: &str = "metrics.measure";
/// The most that one scrape may hold.
const SCRAPE_BYTES: usize = 4 * 1024 * 1024;

#[async_trait]
impl MetricsSource for LocalPlatform {
    fn describe(&self) -> Description {
        description()
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        let inner = self.inner();
        let look = async {
            let wanted = Wanted::of(&request.metric)?;
            let place = inner.known_place(MEASURE, &request.target)?;
            let window = Window {
                digest: request.digest,
                version: request.version.to_string(),
                since: request.since,
            };
            let found = inner.measure(&place, &window, &wanted, cx.deadline).await?;
            Ok(found.unwrap_or_else(|reason| Measurement::NoData { reason }))
        };
        inner.bounded(MEASURE, cx, EffectCertainty::NotApplied, look).await
    }
}

/// What is to be measured, of what a scrape can tell.
#[derive(Debug)]
enum Wanted {
    /// How much two counters grew by, of which the second is the whole.
    Parts([Selector; 2]),
    /// How much the buckets of a histogram grew by.
    Buckets(Selector),
}

impl Wanted {
    fn of(metric: &Metric) -> Result<Self, ProviderError> {
        match metric {
            Metric::Ratio { numerator, denominator } => {
                Ok(Self::Parts([numerator.clone(), denominator.clone()]))
            }
            Metric::Mean { sum, count } => Ok(Self::Parts([sum.clone(), count.clone()])),
            Metric::Quantile { histogram, .. } => {
                let series = format!("{}_bucket", histogram.series);
                Ok(Self::Buckets(Selector { series, labels: histogram.labels.clone() }))
            }
            _ => {
                let text = "instances that are scraped answer no queries; use a ratio, a mean or a quantile";
                Err(ProviderError::new(ErrorKind::Unsupported, MEASURE, text))
            }
        }
    }

    /// What has to be there: some part, and the whole.
    fn selectors(&self) -> [Selector; 2] {
        match self {
            Self::Parts(both) => both.clone(),
            Self::Buckets(series) => {
                let all = series.clone().label(LE, "+Inf");
                [all.clone(), all]
            }
        }
    }
}

/// The label of a histogram's buckets that holds their bound.
const LE: &str = "le";

/// What an instance answered when it was scraped.
#[derive(Debug)]
struct Scrape {
    id: String,
    digest: Digest,
    born: Option<Timestamp>,
    samples: Result<Vec<Sample>, String>,
}

/// Which samples count: of what, and from when on.
#[derive(Debug)]
struct Window {
    digest: Digest,
    version: String,
    since: Timestamp,
}

impl Scrape {
    fn sampled(&self) -> Sampled<'_> {
        Sampled { id: &self.id, digest: self.digest, born: self.born }
    }
}

impl Inner {
    /// Samples all instances of a target, for windows that begin with its present shares. What cannot
    /// be sampled now has no data in them.
    pub(super) async fn mark(self: &Arc<Self>, place: &Place) {
        let work = async {
            let mut samples = place.samples.lock().await;
            let deadline = self.config.clock.now().plus(self.config.probe_timeout);
            let scrapes = scrape(self, place, None, deadline).await;
            let living = scrapes.iter().map(|scrape| scrape.id.clone()).collect();
            samples.shares_changed(place.changed());
            samples.note_deaths(place.take_deaths());
            samples.keep(&living);
            let now = self.config.clock.now();
            for scrape in &scrapes {
                match &scrape.samples {
                    Ok(found) => samples.note(scrape.sampled(), now, found, true),
                    Err(problem) => {
                        tracing::debug!(instance = scrape.id, problem, "not sampled");
                    }
                }
            }
            self.write_samples(&samples).await
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            written = work => if let Err(error) = written {
                let target = &place.target;
                tracing::warn!(%error, %target, "a restart will not know where this window began");
            },
        }
    }

    async fn write_samples(self: &Arc<Self>, samples: &Samples) -> Result<(), ProviderError> {
        let (path, samples) = (self.paths.samples_of(&samples.target), samples.clone());
        self.blocking(MEASURE, move || write_record(MEASURE, &path, &samples)).await
    }

    /// Samples a version, and says what both selections grew by in the window. Waiting for a turn at
    /// the samples does not count against the time that a scrape may take.
    async fn measure(
        self: &Arc<Self>,
        place: &Place,
        window: &Window,
        wanted: &Wanted,
        deadline: Timestamp,
    ) -> Result<Result<Measurement, String>, ProviderError> {
        let mut samples = place.samples.lock().await;
        let deadline = sooner(&self.config, self.config.probe_timeout, deadline);
        samples.shares_changed(place.changed());
        let scrapes = scrape(self, place, Some(window.digest), deadline).await;
        // After the scrapes: who was not there any more for them has ended before.
        let deaths = place.take_deaths();
        let news = !deaths.is_empty();
        samples.note_deaths(deaths);
        let (fresh, found) = growth(&mut samples, scrapes, window, wanted, self.config.clock.now());
        if fresh || news {
            self.write_samples(&samples).await?;
        }
        Ok(found)
    }
}

/// Scrapes all instances of a target, or those of one version.
async fn scrape(
    inner: &Inner,
    place: &Place,
    digest: Option<Digest>,
    deadline: Timestamp,
) -> Vec<Scrape> {
    let config = &inner.config;
    let service = config.services.get(&place.target.service).cloned().unwrap_or_default();
    let deployments = place.deployments().into_iter();
    let wanted = deployments.filter(|d| digest.is_none_or(|digest| d.digest == digest));
    let path = &service.metrics_path;
    join_all(wanted.flat_map(|deployment| deployment.serving()).map(|instance| async move {
        let address = instance.backend.address;
        let answer = http::get(address, path, SCRAPE_BYTES, &config.clock, deadline).await;
        let samples = answer.and_then(|answer| {
            if !answer.status.is_success() {
                return Err(format!("{address}{path} answered {}", answer.status));
            }
            parse(&answer.body).map_err(|e| format!("{address}{path}: {e}"))
        });
        let (id, digest) = (instance.backend.id.clone(), instance.backend.pool.digest);
        Scrape { id, digest, born: instance.born, samples }
    }))
    .await
}

/// Notes the scrapes of all instances of a version. Says what both selections, of which the second is
/// the whole, grew by in the window, or why that would not be a measurement; and whether some
/// instance's window only begins now.
fn growth(
    samples: &mut Samples,
    scrapes: Vec<Scrape>,
    window: &Window,
    wanted: &Wanted,
    now: Timestamp,
) -> (bool, Result<Measurement, String>) {
    let mut late = None;
    for scrape in &scrapes {
        let Ok(found) = &scrape.samples else { continue };
        let reaches = samples.reaches(scrape.sampled(), window.since);
        samples.note(scrape.sampled(), now, found, !reaches);
        if !reaches {
            late.get_or_insert_with(|| scrape.id.clone());
        }
    }
    let fresh = late.is_some();
    let grown = || {
        if let Some((id, at)) = samples.died(window.digest, window.since) {
            return Err(format!(
                "instance {id} ended by itself at {at}: what it last saw is unknown"
            ));
        }
        let [above, below] = &wanted.selectors();
        let bounds = bounds(&scrapes, &window.version, wanted)?;
        usable(scrapes, &window.version, [above, below])?;
        let Window { digest, version, since } = window;
        if let Some(id) = late {
            return Err(format!("instance {id}: no sample since {since} before this one"));
        }
        let finite =
            |sum| Finite::new(sum).map_err(|_| "the sum is not a finite number".to_owned());
        let grown =
            |selector: &Selector| finite(samples.growth(*digest, version, selector, *since)?);
        let all = grown(below)?;
        if all <= Finite::ZERO {
            return Err(format!("`{}` has not grown since {since}", below.series));
        }
        let series = match wanted {
            Wanted::Parts(_) => {
                let (digest, numerator) = (*digest, grown(above)?);
                return Ok(Measurement::Ratio { digest, numerator, denominator: all });
            }
            Wanted::Buckets(series) => series,
        };
        let bucket = |(bound, text): (Finite, String)| {
            let count = grown(&series.clone().label(LE, text))?;
            Ok(Bucket { at_most: Some(bound), count })
        };
        let mut buckets = bounds.into_iter().map(bucket).collect::<Result<Vec<_>, String>>()?;
        buckets.push(Bucket { at_most: None, count: all });
        Ok(Measurement::Histogram { digest: *digest, buckets })
    };
    (fresh, grown())
}

/// The bounds of a histogram's buckets, growing, as numbers and as they are written. All instances have to have the same:
/// what one did not count by a bound is not known to lie above it.
fn bounds(
    scrapes: &[Scrape],
    version: &str,
    wanted: &Wanted,
) -> Result<Vec<(Finite, String)>, String> {
    let Wanted::Buckets(series) = wanted else { return Ok(Vec::new()) };
    let mut found: Option<(Vec<(Finite, String)>, &str)> = None;
    for Scrape { id, samples, .. } in scrapes {
        let Ok(samples) = samples else { continue };
        let picked = samples.iter().filter(|s| picks(series, version, &s.name, &s.labels));
        let written: BTreeSet<&String> = picked.filter_map(|s| s.labels.get(LE)).collect();
        let mut own = Vec::new();
        for text in written.into_iter().filter(|text| *text != "+Inf") {
            let bound = text.parse().ok().and_then(|bound| Finite::new(bound).ok());
            let bound =
                bound.ok_or_else(|| format!("instance {id}: `{text}` is no bound of a bucket"))?;
            own.push((bound, text.clone()));
        }
        own.sort_by(|(a, _), (b, _)| a.get().total_cmp(&b.get()));
        match &found {
            Some((others, other)) if *others != own => {
                return Err(format!("instances {other} and {id} have different buckets"));
            }
            Some(_) => {}
            None => found = Some((own, id)),
        }
    }
    Ok(found.map(|(bounds, _)| bounds).unwrap_or_default())
}

/// Whether present samples are fit for a measurement: there are some, of every instance, of what is
/// asked for, and they are counts.
fn usable(scrapes: Vec<Scrape>, version: &str, selectors: [&Selector; 2]) -> Result<(), String> {
    let [numerator, denominator] = selectors;
    if scrapes.is_empty() {
        return Err("no instance of this version runs here".to_owned());
    }
    let (mut found, mut counted) = (false, false);
    let mut unseen: BTreeSet<&str> = numerator.labels.keys().map(String::as_str).collect();
    for Scrape { id: instance, samples, .. } in scrapes {
        let name = |problem| format!("instance {instance}: {problem}");
        let samples = samples.map_err(name)?;
        let series = Selector::series(&numerator.series);
        counted |= select(&samples, version, &series).map_err(name)?;
        for sample in samples.iter().filter(|s| picks(&series, version, &s.name, &s.labels)) {
            unseen.retain(|label| !sample.labels.contains_key(*label));
        }
        select(&samples, version, numerator).map_err(name)?;
        found |= select(&samples, version, denominator).map_err(name)?;
    }
    if !found {
        let series = &denominator.series;
        return Err(format!(
            "no instance has a sample of `{series}` with the wanted labels and version `{version}`"
        ));
    }
    // No request with this value of a label yet is a zero; no such series or no such label at all is a
    // mistake or a fault.
    if !counted {
        let series = &numerator.series;
        return Err(format!("no instance has a sample of `{series}` with version `{version}`"));
    }
    if let Some(label) = unseen.first() {
        let series = &numerator.series;
        return Err(format!(
            "no sample of `{series}` with version `{version}` has a label `{label}`; is it mistyped?"
        ));
    }
    Ok(())
}

/// Whether a selector picks any of one instance's samples of one version.
fn select(samples: &[Sample], version: &str, selector: &Selector) -> Result<bool, String> {
    let (series, mut seen) = (&selector.series, BTreeSet::new());
    for Sample { name, labels, value, .. } in samples {
        if !picks(selector, version, name, labels) {
            continue;
        }
        if !value.is_finite() {
            return Err(format!("a sample of `{series}` is {value}"));
        }
        if *value < 0.0 {
            return Err(format!("a sample of `{series}` is negative, which no count is"));
        }
        if !seen.insert(labels) {
            return Err(format!("a sample of `{series}` appears twice"));
        }
    }
    Ok(!seen.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(id: usize, text: &str) -> Scrape {
        let samples = parse(text.as_bytes()).map_err(|e| e.to_string());
        let (digest, born) = (Digest::of(b"x"), Some(Timestamp::default()));
        Scrape { id: format!("api-{id}"), digest, born, samples }
    }

    /// Over the whole life of one instance a text.
    fn ratio(texts: &[&str], numerator: &Selector) -> Result<[Finite; 2], String> {
        let wanted = Wanted::Parts([numerator.clone(), Selector::series("r")]);
        match over_life(texts, &wanted)? {
            Measurement::Ratio { numerator, denominator, .. } => Ok([numerator, denominator]),
            other => panic!("{other:?}"),
        }
    }

    fn over_life(texts: &[&str], wanted: &Wanted) -> Result<Measurement, String> {
        let id = "x".parse().unwrap();
        let target =
            release_core::model::Target::new("e".parse().unwrap(), "r".parse().unwrap(), id);
        let scrapes = texts.iter().zip(1..).map(|(text, id)| scrape(id, text)).collect();
        let (digest, version, since) = (Digest::of(b"x"), "1.1.0".to_owned(), Timestamp::default());
        let window = Window { digest, version, since };
        growth(&mut Samples::new(target), scrapes, &window, wanted, since).1
    }

    #[track_caller]
    fn check(texts: &[&str], want: Result<(f64, f64), &str>) {
        let bad = Selector::series("r").label("code", "500");
        match (ratio(texts, &bad), want) {
            (Ok(got), Ok((above, below))) => {
                assert_eq!(got, [above, below].map(|n| Finite::new(n).unwrap()));
            }
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
            (got, want) => panic!("{texts:?}: got {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn samples_are_summed_over_instances_and_only_of_the_version() {
        let one = "r{version=\"1.1.0\",code=\"500\"} 2\nr{version=\"1.1.0\",code=\"200\"} 8\n\
                   r{version=\"1.0.0\",code=\"500\"} 50\nq{version=\"1.1.0\",code=\"500\"} NaN\n";
        let two = "r{version=\"1.1.0\",code=\"200\"} 5\n";
        check(&[one], Ok((2.0, 10.0)));
        check(&[one, two], Ok((2.0, 15.0)));
        check(&[two, ""], Ok((0.0, 5.0))); // one instance has counted nothing yet
    }

    #[test]
    fn a_numerator_that_nobody_counts_is_no_data() {
        let mistyped = Selector::series("requests_failed");
        let problem = ratio(&["r{version=\"1.1.0\"} 5\n"], &mistyped).unwrap_err();
        assert!(problem.contains("`requests_failed`"), "{problem}");
    }

    #[test]
    fn a_label_that_no_sample_has_is_no_data_and_named() {
        let one = "r{version=\"1.1.0\",code=\"200\"} 5\n";
        let mistyped = |label| ratio(&[one, one], &Selector::series("r").label(label, "500"));
        let problem = mistyped("cod").unwrap_err();
        assert!(problem.contains("`r`") && problem.contains("label `cod`"), "{problem}");
        // The label is there, and nothing was counted with this value of it yet.
        assert!(mistyped("code").is_ok());
        // Neither another version's samples nor another series' can vouch for it.
        let others = "r{version=\"1.1.0\"} 5\nr{version=\"1.0.0\",code=\"500\"} 5\n\
                      q{version=\"1.1.0\",code=\"500\"} 5\n";
        check(&[others], Err("label `code`"));
        // Some instance may not have counted anything by the label yet.
        check(&["r{version=\"1.1.0\"} 5\n", one], Ok((0.0, 10.0)));
    }

    #[test]
    fn buckets_are_summed_over_instances_that_have_the_same() {
        let line = |bound: &str, count: u32| {
            format!("took_bucket{{version=\"1.1.0\",le=\"{bound}\"}} {count}\n")
        };
        let instance = |counts: [u32; 3]| -> String {
            ["0.1", "2.5", "+Inf"]
                .iter()
                .zip(counts)
                .map(|(bound, count)| line(bound, count))
                .collect()
        };
        let wanted = Wanted::Buckets(Selector::series("took_bucket"));
        let (one, two) = (instance([1, 5, 6]), instance([2, 2, 4]));
        let Measurement::Histogram { buckets, .. } = over_life(&[&one, &two], &wanted).unwrap()
        else {
            panic!("no histogram");
        };
        let counts: Vec<f64> = buckets.iter().map(|bucket| bucket.count.get()).collect();
        assert_eq!(counts, [3.0, 7.0, 10.0]);
        assert_eq!(buckets[1].at_most.map(Finite::get), Some(2.5));
        assert_eq!(buckets[2].at_most, None);
        let problem = |texts: &[&str]| over_life(texts, &wanted).unwrap_err();
        assert!(problem(&[&one, &line("+Inf", 3)]).contains("different buckets"));
        assert!(problem(&[&(line("half", 3) + &line("+Inf", 3))]).contains("`half` is no bound"));
        assert!(problem(&[&line("0.1", 3)]).contains("no instance has a sample"));
        assert!(problem(&[&instance([0, 0, 0])]).contains("has not grown"));
    }

    #[test]
    fn anything_doubtful_is_no_data() {
        let good = "r{version=\"1.1.0\",code=\"200\"} 5\n";
        check(&[], Err("no instance"));
        check(&[""], Err("no instance has a sample"));
        check(&["r{code=\"200\"} 5\n"], Err("no instance has a sample"));
        check(&["r{version=\"1.0.0\",code=\"200\"} 5\n"], Err("version `1.1.0`"));
        check(&["r{version=\"1.1.0\",code=\"500\"} 5"], Err("line 1"));
        check(&[good, "garbage\n"], Err("api-2: line 1"));
        check(&[good, "r{version=\"1.1.0\"} NaN\n"], Err("NaN"));
        check(&["r{version=\"1.1.0\"} +Inf\n"], Err("inf"));
        check(&["r{version=\"1.1.0\"} -1\n"], Err("negative"));
        check(&["r{version=\"1.1.0\",code=\"200\"} 0\n"], Err("has not grown"));
        check(&[&format!("{good}{good}")], Err("twice"));
        let huge = "r{version=\"1.1.0\"} 1e308\nr{version=\"1.1.0\",code=\"200\"} 1e308\n";
        check(&[huge], Err("finite"));
    }
}
