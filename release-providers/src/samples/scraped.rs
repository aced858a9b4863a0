//! A source that scrapes text endpoints: what it knows, and when it looks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::future::join_all;
use release_core::model::Target;
use release_core::port::{Clock, EffectCertainty, Measurement};
use release_core::time::Timestamp;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::endpoint::{Endpoint, Failure, Scrape};
use super::fact::Dropped;
use super::read::{INSTANCE, is_of_version, supported};
use super::settings::ScrapeSettings;
use super::tape::Tape;
use super::{MEASURE, described, invalid};
use crate::spi::{MeasureRequest, MetricsSource};
use crate::sync::lock;
use crate::{Context, Description, ErrorKind, ProviderError};

/// A [`MetricsSource`] that scrapes text endpoints itself: see [the module](super). It looks at every interval, in a task
/// that ends when the last clone is dropped, and once more at each measurement.
///
/// ```
/// use std::sync::Arc;
/// use release_core::model::Target;
/// use release_providers::samples::{ScrapeSettings, ScrapedSource};
/// use release_providers::{ProviderError, SystemClock};
///
/// # async fn example(target: Target) -> Result<(), ProviderError> {
/// let settings = ScrapeSettings::new()
///     .target(target, ["http://10.0.0.7:8080/metrics", "http://10.0.0.8:8080/metrics"]);
/// let source = ScrapedSource::new(settings, Arc::new(SystemClock::new()))?;
/// # let _ = source; Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ScrapedSource {
    inner: Arc<Inner>,
    /// Ends the looks when the last clone is dropped.
    _looks: Arc<DropGuard>,
}

#[derive(Debug)]
struct Inner {
    settings: ScrapeSettings,
    places: BTreeMap<Target, Vec<Place>>,
    tape: Mutex<Tape>,
    /// How many asked for a scrape until now: one that begins later than a call is good enough for it.
    asked: AtomicU64,
    clock: Arc<dyn Clock>,
}

/// An endpoint of a target, and its last scrape: one at a time, so that samples come in the order in which they were read.
#[derive(Debug)]
struct Place {
    endpoint: Endpoint,
    last: tokio::sync::Mutex<Last>,
}

/// What came of the last scrape.
#[derive(Debug, Default)]
struct Last {
    /// How many had asked when it began.
    begun: u64,
    /// When its samples were read.
    at: Option<Timestamp>,
    failed: Option<Failure>,
}

/// What a source says of itself.
pub(super) fn description() -> Description {
    described("text_endpoint").with_config_schema(schemars::schema_for!(ScrapeSettings).to_value())
}

impl ScrapedSource {
    /// A source that begins to look at once; the endpoints need not be there yet. `clock` says when samples were read, and
    /// when to look again.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense, and outside of a tokio runtime.
    pub fn new(settings: ScrapeSettings, clock: Arc<dyn Clock>) -> Result<Self, ProviderError> {
        settings.check()?;
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| invalid("it looks in the background; open it within a tokio runtime"))?;
        let mut places = BTreeMap::new();
        for listed in &settings.targets {
            let read = |url: &String| {
                let endpoint = Endpoint::read(url).map_err(invalid)?;
                Ok(Place { endpoint, last: tokio::sync::Mutex::default() })
            };
            let all =
                listed.endpoints.iter().map(read).collect::<Result<Vec<_>, ProviderError>>()?;
            places.insert(listed.target.clone(), all);
        }
        let (tape, asked) = (Mutex::new(Tape::new(settings.tape())), AtomicU64::new(0));
        let stop = CancellationToken::new();
        let inner = Arc::new(Inner { settings, places, tape, asked, clock });
        let (looks, over) = (Arc::clone(&inner), stop.clone());
        runtime.spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = looks.look_again_and_again() => {}
            }
        });
        Ok(Self { inner, _looks: Arc::new(stop.drop_guard()) })
    }

    /// What had to be let go until now.
    pub fn dropped(&self) -> Dropped {
        lock(&self.inner.tape).dropped()
    }
}

#[async_trait]
impl MetricsSource for ScrapedSource {
    fn describe(&self) -> Description {
        description()
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        let inner = &self.inner;
        let look = inner.measure(&request);
        cx.within(&*inner.clock, MEASURE, EffectCertainty::NotApplied, look).await
    }
}

impl Inner {
    /// Looks at all endpoints at every interval.
    async fn look_again_and_again(&self) {
        loop {
            let next = self.clock.now().plus(self.settings.interval());
            join_all(self.places.iter().map(|(target, places)| self.look(target, places))).await;
            lock(&self.tape).prune(self.clock.now());
            self.clock.sleep_until(next).await;
        }
    }

    async fn measure(&self, request: &MeasureRequest) -> Result<Measurement, ProviderError> {
        let (listed, places) = self.listed(&request.target).ok_or_else(|| {
            let text = "nothing is scraped of this target; list its endpoints in the settings";
            ProviderError::new(ErrorKind::NotFound, MEASURE, text)
                .with_context("target", &request.target)
        })?;
        supported(&request.metric)?;
        let looked = self.look(listed, places).await;
        let newest = looked.iter().filter_map(|one| one.at).max();
        let now = newest.map_or(self.clock.now(), |newest| newest.max(self.clock.now()));
        let tape = lock(&self.tape);
        if looked.iter().all(|one| one.failed.is_some()) {
            let failures = looked.into_iter().filter_map(|one| one.failed);
            return Failure::of_all(failures);
        }
        for one in &looked {
            let Some(failure) = &one.failed else { continue };
            let of_it = |labels: &super::growth::Labels| {
                is_of_version(labels, request) && labels.get(INSTANCE) == Some(&one.instance)
            };
            let last = tape.newest(now, of_it);
            // Who was of this version a moment ago may be the very one that fails.
            if last.is_some_and(|last| now.since(last) <= tape.settings.staleness) {
                let (instance, version) = (&one.instance, &request.version);
                let reason = format!("instance {instance} of version `{version}`: {failure}");
                return Ok(Measurement::NoData { reason });
            }
        }
        Ok(tape.told(request, now)?.unwrap_or_else(|reason| Measurement::NoData { reason }))
    }

    /// What is scraped of a target; of a track that is not listed, what is scraped of its whole.
    fn listed(&self, target: &Target) -> Option<(&Target, &Vec<Place>)> {
        let of_whole = || self.places.get_key_value(&Target { track: None, ..target.clone() });
        self.places.get_key_value(target).or_else(of_whole)
    }

    /// Looks at all endpoints of a target at once, or waits for looks that began after this was asked.
    async fn look(&self, target: &Target, places: &[Place]) -> Vec<Looked> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        join_all(places.iter().map(|place| self.look_at(target, place, asked))).await
    }

    async fn look_at(&self, target: &Target, place: &Place, asked: u64) -> Looked {
        let mut last = place.last.lock().await;
        if last.begun < asked {
            let begun = self.asked.load(Ordering::SeqCst);
            let scraped = place.endpoint.scrape(&self.settings, &self.clock).await;
            last.begun = begun;
            last.failed = match scraped {
                Ok(scrape) => {
                    last.at = Some(self.note(target, place, &scrape, last.at));
                    None
                }
                Err(failure) => Some(failure),
            };
        }
        let instance = place.endpoint.instance.clone();
        Looked { instance, at: last.at, failed: last.failed.clone() }
    }

    /// Puts what was scraped on the tape, as of now, and later than what was scraped before.
    fn note(
        &self,
        target: &Target,
        place: &Place,
        scrape: &Scrape,
        before: Option<Timestamp>,
    ) -> Timestamp {
        let now = self.clock.now();
        let later = |before: Timestamp| Timestamp::from_micros(before.as_micros() + 1);
        let at = before.map_or(now, |before| now.max(later(before)));
        let instance = &place.endpoint.instance;
        let mut tape = lock(&self.tape);
        for sample in scrape.samples(target, instance) {
            let (id, of, value) = (&sample.id, sample.at.unwrap_or(at), sample.value);
            if let Some(remark) = tape.put(at, id, of, value).remark() {
                tracing::warn!(%id, at = %of, value, remark, "not an ordinary sample");
            }
        }
        at
    }
}

/// What came of a look at one endpoint.
#[derive(Debug)]
struct Looked {
    instance: String,
    at: Option<Timestamp>,
    failed: Option<Failure>,
}
