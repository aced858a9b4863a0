//! One metric, ready to be asked for: what its settings say was read and checked once.

use std::collections::BTreeSet;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use release_core::time::{Span, Timestamp};

use super::MEASURE;
use super::settings::{WebMethod, WebMetric, WebReading, WebSecrets, WebSubject};
use super::template::{Body, Template, Word, escaped};
use crate::secret::without;
use crate::spi::MeasureRequest;
use crate::webhook::caller::callable;
use crate::{ErrorKind, ProviderError, Secret};

/// Headers that belong to whoever makes the connection.
const OWN: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];

/// One metric, ready to be asked for.
#[derive(Debug)]
pub(super) struct Ask {
    name: String,
    /// Where, with some words put in: its scheme and its host are those of every call.
    pub(super) place: Uri,
    url: Template,
    method: Method,
    headers: Vec<(HeaderName, Template)>,
    /// Those whose values are secrets.
    secret_headers: HeaderMap,
    body: Option<Body>,
    pub(super) timeout: Span,
    pub(super) reading: WebReading,
    about: WebSubject,
    /// What no text may hold.
    secrets: Vec<Secret>,
}

impl Ask {
    /// Reads the settings of the metric `name`.
    ///
    /// # Errors
    /// What is wrong with them, and what would do; no secret is in it, and no url.
    pub(super) fn new(
        name: &str,
        metric: &WebMetric,
        secrets: &WebSecrets,
    ) -> Result<Self, String> {
        let url = Template::read(&metric.url)?;
        let after = metric.url.split_once("://").map_or("", |(_, after)| after);
        if after.split(['/', '?', '#']).next().is_some_and(|host| host.contains("{{")) {
            return Err("the name of the host has a word in braces, by which a plan would say whom to ask; write it out".into());
        }
        let place = callable(&sample(&url))?;
        // Most are on no track.
        let untracked =
            url.fill(|word| if word == Word::Track { String::new() } else { "x".into() });
        if let Err(why) = callable(&untracked) {
            return Err(format!(
                "without a track, which most have not, {why}; let the track stand in the query"
            ));
        }
        let method = match metric.method {
            WebMethod::Get => Method::GET,
            WebMethod::Post => Method::POST,
        };
        if metric.body.is_some() && method == Method::GET {
            return Err("there is a `body`, which GET has not; let `method` be `post`".into());
        }
        if metric.timeout_ms == 0 {
            return Err("`timeout_ms` is 0; let there be some time to answer".into());
        }
        readable(&metric.read)?;
        let ask = Self {
            name: name.to_owned(),
            place,
            url,
            method,
            headers: plain_headers(metric)?,
            secret_headers: secret_headers(metric, secrets)?,
            body: metric.body.as_ref().map(Body::read).transpose()?,
            timeout: Span::millis(u64::from(metric.timeout_ms)),
            reading: metric.read.clone(),
            about: metric.about,
            secrets: secrets.token.iter().chain(secrets.headers.values()).cloned().collect(),
        };
        ask.distinct_headers()?;
        let names = ask.says(Word::Version) || ask.says(Word::Digest);
        if ask.about == WebSubject::Version && !names {
            return Err("nothing in the request says which version is meant; write `{{version}}` or `{{digest}}` into it, or `about: rollout` where the answer is of the rollout as a whole".into());
        }
        Ok(ask)
    }

    /// Refuses a header that is there twice: which one counts would be left to the service.
    fn distinct_headers(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let plain = self.headers.iter().map(|(name, _)| name);
        match plain.chain(self.secret_headers.keys()).find(|name| !seen.insert(name.as_str())) {
            Some(name) => Err(format!("the header `{name}` is there twice; leave one out")),
            None => Ok(()),
        }
    }

    /// Whether a word stands anywhere in the request.
    fn says(&self, word: Word) -> bool {
        self.url.says(word)
            || self.headers.iter().any(|(_, value)| value.says(word))
            || self.body.as_ref().is_some_and(|body| body.says(word))
    }

    /// Whether the answer for a track is its own, or all there is.
    pub(super) fn tells_tracks(&self) -> bool {
        self.about == WebSubject::Rollout || self.says(Word::Track)
    }

    /// What is sent for a measurement at `now`.
    pub(super) fn request(
        &self,
        measured: &MeasureRequest,
        now: Timestamp,
    ) -> Result<Request<Full<Bytes>>, ProviderError> {
        let text = |word: Word| word.of(measured, now);
        let odd = |why: &str| self.error(ErrorKind::Invalid, why);
        let url = callable(&self.url.fill(|word| escaped(&text(word)))).map_err(odd)?;
        let body = match &self.body {
            Some(body) => Bytes::from(body.fill(&text).to_string()),
            None => Bytes::new(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if self.body.is_some() {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(&value.fill(text))
                .map_err(|_| odd("what is put into a header is none; mend the name of it"))?;
            headers.insert(name.clone(), value);
        }
        for (name, value) in &self.secret_headers {
            headers.insert(name.clone(), value.clone());
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// An error about this metric, without secrets.
    pub(super) fn error(&self, kind: ErrorKind, text: &str) -> ProviderError {
        self.placed(ProviderError::new(kind, MEASURE, self.repeated(text)))
    }

    /// The same error with the metric and who was asked.
    pub(super) fn placed(&self, error: ProviderError) -> ProviderError {
        let host = self.place.host().unwrap_or_default();
        error.with_context("metric", &self.name).with_context("host", host)
    }

    /// A text as it may be told to people: in one line, not too long, without secrets.
    pub(super) fn repeated(&self, text: &str) -> String {
        without(&self.secrets, text)
    }
}

/// A text with something in place of its words.
fn sample(template: &Template) -> String {
    template.fill(|_| "x".to_owned())
}

/// Refuses a reading that could never be.
fn readable(reading: &WebReading) -> Result<(), String> {
    match reading {
        WebReading::Pointer(pointer) => {
            let mut tildes = pointer.split('~').skip(1);
            let whole = pointer.is_empty() || pointer.starts_with('/');
            if whole && tildes.all(|after| after.starts_with(['0', '1'])) {
                return Ok(());
            }
            Err("`pointer` is no JSON pointer; write `/` before each name, `~1` for a `/` in it and `~0` for a `~`".into())
        }
        WebReading::Status { no } => {
            let fits = |status: &u16| (300..=599).contains(status);
            if no.iter().all(fits) {
                return Ok(());
            }
            Err("`no` names a status that is not from 300 to 599; leave it out".into())
        }
    }
}

fn plain_headers(metric: &WebMetric) -> Result<Vec<(HeaderName, Template)>, String> {
    let read = |(name, value): (&String, &String)| {
        let name = header_name(name)?;
        if name.as_str() == "authorization" {
            return Err(
                "`authorization` holds a secret; give it as `token`, or in `secret_headers`"
                    .to_owned(),
            );
        }
        let value = Template::read(value)?;
        let fits = HeaderValue::from_str(&sample(&value)).is_ok();
        fits.then_some(value)
            .map(|value| (name.clone(), value))
            .ok_or_else(|| format!("the value of the header `{name}` holds what no header can"))
    };
    metric.headers.iter().map(read).collect()
}

fn secret_headers(metric: &WebMetric, secrets: &WebSecrets) -> Result<HeaderMap, String> {
    let missing = |of: &str| format!("the secret for {of} was not given; hand it over");
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, secret: &Secret| {
        let mut value = HeaderValue::from_str(secret.expose())
            .map_err(|_| format!("the secret for `{name}` holds what no header can; renew it"))?;
        value.set_sensitive(true);
        let twice = headers.insert(name.clone(), value).is_some();
        if twice {
            Err(format!("the header `{name}` is there twice; leave one out"))
        } else {
            Ok(())
        }
    };
    match &secrets.token {
        Some(token) => {
            let bearer = Secret::new(format!("Bearer {}", token.expose()));
            add(header::AUTHORIZATION, &bearer)?;
        }
        None if metric.token.is_some() => return Err(missing("`token`")),
        None => {}
    }
    for (name, secret) in &secrets.headers {
        add(header_name(name)?, secret)?;
    }
    let mut wanted = metric.secret_headers.keys();
    if let Some(name) = wanted.find(|name| !secrets.headers.contains_key(*name)) {
        return Err(missing(&format!("the header `{}`", name.escape_default())));
    }
    Ok(headers)
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let read = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{}` is no name of a header", name.escape_default()))?;
    if OWN.contains(&read.as_str()) {
        return Err(format!("the header `{read}` is not for settings; leave it out"));
    }
    Ok(read)
}
