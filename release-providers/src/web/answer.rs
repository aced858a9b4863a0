//! What an answer says: a number, or why it says none. Pure.

use hyper::{HeaderMap, StatusCode};
use release_core::model::Finite;
use serde_json::Value;

use super::settings::WebReading;
use super::{MEASURE, Told};
use crate::retry_after::retry_after;
use crate::{ErrorKind, ProviderError, RetryAdvice};

/// What a status and headers say, before anything else of an answer is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head<'a> {
    /// This is the number.
    Number(Finite),
    /// The number stands here in the body.
    Body(&'a str),
    /// No number.
    Nothing(String),
}

/// What is known by the status.
///
/// # Errors
/// What a service says that is not the answer to what it was asked: `Denied`, `RateLimited`, `Unavailable`.
pub(super) fn head<'a>(
    status: StatusCode,
    headers: &HeaderMap,
    reading: &'a WebReading,
) -> Result<Head<'a>, ProviderError> {
    match reading {
        WebReading::Pointer(pointer) if status.is_success() => Ok(Head::Body(pointer)),
        WebReading::Status { .. } if status.is_success() => Ok(Head::Number(truth(true))),
        WebReading::Status { no } if no.is_empty() || no.contains(&status.as_u16()) => {
            Ok(Head::Number(truth(false)))
        }
        WebReading::Pointer(_) | WebReading::Status { .. } => refused(status, headers),
    }
}

fn refused(status: StatusCode, headers: &HeaderMap) -> Result<Head<'static>, ProviderError> {
    let (kind, text) = match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            (ErrorKind::Denied, "refuses the caller; renew its token or its secret headers")
        }
        StatusCode::TOO_MANY_REQUESTS => (ErrorKind::RateLimited, "asks to slow down"),
        status
            if status.is_server_error()
                || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY].contains(&status) =>
        {
            (ErrorKind::Unavailable, "could not answer")
        }
        status if status.is_redirection() => {
            return Ok(Head::Nothing(format!(
                "the service answered {status}, and where it sends a request on to, it is not followed; name where it goes"
            )));
        }
        status => {
            return Ok(Head::Nothing(format!("the service answered {status}, which is no number")));
        }
    };
    let error = ProviderError::new(kind, MEASURE, format!("the service {text}"))
        .with_context("status", status);
    Err(match retry_after(headers) {
        Some(pause) if kind != ErrorKind::Denied => error.with_retry(RetryAdvice::After(pause)),
        _ => error,
    })
}

/// The number at `pointer` of a body.
pub(super) fn number(body: &[u8], pointer: &str) -> Told<Finite> {
    let said: Value =
        serde_json::from_slice(body).map_err(|e| format!("the answer is not JSON: {e}"))?;
    let found =
        said.pointer(pointer).ok_or_else(|| format!("the answer has nothing at `{pointer}`"))?;
    let odd = |what: &str| format!("what the answer has at `{pointer}` is {what}, and no number");
    let value = match found {
        Value::Number(number) => number.as_f64().ok_or_else(|| odd("too large"))?,
        Value::Bool(yes) => return Ok(truth(*yes)),
        Value::String(text) => text.trim().parse::<f64>().map_err(|_| odd(&format!("`{text}`")))?,
        Value::Null => return Err(odd("null")),
        Value::Array(_) => return Err(odd("a list")),
        Value::Object(_) => return Err(odd("an object")),
    };
    Finite::new(value).map_err(|_| odd(&value.to_string()))
}

/// 1 for yes, 0 for no.
fn truth(yes: bool) -> Finite {
    Finite::new(f64::from(u8::from(yes))).unwrap_or(Finite::ZERO)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::RETRY_AFTER;

    use super::*;

    fn finite(value: f64) -> Finite {
        Finite::new(value).unwrap()
    }

    #[test]
    fn numbers_truths_and_texts_of_numbers_are_numbers() {
        for (body, pointer, value) in [
            ("7", "", 7.0),
            (r#"{"a":{"b":[1,-2.5e2]}}"#, "/a/b/1", -250.0),
            (r#"{"a/b":{"~":true}}"#, "/a~1b/~0", 1.0),
            (r#"{"ok":false}"#, "/ok", 0.0),
            (r#"{"n":" 0.25 "}"#, "/n", 0.25),
            (r#"{"n":1152921504606846976}"#, "/n", 2.0_f64.powi(60)),
        ] {
            assert_eq!(number(body.as_bytes(), pointer), Ok(finite(value)), "{body} {pointer}");
        }
    }

    #[test]
    fn all_else_is_no_number_and_says_why() {
        for (body, pointer, why) in [
            ("", "", "not JSON"),
            ("<html>", "/n", "not JSON"),
            (r#"{"n":NaN}"#, "/n", "not JSON"),
            (r#"{"n":1e999}"#, "/n", "not JSON"),
            (r#"{"n":1} {"n":2}"#, "/n", "not JSON"),
            (r#"{"n":1}"#, "/m", "nothing at `/m`"),
            (r#"{"n":[1]}"#, "/n/1", "nothing at `/n/1`"),
            (r#"{"n":[1]}"#, "/n/00", "nothing at `/n/00`"),
            (r#"{"n":null}"#, "/n", "is null"),
            (r#"{"n":[1]}"#, "/n", "is a list"),
            (r#"{"n":{}}"#, "/n", "is an object"),
            (r#"{"n":""}"#, "/n", "is ``"),
            (r#"{"n":"true"}"#, "/n", "is `true`"),
            (r#"{"n":"0x10"}"#, "/n", "is `0x10`"),
            (r#"{"n":"NaN"}"#, "/n", "is NaN"),
            (r#"{"n":"-Infinity"}"#, "/n", "is -inf"),
            (r#"{"n":"1e999"}"#, "/n", "is inf"),
        ] {
            let told = number(body.as_bytes(), pointer).unwrap_err();
            assert!(told.contains(why), "{body} {pointer}: {told}");
        }
        // Bytes that are no text.
        assert!(number(&[0xff, 0xfe], "").is_err());
    }

    #[test]
    fn each_status_means_one_thing() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let pointer = WebReading::Pointer("/n".into());
        let of =
            |status: u16, reading| head(StatusCode::from_u16(status).unwrap(), &headers, reading);
        let (any, listed) =
            (WebReading::Status { no: Vec::new() }, WebReading::Status { no: vec![403, 404] });
        for status in [200, 202, 204, 299] {
            assert_eq!(of(status, &pointer).unwrap(), Head::Body("/n"));
            assert_eq!(of(status, &any).unwrap(), Head::Number(finite(1.0)));
            assert_eq!(of(status, &listed).unwrap(), Head::Number(finite(1.0)));
        }
        for status in [302, 400, 401, 403, 404, 429, 500, 503] {
            assert_eq!(of(status, &any).unwrap(), Head::Number(Finite::ZERO), "{status}");
        }
        for status in [403, 404] {
            assert_eq!(of(status, &listed).unwrap(), Head::Number(Finite::ZERO), "{status}");
        }
        let after = RetryAdvice::After(Duration::from_secs(7));
        for (status, kind, retry) in [
            (401, ErrorKind::Denied, RetryAdvice::Never),
            (407, ErrorKind::Denied, RetryAdvice::Never),
            (408, ErrorKind::Unavailable, after),
            (425, ErrorKind::Unavailable, after),
            (429, ErrorKind::RateLimited, after),
            (500, ErrorKind::Unavailable, after),
            (503, ErrorKind::Unavailable, after),
        ] {
            for reading in [&pointer, &listed] {
                let error = of(status, reading).unwrap_err();
                assert_eq!((error.kind(), error.retry()), (kind, retry), "{status}");
            }
        }
        for (status, reading, why) in [
            (307, &pointer, "name where it goes"),
            (404, &pointer, "404 Not Found, which is no number"),
            (302, &listed, "not followed"),
            (410, &listed, "410 Gone"),
        ] {
            let told = of(status, reading).unwrap();
            assert!(matches!(&told, Head::Nothing(text) if text.contains(why)), "{told:?}");
        }
    }
}
