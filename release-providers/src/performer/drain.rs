//! What comes before a version is stopped: its requests are finished.

use release_core::model::{Digest, TrackId};
use release_core::plan::Deployment;
use release_core::port::EffectCertainty;

use super::{Call, FIRST_PAUSE};
use crate::spi::{ObserveTraffic, TrafficStatus};
use crate::{ErrorKind, ProviderError, RetryAdvice};

const DRAIN: &str = "drain";
/// So many looks in a row have to find nothing: a server of many threads may have begun a request just before it took over
/// the shares.
const QUIET: u32 = 2;

impl Call<'_> {
    /// Waits until no request is under way at what is about to be stopped, where a router counts them. What still gets
    /// requests by then, as with `recreate`, never has none, and is stopped as the plan says; but not where the step tidies up
    /// behind a release that is live: then somebody has routed back by hand, and what serves is not stopped.
    ///
    /// Nothing is stopped when they do not end in time: that is an error, with no effect.
    pub(super) async fn drained(&self, deployment: &Deployment) -> Result<(), ProviderError> {
        #[cfg(planted_bugs)]
        if release_core::planted::is(release_core::planted::Bug::StopUndrained)
            || release_core::planted::is(release_core::planted::Bug::NeverLook)
        {
            return Ok(());
        }
        let Deployment { target, artifact, .. } = deployment;
        let Some(router) = self.registry.router_of(target) else { return Ok(()) };
        let counts = router.describe().abilities.traffic_router.counts_in_flight;
        if !self.finale && !counts {
            return Ok(());
        }
        let (digest, mut whole) = (artifact.digest(), target.clone());
        let track = whole.track.take();
        let say = |error: ProviderError| {
            error
                .with_effect(EffectCertainty::NotApplied)
                .with_context("target", target)
                .with_context("digest", digest)
        };
        let (mut pause, mut quiet) = (FIRST_PAUSE, 0);
        loop {
            let status = match router.observe(&self.cx, ObserveTraffic::new(whole.clone())).await {
                // No request comes here by this router.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                seen => seen.map_err(say)?,
            };
            if is_served(&status, digest, track.as_ref()) {
                return if self.finale { Err(say(served())) } else { Ok(()) };
            }
            let requests = status.in_flight_of(digest, track.as_ref());
            quiet = if requests == 0 { quiet + 1 } else { 0 };
            if quiet >= QUIET || !counts {
                return Ok(());
            }
            let missing = || {
                format!(
                    "{requests} requests of the version are under way, so it is not stopped; let them end, or end them"
                )
            };
            self.pause(&mut pause, DRAIN, missing).await.map_err(say)?;
        }
    }
}

/// Why what was to be tidied up stays.
fn served() -> ProviderError {
    let text = "the router sends requests to the version that was to be removed behind the release, so it is not stopped; route them to the new version and retry, or take the release back";
    ProviderError::new(ErrorKind::Conflict, DRAIN, text).with_retry(RetryAdvice::Never)
}

/// Whether requests, or copies of them, go there.
fn is_served(status: &TrafficStatus, digest: Digest, track: Option<&TrackId>) -> bool {
    let mut shares = status.weights.iter().filter(|weight| weight.percent > 0);
    if shares.any(|weight| weight.digest == digest && weight.track.as_ref() == track) {
        return true;
    }
    let Some(rules) = status.rules.as_ref().filter(|_| track.is_none()) else { return false };
    rules.targets().any(|to| to == digest)
}
