//! Deploys: stores wishes and reports what runs.

use std::sync::Arc;

use async_trait::async_trait;

use super::LocalPlatform;
use super::deployment::Deployment;
use super::fence::Caller;
use super::platform::{Inner, description};
use super::record::{FORMAT, Wish};
use super::store::open_verified;
use super::supervisor;
use crate::spi::{ApplyRequest, Deployer, DeploymentPhase, DeploymentStatus, ObserveDeployment};
use crate::{Context, Description, ErrorKind, ProviderError};

const APPLY: &str = "deploy.apply";
const OBSERVE: &str = "deploy.observe";

#[async_trait]
impl Deployer for LocalPlatform {
    fn describe(&self) -> Description {
        description()
    }

    async fn apply(&self, cx: &Context, request: ApplyRequest) -> Result<(), ProviderError> {
        let inner = Arc::clone(self.inner());
        let (caller, target) = (Caller::of(cx), request.target.clone());
        let work = async move { apply(&inner, caller, request).await };
        self.inner().in_turn(APPLY, cx, &target, work).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveDeployment,
    ) -> Result<DeploymentStatus, ProviderError> {
        let inner = self.inner();
        let _turn = inner.turn(OBSERVE, cx, &request.target).await?;
        let place = inner.place(&request.target);
        let found = place.and_then(|place| place.deployment(request.digest));
        let (now, watch) = (inner.config.clock.now(), inner.config.start_watch);
        Ok(found.map_or_else(
            || {
                let (target, settled) = (request.target.clone(), DeploymentPhase::Settled);
                DeploymentStatus::new(target, request.digest, None, 0, settled)
            },
            |deployment| deployment.status(now, watch),
        ))
    }
}

/// Only for whoever has the target's turn.
async fn apply(
    inner: &Arc<Inner>,
    caller: Caller,
    request: ApplyRequest,
) -> Result<(), ProviderError> {
    inner.fence(APPLY, &caller).await?;
    if request.apart.is_some() {
        let text = "all instances of this platform run on one machine; ask for none apart";
        return Err(ProviderError::new(ErrorKind::Unsupported, APPLY, text));
    }
    if request.metadata.is_some() {
        let text = "instances of this platform carry no labels; ask for none";
        return Err(ProviderError::new(ErrorKind::Unsupported, APPLY, text));
    }
    let limit = inner.config.max_replicas;
    if request.replicas > limit {
        let text = "more instances than this platform allows; raise `max_replicas` or ask for less";
        return Err(ProviderError::new(ErrorKind::Invalid, APPLY, text)
            .with_context("replicas", request.replicas)
            .with_context("limit", limit));
    }
    let digest = request.artifact.digest();
    let known =
        inner.place(&request.target).is_some_and(|place| place.deployment(digest).is_some());
    if request.replicas == 0 && !known {
        // Nothing of it was ever wished here: undoing what never began needs no artifact and no port.
        return Ok(());
    }
    if request.replicas > 0 {
        let paths = inner.paths.clone();
        inner.blocking(APPLY, move || open_verified(&paths, digest, APPLY).map(drop)).await?;
    }
    let place = inner.ensure_place(APPLY, &request.target).await?;
    let Some(deployment) = place.deployment(digest) else {
        let wish = wish(caller, request, None);
        inner.write_wish(APPLY, wish.clone()).await?;
        let deployment = Arc::new(Deployment::new(wish));
        place.insert(Arc::clone(&deployment));
        supervisor::supervise(inner, &place, &deployment);
        inner.changed();
        return Ok(());
    };
    let _gate = deployment.gate.lock().await;
    let before = deployment.wish();
    if before.key == caller.key && before.replicas == request.replicas {
        return Ok(());
    }
    let wish = wish(caller, request, Some(before));
    inner.write_wish(APPLY, wish.clone()).await?;
    deployment.accept(wish);
    inner.changed();
    Ok(())
}

fn wish(caller: Caller, request: ApplyRequest, before: Option<Wish>) -> Wish {
    let (generation, proven) = before.map_or((1, false), |wish| {
        // After a failure it has to prove itself again.
        (wish.generation.saturating_add(1), wish.proven && wish.failed.is_none())
    });
    Wish {
        format: FORMAT,
        target: request.target,
        digest: request.artifact.digest(),
        version: request.version,
        replicas: request.replicas,
        key: caller.key,
        run: caller.run,
        epoch: caller.epoch,
        generation,
        proven,
        failed: None,
    }
}
