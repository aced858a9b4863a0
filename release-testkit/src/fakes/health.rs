//! A probe of instances that are only counted.

use async_trait::async_trait;
use release_providers::spi::{CheckHealth, HealthProbe, HealthReport, InstanceHealth};
use release_providers::{Context, Description, ProviderError};

use super::script::Stage;
use super::{HealthProbeCall, HealthProbeOp, Request, World, staged};

/// A [`HealthProbe`] of the world's instances; [`World::set_unready`] makes some unready.
#[derive(Debug)]
pub struct FakeHealth {
    world: World,
    stage: Stage<HealthProbeCall>,
}

staged!(FakeHealth, HealthProbeCall, HealthProbeOp);

impl FakeHealth {
    /// A probe in `world`.
    pub fn of(world: &World) -> Self {
        Self { world: world.clone(), stage: Stage::reached_by(world.access()) }
    }

    fn check_now(
        &self,
        operation: &'static str,
        request: &CheckHealth,
    ) -> Result<HealthReport, ProviderError> {
        let CheckHealth { target, digest, .. } = request;
        let state = self.world.state();
        state.check_target(operation, target)?;
        let mut instances = Vec::new();
        if let Some(deployed) = state.deployed(target, *digest) {
            for (name, number) in deployed.instances.iter().zip(0..) {
                let ready = number >= deployed.unready;
                let detail = if ready { "200" } else { "503" }.to_owned();
                instances.push(InstanceHealth::new(name.clone(), ready, detail));
            }
        }
        Ok(HealthReport::new(target.clone(), *digest, instances, self.stage.now()))
    }
}

#[async_trait]
impl HealthProbe for FakeHealth {
    fn describe(&self) -> Description {
        super::describe("fake-health")
    }

    async fn check(
        &self,
        cx: &Context,
        request: CheckHealth,
    ) -> Result<HealthReport, ProviderError> {
        let call = HealthProbeCall::Check(request.clone());
        let operation = call.operation();
        let check = |lie| {
            let mut report = self.check_now(operation, &request)?;
            if lie {
                report.digest = super::script::other(report.digest);
            }
            Ok(report)
        };
        self.stage.play(cx, call, check).await
    }
}
