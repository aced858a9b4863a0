//! The call itself.

use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Uri};
use release_core::port::{Clock, EffectCertainty};
use serde_json::{Value, json};

use super::answer::read;
use super::caller::{Caller, caller, causes};
use super::settings::{WebhookCall, WebhookSettings, invalid, is_at, parse};
use crate::spi::{CustomAction, CustomOutput, CustomRequest, CustomStatus};
use crate::{Context, Description, EffectClass, ErrorKind, ProviderError, Secret};

/// The capability that it performs.
pub const WEBHOOK: &str = "webhook";
pub(super) const CALL: &str = "webhook.call";

/// A place that may be called, and the token for it.
#[derive(Debug)]
struct Place {
    at: Uri,
    token: Option<Secret>,
}

/// A [`CustomAction`] that calls web services: see [the module](super). A clone is the same.
#[derive(Debug, Clone)]
pub struct Webhook {
    caller: Caller,
    places: Arc<[Place]>,
    longest: usize,
    clock: Arc<dyn Clock>,
}

/// What it says of itself.
pub(super) fn description() -> Description {
    let version = env!("CARGO_PKG_VERSION").parse().unwrap_or(semver::Version::new(0, 0, 0));
    Description::new("webhook", version, EffectClass::Idempotent)
        .with_config_schema(schemars::schema_for!(WebhookSettings).to_value())
}

impl Webhook {
    /// Calls to the places of `settings`. `tokens` are theirs, in the same order, where they have one.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense, and for certificates that cannot be read; `Unavailable` where the
    /// system has none.
    pub fn new(
        settings: &WebhookSettings,
        tokens: Vec<Option<Secret>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        settings.check()?;
        let mut tokens = tokens.into_iter();
        let place = |url: &str| Ok(Place { at: parse(url)?, token: tokens.next().flatten() });
        let places: Vec<Place> = settings
            .places
            .iter()
            .map(|place| &*place.url)
            .map(place)
            .collect::<Result<_, ProviderError>>()?;
        let urls = places.iter().map(|place| &place.at);
        let caller = caller(urls, settings.authorities.as_deref(), CALL)?;
        let longest = usize::try_from(settings.longest_answer).unwrap_or(usize::MAX);
        Ok(Self { caller, places: places.into(), longest, clock })
    }

    async fn call(&self, cx: &Context, call: &WebhookCall) -> Result<Value, ProviderError> {
        let url = parse(&call.url)?;
        let allowed = self.places.iter().filter(|place| is_at(&url, &place.at));
        let longest = allowed.max_by_key(|place| place.at.path().trim_end_matches('/').len());
        let place = longest.ok_or_else(|| {
            let text = "hooks may not call this; add it to `places` of the webhook's settings";
            ProviderError::new(ErrorKind::Denied, CALL, text)
                .with_context("host", url.host().unwrap_or_default())
        })?;
        let told = json!({
            "data": call.body, "key": cx.key, "run": cx.run, "attempt": cx.attempt, "rollback": cx.rollback,
        });
        let mut request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header("idempotency-key", format!("\"{}\"", cx.key.replace(['"', '\\'], "_")));
        if let Some(token) = &place.token {
            let bearer = Secret::new(format!("Bearer {}", token.expose()));
            let mut value = HeaderValue::from_str(bearer.expose())
                .map_err(|_| invalid("the token holds what no header can; renew it"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(Full::new(Bytes::from(told.to_string()))).map_err(|e| {
            invalid(format!("the call cannot be written: {e}; mend the step's input"))
        })?;
        let answer = self.caller.request(request).await.map_err(|e| {
            let connected = !e.is_connect();
            broken(&e, connected)
        })?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        match Limited::new(answer.into_body(), self.longest).collect().await {
            Ok(body) => {
                let body = without(&body.to_bytes(), place.token.as_ref());
                read(status, &headers, &body, &call.not_yet)
            }
            Err(e) if e.is::<LengthLimitError>() => Err(invalid(format!(
                "it answered {status} with more than {} bytes; let it answer less",
                self.longest
            ))
            .with_effect(EffectCertainty::Unknown)),
            Err(e) => Err(broken(&*e, true)),
        }
    }
}

/// What a service said. One that repeats the token that it was given does not get it into a journal.
fn without(body: &[u8], token: Option<&Secret>) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    match token.filter(|token| !token.is_empty()) {
        Some(token) => text.replace(token.expose(), "[redacted]"),
        None => text,
    }
}

/// No whole answer; `connected` says whether the service may have heard of it.
fn broken(error: &dyn std::error::Error, connected: bool) -> ProviderError {
    let effect = if connected { EffectCertainty::Unknown } else { EffectCertainty::NotApplied };
    ProviderError::new(ErrorKind::Unavailable, CALL, causes(error)).with_effect(effect)
}

#[async_trait]
impl CustomAction for Webhook {
    fn describe(&self) -> Description {
        description()
    }

    async fn perform(
        &self,
        cx: &Context,
        request: CustomRequest,
    ) -> Result<CustomOutput, ProviderError> {
        let work = async { self.call(cx, &asked(request)?).await };
        // Who cuts it off does not know whether it was heard.
        let output = cx.within(&*self.clock, CALL, EffectCertainty::Unknown, work).await?;
        Ok(CustomOutput::new(output))
    }

    /// Nothing remembers calls but the service, which is asked again.
    async fn observe(
        &self,
        cx: &Context,
        request: CustomRequest,
    ) -> Result<CustomStatus, ProviderError> {
        cx.check(CALL, self.clock.now())?;
        asked(request)?;
        Ok(CustomStatus::new(None))
    }
}

fn asked(request: CustomRequest) -> Result<WebhookCall, ProviderError> {
    if request.capability != WEBHOOK {
        let text = format!("it performs `{WEBHOOK}` alone");
        return Err(ProviderError::new(ErrorKind::Unsupported, CALL, text)
            .with_context("capability", request.capability));
    }
    serde_json::from_value(request.input).map_err(|e| {
        invalid(format!(
            "the step's input is no call: {e}; write `url`, and `body` if it needs one"
        ))
    })
}
