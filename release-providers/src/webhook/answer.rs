//! What a service's answer means.

use hyper::{HeaderMap, StatusCode};
use release_core::port::EffectCertainty;
use serde_json::{Value, json};

use super::action::CALL;
use crate::retry_after::retry_after;
use crate::{ErrorKind, ProviderError, RetryAdvice};

/// The longest text of a service that errors repeat.
const CUT: usize = 300;

/// What is kept with the step, or why it is not done.
pub(super) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, ProviderError> {
    let said = serde_json::from_slice(body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()));
    let (kind, effect, text) = match status {
        StatusCode::ACCEPTED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_EARLY
        | StatusCode::SERVICE_UNAVAILABLE => {
            (ErrorKind::Unavailable, EffectCertainty::NotApplied, "says not yet")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            (ErrorKind::RateLimited, EffectCertainty::NotApplied, "asks to slow down")
        }
        status if status.is_success() => {
            return Ok(json!({ "status": status.as_u16(), "answer": said }));
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            (ErrorKind::Denied, EffectCertainty::NotApplied, "refuses the caller; renew the token")
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            (ErrorKind::NotFound, EffectCertainty::NotApplied, "is not there; mend the url")
        }
        status if status.is_redirection() => (
            ErrorKind::Invalid,
            EffectCertainty::NotApplied,
            "sends the call elsewhere; name where it goes, if that is allowed",
        ),
        status if status.is_client_error() => {
            (ErrorKind::Failed, EffectCertainty::NotApplied, "says no")
        }
        _ => (ErrorKind::Unavailable, EffectCertainty::Unknown, "could not answer"),
    };
    let error = ProviderError::new(kind, CALL, format!("the hook's service {text}"))
        .with_effect(effect)
        .with_context("status", status)
        .with_context("answer", cut(&said));
    Err(match retry_after(headers) {
        Some(pause) if matches!(kind, ErrorKind::Unavailable | ErrorKind::RateLimited) => {
            error.with_retry(RetryAdvice::After(pause))
        }
        _ => error,
    })
}

/// What was said, in one line and not too long.
fn cut(said: &Value) -> String {
    let text = match said {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CUT).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::RETRY_AFTER;

    use super::*;

    #[test]
    fn each_status_means_one_thing() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let of = |status: u16| {
            read(StatusCode::from_u16(status).unwrap(), &headers, b"{\"why\":\"because\"}")
        };
        let done = json!({ "status": 200, "answer": { "why": "because" } });
        assert_eq!(of(200).unwrap(), done);
        assert_eq!(of(204).unwrap()["status"], 204);
        let after = RetryAdvice::After(Duration::from_secs(7));
        for (status, kind, effect, retry) in [
            (202, ErrorKind::Unavailable, EffectCertainty::NotApplied, after),
            (425, ErrorKind::Unavailable, EffectCertainty::NotApplied, after),
            (429, ErrorKind::RateLimited, EffectCertainty::NotApplied, after),
            (503, ErrorKind::Unavailable, EffectCertainty::NotApplied, after),
            (500, ErrorKind::Unavailable, EffectCertainty::Unknown, after),
            (401, ErrorKind::Denied, EffectCertainty::NotApplied, RetryAdvice::Never),
            (404, ErrorKind::NotFound, EffectCertainty::NotApplied, RetryAdvice::Never),
            (302, ErrorKind::Invalid, EffectCertainty::NotApplied, RetryAdvice::Never),
            (422, ErrorKind::Failed, EffectCertainty::NotApplied, RetryAdvice::Never),
        ] {
            let error = of(status).unwrap_err();
            assert_eq!(
                (error.kind(), error.effect(), error.retry()),
                (kind, effect, retry),
                "{status}"
            );
            assert!(error.to_string().contains("because"), "{error}");
        }
    }
}
