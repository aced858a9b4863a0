//! The HTTP API: what is asked, and how answers are read, strictly.

use std::fmt::Write as _;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use release_core::port::Clock;
use release_core::time::{Span, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::MEASURE;
use super::promql::time;
use super::range::RangeQuery;
use super::settings::{PrometheusLogin, PrometheusSettings, invalid};
use crate::exposition::instant;
use crate::http::{Answer, HttpPlace, NoAnswer, exchange};
use crate::retry_after::retry_after;
use crate::samples::counts::Told;
use crate::samples::growth::{Labels, Sample};
use crate::secret::without;
use crate::{ErrorKind, ProviderError, RetryAdvice, Secret};

/// What a query found.
#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(super) enum Found {
    Matrix(Vec<Row>),
    Vector(Vec<Point>),
    Scalar(Pair),
    String(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub(super) metric: Labels,
    #[serde(default)] // native histograms have none
    pub(super) values: Vec<Pair>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Point {
    pub(super) metric: Labels,
    pub(super) value: Option<Pair>,
}

/// A sample as the API writes it: seconds, and a number as text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "(f64, String)")]
pub(super) struct Pair(pub(super) Sample);

impl TryFrom<(f64, String)> for Pair {
    type Error = String;

    fn try_from((seconds, value): (f64, String)) -> Result<Self, String> {
        let value = value.parse().map_err(|_| "a sample is not a number".to_owned())?;
        let at = instant(seconds).ok_or("a sample's instant is none")?;
        Ok(Self(Sample { at, value, other: None }))
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// Where the API is.
#[derive(Debug)]
pub(super) struct Client {
    place: HttpPlace,
    login: Option<HeaderValue>,
    /// What no text may hold.
    secrets: Vec<Secret>,
    clock: Arc<dyn Clock>,
    patience: Span,
    limit: usize,
}

impl Client {
    pub(super) fn new(
        settings: &PrometheusSettings,
        login: Option<PrometheusLogin>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let place = HttpPlace::read(&settings.url).map_err(invalid)?;
        let (login, secrets) = login.map(header_of).transpose()?.unzip();
        let limit = usize::try_from(settings.most_samples).unwrap_or(usize::MAX).saturating_mul(64);
        Ok(Self {
            place,
            login,
            secrets: secrets.unwrap_or_default(),
            clock,
            patience: settings.patience(),
            limit: limit.max(1024 * 1024),
        })
    }

    /// Evaluates a query as of `now`; selectors of a moment see samples that are at most `lookback` old, if the server
    /// is new enough to be told.
    pub(super) async fn query(
        &self,
        query: &str,
        now: Timestamp,
        lookback: Span,
    ) -> Result<Told<Found>, ProviderError> {
        let lookback = format!("{}ms", lookback.as_duration().as_millis());
        let form = [("query", query), ("time", &time(now)), ("lookback_delta", &lookback)];
        self.ask("/api/v1/query", &form).await
    }

    /// Evaluates a query at every step; selectors see samples that are at most `lookback` old, if the server can be told.
    pub(super) async fn query_range(
        &self,
        asked: &RangeQuery,
        lookback: Span,
    ) -> Result<Told<Found>, ProviderError> {
        let lookback = format!("{}ms", lookback.as_duration().as_millis());
        let step = format!("{}ms", asked.step.as_duration().as_millis().max(1));
        let (from, until) = (time(asked.from), time(asked.until));
        let ends = [("start", &*from), ("end", &until), ("step", &step)];
        let form = [("query", &*asked.query), ("lookback_delta", &lookback)];
        self.ask("/api/v1/query_range", &[&ends[..], &form].concat()).await
    }

    /// Whether any series that `selector` picks had a sample from `from` to `until`.
    pub(super) async fn any(
        &self,
        selector: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Told<bool>, ProviderError> {
        let (from, until) = (time(from), time(until));
        let form = [("match[]", selector), ("start", &from), ("end", &until)];
        let labels: Told<Vec<String>> = self.ask("/api/v1/labels", &form).await?;
        Ok(labels.map(|labels| !labels.is_empty()))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<Told<T>, ProviderError> {
        let path = format!("{}{path}", self.place.path.trim_end_matches('/'));
        let at = format!("http://{}{path}", self.place.authority);
        let pairs: Vec<String> =
            form.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        let mut request = Request::post(&path)
            .header(header::HOST, &self.place.authority)
            .header(header::CONNECTION, "close")
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(login) = &self.login {
            request = request.header(header::AUTHORIZATION, login);
        }
        let request = request.body(Full::new(Bytes::from(pairs.join("&")))).map_err(|e| {
            ProviderError::new(ErrorKind::Invalid, MEASURE, format!("`{path}` is not a path: {e}"))
        })?;
        let deadline = self.clock.now().plus(self.patience);
        let answer = tokio::select! {
            answer = exchange(self.place.address(), &at, request, self.limit) => answer,
            () = self.clock.sleep_until(deadline) => {
                Err(NoAnswer::Broken(format!("{at} did not answer within {}", self.patience)))
            }
        };
        match answer {
            Ok(answer) if answer.status.is_success() => self.read(&at, &answer),
            Ok(answer) => Err(self.refused(&at, &answer)),
            Err(problem @ NoAnswer::TooLong { .. }) => {
                Ok(Err(format!("{problem}; select less, or allow more samples")))
            }
            Err(NoAnswer::Broken(why)) => Err(self.unavailable(&why)),
        }
    }

    fn read<T: DeserializeOwned>(
        &self,
        at: &str,
        answer: &Answer,
    ) -> Result<Told<T>, ProviderError> {
        let read: Envelope<T> = serde_json::from_slice(&answer.body)
            .map_err(|e| self.garbage(&format!("{at} answered what is not of its API: {e}")))?;
        if let Some(warning) = read.warnings.and_then(|all| all.into_iter().next()) {
            return Ok(Err(format!("the answer may not be whole: {}", self.repeated(&warning))));
        }
        match read.data {
            Some(data) if read.status == "success" => Ok(Ok(data)),
            _ => Err(self.garbage(&format!("{at} answered without data"))),
        }
    }

    /// An answer that is none.
    pub(super) fn garbage(&self, why: &str) -> ProviderError {
        self.unavailable(&format!("{why}; is it a Prometheus?"))
    }

    fn unavailable(&self, why: &str) -> ProviderError {
        ProviderError::new(ErrorKind::Unavailable, MEASURE, self.repeated(why))
    }

    fn refused(&self, at: &str, answer: &Answer) -> ProviderError {
        let status = answer.status;
        let said = serde_json::from_slice::<Refused>(&answer.body).map(|refused| refused.error);
        let (kind, text) = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                (ErrorKind::Denied, "the login was refused; renew it")
            }
            StatusCode::TOO_MANY_REQUESTS => (ErrorKind::RateLimited, "asked to slow down"),
            StatusCode::REQUEST_TIMEOUT => (ErrorKind::Unavailable, "not in time"),
            status if status.is_client_error() => {
                (ErrorKind::Invalid, "refused; mend the query, or the url")
            }
            _ => (ErrorKind::Unavailable, "not able to answer"),
        };
        let mut error = ProviderError::new(kind, MEASURE, text)
            .with_context("url", self.repeated(at))
            .with_context("status", status);
        if let Ok(said) = said {
            error = error.with_context("because", self.repeated(&said));
        }
        match retry_after(&answer.headers) {
            Some(pause) if kind == ErrorKind::RateLimited || kind == ErrorKind::Unavailable => {
                error.with_retry(RetryAdvice::After(pause))
            }
            _ => error,
        }
    }

    /// A server's text as it may be told to people: in one line, not too long, without secrets.
    pub(super) fn repeated(&self, text: &str) -> String {
        without(&self.secrets, text)
    }
}

fn header_of(login: PrometheusLogin) -> Result<(HeaderValue, Vec<Secret>), ProviderError> {
    let (text, secrets) = match login {
        PrometheusLogin::Token(token) => {
            (Secret::new(format!("Bearer {}", token.expose())), vec![token])
        }
        PrometheusLogin::Password { user, password } => {
            if user.contains(':') {
                return Err(invalid("a user's name has no colon"));
            }
            let pair = Secret::new(format!("{user}:{}", password.expose()));
            let encoded = Secret::new(base64(pair.expose().as_bytes()));
            (Secret::new(format!("Basic {}", encoded.expose())), vec![password, encoded])
        }
    };
    let mut value = HeaderValue::from_str(text.expose())
        .map_err(|_| invalid("the token holds what no header can"))?;
    value.set_sensitive(true);
    Ok((value, secrets))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let whole = three.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let whole = whole << (8 * (3 - three.len()));
        for digit in 0..4_usize {
            let six = usize::try_from(whole >> (18 - 6 * digit) & 63).unwrap_or(0);
            let known = DIGITS.get(six).filter(|_| digit <= three.len());
            text.push(known.map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

/// As values of forms are written.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
