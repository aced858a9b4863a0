//! Checks health: asks every instance of a version, now.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use release_core::port::EffectCertainty;

use super::LocalPlatform;
use super::keeper::check;
use super::platform::{description, sooner};
use crate::spi::{CheckHealth, HealthProbe, HealthReport, InstanceHealth};
use crate::{Context, Description, ProviderError};

const CHECK: &str = "health.check";

#[async_trait]
impl HealthProbe for LocalPlatform {
    fn describe(&self) -> Description {
        description()
    }

    async fn check(
        &self,
        cx: &Context,
        request: CheckHealth,
    ) -> Result<HealthReport, ProviderError> {
        let inner = self.inner();
        let config = &inner.config;
        let look = async {
            let place = inner.known_place(CHECK, &request.target)?;
            let deadline = sooner(config, config.probe_timeout, cx.deadline);
            let deployment = place.deployment(request.digest);
            let asked = deployment.iter().flat_map(|deployment| {
                let place = &place;
                deployment.serving().into_iter().map(move |instance| async move {
                    let (ready, detail) = check(config, deployment, &instance, deadline).await;
                    if ready {
                        // Whoever reads «ready» may route to it at once; the keeper notes the rest.
                        instance.set_ready();
                        place.proxy.add(Arc::clone(&instance.backend));
                    }
                    InstanceHealth { instance: instance.backend.id.clone(), ready, detail }
                })
            });
            let instances = join_all(asked).await;
            Ok(HealthReport::new(
                request.target.clone(),
                request.digest,
                instances,
                config.clock.now(),
            ))
        };
        inner.bounded(CHECK, cx, EffectCertainty::NotApplied, look).await
    }
}
