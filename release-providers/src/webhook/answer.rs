//! What a service's answer means.

use hyper::{HeaderMap, StatusCode};
use release_core::port::EffectCertainty;
use serde_json::{Value, json};

use super::action::CALL;
use crate::retry_after::retry_after;
use crate::{ErrorKind, ProviderError, RetryAdvice};

/// The longest text of a service that errors repeat.
const CUT: usize = 300;
/// The largest answer that is kept whole with a step, in bytes of JSON, and the deepest.
const WHOLE: usize = 32 * 1024;
const DEEPEST: usize = 24;

/// What is kept with the step, or why it is not done.
pub(super) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
    not_yet: &[u16],
) -> Result<Value, ProviderError> {
    let said = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    let (kind, effect, text) = match status {
        status if not_yet.contains(&status.as_u16()) => {
            (ErrorKind::Unavailable, EffectCertainty::NotApplied, "says not yet")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            (ErrorKind::RateLimited, EffectCertainty::NotApplied, "asks to slow down")
        }
        status if status.is_success() => {
            let fits = depth(&said, DEEPEST) && said.to_string().len() <= WHOLE;
            let said = if fits { said } else { Value::String(cut(&said)) };
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
        // These say themselves that it was not done.
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::SERVICE_UNAVAILABLE => {
            (ErrorKind::Unavailable, EffectCertainty::NotApplied, "could not answer")
        }
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

/// Whether no value is nested more than so many levels deep.
fn depth(value: &Value, most: usize) -> bool {
    let Some(inner) = most.checked_sub(1) else { return false };
    match value {
        Value::Array(all) => all.iter().all(|one| depth(one, inner)),
        Value::Object(all) => all.values().all(|one| depth(one, inner)),
        _ => true,
    }
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
    use crate::webhook::settings::not_yet;

    #[test]
    fn what_cannot_be_kept_whole_is_kept_as_it_begins() {
        let of = |body: &str| read(StatusCode::OK, &HeaderMap::new(), body, &[]).unwrap();
        let deep = "[".repeat(60) + &"]".repeat(60);
        for body in [deep, format!("\"{}\"", "x".repeat(40_000))] {
            let kept = of(&body)["answer"].as_str().unwrap().to_owned();
            assert!(kept.len() <= CUT && body.contains(kept.trim_matches('"')), "{kept}");
        }
        assert_eq!(of("[[1]]")["answer"], json!([[1]]));
    }

    #[test]
    fn whoever_asks_says_what_not_yet_is() {
        let of = |status: u16, not_yet: &[u16]| {
            read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), "", not_yet)
        };
        assert_eq!(of(403, &[403]).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(of(202, &[403]).unwrap()["status"], 202);
        assert_eq!(of(408, &[]).unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn each_status_means_one_thing() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let of = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            read(status, &headers, "{\"why\":\"because\"}", &not_yet())
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
