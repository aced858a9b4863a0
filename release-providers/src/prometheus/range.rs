//! A query at many instants: what a curve looked like, with all that is wrong with it.

use release_core::port::EffectCertainty;
use release_core::time::{Span, Timestamp};

use super::client::Found;
use super::source::{Inner, PrometheusSource};
use crate::samples::counts::Told;
use crate::samples::{Fact, SeriesId, Tape, TapeSettings};
use crate::{Context, ErrorKind, ProviderError};

/// The operation, as errors name it.
const RANGE: &str = "prometheus.range";
/// Prometheus gives no more points of a series.
const MOST_POINTS: u128 = 11_000;

/// What is asked: a query, at every step of a stretch of time, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangeQuery {
    /// In `PromQL`, as it is: no words are replaced.
    pub query: String,
    /// The first instant.
    pub from: Timestamp,
    /// The last instant.
    pub until: Timestamp,
    /// From one instant to the next.
    pub step: Span,
}

impl RangeQuery {
    /// A query from one instant to another.
    pub fn new(query: impl Into<String>, from: Timestamp, until: Timestamp, step: Span) -> Self {
        Self { query: query.into(), from, until, step }
    }

    pub(super) fn problem(&self) -> Option<String> {
        let Self { from, until, step, .. } = self;
        if step.as_duration().is_zero() {
            return Some("a step of zero never ends; take a second or more".to_owned());
        }
        if until < from {
            return Some(format!("it ends at {until}, before it begins at {from}; swap them"));
        }
        let points =
            until.since(*from).as_duration().as_micros() / step.as_duration().as_micros().max(1);
        (points >= MOST_POINTS).then(|| {
            format!("{points} steps are more than the {MOST_POINTS} that Prometheus gives; take longer ones")
        })
    }
}

/// One series of an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SeriesFacts {
    /// Which one.
    pub series: SeriesId,
    /// Its numbers in order, and between them what is none: gaps, NaN, infinities; at the end whether it is stale.
    pub facts: Vec<Fact>,
}

impl PrometheusSource {
    /// Evaluates a query at every step of a stretch of time, by `POST /api/v1/query_range`: to draw curves, to read from what was
    /// what is to be expected, and to look after what a run was judged by. An analysis asks by a
    /// [`Range`](release_core::model::Metric::Range), which knows its version and its window; all else counts raw samples.
    ///
    /// Instants are those of the evaluation. A selector sees samples that are up to
    /// [`staleness_ms`](super::PrometheusSettings::staleness_ms) old, and before Prometheus 2.44 up to five minutes, so that shorter
    /// gaps do not show; `last_over_time(x[«scrape interval»])` shows them. A gap is more than one and a half steps without a point.
    ///
    /// # Errors
    /// `Invalid` for a stretch that makes no sense and for what the server refuses, others as [the module](super) says; and
    /// `Unavailable` for an answer that is not whole or too long, with the reason.
    pub async fn range(
        &self,
        cx: &Context,
        asked: &RangeQuery,
    ) -> Result<Vec<SeriesFacts>, ProviderError> {
        if let Some(problem) = asked.problem() {
            return Err(ProviderError::new(ErrorKind::Invalid, RANGE, problem));
        }
        let inner = &self.inner;
        let look = inner.curves(asked);
        let told = cx.within(&*inner.clock, RANGE, EffectCertainty::NotApplied, look).await?;
        told.map_err(|why| {
            ProviderError::new(ErrorKind::Unavailable, RANGE, inner.client.repeated(&why))
        })
    }
}

impl Inner {
    /// Each series of a query at many instants, with all that is wrong with it.
    pub(super) async fn curves(
        &self,
        asked: &RangeQuery,
    ) -> Result<Told<Vec<SeriesFacts>>, ProviderError> {
        let staleness = self.settings.staleness();
        let rows = match self.client.query_range(asked, staleness).await? {
            Ok(Found::Matrix(rows)) => rows,
            Ok(Found::Vector(_) | Found::Scalar(_) | Found::String(_)) => {
                return Err(self.client.garbage("a range came without points in time"));
            }
            Err(why) => return Ok(Err(why)),
        };
        let mut tape = Tape::new(TapeSettings {
            interval: asked.step,
            staleness: staleness.max(Span::from(asked.step.as_duration() * 3 / 2)),
            retention: asked.until.since(asked.from).max(Span::secs(1)),
            most_series: rows.len().max(1),
            most_samples: usize::MAX,
        });
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let series = SeriesId(row.metric);
            for pair in row.values {
                // Points are in order, one of each instant; what is not becomes a fact of its own.
                let _ = tape.put(asked.until, &series, pair.0.at, pair.0.value);
            }
            let facts = tape.facts(&series, asked.from, asked.until);
            found.push(SeriesFacts { series, facts });
        }
        Ok(Ok(found))
    }
}
