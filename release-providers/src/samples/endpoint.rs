//! One text endpoint: how it is asked, and what its answers are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use release_core::model::Target;
use release_core::port::{Clock, Measurement};
use release_core::time::Timestamp;

use super::MEASURE;
use super::fact::SeriesId;
use super::growth::STARTED;
use super::read::{INSTANCE, VERSION};
use super::settings::ScrapeSettings;
use crate::exposition::{self, parse};
use crate::http::{Answer, HttpPlace, exchange};
use crate::retry_after::retry_after;
use crate::{ErrorKind, ProviderError, RetryAdvice};

/// The most that one scrape may hold.
const SCRAPE_BYTES: usize = 16 * 1024 * 1024;

/// Where an instance tells its samples.
#[derive(Debug)]
pub(super) struct Endpoint {
    place: HttpPlace,
    /// What the instance is called: its host and port.
    pub(super) instance: String,
}

/// What an instance told, whole.
#[derive(Debug)]
pub(super) struct Scrape(Vec<exposition::Sample>);

/// A sample as it goes on a tape.
#[derive(Debug)]
pub(super) struct Scraped {
    pub(super) id: SeriesId,
    /// Of when it is, where it says so.
    pub(super) at: Option<Timestamp>,
    pub(super) value: f64,
}

/// Why a scrape brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It could not be asked, or refused.
    Refused { kind: ErrorKind, why: String, pause: Option<Duration> },
    /// Its answer is not in the format.
    Unreadable(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { why, .. } | Self::Unreadable(why) => f.write_str(why),
        }
    }
}

impl Failure {
    fn unavailable(why: String) -> Self {
        Self::Refused { kind: ErrorKind::Unavailable, why, pause: None }
    }

    /// What it comes to where nobody of a target told anything.
    pub(super) fn of_all(
        failures: impl Iterator<Item = Self>,
    ) -> Result<Measurement, ProviderError> {
        let mut reason = "the target has no endpoints".to_owned();
        for failure in failures {
            match failure {
                Self::Unreadable(why) => reason = why,
                Self::Refused { kind, why, pause } => {
                    let error = ProviderError::new(kind, MEASURE, why);
                    return Err(match pause {
                        Some(pause) => error.with_retry(RetryAdvice::After(pause)),
                        None => error,
                    });
                }
            }
        }
        Ok(Measurement::NoData { reason })
    }
}

impl Endpoint {
    pub(super) fn read(url: &str) -> Result<Self, &'static str> {
        let place = HttpPlace::read(url)?;
        let instance = place.authority.clone();
        Ok(Self { place, instance })
    }

    /// Asks for everything, for as long as the settings say.
    pub(super) async fn scrape(
        &self,
        settings: &ScrapeSettings,
        clock: &Arc<dyn Clock>,
    ) -> Result<Scrape, Failure> {
        let HttpPlace { authority, path, .. } = &self.place;
        let at = format!("http://{authority}{path}");
        let request = Request::get(path)
            .header(header::HOST, authority)
            .header(header::CONNECTION, "close")
            .header(header::ACCEPT, "text/plain;version=0.0.4")
            .body(Empty::<Bytes>::new())
            .map_err(|e| Failure::unavailable(format!("`{path}` is not a path: {e}")))?;
        let deadline = clock.now().plus(settings.timeout());
        let answer = tokio::select! {
            answer = exchange(self.place.address(), &at, request, SCRAPE_BYTES) => {
                answer.map_err(|problem| Failure::unavailable(problem.to_string()))?
            }
            () = clock.sleep_until(deadline) => {
                let timeout = settings.timeout();
                return Err(Failure::unavailable(format!("{at} did not answer within {timeout}")));
            }
        };
        if !answer.status.is_success() {
            return Err(refused(&at, &answer));
        }
        let samples = parse(&answer.body).map_err(|e| Failure::Unreadable(format!("{at}: {e}")))?;
        Ok(Scrape(samples))
    }
}

fn refused(at: &str, answer: &Answer) -> Failure {
    let status = answer.status;
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::RateLimited,
        _ => ErrorKind::Unavailable,
    };
    let waits = matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable);
    let pause = retry_after(&answer.headers).filter(|_| waits);
    Failure::Refused { kind, why: format!("{at} answered {status}"), pause }
}

impl Scrape {
    /// The samples that can count: of a version, and when the process was started; with the labels of the target and the
    /// instance.
    pub(super) fn samples(&self, target: &Target, instance: &str) -> impl Iterator<Item = Scraped> {
        let counts =
            |one: &&exposition::Sample| one.name == STARTED || one.labels.contains_key(VERSION);
        self.0.iter().filter(counts).map(move |one| {
            let mut id = SeriesId::named(&*one.name);
            for (label, value) in &one.labels {
                id = id.label(label, value);
            }
            let mut id = id.of_target(target);
            id.stamp(INSTANCE, instance);
            Scraped { id, at: one.at, value: one.value }
        })
    }
}
