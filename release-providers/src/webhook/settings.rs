//! Whom hooks may call, and what one call asks.

use std::path::PathBuf;

use hyper::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action::CALL;
use super::caller::callable;
use crate::kind::SecretSetting;
use crate::{ErrorKind, ProviderError};

/// Whom hooks may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WebhookSettings {
    /// The places that may be called; nothing else is.
    pub places: Vec<WebhookPlace>,
    /// A file with certificates (PEM) of authorities that are trusted besides those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<PathBuf>,
    /// The longest answer that is read, in bytes; at most a mebibyte. What is kept of one that is done and has more than
    /// 32 KiB, or is nested deeply, is how it begins.
    #[serde(default = "longest")]
    pub longest_answer: u32,
}

const fn longest() -> u32 {
    64 * 1024
}

/// A place that may be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WebhookPlace {
    /// What URLs begin with, for example `https://ops.example/hooks/`. With a path, it is whole parts of paths that are
    /// compared: `/hooks` allows `/hooks` and `/hooks/a`, and not `/hooks-of-others`. Of several places that allow a URL, the
    /// longest counts, with its token.
    pub url: String,
    /// A bearer token for this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretSetting>,
}

impl WebhookPlace {
    /// A place without a token.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), token: None }
    }
}

impl WebhookSettings {
    /// Calls to these places, by the certificates that the system trusts.
    pub const fn new(places: Vec<WebhookPlace>) -> Self {
        Self { places, authorities: None, longest_answer: longest() }
    }

    pub(super) fn check(&self) -> Result<(), ProviderError> {
        if self.places.is_empty() {
            return Err(invalid("no place may be called; add one to `places`"));
        }
        if self.longest_answer > 1024 * 1024 {
            return Err(invalid("`longest_answer` is more than 1048576 bytes; lower it"));
        }
        for place in &self.places {
            if parse(&place.url)?.query().is_some() {
                return Err(invalid(
                    "the url of a place has a query, which allows nothing more; leave it out",
                ));
            }
        }
        Ok(())
    }
}

/// What a step asks for: the input of the capability `webhook`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WebhookCall {
    /// What is called, by POST.
    pub url: String,
    /// What it is told, as `data`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    /// The statuses by which the service says *not yet*: it is asked again, as long as the hook may take. 202, 408, 425 and
    /// 503, unless said; with 202 left out, that one means done. Gates that answer 403 while they are closed, as Flagger's
    /// own, say it here.
    #[serde(default = "not_yet")]
    pub not_yet: Vec<u16>,
}

pub(super) fn not_yet() -> Vec<u16> {
    vec![202, 408, 425, 503]
}

pub(super) fn invalid(text: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Invalid, CALL, text)
}

/// A URL that can be called. One that cannot is not repeated: it may hold credentials.
pub(super) fn parse(url: &str) -> Result<Uri, ProviderError> {
    callable(url).map_err(invalid)
}

/// Whether `url` is at `place`.
pub(super) fn is_at(url: &Uri, place: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().or(Some(if uri.scheme_str() == Some("http") { 80 } else { 443 }))
    };
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    let same = url.scheme_str() == place.scheme_str()
        && host(url) == host(place)
        && port(url) == port(place);
    let (path, root) = (url.path(), place.path().trim_end_matches('/'));
    let below =
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    same && below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_a_place_is_at_it() {
        let at = |url: &str, place: &str| is_at(&parse(url).unwrap(), &parse(place).unwrap());
        for (url, place, want) in [
            ("https://ops.example/hooks/a?b=c", "https://ops.example/hooks/", true),
            ("https://OPS.example:443/hooks", "https://ops.example/hooks", true),
            ("https://ops.example/hooks-of-others", "https://ops.example/hooks", false),
            ("http://ops.example/hooks", "https://ops.example/hooks", false),
            ("https://ops.example:8443/hooks", "https://ops.example/hooks", false),
            ("https://ops.example.evil/hooks", "https://ops.example/hooks", false),
            ("https://ops.example/anything", "https://ops.example", true),
        ] {
            assert_eq!(at(url, place), want, "{url} at {place}");
        }
        for bad in [
            "ops.example/hooks",
            "ftp://ops.example/",
            "https://ada:pw@ops.example/",
            "https://ops.example/hooks/../admin",
            "https://ops.example/hooks/%2e%2E/admin",
            "https://ops.example//hooks",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(
                error.kind() == ErrorKind::Invalid && !error.to_string().contains("pw"),
                "{error}"
            );
        }
    }
}
