//! A source that is fed by whoever holds its feed.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::port::{Clock, EffectCertainty, Measurement};
use release_core::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fact::{Arrival, Dropped, Fact, SeriesId};
use super::tape::{Tape, TapeSettings};
use super::{MEASURE, described, invalid};
use crate::spi::{MeasureRequest, MetricsSource};
use crate::sync::lock;
use crate::{Context, Description, ProviderError};

/// A feed, and the source that measures by what is pushed into it: for tests of whoever uses sources, and for hosts that have
/// samples of their own.
///
/// ```
/// use std::sync::Arc;
/// use release_core::time::Span;
/// use release_providers::samples::{Arrival, SeriesId, TapeSettings, feed};
/// use release_providers::{Clock as _, ProviderError, SystemClock};
///
/// # fn example() -> Result<(), ProviderError> {
/// let clock = Arc::new(SystemClock::new());
/// let (feed, source) = feed(TapeSettings::every(Span::secs(10)), clock.clone())?;
/// let requests = SeriesId::named("http_requests_total").label("version", "1.1.0").label("instance", "a");
/// assert_eq!(feed.push(&requests, clock.now(), 12.0), Arrival::InOrder);
/// # let _ = source; Ok(()) }
/// # example().unwrap();
/// ```
///
/// # Errors
/// `Invalid` for settings that make no sense.
pub fn feed(
    settings: TapeSettings,
    clock: Arc<dyn Clock>,
) -> Result<(SampleFeed, FedSource), ProviderError> {
    if let Some(problem) = settings.problem() {
        return Err(invalid(problem));
    }
    let deck = Arc::new(Deck { tape: Mutex::new(Tape::new(settings)), clock });
    Ok((SampleFeed { deck: Arc::clone(&deck) }, FedSource { deck }))
}

/// Takes samples, and says of each what became of it. A clone feeds the same source.
#[derive(Debug, Clone)]
pub struct SampleFeed {
    deck: Arc<Deck>,
}

/// A [`MetricsSource`] over what was [fed](feed) to it. It is never out of reach: where nothing more is fed, samples get too
/// old, and there is no data.
#[derive(Debug, Clone)]
pub struct FedSource {
    deck: Arc<Deck>,
}

#[derive(Debug)]
struct Deck {
    tape: Mutex<Tape>,
    clock: Arc<dyn Clock>,
}

/// What a source over a feed is told when it is described.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

impl SampleFeed {
    /// Pushes a sample of `at`, and says what became of it.
    pub fn push(&self, series: &SeriesId, at: Timestamp, value: f64) -> Arrival {
        let now = self.deck.clock.now();
        lock(&self.deck.tape).put(now, series, at, value)
    }

    /// What a series says since then: see [`Tape::facts`].
    pub fn facts(&self, series: &SeriesId, since: Timestamp) -> Vec<Fact> {
        let now = self.deck.clock.now();
        lock(&self.deck.tape).facts(series, since, now)
    }

    /// What had to be let go until now.
    pub fn dropped(&self) -> Dropped {
        lock(&self.deck.tape).dropped()
    }
}

#[async_trait]
impl MetricsSource for FedSource {
    fn describe(&self) -> Description {
        described("sample_feed").with_config_schema(schemars::schema_for!(NoSettings).to_value())
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        let clock = &*self.deck.clock;
        let look = async { lock(&self.deck.tape).measure(&request, clock.now()) };
        cx.within(clock, MEASURE, EffectCertainty::NotApplied, look).await
    }
}
