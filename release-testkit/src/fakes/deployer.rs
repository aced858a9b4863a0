//! A deployer whose instances are only counted.

use async_trait::async_trait;
use release_providers::spi::{
    ApplyRequest, Deployer, DeploymentPhase, DeploymentStatus, ObserveDeployment,
};
use release_providers::{
    Abilities, Context, DeployerAbilities, Description, EffectClass, ErrorKind, Fencing,
    ProviderError,
};

use super::script::Stage;
use super::{DeployerCall, DeployerOp, World, staged};

/// A [`Deployer`] whose instances are only counted.
#[derive(Debug)]
pub struct FakeDeployer {
    world: World,
    stage: Stage<DeployerCall>,
    looks: u32,
    abilities: Abilities,
    effects: EffectClass,
}

staged!(FakeDeployer, DeployerCall, DeployerOp);

impl FakeDeployer {
    /// A deployer in `world`.
    pub fn of(world: &World) -> Self {
        let mut abilities = Abilities::default();
        abilities.deployer.fencing = Fencing::Epochs;
        let effects = EffectClass::Idempotent;
        Self {
            world: world.clone(),
            stage: Stage::reached_by(world.access()),
            looks: 0,
            abilities,
            effects,
        }
    }

    /// The same, declaring what may be done when nobody knows whether a call took effect.
    #[must_use]
    pub const fn declaring(mut self, effects: EffectClass) -> Self {
        self.effects = effects;
        self
    }

    /// The same with other abilities, which it declares.
    #[must_use]
    pub fn able(mut self, declare: impl FnOnce(&mut DeployerAbilities)) -> Self {
        declare(&mut self.abilities.deployer);
        self
    }

    /// Refuses writers that were taken over, if it is able to.
    pub(crate) fn fence(&self, cx: &Context) -> Result<(), ProviderError> {
        self.world.within_reach("deploy.apply")?;
        if self.abilities.deployer.fencing == Fencing::Epochs {
            return self.world.fence("deploy.apply", cx);
        }
        Ok(())
    }

    /// Reports every new wish as on its way for the first `looks` observations.
    #[must_use]
    pub const fn settling_after(mut self, looks: u32) -> Self {
        self.looks = looks;
        self
    }

    /// Refuses what has to be refused, and changes nothing.
    pub(crate) fn check(&self, request: &ApplyRequest) -> Result<(), ProviderError> {
        const APPLY: &str = "deploy.apply";
        let ApplyRequest { target, artifact, replicas, apart, metadata, .. } = request;
        if apart.is_some() && !self.abilities.deployer.anti_affinity {
            let text = "keeps no instances on machines of their own";
            return Err(ProviderError::new(ErrorKind::Unsupported, APPLY, text));
        }
        if metadata.is_some() && !self.abilities.deployer.metadata {
            let text = "changes nothing that instances carry";
            return Err(ProviderError::new(ErrorKind::Unsupported, APPLY, text));
        }
        let state = self.world.state();
        state.check_target(APPLY, target)?;
        if let Some(limit) = state.max_replicas.filter(|limit| replicas > limit) {
            let text = "more instances than allowed";
            return Err(ProviderError::new(ErrorKind::Invalid, APPLY, text)
                .with_context("replicas", replicas)
                .with_context("limit", limit));
        }
        // What is known can always be stopped, even if its content is gone.
        if *replicas > 0 || state.deployed(target, artifact.digest()).is_none() {
            state.verified(APPLY, artifact.digest())?;
        }
        Ok(())
    }

    fn apply_now(&self, cx: &Context, request: &ApplyRequest) -> Result<(), ProviderError> {
        self.fence(cx)?;
        self.check(request)?;
        let ApplyRequest { target, artifact, replicas, .. } = request;
        let digest = artifact.digest();
        let mut state = self.world.state();
        let deployed = state.deployed_mut(target, digest);
        if deployed.desired != *replicas || deployed.failed.is_some() {
            deployed.desired = *replicas;
            deployed.failed = None;
            deployed.looks = self.looks;
        }
        if deployed.looks == 0 {
            state.settle(target, digest);
        }
        Ok(())
    }

    /// Refuses a call that nobody waits for any more.
    pub(crate) fn heed(&self, cx: &Context, operation: &'static str) -> Result<(), ProviderError> {
        self.stage.heed(cx, operation)?;
        self.world.within_reach(operation)
    }

    /// What is there, without the next look bringing anything nearer.
    pub(crate) fn observe_as_it_is(
        &self,
        request: &ObserveDeployment,
    ) -> Result<DeploymentStatus, ProviderError> {
        let ObserveDeployment { target, digest, .. } = request;
        let state = self.world.state();
        state.check_target("deploy.observe", target)?;
        let Some(deployed) = state.deployed(target, *digest) else {
            return Ok(DeploymentStatus::new(
                target.clone(),
                *digest,
                None,
                0,
                DeploymentPhase::Settled,
            ));
        };
        let phase = match &deployed.failed {
            Some(reason) => DeploymentPhase::Failed { reason: reason.clone() },
            None if deployed.looks > 0 => DeploymentPhase::Progressing,
            None => DeploymentPhase::Settled,
        };
        let running = u32::try_from(deployed.instances.len()).unwrap_or(u32::MAX);
        Ok(DeploymentStatus::new(target.clone(), *digest, Some(deployed.desired), running, phase))
    }

    fn observe_now(&self, request: &ObserveDeployment) -> Result<DeploymentStatus, ProviderError> {
        self.world.within_reach("deploy.observe")?;
        let status = self.observe_as_it_is(request)?;
        if status.phase == DeploymentPhase::Progressing {
            let mut state = self.world.state();
            let deployed = state.deployed_mut(&request.target, request.digest);
            deployed.looks = deployed.looks.saturating_sub(1);
            if deployed.looks == 0 {
                state.settle(&request.target, request.digest);
            }
        }
        Ok(status)
    }
}

#[async_trait]
impl Deployer for FakeDeployer {
    fn describe(&self) -> Description {
        let mut plain = super::describe("fake-deployer");
        plain.effects = self.effects;
        plain.able(|can| *can = self.abilities)
    }

    async fn apply(&self, cx: &Context, request: ApplyRequest) -> Result<(), ProviderError> {
        let call = DeployerCall::Apply(request.clone());
        self.stage.play(cx, call, |_| self.apply_now(cx, &request)).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveDeployment,
    ) -> Result<DeploymentStatus, ProviderError> {
        let call = DeployerCall::Observe(request.clone());
        let observe = |lie| {
            let mut status = self.observe_now(&request)?;
            if lie {
                status.digest = super::script::other(status.digest);
            }
            Ok(status)
        };
        self.stage.play(cx, call, observe).await
    }
}
