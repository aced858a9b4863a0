//! Shares as they are asked for.

#[cfg(any(feature = "local", feature = "haproxy", feature = "envoy"))]
use release_core::model::{Affinity, Target};
use release_core::model::{Digest, TrackId, TrafficRules};
use release_core::plan::Weight;

use crate::spi::SetWeights;
use crate::{Abilities, ErrorKind, ProviderError};

/// The shares of a request in order, without those of nothing; checks that they make a whole, and that nothing is asked that
/// is not declared.
pub(crate) fn wanted(
    operation: &'static str,
    request: &SetWeights,
    able: &Abilities,
) -> Result<Vec<Weight>, ProviderError> {
    if let Some(what) = able.lacks(request) {
        let text = format!("this router does not {what}");
        return Err(ProviderError::new(ErrorKind::Unsupported, operation, text)
            .with_context("target", &request.target));
    }
    let invalid = |problem: String| {
        ProviderError::new(ErrorKind::Invalid, operation, problem)
            .with_context("target", &request.target)
    };
    if let Some(problem) = request.rules.as_ref().and_then(TrafficRules::problem) {
        return Err(invalid(problem));
    }
    if request.rules.is_some() && request.weights.iter().all(|weight| weight.percent == 0) {
        return Err(invalid("there are rules where nobody is served; leave them out".into()));
    }
    if let Some(problem) = Weight::problem(&request.weights) {
        return Err(invalid(problem));
    }
    let mut weights = request.weights.clone();
    weights.retain(|weight| weight.percent > 0);
    weights.sort();
    Ok(weights)
}

/// Instances that requests go to: those of a version on a track, or its others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pool {
    pub(crate) digest: Digest,
    pub(crate) track: Option<TrackId>,
}

impl Pool {
    /// Those that a share is for.
    pub(crate) fn of(weight: &Weight) -> Self {
        Self { digest: weight.digest, track: weight.track.clone() }
    }

    /// Those of a version that are on no track.
    #[cfg(any(feature = "haproxy", feature = "envoy", feature = "gateway-api"))]
    pub(crate) const fn whole(digest: Digest) -> Self {
        Self { digest, track: None }
    }

    /// Where they are, for whoever runs them.
    #[cfg(any(feature = "local", feature = "haproxy", feature = "envoy"))]
    pub(crate) fn place(&self, target: &Target) -> Target {
        Target { track: self.track.clone(), ..target.clone() }
    }

    /// A name in a server's configuration: the digest, and a track behind a dot.
    #[cfg(any(feature = "local", feature = "haproxy", feature = "envoy"))]
    pub(crate) fn tag(&self) -> String {
        let hex = self.digest.hex();
        match &self.track {
            Some(track) => format!("{hex}.{track}"),
            None => hex,
        }
    }

    /// What [`Pool::tag`] made.
    #[cfg(feature = "envoy")]
    pub(crate) fn read(tag: &str) -> Option<Self> {
        let (hex, track) = match tag.split_once('.') {
            Some((hex, track)) => (hex, Some(track.parse().ok()?)),
            None => (tag, None),
        };
        Some(Self { digest: format!("sha256:{hex}").parse().ok()?, track })
    }
}

/// The cookie that keeps clients with a pool, for a `set-cookie` header (RFC 6265, section 4.1).
#[cfg(any(feature = "local", feature = "haproxy", feature = "envoy"))]
pub(crate) fn cookie(affinity: &Affinity, pool: &Pool) -> String {
    let (name, seconds) = (&affinity.cookie, affinity.max_age.as_duration().as_secs());
    format!("{name}={}; Path=/; Max-Age={seconds}; HttpOnly", pool.tag())
}

/// A regular expression, in what RE2 and PCRE have in common, that matches such a cookie among others as a whole.
#[cfg(any(feature = "haproxy", feature = "envoy"))]
pub(crate) fn cookie_regex(affinity: &Affinity, pool: &Pool) -> String {
    let literal = |text: &str| text.replace('.', "[.]");
    let (name, tag) = (literal(&affinity.cookie), literal(&pool.tag()));
    format!("(?:.*[;,] *)?{name}={tag}(?: *[;,].*)?")
}
