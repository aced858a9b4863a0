//! Routes traffic: sets and reports the shares of a target's proxy.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use release_core::model::Target;
use release_core::port::EffectCertainty;

use super::LocalPlatform;
use super::effects::EffectChange;
use super::fence::Caller;
use super::place::Place;
use super::platform::{Inner, description};
use crate::shares::{Pool, wanted};
use crate::spi::{ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus};
use crate::{Context, Description, ErrorKind, ProviderError};

const SET: &str = "traffic.set_weights";
const OBSERVE: &str = "traffic.observe";

#[async_trait]
impl TrafficRouter for LocalPlatform {
    fn describe(&self) -> Description {
        description()
    }

    async fn set_weights(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError> {
        let inner = Arc::clone(self.inner());
        let (caller, target) = (Caller::of(cx), request.target.clone());
        let work = async move { set_weights(&inner, &caller, request).await };
        self.inner().in_turn(SET, cx, &target, work).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveTraffic,
    ) -> Result<TrafficStatus, ProviderError> {
        let target = request.target;
        let _turn = self.inner().turn(OBSERVE, cx, &target).await?;
        let place = served(self.inner(), OBSERVE, &target)?;
        Ok(place.proxy.status(target))
    }
}

/// Only for whoever has the target's turn.
async fn set_weights(
    inner: &Arc<Inner>,
    caller: &Caller,
    request: SetWeights,
) -> Result<(), ProviderError> {
    inner.fence(SET, caller).await?;
    let weights = wanted(SET, &request, &description().abilities)?;
    let (place, rules) = (served(inner, SET, &request.target)?, request.rules);
    let same = weights == place.proxy.weights() && rules == place.proxy.rules();
    if same && !place.doubtful.load(Ordering::Acquire) {
        return Ok(());
    }
    check_versions(inner, &place, &weights)?;
    // Whatever fails from here on: what is on the disk may not be what is in effect, until both are written again.
    place.doubtful.store(true, Ordering::Release);
    inner.write_target(SET, &place, weights.clone(), rules.clone()).await?;
    // Written, but not in effect before the next open: whoever fails here does not know.
    let change = EffectChange::Weights { weights: weights.clone() };
    let logged = inner.log_effect(SET, caller, &place.target, change).await;
    logged.map_err(|error| error.with_effect(EffectCertainty::Unknown))?;
    place.proxy.set(weights, rules);
    place.doubtful.store(false, Ordering::Release);
    for place in inner.with_tracks(&place.target) {
        place.shares_changed(inner.config.clock.now());
        // Nobody waits for instances here, least of all for one that the shares are being taken from.
        let (inner, tasks) = (Arc::clone(inner), inner.tasks.clone());
        tasks.spawn(async move { inner.mark(&place).await });
    }
    Ok(())
}

/// A target whose traffic can be divided.
fn served(
    inner: &Inner,
    operation: &'static str,
    target: &Target,
) -> Result<Arc<Place>, ProviderError> {
    if target.track.is_none() {
        return inner.known_place(operation, target);
    }
    let text = "a track has no traffic of its own; give it a share of its service's";
    Err(ProviderError::new(ErrorKind::NotFound, operation, text).with_context("target", target))
}

fn check_versions(
    inner: &Inner,
    place: &Place,
    weights: &[release_core::plan::Weight],
) -> Result<(), ProviderError> {
    for weight in weights {
        let target = Pool::of(weight).place(&place.target);
        let found = inner.place(&target).and_then(|place| place.deployment(weight.digest));
        let wished = found.map_or(0, |d| d.wish().replicas);
        if wished == 0 {
            let text = "no instance of this version is wished here; apply it first";
            return Err(ProviderError::new(ErrorKind::NotFound, SET, text)
                .with_context("target", target)
                .with_context("version", &weight.version)
                .with_context("digest", weight.digest));
        }
    }
    Ok(())
}
