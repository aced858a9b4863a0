//! The source itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::Bytes;
use release_core::model::{Finite, Metric, Target};
use release_core::port::{Clock, EffectCertainty, Measurement};

use super::answer::{Head, head, number};
use super::ask::Ask;
use super::settings::{WebSecrets, WebSettings, invalid};
use super::{MEASURE, Told};
use crate::spi::{MeasureRequest, MetricsSource};
use crate::webhook::caller::{Caller, caller, causes};
use crate::{Context, Description, EffectClass, ErrorKind, ProviderError};

/// A [`MetricsSource`] that asks web services: see [the module](super). A clone is the same source.
#[derive(Debug, Clone)]
pub struct WebSource {
    inner: Arc<Inner>,
    other: Option<Arc<dyn MetricsSource>>,
}

/// What calls share.
#[derive(Debug)]
struct Inner {
    settings: WebSettings,
    asks: BTreeMap<String, Ask>,
    caller: Caller,
    longest: usize,
    clock: Arc<dyn Clock>,
}

/// What a source says of itself, and whether it tells tracks.
pub(super) fn description(tracks: bool) -> Description {
    let version = env!("CARGO_PKG_VERSION").parse().unwrap_or(semver::Version::new(0, 0, 0));
    Description::new("web", version, EffectClass::Idempotent)
        .able(|can| {
            can.metrics_source.queries = true;
            can.tracks = tracks;
        })
        .with_config_schema(schemars::schema_for!(WebSettings).to_value())
}

impl WebSource {
    /// A source for services that need not be there yet. `secrets` are those of metrics, by their names, where they have any;
    /// [`WebKind`](super::WebKind) resolves the references of the settings.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense, secrets that are missing or fit into no header, and certificates that
    /// cannot be read; `Unavailable` where the system has none.
    pub fn new(
        settings: &WebSettings,
        secrets: &BTreeMap<String, WebSecrets>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        settings.check()?;
        let (mut asks, none) = (BTreeMap::new(), WebSecrets::new());
        for (name, metric) in &settings.metrics {
            let own = secrets.get(name).unwrap_or(&none);
            let wrong = |why: String| invalid(why).with_context("metric", name.escape_default());
            if name.contains("{{") {
                return Err(wrong("its name has words in braces; call it otherwise".into()));
            }
            asks.insert(name.clone(), Ask::new(name, metric, own).map_err(wrong)?);
        }
        let places = asks.values().map(|ask| &ask.place);
        let caller = caller(places, settings.authorities.as_deref(), super::OPEN)?;
        let longest = usize::try_from(settings.longest_answer).unwrap_or(usize::MAX);
        let inner = Inner { settings: settings.clone(), asks, caller, longest, clock };
        Ok(Self { inner: Arc::new(inner), other: None })
    }

    /// The same, which asks `other` for all that is not called as one of its own metrics: ratios, means, quantiles, and other
    /// queries, as far as that one can. It tells tracks then where both do.
    #[must_use]
    pub fn beside(mut self, other: Arc<dyn MetricsSource>) -> Self {
        self.other = Some(other);
        self
    }

    /// Who else is asked for a metric.
    fn other_for(&self, metric: &Metric) -> Option<&Arc<dyn MetricsSource>> {
        let other = self.other.as_ref()?;
        match metric {
            Metric::Query { query } => {
                let theirs = !self.inner.asks.contains_key(query)
                    && other.describe().abilities.metrics_source.queries;
                theirs.then_some(other)
            }
            _ => Some(other),
        }
    }
}

#[async_trait]
impl MetricsSource for WebSource {
    fn describe(&self) -> Description {
        let own = self.inner.tells_tracks();
        let Some(other) = &self.other else { return description(own) };
        let theirs = other.describe().abilities;
        // A place has one source: it tells tracks where both do.
        description(own && theirs.tracks).able(|can| {
            can.metrics_source.means = theirs.metrics_source.means;
            can.metrics_source.quantiles = theirs.metrics_source.quantiles;
            can.metrics_source.ranges = theirs.metrics_source.ranges;
        })
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        if let Some(other) = self.other_for(&request.metric) {
            return other.measure(cx, request).await;
        }
        let inner = &self.inner;
        let look = inner.measure(&request);
        let told = cx.within(&*inner.clock, MEASURE, EffectCertainty::NotApplied, look).await?;
        Ok(told.unwrap_or_else(|reason| Measurement::NoData { reason }))
    }
}

impl Inner {
    /// Whether any answer for a track is its own.
    fn tells_tracks(&self) -> bool {
        self.asks.values().any(Ask::tells_tracks)
    }

    async fn measure(&self, request: &MeasureRequest) -> Result<Told<Measurement>, ProviderError> {
        self.known(&request.target)?;
        let ask = self.ask(&request.metric)?;
        if let Some(track) = request.target.track.as_ref().filter(|_| !ask.tells_tracks()) {
            if !self.tells_tracks() {
                let text = "no request says `{{track}}`, so that nothing tells tracks from each other; let one say it";
                return Err(ask.error(ErrorKind::Unsupported, text));
            }
            return Ok(Err(format!(
                "the request does not say `{{{{track}}}}`, so that more may be in the answer than what is on track `{track}`"
            )));
        }
        let now = self.clock.now();
        let sent = ask.request(request, now)?;
        let told = tokio::select! {
            biased;
            told = self.call(ask, sent) => told?,
            () = self.clock.sleep_until(now.plus(ask.timeout)) => {
                let text = format!("the service did not answer within {}", ask.timeout);
                return Err(ask.error(ErrorKind::Unavailable, &text));
            }
        };
        // Of when the answer is: of the moment in which it was there.
        let (digest, at) = (request.digest, self.clock.now());
        Ok(told
            .map(|value| Measurement::Value { digest, value, at })
            .map_err(|reason| ask.repeated(&reason)))
    }

    /// Sends a request, and reads the number of the answer.
    async fn call(
        &self,
        ask: &Ask,
        request: Request<Full<Bytes>>,
    ) -> Result<Told<Finite>, ProviderError> {
        let broken =
            |error: &dyn std::error::Error| ask.error(ErrorKind::Unavailable, &causes(error));
        let answer = self.caller.request(request).await.map_err(|e| broken(&e))?;
        let known = head(answer.status(), answer.headers(), &ask.reading);
        let pointer = match known.map_err(|error| ask.placed(error))? {
            Head::Number(number) => return Ok(Ok(number)),
            Head::Nothing(reason) => return Ok(Err(reason)),
            Head::Body(pointer) => pointer,
        };
        match Limited::new(answer.into_body(), self.longest).collect().await {
            Ok(body) => Ok(number(&body.to_bytes(), pointer)),
            Err(e) if e.is::<LengthLimitError>() => Ok(Err(format!(
                "the answer has more than {} bytes; let it be shorter, or raise `longest_answer`",
                self.longest
            ))),
            Err(e) => Err(broken(&*e)),
        }
    }

    /// Refuses a target that is not listed, where any is.
    fn known(&self, target: &Target) -> Result<(), ProviderError> {
        if self.settings.knows(target) {
            return Ok(());
        }
        let text = "this target is not asked after; add it to `targets`, or register another source for it";
        Err(ProviderError::new(ErrorKind::NotFound, MEASURE, text).with_context("target", target))
    }

    fn ask(&self, metric: &Metric) -> Result<&Ask, ProviderError> {
        let Metric::Query { query } = metric else {
            let text = format!(
                "a {} cannot be measured; ask for a metric of the settings, by a query that is its name",
                metric.kind()
            );
            return Err(ProviderError::new(ErrorKind::Unsupported, MEASURE, text));
        };
        self.asks.get(query).ok_or_else(|| {
            let text = "no metric of the settings is called as the query is; add it to `metrics`, or mend the name";
            let query: String = query.chars().take(80).collect();
            ProviderError::new(ErrorKind::Invalid, MEASURE, text)
                .with_context("query", query.escape_default())
        })
    }
}
