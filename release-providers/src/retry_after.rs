//! How long a server asks to be left alone.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::RETRY_AFTER;

/// The longest pause that a server is believed to need: a day.
const LONGEST: u64 = 86_400;

/// How long to wait before asking again, where `Retry-After` says it in seconds (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST)))
}
